/* SPDX-License-Identifier: BSD-3-Clause */
/* The input chooses a stack of devices over a medium that completes when and how the input says, and then what happens: I/Os good and
 * bad, completions, errors, cancels, sleeps, time, sizes. Every I/O must end once, with the data that a model expects. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block_priv.h"
#include "qos_priv.h"

#define BLOCK	 512u
#define BLOCKS	 64u
#define N_IOS	 24u
#define MAX_IO	 16u /* blocks */
#define N_OWNERS 3u
#define UNKNOWN	 (-1)
#define STEPS	 400u

#define FIRST_TWO  5 /* stacks over two media */
#define FIRST_THIN 8
#define N_STACKS   11
#define STORE	   (512u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* ---- the medium ---- */

struct medium {
	struct ob_blk b;
	uint8_t *mem;
	uint64_t room;
	bool prompt; /* completes at once: while control makes a device over it, or closes one */
};

struct medium_ch {
	struct ob_blk_ch ch;
	struct blk_list held;
	struct medium_ch *next;
};

/* Of all media, in the order of their opening. */
static struct medium_ch *open_chs;

static void medium_do(struct medium *m, const struct ob_blk_io *io)
{
	if (io->op == OB_BLK_FLUSH)
		return;
	must(io->off <= m->room && io->len <= m->room - io->off);
	if (io->op == OB_BLK_READ)
		must(blk_iov_scatter(io->iov, io->n_iov, 0, m->mem + io->off, io->len) == io->len);
	else if (io->op == OB_BLK_WRITE)
		must(blk_iov_gather(m->mem + io->off, io->iov, io->n_iov, 0, io->len) == io->len);
	else
		memset(m->mem + io->off, 0, io->len);
}

static void medium_end(struct ob_blk_ch *ch, struct ob_blk_io *io, int rc)
{
	if (rc == 0)
		medium_do((struct medium *)ch->b, io);
	blk_complete_now(ch, io, rc);
}

static void medium_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (((const struct medium *)ch->b)->prompt)
			medium_end(ch, ios[i], 0);
		else
			blk_list_add(&((struct medium_ch *)ch)->held, ios[i]);
	}
}

static void media_let_go(unsigned n, int rc)
{
	for (struct medium_ch *c = open_chs; c != NULL; c = c->next)
		for (unsigned i = 0; i < n && c->held.head != NULL; i++)
			medium_end(&c->ch, blk_list_pop(&c->held), rc);
}

static void medium_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct blk_list all = ((struct medium_ch *)ch)->held, gone = {0};
	struct ob_blk_io *io;

	((struct medium_ch *)ch)->held.head = NULL;
	while ((io = blk_list_pop(&all)) != NULL)
		blk_list_add(
		    owner == NULL || io->owner == owner ? &gone : &((struct medium_ch *)ch)->held,
		    io);
	while ((io = blk_list_pop(&gone)) != NULL)
		blk_complete(ch, io, -ECANCELED);
}

static int medium_open(struct ob_blk_ch *ch)
{
	((struct medium_ch *)ch)->next = open_chs;
	open_chs = (struct medium_ch *)ch;
	return 0;
}

static void medium_close(struct ob_blk_ch *ch)
{
	for (struct medium_ch **p = &open_chs; *p != NULL; p = &(*p)->next)
		if (*p == (struct medium_ch *)ch) {
			*p = (*p)->next;
			return;
		}
}

static void medium_destroy(struct ob_blk *b)
{
	free(((struct medium *)b)->mem);
}

static int medium_resize(struct ob_blk *b, uint64_t bytes)
{
	if (bytes > ((struct medium *)b)->room)
		return -ENOSPC;
	blk_changed(b, bytes);
	return 0;
}

static const struct blk_ops medium_ops = {
    .kind = "medium",
    .dev_bytes = sizeof(struct medium),
    .ch_bytes = sizeof(struct medium_ch),
    .destroy = medium_destroy,
    .ch_open = medium_open,
    .ch_close = medium_close,
    .submit = medium_submit,
    .cancel = medium_cancel,
    .resize = medium_resize,
};

static struct ob_blk *medium_create(uint8_t traits, uint64_t bytes)
{
	struct ob_blk *b;
	struct medium *m;

	must(blk_new(&medium_ops, "medium", NULL, 0, &b) == 0);
	m = (struct medium *)b;
	m->mem = calloc(1, bytes);
	must(m->mem != NULL);
	m->room = b->info.bytes = bytes;
	m->prompt = true;
	b->info.block_bytes = b->info.phys_block_bytes = BLOCK;
	b->info.write_zeroes = traits & 1;
	b->info.discard_bytes = traits & 2 ? BLOCK : 0;
	b->info.zero_on_discard = traits & 2;
	b->info.volatile_cache = true;
	return b;
}

/* ---- the stack ---- */

static uint64_t clock_ns;

static uint64_t fuzz_clock(void)
{
	return clock_ns;
}

static struct ob_blk *qos_over(struct ob_blk *below)
{
	struct ob_blk_qos_conf conf = {
	    .rate[OB_BLK_QOS_IOPS] = 1000, .rate[OB_BLK_QOS_WRITE_BYTES] = 1 << 20};
	struct ob_blk *b;

	conf.burst[OB_BLK_QOS_IOPS] = 5;
	must(ob_blk_qos_create("qos", below, &conf, &b, NULL, 0) == 0);
	ob_blk_put(below);
	return b;
}

static struct ob_blk *crypt_over(struct ob_blk *below)
{
	struct ob_blk_crypt_conf conf = {
	    .key_len = 64, .sector_bytes = BLOCK, .pass_discard = true};
	uint8_t key[64];
	struct ob_blk *b;

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i + 1);
	conf.key = key;
	must(ob_blk_crypt_create("crypt", below, &conf, &b, NULL, 0) == 0);
	ob_blk_put(below);
	return b;
}

static struct ob_blk *two_as_one(struct ob_blk *a, struct ob_blk *b, bool stripe)
{
	struct ob_blk *both[2] = {a, b}, *out;

	if (stripe)
		must(ob_blk_stripe_create("stripe", both, 2, 4096, &out, NULL, 0) == 0);
	else
		must(ob_blk_concat_create("concat", both, 2, &out, NULL, 0) == 0);
	ob_blk_put(a);
	ob_blk_put(b);
	return out;
}

static struct ob_blk *thin(struct ob_blk *store, struct ob_blk *parent)
{
	struct ob_blk_cow_conf conf = {.store = store,
	    .parent = parent,
	    .create = true,
	    .bytes = BLOCKS * BLOCK,
	    .cluster_bytes = 4096};
	struct ob_blk *b;

	must(ob_blk_cow_create("thin", &conf, &b, NULL, 0) == 0);
	ob_blk_put(store);
	ob_blk_put(parent);
	return b;
}

/* 'first': the medium that may change its size. */
static struct ob_blk *stack(uint8_t which, uint8_t traits, struct ob_blk **first)
{
	bool store = which % N_STACKS >= FIRST_THIN, half = which % N_STACKS >= FIRST_TWO && !store;
	uint64_t bytes = store ? STORE : BLOCKS * BLOCK / (half ? 2 : 1);
	struct ob_blk *m = medium_create(traits, bytes), *n = NULL;

	*first = m;
	if (half || which % N_STACKS == FIRST_THIN + 1)
		n = medium_create(traits >> 2, BLOCKS * BLOCK / (half ? 2 : 1));
	switch (which % N_STACKS) {
	case 1:
		return qos_over(m);
	case 2:
		return crypt_over(m);
	case 3:
		return qos_over(crypt_over(m));
	case 4:
		return crypt_over(qos_over(m));
	case FIRST_TWO:
		return two_as_one(m, n, true);
	case FIRST_TWO + 1:
		return crypt_over(two_as_one(m, n, false));
	case FIRST_TWO + 2:
		return two_as_one(qos_over(m), crypt_over(n), true);
	case FIRST_THIN:
		return thin(m, NULL);
	case FIRST_THIN + 1:
		return thin(m, n);
	case FIRST_THIN + 2:
		return qos_over(crypt_over(thin(m, NULL)));
	default:
		return m;
	}
}

static void be_prompt(struct ob_blk *b, bool prompt)
{
	if (b->ops == &medium_ops)
		((struct medium *)b)->prompt = prompt;
	for (unsigned i = 0; i < b->n_children; i++)
		be_prompt(b->child[i], prompt);
}

/* ---- I/Os and the model ---- */

struct fz_io {
	struct ob_blk_io io;
	struct iovec iov[3];
	struct world *w;
	uint8_t buf[MAX_IO * BLOCK];
	uint32_t first, n; /* blocks that it holds; n 0: a bad one */
	int16_t value;
	bool busy;
};

struct world {
	struct ob_blk *top;
	struct ob_blk *medium;
	bool parts; /* an I/O may be several below */
	struct ob_blk_ch *ch;
	const uint8_t *data;
	size_t size;
	int16_t block[BLOCKS]; /* what all its bytes are, UNKNOWN */
	bool locked[BLOCKS];
	struct fz_io ios[N_IOS];
	unsigned n_busy;
	char owners[N_OWNERS];
};

static uint8_t byte(struct world *w)
{
	if (w->size == 0)
		return 0;
	w->size--;
	return *w->data++;
}

static void on_done(struct ob_blk_io *io)
{
	struct fz_io *f = (struct fz_io *)io;
	struct world *w = f->w;
	bool writes = io->op != OB_BLK_READ && io->op != OB_BLK_FLUSH;

	must(f->busy && io->result <= 0);
	f->busy = false;
	w->n_busy--;
	for (uint32_t i = f->first; i < f->first + f->n; i++) {
		must(w->locked[i]);
		w->locked[i] = false;
		if (io->op == OB_BLK_READ && io->result == 0 && w->block[i] != UNKNOWN)
			for (unsigned k = 0; k < BLOCK; k++)
				must(f->buf[(i - f->first) * BLOCK + k] == w->block[i]);
		if (!writes)
			continue;
		if (io->result == 0)
			w->block[i] = f->value;
		else if (io->result != -ECANCELED || io->op != OB_BLK_WRITE || w->parts)
			w->block[i] = UNKNOWN; /* zeroes may be there in part */
	}
}

/* Anything that a broken layer above might say. */
static void make_bad(struct world *w, struct fz_io *f)
{
	struct ob_blk_io *io = &f->io;

	switch (byte(w) % 6) {
	case 0:
		io->op = OB_BLK_N_OPS + byte(w) % 8;
		break;
	case 1:
		io->off += 1;
		break;
	case 2:
		io->len = byte(w) % 2 ? 0 : io->len + 3;
		break;
	case 3:
		io->off = UINT64_MAX - byte(w);
		break;
	case 4:
		io->len = UINT64_MAX - BLOCK + 1;
		break;
	default:
		io->off = BLOCKS * BLOCK;
		break;
	}
	if (io->op == OB_BLK_FLUSH)
		io->op = OB_BLK_READ;
}

static void submit(struct world *w)
{
	uint8_t op = byte(w), where = byte(w), shape = byte(w);
	struct fz_io *f = NULL;
	struct ob_blk_io *io;
	bool bad = op >= 240;
	uint32_t cut;

	for (unsigned i = 0; i < N_IOS && f == NULL; i++)
		if (!w->ios[i].busy)
			f = &w->ios[i];
	if (f == NULL)
		return;
	f->first = where % BLOCKS;
	f->n = 1 + shape % MAX_IO;
	if (f->n > BLOCKS - f->first)
		f->n = BLOCKS - f->first;
	f->w = w;
	io = &f->io;
	*io = (struct ob_blk_io){.op = op % OB_BLK_N_OPS,
	    .flags = op >> 6 & 3,
	    .off = f->first * BLOCK,
	    .len = f->n * BLOCK,
	    .iov = f->iov,
	    .n_iov = 3,
	    .owner = &w->owners[where / BLOCKS % N_OWNERS],
	    .done = on_done};
	cut = shape * 31u % (f->n * BLOCK);
	f->iov[0] = (struct iovec){f->buf, cut};
	f->iov[1] = (struct iovec){f->buf + cut, f->n * BLOCK - cut};
	f->iov[2] = (struct iovec){NULL, 0};
	if (bad || io->op == OB_BLK_FLUSH)
		f->n = 0;
	if (bad)
		make_bad(w, f);
	for (uint32_t i = f->first; i < f->first + f->n; i++)
		if (w->locked[i])
			return;
	for (uint32_t i = f->first; i < f->first + f->n; i++)
		w->locked[i] = true;
	f->value = io->op == OB_BLK_WRITE				       ? shape
		   : io->op == OB_BLK_DISCARD && !w->top->info.zero_on_discard ? UNKNOWN
									       : 0;
	memset(f->buf, io->op == OB_BLK_WRITE ? shape : 0xee, sizeof(f->buf));
	f->busy = true;
	w->n_busy++;
	ob_blk_submit(w->ch, &io, 1);
}

static void resize(struct world *w)
{
	uint32_t n = 1 + byte(w) % BLOCKS;

	if (w->medium->info.bytes > BLOCKS * BLOCK ||
	    ob_blk_resize(w->medium, (uint64_t)n * BLOCK) != 0)
		return;
	must(w->parts || w->top->info.bytes <= (uint64_t)n * BLOCK);
}

static void step(struct world *w)
{
	static const int errors[] = {0, 0, 0, -EIO, -ENOSPC, 0, 0, 0};
	bool must_poll;
	uint8_t b = byte(w);

	switch (b & 7) {
	case 0:
	case 1:
	case 2:
		submit(w);
		break;
	case 3:
		ob_blk_poll(w->ch);
		break;
	case 4:
		media_let_go(1 + (b >> 3) % 8, errors[b >> 5]);
		break;
	case 5:
		ob_blk_cancel(w->ch, b >> 6 == 3 ? NULL : &w->owners[(b >> 3) % N_OWNERS]);
		break;
	case 6:
		(void)ob_blk_arm(w->ch, &must_poll);
		if (b & 8)
			ob_blk_poll(w->ch);
		ob_blk_disarm(w->ch);
		break;
	default:
		clock_ns += (uint64_t)(b >> 3) * 1000000;
		if (b >> 3 == 0)
			resize(w);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	uint8_t which;

	memset(&w, 0, sizeof(w));
	w.data = data;
	w.size = size;
	clock_ns = 1000000000;
	qos_clock_ns = fuzz_clock;
	which = byte(&w);
	w.top = stack(which, byte(&w), &w.medium);
	w.parts = which % N_STACKS >= FIRST_TWO;
	must(ob_blk_ch_open(w.top, &w.ch) == 0);
	be_prompt(w.top, false);
	for (unsigned i = 0; i < BLOCKS; i++)
		w.block[i] = UNKNOWN;
	for (unsigned i = 0; w.size > 0 && i < STEPS; i++)
		step(&w);
	/* Nothing may be lost: it all ends when time goes on and the media answer. */
	for (unsigned i = 0; w.n_busy > 0 && i < 10000; i++) {
		media_let_go(N_IOS, 0);
		clock_ns += 1000000;
		ob_blk_poll(w.ch);
	}
	must(w.n_busy == 0 && ob_blk_pending(w.ch) == 0);
	be_prompt(w.top, true);
	media_let_go(UINT32_MAX, 0);
	ob_blk_ch_close(w.ch);
	ob_blk_put(w.top);
	return 0;
}
