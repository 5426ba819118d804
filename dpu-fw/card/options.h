/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of ob-card. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ob_worker.h"

#define OPTIONS_DPDK_ARGS 16

struct options {
	const char *bus, *run_dir, *uplink, *netns, *kernel_if, *serial, *log_level;
	unsigned n_workers;
	int cpu[OB_MAX_WORKERS];
	bool pinned; /* cpu[] has n_workers entries */
	bool poll_always, no_huge, no_prefault;
	uint16_t mtu;		       /* 0: the port's */
	unsigned mem_mb;	       /* 0: what the workers need */
	uint64_t arena_max;	       /* bytes */
	uint32_t sessions4, sessions6; /* connections a worker holds */
	const char *dpdk_arg[OPTIONS_DPDK_ARGS];
	unsigned n_dpdk_args;
};

/* Returns 0 go on; 1 all was said (--help, --version): exit 0; -EINVAL a mistake, told on stderr: exit 2. Strings point into argv. */
int options_parse(int argc, char **argv, struct options *o);
