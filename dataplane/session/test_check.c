/* SPDX-License-Identifier: BSD-3-Clause */
/* The invariants of a shard, counted the slow way. */
#include "test_fixture.h"

struct tally {
	uint32_t live[OB_SESSION_MAX_ENIS], half_open[OB_SESSION_MAX_ENIS];
	uint64_t n, n_v6, n_keys[2];
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "shard: %s\n", what);
	abort();
}

static void count_records(const struct ob_session_shard *s, struct tally *t)
{
	for (unsigned f = 0; f < 2; f++) {
		for (uint32_t i = 0; i < s->region->pool[f].high; i++) {
			uint32_t id = id_of(f, i);
			unsigned state = ob_session_line(s, id)->state;

			must(state == ob_session_line(s, id | 1)->state,
			    "both directions have one state");
			if (state == OB_SESSION_FREE)
				continue;
			t->n++;
			t->n_v6 += f;
			t->live[eni_of(s, id)]++;
			t->half_open[eni_of(s, id)] += session_is_half_open(state);
			for (unsigned d = 0; d < 2; d++) {
				union ob_session_key k;
				unsigned family = ob_session_key(s, id | d, &k);
				uint32_t ref =
				    family == 6
					? session_lookup6(s, &k.v6, session_hash6(s, &k.v6))
					: session_lookup4(s, &k.v4, session_hash4(s, &k.v4));

				must(ref == (id | d), "the index finds each key");
				t->n_keys[family == 6]++;
			}
		}
	}
}

static uint64_t walk(const struct ob_session_shard *s, uint32_t head, uint32_t first, bool wheel)
{
	uint32_t prev = ID_HEAD(head), id = first;
	uint64_t n = 0;

	while (id != ID_NIL) {
		const struct ob_session_cold *c = cold_of(s, id);

		must(ob_session_line(s, id)->state != OB_SESSION_FREE, "lists hold live sessions");
		must((wheel ? c->wheel_prev : c->eni_prev) == prev, "list links fit");
		must(wheel || eni_of(s, id) == head % OB_SESSION_MAX_ENIS, "list of its own ENI");
		prev = id;
		id = wheel ? c->wheel_next : c->eni_next;
		must(++n <= (1u << 28), "lists end");
	}
	return n;
}

/* Records that are free: on the free list, or will be at the next expire. */
static void count_free(const struct ob_session_shard *s, const struct tally *t)
{
	for (unsigned f = 0; f < 2; f++) {
		const struct session_pool *p = &s->region->pool[f];
		uint64_t n = 0;

		for (uint32_t i = p->free; i != 0; i = cold_of(s, id_of(f, i - 1))->eni_next)
			n++;
		for (uint32_t i = p->limbo; i != 0;) {
			n++;
			i = i - 1 == p->limbo_last ? 0 : cold_of(s, id_of(f, i - 1))->eni_next;
		}
		must(n + p->n_live == p->high, "no record is lost");
		must(p->n_live == (f ? t->n_v6 : t->n - t->n_v6), "live counts");
	}
}

void fx_check(const struct ob_session_shard *s)
{
	static struct tally t;
	uint64_t n = 0;

	memset(&t, 0, sizeof(t));
	count_records(s, &t);
	for (unsigned f = 0; f < 2; f++)
		must(session_index_count(s, f) == t.n_keys[f], "the index has two keys a session");
	for (unsigned i = 0; i < N_LISTS; i++) {
		uint64_t k = walk(s, i, session_list_first(s, i), false);

		n += k;
		if (i < OB_SESSION_MAX_ENIS)
			must(k + walk(s, i + OB_SESSION_MAX_ENIS,
				     session_list_first(s, i + OB_SESSION_MAX_ENIS), false) ==
				 t.live[i],
			    "an ENI's list has its sessions");
	}
	must(n == t.n, "each session on one list");
	n = 0;
	for (unsigned i = 0; i < WHEEL_SLOTS * WHEEL_LANES; i++) {
		if (s->wheel[i] != 0)
			n += walk(s, i, session_wheel_first(s, i), true);
	}
	must(n == t.n, "each session in the wheel once");
	for (unsigned i = 0; i < OB_SESSION_MAX_ENIS; i++) {
		must(ob_session_enis[i].live == t.live[i], "ENI live count");
		must(ob_session_enis[i].half_open == t.half_open[i], "ENI half-open count");
	}
	count_free(s, &t);
}
