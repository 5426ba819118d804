/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCPv4 server of one client (RFC 2131): each ENI gets its own first IPv4 address, always the same. */
#include "stages_priv.h"

#define BOOTP_LEN   236
#define COOKIE	    0x63825363u
#define MIN_LEN	    300 /* BOOTP clients and relays expect that much (RFC 1542, 2.1) */
#define PORT_SERVER 67
#define PORT_CLIENT 68
#define FLAG_BCAST  0x8000
#define MAX_REQUEST 1500

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

enum {
	OPT_PAD = 0,
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_MTU = 26,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_ROUTES = 121,
	OPT_END = 255,
};

struct request {
	uint8_t type;
	bool has_requested, has_server;
	rte_be32_t requested, server, ciaddr;
	uint16_t flags;
	uint8_t bootp[BOOTP_LEN];
};

/* The server's address where the ENI has no IPv4 router: link-local, so that it is nobody else's. */
static rte_be32_t server_of(const struct ob_eni *eni)
{
	return eni->n_router4 > 0 ? eni->router4[0] : rte_cpu_to_be_32(0xa9fe0001u);
}

/* Options (RFC 2132) in 'len' bytes; each step takes at least one. */
static bool read_opts(const uint8_t *p, unsigned len, struct request *r)
{
	for (unsigned i = 0; i < len && p[i] != OPT_END;) {
		unsigned n;

		if (p[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (len - i < 2 || p[i + 1] > len - i - 2)
			return false;
		n = p[i + 1];
		if (p[i] == OPT_TYPE && n == 1) {
			r->type = p[i + 2];
		} else if (p[i] == OPT_REQUESTED && n == 4) {
			r->has_requested = true;
			memcpy(&r->requested, p + i + 2, 4);
		} else if (p[i] == OPT_SERVER && n == 4) {
			r->has_server = true;
			memcpy(&r->server, p + i + 2, 4);
		}
		i += 2 + n;
	}
	return r->type != 0;
}

static bool read_request(const struct ob_eni *eni, const struct rte_mbuf *pkt,
    const struct ob_meta *m, struct request *r)
{
	uint32_t off = m->l2_len + m->l3_len + (uint32_t)sizeof(struct rte_udp_hdr);
	uint32_t len = rte_pktmbuf_pkt_len(pkt) - off, udp_len = load16(l4_of(pkt, m) + 4);
	uint8_t copy[MAX_REQUEST];
	const uint8_t *p;

	if (udp_len < sizeof(struct rte_udp_hdr) || udp_len - sizeof(struct rte_udp_hdr) > len)
		return false;
	len = udp_len - (uint32_t)sizeof(struct rte_udp_hdr);
	if (len < BOOTP_LEN + 4 || len > sizeof(copy))
		return false;
	p = rte_pktmbuf_read(pkt, off, len, copy);
	if (p == NULL)
		return false;
	memset(r, 0, sizeof(*r));
	memcpy(r->bootp, p, BOOTP_LEN);
	/* BOOTREQUEST over Ethernet, from this client itself, not relayed. */
	if (p[0] != 1 || p[1] != 1 || p[2] != 6 || memcmp(p + 28, eni->mac, 6) != 0 ||
	    p[BOOTP_LEN] != COOKIE >> 24 || p[BOOTP_LEN + 1] != (COOKIE >> 16 & 0xff) ||
	    p[BOOTP_LEN + 2] != (COOKIE >> 8 & 0xff) || p[BOOTP_LEN + 3] != (COOKIE & 0xff))
		return false;
	r->flags = load16(p + 10);
	memcpy(&r->ciaddr, p + 12, 4);
	return read_opts(p + BOOTP_LEN + 4, len - BOOTP_LEN - 4, r);
}

/* What is said to the request, 0 nothing (RFC 2131, 4.3.2). */
static uint8_t reply_type(const struct ob_eni *eni, const struct request *r)
{
	rte_be32_t own;

	if (eni->n_addr4 == 0)
		return 0;
	own = eni->addr4[0];
	switch (r->type) {
	case DISCOVER:
		return OFFER;
	case INFORM:
		return ACK;
	case REQUEST:
		if (r->has_server && r->server != server_of(eni))
			return 0; /* it chose another server */
		if (r->has_requested)
			return r->requested == own ? ACK : NAK;
		return r->ciaddr == own ? ACK : NAK;
	default:
		return 0; /* DECLINE and RELEASE change nothing: the address is the ENI's */
	}
}

static uint8_t *put_opt32(uint8_t *p, uint8_t opt, uint32_t v)
{
	p[0] = opt;
	p[1] = 4;
	store32(p + 2, v);
	return p + 6;
}

static uint8_t *put_opt_ips(uint8_t *p, uint8_t opt, const rte_be32_t *ip, unsigned n)
{
	if (n == 0)
		return p;
	p[0] = opt;
	p[1] = (uint8_t)(4 * n);
	memcpy(p + 2, ip, 4 * n);
	return p + 2 + 4 * n;
}

/* A client whose router is not on-link (a /32) must be told how to reach it (RFC 3442); then option 3 is ignored. */
static uint8_t *put_routes(uint8_t *p, const struct ob_eni *eni)
{
	uint32_t mask = UINT32_MAX << (32 - eni->plen4[0]);

	if (eni->n_router4 == 0 ||
	    ((rte_be_to_cpu_32(eni->router4[0] ^ eni->addr4[0])) & mask) == 0)
		return p;
	p[0] = OPT_ROUTES;
	p[1] = 9 + 5;
	p[2] = 32;
	memcpy(p + 3, &eni->router4[0], 4);
	memset(p + 7, 0, 4); /* on-link */
	p[11] = 0;
	memcpy(p + 12, &eni->router4[0], 4);
	return p + 16;
}

/* The DHCP message at 'p'; returns its length. */
static uint16_t put_message(
    uint8_t *p, const struct ob_eni *eni, const struct request *r, uint8_t type)
{
	rte_be32_t server = server_of(eni);
	uint8_t *o = p + BOOTP_LEN;

	memset(p, 0, MIN_LEN);
	p[0] = 2; /* BOOTREPLY */
	p[1] = 1;
	p[2] = 6;
	memcpy(p + 4, r->bootp + 4, 4);	  /* transaction */
	memcpy(p + 10, r->bootp + 10, 2); /* flags */
	if (type == ACK)
		memcpy(p + 12, &r->ciaddr, 4);
	if (type != NAK && r->type != INFORM)
		memcpy(p + 16, &eni->addr4[0], 4);
	if (type != NAK)
		memcpy(p + 20, &server, 4);
	memcpy(p + 28, r->bootp + 28, 16);
	store32(o, COOKIE);
	o += 4;
	o[0] = OPT_TYPE;
	o[1] = 1;
	o[2] = type;
	o = put_opt_ips(o + 3, OPT_SERVER, &server, 1);
	if (type != NAK) {
		if (r->type != INFORM) {
			o = put_opt32(o, OPT_LEASE, eni->lease_s);
			o = put_opt32(o, OPT_T1, eni->lease_s / 2);
			o = put_opt32(o, OPT_T2, (uint32_t)((uint64_t)eni->lease_s * 7 / 8));
		}
		o = put_opt32(o, OPT_MASK, UINT32_MAX << (32 - eni->plen4[0]));
		o = put_routes(o, eni);
		o = put_opt_ips(o, OPT_ROUTER, eni->router4, eni->n_router4);
		o = put_opt_ips(o, OPT_DNS, eni->dns4, eni->n_dns4);
		o[0] = OPT_MTU;
		o[1] = 2;
		store16(o + 2, eni->mtu);
		o += 4;
	}
	*o++ = OPT_END;
	return (uint16_t)RTE_MAX(o - p, MIN_LEN);
}

static void answer_one(struct ob_worker *w, const struct ob_eni *eni, const struct ob_meta *m,
    const struct request *r, uint8_t type, struct ob_burst *out)
{
	static const uint8_t bcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	/* RFC 2131, 4.1: to the client's address when it has one, broadcast when it asks for that or is refused. */
	bool bcast = type == NAK || (r->ciaddr == 0 && (r->flags & FLAG_BCAST));
	rte_be32_t dst = bcast ? UINT32_MAX : r->ciaddr != 0 ? r->ciaddr : eni->addr4[0];
	struct rte_mbuf *a = answer_new(w, m, &out->meta[out->n]);
	uint8_t *ip, *udp;
	uint16_t len, csum;

	if (a == NULL)
		return;
	ip = answer_ether(rte_pktmbuf_mtod(a, uint8_t *), bcast ? bcast_mac : eni->mac,
	    eni->router_mac, RTE_ETHER_TYPE_IPV4);
	udp = ip + sizeof(struct rte_ipv4_hdr);
	len = (uint16_t)(sizeof(struct rte_udp_hdr) +
			 put_message(udp + sizeof(struct rte_udp_hdr), eni, r, type));
	answer_ip4(ip, server_of(eni), dst, IPPROTO_UDP, len);
	store16(udp, PORT_SERVER);
	store16(udp + 2, PORT_CLIENT);
	store16(udp + 4, len);
	store16(udp + 6, 0);
	csum = answer_csum4(ip, IPPROTO_UDP, udp, len);
	memcpy(udp + 6, &csum, 2);
	a->data_len = (uint16_t)(udp + len - rte_pktmbuf_mtod(a, uint8_t *));
	a->pkt_len = a->data_len;
	answer_meta(&out->meta[out->n], false, IPPROTO_UDP, sizeof(struct rte_udp_hdr));
	if (bcast)
		out->meta[out->n].flags |= OB_PKT_MCAST;
	out->pkt[out->n++] = a;
}

void ob_stage_answer_dhcp4(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	struct ob_burst out = {.n = 0};

	for (unsigned i = 0; i < b->n; i++) {
		struct request r;
		uint8_t type =
		    read_request(eni, b->pkt[i], &b->meta[i], &r) ? reply_type(eni, &r) : 0;

		if (type == 0) {
			ob_drop(w, OB_DROP_BAD_REQUEST, b->meta[i].in_vif, b->pkt[i]);
			continue;
		}
		answer_one(w, eni, &b->meta[i], &r, type, &out);
		answer_done(w, b->pkt[i], &b->meta[i]);
	}
	b->n = 0;
	answer_send(w, &out);
}
