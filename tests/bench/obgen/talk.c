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

/* ---- what has been seen -------------------------------------------------------------------------------------------- */

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
static inline uint32_t step_of(
    const struct obg_pair *pair, const struct obg_parsed *p, uint32_t next)
{
	unsigned flags = pair->conf.tcp ? p->tcp_flags & 3 : 2; /* SYN 2, FIN 1 */
	uint32_t none = next == OBG_LAST_ACK ? OBG_LAST_ACK : OBG_ACK;
	uint32_t step = flags & 2 ? OBG_SYN : flags & 1 ? OBG_REQUEST : none;

	return flags ? step + (p->from == OBG_WIRE) : step;
}

/* What the port that has seen a step sends thereupon. Nothing, as often as not: the number moves on by a condition, and no branch is
 * guessed wrong. */
static inline void answer(struct obg_txq *q, uint32_t flow, uint32_t step, bool any, bool request)
{
	struct obg_port *port = q->port;
	struct obg_out *out = &q->out[obg_flow_queue(port, &port->pair->conf, flow)];
	uint64_t e = (uint64_t)flow << 8;

	out->e[out->n] = (void *)(uintptr_t)(e | (step + 1));
	out->n += any;
	/* The request goes out right behind the acknowledgment. */
	out->e[out->n] = (void *)(uintptr_t)(e | OBG_REQUEST);
	out->n += request;
	if (unlikely(out->n >= OBG_BURST))
		obg_talk_flush(q);
}

enum obg_err obg_talk_seen(struct obg_txq *q, const struct obg_parsed *p, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	struct obg_slot *s = &pair->slot[p->flow & (pair->conf.inflight - 1)];
	uint32_t next = load(&s->next), step = step_of(pair, p, next), end = last_step(pair);
	const struct obg_number *n = &pair->number[step];
	bool last = step == end;

	if (s->flow != p->flow || next != step)
		return OBG_E_ORDER;
	if (pair->conf.tcp && (p->seq != s->isn[n->sender] + n->seq ||
				  p->ack != ((s->isn[!n->sender] + n->ack) & n->ack_mask)))
		return OBG_E_SEQ;
	s->since = now;
	/* Pairs with the load in claim() of whoever starts the slot's next connection. */
	__atomic_store_n(&s->next, last ? OBG_FREE : step + 1, __ATOMIC_RELEASE);
	q->connections += step == OBG_LAST_ACK;
	q->opened += last && step != OBG_LAST_ACK;
	answer(q, p->flow, step, !last && obg_step_sender(step + 1) == q->port->conf.role,
	    step == OBG_SYN_ACK && end > OBG_ACK);
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
	from = pair->port[obg_step_sender(step)];
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
	/* A tuple's later life begins behind the earlier one's end. */
	for (unsigned side = 0; side < 2; side++)
		s->isn[side] =
		    obg_isn(pair, (enum obg_role)side, f) + (crr_now(pair) ? q->lap << 17 : 0);
	s->tries = 0;
	s->since = now;
	return true;
}

static uint16_t launch(struct obg_rxq *q, struct rte_mbuf **pkts, uint16_t n, uint64_t now)
{
	struct obg_pair *pair = q->port->pair;
	uint32_t from, to;
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
		obg_emit_step(q, pkts[done++], &pair->slot[q->launch & (pair->conf.inflight - 1)],
		    OBG_SYN, now);
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
		const struct obg_slot *s = &pair->slot[v >> 8 & (pair->conf.inflight - 1)];

		obg_emit_step(q, pkts[i], s, (enum obg_step)(v & 255), now);
	}
	if (q->port->conf.role == OBG_GUEST && k < n)
		k += launch(q, pkts + k, (uint16_t)(n - k), now);
	return (uint16_t)k;
}
