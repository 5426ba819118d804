/* SPDX-License-Identifier: BSD-3-Clause */
/* Features (NVMe 2.0, 5.15 and 5.27; NVM command set 1.0, 4.1.3). A table: number, capabilities, setter, getter. */
#include "nvme.h"

#include <errno.h>
#include <string.h>

#include <event2/event.h>
#include <rte_byteorder.h>

#define WARN_K		 343u /* as Identify WCTEMP */
#define NOMINAL_K	 313u
#define KATO_MAX_MS	 (24u * 3600 * 1000)
#define RESV_MASK	 0x0eu /* the three notifications */
#define AEC_HEALTH	 0x0au /* temperature, read only: what there can be */
#define COALESCE_TIME_US 100u

enum caps { SAVE = 1, PER_NS = 2, CHANGE = 4 };
enum select { CURRENT, DEFAULT, SAVED, SUPPORTED };

struct feature {
	uint8_t fid, caps;
	uint16_t (*set)(struct ob_nvme *c, const struct ob_nvme_sqe *e);
	uint16_t (*get)(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel);
};

static const uint32_t defaults[NVME_N_F] = {
    [NVME_F_ARBITRATION] = 7, /* no limit of a burst */
    [NVME_F_TEMP_OVER] = WARN_K,
    [NVME_F_VWC] = 1,
};

/* ---- values of one dword ---- */

static uint32_t value(const struct ob_nvme *c, unsigned idx, enum select sel)
{
	switch (sel) {
	case DEFAULT:
		return defaults[idx];
	case SAVED:
		return c->st->saved[idx];
	default:
		return c->st->feat[idx];
	}
}

static void store(struct ob_nvme *c, const struct ob_nvme_sqe *e, unsigned idx, uint32_t v)
{
	c->st->feat[idx] = v;
	if (e->cdw10 >> 31)
		c->st->saved[idx] = v;
}

#define DWORD(name, idx)                                                     \
	static uint16_t get_##name(                                          \
	    struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel) \
	{                                                                    \
		(void)e;                                                     \
		c->result = value(c, idx, sel);                              \
		return 0;                                                    \
	}
DWORD(arbitration, NVME_F_ARBITRATION)
DWORD(power, NVME_F_POWER)
DWORD(vwc, NVME_F_VWC)
DWORD(coalescing, NVME_F_IRQ_COALESCE)
DWORD(atomicity, NVME_F_ATOMICITY)
DWORD(async, NVME_F_ASYNC)
DWORD(kato, NVME_F_KATO)
DWORD(progress, NVME_F_SW_PROGRESS)

static uint16_t bad11(struct ob_nvme *c, unsigned bit)
{
	return nvme_bad(c, 11, bit, NVME_GEN(NVME_SC_INVALID_FIELD));
}

/* Queues of a controller are served in turn whatever the bursts say: the value is kept for whoever asks. */
static uint16_t set_arbitration(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	store(c, e, NVME_F_ARBITRATION, e->cdw11 & 0xffffff07u);
	return 0;
}

static uint16_t set_power(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	if ((e->cdw11 & 0x1f) != 0) /* there is power state 0 only */
		return bad11(c, 0);
	store(c, e, NVME_F_POWER, e->cdw11 & 0xff);
	return 0;
}

/* Off: the I/O side makes every write durable before it completes. */
static uint16_t set_vwc(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	store(c, e, NVME_F_VWC, e->cdw11 & 1);
	ob_nvmeq_set_wce(c->q, e->cdw11 & 1);
	return 0;
}

static void apply_coalescing(struct ob_nvme *c)
{
	uint32_t v = c->st->feat[NVME_F_IRQ_COALESCE], thr = v & 0xff, time = v >> 8 & 0xff;

	/* The threshold is 0's based: 0 means that each entry is one. */
	ob_nvmeq_set_coalescing(c->q, thr != 0 ? thr + 1 : 0, time * COALESCE_TIME_US);
}

static uint16_t set_coalescing(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	store(c, e, NVME_F_IRQ_COALESCE, e->cdw11 & 0xffff);
	apply_coalescing(c);
	return 0;
}

static uint16_t set_vector(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint16_t v = (uint16_t)e->cdw11;
	bool off = (e->cdw11 >> 16 & 1) != 0;

	if (v >= nvme_n_vectors(c))
		return bad11(c, 0);
	c->st->vector_no_coalesce[v / 8] &= (uint8_t) ~(1u << v % 8);
	c->st->vector_no_coalesce[v / 8] |= (uint8_t)(off << v % 8);
	(void)ob_nvmeq_set_vector_coalescing(c->q, v, !off);
	return 0;
}

static uint16_t get_vector(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	uint16_t v = (uint16_t)e->cdw11;
	uint32_t off;

	if (v >= nvme_n_vectors(c))
		return bad11(c, 0);
	off = sel == CURRENT ? c->st->vector_no_coalesce[v / 8] >> v % 8 & 1u : 0;
	c->result = v | off << 16;
	return 0;
}

/* A block of any size is written whole or not at all only as far as AWUPF says, which is one block: both values hold. */
static uint16_t set_atomicity(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	store(c, e, NVME_F_ATOMICITY, e->cdw11 & 1);
	return 0;
}

static uint16_t set_async(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint32_t notices = 1u << 8 | 1u << 11;

	if (nvme_admin_supports(c, nvme_admin_fw_commit))
		notices |= 1u << 9;
	/* Health bits 5:0 may be set although not each of them can ever come. */
	if ((e->cdw11 & ~(notices | 0x3fu)) != 0)
		return bad11(c, (unsigned)__builtin_ctz(e->cdw11 & ~(notices | 0x3fu)));
	store(c, e, NVME_F_ASYNC, e->cdw11);
	if ((nvme_smart_warning(c) & AEC_HEALTH) != 0)
		nvme_event(
		    c, nvme_smart_warning(c) & 2 ? NVME_EV_SMART_TEMP : NVME_EV_SMART_READ_ONLY);
	return 0;
}

static uint16_t set_progress(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	/* 5.27.1.24: it persists by itself. */
	c->st->feat[NVME_F_SW_PROGRESS] = c->st->saved[NVME_F_SW_PROGRESS] = e->cdw11 & 0xff;
	return 0;
}

/* ---- temperature ---- */

/* The function has no sensor of its own and is cooled by whoever cools the card. */
uint16_t nvme_temperature(const struct ob_nvme *c)
{
	(void)c;
	return NOMINAL_K;
}

static uint16_t temp_index(struct ob_nvme *c, const struct ob_nvme_sqe *e, bool all, unsigned *idx)
{
	unsigned sensor = e->cdw11 >> 16 & 0xf, type = e->cdw11 >> 20 & 3;

	if (sensor != 0 && !(all && sensor == 0xf))
		return bad11(c, 16);
	if (type > 1)
		return bad11(c, 20);
	*idx = type == 0 ? NVME_F_TEMP_OVER : NVME_F_TEMP_UNDER;
	return 0;
}

static uint16_t set_temp(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	unsigned idx = 0;
	uint16_t status = temp_index(c, e, true, &idx);

	if (status != 0)
		return status;
	store(c, e, idx, e->cdw11 & 0xffff);
	if (nvme_smart_warning(c) & 2)
		nvme_event(c, NVME_EV_SMART_TEMP);
	return 0;
}

static uint16_t get_temp(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	unsigned idx = 0;
	uint16_t status = temp_index(c, e, false, &idx);

	if (status == 0)
		c->result = value(c, idx, sel);
	return status;
}

/* ---- number of queues ---- */

static uint16_t set_queues(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint32_t sq = (e->cdw11 & 0xffff) + 1, cq = (e->cdw11 >> 16) + 1, max = c->conf.n_qpairs;

	if (sq > 0xffff)
		return bad11(c, 0);
	if (cq > 0xffff)
		return bad11(c, 16);
	for (unsigned i = 0; i < max; i++)
		if (c->st->sq[i].size != 0 || c->st->cq[i].size != 0)
			return NVME_GEN(NVME_SC_CMD_SEQ_ERROR);
	c->st->n_sq_max = (uint16_t)(sq < max ? sq : max);
	c->st->n_cq_max = (uint16_t)(cq < max ? cq : max);
	c->result = (c->st->n_sq_max - 1u) | (c->st->n_cq_max - 1u) << 16;
	return 0;
}

static uint16_t get_queues(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	uint32_t sq = c->conf.n_qpairs, cq = sq;

	(void)e;
	if (sel == CURRENT && c->st->n_sq_max != 0) {
		sq = c->st->n_sq_max;
		cq = c->st->n_cq_max;
	}
	c->result = (sq - 1) | (cq - 1) << 16;
	return 0;
}

/* ---- keep alive ---- */

void nvme_kato_stop(struct ob_nvme *c)
{
	event_del(c->kato);
}

void nvme_kato_restart(struct ob_nvme *c)
{
	uint32_t ms = c->st->feat[NVME_F_KATO];
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (ms == 0 || !nvme_ready(c))
		event_del(c->kato);
	else
		event_add(c->kato, &tv);
}

static uint16_t set_kato(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint32_t ms = e->cdw11;

	if (ms > KATO_MAX_MS)
		return nvme_bad(c, 11, 0, NVME_GEN(NVME_SC_KAT_INVALID));
	/* Rounded up to the granularity that KAS tells (5.27.1.12). */
	store(c, e, NVME_F_KATO, (ms + 999) / 1000 * 1000);
	nvme_kato_restart(c);
	return 0;
}

/* ---- time ---- */

uint64_t nvme_timestamp_ms(const struct ob_nvme *c)
{
	const struct nvme_state *st = c->st;

	return (st->timestamp_ms + (nvme_now_ms() - st->timestamp_at_ms)) & 0xffffffffffffull;
}

static uint16_t set_timestamp(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	struct nvme_time_stamp_change_event ev;
	struct nvme_timestamp t;
	uint64_t v = 0;
	uint16_t status = nvme_data_in(c, e, &t, sizeof(t));

	if (status != 0)
		return status;
	ev.previous_timestamp = rte_cpu_to_le_64(nvme_timestamp_ms(c));
	ev.ml_secs_since_reset = rte_cpu_to_le_64(nvme_now_ms() - c->st->reset_ms);
	memcpy(&v, t.timestamp, sizeof(t.timestamp));
	c->st->timestamp_ms = rte_le_to_cpu_64(v);
	c->st->timestamp_at_ms = nvme_now_ms();
	c->st->timestamp_set = 1;
	nvme_pel_add(c, NVME_PEL_TIMESTAMP_EVENT, 1, &ev, sizeof(ev));
	return 0;
}

static uint16_t get_timestamp(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	struct nvme_timestamp t = {.attr = (uint8_t)(c->st->timestamp_set << 1)};
	uint64_t v = rte_cpu_to_le_64(sel == CURRENT ? nvme_timestamp_ms(c) : 0);

	memcpy(t.timestamp, &v, sizeof(t.timestamp));
	return nvme_data_out(c, e, &t, sizeof(t));
}

/* ---- the host ---- */

static uint16_t set_host_id(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	uint8_t id[16] = {0}, len = e->cdw11 & 1 ? 16 : 8;
	uint16_t status;

	/* 5.27.1.25: one format in a subsystem. */
	for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (o != c && nvme_same_subsys(o, c) && o->st->host_id_len != 0 &&
		    o->st->host_id_len != len)
			return nvme_bad(c, 11, 0, NVME_GEN(NVME_SC_HOSTID_FORMAT));
	status = nvme_data_in(c, e, id, len);
	if (status != 0)
		return status;
	if (ob_nvmeq_set_hostid(c->q, id, len) != 0)
		return NVME_SC_INTERNAL;
	memcpy(c->st->host_id, id, sizeof(id));
	c->st->host_id_len = len;
	return 0;
}

static uint16_t get_host_id(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	static const uint8_t none[16];

	return nvme_data_out(c, e, sel == CURRENT ? c->st->host_id : none, e->cdw11 & 1 ? 16 : 8);
}

/* ---- of a namespace ---- */

/* Calls fn for the namespace, or with the broadcast number for all. */
static uint16_t each_ns(struct ob_nvme *c, const struct ob_nvme_sqe *e,
    uint16_t (*fn)(struct ob_nvme *c, uint32_t nsid, uint32_t v), uint32_t v)
{
	uint16_t status = 0;

	if (e->nsid != NVME_BROADCAST)
		return nvme_ns_attached(c, e->nsid)
			   ? fn(c, e->nsid, v)
			   : nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS && status == 0; nsid++)
		if (nvme_ns_attached(c, nsid))
			status = fn(c, nsid, v);
	return status;
}

static uint16_t check_ns(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	return nvme_ns_attached(c, e->nsid) ? 0 : nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
}

static uint16_t ns_recovery(struct ob_nvme *c, uint32_t nsid, uint32_t v)
{
	c->st->ns[nsid - 1].error_recovery = v;
	return 0;
}

static uint16_t set_recovery(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	if (e->cdw11 >> 16 & 1) /* DULBE: NSFEAT says that there is no such error */
		return bad11(c, 16);
	return each_ns(c, e, ns_recovery, e->cdw11 & 0xffff);
}

static uint16_t get_recovery(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	uint16_t status = check_ns(c, e);

	if (status == 0)
		c->result = sel == CURRENT ? c->st->ns[e->nsid - 1].error_recovery : 0;
	return status;
}

static uint16_t ns_resv_mask(struct ob_nvme *c, uint32_t nsid, uint32_t v)
{
	c->st->ns[nsid - 1].resv_mask = v;
	return 0;
}

static uint16_t set_resv_mask(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	return each_ns(c, e, ns_resv_mask, e->cdw11 & RESV_MASK);
}

static uint16_t get_resv_mask(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	uint16_t status = check_ns(c, e);

	if (status == 0)
		c->result = sel == CURRENT ? c->st->ns[e->nsid - 1].resv_mask : 0;
	return status;
}

static uint16_t ns_ptpl(struct ob_nvme *c, uint32_t nsid, uint32_t v)
{
	int rc = ob_nvme_ns_set_ptpl(nvme_ns(c, nsid), v != 0);

	return rc == 0 ? 0 : rc == -ENOTSUP ? bad11(c, 0) : NVME_SC_INTERNAL;
}

static uint16_t set_ptpl(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	return each_ns(c, e, ns_ptpl, e->cdw11 & 1);
}

static uint16_t get_ptpl(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	struct ob_nvme_ns_info i;
	uint16_t status = check_ns(c, e);

	if (status != 0)
		return status;
	ob_nvme_ns_info(nvme_ns(c, e->nsid), &i);
	c->result = sel == CURRENT && i.ptpl;
	return 0;
}

static uint16_t set_wp(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	unsigned state = e->cdw11 & 7;
	uint16_t status = check_ns(c, e);
	struct ob_nvme_ns *ns = nvme_ns(c, e->nsid);
	int rc;

	if (status != 0)
		return status;
	/* Identify NWPC: not for ever. */
	if (state > OB_NVME_WP_UNTIL_POWER_CYCLE)
		return bad11(c, 0);
	rc = ob_nvme_ns_set_wp(ns, (enum ob_nvme_wp)state);
	if (rc == -EBUSY)
		return NVME_SC_FORMAT_IN_PROGRESS;
	if (rc != 0)
		return nvme_bad(c, 11, 0, NVME_CMD(NVME_SC_FEATURE_NOT_CHANGEABLE));
	/* Others learn of it; who asked knows (figure 146). */
	for (struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (o != c && nvme_ns(o, e->nsid) == ns)
			nvme_ns_tell_changed(o, e->nsid);
	return 0;
}

static uint16_t get_wp(struct ob_nvme *c, const struct ob_nvme_sqe *e, enum select sel)
{
	struct ob_nvme_ns_info i;
	uint16_t status = check_ns(c, e);

	if (status != 0)
		return status;
	ob_nvme_ns_info(nvme_ns(c, e->nsid), &i);
	c->result = sel == CURRENT ? i.wp : 0;
	return 0;
}

/* ---- the table ---- */

static const struct feature features[] = {
    {NVME_FEAT_FID_ARBITRATION, SAVE | CHANGE, set_arbitration, get_arbitration},
    {NVME_FEAT_FID_POWER_MGMT, SAVE | CHANGE, set_power, get_power},
    {NVME_FEAT_FID_TEMP_THRESH, SAVE | CHANGE, set_temp, get_temp},
    {NVME_FEAT_FID_ERR_RECOVERY, PER_NS | CHANGE, set_recovery, get_recovery},
    {NVME_FEAT_FID_VOLATILE_WC, SAVE | CHANGE, set_vwc, get_vwc},
    {NVME_FEAT_FID_NUM_QUEUES, CHANGE, set_queues, get_queues},
    {NVME_FEAT_FID_IRQ_COALESCE, SAVE | CHANGE, set_coalescing, get_coalescing},
    {NVME_FEAT_FID_IRQ_CONFIG, CHANGE, set_vector, get_vector},
    {NVME_FEAT_FID_WRITE_ATOMIC, SAVE | CHANGE, set_atomicity, get_atomicity},
    {NVME_FEAT_FID_ASYNC_EVENT, SAVE | CHANGE, set_async, get_async},
    {NVME_FEAT_FID_TIMESTAMP, CHANGE, set_timestamp, get_timestamp},
    {NVME_FEAT_FID_KATO, CHANGE, set_kato, get_kato},
    {NVME_FEAT_FID_SW_PROGRESS, SAVE | CHANGE, set_progress, get_progress},
    {NVME_FEAT_FID_HOST_ID, CHANGE, set_host_id, get_host_id},
    {NVME_FEAT_FID_RESV_MASK, PER_NS | CHANGE, set_resv_mask, get_resv_mask},
    {NVME_FEAT_FID_RESV_PERSIST, PER_NS | CHANGE, set_ptpl, get_ptpl},
    {NVME_FEAT_FID_WRITE_PROTECT, PER_NS | CHANGE, set_wp, get_wp},
};

static const struct feature *lookup(uint8_t fid)
{
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (features[i].fid == fid)
			return &features[i];
	return NULL;
}

bool nvme_feature_supported(uint8_t fid, bool *per_ns)
{
	const struct feature *f = lookup(fid);

	if (f != NULL)
		*per_ns = (f->caps & PER_NS) != 0;
	return f != NULL;
}

uint16_t nvme_set_features(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	const struct feature *f = lookup((uint8_t)e->cdw10);

	if (f == NULL)
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if ((e->cdw10 >> 31) && !(f->caps & SAVE))
		return nvme_bad(c, 10, 31, NVME_CMD(NVME_SC_FEATURE_NOT_SAVEABLE));
	if (!(f->caps & PER_NS) && e->nsid != 0 && e->nsid != NVME_BROADCAST)
		return nvme_bad(c, 1, 0, NVME_CMD(NVME_SC_FEATURE_NOT_PER_NS));
	return f->set(c, e);
}

uint16_t nvme_get_features(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	const struct feature *f = lookup((uint8_t)e->cdw10);
	unsigned sel = e->cdw10 >> 8 & 7;

	if (f == NULL)
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (sel > SUPPORTED)
		return nvme_bad(c, 10, 8, NVME_GEN(NVME_SC_INVALID_FIELD));
	if (sel == SUPPORTED) {
		c->result = f->caps;
		return 0;
	}
	/* What cannot be saved has its default as saved value (5.15.1). */
	if (sel == SAVED && !(f->caps & SAVE))
		sel = DEFAULT;
	return f->get(c, e, (enum select)sel);
}

/* ---- power on, reset ---- */

void nvme_features_init(struct ob_nvme *c)
{
	memcpy(c->st->saved, defaults, sizeof(defaults));
	memcpy(c->st->feat, defaults, sizeof(defaults));
}

void nvme_features_reset(struct ob_nvme *c)
{
	struct nvme_state *st = c->st;
	uint8_t was[sizeof(st->vector_no_coalesce)];

	memcpy(st->feat, st->saved, sizeof(st->feat));
	memcpy(was, st->vector_no_coalesce, sizeof(was));
	memset(st->vector_no_coalesce, 0, sizeof(st->vector_no_coalesce));
	for (unsigned v = 0; v < nvme_n_vectors(c); v++)
		if (was[v / 8] >> v % 8 & 1)
			(void)ob_nvmeq_set_vector_coalescing(c->q, (uint16_t)v, true);
	apply_coalescing(c);
	ob_nvmeq_set_wce(c->q, st->feat[NVME_F_VWC] & 1);
	memset(st->host_id, 0, sizeof(st->host_id));
	st->host_id_len = 0;
	(void)ob_nvmeq_set_hostid(c->q, st->host_id, sizeof(st->host_id));
	for (unsigned i = 0; i < OB_NVME_MAX_NS; i++) {
		st->ns[i].error_recovery = 0;
		st->ns[i].resv_mask = 0;
	}
	nvme_kato_restart(c);
}
