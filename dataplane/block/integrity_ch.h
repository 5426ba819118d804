/* SPDX-License-Identifier: BSD-3-Clause */
/* Integrity: a channel, for integrity_io.c and integrity_flush.c. */
#pragma once

#include "integrity_priv.h"

#define N_OPS	   256u
#define N_PIECES   256u
#define N_SETTLERS 16u /* pages that a FLUSH writes at once */

enum step {
	START,	    /* a busy block was in the way */
	WRITE_PAGE, /* tags wait in the page, and it is ours to write */
	TAGS_DONE,
	FLUSH_TURN,
};

struct op {
	struct ob_blk_io *up; /* NULL: free */
	uint64_t at;	      /* of 'up', for which pieces exist */
	uint32_t n_out;
	int result;
	struct op *next;
};

struct piece {
	struct ob_blk_io io;
	struct iovec iov; /* of the page */
	struct integ_ch *c;
	struct op *op;
	struct piece *next; /* of a page's list, or of free ones */
	struct piece *inbox_next;
	uint8_t *page_copy;
	uint64_t page;
	uint64_t at;	   /* bytes of op->up */
	uint32_t first, n; /* tags of the page */
	uint32_t gen;
	uint16_t n_rereads;
	uint8_t step;	      /* enum step, while in an inbox */
	bool settler, in_use; /* in_use: of settlers */
	int tag_rc;
	struct blk_buf buf;
};

struct integ_ch {
	struct ob_blk_ch ch;
	struct blk_list waiting;
	struct op *cur; /* its pieces are not all there yet */
	struct op *free_ops;
	struct piece *free_pieces;
	struct blk_pool pool;
	uint8_t *copies;
	struct piece *inbox; /* pushed by any channel */
	uint32_t armed, kicked;
	/* The FLUSH of this channel that has its turn. */
	struct piece *flush;
	struct integ_page *to_settle;
	unsigned n_settling;
	bool in_settle, pumping;
	uint32_t crc[INTEG_PAGE_TAGS];
	struct op ops[N_OPS];
	struct piece pieces[N_PIECES];
	struct piece settlers[N_SETTLERS];
};

static inline struct integ_ch *ch_of(struct ob_blk_ch *ch)
{
	return (struct integ_ch *)(void *)ch;
}

static inline struct integ *dev_of(const struct integ_ch *c)
{
	return (struct integ *)(void *)c->ch.b;
}

static inline struct integ_page *page_of(const struct piece *p)
{
	return &dev_of(p->c)->pages[p->page];
}

static inline struct integ_tag *tags_of(const struct piece *p)
{
	return &dev_of(p->c)->tags[p->page * INTEG_PAGE_TAGS];
}

static inline uint64_t block_of(const struct piece *p, uint32_t i)
{
	return p->page * INTEG_PAGE_TAGS + p->first + i;
}

static inline bool bit(const uint64_t *map, uint32_t i)
{
	return map[i / 64] >> i % 64 & 1;
}

static inline void put_bit(uint64_t *map, uint32_t i, bool v)
{
	map[i / 64] = (map[i / 64] & ~(1ull << i % 64)) | (uint64_t)v << i % 64;
}

/* Lets piece 'p' take its next step, on its own channel. 'here': whose owner we are. No lock is held. */
void integ_hand(struct integ_ch *here, struct piece *p, enum step step);
/* Gives the piece back, and ends its I/O with the last one. */
void integ_piece_ends(struct piece *p, int rc);
/* The page 'p->page' is locked: 'p' rides in its next write. True: it is ours to write. */
bool integ_ride(struct piece *p);
/* 'p' rides in the page's next write, and does it. */
void integ_start_page_write(struct piece *p);
/* The page is locked: it has tags that no FLUSH has settled. */
void integ_mark_dirty(struct integ *d, struct integ_page *g);

/* FLUSH (integrity_flush.c): takes its turn, at once or later; has its turn; a page of it is written. */
void integ_flush_enter(struct piece *p);
void integ_flush_begin(struct piece *p);
void integ_settled(struct piece *s);
