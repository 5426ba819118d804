/* SPDX-License-Identifier: BSD-3-Clause */
/* A channel: I/Os are cut where their clusters lie apart, and go to the store, the parent or nowhere. */
#include "cow.h"

#include <errno.h>
#include <stdlib.h>

static struct cow *dev(const struct cow_ch *c)
{
	return (struct cow *)c->ch.b;
}

static void count(_Atomic uint32_t *n, int add)
{
	/* One writer; release pairs with those who wait for zero. */
	atomic_store_explicit(
	    n, atomic_load_explicit(n, memory_order_relaxed) + (uint32_t)add, memory_order_release);
}

static void flush_batch(struct cow_ch *c, unsigned child)
{
	struct ob_blk_io *ios[COW_BATCH];
	unsigned n = c->n_batch[child];

	if (n == 0)
		return;
	/* From a copy: completions inside may fill the batch anew. */
	memcpy(ios, c->batch[child], n * sizeof(ios[0]));
	c->n_batch[child] = 0;
	ob_blk_submit(c->ch.child[child], ios, n);
}

void cow_push(struct cow_ch *c, unsigned child, struct ob_blk_io *io)
{
	if (c->n_batch[child] == COW_BATCH)
		flush_batch(c, child);
	c->batch[child][c->n_batch[child]++] = io;
}

void cow_op_put(struct cow_ch *c, struct cow_op *op)
{
	struct ob_blk_io *io = op->io;
	int result = op->result;

	if (--op->n_left > 0)
		return;
	if (op->flush_after && result == 0) {
		op->flush_after = false;
		op->n_left = 1;
		op->next = c->flush_op_wait;
		c->flush_op_wait = op;
		c->again = true;
		return;
	}
	if (op->iov != NULL)
		c->free_block[c->n_free_blocks++] = op->iov;
	op->next = c->free_op;
	c->free_op = op;
	c->again = true;
	blk_complete(&c->ch, io, result);
}

bool cow_op_iov(struct cow_ch *c, struct cow_op *op)
{
	if (op->iov == NULL && c->n_free_blocks > 0)
		op->iov = c->free_block[--c->n_free_blocks];
	return op->iov != NULL;
}

static void part_done(struct ob_blk_io *io)
{
	struct cow_part *p = (struct cow_part *)io;
	struct cow_ch *c = p->c;
	struct cow_op *op = p->op;

	/* -ECANCELED wins: the I/O comes again as a whole. */
	if (io->result != 0 && (op->result == 0 || io->result == -ECANCELED))
		op->result = io->result;
	count(&c->under_way[p->epoch], -1);
	if (p->writes)
		count(&c->n_changing, -1);
	p->next = c->free_part;
	c->free_part = p;
	c->again = true;
	cow_op_put(c, op);
	if (c->todo != NULL || c->in != NULL || c->flush_op_wait != NULL)
		cow_run(c);
}

/* Sends bytes [pos, pos + len) of the I/O to 'off' of a child. Returns 1, 0: a pool is empty, -EINVAL. */
static int issue(struct cow_ch *c, struct cow_op *op, unsigned child, uint64_t off, uint64_t len)
{
	struct ob_blk_io *io = op->io;
	bool cut = io->n_iov > 0 && len < io->len;
	struct cow_part *p = c->free_part;
	int n = io->n_iov;

	if (p == NULL || (cut && !cow_op_iov(c, op)))
		return 0;
	if (cut) {
		n = blk_iov_slice(io->iov, io->n_iov, op->pos, len, op->iov + op->n_iov,
		    COW_BLOCK_IOV - op->n_iov);
		if (n <= 0)
			return -EINVAL;
	}
	c->free_part = p->next;
	p->op = op;
	p->epoch = (uint8_t)(c->epoch % 3);
	p->writes = io->op != OB_BLK_READ;
	p->io = (struct ob_blk_io){
	    .op = io->op,
	    .flags = op->flush_after ? io->flags & (uint8_t)~OB_BLK_FUA : io->flags,
	    .n_iov = (uint16_t)n,
	    .off = off,
	    .len = len,
	    .iov = cut ? op->iov + op->n_iov : io->iov,
	    .owner = io->owner,
	    .done = part_done,
	};
	if (cut)
		op->n_iov += (unsigned)n;
	op->n_left++;
	count(&c->under_way[p->epoch], 1);
	if (p->writes)
		count(&c->n_changing, 1);
	op->pos += len;
	cow_push(c, child, &p->io);
	return 1;
}

static void zero_iov(const struct ob_blk_io *io, uint64_t at, uint64_t len)
{
	unsigned i;

	for (i = 0; i < io->n_iov && len > 0; i++) {
		uint64_t n = io->iov[i].iov_len;

		if (at >= n) {
			at -= n;
			continue;
		}
		n -= at;
		if (n > len)
			n = len;
		memset((char *)io->iov[i].iov_base + at, 0, n);
		at = 0;
		len -= n;
	}
}

/* Bytes from 'at' on, at most 'len', that entry 'e' and those behind it hold in one run: DATA contiguous on the store and, for changes, ours
 * to change; else of the same state. */
static uint64_t run_len(
    const struct cow *d, uint64_t at, uint64_t len, uint64_t e, uint64_t bad_flags)
{
	uint64_t cluster = 1ull << d->shift, v = at >> d->shift;
	uint64_t n = cluster - (at & (cluster - 1));

	while (n < len) {
		uint64_t next = cow_load(d, ++v);

		if ((next & bad_flags) != 0 || cow_state(next) != cow_state(e))
			break;
		if (cow_state(e) == COW_DATA && (next & COW_PHYS) != (e & COW_PHYS) + 1)
			break;
		e = next;
		n += cluster;
	}
	return n < len ? n : len;
}

/* These return true when the whole I/O was issued, or failed; false: look again later. */
static bool step_read(struct cow_ch *c, struct cow_op *op)
{
	struct cow *d = dev(c);
	struct ob_blk_io *io = op->io;

	while (op->pos < io->len) {
		uint64_t at = io->off + op->pos, e = cow_load(d, at >> d->shift);
		uint64_t len = run_len(d, at, io->len - op->pos, e, 0);
		int rc = 1;

		switch (cow_state(e)) {
		case COW_DATA:
			rc = issue(c, op, COW_STORE,
			    cow_phys_off(d, e) + (at & ((1ull << d->shift) - 1)), len);
			break;
		case COW_BAD:
			rc = -EIO;
			break;
		case COW_HOLE:
			if (at < d->parent_bytes) {
				if (len > d->parent_bytes - at)
					len = d->parent_bytes - at;
				rc = issue(c, op, COW_PARENT, at, len);
				break;
			}
			/* fall through */
		case COW_ZERO:
			zero_iov(io, op->pos, len);
			op->pos += len;
			break;
		}
		if (rc == 0)
			return false;
		if (rc < 0) {
			op->result = rc;
			return true;
		}
	}
	return true;
}

/* Writes data, or zeroes, into clusters that are the device's own. */
static int in_place(struct cow_ch *c, struct cow_op *op, uint64_t at, uint64_t len, uint64_t e)
{
	struct cow *d = dev(c);

	/* The store's FUA would not cover a map entry that is still volatile. The entry was stored after map_seq had counted its page. */
	if ((op->io->flags & OB_BLK_FUA) != 0 && d->store_volatile &&
	    atomic_load(&d->map_seq) != atomic_load(&d->durable_seq))
		op->flush_after = true;
	return issue(c, op, COW_STORE, cow_phys_off(d, e) + (at & ((1ull << d->shift) - 1)), len);
}

static bool may_change(struct cow_ch *c, struct cow_op *op, bool *wait)
{
	struct cow *d = dev(c);

	*wait = atomic_load(&d->paused);
	c->stuck |= *wait;
	if (atomic_load_explicit(&d->failed, memory_order_relaxed))
		op->result = -EIO;
	return !*wait && op->result == 0;
}

static bool step_write(struct cow_ch *c, struct cow_op *op)
{
	struct cow *d = dev(c);
	struct ob_blk_io *io = op->io;
	uint64_t mask = (1ull << d->shift) - 1;
	bool wait;

	while (op->pos < io->len) {
		uint64_t at = io->off + op->pos, len = io->len - op->pos;
		uint64_t e = cow_load(d, at >> d->shift);
		int rc;

		if (!may_change(c, op, &wait))
			return !wait;
		if ((e & COW_BUSY) != 0) {
			c->stuck = true;
			return false;
		}
		if (cow_state(e) == COW_DATA && (e & COW_SHARED) == 0) {
			len = run_len(d, at, len, e, COW_BUSY | COW_SHARED);
			rc = in_place(c, op, at, len, e);
		} else {
			if (len > mask + 1 - (at & mask))
				len = mask + 1 - (at & mask);
			rc = cow_alloc(c, op, at, len, e);
		}
		if (rc == 0)
			return false;
		if (rc < 0) {
			op->result = rc;
			return true;
		}
	}
	return true;
}

/* A part of a cluster, or a whole one that stays allocated, is to read as zeroes. Returns as issue. */
static int zero_within(struct cow_ch *c, struct cow_op *op, uint64_t at, uint64_t len, uint64_t e)
{
	struct cow *d = dev(c);

	switch (cow_state(e)) {
	case COW_DATA:
		if ((e & COW_SHARED) == 0)
			return in_place(c, op, at, len, e);
		return cow_alloc(c, op, at, len, e);
	case COW_HOLE:
		if (at < d->parent_bytes)
			return cow_alloc(c, op, at, len, e);
		/* fall through */
	case COW_ZERO:
		op->pos += len;
		return 1;
	case COW_BAD:
		return -EIO;
	}
	return -EIO;
}

static bool step_remove(struct cow_ch *c, struct cow_op *op)
{
	struct cow *d = dev(c);
	struct ob_blk_io *io = op->io;
	uint64_t mask = (1ull << d->shift) - 1;
	uint64_t end = __atomic_load_n(&d->b.info.bytes, __ATOMIC_RELAXED);
	unsigned n_seen = 0;
	bool wait;

	if ((io->flags & OB_BLK_FUA) != 0)
		op->flush_after = true;
	while (op->pos < io->len) {
		uint64_t at = io->off + op->pos, len = io->len - op->pos, v = at >> d->shift;
		uint64_t e = cow_load(d, v), n;
		bool whole = (at & mask) == 0 && (len > mask || at + len == end);
		int rc = 1;

		if (!may_change(c, op, &wait))
			return !wait;
		if ((e & COW_BUSY) != 0 || n_seen++ == COW_SCAN_MAX) {
			c->stuck = true;
			return false;
		}
		if (len > mask + 1 - (at & mask))
			len = mask + 1 - (at & mask);
		if (whole && cow_unmaps(d, io, v, e)) {
			uint64_t rest = io->len - op->pos;

			/* The last cluster counts when the I/O reaches its end, or the device's. */
			n = rest >> d->shift;
			if ((rest & mask) != 0 && io->off + io->len == end)
				n++;
			n = cow_unmap(c, op, v, n);
			op->pos += n << d->shift;
			rc = n > 0;
		} else if (io->op == OB_BLK_DISCARD) {
			op->pos += len;
		} else {
			rc = zero_within(c, op, at, len, e);
		}
		if (rc == 0)
			return false;
		if (rc < 0) {
			op->result = rc;
			return true;
		}
	}
	return true;
}

static bool step(struct cow_ch *c, struct cow_op *op)
{
	switch (op->io->op) {
	case OB_BLK_READ:
		return step_read(c, op);
	case OB_BLK_WRITE:
		return step_write(c, op);
	case OB_BLK_FLUSH:
		if (atomic_load_explicit(&dev(c)->failed, memory_order_relaxed))
			op->result = -EIO;
		op->flush_after = true;
		return true;
	case OB_BLK_DISCARD:
	case OB_BLK_WRITE_ZEROES:
		return step_remove(c, op);
	default:
		op->result = -EOPNOTSUPP;
		return true;
	}
}

static void flush_done(struct ob_blk_io *io)
{
	struct cow_ch *c = (struct cow_ch *)io->owner;
	struct cow *d = dev(c);
	struct cow_slot *s = c->flush_now.head, *next;
	struct cow_op *op = c->flush_op_now, *next_op;
	uint64_t seen = atomic_load(&d->durable_seq);

	c->flushing = false;
	c->flush_error = io->result;
	c->flush_op_now = NULL;
	cow_list_init(&c->flush_now);
	if (io->result == 0)
		while (seen < c->flush_seq &&
		       !atomic_compare_exchange_weak(&d->durable_seq, &seen, c->flush_seq))
			;
	for (; s != NULL; s = next) {
		next = s->next;
		cow_flushed(c, s, io->result);
	}
	for (; op != NULL; op = next_op) {
		next_op = op->next;
		if (io->result != 0)
			op->result = io->result;
		cow_op_put(c, op);
	}
	op = c->space_op_now;
	c->space_op_now = NULL;
	if (op != NULL)
		cow_op_put(c, op);
	c->again = true;
	cow_run(c);
}

static void start_flush(struct cow_ch *c)
{
	struct cow *d = dev(c);

	if (c->flushing ||
	    (c->flush_wait.head == NULL && c->flush_op_wait == NULL && c->space_op == NULL))
		return;
	/* What counts as durable when this flush is over: pages that are complete now. */
	c->flush_seq = atomic_load(&d->map_seq);
	c->flushing = true;
	c->space_op_now = c->space_op;
	c->space_op = NULL;
	c->flush_now = c->flush_wait;
	if (c->flush_wait.head == NULL)
		c->flush_now.tail = &c->flush_now.head;
	cow_list_init(&c->flush_wait);
	c->flush_op_now = c->flush_op_wait;
	c->flush_op_wait = NULL;
	/* What completed before is at the store; what is in our batches is not covered, and need not be. */
	c->flush = (struct ob_blk_io){.op = OB_BLK_FLUSH, .done = flush_done, .owner = c};
	cow_push(c, COW_STORE, &c->flush);
}

/* The run's epoch, published so that nobody takes clusters away that it is about to use. */
static void enter(struct cow_ch *c)
{
	struct cow *d = dev(c);

	do {
		c->epoch = atomic_load(&d->epoch);
		atomic_store(&c->local, c->epoch);
	} while (atomic_load(&d->epoch) != c->epoch);
}

static void take_in(struct cow_ch *c)
{
	while (c->in != NULL && c->free_op != NULL) {
		struct cow_op *op = c->free_op;

		c->free_op = op->next;
		*op = (struct cow_op){.io = c->in, .n_left = 1};
		c->in = op->io->next;
		*c->todo_tail = op;
		c->todo_tail = &op->next;
	}
	if (c->in == NULL)
		c->in_tail = &c->in;
}

void cow_run(struct cow_ch *c)
{
	struct cow_op *op, **at;

	/* Completions below bring us here again; the loop goes on for them. */
	c->again = true;
	if (c->running)
		return;
	c->running = true;
	enter(c);
	while (c->again) {
		c->again = false;
		c->stuck = false;
		take_in(c);
		for (at = &c->todo; (op = *at) != NULL;) {
			if (op->result == 0 && !step(c, op)) {
				at = &op->next;
				continue;
			}
			*at = op->next;
			if (*at == NULL)
				c->todo_tail = at;
			cow_op_put(c, op);
		}
		cow_write_maps(c);
		start_flush(c);
		flush_batch(c, COW_STORE);
		if (c->ch.n_children > COW_PARENT)
			flush_batch(c, COW_PARENT);
	}
	c->running = false;
	/* Release pairs with advance() and cow_pause(). */
	atomic_store_explicit(&c->local, COW_IDLE, memory_order_release);
}

void cow_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct cow_ch *c = (struct cow_ch *)ch;
	unsigned i;

	for (i = 0; i < n; i++) {
		ios[i]->next = NULL;
		*c->in_tail = ios[i];
		c->in_tail = &ios[i]->next;
	}
	cow_run(c);
}

static bool waits(const struct cow_ch *c)
{
	return c->todo != NULL || c->in != NULL || c->map_wait.head != NULL;
}

void cow_poll(struct ob_blk_ch *ch)
{
	struct cow_ch *c = (struct cow_ch *)ch;

	if (waits(c))
		cow_run(c);
}

bool cow_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct cow_ch *c = (struct cow_ch *)ch;

	/* Other channels do not wake us; what waits for our own I/O comes with its completion. */
	if (waits(c) && (c->stuck || c->map_wait.head != NULL))
		*must_poll = true;
	return false;
}

void cow_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct cow_ch *c = (struct cow_ch *)ch;
	struct ob_blk_io *io = c->in, *next, *out = NULL, **out_tail = &out;
	struct cow_op *op;
	unsigned i;

	for (op = c->todo; op != NULL; op = op->next)
		if (owner == NULL || op->io->owner == owner)
			op->result = -ECANCELED;
	c->in = NULL;
	c->in_tail = &c->in;
	for (; io != NULL; io = next) {
		next = io->next;
		io->next = NULL;
		if (owner == NULL || io->owner == owner) {
			*out_tail = io;
			out_tail = &io->next;
		} else {
			*c->in_tail = io;
			c->in_tail = &io->next;
		}
	}
	for (; out != NULL; out = next) {
		next = out->next;
		blk_complete(ch, out, -ECANCELED);
	}
	for (i = 0; i < ch->n_children; i++)
		ob_blk_cancel(ch->child[i], owner);
	cow_run(c);
}

int cow_ch_open(struct ob_blk_ch *ch)
{
	struct cow_ch *c = (struct cow_ch *)ch;
	struct cow *d = dev(c);
	unsigned i, n_slots, cluster = 1u << d->shift;

	c->in_tail = &c->in;
	c->todo_tail = &c->todo;
	cow_slots_init(c);
	n_slots = (2u << 20) / cluster;
	n_slots = n_slots < 4 ? 4 : n_slots > COW_MAX_SLOTS ? COW_MAX_SLOTS : n_slots;
	if (d->b.info.read_only)
		n_slots = 0;
	c->ops = calloc(COW_MAX_OPS, sizeof(*c->ops));
	c->parts = calloc(COW_MAX_PARTS, sizeof(*c->parts));
	c->blocks = calloc((size_t)COW_MAX_BLOCKS * COW_BLOCK_IOV, sizeof(*c->blocks));
	c->slot_mem = aligned_alloc(4096, (size_t)(n_slots + 1) * (cluster + COW_PAGE_BYTES));
	if (c->ops == NULL || c->parts == NULL || c->blocks == NULL || c->slot_mem == NULL) {
		cow_ch_close(ch);
		return -ENOMEM;
	}
	for (i = 0; i < COW_MAX_OPS; i++) {
		c->ops[i].next = c->free_op;
		c->free_op = &c->ops[i];
	}
	for (i = 0; i < COW_MAX_PARTS; i++) {
		c->parts[i].c = c;
		c->parts[i].next = c->free_part;
		c->free_part = &c->parts[i];
	}
	for (i = 0; i < COW_MAX_BLOCKS; i++)
		c->free_block[c->n_free_blocks++] = c->blocks + (size_t)i * COW_BLOCK_IOV;
	for (i = 0; i < n_slots; i++) {
		struct cow_slot *s = &c->slots[i];

		s->c = c;
		s->io[0].s = s;
		s->io[1].s = s;
		s->page = c->slot_mem + (size_t)i * (cluster + COW_PAGE_BYTES);
		s->buf = s->page + COW_PAGE_BYTES;
		s->next = c->free_slot;
		c->free_slot = s;
	}
	atomic_store(&c->local, COW_IDLE);
	pthread_mutex_lock(&d->lock);
	c->next = d->chs;
	d->chs = c;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

void cow_ch_close(struct ob_blk_ch *ch)
{
	struct cow_ch *c = (struct cow_ch *)ch, **at;
	struct cow *d = dev(c);

	pthread_mutex_lock(&d->lock);
	for (at = &d->chs; *at != NULL; at = &(*at)->next) {
		if (*at == c) {
			*at = c->next;
			break;
		}
	}
	pthread_mutex_unlock(&d->lock);
	free(c->ops);
	free(c->parts);
	free(c->blocks);
	free(c->slot_mem);
}
