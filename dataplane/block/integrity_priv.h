/* SPDX-License-Identifier: BSD-3-Clause */
/* End-to-end protection, inside: device, format and recovery (integrity.c), tags and I/O of a channel (integrity_io.c).
 *
 * The tag device: a header of 4096 bytes, then pages of 512 tags in the order of the blocks. A tag is two little-endian words: CRC32C of what
 * the block is to hold, and of what it held before. 0 stands for "reads as zeroes" (a CRC of 0 is stored as 1).
 *
 * A write puts {new, old} on the tag device first and the data after, so that whenever the process dies the block's data fits one of
 * the two. A FLUSH makes the data durable, then turns {new, old} of what it covers into {new, new}. What is found as {new, old} at
 * creation was under way: its block is read and the tag settled. So old data is never accepted for new once a FLUSH has answered.
 */
#pragma once

#include <pthread.h>
#include <string.h>

#include <isa-l.h>

#include "block_priv.h"
#include "pool.h"

#define INTEG_PAGE	4096u
#define INTEG_PAGE_TAGS 512u
#define INTEG_N_LOCKS	64

struct integ_tag {
	uint32_t now, before; /* little-endian */
};

struct piece;

/* What belongs to a page of tags; under its lock. */
struct integ_page {
	uint64_t
	    busy[INTEG_PAGE_TAGS / 64]; /* a write is between its tag and the end of its data */
	uint64_t doubt[INTEG_PAGE_TAGS / 64]; /* a write failed: the block may hold either */
	uint64_t ripe[INTEG_PAGE_TAGS / 64];  /* written before the FLUSH under way began */
	struct piece *riding;  /* their tags are in the write of the page under way */
	struct piece *next;    /* in the one after it */
	struct piece *blocked; /* want a busy block */
	struct integ_page *dirty_next, *flush_next;
	uint32_t gen; /* counts writes that ended */
	bool writing, dirty;
};

struct integ {
	struct ob_blk b; /* child 0: data, 1: tags */
	uint32_t block_bytes;
	uint64_t n_pages, n_mapped;
	struct integ_tag *tags; /* all of them, n_pages * 512 */
	struct integ_page *pages;
	bool fua;
	pthread_mutex_t locks[INTEG_N_LOCKS]; /* of pages, by number */
	pthread_mutex_t lock;		      /* of the rest, taken after a page's */
	struct integ_page *dirty;	      /* pages with {new, old} that no FLUSH has settled */
	bool flushing;
	struct piece *flush_wait;
};

static inline uint32_t integ_crc(uint64_t block, const void *data, uint32_t len)
{
	uint64_t number = htole64(block);
	union {
		const void *c;
		unsigned char *m;
	} u = {.c = data}; /* the library forgot a const */
	/* The number in the sum: a block that was written to the wrong place does not fit. */
	uint32_t crc = crc32_iscsi((unsigned char *)&number, sizeof(number), ~0u);

	crc = crc32_iscsi(u.m, (int)len, crc);
	return crc != 0 ? crc : 1;
}

static inline pthread_mutex_t *integ_lock_of(struct integ *d, uint64_t page)
{
	return &d->locks[page % INTEG_N_LOCKS];
}

extern const struct blk_ops integ_ops;

/* Context: control. */
void integ_destroy(struct ob_blk *b);
int integ_resize(struct ob_blk *b, uint64_t bytes);
void integ_child_changed(struct ob_blk *b);
