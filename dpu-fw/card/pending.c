/* SPDX-License-Identifier: BSD-3-Clause */
/* What the card calls and other folders do not have yet. Each goes when they have it. */
#include <errno.h>

#include "ob_block.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

__attribute__((weak, noinline)) int ob_blk_integrity_create(const char *name, struct ob_blk *below,
    struct ob_blk *tags, const struct ob_blk_integrity_conf *conf, struct ob_blk **out, char *err,
    size_t err_len)
{
	return -ENOTSUP;
}
