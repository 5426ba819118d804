/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions on the bus: defaults, states, refusals. */
#include "test_card.h"

static void function_gets_defaults(void **state)
{
	struct ob_bus_function f = function("f1"), r, other = function("f2");
	uint8_t mac[6];

	(void)state;
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r)), 1);
	assert_string_equal(r.socket, "/run/test/f1.sock");
	assert_int_equal(r.mac[0] & 3, 2);
	assert_int_equal(r.mtu, 1500);
	assert_int_equal(r.n_pairs, 1);
	assert_int_equal(r.packed, 1);
	assert_int_equal(r.link, 1);
	assert_int_equal(r.rx_pkts, 5);
	assert_int_equal(r.tx_bytes, 300);
	assert_int_equal(r.state, OB_BUS_FN_WAITING);
	memcpy(mac, r.mac, 6);
	assert_int_equal(ADD(OB_BUS_FUNCTION, other), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, &other, sizeof(other), &r, sizeof(r)), 1);
	assert_memory_not_equal(r.mac, mac, 6);
	/* The same name has the same MAC again. */
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, &f, sizeof(f), &r, sizeof(r)), 1);
	assert_memory_equal(r.mac, mac, 6);
}

static void function_states(void **state)
{
	struct ob_bus_function f = function("f1"), r;

	(void)state;
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	fake_models.connected = true;
	list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r));
	assert_int_equal(r.state, OB_BUS_FN_CONNECTED);
	fake_models.driver_status = 0xf;
	list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r));
	assert_int_equal(r.state, OB_BUS_FN_RUNNING);
	fake_models.driver_status = 0x4f;
	list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r));
	assert_int_equal(r.state, OB_BUS_FN_BROKEN);
}

static void function_fields_are_checked(void **state)
{
	struct ob_bus_function f = function("f1"), r;

	(void)state;
	REFUSED(OB_BUS_FUNCTION, f, bad.name[0] = '\0', -EINVAL, "name");
	REFUSED(OB_BUS_FUNCTION, f, bad.name[0] = '/', -EINVAL, "name");
	REFUSED(OB_BUS_FUNCTION, f, bad.name[0] = '.', -EINVAL, "name");
	REFUSED(OB_BUS_FUNCTION, f, bad.name[20] = 'x', -EINVAL, "name");
	REFUSED(OB_BUS_FUNCTION, f, memset(bad.name, 'x', sizeof(bad.name)), -EINVAL, "name");
	REFUSED(OB_BUS_FUNCTION, f, strcpy(bad.name, "uplink"), -EINVAL, "uplink");
	REFUSED(OB_BUS_FUNCTION, f, memset(bad.socket, '/', sizeof(bad.socket)), -EINVAL, "socket");
	REFUSED(OB_BUS_FUNCTION, f, strcpy(bad.socket, "a.sock"), -EINVAL, "absolute");
	REFUSED(OB_BUS_FUNCTION, f, strcpy(bad.socket, "/a\n"), -EINVAL, "socket");
	REFUSED(OB_BUS_FUNCTION, f, bad.type = 9, -ENOTSUP, "type");
	REFUSED(OB_BUS_FUNCTION, f, bad.transport = 0, -EINVAL, "transport");
	REFUSED(OB_BUS_FUNCTION, f, bad.transport = 5, -EINVAL, "transport");
	REFUSED(OB_BUS_FUNCTION, f, bad.mac[0] = 1, -EINVAL, "multicast");
	REFUSED(OB_BUS_FUNCTION, f, bad.mtu = 20, -EINVAL, "mtu");
	REFUSED(OB_BUS_FUNCTION, f, bad.mtu = 10000, -EINVAL, "mtu");
	REFUSED(OB_BUS_FUNCTION, f, bad.link = 3, -EINVAL, "link");
	REFUSED(OB_BUS_FUNCTION, f, bad.packed = 3, -EINVAL, "packed");
	REFUSED(OB_BUS_FUNCTION, f, bad.n_pairs = 17, -EINVAL, "queue pairs");
	REFUSED(OB_BUS_FUNCTION, f, bad.queue_size = 100, -EINVAL, "queue size");
	REFUSED(OB_BUS_FUNCTION, f, bad.queue_size = 8192, -EINVAL, "queue size");
	fake_models.create_rc = -EADDRINUSE;
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -EADDRINUSE, "another process");
	fake_models.create_rc = -ENOENT;
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -ENOENT, "folder");
	fake_models.create_rc = -EACCES;
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -EACCES, "may not");
	fake_models.create_rc = -ENOMEM;
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -ENOMEM, "f1");
	fake_models.create_rc = 0;
	assert_int_equal(list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r)), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -EEXIST, "exists already");
	REFUSED(OB_BUS_FUNCTION, f,
	    (strcpy(bad.name, "f2"), strcpy(bad.socket, "/run/test/f1.sock")), -EADDRINUSE, "f1");
}

static void function_behind_a_port(void **state)
{
	struct ob_bus_function f = function("f1"), r;

	(void)state;
	REFUSED(OB_BUS_FUNCTION, f, strcpy(bad.port, "net_null0"), -EINVAL, "transport port");
	f.transport = OB_BUS_PORT;
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -EINVAL, "port is missing");
	strcpy(f.port, "net_null0,size=64");
	REFUSED(OB_BUS_FUNCTION, f, strcpy(bad.socket, "/a.sock"), -EINVAL, "no socket");
	REFUSED(OB_BUS_FUNCTION, f, bad.port[3] = ' ', -EINVAL, "printable");
	REFUSED(OB_BUS_FUNCTION, f, memset(bad.port, 'x', sizeof(bad.port)), -EINVAL, "longer");
	fake_models.create_rc = -EBUSY;
	fake_models.err = "somebody has it";
	REFUSED(OB_BUS_FUNCTION, f, (void)0, -EBUSY, "somebody has it");
	fake_models.create_rc = 0;
	fake_models.err = NULL;
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r)), 1);
	assert_string_equal(r.port, "net_null0,size=64");
	assert_string_equal(r.socket, "");
	r.link = 2;
	assert_int_equal(SET(OB_BUS_FUNCTION, r), 0);
	strcpy(r.port, "net_null1");
	assert_int_equal(SET(OB_BUS_FUNCTION, r), -ENOTSUP);
	/* Another port function: their empty sockets are not the same socket. */
	strcpy(f.name, "f2");
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
}

static void function_link_can_be_set_and_nothing_else(void **state)
{
	struct ob_bus_function f = function("f1"), r;

	(void)state;
	assert_int_equal(SET(OB_BUS_FUNCTION, f), -ENOENT);
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, NULL, 0, &r, sizeof(r)), 1);
	r.link = 2;
	assert_int_equal(SET(OB_BUS_FUNCTION, r), 0);
	assert_true(fake_models.link_down);
	r.link = 1;
	assert_int_equal(SET(OB_BUS_FUNCTION, r), 0);
	assert_false(fake_models.link_down);
	r.mtu = 1400;
	assert_int_equal(SET(OB_BUS_FUNCTION, r), -ENOTSUP);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(function_gets_defaults),
	    T(function_states),
	    T(function_fields_are_checked),
	    T(function_behind_a_port),
	    T(function_link_can_be_set_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
