/* SPDX-License-Identifier: BSD-3-Clause */
/* The one lookup of a packet's way. What belongs to a connection whose way is decided goes on; the rest is the policy's. */
#include "stages_priv.h"

#include <netinet/ip_icmp.h>

#include <rte_cycles.h>

/* What is known of a packet before its connection is: OB_PASS, why it is dropped, or one of these. */
enum {
	AS_ERROR =
	    OB_SESSION_IS_ERROR, /* an ICMP error; its key is that of the connection that it is about */
	NO_KEY = OB_SESSION_IS_FRAGMENT +
		 1, /* nothing that sessions are made of: the policy says what it is */
};

/* The rare kinds: fragments, ICMP errors. */
static __rte_noinline unsigned key_slow(struct ob_session_shard *s, unsigned rc,
    const struct rte_mbuf *pkt, const struct ob_meta *m, struct ob_session_key4 *k4,
    struct ob_session_key6 *k6, uint32_t *ports)
{
	if (rc == OB_SESSION_IS_FRAGMENT)
		return ob_session_frag(s, m->eni, pkt, m, ports);
	if (rc != OB_SESSION_IS_ERROR)
		return rc;
	rc = m->flags & OB_PKT_IP4 ? ob_session_icmp_embedded4(pkt, m, m->eni, k4)
				   : ob_session_icmp_embedded6(pkt, m, m->eni, k6);
	return rc == OB_PASS ? (unsigned)AS_ERROR : rc;
}

static inline unsigned make_key(struct ob_session_shard *s, struct session_keys *k, unsigned i,
    const struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t *ports)
{
	struct ob_session_key4 *k4 = &k->k4[k->n4];
	struct ob_session_key6 *k6 = &k->k6[k->n6];
	unsigned rc;

	if (likely(m->flags & OB_PKT_IP4)) {
		rc = ob_session_key4_of(pkt, m, m->eni, k4);
		if (unlikely(rc != OB_PASS))
			rc = key_slow(s, rc, pkt, m, k4, k6, &k4->ports);
		*ports = k4->ports;
		k->at4[k->n4] = (uint8_t)i;
		k->n4 += rc == OB_PASS || rc == AS_ERROR;
		return rc;
	}
	if (unlikely((m->flags & OB_PKT_IP6) == 0))
		return NO_KEY;
	rc = ob_session_key6_of(pkt, m, m->eni, k6);
	if (unlikely(rc != OB_PASS))
		rc = key_slow(s, rc, pkt, m, k4, k6, &k6->ports);
	*ports = k6->ports;
	k->at6[k->n6] = (uint8_t)i;
	k->n6 += rc == OB_PASS || rc == AS_ERROR;
	return rc;
}

static inline void find(struct ob_session_shard *s, struct session_keys *k, struct ob_burst *b)
{
	if (likely(k->n4 > 0)) {
		ob_session_find4(s, k->k4, k->ref, k->n4);
		for (unsigned j = 0; j < k->n4; j++)
			b->meta[k->at4[j]].session = k->ref[j];
	}
	if (k->n6 > 0) {
		ob_session_find6(s, k->k6, k->ref, k->n6);
		for (unsigned j = 0; j < k->n6; j++)
			b->meta[k->at6[j]].session = k->ref[j];
	}
}

/* To the policy: a first packet, or one whose way was decided under a policy that is no more. */
static inline void to_policy(
    struct ob_edges *e, struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports)
{
	e->first_ports[e->burst[OB_EDGE_FIRST].n] = ports;
	edge_put(e, OB_EDGE_FIRST, pkt, m);
}

/* May this worker decide once more in this moment? What waits goes the way that was right before the change. */
static inline bool may_redo(struct stage_ctx *c)
{
	if (c->redo.tokens == 0)
		return false;
	c->redo.tokens--;
	return true;
}

/* What becomes of a packet of a known session, beside OB_PASS and the reasons of drops. */
enum { TO_POLICY = NO_KEY + 1, TTL_OUT };

void way_look_up(struct way_memo *memo, uint32_t out)
{
	memo->out = out;
	if (out & OB_WAY_LOCAL) {
		const struct ob_eni *to = ob_eni_of_vif((uint16_t)out);

		memo->out_vif = (uint16_t)out;
		memo->mtu = to != NULL ? to->mtu : 0;
	} else {
		memo->out_vif = OB_VIF_NONE;
		memo->mtu = ob_tunnel_inner_mtu(out);
	}
}

void way_translates(struct ob_meta *m, const struct ob_session_way *way)
{
	m->flags |=
	    (way->flags & WAY_NAT ? OB_PKT_NAT : 0) | (way->flags & WAY_TO_NAT ? OB_PKT_TO_NAT : 0);
	/* It is measured before it is translated. */
	if (way->flags & WAY_NAT64 && m->mtu != 0)
		m->mtu = (uint16_t)(m->mtu - ob_nat64_growth(m));
}

/* The sender of an error is in no key: a guest's is one of its own addresses. Redirects are for the hosts of a link, and there are none here
 * that the card does not stand between. */
static __rte_noinline bool error_may_pass(
    bool from_guest, const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	const struct ob_eni *eni = ob_eni_at(m->eni);
	const uint8_t *p = l3_of(pkt, m);
	rte_be32_t src;

	if ((m->flags & OB_PKT_IP4) && *l4_of(pkt, m) == ICMP_REDIRECT)
		return false;
	if (!from_guest)
		return true;
	if (eni == NULL || !(m->flags & OB_PKT_IP4))
		return eni != NULL && eni_has6(eni, p + 8);
	memcpy(&src, p + 12, 4);
	return eni_has4(eni, src);
}

static __rte_always_inline unsigned go_on(struct ob_session_shard *s, struct way_memo *memo,
    bool from_guest, bool is_error, const struct ob_session_way *way, const struct rte_mbuf *pkt,
    struct ob_meta *m)
{
	unsigned rc;

	if (unlikely(session_wrong_side(way, from_guest)))
		return OB_DROP_SPOOFED_IP;
	/* The function is another ENI's since the way was decided, and the policy's turn has not come. */
	if (!from_guest && unlikely(way->out != (OB_WAY_LOCAL | (uint32_t)m->out_vif)))
		return OB_DROP_NO_INNER_ENI;
	/* Answers to a public address come from outside, not through the guest's own network. */
	if (!from_guest && unlikely((way->flags & WAY_NAT) && !(m->flags & OB_PKT_TO_NAT)))
		return OB_DROP_NAT_UNSOLICITED;
	if (unlikely(is_error) && !error_may_pass(from_guest, pkt, m))
		return from_guest ? OB_DROP_SPOOFED_IP : OB_DROP_ICMP_UNRELATED;
	rc = unlikely(is_error) ? ob_session_track_error(s, m->session, pkt, m)
				: ob_session_track(s, m->session, pkt, m);
	if (likely(rc == OB_PASS))
		take_way(memo, m, way);
	return rc;
}

unsigned session_go_on(
    struct ob_session_shard *s, bool from_guest, const struct rte_mbuf *pkt, struct ob_meta *m)
{
	unsigned rc = go_on(s, &WAY_MEMO_NONE, from_guest, is_icmp_error(pkt, m),
	    ob_session_way(s, m->session), pkt, m);

	return rc == OB_SESSION_MISS ? (unsigned)OB_DROP_TCP_STATE : rc;
}

static __rte_always_inline unsigned follow(struct stage_ctx *c, struct ob_session_shard *s,
    struct way_memo *memo, bool from_guest, uint32_t gen, bool is_error, struct rte_mbuf *pkt,
    struct ob_meta *m)
{
	const struct ob_session_line *l = ob_session_line(s, m->session);
	unsigned rc;

	if (unlikely(l->gen != gen) && (l->gen == OB_SESSION_NO_GEN || may_redo(c)))
		return TO_POLICY;
	if (unlikely((m->flags & OB_PKT_ROUTED) &&
		     *(l3_of(pkt, m) + (m->flags & OB_PKT_IP4 ? 8 : 7)) <= 1))
		return from_guest ? (unsigned)TTL_OUT : (unsigned)OB_DROP_TTL_EXPIRED;
	rc = go_on(s, memo, from_guest, is_error, &l->way, pkt, m);
	if (unlikely(rc == OB_SESSION_MISS)) {
		m->session = OB_SESSION_NONE;
		return is_error ? (unsigned)OB_DROP_ICMP_UNRELATED : (unsigned)TO_POLICY;
	}
	return rc;
}

/* What did not go on. */
static __rte_noinline void leave(struct ob_worker *w, struct ob_edges *e, unsigned rc, uint16_t vif,
    struct rte_mbuf *pkt, const struct ob_meta *m, uint32_t ports)
{
	if (rc == TO_POLICY)
		to_policy(e, pkt, m, ports);
	else if (rc == TTL_OUT)
		edge_put(e, OB_EDGE_TTL, pkt, m);
	else
		ob_drop(w, (enum ob_drop)rc, vif, pkt);
}

/* Six bytes of a MAC address, in the low part of a word. */
static inline uint64_t mac_word(const uint8_t *mac_and_two)
{
	uint64_t w;

	memcpy(&w, mac_and_two, 8);
	return rte_cpu_to_le_64(w) & 0xffffffffffffull;
}

/* What the burst begins with is nearly always all of it: whole TCP and UDP over IPv4, from a guest with its own MAC. Their keys take no
 * questions. Returns their number; the rest is make_key's. */
static __rte_always_inline unsigned plain_keys(
    const struct ob_eni *eni, struct ob_burst *b, struct ob_session_key4 *k4, bool from_guest)
{
	uint64_t own = 0, router = 0;
	unsigned i;

	if (from_guest) {
		uint8_t mac[8] = {0};

		memcpy(mac, eni->mac, 6);
		own = mac_word(mac);
		memcpy(mac, eni->router_mac, 6);
		router = mac_word(mac);
	}
	for (i = 0; i < b->n; i++) {
		const uint8_t *p = rte_pktmbuf_mtod(b->pkt[i], const uint8_t *);
		struct ob_meta *m = &b->meta[i];

		if (unlikely((m->flags & (OB_PKT_IP4 | OB_PKT_FRAG)) != OB_PKT_IP4 ||
			     (m->flags & (OB_PKT_TCP | OB_PKT_UDP)) == 0 ||
			     m->l2_len != RTE_ETHER_HDR_LEN))
			break;
		if (from_guest) {
			if (unlikely(mac_word(p + 6) != own))
				break;
			m->eni = eni->idx;
			m->flags |= mac_word(p) == router ? OB_PKT_ROUTED : 0;
		}
		p += RTE_ETHER_HDR_LEN;
		memcpy(&k4[i].addrs, p + 12, 8);
		memcpy(&k4[i].ports, p + m->l3_len, 4);
		k4[i].ctx_proto = (uint32_t)m->eni << 8 | m->ip_proto;
	}
	return i;
}

/* Keys of packets [from, n) and what is known of each; 'ports' are theirs. */
static __rte_noinline void odd_keys(struct ob_session_shard *s, const struct ob_eni *eni,
    struct ob_burst *b, unsigned from, struct session_keys *keys, uint16_t *known, uint32_t *ports)
{
	keys->n4 = from;
	keys->n6 = 0;
	for (unsigned i = 0; i < from; i++) {
		keys->at4[i] = (uint8_t)i;
		ports[i] = keys->k4[i].ports;
		known[i] = OB_PASS;
	}
	for (unsigned i = from; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];

		m->session = OB_SESSION_NONE;
		ports[i] = 0;
		if (eni != NULL) {
			m->eni = eni->idx;
			m->flags |= is_routed(eni, b->pkt[i]);
			if (unlikely(!session_is_own(eni, b->pkt[i], m))) {
				known[i] = NO_KEY;
				continue;
			}
		}
		known[i] = (uint16_t)make_key(s, keys, i, b->pkt[i], m, &ports[i]);
	}
}

/* All kinds of packets. */
static __rte_noinline void session_mixed(struct ob_worker *w, const struct ob_eni *eni,
    struct ob_burst *b, struct ob_edges *e, unsigned from)
{
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));
	struct session_keys *keys = &ctx_of(w)->keys;
	struct way_memo memo = WAY_MEMO_NONE;
	bool from_guest = eni != NULL;
	uint32_t ports[OB_BURST_MAX];
	uint16_t known[OB_BURST_MAX];
	unsigned k = 0;

	odd_keys(s, eni, b, from, keys, known, ports);
	find(s, keys, b);
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		unsigned rc = known[i];

		if (likely(m->session != OB_SESSION_NONE))
			rc = follow(ctx_of(w), s, &memo, from_guest, ob_session_eni_gen(m->eni),
			    rc == AS_ERROR, b->pkt[i], m);
		else if (rc == OB_PASS || rc == NO_KEY)
			rc = TO_POLICY;
		else if (rc == AS_ERROR)
			rc = OB_DROP_ICMP_UNRELATED;
		if (likely(rc == OB_PASS))
			burst_keep(b, k++, i);
		else
			leave(
			    w, e, rc, from_guest ? m->in_vif : m->out_vif, b->pkt[i], m, ports[i]);
	}
	b->n = (uint16_t)k;
}

static __rte_always_inline void session(struct ob_worker *w, const struct ob_eni *eni,
    struct ob_burst *b, struct ob_edges *e, bool from_guest)
{
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));
	struct way_memo memo = WAY_MEMO_NONE;
	struct stage_ctx *c = ctx_of(w);
	struct session_keys *keys = &c->keys;
	unsigned n, k = 0;
	uint32_t gen;

	ob_session_set_now(s, ob_worker_tsc(w));
	n = plain_keys(eni, b, keys->k4, from_guest);
	if (unlikely(n < b->n)) {
		session_mixed(w, eni, b, e, n);
		return;
	}
	ob_session_find4(s, keys->k4, keys->ref, n);
	gen = from_guest ? ob_session_eni_gen(eni->idx) : 0;
	for (unsigned i = 0; i < n; i++) {
		struct ob_meta *m = &b->meta[i];
		unsigned rc = TO_POLICY;

		m->session = keys->ref[i];
		if (likely(m->session != OB_SESSION_NONE))
			rc = follow(c, s, &memo, from_guest,
			    from_guest ? gen : ob_session_eni_gen(m->eni), false, b->pkt[i], m);
		if (likely(rc == OB_PASS))
			burst_keep(b, k++, i);
		else
			leave(w, e, rc, from_guest ? m->in_vif : m->out_vif, b->pkt[i], m,
			    keys->k4[i].ports);
	}
	b->n = (uint16_t)k;
}

void ob_stage_session_out(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, struct ob_edges *e)
{
	session(w, eni, b, e, true);
}

void ob_stage_session_in(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	session(w, NULL, b, e, false);
}

/* Decisions anew: so many a second, and at once. */
#define REDO_PER_S 100000u
#define REDO_BURST 2048u
#define AGE_BUDGET 64u /* sessions that are looked at in a round */

static void refill(struct bucket *b, uint64_t now)
{
	uint64_t step = rte_get_tsc_hz() / REDO_PER_S, n = (now - b->tsc) / step;

	if (n == 0)
		return;
	b->tokens = (uint32_t)RTE_MIN((uint64_t)REDO_BURST, b->tokens + n);
	b->tsc = n > REDO_BURST ? now : b->tsc + n * step;
}

void ob_stage_session_round(struct ob_worker *w, void *arg)
{
	struct ob_session_shard *s = ob_session_shard(ob_worker_id(w));

	(void)arg;
	refill(&ctx_of(w)->redo, ob_worker_tsc(w));
	ob_session_expire(s, ob_session_ticks(ob_worker_tsc(w)), AGE_BUDGET);
}
