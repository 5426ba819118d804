/* SPDX-License-Identifier: BSD-3-Clause */
/* Asynchronous events (NVMe 2.0, 5.2). An event is told once; others of its type wait until the host has read the log page that
 * it named. */
#include "nvme.h"

#include <string.h>

struct event_kind {
	uint8_t type, info, lid;
	uint32_t
	    config; /* bit of Asynchronous Event Configuration that lets it through; 0: always */
};

enum { TYPE_ERROR = 0, TYPE_HEALTH = 1, TYPE_NOTICE = 2, TYPE_NVM = 6 };

static const struct event_kind kinds[NVME_N_EV] = {
    [NVME_EV_DB_REGISTER] = {TYPE_ERROR, 0x00, NVME_LOG_LID_ERROR, 0},
    [NVME_EV_DB_VALUE] = {TYPE_ERROR, 0x01, NVME_LOG_LID_ERROR, 0},
    [NVME_EV_SMART_TEMP] = {TYPE_HEALTH, 0x01, NVME_LOG_LID_SMART, 1u << 1},
    [NVME_EV_SMART_READ_ONLY] = {TYPE_HEALTH, 0x00, NVME_LOG_LID_SMART, 1u << 3},
    [NVME_EV_NS_ATTR] = {TYPE_NOTICE, 0x00, NVME_LOG_LID_CHANGED_NS, 1u << 8},
    [NVME_EV_FW_START] = {TYPE_NOTICE, 0x01, NVME_LOG_LID_FW_SLOT, 1u << 9},
    [NVME_EV_ANA] = {TYPE_NOTICE, 0x03, NVME_LOG_LID_ANA, 1u << 11},
    [NVME_EV_RESV] = {TYPE_NVM, 0x00, NVME_LOG_LID_RESERVATION, 0},
};

void nvme_event(struct ob_nvme *c, enum nvme_ev ev)
{
	const struct event_kind *k = &kinds[ev];

	if (!nvme_ready(c))
		return;
	if (k->config != 0 && !(c->st->feat[NVME_F_ASYNC] & k->config))
		return;
	c->st->ev_pending |= 1u << ev;
	nvme_events_send(c);
}

void nvme_events_send(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;

	for (unsigned i = 0; i < NVME_N_EV && st->n_aer > 0; i++) {
		const struct event_kind *k = &kinds[i];

		if (!(st->ev_pending >> i & 1) || st->ev_masked[k->type] != 0)
			continue;
		/* With the queue full it keeps waiting; the head's next move comes back here. */
		if (c->n_done != 0 || ob_nvme_cq_room(&c->acq) == 0 || !nvme_may_dma(c))
			return;
		st->ev_pending &= ~(1u << i);
		st->ev_masked[k->type] = (uint8_t)(k->lid + 1u);
		st->n_events++;
		nvme_admin_complete(c, st->aer_cid[--st->n_aer], 0,
		    (uint32_t)(k->type | k->info << 8 | (uint32_t)k->lid << 16));
		if (!nvme_ready(c))
			return;
	}
}

void nvme_event_log_read(struct ob_nvme *c, uint8_t lid)
{
	struct nvme_state *st = c->st;

	for (unsigned t = 0; t < sizeof(st->ev_masked); t++)
		if (st->ev_masked[t] == lid + 1u)
			st->ev_masked[t] = 0;
	/* What the page just told need not be told again. */
	for (unsigned i = 0; i < NVME_N_EV; i++)
		if (kinds[i].lid == lid)
			st->ev_pending &= ~(1u << i);
	nvme_events_send(c);
}

uint16_t nvme_aer(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	struct nvme_state *st = c->st;

	if (st->n_aer == NVME_N_AER)
		return NVME_CMD(NVME_SC_ASYNC_LIMIT);
	/* Taken from the end, so the newest is answered first; a host cannot tell. */
	st->aer_cid[st->n_aer++] = e->cid;
	nvme_events_send(c);
	return NVME_LATER;
}

bool nvme_aer_has(const struct ob_nvme *c, uint16_t cid)
{
	for (unsigned i = 0; i < c->st->n_aer; i++)
		if (c->st->aer_cid[i] == cid)
			return true;
	return false;
}

bool nvme_aer_abort(struct ob_nvme *c, uint16_t cid)
{
	struct nvme_state *st = c->st;

	for (unsigned i = 0; i < st->n_aer; i++) {
		if (st->aer_cid[i] != cid)
			continue;
		st->n_aer--;
		memmove(
		    &st->aer_cid[i], &st->aer_cid[i + 1], (st->n_aer - i) * sizeof(st->aer_cid[0]));
		nvme_admin_complete(c, cid, NVME_SC_ABORT_REQ, 0);
		return true;
	}
	return false;
}

/* 5.2: outstanding requests are gone with a reset, without completions. */
void nvme_aer_reset(struct ob_nvme *c)
{
	c->st->n_aer = 0;
	c->st->ev_pending = 0;
	memset(c->st->ev_masked, 0, sizeof(c->st->ev_masked));
}
