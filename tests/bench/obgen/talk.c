/* SPDX-License-Identifier: BSD-3-Clause */
/* Hand-shakes: connections that are opened before data flows, and those of connect-request-close. A packet goes out when the sink of
 * the other port has seen the one before it; what is under way is in conf.inflight slots, connection f in slot f % inflight. */
#include <string.h>

#include "obgen.h"

#define MAX_TRIES 20

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static bool crr_now(const struct obg_pair *pair)
{
	return pair->conf.mode == OBG_CRR && obg_phase_of(pair) > OBG_OPEN;
}

static unsigned last_step(const struct obg_pair *pair)
{
	return crr_now(pair) ? OBG_LAST_ACK : pair->conf.tcp ? OBG_ACK : OBG_SYN_ACK;
}

static enum obg_role sender(uint32_t step)
{
	return step == OBG_SYN_ACK || step == OBG_RESPONSE ? OBG_WIRE : OBG_GUEST;
}

/* ---- what has been seen -------------------------------------------------------------------------------------------- */

static void answer(struct obg_txq *q, uint32_t flow, uint32_t step)
{
	struct obg_port *port = q->port;
	unsigned to = obg_flow_queue(port, &port->pair->conf, flow);
	struct obg_out *out = &q->out[to];

	out->e[out->n++] = (void *)(uintptr_t)((uint64_t)flow << 8 | step);
	if (out->n == OBG_BURST)
		obg_talk_flush(q);
}

void obg_talk_flush(struct obg_txq *q)
{
	for (unsigned i = 0; i < q->port->n_rxq; i++) {
		struct obg_out *out = &q->out[i];

		/* The ring has room for all that can be under way. */
		if (out->n > 0)
			rte_ring_enqueue_burst(q->port->rxq[i]->steps, out->e, out->n, NULL);
		out->n = 0;
	}
}

/* Which step a packet is, by itself. */
static uint32_t step_of(
    const struct obg_pair *pair, const struct obg_parsed *p, const struct obg_slot *s)
{
	if (!pair->conf.tcp)
		return p->from == OBG_GUEST ? OBG_SYN : OBG_SYN_ACK;
	if (p->tcp_flags & 2)
		return p->from == OBG_GUEST ? OBG_SYN : OBG_SYN_ACK;
	if (p->tcp_flags & 1)
		return p->from == OBG_GUEST ? OBG_REQUEST : OBG_RESPONSE;
	return s->next == OBG_LAST_ACK ? OBG_LAST_ACK : OBG_ACK;
}

enum obg_err obg_talk_seen(struct obg_txq *q, const struct obg_parsed *p, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	struct obg_slot *s = &pair->slot[p->flow & (pair->conf.inflight - 1)];
	uint32_t step = step_of(pair, p, s), seq, ack;
	bool last = step == last_step(pair);

	if (s->flow != p->flow || load(&s->next) != step)
		return OBG_E_ORDER;
	if (pair->conf.tcp) {
		obg_step_numbers(pair, p->flow, s->lap, (enum obg_step)step, &seq, &ack);
		if (p->seq != seq || (step != OBG_SYN && p->ack != ack))
			return OBG_E_SEQ;
	}
	s->since = now;
	/* Pairs with the load in claim() of whoever starts the slot's next connection. */
	__atomic_store_n(&s->next, last ? OBG_FREE : step + 1, __ATOMIC_RELEASE);
	if (last) {
		if (step == OBG_LAST_ACK)
			q->connections++;
		else
			q->opened++;
		return OBG_OK;
	}
	if (sender(step + 1) == q->port->conf.role)
		answer(q, p->flow, step + 1);
	/* The request goes out right behind the acknowledgment. */
	if (step == OBG_SYN_ACK && last_step(pair) > OBG_ACK)
		answer(q, p->flow, OBG_REQUEST);
	return OBG_OK;
}

/* ---- what is to be sent -------------------------------------------------------------------------------------------- */

static bool claim(struct obg_slot *s, uint32_t expected)
{
	/* Several receive queues may want the same slot. */
	return __atomic_compare_exchange_n(
	    &s->next, &expected, OBG_SYN, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A slot whose answer does not come. Opening: the packet once more, by whoever sends it. */
static bool again(struct obg_rxq *q, struct obg_slot *s, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	uint32_t step = load(&s->next);
	struct obg_port *from;
	void *e;

	if (step == OBG_FREE || now < s->since + pair->timeout_tsc)
		return false;
	if (s->tries >= MAX_TRIES) {
		if (__atomic_compare_exchange_n(
			&s->next, &step, OBG_FREE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			q->timeouts++;
		return true;
	}
	s->tries++;
	s->since = now;
	q->retries++;
	from = pair->port[sender(step)];
	e = (void *)(uintptr_t)((uint64_t)s->flow << 8 | step);
	rte_ring_enqueue(from->rxq[obg_flow_queue(from, &pair->conf, s->flow)]->steps, e);
	return false;
}

/* The connections that a queue starts: those of 'live' while opening, else crr's; or all. */
static void range(const struct obg_pair *pair, uint32_t *from, uint32_t *to)
{
	bool crr = pair->conf.mode == OBG_CRR, now = crr_now(pair);

	*from = now ? pair->conf.live : 0;
	*to = crr && !now ? pair->conf.live : pair->total;
}

/* Starts connection 'f' unless its slot is taken. */
static bool start(struct obg_rxq *q, uint32_t f, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	struct obg_slot *s = &pair->slot[f & (pair->conf.inflight - 1)];
	uint32_t next = load(&s->next);

	if (next != OBG_FREE) {
		if (!crr_now(pair)) {
			again(q, s, now);
			return false;
		}
		if (now < s->since + pair->timeout_tsc || !claim(s, next))
			return false;
		q->timeouts++;
	} else if (!claim(s, OBG_FREE)) {
		return false;
	}
	s->flow = f;
	s->lap = crr_now(pair) ? q->lap : 0;
	s->tries = 0;
	s->since = now;
	return true;
}

static uint16_t launch(struct obg_rxq *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	uint32_t from, to, step = OBG_SYN;
	uint16_t done = 0;

	range(pair, &from, &to);
	while (done < n) {
		if (q->launch >= to) {
			if (!crr_now(pair))
				break;
			q->launch = from;
			q->lap++;
		}
		if (obg_flow_queue(q->port, &pair->conf, q->launch) != q->idx) {
			q->launch++;
			continue;
		}
		if (!start(q, q->launch, now))
			break;
		obg_emit_step(q, pkts[done++], q->launch, crr_now(pair) ? q->lap : 0,
		    (enum obg_step)step, now);
		q->launch++;
	}
	/* All are started: look after those that are not through. */
	for (unsigned i = 0; q->launch >= to && i < 32; i++) {
		again(q, &pair->slot[q->sweep], now);
		q->sweep = (q->sweep + 1) & (pair->conf.inflight - 1);
	}
	return done;
}

uint16_t obg_talk_rx(struct obg_rxq *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	void *e[OBG_BURST];
	unsigned k;

	k = rte_ring_dequeue_burst(q->steps, e, RTE_MIN(n, OBG_BURST), NULL);
	for (unsigned i = 0; i < k; i++) {
		uint64_t v = (uintptr_t)e[i];
		uint32_t flow = (uint32_t)(v >> 8);
		const struct obg_slot *s = &pair->slot[flow & (pair->conf.inflight - 1)];

		obg_emit_step(q, pkts[i], flow, s->lap, (enum obg_step)(v & 255), now);
	}
	if (q->port->conf.role == OBG_GUEST && k < n)
		k += launch(q, pkts + k, (uint16_t)(n - k), now);
	return (uint16_t)k;
}
