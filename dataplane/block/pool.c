/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers of a channel, for layers that must not work in the submitter's memory. Last in, first out: a short queue stays in the cache. */
#include "pool.h"

#include <errno.h>
#include <sys/mman.h>

static uint8_t *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

int blk_pool_open(struct blk_pool *p)
{
	p->small_base = map((size_t)BLK_POOL_N_SMALL * BLK_POOL_SMALL);
	p->big_base = map((size_t)BLK_POOL_N_BIG * BLK_POOL_BIG);
	if (p->small_base == NULL || p->big_base == NULL) {
		blk_pool_close(p);
		return -ENOMEM;
	}
	for (p->n_small = 0; p->n_small < BLK_POOL_N_SMALL; p->n_small++)
		p->small[p->n_small] = (uint16_t)(BLK_POOL_N_SMALL - 1 - p->n_small);
	for (p->n_big = 0; p->n_big < BLK_POOL_N_BIG; p->n_big++)
		p->big[p->n_big] = (uint16_t)(BLK_POOL_N_BIG - 1 - p->n_big);
	return 0;
}

void blk_pool_close(struct blk_pool *p)
{
	if (p->small_base != NULL)
		munmap(p->small_base, (size_t)BLK_POOL_N_SMALL * BLK_POOL_SMALL);
	if (p->big_base != NULL)
		munmap(p->big_base, (size_t)BLK_POOL_N_BIG * BLK_POOL_BIG);
	p->small_base = p->big_base = NULL;
}

bool blk_pool_get(struct blk_pool *p, uint64_t len, struct blk_buf *b)
{
	bool big = len > BLK_POOL_MAX_SMALL * BLK_POOL_SMALL;
	uint32_t each = big ? BLK_POOL_BIG : BLK_POOL_SMALL;
	uint64_t n = (len + each - 1) / each;

	if (n > (big ? p->n_big : p->n_small))
		return false;
	b->big = big;
	for (unsigned i = 0; i < n; i++) {
		uint16_t k = big ? p->big[--p->n_big] : p->small[--p->n_small];
		uint64_t left = len - (uint64_t)i * each;

		b->piece[i] = k;
		b->iov[i].iov_base = (big ? p->big_base : p->small_base) + (size_t)k * each;
		b->iov[i].iov_len = left < each ? left : each;
	}
	b->n = (uint16_t)n;
	return true;
}

void blk_pool_put(struct blk_pool *p, struct blk_buf *b)
{
	for (unsigned i = b->n; i-- > 0;) {
		if (b->big)
			p->big[p->n_big++] = b->piece[i];
		else
			p->small[p->n_small++] = b->piece[i];
	}
	b->n = 0;
}
