/* SPDX-License-Identifier: BSD-3-Clause */
/* What a shard should do, said once more: a list of sessions that is searched from its start, states by cases instead of a table, and no
 * packed fields. For the fuzz target. */
#pragma once

#include "ob_session.h"

#define MODEL_MAX 256

struct model_key {
	unsigned family, proto, eni;
	uint32_t src, dst;
	unsigned sport, dport; /* ICMP: as ob_session_key4 says */
};

struct model_end {
	bool known, acked, fin, liberal;
	uint32_t end, max_end, max_ack;
	uint32_t tag, new_tag; /* SCTP: what its packets carry, or may; 0: not known */
	uint32_t win;	       /* largest, before scaling */
	int scale;	       /* -1: not offered */
	uint64_t n_pkts, n_bytes;
	uint32_t seen;
};

struct model_session {
	bool live;
	struct model_key key[2];
	struct model_end d[2];
	unsigned state;
	uint32_t tag;
};

/* A packet, as far as the model looks. */
struct model_pkt {
	struct model_key key;
	unsigned flags; /* of TCP */
	uint32_t seq, ack, win, len;
	int scale;
	unsigned chunk; /* SCTP: the only one */
	uint32_t tag, init_tag;
	bool reflected; /* the tag is the receiver's */
	uint32_t bytes; /* of the frame */
};

struct model_eni {
	uint32_t timeout[OB_SESSION_N_STATES];
	uint32_t max_live, max_half_open;
	bool loose, no_window;
	bool flush; /* at the next expire */
};

struct model {
	struct model_session s[MODEL_MAX];
	struct model_eni eni[2];
	unsigned max[2]; /* records of IPv4, of IPv6 */
	unsigned limbo[2];
	uint32_t now;
};

/* Index of the session that has the key in one of its directions, or -1. */
int model_find(const struct model *m, const struct model_key *k, unsigned *dir);
/* Returns what ob_session_add should. '*idx': the session, also with -EEXIST. */
int model_add(struct model *m, const struct model_key key[2], const struct model_pkt *p,
    uint32_t tag, int *idx);
/* Returns what ob_session_track should; the session may be gone after it. */
unsigned model_track(struct model *m, int idx, unsigned dir, const struct model_pkt *p);
/* A TCP error that carries 'seq' and travels in 'dir'. */
unsigned model_track_error(
    struct model *m, int idx, unsigned dir, bool tcp, uint32_t seq, uint32_t bytes);
void model_del(struct model *m, int idx);
void model_expire(struct model *m, uint32_t now);
bool model_half_open(unsigned state);
