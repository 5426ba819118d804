/* SPDX-License-Identifier: BSD-3-Clause */
/* Shards: their regions, and how sessions come and go. */
#include "ob_session.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <rte_cycles.h>
#include <rte_prefetch.h>

#include "session_priv.h"

struct ob_session_shard ob_session_shards[OB_MAX_WORKERS];
struct ob_session_eni *ob_session_enis;
uint64_t ob_session_tick_mult;
uint32_t *session_flushes;
void (*session_on_delete)(unsigned worker, uint16_t eni, uint32_t tag);

/* ---- regions ---- */

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

static void hash_and_family(
    const struct ob_session_shard *s, uint32_t ref, uint64_t *h, unsigned *six)
{
	union ob_session_key k;

	*six = ob_session_key(s, ref, &k) == 6;
	*h = *six ? session_hash6(s, &k.v6) : session_hash4(s, &k.v4);
}

static int index_both(struct ob_session_shard *s, uint32_t id)
{
	uint64_t h[2];
	unsigned six[2];
	int rc;

	hash_and_family(s, id, &h[0], &six[0]);
	hash_and_family(s, id | 1, &h[1], &six[1]);
	rc = session_index_add(s, six[0], h[0], id);
	if (rc < 0)
		return rc;
	rc = session_index_add(s, six[1], h[1], id | 1);
	if (rc < 0)
		session_index_del(s, six[0], h[0], id);
	return rc;
}

static void free_record(struct ob_session_shard *s, uint32_t id)
{
	struct session_pool *p = &s->region->pool[family_of(id)];

	cold_of(s, id)->eni_next = p->free;
	p->free = rec_of(id) + 1;
}

static void set_dead(struct ob_session_shard *s, uint32_t id)
{
	for (unsigned d = 0; d < 2; d++) {
		struct ob_session_line *l = ob_session_line(s, id | d);

		l->way.fast = OB_SESSION_SLOW;
		/* Release: pairs with the acquire of ob_session_next, which must not take what the record holds next for this one. */
		__atomic_store_n(&l->state, OB_SESSION_FREE, __ATOMIC_RELEASE);
	}
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
			    eni_of(s, id) >= OB_SESSION_MAX_ENIS || index_both(s, id) < 0) {
				set_dead(s, id);
				free_record(s, id);
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

/* ---- a session comes and goes ---- */

/* Counts it and puts it on the lists; its lines and keys are complete. */
void session_link(struct ob_session_shard *s, uint32_t id)
{
	struct ob_session_region *r = s->region;
	bool six = family_of(id) != 0;
	uint64_t *n = six ? &r->n.n_live6 : &r->n.n_live4;
	uint64_t *max = six ? &r->n.n_live6_max : &r->n.n_live4_max;

	session_list_add(s, eni_of(s, id), id);
	session_wheel_add(s, id, session_due(s, id));
	r->pool[six].n_live++;
	set64(n, r->pool[six].n_live);
	if (*n > *max)
		set64(max, *n);
}

void session_end(struct ob_session_shard *s, uint32_t id)
{
	struct session_pool *p = &s->region->pool[family_of(id)];
	struct ob_session_cold *c = cold_of(s, id);
	unsigned state = ob_session_line(s, id)->state;
	uint16_t eni = eni_of(s, id);
	uint64_t h;
	unsigned six;

	for (unsigned d = 0; d < 2; d++) {
		hash_and_family(s, id | d, &h, &six);
		session_index_del(s, six, h, id | d);
	}
	session_list_del(s, id);
	session_wheel_del(s, id);
	session_eni_put(eni, session_is_half_open(state));
	set_dead(s, id);
	p->n_live--;
	set64(family_of(id) ? &s->region->n.n_live6 : &s->region->n.n_live4, p->n_live);
	count(&s->region->n.n_deleted, 1);
	if (c->tag != OB_SESSION_NO_TAG && session_on_delete != NULL)
		session_on_delete(s->worker, eni, c->tag);
	/* Packets of this burst may still refer to it: free at the next expire. */
	c->eni_next = 0;
	if (p->limbo == 0)
		p->limbo = rec_of(id) + 1;
	else
		cold_of(s, id_of(family_of(id), p->limbo_last))->eni_next = rec_of(id) + 1;
	p->limbo_last = rec_of(id);
}

void ob_session_del(struct ob_session_shard *s, uint32_t ref)
{
	if (ob_session_line(s, ref)->state != OB_SESSION_FREE)
		session_end(s, ref & ~1u);
}

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

/* Returns an id, or ID_NIL. */
static uint32_t take_record(struct ob_session_shard *s, unsigned six)
{
	struct session_pool *p = &s->region->pool[six];
	uint32_t id;

	if (p->free != 0) {
		id = id_of(six, p->free - 1);
		p->free = cold_of(s, id)->eni_next;
		return id;
	}
	if (p->high == p->max)
		return ID_NIL;
	id = id_of(six, p->high);
	set32(&p->high, p->high + 1);
	return id;
}

/* Which session has one of its keys, or OB_SESSION_NONE. */
static uint32_t taken(const struct ob_session_shard *s, const struct ob_session_new *n)
{
	uint32_t ref = OB_SESSION_NONE;

	for (unsigned d = 0; d < 2 && ref == OB_SESSION_NONE; d++) {
		if (n->family[d] == 6)
			ref = session_lookup6(s, &n->key[d].v6, session_hash6(s, &n->key[d].v6));
		else
			ref = session_lookup4(s, &n->key[d].v4, session_hash4(s, &n->key[d].v4));
	}
	return ref;
}

static void set_key(struct ob_session_shard *s, uint32_t ref, const struct ob_session_new *n)
{
	unsigned d = ob_session_dir(ref);

	if (ref & OB_SESSION_V6) {
		struct ob_session_dir6 *dir = &s->rec6[ref & ~OB_SESSION_V6];

		dir->family = n->family[d];
		if (n->family[d] == 6)
			dir->key.v6 = n->key[d].v6;
		else
			dir->key.v4 = n->key[d].v4;
	} else {
		s->rec4[ref].key = n->key[d].v4;
	}
}

/* Can its directions not be told from each other? */
static bool is_own_reverse(const struct ob_session_new *n)
{
	if (n->family[0] != n->family[1])
		return false;
	return n->family[0] == 6 ? memcmp(&n->key[0].v6, &n->key[1].v6, sizeof(n->key[0].v6)) == 0
				 : memcmp(&n->key[0].v4, &n->key[1].v4, sizeof(n->key[0].v4)) == 0;
}

static void fill(struct ob_session_shard *s, uint32_t id, const struct ob_session_new *n,
    struct ob_session_line line[2], const struct rte_mbuf *pkt)
{
	struct ob_session_cold *c = cold_of(s, id);

	line[0].count = (1ull << OB_SESSION_PKT_SHIFT) + rte_pktmbuf_pkt_len(pkt);
	for (unsigned d = 0; d < 2; d++) {
		line[d].way = n->way[d];
		line[d].way.fast = OB_SESSION_SLOW;
		line[d].gen = n->gen[d];
		line[d].seen = s->now;
		line[d].state = OB_SESSION_FREE;
		set_key(s, id | d, n);
		*ob_session_line(s, id | d) = line[d];
	}
	c->tag = n->tag;
	c->created = s->now | FIRST_SLOT;
	memset(c->pkts_hi, 0, sizeof(c->pkts_hi));
	memset(c->bytes_hi, 0, sizeof(c->bytes_hi));
}

int ob_session_add(struct ob_session_shard *s, const struct ob_session_new *n,
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t *ref)
{
	struct ob_session_counters *ctr = &s->region->n;
	unsigned six = n->family[0] == 6 || n->family[1] == 6;
	uint32_t ctx_proto = n->family[0] == 6 ? n->key[0].v6.ctx_proto : n->key[0].v4.ctx_proto;
	uint16_t eni = (uint16_t)(ctx_proto >> 8);
	struct ob_session_line line[2];
	int state, rc;
	uint32_t id;

	assert(eni < OB_SESSION_MAX_ENIS);
	*ref = taken(s, n);
	if (*ref != OB_SESSION_NONE) {
		count(&ctr->n_exist, 1);
		return -EEXIST;
	}
	memset(line, 0, sizeof(line));
	state =
	    is_own_reverse(n) ? -EPROTO : session_open(eni, (uint8_t)ctx_proto, line, pkt, meta);
	if (state < 0) {
		count(&ctr->n_refused_proto, 1);
		return state;
	}
	rc = session_eni_take(eni, session_is_half_open((unsigned)state));
	if (rc < 0) {
		count(rc == -EDQUOT ? &ctr->n_refused_live : &ctr->n_refused_half_open, 1);
		return rc;
	}
	id = take_record(s, six);
	if (id == ID_NIL)
		goto err_eni;
	fill(s, id, n, line, pkt);
	if (index_both(s, id) < 0)
		goto err_record;
	session_start(s, id, (unsigned)state);
	session_link(s, id);
	count(&ctr->n_added, 1);
	*ref = id;
	return 0;

err_record:
	free_record(s, id);
err_eni:
	session_eni_put(eni, session_is_half_open((unsigned)state));
	count(&ctr->n_refused_full, 1);
	return -ENOSPC;
}

/* ---- ageing ---- */

static void visit(struct ob_session_shard *s, uint32_t id)
{
	uint32_t due = session_due(s, id);

	if ((int32_t)(due - s->now) <= 0) {
		count(&s->region->n.n_expired, 1);
		session_end(s, id);
		return;
	}
	cold_of(s, id)->created &= ~FIRST_SLOT;
	session_wheel_del(s, id);
	session_wheel_add(s, id, due);
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
	/* After a long sleep one turn of the wheel shows every session. */
	if ((int32_t)(now - r->wheel_at) > (int32_t)WHEEL_SLOTS)
		r->wheel_at = now - WHEEL_SLOTS;
	while (n < budget && (int32_t)(now - r->wheel_at) >= 0) {
		uint32_t chain = (r->wheel_at % WHEEL_SLOTS) * WHEEL_LANES;
		uint32_t ids[WHEEL_LANES], any = 0;
		unsigned k = 0;

		for (unsigned lane = 0; lane < WHEEL_LANES; lane++)
			any |= s->wheel[chain + lane];
		if (any == 0) {
			if (r->wheel_at == now)
				break;
			r->wheel_at++;
			continue;
		}

		/* The lanes' first members are fetched side by side. */
		for (unsigned lane = 0; lane < WHEEL_LANES; lane++) {
			uint32_t id = session_wheel_first(s, chain + lane);

			if (id == ID_NIL)
				continue;
			rte_prefetch0(cold_of(s, id));
			rte_prefetch0(ob_session_line(s, id));
			rte_prefetch0(ob_session_line(s, id | 1));
			ids[k++] = id;
		}
		for (unsigned i = 0; i < k; i++)
			visit(s, ids[i]);
		n += k;
		count(&r->n.n_wheel_visits, k);
	}
	return n;
}
