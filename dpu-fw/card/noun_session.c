/* SPDX-License-Identifier: BSD-3-Clause */
/* Live connections: the list, and the end of an ENI's. */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

static_assert(OB_BUS_TCP_SYN_SENT == (int)OB_SESSION_TCP_SYN_SENT &&
		  OB_BUS_TCP_ESTABLISHED == (int)OB_SESSION_TCP_ESTABLISHED &&
		  OB_BUS_TCP_CLOSE == (int)OB_SESSION_TCP_CLOSE &&
		  OB_BUS_UDP_NEW == (int)OB_SESSION_UDP_NEW &&
		  OB_BUS_ICMP_REPLIED == (int)OB_SESSION_ICMP_REPLIED &&
		  OB_BUS_SCTP_ESTABLISHED == (int)OB_SESSION_SCTP_ESTABLISHED &&
		  OB_BUS_OTHER_REPLIED == (int)OB_SESSION_OTHER_REPLIED &&
		  OB_BUS_N_STATES == (int)OB_SESSION_N_STATES,
    "states go over the bus as they are");

/* Cursor: worker << 56 | records told so far << 32 | cursor of the table. */
#define WORKER_SHIFT 56
#define TOLD_SHIFT   32
#define TOLD_MAX     ((1u << (WORKER_SHIFT - TOLD_SHIFT)) - 1)

struct ends {
	struct ob_ip src, dst;
	uint16_t sport, dport;
};

/* ::ffff:a.b.c.d stands for an address of the IPv4 side (NAT64). */
static void ip_of6(struct ob_ip *out, const uint64_t w[2])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t b[16];

	memcpy(b, w, 16);
	memset(out, 0, sizeof(*out));
	if (memcmp(b, mapped, sizeof(mapped)) == 0) {
		out->family = AF_INET;
		memcpy(out->b, b + 12, 4);
	} else {
		out->family = AF_INET6;
		memcpy(out->b, b, 16);
	}
}

static void ends_of(struct ends *e, uint8_t family, const union ob_session_key *key)
{
	uint32_t ports = family == 6 ? key->v6.ports : key->v4.ports;
	rte_be16_t port[2];

	memset(e, 0, sizeof(*e));
	memcpy(port, &ports, sizeof(port));
	e->sport = rte_be_to_cpu_16(port[0]);
	e->dport = rte_be_to_cpu_16(port[1]);
	if (family == 6) {
		ip_of6(&e->src, key->v6.src);
		ip_of6(&e->dst, key->v6.dst);
		return;
	}
	e->src.family = e->dst.family = AF_INET;
	memcpy(e->src.b, &key->v4.addrs, 4);
	memcpy(e->dst.b, (const uint8_t *)&key->v4.addrs + 4, 4);
}

static bool in_prefix(const struct ob_bus_ip *want, const struct ob_ip *ip)
{
	unsigned full = want->prefix_len / 8, rest = want->prefix_len % 8;

	if (want->family == 0)
		return true;
	if (ip->family != (want->family == 4 ? AF_INET : AF_INET6) ||
	    memcmp(want->b, ip->b, full) != 0)
		return false;
	return rest == 0 || ((want->b[full] ^ ip->b[full]) >> (8 - rest)) == 0;
}

static bool matches(
    const struct ob_bus_session *want, const struct ob_session_info *i, const struct ends *e)
{
	if ((want->proto && want->proto != i->proto) || (want->state && want->state != i->state))
		return false;
	if ((want->sport && want->sport != e->sport) || (want->dport && want->dport != e->dport) ||
	    (want->port && want->port != e->sport && want->port != e->dport))
		return false;
	return in_prefix(&want->src, &e->src) && in_prefix(&want->dst, &e->dst);
}

static void fill(const struct ob_session_info *i, const struct ends *e, struct ob_bus_session *r)
{
	struct ends back;

	r->proto = i->proto;
	r->state = i->state;
	put_ip(&r->src, &e->src, ip_bits(e->src.family));
	put_ip(&r->dst, &e->dst, ip_bits(e->dst.family));
	r->sport = e->sport;
	r->dport = e->dport;
	/* The other side answers to where it saw the connection come from. */
	ends_of(&back, i->family[1], &i->key[1]);
	r->nat = memcmp(&back.dst, &e->src, sizeof(e->src)) != 0 ||
		 memcmp(&back.src, &e->dst, sizeof(e->dst)) != 0 || back.dport != e->sport ||
		 back.sport != e->dport;
	if (r->nat) {
		put_ip(&r->nat_src, &back.dst, ip_bits(back.dst.family));
		put_ip(&r->nat_dst, &back.src, ip_bits(back.src.family));
		r->nat_sport = back.dport;
		r->nat_dport = back.sport;
	}
	r->age_s = i->age_s;
	r->idle_s = i->idle_s;
	r->expires_s = i->expires_s;
	for (unsigned d = 0; d < 2; d++) {
		r->n_pkts[d] = i->n_pkts[d];
		r->n_bytes[d] = i->n_bytes[d];
	}
}

static int check_prefix(struct text *t, const char *field, const struct ob_bus_ip *in)
{
	struct ob_ip ip;

	return in->family == 0 ? 0 : check_ip(t, field, in, IP_PREFIX, &ip, NULL);
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_session *r = f;
	int rc;

	if ((rc = name_filter(t, &c->enis, "eni", r->eni)) < 0 ||
	    (rc = check_prefix(t, "src", &r->src)) < 0 ||
	    (rc = check_prefix(t, "dst", &r->dst)) < 0)
		return rc;
	if (r->state >= OB_BUS_N_STATES)
		return fail(t, -EINVAL, "there is no state %u", r->state);
	return 0;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_session *want = f;
	unsigned worker = (unsigned)(*cursor >> WORKER_SHIFT);
	uint32_t told = (uint32_t)(*cursor >> TOLD_SHIFT) & TOLD_MAX, at = (uint32_t)*cursor;
	struct ob_bus_session *r = rec;
	struct ob_session_info info;
	const char *eni;
	struct ends e;
	int rc;

	if (worker >= OB_MAX_WORKERS || (want->limit != 0 && told >= want->limit))
		return -ENOENT;
	rc = ob_session_next(worker, &at, &info);
	if (rc == -ENOENT) {
		*cursor = (uint64_t)(worker + 1) << WORKER_SHIFT | (uint64_t)told << TOLD_SHIFT;
		return worker + 1 < OB_MAX_WORKERS ? -EAGAIN : -ENOENT;
	}
	*cursor = (uint64_t)worker << WORKER_SHIFT | (uint64_t)told << TOLD_SHIFT | at;
	if (rc < 0)
		return rc;
	eni = names_get(&c->enis, info.eni);
	ends_of(&e, info.family[0], &info.key[0]);
	if ((want->eni[0] && (eni == NULL || strcmp(want->eni, eni) != 0)) ||
	    !matches(want, &info, &e))
		return -EAGAIN;
	fill(&info, &e, r);
	strcpy(r->eni, eni != NULL ? eni : "");
	r->worker = worker;
	if (told < TOLD_MAX)
		*cursor += 1ull << TOLD_SHIFT;
	return 0;
}

/* Ends all connections of an ENI. */
static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_session *r = rec;
	struct ob_bus_session only = {0};
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	if (rc < 0)
		return rc;
	memcpy(only.eni, r->eni, sizeof(only.eni));
	if (memcmp(&only, r, sizeof(only)) != 0)
		return fail(t, -EINVAL, "all connections of an ENI are ended, not some of them");
	ob_session_eni_flush((uint16_t)eni);
	return 0;
}

const struct noun noun_session = {.name = "session",
    .record_len = sizeof(struct ob_bus_session),
    .del = del,
    .filter = filter,
    .next = next};
