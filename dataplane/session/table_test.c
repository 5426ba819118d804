/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_fixture.h"

static int setup(void **state)
{
	static struct fx f;
	struct ob_session_conf c = fx_conf();

	fx_open(&f, &c);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fx *f = *state;

	fx_check(f->s);
	fx_close(f);
	return 0;
}

/* UDP connection number 'i' of the ENI. */
static void pkt_no(struct fx_pkt *p, uint32_t i)
{
	fx_udp(p, FX_A + (i >> 12), FX_B, (uint16_t)(1024 + (i & 4095)), FX_DPORT);
}

static uint32_t add_no(struct fx *f, uint32_t i)
{
	struct fx_pkt p;
	uint32_t ref;

	pkt_no(&p, i);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	return ref;
}

static void both_directions_find_the_session(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, r;
	uint32_t ref;

	fx_udp(&p, FX_A, FX_B, FX_SPORT, FX_DPORT);
	fx_udp(&r, FX_B, FX_A, FX_DPORT, FX_SPORT);
	assert_int_equal(fx_find(f, &p), OB_SESSION_NONE);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_int_equal(fx_find(f, &p), ref);
	assert_int_equal(fx_find(f, &r), ref | 1);
	assert_int_equal(ob_session_peer(ref), ref | 1);
	fx_check(f->s);
	ob_session_del(f->s, ref);
	assert_int_equal(fx_find(f, &p), OB_SESSION_NONE);
	assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
}

static void ipv6_references_say_so(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, r;
	uint32_t ref;

	fx_ip6(&p, FX_A, FX_B, IPPROTO_ESP);
	fx_ip6(&r, FX_B, FX_A, IPPROTO_ESP);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_true(ref & OB_SESSION_V6);
	assert_int_equal(fx_find(f, &r), ref | 1);
	assert_int_equal(fx_track(f, &r), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_OTHER_REPLIED);
}

/* The guest speaks IPv6, the world answers in IPv4. */
static void nat64_session_has_a_key_of_each_family(void **state)
{
	struct fx *f = *state;
	struct ob_session_new n;
	struct fx_pkt p, r;
	union ob_session_key k;
	uint32_t ref;

	fx_ip6(&p, FX_A, FX_B, IPPROTO_UDP);
	p.meta.flags |= OB_PKT_UDP;
	fx_ports(&p, 5000, 53);
	fx_udp(&r, 0x08080808, 0xc0000201, 53, 2048);
	n = fx_new(&p);
	n.family[1] = 4;
	ob_session_key4_of(&r.m, &r.meta, FX_ENI, &n.key[1].v4);
	assert_int_equal(ob_session_add(f->s, &n, &p.m, &p.meta, &ref), 0);
	assert_int_equal(fx_find(f, &p), ref);
	assert_int_equal(fx_find(f, &r), ref | 1);
	assert_int_equal(ob_session_key(f->s, ref, &k), 6);
	assert_int_equal(ob_session_key(f->s, ref | 1, &k), 4);
	assert_memory_equal(&k.v4, &n.key[1].v4, sizeof(k.v4));
	assert_int_equal(fx_track(f, &r), OB_PASS);
	fx_check(f->s);
	ob_session_del(f->s, ref);
	assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
}

static void other_eni_is_another_connection(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref, ref2;

	fx_udp(&p, FX_A, FX_B, FX_SPORT, FX_DPORT);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	p.meta.eni = FX_ENI + 1;
	assert_int_equal(fx_find(f, &p), OB_SESSION_NONE);
	assert_int_equal(fx_add(f, &p, &ref2), 0);
	assert_int_not_equal(ref, ref2);
}

static void taken_key_is_eexist_and_tells_the_session(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, r;
	struct ob_session_new n;
	uint32_t ref, got;

	fx_udp(&p, FX_A, FX_B, FX_SPORT, FX_DPORT);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_int_equal(fx_add(f, &p, &got), -EEXIST);
	assert_int_equal(got, ref);
	fx_udp(&r, FX_B, FX_A, FX_DPORT, FX_SPORT);
	assert_int_equal(fx_add(f, &r, &got), -EEXIST);
	/* Another guest behind the same translated port. */
	fx_udp(&p, FX_A + 9, FX_B, FX_SPORT, FX_DPORT);
	n = fx_new(&p);
	ob_session_key4_of(&r.m, &r.meta, FX_ENI, &n.key[1].v4);
	assert_int_equal(ob_session_add(f->s, &n, &p.m, &p.meta, &got), -EEXIST);
	assert_int_equal(got, ref | 1);
}

static void both_ends_the_same_is_eproto(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	fx_udp(&p, FX_A, FX_A, 7, 7);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
}

static void full_table_is_enospc_and_live_ones_go_on(void **state)
{
	struct fx *f = *state;
	struct ob_session_counters n;
	struct fx_pkt p;
	uint32_t ref;

	for (uint32_t i = 0; i < 4096; i++)
		add_no(f, i);
	pkt_no(&p, 4096);
	assert_int_equal(fx_add(f, &p, &ref), -ENOSPC);
	for (uint32_t i = 0; i < 4096; i++) {
		pkt_no(&p, i);
		assert_int_equal(fx_track(f, &p), OB_PASS);
	}
	ob_session_counters_read(0, &n);
	assert_int_equal(n.n_live4, 4096);
	assert_int_equal(n.n_live4_max, 4096);
	assert_int_equal(n.n_refused_full, 1);
}

static void deleted_record_is_not_used_again_in_the_round(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, q;
	uint32_t ref = add_no(f, 1), again;

	ob_session_del(f->s, ref);
	pkt_no(&p, 1);
	assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_SESSION_MISS);
	pkt_no(&q, 2);
	assert_int_equal(fx_add(f, &q, &again), 0);
	assert_int_not_equal(again, ref);
	assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_SESSION_MISS);
	ob_session_del(f->s, ref); /* twice is once */
	ob_session_expire(f->s, f->now, 10);
	assert_int_equal(add_no(f, 3), ref);
}

static void live_limit_is_edquot(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.max_live = 2};
	struct ob_session_eni_counters n;
	struct fx_pkt p;
	uint32_t ref;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	ref = add_no(f, 1);
	add_no(f, 2);
	pkt_no(&p, 3);
	assert_int_equal(fx_add(f, &p, &ref), -EDQUOT);
	/* The limit is of the ENI on all workers. */
	f->s = ob_session_shard(1);
	f->s->now = f->now;
	assert_int_equal(fx_add(f, &p, &ref), -EDQUOT);
	f->s = ob_session_shard(0);
	p.meta.eni = FX_ENI + 1;
	assert_int_equal(fx_add(f, &p, &ref), 0);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 2);
	assert_int_equal(n.live_max, 2);
	assert_int_equal(n.n_refused_live, 2);
}

static void half_open_limit_is_eusers_until_answered(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.max_half_open = 1};
	struct ob_session_eni_counters n;
	struct fx_pkt p, q, r;
	uint32_t ref;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	fx_udp(&p, FX_A, FX_B, 1, 53);
	fx_udp(&q, FX_A, FX_B, 2, 53);
	fx_udp(&r, FX_B, FX_A, 53, 1);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_int_equal(fx_add(f, &q, &ref), -EUSERS);
	assert_int_equal(fx_track(f, &r), OB_PASS);
	assert_int_equal(fx_add(f, &q, &ref), 0);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 2);
	assert_int_equal(n.half_open, 1);
	assert_int_equal(n.half_open_max, 1);
	assert_int_equal(n.n_refused_half_open, 1);
}

static unsigned hook_calls;
static uint32_t hook_tag;
static uint16_t hook_eni;

static void hook(unsigned worker, uint16_t eni, uint32_t tag)
{
	assert_int_equal(worker, 0);
	hook_eni = eni;
	hook_tag = tag;
	hook_calls++;
}

static void delete_hook_gets_the_tag_once(void **state)
{
	struct fx *f = *state;
	struct ob_session_new n;
	struct fx_pkt p;
	uint32_t ref;

	hook_calls = 0;
	ob_session_set_on_delete(hook);
	fx_udp(&p, FX_A, FX_B, 1, 2);
	n = fx_new(&p);
	n.tag = 77;
	assert_int_equal(ob_session_add(f->s, &n, &p.m, &p.meta, &ref), 0);
	assert_int_equal(ob_session_tag(f->s, ref | 1), 77);
	add_no(f, 5); /* without a tag */
	fx_pass(f, 31);
	assert_int_equal(f->s->region->n.n_deleted, 2);
	assert_int_equal(hook_calls, 1);
	assert_int_equal(hook_tag, 77);
	assert_int_equal(hook_eni, FX_ENI);
}

static void way_and_generation_are_of_a_direction(void **state)
{
	struct fx *f = *state;
	struct ob_session_way w = {
	    .out = OB_WAY_LOCAL | 3, .vni = 9, .dmac = {2, 0, 0, 0, 0, 5}, .flags = 0x81};
	struct fx_pkt r;
	uint32_t ref = add_no(f, 1), gen = ob_session_eni_gen(FX_ENI);

	assert_int_equal(ob_session_gen(f->s, ref), 1);
	assert_int_equal(ob_session_gen(f->s, ref | 1), OB_SESSION_NO_GEN);
	ob_session_set_way(f->s, ref | 1, &w, gen);
	assert_int_equal(ob_session_gen(f->s, ref | 1), gen);
	assert_int_equal(ob_session_way(f->s, ref | 1)->out, w.out);
	assert_int_equal(ob_session_way(f->s, ref | 1)->flags, 0x81);
	assert_memory_equal(ob_session_way(f->s, ref | 1)->dmac, w.dmac, 6);
	assert_int_equal(ob_session_way(f->s, ref)->out, 0);
	/* It is tracked on as before. */
	fx_udp(&r, FX_B, FX_A, FX_DPORT, 1025);
	assert_int_equal(fx_track(f, &r), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_UDP_REPLIED);
}

static void generation_is_never_the_unresolved_one(void **state)
{
	(void)state;
	ob_session_enis[3].gen = UINT32_MAX;
	ob_session_gen_bump(3);
	assert_int_equal(ob_session_eni_gen(3), 1);
	ob_session_gen_bump_all();
	assert_int_equal(ob_session_eni_gen(3), 2);
	assert_int_equal(ob_session_eni_gen(4), 2);
}

static void flush_ends_one_enis_sessions_in_slices(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_counters n;
	struct fx_pkt p;
	uint32_t other;

	for (uint32_t i = 0; i < 100; i++)
		add_no(f, i);
	pkt_no(&p, 1);
	p.meta.eni = FX_ENI + 1;
	assert_int_equal(fx_add(f, &p, &other), 0);
	ob_session_eni_flush(FX_ENI);
	assert_int_equal(ob_session_expire(f->s, f->now, 30), 30);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 70);
	fx_check(f->s);
	/* What comes meanwhile stays; a second flush before the first is done takes it too. */
	add_no(f, 200);
	ob_session_expire(f->s, f->now, 1000);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 1);
	for (uint32_t i = 300; i < 310; i++)
		add_no(f, i);
	ob_session_eni_flush(FX_ENI);
	ob_session_expire(f->s, f->now, 1);
	add_no(f, 320);
	ob_session_eni_flush(FX_ENI);
	for (unsigned i = 0; i < 20; i++)
		ob_session_expire(f->s, f->now, 3);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 0);
	assert_int_equal(ob_session_state_of(f->s, other), OB_SESSION_UDP_NEW);
}

static void counters_are_carried_before_they_run_over(void **state)
{
	struct fx *f = *state;
	uint32_t ref = add_no(f, 1), cursor = 0;
	struct ob_session_line *l = ob_session_line(f->s, ref);
	struct ob_session_info info;
	struct fx_pkt p;

	pkt_no(&p, 1);
	l->count = ((1ull << 26) - 1) << OB_SESSION_PKT_SHIFT | ((1ull << 36) - 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_PASS);
	assert_int_equal(ob_session_next(0, &cursor, &info), 0);
	assert_int_equal(info.n_pkts[0], (1ull << 26) + 2);
	assert_int_equal(info.n_bytes[0], (1ull << 36) - 1 + 3 * p.m.pkt_len);
	assert_int_equal(info.n_pkts[1], 0);
	assert_int_equal(info.n_bytes[1], 0);
}

static void listing_takes_a_break_among_free_records(void **state)
{
	struct fx *f = *state;
	static uint32_t refs[4096];
	struct ob_session_info info;
	uint32_t cursor = 0;
	int rc;

	for (unsigned i = 0; i < 4096; i++)
		refs[i] = add_no(f, i);
	for (unsigned i = 0; i < 4096; i++)
		ob_session_del(f->s, refs[i]);
	fx_pass(f, 1);
	assert_int_equal(ob_session_next(0, &cursor, &info), -EAGAIN);
	do
		rc = ob_session_next(0, &cursor, &info);
	while (rc == -EAGAIN);
	assert_int_equal(rc, -ENOENT);
}

static void listing_tells_all_of_each_session(void **state)
{
	struct fx *f = *state;
	struct ob_session_info info;
	struct fx_pkt p;
	uint32_t cursor = 0, ref6;

	add_no(f, 1);
	fx_ip6(&p, FX_A, FX_B, IPPROTO_GRE);
	assert_int_equal(fx_add(f, &p, &ref6), 0);
	fx_pass(f, 10);
	assert_int_equal(ob_session_next(0, &cursor, &info), 0);
	assert_int_equal(info.eni, FX_ENI);
	assert_int_equal(info.proto, IPPROTO_UDP);
	assert_string_equal(ob_session_state_name(info.state), "udp_new");
	assert_int_equal(info.family[0], 4);
	assert_int_equal(info.age_s, 10);
	assert_int_equal(info.idle_s, 10);
	assert_int_equal(info.expires_s, 20);
	assert_int_equal(info.n_pkts[0], 1);
	assert_int_equal(ob_session_next(0, &cursor, &info), 0);
	assert_int_equal(info.ref, ref6);
	assert_int_equal(info.proto, IPPROTO_GRE);
	assert_int_equal(info.family[1], 6);
	assert_int_equal(ob_session_next(0, &cursor, &info), -ENOENT);
	cursor = 0;
	assert_int_equal(ob_session_next(1, &cursor, &info), -ENOENT);
	assert_int_equal(ob_session_next(OB_MAX_WORKERS, &cursor, &info), -ENOENT);
	assert_null(ob_session_state_name(OB_SESSION_N_STATES));
}

static void cleared_eni_begins_anew(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.max_live = 1};
	struct ob_session_eni_counters n;
	struct fx_pkt p;
	uint32_t ref;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	add_no(f, 1);
	pkt_no(&p, 2);
	assert_int_equal(fx_add(f, &p, &ref), -EDQUOT);
	assert_int_equal(ob_session_eni_clear(OB_SESSION_MAX_ENIS), -EINVAL);
	assert_int_equal(ob_session_eni_clear(FX_ENI), 0);
	ob_session_expire(f->s, f->now, 10);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live + n.live_max + n.half_open_max, 0);
	assert_int_equal(n.n_refused_live, 0);
	add_no(f, 1);
	add_no(f, 2);
}

static void next_process_takes_the_sessions_over(void **state)
{
	struct fx *f = *state;
	struct ob_session_conf c = fx_conf(), other = fx_conf();
	struct ob_session_eni_conf e = {.max_live = 300};
	struct ob_session_eni_counters n;
	struct fx_pkt p;

	assert_int_equal(ob_session_eni_set(FX_ENI, &e), 0);
	for (uint32_t i = 0; i < 300; i++)
		add_no(f, i);
	ob_session_gen_bump(FX_ENI);
	/* It died in the middle of something. */
	memset(f->s->index4, 0xa5, 4096);
	memset(f->s->wheel, 0xa5, 4096);
	f->s->cold4[5].eni_next = 99;
	ob_session_fini();
	other.max_v4++;
	assert_int_equal(ob_session_init(f->arena, &other), -EMSGSIZE);
	assert_int_equal(ob_session_init(f->arena, &c), 0);
	f->s->now = f->now;
	fx_check(f->s);
	for (uint32_t i = 0; i < 300; i++) {
		pkt_no(&p, i);
		assert_int_equal(fx_track(f, &p), OB_PASS);
	}
	assert_int_equal(ob_session_eni_gen(FX_ENI), 2);
	ob_session_eni_read(FX_ENI, &n);
	assert_int_equal(n.live, 300);
	pkt_no(&p, 1000);
	assert_int_equal(fx_add(f, &p, &(uint32_t){0}), -EDQUOT);
}

static void a_begun_flush_goes_on_in_the_next_process(void **state)
{
	struct fx *f = *state;
	struct ob_session_conf c = fx_conf();

	for (uint32_t i = 0; i < 50; i++)
		add_no(f, i);
	ob_session_eni_flush(FX_ENI);
	ob_session_expire(f->s, f->now, 10);
	ob_session_fini();
	assert_int_equal(ob_session_init(f->arena, &c), 0);
	assert_int_equal(f->s->region->n.n_live4, 40);
	ob_session_expire(f->s, f->now, 1000);
	assert_int_equal(f->s->region->n.n_live4, 0);
}

static void wrong_configuration_is_einval(void **state)
{
	struct fx *f = *state;
	struct ob_session_conf good = fx_conf(), c;
	struct ob_session_eni_conf e = {.timeout_s[OB_SESSION_TCP_ESTABLISHED] = 59};

	assert_int_equal(ob_session_init(f->arena, &good), -EEXIST);
	assert_int_equal(ob_session_eni_set(1, &e), -EINVAL);
	e.timeout_s[OB_SESSION_TCP_ESTABLISHED] = 432001;
	assert_int_equal(ob_session_eni_set(1, &e), -EINVAL);
	e.timeout_s[OB_SESSION_TCP_ESTABLISHED] = 432000;
	assert_int_equal(ob_session_eni_set(1, &e), 0);
	assert_int_equal(ob_session_eni_set(OB_SESSION_MAX_ENIS, &e), -EINVAL);
	ob_session_fini();
	c = good, c.n_workers = 0;
	assert_int_equal(ob_session_init(f->arena, &c), -EINVAL);
	c = good, c.max_v4 = 0;
	assert_int_equal(ob_session_init(f->arena, &c), -EINVAL);
	c = good, c.max_v6 = REC_MAX + 1;
	assert_int_equal(ob_session_init(f->arena, &c), -EINVAL);
	c = good, c.index_load_pct = 98;
	assert_int_equal(ob_session_init(f->arena, &c), -EINVAL);
	c = good, c.n_workers = 3, c.max_v4 = REC_MAX;
	assert_int_equal(ob_session_init(f->arena, &c), -ENOSPC);
	assert_int_equal(ob_session_init(f->arena, &good), 0);
}

static void the_clock_counts_eighths_of_a_second(void **state)
{
	struct fx *f = *state;

	assert_int_equal(ob_session_ticks(0), 0);
	assert_in_range(
	    ob_session_ticks(FX_TSC_HZ * 3600), 3600 * OB_SESSION_HZ - 1, 3600 * OB_SESSION_HZ);
	ob_session_set_now(f->s, FX_TSC_HZ * 100 + 1000);
	assert_int_equal(f->s->now, 800);
	f->s->now = f->now;
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(both_directions_find_the_session),
	    T(ipv6_references_say_so),
	    T(nat64_session_has_a_key_of_each_family),
	    T(other_eni_is_another_connection),
	    T(taken_key_is_eexist_and_tells_the_session),
	    T(both_ends_the_same_is_eproto),
	    T(full_table_is_enospc_and_live_ones_go_on),
	    T(deleted_record_is_not_used_again_in_the_round),
	    T(live_limit_is_edquot),
	    T(half_open_limit_is_eusers_until_answered),
	    T(delete_hook_gets_the_tag_once),
	    T(way_and_generation_are_of_a_direction),
	    T(generation_is_never_the_unresolved_one),
	    T(flush_ends_one_enis_sessions_in_slices),
	    T(counters_are_carried_before_they_run_over),
	    T(listing_tells_all_of_each_session),
	    T(listing_takes_a_break_among_free_records),
	    T(cleared_eni_begins_anew),
	    T(next_process_takes_the_sessions_over),
	    T(a_begun_flush_goes_on_in_the_next_process),
	    T(wrong_configuration_is_einval),
	    T(the_clock_counts_eighths_of_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
