/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_model.h"

static int64_t diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static bool same(const struct model_key *a, const struct model_key *b)
{
	return a->family == b->family && a->proto == b->proto && a->eni == b->eni &&
	       a->src == b->src && a->dst == b->dst && a->sport == b->sport && a->dport == b->dport;
}

int model_find(const struct model *m, const struct model_key *k, unsigned *dir)
{
	for (int i = 0; i < MODEL_MAX; i++) {
		for (unsigned d = 0; d < 2; d++) {
			if (m->s[i].live && same(&m->s[i].key[d], k)) {
				*dir = d;
				return i;
			}
		}
	}
	return -1;
}

bool model_half_open(unsigned state)
{
	switch (state) {
	case OB_SESSION_TCP_SYN_SENT:
	case OB_SESSION_TCP_SYN_SENT2:
	case OB_SESSION_TCP_SYN_RECV:
	case OB_SESSION_UDP_NEW:
	case OB_SESSION_ICMP_NEW:
	case OB_SESSION_SCTP_INIT:
	case OB_SESSION_OTHER_NEW:
		return true;
	default:
		return false;
	}
}

static bool is_v6(const struct model_session *s)
{
	return s->key[0].family == 6 || s->key[1].family == 6;
}

/* ---- windows ---- */

static unsigned shift(const struct model_end *e)
{
	return e->scale < 0 ? 0 : (unsigned)e->scale;
}
static int64_t window(const struct model_end *e)
{
	return (int64_t)e->win << shift(e);
}
static uint32_t round_up(int64_t bytes, unsigned by)
{
	int64_t n = (bytes + (1 << by) - 1) / (1 << by);

	return n < 1 ? 1 : n > 65535 ? 65535 : (uint32_t)n;
}

static uint32_t end_of(const struct model_pkt *p)
{
	return p->seq + p->len + ((p->flags & RTE_TCP_SYN_FLAG) ? 1 : 0) +
	       ((p->flags & RTE_TCP_FIN_FLAG) ? 1 : 0);
}

static void begin(struct model_end *e, struct model_end *peer, const struct model_pkt *p)
{
	e->known = true;
	e->acked = e->fin = false;
	e->end = e->max_end = end_of(p);
	e->scale = p->scale;
	e->win = round_up(p->win, shift(e));
	if (peer->known && (e->scale < 0 || peer->scale < 0)) {
		int64_t a = window(e), b = window(peer);

		e->scale = peer->scale = 0;
		e->win = round_up(a, 0);
		peer->win = round_up(b, 0);
	}
}

static void acknowledge(struct model_end *e, struct model_end *peer, uint32_t ack, int64_t win)
{
	uint32_t edge = (uint32_t)(ack + win + (win == 0 ? 1 : 0));

	if (!e->acked || diff(ack, e->max_ack) > 0)
		e->max_ack = ack;
	e->acked = true;
	if (diff(edge, peer->max_end) > 0)
		peer->max_end = edge;
}

static bool ack_fits(const struct model_end *e, const struct model_end *peer, uint32_t ack)
{
	int64_t behind = (int64_t)(uint32_t)(peer->end - ack);

	return behind <= (window(e) | 65535);
}

static bool fits(const struct model_end *e, const struct model_end *peer, const struct model_pkt *p)
{
	if (diff(p->seq, e->max_end) > 0)
		return false;
	if (diff((uint32_t)(e->end - window(peer)), end_of(p)) > 0)
		return false;
	return !(p->flags & RTE_TCP_ACK_FLAG) || ack_fits(e, peer, p->ack);
}

static void advance(struct model_end *e, struct model_end *peer, const struct model_pkt *p)
{
	uint32_t end = end_of(p);

	if (p->win > e->win)
		e->win = p->win;
	if (diff(end, e->max_end) > 0) {
		int64_t more = diff(end, e->max_end) >> shift(peer);

		peer->win = peer->win + more + 1 > 65535 ? 65535 : (uint32_t)(peer->win + more + 1);
	}
	if (diff(end, e->end) > 0)
		e->end = end;
	if (p->flags & RTE_TCP_ACK_FLAG)
		acknowledge(e, peer, p->ack, (int64_t)p->win << shift(e));
}

/* ---- states ---- */

static bool sane(unsigned flags)
{
	bool syn = flags & RTE_TCP_SYN_FLAG, fin = flags & RTE_TCP_FIN_FLAG,
	     rst = flags & RTE_TCP_RST_FLAG, ack = flags & RTE_TCP_ACK_FLAG;

	if (syn + fin + rst > 1)
		return false;
	return ack || syn || rst;
}

static unsigned reset(struct model_session *s, unsigned dir, const struct model_pkt *p, bool check)
{
	struct model_end *e = &s->d[dir], *peer = &s->d[1 - dir];
	bool close;

	if (!check) {
		s->state = OB_SESSION_TCP_CLOSE;
		return OB_PASS;
	}
	if (!e->known) {
		if (!(p->flags & RTE_TCP_ACK_FLAG) || p->ack != peer->end)
			return OB_DROP_TCP_WINDOW;
		s->state = OB_SESSION_TCP_CLOSE;
		return OB_PASS;
	}
	close = p->seq == e->end;
	if (peer->acked && (int64_t)(uint32_t)(p->seq - peer->max_ack) <=
			       (int64_t)(uint32_t)(e->end - peer->max_ack))
		close = true;
	if (close)
		s->state = OB_SESSION_TCP_CLOSE;
	else if (peer->known && (diff(p->seq, e->max_end) > 0 ||
				    diff((uint32_t)(e->end - window(peer)), p->seq) > 0))
		return OB_DROP_TCP_WINDOW;
	return OB_PASS;
}

static unsigned syn_ack(
    struct model_session *s, unsigned dir, const struct model_pkt *p, bool check)
{
	struct model_end *e = &s->d[dir], *peer = &s->d[1 - dir];

	switch (s->state) {
	case OB_SESSION_TCP_SYN_SENT:
		if (dir == 0)
			return OB_DROP_TCP_STATE;
		break;
	case OB_SESSION_TCP_SYN_SENT2:
	case OB_SESSION_TCP_SYN_RECV:
		break;
	case OB_SESSION_TCP_CLOSE:
		return dir == 0 ? (unsigned)OB_DROP_TCP_STATE : OB_PASS;
	default:
		return OB_PASS;
	}
	if (check && (uint32_t)(peer->end - p->ack) > 65535)
		return OB_DROP_TCP_WINDOW;
	if (!e->known)
		begin(e, peer, p);
	else if (check && (uint32_t)(e->end - end_of(p)) > 65535)
		return OB_DROP_TCP_WINDOW;
	acknowledge(e, peer, p->ack, p->win);
	s->state = OB_SESSION_TCP_SYN_RECV;
	return OB_PASS;
}

static unsigned syn(struct model_session *s, unsigned dir, const struct model_pkt *p, bool check)
{
	struct model_end *e = &s->d[dir], *peer = &s->d[1 - dir];

	switch (s->state) {
	case OB_SESSION_TCP_SYN_SENT:
		begin(e, peer, p);
		if (dir == 1)
			s->state = OB_SESSION_TCP_SYN_SENT2;
		return OB_PASS;
	case OB_SESSION_TCP_SYN_SENT2:
		if (check && (uint32_t)(e->end - end_of(p)) > 65535)
			return OB_DROP_TCP_WINDOW;
		return OB_PASS;
	case OB_SESSION_TCP_TIME_WAIT:
	case OB_SESSION_TCP_CLOSE:
		return OB_SESSION_MISS;
	default:
		return OB_PASS;
	}
}

/* Where a segment with ACK, and neither SYN nor RST, leads; OB_SESSION_FREE: nowhere, OB_SESSION_N_STATES: it passes only. */
static unsigned after_ack(const struct model_session *s, unsigned dir, bool fin, bool acks_fin)
{
	switch (s->state) {
	case OB_SESSION_TCP_SYN_SENT:
		return fin || dir == 0 ? (unsigned)OB_SESSION_FREE : OB_SESSION_N_STATES;
	case OB_SESSION_TCP_SYN_SENT2:
		return OB_SESSION_FREE;
	case OB_SESSION_TCP_SYN_RECV:
		if (fin)
			return OB_SESSION_TCP_FIN_WAIT;
		return dir == 0 ? OB_SESSION_TCP_ESTABLISHED : OB_SESSION_TCP_SYN_RECV;
	case OB_SESSION_TCP_ESTABLISHED:
		return fin ? OB_SESSION_TCP_FIN_WAIT : OB_SESSION_TCP_ESTABLISHED;
	case OB_SESSION_TCP_FIN_WAIT:
		return fin	  ? OB_SESSION_TCP_LAST_ACK
		       : acks_fin ? OB_SESSION_TCP_CLOSE_WAIT
				  : OB_SESSION_TCP_FIN_WAIT;
	case OB_SESSION_TCP_CLOSE_WAIT:
		return fin ? OB_SESSION_TCP_LAST_ACK : OB_SESSION_TCP_CLOSE_WAIT;
	case OB_SESSION_TCP_LAST_ACK:
		return acks_fin && !fin ? OB_SESSION_TCP_TIME_WAIT : OB_SESSION_TCP_LAST_ACK;
	case OB_SESSION_TCP_CLOSE:
		return fin ? OB_SESSION_FREE : OB_SESSION_TCP_CLOSE;
	default:
		return s->state;
	}
}

static unsigned tcp(
    struct model *m, struct model_session *s, unsigned dir, const struct model_pkt *p)
{
	struct model_end *e = &s->d[dir], *peer = &s->d[1 - dir];
	bool no_window = m->eni[s->key[0].eni].no_window, check, first_fin;
	unsigned next;

	if (!sane(p->flags))
		return OB_DROP_TCP_STATE;
	check = !no_window && !e->liberal;
	/* What counts as processed makes the connection's windows unknown while checks are off. */
	if (p->flags & RTE_TCP_RST_FLAG) {
		if (no_window)
			e->liberal = peer->liberal = true;
		return reset(s, dir, p, check);
	}
	if (p->flags & RTE_TCP_SYN_FLAG) {
		unsigned why =
		    p->flags & RTE_TCP_ACK_FLAG ? syn_ack(s, dir, p, check) : syn(s, dir, p, check);

		if (no_window && s->state < OB_SESSION_TCP_ESTABLISHED && why == OB_PASS &&
		    !(s->state == OB_SESSION_TCP_SYN_RECV && dir == 1 &&
			!(p->flags & RTE_TCP_ACK_FLAG)))
			e->liberal = peer->liberal = true;
		return why;
	}
	/* An end before what was sent is old data. */
	first_fin = (p->flags & RTE_TCP_FIN_FLAG) && !e->fin &&
		    (!e->known || e->liberal || diff(end_of(p), e->end) >= 0);
	next = after_ack(s, dir, first_fin, !first_fin && peer->fin && p->ack == peer->end);
	if (next == OB_SESSION_FREE)
		return OB_DROP_TCP_STATE;
	if (next == OB_SESSION_N_STATES)
		return OB_PASS;
	if (no_window)
		e->liberal = peer->liberal = true;
	if (check && !fits(e, peer, p))
		return OB_DROP_TCP_WINDOW;
	if (check)
		advance(e, peer, p);
	if (first_fin) {
		e->end = end_of(p);
		e->fin = true;
	}
	s->state = next;
	return OB_PASS;
}

static bool sctp_malformed(const struct model_pkt *p)
{
	return (p->chunk == 1 || p->chunk == 2) && p->init_tag == 0;
}

static bool sctp_tag(
    const struct model_end *e, const struct model_end *peer, const struct model_pkt *p)
{
	const struct model_end *whose = e;

	if (p->chunk == 1)
		return p->tag == 0;
	if (p->reflected && (p->chunk == 6 || p->chunk == 14))
		whose = peer;
	return p->tag != 0 && (p->tag == whose->tag || p->tag == whose->new_tag);
}

static void sctp_announce(struct model_end *peer, uint32_t tag)
{
	if (peer->tag == 0 || peer->tag == tag)
		peer->tag = tag;
	else
		peer->new_tag = tag;
}

static unsigned sctp(struct model_session *s, unsigned dir, const struct model_pkt *p)
{
	struct model_end *e = &s->d[dir], *peer = &s->d[1 - dir];
	bool opening = s->state == OB_SESSION_SCTP_INIT;
	uint32_t old = e->tag;

	if (sctp_malformed(p))
		return OB_DROP_MALFORMED_L4;
	if (!sctp_tag(e, peer, p))
		return OB_DROP_TCP_STATE;
	switch (p->chunk) {
	case 6:
	case 14:
		/* Nobody has answered the tag of a second INIT: whoever sent that does not end the association. */
		if (p->tag == (p->reflected ? peer->tag : e->tag))
			s->state = OB_SESSION_SCTP_CLOSED;
		return OB_PASS;
	case 1:
		if (s->state == OB_SESSION_SCTP_CLOSED)
			return OB_SESSION_MISS;
		/* fallthrough */
	case 2:
		sctp_announce(peer, p->init_tag);
		return OB_PASS;
	case 11:
		if (opening)
			s->state = OB_SESSION_SCTP_ESTABLISHED;
		/* fallthrough */
	case 10:
		if (p->tag == e->new_tag) {
			e->tag = e->new_tag;
			e->new_tag = old;
		}
		return OB_PASS;
	case 7:
	case 8:
		if (s->state == OB_SESSION_SCTP_ESTABLISHED && p->tag == e->tag)
			s->state = OB_SESSION_SCTP_SHUTDOWN;
		return opening ? (unsigned)OB_DROP_TCP_STATE : OB_PASS;
	case 9:
		return OB_PASS;
	default:
		return opening ? (unsigned)OB_DROP_TCP_STATE : OB_PASS;
	}
}

/* ---- sessions ---- */

static int open_state(struct model *m, struct model_session *s, const struct model_pkt *p)
{
	bool syn_flag = p->flags & RTE_TCP_SYN_FLAG, ack = p->flags & RTE_TCP_ACK_FLAG,
	     fin = p->flags & RTE_TCP_FIN_FLAG, rst = p->flags & RTE_TCP_RST_FLAG;

	switch (p->key.proto) {
	case IPPROTO_TCP:
		if (syn_flag && !ack && !fin && !rst) {
			begin(&s->d[0], &s->d[1], p);
			return OB_SESSION_TCP_SYN_SENT;
		}
		if (ack && !syn_flag && !fin && !rst && m->eni[p->key.eni].loose) {
			s->d[0].liberal = s->d[1].liberal = true;
			return OB_SESSION_TCP_ESTABLISHED;
		}
		return -EPROTO;
	case IPPROTO_UDP:
		return OB_SESSION_UDP_NEW;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		/* Of an answer, the question is the source. */
		return p->key.sport == (p->key.family == 6 ? 128u : 8u) << 8 ? -EPROTO
									     : OB_SESSION_ICMP_NEW;
	case IPPROTO_SCTP:
		if (p->chunk != 1 || p->tag != 0 || p->init_tag == 0)
			return -EPROTO;
		s->d[1].tag = p->init_tag;
		return OB_SESSION_SCTP_INIT;
	default:
		return OB_SESSION_OTHER_NEW;
	}
}

int model_add(struct model *m, const struct model_key key[2], const struct model_pkt *p,
    uint32_t tag, int *idx)
{
	struct model_session n = {.live = true, .key = {key[0], key[1]}, .tag = tag};
	unsigned live = 0, half = 0, used[2] = {m->limbo[0], m->limbo[1]}, dir;
	unsigned eni = key[0].eni;
	int state;

	for (unsigned d = 0; d < 2; d++) {
		*idx = model_find(m, &key[d], &dir);
		if (*idx >= 0)
			return -EEXIST;
	}
	if (same(&key[0], &key[1]))
		return -EPROTO;
	state = open_state(m, &n, p);
	if (state < 0)
		return state;
	n.state = (unsigned)state;
	for (int i = 0; i < MODEL_MAX; i++) {
		if (!m->s[i].live) {
			*idx = *idx < 0 ? i : *idx;
			continue;
		}
		used[is_v6(&m->s[i])]++;
		live += m->s[i].key[0].eni == eni;
		half += m->s[i].key[0].eni == eni && model_half_open(m->s[i].state);
	}
	if (m->eni[eni].max_live != 0 && live >= m->eni[eni].max_live)
		return -EDQUOT;
	if (model_half_open(n.state) && m->eni[eni].max_half_open != 0 &&
	    half >= m->eni[eni].max_half_open)
		return -EUSERS;
	if (used[is_v6(&n)] >= m->max[is_v6(&n)])
		return -ENOSPC;
	n.d[0].n_pkts = 1;
	n.d[0].n_bytes = p->bytes;
	n.d[0].seen = n.d[1].seen = m->now;
	m->s[*idx] = n;
	return 0;
}

void model_del(struct model *m, int idx)
{
	m->s[idx].live = false;
	m->limbo[is_v6(&m->s[idx])]++;
}

unsigned model_track(struct model *m, int idx, unsigned dir, const struct model_pkt *p)
{
	struct model_session *s = &m->s[idx];
	unsigned why = OB_PASS;

	if (s->key[0].proto == IPPROTO_TCP)
		why = tcp(m, s, dir, p);
	else if (s->key[0].proto == IPPROTO_SCTP)
		why = sctp(s, dir, p);
	else if (dir == 1 && model_half_open(s->state))
		s->state++;
	if (why == OB_PASS) {
		s->d[dir].n_pkts++;
		s->d[dir].n_bytes += p->bytes;
		s->d[dir].seen = m->now;
	} else if (why == OB_SESSION_MISS) {
		model_del(m, idx);
	}
	return why;
}

unsigned model_track_error(
    struct model *m, int idx, unsigned dir, bool is_tcp, uint32_t seq, uint32_t bytes)
{
	struct model_end *e = &m->s[idx].d[dir], *peer = &m->s[idx].d[1 - dir];

	if (is_tcp && !peer->liberal) {
		uint32_t first = e->acked ? e->max_ack : peer->end - 1;

		if ((uint32_t)(seq - first) > (uint32_t)(peer->end - first))
			return OB_DROP_ICMP_UNRELATED;
	}
	e->n_pkts++;
	e->n_bytes += bytes;
	return OB_PASS;
}

void model_expire(struct model *m, uint32_t now)
{
	m->now = now;
	m->limbo[0] = m->limbo[1] = 0;
	for (int i = 0; i < MODEL_MAX; i++) {
		struct model_session *s = &m->s[i];
		const struct model_eni *e = &m->eni[s->key[0].eni];
		uint32_t seen = diff(s->d[0].seen, s->d[1].seen) > 0 ? s->d[0].seen : s->d[1].seen;

		if (!s->live)
			continue;
		if (e->flush || diff(seen + e->timeout[s->state], now) <= 0)
			model_del(m, i);
	}
	m->eni[0].flush = m->eni[1].flush = false;
}
