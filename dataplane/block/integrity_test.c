/* SPDX-License-Identifier: BSD-3-Clause */
/* Integrity: what it detects, what it does not lose, two channels at once. */
#include "integrity_priv.h"

#include <stdlib.h>

#include "test_block.h"

#define BLOCKS 1100u /* three pages of tags, the last one short */
#define BB     512u
#define BYTES  (BLOCKS * BB)
#define TAGS   (5u * INTEG_PAGE)

static uint32_t seed = 7;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

/* ---- a disk with a volatile cache, that outlives its device ---- */

struct disk {
	struct ob_blk b;
	struct medium *m;
};

static struct medium {
	uint32_t bytes;
	uint8_t *now;	  /* what reads give */
	uint8_t *durable; /* what a loss of power leaves for certain */
} data = {.bytes = BYTES}, tags = {.bytes = TAGS};

static int io_left; /* then the process "dies": nothing reaches a medium any more; -1: never */

/* From byte 'from' of the I/O on. */
static int disk_io_from(struct medium *m, struct ob_blk_io *io, uint64_t from)
{
	if (io_left == 0)
		return -EIO;
	if (io->op == OB_BLK_READ) {
		blk_iov_scatter(io->iov, io->n_iov, from, m->now + io->off + from, io->len - from);
		return 0;
	}
	if (io_left > 0)
		io_left--;
	if (io->op == OB_BLK_FLUSH) {
		memcpy(m->durable, m->now, m->bytes);
		return 0;
	}
	blk_iov_gather(m->now + io->off + from, io->iov, io->n_iov, from, io->len - from);
	if (io->flags & OB_BLK_FUA)
		memcpy(m->durable + io->off, m->now + io->off, io->len);
	return 0;
}

static int disk_io(struct medium *m, struct ob_blk_io *io)
{
	return disk_io_from(m, io, 0);
}

static void disk_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blk_complete_now(ch, ios[i], disk_io(((struct disk *)(void *)ch->b)->m, ios[i]));
}

static const struct blk_ops disk_ops = {
    .kind = "disk",
    .dev_bytes = sizeof(struct disk),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .submit = disk_submit,
};

/* The same, that takes its time: in any order, and the two halves of an I/O apart. */
#define MAX_HELD 512

struct lazy_ch {
	struct ob_blk_ch ch;
	unsigned n;
	struct {
		struct ob_blk_io *io;
		bool half;
	} held[MAX_HELD];
};

static void lazy_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct lazy_ch *c = (struct lazy_ch *)(void *)ch;

	for (unsigned i = 0; i < n; i++) {
		assert_true(c->n < MAX_HELD);
		c->held[c->n].half = false;
		c->held[c->n++].io = ios[i];
	}
}

static void lazy_poll(struct ob_blk_ch *ch)
{
	struct lazy_ch *c = (struct lazy_ch *)(void *)ch;
	struct medium *m = ((struct disk *)(void *)ch->b)->m;

	for (unsigned k = rnd(4); k > 0 && c->n > 0; k--) {
		unsigned i = rnd(c->n);
		struct ob_blk_io *io = c->held[i].io;
		uint64_t half = io->len / BB / 2 * BB;

		if (io_left == 0 || io->op == OB_BLK_FLUSH || c->held[i].half || half == 0) {
			uint64_t from = c->held[i].half ? half : 0;

			c->held[i] = c->held[--c->n];
			blk_complete(ch, io, disk_io_from(m, io, from));
			continue;
		}
		c->held[i].half = true;
		if (io->op == OB_BLK_WRITE)
			blk_iov_gather(m->now + io->off, io->iov, io->n_iov, 0, half);
		else
			blk_iov_scatter(io->iov, io->n_iov, 0, m->now + io->off, half);
	}
}

static bool lazy_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	*must_poll = ((struct lazy_ch *)(void *)ch)->n > 0;
	return false;
}

static const struct blk_ops lazy_ops = {
    .kind = "lazy",
    .dev_bytes = sizeof(struct disk),
    .ch_bytes = sizeof(struct lazy_ch),
    .submit = lazy_submit,
    .poll = lazy_poll,
    .arm = lazy_arm,
};

static bool lazy;

static struct ob_blk *disk(struct medium *m)
{
	struct ob_blk *b;

	assert_int_equal(blk_new(lazy ? &lazy_ops : &disk_ops, "disk", NULL, 0, &b), 0);
	((struct disk *)(void *)b)->m = m;
	b->info.bytes = m->bytes;
	b->info.block_bytes = b->info.phys_block_bytes = BB;
	b->info.volatile_cache = true;
	return b;
}

/* Each sector that was not flushed is there or not. */
static void power_loss(struct medium *m)
{
	for (uint32_t at = 0; at < m->bytes; at += 512) {
		if (rnd(2))
			memcpy(m->durable + at, m->now + at, 512);
	}
	memcpy(m->now, m->durable, m->bytes);
}

/* ---- ---- */

struct bed {
	struct ob_blk *data, *tags, *b;
	struct ob_blk_ch *ch;
};

static int open_bed(struct bed *t, bool format, bool fua)
{
	struct ob_blk_integrity_conf conf = {.format = format, .fua = fua};
	int rc;

	t->data = disk(&data);
	t->tags = disk(&tags);
	rc = ob_blk_integrity_create("i", t->data, t->tags, &conf, &t->b, NULL, 0);
	if (rc == 0)
		assert_int_equal(ob_blk_ch_open(t->b, &t->ch), 0);
	return rc;
}

static void close_bed(struct bed *t)
{
	ob_blk_ch_close(t->ch);
	ob_blk_put(t->b);
	ob_blk_put(t->data);
	ob_blk_put(t->tags);
}

static void reopen(struct bed *t)
{
	close_bed(t);
	io_left = -1;
	assert_int_equal(open_bed(t, false, false), 0);
}

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct medium *m = i ? &tags : &data;

		if (m->now == NULL) {
			m->now = malloc(m->bytes);
			m->durable = malloc(m->bytes);
		}
		memset(m->now, 0xee, m->bytes);
		memset(m->durable, 0xee, m->bytes);
	}
	io_left = -1;
	lazy = false;
	return 0;
}

static int rw(struct bed *t, enum ob_blk_op op, uint32_t block, void *buf, uint32_t n)
{
	return test_rw(t->ch, op, 0, (uint64_t)block * BB, buf, (uint64_t)n * BB);
}

static void random_ops_equal_a_model(void **state)
{
	static const uint8_t ops[] = {OB_BLK_READ, OB_BLK_READ, OB_BLK_WRITE, OB_BLK_WRITE,
	    OB_BLK_WRITE_ZEROES, OB_BLK_DISCARD, OB_BLK_FLUSH};
	uint8_t *model = calloc(1, BYTES), *buf = malloc(BYTES);
	struct bed t;

	(void)state;
	assert_int_equal(open_bed(&t, true, false), 0);
	for (unsigned i = 0; i < 3000; i++) {
		enum ob_blk_op op = ops[rnd(sizeof(ops))];
		uint32_t at = rnd(BLOCKS), n = 1 + rnd(rnd(10) ? 9 : 1000);

		n = n < BLOCKS - at ? n : BLOCKS - at;
		memset(buf, (int)rnd(256), n * BB);
		buf[3] = (uint8_t)i;
		assert_int_equal(rw(&t, op, at, buf, n), 0);
		if (op == OB_BLK_READ)
			assert_memory_equal(buf, model + at * BB, n * BB);
		else if (op == OB_BLK_WRITE)
			memcpy(model + at * BB, buf, n * BB);
		else if (op != OB_BLK_FLUSH)
			memset(model + at * BB, 0, n * BB);
		if (i % 500 == 499)
			reopen(&t);
	}
	assert_int_equal(rw(&t, OB_BLK_READ, 0, buf, BLOCKS), 0);
	assert_memory_equal(buf, model, BYTES);
	close_bed(&t);
	free(model);
	free(buf);
}

static void changed_data_is_eilseq_until_written_again(void **state)
{
	uint8_t buf[BB], was[BB];
	struct bed t;

	(void)state;
	assert_int_equal(open_bed(&t, true, false), 0);
	memset(buf, 5, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 600, buf, 1), 0);
	data.now[600 * BB + 77] ^= 4;
	memset(buf, 9, BB);
	memcpy(was, buf, BB);
	assert_int_equal(rw(&t, OB_BLK_READ, 600, buf, 1), -EILSEQ);
	assert_memory_equal(buf, was, BB);
	/* Not flushed, it could be a write that never made it, and the block be zeroes. */
	assert_int_equal(rw(&t, OB_BLK_FLUSH, 0, NULL, 0), 0);
	reopen(&t);
	assert_int_equal(rw(&t, OB_BLK_READ, 600, buf, 1), -EILSEQ);
	assert_int_equal(rw(&t, OB_BLK_READ, 599, buf, 1), 0);
	memset(buf, 6, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 600, buf, 1), 0);
	assert_int_equal(rw(&t, OB_BLK_READ, 600, buf, 1), 0);
	close_bed(&t);
}

static void a_block_in_the_wrong_place_is_eilseq(void **state)
{
	uint8_t buf[2 * BB];
	struct bed t;

	(void)state;
	assert_int_equal(open_bed(&t, true, false), 0);
	memset(buf, 5, sizeof(buf));
	assert_int_equal(rw(&t, OB_BLK_WRITE, 10, buf, 2), 0);
	buf[0] = 6;
	assert_int_equal(rw(&t, OB_BLK_WRITE, 10, buf, 1), 0);
	memcpy(data.now + 11 * BB, data.now + 10 * BB, BB);
	assert_int_equal(rw(&t, OB_BLK_READ, 10, buf, 1), 0);
	assert_int_equal(rw(&t, OB_BLK_READ, 11, buf, 1), -EILSEQ);
	close_bed(&t);
}

/* The first that failed left nothing; what the second one may go back to is what the block held before both. */
static void failed_writes_leave_what_was_there(void **state)
{
	uint8_t buf[BB], was[BB];
	struct bed t;

	(void)state;
	assert_int_equal(open_bed(&t, true, false), 0);
	memset(was, 1, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 3, was, 1), 0);
	for (uint8_t i = 2; i < 5; i++) {
		memset(buf, i, BB);
		io_left = i % 2; /* the tag's write fails, or the data's */
		assert_int_equal(rw(&t, OB_BLK_WRITE, 3, buf, 1), -EIO);
		assert_int_equal(rw(&t, OB_BLK_WRITE, 9, buf, 1), -EIO);
	}
	io_left = -1;
	assert_int_equal(rw(&t, OB_BLK_READ, 3, buf, 1), 0);
	assert_memory_equal(buf, was, BB);
	assert_int_equal(rw(&t, OB_BLK_READ, 9, buf, 1), 0);
	memset(was, 0, BB);
	assert_memory_equal(buf, was, BB);
	memset(was, 7, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 3, was, 1), 0);
	assert_int_equal(rw(&t, OB_BLK_FLUSH, 0, NULL, 0), 0);
	reopen(&t);
	assert_int_equal(rw(&t, OB_BLK_READ, 3, buf, 1), 0);
	assert_memory_equal(buf, was, BB);
	close_bed(&t);
}

/* The medium answered, and did not write: at once while we run, and after a restart if a FLUSH had answered. */
static void a_lost_write_is_eilseq(void **state)
{
	uint8_t buf[BB], old[BB];
	struct bed t;

	(void)state;
	assert_int_equal(open_bed(&t, true, false), 0);
	memset(buf, 1, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 3, buf, 1), 0);
	memcpy(old, data.now + 3 * BB, BB);
	memset(buf, 2, BB);
	assert_int_equal(rw(&t, OB_BLK_WRITE, 3, buf, 1), 0);
	memcpy(data.now + 3 * BB, old, BB);
	assert_int_equal(rw(&t, OB_BLK_READ, 3, buf, 1), -EILSEQ);
	assert_int_equal(rw(&t, OB_BLK_FLUSH, 0, NULL, 0), 0);
	reopen(&t);
	assert_int_equal(rw(&t, OB_BLK_READ, 3, buf, 1), -EILSEQ);
	close_bed(&t);
}

/* ---- crashes: what each block may hold ---- */

#define VERSIONS 64

static struct history {
	uint32_t n;	      /* versions since the last certain one, which is v[0] */
	uint32_t v[VERSIONS]; /* 0: zeroes */
} hist[BLOCKS];

static void content(uint32_t block, uint32_t version, uint8_t *out)
{
	memset(out, 0, BB);
	for (uint32_t i = 0; version != 0 && i < BB; i += 4) {
		uint32_t x = version * 2654435761u + block * 40503u + i;

		memcpy(out + i, &x, 4);
	}
}

/* Returns whether block 'i' reads as one of its versions; it then is the certain one. */
static bool check_block(struct bed *t, uint32_t i, bool may_be_lost)
{
	struct history *h = &hist[i];
	uint8_t got[BB], want[BB];
	int rc = rw(t, OB_BLK_READ, i, got, 1);

	if (rc == -EILSEQ && may_be_lost && h->n > 1)
		return false;
	assert_int_equal(rc, 0);
	for (uint32_t k = h->n; k-- > 0;) {
		content(i, h->v[k], want);
		if (memcmp(got, want, BB) == 0) {
			*h = (struct history){.n = 1, .v = {h->v[k]}};
			return true;
		}
	}
	fail_msg("block %u holds what was never written, of %u versions", i, h->n);
	return false;
}

static void certain(void)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		hist[i] = (struct history){.n = 1, .v = {hist[i].v[hist[i].n - 1]}};
}

static void add_version(uint32_t block, uint32_t v)
{
	struct history *h = &hist[block];

	assert_true(h->n < VERSIONS);
	h->v[h->n++] = v;
}

/* Writes until the process dies. 'kill': a completed write is certain; else only a flushed one is. */
static void write_until_death(struct bed *t, uint32_t *version, bool kill)
{
	uint8_t buf[8 * BB];

	for (;;) {
		uint32_t n = 1 + rnd(8), at = rnd(3) ? rnd(40) : rnd(BLOCKS - 8), what = rnd(8);
		int rc;

		++*version;
		if (what == 0) {
			if (rw(t, OB_BLK_FLUSH, 0, NULL, 0) != 0)
				return;
			certain();
			continue;
		}
		for (uint32_t i = 0; i < n; i++) {
			content(at + i, *version, buf + i * BB);
			add_version(at + i, what == 1 ? 0 : *version);
		}
		rc = rw(t, what == 1 ? OB_BLK_WRITE_ZEROES : OB_BLK_WRITE, at, buf, n);
		if (rc != 0)
			return;
		for (uint32_t i = 0; i < n && kill; i++)
			hist[at + i] =
			    (struct history){.n = 1, .v = {hist[at + i].v[hist[at + i].n - 1]}};
	}
}

static void repair(struct bed *t, uint32_t block, uint32_t version)
{
	uint8_t buf[BB];

	content(block, version, buf);
	assert_int_equal(rw(t, OB_BLK_WRITE, block, buf, 1), 0);
	hist[block] = (struct history){.n = 1, .v = {version}};
}

enum crash { KILL, POWER, POWER_FUA };

static void crashes(enum crash kind)
{
	uint32_t version = 0, n_lost = 0;
	struct bed t;

	memset(hist, 0, sizeof(hist));
	for (uint32_t i = 0; i < BLOCKS; i++)
		hist[i].n = 1;
	assert_int_equal(open_bed(&t, true, kind == POWER_FUA), 0);
	for (unsigned round = 0; round < 150; round++) {
		io_left = (int)rnd(60);
		write_until_death(&t, &version, kind != POWER);
		close_bed(&t);
		if (kind != KILL) {
			power_loss(&data);
			power_loss(&tags);
		}
		io_left = -1;
		assert_int_equal(open_bed(&t, false, kind == POWER_FUA), 0);
		for (uint32_t i = 0; i < BLOCKS; i++)
			if (!check_block(&t, i, kind == POWER)) {
				n_lost++;
				repair(&t, i, ++version);
			}
		/* The next round's crash may not undo what this one saw. */
		assert_int_equal(rw(&t, OB_BLK_FLUSH, 0, NULL, 0), 0);
	}
	close_bed(&t);
	assert_true(n_lost == 0 || kind == POWER);
}

static void a_killed_process_leaves_every_block_old_or_new(void **state)
{
	(void)state;
	crashes(KILL);
}

static void power_loss_keeps_what_was_flushed_and_detects_the_rest(void **state)
{
	(void)state;
	crashes(POWER);
}

static void with_fua_power_loss_leaves_every_block_old_or_new(void **state)
{
	(void)state;
	crashes(POWER_FUA);
}

/* ---- several channels, a slow medium ---- */

#define N_IOS 24

static void wait_all(struct ob_blk_ch *const ch[2], const struct test_io *io)
{
	for (bool all = false; !all;) {
		all = true;
		for (unsigned i = 0; i < N_IOS; i++)
			all &= io[i].n_done == 1;
		ob_blk_poll(ch[0]);
		ob_blk_poll(ch[1]);
	}
}

static void overlapping_writes_and_reads_never_fail(void **state)
{
	uint8_t buf[N_IOS][4 * BB];
	struct test_io io[N_IOS];
	struct ob_blk_ch *ch[2];
	struct bed t;

	(void)state;
	lazy = true;
	assert_int_equal(open_bed(&t, true, false), 0);
	ch[0] = t.ch;
	assert_int_equal(ob_blk_ch_open(t.b, &ch[1]), 0);
	for (unsigned round = 0; round < 300; round++) {
		for (unsigned i = 0; i < N_IOS; i++) {
			enum ob_blk_op op = rnd(3)   ? OB_BLK_WRITE
					    : rnd(4) ? OB_BLK_READ
						     : OB_BLK_FLUSH;

			memset(buf[i], (int)(round + i), sizeof(buf[i]));
			test_io_init(&io[i], op, rnd(6) * BB, buf[i], 4 * BB);
			test_submit(ch[i % 2], &io[i]);
		}
		wait_all(ch, io);
		for (unsigned i = 0; i < N_IOS; i++)
			assert_int_equal(io[i].io.result, 0);
		for (uint32_t i = 0; i < 10; i++)
			assert_int_equal(rw(&t, OB_BLK_READ, i, buf[0], 1), 0);
	}
	ob_blk_ch_close(ch[1]);
	close_bed(&t);
}

/* One round of I/Os under way together, no two on one block; then the histories. */
static void race(struct ob_blk_ch *const ch[2], uint32_t *version)
{
	static uint8_t buf[N_IOS][8 * BB];
	struct test_io io[N_IOS];
	uint32_t slot = rnd(BLOCKS - N_IOS * 8);

	for (unsigned i = 0; i < N_IOS; i++) {
		uint32_t n = 1 + rnd(8), at = slot + i * 8;
		enum ob_blk_op op = rnd(6) == 0	  ? OB_BLK_FLUSH
				    : rnd(6) == 0 ? OB_BLK_WRITE_ZEROES
						  : OB_BLK_WRITE;

		++*version;
		for (uint32_t k = 0; k < n && op != OB_BLK_FLUSH; k++) {
			content(at + k, *version, buf[i] + k * BB);
			add_version(at + k, op == OB_BLK_WRITE ? *version : 0);
		}
		test_io_init(&io[i], op, (uint64_t)at * BB, buf[i], n * BB);
		test_submit(ch[i % 2], &io[i]);
	}
	wait_all(ch, io);
	for (unsigned i = 0; i < N_IOS; i++) {
		uint32_t at = (uint32_t)(io[i].io.off / BB);

		for (uint32_t k = 0; k < io[i].io.len / BB; k++) {
			struct history *h = &hist[at + k];

			if (io[i].io.result == 0 && io[i].io.op != OB_BLK_FLUSH)
				*h = (struct history){.n = 1, .v = {h->v[h->n - 1]}};
		}
	}
}

static void a_process_killed_in_a_race_leaves_every_block_old_or_new(void **state)
{
	uint32_t version = 0;
	struct bed t;

	(void)state;
	memset(hist, 0, sizeof(hist));
	for (uint32_t i = 0; i < BLOCKS; i++)
		hist[i].n = 1;
	lazy = true;
	assert_int_equal(open_bed(&t, true, false), 0);
	for (unsigned round = 0; round < 100; round++) {
		struct ob_blk_ch *ch[2] = {t.ch};

		assert_int_equal(ob_blk_ch_open(t.b, &ch[1]), 0);
		io_left = (int)rnd(200);
		while (io_left != 0)
			race(ch, &version);
		ob_blk_ch_close(ch[1]);
		reopen(&t);
		for (uint32_t i = 0; i < BLOCKS; i++)
			assert_true(check_block(&t, i, false));
	}
	close_bed(&t);
}

struct worker {
	struct ob_blk_ch *ch;
	uint32_t seed;
	unsigned n_bad;
	uint8_t id;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t buf[8 * BB];

	for (unsigned i = 0; i < 2000; i++) {
		struct test_io io;
		enum ob_blk_op op;
		uint32_t at;

		w->seed = w->seed * 1664525u + 1013904223u;
		at = (w->seed >> 8) % 12;
		op = (w->seed >> 20) % 16 == 0 ? OB_BLK_FLUSH
		     : (w->seed >> 25) % 2     ? OB_BLK_WRITE
					       : OB_BLK_READ;
		memset(buf, (int)(w->id * 64 + i % 64), sizeof(buf));
		test_io_init(&io, op, at * BB, buf, 8 * BB);
		test_submit(w->ch, &io);
		w->n_bad += test_wait(w->ch, &io) != 0;
	}
	return NULL;
}

static void threads_on_the_same_blocks_never_fail(void **state)
{
	struct ob_blk_integrity_conf conf = {.format = true};
	struct ob_blk *d, *t, *b;
	struct worker w[3];
	pthread_t id[3];

	(void)state;
	assert_int_equal(ob_blk_ram_create("ram", BYTES, BB, &d, NULL, 0), 0);
	assert_int_equal(ob_blk_ram_create("tags", TAGS, BB, &t, NULL, 0), 0);
	assert_int_equal(ob_blk_integrity_create("i", d, t, &conf, &b, NULL, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		w[i] = (struct worker){.seed = i + 1, .id = (uint8_t)(i + 1)};
		assert_int_equal(ob_blk_ch_open(b, &w[i].ch), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&id[i], NULL, work, &w[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(id[i], NULL);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(w[i].n_bad, 0);
		ob_blk_ch_close(w[i].ch);
	}
	ob_blk_put(b);
	ob_blk_put(d);
	ob_blk_put(t);
}

static void tags_of_another_volume_are_ebadmsg(void **state)
{
	struct ob_blk *d, *small;
	struct ob_blk_integrity_conf conf = {0};
	struct ob_blk *b;
	struct bed t;

	(void)state;
	d = disk(&data);
	small = disk(&tags);
	assert_int_equal(ob_blk_integrity_create("i", d, small, &conf, &b, NULL, 0), -EBADMSG);
	assert_int_equal(ob_blk_integrity_create("i", d, d, &conf, &b, NULL, 0), -EINVAL);
	small->info.bytes = 3 * INTEG_PAGE;
	assert_int_equal(ob_blk_integrity_create("i", d, small, &conf, &b, NULL, 0), -ENOSPC);
	ob_blk_put(d);
	ob_blk_put(small);
	assert_int_equal(open_bed(&t, true, false), 0);
	close_bed(&t);
	tags.now[13] ^= 1;
	t.data = disk(&data);
	t.tags = disk(&tags);
	assert_int_equal(
	    ob_blk_integrity_create("i", t.data, t.tags, &conf, &b, NULL, 0), -EBADMSG);
	ob_blk_put(t.data);
	ob_blk_put(t.tags);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
	    T(random_ops_equal_a_model),
	    T(changed_data_is_eilseq_until_written_again),
	    T(a_block_in_the_wrong_place_is_eilseq),
	    T(a_lost_write_is_eilseq),
	    T(failed_writes_leave_what_was_there),
	    T(a_killed_process_leaves_every_block_old_or_new),
	    T(power_loss_keeps_what_was_flushed_and_detects_the_rest),
	    T(with_fua_power_loss_leaves_every_block_old_or_new),
	    T(overlapping_writes_and_reads_never_fail),
	    T(a_process_killed_in_a_race_leaves_every_block_old_or_new),
	    T(threads_on_the_same_blocks_never_fail),
	    T(tags_of_another_volume_are_ebadmsg),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
