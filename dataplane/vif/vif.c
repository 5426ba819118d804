/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_vif.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vif_int.h"

static struct ob_arena *vif_arena;
static struct ob_vif *vifs[OB_MAX_VIFS]; /* RCU */
static int event_fd = -1;
static uint32_t next_gen = 1;

ob_vif_input_fn vif_input;

void ob_vif_set_input(ob_vif_input_fn fn)
{
	vif_input = fn;
}

int ob_vif_init(struct ob_arena *arena)
{
	if (event_fd < 0)
		event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (event_fd < 0)
		return -errno;
	vif_arena = arena;
	return 0;
}

/* ---- life ---- */

static void region_name(char name[OB_ARENA_NAME_MAX], unsigned idx)
{
	snprintf(name, OB_ARENA_NAME_MAX, "vif.%u", idx);
}

static int find_index(const char *name, uint16_t *idx)
{
	int free_idx = -ENOSPC;

	for (unsigned i = OB_MAX_VIFS; i-- > 0;) {
		if (vifs[i] == NULL)
			free_idx = (int)i;
		else if (strcmp(vifs[i]->conf.name, name) == 0)
			return -EEXIST;
	}
	if (free_idx < 0)
		return free_idx;
	*idx = (uint16_t)free_idx;
	return 0;
}

int ob_vif_create(const struct ob_vif_conf *conf, struct ob_vif **out)
{
	char region[OB_ARENA_NAME_MAX];
	struct ob_vif *vif;
	uint16_t idx;
	void *p;
	bool fresh;
	int rc;

	if (vif_arena == NULL || conf->n_pairs == 0 || conf->n_pairs > OB_VIF_MAX_PAIRS ||
	    conf->name[0] == '\0' || memchr(conf->name, '\0', sizeof(conf->name)) == NULL)
		return -EINVAL;
	rc = find_index(conf->name, &idx);
	if (rc < 0)
		return rc;
	vif = calloc(1, sizeof(*vif));
	if (vif == NULL)
		return -ENOMEM;
	region_name(region, idx);
	rc = ob_arena_region(
	    vif_arena, region, VIF_ARENA_LAYOUT, sizeof(struct vif_arena), &p, &fresh);
	if (rc < 0)
		goto err_free;
	vif->conf = *conf;
	vif->idx = idx;
	vif->gen = next_gen++;
	vif->arena = p;
	vif->link_up = 1;
	for (unsigned q = 0; q < VIF_QUEUES; q++)
		vif->queue_worker[q] = -1;
	if (fresh)
		ob_drops_clear(idx);
	ob_rcu_publish(&vifs[idx], vif);
	*out = vif;
	return 0;

err_free:
	free(vif);
	return rc;
}

static void vif_free(void *p)
{
	struct ob_vif *vif = p;

	free((void *)(uintptr_t)vif->filter);
	free((void *)(uintptr_t)vif->steering);
	free(vif);
}

void ob_vif_destroy(struct ob_vif *vif)
{
	char region[OB_ARENA_NAME_MAX];

	if (vif == NULL)
		return;
	ob_vif_detach_port(vif);
	for (unsigned q = 0; q < VIF_QUEUES; q++)
		ob_vif_stop_queue(vif, q);
	ob_rcu_publish(&vifs[vif->idx], NULL);
	region_name(region, vif->idx);
	ob_arena_del_region(vif_arena, region);
	/* A worker may still filter and steer by it; it has no queue, so nothing reaches the region. */
	ob_rcu_defer(vif_free, vif);
}

uint16_t ob_vif_idx(const struct ob_vif *vif)
{
	return vif->idx;
}

const char *ob_vif_name(const struct ob_vif *vif)
{
	return vif->conf.name;
}

struct ob_vif *ob_vif_get(uint16_t idx)
{
	return idx < OB_MAX_VIFS ? ob_rcu_load(&vifs[idx]) : NULL;
}

/* ---- settings ---- */

void ob_vif_set_features(struct ob_vif *vif, uint64_t features)
{
	vif->features = features;
}

void ob_vif_set_link(struct ob_vif *vif, bool up)
{
	__atomic_store_n(&vif->link_up, up, __ATOMIC_RELAXED);
}

int ob_vif_set_filter(struct ob_vif *vif, const struct ob_vif_filter *f)
{
	const struct vif_filter *old = vif->filter;
	struct vif_filter *new;

	if (f->n_uni > OB_VIF_MAX_MACS || f->n_multi > OB_VIF_MAX_MACS)
		return -EINVAL;
	new = malloc(sizeof(*new));
	if (new == NULL)
		return -ENOMEM;
	new->conf = *f;
	ob_rcu_publish(&vif->filter, new);
	ob_rcu_defer(free, (void *)(uintptr_t)old);
	return 0;
}

int ob_vif_set_steering(struct ob_vif *vif, const struct ob_vif_steering *conf)
{
	const struct vif_steering *old = vif->steering;
	struct vif_steering *new;
	int rc = vif_steering_create(conf, vif->conf.n_pairs, &new);

	if (rc < 0)
		return rc;
	ob_rcu_publish(&vif->steering, new);
	ob_rcu_defer(free, (void *)(uintptr_t)old);
	return 0;
}

uint16_t ob_vif_pairs(const struct ob_vif *vif)
{
	return vif->steering != NULL ? vif->steering->conf.n_pairs : 1;
}

/* ---- events and counters ---- */

void vif_queue_broke(struct vif_queue *q)
{
	const uint64_t one = 1;
	ssize_t n;

	if (q->reported)
		return;
	q->reported = true;
	vif_count(&q->counters->n_errors, 1);
	/* Pairs with the acquire of ob_vif_poll_events. */
	__atomic_fetch_or(&q->vif->broken, 1u << q->q, __ATOMIC_RELEASE);
	n = write(event_fd, &one, sizeof(one));
	(void)n; /* full: it is readable, which is all that counts */
}

void ob_vif_set_on_broken(struct ob_vif *vif, void (*fn)(void *ctx, unsigned q), void *ctx)
{
	vif->on_broken = fn;
	vif->on_broken_ctx = ctx;
}

int ob_vif_event_fd(void)
{
	return event_fd;
}

unsigned ob_vif_poll_events(void)
{
	uint64_t count;
	unsigned n = 0;

	if (read(event_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return 0;
	for (unsigned i = 0; i < OB_MAX_VIFS; i++) {
		uint32_t broken = vifs[i] != NULL
				      ? __atomic_exchange_n(&vifs[i]->broken, 0, __ATOMIC_ACQUIRE)
				      : 0;

		for (; broken != 0; broken &= broken - 1, n++)
			/* The handler may destroy this or any other vif. */
			if (vifs[i] != NULL && vifs[i]->on_broken != NULL)
				vifs[i]->on_broken(
				    vifs[i]->on_broken_ctx, (unsigned)__builtin_ctz(broken));
	}
	return n;
}

int ob_vif_queue_counters(uint16_t vif_idx, unsigned q, struct ob_vif_queue_counters *out)
{
	const struct ob_vif *vif = ob_vif_get(vif_idx);
	const uint64_t *from;
	uint64_t *to = (uint64_t *)out;

	memset(out, 0, sizeof(*out));
	if (vif == NULL || q >= 2u * vif->conf.n_pairs)
		return -ENOENT;
	from = (const uint64_t *)&vif->arena->counters[q];
	for (unsigned i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	return 0;
}
