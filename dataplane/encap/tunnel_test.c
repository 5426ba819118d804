/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_encap.h"

static void bad_tunnels_are_refused_with_a_reason(void **state)
{
	struct ob_tunnel_cfg good = test_tunnel(OB_ENCAP_GENEVE, "198.51.100.7"), c;
	char err[100];

	(void)state;
#define REFUSED(change)                                                            \
	do {                                                                       \
		c = good;                                                          \
		err[0] = '\0';                                                     \
		change;                                                            \
		assert_int_equal(ob_tunnel_set(1, &c, err, sizeof(err)), -EINVAL); \
		assert_true(strlen(err) > 10);                                     \
		assert_int_equal(ob_tunnel_set(1, &c, NULL, 0), -EINVAL);          \
	} while (0)
	REFUSED(c.type = 3);
	REFUSED(c.remote.family = 0);
	REFUSED(c.remote = test_ip("224.0.0.1"));
	REFUSED(c.remote = test_ip("ff02::1"));
	REFUSED(c.remote = test_ip("0.0.0.0"));
	REFUSED(c.local = test_ip("2001:db8::1"));
	REFUSED(c.type = OB_ENCAP_VXLAN; c.n_opts = 1);
	REFUSED(c.n_opts = OB_GENEVE_MAX_OPTIONS + 1);
	REFUSED(c.n_match = OB_GENEVE_MAX_OPTIONS + 1);
	REFUSED(c.n_opts = 1; c.opt[0].len = 3);
	REFUSED(c.n_opts = 2; c.opt[0].len = 124; c.opt[1].len = 4);
	REFUSED(c.dst_port = 4789);
#undef REFUSED
	assert_int_equal(ob_tunnel_set(OB_MAX_TUNNELS, &good, NULL, 0), -EINVAL);
	assert_null(ob_tunnel_get(1));
	assert_null(ob_tunnel_get(OB_MAX_TUNNELS));
}

static void keys_are_unique_and_holders_keep_it(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	struct ob_nexthop nh = {.valid = true, .mtu = 1500};

	(void)state;
	assert_int_equal(ob_tunnel_del(1), -ENOENT);
	assert_int_equal(ob_tunnel_hold(1), -ENOENT);
	assert_int_equal(ob_tunnel_set_nexthop(1, &nh), -ENOENT);
	assert_int_equal(ob_tunnel_set(1, &c, NULL, 0), 0);
	assert_int_equal(ob_tunnel_set_nexthop(1, &nh), -EINVAL); /* no source */
	assert_int_equal(ob_tunnel_set(1, &c, NULL, 0), 0);
	assert_int_equal(ob_tunnel_set(2, &c, NULL, 0), -EEXIST);
	c.dst_port = 8472;
	assert_int_equal(ob_tunnel_set(2, &c, NULL, 0), 0);
	assert_int_equal(ob_tunnel_hold(2), 0);
	assert_int_equal(ob_tunnel_refs(2), 1);
	assert_int_equal(ob_tunnel_del(2), -EBUSY);
	ob_tunnel_release(2);
	assert_int_equal(ob_tunnel_del(2), 0);
	assert_null(ob_tunnel_get(2));
	/* Moving a tunnel frees its old key. */
	c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.8");
	assert_int_equal(ob_tunnel_set(1, &c, NULL, 0), 0);
	c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");
	assert_int_equal(ob_tunnel_set(2, &c, NULL, 0), 0);
}

static void ports_are_limited(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_VXLAN, "198.51.100.7");

	(void)state;
	for (uint32_t i = 0; i < OB_MAX_TUNNEL_PORTS - 2; i++) {
		c.dst_port = (uint16_t)(10000 + i);
		assert_int_equal(ob_tunnel_set(i, &c, NULL, 0), 0);
	}
	c.dst_port = 9999;
	assert_int_equal(ob_tunnel_set(100, &c, NULL, 0), -ENOSPC);
	assert_int_equal(ob_tunnel_del(3), 0);
	assert_int_equal(ob_tunnel_set(100, &c, NULL, 0), 0);
}

static void too_many_local_addresses(void **state)
{
	static struct ob_ip ip[OB_MAX_LOCAL_ADDRS + 1];

	(void)state;
	assert_int_equal(ob_encap_set_local(ip, OB_MAX_LOCAL_ADDRS + 1, NULL), -ENOSPC);
}

static void records_survive_and_are_compiled_again(void **state)
{
	struct ob_tunnel_cfg c = test_tunnel(OB_ENCAP_GENEVE, "198.51.100.7");
	struct ob_outer o;
	uint32_t ip4;
	uint32_t idx;

	(void)state;
	c.dst_port = 7777;
	memcpy(&ip4, c.remote.b, 4);
	o.key = encap_key(OB_ENCAP_GENEVE, 7777, false, ip4, 0);
	test_add_tunnel(77, &c);
	ob_encap_fini();
	assert_null(ob_tunnel_get(77));
	assert_int_equal(ob_encap_init(test_arena), 0);
	assert_memory_equal(ob_tunnel_get(77), &c, sizeof(c));
	ob_outer_find(&o, &idx, 1);
	assert_int_equal(idx, 77);
	assert_int_equal(ob_encap_local()->n_ports, 3);
	assert_int_equal(ob_tunnel_inner_mtu(77), 0); /* the underlay tells again */
}

/* What an earlier version left may be damaged: it is refused, or forgotten record by record, never trusted. */
static void damaged_records_are_not_trusted(void **state)
{
	uint64_t rng = 5;
	uint32_t *head;
	bool fresh;
	void *p;

	(void)state;
	ob_encap_fini();
	assert_int_equal(ob_arena_region(test_arena, "encap.tunnel", 1,
			     64 + OB_MAX_TUNNELS * (4 + sizeof(struct ob_tunnel_cfg)), &p, &fresh),
	    0);
	assert_false(fresh);
	head = p;
	head[0] = OB_MAX_TUNNELS + 1;
	assert_int_equal(ob_encap_init(test_arena), -EPROTO);
	head[0] = 200;
	for (unsigned i = 16; i < 16 + 200 * (4 + sizeof(struct ob_tunnel_cfg)) / 4; i++) {
		rng = rng * 6364136223846793005ull + 1442695040888963407ull;
		head[i] =
		    (uint32_t)(rng >> 40) & 0x03030303; /* many small numbers: some look right */
	}
	assert_int_equal(ob_encap_init(test_arena), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		bad_tunnels_are_refused_with_a_reason, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		keys_are_unique_and_holders_keep_it, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(ports_are_limited, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(too_many_local_addresses, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(damaged_records_are_not_trusted, test_begin, test_end),
	    cmocka_unit_test_setup_teardown(
		records_survive_and_are_compiled_again, test_begin, test_end),
	};
	int rc;

	if (test_setup(NULL) < 0)
		return 1;
	rc = cmocka_run_group_tests_name("tunnel", tests, NULL, NULL) + encap_tests() +
	     decap_tests();
	test_teardown(NULL);
	return rc;
}
