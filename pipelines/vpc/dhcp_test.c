/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vpc.h"

/* Opens a DHCPv4 message; options follow; dhcp4_end closes it. */
static void dhcp4_begin(
    struct test_pkt *p, const char *src, const char *dst, const char *ciaddr, unsigned flags)
{
	uint8_t a[16];

	p->len = 0;
	tp_eth(p, strcmp(dst, "255.255.255.255") ? mac_router : mac_bcast, mac_a, 0x0800);
	tp_ip(p, src, dst, 17, 0, 64, false);
	tp_udp(p, 68, 67);
	tp_u32(p, 0x01010600);
	tp_u32(p, 0xdeadbeef);
	tp_u16(p, 0);
	tp_u16(p, flags);
	tp_addr(ciaddr, a);
	tp_bytes(p, a, 4);
	for (unsigned i = 0; i < 12; i++)
		tp_u8(p, 0);
	tp_bytes(p, mac_a, 6);
	for (unsigned i = 0; i < 202; i++)
		tp_u8(p, 0);
	tp_u32(p, 0x63825363);
}

static void dhcp4_send(struct test_pkt *p)
{
	tp_u8(p, 255);
	tp_ip_end(p, 14);
	tp_udp_end(p, 14, 34, true);
	vpc_clear();
	vpc_from_guest(GUEST_A, p);
}

/* Option 'opt' of the answer: its data, or NULL. */
static const uint8_t *opt4(unsigned opt, unsigned len)
{
	const uint8_t *b = tv->guest[0].pkt.b;

	for (unsigned i = 42 + 240; i < tv->guest[0].pkt.len && b[i] != 255; i += 2u + b[i + 1]) {
		if (b[i] == opt) {
			assert_int_equal(b[i + 1], len);
			return b + i + 2;
		}
	}
	return NULL;
}

static void answered4(unsigned type)
{
	assert_int_equal(tv->n_guest, 1);
	assert_int_equal(tv->guest[0].meta.out_vif, GUEST_A);
	vpc_check_frame(tv->guest[0].pkt.b, tv->guest[0].pkt.len);
	assert_int_equal(tv->guest[0].pkt.b[42], 2);
	assert_memory_equal(
	    tv->guest[0].pkt.b + 46, ((const uint8_t[]){0xde, 0xad, 0xbe, 0xef}), 4);
	assert_int_equal(*opt4(53, 1), type);
	assert_memory_equal(opt4(54, 4), ((const uint8_t[]){10, 0, 0, 1}), 4);
}

static void request4(struct test_pkt *p, const char *addr, const char *server)
{
	uint8_t a[16];

	dhcp4_begin(p, "0.0.0.0", "255.255.255.255", "0.0.0.0", 0);
	tp_u16(p, 0x3501);
	tp_u8(p, 3);
	tp_u16(p, 0x3204);
	tp_addr(addr, a);
	tp_bytes(p, a, 4);
	if (server != NULL) {
		tp_u16(p, 0x3604);
		tp_addr(server, a);
		tp_bytes(p, a, 4);
	}
	dhcp4_send(p);
}

static void simple4(struct test_pkt *p, unsigned type)
{
	dhcp4_begin(p, "0.0.0.0", "255.255.255.255", "0.0.0.0", 0);
	tp_u16(p, 0x3501);
	tp_u8(p, type);
	dhcp4_send(p);
}

static void discover_offer_request_ack(void **state)
{
	const uint8_t *b = tv->guest[0].pkt.b;
	struct test_pkt p;

	(void)state;
	simple4(&p, 1);
	answered4(2);
	assert_memory_equal(b, mac_a, 6);
	assert_memory_equal(b + 58, ((const uint8_t[]){10, 0, 0, 5}), 4);
	assert_memory_equal(opt4(1, 4), ((const uint8_t[]){255, 255, 255, 0}), 4);
	assert_memory_equal(opt4(3, 4), ((const uint8_t[]){10, 0, 0, 1}), 4);
	assert_memory_equal(opt4(6, 4), ((const uint8_t[]){10, 0, 0, 2}), 4);
	assert_int_equal(tp_get16(opt4(26, 2)), 1450);
	assert_int_equal(tp_get16(opt4(51, 4) + 2), 3600);
	assert_null(opt4(121, 14));
	request4(&p, "10.0.0.5", "10.0.0.1");
	answered4(5);
	request4(&p, "10.0.0.5", NULL); /* after a reboot */
	answered4(5);
	request4(&p, "10.0.0.6", NULL);
	answered4(6);
	assert_memory_equal(b, mac_bcast, 6);
	request4(&p, "10.0.0.5", "10.0.0.77"); /* somebody else's offer */
	assert_int_equal(tv->n_guest, 0);
	simple4(&p, 7);
	assert_int_equal(tv->n_guest, 0);
}

static void renewal_inform_and_broadcast_flag(void **state)
{
	struct test_pkt p;

	(void)state;
	dhcp4_begin(&p, "10.0.0.5", "10.0.0.1", "10.0.0.5", 0);
	tp_u16(&p, 0x3501);
	tp_u8(&p, 3);
	dhcp4_send(&p);
	answered4(5);
	assert_memory_equal(tv->guest[0].pkt.b + 30, ((const uint8_t[]){10, 0, 0, 5}), 4);
	dhcp4_begin(&p, "10.0.0.5", "255.255.255.255", "10.0.0.5", 0);
	tp_u16(&p, 0x3501);
	tp_u8(&p, 8);
	dhcp4_send(&p);
	answered4(5);
	assert_null(opt4(51, 4));
	assert_memory_equal(tv->guest[0].pkt.b + 58, ((const uint8_t[4]){0}), 4);
	dhcp4_begin(&p, "0.0.0.0", "255.255.255.255", "0.0.0.0", 0x8000);
	tp_u16(&p, 0x3501);
	tp_u8(&p, 1);
	dhcp4_send(&p);
	answered4(2);
	assert_memory_equal(tv->guest[0].pkt.b, mac_bcast, 6);
	assert_memory_equal(tv->guest[0].pkt.b + 30, mac_bcast, 4);
}

static void off_link_router_comes_as_classless_routes(void **state)
{
	struct ob_eni_cfg c = *ob_eni_get(GUEST_A);
	struct test_pkt p;

	(void)state;
	c.prefix_len[0] = 32;
	assert_int_equal(ob_eni_set(GUEST_A, &c, NULL, 0), 0);
	simple4(&p, 1);
	answered4(2);
	assert_memory_equal(opt4(1, 4), mac_bcast, 4);
	assert_memory_equal(
	    opt4(121, 14), ((const uint8_t[]){32, 10, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 0, 1}), 14);
}

static void malformed_dhcp4_is_counted(void **state)
{
	struct test_pkt p, q;
	uint64_t n = 0;

	(void)state;
	simple4(&p, 1);
	for (unsigned i = 0; i < 6; i++) {
		static const unsigned at[6] = {42, 43, 44, 70, 42 + 236, 42 + 241};

		q = p;
		q.b[at[i]] ^= 0x55;
		tp_udp_end(&q, 14, 34, true);
		vpc_clear();
		vpc_from_guest(GUEST_A, &q);
		assert_int_equal(tv->n_guest, 0);
		n++;
	}
	for (unsigned len = 42; len < p.len - 2; len++) {
		q = p;
		q.len = len;
		tp_ip_end(&q, 14);
		tp_udp_end(&q, 14, 34, true);
		vpc_clear();
		vpc_from_guest(GUEST_A, &q);
		assert_int_equal(tv->n_guest, 0);
		n++;
	}
	tp_put16(&p, 38, 600); /* UDP length beyond the packet */
	vpc_from_guest(GUEST_A, &p);
	assert_int_equal(vpc_drops(GUEST_A, OB_DROP_BAD_REQUEST), n + 1);
}

static const uint8_t duid[10] = {0, 3, 0, 1, 9, 9, 9, 9, 9, 9};
static const uint8_t server[10] = {0, 3, 0, 1, 0x02, 0x6f, 0x62, 0, 0, 1};

static void dhcp6_begin(struct test_pkt *p, unsigned type)
{
	p->len = 0;
	tp_eth(p, ((const uint8_t[]){0x33, 0x33, 0, 1, 0, 2}), mac_a, 0x86dd);
	tp_ip(p, "fe80::1234", "ff02::1:2", 17, 0, 64, false);
	tp_udp(p, 546, 547);
	tp_u32(p, type << 24 | 0xabcdef);
	tp_u32(p, 0x0001000a);
	tp_bytes(p, duid, 10);
}

static void opt6_server(struct test_pkt *p)
{
	tp_u32(p, 0x0002000a);
	tp_bytes(p, server, 10);
}

static void opt6_ia(struct test_pkt *p, uint32_t iaid, const char *addr)
{
	uint8_t a[16];

	tp_u16(p, 3);
	tp_u16(p, addr ? 40 : 12);
	tp_u32(p, iaid);
	tp_u32(p, 0);
	tp_u32(p, 0);
	if (addr == NULL)
		return;
	tp_u32(p, 0x00050018);
	tp_addr(addr, a);
	tp_bytes(p, a, 16);
	tp_u32(p, 100);
	tp_u32(p, 200);
}

static void dhcp6_send(struct test_pkt *p)
{
	tp_ip_end(p, 14);
	tp_udp_end(p, 14, 54, true);
	vpc_clear();
	vpc_from_guest(GUEST_A, p);
}

/* Walks options from 'b'; data of the n-th 'opt', or NULL. */
static const uint8_t *opt6_in(
    const uint8_t *b, const uint8_t *end, unsigned opt, unsigned nth, unsigned *len)
{
	while (end - b >= 4) {
		*len = tp_get16(b + 2);
		if (tp_get16(b) == opt && nth-- == 0)
			return b + 4;
		b += 4 + *len;
	}
	return NULL;
}

static const uint8_t *opt6(unsigned opt, unsigned nth, unsigned *len)
{
	const uint8_t *b = tv->guest[0].pkt.b;

	return opt6_in(b + 66, b + tv->guest[0].pkt.len, opt, nth, len);
}

static void answered6(unsigned type)
{
	const uint8_t *b = tv->guest[0].pkt.b;
	unsigned n;

	assert_int_equal(tv->n_guest, 1);
	vpc_check_frame(b, tv->guest[0].pkt.len);
	assert_int_equal(b[38], 0xfe);
	assert_int_equal(tp_get16(b + 56), 546);
	assert_int_equal(b[62], type);
	assert_memory_equal(b + 63, ((const uint8_t[]){0xab, 0xcd, 0xef}), 3);
	assert_memory_equal(opt6(1, 0, &n), duid, 10);
	assert_memory_equal(opt6(2, 0, &n), server, 10);
}

static void ia_has_own_address(unsigned iaid)
{
	static const uint8_t want[16] = {0xfd, [15] = 5};
	const uint8_t *ia, *addr;
	unsigned n, k;

	ia = opt6(3, 0, &n);
	assert_non_null(ia);
	assert_int_equal(ia[3], iaid);
	addr = opt6_in(ia + 12, ia + n, 5, 0, &k);
	assert_non_null(addr);
	assert_memory_equal(addr, want, 16);
	assert_int_equal(tp_get16(addr + 22), 3600);
}

static void solicit_advertise_request_reply(void **state)
{
	const uint8_t *ia;
	struct test_pkt p;
	unsigned n, k;

	(void)state;
	dhcp6_begin(&p, 1);
	opt6_ia(&p, 7, NULL);
	opt6_ia(&p, 8, NULL);
	dhcp6_send(&p);
	answered6(2);
	ia_has_own_address(7);
	ia = opt6(3, 1, &n); /* the second association gets nothing */
	assert_int_equal(ia[3], 8);
	assert_int_equal(tp_get16(opt6_in(ia + 12, ia + n, 13, 0, &k)), 2);
	assert_int_equal(opt6(23, 0, &n)[15], 2);
	dhcp6_begin(&p, 3);
	opt6_server(&p);
	opt6_ia(&p, 7, "fd00::5");
	dhcp6_send(&p);
	answered6(7);
	ia_has_own_address(7);
	dhcp6_begin(&p, 3); /* another server's */
	opt6_ia(&p, 7, NULL);
	dhcp6_send(&p);
	assert_int_equal(tv->n_guest, 0);
}

static void rapid_renew_rebind_confirm_release_information(void **state)
{
	const uint8_t *ia, *addr;
	struct test_pkt p;
	unsigned n, k;

	(void)state;
	dhcp6_begin(&p, 1);
	tp_u32(&p, 0x000e0000);
	opt6_ia(&p, 7, NULL);
	dhcp6_send(&p);
	answered6(7);
	ia_has_own_address(7);
	assert_non_null(opt6(14, 0, &n));

	dhcp6_begin(&p, 5);
	opt6_server(&p);
	opt6_ia(&p, 7, "fd00::99"); /* not its own: to be given up */
	dhcp6_send(&p);
	answered6(7);
	ia_has_own_address(7);
	ia = opt6(3, 0, &n);
	addr = opt6_in(ia + 12, ia + n, 5, 1, &k);
	assert_int_equal(addr[15], 0x99);
	assert_int_equal(tp_get16(addr + 22), 0);

	dhcp6_begin(&p, 6);
	opt6_ia(&p, 7, "fd00::5");
	dhcp6_send(&p);
	answered6(7);
	ia_has_own_address(7);

	for (unsigned i = 0; i < 2; i++) {
		dhcp6_begin(&p, 4);
		opt6_ia(&p, 7, i ? "fd00::99" : "fd00::5");
		dhcp6_send(&p);
		answered6(7);
		assert_int_equal(tp_get16(opt6(13, 0, &n)), i ? 4 : 0);
	}
	dhcp6_begin(&p, 8);
	opt6_server(&p);
	dhcp6_send(&p);
	answered6(7);
	assert_int_equal(tp_get16(opt6(13, 0, &n)), 0);
	dhcp6_begin(&p, 11);
	dhcp6_send(&p);
	answered6(7);
	assert_null(opt6(3, 0, &n));
	assert_non_null(opt6(23, 0, &n));
	/* Messages of servers and relays are not answered. */
	for (unsigned type = 0; type < 16; type++) {
		if (type == 0 || type == 2 || type == 7 || type == 10 || type >= 12) {
			dhcp6_begin(&p, type);
			dhcp6_send(&p);
			assert_int_equal(tv->n_guest, 0);
		}
	}
}

static void malformed_dhcp6_never_crashes(void **state)
{
	struct test_pkt p, q;

	(void)state;
	dhcp6_begin(&p, 3);
	opt6_server(&p);
	opt6_ia(&p, 7, "fd00::5");
	for (unsigned len = 62; len <= p.len; len++) {
		for (unsigned at = 62; at < len; at += 3) {
			q = p;
			q.len = len;
			q.b[at] ^= 0xff;
			dhcp6_send(&q);
			assert_true(tv->n_guest <= 1);
		}
	}
	for (unsigned len = 62; len < p.len; len++) {
		q = p;
		q.len = len;
		dhcp6_send(&q);
		/* Only a message that ends between two options is one. */
		assert_true(tv->n_guest == 0 || len == 94);
	}
}

int dhcp_tests(void)
{
	const struct CMUnitTest tests[] = {
	    T(discover_offer_request_ack),
	    T(renewal_inform_and_broadcast_flag),
	    T(off_link_router_comes_as_classless_routes),
	    T(malformed_dhcp4_is_counted),
	    T(solicit_advertise_request_reply),
	    T(rapid_renew_rebind_confirm_release_information),
	    T(malformed_dhcp6_never_crashes),
	};

	return cmocka_run_group_tests_name("dhcp", tests, NULL, NULL);
}
