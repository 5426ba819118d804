/* SPDX-License-Identifier: BSD-3-Clause */
/* See test_random.h. */
#include "test_random.h"

#include <stdlib.h>

#define BLOCK	  512u
#define BLOCKS	  (TEST_RANDOM_BYTES / BLOCK)
#define N_IOS	  24u
#define MAX_LEN	  64u /* blocks */
#define MAX_PARTS 12u

struct rnd_io {
	struct ob_blk_io io;
	struct iovec iov[MAX_PARTS];
	struct world *w;
	uint8_t *mem; /* MAX_LEN blocks and room to lie crooked */
	uint32_t first, n;
	bool busy;
};

struct world {
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	uint64_t seed;
	bool zero_on_discard;
	uint8_t *model;		 /* what must be there */
	uint8_t unknown[BLOCKS]; /* discarded: anything may be there */
	uint8_t locked[BLOCKS];
	struct rnd_io ios[N_IOS];
	unsigned n_wrong, n_failed, n_done;
};

static uint32_t draw(struct world *w, uint32_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return (uint32_t)((w->seed >> 16) % below);
}

/* Cuts the I/O's memory into vectors with holes of a few bytes between them. */
static void cut(struct world *w, struct rnd_io *r, bool crooked)
{
	uint32_t len = r->n * BLOCK, at = crooked ? draw(w, 4096) : 0, done = 0;
	unsigned parts = 1 + draw(w, MAX_PARTS);

	r->io.n_iov = 0;
	while (done < len) {
		bool last = r->io.n_iov + 1u >= parts;
		uint32_t piece = last ? len - done : 1 + draw(w, len - done);

		if (!crooked && !last)
			piece = (piece + BLOCK - 1) / BLOCK * BLOCK;
		r->iov[r->io.n_iov++] = (struct iovec){r->mem + at, piece};
		at += piece + (crooked ? draw(w, 8) : 0);
		done += piece;
	}
	r->io.iov = r->iov;
}

static void check_read(struct world *w, const struct rnd_io *r)
{
	uint8_t flat[MAX_LEN * BLOCK];

	blk_iov_gather(flat, r->iov, r->io.n_iov, 0, r->n * BLOCK);
	for (uint32_t i = 0; i < r->n; i++)
		if (!w->unknown[r->first + i] &&
		    memcmp(flat + i * BLOCK, w->model + (r->first + i) * BLOCK, BLOCK) != 0)
			w->n_wrong++;
}

static void on_done(struct ob_blk_io *io)
{
	struct rnd_io *r = (struct rnd_io *)io;
	struct world *w = r->w;

	w->n_failed += io->result != 0;
	w->n_done++;
	r->busy = false;
	if (io->op == OB_BLK_FLUSH)
		return;
	if (io->op == OB_BLK_READ)
		check_read(w, r);
	memset(w->locked + r->first, 0, r->n);
}

/* Draws an I/O over blocks that nobody else is at. Returns false: not this time. */
static bool prepare(struct world *w, struct rnd_io *r)
{
	static const uint8_t ops[] = {OB_BLK_READ, OB_BLK_READ, OB_BLK_READ, OB_BLK_WRITE,
	    OB_BLK_WRITE, OB_BLK_WRITE, OB_BLK_FLUSH, OB_BLK_DISCARD, OB_BLK_WRITE_ZEROES};
	uint8_t op = ops[draw(w, sizeof(ops))];

	r->n = 1 + draw(w, draw(w, 4) == 0 ? MAX_LEN : 8);
	r->first = draw(w, BLOCKS - r->n);
	if (op == OB_BLK_DISCARD && w->b->info.discard_bytes == 0)
		return false;
	for (uint32_t i = 0; op != OB_BLK_FLUSH && i < r->n; i++)
		if (w->locked[r->first + i])
			return false;
	r->io = (struct ob_blk_io){.op = op,
	    .flags = (uint8_t)((draw(w, 32) == 0 ? OB_BLK_FUA : 0) |
			       (op == OB_BLK_WRITE_ZEROES && draw(w, 2) ? OB_BLK_MAY_UNMAP : 0)),
	    .off = (uint64_t)r->first * BLOCK,
	    .len = (uint64_t)r->n * BLOCK,
	    .done = on_done};
	r->busy = true;
	if (op == OB_BLK_FLUSH)
		return true;
	memset(w->locked + r->first, 1, r->n);
	if (op == OB_BLK_READ || op == OB_BLK_WRITE)
		cut(w, r, draw(w, 2));
	if (op == OB_BLK_WRITE) {
		for (unsigned i = 0; i < r->io.n_iov; i++)
			memset(r->iov[i].iov_base, (int)draw(w, 256), r->iov[i].iov_len);
		blk_iov_gather(w->model + r->first * BLOCK, r->iov, r->io.n_iov, 0, r->n * BLOCK);
	} else if (op != OB_BLK_READ) {
		memset(w->model + r->first * BLOCK, 0, r->n * BLOCK);
	}
	if (op != OB_BLK_READ)
		memset(w->unknown + r->first, op == OB_BLK_DISCARD && !w->zero_on_discard, r->n);
	return true;
}

void test_random(struct ob_blk *b, uint64_t seed, unsigned n_ios)
{
	struct world *w = calloc(1, sizeof(*w));
	unsigned n_started = 0;

	assert_non_null(w);
	w->b = b;
	w->seed = seed * 0x9e3779b97f4a7c15u;
	assert_true(b->info.bytes >= BLOCKS * BLOCK && b->info.block_bytes == BLOCK);
	w->zero_on_discard = b->info.zero_on_discard;
	memset(w->unknown, 1, sizeof(w->unknown));
	w->model = calloc(BLOCKS, BLOCK);
	assert_non_null(w->model);
	assert_int_equal(ob_blk_ch_open(b, &w->ch), 0);
	for (unsigned i = 0; i < N_IOS; i++) {
		w->ios[i].w = w;
		w->ios[i].mem = aligned_alloc(4096, MAX_LEN * BLOCK + 8192);
		assert_non_null(w->ios[i].mem);
	}
	while (n_started < n_ios) {
		struct ob_blk_io *batch[N_IOS];
		unsigned n = 0, most = 1 + draw(w, N_IOS);

		for (unsigned i = 0; i < N_IOS && n < most; i++)
			if (!w->ios[i].busy && prepare(w, &w->ios[i]))
				batch[n++] = &w->ios[i].io;
		n_started += n;
		ob_blk_submit(w->ch, batch, n);
		ob_blk_poll(w->ch);
		if (ob_blk_pending(w->ch) > 0 && draw(w, 4) == 0)
			test_sleep(w->ch);
	}
	while (ob_blk_pending(w->ch) > 0)
		ob_blk_poll(w->ch);
	assert_int_equal(w->n_done, n_started);
	assert_int_equal(w->n_failed, 0);
	assert_int_equal(w->n_wrong, 0);
	/* Everything, once more. */
	for (uint32_t i = 0; i < BLOCKS; i += MAX_LEN) {
		struct rnd_io *r = &w->ios[0];

		assert_int_equal(
		    test_rw(w->ch, OB_BLK_READ, 0, (uint64_t)i * BLOCK, r->mem, MAX_LEN * BLOCK),
		    0);
		for (uint32_t k = 0; k < MAX_LEN; k++)
			assert_true(
			    w->unknown[i + k] ||
			    memcmp(r->mem + k * BLOCK, w->model + (i + k) * BLOCK, BLOCK) == 0);
	}
	for (unsigned i = 0; i < N_IOS; i++)
		free(w->ios[i].mem);
	ob_blk_ch_close(w->ch);
	free(w->model);
	free(w);
}
