/* SPDX-License-Identifier: BSD-3-Clause */
/* Channels: a worker's way into a device. */
#include "ob_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "block_core.h"

#define SUBMIT_MAX 64
#define EMULATE	   1

/* ---- control ---- */

static int combine_fds(struct ob_blk_ch *ch)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int fds[BLK_MAX_CHILDREN + 1];
	unsigned n = 0;

	if (ch->wake_fd >= 0)
		fds[n++] = ch->wake_fd;
	for (unsigned i = 0; i < ch->n_children; i++)
		if (ch->child[i]->all_fd >= 0)
			fds[n++] = ch->child[i]->all_fd;
	ch->all_fd = n == 0 ? -1 : fds[0];
	if (n < 2)
		return 0;
	ch->all_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ch->all_fd < 0)
		return -errno;
	ch->own_epoll = true;
	for (unsigned i = 0; i < n; i++)
		if (epoll_ctl(ch->all_fd, EPOLL_CTL_ADD, fds[i], &ev) != 0)
			return -errno;
	return 0;
}

static void close_rest(struct ob_blk_ch *ch)
{
	if (ch->own_epoll)
		close(ch->all_fd);
	blk_zeroes_close(ch);
	for (unsigned i = 0; i < ch->n_children; i++)
		ob_blk_ch_close(ch->child[i]);
	free(ch);
}

int ob_blk_ch_open(struct ob_blk *b, struct ob_blk_ch **out)
{
	size_t bytes = (b->ops->ch_bytes + 63) / 64 * 64;
	struct ob_blk_ch *ch = aligned_alloc(64, bytes);
	int rc;

	assert(b->info.block_bytes >= 512 && b->ops->ch_bytes >= sizeof(*ch));
	if (ch == NULL)
		return -ENOMEM;
	memset(ch, 0, bytes);
	ch->b = b;
	ch->ops = b->ops;
	ch->wake_fd = -1;
	ch->all_fd = -1;
	for (; ch->n_children < b->n_children; ch->n_children++) {
		rc = ob_blk_ch_open(b->child[ch->n_children], &ch->child[ch->n_children]);
		if (rc != 0)
			goto err_rest;
	}
	rc = blk_zeroes_open(ch);
	if (rc != 0)
		goto err_rest;
	rc = b->ops->ch_open != NULL ? b->ops->ch_open(ch) : 0;
	if (rc != 0)
		goto err_rest;
	rc = combine_fds(ch);
	if (rc != 0)
		goto err_kind;
	ob_blk_get(b);
	ch->next = b->core->channels;
	b->core->channels = ch;
	*out = ch;
	return 0;
err_kind:
	if (b->ops->ch_close != NULL)
		b->ops->ch_close(ch);
err_rest:
	close_rest(ch);
	return rc;
}

void ob_blk_ch_close(struct ob_blk_ch *ch)
{
	struct ob_blk *b;

	if (ch == NULL)
		return;
	b = ch->b;
	assert(ch->n_pending == 0);
	for (struct ob_blk_ch **p = &b->core->channels; *p != NULL; p = &(*p)->next)
		if (*p == ch) {
			*p = ch->next;
			break;
		}
	blk_stats_add(&b->core->closed, &ch->stats);
	if (b->ops->ch_close != NULL)
		b->ops->ch_close(ch);
	close_rest(ch);
	ob_blk_put(b);
}

/* ---- the channel's owner ---- */

static bool iov_sum_is(const struct ob_blk_io *io)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < io->n_iov; i++) {
		if (io->iov[i].iov_len > io->len)
			return false;
		sum += io->iov[i].iov_len;
	}
	return sum == io->len;
}

/* Returns 0, EMULATE, -errno. */
static int check(const struct ob_blk_ch *ch, const struct ob_blk_io *io)
{
	const struct ob_blk_info *info = &ch->b->info;
	uint64_t bytes;

	if (io->op >= OB_BLK_N_OPS)
		return -EOPNOTSUPP;
	if (io->op == OB_BLK_FLUSH)
		return 0;
	if (io->op != OB_BLK_READ && info->read_only)
		return -EROFS;
	/* Acquire: pairs with the release in blk_changed. */
	bytes = __atomic_load_n(&info->bytes, __ATOMIC_ACQUIRE);
	if (((io->off | io->len) & (info->block_bytes - 1)) != 0 || io->len == 0 ||
	    io->off > bytes || io->len > bytes - io->off)
		return -EINVAL;
	if (io->op == OB_BLK_DISCARD)
		return info->discard_bytes != 0 ? 0 : -EOPNOTSUPP;
	if (io->op == OB_BLK_WRITE_ZEROES)
		return ch->zeroes == NULL ? 0 : EMULATE;
	if (io->len > OB_BLK_MAX_BYTES || io->n_iov > OB_BLK_MAX_IOV || !iov_sum_is(io))
		return -EINVAL;
	return 0;
}

void ob_blk_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct ob_blk_io *ok[SUBMIT_MAX];
	uint64_t now = rte_rdtsc();

	ch->depth++;
	while (n > 0) {
		unsigned n_take = n < SUBMIT_MAX ? n : SUBMIT_MAX, n_ok = 0;

		ch->n_pending += n_take;
		__atomic_store_n(&ch->stats.n_pending, ch->n_pending, __ATOMIC_RELAXED);
		if (ch->n_pending > ch->stats.max_pending)
			__atomic_store_n(&ch->stats.max_pending, ch->n_pending, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < n_take; i++) {
			struct ob_blk_io *io = ios[i];
			int rc = check(ch, io);

			io->tsc = now;
			if (rc != -EOPNOTSUPP || io->op < OB_BLK_N_OPS)
				blk_count(&ch->stats.n_ios[io->op], 1);
			if (rc == 0)
				ok[n_ok++] = io;
			else if (rc == EMULATE)
				blk_zeroes_start(ch, io);
			else
				blk_complete_now(ch, io, rc);
		}
		if (n_ok > 0)
			ch->ops->submit(ch, ok, n_ok);
		ios += n_take;
		n -= n_take;
	}
	ch->depth--;
}

void blk_complete(struct ob_blk_ch *ch, struct ob_blk_io *io, int result)
{
	io->result = result;
	if (io->done == blk_zeroes_done) {
		/* A piece of an I/O that is counted already. */
		io->done(io);
		return;
	}
	assert(ch->n_pending > 0);
	ch->n_pending--;
	ch->n_completed++;
	__atomic_store_n(&ch->stats.n_pending, ch->n_pending, __ATOMIC_RELAXED);
	if (io->op < OB_BLK_N_OPS) {
		if (result == 0 && io->op != OB_BLK_FLUSH)
			blk_count(&ch->stats.n_bytes[io->op], io->len);
		else if (result != 0)
			blk_count(&ch->stats.n_errors[io->op], 1);
		blk_stats_lat(&ch->stats, io->op, rte_rdtsc() - io->tsc);
	}
	io->done(io);
}

void blk_complete_now(struct ob_blk_ch *ch, struct ob_blk_io *io, int result)
{
	if (ch->depth < 2) {
		blk_complete(ch, io, result);
		return;
	}
	io->result = result;
	blk_list_add(&ch->late, io);
}

void blk_count_throttled(struct ob_blk_ch *ch, uint64_t ns)
{
	blk_count(&ch->stats.n_throttled, 1);
	blk_count(&ch->stats.throttled_ns, ns);
}

unsigned ob_blk_poll(struct ob_blk_ch *ch)
{
	uint64_t before = ch->n_completed;
	struct blk_list late = ch->late;
	struct ob_blk_io *io;

	/* Only those of now: what a done() adds waits for the next poll. */
	ch->late.head = NULL;
	for (unsigned i = 0; i < ch->n_children; i++)
		ob_blk_poll(ch->child[i]);
	if (ch->ops->poll != NULL)
		ch->ops->poll(ch);
	if (ch->zeroes != NULL)
		blk_zeroes_poll(ch);
	while ((io = blk_list_pop(&late)) != NULL)
		blk_complete(ch, io, io->result);
	return (unsigned)(ch->n_completed - before);
}

unsigned ob_blk_pending(const struct ob_blk_ch *ch)
{
	return ch->n_pending;
}

bool ob_blk_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	bool work = ch->late.head != NULL || (ch->zeroes != NULL && blk_zeroes_ready(ch));
	bool nap = false;

	ch->armed = true;
	for (unsigned i = 0; i < ch->n_children; i++) {
		bool m;

		work |= ob_blk_arm(ch->child[i], &m);
		nap |= m;
	}
	if (ch->ops->arm != NULL) {
		bool m = false;

		work |= ch->ops->arm(ch, &m);
		nap |= m;
	}
	*must_poll = nap;
	if (work)
		ob_blk_disarm(ch);
	return work;
}

void ob_blk_disarm(struct ob_blk_ch *ch)
{
	if (!ch->armed)
		return;
	ch->armed = false;
	if (ch->ops->disarm != NULL)
		ch->ops->disarm(ch);
	for (unsigned i = 0; i < ch->n_children; i++)
		ob_blk_disarm(ch->child[i]);
}

int ob_blk_wake_fd(const struct ob_blk_ch *ch)
{
	return ch->all_fd;
}

void ob_blk_cancel(struct ob_blk_ch *ch, const void *owner)
{
	if (ch->zeroes != NULL)
		blk_zeroes_cancel(ch, owner);
	if (ch->ops->cancel != NULL)
		ch->ops->cancel(ch, owner);
	for (unsigned i = 0; i < ch->n_children; i++)
		ob_blk_cancel(ch->child[i], owner);
}
