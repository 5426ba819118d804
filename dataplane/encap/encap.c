/* SPDX-License-Identifier: BSD-3-Clause */
/* Encapsulation: the template in front, then what differs from packet to packet. */
#include "encap_priv.h"

#include <string.h>

#define PORT_MIN 49152u /* RFC 7348, 5: source port from the inner hash, in the dynamic range */

/* IPv4 identification; any value will do with DF set (RFC 6864), a running one is what monitoring expects. */
struct ip_id {
	uint16_t next;
} __rte_cache_aligned;
static struct ip_id ip_ids[OB_MAX_WORKERS];

static inline uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* DSCP and ECN of the inner packet, as an IPv4 TOS byte. */
static inline uint8_t inner_tos(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len);

	if (meta->flags & OB_PKT_IP4)
		return ip[1];
	if (meta->flags & OB_PKT_IP6)
		return (uint8_t)(ip[0] << 4 | ip[1] >> 4);
	return 0;
}

void ob_encap_begin(struct ob_encap_run *r, const struct ob_worker *w)
{
	*r = (struct ob_encap_run){.worker = ob_worker_id(w), .tunnel = OB_TUNNEL_NONE};
}

static void count_run(struct ob_encap_run *r)
{
	struct ob_tunnel_counters *c;

	if (r->n_pkts == 0)
		return;
	c = &encap_counters[r->worker * (size_t)OB_MAX_TUNNELS + r->tunnel];
	encap_count(&c->tx_pkts, r->n_pkts);
	encap_count(&c->tx_bytes, r->n_bytes);
	r->n_pkts = 0;
	r->n_bytes = 0;
}

void ob_encap_end(struct ob_encap_run *r)
{
	count_run(r);
}

/* Another tunnel than the packet before. False: it has no next hop, or there is none. */
static __rte_noinline bool change_tunnel(struct ob_encap_run *r, uint32_t tunnel)
{
	const struct tunnel *tun;

	count_run(r);
	r->tunnel = OB_TUNNEL_NONE;
	tun = tunnel < OB_MAX_TUNNELS ? ob_rcu_load(&encap_tunnels[tunnel]) : NULL;
	if (tun == NULL || tun->tx.len == 0)
		return false;
	r->tunnel = tunnel;
	r->tmpl = &tun->tx;
	return true;
}

/* The header in front of the frame; NULL: no room. */
static inline uint8_t *put_block(struct rte_mbuf *pkt, const struct tmpl *t)
{
	uint16_t room = rte_pktmbuf_headroom(pkt);
	uint8_t *frame = rte_pktmbuf_mtod(pkt, uint8_t *);

	if (likely(t->len <= 64 && room >= 64))
		memcpy(frame - 64, t->block + HDR_BLOCK - 64, 64);
	else if (t->len <= 128 && room >= 128)
		memcpy(frame - 128, t->block + HDR_BLOCK - 128, 128);
	else if (room >= t->len)
		memcpy(frame - t->len, t->block + HDR_BLOCK - t->len, t->len);
	else
		return NULL;
	pkt->data_off = (uint16_t)(pkt->data_off - t->len);
	pkt->data_len = (uint16_t)(pkt->data_len + t->len);
	pkt->pkt_len += t->len;
	return frame - t->len;
}

enum ob_drop ob_encap_push(struct ob_encap_run *r, struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	uint32_t len = rte_pktmbuf_pkt_len(pkt), udp_len;
	struct rte_udp_hdr *udp;
	const struct tmpl *t;
	rte_be32_t vni;
	uint8_t *p;
	uint8_t tos;

	if (unlikely(meta->tunnel != r->tunnel || r->tunnel == OB_TUNNEL_NONE) &&
	    !change_tunnel(r, meta->tunnel))
		return OB_DROP_NO_NEXTHOP;
	t = r->tmpl;
	udp_len = len + t->len - t->udp_off;
	if (unlikely(udp_len + sizeof(struct rte_ipv4_hdr) > UINT16_MAX))
		return OB_DROP_TOO_BIG;
	/* RFC 6040, 4.1, normal mode: ECN is copied whatever the DSCP does. */
	tos = inner_tos(pkt, meta) & t->tos_mask;
	p = put_block(pkt, t);
	if (unlikely(p == NULL))
		return OB_DROP_NO_MBUF;

	vni = rte_cpu_to_be_32(meta->vni << 8);
	memcpy(p + t->vni_off, &vni, 4);
	udp = (struct rte_udp_hdr *)(p + t->udp_off);
	udp->src_port = rte_cpu_to_be_16((uint16_t)(PORT_MIN | (meta->hash ^ meta->hash >> 16)));
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)udp_len);
	if (unlikely(t->is_ip6)) {
		struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)(p + RTE_ETHER_HDR_LEN);

		/* The flow label carries the hash for routers that do not look at ports (RFC 6438). */
		ip6->vtc_flow =
		    rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << 20 | (meta->hash & 0xfffff));
		ip6->payload_len = udp->dgram_len;
	} else {
		struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)(p + RTE_ETHER_HDR_LEN);
		uint16_t total = rte_cpu_to_be_16((uint16_t)(udp_len + sizeof(*ip4)));
		uint16_t id = rte_cpu_to_be_16(ip_ids[r->worker].next++);

		ip4->type_of_service = tos;
		ip4->total_length = total;
		ip4->packet_id = id;
		ip4->hdr_checksum = (uint16_t)~fold(t->ip_sum + rte_cpu_to_be_16(tos) + total + id);
	}
	if (unlikely(t->csum)) {
		/* A complete inner L4 checksum would allow a shortcut, but a guest's may be wrong. */
		uint32_t sum = t->udp_sum + udp->src_port + 2u * udp->dgram_len +
			       ob_pkt_sum(pkt, t->udp_off + (uint32_t)sizeof(*udp), udp_len);
		uint16_t csum = (uint16_t)~fold(sum);

		udp->dgram_cksum = csum == 0 ? 0xffff : csum;
	}
	r->n_pkts++;
	r->n_bytes += len;
	return OB_PASS;
}
