/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for the tests of this folder, made and checked byte by byte: slow, and nothing of the code under test in it. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "ob_vif.h"

#define PKT_MAX 66000

struct pkt_spec {
	bool v6, udp, vlan;
	bool partial;	   /* checksum field holds the pseudo-header's sum */
	uint8_t tcp_flags; /* 0: ACK */
	uint8_t opt_len;   /* TCP options, multiple of 4 */
	uint8_t host;	   /* last byte of the source address */
	uint16_t vid, id;
	uint16_t sport, dport; /* 0: some */
	uint32_t seq, payload;
	uint8_t seed; /* of the payload: byte k is seed + 7 * (seq + k) */
};

static inline void pkt_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void pkt_be32(uint8_t *p, uint32_t v)
{
	pkt_be16(p, v >> 16);
	pkt_be16(p + 2, v);
}

static inline uint32_t pkt_get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t pkt_get32(const uint8_t *p)
{
	return pkt_get16(p) << 16 | pkt_get16(p + 2);
}

/* RFC 1071 as its text puts it: pairs of bytes, then fold. */
static inline uint32_t pkt_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static inline uint32_t pkt_pseudo(const uint8_t *l3, bool v6, uint32_t proto, uint32_t l4_len)
{
	uint8_t tail[4] = {0, (uint8_t)proto, (uint8_t)(l4_len >> 8), (uint8_t)l4_len};
	uint32_t sum = v6 ? pkt_sum(l3 + 8, 32, 0) : pkt_sum(l3 + 12, 8, 0);

	return pkt_sum(tail, 4, sum);
}

/* Writes the frame, returns its length. Fills '*meta' as a parser would. */
static inline uint32_t pkt_build(const struct pkt_spec *s, uint8_t *f, struct ob_meta *meta)
{
	uint32_t l2 = s->vlan ? 18 : 14, l3 = s->v6 ? 40 : 20, l4 = s->udp ? 8 : 20u + s->opt_len;
	uint32_t proto = s->udp ? 17 : 6, l4_bytes = l4 + s->payload, sum;
	uint8_t *ip = f + l2, *t = ip + l3;

	memset(f, 0, l2 + l3 + l4);
	memcpy(f, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01", 12);
	if (s->vlan) {
		pkt_be16(f + 12, 0x8100);
		pkt_be16(f + 14, s->vid);
	}
	pkt_be16(f + l2 - 2, s->v6 ? 0x86dd : 0x0800);
	if (s->v6) {
		ip[0] = 0x60;
		pkt_be16(ip + 4, l4_bytes);
		ip[6] = (uint8_t)proto;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = s->host;
		ip[39] = 200;
	} else {
		ip[0] = 0x45;
		pkt_be16(ip + 2, l3 + l4_bytes);
		pkt_be16(ip + 4, s->id);
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = (uint8_t)proto;
		memcpy(ip + 12, "\x0a\x00\x00\x00\x0a\x00\x00\xc8", 8);
		ip[15] = s->host;
		pkt_be16(ip + 10, ~pkt_sum(ip, 20, 0) & 0xffff);
	}
	pkt_be16(t, s->sport ? s->sport : 40000);
	pkt_be16(t + 2, s->dport ? s->dport : 80);
	if (s->udp) {
		pkt_be16(t + 4, l4_bytes);
	} else {
		pkt_be32(t + 4, s->seq);
		pkt_be32(t + 8, 0x01020304);
		t[12] = (uint8_t)(l4 / 4 << 4);
		t[13] = s->tcp_flags ? s->tcp_flags : 0x10;
		pkt_be16(t + 14, 500);
		memset(t + 20, 1, s->opt_len);
	}
	for (uint32_t k = 0; k < s->payload; k++)
		t[l4 + k] = (uint8_t)(s->seed + 7 * (s->seq + k));
	sum = pkt_pseudo(ip, s->v6, proto, l4_bytes);
	if (!s->partial)
		sum = ~pkt_sum(t, l4_bytes, sum) & 0xffff;
	pkt_be16(t + (s->udp ? 6 : 16), sum == 0 && s->udp ? 0xffff : sum);

	memset(meta, 0, sizeof(*meta));
	meta->in_vif = meta->out_vif = OB_VIF_NONE;
	meta->flags =
	    (uint16_t)((s->v6 ? OB_PKT_IP6 : OB_PKT_IP4) | (s->udp ? OB_PKT_UDP : OB_PKT_TCP));
	meta->l2_len = (uint8_t)l2;
	meta->l3_len = (uint16_t)l3;
	meta->l4_len = (uint8_t)l4;
	meta->hash = 0x9e3779b1u * (s->host + s->sport + 1u);
	if (s->partial) {
		meta->flags |= OB_PKT_L4_CSUM_PARTIAL;
		meta->csum_start = (uint16_t)(l2 + l3);
		meta->csum_offset = s->udp ? 6 : 16;
	}
	return l2 + l3 + l4_bytes;
}

/* Puts 'len' bytes into a chain: 'first' bytes in the first buffer, then full ones. */
static inline struct rte_mbuf *pkt_mbuf(
    struct rte_mempool *pool, const uint8_t *f, uint32_t len, uint32_t first)
{
	struct rte_mbuf *head = NULL, *tail = NULL;

	while (len > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		uint32_t n;

		if (m == NULL)
			abort();
		m->data_off = head == NULL ? OB_HEADROOM : 0;
		n = RTE_MIN(len, (uint32_t)rte_pktmbuf_tailroom(m));
		if (head == NULL)
			n = RTE_MIN(n, first);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), f, n);
		f += n;
		len -= n;
		if (head == NULL) {
			head = tail = m;
			continue;
		}
		tail->next = m;
		tail = m;
		head->nb_segs++;
		head->pkt_len += n;
	}
	return head;
}

static inline uint32_t pkt_flat(const struct rte_mbuf *m, uint8_t *out)
{
	uint32_t len = 0;

	for (; m != NULL; m = m->next) {
		memcpy(out + len, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
		len += m->data_len;
	}
	return len;
}

/* Are all checksums of a complete frame right? */
static inline bool pkt_sums_right(const uint8_t *f, uint32_t len, const struct ob_meta *meta)
{
	const uint8_t *ip = f + meta->l2_len;
	uint32_t l4_len = len - meta->l2_len - meta->l3_len;
	bool v6 = (meta->flags & OB_PKT_IP6) != 0;

	if (!v6 && pkt_sum(ip, meta->l3_len, 0) != 0xffff)
		return false;
	return pkt_sum(ip + meta->l3_len, l4_len,
		   pkt_pseudo(ip, v6, (meta->flags & OB_PKT_UDP) ? 17 : 6, l4_len)) == 0xffff;
}
