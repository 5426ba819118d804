/* SPDX-License-Identifier: BSD-3-Clause */
/* May a packet open a connection, or go on with one that was decided under a policy that is no more? Both sides of an ENI come here: what
 * its guest sends, with the way found by first_packet.c, and what is sent to it. */
#include "stages_priv.h"

#include <errno.h>

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

bool is_icmp_error(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint8_t type;

	if ((m->flags & (OB_PKT_ICMP | OB_PKT_FRAG)) != OB_PKT_ICMP)
		return false;
	type = *l4_of(pkt, m);
	if (m->flags & OB_PKT_IP6)
		return (type & ICMP6_INFOMSG_MASK) == 0;
	return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT;
}

static inline uint16_t src_half(uint32_t ports)
{
	uint16_t p[2];

	memcpy(p, &ports, 4);
	return p[0];
}

static inline uint16_t dst_half(uint32_t ports)
{
	uint16_t p[2];

	memcpy(p, &ports, 4);
	return p[1];
}

static inline uint32_t halves(uint16_t src, uint16_t dst)
{
	uint16_t p[2] = {src, dst};
	uint32_t ports;

	memcpy(&ports, p, 4);
	return ports;
}

rte_be16_t nat_port(const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports)
{
	uint16_t id;

	if (!(m->flags & OB_PKT_ICMP) || (m->flags & OB_PKT_LATER_FRAG) || is_icmp_error(pkt, m))
		return dst_half(ports);
	/* In the key of a session the identifier is the port of who asks; here it is in the packet. */
	memcpy(&id, l4_of(pkt, m) + 4, 2);
	return id;
}

unsigned admit_key(
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports, union ob_session_key *k)
{
	uint32_t ctx_proto = (uint32_t)m->eni << 8 | m->ip_proto;

	if (m->flags & OB_PKT_IP4) {
		k->v4 = (struct ob_session_key4){.ports = ports, .ctx_proto = ctx_proto};
		memcpy(&k->v4.addrs, l3_of(pkt, m) + 12, 8);
		return 4;
	}
	k->v6 = (struct ob_session_key6){.ports = ports, .ctx_proto = ctx_proto};
	memcpy(k->v6.src, l3_of(pkt, m) + 8, 32);
	return 6;
}

static void reverse(unsigned family, const union ob_session_key *k, union ob_session_key *out)
{
	if (family == 4)
		out->v4 = ob_session_reverse4(&k->v4);
	else
		out->v6 = ob_session_reverse6(&k->v6);
}

/* What the ACLs see is the guest's own view: its private address, before a translation of what it sends, after one of what it gets. */
static bool acl_permits(uint16_t eni, enum ob_acl_dir dir, unsigned family,
    const union ob_session_key *k, struct ob_acl_why *why)
{
	struct ob_acl_pkt p;

	if (family == 4)
		p = (struct ob_acl_pkt){.family = AF_INET,
		    .proto = (uint8_t)k->v4.ctx_proto,
		    .sport = rte_be_to_cpu_16(src_half(k->v4.ports)),
		    .dport = rte_be_to_cpu_16(dst_half(k->v4.ports)),
		    .src = (const uint8_t *)&k->v4.addrs,
		    .dst = (const uint8_t *)&k->v4.addrs + 4};
	else
		p = (struct ob_acl_pkt){.family = AF_INET6,
		    .proto = (uint8_t)k->v6.ctx_proto,
		    .sport = rte_be_to_cpu_16(src_half(k->v6.ports)),
		    .dport = rte_be_to_cpu_16(dst_half(k->v6.ports)),
		    .src = (const uint8_t *)k->v6.src,
		    .dst = (const uint8_t *)k->v6.dst};
	return ob_acl_eval(eni, dir, &p, why) == OB_ACL_PERMIT;
}

/* Does the policy of now permit the connection? 'k', 'family': keys of its two directions. */
static bool permits(uint16_t eni, bool by_guest, const uint8_t family[2],
    const union ob_session_key k[2], struct ob_acl_why *why)
{
	union ob_session_key seen;

	if (by_guest)
		return acl_permits(eni, OB_ACL_OUT, family[0], &k[0], why);
	reverse(family[1], &k[1], &seen);
	return acl_permits(eni, OB_ACL_IN, family[1], &seen, why);
}

static inline struct ob_session_way way_of(const struct ob_meta *m, bool from_guest, unsigned flags)
{
	struct ob_session_way way = {.vni = m->vni, .flags = (uint8_t)flags};

	way.out = m->out_vif != OB_VIF_NONE ? OB_WAY_LOCAL | m->out_vif : m->tunnel;
	memcpy(way.dmac, m->new_dmac, 6);
	if (from_guest)
		way.flags |= WAY_FROM_GUEST | (m->flags & OB_PKT_TO_NAT ? WAY_TO_NAT : 0);
	return way;
}

static inline struct ob_session_way way_to_guest(const struct ob_eni *eni, unsigned flags)
{
	struct ob_session_way way = {.out = OB_WAY_LOCAL | eni->vif, .flags = (uint8_t)flags};

	memcpy(way.dmac, eni->mac, 6);
	return way;
}

static enum ob_drop why_refused(struct ob_worker *w, int rc, const struct ob_meta *m)
{
	switch (rc) {
	case -EDQUOT:
		ob_meter_count(ob_worker_id(w), m->eni, OB_METER_CONNS, 1);
		return OB_DROP_CONN_LIMIT;
	case -EUSERS:
		return OB_DROP_HALF_OPEN_LIMIT;
	case -EPROTO:
		return m->flags & OB_PKT_ICMP ? OB_DROP_ICMP_UNRELATED : OB_DROP_TCP_STATE;
	case -EEXIST:
		return OB_DROP_NAT_PORTS;
	default:
		return OB_DROP_SESSION_FULL;
	}
}

/* The key of the answers to a guest whose source becomes 't'. */
static bool answers_to(const struct ob_session_new *n, const struct ob_nat_try *t,
    const struct ob_meta *m, union ob_session_key *k)
{
	uint32_t ports = n->family[0] == 4 ? n->key[0].v4.ports : n->key[0].v6.ports;
	uint32_t ctx_proto = n->family[0] == 4 ? n->key[0].v4.ctx_proto : n->key[0].v6.ctx_proto;
	uint8_t addrs[8];

	if (n->family[0] == 4) {
		memcpy(addrs, (const uint8_t *)&n->key[0].v4.addrs + 4, 4);
	} else {
		rte_be32_t dst;

		if (!ob_nat64_to_ip4(m->eni, (const uint8_t *)n->key[0].v6.dst, &dst))
			return false;
		memcpy(addrs, &dst, 4);
		if (m->flags & OB_PKT_ICMP) {
			/* Echo is another type and another protocol there. */
			ctx_proto = (ctx_proto & ~0xffu) | IPPROTO_ICMP;
			ports = halves(src_half(ports), RTE_BE16(RTE_IP_ICMP_ECHO_REQUEST << 8));
		}
	}
	memcpy(addrs + 4, &t->ip, 4);
	k->v4 = (struct ob_session_key4){.ctx_proto = ctx_proto};
	memcpy(&k->v4.addrs, addrs, 8);
	k->v4.ports = halves(dst_half(ports), t->tag != 0 ? t->port : src_half(ports));
	return true;
}

/* A new connection whose source is translated: candidates are tried until the session table takes one. */
static unsigned add_translated(struct ob_worker *w, struct ob_session_shard *s,
    struct ob_session_new *n, const struct rte_mbuf *pkt, struct ob_meta *m, uint16_t to,
    uint32_t *ref)
{
	uint8_t flags = n->family[0] == 6 ? WAY_NAT | WAY_NAT64 : WAY_NAT;
	unsigned id = ob_worker_id(w);
	struct ob_nat_try t = {0};
	int rc;

	n->family[1] = 4;
	n->way[0].flags |= flags;
	n->way[1].flags |= flags;
	do {
		enum ob_drop why = ob_nat_out(id, m->eni, to, pkt, m, &t);

		if (why != OB_PASS)
			return why;
		if (!answers_to(n, &t, m, &n->key[1])) {
			ob_nat_put(id, t.tag);
			return OB_DROP_NAT_UNTRANSLATABLE;
		}
		n->tag = t.tag;
		rc = ob_session_add(s, n, pkt, m, ref);
	} while (rc == -EEXIST && t.tag != 0);
	if (rc < 0) {
		ob_nat_put(id, t.tag);
		return why_refused(w, rc, m);
	}
	return OB_PASS;
}

/* From outside to a floating IP: the private address, and what the guest sees of the sender. */
static unsigned private_end(struct ob_session_new *n, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct first first)
{
	const union ob_session_key *k = &n->key[0];
	struct ob_nat_owner owner;
	struct ob_key pub;
	rte_be32_t ip[2];
	uint32_t addr;

	if (n->family[0] != 4)
		return OB_DROP_NAT_UNTRANSLATABLE;
	memcpy(ip, &k->v4.addrs, 8);
	pub = ob_nat_key(first.to, ip[1]);
	ob_nat_find(&pub, &addr, 1);
	if (addr == OB_TABLE_MISS ||
	    ob_nat_owner(addr, m->ip_proto, nat_port(pkt, m, first.ports), &owner) != OB_NAT_FIP ||
	    owner.eni != m->eni)
		return OB_DROP_NAT_UNSOLICITED;
	n->way[0].flags |= WAY_NAT;
	n->way[1].flags |= WAY_NAT;
	if (owner.family == AF_INET) {
		n->key[1].v4 = ob_session_reverse4(&k->v4);
		memcpy(&n->key[1].v4.addrs, owner.private_ip, 4);
		return OB_PASS;
	}
	n->family[1] = 6;
	n->way[0].flags |= WAY_NAT64;
	n->way[1].flags |= WAY_NAT64;
	n->key[1].v6 =
	    (struct ob_session_key6){.ports = halves(dst_half(k->v4.ports), src_half(k->v4.ports)),
		.ctx_proto = k->v4.ctx_proto};
	if (m->flags & OB_PKT_ICMP) {
		n->key[1].v6.ctx_proto = (k->v4.ctx_proto & ~0xffu) | IPPROTO_ICMPV6;
		n->key[1].v6.ports =
		    halves(RTE_BE16(ICMP6_ECHO_REQUEST << 8), src_half(k->v4.ports));
	}
	memcpy(n->key[1].v6.src, owner.private_ip, 16);
	return ob_nat64_to_ip6(m->eni, ip[0], (uint8_t *)n->key[1].v6.dst)
		   ? OB_PASS
		   : (unsigned)OB_DROP_NAT_UNTRANSLATABLE;
}

uint32_t admit_find(struct ob_session_shard *s, unsigned family, const union ob_session_key *k)
{
	uint32_t ref;

	if (family == 4)
		ob_session_find4(s, &k->v4, &ref, 1);
	else
		ob_session_find6(s, &k->v6, &ref, 1);
	return ref;
}

unsigned admit_new(const struct ob_eni *eni, bool from_guest, struct ob_session_new *n,
    const struct rte_mbuf *pkt, const struct ob_meta *m, struct first first, struct ob_acl_why *acl)
{
	unsigned why = OB_PASS;

	if (from_guest) {
		n->way[0] = way_of(m, true, 0);
		n->way[1] = way_to_guest(eni, 0);
		n->gen[1] = n->gen[0];
	} else {
		n->way[0] = way_to_guest(eni, 0);
		n->way[1].flags = WAY_FROM_GUEST;
	}
	n->family[1] = n->family[0];
	reverse(n->family[0], &n->key[0], &n->key[1]);
	if (!from_guest && (m->flags & OB_PKT_TO_NAT))
		why = private_end(n, pkt, m, first);
	if (why != OB_PASS)
		return why;
	if (!permits(eni->idx, from_guest, n->family, n->key, acl))
		return from_guest ? OB_DROP_ACL_OUT : OB_DROP_ACL_IN;
	return OB_PASS;
}

static unsigned open_new(struct ob_worker *w, struct ob_session_shard *s, const struct ob_eni *eni,
    bool from_guest, struct ob_session_new *n, const struct rte_mbuf *pkt, struct ob_meta *m,
    struct first first)
{
	bool translate = from_guest && (m->flags & OB_PKT_NAT);
	unsigned why = admit_new(eni, from_guest, n, pkt, m, first, NULL);
	uint32_t ref;

	if (why != OB_PASS)
		return why;
	if (!ob_meter_new_connection(ob_worker_id(w), eni->idx, ob_worker_tsc(w)))
		return OB_DROP_CPS_LIMIT;
	if (translate) {
		why = add_translated(w, s, n, pkt, m, first.to, &ref);
	} else {
		int rc = ob_session_add(s, n, pkt, m, &ref);

		if (rc < 0)
			why = why_refused(w, rc, m);
	}
	if (why != OB_PASS)
		return why;
	m->session = ref;
	m->flags &= (uint16_t)~OB_PKT_NAT;
	take_way(&(struct way_memo){.out = UINT32_MAX}, m, &n->way[0]);
	return OB_PASS;
}

/* Is the translation of a live session what the policy would give it now? */
static bool still_translated(const struct ob_eni *eni, bool by_guest, const uint8_t family[2],
    const union ob_session_key k[2], uint32_t tag, uint16_t to)
{
	const union ob_session_key *outer = &k[by_guest], *inner = &k[!by_guest];
	unsigned of = family[by_guest], inner_family = family[!by_guest];
	rte_be32_t ip[2];

	if (of != 4)
		return false;
	memcpy(ip, &outer->v4.addrs, 8);
	return ob_nat_holds(eni->idx, to, inner_family == 4 ? AF_INET : AF_INET6,
	    inner_family == 4 ? (const uint8_t *)&inner->v4.addrs : (const uint8_t *)inner->v6.src,
	    ip[1], tag);
}

unsigned admit_again(const struct ob_session_shard *s, const struct ob_eni *eni, bool from_guest,
    const struct ob_meta *m, struct first first, struct ob_acl_why *acl)
{
	const struct ob_session_way *old = ob_session_way(s, m->session);
	bool by_guest = (ob_session_dir(m->session) == 0) == from_guest;
	uint32_t ref = m->session & ~1u;
	union ob_session_key k[2];
	uint8_t family[2];

	if (session_wrong_side(old, from_guest))
		return OB_DROP_SPOOFED_IP;
	family[0] = (uint8_t)ob_session_key(s, ref, &k[0]);
	family[1] = (uint8_t)ob_session_key(s, ref | 1, &k[1]);
	if (!permits(eni->idx, by_guest, family, k, acl))
		return by_guest ? OB_DROP_ACL_OUT : OB_DROP_ACL_IN;
	if (from_guest && !(m->flags & OB_PKT_NAT) != !(old->flags & WAY_NAT))
		return OB_DROP_NAT_UNSOLICITED;
	if (from_guest && (old->flags & WAY_NAT) &&
	    !still_translated(eni, by_guest, family, k, ob_session_tag(s, ref), first.to))
		return OB_DROP_NAT_UNSOLICITED;
	return OB_PASS;
}

/* A live session under another policy. It goes on, gets another way, or ends. */
static unsigned decide_again(struct ob_session_shard *s, const struct ob_eni *eni, bool from_guest,
    uint32_t gen, const struct rte_mbuf *pkt, struct ob_meta *m, struct first first)
{
	const struct ob_session_way *old = ob_session_way(s, m->session);
	unsigned why = admit_again(s, eni, from_guest, m, first, NULL);
	struct ob_session_way way;

	if (why != OB_PASS) {
		/* What comes from the wrong side says nothing about the connection. */
		if (why != OB_DROP_SPOOFED_IP)
			ob_session_del(s, m->session & ~1u);
		return why;
	}
	way = from_guest ? way_of(m, true, old->flags & (WAY_NAT | WAY_NAT64))
			 : way_to_guest(eni, old->flags & (WAY_NAT | WAY_NAT64));
	ob_session_set_way(s, m->session, &way, gen);
	m->flags &= (uint16_t)~OB_PKT_NAT;
	return session_go_on(s, from_guest, pkt, m);
}

unsigned admit(struct ob_worker *w, const struct ob_eni *eni, bool from_guest, uint32_t gen,
    bool again, const struct rte_mbuf *pkt, struct ob_meta *m, struct first first)
{
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));
	struct ob_session_new n = {.tag = OB_SESSION_NO_TAG, .gen = {gen, OB_SESSION_NO_GEN}};

	if (m->session != OB_SESSION_NONE)
		return decide_again(s, eni, from_guest, gen, pkt, m, first);
	n.family[0] = (uint8_t)admit_key(pkt, m, first.ports, &n.key[0]);
	if (again) {
		m->session = admit_find(s, n.family[0], &n.key[0]);
		if (m->session != OB_SESSION_NONE) {
			m->flags &= (uint16_t)~OB_PKT_NAT;
			return session_go_on(s, from_guest, pkt, m);
		}
	}
	return open_new(w, s, eni, from_guest, &n, pkt, m, first);
}

/* What no peer may open a connection with: group addresses, and neighbour discovery, which is the card's alone to speak to a guest
 * (a peer's advertisement would be the guest's router). The virtual router in front of a public address takes a hop off. */
static unsigned unfit_for_guest(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	const uint8_t *p = l3_of(pkt, m);
	bool is_ip4 = (m->flags & OB_PKT_IP4) != 0;

	if (is_ip4 ? p[16] >= 224 : p[24] == 0xff)
		return OB_DROP_MULTICAST;
	if (!is_ip4 && (m->flags & (OB_PKT_ICMP | OB_PKT_LATER_FRAG)) == OB_PKT_ICMP &&
	    *l4_of(pkt, m) >= ND_ROUTER_SOLICIT && *l4_of(pkt, m) <= ND_REDIRECT)
		return OB_DROP_MULTICAST;
	if ((m->flags & OB_PKT_ROUTED) && p[is_ip4 ? 8 : 7] <= 1)
		return OB_DROP_TTL_EXPIRED;
	return OB_PASS;
}

/* The rest of the policy for what is sent to guests. */
void ob_stage_admit_in(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	struct ob_burst *f = &e->burst[OB_EDGE_FIRST];

	e->used &= ~(1u << OB_EDGE_FIRST);
	for (unsigned i = 0; i < f->n; i++) {
		struct ob_meta m = f->meta[i];
		/* Before anything of the policy is read. */
		uint32_t gen = ob_session_eni_gen(m.eni);
		const struct ob_eni *eni = ob_eni_at(m.eni);
		struct first first = {.ports = e->first_ports[i], .to = OB_MAX_VNETS - 1};
		unsigned why = OB_DROP_NO_INNER_ENI;

		if (m.flags & OB_PKT_TO_NAT)
			first.to = vnet_of_vni(m.vni);
		if (likely(eni != NULL))
			why = unfit_for_guest(f->pkt[i], &m);
		if (why == OB_PASS)
			why = admit(w, eni, false, gen, i > 0, f->pkt[i], &m, first);
		if (unlikely(why != OB_PASS)) {
			ob_drop(w, (enum ob_drop)why, m.out_vif, f->pkt[i]);
			continue;
		}
		b->pkt[b->n] = f->pkt[i];
		b->meta[b->n++] = m;
	}
	f->n = 0;
}
