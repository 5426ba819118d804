/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCPv6 server of one client (RFC 8415): each ENI gets its own IPv6 addresses, always the same. The router, the prefixes and the MTU come
 * by router advertisement. */
#include "stages_priv.h"

#define PORT_SERVER 547
#define PORT_CLIENT 546
#define MAX_REQUEST 1500
#define MAX_DUID    130 /* RFC 8415, 11.1 */
#define MAX_IA	    4
#define MAX_FOREIGN \
	8 /* addresses of the client that are not its own, answered with lifetime zero */
#define DUID_LEN 10

enum {
	SOLICIT = 1,
	ADVERTISE,
	REQUEST,
	CONFIRM,
	RENEW,
	REBIND,
	REPLY,
	RELEASE,
	DECLINE,
	INFO_REQUEST = 11
};

enum {
	OPT_CLIENTID = 1,
	OPT_SERVERID = 2,
	OPT_IA_NA = 3,
	OPT_IAADDR = 5,
	OPT_STATUS = 13,
	OPT_RAPID = 14,
	OPT_DNS = 23,
};

enum { STATUS_OK = 0, STATUS_NO_ADDRS = 2, STATUS_NOT_ON_LINK = 4 };

struct ia {
	uint8_t id[4];
	unsigned n_foreign;
	uint8_t foreign[MAX_FOREIGN][16];
};

struct request {
	uint8_t type, txid[3];
	uint8_t duid_len;
	bool has_server, rapid;
	bool own_server;  /* the server identifier is ours */
	bool all_own;	  /* every address in it is the ENI's */
	unsigned n_addrs; /* addresses in it */
	unsigned n_ia;
	struct ia ia[MAX_IA];
	uint8_t duid[MAX_DUID];
};

/* DUID-LL (RFC 8415, 11.4) of the virtual router. */
static void server_duid(const struct ob_eni *eni, uint8_t out[DUID_LEN])
{
	store16(out, 3);
	store16(out + 2, 1);
	memcpy(out + 4, eni->router_mac, 6);
}

static void read_addrs(
    const struct ob_eni *eni, const uint8_t *p, unsigned len, struct request *r, struct ia *ia)
{
	while (len >= 4) {
		unsigned n = load16(p + 2);

		if (n > len - 4)
			return;
		if (load16(p) == OPT_IAADDR && n >= 24) {
			r->n_addrs++;
			if (!eni_has6(eni, p + 4)) {
				r->all_own = false;
				if (ia->n_foreign < MAX_FOREIGN)
					memcpy(ia->foreign[ia->n_foreign++], p + 4, 16);
			}
		}
		p += 4 + n;
		len -= 4 + n;
	}
}

/* Options in 'len' bytes; each step takes at least four. */
static bool read_opts(const struct ob_eni *eni, const uint8_t *p, unsigned len, struct request *r)
{
	uint8_t duid[DUID_LEN];

	server_duid(eni, duid);
	while (len > 0) {
		unsigned opt, n;

		if (len < 4)
			return false;
		opt = load16(p);
		n = load16(p + 2);
		p += 4;
		len -= 4;
		if (n > len)
			return false;
		if (opt == OPT_CLIENTID) {
			if (n == 0 || n > MAX_DUID)
				return false;
			r->duid_len = (uint8_t)n;
			memcpy(r->duid, p, n);
		} else if (opt == OPT_SERVERID) {
			r->has_server = true;
			r->own_server = n == DUID_LEN && memcmp(p, duid, DUID_LEN) == 0;
		} else if (opt == OPT_RAPID) {
			r->rapid = true;
		} else if (opt == OPT_IA_NA && n >= 12 && r->n_ia < MAX_IA) {
			struct ia *ia = &r->ia[r->n_ia++];

			memcpy(ia->id, p, 4);
			ia->n_foreign = 0;
			read_addrs(eni, p + 12, n - 12, r, ia);
		}
		p += n;
		len -= n;
	}
	return true;
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
	if (len < 4 || len > sizeof(copy))
		return false;
	p = rte_pktmbuf_read(pkt, off, len, copy);
	if (p == NULL)
		return false;
	memset(r, 0, offsetof(struct request, ia));
	r->all_own = true;
	r->type = p[0];
	memcpy(r->txid, p + 1, 3);
	return read_opts(eni, p + 4, len - 4, r);
}

/* What is said to the request, 0 nothing (RFC 8415, 16: which identifiers each message must have or not have). */
static uint8_t reply_type(const struct request *r)
{
	switch (r->type) {
	case SOLICIT:
		if (r->duid_len == 0 || r->has_server)
			return 0;
		return r->rapid ? REPLY : ADVERTISE;
	case REQUEST:
	case RENEW:
	case RELEASE:
	case DECLINE:
		return r->duid_len > 0 && r->own_server ? REPLY : 0;
	case CONFIRM:
		/* 18.3.3: nothing to confirm, nothing to say. */
		return r->duid_len > 0 && !r->has_server && r->n_addrs > 0 ? REPLY : 0;
	case REBIND:
		return r->duid_len > 0 && !r->has_server ? REPLY : 0;
	case INFO_REQUEST:
		return !r->has_server || r->own_server ? REPLY : 0;
	default:
		return 0;
	}
}

static uint8_t *put_opt(uint8_t *p, uint16_t opt, const void *data, uint16_t len)
{
	store16(p, opt);
	store16(p + 2, len);
	if (len > 0)
		memcpy(p + 4, data, len);
	return p + 4 + len;
}

static uint8_t *put_status(uint8_t *p, uint16_t status)
{
	uint8_t v[2];

	store16(v, status);
	return put_opt(p, OPT_STATUS, v, sizeof(v));
}

static uint8_t *put_addr(uint8_t *p, const uint8_t ip[16], uint32_t preferred, uint32_t valid)
{
	uint8_t v[24];

	memcpy(v, ip, 16);
	store32(v + 16, preferred);
	store32(v + 20, valid);
	return put_opt(p, OPT_IAADDR, v, sizeof(v));
}

/* The first identity association gets all addresses of the ENI, others have none left. */
static uint8_t *put_ia(
    uint8_t *p, const struct ob_eni *eni, const struct request *r, const struct ia *ia, bool first)
{
	uint8_t *start = p;
	bool give = first && eni->n_addr6 > 0;

	p += 4;
	memcpy(p, ia->id, 4);
	store32(p + 4, give ? eni->lease_s / 2 : 0);
	store32(p + 8, give ? (uint32_t)((uint64_t)eni->lease_s * 4 / 5) : 0);
	p += 12;
	for (unsigned i = 0; give && i < eni->n_addr6; i++)
		p = put_addr(p, eni->addr6[i], eni->lease_s, eni->lease_s);
	if (r->type == RENEW || r->type == REBIND)
		for (unsigned i = 0; i < ia->n_foreign; i++)
			p = put_addr(p, ia->foreign[i], 0, 0);
	if (!give)
		p = put_status(p, STATUS_NO_ADDRS);
	store16(start, OPT_IA_NA);
	store16(start + 2, (uint16_t)(p - start - 4));
	return p;
}

/* The DHCPv6 message at 'p'; returns its length. */
static uint16_t put_message(
    uint8_t *p, const struct ob_eni *eni, const struct request *r, uint8_t type)
{
	uint8_t duid[DUID_LEN], *o = p;

	*o++ = type;
	memcpy(o, r->txid, 3);
	o += 3;
	server_duid(eni, duid);
	o = put_opt(o, OPT_SERVERID, duid, sizeof(duid));
	if (r->duid_len > 0)
		o = put_opt(o, OPT_CLIENTID, r->duid, r->duid_len);
	switch (r->type) {
	case SOLICIT:
	case REQUEST:
	case RENEW:
	case REBIND:
		for (unsigned i = 0; i < r->n_ia; i++)
			o = put_ia(o, eni, r, &r->ia[i], i == 0);
		if (r->type == SOLICIT && r->rapid)
			o = put_opt(o, OPT_RAPID, NULL, 0);
		break;
	case CONFIRM:
		o = put_status(o, r->all_own ? STATUS_OK : STATUS_NOT_ON_LINK);
		break;
	case RELEASE:
	case DECLINE:
		o = put_status(o, STATUS_OK);
		break;
	default:
		break;
	}
	if (eni->n_dns6 > 0)
		o = put_opt(o, OPT_DNS, eni->dns6, (uint16_t)(16 * eni->n_dns6));
	return (uint16_t)(o - p);
}

static void answer_one(struct ob_worker *w, const struct ob_eni *eni, const struct rte_mbuf *pkt,
    const struct ob_meta *m, const struct request *r, uint8_t type, struct ob_burst *out)
{
	struct rte_mbuf *a = answer_new(w, m, &out->meta[out->n]);
	uint8_t *ip, *udp;
	uint16_t len, csum;

	if (a == NULL)
		return;
	ip = answer_ether(
	    rte_pktmbuf_mtod(a, uint8_t *), eni->mac, eni->router_mac, RTE_ETHER_TYPE_IPV6);
	udp = ip + sizeof(struct rte_ipv6_hdr);
	len = (uint16_t)(sizeof(struct rte_udp_hdr) +
			 put_message(udp + sizeof(struct rte_udp_hdr), eni, r, type));
	answer_ip6(ip, eni->router_ll, l3_of(pkt, m) + 8, IPPROTO_UDP, 64, len);
	store16(udp, PORT_SERVER);
	store16(udp + 2, PORT_CLIENT);
	store16(udp + 4, len);
	store16(udp + 6, 0);
	csum = answer_csum6(ip, IPPROTO_UDP, udp, len);
	memcpy(udp + 6, &csum, 2);
	a->data_len = (uint16_t)(udp + len - rte_pktmbuf_mtod(a, uint8_t *));
	a->pkt_len = a->data_len;
	answer_meta(&out->meta[out->n], true, IPPROTO_UDP, sizeof(struct rte_udp_hdr));
	out->pkt[out->n++] = a;
}

void ob_stage_answer_dhcp6(struct ob_worker *w, const struct ob_eni *eni, struct ob_burst *b)
{
	struct ob_burst out = {.n = 0};

	for (unsigned i = 0; i < b->n; i++) {
		struct request r;
		uint8_t type = read_request(eni, b->pkt[i], &b->meta[i], &r) ? reply_type(&r) : 0;

		if (type == 0) {
			ob_drop(w, OB_DROP_BAD_REQUEST, b->meta[i].in_vif, b->pkt[i]);
			continue;
		}
		answer_one(w, eni, b->pkt[i], &b->meta[i], &r, type, &out);
		answer_done(w, b->pkt[i], &b->meta[i]);
	}
	b->n = 0;
	answer_send(w, &out);
}
