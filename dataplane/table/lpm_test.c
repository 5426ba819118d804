/* SPDX-License-Identifier: BSD-3-Clause */
#include "table_test.h"

#include <errno.h>

struct route {
	struct ob_lpm_key key;
	unsigned len;
	uint32_t value;
};

static struct ob_lpm_key cut(struct ob_lpm_key k, unsigned len)
{
	for (unsigned i = len; i < 128; i++) {
		if (i < 64)
			k.hi &= ~(1ull << (63 - i));
		else
			k.lo &= ~(1ull << (127 - i));
	}
	return k;
}

static uint32_t oracle_get(const struct route *r, unsigned n, struct ob_lpm_key k)
{
	uint32_t best = OB_TABLE_MISS;
	int best_len = -1;

	for (unsigned i = 0; i < n; i++) {
		struct ob_lpm_key c = cut(k, r[i].len);

		if (c.hi == r[i].key.hi && c.lo == r[i].key.lo && (int)r[i].len > best_len) {
			best = r[i].value;
			best_len = (int)r[i].len;
		}
	}
	return best;
}

static int reclaim(void **state)
{
	(void)state;
	ob_rcu_reclaim();
	return 0;
}

static void refuses_host_bits_and_lengths(void **state)
{
	struct ob_lpm *l;

	(void)state;
	assert_int_equal(ob_lpm_create(&l), 0);
	assert_int_equal(ob_lpm_set(l, (struct ob_lpm_key){0, 0}, 129, 1), -EINVAL);
	assert_int_equal(ob_lpm_set(l, (struct ob_lpm_key){0, 1}, 127, 1), -EINVAL);
	assert_int_equal(ob_lpm_set(l, (struct ob_lpm_key){1, 0}, 63, 1), -EINVAL);
	assert_int_equal(ob_lpm_set(l, (struct ob_lpm_key){0, 0}, 0, OB_TABLE_MISS), -EINVAL);
	assert_int_equal(ob_lpm_del(l, (struct ob_lpm_key){0, 0}, 0), -ENOENT);
	assert_int_equal(ob_lpm_del(l, (struct ob_lpm_key){0, 0}, 129), -ENOENT);
	assert_int_equal(ob_lpm_get(l, (struct ob_lpm_key){5, 5}), OB_TABLE_MISS);
	ob_lpm_destroy(l);
	ob_lpm_destroy(NULL);
}

static void default_and_host_routes(void **state)
{
	struct ob_lpm_key host = {0x20010db800000001ull, 0x1234};
	struct ob_lpm_key zero = {0, 0};
	struct ob_lpm *l;

	(void)state;
	assert_int_equal(ob_lpm_create(&l), 0);
	assert_int_equal(ob_lpm_set(l, zero, 0, 1), 0);
	assert_int_equal(ob_lpm_set(l, host, 128, 2), 0);
	assert_int_equal(ob_lpm_get(l, host), 2);
	assert_int_equal(ob_lpm_get(l, (struct ob_lpm_key){host.hi, 0x1235}), 1);
	assert_int_equal(ob_lpm_get(l, (struct ob_lpm_key){~0ull, ~0ull}), 1);
	assert_int_equal(ob_lpm_set(l, host, 128, 3), 0);
	assert_int_equal(ob_lpm_get(l, host), 3);
	assert_int_equal(ob_lpm_del(l, host, 128), 0);
	assert_int_equal(ob_lpm_del(l, host, 128), -ENOENT);
	assert_int_equal(ob_lpm_get(l, host), 1);
	assert_int_equal(ob_lpm_del(l, zero, 0), 0);
	assert_int_equal(ob_lpm_get(l, host), OB_TABLE_MISS);
	ob_lpm_destroy(l);
}

/* Prefixes that lie close together, so that they nest, share bytes and leave each other's branches. */
static struct route random_route(uint64_t *rng, unsigned max_len)
{
	struct route r;
	uint64_t a = test_rand(rng), b = test_rand(rng), c = test_rand(rng);

	r.len = (unsigned)(a % (max_len + 1));
	r.key.hi = 0x2001000000000000ull ^ (b & c & 0x0103070f010f1f3full);
	r.key.lo = max_len > 64 ? b & 0x8100c30000f100ffull : 0;
	if (c & 1)
		r.key.hi = b;
	r.key = cut(r.key, r.len);
	r.value = (uint32_t)(c >> 33);
	return r;
}

static void check_against_oracle(unsigned max_len, uint64_t seed)
{
	enum { N = 400 };
	static struct route routes[N];
	uint64_t rng = seed;
	unsigned n = 0;
	struct ob_lpm *l;

	assert_int_equal(ob_lpm_create(&l), 0);
	for (unsigned step = 0; step < 6000; step++) {
		struct route r = random_route(&rng, max_len);
		struct ob_lpm_key k;
		unsigned at;

		for (at = 0; at < n; at++)
			if (memcmp(&routes[at].key, &r.key, sizeof(r.key)) == 0 &&
			    routes[at].len == r.len)
				break;
		if ((test_rand(&rng) & 1) && n > 0) {
			at = (unsigned)(test_rand(&rng) % n);
			assert_int_equal(ob_lpm_del(l, routes[at].key, routes[at].len), 0);
			routes[at] = routes[--n];
		} else if (n < N) {
			assert_int_equal(ob_lpm_set(l, r.key, r.len, r.value), 0);
			routes[at] = r;
			if (at == n)
				n++;
		}
		for (unsigned i = 0; i < 4; i++) {
			k = random_route(&rng, max_len).key;
			k.lo ^= max_len > 64 ? test_rand(&rng) & 3 : 0;
			assert_int_equal(ob_lpm_get(l, k), oracle_get(routes, n, k));
			if (n > 0) {
				k = routes[test_rand(&rng) % n].key;
				assert_int_equal(ob_lpm_get(l, k), oracle_get(routes, n, k));
			}
		}
		ob_rcu_reclaim();
	}
	while (n > 0) {
		n--;
		assert_int_equal(ob_lpm_del(l, routes[n].key, routes[n].len), 0);
	}
	assert_int_equal(ob_lpm_get(l, (struct ob_lpm_key){1, 1}), OB_TABLE_MISS);
	ob_lpm_destroy(l);
}

static void ipv4_agrees_with_linear_search(void **state)
{
	(void)state;
	check_against_oracle(32, 0x1234567);
}

static void ipv6_agrees_with_linear_search(void **state)
{
	(void)state;
	check_against_oracle(128, 0xabcdef12345ull);
}

static void ten_thousand_routes_one_by_one(void **state)
{
	uint64_t rng = 4711;
	struct ob_lpm *l;

	(void)state;
	assert_int_equal(ob_lpm_create(&l), 0);
	for (uint32_t i = 0; i < 10000; i++) {
		struct ob_lpm_key k = cut((struct ob_lpm_key){test_rand(&rng), 0}, 24);

		assert_int_equal(ob_lpm_set(l, k, 24, i), 0);
		assert_int_equal(ob_lpm_get(l, (struct ob_lpm_key){k.hi | 1ull << 33, 0}), i);
		ob_rcu_reclaim();
	}
	ob_lpm_destroy(l);
}

int lpm_tests(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(refuses_host_bits_and_lengths, reclaim),
	    cmocka_unit_test_teardown(default_and_host_routes, reclaim),
	    cmocka_unit_test_teardown(ipv4_agrees_with_linear_search, reclaim),
	    cmocka_unit_test_teardown(ipv6_agrees_with_linear_search, reclaim),
	    cmocka_unit_test_teardown(ten_thousand_routes_one_by_one, reclaim),
	};

	return cmocka_run_group_tests_name("lpm", tests, NULL, NULL);
}
