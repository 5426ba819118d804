/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <string.h>

#define MAX_TIMEOUT_S	  432000u
#define MIN_ESTABLISHED_S 60u

void card_session_conf(uint16_t eni, struct ob_session_eni_conf *out)
{
	const struct ob_session_eni *e = &ob_session_enis[eni];

	memset(out, 0, sizeof(*out));
	for (unsigned k = 0; k < OB_SESSION_N_STATES; k++)
		out->timeout_s[k] = e->timeout[k] / OB_SESSION_HZ;
	out->max_live = e->max_live;
	out->max_half_open = e->max_half_open;
	out->tcp_loose = e->flags & OB_SESSION_ENI_LOOSE;
	out->tcp_no_window = e->flags & OB_SESSION_ENI_NO_WINDOW;
}

static int check(const struct ob_bus_session_policy *r, struct text *t)
{
	if (r->tcp_strict > 2 || r->window_check > 2)
		return fail(t, -EINVAL, "tcp_strict and window_check are 1 (on) or 2 (off)");
	if (r->reserved[0] | r->reserved[1])
		return fail(t, -EINVAL, "reserved bytes are not zero");
	for (unsigned k = 0; k < OB_BUS_MAX_STATES; k++) {
		if (r->timeout_s[k] != 0 && (k == 0 || k >= OB_BUS_N_STATES))
			return fail(t, -EINVAL, "there is no state %u", k);
		if (r->timeout_s[k] > MAX_TIMEOUT_S)
			return fail(t, -EINVAL, "time-out of %s: %u s is more than %u",
			    ob_session_state_name(k), r->timeout_s[k], MAX_TIMEOUT_S);
	}
	if (r->timeout_s[OB_BUS_TCP_ESTABLISHED] != 0 &&
	    r->timeout_s[OB_BUS_TCP_ESTABLISHED] < MIN_ESTABLISHED_S)
		return fail(t, -EINVAL, "time-out of tcp_established: %u s is less than %u",
		    r->timeout_s[OB_BUS_TCP_ESTABLISHED], MIN_ESTABLISHED_S);
	return 0;
}

/* Everything but the limit of live connections, which is an allowance (noun meter). */
static int store(uint16_t eni, const struct ob_bus_session_policy *r)
{
	struct ob_session_eni_conf conf, old;

	card_session_conf(eni, &old);
	memset(&conf, 0, sizeof(conf));
	for (unsigned k = 0; k < OB_SESSION_N_STATES; k++)
		conf.timeout_s[k] = r->timeout_s[k];
	conf.max_live = old.max_live;
	conf.max_half_open = r->max_half_open;
	conf.tcp_loose = r->tcp_strict == 2;
	conf.tcp_no_window = r->window_check == 2;
	return ob_session_eni_set(eni, &conf);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_session_policy *r = rec;
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	return rc < 0 || (rc = check(r, t)) < 0 ? rc : store((uint16_t)eni, r);
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_session_policy *r = rec, none = {.eni = ""};
	uint32_t eni;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	return rc < 0 ? rc : store((uint16_t)eni, &none);
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->enis, "eni", ((const struct ob_bus_session_policy *)f)->eni);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_session_policy *want = f;
	uint32_t i = names_next(&c->enis, (uint32_t)*cursor);
	struct ob_bus_session_policy *r = rec;
	struct ob_session_eni_conf conf;

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->eni[0] && strcmp(want->eni, names_get(&c->enis, i)) != 0)
		return -EAGAIN;
	card_session_conf((uint16_t)i, &conf);
	strcpy(r->eni, names_get(&c->enis, i));
	r->tcp_strict = conf.tcp_loose ? 2 : 1;
	r->window_check = conf.tcp_no_window ? 2 : 1;
	r->max_half_open = conf.max_half_open;
	for (unsigned k = 1; k < OB_SESSION_N_STATES; k++)
		r->timeout_s[k] = conf.timeout_s[k];
	return 0;
}

const struct noun noun_session_policy = {.name = "session-policy",
    .record_len = sizeof(struct ob_bus_session_policy),
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
