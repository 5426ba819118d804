/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages that have a file of their own, and the one of this card's. */
#pragma once

#include "nvme.h"

#define NVME_LOG_VENDOR 0xc0
#define NVME_PEL_MAX	65536u

struct log_request {
	uint32_t nsid;
	uint8_t lid, lsp;
	bool retain; /* RAE */
};

/* Fills 'buf' (zeroed, room for the whole page). Returns 0 or the status. */
typedef uint16_t (*log_fn)(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);

uint16_t nvme_log_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);
uint16_t nvme_log_feature_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);
uint16_t nvme_log_mi_effects(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);
uint16_t nvme_log_pel(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);
uint16_t nvme_log_vendor(struct ob_nvme *c, const struct log_request *r, uint8_t *buf);
