/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O of a file: one io_uring a channel.
 *
 * An I/O takes a slot, goes to the ring as one request, and again for what a short transfer left. Under O_DIRECT an I/O whose
 * vectors are not aligned (guests choose them) goes through a bounce buffer, piece by piece; so does what a short transfer
 * left, whose vectors are cut anywhere. What finds no slot or no buffer waits in order.
 *
 * Flushes, discards and zeroes run on kernel threads, of which a worker has few for all its devices: of ranges a channel has
 * some at the medium, of flushes one, and those that came meanwhile share the next.
 */
#include "ob_block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <liburing.h>

#include "file_priv.h"

#define N_SLOTS	     512
#define N_BOUNCE     32
#define BOUNCE_BYTES (128u << 10)
#define MAX_RANGES   4
#define REAP_MAX     64
#define REAP_ROUNDS  8
#define NONE	     UINT16_MAX
/* BLOCK_URING_CMD_DISCARD of <linux/blkdev.h>, which Debian 12 does not have: from Linux 6.12. */
#define CMD_DISCARD _IO(0x12, 0)
/* Fruitless tries of one piece (EAGAIN, EINTR, nothing moved), before it is an error. */
#define TRIES_MAX 100000

struct slot {
	struct ob_blk_io *io;
	uint64_t at;	 /* bytes that are done */
	uint32_t len;	 /* of the request under way */
	uint16_t bounce; /* buffer, NONE */
	uint16_t next;	 /* free, or waiting for a buffer */
	uint32_t n_tries;
	bool bounced; /* goes through a buffer */
	bool cmd;     /* DISCARD of a block device: by the command of its own */
	bool punch;   /* DISCARD, WRITE_ZEROES: by a hole, else by a range of zeroes */
	bool other;   /* the medium does not do the way that was asked for */
	bool sync;    /* WRITE_ZEROES with FUA: the zeroes are there, now the sync */
};

struct file_ch {
	struct ob_blk_ch ch;
	struct io_uring ring;
	bool enabled; /* by the owner: the ring binds to the thread that enables it */
	bool in_poll; /* requests that done() adds go to the kernel together */
	uint16_t free_slot, free_bounce;
	uint16_t n_flight;
	uint16_t buf_head, buf_tail; /* slots that wait for a buffer */
	struct blk_list waiting;     /* for a slot */
	struct blk_list flushing;    /* share the flush at the medium */
	struct blk_list next_flush;
	struct blk_list ranges; /* wait until fewer than MAX_RANGES are at the medium */
	uint16_t n_ranges;
	uint8_t *bounce; /* N_BOUNCE of BOUNCE_BYTES; pages come with first use */
	uint16_t bounce_next[N_BOUNCE];
	struct slot slots[N_SLOTS];
};

/* ---- the ring ---- */

static int ring_init(struct io_uring *ring, unsigned n)
{
	/* The kernel does a completion's work only when the owner asks for completions: no interrupt of the poll loop. */
	static const unsigned flags[] = {
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
	int rc = -EINVAL;

	for (unsigned i = 0; rc == -EINVAL && i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct io_uring_params p = {
		    .flags = flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP};

		rc = io_uring_queue_init_params(n, ring, &p);
	}
	return rc;
}

int file_ring_probe(void)
{
	struct io_uring ring;
	int rc = ring_init(&ring, 4);

	if (rc == 0)
		io_uring_queue_exit(&ring);
	return rc;
}

static int file_ch_open(struct ob_blk_ch *ch)
{
	struct file_ch *c = (struct file_ch *)ch;
	const struct file *f = (const struct file *)ch->b;
	int rc;

	for (uint16_t i = 0; i < N_SLOTS; i++)
		c->slots[i].next = i + 1 < N_SLOTS ? (uint16_t)(i + 1) : NONE;
	for (uint16_t i = 0; i < N_BOUNCE; i++)
		c->bounce_next[i] = i + 1 < N_BOUNCE ? (uint16_t)(i + 1) : NONE;
	c->buf_head = NONE;
	c->bounce = mmap(NULL, (size_t)N_BOUNCE * BOUNCE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->bounce == MAP_FAILED)
		return -ENOMEM;
	rc = ring_init(&c->ring, N_SLOTS);
	if (rc != 0)
		goto err_bounce;
	rc = io_uring_register_files(&c->ring, &f->fd, 1);
	if (rc != 0)
		goto err_ring;
	ch->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ch->wake_fd < 0) {
		rc = -errno;
		goto err_ring;
	}
	rc = io_uring_register_eventfd(&c->ring, ch->wake_fd);
	if (rc == 0)
		rc = io_uring_cq_eventfd_toggle(&c->ring, false);
	if (rc == 0)
		return 0;
	close(ch->wake_fd);
err_ring:
	io_uring_queue_exit(&c->ring);
err_bounce:
	munmap(c->bounce, (size_t)N_BOUNCE * BOUNCE_BYTES);
	return rc;
}

static void file_ch_close(struct ob_blk_ch *ch)
{
	struct file_ch *c = (struct file_ch *)ch;

	io_uring_queue_exit(&c->ring);
	close(ch->wake_fd);
	munmap(c->bounce, (size_t)N_BOUNCE * BOUNCE_BYTES);
}

/* Requests that the kernel does not take now (no memory) stay in the ring, and go with the next poll. */
static void enter(struct file_ch *c)
{
	if (io_uring_sq_ready(&c->ring) > 0)
		(void)io_uring_submit_and_get_events(&c->ring);
}

static void enable(struct file_ch *c)
{
	long rc;

	if (c->enabled)
		return;
	/* liburing 2.3 declares a function for it that the library does not have. */
	rc = syscall(SYS_io_uring_register, c->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	assert(rc == 0);
	(void)rc;
	c->enabled = true;
}

/* ---- one I/O ---- */

static bool aligned(const struct file *f, const struct ob_blk_io *io)
{
	uintptr_t addr = 0, len = 0;

	if (!f->direct)
		return true;
	for (unsigned i = 0; i < io->n_iov; i++) {
		addr |= (uintptr_t)io->iov[i].iov_base;
		len |= io->iov[i].iov_len;
	}
	return (addr & (f->mem_align - 1)) == 0 && (len & (f->len_align - 1)) == 0;
}

static void prep_range(const struct slot *s, struct io_uring_sqe *sqe)
{
	if (s->cmd) {
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, NULL, 0, 0);
		sqe->cmd_op = CMD_DISCARD;
		sqe->addr = s->io->off;
		sqe->addr3 = s->io->len;
		return;
	}
	io_uring_prep_fallocate(sqe, 0,
	    (s->punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE,
	    (off_t)s->io->off, (off_t)s->io->len);
}

static void prep_data(struct file_ch *c, const struct slot *s, struct io_uring_sqe *sqe)
{
	const struct ob_blk_io *io = s->io;
	uint8_t *buf = s->bounce != NONE ? c->bounce + (size_t)s->bounce * BOUNCE_BYTES : NULL;
	uint64_t off = io->off + s->at;

	if (buf != NULL && io->op == OB_BLK_READ)
		io_uring_prep_read(sqe, 0, buf, s->len, off);
	else if (buf != NULL)
		io_uring_prep_write(sqe, 0, buf, s->len, off);
	else if (io->op == OB_BLK_READ && io->n_iov == 1)
		io_uring_prep_read(sqe, 0, io->iov[0].iov_base, s->len, off);
	else if (io->op == OB_BLK_READ)
		io_uring_prep_readv(sqe, 0, io->iov, io->n_iov, off);
	else if (io->n_iov == 1)
		io_uring_prep_write(sqe, 0, io->iov[0].iov_base, s->len, off);
	else
		io_uring_prep_writev(sqe, 0, io->iov, io->n_iov, off);
	if (io->op == OB_BLK_WRITE && (io->flags & OB_BLK_FUA))
		sqe->rw_flags = RWF_DSYNC;
}

/* Puts the slot's next request into the ring. There is room: no more requests than slots are under way. */
static void go(struct file_ch *c, struct slot *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring);

	assert(sqe != NULL);
	switch (s->io->op) {
	case OB_BLK_READ:
	case OB_BLK_WRITE:
		prep_data(c, s, sqe);
		break;
	case OB_BLK_DISCARD:
	case OB_BLK_WRITE_ZEROES:
		if (!s->sync) {
			prep_range(s, sqe);
			break;
		}
		/* fall through */
	default:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, (uint64_t)(s - c->slots));
	c->n_flight++;
}

/* The next piece of a READ or WRITE. */
static void next_piece(struct file_ch *c, struct slot *s)
{
	const struct ob_blk_io *io = s->io;
	uint64_t left = io->len - s->at;

	s->len = (uint32_t)left;
	if (s->bounced) {
		if (s->bounce == NONE) {
			s->bounce = c->free_bounce;
			if (s->bounce == NONE) {
				uint16_t me = (uint16_t)(s - c->slots);

				s->next = NONE;
				if (c->buf_head == NONE)
					c->buf_head = me;
				else
					c->slots[c->buf_tail].next = me;
				c->buf_tail = me;
				return;
			}
			c->free_bounce = c->bounce_next[s->bounce];
		}
		if (left > BOUNCE_BYTES)
			s->len = BOUNCE_BYTES;
		if (io->op == OB_BLK_WRITE)
			blk_iov_gather(c->bounce + (size_t)s->bounce * BOUNCE_BYTES, io->iov,
			    io->n_iov, s->at, s->len);
	}
	go(c, s);
}

/* What the medium refused once is not asked again. */
static bool cannot(const struct file *f, bool punch)
{
	return __atomic_load_n(punch ? &f->no_punch : &f->no_zero_range, __ATOMIC_RELAXED);
}

/* There is a free slot. */
static void start(struct file_ch *c, struct ob_blk_io *io)
{
	const struct file *f = (const struct file *)c->ch.b;
	struct slot *s = &c->slots[c->free_slot];

	c->free_slot = s->next;
	*s = (struct slot){.io = io, .bounce = NONE};
	if (io->op == OB_BLK_FLUSH) {
		go(c, s);
		return;
	}
	if (io->op > OB_BLK_FLUSH) {
		c->n_ranges++;
		s->cmd = io->op == OB_BLK_DISCARD && f->bdev &&
			 !__atomic_load_n(&f->no_cmd, __ATOMIC_RELAXED);
		s->punch = io->op == OB_BLK_DISCARD || (io->flags & OB_BLK_MAY_UNMAP);
		if (io->op == OB_BLK_WRITE_ZEROES && cannot(f, s->punch)) {
			s->punch = !s->punch;
			s->other = true;
		}
		go(c, s);
		return;
	}
	s->bounced = !aligned(f, io);
	next_piece(c, s);
}

/* Where an I/O goes that comes in: to the medium, or where it waits. */
static void admit(struct file_ch *c, struct ob_blk_io *io)
{
	if (io->op == OB_BLK_FLUSH && c->flushing.head != NULL) {
		blk_list_add(&c->next_flush, io);
	} else if (io->op > OB_BLK_FLUSH && c->n_ranges == MAX_RANGES) {
		blk_list_add(&c->ranges, io);
	} else if (c->free_slot == NONE) {
		blk_list_add(&c->waiting, io);
	} else {
		if (io->op == OB_BLK_FLUSH)
			blk_list_add(&c->flushing, io);
		start(c, io);
	}
}

/* Gives the buffer back: to the one that waits longest. */
static void put_bounce(struct file_ch *c, struct slot *s)
{
	if (s->bounce == NONE)
		return;
	c->bounce_next[s->bounce] = c->free_bounce;
	c->free_bounce = s->bounce;
	s->bounce = NONE;
	if (c->buf_head != NONE) {
		struct slot *w = &c->slots[c->buf_head];

		c->buf_head = w->next;
		next_piece(c, w);
	}
}

/* The medium's errors, in the words of ob_block.h. */
static int map_error(int rc)
{
	switch (rc) {
	case 0:
	case -ENOSPC:
	case -EROFS:
	case -EILSEQ:
	case -EOPNOTSUPP:
	case -ENODEV:
		return rc;
	case -ENXIO:
		return -ENODEV;
	case -EDQUOT:
	case -EFBIG:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

/* A slot is free: who is next? */
static void refill(struct file_ch *c)
{
	struct ob_blk_io *io;

	if (c->flushing.head == NULL && c->next_flush.head != NULL && c->free_slot != NONE) {
		c->flushing = c->next_flush;
		c->next_flush.head = NULL;
		start(c, c->flushing.head);
	}
	while (c->n_ranges < MAX_RANGES && c->free_slot != NONE &&
	       (io = blk_list_pop(&c->ranges)) != NULL)
		start(c, io);
	while (c->free_slot != NONE && (io = blk_list_pop(&c->waiting)) != NULL)
		admit(c, io);
}

/* What a sync, or a write with one, that ended with 'rc' may say. */
static int sync_result(struct file *f, const struct slot *s, int rc)
{
	bool flush = s->io->op == OB_BLK_FLUSH;
	bool data = s->io->op == OB_BLK_WRITE && (s->io->flags & OB_BLK_FUA);

	if (f->direct || !(flush || data || s->sync))
		return rc;
	if (rc == 0)
		return __atomic_load_n(&f->lost, __ATOMIC_RELAXED) ? -EIO : 0;
	/* A write that the medium refuses at once has put nothing into the page cache. */
	if (rc != -ECANCELED && !(data && (rc == -EINVAL || map_error(rc) == -ENOSPC)))
		__atomic_store_n(&f->lost, true, __ATOMIC_RELAXED);
	return rc;
}

static void finish(struct file_ch *c, struct slot *s, int rc)
{
	struct blk_list ended = {s->io, s->io};
	struct ob_blk_io *io;

	rc = sync_result((struct file *)c->ch.b, s, rc);
	put_bounce(c, s);
	s->next = c->free_slot;
	c->free_slot = (uint16_t)(s - c->slots);
	if (s->io->op == OB_BLK_FLUSH) {
		ended = c->flushing;
		c->flushing.head = NULL;
	} else {
		if (s->io->op > OB_BLK_FLUSH)
			c->n_ranges--;
		s->io->next = NULL;
	}
	refill(c);
	while ((io = blk_list_pop(&ended)) != NULL)
		blk_complete(&c->ch, io, map_error(rc));
}

/* Returns whether another try makes sense; each piece has a bounded number. */
static bool again(struct slot *s)
{
	return ++s->n_tries < TRIES_MAX;
}

static void range_ended(struct file_ch *c, struct slot *s, int rc)
{
	struct file *f = (struct file *)c->ch.b;
	const struct ob_blk_io *io = s->io;

	if ((rc == -EAGAIN || rc == -EINTR) && again(s)) {
		go(c, s);
	} else if (rc == 0 && !s->sync && io->op == OB_BLK_WRITE_ZEROES &&
		   (io->flags & OB_BLK_FUA)) {
		s->sync = true;
		go(c, s);
	} else if ((rc == -EOPNOTSUPP || rc == -EINVAL) && s->cmd) {
		/* Older kernels: a hole is a discard that leaves zeroes, which fewer devices do. */
		__atomic_store_n(&f->no_cmd, true, __ATOMIC_RELAXED);
		s->cmd = false;
		go(c, s);
	} else if (rc == -EOPNOTSUPP && !s->other && io->op == OB_BLK_WRITE_ZEROES) {
		/* The other way leaves zeroes too. */
		__atomic_store_n(
		    s->punch ? &f->no_punch : &f->no_zero_range, true, __ATOMIC_RELAXED);
		s->punch = !s->punch;
		s->other = true;
		go(c, s);
	} else {
		/* A hint that the medium does not take did no harm. */
		finish(c, s, io->op == OB_BLK_DISCARD && rc == -EOPNOTSUPP ? 0 : rc);
	}
}

static void data_ended(struct file_ch *c, struct slot *s, int rc)
{
	const struct file *f = (const struct file *)c->ch.b;
	struct ob_blk_io *io = s->io;
	uint32_t n = rc > 0 ? (uint32_t)rc : 0;

	if (rc < 0) {
		bool bounce = rc == -EINVAL && f->direct && !s->bounced;

		if (!bounce && rc != -EAGAIN && rc != -EINTR) {
			finish(c, s, rc);
			return;
		}
		/* EINVAL: the medium wants more alignment than it told. */
		s->bounced |= bounce;
	} else if (n < s->len) {
		/* Short: the rest does not begin at a vector. */
		s->bounced = true;
		if (f->direct)
			n -= n % f->len_align;
	}
	if (n == 0) {
		/* Nothing, or less than a block: the file ends here, somebody cut it off. */
		if (rc >= 0 || !again(s)) {
			finish(c, s, -EIO);
			return;
		}
	} else {
		s->n_tries = 0;
		if (s->bounce != NONE && io->op == OB_BLK_READ)
			blk_iov_scatter(io->iov, io->n_iov, s->at,
			    c->bounce + (size_t)s->bounce * BOUNCE_BYTES, n);
		s->at += n;
	}
	if (s->at == io->len)
		finish(c, s, 0);
	else
		next_piece(c, s);
}

static void ended(struct file_ch *c, struct slot *s, int rc)
{
	c->n_flight--;
	switch (s->io->op) {
	case OB_BLK_READ:
	case OB_BLK_WRITE:
		data_ended(c, s, rc);
		break;
	case OB_BLK_DISCARD:
	case OB_BLK_WRITE_ZEROES:
		range_ended(c, s, rc);
		break;
	default:
		if ((rc == -EAGAIN || rc == -EINTR) && again(s))
			go(c, s);
		else
			finish(c, s, rc);
		break;
	}
}

/* ---- the channel ---- */

static void file_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct file_ch *c = (struct file_ch *)ch;

	enable(c);
	for (unsigned i = 0; i < n; i++)
		admit(c, ios[i]);
	if (!c->in_poll)
		enter(c);
}

static void file_poll(struct ob_blk_ch *ch)
{
	struct file_ch *c = (struct file_ch *)ch;
	struct io_uring_cqe *cqes[REAP_MAX];
	struct {
		uint32_t slot;
		int res;
	} got[REAP_MAX];
	unsigned n = REAP_MAX;

	if (c->n_flight == 0)
		return;
	c->in_poll = true;
	for (unsigned k = 0; n == REAP_MAX && k < REAP_ROUNDS; k++) {
		n = io_uring_peek_batch_cqe(&c->ring, cqes, REAP_MAX);
		for (unsigned i = 0; i < n; i++) {
			got[i].slot = (uint32_t)cqes[i]->user_data;
			got[i].res = cqes[i]->res;
		}
		io_uring_cq_advance(&c->ring, n);
		for (unsigned i = 0; i < n; i++)
			ended(c, &c->slots[got[i].slot], got[i].res);
	}
	c->in_poll = false;
	enter(c);
}

/* Whether the kernel has something for us, or we for it. */
static bool due(const struct file_ch *c)
{
	return io_uring_sq_ready(&c->ring) > 0 || io_uring_cq_ready(&c->ring) > 0 ||
	       (__atomic_load_n(c->ring.sq.kflags, __ATOMIC_RELAXED) &
		   (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static bool file_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct file_ch *c = (struct file_ch *)ch;

	*must_poll = false;
	if (c->n_flight == 0)
		return false;
	(void)io_uring_cq_eventfd_toggle(&c->ring, true);
	/* Pairs with the kernel's, which posts and then looks whether we want the eventfd. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return due(c);
}

static void file_disarm(struct ob_blk_ch *ch)
{
	struct file_ch *c = (struct file_ch *)ch;
	uint64_t n;

	(void)io_uring_cq_eventfd_toggle(&c->ring, false);
	while (read(ch->wake_fd, &n, sizeof(n)) > 0)
		;
}

static void take_out(struct blk_list *l, const void *owner, struct blk_list *gone)
{
	struct blk_list all = *l;
	struct ob_blk_io *io;

	l->head = NULL;
	while ((io = blk_list_pop(&all)) != NULL)
		blk_list_add(owner == NULL || io->owner == owner ? gone : l, io);
}

static void file_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct file_ch *c = (struct file_ch *)ch;
	struct blk_list gone = {0};
	uint16_t i = c->buf_head, next;
	struct ob_blk_io *io;

	take_out(&c->waiting, owner, &gone);
	take_out(&c->next_flush, owner, &gone);
	take_out(&c->ranges, owner, &gone);
	/* Of those that wait for a buffer: who has done nothing yet. */
	c->buf_head = NONE;
	for (; i != NONE; i = next) {
		struct slot *s = &c->slots[i];

		next = s->next;
		if (s->at == 0 && s->n_tries == 0 && (owner == NULL || s->io->owner == owner)) {
			blk_list_add(&gone, s->io);
			s->next = c->free_slot;
			c->free_slot = i;
			continue;
		}
		s->next = NONE;
		if (c->buf_head == NONE)
			c->buf_head = i;
		else
			c->slots[c->buf_tail].next = i;
		c->buf_tail = i;
	}
	refill(c);
	if (!c->in_poll)
		enter(c);
	while ((io = blk_list_pop(&gone)) != NULL)
		blk_complete(ch, io, -ECANCELED);
}

const struct blk_ops file_ops = {
    .kind = "file",
    .dev_bytes = sizeof(struct file),
    .ch_bytes = sizeof(struct file_ch),
    .destroy = file_destroy,
    .ch_open = file_ch_open,
    .ch_close = file_ch_close,
    .submit = file_submit,
    .poll = file_poll,
    .arm = file_arm,
    .disarm = file_disarm,
    .cancel = file_cancel,
    .resize = file_resize,
};
