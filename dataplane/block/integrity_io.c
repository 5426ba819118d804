/* SPDX-License-Identifier: BSD-3-Clause */
/* Integrity: I/O of a channel. An I/O is cut at the ends of pages of tags; each piece goes its own way:
 *
 *   WRITE   copy and sum -> mark its blocks busy, tags {new, old} -> page to the tag device -> data -> blocks not busy
 *   ZEROES  (and DISCARD) tags {0, 0} -> page to the tag device; no data
 *   READ    data -> compare with the tags -> copy out. A block that is being written may be torn: read again when it is not
 *   FLUSH   data device -> tags of what it covers {new, new}, page by page -> tag device; one at a time on a device
 *
 * Channels meet at the pages, under short locks. One write of a page is under way at a time; tags that change meanwhile ride in the next.
 * A piece is only ever moved on by its own channel: others put it into that channel's inbox.
 */
#include "integrity_ch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_REREADS 64u

static void start_piece(struct piece *p);
static void tags_done(struct piece *p);

/* ---- between channels ---- */

static void move_on(struct piece *p, enum step step)
{
	switch (step) {
	case START:
		start_piece(p);
		break;
	case WRITE_PAGE:
		integ_start_page_write(p);
		break;
	case TAGS_DONE:
		tags_done(p);
		break;
	case FLUSH_TURN:
		integ_flush_begin(p);
		break;
	}
}

void integ_hand(struct integ_ch *here, struct piece *p, enum step step)
{
	struct integ_ch *c = p->c;

	if (c == here) {
		move_on(p, step);
		return;
	}
	p->step = (uint8_t)step;
	p->inbox_next = __atomic_load_n(&c->inbox, __ATOMIC_RELAXED);
	/* Release: with the exchange in drain_inbox. */
	while (!__atomic_compare_exchange_n(
	    &c->inbox, &p->inbox_next, p, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	/* Either we see it armed, or it sees the inbox: with the fence in integ_arm. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&c->armed, __ATOMIC_RELAXED)) {
		eventfd_write(c->ch.wake_fd, 1);
		__atomic_store_n(&c->kicked, 1, __ATOMIC_RELEASE);
	}
}

static void hand_all(struct integ_ch *here, struct piece *list, enum step step)
{
	while (list != NULL) {
		struct piece *p = list;

		list = p->next;
		integ_hand(here, p, step);
	}
}

static void drain_inbox(struct integ_ch *c)
{
	struct piece *p;

	if (__atomic_load_n(&c->inbox, __ATOMIC_RELAXED) == NULL)
		return;
	p = __atomic_exchange_n(&c->inbox, NULL, __ATOMIC_ACQUIRE);
	while (p != NULL) {
		struct piece *next = p->inbox_next;

		move_on(p, p->step);
		p = next;
	}
}

/* ---- ends ---- */

static void op_ends(struct integ_ch *c, struct op *op)
{
	struct ob_blk_io *up = op->up;
	int rc = op->result;

	op->up = NULL;
	op->next = c->free_ops;
	c->free_ops = op;
	blk_complete(&c->ch, up, rc);
}

/* Errors stop what has no piece yet; what is out goes to its end. */
static bool op_is_over(const struct op *op)
{
	return op->n_out == 0 && (op->at == op->up->len || op->result != 0);
}

void integ_piece_ends(struct piece *p, int rc)
{
	struct integ_ch *c = p->c;
	struct op *op = p->op;

	blk_pool_put(&c->pool, &p->buf);
	p->next = c->free_pieces;
	c->free_pieces = p;
	if (rc != 0 && op->result == 0)
		op->result = rc;
	op->n_out--;
	/* The one that is being cut ends where it is cut. */
	if (op != c->cur && op_is_over(op))
		op_ends(c, op);
}

/* ---- pages ---- */

bool integ_ride(struct piece *p)
{
	struct integ_page *g = page_of(p);
	bool mine = !g->writing;

	p->next = g->next;
	g->next = p;
	g->writing = true;
	return mine;
}

static void page_written(struct ob_blk_io *io)
{
	struct piece *p = (struct piece *)(void *)io, *done, *successor = NULL;
	struct integ_ch *c = p->c;
	struct integ *d = dev_of(c);
	struct integ_page *g = page_of(p);
	pthread_mutex_t *lock = integ_lock_of(d, p->page);
	int rc = io->result;

	if (rc == -ECANCELED) {
		/* Of a throttle below; tags of others may be in it. */
		ob_blk_submit(c->ch.child[1], &io, 1);
		return;
	}
	pthread_mutex_lock(lock);
	done = g->riding;
	g->riding = NULL;
	if (g->next != NULL)
		successor =
		    g->next; /* it writes for all of them: its own channel cannot close meanwhile */
	else
		g->writing = false;
	pthread_mutex_unlock(lock);
	for (struct piece *q = done; q != NULL; q = q->next)
		q->tag_rc = rc;
	if (successor != NULL)
		integ_hand(c, successor, WRITE_PAGE);
	hand_all(c, done, TAGS_DONE);
}

void integ_start_page_write(struct piece *p)
{
	struct integ_ch *c = p->c;
	struct integ *d = dev_of(c);
	struct integ_page *g = page_of(p);
	pthread_mutex_t *lock = integ_lock_of(d, p->page);
	struct ob_blk_io *io = &p->io;
	bool fua = d->fua;

	pthread_mutex_lock(lock);
	g->riding = g->next;
	g->next = NULL;
	for (struct piece *q = g->riding; q != NULL; q = q->next)
		fua |= !q->settler && (q->op->up->flags & OB_BLK_FUA);
	memcpy(p->page_copy, tags_of(p), INTEG_PAGE);
	pthread_mutex_unlock(lock);
	p->iov = (struct iovec){p->page_copy, INTEG_PAGE};
	*io = (struct ob_blk_io){.op = OB_BLK_WRITE,
	    .flags = fua ? OB_BLK_FUA : 0,
	    .n_iov = 1,
	    .off = (p->page + 1) * INTEG_PAGE,
	    .len = INTEG_PAGE,
	    .iov = &p->iov,
	    .done = page_written,
	    .owner = d};
	ob_blk_submit(c->ch.child[1], &io, 1);
}

void integ_mark_dirty(struct integ *d, struct integ_page *g)
{
	if (g->dirty)
		return;
	g->dirty = true;
	pthread_mutex_lock(&d->lock);
	g->dirty_next = d->dirty;
	d->dirty = g;
	pthread_mutex_unlock(&d->lock);
}

/* ---- data ---- */

static void data_written(struct ob_blk_io *io)
{
	struct piece *p = (struct piece *)(void *)io, *woken;
	struct integ_ch *c = p->c;
	struct integ *d = dev_of(c);
	struct integ_page *g = page_of(p);
	pthread_mutex_t *lock = integ_lock_of(d, p->page);

	pthread_mutex_lock(lock);
	for (uint32_t i = 0; i < p->n; i++) {
		put_bit(g->busy, p->first + i, false);
		put_bit(g->doubt, p->first + i, io->result != 0);
	}
	g->gen++;
	woken = g->blocked;
	g->blocked = NULL;
	integ_mark_dirty(d, g);
	pthread_mutex_unlock(lock);
	integ_piece_ends(p, io->result);
	hand_all(c, woken, START);
}

static void submit_data(struct piece *p, enum ob_blk_op op, void (*done)(struct ob_blk_io *io))
{
	struct integ_ch *c = p->c;
	const struct integ *d = dev_of(c);
	struct ob_blk_io *io = &p->io;

	*io = (struct ob_blk_io){.op = (uint8_t)op,
	    .n_iov = p->buf.n,
	    .off = block_of(p, 0) * d->block_bytes,
	    .len = (uint64_t)p->n * d->block_bytes,
	    .iov = p->buf.iov,
	    .done = done,
	    .owner = p->op->up->owner};
	if (op == OB_BLK_WRITE && (d->fua || (p->op->up->flags & OB_BLK_FUA)))
		io->flags = OB_BLK_FUA;
	ob_blk_submit(c->ch.child[0], &io, 1);
}

static void undo_busy(struct piece *p)
{
	struct integ_page *g = page_of(p);
	pthread_mutex_t *lock = integ_lock_of(dev_of(p->c), p->page);
	struct piece *woken;

	pthread_mutex_lock(lock);
	for (uint32_t i = 0; i < p->n; i++) {
		put_bit(g->busy, p->first + i, false);
		put_bit(g->doubt, p->first + i, true);
	}
	woken = g->blocked;
	g->blocked = NULL;
	pthread_mutex_unlock(lock);
	hand_all(p->c, woken, START);
}

static void tags_done(struct piece *p)
{
	int rc = p->tag_rc;

	if (p->settler) {
		integ_settled(p);
	} else if (p->op->up->op != OB_BLK_WRITE) {
		integ_piece_ends(p, rc);
	} else if (rc != 0) {
		/* No data was written: the block holds what it held. */
		undo_busy(p);
		integ_piece_ends(p, rc);
	} else {
		submit_data(p, OB_BLK_WRITE, data_written);
	}
}

/* The sums of the piece's blocks, of its buffers, into c->crc. */
static void sum(struct piece *p)
{
	const uint32_t bb = dev_of(p->c)->block_bytes;
	uint32_t i = 0;

	for (unsigned k = 0; k < p->buf.n; k++) {
		const uint8_t *at = p->buf.iov[k].iov_base, *end = at + p->buf.iov[k].iov_len;

		for (; at < end; at += bb, i++)
			p->c->crc[i] = integ_crc(block_of(p, i), at, bb);
	}
}

static bool any_busy(const struct piece *p)
{
	const struct integ_page *g = page_of(p);

	for (uint32_t i = 0; i < p->n; i++)
		if (bit(g->busy, p->first + i))
			return true;
	return false;
}

static void block_on(struct integ_page *g, struct piece *p)
{
	p->next = g->blocked;
	g->blocked = p;
}

static void start_write(struct piece *p)
{
	struct integ_ch *c = p->c;
	struct integ_page *g = page_of(p);
	struct integ_tag *t = tags_of(p) + p->first;
	pthread_mutex_t *lock = integ_lock_of(dev_of(c), p->page);
	bool data = p->op->up->op == OB_BLK_WRITE, mine;

	if (data)
		sum(p);
	pthread_mutex_lock(lock);
	if (any_busy(p)) {
		block_on(g, p);
		pthread_mutex_unlock(lock);
		return;
	}
	for (uint32_t i = 0; i < p->n; i++) {
		/* Zeroes need no data, so that there is nothing old to go back to. In doubt, what a write that
		 * failed was to replace is what the block most likely holds. */
		if (!data)
			t[i].before = 0;
		else if (!bit(g->doubt, p->first + i))
			t[i].before = t[i].now;
		t[i].now = data ? htole32(c->crc[i]) : 0;
		put_bit(g->busy, p->first + i, data);
		put_bit(g->doubt, p->first + i, false);
		put_bit(g->ripe, p->first + i, false);
	}
	mine = integ_ride(p);
	pthread_mutex_unlock(lock);
	if (mine)
		integ_start_page_write(p);
}

enum verdict { GOOD, ZERO, BUSY, BAD };

static enum verdict judge(
    const struct integ_page *g, const struct integ_tag *t, uint32_t i, uint32_t crc)
{
	bool either = bit(g->busy, i) || bit(g->doubt, i);

	if (t[i].now == 0)
		return ZERO;
	if (t[i].now == htole32(crc) || (either && t[i].before == htole32(crc)))
		return GOOD;
	if (either && t[i].before == 0)
		return ZERO;
	return bit(g->busy, i) ? BUSY : BAD;
}

static void copy_out(struct piece *p, const bool *zero)
{
	const struct ob_blk_io *up = p->op->up;
	const uint32_t bb = dev_of(p->c)->block_bytes;
	size_t to = p->at;
	uint32_t i = 0;

	for (unsigned k = 0; k < p->buf.n; k++) {
		uint8_t *at = p->buf.iov[k].iov_base, *end = at + p->buf.iov[k].iov_len;

		for (uint8_t *q = at; q < end; q += bb, i++)
			if (zero[i])
				memset(q, 0, bb);
		blk_iov_scatter(up->iov, up->n_iov, to, at, (size_t)(end - at));
		to += (size_t)(end - at);
	}
}

static void data_read(struct ob_blk_io *io)
{
	struct piece *p = (struct piece *)(void *)io;
	struct integ_ch *c = p->c;
	struct integ_page *g = page_of(p);
	const struct integ_tag *t = tags_of(p);
	pthread_mutex_t *lock = integ_lock_of(dev_of(c), p->page);
	enum verdict worst = GOOD;
	bool zero[INTEG_PAGE_TAGS];
	bool again;

	if (io->result != 0) {
		integ_piece_ends(p, io->result);
		return;
	}
	sum(p);
	pthread_mutex_lock(lock);
	for (uint32_t i = 0; i < p->n; i++) {
		enum verdict v = judge(g, t, p->first + i, c->crc[i]);

		zero[i] = v == ZERO;
		worst = v > worst ? v : worst;
	}
	/* The tags are of now, the data of some time since it was asked for. */
	again = worst >= BUSY && p->n_rereads < MAX_REREADS && (worst == BUSY || g->gen != p->gen);
	p->n_rereads += again;
	if (again && any_busy(p)) {
		block_on(g, p);
		pthread_mutex_unlock(lock);
		return;
	}
	pthread_mutex_unlock(lock);
	if (again) {
		start_piece(p);
		return;
	}
	if (worst < BUSY)
		copy_out(p, zero);
	integ_piece_ends(p, worst == BAD ? -EILSEQ : worst == BUSY ? -EIO : 0);
}

static void start_read(struct piece *p)
{
	pthread_mutex_t *lock = integ_lock_of(dev_of(p->c), p->page);

	pthread_mutex_lock(lock);
	p->gen = page_of(p)->gen;
	pthread_mutex_unlock(lock);
	submit_data(p, OB_BLK_READ, data_read);
}

static void start_piece(struct piece *p)
{
	if (p->op->up->op == OB_BLK_READ)
		start_read(p);
	else
		start_write(p);
}

/* ---- from I/Os to pieces ---- */

static struct piece *new_piece(struct integ_ch *c, struct op *op)
{
	struct piece *p = c->free_pieces;

	c->free_pieces = p->next;
	p->op = op;
	p->at = op->at;
	p->n_rereads = 0;
	p->tag_rc = 0;
	p->buf.n = 0;
	op->n_out++;
	return p;
}

static void fill(struct piece *p)
{
	const struct ob_blk_io *up = p->op->up;
	size_t at = p->at;

	for (unsigned k = 0; k < p->buf.n; k++) {
		blk_iov_gather(
		    p->buf.iov[k].iov_base, up->iov, up->n_iov, at, p->buf.iov[k].iov_len);
		at += p->buf.iov[k].iov_len;
	}
}

/* Starts the next piece of c->cur. False: no room. */
static bool cut_one(struct integ_ch *c)
{
	const struct integ *d = dev_of(c);
	struct op *op = c->cur;
	const struct ob_blk_io *up = op->up;
	uint64_t block = (up->off + op->at) / d->block_bytes;
	uint64_t left = (up->len - op->at) / d->block_bytes;
	uint32_t first = (uint32_t)(block % INTEG_PAGE_TAGS);
	uint32_t n = left < INTEG_PAGE_TAGS - first ? (uint32_t)left : INTEG_PAGE_TAGS - first;
	bool data = up->op == OB_BLK_READ || up->op == OB_BLK_WRITE;
	struct blk_buf buf = {0};
	struct piece *p;

	if (c->free_pieces == NULL)
		return false;
	if (data && !blk_pool_get(&c->pool, (uint64_t)n * d->block_bytes, &buf))
		return false;
	p = new_piece(c, op);
	p->buf = buf;
	p->page = block / INTEG_PAGE_TAGS;
	p->first = first;
	p->n = n;
	op->at += (uint64_t)n * d->block_bytes;
	if (up->op == OB_BLK_WRITE)
		fill(p);
	start_piece(p);
	return true;
}

static bool cut(struct integ_ch *c, unsigned *budget)
{
	struct op *op = c->cur;
	struct piece *p;

	if (op->up->op == OB_BLK_FLUSH) {
		if (c->free_pieces == NULL)
			return false;
		p = new_piece(c, op);
		op->at = op->up->len;
		c->cur = NULL;
		integ_flush_enter(p);
		return true;
	}
	while (op->at < op->up->len && op->result == 0) {
		if (*budget == 0 || !cut_one(c))
			return false;
		--*budget;
	}
	c->cur = NULL;
	if (op_is_over(op))
		op_ends(c, op);
	return true;
}

/* Takes what waits, as far as there is room, and not for ever: a range of terabytes has millions of pages. */
static void pump(struct integ_ch *c)
{
	unsigned budget = N_PIECES;
	struct op *op;

	if (c->pumping)
		return;
	c->pumping = true;
	for (;;) {
		if (c->cur == NULL) {
			op = c->free_ops;
			if (op == NULL || c->waiting.head == NULL)
				break;
			c->free_ops = op->next;
			*op = (struct op){.up = blk_list_pop(&c->waiting)};
			c->cur = op;
		}
		if (!cut(c, &budget))
			break;
	}
	c->pumping = false;
}

static void integ_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct integ_ch *c = ch_of(ch);

	for (unsigned i = 0; i < n; i++)
		blk_list_add(&c->waiting, ios[i]);
	pump(c);
}

static void integ_poll(struct ob_blk_ch *ch)
{
	struct integ_ch *c = ch_of(ch);

	drain_inbox(c);
	if (c->cur != NULL || c->waiting.head != NULL)
		pump(c);
}

static bool integ_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct integ_ch *c = ch_of(ch);

	(void)must_poll;
	/* The last pump ended by its budget: nothing else would wake us. */
	if ((c->cur != NULL || c->waiting.head != NULL) && c->free_pieces != NULL &&
	    c->free_ops != NULL)
		return true;
	__atomic_store_n(&c->armed, 1, __ATOMIC_RELAXED);
	/* With the fence in hand. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&c->inbox, __ATOMIC_RELAXED) != NULL;
}

static void integ_disarm(struct ob_blk_ch *ch)
{
	struct integ_ch *c = ch_of(ch);
	eventfd_t n;

	__atomic_store_n(&c->armed, 0, __ATOMIC_RELAXED);
	if (__atomic_load_n(&c->kicked, __ATOMIC_ACQUIRE) == 0)
		return;
	__atomic_store_n(&c->kicked, 0, __ATOMIC_RELAXED);
	eventfd_read(ch->wake_fd, &n);
}

static void integ_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct integ_ch *c = ch_of(ch);
	struct blk_list all = c->waiting, gone = {0};
	struct ob_blk_io *io;

	c->waiting = (struct blk_list){0};
	while ((io = blk_list_pop(&all)) != NULL)
		blk_list_add(owner == NULL || io->owner == owner ? &gone : &c->waiting, io);
	while ((io = blk_list_pop(&gone)) != NULL)
		blk_complete(ch, io, -ECANCELED);
}

/* ---- control ---- */

static void integ_ch_close(struct ob_blk_ch *ch)
{
	struct integ_ch *c = ch_of(ch);

	blk_pool_close(&c->pool);
	if (c->copies != NULL)
		munmap(c->copies, (size_t)(N_PIECES + N_SETTLERS) * INTEG_PAGE);
	close(ch->wake_fd);
}

static int integ_ch_open(struct ob_blk_ch *ch)
{
	struct integ_ch *c = ch_of(ch);
	void *copies;

	ch->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ch->wake_fd < 0)
		return -errno;
	copies = mmap(NULL, (size_t)(N_PIECES + N_SETTLERS) * INTEG_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copies != MAP_FAILED)
		c->copies = copies;
	if (blk_pool_open(&c->pool) != 0 || c->copies == NULL) {
		integ_ch_close(ch);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < N_OPS; i++) {
		c->ops[i].next = c->free_ops;
		c->free_ops = &c->ops[i];
	}
	for (unsigned i = 0; i < N_PIECES; i++) {
		struct piece *p = &c->pieces[i];

		p->c = c;
		p->page_copy = c->copies + (size_t)i * INTEG_PAGE;
		p->next = c->free_pieces;
		c->free_pieces = p;
	}
	for (unsigned i = 0; i < N_SETTLERS; i++)
		c->settlers[i] = (struct piece){.c = c,
		    .settler = true,
		    .page_copy = c->copies + (size_t)(N_PIECES + i) * INTEG_PAGE};
	return 0;
}

const struct blk_ops integ_ops = {
    .kind = "integrity",
    .dev_bytes = sizeof(struct integ),
    .ch_bytes = sizeof(struct integ_ch),
    .destroy = integ_destroy,
    .ch_open = integ_ch_open,
    .ch_close = integ_ch_close,
    .submit = integ_submit,
    .poll = integ_poll,
    .arm = integ_arm,
    .disarm = integ_disarm,
    .cancel = integ_cancel,
    .resize = integ_resize,
    .child_changed = integ_child_changed,
};
