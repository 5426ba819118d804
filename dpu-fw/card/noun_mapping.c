/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#define MAX_VNI ((1u << 24) - 1)

static int key(
    struct ob_card *c, const struct ob_bus_mapping *r, struct ob_mapping_cfg *cfg, struct text *t)
{
	uint32_t vnet;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if ((rc = lookup(t, &c->vnets, "vnet", "vnet", r->vnet, &vnet)) < 0 ||
	    (rc = check_ip(t, "ip", &r->ca, IP_HOST, &cfg->ca, NULL)) < 0)
		return rc;
	cfg->vnet = (uint16_t)vnet;
	return 0;
}

static int convert(
    struct ob_card *c, const struct ob_bus_mapping *r, struct ob_mapping_cfg *cfg, struct text *t)
{
	int rc = key(c, r, cfg, t);

	if (rc < 0 || (rc = check_mac(t, "mac", r->mac)) < 0 ||
	    (rc = lookup(t, &c->tunnels, "tunnel", "tunnel", r->tunnel, &cfg->tunnel)) < 0)
		return rc;
	if (r->vni > MAX_VNI)
		return fail(t, -EINVAL, "vni %u is more than %u", r->vni, MAX_VNI);
	if (r->reserved[0] | r->reserved[1])
		return fail(t, -EINVAL, "reserved bytes are not zero");
	memcpy(cfg->mac, r->mac, sizeof(cfg->mac));
	cfg->vni = r->vni;
	return 0;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_mapping *r = rec;
	struct ob_mapping_cfg cfg, old;
	char buf[IP_TEXT];
	int rc = convert(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	if (ob_mapping_get(cfg.vnet, &cfg.ca, &old) == 0)
		return fail(t, -EEXIST, "vnet %s maps %s already; delete that mapping first",
		    r->vnet, ip_text(&cfg.ca, buf));
	return ob_mapping_set(&cfg, t->s, sizeof(t->s));
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_mapping *r = rec;
	struct ob_mapping_cfg cfg;
	char buf[IP_TEXT];
	int rc = key(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	rc = ob_mapping_del(cfg.vnet, &cfg.ca);
	if (rc == -ENOENT)
		return fail(t, rc, "vnet %s does not map %s; see 'obctl mapping list --vnet %s'",
		    r->vnet, ip_text(&cfg.ca, buf), r->vnet);
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_mapping *r = rec;
	struct ob_mapping_cfg cfg, old;
	char buf[IP_TEXT];
	int rc = convert(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	if (ob_mapping_get(cfg.vnet, &cfg.ca, &old) < 0)
		return fail(t, -ENOENT, "vnet %s does not map %s", r->vnet, ip_text(&cfg.ca, buf));
	return ob_mapping_set(&cfg, t->s, sizeof(t->s));
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_mapping *r = f;
	struct ob_mapping_cfg cfg;
	int rc = name_filter(t, &c->vnets, "vnet", r->vnet);

	if (rc < 0 || r->ca.family == 0)
		return rc;
	if (r->vnet[0] != '\0')
		return key(c, r, &cfg, t);
	return check_ip(t, "ip", &r->ca, IP_HOST, &cfg.ca, NULL);
}

static int fill(const struct ob_card *c, const struct ob_mapping_cfg *cfg, struct ob_bus_mapping *r)
{
	const char *vnet = names_get(&c->vnets, cfg->vnet),
		   *tunnel = names_get(&c->tunnels, cfg->tunnel);

	if (vnet == NULL || tunnel == NULL)
		return -EAGAIN;
	strcpy(r->vnet, vnet);
	put_ip(&r->ca, &cfg->ca, ip_bits(cfg->ca.family));
	strcpy(r->tunnel, tunnel);
	memcpy(r->mac, cfg->mac, sizeof(r->mac));
	r->vni = cfg->vni;
	return 0;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_mapping *want = f;
	uint32_t at = (uint32_t)*cursor, vnet;
	struct ob_mapping_cfg cfg, key_cfg;
	struct text t;

	/* A whole key is looked up: there may be a million. */
	if (want->vnet[0] && want->ca.family) {
		if ((*cursor)++ > 0 || key(c, want, &key_cfg, &t) < 0 ||
		    ob_mapping_get(key_cfg.vnet, &key_cfg.ca, &cfg) < 0)
			return -ENOENT;
		return fill(c, &cfg, rec);
	}
	if (ob_mapping_next(&at, &cfg) < 0)
		return -ENOENT;
	*cursor = at;
	if (want->vnet[0] &&
	    ((vnet = names_find(&c->vnets, want->vnet)) == NAMES_NONE || vnet != cfg.vnet))
		return -EAGAIN;
	if (want->ca.family && (check_ip(&t, "ip", &want->ca, IP_HOST, &key_cfg.ca, NULL) < 0 ||
				   memcmp(&key_cfg.ca, &cfg.ca, sizeof(cfg.ca)) != 0))
		return -EAGAIN;
	return fill(c, &cfg, rec);
}

const struct noun noun_mapping = {.name = "mapping",
    .record_len = sizeof(struct ob_bus_mapping),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
