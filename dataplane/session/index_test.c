/* SPDX-License-Identifier: BSD-3-Clause */
/* The index when it is nearly full, and what a connection costs in memory. */
#include <pthread.h>

#include <sys/stat.h>

#include "test_fixture.h"

#define N_MAX 20000u

static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 20);
}

static void pkt_no(struct fx_pkt *p, uint32_t i)
{
	fx_udp(p, 0x0a000000 + (i >> 4), FX_B, (uint16_t)(1024 + (i & 15)), FX_DPORT);
}

static void key_no(struct ob_session_key4 *k, uint32_t i)
{
	struct fx_pkt p;

	pkt_no(&p, i);
	ob_session_key4_of(&p.m, &p.meta, FX_ENI, k);
}

static double load(const struct ob_session_shard *s)
{
	return (double)session_index_count(s, 0) / (s->region->pool[0].n_buckets * BUCKET_KEYS);
}

/* All keys of 'no' are found in bulk, both ways; numbers from 'none' on are not. */
static void look_for_all(
    struct fx *f, const uint32_t *no, const uint32_t *ref, uint32_t n, uint32_t none)
{
	struct ob_session_key4 k[OB_SESSION_BURST];
	uint32_t got[OB_SESSION_BURST];

	for (uint32_t at = 0; at + OB_SESSION_BURST <= n; at += OB_SESSION_BURST) {
		for (unsigned i = 0; i < OB_SESSION_BURST; i++) {
			key_no(&k[i], i % 4 == 3 ? none + at + i : no[at + i]);
			if (i % 2)
				k[i] = ob_session_reverse4(&k[i]);
		}
		ob_session_find4(f->s, k, got, OB_SESSION_BURST);
		for (unsigned i = 0; i < OB_SESSION_BURST; i++)
			assert_int_equal(
			    got[i], i % 4 == 3 ? OB_SESSION_NONE : ref[at + i] | i % 2);
	}
}

/* Refuses above 95 % only, and goes on to be right when sessions come and go up there. */
static void index_fills_to_95_percent_and_stays_right(void **state)
{
	struct ob_session_conf c = fx_conf();
	static uint32_t no[N_MAX], ref[N_MAX];
	uint32_t n = 0, next = 0, refused = 0;
	struct ob_session_counters ctr;
	struct fx_pkt p;
	struct fx f;

	(void)state;
	c.max_v4 = N_MAX;
	c.index_load_pct = 97;
	fx_open(&f, &c);
	for (; n < N_MAX; n++, next++) {
		pkt_no(&p, no[n] = next);
		if (fx_add(&f, &p, &ref[n]) != 0)
			break;
	}
	print_message("first refusal at %.2f %% of the index\n", 100 * load(f.s));
	assert_true(load(f.s) > 0.95);
	fx_check(f.s);
	look_for_all(&f, no, ref, n, 1u << 24);
	for (unsigned round = 0; round < 30000; round++) {
		uint32_t i = rnd() % n;

		ob_session_del(f.s, ref[i]);
		ob_session_expire(f.s, f.now, 1);
		pkt_no(&p, no[i] = ++next);
		if (fx_add(&f, &p, &ref[i]) != 0) {
			refused++;
			no[i] = no[--n];
			ref[i] = ref[n];
		}
	}
	fx_check(f.s);
	assert_true(load(f.s) > 0.95);
	look_for_all(&f, no, ref, n, 1u << 24);
	ob_session_counters_read(0, &ctr);
	print_message(
	    "30000 times one out, one in: %u refused, %.2f moves an insertion, at most %u\n",
	    refused, (double)ctr.n_displaced / (double)ctr.n_added, (unsigned)ctr.n_displaced_max);
	assert_true(refused < 100);
	while (n > 0)
		ob_session_del(f.s, ref[--n]);
	fx_check(f.s);
	for (uint32_t i = 0; i < f.s->region->pool[0].n_buckets; i++) {
		/* Nothing is left of what was moved, but where a counter stuck. */
		for (unsigned w = 0; w < 2; w++)
			for (unsigned k = 0; k < 16; k++) {
				unsigned v = f.s->index4[i].away[w] >> (4 * k) & 15;

				assert_true(v == 0 || v == 15);
			}
	}
	fx_close(&f);
}

/* How many of a thousand misses must look at a second bucket. */
static void misses_mostly_read_one_bucket(void **state)
{
	struct ob_session_conf c = fx_conf();
	uint32_t nb, second = 0;
	struct fx_pkt p;
	uint32_t ref;
	struct fx f;

	(void)state;
	c.max_v4 = N_MAX;
	fx_open(&f, &c);
	nb = f.s->region->pool[0].n_buckets;
	for (uint32_t i = 0; i < N_MAX; i++) {
		pkt_no(&p, i);
		assert_int_equal(fx_add(&f, &p, &ref), 0);
	}
	for (uint32_t i = 0; i < 100000; i++) {
		const struct ob_session_bucket *b;
		struct ob_session_key4 k;
		unsigned sig;
		uint64_t h;

		key_no(&k, (1u << 24) + i);
		h = session_hash4(f.s, &k);
		b = &f.s->index4[((h >> 32) * nb) >> 32];
		sig = (unsigned)h << 1;
		second += (b->away[sig >> 6 & 1] >> (sig >> 2 & 15) * 4 & 15) != 0;
	}
	print_message("at %.1f %% load, %.1f %% of misses read a second bucket\n", 100 * load(f.s),
	    second / 1000.0);
	assert_true(second < 15000);
	fx_close(&f);
}

static void a_connection_takes_at_most_192_bytes(void **state)
{
	struct ob_session_conf c = fx_conf();
	uint64_t records, index, fixed;
	struct stat before, after;
	struct fx_pkt p;
	uint32_t ref;
	struct fx f;
	double each, file;

	(void)state;
	c.n_workers = 1;
	c.max_v4 = 500000;
	fx_open(&f, &c);
	assert_int_equal(fstat(ob_arena_fd(f.arena), &before), 0);
	for (uint32_t i = 0; i < c.max_v4; i++) {
		pkt_no(&p, i);
		assert_int_equal(fx_add(&f, &p, &ref), 0);
	}
	ob_session_memory(0, &records, &index, &fixed);
	assert_int_equal(fstat(ob_arena_fd(f.arena), &after), 0);
	each = (double)(records + index) / c.max_v4;
	file = (double)(after.st_blocks - before.st_blocks) * 512 / c.max_v4;
	print_message("bytes: direction %zu, cold %zu, bucket %zu of 8 keys; a connection %.1f by "
		      "count, %.1f by what the arena took; fixed %.1f KiB\n",
	    sizeof(struct ob_session_dir4), sizeof(struct ob_session_cold),
	    sizeof(struct ob_session_bucket), each, file, (double)fixed / 1024);
	assert_true(each <= 192);
	assert_true(file <= 192);
	fx_close(&f);
}

/* ---- people look while the worker goes on ---- */

static bool stop;

static void *list(void *arg)
{
	uint64_t *n = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct ob_session_info info;
		uint32_t cursor = 0;

		while (ob_session_next(0, &cursor, &info) == 0) {
			struct ob_session_key4 back = ob_session_reverse4(&info.key[0].v4);

			/* Its parts are of one and the same session. */
			if (memcmp(&back, &info.key[1].v4, sizeof(back)) != 0 ||
			    info.tag != (uint32_t)info.key[0].v4.addrs || info.eni != FX_ENI)
				abort();
			(*n)++;
		}
	}
	return NULL;
}

static void listing_sees_whole_sessions_while_they_come_and_go(void **state)
{
	struct ob_session_conf c = fx_conf();
	uint32_t ref[64], next = 0;
	uint64_t n_seen = 0;
	pthread_t t;
	struct fx f;

	(void)state;
	fx_open(&f, &c);
	for (unsigned i = 0; i < 64; i++)
		ref[i] = OB_SESSION_NONE;
	stop = false;
	assert_int_equal(pthread_create(&t, NULL, list, &n_seen), 0);
	for (unsigned round = 0; round < 200000 || (n_seen == 0 && round < 100000000); round++) {
		unsigned i = rnd() % 64;
		struct ob_session_new n;
		struct fx_pkt p;

		if (ref[i] != OB_SESSION_NONE)
			ob_session_del(f.s, ref[i]);
		ob_session_expire(f.s, f.now, 1);
		pkt_no(&p, ++next * 16);
		n = fx_new(&p);
		n.tag = (uint32_t)n.key[0].v4.addrs;
		assert_int_equal(ob_session_add(f.s, &n, &p.m, &p.meta, &ref[i]), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	fx_check(f.s);
	fx_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(index_fills_to_95_percent_and_stays_right),
	    cmocka_unit_test(misses_mostly_read_one_bucket),
	    cmocka_unit_test(a_connection_takes_at_most_192_bytes),
	    cmocka_unit_test(listing_sees_whole_sessions_while_they_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
