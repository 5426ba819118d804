/* SPDX-License-Identifier: BSD-3-Clause */
/* Every noun, every verb and every refusal, request by request. Functions: function_test.c. */
#include "test_card.h"

static void add_basics(void)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 100);
	struct ob_bus_tunnel t = tunnel("t1", 2);

	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_TUNNEL, t), 0);
}

/* ---- packets ---- */

static void wrong_version_is_eprotonosupport(void **state)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_CARD, 0, 0);

	(void)state;
	h.version = 9;
	assert_int_equal(send_raw(&h, NULL, 0), -EPROTONOSUPPORT);
	assert_int_equal(rep_hdr.seq, 77);
}

static void short_packet_and_wrong_magic_are_eproto(void **state)
{
	struct ob_bus_hdr h = hdr(OB_BUS_LIST, OB_BUS_CARD, 0, 0);
	bool more;

	(void)state;
	h.magic = 1;
	assert_int_equal(send_raw(&h, NULL, 0), -EPROTO);
	for (size_t len = 0; len < sizeof(h); len++) {
		assert_true(ob_card_request(card, &h, len, rep, &more) > sizeof(h));
		memcpy(&rep_hdr, rep, sizeof(rep_hdr));
		assert_int_equal(rep_hdr.status, -EPROTO);
	}
}

static void lengths_that_disagree_are_eproto(void **state)
{
	struct ob_bus_vnet v = vnet("red", 1);
	struct ob_bus_hdr h = hdr(OB_BUS_ADD, OB_BUS_VNET, 1, sizeof(v));

	(void)state;
	h.body_len++;
	assert_int_equal(send_raw(&h, &v, sizeof(v)), -EPROTO);
	h = hdr(OB_BUS_ADD, OB_BUS_VNET, 2, sizeof(v));
	h.body_len = sizeof(v);
	assert_int_equal(send_raw(&h, &v, sizeof(v)), -EPROTO);
	h = hdr(OB_BUS_ADD, OB_BUS_VNET, 1, sizeof(v) - 4);
	assert_int_equal(send_raw(&h, &v, sizeof(v) - 4), -EPROTO);
	h = hdr(OB_BUS_ADD, OB_BUS_VNET, 0, 0);
	assert_int_equal(send_raw(&h, NULL, 0), -EPROTO);
	h.body_len = 4;
	assert_int_equal(send_raw(&h, &v, 4), -EPROTO);
	h = hdr(OB_BUS_ADD, OB_BUS_VNET, 1, sizeof(v));
	h.flags = OB_BUS_REPLY;
	assert_int_equal(send_raw(&h, &v, sizeof(v)), -EPROTO);
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 0);
}

static void longer_records_of_a_newer_client_are_taken(void **state)
{
	struct {
		struct ob_bus_vnet v;
		uint64_t news;
	} r = {vnet("red", 5), 0x1122334455667788};

	(void)state;
	assert_int_equal(send_rec(OB_BUS_ADD, OB_BUS_VNET, &r, sizeof(r)), 0);
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 1);
	assert_int_equal(rep_hdr.record_len, sizeof(r.v));
}

static void unknown_verbs_and_nouns_are_eopnotsupp(void **state)
{
	struct ob_bus_worker w = {0};
	struct ob_bus_vnet v = vnet("red", 5);

	(void)state;
	assert_int_equal(send_rec(OB_BUS_ADD, 99, &v, sizeof(v)), -EOPNOTSUPP);
	assert_int_equal(send_rec(OB_BUS_ADD, 0, &v, sizeof(v)), -EOPNOTSUPP);
	assert_int_equal(send_rec(9, OB_BUS_VNET, &v, sizeof(v)), -EOPNOTSUPP);
	assert_int_equal(ADD(OB_BUS_WORKER, w), -EOPNOTSUPP);
	assert_int_equal(DEL(OB_BUS_WORKER, w), -EOPNOTSUPP);
	assert_int_equal(SET(OB_BUS_VNET, v), -EOPNOTSUPP);
}

static void batch_stops_at_the_first_mistake(void **state)
{
	struct ob_bus_vnet v[3] = {vnet("a", 1), vnet("a", 2), vnet("c", 3)};
	struct ob_bus_hdr h = hdr(OB_BUS_ADD, OB_BUS_VNET, 3, sizeof(v[0]));

	(void)state;
	assert_int_equal(send_raw(&h, v, sizeof(v)), -EEXIST);
	assert_int_equal(rep_hdr.count, 1);
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 1);
}

static void list_of_many_comes_in_parts(void **state)
{
	struct ob_bus_vnet v[1500];
	struct ob_bus_hdr h = hdr(OB_BUS_ADD, OB_BUS_VNET, 1500, sizeof(v[0]));
	char name[OB_BUS_NAME];

	(void)state;
	for (uint32_t i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "v%u", i);
		v[i] = vnet(name, i + 1);
	}
	assert_int_equal(send_raw(&h, v, sizeof(v)), 0);
	assert_int_equal(rep_hdr.count, 1500);
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 1500);
	assert_false(rep_more);
	h.count = 138; /* 1638 of 40 bytes fit a packet */
	h.body_len = 138 * sizeof(v[0]);
	for (uint32_t i = 0; i < 139; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		v[i] = vnet(name, i + 3000);
	}
	assert_int_equal(send_raw(&h, v, h.body_len), 0);
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 1637);
	assert_true(rep_more);
	assert_true(rep_hdr.flags & OB_BUS_MORE);
	assert_int_equal(ADD(OB_BUS_VNET, v[138]), 0);
}

/* ---- nouns ---- */

static void card_tells_itself(void **state)
{
	struct ob_bus_card r;

	(void)state;
	add_basics();
	assert_int_equal(list(OB_BUS_CARD, NULL, 0, &r, sizeof(r)), 1);
	assert_string_equal(r.version, "1.2.3");
	assert_string_equal(r.serial, "SN1");
	assert_int_equal(r.n_functions, 1);
	assert_int_equal(r.n_vnets, 1);
	assert_int_equal(r.n_tunnels, 1);
	assert_int_equal(list(OB_BUS_UPLINK, NULL, 0, NULL, 0), 0);
	assert_int_equal(list(OB_BUS_WORKER, NULL, 0, NULL, 0), 0);
}

static void unknown_names_are_enoent(void **state)
{
	struct ob_bus_function f = function("nope");
	struct ob_bus_vnet v = vnet("nope", 1);
	struct ob_bus_eni e = eni("nope", "f1", "red");
	struct ob_bus_tunnel t = tunnel("nope", 9);
	struct ob_bus_route r = route("red", ip4(10, 0, 0, 0, 8));
	struct ob_bus_mapping m = mapping("red", 4, "t1");

	(void)state;
	add_basics();
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), -ENOENT);
	assert_true(says("obctl function list"));
	assert_int_equal(DEL(OB_BUS_VNET, v), -ENOENT);
	assert_int_equal(DEL(OB_BUS_ENI, e), -ENOENT);
	assert_int_equal(SET(OB_BUS_ENI, e), -ENOENT);
	assert_int_equal(DEL(OB_BUS_TUNNEL, t), -ENOENT);
	assert_int_equal(SET(OB_BUS_TUNNEL, t), -ENOENT);
	assert_int_equal(DEL(OB_BUS_ROUTE, r), -ENOENT);
	assert_int_equal(SET(OB_BUS_ROUTE, r), -ENOENT);
	assert_int_equal(DEL(OB_BUS_MAPPING, m), -ENOENT);
	assert_int_equal(SET(OB_BUS_MAPPING, m), -ENOENT);
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_FUNCTION, &f, sizeof(f)), -ENOENT);
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_ENI, &e, sizeof(e)), -ENOENT);
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_VNET, &v, sizeof(v)), -ENOENT);
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_TUNNEL, &t, sizeof(t)), -ENOENT);
}

static void vnet_fields_are_checked(void **state)
{
	struct ob_bus_vnet v = vnet("red", 100);

	(void)state;
	REFUSED(OB_BUS_VNET, v, bad.vni = 0, -EINVAL, "vni");
	REFUSED(OB_BUS_VNET, v, bad.vni = 1 << 24, -EINVAL, "vni");
	REFUSED(OB_BUS_VNET, v, bad.reserved = 1, -EINVAL, "reserved");
	REFUSED(OB_BUS_VNET, v, bad.name[0] = ' ', -EINVAL, "name");
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	REFUSED(OB_BUS_VNET, v, bad.vni = 101, -EEXIST, "exists");
	REFUSED(OB_BUS_VNET, v, strcpy(bad.name, "blue"), -EEXIST, "vni 100");
	assert_int_equal(list(OB_BUS_VNET, NULL, 0, NULL, 0), 1);
}

static void eni_fields_are_checked(void **state)
{
	struct ob_bus_eni e = eni("e1", "f1", "red");

	(void)state;
	add_basics();
	REFUSED(OB_BUS_ENI, e, bad.name[0] = '!', -EINVAL, "name");
	REFUSED(OB_BUS_ENI, e, strcpy(bad.function, "f9"), -ENOENT, "function f9");
	REFUSED(OB_BUS_ENI, e, strcpy(bad.vnet, "v9"), -ENOENT, "vnet v9");
	REFUSED(OB_BUS_ENI, e, bad.n_addrs = 0, -EINVAL, "address");
	REFUSED(OB_BUS_ENI, e, bad.n_addrs = 9, -EINVAL, "addresses");
	REFUSED(OB_BUS_ENI, e, bad.n_routers = 5, -EINVAL, "routers");
	REFUSED(OB_BUS_ENI, e, bad.n_dns = 5, -EINVAL, "DNS");
	REFUSED(OB_BUS_ENI, e, bad.n_dns = 1, -EINVAL, "dns is missing");
	REFUSED(OB_BUS_ENI, e, bad.n_routers = 1, -EINVAL, "router is missing");
	REFUSED(OB_BUS_ENI, e, bad.reserved = 1, -EINVAL, "reserved");
	REFUSED(OB_BUS_ENI, e, bad.mac[0] = 3, -EINVAL, "multicast");
	REFUSED(OB_BUS_ENI, e, bad.router_mac[0] = 3, -EINVAL, "multicast");
	REFUSED(OB_BUS_ENI, e, bad.mtu = 60, -EINVAL, "mtu");
	REFUSED(OB_BUS_ENI, e, bad.mtu = 1501, -EINVAL, "more than the 1500");
	REFUSED(OB_BUS_ENI, e, bad.addr[0].family = 5, -EINVAL, "family");
	REFUSED(OB_BUS_ENI, e, bad.addr[0].prefix_len = 33, -EINVAL, "prefix length");
	REFUSED(OB_BUS_ENI, e, bad.addr[0].b[7] = 1, -EINVAL, "unused bytes");
	REFUSED(OB_BUS_ENI, e, bad.addr[0].reserved[0] = 1, -EINVAL, "unused bytes");
	REFUSED(OB_BUS_ENI, e, bad.addr[0].b[0] = 224, -EINVAL, "one host");
	REFUSED(OB_BUS_ENI, e, (bad.n_addrs = 2, bad.addr[1] = bad.addr[0]), -EINVAL, "twice");
	assert_int_equal(list(OB_BUS_ENI, NULL, 0, NULL, 0), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	REFUSED(OB_BUS_ENI, e, (void)0, -EEXIST, "exists");
	REFUSED(OB_BUS_ENI, e, strcpy(bad.name, "e2"), -EEXIST, "has eni e1");
}

static void eni_comes_back_as_given_and_can_change(void **state)
{
	struct ob_bus_eni e = eni("e1", "f1", "red"), r;

	(void)state;
	add_basics();
	e.n_routers = 1;
	e.router[0] = ip4(10, 0, 0, 1, 32);
	e.n_dns = 1;
	e.dns[0] = ip4(10, 0, 0, 2, 32);
	e.lease_s = 60;
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	assert_int_equal(list(OB_BUS_ENI, NULL, 0, &r, sizeof(r)), 1);
	assert_int_equal(r.mtu, 1500);
	r.mtu = 0;
	e.default_in = e.default_out = 1;
	assert_memory_equal(&r, &e, sizeof(r));
	r.lease_s = 61;
	r.addr[0].b[3] = 6;
	assert_int_equal(SET(OB_BUS_ENI, r), 0);
	assert_int_equal(list(OB_BUS_ENI, &e, sizeof(e), &r, sizeof(r)), 1);
	assert_int_equal(r.lease_s, 61);
	assert_int_equal(r.addr[0].b[3], 6);
	assert_int_equal(DEL(OB_BUS_ENI, r), 0);
	assert_int_equal(list(OB_BUS_ENI, NULL, 0, NULL, 0), 0);
}

static void route_fields_are_checked(void **state)
{
	struct ob_bus_route r = route("red", ip4(10, 1, 0, 0, 16));
	struct ob_bus_ip hop = ip4(10, 1, 0, 1, 32);

	(void)state;
	add_basics();
	REFUSED(OB_BUS_ROUTE, r, bad.vnet[0] = '\0', -EINVAL, "vnet");
	REFUSED(OB_BUS_ROUTE, r, strcpy(bad.vnet, "none"), -ENOENT, "none");
	REFUSED(OB_BUS_ROUTE, r, bad.prefix.family = 0, -EINVAL, "missing");
	REFUSED(OB_BUS_ROUTE, r, bad.prefix.b[2] = 1, -EINVAL, "after its prefix");
	REFUSED(OB_BUS_ROUTE, r, bad.prefix.prefix_len = 40, -EINVAL, "prefix length");
	REFUSED(OB_BUS_ROUTE, r, bad.action = 0, -EINVAL, "action");
	REFUSED(OB_BUS_ROUTE, r, bad.reserved[1] = 1, -EINVAL, "reserved");
	REFUSED(OB_BUS_ROUTE, r, strcpy(bad.to_vnet, "none"), -ENOENT, "none");
	REFUSED(OB_BUS_ROUTE, r, memset(bad.to_vnet, 'x', 32), -EINVAL, "to_vnet");
	REFUSED(OB_BUS_ROUTE, r, (bad.action = 2, strcpy(bad.to_vnet, "red")), -EINVAL, "drops");
	REFUSED(
	    OB_BUS_ROUTE, r, (bad.action = 2, bad.n_hops = 1, bad.hop[0] = hop), -EINVAL, "drops");
	REFUSED(OB_BUS_ROUTE, r, (bad.n_hops = 1, bad.hop[0] = hop), -EINVAL, "no next hops");
	REFUSED(OB_BUS_ROUTE, r, bad.action = 3, -EINVAL, "no next hop");
	REFUSED(OB_BUS_ROUTE, r, bad.action = 5, -EINVAL, "action 5");
	REFUSED(OB_BUS_ROUTE, r, (bad.action = 3, bad.n_hops = 17), -EINVAL, "17 next hops");
	REFUSED(OB_BUS_ROUTE, r, (bad.action = 3, bad.n_hops = 1), -EINVAL, "missing");
	REFUSED(OB_BUS_ROUTE, r, bad.hop[15] = hop, -EINVAL, "not zero");
	REFUSED(OB_BUS_ROUTE, r, (bad.action = 3, bad.n_hops = 2, bad.hop[0] = bad.hop[1] = hop),
	    -EINVAL, "hop");
	assert_int_equal(ADD(OB_BUS_ROUTE, r), 0);
	REFUSED(OB_BUS_ROUTE, r, (void)0, -EEXIST, "10.1.0.0/16");
}

static void routes_are_listed_by_vnet(void **state)
{
	struct ob_bus_route r = route("red", ip4(0, 0, 0, 0, 0)), b, got;
	struct ob_bus_vnet v = vnet("blue", 200);

	(void)state;
	add_basics();
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	b = route("blue", ip4(10, 0, 0, 0, 8));
	strcpy(b.to_vnet, "red");
	assert_int_equal(ADD(OB_BUS_ROUTE, r), 0);
	assert_int_equal(ADD(OB_BUS_ROUTE, b), 0);
	assert_int_equal(list(OB_BUS_ROUTE, NULL, 0, NULL, 0), 2);
	assert_int_equal(list(OB_BUS_ROUTE, &b, sizeof(b), &got, sizeof(got)), 1);
	assert_memory_equal(&got, &b, sizeof(b));
	got.action = 2;
	got.to_vnet[0] = got.to_vnet[1] = got.to_vnet[2] = '\0';
	assert_int_equal(SET(OB_BUS_ROUTE, got), 0);
	assert_int_equal(list(OB_BUS_ROUTE, &b, sizeof(b), &got, sizeof(got)), 1);
	assert_int_equal(got.action, 2);
	got.action = 4;
	strcpy(got.to_vnet, "red");
	got.n_hops = 2;
	got.hop[0] = ip4(10, 9, 0, 1, 32);
	got.hop[1] = ip4(10, 9, 0, 2, 32);
	assert_int_equal(SET(OB_BUS_ROUTE, got), 0);
	b = got;
	assert_int_equal(list(OB_BUS_ROUTE, &b, sizeof(b), &got, sizeof(got)), 1);
	assert_memory_equal(&got, &b, sizeof(b));
	assert_int_equal(DEL(OB_BUS_ROUTE, b), 0);
	assert_int_equal(DEL(OB_BUS_ROUTE, b), -ENOENT);
	assert_int_equal(list(OB_BUS_ROUTE, NULL, 0, NULL, 0), 1);
}

static void mapping_fields_are_checked(void **state)
{
	struct ob_bus_mapping m = mapping("red", 4, "t1");

	(void)state;
	add_basics();
	REFUSED(OB_BUS_MAPPING, m, strcpy(bad.vnet, "none"), -ENOENT, "none");
	REFUSED(OB_BUS_MAPPING, m, strcpy(bad.tunnel, "none"), -ENOENT, "none");
	REFUSED(OB_BUS_MAPPING, m, bad.tunnel[0] = '\0', -EINVAL, "tunnel");
	REFUSED(OB_BUS_MAPPING, m, bad.ca.family = 0, -EINVAL, "missing");
	REFUSED(OB_BUS_MAPPING, m, bad.ca.prefix_len = 24, -EINVAL, "one address");
	REFUSED(OB_BUS_MAPPING, m, memset(bad.mac, 0, 6), -EINVAL, "mac");
	REFUSED(OB_BUS_MAPPING, m, bad.mac[0] = 1, -EINVAL, "multicast");
	REFUSED(OB_BUS_MAPPING, m, bad.vni = 1 << 24, -EINVAL, "vni");
	REFUSED(OB_BUS_MAPPING, m, bad.reserved[0] = 1, -EINVAL, "reserved");
	assert_int_equal(list(OB_BUS_MAPPING, NULL, 0, NULL, 0), 0);
	assert_int_equal(ADD(OB_BUS_MAPPING, m), 0);
	REFUSED(OB_BUS_MAPPING, m, (void)0, -EEXIST, "10.0.0.4");
}

static void mappings_are_listed_by_vnet_and_address(void **state)
{
	struct ob_bus_mapping m = mapping("red", 4, "t1"), n = mapping("red", 5, "t1"), got,
			      f = {.vni = 0};

	(void)state;
	add_basics();
	assert_int_equal(ADD(OB_BUS_MAPPING, m), 0);
	assert_int_equal(ADD(OB_BUS_MAPPING, n), 0);
	assert_int_equal(list(OB_BUS_MAPPING, NULL, 0, NULL, 0), 2);
	assert_int_equal(list(OB_BUS_MAPPING, &n, sizeof(n), &got, sizeof(got)), 1);
	assert_memory_equal(&got, &n, sizeof(n));
	strcpy(f.vnet, "red");
	assert_int_equal(list(OB_BUS_MAPPING, &f, sizeof(f), NULL, 0), 2);
	f.vnet[0] = f.vnet[1] = f.vnet[2] = '\0';
	f.ca = m.ca;
	assert_int_equal(list(OB_BUS_MAPPING, &f, sizeof(f), NULL, 0), 1);
	n.vni = 7;
	assert_int_equal(SET(OB_BUS_MAPPING, n), 0);
	assert_int_equal(list(OB_BUS_MAPPING, &n, sizeof(n), &got, sizeof(got)), 1);
	assert_int_equal(got.vni, 7);
	assert_int_equal(DEL(OB_BUS_MAPPING, n), 0);
	assert_int_equal(list(OB_BUS_MAPPING, NULL, 0, NULL, 0), 1);
}

static void tunnel_fields_are_checked(void **state)
{
	struct ob_bus_tunnel t = tunnel("t1", 2), g;

	(void)state;
	REFUSED(OB_BUS_TUNNEL, t, bad.encap = 3, -EINVAL, "encap");
	REFUSED(OB_BUS_TUNNEL, t, bad.csum = 3, -EINVAL, "csum");
	REFUSED(OB_BUS_TUNNEL, t, bad.n_opts = 1, -EINVAL, "VXLAN has no options");
	REFUSED(OB_BUS_TUNNEL, t, bad.remote.family = 0, -EINVAL, "remote is missing");
	REFUSED(OB_BUS_TUNNEL, t, bad.remote.b[0] = 127, -EINVAL, "one host");
	REFUSED(OB_BUS_TUNNEL, t, bad.local = bad.remote, -EINVAL, "same address");
	REFUSED(
	    OB_BUS_TUNNEL, t, (bad.local.family = 6, bad.local.b[0] = 0x20), -EINVAL, "families");
	g = t;
	g.encap = 2;
	REFUSED(OB_BUS_TUNNEL, g, bad.n_opts = 9, -EINVAL, "options");
	REFUSED(OB_BUS_TUNNEL, g, (bad.n_opts = 1, bad.opt[0].len = 3), -EINVAL, "multiple of 4");
	REFUSED(
	    OB_BUS_TUNNEL, g, (bad.n_match = 1, bad.match[0].len = 128), -EINVAL, "multiple of 4");
	REFUSED(OB_BUS_TUNNEL, g, (bad.n_opts = 2, bad.opt[0].len = bad.opt[1].len = 64), -EINVAL,
	    "136");
	assert_int_equal(list(OB_BUS_TUNNEL, NULL, 0, NULL, 0), 0);
	assert_int_equal(ADD(OB_BUS_TUNNEL, t), 0);
	REFUSED(OB_BUS_TUNNEL, t, (void)0, -EEXIST, "exists");
	REFUSED(OB_BUS_TUNNEL, t, strcpy(bad.name, "t2"), -EEXIST, "");
	assert_int_equal(list(OB_BUS_TUNNEL, NULL, 0, NULL, 0), 1);
}

static void tunnel_comes_back_as_given_and_can_change(void **state)
{
	struct ob_bus_tunnel t = tunnel("t1", 2), r;

	(void)state;
	t.encap = 2;
	t.local = ip4(192, 0, 2, 1, 32);
	t.remote.prefix_len = 32;
	t.ttl = 9;
	t.n_opts = 1;
	t.opt[0] = (struct ob_bus_geneve_opt){
	    .opt_class = 0xff01, .type = 1, .len = 4, .data = {0, 0, 0, 42}};
	t.n_match = 1;
	t.match[0] = t.opt[0];
	assert_int_equal(ADD(OB_BUS_TUNNEL, t), 0);
	assert_int_equal(list(OB_BUS_TUNNEL, NULL, 0, &r, sizeof(r)), 1);
	assert_int_equal(r.port, 6081);
	assert_int_equal(r.csum, 2);
	assert_int_equal(r.nexthop_ok, 0);
	r.port = 0;
	r.csum = 0;
	r.inner_mtu = 0;
	assert_memory_equal(&r, &t, sizeof(r));
	r.remote.b[3] = 9;
	assert_int_equal(SET(OB_BUS_TUNNEL, r), 0);
	assert_int_equal(list(OB_BUS_TUNNEL, &t, sizeof(t), &r, sizeof(r)), 1);
	assert_int_equal(r.remote.b[3], 9);
	assert_int_equal(DEL(OB_BUS_TUNNEL, r), 0);
	assert_int_equal(list(OB_BUS_TUNNEL, NULL, 0, NULL, 0), 0);
}

static void what_is_used_is_ebusy_and_tells_by_whom(void **state)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_vnet v = vnet("red", 100);
	struct ob_bus_tunnel t = tunnel("t1", 2);
	struct ob_bus_eni e = eni("e1", "f1", "red");
	struct ob_bus_mapping m = mapping("red", 4, "t1");
	struct ob_bus_route r = route("red", ip4(10, 0, 0, 0, 8));

	(void)state;
	add_basics();
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	assert_int_equal(ADD(OB_BUS_MAPPING, m), 0);
	assert_int_equal(ADD(OB_BUS_ROUTE, r), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), -EBUSY);
	assert_true(says("eni e1"));
	assert_int_equal(DEL(OB_BUS_VNET, v), -EBUSY);
	assert_true(says("eni e1"));
	assert_int_equal(DEL(OB_BUS_TUNNEL, t), -EBUSY);
	assert_true(says("10.0.0.4 in vnet red"));
	assert_int_equal(DEL(OB_BUS_ENI, e), 0);
	assert_int_equal(DEL(OB_BUS_VNET, v), -EBUSY);
	assert_true(says("routes or mappings"));
	assert_int_equal(DEL(OB_BUS_MAPPING, m), 0);
	assert_int_equal(DEL(OB_BUS_ROUTE, r), 0);
	assert_int_equal(DEL(OB_BUS_VNET, v), 0);
	assert_int_equal(DEL(OB_BUS_TUNNEL, t), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(fake_models.n_alive, 0);
}

static void queues_are_listed_per_function(void **state)
{
	struct ob_bus_function f = function("f1"), g = function("f2");
	struct ob_bus_queue q, want = {.queue = 0};

	(void)state;
	f.n_pairs = 4;
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, g), 0);
	assert_int_equal(list(OB_BUS_QUEUE, NULL, 0, &q, sizeof(q)), 10);
	assert_string_equal(q.function, "f1");
	assert_int_equal(q.worker, -1);
	assert_int_equal(q.n_pkts, 5);
	strcpy(want.function, "f2");
	assert_int_equal(list(OB_BUS_QUEUE, &want, sizeof(want), &q, sizeof(q)), 2);
	assert_string_equal(q.function, "f2");
	strcpy(want.function, "f3");
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_QUEUE, &want, sizeof(want)), -ENOENT);
}

static void drops_of_one_function_are_all_listed(void **state)
{
	struct ob_bus_function f = function("f1");
	struct ob_bus_drop d, want = {.n_pkts = 0};
	struct ob_bus_eni e = eni("e1", "f1", "red");
	struct ob_bus_vnet v = vnet("red", 100);

	(void)state;
	assert_int_equal(ADD(OB_BUS_FUNCTION, f), 0);
	assert_int_equal(list(OB_BUS_DROP, NULL, 0, NULL, 0), 0);
	strcpy(want.function, "f1");
	assert_int_equal(list(OB_BUS_DROP, &want, sizeof(want), &d, sizeof(d)), OB_N_DROPS);
	assert_string_equal(d.function, "f1");
	assert_string_equal(d.reason, "malformed_l2");
	assert_true(d.help[0] != '\0');
	strcpy(want.function, "uplink");
	assert_int_equal(list(OB_BUS_DROP, &want, sizeof(want), &d, sizeof(d)), OB_N_DROPS);
	want = (struct ob_bus_drop){.eni = "e1"};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_DROP, &want, sizeof(want)), -ENOENT);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), 0);
	assert_int_equal(list(OB_BUS_DROP, &want, sizeof(want), &d, sizeof(d)), OB_N_DROPS);
	assert_string_equal(d.function, "f1");
	assert_string_equal(d.eni, "e1");
	want = (struct ob_bus_drop){.function = "f9"};
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_DROP, &want, sizeof(want)), -ENOENT);
}

static void names_survive_in_the_arena(void **state)
{
	struct ob_bus_vnet v = vnet("red", 100), r;

	(void)state;
	add_basics();
	ob_card_destroy(card);
	open_card();
	assert_int_equal(list(OB_BUS_VNET, &v, sizeof(v), &r, sizeof(r)), 1);
	assert_int_equal(r.vni, 100);
	assert_int_equal(DEL(OB_BUS_VNET, v), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(wrong_version_is_eprotonosupport),
	    T(short_packet_and_wrong_magic_are_eproto), T(lengths_that_disagree_are_eproto),
	    T(longer_records_of_a_newer_client_are_taken),
	    T(unknown_verbs_and_nouns_are_eopnotsupp), T(batch_stops_at_the_first_mistake),
	    T(list_of_many_comes_in_parts), T(card_tells_itself), T(unknown_names_are_enoent),
	    T(vnet_fields_are_checked), T(eni_fields_are_checked),
	    T(eni_comes_back_as_given_and_can_change), T(route_fields_are_checked),
	    T(routes_are_listed_by_vnet), T(mapping_fields_are_checked),
	    T(mappings_are_listed_by_vnet_and_address), T(tunnel_fields_are_checked),
	    T(tunnel_comes_back_as_given_and_can_change),
	    T(what_is_used_is_ebusy_and_tells_by_whom), T(queues_are_listed_per_function),
	    T(drops_of_one_function_are_all_listed), T(names_survive_in_the_arena)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
