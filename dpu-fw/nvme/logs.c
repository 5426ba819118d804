/* SPDX-License-Identifier: BSD-3-Clause */
/* Get Log Page (NVMe 2.0, 5.16): offsets, lengths, what reading clears; and the pages that the standard names. A page is made in
 * memory as it is now, and the part that was asked for is sent. */
#include "logs.h"

#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

struct page {
	log_fn fill;
	uint32_t bytes;			  /* room for the whole page */
	uint8_t clears;			  /* with RAE 0 it clears the events that name it */
	void (*taken)(struct ob_nvme *c); /* it was read so; may be NULL */
};

/* ---- error information (01h) ---- */

void nvme_error_add(struct ob_nvme *c, const struct nvme_error *e)
{
	struct nvme_error *to = &c->st->error[c->st->n_errors % NVME_N_ERRORS];

	*to = *e;
	to->count = ++c->st->n_errors;
}

static uint16_t log_errors(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_error_log_page *p = (struct nvme_error_log_page *)(void *)buf;
	uint64_t n = c->st->n_errors;

	(void)r;
	/* The newest first. */
	for (unsigned i = 0; i < NVME_N_ERRORS && i < n; i++) {
		const struct nvme_error *e = &c->st->error[(n - 1 - i) % NVME_N_ERRORS];

		p[i].error_count = rte_cpu_to_le_64(e->count);
		p[i].sqid = rte_cpu_to_le_16(e->sqid);
		p[i].cmdid = rte_cpu_to_le_16(e->cid);
		p[i].status_field = rte_cpu_to_le_16((uint16_t)(e->status << 1));
		p[i].parm_error_location = rte_cpu_to_le_16(e->loc);
		p[i].lba = rte_cpu_to_le_64(e->lba);
		p[i].nsid = rte_cpu_to_le_32(e->nsid);
	}
	return 0;
}

/* ---- SMART (02h) ---- */

uint8_t nvme_smart_warning(const struct ob_nvme *c)
{
	uint16_t t = nvme_temperature(c);
	uint8_t w = 0;

	if (t >= c->st->feat[NVME_F_TEMP_OVER] || t <= c->st->feat[NVME_F_TEMP_UNDER])
		w |= NVME_SMART_CRIT_TEMPERATURE;
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++) {
		struct ob_nvme_ns_info i;

		if (!nvme_ns_attached(c, nsid))
			continue;
		ob_nvme_ns_info(nvme_ns(c, nsid), &i);
		/* By its medium, not because the host asked for it (write protection). */
		if (i.read_only && i.wp == OB_NVME_WP_NONE)
			w |= NVME_SMART_CRIT_MEDIA;
	}
	return w;
}

static void put128(uint8_t *to, uint64_t v)
{
	v = rte_cpu_to_le_64(v);
	memcpy(to, &v, sizeof(v));
}

/* Thousands of 512 bytes, rounded up (figure 207). */
static uint64_t data_units(uint64_t bytes)
{
	return (bytes + 511999) / 512000;
}

static uint16_t log_smart(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_smart_log *s = (struct nvme_smart_log *)(void *)buf;
	uint16_t t = rte_cpu_to_le_16(nvme_temperature(c));
	struct ob_nvmeq_counters q = {0};
	struct ob_nvme_ns_stats ns;

	s->avail_spare = 100;
	s->spare_thresh = 10;
	memcpy(s->temperature, &t, sizeof(t));
	s->critical_warning = nvme_smart_warning(c);
	put128(s->power_cycles, c->st->n_power_cycles);
	put128(s->power_on_hours, (nvme_now_ms() - c->st->created_ms) / 3600000);
	put128(s->unsafe_shutdowns, c->st->n_unsafe_shutdowns);
	put128(s->num_err_log_entries, c->st->n_errors);
	if (r->nsid != NVME_BROADCAST && r->nsid != 0) {
		if (!nvme_ns_attached(c, r->nsid))
			return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
		ob_nvme_ns_stats(nvme_ns(c, r->nsid), &ns);
		q.n_reads = ns.blk.n_ios[OB_BLK_READ];
		q.n_writes = ns.blk.n_ios[OB_BLK_WRITE];
		q.n_read_bytes = ns.blk.n_bytes[OB_BLK_READ];
		q.n_write_bytes = ns.blk.n_bytes[OB_BLK_WRITE];
		put128(
		    s->media_errors, ns.blk.n_errors[OB_BLK_READ] + ns.blk.n_errors[OB_BLK_WRITE]);
	} else {
		uint64_t media = 0;

		(void)ob_nvmeq_counters(c->q, 0, &q);
		for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++) {
			if (!nvme_ns_attached(c, nsid))
				continue;
			ob_nvme_ns_stats(nvme_ns(c, nsid), &ns);
			media += ns.blk.n_errors[OB_BLK_READ] + ns.blk.n_errors[OB_BLK_WRITE];
		}
		put128(s->media_errors, media);
	}
	put128(s->data_units_read, data_units(q.n_read_bytes));
	put128(s->data_units_written, data_units(q.n_write_bytes));
	put128(s->host_reads, q.n_reads);
	put128(s->host_writes, q.n_writes);
	return 0;
}

/* ---- firmware slots (03h) ---- */

static uint16_t log_firmware(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_firmware_slot *f = (struct nvme_firmware_slot *)(void *)buf;

	(void)r;
	f->afi = (uint8_t)(c->fw.active_slot | c->fw.next_slot << 4);
	memset(f->frs[0], ' ', sizeof(f->frs[0]));
	memcpy(f->frs[0], c->firmware, strlen(c->firmware));
	if (c->fw.slot2 != NULL)
		memcpy(f->frs[1], c->fw.slot2_rev, sizeof(f->frs[1]));
	return 0;
}

/* ---- changed namespaces (04h) ---- */

static uint16_t log_changed(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	uint32_t n = 0, le;

	(void)r;
	for (uint32_t i = 0; i < OB_NVME_MAX_NS; i++) {
		if (!(c->st->changed[i / 32] >> i % 32 & 1))
			continue;
		le = rte_cpu_to_le_32(i + 1);
		memcpy(buf + 4 * n++, &le, sizeof(le));
	}
	return 0;
}

/* Reading it empties it (5.16.1.5), unless the event is retained. */
static void changed_taken(struct ob_nvme *c)
{
	memset(c->st->changed, 0, sizeof(c->st->changed));
}

/* ---- self-test (06h) ---- */

static uint16_t log_selftest(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	const struct nvme_selftest_state *s = &c->st->selftest;
	struct nvme_self_test_log *l = (struct nvme_self_test_log *)(void *)buf;

	(void)r;
	l->current_operation = s->running;
	l->completion = s->percent;
	for (unsigned i = 0; i < NVME_LOG_ST_MAX_RESULTS; i++) {
		struct nvme_st_result *to = &l->result[i];

		if (i >= s->n_results) {
			to->dsts = NVME_ST_RESULT_NOT_USED;
			continue;
		}
		to->dsts = s->result[i].code_result;
		to->seg = s->result[i].segment;
		to->vdi = s->result[i].valid;
		to->poh = rte_cpu_to_le_64(s->result[i].hours);
		to->nsid = rte_cpu_to_le_32(s->result[i].nsid);
		to->flba = rte_cpu_to_le_64(s->result[i].lba);
		to->sct = s->result[i].sct;
		to->sc = s->result[i].sc;
	}
	return 0;
}

/* ---- path state (0Ch) ---- */

#define ANA_HEADER sizeof(struct nvme_ana_log)
#define ANA_BYTES  (ANA_HEADER + OB_NVME_MAX_NS * (sizeof(struct nvme_ana_group_desc) + 4))

/* Appends the group 'id' with its namespaces; 'buf' has no alignment. Returns its bytes, 0: no namespace of it is attached. */
static size_t ana_group(struct ob_nvme *c, uint32_t id, bool groups_only, uint8_t *buf)
{
	struct nvme_ana_group_desc d = {.grpid = rte_cpu_to_le_32(id)};
	struct ob_nvme_ns_info i;
	uint64_t changes = 0;
	uint32_t n = 0, le;

	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++) {
		if (!nvme_ns_attached(c, nsid))
			continue;
		ob_nvme_ns_info(nvme_ns(c, nsid), &i);
		if (i.ana_group != id)
			continue;
		if (n == 0)
			d.state = (uint8_t)ob_nvmeq_ana(c->q, nsid);
		le = rte_cpu_to_le_32(nsid);
		if (!groups_only)
			memcpy(buf + sizeof(d) + 4 * n, &le, sizeof(le));
		n++;
		if (c->st->ns[nsid - 1].ana_count > changes)
			changes = c->st->ns[nsid - 1].ana_count;
	}
	if (n == 0)
		return 0;
	d.nnsids = rte_cpu_to_le_32(groups_only ? 0 : n);
	d.chgcnt = rte_cpu_to_le_64(changes);
	memcpy(buf, &d, sizeof(d));
	return sizeof(d) + (groups_only ? 0 : 4 * n);
}

static uint16_t log_ana(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_ana_log *l = (struct nvme_ana_log *)(void *)buf;
	size_t at = ANA_HEADER, len;
	uint16_t n = 0;

	for (uint32_t id = 1; id <= OB_NVME_MAX_NS; id++) {
		len = ana_group(c, id, (r->lsp & NVME_LOG_ANA_LSP_RGO_GROUPS_ONLY) != 0, buf + at);
		at += len;
		n = (uint16_t)(n + (len != 0));
	}
	l->chgcnt = rte_cpu_to_le_64(c->st->ana_count);
	l->ngrps = rte_cpu_to_le_16(n);
	return 0;
}

/* ---- reservation notifications (80h) ---- */

void nvme_resv_event(struct ob_nvme *c, uint32_t nsid, uint8_t type)
{
	struct nvme_state *st = c->st;
	struct nvme_resv_event *to;

	if (nsid < 1 || nsid > OB_NVME_MAX_NS || type == 0 || type > 3 ||
	    (st->ns[nsid - 1].resv_mask >> type & 1))
		return;
	st->n_resv++;
	if (st->n_resv_kept == NVME_N_RESV_LOG)
		return; /* the count tells that some were lost */
	to = &st->resv[(st->resv_first + st->n_resv_kept++) % NVME_N_RESV_LOG];
	*to = (struct nvme_resv_event){.count = st->n_resv, .nsid = nsid, .type = type};
	nvme_event(c, NVME_EV_RESV);
}

/* Each read takes one page out; an empty one says that there is none (5.16.1.25). */
static uint16_t log_resv(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_resv_notification_log *l = (struct nvme_resv_notification_log *)(void *)buf;
	struct nvme_state *st = c->st;
	const struct nvme_resv_event *e = &st->resv[st->resv_first];

	(void)r;
	if (st->n_resv_kept == 0)
		return 0;
	l->lpc = rte_cpu_to_le_64(e->count);
	l->rnlpt = e->type;
	l->nsid = rte_cpu_to_le_32(e->nsid);
	l->nalp = (uint8_t)(st->n_resv_kept - 1);
	return 0;
}

static void resv_taken(struct ob_nvme *c)
{
	if (c->st->n_resv_kept == 0)
		return;
	c->st->resv_first = (c->st->resv_first + 1) % NVME_N_RESV_LOG;
	c->st->n_resv_kept--;
}

/* ---- which there are ---- */

static uint16_t log_supported(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);

static const struct page pages[256] = {
    [NVME_LOG_LID_SUPPORTED_LOG_PAGES] = {log_supported, 1024, 0, NULL},
    [NVME_LOG_LID_ERROR] = {log_errors, NVME_N_ERRORS * 64, 1, NULL},
    [NVME_LOG_LID_SMART] = {log_smart, 512, 1, NULL},
    [NVME_LOG_LID_FW_SLOT] = {log_firmware, 512, 1, NULL},
    [NVME_LOG_LID_CHANGED_NS] = {log_changed, 4096, 1, changed_taken},
    [NVME_LOG_LID_CMD_EFFECTS] = {nvme_log_effects, 4096, 0, NULL},
    [NVME_LOG_LID_DEVICE_SELF_TEST] = {log_selftest, sizeof(struct nvme_self_test_log), 0, NULL},
    [NVME_LOG_LID_ANA] = {log_ana, ANA_BYTES, 1, NULL},
    [NVME_LOG_LID_PERSISTENT_EVENT] = {nvme_log_pel, NVME_PEL_MAX, 0, NULL},
    [NVME_LOG_LID_FID_SUPPORTED_EFFECTS] = {nvme_log_feature_effects, 1024, 0, NULL},
    [NVME_LOG_LID_MI_CMD_SUPPORTED_EFFECTS] = {nvme_log_mi_effects, 4096, 0, NULL},
    [NVME_LOG_LID_RESERVATION] = {log_resv, 64, 1, resv_taken},
    [NVME_LOG_VENDOR] = {nvme_log_vendor, sizeof(struct ob_nvme_vendor_log), 0, NULL},
};

static uint16_t log_supported(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	uint32_t le = rte_cpu_to_le_32(1);

	(void)c;
	(void)r;
	for (unsigned i = 0; i < 256; i++)
		if (pages[i].fill != NULL)
			memcpy(buf + 4 * i, &le, sizeof(le));
	return 0;
}

uint16_t nvme_get_log_page(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint64_t numd = (e->cdw10 >> 16 | (uint64_t)(e->cdw11 & 0xffff) << 16) + 1;
	uint64_t off = e->cdw12 | (uint64_t)e->cdw13 << 32, len = numd * 4;
	struct log_request r = {
	    .nsid = e->nsid,
	    .lid = (uint8_t)e->cdw10,
	    .lsp = e->cdw10 >> 8 & 0x7f,
	    .retain = (e->cdw10 >> 15 & 1) != 0,
	};
	const struct page *p = &pages[r.lid];
	size_t room;
	uint16_t status;
	uint8_t *buf;

	if (p->fill == NULL)
		return nvme_bad(c, 10, 0, NVME_CMD(NVME_SC_INVALID_LOG_PAGE));
	if ((off & 3) != 0)
		return nvme_bad(c, 12, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (off > p->bytes)
		return nvme_bad(c, 12, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (e->cdw14 >> 23 & 1) /* OT: no page here has an index */
		return nvme_bad(c, 14, 23, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (len > c->conf.mdts_bytes)
		return nvme_bad(c, 10, 16, NVME_GEN(NVME_SC_INVALID_FIELD));
	/* What is asked for beyond the end is undefined: zero. */
	room = off + len > p->bytes ? (size_t)(off + len) : p->bytes;
	buf = calloc(1, room);
	if (buf == NULL)
		return NVME_SC_INTERNAL;
	status = p->fill(c, &r, buf);
	if (status == 0)
		status = nvme_data_out(c, e, buf + off, len);
	free(buf);
	if (status != 0 || r.retain)
		return status;
	if (p->taken != NULL)
		p->taken(c);
	if (p->clears)
		nvme_event_log_read(c, r.lid);
	return 0;
}
