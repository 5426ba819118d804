/* SPDX-License-Identifier: BSD-3-Clause */
/* Random I/O against a model, over ram, over file, over the core's own zeroes, and over stacks. */
#include "test_file.h"
#include "test_random.h"

static void ram_reads_what_was_written(void **state)
{
	char err[128];
	struct ob_blk *b;

	(void)state;
	/* Two extents: I/Os across their joint. */
	assert_int_equal(
	    ob_blk_ram_create("ram", TEST_RANDOM_BYTES / 2, 512, &b, err, sizeof(err)), 0);
	assert_int_equal(ob_blk_resize(b, TEST_RANDOM_BYTES), 0);
	test_random(b, 1, 20000);
	/* The same with zeroes written by the core. */
	b->info.write_zeroes = false;
	test_random(b, 1, 20000);
	ob_blk_put(b);
}

/* Valgrind does not see what a ring writes into a buffer, and calls it uninitialised. */
static void need_ring_seen(void)
{
	if (getenv("OB_VALGRIND") != NULL)
		skip();
}

static void file_reads_what_was_written(void **state)
{
	struct test_file t;
	struct ob_blk *b;

	(void)state;
	need_ring_seen();
	test_file_init(&t);
	b = test_file_open(&t, TEST_RANDOM_BYTES);
	test_random(b, 1, 2000);
	ob_blk_put(b);
	test_file_remove(&t);
}

static void buffered_file_reads_what_was_written(void **state)
{
	struct test_file t;
	struct ob_blk *b;

	(void)state;
	need_ring_seen();
	test_file_init(&t);
	t.direct = false;
	b = test_file_open(&t, TEST_RANDOM_BYTES);
	test_random(b, 1, 2000);
	b->info.write_zeroes = false;
	test_random(b, 1, 2000);
	ob_blk_put(b);
	test_file_remove(&t);
}

/* ---- stacks ---- */

static struct ob_blk *crypt_over(struct ob_blk *below)
{
	uint8_t key[64];
	struct ob_blk_crypt_conf conf = {
	    .key = key, .key_len = sizeof(key), .sector_bytes = 512, .pass_discard = true};
	char err[128] = "";
	struct ob_blk *b;

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(ob_blk_crypt_create("crypt", below, &conf, &b, err, sizeof(err)), 0);
	ob_blk_put(below);
	return b;
}

static struct ob_blk *qos_over(struct ob_blk *below, uint64_t iops)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = iops};
	char err[128] = "";
	struct ob_blk *b;

	assert_int_equal(ob_blk_qos_create("qos", below, &conf, &b, err, sizeof(err)), 0);
	ob_blk_put(below);
	return b;
}

static void limited_and_encrypted_file_reads_what_was_written(void **state)
{
	struct test_file t;
	struct ob_blk *b;

	(void)state;
	test_file_init(&t);
	b = qos_over(crypt_over(test_file_open(&t, TEST_RANDOM_BYTES)), 20000);
	test_random(b, 3, 2000);
	ob_blk_put(b);
	test_file_remove(&t);
}

static void limited_and_encrypted_ram_reads_what_was_written(void **state)
{
	char err[128];
	struct ob_blk *b;

	(void)state;
	assert_int_equal(ob_blk_ram_create("ram", TEST_RANDOM_BYTES, 512, &b, err, sizeof(err)), 0);
	b = crypt_over(qos_over(b, 100000));
	test_random(b, 4, 10000);
	ob_blk_put(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ram_reads_what_was_written),
	    cmocka_unit_test(file_reads_what_was_written),
	    cmocka_unit_test(buffered_file_reads_what_was_written),
	    cmocka_unit_test(limited_and_encrypted_file_reads_what_was_written),
	    cmocka_unit_test(limited_and_encrypted_ram_reads_what_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
