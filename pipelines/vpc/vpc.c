/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_vpc.h"

/* To guests of this card or into tunnels; the first are gathered in 'local'. */
static void send_out(struct ob_worker *w, struct ob_burst *b, struct ob_burst *local)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		bool here = b->meta[i].out_vif != OB_VIF_NONE;
		struct ob_burst *to = here ? local : b;
		unsigned at = here ? local->n++ : k++;

		if (to == b && at == i)
			continue;
		to->pkt[at] = b->pkt[i];
		to->meta[at] = b->meta[i];
	}
	b->n = (uint16_t)k;
	if (local->n > 0)
		ob_vif_output(w, local->pkt, local->meta, local->n);
	local->n = 0;
	if (b->n > 0)
		ob_stage_encap(w, b);
}

static void cut_and_send(struct ob_worker *w, const struct ob_eni *eni, struct ob_edges *e)
{
	struct ob_burst *b = &e->burst[OB_EDGE_FRAGMENT];
	struct ob_burst frags;

	for (unsigned i = 0; i < b->n; i++) {
		ob_stage_fragment(w, b->pkt[i], &b->meta[i], &frags);
		ob_stage_apply(w, eni, &frags);
		send_out(w, &frags, &e->burst[OB_EDGE_LOCAL]);
	}
	b->n = 0;
}

/* What parted from the main way; seldom anything. */
static __rte_noinline void answer_all(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_edges *e)
{
	struct ob_burst *b = e->burst;

	if (b[OB_EDGE_ARP].n > 0)
		ob_stage_answer_arp(w, &b[OB_EDGE_ARP]);
	if (b[OB_EDGE_ND].n > 0)
		ob_stage_answer_nd(w, &b[OB_EDGE_ND]);
	if (b[OB_EDGE_DHCP4].n > 0)
		ob_stage_answer_dhcp4(w, eni, &b[OB_EDGE_DHCP4]);
	if (b[OB_EDGE_DHCP6].n > 0)
		ob_stage_answer_dhcp6(w, eni, &b[OB_EDGE_DHCP6]);
	if (b[OB_EDGE_ECHO].n > 0)
		ob_stage_answer_echo(w, eni, &b[OB_EDGE_ECHO]);
	if (b[OB_EDGE_TTL].n > 0)
		ob_stage_answer_ttl(w, eni, &b[OB_EDGE_TTL]);
	if (b[OB_EDGE_TOO_BIG].n > 0)
		ob_stage_answer_too_big(w, eni, &b[OB_EDGE_TOO_BIG]);
	if (b[OB_EDGE_FRAGMENT].n > 0)
		cut_and_send(w, eni, e);
	e->used = 0;
}

static void guest_input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	const struct ob_eni *eni = ob_eni_of_vif(ob_vif_idx(vif));
	struct ob_edges *e = ob_stage_edges(w);

	if (unlikely(eni == NULL)) {
		for (unsigned i = 0; i < b->n; i++)
			ob_drop(w, OB_DROP_NO_ENI, b->meta[i].in_vif, b->pkt[i]);
		b->n = 0;
		return;
	}
	ob_stage_advertise(w, eni, ob_worker_tsc(w));
	ob_stage_parse(w, b);
	ob_stage_first_packet(w, eni, b, e);
	ob_stage_pmtu(w, b, e);
	ob_stage_apply(w, eni, b);
	send_out(w, b, &e->burst[OB_EDGE_LOCAL]);
	if (unlikely(e->used != 0))
		answer_all(w, eni, e);
}

static void uplink_input(struct ob_worker *w, struct ob_burst *b, const struct ob_outer *o)
{
	struct ob_edges *e = ob_stage_edges(w);

	ob_stage_decap(w, b, o);
	ob_stage_parse(w, b);
	ob_stage_deliver(w, b, e);
	if (b->n > 0)
		ob_vif_output(w, b->pkt, b->meta, b->n);
	b->n = 0;
	if (unlikely(e->used != 0)) {
		ob_stage_answer_arp(w, &e->burst[OB_EDGE_ARP]);
		ob_stage_answer_nd(w, &e->burst[OB_EDGE_ND]);
		e->used = 0;
	}
}

/* Only packets for another worker's queue are handed over. */
static void handoff_input(struct ob_worker *w, struct ob_burst *b, void *arg)
{
	(void)arg;
	ob_vif_handoff_in(w, b);
}

int ob_vpc_init(void)
{
	ob_vif_set_input(guest_input);
	ob_uplink_set_input(uplink_input);
	ob_workers_set_handoff(handoff_input, NULL);
	return 0;
}
