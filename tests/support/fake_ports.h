/* SPDX-License-Identifier: BSD-3-Clause */
/* Stand-ins for the two neighbours of a function, for its tests: the packet side (vif) and the PCI server (vfu). They record
 * what they are told and answer what the test says. One function at a time. */
#pragma once

#include "ob_vfu.h"
#include "ob_virtio.h"

#define FAKE_MAX_QUEUES 32
#define FAKE_MAX_CAPS	8

struct fake_vif {
	bool exists;
	struct ob_vif_conf conf;
	uint64_t features;
	bool link;
	struct ob_vif_filter filter;
	struct ob_vif_steering steering;
	bool running[FAKE_MAX_QUEUES], resume[FAKE_MAX_QUEUES];
	struct ob_virtq_conf queue[FAKE_MAX_QUEUES];
	int irq_fd[FAKE_MAX_QUEUES];
	int32_t start_idx[FAKE_MAX_QUEUES], stop_pos[FAKE_MAX_QUEUES];
	unsigned n_kicks[FAKE_MAX_QUEUES];
	void (*on_broken)(void *ctx, unsigned q);
	void *on_broken_ctx;
	int start_rc, filter_rc, create_rc; /* what those calls return */
};
extern struct fake_vif fake_vif;

struct fake_cap {
	uint8_t id, body[32];
	size_t len;
	unsigned window_off, window_len;
};

struct fake_vfu {
	bool exists;
	struct ob_vfu_conf conf;
	struct fake_cap cap[FAKE_MAX_CAPS];
	unsigned n_caps;
	bool msix, intx;
	int vector_fd[64];
	unsigned n_irq[64];
	unsigned n_intx, n_checks;
	int create_rc;
};
extern struct fake_vfu fake_vfu;

/* Forgets all; no function may exist. */
void fakes_reset(void);
