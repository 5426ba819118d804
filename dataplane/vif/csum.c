/* SPDX-License-Identifier: BSD-3-Clause */
#include "csum.h"

#include <errno.h>

#include <rte_ip.h>

#include "ob_vif.h"

static void store_be16(struct rte_mbuf *m, uint32_t off, uint16_t v)
{
	const uint8_t *bytes = (const uint8_t *)&v;

	/* The field may straddle two segments. */
	for (unsigned i = 0; i < 2; i++, off++) {
		while (off >= m->data_len) {
			off -= m->data_len;
			m = m->next;
		}
		*rte_pktmbuf_mtod_offset(m, uint8_t *, off) = bytes[i];
	}
}

int ob_pkt_complete_csum(struct rte_mbuf *pkt, struct ob_meta *meta)
{
	uint32_t start = meta->csum_start, field = start + meta->csum_offset;
	uint16_t sum;

	if (!(meta->flags & OB_PKT_L4_CSUM_PARTIAL))
		return 0;
	if (field + 2 > pkt->pkt_len)
		return -EINVAL;
	/* The field holds the pseudo-header's sum and is summed with the rest. */
	sum = (uint16_t)~csum_chain(pkt, start, pkt->pkt_len - start);
	/* Zero means "none" in UDP (RFC 768); elsewhere both zeros are the same number. */
	store_be16(pkt, field, sum != 0 ? sum : 0xffff);
	meta->flags &= (uint16_t)~OB_PKT_L4_CSUM_PARTIAL;
	return 0;
}

bool ob_pkt_l4_csum_ok(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	uint32_t l4 = (uint32_t)meta->l2_len + meta->l3_len;
	uint32_t l4_len, ip_len;
	uint64_t sum;
	uint16_t udp_sum;

	if (meta->flags & (OB_PKT_L4_CSUM_PARTIAL | OB_PKT_L4_CSUM_GOOD))
		return true;
	if (!(meta->flags & (OB_PKT_TCP | OB_PKT_UDP)) || (meta->flags & OB_PKT_FRAG))
		return false;
	if (pkt->data_len < l4 + 8)
		return false;
	if (meta->flags & OB_PKT_IP4) {
		const struct rte_ipv4_hdr *ip =
		    rte_pktmbuf_mtod_offset(pkt, const struct rte_ipv4_hdr *, meta->l2_len);

		ip_len = rte_be_to_cpu_16(ip->total_length);
		sum = csum_add(0, (const uint8_t *)&ip->src_addr, 8);
	} else {
		const struct rte_ipv6_hdr *ip =
		    rte_pktmbuf_mtod_offset(pkt, const struct rte_ipv6_hdr *, meta->l2_len);

		ip_len = rte_be_to_cpu_16(ip->payload_len) + (uint32_t)sizeof(*ip);
		sum = csum_add(0, ip->src_addr, 32);
	}
	if (ip_len < meta->l3_len + 8u || meta->l2_len + ip_len > pkt->pkt_len)
		return false;
	l4_len = ip_len - meta->l3_len;
	memcpy(&udp_sum, rte_pktmbuf_mtod_offset(pkt, const uint8_t *, l4 + 6), sizeof(udp_sum));
	if ((meta->flags & OB_PKT_UDP) && udp_sum == 0)
		return (meta->flags & OB_PKT_IP4) != 0;
	sum += rte_cpu_to_be_16((uint16_t)l4_len);
	sum += rte_cpu_to_be_16((meta->flags & OB_PKT_TCP) ? IPPROTO_TCP : IPPROTO_UDP);
	return csum_fold(sum + csum_chain(pkt, l4, l4_len)) == 0xffff;
}
