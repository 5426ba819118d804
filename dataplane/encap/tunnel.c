/* SPDX-License-Identifier: BSD-3-Clause */
/* Control side: the tunnel records in the arena, and what workers see compiled from them. */
#include "encap_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYOUT 1

/* In the arena. */
struct record {
	uint32_t used;
	struct ob_tunnel_cfg cfg;
};
static_assert(sizeof(struct ob_geneve_opt) == 128, "arena layout");
static_assert(
    sizeof(struct ob_tunnel_cfg) == 48 + 16 * sizeof(struct ob_geneve_opt), "arena layout");

struct tunnel *encap_tunnels[OB_MAX_TUNNELS];
struct ob_map *encap_by_remote;
struct ob_tunnel_counters *encap_counters;

struct region {
	uint32_t n_high; /* records from here on were never used: they are not even looked at */
	uint32_t reserved[15];
	struct record record[OB_MAX_TUNNELS];
};

static struct region *region;
static struct record *records;
static struct ob_nexthop *nexthops; /* [OB_MAX_TUNNELS], control only */
static uint32_t *refs;

static int fail(int rc, char *err, size_t len, const char *why)
{
	if (err != NULL && len > 0)
		snprintf(err, len, "%s", why);
	return rc;
}

static struct ob_key key_of(const struct ob_tunnel_cfg *cfg)
{
	uint64_t ip[2];

	encap_words(&cfg->remote, ip);
	return encap_key(cfg->type, tmpl_port(cfg), cfg->remote.family == AF_INET6, ip[0], ip[1]);
}

static bool good_family(const struct ob_ip *ip)
{
	return ip->family == AF_INET || ip->family == AF_INET6;
}

/* Neither group nor zero, and nothing behind the four bytes of an IPv4 address: keys are compared whole. */
static bool is_unicast(const struct ob_ip *ip)
{
	static const uint8_t zero[16];

	if (memcmp(ip->b, zero, 16) == 0)
		return false;
	return ip->family == AF_INET ? ip->b[0] < 224 && memcmp(ip->b + 4, zero, 12) == 0
				     : ip->b[0] != 0xff;
}

static const char *check_opts(const struct ob_geneve_opt *opt, unsigned n)
{
	if (n > OB_GENEVE_MAX_OPTIONS)
		return "too many Geneve options";
	for (unsigned i = 0; i < n; i++)
		if (opt[i].len > sizeof(opt[i].data) || opt[i].len % 4 != 0)
			return "a Geneve option's length must be a multiple of 4, at most 124";
	if (tmpl_opts_bytes(opt, n) > OB_GENEVE_OPTS_BYTES)
		return "the Geneve options with their headers are longer than 128 bytes";
	return NULL;
}

static const char *check(const struct ob_tunnel_cfg *cfg)
{
	const char *why;

	if (cfg->type != OB_ENCAP_VXLAN && cfg->type != OB_ENCAP_GENEVE)
		return "the encapsulation must be VXLAN or Geneve";
	if (!good_family(&cfg->remote) || !is_unicast(&cfg->remote))
		return "the remote end must be a unicast IPv4 or IPv6 address";
	if (cfg->local.family != 0 &&
	    (cfg->local.family != cfg->remote.family || !is_unicast(&cfg->local)))
		return "the local address must be unicast and of the remote's family";
	if (cfg->type == OB_ENCAP_VXLAN && (cfg->n_opts > 0 || cfg->n_match > 0))
		return "only Geneve has options";
	why = check_opts(cfg->opt, cfg->n_opts);
	return why != NULL ? why : check_opts(cfg->match, cfg->n_match);
}

/* Collects the ports of all tunnels but 'skip', and of 'cfg' (may be NULL). */
static int ports_of(uint32_t skip, const struct ob_tunnel_cfg *cfg, struct port *port, unsigned *n)
{
	port[0] = (struct port){rte_cpu_to_be_16(RTE_VXLAN_DEFAULT_PORT), OB_ENCAP_VXLAN};
	port[1] = (struct port){rte_cpu_to_be_16(RTE_GENEVE_DEFAULT_PORT), OB_ENCAP_GENEVE};
	*n = 2;
	for (uint32_t i = 0; i <= region->n_high; i++) {
		const struct ob_tunnel_cfg *c = i == region->n_high ? cfg : &records[i].cfg;
		rte_be16_t p;
		unsigned j;

		if (c == NULL || (i < region->n_high && (!records[i].used || i == skip)))
			continue;
		if (c->dst_port == 0)
			continue;
		p = rte_cpu_to_be_16(c->dst_port);
		for (j = 0; j < *n && port[j].port != p; j++)
			;
		if (j < *n && port[j].type != c->type)
			return -EINVAL;
		if (j == OB_MAX_TUNNEL_PORTS)
			return -ENOSPC;
		if (j == *n)
			port[(*n)++] = (struct port){p, c->type};
	}
	return 0;
}

/* Only tunnels with a port of their own change the set, so many tunnels on the default port cost nothing here. */
static int publish_ports(uint32_t idx, const struct ob_tunnel_cfg *cfg, char *err, size_t err_len)
{
	struct port port[OB_MAX_TUNNEL_PORTS];
	bool had = records[idx].used && records[idx].cfg.dst_port != 0;
	unsigned n;
	int rc;

	if (!had && (cfg == NULL || cfg->dst_port == 0))
		return 0;
	rc = ports_of(idx, cfg, port, &n);
	if (rc == -EINVAL)
		return fail(rc, err, err_len, "the port is used by the other encapsulation");
	if (rc == -ENOSPC)
		return fail(rc, err, err_len, "too many different tunnel ports");
	return local_set_ports(port, n);
}

static struct tunnel *compile(const struct ob_tunnel_cfg *cfg, const struct ob_nexthop *nh)
{
	struct tunnel *t = aligned_alloc(
	    RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*t), (size_t)RTE_CACHE_LINE_SIZE));

	if (t == NULL)
		return NULL;
	memset(t, 0, sizeof(*t));
	tmpl_build(&t->tx, cfg, nh);
	t->has_local = cfg->local.family != 0;
	encap_words(&cfg->local, t->local);
	t->n_match = cfg->n_match;
	memcpy(t->match, cfg->match, sizeof(t->match));
	for (unsigned i = 0; i < cfg->n_match + (unsigned)cfg->n_opts; i++) {
		const struct ob_geneve_opt *o =
		    i < cfg->n_match ? &cfg->match[i] : &cfg->opt[i - cfg->n_match];

		t->known[t->n_known].class_be = o->class_be;
		t->known[t->n_known++].type = o->type;
	}
	return t;
}

static void publish(uint32_t idx, struct tunnel *t)
{
	struct tunnel *old = encap_tunnels[idx];

	ob_rcu_publish(&encap_tunnels[idx], t);
	ob_rcu_defer(free, old);
}

int ob_tunnel_set(uint32_t idx, const struct ob_tunnel_cfg *cfg, char *err, size_t err_len)
{
	struct record *r;
	struct ob_key key, old_key;
	const char *why;
	struct tunnel *t;
	uint32_t at;
	int rc;

	if (idx >= OB_MAX_TUNNELS)
		return fail(-EINVAL, err, err_len, "tunnel number out of range");
	r = &records[idx];
	why = check(cfg);
	if (why != NULL)
		return fail(-EINVAL, err, err_len, why);
	key = key_of(cfg);
	at = ob_map_get(encap_by_remote, &key);
	if (at != OB_TABLE_MISS && at != idx)
		return fail(-EEXIST, err, err_len,
		    "another tunnel has this encapsulation, remote address and port");
	if (!r->used || !ob_ip_equal(&r->cfg.remote, &cfg->remote) ||
	    (cfg->local.family != 0 && !ob_ip_equal(&nexthops[idx].src, &cfg->local)))
		memset(&nexthops[idx], 0, sizeof(nexthops[idx]));
	t = compile(cfg, &nexthops[idx]);
	if (t == NULL)
		return -ENOMEM;
	rc = publish_ports(idx, cfg, err, err_len);
	if (rc < 0)
		goto err_tunnel;
	rc = ob_map_set(encap_by_remote, &key, idx);
	if (rc < 0)
		goto err_tunnel;
	if (r->used) {
		old_key = key_of(&r->cfg);
		if (memcmp(&old_key, &key, sizeof(key)) != 0)
			ob_map_del(encap_by_remote, &old_key);
	}
	r->cfg = *cfg;
	r->used = 1;
	if (idx >= region->n_high)
		region->n_high = idx + 1;
	publish(idx, t);
	return 0;

err_tunnel:
	free(t);
	return rc;
}

int ob_tunnel_del(uint32_t idx)
{
	struct record *r;
	struct ob_key key;
	int rc;

	if (ob_tunnel_get(idx) == NULL)
		return -ENOENT;
	r = &records[idx];
	if (refs[idx] != 0)
		return -EBUSY;
	rc = publish_ports(idx, NULL, NULL, 0);
	if (rc < 0)
		return rc;
	key = key_of(&r->cfg);
	ob_map_del(encap_by_remote, &key);
	publish(idx, NULL);
	r->used = 0;
	memset(&nexthops[idx], 0, sizeof(nexthops[idx]));
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++)
		memset(
		    &encap_counters[i * (size_t)OB_MAX_TUNNELS + idx], 0, sizeof(*encap_counters));
	return 0;
}

const struct ob_tunnel_cfg *ob_tunnel_get(uint32_t idx)
{
	return idx < OB_MAX_TUNNELS && records != NULL && records[idx].used ? &records[idx].cfg
									    : NULL;
}

int ob_tunnel_hold(uint32_t idx)
{
	if (ob_tunnel_get(idx) == NULL)
		return -ENOENT;
	refs[idx]++;
	return 0;
}

void ob_tunnel_release(uint32_t idx)
{
	assert(idx < OB_MAX_TUNNELS && refs[idx] > 0);
	refs[idx]--;
}

uint32_t ob_tunnel_refs(uint32_t idx)
{
	return idx < OB_MAX_TUNNELS ? refs[idx] : 0;
}

int ob_tunnel_set_nexthop(uint32_t idx, const struct ob_nexthop *nh)
{
	const struct ob_tunnel_cfg *cfg = ob_tunnel_get(idx);
	struct ob_nexthop copy = *nh;
	struct tunnel *t;

	if (cfg == NULL)
		return -ENOENT;
	if (cfg->local.family != 0)
		copy.src = cfg->local;
	if (nh->valid && copy.src.family != cfg->remote.family)
		return -EINVAL;
	t = compile(cfg, &copy);
	if (t == NULL)
		return -ENOMEM;
	nexthops[idx] = copy;
	publish(idx, t);
	return 0;
}

const struct ob_nexthop *ob_tunnel_nexthop(uint32_t idx)
{
	return idx < OB_MAX_TUNNELS && nexthops[idx].valid ? &nexthops[idx] : NULL;
}

uint16_t ob_tunnel_inner_mtu(uint32_t idx)
{
	const struct tunnel *t = idx < OB_MAX_TUNNELS ? ob_rcu_load(&encap_tunnels[idx]) : NULL;

	return t != NULL ? t->tx.inner_mtu : 0;
}

void ob_tunnel_counters(uint32_t idx, struct ob_tunnel_counters *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; idx < OB_MAX_TUNNELS && i < OB_MAX_WORKERS; i++) {
		const struct ob_tunnel_counters *c =
		    &encap_counters[i * (size_t)OB_MAX_TUNNELS + idx];

		out->tx_pkts += __atomic_load_n(&c->tx_pkts, __ATOMIC_RELAXED);
		out->tx_bytes += __atomic_load_n(&c->tx_bytes, __ATOMIC_RELAXED);
		out->rx_pkts += __atomic_load_n(&c->rx_pkts, __ATOMIC_RELAXED);
		out->rx_bytes += __atomic_load_n(&c->rx_bytes, __ATOMIC_RELAXED);
	}
}

static int restore(void)
{
	struct port port[OB_MAX_TUNNEL_PORTS];
	unsigned n;

	if (region->n_high > OB_MAX_TUNNELS)
		return -EPROTO;
	for (uint32_t i = 0; i < region->n_high; i++) {
		struct record *r = &records[i];
		struct ob_key key;
		struct tunnel *t;

		if (!r->used)
			continue;
		key = key_of(&r->cfg);
		/* Written by an earlier version of us, but bytes all the same. */
		if (check(&r->cfg) != NULL || ob_map_get(encap_by_remote, &key) != OB_TABLE_MISS) {
			r->used = 0;
			continue;
		}
		t = compile(&r->cfg, &nexthops[i]);
		if (t == NULL || ob_map_set(encap_by_remote, &key, i) < 0) {
			free(t);
			return -ENOMEM;
		}
		encap_tunnels[i] = t;
	}
	if (ports_of(OB_TUNNEL_NONE, NULL, port, &n) < 0)
		return -EINVAL;
	return local_set_ports(port, n);
}

int ob_encap_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "encap.tunnel", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	records = region->record;
	rc = ob_arena_region(arena, "encap.counters", LAYOUT,
	    (size_t)OB_MAX_WORKERS * OB_MAX_TUNNELS * sizeof(*encap_counters), &p, &fresh);
	if (rc < 0)
		return rc;
	encap_counters = p;
	nexthops = calloc(OB_MAX_TUNNELS, sizeof(*nexthops));
	refs = calloc(OB_MAX_TUNNELS, sizeof(*refs));
	if (nexthops == NULL || refs == NULL)
		rc = -ENOMEM;
	if (rc == 0)
		rc = ob_map_create(2 * OB_MAX_TUNNELS, &encap_by_remote);
	if (rc == 0)
		rc = restore();
	if (rc < 0)
		ob_encap_fini();
	return rc;
}

void ob_encap_fini(void)
{
	for (uint32_t i = 0; region != NULL && i < OB_MAX_TUNNELS; i++)
		publish(i, NULL);
	local_fini();
	ob_map_destroy(encap_by_remote);
	encap_by_remote = NULL;
	free(nexthops);
	free(refs);
	nexthops = NULL;
	refs = NULL;
	records = NULL;
	region = NULL;
}
