/* SPDX-License-Identifier: BSD-3-Clause */
/* What an ENI's connections share: time-outs, limits, the policy generation, flushes. */
#include <errno.h>

#include "session_priv.h"

#define MAX_TIMEOUT_S	  432000u
#define MIN_ESTABLISHED_S 60u

/* The region "session.enis". */
struct enis {
	struct ob_session_eni eni[OB_SESSION_MAX_ENIS];
	uint32_t flushes;
	uint32_t ready;
};

static const struct {
	const char *name;
	uint32_t timeout_s;
	bool half_open;
} states[OB_SESSION_N_STATES] = {
    [OB_SESSION_FREE] = {"free", 1, false},
    [OB_SESSION_TCP_SYN_SENT] = {"tcp_syn_sent", 30, true},
    [OB_SESSION_TCP_SYN_SENT2] = {"tcp_syn_sent2", 30, true},
    [OB_SESSION_TCP_SYN_RECV] = {"tcp_syn_recv", 30, true},
    [OB_SESSION_TCP_ESTABLISHED] = {"tcp_established", 7440,
	false},						      /* RFC 5382: at least 2 h 4 min */
    [OB_SESSION_TCP_FIN_WAIT] = {"tcp_fin_wait", 240, false}, /* RFC 5382: at least 4 min */
    [OB_SESSION_TCP_CLOSE_WAIT] = {"tcp_close_wait", 240, false},
    [OB_SESSION_TCP_LAST_ACK] = {"tcp_last_ack", 30, false},
    [OB_SESSION_TCP_TIME_WAIT] = {"tcp_time_wait", 30, false},
    [OB_SESSION_TCP_CLOSE] = {"tcp_close", 10, false},
    [OB_SESSION_UDP_NEW] = {"udp_new", 30, true},
    [OB_SESSION_UDP_REPLIED] = {"udp_replied", 300, false}, /* RFC 4787: 5 min recommended */
    [OB_SESSION_ICMP_NEW] = {"icmp_new", 60, true},	    /* RFC 5508: at least 60 s */
    [OB_SESSION_ICMP_REPLIED] = {"icmp_replied", 60, false},
    [OB_SESSION_SCTP_INIT] = {"sctp_init", 30, true},
    [OB_SESSION_SCTP_ESTABLISHED] = {"sctp_established", 7440, false},
    [OB_SESSION_SCTP_SHUTDOWN] = {"sctp_shutdown", 30, false},
    [OB_SESSION_SCTP_CLOSED] = {"sctp_closed", 10, false},
    [OB_SESSION_OTHER_NEW] = {"other_new", 60, true},
    [OB_SESSION_OTHER_REPLIED] = {"other_replied", 600, false},
};

const char *ob_session_state_name(unsigned state)
{
	return state < OB_SESSION_N_STATES ? states[state].name : NULL;
}

uint32_t ob_session_timeout_default_s(unsigned state)
{
	return state < OB_SESSION_N_STATES ? states[state].timeout_s : 0;
}

bool session_is_half_open(unsigned state)
{
	return states[state].half_open;
}

int session_enis_init(struct ob_arena *a)
{
	struct enis *e;
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(a, "session.enis", ENIS_LAYOUT, sizeof(*e), &p, &fresh);
	if (rc < 0)
		return rc;
	e = p;
	ob_session_enis = e->eni;
	session_flushes = &e->flushes;
	for (unsigned i = 0; i < OB_SESSION_MAX_ENIS; i++) {
		/* The shards count anew what they take over. */
		e->eni[i].live = e->eni[i].half_open = 0;
		if (e->ready)
			continue;
		e->eni[i].gen = 1;
		for (unsigned k = 0; k < OB_SESSION_N_STATES; k++)
			e->eni[i].timeout[k] = states[k].timeout_s * OB_SESSION_HZ;
	}
	e->ready = 1;
	return 0;
}

int ob_session_eni_set(uint16_t eni, const struct ob_session_eni_conf *c)
{
	struct ob_session_eni *e;

	if (eni >= OB_SESSION_MAX_ENIS)
		return -EINVAL;
	e = &ob_session_enis[eni];
	for (unsigned k = 0; k < OB_SESSION_N_STATES; k++) {
		if (c->timeout_s[k] > MAX_TIMEOUT_S)
			return -EINVAL;
	}
	if (c->timeout_s[OB_SESSION_TCP_ESTABLISHED] != 0 &&
	    c->timeout_s[OB_SESSION_TCP_ESTABLISHED] < MIN_ESTABLISHED_S)
		return -EINVAL;
	for (unsigned k = 0; k < OB_SESSION_N_STATES; k++) {
		uint32_t t = c->timeout_s[k] != 0 ? c->timeout_s[k] : states[k].timeout_s;

		set32(&e->timeout[k], t * OB_SESSION_HZ);
	}
	set32(&e->max_live, c->max_live);
	set32(&e->max_half_open, c->max_half_open);
	set32(&e->flags, (c->tcp_loose ? OB_SESSION_ENI_LOOSE : 0) |
			     (c->tcp_no_window ? OB_SESSION_ENI_NO_WINDOW : 0));
	return 0;
}

void ob_session_gen_bump(uint16_t eni)
{
	uint32_t *gen = &ob_session_enis[eni].gen;
	uint32_t next = *gen + 1;

	/* Release: pairs with the acquire of ob_session_eni_gen. */
	__atomic_store_n(gen, next + (next == OB_SESSION_NO_GEN), __ATOMIC_RELEASE);
}

void ob_session_gen_bump_all(void)
{
	for (unsigned i = 0; i < OB_SESSION_MAX_ENIS; i++)
		ob_session_gen_bump((uint16_t)i);
}

void ob_session_eni_flush(uint16_t eni)
{
	set32(&ob_session_enis[eni].flush, ob_session_enis[eni].flush + 1);
	/* Release: pairs with the acquire of doom(). */
	__atomic_store_n(session_flushes, *session_flushes + 1, __ATOMIC_RELEASE);
}

int ob_session_eni_clear(uint16_t eni)
{
	static const struct ob_session_eni_conf defaults;
	struct ob_session_eni *e;
	int rc = ob_session_eni_set(eni, &defaults);

	if (rc < 0)
		return rc;
	e = &ob_session_enis[eni];
	ob_session_eni_flush(eni);
	set32(&e->live_max, 0);
	set32(&e->half_open_max, 0);
	set64(&e->n_refused_live, 0);
	set64(&e->n_refused_half_open, 0);
	return 0;
}

/* ---- limits: shared by the workers, changed once a connection ---- */

static void raise_mark(uint32_t *max, uint32_t n)
{
	if (n > __atomic_load_n(max, __ATOMIC_RELAXED))
		set32(max, n); /* two workers may race: the mark is for people */
}

int session_eni_take(uint16_t eni, bool half_open)
{
	struct ob_session_eni *e = &ob_session_enis[eni];
	uint32_t max_live = __atomic_load_n(&e->max_live, __ATOMIC_RELAXED);
	uint32_t max_half = __atomic_load_n(&e->max_half_open, __ATOMIC_RELAXED);
	uint32_t n = __atomic_add_fetch(&e->live, 1, __ATOMIC_RELAXED);

	if (max_live != 0 && n > max_live) {
		__atomic_sub_fetch(&e->live, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&e->n_refused_live, 1, __ATOMIC_RELAXED);
		return -EDQUOT;
	}
	if (half_open) {
		uint32_t h = __atomic_add_fetch(&e->half_open, 1, __ATOMIC_RELAXED);

		if (max_half != 0 && h > max_half) {
			__atomic_sub_fetch(&e->half_open, 1, __ATOMIC_RELAXED);
			__atomic_sub_fetch(&e->live, 1, __ATOMIC_RELAXED);
			__atomic_add_fetch(&e->n_refused_half_open, 1, __ATOMIC_RELAXED);
			return -EUSERS;
		}
		raise_mark(&e->half_open_max, h);
	}
	raise_mark(&e->live_max, n);
	return 0;
}

void session_eni_take_over(uint16_t eni, bool half_open)
{
	struct ob_session_eni *e = &ob_session_enis[eni];

	raise_mark(&e->live_max, __atomic_add_fetch(&e->live, 1, __ATOMIC_RELAXED));
	if (half_open)
		session_eni_half_open(eni, 1);
}

void session_eni_half_open(uint16_t eni, int by)
{
	__atomic_add_fetch(&ob_session_enis[eni].half_open, (uint32_t)by, __ATOMIC_RELAXED);
}

void session_eni_put(uint16_t eni, bool half_open)
{
	__atomic_sub_fetch(&ob_session_enis[eni].live, 1, __ATOMIC_RELAXED);
	if (half_open)
		session_eni_half_open(eni, -1);
}

void ob_session_eni_read(uint16_t eni, struct ob_session_eni_counters *out)
{
	const struct ob_session_eni *e = &ob_session_enis[eni];

	out->live = __atomic_load_n(&e->live, __ATOMIC_RELAXED);
	out->live_max = __atomic_load_n(&e->live_max, __ATOMIC_RELAXED);
	out->half_open = __atomic_load_n(&e->half_open, __ATOMIC_RELAXED);
	out->half_open_max = __atomic_load_n(&e->half_open_max, __ATOMIC_RELAXED);
	out->n_refused_live = __atomic_load_n(&e->n_refused_live, __ATOMIC_RELAXED);
	out->n_refused_half_open = __atomic_load_n(&e->n_refused_half_open, __ATOMIC_RELAXED);
}
