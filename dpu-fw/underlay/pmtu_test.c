/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "pmtu.h"

struct frame4 {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	uint8_t type, code;
	rte_be16_t cksum, unused, mtu;
	struct rte_ipv4_hdr inner;
	struct rte_udp_hdr udp;
	uint8_t padding[6];
} __attribute__((packed, aligned(2)));

struct frame6 {
	struct rte_ether_hdr eth;
	struct rte_ipv6_hdr ip;
	uint8_t type, code;
	rte_be16_t cksum;
	rte_be32_t mtu;
	struct rte_ipv6_hdr inner;
	struct rte_udp_hdr udp;
} __attribute__((packed, aligned(2)));

#define ICMP4_LEN (8 + sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))

static void sum4(struct frame4 *f)
{
	uint8_t icmp[ICMP4_LEN];
	rte_be16_t sum;

	f->cksum = 0;
	memcpy(icmp, &f->type, sizeof(icmp));
	sum = (rte_be16_t)~rte_raw_cksum(icmp, sizeof(icmp));
	f->cksum = sum;
}

static struct frame4 make4(uint16_t mtu)
{
	struct frame4 f = {
	    .eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	    .ip = {.version_ihl = 0x45,
		.total_length = rte_cpu_to_be_16(sizeof(f.ip) + ICMP4_LEN),
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = RTE_BE32((uint32_t)RTE_IPV4(100, 64, 0, 1)),
		.dst_addr = RTE_BE32(RTE_IPV4(192u, 0, 2, 1))},
	    .type = 3,
	    .code = 4,
	    .mtu = rte_cpu_to_be_16(mtu),
	    .inner = {.version_ihl = 0x45,
		.total_length = RTE_BE16(1500),
		.next_proto_id = IPPROTO_UDP,
		.src_addr = RTE_BE32(RTE_IPV4(192u, 0, 2, 1)),
		.dst_addr = RTE_BE32(RTE_IPV4(192u, 0, 2, 2))},
	    .udp = {.src_port = RTE_BE16(55555), .dst_port = RTE_BE16(4789)},
	};

	sum4(&f);
	return f;
}

static void sum6(struct frame6 *f)
{
	uint8_t icmp[sizeof(*f)];
	struct rte_ipv6_hdr ip;
	size_t len = sizeof(*f) - offsetof(struct frame6, type);

	f->cksum = 0;
	memcpy(icmp, &f->type, len);
	memcpy(&ip, &f->ip, sizeof(ip));
	f->cksum = rte_ipv6_udptcp_cksum(&ip, icmp);
}

static struct frame6 make6(uint32_t mtu)
{
	struct frame6 f = {
	    .eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6),
	    .ip = {.vtc_flow = RTE_BE32(0x60000000),
		.payload_len = rte_cpu_to_be_16(sizeof(f) - offsetof(struct frame6, type)),
		.proto = IPPROTO_ICMPV6},
	    .type = 2,
	    .mtu = rte_cpu_to_be_32(mtu),
	    .inner = {.vtc_flow = RTE_BE32(0x60000000),
		.proto = IPPROTO_UDP,
		.dst_addr = {0x20, 1}},
	    .udp = {.dst_port = RTE_BE16(6081)},
	};

	sum6(&f);
	return f;
}

#define PARSE(f, out) pmtu_parse((const uint8_t *)(f), sizeof(*(f)), (out))

static void ipv4_error_tells_tunnel_and_mtu(void **state)
{
	struct frame4 f = make4(1400);
	struct pmtu_news n;

	(void)state;
	assert_int_equal(PARSE(&f, &n), 0);
	assert_int_equal(n.mtu, 1400);
	assert_int_equal(n.dst_port, 4789);
	assert_int_equal(n.remote.family, AF_INET);
	assert_memory_equal(n.remote.b, "\xc0\x00\x02\x02\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(n.local.b, "\xc0\x00\x02\x01", 4);
}

static void ipv6_error_tells_tunnel_and_mtu(void **state)
{
	struct frame6 f = make6(1400);
	struct pmtu_news n;

	(void)state;
	assert_int_equal(PARSE(&f, &n), 0);
	assert_int_equal(n.mtu, 1400);
	assert_int_equal(n.dst_port, 6081);
	assert_int_equal(n.remote.family, AF_INET6);
	assert_int_equal(n.remote.b[0], 0x20);
}

static void absurd_mtu_is_raised_to_the_minimum(void **state)
{
	struct frame4 f = make4(0);
	struct frame6 g = make6(68);
	struct pmtu_news n;

	(void)state;
	assert_int_equal(PARSE(&f, &n), 0);
	assert_int_equal(n.mtu, PMTU_MIN4);
	assert_int_equal(PARSE(&g, &n), 0);
	assert_int_equal(n.mtu, PMTU_MIN6);
	g = make6(1 << 20);
	assert_int_equal(PARSE(&g, &n), 0);
	assert_int_equal(n.mtu, UINT16_MAX);
}

static void every_truncation_is_refused(void **state)
{
	struct frame4 f = make4(1400);
	struct frame6 g = make6(1400);
	struct pmtu_news n;

	(void)state;
	for (uint32_t len = 0; len < sizeof(f) - sizeof(f.padding); len++)
		assert_int_equal(pmtu_parse((const uint8_t *)&f, len, &n), -ENOENT);
	for (uint32_t len = 0; len < sizeof(g); len++)
		assert_int_equal(pmtu_parse((const uint8_t *)&g, len, &n), -ENOENT);
}

static void wrong_checksum_is_refused(void **state)
{
	struct frame4 f = make4(1400);
	struct frame6 g = make6(1400);
	struct pmtu_news n;

	(void)state;
	f.cksum = (rte_be16_t)(f.cksum ^ 1);
	assert_int_equal(PARSE(&f, &n), -ENOENT);
	g.cksum = (rte_be16_t)(g.cksum ^ 1);
	assert_int_equal(PARSE(&g, &n), -ENOENT);
}

static void other_packets_are_not_errors(void **state)
{
	struct frame4 f = make4(1400);
	struct frame6 g = make6(1400);
	struct pmtu_news n;

	(void)state;
	f.code = 1;
	sum4(&f);
	assert_int_equal(PARSE(&f, &n), -ENOENT);
	f = make4(1400);
	f.inner.next_proto_id = IPPROTO_TCP;
	sum4(&f);
	assert_int_equal(PARSE(&f, &n), -ENOENT);
	f = make4(1400);
	f.ip.fragment_offset = RTE_BE16(1);
	assert_int_equal(PARSE(&f, &n), -ENOENT);
	f = make4(1400);
	f.ip.version_ihl = 0x41;
	assert_int_equal(PARSE(&f, &n), -ENOENT);
	g.type = 1;
	sum6(&g);
	assert_int_equal(PARSE(&g, &n), -ENOENT);
	f.eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
	assert_int_equal(PARSE(&f, &n), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ipv4_error_tells_tunnel_and_mtu),
	    cmocka_unit_test(ipv6_error_tells_tunnel_and_mtu),
	    cmocka_unit_test(absurd_mtu_is_raised_to_the_minimum),
	    cmocka_unit_test(every_truncation_is_refused),
	    cmocka_unit_test(wrong_checksum_is_refused),
	    cmocka_unit_test(other_packets_are_not_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
