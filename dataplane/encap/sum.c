/* SPDX-License-Identifier: BSD-3-Clause */
/* One's complement sum over a chain. DPDK 22.11's own loses carries when a segment starts at an odd offset. */
#include "encap_priv.h"

#include <string.h>

/* Words of 64 bits; the carries are counted apart and come back at the end, where one of 2^64 is worth one again. Two chains, because an add
 * waits for the one before it. */
static uint64_t sum_bytes(const uint8_t *p, uint32_t n)
{
	uint64_t a = 0, b = 0, carry = 0;
	uint64_t v[4];
	uint32_t w;

	for (; n >= 32; n -= 32, p += 32) {
		memcpy(v, p, 32);
		carry += __builtin_add_overflow(a, v[0], &a);
		carry += __builtin_add_overflow(b, v[1], &b);
		carry += __builtin_add_overflow(a, v[2], &a);
		carry += __builtin_add_overflow(b, v[3], &b);
	}
	a = (a & UINT32_MAX) + (a >> 32) + (b & UINT32_MAX) + (b >> 32) + carry;
	for (; n >= 4; n -= 4, p += 4) {
		memcpy(&w, p, 4);
		a += w;
	}
	if (n > 0) {
		w = 0;
		memcpy(&w, p, n);
		a += w;
	}
	return a;
}

static uint16_t fold64(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t ob_pkt_sum(const struct rte_mbuf *pkt, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	for (const struct rte_mbuf *seg = pkt; seg != NULL && len > 0; seg = seg->next) {
		uint32_t n = rte_pktmbuf_data_len(seg);
		uint16_t part;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = RTE_MIN(n - off, len);
		part = fold64(sum_bytes(rte_pktmbuf_mtod_offset(seg, const uint8_t *, off), n));
		sum += odd ? rte_bswap16(part) : part;
		odd ^= n & 1;
		len -= n;
		off = 0;
	}
	return fold64(sum);
}
