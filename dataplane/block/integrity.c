/* SPDX-License-Identifier: BSD-3-Clause */
/* Integrity: the device; its tags' format, loading, and what a crash left. The tags are all in memory, 8 bytes a block that was ever
 * written. */
#include "integrity_priv.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAGIC	"OBINTEG1"
#define VERSION 1
#define CHUNK	(1u << 20)

/* Little-endian; the rest of its 4096 bytes is zero. */
struct head {
	uint8_t magic[8];
	uint32_t version;
	uint32_t block_bytes;
	uint64_t bytes; /* of the data, at format; for people */
	uint64_t n_pages;
	uint32_t pad;
	uint32_t crc; /* CRC32C of all before */
};
static_assert(sizeof(struct head) == 40, "layout on the medium");

struct ways {
	struct ob_blk_ch *data, *tags;
	uint8_t *buf; /* CHUNK */
};

static struct integ *dev_of(struct ob_blk *b)
{
	return (struct integ *)(void *)b;
}

static uint32_t head_crc(const struct head *h)
{
	struct head copy = *h;

	return crc32_iscsi((unsigned char *)&copy, (int)offsetof(struct head, crc), ~0u);
}

static int format(struct integ *d, struct ways *w)
{
	struct head h = {.version = htole32(VERSION),
	    .block_bytes = htole32(d->block_bytes),
	    .bytes = htole64(d->b.child[0]->info.bytes),
	    .n_pages = htole64(d->n_pages)};
	int rc;

	memcpy(h.magic, MAGIC, sizeof(h.magic));
	h.crc = htole32(head_crc(&h));
	memset(w->buf, 0, INTEG_PAGE);
	/* No valid header while the pages are neither old nor new. */
	rc = blk_sync(w->tags, OB_BLK_WRITE, 0, w->buf, INTEG_PAGE);
	if (rc == 0)
		rc = blk_sync(w->tags, OB_BLK_FLUSH, 0, NULL, 0);
	if (rc == 0)
		rc = blk_sync(
		    w->tags, OB_BLK_WRITE_ZEROES, INTEG_PAGE, NULL, d->n_pages * INTEG_PAGE);
	if (rc == 0)
		rc = blk_sync(w->tags, OB_BLK_FLUSH, 0, NULL, 0);
	memcpy(w->buf, &h, sizeof(h));
	if (rc == 0)
		rc = blk_sync(w->tags, OB_BLK_WRITE, 0, w->buf, INTEG_PAGE);
	return rc != 0 ? rc : blk_sync(w->tags, OB_BLK_FLUSH, 0, NULL, 0);
}

/* The volume may have grown since, not the number of tags. */
static int check_head(struct integ *d, struct ways *w)
{
	int rc = blk_sync(w->tags, OB_BLK_READ, 0, w->buf, INTEG_PAGE);
	struct head h;

	memcpy(&h, w->buf, sizeof(h));
	if (rc != 0)
		return rc;
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0 || h.crc != htole32(head_crc(&h)) ||
	    h.version != htole32(VERSION) || h.block_bytes != htole32(d->block_bytes) ||
	    le64toh(h.n_pages) > d->n_pages)
		return -EBADMSG;
	d->n_pages = le64toh(h.n_pages);
	return 0;
}

static int load(struct integ *d, struct ways *w)
{
	const uint64_t all = d->n_pages * INTEG_PAGE;
	static const uint8_t zero[INTEG_PAGE];

	for (uint64_t at = 0; at < all; at += CHUNK) {
		uint64_t n = all - at < CHUNK ? all - at : CHUNK;
		int rc = blk_sync(w->tags, OB_BLK_READ, INTEG_PAGE + at, w->buf, n);

		if (rc != 0)
			return rc;
		/* Memory of pages that hold nothing is never touched. */
		for (uint64_t p = 0; p < n; p += INTEG_PAGE)
			if (memcmp(w->buf + p, zero, INTEG_PAGE) != 0)
				memcpy((uint8_t *)d->tags + at + p, w->buf + p, INTEG_PAGE);
	}
	return 0;
}

/* A write was under way, or not covered by a FLUSH yet: which of the two is there? */
static int decide(struct integ *d, struct ways *w, uint64_t block, struct integ_tag *t)
{
	uint32_t bb = d->block_bytes;
	int rc = blk_sync(w->data, OB_BLK_READ, block * bb, w->buf, bb);
	uint32_t crc;

	if (rc != 0)
		return rc;
	crc = htole32(integ_crc(block, w->buf, bb));
	/* 'before' zero: whatever half of the write is there, it held zeroes. Neither: -EILSEQ to whoever reads it. */
	if (crc != t->now && (crc == t->before || t->before == 0))
		t->now = t->before;
	t->before = t->now;
	return 0;
}

static int recover(struct integ *d, struct ways *w)
{
	uint64_t n_blocks = d->b.child[0]->info.bytes / d->block_bytes;
	bool any = false;
	int rc;

	for (uint64_t p = 0; p < d->n_pages; p++) {
		struct integ_tag *t = d->tags + p * INTEG_PAGE_TAGS;
		bool changed = false;

		for (uint32_t i = 0; i < INTEG_PAGE_TAGS; i++) {
			if (t[i].now == t[i].before || p * INTEG_PAGE_TAGS + i >= n_blocks)
				continue;
			rc = decide(d, w, p * INTEG_PAGE_TAGS + i, &t[i]);
			if (rc != 0)
				return rc;
			changed = true;
		}
		if (!changed)
			continue;
		/* The decision must not outlive the data that it saw in a volatile cache. */
		if (!any)
			rc = blk_sync(w->data, OB_BLK_FLUSH, 0, NULL, 0);
		else
			rc = 0;
		any = true;
		if (rc == 0)
			rc = blk_sync(w->tags, OB_BLK_WRITE, (p + 1) * INTEG_PAGE, t, INTEG_PAGE);
		if (rc != 0)
			return rc;
	}
	return any ? blk_sync(w->tags, OB_BLK_FLUSH, 0, NULL, 0) : 0;
}

static int open_tags(struct integ *d, const struct ob_blk_integrity_conf *conf)
{
	struct ways w = {0};
	int rc = ob_blk_ch_open(d->b.child[0], &w.data);

	if (rc == 0)
		rc = ob_blk_ch_open(d->b.child[1], &w.tags);
	if (rc == 0 && posix_memalign((void **)&w.buf, 4096, CHUNK) != 0)
		rc = -ENOMEM;
	if (rc == 0)
		rc = conf->format ? format(d, &w) : check_head(d, &w);
	if (rc == 0 && !conf->format)
		rc = load(d, &w);
	if (rc == 0 && !conf->format)
		rc = recover(d, &w);
	free(w.buf);
	ob_blk_ch_close(w.tags);
	ob_blk_ch_close(w.data);
	return rc;
}

static uint64_t usable_bytes(const struct integ *d)
{
	uint64_t below = d->b.child[0]->info.bytes;
	uint64_t tagged = d->n_pages * INTEG_PAGE_TAGS * d->block_bytes;

	return below < tagged ? below : tagged;
}

static void set_info(struct integ *d)
{
	struct ob_blk_info *i = &d->b.info, data, tags;

	ob_blk_info(d->b.child[0], &data);
	ob_blk_info(d->b.child[1], &tags);
	i->block_bytes = data.block_bytes;
	i->phys_block_bytes = data.phys_block_bytes;
	i->opt_io_bytes = data.opt_io_bytes;
	i->discard_bytes = data.block_bytes;
	i->read_only |= data.read_only || tags.read_only;
	i->write_zeroes = true;
	i->volatile_cache = data.volatile_cache || tags.volatile_cache;
	i->zero_on_discard = true;
}

void integ_child_changed(struct ob_blk *b)
{
	set_info(dev_of(b));
	blk_changed(b, usable_bytes(dev_of(b)));
}

int integ_resize(struct ob_blk *b, uint64_t bytes)
{
	const struct integ *d = dev_of(b);

	if (bytes > d->n_pages * INTEG_PAGE_TAGS * d->block_bytes)
		return -ENOSPC;
	return ob_blk_resize(b->child[0], bytes);
}

static void *map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

static void unmap(void *p, uint64_t bytes)
{
	if (p != NULL)
		munmap(p, bytes);
}

void integ_destroy(struct ob_blk *b)
{
	struct integ *d = dev_of(b);

	unmap(d->tags, d->n_mapped * INTEG_PAGE);
	unmap(d->pages, d->n_mapped * sizeof(*d->pages));
	for (unsigned i = 0; i < INTEG_N_LOCKS; i++)
		pthread_mutex_destroy(&d->locks[i]);
	pthread_mutex_destroy(&d->lock);
}

int ob_blk_integrity_create(const char *name, struct ob_blk *below, struct ob_blk *tags,
    const struct ob_blk_integrity_conf *conf, struct ob_blk **out, char *err, size_t err_len)
{
	struct ob_blk *children[2] = {below, tags}, *b;
	uint64_t per_page = (uint64_t)INTEG_PAGE_TAGS * below->info.block_bytes;
	uint64_t need = (below->info.bytes + per_page - 1) / per_page;
	struct integ *d;
	int rc;

	if (below == tags)
		return blk_err(err, err_len, -EINVAL, "tags need a device of their own");
	if (tags->info.bytes / INTEG_PAGE < need + 1)
		return blk_err(err, err_len, -ENOSPC, "the tags need %llu bytes",
		    (unsigned long long)(need + 1) * INTEG_PAGE);
	rc = blk_new(&integ_ops, name, children, 2, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "bad name, or no memory");
	d = dev_of(b);
	for (unsigned i = 0; i < INTEG_N_LOCKS; i++)
		pthread_mutex_init(&d->locks[i], NULL);
	pthread_mutex_init(&d->lock, NULL);
	d->block_bytes = below->info.block_bytes;
	d->n_pages = d->n_mapped = tags->info.bytes / INTEG_PAGE - 1;
	d->fua = conf->fua;
	set_info(d);
	d->tags = map(d->n_pages * INTEG_PAGE);
	d->pages = map(d->n_pages * sizeof(*d->pages));
	rc = d->tags != NULL && d->pages != NULL ? open_tags(d, conf) : -ENOMEM;
	if (rc != 0) {
		ob_blk_put(b);
		if (rc == -EBADMSG)
			return blk_err(
			    err, err_len, rc, "the tag device is not formatted for this volume");
		return blk_err(
		    err, err_len, rc, "the tags cannot be read or written: %s", strerror(-rc));
	}
	b->info.bytes = usable_bytes(d);
	*out = b;
	return 0;
}
