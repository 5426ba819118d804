/* SPDX-License-Identifier: BSD-3-Clause */
/* Random packets through every rewrite. The buffer is as large as the packet and its headroom, so that a byte beyond is found;
 * checksums that were right are right afterwards, wrong ones as wrong as before; what nobody speaks of has not changed.
 *
 * Input: what to do, flags, addresses and ports; the rest is the packet from the Ethernet payload on. */
#include <errno.h>
#include <stdio.h>

#include "test_nat.h"

#define MAX_PKT 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

enum { REWRITE4, ERROR4, TO4, TO6, ERROR_TO4, ERROR_TO6, N_WHAT };

/* Flags of the input. */
#define MEND_L4 1 /* checksums of the L4 header made right */
#define PARTIAL 2
#define NO_ROOM 4 /* less headroom than NAT64 needs */
#define MEND_IN 8 /* the packet inside goes where the error comes from */

static struct test_pkt was;
static struct ob_meta meta;
static uint8_t what, flags;
static struct ob_nat_to4 to4;
static struct ob_nat_to6 to6;
static uint8_t router[16];

/* Has the L4 header a checksum over the addresses? 'n': bytes of it. */
static bool covers_addrs(const struct ob_meta *m, unsigned n)
{
	if (m->ip_proto == 33 || m->ip_proto == 136)
		return n >= 8;
	return m->ip_proto == 6 || m->ip_proto == 17 ||
	       (m->ip_proto == 58 && (m->flags & OB_PKT_IP6));
}

/* The L4 packet's sum with what its checksum covers; -1: none. */
static int64_t l4_sum(const uint8_t *b, unsigned len, const struct ob_meta *m)
{
	unsigned l4 = m->l2_len + m->l3_len;

	if (m->flags & OB_PKT_LATER_FRAG)
		return -1;
	if ((m->flags & OB_PKT_IP4) && m->ip_proto == 1)
		return tp_sum(0, b + l4, len - l4);
	if (!covers_addrs(m, len - l4))
		return -1;
	return tp_l4_sum(b + 14, m->ip_proto, b + l4, len - l4);
}

/* One's complement numbers: 0 and 0xffff are one. */
static bool same_sum(int64_t a, int64_t b)
{
	return a % 0xffff == b % 0xffff;
}

static unsigned csum_at(const struct ob_meta *m)
{
	unsigned l4 = m->l2_len + m->l3_len;

	return l4 + ((m->flags & OB_PKT_TCP) ? 16 : (m->flags & OB_PKT_UDP) ? 6 : 2);
}

/* Makes a packet that the parser lets pass out of the input. */
static bool build(const uint8_t *data, size_t size)
{
	bool is4 = what == REWRITE4 || what == ERROR4 || what == TO6 || what == ERROR_TO6;

	was.len = 0;
	memset(was.b, 2, 14);
	tp_put16(&was, 12, is4 ? 0x0800 : 0x86dd);
	was.len = 14;
	tp_bytes(&was, data, (unsigned)RTE_MIN(size, (size_t)MAX_PKT));
	if (was.len < (is4 ? 34 : 54))
		return false;
	was.b[14] = (uint8_t)((was.b[14] & 15) | (is4 ? 0x40 : 0x60));
	if (is4)
		was.b[14] = (was.b[14] & 15) < 5 ? 0x45 : was.b[14];
	if (is4 && was.len < 14u + (was.b[14] & 15) * 4)
		return false;
	tp_ip_end(&was, 14);
	if (!test_parse(was.b, was.len, &meta))
		return false;
	if (what == ERROR4 || what == ERROR_TO4 || what == ERROR_TO6) {
		unsigned in = 14 + meta.l3_len + 8;

		if (!(meta.flags & OB_PKT_ICMP))
			return false;
		if ((flags & MEND_IN) && is4 && was.len >= in + 20) {
			was.b[in] = (uint8_t)(0x40 | (was.b[in] & 15));
			memcpy(was.b + in + 12, was.b + 30, 4);
		} else if ((flags & MEND_IN) && was.len >= in + 40) {
			was.b[in] = 0x60;
			memcpy(was.b + in + 8, was.b + 38, 16);
		}
	}
	if (meta.flags & (OB_PKT_TCP | OB_PKT_UDP | OB_PKT_ICMP)) {
		unsigned at = csum_at(&meta);

		if (flags & MEND_L4) {
			tp_put16(&was, at, 0);
			tp_put16(&was, at, ~(unsigned)l4_sum(was.b, was.len, &meta) & 0xffff);
		}
		if ((flags & PARTIAL) && !(meta.flags & OB_PKT_FRAG)) {
			meta.flags |= OB_PKT_L4_CSUM_PARTIAL;
			meta.csum_start = (uint16_t)(14 + meta.l3_len);
			meta.csum_offset = (uint16_t)(at - meta.csum_start);
		}
	}
	return true;
}

/* Pseudo header of the family, 0 for ICMP in IPv4. */
static uint32_t pseudo(const uint8_t *b, unsigned len, const struct ob_meta *m)
{
	unsigned n = len - m->l2_len - m->l3_len;
	uint8_t ph[4] = {0, m->ip_proto, (uint8_t)(n >> 8), (uint8_t)n};

	if (m->flags & OB_PKT_IP4)
		return m->ip_proto == 1 ? 0 : tp_sum(tp_sum(0, b + 26, 8), ph, 4);
	return tp_sum(tp_sum(0, b + 22, 32), ph, 4);
}

/* Both packets' L4 checksums are equally right. */
static void check_l4(
    const uint8_t *b, unsigned len, const struct ob_meta *m, const struct ob_meta *m0)
{
	int64_t before = l4_sum(was.b, was.len, m0), after = l4_sum(b, len, m);
	unsigned at = csum_at(m), at0 = csum_at(m0);

	if (m0->flags & OB_PKT_L4_CSUM_PARTIAL) {
		/* The field less the pseudo header: as far from right as it was; an ICMP one is made right. */
		if (m0->flags & OB_PKT_ICMP) {
			if (what == TO4 || what == TO6)
				MUST(same_sum(tp_get16(b + at), pseudo(b, len, m)));
			return;
		}
		MUST(same_sum((int64_t)tp_get16(b + at) + 0xffff - pseudo(b, len, m),
		    (int64_t)tp_get16(was.b + at0) + 0xffff - pseudo(was.b, was.len, m0)));
		return;
	}
	if (before < 0)
		return;
	if ((m0->flags & OB_PKT_UDP) && tp_get16(was.b + at0) == 0) {
		unsigned ulen = tp_get16(b + at - 2);

		if (what == TO6)
			MUST(same_sum(tp_l4_sum(b + 14, 17, b + at - 6, ulen), 0));
		else
			MUST(tp_get16(b + at) == 0);
		return;
	}
	if (m0->flags & OB_PKT_UDP)
		MUST(tp_get16(b + at) != 0);
	MUST(same_sum(before, after));
}

static void check_rewrite4(const uint8_t *b, unsigned len, const struct ob_meta *m0)
{
	unsigned l4 = 14 + meta.l3_len, skip = 0;

	MUST(len == was.len);
	MUST(memcmp(b + 26, &to4.src, 4) == 0 && memcmp(b + 30, &to4.dst, 4) == 0);
	MUST(same_sum(tp_sum(0, b + 14, meta.l3_len), tp_sum(0, was.b + 14, meta.l3_len)));
	check_l4(b, len, &meta, m0);
	MUST(memcmp(b, was.b, 24) == 0 && memcmp(b + 34, was.b + 34, meta.l3_len - 20u) == 0);
	if (meta.flags & OB_PKT_TCP)
		skip = 18;
	else if (meta.flags & (OB_PKT_UDP | OB_PKT_ICMP) || covers_addrs(&meta, len - l4))
		skip = 8;
	if (meta.flags & OB_PKT_LATER_FRAG)
		skip = 0;
	if (len > l4 + skip)
		MUST(memcmp(b + l4 + skip, was.b + l4 + skip, len - l4 - skip) == 0);
}

static void check_error4(const uint8_t *b, unsigned len, const struct ob_meta *m0)
{
	unsigned in = 14 + meta.l3_len + 8;

	MUST(len == was.len);
	MUST(same_sum(tp_sum(0, b + 14, meta.l3_len), tp_sum(0, was.b + 14, meta.l3_len)));
	if (!(m0->flags & OB_PKT_L4_CSUM_PARTIAL))
		MUST(same_sum(l4_sum(b, len, &meta), l4_sum(was.b, was.len, m0)));
	MUST(memcmp(b + in + 12, &to4.src, 4) == 0 && memcmp(b + in + 16, &to4.dst, 4) == 0);
	MUST(same_sum(
	    tp_sum(0, b + in, (b[in] & 15u) * 4), tp_sum(0, was.b + in, (b[in] & 15u) * 4)));
}

/* Of the other family: the parser finds what the metadata says, the payload is there. */
static void check_64(const uint8_t *b, unsigned len, const struct ob_meta *m0)
{
	unsigned l4 = 14 + meta.l3_len, l40 = 14 + m0->l3_len, skip = 0;
	struct ob_meta m;

	MUST(test_parse(b, len, &m));
	MUST(m.flags == (meta.flags & ~OB_PKT_L4_CSUM_PARTIAL) && m.l3_len == meta.l3_len &&
	     m.ip_proto == meta.ip_proto && m.ethertype == meta.ethertype &&
	     m.l4_len == meta.l4_len);
	MUST((int)len - (int)was.len == (int)meta.l3_len - m0->l3_len);
	if (meta.flags & OB_PKT_IP4)
		MUST(tp_sum(0, b + 14, 20) == 0xffff);
	if (m0->flags & OB_PKT_L4_CSUM_PARTIAL)
		MUST(meta.csum_start == l4);
	check_l4(b, len, &meta, m0);
	if (meta.flags & OB_PKT_TCP)
		skip = 18;
	else if (!(meta.flags & OB_PKT_LATER_FRAG) &&
		 (meta.flags & (OB_PKT_UDP | OB_PKT_ICMP) || covers_addrs(&meta, len - l4)))
		skip = 8;
	if (len > l4 + skip)
		MUST(memcmp(b + l4 + skip, was.b + l40 + skip, len - l4 - skip) == 0);
}

static void check_error_64(const uint8_t *b, unsigned len)
{
	struct ob_meta m;

	MUST(test_parse(b, len, &m));
	MUST(m.flags == meta.flags && m.l3_len == meta.l3_len && m.ip_proto == meta.ip_proto);
	MUST(len <= 14 + 1280);
	MUST(l4_sum(b, len, &m) == 0xffff);
	if (meta.flags & OB_PKT_IP4)
		MUST(tp_sum(0, b + 14, 20) == 0xffff && tp_sum(0, b + 42, 20) == 0xffff);
}

static void run(struct rte_mbuf *m)
{
	struct ob_meta m0 = meta;
	enum ob_drop rc = OB_PASS;
	const uint8_t *b;

	switch (what) {
	case REWRITE4:
		ob_nat_rewrite4(m, &meta, &to4);
		break;
	case ERROR4:
		rc = ob_nat_rewrite4_error(m, &meta, &to4);
		break;
	case TO4:
		rc = ob_nat64_to4(m, &meta, &to4);
		break;
	case TO6:
		rc = ob_nat64_to6(m, &meta, &to6);
		break;
	case ERROR_TO4:
		rc = ob_nat64_error_to4(m, &meta, &to4);
		break;
	default:
		rc = ob_nat64_error_to6(m, &meta, router, &to6);
		break;
	}
	b = rte_pktmbuf_mtod(m, const uint8_t *);
	MUST(rc == OB_PASS || rc == OB_DROP_NAT_UNTRANSLATABLE || rc == OB_DROP_ICMP_UNRELATED ||
	     rc == OB_DROP_NO_MBUF);
	if (rc != OB_PASS)
		return;
	MUST(m->pkt_len == m->data_len);
	if (what == REWRITE4)
		check_rewrite4(b, m->pkt_len, &m0);
	else if (what == ERROR4)
		check_error4(b, m->pkt_len, &m0);
	else if (what == TO4 || what == TO6)
		check_64(b, m->pkt_len, &m0);
	else
		check_error_64(b, m->pkt_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rte_mbuf m = {.nb_segs = 1};
	unsigned head;
	uint8_t *buf;

	if (size < 14)
		return 0;
	what = data[0] % N_WHAT;
	flags = data[1];
	memcpy(&to4.src, data + 2, 4);
	memcpy(&to4.dst, data + 6, 4);
	memcpy(&to4.ports, data + 10, 4);
	to6.ports = to4.ports;
	memcpy(to6.src, data + 2, 12);
	memcpy(to6.dst, data + 1, 12);
	memcpy(router, data + 2, 8);
	if (!build(data + 14, size - 14))
		return 0;
	head = (flags & NO_ROOM) ? 19 : OB_HEADROOM;
	buf = malloc(head + was.len);
	MUST(buf != NULL);
	memset(buf, 0, head);
	memcpy(buf + head, was.b, was.len);
	m.buf_addr = buf;
	m.buf_len = (uint16_t)(head + was.len);
	m.data_off = (uint16_t)head;
	m.data_len = (uint16_t)was.len;
	m.pkt_len = was.len;
	run(&m);
	free(buf);
	return 0;
}
