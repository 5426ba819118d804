/* SPDX-License-Identifier: BSD-3-Clause */
/* What a packet does to its session, beyond the inline path: states, how long they last, counters. */
#include "ob_session.h"

#include "session_priv.h"

void session_set_fast(struct ob_session_shard *s, uint32_t id, unsigned state)
{
	struct ob_session_line *l = ob_session_line(s, id), *peer = ob_session_line(s, id | 1);
	uint8_t fast[2] = {OB_SESSION_SLOW, OB_SESSION_SLOW};

	switch (state) {
	case OB_SESSION_TCP_ESTABLISHED:
		/* The inline path takes it that both ends have acknowledged something. */
		if (l->scale & peer->scale & TCP_LIBERAL)
			fast[0] = OB_SESSION_FAST_TCP_NO_WINDOW;
		else if ((l->scale & peer->scale & TCP_ACKED) &&
			 (eni_flags(eni_of(s, id)) & OB_SESSION_ENI_NO_WINDOW) == 0)
			fast[0] = OB_SESSION_FAST_TCP;
		fast[1] = fast[0];
		break;
	case OB_SESSION_UDP_REPLIED:
	case OB_SESSION_ICMP_REPLIED:
	case OB_SESSION_OTHER_REPLIED:
		fast[1] = OB_SESSION_FAST_COUNT;
		/* fallthrough */
	case OB_SESSION_UDP_NEW:
	case OB_SESSION_ICMP_NEW:
	case OB_SESSION_OTHER_NEW:
		fast[0] = OB_SESSION_FAST_COUNT;
		break;
	default:
		break;
	}
	l->way.fast = fast[0];
	peer->way.fast = fast[1];
}

static void write_state(struct ob_session_shard *s, uint32_t id, unsigned state)
{
	for (unsigned d = 0; d < 2; d++)
		/* Release: pairs with the acquire of ob_session_next: the record is complete before it is alive. */
		__atomic_store_n(
		    &ob_session_line(s, id | d)->state, (uint8_t)state, __ATOMIC_RELEASE);
	session_set_fast(s, id, state);
}

void session_start(struct ob_session_shard *s, uint32_t id, unsigned state)
{
	write_state(s, id, state);
}

uint32_t session_due(const struct ob_session_shard *s, uint32_t id)
{
	const struct ob_session_line *a = ob_session_line(s, id), *b = ob_session_line(s, id | 1);
	uint32_t seen = (int32_t)(a->seen - b->seen) > 0 ? a->seen : b->seen;

	return seen + timeout_of(eni_of(s, id), a->state);
}

/* Short TCP connections pass through their states before the wheel reaches where they were put at first; they stay there if that is soon
 * enough. Most of a busy server's connections never move. */
static bool looked_at_by(const struct ob_session_shard *s, uint32_t id, uint32_t due)
{
	const struct ob_session_line *l = ob_session_line(s, id);
	const struct ob_session_cold *c = cold_of(s, id);
	unsigned first =
	    l->scale & TCP_LIBERAL ? OB_SESSION_TCP_ESTABLISHED : OB_SESSION_TCP_SYN_SENT;

	return l->state <= OB_SESSION_TCP_CLOSE && (c->created & FIRST_SLOT) &&
	       (int32_t)(due - (c->created + timeout_of(eni_of(s, id), first))) >= 0;
}

void session_set_state(struct ob_session_shard *s, uint32_t id, unsigned state)
{
	unsigned old = ob_session_line(s, id)->state;
	uint16_t eni = eni_of(s, id);
	uint32_t due = s->now + timeout_of(eni, state);

	if (session_is_half_open(old) != session_is_half_open(state))
		session_eni_half_open(eni, session_is_half_open(state) ? 1 : -1);
	write_state(s, id, state);
	if (timeout_of(eni, state) >= timeout_of(eni, old) || looked_at_by(s, id, due))
		return;
	cold_of(s, id)->created &= ~FIRST_SLOT;
	session_wheel_del(s, id);
	session_wheel_add(s, id, due);
}

int session_open(uint16_t eni, uint8_t proto, struct ob_session_line line[2],
    const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	switch (proto) {
	case IPPROTO_TCP:
		return session_tcp_open(eni, line, pkt, meta);
	case IPPROTO_UDP:
		return OB_SESSION_UDP_NEW;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return session_icmp_opens(proto, pkt, meta) ? OB_SESSION_ICMP_NEW : -EPROTO;
	case IPPROTO_SCTP:
		return session_sctp_open(line, pkt, meta);
	default:
		return OB_SESSION_OTHER_NEW;
	}
}

unsigned ob_session_track_slow(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta)
{
	struct ob_session_line *l = ob_session_line(s, ref);
	uint32_t id = ref & ~1u;
	unsigned why = OB_PASS;

	switch (l->state) {
	case OB_SESSION_FREE:
		return OB_SESSION_MISS;
	case OB_SESSION_UDP_NEW:
	case OB_SESSION_ICMP_NEW:
	case OB_SESSION_OTHER_NEW:
		if (ob_session_dir(ref) == 1)
			session_set_state(s, id, l->state + 1u);
		break;
	case OB_SESSION_UDP_REPLIED:
	case OB_SESSION_ICMP_REPLIED:
	case OB_SESSION_OTHER_REPLIED:
		break;
	case OB_SESSION_SCTP_INIT:
	case OB_SESSION_SCTP_ESTABLISHED:
	case OB_SESSION_SCTP_SHUTDOWN:
	case OB_SESSION_SCTP_CLOSED:
		why = session_sctp_track(s, ref, pkt, meta);
		break;
	default:
		why = session_tcp_track(s, ref, pkt, meta);
		break;
	}
	if (why == OB_PASS) {
		l->seen = s->now;
		ob_session_count(s, l, ref, rte_pktmbuf_pkt_len(pkt));
	} else if (why == OB_SESSION_MISS) {
		count(&s->region->n.n_reopened, 1);
		session_end(s, id);
	}
	return why;
}

/* ---- the record ---- */

static void carry(uint64_t *n, unsigned bit, uint16_t *hi)
{
	if ((*n >> bit & 1) == 0)
		return;
	*n -= 1ull << bit;
	if (*hi != UINT16_MAX)
		__atomic_store_n(hi, (uint16_t)(*hi + 1), __ATOMIC_RELAXED);
}

void ob_session_carry(struct ob_session_shard *s, uint32_t ref)
{
	struct ob_session_cold *c = cold_of(s, ref & ~1u);
	struct ob_session_line *l = ob_session_line(s, ref);
	uint64_t n = l->count;

	carry(&n, 63, &c->pkts_hi[ob_session_dir(ref)]);
	carry(&n, OB_SESSION_PKT_SHIFT - 1, &c->bytes_hi[ob_session_dir(ref)]);
	set64(&l->count, n);
}

void ob_session_set_way(
    struct ob_session_shard *s, uint32_t ref, const struct ob_session_way *way, uint32_t gen)
{
	struct ob_session_line *l = ob_session_line(s, ref);
	uint8_t fast = l->way.fast;

	l->way = *way;
	l->way.fast = fast;
	l->gen = gen;
}

unsigned ob_session_key(const struct ob_session_shard *s, uint32_t ref, union ob_session_key *key)
{
	const struct ob_session_dir6 *d;

	if ((ref & OB_SESSION_V6) == 0) {
		key->v4 = s->rec4[ref].key;
		return 4;
	}
	d = &s->rec6[ref & ~OB_SESSION_V6];
	*key = d->key;
	return d->family == 4 ? 4 : 6;
}

uint32_t ob_session_tag(const struct ob_session_shard *s, uint32_t ref)
{
	return cold_of(s, ref & ~1u)->tag;
}

unsigned ob_session_state_of(const struct ob_session_shard *s, uint32_t ref)
{
	return ob_session_line(s, ref)->state;
}
