/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-blk functions: not there yet, and they say so. */
#include "ob_virtio.h"

#include <errno.h>
#include <string.h>

int ob_virtio_blk_create(const struct ob_virtio_blk_conf *conf, struct ob_virtio_blk **out)
{
	(void)conf;
	*out = NULL;
	return -ENOTSUP;
}

void ob_virtio_blk_destroy(struct ob_virtio_blk *vb)
{
	(void)vb;
}

const char *ob_virtio_blk_name(const struct ob_virtio_blk *vb)
{
	(void)vb;
	return "";
}

struct ob_vblk *ob_virtio_blk_vblk(const struct ob_virtio_blk *vb)
{
	(void)vb;
	return NULL;
}

void ob_virtio_blk_get_status(const struct ob_virtio_blk *vb, struct ob_virtio_blk_status *out)
{
	(void)vb;
	memset(out, 0, sizeof(*out));
}

const char *ob_virtio_blk_feature_name(unsigned bit)
{
	(void)bit;
	return NULL;
}
