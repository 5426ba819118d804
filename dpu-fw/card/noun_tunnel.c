/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

static int check_opts(const char *what, const struct ob_bus_geneve_opt *in, uint8_t n,
    struct ob_geneve_opt *out, struct text *t)
{
	unsigned bytes = 0;

	if (n > OB_BUS_MAX_OPTS)
		return fail(
		    t, -EINVAL, "%u %ss; a tunnel has at most %d", n, what, OB_BUS_MAX_OPTS);
	for (unsigned i = 0; i < n; i++) {
		if (in[i].len > sizeof(in[i].data) || in[i].len % 4 != 0)
			return fail(t, -EINVAL,
			    "%s %u: %u bytes of data, not a multiple of 4 up to %zu", what, i + 1,
			    in[i].len, sizeof(in[i].data));
		bytes += 4u + in[i].len;
		out[i].class_be = rte_cpu_to_be_16(in[i].opt_class);
		out[i].type = in[i].type;
		out[i].len = in[i].len;
		memcpy(out[i].data, in[i].data, in[i].len);
	}
	if (bytes > OB_GENEVE_OPTS_BYTES)
		return fail(t, -EINVAL, "%ss of %u bytes with their headers; at most %d fit", what,
		    bytes, OB_GENEVE_OPTS_BYTES);
	return 0;
}

static int convert(const struct ob_bus_tunnel *r, struct ob_tunnel_cfg *cfg, struct text *t)
{
	int rc;

	memset(cfg, 0, sizeof(*cfg));
	if (r->encap != OB_ENCAP_VXLAN && r->encap != OB_ENCAP_GENEVE)
		return fail(t, -EINVAL, "encap %u is none of 1 (vxlan), 2 (geneve)", r->encap);
	if (r->csum > 2)
		return fail(t, -EINVAL, "csum %u is none of 0 (default), 1 (on), 2 (off)", r->csum);
	if (r->encap == OB_ENCAP_VXLAN && (r->n_opts || r->n_match))
		return fail(t, -EINVAL, "VXLAN has no options; use geneve");
	if ((rc = check_ip(t, "remote", &r->remote, IP_HOST, &cfg->remote, NULL)) < 0)
		return rc;
	if (r->local.family != 0) {
		rc = check_ip(t, "local", &r->local, IP_HOST, &cfg->local, NULL);
		if (rc < 0)
			return rc;
		if (cfg->local.family != cfg->remote.family)
			return fail(
			    t, -EINVAL, "local and remote are of different address families");
		if (memcmp(&cfg->local, &cfg->remote, sizeof(cfg->local)) == 0)
			return fail(t, -EINVAL, "local and remote are the same address");
	}
	cfg->type = r->encap;
	cfg->csum = r->csum == 1;
	cfg->dst_port = r->port;
	cfg->ttl = r->ttl;
	cfg->n_opts = r->n_opts;
	cfg->n_match = r->n_match;
	rc = check_opts("option", r->opt, r->n_opts, cfg->opt, t);
	return rc < 0 ? rc : check_opts("match option", r->match, r->n_match, cfg->match, t);
}

static int apply(struct ob_card *c, uint32_t idx, const struct ob_tunnel_cfg *cfg, struct text *t)
{
	int rc = ob_tunnel_set(idx, cfg, t->s, sizeof(t->s));

	if (rc == -EEXIST && t->s[0] == '\0')
		fail(t, rc,
		    "another tunnel has this encapsulation, remote and port; see 'obctl tunnel "
		    "list'");
	return rc < 0 ? rc : ob_underlay_tunnel_add(c->conf.underlay, idx);
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_tunnel *r = rec;
	struct ob_tunnel_cfg cfg;
	uint32_t idx;
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = convert(r, &cfg, t)) < 0 ||
	    (rc = take_name(t, &c->tunnels, "tunnel", r->name, &idx)) < 0)
		return rc;
	rc = apply(c, idx, &cfg, t);
	if (rc < 0) {
		if (ob_tunnel_get(idx) != NULL)
			(void)ob_tunnel_del(idx);
		names_del(&c->tunnels, idx);
	}
	return rc;
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_tunnel *r = rec;
	struct ob_tunnel_cfg cfg;
	uint32_t idx;
	int rc = lookup(t, &c->tunnels, "tunnel", "name", r->name, &idx);

	if (rc < 0 || (rc = convert(r, &cfg, t)) < 0)
		return rc;
	return apply(c, idx, &cfg, t);
}

/* A mapping that uses the tunnel, for the text of an error: looked for only then. */
static int in_use(struct ob_card *c, const char *name, uint32_t idx, struct text *t)
{
	struct ob_mapping_cfg cfg;
	char buf[IP_TEXT];
	uint32_t at = 0;

	while (ob_mapping_next(&at, &cfg) == 0) {
		const char *vnet = names_get(&c->vnets, cfg.vnet);

		if (cfg.tunnel == idx && vnet != NULL)
			return fail(t, -EBUSY,
			    "tunnel %s is used by %u mappings, the first of %s in vnet %s; delete "
			    "them first",
			    name, ob_tunnel_refs(idx), ip_text(&cfg.ca, buf), vnet);
	}
	return fail(t, -EBUSY, "tunnel %s is in use", name);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_tunnel *r = rec;
	uint32_t idx;
	int rc = lookup(t, &c->tunnels, "tunnel", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	if (ob_tunnel_refs(idx) > 0)
		return in_use(c, r->name, idx, t);
	ob_underlay_tunnel_del(c->conf.underlay, idx);
	rc = ob_tunnel_del(idx);
	if (rc == 0)
		names_del(&c->tunnels, idx);
	return rc;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->tunnels, "tunnel", ((const struct ob_bus_tunnel *)f)->name);
}

static void put_opts(struct ob_bus_geneve_opt *out, const struct ob_geneve_opt *in, uint8_t n)
{
	for (unsigned i = 0; i < n; i++) {
		out[i].opt_class = rte_be_to_cpu_16(in[i].class_be);
		out[i].type = in[i].type;
		out[i].len = in[i].len;
		memcpy(out[i].data, in[i].data, in[i].len);
	}
}

static void fill(
    const struct ob_card *c, uint32_t idx, const struct ob_tunnel_cfg *cfg, struct ob_bus_tunnel *r)
{
	struct ob_tunnel_counters n = {0};
	struct ob_underlay_way way;

	strcpy(r->name, names_get(&c->tunnels, idx));
	r->encap = cfg->type;
	r->csum = cfg->csum ? 1 : 2;
	r->port = cfg->dst_port ? cfg->dst_port : cfg->type == OB_ENCAP_VXLAN ? 4789 : 6081;
	put_ip(&r->local, &cfg->local, ip_bits(cfg->local.family));
	put_ip(&r->remote, &cfg->remote, ip_bits(cfg->remote.family));
	r->ttl = cfg->ttl ? cfg->ttl : 64; /* what goes out */
	r->n_opts = cfg->n_opts;
	r->n_match = cfg->n_match;
	put_opts(r->opt, cfg->opt, cfg->n_opts);
	put_opts(r->match, cfg->match, cfg->n_match);
	if (ob_underlay_way(c->conf.underlay, idx, &way) == 0) {
		r->nexthop_ok = way.nexthop.valid;
		memcpy(r->nexthop_mac, way.nexthop.dmac, sizeof(r->nexthop_mac));
	}
	r->inner_mtu = ob_tunnel_inner_mtu(idx);
	ob_tunnel_counters(idx, &n);
	r->tx_pkts = n.tx_pkts;
	r->tx_bytes = n.tx_bytes;
	r->rx_pkts = n.rx_pkts;
	r->rx_bytes = n.rx_bytes;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_tunnel *want = f;
	const struct ob_tunnel_cfg *cfg;
	uint32_t i = names_next(&c->tunnels, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	cfg = ob_tunnel_get(i);
	if (cfg == NULL || (want->name[0] && strcmp(want->name, names_get(&c->tunnels, i)) != 0))
		return -EAGAIN;
	fill(c, i, cfg, rec);
	return 0;
}

static_assert(OB_BUS_MAX_OPTS == OB_GENEVE_MAX_OPTIONS, "the bus carries what the dataplane holds");

const struct noun noun_tunnel = {.name = "tunnel",
    .record_len = sizeof(struct ob_bus_tunnel),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
