/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_fixture.h"

#define S   RTE_TCP_SYN_FLAG
#define A   RTE_TCP_ACK_FLAG
#define F   RTE_TCP_FIN_FLAG
#define R   RTE_TCP_RST_FLAG
#define P   RTE_TCP_PSH_FLAG
#define ISN 0xfffffff0u /* sequence numbers run over at once */
#define IRS 1000u

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

static void make(struct fx_pkt *p, bool back, struct fx_seg g)
{
	fx_ip4(p, back ? FX_B : FX_A, back ? FX_A : FX_B, IPPROTO_TCP);
	fx_tcp_seg(p, back ? FX_DPORT : FX_SPORT, back ? FX_SPORT : FX_DPORT, &g);
}

static int first(struct fx *f, struct fx_seg g)
{
	struct fx_pkt p;
	uint32_t ref;

	make(&p, false, g);
	return fx_add(f, &p, &ref);
}
/* A segment of the client, and one of the server. */
static unsigned client(struct fx *f, struct fx_seg g)
{
	struct fx_pkt p;

	make(&p, false, g);
	return fx_track(f, &p);
}
static unsigned server(struct fx *f, struct fx_seg g)
{
	struct fx_pkt p;

	make(&p, true, g);
	return fx_track(f, &p);
}

static unsigned state_of(struct fx *f)
{
	struct fx_pkt p;
	uint32_t ref;

	make(&p, false, (struct fx_seg){.flags = A});
	ref = fx_find(f, &p);
	return ref == OB_SESSION_NONE ? (unsigned)OB_SESSION_FREE : ob_session_state_of(f->s, ref);
}

static void establish(struct fx *f, int client_scale, int server_scale)
{
	assert_int_equal(first(f, (struct fx_seg){S, ISN, 0, 8000, 0, client_scale}), 0);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_SENT);
	assert_int_equal(
	    server(f, (struct fx_seg){S | A, IRS, ISN + 1, 4000, 0, server_scale}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_RECV);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
}

static void connection_opens_talks_and_closes(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	assert_int_equal(
	    client(f, (struct fx_seg){A | P, ISN + 1, IRS + 1, 8000, 500, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 501, 4000, 700, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A | F, ISN + 501, IRS + 701, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_FIN_WAIT);
	/* Again: lost on the way behind us. */
	assert_int_equal(
	    client(f, (struct fx_seg){A | F, ISN + 501, IRS + 701, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_FIN_WAIT);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 701, ISN + 502, 4000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE_WAIT);
	/* A half-closed connection still carries data. */
	assert_int_equal(
	    server(f, (struct fx_seg){A, IRS + 701, ISN + 502, 4000, 1000, 0}), OB_PASS);
	assert_int_equal(
	    server(f, (struct fx_seg){A | F, IRS + 1701, ISN + 502, 4000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_LAST_ACK);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 502, IRS + 1702, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
	fx_pass(f, 29.5);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
	fx_pass(f, 1);
	assert_int_equal(state_of(f), OB_SESSION_FREE);
}

static void both_close_at_once(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	assert_int_equal(client(f, (struct fx_seg){A | F, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A | F, IRS + 1, ISN + 1, 4000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_LAST_ACK);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 2, IRS + 2, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 2, ISN + 2, 4000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
}

static void both_open_at_once(void **state)
{
	struct fx *f = *state;

	assert_int_equal(first(f, (struct fx_seg){S, ISN, 0, 8000, 0, 7}), 0);
	assert_int_equal(server(f, (struct fx_seg){S, IRS, 0, 4000, 0, 7}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_SENT2);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 0, 0}), OB_DROP_TCP_STATE);
	assert_int_equal(client(f, (struct fx_seg){S | A, ISN, IRS + 1, 8000, 0, 7}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_RECV);
	assert_int_equal(server(f, (struct fx_seg){S | A, IRS, ISN + 1, 4000, 0, 7}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 100, 50, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 51, 100, 12800, 0}), OB_PASS);
	assert_int_equal(
	    server(f, (struct fx_seg){A, ISN + 9000000, ISN + 51, 100, 1, 0}), OB_DROP_TCP_WINDOW);
}

static void only_a_syn_opens_when_strict(void **state)
{
	struct fx *f = *state;
	static const uint8_t wrong[] = {A, A | P, S | A, F | A, R, R | A, S | F, S | R, 0, F, P};
	struct ob_session_eni_conf c = {.tcp_loose = true};
	struct ob_session_counters n;

	for (unsigned i = 0; i < RTE_DIM(wrong); i++)
		assert_int_equal(
		    first(f, (struct fx_seg){wrong[i], ISN, IRS, 8000, 0, 0}), -EPROTO);
	ob_session_counters_read(0, &n);
	assert_int_equal(n.n_refused_proto, RTE_DIM(wrong));
	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	for (unsigned i = 2; i < RTE_DIM(wrong); i++) {
		if (wrong[i] != (A | P))
			assert_int_equal(
			    first(f, (struct fx_seg){wrong[i], ISN, IRS, 8000, 0, 0}), -EPROTO);
	}
	assert_int_equal(first(f, (struct fx_seg){A, ISN, IRS, 8000, 10, 0}), 0);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	/* Its windows are not known. */
	assert_int_equal(server(f, (struct fx_seg){A, 12345678, 87654321, 8000, 10, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){R, 999, 0, 0, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE);
}

static void senseless_flags_are_dropped(void **state)
{
	struct fx *f = *state;
	static const uint8_t wrong[] = {0, F, P, S | F, S | F | A, S | R, F | R | A, 0x3f};

	establish(f, 0, 0);
	for (unsigned i = 0; i < RTE_DIM(wrong); i++)
		assert_int_equal(client(f, (struct fx_seg){wrong[i], ISN + 1, IRS + 1, 8000, 0, 0}),
		    OB_DROP_TCP_STATE);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
}

static void out_of_window_is_dropped(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	/* The server offers 4000 bytes. */
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 4000, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 4002, IRS + 1, 8000, 1, 0}), OB_DROP_TCP_WINDOW);
	/* Old data is taken for a retransmission up to a window's width. */
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 1000, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN - 4000, IRS + 1, 8000, 100, 0}), OB_DROP_TCP_WINDOW);
	/* Acknowledges what was never sent, or long ago. */
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 4001, IRS + 2, 8000, 0, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 4001, IRS - 70000, 8000, 0, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 4001, IRS + 1, 8000, 0, 0}), OB_PASS);
}

static void closed_window_may_be_probed(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 4000, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 4001, 0, 0, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 4001, IRS + 1, 8000, 1, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 4000, IRS + 1, 8000, 0, 0}),
	    OB_PASS); /* keep-alive */
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 4002, 4000, 0, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 4002, IRS + 1, 8000, 4000, 0}), OB_PASS);
}

static void scaling_holds_if_both_offer_it(void **state)
{
	struct fx *f = *state;

	establish(f, 3, 7);
	/* 100 << 7 = 12800 */
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 1, 100, 0, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 12800, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 12802, IRS + 1, 8000, 1, 0}), OB_DROP_TCP_WINDOW);
}

static void scaling_of_one_end_only_is_none(void **state)
{
	struct fx *f = *state;

	establish(f, 7, 0);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 100, 0, 0}), OB_PASS);
	/* 8000 of the SYN still hold; 100 << 7 would be 12800. */
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 1, 4000, 8000, 0}), OB_PASS);
	assert_int_equal(
	    server(f, (struct fx_seg){A, IRS + 8002, ISN + 1, 4000, 1, 0}), OB_DROP_TCP_WINDOW);
}

/* Bulk data: acknowledgements lag by megabytes. */
static void late_acknowledgements_within_a_large_window_pass(void **state)
{
	struct fx *f = *state;

	establish(f, 10, 10);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 1, 4000, 0, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 4000, 0, 0}), OB_PASS);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(
		    server(f, (struct fx_seg){A, IRS + 1 + i * 1400, ISN + 1, 4000, 1400, 0}),
		    OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1401, 4000, 0, 0}), OB_PASS);
}

static void reset_must_be_where_it_is_taken(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 500, 0}), OB_PASS);
	/* Out of window: dropped. In window, not at its edge: its receiver asks back (RFC 5961). */
	assert_int_equal(
	    client(f, (struct fx_seg){R, ISN + 100000, 0, 0, 0, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(client(f, (struct fx_seg){R, ISN + 3000, 0, 0, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	/* Between what was acknowledged and what was sent. */
	assert_int_equal(client(f, (struct fx_seg){R, ISN + 1, 0, 0, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE);
	fx_pass(f, 9);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE);
	fx_pass(f, 2);
	assert_int_equal(state_of(f), OB_SESSION_FREE);
}

static void refusal_must_answer_the_syn(void **state)
{
	struct fx *f = *state;

	assert_int_equal(first(f, (struct fx_seg){S, ISN, 0, 8000, 0, 0}), 0);
	assert_int_equal(server(f, (struct fx_seg){R, 0, 0, 0, 0, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(server(f, (struct fx_seg){R | A, 0, ISN, 0, 0, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_SENT);
	assert_int_equal(server(f, (struct fx_seg){R | A, 0, ISN + 1, 0, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE);
}

static void syn_on_a_live_connection_changes_nothing(void **state)
{
	struct fx *f = *state;

	establish(f, 0, 0);
	/* The server answers it with an acknowledgement (RFC 5961, 4). */
	assert_int_equal(client(f, (struct fx_seg){S, ISN + 77777, 0, 1, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 1, 4000, 0, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 4000, 0}), OB_PASS);
}

static void close_connection(struct fx *f)
{
	assert_int_equal(client(f, (struct fx_seg){A | F, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A | F, IRS + 1, ISN + 2, 4000, 0, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 2, IRS + 2, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
}

static void syn_in_time_wait_is_a_new_connection(void **state)
{
	struct fx *f = *state;
	struct ob_session_counters n;

	establish(f, 0, 0);
	close_connection(f);
	assert_int_equal(client(f, (struct fx_seg){S, ISN + 5000, 0, 8000, 0, 0}), OB_SESSION_MISS);
	assert_int_equal(state_of(f), OB_SESSION_FREE);
	assert_int_equal(first(f, (struct fx_seg){S, ISN + 5000, 0, 8000, 0, 0}), 0);
	assert_int_equal(state_of(f), OB_SESSION_TCP_SYN_SENT);
	ob_session_counters_read(0, &n);
	assert_int_equal(n.n_reopened, 1);
}

static void syn_again_with_another_number_counts(void **state)
{
	struct fx *f = *state;

	assert_int_equal(first(f, (struct fx_seg){S, 5, 0, 8000, 0, 0}), 0);
	assert_int_equal(client(f, (struct fx_seg){S, ISN, 0, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){S | A, IRS, ISN + 1, 4000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){S | A, IRS, ISN + 1, 4000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){S | A, IRS + 900000, ISN + 1, 4000, 0, 0}),
	    OB_DROP_TCP_WINDOW);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
}

static void unchecked_windows_let_all_pass(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.tcp_no_window = true}, on = {.max_live = 9};

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	establish(f, 0, 0);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 1u + (1u << 30), 5, 1, 1000, 0}), OB_PASS);
	/* Once unchecked, its windows are not known any more. */
	assert_int_equal(ob_session_eni_set(FX_ENI, &on), 0);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 7, 77777, 1, 1000, 0}), OB_PASS);
	assert_int_equal(client(f, (struct fx_seg){A | F, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A, IRS + 1, ISN + 2, 4000, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE_WAIT);
	assert_int_equal(server(f, (struct fx_seg){R, 1, 0, 0, 0, 0}), OB_PASS);
	assert_int_equal(state_of(f), OB_SESSION_TCP_CLOSE);
}

static void check_switched_off_frees_a_live_connection(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.tcp_no_window = true};

	establish(f, 0, 0);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 900000, IRS + 1, 8000, 1, 0}), OB_DROP_TCP_WINDOW);
	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 900000, IRS + 1, 8000, 1, 0}), OB_PASS);
}

static void fragments_of_a_segment_pass_and_keep_the_windows(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	establish(f, 0, 0);
	make(&p, false, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 980, 0});
	ref = fx_find(f, &p);
	p.meta.flags |= OB_PKT_FRAG;
	assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_PASS);
	p.meta.flags = OB_PKT_IP4 | OB_PKT_FRAG | OB_PKT_LATER_FRAG;
	p.meta.l4_len = 0;
	assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_PASS);
	/* The whole of it is acknowledged, though only the first part was read. */
	assert_int_equal(
	    server(f, (struct fx_seg){A, IRS + 1, ISN + 1 + 2000, 4000, 0, 0}), OB_PASS);
	assert_int_equal(
	    client(f, (struct fx_seg){A, ISN + 2001, IRS + 1, 8000, 1000, 0}), OB_PASS);
}

static void fragments_do_not_come_before_the_handshake_is_through(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	assert_int_equal(first(f, (struct fx_seg){S, ISN, 0, 8000, 0, 0}), 0);
	make(&p, false, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 980, 0});
	ref = fx_find(f, &p);
	p.meta.flags = OB_PKT_IP4 | OB_PKT_FRAG | OB_PKT_LATER_FRAG;
	assert_int_equal(ob_session_track(f->s, ref, &p.m, &p.meta), OB_DROP_TCP_STATE);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
}

/* Short connections stay where the wheel has them; a state that ends sooner moves them. */
static void time_outs_hold_to_the_tick_in_every_state(void **state)
{
	struct fx *f = *state;
	struct ob_session_eni_conf c = {.timeout_s = {[OB_SESSION_TCP_SYN_SENT] = 20,
					    [OB_SESSION_TCP_ESTABLISHED] = 3000,
					    [OB_SESSION_TCP_FIN_WAIT] = 5,
					    [OB_SESSION_TCP_LAST_ACK] = 700,
					    [OB_SESSION_TCP_TIME_WAIT] = 3}};

	assert_int_equal(ob_session_eni_set(FX_ENI, &c), 0);
	establish(f, 0, 0);
	fx_pass(f, 2999);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 1, IRS + 1, 8000, 1, 0}), OB_PASS);
	fx_pass(f, 2999.875);
	assert_int_equal(state_of(f), OB_SESSION_TCP_ESTABLISHED);
	assert_int_equal(client(f, (struct fx_seg){A | F, ISN + 2, IRS + 1, 8000, 0, 0}), OB_PASS);
	fx_pass(f, 4.875);
	assert_int_equal(state_of(f), OB_SESSION_TCP_FIN_WAIT);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f), OB_SESSION_FREE);

	establish(f, 0, 0);
	close_connection(f);
	fx_pass(f, 2.875);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f), OB_SESSION_FREE);

	/* Left half-closed for long, then closed. */
	establish(f, 0, 0);
	assert_int_equal(client(f, (struct fx_seg){A | F, ISN + 1, IRS + 1, 8000, 0, 0}), OB_PASS);
	assert_int_equal(server(f, (struct fx_seg){A | F, IRS + 1, ISN + 2, 4000, 0, 0}), OB_PASS);
	fx_pass(f, 699);
	assert_int_equal(client(f, (struct fx_seg){A, ISN + 2, IRS + 2, 8000, 0, 0}), OB_PASS);
	fx_pass(f, 2.875);
	assert_int_equal(state_of(f), OB_SESSION_TCP_TIME_WAIT);
	fx_pass(f, 0.125);
	assert_int_equal(state_of(f), OB_SESSION_FREE);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(connection_opens_talks_and_closes),
	    T(both_close_at_once),
	    T(both_open_at_once),
	    T(only_a_syn_opens_when_strict),
	    T(senseless_flags_are_dropped),
	    T(out_of_window_is_dropped),
	    T(closed_window_may_be_probed),
	    T(scaling_holds_if_both_offer_it),
	    T(scaling_of_one_end_only_is_none),
	    T(late_acknowledgements_within_a_large_window_pass),
	    T(reset_must_be_where_it_is_taken),
	    T(refusal_must_answer_the_syn),
	    T(syn_on_a_live_connection_changes_nothing),
	    T(syn_in_time_wait_is_a_new_connection),
	    T(syn_again_with_another_number_counts),
	    T(unchecked_windows_let_all_pass),
	    T(check_switched_off_frees_a_live_connection),
	    T(fragments_of_a_segment_pass_and_keep_the_windows),
	    T(fragments_do_not_come_before_the_handshake_is_through),
	    T(time_outs_hold_to_the_tick_in_every_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
