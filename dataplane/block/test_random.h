/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests: random I/O over the first bytes of a device of 512-byte blocks, against a model. Vectors are cut at random and lie at random
 * addresses, many I/Os are under way at once, never two over the same block. The owner polls, and sleeps at times. */
#pragma once

#include "test_block.h"

#define TEST_RANDOM_BYTES (1u << 20)

/* What is there already may be anything. */
void test_random(struct ob_blk *b, uint64_t seed, unsigned n_ios);
