/* SPDX-License-Identifier: BSD-3-Clause */
/* Part of ob_nat.h: the rewrite that every packet of a translated connection takes. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>

#include <rte_icmp.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "ob_nat.h"

/* Sum of the words of 'a' less those of 'b', in memory order, for a one's complement sum (byte order and word size do not matter). */
static inline uint64_t ob_nat_diff32(uint32_t b, uint32_t a)
{
	return (uint64_t)a + (uint32_t)~b;
}

static inline uint16_t ob_nat_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* RFC 1624, equation 3; 'p' is a checksum field. */
static inline void ob_nat_fix(uint8_t *p, uint64_t diff)
{
	uint16_t c;

	memcpy(&c, p, 2);
	c = (uint16_t)~ob_nat_fold((uint64_t)(uint16_t)~c + diff);
	memcpy(p, &c, 2);
}

/* 'l4': header of protocol 'proto', 'room' bytes of it are there. 'addrs', 'ports': differences. */
static inline void ob_nat_fix_l4(
    const struct ob_meta *m, uint8_t *l4, uint64_t addrs, uint64_t ports)
{
	uint8_t *field;
	uint16_t c;

	if (m->flags & OB_PKT_TCP)
		field = l4 + offsetof(struct rte_tcp_hdr, cksum);
	else
		field = l4 + offsetof(struct rte_udp_hdr, dgram_cksum);
	memcpy(&c, field, 2);
	if (unlikely(m->flags & OB_PKT_L4_CSUM_PARTIAL) && m->csum_start == m->l2_len + m->l3_len) {
		c = ob_nat_fold(c + addrs);
		memcpy(field, &c, 2);
		return;
	}
	if (m->flags & OB_PKT_UDP) {
		if (c == 0)
			return; /* the sender made none */
		c = (uint16_t)~ob_nat_fold((uint64_t)(uint16_t)~c + addrs + ports);
		c = c == 0 ? 0xffff : c;
		memcpy(field, &c, 2);
		return;
	}
	ob_nat_fix(field, addrs + ports);
}

/* The id of an echo is the port of who asks. */
static inline uint16_t ob_nat_id(bool is_request, uint32_t ports)
{
	uint16_t half[2];

	memcpy(half, &ports, 4);
	return half[is_request ? 0 : 1];
}

/* Protocols without a flag whose checksum covers the addresses. Not on the main way. */
void ob_nat_fix_other(struct rte_mbuf *pkt, const struct ob_meta *m, uint64_t addrs);

static inline void ob_nat_rewrite4(
    struct rte_mbuf *pkt, const struct ob_meta *m, const struct ob_nat_to4 *to)
{
	uint8_t *p = rte_pktmbuf_mtod_offset(pkt, uint8_t *, m->l2_len);
	uint8_t *l4 = p + m->l3_len;
	uint32_t src, dst, ports;
	uint64_t addrs;

	memcpy(&src, p + 12, 4);
	memcpy(&dst, p + 16, 4);
	addrs = ob_nat_diff32(src, to->src) + ob_nat_diff32(dst, to->dst);
	memcpy(p + 12, &to->src, 4);
	memcpy(p + 16, &to->dst, 4);
	ob_nat_fix(p + 10, addrs);
	if (likely(m->flags & (OB_PKT_TCP | OB_PKT_UDP))) {
		memcpy(&ports, l4, 4);
		memcpy(l4, &to->ports, 4);
		ob_nat_fix_l4(m, l4, addrs, ob_nat_diff32(ports, to->ports));
	} else if ((m->flags & OB_PKT_ICMP) &&
		   (l4[0] == RTE_IP_ICMP_ECHO_REQUEST || l4[0] == RTE_IP_ICMP_ECHO_REPLY)) {
		uint16_t old, id = ob_nat_id(l4[0] == RTE_IP_ICMP_ECHO_REQUEST, to->ports);

		memcpy(&old, l4 + 4, 2);
		memcpy(l4 + 4, &id, 2);
		ob_nat_fix(l4 + 2, (uint64_t)id + (uint16_t)~old);
	} else if (!(m->flags & (OB_PKT_LATER_FRAG | OB_PKT_ICMP))) {
		ob_nat_fix_other(pkt, m, addrs);
	}
}
