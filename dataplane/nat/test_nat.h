/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests and fuzz targets of this folder share: a little VPC with an outside, packets without a pool behind them. */
#pragma once

#include <stdlib.h>

#include "ob_nat.h"
#include "test_packet.h"

#define TEST_ARENA (1ull << 30)
#define OUTSIDE	   1 /* VNET; 0 is the guests' */

struct test_mbuf {
	struct rte_mbuf m;
	uint8_t room[OB_HEADROOM + 10240];
};

static inline struct ob_ip nat_ip(const char *text)
{
	struct ob_ip a = {0};

	a.family = tp_addr(text, a.b) == 4 ? AF_INET : AF_INET6;
	return a;
}

static inline rte_be32_t nat_ip4(const char *text)
{
	struct ob_ip a = nat_ip(text);
	rte_be32_t v;

	memcpy(&v, a.b, 4);
	return v;
}

/* ENI 'idx' with 10.0.0.(idx + 10) and 2001:db8::(idx + 10). */
static inline int test_add_eni(uint32_t idx)
{
	struct ob_eni_cfg c = {.vif = (uint16_t)idx, .mtu = 1400, .n_addrs = 2};

	c.mac[0] = 2;
	c.mac[4] = (uint8_t)(idx >> 8);
	c.mac[5] = (uint8_t)idx;
	c.addr[0] = nat_ip("10.0.0.0");
	c.addr[0].b[2] = (uint8_t)((idx + 10) >> 8);
	c.addr[0].b[3] = (uint8_t)(idx + 10);
	c.prefix_len[0] = 16;
	c.addr[1] = nat_ip("2001:db8::");
	c.addr[1].b[14] = (uint8_t)((idx + 10) >> 8);
	c.addr[1].b[15] = (uint8_t)(idx + 10);
	c.prefix_len[1] = 64;
	return ob_eni_set(idx, &c, NULL, 0);
}

static inline int test_vpc(struct ob_arena *arena, unsigned n_enis)
{
	struct ob_vnet_cfg v = {.vni = 100};

	if (ob_encap_init(arena) < 0 || ob_policy_init(arena) < 0 ||
	    ob_vnet_set(0, &v, NULL, 0) < 0)
		return -1;
	v.vni = 200;
	if (ob_vnet_set(OUTSIDE, &v, NULL, 0) < 0)
		return -1;
	for (uint32_t i = 0; i < n_enis; i++)
		if (test_add_eni(i) < 0)
			return -1;
	return ob_nat_init(arena);
}

static inline struct ob_nat_pool_cfg test_pool(const char *first, const char *last)
{
	struct ob_nat_pool_cfg c = {.vnet = OUTSIDE, .n_ranges = 1};

	c.range[0].first = nat_ip4(first);
	c.range[0].last = nat_ip4(last);
	return c;
}

static inline void test_mbuf_set(struct test_mbuf *t, const void *b, unsigned n)
{
	memset(&t->m, 0, sizeof(t->m));
	t->m.buf_addr = t->room;
	t->m.buf_len = sizeof(t->room);
	t->m.data_off = OB_HEADROOM;
	t->m.nb_segs = 1;
	t->m.data_len = (uint16_t)n;
	t->m.pkt_len = n;
	if (n > 0)
		memcpy(t->room + OB_HEADROOM, b, n);
}

/* What the parse stage promises of a packet, found the slow way. False: it would not let the packet pass. */
static inline bool test_parse(const uint8_t *b, unsigned len, struct ob_meta *m)
{
	unsigned at = 14, end, proto;

	memset(m, 0, sizeof(*m));
	if (len < 34)
		return false;
	m->l2_len = 14;
	m->ethertype = (uint16_t)tp_get16(b + 12);
	if (m->ethertype == 0x0800) {
		unsigned frag = tp_get16(b + 20);

		m->l3_len = (uint16_t)((b[14] & 15) * 4);
		if (b[14] >> 4 != 4 || m->l3_len < 20 || tp_get16(b + 16) != len - 14 ||
		    m->l3_len > len - 14)
			return false;
		m->flags = OB_PKT_IP4;
		m->flags |= (frag & 0x4000) ? OB_PKT_DF : 0;
		m->flags |= (frag & 0x3fff) ? OB_PKT_FRAG : 0;
		m->flags |= (frag & 0x1fff) ? OB_PKT_LATER_FRAG : 0;
		m->ip_proto = b[23];
		if ((frag & 0x1fff) * 8 + len - 14 - m->l3_len > 65535)
			return false;
	} else if (m->ethertype == 0x86dd) {
		if (len < 54 || b[14] >> 4 != 6 || tp_get16(b + 18) != len - 54)
			return false;
		m->flags = OB_PKT_IP6 | OB_PKT_DF;
		proto = b[20];
		at = 54;
		for (unsigned i = 0; i < 9; i++) {
			if (proto != 0 && proto != 43 && proto != 44 && proto != 60 && proto != 51)
				break;
			if (len < at + 8)
				return false;
			end = at + (proto == 44	     ? 8
				       : proto == 51 ? (b[at + 1] + 2u) * 4
						     : (b[at + 1] + 1u) * 8);
			if (len < end)
				return false;
			if (proto == 44) {
				unsigned frag = tp_get16(b + at + 2);

				m->flags |= (frag & 0xfff9) ? OB_PKT_FRAG : 0;
				m->flags |= (frag & 0xfff8) ? OB_PKT_LATER_FRAG : 0;
			}
			proto = b[at];
			at = end;
			if (m->flags & OB_PKT_LATER_FRAG)
				break;
		}
		if (!(m->flags & OB_PKT_LATER_FRAG) &&
		    (proto == 0 || proto == 43 || proto == 44 || proto == 60 || proto == 51))
			return false;
		m->ip_proto = (uint8_t)proto;
		m->l3_len = (uint16_t)(at - 14);
	} else {
		return false;
	}
	at = 14 + m->l3_len;
	if (m->flags & OB_PKT_LATER_FRAG)
		return true;
	if (m->ip_proto == 6) {
		if (len < at + 20)
			return false;
		m->l4_len = (uint8_t)((b[at + 12] >> 4) * 4);
		m->flags |= OB_PKT_TCP;
		return m->l4_len >= 20 && len >= at + m->l4_len;
	}
	if (m->ip_proto == 17 ||
	    m->ip_proto == ((m->flags & OB_PKT_IP4) ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		m->l4_len = 8;
		m->flags |= m->ip_proto == 17 ? OB_PKT_UDP : OB_PKT_ICMP;
		return len >= at + 8;
	}
	return true;
}
