/* SPDX-License-Identifier: BSD-3-Clause */
/* How sessions come and go. */
#include "ob_session.h"

#include <errno.h>

#include <rte_prefetch.h>

#include "session_priv.h"

struct hashes {
	uint64_t h[2];
	bool six[2];
};

static inline void hash_key(const struct ob_session_shard *s, unsigned family,
    const union ob_session_key *k, unsigned d, struct hashes *out)
{
	out->six[d] = family == 6;
	out->h[d] = family == 6 ? session_hash6(s, &k->v6) : session_hash4(s, &k->v4);
}

static void hash_record(const struct ob_session_shard *s, uint32_t id, struct hashes *out)
{
	for (unsigned d = 0; d < 2; d++) {
		union ob_session_key k;
		unsigned family = ob_session_key(s, id | d, &k);

		hash_key(s, family, &k, d, out);
	}
}

static int index_add(struct ob_session_shard *s, uint32_t id, const struct hashes *h)
{
	int rc = session_index_add(s, h->six[0], h->h[0], id);

	if (rc < 0)
		return rc;
	rc = session_index_add(s, h->six[1], h->h[1], id | 1);
	if (rc < 0)
		session_index_del(s, h->six[0], h->h[0], id);
	return rc;
}

int session_index_both(struct ob_session_shard *s, uint32_t id)
{
	struct hashes h;

	hash_record(s, id, &h);
	return index_add(s, id, &h);
}

void session_free_record(struct ob_session_shard *s, uint32_t id)
{
	struct session_pool *p = &s->region->pool[family_of(id)];

	cold_of(s, id)->eni_next = p->free;
	p->free = rec_of(id) + 1;
}

void session_set_dead(struct ob_session_shard *s, uint32_t id)
{
	for (unsigned d = 0; d < 2; d++) {
		struct ob_session_line *l = ob_session_line(s, id | d);

		l->way.fast = OB_SESSION_SLOW;
		/* Release: pairs with the acquire of ob_session_next, which must not take what the record holds next for this one. */
		__atomic_store_n(&l->state, OB_SESSION_FREE, __ATOMIC_RELEASE);
	}
}

static void prefetch_neighbour(const struct ob_session_shard *s, uint32_t id)
{
	if ((id & 1) == 0) /* neither the end of a list nor its head */
		rte_prefetch0(cold_of(s, id));
}

/* What session_end will touch beside the record itself: fetched side by side, not one after the other. */
static void prefetch_end(const struct ob_session_shard *s, uint32_t id, const struct hashes *h)
{
	const struct ob_session_cold *c = cold_of(s, id);

	session_index_prefetch(s, h->six[0], h->h[0]);
	session_index_prefetch(s, h->six[1], h->h[1]);
	prefetch_neighbour(s, c->eni_prev);
	prefetch_neighbour(s, c->eni_next);
	prefetch_neighbour(s, c->wheel_prev);
	prefetch_neighbour(s, c->wheel_next);
}

void session_prefetch_end(const struct ob_session_shard *s, uint32_t id)
{
	struct hashes h;

	hash_record(s, id, &h);
	prefetch_end(s, id, &h);
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
	struct hashes h;

	hash_record(s, id, &h);
	prefetch_end(s, id, &h);
	session_index_del(s, h.six[0], h.h[0], id);
	session_index_del(s, h.six[1], h.h[1], id | 1);
	session_list_del(s, id);
	session_wheel_del(s, id);
	session_eni_put(eni, session_is_half_open(state));
	session_set_dead(s, id);
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

/* Returns an id, or ID_NIL. */
static uint32_t take_record(struct ob_session_shard *s, unsigned six)
{
	struct session_pool *p = &s->region->pool[six];
	uint32_t id;

	if (p->free != 0) {
		id = id_of(six, p->free - 1);
		p->free = cold_of(s, id)->eni_next;
		/* The next connection's record is here when it comes. */
		if (p->free != 0)
			prefetch_record(s, id_of(six, p->free - 1));
		return id;
	}
	if (p->high == p->max)
		return ID_NIL;
	id = id_of(six, p->high);
	set32(&p->high, p->high + 1);
	return id;
}

/* Which session has one of its keys, or OB_SESSION_NONE. */
static uint32_t taken(
    const struct ob_session_shard *s, const struct ob_session_new *n, const struct hashes *h)
{
	uint32_t ref = OB_SESSION_NONE;

	for (unsigned d = 0; d < 2 && ref == OB_SESSION_NONE; d++)
		ref = h->six[d] ? session_lookup6(s, &n->key[d].v6, h->h[d])
				: session_lookup4(s, &n->key[d].v4, h->h[d]);
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
	struct hashes h;
	int state, rc;
	uint32_t id;

	assert(eni < OB_SESSION_MAX_ENIS);
	for (unsigned d = 0; d < 2; d++) {
		hash_key(s, n->family[d], &n->key[d], d, &h);
		session_index_prefetch(s, h.six[d], h.h[d]);
	}
	memset(line, 0, sizeof(line));
	state =
	    is_own_reverse(n) ? -EPROTO : session_open(eni, (uint8_t)ctx_proto, line, pkt, meta);
	*ref = taken(s, n, &h);
	if (*ref != OB_SESSION_NONE) {
		count(&ctr->n_exist, 1);
		return -EEXIST;
	}
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
	if (index_add(s, id, &h) < 0)
		goto err_record;
	session_start(s, id, (unsigned)state);
	session_link(s, id);
	count(&ctr->n_added, 1);
	*ref = id;
	return 0;

err_record:
	session_free_record(s, id);
err_eni:
	session_eni_put(eni, session_is_half_open((unsigned)state));
	count(&ctr->n_refused_full, 1);
	return -ENOSPC;
}
