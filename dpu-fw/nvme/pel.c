/* SPDX-License-Identifier: BSD-3-Clause */
/* The Persistent Event log (NVMe 2.0, 5.16.1.14): events are kept in the arena; a host establishes a context, which is a snapshot,
 * reads it in pieces and releases it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "logs.h"

#define HEADER sizeof(struct nvme_persistent_event_log)
#define ENTRY  sizeof(struct nvme_persistent_event_entry)

static_assert(HEADER == 512, "NVMe 2.0, figure 222");
static_assert(ENTRY == 24, "NVMe 2.0, figure 223");
static_assert(
    HEADER + NVME_N_PEL * (ENTRY + NVME_PEL_BYTES) <= NVME_PEL_MAX, "fits what PELS says");

void nvme_pel_add(struct ob_nvme *c, uint8_t type, uint8_t rev, const void *data, size_t len)
{
	struct nvme_pel_event *to = &c->st->pel[c->st->n_pel++ % NVME_N_PEL];

	assert(len <= sizeof(to->data));
	memset(to, 0, sizeof(*to));
	to->time_ms = nvme_timestamp_ms(c);
	to->type = type;
	to->rev = rev;
	to->len = (uint16_t)len;
	memcpy(to->data, data, len);
}

void nvme_pel_power_on(struct ob_nvme *c)
{
	struct {
		char revision[8];
		struct nvme_power_on_reset_info_list info;
	} __attribute__((packed)) ev = {0};

	memset(ev.revision, ' ', sizeof(ev.revision));
	memcpy(ev.revision, c->firmware, strlen(c->firmware));
	ev.info.cid = rte_cpu_to_le_16(c->st->cntlid);
	ev.info.ctrl_power_cycle = rte_cpu_to_le_32((uint32_t)c->st->n_power_cycles);
	ev.info.ctrl_time_stamp = rte_cpu_to_le_64(nvme_timestamp_ms(c));
	nvme_pel_add(c, NVME_PEL_POWER_ON_RESET_EVENT, 1, &ev, sizeof(ev));
}

void nvme_pel_reset(struct ob_nvme *c)
{
	free(c->pel);
	c->pel = NULL;
	c->pel_bytes = 0;
}

static size_t put_events(const struct ob_nvme *c, uint8_t *buf, struct nvme_persistent_event_log *h)
{
	uint64_t n = c->st->n_pel < NVME_N_PEL ? c->st->n_pel : NVME_N_PEL;
	size_t at = HEADER;

	for (uint64_t i = 0; i < n; i++) {
		/* The newest first. */
		const struct nvme_pel_event *e = &c->st->pel[(c->st->n_pel - 1 - i) % NVME_N_PEL];
		struct nvme_persistent_event_entry *to =
		    (struct nvme_persistent_event_entry *)(void *)(buf + at);

		to->etype = e->type;
		to->etype_rev = e->rev;
		to->ehl = (uint8_t)(ENTRY - 3);
		to->cntlid = rte_cpu_to_le_16(c->st->cntlid);
		to->ets = rte_cpu_to_le_64(e->time_ms);
		to->el = rte_cpu_to_le_16(e->len);
		memcpy(buf + at + ENTRY, e->data, e->len);
		at += ENTRY + e->len;
		h->seb[e->type / 8] |= (uint8_t)(1u << e->type % 8);
	}
	h->tnev = rte_cpu_to_le_32((uint32_t)n);
	return at;
}

static uint16_t establish(struct ob_nvme *c)
{
	struct nvme_persistent_event_log *h;
	struct nvme_id_ctrl *id;
	uint64_t hours = rte_cpu_to_le_64((nvme_now_ms() - c->st->created_ms) / 3600000);

	if (c->pel != NULL)
		return NVME_GEN(NVME_SC_CMD_SEQ_ERROR);
	id = calloc(1, sizeof(*id));
	c->pel = calloc(1, NVME_PEL_MAX);
	if (c->pel == NULL || id == NULL) {
		free(id);
		nvme_pel_reset(c);
		return NVME_SC_INTERNAL;
	}
	nvme_id_ctrl_fill(c, id);
	h = (struct nvme_persistent_event_log *)(void *)c->pel;
	c->pel_bytes = put_events(c, c->pel, h);
	h->lid = NVME_LOG_LID_PERSISTENT_EVENT;
	h->tll = rte_cpu_to_le_64(c->pel_bytes);
	h->rv = 2;
	h->lhl = rte_cpu_to_le_16((uint16_t)(HEADER - 20));
	h->ts = rte_cpu_to_le_64(nvme_timestamp_ms(c));
	memcpy(h->poh, &hours, sizeof(hours));
	h->pcc = rte_cpu_to_le_64(c->st->n_power_cycles);
	h->vid = id->vid;
	h->ssvid = id->ssvid;
	memcpy(h->sn, id->sn, sizeof(h->sn));
	memcpy(h->mn, id->mn, sizeof(h->mn));
	snprintf(h->subnqn, sizeof(h->subnqn), "%s", c->subnqn);
	h->gen_number = rte_cpu_to_le_16((uint16_t)++c->st->pel_generation);
	free(id);
	return 0;
}

uint16_t nvme_log_pel(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	uint16_t status = 0;

	switch (r->lsp & 3) {
	case NVME_PEVENT_LOG_READ:
		if (c->pel == NULL)
			return nvme_bad(c, 10, 8, NVME_GEN(NVME_SC_CMD_SEQ_ERROR));
		break;
	case NVME_PEVENT_LOG_EST_CTX_AND_READ:
		status = establish(c);
		break;
	case NVME_PEVENT_LOG_RELEASE_CTX:
		nvme_pel_reset(c);
		return 0;
	default:
		return nvme_bad(c, 10, 8, NVME_GEN(NVME_SC_INVALID_FIELD));
	}
	if (status == 0)
		memcpy(buf, c->pel, c->pel_bytes);
	return status;
}
