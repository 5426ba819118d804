/* SPDX-License-Identifier: BSD-3-Clause */
/* What people see of the table, read while its worker goes on. */
#include <errno.h>

#include "session_priv.h"

#define MAX_TRIES 4
#define MAX_FREE  64 /* records that one call passes over: who asks has other things to do */

static uint64_t pkts_of(const struct ob_session_line *l, uint16_t hi)
{
	return ((uint64_t)hi << (63 - OB_SESSION_PKT_SHIFT)) + (l->count >> OB_SESSION_PKT_SHIFT);
}
static uint64_t bytes_of(const struct ob_session_line *l, uint16_t hi)
{
	return ((uint64_t)hi << (OB_SESSION_PKT_SHIFT - 1)) +
	       (l->count & ((1ull << OB_SESSION_PKT_SHIFT) - 1));
}

/* Copies a record; false if it is free or changes its owner meanwhile. */
static bool snapshot(const struct ob_session_shard *s, uint32_t id, struct ob_session_line line[2],
    struct ob_session_cold *cold, struct ob_session_info *out)
{
	union ob_session_key again;
	/* Acquire: pairs with write_state and set_dead. */
	unsigned state = __atomic_load_n(&ob_session_line(s, id)->state, __ATOMIC_ACQUIRE);

	if (state == OB_SESSION_FREE || state >= OB_SESSION_N_STATES)
		return false;
	memset(out, 0, sizeof(*out));
	*cold = *cold_of(s, id);
	for (unsigned d = 0; d < 2; d++) {
		line[d] = *ob_session_line(s, id | d);
		out->family[d] = (uint8_t)ob_session_key(s, id | d, &out->key[d]);
	}
	/* The loads above come before those that say whether they were of one session. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	memset(&again, 0, sizeof(again));
	ob_session_key(s, id, &again);
	return memcmp(&again, &out->key[0], sizeof(again)) == 0 &&
	       cold_of(s, id)->tag == cold->tag &&
	       (cold_of(s, id)->created | FIRST_SLOT) == (cold->created | FIRST_SLOT) &&
	       __atomic_load_n(&ob_session_line(s, id)->state, __ATOMIC_RELAXED) != OB_SESSION_FREE;
}

static void describe(const struct ob_session_shard *s, uint32_t id,
    const struct ob_session_line line[2], const struct ob_session_cold *cold,
    struct ob_session_info *out)
{
	uint32_t now = __atomic_load_n(&s->now, __ATOMIC_RELAXED);
	uint32_t seen = (int32_t)(line[0].seen - line[1].seen) > 0 ? line[0].seen : line[1].seen;
	uint32_t ctx_proto =
	    out->family[0] == 6 ? out->key[0].v6.ctx_proto : out->key[0].v4.ctx_proto;
	uint32_t idle = (int32_t)(now - seen) > 0 ? now - seen : 0;
	uint32_t timeout;

	out->ref = id;
	out->eni = (uint16_t)(ctx_proto >> 8);
	out->proto = (uint8_t)ctx_proto;
	out->state = line[0].state;
	out->tag = cold->tag;
	for (unsigned d = 0; d < 2; d++) {
		out->way[d] = line[d].way;
		out->gen[d] = line[d].gen;
		out->n_pkts[d] = pkts_of(&line[d], cold->pkts_hi[d]);
		out->n_bytes[d] = bytes_of(&line[d], cold->bytes_hi[d]);
	}
	timeout = out->eni < OB_SESSION_MAX_ENIS ? timeout_of(out->eni, out->state) : 0;
	out->age_s = (now - (cold->created & ~FIRST_SLOT)) / OB_SESSION_HZ;
	out->idle_s = idle / OB_SESSION_HZ;
	out->expires_s = idle >= timeout ? 0 : (timeout - idle) / OB_SESSION_HZ;
}

int ob_session_read(unsigned worker, uint32_t ref, struct ob_session_info *out)
{
	const struct ob_session_shard *s = &ob_session_shards[worker];
	struct ob_session_line line[2];
	struct ob_session_cold cold;

	if (!snapshot(s, ref & ~1u, line, &cold, out))
		return -ENOENT;
	describe(s, ref & ~1u, line, &cold, out);
	return 0;
}

int ob_session_next(unsigned worker, uint32_t *cursor, struct ob_session_info *out)
{
	const struct ob_session_shard *s = &ob_session_shards[worker];
	uint32_t high[2], n_free = 0;

	if (worker >= OB_MAX_WORKERS || s->region == NULL)
		return -ENOENT;
	high[0] = __atomic_load_n(&s->region->pool[0].high, __ATOMIC_RELAXED);
	high[1] = __atomic_load_n(&s->region->pool[1].high, __ATOMIC_RELAXED);
	/* IPv4 records count from 0, the others from OB_SESSION_V6 on. */
	for (;; (*cursor)++) {
		unsigned six = *cursor >> 31;
		uint32_t rec = *cursor & ~OB_SESSION_V6, id;
		struct ob_session_line line[2];
		struct ob_session_cold cold;

		if (rec >= high[six]) {
			if (six)
				return -ENOENT;
			*cursor = OB_SESSION_V6 - 1;
			continue;
		}
		id = id_of(six, rec);
		for (unsigned i = 0; i < MAX_TRIES; i++) {
			if (!snapshot(s, id, line, &cold, out))
				continue;
			describe(s, id, line, &cold, out);
			(*cursor)++;
			return 0;
		}
		if (++n_free == MAX_FREE) {
			(*cursor)++;
			return -EAGAIN;
		}
	}
}

void ob_session_counters_read(unsigned worker, struct ob_session_counters *out)
{
	const struct ob_session_shard *s = &ob_session_shards[worker];
	const uint64_t *from;
	uint64_t *to = (uint64_t *)(void *)out;

	memset(out, 0, sizeof(*out));
	if (worker >= OB_MAX_WORKERS || s->region == NULL)
		return;
	from = (const uint64_t *)(const void *)&s->region->n;
	for (unsigned i = 0; i < sizeof(*out) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void ob_session_memory(unsigned worker, uint64_t *records, uint64_t *index, uint64_t *fixed)
{
	const struct ob_session_shard *s = &ob_session_shards[worker];
	const struct session_pool *p;

	*records = *index = *fixed = 0;
	if (worker >= OB_MAX_WORKERS || s->region == NULL)
		return;
	p = s->region->pool;
	*records = p[0].high * (2 * sizeof(struct ob_session_dir4) + sizeof(*s->cold4)) +
		   p[1].high * (2 * sizeof(struct ob_session_dir6) + sizeof(*s->cold6));
	/* Hashed all over it: an index is in memory as a whole as soon as some connections are. */
	for (unsigned f = 0; f < 2; f++)
		*index += p[f].high != 0 ? (uint64_t)p[f].n_buckets * sizeof(*s->index4) : 0;
	*fixed = sizeof(*s->region) + (uint64_t)WHEEL_SLOTS * WHEEL_LANES * 4 + N_LISTS * 4 +
		 session_frag_bytes(s->region->n_frags);
}
