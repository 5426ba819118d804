/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers of a channel, for layers that must not work in the submitter's memory: pieces that are multiples of 4096 bytes, in a bounded
 * number; 5 MiB at most, touched only as far as they were ever needed at once. Context: the channel's owner. */
#pragma once

#include "block_priv.h"

#define BLK_POOL_SMALL	   4096u
#define BLK_POOL_N_SMALL   512u
#define BLK_POOL_MAX_SMALL 4u /* pieces; what is longer takes big ones */
#define BLK_POOL_BIG	   65536u
#define BLK_POOL_N_BIG	   48u
#define BLK_POOL_PIECES	   (OB_BLK_MAX_BYTES / BLK_POOL_BIG)

struct blk_pool {
	uint8_t *small_base, *big_base;
	unsigned n_small, n_big; /* free ones */
	uint16_t small[BLK_POOL_N_SMALL], big[BLK_POOL_N_BIG];
};

struct blk_buf {
	uint16_t n;
	bool big;
	uint16_t piece[BLK_POOL_PIECES];
	struct iovec iov[BLK_POOL_PIECES]; /* 'n' of them */
};

/* Context: control. Returns 0, -ENOMEM. A closed or zeroed pool may be closed. */
int blk_pool_open(struct blk_pool *p);
void blk_pool_close(struct blk_pool *p);
/* 'len': up to OB_BLK_MAX_BYTES. False: there is not enough now; nothing was taken. */
bool blk_pool_get(struct blk_pool *p, uint64_t len, struct blk_buf *b);
void blk_pool_put(struct blk_pool *p, struct blk_buf *b);
