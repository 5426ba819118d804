/* SPDX-License-Identifier: BSD-3-Clause */
/* Data pointers and the commands that every test needs. */
#include <errno.h>
#include <string.h>

#include "nvme_drv.h"

#define PAGE	   4096u
#define N_LISTS	   64u
#define LIST_PAGES 3u

static uint64_t list_block(struct nvd *d)
{
	return d->lists + (uint64_t)(d->next_list++ % N_LISTS) * LIST_PAGES * PAGE;
}

/* NVMe base 2.0, 4.1.1: the last entry of a list page points to the next page if there are more. */
static void prp_list(struct nvd *d, struct nvd_sqe *cmd, uint64_t iova, size_t len)
{
	uint64_t at = list_block(d), *entry = fake_guest_ptr(&d->g, at);
	unsigned i = 0;

	cmd->prp2 = at;
	for (; len > 0; iova += PAGE, len = len > PAGE ? len - PAGE : 0) {
		if (i == PAGE / 8 - 1 && len > PAGE) {
			at += PAGE;
			entry[i] = at;
			entry = fake_guest_ptr(&d->g, at);
			i = 0;
		}
		entry[i++] = iova;
	}
}

void nvd_data(struct nvd *d, struct nvd_sqe *cmd, uint64_t iova, size_t len)
{
	size_t first = PAGE - (size_t)(iova & (PAGE - 1));

	cmd->flags &= 0x3f;
	cmd->prp1 = iova;
	cmd->prp2 = 0;
	if (len <= first)
		return;
	if (len - first <= PAGE)
		cmd->prp2 = iova + first;
	else
		prp_list(d, cmd, iova + first, len - first);
}

void nvd_data_sgl(struct nvd_sqe *cmd, uint64_t iova, uint32_t len)
{
	struct nvd_sgl s = {.addr = iova, .len = len, .type = NVD_SGL_DATA};

	cmd->flags = (uint8_t)((cmd->flags & 0x3f) | NVD_PSDT_SGL);
	memcpy(&cmd->prp1, &s, sizeof(s));
}

void nvd_data_sgls(struct nvd *d, struct nvd_sqe *cmd, const struct nvd_sgl *sgl, unsigned n)
{
	uint64_t at = list_block(d);
	struct nvd_sgl s = {.addr = at, .len = (uint32_t)(n * sizeof(s)), .type = NVD_SGL_LAST};

	memcpy(fake_guest_ptr(&d->g, at), sgl, n * sizeof(s));
	cmd->flags = (uint8_t)((cmd->flags & 0x3f) | NVD_PSDT_SGL);
	memcpy(&cmd->prp1, &s, sizeof(s));
}

int nvd_identify(struct nvd *d, uint8_t cns, uint32_t nsid, uint16_t cntid, void *out)
{
	struct nvd_sqe cmd = {.opc = NVD_IDENTIFY,
	    .nsid = nsid,
	    .cdw10 = (uint32_t)cntid << 16 | cns,
	    .prp1 = d->page};
	int rc;

	memset(fake_guest_ptr(&d->g, d->page), 0xa5, PAGE);
	rc = nvd_admin(d, &cmd, NULL);
	memcpy(out, fake_guest_ptr(&d->g, d->page), PAGE);
	return rc;
}

int nvd_log(struct nvd *d, uint8_t lid, uint32_t nsid, uint32_t len, void *out)
{
	uint32_t numd = len / 4 - 1;
	struct nvd_sqe cmd = {.opc = NVD_GET_LOG,
	    .nsid = nsid,
	    .cdw10 = numd << 16 | lid,
	    .cdw11 = numd >> 16,
	    .prp1 = d->page};
	int rc;

	if (len > PAGE)
		return -EINVAL;
	memset(fake_guest_ptr(&d->g, d->page), 0xa5, PAGE);
	rc = nvd_admin(d, &cmd, NULL);
	memcpy(out, fake_guest_ptr(&d->g, d->page), len);
	return rc;
}

int nvd_set_feature(struct nvd *d, uint8_t fid, uint32_t nsid, uint32_t cdw11, uint32_t *dw0)
{
	struct nvd_sqe cmd = {
	    .opc = NVD_SET_FEATURES, .nsid = nsid, .cdw10 = fid, .cdw11 = cdw11, .prp1 = d->page};
	struct nvd_cqe cqe = {0};
	int rc = nvd_admin(d, &cmd, &cqe);

	if (dw0 != NULL)
		*dw0 = cqe.dw0;
	return rc;
}

int nvd_get_feature(struct nvd *d, uint8_t fid, uint32_t nsid, uint32_t sel, uint32_t *dw0)
{
	struct nvd_sqe cmd = {
	    .opc = NVD_GET_FEATURES, .nsid = nsid, .cdw10 = sel << 8 | fid, .prp1 = d->page};
	struct nvd_cqe cqe = {0};
	int rc = nvd_admin(d, &cmd, &cqe);

	if (dw0 != NULL)
		*dw0 = cqe.dw0;
	return rc;
}

struct nvd_sqe nvd_rw(uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t n_lbas)
{
	return (struct nvd_sqe){.opc = opc,
	    .nsid = nsid,
	    .cdw10 = (uint32_t)slba,
	    .cdw11 = (uint32_t)(slba >> 32),
	    .cdw12 = n_lbas - 1};
}
