/* SPDX-License-Identifier: BSD-3-Clause */
/* Doubly linked lists through the cold parts: the sessions of each ENI, and the slots of the timer wheel. A list's head is named by
 * ID_HEAD in its first member's prev, so that a member leaves its list without knowing which. */
#include "session_priv.h"

/* Heads hold the id plus one: 0 is empty. */
static inline uint32_t head_get(const uint32_t *heads, uint32_t i)
{
	return heads[i] - 1;
}
static inline void head_set(uint32_t *heads, uint32_t i, uint32_t id)
{
	set32(&heads[i], id + 1);
}

void session_list_add(struct ob_session_shard *s, unsigned list, uint32_t id)
{
	struct ob_session_cold *c = cold_of(s, id);
	uint32_t first = head_get(s->lists, list);

	c->eni_prev = ID_HEAD(list);
	c->eni_next = first;
	if (first != ID_NIL)
		cold_of(s, first)->eni_prev = id;
	head_set(s->lists, list, id);
}

void session_list_del(struct ob_session_shard *s, uint32_t id)
{
	const struct ob_session_cold *c = cold_of(s, id);

	if (c->eni_prev & 1)
		head_set(s->lists, c->eni_prev >> 1, c->eni_next);
	else
		cold_of(s, c->eni_prev)->eni_next = c->eni_next;
	if (c->eni_next != ID_NIL)
		cold_of(s, c->eni_next)->eni_prev = c->eni_prev;
}

/* All of list 'from' become list 'to', which is empty. */
void session_list_splice(struct ob_session_shard *s, unsigned to, unsigned from)
{
	uint32_t first = head_get(s->lists, from);

	if (first == ID_NIL)
		return;
	cold_of(s, first)->eni_prev = ID_HEAD(to);
	head_set(s->lists, to, first);
	head_set(s->lists, from, ID_NIL);
}

uint32_t session_list_first(const struct ob_session_shard *s, unsigned list)
{
	return head_get(s->lists, list);
}

/* ---- the wheel ---- */

static inline uint32_t chain_of(uint32_t tick, uint32_t id)
{
	return (tick % WHEEL_SLOTS) * WHEEL_LANES + rec_of(id) % WHEEL_LANES;
}

/* 'due' beyond the wheel's horizon: it is looked at then, and goes round again. */
void session_wheel_add(struct ob_session_shard *s, uint32_t id, uint32_t due)
{
	struct ob_session_cold *c = cold_of(s, id);
	uint32_t at = s->region->wheel_at, ahead = due - at, chain, first;

	if ((int32_t)ahead < 1)
		ahead = 1;
	if (ahead >= WHEEL_SLOTS)
		ahead = WHEEL_SLOTS - 1;
	chain = chain_of(at + ahead, id);
	first = head_get(s->wheel, chain);
	c->wheel_prev = ID_HEAD(chain);
	c->wheel_next = first;
	if (first != ID_NIL)
		cold_of(s, first)->wheel_prev = id;
	head_set(s->wheel, chain, id);
}

void session_wheel_del(struct ob_session_shard *s, uint32_t id)
{
	const struct ob_session_cold *c = cold_of(s, id);

	if (c->wheel_prev & 1)
		head_set(s->wheel, c->wheel_prev >> 1, c->wheel_next);
	else
		cold_of(s, c->wheel_prev)->wheel_next = c->wheel_next;
	if (c->wheel_next != ID_NIL)
		cold_of(s, c->wheel_next)->wheel_prev = c->wheel_prev;
}
