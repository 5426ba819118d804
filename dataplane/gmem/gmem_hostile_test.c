/* SPDX-License-Identifier: BSD-3-Clause */
/* The two tests of a hostile guest for the copies of this folder; also the test of the double itself. */
#include "ob_gmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_gmem.h"

#define LEN 16384

static _Alignas(4096) uint8_t mem[LEN];

static struct ob_gmem *up(void)
{
	struct ob_gmem_conf conf = {.name = "hostile"};
	struct ob_gmem *gm;

	for (unsigned i = 0; i < LEN; i++)
		mem[i] = (uint8_t)(i ^ (i >> 7));
	assert_int_equal(ob_gmem_create(&conf, &gm), 0);
	/* The two halves change places, so that a copy across them is in two pieces. */
	assert_int_equal(ob_gmem_add_hva(gm, (ob_iova_t){0}, LEN / 2, OB_GMEM_READ | OB_GMEM_WRITE,
			     mem + LEN / 2),
	    0);
	assert_int_equal(
	    ob_gmem_add_hva(gm, (ob_iova_t){LEN / 2}, LEN / 2, OB_GMEM_READ | OB_GMEM_WRITE, mem),
	    0);
	fake_gmem_watch(mem, LEN);
	return gm;
}

static void each_byte_is_fetched_once(void **state)
{
	struct ob_gmem *gm = up();
	uint8_t buf[2000];

	(void)state;
	for (size_t len = 1; len < sizeof(buf); len += 1 + len / 8) {
		for (uint64_t from = LEN / 2 - len; from <= LEN / 2; from += len) {
			fake_gmem_recount();
			assert_int_equal(
			    ob_gmem_fetch(ob_gmem_map_get(gm), buf, (ob_iova_t){from}, len), 0);
			assert_int_equal(fake_gmem_most_fetched(0, LEN), 1);
			assert_int_equal(fake_gmem_bytes_fetched(), len);
		}
		fake_gmem_recount();
		assert_int_equal(
		    ob_gmem_fetch(ob_gmem_map_get(gm), buf, (ob_iova_t){LEN / 2 - len / 2}, len),
		    0);
		assert_int_equal(fake_gmem_most_fetched(0, LEN), 1);
		assert_int_equal(fake_gmem_bytes_fetched(), len);
		assert_int_equal(
		    ob_gmem_store(ob_gmem_map_get(gm), (ob_iova_t){LEN / 2 - len / 2}, buf, len),
		    0);
		assert_int_equal(fake_gmem_bytes_stored(), len);
	}
	fake_gmem_recount();
	assert_int_equal(ob_gmem_fill(ob_gmem_map_get(gm), (ob_iova_t){0}, 1, LEN), 0);
	assert_int_equal(fake_gmem_bytes_stored(), LEN);
	assert_int_equal(fake_gmem_bytes_fetched(), 0);
	assert_int_equal(fake_gmem_fetched(5), 0);
	fake_gmem_watch(NULL, 0);
	ob_gmem_destroy(gm);
}

static void scribbling_after_the_fetch_changes_nothing(void **state)
{
	struct ob_gmem *gm = up();
	uint8_t buf[600], before[LEN];

	(void)state;
	memcpy(before, mem, LEN);
	fake_gmem_scribble(true);
	assert_int_equal(
	    ob_gmem_fetch(ob_gmem_map_get(gm), buf, (ob_iova_t){LEN / 2 - 100}, sizeof(buf)), 0);
	assert_memory_equal(buf, before + LEN - 100, 100);
	assert_memory_equal(buf + 100, before, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_int_not_equal(mem[i], before[i]);
	/* What the device stores stays when the guest takes its scribbles back. */
	assert_int_equal(ob_gmem_fill(ob_gmem_map_get(gm), (ob_iova_t){LEN / 2}, 0xee, 10), 0);
	fake_gmem_restore();
	assert_int_equal(mem[9], 0xee);
	assert_memory_equal(mem + 10, before + 10, LEN - 10);
	fake_gmem_watch(NULL, 0);
	ob_gmem_destroy(gm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_byte_is_fetched_once),
	    cmocka_unit_test(scribbling_after_the_fetch_changes_nothing),
	};

	return cmocka_run_group_tests_name("gmem_hostile", tests, NULL, NULL);
}
