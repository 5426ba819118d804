/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets from templates: one copy of the headers, then what differs. Their cost is in every figure, so it is small, and the same for all. */
#include <string.h>

#include <rte_arp.h>
#include <rte_geneve.h>
#include <rte_ip.h>
#include <rte_mbuf_ptype.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "obgen.h"

#define TTL	   64
#define TCP_WSCALE 14
/* Header flags of TCP, in its byte 13. */
#define ACKS (RTE_TCP_ACK_FLAG)
#define PUSH (RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG)
#define FINS (RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG | RTE_TCP_FIN_FLAG)

static uint32_t sum_words(const uint8_t *b, unsigned n)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < n; i += 2) {
		uint16_t w;

		memcpy(&w, b + i, 2);
		sum += w;
	}
	return sum;
}

/* Of a sum below 2^47. */
static inline uint16_t fold(uint64_t s)
{
	uint32_t t = (uint32_t)(s & 0xffff) + (uint32_t)(s >> 16 & 0xffff) + (uint32_t)(s >> 32);

	t = (t & 0xffff) + (t >> 16);
	t += t >> 16;
	return (uint16_t)~t;
}

static void ip_header(
    struct rte_ipv4_hdr *ip, unsigned len, unsigned proto, rte_be32_t src, rte_be32_t dst)
{
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = rte_cpu_to_be_16((uint16_t)len);
	ip->fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	ip->time_to_live = TTL;
	ip->next_proto_id = (uint8_t)proto;
	ip->src_addr = src;
	ip->dst_addr = dst;
}

static void eth_header(
    struct rte_ether_hdr *e, const struct rte_ether_addr *dst, const struct rte_ether_addr *src)
{
	e->dst_addr = *dst;
	e->src_addr = *src;
	e->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
}

static void outer(const struct obg_port *port, uint8_t *b, unsigned inner_len)
{
	const struct obg_conf *c = &port->pair->conf;
	bool geneve = c->encap == OBG_GENEVE;
	struct rte_ipv4_hdr *ip = (void *)(b + 14);
	struct rte_udp_hdr *udp = (void *)(b + 34);
	uint32_t word[2] = {rte_cpu_to_be_32(geneve ? RTE_ETHER_TYPE_TEB : 0x08000000),
	    rte_cpu_to_be_32(c->vni << 8)};

	eth_header((void *)b, &port->mac, &c->far_mac);
	ip_header(ip, inner_len + OBG_OUTER - 14, IPPROTO_UDP, c->far, c->card);
	ip->hdr_checksum = fold(sum_words(b + 14, 20));
	udp->dst_port = rte_cpu_to_be_16(geneve ? RTE_GENEVE_DEFAULT_PORT : RTE_VXLAN_DEFAULT_PORT);
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(inner_len + 16));
	memcpy(b + 42, word, 8);
}

/* What does not differ from one connection to the next. 'len': of the inner frame. */
static void template(const struct obg_port *port, struct obg_tmpl *t, unsigned len, unsigned flags)
{
	static const uint8_t syn_options[8] = {2, 4, 1460 >> 8, 1460 & 255, 1, 3, 3, TCP_WSCALE};
	const struct obg_conf *c = &port->pair->conf;
	unsigned at = port->tunnel ? OBG_OUTER : 0;
	unsigned proto = c->tcp ? IPPROTO_TCP : IPPROTO_UDP, l4_len = len - OBG_L4;
	bool guest = port->conf.role == OBG_GUEST, syn = flags & RTE_TCP_SYN_FLAG;
	uint8_t *b = t->b + at;

	memset(t, 0, sizeof(*t));
	if (port->tunnel)
		outer(port, t->b, len);
	eth_header(
	    (void *)b, guest ? &c->gw_mac : &c->guest_mac, guest ? &c->guest_mac : &c->peer_mac);
	ip_header((void *)(b + 14), len - 14, proto, guest ? c->guest : 0, guest ? 0 : c->guest);
	if (c->tcp) {
		struct rte_tcp_hdr *tcp = (void *)(b + OBG_L4);

		tcp->data_off = syn ? 7 << 4 : 5 << 4;
		tcp->tcp_flags = (uint8_t)flags;
		tcp->rx_win = 0xffff;
		if (syn)
			memcpy(tcp + 1, syn_options, 8);
	} else {
		struct rte_udp_hdr *udp = (void *)(b + OBG_L4);

		udp->dgram_len = rte_cpu_to_be_16((uint16_t)l4_len);
	}
	t->len = (uint16_t)(len + at);
	t->payload = (uint16_t)(len - (c->tcp ? OBG_TCP_DATA : OBG_UDP_DATA) - (syn ? 8 : 0));
	t->stamp_at = (uint16_t)((c->tcp ? OBG_TCP_DATA : OBG_UDP_DATA) + (syn ? 8 : 0));
	t->stamp_mask = t->payload >= 8 ? UINT64_MAX : 0;
	t->copy = t->len <= 64 ? 64 : 128;
	t->ip_sum = sum_words(b + 14, 20);
	t->l4_sum = (uint64_t)sum_words(b + 26, 8) + rte_cpu_to_be_16((uint16_t)proto) +
		    rte_cpu_to_be_16((uint16_t)l4_len) +
		    sum_words(b + OBG_L4, syn	   ? 28
					  : c->tcp ? 20
						   : 8);
	t->packet_type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4;
	if (port->tunnel)
		t->packet_type |=
		    (c->encap == OBG_GENEVE ? RTE_PTYPE_TUNNEL_GENEVE : RTE_PTYPE_TUNNEL_VXLAN) |
		    RTE_PTYPE_INNER_L2_ETHER | RTE_PTYPE_INNER_L3_IPV4 |
		    (c->tcp ? RTE_PTYPE_INNER_L4_TCP : RTE_PTYPE_INNER_L4_UDP);
	else
		t->packet_type |= c->tcp ? RTE_PTYPE_L4_TCP : RTE_PTYPE_L4_UDP;
}

void obg_templates(struct obg_port *port)
{
	static const uint16_t imix[3] = {64, 570, 1514};
	const struct obg_conf *c = &port->pair->conf;
	bool guest = port->conf.role == OBG_GUEST;

	for (unsigned i = 0; i < 3; i++)
		template(port, &port->tmpl[OBG_T_DATA + i], c->size ? c->size : imix[i], PUSH);
	if (!c->tcp)
		return;
	template(port, &port->tmpl[OBG_T_SYN], OBG_TCP_DATA + 8,
	    RTE_TCP_SYN_FLAG | (guest ? 0 : RTE_TCP_ACK_FLAG));
	template(port, &port->tmpl[OBG_T_ACK], OBG_TCP_DATA, ACKS);
	template(port, &port->tmpl[OBG_T_FIN], c->size ? c->size : imix[0], FINS);
}

static inline uint32_t isn(const struct obg_pair *pair, enum obg_role side, uint32_t flow)
{
	uint32_t x = (flow ^ (side == OBG_WIRE ? 0x5bd1e995 : 0)) * 0x9e3779b1;

	return (x ^ x >> 15) + pair->isn;
}

uint32_t obg_isn(const struct obg_pair *pair, enum obg_role side, uint32_t flow)
{
	return isn(pair, side, flow);
}

void obg_numbers(struct obg_pair *pair)
{
	/* Both sides' templates for request and response are of one size; FIN counts as one. */
	uint32_t data = pair->port[OBG_GUEST]->tmpl[OBG_T_FIN].payload + 1;
	const struct obg_number all[OBG_N_STEPS] = {
	    [OBG_SYN] = {0, 0, 0, OBG_T_SYN, OBG_GUEST},
	    [OBG_SYN_ACK] = {0, 1, UINT32_MAX, OBG_T_SYN, OBG_WIRE},
	    [OBG_ACK] = {1, 1, UINT32_MAX, OBG_T_ACK, OBG_GUEST},
	    [OBG_REQUEST] = {1, 1, UINT32_MAX, OBG_T_FIN, OBG_GUEST},
	    [OBG_RESPONSE] = {1, 1 + data, UINT32_MAX, OBG_T_FIN, OBG_WIRE},
	    [OBG_LAST_ACK] = {1 + data, 1 + data, UINT32_MAX, OBG_T_ACK, OBG_GUEST},
	};

	memcpy(pair->number, all, sizeof(all));
	/* UDP has one kind of packet. */
	for (unsigned i = 0; i < OBG_N_STEPS && !pair->conf.tcp; i++)
		pair->number[i].tmpl = OBG_T_DATA;
}

static __rte_always_inline void store(uint8_t *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}

/* 'tunnel', 'tcp', 'guest' are constants where it is called. */
static __rte_always_inline void emit(struct obg_rxq *q, const struct obg_conf *c,
    struct rte_mbuf *m, const struct obg_tmpl *t, uint32_t flow, uint32_t seq, uint32_t ack,
    uint64_t stamp, bool tunnel, bool tcp, bool guest)
{
	uint8_t *b = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
	uint32_t hash = obg_flow_hash(c, flow);
	rte_be32_t peer = obg_flow_peer(c, flow);
	rte_be32_t src = guest ? c->guest : peer, dst = guest ? peer : c->guest;
	rte_be16_t g = obg_be16(obg_flow_sport(c, flow)), p = obg_be16(obg_flow_dport(c, flow));
	rte_be16_t sport = guest ? g : p, dport = guest ? p : g;
	uint64_t sum = t->l4_sum + peer + g + p;
	uint16_t csum;

	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, rearm_data), &q->rearm, 8);
	m->ol_flags = q->ol_flags;
	m->packet_type = t->packet_type;
	m->pkt_len = t->len;
	m->data_len = t->len;

	if (t->copy == 64)
		store(b, t->b, 64);
	else
		store(b, t->b, 128);
	if (tunnel) {
		rte_be16_t outer_sport = obg_be16(obg_outer_sport(hash));

		store(b + 34, &outer_sport, 2);
		hash = obg_outer_hash(c, obg_outer_sport(hash));
		b += OBG_OUTER;
	}
	m->hash.rss = hash;
	csum = fold((uint64_t)t->ip_sum + peer);
	store(b + 24, &csum, 2);
	store(b + 26, &src, 4);
	store(b + 30, &dst, 4);
	store(b + 34, &sport, 2);
	store(b + 36, &dport, 2);
	if (tcp) {
		rte_be32_t be_seq = obg_be32(seq), be_ack = obg_be32(ack);

		store(b + 38, &be_seq, 4);
		store(b + 42, &be_ack, 4);
		sum += (uint64_t)be_seq + be_ack;
	}
	/* (behind the frame's end, where there is no payload) */
	store(b + t->stamp_at, &stamp, 8);
	stamp &= t->stamp_mask;
	sum += (stamp & 0xffffffff) + (stamp >> 32);
	csum = fold(sum);
	if (!tcp && csum == 0)
		csum = 0xffff;
	store(b + (tcp ? 50 : 40), &csum, 2);
	q->bytes += t->len;
}

static __rte_always_inline void emit_any(struct obg_rxq *q, const struct obg_conf *c,
    struct rte_mbuf *m, const struct obg_tmpl *t, uint32_t flow, uint32_t seq, uint32_t ack,
    uint64_t stamp)
{
	bool guest = q->port->conf.role == OBG_GUEST;

	/* (an if for each of what is possible, so that each is compiled by itself) */
	if (q->port->tunnel && c->tcp)
		emit(q, c, m, t, flow, seq, ack, stamp, true, true, false);
	else if (q->port->tunnel)
		emit(q, c, m, t, flow, seq, ack, stamp, true, false, false);
	else if (c->tcp)
		emit(q, c, m, t, flow, seq, ack, stamp, false, true, guest);
	else
		emit(q, c, m, t, flow, seq, ack, stamp, false, false, guest);
}

void obg_emit_step(struct obg_rxq *q, struct rte_mbuf *m, const struct obg_slot *slot,
    enum obg_step step, uint64_t now)
{
	const struct obg_pair *pair = q->port->pair;
	const struct obg_number *n = &pair->number[step];
	uint32_t seq = slot->isn[n->sender] + n->seq;
	uint32_t ack = (slot->isn[!n->sender] + n->ack) & n->ack_mask;

	emit_any(q, &pair->conf, m, &q->port->tmpl[n->tmpl], slot->flow, seq, ack, now);
}

struct burst {
	uint32_t flow[OBG_BURST], round[OBG_BURST];
	uint64_t due, period;
};

/* 7 of 64, 4 of 570, 1 of 1514 bytes. */
static const uint8_t imix_order[12] = {0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1};

static __rte_always_inline void emit_burst(struct obg_rxq *q, const struct burst *b,
    struct rte_mbuf **m, unsigned n, bool tunnel, bool tcp, bool guest)
{
	const struct obg_pair *pair = q->port->pair;
	const struct obg_conf *c = &pair->conf;
	const struct obg_tmpl *t = &q->port->tmpl[OBG_T_DATA];
	enum obg_role me = guest ? OBG_GUEST : OBG_WIRE;
	uint32_t data = t[c->size ? 0 : 2].payload, acked = 0;
	uint64_t due = b->due;

	if (tcp && pair->advance) {
		/* All that the other side sent two rounds ago, or 2048 packets where rounds are short, has gone through. */
		uint32_t lag = 1 + (2048 + q->walk.n - 1) / q->walk.n;
		uint32_t theirs =
		    __atomic_load_n(&pair->port[!me]->rxq[0]->walk.round, __ATOMIC_RELAXED);

		acked = theirs > lag ? (theirs - lag) * data : 0;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct obg_tmpl *ti = t;
		uint32_t seq = 0, ack = 0;

		if (c->size == 0) {
			ti += imix_order[q->imix_at];
			q->imix_at = q->imix_at == 11 ? 0 : q->imix_at + 1;
		}
		if (tcp) {
			seq = isn(pair, me, b->flow[i]) + 1 +
			      (pair->advance ? b->round[i] * data : 0);
			ack = isn(pair, (enum obg_role) !me, b->flow[i]) + 1 + acked;
		}
		emit(q, c, m[i], ti, b->flow[i], seq, ack, due >> 12, tunnel, tcp, guest);
		due += b->period;
	}
}

void obg_emit_data(struct obg_rxq *q, struct obg_walk *w, struct rte_mbuf **m, unsigned n,
    uint64_t due, uint64_t period)
{
	const struct obg_pair *pair = q->port->pair;
	bool guest = q->port->conf.role == OBG_GUEST;
	struct burst b;

	b.due = due;
	b.period = period;
	if (pair->conf.zipf > 0)
		obg_walk_zipf(w, &pair->zipf, &q->rng, b.flow, n);
	else
		obg_walk_fill(w, b.flow, b.round, n);
	if (q->port->tunnel && pair->conf.tcp)
		emit_burst(q, &b, m, n, true, true, false);
	else if (q->port->tunnel)
		emit_burst(q, &b, m, n, true, false, false);
	else if (pair->conf.tcp)
		emit_burst(q, &b, m, n, false, true, guest);
	else
		emit_burst(q, &b, m, n, false, false, guest);
}

static_assert(
    sizeof(struct rte_ether_hdr) + sizeof(struct rte_arp_hdr) == 42, "one behind the other");

void obg_emit_arp(struct obg_rxq *q, struct rte_mbuf *m, const struct obg_arp *arp)
{
	const struct obg_port *port = q->port;
	const struct rte_ether_addr *mine = port->tunnel ? &port->pair->conf.far_mac
					    : port->conf.role == OBG_GUEST
						? &port->pair->conf.guest_mac
						: &port->pair->conf.peer_mac;
	struct {
		struct rte_ether_hdr eth;
		struct rte_arp_hdr arp;
	} f = {0};

	eth_header(&f.eth, &arp->to, mine);
	f.eth.ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP);
	f.arp.arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	f.arp.arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	f.arp.arp_hlen = RTE_ETHER_ADDR_LEN;
	f.arp.arp_plen = 4;
	f.arp.arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REPLY);
	f.arp.arp_data.arp_sha = *mine;
	f.arp.arp_data.arp_sip = arp->ip;
	f.arp.arp_data.arp_tha = arp->to;
	f.arp.arp_data.arp_tip = arp->to_ip;
	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, rearm_data), &q->rearm, 8);
	m->ol_flags = 0;
	m->packet_type = RTE_PTYPE_L2_ETHER_ARP;
	m->pkt_len = 60;
	m->data_len = 60;
	memset(rte_pktmbuf_mtod(m, uint8_t *), 0, 60);
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), &f, sizeof(f));
	q->bytes += 60;
}
