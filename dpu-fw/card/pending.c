/* SPDX-License-Identifier: BSD-3-Clause */
/* What the card calls and other folders do not have yet. Each goes when they have it. */
#include <errno.h>

#include "ob_block.h"
#include "ob_vblk.h"

#define MISSING(proto)                        \
	__attribute__((weak, noinline)) proto \
	{                                     \
		return -ENOTSUP;              \
	}
#define NOTHING(proto)                        \
	__attribute__((weak, noinline)) proto \
	{                                     \
	}
#pragma GCC diagnostic ignored "-Wunused-parameter"

MISSING(int ob_blk_concat_create(const char *name, struct ob_blk *const *children,
    unsigned n_children, struct ob_blk **out, char *err, size_t err_len))
MISSING(int ob_blk_stripe_create(const char *name, struct ob_blk *const *children,
    unsigned n_children, uint32_t chunk_bytes, struct ob_blk **out, char *err, size_t err_len))
MISSING(int ob_blk_cow_create(const char *name, const struct ob_blk_cow_conf *conf,
    struct ob_blk **out, char *err, size_t err_len))
MISSING(int ob_blk_cow_snapshot(struct ob_blk *b, const char *snap, char *err, size_t err_len))
MISSING(int ob_blk_cow_snap_open(struct ob_blk *b, const char *snap, const char *name,
    struct ob_blk **out, char *err, size_t err_len))
MISSING(int ob_blk_cow_snap_delete(struct ob_blk *b, const char *snap, char *err, size_t err_len))
MISSING(int ob_blk_integrity_create(const char *name, struct ob_blk *below, struct ob_blk *tags,
    const struct ob_blk_integrity_conf *conf, struct ob_blk **out, char *err, size_t err_len))

MISSING(int ob_vblk_event_fd(void))
__attribute__((weak, noinline)) unsigned ob_vblk_poll_events(void)
{
	return 0;
}
MISSING(int ob_vblk_queue_counters(
    const struct ob_vblk *vb, unsigned q, struct ob_vblk_queue_counters *out))
