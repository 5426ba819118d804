/* SPDX-License-Identifier: BSD-3-Clause */
#include "table_test.h"

#include <errno.h>

#include "ob_test_eal.h"

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

/* A worker looks keys up all the time while control adds and deletes others around them, so that the index grows and shrinks. */
struct reader {
	struct ob_map *map;
	struct ob_lpm *lpm;
	uint64_t n_looked, n_wrong;
};

enum { STABLE = 64 };

static unsigned look(struct ob_worker *w, void *arg)
{
	struct ob_key keys[STABLE];
	uint32_t values[STABLE];
	struct reader *r = arg;

	(void)w;
	for (unsigned i = 0; i < STABLE; i++)
		keys[i] = key_of(i);
	ob_map_get_burst(r->map, keys, values, STABLE);
	for (unsigned i = 0; i < STABLE; i++) {
		struct ob_lpm_key k = {(uint64_t)i << 56 | 0x123456789aull, 7};

		r->n_wrong += values[i] != i;
		r->n_wrong += ob_lpm_get(r->lpm, k) != i;
	}
	__atomic_store_n(&r->n_looked, r->n_looked + 1, __ATOMIC_RELAXED);
	return 1;
}

static void readers_never_miss_while_control_changes(void **state)
{
	struct ob_workers_conf conf = {.n_workers = 1, .n_mbufs = 64};
	struct reader r = {0};
	struct ob_source src = {.name = "reader", .poll = look, .wake_fd = -1, .arg = &r};
	uint64_t rng = 99;

	(void)state;
	ob_test_eal();
	assert_int_equal(ob_arena_create("table-test", 64ull << 20, &conf.arena), 0);
	assert_int_equal(ob_map_create(1 << 16, &r.map), 0);
	assert_int_equal(ob_lpm_create(&r.lpm), 0);
	for (uint32_t i = 0; i < STABLE; i++) {
		struct ob_key k = key_of(i);

		assert_int_equal(ob_map_set(r.map, &k, i), 0);
		assert_int_equal(
		    ob_lpm_set(r.lpm, (struct ob_lpm_key){(uint64_t)i << 56, 0}, 8, i), 0);
	}
	assert_int_equal(ob_workers_start(&conf), 0);
	assert_int_equal(ob_worker_add_source(ob_worker_get(0), &src), 0);
	for (unsigned step = 0; step < 8000 || __atomic_load_n(&r.n_looked, __ATOMIC_RELAXED) < 100;
	     step++) {
		uint64_t v = test_rand(&rng);
		struct ob_key k = key_of(STABLE + v % 3000);
		/* More specific than the stable prefixes, and beside what is looked up. */
		struct ob_lpm_key p = {(v & 0x3fff000000000000ull) | 0xff0000000000ull, 0};

		if (step & 1) {
			ob_map_set(r.map, &k, step);
			ob_lpm_set(r.lpm, p, 24, step);
		} else {
			ob_map_del(r.map, &k);
			ob_lpm_del(r.lpm, p, 24);
		}
		ob_rcu_reclaim();
	}
	assert_int_equal(ob_worker_del_source(ob_worker_get(0), &src), 0);
	ob_workers_stop();
	assert_int_equal(r.n_wrong, 0);
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	ob_map_destroy(r.map);
	ob_lpm_destroy(r.lpm);
	ob_arena_destroy(conf.arena);
}

int map_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(create_refuses_nonsense, reclaim),
	    cmocka_unit_test_teardown(grows_and_finds_every_key, reclaim),
	    cmocka_unit_test_teardown(keys_that_differ_in_one_word_are_different, reclaim),
	    cmocka_unit_test_teardown(random_changes_agree_with_an_array, reclaim),
	    cmocka_unit_test_teardown(entries_wait_for_readers_before_reuse, reclaim),
	    cmocka_unit_test_teardown(readers_never_miss_while_control_changes, reclaim),
	};

	return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
