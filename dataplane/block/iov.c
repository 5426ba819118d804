/* SPDX-License-Identifier: BSD-3-Clause */
/* Scatter lists: copies and slices. */
#include "ob_block.h"

#include <errno.h>
#include <string.h>

#include "block_priv.h"

/* Goes to byte 'at': the vector it is in, and the byte there. */
static unsigned seek(const struct iovec *iov, unsigned n_iov, size_t *at)
{
	unsigned i = 0;

	while (i < n_iov && *at >= iov[i].iov_len)
		*at -= iov[i++].iov_len;
	return i;
}

size_t blk_iov_gather(void *to, const struct iovec *iov, unsigned n_iov, size_t at, size_t len)
{
	size_t done = 0;

	for (unsigned i = seek(iov, n_iov, &at); i < n_iov && done < len; i++, at = 0) {
		size_t n = iov[i].iov_len - at < len - done ? iov[i].iov_len - at : len - done;

		memcpy((uint8_t *)to + done, (const uint8_t *)iov[i].iov_base + at, n);
		done += n;
	}
	return done;
}

size_t blk_iov_scatter(
    const struct iovec *iov, unsigned n_iov, size_t at, const void *from, size_t len)
{
	size_t done = 0;

	for (unsigned i = seek(iov, n_iov, &at); i < n_iov && done < len; i++, at = 0) {
		size_t n = iov[i].iov_len - at < len - done ? iov[i].iov_len - at : len - done;

		memcpy((uint8_t *)iov[i].iov_base + at, (const uint8_t *)from + done, n);
		done += n;
	}
	return done;
}

int blk_iov_slice(
    const struct iovec *iov, unsigned n_iov, size_t at, size_t len, struct iovec *out, unsigned max)
{
	unsigned n_out = 0;

	for (unsigned i = seek(iov, n_iov, &at); i < n_iov && len > 0; i++, at = 0) {
		size_t n = iov[i].iov_len - at < len ? iov[i].iov_len - at : len;

		if (n == 0)
			continue;
		if (n_out == max)
			return -ENOSPC;
		out[n_out++] = (struct iovec){(uint8_t *)iov[i].iov_base + at, n};
		len -= n;
	}
	return (int)n_out;
}
