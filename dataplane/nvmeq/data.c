/* SPDX-License-Identifier: BSD-3-Clause */
/* Data pointers into ranges of guest addresses. */
#include "ob_nvmeq.h"

#include <string.h>

#define LIST_CHUNK 64 /* entries of a list that are fetched together */

#define BAD_OFFSET OB_NVME_ERR(NVME_SC_PRP_INVALID_OFFSET)
/* The host may have unmapped it under way and may try again. */
#define BAD_ADDRESS OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_DATA_XFER_ERROR)

struct sink {
	struct ob_nvme_range *out;
	unsigned n;
};

/* Appends, or makes the last range longer. Returns false when there are too many. */
static bool put(struct sink *s, uint64_t iova, uint32_t len, bool bucket)
{
	struct ob_nvme_range *last = s->n > 0 ? &s->out[s->n - 1] : NULL;

	if (last != NULL && last->bucket == bucket &&
	    (bucket || last->iova.v + last->len == iova)) {
		last->len += len;
		return true;
	}
	if (s->n == OB_NVME_MAX_RANGES)
		return false;
	s->out[s->n++] = (struct ob_nvme_range){.iova = {iova}, .len = len, .bucket = bucket};
	return true;
}

/* ---- PRP (4.1.1) ---- */

/* The entries of one list page, from its first used entry on: 'n' of them, then possibly the pointer to the next page. */
static ob_nvme_status_t prp_page(const struct ob_gmem_map *map, struct sink *s, uint64_t at,
    unsigned n, uint32_t page, uint32_t *left)
{
	uint64_t entry[LIST_CHUNK];

	while (n > 0) {
		unsigned take = n < LIST_CHUNK ? n : LIST_CHUNK;

		if (ob_gmem_fetch(map, entry, (ob_iova_t){at}, take * sizeof(entry[0])) != 0)
			return BAD_ADDRESS;
		for (unsigned i = 0; i < take; i++) {
			uint64_t a = le64toh(entry[i]);
			uint32_t len = *left < page ? *left : page;

			if ((a & (page - 1)) != 0)
				return BAD_OFFSET;
			if (!put(s, a, len, false))
				return OB_NVME_ERR(NVME_SC_INTERNAL);
			*left -= len;
		}
		n -= take;
		at += take * sizeof(entry[0]);
	}
	return 0;
}

/* The first list may start anywhere in its page; every further one starts at offset 0 and so holds at least 511 entries, by which
 * the transfer's length bounds a chain that runs in a circle. */
static ob_nvme_status_t prp_list(const struct ob_gmem_map *map, struct sink *s, uint64_t list,
    unsigned page_shift, uint32_t left)
{
	uint32_t page = 1u << page_shift;

	if ((list & 7) != 0)
		return BAD_OFFSET;
	while (left > 0) {
		unsigned room = (unsigned)((page - (list & (page - 1))) / 8);
		unsigned need = (unsigned)(((uint64_t)left + page - 1) >> page_shift);
		bool chained = need > room;
		ob_nvme_status_t st;
		uint64_t next;

		st = prp_page(map, s, list, chained ? room - 1 : need, page, &left);
		if (st != 0 || !chained)
			return st;
		if (ob_gmem_fetch(map, &next, (ob_iova_t){list + (room - 1) * 8ull}, 8) != 0)
			return BAD_ADDRESS;
		list = le64toh(next);
		if ((list & (page - 1)) != 0)
			return BAD_OFFSET;
	}
	return 0;
}

static ob_nvme_status_t walk_prp(const struct ob_gmem_map *map, unsigned page_shift,
    const struct ob_nvme_sqe *sqe, uint32_t len, struct sink *s)
{
	uint32_t page = 1u << page_shift;
	uint64_t prp1 = sqe->dptr[0], prp2 = sqe->dptr[1];
	uint32_t first = page - (uint32_t)(prp1 & (page - 1));

	if ((prp1 & 3) != 0)
		return BAD_OFFSET;
	first = first < len ? first : len;
	put(s, prp1, first, false);
	len -= first;
	if (len == 0)
		return 0;
	if (len > page)
		return prp_list(map, s, prp2, page_shift, len);
	if ((prp2 & (page - 1)) != 0)
		return BAD_OFFSET;
	put(s, prp2, len, false);
	return 0;
}

/* ---- SGL (4.1.2) ---- */

struct sgl_desc {
	uint64_t addr;
	uint32_t len;
	uint8_t reserved[3];
	uint8_t id; /* bits 7:4 type, 3:0 sub type */
};
static_assert(sizeof(struct sgl_desc) == 16, "wire format");

enum sgl_type { SGL_DATA = 0, SGL_BUCKET = 1, SGL_SEGMENT = 2, SGL_LAST_SEGMENT = 3 };

struct sgl {
	const struct ob_nvme_walk *conf;
	struct sink *s;
	uint64_t left;
	unsigned n_desc, n_seg;
};

/* One descriptor that is data. The list may describe more than is needed (SGLS bit 18); what is too much is cut off. */
static ob_nvme_status_t sgl_data(struct sgl *g, const struct sgl_desc *d)
{
	uint32_t len = le32toh(d->len);
	bool bucket = d->id >> 4 == SGL_BUCKET;

	if ((d->id >> 4 != SGL_DATA && !bucket) || (d->id & 15) != 0)
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_TYPE);
	/* In a source buffer it describes nothing (4.1.2.1). */
	if (bucket && !g->conf->to_host)
		return 0;
	if (len > g->left)
		len = (uint32_t)g->left;
	if (len == 0)
		return 0;
	if (!put(g->s, bucket ? 0 : le64toh(d->addr), len, bucket))
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_COUNT);
	g->left -= len;
	return 0;
}

static bool is_segment(const struct sgl_desc *d)
{
	return d->id >> 4 == SGL_SEGMENT || d->id >> 4 == SGL_LAST_SEGMENT;
}

/* The segment that '*seg' points to; '*more': '*seg' is now the pointer to the next one. Each descriptor is looked at, also those
 * behind the data: a malformed list is an error whatever its length. */
static ob_nvme_status_t sgl_segment(
    const struct ob_gmem_map *map, struct sgl *g, struct sgl_desc *seg, bool *more)
{
	struct sgl_desc d[LIST_CHUNK];
	uint64_t at = le64toh(seg->addr);
	uint32_t bytes = le32toh(seg->len);
	bool last = seg->id >> 4 == SGL_LAST_SEGMENT;
	unsigned n = bytes / sizeof(d[0]);

	if ((seg->id & 15) != 0)
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_TYPE);
	if (bytes == 0 || bytes % sizeof(d[0]) != 0)
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_LAST);
	if (n > OB_NVME_SGL_MAX_DESC - g->n_desc || ++g->n_seg > OB_NVME_SGL_MAX_SEGS)
		return OB_NVME_ERR(NVME_SC_SGL_INVALID_COUNT);
	g->n_desc += n;
	*more = false;
	while (n > 0) {
		unsigned take = n < LIST_CHUNK ? n : LIST_CHUNK;

		if (ob_gmem_fetch(map, d, (ob_iova_t){at}, take * sizeof(d[0])) != 0)
			return BAD_ADDRESS;
		for (unsigned i = 0; i < take; i++) {
			ob_nvme_status_t st;

			/* Only the end of a segment that is not the last one leads on, and it must (4.1.2.1). */
			if (is_segment(&d[i])) {
				if (last || n - i != 1)
					return OB_NVME_ERR(NVME_SC_SGL_INVALID_LAST);
				*seg = d[i];
				*more = true;
				return 0;
			}
			st = sgl_data(g, &d[i]);
			if (st != 0)
				return st;
		}
		n -= take;
		at += take * sizeof(d[0]);
	}
	return last ? 0 : OB_NVME_ERR(NVME_SC_SGL_INVALID_LAST);
}

static ob_nvme_status_t walk_sgl(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, uint32_t len, struct sink *s)
{
	struct sgl g = {.conf = conf, .s = s, .left = len};
	struct sgl_desc d;
	ob_nvme_status_t st = 0;
	bool more;

	memcpy(&d, sqe->dptr, sizeof(d));
	more = is_segment(&d);
	if (!more)
		st = sgl_data(&g, &d);
	while (st == 0 && more)
		st = sgl_segment(map, &g, &d, &more);
	if (st != 0)
		return st;
	return g.left == 0 ? 0 : OB_NVME_ERR(NVME_SC_SGL_INVALID_DATA);
}

/* ---- both ---- */

ob_nvme_status_t ob_nvme_walk(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, uint32_t len, struct ob_nvme_range *out, unsigned *n)
{
	struct sink s = {.out = out};
	ob_nvme_status_t st;

	if (OB_NVME_PSDT(sqe) == 0)
		st = walk_prp(map, conf->page_shift, sqe, len, &s);
	else if (conf->sgl && OB_NVME_PSDT(sqe) != 3)
		st = walk_sgl(map, conf, sqe, len, &s);
	else
		st = OB_NVME_ERR(NVME_SC_INVALID_FIELD);
	*n = s.n;
	return st;
}

static ob_nvme_status_t copy_data(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, void *to, const void *from, uint32_t len)
{
	struct ob_nvme_range r[OB_NVME_MAX_RANGES];
	struct ob_nvme_walk w = *conf;
	ob_nvme_status_t st;
	size_t at = 0;
	unsigned n;

	if (len == 0)
		return 0;
	w.to_host = from != NULL;
	st = ob_nvme_walk(map, &w, sqe, len, r, &n);
	for (unsigned i = 0; st == 0 && i < n; at += r[i].len, i++) {
		int rc = 0;

		if (r[i].bucket)
			continue;
		if (from != NULL)
			rc = ob_gmem_store(map, r[i].iova, (const uint8_t *)from + at, r[i].len);
		else
			rc = ob_gmem_fetch(map, (uint8_t *)to + at, r[i].iova, r[i].len);
		if (rc != 0)
			st = BAD_ADDRESS;
	}
	return st;
}

ob_nvme_status_t ob_nvme_data_in(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, void *buf, uint32_t len)
{
	return copy_data(map, conf, sqe, buf, NULL, len);
}

ob_nvme_status_t ob_nvme_data_out(const struct ob_gmem_map *map, const struct ob_nvme_walk *conf,
    const struct ob_nvme_sqe *sqe, const void *buf, uint32_t len)
{
	return copy_data(map, conf, sqe, NULL, buf, len);
}
