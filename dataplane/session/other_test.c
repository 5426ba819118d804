/* SPDX-License-Identifier: BSD-3-Clause */
/* All but TCP and SCTP: UDP, ICMP and its errors, protocols without ports; ageing. */
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

static unsigned state_of(struct fx *f, uint32_t ref)
{
	return ob_session_state_of(f->s, ref);
}

/* ---- UDP, ageing ---- */

static void udp_lives_longer_once_it_was_answered(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, r;
	uint32_t ref;

	fx_udp(&p, FX_A, FX_B, 1, 53);
	fx_udp(&r, FX_B, FX_A, 53, 1);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
	fx_pass(f, 29);
	assert_int_equal(fx_track(f, &p), OB_PASS); /* keeps it alive, but not answered */
	fx_pass(f, 29);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
	assert_int_equal(fx_track(f, &r), OB_PASS);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_REPLIED);
	fx_pass(f, 299);
	assert_int_equal(fx_find(f, &p), ref);
	fx_pass(f, 2);
	assert_int_equal(fx_find(f, &p), OB_SESSION_NONE);
	assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
}

static void time_outs_are_of_the_eni(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.timeout_s[OB_SESSION_UDP_NEW] = 5};
	struct fx_pkt p;
	uint32_t ref, other;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	fx_udp(&p, FX_A, FX_B, 1, 53);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	p.meta.eni++;
	assert_int_equal(fx_add(f, &p, &other), 0);
	fx_pass(f, 4.875);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f, ref), OB_SESSION_FREE);
	assert_int_equal(state_of(f, other), OB_SESSION_UDP_NEW);
}

static void an_answer_may_shorten_the_time_out(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.timeout_s = {[OB_SESSION_UDP_NEW] = 60,
					    [OB_SESSION_UDP_REPLIED] = 40,
					    [OB_SESSION_TCP_SYN_SENT] = 1}};
	struct fx_pkt p, r;
	uint32_t ref;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	fx_udp(&p, FX_A, FX_B, 1, 53);
	fx_udp(&r, FX_B, FX_A, 53, 1);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	assert_int_equal(fx_track(f, &r), OB_PASS);
	fx_pass(f, 39.875);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_REPLIED);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f, ref), OB_SESSION_FREE);
}

/* Twelve days are three thousand turns of the wheel. */
static void longest_time_out_is_kept(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.timeout_s[OB_SESSION_UDP_NEW] = 432000};
	struct fx_pkt p;
	uint32_t ref;

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	fx_udp(&p, FX_A, FX_B, 1, 53);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	fx_pass(f, 431999.875);
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f, ref), OB_SESSION_FREE);
}

static void a_long_sleep_is_caught_up_with(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	for (uint16_t i = 0; i < 100; i++) {
		fx_udp(&p, FX_A, FX_B, i, 53);
		assert_int_equal(fx_add(f, &p, &ref), 0);
		fx_pass(f, 0.25);
	}
	f->now += 1000000;
	ob_session_expire(f->s, f->now, 1000);
	assert_int_equal(f->s->region->n.n_live4, 0);
}

static void the_clock_may_stand_anywhere_at_first(void **state)
{
	static const uint32_t begin[] = {0, 5000, 0x7fffffff, 0x80000000, 0xffffff00};
	struct fx *f = *state;
	struct ob_session_conf c = fx_conf();
	struct fx_pkt p;
	uint32_t ref;

	fx_udp(&p, FX_A, FX_B, 1, 53);
	for (unsigned i = 0; i < RTE_DIM(begin); i++) {
		fx_close(f);
		fx_open(f, &c);
		f->s->now = f->now = begin[i];
		assert_int_equal(fx_add(f, &p, &ref), 0);
		fx_pass(f, 29.875);
		assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
		fx_pass(f, 0.125);
		assert_int_equal(state_of(f, ref), OB_SESSION_FREE);
	}
}

static void expire_keeps_to_its_budget(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref, rounds = 0;

	for (uint16_t i = 0; i < 1000; i++) {
		fx_udp(&p, FX_A, FX_B, i, 53);
		assert_int_equal(fx_add(f, &p, &ref), 0);
	}
	f->now += 31 * OB_SESSION_HZ;
	while (f->s->region->n.n_live4 > 0) {
		assert_in_range(ob_session_expire(f->s, f->now, 32), 1, 32 + WHEEL_LANES - 1);
		assert_true(++rounds < 100);
	}
	assert_in_range(rounds, 1000 / (32 + WHEEL_LANES), 1000 / 32 + 1);
}

/* ---- ICMP ---- */

static void icmp(struct fx_pkt *p, bool six, uint32_t src, uint32_t dst, uint8_t type, uint16_t id)
{
	if (six)
		fx_ip6(p, src, dst, IPPROTO_ICMPV6);
	else
		fx_ip4(p, src, dst, IPPROTO_ICMP);
	p->meta.flags |= OB_PKT_ICMP;
	p->meta.l4_len = 8;
	fx_l4(p)[0] = type;
	fx_l4(p)[4] = (uint8_t)(id >> 8);
	fx_l4(p)[5] = (uint8_t)id;
	fx_len(p, 8 + 32);
}

static void request_and_reply_are_one_connection(void **state)
{
	static const struct {
		bool six;
		uint8_t ask, answer;
	} kind[] = {{false, 8, 0}, {false, 13, 14}, {true, 128, 129}};
	struct fx *f = *state;
	struct fx_pkt p, r;
	uint32_t ref;

	for (unsigned i = 0; i < RTE_DIM(kind); i++) {
		icmp(&p, kind[i].six, FX_A, FX_B, kind[i].ask, 0x1234);
		icmp(&r, kind[i].six, FX_B, FX_A, kind[i].answer, 0x1234);
		assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
		assert_int_equal(fx_add(f, &p, &ref), 0);
		assert_int_equal(fx_find(f, &r), ref | 1);
		assert_int_equal(fx_track(f, &r), OB_PASS);
		assert_int_equal(state_of(f, ref), OB_SESSION_ICMP_REPLIED);
		/* Who may answer may not ask. */
		icmp(&r, kind[i].six, FX_B, FX_A, kind[i].ask, 0x1234);
		assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
		icmp(&r, kind[i].six, FX_B, FX_A, kind[i].answer, 0x1235);
		assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
	}
}

static void the_identifier_is_the_port_of_who_asks(void **state)
{
	struct ob_session_key4 k;
	struct fx_pkt p;
	uint8_t b[4];

	(void)state;
	icmp(&p, false, FX_A, FX_B, 8, 0x1234);
	assert_int_equal(ob_session_key4_of(&p.m, &p.meta, FX_ENI, &k), OB_PASS);
	memcpy(b, &k.ports, 4);
	assert_memory_equal(b, "\x12\x34\x08\x00", 4);
	icmp(&p, false, FX_A, FX_B, 0, 0x1234);
	assert_int_equal(ob_session_key4_of(&p.m, &p.meta, FX_ENI, &k), OB_PASS);
	memcpy(b, &k.ports, 4);
	assert_memory_equal(b, "\x08\x00\x12\x34", 4);
}

/* An error of a router about 'inner', of which 'n' bytes from its IP header on are carried. */
static void error_about(struct fx_pkt *e, const struct fx_pkt *inner, uint32_t to, uint32_t n)
{
	bool six = (inner->meta.flags & OB_PKT_IP6) != 0;

	icmp(e, six, 0x0afffffe, to, six ? 1 : 3, 0);
	memcpy(fx_l4(e) + 8, inner->bytes + 14, n);
	fx_len(e, 8 + n);
}

static unsigned error_key(const struct fx_pkt *e, union ob_session_key *k)
{
	return e->meta.flags & OB_PKT_IP6
		   ? ob_session_icmp_embedded6(&e->m, &e->meta, FX_ENI, &k->v6)
		   : ob_session_icmp_embedded4(&e->m, &e->meta, FX_ENI, &k->v4);
}

static void error_finds_the_connection_in_its_own_direction(void **state)
{
	struct fx *f = *state;
	struct ob_session_key4 k4;
	union ob_session_key k;
	struct fx_pkt p, e;
	uint32_t ref, got;

	fx_udp(&p, FX_A, FX_B, 1000, 53);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	error_about(&e, &p, FX_A, 28);
	assert_int_equal(ob_session_key4_of(&e.m, &e.meta, FX_ENI, &k4), OB_SESSION_IS_ERROR);
	assert_int_equal(error_key(&e, &k), OB_PASS);
	ob_session_find4(f->s, &k.v4, &got, 1);
	assert_int_equal(got, ref | 1);
	assert_int_equal(ob_session_track_error(f->s, got, &e.m, &e.meta), OB_PASS);
	/* It neither answers the connection nor keeps it. */
	assert_int_equal(state_of(f, ref), OB_SESSION_UDP_NEW);
	fx_pass(f, 29);
	assert_int_equal(ob_session_track_error(f->s, got, &e.m, &e.meta), OB_PASS);
	fx_pass(f, 2);
	assert_int_equal(ob_session_track_error(f->s, got, &e.m, &e.meta), OB_SESSION_MISS);
}

/* Behind NAT the error carries the packet as it was sent on. */
static void error_about_a_translated_packet_is_found(void **state)
{
	struct fx *f = *state;
	struct ob_session_new n;
	union ob_session_key k;
	struct fx_pkt p, out, e;
	uint32_t ref, got;

	fx_udp(&p, FX_A, FX_B, 1000, 53);
	fx_udp(&out, 0xc0000201, FX_B, 2048, 53);
	n = fx_new(&p);
	ob_session_key4_of(&out.m, &out.meta, FX_ENI, &n.key[1].v4);
	n.key[1].v4 = ob_session_reverse4(&n.key[1].v4);
	assert_int_equal(ob_session_add(f->s, &n, &p.m, &p.meta, &ref), 0);
	error_about(&e, &out, 0xc0000201, 28);
	assert_int_equal(error_key(&e, &k), OB_PASS);
	ob_session_find4(f->s, &k.v4, &got, 1);
	assert_int_equal(got, ref | 1);
}

static void error_about_an_echo_is_found(void **state)
{
	struct fx *f = *state;
	union ob_session_key k;
	struct fx_pkt p, e;
	uint32_t ref, got;

	for (unsigned six = 0; six < 2; six++) {
		icmp(&p, six, FX_A, FX_B, six ? 128 : 8, 99);
		assert_int_equal(fx_add(f, &p, &ref), 0);
		error_about(&e, &p, FX_A, six ? 48 : 28);
		assert_int_equal(error_key(&e, &k), OB_PASS);
		if (six)
			ob_session_find6(f->s, &k.v6, &got, 1);
		else
			ob_session_find4(f->s, &k.v4, &got, 1);
		assert_int_equal(got, ref | 1);
	}
}

static void error_that_tells_too_little_is_unrelated(void **state)
{
	union ob_session_key k;
	struct fx_pkt p, e;

	(void)state;
	fx_udp(&p, FX_A, FX_B, 1000, 53);
	for (uint32_t n = 0; n < 28; n++) {
		error_about(&e, &p, FX_A, n);
		assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
	}
	fx_ip6(&p, FX_A, FX_B, IPPROTO_UDP);
	fx_len(&p, 20);
	for (uint32_t n = 0; n < 48; n++) {
		error_about(&e, &p, FX_A, n);
		assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
	}
	/* A later fragment; an error about an error; another IP version. */
	fx_udp(&p, FX_A, FX_B, 1000, 53);
	error_about(&e, &p, FX_A, 28);
	fx_l4(&e)[8 + 7] = 1;
	assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
	icmp(&p, false, FX_A, FX_B, 11, 0);
	error_about(&e, &p, FX_B, 28);
	assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
	fx_udp(&p, FX_A, FX_B, 1000, 53);
	error_about(&e, &p, FX_A, 28);
	fx_l4(&e)[8] = 0x65;
	assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
	fx_l4(&e)[8] = 0x44;
	assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
}

static void ipv6_error_behind_extension_headers_is_found(void **state)
{
	struct fx_pkt p, e;
	union ob_session_key k, want;
	uint8_t *x;

	(void)state;
	fx_ip6(&p, FX_A, FX_B, IPPROTO_HOPOPTS);
	x = fx_l4(&p);
	x[0] = IPPROTO_FRAGMENT; /* 8 bytes */
	x[8] = IPPROTO_UDP;
	x[16 + 1] = 9;
	x[16 + 3] = 53;
	fx_len(&p, 24);
	error_about(&e, &p, FX_A, 64);
	assert_int_equal(error_key(&e, &k), OB_PASS);
	p.meta.l3_len = 56;
	p.meta.ip_proto = IPPROTO_UDP;
	p.meta.flags |= OB_PKT_UDP;
	assert_int_equal(ob_session_key6_of(&p.m, &p.meta, FX_ENI, &want.v6), OB_PASS);
	want.v6 = ob_session_reverse6(&want.v6);
	assert_memory_equal(&k.v6, &want.v6, sizeof(k.v6));
	/* Its first fragment only. */
	fx_l4(&e)[8 + 40 + 8 + 3] = 8;
	assert_int_equal(error_key(&e, &k), OB_DROP_ICMP_UNRELATED);
}

static void tcp_error_must_be_about_what_is_in_flight(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p, e;
	union ob_session_key k;
	uint32_t ref, got;

	fx_ip4(&p, FX_A, FX_B, IPPROTO_TCP);
	fx_tcp_seg(&p, 5, 6, &(struct fx_seg){RTE_TCP_SYN_FLAG, 1000, 0, 100, 0, 0});
	assert_int_equal(fx_add(f, &p, &ref), 0);
	for (unsigned i = 0; i < 3; i++) {
		static const struct {
			uint32_t seq;
			unsigned want;
		} c[] = {{1000, OB_PASS}, {999, OB_DROP_ICMP_UNRELATED},
		    {70000, OB_DROP_ICMP_UNRELATED}};

		fx_tcp_seg(&p, 5, 6, &(struct fx_seg){RTE_TCP_SYN_FLAG, c[i].seq, 0, 100, 0, 0});
		error_about(&e, &p, FX_A, 28);
		assert_int_equal(error_key(&e, &k), OB_PASS);
		ob_session_find4(f->s, &k.v4, &got, 1);
		assert_int_equal(got, ref | 1);
		assert_int_equal(ob_session_track_error(f->s, got, &e.m, &e.meta), c[i].want);
	}
	assert_int_equal(state_of(f, ref), OB_SESSION_TCP_SYN_SENT);
}

/* ---- others ---- */

static void protocols_without_ports_go_by_addresses(void **state)
{
	static const uint8_t protos[] = {IPPROTO_ESP, IPPROTO_GRE, IPPROTO_IPIP, 253};
	struct fx *f = *state;
	struct fx_pkt p, r;
	uint32_t ref;

	for (unsigned i = 0; i < RTE_DIM(protos); i++) {
		fx_ip4(&p, FX_A, FX_B, protos[i]);
		memset(fx_l4(&p), 0x5a, 8);
		fx_len(&p, 8);
		assert_int_equal(fx_add(f, &p, &ref), 0);
		fx_ip4(&r, FX_B, FX_A, protos[i]);
		memset(fx_l4(&r), 0xc3, 8);
		fx_len(&r, 8);
		assert_int_equal(fx_find(f, &r), ref | 1);
		assert_int_equal(state_of(f, ref), OB_SESSION_OTHER_NEW);
		assert_int_equal(fx_track(f, &r), OB_PASS);
		assert_int_equal(state_of(f, ref), OB_SESSION_OTHER_REPLIED);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(udp_lives_longer_once_it_was_answered),
	    T(time_outs_are_of_the_eni),
	    T(an_answer_may_shorten_the_time_out),
	    T(longest_time_out_is_kept),
	    T(a_long_sleep_is_caught_up_with),
	    T(the_clock_may_stand_anywhere_at_first),
	    T(expire_keeps_to_its_budget),
	    T(request_and_reply_are_one_connection),
	    T(the_identifier_is_the_port_of_who_asks),
	    T(error_finds_the_connection_in_its_own_direction),
	    T(error_about_a_translated_packet_is_found),
	    T(error_about_an_echo_is_found),
	    T(error_that_tells_too_little_is_unrelated),
	    T(ipv6_error_behind_extension_headers_is_found),
	    T(tcp_error_must_be_about_what_is_in_flight),
	    T(protocols_without_ports_go_by_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
