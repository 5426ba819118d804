/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller's registers (NVMe 2.0, 3.1.3), without PCI.
 *
 * A host may access them with any size, at any offset, in any order. An access is taken apart into the registers it touches; a
 * write that covers part of a register changes that part of its value. What makes no sense in the present state is ignored.
 */
#include "nvme.h"

#include <stdio.h>
#include <string.h>

#define READY_500MS \
	20u /* CAP.TO, CRTO: the most that enabling takes; it is done before the write returns */
#define NSSR_RESET     0x4e564d65u /* "NVMe" */
#define CSTS_RDY       1u
#define CSTS_CFS       2u
#define CSTS_SHST      (3u << NVME_CSTS_SHST_SHIFT)
#define CSTS_SHST_DONE ((uint32_t)NVME_CSTS_SHST_CMPLT << NVME_CSTS_SHST_SHIFT)
#define CSTS_NSSRO     (1u << NVME_CSTS_NSSRO_SHIFT)
#define CC_WRITABLE \
	0x00fffff1u /* CRIME reads 0: there is no "ready independent of media" (CAP.CRMS) */
#define CC_FIXED 0x00003ff0u /* CSS, MPS, AMS: not while enabled */

struct reg {
	uint16_t off, width;
	uint64_t (*get)(struct ob_nvme *c);
	void (*set)(struct ob_nvme *c, uint64_t v); /* NULL: read-only */
};

uint64_t nvme_cap(const struct ob_nvme *c)
{
	return (uint64_t)(c->conf.queue_entries - 1u) << NVME_CAP_MQES_SHIFT |
	       1ull << NVME_CAP_CQR_SHIFT | (uint64_t)READY_500MS << NVME_CAP_TO_SHIFT |
	       1ull << NVME_CAP_NSSRC_SHIFT |
	       (uint64_t)(NVME_CAP_CSS_NVM | NVME_CAP_CSS_CSI) << NVME_CAP_CSS_SHIFT |
	       (uint64_t)NVME_MPS_MAX << NVME_CAP_MPSMAX_SHIFT |
	       (uint64_t)NVME_CAP_CRWMS << NVME_CAP_CRMS_SHIFT;
}

/* ---- reset ---- */

/* What every controller level reset does (3.7.2). */
static void stop(struct ob_nvme *c)
{
	nvme_shutdown_cancel(c);
	nvme_queues_reset(c);
	nvme_admin_reset(c);
	nvme_irq_reset(c);
}

static void controller_reset(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;

	stop(c);
	nvme_selftest_cancel(c, NVME_ST_RESULT_CLR);
	st->csts &= CSTS_NSSRO;
	st->reset_ms = nvme_now_ms();
	st->fatal = 0;
	st->intms = 0;
	ob_gmem_heal(c->gm);
	nvme_features_reset(c);
	nvme_pel_reset(c);
	nvme_fw_activate(c);
	st->n_resets++;
}

void nvme_function_reset(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;
	bool unsafe = nvme_ready(c) && (st->csts & CSTS_SHST) != CSTS_SHST_DONE;

	st->n_unsafe_shutdowns += unsafe;
	controller_reset(c);
	st->cc = 0;
	st->csts = 0;
	st->aqa = 0;
	st->asq = st->acq = 0;
}

/* All of the subsystem's controllers, this one too (3.7.1). */
static void subsystem_reset(struct ob_nvme *c)
{
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next) {
		if (!nvme_same_subsys(o, c))
			continue;
		nvme_function_reset(o);
		o->st->csts |= CSTS_NSSRO;
	}
}

void nvme_fatal(struct ob_nvme *c, const char *why)
{
	struct nvme_state *st = c->st;

	/* What was under way when the host reset it may be told late. */
	if (st->fatal || !NVME_CC_EN(st->cc))
		return;
	st->fatal = 1;
	st->csts |= CSTS_CFS;
	st->n_fatal++;
	snprintf(c->fatal_why, sizeof(c->fatal_why), "%s", why);
	if (nvme_may_log(c))
		nvme_log(WARNING, c, "stopped until the host resets it (CSTS.CFS): %s", why);
	stop(c);
}

/* ---- CC ---- */

static const char *enable_error(const struct ob_nvme *c, uint32_t cc)
{
	const struct nvme_state *st = c->st;
	uint32_t mps = NVME_CC_MPS(cc);
	uint64_t page_mask;

	if (NVME_CC_CSS(cc) != NVME_CC_CSS_NVM && NVME_CC_CSS(cc) != NVME_CC_CSS_CSI)
		return "CC.CSS selects no command set that it has";
	if (mps > NVME_MPS_MAX)
		return "CC.MPS is over CAP.MPSMAX";
	if (NVME_CC_AMS(cc) != NVME_CC_AMS_RR)
		return "CC.AMS is not round robin";
	if (NVME_AQA_ASQS(st->aqa) == 0 || NVME_AQA_ACQS(st->aqa) == 0)
		return "AQA: an admin queue has less than two entries";
	page_mask = ((uint64_t)NVME_PAGE << mps) - 1;
	if (((st->asq | st->acq) & page_mask) != 0)
		return "ASQ or ACQ does not begin at a page";
	return NULL;
}

static void enable(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;
	const char *why = enable_error(c, st->cc);
	int rc;

	nvme_shutdown_cancel(c); /* that of the disabled controller */
	st->csts &= ~CSTS_SHST;
	st->n_enables++;
	if (why != NULL) {
		nvme_fatal(c, why);
		return;
	}
	rc = nvme_admin_start(c);
	if (rc == 0)
		rc = ob_nvmeq_enable(c->q, NVME_CC_MPS(st->cc) + 12u);
	if (rc != 0) {
		nvme_fatal(c, "its queues do not start");
		return;
	}
	st->csts |= CSTS_RDY;
	nvme_kato_restart(c);
}

static uint64_t get_cc(struct ob_nvme *c)
{
	return c->st->cc;
}

static void set_cc(struct ob_nvme *c, uint64_t v)
{
	struct nvme_state *st = c->st;
	uint32_t old = st->cc, cc = (uint32_t)v & CC_WRITABLE;
	bool was = NVME_CC_EN(old), on = NVME_CC_EN(cc);

	if (was && on)
		cc = (cc & ~CC_FIXED) | (old & CC_FIXED);
	st->cc = cc;
	if (was && !on)
		controller_reset(c);
	if (!was && on)
		enable(c);
	/* 3.6.1: a shutdown may be asked for whether it is enabled or not, once until the next reset. */
	if (NVME_CC_SHN(cc) != NVME_CC_SHN_NONE && NVME_CC_SHN(cc) != 3 &&
	    NVME_CC_SHN(old) != NVME_CC_SHN(cc) && (st->csts & CSTS_SHST) == 0)
		nvme_shutdown(c);
}

/* ---- the others ---- */

static uint64_t get_cap(struct ob_nvme *c)
{
	return nvme_cap(c);
}

static uint64_t get_vs(struct ob_nvme *c)
{
	(void)c;
	return NVME_VER;
}

static uint64_t get_intms(struct ob_nvme *c)
{
	return c->st->intms;
}

static void set_intms(struct ob_nvme *c, uint64_t v)
{
	c->st->intms |= (uint32_t)v;
	nvme_irq_mask_changed(c);
}

static void set_intmc(struct ob_nvme *c, uint64_t v)
{
	c->st->intms &= ~(uint32_t)v;
	nvme_irq_mask_changed(c);
}

static uint64_t get_csts(struct ob_nvme *c)
{
	return c->st->csts;
}

/* NSSRO is cleared by writing 1; nothing else can be written. */
static void set_csts(struct ob_nvme *c, uint64_t v)
{
	c->st->csts &= ~((uint32_t)v & CSTS_NSSRO);
}

static uint64_t get_zero(struct ob_nvme *c)
{
	(void)c;
	return 0;
}

static void set_nssr(struct ob_nvme *c, uint64_t v)
{
	if (v == NSSR_RESET)
		subsystem_reset(c);
}

static uint64_t get_aqa(struct ob_nvme *c)
{
	return c->st->aqa;
}

static void set_aqa(struct ob_nvme *c, uint64_t v)
{
	if (!NVME_CC_EN(c->st->cc))
		c->st->aqa = (uint32_t)v & 0x0fff0fffu;
}

static uint64_t get_asq(struct ob_nvme *c)
{
	return c->st->asq;
}

static void set_asq(struct ob_nvme *c, uint64_t v)
{
	if (!NVME_CC_EN(c->st->cc))
		c->st->asq = v & ~(uint64_t)(NVME_PAGE - 1);
}

static uint64_t get_acq(struct ob_nvme *c)
{
	return c->st->acq;
}

static void set_acq(struct ob_nvme *c, uint64_t v)
{
	if (!NVME_CC_EN(c->st->cc))
		c->st->acq = v & ~(uint64_t)(NVME_PAGE - 1);
}

static uint64_t get_crto(struct ob_nvme *c)
{
	(void)c;
	return READY_500MS;
}

static const struct reg regs[] = {
    {NVME_REG_CAP, 8, get_cap, NULL},
    {NVME_REG_VS, 4, get_vs, NULL},
    {NVME_REG_INTMS, 4, get_intms, set_intms},
    {NVME_REG_INTMC, 4, get_intms, set_intmc},
    {NVME_REG_CC, 4, get_cc, set_cc},
    {NVME_REG_CSTS, 4, get_csts, set_csts},
    {NVME_REG_NSSR, 4, get_zero, set_nssr},
    {NVME_REG_AQA, 4, get_aqa, set_aqa},
    {NVME_REG_ASQ, 8, get_asq, set_asq},
    {NVME_REG_ACQ, 8, get_acq, set_acq},
    {NVME_REG_CRTO, 4, get_crto, NULL},
};

/* The bytes [*from, *to) of register 'r' that an access touches; false: none. */
static bool overlap(const struct reg *r, uint64_t off, size_t len, unsigned *from, unsigned *to)
{
	uint64_t end = off + len, r_end = (uint64_t)r->off + r->width;

	if (off >= r_end || end <= r->off)
		return false;
	*from = off > r->off ? (unsigned)(off - r->off) : 0;
	*to = end < r_end ? (unsigned)(end - r->off) : r->width;
	return true;
}

void nvme_regs_read(struct ob_nvme *c, uint64_t off, void *buf, size_t len)
{
	unsigned from, to;

	memset(buf, 0, len);
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		uint64_t v;

		if (!overlap(&regs[i], off, len, &from, &to))
			continue;
		v = regs[i].get(c);
		for (unsigned b = from; b < to; b++)
			((uint8_t *)buf)[regs[i].off + b - off] = (uint8_t)(v >> (8 * b));
	}
}

/* Bytes that are not written: as they are, or 0 where a 1 does something. */
static uint64_t merge_base(struct ob_nvme *c, const struct reg *r)
{
	if (r->off == NVME_REG_INTMS || r->off == NVME_REG_INTMC || r->off == NVME_REG_CSTS)
		return 0;
	return r->get(c);
}

void nvme_regs_write(struct ob_nvme *c, uint64_t off, const void *buf, size_t len)
{
	unsigned from, to;

	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		const struct reg *r = &regs[i];
		uint64_t v;

		if (!overlap(r, off, len, &from, &to) || r->set == NULL)
			continue;
		v = merge_base(c, r);
		for (unsigned b = from; b < to; b++) {
			v &= ~(UINT64_C(0xff) << (8 * b));
			v |= (uint64_t)((const uint8_t *)buf)[r->off + b - off] << (8 * b);
		}
		r->set(c, v);
	}
}

/* ---- doorbells (3.1.3, PCIe transport 1.0, 3.1.2) ---- */

void nvme_bad_doorbell(struct ob_nvme *c, unsigned qid, enum nvme_ev ev)
{
	c->st->n_bad_doorbells++;
	nvme_error_add(
	    c, &(struct nvme_error){.sqid = (uint16_t)qid, .cid = 0xffff, .loc = 0xffff});
	nvme_event(c, ev);
}

/* The first command lies there now: is that what we see? If not, the server says so, and why the guest hangs. */
static void check_shared(struct ob_nvme *c)
{
	if (c->checked || !nvme_may_dma(c))
		return;
	c->checked = true;
	(void)ob_vfu_check_shared(c->vfu, (ob_iova_t){c->st->asq}, OB_NVME_SQE_BYTES, NULL, NULL);
}

static void admin_doorbell(struct ob_nvme *c, bool is_cq, uint32_t value)
{
	struct nvme_state *st = c->st;

	if (is_cq ? !ob_nvme_cq_set_head(&c->acq, value) : value >= c->asq.size) {
		nvme_bad_doorbell(c, 0, NVME_EV_DB_VALUE);
		return;
	}
	if (is_cq)
		nvme_irq_answered(c, 0);
	else
		st->sq_tail = (uint16_t)value;
	check_shared(c);
	nvme_admin_run(c);
}

void nvme_doorbell(struct ob_nvme *c, uint64_t off, uint32_t value)
{
	unsigned idx = (unsigned)(off / 4), qid = idx / 2;
	bool is_cq = idx & 1;
	struct nvme_state *st = c->st;
	int rc;

	st->n_doorbells++;
	if (!nvme_ready(c) || (st->csts & CSTS_SHST) != 0) {
		st->n_bad_doorbells++;
		return;
	}
	if (qid == 0) {
		admin_doorbell(c, is_cq, value);
		return;
	}
	if (qid > c->conf.n_qpairs || (is_cq ? st->cq : st->sq)[qid - 1].size == 0) {
		nvme_bad_doorbell(c, qid, NVME_EV_DB_REGISTER);
		return;
	}
	rc = ob_nvmeq_doorbell(c->q, (uint16_t)qid, is_cq, value);
	if (rc != 0)
		nvme_bad_doorbell(c, qid, NVME_EV_DB_VALUE);
	else if (is_cq)
		nvme_irq_answered(c, st->cq[qid - 1].vector);
}
