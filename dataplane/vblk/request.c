/* SPDX-License-Identifier: BSD-3-Clause */
/* From a chain to a request (virtio 1.2, 5.2.6): header in front of what is readable, status at the end of what is writable, both in
 * whatever segments (2.7.4.2). */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "vblk_int.h"

#define HEADER sizeof(struct virtio_blk_outhdr)

static_assert(HEADER == 16, "virtio 1.2, 5.2.6");
static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, 5.2.6");

static void big_get(struct vblk_queue *q, struct vblk_req *r)
{
	r->big = q->free_big;
	q->free_big = r->big->next;
}

/* Bytes [skip, skip + len) of the segments into 'dst'. Returns 0, -errno of the fetch. */
static int gather(const struct ob_gmem_map *map, const struct ob_virtq_seg *seg, uint32_t skip,
    void *dst, uint32_t len)
{
	uint8_t *to = dst;
	int rc;

	for (; len > 0; seg++, skip = 0) {
		uint32_t n;

		for (; skip >= seg->len; seg++)
			skip -= seg->len;
		n = RTE_MIN(len, seg->len - skip);
		rc = ob_gmem_fetch(map, to, (ob_iova_t){seg->iova.v + skip}, n);
		if (rc != 0)
			return rc;
		to += n;
		len -= n;
	}
	return 0;
}

/* The request's own list of what carries data: bytes [skip, skip + len) of the segments. Returns 0; -ENOBUFS; -E2BIG more
 * than seg_max. */
static int keep_segs(struct vblk_queue *q, struct vblk_req *r, const struct ob_virtq_seg *seg,
    uint32_t skip, uint64_t len)
{
	struct ob_virtq_seg *to = r->seg;
	unsigned n = 0, room = VBLK_SMALL_SEGS;

	for (; len > 0; seg++, skip = 0) {
		uint32_t bytes;

		for (; skip >= seg->len; seg++)
			skip -= seg->len;
		bytes = (uint32_t)RTE_MIN(len, (uint64_t)(seg->len - skip));
		if (n == room) {
			if (r->big != NULL)
				return -E2BIG;
			if (q->free_big == NULL)
				return -ENOBUFS;
			/* The slot's own room is a union with nothing of 'big': copy before it is used. */
			big_get(q, r);
			memcpy(r->big->seg, r->seg, sizeof(r->seg));
			to = r->big->seg;
			room = VBLK_MAX_SEGS;
		}
		to[n++] = (struct ob_virtq_seg){
		    .iova = {seg->iova.v + skip}, .len = bytes, .writable = seg->writable};
		len -= bytes;
	}
	r->n_seg = (uint16_t)n;
	return 0;
}

/* READ or WRITE of what 'keep_segs' is given. Returns 0, -ENOBUFS. */
static int parse_data(struct vblk_queue *q, struct vblk_req *r, const struct ob_virtq_seg *seg,
    uint32_t skip, uint64_t len, uint64_t sector)
{
	int rc;

	r->status = VIRTIO_BLK_S_IOERR;
	if (len % VBLK_SECTOR != 0 || sector > UINT64_MAX / VBLK_SECTOR)
		return 0;
	rc = keep_segs(q, r, seg, skip, len);
	if (rc == -ENOBUFS)
		return rc;
	if (rc != 0)
		return 0;
	r->left = len;
	r->io.off = sector * VBLK_SECTOR;
	if (len == 0)
		r->status = VIRTIO_BLK_S_OK;
	else
		r->io.op = seg->writable ? OB_BLK_READ : OB_BLK_WRITE;
	return 0;
}

/* What 5.2.6.2 wants of a range: unknown flags, and unmap on a discard, are not supported; a range that is too long is the driver's error.
 * Returns VIRTIO_BLK_S_*. */
static uint8_t range_status(const struct virtio_blk_discard_write_zeroes *range, enum ob_blk_op op)
{
	uint32_t known = op == OB_BLK_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (rte_le_to_cpu_32(range->flags) & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (rte_le_to_cpu_32(range->num_sectors) > OB_VBLK_MAX_RANGE_SECTORS ||
	    rte_le_to_cpu_64(range->sector) > UINT64_MAX / VBLK_SECTOR)
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* DISCARD, WRITE_ZEROES. Nothing is done unless all of it makes sense. Returns 0, -ENOBUFS. */
static int parse_ranges(struct vblk_queue *q, const struct ob_gmem_map *map, struct vblk_req *r,
    const struct ob_virtq_seg *seg, uint64_t len, enum ob_blk_op op)
{
	struct virtio_blk_discard_write_zeroes *range = r->range;
	unsigned n = (unsigned)(len / sizeof(*range)), n_kept = 0;

	r->status = VIRTIO_BLK_S_IOERR;
	if (len == 0 || len % sizeof(*range) != 0 || len > OB_VBLK_MAX_RANGES * sizeof(*range))
		return 0;
	if (n > VBLK_SMALL_SEGS) {
		if (q->free_big == NULL)
			return -ENOBUFS;
		big_get(q, r);
		range = r->big->range;
	}
	if (gather(map, seg, HEADER, range, (uint32_t)len) != 0)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		r->status = range_status(&range[i], op);
		if (r->status != VIRTIO_BLK_S_OK)
			return 0;
		if (range[i].num_sectors != 0)
			range[n_kept++] = range[i];
	}
	if (n_kept == 0)
		return 0;
	r->ranges = true;
	r->left = n_kept;
	r->io.op = op;
	return 0;
}

/* The disk's name, in the guest before this returns. */
static void get_id(struct vblk_queue *q, const struct ob_gmem_map *map, struct vblk_req *r,
    const struct ob_virtq_seg *seg, uint64_t room)
{
	const char *id = q->sh->vb->conf.id;
	uint32_t left = (uint32_t)RTE_MIN(room, (uint64_t)OB_VBLK_ID_BYTES);

	r->status = VIRTIO_BLK_S_OK;
	for (; left > 0; seg++) {
		uint32_t n = RTE_MIN(left, seg->len);

		if (ob_gmem_store(map, seg->iova, id, n) != 0) {
			r->status = VIRTIO_BLK_S_IOERR;
			return;
		}
		id += n;
		left -= n;
	}
}

static int parse_type(struct vblk_queue *q, const struct ob_gmem_map *map,
    const struct virtio_blk_outhdr *h, const struct ob_virtq_chain *c,
    const struct ob_virtq_seg *seg, struct vblk_req *r)
{
	const struct ob_vblk *vb = q->sh->vb;
	const struct ob_virtq_seg *in = seg + c->n_readable;
	uint64_t out_bytes = c->readable_bytes - HEADER, in_bytes = c->writable_bytes - 1;
	uint64_t sector = rte_le_to_cpu_64((rte_le64_t)h->sector);
	bool can;

	r->type = rte_le_to_cpu_32((rte_le32_t)h->type);
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		return parse_data(q, r, in, 0, in_bytes, sector);
	case VIRTIO_BLK_T_OUT:
		if (vb->conf.read_only)
			break;
		return parse_data(q, r, seg, HEADER, out_bytes, sector);
	case VIRTIO_BLK_T_FLUSH:
		r->io.op = OB_BLK_FLUSH;
		return 0;
	case VIRTIO_BLK_T_GET_ID:
		get_id(q, map, r, in, in_bytes);
		return 0;
	case VIRTIO_BLK_T_DISCARD:
		can = q->features >> VIRTIO_BLK_F_DISCARD & 1;
		if (can && !vb->conf.read_only)
			return parse_ranges(q, map, r, seg, out_bytes, OB_BLK_DISCARD);
		r->status = can ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP;
		return 0;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		can = q->features >> VIRTIO_BLK_F_WRITE_ZEROES & 1;
		if (can && !vb->conf.read_only)
			return parse_ranges(q, map, r, seg, out_bytes, OB_BLK_WRITE_ZEROES);
		r->status = can ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_UNSUPP;
		return 0;
	default:
		r->status = VIRTIO_BLK_S_UNSUPP;
		return 0;
	}
	r->status = VIRTIO_BLK_S_IOERR;
	return 0;
}

int vblk_req_parse(struct vblk_queue *q, const struct ob_gmem_map *map,
    const struct ob_virtq_chain *c, const struct ob_virtq_seg *segs, bool fua, struct vblk_req *r)
{
	const struct ob_virtq_seg *seg = &segs[c->seg_first], *last = seg + c->n_seg - 1;
	struct virtio_blk_outhdr h;
	int rc;

	if (c->readable_bytes < HEADER || c->writable_bytes < 1)
		return -EPROTO;
	r->chain = *c;
	r->status_at.v = last->iova.v + last->len - 1;
	r->status = VIRTIO_BLK_S_IOERR;
	r->type = UINT32_MAX;
	r->ranges = false;
	r->seg_idx = 0;
	r->seg_off = 0;
	r->n_seg = 0;
	r->left = 0;
	r->io.op = OB_BLK_N_OPS;
	r->io.flags = 0;
	r->io.n_iov = 0;
	r->io.off = r->io.len = 0;
	rc = seg->len >= HEADER ? ob_gmem_fetch(map, &h, seg->iova, HEADER)
				: gather(map, seg, 0, &h, HEADER);
	/* A header that cannot be read: the status says so, if that can be written. */
	if (rc != 0)
		return 0;
	rc = parse_type(q, map, &h, c, seg, r);
	if (fua && (r->io.op == OB_BLK_WRITE || r->io.op == OB_BLK_WRITE_ZEROES))
		r->io.flags |= OB_BLK_FUA;
	return rc;
}

void vblk_req_count(struct vblk_queue *q, const struct vblk_req *r)
{
	struct ob_vblk_queue_counters *n = q->counters;

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		vblk_count(&n->n_reads, 1);
		vblk_count(&n->read_bytes, r->left);
		break;
	case VIRTIO_BLK_T_OUT:
		vblk_count(&n->n_writes, 1);
		vblk_count(&n->write_bytes, r->left);
		break;
	case VIRTIO_BLK_T_FLUSH:
		vblk_count(&n->n_flushes, 1);
		break;
	case VIRTIO_BLK_T_GET_ID:
		vblk_count(&n->n_get_ids, 1);
		break;
	case VIRTIO_BLK_T_DISCARD:
		vblk_count(&n->n_discards, 1);
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		vblk_count(&n->n_write_zeroes, 1);
		break;
	default:
		break;
	}
}
