/* SPDX-License-Identifier: BSD-3-Clause */
/* Between file.c (control) and file_ring.c (channels). */
#pragma once

#include <sys/types.h>

#include "block_priv.h"

struct file {
	struct ob_blk blk;
	int fd; /* -1 while none */
	bool bdev, direct;
	dev_t dev;
	ino_t ino;
	struct file *next_open; /* of this process */
	uint32_t mem_align;	/* of addresses under O_DIRECT; power of two, 1: any */
	uint32_t len_align;	/* of each vector's length */
	/* What the medium turned out not to do; any owner sets them, relaxed. */
	bool no_zero_range, no_punch, no_cmd;
	/* Of the page cache: what a sync was to make durable is gone. The kernel tells it once for each open file, and forgets: a
	 * later sync that succeeds covers nothing of it. Any owner sets it; until the device is closed. */
	bool lost;
};

extern const struct blk_ops file_ops;

/* A ring as channels make it, for a look whether the machine lets us. Returns 0, -errno. */
int file_ring_probe(void);
int file_resize(struct ob_blk *b, uint64_t bytes);
void file_destroy(struct ob_blk *b);
