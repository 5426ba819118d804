/* SPDX-License-Identifier: BSD-3-Clause */
/* WRITE_ZEROES over a kind that has none: writes from memory that is zero, piece by piece, one piece a poll, so that a range of
 * terabytes does not keep the worker. */
#include "ob_block.h"

#include <errno.h>
#include <stdlib.h>

#include "block_core.h"

#define N_SLOTS	   4
#define ZERO_BYTES (64u << 10)
#define N_VECTORS  (OB_BLK_MAX_BYTES / ZERO_BYTES)

/* Never written: guests' bytes are not near it, and a WRITE only reads. */
static uint8_t zero[ZERO_BYTES] __attribute__((aligned(4096)));

struct slot {
	struct ob_blk_io sub; /* first: blk_zeroes_done finds the slot by it */
	struct ob_blk_ch *ch;
	struct ob_blk_io *io; /* NULL: free */
	uint64_t at;	      /* bytes that are written, or on their way */
	bool ready;	      /* the next piece may go */
	struct iovec iov[N_VECTORS];
};

struct blk_zeroes {
	struct blk_list waiting;
	unsigned n_ready;
	struct slot slots[N_SLOTS];
};

int blk_zeroes_open(struct ob_blk_ch *ch)
{
	if (ch->b->info.write_zeroes)
		return 0;
	ch->zeroes = calloc(1, sizeof(*ch->zeroes));
	return ch->zeroes != NULL ? 0 : -ENOMEM;
}

void blk_zeroes_close(struct ob_blk_ch *ch)
{
	free(ch->zeroes);
	ch->zeroes = NULL;
}

static void piece(struct slot *s)
{
	struct ob_blk_io *subs[1] = {&s->sub};
	uint64_t left = s->io->len - s->at, len = left < OB_BLK_MAX_BYTES ? left : OB_BLK_MAX_BYTES;
	struct ob_blk_ch *ch = s->ch;
	uint16_t n = 0;

	for (uint64_t k = 0; k < len; k += ZERO_BYTES)
		s->iov[n++] =
		    (struct iovec){zero, len - k < ZERO_BYTES ? (size_t)(len - k) : ZERO_BYTES};
	s->sub = (struct ob_blk_io){.op = OB_BLK_WRITE,
	    .flags = s->io->flags & OB_BLK_FUA,
	    .n_iov = n,
	    .off = s->io->off + s->at,
	    .len = len,
	    .iov = s->iov,
	    .done = blk_zeroes_done,
	    .owner = s->io->owner,
	    .tsc = s->io->tsc};
	s->at += len;
	ch->depth++;
	ch->ops->submit(ch, subs, 1);
	ch->depth--;
}

static void take(struct blk_zeroes *z, struct slot *s, struct ob_blk_ch *ch, struct ob_blk_io *io)
{
	*s = (struct slot){.ch = ch, .io = io, .ready = true};
	z->n_ready++;
}

/* The first piece goes with the next poll too: whoever submits many of them is not held up by any. */
void blk_zeroes_start(struct ob_blk_ch *ch, struct ob_blk_io *io)
{
	struct blk_zeroes *z = ch->zeroes;

	for (unsigned i = 0; i < N_SLOTS; i++)
		if (z->slots[i].io == NULL) {
			take(z, &z->slots[i], ch, io);
			return;
		}
	blk_list_add(&z->waiting, io);
}

void blk_zeroes_done(struct ob_blk_io *sub)
{
	struct slot *s = (struct slot *)sub;
	struct ob_blk_ch *ch = s->ch;
	struct blk_zeroes *z = ch->zeroes;
	struct ob_blk_io *io = s->io, *next;
	int rc = sub->result; /* 'sub' lies in the slot, which the next one takes */

	if (rc == 0 && s->at < io->len) {
		s->ready = true;
		z->n_ready++;
		return;
	}
	s->io = NULL;
	next = blk_list_pop(&z->waiting);
	if (next != NULL)
		take(z, s, ch, next);
	blk_complete(ch, io, rc);
}

void blk_zeroes_poll(struct ob_blk_ch *ch)
{
	struct blk_zeroes *z = ch->zeroes;

	for (unsigned i = 0; z->n_ready > 0 && i < N_SLOTS; i++)
		if (z->slots[i].ready) {
			z->slots[i].ready = false;
			z->n_ready--;
			piece(&z->slots[i]);
		}
}

bool blk_zeroes_ready(const struct ob_blk_ch *ch)
{
	return ch->zeroes->n_ready > 0;
}

/* A range that is partly zero already is "not touched" all the same: who submits it again gets what he would have got. */
void blk_zeroes_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct blk_zeroes *z = ch->zeroes;
	struct blk_list all = z->waiting, gone = {0};
	struct ob_blk_io *io;

	z->waiting = (struct blk_list){0};
	while ((io = blk_list_pop(&all)) != NULL)
		blk_list_add(owner == NULL || io->owner == owner ? &gone : &z->waiting, io);
	for (unsigned i = 0; i < N_SLOTS; i++) {
		struct slot *s = &z->slots[i];

		if (!s->ready || (owner != NULL && s->io->owner != owner))
			continue;
		blk_list_add(&gone, s->io);
		s->ready = false;
		z->n_ready--;
		s->io = NULL;
		io = blk_list_pop(&z->waiting);
		if (io != NULL)
			take(z, s, ch, io);
	}
	while ((io = blk_list_pop(&gone)) != NULL)
		blk_complete(ch, io, -ECANCELED);
}
