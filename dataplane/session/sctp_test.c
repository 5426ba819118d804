/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_fixture.h"

#define CLIENT_TAG 0x11111111u
#define SERVER_TAG 0x22222222u
#define NEW_CLIENT 0x33333333u
#define NEW_SERVER 0x44444444u

enum {
	DATA,
	INIT,
	INIT_ACK,
	ABORT = 6,
	SHUTDOWN,
	SHUTDOWN_ACK,
	ERROR,
	COOKIE_ECHO,
	COOKIE_ACK,
	SHUTDOWN_COMPLETE = 14
};

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

static void pkt(
    struct fx_pkt *p, bool from_client, uint8_t chunk, uint32_t tag, uint32_t init_tag, bool t)
{
	fx_ip4(p, from_client ? FX_A : FX_B, from_client ? FX_B : FX_A, IPPROTO_SCTP);
	fx_ports(p, from_client ? FX_SPORT : FX_DPORT, from_client ? FX_DPORT : FX_SPORT);
	fx_sctp(p, chunk, t, tag, init_tag);
}

static unsigned client(struct fx *f, uint8_t chunk, uint32_t tag, uint32_t init_tag)
{
	struct fx_pkt p;

	pkt(&p, true, chunk, tag, init_tag, false);
	return fx_track(f, &p);
}

static unsigned server(struct fx *f, uint8_t chunk, uint32_t tag, uint32_t init_tag)
{
	struct fx_pkt p;

	pkt(&p, false, chunk, tag, init_tag, false);
	return fx_track(f, &p);
}

static uint32_t open_init(struct fx *f)
{
	struct fx_pkt p;
	uint32_t ref;

	pkt(&p, true, INIT, 0, CLIENT_TAG, false);
	assert_int_equal(fx_add(f, &p, &ref), 0);
	return ref;
}

static uint32_t established(struct fx *f)
{
	uint32_t ref = open_init(f);

	assert_int_equal(server(f, INIT_ACK, CLIENT_TAG, SERVER_TAG), OB_PASS);
	assert_int_equal(client(f, COOKIE_ECHO, SERVER_TAG, 0), OB_PASS);
	assert_int_equal(server(f, COOKIE_ACK, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_ESTABLISHED);
	return ref;
}

static void only_a_sound_init_opens(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;
	uint32_t ref;

	pkt(&p, true, DATA, CLIENT_TAG, 0, false);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
	pkt(&p, true, INIT, 5, CLIENT_TAG, false);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
	pkt(&p, true, INIT, 0, 0, false);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
	pkt(&p, true, INIT, 0, CLIENT_TAG, false);
	fx_len(&p, 12 + 4);
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
	pkt(&p, true, INIT, 0, CLIENT_TAG, false);
	p.meta.flags |= OB_PKT_FRAG | OB_PKT_LATER_FRAG;
	assert_int_equal(fx_add(f, &p, &ref), -EPROTO);
}

static void strangers_do_not_know_the_tags(void **state)
{
	struct fx *f = *state;
	uint32_t ref = established(f);

	assert_int_equal(client(f, ABORT, CLIENT_TAG, 0), OB_DROP_TCP_STATE);
	assert_int_equal(server(f, ABORT, 0, 0), OB_DROP_TCP_STATE);
	assert_int_equal(server(f, DATA, SERVER_TAG, 0), OB_DROP_TCP_STATE);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_ESTABLISHED);
	assert_int_equal(server(f, DATA, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(server(f, ABORT, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_CLOSED);
}

static void reflected_tag_closes(void **state)
{
	struct fx *f = *state;
	uint32_t ref = established(f);
	struct fx_pkt p;

	pkt(&p, false, ABORT, SERVER_TAG, 0, true);
	assert_int_equal(fx_track(f, &p), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_CLOSED);
}

static void end_that_starts_anew_goes_on_under_new_tags(void **state)
{
	struct fx *f = *state;
	uint32_t ref = established(f);

	assert_int_equal(client(f, INIT, 0, NEW_CLIENT), OB_PASS);
	assert_int_equal(server(f, INIT_ACK, NEW_CLIENT, NEW_SERVER), OB_PASS);
	/* Nothing has proved the new tags yet. */
	assert_int_equal(server(f, DATA, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(client(f, COOKIE_ECHO, NEW_SERVER, 0), OB_PASS);
	assert_int_equal(server(f, COOKIE_ACK, NEW_CLIENT, 0), OB_PASS);
	assert_int_equal(client(f, DATA, NEW_SERVER, 0), OB_PASS);
	assert_int_equal(server(f, DATA, NEW_CLIENT, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_ESTABLISHED);
}

static void inits_that_cross_establish(void **state)
{
	struct fx *f = *state;
	uint32_t ref = open_init(f);

	assert_int_equal(server(f, INIT, 0, SERVER_TAG), OB_PASS);
	assert_int_equal(client(f, INIT_ACK, SERVER_TAG, CLIENT_TAG), OB_PASS);
	assert_int_equal(server(f, INIT_ACK, CLIENT_TAG, SERVER_TAG), OB_PASS);
	assert_int_equal(server(f, COOKIE_ECHO, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(client(f, COOKIE_ACK, SERVER_TAG, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_ESTABLISHED);
}

static void stale_cookie_error_passes_and_data_does_not(void **state)
{
	struct fx *f = *state;

	open_init(f);
	assert_int_equal(server(f, INIT_ACK, CLIENT_TAG, SERVER_TAG), OB_PASS);
	assert_int_equal(client(f, COOKIE_ECHO, SERVER_TAG, 0), OB_PASS);
	assert_int_equal(server(f, ERROR, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(server(f, DATA, CLIENT_TAG, 0), OB_DROP_TCP_STATE);
}

static void shutdown_closes_and_init_opens_anew(void **state)
{
	struct fx *f = *state;
	uint32_t ref = established(f);

	assert_int_equal(client(f, SHUTDOWN, SERVER_TAG, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_SHUTDOWN);
	assert_int_equal(server(f, SHUTDOWN_ACK, CLIENT_TAG, 0), OB_PASS);
	assert_int_equal(client(f, SHUTDOWN_COMPLETE, SERVER_TAG, 0), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_CLOSED);
	assert_int_equal(server(f, INIT, 0, NEW_SERVER), OB_SESSION_MISS);
}

/* A second chunk behind the first, which is padded. */
static void bundle(struct fx_pkt *p, uint8_t second)
{
	uint8_t *c = fx_l4(p) + 12 + 8;

	fx_l4(p)[15] = 5;
	memset(c, 0, 4);
	c[0] = second;
	c[3] = 4;
	fx_len(p, 12 + 8 + 4);
}

static void bundled_chunks_all_count(void **state)
{
	struct fx *f = *state;
	uint32_t ref = open_init(f);
	struct fx_pkt p;

	assert_int_equal(server(f, INIT_ACK, CLIENT_TAG, SERVER_TAG), OB_PASS);
	pkt(&p, true, COOKIE_ECHO, SERVER_TAG, 0, false);
	bundle(&p, DATA);
	assert_int_equal(fx_track(f, &p), OB_PASS);
	pkt(&p, false, COOKIE_ACK, CLIENT_TAG, 0, false);
	bundle(&p, DATA);
	assert_int_equal(fx_track(f, &p), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_ESTABLISHED);
	pkt(&p, true, DATA, SERVER_TAG, 0, false);
	bundle(&p, SHUTDOWN);
	assert_int_equal(fx_track(f, &p), OB_PASS);
	assert_int_equal(ob_session_state_of(f->s, ref), OB_SESSION_SCTP_SHUTDOWN);
	pkt(&p, true, DATA, SERVER_TAG, 0, false);
	bundle(&p, INIT);
	assert_int_equal(fx_track(f, &p), OB_DROP_MALFORMED_L4);
}

static void malformed_is_dropped(void **state)
{
	struct fx *f = *state;
	struct fx_pkt p;

	established(f);
	pkt(&p, true, DATA, SERVER_TAG, 0, false);
	fx_l4(&p)[15] = 3;
	assert_int_equal(fx_track(f, &p), OB_DROP_MALFORMED_L4);
	fx_len(&p, 12);
	assert_int_equal(fx_track(f, &p), OB_DROP_MALFORMED_L4);
	fx_len(&p, 8);
	assert_int_equal(fx_track(f, &p), OB_DROP_MALFORMED_L4);
	fx_len(&p, 3);
	assert_int_equal(ob_session_key4_of(&p.m, &p.meta, FX_ENI, &(struct ob_session_key4){0}),
	    OB_DROP_MALFORMED_L4);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(only_a_sound_init_opens),
	    T(strangers_do_not_know_the_tags),
	    T(reflected_tag_closes),
	    T(end_that_starts_anew_goes_on_under_new_tags),
	    T(inits_that_cross_establish),
	    T(stale_cookie_error_passes_and_data_does_not),
	    T(shutdown_closes_and_init_opens_anew),
	    T(bundled_chunks_all_count),
	    T(malformed_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
