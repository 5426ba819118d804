/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum (RFC 1071) over buffers and mbuf chains. */
#pragma once

#include <string.h>

#include <rte_mbuf.h>

/* Adds 'len' bytes to a running sum, as if they began at an even offset. 64-bit loads, each half added on its own, so that a
 * carry is never lost: 2^32 of them fit. */
static inline uint64_t csum_add(uint64_t sum, const uint8_t *p, size_t len)
{
	uint64_t even = 0, odd = 0, a, b;
	uint16_t v;

	for (; len >= 16; p += 16, len -= 16) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, p + 8, sizeof(b));
		even += (a & UINT32_MAX) + (b & UINT32_MAX);
		odd += (a >> 32) + (b >> 32);
	}
	for (; len >= 2; p += 2, len -= 2) {
		memcpy(&v, p, sizeof(v));
		even += v;
	}
	if (len > 0) {
		v = 0;
		memcpy(&v, p, 1);
		even += v;
	}
	return sum + (even & UINT32_MAX) + (even >> 32) + (odd & UINT32_MAX) + (odd >> 32);
}

/* Folds to 16 bits, in the byte order of memory. */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Sum of [off, off + len) of a chain; the caller has checked that it is there. */
static inline uint16_t csum_chain(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	while (m != NULL && off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	for (; m != NULL && len > 0; m = m->next, off = 0) {
		uint32_t n = RTE_MIN(len, (uint32_t)m->data_len - off);
		uint16_t part =
		    csum_fold(csum_add(0, rte_pktmbuf_mtod_offset(m, const uint8_t *, off), n));

		sum += odd ? rte_bswap16(part) : part;
		odd ^= n & 1;
		len -= n;
	}
	return csum_fold(sum);
}
