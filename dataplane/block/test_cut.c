/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk with a volatile cache, whose power can be cut. Completes at poll, in any order. See test_rig.h. */
#include "test_rig.h"

#include <stdlib.h>

#define SECTOR	 512u
#define MAX_HELD 2048

/* A sector that was written and not flushed. */
struct version {
	uint64_t sector;
	bool dead; /* a FUA write came after it */
	uint8_t bytes[SECTOR];
};

struct held {
	struct ob_blk_ch *ch;
	struct ob_blk_io *io;
	size_t covers; /* of a flush: versions that were there when it was submitted */
};

struct cut {
	struct ob_blk blk;
	uint8_t *seen;	 /* what reads give */
	uint8_t *stable; /* what survives */
	struct version *v;
	size_t n_v, max_v, n_folded;
	struct held held[MAX_HELD];
	unsigned n_held;
	uint64_t rng;
	bool off;
	unsigned fail_op, fail_nth, fail_count;
	int fail_rc;
	unsigned cut_in;
	struct ob_blk *taken;
};

static struct ob_blk *image(struct cut *o, uint64_t seed);

static uint32_t rnd(struct cut *c)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return (uint32_t)(c->rng >> 16);
}

static void log_version(struct cut *c, uint64_t sector, const uint8_t *bytes)
{
	if (c->n_v == c->max_v) {
		c->max_v = c->max_v * 2 + 1024;
		c->v = realloc(c->v, c->max_v * sizeof(*c->v));
		assert_non_null(c->v);
	}
	c->v[c->n_v].sector = sector;
	c->v[c->n_v].dead = false;
	memcpy(c->v[c->n_v++].bytes, bytes, SECTOR);
}

static void fold(struct cut *c, size_t n)
{
	for (; c->n_folded < n; c->n_folded++)
		if (!c->v[c->n_folded].dead)
			memcpy(c->stable + c->v[c->n_folded].sector * SECTOR,
			    c->v[c->n_folded].bytes, SECTOR);
}

static void make_stable(struct cut *c, uint64_t off, uint64_t len)
{
	size_t i;

	memcpy(c->stable + off, c->seen + off, len);
	for (i = c->n_folded; i < c->n_v; i++)
		if (c->v[i].sector >= off / SECTOR && c->v[i].sector < (off + len) / SECTOR)
			c->v[i].dead = true;
}

static void put(struct cut *c, const struct ob_blk_io *io)
{
	uint64_t s;

	if (io->op == OB_BLK_WRITE)
		blk_iov_gather(c->seen + io->off, io->iov, io->n_iov, 0, io->len);
	else
		memset(c->seen + io->off, 0, io->len);
	for (s = io->off / SECTOR; s < (io->off + io->len) / SECTOR; s++)
		log_version(c, s, c->seen + s * SECTOR);
	if ((io->flags & OB_BLK_FUA) != 0)
		make_stable(c, io->off, io->len);
}

static void run_one(struct cut *c, unsigned i)
{
	struct held h = c->held[i];
	struct ob_blk_io *io = h.io;

	c->held[i] = c->held[--c->n_held];
	if (c->cut_in > 0 && --c->cut_in == 0)
		c->taken = image(c, c->rng);
	if (c->fail_nth != 0 && io->op == c->fail_op && ++c->fail_count % c->fail_nth == 0) {
		blk_complete(h.ch, io, c->fail_rc);
		return;
	}
	switch (io->op) {
	case OB_BLK_READ:
		blk_iov_scatter(io->iov, io->n_iov, 0, c->seen + io->off, io->len);
		break;
	case OB_BLK_WRITE:
	case OB_BLK_WRITE_ZEROES:
		put(c, io);
		break;
	case OB_BLK_DISCARD:
		if (rnd(c) % 2 == 0)
			put(c, io);
		break;
	case OB_BLK_FLUSH:
		fold(c, h.covers);
		break;
	}
	blk_complete(h.ch, io, 0);
}

static void cut_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct cut *c = (struct cut *)ch->b;
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_true(c->n_held < MAX_HELD);
		c->held[c->n_held++] = (struct held){ch, ios[i], c->n_v};
	}
}

static void fail_all(struct cut *c, struct ob_blk_ch *ch)
{
	unsigned i = 0;

	while (i < c->n_held) {
		struct held h = c->held[i];

		if (h.ch != ch) {
			i++;
			continue;
		}
		c->held[i] = c->held[--c->n_held];
		blk_complete(ch, h.io, -EIO);
	}
}

/* Completes this channel's only, as a device does. */
static void cut_poll(struct ob_blk_ch *ch)
{
	struct cut *c = (struct cut *)ch->b;
	unsigned tries = c->n_held;

	if (c->off)
		fail_all(c, ch);
	while (tries-- > 0 && c->n_held > 0) {
		unsigned i = rnd(c) % c->n_held;

		if (c->held[i].ch == ch && rnd(c) % 3 != 0)
			run_one(c, i);
	}
}

static bool cut_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	(void)ch;
	*must_poll = true;
	return false;
}

static void cut_destroy(struct ob_blk *b)
{
	struct cut *c = (struct cut *)b;

	free(c->seen);
	free(c->stable);
	free(c->v);
}

static const struct blk_ops cut_ops = {
    .kind = "cut",
    .dev_bytes = sizeof(struct cut),
    .ch_bytes = sizeof(struct ob_blk_ch) + 64,
    .destroy = cut_destroy,
    .submit = cut_submit,
    .poll = cut_poll,
    .arm = cut_arm,
};

struct ob_blk *cut_create(uint64_t bytes, uint64_t seed)
{
	struct ob_blk *b;
	struct cut *c;

	assert_int_equal(blk_new(&cut_ops, "cut", NULL, 0, &b), 0);
	b->info.bytes = bytes;
	b->info.block_bytes = SECTOR;
	b->info.phys_block_bytes = SECTOR;
	b->info.discard_bytes = SECTOR;
	b->info.write_zeroes = true;
	b->info.volatile_cache = true;
	c = (struct cut *)b;
	c->rng = seed * 0x9e3779b97f4a7c15ull + 7;
	c->seen = calloc(1, bytes);
	c->stable = calloc(1, bytes);
	assert_non_null(c->seen);
	assert_non_null(c->stable);
	return b;
}

static struct ob_blk *image(struct cut *o, uint64_t seed)
{
	struct ob_blk *b = cut_create(o->blk.info.bytes, seed);
	struct cut *c = (struct cut *)b;
	size_t i;

	memcpy(c->stable, o->stable, o->blk.info.bytes);
	for (i = o->n_folded; i < o->n_v; i++)
		if (!o->v[i].dead && rnd(o) % 2 == 0)
			memcpy(c->stable + o->v[i].sector * SECTOR, o->v[i].bytes, SECTOR);
	memcpy(c->seen, c->stable, o->blk.info.bytes);
	return b;
}

struct ob_blk *cut_power(struct ob_blk *old, uint64_t seed)
{
	struct cut *o = (struct cut *)old;
	size_t i;

	o->off = true;
	/* What is under way may have been written in part. */
	for (i = 0; i < o->n_held; i++)
		if (o->held[i].io->op != OB_BLK_READ && o->held[i].io->op != OB_BLK_FLUSH &&
		    rnd(o) % 2 == 0) {
			struct ob_blk_io plain = *o->held[i].io;

			plain.flags = 0;
			put(o, &plain);
		}
	return image(o, seed);
}

void cut_after(struct ob_blk *b, unsigned n)
{
	((struct cut *)b)->cut_in = n;
}

struct ob_blk *cut_taken(struct ob_blk *b)
{
	return ((struct cut *)b)->taken;
}

void cut_fail(struct ob_blk *b, enum ob_blk_op op, unsigned nth, int rc)
{
	struct cut *c = (struct cut *)b;

	c->fail_op = op;
	c->fail_nth = nth;
	c->fail_count = 0;
	c->fail_rc = rc;
}

uint8_t *cut_bytes(struct ob_blk *b)
{
	return ((struct cut *)b)->seen;
}
