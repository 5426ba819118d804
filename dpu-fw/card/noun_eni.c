/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#define MIN_MTU 68
#define MAX_MTU 9216

static int check_counts(const struct ob_bus_eni *r, struct text *t)
{
	if (r->n_addrs > OB_BUS_ENI_ADDRS)
		return fail(t, -EINVAL, "%u addresses; an eni has at most %d", r->n_addrs,
		    OB_BUS_ENI_ADDRS);
	if (r->n_routers > OB_BUS_ENI_ROUTERS)
		return fail(t, -EINVAL, "%u routers; an eni has at most %d", r->n_routers,
		    OB_BUS_ENI_ROUTERS);
	if (r->n_dns > OB_BUS_ENI_ROUTERS)
		return fail(t, -EINVAL, "%u DNS servers; an eni has at most %d", r->n_dns,
		    OB_BUS_ENI_ROUTERS);
	if (r->reserved != 0)
		return fail(t, -EINVAL, "reserved bytes are not zero");
	if (r->default_in > 2 || r->default_out > 2)
		return fail(t, -EINVAL, "a default is 1 (permit) or 2 (deny)");
	if (r->n_addrs == 0)
		return fail(t, -EINVAL, "an eni has at least one address (--ip ADDR/LEN)");
	return 0;
}

/* A router may be link-local (fe80::1), which is one host's address like any other. */
static int check_addrs(const struct ob_bus_eni *r, struct ob_eni_cfg *cfg, struct text *t)
{
	int rc;

	for (unsigned i = 0; i < r->n_addrs; i++) {
		rc = check_ip(t, "ip", &r->addr[i], IP_ON_LINK, &cfg->addr[i], &cfg->prefix_len[i]);
		if (rc < 0)
			return rc;
		for (unsigned j = 0; j < i; j++) {
			if (memcmp(&cfg->addr[i], &cfg->addr[j], sizeof(cfg->addr[i])) == 0)
				return fail(t, -EINVAL, "ip: the same address twice");
		}
	}
	for (unsigned i = 0; i < r->n_routers; i++) {
		rc = check_ip(t, "router", &r->router[i], IP_HOST, &cfg->router[i], NULL);
		if (rc < 0)
			return rc;
	}
	for (unsigned i = 0; i < r->n_dns; i++) {
		rc = check_ip(t, "dns", &r->dns[i], IP_HOST, &cfg->dns[i], NULL);
		if (rc < 0)
			return rc;
	}
	cfg->n_addrs = r->n_addrs;
	cfg->n_routers = r->n_routers;
	cfg->n_dns = r->n_dns;
	return 0;
}

/* Checks all but the name and makes the dataplane's record. '*fn': the function's index. */
static int convert(struct ob_card *c, const struct ob_bus_eni *r, struct ob_eni_cfg *cfg,
    uint32_t *fn, struct text *t)
{
	uint32_t vnet;
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if ((rc = check_counts(r, t)) < 0 || (rc = check_addrs(r, cfg, t)) < 0 ||
	    (rc = lookup(t, &c->functions, "function", "function", r->function, fn)) < 0 ||
	    (rc = lookup(t, &c->vnets, "vnet", "vnet", r->vnet, &vnet)) < 0)
		return rc;
	if (c->fn_conf[*fn].type != OB_BUS_NET)
		return fail(t, -EINVAL, "function %s shows disks: an eni needs a net function",
		    r->function);
	memcpy(cfg->mac, mac_is_zero(r->mac) ? c->fn_conf[*fn].mac : r->mac, sizeof(cfg->mac));
	if ((rc = check_mac(t, "mac", cfg->mac)) < 0)
		return rc;
	if (!mac_is_zero(r->router_mac) && (rc = check_mac(t, "router mac", r->router_mac)) < 0)
		return rc;
	memcpy(cfg->router_mac, r->router_mac, sizeof(cfg->router_mac));
	cfg->mtu = r->mtu ? r->mtu : c->fn_conf[*fn].mtu;
	if (cfg->mtu < MIN_MTU || cfg->mtu > MAX_MTU)
		return fail(t, -EINVAL, "mtu %u is not in %d..%d", cfg->mtu, MIN_MTU, MAX_MTU);
	if (cfg->mtu > c->fn_conf[*fn].mtu)
		return fail(t, -EINVAL, "mtu %u is more than the %u of function %s", cfg->mtu,
		    c->fn_conf[*fn].mtu, r->function);
	cfg->lease_s = r->lease_s;
	cfg->vnet = (uint16_t)vnet;
	cfg->vif = card_fn_vif(c, *fn);
	return 0;
}

static int check_free(
    const struct ob_card *c, uint32_t fn, uint32_t self, const char *name, struct text *t)
{
	uint32_t other = card_eni_of_fn(c, fn);

	if (other == NAMES_NONE || other == self)
		return 0;
	return fail(t, -EEXIST, "function %s has eni %s already; a function has one", name,
	    names_get(&c->enis, other));
}

/* What judges connections that no security group does. */
static void set_defaults(uint32_t idx, const struct ob_bus_eni *r)
{
	ob_acl_default_set(
	    (uint16_t)idx, OB_ACL_IN, r->default_in == 2 ? OB_ACL_DENY : OB_ACL_PERMIT);
	ob_acl_default_set(
	    (uint16_t)idx, OB_ACL_OUT, r->default_out == 2 ? OB_ACL_DENY : OB_ACL_PERMIT);
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_eni *r = rec;
	struct ob_eni_cfg cfg;
	uint32_t idx, fn;
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = convert(c, r, &cfg, &fn, t)) < 0 ||
	    (rc = take_name(t, &c->enis, "eni", r->name, &idx)) < 0)
		return rc;
	c->eni_fn[idx] = NAMES_NONE;
	rc = check_free(c, fn, idx, r->function, t);
	if (rc == 0) {
		/* Before the ENI is there: nothing passes unjudged. */
		set_defaults(idx, r);
		rc = ob_eni_set(idx, &cfg, t->s, sizeof(t->s));
	}
	if (rc < 0)
		names_del(&c->enis, idx);
	else
		c->eni_fn[idx] = fn;
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_eni *r = rec;
	struct ob_eni_cfg cfg;
	uint32_t idx, fn;
	int rc = lookup(t, &c->enis, "eni", "name", r->name, &idx);

	if (rc < 0 || (rc = convert(c, r, &cfg, &fn, t)) < 0 ||
	    (rc = check_free(c, fn, idx, r->function, t)) < 0)
		return rc;
	rc = ob_eni_set(idx, &cfg, t->s, sizeof(t->s));
	if (rc < 0)
		return rc;
	c->eni_fn[idx] = fn;
	set_defaults(idx, r);
	return 0;
}

/* Floating IPs are objects of their own that name the ENI. */
static int check_unused(struct ob_card *c, uint32_t idx, struct text *t)
{
	struct ob_nat_fip_cfg fip;
	uint32_t at = 0;
	char buf[IP_TEXT];

	while (ob_nat_fip_next(&at, &fip) == 0) {
		struct ob_ip ip = {.family = AF_INET};

		if (fip.eni != idx)
			continue;
		memcpy(ip.b, &fip.public_ip, 4);
		return fail(t, -EBUSY,
		    "eni %s has the floating IP %s; first 'obctl fip del %s --vnet %s'",
		    names_get(&c->enis, idx), ip_text(&ip, buf), buf,
		    names_get(&c->vnets, fip.vnet));
	}
	return 0;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_eni *r = rec;
	struct ob_ip prefix;
	uint32_t idx;
	int rc = lookup(t, &c->enis, "eni", "name", r->name, &idx);

	if (rc < 0 || (rc = check_unused(c, idx, t)) < 0)
		return rc;
	/* What belongs to it goes with it: the index may be given out again. */
	if (ob_nat_binding(idx) != OB_IDX_NONE)
		ob_nat_bind(idx, OB_IDX_NONE, NULL, 0);
	if (ob_nat64_get(idx, &prefix) != 0)
		ob_nat64_set(idx, &prefix, 0, NULL, 0);
	rc = ob_eni_del(idx, t->s, sizeof(t->s));
	if (rc < 0)
		return rc;
	ob_acl_eni_clear((uint16_t)idx);
	ob_meter_clear((uint16_t)idx);
	ob_session_eni_clear((uint16_t)idx);
	names_del(&c->enis, idx);
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_eni *)f)->name);
}

static void fill(
    const struct ob_card *c, uint32_t idx, const struct ob_eni_cfg *cfg, struct ob_bus_eni *r)
{
	const char *name;

	strcpy(r->name, names_get(&c->enis, idx));
	name = names_get(&c->functions, c->eni_fn[idx]);
	strcpy(r->function, name ? name : "");
	name = names_get(&c->vnets, cfg->vnet);
	strcpy(r->vnet, name ? name : "");
	memcpy(r->mac, cfg->mac, sizeof(r->mac));
	memcpy(r->router_mac, cfg->router_mac, sizeof(r->router_mac));
	r->mtu = cfg->mtu;
	r->lease_s = cfg->lease_s;
	r->default_in = ob_acl_default_get((uint16_t)idx, OB_ACL_IN) == OB_ACL_DENY ? 2 : 1;
	r->default_out = ob_acl_default_get((uint16_t)idx, OB_ACL_OUT) == OB_ACL_DENY ? 2 : 1;
	r->n_addrs = cfg->n_addrs;
	r->n_routers = cfg->n_routers;
	r->n_dns = cfg->n_dns;
	for (unsigned i = 0; i < cfg->n_addrs; i++)
		put_ip(&r->addr[i], &cfg->addr[i], cfg->prefix_len[i]);
	for (unsigned i = 0; i < cfg->n_routers; i++)
		put_ip(&r->router[i], &cfg->router[i], ip_bits(cfg->router[i].family));
	for (unsigned i = 0; i < cfg->n_dns; i++)
		put_ip(&r->dns[i], &cfg->dns[i], ip_bits(cfg->dns[i].family));
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_eni *want = f;
	const struct ob_eni_cfg *cfg;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	cfg = ob_eni_get(i);
	if (cfg == NULL || (want->name[0] && strcmp(want->name, names_get(&c->enis, i)) != 0))
		return -EAGAIN;
	fill(c, i, cfg, rec);
	return 0;
}

static_assert(OB_BUS_ENI_ADDRS == OB_ENI_MAX_ADDRS && OB_BUS_ENI_ROUTERS == OB_ENI_MAX_ROUTERS,
    "the bus carries what the dataplane holds");

const struct noun noun_eni = {.name = "eni",
    .record_len = sizeof(struct ob_bus_eni),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
