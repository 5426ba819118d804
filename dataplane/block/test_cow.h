/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of thin devices: made, opened, filled and read in one line. */
#pragma once

#include <stdlib.h>

#include "test_rig.h"

#include "cow.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static char err[512];
static uint8_t buf[256 * KIB], back[256 * KIB];

static inline struct ob_blk *ram(uint64_t bytes)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_ram_create("ram", bytes, 512, &b, err, sizeof(err)), 0);
	return b;
}

static inline int thin_rc(struct ob_blk *store, struct ob_blk *parent, uint64_t bytes,
    uint32_t cluster, struct ob_blk **b)
{
	const struct ob_blk_cow_conf conf = {.store = store,
	    .parent = parent,
	    .create = bytes != UINT64_MAX,
	    .bytes = bytes == UINT64_MAX ? 0 : bytes,
	    .cluster_bytes = cluster};

	return ob_blk_cow_create("thin", &conf, b, err, sizeof(err));
}

static inline struct ob_blk *thin(
    struct ob_blk *store, struct ob_blk *parent, uint64_t bytes, uint32_t cluster)
{
	struct ob_blk *b;

	assert_int_equal(thin_rc(store, parent, bytes, cluster, &b), 0);
	assert_string_equal(err, "");
	return b;
}

static inline struct ob_blk *reopen(struct ob_blk *store, struct ob_blk *parent)
{
	struct ob_blk *b;

	assert_int_equal(thin_rc(store, parent, UINT64_MAX, 0, &b), 0);
	return b;
}

static inline struct ob_blk_ch *open_ch(struct ob_blk *b)
{
	struct ob_blk_ch *ch;

	assert_int_equal(ob_blk_ch_open(b, &ch), 0);
	return ch;
}

static inline uint64_t n_free(struct ob_blk *b)
{
	struct ob_blk_cow_status st;

	assert_int_equal(ob_blk_cow_status(b, &st), 0);
	return st.n_free_clusters;
}

/* All of [off, off + len) reads as 'byte'. */
static inline void expect(struct ob_blk_ch *ch, uint64_t off, uint64_t len, uint8_t byte)
{
	memset(back, 0xa5, len);
	assert_int_equal(test_rw(ch, OB_BLK_READ, 0, off, back, len), 0);
	for (uint64_t i = 0; i < len; i++)
		assert_int_equal(back[i], byte);
}

static inline void put(struct ob_blk_ch *ch, uint64_t off, uint64_t len, uint8_t byte)
{
	memset(buf, byte, len);
	assert_int_equal(test_rw(ch, OB_BLK_WRITE, 0, off, buf, len), 0);
}
