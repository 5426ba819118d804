/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP segmentation by copy. Not rte_gso: in DPDK 22.11 it cuts no TCP over IPv6, leaves every checksum to a second pass over the
 * payload, and hands out chains of two buffers that small drivers and our own encapsulation handle worse than a linear packet. */
#include <errno.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "csum.h"
#include "ob_vif.h"

struct cursor {
	const struct rte_mbuf *m;
	uint32_t off;
};

static void copy_out(struct cursor *c, uint8_t *dst, uint32_t len)
{
	while (len > 0) {
		uint32_t n = RTE_MIN(len, (uint32_t)c->m->data_len - c->off);

		memcpy(dst, rte_pktmbuf_mtod_offset(c->m, const uint8_t *, c->off), n);
		dst += n;
		len -= n;
		c->off += n;
		if (c->off == c->m->data_len && c->m->next != NULL) {
			c->m = c->m->next;
			c->off = 0;
		}
	}
}

/* Appends 'len' payload bytes to a head that holds the headers already. */
static int copy_payload(
    struct cursor *c, struct rte_mbuf *head, struct rte_mempool *pool, uint32_t len)
{
	struct rte_mbuf *tail = head;

	for (;;) {
		uint32_t n = RTE_MIN(len, (uint32_t)rte_pktmbuf_tailroom(tail));

		copy_out(c, rte_pktmbuf_mtod_offset(tail, uint8_t *, tail->data_len), n);
		tail->data_len = (uint16_t)(tail->data_len + n);
		head->pkt_len += n;
		len -= n;
		if (len == 0)
			return 0;
		tail->next = rte_pktmbuf_alloc(pool);
		if (tail->next == NULL)
			return -ENOMEM;
		tail = tail->next;
		tail->data_off = 0;
		head->nb_segs++;
	}
}

/* 'i': which of 'n' segments; 'seq_off': payload bytes before it. */
static void fix_headers(
    struct rte_mbuf *m, const struct ob_meta *meta, unsigned i, bool last, uint32_t seq_off)
{
	uint8_t *l3 = rte_pktmbuf_mtod_offset(m, uint8_t *, meta->l2_len);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(l3 + meta->l3_len);
	uint32_t l3_bytes = m->pkt_len - meta->l2_len;
	uint16_t l4_bytes = (uint16_t)(l3_bytes - meta->l3_len);
	uint64_t sum;

	if (meta->flags & OB_PKT_IP4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)l3;

		ip->total_length = rte_cpu_to_be_16((uint16_t)l3_bytes);
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + i));
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~csum_fold(csum_add(0, l3, meta->l3_len));
		sum = csum_add(0, (const uint8_t *)&ip->src_addr, 8);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)l3;

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(l3_bytes - sizeof(*ip)));
		sum = csum_add(0, ip->src_addr, 32);
	}
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + seq_off);
	/* What the sender asks of the end of its data belongs to the last segment, CWR to the first (RFC 3168, 6.1.2). */
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (i > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	tcp->cksum = 0;
	sum += rte_cpu_to_be_16(l4_bytes);
	sum += rte_cpu_to_be_16(IPPROTO_TCP);
	tcp->cksum = (uint16_t)~csum_fold(
	    sum + csum_chain(m, (uint32_t)meta->l2_len + meta->l3_len, l4_bytes));
}

static bool can_segment(const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t hdrs)
{
	const uint16_t f = meta->flags;

	return (f & OB_PKT_GSO) && (f & OB_PKT_TCP) && (f & (OB_PKT_IP4 | OB_PKT_IP6)) &&
	       !(f & OB_PKT_FRAG) && pkt->tso_segsz > 0 &&
	       meta->l4_len >= sizeof(struct rte_tcp_hdr) &&
	       meta->l3_len >= ((f & OB_PKT_IP4) ? 20 : 40) && pkt->data_len >= hdrs &&
	       pkt->pkt_len > hdrs && hdrs + pkt->tso_segsz - meta->l2_len <= UINT16_MAX &&
	       (!(f & OB_PKT_L4_CSUM_PARTIAL) || meta->csum_start == meta->l2_len + meta->l3_len);
}

int ob_pkt_segment(struct rte_mbuf *pkt, struct ob_meta *meta, struct rte_mempool *pool,
    struct rte_mbuf **out, unsigned max)
{
	uint32_t hdrs = (uint32_t)meta->l2_len + meta->l3_len + meta->l4_len;
	struct cursor c = {pkt, hdrs};
	uint32_t left, mss, done = 0;
	unsigned n;

	if (!can_segment(pkt, meta, hdrs))
		return -EINVAL;
	mss = pkt->tso_segsz;
	left = pkt->pkt_len - hdrs;
	n = (left + mss - 1) / mss;
	if (n > RTE_MIN(max, OB_PKT_MAX_SEGS))
		return -ENOSPC;
	if (rte_pktmbuf_data_room_size(pool) < OB_HEADROOM + hdrs ||
	    rte_pktmbuf_alloc_bulk(pool, out, n) != 0)
		return -ENOMEM;
	if (c.off == pkt->data_len)
		c = (struct cursor){pkt->next, 0};
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = out[i];
		uint32_t len = RTE_MIN(left, mss);

		m->data_off = OB_HEADROOM;
		memcpy(
		    rte_pktmbuf_mtod(m, uint8_t *), rte_pktmbuf_mtod(pkt, const uint8_t *), hdrs);
		m->data_len = (uint16_t)hdrs;
		m->pkt_len = hdrs;
		if (copy_payload(&c, m, pool, len) != 0) {
			rte_pktmbuf_free_bulk(out, n);
			return -ENOMEM;
		}
		fix_headers(m, meta, i, i + 1 == n, done);
		left -= len;
		done += len;
	}
	rte_pktmbuf_free(pkt);
	meta->flags &= (uint16_t) ~(OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL);
	return (int)n;
}
