/* SPDX-License-Identifier: BSD-3-Clause */
/* stripe and concat: where each byte goes, random I/Os against a model, errors, cancel, growth. */
#include "test_rig.h"

#include <stdlib.h>

#define KIB 1024u
#define MIB (1024u * KIB)

static char err[256];

static struct ob_blk *ram(const char *name, uint64_t bytes)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_ram_create(name, bytes, 512, &b, err, sizeof(err)), 0);
	return b;
}

static void put_all(struct ob_blk **b, unsigned n)
{
	while (n > 0)
		ob_blk_put(b[--n]);
}

static struct ob_blk *stripe(struct ob_blk **children, unsigned n, uint32_t chunk)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_stripe_create("st", children, n, chunk, &b, err, sizeof(err)), 0);
	return b;
}

static struct ob_blk *concat(struct ob_blk **children, unsigned n)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_concat_create("cc", children, n, &b, err, sizeof(err)), 0);
	return b;
}

static void bad_children_are_einval(void **state)
{
	struct ob_blk *c[33], *b, *four;
	unsigned i;

	(void)state;
	for (i = 0; i < 33; i++)
		c[i] = ram("r", MIB);
	assert_int_equal(ob_blk_stripe_create("s", c, 1, 0, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_stripe_create("s", c, 33, 0, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_concat_create("s", c, 33, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_stripe_create("s", c, 2, 2048, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_stripe_create("s", c, 2, 12288, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_stripe_create("s", c, 2, 2 * MIB, &b, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "smaller than a chunk"));
	assert_int_equal(ob_blk_stripe_create("a b", c, 2, 0, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_concat_create("", c, 2, &b, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_blk_ram_create("f", MIB, 4096, &four, err, sizeof(err)), 0);
	b = c[1];
	c[1] = four;
	assert_int_equal(ob_blk_concat_create("s", c, 2, &b, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "block size"));
	c[1] = c[0];
	assert_int_equal(ob_blk_concat_create("s", c, 2, &b, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "twice"));
	ob_blk_put(four);
	put_all(c + 2, 31);
	ob_blk_put(c[0]);
	ob_blk_put(b);
}

/* Chunk k of the stripe is chunk k / n of device k mod n. */
static void stripe_puts_chunks_in_turn(void **state)
{
	struct ob_blk *c[3] = {ram("a", MIB), ram("b", MIB + 4096), ram("c", 2 * MIB)}, *s;
	struct ob_blk_ch *ch, *one;
	struct ob_blk_info info;
	uint8_t *buf = malloc(64 * KIB), back[4096];
	unsigned i;

	(void)state;
	s = stripe(c, 3, 4096);
	ob_blk_info(s, &info);
	assert_int_equal(info.bytes, 3 * MIB);
	assert_int_equal(info.opt_io_bytes, 4096);
	assert_int_equal(ob_blk_ch_open(s, &ch), 0);
	for (i = 0; i < 16; i++)
		memset(buf + i * 4096, (int)i + 1, 4096);
	/* From the middle of a chunk to the middle of another. */
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 5 * 4096 + 512, buf + 512, 11 * 4096), 0);
	for (i = 5; i <= 16; i++) {
		assert_int_equal(ob_blk_ch_open(c[i % 3], &one), 0);
		assert_int_equal(test_rw(one, OB_BLK_READ, 0, i / 3 * 4096, back, 4096), 0);
		assert_int_equal(back[0], i == 5 ? 0 : i - 5 + 1);
		assert_int_equal(back[4095], i == 16 ? 0 : i - 5 + 1);
		ob_blk_ch_close(one);
	}
	ob_blk_ch_close(ch);
	ob_blk_put(s);
	put_all(c, 3);
	free(buf);
}

static void random_io(struct ob_blk *b, uint64_t seed, unsigned steps)
{
	struct rig *r = malloc(sizeof(*r));
	struct ob_blk_info info;

	assert_non_null(r);
	ob_blk_info(b, &info);
	rig_init(r, info.bytes, seed);
	r->odd_iov = true;
	rig_open(r, b, 2);
	while (steps-- > 0)
		rig_step(r);
	rig_drain(r);
	rig_verify(r, false);
	assert_int_equal(r->n_errors, 0);
	rig_fini(r);
	free(r);
}

static void random_io_matches_the_model(void **state)
{
	static const unsigned ns[] = {2, 3, 7, 32};
	struct ob_blk *c[32], *b;
	unsigned i, k;

	(void)state;
	for (k = 0; k < 8; k++) {
		unsigned n = ns[k % 4];

		for (i = 0; i < n; i++)
			c[i] = ram("r", MIB / n / 512 * 512 + i % 3 * 4096);
		b = k < 4 ? stripe(c, n, 4096u << k) : concat(c, n);
		random_io(b, k + 1, 1000);
		ob_blk_put(b);
		put_all(c, n);
	}
}

/* With devices that complete late and out of order. */
static void random_io_on_slow_devices_matches_the_model(void **state)
{
	struct ob_blk *c[3] = {cut_create(MIB, 1), cut_create(MIB, 2), cut_create(MIB, 3)}, *b;

	(void)state;
	b = stripe(c, 3, 8192);
	random_io(b, 7, 400);
	ob_blk_put(b);
	put_all(c, 3);
	c[0] = cut_create(MIB, 4);
	c[1] = cut_create(MIB, 5);
	b = concat(c, 2);
	random_io(b, 8, 400);
	ob_blk_put(b);
	put_all(c, 2);
}

/* 300 I/Os of up to 512 vectors each: more than the pools have. */
static void io_waits_when_the_pools_are_empty(void **state)
{
	struct ob_blk *c[2] = {cut_create(4 * MIB, 1), cut_create(4 * MIB, 2)}, *b;
	struct test_io *t = calloc(300, sizeof(*t));
	static uint8_t buf[256 * KIB], back[256 * KIB];
	struct iovec *iov = calloc(512, sizeof(*iov));
	struct ob_blk_ch *ch;
	unsigned i, n_done;

	(void)state;
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + i / 512);
	for (i = 0; i < 512; i++)
		iov[i] = (struct iovec){buf + i * 512, 512};
	b = stripe(c, 2, 4096);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	for (i = 0; i < 300; i++) {
		test_io_init(&t[i], OB_BLK_WRITE, 2048, buf, sizeof(buf));
		t[i].io.iov = iov;
		t[i].io.n_iov = 512;
		test_submit(ch, &t[i]);
	}
	do {
		ob_blk_poll(ch);
		for (i = 0, n_done = 0; i < 300; i++)
			n_done += t[i].n_done;
	} while (n_done < 300);
	for (i = 0; i < 300; i++) {
		assert_int_equal(t[i].n_done, 1);
		assert_int_equal(t[i].io.result, 0);
	}
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, 2048, back, sizeof(back)), 0);
	assert_memory_equal(buf, back, sizeof(buf));
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	put_all(c, 2);
	free(t);
	free(iov);
}

static void error_of_a_part_fails_the_whole(void **state)
{
	struct ob_blk *c[2] = {cut_create(MIB, 1), cut_create(MIB, 2)}, *b;
	static uint8_t buf[64 * KIB];
	struct ob_blk_ch *ch;

	(void)state;
	b = stripe(c, 2, 4096);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	cut_fail(c[1], OB_BLK_WRITE, 1, -ENOSPC);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, sizeof(buf)), -ENOSPC);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, 0, buf, 4096), 0);
	cut_fail(c[1], OB_BLK_FLUSH, 1, -EIO);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), -EIO);
	cut_fail(c[1], OB_BLK_READ, 0, 0);
	assert_int_equal(test_rw(ch, OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	put_all(c, 2);
}

static void cancel_ends_what_waits(void **state)
{
	struct ob_blk *c[2], *b;
	static uint8_t buf[64 * KIB];
	struct test_io t[200];
	struct ob_blk_ch *ch;
	unsigned i, n = 0;
	int a, z;

	(void)state;
	assert_int_equal(slow_create(MIB, &c[0]), 0);
	assert_int_equal(slow_create(MIB, &c[1]), 0);
	b = stripe(c, 2, 4096);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	for (i = 0; i < 200; i++) {
		test_io_init(&t[i], OB_BLK_WRITE, 0, buf, sizeof(buf));
		t[i].io.owner = i % 2 == 0 ? &a : &z;
		test_submit(ch, &t[i]);
	}
	ob_blk_cancel(ch, &a);
	for (i = 0; i < 200; i++) {
		assert_int_equal(t[i].n_done, i % 2 == 0);
		if (i % 2 == 0)
			assert_int_equal(t[i].io.result, -ECANCELED);
	}
	while (ob_blk_pending(ch) > 0 && n++ < 1000) {
		slow_let_go(ch->child[0], 3);
		slow_let_go(ch->child[1], 3);
	}
	for (i = 1; i < 200; i += 2)
		assert_int_equal(t[i].io.result, 0);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	put_all(c, 2);
}

static void device_follows_when_a_child_grows(void **state)
{
	struct ob_blk *c[2], *b;
	struct ob_blk_info info;

	(void)state;
	assert_int_equal(slow_create(MIB, &c[0]), 0);
	assert_int_equal(slow_create(MIB, &c[1]), 0);
	b = concat(c, 2);
	assert_int_equal(ob_blk_resize(c[1], 3 * MIB), 0);
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 4 * MIB);
	assert_int_equal(ob_blk_resize(b, 5 * MIB), 0);
	ob_blk_info(c[1], &info);
	assert_int_equal(info.bytes, 4 * MIB);
	/* What lies behind the first must not move. */
	assert_int_equal(ob_blk_resize(c[0], 2 * MIB), 0);
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 5 * MIB);
	assert_int_equal(ob_blk_resize(b, MIB), -EINVAL);
	ob_blk_put(b);
	b = stripe(c, 2, 0);
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 4 * MIB);
	assert_int_equal(ob_blk_resize(c[0], 4 * MIB), 0);
	ob_blk_info(b, &info);
	assert_int_equal(info.bytes, 8 * MIB);
	assert_int_equal(ob_blk_resize(b, MIB), -EOPNOTSUPP);
	ob_blk_put(b);
	put_all(c, 2);
}

/* One range of a stripe is one range of each device, also for terabytes. */
static void long_ranges_are_one_part_each(void **state)
{
	struct ob_blk *c[4], *b;
	struct ob_blk_stats st;
	struct ob_blk_ch *ch;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(
		    ob_blk_null_create("n", 1ull << 40, 512, &c[i], err, sizeof(err)), 0);
	b = stripe(c, 4, 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	if (b->info.discard_bytes != 0) {
		assert_int_equal(test_rw(ch, OB_BLK_DISCARD, 0, 512, NULL, (4ull << 40) - 512), 0);
		for (i = 0; i < 4; i++) {
			ob_blk_stats(c[i], &st);
			assert_int_equal(st.n_ios[OB_BLK_DISCARD], 1);
			assert_int_equal(
			    st.n_bytes[OB_BLK_DISCARD], (1ull << 40) - (i == 0 ? 512 : 0));
		}
	}
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	put_all(c, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bad_children_are_einval),
	    cmocka_unit_test(stripe_puts_chunks_in_turn),
	    cmocka_unit_test(random_io_matches_the_model),
	    cmocka_unit_test(random_io_on_slow_devices_matches_the_model),
	    cmocka_unit_test(io_waits_when_the_pools_are_empty),
	    cmocka_unit_test(error_of_a_part_fails_the_whole),
	    cmocka_unit_test(cancel_ends_what_waits),
	    cmocka_unit_test(device_follows_when_a_child_grows),
	    cmocka_unit_test(long_ranges_are_one_part_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
