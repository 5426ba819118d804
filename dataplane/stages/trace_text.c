/* SPDX-License-Identifier: BSD-3-Clause */
/* What a trace found, in words. */
#include "trace.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define TEXT 64

__attribute__((format(printf, 4, 5))) static void step(
    struct ob_trace *t, const char *stage, const char *result, const char *fmt, ...)
{
	/* The last place is the verdict's. */
	struct ob_trace_step *s = &t->step[t->n < OB_TRACE_STEPS - 1 ? t->n++ : OB_TRACE_STEPS - 2];
	va_list ap;

	snprintf(s->stage, sizeof(s->stage), "%s", stage);
	snprintf(s->result, sizeof(s->result), "%s", result);
	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
}

static const char *name(
    const struct trace_run *r, enum ob_trace_kind kind, uint32_t idx, char buf[TEXT])
{
	static const char *const kinds[] = {
	    [OB_TRACE_ENI] = "eni",
	    [OB_TRACE_FUNCTION] = "function",
	    [OB_TRACE_VNET] = "vnet",
	    [OB_TRACE_TUNNEL] = "tunnel",
	    [OB_TRACE_GROUP] = "security group",
	    [OB_TRACE_POOL] = "pool",
	};
	const char *n = r->names != NULL && r->names->get != NULL
			    ? r->names->get(r->names->ctx, kind, idx)
			    : NULL;

	if (n != NULL)
		snprintf(buf, TEXT, "%s %s", kinds[kind], n);
	else
		snprintf(buf, TEXT, "%s %u", kinds[kind], idx);
	return buf;
}

static const char *ip_text(bool is_ip6, const void *ip, char buf[TEXT])
{
	if (inet_ntop(is_ip6 ? AF_INET6 : AF_INET, ip, buf, TEXT) == NULL)
		snprintf(buf, TEXT, "?");
	return buf;
}

static const char *mac_text(const uint8_t m[6], char buf[TEXT])
{
	snprintf(buf, TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return buf;
}

static const char *proto_text(uint8_t proto, char buf[TEXT])
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	case IPPROTO_SCTP:
		return "sctp";
	default:
		snprintf(buf, TEXT, "protocol %u", proto);
		return buf;
	}
}

/* ---- the packet ---- */

static void text_packet(const struct trace_run *r, struct ob_trace *t)
{
	const struct ob_trace_req *q = r->req;
	bool is_ip6 = q->src.family == AF_INET6;
	char a[TEXT], b[TEXT], c[TEXT], d[TEXT], e[TEXT], f[TEXT];

	ip_text(is_ip6, q->src.b, a);
	ip_text(is_ip6, q->dst.b, b);
	if (q->proto == IPPROTO_ICMP || q->proto == IPPROTO_ICMPV6)
		step(t, "packet", "ok", "%s %s > %s, id %u, %u bytes, MACs %s > %s",
		    proto_text(q->proto, c), a, b, q->sport, r->ip_len, mac_text(q->smac, d),
		    mac_text(q->dmac, e));
	else
		step(t, "packet", "ok",
		    is_ip6 ? "%s [%s]:%u > [%s]:%u, %u bytes, MACs %s > %s"
			   : "%s %s:%u > %s:%u, %u bytes, MACs %s > %s",
		    proto_text(q->proto, c), a, q->sport, b, q->dport, r->ip_len,
		    mac_text(q->smac, d), mac_text(q->dmac, e));
	if (q->from_guest)
		return;
	if (q->tunnel != UINT32_MAX)
		step(t, "decap", "ok", "from %s, vni %u", name(r, OB_TRACE_TUNNEL, q->tunnel, f),
		    q->vni);
	else
		step(t, "decap", "ok", "vni %u; which tunnel it came by was not told", q->vni);
}

/* ---- allowances ---- */

static void add_limit(char *buf, size_t len, const char *what, uint64_t rate, uint64_t refused)
{
	size_t at = strlen(buf);

	if (rate != 0)
		snprintf(buf + at, len - at, "%s%s %" PRIu64 "/s (refused so far: %" PRIu64 ")",
		    at > 0 ? ", " : "", what, rate, refused);
}

static void text_meter(const struct trace_pass *p, struct ob_trace *t)
{
	enum ob_meter_kind bw = p->from_guest ? OB_METER_BW_OUT : OB_METER_BW_IN;
	enum ob_meter_kind pps = p->from_guest ? OB_METER_PPS_OUT : OB_METER_PPS_IN;
	struct ob_meter_cfg cfg;
	char buf[160] = "";

	if (ob_meter_get(p->eni, &cfg) < 0)
		return;
	add_limit(buf, sizeof(buf), "bits", cfg.rate[bw], ob_meter_exceeded(p->eni, bw));
	add_limit(buf, sizeof(buf), "packets", cfg.rate[pps], ob_meter_exceeded(p->eni, pps));
	if (buf[0] == '\0')
		step(t, "meter", "no limit", "bandwidth and packets %s the guest are not limited",
		    p->from_guest ? "from" : "to");
	else
		step(t, "meter", "not charged", "%s", buf);
}

static void text_limits(const struct trace_pass *p, struct ob_trace *t)
{
	struct ob_session_eni_counters c;
	struct ob_meter_cfg cfg = {0};
	uint64_t limit = ob_meter_conn_limit(p->eni);
	char buf[160] = "", max[32] = "no limit";

	ob_session_eni_read(p->eni, &c);
	ob_meter_get(p->eni, &cfg);
	add_limit(buf, sizeof(buf), "; new connections", cfg.rate[OB_METER_CPS],
	    ob_meter_exceeded(p->eni, OB_METER_CPS));
	if (limit != 0)
		snprintf(max, sizeof(max), "limit %" PRIu64, limit);
	step(t, "connections", limit != 0 && c.live >= limit ? "full" : "ok",
	    "%u live (%s), %u of them not answered; refused so far: %" PRIu64 "%s", c.live, max,
	    c.half_open, c.n_refused_live + c.n_refused_half_open, buf);
}

/* ---- a connection that is known ---- */

static void text_session(const struct trace_pass *p, struct ob_trace *t)
{
	const struct ob_session_info *i = &p->info;

	if (!p->hit) {
		step(t, "session", "miss", "no connection has it (worker %u, policy generation %u)",
		    p->worker, p->gen);
		return;
	}
	step(t, "session", "hit",
	    "%s on worker %u; this way is %s; age %u s, idle %u s, ends in %u s; packets %" PRIu64
	    " and %" PRIu64 " back, bytes %" PRIu64 " and %" PRIu64 "%s",
	    ob_session_state_name(i->state), p->worker,
	    p->dir == 0 ? "the initiator's" : "the answers'", i->age_s, i->idle_s, i->expires_s,
	    i->n_pkts[0], i->n_pkts[1], i->n_bytes[0], i->n_bytes[1],
	    p->m.ip_proto == IPPROTO_TCP ? "; TCP state and window are not judged" : "");
	if (p->stale)
		step(t, "session", "decided anew",
		    i->gen[p->dir] == OB_SESSION_NO_GEN
			? "the way of this direction is not known yet (policy generation %u)"
			: "the policy has changed since: generation %u",
		    p->gen);
}

/* ---- from a guest, way unknown ---- */

/* The route that covers the destination, found again in what was configured. */
static bool find_route(
    const struct trace_pass *p, const struct ob_ip *dst, struct ob_route_cfg *out)
{
	const struct ob_eni_cfg *eni = ob_eni_get(p->eni);
	unsigned bits = dst->family == AF_INET ? 32 : 128;
	struct ob_ip prefix = *dst;

	for (unsigned len = bits; eni != NULL; len--) {
		if (len < bits)
			prefix.b[len / 8] &= (uint8_t)(0xff00 >> (len % 8));
		if (ob_route_get(eni->vnet, &prefix, (uint8_t)len, out) == 0)
			return true;
		if (len == 0)
			break;
	}
	return false;
}

static void text_hop(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	bool is_ip6 = (p->why.key.w[0] >> 48 & 0xff) == AF_INET6;
	char a[TEXT], b[TEXT];

	step(t, "route", "next hop", "%s in %s, chosen by the flow's hash",
	    ip_text(is_ip6, &p->why.key.w[1], a), name(r, OB_TRACE_VNET, p->first.to, b));
}

static void text_route(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	struct ob_route_cfg c;
	char prefix[TEXT + 8], a[TEXT];

	if (!find_route(p, &r->req->dst, &c)) {
		bool on_link = p->why.key.w[0] != 0;

		step(t, "route", on_link ? "on link" : "none",
		    on_link ? "no route covers it, but a prefix of the ENI does"
			    : "neither a route nor a prefix of the ENI covers it");
		return;
	}
	snprintf(prefix, sizeof(prefix), "%s/%u",
	    ip_text(c.prefix.family == AF_INET6, c.prefix.b, a), c.prefix_len);
	switch (c.action) {
	case OB_ROUTE_DROP:
		step(t, "route", "drop", "%s", prefix);
		break;
	case OB_ROUTE_VNET:
		step(t, "route", "vnet", "%s to %s", prefix, name(r, OB_TRACE_VNET, c.to_vnet, a));
		break;
	default:
		step(t, "route", c.action == OB_ROUTE_NAT ? "nat" : "via",
		    "%s to %s by %u next hop%s", prefix, name(r, OB_TRACE_VNET, c.to_vnet, a),
		    c.n_hops, c.n_hops == 1 ? "" : "s");
		if (p->why.key.w[0] != 0)
			text_hop(r, p, t);
	}
}

static void text_mapping(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	char a[TEXT], b[TEXT], c[TEXT];

	if (p->why.addr != OB_TABLE_MISS) {
		step(t, "mapping", "public address", "it is a public address of this card%s%s",
		    IS_DROP(p->first_verdict) ? "" : ", and its owner is ",
		    IS_DROP(p->first_verdict) ? "" : name(r, OB_TRACE_FUNCTION, p->m.out_vif, a));
	} else if (p->why.value == OB_TABLE_MISS) {
		step(t, "mapping", "none", "%s has no mapping and no ENI for it",
		    name(r, OB_TRACE_VNET, p->first.to, a));
	} else if (p->why.value & OB_CA_ENI) {
		step(t, "mapping", "local", "%s of this card",
		    name(r, OB_TRACE_ENI, p->why.value & ~OB_CA_ENI, a));
	} else if (p->first_verdict == GO) {
		step(t, "mapping", "tunnel", "%s, vni %u, MAC %s",
		    name(r, OB_TRACE_TUNNEL, p->m.tunnel, a), p->m.vni, mac_text(p->m.new_dmac, c));
	} else {
		const struct ob_mapping *map = ob_mapping_at(p->why.value);

		step(t, "mapping", "tunnel", "%s", name(r, OB_TRACE_TUNNEL, map->tunnel, b));
	}
}

static bool is_source_drop(verdict_t v)
{
	return v == DROP(OB_DROP_SPOOFED_MAC) || v == DROP(OB_DROP_SPOOFED_IP) ||
	       v == DROP(OB_DROP_VLAN) || v == DROP(OB_DROP_MULTICAST);
}

static void text_first(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	verdict_t v = p->first_verdict;

	if (is_source_drop(v)) {
		step(t, "anti-spoofing", "drop", "%s", ob_drop_help(LOW(v)));
		return;
	}
	step(t, "anti-spoofing", "ok", "MAC and address are the ENI's own");
	/* Some never get to the routes. */
	if (v == DROP(OB_DROP_NO_ENI) || (IS_EDGE(v) && LOW(v) != OB_EDGE_TTL) ||
	    v == DROP(OB_DROP_TO_ROUTER))
		return;
	text_route(r, p, t);
	if (v != DROP(OB_DROP_NO_ROUTE) && v != DROP(OB_DROP_ROUTE_DROP))
		text_mapping(r, p, t);
}

/* ---- may it open a connection ---- */

static void text_acl(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	static const char *const words[] = {
	    [OB_ACL_SKIPPED] = "skipped",
	    [OB_ACL_NO_MATCH] = "deny",
	    [OB_ACL_PERMITS] = "permit",
	    [OB_ACL_DENIES] = "deny",
	    [OB_ACL_PERMITS_SOFTLY] = "permit, goes on",
	    [OB_ACL_DENIES_SOFTLY] = "deny, goes on",
	};
	const char *dir = p->acl_dir == OB_ACL_OUT ? "out" : "in";
	char stage[16], a[TEXT];

	if (p->acl.by_default) {
		snprintf(stage, sizeof(stage), "acl %s", dir);
		step(t, stage, p->acl.verdict == OB_ACL_PERMIT ? "permit" : "deny",
		    "no stage has a security group for it: the ENI's default");
		return;
	}
	for (unsigned i = 0; i < OB_ACL_STAGES; i++) {
		uint8_t result = p->acl.stage[i].result;

		if (result == OB_ACL_SKIPPED || result > OB_ACL_DENIES_SOFTLY)
			continue;
		snprintf(stage, sizeof(stage), "acl %s %u", dir, i + 1);
		name(r, OB_TRACE_GROUP, p->acl.stage[i].group, a);
		if (result == OB_ACL_NO_MATCH)
			step(t, stage, words[result], "%s: no rule matches", a);
		else
			step(t, stage, words[result], "%s, rule %u%s", a, p->acl.stage[i].priority,
			    p->acl.decided_stage == i + 1 ? ": decides" : "");
	}
}

static void text_nat_new(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	char a[TEXT], b[TEXT];

	if (IS_DROP(p->verdict) && p->nat.pool == OB_IDX_NONE)
		step(t, "nat", "drop", "the ENI has neither a floating IP nor a pool there");
	else if (IS_DROP(p->verdict))
		step(t, "nat", "drop", "%s", ob_drop_help(LOW(p->verdict)));
	else if (p->nat.floating)
		step(t, "nat", "floating ip", "source becomes %s, ports stay",
		    ip_text(false, &p->nat.ip, a));
	else if (p->nat.known)
		step(t, "nat", "pool", "source becomes %s with a port of the ENI's block (%s)",
		    ip_text(false, &p->nat.ip, a), name(r, OB_TRACE_POOL, p->nat.pool, b));
	else
		step(t, "nat", "pool", "source becomes an address of %s with a port of a new block",
		    name(r, OB_TRACE_POOL, p->nat.pool, b));
}

/* Addresses after the translation of a known direction: the other's key, turned around. */
static void text_nat_known(
    const union ob_session_key *other, unsigned family, const char *what, struct ob_trace *t)
{
	char a[TEXT], b[TEXT];
	uint16_t ports[2];

	memcpy(ports, family == 4 ? &other->v4.ports : &other->v6.ports, 4);
	if (family == 4)
		step(t, "nat", what, "becomes %s:%u > %s:%u",
		    ip_text(false, (const uint8_t *)&other->v4.addrs + 4, a),
		    rte_be_to_cpu_16(ports[1]), ip_text(false, &other->v4.addrs, b),
		    rte_be_to_cpu_16(ports[0]));
	else
		step(t, "nat", what, "becomes [%s]:%u > [%s]:%u", ip_text(true, other->v6.dst, a),
		    rte_be_to_cpu_16(ports[1]), ip_text(true, other->v6.src, b),
		    rte_be_to_cpu_16(ports[0]));
}

static void text_nat(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	if (p->asked_nat)
		text_nat_new(r, p, t);
	else if (p->hit && (p->info.way[p->dir].flags & WAY_NAT) && p->verdict == GO)
		text_nat_known(&p->info.key[!p->dir], p->info.family[!p->dir], "known", t);
	else if (p->is_new && !p->from_guest && (p->n.way[0].flags & WAY_NAT))
		text_nat_known(&p->n.key[1], p->n.family[1], "floating ip", t);
}

static void text_pmtu(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	static const char *const words[] = {[PMTU_FITS] = "fits",
	    [PMTU_TOLD] = "too big",
	    [PMTU_CUT] = "cut",
	    [PMTU_SMALLER] = "smaller segments"};

	if (p->m.mtu == 0)
		step(t, "pmtu", "unknown", "the way out has no MTU: no next hop");
	else
		step(t, "pmtu", words[p->pmtu], "%u bytes, the way takes %u%s", r->ip_len, p->m.mtu,
		    p->pmtu == PMTU_TOLD  ? "; its sender is told by ICMP"
		    : p->pmtu == PMTU_CUT ? "; it goes in fragments"
					  : "");
}

static void text_pass(const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t)
{
	char a[TEXT], b[TEXT];

	if (!p->done)
		return;
	if (!p->from_guest)
		step(t, "deliver", "found", "%s, %s", name(r, OB_TRACE_ENI, p->eni, a),
		    name(r, OB_TRACE_FUNCTION, p->m.out_vif, b));
	text_meter(p, t);
	text_session(p, t);
	if (p->asked_first)
		text_first(r, p, t);
	if (p->asked_acl)
		text_acl(r, p, t);
	if (p->is_new && p->asked_acl && p->acl.verdict == OB_ACL_PERMIT)
		text_limits(p, t);
	text_nat(r, p, t);
	if (p->asked_pmtu)
		text_pmtu(r, p, t);
}

/* ---- the verdict ---- */

static const char *answer_of(unsigned edge)
{
	switch (edge) {
	case OB_EDGE_ARP:
	case OB_EDGE_ND:
		return "neighbour discovery";
	case OB_EDGE_DHCP4:
	case OB_EDGE_DHCP6:
		return "DHCP";
	case OB_EDGE_ECHO:
		return "echo reply of the virtual router";
	case OB_EDGE_TTL:
		return "ICMP: time exceeded";
	default:
		return "ICMP: packet too big";
	}
}

static void text_tunnel(
    const struct trace_run *r, const struct trace_pass *p, struct ob_trace *t, verdict_t *v)
{
	const struct ob_tunnel_cfg *c = ob_tunnel_get(p->m.tunnel);
	const struct ob_nexthop *nh = ob_tunnel_nexthop(p->m.tunnel);
	char a[TEXT], b[TEXT], d[TEXT], e[TEXT];

	if (c == NULL || nh == NULL) {
		*v = DROP(OB_DROP_NO_NEXTHOP);
		step(t, "encap", "drop", "%s: %s", name(r, OB_TRACE_TUNNEL, p->m.tunnel, a),
		    ob_drop_help(OB_DROP_NO_NEXTHOP));
		return;
	}
	step(t, "encap", "ok", "%s, %s to %s, vni %u; from %s by next hop %s, underlay MTU %u",
	    name(r, OB_TRACE_TUNNEL, p->m.tunnel, a),
	    c->type == OB_ENCAP_VXLAN ? "vxlan" : "geneve",
	    ip_text(c->remote.family == AF_INET6, c->remote.b, b), p->m.vni,
	    ip_text(nh->src.family == AF_INET6, nh->src.b, d), mac_text(nh->dmac, e), nh->mtu);
}

void trace_text(const struct trace_run *r, struct ob_trace *t)
{
	const struct trace_pass *p = &r->pass[r->pass[1].done];
	verdict_t v = p->verdict;
	struct ob_trace_step *last;
	char a[TEXT];

	memset(t, 0, sizeof(*t));
	text_packet(r, t);
	text_pass(r, &r->pass[0], t);
	text_pass(r, &r->pass[1], t);
	if (v == GO && p->m.out_vif == OB_VIF_NONE)
		text_tunnel(r, p, t, &v);
	t->eni = p->eni;
	t->tunnel = p->m.tunnel;
	last = &t->step[t->n++];
	snprintf(last->stage, sizeof(last->stage), "verdict");
	if (IS_DROP(v)) {
		t->verdict = OB_TRACE_DROPPED;
		t->reason = (uint8_t)LOW(v);
		snprintf(last->result, sizeof(last->result), "dropped");
		snprintf(last->text, sizeof(last->text), "%s: %s", ob_drop_name(LOW(v)),
		    ob_drop_help(LOW(v)));
	} else if (IS_EDGE(v) && LOW(v) != OB_EDGE_FRAGMENT) {
		t->verdict = OB_TRACE_ANSWERED;
		snprintf(last->result, sizeof(last->result), "answered");
		snprintf(last->text, sizeof(last->text), "by the card: %s", answer_of(LOW(v)));
	} else if (p->unknown && p->m.out_vif != OB_VIF_NONE) {
		t->verdict = OB_TRACE_UNKNOWN;
		snprintf(last->result, sizeof(last->result), "not followed");
		snprintf(last->text, sizeof(last->text),
		    "to a guest of this card by its public address: that ENI's verdict depends on "
		    "the port");
	} else if (p->m.out_vif == OB_VIF_NONE) {
		t->verdict = OB_TRACE_SENT;
		snprintf(last->result, sizeof(last->result), "sent");
		snprintf(last->text, sizeof(last->text), "into %s with vni %u",
		    name(r, OB_TRACE_TUNNEL, p->m.tunnel, a), p->m.vni);
	} else {
		t->verdict = OB_TRACE_DELIVERED;
		snprintf(last->result, sizeof(last->result), "delivered");
		snprintf(last->text, sizeof(last->text), "to %s", name(r, OB_TRACE_ENI, p->eni, a));
	}
}
