/* SPDX-License-Identifier: BSD-3-Clause */
#include "split.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int split_init(
    struct split *sp, struct ob_blk_ch *ch, bool (*issue)(struct split *sp, struct split_op *op))
{
	unsigned i;

	memset(sp, 0, sizeof(*sp));
	sp->ch = ch;
	sp->issue = issue;
	sp->tail = &sp->head;
	sp->ops = calloc(SPLIT_MAX_OPS, sizeof(*sp->ops));
	sp->parts = calloc(SPLIT_MAX_PARTS, sizeof(*sp->parts));
	sp->blocks = calloc((size_t)SPLIT_MAX_BLOCKS * SPLIT_BLOCK_IOV, sizeof(*sp->blocks));
	if (sp->ops == NULL || sp->parts == NULL || sp->blocks == NULL) {
		split_fini(sp);
		return -ENOMEM;
	}
	for (i = 0; i < SPLIT_MAX_OPS; i++) {
		sp->ops[i].next = sp->free_op;
		sp->free_op = &sp->ops[i];
	}
	for (i = 0; i < SPLIT_MAX_PARTS; i++) {
		sp->parts[i].sp = sp;
		sp->parts[i].next = sp->free_part;
		sp->free_part = &sp->parts[i];
	}
	for (i = 0; i < SPLIT_MAX_BLOCKS; i++)
		sp->free_block[sp->n_free_blocks++] = sp->blocks + (size_t)i * SPLIT_BLOCK_IOV;
	return 0;
}

void split_fini(struct split *sp)
{
	free(sp->ops);
	free(sp->parts);
	free(sp->blocks);
	sp->ops = NULL;
	sp->parts = NULL;
	sp->blocks = NULL;
}

static void op_put(struct split *sp, struct split_op *op)
{
	struct ob_blk_io *io = op->io;
	int result = op->result;

	if (--op->n_left > 0)
		return;
	if (op->iov != NULL)
		sp->free_block[sp->n_free_blocks++] = op->iov;
	op->next = sp->free_op;
	sp->free_op = op;
	sp->again = true;
	blk_complete(sp->ch, io, result);
}

static void flush_batch(struct split *sp, unsigned child)
{
	struct ob_blk_io *ios[SPLIT_BATCH];
	unsigned n = sp->n_batch[child];

	/* From a copy: completions inside may fill the batch anew. */
	memcpy(ios, sp->batch[child], n * sizeof(ios[0]));
	sp->n_batch[child] = 0;
	if (n > 0)
		ob_blk_submit(sp->ch->child[child], ios, n);
}

static struct split_op *next_op(struct split *sp)
{
	struct split_op *op = sp->free_op;
	struct ob_blk_io *io = sp->head;

	if (io == NULL || op == NULL)
		return NULL;
	sp->head = io->next;
	if (sp->head == NULL)
		sp->tail = &sp->head;
	sp->free_op = op->next;
	*op = (struct split_op){.io = io, .n_left = 1};
	return op;
}

static void run(struct split *sp)
{
	unsigned i;

	/* 'done' of a part or of an I/O may bring us here again; the loop below goes on for them. */
	if (sp->running)
		return;
	sp->running = true;
	do {
		sp->again = false;
		while (sp->cur != NULL || (sp->cur = next_op(sp)) != NULL) {
			struct split_op *op = sp->cur;

			/* The rest of what failed already is not worth issuing. */
			if (op->result == 0 && !sp->issue(sp, op))
				break;
			sp->cur = NULL;
			op_put(sp, op);
		}
		for (i = 0; i < sp->ch->n_children; i++)
			flush_batch(sp, i);
	} while (sp->again && (sp->cur != NULL || sp->head != NULL));
	sp->running = false;
}

static void part_done(struct ob_blk_io *io)
{
	struct split_part *p = (struct split_part *)io;
	struct split *sp = p->sp;
	struct split_op *op = p->op;

	/* -ECANCELED wins: the I/O comes again as a whole. */
	if (io->result != 0 && (op->result == 0 || io->result == -ECANCELED))
		op->result = io->result;
	p->next = sp->free_part;
	sp->free_part = p;
	sp->again = true;
	op_put(sp, op);
	if (sp->cur != NULL || sp->head != NULL)
		run(sp);
}

void split_submit(struct split *sp, struct ob_blk_io *const *ios, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		ios[i]->next = NULL;
		*sp->tail = ios[i];
		sp->tail = &ios[i]->next;
	}
	sp->again = true;
	run(sp);
}

void split_cancel(struct split *sp, const void *owner)
{
	struct ob_blk_io *io = sp->head, *next, *out = NULL, **out_tail = &out;
	unsigned i;

	if (sp->cur != NULL && (owner == NULL || sp->cur->io->owner == owner))
		sp->cur->result = -ECANCELED;
	sp->head = NULL;
	sp->tail = &sp->head;
	for (; io != NULL; io = next) {
		next = io->next;
		io->next = NULL;
		if (owner == NULL || io->owner == owner) {
			*out_tail = io;
			out_tail = &io->next;
		} else {
			*sp->tail = io;
			sp->tail = &io->next;
		}
	}
	for (; out != NULL; out = next) {
		next = out->next;
		blk_complete(sp->ch, out, -ECANCELED);
	}
	/* What the children cancelled before made place for more of this owner's. */
	for (i = 0; i < sp->ch->n_children; i++)
		ob_blk_cancel(sp->ch->child[i], owner);
	sp->again = true;
	run(sp);
}

struct split_part *split_part(struct split *sp, struct split_op *op)
{
	struct split_part *p = sp->free_part;

	if (p == NULL)
		return NULL;
	sp->free_part = p->next;
	p->op = op;
	op->n_left++;
	p->io = (struct ob_blk_io){
	    .op = op->io->op,
	    .flags = op->io->flags,
	    .owner = op->io->owner,
	    .done = part_done,
	};
	return p;
}

void split_send(struct split *sp, unsigned child, struct split_part *p)
{
	if (sp->n_batch[child] == SPLIT_BATCH)
		flush_batch(sp, child);
	sp->batch[child][sp->n_batch[child]++] = &p->io;
}

void split_drop(struct split_part *p, int rc)
{
	p->io.result = rc;
	part_done(&p->io);
}

bool split_need_iov(struct split *sp, struct split_op *op)
{
	if (op->iov == NULL && sp->n_free_blocks > 0)
		op->iov = sp->free_block[--sp->n_free_blocks];
	return op->iov != NULL;
}

void split_skip(struct split_cur *c, size_t len)
{
	while (len > 0 && c->n > 0) {
		size_t left = c->v->iov_len - c->in;

		if (len < left) {
			c->in += len;
			return;
		}
		len -= left;
		c->in = 0;
		c->v++;
		c->n--;
	}
}

unsigned split_cut(struct split_cur *c, size_t len, struct iovec *out, unsigned max)
{
	unsigned n = 0;

	while (len > 0) {
		size_t left;

		if (c->n == 0 || n == max)
			return 0;
		left = c->v->iov_len - c->in;
		if (left > len)
			left = len;
		if (left > 0) {
			out[n].iov_base = (char *)c->v->iov_base + c->in;
			out[n++].iov_len = left;
		}
		split_skip(c, left);
		if (left == 0) {
			c->in = 0;
			c->v++;
			c->n--;
		}
		len -= left;
	}
	return n;
}

void split_info(struct ob_blk *b)
{
	struct ob_blk_info *to = &b->info;
	unsigned i;

	for (i = 0; i < b->n_children; i++) {
		struct ob_blk_info c;

		ob_blk_info(b->child[i], &c);
		if (i == 0) {
			to->block_bytes = c.block_bytes;
			to->phys_block_bytes = c.phys_block_bytes;
			to->opt_io_bytes = c.opt_io_bytes;
			to->discard_bytes = c.discard_bytes;
			to->read_only = c.read_only;
			to->write_zeroes = c.write_zeroes;
			to->volatile_cache = c.volatile_cache;
			to->zero_on_discard = c.zero_on_discard;
			continue;
		}
		if (to->phys_block_bytes < c.phys_block_bytes)
			to->phys_block_bytes = c.phys_block_bytes;
		if (to->opt_io_bytes < c.opt_io_bytes)
			to->opt_io_bytes = c.opt_io_bytes;
		if (c.discard_bytes == 0 || to->discard_bytes == 0)
			to->discard_bytes = 0;
		else if (to->discard_bytes < c.discard_bytes)
			to->discard_bytes = c.discard_bytes;
		to->read_only |= c.read_only;
		to->write_zeroes &= c.write_zeroes;
		to->volatile_cache |= c.volatile_cache;
		to->zero_on_discard &= c.zero_on_discard;
	}
}

int split_check(struct ob_blk *const *children, unsigned n_children, char *err, size_t err_len)
{
	struct ob_blk_info first, c;
	unsigned i, k;

	if (n_children < 2 || n_children > BLK_MAX_CHILDREN)
		return blk_err(err, err_len, -EINVAL, "takes 2 to %d devices, not %u",
		    BLK_MAX_CHILDREN, n_children);
	ob_blk_info(children[0], &first);
	for (i = 0; i < n_children; i++) {
		ob_blk_info(children[i], &c);
		if (c.block_bytes != first.block_bytes)
			return blk_err(err, err_len, -EINVAL,
			    "'%s' has blocks of %u bytes and '%s' of %u: take devices of one block "
			    "size",
			    first.name, first.block_bytes, c.name, c.block_bytes);
		for (k = 0; k < i; k++)
			if (children[k] == children[i])
				return blk_err(err, err_len, -EINVAL,
				    "'%s' is named twice: each device holds one part", c.name);
	}
	return 0;
}
