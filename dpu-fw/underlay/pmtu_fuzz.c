/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames on their way to the kernel: what an ICMP error makes of a tunnel's MTU. Unless the first byte is odd the ICMP checksum is put
 * right, else nothing gets past it. */
#include "pmtu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_ether.h>
#include <rte_ip.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fix4(uint8_t *f, size_t len)
{
	size_t at = RTE_ETHER_HDR_LEN + (f[14] & 0xfu) * 4u;
	size_t end = RTE_ETHER_HDR_LEN + ((size_t)f[16] << 8 | f[17]);
	uint16_t sum;

	if (end > len || at + 8 > end)
		return;
	memset(f + at + 2, 0, 2);
	sum = (uint16_t)~rte_raw_cksum(f + at, end - at);
	memcpy(f + at + 2, &sum, 2);
}

static void fix6(uint8_t *f, size_t len)
{
	const size_t at = RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr);
	struct rte_ipv6_hdr ip;
	uint16_t sum;

	if (at + 8 > len)
		return;
	memcpy(&ip, f + RTE_ETHER_HDR_LEN, sizeof(ip));
	if (ip.proto != IPPROTO_ICMPV6 || rte_be_to_cpu_16(ip.payload_len) > len - at ||
	    rte_be_to_cpu_16(ip.payload_len) < 8)
		return;
	/* (and DPDK's own shift of the protocol is undefined from 128 on) */
	if (ip.proto != IPPROTO_ICMPV6)
		return;
	memset(f + at + 2, 0, 2);
	sum = rte_ipv6_udptcp_cksum(&ip, f + at);
	memcpy(f + at + 2, &sum, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pmtu_news n;
	uint8_t *frame;

	if (size < 1)
		return 0;
	frame = malloc(size); /* its exact size: a byte too far is found */
	assert(frame != NULL);
	memcpy(frame, data + 1, size - 1);
	if (!(data[0] & 1) && size - 1 >= 34) {
		if (frame[12] == 0x08 && frame[13] == 0x00)
			fix4(frame, size - 1);
		else if (frame[12] == 0x86 && frame[13] == 0xdd)
			fix6(frame, size - 1);
	}
	if (pmtu_parse(frame, (uint32_t)(size - 1), &n) == 0) {
		assert(n.local.family == n.remote.family);
		assert(n.mtu >= (n.local.family == AF_INET ? PMTU_MIN4 : PMTU_MIN6));
	}
	free(frame);
	return 0;
}
