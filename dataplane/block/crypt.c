/* SPDX-License-Identifier: BSD-3-Clause */
/* The encrypting layer: device and channels.
 *
 * Both ways go through a bounded pool of buffers that only ever hold ciphertext: a write is encrypted from guest memory into it, a read
 * lands in it and is decrypted from there into guest memory. It costs no pass over the bytes more than working in place, and the guest can
 * neither see ciphertext nor swap it for bytes of its own before it is stored or decrypted: in place, it could store any ciphertext and
 * have any decrypted. What it changes in its own buffer meanwhile only changes its own data.
 */
#include "crypt_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "pool.h"

#define N_REQS 256
#define BATCH  64u

struct req {
	struct ob_blk_io io; /* to the medium */
	struct ob_blk_io *up;
	struct crypt_ch *c;
	struct req *next;
	struct blk_buf buf;
};

struct crypt_ch {
	struct ob_blk_ch ch;
	struct crypt_ch *next; /* of the device's list */
	uint64_t state;	       /* of the device, as of our last look */
	uint64_t seen;	       /* the last one that all our I/Os fit; read by the mover */
	uint32_t active; /* 0: nothing is under way and nobody is in here; read by the mover */
	uint32_t n_use;
	bool unseen;
	uint32_t
	    starving; /* something is still blocked after a segment was moved; read by the mover */
	uint64_t blocked_at; /* the state with which all of 'blocked' was looked at */
	struct crypt_xts *xts[2];
	struct blk_list waiting; /* for a request or buffers */
	struct blk_list blocked; /* by the segment that is being moved */
	struct req *free;
	struct blk_pool pool;
	struct req reqs[N_REQS];
	uint8_t scratch[4096];
};

static struct crypt_ch *ch_of(struct ob_blk_ch *ch)
{
	return (struct crypt_ch *)(void *)ch;
}

static struct crypt *dev_of(const struct crypt_ch *c)
{
	return (struct crypt *)(void *)c->ch.b;
}

/* ---- state: an owner adopts what control and the mover publish ---- */

static bool hits_locked(uint64_t state, const struct ob_blk_io *io)
{
	uint64_t seg = CRYPT_SEG_OF(state);

	if (!(state & CRYPT_LOCKED) || io->op == OB_BLK_FLUSH || io->len == 0)
		return false;
	return io->off >> CRYPT_SEG_SHIFT <= seg &&
	       (io->off + io->len - 1) >> CRYPT_SEG_SHIFT >= seg;
}

static void look(struct crypt_ch *c)
{
	/* Acquire: with crypt_publish; the contexts of a key come before the state that names it. */
	uint64_t s = __atomic_load_n(&dev_of(c)->state, __ATOMIC_ACQUIRE);

	if (s != c->state) {
		c->state = s;
		c->unseen = true;
	}
	if (!c->unseen)
		return;
	for (unsigned i = 0; i < N_REQS; i++)
		if (c->reqs[i].up != NULL && hits_locked(s, &c->reqs[i].io))
			return;
	c->unseen = false;
	/* Release: with crypt_adopted; our use of the medium and of the old key is over. */
	__atomic_store_n(&c->seen, s, __ATOMIC_RELEASE);
}

static void enter(struct crypt_ch *c)
{
	if (c->n_use++ == 0) {
		__atomic_store_n(&c->active, 1, __ATOMIC_RELAXED);
		/* Either we see the new state, or the mover sees us: with the fence in crypt_publish. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	look(c);
}

static void leave(struct crypt_ch *c)
{
	if (--c->n_use == 0)
		/* Release: with crypt_adopted. */
		__atomic_store_n(&c->active, 0, __ATOMIC_RELEASE);
}

void crypt_publish(struct crypt *d, uint64_t state)
{
	__atomic_store_n(&d->state, state, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool crypt_adopted(struct crypt *d, uint64_t state)
{
	bool all = true;

	pthread_mutex_lock(&d->lock);
	for (struct crypt_ch *c = d->chs; c != NULL && all; c = c->next)
		all = __atomic_load_n(&c->active, __ATOMIC_ACQUIRE) == 0 ||
		      __atomic_load_n(&c->seen, __ATOMIC_ACQUIRE) == state;
	pthread_mutex_unlock(&d->lock);
	return all;
}

bool crypt_starving(struct crypt *d)
{
	bool any = false;

	pthread_mutex_lock(&d->lock);
	for (struct crypt_ch *c = d->chs; c != NULL && !any; c = c->next)
		any = __atomic_load_n(&c->starving, __ATOMIC_RELAXED) != 0;
	pthread_mutex_unlock(&d->lock);
	return any;
}

static void put_req(struct crypt_ch *c, struct req *r)
{
	blk_pool_put(&c->pool, &r->buf);
	r->up = NULL;
	r->next = c->free;
	c->free = r;
}

/* ---- the bytes ---- */

struct cursor {
	const struct iovec *iov;
	unsigned n;
	size_t at;
};

/* The next 'len' bytes in one piece, or NULL if they straddle vectors: then '*at' of the whole is used by the caller. */
static uint8_t *straight(struct cursor *cu, size_t len)
{
	uint8_t *p;

	while (cu->n > 0 && cu->at == cu->iov->iov_len) {
		cu->iov++;
		cu->n--;
		cu->at = 0;
	}
	if (cu->n == 0 || cu->iov->iov_len - cu->at < len)
		return NULL;
	p = (uint8_t *)cu->iov->iov_base + cu->at;
	cu->at += len;
	return p;
}

static void skip(struct cursor *cu, size_t len)
{
	while (cu->n > 0 && len > 0) {
		size_t here = cu->iov->iov_len - cu->at;

		if (here > len) {
			cu->at += len;
			return;
		}
		len -= here;
		cu->iov++;
		cu->n--;
		cu->at = 0;
	}
}

static bool encrypt_sector(struct crypt_ch *c, struct cursor *cu, uint64_t off, uint8_t *to)
{
	const struct crypt *d = dev_of(c);
	struct crypt_xts *x = c->xts[crypt_key_of(c->state, off)];
	const uint8_t *from = straight(cu, d->sector_bytes);

	if (from == NULL) {
		if (blk_iov_gather(c->scratch, cu->iov, cu->n, cu->at, d->sector_bytes) !=
		    d->sector_bytes)
			return false;
		skip(cu, d->sector_bytes);
		from = c->scratch;
	}
	return crypt_xts_encrypt(x, crypt_tweak(d, off), from, to, d->sector_bytes);
}

static bool decrypt_sector(struct crypt_ch *c, struct cursor *cu, uint64_t off, const uint8_t *from)
{
	const struct crypt *d = dev_of(c);
	struct crypt_xts *x = c->xts[crypt_key_of(c->state, off)];
	struct cursor was = *cu;
	uint8_t *to = straight(cu, d->sector_bytes), *plain = to != NULL ? to : c->scratch;

	if (d->pass_discard && crypt_is_zero(from, d->sector_bytes))
		memset(plain, 0, d->sector_bytes);
	else if (!crypt_xts_decrypt(x, crypt_tweak(d, off), from, plain, d->sector_bytes))
		return false;
	if (to == NULL) {
		if (blk_iov_scatter(was.iov, was.n, was.at, plain, d->sector_bytes) !=
		    d->sector_bytes)
			return false;
		skip(cu, d->sector_bytes);
	}
	return true;
}

static int convert(struct crypt_ch *c, struct req *r, bool enc)
{
	const uint32_t sector = dev_of(c)->sector_bytes;
	struct cursor cu = {r->up->iov, r->up->n_iov, 0};
	uint64_t off = r->up->off;

	for (unsigned i = 0; i < r->buf.n; i++) {
		uint8_t *p = r->buf.iov[i].iov_base, *end = p + r->buf.iov[i].iov_len;

		for (; p < end; p += sector, off += sector)
			if (!(enc ? encrypt_sector(c, &cu, off, p)
				  : decrypt_sector(c, &cu, off, p)))
				return -EIO;
	}
	return 0;
}

/* ---- I/O ---- */

static void req_done(struct ob_blk_io *io)
{
	struct req *r = (struct req *)(void *)io;
	struct crypt_ch *c = r->c;
	struct ob_blk_io *up = r->up;
	int rc = io->result;

	if (rc == 0 && up->op == OB_BLK_READ)
		rc = convert(c, r, false);
	put_req(c, r);
	blk_complete(&c->ch, up, rc);
	leave(c);
}

/* Returns the request ready for the medium, NULL: no room, or '*failed' (it is completed). */
static struct req *prepare(struct crypt_ch *c, struct ob_blk_io *up, bool *failed)
{
	struct req *r = c->free;
	bool data = up->op == OB_BLK_READ || up->op == OB_BLK_WRITE;

	*failed = false;
	if (r == NULL)
		return NULL;
	r->buf.n = 0;
	if (data && !blk_pool_get(&c->pool, up->len, &r->buf))
		return NULL;
	c->free = r->next;
	r->up = up;
	r->io = (struct ob_blk_io){.op = up->op,
	    .flags = up->flags,
	    .n_iov = r->buf.n,
	    .off = up->off,
	    .len = up->len,
	    .iov = r->buf.iov,
	    .done = req_done,
	    .owner = up->owner};
	c->n_use++;
	if (up->op == OB_BLK_WRITE && convert(c, r, true) != 0) {
		put_req(c, r);
		*failed = true;
		blk_complete_now(&c->ch, up, -EIO);
		leave(c);
		return NULL;
	}
	return r;
}

struct batch {
	unsigned n;
	struct ob_blk_io *io[BATCH];
};

static void flush(struct crypt_ch *c, struct batch *b)
{
	unsigned n = b->n;

	b->n = 0;
	if (n > 0)
		ob_blk_submit(c->ch.child[0], b->io, n);
}

/* False: there is no room for it now. */
static bool start(struct crypt_ch *c, struct ob_blk_io *io, struct batch *b)
{
	struct req *r;
	bool failed;

	if (hits_locked(c->state, io)) {
		if (c->blocked.head == NULL)
			c->blocked_at = c->state;
		blk_list_add(&c->blocked, io);
		return true;
	}
	r = prepare(c, io, &failed);
	if (r == NULL && !failed) {
		/* A medium that completes at once gives everything back here. */
		flush(c, b);
		r = prepare(c, io, &failed);
	}
	if (r == NULL)
		return failed;
	b->io[b->n++] = &r->io;
	if (b->n == BATCH)
		flush(c, b);
	return true;
}

static void crypt_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct crypt_ch *c = ch_of(ch);
	struct batch b = {0};

	enter(c);
	for (unsigned i = 0; i < n; i++)
		/* Behind those that wait already: a small one would pass a big one for ever. */
		if (c->waiting.head != NULL || !start(c, ios[i], &b))
			blk_list_add(&c->waiting, ios[i]);
	flush(c, &b);
	leave(c);
}

static void back(struct blk_list *l, struct ob_blk_io *io)
{
	if (l->head == NULL)
		l->tail = io;
	io->next = l->head;
	l->head = io;
}

static void starve(struct crypt_ch *c, bool does)
{
	/* Nothing else is published by it. */
	if (c->starving != does)
		__atomic_store_n(&c->starving, does, __ATOMIC_RELAXED);
}

/* Another segment is locked, or none: each looks for itself, since a long range may be blocked again and again. */
static void retry_blocked(struct crypt_ch *c, struct batch *b)
{
	struct blk_list all = c->blocked;
	struct ob_blk_io *io;

	c->blocked = (struct blk_list){0};
	while ((io = blk_list_pop(&all)) != NULL)
		if (!start(c, io, b))
			blk_list_add(&c->waiting, io);
	starve(c, c->blocked.head != NULL);
}

static void crypt_poll(struct ob_blk_ch *ch)
{
	struct crypt_ch *c = ch_of(ch);
	struct ob_blk_io *io;
	struct batch b = {0};

	if (c->n_use == 0 && c->waiting.head == NULL && c->blocked.head == NULL)
		return;
	enter(c);
	if (c->blocked.head != NULL && c->state != c->blocked_at)
		retry_blocked(c, &b);
	while ((io = blk_list_pop(&c->waiting)) != NULL)
		if (!start(c, io, &b)) {
			back(&c->waiting, io);
			break;
		}
	flush(c, &b);
	leave(c);
}

static bool crypt_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct crypt_ch *c = ch_of(ch);

	/* The mover wakes nobody: a segment takes some milliseconds. */
	if (c->blocked.head != NULL)
		*must_poll = true;
	/* Nothing is at the medium, so that nothing will wake us: it fits now. */
	return c->waiting.head != NULL && c->n_use == 0;
}

static void cancel_list(struct blk_list *l, const void *owner, struct blk_list *gone)
{
	struct blk_list all = *l;
	struct ob_blk_io *io;

	*l = (struct blk_list){0};
	while ((io = blk_list_pop(&all)) != NULL)
		blk_list_add(owner == NULL || io->owner == owner ? gone : l, io);
}

static void crypt_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct crypt_ch *c = ch_of(ch);
	struct blk_list gone = {0};
	struct ob_blk_io *io;

	cancel_list(&c->blocked, owner, &gone);
	starve(c, c->starving && c->blocked.head != NULL);
	cancel_list(&c->waiting, owner, &gone);
	while ((io = blk_list_pop(&gone)) != NULL)
		blk_complete(ch, io, -ECANCELED);
}

/* ---- channels (control) ---- */

static void crypt_ch_close(struct ob_blk_ch *ch)
{
	struct crypt_ch *c = ch_of(ch), **at;
	struct crypt *d = dev_of(c);

	pthread_mutex_lock(&d->lock);
	for (at = &d->chs; *at != NULL; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	pthread_mutex_unlock(&d->lock);
	crypt_xts_destroy(c->xts[0]);
	crypt_xts_destroy(c->xts[1]);
	blk_pool_close(&c->pool);
	explicit_bzero(c->scratch, sizeof(c->scratch));
}

static int crypt_ch_open(struct ob_blk_ch *ch)
{
	struct crypt_ch *c = ch_of(ch);
	struct crypt *d = dev_of(c);
	int rc;

	rc = blk_pool_open(&c->pool);
	for (unsigned i = 0; i < N_REQS; i++) {
		c->reqs[i].c = c;
		c->reqs[i].next = c->free;
		c->free = &c->reqs[i];
	}
	/* The lock keeps the mover from ending, and from forgetting a key, in between. */
	pthread_mutex_lock(&d->lock);
	for (unsigned k = 0; k < 2 && rc == 0; k++)
		if (d->key[k].len != 0)
			rc = crypt_xts_create(&d->key[k], &c->xts[k]);
	if (rc == 0) {
		c->state = c->seen = __atomic_load_n(&d->state, __ATOMIC_ACQUIRE);
		c->next = d->chs;
		d->chs = c;
	}
	pthread_mutex_unlock(&d->lock);
	if (rc != 0)
		crypt_ch_close(ch);
	return rc;
}

int crypt_add_key(struct crypt *d, unsigned k)
{
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	for (struct crypt_ch *c = d->chs; c != NULL && rc == 0; c = c->next)
		rc = crypt_xts_create(&d->key[k], &c->xts[k]);
	pthread_mutex_unlock(&d->lock);
	if (rc != 0)
		crypt_forget_key(d, k);
	return rc;
}

void crypt_forget_key(struct crypt *d, unsigned k)
{
	pthread_mutex_lock(&d->lock);
	for (struct crypt_ch *c = d->chs; c != NULL; c = c->next) {
		crypt_xts_destroy(c->xts[k]);
		c->xts[k] = NULL;
	}
	explicit_bzero(&d->key[k], sizeof(d->key[k]));
	pthread_mutex_unlock(&d->lock);
}

/* ---- the device (control) ---- */

static void set_info(struct crypt *d)
{
	struct ob_blk_info below, *i = &d->b.info;

	ob_blk_info(d->b.child[0], &below);
	i->block_bytes = d->sector_bytes;
	i->phys_block_bytes =
	    below.phys_block_bytes > d->sector_bytes ? below.phys_block_bytes : d->sector_bytes;
	i->opt_io_bytes = below.opt_io_bytes;
	i->discard_bytes = 0;
	if (d->pass_discard && below.discard_bytes != 0)
		i->discard_bytes =
		    below.discard_bytes > d->sector_bytes ? below.discard_bytes : d->sector_bytes;
	i->read_only |= below.read_only;
	i->write_zeroes = false; /* the core writes zeroes, which are encrypted */
	i->volatile_cache = below.volatile_cache;
	i->zero_on_discard = d->pass_discard && below.zero_on_discard;
}

static uint64_t usable_bytes(const struct crypt *d)
{
	struct ob_blk_info below;

	ob_blk_info(d->b.child[0], &below);
	return below.bytes / d->sector_bytes * d->sector_bytes;
}

void crypt_follow_size(struct crypt *d)
{
	uint64_t bytes = usable_bytes(d);

	if (bytes > d->b.info.bytes &&
	    (__atomic_load_n(&d->state, __ATOMIC_ACQUIRE) & CRYPT_MOVING))
		return;
	if (bytes != d->b.info.bytes)
		blk_changed(&d->b, bytes);
}

static void crypt_child_changed(struct ob_blk *b)
{
	struct crypt *d = (struct crypt *)(void *)b;

	set_info(d);
	crypt_follow_size(d);
}

static int crypt_resize(struct ob_blk *b, uint64_t bytes)
{
	struct crypt *d = (struct crypt *)(void *)b;
	int rc;

	if (__atomic_load_n(&d->state, __ATOMIC_ACQUIRE) & CRYPT_MOVING)
		return -EBUSY;
	rc = ob_blk_resize(b->child[0], bytes);
	/* The medium may have had that size for long. */
	if (rc == 0)
		crypt_follow_size(d);
	return rc;
}

static void crypt_destroy(struct ob_blk *b)
{
	struct crypt *d = (struct crypt *)(void *)b;

	crypt_rekey_stop(d);
	explicit_bzero(d->key, sizeof(d->key));
	pthread_mutex_destroy(&d->lock);
}

static const struct blk_ops crypt_ops = {
    .kind = "crypt",
    .dev_bytes = sizeof(struct crypt),
    .ch_bytes = sizeof(struct crypt_ch),
    .destroy = crypt_destroy,
    .ch_open = crypt_ch_open,
    .ch_close = crypt_ch_close,
    .submit = crypt_submit,
    .poll = crypt_poll,
    .arm = crypt_arm,
    .cancel = crypt_cancel,
    .resize = crypt_resize,
    .child_changed = crypt_child_changed,
};

struct crypt *crypt_of(struct ob_blk *b)
{
	return b != NULL && b->ops == &crypt_ops ? (struct crypt *)(void *)b : NULL;
}

int ob_blk_crypt_create(const char *name, struct ob_blk *below,
    const struct ob_blk_crypt_conf *conf, struct ob_blk **out, char *err, size_t err_len)
{
	struct ob_blk_info info;
	struct crypt_wrapped key;
	struct ob_blk *b;
	struct crypt *d;
	uint32_t sector;
	int rc;

	ob_blk_info(below, &info);
	sector = conf->sector_bytes != 0 ? conf->sector_bytes : info.block_bytes;
	if ((sector != 512 && sector != 4096) || sector < info.block_bytes)
		return blk_err(err, err_len, -EINVAL,
		    "sectors are of 512 or 4096 bytes and not below the medium's block of %u",
		    info.block_bytes);
	rc = crypt_wrap(conf->key, conf->key_len, &key);
	if (rc == -EINVAL)
		return blk_err(err, err_len, rc,
		    "a key is of 32 or 64 bytes whose two halves differ (AES-128-XTS, "
		    "AES-256-XTS)");
	if (rc != 0)
		return blk_err(err, err_len, rc, "no randomness or memory to wrap the key");
	rc = blk_new(&crypt_ops, name, &below, 1, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "bad name, or no memory");
	d = (struct crypt *)(void *)b;
	pthread_mutex_init(&d->lock, NULL);
	d->key[0] = key;
	d->sector_bytes = sector;
	d->tweak_shift = sector == 4096 && conf->iv_large_sectors ? 12 : 9;
	d->iv_offset = conf->iv_offset;
	d->pass_discard = conf->pass_discard;
	set_info(d);
	b->info.bytes = usable_bytes(d);
	*out = b;
	return 0;
}
