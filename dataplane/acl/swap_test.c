/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker asks while control replaces groups and tags: each answer is that of the old group or of the new one, never of anything
 * between them or of memory that was given back. */
#include "ob_test_eal.h"
#include "ob_worker.h"
#include "test_acl_eni.h"

#define N_SWAPS	  300
#define N_ASKED	  100000 /* at least, while groups are swapped */
#define MAX_SWAPS 100000

static uint64_t n_asked, n_wrong;

static unsigned poll(struct ob_worker *w, void *arg)
{
	(void)w;
	(void)arg;
	for (unsigned i = 0; i < 64; i++) {
		n_wrong += ask("1.1.1.1", "10.0.0.1", 6, 80, NULL) != OB_ACL_PERMIT;
		n_wrong += ask("1.1.1.1", "11.0.0.1", 6, 80, NULL) != OB_ACL_DENY;
	}
	__atomic_store_n(&n_asked, n_asked + 128, __ATOMIC_RELAXED);
	return 128;
}

static uint64_t asked(void)
{
	return __atomic_load_n(&n_asked, __ATOMIC_RELAXED);
}

/* Permits 10.0.0.0/8 and nothing else, each time in another way. */
static void set_way(unsigned way)
{
	const struct simple_rule whole[] = {{"10.0.0.0/8", OB_ACL_PERMIT, 1}};
	const struct simple_rule halves[] = {
	    {"10.0.0.0/9", OB_ACL_PERMIT, 1},
	    {"10.128.0.0/9", OB_ACL_PERMIT, 1},
	    {NULL, OB_ACL_DENY, 1},
	};
	struct ob_acl_prefix p[3] = {
	    prefix("10.0.0.0/8"), prefix("10.0.0.0/9"), prefix("10.128.0.0/9")};
	struct ob_acl_tag_cfg tag = {AF_INET, way & 4 ? 1 : 2, way & 4 ? &p[0] : &p[1]};
	const uint16_t id = 1;
	struct ob_acl_rule r = {
	    .action = OB_ACL_PERMIT, .terminate = 1, .dst_tags = &id, .n_dst_tags = 1};
	struct ob_acl_group_cfg g = {AF_INET, 1, &r};

	assert_int_equal(ob_acl_tag_set(1, &tag, err, sizeof(err)), 0);
	if (way % 3 == 0)
		assert_int_equal(set_simple(1, AF_INET, whole, 1), 0);
	else if (way % 3 == 1)
		assert_int_equal(set_simple(1, AF_INET, halves, 3), 0);
	else
		assert_int_equal(ob_acl_group_set(1, &g, err, sizeof(err)), 0);
}

static void groups_are_swapped_under_a_working_worker(void **state)
{
	const struct ob_source source = {.name = "acl", .poll = poll, .wake_fd = -1};
	struct ob_workers_conf conf = {
	    .arena = arena, .n_workers = 1, .poll_always = true, .n_mbufs = 512};

	(void)state;
	set_way(0);
	assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 2, 1, NULL, 0), 0);
	assert_int_equal(ob_workers_start(&conf), 0);
	assert_int_equal(ob_worker_add_source(ob_worker_get(0), &source), 0);
	for (unsigned i = 1; i < N_SWAPS || (asked() < N_ASKED && i < MAX_SWAPS); i++) {
		set_way(i);
		/* A second stage and out again: the word of bindings changes whole. */
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 1 + i % 4, 1, NULL, 0), 0);
		if (i % 4 != 1)
			assert_int_equal(ob_acl_unbind(ENI, OB_ACL_OUT, 1 + i % 4, AF_INET), 0);
		assert_int_equal(ob_acl_bind(ENI, OB_ACL_OUT, 2, 1, NULL, 0), 0);
		ob_rcu_reclaim();
	}
	assert_int_equal(ob_worker_del_source(ob_worker_get(0), &source), 0);
	ob_workers_stop();
	assert_true(n_asked >= N_ASKED);
	assert_int_equal(n_wrong, 0);
}

static int with_eal(void **state)
{
	ob_test_eal();
	return setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		groups_are_swapped_under_a_working_worker, with_eal, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
