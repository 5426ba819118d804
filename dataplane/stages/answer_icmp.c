/* SPDX-License-Identifier: BSD-3-Clause */
/* What the virtual router says by ICMP: echo replies, time exceeded, and (for pmtu) fragmentation needed and packet too big. */
#include "stages_priv.h"

#include <rte_cycles.h>

#define ECHO_REPLY4  0
#define ECHO_REPLY6  129
#define UNREACH4     3
#define FRAG_NEEDED4 4
#define TIME_EXC4    11
#define TOO_BIG6     2
#define TIME_EXC6    3
#define ICMP_HLEN    8
#define QUOTE_MAX4   548  /* RFC 1812, 4.3.2.3: the whole error within 576 bytes */
#define QUOTE_MAX6   1232 /* RFC 4443, 2.4 (c): within 1280 */
#define ERRORS_PER_S 1000
#define ERRORS_BURST 100

static void echo_one(const struct ob_eni *eni, struct rte_mbuf *pkt, struct ob_meta *m)
{
	bool is_ip6 = (m->flags & OB_PKT_IP6) != 0;
	uint8_t *p = rte_pktmbuf_mtod(pkt, uint8_t *), *ip = l3_of(pkt, m), *l4 = l4_of(pkt, m);
	unsigned n = is_ip6 ? 16 : 4;
	uint8_t *src = ip + (is_ip6 ? 8 : 12), tmp[16];
	uint16_t old_word, new_word, csum;

	answer_ether(p, eni->mac, eni->router_mac, m->ethertype);
	memcpy(tmp, src, n);
	memcpy(src, src + n, n);
	memcpy(src + n, tmp, n);
	if (is_ip6) {
		ip[7] = 64;
	} else {
		ip[8] = 64;
		memset(ip + 10, 0, 2);
		csum = (uint16_t)~rte_raw_cksum(ip, m->l3_len);
		memcpy(ip + 10, &csum, 2);
	}
	/* RFC 1624: only the type changes, so a wrong checksum of the question stays wrong in the answer. */
	memcpy(&old_word, l4, 2);
	l4[0] = is_ip6 ? ECHO_REPLY6 : ECHO_REPLY4;
	memcpy(&new_word, l4, 2);
	memcpy(&csum, l4 + 2, 2);
	csum = (uint16_t)~fold_sum((uint16_t)~csum + (uint32_t)(uint16_t)~old_word + new_word);
	memcpy(l4 + 2, &csum, 2);
	m->out_vif = m->in_vif;
	m->flags &= (uint16_t)~OB_PKT_ROUTED;
}

void ob_stage_answer_echo(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	ob_tap_fn tap = ob_tap();
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		if (ob_pkt_complete_csum(b->pkt[i], &b->meta[i]) < 0) {
			ob_drop(w, OB_DROP_MALFORMED_L4, b->meta[i].in_vif, b->pkt[i]);
			continue;
		}
		if (unlikely(tap != NULL))
			stage_show_one(tap, w, OB_FATE_ANSWERED, b->pkt[i], &b->meta[i], 0);
		echo_one(eni, b->pkt[i], &b->meta[i]);
		burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
	answer_send(w, b);
}

/* One token a message; a full bucket lets a burst of path MTU news through. */
static bool take_token(struct ob_worker *w, uint16_t eni)
{
	struct bucket *t = &ctx_of(w)->icmp[eni];
	uint64_t now = ob_worker_tsc(w), hz = rte_get_tsc_hz();
	uint64_t passed = now - t->tsc, fresh;

	if (t->tsc == 0 || passed >= hz) {
		t->tokens = ERRORS_BURST;
		t->tsc = now;
	} else {
		fresh = passed * ERRORS_PER_S / hz;
		if (fresh > 0) {
			t->tokens = RTE_MIN(t->tokens + (uint32_t)fresh, (uint32_t)ERRORS_BURST);
			t->tsc += fresh * hz / ERRORS_PER_S;
		}
	}
	if (t->tokens == 0)
		return false;
	t->tokens--;
	return true;
}

/* RFC 1122, 3.2.2 and RFC 4443, 2.4 (e): no error about an error, or about a later fragment. */
static bool may_tell(const struct rte_mbuf *pkt, const struct ob_meta *m)
{
	uint8_t type;

	if (m->flags & (OB_PKT_LATER_FRAG | OB_PKT_MCAST))
		return false;
	if (!(m->flags & OB_PKT_ICMP))
		return true;
	type = *l4_of(pkt, m);
	if (m->flags & OB_PKT_IP6)
		return type >= 128;
	return type == RTE_IP_ICMP_ECHO_REQUEST || type == RTE_IP_ICMP_ECHO_REPLY || type > 12;
}

/* The router that speaks: its first address, else (IPv4) the one that the packet was for. */
static rte_be32_t speaker4(const struct ob_eni *eni, const uint8_t *ip)
{
	rte_be32_t dst;

	memcpy(&dst, ip + 16, 4);
	return eni->n_router4 > 0 ? eni->router4[0] : dst;
}

static bool tell(struct ob_worker *w, const struct ob_eni *eni, const struct rte_mbuf *pkt,
    const struct ob_meta *m, const struct icmp_error *err, struct ob_burst *out)
{
	bool is_ip6 = (m->flags & OB_PKT_IP6) != 0;
	const uint8_t *in = l3_of(pkt, m);
	uint32_t quote = RTE_MIN(
	    rte_pktmbuf_pkt_len(pkt) - m->l2_len, (uint32_t)(is_ip6 ? QUOTE_MAX6 : QUOTE_MAX4));
	uint16_t len = (uint16_t)(ICMP_HLEN + quote), csum;
	struct ob_meta *meta = &out->meta[out->n];
	struct rte_mbuf *a = answer_new(w, m, meta);
	uint8_t *ip, *l4;
	const void *from;

	if (a == NULL)
		return false;
	ip = answer_ether(rte_pktmbuf_mtod(a, uint8_t *), eni->mac, eni->router_mac,
	    is_ip6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	if (is_ip6) {
		const uint8_t *src = eni->n_router6 > 0 ? eni->router6[0] : eni->router_ll;

		l4 = answer_ip6(ip, src, in + 8, IPPROTO_ICMPV6, 64, len);
	} else {
		rte_be32_t dst;

		memcpy(&dst, in + 12, 4);
		l4 = answer_ip4(ip, speaker4(eni, in), dst, IPPROTO_ICMP, len);
	}
	memset(l4, 0, ICMP_HLEN);
	l4[0] = is_ip6 ? err->type6 : err->type4;
	l4[1] = is_ip6 ? err->code6 : err->code4;
	/* Both have the MTU at the end of the header: 32 bits, of which IPv4 uses the lower 16 (RFC 1191). */
	if (err->reason == OB_DROP_TOO_BIG)
		store32(l4 + 4, m->mtu);
	from = rte_pktmbuf_read(pkt, m->l2_len, quote, l4 + ICMP_HLEN);
	if (from != l4 + ICMP_HLEN)
		memcpy(l4 + ICMP_HLEN, from, quote);
	csum =
	    is_ip6 ? answer_csum6(ip, IPPROTO_ICMPV6, l4, len) : (uint16_t)~rte_raw_cksum(l4, len);
	memcpy(l4 + 2, &csum, 2);
	a->data_len = (uint16_t)(l4 + len - rte_pktmbuf_mtod(a, uint8_t *));
	a->pkt_len = a->data_len;
	answer_meta(meta, is_ip6, is_ip6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, ICMP_HLEN);
	out->pkt[out->n++] = a;
	return true;
}

void icmp_error_burst(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, const struct icmp_error *err)
{
	struct ob_burst out = {.n = 0};

	for (unsigned i = 0; i < b->n; i++) {
		enum ob_drop why = err->reason;

		if (may_tell(b->pkt[i], &b->meta[i])) {
			if (!take_token(w, eni->idx))
				why = OB_DROP_ICMP_LIMIT;
			else
				tell(w, eni, b->pkt[i], &b->meta[i], err, &out);
		}
		ob_drop(w, why, b->meta[i].in_vif, b->pkt[i]);
	}
	b->n = 0;
	answer_send(w, &out);
}

void ob_stage_answer_ttl(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	static const struct icmp_error err = {TIME_EXC4, 0, TIME_EXC6, 0, OB_DROP_TTL_EXPIRED};

	icmp_error_burst(w, eni, b, &err);
}

void ob_stage_answer_too_big(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	static const struct icmp_error err = {UNREACH4, FRAG_NEEDED4, TOO_BIG6, 0, OB_DROP_TOO_BIG};

	icmp_error_burst(w, eni, b, &err);
}
