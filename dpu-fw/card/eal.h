/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK's environment layer, so that two cards on one machine do not meet: no files, no probing, no control socket. */
#pragma once

#include <stddef.h>

#include "options.h"

/* Starts it for these options; hugepages if there are enough free ones and they were not refused. Once per process, on the main
 * thread. Returns 0, -errno with a text that says what to do. */
int eal_start(const struct options *o, char *err, size_t err_len);
void eal_stop(void);
/* "hugepages" or "no hugepages", for people. */
const char *eal_memory(void);
