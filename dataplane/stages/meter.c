/* SPDX-License-Identifier: BSD-3-Clause */
/* Allowances by the packet. An ENI without one costs a load. */
#include "stages_priv.h"

#define MASK(dir) ((1u << OB_METER_BW_OUT | 1u << OB_METER_PPS_OUT) << (dir))

static inline bool is_limited(uint16_t eni, enum ob_meter_dir dir)
{
	return __atomic_load_n(&ob_meter_limited[eni], __ATOMIC_RELAXED) & MASK(dir);
}

static bool pass(struct ob_worker *w, enum ob_meter_dir dir, uint16_t vif, struct rte_mbuf *pkt,
    const struct ob_meta *m)
{
	enum ob_drop why = ob_meter_pass(
	    ob_worker_id(w), m->eni, dir, 1, rte_pktmbuf_pkt_len(pkt), ob_worker_tsc(w));

	if (why == OB_PASS)
		return true;
	ob_drop(w, why, vif, pkt);
	return false;
}

void ob_stage_meter_out(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	unsigned k = 0;

	if (likely(!is_limited(eni->idx, OB_METER_OUT)))
		return;
	for (unsigned i = 0; i < b->n; i++) {
		b->meta[i].eni = eni->idx;
		if (pass(w, OB_METER_OUT, b->meta[i].in_vif, b->pkt[i], &b->meta[i]))
			burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}

void ob_stage_meter_in(struct ob_worker *w, struct ob_burst *b)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct ob_meta *m = &b->meta[i];

		if (likely(!is_limited(m->eni, OB_METER_IN)) ||
		    pass(w, OB_METER_IN, m->out_vif, b->pkt[i], m))
			burst_keep(b, k++, i);
	}
	b->n = (uint16_t)k;
}
