/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem_priv.h"

#include <errno.h>

_Thread_local uint32_t ob_gmem_hint;

static int refuse(const struct ob_gmem_map *map, int rc)
{
	struct ob_gmem_hot *hot = &map->gm->hot;

	atomic_fetch_add_explicit(&hot->n_violations, 1, memory_order_relaxed);
	return rc;
}

/* A stretch that wraps past the end of the address space; the loops below would go on at 0. */
static bool wraps(ob_iova_t iova, uint64_t len)
{
	return len > 0 && iova.v + (len - 1) < iova.v;
}

/* The bytes at 'iova' that lie in one range and may be accessed so: '*n' <= len of them at '*hva'.
 * Returns 0, -EFAULT, -EACCES, -ENOTSUP. */
static int piece(const struct ob_gmem_map *map, uint64_t iova, uint64_t len, unsigned prot,
    uint8_t **hva, uint64_t *n)
{
	uint32_t i = range_at_or_after(map, iova);
	const struct ob_gmem_range *r = &map->range[i];
	uint64_t off;

	if (i == map->n_ranges || r->iova > iova)
		return -EFAULT;
	if ((r->prot & prot) != prot)
		return -EACCES;
	if (r->hva == NULL)
		return -ENOTSUP;
	ob_gmem_hint = i;
	off = iova - r->iova;
	*hva = r->hva + off;
	*n = len < r->len - off ? len : r->len - off;
	return 0;
}

int ob_gmem_fetch_slow(const struct ob_gmem_map *map, void *dst, ob_iova_t src, size_t len)
{
	uint8_t *to = (uint8_t *)dst, *from;
	uint64_t n;

	if (wraps(src, len))
		return refuse(map, -EFAULT);
	for (; len > 0; len -= n, to += n, src.v += n) {
		int rc = piece(map, src.v, len, OB_GMEM_READ, &from, &n);

		if (rc != 0)
			return refuse(map, rc);
		memcpy(to, from, n);
		/* As in ob_gmem_fetch. */
		atomic_signal_fence(memory_order_seq_cst);
		ob_gmem_fake_fetched(from, n);
	}
	return 0;
}

int ob_gmem_store_slow(const struct ob_gmem_map *map, ob_iova_t dst, const void *src, size_t len)
{
	const uint8_t *from = (const uint8_t *)src;
	uint8_t *to;
	uint64_t n;

	if (wraps(dst, len))
		return refuse(map, -EFAULT);
	for (; len > 0; len -= n, from += n, dst.v += n) {
		int rc = piece(map, dst.v, len, OB_GMEM_WRITE, &to, &n);

		if (rc != 0)
			return refuse(map, rc);
		memcpy(to, from, n);
		atomic_signal_fence(memory_order_seq_cst);
		ob_gmem_fake_stored(to, n);
	}
	return 0;
}

int ob_gmem_fill(const struct ob_gmem_map *map, ob_iova_t dst, uint8_t byte, size_t len)
{
	uint8_t *to;
	uint64_t n;

	if (wraps(dst, len))
		return refuse(map, -EFAULT);
	for (; len > 0; len -= n, dst.v += n) {
		int rc = piece(map, dst.v, len, OB_GMEM_WRITE, &to, &n);

		if (rc != 0)
			return refuse(map, rc);
		memset(to, byte, n);
		atomic_signal_fence(memory_order_seq_cst);
		ob_gmem_fake_stored(to, n);
	}
	return 0;
}

int ob_gmem_iov(const struct ob_gmem_map *map, ob_iova_t iova, uint64_t len, unsigned prot,
    struct iovec *iov, unsigned max_iov)
{
	unsigned n_iov = 0;
	uint8_t *p;
	uint64_t n;

	if (wraps(iova, len))
		return refuse(map, -EFAULT);
	for (; len > 0; len -= n, iova.v += n) {
		int rc = piece(map, iova.v, len, prot, &p, &n);

		if (rc != 0)
			return refuse(map, rc);
		if (n_iov > 0 && (uint8_t *)iov[n_iov - 1].iov_base + iov[n_iov - 1].iov_len == p) {
			iov[n_iov - 1].iov_len += n;
			continue;
		}
		if (n_iov == max_iov)
			return -ENOSPC;
		iov[n_iov++] = (struct iovec){.iov_base = p, .iov_len = n};
	}
	return (int)n_iov;
}
