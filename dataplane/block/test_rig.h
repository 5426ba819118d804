/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests: random I/Os over some channels of a device, and a model that knows what each sector may hold.
 *
 * Each sector that is written holds {sector, version} all over. I/Os under way never overlap, so that a sector's versions have an order.
 * After an I/O the content is known; after a crash it is any version from the last one that was made durable on. */
#pragma once

#include "test_block.h"

#define RIG_SECTOR  512u
#define RIG_IO_MAX  (192u << 10)
#define RIG_DEPTH   24
#define RIG_MAX_CH  3
#define RIG_MAX_IOV 40

struct rig_sector {
	uint32_t submitted; /* greatest version */
	uint32_t
	    acked; /* RIG_ANY: discarded, or failed: any version up to 'submitted', or zeroes */
	uint32_t durable; /* versions below it must not come back after a crash */
	int32_t zeroed;	  /* greatest version that is of zeroes; -1 none */
	uint32_t busy;
};
#define RIG_ANY UINT32_MAX

struct rig_slot {
	struct ob_blk_io io; /* first */
	struct rig *r;
	bool used;
	unsigned n_done;
	struct iovec iov[RIG_MAX_IOV];
	uint8_t *buf;
	uint32_t *acked; /* of a flush: of each sector when it was submitted */
};

struct rig {
	struct ob_blk_ch *ch[RIG_MAX_CH];
	unsigned n_ch;
	uint64_t n_sectors;
	struct rig_sector *s; /* in shared memory: it outlives the process */
	uint64_t rng;
	unsigned n_used;
	struct rig_slot slot[RIG_DEPTH];
	uint64_t n_ios, n_errors, n_bad;
	uint64_t bad_sector;
	int allowed_error; /* may come instead of 0 */
	bool odd_iov;	   /* vectors of any length, not of whole sectors */
	bool no_discard, no_flush;
	bool crashed; /* what ends from now on was not acknowledged */
};

void rig_init(struct rig *r, uint64_t bytes, uint64_t seed);
void rig_fini(struct rig *r);
uint32_t rig_rand(struct rig *r);
/* Opens 'n' channels, or closes them. */
void rig_open(struct rig *r, struct ob_blk *b, unsigned n);
void rig_close(struct rig *r);
/* Submits some I/Os and polls once. */
void rig_step(struct rig *r);
void rig_drain(struct rig *r);
/* Its process is gone: nothing is under way. */
void rig_forget(struct rig *r);
/* Reads all and compares. 'crash': any version from 'durable' on is right, and is what the sector holds from now on. */
void rig_verify(struct rig *r, bool crash);
/* The version of all sectors as they are, without I/O under way; frees with free(). */
struct rig_sector *rig_copy(const struct rig *r);
/* Content of version 'version' of sector 's'. */
void rig_fill(uint8_t *to, uint64_t s, uint32_t version);

/* ---- a device that loses at a cut what was not flushed ---- */

struct ob_blk *cut_create(uint64_t bytes, uint64_t seed);
/* A new device with what the old one holds when its power fails now: of each sector that was written since the last flush, or is being written, the
 * old content or that of any of these writes. The old one's I/Os end with -EIO. */
struct ob_blk *cut_power(struct ob_blk *old, uint64_t seed);
/* Of the next I/Os of this kind, each n-th fails with 'rc'. 0: none. */
void cut_fail(struct ob_blk *b, enum ob_blk_op op, unsigned nth, int rc);
uint8_t *cut_bytes(struct ob_blk *b);
/* Notes what a cut at the n-th I/O from now on would leave, and goes on. cut_taken: that device; NULL: there were not so many. */
void cut_after(struct ob_blk *b, unsigned n);
struct ob_blk *cut_taken(struct ob_blk *b);
