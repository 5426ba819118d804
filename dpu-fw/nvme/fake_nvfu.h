/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands in for the vfio-user server in the tests of this folder: records what it is told, answers what the test says. */
#pragma once

#include "ob_vfu.h"

#define FAKE_NVFU_MAX 4 /* controllers */

struct fake_nvfu {
	bool exists;
	struct ob_vfu_conf conf;
	bool msix, intx;
	int vector_fd[65];
	unsigned n_irq[65];
	unsigned n_checks; /* of the host's memory being shared */
};
extern struct fake_nvfu fake_nvfu[FAKE_NVFU_MAX]; /* in the order of their creation */
extern int fake_nvfu_create_rc;

void fake_nvfu_reset(void);
