/* SPDX-License-Identifier: BSD-3-Clause */
/* Identify (NVMe 2.0, 5.17; NVM command set 1.0, 4.1.5): a table of what can be asked for. The controller's own structure is in
 * identify_ctrl.c. */
#include "nvme.h"

#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#define CSI_NVM 0

struct request {
	uint32_t nsid;
	uint16_t cntid;
	uint8_t csi;
};

typedef uint16_t (*fill_fn)(struct ob_nvme *c, const struct request *r, uint8_t *buf);

/* ---- namespaces ---- */

unsigned nvme_lbaf_list(const struct ob_nvme_ns *ns, uint8_t shift[NVME_N_LBAF])
{
	struct ob_blk_info info = {.block_bytes = 512};
	unsigned n = 0;

	if (ns != NULL)
		ob_blk_info(ob_nvme_ns_blk(ns), &info);
	if (info.block_bytes <= 512)
		shift[n++] = 9;
	shift[n++] = 12;
	return n;
}

static void fill_lbafs(const struct ob_nvme_ns *ns, uint32_t lba_bytes, struct nvme_id_ns *id)
{
	uint8_t shift[NVME_N_LBAF];
	unsigned n = nvme_lbaf_list(ns, shift);

	id->nlbaf = (uint8_t)(n - 1);
	for (unsigned i = 0; i < n; i++) {
		id->lbaf[i].ds = shift[i];
		/* Relative performance: of two, the larger has less to do for each byte. */
		id->lbaf[i].rp = shift[i] == 12 ? NVME_LBAF_RP_BEST : NVME_LBAF_RP_GOOD;
		if (1u << shift[i] == lba_bytes)
			id->flbas = (uint8_t)i;
	}
}

static uint8_t rescap(const struct ob_nvme_ns_info *i)
{
	return (uint8_t)((i->ptpl_capable ? NVME_NS_RESCAP_PTPL : 0) | NVME_NS_RESCAP_WE |
			 NVME_NS_RESCAP_EA | NVME_NS_RESCAP_WERO | NVME_NS_RESCAP_EARO |
			 NVME_NS_RESCAP_WEAR | NVME_NS_RESCAP_EAAR | NVME_NS_RESCAP_IEK_13);
}

/* 0's based count of blocks; 0 where nothing is preferred. */
static uint16_t blocks0(uint32_t bytes, uint32_t lba_bytes)
{
	uint32_t n = bytes / lba_bytes;

	return rte_cpu_to_le_16((uint16_t)(n == 0 ? 0 : n > 65536 ? 65535 : n - 1));
}

static void put128(uint8_t *to, uint64_t v)
{
	v = rte_cpu_to_le_64(v);
	memcpy(to, &v, sizeof(v));
}

static void fill_ns(const struct ob_nvme *c, const struct ob_nvme_ns *ns, struct nvme_id_ns *id)
{
	struct ob_nvme_ns_info i;

	ob_nvme_ns_info(ns, &i);
	id->nsze = id->ncap = id->nuse = rte_cpu_to_le_64(i.n_lbas);
	id->nsfeat = NVME_NS_FEAT_IO_OPT;
	fill_lbafs(ns, i.lba_bytes, id);
	id->nmic = c->multi ? 1 : 0;
	id->rescap = rescap(&i);
	id->fpi = 0;
	id->dlfeat = (uint8_t)((i.zero_on_discard ? 1 : 0) | (i.discard_bytes != 0 ? 8 : 0));
	put128(id->nvmcap, i.n_lbas * i.lba_bytes);
	id->npwg = id->npwa = blocks0(i.phys_bytes, i.lba_bytes);
	id->npdg = id->npda = blocks0(i.discard_bytes, i.lba_bytes);
	id->nows = blocks0(i.opt_io_bytes, i.lba_bytes);
	id->mssrl = rte_cpu_to_le_16(i.copy_range_lbas);
	id->mcl = rte_cpu_to_le_32(i.copy_lbas);
	id->msrc = (uint8_t)(i.copy_ranges != 0 ? i.copy_ranges - 1 : 0);
	id->anagrpid = rte_cpu_to_le_32(i.ana_group);
	id->nsattr = i.wp != OB_NVME_WP_NONE || i.read_only;
	memcpy(id->nguid, i.nguid, sizeof(id->nguid));
	memcpy(id->eui64, i.eui64, sizeof(id->eui64));
}

static uint16_t bad_nsid(struct ob_nvme *c)
{
	return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
}

static bool nsid_valid(uint32_t nsid)
{
	return nsid >= 1 && nsid <= OB_NVME_MAX_NS;
}

/* 00h: of an inactive namespace all zero. Broadcast: what is common to all. */
static uint16_t ns(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	struct nvme_id_ns *id = (struct nvme_id_ns *)(void *)buf;

	if (r->nsid == NVME_BROADCAST) {
		fill_lbafs(NULL, 512, id);
		id->nmic = c->multi ? 1 : 0;
		return 0;
	}
	if (!nsid_valid(r->nsid))
		return bad_nsid(c);
	if (nvme_ns_attached(c, r->nsid))
		fill_ns(c, nvme_ns(c, r->nsid), id);
	return 0;
}

/* 11h: the same of one that exists, attached or not. */
static uint16_t ns_allocated(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	if (!nsid_valid(r->nsid))
		return bad_nsid(c);
	if (nvme_ns(c, r->nsid) != NULL)
		fill_ns(c, nvme_ns(c, r->nsid), (struct nvme_id_ns *)(void *)buf);
	return 0;
}

static uint16_t ns_list(struct ob_nvme *c, const struct request *r, uint8_t *buf, bool attached)
{
	uint32_t n = 0, le;

	/* 5.17.2.3: nothing can come behind these. */
	if (r->nsid >= NVME_BROADCAST - 1)
		return bad_nsid(c);
	for (uint32_t nsid = r->nsid + 1; nsid <= OB_NVME_MAX_NS; nsid++) {
		if (attached ? !nvme_ns_attached(c, nsid) : nvme_ns(c, nsid) == NULL)
			continue;
		le = rte_cpu_to_le_32(nsid);
		memcpy(buf + 4 * n++, &le, sizeof(le));
	}
	return 0;
}

static uint16_t active_list(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	return ns_list(c, r, buf, true);
}

static uint16_t allocated_list(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	return ns_list(c, r, buf, false);
}

static uint8_t *descriptor(uint8_t *at, uint8_t type, const void *id, uint8_t len)
{
	at[0] = type;
	at[1] = len;
	memcpy(at + 4, id, len);
	return at + 4 + len;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* 03h: what identifies it. */
static uint16_t descriptors(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	static const uint8_t csi = CSI_NVM;
	struct ob_nvme_ns_info i;

	if (!nsid_valid(r->nsid))
		return bad_nsid(c);
	if (!nvme_ns_attached(c, r->nsid))
		return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	ob_nvme_ns_info(nvme_ns(c, r->nsid), &i);
	if (!is_zero(i.eui64, sizeof(i.eui64)))
		buf = descriptor(buf, NVME_NIDT_EUI64, i.eui64, sizeof(i.eui64));
	if (!is_zero(i.nguid, sizeof(i.nguid)))
		buf = descriptor(buf, NVME_NIDT_NGUID, i.nguid, sizeof(i.nguid));
	if (!is_zero(i.uuid, sizeof(i.uuid)))
		buf = descriptor(buf, NVME_NIDT_UUID, i.uuid, sizeof(i.uuid));
	descriptor(buf, NVME_NIDT_CSI, &csi, sizeof(csi));
	return 0;
}

/* 05h: no protection information and no storage tags, so all of it is zero. */
static uint16_t ns_csi(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	(void)buf;
	if (r->nsid != NVME_BROADCAST && !nsid_valid(r->nsid))
		return bad_nsid(c);
	return 0;
}

/* 08h: what does not depend on the command set. */
static uint16_t ns_independent(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	struct nvme_id_independent_id_ns *id = (struct nvme_id_independent_id_ns *)(void *)buf;
	struct ob_nvme_ns_info i;

	if (!nsid_valid(r->nsid))
		return bad_nsid(c);
	if (!nvme_ns_attached(c, r->nsid))
		return 0;
	ob_nvme_ns_info(nvme_ns(c, r->nsid), &i);
	id->nmic = c->multi ? 1 : 0;
	id->rescap = rescap(&i);
	id->anagrpid = rte_cpu_to_le_32(i.ana_group);
	id->nsattr = i.wp != OB_NVME_WP_NONE || i.read_only;
	id->nstat = 1; /* ready */
	return 0;
}

/* 16h: a namespace may have any number of blocks; 1 MiB is what the pool rounds to without loss. */
static uint16_t granularity(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	struct nvme_id_ns_granularity_list *l = (struct nvme_id_ns_granularity_list *)(void *)buf;

	(void)c;
	(void)r;
	l->entry[0].nszegran = l->entry[0].ncapgran = rte_cpu_to_le_64(1 << 20);
	return 0;
}

/* ---- controllers ---- */

static uint16_t ctrl(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	(void)r;
	nvme_id_ctrl_fill(c, (struct nvme_id_ctrl *)(void *)buf);
	return 0;
}

/* 06h: limits that MDTS does not give: none. */
static uint16_t ctrl_csi(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	(void)c;
	(void)r;
	(void)buf;
	return 0;
}

/* Controllers of the subsystem from 'r->cntid' on, in order; with 'nsid' only those it is attached to. */
static void ctrl_list(const struct ob_nvme *c, const struct request *r, uint32_t nsid, uint8_t *buf)
{
	struct nvme_ctrl_list *l = (struct nvme_ctrl_list *)(void *)buf;
	uint32_t from = r->cntid, n = 0;

	while (n < NVME_ID_CTRL_LIST_MAX) {
		uint32_t least = UINT32_MAX;

		for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
			if (nvme_same_subsys(o, c) && o->st->cntlid >= from &&
			    o->st->cntlid < least && (nsid == 0 || nvme_ns_attached(o, nsid)))
				least = o->st->cntlid;
		if (least == UINT32_MAX)
			break;
		l->identifier[n++] = rte_cpu_to_le_16((uint16_t)least);
		from = least + 1;
	}
	l->num = rte_cpu_to_le_16((uint16_t)n);
}

static uint16_t ns_ctrl_list(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	if (!nsid_valid(r->nsid))
		return bad_nsid(c);
	ctrl_list(c, r, r->nsid, buf);
	return 0;
}

static uint16_t subsys_ctrl_list(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	ctrl_list(c, r, 0, buf);
	return 0;
}

/* 1Ch: one combination, the NVM command set. */
static uint16_t command_sets(struct ob_nvme *c, const struct request *r, uint8_t *buf)
{
	if (r->cntid != 0xffff && r->cntid != c->st->cntlid)
		return nvme_bad(c, 10, 16, NVME_GEN(NVME_SC_INVALID_FIELD));
	buf[0] = 1 << CSI_NVM;
	return 0;
}

struct cns {
	fill_fn fill;
	bool csi; /* the command names a command set, which has to be NVM */
};

static const struct cns table[256] = {
    [NVME_IDENTIFY_CNS_NS] = {ns, false},
    [NVME_IDENTIFY_CNS_CTRL] = {ctrl, false},
    [NVME_IDENTIFY_CNS_NS_ACTIVE_LIST] = {active_list, false},
    [NVME_IDENTIFY_CNS_NS_DESC_LIST] = {descriptors, false},
    [NVME_IDENTIFY_CNS_CSI_NS] = {ns_csi, true},
    [NVME_IDENTIFY_CNS_CSI_CTRL] = {ctrl_csi, true},
    [NVME_IDENTIFY_CNS_CSI_NS_ACTIVE_LIST] = {active_list, true},
    [NVME_IDENTIFY_CNS_CSI_INDEPENDENT_ID_NS] = {ns_independent, false},
    [NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST] = {allocated_list, false},
    [NVME_IDENTIFY_CNS_ALLOCATED_NS] = {ns_allocated, false},
    [NVME_IDENTIFY_CNS_NS_CTRL_LIST] = {ns_ctrl_list, false},
    [NVME_IDENTIFY_CNS_CTRL_LIST] = {subsys_ctrl_list, false},
    [NVME_IDENTIFY_CNS_NS_GRANULARITY] = {granularity, false},
    [NVME_IDENTIFY_CNS_CSI_ALLOCATED_NS_LIST] = {allocated_list, true},
    [NVME_IDENTIFY_CNS_CSI_ID_NS_DATA_STRUCTURE] = {ns_csi, true},
    [NVME_IDENTIFY_CNS_COMMAND_SET_STRUCTURE] = {command_sets, false},
};

uint16_t nvme_identify(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	const struct cns *k = &table[e->cdw10 & 0xff];
	struct request r = {
	    .nsid = e->nsid,
	    .cntid = (uint16_t)(e->cdw10 >> 16),
	    .csi = (uint8_t)(e->cdw11 >> 24),
	};
	_Alignas(8) uint8_t buf[NVME_IDENTIFY_DATA_SIZE] = {0};
	uint16_t status;

	if (k->fill == NULL)
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (k->csi && r.csi != CSI_NVM)
		return nvme_bad(c, 11, 24, NVME_GEN(NVME_SC_INVALID_FIELD));
	status = k->fill(c, &r, buf);
	return status != 0 ? status : nvme_data_out(c, e, buf, sizeof(buf));
}
