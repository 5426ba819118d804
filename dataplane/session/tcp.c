/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP as a middle box sees it: a table of transitions, and windows after G. van Rooij, "Real Stateful TCP Packet Filtering". */
#include "ob_session.h"

#include "session_priv.h"

/* What a segment is to the state machine. */
enum seg {
	SYN,
	SYN_ACK,
	FIN,	 /* the first one of its sender */
	ACK,	 /* all else with ACK, also a FIN again */
	ACK_FIN, /* acknowledges the other end's FIN */
	RST,
	N_SEGS
};

#define SS OB_SESSION_TCP_SYN_SENT
#define S2 OB_SESSION_TCP_SYN_SENT2
#define SR OB_SESSION_TCP_SYN_RECV
#define ES OB_SESSION_TCP_ESTABLISHED
#define FW OB_SESSION_TCP_FIN_WAIT
#define CW OB_SESSION_TCP_CLOSE_WAIT
#define LA OB_SESSION_TCP_LAST_ACK
#define TW OB_SESSION_TCP_TIME_WAIT
#define CL OB_SESSION_TCP_CLOSE
#define IV 0x40 /* not in this state: dropped */
#define IG \
	0x41 /* tells nothing new, but the other end must see it (RFC 5961: it answers a stray SYN with its ACK) */
#define NC 0x42 /* opens the connection anew */

#define FIRST_STATE SS

/* [state][direction][segment] */
static const uint8_t next_state[CL - SS + 1][2][N_SEGS] = {
    /*                  SYN  SYN_ACK FIN ACK ACK_FIN RST */
    [SS - SS] = {{SS, IV, IV, IV, IV, CL}, {S2, SR, IV, IG, IG, CL}},
    [S2 - SS] = {{S2, SR, IV, IV, IV, CL}, {S2, SR, IV, IV, IV, CL}},
    [SR - SS] = {{SR, SR, FW, ES, ES, CL}, {IG, SR, FW, SR, SR, CL}},
    [ES - SS] = {{IG, IG, FW, ES, ES, CL}, {IG, IG, FW, ES, ES, CL}},
    [FW - SS] = {{IG, IG, LA, FW, CW, CL}, {IG, IG, LA, FW, CW, CL}},
    [CW - SS] = {{IG, IG, LA, CW, CW, CL}, {IG, IG, LA, CW, CW, CL}},
    [LA - SS] = {{IG, IG, LA, LA, TW, CL}, {IG, IG, LA, LA, TW, CL}},
    [TW - SS] = {{NC, IG, TW, TW, TW, CL}, {NC, IG, TW, TW, TW, CL}},
    [CL - SS] = {{NC, IV, IV, CL, CL, CL}, {NC, IG, IV, CL, CL, CL}},
};

/* A segment, in host byte order. */
struct segment {
	uint32_t seq, ack, end; /* end: one past the last of data, SYN and FIN */
	uint16_t win;
	uint8_t flags;
	uint8_t scale; /* of a SYN: 0..14, or NO_SCALE */
	bool partial;  /* first fragment: more of it follows */
};
#define NO_SCALE 0xff

static inline bool after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Window scale option of a SYN. The header is complete in the packet. */
static uint8_t scale_of(const uint8_t *th, unsigned len)
{
	unsigned i = sizeof(struct rte_tcp_hdr);

	while (i < len && th[i] != 0) {
		if (th[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 >= len || th[i + 1] < 2 || th[i + 1] > len - i)
			break;
		if (th[i] == 3 && th[i + 1] == 3)
			return th[i + 2] < 14 ? th[i + 2] : 14;
		i += th[i + 1];
	}
	return NO_SCALE;
}

static void read_segment(const struct rte_mbuf *pkt, const struct ob_meta *meta, struct segment *g)
{
	uint32_t hdr = (uint32_t)meta->l2_len + meta->l3_len;
	const struct rte_tcp_hdr *th =
	    rte_pktmbuf_mtod_offset(pkt, const struct rte_tcp_hdr *, hdr);

	g->seq = rte_be_to_cpu_32(th->sent_seq);
	g->ack = rte_be_to_cpu_32(th->recv_ack);
	g->win = rte_be_to_cpu_16(th->rx_win);
	g->flags = th->tcp_flags;
	g->end = g->seq + (rte_pktmbuf_pkt_len(pkt) - hdr - meta->l4_len);
	g->end += ((g->flags & RTE_TCP_SYN_FLAG) != 0) + ((g->flags & RTE_TCP_FIN_FLAG) != 0);
	g->scale =
	    g->flags & RTE_TCP_SYN_FLAG ? scale_of((const uint8_t *)th, meta->l4_len) : NO_SCALE;
	g->partial = (meta->flags & OB_PKT_FRAG) != 0;
}

static bool flags_sane(uint8_t f)
{
	f &= RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG;
	return f == RTE_TCP_SYN_FLAG || f == RTE_TCP_RST_FLAG ||
	       f == (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG) ||
	       f == (RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG) ||
	       f == (RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG) || f == RTE_TCP_ACK_FLAG;
}

static enum seg classify(
    const struct segment *g, const struct ob_session_line *l, const struct ob_session_line *peer)
{
	if (g->flags & RTE_TCP_RST_FLAG)
		return RST;
	if (g->flags & RTE_TCP_SYN_FLAG)
		return g->flags & RTE_TCP_ACK_FLAG ? SYN_ACK : SYN;
	/* One that ends before what was sent is no end: the receiver takes it for old, and so does this. */
	if ((g->flags & RTE_TCP_FIN_FLAG) && (l->scale & TCP_FIN) == 0 &&
	    ((l->scale & (TCP_KNOWN | TCP_LIBERAL)) != TCP_KNOWN || !after(l->end, g->end)))
		return FIN;
	return (peer->scale & TCP_FIN) && g->ack == peer->end ? ACK_FIN : ACK;
}

/* ---- windows ---- */

/* In the scale of a line while SYNs pass: the sender did not offer scaling. */
#define NOT_OFFERED 15

static inline unsigned shift_of(const struct ob_session_line *l)
{
	unsigned scale = l->scale & TCP_SCALE;

	return scale == NOT_OFFERED ? 0 : scale;
}

static inline uint32_t max_win(const struct ob_session_line *l)
{
	return (uint32_t)l->max_win << shift_of(l);
}

/* Windows are kept before scaling, rounded up. Never 0: a closed window still may be probed. */
static uint16_t unscaled(uint32_t win, unsigned shift)
{
	uint32_t n = (win >> shift) + ((win & ((1u << shift) - 1)) != 0);

	return (uint16_t)RTE_MAX(RTE_MIN(n, (uint32_t)UINT16_MAX), 1u);
}

static void rescale(struct ob_session_line *l, unsigned shift)
{
	l->max_win = unscaled(max_win(l), shift);
	l->scale = (uint8_t)((l->scale & ~TCP_SCALE) | shift);
}

/* A SYN tells where its sender begins. Its own window is not scaled, and later ones are only if both ends offered it
 * (RFC 7323, 2.2). */
static void learn_syn(
    struct ob_session_line *l, struct ob_session_line *peer, const struct segment *g)
{
	l->end = l->max_end = g->end;
	l->max_win = 1;
	l->scale = (uint8_t)((l->scale & TCP_LIBERAL) | TCP_KNOWN |
			     (g->scale == NO_SCALE ? NOT_OFFERED : g->scale));
	l->max_win = unscaled(g->win, shift_of(l));
	if ((peer->scale & TCP_KNOWN) &&
	    ((l->scale & TCP_SCALE) == NOT_OFFERED || (peer->scale & TCP_SCALE) == NOT_OFFERED)) {
		rescale(l, 0);
		rescale(peer, 0);
	}
}

static bool in_window(
    const struct ob_session_line *l, const struct ob_session_line *peer, const struct segment *g)
{
	if (after(g->seq, l->max_end) || after(l->end - max_win(peer), g->end))
		return false;
	return (g->flags & RTE_TCP_ACK_FLAG) == 0 ||
	       peer->end - g->ack <= (max_win(l) | UINT16_MAX);
}

static void learn_ack(
    struct ob_session_line *l, struct ob_session_line *peer, uint32_t ack, uint32_t win)
{
	uint32_t edge = ack + win + (win == 0); /* a closed window may be probed with one byte */

	if ((l->scale & TCP_ACKED) == 0 || after(ack, l->max_ack))
		l->max_ack = ack;
	l->scale |= TCP_ACKED;
	if (after(edge, peer->max_end))
		peer->max_end = edge;
}

static void learn(struct ob_session_line *l, struct ob_session_line *peer, const struct segment *g)
{
	uint32_t end = g->end;

	if (g->win > l->max_win)
		l->max_win = g->win;
	/* How much follows in later fragments is not known here: as much as it may. */
	if (g->partial && after(l->max_end, end))
		end = l->max_end;
	if (after(end, l->max_end))
		peer->max_win = (uint16_t)RTE_MIN(
		    UINT16_MAX, peer->max_win + ((end - l->max_end) >> shift_of(peer)) + 1);
	if (after(end, l->end))
		l->end = end;
	if (g->flags & RTE_TCP_ACK_FLAG)
		learn_ack(l, peer, g->ack, (uint32_t)g->win << shift_of(l));
}

bool session_tcp_in_flight(
    const struct ob_session_line *l, const struct ob_session_line *peer, uint32_t seq)
{
	uint32_t first = peer->scale & TCP_ACKED ? peer->max_ack : l->end - 1;

	if (l->scale & TCP_LIBERAL)
		return true;
	return seq - first <= l->end - first;
}

/* ---- a segment and its connection ---- */

/* A reset ends a connection only where its receiver would take it: at what the receiver has acknowledged or waits for. Others in window
 * pass, and the receiver asks back (RFC 5961, 3). */
static unsigned reset(const struct ob_session_line *l, const struct ob_session_line *peer,
    const struct segment *g, unsigned *next)
{
	unsigned state = *next;

	*next = l->state;
	if ((l->scale & TCP_KNOWN) == 0) {
		/* The answer to a SYN. */
		if ((g->flags & RTE_TCP_ACK_FLAG) == 0 || g->ack != peer->end)
			return OB_DROP_TCP_WINDOW;
		*next = state;
	} else if (g->seq == l->end || ((peer->scale & TCP_ACKED) &&
					   g->seq - peer->max_ack <= l->end - peer->max_ack)) {
		*next = state;
	} else if (peer->scale & TCP_KNOWN) {
		if (after(g->seq, l->max_end) || after(l->end - max_win(peer), g->seq))
			return OB_DROP_TCP_WINDOW;
	}
	/* Otherwise the other end answered the SYN for a connection of which only it knows: this reset ends that one, and the next SYN
	 * begins ours (RFC 9293, 3.5.1). */
	return OB_PASS;
}

static unsigned syn(struct ob_session_line *l, struct ob_session_line *peer,
    const struct segment *g, enum seg seg, bool check)
{
	if (seg == SYN_ACK && check && peer->end - g->ack > UINT16_MAX)
		return OB_DROP_TCP_WINDOW;
	if ((l->scale & TCP_KNOWN) == 0 || (seg == SYN && l->state == SS))
		learn_syn(l, peer, g);
	else if (check && l->end - g->end > UINT16_MAX) /* again, but not from where it began */
		/* The initiator has begun anew, and the other end will tell it so (RFC 9293, 3.10.7.4). */
		return seg == SYN && l->state == SR ? (unsigned)OB_PASS : OB_DROP_TCP_WINDOW;
	if (seg == SYN_ACK)
		learn_ack(l, peer, g->ack, g->win);
	return OB_PASS;
}

static unsigned segment(struct ob_session_line *l, struct ob_session_line *peer,
    const struct segment *g, enum seg seg, bool check, unsigned *next)
{
	if (seg == RST)
		return check ? reset(l, peer, g, next) : OB_PASS;
	if (seg == SYN || seg == SYN_ACK)
		return syn(l, peer, g, seg, check);
	if (check) {
		if (!in_window(l, peer, g))
			return OB_DROP_TCP_WINDOW;
		learn(l, peer, g);
	}
	if (seg == FIN) {
		/* A fragment of one does not say where it ends: learn has allowed for the longest. */
		if (!g->partial)
			l->end = g->end;
		l->scale |= TCP_FIN;
	}
	return OB_PASS;
}

unsigned session_tcp_track(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta)
{
	struct ob_session_line *l = ob_session_line(s, ref), *peer = ob_session_line(s, ref ^ 1);
	unsigned next, why;
	struct segment g;
	bool check;
	enum seg seg;

	/* A later fragment: its datagram's first one has passed. */
	if ((meta->flags & OB_PKT_TCP) == 0)
		return l->state >= ES ? OB_PASS : OB_DROP_TCP_STATE;
	read_segment(pkt, meta, &g);
	if (!flags_sane(g.flags))
		return OB_DROP_TCP_STATE;
	seg = classify(&g, l, peer);
	next = next_state[l->state - FIRST_STATE][ob_session_dir(ref)][seg];
	if (next == IV)
		return OB_DROP_TCP_STATE;
	if (next == IG)
		return OB_PASS;
	if (next == NC)
		return OB_SESSION_MISS;
	if (eni_flags(eni_of(s, ref & ~1u)) & OB_SESSION_ENI_NO_WINDOW) {
		/* From here on its windows are not known, even if they are to be checked again. */
		l->scale |= TCP_LIBERAL;
		peer->scale |= TCP_LIBERAL;
	}
	check = (l->scale & TCP_LIBERAL) == 0;
	why = segment(l, peer, &g, seg, check, &next);
	if (why != OB_PASS)
		return why;
	if (next != l->state)
		session_set_state(s, ref & ~1u, next);
	else if (next == ES)
		session_set_fast(s, ref & ~1u, next);
	return why;
}

int session_tcp_open(uint16_t eni, struct ob_session_line line[2], const struct rte_mbuf *pkt,
    const struct ob_meta *meta)
{
	struct segment g;

	if ((meta->flags & OB_PKT_TCP) == 0)
		return -EPROTO;
	read_segment(pkt, meta, &g);
	if (!flags_sane(g.flags))
		return -EPROTO;
	if ((g.flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG)) ==
	    RTE_TCP_SYN_FLAG) {
		learn_syn(&line[0], &line[1], &g);
		return SS;
	}
	if ((g.flags & (RTE_TCP_SYN_FLAG | RTE_TCP_RST_FLAG | RTE_TCP_FIN_FLAG)) != 0 ||
	    (eni_flags(eni) & OB_SESSION_ENI_LOOSE) == 0)
		return -EPROTO;
	line[0].scale = line[1].scale = TCP_LIBERAL;
	return ES;
}
