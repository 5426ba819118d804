/* SPDX-License-Identifier: BSD-3-Clause */
/* A trace says what then happens: each is followed by the packet itself. */
#include "test_vpc.h"

#include "ob_acl.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_session.h"

static struct ob_trace t;
static struct test_pkt p;
static const uint8_t mac_gw[6] = {2, 0, 0, 0, 2, 1};

static struct ob_trace_req out(
    uint16_t eni, const char *src, const char *dst, unsigned sport, unsigned dport)
{
	return (struct ob_trace_req){.from_guest = true,
	    .eni = eni,
	    .proto = IPPROTO_UDP,
	    .src = vpc_ip(src),
	    .dst = vpc_ip(dst),
	    .sport = (uint16_t)sport,
	    .dport = (uint16_t)dport,
	    .vni = UINT32_MAX,
	    .tunnel = UINT32_MAX};
}

static struct ob_trace_req in(
    uint16_t eni, const char *src, const char *dst, unsigned sport, unsigned dport)
{
	struct ob_trace_req q = out(eni, src, dst, sport, dport);

	q.from_guest = false;
	q.tunnel = 0;
	return q;
}

static const char *name_of(void *ctx, enum ob_trace_kind kind, uint32_t idx)
{
	static const char *const enis[] = {"a", "b", "c"}, *const vnets[] = {"red", "blue"};

	(void)ctx;
	if (kind == OB_TRACE_ENI || kind == OB_TRACE_FUNCTION)
		return idx < 3 ? enis[idx] : NULL;
	if (kind == OB_TRACE_VNET)
		return idx < 2 ? vnets[idx] : NULL;
	return kind == OB_TRACE_TUNNEL && idx == 0 ? "t0" : NULL;
}

/* Everything that a packet may change. */
struct marks {
	struct ob_session_counters sessions;
	struct ob_nat_pool_state nat;
	struct ob_tunnel_counters tunnel[2];
	uint64_t drops[4][OB_N_DROPS];
	unsigned n_guest, n_wire;
};

static void take_marks(struct marks *m)
{
	memset(m, 0, sizeof(*m));
	ob_session_counters_read(0, &m->sessions);
	ob_nat_pool_state(0, &m->nat);
	for (unsigned i = 0; i < 2; i++)
		ob_tunnel_counters(i, &m->tunnel[i]);
	for (unsigned v = 0; v < 4; v++)
		for (unsigned i = 0; i < OB_N_DROPS; i++)
			m->drops[v][i] = ob_drops_read(v == 3 ? OB_VIF_NONE : (uint16_t)v, i);
	m->n_guest = tv->n_guest;
	m->n_wire = tv->n_wire;
}

static void run(const struct ob_trace_req *q)
{
	static const struct ob_trace_names names = {.get = name_of};
	static struct marks before, after;
	char err[128] = "";

	take_marks(&before);
	if (ob_trace(q, &names, &t, err, sizeof(err)) != 0)
		fail_msg("%s", err);
	take_marks(&after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(t.n > 1 && t.n <= OB_TRACE_STEPS);
	assert_string_equal(t.step[t.n - 1].stage, "verdict");
}

/* Is there such a step? The whole trace is shown if not. */
static void says(const char *stage, const char *result, const char *part)
{
	for (unsigned i = 0; i < t.n; i++)
		if (strcmp(t.step[i].stage, stage) == 0 && strcmp(t.step[i].result, result) == 0 &&
		    strstr(t.step[i].text, part) != NULL)
			return;
	for (unsigned i = 0; i < t.n; i++)
		print_message(
		    "%-14s %-14s %s\n", t.step[i].stage, t.step[i].result, t.step[i].text);
	fail_msg("no step '%s' '%s' with '%s'", stage, result, part);
}

static bool has(const char *stage)
{
	for (unsigned i = 0; i < t.n; i++)
		if (strcmp(t.step[i].stage, stage) == 0)
			return true;
	return false;
}

static void send_udp(const uint8_t *dmac, const uint8_t *smac, const struct ob_trace_req *q,
    const char *src, const char *dst)
{
	tp_udp_frame(&p, dmac, smac, src, dst, q->sport, q->dport, 0);
	vpc_from_guest(q->eni, &p);
}

static void is_dropped(uint16_t vif, enum ob_drop why)
{
	assert_int_equal(t.verdict, OB_TRACE_DROPPED);
	assert_int_equal(t.reason, why);
	says("verdict", "dropped", ob_drop_name(why));
	assert_int_equal(vpc_drops(vif, why), 1);
	assert_int_equal(tv->n_wire + tv->n_guest, 0);
}

static void what_goes_into_a_tunnel(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 53);

	(void)state;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_SENT);
	says("packet", "ok", "udp 10.0.0.5:1000 > 10.1.0.9:53, 28 bytes");
	says("session", "miss", "worker 0");
	says("anti-spoofing", "ok", "");
	says("route", "vnet", "10.1.0.0/16 to vnet red");
	says("mapping", "tunnel", "tunnel t0, vni 100, MAC 02:00:00:00:01:09");
	says("acl out", "permit", "default");
	says("connections", "ok", "0 live");
	says("pmtu", "fits", "28 bytes, the way takes 1450");
	says("encap", "ok",
	    "tunnel t0, vxlan to 198.51.100.7, vni 100; from 192.0.2.1 by next hop ");
	says("verdict", "sent", "into tunnel t0 with vni 100");
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.9");
	assert_int_equal(tv->n_wire, 1);
	vpc_clear();
	run(&q);
	says("session", "hit", "udp_new on worker 0; this way is the initiator's");
	assert_false(has("route"));
	assert_int_equal(t.verdict, OB_TRACE_SENT);
	/* Its answer is part of the same connection. */
	q = in(GUEST_A, "10.1.0.9", "10.0.0.5", 53, 1000);
	run(&q);
	says("deliver", "found", "eni a");
	says("session", "hit", "the answers'");
	says("verdict", "delivered", "to eni a");
	assert_int_equal(t.verdict, OB_TRACE_DELIVERED);
}

static void what_another_guest_gets(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.0.0.6", 1000, 53);

	(void)state;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_DELIVERED);
	assert_int_equal(t.eni, GUEST_B);
	says("route", "on link", "");
	says("mapping", "local", "eni b of this card");
	says("acl out", "permit", "");
	says("deliver", "found", "eni b, function b");
	says("acl in", "permit", "");
	assert_int_equal(ob_acl_default_set(GUEST_B, OB_ACL_IN, OB_ACL_DENY), 0);
	run(&q);
	send_udp(mac_b, mac_a, &q, "10.0.0.5", "10.0.0.6");
	is_dropped(GUEST_B, OB_DROP_ACL_IN);
	says("acl in", "deny", "default");
}

static void what_a_route_or_nothing_covers(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.2.0.9", 1000, 53);

	(void)state;
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.2.0.9");
	is_dropped(GUEST_A, OB_DROP_ROUTE_DROP);
	says("route", "drop", "10.2.0.0/16");
	q = out(GUEST_A, "10.0.0.5", "172.16.0.1", 1000, 53);
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "172.16.0.1");
	is_dropped(GUEST_A, OB_DROP_NO_ROUTE);
	says("route", "none", "");
	q = out(GUEST_A, "10.0.0.5", "10.1.0.77", 1000, 53);
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.77");
	is_dropped(GUEST_A, OB_DROP_NO_MAPPING);
	says("mapping", "none", "vnet red");
}

static void who_pretends_to_be_another(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.99", "10.1.0.9", 1000, 53);

	(void)state;
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.99", "10.1.0.9");
	is_dropped(GUEST_A, OB_DROP_SPOOFED_IP);
	says("anti-spoofing", "drop", "");
	q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 53);
	memcpy(q.smac, mac_b, 6);
	run(&q);
	send_udp(mac_router, mac_b, &q, "10.0.0.5", "10.1.0.9");
	is_dropped(GUEST_A, OB_DROP_SPOOFED_MAC);
}

static void which_rule_of_which_group_decides(void **state)
{
	const struct ob_acl_range web = {80, 80};
	const struct ob_acl_rule rules[] = {{.priority = 100,
						.action = OB_ACL_PERMIT,
						.terminate = 1,
						.n_dports = 1,
						.dports = &web},
	    {.priority = 200, .action = OB_ACL_DENY}};
	const struct ob_acl_group_cfg g = {.family = AF_INET, .n_rules = 2, .rules = rules};
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 80);

	(void)state;
	assert_int_equal(ob_acl_group_set(7, &g, NULL, 0), 0);
	assert_int_equal(ob_acl_bind(GUEST_A, OB_ACL_OUT, 2, 7, NULL, 0), 0);
	run(&q);
	says("acl out 2", "permit", "security group 7, rule 100: decides");
	q.dport = 81;
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.9");
	is_dropped(GUEST_A, OB_DROP_ACL_OUT);
	says("acl out 2", "deny, goes on", "security group 7, rule 200");
}

static void a_connection_is_decided_anew(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 53);

	(void)state;
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.9");
	vpc_clear();
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_OUT, OB_ACL_DENY), 0);
	run(&q);
	says("session", "hit", "udp_new");
	says("session", "decided anew", "the policy has changed since");
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.9");
	is_dropped(GUEST_A, OB_DROP_ACL_OUT);
}

static void what_the_card_answers(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.0.0.1", 7, 0);

	(void)state;
	q.proto = IPPROTO_ICMP;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_ANSWERED);
	says("verdict", "answered", "echo reply");
	q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 53);
	q.ttl = 1;
	run(&q);
	says("verdict", "answered", "time exceeded");
	q.ttl = 64;
	q.len = 1451;
	run(&q);
	says("pmtu", "too big", "1451 bytes, the way takes 1450; its sender is told");
	says("verdict", "answered", "packet too big");
	q.no_df = true;
	run(&q);
	says("pmtu", "cut", "it goes in fragments");
	assert_int_equal(t.verdict, OB_TRACE_SENT);
}

static void what_comes_from_the_wire(void **state)
{
	struct ob_trace_req q = in(GUEST_A, "10.0.0.9", "10.0.0.5", 1000, 53);
	struct test_pkt o;

	(void)state;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_DELIVERED);
	says("decap", "ok", "from tunnel t0, vni 100");
	says("deliver", "found", "eni a");
	assert_int_equal(ob_acl_default_set(GUEST_A, OB_ACL_IN, OB_ACL_DENY), 0);
	run(&q);
	tp_udp_frame(&p, mac_a, mac_far, "10.0.0.9", "10.0.0.5", 1000, 53, 0);
	vpc_outer(&o, OB_ENCAP_VXLAN, "198.51.100.7", 100, &p);
	vpc_from_wire(&o, 0);
	is_dropped(GUEST_A, OB_DROP_ACL_IN);
	q.vni = 4711;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_DROPPED);
	says("verdict", "dropped", "vni_unknown");
	q.vni = UINT32_MAX;
	memcpy(q.dmac, mac_far, 6);
	run(&q);
	says("verdict", "dropped", "no_inner_eni");
}

static void outside(void)
{
	struct ob_mapping_cfg gw = {.vnet = 1, .tunnel = 0, .ca = vpc_ip("203.0.113.1")};
	struct ob_route_cfg r = {.vnet = 0, .action = OB_ROUTE_NAT, .to_vnet = 1, .n_hops = 1};
	struct ob_nat_pool_cfg pool = {.vnet = 1, .n_ranges = 1, .block_size = 64, .max_blocks = 2};
	struct ob_nat_fip_cfg fip = {.vnet = 1, .eni = GUEST_B, .private_ip = vpc_ip("10.0.0.6")};
	struct ob_ip ip = vpc_ip("203.0.113.5"), pub = vpc_ip("203.0.113.9");

	memcpy(gw.mac, mac_gw, 6);
	assert_int_equal(ob_mapping_set(&gw, NULL, 0), 0);
	r.prefix = vpc_ip("0.0.0.0");
	r.hop[0] = gw.ca;
	assert_int_equal(ob_route_set(&r, NULL, 0), 0);
	memcpy(&pool.range[0].first, ip.b, 4);
	pool.range[0].last = pool.range[0].first;
	assert_int_equal(ob_nat_pool_set(0, &pool, NULL, 0), 0);
	memcpy(&fip.public_ip, pub.b, 4);
	assert_int_equal(ob_nat_fip_set(&fip, NULL, 0), 0);
}

static void what_is_translated(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "198.51.100.80", 1000, 80);

	(void)state;
	outside();
	run(&q);
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "198.51.100.80");
	is_dropped(GUEST_A, OB_DROP_NAT_PORTS);
	says("nat", "drop", "neither a floating IP nor a pool");
	assert_int_equal(ob_nat_bind(GUEST_A, 0, NULL, 0), 0);
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_SENT);
	says("route", "nat", "0.0.0.0/0 to vnet blue by 1 next hop");
	says("route", "next hop", "203.0.113.1 in vnet blue");
	says("nat", "pool", "an address of pool 0 with a port of a new block");
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "198.51.100.80");
	assert_int_equal(tv->n_wire, 1);
	vpc_clear();
	run(&q);
	says("session", "hit", "udp_new");
	says("nat", "known", "becomes 203.0.113.5:");
	q.sport = 1001;
	run(&q);
	says("nat", "pool", "source becomes 203.0.113.5 with a port of the ENI's block");
	q = out(GUEST_B, "10.0.0.6", "198.51.100.80", 1000, 80);
	run(&q);
	says("nat", "floating ip", "source becomes 203.0.113.9, ports stay");
	/* By a public address of this card to the guest behind it. */
	q = out(GUEST_A, "10.0.0.5", "203.0.113.9", 1000, 80);
	run(&q);
	says("mapping", "public address", "its owner is function b");
	assert_int_equal(t.verdict, OB_TRACE_UNKNOWN);
	/* And from outside. */
	q = in(GUEST_B, "198.51.100.80", "203.0.113.9", 5000, 22);
	q.vni = 200;
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_DELIVERED);
	assert_int_equal(t.eni, GUEST_B);
	says("nat", "floating ip", "becomes 198.51.100.80:5000 > 10.0.0.6:22");
	q = in(GUEST_A, "198.51.100.80", "203.0.113.5", 5000, 22);
	q.vni = 200;
	run(&q);
	says("verdict", "dropped", "nat_unsolicited");
}

static void what_has_no_next_hop(void **state)
{
	struct ob_trace_req q = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1000, 53);
	const struct ob_nexthop none = {.valid = false};

	(void)state;
	assert_int_equal(ob_tunnel_set_nexthop(0, &none), 0);
	run(&q);
	says("encap", "drop", "tunnel t0");
	send_udp(mac_router, mac_a, &q, "10.0.0.5", "10.1.0.9");
	is_dropped(GUEST_A, OB_DROP_NO_NEXTHOP);
}

static void ip6_and_limits(void **state)
{
	const struct ob_meter_cfg meters = {
	    .rate = {[OB_METER_PPS_OUT] = 5000, [OB_METER_CPS] = 10}};
	struct ob_trace_req q = out(GUEST_A, "fd00::5", "fd01::9", 1000, 443);

	(void)state;
	q.proto = IPPROTO_TCP;
	assert_int_equal(ob_meter_set(GUEST_A, &meters, NULL, 0), 0);
	run(&q);
	assert_int_equal(t.verdict, OB_TRACE_SENT);
	says("packet", "ok", "tcp [fd00::5]:1000 > [fd01::9]:443, 60 bytes");
	says("meter", "not charged", "packets 5000/s");
	says("connections", "ok", "new connections 10/s");
	says("route", "vnet", "fd01::/64");
	says("encap", "ok", "geneve to 2001:db8:9::7, vni 100");
}

static void nonsense_is_refused(void **state)
{
	const struct ob_trace_req good = out(GUEST_A, "10.0.0.5", "10.1.0.9", 1, 2);
	struct ob_trace_req q;
	char err[128];

	(void)state;
#define REFUSED(rc, change)                                             \
	do {                                                            \
		q = good;                                               \
		change;                                                 \
		assert_int_equal(ob_trace(&q, NULL, &t, err, 128), rc); \
	} while (0)
	REFUSED(-EINVAL, q.dst = vpc_ip("fd00::1"));
	REFUSED(-EINVAL, q.src.family = 0);
	REFUSED(-EINVAL, q.len = 27);
	REFUSED(-EINVAL, q.len = 65535);
	REFUSED(-EINVAL, q.proto = IPPROTO_ICMPV6);
	REFUSED(-ENOENT, q.eni = 77);
	REFUSED(-ENOENT, q.eni = UINT16_MAX);
#undef REFUSED
	/* Whatever the protocol, there is an answer, and names are not needed. */
	for (unsigned proto = 0; proto < 256; proto++) {
		q = good;
		q.proto = (uint8_t)proto;
		if (proto != IPPROTO_ICMPV6)
			assert_int_equal(ob_trace(&q, NULL, &t, err, sizeof(err)), 0);
	}
}

int trace_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(what_goes_into_a_tunnel),
	    T(what_another_guest_gets),
	    T(what_a_route_or_nothing_covers),
	    T(who_pretends_to_be_another),
	    T(which_rule_of_which_group_decides),
	    T(a_connection_is_decided_anew),
	    T(what_the_card_answers),
	    T(what_comes_from_the_wire),
	    T(what_is_translated),
	    T(what_has_no_next_hop),
	    T(ip6_and_limits),
	    T(nonsense_is_refused),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
