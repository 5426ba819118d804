/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ob_meter.h"

#define HZ  2300000000ull
#define ENI 5

static struct ob_arena *arena;
static char err[128];

static void init(unsigned n_workers, uint64_t hz)
{
	struct ob_meter_conf conf = {.arena = arena, .n_workers = n_workers, .tsc_hz = hz};

	assert_int_equal(ob_meter_init(&conf), 0);
}

static int setup(void **state)
{
	(void)state;
	return ob_arena_create("meter-test", 64ull << 20, &arena);
}

static int teardown(void **state)
{
	(void)state;
	ob_meter_fini();
	ob_arena_destroy(arena);
	return 0;
}

static void limit(enum ob_meter_kind kind, uint64_t rate, uint64_t burst)
{
	struct ob_meter_cfg cfg = {0};

	cfg.rate[kind] = rate;
	cfg.burst[kind] = burst;
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), 0);
}

static void no_limit_passes_everything(void **state)
{
	(void)state;
	init(2, HZ);
	for (uint64_t t = 0; t < 1000; t++) {
		assert_int_equal(ob_meter_pass(1, ENI, OB_METER_IN, 1, 1u << 30, t), OB_N_DROPS);
		assert_true(ob_meter_new_connection(0, ENI, t));
	}
	for (unsigned k = 0; k < OB_METER_N_KINDS; k++)
		assert_int_equal(ob_meter_exceeded(ENI, k), 0);
	assert_int_equal(ob_meter_conn_limit(ENI), 0);
}

/* Offers twice the rate for 'ms' from 'n' workers in turn, and returns what passed. */
static uint64_t offer(unsigned n, unsigned first, uint64_t hz, uint64_t *now,
    enum ob_meter_kind kind, uint64_t rate, uint32_t bytes, unsigned ms)
{
	bool bw = kind <= OB_METER_BW_IN;
	double per_s = 2.0 * (double)rate / (bw ? 8.0 * bytes : 1.0);
	uint64_t n_offers = (uint64_t)(per_s * ms / 1000), start = *now, passed = 0;

	for (uint64_t i = 0; i < n_offers; i++) {
		unsigned w = first + (unsigned)(i % n);
		bool ok;

		*now = start + (uint64_t)((double)hz / per_s * (double)i);
		if (kind == OB_METER_CPS)
			ok = ob_meter_new_connection(w, ENI, *now);
		else
			ok = ob_meter_pass(w, ENI, kind & 1, 1, bytes, *now) == OB_N_DROPS;
		passed += ok ? (bw ? bytes : 1) : 0;
	}
	return passed;
}

static void check_rate(
    unsigned n, uint64_t hz, enum ob_meter_kind kind, uint64_t rate, uint32_t bytes)
{
	uint64_t now = hz * 1000, want, got;
	unsigned ms = 400;

	init(n, hz);
	limit(kind, rate, 0);
	/* Empties the burst (50 ms, or the least one) and then measures. */
	offer(n, 0, hz, &now, kind, rate, bytes, 200);
	got = offer(n, 0, hz, &now, kind, rate, bytes, ms);
	want = rate / (kind <= OB_METER_BW_IN ? 8 : 1) * ms / 1000;
	assert_in_range(got, want * 98 / 100, want * 102 / 100);
	assert_true(ob_meter_exceeded(ENI, kind) > 0);
	for (unsigned k = 0; k < OB_METER_N_KINDS; k++)
		if (k != kind)
			assert_int_equal(ob_meter_exceeded(ENI, k), 0);
	ob_meter_clear(ENI);
	assert_int_equal(ob_meter_exceeded(ENI, kind), 0);
	ob_meter_fini();
}

static void rates_are_kept_within_two_percent(void **state)
{
	static const unsigned workers[] = {1, 2, 7, OB_MAX_WORKERS};
	static const uint64_t clocks[] = {HZ, 25000000, 1000000000};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t hz = clocks[i % 3];

		check_rate(workers[i], hz, OB_METER_BW_OUT, 1000000000, 1500);
		check_rate(workers[i], hz, OB_METER_BW_IN, 400000000, 9014);
		check_rate(workers[i], hz, OB_METER_BW_OUT, 200000000, 64);
		check_rate(workers[i], hz, OB_METER_PPS_OUT, 500000, 64);
		check_rate(workers[i], hz, OB_METER_PPS_IN, 3000, 64);
		check_rate(workers[i], hz, OB_METER_CPS, 20000, 0);
		check_rate(workers[i], hz, OB_METER_CPS, 1000, 0);
	}
	init(1, HZ);
}

static void fast_rates_are_kept_on_a_slow_clock(void **state)
{
	const uint64_t rate = 100000000000ull, hz = 25000000;
	uint64_t passed = 0;

	(void)state;
	init(4, hz);
	limit(OB_METER_BW_OUT, rate, 1000000);
	/* 200 Gbit/s offered over 10 ms, less the burst. */
	for (uint64_t i = 0; i < 166667; i++)
		if (ob_meter_pass((unsigned)i % 4, ENI, OB_METER_OUT, 1, 1500,
			hz + i * hz / 16666667) == OB_N_DROPS)
			passed += 1500;
	assert_in_range(passed - 1000000, rate / 8 / 100 * 98 / 100, rate / 8 / 100 * 102 / 100);
}

/* Workers that took credit once and went idle hold a small part of the burst; the busy one gets all the rest. */
static void idle_workers_do_not_hoard(void **state)
{
	const uint64_t rate = 800000000, burst = 10000000;
	uint64_t now = HZ, passed = 0;

	(void)state;
	init(OB_MAX_WORKERS, HZ);
	limit(OB_METER_BW_OUT, rate, burst);
	for (unsigned w = 0; w < OB_MAX_WORKERS; w++)
		assert_int_equal(ob_meter_pass(w, ENI, OB_METER_OUT, 1, 64, now), OB_N_DROPS);
	while (ob_meter_pass(3, ENI, OB_METER_OUT, 1, 1000, now) == OB_N_DROPS)
		passed += 1000;
	assert_true(passed > burst * 7 / 8 - 64 * OB_MAX_WORKERS - 1000);
	assert_true(passed <= burst + 1000);
	/* And from then on all of the rate. */
	passed = offer(1, 3, HZ, &now, OB_METER_BW_OUT, rate, 1000, 300);
	assert_in_range(
	    passed, rate / 8 * 300 / 1000 * 98 / 100, rate / 8 * 300 / 1000 * 102 / 100);
}

static void burst_passes_at_once_and_no_more(void **state)
{
	uint64_t now = 77;
	unsigned n = 0;

	(void)state;
	init(1, HZ);
	limit(OB_METER_CPS, 1000, 40);
	while (ob_meter_new_connection(0, ENI, now))
		n++;
	assert_in_range(n, 40, 41);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_CPS), 1);
	/* 1 ms later there is one more. */
	assert_false(ob_meter_new_connection(0, ENI, now + HZ / 1000 / 2));
	assert_true(ob_meter_new_connection(0, ENI, now + HZ / 1000 * 3));
	/* However long the silence, no more than the burst. */
	now += HZ * 86400 * 300;
	for (n = 0; ob_meter_new_connection(0, ENI, now);)
		n++;
	assert_in_range(n, 40, 41);
}

/* A packet larger than the burst passes and is paid for afterwards. */
static void no_packet_is_too_big(void **state)
{
	uint64_t now = HZ;

	(void)state;
	init(1, HZ);
	limit(OB_METER_BW_IN, 8000000, 2000);
	assert_int_equal(ob_meter_pass(0, ENI, OB_METER_IN, 1, 65000, now), OB_N_DROPS);
	assert_int_equal(
	    ob_meter_pass(0, ENI, OB_METER_IN, 1, 1000, now + HZ / 1000 * 62), OB_DROP_BW_LIMIT);
	assert_int_equal(
	    ob_meter_pass(0, ENI, OB_METER_IN, 1, 1000, now + HZ / 1000 * 64), OB_N_DROPS);
}

static void directions_and_kinds_are_apart(void **state)
{
	struct ob_meter_cfg cfg = {.rate = {8000, 0, 0, 10, 0, 7}}, have;
	uint64_t now = HZ;

	(void)state;
	init(1, HZ);
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), 0);
	while (ob_meter_pass(0, ENI, OB_METER_OUT, 1, 1000, now) == OB_N_DROPS)
		;
	assert_int_equal(ob_meter_pass(0, ENI, OB_METER_OUT, 3, 1000, now), OB_DROP_BW_LIMIT);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_BW_OUT), 4);
	while (ob_meter_pass(0, ENI, OB_METER_IN, 1, 1000, now) == OB_N_DROPS)
		;
	assert_int_equal(ob_meter_pass(0, ENI, OB_METER_IN, 2, 1000, now), OB_DROP_PPS_LIMIT);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_PPS_IN), 3);
	assert_true(ob_meter_new_connection(0, ENI, now));
	assert_int_equal(ob_meter_pass(0, ENI + 1, OB_METER_OUT, 1, 1000, now), OB_N_DROPS);
	assert_int_equal(ob_meter_conn_limit(ENI), 7);
	ob_meter_count(0, ENI, OB_METER_CONNS, 2);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_CONNS), 2);
	assert_int_equal(ob_meter_get(ENI, &have), 0);
	assert_memory_equal(&have, &cfg, sizeof(cfg));
}

/* What the packet rate refuses has not used up bandwidth. */
static void refused_packet_costs_nothing(void **state)
{
	struct ob_meter_cfg cfg = {.rate = {[OB_METER_BW_OUT] = 8000, [OB_METER_PPS_OUT] = 1},
	    .burst = {[OB_METER_BW_OUT] = 100000, [OB_METER_PPS_OUT] = 1}};
	unsigned n = 0;

	(void)state;
	init(1, HZ);
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), 0);
	for (unsigned i = 0; i < 1000; i++)
		n += ob_meter_pass(0, ENI, OB_METER_OUT, 1, 1000, HZ) == OB_N_DROPS;
	assert_in_range(n, 1, 2);
	/* Bandwidth is left for all but those. */
	cfg.rate[OB_METER_PPS_OUT] = cfg.burst[OB_METER_PPS_OUT] = 0;
	for (uint64_t t = 2; t < 90; t++)
		n +=
		    ob_meter_pass(0, ENI, OB_METER_OUT, 1, 1000, HZ + t * HZ * 3 / 2) == OB_N_DROPS;
	assert_true(n >= 89);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_BW_OUT), 0);
}

static void changing_limits_starts_full_and_the_same_again_does_not(void **state)
{
	(void)state;
	init(1, HZ);
	limit(OB_METER_CPS, 10, 5);
	while (ob_meter_new_connection(0, ENI, HZ))
		;
	limit(OB_METER_CPS, 10, 5);
	assert_false(ob_meter_new_connection(0, ENI, HZ));
	limit(OB_METER_CPS, 10, 6);
	assert_true(ob_meter_new_connection(0, ENI, HZ));
	limit(OB_METER_CPS, 0, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(ob_meter_new_connection(0, ENI, HZ));
}

static void limits_and_counters_survive(void **state)
{
	(void)state;
	init(2, HZ);
	limit(OB_METER_CPS, 10, 5);
	while (ob_meter_new_connection(1, ENI, HZ))
		;
	ob_meter_fini();
	init(2, HZ);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_CPS), 1);
	while (ob_meter_new_connection(1, ENI, HZ))
		;
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_CPS), 2);
}

static void bad_limits_are_refused(void **state)
{
	struct ob_meter_conf conf = {.arena = arena, .n_workers = OB_MAX_WORKERS + 1};
	struct ob_meter_cfg cfg = {.rate = {(1ull << 40) + 1}};

	(void)state;
	assert_int_equal(ob_meter_init(&conf), -EINVAL);
	init(1, HZ);
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "a rate is over 2^40 a second");
	cfg.rate[0] = 1;
	cfg.burst[0] = (1ull << 32) + 1;
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "a burst is over 2^32");
	cfg.burst[0] = 0;
	cfg.burst[1] = 1;
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "a burst is given without a rate");
	assert_int_equal(ob_meter_set(OB_METER_MAX_ENIS, &cfg, err, sizeof(err)), -EINVAL);
	assert_int_equal(ob_meter_get(OB_METER_MAX_ENIS, &cfg), -EINVAL);
	assert_int_equal(ob_meter_limited[ENI], 0);
}

/* Extremes must not overflow. */
static void extreme_limits_work(void **state)
{
	struct ob_meter_cfg cfg = {.rate = {1, 1ull << 40, 1, 1ull << 40, 1, 1},
	    .burst = {1, 1ull << 32, 1, 1ull << 32, 1, 0}};
	uint64_t now = UINT64_MAX - HZ;

	(void)state;
	init(OB_MAX_WORKERS, 5000000000ull);
	assert_int_equal(ob_meter_set(ENI, &cfg, err, sizeof(err)), 0);
	assert_int_equal(ob_meter_pass(0, ENI, OB_METER_OUT, 1, UINT32_MAX, now), OB_N_DROPS);
	assert_int_equal(ob_meter_pass(0, ENI, OB_METER_OUT, 1, 1, now + HZ), OB_DROP_BW_LIMIT);
	assert_true(ob_meter_new_connection(0, ENI, now));
	assert_true(ob_meter_new_connection(0, ENI, now + 6000000000ull)); /* over the wrap */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ob_meter_pass(i % OB_MAX_WORKERS, ENI, OB_METER_IN, 100, 150000,
				     now + i * 100000),
		    OB_N_DROPS);
}

/* Several threads at once on one bucket: the sum is the allowance. */
struct job {
	unsigned worker;
	uint64_t passed;
};

static void *hammer(void *arg)
{
	struct job *j = arg;

	for (unsigned i = 0; i < 200000; i++)
		j->passed += ob_meter_pass(j->worker, ENI, OB_METER_OUT, 1, 100, HZ + i / 1000) ==
			     OB_N_DROPS;
	return NULL;
}

static void threads_share_one_allowance(void **state)
{
	const uint64_t burst = 10000000; /* 100,000 packets */
	struct job job[4] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}};
	pthread_t thread[4];
	uint64_t sum = 0;

	(void)state;
	init(4, HZ);
	limit(OB_METER_BW_OUT, 8000000, burst);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, hammer, &job[i]), 0);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(thread[i], NULL);
		sum += job[i].passed;
	}
	assert_in_range(sum, burst / 100 - burst / 800, burst / 100 + 10);
	assert_int_equal(ob_meter_exceeded(ENI, OB_METER_BW_OUT), 800000 - sum);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(no_limit_passes_everything),
	    TEST(rates_are_kept_within_two_percent),
	    TEST(fast_rates_are_kept_on_a_slow_clock),
	    TEST(idle_workers_do_not_hoard),
	    TEST(burst_passes_at_once_and_no_more),
	    TEST(no_packet_is_too_big),
	    TEST(directions_and_kinds_are_apart),
	    TEST(refused_packet_costs_nothing),
	    TEST(changing_limits_starts_full_and_the_same_again_does_not),
	    TEST(limits_and_counters_survive),
	    TEST(bad_limits_are_refused),
	    TEST(extreme_limits_work),
	    TEST(threads_share_one_allowance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
