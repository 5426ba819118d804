/* SPDX-License-Identifier: BSD-3-Clause */
/* Integrity: FLUSH, one at a time on a device. What it covers was written before it; so first the data is made durable, then the tags {new, old} of
 * that data become {new, new}, page by page, then these are made durable. */
#include "integrity_ch.h"

static void flush_ends(struct integ_ch *c)
{
	struct integ *d = dev_of(c);
	struct piece *p = c->flush, *next;

	c->flush = NULL;
	pthread_mutex_lock(&d->lock);
	next = d->flush_wait;
	if (next != NULL)
		d->flush_wait = next->next;
	else
		d->flushing = false;
	pthread_mutex_unlock(&d->lock);
	if (next != NULL)
		integ_hand(c, next, FLUSH_TURN);
	integ_piece_ends(p, p->tag_rc);
}

static void flush_child(struct integ_ch *c, unsigned child, void (*done)(struct ob_blk_io *io))
{
	struct ob_blk_io *io = &c->flush->io;

	*io = (struct ob_blk_io){.op = OB_BLK_FLUSH, .done = done};
	ob_blk_submit(c->ch.child[child], &io, 1);
}

static void tags_flushed(struct ob_blk_io *io)
{
	struct piece *p = (struct piece *)(void *)io;

	if (io->result != 0 && p->tag_rc == 0)
		p->tag_rc = io->result;
	flush_ends(p->c);
}

/* {new, old} that is ripe becomes {new, new}. True: the page is ours to write. */
static bool settle(struct piece *s, struct integ_page *g)
{
	struct integ *d = dev_of(s->c);
	struct integ_tag *t;
	bool mine;

	s->page = (uint64_t)(g - d->pages);
	t = tags_of(s);
	pthread_mutex_lock(integ_lock_of(d, s->page));
	for (uint32_t i = 0; i < INTEG_PAGE_TAGS; i++)
		if (bit(g->ripe, i))
			t[i].before = t[i].now;
	memset(g->ripe, 0, sizeof(g->ripe));
	mine = integ_ride(s);
	pthread_mutex_unlock(integ_lock_of(d, s->page));
	return mine;
}

/* Starts as many pages as may be under way; after the last, the tag device's own FLUSH. */
static void settle_more(struct integ_ch *c)
{
	if (c->in_settle)
		return; /* a page ended inside of the loop below */
	c->in_settle = true;
	for (unsigned i = 0; i < N_SETTLERS && c->to_settle != NULL; i++) {
		struct piece *s = &c->settlers[i];

		while (!s->in_use && c->to_settle != NULL) {
			struct integ_page *g = c->to_settle;

			c->to_settle = g->flush_next;
			s->in_use = true;
			c->n_settling++;
			if (settle(s, g))
				integ_start_page_write(s);
		}
	}
	c->in_settle = false;
	if (c->to_settle == NULL && c->n_settling == 0)
		flush_child(c, 1, tags_flushed);
}

void integ_settled(struct piece *s)
{
	struct integ_ch *c = s->c;
	struct integ *d = dev_of(c);

	if (s->tag_rc != 0) {
		if (c->flush->tag_rc == 0)
			c->flush->tag_rc = s->tag_rc;
		pthread_mutex_lock(integ_lock_of(d, s->page));
		integ_mark_dirty(d, page_of(s));
		pthread_mutex_unlock(integ_lock_of(d, s->page));
	}
	s->in_use = false;
	c->n_settling--;
	settle_more(c);
}

static void data_flushed(struct ob_blk_io *io)
{
	struct piece *p = (struct piece *)(void *)io;
	struct integ_ch *c = p->c;
	struct integ *d = dev_of(c);

	p->tag_rc = io->result;
	/* Not durable: what is {new, old} stays so. */
	while (io->result != 0 && c->to_settle != NULL) {
		struct integ_page *g = c->to_settle;
		pthread_mutex_t *lock = integ_lock_of(d, (uint64_t)(g - d->pages));

		c->to_settle = g->flush_next;
		pthread_mutex_lock(lock);
		memset(g->ripe, 0, sizeof(g->ripe));
		integ_mark_dirty(d, g);
		pthread_mutex_unlock(lock);
	}
	settle_more(c);
}

static void ripen(struct integ *d, struct integ_page *g)
{
	uint64_t page = (uint64_t)(g - d->pages);
	const struct integ_tag *t = &d->tags[page * INTEG_PAGE_TAGS];

	pthread_mutex_lock(integ_lock_of(d, page));
	g->dirty = false;
	for (uint32_t i = 0; i < INTEG_PAGE_TAGS; i++)
		if (t[i].now != t[i].before && !bit(g->busy, i) && !bit(g->doubt, i))
			put_bit(g->ripe, i, true);
	pthread_mutex_unlock(integ_lock_of(d, page));
}

void integ_flush_begin(struct piece *p)
{
	struct integ_ch *c = p->c;
	struct integ *d = dev_of(c);
	struct integ_page *g, *next;

	c->flush = p;
	pthread_mutex_lock(&d->lock);
	g = d->dirty;
	d->dirty = NULL;
	pthread_mutex_unlock(&d->lock);
	for (; g != NULL; g = next) {
		next = g->dirty_next; /* not ours any more once it may be dirty again */
		ripen(d, g);
		g->flush_next = c->to_settle;
		c->to_settle = g;
	}
	flush_child(c, 0, data_flushed);
}

void integ_flush_enter(struct piece *p)
{
	struct integ *d = dev_of(p->c);
	bool turn;

	pthread_mutex_lock(&d->lock);
	turn = !d->flushing;
	d->flushing = true;
	if (!turn) {
		p->next = d->flush_wait;
		d->flush_wait = p;
	}
	pthread_mutex_unlock(&d->lock);
	if (turn)
		integ_flush_begin(p);
}
