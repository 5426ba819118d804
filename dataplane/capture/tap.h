/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/capture only: what workers see of the captures. */
#pragma once

#include "capture_priv.h"

/* A capture as workers see it. */
struct active {
	struct ob_capture_filter filter;
	uint32_t snaplen;
	uint8_t n_ifs;
	struct ob_capture_if ifs[OB_CAPTURE_MAX_IFS];
	struct ring *ring[OB_MAX_WORKERS];
};

/* All of them, immutable. */
struct program {
	uint8_t
	    by_vif[OB_MAX_VIFS + 1]; /* bit per entry of 'active'; the last row is the uplink's */
	struct active active[OB_CAPTURE_MAX];
};
static_assert(OB_CAPTURE_MAX <= 8, "bits of by_vif");

/* Gives the workers another program; NULL: none. The old one may be in use until a grace period has passed. */
void tap_publish(const struct program *p);
void capture_tap(struct ob_worker *w, const struct rte_mbuf *pkt, const struct ob_seen *seen);
