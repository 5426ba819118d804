/* SPDX-License-Identifier: BSD-3-Clause */
/* From a request's segments, in the guest's addresses, to the vectors of one I/O, and on to the next. */
#include <errno.h>

#include <rte_byteorder.h>

#include "vblk_int.h"

/* Cuts the last 'bytes' off. */
static void shorten(struct ob_blk_io *io, struct iovec *iov, uint64_t bytes)
{
	io->len -= bytes;
	while (bytes > 0) {
		struct iovec *last = &iov[io->n_iov - 1];

		if (last->iov_len > bytes) {
			last->iov_len -= bytes;
			return;
		}
		bytes -= last->iov_len;
		io->n_iov--;
	}
}

/* As much of a segment as the vectors hold. '*len': bytes wanted, then taken. Returns the vectors, 0: none is left, -errno. */
static int translate(const struct ob_gmem_map *map, uint64_t iova, uint64_t *len, unsigned prot,
    struct iovec *iov, unsigned max)
{
	int n = ob_gmem_iov(map, (ob_iova_t){iova}, *len, prot, iov, max);

	if (n != -ENOSPC)
		return n;
	/* Scattered: a range is a page at least. */
	*len = max > 1 ? (max - 1) * UINT64_C(4096) : 0;
	if (*len == 0)
		return 0;
	n = ob_gmem_iov(map, (ob_iova_t){iova}, *len, prot, iov, max);
	if (n == -ENOSPC)
		*len = 0;
	return n == -ENOSPC ? 0 : n;
}

static int next_data(struct vblk_req *r, const struct ob_gmem_map *map, uint32_t block_bytes)
{
	unsigned prot = r->io.op == OB_BLK_READ ? OB_GMEM_WRITE : OB_GMEM_READ;
	struct iovec *iov = r->big != NULL ? r->big->iov : r->iov;
	unsigned max = r->big != NULL ? OB_BLK_MAX_IOV : VBLK_SMALL_IOV;
	const struct ob_virtq_seg *seg = vblk_segs(r);
	uint32_t off = r->seg_off;

	r->io.len = 0;
	r->io.n_iov = 0;
	r->io.iov = iov;
	for (unsigned i = r->seg_idx; i < r->n_seg && r->io.len < OB_BLK_MAX_BYTES; i++, off = 0) {
		uint64_t room = OB_BLK_MAX_BYTES - r->io.len, len = seg[i].len - off;
		int n;

		if (len > room)
			len = room;
		n = translate(
		    map, seg[i].iova.v + off, &len, prot, &iov[r->io.n_iov], max - r->io.n_iov);
		if (n < 0)
			return n;
		r->io.n_iov = (uint16_t)(r->io.n_iov + n);
		r->io.len += len;
		if (len < seg[i].len - off)
			break;
	}
	/* Only the end of the request may be an odd one: the device judges that. */
	if (r->io.len < r->left)
		shorten(&r->io, iov, r->io.len % block_bytes);
	return r->io.len > 0 ? 0 : -EINVAL;
}

int vblk_req_next(struct vblk_req *r, const struct ob_gmem_map *map, uint32_t block_bytes)
{
	const struct virtio_blk_discard_write_zeroes *range;

	if (!r->ranges)
		return r->left > 0 ? next_data(r, map, block_bytes) : 0;
	range = &vblk_ranges(r)[r->seg_idx];
	r->io.off = rte_le_to_cpu_64(range->sector) * VBLK_SECTOR;
	r->io.len = (uint64_t)rte_le_to_cpu_32(range->num_sectors) * VBLK_SECTOR;
	if (r->io.op == OB_BLK_WRITE_ZEROES) {
		r->io.flags &= (uint8_t)~OB_BLK_MAY_UNMAP;
		if (range->flags & rte_cpu_to_le_32(VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
			r->io.flags |= OB_BLK_MAY_UNMAP;
	}
	return 0;
}

bool vblk_req_advance(struct vblk_req *r)
{
	const struct ob_virtq_seg *seg = vblk_segs(r);
	uint64_t bytes = r->io.len;

	if (r->ranges) {
		r->seg_idx++;
		return --r->left > 0;
	}
	r->left -= r->left < bytes ? r->left : bytes;
	if (r->left == 0)
		return false;
	r->io.off += bytes;
	while (bytes > 0) {
		uint32_t here = seg[r->seg_idx].len - r->seg_off;

		if (bytes < here) {
			r->seg_off += (uint32_t)bytes;
			break;
		}
		bytes -= here;
		r->seg_idx++;
		r->seg_off = 0;
	}
	return true;
}
