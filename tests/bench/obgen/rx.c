/* SPDX-License-Identifier: BSD-3-Clause */
/* What a receive burst gives the system: as many packets as it asks for, or as are due. */
#include <stdlib.h>

#include <rte_mempool.h>

#include "obgen.h"

/* How many of 'n' are due, and the time of the first. What more than the backlog has waited is lost, as in a queue that is full. */
static unsigned due(struct obg_pace *p, unsigned n, uint64_t now, uint64_t *first, uint64_t *missed)
{
	uint64_t k;

	if (p->period == 0) {
		*first = now;
		return n;
	}
	if (now < p->next)
		return 0;
	k = (now - p->next) / p->period + 1;
	if (k > p->backlog) {
		*missed += k - p->backlog;
		p->next += (k - p->backlog) * p->period;
		k = p->backlog;
	}
	k = RTE_MIN(k, (uint64_t)n);
	*first = p->next;
	p->next += k * p->period;
	return (unsigned)k;
}

/* The mbufs for 'n' packets, or fewer. */
static unsigned buffers(struct obg_rxq *q, struct rte_mbuf **pkts, unsigned n)
{
	if (likely(rte_mempool_get_bulk(q->mp, (void **)pkts, n) == 0))
		return n;
	q->nombuf++;
	for (n /= 2; n > 0; n /= 2) {
		if (rte_mempool_get_bulk(q->mp, (void **)pkts, n) == 0)
			return n;
	}
	return 0;
}

static unsigned data(struct obg_rxq *q, struct obg_walk *w, struct obg_pace *p,
    struct rte_mbuf **pkts, unsigned n, uint64_t now)
{
	uint64_t first;

	if (w->n == 0)
		return 0;
	n = due(p, n, now << 12, &first, &q->missed);
	if (n == 0)
		return 0;
	n = buffers(q, pkts, n);
	if (n > 0)
		obg_emit_data(q, w, pkts, n, first, p->period);
	return n;
}

static unsigned talk(struct obg_rxq *q, struct rte_mbuf **pkts, unsigned n, uint64_t now)
{
	unsigned got = buffers(q, pkts, n), k;

	if (got == 0)
		return 0;
	k = obg_talk_rx(q, pkts, (uint16_t)got, now);
	if (k < got)
		rte_mempool_put_bulk(q->mp, (void **)(pkts + k), got - k);
	return k;
}

static unsigned arp(struct obg_rxq *q, struct rte_mbuf **pkts)
{
	struct obg_arp *a = &q->port->arp;

	/* Pairs with the release in sink.c. */
	if (__atomic_load_n(&a->state, __ATOMIC_ACQUIRE) != 2 || buffers(q, pkts, 1) == 0)
		return 0;
	obg_emit_arp(q, pkts[0], a);
	__atomic_store_n(&a->state, 0, __ATOMIC_RELEASE);
	return 1;
}

static void take_over(struct obg_rxq *q)
{
	q->thread = pthread_self();
	if (pthread_getcpuclockid(q->thread, &q->cpu) == 0)
		__atomic_store_n(&q->has_thread, true, __ATOMIC_RELEASE);
}

void obg_rxq_new_run(struct obg_rxq *q)
{
	struct obg_pair *pair = q->port->pair;
	uint64_t now = obg_now(pair) << 12;

	q->pace.next = now;
	q->live_pace.next = now;
	/* TCP connections that are open cannot be opened again. */
	if (!pair->conf.tcp)
		q->launch = 0;
	q->run = pair->run;
}

uint16_t obg_rx_burst(void *queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct obg_rxq *q = queue;
	struct obg_pair *pair = q->port->pair;
	enum obg_phase phase = obg_phase_of(pair);
	unsigned k = 0;
	uint64_t now;

	if (n > OBG_BURST)
		n = OBG_BURST;
	if (unlikely(!q->has_thread || !pthread_equal(q->thread, pthread_self())))
		take_over(q);
	if (unlikely(q->idx == 0 && q->port->arp.state == 2) && n > 0) {
		k = arp(q, pkts);
		q->pkts += k;
		return (uint16_t)k;
	}
	if (phase == OBG_WAIT || phase >= OBG_DONE)
		return 0;
	if (unlikely(q->run != pair->run))
		obg_rxq_new_run(q);
	now = obg_now(pair);
	if (phase == OBG_OPEN) {
		k = talk(q, pkts, n, now);
	} else if (pair->conf.mode == OBG_CRR) {
		if (q->live.n > 0)
			k = data(q, &q->live, &q->live_pace, pkts, n / 2u, now);
		k += talk(q, pkts + k, n - k, now);
	} else {
		k = data(q, &q->walk, &q->pace, pkts, n, now);
	}
	q->pkts += k;
	return (uint16_t)k;
}
