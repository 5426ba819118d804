/* SPDX-License-Identifier: BSD-3-Clause */
/* From a volume's record to its block device. */
#pragma once

#include "ob_block.h"
#include "volumes.h"

struct making {
	struct volume_rec *rec;
	struct ob_blk *below[OB_BUS_VOL_LEGS + 1]; /* in the order of volume_below */
	struct keyring *keyring;
	const char *run_dir;
	bool fresh;	/* it is being added, not found in the arena */
	uint8_t choice; /* ob_bus_volume.fresh */
	char err[160];
};

/* One reference. Returns 0 or -errno with a text in 'err', or an empty one. */
int volume_make(struct making *m, struct ob_blk **out);
