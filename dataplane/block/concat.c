/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices one after the other. */
#include "split.h"

#include <errno.h>

struct concat {
	struct ob_blk b;
	/* Where each child starts, for life: what lies behind a child must not move when it grows. */
	uint64_t start[BLK_MAX_CHILDREN + 1];
};

struct concat_ch {
	struct ob_blk_ch ch;
	struct split sp;
};

/* First byte behind what child 'i' holds; the last one may have grown. */
static uint64_t child_end(const struct concat *c, unsigned i)
{
	return i + 1 == c->b.n_children ? UINT64_MAX : c->start[i + 1];
}

static bool issue_flush(struct split *sp, struct split_op *op)
{
	for (; op->child < sp->ch->n_children; op->child++) {
		struct split_part *p = split_part(sp, op);

		if (p == NULL)
			return false;
		split_send(sp, op->child, p);
	}
	return true;
}

static bool issue(struct split *sp, struct split_op *op)
{
	const struct concat *c = (const struct concat *)sp->ch->b;
	struct ob_blk_io *io = op->io;

	if (io->op == OB_BLK_FLUSH)
		return issue_flush(sp, op);
	while (op->pos < io->len) {
		uint64_t at = io->off + op->pos, len = io->len - op->pos;
		struct split_part *p;

		while (at >= child_end(c, op->child))
			op->child++;
		if (len > child_end(c, op->child) - at)
			len = child_end(c, op->child) - at;
		if (io->n_iov > 0 && len < io->len && !split_need_iov(sp, op))
			return false;
		p = split_part(sp, op);
		if (p == NULL)
			return false;
		p->io.off = at - c->start[op->child];
		p->io.len = len;
		if (len == io->len) {
			p->io.iov = io->iov;
			p->io.n_iov = io->n_iov;
		} else if (io->n_iov > 0) {
			struct split_cur cur = {io->iov, io->n_iov, 0};
			struct iovec *iov = op->iov + op->n_iov;

			split_skip(&cur, op->pos);
			p->io.iov = iov;
			p->io.n_iov =
			    (uint16_t)split_cut(&cur, len, iov, SPLIT_BLOCK_IOV - op->n_iov);
			op->n_iov += p->io.n_iov;
			if (p->io.n_iov == 0) {
				split_drop(p, -EINVAL);
				return true;
			}
		}
		op->pos += len;
		split_send(sp, op->child, p);
	}
	return true;
}

static int concat_ch_open(struct ob_blk_ch *ch)
{
	return split_init(&((struct concat_ch *)ch)->sp, ch, issue);
}

static void concat_ch_close(struct ob_blk_ch *ch)
{
	split_fini(&((struct concat_ch *)ch)->sp);
}

static void concat_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	split_submit(&((struct concat_ch *)ch)->sp, ios, n);
}

static void concat_cancel(struct ob_blk_ch *ch, const void *owner)
{
	split_cancel(&((struct concat_ch *)ch)->sp, owner);
}

static uint64_t total(const struct concat *c)
{
	struct ob_blk_info last;

	ob_blk_info(c->b.child[c->b.n_children - 1], &last);
	return c->start[c->b.n_children - 1] + last.bytes;
}

static void child_changed(struct ob_blk *b)
{
	uint64_t bytes = total((struct concat *)b);

	if (bytes != b->info.bytes)
		blk_changed(b, bytes);
}

static int resize(struct ob_blk *b, uint64_t bytes)
{
	const struct concat *c = (const struct concat *)b;
	uint64_t start = c->start[b->n_children - 1];

	if (bytes <= start)
		return -EINVAL;
	return ob_blk_resize(b->child[b->n_children - 1], bytes - start);
}

static const struct blk_ops concat_ops = {
    .kind = "concat",
    .dev_bytes = sizeof(struct concat),
    .ch_bytes = sizeof(struct concat_ch),
    .ch_open = concat_ch_open,
    .ch_close = concat_ch_close,
    .submit = concat_submit,
    .cancel = concat_cancel,
    .resize = resize,
    .child_changed = child_changed,
};

int ob_blk_concat_create(const char *name, struct ob_blk *const *children, unsigned n_children,
    struct ob_blk **out, char *err, size_t err_len)
{
	struct concat *c;
	struct ob_blk *b;
	unsigned i;
	int rc;

	rc = split_check(children, n_children, err, err_len);
	if (rc != 0)
		return rc;
	rc = blk_new(&concat_ops, name, children, n_children, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot make '%s': %s", name,
		    rc == -EINVAL ? "a name is 1..31 of [A-Za-z0-9_.-]" : "out of memory");
	split_info(b);
	c = (struct concat *)b;
	for (i = 0; i < n_children; i++) {
		struct ob_blk_info info;

		ob_blk_info(children[i], &info);
		c->start[i + 1] = c->start[i] + info.bytes;
	}
	b->info.bytes = total(c);
	*out = b;
	return 0;
}
