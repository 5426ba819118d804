/* SPDX-License-Identifier: BSD-3-Clause */
/* Free clusters; the time until an unlinked one may be used again; the pause that a snapshot needs. */
#include "cow.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

int cow_set_init(struct cow_set *s, uint64_t n_words)
{
	s->n = 0;
	s->w = calloc(n_words > 0 ? n_words : 1, sizeof(*s->w));
	return s->w == NULL ? -ENOMEM : 0;
}

bool cow_set_has(const struct cow_set *s, uint64_t i)
{
	return (s->w[i / 64] >> i % 64 & 1) != 0;
}

bool cow_set_add(struct cow_set *s, uint64_t i)
{
	if (cow_set_has(s, i))
		return false;
	s->w[i / 64] |= 1ull << i % 64;
	s->n++;
	return true;
}

/* From epoch E to E + 1 when no channel is in a run of an earlier epoch and nothing issued in E - 1 is under way. Then whoever could
 * have read an entry that was unlinked in E - 1 is through. Holds the lock. */
static bool advance(struct cow *d)
{
	uint64_t e = atomic_load(&d->epoch);
	struct cow_ch *c;

	for (c = d->chs; c != NULL; c = c->next) {
		uint64_t local = atomic_load(&c->local);

		/* Acquire pairs with the release when a run ends: the counts are those it left. */
		if (local != COW_IDLE && local != e)
			return false;
		if (atomic_load_explicit(&c->under_way[(e + 2) % 3], memory_order_acquire) != 0)
			return false;
	}
	atomic_store(&d->epoch, e + 1);
	return true;
}

static void reclaim(struct cow *d)
{
	uint64_t *swap, i;

	if (d->grace.n == 0 && d->limbo.n > 0) {
		swap = d->grace.w;
		d->grace = d->limbo;
		d->limbo = (struct cow_set){.w = swap};
		/* The entries were stored before this reads the epoch. */
		atomic_thread_fence(memory_order_seq_cst);
		d->grace_epoch = atomic_load(&d->epoch);
		d->grace_seq = atomic_load(&d->map_seq);
	}
	if (d->grace.n == 0)
		return;
	if (d->store_volatile && atomic_load(&d->durable_seq) < d->grace_seq)
		return;
	while (atomic_load(&d->epoch) < d->grace_epoch + 2)
		if (!advance(d))
			return;
	for (i = 0; i < d->n_words; i++) {
		d->free.w[i] |= d->grace.w[i];
		d->grace.w[i] = 0;
	}
	d->free.n += d->grace.n;
	d->grace.n = 0;
}

void cow_reclaim(struct cow *d)
{
	pthread_mutex_lock(&d->lock);
	reclaim(d);
	pthread_mutex_unlock(&d->lock);
}

int cow_get_cluster(struct cow *d, uint64_t *phys)
{
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (d->free.n == 0)
		reclaim(d);
	if (d->free.n > 0) {
		while (d->free.w[d->hint] == 0)
			d->hint = d->hint + 1 == d->n_words ? 0 : d->hint + 1;
		*phys = d->hint * 64 + (unsigned)__builtin_ctzll(d->free.w[d->hint]);
		d->free.w[d->hint] &= d->free.w[d->hint] - 1;
		d->free.n--;
	} else {
		rc = d->limbo.n + d->grace.n > 0 ? -EAGAIN : -ENOSPC;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void cow_put_cluster(struct cow *d, uint64_t phys)
{
	pthread_mutex_lock(&d->lock);
	cow_set_add(&d->limbo, phys);
	pthread_mutex_unlock(&d->lock);
}

static int grow_set(struct cow_set *s, uint64_t from, uint64_t to)
{
	uint64_t *w = realloc(s->w, to * sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	memset(w + from, 0, (to - from) * sizeof(*w));
	s->w = w;
	return 0;
}

int cow_grow(struct cow *d, uint64_t n_clusters)
{
	uint64_t n_words = (n_clusters + 63) / 64, i;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	if (n_words > d->n_words) {
		rc = grow_set(&d->free, d->n_words, n_words);
		if (rc == 0)
			rc = grow_set(&d->limbo, d->n_words, n_words);
		if (rc == 0)
			rc = grow_set(&d->grace, d->n_words, n_words);
		if (rc == 0)
			d->n_words = n_words;
	}
	for (i = d->n_clusters; rc == 0 && i < n_clusters; i++)
		cow_set_add(&d->free, i);
	if (rc == 0 && n_clusters > d->n_clusters)
		d->n_clusters = n_clusters;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

int cow_pause(struct cow *d)
{
	const struct timespec nap = {0, 50000};
	struct cow_ch *c;
	unsigned n_naps = 0;

	/* Sequentially consistent with cow_run: who is idle here sees the pause in its next run. */
	atomic_store(&d->paused, true);
	for (c = d->chs; c != NULL; c = c->next) {
		while (atomic_load(&c->local) != COW_IDLE ||
		       atomic_load_explicit(&c->n_changing, memory_order_acquire) != 0) {
			if (n_naps++ == 40000) {
				cow_resume(d);
				return -ETIMEDOUT;
			}
			nanosleep(&nap, NULL);
		}
	}
	return 0;
}

void cow_resume(struct cow *d)
{
	atomic_store(&d->paused, false);
}
