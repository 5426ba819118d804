/* SPDX-License-Identifier: BSD-3-Clause */
/* Large receive: consecutive TCP segments of one burst become one super-packet, as RFC 9293 sees no difference between the two.
 *
 * Not rte_gro: in DPDK 22.11 it knows no TCP over IPv6, merges only segments whose one flag is ACK (so the last segment of
 * every send, with PSH, stays outside), and merges without a look at the checksum, while a super-packet toward a guest has to vouch
 * for it (virtio 1.2, 5.1.6.4.1: NEEDS_CSUM comes with a GSO type). Nothing is held beyond the burst. */
#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "csum.h"
#include "vif_int.h"

#define GRO_FLOWS 16

/* A flow whose next segment may be appended to packet 'at'. */
struct flow {
	struct rte_mbuf *head, *tail;
	struct ob_meta *meta;
	uint32_t hash, next_seq;
	uint32_t ip_bytes; /* of the packet so far */
	uint16_t mss, next_id;
	uint16_t n;   /* segments in it */
	bool open;    /* takes more */
	bool checked; /* the first segment's checksum */
};

struct seg {
	uint8_t *l3;
	struct rte_tcp_hdr *tcp;
	uint32_t hdrs, payload;
	bool mergeable;
};

static bool is_tcp(const struct rte_mbuf *m, const struct ob_meta *meta, struct seg *s)
{
	s->hdrs = (uint32_t)meta->l2_len + meta->l3_len + meta->l4_len;
	if (!(meta->flags & OB_PKT_TCP) || (meta->flags & OB_PKT_FRAG) ||
	    meta->l4_len < sizeof(struct rte_tcp_hdr) || m->data_len < s->hdrs)
		return false;
	s->l3 = rte_pktmbuf_mtod_offset(m, uint8_t *, meta->l2_len);
	s->tcp = (struct rte_tcp_hdr *)(s->l3 + meta->l3_len);
	return true;
}

/* May this segment take part at all? Anything else of its flow ends the merging before it. */
static bool mergeable(
    const struct rte_mbuf *m, const struct ob_meta *meta, struct seg *s, bool tso4, bool tso6)
{
	uint32_t ip_bytes;

	if (meta->flags & OB_PKT_IP4) {
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)s->l3;

		if (!tso4 || meta->l3_len != sizeof(*ip))
			return false;
		ip_bytes = rte_be_to_cpu_16(ip->total_length);
	} else {
		const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)s->l3;

		if (!tso6 || meta->l3_len != sizeof(*ip))
			return false;
		ip_bytes = rte_be_to_cpu_16(ip->payload_len) + (uint32_t)sizeof(*ip);
	}
	/* Padding behind the datagram would become payload. */
	if (meta->l2_len + ip_bytes != m->pkt_len || (meta->flags & OB_PKT_GSO))
		return false;
	/* A partial sum somewhere else says nothing about this header's. */
	if ((meta->flags & OB_PKT_L4_CSUM_PARTIAL) &&
	    meta->csum_start != meta->l2_len + meta->l3_len)
		return false;
	s->payload = m->pkt_len - s->hdrs;
	return s->payload > 0 && (s->tcp->tcp_flags & ~RTE_TCP_PSH_FLAG) == RTE_TCP_ACK_FLAG &&
	       rte_mbuf_refcnt_read(m) == 1;
}

static bool same_flow(const struct flow *f, const struct ob_meta *meta, const struct seg *s)
{
	const uint8_t *a = rte_pktmbuf_mtod(f->head, const uint8_t *);
	const uint8_t *l3 = a + f->meta->l2_len;
	uint16_t kind = OB_PKT_IP4 | OB_PKT_IP6;

	if (f->hash != meta->hash || ((f->meta->flags ^ meta->flags) & kind) != 0 ||
	    f->meta->l2_len != meta->l2_len)
		return false;
	if (meta->flags & OB_PKT_IP4) {
		if (memcmp(l3 + 12, s->l3 + 12, 8) != 0)
			return false;
	} else if (memcmp(l3 + 8, s->l3 + 8, 32) != 0) {
		return false;
	}
	/* Fragments and later headers never get here, so the ports are the first four bytes behind l3_len. */
	return memcmp(l3 + f->meta->l3_len, s->tcp, 4) == 0;
}

/* All that the receiver would lose by the merge has to be equal. */
static bool continues(const struct flow *f, const struct ob_meta *meta, const struct seg *s)
{
	const uint8_t *frame = rte_pktmbuf_mtod(f->head, const uint8_t *);
	const uint8_t *l3 = frame + meta->l2_len, *tcp = l3 + f->meta->l3_len;
	const uint8_t *s_tcp = (const uint8_t *)s->tcp;

	if (f->meta->l3_len != meta->l3_len || f->meta->l4_len != meta->l4_len ||
	    memcmp(frame, s->l3 - meta->l2_len, meta->l2_len) != 0)
		return false;
	if (meta->flags & OB_PKT_IP4) {
		uint16_t id;

		/* Version, TOS; flags and fragment; TTL and protocol. The id counts only without DF (RFC 6864). */
		if (memcmp(l3, s->l3, 2) != 0 || memcmp(l3 + 6, s->l3 + 6, 4) != 0)
			return false;
		memcpy(&id, s->l3 + 4, sizeof(id));
		if (!(l3[6] & 0x40) && rte_be_to_cpu_16(id) != f->next_id)
			return false;
	} else if (memcmp(l3, s->l3, 4) != 0 || memcmp(l3 + 6, s->l3 + 6, 2) != 0) {
		return false;
	}
	/* Acknowledgement number and data offset; window; urgent pointer; options. */
	return rte_be_to_cpu_32(s->tcp->sent_seq) == f->next_seq && s->payload <= f->mss &&
	       f->ip_bytes + s->payload <= UINT16_MAX && memcmp(tcp + 8, s_tcp + 8, 5) == 0 &&
	       memcmp(tcp + 14, s_tcp + 14, 2) == 0 &&
	       memcmp(tcp + 18, s_tcp + 18, meta->l4_len - 18u) == 0;
}

static void start(struct flow *f, struct rte_mbuf *m, struct ob_meta *meta, const struct seg *s)
{
	uint16_t id;

	memcpy(&id, s->l3 + 4, sizeof(id));
	*f = (struct flow){
	    .head = m,
	    .tail = rte_pktmbuf_lastseg(m),
	    .meta = meta,
	    .hash = meta->hash,
	    .next_seq = rte_be_to_cpu_32(s->tcp->sent_seq) + s->payload,
	    .ip_bytes = m->pkt_len - meta->l2_len,
	    .mss = (uint16_t)s->payload,
	    .next_id = (uint16_t)(rte_be_to_cpu_16(id) + 1),
	    .n = 1,
	    .open = !(s->tcp->tcp_flags & RTE_TCP_PSH_FLAG),
	};
}

static void append(struct flow *f, struct rte_mbuf *m, const struct seg *s)
{
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(
	    f->head, struct rte_tcp_hdr *, (uint32_t)f->meta->l2_len + f->meta->l3_len);
	struct rte_mbuf *last = rte_pktmbuf_lastseg(m);

	if ((s->tcp->tcp_flags & RTE_TCP_PSH_FLAG) != 0) {
		tcp->tcp_flags |= RTE_TCP_PSH_FLAG;
		f->open = false;
	}
	if (s->payload < f->mss)
		f->open = false;
	rte_pktmbuf_adj(m, (uint16_t)s->hdrs);
	f->head->nb_segs = (uint16_t)(f->head->nb_segs + m->nb_segs);
	f->head->pkt_len += m->pkt_len;
	f->tail->next = m;
	f->tail = last;
	f->ip_bytes += s->payload;
	f->next_seq += s->payload;
	f->next_id++;
	f->n++;
}

/* Lengths and the pseudo-header sum of what has grown; the payload was verified piece by piece. */
static void finish(struct flow *f)
{
	struct ob_meta *meta = f->meta;
	uint8_t *l3 = rte_pktmbuf_mtod_offset(f->head, uint8_t *, meta->l2_len);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(l3 + meta->l3_len);
	uint64_t sum;

	if (f->n < 2)
		return;
	if (meta->flags & OB_PKT_IP4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)l3;

		ip->total_length = rte_cpu_to_be_16((uint16_t)f->ip_bytes);
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~csum_fold(csum_add(0, l3, meta->l3_len));
		sum = csum_add(0, (const uint8_t *)&ip->src_addr, 8);
	} else {
		struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)l3;

		ip->payload_len = rte_cpu_to_be_16((uint16_t)(f->ip_bytes - sizeof(*ip)));
		sum = csum_add(0, ip->src_addr, 32);
	}
	sum += rte_cpu_to_be_16((uint16_t)(f->ip_bytes - meta->l3_len));
	sum += rte_cpu_to_be_16(IPPROTO_TCP);
	tcp->cksum = csum_fold(sum);
	meta->csum_start = (uint16_t)(meta->l2_len + meta->l3_len);
	meta->csum_offset = offsetof(struct rte_tcp_hdr, cksum);
	meta->flags =
	    (uint16_t)((meta->flags & ~OB_PKT_L4_CSUM_GOOD) | OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL);
	f->head->tso_segsz = f->mss;
}

static bool try_append(
    struct flow *f, struct rte_mbuf *m, const struct ob_meta *meta, const struct seg *s)
{
	if (!f->open || !continues(f, meta, s) || f->head->nb_segs + m->nb_segs > OB_PKT_MAX_SEGS)
		return false;
	/* Only now: a packet that stays alone is verified by the guest. */
	if (!f->checked && !ob_pkt_l4_csum_ok(f->head, f->meta))
		return false;
	f->checked = true;
	if (!ob_pkt_l4_csum_ok(m, meta))
		return false;
	append(f, m, s);
	return true;
}

/* A slot for a new flow: a fresh one, or of a flow that takes no more. Flows that find none are not merged; to throw an open one out
 * would, with more flows than slots in turn, merge nothing at all. */
static struct flow *take_slot(struct flow *flows, unsigned *n_flows)
{
	if (*n_flows < GRO_FLOWS)
		return &flows[(*n_flows)++];
	for (unsigned k = 0; k < GRO_FLOWS; k++) {
		if (flows[k].open)
			continue;
		finish(&flows[k]);
		return &flows[k];
	}
	return NULL;
}

unsigned vif_gro(struct rte_mbuf **pkts, struct ob_meta *meta, unsigned n, bool tso4, bool tso6)
{
	struct flow flows[GRO_FLOWS];
	unsigned n_flows = 0, kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct flow *f = NULL;
		struct seg s = {0};
		bool tcp = is_tcp(pkts[i], &meta[i], &s);
		bool can = tcp && mergeable(pkts[i], &meta[i], &s, tso4, tso6);

		for (unsigned k = 0; tcp && k < n_flows && f == NULL; k++)
			if (same_flow(&flows[k], &meta[i], &s))
				f = &flows[k];
		if (f != NULL && can && try_append(f, pkts[i], &meta[i], &s))
			continue;
		/* It stays a packet of its own, and nothing behind it may be merged in front of it. */
		pkts[kept] = pkts[i];
		if (kept != i)
			meta[kept] = meta[i];
		if (f != NULL) {
			finish(f);
			f->open = false;
			f->n = 0;
		} else if (can) {
			f = take_slot(flows, &n_flows);
		}
		if (can && f != NULL)
			start(f, pkts[kept], &meta[kept], &s);
		kept++;
	}
	for (unsigned k = 0; k < n_flows; k++)
		finish(&flows[k]);
	return kept;
}
