/* SPDX-License-Identifier: BSD-3-Clause */
/* What a transmit burst does: counts, checks one packet in so many, and frees. */
#include <string.h>

#include "obgen.h"

static void take_arp(struct obg_port *port, const struct obg_arp *arp)
{
	uint32_t free = 0;

	if (!__atomic_compare_exchange_n(
		&port->arp.state, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	port->arp.to = arp->to;
	port->arp.to_ip = arp->to_ip;
	port->arp.ip = arp->ip;
	__atomic_store_n(&port->arp.state, 2, __ATOMIC_RELEASE);
}

static void latency(struct obg_txq *q, const struct obg_parsed *p, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	uint32_t run = __atomic_load_n(&pair->hist_run, __ATOMIC_RELAXED);

	if (p->stamp > now) {
		q->errs[OBG_E_STAMP]++;
		return;
	}
	if (obg_phase_of(pair) != OBG_MEASURE)
		return;
	if (q->hist_run != run) {
		obg_hist_clear(&q->hist);
		q->hist_run = run;
	}
	obg_hist_add(&q->hist, now - p->stamp);
}

/* A packet that is of the plan: on with its hand-shake, and into the histogram. */
static enum obg_err take(
    struct obg_txq *q, const struct obg_parsed *p, enum obg_phase phase, uint64_t now)
{
	const struct obg_conf *c = &q->port->pair->conf;
	enum obg_err rc = OBG_OK;

	if (phase == OBG_OPEN || (c->mode == OBG_CRR && phase < OBG_DONE && p->flow >= c->live))
		rc = obg_talk_seen(q, p, now);
	if (p->has_stamp)
		latency(q, p, now);
	return rc;
}

static void check(
    struct obg_txq *q, struct rte_mbuf *m, enum obg_phase phase, bool sums, uint64_t now)
{
	struct obg_parsed p;
	const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t len = m->pkt_len;
	enum obg_err rc;

	if (unlikely(m->nb_segs > 1)) {
		len = RTE_MIN(len, (uint32_t)sizeof(q->linear));
		b = rte_pktmbuf_read(m, 0, len, q->linear);
		/* (where the lengths of its pieces do not add up) */
		if (b == NULL)
			len = 0;
	}
	rc = obg_parse(q->port, b, len, sums, m->ol_flags, &p);
	q->checked++;
	q->kinds[p.kind]++;
	if (rc == OBG_OK && p.kind < OBG_K_ARP)
		rc = take(q, &p, phase, now);
	else if (rc == OBG_OK && p.arp.state == 2)
		take_arp(q->port, &p.arp);
	if (rc != OBG_OK)
		q->errs[rc]++;
}

/* A packet that is read, but not looked into. */
static void glance(struct obg_txq *q, struct rte_mbuf *m, enum obg_phase phase, uint64_t now)
{
	struct obg_parsed p;
	enum obg_err rc;

	if (m->nb_segs > 1 ||
	    !obg_parse_quick(q->port, rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len, &p)) {
		check(q, m, phase, false, now);
		return;
	}
	q->kinds[p.kind]++;
	rc = take(q, &p, phase, now);
	if (rc != OBG_OK)
		q->errs[rc]++;
}

uint16_t obg_tx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct obg_txq *q = queue;
	const struct obg_port *port = q->port;
	enum obg_phase phase = obg_phase_of(port->pair);
	/* Hand-shakes go on by what is seen; latency is about every packet. */
	bool all = phase == OBG_OPEN || (port->pair->conf.mode != OBG_ESTABLISHED &&
					    phase > OBG_OPEN && phase < OBG_DONE);
	uint64_t now = obg_now(port->pair), bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		bool sample = --q->until_check == 0;
		rte_be16_t type;

		bytes += pkts[i]->pkt_len;
		memcpy(&type, rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, 12), 2);
		if (sample)
			q->until_check = port->conf.check;
		if (sample || unlikely(type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)))
			check(q, pkts[i], phase, sample, now);
		else if (all)
			glance(q, pkts[i], phase, now);
	}
	if (all)
		obg_talk_flush(q);
	q->pkts += n;
	q->bytes += bytes;
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}
