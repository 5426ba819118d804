/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture_priv.h"
#include "test_packet.h"

static const uint8_t a[6] = {2, 0, 0, 0, 0, 1}, b[6] = {2, 0, 0, 0, 0, 2};
static struct test_pkt p;

static bool takes(const struct ob_capture_filter *f)
{
	struct hdrs h;

	hdrs_parse(p.b, p.len, &h);
	return filter_takes(f, &h);
}

static struct ob_capture_prefix prefix(const char *ip, unsigned len)
{
	struct ob_capture_prefix x = {.len = (uint8_t)len};

	x.family = tp_addr(ip, x.b) == 4 ? AF_INET : AF_INET6;
	return x;
}

static void an_empty_filter_takes_everything(void **state)
{
	const struct ob_capture_filter f = {0};

	(void)state;
	p.len = 0;
	assert_true(takes(&f));
	tp_eth(&p, a, b, 0x0806);
	assert_true(takes(&f));
	assert_false(filter_reads(&f));
}

static void one_address_is_either_end_two_are_both(void **state)
{
	struct ob_capture_filter f = {.ip = {prefix("10.0.0.5", 32)}};

	(void)state;
	tp_udp_frame(&p, a, b, "10.0.0.5", "10.1.0.9", 1, 2, 4);
	assert_true(takes(&f));
	tp_udp_frame(&p, a, b, "10.1.0.9", "10.0.0.5", 1, 2, 4);
	assert_true(takes(&f));
	tp_udp_frame(&p, a, b, "10.1.0.9", "10.0.0.4", 1, 2, 4);
	assert_false(takes(&f));
	f.ip[1] = prefix("10.1.0.0", 23);
	assert_false(takes(&f));
	tp_udp_frame(&p, a, b, "10.1.1.9", "10.0.0.5", 1, 2, 4);
	assert_true(takes(&f));
	tp_udp_frame(&p, a, b, "10.0.0.5", "10.1.1.9", 1, 2, 4);
	assert_true(takes(&f));
	tp_udp_frame(&p, a, b, "10.0.0.5", "10.1.2.9", 1, 2, 4);
	assert_false(takes(&f));
	tp_udp_frame(&p, a, b, "2001:db8::1", "2001:db8::2", 1, 2, 4);
	assert_false(takes(&f));
	f = (struct ob_capture_filter){.ip = {prefix("2001:db8::", 65)}};
	assert_true(takes(&f));
}

static void arp_matches_only_its_ethertype(void **state)
{
	struct ob_capture_filter f = {.ethertype = 0x0806};

	(void)state;
	p.len = 0;
	tp_eth(&p, a, b, 0x0806);
	tp_fill(&p, 28);
	assert_true(takes(&f));
	f = (struct ob_capture_filter){.proto = IPPROTO_UDP};
	assert_false(takes(&f));
}

static void vlan_tags_are_stepped_over(void **state)
{
	struct ob_capture_filter f = {.proto = IPPROTO_UDP, .port = 53};
	unsigned ip;

	(void)state;
	p.len = 0;
	tp_eth(&p, a, b, 0x8100);
	tp_u16(&p, 5);
	tp_u16(&p, 0x0800);
	ip = tp_ip(&p, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, 0, 64, true);
	tp_udp(&p, 53, 9);
	tp_ip_end(&p, ip);
	assert_true(takes(&f));
	f.port = 10;
	assert_false(takes(&f));
}

static void later_fragments_have_no_ports(void **state)
{
	struct ob_capture_filter f = {.port = 53};

	(void)state;
	tp_udp_frame(&p, a, b, "10.0.0.5", "10.1.0.9", 53, 2, 40);
	assert_true(takes(&f));
	tp_put16(&p, 14 + 6, 100);
	assert_false(takes(&f));
	f = (struct ob_capture_filter){.proto = IPPROTO_UDP};
	assert_true(takes(&f));
}

static void ip6_extension_headers_are_stepped_over(void **state)
{
	struct ob_capture_filter f = {.proto = IPPROTO_TCP, .port = 443};
	unsigned ip;

	(void)state;
	p.len = 0;
	tp_eth(&p, a, b, 0x86dd);
	ip = tp_ip(&p, "2001:db8::1", "2001:db8::2", IPPROTO_HOPOPTS, 0, 64, true);
	tp_u32(&p, (uint32_t)IPPROTO_FRAGMENT << 24);
	tp_u32(&p, 0);
	tp_u32(&p, (uint32_t)IPPROTO_TCP << 24 | 1);
	tp_u32(&p, 77);
	tp_u16(&p, 999);
	tp_u16(&p, 443);
	tp_fill(&p, 16);
	tp_ip_end(&p, ip);
	assert_true(takes(&f));
	p.b[14 + 40 + 8 + 2] = 1;
	assert_false(takes(&f));
	f.port = 0;
	assert_true(takes(&f));
}

/* Whatever the bytes and wherever they end, nothing beyond them is read (the sanitizers watch a block of just that size). */
static void any_bytes_will_do(void **state)
{
	const struct ob_capture_filter f = {.port = 53, .ip = {prefix("10.0.0.0", 8)}};
	uint32_t seed = 12345;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t len;
		uint8_t *block;
		struct hdrs h;

		tp_udp_frame(&p, a, b, i & 1 ? "10.0.0.5" : "2001:db8::1",
		    i & 1 ? "10.1.0.9" : "2001:db8::2", 53, i & 2 ? 4789 : 6081, 60);
		for (unsigned k = 0; k < 4; k++) {
			seed = seed * 1664525 + 1013904223;
			p.b[12 + (seed >> 8) % 80] = (uint8_t)(seed >> 20);
		}
		len = (seed >> 4) % (p.len + 1);
		block = malloc(len ? len : 1);
		memcpy(block, p.b, len);
		hdrs_parse(block, len, &h);
		filter_takes(&f, &h);
		assert_true(h.inner_off <= len);
		hdrs_parse(block + h.inner_off, len - h.inner_off, &h);
		free(block);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_filter_takes_everything),
	    cmocka_unit_test(one_address_is_either_end_two_are_both),
	    cmocka_unit_test(arp_matches_only_its_ethertype),
	    cmocka_unit_test(vlan_tags_are_stepped_over),
	    cmocka_unit_test(later_fragments_have_no_ports),
	    cmocka_unit_test(ip6_extension_headers_are_stepped_over),
	    cmocka_unit_test(any_bytes_will_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
