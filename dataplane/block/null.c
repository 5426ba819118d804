/* SPDX-License-Identifier: BSD-3-Clause */
/* A device without a medium: what is left is the cost of everything above it. */
#include "ob_block.h"

#include <errno.h>

#include "block_priv.h"

static void null_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blk_complete_now(ch, ios[i], 0);
}

static int null_resize(struct ob_blk *b, uint64_t bytes)
{
	blk_changed(b, bytes);
	return 0;
}

static const struct blk_ops null_ops = {
    .kind = "null",
    .dev_bytes = sizeof(struct ob_blk),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .submit = null_submit,
    .resize = null_resize,
};

int ob_blk_null_create(const char *name, uint64_t bytes, uint32_t block_bytes, struct ob_blk **out,
    char *err, size_t err_len)
{
	struct ob_blk *b;
	int rc;

	rc = blk_check_size(bytes, block_bytes, err, err_len);
	if (rc != 0)
		return rc;
	rc = blk_new(&null_ops, name, NULL, 0, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc,
		    rc == -EINVAL ? "a name is 1 to 31 of A-Z a-z 0-9 _ . -" : "no memory");
	b->info.bytes = bytes;
	b->info.block_bytes = b->info.phys_block_bytes = block_bytes;
	b->info.discard_bytes = block_bytes;
	b->info.write_zeroes = true;
	*out = b;
	return 0;
}
