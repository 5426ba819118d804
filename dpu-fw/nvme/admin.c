/* SPDX-License-Identifier: BSD-3-Clause */
/* The admin queue: fetch, check, dispatch, complete (NVMe 2.0, chapter 5). On the main thread, some commands a turn. */
#include "nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#define TURN_MAX 16u /* commands before others get their turn */

enum who {
	ALWAYS,
	IF_UPDATE, /* the card takes firmware */
};

struct command {
	nvme_handler fn;
	enum who who;
};

/* What is not here gets Invalid Command Opcode: Directives, Virtualization Management, NVMe-MI, Security, Sanitize, Get LBA Status, ... */
static const struct command commands[256] = {
    [nvme_admin_delete_sq] = {nvme_delete_sq, ALWAYS},
    [nvme_admin_create_sq] = {nvme_create_sq, ALWAYS},
    [nvme_admin_get_log_page] = {nvme_get_log_page, ALWAYS},
    [nvme_admin_delete_cq] = {nvme_delete_cq, ALWAYS},
    [nvme_admin_create_cq] = {nvme_create_cq, ALWAYS},
    [nvme_admin_identify] = {nvme_identify, ALWAYS},
    [nvme_admin_abort_cmd] = {nvme_abort, ALWAYS},
    [nvme_admin_set_features] = {nvme_set_features, ALWAYS},
    [nvme_admin_get_features] = {nvme_get_features, ALWAYS},
    [nvme_admin_async_event] = {nvme_aer, ALWAYS},
    [nvme_admin_ns_mgmt] = {nvme_ns_mgmt, ALWAYS},
    [nvme_admin_fw_commit] = {nvme_fw_commit, IF_UPDATE},
    [nvme_admin_fw_download] = {nvme_fw_download, IF_UPDATE},
    [nvme_admin_dev_self_test] = {nvme_self_test, ALWAYS},
    [nvme_admin_ns_attach] = {nvme_ns_attachment, ALWAYS},
    [nvme_admin_keep_alive] = {nvme_keep_alive, ALWAYS},
    [nvme_admin_dbbuf] = {nvme_dbbuf, ALWAYS},
    [nvme_admin_format_nvm] = {nvme_format, ALWAYS},
};

bool nvme_admin_supports(const struct ob_nvme *c, uint8_t opcode)
{
	const struct command *k = &commands[opcode];

	if (k->fn == NULL)
		return false;
	return k->who == ALWAYS || (c->conf.hooks != NULL && c->conf.hooks->update != NULL);
}

uint16_t nvme_bad(struct ob_nvme *c, unsigned dword, unsigned bit, uint16_t status)
{
	unsigned at = dword * 4 + bit / 8;

	c->loc = (uint16_t)(at | (bit % 8) << 8);
	return status;
}

/* ---- payload ---- */

static struct ob_nvme_walk walk_of(const struct ob_nvme *c, bool to_host)
{
	return (struct ob_nvme_walk){
	    .page_shift = NVME_CC_MPS(c->st->cc) + 12u,
	    .to_host = to_host,
	};
}

uint16_t nvme_data_in(struct ob_nvme *c, const struct ob_nvme_sqe *e, void *buf, size_t len)
{
	struct ob_nvme_walk w = walk_of(c, false);

	return ob_nvme_data_in(ob_gmem_map_get(c->gm), &w, e, buf, (uint32_t)len);
}

uint16_t nvme_data_out(struct ob_nvme *c, const struct ob_nvme_sqe *e, const void *buf, size_t len)
{
	struct ob_nvme_walk w = walk_of(c, true);

	return ob_nvme_data_out(ob_gmem_map_get(c->gm), &w, e, buf, (uint32_t)len);
}

/* ---- completions ---- */

static void remember(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;

	st->sq_head = c->asq.head;
	st->cq_head = c->acq.head;
	st->cq_tail = c->acq.tail;
	st->cq_phase = c->acq.phase;
}

/* Returns false: no room now, it waits. */
static bool post(struct ob_nvme *c, uint16_t cid, uint16_t status, uint32_t dw0)
{
	int rc =
	    ob_nvme_cq_post(&c->acq, ob_gmem_map_get(c->gm), dw0, 0, c->asq.head, 0, cid, status);

	if (rc == 0) {
		remember(c);
		nvme_admin_irq(c);
		return true;
	}
	if (rc != -ENOSPC)
		nvme_fatal(c, "the admin completion queue is not in its memory");
	return false;
}

void nvme_admin_complete(struct ob_nvme *c, uint16_t cid, uint16_t status, uint32_t dw0)
{
	if (!nvme_ready(c))
		return;
	if (c->n_done == 0 && nvme_may_dma(c) && post(c, cid, status, dw0))
		return;
	if (nvme_ready(c) && c->n_done < NVME_DONE_MAX)
		c->done[c->n_done++] = (struct nvme_done){dw0, cid, status};
}

static void flush_done(struct ob_nvme *c)
{
	unsigned n = 0;

	while (n < c->n_done && post(c, c->done[n].cid, c->done[n].status, c->done[n].dw0))
		n++;
	if (!nvme_ready(c))
		return; /* it was reset: nothing is left */
	c->n_done -= n;
	memmove(c->done, c->done + n, c->n_done * sizeof(c->done[0]));
}

/* ---- commands ---- */

static bool cid_taken(const struct ob_nvme *c, uint16_t cid)
{
	for (unsigned i = 0; i < c->n_done; i++)
		if (c->done[i].cid == cid)
			return true;
	return nvme_aer_has(c, cid) || nvme_format_has(c, cid);
}

static uint16_t run(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	if (cid_taken(c, e->cid))
		return nvme_bad(c, 0, 16, NVME_GEN(NVME_SC_CMDID_CONFLICT));
	if (!nvme_admin_supports(c, e->opcode))
		return nvme_bad(c, 0, 0, NVME_GEN(NVME_SC_INVALID_OPCODE));
	if (OB_NVME_FUSE(e) != 0)
		return nvme_bad(c, 0, 8, NVME_GEN(NVME_SC_INVALID_FIELD));
	/* PCIe transport 1.0: admin commands use PRPs. */
	if (OB_NVME_PSDT(e) != 0)
		return nvme_bad(c, 0, 14, NVME_GEN(NVME_SC_INVALID_FIELD));
	return commands[e->opcode].fn(c, e);
}

static void one(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t status;

	c->loc = 0xffff;
	c->result = 0;
	c->st->n_admin++;
	status = run(c, e);
	if (status == NVME_LATER)
		return;
	if (status != 0) {
		struct nvme_error err = {
		    .cid = e->cid,
		    .status = status,
		    .nsid = e->nsid,
		    .loc = c->loc,
		};

		c->st->n_admin_err++;
		nvme_error_add(c, &err);
		status |= NVME_SC_MORE;
	}
	nvme_admin_complete(c, e->cid, status, c->result);
}

void nvme_admin_run(struct ob_nvme *c)
{
	struct ob_nvme_sqe e;
	unsigned n = 0;
	int rc;

	/* A handler may come back here (an event that finds room). */
	if (c->running || !nvme_may_dma(c))
		return;
	c->running = true;
	flush_done(c);
	nvme_events_send(c);
	while (nvme_ready(c) && c->n_done == 0 && ob_nvme_cq_room(&c->acq) > 0) {
		if (n++ == TURN_MAX) {
			event_active(c->admin_again, EV_TIMEOUT, 0);
			break;
		}
		rc = ob_nvme_sq_fetch(&c->asq, ob_gmem_map_get(c->gm), c->st->sq_tail, &e, 1);
		if (rc < 0)
			nvme_fatal(c, "the admin submission queue is not in its memory");
		if (rc <= 0)
			break;
		c->st->sq_head = c->asq.head;
		one(c, &e);
	}
	if (ob_gmem_is_poisoned(c->gm))
		nvme_fatal(c, "pages of its memory went away");
	c->running = false;
}

/* ---- life ---- */

int nvme_admin_start(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;
	int rc = ob_nvme_sq_init(&c->asq, c->gm, (ob_iova_t){st->asq}, NVME_AQA_ASQS(st->aqa) + 1u);

	if (rc != 0)
		return rc;
	rc = ob_nvme_cq_init(&c->acq, c->gm, (ob_iova_t){st->acq}, NVME_AQA_ACQS(st->aqa) + 1u);
	if (rc != 0)
		ob_nvme_sq_fini(&c->asq, c->gm);
	st->sq_tail = 0;
	remember(c);
	return rc;
}

void nvme_admin_reset(struct ob_nvme *c)
{
	event_del(c->admin_again);
	nvme_format_cancel(c);
	nvme_aer_reset(c);
	nvme_kato_stop(c);
	ob_nvme_sq_fini(&c->asq, c->gm);
	ob_nvme_cq_fini(&c->acq, c->gm);
	c->n_done = 0;
	c->checked = false;
	c->st->sq_tail = 0;
	nvme_doorbells_clear(c, 0, false);
	nvme_doorbells_clear(c, 0, true);
}

/* ---- small commands ---- */

/* 5.1. Admin commands are over before the next is taken, but for those that wait: an event request, or a format, which has begun. */
uint16_t nvme_abort(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t sqid = (uint16_t)e->cdw10, cid = (uint16_t)(e->cdw10 >> 16);
	bool done;

	if (sqid > c->conf.n_qpairs || (sqid != 0 && c->st->sq[sqid - 1].size == 0))
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	done = sqid == 0 ? nvme_aer_abort(c, cid) : ob_nvmeq_abort(c->q, sqid, cid);
	c->result = done ? 0 : 1;
	return 0;
}

uint16_t nvme_keep_alive(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	(void)e;
	nvme_kato_restart(c);
	return 0;
}
