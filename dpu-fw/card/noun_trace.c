/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(void *ctx, enum ob_trace_kind kind, uint32_t idx)
{
	const struct ob_card *c = ctx;

	switch (kind) {
	case OB_TRACE_ENI:
		return names_get(&c->enis, idx);
	case OB_TRACE_VNET:
		return names_get(&c->vnets, idx);
	case OB_TRACE_TUNNEL:
		return names_get(&c->tunnels, idx);
	case OB_TRACE_GROUP:
		return names_get(&c->sgs, idx);
	case OB_TRACE_POOL:
		return names_get(&c->pools, idx);
	case OB_TRACE_FUNCTION:
		for (uint32_t fn = 0; (fn = names_next(&c->functions, fn)) != NAMES_NONE; fn++)
			if (card_fn_vif(c, fn) == idx)
				return names_get(&c->functions, fn);
		return NULL;
	}
	return NULL;
}

static int convert(
    struct ob_card *c, const struct ob_bus_trace *r, struct ob_trace_req *q, struct text *t)
{
	uint32_t eni, tunnel = UINT32_MAX;
	int rc = lookup(t, &c->enis, "eni", "eni", r->eni, &eni);

	if (rc < 0 || (rc = check_ip(t, "source", &r->src, IP_HOST, &q->src, NULL)) < 0 ||
	    (rc = check_ip(t, "destination", &r->dst, IP_HOST, &q->dst, NULL)) < 0)
		return rc;
	if (r->tunnel[0] != '\0' &&
	    (rc = lookup(t, &c->tunnels, "tunnel", "tunnel", r->tunnel, &tunnel)) < 0)
		return rc;
	if (r->from_wire > 1 || r->may_cut > 1 || r->has_vni > 1)
		return fail(t, -EINVAL, "from_wire, may_cut and has_vni are 0 or 1");
	if (r->vni > 0xffffff)
		return fail(t, -EINVAL, "vni %u has more than 24 bits", r->vni);
	if (!r->from_wire && (r->has_vni || tunnel != UINT32_MAX))
		return fail(t, -EINVAL, "what a guest sends comes by no tunnel");
	q->from_guest = !r->from_wire;
	q->eni = (uint16_t)eni;
	q->proto = r->proto;
	q->ttl = r->ttl;
	q->tcp_flags = r->tcp_flags;
	q->no_df = r->may_cut == 1;
	q->sport = r->sport;
	q->dport = r->dport;
	q->len = r->len;
	memcpy(q->smac, r->smac, 6);
	memcpy(q->dmac, r->dmac, 6);
	q->vni = r->has_vni ? r->vni : UINT32_MAX;
	q->tunnel = tunnel;
	return 0;
}

/* The trace itself: its steps are then listed. */
static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_trace *r = f;
	const struct ob_trace_names names = {.get = name_of, .ctx = c};
	struct ob_trace_req q = {0};
	int rc = convert(c, r, &q, t);

	if (rc < 0)
		return rc;
	if (ob_workers_count() == 0)
		return fail(t, -ENODEV, "the card has no workers");
	if (c->traced == NULL)
		c->traced = calloc(1, sizeof(*c->traced));
	if (c->traced == NULL)
		return -ENOMEM;
	c->traced->asked = *r;
	return ob_trace(&q, &names, &c->traced->trace, t->s, sizeof(t->s));
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_trace *asked = f;
	struct ob_bus_trace *r = rec;
	const struct ob_trace_step *s;
	const struct ob_trace *t;

	/* Another packet was traced since; but the answer to one fits a packet of the bus. */
	if (c->traced == NULL || memcmp(&c->traced->asked, asked, sizeof(*asked)) != 0)
		return -ENOENT;
	t = &c->traced->trace;
	if (*cursor >= t->n)
		return -ENOENT;
	s = &t->step[(*cursor)++];
	*r = *asked;
	r->step = (uint16_t)*cursor;
	r->n_steps = (uint16_t)t->n;
	r->verdict = t->verdict;
	memcpy(r->stage, s->stage, sizeof(r->stage));
	memcpy(r->result, s->result, sizeof(r->result));
	memcpy(r->text, s->text, sizeof(r->text));
	memset(r->reason, 0, sizeof(r->reason));
	if (t->verdict == OB_TRACE_DROPPED)
		snprintf(r->reason, sizeof(r->reason), "%s", ob_drop_name(t->reason));
	return 0;
}

static_assert(
    sizeof(((struct ob_bus_trace *)0)->text) == OB_TRACE_TEXT &&
	sizeof(((struct ob_bus_trace *)0)->stage) == sizeof(((struct ob_trace_step *)0)->stage) &&
	sizeof(((struct ob_bus_trace *)0)->result) == sizeof(((struct ob_trace_step *)0)->result) &&
	(int)OB_BUS_TRACE_UNKNOWN == (int)OB_TRACE_UNKNOWN,
    "the bus says what the dataplane means");

const struct noun noun_trace = {
    .name = "trace", .record_len = sizeof(struct ob_bus_trace), .filter = filter, .next = next};
