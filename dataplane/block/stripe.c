/* SPDX-License-Identifier: BSD-3-Clause */
/* Chunks in turn on several devices. What an I/O needs of one child is one range there, and goes down as one part. */
#include "split.h"

#include <errno.h>

#define MIN_CHUNK     4096u
#define MAX_CHUNK     (2u << 20)
#define DEFAULT_CHUNK (64u << 10)

struct stripe {
	struct ob_blk b;
	uint64_t chunk;
};

struct stripe_ch {
	struct ob_blk_ch ch;
	struct split sp;
};

/* Bytes of child 'i' that lie before byte 'at' of the stripe. */
static uint64_t child_pos(const struct stripe *s, unsigned i, uint64_t at)
{
	uint64_t chunk = at / s->chunk, n = s->b.n_children;
	uint64_t row = chunk / n, col = chunk % n;

	if (i < col)
		return (row + 1) * s->chunk;
	return row * s->chunk + (i == col ? at % s->chunk : 0);
}

/* Byte of the stripe where byte 'at' of child 'i' lies. */
static uint64_t stripe_pos(const struct stripe *s, unsigned i, uint64_t at)
{
	return (at / s->chunk * s->b.n_children + i) * s->chunk + at % s->chunk;
}

/* Vectors for child 'i' from op->pos of it on, up to 'end'. Returns where it stopped: a chunk that would be too many vectors for one
 * I/O starts the next part. */
static uint64_t gather(
    const struct stripe *s, struct split_op *op, uint64_t end, struct split_part *p)
{
	struct ob_blk_io *io = op->io;
	struct split_cur cur = {io->iov, io->n_iov, 0};
	struct iovec *iov = op->iov + op->n_iov;
	uint64_t at = op->pos, seen = io->off;
	unsigned n = 0;

	while (at < end) {
		uint64_t len = s->chunk - at % s->chunk, pos = stripe_pos(s, op->child, at);
		unsigned max = SPLIT_BLOCK_IOV - op->n_iov, k;

		if (len > end - at)
			len = end - at;
		if (max > OB_BLK_MAX_IOV - n)
			max = OB_BLK_MAX_IOV - n;
		split_skip(&cur, pos - seen);
		k = split_cut(&cur, len, iov + n, max);
		if (k == 0)
			break;
		seen = pos + len;
		n += k;
		op->n_iov += k;
		at += len;
	}
	p->io.iov = iov;
	p->io.n_iov = (uint16_t)n;
	return at;
}

/* Within one chunk: as it is. */
static bool issue_one(struct split *sp, struct split_op *op, const struct stripe *s)
{
	struct ob_blk_io *io = op->io;
	unsigned child = (unsigned)(io->off / s->chunk % s->b.n_children);
	struct split_part *p = split_part(sp, op);

	if (p == NULL)
		return false;
	p->io.off = child_pos(s, child, io->off);
	p->io.len = io->len;
	p->io.iov = io->iov;
	p->io.n_iov = io->n_iov;
	split_send(sp, child, p);
	return true;
}

static bool issue(struct split *sp, struct split_op *op)
{
	const struct stripe *s = (const struct stripe *)sp->ch->b;
	struct ob_blk_io *io = op->io;
	bool flush = io->op == OB_BLK_FLUSH;

	if (!flush && io->off / s->chunk == (io->off + io->len - 1) / s->chunk)
		return issue_one(sp, op, s);
	if (!flush && io->n_iov > 0 && !split_need_iov(sp, op))
		return false;
	while (op->child < sp->ch->n_children) {
		uint64_t from = flush ? 0 : child_pos(s, op->child, io->off);
		uint64_t end = flush ? 0 : child_pos(s, op->child, io->off + io->len);
		struct split_part *p;

		if (op->pos < from)
			op->pos = from;
		if (!flush && op->pos == end) {
			op->child++;
			op->pos = 0;
			continue;
		}
		p = split_part(sp, op);
		if (p == NULL)
			return false;
		if (flush) {
			split_send(sp, op->child++, p);
			continue;
		}
		p->io.off = op->pos;
		op->pos = io->n_iov > 0 ? gather(s, op, end, p) : end;
		p->io.len = op->pos - p->io.off;
		if (p->io.len == 0) {
			split_drop(p, -EINVAL);
			return true;
		}
		split_send(sp, op->child, p);
	}
	return true;
}

static int stripe_ch_open(struct ob_blk_ch *ch)
{
	return split_init(&((struct stripe_ch *)ch)->sp, ch, issue);
}

static void stripe_ch_close(struct ob_blk_ch *ch)
{
	split_fini(&((struct stripe_ch *)ch)->sp);
}

static void stripe_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	split_submit(&((struct stripe_ch *)ch)->sp, ios, n);
}

static void stripe_cancel(struct ob_blk_ch *ch, const void *owner)
{
	split_cancel(&((struct stripe_ch *)ch)->sp, owner);
}

static uint64_t total(const struct stripe *s)
{
	uint64_t least = UINT64_MAX;
	unsigned i;

	for (i = 0; i < s->b.n_children; i++) {
		struct ob_blk_info c;

		ob_blk_info(s->b.child[i], &c);
		if (c.bytes < least)
			least = c.bytes;
	}
	return least / s->chunk * s->chunk * s->b.n_children;
}

static void child_changed(struct ob_blk *b)
{
	uint64_t bytes = total((struct stripe *)b);

	if (bytes != b->info.bytes)
		blk_changed(b, bytes);
}

static const struct blk_ops stripe_ops = {
    .kind = "stripe",
    .dev_bytes = sizeof(struct stripe),
    .ch_bytes = sizeof(struct stripe_ch),
    .ch_open = stripe_ch_open,
    .ch_close = stripe_ch_close,
    .submit = stripe_submit,
    .cancel = stripe_cancel,
    .child_changed = child_changed,
};

int ob_blk_stripe_create(const char *name, struct ob_blk *const *children, unsigned n_children,
    uint32_t chunk_bytes, struct ob_blk **out, char *err, size_t err_len)
{
	struct ob_blk *b;
	int rc;

	if (chunk_bytes == 0)
		chunk_bytes = DEFAULT_CHUNK;
	if (chunk_bytes < MIN_CHUNK || chunk_bytes > MAX_CHUNK ||
	    (chunk_bytes & (chunk_bytes - 1)) != 0)
		return blk_err(err, err_len, -EINVAL,
		    "chunks of %u bytes: take a power of two from 4 KiB to 2 MiB", chunk_bytes);
	rc = split_check(children, n_children, err, err_len);
	if (rc != 0)
		return rc;
	rc = blk_new(&stripe_ops, name, children, n_children, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot make '%s': %s", name,
		    rc == -EINVAL ? "a name is 1..31 of [A-Za-z0-9_.-]" : "out of memory");
	((struct stripe *)b)->chunk = chunk_bytes;
	split_info(b);
	b->info.opt_io_bytes = chunk_bytes;
	b->info.bytes = total((struct stripe *)b);
	if (b->info.bytes == 0) {
		ob_blk_put(b);
		return blk_err(err, err_len, -EINVAL,
		    "a device is smaller than a chunk of %u bytes", chunk_bytes);
	}
	*out = b;
	return 0;
}
