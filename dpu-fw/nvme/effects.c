/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages that tell what there is: Commands Supported and Effects, Feature Identifiers Supported and Effects; and the vendor page. */
#include <string.h>

#include <rte_byteorder.h>

#include "logs.h"

#define CHANGES_DATA NVME_CMD_EFFECTS_LBCC
#define ALONE_IN_NS  (1u << 16) /* CSE: nothing else to that namespace meanwhile */

static uint32_t admin_effects(uint8_t opcode)
{
	switch (opcode) {
	case nvme_admin_format_nvm:
		return CHANGES_DATA | NVME_CMD_EFFECTS_NCC | ALONE_IN_NS;
	case nvme_admin_ns_mgmt:
		return CHANGES_DATA | NVME_CMD_EFFECTS_NIC;
	case nvme_admin_ns_attach:
		return NVME_CMD_EFFECTS_NIC;
	default:
		return 0;
	}
}

static const struct {
	uint8_t opcode;
	uint32_t effects;
} io[] = {
    {nvme_cmd_flush, 0},
    {nvme_cmd_write, CHANGES_DATA},
    {nvme_cmd_read, 0},
    {nvme_cmd_compare, 0},
    {nvme_cmd_write_zeroes, CHANGES_DATA},
    {nvme_cmd_dsm, CHANGES_DATA},
    {nvme_cmd_verify, 0},
    {nvme_cmd_resv_register, 0},
    {nvme_cmd_resv_report, 0},
    {nvme_cmd_resv_acquire, 0},
    {nvme_cmd_resv_release, 0},
    {nvme_cmd_copy, CHANGES_DATA},
};

uint16_t nvme_log_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_cmd_effects_log *l = (struct nvme_cmd_effects_log *)(void *)buf;

	(void)r;
	for (unsigned i = 0; i < 256; i++)
		if (nvme_admin_supports(c, (uint8_t)i))
			l->acs[i] =
			    rte_cpu_to_le_32(NVME_CMD_EFFECTS_CSUPP | admin_effects((uint8_t)i));
	for (unsigned i = 0; i < sizeof(io) / sizeof(io[0]); i++)
		l->iocs[io[i].opcode] = rte_cpu_to_le_32(NVME_CMD_EFFECTS_CSUPP | io[i].effects);
	return 0;
}

uint16_t nvme_log_feature_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct nvme_fid_supported_effects_log *l =
	    (struct nvme_fid_supported_effects_log *)(void *)buf;
	bool per_ns;

	(void)c;
	(void)r;
	for (unsigned i = 0; i < 256; i++) {
		uint32_t v;

		if (!nvme_feature_supported((uint8_t)i, &per_ns))
			continue;
		v = NVME_FID_SUPPORTED_EFFECTS_FSUPP |
		    (per_ns ? NVME_FID_SUPPORTED_EFFECTS_SCOPE_NS
			    : NVME_FID_SUPPORTED_EFFECTS_SCOPE_CTRL)
			<< NVME_FID_SUPPORTED_EFFECTS_SCOPE_SHIFT;
		if (i == NVME_FEAT_FID_WRITE_PROTECT)
			v |= NVME_FID_SUPPORTED_EFFECTS_NCC;
		l->fid_support[i] = rte_cpu_to_le_32(v);
	}
	return 0;
}

/* There is no management interface: no command of it is supported. */
uint16_t nvme_log_mi_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	(void)c;
	(void)r;
	(void)buf;
	return 0;
}

/* ---- C0h ---- */

static void add(struct ob_blk_stats *sum, const struct ob_blk_stats *s)
{
	for (unsigned i = 0; i < OB_BLK_N_OPS; i++) {
		sum->n_ios[i] += s->n_ios[i];
		sum->n_bytes[i] += s->n_bytes[i];
		sum->n_errors[i] += s->n_errors[i];
		sum->lat_sum_ns[i] += s->lat_sum_ns[i];
	}
	sum->throttled_ns += s->throttled_ns;
	sum->n_throttled += s->n_throttled;
	for (unsigned d = 0; d < 2; d++)
		for (unsigned i = 0; i < OB_BLK_LAT_CLASSES; i++)
			sum->lat[d][i] += s->lat[d][i];
}

static void encode(const struct ob_blk_stats *s, struct ob_nvme_vendor_log *l)
{
	static_assert(OB_BLK_N_OPS == 5, "as in the page");

	memcpy(l->magic, "OBNVMEIO", sizeof(l->magic));
	l->version = rte_cpu_to_le_32(OB_NVME_VENDOR_LOG_VERSION);
	l->n_classes = rte_cpu_to_le_32(OB_BLK_LAT_CLASSES);
	l->throttled_ns = rte_cpu_to_le_64(s->throttled_ns);
	l->n_throttled = rte_cpu_to_le_64(s->n_throttled);
	for (unsigned i = 0; i < OB_BLK_N_OPS; i++) {
		l->n_ios[i] = rte_cpu_to_le_64(s->n_ios[i]);
		l->n_bytes[i] = rte_cpu_to_le_64(s->n_bytes[i]);
		l->n_errors[i] = rte_cpu_to_le_64(s->n_errors[i]);
		l->lat_sum_ns[i] = rte_cpu_to_le_64(s->lat_sum_ns[i]);
	}
	for (unsigned d = 0; d < 2; d++) {
		l->lat_p50_ns[d] = rte_cpu_to_le_64(ob_blk_lat_quantile_ns(s->lat[d], 0.5));
		l->lat_p99_ns[d] = rte_cpu_to_le_64(ob_blk_lat_quantile_ns(s->lat[d], 0.99));
		l->lat_p999_ns[d] = rte_cpu_to_le_64(ob_blk_lat_quantile_ns(s->lat[d], 0.999));
		for (unsigned i = 0; i < OB_BLK_LAT_CLASSES; i++)
			l->lat[d][i] = rte_cpu_to_le_64(s->lat[d][i]);
	}
}

uint16_t nvme_log_vendor(struct ob_nvme *c, const struct log_request *r, uint8_t *buf)
{
	struct ob_blk_stats sum = {0};
	struct ob_nvme_ns_stats s;
	bool all = r->nsid == 0 || r->nsid == NVME_BROADCAST;

	if (!all && !nvme_ns_attached(c, r->nsid))
		return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++) {
		if (!nvme_ns_attached(c, nsid) || (!all && nsid != r->nsid))
			continue;
		ob_nvme_ns_stats(nvme_ns(c, nsid), &s);
		add(&sum, &s.blk);
	}
	encode(&sum, (struct ob_nvme_vendor_log *)(void *)buf);
	return 0;
}
