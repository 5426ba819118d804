/* SPDX-License-Identifier: BSD-3-Clause */
/* What our connection tracking says of packets: each is parsed, looked up, tracked, and where it is a first packet, added, in the
 * order in which the pipeline's stages do it, for one ENI without any policy.
 *
 * usage: ct_session < EVENTS > VERDICTS
 * Events and verdicts as in ct_kernel.c, but a unit of time is a minute, and a drop is 'drop:REASON'.
 */
#include <ctype.h>
#include <stdio.h>

#include "ob_session.h"
#include "ob_stages.h"
#include "ob_test_eal.h"

#define MAX_PKT	     16384
#define TSC_HZ	     1000000u
#define UNIT_TSC     (60ull * TSC_HZ)
#define ENI	     0
#define MAX_SESSIONS 65536

struct tracker {
	struct ob_worker *w;
	struct ob_session_shard *s;
	struct ob_session_eni_conf conf;
};

/* Connections of which direction 1 has been seen. */
static bool replied[2][MAX_SESSIONS];

static bool *replied_of(uint32_t ref)
{
	return &replied[ref >> 31][(ref & ~OB_SESSION_V6) >> 1];
}

static void die(const char *what)
{
	fprintf(stderr, "ct_session: %s\n", what);
	exit(1);
}

/* ---- settings ---- */

static const struct {
	const char *name;
	uint8_t states[3]; /* OB_SESSION_FREE: no more */
} timeouts[] = {
    {"tcp_timeout_syn_sent", {OB_SESSION_TCP_SYN_SENT, OB_SESSION_TCP_SYN_SENT2}},
    {"tcp_timeout_syn_recv", {OB_SESSION_TCP_SYN_RECV}},
    {"tcp_timeout_established", {OB_SESSION_TCP_ESTABLISHED}},
    {"tcp_timeout_fin_wait", {OB_SESSION_TCP_FIN_WAIT}},
    {"tcp_timeout_close_wait", {OB_SESSION_TCP_CLOSE_WAIT}},
    {"tcp_timeout_last_ack", {OB_SESSION_TCP_LAST_ACK}},
    {"tcp_timeout_time_wait", {OB_SESSION_TCP_TIME_WAIT}},
    {"tcp_timeout_close", {OB_SESSION_TCP_CLOSE}},
    {"udp_timeout", {OB_SESSION_UDP_NEW}},
    {"udp_timeout_stream", {OB_SESSION_UDP_REPLIED}},
    {"icmp_timeout", {OB_SESSION_ICMP_NEW, OB_SESSION_ICMP_REPLIED}},
    {"icmpv6_timeout", {OB_SESSION_ICMP_NEW, OB_SESSION_ICMP_REPLIED}},
    {"generic_timeout", {OB_SESSION_OTHER_NEW, OB_SESSION_OTHER_REPLIED}},
    {"sctp_timeout_cookie_wait", {OB_SESSION_SCTP_INIT}},
    {"sctp_timeout_established", {OB_SESSION_SCTP_ESTABLISHED}},
    {"sctp_timeout_shutdown_sent", {OB_SESSION_SCTP_SHUTDOWN}},
    {"sctp_timeout_closed", {OB_SESSION_SCTP_CLOSED}},
};

/* What has no counterpart here is left alone: that is a difference, and shows as one. */
static void set(struct tracker *t, const char *name, unsigned value)
{
	if (strcmp(name, "tcp_loose") == 0)
		t->conf.tcp_loose = value != 0;
	if (strcmp(name, "tcp_be_liberal") == 0)
		t->conf.tcp_no_window = value != 0;
	for (unsigned i = 0; i < RTE_DIM(timeouts); i++) {
		for (unsigned k = 0; k < 3 && strcmp(name, timeouts[i].name) == 0; k++) {
			if (timeouts[i].states[k] != OB_SESSION_FREE)
				t->conf.timeout_s[timeouts[i].states[k]] = value * 60;
		}
	}
	if (ob_session_eni_set(ENI, &t->conf) < 0)
		die("a time-out that is refused");
}

/* ---- one packet ---- */

static uint32_t find(struct tracker *t, unsigned family, const union ob_session_key *key)
{
	uint32_t ref;

	if (family == 6)
		ob_session_find6(t->s, &key->v6, &ref, 1);
	else
		ob_session_find4(t->s, &key->v4, &ref, 1);
	return ref;
}

/* Has only one end been heard of? States tell for what has no more of them; others may have been left for good or bad. */
static bool is_new(const struct tracker *t, uint32_t ref)
{
	switch (ob_session_state_of(t->s, ref)) {
	case OB_SESSION_UDP_NEW:
	case OB_SESSION_ICMP_NEW:
	case OB_SESSION_OTHER_NEW:
		return ob_session_dir(ref) == 0;
	case OB_SESSION_UDP_REPLIED:
	case OB_SESSION_ICMP_REPLIED:
	case OB_SESSION_OTHER_REPLIED:
		return false;
	default:
		return !*replied_of(ref);
	}
}

static const char *dropped(unsigned reason)
{
	static char text[64];

	snprintf(text, sizeof(text), "drop:%s", ob_drop_name(reason));
	return text;
}

static const char *error(
    struct tracker *t, unsigned family, const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	union ob_session_key key;
	unsigned why;
	uint32_t ref;

	why = family == 6 ? ob_session_icmp_embedded6(pkt, meta, ENI, &key.v6)
			  : ob_session_icmp_embedded4(pkt, meta, ENI, &key.v4);
	if (why != OB_PASS)
		return dropped(why);
	ref = find(t, family, &key);
	if (ref == OB_SESSION_NONE)
		return dropped(OB_DROP_ICMP_UNRELATED);
	why = ob_session_track_error(t->s, ref, pkt, meta);
	if (why != OB_PASS)
		return dropped(why == OB_SESSION_MISS ? OB_DROP_ICMP_UNRELATED : why);
	return "related";
}

static const char *first(struct tracker *t, unsigned family, const union ob_session_key *key,
    const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	struct ob_session_new n = {.family = {(uint8_t)family, (uint8_t)family}};
	uint32_t ref;
	int rc;

	n.key[0] = *key;
	if (family == 6)
		n.key[1].v6 = ob_session_reverse6(&key->v6);
	else
		n.key[1].v4 = ob_session_reverse4(&key->v4);
	n.gen[0] = n.gen[1] = ob_session_eni_gen(ENI);
	rc = ob_session_add(t->s, &n, pkt, meta, &ref);
	if (rc == -EPROTO)
		return dropped(
		    meta->flags & OB_PKT_ICMP ? OB_DROP_ICMP_UNRELATED : OB_DROP_TCP_STATE);
	if (rc < 0)
		die("a session could not be added");
	*replied_of(ref) = false;
	return "new";
}

static const char *judge(struct tracker *t, const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	unsigned family = meta->flags & OB_PKT_IP6 ? 6 : 4, why;
	union ob_session_key key;
	uint32_t ref, *ports = family == 6 ? &key.v6.ports : &key.v4.ports;

	why = family == 6 ? ob_session_key6_of(pkt, meta, ENI, &key.v6)
			  : ob_session_key4_of(pkt, meta, ENI, &key.v4);
	if (why == OB_SESSION_IS_ERROR)
		return error(t, family, pkt, meta);
	if (why == OB_SESSION_IS_FRAGMENT)
		why = ob_session_frag(t->s, ENI, pkt, meta, ports);
	if (why != OB_PASS)
		return dropped(why);
	ref = find(t, family, &key);
	if (ref == OB_SESSION_NONE)
		return first(t, family, &key, pkt, meta);
	why = ob_session_track(t->s, ref, pkt, meta);
	if (why == OB_SESSION_MISS)
		return first(t, family, &key, pkt, meta);
	if (why != OB_PASS)
		return dropped(why);
	*replied_of(ref) |= ob_session_dir(ref) == 1;
	return is_new(t, ref) ? "new" : "established";
}

/* ---- the stream ---- */

static uint64_t drops_of(unsigned reason)
{
	return ob_drops_read(OB_VIF_NONE, reason);
}

/* An Ethernet header in front, as everything here has one. */
static struct rte_mbuf *frame_of(struct ob_worker *w, const char *hex)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(ob_worker_pool(w));
	size_t n = 0, len = strspn(hex, "0123456789abcdef") / 2;
	uint8_t *p;
	unsigned byte;

	p = m != NULL ? (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + len)) : NULL;
	if (p == NULL)
		die("a packet that does not fit");
	memset(p, 2, 12);
	for (; n < len && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		p[14 + n] = (uint8_t)byte;
	p[12] = p[14] >> 4 == 6 ? 0x86 : 0x08;
	p[13] = p[14] >> 4 == 6 ? 0xdd : 0x00;
	return m;
}

static const char *one(struct tracker *t, const char *hex)
{
	static uint64_t before[OB_N_DROPS];
	static struct ob_burst b;
	const char *verdict;

	b.n = 1;
	b.pkt[0] = frame_of(t->w, hex);
	memset(&b.meta[0], 0, sizeof(b.meta[0]));
	b.meta[0].in_vif = b.meta[0].out_vif = OB_VIF_NONE;
	b.meta[0].eni = ENI;
	for (unsigned i = 0; i < OB_N_DROPS; i++)
		before[i] = drops_of(i);
	ob_stage_parse(t->w, &b);
	for (unsigned i = 0; i < OB_N_DROPS && b.n == 0; i++) {
		if (drops_of(i) != before[i])
			return dropped(i);
	}
	verdict = judge(t, b.pkt[0], &b.meta[0]);
	rte_pktmbuf_free(b.pkt[0]);
	return verdict;
}

/* The end of a round after each packet. */
static void pass_time(struct tracker *t, unsigned units)
{
	uint64_t tsc = TSC_HZ + units * UNIT_TSC;

	ob_session_set_now(t->s, tsc);
	ob_session_expire(t->s, ob_session_ticks(tsc), UINT32_MAX);
}

static void start(struct tracker *t)
{
	struct ob_workers_conf wc = {
	    .n_workers = 1, .manual = true, .n_mbufs = 256, .mbuf_data_room = MAX_PKT};
	struct ob_session_conf sc = {
	    .n_workers = 1, .max_v4 = MAX_SESSIONS, .max_v6 = MAX_SESSIONS, .tsc_hz = TSC_HZ};

	ob_test_eal();
	if (ob_arena_create("conntrack", 1ull << 30, &wc.arena) < 0 || ob_workers_start(&wc) < 0 ||
	    ob_session_init(wc.arena, &sc) < 0)
		die("no session table");
	t->w = ob_worker_get(0);
	t->s = ob_session_shard(0);
}

int main(void)
{
	static char line[2 * MAX_PKT + 64], word[2 * MAX_PKT + 64];
	static struct tracker t;
	unsigned value;
	char name[64], side;

	start(&t);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, "start\n") == 0) {
			continue;
		} else if (sscanf(line, "set %63s %u", name, &value) == 2) {
			set(&t, name, value);
		} else if (sscanf(line, "pkt %u %c %32767s", &value, &side, word) == 3) {
			pass_time(&t, value);
			puts(one(&t, word));
		} else {
			die("an event that is not understood");
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
