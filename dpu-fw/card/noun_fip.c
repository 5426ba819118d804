/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

static int key(
    struct ob_card *c, const struct ob_bus_fip *r, struct ob_nat_fip_cfg *cfg, struct text *t)
{
	struct ob_ip ip;
	uint32_t vnet;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if ((rc = lookup(t, &c->vnets, "vnet", "vnet", r->vnet, &vnet)) < 0 ||
	    (rc = check_ip(t, "public address", &r->public_ip, IP_HOST, &ip, NULL)) < 0)
		return rc;
	if (ip.family != AF_INET)
		return fail(t, -EINVAL, "a floating IP is an IPv4 address");
	cfg->vnet = (uint16_t)vnet;
	memcpy(&cfg->public_ip, ip.b, 4);
	return 0;
}

static int convert(
    struct ob_card *c, const struct ob_bus_fip *r, struct ob_nat_fip_cfg *cfg, struct text *t)
{
	uint32_t eni;
	int rc = key(c, r, cfg, t);

	if (rc < 0 || (rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni)) < 0 ||
	    (rc = check_ip(t, "private address", &r->private_ip, IP_HOST, &cfg->private_ip, NULL)) <
		0)
		return rc;
	if (r->reserved[0] | r->reserved[1])
		return fail(t, -EINVAL, "reserved bytes are not zero");
	if (!mac_is_zero(r->mac) && (rc = check_mac(t, "mac", r->mac)) < 0)
		return rc;
	cfg->eni = (uint16_t)eni;
	memcpy(cfg->mac, r->mac, sizeof(cfg->mac));
	return 0;
}

static int store(struct ob_card *c, const struct ob_bus_fip *r, bool replaces, struct text *t)
{
	struct ob_nat_fip_cfg cfg, old;
	int rc = convert(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	rc = ob_nat_fip_get(cfg.vnet, cfg.public_ip, &old);
	if (rc == 0 && !replaces)
		return fail(t, -EEXIST,
		    "this address of vnet %s is a floating IP already; see 'obctl fip list'",
		    r->vnet);
	if (rc < 0 && replaces)
		return fail(
		    t, -ENOENT, "vnet %s has no such floating IP; see 'obctl fip list'", r->vnet);
	return ob_nat_fip_set(&cfg, t->s, sizeof(t->s));
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, false, t);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	return store(c, rec, true, t);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_fip *r = rec;
	struct ob_nat_fip_cfg cfg;
	int rc = key(c, r, &cfg, t);

	if (rc < 0)
		return rc;
	rc = ob_nat_fip_del(cfg.vnet, cfg.public_ip);
	return rc == -ENOENT
		   ? fail(t, rc, "vnet %s has no such floating IP; see 'obctl fip list'", r->vnet)
		   : rc;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_fip *r = f;
	struct ob_ip ip;
	int rc = name_filter(t, &c->vnets, "vnet", r->vnet);

	if (rc == 0)
		rc = name_filter(t, &c->enis, "eni", r->eni);
	return rc < 0 || r->public_ip.family == 0
		   ? rc
		   : check_ip(t, "public address", &r->public_ip, IP_HOST, &ip, NULL);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_fip *want = f;
	uint32_t at = (uint32_t)*cursor;
	struct ob_nat_fip_cfg cfg;
	struct ob_bus_fip *r = rec;
	struct ob_ip public_ip = {.family = AF_INET};
	const char *vnet, *eni;

	if (ob_nat_fip_next(&at, &cfg) < 0)
		return -ENOENT;
	*cursor = at;
	vnet = names_get(&c->vnets, cfg.vnet);
	eni = names_get(&c->enis, cfg.eni);
	if (vnet == NULL || eni == NULL || (want->vnet[0] && strcmp(want->vnet, vnet) != 0) ||
	    (want->eni[0] && strcmp(want->eni, eni) != 0) ||
	    (want->public_ip.family && memcmp(want->public_ip.b, &cfg.public_ip, 4) != 0))
		return -EAGAIN;
	strcpy(r->vnet, vnet);
	strcpy(r->eni, eni);
	memcpy(public_ip.b, &cfg.public_ip, 4);
	put_ip(&r->public_ip, &public_ip, 32);
	put_ip(&r->private_ip, &cfg.private_ip, ip_bits(cfg.private_ip.family));
	memcpy(r->mac, cfg.mac, sizeof(r->mac));
	return 0;
}

const struct noun noun_fip = {.name = "fip",
    .record_len = sizeof(struct ob_bus_fip),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
