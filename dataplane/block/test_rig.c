/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_rig.h"

#include <stdlib.h>
#include <sys/mman.h>

struct cell {
	uint32_t sector, version;
	uint64_t mix;
};

#define N_CELLS (RIG_SECTOR / sizeof(struct cell))

uint32_t rig_rand(struct rig *r)
{
	r->rng ^= r->rng << 13;
	r->rng ^= r->rng >> 7;
	r->rng ^= r->rng << 17;
	return (uint32_t)(r->rng >> 16);
}

void rig_init(struct rig *r, uint64_t bytes, uint64_t seed)
{
	unsigned i;
	void *p;

	memset(r, 0, sizeof(*r));
	r->n_sectors = bytes / RIG_SECTOR;
	r->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	p = mmap(NULL, r->n_sectors * sizeof(*r->s), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(p != MAP_FAILED);
	r->s = p;
	for (i = 0; i < RIG_DEPTH; i++) {
		r->slot[i].r = r;
		r->slot[i].buf = aligned_alloc(4096, RIG_IO_MAX);
		r->slot[i].acked = malloc(r->n_sectors * sizeof(uint32_t));
		assert_non_null(r->slot[i].buf);
		assert_non_null(r->slot[i].acked);
	}
}

void rig_fini(struct rig *r)
{
	unsigned i;

	rig_close(r);
	for (i = 0; i < RIG_DEPTH; i++) {
		free(r->slot[i].buf);
		free(r->slot[i].acked);
	}
	munmap(r->s, r->n_sectors * sizeof(*r->s));
}

void rig_open(struct rig *r, struct ob_blk *b, unsigned n)
{
	for (r->n_ch = 0; r->n_ch < n; r->n_ch++)
		assert_int_equal(ob_blk_ch_open(b, &r->ch[r->n_ch]), 0);
}

void rig_close(struct rig *r)
{
	while (r->n_ch > 0)
		ob_blk_ch_close(r->ch[--r->n_ch]);
}

static uint64_t mix(uint64_t s, uint32_t version)
{
	return ((s << 32 | version) + 1) * 0x9e3779b97f4a7c15ull;
}

void rig_fill(uint8_t *to, uint64_t s, uint32_t version)
{
	const struct cell c = {(uint32_t)s, version, mix(s, version)};
	unsigned i;

	for (i = 0; i < N_CELLS; i++)
		memcpy(to + i * sizeof(c), &c, sizeof(c));
}

/* Returns false: neither zeroes nor a version of this sector, as a whole. */
static bool read_version(const uint8_t *p, uint64_t s, bool *zero, uint32_t *version)
{
	struct cell c;

	if (memcmp(p, p + sizeof(c), RIG_SECTOR - sizeof(c)) != 0)
		return false;
	memcpy(&c, p, sizeof(c));
	*version = c.version;
	*zero = c.sector == 0 && c.version == 0 && c.mix == 0;
	return *zero || (c.sector == s && c.mix == mix(s, c.version));
}

static bool sector_ok(const struct rig_sector *s, const uint8_t *p, uint64_t idx, bool crash)
{
	uint32_t version, least = crash ? s->durable : s->acked == RIG_ANY ? 0 : s->acked;
	uint32_t most = crash || s->acked == RIG_ANY ? s->submitted : s->acked;
	bool zero;

	if (!read_version(p, idx, &zero, &version))
		return false;
	if (zero)
		return s->zeroed >= 0 && (uint32_t)s->zeroed >= least;
	return version >= least && version <= most;
}

static void note_bad(struct rig *r, uint64_t sector)
{
	if (r->n_bad++ == 0) {
		r->bad_sector = sector;
		fprintf(stderr, "sector %llu: submitted %u acked %u durable %u zeroed %d\n",
		    (unsigned long long)sector, r->s[sector].submitted, r->s[sector].acked,
		    r->s[sector].durable, r->s[sector].zeroed);
	}
}

static void done(struct ob_blk_io *io)
{
	struct rig_slot *t = (struct rig_slot *)io;
	struct rig *r = t->r;
	uint64_t s, first = io->off / RIG_SECTOR, n = io->len / RIG_SECTOR;

	assert_true(t->used);
	t->used = false;
	r->n_used--;
	r->n_ios++;
	if (r->crashed) {
		for (s = first; s < first + n; s++)
			r->s[s].busy = 0;
		return;
	}
	if (io->result != 0) {
		r->n_errors++;
		if (io->result != r->allowed_error) {
			fprintf(stderr, "op %u at %llu + %llu: %d\n", io->op,
			    (unsigned long long)io->off, (unsigned long long)io->len, io->result);
			fail();
		}
	}
	if (io->op == OB_BLK_FLUSH) {
		for (s = 0; io->result == 0 && s < r->n_sectors; s++)
			if (t->acked[s] != RIG_ANY && t->acked[s] > r->s[s].durable &&
			    r->s[s].acked != RIG_ANY)
				r->s[s].durable = t->acked[s];
		return;
	}
	for (s = first; s < first + n; s++) {
		struct rig_sector *m = &r->s[s];

		m->busy = 0;
		if (io->op == OB_BLK_READ) {
			if (io->result == 0 &&
			    !sector_ok(m, t->buf + (s - first) * RIG_SECTOR, s, false))
				note_bad(r, s);
			continue;
		}
		if (io->op == OB_BLK_DISCARD || io->result != 0)
			continue;
		m->acked = m->submitted;
		if ((io->flags & OB_BLK_FUA) != 0)
			m->durable = m->acked;
	}
}

static void split(struct rig *r, struct rig_slot *t)
{
	uint64_t at = 0;
	unsigned n = 0;

	while (at < t->io.len) {
		uint64_t left = t->io.len - at, len = left;
		uint64_t unit = r->odd_iov ? 1 : RIG_SECTOR;

		if (n + 1 < RIG_MAX_IOV && rig_rand(r) % 4 != 0)
			len = (rig_rand(r) % (left / unit) + 1) * unit;
		t->iov[n++] = (struct iovec){t->buf + at, len};
		at += len;
	}
	t->io.iov = t->iov;
	t->io.n_iov = (uint16_t)n;
}

static enum ob_blk_op pick_op(struct rig *r)
{
	uint32_t x = rig_rand(r) % 100;

	if (x < 50)
		return OB_BLK_WRITE;
	if (x < 72)
		return OB_BLK_READ;
	if (x < 82)
		return OB_BLK_WRITE_ZEROES;
	if (x < 90)
		return r->no_discard ? OB_BLK_WRITE : OB_BLK_DISCARD;
	return r->no_flush ? OB_BLK_READ : OB_BLK_FLUSH;
}

/* A range that nobody uses. Returns false: not found. */
static bool pick_range(struct rig *r, uint64_t *first, uint64_t *n)
{
	static const uint16_t sizes[] = {1, 1, 2, 8, 8, 8, 16, 64, 128, 256, 384};
	uint64_t i;

	*n = sizes[rig_rand(r) % 11];
	if (rig_rand(r) % 8 == 0)
		*n = rig_rand(r) % (RIG_IO_MAX / RIG_SECTOR) + 1;
	if (*n > r->n_sectors)
		*n = r->n_sectors;
	*first = rig_rand(r) % (r->n_sectors - *n + 1);
	if (rig_rand(r) % 2 == 0)
		*first = *first / 8 * 8;
	for (i = 0; i < *n; i++)
		if (r->s[*first + i].busy)
			return false;
	return true;
}

static void claim(struct rig *r, struct rig_slot *t)
{
	uint64_t first = t->io.off / RIG_SECTOR, n = t->io.len / RIG_SECTOR, i;

	for (i = 0; i < n; i++) {
		struct rig_sector *m = &r->s[first + i];

		m->busy = 1;
		if (t->io.op == OB_BLK_READ)
			continue;
		m->submitted++;
		if (t->io.op != OB_BLK_WRITE)
			m->zeroed = (int32_t)m->submitted;
		if (t->io.op == OB_BLK_DISCARD) {
			m->durable = 0;
			m->acked = RIG_ANY;
		} else if (r->allowed_error != 0) {
			m->acked = RIG_ANY;
		}
		if (t->io.op == OB_BLK_WRITE)
			rig_fill(t->buf + i * RIG_SECTOR, first + i, m->submitted);
	}
}

static bool make(struct rig *r, struct rig_slot *t)
{
	uint64_t first, n, i;

	memset(&t->io, 0, sizeof(t->io));
	t->io.op = (uint8_t)pick_op(r);
	t->io.done = done;
	t->io.owner = r;
	if (t->io.op == OB_BLK_FLUSH) {
		for (i = 0; i < r->n_sectors; i++)
			t->acked[i] = r->s[i].acked;
		return true;
	}
	if (!pick_range(r, &first, &n))
		return false;
	t->io.off = first * RIG_SECTOR;
	t->io.len = n * RIG_SECTOR;
	if (t->io.op == OB_BLK_WRITE_ZEROES && rig_rand(r) % 2 == 0)
		t->io.flags |= OB_BLK_MAY_UNMAP;
	if ((t->io.op == OB_BLK_WRITE || t->io.op == OB_BLK_WRITE_ZEROES) && rig_rand(r) % 10 == 0)
		t->io.flags |= OB_BLK_FUA;
	claim(r, t);
	if (t->io.op == OB_BLK_READ || t->io.op == OB_BLK_WRITE)
		split(r, t);
	return true;
}

void rig_step(struct rig *r)
{
	struct ob_blk_io *ios[RIG_DEPTH];
	unsigned c, i, n = 0, want = rig_rand(r) % 6;

	c = rig_rand(r) % r->n_ch;
	for (i = 0; i < RIG_DEPTH && n < want; i++) {
		struct rig_slot *t = &r->slot[i];

		if (t->used || !make(r, t))
			continue;
		t->used = true;
		r->n_used++;
		ios[n++] = &t->io;
	}
	if (n > 0)
		ob_blk_submit(r->ch[c], ios, n);
	for (i = 0; i < r->n_ch; i++)
		ob_blk_poll(r->ch[i]);
}

void rig_drain(struct rig *r)
{
	unsigned i;

	while (r->n_used > 0)
		for (i = 0; i < r->n_ch; i++)
			ob_blk_poll(r->ch[i]);
}

void rig_forget(struct rig *r)
{
	uint64_t s;
	unsigned i;

	for (i = 0; i < RIG_DEPTH; i++)
		r->slot[i].used = false;
	r->n_used = 0;
	for (s = 0; s < r->n_sectors; s++)
		r->s[s].busy = 0;
}

static void adopt(struct rig_sector *m, const uint8_t *p)
{
	struct cell c;

	memcpy(&c, p, sizeof(c));
	if (c.sector == 0 && c.version == 0 && c.mix == 0) {
		m->submitted++;
		m->zeroed = (int32_t)m->submitted;
		m->acked = m->submitted;
	} else {
		m->acked = c.version;
	}
	m->durable = m->acked;
}

void rig_verify(struct rig *r, bool crash)
{
	uint8_t *buf = r->slot[0].buf;
	uint64_t s, i;

	assert_int_equal(r->n_used, 0);
	for (s = 0; s < r->n_sectors; s += 64) {
		uint64_t n = r->n_sectors - s < 64 ? r->n_sectors - s : 64;

		assert_int_equal(test_rw(r->ch[s / 64 % r->n_ch], OB_BLK_READ, 0, s * RIG_SECTOR,
				     buf, n * RIG_SECTOR),
		    0);
		for (i = 0; i < n; i++) {
			const uint8_t *p = buf + i * RIG_SECTOR;

			if (!sector_ok(&r->s[s + i], p, s + i, crash))
				note_bad(r, s + i);
			else if (crash)
				adopt(&r->s[s + i], p);
		}
	}
	assert_int_equal(r->n_bad, 0);
}

struct rig_sector *rig_copy(const struct rig *r)
{
	struct rig_sector *s = malloc(r->n_sectors * sizeof(*s));

	assert_non_null(s);
	memcpy(s, r->s, r->n_sectors * sizeof(*s));
	return s;
}
