/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "follow.h"

#define SECOND 1000000000ull

/* A kernel and a dataplane that do as told. */
static struct fake {
	struct nl_route route;
	int route_rc;
	struct nl_neigh neigh;
	int neigh_rc;
	unsigned n_route_get, n_neigh_use, n_publish;
	struct ob_ip used;
	uint32_t tunnel;
	struct ob_nexthop nh[4];
	uint64_t tx[4];
} fake;

static struct ob_ip ip(const char *text)
{
	struct ob_ip out = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	assert_int_equal(inet_pton(out.family, text, out.b), 1);
	return out;
}

static int route_get(
    void *ctx, const struct ob_ip *dst, const struct ob_ip *src, struct nl_route *out)
{
	(void)ctx;
	(void)dst;
	(void)src;
	fake.n_route_get++;
	*out = fake.route;
	return fake.route_rc;
}

static int neigh_get(void *ctx, const struct ob_ip *addr, struct nl_neigh *out)
{
	(void)ctx;
	(void)addr;
	*out = fake.neigh;
	return fake.neigh_rc;
}

static int neigh_use(void *ctx, const struct ob_ip *addr)
{
	(void)ctx;
	fake.n_neigh_use++;
	fake.used = *addr;
	return 0;
}

static void publish(void *ctx, uint32_t tunnel, const struct ob_nexthop *nh)
{
	(void)ctx;
	fake.n_publish++;
	fake.tunnel = tunnel;
	fake.nh[tunnel] = *nh;
}

static uint64_t tx_pkts(void *ctx, uint32_t tunnel)
{
	(void)ctx;
	return fake.tx[tunnel];
}

static const struct follow_ops ops = {route_get, neigh_get, neigh_use, publish, tx_pkts};
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

static const struct ob_ip none;

static int setup(void **state)
{
	struct follow *f;

	memset(&fake, 0, sizeof(fake));
	fake.route = (struct nl_route){.family = AF_INET, .type = RTN_UNICAST, .oif = 7};
	fake.route.src = ip("192.0.2.1");
	fake.neigh_rc = -ENOENT;
	assert_int_equal(follow_create(&ops, NULL, &f), 0);
	follow_set_link(f, 7, our_mac, 1500, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	follow_destroy(*state);
	return 0;
}

static void add(struct follow *f, uint32_t tunnel, const char *remote)
{
	struct ob_ip r = ip(remote);

	assert_int_equal(follow_add(f, tunnel, &r, &none, 4789), 0);
}

static void answer(struct follow *f, const char *addr, uint16_t state)
{
	struct nl_neigh n = {.ifindex = 7, .state = state, .has_lladdr = true, .ip = ip(addr)};

	memcpy(n.lladdr, peer_mac, 6);
	follow_neigh(f, &n, false);
}

static void tunnel_becomes_valid_when_its_neighbour_answers(void **state)
{
	struct follow *f = *state;
	struct ob_ip src = ip("192.0.2.1");

	add(f, 1, "192.0.2.2");
	assert_false(fake.nh[1].valid);
	assert_int_equal(fake.n_neigh_use, 1);
	answer(f, "192.0.2.2", NUD_REACHABLE);
	assert_true(fake.nh[1].valid);
	assert_memory_equal(fake.nh[1].dmac, peer_mac, 6);
	assert_memory_equal(fake.nh[1].smac, our_mac, 6);
	assert_memory_equal(&fake.nh[1].src, &src, sizeof(src));
	assert_int_equal(fake.nh[1].mtu, 1500);
}

static void gateway_is_resolved_instead_of_the_remote(void **state)
{
	struct follow *f = *state;
	struct ob_ip gw = ip("192.0.2.254");

	fake.route.via = gw;
	add(f, 1, "198.51.100.9");
	assert_memory_equal(&fake.used, &gw, sizeof(gw));
	answer(f, "198.51.100.9", NUD_REACHABLE);
	assert_false(fake.nh[1].valid);
	answer(f, "192.0.2.254", NUD_STALE);
	assert_true(fake.nh[1].valid);
}

static void known_neighbour_makes_it_valid_at_once(void **state)
{
	fake.neigh_rc = 0;
	fake.neigh = (struct nl_neigh){.ifindex = 7, .state = NUD_PERMANENT, .has_lladdr = true};
	add(*state, 2, "192.0.2.2");
	assert_true(fake.nh[2].valid);
	assert_int_equal(fake.n_neigh_use, 0);
}

static void failed_neighbour_invalidates_and_is_asked_less_and_less(void **state)
{
	struct follow *f = *state;
	struct nl_neigh gone = {.ifindex = 7, .state = NUD_FAILED, .ip = ip("192.0.2.2")};

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	follow_neigh(f, &gone, false);
	assert_false(fake.nh[1].valid);
	fake.n_neigh_use = 0;
	for (uint64_t t = 10; t < 110; t++)
		follow_tick(f, t * SECOND);
	assert_in_range(fake.n_neigh_use, 8, 12);
}

static void stale_neighbour_is_probed_only_under_traffic(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_STALE);
	fake.n_neigh_use = 0;
	follow_tick(f, 1 * SECOND);
	assert_int_equal(fake.n_neigh_use, 0);
	fake.tx[1]++;
	follow_tick(f, 2 * SECOND);
	assert_int_equal(fake.n_neigh_use, 1);
	assert_true(fake.nh[1].valid);
}

static void route_in_use_is_asked_for_again(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	fake.n_route_get = 0;
	follow_tick(f, 10 * SECOND);
	assert_int_equal(fake.n_route_get, 0);
	fake.route.mtu = 1280;
	fake.tx[1]++;
	follow_tick(f, 11 * SECOND);
	assert_int_equal(fake.n_route_get, 1);
	assert_int_equal(fake.nh[1].mtu, 1280);
}

static void route_change_moves_the_tunnel(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	fake.route.via = ip("192.0.2.3");
	follow_routes_changed(f);
	assert_false(follow_tick(f, SECOND));
	assert_false(fake.nh[1].valid);
	answer(f, "192.0.2.3", NUD_REACHABLE);
	assert_true(fake.nh[1].valid);
	assert_int_equal(follow_n_neighbours(f), 1);
}

static void lost_route_says_why(void **state)
{
	struct follow *f = *state;
	struct ob_underlay_way way;

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	fake.route_rc = -ENETUNREACH;
	follow_routes_changed(f);
	follow_tick(f, SECOND);
	assert_false(fake.nh[1].valid);
	assert_int_equal(follow_way(f, 1, &way), 0);
	assert_non_null(strstr(way.why, "no route"));
	assert_int_equal(follow_n_neighbours(f), 0);
	assert_int_equal(follow_way(f, 2, &way), -ENOENT);
}

static void route_by_another_interface_is_refused(void **state)
{
	struct ob_underlay_way way;

	fake.route.oif = 3;
	add(*state, 1, "192.0.2.2");
	assert_int_equal(follow_way(*state, 1, &way), 0);
	assert_non_null(strstr(way.why, "another interface"));
	fake.route.oif = 7;
	fake.route.type = RTN_LOCAL;
	add(*state, 2, "192.0.2.1");
	assert_int_equal(follow_way(*state, 2, &way), 0);
	assert_non_null(strstr(way.why, "own"));
	fake.route_rc = -EADDRNOTAVAIL;
	add(*state, 3, "192.0.2.2");
	assert_int_equal(follow_way(*state, 3, &way), 0);
	assert_non_null(strstr(way.why, "not the card's"));
}

static void link_down_invalidates_and_up_restores(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	follow_set_link(f, 7, our_mac, 1500, false);
	assert_false(fake.nh[1].valid);
	follow_set_link(f, 7, our_mac, 1400, true);
	assert_true(fake.nh[1].valid);
	assert_int_equal(fake.nh[1].mtu, 1400);
}

static struct pmtu_news news(uint16_t mtu)
{
	return (struct pmtu_news){
	    .local = ip("192.0.2.1"), .remote = ip("192.0.2.2"), .dst_port = 4789, .mtu = mtu};
}

static void learned_mtu_lowers_and_expires(void **state)
{
	struct follow *f = *state;
	struct pmtu_news n = news(1300);

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	assert_int_equal(follow_pmtu(f, &n, SECOND), 0);
	assert_int_equal(fake.nh[1].mtu, 1300);
	n.mtu = 1400;
	assert_int_equal(follow_pmtu(f, &n, SECOND), -ENOENT);
	assert_int_equal(fake.nh[1].mtu, 1300);
	follow_tick(f, SECOND + FOLLOW_PMTU_NS);
	assert_int_equal(fake.nh[1].mtu, 1500);
}

static void learned_mtu_of_other_tunnels_is_ignored(void **state)
{
	struct follow *f = *state;
	struct pmtu_news n = news(1300);

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	n.dst_port = 6081;
	assert_int_equal(follow_pmtu(f, &n, SECOND), -ENOENT);
	n = news(1300);
	n.local = ip("192.0.2.77");
	assert_int_equal(follow_pmtu(f, &n, SECOND), -ENOENT);
	n = news(1300);
	n.remote = ip("192.0.2.78");
	assert_int_equal(follow_pmtu(f, &n, SECOND), -ENOENT);
	assert_int_equal(fake.nh[1].mtu, 1500);
}

static void deleted_tunnel_is_forgotten(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	add(f, 2, "192.0.2.2");
	assert_int_equal(follow_n_neighbours(f), 1);
	follow_del(f, 1);
	assert_int_equal(follow_n_neighbours(f), 1);
	follow_del(f, 2);
	follow_del(f, 2);
	assert_int_equal(follow_n_neighbours(f), 0);
	fake.n_publish = 0;
	answer(f, "192.0.2.2", NUD_REACHABLE);
	assert_int_equal(fake.n_publish, 0);
}

static void changed_tunnel_is_published_again(void **state)
{
	struct follow *f = *state;
	struct ob_ip remote = ip("192.0.2.2"), local = ip("192.0.2.5");

	add(f, 1, "192.0.2.2");
	answer(f, "192.0.2.2", NUD_REACHABLE);
	fake.n_publish = 0;
	add(f, 1, "192.0.2.2");
	assert_int_equal(fake.n_publish, 1);
	assert_true(fake.nh[1].valid);
	fake.neigh_rc = 0;
	fake.neigh = (struct nl_neigh){.ifindex = 7, .state = NUD_REACHABLE, .has_lladdr = true};
	assert_int_equal(follow_add(f, 1, &remote, &local, 4789), 0);
	assert_memory_equal(&fake.nh[1].src, &local, sizeof(local));
	assert_int_equal(follow_add(f, OB_MAX_TUNNELS, &remote, &none, 1), -EINVAL);
	assert_int_equal(follow_add(f, 1, &none, &none, 1), -EINVAL);
}

static void resync_asks_for_every_neighbour(void **state)
{
	struct follow *f = *state;

	add(f, 1, "192.0.2.2");
	fake.neigh_rc = 0;
	fake.neigh = (struct nl_neigh){.ifindex = 7, .state = NUD_REACHABLE, .has_lladdr = true};
	follow_resync(f);
	assert_true(fake.nh[1].valid);
}

static void many_routes_are_asked_for_in_parts(void **state)
{
	struct follow *f = *state;
	struct ob_ip remote = ip("10.0.0.0");
	unsigned n = 0;

	fake.tunnel = 0;
	for (uint32_t i = 0; i < 4; i++) {
		remote.b[3] = (uint8_t)i;
		assert_int_equal(follow_add(f, i, &remote, &none, 4789), 0);
	}
	follow_routes_changed(f);
	fake.n_route_get = 0;
	while (follow_tick(f, SECOND))
		n++;
	assert_int_equal(fake.n_route_get, 4);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		tunnel_becomes_valid_when_its_neighbour_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		gateway_is_resolved_instead_of_the_remote, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		known_neighbour_makes_it_valid_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		failed_neighbour_invalidates_and_is_asked_less_and_less, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		stale_neighbour_is_probed_only_under_traffic, setup, teardown),
	    cmocka_unit_test_setup_teardown(route_in_use_is_asked_for_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(route_change_moves_the_tunnel, setup, teardown),
	    cmocka_unit_test_setup_teardown(lost_route_says_why, setup, teardown),
	    cmocka_unit_test_setup_teardown(route_by_another_interface_is_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(link_down_invalidates_and_up_restores, setup, teardown),
	    cmocka_unit_test_setup_teardown(learned_mtu_lowers_and_expires, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		learned_mtu_of_other_tunnels_is_ignored, setup, teardown),
	    cmocka_unit_test_setup_teardown(deleted_tunnel_is_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(changed_tunnel_is_published_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(resync_asks_for_every_neighbour, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_routes_are_asked_for_in_parts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
