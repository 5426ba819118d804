/* SPDX-License-Identifier: BSD-3-Clause */
/* A packet that is made up, taken through the decisions of the stages on the workers that would make them. */
#include "trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>

#define FRAME_MAX (OB_HEADROOM + 65535 + 64)
#define LEN_MAX	  65000
#define TTL	  64
#define SYN	  0x02

/* ---- the packet ---- */

static int fail(char *err, size_t err_len, int rc, const char *text)
{
	if (err != NULL)
		snprintf(err, err_len, "%s", text);
	return rc;
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static uint16_t l4_len(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return sizeof(struct rte_tcp_hdr);
	case IPPROTO_SCTP:
		return 12;
	default:
		return 8;
	}
}

static int check(const struct ob_trace_req *q, char *err, size_t err_len)
{
	bool is_ip6 = q->src.family == AF_INET6;
	uint16_t least = (uint16_t)((is_ip6 ? 40 : 20) + l4_len(q->proto));

	if ((q->src.family != AF_INET && !is_ip6) || q->src.family != q->dst.family)
		return fail(
		    err, err_len, -EINVAL, "source and destination are both IPv4 or both IPv6");
	if (q->len != 0 && q->len < least)
		return fail(err, err_len, -EINVAL, "shorter than its headers");
	if (q->len > LEN_MAX)
		return fail(err, err_len, -EINVAL, "at most 65000 bytes");
	if ((q->proto == IPPROTO_ICMP && is_ip6) || (q->proto == IPPROTO_ICMPV6 && !is_ip6))
		return fail(err, err_len, -EINVAL, "ICMP is IPv4's, ICMPv6 is IPv6's");
	if (is_ip6 && (q->proto == IPPROTO_HOPOPTS || q->proto == IPPROTO_ROUTING ||
			  q->proto == IPPROTO_FRAGMENT || q->proto == IPPROTO_DSTOPTS ||
			  q->proto == IPPROTO_AH))
		return fail(err, err_len, -EINVAL, "that is an extension header");
	return 0;
}

static uint8_t icmp_type(const struct ob_trace_req *q)
{
	if (q->dport != 0)
		return (uint8_t)(q->dport >> 8);
	return q->proto == IPPROTO_ICMP ? RTE_IP_ICMP_ECHO_REQUEST : 128;
}

static void put_l4(const struct ob_trace_req *q, uint8_t *p, uint16_t len)
{
	memset(p, 0, len);
	if (is_icmp(q->proto)) {
		p[0] = icmp_type(q);
		p[1] = (uint8_t)q->dport;
		store16(p + 4, q->sport);
		return;
	}
	if (q->proto != IPPROTO_TCP && q->proto != IPPROTO_UDP && q->proto != IPPROTO_SCTP)
		return;
	store16(p, q->sport);
	store16(p + 2, q->dport);
	if (q->proto == IPPROTO_UDP)
		store16(p + 4, len);
	if (q->proto == IPPROTO_TCP) {
		p[12] = 5 << 4;
		p[13] = q->tcp_flags ? q->tcp_flags : SYN;
	}
}

static void put_packet(const struct ob_trace_req *q, struct rte_mbuf *m)
{
	bool is_ip6 = q->src.family == AF_INET6;
	uint16_t hdr = is_ip6 ? 40 : 20, payload = l4_len(q->proto);
	uint8_t *ip = answer_ether(rte_pktmbuf_mtod(m, uint8_t *), q->dmac, q->smac,
	    is_ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	rte_be32_t src, dst;

	if (q->len > hdr)
		payload = (uint16_t)(q->len - hdr);
	memcpy(&src, q->src.b, 4);
	memcpy(&dst, q->dst.b, 4);
	if (is_ip6) {
		answer_ip6(ip, q->src.b, q->dst.b, q->proto, q->ttl ? q->ttl : TTL, payload);
	} else {
		answer_ip4(ip, src, dst, q->proto, payload);
		ip[8] = q->ttl ? q->ttl : TTL;
		if (q->no_df)
			ip[6] = 0;
		store16(ip + 10, 0);
		src = (uint16_t)~rte_raw_cksum(ip, 20);
		memcpy(ip + 10, &src, 2);
	}
	put_l4(q, ip + hdr, payload);
	m->data_len = (uint16_t)(RTE_ETHER_HDR_LEN + hdr + payload);
	m->pkt_len = m->data_len;
}

/* Not of a pool, and never given to anything that frees. */
static struct rte_mbuf *make_packet(const struct ob_trace_req *q)
{
	uint8_t *mem = calloc(1, sizeof(struct rte_mbuf) + FRAME_MAX);
	struct rte_mbuf *m = (struct rte_mbuf *)(void *)mem;

	if (m == NULL)
		return NULL;
	m->buf_addr = mem + sizeof(*m);
	m->buf_len = UINT16_MAX;
	m->data_off = OB_HEADROOM;
	m->nb_segs = 1;
	rte_mbuf_refcnt_set(m, 1);
	put_packet(q, m);
	return m;
}

/* ---- on the workers ---- */

static void judge(struct trace_pass *p, unsigned why)
{
	p->verdict = why == OB_PASS ? GO : DROP(why);
}

static bool ttl_is_out(const struct trace_pass *p)
{
	return (p->m.flags & OB_PKT_ROUTED) &&
	       *(l3_of(p->pkt, &p->m) + (p->m.flags & OB_PKT_IP4 ? 8 : 7)) <= 1;
}

/* Of a known session that was decided under the policy of now. */
static void judge_hit(struct ob_session_shard *s, struct trace_pass *p)
{
	const struct ob_session_way *way = ob_session_way(s, p->m.session);
	struct way_memo memo = WAY_MEMO_NONE;

	if (ttl_is_out(p)) {
		p->verdict = p->from_guest ? EDGE(OB_EDGE_TTL) : DROP(OB_DROP_TTL_EXPIRED);
		return;
	}
	judge(p, session_wrong_side(way, p->from_guest) ? OB_DROP_SPOOFED_IP : OB_PASS);
	if (p->verdict == GO)
		take_way(&memo, &p->m, way);
}

/* What a new connection's source becomes. */
static void judge_nat(struct trace_pass *p)
{
	rte_be32_t dst;
	unsigned why = ob_nat_peek(p->worker, p->eni, p->first.to, p->pkt, &p->m, &p->nat);

	p->asked_nat = true;
	if (why == OB_PASS && (p->m.flags & OB_PKT_IP6)) {
		if (!ob_nat64_to_ip4(p->eni, l3_of(p->pkt, &p->m) + 24, &dst))
			why = OB_DROP_NAT_UNTRANSLATABLE;
		else if (p->m.mtu != 0)
			p->m.mtu = (uint16_t)(p->m.mtu - ob_nat64_growth(&p->m));
	}
	judge(p, why);
}

static void judge_policy(struct ob_session_shard *s, const struct ob_eni *eni, struct trace_pass *p)
{
	struct ob_meta *m = &p->m;
	bool by_guest = p->from_guest;
	unsigned why;

	p->first.to = m->flags & OB_PKT_TO_NAT ? vnet_of_vni(m->vni) : OB_MAX_VNETS - 1;
	if (p->from_guest) {
		p->asked_first = true;
		p->verdict = p->first_verdict = first_decide(eni, p->pkt, m, &p->first, &p->why);
		if (p->verdict != GO)
			return;
	}
	p->acl.verdict = UINT8_MAX;
	if (p->hit) {
		by_guest = (p->dir == 0) == p->from_guest;
		why = admit_again(s, eni, p->from_guest, m, p->first, &p->acl);
	} else {
		p->is_new = true;
		p->n = (struct ob_session_new){.tag = OB_SESSION_NO_TAG, .gen = {p->gen, 0}};
		p->n.family[0] = (uint8_t)admit_key(p->pkt, m, p->first.ports, &p->n.key[0]);
		why = admit_new(eni, p->from_guest, &p->n, p->pkt, m, p->first, &p->acl);
	}
	p->asked_acl = p->acl.verdict != UINT8_MAX;
	p->acl_dir = by_guest ? OB_ACL_OUT : OB_ACL_IN;
	judge(p, why);
	if (p->verdict == GO && p->is_new && p->from_guest && (m->flags & OB_PKT_NAT))
		judge_nat(p);
}

/* The packet as the next ENI sees it. */
static void translate(struct ob_worker *w, struct trace_pass *p)
{
	uint8_t *ip = l3_of(p->pkt, &p->m);
	struct ob_nat_to4 to;

	if (p->hit) {
		judge(p, apply_translation(w, p->pkt, &p->m));
		return;
	}
	p->unknown = !p->nat.floating || !(p->m.flags & OB_PKT_IP4);
	if (p->unknown)
		return;
	to.src = p->nat.ip;
	memcpy(&to.dst, ip + 16, 4);
	to.ports = p->first.ports;
	if (p->m.flags & OB_PKT_ICMP)
		memcpy(&to.ports, (uint16_t[2]){(uint16_t)p->first.ports, (uint16_t)p->first.ports},
		    4);
	ob_nat_rewrite4(p->pkt, &p->m, &to);
}

static int one_pass(struct ob_worker *w, void *arg)
{
	struct trace_pass *p = arg;
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));
	const struct ob_eni *eni = ob_eni_at(p->eni);
	struct ob_meta *m = &p->m;
	union ob_session_key k;
	unsigned rc = OB_PASS;

	p->done = true;
	if (eni == NULL) {
		p->verdict = DROP(p->from_guest ? OB_DROP_NO_ENI : OB_DROP_NO_INNER_ENI);
		return 0;
	}
	/* The clock only: what has expired by now is seen to be so. */
	ob_session_set_now(s, rte_rdtsc());
	p->gen = ob_session_eni_gen(eni->idx);
	m->eni = eni->idx;
	m->session = OB_SESSION_NONE;
	if (p->from_guest)
		m->flags |= is_routed(eni, p->pkt);
	if (!p->from_guest || session_is_own(eni, p->pkt, m)) {
		unsigned family = m->flags & OB_PKT_IP4 ? 4 : 6;

		rc = family == 4 ? ob_session_key4_of(p->pkt, m, m->eni, &k.v4)
				 : ob_session_key6_of(p->pkt, m, m->eni, &k.v6);
		p->first.ports = family == 4 ? k.v4.ports : k.v6.ports;
		if (rc == OB_PASS)
			m->session = admit_find(s, family, &k);
	}
	if (rc != OB_PASS) {
		p->verdict = DROP(rc < OB_N_DROPS ? rc : OB_DROP_ICMP_UNRELATED);
		return 0;
	}
	p->hit = m->session != OB_SESSION_NONE &&
		 ob_session_read(ob_worker_id(w), m->session, &p->info) == 0;
	if (p->hit) {
		p->dir = ob_session_dir(m->session);
		p->stale = ob_session_gen(s, m->session) != p->gen;
	}
	if (p->hit && !p->stale)
		judge_hit(s, p);
	else
		judge_policy(s, eni, p);
	if (p->verdict == GO && p->from_guest) {
		p->asked_pmtu = true;
		p->pmtu = pmtu_decide(p->pkt, m);
		if (p->pmtu == PMTU_TOLD)
			p->verdict = EDGE(OB_EDGE_TOO_BIG);
		else if (m->flags & OB_PKT_NAT)
			translate(w, p);
	}
	return 0;
}

/* From a guest of this card to another one of it: judged as that one's. */
static int to_local(struct ob_worker *w, void *arg)
{
	struct trace_pass *p = arg;
	const struct ob_eni *eni = ob_eni_of_vif(p->m.out_vif);
	unsigned why = OB_DROP_NO_ENI;

	if (eni != NULL) {
		p->m.eni = eni->idx;
		p->m.flags &= (uint16_t) ~(OB_PKT_NAT | OB_PKT_ROUTED);
		p->m.flags |= p->m.flags & OB_PKT_TO_NAT ? OB_PKT_ROUTED : 0;
		why = deliver_public_decide(w, p->pkt, &p->m);
	}
	if (why == OB_PASS)
		why = place_decide(ob_session_shard(ob_worker_id(w)), p->pkt, &p->m, &p->worker);
	p->eni = p->m.eni;
	judge(p, why);
	return 0;
}

static int from_wire(struct ob_worker *w, void *arg)
{
	struct trace_pass *p = arg;
	unsigned why;

	p->verdict = deliver_decide(w, p->pkt, &p->m);
	if (p->verdict != GO)
		return 0;
	p->eni = p->m.eni;
	why = place_decide(ob_session_shard(ob_worker_id(w)), p->pkt, &p->m, &p->worker);
	judge(p, why);
	return 0;
}

/* ---- control ---- */

static void go_out(struct trace_run *r)
{
	struct trace_pass *a = &r->pass[0], *b = &r->pass[1];
	unsigned why = place_decide(ob_session_shard(0), a->pkt, &a->m, &a->worker);

	judge(a, why);
	if (why != OB_PASS)
		return;
	ob_worker_call(ob_worker_get(a->worker), one_pass, a);
	if (a->verdict != GO || a->m.out_vif == OB_VIF_NONE || a->unknown)
		return;
	*b = (struct trace_pass){.pkt = a->pkt, .m = a->m};
	ob_worker_call(ob_worker_get(a->worker), to_local, b);
	if (b->verdict == GO)
		ob_worker_call(ob_worker_get(b->worker), one_pass, b);
	b->done = true;
}

static void come_in(struct trace_run *r)
{
	struct trace_pass *p = &r->pass[0];

	ob_worker_call(ob_worker_get(0), from_wire, p);
	r->arrival = p->verdict;
	if (p->verdict == GO)
		ob_worker_call(ob_worker_get(p->worker), one_pass, p);
}

static bool is_zero(const uint8_t mac[6])
{
	return rte_is_zero_ether_addr((const struct rte_ether_addr *)mac);
}

/* The MAC that ARP would tell an ENI's guest; its router's where nobody has the address. */
static void arp(const struct ob_eni *eni, const struct ob_ip *ip, uint8_t mac[6])
{
	struct ob_mapping_cfg map;
	uint32_t value;
	struct ob_key key =
	    ip->family == AF_INET6 ? ob_key_ca6(eni->vnet, ip->b) : (struct ob_key){{0, 0, 0}};
	rte_be32_t ip4;
	bool on_link;

	memcpy(&ip4, ip->b, 4);
	if (ip->family == AF_INET)
		key = ob_key_ca4(eni->vnet, ip4);
	on_link = ip->family == AF_INET ? eni_on_link4(eni, ip4) : eni_on_link6(eni, ip->b);
	ob_policy_find(&key, &value, 1);
	memcpy(mac, eni->router_mac, 6);
	if (!on_link || value == OB_TABLE_MISS)
		return;
	if (value & OB_CA_ENI) {
		const struct ob_eni *of = ob_eni_at(value & ~OB_CA_ENI);

		if (of != NULL)
			memcpy(mac, of->mac, 6);
	} else if (ob_mapping_get(eni->vnet, ip, &map) == 0) {
		memcpy(mac, map.mac, 6);
	}
}

/* What the request leaves open. */
static void complete(struct ob_trace_req *q, const struct ob_eni *eni)
{
	const struct ob_policy_vnet *vnet = ob_vnet_at(eni->vnet);
	rte_be32_t dst;
	uint8_t mac[6];

	if (!q->from_guest && q->vni == UINT32_MAX)
		q->vni = vnet != NULL ? vnet->vni : 0;
	if (is_zero(q->smac))
		memcpy(q->smac, q->from_guest ? eni->mac : eni->router_mac, 6);
	if (!is_zero(q->dmac))
		return;
	memcpy(&dst, q->dst.b, 4);
	if (q->from_guest)
		arp(eni, &q->dst, q->dmac);
	else if (q->dst.family == AF_INET && vnet_of_vni(q->vni) != OB_MAX_VNETS &&
		 ob_nat_answers(vnet_of_vni(q->vni), dst, mac))
		memcpy(q->dmac, mac, 6);
	else
		memcpy(q->dmac, eni->mac, 6);
}

int ob_trace(const struct ob_trace_req *req, const struct ob_trace_names *names,
    struct ob_trace *out, char *err, size_t err_len)
{
	const struct ob_eni *eni = ob_eni_at(req->eni);
	struct ob_trace_req q = *req;
	struct trace_run *r;
	unsigned why;
	int rc = check(req, err, err_len);

	if (rc < 0)
		return rc;
	if (eni == NULL)
		return fail(err, err_len, -ENOENT, "the ENI is not there");
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return fail(err, err_len, -ENOMEM, "out of memory");
	complete(&q, eni);
	r->req = &q;
	r->names = names;
	r->pass[0] = (struct trace_pass){.from_guest = q.from_guest, .eni = q.eni};
	r->pass[0].m = (struct ob_meta){.in_vif = q.from_guest ? eni->vif : OB_VIF_NONE,
	    .out_vif = OB_VIF_NONE,
	    .eni = q.eni,
	    .tunnel = q.from_guest ? 0 : q.tunnel,
	    .vni = q.from_guest ? 0 : q.vni};
	r->pass[0].pkt = make_packet(&q);
	if (r->pass[0].pkt == NULL) {
		free(r);
		return fail(err, err_len, -ENOMEM, "out of memory");
	}
	r->ip_len = (uint16_t)(r->pass[0].pkt->pkt_len - RTE_ETHER_HDR_LEN);
	why = parse_decide(r->pass[0].pkt, &r->pass[0].m);
	judge(&r->pass[0], why);
	if (why == OB_PASS && q.from_guest)
		go_out(r);
	else if (why == OB_PASS)
		come_in(r);
	trace_text(r, out);
	free(r->pass[0].pkt);
	free(r);
	return 0;
}
