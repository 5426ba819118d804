/* SPDX-License-Identifier: BSD-3-Clause */
/* IPv4 fragmentation (RFC 791) by copy. The way out may be a tunnel, whose own packets are never fragmented. */
#include "stages_priv.h"

#define MAX_OPTS 40

/* Options of the later fragments: those with the copied bit (RFC 791, 3.1). Returns their length, padded. */
static unsigned copied_opts(const uint8_t *opt, unsigned len, uint8_t *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < len && opt[i] != 0;) {
		unsigned size = 1;

		if (opt[i] != 1) {
			if (len - i < 2 || opt[i + 1] < 2 || opt[i + 1] > len - i)
				break;
			size = opt[i + 1];
			if (opt[i] & 0x80) {
				memcpy(out + n, opt + i, size);
				n += size;
			}
		}
		i += size;
	}
	while (n % 4 != 0)
		out[n++] = 0;
	return n;
}

struct frag {
	const struct rte_mbuf *pkt;
	const struct ob_meta *meta;
	uint32_t off, len; /* payload */
	unsigned opts_len;
	const uint8_t *opts;
};

static struct rte_mbuf *frag_one(struct ob_worker *w, const struct frag *f, bool last)
{
	const uint8_t *in = l3_of(f->pkt, f->meta);
	uint16_t l3_len = (uint16_t)(sizeof(struct rte_ipv4_hdr) + f->opts_len);
	uint16_t word = load16(in + 6);
	struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(w));
	const void *from;
	uint8_t *p, *ip;

	if (m == NULL)
		return NULL;
	m->data_off = OB_HEADROOM;
	p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(f->meta->l2_len + l3_len + f->len));
	if (p == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memcpy(p, rte_pktmbuf_mtod(f->pkt, const uint8_t *), f->meta->l2_len);
	ip = p + f->meta->l2_len;
	memcpy(ip, in, sizeof(struct rte_ipv4_hdr));
	memcpy(ip + sizeof(struct rte_ipv4_hdr), f->opts, f->opts_len);
	from = rte_pktmbuf_read(
	    f->pkt, f->meta->l2_len + f->meta->l3_len + f->off, f->len, ip + l3_len);
	if (from != ip + l3_len)
		memcpy(ip + l3_len, from, f->len);
	ip[0] = (uint8_t)(0x40 | l3_len / 4);
	store16(ip + 2, (uint16_t)(l3_len + f->len));
	store16(ip + 6, (uint16_t)((last ? word & RTE_IPV4_HDR_MF_FLAG : RTE_IPV4_HDR_MF_FLAG) |
				   ((word & RTE_IPV4_HDR_OFFSET_MASK) + f->off / 8)));
	store16(ip + 10, 0);
	store16(ip + 10, rte_be_to_cpu_16((uint16_t)~rte_raw_cksum(ip, l3_len)));
	return m;
}

void ob_stage_fragment(
    struct ob_worker *w, struct rte_mbuf *pkt, const struct ob_meta *meta, struct ob_burst *out)
{
	struct ob_meta m = *meta;
	uint8_t opts[MAX_OPTS + 4];
	struct frag f = {.pkt = pkt, .meta = meta};
	uint32_t payload = rte_pktmbuf_pkt_len(pkt) - meta->l2_len - meta->l3_len;
	/* One buffer a fragment. */
	uint32_t mtu = RTE_MIN((uint32_t)meta->mtu,
	    rte_pktmbuf_data_room_size(ob_worker_pool(w)) - OB_HEADROOM - (uint32_t)meta->l2_len);
	enum ob_drop why = OB_DROP_NO_MBUF;

	out->n = 0;
	if (ob_pkt_complete_csum(pkt, &m) < 0) {
		ob_drop(w, OB_DROP_MALFORMED_L4, meta->in_vif, pkt);
		return;
	}
	f.opts = l3_of(pkt, meta) + sizeof(struct rte_ipv4_hdr);
	f.opts_len = meta->l3_len - (unsigned)sizeof(struct rte_ipv4_hdr);
	while (f.off < payload) {
		uint32_t room = (mtu - (uint32_t)sizeof(struct rte_ipv4_hdr) - f.opts_len) & ~7u;
		bool last = payload - f.off <= room;
		struct rte_mbuf *frag;

		f.len = last ? payload - f.off : room;
		if (out->n == OB_BURST_MAX) {
			why = OB_DROP_TOO_BIG;
			goto err_frags;
		}
		frag = frag_one(w, &f, last);
		if (frag == NULL)
			goto err_frags;
		out->meta[out->n] = m;
		out->meta[out->n].flags |= OB_PKT_FRAG;
		if (f.off != 0) {
			/* As parse has it: without its header it is of no protocol that has ports. */
			out->meta[out->n].flags &=
			    (uint16_t) ~(OB_PKT_TCP | OB_PKT_UDP | OB_PKT_ICMP);
			out->meta[out->n].flags |= OB_PKT_LATER_FRAG;
			out->meta[out->n].l4_len = 0;
		}
		out->meta[out->n].l3_len = (uint16_t)(sizeof(struct rte_ipv4_hdr) + f.opts_len);
		out->pkt[out->n++] = frag;
		if (f.off == 0) {
			f.opts_len = copied_opts(f.opts, f.opts_len, opts);
			f.opts = opts;
		}
		f.off += f.len;
	}
	rte_pktmbuf_free(pkt);
	return;

err_frags:
	rte_pktmbuf_free_bulk(out->pkt, out->n);
	out->n = 0;
	ob_drop(w, why, meta->in_vif, pkt);
}
