/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for tests, written byte by byte, and a slow checksum that shares no code with what it checks. */
#pragma once

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct test_pkt {
	unsigned len;
	uint8_t b[10000];
};

static inline void tp_bytes(struct test_pkt *p, const void *b, unsigned n)
{
	if (n > 0)
		memcpy(p->b + p->len, b, n);
	p->len += n;
}

static inline void tp_u8(struct test_pkt *p, unsigned v)
{
	p->b[p->len++] = (uint8_t)v;
}

static inline void tp_u16(struct test_pkt *p, unsigned v)
{
	tp_u8(p, v >> 8);
	tp_u8(p, v & 0xff);
}

static inline void tp_u32(struct test_pkt *p, uint32_t v)
{
	tp_u16(p, v >> 16);
	tp_u16(p, v & 0xffff);
}

static inline void tp_put16(struct test_pkt *p, unsigned off, unsigned v)
{
	p->b[off] = (uint8_t)(v >> 8);
	p->b[off + 1] = (uint8_t)v;
}

static inline unsigned tp_get16(const uint8_t *b)
{
	return (unsigned)b[0] << 8 | b[1];
}

/* Text address, either family; returns its bytes (4 or 16). */
static inline unsigned tp_addr(const char *text, uint8_t out[16])
{
	memset(out, 0, 16);
	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

/* RFC 1071, one byte at a time. */
static inline uint32_t tp_sum(uint32_t sum, const uint8_t *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		sum += (i & 1) ? b[i] : (uint32_t)b[i] << 8;
		while (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* Sum of an L4 packet with its pseudo header: 0xffff when its checksum is right. 'ip' points at the IP header. */
static inline uint32_t tp_l4_sum(const uint8_t *ip, unsigned proto, const uint8_t *l4, unsigned n)
{
	uint8_t ph[4] = {0, (uint8_t)proto, (uint8_t)(n >> 8), (uint8_t)n};
	uint32_t sum;

	sum = (ip[0] >> 4) == 4 ? tp_sum(0, ip + 12, 8) : tp_sum(0, ip + 8, 32);
	sum = tp_sum(sum, ph, 4);
	return tp_sum(sum, l4, n);
}

static inline void tp_eth(struct test_pkt *p, const uint8_t *dst, const uint8_t *src, unsigned type)
{
	tp_bytes(p, dst, 6);
	tp_bytes(p, src, 6);
	tp_u16(p, type);
}

/* IPv4 or IPv6 header by the form of the addresses; payload length and checksum follow in tp_ip_end. Returns its offset. */
static inline unsigned tp_ip(struct test_pkt *p, const char *src, const char *dst, unsigned proto,
    unsigned tos, unsigned ttl, bool df)
{
	unsigned at = p->len, n;
	uint8_t a[16];

	n = tp_addr(src, a);
	if (n == 4) {
		tp_u8(p, 0x45);
		tp_u8(p, tos);
		tp_u16(p, 0);
		tp_u16(p, 0x1234);
		tp_u16(p, df ? 0x4000 : 0);
		tp_u8(p, ttl);
		tp_u8(p, proto);
		tp_u16(p, 0);
	} else {
		tp_u32(p, 6u << 28 | tos << 20);
		tp_u16(p, 0);
		tp_u8(p, proto);
		tp_u8(p, ttl);
	}
	tp_bytes(p, a, n);
	n = tp_addr(dst, a);
	tp_bytes(p, a, n);
	return at;
}

/* Lengths and the IPv4 checksum, for everything up to the end of the packet. */
static inline void tp_ip_end(struct test_pkt *p, unsigned at)
{
	if ((p->b[at] >> 4) == 4) {
		tp_put16(p, at + 2, p->len - at);
		tp_put16(p, at + 10, 0);
		tp_put16(p, at + 10, ~tp_sum(0, p->b + at, (p->b[at] & 15u) * 4) & 0xffff);
	} else {
		tp_put16(p, at + 4, p->len - at - 40);
	}
}

/* Length and checksum of the UDP header at 'l4', to the end of the packet. */
static inline void tp_udp_end(struct test_pkt *p, unsigned ip, unsigned l4, bool csum)
{
	unsigned n = p->len - l4;

	tp_put16(p, l4 + 4, n);
	tp_put16(p, l4 + 6, 0);
	if (csum)
		tp_put16(p, l4 + 6, ~tp_l4_sum(p->b + ip, 17, p->b + l4, n) & 0xffff);
}

static inline unsigned tp_udp(struct test_pkt *p, unsigned sport, unsigned dport)
{
	unsigned at = p->len;

	tp_u16(p, sport);
	tp_u16(p, dport);
	tp_u32(p, 0);
	return at;
}

static inline void tp_fill(struct test_pkt *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		tp_u8(p, i * 7 + 1);
}

/* A whole UDP packet of 'n' payload bytes. */
static inline void tp_udp_frame(struct test_pkt *p, const uint8_t *dmac, const uint8_t *smac,
    const char *src, const char *dst, unsigned sport, unsigned dport, unsigned n)
{
	uint8_t a[16];
	bool is4 = tp_addr(src, a) == 4;
	unsigned ip, l4;

	p->len = 0;
	tp_eth(p, dmac, smac, is4 ? 0x0800 : 0x86dd);
	ip = tp_ip(p, src, dst, 17, 0, 64, true);
	l4 = tp_udp(p, sport, dport);
	tp_fill(p, n);
	tp_ip_end(p, ip);
	tp_udp_end(p, ip, l4, true);
}
