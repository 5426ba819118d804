/* SPDX-License-Identifier: BSD-3-Clause */
/* What is on the store: made, read, checked and repaired before there is any channel; superblocks also while there are. */
#include "cow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

#define SYNC_BYTES (256u << 10)

struct sync_io {
	struct ob_blk_io io; /* first */
	bool over;
};

static void sync_done(struct ob_blk_io *io)
{
	((struct sync_io *)io)->over = true;
}

int cow_sync(struct cow *d, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len)
{
	const struct timespec nap = {0, 20000};
	struct iovec iov = {buf, len};
	struct sync_io s = {.io = {.op = (uint8_t)op, .off = off, .len = len, .done = sync_done}};
	struct ob_blk_io *io = &s.io;

	if (buf != NULL) {
		s.io.iov = &iov;
		s.io.n_iov = 1;
	}
	ob_blk_submit(d->ctl, &io, 1);
	while (!s.over)
		if (ob_blk_poll(d->ctl) == 0 && !s.over)
			nanosleep(&nap, NULL);
	return s.io.result;
}

static void put_super(struct cow_super *to, const struct cow_super *h)
{
	unsigned i;

	*to = *h;
	to->version = htole32(h->version);
	to->crc = 0;
	to->generation = htole64(h->generation);
	to->bytes = htole64(h->bytes);
	to->max_bytes = htole64(h->max_bytes);
	to->parent_bytes = htole64(h->parent_bytes);
	to->cluster_bytes = htole32(h->cluster_bytes);
	to->flags = htole32(h->flags);
	to->map_bytes = htole64(h->map_bytes);
	to->data_off = htole64(h->data_off);
	for (i = 0; i < COW_N_MAPS - 1; i++) {
		to->snap[i].bytes = htole64(h->snap[i].bytes);
		to->snap[i].created_s = htole64(h->snap[i].created_s);
		to->snap[i].map = htole32(h->snap[i].map);
	}
	to->crc = htole32(cow_crc(to, sizeof(*to), ~0u));
}

/* Returns false: no superblock, or damaged. 'le' is a private copy. */
static bool get_super(struct cow_super *h, const struct cow_super *le)
{
	unsigned i;

	*h = *le;
	h->crc = 0;
	if (memcmp(h->magic, COW_MAGIC, 8) != 0 || cow_crc(h, sizeof(*h), ~0u) != le32toh(le->crc))
		return false;
	h->version = le32toh(le->version);
	h->generation = le64toh(le->generation);
	h->bytes = le64toh(le->bytes);
	h->max_bytes = le64toh(le->max_bytes);
	h->parent_bytes = le64toh(le->parent_bytes);
	h->cluster_bytes = le32toh(le->cluster_bytes);
	h->flags = le32toh(le->flags);
	h->map_bytes = le64toh(le->map_bytes);
	h->data_off = le64toh(le->data_off);
	for (i = 0; i < COW_N_MAPS - 1; i++) {
		h->snap[i].bytes = le64toh(le->snap[i].bytes);
		h->snap[i].created_s = le64toh(le->snap[i].created_s);
		h->snap[i].map = le32toh(le->snap[i].map);
	}
	return true;
}

static int write_slot(struct cow *d, unsigned slot)
{
	struct cow_super *le = aligned_alloc(4096, COW_SUPER_BYTES);
	int rc;

	if (le == NULL)
		return -ENOMEM;
	put_super(le, &d->sb);
	rc = cow_sync(d, OB_BLK_WRITE, (uint64_t)slot * COW_SLOT_BYTES, le, COW_SUPER_BYTES);
	if (rc == 0)
		rc = cow_sync(d, OB_BLK_FLUSH, 0, NULL, 0);
	free(le);
	return rc;
}

int cow_write_super(struct cow *d)
{
	unsigned slot = (unsigned)(++d->sb.generation & 1);
	int rc = write_slot(d, slot);

	if (rc == 0)
		rc = write_slot(d, slot ^ 1);
	return rc;
}

int cow_write_map(struct cow *d, unsigned map, uint64_t from, const uint64_t *entries, uint64_t n)
{
	uint32_t seed = cow_map_seed(d->sb.uuid, map);
	uint64_t *le = aligned_alloc(4096, SYNC_BYTES), i = 0, k;
	int rc = 0;

	if (le == NULL)
		return -ENOMEM;
	while (i < n && rc == 0) {
		uint64_t off = COW_MAP_OFF + map * d->sb.map_bytes + (from + i) * 8, used = 0;
		uint64_t len = (n - i + COW_PAGE_N - 1) / COW_PAGE_N * COW_PAGE_BYTES;

		if (len > SYNC_BYTES)
			len = SYNC_BYTES;
		memset(le, 0, len);
		for (k = 0; k < len / 8 && i < n; k++, i++) {
			le[k] = cow_encode(seed, from + i, entries[i]);
			used |= le[k];
		}
		rc = used != 0 ? cow_sync(d, OB_BLK_WRITE, off, le, len)
			       : cow_sync(d, OB_BLK_WRITE_ZEROES, off, NULL, len);
	}
	free(le);
	return rc;
}

int cow_read_map(struct cow *d, unsigned map, uint64_t n,
    void (*fn)(void *ctx, uint64_t v, uint64_t e), void *ctx)
{
	uint32_t seed = cow_map_seed(d->sb.uuid, map);
	uint64_t off = COW_MAP_OFF + map * d->sb.map_bytes, v = 0, i;
	uint64_t *le = aligned_alloc(4096, SYNC_BYTES);
	int rc = 0;

	if (le == NULL)
		return -ENOMEM;
	while (v < n) {
		uint64_t len = d->sb.map_bytes - v * 8;

		if (len > SYNC_BYTES)
			len = SYNC_BYTES;
		rc = cow_sync(d, OB_BLK_READ, off + v * 8, le, len);
		if (rc != 0)
			break;
		for (i = 0; i < len / 8 && v < n; i++, v++)
			if (le[i] != 0)
				fn(ctx, v, cow_decode(seed, v, le[i]));
	}
	free(le);
	return rc;
}

int cow_map_alloc(struct cow *d)
{
	uint64_t pages = (d->n_entries + COW_PAGE_N - 1) / COW_PAGE_N;
	void *p = mmap(NULL, d->n_entries * 8, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	d->map = p;
	d->page_lock = calloc(pages, 1);
	return d->page_lock == NULL ? -ENOMEM : 0;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static uint64_t round_up(uint64_t x, uint64_t to)
{
	return (x + to - 1) / to * to;
}

static int zero_range(struct cow *d, uint64_t off, uint64_t len)
{
	int rc = 0;

	while (len > 0 && rc == 0) {
		uint64_t n = len < 1u << 30 ? len : 1u << 30;

		rc = cow_sync(d, OB_BLK_WRITE_ZEROES, off, NULL, n);
		off += n;
		len -= n;
	}
	return rc;
}

/* Geometry from what the caller put into d->sb. */
static int plan(struct cow *d, uint64_t store_bytes, char *err, size_t err_len)
{
	struct cow_super *h = &d->sb;
	uint32_t c = h->cluster_bytes;

	if (c < COW_MIN_CLUSTER || c > COW_MAX_CLUSTER || (c & (c - 1)) != 0)
		return blk_err(err, err_len, -EINVAL,
		    "clusters of %u bytes: take a power of two from 4 KiB to 2 MiB", c);
	if (h->bytes == 0 || h->bytes % d->b.info.block_bytes != 0)
		return blk_err(err, err_len, -EINVAL,
		    "size of %llu bytes: take a multiple of the block of %u",
		    (unsigned long long)h->bytes, d->b.info.block_bytes);
	if (h->max_bytes == 0)
		h->max_bytes = h->bytes > COW_MAX_BYTES / 4 ? h->bytes : h->bytes * 4;
	if (h->max_bytes < h->bytes || h->max_bytes > COW_MAX_BYTES)
		return blk_err(err, err_len, -EINVAL,
		    "the greatest size of %llu bytes is below the size, or too large",
		    (unsigned long long)h->max_bytes);
	h->map_bytes = round_up(round_up(h->max_bytes, c) / c * 8, COW_PAGE_BYTES);
	h->data_off = round_up(COW_MAP_OFF + COW_N_MAPS * h->map_bytes, c);
	if (h->data_off >= store_bytes || store_bytes - h->data_off < c)
		return blk_err(err, err_len, -ENOSPC,
		    "the store has %llu bytes; the maps and a cluster need %llu: take a larger "
		    "one, larger clusters or a smaller greatest size",
		    (unsigned long long)store_bytes, (unsigned long long)(h->data_off + c));
	return 0;
}

/* A mark in slot 1 tells an unfinished one; slot 0 is written when all else is durable. */
static int format(struct cow *d, uint64_t store_bytes, char *err, size_t err_len)
{
	uint8_t *mark;
	int rc = plan(d, store_bytes, err, err_len);

	if (rc != 0)
		return rc;
	mark = aligned_alloc(4096, COW_SUPER_BYTES);
	if (mark == NULL)
		return -ENOMEM;
	memset(mark, 0, COW_SUPER_BYTES);
	memcpy(mark, COW_MAGIC_MAKE, 8);
	rc = zero_range(d, 0, COW_SUPER_BYTES);
	if (rc == 0)
		rc = cow_sync(d, OB_BLK_WRITE, COW_SLOT_BYTES, mark, COW_SUPER_BYTES);
	free(mark);
	if (rc == 0)
		rc = cow_sync(d, OB_BLK_FLUSH, 0, NULL, 0);
	if (rc == 0)
		rc = zero_range(d, COW_MAP_OFF, d->sb.map_bytes);
	if (rc == 0)
		rc = cow_sync(d, OB_BLK_FLUSH, 0, NULL, 0);
	memcpy(d->sb.magic, COW_MAGIC, 8);
	d->sb.version = COW_VERSION;
	d->sb.generation = 1; /* the next is even: slot 0 first */
	if (rc == 0 && getrandom(d->sb.uuid, 16, 0) != 16)
		rc = -errno;
	if (rc == 0)
		rc = cow_write_super(d);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot write the store: %s", strerror(-rc));
	return 0;
}

bool cow_name_ok(const char name[32])
{
	unsigned i;

	for (i = 0; i < 32 && name[i] != 0; i++) {
		char ch = name[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			(ch >= '0' && ch <= '9') || ch == '_' || ch == '.' || ch == '-'))
			return false;
	}
	return i > 0 && i < 32;
}

/* What a right checksum does not promise. Returns NULL, or what is wrong. */
static const char *implausible(const struct cow *d, const struct cow_super *h, uint64_t store_bytes)
{
	uint32_t block = d->b.info.block_bytes, c = h->cluster_bytes;
	unsigned i, used = 0;

	if (h->version != COW_VERSION)
		return "a version that this program does not know";
	if (c < COW_MIN_CLUSTER || c > COW_MAX_CLUSTER || (c & (c - 1)) != 0)
		return "an impossible cluster size";
	if (h->bytes == 0 || h->bytes % block != 0 || h->bytes > h->max_bytes ||
	    h->max_bytes / c > store_bytes / 8 || h->max_bytes > COW_MAX_BYTES ||
	    h->parent_bytes > h->bytes || h->parent_bytes % 512 != 0)
		return "impossible sizes";
	/* Below, nothing overflows: a map fits into the store. */
	if (h->map_bytes != round_up(round_up(h->max_bytes, c) / c * 8, COW_PAGE_BYTES) ||
	    h->map_bytes > store_bytes / COW_N_MAPS)
		return "an impossible map size";
	if (h->data_off % c != 0 || h->data_off < COW_MAP_OFF + COW_N_MAPS * h->map_bytes ||
	    h->data_off > store_bytes)
		return "clusters outside of the store (was it made smaller?)";
	if ((h->flags & ~(uint32_t)COW_HAS_PARENT) != 0 ||
	    ((h->flags & COW_HAS_PARENT) == 0 && h->parent_bytes != 0))
		return "flags that this program does not know";
	for (i = 0; i < COW_N_MAPS - 1; i++) {
		const struct cow_disk_snap *s = &h->snap[i];

		if (s->map == 0)
			continue;
		if (s->map >= COW_N_MAPS || (used & 1u << s->map) != 0 || !cow_name_ok(s->name) ||
		    s->bytes == 0 || s->bytes % block != 0 || s->bytes > h->max_bytes)
			return "an impossible snapshot";
		used |= 1u << s->map;
	}
	return NULL;
}

static void add_text(char *err, size_t err_len, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void add_text(char *err, size_t err_len, const char *fmt, ...)
{
	size_t at = strnlen(err, err_len);
	va_list ap;

	if (at + 1 >= err_len)
		return;
	va_start(ap, fmt);
	vsnprintf(err + at, err_len - at, fmt, ap);
	va_end(ap);
}

/* Chooses the superblock; 'err' gets what was repaired. */
static int choose(
    struct cow *d, const uint8_t *head, uint64_t store_bytes, char *err, size_t err_len)
{
	struct cow_super h[2];
	bool ok[2];
	const char *why;
	unsigned i, best;
	int rc;

	for (i = 0; i < 2; i++) {
		struct cow_super le;

		memcpy(&le, head + i * COW_SLOT_BYTES, sizeof(le));
		ok[i] = get_super(&h[i], &le);
	}
	if (!ok[0] && !ok[1])
		return blk_err(err, err_len, -EUCLEAN,
		    "no valid superblock: the store is not one of a thin device, or damaged beyond "
		    "repair");
	best = !ok[0] || (ok[1] && h[1].generation > h[0].generation);
	why = implausible(d, &h[best], store_bytes);
	if (why != NULL)
		return blk_err(err, err_len, -EUCLEAN, "the store's superblock tells of %s", why);
	d->sb = h[best];
	if ((ok[0] && ok[1] && h[0].generation == h[1].generation) || d->b.info.read_only)
		return 0;
	rc = write_slot(d, best ^ 1);
	if (rc != 0)
		return blk_err(
		    err, err_len, rc, "cannot repair superblock %u: %s", best ^ 1, strerror(-rc));
	add_text(err, err_len, "superblock %u was %s and is a copy of the other again. ", best ^ 1,
	    ok[best ^ 1] ? "of an older generation" : "damaged");
	return 0;
}

static bool may_make(const struct ob_blk_cow_conf *conf, const uint8_t *head)
{
	struct cow_super h, le[2];

	if (!conf->create)
		return false;
	if (all_zero(head, COW_MAP_OFF + COW_PAGE_BYTES))
		return true;
	/* Somebody had begun to. */
	if (all_zero(head, COW_SUPER_BYTES) &&
	    memcmp(head + COW_SLOT_BYTES, COW_MAGIC_MAKE, 8) == 0)
		return true;
	memcpy(&le[0], head, sizeof(le[0]));
	memcpy(&le[1], head + COW_SLOT_BYTES, sizeof(le[1]));
	return conf->overwrite && !get_super(&h, &le[0]) && !get_super(&h, &le[1]);
}

int cow_load_store(struct cow *d, const struct ob_blk_cow_conf *conf, char *err, size_t err_len)
{
	struct ob_blk_info st;
	uint8_t *head;
	int rc;

	ob_blk_info(d->b.child[COW_STORE], &st);
	if (st.bytes < COW_MAP_OFF + COW_PAGE_BYTES)
		return blk_err(err, err_len, -ENOSPC, "the store has %llu bytes only",
		    (unsigned long long)st.bytes);
	head = aligned_alloc(4096, COW_MAP_OFF + COW_PAGE_BYTES);
	if (head == NULL)
		return -ENOMEM;
	rc = cow_sync(d, OB_BLK_READ, 0, head, COW_MAP_OFF + COW_PAGE_BYTES);
	if (rc != 0)
		rc = blk_err(err, err_len, rc, "cannot read the store: %s", strerror(-rc));
	else if (!may_make(conf, head))
		rc = choose(d, head, st.bytes, err, err_len);
	else if (d->b.info.read_only)
		rc = blk_err(err, err_len, -EROFS, "the store is read only");
	else
		rc = format(d, st.bytes, err, err_len);
	free(head);
	return rc;
}

/* ---- the check of the maps ---- */

struct check {
	struct cow *d;
	struct cow_set used;   /* by the device's own map */
	struct cow_set twice;  /* by two entries of it */
	struct cow_set shared; /* by snapshots */
	uint64_t n_bad, first_bad;
	uint64_t n_snap_bad;
};

static void bad(struct check *k, uint64_t v)
{
	atomic_store_explicit(&k->d->map[v], cow_entry(COW_BAD, 0), memory_order_relaxed);
	if (k->n_bad++ == 0)
		k->first_bad = v;
}

static void check_own(void *ctx, uint64_t v, uint64_t e)
{
	struct check *k = ctx;

	if (cow_state(e) == COW_BAD ||
	    (cow_state(e) == COW_DATA && (e & COW_PHYS) >= k->d->n_clusters)) {
		bad(k, v);
		return;
	}
	if (cow_state(e) == COW_DATA && !cow_set_add(&k->used, e & COW_PHYS))
		cow_set_add(&k->twice, e & COW_PHYS);
	atomic_store_explicit(&k->d->map[v], e, memory_order_relaxed);
}

static void check_snap(void *ctx, uint64_t v, uint64_t e)
{
	struct check *k = ctx;

	(void)v;
	if (cow_state(e) == COW_BAD ||
	    (cow_state(e) == COW_DATA && (e & COW_PHYS) >= k->d->n_clusters))
		k->n_snap_bad++;
	else if (cow_state(e) == COW_DATA)
		cow_set_add(&k->shared, e & COW_PHYS);
}

/* Two entries with one cluster: whose it is cannot be known, and a write by one would change the other. */
static void check_shared(struct check *k)
{
	struct cow *d = k->d;
	uint64_t v, i, n_used = cow_n_used(d);

	for (v = 0; v < n_used; v++) {
		uint64_t e = cow_load(d, v);

		if (cow_state(e) != COW_DATA)
			continue;
		if (cow_set_has(&k->twice, e & COW_PHYS))
			bad(k, v);
		else if (cow_set_has(&k->shared, e & COW_PHYS))
			atomic_store_explicit(&d->map[v], e | COW_SHARED, memory_order_relaxed);
	}
	for (i = 0; i < d->n_clusters; i++)
		if (!cow_set_has(&k->used, i) && !cow_set_has(&k->shared, i))
			cow_set_add(&d->free, i);
}

/* So that the next check finds them as known damage, not as new. */
static int mark_bad(struct cow *d)
{
	uint64_t page, v, n_used = cow_n_used(d), entries[COW_PAGE_N];
	int rc = 0;

	for (page = 0; rc == 0 && page * COW_PAGE_N < n_used; page++) {
		bool any = false;
		unsigned n = 0;

		for (v = page * COW_PAGE_N; n < COW_PAGE_N && v < n_used; n++, v++) {
			entries[n] = cow_load(d, v);
			any |= cow_state(entries[n]) == COW_BAD;
		}
		if (any)
			rc = cow_write_map(d, 0, page * COW_PAGE_N, entries, n);
	}
	return rc == 0 ? cow_sync(d, OB_BLK_FLUSH, 0, NULL, 0) : rc;
}

int cow_check_store(struct cow *d, char *err, size_t err_len)
{
	struct check k = {.d = d};
	unsigned i;
	int rc;

	rc = cow_set_init(&k.used, d->n_words);
	if (rc == 0)
		rc = cow_set_init(&k.twice, d->n_words);
	if (rc == 0)
		rc = cow_set_init(&k.shared, d->n_words);
	if (rc == 0)
		rc = cow_read_map(d, 0, cow_n_used(d), check_own, &k);
	for (i = 0; rc == 0 && i < COW_N_MAPS - 1; i++) {
		uint64_t n = (d->sb.snap[i].bytes + (1ull << d->shift) - 1) >> d->shift;

		if (d->sb.snap[i].map == 0)
			continue;
		k.n_snap_bad = 0;
		rc = cow_read_map(d, d->sb.snap[i].map, n, check_snap, &k);
		if (k.n_snap_bad > 0)
			add_text(err, err_len,
			    "%llu map entries of snapshot '%s' are damaged: reads there fail. ",
			    (unsigned long long)k.n_snap_bad, d->sb.snap[i].name);
	}
	if (rc == 0)
		check_shared(&k);
	if (rc == 0 && k.n_bad > 0) {
		add_text(err, err_len,
		    "%llu map entries are damaged (the first of byte %llu): reads there fail until "
		    "the cluster is written as a whole or discarded. ",
		    (unsigned long long)k.n_bad, (unsigned long long)(k.first_bad << d->shift));
		atomic_store(&d->n_damaged, k.n_bad);
		if (!d->b.info.read_only)
			rc = mark_bad(d);
	}
	free(k.used.w);
	free(k.twice.w);
	free(k.shared.w);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot check the store: %s", strerror(-rc));
	return 0;
}
