/* SPDX-License-Identifier: BSD-3-Clause */
/* See test_block.h. */
#include "test_block.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int slow_open(struct ob_blk_ch *ch)
{
	ch->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return ch->wake_fd >= 0 ? 0 : -errno;
}

static void slow_close(struct ob_blk_ch *ch)
{
	struct slow *s = (struct slow *)ch->b;

	if (s->last == ch)
		s->last = NULL;
	close(ch->wake_fd);
}

static void slow_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct slow_ch *s = (struct slow_ch *)ch;

	((struct slow *)ch->b)->last = ch;
	for (unsigned i = 0; i < n; i++) {
		s->last_op = ios[i]->op;
		s->last_flags = ios[i]->flags;
		s->last_off = ios[i]->off;
		s->last_len = ios[i]->len;
		blk_list_add(&s->held, ios[i]);
		s->n_held++;
	}
}

unsigned slow_let_go(struct ob_blk_ch *ch, unsigned n)
{
	struct slow_ch *s = (struct slow_ch *)ch;
	unsigned k = 0;

	for (; k < n && s->n_held > 0; k++) {
		s->n_held--;
		blk_complete(ch, blk_list_pop(&s->held), ((struct slow *)ch->b)->result);
	}
	return k;
}

static bool slow_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct slow_ch *s = (struct slow_ch *)ch;

	s->n_arms++;
	*must_poll = false;
	return s->due;
}

static void slow_disarm(struct ob_blk_ch *ch)
{
	((struct slow_ch *)ch)->n_disarms++;
}

static void slow_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct slow_ch *s = (struct slow_ch *)ch;
	struct blk_list all = s->held;
	struct ob_blk_io *io;

	if (((struct slow *)ch->b)->deaf)
		return;
	s->held = (struct blk_list){0};
	s->n_held = 0;
	while ((io = blk_list_pop(&all)) != NULL) {
		if (owner == NULL || io->owner == owner) {
			blk_complete(ch, io, -ECANCELED);
			continue;
		}
		blk_list_add(&s->held, io);
		s->n_held++;
	}
}

static int slow_resize(struct ob_blk *b, uint64_t bytes)
{
	blk_changed(b, bytes);
	return 0;
}

static const struct blk_ops slow_ops = {
    .kind = "slow",
    .dev_bytes = sizeof(struct slow),
    .ch_bytes = sizeof(struct slow_ch),
    .ch_open = slow_open,
    .ch_close = slow_close,
    .submit = slow_submit,
    .arm = slow_arm,
    .disarm = slow_disarm,
    .cancel = slow_cancel,
    .resize = slow_resize,
};

int slow_create(uint64_t bytes, struct ob_blk **out)
{
	struct ob_blk *b;
	int rc = blk_new(&slow_ops, "slow", NULL, 0, &b);

	if (rc != 0)
		return rc;
	b->info.bytes = bytes;
	b->info.block_bytes = b->info.phys_block_bytes = 512;
	*out = b;
	return 0;
}
