/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of this folder: a shard in an arena, a clock, and packets made of a few words. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rte_ether.h>
#include <rte_udp.h>

#include "session_priv.h"

#define FX_ENI	  7
#define FX_A	  0x0a000001u
#define FX_B	  0x0a000002u
#define FX_SPORT  40000
#define FX_DPORT  443
#define FX_TSC_HZ 1000000000ull

/* Half a million sessions fit. Not more: qemu-user keeps a record of every page that was ever mapped. */
#define FX_ARENA_BYTES (512ull << 20)

struct fx {
	struct ob_arena *arena;
	struct ob_session_shard *s;
	uint32_t now;
};

/* A packet with its own storage: no mempool. */
struct fx_pkt {
	struct rte_mbuf m;
	struct ob_meta meta;
	uint8_t room[64];
	uint8_t bytes[2048];
};

static inline struct ob_session_conf fx_conf(void)
{
	return (struct ob_session_conf){.n_workers = 2,
	    .max_v4 = 4096,
	    .max_v6 = 1024,
	    .max_fragmented = 64,
	    .tsc_hz = FX_TSC_HZ};
}

static inline void fx_open(struct fx *f, const struct ob_session_conf *c)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(ob_arena_create("test", FX_ARENA_BYTES, &f->arena), 0);
	assert_int_equal(ob_session_init(f->arena, c), 0);
	f->s = ob_session_shard(0);
	f->now = 1000;
	f->s->now = f->now;
}

static inline void fx_close(struct fx *f)
{
	ob_session_fini();
	ob_arena_destroy(f->arena);
}

/* Lets seconds pass, as busy rounds do. */
static inline void fx_pass(struct fx *f, double s)
{
	uint32_t end = f->now + (uint32_t)(s * OB_SESSION_HZ + 0.5);

	while (f->now != end) {
		f->now++;
		ob_session_expire(f->s, f->now, 100000);
	}
	ob_session_expire(f->s, f->now, 100000);
}

/* What holds of a shard at any time: the index has both keys of each session, the lists and the wheel have each once, and the ENIs'
 * counts agree (one shard in use). */
void fx_check(const struct ob_session_shard *s);

/* ---- packets ---- */

static inline void fx_begin(struct fx_pkt *p)
{
	memset(p, 0, sizeof(*p));
	p->m.buf_addr = p->bytes;
	p->m.nb_segs = 1;
	p->meta.l2_len = RTE_ETHER_HDR_LEN;
	p->meta.eni = FX_ENI;
}

static inline uint8_t *fx_l4(struct fx_pkt *p)
{
	return p->bytes + p->meta.l2_len + p->meta.l3_len;
}

static inline void fx_len(struct fx_pkt *p, uint32_t l4_bytes)
{
	p->m.pkt_len = (uint32_t)p->meta.l2_len + p->meta.l3_len + l4_bytes;
	p->m.data_len = (uint16_t)p->m.pkt_len;
}

static inline void fx_ip4(struct fx_pkt *p, uint32_t src, uint32_t dst, uint8_t proto)
{
	struct rte_ipv4_hdr *ip = (void *)(p->bytes + 14);

	fx_begin(p);
	ip->version_ihl = 0x45;
	ip->next_proto_id = proto;
	ip->src_addr = rte_cpu_to_be_32(src);
	ip->dst_addr = rte_cpu_to_be_32(dst);
	p->meta.l3_len = 20;
	p->meta.ip_proto = proto;
	p->meta.flags = OB_PKT_IP4;
	fx_len(p, 0);
}

static inline void fx_ip6(struct fx_pkt *p, uint32_t src, uint32_t dst, uint8_t proto)
{
	struct rte_ipv6_hdr *ip = (void *)(p->bytes + 14);
	rte_be32_t a = rte_cpu_to_be_32(src), b = rte_cpu_to_be_32(dst);

	fx_begin(p);
	ip->vtc_flow = rte_cpu_to_be_32(6u << 28);
	ip->proto = proto;
	ip->src_addr[0] = ip->dst_addr[0] = 0xfd;
	memcpy(ip->src_addr + 12, &a, 4);
	memcpy(ip->dst_addr + 12, &b, 4);
	p->meta.l3_len = 40;
	p->meta.ip_proto = proto;
	p->meta.flags = OB_PKT_IP6;
	fx_len(p, 0);
}

static inline void fx_ports(struct fx_pkt *p, uint16_t sport, uint16_t dport)
{
	rte_be16_t w[2] = {rte_cpu_to_be_16(sport), rte_cpu_to_be_16(dport)};

	memcpy(fx_l4(p), w, sizeof(w));
}

static inline void fx_udp(
    struct fx_pkt *p, uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport)
{
	fx_ip4(p, src, dst, IPPROTO_UDP);
	p->meta.flags |= OB_PKT_UDP;
	p->meta.l4_len = 8;
	fx_ports(p, sport, dport);
	fx_len(p, 8 + 20);
}

struct fx_seg {
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t win;
	uint32_t len;
	int scale; /* of a SYN; 0: none */
};

/* Makes the L4 part of a packet whose IP header is there. */
static inline void fx_tcp_seg(
    struct fx_pkt *p, uint16_t sport, uint16_t dport, const struct fx_seg *g)
{
	struct rte_tcp_hdr *th = (void *)fx_l4(p);
	unsigned opts = g->scale != 0 ? 4 : 0;

	p->meta.flags |= OB_PKT_TCP;
	p->meta.l4_len = (uint8_t)(20 + opts);
	fx_ports(p, sport, dport);
	th->sent_seq = rte_cpu_to_be_32(g->seq);
	th->recv_ack = rte_cpu_to_be_32(g->ack);
	th->rx_win = rte_cpu_to_be_16(g->win);
	th->tcp_flags = g->flags;
	th->data_off = (uint8_t)((20 + opts) / 4 << 4);
	if (opts != 0) {
		uint8_t o[4] = {1, 3, 3, (uint8_t)g->scale};

		memcpy(th + 1, o, 4);
	}
	fx_len(p, 20 + opts + g->len);
}

/* The same of an SCTP packet with one chunk, but for the ports. */
static inline void fx_sctp(
    struct fx_pkt *p, uint8_t chunk, bool reflected, uint32_t tag, uint32_t init_tag)
{
	rte_be32_t w[2] = {rte_cpu_to_be_32(tag), rte_cpu_to_be_32(init_tag)};
	uint8_t *l4 = fx_l4(p);

	memcpy(l4 + 4, &w[0], 4);
	l4[12] = chunk;
	l4[13] = reflected;
	l4[15] = 20;
	memcpy(l4 + 16, &w[1], 4);
	fx_len(p, 12 + 20);
}

/* Key of the packet, and the session that it would make: no rewrite. */
static inline struct ob_session_new fx_new(const struct fx_pkt *p)
{
	struct ob_session_new n = {.gen = {1, OB_SESSION_NO_GEN}};

	if (p->meta.flags & OB_PKT_IP4) {
		n.family[0] = n.family[1] = 4;
		ob_session_key4_of(&p->m, &p->meta, p->meta.eni, &n.key[0].v4);
		n.key[1].v4 = ob_session_reverse4(&n.key[0].v4);
	} else {
		n.family[0] = n.family[1] = 6;
		ob_session_key6_of(&p->m, &p->meta, p->meta.eni, &n.key[0].v6);
		n.key[1].v6 = ob_session_reverse6(&n.key[0].v6);
	}
	return n;
}

static inline int fx_add(struct fx *f, const struct fx_pkt *p, uint32_t *ref)
{
	struct ob_session_new n = fx_new(p);

	return ob_session_add(f->s, &n, &p->m, &p->meta, ref);
}

static inline uint32_t fx_find(struct fx *f, const struct fx_pkt *p)
{
	uint32_t ref;

	if (p->meta.flags & OB_PKT_IP4) {
		struct ob_session_key4 k;

		ob_session_key4_of(&p->m, &p->meta, p->meta.eni, &k);
		ob_session_find4(f->s, &k, &ref, 1);
	} else {
		struct ob_session_key6 k;

		ob_session_key6_of(&p->m, &p->meta, p->meta.eni, &k);
		ob_session_find6(f->s, &k, &ref, 1);
	}
	return ref;
}

static inline unsigned fx_track(struct fx *f, const struct fx_pkt *p)
{
	uint32_t ref = fx_find(f, p);

	return ref == OB_SESSION_NONE ? (unsigned)OB_SESSION_MISS
				      : ob_session_track(f->s, ref, &p->m, &p->meta);
}
