/* SPDX-License-Identifier: BSD-3-Clause */
/* Allowances on the bus. */
#include "test_card.h"

static struct ob_bus_eni e1;

static void add_eni(void)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 100);

	e1 = eni("e1", "f1", "red");
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e1), 0);
}

static void allowances_come_back_and_are_obeyed(void **state)
{
	struct ob_bus_meter m = {.eni = "e1"}, r;
	struct ob_session_eni_conf conf = {.max_half_open = 9};
	unsigned n = 0;

	(void)state;
	add_eni();
	assert_int_equal(ob_session_eni_set(0, &conf), 0);
	assert_int_equal(list(OB_BUS_METER, NULL, 0, &r, sizeof(r)), 1);
	assert_memory_equal(&r, &m, sizeof(m));
	m.rate[OB_BUS_BW_IN] = 1000000000;
	m.burst[OB_BUS_BW_IN] = 100000;
	m.rate[OB_BUS_CPS] = 10;
	m.burst[OB_BUS_CPS] = 5;
	m.rate[OB_BUS_CONNECTIONS] = 7;
	assert_int_equal(SET(OB_BUS_METER, m), 0);
	assert_int_equal(list(OB_BUS_METER, &m, sizeof(m), &r, sizeof(r)), 1);
	assert_memory_equal(&r, &m, sizeof(m));
	/* The session table has the limit of connections, and keeps what else it was told. */
	assert_int_equal(ob_session_enis[0].max_live, 7);
	assert_int_equal(ob_session_enis[0].max_half_open, 9);
	while (ob_meter_new_connection(0, 0, 1000000) && n < 100)
		n++;
	assert_true(n >= 1 && n <= 16);
	assert_int_equal(list(OB_BUS_METER, &m, sizeof(m), &r, sizeof(r)), 1);
	assert_int_equal(r.exceeded[OB_BUS_CPS], 1);
	assert_int_equal(DEL(OB_BUS_METER, m), 0);
	assert_int_equal(list(OB_BUS_METER, &m, sizeof(m), &r, sizeof(r)), 1);
	assert_int_equal(r.rate[OB_BUS_CPS], 0);
	assert_int_equal(ob_session_enis[0].max_live, 0);
	assert_true(ob_meter_new_connection(0, 0, 1000000));
}

#define BAD(change, rc, text)                                 \
	do {                                                  \
		struct ob_bus_meter bad = m;                  \
		change;                                       \
		assert_int_equal(SET(OB_BUS_METER, bad), rc); \
		assert_true(says(text));                      \
	} while (0)

static void allowances_are_checked(void **state)
{
	struct ob_bus_meter m = {.eni = "e1"}, r;

	(void)state;
	add_eni();
	BAD(bad.eni[1] = '2', -ENOENT, "e2");
	BAD(bad.rate[7] = 1, -EINVAL, "kind 7");
	BAD(bad.burst[6] = 1, -EINVAL, "kind 6");
	BAD(bad.rate[OB_BUS_CONNECTIONS] = 1ull << 32, -EINVAL, "connections");
	BAD(bad.burst[OB_BUS_CONNECTIONS] = 1, -EINVAL, "burst");
	BAD(bad.rate[OB_BUS_BW_OUT] = 1ull << 50, -EINVAL, "");
	REFUSED(OB_BUS_METER, m, (void)0, -EOPNOTSUPP, "cannot be added");
	/* They go with the ENI. */
	m.rate[OB_BUS_PPS_OUT] = 5;
	assert_int_equal(SET(OB_BUS_METER, m), 0);
	assert_int_equal(DEL(OB_BUS_ENI, e1), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e1), 0);
	assert_int_equal(list(OB_BUS_METER, NULL, 0, &r, sizeof(r)), 1);
	assert_int_equal(r.rate[OB_BUS_PPS_OUT], 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(allowances_come_back_and_are_obeyed), T(allowances_are_checked)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
