/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_ether.h>

#define VLANS	    2
#define EXT_HEADERS 8
#define PORT_VXLAN  4789
#define PORT_GENEVE 6081
#define UDP_LEN	    8
#define TUNNEL_LEN  8 /* VXLAN, and Geneve without options */

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* 'off': of the header after IP. */
static void parse_l4(const uint8_t *p, uint32_t len, uint32_t off, struct hdrs *h)
{
	uint32_t opts;

	if (h->proto != IPPROTO_TCP && h->proto != IPPROTO_UDP && h->proto != IPPROTO_SCTP)
		return;
	if (len - off < 4)
		return;
	h->has_ports = true;
	h->sport = load16(p + off);
	h->dport = load16(p + off + 2);
	if (h->proto != IPPROTO_UDP || len - off < UDP_LEN + TUNNEL_LEN)
		return;
	opts = h->dport == PORT_GENEVE ? (p[off + UDP_LEN] & 0x3fu) * 4 : 0;
	if (h->dport != PORT_VXLAN && h->dport != PORT_GENEVE)
		return;
	if (len - off - UDP_LEN - TUNNEL_LEN > opts)
		h->inner_off = off + UDP_LEN + TUNNEL_LEN + opts;
}

static void parse_ip4(const uint8_t *p, uint32_t len, uint32_t off, struct hdrs *h)
{
	uint32_t hdr;

	if (len - off < 20 || p[off] >> 4 != 4)
		return;
	hdr = (p[off] & 15u) * 4;
	h->family = AF_INET;
	h->proto = p[off + 9];
	h->src = p + off + 12;
	h->dst = p + off + 16;
	/* A later fragment has no ports. */
	if (hdr >= 20 && len - off >= hdr && (load16(p + off + 6) & 0x1fff) == 0)
		parse_l4(p, len, off + hdr, h);
}

static void parse_ip6(const uint8_t *p, uint32_t len, uint32_t off, struct hdrs *h)
{
	if (len - off < 40 || p[off] >> 4 != 6)
		return;
	h->family = AF_INET6;
	h->proto = p[off + 6];
	h->src = p + off + 8;
	h->dst = p + off + 24;
	off += 40;
	for (unsigned i = 0; i < EXT_HEADERS; i++) {
		uint32_t ext;

		if (h->proto != IPPROTO_HOPOPTS && h->proto != IPPROTO_ROUTING &&
		    h->proto != IPPROTO_DSTOPTS && h->proto != IPPROTO_FRAGMENT &&
		    h->proto != IPPROTO_AH) {
			parse_l4(p, len, off, h);
			return;
		}
		if (len - off < 8)
			return;
		ext = h->proto == IPPROTO_FRAGMENT ? 8
		      : h->proto == IPPROTO_AH	   ? (p[off + 1] + 2u) * 4
						   : (p[off + 1] + 1u) * 8;
		if (h->proto == IPPROTO_FRAGMENT && (load16(p + off + 2) & 0xfff8) != 0) {
			h->proto = p[off];
			return;
		}
		h->proto = p[off];
		if (len - off < ext)
			return;
		off += ext;
	}
}

void hdrs_parse(const uint8_t *p, uint32_t len, struct hdrs *h)
{
	uint32_t off = 2 * RTE_ETHER_ADDR_LEN;

	memset(h, 0, sizeof(*h));
	for (unsigned i = 0;; i++) {
		if (off > len || len - off < 2)
			return;
		h->ethertype = load16(p + off);
		if (i == VLANS ||
		    (h->ethertype != RTE_ETHER_TYPE_VLAN && h->ethertype != RTE_ETHER_TYPE_QINQ))
			break;
		off += 4;
	}
	off += 2;
	if (h->ethertype == RTE_ETHER_TYPE_IPV4)
		parse_ip4(p, len, off, h);
	else if (h->ethertype == RTE_ETHER_TYPE_IPV6)
		parse_ip6(p, len, off, h);
}

static bool has_prefix(const struct ob_capture_prefix *f, uint8_t family, const uint8_t *ip)
{
	unsigned bytes = f->len / 8, bits = f->len % 8;

	if (f->family == 0)
		return true;
	return f->family == family && memcmp(f->b, ip, bytes) == 0 &&
	       (bits == 0 || ((f->b[bytes] ^ ip[bytes]) >> (8 - bits)) == 0);
}

static bool has_ends(
    const struct ob_capture_prefix ip[2], uint8_t family, const uint8_t *src, const uint8_t *dst)
{
	if (ip[0].family == 0 && ip[1].family == 0)
		return true;
	if (family == 0)
		return false;
	return (has_prefix(&ip[0], family, src) && has_prefix(&ip[1], family, dst)) ||
	       (has_prefix(&ip[0], family, dst) && has_prefix(&ip[1], family, src));
}

bool filter_takes(const struct ob_capture_filter *f, const struct hdrs *h)
{
	if (f->ethertype != 0 && h->ethertype != f->ethertype)
		return false;
	if (f->proto != 0 && (h->family == 0 || h->proto != f->proto))
		return false;
	if (f->port != 0 && (!h->has_ports || (h->sport != f->port && h->dport != f->port)))
		return false;
	return has_ends(f->ip, h->family, h->src, h->dst);
}

bool filter_reads(const struct ob_capture_filter *f)
{
	return f->ethertype != 0 || f->proto != 0 || f->port != 0 || f->ip[0].family != 0 ||
	       f->ip[1].family != 0;
}

int filter_check(const struct ob_capture_filter *f, char *err, size_t err_len)
{
	const char *what = NULL;

	if (f->dirs & ~(OB_CAPTURE_IN | OB_CAPTURE_OUT))
		what = "a direction is in, out or both";
	if (f->port != 0 && f->proto != 0 && f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP &&
	    f->proto != IPPROTO_SCTP)
		what = "only tcp, udp and sctp have ports";
	for (unsigned i = 0; i < 2; i++) {
		const struct ob_capture_prefix *p = &f->ip[i];

		if (p->family != 0 && p->family != AF_INET && p->family != AF_INET6)
			what = "an address is IPv4 or IPv6";
		else if (p->len > (p->family == AF_INET ? 32 : p->family == AF_INET6 ? 128 : 0))
			what = "a prefix is longer than its address";
	}
	if (f->ip[0].family != 0 && f->ip[1].family != 0 && f->ip[0].family != f->ip[1].family)
		what = "no packet has an IPv4 address at one end and an IPv6 address at the other";
	if (what == NULL)
		return 0;
	if (err != NULL)
		snprintf(err, err_len, "%s", what);
	return -EINVAL;
}
