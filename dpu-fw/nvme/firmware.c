/* SPDX-License-Identifier: BSD-3-Clause */
/* Firmware Image Download and Commit (NVMe 2.0, 5.12 and 5.11). The image is collected in memory, bounded, and given to the card's
 * hook, which alone knows what it is. Slot 1 is what the card came with; slot 2 takes what a host commits. */
#include "nvme.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_hash_crc.h>

#define GRANULE 4096u /* Identify FWUG */
#define N_SLOTS 2u

static bool covered(const struct nvme_fw *f, size_t granule)
{
	return (f->have[granule / 8] >> granule % 8 & 1) != 0;
}

static void discard(struct nvme_fw *f)
{
	free(f->image);
	free(f->have);
	f->image = f->have = NULL;
	f->bytes = f->room = 0;
}

static int make_room(struct nvme_fw *f, size_t bytes)
{
	size_t room = f->room != 0 ? f->room : 1 << 20;
	uint8_t *p;

	if (f->have == NULL)
		f->have = calloc(1, NVME_FW_MAX / GRANULE / 8);
	if (f->have == NULL)
		return -ENOMEM;
	while (room < bytes)
		room *= 2;
	if (room == f->room)
		return 0;
	p = realloc(f->image, room);
	if (p == NULL)
		return -ENOMEM;
	memset(p + f->room, 0, room - f->room); /* what is not downloaded is nobody's old data */
	f->image = p;
	f->room = room;
	return 0;
}

uint16_t nvme_fw_download(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint64_t len = ((uint64_t)e->cdw10 + 1) * 4, off = (uint64_t)e->cdw11 * 4;
	struct nvme_fw *f = &c->fw;
	size_t first, last;
	uint16_t status;

	if (off % GRANULE != 0)
		return nvme_bad(c, 11, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (len > c->conf.mdts_bytes || off > NVME_FW_MAX || len > NVME_FW_MAX - off)
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (make_room(f, (size_t)(off + len)) != 0)
		return NVME_SC_INTERNAL;
	first = (size_t)off / GRANULE;
	last = (size_t)(off + len - 1) / GRANULE;
	/* A download that begins again at 0 replaces what was there (5.12). */
	if (off == 0 && covered(f, 0)) {
		memset(f->have, 0, NVME_FW_MAX / GRANULE / 8);
		f->bytes = 0;
	}
	for (size_t g = first; g <= last; g++)
		if (covered(f, g))
			return nvme_bad(c, 11, 0, NVME_CMD(NVME_SC_OVERLAPPING_RANGE));
	status = nvme_data_in(c, e, f->image + off, (size_t)len);
	if (status != 0)
		return status;
	for (size_t g = first; g <= last; g++)
		f->have[g / 8] |= (uint8_t)(1u << g % 8);
	if (f->bytes < off + len)
		f->bytes = (size_t)(off + len);
	return 0;
}

/* Without holes. */
static bool whole(const struct nvme_fw *f)
{
	size_t n = (f->bytes + GRANULE - 1) / GRANULE;

	for (size_t g = 0; g < n; g++)
		if (!covered(f, g))
			return false;
	return n > 0;
}

static uint16_t activate(struct ob_nvme *c, unsigned slot, bool now)
{
	const struct ob_nvme_hooks *h = c->conf.hooks;
	struct nvme_fw *f = &c->fw;
	int rc;

	if (slot == 1) { /* it runs already, or will again */
		f->next_slot = f->active_slot == 1 ? 0 : 1;
		return 0;
	}
	if (f->slot2 == NULL)
		return NVME_CMD(NVME_SC_FIRMWARE_SLOT);
	rc = h->update(c->conf.hooks_ctx, f->slot2, f->slot2_bytes, slot, now);
	switch (-rc) {
	case 0:
		break;
	case EINVAL:
		return NVME_CMD(NVME_SC_FIRMWARE_IMAGE);
	case EPERM:
		return NVME_CMD(NVME_SC_FW_ACTIVATE_PROHIBITED);
	case EBUSY:
		return NVME_CMD(NVME_SC_FW_NEEDS_MAX_TIME);
	default:
		return NVME_SC_INTERNAL;
	}
	if (now) {
		f->active_slot = (uint8_t)slot;
		f->next_slot = 0;
		nvme_event(c, NVME_EV_FW_START);
	} else {
		f->next_slot = (uint8_t)slot;
	}
	return 0;
}

/* What was downloaded becomes slot 2's. Its name is its checksum: what the image calls itself only the card knows. */
static uint16_t take(struct ob_nvme *c, unsigned slot)
{
	struct nvme_fw *f = &c->fw;
	char rev[9];

	if (slot == 1)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_FIRMWARE_SLOT));
	if (f->image == NULL || !whole(f))
		return NVME_CMD(NVME_SC_FIRMWARE_IMAGE);
	free(f->slot2);
	f->slot2 = f->image;
	f->slot2_bytes = f->bytes;
	f->image = NULL;
	snprintf(rev, sizeof(rev), "%08x",
	    rte_hash_crc(f->slot2, (uint32_t)f->slot2_bytes, 0xffffffffu));
	memcpy(f->slot2_rev, rev, sizeof(f->slot2_rev));
	discard(f);
	return 0;
}

static uint16_t commit(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	unsigned slot = e->cdw10 & 7, action = e->cdw10 >> 3 & 7;
	uint16_t status = 0;

	if (slot > N_SLOTS)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_FIRMWARE_SLOT));
	switch (action) {
	case NVME_FW_COMMIT_CA_REPLACE:
		return take(c, slot == 0 ? 2 : slot);
	case NVME_FW_COMMIT_CA_REPLACE_AND_ACTIVATE:
		slot = slot == 0 ? 2 : slot;
		status = take(c, slot);
		return status != 0 ? status : activate(c, slot, false);
	case NVME_FW_COMMIT_CA_SET_ACTIVE:
		if (slot == 0)
			return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_FIRMWARE_SLOT));
		return activate(c, slot, false);
	case NVME_FW_COMMIT_CA_REPLACE_AND_ACTIVATE_IMMEDIATE:
		slot = slot == 0 ? 2 : slot;
		if (c->fw.image != NULL)
			status = take(c, slot);
		return status != 0 ? status : activate(c, slot, true);
	default: /* there are no boot partitions */
		return nvme_bad(c, 10, 3, NVME_GEN(NVME_SC_INVALID_FIELD));
	}
}

uint16_t nvme_fw_commit(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	struct nvme_fw_commit_event ev = {
	    .fw_commit_action = e->cdw10 >> 3 & 7,
	    .fw_slot = e->cdw10 & 7,
	};
	uint16_t status = commit(c, e);

	memset(&ev.old_fw_rev, ' ', sizeof(ev.old_fw_rev));
	memcpy(&ev.old_fw_rev, c->firmware, strlen(c->firmware));
	memcpy(&ev.new_fw_rev, c->fw.slot2_rev, sizeof(ev.new_fw_rev));
	ev.sct_fw = (uint8_t)(status >> NVME_SCT_SHIFT & NVME_SCT_MASK);
	ev.sc_fw = (uint8_t)status;
	nvme_pel_add(c, NVME_PEL_FW_COMMIT_EVENT, 1, &ev, sizeof(ev));
	return status;
}

void nvme_fw_activate(struct ob_nvme *c)
{
	if (c->fw.next_slot != 0)
		c->fw.active_slot = c->fw.next_slot;
	c->fw.next_slot = 0;
	discard(&c->fw);
}

void nvme_fw_fini(struct ob_nvme *c)
{
	discard(&c->fw);
	free(c->fw.slot2);
	c->fw.slot2 = NULL;
}
