/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the core only: what the kinds do not see. */
#pragma once

#include "block_priv.h"

struct blk_listener {
	void (*fn)(void *ctx); /* NULL: gone, swept out when nobody walks the list */
	void *ctx;
	struct blk_listener *next;
};

/* Control's side of a device. */
struct blk_core {
	unsigned n_refs;
	unsigned n_telling; /* blk_changed walks the listeners */
	struct blk_listener *listeners;
	struct ob_blk **parents;
	unsigned n_parents;
	struct ob_blk_ch *channels;
	struct ob_blk_stats closed; /* of channels that are gone */
};

/* Emulation of WRITE_ZEROES (zeroes.c). Context: owner, but for open and close. */
int blk_zeroes_open(struct ob_blk_ch *ch);
void blk_zeroes_close(struct ob_blk_ch *ch);
void blk_zeroes_start(struct ob_blk_ch *ch, struct ob_blk_io *io);
void blk_zeroes_poll(struct ob_blk_ch *ch);
bool blk_zeroes_ready(const struct ob_blk_ch *ch);
void blk_zeroes_cancel(struct ob_blk_ch *ch, const void *owner);
/* done() of the writes that it makes: how blk_complete knows them. */
void blk_zeroes_done(struct ob_blk_io *sub);

/* Statistics (stat.c). */
void blk_stats_init(void);
void blk_stats_add(struct ob_blk_stats *to, const struct ob_blk_stats *from);
void blk_stats_lat(struct ob_blk_stats *st, uint8_t op, uint64_t tsc);

/* Adds to a counter that only this thread writes and others read. */
static inline void blk_count(uint64_t *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}
