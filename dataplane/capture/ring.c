/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture_priv.h"

#include <stdlib.h>
#include <string.h>

#define PAD_LEN offsetof(struct rec, len)

static_assert(PAD_LEN == 8, "a pad fits wherever a record may begin");

struct ring *ring_create(uint32_t bytes)
{
	struct ring *r = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*r));

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	/* Not cleared: memory is touched only as packets come. */
	r->bytes = aligned_alloc(RTE_CACHE_LINE_SIZE, bytes);
	if (r->bytes == NULL) {
		free(r);
		return NULL;
	}
	r->mask = bytes - 1;
	return r;
}

void ring_destroy(struct ring *r)
{
	if (r == NULL)
		return;
	free(r->bytes);
	free(r);
}

static bool has_room(struct ring *r, uint64_t tail, uint64_t need)
{
	uint64_t size = r->mask + 1;

	if (tail + need - r->head_seen <= size)
		return true;
	/* Acquire: pairs with the release in ring_pop; the bytes before it are not read any more. */
	r->head_seen = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	return tail + need - r->head_seen <= size;
}

struct rec *ring_reserve(struct ring *r, uint32_t cap_len)
{
	uint64_t size = sizeof(struct rec) + (((uint64_t)cap_len + 7) & ~7ull);
	uint64_t at = r->tail & r->mask, left = r->mask + 1 - at;
	struct rec *rec;

	/* With half of the ring at most, it fits in front or behind whenever the ring is empty. */
	if (size > (r->mask + 1) / 2)
		return NULL;
	if (size > left) {
		const uint32_t pad[2] = {(uint32_t)left, REC_PAD};

		if (!has_room(r, r->tail, left + size))
			return NULL;
		memcpy(r->bytes + at, pad, sizeof(pad));
		/* Published with the record that follows. */
		r->tail += left;
		at = 0;
	} else if (!has_room(r, r->tail, size)) {
		return NULL;
	}
	rec = (struct rec *)(r->bytes + at);
	rec->size = (uint32_t)size;
	rec->cap_len = cap_len;
	return rec;
}

void ring_commit(struct ring *r, const struct rec *rec)
{
	r->tail += rec->size;
	/* Pairs with the acquire in ring_peek. */
	__atomic_store_n(&r->committed, r->tail, __ATOMIC_RELEASE);
}

const struct rec *ring_peek(struct ring *r)
{
	for (;;) {
		/* Pairs with the release in ring_commit. */
		uint64_t end = __atomic_load_n(&r->committed, __ATOMIC_ACQUIRE);
		const struct rec *rec = (const struct rec *)(r->bytes + (r->head & r->mask));

		if (r->head == end)
			return NULL;
		if (rec->cap_len != REC_PAD)
			return rec;
		__atomic_store_n(&r->head, r->head + rec->size, __ATOMIC_RELEASE);
	}
}

void ring_pop(struct ring *r, const struct rec *rec)
{
	/* Pairs with the acquire in has_room. */
	__atomic_store_n(&r->head, r->head + rec->size, __ATOMIC_RELEASE);
}
