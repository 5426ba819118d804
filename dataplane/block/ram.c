/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of this process as a device. */
#include "ob_block.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "block_priv.h"

#define HUGE	    (2ull << 20)
#define MAX_EXTENTS 16
#define PAGE	    4096ull
#define AHEAD	    4 /* I/Os */
#define AHEAD_BYTES 1024
/* From here on, giving pages back is faster than writing zeroes into them. */
#define UNMAP_BYTES (256u << 10)

/* Memory is never unmapped nor moved while the device lives, so that a worker needs no lock: it grows by an extent, and what a
 * shrink left stays mapped (its pages are given back). */
struct extent {
	uint8_t *mem;
	uint64_t at, bytes;
};

struct ram {
	struct ob_blk blk;
	unsigned n_extents; /* written before the size is published */
	struct extent ext[MAX_EXTENTS];
};

static uint64_t mapped(const struct ram *r)
{
	const struct extent *last;

	if (r->n_extents == 0)
		return 0;
	last = &r->ext[r->n_extents - 1];
	return last->at + last->bytes;
}

static int extend(struct ram *r, uint64_t bytes)
{
	struct extent *x = &r->ext[r->n_extents];
	struct sysinfo si;
	void *p;

	if (r->n_extents == MAX_EXTENTS)
		return -ENOSPC;
	/* The kernel promises any size, and kills the card when a guest takes it at its word. */
	if (sysinfo(&si) == 0 && mapped(r) + bytes > (uint64_t)si.totalram * si.mem_unit)
		return -ENOMEM;
	bytes = bytes < HUGE ? (bytes + PAGE - 1) / PAGE * PAGE : (bytes + HUGE - 1) / HUGE * HUGE;
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	    -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	/* Fails where the kernel has no huge pages: then they are small. */
	if (bytes >= HUGE)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	(void)madvise(p, bytes, MADV_DONTDUMP);
	*x = (struct extent){.mem = p, .at = mapped(r), .bytes = bytes};
	r->n_extents++;
	return 0;
}

/* The memory of [off, ..): as much of 'len' as lies in one extent. */
static uint8_t *at(const struct ram *r, uint64_t off, uint64_t len, uint64_t *n)
{
	const struct extent *x = r->ext;

	while (off - x->at >= x->bytes)
		x++;
	off -= x->at;
	*n = len < x->bytes - off ? len : x->bytes - off;
	return x->mem + off;
}

static void clear(uint8_t *p, uint64_t len)
{
	uint64_t head = -(uintptr_t)p & (PAGE - 1), body;

	if (len < UNMAP_BYTES) {
		memset(p, 0, len);
		return;
	}
	body = (len - head) & ~(PAGE - 1);
	memset(p, 0, head);
	if (madvise(p + head, body, MADV_DONTNEED) != 0)
		memset(p + head, 0, body);
	memset(p + head + body, 0, len - head - body);
}

static void clear_range(const struct ram *r, uint64_t off, uint64_t len)
{
	uint64_t n;

	for (; len > 0; off += n, len -= n) {
		uint8_t *p = at(r, off, len, &n);

		clear(p, n);
	}
}

static void copy(const struct ram *r, const struct ob_blk_io *io)
{
	uint64_t off = io->off, n;

	for (unsigned i = 0; i < io->n_iov; i++)
		for (size_t k = 0; k < io->iov[i].iov_len; k += n, off += n) {
			uint8_t *p = at(r, off, io->iov[i].iov_len - k, &n);
			uint8_t *q = (uint8_t *)io->iov[i].iov_base + k;

			if (io->op == OB_BLK_READ)
				memcpy(q, p, n);
			else
				memcpy(p, q, n);
		}
}

/* The first lines of an I/O that is a few ahead: random ones miss the TLB and the caches. */
static void ahead(const struct ram *r, const struct ob_blk_io *io)
{
	const uint8_t *p;
	uint64_t n;

	if (io->op > OB_BLK_WRITE)
		return;
	p = at(r, io->off, io->len, &n);
	for (uint64_t k = 0; k < n && k < AHEAD_BYTES; k += 64)
		__builtin_prefetch(p + k);
}

static void ram_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	const struct ram *r = (const struct ram *)ch->b;

	for (unsigned i = 0; i < n && i < AHEAD; i++)
		ahead(r, ios[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			ahead(r, ios[i + AHEAD]);
		switch (ios[i]->op) {
		case OB_BLK_READ:
		case OB_BLK_WRITE:
			copy(r, ios[i]);
			break;
		case OB_BLK_DISCARD:
		case OB_BLK_WRITE_ZEROES:
			clear_range(r, ios[i]->off, ios[i]->len);
			break;
		default:
			break;
		}
		blk_complete_now(ch, ios[i], 0);
	}
}

static int ram_resize(struct ob_blk *b, uint64_t bytes)
{
	struct ram *r = (struct ram *)b;
	uint64_t old = b->info.bytes;
	int rc;

	if (bytes > mapped(r)) {
		rc = extend(r, bytes - mapped(r));
		if (rc != 0)
			return rc;
	}
	if (bytes < old) {
		blk_changed(b, bytes);
		clear_range(r, bytes, old - bytes);
		return 0;
	}
	/* A write that was under way while it shrank may have come after the clearing. */
	clear_range(r, old, bytes - old);
	blk_changed(b, bytes);
	return 0;
}

static void ram_destroy(struct ob_blk *b)
{
	struct ram *r = (struct ram *)b;

	for (unsigned i = 0; i < r->n_extents; i++)
		munmap(r->ext[i].mem, r->ext[i].bytes);
}

static const struct blk_ops ram_ops = {
    .kind = "ram",
    .dev_bytes = sizeof(struct ram),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .destroy = ram_destroy,
    .submit = ram_submit,
    .resize = ram_resize,
};

int ob_blk_ram_create(const char *name, uint64_t bytes, uint32_t block_bytes, struct ob_blk **out,
    char *err, size_t err_len)
{
	struct ob_blk *b;
	int rc;

	rc = blk_check_size(bytes, block_bytes, err, err_len);
	if (rc != 0)
		return rc;
	rc = blk_new(&ram_ops, name, NULL, 0, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc,
		    rc == -EINVAL ? "a name is 1 to 31 of A-Z a-z 0-9 _ . -" : "no memory");
	rc = extend((struct ram *)b, bytes);
	if (rc != 0) {
		ob_blk_put(b);
		return blk_err(err, err_len, rc, "%llu MiB are more than this machine's memory",
		    (unsigned long long)(bytes >> 20));
	}
	b->info.bytes = bytes;
	b->info.block_bytes = block_bytes;
	b->info.phys_block_bytes = 4096;
	b->info.discard_bytes = 4096;
	b->info.write_zeroes = true;
	b->info.zero_on_discard = true;
	*out = b;
	return 0;
}
