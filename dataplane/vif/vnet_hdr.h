/* SPDX-License-Identifier: BSD-3-Clause */
/* The header in front of every frame on a virtio-net queue (virtio 1.2, 5.1.6): read from a guest, and written to one. */
#pragma once

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "vif_int.h"

static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "wire");
static_assert(sizeof(struct virtio_net_hdr_v1_hash) == 20, "wire");

/* A super-packet has to be TCP of the kind that it claims, whole, and cut into a bounded number of segments: then whoever segments it later
 * needs no doubts. 'f' is the frame's first mbuf segment. Returns the header bytes, 0: refused. */
static inline uint32_t vnet_gso_headers(
    const struct rte_mbuf *f, uint8_t gso_type, uint32_t csum_start)
{
	const uint8_t *p = rte_pktmbuf_mtod(f, const uint8_t *);
	uint32_t l3 = 14, contig = f->data_len, hdrs;
	uint16_t type, len;

	memcpy(&type, p + 12, sizeof(type));
	for (unsigned tags = 0; tags < 2 && (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) ||
						type == rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ));
	     tags++) {
		if (contig < l3 + 4)
			return 0;
		memcpy(&type, p + l3 + 2, sizeof(type));
		l3 += 4;
	}
	if (contig < csum_start + sizeof(struct rte_tcp_hdr) || csum_start < l3 + 20)
		return 0;
	if (gso_type == VIRTIO_NET_HDR_GSO_TCPV4) {
		uint16_t frag;

		memcpy(&len, p + l3 + 2, sizeof(len));
		memcpy(&frag, p + l3 + 6, sizeof(frag));
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) || p[l3] >> 4 != 4 ||
		    p[l3 + 9] != IPPROTO_TCP ||
		    (frag & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) !=
			0 ||
		    csum_start != l3 + (p[l3] & 15) * 4u ||
		    l3 + rte_be_to_cpu_16(len) != f->pkt_len)
			return 0;
	} else {
		memcpy(&len, p + l3 + 4, sizeof(len));
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6) || p[l3] >> 4 != 6 ||
		    csum_start < l3 + 40 || (csum_start == l3 + 40 && p[l3 + 6] != IPPROTO_TCP) ||
		    l3 + 40 + rte_be_to_cpu_16(len) != f->pkt_len)
			return 0;
	}
	hdrs = csum_start + (p[csum_start + 12] >> 4) * 4u;
	return hdrs >= csum_start + sizeof(struct rte_tcp_hdr) && hdrs <= contig &&
		       hdrs < f->pkt_len
		   ? hdrs
		   : 0;
}

/* Checks a guest's header against its frame and notes what it asks for in '*meta' and 'f->tso_segsz'. 'h' is a private copy. hdr_len is
 * a hint only and unknown flag bits are ignored (5.1.6.2.2). 'qflags': enum vif_queue_flags, what the guest may use. */
static inline bool vnet_hdr_accept(
    const struct virtio_net_hdr_v1 *h, struct rte_mbuf *f, uint8_t qflags, struct ob_meta *meta)
{
	uint32_t start = rte_le_to_cpu_16(h->csum_start), offset = rte_le_to_cpu_16(h->csum_offset);
	uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t size, hdrs;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!(qflags & VIF_Q_CSUM) || start < VIF_FRAME_MIN ||
		    start + offset + 2 > f->pkt_len)
			return false;
		meta->flags |= OB_PKT_L4_CSUM_PARTIAL;
		meta->csum_start = (uint16_t)start;
		meta->csum_offset = (uint16_t)offset;
	}
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (!(gso == VIRTIO_NET_HDR_GSO_TCPV4 && (qflags & VIF_Q_TSO4)) &&
	    !(gso == VIRTIO_NET_HDR_GSO_TCPV6 && (qflags & VIF_Q_TSO6)))
		return false;
	if ((h->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !(qflags & VIF_Q_ECN))
		return false;
	/* A super-packet's checksum is always left to us (5.1.6.2.1). */
	if (!(meta->flags & OB_PKT_L4_CSUM_PARTIAL) ||
	    offset != offsetof(struct rte_tcp_hdr, cksum))
		return false;
	size = rte_le_to_cpu_16(h->gso_size);
	hdrs = vnet_gso_headers(f, gso, start);
	if (size == 0 || hdrs == 0 || (f->pkt_len - hdrs + size - 1) / size > OB_PKT_MAX_SEGS)
		return false;
	/* One segment is an ordinary packet. */
	if (f->pkt_len - hdrs > size) {
		meta->flags |= OB_PKT_GSO;
		f->tso_segsz = (uint16_t)size;
	}
	return true;
}

/* Whether this super-packet may go to this guest as it is. */
static inline bool vnet_takes_gso(
    const struct rte_mbuf *m, const struct ob_meta *meta, uint8_t qflags)
{
	uint32_t l4 = (uint32_t)meta->l2_len + meta->l3_len;

	if (!(meta->flags & OB_PKT_L4_CSUM_PARTIAL) ||
	    !(qflags & ((meta->flags & OB_PKT_IP4) ? VIF_Q_TSO4 : VIF_Q_TSO6)) ||
	    !(meta->flags & OB_PKT_TCP) || m->data_len < l4 + sizeof(struct rte_tcp_hdr))
		return false;
	/* CWR has to stay on the first segment alone, which only a guest with ECN knows (5.1.6.4.1). */
	return (qflags & VIF_Q_ECN) ||
	       !(rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, l4)->tcp_flags &
		   RTE_TCP_CWR_FLAG);
}

/* Header for a frame toward the guest; GSO and partial frames only where the guest takes them. */
static inline void vnet_hdr_fill(struct virtio_net_hdr_v1 *h, const struct rte_mbuf *m,
    const struct ob_meta *meta, uint8_t qflags, uint16_t n_bufs)
{
	memset(h, 0, sizeof(*h));
	h->num_buffers = rte_cpu_to_le_16(n_bufs);
	if (meta->flags & OB_PKT_L4_CSUM_PARTIAL) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = rte_cpu_to_le_16(meta->csum_start);
		h->csum_offset = rte_cpu_to_le_16(meta->csum_offset);
	} else if ((meta->flags & OB_PKT_L4_CSUM_GOOD) && (qflags & VIF_Q_CSUM)) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (meta->flags & OB_PKT_GSO) {
		uint32_t l4 = (uint32_t)meta->l2_len + meta->l3_len;

		h->gso_type = (meta->flags & OB_PKT_IP4) ? VIRTIO_NET_HDR_GSO_TCPV4
							 : VIRTIO_NET_HDR_GSO_TCPV6;
		if (rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, l4)->tcp_flags &
		    RTE_TCP_CWR_FLAG)
			h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		h->gso_size = rte_cpu_to_le_16(m->tso_segsz);
		h->hdr_len = rte_cpu_to_le_16((uint16_t)(l4 + meta->l4_len));
	}
}
