/* SPDX-License-Identifier: BSD-3-Clause */
/* SCTP by the chunks of each packet, as far as opening and closing go, and by verification tags: a stranger does not know them.
 *
 * Of a line, 'end' is the tag that packets of its direction carry (0: not known yet), and 'max_end' another one that they may carry: an end
 * that starts anew in an open association announces a new tag (RFC 9260, 5.2), which counts once a cookie has travelled under it. */
#include "ob_session.h"

#include "session_priv.h"

#define COMMON_HDR 12u
#define MAX_CHUNKS 16
#define INIT_BYTES 20u /* chunk header and what is fixed of INIT and INIT ACK */

/* RFC 9260, 3.2. */
enum {
	CHUNK_INIT = 1,
	CHUNK_INIT_ACK = 2,
	CHUNK_ABORT = 6,
	CHUNK_SHUTDOWN = 7,
	CHUNK_SHUTDOWN_ACK = 8,
	CHUNK_ERROR = 9,
	CHUNK_COOKIE_ECHO = 10,
	CHUNK_COOKIE_ACK = 11,
	CHUNK_SHUTDOWN_COMPLETE = 14,
};
#define BIT(chunk) (1u << (chunk))

#define INITS	   (BIT(CHUNK_INIT) | BIT(CHUNK_INIT_ACK))
#define LAST_WORDS (BIT(CHUNK_ABORT) | BIT(CHUNK_SHUTDOWN_COMPLETE))
#define COOKIES	   (BIT(CHUNK_COOKIE_ECHO) | BIT(CHUNK_COOKIE_ACK))
/* What passes before COOKIE ACK. ERROR: the cookie was too old (5.2.6). */
#define HANDSHAKE (INITS | COOKIES | BIT(CHUNK_ERROR))

struct sctp {
	uint32_t tag;
	uint32_t chunks; /* kinds, as bits; 0: not an SCTP packet */
	uint32_t init_tag;
	bool
	    reflected; /* flag T: the tag is the receiver's own, from a packet of the other direction */
};

static uint32_t load32(const uint8_t *p)
{
	rte_be32_t v;

	memcpy(&v, p, sizeof(v));
	return rte_be_to_cpu_32(v);
}

static void read_sctp(const struct rte_mbuf *pkt, const struct ob_meta *meta, struct sctp *p)
{
	uint32_t off = (uint32_t)meta->l2_len + meta->l3_len;
	uint8_t hdr[COMMON_HDR], buf[8];
	const uint8_t *c = rte_pktmbuf_read(pkt, off, COMMON_HDR, hdr);

	memset(p, 0, sizeof(*p));
	if (c == NULL)
		return;
	p->tag = load32(c + 4);
	off += COMMON_HDR;
	for (unsigned i = 0; i < MAX_CHUNKS; i++) {
		uint32_t len, kind;

		c = rte_pktmbuf_read(pkt, off, 4, buf);
		if (c == NULL)
			break;
		kind = BIT(RTE_MIN(c[0], 31));
		len = (uint32_t)c[2] << 8 | c[3];
		if (kind & LAST_WORDS)
			p->reflected = (c[1] & 1) != 0;
		if (kind & INITS) {
			c = rte_pktmbuf_read(pkt, off, 8, buf);
			if (c == NULL || len < INIT_BYTES)
				len = 0;
			else
				p->init_tag = load32(c + 4);
		}
		/* INIT and INIT ACK are alone in their packets (6.10), and no tag is 0 (3.3.2). */
		if (len < 4 || ((kind & INITS) && (p->chunks != 0 || p->init_tag == 0)) ||
		    (p->chunks & INITS)) {
			p->chunks = 0;
			return;
		}
		p->chunks |= kind;
		off += (len + 3) & ~3u;
	}
}

int session_sctp_open(
    struct ob_session_line line[2], const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	struct sctp p;

	if (meta->flags & OB_PKT_LATER_FRAG)
		return -EPROTO;
	read_sctp(pkt, meta, &p);
	if (p.chunks != BIT(CHUNK_INIT) || p.tag != 0)
		return -EPROTO;
	line[1].end = p.init_tag;
	return OB_SESSION_SCTP_INIT;
}

/* RFC 9260, 8.5. */
static bool tag_fits(
    const struct ob_session_line *l, const struct ob_session_line *peer, const struct sctp *p)
{
	if (p->chunks & BIT(CHUNK_INIT))
		return p->tag == 0;
	if (p->tag == 0)
		return false;
	if (p->reflected)
		return p->tag == peer->end || p->tag == peer->max_end;
	return p->tag == l->end || p->tag == l->max_end;
}

/* Returns the next state, or OB_SESSION_FREE: not in this state. */
static unsigned next_of(unsigned state, uint32_t chunks)
{
	if (chunks & LAST_WORDS)
		return OB_SESSION_SCTP_CLOSED;
	if (state == OB_SESSION_SCTP_INIT) {
		if (chunks & BIT(CHUNK_COOKIE_ACK))
			return OB_SESSION_SCTP_ESTABLISHED;
		return chunks & HANDSHAKE ? state : (unsigned)OB_SESSION_FREE;
	}
	if (state == OB_SESSION_SCTP_ESTABLISHED &&
	    (chunks & (BIT(CHUNK_SHUTDOWN) | BIT(CHUNK_SHUTDOWN_ACK))))
		return OB_SESSION_SCTP_SHUTDOWN;
	return state;
}

static void learn_tags(
    struct ob_session_line *l, struct ob_session_line *peer, const struct sctp *p)
{
	uint32_t old = l->end;

	if (p->chunks & INITS) {
		if (peer->end == 0)
			peer->end = p->init_tag;
		else if (p->init_tag != peer->end)
			peer->max_end = p->init_tag;
	}
	if ((p->chunks & COOKIES) && p->tag == l->max_end) {
		l->end = p->tag;
		l->max_end = old;
	}
}

unsigned session_sctp_track(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta)
{
	struct ob_session_line *l = ob_session_line(s, ref), *peer = ob_session_line(s, ref ^ 1);
	unsigned next;
	struct sctp p;

	if (meta->flags & OB_PKT_LATER_FRAG)
		return l->state == OB_SESSION_SCTP_INIT ? OB_DROP_TCP_STATE : OB_PASS;
	read_sctp(pkt, meta, &p);
	if (p.chunks == 0)
		return OB_DROP_MALFORMED_L4;
	if (!tag_fits(l, peer, &p))
		return OB_DROP_TCP_STATE;
	if (l->state == OB_SESSION_SCTP_CLOSED && (p.chunks & BIT(CHUNK_INIT)))
		return OB_SESSION_MISS;
	next = next_of(l->state, p.chunks);
	if (next == OB_SESSION_FREE)
		return OB_DROP_TCP_STATE;
	/* Only who knows the association's own tag ends it: that of an INIT which nobody has answered is anybody's. */
	if ((next == OB_SESSION_SCTP_CLOSED || next == OB_SESSION_SCTP_SHUTDOWN) &&
	    p.tag != (p.reflected ? peer->end : l->end))
		next = l->state;
	learn_tags(l, peer, &p);
	if (next != l->state)
		session_set_state(s, ref & ~1u, next);
	return OB_PASS;
}
