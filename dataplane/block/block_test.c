/* SPDX-License-Identifier: BSD-3-Clause */
/* The core, null and ram: checks, completion, emulation of zeroes, sleep, sizes, statistics. */
#include "test_block.h"

#include <stdlib.h>
#include <unistd.h>

#define MIB (1u << 20)

static char err[128];
static uint8_t buf[8192];

static struct ob_blk *ram(uint64_t bytes)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_ram_create("ram", bytes, 512, &b, err, sizeof(err)), 0);
	return b;
}

static struct ob_blk_ch *open_ch(struct ob_blk *b)
{
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	return ch;
}

static void create_refuses_bad_names_and_sizes(void **state)
{
	static const char *const names[] = {
	    "", "a b", "x/y", "0123456789012345678901234567890a", NULL};
	struct ob_blk *b;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(
		    ob_blk_null_create(names[i], MIB, 512, &b, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, "name"));
	}
	assert_int_equal(ob_blk_null_create("n", MIB, 520, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_null_create("n", 1000, 512, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_null_create("n", 0, 512, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_ram_create("n", MIB, 0, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_ram_create("n", INT64_MAX & ~511ull, 512, &b, NULL, 0), -ENOMEM);
	assert_int_equal(ob_blk_ram_create("n", 1ull << 50, 512, &b, err, sizeof(err)), -ENOMEM);
	assert_non_null(strstr(err, "memory"));
	assert_int_equal(
	    ob_blk_null_create("0123456789-._abcdefghijklmnopqr", MIB, 4096, &b, NULL, 0), 0);
	ob_blk_put(b);
	ob_blk_put(NULL);
	ob_blk_ch_close(NULL);
}

static void bad_requests_are_einval(void **state)
{
	struct ob_blk *b = ram(MIB);
	struct ob_blk_ch *ch = open_ch(b);
	struct ob_blk_stats st;
	struct test_io t;

	(void)state;
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, buf, 512), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB - 512, buf, 512), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 1, buf, 512), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, buf, 100), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, buf, 0), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, MIB, buf, 512), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, MIB - 512, buf, 1024), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, UINT64_MAX - 511, NULL, 1024), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 512, NULL, -512ull), -EINVAL);
	/* Vectors that do not add up, also by a sum that wraps. */
	test_io_init(&t, OB_BLK_READ, 0, buf, 1024);
	t.iov[0].iov_len = 512;
	test_submit(ch, &t);
	assert_int_equal(t.io.result, -EINVAL);
	test_io_init(&t, OB_BLK_READ, 0, buf, 1024);
	t.iov[0].iov_len = 1ull << 63;
	t.iov[1] = (struct iovec){buf, (1ull << 63) + 1024};
	t.io.n_iov = 2;
	test_submit(ch, &t);
	assert_int_equal(t.io.result, -EINVAL);
	test_io_init(&t, OB_BLK_READ, 0, buf, 512);
	t.io.n_iov = OB_BLK_MAX_IOV + 1;
	test_submit(ch, &t);
	assert_int_equal(t.io.result, -EINVAL);
	ob_blk_stats(b, &st);
	assert_int_equal(st.n_errors[OB_BLK_READ], 6);
	assert_int_equal(st.n_errors[OB_BLK_WRITE], 2);
	assert_int_equal(st.n_ios[OB_BLK_READ], 8);
	assert_int_equal(st.n_bytes[OB_BLK_READ], 1024);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void longest_transfer_passes_and_one_block_more_not(void **state)
{
	uint8_t *big = malloc(OB_BLK_MAX_BYTES + 512);
	struct ob_blk *b = ram(8 * MIB);
	struct ob_blk_ch *ch = open_ch(b);

	(void)state;
	assert_non_null(big);
	memset(big, 0x5a, OB_BLK_MAX_BYTES);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 512, big, OB_BLK_MAX_BYTES), 0);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 512, big, OB_BLK_MAX_BYTES + 512), -EINVAL);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 0, NULL, 8 * MIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 512, big, OB_BLK_MAX_BYTES), 0);
	for (unsigned i = 0; i < OB_BLK_MAX_BYTES; i++)
		assert_int_equal(big[i], 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	free(big);
}

static void unknown_op_and_missing_discard_are_eopnotsupp(void **state)
{
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(slow_create(MIB, &b), 0);
	ch = open_ch(b);
	assert_int_equal(test_rw(ch, OB_BLK_N_OPS, 0, 0, buf, 512), -EOPNOTSUPP);
	assert_int_equal(test_rw(ch, 255, 0, 0, buf, 512), -EOPNOTSUPP);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 512), -EOPNOTSUPP);
	assert_int_equal(ob_blk_pending(ch), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void read_only_refuses_what_writes(void **state)
{
	struct ob_blk *b = ram(MIB);
	struct ob_blk_ch *ch = open_ch(b);

	(void)state;
	b->info.read_only = true;
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 512), -EROFS);
	assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 0, NULL, 512), -EROFS);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE_ZEROES, 0, 0, NULL, 512), -EROFS);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 0, buf, 512), 0);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

/* ---- done() that submits again ---- */

struct again {
	struct ob_blk_io io;
	struct iovec iov;
	struct ob_blk_ch *ch;
	unsigned n, depth, max_depth;
};

static void submit_again(struct ob_blk_io *io)
{
	struct again *a = (struct again *)io;

	a->n++;
	a->depth++;
	if (a->depth > a->max_depth)
		a->max_depth = a->depth;
	if (a->n < 10000)
		ob_blk_submit(a->ch, &io, 1);
	a->depth--;
}

static void resubmitting_from_done_does_not_nest(void **state)
{
	struct again a = {.io = {.op = OB_BLK_READ, .len = 512, .n_iov = 1, .done = submit_again}};
	struct ob_blk *b = ram(MIB);
	struct ob_blk_io *io = &a.io;
	bool must_poll;

	(void)state;
	a.iov = (struct iovec){buf, 512};
	a.io.iov = &a.iov;
	a.ch = open_ch(b);
	for (unsigned bad = 0; bad < 2; bad++) {
		/* The second time each fails its checks. */
		a.io.off = bad;
		a.n = 0;
		ob_blk_submit(a.ch, &io, 1);
		while (a.n < 10000) {
			assert_true(ob_blk_arm(a.ch, &must_poll));
			assert_true(ob_blk_poll(a.ch) > 0);
		}
		assert_int_equal(ob_blk_pending(a.ch), 0);
	}
	assert_true(a.max_depth <= 2);
	ob_blk_ch_close(a.ch);
	ob_blk_put(b);
}

/* ---- zeroes ---- */

static void zeroes_are_written_piece_by_piece(void **state)
{
	struct slow_ch *s;
	struct test_io t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	struct ob_blk_stats st;
	bool must_poll;

	(void)state;
	assert_int_equal(slow_create(64 * MIB, &b), 0);
	ch = open_ch(b);
	s = (struct slow_ch *)ch;
	test_io_init(&t, OB_BLK_WRITE_ZEROES, 512, NULL, 5 * MIB + 512);
	t.io.flags = OB_BLK_FUA;
	test_submit(ch, &t);
	assert_int_equal(s->n_held, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ob_blk_arm(ch, &must_poll));
		assert_int_equal(ob_blk_poll(ch), 0);
		assert_false(ob_blk_arm(ch, &must_poll));
		ob_blk_disarm(ch);
		assert_int_equal(s->n_held, 1);
		assert_int_equal(s->last_op, OB_BLK_WRITE);
		assert_int_equal(s->last_flags, OB_BLK_FUA);
		assert_int_equal(s->last_off, 512 + 2ull * MIB * i);
		assert_int_equal(s->last_len, i < 2 ? 2 * MIB : MIB + 512);
		assert_int_equal(t.n_done, 0);
		slow_let_go(ch, 1);
	}
	assert_int_equal(t.n_done, 1);
	assert_int_equal(t.io.result, 0);
	ob_blk_stats(b, &st);
	assert_int_equal(st.n_ios[OB_BLK_WRITE], 0);
	assert_int_equal(st.n_ios[OB_BLK_WRITE_ZEROES], 1);
	assert_int_equal(st.n_bytes[OB_BLK_WRITE_ZEROES], 5 * MIB + 512);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void zeroes_end_with_the_error_of_their_write(void **state)
{
	struct test_io t;
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(slow_create(64 * MIB, &b), 0);
	ch = open_ch(b);
	((struct slow *)b)->result = -EIO;
	test_io_init(&t, OB_BLK_WRITE_ZEROES, 0, NULL, 5 * MIB);
	test_submit(ch, &t);
	ob_blk_poll(ch);
	slow_let_go(ch, 1);
	assert_int_equal(t.n_done, 1);
	assert_int_equal(t.io.result, -EIO);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void zeroes_that_waited_for_others_end_with_their_own_errors(void **state)
{
	struct test_io t[6]; /* more than are under way at once */
	struct ob_blk *b;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(slow_create(64 * MIB, &b), 0);
	ch = open_ch(b);
	((struct slow *)b)->result = -EIO;
	for (unsigned i = 0; i < 6; i++) {
		test_io_init(&t[i], OB_BLK_WRITE_ZEROES, i * MIB, NULL, MIB);
		test_submit(ch, &t[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		ob_blk_poll(ch);
		slow_let_go(ch, 6);
	}
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(t[i].n_done, 1);
		assert_int_equal(t[i].io.result, -EIO);
	}
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

static void cancel_ends_what_waits_of_its_owner_only(void **state)
{
	struct test_io t[10];
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	int owner[2];

	(void)state;
	assert_int_equal(slow_create(64 * MIB, &b), 0);
	ch = open_ch(b);
	/* Zeroes: four have a slot, the rest waits for one. */
	for (unsigned i = 0; i < 10; i++) {
		test_io_init(&t[i], OB_BLK_WRITE_ZEROES, i * 4096, NULL, 4096);
		t[i].io.owner = &owner[i % 2];
		test_submit(ch, &t[i]);
	}
	ob_blk_cancel(ch, &owner[1]);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(t[i].n_done, i % 2);
		assert_int_equal(t[i].io.result, i % 2 ? -ECANCELED : 1);
	}
	assert_int_equal(ob_blk_pending(ch), 5);
	while (ob_blk_pending(ch) > 0) {
		ob_blk_poll(ch);
		slow_let_go(ch, 10);
	}
	for (unsigned i = 0; i < 10; i += 2)
		assert_int_equal(t[i].io.result, 0);
	/* NULL: everybody, also those that a kind holds. */
	for (unsigned i = 0; i < 2; i++) {
		test_io_init(&t[i], OB_BLK_WRITE, 0, buf, 512);
		t[i].io.owner = &owner[i];
		test_submit(ch, &t[i]);
	}
	ob_blk_cancel(ch, NULL);
	assert_int_equal(t[0].io.result, -ECANCELED);
	assert_int_equal(t[1].io.result, -ECANCELED);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

/* ---- layers ---- */

static void layer_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blk_complete_now(ch, ios[i], -EIO);
}

static const struct blk_ops layer_ops = {
    .kind = "layer",
    .dev_bytes = sizeof(struct ob_blk),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .submit = layer_submit,
};

static struct ob_blk *layer_over(struct ob_blk *const *children, unsigned n)
{
	struct ob_blk *b;

	assert_int_equal(blk_new(&layer_ops, "layer", children, n, &b), 0);
	b->info = children[0]->info;
	return b;
}

static void any_child_wakes_a_channel_over_several(void **state)
{
	struct ob_blk *kids[3], *b;
	struct ob_blk_ch *ch;
	struct slow_ch *s;
	uint64_t one = 1;
	struct pollfd p = {.events = POLLIN};
	bool must_poll = true;

	(void)state;
	assert_int_equal(slow_create(MIB, &kids[0]), 0);
	assert_int_equal(slow_create(MIB, &kids[1]), 0);
	kids[2] = ram(MIB);
	b = layer_over(kids, 3);
	for (unsigned i = 0; i < 3; i++)
		ob_blk_put(kids[i]);
	ch = open_ch(b);
	p.fd = ob_blk_wake_fd(ch);
	assert_false(ob_blk_arm(ch, &must_poll));
	assert_false(must_poll);
	assert_int_equal(poll(&p, 1, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		s = (struct slow_ch *)ch->child[i];
		assert_int_equal(write(s->ch.wake_fd, &one, 8), 8);
		assert_int_equal(poll(&p, 1, 0), 1);
		assert_int_equal(read(s->ch.wake_fd, &one, 8), 8);
		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(s->n_arms - s->n_disarms, 1);
	}
	ob_blk_disarm(ch);
	ob_blk_disarm(ch);
	assert_int_equal(s->n_arms, s->n_disarms);
	/* Work below: nothing stays armed. */
	s->due = true;
	assert_true(ob_blk_arm(ch, &must_poll));
	assert_int_equal(s->n_arms, 2);
	assert_int_equal(s->n_arms, s->n_disarms);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

struct heard {
	struct ob_blk *b;
	unsigned n;
	uint64_t bytes;
	bool once;
};

static void hear(void *ctx)
{
	struct heard *h = ctx;
	struct ob_blk_info info;

	ob_blk_info(h->b, &info);
	h->bytes = info.bytes;
	h->n++;
	if (h->once)
		ob_blk_off_change(h->b, hear, h);
}

static void resize_is_heard_through_layers(void **state)
{
	struct ob_blk *r = ram(MIB), *b = layer_over(&r, 1);
	struct heard h[3] = {{.b = b}, {.b = r}, {.b = b, .once = true}};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_blk_on_change(h[i].b, hear, &h[i]), 0);
	assert_int_equal(ob_blk_on_change(b, hear, &h[0]), -EEXIST);
	assert_int_equal(ob_blk_on_change(b, NULL, &h[0]), -EINVAL);
	assert_int_equal(ob_blk_resize(r, 2 * MIB), 0);
	assert_int_equal(ob_blk_resize(r, 2 * MIB), 0);
	assert_int_equal(ob_blk_resize(r, MIB), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(h[i].n, i < 2 ? 2 : 1);
		assert_int_equal(h[i].bytes, i < 2 ? MIB : 2 * MIB);
	}
	ob_blk_off_change(b, hear, &h[0]);
	ob_blk_off_change(b, hear, &h[0]);
	assert_int_equal(ob_blk_resize(r, 2 * MIB), 0);
	assert_int_equal(h[0].n, 2);
	assert_int_equal(ob_blk_resize(b, 4 * MIB), -EOPNOTSUPP);
	assert_int_equal(ob_blk_resize(r, 0), -EINVAL);
	assert_int_equal(ob_blk_resize(r, 1000), -EINVAL);
	assert_int_equal(ob_blk_resize(r, 1ull << 50), -ENOMEM);
	assert_int_equal(r->info.bytes, 2 * MIB);
	ob_blk_put(r);
	ob_blk_put(b);
}

/* What has clones is read only: so it stays when it grows. */
static void a_layer_made_read_only_stays_so_as_its_child_grows(void **state)
{
	const uint8_t key[32] = {1};
	const struct ob_blk_crypt_conf crypt = {.key = key, .key_len = 32};
	const struct ob_blk_qos_conf qos = {0};
	const struct ob_blk_integrity_conf integrity = {.format = true};
	struct ob_blk *r = ram(MIB), *tags = ram(MIB), *b[3];

	(void)state;
	assert_int_equal(ob_blk_crypt_create("c", r, &crypt, &b[0], NULL, 0), 0);
	assert_int_equal(ob_blk_qos_create("q", r, &qos, &b[1], NULL, 0), 0);
	assert_int_equal(ob_blk_integrity_create("i", r, tags, &integrity, &b[2], NULL, 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_false(b[i]->info.read_only);
		b[i]->info.read_only = true;
	}
	assert_int_equal(ob_blk_resize(r, 2 * MIB), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(b[i]->info.bytes, 2 * MIB);
		assert_true(b[i]->info.read_only);
		ob_blk_put(b[i]);
	}
	ob_blk_put(tags);
	ob_blk_put(r);
}

static void ram_keeps_data_as_it_grows_and_forgets_what_it_lost(void **state)
{
	struct ob_blk *b = ram(MIB);
	struct ob_blk_ch *ch = open_ch(b);

	(void)state;
	memset(buf, 7, sizeof(buf));
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, MIB - 512, buf, 512), 0);
	assert_int_equal(ob_blk_resize(b, 3 * MIB), 0);
	/* Across the joint. */
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, MIB, buf, 1024), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB - 512, buf, 2048), 0);
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(buf[i], i < 1536 ? 7 : 0);
	assert_int_equal(ob_blk_resize(b, MIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB, buf, 512), -EINVAL);
	assert_int_equal(ob_blk_resize(b, 3 * MIB), 0);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, MIB - 512, buf, 2048), 0);
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(buf[i], i < 512 ? 7 : 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
}

/* ---- statistics ---- */

static void latency_classes_cover_without_gap(void **state)
{
	uint64_t lat[OB_BLK_LAT_CLASSES] = {0};

	(void)state;
	assert_int_equal(ob_blk_lat_class_ns(0), 0);
	assert_int_equal(ob_blk_lat_class_ns(16), 16 * 64);
	assert_int_equal(ob_blk_lat_class_ns(32), 32 * 64);
	assert_int_equal(ob_blk_lat_class_ns(33), 34 * 64);
	for (unsigned c = 1; c < OB_BLK_LAT_CLASSES; c++) {
		uint64_t lo = ob_blk_lat_class_ns(c - 1), hi = ob_blk_lat_class_ns(c);

		assert_true(hi > lo);
		/* No class is wider than a sixteenth of its value. */
		assert_true(hi - lo == 64 || (hi - lo) * 16 <= lo);
	}
	assert_true(ob_blk_lat_class_ns(OB_BLK_LAT_CLASSES - 1) > 4000000000u);
	assert_int_equal(ob_blk_lat_quantile_ns(lat, 0.5), 0);
	lat[10] = 90;
	lat[100] = 10;
	assert_in_range(
	    ob_blk_lat_quantile_ns(lat, 0.5), ob_blk_lat_class_ns(10), ob_blk_lat_class_ns(11));
	assert_in_range(
	    ob_blk_lat_quantile_ns(lat, 0), ob_blk_lat_class_ns(10), ob_blk_lat_class_ns(11));
	assert_in_range(
	    ob_blk_lat_quantile_ns(lat, 0.99), ob_blk_lat_class_ns(100), ob_blk_lat_class_ns(101));
	assert_in_range(
	    ob_blk_lat_quantile_ns(lat, 1), ob_blk_lat_class_ns(100), ob_blk_lat_class_ns(101));
}

static void statistics_outlive_their_channel(void **state)
{
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	struct ob_blk_stats st;
	struct test_io t[3];
	uint64_t n = 0;

	(void)state;
	assert_int_equal(slow_create(MIB, &b), 0);
	ch = open_ch(b);
	for (unsigned i = 0; i < 3; i++) {
		test_io_init(&t[i], i == 2 ? OB_BLK_FLUSH : OB_BLK_WRITE, 0, buf, 512);
		test_submit(ch, &t[i]);
	}
	ob_blk_stats(b, &st);
	assert_int_equal(st.n_pending, 3);
	usleep(1000);
	slow_let_go(ch, 3);
	blk_count_throttled(ch, 77);
	ob_blk_ch_close(ch);
	ob_blk_stats(b, &st);
	assert_int_equal(st.n_pending, 0);
	assert_int_equal(st.max_pending, 3);
	assert_int_equal(st.n_ios[OB_BLK_WRITE], 2);
	assert_int_equal(st.n_bytes[OB_BLK_WRITE], 1024);
	assert_int_equal(st.n_ios[OB_BLK_FLUSH], 1);
	assert_int_equal(st.n_bytes[OB_BLK_FLUSH], 0);
	assert_int_equal(st.n_throttled, 1);
	assert_int_equal(st.throttled_ns, 77);
	for (unsigned c = 0; c < OB_BLK_LAT_CLASSES; c++)
		n += st.lat[1][c];
	assert_int_equal(n, 2);
	/* The clock of the statistics runs as the wall's. */
	assert_true(ob_blk_lat_quantile_ns(st.lat[1], 0) >= 900000);
	assert_in_range(st.lat_sum_ns[OB_BLK_WRITE], 2 * 900000, 2000000000ull);
	ob_blk_put(b);
}

/* ---- vectors ---- */

static void vectors_are_cut_anywhere(void **state)
{
	uint8_t src[100], dst[100], flat[100];
	struct iovec iov[5] = {
	    {src, 7}, {src + 7, 0}, {src + 7, 33}, {src + 40, 1}, {src + 41, 59}};
	struct iovec to[5], out[5];

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		src[i] = (uint8_t)i;
	for (unsigned i = 0; i < 5; i++)
		to[i] = (struct iovec){dst + ((uint8_t *)iov[i].iov_base - src), iov[i].iov_len};
	for (size_t at = 0; at <= 100; at++)
		for (size_t len = 0; at + len <= 100; len++) {
			size_t sum = 0;
			int n;

			assert_int_equal(blk_iov_gather(flat, iov, 5, at, len), len);
			assert_memory_equal(flat, src + at, len);
			memset(dst, 0xff, sizeof(dst));
			assert_int_equal(blk_iov_scatter(to, 5, at, flat, len), len);
			assert_memory_equal(dst + at, src + at, len);
			assert_true(at == 0 || dst[at - 1] == 0xff);
			assert_true(at + len == 100 || dst[at + len] == 0xff);
			n = blk_iov_slice(iov, 5, at, len, out, 5);
			assert_true(n >= 0);
			for (int i = 0; i < n; i++) {
				assert_ptr_equal(out[i].iov_base, src + at + sum);
				sum += out[i].iov_len;
			}
			assert_int_equal(sum, len);
		}
	assert_int_equal(blk_iov_slice(iov, 5, 0, 50, out, 2), -ENOSPC);
	assert_int_equal(blk_iov_gather(flat, iov, 5, 90, 50), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(create_refuses_bad_names_and_sizes),
	    cmocka_unit_test(bad_requests_are_einval),
	    cmocka_unit_test(longest_transfer_passes_and_one_block_more_not),
	    cmocka_unit_test(unknown_op_and_missing_discard_are_eopnotsupp),
	    cmocka_unit_test(read_only_refuses_what_writes),
	    cmocka_unit_test(resubmitting_from_done_does_not_nest),
	    cmocka_unit_test(zeroes_are_written_piece_by_piece),
	    cmocka_unit_test(zeroes_end_with_the_error_of_their_write),
	    cmocka_unit_test(zeroes_that_waited_for_others_end_with_their_own_errors),
	    cmocka_unit_test(cancel_ends_what_waits_of_its_owner_only),
	    cmocka_unit_test(any_child_wakes_a_channel_over_several),
	    cmocka_unit_test(resize_is_heard_through_layers),
	    cmocka_unit_test(a_layer_made_read_only_stays_so_as_its_child_grows),
	    cmocka_unit_test(ram_keeps_data_as_it_grows_and_forgets_what_it_lost),
	    cmocka_unit_test(latency_classes_cover_without_gap),
	    cmocka_unit_test(statistics_outlive_their_channel),
	    cmocka_unit_test(vectors_are_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
