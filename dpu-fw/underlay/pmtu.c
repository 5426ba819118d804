/* SPDX-License-Identifier: BSD-3-Clause */
#include "pmtu.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_udp.h>

/* Bytes with a cursor: a field is read only if it is there. */
struct bytes {
	const uint8_t *at;
	uint32_t left;
};

static int take(struct bytes *b, void *dst, uint32_t len)
{
	if (b->left < len)
		return -ENOENT;
	if (dst != NULL)
		memcpy(dst, b->at, len);
	b->at += len;
	b->left -= len;
	return 0;
}

static void ip4(struct ob_ip *out, rte_be32_t addr)
{
	memset(out, 0, sizeof(*out));
	out->family = AF_INET;
	memcpy(out->b, &addr, 4);
}

static void ip6(struct ob_ip *out, const uint8_t addr[16])
{
	memset(out, 0, sizeof(*out));
	out->family = AF_INET6;
	memcpy(out->b, addr, 16);
}

/* The start of the packet that did not fit: IP header and UDP ports (RFC 792 promises 8 bytes after the IP header). */
static int quoted4(struct bytes *b, struct pmtu_news *out)
{
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	uint32_t ihl;

	if (take(b, &ip, sizeof(ip)) < 0)
		return -ENOENT;
	ihl = (ip.version_ihl & 0xfu) * 4u;
	if (ip.version_ihl >> 4 != 4 || ihl < sizeof(ip) || ip.next_proto_id != IPPROTO_UDP ||
	    (rte_be_to_cpu_16(ip.fragment_offset) & RTE_IPV4_HDR_OFFSET_MASK) != 0 ||
	    take(b, NULL, ihl - (uint32_t)sizeof(ip)) < 0 || take(b, &udp, sizeof(udp)) < 0)
		return -ENOENT;
	ip4(&out->local, ip.src_addr);
	ip4(&out->remote, ip.dst_addr);
	out->dst_port = rte_be_to_cpu_16(udp.dst_port);
	return 0;
}

static int error4(struct bytes *b, struct pmtu_news *out)
{
	struct rte_ipv4_hdr ip;
	struct {
		uint8_t type, code;
		rte_be16_t cksum, unused, mtu;
	} icmp;
	uint32_t ihl, total;
	uint16_t mtu;

	if (take(b, &ip, sizeof(ip)) < 0)
		return -ENOENT;
	ihl = (ip.version_ihl & 0xfu) * 4u;
	total = rte_be_to_cpu_16(ip.total_length);
	if (ip.version_ihl >> 4 != 4 || ihl < sizeof(ip) || ip.next_proto_id != IPPROTO_ICMP ||
	    (rte_be_to_cpu_16(ip.fragment_offset) &
		(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)) ||
	    total < ihl || total - sizeof(ip) > b->left)
		return -ENOENT;
	b->left = total - (uint32_t)sizeof(ip); /* without Ethernet padding */
	if (take(b, NULL, ihl - (uint32_t)sizeof(ip)) < 0 ||
	    rte_raw_cksum(b->at, b->left) != 0xffff || take(b, &icmp, sizeof(icmp)) < 0 ||
	    icmp.type != 3 || icmp.code != 4) /* destination unreachable, fragmentation needed */
		return -ENOENT;
	mtu = rte_be_to_cpu_16(icmp.mtu);
	out->mtu = mtu < PMTU_MIN4 ? PMTU_MIN4 : mtu;
	return quoted4(b, out);
}

static int error6(struct bytes *b, struct pmtu_news *out)
{
	struct rte_ipv6_hdr ip, quoted;
	struct {
		uint8_t type, code;
		rte_be16_t cksum;
		rte_be32_t mtu;
	} icmp;
	struct rte_udp_hdr udp;
	uint32_t mtu, len;

	if (take(b, &ip, sizeof(ip)) < 0)
		return -ENOENT;
	len = rte_be_to_cpu_16(ip.payload_len);
	if (ip.proto != IPPROTO_ICMPV6 || len > b->left)
		return -ENOENT;
	b->left = len;
	if (rte_ipv6_udptcp_cksum_verify(&ip, b->at) != 0 || take(b, &icmp, sizeof(icmp)) < 0 ||
	    icmp.type != 2 || take(b, &quoted, sizeof(quoted)) < 0 || quoted.proto != IPPROTO_UDP ||
	    take(b, &udp, sizeof(udp)) < 0)
		return -ENOENT;
	mtu = rte_be_to_cpu_32(icmp.mtu);
	out->mtu = (uint16_t)(mtu < PMTU_MIN6 ? PMTU_MIN6 : mtu > UINT16_MAX ? UINT16_MAX : mtu);
	ip6(&out->local, quoted.src_addr);
	ip6(&out->remote, quoted.dst_addr);
	out->dst_port = rte_be_to_cpu_16(udp.dst_port);
	return 0;
}

int pmtu_parse(const uint8_t *frame, uint32_t len, struct pmtu_news *out)
{
	struct bytes b = {.at = frame, .left = len};
	struct rte_ether_hdr eth;

	memset(out, 0, sizeof(*out));
	if (take(&b, &eth, sizeof(eth)) < 0)
		return -ENOENT;
	switch (eth.ether_type) {
	case RTE_BE16(RTE_ETHER_TYPE_IPV4):
		return error4(&b, out);
	case RTE_BE16(RTE_ETHER_TYPE_IPV6):
		return error6(&b, out);
	default:
		return -ENOENT;
	}
}
