/* SPDX-License-Identifier: BSD-3-Clause */
/* Format NVM (NVMe 2.0, 5.14; NVM command set 1.0, 4.1.2). I/O to the namespace ends with Format in Progress while its volume is erased on
 * the main thread's event loop; the command completes when all of it is done. */
#include "nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <rte_byteorder.h>

#include "job.h"

#define ERASE_BYTES (256ull << 20) /* a step; where zeroes have to be written it is a smaller one */
#define WRITE_BYTES (8ull << 20)

enum ses { SES_NONE, SES_USER_DATA, SES_CRYPTO };

struct nvme_format {
	struct ob_nvme *c;
	struct nvme_job *job;
	struct ob_nvme_ns *ns; /* a reference, while it is formatted */
	uint64_t off, bytes;
	uint32_t nsid, last; /* numbers still to do: (nsid, last] */
	uint32_t cdw10;
	uint16_t cid;
	uint16_t status; /* of the first that failed */
	enum ses ses;
	bool flushing;
};

static void step(struct nvme_format *f);
static void next_ns(struct nvme_format *f);
static uint16_t check_ns(struct ob_nvme *c, uint32_t nsid, uint32_t cdw10);

static void drain_everywhere(const struct nvme_format *f)
{
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++)
			if (nvme_ns(o, nsid) == f->ns && nvme_ns_attached(o, nsid))
				ob_nvmeq_drain(o->q, nsid);
}

static void open_gate(void *arg)
{
	ob_nvme_ns_set_formatting(arg, false);
	ob_nvme_ns_put(arg);
}

/* A step that was cancelled may still erase: the namespace stays shut until it is over, or it would erase what hosts write next. */
static void leave(struct nvme_format *f)
{
	nvme_job_close_then(f->job, NULL, f->ns != NULL ? open_gate : NULL, f->ns);
	f->job = NULL;
	f->ns = NULL;
}

static void log_end(struct nvme_format *f, uint16_t status)
{
	struct nvme_format_nvm_compln_event ev = {
	    .nsid = rte_cpu_to_le_32(f->nsid),
	    .format_nvm_status = status != 0,
	    .status_field = rte_cpu_to_le_32((uint32_t)status << 1),
	};

	nvme_pel_add(f->c, NVME_PEL_FORMAT_COMPLETION_EVENT, 1, &ev, sizeof(ev));
}

static void ns_over(struct nvme_format *f, uint16_t status)
{
	const struct ob_nvme_hooks *h = f->c->conf.hooks;
	uint8_t shift[NVME_N_LBAF];

	(void)nvme_lbaf_list(f->ns, shift);
	if (status == 0 && ob_nvme_ns_set_lba_bytes(f->ns, 1u << shift[f->cdw10 & 0xf]) != 0)
		status = NVME_CMD(NVME_SC_INVALID_FORMAT);
	if (f->status == 0)
		f->status = status;
	log_end(f, status);
	/* The other controllers' hosts; the one that asked knows (figure 146). */
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (o != f->c && nvme_ns(o, f->nsid) == f->ns && nvme_ns_attached(o, f->nsid))
			nvme_ns_tell_changed(o, f->nsid);
	if (h != NULL && h->ns_changed != NULL)
		h->ns_changed(f->c->conf.hooks_ctx, f->nsid);
	leave(f);
	next_ns(f);
}

static void stepped(void *arg, int result)
{
	struct nvme_format *f = arg;

	/* A volume that cannot discard keeps its data, which no secure erase was asked to destroy. */
	if (result == -EOPNOTSUPP && f->ses == SES_NONE)
		result = 0;
	if (result != 0) {
		ns_over(f, result == -EROFS ? NVME_GEN(NVME_SC_NS_WRITE_PROTECTED)
					    : NVME_MEDIA(NVME_SC_WRITE_FAULT));
		return;
	}
	step(f);
}

static void step(struct nvme_format *f)
{
	struct ob_blk_info info;
	uint64_t len;

	if (f->off == f->bytes) {
		if (f->flushing) {
			ns_over(f, 0);
			return;
		}
		f->flushing = true;
		nvme_job_io(f->job, OB_BLK_FLUSH, 0, 0, 0, NULL, stepped, f);
		return;
	}
	ob_blk_info(ob_nvme_ns_blk(f->ns), &info);
	len = f->ses == SES_NONE || info.write_zeroes ? ERASE_BYTES : WRITE_BYTES;
	if (len > f->bytes - f->off)
		len = f->bytes - f->off;
	f->off += len;
	if (f->ses == SES_NONE)
		nvme_job_io(f->job, OB_BLK_DISCARD, 0, f->off - len, len, NULL, stepped, f);
	else
		nvme_job_io(f->job, OB_BLK_WRITE_ZEROES, OB_BLK_MAY_UNMAP, f->off - len, len, NULL,
		    stepped, f);
}

static uint16_t crypto_erase(struct nvme_format *f)
{
	const struct ob_nvme_hooks *h = f->c->conf.hooks;
	int rc = -ENOTSUP;

	if (h != NULL && h->crypto_erase != NULL)
		rc = h->crypto_erase(f->c->conf.hooks_ctx, f->ns);
	if (rc == -ENOTSUP)
		return nvme_bad(f->c, 10, 9, NVME_GEN(NVME_SC_INVALID_FIELD));
	return rc == 0 ? 0 : NVME_SC_INTERNAL;
}

/* A volume is formatted by one controller at a time, and not before the last step of a format that was given up. */
static bool others_format(const struct ob_nvme *c, const struct ob_nvme_ns *ns)
{
	if (nvme_jobs_on(ob_nvme_ns_blk(ns), true))
		return true;
	for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (o != c && o->format != NULL && o->format->ns == ns)
			return true;
	return false;
}

static void begin_ns(struct nvme_format *f)
{
	struct nvme_format_nvm_start_event ev = {
	    .nsid = rte_cpu_to_le_32(f->nsid),
	    .format_nvm_cdw10 = rte_cpu_to_le_32(f->cdw10),
	};
	struct ob_blk_info info;
	uint16_t status;

	/* What was checked for all of them at the beginning may have changed since (broadcast). */
	status = check_ns(f->c, f->nsid, f->cdw10);
	if (status != 0) {
		f->status = status;
		next_ns(f);
		return;
	}
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		nvme_selftest_formatted(o, nvme_ns(f->c, f->nsid));
	/* A read that is still at the medium would meet the new key. */
	if (f->ses == SES_CRYPTO && nvme_jobs_on(ob_nvme_ns_blk(nvme_ns(f->c, f->nsid)), false)) {
		f->status = NVME_SC_FORMAT_IN_PROGRESS;
		next_ns(f);
		return;
	}
	nvme_pel_add(f->c, NVME_PEL_FORMAT_START_EVENT, 1, &ev, sizeof(ev));
	f->ns = ob_nvme_ns_get(nvme_ns(f->c, f->nsid));
	ob_nvme_ns_set_formatting(f->ns, true);
	drain_everywhere(f);
	ob_blk_info(ob_nvme_ns_blk(f->ns), &info);
	f->off = 0;
	f->bytes = info.bytes;
	f->flushing = false;
	if (f->ses == SES_CRYPTO) {
		status = crypto_erase(f);
		ns_over(f, status);
		return;
	}
	if (f->ses == SES_NONE && info.discard_bytes == 0)
		f->off = f->bytes;
	if (nvme_job_open(f->c->conf.base, ob_nvme_ns_blk(f->ns), &f->job) != 0) {
		ns_over(f, NVME_SC_INTERNAL);
		return;
	}
	step(f);
}

static void next_ns(struct nvme_format *f)
{
	struct ob_nvme *c = f->c;
	uint16_t cid = f->cid, status;

	while (f->nsid < f->last && f->status == 0) {
		f->nsid++;
		if (!nvme_ns_attached(c, f->nsid))
			continue;
		begin_ns(f); /* comes back here */
		return;
	}
	status = f->status;
	c->format = NULL;
	free(f);
	if (status != 0) {
		c->st->n_admin_err++;
		nvme_error_add(
		    c, &(struct nvme_error){.cid = cid, .status = status, .loc = 0xffff});
		status |= NVME_SC_MORE;
	}
	nvme_admin_complete(c, cid, status, 0);
	/* Not now: who takes a namespace out is halfway. */
	event_active(c->admin_again, EV_TIMEOUT, 0);
}

/* May this namespace be formatted so? Returns 0 or the status. */
static uint16_t check_ns(struct ob_nvme *c, uint32_t nsid, uint32_t cdw10)
{
	struct ob_nvme_ns_info i;
	uint8_t shift[NVME_N_LBAF];
	struct ob_nvme_ns *ns = nvme_ns(c, nsid);

	ob_nvme_ns_info(ns, &i);
	if ((cdw10 & 0xf) >= nvme_lbaf_list(ns, shift))
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_INVALID_FORMAT));
	if (i.wp != OB_NVME_WP_NONE || i.read_only)
		return NVME_GEN(NVME_SC_NS_WRITE_PROTECTED);
	if (others_format(c, ns))
		return NVME_SC_FORMAT_IN_PROGRESS;
	return ob_nvmeq_may_format(c->q, nsid);
}

static uint16_t check(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t status = 0;

	if ((e->cdw10 >> 12 & 3) != 0) /* LBAFU: 64 formats are not offered */
		return nvme_bad(c, 10, 12, NVME_CMD(NVME_SC_INVALID_FORMAT));
	if ((e->cdw10 & 0x1f0) != 0) /* no metadata, no protection information */
		return nvme_bad(c, 10, 4, NVME_CMD(NVME_SC_INVALID_FORMAT));
	if ((e->cdw10 & 0xf) >= NVME_N_LBAF)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_INVALID_FORMAT));
	if ((e->cdw10 >> 9 & 7) > SES_CRYPTO)
		return nvme_bad(c, 10, 9, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (e->nsid != NVME_BROADCAST)
		return nvme_ns_attached(c, e->nsid)
			   ? check_ns(c, e->nsid, e->cdw10)
			   : nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS && status == 0; nsid++)
		if (nvme_ns_attached(c, nsid))
			status = check_ns(c, nsid, e->cdw10);
	return status;
}

uint16_t nvme_format(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	bool all = e->nsid == NVME_BROADCAST;
	struct nvme_format *f;
	uint16_t status = check(c, e);

	if (status != 0)
		return status;
	if (c->format != NULL)
		return NVME_SC_FORMAT_IN_PROGRESS;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NVME_SC_INTERNAL;
	nvme_selftest_cancel(c, NVME_ST_RESULT_ABORTED_FORMAT);
	f->c = c;
	f->cid = e->cid;
	f->cdw10 = e->cdw10;
	f->ses = e->cdw10 >> 9 & 7;
	f->nsid = all ? 0 : e->nsid - 1;
	f->last = all ? OB_NVME_MAX_NS : e->nsid;
	c->format = f;
	next_ns(f);
	return NVME_LATER;
}

/* The host reset the controller, or the namespace goes away: what was erased stays so, the format stays the old one. */
void nvme_format_cancel(struct ob_nvme *c)
{
	if (c->format == NULL)
		return;
	leave(c->format);
	free(c->format);
	c->format = NULL;
}

void nvme_format_ns_gone(struct ob_nvme *c, const struct ob_nvme_ns *ns)
{
	struct nvme_format *f = c->format;

	if (f != NULL && f->ns == ns)
		ns_over(f, NVME_GEN(NVME_SC_INVALID_NS));
}

bool nvme_format_has(const struct ob_nvme *c, uint16_t cid)
{
	return c->format != NULL && c->format->cid == cid;
}
