/* SPDX-License-Identifier: BSD-3-Clause */
/* Shards: their regions, and how the next process takes them over. */
#include "ob_session.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <rte_cycles.h>

#include "session_priv.h"

struct ob_session_shard ob_session_shards[OB_MAX_WORKERS];
struct ob_session_eni *ob_session_enis;
uint64_t ob_session_tick_mult;
uint32_t *session_flushes;
void (*session_on_delete)(unsigned worker, uint16_t eni, uint32_t tag);

/* Where the parts of a shard's region lie. */
struct parts {
	uint64_t wheel, lists, frags, index[2], cold[2], rec[2], total;
	uint32_t n_buckets[2];
};

static uint64_t place(uint64_t *at, uint64_t bytes)
{
	uint64_t here = *at;

	*at = (here + bytes + 4095) & ~4095ull;
	return here;
}

static uint32_t n_buckets_of(uint32_t max, unsigned load_pct)
{
	uint64_t n = (2ull * max * 100 + load_pct * BUCKET_KEYS - 1) / (load_pct * BUCKET_KEYS);

	return (uint32_t)RTE_MAX(n, 4ull);
}

static void lay_out(const struct ob_session_conf *c, struct parts *p)
{
	unsigned load = c->index_load_pct != 0 ? c->index_load_pct : 87;
	uint32_t max[2] = {c->max_v4, c->max_v6};
	uint64_t at = 0;

	place(&at, sizeof(struct ob_session_region));
	p->wheel = place(&at, (uint64_t)WHEEL_SLOTS * WHEEL_LANES * sizeof(uint32_t));
	p->lists = place(&at, N_LISTS * sizeof(uint32_t));
	p->frags = place(&at, session_frag_bytes(c->max_fragmented));
	for (unsigned f = 0; f < 2; f++) {
		p->n_buckets[f] = n_buckets_of(max[f], load);
		p->index[f] =
		    place(&at, (uint64_t)p->n_buckets[f] * sizeof(struct ob_session_bucket));
		p->cold[f] = place(&at, (uint64_t)max[f] * sizeof(struct ob_session_cold));
		p->rec[f] = place(
		    &at, 2ull * max[f] *
			     (f ? sizeof(struct ob_session_dir6) : sizeof(struct ob_session_dir4)));
	}
	p->total = at;
}

static void point(struct ob_session_shard *s, uint8_t *base, const struct parts *p)
{
	s->region = (void *)base;
	s->wheel = (void *)(base + p->wheel);
	s->lists = (void *)(base + p->lists);
	s->frags = (void *)(base + p->frags);
	s->index4 = (void *)(base + p->index[0]);
	s->index6 = (void *)(base + p->index[1]);
	s->cold4 = (void *)(base + p->cold[0]);
	s->cold6 = (void *)(base + p->cold[1]);
	s->rec4 = (void *)(base + p->rec[0]);
	s->rec6 = (void *)(base + p->rec[1]);
}

static int make_seeds(uint64_t seed[N_SEEDS])
{
	if (getrandom(seed, N_SEEDS * sizeof(seed[0]), 0) != N_SEEDS * sizeof(seed[0]))
		return -EIO;
	for (unsigned i = 0; i < N_SEEDS; i++)
		seed[i] |= 1; /* some are multiplied with: not 0 */
	return 0;
}

/* A process that died may have left anything half done: only the records are believed. */
static void take_over(struct ob_session_shard *s, const struct parts *p)
{
	struct ob_session_region *r = s->region;
	uint64_t n_max[2] = {r->n.n_live4_max, r->n.n_live6_max};

	for (unsigned e = 0; r->doomed && e < OB_SESSION_MAX_ENIS; e++) {
		/* A flush that was not done is begun anew. */
		if (session_list_first(s, OB_SESSION_MAX_ENIS + e) != ID_NIL) {
			r->eni_flush[e] = ob_session_enis[e].flush - 1;
			r->flush_seen = *session_flushes - 1;
		}
	}
	memset(s->wheel, 0, (size_t)WHEEL_SLOTS * WHEEL_LANES * sizeof(uint32_t));
	memset(s->lists, 0, N_LISTS * sizeof(uint32_t));
	memset(s->index4, 0, (size_t)p->n_buckets[0] * sizeof(struct ob_session_bucket));
	memset(s->index6, 0, (size_t)p->n_buckets[1] * sizeof(struct ob_session_bucket));
	r->doomed = 0;
	r->n.n_live4 = r->n.n_live6 = 0;
	for (unsigned f = 0; f < 2; f++) {
		struct session_pool *pool = &r->pool[f];

		pool->free = pool->limbo = pool->limbo_last = pool->n_live = 0;
		if (pool->high > pool->max)
			pool->high = pool->max;
		for (uint32_t i = 0; i < pool->high; i++) {
			uint32_t id = id_of(f, i);
			unsigned state = ob_session_line(s, id)->state;

			if (state == OB_SESSION_FREE || state >= OB_SESSION_N_STATES ||
			    eni_of(s, id) >= OB_SESSION_MAX_ENIS || session_index_both(s, id) < 0) {
				session_set_dead(s, id);
				session_free_record(s, id);
				continue;
			}
			ob_session_line(s, id | 1)->state = (uint8_t)state;
			session_eni_take_over(eni_of(s, id), session_is_half_open(state));
			session_link(s, id);
		}
	}
	r->n.n_live4_max = RTE_MAX(n_max[0], r->n.n_live4);
	r->n.n_live6_max = RTE_MAX(n_max[1], r->n.n_live6);
}

static int shard_init(
    struct ob_arena *a, unsigned worker, const struct ob_session_conf *c, const struct parts *p)
{
	struct ob_session_shard *s = &ob_session_shards[worker];
	char name[OB_ARENA_NAME_MAX];
	bool fresh;
	void *base;
	int rc;

	snprintf(name, sizeof(name), "session.%u", worker);
	rc = ob_arena_region(a, name, SESSION_LAYOUT, p->total, &base, &fresh);
	if (rc < 0)
		return rc == -EINVAL ? -ENOSPC : rc; /* larger than the whole arena */
	memset(s, 0, sizeof(*s));
	point(s, base, p);
	s->worker = worker;
	/* Seeds come last when it is made: a region without them was never used. */
	if (!fresh && s->region->seed[0] != 0) {
		if (s->region->pool[0].max != c->max_v4 || s->region->pool[1].max != c->max_v6 ||
		    s->region->pool[0].n_buckets != p->n_buckets[0] ||
		    s->region->pool[1].n_buckets != p->n_buckets[1])
			return -EMSGSIZE;
		take_over(s, p);
		session_frag_init(s, c->max_fragmented);
		return 0;
	}
	s->region->pool[0].max = c->max_v4;
	s->region->pool[1].max = c->max_v6;
	s->region->pool[0].n_buckets = p->n_buckets[0];
	s->region->pool[1].n_buckets = p->n_buckets[1];
	session_frag_init(s, c->max_fragmented);
	return make_seeds(s->region->seed);
}

int ob_session_init(struct ob_arena *a, const struct ob_session_conf *c)
{
	uint64_t hz = c->tsc_hz != 0 ? c->tsc_hz : rte_get_tsc_hz();
	struct parts p;
	int rc;

	if (ob_session_enis != NULL)
		return -EEXIST;
	if (c->n_workers < 1 || c->n_workers > OB_MAX_WORKERS || c->max_v4 < 1 ||
	    c->max_v4 > REC_MAX || c->max_v6 < 1 || c->max_v6 > REC_MAX || hz < OB_SESSION_HZ ||
	    c->max_fragmented > SESSION_MAX_FRAGMENTED ||
	    (c->index_load_pct != 0 && (c->index_load_pct < 50 || c->index_load_pct > 97)))
		return -EINVAL;
	ob_session_tick_mult = (uint64_t)((((unsigned __int128)OB_SESSION_HZ) << 64) / hz);
	rc = session_enis_init(a);
	if (rc < 0)
		return rc;
	lay_out(c, &p);
	for (unsigned i = 0; i < c->n_workers && rc == 0; i++)
		rc = shard_init(a, i, c, &p);
	if (rc < 0)
		ob_session_fini();
	return rc;
}

void ob_session_fini(void)
{
	memset(ob_session_shards, 0, sizeof(ob_session_shards));
	ob_session_enis = NULL;
	session_flushes = NULL;
	session_on_delete = NULL;
}

void ob_session_set_on_delete(void (*fn)(unsigned worker, uint16_t eni, uint32_t tag))
{
	session_on_delete = fn;
}
