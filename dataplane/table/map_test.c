/* SPDX-License-Identifier: BSD-3-Clause */
#include "table_test.h"

#include <errno.h>

static struct ob_key key_of(uint64_t n)
{
	return (struct ob_key){{n * 0x9e3779b97f4a7c15ull, n >> 3, n}};
}

static int reclaim(void **state)
{
	(void)state;
	ob_rcu_reclaim();
	return 0;
}

static void create_refuses_nonsense(void **state)
{
	struct ob_map *m;

	(void)state;
	assert_int_equal(ob_map_create(0, &m), -EINVAL);
	assert_int_equal(ob_map_create((1u << 30) + 1, &m), -EINVAL);
	ob_map_destroy(NULL);
}

static void grows_and_finds_every_key(void **state)
{
	struct ob_key keys[OB_BURST_MAX];
	uint32_t values[OB_BURST_MAX];
	const uint32_t n = 20000;
	struct ob_map *m;
	struct ob_key k;

	(void)state;
	assert_int_equal(ob_map_create(n, &m), 0);
	for (uint32_t i = 0; i < n; i++) {
		k = key_of(i);
		assert_int_equal(ob_map_set(m, &k, i), 0);
	}
	assert_int_equal(ob_map_count(m), n);
	k = key_of(n);
	assert_int_equal(ob_map_set(m, &k, 1), -ENOSPC);
	for (uint32_t i = 0; i < n; i += OB_BURST_MAX) {
		for (uint32_t j = 0; j < OB_BURST_MAX; j++)
			keys[j] = key_of(i + j);
		ob_map_get_burst(m, keys, values, OB_BURST_MAX);
		for (uint32_t j = 0; j < OB_BURST_MAX; j++)
			assert_int_equal(values[j], i + j < n ? i + j : OB_TABLE_MISS);
	}
	ob_map_destroy(m);
}

static void keys_that_differ_in_one_word_are_different(void **state)
{
	struct ob_map *m;
	struct ob_key k = {{1, 2, 3}};

	(void)state;
	assert_int_equal(ob_map_create(16, &m), 0);
	assert_int_equal(ob_map_set(m, &k, 7), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct ob_key o = k;

		o.w[i] ^= 1ull << 63;
		assert_int_equal(ob_map_get(m, &o), OB_TABLE_MISS);
		assert_int_equal(ob_map_del(m, &o), -ENOENT);
	}
	assert_int_equal(ob_map_set(m, &k, 8), 0);
	assert_int_equal(ob_map_get(m, &k), 8);
	assert_int_equal(ob_map_count(m), 1);
	ob_map_destroy(m);
}

static void random_changes_agree_with_an_array(void **state)
{
	enum { N = 512 };
	uint32_t oracle[N];
	uint64_t rng = 88172645463325252ull;
	struct ob_map *m;

	(void)state;
	memset(oracle, 0xff, sizeof(oracle));
	assert_int_equal(ob_map_create(N, &m), 0);
	for (unsigned step = 0; step < 200000; step++) {
		uint64_t r = test_rand(&rng);
		uint32_t n = (uint32_t)(r % N);
		struct ob_key k = key_of(n);

		switch ((r >> 32) % 3) {
		case 0:
			assert_int_equal(ob_map_set(m, &k, (uint32_t)step), 0);
			oracle[n] = step;
			break;
		case 1:
			assert_int_equal(
			    ob_map_del(m, &k), oracle[n] == OB_TABLE_MISS ? -ENOENT : 0);
			oracle[n] = OB_TABLE_MISS;
			break;
		default:
			assert_int_equal(ob_map_get(m, &k), oracle[n]);
			break;
		}
		ob_rcu_reclaim();
	}
	ob_map_destroy(m);
}

static void entries_wait_for_readers_before_reuse(void **state)
{
	struct ob_map *m;
	struct ob_key a = key_of(1), b = key_of(2);

	(void)state;
	assert_int_equal(ob_map_create(1, &m), 0);
	assert_int_equal(ob_map_set(m, &a, 1), 0);
	assert_int_equal(ob_map_del(m, &a), 0);
	assert_int_equal(ob_map_set(m, &b, 2), -ENOSPC);
	ob_rcu_reclaim();
	assert_int_equal(ob_map_set(m, &b, 2), 0);
	assert_int_equal(ob_map_get(m, &a), OB_TABLE_MISS);
	assert_int_equal(ob_map_get(m, &b), 2);
	assert_int_equal(ob_map_del(m, &b), 0);
	ob_map_destroy(m); /* with an entry in limbo */
}

int map_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(create_refuses_nonsense, reclaim),
	    cmocka_unit_test_teardown(grows_and_finds_every_key, reclaim),
	    cmocka_unit_test_teardown(keys_that_differ_in_one_word_are_different, reclaim),
	    cmocka_unit_test_teardown(random_changes_agree_with_an_array, reclaim),
	    cmocka_unit_test_teardown(entries_wait_for_readers_before_reuse, reclaim),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
