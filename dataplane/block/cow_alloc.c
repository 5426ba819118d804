/* SPDX-License-Identifier: BSD-3-Clause */
/* Changes of the map. An allocation: claim the entry, fill the new cluster, flush the store, write the map page, done. A removal: claim,
 * write the map page, done; the cluster waits in cow_space.c until that is durable. */
#include "cow.h"

#include <errno.h>

static struct cow *dev(const struct cow_ch *c)
{
	return (struct cow *)c->ch.b;
}

void cow_list_init(struct cow_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

void cow_list_add(struct cow_list *l, struct cow_slot *s)
{
	s->next = NULL;
	*l->tail = s;
	l->tail = &s->next;
}

void cow_slots_init(struct cow_ch *c)
{
	cow_list_init(&c->flush_wait);
	cow_list_init(&c->flush_now);
	cow_list_init(&c->map_wait);
}

static void changing(struct cow_ch *c, int add)
{
	/* Release pairs with cow_pause(). */
	atomic_store_explicit(&c->n_changing,
	    atomic_load_explicit(&c->n_changing, memory_order_relaxed) + (uint32_t)add,
	    memory_order_release);
}

static struct cow_slot *slot_get(struct cow_ch *c, struct cow_op *op)
{
	struct cow_slot *s = c->free_slot;

	c->free_slot = s->next;
	s->op = op;
	s->joined = NULL;
	s->result = 0;
	s->unmap = false;
	op->n_left++;
	changing(c, 1);
	return s;
}

static void slot_put(struct cow_ch *c, struct cow_slot *s, int result)
{
	struct cow_op *op = s->op;

	if (result != 0 && (op->result == 0 || result == -ECANCELED))
		op->result = result;
	s->next = c->free_slot;
	c->free_slot = s;
	changing(c, -1);
	c->again = true;
	cow_op_put(c, op);
}

static void set_entry(struct cow *d, uint64_t v, uint64_t e)
{
	/* Release pairs with cow_load: who sees the entry sees its map page counted. */
	atomic_store_explicit(&d->map[v], e, memory_order_release);
}

/* The new cluster never was in the map. */
static void alloc_failed(struct cow_ch *c, struct cow_slot *s, int result)
{
	set_entry(dev(c), s->v, s->old);
	cow_put_cluster(dev(c), s->phys);
	slot_put(c, s, result);
}

static void data_done(struct ob_blk_io *io)
{
	struct cow_slot *s = ((struct cow_slot_io *)io)->s;
	struct cow_ch *c = s->c;

	if (io->result != 0)
		alloc_failed(c, s, io->result);
	else
		cow_list_add(dev(c)->store_volatile ? &c->flush_wait : &c->map_wait, s);
	cow_run(c);
}

void cow_flushed(struct cow_ch *c, struct cow_slot *s, int result)
{
	if (result != 0)
		alloc_failed(c, s, result);
	else
		cow_list_add(&c->map_wait, s);
}

static void write_data(struct cow_ch *c, struct cow_slot *s, const struct iovec *iov, unsigned n)
{
	struct cow *d = dev(c);

	s->io[0].io = (struct ob_blk_io){
	    .op = OB_BLK_WRITE,
	    .n_iov = (uint16_t)n,
	    .off = cow_phys_off(d, s->phys),
	    .len = 1ull << d->shift,
	    .iov = iov,
	    .owner = s->op->io->owner,
	    .done = data_done,
	};
	cow_push(c, COW_STORE, &s->io[0].io);
}

static void fill_put(struct cow_slot *s)
{
	struct cow_ch *c = s->c;

	if (--s->n_ios > 0)
		return;
	if (s->result != 0) {
		alloc_failed(c, s, s->result);
		return;
	}
	s->iov[0] = (struct iovec){s->buf, 1ull << dev(c)->shift};
	write_data(c, s, s->iov, 1);
}

static void fill_done(struct ob_blk_io *io)
{
	struct cow_slot *s = ((struct cow_slot_io *)io)->s;

	if (io->result != 0 && s->result == 0)
		s->result = io->result;
	fill_put(s);
	cow_run(s->c);
}

/* Bytes [from, to) of the cluster as they were, into the buffer. */
static void fill_old(struct cow_ch *c, struct cow_slot *s, unsigned i, uint64_t from, uint64_t to)
{
	struct cow *d = dev(c);
	uint64_t start = s->v << d->shift, end = from;
	unsigned child = COW_STORE;
	uint64_t off = 0;

	if (cow_state(s->old) == COW_DATA) {
		end = to;
		off = cow_phys_off(d, s->old) + from;
	} else if (cow_state(s->old) == COW_HOLE && start + from < d->parent_bytes) {
		end = d->parent_bytes - start < to ? d->parent_bytes - start : to;
		child = COW_PARENT;
		off = start + from;
	}
	memset(s->buf + end, 0, to - end);
	if (end == from)
		return;
	s->iov[i] = (struct iovec){s->buf + from, end - from};
	s->io[i].io = (struct ob_blk_io){
	    .op = OB_BLK_READ,
	    .n_iov = 1,
	    .off = off,
	    .len = end - from,
	    .iov = &s->iov[i],
	    .owner = s->op->io->owner,
	    .done = fill_done,
	};
	s->n_ios++;
	cow_push(c, child, &s->io[i].io);
}

/* Returns 1 when the I/O's own vectors are the cluster, 0 when the op has no vectors to cut them, -EINVAL. */
static int whole_iov(
    struct cow_ch *c, struct cow_op *op, uint64_t len, const struct iovec **iov, int *n)
{
	if (len == op->io->len) {
		*iov = op->io->iov;
		*n = op->io->n_iov;
		return 1;
	}
	if (!cow_op_iov(c, op))
		return 0;
	*iov = op->iov + op->n_iov;
	*n = blk_iov_slice(op->io->iov, op->io->n_iov, op->pos, len, op->iov + op->n_iov,
	    COW_BLOCK_IOV - op->n_iov);
	return *n > 0 ? 1 : -EINVAL;
}

/* A cluster of our own for entry 'v'. Returns 0, -EAGAIN: wait, -ENOSPC. */
static int claim(struct cow_ch *c, struct cow_op *op, uint64_t v, uint64_t e, uint64_t *phys)
{
	struct cow *d = dev(c);
	int rc = cow_get_cluster(d, phys);

	if (rc != 0) {
		c->stuck = true;
		if (rc == -EAGAIN && d->store_volatile &&
		    atomic_load(&d->durable_seq) < atomic_load(&d->map_seq)) {
			/* Unlinked clusters wait for a flush; when it fails, so does who needs one. */
			if (c->flush_error != 0) {
				rc = c->flush_error;
				c->flush_error = 0;
				return rc;
			}
			if (c->space_op == NULL) {
				c->space_op = op;
				op->n_left++;
			}
		}
		return rc;
	}
	if (atomic_compare_exchange_strong(&d->map[v], &e, e | COW_BUSY))
		return 0;
	cow_put_cluster(d, *phys);
	c->stuck = true;
	return -EAGAIN;
}

int cow_alloc(struct cow_ch *c, struct cow_op *op, uint64_t at, uint64_t len, uint64_t e)
{
	struct cow *d = dev(c);
	uint64_t cluster = 1ull << d->shift, from = at & (cluster - 1);
	bool whole = len == cluster && op->io->op == OB_BLK_WRITE;
	const struct iovec *iov = NULL;
	struct cow_slot *s;
	uint64_t phys;
	int rc, n = 0;

	if (cow_state(e) == COW_BAD && len < cluster)
		return -EIO;
	if (c->free_slot == NULL)
		return 0;
	if (whole) {
		rc = whole_iov(c, op, len, &iov, &n);
		if (rc <= 0)
			return rc;
	}
	rc = claim(c, op, at >> d->shift, e, &phys);
	if (rc != 0)
		return rc == -EAGAIN ? 0 : rc;
	if (whole && len < op->io->len)
		op->n_iov += (unsigned)n;
	if ((op->io->flags & OB_BLK_FUA) != 0)
		op->flush_after = true;
	s = slot_get(c, op);
	s->v = at >> d->shift;
	s->n = 1;
	s->old = e;
	s->phys = phys;
	if (whole) {
		write_data(c, s, iov, (unsigned)n);
	} else {
		/* The guest's bytes are taken now: nothing of it is needed while the rest is read. */
		if (op->io->op == OB_BLK_WRITE)
			blk_iov_gather(s->buf + from, op->io->iov, op->io->n_iov, op->pos, len);
		else
			memset(s->buf + from, 0, len);
		s->n_ios = 1;
		fill_old(c, s, 0, 0, from);
		fill_old(c, s, 1, from + len, cluster);
		atomic_fetch_add_explicit(&d->n_copied, 1, memory_order_relaxed);
		fill_put(s);
	}
	op->pos += len;
	return 1;
}

bool cow_unmaps(const struct cow *d, const struct ob_blk_io *io, uint64_t v, uint64_t e)
{
	switch (cow_state(e)) {
	case COW_DATA:
		return io->op == OB_BLK_DISCARD || (e & COW_SHARED) != 0 ||
		       (io->flags & OB_BLK_MAY_UNMAP) != 0;
	case COW_BAD:
		return true;
	case COW_HOLE:
		return io->op == OB_BLK_WRITE_ZEROES && v << d->shift < d->parent_bytes;
	case COW_ZERO:
		return false;
	}
	return false;
}

uint64_t cow_unmap(struct cow_ch *c, struct cow_op *op, uint64_t v, uint64_t n)
{
	struct cow *d = dev(c);
	struct cow_slot *s = c->free_slot;
	uint64_t i, *old;

	if (s == NULL)
		return 0;
	old = (uint64_t *)(void *)s->buf;
	if (n > COW_PAGE_N - v % COW_PAGE_N)
		n = COW_PAGE_N - v % COW_PAGE_N;
	for (i = 0; i < n; i++) {
		uint64_t e = cow_load(d, v + i);

		if ((e & COW_BUSY) != 0)
			break;
		if (!cow_unmaps(d, op->io, v + i, e)) {
			if (cow_state(e) == COW_DATA)
				break;
			old[i] = UINT64_MAX;
			continue;
		}
		old[i] = e;
		if (!atomic_compare_exchange_strong(&d->map[v + i], &e, e | COW_BUSY))
			break;
	}
	if (i == 0) {
		c->stuck = true;
		return 0;
	}
	s = slot_get(c, op);
	s->unmap = true;
	s->v = v;
	s->n = i;
	cow_list_add(&c->map_wait, s);
	return i;
}

static uint64_t removed_entry(const struct cow *d, uint64_t v)
{
	return cow_entry(v << d->shift < d->parent_bytes ? COW_ZERO : COW_HOLE, 0);
}

enum what {
	NEW,	/* as the page will say; still claimed */
	DONE,	/* the page says so */
	UNDONE, /* as before */
};

static void set_entries(struct cow *d, struct cow_slot *s, enum what what)
{
	const uint64_t *old = s->unmap ? (const uint64_t *)(const void *)s->buf : &s->old;
	uint64_t i, e;

	for (i = 0; i < s->n; i++) {
		if (s->unmap && old[i] == UINT64_MAX)
			continue;
		e = s->unmap ? removed_entry(d, s->v + i) : cow_entry(COW_DATA, s->phys);
		if (what == NEW)
			e |= COW_BUSY;
		if (what == UNDONE)
			e = old[i];
		set_entry(d, s->v + i, e);
		if (what != DONE)
			continue;
		if (cow_state(old[i]) == COW_BAD)
			atomic_fetch_sub_explicit(&d->n_damaged, 1, memory_order_relaxed);
		if (cow_state(old[i]) == COW_DATA && (old[i] & COW_SHARED) == 0)
			cow_put_cluster(d, old[i] & COW_PHYS);
	}
}

static void map_done(struct ob_blk_io *io)
{
	struct cow_slot *leader = ((struct cow_slot_io *)io)->s, *s, *next;
	struct cow_ch *c = leader->c;
	struct cow *d = dev(c);
	int result = io->result;

	leader->next = leader->joined;
	if (result == 0)
		atomic_fetch_add(&d->map_seq, 1);
	else if (result != -ECANCELED)
		/* Nobody knows what the page says now. Going on could acknowledge writes to a cluster that the map does not have. */
		atomic_store(&d->failed, true);
	for (s = leader; s != NULL; s = s->next)
		set_entries(d, s, result == 0 ? DONE : UNDONE);
	/* Release pairs with the exchange of the next writer of the page. */
	atomic_store_explicit(&d->page_lock[leader->v / COW_PAGE_N], 0, memory_order_release);
	for (s = leader; s != NULL; s = next) {
		next = s->next;
		/* After another error the page may have it: it stays out of use until the store is read again. */
		if (result == -ECANCELED && !s->unmap)
			cow_put_cluster(d, s->phys);
		slot_put(c, s, result);
	}
	cow_reclaim(d);
	cow_run(c);
}

static void write_page(struct cow_ch *c, struct cow_slot *s)
{
	struct cow *d = dev(c);
	uint64_t page = s->v / COW_PAGE_N, i, *to = (uint64_t *)(void *)s->page;

	for (i = 0; i < COW_PAGE_N; i++) {
		uint64_t v = page * COW_PAGE_N + i;

		to[i] = v < d->n_entries ? cow_encode(d->seed, v, cow_load(d, v)) : 0;
	}
	s->iov[0] = (struct iovec){s->page, COW_PAGE_BYTES};
	s->io[0].io = (struct ob_blk_io){
	    .op = OB_BLK_WRITE,
	    .n_iov = 1,
	    .off = COW_MAP_OFF + page * COW_PAGE_BYTES,
	    .len = COW_PAGE_BYTES,
	    .iov = s->iov,
	    .owner = c,
	    .done = map_done,
	};
	cow_push(c, COW_STORE, &s->io[0].io);
}

/* Takes the leader and all whose page is the same off the list. */
static void join(struct cow_ch *c, struct cow_slot *leader)
{
	struct cow_slot **at = &c->map_wait.head, *s;

	while ((s = *at) != NULL) {
		if (s->v / COW_PAGE_N != leader->v / COW_PAGE_N) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		set_entries(dev(c), s, NEW);
		if (s == leader)
			continue;
		s->next = leader->joined;
		leader->joined = s;
	}
	c->map_wait.tail = at;
}

void cow_write_maps(struct cow_ch *c)
{
	struct cow *d = dev(c);
	struct cow_slot *s = c->map_wait.head;

	while (s != NULL) {
		/* Acquire pairs with the release in map_done: the entries of the last writer are there. */
		if (atomic_exchange_explicit(
			&d->page_lock[s->v / COW_PAGE_N], 1, memory_order_acquire) != 0) {
			c->stuck = true;
			s = s->next;
			continue;
		}
		join(c, s);
		write_page(c, s);
		s = c->map_wait.head;
	}
}
