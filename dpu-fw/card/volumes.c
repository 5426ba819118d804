/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <rte_log.h>

#include "ob_block.h"
#include "ob_nvmeq.h"
#include "volume_make.h"

RTE_LOG_REGISTER(volume_log, ob.volume, NOTICE);

#define VOLUMES_LAYOUT 1

/* ---- devices ---- */

/* Whose file it is already, for the text: the lock only tells that somebody has it. */
static const char *who_has_file(const struct ob_card *c, const char *path, const char *but)
{
	struct stat st, other;

	if (stat(path, &st) < 0)
		return NULL;
	for (uint32_t i = 0; (i = names_next(&c->volumes, i)) != NAMES_NONE; i++) {
		const struct ob_bus_volume *v = &c->volume_rec[i].conf;

		if (v->kind == OB_BUS_VOL_FILE && strcmp(v->name, but) != 0 &&
		    c->volume[i].dev != NULL && stat(v->path, &other) == 0 &&
		    st.st_dev == other.st_dev && st.st_ino == other.st_ino)
			return v->name;
	}
	return NULL;
}

static int make(struct ob_card *c, uint32_t idx, bool fresh, uint8_t choice, struct text *t)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;
	struct making m = {.rec = &c->volume_rec[idx],
	    .keyring = &c->keyring,
	    .run_dir = c->run_dir,
	    .fresh = fresh,
	    .choice = choice};
	const char *name, *other;
	struct ob_blk *dev;
	uint32_t on;
	int rc;

	for (unsigned i = 0; (name = volume_below(v, i)) != NULL; i++) {
		rc = lookup(t, &c->volumes, "volume", "on", name, &on);
		if (rc < 0 || (rc = volume_open(c, on, t)) < 0)
			return rc;
		m.below[i] = c->volume[on].dev;
	}
	rc = volume_check_move(c, idx, t);
	if (rc < 0)
		return rc;
	rc = volume_make(&m, &dev);
	if (rc == 0) {
		c->volume[idx].dev = dev;
		c->volume[idx].error[0] = '\0';
		if (m.err[0] != '\0')
			rte_log(
			    RTE_LOG_WARNING, volume_log, "card: volume %s: %s\n", v->name, m.err);
		if ((rc = volume_resume_move(c, idx, t)) < 0 ||
		    (rc = volume_apply_limits(c, idx, t)) < 0)
			volume_close(c, idx);
		return rc;
	}
	other = rc == -EBUSY && v->path[0] ? who_has_file(c, v->path, v->name) : NULL;
	if (other != NULL)
		return fail(
		    t, rc, "file %s is volume %s's already: a file has one writer", v->path, other);
	return fail(t, rc, "%s", m.err[0] ? m.err : strerror(-rc));
}

static int open_it(struct ob_card *c, uint32_t idx, bool fresh, uint8_t choice, struct text *t)
{
	struct volume *v = &c->volume[idx];
	int rc;

	if (v->dev != NULL)
		return 0;
	if (v->opening)
		return fail(t, -ELOOP, "volume %s stands on itself", names_get(&c->volumes, idx));
	v->opening = true;
	rc = make(c, idx, fresh, choice, t);
	v->opening = false;
	if (rc < 0)
		snprintf(v->error, sizeof(v->error), "%.*s", (int)sizeof(v->error) - 1, t->s);
	return rc;
}

int volume_open(struct ob_card *c, uint32_t idx, struct text *t)
{
	return open_it(c, idx, false, 0, t);
}

int volume_create(struct ob_card *c, uint32_t idx, uint8_t choice, struct text *t)
{
	return open_it(c, idx, true, choice, t);
}

void volume_close(struct ob_card *c, uint32_t idx)
{
	struct volume *v = &c->volume[idx];

	ob_nvme_ns_put(v->ns);
	ob_blk_put(v->top);
	ob_blk_put(v->dev);
	memset(v, 0, sizeof(*v));
}

bool volume_has_limits(const struct ob_bus_volume *v)
{
	static const uint64_t none[OB_BUS_N_LIMITS];

	return memcmp(v->limit, none, sizeof(none)) != 0;
}

/* The bus's order is that of options, the layer's its own. */
static void limits_of(const struct ob_bus_volume *v, struct ob_blk_qos_conf *q)
{
	static const uint8_t to[OB_BLK_QOS_N] = {
	    [OB_BUS_LIM_IOPS] = OB_BLK_QOS_IOPS,
	    [OB_BUS_LIM_BW] = OB_BLK_QOS_BYTES,
	    [OB_BUS_LIM_READ_IOPS] = OB_BLK_QOS_READ_IOPS,
	    [OB_BUS_LIM_READ_BW] = OB_BLK_QOS_READ_BYTES,
	    [OB_BUS_LIM_WRITE_IOPS] = OB_BLK_QOS_WRITE_IOPS,
	    [OB_BUS_LIM_WRITE_BW] = OB_BLK_QOS_WRITE_BYTES,
	};

	for (unsigned i = 0; i < OB_BLK_QOS_N; i++) {
		uint64_t most = 1ull << 40, burst = v->burst[i];

		if (burst == 0 && v->burst_s > 0)
			burst = v->limit[i] > most / v->burst_s ? most : v->limit[i] * v->burst_s;
		q->rate[to[i]] = v->limit[i];
		q->burst[to[i]] = burst;
	}
}

int volume_apply_limits(struct ob_card *c, uint32_t idx, struct text *t)
{
	const struct ob_bus_volume *conf = &c->volume_rec[idx].conf;
	struct volume *v = &c->volume[idx];
	struct ob_blk *dev = conf->kind == OB_BUS_VOL_QOS ? v->dev : v->top;
	struct ob_blk_qos_conf q;
	char err[160] = "";
	int rc;

	if (dev == NULL)
		return 0;
	limits_of(conf, &q);
	rc = ob_blk_qos_set(dev, &q, err, sizeof(err));
	return rc < 0 ? fail(t, rc, "limits of volume %s: %s", conf->name, err) : 0;
}

int volume_top(struct ob_card *c, uint32_t idx, struct ob_blk **out, struct text *t)
{
	const struct ob_bus_volume *conf = &c->volume_rec[idx].conf;
	struct volume *v = &c->volume[idx];
	int rc = volume_open(c, idx, t);
	struct ob_blk_qos_conf q;
	char err[160] = "";

	if (rc < 0)
		return rc;
	limits_of(conf, &q);
	if (v->top == NULL && conf->kind == OB_BUS_VOL_QOS)
		v->top = ob_blk_get(v->dev);
	else if (v->top == NULL)
		rc = ob_blk_qos_create(conf->name, v->dev, &q, &v->top, err, sizeof(err));
	if (rc < 0)
		return fail(
		    t, rc, "limits of volume %s: %s", conf->name, err[0] ? err : strerror(-rc));
	*out = v->top;
	return 0;
}

void volume_drop_top(struct ob_card *c, uint32_t idx)
{
	struct volume_user u;
	uint64_t cursor = 0;

	while (volume_next_user(c, idx, &cursor, &u)) {
		if (u.role == ROLE_FUNCTION)
			return;
	}
	ob_blk_put(c->volume[idx].top);
	c->volume[idx].top = NULL;
}

void volume_info(const struct ob_card *c, uint32_t idx, struct ob_blk_info *out)
{
	memset(out, 0, sizeof(*out));
	if (c->volume[idx].dev != NULL)
		ob_blk_info(c->volume[idx].dev, out);
}

/* ---- start and stop ---- */

int volumes_init(struct ob_card *c)
{
	struct ob_arena *a = c->conf.arena;
	struct text t;
	void *mem;
	bool fresh;
	int rc = names_init(&c->volumes, a, "card.volumes", MAX_VOLUMES);

	if (rc < 0)
		return rc;
	rc = ob_arena_region(a, "card.volume_rec", VOLUMES_LAYOUT,
	    MAX_VOLUMES * sizeof(*c->volume_rec), &mem, &fresh);
	if (rc < 0)
		return rc;
	c->volume_rec = mem;
	c->volume = calloc(MAX_VOLUMES, sizeof(*c->volume));
	if (c->volume == NULL)
		return -ENOMEM;
	rc = namespaces_init(c);
	for (uint32_t i = 0; rc == 0 && (i = names_next(&c->volumes, i)) != NAMES_NONE; i++) {
		if (volume_open(c, i, &t) < 0)
			rte_log(RTE_LOG_WARNING, volume_log, "card: volume %s is offline: %s\n",
			    names_get(&c->volumes, i), t.s);
	}
	return rc;
}

void volumes_fini(struct ob_card *c)
{
	for (uint32_t i = 0; c->volume != NULL && i < MAX_VOLUMES; i++)
		volume_close(c, i);
	free(c->volume);
	c->volume = NULL;
	if (c->on_move != NULL)
		event_free(c->on_move);
	names_fini(&c->volumes);
	keyring_wipe(&c->keyring);
}
