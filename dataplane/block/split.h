/* SPDX-License-Identifier: BSD-3-Clause */
/* Cuts I/Os into parts for the devices below: pools of bounded size, one set per channel, and the queue of what waits for them. */
#pragma once

#include "block_priv.h"

#define SPLIT_MAX_OPS	 128
#define SPLIT_MAX_PARTS	 256
#define SPLIT_MAX_BLOCKS 32
/* Vectors of one I/O when each part starts a new one: parts are of 4 KiB at least. */
#define SPLIT_BLOCK_IOV (OB_BLK_MAX_IOV + OB_BLK_MAX_BYTES / 4096 + 1)
#define SPLIT_BATCH	32

struct split;

/* An I/O that was taken; 'pos' and 'child' are the kind's: how far it was issued. */
struct split_op {
	struct ob_blk_io *io;
	struct split_op *next;
	uint32_t n_left; /* parts under way, and one while it is issued */
	int32_t result;
	uint64_t pos;
	unsigned child;
	unsigned n_iov;	   /* used of 'iov' */
	struct iovec *iov; /* SPLIT_BLOCK_IOV, or NULL: not cut yet */
};

struct split_part {
	struct ob_blk_io io; /* first */
	struct split *sp;
	struct split_op *op;
	struct split_part *next;
};

/* A place in a vector list. */
struct split_cur {
	const struct iovec *v;
	unsigned n;
	size_t in; /* bytes of v[0] that are behind us */
};

struct split {
	struct ob_blk_ch *ch;
	/* Issues parts from op->pos on. Returns true: all of them; false: a pool is empty, call again. */
	bool (*issue)(struct split *sp, struct split_op *op);
	struct split_op *free_op, *ops;
	struct split_part *free_part, *parts;
	struct iovec *blocks;
	struct iovec *free_block[SPLIT_MAX_BLOCKS];
	unsigned n_free_blocks;
	struct split_op *cur; /* being issued */
	struct ob_blk_io *head, **tail;
	bool running, again;
	uint16_t n_batch[BLK_MAX_CHILDREN];
	struct ob_blk_io *batch[BLK_MAX_CHILDREN][SPLIT_BATCH];
};

/* Returns 0, -ENOMEM. Context: control. */
int split_init(
    struct split *sp, struct ob_blk_ch *ch, bool (*issue)(struct split *sp, struct split_op *op));
void split_fini(struct split *sp);

/* The kind's submit and cancel. */
void split_submit(struct split *sp, struct ob_blk_io *const *ios, unsigned n);
void split_cancel(struct split *sp, const void *owner);

/* For 'issue'. A part with the op's flags and owner; NULL: none free. */
struct split_part *split_part(struct split *sp, struct split_op *op);
/* Hands a part to a child, in a batch. */
void split_send(struct split *sp, unsigned child, struct split_part *p);
/* Gives a part back that cannot be issued; the op fails with 'rc'. */
void split_drop(struct split_part *p, int rc);
/* Gives the op its block of vectors. Returns false: none free. */
bool split_need_iov(struct split *sp, struct split_op *op);
void split_skip(struct split_cur *c, size_t len);
/* Cuts the next 'len' bytes of 'c' into 'out' of 'max' vectors. Returns their number, 0: does not fit. */
unsigned split_cut(struct split_cur *c, size_t len, struct iovec *out, unsigned max);

/* Properties of a device over several: what all of them can. 'bytes' is the kind's. */
void split_info(struct ob_blk *b);
/* Checks number and block sizes. Returns 0, -EINVAL with a text. */
int split_check(struct ob_blk *const *children, unsigned n_children, char *err, size_t err_len);
