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
	fx_close(*state);
	return 0;
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
	fx_check(f->s);
	ob_session_del(f->s, ref);
	assert_int_equal(fx_find(f, &p), OB_SESSION_NONE);
	assert_int_equal(fx_find(f, &r), OB_SESSION_NONE);
	fx_check(f->s);
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
	fx_check(f->s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(both_directions_find_the_session, setup, teardown),
	    cmocka_unit_test_setup_teardown(other_eni_is_another_connection, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
