/* SPDX-License-Identifier: BSD-3-Clause */
/* The workers' side: which captures take a packet, and the copy. */
#include "tap.h"

#include <string.h>

#include <rte_cycles.h>

static const struct program *program;

void tap_publish(const struct program *p)
{
	__atomic_store_n(&program, p, __ATOMIC_RELEASE); /* pairs with the acquire in capture_tap */
}

/* A packet's headers, read when the first filter asks for them. */
struct view {
	const struct rte_mbuf *pkt;
	uint32_t off, len; /* of the frame in the mbuf */
	bool parsed, parsed_inner;
	struct hdrs hdrs, inner;
	const uint8_t *bytes;
	uint32_t n_bytes;
	uint8_t copy[HDRS_MAX];
};

static void parse(struct view *v)
{
	v->parsed = true;
	v->n_bytes = RTE_MIN(v->len, (uint32_t)HDRS_MAX);
	v->bytes = rte_pktmbuf_read(v->pkt, v->off, v->n_bytes, v->copy);
	if (v->bytes == NULL)
		v->n_bytes = 0;
	hdrs_parse(v->bytes, v->n_bytes, &v->hdrs);
}

static bool takes_inner(const struct ob_capture_filter *f, struct view *v)
{
	uint32_t off = v->hdrs.inner_off;

	if (off == 0)
		return false;
	if (!v->parsed_inner)
		hdrs_parse(v->bytes + off, v->n_bytes - off, &v->inner);
	v->parsed_inner = true;
	return filter_takes(f, &v->inner);
}

static bool takes(const struct ob_capture_filter *f, struct view *v)
{
	if (!filter_reads(f))
		return true;
	if (!v->parsed)
		parse(v);
	return filter_takes(f, &v->hdrs) || takes_inner(f, v);
}

/* What is dropped tells no direction: its MACs do, or the reason. */
static uint8_t dir_of_drop(
    const struct ob_capture_if *i, const struct ob_seen *seen, struct view *v)
{
	if (seen->in_vif == OB_VIF_NONE)
		return seen->reason == OB_DROP_UPLINK_FULL || seen->reason == OB_DROP_NO_NEXTHOP
			   ? OB_CAPTURE_OUT
			   : OB_CAPTURE_IN;
	if (!v->parsed)
		parse(v);
	if (v->n_bytes >= 12 && memcmp(v->bytes + 6, i->mac, 6) == 0)
		return OB_CAPTURE_OUT;
	if (v->n_bytes >= 12 && memcmp(v->bytes, i->mac, 6) == 0)
		return OB_CAPTURE_IN;
	switch (seen->reason) {
	case OB_DROP_ACL_IN:
	case OB_DROP_GUEST_RING_FULL:
	case OB_DROP_GUEST_FILTER:
	case OB_DROP_GUEST_DOWN:
	case OB_DROP_GUEST_TOO_LONG:
	case OB_DROP_GUEST_MEMORY:
		return OB_CAPTURE_IN;
	default:
		return OB_CAPTURE_OUT;
	}
}

static void copy_out(uint8_t *to, const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	while (len > 0) {
		uint32_t n;

		if (off >= m->data_len) {
			off -= m->data_len;
			m = m->next;
			continue;
		}
		n = RTE_MIN(len, m->data_len - off);
		memcpy(to, rte_pktmbuf_mtod_offset(m, const uint8_t *, off), n);
		to += n;
		len -= n;
		off = 0;
		m = m->next;
	}
}

/* Single writer; the thread reads. */
static inline void count(uint64_t *c)
{
	__atomic_store_n(c, *c + 1, __ATOMIC_RELAXED);
}

static void record(struct ring *r, uint8_t iface, uint8_t dir, uint32_t snaplen, uint64_t tsc,
    const struct ob_seen *seen, const struct view *v)
{
	uint32_t cap_len = RTE_MIN(v->len, snaplen);
	struct rec *rec;

	count(&r->n_matched[iface]);
	rec = ring_reserve(r, cap_len);
	if (rec == NULL) {
		count(&r->n_lost[iface]);
		return;
	}
	rec->len = v->len;
	rec->iface = iface;
	rec->dir = dir;
	rec->fate = seen->fate;
	rec->reason = seen->reason;
	rec->flags = seen->flags;
	rec->in_vif = seen->in_vif;
	rec->out_vif = seen->out_vif;
	rec->reserved = 0;
	rec->tunnel = seen->tunnel;
	rec->vni = seen->vni;
	rec->tsc = tsc;
	copy_out(rec_bytes(rec), v->pkt, v->off, cap_len);
	ring_commit(r, rec);
}

/* The packet on one of its interfaces. 'dir' 0: not known yet. */
static void look(struct ob_worker *w, const struct program *p, uint16_t vif, uint8_t dir,
    uint64_t tsc, const struct ob_seen *seen, struct view *v)
{
	uint16_t row = vif < OB_MAX_VIFS ? vif : OB_MAX_VIFS;

	for (uint32_t left = p->by_vif[row]; left != 0; left &= left - 1) {
		const struct active *a = &p->active[__builtin_ctz(left)];
		const struct ob_capture_filter *f = &a->filter;
		uint8_t i = 0, d = dir;

		while (i < a->n_ifs && a->ifs[i].vif != vif)
			i++;
		if (i == a->n_ifs || (f->only_drops && seen->fate != OB_FATE_DROPPED))
			continue;
		if (d == 0)
			d = dir_of_drop(&a->ifs[i], seen, v);
		if ((f->dirs == 0 || (f->dirs & d)) && takes(f, v))
			record(a->ring[ob_worker_id(w)], i, d, a->snaplen, tsc, seen, v);
	}
}

void capture_tap(struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_seen *seen)
{
	const struct program *p = ob_rcu_load(&program);
	struct view v;
	uint64_t tsc;

	if (p == NULL || seen->skip > rte_pktmbuf_pkt_len(pkt))
		return;
	v.pkt = pkt;
	v.off = seen->skip;
	v.parsed = v.parsed_inner = false;
	v.len = rte_pktmbuf_pkt_len(pkt) - seen->skip;
	tsc = rte_rdtsc();
	switch (seen->fate) {
	case OB_FATE_DROPPED:
		look(w, p, seen->in_vif, 0, tsc, seen, &v);
		break;
	case OB_FATE_DELIVERED:
		/* Answers of the card come from nobody, and name the guest that asked. */
		if (seen->in_vif != OB_VIF_NONE && seen->in_vif != seen->out_vif)
			look(w, p, seen->in_vif, OB_CAPTURE_OUT, tsc, seen, &v);
		look(w, p, seen->out_vif, OB_CAPTURE_IN, tsc, seen, &v);
		break;
	case OB_FATE_SENT:
		if (seen->in_vif != OB_VIF_NONE)
			look(w, p, seen->in_vif, OB_CAPTURE_OUT, tsc, seen, &v);
		break;
	case OB_FATE_ANSWERED:
		look(w, p, seen->in_vif,
		    seen->in_vif == OB_VIF_NONE ? OB_CAPTURE_IN : OB_CAPTURE_OUT, tsc, seen, &v);
		break;
	case OB_FATE_WIRE_IN:
	case OB_FATE_KERNEL:
		look(w, p, OB_VIF_NONE, OB_CAPTURE_IN, tsc, seen, &v);
		break;
	case OB_FATE_WIRE_OUT:
		look(w, p, OB_VIF_NONE, OB_CAPTURE_OUT, tsc, seen, &v);
		break;
	default:
		break;
	}
}
