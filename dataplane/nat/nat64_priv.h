/* SPDX-License-Identifier: BSD-3-Clause */
/* What nat64.c and nat64_icmp.c share. */
#pragma once

#include <rte_ether.h>

#include "nat_priv.h"

#define IP4_HDR	    20u
#define IP6_HDR	    40u
#define FRAG_HDR    8u
#define ICMP_HDR    8u
#define ICMP6_ECHO  128
#define ICMP6_REPLY 129
#define MIN_MTU6_IN4 \
	1260 /* RFC 7915, 5.1: an IPv4 packet that IPv6's smallest MTU holds may be fragmented on its way */

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store16(p, v >> 16);
	store16(p + 2, v);
}

/* Sum of 'n' bytes, a multiple of four, in memory order. */
static inline uint64_t words(const void *b, unsigned n)
{
	const uint8_t *p = b;
	uint64_t sum = 0;
	uint32_t v;

	for (unsigned i = 0; i < n; i += 4) {
		memcpy(&v, p + i, 4);
		sum += v;
	}
	return sum;
}

/* What takes 'sum' away from a one's complement sum. */
static inline uint64_t minus(uint64_t sum)
{
	return (uint16_t)~ob_nat_fold(sum);
}

/* ICMPv6's pseudo header without the addresses. */
static inline uint64_t pseudo6(uint8_t proto, uint32_t len)
{
	return (uint64_t)rte_cpu_to_be_32(len) + rte_cpu_to_be_32(proto);
}

/* What IPv6 says beyond its own header. */
struct ext {
	uint32_t id;
	uint16_t frag; /* offset and M bit as in the fragment header */
	bool has_frag;
	uint8_t proto;
	unsigned len; /* of all headers */
};

/* 'room' bytes are there. Returns 0; -EMSGSIZE they end in a header; -ENOTSUP one that cannot be translated. */
int ext_walk(const uint8_t *ip6, unsigned room, struct ext *x);

/* Headers. 'len': bytes behind the header (for IPv6: behind all headers). */
void make_ip4(uint8_t *h, const uint8_t *ip6, const struct ext *x, uint32_t len, bool is_gso,
    rte_be32_t src, rte_be32_t dst);
/* With a fragment header if 'ip4' is one; returns the length of the headers. */
unsigned make_ip6(
    uint8_t *h, const uint8_t *ip4, uint32_t len, const uint8_t src[16], const uint8_t dst[16]);
/* Protocols of one family that mean something else in the other, or depend on its header. */
bool proto_ok(uint8_t proto);

/* An echo becomes the other family's; 'pseudo': sum of the IPv6 pseudo header, taken away or added. False: no echo. */
bool echo_to4(uint8_t *icmp, uint64_t pseudo, uint32_t ports, bool is_partial);
bool echo_to6(uint8_t *icmp, uint64_t pseudo, uint32_t ports, bool is_partial);
