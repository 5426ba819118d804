/* SPDX-License-Identifier: BSD-3-Clause */
/* The parsers on messages made by hand; and, where a user namespace may be had, the sockets and the TAP on a real kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nl_parse.h"
#include "nl_sock.h"
#include "tap.h"

static _Alignas(8) uint8_t buf[1024];

static struct nlmsghdr *start(uint16_t type, size_t extra)
{
	struct nlmsghdr *nlh;

	memset(buf, 0, sizeof(buf));
	nlh = mnl_nlmsg_put_header(buf);
	nlh->nlmsg_type = type;
	mnl_nlmsg_put_extra_header(nlh, extra);
	return nlh;
}

static const uint8_t gw[4] = {192, 0, 2, 254}, me[4] = {192, 0, 2, 1};
static const uint8_t gw6[16] = {0xfe, 0x80, [15] = 1};

static void route_has_gateway_source_and_mtu(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWROUTE, sizeof(struct rtmsg));
	struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	struct nlattr *nest;
	struct nl_route rt;

	(void)state;
	m->rtm_family = AF_INET;
	m->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(nlh, RTA_TABLE, 1000);
	mnl_attr_put_u32(nlh, RTA_OIF, 5);
	mnl_attr_put(nlh, RTA_GATEWAY, 4, gw);
	mnl_attr_put(nlh, RTA_PREFSRC, 4, me);
	nest = mnl_attr_nest_start(nlh, RTA_METRICS);
	mnl_attr_put_u32(nlh, RTAX_HOPLIMIT, 3);
	mnl_attr_put_u32(nlh, RTAX_MTU, 1300);
	mnl_attr_nest_end(nlh, nest);
	assert_int_equal(nl_parse_route(nlh, &rt), 0);
	assert_int_equal(rt.oif, 5);
	assert_int_equal(rt.table, 1000);
	assert_int_equal(rt.mtu, 1300);
	assert_int_equal(rt.via.family, AF_INET);
	assert_memory_equal(rt.via.b, gw, 4);
	assert_memory_equal(rt.src.b, me, 4);
}

static void route_via_another_family(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWROUTE, sizeof(struct rtmsg));
	struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	uint8_t via[2 + 16] = {0};
	uint16_t family = AF_INET6;
	struct nl_route rt;

	(void)state;
	m->rtm_family = AF_INET;
	memcpy(via, &family, 2);
	memcpy(via + 2, gw6, 16);
	mnl_attr_put(nlh, RTA_VIA, sizeof(via), via);
	assert_int_equal(nl_parse_route(nlh, &rt), 0);
	assert_int_equal(rt.via.family, AF_INET6);
	assert_memory_equal(rt.via.b, gw6, 16);
}

static void bad_lengths_are_eproto(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWROUTE, sizeof(struct rtmsg));
	struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	struct nl_route rt;
	struct nl_addr a;
	struct nl_neigh n;
	struct nl_link l;

	(void)state;
	m->rtm_family = AF_INET;
	mnl_attr_put(nlh, RTA_GATEWAY, 3, gw);
	assert_int_equal(nl_parse_route(nlh, &rt), -EPROTO);
	nlh = start(RTM_NEWROUTE, sizeof(struct rtmsg));
	m = mnl_nlmsg_get_payload(nlh);
	m->rtm_family = AF_INET;
	mnl_attr_put(nlh, RTA_VIA, 2, "\0\x02");
	assert_int_equal(nl_parse_route(nlh, &rt), -EPROTO);
	nlh->nlmsg_len = sizeof(*nlh) + 4;
	assert_int_equal(nl_parse_route(nlh, &rt), -EPROTO);
	assert_int_equal(nl_parse_addr(nlh, &a), -EPROTO);
	assert_int_equal(nl_parse_neigh(nlh, &n), -EPROTO);
	assert_int_equal(nl_parse_link(nlh, &l), -EPROTO);
}

static void other_families_are_named(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWNEIGH, sizeof(struct ndmsg));
	struct ndmsg *m = mnl_nlmsg_get_payload(nlh);
	struct nl_neigh n;

	(void)state;
	m->ndm_family = AF_BRIDGE;
	assert_int_equal(nl_parse_neigh(nlh, &n), -EAFNOSUPPORT);
}

static void neighbour_without_mac_has_none(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWNEIGH, sizeof(struct ndmsg));
	struct ndmsg *m = mnl_nlmsg_get_payload(nlh);
	struct nl_neigh n;

	(void)state;
	m->ndm_family = AF_INET;
	m->ndm_state = NUD_INCOMPLETE;
	mnl_attr_put(nlh, NDA_DST, 4, gw);
	assert_int_equal(nl_parse_neigh(nlh, &n), 0);
	assert_false(n.has_lladdr);
	mnl_attr_put(nlh, NDA_LLADDR, 6, "\2\0\0\0\0\1");
	assert_int_equal(nl_parse_neigh(nlh, &n), 0);
	assert_true(n.has_lladdr);
	assert_int_equal(n.lladdr[5], 1);
}

static void address_is_the_local_end(void **state)
{
	struct nlmsghdr *nlh = start(RTM_NEWADDR, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);
	struct nl_addr a;

	(void)state;
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = 24;
	mnl_attr_put(nlh, IFA_ADDRESS, 4, gw);
	mnl_attr_put(nlh, IFA_LOCAL, 4, me);
	mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	assert_int_equal(nl_parse_addr(nlh, &a), 0);
	assert_memory_equal(a.ip.b, me, 4);
	assert_int_equal(a.flags, IFA_F_NOPREFIXROUTE);
}

/* ---- a real kernel ---- */

static const uint8_t tap_mac[6] = {2, 0, 0, 0, 0, 0x42};

struct seen {
	unsigned n_addr, n_link;
	struct nl_addr addr;
};

static void see(const struct nlmsghdr *nlh, void *arg)
{
	struct seen *s = arg;

	if (nlh->nlmsg_type == RTM_NEWADDR && nl_parse_addr(nlh, &s->addr) == 0)
		s->n_addr++;
	if (nlh->nlmsg_type == RTM_NEWLINK)
		s->n_link++;
}

/* Adds 192.0.2.1/24 the way 'ip addr add' does. */
static void add_address(int ifindex)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct nlmsghdr *nlh = start(RTM_NEWADDR, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *m = mnl_nlmsg_get_payload(nlh);

	assert_non_null(s);
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = 24;
	m->ifa_index = (unsigned)ifindex;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
	mnl_attr_put(nlh, IFA_LOCAL, 4, me);
	mnl_attr_put(nlh, IFA_ADDRESS, 4, me);
	assert_true(mnl_socket_sendto(s, nlh, nlh->nlmsg_len) > 0);
	assert_true(mnl_socket_recvfrom(s, buf, sizeof(buf)) > 0);
	mnl_socket_close(s);
}

/* The frame that the kernel sent first through the TAP and that is ARP for 'ip'. */
static bool arp_for(struct tap *t, const uint8_t ip[4])
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	uint8_t frame[2048];
	int len;

	while (poll(&p, 1, 900) == 1) {
		len = tap_read(t, frame, sizeof(frame));
		if (len >= 42 && frame[12] == 8 && frame[13] == 6 && memcmp(frame + 38, ip, 4) == 0)
			return true;
	}
	return false;
}

static void kernel_answers_routes_neighbours_and_changes(void **state)
{
	const struct ob_ip dst = {.family = AF_INET, .b = {192, 0, 2, 2}}, none = {0};
	const struct ob_ip far = {.family = AF_INET, .b = {198, 51, 100, 1}};
	struct seen seen = {0};
	struct nl_neigh neigh;
	struct nl_sock *nl;
	struct nl_route rt;
	struct nl_link l;
	struct tap t;
	char err[256] = "";

	(void)state;
	if (access("/dev/net/tun", R_OK | W_OK) != 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
		skip();
	assert_int_equal(nl_open(&nl), 0);
	if (tap_open(&t, "ob-test0", nl, tap_mac, 1400, err, sizeof(err)) == -EPERM)
		skip();
	assert_string_equal(err, "");
	assert_int_equal(nl_link_get(nl, "ob-test0", &l), 0);
	assert_int_equal(l.mtu, 1400);
	assert_memory_equal(l.mac, tap_mac, 6);
	assert_true(l.flags & IFF_UP);
	assert_int_equal(nl_route_get(nl, &far, &none, &rt), -ENETUNREACH);

	add_address(t.ifindex);
	assert_int_equal(nl_read_events(nl, 64, see, &seen), 0);
	assert_true(seen.n_addr == 1 && seen.n_link >= 1);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(nl_dump(nl, RTM_GETADDR, AF_INET, see, &seen), 0);
	assert_int_equal(seen.n_addr, 1);
	assert_memory_equal(seen.addr.ip.b, me, 4);

	assert_int_equal(nl_route_get(nl, &dst, &none, &rt), 0);
	assert_int_equal(rt.oif, t.ifindex);
	assert_int_equal(rt.via.family, 0);
	assert_memory_equal(rt.src.b, me, 4);
	assert_true(nl_route_get(nl, &dst, &far, &rt) < 0);

	assert_int_equal(nl_neigh_get(nl, t.ifindex, &dst, &neigh), -ENOENT);
	assert_int_equal(nl_neigh_use(nl, t.ifindex, &dst), 0);
	assert_true(arp_for(&t, dst.b));
	assert_int_equal(nl_neigh_get(nl, t.ifindex, &dst, &neigh), 0);
	assert_int_equal(neigh.state, NUD_INCOMPLETE);
	tap_close(&t);
	nl_close(nl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(route_has_gateway_source_and_mtu),
	    cmocka_unit_test(route_via_another_family),
	    cmocka_unit_test(bad_lengths_are_eproto),
	    cmocka_unit_test(other_families_are_named),
	    cmocka_unit_test(neighbour_without_mac_has_none),
	    cmocka_unit_test(address_is_the_local_end),
	    cmocka_unit_test(kernel_answers_routes_neighbours_and_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
