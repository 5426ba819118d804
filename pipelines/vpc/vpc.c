/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_vpc.h"

#include "ob_acl.h"
#include "ob_nat.h"
#include "ob_session.h"

/* To guests: the way of everything that has its ENI and is where its connection is. */
static void to_guests(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	uint16_t any = 0;

	ob_stage_session_in(w, b, e);
	if (unlikely(e->burst[OB_EDGE_FIRST].n > 0))
		ob_stage_admit_in(w, b, e);
	for (unsigned i = 0; i < b->n; i++)
		any |= b->meta[i].flags;
	if (unlikely(any & OB_PKT_NAT))
		ob_stage_apply(w, b);
	if (b->n > 0)
		ob_vif_output(w, b->pkt, b->meta, b->n);
	b->n = 0;
}

/* What one guest sent to another is judged once more, by the policy of who gets it. */
static void to_local(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *m = &b->meta[i];
		const struct ob_eni *eni = ob_eni_of_vif(m->out_vif);

		/* The function may be another ENI's since the way was decided. */
		if (unlikely(eni == NULL || (!(m->flags & OB_PKT_TO_NAT) &&
						memcmp(eni->mac, m->new_dmac, 6) != 0))) {
			ob_drop(w, OB_DROP_NO_ENI, m->in_vif, b->pkt[i]);
			continue;
		}
		m->eni = eni->idx;
		m->flags &= (uint16_t) ~(OB_PKT_NAT | OB_PKT_ROUTED);
		m->flags |= m->flags & OB_PKT_TO_NAT ? OB_PKT_ROUTED : 0;
		if (k != i) {
			b->pkt[k] = b->pkt[i];
			b->meta[k] = *m;
		}
		k++;
	}
	b->n = (uint16_t)k;
	ob_stage_deliver_public(w, b);
	ob_stage_meter_in(w, b);
	ob_stage_place(w, NULL, b, OB_RESUME_IN);
	to_guests(w, b, e);
}

/* To guests of this card or into tunnels; the first are gathered in their edge. */
static void send_out(struct ob_worker *w, struct ob_burst *b, struct ob_edges *e)
{
	struct ob_burst *local = &e->burst[OB_EDGE_LOCAL];
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
		to_local(w, local, e);
	local->n = 0;
	if (b->n > 0)
		ob_stage_encap(w, b);
}

static void cut_and_send(struct ob_worker *w, struct ob_edges *e)
{
	struct ob_burst *b = &e->burst[OB_EDGE_FRAGMENT];
	struct ob_burst frags;

	for (unsigned i = 0; i < b->n; i++) {
		ob_stage_fragment(w, b->pkt[i], &b->meta[i], &frags);
		ob_stage_apply(w, &frags);
		send_out(w, &frags, e);
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
		cut_and_send(w, e);
	e->used = 0;
}

/* From a guest, on the worker that has the connections. */
static void from_guest(
    struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b, struct ob_edges *e)
{
	ob_stage_session_out(w, eni, b, e);
	if (unlikely(e->burst[OB_EDGE_FIRST].n > 0))
		ob_stage_first_packet(w, eni, b, e);
	ob_stage_pmtu(w, b, e);
	ob_stage_apply(w, b);
	send_out(w, b, e);
	if (unlikely(e->used != 0))
		answer_all(w, eni, e);
}

static void guest_input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	const struct ob_eni *eni = ob_eni_of_vif(ob_vif_idx(vif));

	if (unlikely(eni == NULL)) {
		for (unsigned i = 0; i < b->n; i++)
			ob_drop(w, OB_DROP_NO_ENI, b->meta[i].in_vif, b->pkt[i]);
		b->n = 0;
		return;
	}
	ob_stage_advertise(w, eni, ob_worker_tsc(w));
	ob_stage_parse(w, b);
	ob_stage_meter_out(w, eni, b);
	ob_stage_place(w, eni, b, OB_RESUME_OUT);
	from_guest(w, eni, b, ob_stage_edges(w));
}

static void uplink_input(struct ob_worker *w, struct ob_burst *b, const struct ob_outer *o)
{
	struct ob_edges *e = ob_stage_edges(w);

	ob_stage_decap(w, b, o);
	ob_stage_parse(w, b);
	ob_stage_deliver(w, b, e);
	ob_stage_meter_in(w, b);
	ob_stage_place(w, NULL, b, OB_RESUME_IN);
	to_guests(w, b, e);
	if (unlikely(e->used != 0)) {
		ob_stage_answer_arp(w, &e->burst[OB_EDGE_ARP]);
		ob_stage_answer_nd(w, &e->burst[OB_EDGE_ND]);
		e->used = 0;
	}
}

/* The ENI's number may be another's since the packet was handed over: then its function is another one, too. */
static void still_bound(struct ob_worker *w, struct ob_burst *b, bool inward)
{
	unsigned k = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct ob_meta *m = &b->meta[i];
		const struct ob_eni *eni = ob_eni_at(m->eni);
		uint16_t vif = inward ? m->out_vif : m->in_vif;

		if (unlikely(eni == NULL || eni->vif != vif)) {
			ob_drop(w, OB_DROP_NO_ENI, vif, b->pkt[i]);
			continue;
		}
		if (k != i) {
			b->pkt[k] = b->pkt[i];
			b->meta[k] = *m;
		}
		k++;
	}
	b->n = (uint16_t)k;
}

/* A run of packets that go on at the same place. */
static void resume(struct ob_worker *w, enum ob_resume at, struct ob_burst *b)
{
	switch (at) {
	case OB_RESUME_OUT:
		still_bound(w, b, false);
		if (b->n > 0)
			from_guest(w, ob_eni_at(b->meta[0].eni), b, ob_stage_edges(w));
		return;
	case OB_RESUME_IN:
		still_bound(w, b, true);
		to_guests(w, b, ob_stage_edges(w));
		return;
	default:
		ob_vif_handoff_in(w, b);
	}
}

static void handoff_input(struct ob_worker *w, struct ob_burst *b, void *arg)
{
	struct ob_burst run;

	(void)arg;
	for (unsigned i = 0; i < b->n;) {
		const struct ob_meta *m = &b->meta[i];

		run.n = 0;
		do {
			run.pkt[run.n] = b->pkt[i];
			run.meta[run.n] = b->meta[i++];
			run.meta[run.n++].resume = 0;
		} while (i < b->n && b->meta[i].resume == m->resume &&
			 (m->resume != OB_RESUME_OUT || b->meta[i].eni == m->eni));
		resume(w, (enum ob_resume)m->resume, &run);
	}
	b->n = 0;
}

static void eni_changed(uint32_t eni)
{
	if (eni == OB_IDX_NONE)
		ob_session_gen_bump_all();
	else
		ob_session_gen_bump((uint16_t)eni);
}

static void acl_changed(uint16_t eni)
{
	ob_session_gen_bump(eni);
}

static const struct ob_flush session_round = {.flush = ob_stage_session_round};

int ob_vpc_init(void)
{
	int rc = 0;

	ob_vif_set_input(guest_input);
	ob_uplink_set_input(uplink_input);
	ob_workers_set_handoff(handoff_input, NULL);
	ob_policy_set_on_change(eni_changed);
	ob_acl_set_on_change(acl_changed);
	ob_session_set_on_delete(ob_nat_on_delete);
	for (unsigned i = 0; rc == 0 && i < ob_workers_count(); i++)
		rc = ob_worker_add_flush(ob_worker_get(i), &session_round);
	return rc;
}

void ob_vpc_fini(void)
{
	for (unsigned i = 0; i < ob_workers_count(); i++)
		ob_worker_del_flush(ob_worker_get(i), &session_round);
	ob_policy_set_on_change(NULL);
	ob_acl_set_on_change(NULL);
	ob_session_set_on_delete(NULL);
}
