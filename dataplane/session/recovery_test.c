/* SPDX-License-Identifier: BSD-3-Clause */
/* Ends that forgot a connection, and strangers: what must pass so that the ends find out, and what must not. */
#include <rte_icmp.h>

#include "test_fixture.h"

#define SYN RTE_TCP_SYN_FLAG
#define ACK RTE_TCP_ACK_FLAG
#define RST RTE_TCP_RST_FLAG

#define CLIENT_ISN 500000u
#define SERVER_ISN 900000u

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
	fx_check(((struct fx *)*state)->s);
	fx_close(*state);
	return 0;
}

/* ---- TCP ---- */

static void seg(struct fx_pkt *p, bool from_client, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct fx_seg g = {.flags = flags, .seq = seq, .ack = ack, .win = 1000};

	fx_ip4(p, from_client ? FX_A : FX_B, from_client ? FX_B : FX_A, IPPROTO_TCP);
	fx_tcp_seg(p, from_client ? FX_SPORT : FX_DPORT, from_client ? FX_DPORT : FX_SPORT, &g);
}

static unsigned track(struct fx *f, bool from_client, uint8_t flags, uint32_t seq, uint32_t ack)
{
	struct fx_pkt p;

	seg(&p, from_client, flags, seq, ack);
	return fx_track(f, &p);
}

static uint32_t syn_sent(struct fx *f)
{
	struct fx_pkt p;
	uint32_t ref;

	seg(&p, true, SYN, CLIENT_ISN, 0);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	return ref;
}

/* RFC 9293, 3.5.1, figure 9: the server still holds a connection that the client, and we, know nothing of. */
static void reset_after_challenge_ack_passes_in_syn_sent(void **state)
{
	struct fx *f = *state;
	uint32_t ref = syn_sent(f);

	assert_int_equal(track(f, false, ACK, 300, 100), OB_PASS);
	assert_int_equal(track(f, true, RST, 100, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_TCP_SYN_SENT);
	assert_int_equal(track(f, true, SYN, CLIENT_ISN, 0), OB_PASS);
	assert_int_equal(track(f, false, SYN | ACK, SERVER_ISN, CLIENT_ISN + 1), OB_PASS);
	assert_int_equal(track(f, true, ACK, CLIENT_ISN + 1, SERVER_ISN + 1), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_TCP_ESTABLISHED);
}

static void reset_out_of_window_is_dropped_once_answered(void **state)
{
	struct fx *f = *state;

	syn_sent(f);
	assert_int_equal(track(f, false, SYN | ACK, SERVER_ISN, CLIENT_ISN + 1), OB_PASS);
	assert_int_equal(track(f, true, RST, 100, 0), OB_DROP_TCP_WINDOW);
}

static void new_syn_in_syn_recv_passes_and_the_reset_makes_room(void **state)
{
	struct fx *f = *state;
	uint32_t ref = syn_sent(f), other = CLIENT_ISN + 7000000;

	assert_int_equal(track(f, false, SYN | ACK, SERVER_ISN, CLIENT_ISN + 1), OB_PASS);
	assert_int_equal(track(f, true, SYN, other, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_TCP_SYN_RECV);
	/* The server's challenge, and the answer to it. */
	assert_int_equal(track(f, false, ACK, SERVER_ISN + 1, CLIENT_ISN + 1), OB_PASS);
	assert_int_equal(track(f, true, RST, CLIENT_ISN + 1, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_TCP_CLOSE);
	assert_int_equal(track(f, true, SYN, other, 0), OB_SESSION_MISS);
}

static void other_syn_does_not_disturb_the_handshake(void **state)
{
	struct fx *f = *state;
	uint32_t ref = syn_sent(f);

	assert_int_equal(track(f, false, SYN | ACK, SERVER_ISN, CLIENT_ISN + 1), OB_PASS);
	assert_int_equal(track(f, true, SYN, 7, 0), OB_PASS);
	assert_int_equal(track(f, true, ACK, CLIENT_ISN + 1, SERVER_ISN + 1), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_TCP_ESTABLISHED);
}

/* ---- ICMP ---- */

static void icmp(struct fx_pkt *p, bool six, uint32_t src, uint32_t dst, uint8_t type)
{
	if (six)
		fx_ip6(p, src, dst, IPPROTO_ICMPV6);
	else
		fx_ip4(p, src, dst, IPPROTO_ICMP);
	p->meta.flags |= OB_PKT_ICMP;
	p->meta.l4_len = 8;
	fx_l4(p)[0] = type;
	fx_l4(p)[5] = 7;
	fx_len(p, 8 + 16);
}

static void unasked_answers_open_nothing(void **state)
{
	static const struct {
		bool six;
		uint8_t query, answer;
	} kinds[] = {{false, 8, 0}, {false, 13, 14}, {true, 128, 129}};
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	for (unsigned i = 0; i < RTE_DIM(kinds); i++) {
		icmp(&p, kinds[i].six, FX_B, FX_A, kinds[i].answer);
		assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
		icmp(&p, kinds[i].six, FX_A, FX_B, kinds[i].query);
		assert_int_equal(fx_add(f, &p, &ref), 0);
		icmp(&p, kinds[i].six, FX_B, FX_A, kinds[i].answer);
		assert_int_equal(fx_track(f, &p), OB_PASS);
	}
}

static void later_fragments_of_icmp_open_nothing(void **state)
{
	struct ob_session_new n;
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	icmp(&p, false, FX_A, FX_B, 0);
	n = fx_new(&p);
	p.meta.flags = OB_PKT_IP4 | OB_PKT_FRAG | OB_PKT_LATER_FRAG;
	assert_int_equal(ob_session_add(f->s, &n, &p.m, &p.meta, &ref), -EPROTO);
}

static void other_familys_icmp_is_payload(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	fx_ip6(&p, FX_A, FX_B, IPPROTO_ICMP);
	fx_len(&p, 24);
	assert_int_equal(fx_add(f, &p, &ref), 0);
}

/* An error about 'inner', sent to 'dst'. */
static unsigned embedded(bool six, const struct fx_pkt *inner, uint32_t dst)
{
	union ob_session_key k;
	struct fx_pkt p;

	icmp(&p, six, FX_B, dst, six ? 1 : 3);
	memcpy(fx_l4(&p) + 8, inner->bytes + 14, 60);
	fx_len(&p, 8 + 60);
	return six ? ob_session_icmp_embedded6(&p.m, &p.meta, FX_ENI, &k.v6)
		   : ob_session_icmp_embedded4(&p.m, &p.meta, FX_ENI, &k.v4);
}

static void error_counts_only_for_the_sender_of_its_packet(void **state)
{
	struct fx_pkt p;

	(void)state;
	fx_udp(&p, FX_A, FX_B, FX_SPORT, FX_DPORT);
	assert_int_equal(embedded(false, &p, FX_A), OB_PASS);
	assert_int_equal(embedded(false, &p, FX_B), OB_DROP_ICMP_UNRELATED);
	assert_int_equal(embedded(false, &p, FX_A + 9), OB_DROP_ICMP_UNRELATED);
	fx_ip6(&p, FX_A, FX_B, IPPROTO_UDP);
	fx_ports(&p, FX_SPORT, FX_DPORT);
	assert_int_equal(embedded(true, &p, FX_A), OB_PASS);
	assert_int_equal(embedded(true, &p, FX_B), OB_DROP_ICMP_UNRELATED);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(reset_after_challenge_ack_passes_in_syn_sent),
	    T(reset_out_of_window_is_dropped_once_answered),
	    T(new_syn_in_syn_recv_passes_and_the_reset_makes_room),
	    T(other_syn_does_not_disturb_the_handshake),
	    T(unasked_answers_open_nothing),
	    T(later_fragments_of_icmp_open_nothing),
	    T(other_familys_icmp_is_payload),
	    T(error_counts_only_for_the_sender_of_its_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
