/* SPDX-License-Identifier: BSD-3-Clause */
/* Out of the tunnel. */
#include "stages_priv.h"

void ob_stage_decap(struct ob_worker *w, struct ob_burst *b, const struct ob_outer *o)
{
	const struct ob_encap_local *local = ob_encap_local();
	uint32_t tunnel[OB_BURST_MAX];
	struct ob_decap_run run;
	unsigned k = 0;

	ob_outer_find(o, tunnel, b->n);
	ob_decap_begin(&run, w);
	for (unsigned i = 0; i < b->n; i++) {
		enum ob_drop why = ob_outer_pop(&run, local, b->pkt[i], &o[i], tunnel[i]);

		if (unlikely(why != OB_PASS)) {
			ob_drop(w, why, OB_VIF_NONE, b->pkt[i]);
			continue;
		}
		b->pkt[k] = b->pkt[i];
		b->meta[k++] = (struct ob_meta){.in_vif = OB_VIF_NONE,
		    .out_vif = OB_VIF_NONE,
		    .vni = o[i].vni,
		    .tunnel = tunnel[i]};
	}
	ob_decap_end(&run);
	b->n = (uint16_t)k;
}
