/* SPDX-License-Identifier: BSD-3-Clause */
/* The Identify Controller data structure (NVMe 2.0, figure 275). */
#include "nvme.h"

#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>

#define RTD3R_US   1000000u
#define RTD3E_US   10000000u /* a shutdown flushes: Linux takes this as its time-out */
#define WARN_K	   343u
#define CRITICAL_K 358u
#define ANA_STATES 0x1fu /* all five can be reported */
#define ANA_FIXED  0x40u /* a namespace keeps its group while attached */

/* ASCII, padded with blanks (1.5). */
static void put_text(char *to, size_t len, const char *from)
{
	size_t n = strlen(from);

	memset(to, ' ', len);
	memcpy(to, from, n < len ? n : len);
}

static unsigned log2_of(uint32_t v)
{
	return (unsigned)__builtin_ctz(v);
}

static void capacity(struct ob_nvme *c, struct nvme_id_ctrl *id)
{
	const struct ob_nvme_hooks *h = c->conf.hooks;
	uint64_t total = 0, unallocated = 0;

	if (h != NULL && h->capacity != NULL)
		h->capacity(c->conf.hooks_ctx, &total, &unallocated);
	total = rte_cpu_to_le_64(total);
	unallocated = rte_cpu_to_le_64(unallocated);
	memcpy(id->tnvmcap, &total, sizeof(total));
	memcpy(id->unvmcap, &unallocated, sizeof(unallocated));
}

/* What concerns the admin command set. */
static void admin_part(struct ob_nvme *c, struct nvme_id_ctrl *id)
{
	bool update = nvme_admin_supports(c, nvme_admin_fw_commit);

	id->oaes = rte_cpu_to_le_32(
	    NVME_CTRL_OAES_NA | NVME_CTRL_OAES_ANA | (update ? (uint32_t)NVME_CTRL_OAES_FA : 0));
	id->ctratt =
	    rte_cpu_to_le_32(NVME_CTRL_CTRATT_128_ID | NVME_CTRL_CTRATT_NAMESPACE_GRANULARITY);
	id->oacs = rte_cpu_to_le_16(
	    (uint16_t)(NVME_CTRL_OACS_FORMAT | NVME_CTRL_OACS_NS_MGMT | NVME_CTRL_OACS_SELF_TEST |
		       NVME_CTRL_OACS_DBBUF_CFG | (update ? NVME_CTRL_OACS_FW : 0)));
	id->acl = NVME_N_ABORT - 1;
	id->aerl = NVME_N_AER - 1;
	/* Slot 1 holds what the card came with and cannot be written; no reset is needed; overlapping downloads are found. */
	id->frmw = 1 | 2 << 1 | 1 << 4 | 1 << 5;
	id->lpa = NVME_CTRL_LPA_SMART_PER_NS | NVME_CTRL_LPA_CMD_EFFECTS | NVME_CTRL_LPA_EXTENDED |
		  NVME_CTRL_LPA_PERSETENT_EVENT | NVME_CTRL_LPA_LI0_LI5_LI12_LI13;
	id->elpe = NVME_N_ERRORS - 1;
	id->avscc = 1;
	id->wctemp = rte_cpu_to_le_16(WARN_K);
	id->cctemp = rte_cpu_to_le_16(CRITICAL_K);
	id->mtfa = rte_cpu_to_le_16(update ? 10 : 0);
	capacity(c, id);
	id->edstt = rte_cpu_to_le_16(2);
	id->fwug = 1;			/* 4 KiB */
	id->kas = rte_cpu_to_le_16(10); /* of 100 ms */
	id->anatt = 10;
	id->anacap = ANA_STATES | ANA_FIXED;
	id->anagrpmax = id->nanagrpid = rte_cpu_to_le_32(OB_NVME_MAX_NS);
	id->pels = rte_cpu_to_le_32(1); /* of 64 KiB */
}

/* What concerns the NVM command set. */
static void nvm_part(const struct ob_nvme *c, struct nvme_id_ctrl *id)
{
	bool crypto = c->conf.hooks != NULL && c->conf.hooks->crypto_erase != NULL;

	id->sqes = NVME_SQE_SHIFT << 4 | NVME_SQE_SHIFT;
	id->cqes = NVME_CQE_SHIFT << 4 | NVME_CQE_SHIFT;
	id->maxcmd = rte_cpu_to_le_16(c->conf.queue_entries);
	id->nn = rte_cpu_to_le_32(OB_NVME_MAX_NS);
	/* Not 0 where ANA is reported: Linux refuses the controller else. */
	id->mnan = rte_cpu_to_le_32(OB_NVME_MAX_NS);
	id->oncs = rte_cpu_to_le_16(NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
				    NVME_CTRL_ONCS_WRITE_ZEROES | NVME_CTRL_ONCS_SAVE_FEATURES |
				    NVME_CTRL_ONCS_RESERVATIONS | NVME_CTRL_ONCS_TIMESTAMP |
				    NVME_CTRL_ONCS_VERIFY | NVME_CTRL_ONCS_COPY);
	id->fuses = rte_cpu_to_le_16(1); /* Compare and Write */
	id->fna = crypto ? 1 << 2 : 0;
	/* A volume with a cache may be added at any time, and hosts ask only once: there is one. Flush takes the broadcast NSID. */
	id->vwc = 1 | 3 << 1;
	id->icsvscc = 1;
	id->nwpc = NVME_CTRL_NWPC_WRITE_PROTECT | NVME_CTRL_NWPC_WRITE_PROTECT_POWER_CYCLE;
	id->ocfs = rte_cpu_to_le_16(1);
	id->sgls = rte_cpu_to_le_32(1 | 1u << 16); /* any alignment; bit buckets */
}

void nvme_id_ctrl_fill(struct ob_nvme *c, struct nvme_id_ctrl *id)
{
	id->vid = id->ssvid = rte_cpu_to_le_16(NVME_PCI_VENDOR);
	put_text(id->sn, sizeof(id->sn), c->serial);
	put_text(id->mn, sizeof(id->mn), c->model);
	put_text(id->fr, sizeof(id->fr), c->firmware);
	id->rab = 3;
	id->cmic = (uint8_t)((c->multi ? 1 << 1 : 0) | 1 << 3); /* several controllers; ANA */
	id->mdts = (uint8_t)(log2_of(c->conf.mdts_bytes) - 12);
	id->cntlid = rte_cpu_to_le_16(c->st->cntlid);
	id->ver = rte_cpu_to_le_32(NVME_VER);
	id->rtd3r = rte_cpu_to_le_32(RTD3R_US);
	id->rtd3e = rte_cpu_to_le_32(RTD3E_US);
	id->cntrltype = NVME_CTRL_CNTRLTYPE_IO;
	admin_part(c, id);
	nvm_part(c, id);
	snprintf(id->subnqn, sizeof(id->subnqn), "%s", c->subnqn);
}
