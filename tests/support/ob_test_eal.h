/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL for unit tests and fuzz targets: no hugepages, no files, no devices; once per process. */
#pragma once

#include <stdlib.h>

#include <rte_common.h>
#include <rte_eal.h>

static inline void ob_test_eal(void)
{
	char *argv[] = {(char[]){"test"}, (char[]){"--no-huge"}, (char[]){"--no-shconf"},
	    (char[]){"--no-pci"}, (char[]){"--no-telemetry"}, (char[]){"-m"}, (char[]){"256"},
	    (char[]){"-l"}, (char[]){"0"}, (char[]){"--log-level=lib.eal:4"}};
	static int done;

	if (done)
		return;
	if (rte_eal_init((int)RTE_DIM(argv), argv) < 0)
		abort();
	done = 1;
}
