/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "volumes.h"

#define FN_LAYOUT   3
#define ENI_LAYOUT  1
#define META_LAYOUT 1
/* Outer IPv6, UDP, Geneve or VXLAN, inner Ethernet. */
#define OVERHEAD (40 + 8 + 8 + 14)

uint64_t card_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

int lookup(struct text *t, const struct names *names, const char *noun, const char *field,
    const char name[OB_BUS_NAME], uint32_t *idx)
{
	int rc = check_key(t, field, name);

	if (rc < 0)
		return rc;
	*idx = names_find(names, name);
	if (*idx != NAMES_NONE)
		return 0;
	return fail(t, -ENOENT, "%s %s does not exist; see 'obctl %s list'", noun, name, noun);
}

int take_name(
    struct text *t, struct names *names, const char *noun, const char *name, uint32_t *idx)
{
	int rc = check_key(t, "name", name);

	if (rc < 0)
		return rc;
	rc = names_add(names, name, idx);
	if (rc == -EEXIST)
		return fail(t, rc, "%s %s exists already; 'obctl %s show %s' tells how it is set",
		    noun, name, noun, name);
	if (rc < 0)
		return fail(t, rc, "the card holds no more than %u of %s", names->max, noun);
	return 0;
}

int name_filter(struct text *t, const struct names *names, const char *noun, const char *name)
{
	uint32_t idx;
	int rc = check_filter(t, "name", name);

	return rc < 0 || name[0] == '\0' ? rc : lookup(t, names, noun, "name", name, &idx);
}

uint16_t card_default_mtu(const struct ob_card *c)
{
	struct ob_underlay_info info;

	if (c->conf.underlay == NULL)
		return 1500;
	ob_underlay_get_info(c->conf.underlay, &info);
	return (uint16_t)(info.mtu > 576 + OVERHEAD ? info.mtu - OVERHEAD : 576);
}

uint16_t card_fn_vif(const struct ob_card *c, uint32_t fn)
{
	return fn < OB_MAX_VIFS && c->fn[fn] != NULL ? c->fn_vif[fn] : OB_VIF_NONE;
}

uint32_t card_eni_of_fn(const struct ob_card *c, uint32_t fn)
{
	for (uint32_t i = 0; (i = names_next(&c->enis, i)) != NAMES_NONE; i++) {
		if (c->eni_fn[i] == fn)
			return i;
	}
	return NAMES_NONE;
}

static int init_meta(struct ob_card *c, const char *region, uint32_t max, struct listed_meta **out)
{
	void *mem = NULL;
	bool fresh;
	int rc =
	    ob_arena_region(c->conf.arena, region, META_LAYOUT, max * sizeof(**out), &mem, &fresh);

	*out = mem;
	return rc;
}

static int init_tables(struct ob_card *c)
{
	struct ob_arena *a = c->conf.arena;
	void *mem;
	bool fresh;
	int rc;

	if ((rc = names_init(&c->functions, a, "card.functions", OB_MAX_VIFS)) < 0 ||
	    (rc = names_init(&c->vnets, a, "card.vnets", OB_MAX_VNETS)) < 0 ||
	    (rc = names_init(&c->enis, a, "card.enis", OB_MAX_ENIS)) < 0 ||
	    (rc = names_init(&c->tunnels, a, "card.tunnels", OB_MAX_TUNNELS)) < 0 ||
	    (rc = names_init(&c->sgs, a, "card.sgs", MAX_SGS)) < 0 ||
	    (rc = names_init(&c->tags, a, "card.tags", MAX_TAGS)) < 0 ||
	    (rc = names_init(&c->pools, a, "card.nat_pools", OB_MAX_NAT_POOLS)) < 0 ||
	    (rc = init_meta(c, "card.sg_meta", MAX_SGS, &c->sg_meta)) < 0 ||
	    (rc = init_meta(c, "card.tag_meta", MAX_TAGS, &c->tag_meta)) < 0)
		return rc;
	rc = ob_arena_region(
	    a, "card.fn_conf", FN_LAYOUT, OB_MAX_VIFS * sizeof(*c->fn_conf), &mem, &fresh);
	if (rc < 0)
		return rc;
	c->fn_conf = mem;
	rc = ob_arena_region(
	    a, "card.eni_fn", ENI_LAYOUT, OB_MAX_ENIS * sizeof(*c->eni_fn), &mem, &fresh);
	c->eni_fn = mem;
	return rc < 0 ? rc : volumes_init(c);
}

static bool serial_ok(const char *s)
{
	size_t n = 0;

	while (s[n] > 0x20 && s[n] < 0x7f)
		n++;
	return n > 0 && n < SERIAL_MAX && s[n] == '\0';
}

int ob_card_create(const struct ob_card_conf *conf, struct ob_card **out)
{
	char key_file[sizeof(((struct keyring *)0)->path)];
	struct ob_card *c;
	int rc;

	if (!serial_ok(conf->serial) || conf->run_dir[0] != '/' ||
	    strlen(conf->run_dir) >= sizeof(c->run_dir) ||
	    (conf->key_file != NULL && strlen(conf->key_file) >= sizeof(c->keyring.path)))
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->conf = *conf;
	strcpy(c->serial, conf->serial);
	strcpy(c->run_dir, conf->run_dir);
	c->conf.serial = c->serial;
	c->conf.run_dir = c->run_dir;
	c->started_ns = card_now_ns();
	c->passed_fd = -1;
	ob_capture_set_names(card_capture_name, c, OB_MAX_TUNNELS);
	snprintf(c->nvme_serial, sizeof(c->nvme_serial), "%.20s", c->serial);
	if (conf->key_file != NULL)
		snprintf(key_file, sizeof(key_file), "%s", conf->key_file);
	else
		snprintf(key_file, sizeof(key_file), "%s/volumes.key", c->run_dir);
	keyring_init(&c->keyring, key_file);
	rc = init_tables(c);
	if (rc < 0) {
		ob_card_destroy(c);
		return rc;
	}
	*out = c;
	return 0;
}

void ob_card_destroy(struct ob_card *c)
{
	if (c == NULL)
		return;
	ob_capture_fini();
	ob_capture_set_names(NULL, NULL, 0);
	for (uint32_t i = 0; i < OB_MAX_VIFS; i++) {
		if (c->fn[i] != NULL)
			c->conf.models->destroy(c->fn[i]);
	}
	if (c->conf.models != NULL && c->conf.models->fini != NULL)
		c->conf.models->fini();
	volumes_fini(c);
	upload_drop(&c->test_upload);
	names_fini(&c->functions);
	names_fini(&c->vnets);
	names_fini(&c->enis);
	names_fini(&c->tunnels);
	names_fini(&c->sgs);
	names_fini(&c->tags);
	names_fini(&c->pools);
	free(c->body.bytes);
	free(c->traced);
	free(c);
}

size_t ob_card_request(struct ob_card *c, const void *req, size_t len, void *out, bool *more)
{
	struct listing l = {0};
	bool hangup;
	size_t n = dispatch(c, &c->test_upload, req, len, out, &l, &hangup);
	uint64_t cursor;

	*more = false;
	return l.noun == NULL ? n : listing_fill(c, &l, out, OB_BUS_MAX_MSG, &cursor, more);
}
