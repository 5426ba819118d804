/* SPDX-License-Identifier: BSD-3-Clause */
/* A thin device's store with hostile metadata: it is refused, or opened so that no I/O touches anything but its own range, and no write
 * changes what is read elsewhere.
 *
 * Input: a byte that says which checksums are made right at the end (bits 0, 1: superblocks), then records of 12 bytes: where, a length, an offset
 * of 16 bits (little-endian), 8 bytes. Where: 0, 1 a superblock; 2, 3 map 0 and 1; 4, 5 an entry of these with a right check; 6 both superblocks. */
#include "ob_block.h"

#include <stdio.h>
#include <stdlib.h>

#include "cow.h"

#define STORE_BYTES (320u << 10)
#define MAX_RECORDS 64
#define MAX_SEEN    48

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- a store in memory ---- */

struct mem {
	struct ob_blk b;
	uint8_t *bytes;
};

static void mem_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	uint8_t *bytes = ((struct mem *)ch->b)->bytes;
	unsigned i;

	for (i = 0; i < n; i++) {
		struct ob_blk_io *io = ios[i];

		if (io->op == OB_BLK_READ)
			blk_iov_scatter(io->iov, io->n_iov, 0, bytes + io->off, io->len);
		else if (io->op == OB_BLK_WRITE)
			blk_iov_gather(bytes + io->off, io->iov, io->n_iov, 0, io->len);
		else if (io->op == OB_BLK_WRITE_ZEROES)
			memset(bytes + io->off, 0, io->len);
		blk_complete(ch, io, 0);
	}
}

static void mem_destroy(struct ob_blk *b)
{
	free(((struct mem *)b)->bytes);
}

static const struct blk_ops mem_ops = {
    .kind = "mem",
    .dev_bytes = sizeof(struct mem),
    .ch_bytes = sizeof(struct ob_blk_ch),
    .destroy = mem_destroy,
    .submit = mem_submit,
};

static struct ob_blk *mem_create(void)
{
	struct ob_blk *b;

	if (blk_new(&mem_ops, "mem", NULL, 0, &b) != 0)
		abort();
	b->info.bytes = STORE_BYTES;
	b->info.block_bytes = b->info.phys_block_bytes = 512;
	b->info.write_zeroes = true;
	((struct mem *)b)->bytes = calloc(1, STORE_BYTES);
	if (((struct mem *)b)->bytes == NULL)
		abort();
	return b;
}

/* ---- its content ---- */

static void entry(uint8_t *store, const struct cow_super *h, unsigned map, uint64_t idx, uint64_t e)
{
	uint64_t le = cow_encode(cow_map_seed(h->uuid, map), idx, e);
	uint64_t off = COW_MAP_OFF + map * 4096ull + idx * 8;

	if (off <= STORE_BYTES - 8)
		memcpy(store + off, &le, 8);
}

/* A valid store: 1 MiB in clusters of 4 KiB, some written, one snapshot. */
static void base(uint8_t *store, struct cow_super *h)
{
	unsigned i;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, COW_MAGIC, 8);
	h->version = htole32(COW_VERSION);
	h->generation = htole64(5);
	memset(h->uuid, 0x11, 16);
	h->bytes = htole64(1u << 20);
	h->max_bytes = htole64(2u << 20);
	h->cluster_bytes = htole32(4096);
	h->map_bytes = htole64(4096);
	h->data_off = htole64(COW_MAP_OFF + 8 * 4096);
	memcpy(h->snap[0].name, "snap", 5);
	h->snap[0].bytes = htole64(1u << 20);
	h->snap[0].map = htole32(1);
	for (i = 0; i < 8; i++) {
		entry(store, h, 0, i,
		    cow_entry(i % 4 == 3 ? COW_ZERO : COW_DATA, i % 4 == 3 ? 0 : i));
		entry(store, h, 1, i, cow_entry(COW_DATA, i < 4 ? i : i + 8));
	}
}

static uint8_t apply(uint8_t *store, const uint8_t *data, size_t size)
{
	struct cow_super h;
	unsigned n;

	base(store, &h);
	memcpy(store, &h, sizeof(h));
	memcpy(store + COW_SLOT_BYTES, &h, sizeof(h));
	for (n = 0; n < MAX_RECORDS && size >= 1 + 12 * (n + 1); n++) {
		const uint8_t *r = data + 1 + 12 * n;
		uint64_t off = r[2] | (uint64_t)r[3] << 8, at, e;
		size_t len = r[1] % 9;

		memcpy(&e, r + 4, 8);
		switch (r[0] % 7) {
		case 0:
		case 1:
		case 6:
			at = off % (COW_SUPER_BYTES - 8);
			if (r[0] % 7 != 1)
				memcpy(store + at, r + 4, len);
			if (r[0] % 7 != 0)
				memcpy(store + COW_SLOT_BYTES + at, r + 4, len);
			break;
		case 2:
		case 3:
			at = COW_MAP_OFF + (r[0] % 7 - 2) * 4096ull + off % 4088;
			memcpy(store + at, r + 4, len);
			break;
		default:
			entry(store, &h, r[0] % 7 - 4, off % 600, le64toh(e));
			break;
		}
	}
	return size > 0 ? data[0] : 0;
}

static void seal(uint8_t *slot)
{
	struct cow_super h;

	memcpy(&h, slot, sizeof(h));
	h.crc = 0;
	h.crc = htole32(cow_crc(&h, sizeof(h), ~0u));
	memcpy(slot, &h, sizeof(h));
}

/* ---- what is done with it ---- */

static int result;

static void done(struct ob_blk_io *io)
{
	result = io->result;
}

static int rw(struct ob_blk_ch *ch, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len)
{
	struct iovec iov = {buf, len};
	struct ob_blk_io io = {.op = (uint8_t)op,
	    .off = off,
	    .len = len,
	    .iov = &iov,
	    .n_iov = buf != NULL,
	    .done = done};
	struct ob_blk_io *p = &io;
	unsigned i;

	result = 1;
	ob_blk_submit(ch, &p, 1);
	for (i = 0; i < 1000 && result == 1; i++)
		ob_blk_poll(ch);
	if (result == 1)
		abort();
	return result;
}

struct seen {
	int rc;
	uint8_t block[512];
};

/* A block of each of the first clusters. */
static void look(struct ob_blk_ch *ch, uint64_t bytes, uint32_t cluster, struct seen *seen)
{
	unsigned i;

	for (i = 0; i < MAX_SEEN; i++) {
		memset(&seen[i], 0, sizeof(seen[i]));
		if ((uint64_t)i * cluster + 512 <= bytes)
			seen[i].rc = rw(ch, OB_BLK_READ, (uint64_t)i * cluster, seen[i].block, 512);
	}
}

static void same_but(const struct seen *a, const struct seen *b, unsigned but)
{
	unsigned i;

	for (i = 0; i < MAX_SEEN; i++)
		if (i != but && (a[i].rc != b[i].rc || memcmp(a[i].block, b[i].block, 512) != 0))
			abort();
}

static void use(struct ob_blk *b, uint8_t salt)
{
	static struct seen before[MAX_SEEN], after[MAX_SEEN];
	struct ob_blk_cow_status st;
	uint8_t block[512];
	struct ob_blk *snap = NULL;
	struct ob_blk_ch *ch;
	char err[256];
	unsigned i;

	if (ob_blk_ch_open(b, &ch) != 0 || ob_blk_cow_status(b, &st) != 0)
		abort();
	look(ch, b->info.bytes, st.cluster_bytes, before);
	for (i = 0; i < 12; i++) {
		unsigned k = (salt + i * 5u) % MAX_SEEN;
		uint64_t off = (uint64_t)k * st.cluster_bytes;

		memset(block, (int)(i + 1), sizeof(block));
		if (off + 512 > b->info.bytes)
			continue;
		if (i % 4 == 3)
			rw(ch, OB_BLK_DISCARD, off, NULL, 512);
		else
			rw(ch, OB_BLK_WRITE, off, block, 512);
		look(ch, b->info.bytes, st.cluster_bytes, after);
		same_but(before, after, k);
		memcpy(before, after, sizeof(before));
	}
	rw(ch, OB_BLK_DISCARD, 0, NULL, b->info.bytes);
	if (b->info.bytes > 512)
		rw(ch, OB_BLK_WRITE_ZEROES, 512, NULL, b->info.bytes - 512);
	ob_blk_ch_close(ch);
	for (i = 0; i < st.n_snaps; i++) {
		if (ob_blk_cow_snap_open(b, st.snap[i].name, "s", &snap, err, sizeof(err)) == 0) {
			if (ob_blk_ch_open(snap, &ch) != 0)
				abort();
			look(ch, snap->info.bytes, st.cluster_bytes, after);
			ob_blk_ch_close(ch);
			ob_blk_put(snap);
		}
	}
	ob_blk_cow_snapshot(b, "new", err, sizeof(err));
	ob_blk_resize(b, b->info.bytes + 512);
	if (st.n_snaps > 0)
		ob_blk_cow_snap_delete(b, st.snap[0].name, err, sizeof(err));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_blk *store = mem_create(), *b;
	struct ob_blk_cow_conf conf = {.store = store};
	uint8_t *bytes = ((struct mem *)store)->bytes, flags;
	char err[512];

	flags = apply(bytes, data, size);
	if ((flags & 1) != 0)
		seal(bytes);
	if ((flags & 2) != 0)
		seal(bytes + COW_SLOT_BYTES);
	if (ob_blk_cow_create("thin", &conf, &b, err, sizeof(err)) == 0) {
		use(b, flags);
		ob_blk_put(b);
		/* What it left is sound: known damage at most. */
		if (ob_blk_cow_create("thin", &conf, &b, err, sizeof(err)) != 0)
			abort();
		ob_blk_put(b);
	}
	ob_blk_put(store);
	return 0;
}
