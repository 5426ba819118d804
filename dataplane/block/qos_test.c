/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits: rates, fairness, changes; mostly by a clock of the test's own. */
#include "qos_priv.h"

#include <stdlib.h>
#include <time.h>

#include "test_block.h"

#define MIB    (1u << 20)
#define MAX_IO 64

static uint64_t fake_ns;

static uint64_t fake_clock(void)
{
	return fake_ns;
}

static uint64_t (*real_clock)(void);

static int setup(void **state)
{
	(void)state;
	if (real_clock == NULL)
		real_clock = qos_clock_ns;
	qos_clock_ns = fake_clock;
	fake_ns = 1000000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	qos_clock_ns = real_clock;
	return 0;
}

/* An owner that keeps 'depth' I/Os of one kind under way. */
struct load {
	struct ob_blk_ch *ch;
	unsigned depth, n_idle;
	uint64_t n_done;
	struct loaded {
		struct ob_blk_io io;
		struct load *l;
	} io[MAX_IO], *idle[MAX_IO];
};

static uint8_t buffer[MIB];
static struct iovec vec[8]; /* by kind of load */

static void load_done(struct ob_blk_io *io)
{
	struct loaded *o = (struct loaded *)(void *)io;

	assert_int_equal(io->result, 0);
	o->l->n_done++;
	o->l->idle[o->l->n_idle++] = o;
}

static void load_init(struct load *l, struct ob_blk_ch *ch, enum ob_blk_op op, unsigned vec_idx,
    uint32_t len, unsigned depth)
{
	*l = (struct load){.ch = ch, .depth = depth};
	vec[vec_idx] = (struct iovec){buffer, len};
	for (unsigned i = 0; i < depth; i++) {
		l->io[i].l = l;
		l->io[i].io = (struct ob_blk_io){.op = (uint8_t)op,
		    .len = len,
		    .n_iov = op == OB_BLK_READ || op == OB_BLK_WRITE,
		    .iov = &vec[vec_idx],
		    .done = load_done,
		    .owner = l};
		l->idle[l->n_idle++] = &l->io[i];
	}
}

static void load_push(struct load *l)
{
	struct ob_blk_io *ios[MAX_IO];
	unsigned n = 0;

	while (l->n_idle > 0)
		ios[n++] = &l->idle[--l->n_idle]->io;
	if (n > 0)
		ob_blk_submit(l->ch, ios, n);
}

/* Lets the loads run for a time, looked at every 'step' ns. */
static void run(struct load *l, unsigned n, uint64_t ns, uint64_t step)
{
	for (uint64_t end = fake_ns + ns; fake_ns < end; fake_ns += step)
		for (unsigned i = 0; i < n; i++) {
			load_push(&l[i]);
			ob_blk_poll(l[i].ch);
		}
}

static void stop(struct load *l, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		while (l[i].n_idle < l[i].depth) {
			fake_ns += 1000000;
			ob_blk_poll(l[i].ch);
		}
}

struct bed {
	struct ob_blk *null, *b;
	struct ob_blk_ch *ch[2];
};

static void open_bed(struct bed *t, const struct ob_blk_qos_conf *conf)
{
	assert_int_equal(ob_blk_null_create("null", 1ull << 40, 512, &t->null, NULL, 0), 0);
	assert_int_equal(ob_blk_qos_create("q", t->null, conf, &t->b, NULL, 0), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(ob_blk_ch_open(t->b, &t->ch[i]), 0);
}

static void close_bed(struct bed *t)
{
	for (unsigned i = 0; i < 2; i++)
		ob_blk_ch_close(t->ch[i]);
	ob_blk_put(t->b);
	ob_blk_put(t->null);
}

static void about(double got, double want, double part)
{
	if (got < want * (1 - part) || got > want * (1 + part))
		fail_msg("%.1f is not within %.0f %% of %.1f", got, part * 100, want);
}

/* One limit alone, with what counts against it. The burst is spent first. */
static void check_rate(
    unsigned limit, enum ob_blk_op op, uint32_t len, uint64_t rate, uint64_t step)
{
	struct ob_blk_qos_conf conf = {0};
	bool bytes = limit >= OB_BLK_QOS_READ_BYTES;
	struct load l;
	struct bed t;
	uint64_t was;

	conf.rate[limit] = rate;
	open_bed(&t, &conf);
	load_init(&l, t.ch[0], op, 0, len, 32);
	run(&l, 1, 200000000, step);
	was = l.n_done;
	run(&l, 1, 4000000000, step);
	about((double)(l.n_done - was) * (bytes ? len : 1), 4.0 * (double)rate, 0.02);
	stop(&l, 1);
	close_bed(&t);
}

static void each_limit_holds_within_two_percent(void **state)
{
	(void)state;
	check_rate(OB_BLK_QOS_READ_IOPS, OB_BLK_READ, 4096, 100, 100000);
	check_rate(OB_BLK_QOS_READ_IOPS, OB_BLK_READ, 512, 50000, 50000);
	check_rate(OB_BLK_QOS_WRITE_IOPS, OB_BLK_WRITE, 4096, 3000, 100000);
	check_rate(OB_BLK_QOS_IOPS, OB_BLK_WRITE, 4096, 3000, 777777);
	check_rate(OB_BLK_QOS_IOPS, OB_BLK_DISCARD, 4096, 3000, 100000);
	check_rate(OB_BLK_QOS_READ_BYTES, OB_BLK_READ, 4096, 10 * MIB, 100000);
	check_rate(OB_BLK_QOS_WRITE_BYTES, OB_BLK_WRITE, MIB, 10 * MIB, 100000);
	check_rate(OB_BLK_QOS_BYTES, OB_BLK_READ, 65536, 400 * MIB, 100000);
}

static void a_limit_of_writes_leaves_reads_alone(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_WRITE_IOPS] = 100};
	struct load l[2];
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l[0], t.ch[0], OB_BLK_WRITE, 0, 4096, 8);
	load_init(&l[1], t.ch[0], OB_BLK_READ, 0, 4096, 8);
	run(l, 2, 1000000000, 100000);
	assert_in_range(l[0].n_done, 95, 110);
	assert_in_range(l[1].n_done, 8 * 9999, 8 * 10001);
	stop(l, 2);
	close_bed(&t);
}

static void burst_credits_are_spent_at_any_speed_and_come_back(void **state)
{
	struct ob_blk_qos_conf conf = {
	    .rate[OB_BLK_QOS_IOPS] = 1000, .burst[OB_BLK_QOS_IOPS] = 5000};
	struct load l;
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l, t.ch[0], OB_BLK_READ, 0, 4096, 64);
	run(&l, 1, 100000000, 100000);
	assert_in_range(l.n_done, 5000, 5300);
	stop(&l, 1);
	l.n_done = 0;
	fake_ns += 2000000000;
	run(&l, 1, 10000000, 100000);
	assert_in_range(l.n_done, 2000, 2200);
	stop(&l, 1);
	close_bed(&t);
}

static void owners_of_a_channel_get_equal_shares(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_BYTES] = 64 * MIB};
	struct load l[4];
	struct bed t;
	double each;

	(void)state;
	open_bed(&t, &conf);
	/* One deep, one shallow, one of big I/Os, one that writes. */
	load_init(&l[0], t.ch[0], OB_BLK_READ, 0, 4096, 64);
	load_init(&l[1], t.ch[0], OB_BLK_READ, 1, 16384, 4);
	load_init(&l[2], t.ch[0], OB_BLK_READ, 2, MIB, 4);
	run(l, 3, 4000000000, 50000);
	each = 4.0 * 64 * MIB / 3;
	about((double)l[0].n_done * 4096, each, 0.05);
	about((double)l[1].n_done * 16384, each, 0.05);
	about((double)l[2].n_done * MIB, each, 0.05);
	stop(l, 3);
	close_bed(&t);
}

/* A range costs no bytes, however long: neither its bucket nor its turn. */
static void long_ranges_have_the_turn_of_short_ones(void **state)
{
	struct ob_blk_qos_conf conf = {
	    .rate[OB_BLK_QOS_WRITE_IOPS] = 10000, .rate[OB_BLK_QOS_WRITE_BYTES] = 64 * MIB};
	struct load l[3];
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l[0], t.ch[0], OB_BLK_DISCARD, 0, 1u << 31, 16);
	load_init(&l[1], t.ch[0], OB_BLK_DISCARD, 1, 4096, 16);
	load_init(&l[2], t.ch[0], OB_BLK_WRITE, 2, 512, 16);
	run(l, 3, 1000000000, 100000);
	about((double)l[0].n_done, (double)l[1].n_done, 0.1);
	about((double)l[2].n_done, (double)l[1].n_done, 0.1);
	stop(l, 3);
	close_bed(&t);
}

static void channels_share_by_their_owners(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 20000};
	struct load l[4];
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l[0], t.ch[0], OB_BLK_READ, 0, 4096, 16);
	load_init(&l[1], t.ch[0], OB_BLK_READ, 0, 4096, 16);
	load_init(&l[2], t.ch[0], OB_BLK_READ, 0, 4096, 16);
	load_init(&l[3], t.ch[1], OB_BLK_READ, 0, 4096, 16);
	run(l, 4, 4000000000, 50000);
	for (unsigned i = 0; i < 4; i++)
		about((double)l[i].n_done, 20000, 0.05);
	/* Alone, the second channel gets all of it. */
	stop(l, 4);
	l[3].n_done = 0;
	run(&l[3], 1, 2000000000, 50000);
	about((double)l[3].n_done, 40000, 0.05);
	stop(l, 4);
	close_bed(&t);
}

/* One channel is held back by another limit: what it leaves is the other's. */
static void what_one_channel_cannot_use_the_other_gets(void **state)
{
	struct ob_blk_qos_conf conf = {
	    .rate[OB_BLK_QOS_IOPS] = 10000, .rate[OB_BLK_QOS_READ_IOPS] = 2000};
	struct load l[2];
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l[0], t.ch[0], OB_BLK_READ, 0, 4096, 16);
	load_init(&l[1], t.ch[1], OB_BLK_WRITE, 0, 4096, 16);
	run(l, 2, 4000000000, 50000);
	about((double)l[0].n_done, 8000, 0.05);
	about((double)l[1].n_done, 32000, 0.05);
	stop(l, 2);
	close_bed(&t);
}

static void limits_change_on_a_live_volume(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 1}, got;
	struct ob_blk_stats st;
	struct load l;
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l, t.ch[0], OB_BLK_READ, 0, 4096, 16);
	run(&l, 1, 1000000000, 1000000);
	assert_in_range(l.n_done, 1, 3);
	conf.rate[OB_BLK_QOS_IOPS] = 5000;
	assert_int_equal(ob_blk_qos_set(t.b, &conf, NULL, 0), 0);
	assert_int_equal(ob_blk_qos_get(t.b, &got), 0);
	assert_memory_equal(&got, &conf, sizeof(got));
	l.n_done = 0;
	run(&l, 1, 1000000000, 100000);
	about((double)l.n_done, 5000, 0.05);
	ob_blk_stats(t.b, &st);
	/* 16 under way, always: nearly all of their time is waiting. */
	about((double)st.throttled_ns, 2.0 * 15.9e9, 0.05);
	assert_true(st.n_throttled > 4500);
	conf.rate[OB_BLK_QOS_IOPS] = 0;
	assert_int_equal(ob_blk_qos_set(t.b, &conf, NULL, 0), 0);
	l.n_done = 0;
	run(&l, 1, 100000000, 100000);
	assert_in_range(l.n_done, 15000, 16100);
	stop(&l, 1);
	close_bed(&t);
}

static void cancel_ends_what_waits_of_one_owner(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 1};
	struct test_io io[40];
	unsigned n_cancelled = 0;
	int me, other;
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	for (unsigned i = 0; i < 40; i++) {
		test_io_init(&io[i], i % 3 ? OB_BLK_READ : OB_BLK_WRITE, 0, buffer, 4096);
		io[i].io.owner = i % 2 ? &me : &other;
		test_submit(t.ch[0], &io[i]);
	}
	ob_blk_cancel(t.ch[0], &me);
	for (unsigned i = 0; i < 40; i++)
		if (io[i].n_done == 1 && io[i].io.result == -ECANCELED) {
			assert_ptr_equal(io[i].io.owner, &me);
			n_cancelled++;
		}
	assert_in_range(n_cancelled, 18, 20);
	assert_in_range(ob_blk_pending(t.ch[0]), 18, 20);
	ob_blk_cancel(t.ch[0], NULL);
	assert_int_equal(ob_blk_pending(t.ch[0]), 0);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(io[i].n_done, 1);
	close_bed(&t);
}

static void flush_is_never_held_back(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 1};
	struct load l;
	struct bed t;

	(void)state;
	open_bed(&t, &conf);
	load_init(&l, t.ch[0], OB_BLK_WRITE, 0, 4096, 8);
	run(&l, 1, 1000, 100);
	assert_true(ob_blk_pending(t.ch[0]) > 0);
	assert_int_equal(test_rw(t.ch[0], OB_BLK_FLUSH, 0, 0, NULL, 0), 0);
	stop(&l, 1);
	close_bed(&t);
}

static void more_io_than_requests_completes(void **state)
{
	enum { N = 1500 };
	struct ob_blk_qos_conf conf = {0};
	struct test_io *io = calloc(N, sizeof(*io));
	struct ob_blk *slow, *b;
	struct ob_blk_ch *ch;

	(void)state;
	assert_int_equal(slow_create(MIB, &slow), 0);
	assert_int_equal(ob_blk_qos_create("q", slow, &conf, &b, NULL, 0), 0);
	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	for (unsigned i = 0; i < N; i++) {
		test_io_init(
		    &io[i], i % 5 ? OB_BLK_READ : OB_BLK_FLUSH, 0, i % 5 ? buffer : NULL, 4096);
		io[i].io.owner = &io[i % 100]; /* more owners than flows */
		test_submit(ch, &io[i]);
	}
	while (ob_blk_pending(ch) > 0) {
		slow_let_go(ch->child[0], 10);
		ob_blk_poll(ch);
	}
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(io[i].n_done, 1);
	ob_blk_ch_close(ch);
	ob_blk_put(b);
	ob_blk_put(slow);
	free(io);
}

static void bad_limits_are_einval(void **state)
{
	struct ob_blk_qos_conf conf = {.burst[OB_BLK_QOS_IOPS] = 1};
	struct ob_blk *null, *b;

	(void)state;
	assert_int_equal(ob_blk_null_create("null", MIB, 512, &null, NULL, 0), 0);
	assert_int_equal(ob_blk_qos_create("q", null, &conf, &b, NULL, 0), -EINVAL);
	conf = (struct ob_blk_qos_conf){.rate[OB_BLK_QOS_BYTES] = (1ull << 40) + 1};
	assert_int_equal(ob_blk_qos_create("q", null, &conf, &b, NULL, 0), -EINVAL);
	conf = (struct ob_blk_qos_conf){0};
	assert_int_equal(ob_blk_qos_set(null, &conf, NULL, 0), -EINVAL);
	assert_int_equal(ob_blk_qos_get(null, &conf), -EINVAL);
	ob_blk_put(null);
}

/* By the real clock: an owner that sleeps whenever it may is woken by the timer, and gets its rate. */
static void a_sleeping_owner_is_woken_in_time(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 500, .burst[OB_BLK_QOS_IOPS] = 3};
	struct test_io io[100];
	uint64_t t0, t1;
	struct bed t;

	(void)state;
	qos_clock_ns = real_clock;
	open_bed(&t, &conf);
	t0 = real_clock();
	for (unsigned i = 0; i < 100; i++) {
		test_io_init(&io[i], OB_BLK_READ, 0, buffer, 4096);
		test_submit(t.ch[0], &io[i]);
	}
	assert_int_equal(test_wait(t.ch[0], &io[99]), 0);
	t1 = real_clock();
	/* 97 of them at 500 a second; a loaded machine may be late, never early. */
	assert_true(t1 - t0 > 190000000);
	/* Nothing is left readable for nothing. */
	assert_int_equal(
	    poll(&(struct pollfd){.fd = ob_blk_wake_fd(t.ch[0]), .events = POLLIN}, 1, 0), 0);
	close_bed(&t);
}

static void new_limits_wake_a_sleeper(void **state)
{
	struct ob_blk_qos_conf conf = {.rate[OB_BLK_QOS_IOPS] = 1};
	struct test_io io[3];
	struct pollfd p;
	bool must_poll;
	struct bed t;

	(void)state;
	qos_clock_ns = real_clock;
	open_bed(&t, &conf);
	for (unsigned i = 0; i < 3; i++) {
		test_io_init(&io[i], OB_BLK_READ, 0, buffer, 4096);
		test_submit(t.ch[0], &io[i]);
	}
	assert_false(ob_blk_arm(t.ch[0], &must_poll));
	assert_false(must_poll);
	p = (struct pollfd){.fd = ob_blk_wake_fd(t.ch[0]), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 0);
	conf.rate[OB_BLK_QOS_IOPS] = 0;
	assert_int_equal(ob_blk_qos_set(t.b, &conf, NULL, 0), 0);
	assert_int_equal(poll(&p, 1, 10000), 1);
	ob_blk_disarm(t.ch[0]);
	assert_int_equal(poll(&p, 1, 0), 0);
	ob_blk_poll(t.ch[0]);
	assert_int_equal(ob_blk_pending(t.ch[0]), 0);
	close_bed(&t);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(each_limit_holds_within_two_percent),
	    T(a_limit_of_writes_leaves_reads_alone),
	    T(burst_credits_are_spent_at_any_speed_and_come_back),
	    T(owners_of_a_channel_get_equal_shares),
	    T(long_ranges_have_the_turn_of_short_ones),
	    T(channels_share_by_their_owners),
	    T(what_one_channel_cannot_use_the_other_gets),
	    T(limits_change_on_a_live_volume),
	    T(cancel_ends_what_waits_of_one_owner),
	    T(flush_is_never_held_back),
	    T(more_io_than_requests_completes),
	    T(bad_limits_are_einval),
	    T(a_sleeping_owner_is_woken_in_time),
	    T(new_limits_wake_a_sleeper),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
