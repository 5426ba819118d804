/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "ob_test_eal.h"
#include "ob_worker.h"

static struct ob_arena *arena;

static void start(unsigned n, bool manual, bool poll_always)
{
	struct ob_workers_conf conf = {.arena = arena,
	    .n_workers = n,
	    .manual = manual,
	    .poll_always = poll_always,
	    .n_mbufs = 512};

	assert_int_equal(ob_workers_start(&conf), 0);
}

static int group_setup(void **state)
{
	(void)state;
	ob_test_eal();
	return ob_arena_create("worker-test", 256ull << 20, &arena);
}

static int group_teardown(void **state)
{
	(void)state;
	ob_arena_destroy(arena);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	ob_workers_stop();
	return 0;
}

static void start_refuses_nonsense(void **state)
{
	struct ob_workers_conf conf = {.arena = arena};

	(void)state;
	assert_int_equal(ob_workers_start(&conf), -EINVAL);
	conf.n_workers = OB_MAX_WORKERS + 1;
	assert_int_equal(ob_workers_start(&conf), -EINVAL);
	assert_null(ob_worker_get(0));
}

static int tell_id(struct ob_worker *w, void *arg)
{
	*(pthread_t *)arg = pthread_self();
	return 40 + (int)ob_worker_id(w);
}

static void call_runs_on_the_worker_and_returns_its_result(void **state)
{
	pthread_t who;

	(void)state;
	start(2, false, false);
	for (int round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(
			    ob_worker_call(ob_worker_get(i), tell_id, &who), 40 + (int)i);
			assert_false(pthread_equal(who, pthread_self()));
		}
	}
}

static void add_one(struct ob_worker *w, void *arg)
{
	(void)w;
	__atomic_fetch_add((unsigned *)arg, 1, __ATOMIC_RELAXED);
}

static void posts_run_in_order_before_a_later_call(void **state)
{
	unsigned n = 0;
	pthread_t who;

	(void)state;
	start(1, false, false);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(ob_worker_post(ob_worker_get(0), add_one, &n), 0);
	ob_worker_call(ob_worker_get(0), tell_id, &who);
	assert_int_equal(n, 1000);
}

struct src {
	unsigned n_polls, n_arms, n_disarms, n_flushes;
	unsigned work; /* atomic: packets that the next poll finds */
	unsigned done; /* atomic */
};

static unsigned src_poll(struct ob_worker *w, void *arg)
{
	struct src *s = arg;
	unsigned n = __atomic_exchange_n(&s->work, 0, __ATOMIC_ACQ_REL);

	(void)w;
	s->n_polls++;
	__atomic_fetch_add(&s->done, n, __ATOMIC_RELAXED);
	return n;
}

static bool src_arm(struct ob_worker *w, void *arg)
{
	struct src *s = arg;

	(void)w;
	s->n_arms++;
	return __atomic_load_n(&s->work, __ATOMIC_ACQUIRE) != 0;
}

static void src_disarm(struct ob_worker *w, void *arg)
{
	(void)w;
	((struct src *)arg)->n_disarms++;
}

static void src_flush(struct ob_worker *w, void *arg)
{
	(void)w;
	((struct src *)arg)->n_flushes++;
}

static const struct ob_source source = {
    .name = "t", .poll = src_poll, .arm = src_arm, .disarm = src_disarm, .wake_fd = -1};

static void manual_round_polls_sources_then_flushes(void **state)
{
	struct src s = {.work = 5};
	struct ob_source src = source;
	struct ob_flush fl = {.flush = src_flush, .arg = &s};
	struct ob_worker *w;

	(void)state;
	start(1, true, false);
	w = ob_worker_get(0);
	src.arg = &s;
	assert_int_equal(ob_worker_add_source(w, &src), 0);
	assert_int_equal(ob_worker_add_flush(w, &fl), 0);
	assert_int_equal(ob_worker_round(w), 5);
	assert_int_equal(ob_worker_round(w), 0);
	assert_int_equal(s.n_polls, 2);
	assert_int_equal(s.n_flushes, 2);
	assert_int_equal(ob_worker_del_source(w, &src), 0);
	assert_int_equal(ob_worker_del_source(w, &src), -ENOENT);
	assert_int_equal(ob_worker_del_flush(w, &fl), 0);
	assert_int_equal(ob_worker_del_flush(w, &fl), -ENOENT);
	assert_int_equal(ob_worker_round(w), 0);
	assert_int_equal(s.n_polls, 2);
}

/* The sleep protocol: whatever moment the work arrives at, it is seen without waiting for the long sleep to end. */
static void sleeping_worker_is_never_left_asleep_with_work(void **state)
{
	struct src s = {0};
	struct ob_source src = source;
	struct ob_worker_counters c;

	(void)state;
	start(1, false, false);
	src.arg = &s;
	assert_int_equal(ob_worker_add_source(ob_worker_get(0), &src), 0);
	for (unsigned i = 1; i <= 400; i++) {
		unsigned spins = 0;

		if (i % 4 == 0)
			usleep(100); /* past the idle spin: it sleeps */
		__atomic_store_n(&s.work, 1, __ATOMIC_RELEASE);
		ob_worker_wake(ob_worker_get(0));
		while (__atomic_load_n(&s.done, __ATOMIC_RELAXED) < i && spins++ < 50000)
			usleep(20);
		assert_int_equal(s.done, i);
	}
	assert_int_equal(ob_worker_del_source(ob_worker_get(0), &src), 0);
	ob_worker_counters_read(0, &c);
	assert_true(c.n_sleeps > 0);
	assert_true(c.n_wakeups > 0);
	assert_int_equal(s.n_arms, s.n_disarms);
	assert_true(s.n_arms > 0);
}

/* Work once in a millisecond: 50 us of spinning before each sleep would be a thousand rounds for nothing. */
static void work_that_comes_late_is_not_spun_for(void **state)
{
	struct src s = {0};
	struct ob_source src = source;
	struct ob_worker_counters before, after;

	(void)state;
	start(1, false, false);
	src.arg = &s;
	assert_int_equal(ob_worker_add_source(ob_worker_get(0), &src), 0);
	usleep(2000);
	for (unsigned i = 1; i <= 20; i++) {
		unsigned spins = 0;

		if (i == 11)
			ob_worker_counters_read(0, &before);
		__atomic_store_n(&s.work, 1, __ATOMIC_RELEASE);
		ob_worker_wake(ob_worker_get(0));
		while (__atomic_load_n(&s.done, __ATOMIC_RELAXED) < i && spins++ < 50000)
			usleep(20);
		assert_int_equal(s.done, i);
		usleep(1000);
	}
	ob_worker_counters_read(0, &after);
	assert_int_equal(ob_worker_del_source(ob_worker_get(0), &src), 0);
	assert_true(after.n_rounds - before.n_rounds < 10 * 250);
}

static void source_fd_wakes_the_worker(void **state)
{
	struct src s = {0};
	struct ob_source src = source;
	uint64_t one = 1;

	(void)state;
	start(1, false, false);
	src.arg = &s;
	src.wake_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(ob_worker_add_source(ob_worker_get(0), &src), 0);
	usleep(2000);
	__atomic_store_n(&s.work, 1, __ATOMIC_RELEASE);
	assert_int_equal(write(src.wake_fd, &one, sizeof(one)), sizeof(one));
	for (unsigned i = 0; i < 2000 && __atomic_load_n(&s.done, __ATOMIC_RELAXED) == 0; i++)
		usleep(20);
	assert_int_equal(s.done, 1);
	assert_int_equal(ob_worker_del_source(ob_worker_get(0), &src), 0);
	close(src.wake_fd);
}

static unsigned n_freed;

static void count_free(void *p)
{
	(void)p;
	n_freed++;
}

static int defer_inside(struct ob_worker *w, void *arg)
{
	(void)w;
	/* This worker is inside a round: nothing deferred from now on may be freed before the round is over. */
	ob_rcu_defer(count_free, arg);
	ob_rcu_reclaim();
	return (int)n_freed;
}

static void deferred_free_waits_for_every_worker(void **state)
{
	int x;

	(void)state;
	n_freed = 0;
	start(2, false, true);
	assert_int_equal(ob_worker_call(ob_worker_get(0), defer_inside, &x), 0);
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	assert_int_equal(n_freed, 1);
	ob_rcu_defer(count_free, NULL); /* nothing to free */
	ob_rcu_reclaim();
	assert_int_equal(n_freed, 1);
}

static void sleeping_workers_do_not_delay_a_grace_period(void **state)
{
	int x;

	(void)state;
	n_freed = 0;
	start(2, false, false);
	usleep(3000);
	ob_rcu_defer(count_free, &x);
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	assert_int_equal(n_freed, 1);
}

static struct ob_burst got;

static void take(struct ob_worker *w, struct ob_burst *b, void *arg)
{
	(void)w;
	(void)arg;
	got = *b;
	rte_pktmbuf_free_bulk(b->pkt, b->n);
}

static void handoff_carries_metadata_and_counts_what_does_not_fit(void **state)
{
	struct rte_mbuf *m[OB_BURST_MAX];
	struct ob_meta meta[OB_BURST_MAX];
	struct ob_worker *a, *b;
	unsigned n = 0;
	uint64_t before;

	(void)state;
	start(2, true, false);
	ob_workers_set_handoff(take, NULL);
	a = ob_worker_get(0);
	b = ob_worker_get(1);
	memset(meta, 0, sizeof(meta));
	for (unsigned i = 0; i < 3; i++) {
		m[i] = rte_pktmbuf_alloc(ob_worker_pool(a));
		assert_non_null(m[i]);
		meta[i].hash = 100 + i;
		meta[i].in_vif = 7;
	}
	ob_worker_handoff(a, b, m, meta, 3);
	assert_int_equal(ob_worker_round(b), 3);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.meta[2].hash, 102);

	before = ob_drops_read(7, OB_DROP_HANDOFF_FULL);
	for (;;) {
		struct rte_mbuf *one = rte_pktmbuf_alloc(ob_worker_pool(a));

		if (one == NULL)
			break;
		rte_mbuf_refcnt_set(one, 100);
		for (unsigned k = 0; k < 99 && n < 5000; k++, n++)
			ob_worker_handoff(a, b, &one, meta, 1);
		if (n >= 5000)
			break;
	}
	assert_int_equal(n, 5000);
	assert_int_equal(ob_drops_read(7, OB_DROP_HANDOFF_FULL) - before, 5000 - 4095);
}

static void drops_are_counted_per_function_and_reason(void **state)
{
	struct ob_worker *w;

	(void)state;
	start(2, true, false);
	w = ob_worker_get(1);
	ob_drops_clear(3);
	ob_drops_clear(OB_VIF_NONE);
	ob_drop(w, OB_DROP_NO_ROUTE, 3, rte_pktmbuf_alloc(ob_worker_pool(w)));
	ob_drop_count(ob_worker_get(0), OB_DROP_NO_ROUTE, 3, 5);
	ob_drop_count(w, OB_DROP_VNI_UNKNOWN, OB_VIF_NONE, 2);
	assert_int_equal(ob_drops_read(3, OB_DROP_NO_ROUTE), 6);
	assert_int_equal(ob_drops_read(3, OB_DROP_NO_MAPPING), 0);
	assert_int_equal(ob_drops_read(4, OB_DROP_NO_ROUTE), 0);
	assert_int_equal(ob_drops_read(OB_VIF_NONE, OB_DROP_VNI_UNKNOWN), 2);
	ob_drops_clear(3);
	assert_int_equal(ob_drops_read(3, OB_DROP_NO_ROUTE), 0);
	assert_string_equal(ob_drop_name(OB_DROP_NO_ROUTE), "no_route");
	assert_null(ob_drop_name(OB_N_DROPS));
	for (unsigned i = 0; i < OB_N_DROPS; i++)
		assert_true(strlen(ob_drop_help(i)) > 10);
}

static unsigned n_shown;
static uint32_t shown_len;
static struct ob_seen shown;

static void tap(struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_seen *seen)
{
	(void)w;
	n_shown++;
	shown = *seen;
	shown_len = rte_pktmbuf_pkt_len(pkt);
}

static void a_tap_sees_each_packet_that_is_dropped(void **state)
{
	struct rte_mbuf *pkt[3];
	struct ob_worker *w;

	(void)state;
	start(1, true, false);
	w = ob_worker_get(0);
	ob_drops_clear(3);
	for (unsigned i = 0; i < 3; i++) {
		pkt[i] = rte_pktmbuf_alloc(ob_worker_pool(w));
		rte_pktmbuf_append(pkt[i], (uint16_t)(60 + i));
	}
	n_shown = 0;
	ob_tap_set(tap);
	ob_drop(w, OB_DROP_ACL_IN, 3, pkt[0]);
	assert_int_equal(n_shown, 1);
	assert_int_equal(shown.fate, OB_FATE_DROPPED);
	assert_int_equal(shown.reason, OB_DROP_ACL_IN);
	assert_int_equal(shown.in_vif, 3);
	assert_int_equal(shown_len, 60);
	ob_drop_count(w, OB_DROP_ACL_IN, 3, 5);
	assert_int_equal(n_shown, 1);
	ob_drop_bulk(w, OB_DROP_UPLINK_FULL, 3, pkt + 1, 1);
	assert_int_equal(n_shown, 2);
	assert_int_equal(shown_len, 61);
	ob_tap_set(NULL);
	ob_drop_bulk(w, OB_DROP_UPLINK_FULL, 3, pkt + 2, 1);
	assert_int_equal(n_shown, 2);
	assert_int_equal(ob_drops_read(3, OB_DROP_UPLINK_FULL), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(start_refuses_nonsense),
	    cmocka_unit_test_teardown(call_runs_on_the_worker_and_returns_its_result, stop),
	    cmocka_unit_test_teardown(posts_run_in_order_before_a_later_call, stop),
	    cmocka_unit_test_teardown(manual_round_polls_sources_then_flushes, stop),
	    cmocka_unit_test_teardown(sleeping_worker_is_never_left_asleep_with_work, stop),
	    cmocka_unit_test_teardown(work_that_comes_late_is_not_spun_for, stop),
	    cmocka_unit_test_teardown(source_fd_wakes_the_worker, stop),
	    cmocka_unit_test_teardown(deferred_free_waits_for_every_worker, stop),
	    cmocka_unit_test_teardown(sleeping_workers_do_not_delay_a_grace_period, stop),
	    cmocka_unit_test_teardown(handoff_carries_metadata_and_counts_what_does_not_fit, stop),
	    cmocka_unit_test_teardown(drops_are_counted_per_function_and_reason, stop),
	    cmocka_unit_test_teardown(a_tap_sees_each_packet_that_is_dropped, stop),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
