/* SPDX-License-Identifier: BSD-3-Clause */
/* NAT on the bus: pools, bindings, floating IPs, NAT64. */
#include "test_card.h"

static void add_objects(void)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 100), out = vnet("out", 4000);
	struct ob_bus_eni e = eni("e1", "f1", "red");

	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_VNET, out), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
}

static struct ob_bus_nat_pool pool(const char *name, uint8_t first, uint8_t last)
{
	struct ob_bus_nat_pool r = {.vnet = "out", .n_ranges = 1};

	strcpy(r.name, name);
	r.range[0] = (struct ob_bus_range){{198, 51, 100, first}, {198, 51, 100, last}};
	return r;
}

static struct ob_bus_fip fip(uint8_t last)
{
	return (struct ob_bus_fip){.vnet = "out",
	    .eni = "e1",
	    .public_ip = ip4(203, 0, 113, last, 32),
	    .private_ip = ip4(10, 0, 0, 5, 32)};
}

static void pool_comes_back_as_given_and_can_change(void **state)
{
	struct ob_bus_nat_pool p = pool("p", 16, 31), r;

	(void)state;
	add_objects();
	p.port_min = 2048;
	p.port_max = 4095;
	p.block_size = 64;
	p.max_blocks = 4;
	assert_int_equal(ADD(OB_BUS_NAT_POOL, p), 0);
	assert_int_equal(ADD(OB_BUS_NAT_POOL, p), -EEXIST);
	assert_int_equal(list(OB_BUS_NAT_POOL, &p, sizeof(p), &r, sizeof(r)), 1);
	assert_int_equal(r.n_addrs, 16);
	assert_int_equal(r.n_blocks, 16 * 2048 / 64);
	assert_int_equal(r.n_blocks_used, 0);
	r.n_addrs = r.n_blocks = 0;
	assert_memory_equal(&r, &p, sizeof(p));
	p.n_ranges = 2;
	p.range[1] = (struct ob_bus_range){{198, 51, 100, 40}, {198, 51, 100, 40}};
	assert_int_equal(SET(OB_BUS_NAT_POOL, p), 0);
	assert_int_equal(list(OB_BUS_NAT_POOL, &p, sizeof(p), &r, sizeof(r)), 1);
	assert_int_equal(r.n_addrs, 17);
	assert_int_equal(DEL(OB_BUS_NAT_POOL, p), 0);
	assert_int_equal(SET(OB_BUS_NAT_POOL, p), -ENOENT);
	assert_int_equal(list(OB_BUS_NAT_POOL, NULL, 0, NULL, 0), 0);
}

static void pool_fields_are_checked(void **state)
{
	struct ob_bus_nat_pool p = pool("p", 16, 31), q = pool("q", 20, 20);

	(void)state;
	add_objects();
	REFUSED(OB_BUS_NAT_POOL, p, bad.name[0] = '\0', -EINVAL, "name");
	REFUSED(OB_BUS_NAT_POOL, p, bad.vnet[0] = 'x', -ENOENT, "vnet");
	REFUSED(OB_BUS_NAT_POOL, p, bad.n_ranges = 0, -EINVAL, "--range");
	REFUSED(OB_BUS_NAT_POOL, p, bad.n_ranges = 9, -EINVAL, "1 to 8");
	REFUSED(OB_BUS_NAT_POOL, p, bad.range[7].last[0] = 1, -EINVAL, "not zero");
	REFUSED(OB_BUS_NAT_POOL, p, bad.range[0].last[3] = 1, -EINVAL, "ends before");
	REFUSED(OB_BUS_NAT_POOL, p, bad.range[0].first[0] = 127, -EINVAL, "no host");
	REFUSED(OB_BUS_NAT_POOL, p, bad.range[0].last[0] = 230, -EINVAL, "no host");
	REFUSED(OB_BUS_NAT_POOL, p, bad.range[0].last[1] = 200, -EINVAL, "1024 addresses");
	REFUSED(OB_BUS_NAT_POOL, p, bad.port_min = 80, -EINVAL, "1024");
	REFUSED(OB_BUS_NAT_POOL, p, bad.block_size = 100, -EINVAL, "block size");
	REFUSED(OB_BUS_NAT_POOL, p, bad.max_blocks = 5000, -EINVAL, "blocks");
	REFUSED(OB_BUS_NAT_POOL, p, bad.mac[0] = 1, -EINVAL, "multicast");
	REFUSED(OB_BUS_NAT_POOL, p, bad.reserved = 1, -EINVAL, "reserved");
	assert_int_equal(ADD(OB_BUS_NAT_POOL, p), 0);
	REFUSED(OB_BUS_NAT_POOL, q, (void)0, -EEXIST, "another pool");
	assert_int_equal(list(OB_BUS_NAT_POOL, NULL, 0, NULL, 0), 1);
}

static void a_bound_pool_is_held_until_its_eni_goes(void **state)
{
	struct ob_bus_nat_pool p = pool("p", 16, 31), q = pool("q", 40, 41), r;
	struct ob_bus_nat_bind b = {.eni = "e1", .pool = "p"}, got;
	struct ob_bus_vnet out = vnet("out", 4000);
	struct ob_bus_eni e = eni("e1", "f1", "red");

	(void)state;
	add_objects();
	assert_int_equal(ADD(OB_BUS_NAT_POOL, p), 0);
	assert_int_equal(ADD(OB_BUS_NAT_POOL, q), 0);
	REFUSED(OB_BUS_NAT_BIND, b, bad.eni[1] = '2', -ENOENT, "e2");
	REFUSED(OB_BUS_NAT_BIND, b, bad.pool[0] = 'x', -ENOENT, "nat-pool x");
	assert_int_equal(SET(OB_BUS_NAT_BIND, b), -ENOENT);
	assert_int_equal(DEL(OB_BUS_NAT_BIND, b), -ENOENT);
	assert_int_equal(ADD(OB_BUS_NAT_BIND, b), 0);
	REFUSED(OB_BUS_NAT_BIND, b, bad.pool[0] = 'q', -EEXIST, "nat-pool p");
	assert_int_equal(list(OB_BUS_NAT_BIND, NULL, 0, &got, sizeof(got)), 1);
	assert_memory_equal(&got, &b, sizeof(b));
	assert_int_equal(DEL(OB_BUS_NAT_POOL, p), -EBUSY);
	assert_true(says("eni e1"));
	assert_int_equal(DEL(OB_BUS_VNET, out), -EBUSY);
	b.pool[0] = 'q';
	assert_int_equal(SET(OB_BUS_NAT_BIND, b), 0);
	assert_int_equal(DEL(OB_BUS_NAT_POOL, p), 0);
	assert_int_equal(list(OB_BUS_NAT_POOL, &q, sizeof(q), &r, sizeof(r)), 1);
	assert_int_equal(r.n_enis, 1);
	assert_int_equal(DEL(OB_BUS_ENI, e), 0);
	assert_int_equal(list(OB_BUS_NAT_BIND, NULL, 0, NULL, 0), 0);
	assert_int_equal(DEL(OB_BUS_NAT_POOL, q), 0);
	assert_int_equal(DEL(OB_BUS_VNET, out), 0);
}

static void floating_ips_are_checked_and_hold_their_eni(void **state)
{
	struct ob_bus_fip f = fip(5), got, other = fip(6);
	struct ob_bus_nat_pool p = pool("p", 16, 31);
	struct ob_bus_eni e = eni("e1", "f1", "red");

	(void)state;
	add_objects();
	assert_int_equal(ADD(OB_BUS_NAT_POOL, p), 0);
	REFUSED(OB_BUS_FIP, f, bad.vnet[0] = 'x', -ENOENT, "vnet");
	REFUSED(OB_BUS_FIP, f, bad.eni[1] = '2', -ENOENT, "e2");
	REFUSED(OB_BUS_FIP, f, bad.public_ip.family = 0, -EINVAL, "public address");
	REFUSED(OB_BUS_FIP, f, (bad.public_ip.family = 6, bad.public_ip.prefix_len = 128), -EINVAL,
	    "IPv4");
	REFUSED(OB_BUS_FIP, f, bad.private_ip.b[3] = 6, -ENOENT, "private address");
	REFUSED(OB_BUS_FIP, f, bad.mac[0] = 1, -EINVAL, "multicast");
	REFUSED(OB_BUS_FIP, f, bad.reserved[1] = 1, -EINVAL, "reserved");
	REFUSED(OB_BUS_FIP, f, bad.public_ip = ip4(198, 51, 100, 20, 32), -EEXIST, "pool");
	assert_int_equal(SET(OB_BUS_FIP, f), -ENOENT);
	assert_int_equal(ADD(OB_BUS_FIP, f), 0);
	assert_int_equal(ADD(OB_BUS_FIP, f), -EEXIST);
	assert_int_equal(ADD(OB_BUS_FIP, other), -EEXIST);
	assert_true(says("floating IP already"));
	assert_int_equal(SET(OB_BUS_FIP, f), 0);
	assert_int_equal(list(OB_BUS_FIP, NULL, 0, &got, sizeof(got)), 1);
	memset(got.mac, 0, sizeof(got.mac));
	assert_memory_equal(&got, &f, sizeof(f));
	assert_int_equal(DEL(OB_BUS_ENI, e), -EBUSY);
	assert_true(says("obctl fip del 203.0.113.5 --vnet out"));
	assert_int_equal(DEL(OB_BUS_FIP, f), 0);
	assert_int_equal(DEL(OB_BUS_FIP, f), -ENOENT);
	assert_int_equal(DEL(OB_BUS_ENI, e), 0);
}

static void nat64_prefix_is_one_of_rfc_6052(void **state)
{
	struct ob_bus_nat64 n = {.eni = "e1",
				.prefix = {.family = 6,
				    .prefix_len = 96,
				    .b = {0, 0x64, 0xff, 0x9b}}},
			    got;

	(void)state;
	add_objects();
	REFUSED(OB_BUS_NAT64, n, bad.eni[1] = '2', -ENOENT, "e2");
	REFUSED(OB_BUS_NAT64, n, bad.prefix = ip4(10, 0, 0, 0, 8), -EINVAL, "IPv6 prefix");
	REFUSED(OB_BUS_NAT64, n, bad.prefix.prefix_len = 97, -EINVAL, "64:ff9b::/96");
	REFUSED(OB_BUS_NAT64, n, bad.prefix.prefix_len = 72, -EINVAL, "64:ff9b::/96");
	REFUSED(OB_BUS_NAT64, n, bad.reserved = 1, -EINVAL, "reserved");
	assert_int_equal(SET(OB_BUS_NAT64, n), -ENOENT);
	assert_int_equal(ADD(OB_BUS_NAT64, n), 0);
	assert_int_equal(ADD(OB_BUS_NAT64, n), -EEXIST);
	n.prefix.prefix_len = 64;
	assert_int_equal(SET(OB_BUS_NAT64, n), 0);
	assert_int_equal(list(OB_BUS_NAT64, NULL, 0, &got, sizeof(got)), 1);
	assert_memory_equal(&got, &n, sizeof(n));
	assert_int_equal(DEL(OB_BUS_NAT64, n), 0);
	assert_int_equal(DEL(OB_BUS_NAT64, n), -ENOENT);
	assert_int_equal(list(OB_BUS_NAT64, NULL, 0, NULL, 0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(pool_comes_back_as_given_and_can_change),
	    T(pool_fields_are_checked), T(a_bound_pool_is_held_until_its_eni_goes),
	    T(floating_ips_are_checked_and_hold_their_eni), T(nat64_prefix_is_one_of_rfc_6052)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
