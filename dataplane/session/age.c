/* SPDX-License-Identifier: BSD-3-Clause */
/* Ageing: the timer wheel turns, and what flushes ask for. */
#include "ob_session.h"

#include <rte_prefetch.h>

#include "session_priv.h"

/* What was deleted before may be used again. */
static void free_limbo(struct ob_session_shard *s)
{
	for (unsigned f = 0; f < 2; f++) {
		struct session_pool *p = &s->region->pool[f];

		if (p->limbo == 0)
			continue;
		cold_of(s, id_of(f, p->limbo_last))->eni_next = p->free;
		p->free = p->limbo;
		p->limbo = 0;
	}
}

static void visit(struct ob_session_shard *s, uint32_t id, uint32_t due)
{
	if ((int32_t)(due - s->now) <= 0) {
		count(&s->region->n.n_expired, 1);
		session_end(s, id);
		return;
	}
	cold_of(s, id)->created &= ~FIRST_SLOT;
	session_wheel_del(s, id);
	session_wheel_add(s, id, due);
}

/* The first members of a slot's lanes, side by side, so that their memory is fetched side by side: first what is read to decide, then
 * what the decision will touch, and with it the members behind them. Returns how many. */
static unsigned visit_lanes(struct ob_session_shard *s, uint32_t chain)
{
	uint32_t ids[WHEEL_LANES], due[WHEEL_LANES];
	unsigned n = 0;

	for (unsigned lane = 0; lane < WHEEL_LANES; lane++) {
		uint32_t id = session_wheel_first(s, chain + lane);

		if (id == ID_NIL)
			continue;
		prefetch_record(s, id);
		ids[n++] = id;
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t next = cold_of(s, ids[i])->wheel_next;

		due[i] = session_due(s, ids[i]);
		if ((int32_t)(due[i] - s->now) <= 0)
			session_prefetch_end(s, ids[i]);
		if (next != ID_NIL)
			prefetch_record(s, next);
	}
	for (unsigned i = 0; i < n; i++)
		visit(s, ids[i], due[i]);
	return n;
}

static bool slot_empty(const struct ob_session_shard *s, uint32_t chain)
{
	uint32_t any = 0;

	for (unsigned lane = 0; lane < WHEEL_LANES; lane++)
		any |= s->wheel[chain + lane];
	return any == 0;
}

/* Finds what flushes were asked for since the last look. */
static void doom(struct ob_session_shard *s)
{
	struct ob_session_region *r = s->region;
	/* Acquire: pairs with ob_session_eni_flush, which counts in the ENI first. */
	uint32_t flushes = __atomic_load_n(session_flushes, __ATOMIC_ACQUIRE);
	bool all = true;

	for (unsigned e = 0; e < OB_SESSION_MAX_ENIS; e++) {
		uint32_t n = __atomic_load_n(&ob_session_enis[e].flush, __ATOMIC_RELAXED);

		if (n == r->eni_flush[e])
			continue;
		if (session_list_first(s, OB_SESSION_MAX_ENIS + e) != ID_NIL) {
			all = false; /* the flush before is not done yet */
			continue;
		}
		session_list_splice(s, OB_SESSION_MAX_ENIS + e, e);
		r->eni_flush[e] = n;
	}
	r->doomed = 1;
	if (all)
		r->flush_seen = flushes;
}

static unsigned flush_some(struct ob_session_shard *s, unsigned budget)
{
	unsigned n = 0;

	if (__atomic_load_n(session_flushes, __ATOMIC_RELAXED) != s->region->flush_seen)
		doom(s);
	for (unsigned e = 0; e < OB_SESSION_MAX_ENIS; e++) {
		uint32_t id;

		while ((id = session_list_first(s, OB_SESSION_MAX_ENIS + e)) != ID_NIL) {
			if (n == budget)
				return n;
			session_end(s, id);
			count(&s->region->n.n_flushed, 1);
			n++;
		}
	}
	s->region->doomed = 0;
	return n;
}

unsigned ob_session_expire(struct ob_session_shard *s, uint32_t now, unsigned budget)
{
	struct ob_session_region *r = s->region;
	unsigned n = 0;

	s->now = now;
	free_limbo(s);
	if (unlikely(
		r->doomed || __atomic_load_n(session_flushes, __ATOMIC_RELAXED) != r->flush_seen))
		n = flush_some(s, budget);
	/* After a long sleep one turn of the wheel shows every session. A fresh wheel stands at 0, wherever the clock does. */
	if (now - r->wheel_at > WHEEL_SLOTS)
		r->wheel_at = now - WHEEL_SLOTS;
	while (n < budget && (int32_t)(now - r->wheel_at) >= 0) {
		uint32_t chain = (r->wheel_at % WHEEL_SLOTS) * WHEEL_LANES;

		if (!slot_empty(s, chain)) {
			unsigned k = visit_lanes(s, chain);

			n += k;
			count(&r->n.n_wheel_visits, k);
			continue;
		}
		if (r->wheel_at == now)
			break;
		r->wheel_at++;
	}
	return n;
}
