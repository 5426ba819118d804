/* SPDX-License-Identifier: BSD-3-Clause */
/* SCTP by the chunks of each packet, as far as opening and closing go; tags and sequence numbers are not checked. */
#include "ob_session.h"

#include "session_priv.h"

#define COMMON_HDR 12u
#define MAX_CHUNKS 16

/* RFC 9260, 3.2. */
enum {
	CHUNK_INIT = 1,
	CHUNK_INIT_ACK = 2,
	CHUNK_ABORT = 6,
	CHUNK_SHUTDOWN = 7,
	CHUNK_SHUTDOWN_ACK = 8,
	CHUNK_COOKIE_ECHO = 10,
	CHUNK_COOKIE_ACK = 11,
	CHUNK_SHUTDOWN_COMPLETE = 14,
};

/* Kinds of the first chunks, as bits; 0: not an SCTP packet. */
static uint32_t chunks_of(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	uint32_t off = (uint32_t)meta->l2_len + meta->l3_len + COMMON_HDR, kinds = 0;

	for (unsigned i = 0; i < MAX_CHUNKS; i++) {
		uint8_t buf[4];
		const uint8_t *c = rte_pktmbuf_read(pkt, off, sizeof(buf), buf);
		uint32_t len;

		if (c == NULL)
			break;
		len = (uint32_t)c[2] << 8 | c[3];
		if (len < sizeof(buf))
			return 0;
		kinds |= 1u << RTE_MIN(c[0], 31);
		off += (len + 3) & ~3u;
	}
	return kinds;
}

#define HAS(kinds, chunk) (((kinds) >> (chunk)&1) != 0)

int session_sctp_open(const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	/* INIT is alone in its packet (RFC 9260, 6.10). */
	return chunks_of(pkt, meta) == 1u << CHUNK_INIT ? OB_SESSION_SCTP_INIT : -EPROTO;
}

unsigned session_sctp_track(struct ob_session_shard *s, uint32_t ref, const struct rte_mbuf *pkt,
    const struct ob_meta *meta)
{
	unsigned state = ob_session_line(s, ref)->state, next = state;
	uint32_t kinds;

	if (meta->flags & OB_PKT_LATER_FRAG)
		return state == OB_SESSION_SCTP_INIT ? OB_DROP_TCP_STATE : OB_PASS;
	kinds = chunks_of(pkt, meta);
	if (kinds == 0)
		return OB_DROP_MALFORMED_L4;
	if (HAS(kinds, CHUNK_ABORT) || HAS(kinds, CHUNK_SHUTDOWN_COMPLETE))
		next = OB_SESSION_SCTP_CLOSED;
	else if (state == OB_SESSION_SCTP_CLOSED && HAS(kinds, CHUNK_INIT))
		return OB_SESSION_MISS;
	else if (HAS(kinds, CHUNK_COOKIE_ACK) && state == OB_SESSION_SCTP_INIT &&
		 ob_session_dir(ref) == 1)
		next = OB_SESSION_SCTP_ESTABLISHED;
	else if ((HAS(kinds, CHUNK_SHUTDOWN) || HAS(kinds, CHUNK_SHUTDOWN_ACK)) &&
		 state == OB_SESSION_SCTP_ESTABLISHED)
		next = OB_SESSION_SCTP_SHUTDOWN;
	else if (state == OB_SESSION_SCTP_INIT &&
		 !(HAS(kinds, CHUNK_INIT) || HAS(kinds, CHUNK_INIT_ACK) ||
		     HAS(kinds, CHUNK_COOKIE_ECHO)))
		return OB_DROP_TCP_STATE; /* nothing but the handshake before it is through */
	if (next != state)
		session_set_state(s, ref & ~1u, next);
	return OB_PASS;
}
