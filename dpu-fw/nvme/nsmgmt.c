/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespace Management and Namespace Attachment (NVMe 2.0, 5.20 and 5.19). Volumes are the card's: it makes them by a hook. */
#include "nvme.h"

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "job.h"

#define SEL_MASK 0xfu

static void tell_card(struct ob_nvme *c, uint32_t nsid)
{
	const struct ob_nvme_hooks *h = c->conf.hooks;

	if (h != NULL && h->ns_changed != NULL)
		h->ns_changed(c->conf.hooks_ctx, nsid);
}

static void log_change(
    struct ob_nvme *c, const struct ob_nvme_sqe *e, uint32_t nsid, uint64_t blocks)
{
	struct nvme_change_ns_event ev = {
	    .nsmgt_cdw10 = rte_cpu_to_le_32(e->cdw10),
	    .nsze = rte_cpu_to_le_64(blocks),
	    .nscap = rte_cpu_to_le_64(blocks),
	    .nsid = rte_cpu_to_le_32(nsid),
	};

	nvme_pel_add(c, NVME_PEL_CHANGE_NS_EVENT, 1, &ev, sizeof(ev));
}

/* What the host asked for, in the order of the structure. Returns 0 or the status. */
static uint16_t check_create(
    struct ob_nvme *c, const struct ob_nvme_sqe *e, const struct nvme_id_ns *id)
{
	if (e->cdw11 >> 24 != 0) /* CSI: NVM */
		return nvme_bad(c, 11, 24, NVME_CMD(NVME_SC_IOCS_NOT_SUPPORTED));
	if (id->nsze == 0)
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	if (id->ncap != id->nsze) /* NSFEAT: no thin provisioning */
		return NVME_CMD(NVME_SC_THIN_PROV_NOT_SUPP);
	if ((id->flbas & 0xf) >= NVME_N_LBAF || (id->flbas & 0x70) != 0)
		return NVME_CMD(NVME_SC_INVALID_FORMAT);
	if (id->dps != 0)
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	if ((id->nmic & 1) && !c->multi)
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	if (rte_le_to_cpu_32(id->anagrpid) > OB_NVME_MAX_NS)
		return NVME_CMD(NVME_SC_ANA_GROUP_ID_INVALID);
	if (id->nvmsetid != 0 || id->endgid != 0)
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	return 0;
}

/* A namespace that the host makes belongs to all controllers of the subsystem, attached to none. */
static void put_everywhere(struct ob_nvme *c, uint32_t nsid, struct ob_nvme_ns *ns)
{
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (nvme_same_subsys(o, c))
			(void)nvme_ns_put_in(o, nsid, ns, true);
}

static uint16_t create(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	const struct ob_nvme_hooks *h = c->conf.hooks;
	struct nvme_id_ns id;
	struct ob_nvme_ns *ns;
	uint64_t blocks;
	uint32_t nsid;
	uint16_t status = nvme_data_in(c, e, &id, sizeof(id));
	int rc;

	if (status == 0)
		status = check_create(c, e, &id);
	if (status != 0)
		return status;
	nsid = nvme_ns_free_id(c);
	if (nsid == 0)
		return NVME_CMD(NVME_SC_NS_ID_UNAVAILABLE);
	if (h == NULL || h->ns_create == NULL)
		return NVME_CMD(NVME_SC_NS_INSUFFICIENT_CAP);
	blocks = rte_le_to_cpu_64(id.nsze);
	rc = h->ns_create(
	    c->conf.hooks_ctx, blocks, (id.flbas & 0xf) == 0 ? 512 : 4096, id.nmic & 1, &ns);
	switch (-rc) {
	case 0:
		break;
	case EINVAL:
		return NVME_GEN(NVME_SC_INVALID_FIELD);
	case EPERM:
		return NVME_GEN(NVME_SC_OP_DENIED);
	case ENOMEM:
		return NVME_SC_INTERNAL;
	default:
		return NVME_CMD(NVME_SC_NS_INSUFFICIENT_CAP);
	}
	put_everywhere(c, nsid, ns);
	ob_nvme_ns_put(ns);
	log_change(c, e, nsid, blocks);
	tell_card(c, nsid);
	c->result = nsid;
	return 0;
}

/* Takes it from every controller that has it; those where it was attached hear of it, but for the one that asked (figure 146). */
static void delete_everywhere(struct ob_nvme *c, uint32_t nsid, const struct ob_nvme_ns *ns)
{
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next) {
		bool had;

		if (nvme_ns(o, nsid) != ns)
			continue;
		had = nvme_ns_attached(o, nsid);
		nvme_ns_take_out(o, nsid);
		if (had && o != c)
			nvme_ns_tell_changed(o, nsid);
	}
}

static uint16_t delete_one(struct ob_nvme *c, const struct ob_nvme_sqe *e, uint32_t nsid)
{
	const struct ob_nvme_hooks *h = c->conf.hooks;
	struct ob_nvme_ns *ns = nvme_ns(c, nsid);
	int rc = -EPERM;

	if (!c->st->ns[nsid - 1].hosts_own)
		return NVME_GEN(NVME_SC_OP_DENIED);
	/* What works on the volume has to be over before the card takes it away. */
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next) {
		nvme_format_ns_gone(o, ns);
		nvme_selftest_ns_gone(o, ns);
	}
	if (nvme_jobs_on(ob_nvme_ns_blk(ns), true))
		return NVME_SC_FORMAT_IN_PROGRESS;
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (nvme_ns(o, nsid) == ns)
			(void)nvme_ns_attach(o, nsid, false);
	if (h != NULL && h->ns_delete != NULL)
		rc = h->ns_delete(c->conf.hooks_ctx, ns);
	if (rc != 0)
		return rc == -EPERM ? NVME_GEN(NVME_SC_OP_DENIED) : NVME_SC_INTERNAL;
	delete_everywhere(c, nsid, ns);
	log_change(c, e, nsid, 0);
	tell_card(c, nsid);
	return 0;
}

static uint16_t delete (struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t status = 0;

	if (e->nsid != NVME_BROADCAST)
		return nvme_ns(c, e->nsid) != NULL
			   ? delete_one(c, e, e->nsid)
			   : nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS && status == 0; nsid++)
		if (nvme_ns(c, nsid) != NULL && c->st->ns[nsid - 1].hosts_own)
			status = delete_one(c, e, nsid);
	return status;
}

uint16_t nvme_ns_mgmt(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	switch (e->cdw10 & SEL_MASK) {
	case NVME_NS_MGMT_SEL_CREATE:
		return create(c, e);
	case NVME_NS_MGMT_SEL_DELETE:
		return delete (c, e);
	default:
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	}
}

/* ---- attachment ---- */

static struct ob_nvme *by_cntlid(const struct ob_nvme *c, uint16_t id)
{
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (nvme_same_subsys(o, c) && o->st->cntlid == id)
			return o;
	return NULL;
}

/* The list is in ascending order and names controllers of this subsystem (5.19, figure 277). */
static uint16_t check_list(
    struct ob_nvme *c, const struct nvme_ctrl_list *l, uint32_t nsid, bool attach)
{
	unsigned n = rte_le_to_cpu_16(l->num);
	int last = -1;

	if (n == 0 || n > NVME_ID_CTRL_LIST_MAX)
		return NVME_CMD(NVME_SC_CTRL_LIST_INVALID);
	for (unsigned i = 0; i < n; i++) {
		uint16_t id = rte_le_to_cpu_16(l->identifier[i]);
		const struct ob_nvme *o = by_cntlid(c, id);

		if (id <= last || o == NULL)
			return NVME_CMD(NVME_SC_CTRL_LIST_INVALID);
		last = id;
		if (attach && nvme_ns_attached(o, nsid))
			return NVME_CMD(NVME_SC_NS_ALREADY_ATTACHED);
		if (!attach && !nvme_ns_attached(o, nsid))
			return NVME_CMD(NVME_SC_NS_NOT_ATTACHED);
	}
	/* Alone in its subsystem a controller's namespaces are private; there, one is all the list can have. */
	return 0;
}

uint16_t nvme_ns_attachment(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	unsigned sel = e->cdw10 & SEL_MASK;
	bool attach = sel == NVME_NS_ATTACH_SEL_CTRL_ATTACH;
	struct ob_nvme_ns *ns = nvme_ns(c, e->nsid);
	struct nvme_ctrl_list l;
	uint16_t status;

	if (sel > NVME_NS_ATTACH_SEL_CTRL_DEATTACH)
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (ns == NULL)
		return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	status = nvme_data_in(c, e, &l, sizeof(l));
	if (status == 0)
		status = check_list(c, &l, e->nsid, attach);
	if (status != 0)
		return status;
	for (unsigned i = 0; i < rte_le_to_cpu_16(l.num); i++) {
		struct ob_nvme *o = by_cntlid(c, rte_le_to_cpu_16(l.identifier[i]));

		/* It may be in the subsystem and not in this controller. */
		if (nvme_ns(o, e->nsid) == NULL)
			(void)nvme_ns_put_in(o, e->nsid, ns, c->st->ns[e->nsid - 1].hosts_own);
		if (nvme_ns_attach(o, e->nsid, attach) != 0)
			return NVME_SC_INTERNAL;
		nvme_ns_tell_changed(o, e->nsid);
	}
	tell_card(c, e->nsid);
	return 0;
}
