/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments: which datagrams are under way, their ports, and which parts of them have passed. */
#include "ob_session.h"

#include <netinet/ip6.h>

#include "session_priv.h"

#define DEFAULT_DATAGRAMS 2048u
#define WAYS		  8u
#define ENI_WAYS	  4u /* of a set, at most: an ENI cannot take the table from the others */
#define MAX_RANGES	  16u
#define LIFE_TICKS	  (30 * OB_SESSION_HZ)
#define REUSE_TICKS \
	OB_SESSION_HZ /* after that, a first fragment with the same id is another datagram */
#define UNITS_MAX 8192u

/* Of a datagram, in units of 8 bytes. */
struct range {
	uint16_t from, to;
};

struct ob_session_datagram {
	uint64_t src[2], dst[2];
	uint32_t id;
	uint32_t ctx_proto;
	uint32_t ports;
	uint32_t seen;		       /* tick */
	struct range part[MAX_RANGES]; /* what has passed: sorted, apart from each other */
	uint16_t end;		       /* known when the last fragment has passed; 0 */
	uint8_t n_parts;	       /* 0: this place is free */
	uint8_t reserved[13];
};
static_assert(sizeof(struct ob_session_datagram) == 128, "arena layout");

/* A fragment, as its packet tells. */
struct fragment {
	uint64_t src[2], dst[2];
	uint32_t id;
	uint32_t ctx_proto;
	uint32_t from, to; /* units */
	bool more;
};

static uint32_t n_places(uint32_t max)
{
	uint32_t n = max != 0 ? max : DEFAULT_DATAGRAMS;

	return (n + WAYS - 1) / WAYS * WAYS;
}

uint64_t session_frag_bytes(uint32_t max)
{
	return (uint64_t)n_places(max) * sizeof(struct ob_session_datagram);
}

/* Datagrams under way do not outlive the process. */
void session_frag_init(struct ob_session_shard *s, uint32_t max)
{
	for (uint32_t i = 0; i < n_places(max); i++) {
		if (s->frags[i].n_parts != 0)
			s->frags[i].n_parts = 0;
	}
	s->region->n_frags = n_places(max);
	s->region->n.n_frag_live = 0;
}

/* The fragment header of a parsed IPv6 packet, in its first segment. Returns where it begins; not before 'end' if it is not there. */
static uint32_t frag_hdr_of(const uint8_t *ip, uint32_t end)
{
	uint32_t off = sizeof(struct rte_ipv6_hdr);
	uint8_t proto = ip[6];

	while (proto != IPPROTO_FRAGMENT && off < end) {
		uint8_t next = ip[off];

		off += proto == IPPROTO_AH ? (ip[off + 1] + 2u) * 4 : (ip[off + 1] + 1u) * 8;
		proto = next;
	}
	return off;
}

/* Returns OB_PASS, or why it cannot be a fragment. */
static unsigned read_fragment(
    const struct rte_mbuf *pkt, const struct ob_meta *meta, uint32_t ctx, struct fragment *f)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len);
	uint32_t len, hdr = meta->l3_len;
	uint16_t off;

	memset(f, 0, sizeof(*f));
	if (meta->flags & OB_PKT_IP6) {
		uint32_t at = frag_hdr_of(ip, hdr);

		/* Headers between this and L4: later fragments could not tell whose they are. */
		if (at + sizeof(struct ip6_frag) != hdr)
			return OB_DROP_MALFORMED_L3;
		off = (uint16_t)(ip[at + 2] << 8 | ip[at + 3]);
		f->more = (off & 1) != 0;
		f->from = off >> 3;
		memcpy(&f->id, ip + at + 4, 4);
		memcpy(f->src, ip + 8, 16);
		memcpy(f->dst, ip + 24, 16);
	} else {
		off = (uint16_t)(ip[6] << 8 | ip[7]);
		f->more = (off & RTE_IPV4_HDR_MF_FLAG) != 0;
		f->from = off & RTE_IPV4_HDR_OFFSET_MASK;
		f->id = (uint32_t)(ip[4] << 8 | ip[5]);
		memcpy(f->src, ip + 12, 4);
		memcpy(f->dst, ip + 16, 4);
	}
	f->ctx_proto = ctx << 8 | meta->ip_proto;
	len = rte_pktmbuf_pkt_len(pkt) - meta->l2_len - hdr;
	f->to = f->from + (len + 7) / 8;
	if (len == 0 || (f->more && len % 8 != 0) || f->to > UNITS_MAX ||
	    (f->from == 1 && meta->ip_proto == IPPROTO_TCP))
		return OB_DROP_FRAG_OVERLAP;
	return OB_PASS;
}

static bool is_alive(const struct ob_session_shard *s, const struct ob_session_datagram *d)
{
	return d->n_parts != 0 && s->now - d->seen < LIFE_TICKS;
}

/* Who is charged: several contexts may be one ENI's (OB_SESSION_FRAG_OWNERS). */
static uint32_t owner_of(uint32_t ctx_proto)
{
	return (ctx_proto >> 8) % OB_SESSION_FRAG_OWNERS;
}

static bool is_of(const struct ob_session_datagram *d, const struct fragment *f)
{
	return d->id == f->id && d->ctx_proto == f->ctx_proto && d->src[0] == f->src[0] &&
	       d->src[1] == f->src[1] && d->dst[0] == f->dst[0] && d->dst[1] == f->dst[1];
}

static void release(struct ob_session_shard *s, struct ob_session_datagram *d)
{
	d->n_parts = 0;
	set64(&s->region->n.n_frag_live, s->region->n.n_frag_live - 1);
}

/* The datagram of 'f', and in '*place' where a new one could go, or NULL. */
static struct ob_session_datagram *find(
    struct ob_session_shard *s, const struct fragment *f, struct ob_session_datagram **place)
{
	const uint64_t *seed = s->region->seed;
	uint64_t h = mix(f->src[0] ^ seed[1], f->dst[0] ^ seed[2]);
	struct ob_session_datagram *set;
	unsigned n_eni = 0;

	h = mix(h ^ f->src[1] ^ seed[3], f->dst[1] ^ seed[4]);
	h = mix(h ^ seed[5], ((uint64_t)f->ctx_proto << 32 | f->id) ^ seed[0]);
	/* Once more: identifiers count up, and one product of a running number may step over most sets. */
	h = mix(h ^ seed[1], seed[2]);
	set = &s->frags[((h >> 32) * (s->region->n_frags / WAYS) >> 32) * WAYS];
	*place = NULL;
	for (unsigned i = 0; i < WAYS; i++) {
		struct ob_session_datagram *d = &set[i];

		if (d->n_parts != 0 && !is_alive(s, d))
			release(s, d);
		if (d->n_parts == 0)
			*place = d;
		else if (is_of(d, f))
			return d;
		else
			n_eni += owner_of(d->ctx_proto) == owner_of(f->ctx_proto);
	}
	if (n_eni >= ENI_WAYS)
		*place = NULL;
	return NULL;
}

/* Adds [from, to). Returns OB_PASS, OB_DROP_FRAG_OVERLAP, OB_DROP_FRAG_LIMIT (too many gaps). */
static unsigned add_part(struct ob_session_datagram *d, const struct fragment *f)
{
	uint16_t from = (uint16_t)f->from, to = (uint16_t)f->to;
	unsigned i = 0;
	bool left, right;

	if (d->end != 0 && (to > d->end || !f->more))
		return OB_DROP_FRAG_OVERLAP;
	if (!f->more && d->part[d->n_parts - 1].to > to)
		return OB_DROP_FRAG_OVERLAP;
	while (i < d->n_parts && d->part[i].to <= from)
		i++;
	/* part[i] is the first that ends behind 'from'. */
	if (i < d->n_parts && d->part[i].from < to)
		return OB_DROP_FRAG_OVERLAP;
	left = i > 0 && d->part[i - 1].to == from;
	right = i < d->n_parts && d->part[i].from == to;
	if (left && right) {
		d->part[i - 1].to = d->part[i].to;
		memmove(&d->part[i], &d->part[i + 1], (d->n_parts - i - 1u) * sizeof(d->part[0]));
		d->n_parts--;
	} else if (left) {
		d->part[i - 1].to = to;
	} else if (right) {
		d->part[i].from = from;
	} else {
		if (d->n_parts == MAX_RANGES)
			return OB_DROP_FRAG_LIMIT;
		memmove(&d->part[i + 1], &d->part[i], (d->n_parts - i) * sizeof(d->part[0]));
		d->part[i] = (struct range){from, to};
		d->n_parts++;
	}
	if (!f->more)
		d->end = to;
	return OB_PASS;
}

static unsigned first_fragment(struct ob_session_shard *s, const struct fragment *f,
    struct ob_session_datagram *d, struct ob_session_datagram *place, uint32_t ports)
{
	struct ob_session_counters *n = &s->region->n;

	if (d != NULL && s->now - d->seen < REUSE_TICKS)
		return OB_DROP_FRAG_OVERLAP;
	if (d == NULL) {
		if (place == NULL)
			return OB_DROP_FRAG_LIMIT;
		d = place;
		count(&n->n_frag_live, 1);
		if (n->n_frag_live > n->n_frag_live_max)
			set64(&n->n_frag_live_max, n->n_frag_live);
	}
	memcpy(d->src, f->src, sizeof(d->src));
	memcpy(d->dst, f->dst, sizeof(d->dst));
	d->id = f->id;
	d->ctx_proto = f->ctx_proto;
	d->ports = ports;
	d->seen = s->now;
	d->end = 0;
	d->part[0] = (struct range){0, (uint16_t)f->to};
	d->n_parts = 1;
	return OB_PASS;
}

unsigned ob_session_frag(struct ob_session_shard *s, uint32_t ctx, const struct rte_mbuf *pkt,
    const struct ob_meta *meta, uint32_t *ports)
{
	struct ob_session_datagram *d, *place;
	struct fragment f;
	unsigned why = read_fragment(pkt, meta, ctx, &f);

	if (why != OB_PASS)
		return why;
	d = find(s, &f, &place);
	if (f.from == 0) {
		why = session_l4_ports(pkt, meta, ports);
		if (why != OB_PASS)
			return why == OB_SESSION_IS_ERROR ? (unsigned)OB_DROP_ICMP_UNRELATED : why;
		return first_fragment(s, &f, d, place, *ports);
	}
	if (d == NULL)
		return OB_DROP_FRAG_ORDER;
	why = add_part(d, &f);
	if (why != OB_PASS)
		return why;
	*ports = d->ports;
	d->seen = s->now;
	if (d->n_parts == 1 && d->end != 0)
		release(s, d); /* complete: its first part begins at 0 */
	return OB_PASS;
}
