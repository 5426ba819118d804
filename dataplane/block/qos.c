/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits: token buckets shared by all channels, and whose turn it is among those that wait.
 *
 * A bucket is one word: the time until which its allowance is spent (a virtual scheduling clock, 1/256 ns, wraps). A channel takes from
 * it by compare and swap, at high rates more than it needs (a chunk), which it spends alone. A bucket that is not empty lets an I/O of
 * any size pass and goes into debt: long-run rates are exact and no I/O is too big for a burst.
 *
 * What must wait is kept per owner, reads and writes apart, and leaves by deficit round robin. Channels that wait for the same bucket
 * take from it at the pace of their part of all the owners that wait, unless credit is left lying for 2 ms.
 */
#include "ob_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "qos_priv.h"

#define TICK_SHIFT    8
#define PRICE_SHIFT   20
#define SECOND	      (1000000000ull << TICK_SHIFT)
#define MAX_RATE      (1ull << 40)
#define MAX_TIME      (1ull << 60) /* 50 days; farther ahead is a clock that has wrapped */
#define DEFAULT_BURST 20	   /* part of a second */
#define LEAST_BURST   200
#define CHUNK_PART    20000
#define LYING	      (2000000ull << TICK_SHIFT) /* credit that nobody takes in its turn is anybody's */
#define CATCH_UP      (20000000ull << TICK_SHIFT) /* a channel that polls late may make up for so much */
#define QUANTUM	      65536			  /* bytes, of one I/O */
#define N_FLOWS	      64
#define N_REQS	      1024
#define BATCH	      64u
#define NONE	      UINT64_MAX

struct bucket {
	uint64_t spent; /* 0: never used, full */
	uint64_t price; /* of an I/O or byte: time << PRICE_SHIFT; 0: no limit */
	uint64_t burst; /* time */
	uint64_t chunk;
	uint64_t pad[4]; /* a cache line each */
};

struct qos {
	struct ob_blk b;
	struct bucket bucket[OB_BLK_QOS_N];
	uint32_t limited;      /* bit per bucket */
	uint32_t gen;	       /* credit taken under other limits is not spent */
	uint32_t n_waiting[2]; /* owners, of all channels; reads, writes */
	struct ob_blk_qos_conf conf;
	struct qos_ch *chs; /* control */
};

struct req {
	struct ob_blk_io io;
	struct ob_blk_io *up;
	struct qos_ch *c;
	struct req *next;
};

struct flow {
	const void *owner;
	struct blk_list ios;
	int64_t deficit;
	struct flow *next;
	bool used;
};

struct ring {
	struct flow *head, *tail;
	unsigned n;   /* flows in the ring */
	bool visited; /* the head has its quantum of this round */
	struct flow flows[N_FLOWS];
};

struct qos_ch {
	struct ob_blk_ch ch;
	struct qos_ch *next;
	uint64_t left[OB_BLK_QOS_N]; /* taken and not spent */
	uint64_t turn[OB_BLK_QOS_N]; /* when we may take again, if others wait too */
	uint32_t gen;
	uint32_t n_waiting; /* I/Os */
	unsigned next_ring;
	uint64_t since;	 /* of 'waited' */
	uint64_t waited; /* ns that I/Os waited and nobody counted yet */
	bool timer_set;
	uint32_t kicked; /* by control: the timer has expired without our setting it */
	struct ring ring[2];
	struct req *free;
	struct req reqs[N_REQS];
};

/* Which buckets a direction takes from, and which of them count bytes. */
#define READS                                                                                     \
	((1u << OB_BLK_QOS_READ_IOPS) | (1u << OB_BLK_QOS_IOPS) | (1u << OB_BLK_QOS_READ_BYTES) | \
	    (1u << OB_BLK_QOS_BYTES))
#define WRITES                                                     \
	((1u << OB_BLK_QOS_WRITE_IOPS) | (1u << OB_BLK_QOS_IOPS) | \
	    (1u << OB_BLK_QOS_WRITE_BYTES) | (1u << OB_BLK_QOS_BYTES))
#define BYTES \
	((1u << OB_BLK_QOS_READ_BYTES) | (1u << OB_BLK_QOS_WRITE_BYTES) | (1u << OB_BLK_QOS_BYTES))
#define BOTH ((1u << OB_BLK_QOS_IOPS) | (1u << OB_BLK_QOS_BYTES))

static uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t (*qos_clock_ns)(void) = monotonic_ns;

static uint64_t now_ticks(void)
{
	return qos_clock_ns() << TICK_SHIFT;
}

static struct qos_ch *ch_of(struct ob_blk_ch *ch)
{
	return (struct qos_ch *)(void *)ch;
}

static struct qos *dev_of(const struct qos_ch *c)
{
	return (struct qos *)(void *)c->ch.b;
}

static unsigned dir_of(const struct ob_blk_io *io)
{
	return io->op != OB_BLK_READ;
}

/* What is moved: the length of a range says nothing, that of a FLUSH is anything. */
static uint64_t bytes_of(const struct ob_blk_io *io)
{
	return io->op == OB_BLK_READ || io->op == OB_BLK_WRITE ? io->len : 0;
}

static uint64_t amount_of(unsigned k, const struct ob_blk_io *io)
{
	return BYTES & 1u << k ? bytes_of(io) : 1;
}

/* ---- buckets ---- */

static uint64_t cost(const struct bucket *b, uint64_t amount)
{
	__uint128_t t =
	    (__uint128_t)__atomic_load_n(&b->price, __ATOMIC_RELAXED) * amount >> PRICE_SHIFT;

	return t < MAX_TIME ? (uint64_t)t : MAX_TIME;
}

/* The bucket's clock as it counts now: never more than a burst behind. */
static uint64_t clock_of(const struct bucket *b, uint64_t spent, uint64_t now)
{
	uint64_t burst = __atomic_load_n(&b->burst, __ATOMIC_RELAXED);
	int64_t ahead = (int64_t)(spent - now);

	if (spent == 0 || ahead < -(int64_t)burst || ahead > (int64_t)(2 * MAX_TIME))
		return now - burst;
	return spent;
}

/* This channel's owners that wait for bucket 'k', and everybody's. */
static void shares(const struct qos_ch *c, unsigned k, unsigned dir, unsigned *own, unsigned *all)
{
	const struct qos *q = dev_of(c);

	*own = c->ring[dir].n;
	*all = __atomic_load_n(&q->n_waiting[dir], __ATOMIC_RELAXED);
	if (BOTH & 1u << k) {
		*own += c->ring[!dir].n;
		*all += __atomic_load_n(&q->n_waiting[!dir], __ATOMIC_RELAXED);
	}
	if (*all < *own)
		*all = *own;
}

/* When bucket 'k' has something for us; may be in the past. */
static uint64_t due(const struct qos_ch *c, unsigned k, unsigned dir, uint64_t now)
{
	const struct bucket *b = &dev_of(c)->bucket[k];
	uint64_t at = clock_of(b, __atomic_load_n(&b->spent, __ATOMIC_RELAXED), now), lie;
	unsigned own, all;

	if ((int64_t)(at - now) > 0)
		return at;
	shares(c, k, dir, &own, &all);
	if (own == all || own == 0)
		return at;
	lie = at + LYING;
	return (int64_t)(c->turn[k] - lie) < 0 ? c->turn[k] : lie;
}

static bool draw(struct qos_ch *c, unsigned k, unsigned dir, uint64_t amount, uint64_t now)
{
	struct bucket *b = &dev_of(c)->bucket[k];
	uint64_t spent = __atomic_load_n(&b->spent, __ATOMIC_RELAXED), next;
	uint64_t price = cost(b, amount);
	unsigned own, all;

	if ((int64_t)(due(c, k, dir, now) - now) > 0)
		return false;
	do {
		uint64_t from = clock_of(b, spent, now);

		if ((int64_t)(from - now) > 0)
			return false;
		next = from + price;
		next += next == 0;
		/* Nothing else is published by it: the word is all there is. */
	} while (!__atomic_compare_exchange_n(
	    &b->spent, &spent, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	shares(c, k, dir, &own, &all);
	if (own != 0 && own != all) {
		if ((int64_t)(c->turn[k] - (now - CATCH_UP)) < 0)
			c->turn[k] = now - CATCH_UP;
		c->turn[k] += price * all / own;
	} else {
		c->turn[k] = now;
	}
	return true;
}

static bool take(struct qos_ch *c, unsigned k, unsigned dir, uint64_t amount, uint64_t now)
{
	uint64_t chunk;

	if (c->left[k] < amount) {
		chunk = __atomic_load_n(&dev_of(c)->bucket[k].chunk, __ATOMIC_RELAXED);
		if (!draw(c, k, dir, amount - c->left[k] + chunk, now))
			return false;
		c->left[k] = amount + chunk;
	}
	c->left[k] -= amount;
	return true;
}

/* All buckets or none. */
static bool pass(struct qos_ch *c, const struct ob_blk_io *io, uint64_t now)
{
	const struct qos *q = dev_of(c);
	unsigned dir = dir_of(io), took = 0;
	unsigned mask = __atomic_load_n(&q->limited, __ATOMIC_RELAXED) & (dir ? WRITES : READS);
	uint32_t gen = __atomic_load_n(&q->gen, __ATOMIC_RELAXED);

	if (c->gen != gen) {
		memset(c->left, 0, sizeof(c->left));
		for (unsigned k = 0; k < OB_BLK_QOS_N; k++)
			c->turn[k] = now;
		c->gen = gen;
	}
	if (io->op == OB_BLK_FLUSH)
		return true;
	for (unsigned k = 0; k < OB_BLK_QOS_N; k++) {
		if (!(mask & 1u << k))
			continue;
		if (take(c, k, dir, amount_of(k, io), now)) {
			took |= 1u << k;
			continue;
		}
		for (k = 0; k < OB_BLK_QOS_N; k++)
			if (took & 1u << k)
				c->left[k] += amount_of(k, io);
		return false;
	}
	return true;
}

/* ---- those that wait ---- */

/* What an I/O means to the bucket that it burdens most. */
static int64_t burden(const struct qos *q, unsigned dir, uint64_t bytes)
{
	unsigned mask = __atomic_load_n(&q->limited, __ATOMIC_RELAXED) & (dir ? WRITES : READS);
	uint64_t most = 1;

	for (unsigned k = 0; k < OB_BLK_QOS_N; k++)
		if (mask & 1u << k) {
			uint64_t t = cost(&q->bucket[k], BYTES & 1u << k ? bytes : 1);

			most = t > most ? t : most;
		}
	return (int64_t)most;
}

static void ring_add(struct ring *r, struct flow *f)
{
	f->next = NULL;
	if (r->head == NULL)
		r->head = f;
	else
		r->tail->next = f;
	r->tail = f;
}

static struct flow *ring_pop(struct ring *r)
{
	struct flow *f = r->head;

	r->head = f->next;
	r->visited = false;
	return f;
}

static struct flow *flow_of(struct ring *r, const void *owner)
{
	unsigned at = (unsigned)(((uintptr_t)owner * 0x9e3779b97f4a7c15ull) >> 58) % N_FLOWS;
	struct flow *f, *free_one = NULL;

	for (unsigned i = 0; i < N_FLOWS; i++) {
		f = &r->flows[(at + i) % N_FLOWS];
		if (f->used && f->owner == owner)
			return f;
		if (!f->used && free_one == NULL)
			free_one = f;
	}
	/* More owners than flows: some share one. */
	return free_one != NULL ? free_one : &r->flows[at];
}

static void flow_unuse(struct qos_ch *c, unsigned dir, struct flow *f)
{
	f->used = false;
	c->ring[dir].n--;
	__atomic_fetch_sub(&dev_of(c)->n_waiting[dir], 1, __ATOMIC_RELAXED);
}

static void account(struct qos_ch *c, uint64_t now)
{
	c->waited += c->n_waiting * ((now - c->since) >> TICK_SHIFT);
	c->since = now;
}

static void enqueue(struct qos_ch *c, struct ob_blk_io *io, uint64_t now)
{
	unsigned dir = dir_of(io);
	struct ring *r = &c->ring[dir];
	struct flow *f = flow_of(r, io->owner);

	account(c, now);
	c->n_waiting++;
	if (!f->used) {
		*f = (struct flow){.owner = io->owner, .used = true};
		ring_add(r, f);
		r->n++;
		__atomic_fetch_add(&dev_of(c)->n_waiting[dir], 1, __ATOMIC_RELAXED);
	}
	blk_list_add(&f->ios, io);
}

/* Whose turn it is: the head of the ring, after as many rounds as its I/O is worth. */
static struct ob_blk_io *next_io(struct qos_ch *c, unsigned dir)
{
	const struct qos *q = dev_of(c);
	struct ring *r = &c->ring[dir];
	int64_t quantum = burden(q, dir, QUANTUM);

	for (unsigned i = 0; r->head != NULL && i < N_FLOWS * 64; i++) {
		struct flow *f = r->head;

		if (!r->visited) {
			f->deficit += quantum;
			r->visited = true;
		}
		if (r->n == 1 || burden(q, dir, bytes_of(f->ios.head)) <= f->deficit)
			return f->ios.head;
		ring_add(r, ring_pop(r));
	}
	return r->head != NULL ? r->head->ios.head : NULL;
}

static void dequeue(struct qos_ch *c, unsigned dir)
{
	struct ring *r = &c->ring[dir];
	struct flow *f = r->head;
	struct ob_blk_io *io = blk_list_pop(&f->ios);

	f->deficit -= burden(dev_of(c), dir, bytes_of(io));
	if (f->deficit < 0)
		f->deficit = 0;
	c->n_waiting--;
	blk_count_throttled(&c->ch, c->waited);
	c->waited = 0;
	if (f->ios.head == NULL) {
		ring_pop(r);
		flow_unuse(c, dir, f);
	}
}

/* ---- I/O ---- */

struct batch {
	unsigned n;
	struct ob_blk_io *io[BATCH];
};

static void flush(struct qos_ch *c, struct batch *b)
{
	unsigned n = b->n;

	b->n = 0;
	if (n > 0)
		ob_blk_submit(c->ch.child[0], b->io, n);
}

static void req_done(struct ob_blk_io *io)
{
	struct req *r = (struct req *)(void *)io;
	struct qos_ch *c = r->c;
	struct ob_blk_io *up = r->up;

	r->next = c->free;
	c->free = r;
	blk_complete(&c->ch, up, io->result);
}

static bool have_req(struct qos_ch *c, struct batch *b)
{
	if (c->free == NULL)
		flush(c, b); /* a medium that completes at once gives them back */
	return c->free != NULL;
}

static void send(struct qos_ch *c, struct ob_blk_io *up, struct batch *b)
{
	struct req *r = c->free;

	c->free = r->next;
	r->up = up;
	r->io = (struct ob_blk_io){.op = up->op,
	    .flags = up->flags,
	    .n_iov = up->n_iov,
	    .off = up->off,
	    .len = up->len,
	    .iov = up->iov,
	    .done = req_done,
	    .owner = up->owner};
	b->io[b->n++] = &r->io;
	if (b->n == BATCH)
		flush(c, b);
}

static void qos_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n)
{
	struct qos_ch *c = ch_of(ch);
	const struct qos *q = dev_of(c);
	bool limited = __atomic_load_n(&q->limited, __ATOMIC_RELAXED) != 0;
	uint64_t now = limited || c->n_waiting > 0 ? now_ticks() : 0;
	struct batch b = {0};

	for (unsigned i = 0; i < n; i++) {
		struct ob_blk_io *io = ios[i];
		bool behind = c->ring[dir_of(io)].n > 0 && io->op != OB_BLK_FLUSH;

		if (!behind && have_req(c, &b) && (!limited || pass(c, io, now)))
			send(c, io, &b);
		else
			enqueue(c, io, now != 0 ? now : (now = now_ticks()));
	}
	flush(c, &b);
}

/* A FLUSH that found no request waits among the writes; it is never refused by a bucket. */
static bool release_one(struct qos_ch *c, unsigned dir, uint64_t now, struct batch *b)
{
	struct ob_blk_io *io = next_io(c, dir);

	if (io == NULL || !have_req(c, b))
		return false;
	/* have_req may have completed I/Os whose done() submitted or cancelled others. */
	io = next_io(c, dir);
	if (io == NULL || c->free == NULL || !pass(c, io, now))
		return false;
	dequeue(c, dir);
	send(c, io, b);
	return true;
}

static void qos_poll(struct ob_blk_ch *ch)
{
	struct qos_ch *c = ch_of(ch);
	struct batch b = {0};
	uint64_t now;
	unsigned refused = 0;

	if (c->n_waiting == 0)
		return;
	now = now_ticks();
	account(c, now);
	for (unsigned i = 0; i < 2 * BATCH && refused != 3; i++) {
		unsigned dir = c->next_ring;

		c->next_ring = !dir;
		if (!(refused & 1u << dir) && !release_one(c, dir, now, &b))
			refused |= 1u << dir;
	}
	flush(c, &b);
}

/* ---- sleeping ---- */

/* When the first of those that wait may go; NONE: a completion will let it go, or nobody waits. */
static uint64_t wake_at(struct qos_ch *c, uint64_t now)
{
	const struct qos *q = dev_of(c);
	unsigned limited = __atomic_load_n(&q->limited, __ATOMIC_RELAXED);
	uint64_t first = NONE;

	if (c->free == NULL)
		return NONE;
	for (unsigned dir = 0; dir < 2; dir++) {
		uint64_t at = now;

		if (c->ring[dir].n == 0)
			continue;
		for (unsigned k = 0; k < OB_BLK_QOS_N; k++)
			if (limited & (dir ? WRITES : READS) & 1u << k) {
				uint64_t t = due(c, k, dir, now);

				if ((int64_t)(t - at) > 0)
					at = t;
			}
		if (first == NONE || (int64_t)(at - first) < 0)
			first = at;
	}
	return first;
}

static void set_timer(int fd, uint64_t ns)
{
	struct itimerspec t = {
	    .it_value = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)}};

	timerfd_settime(fd, 0, &t, NULL);
}

static bool qos_arm(struct ob_blk_ch *ch, bool *must_poll)
{
	struct qos_ch *c = ch_of(ch);
	uint64_t now, at;
	uint32_t gen;

	(void)must_poll;
	if (c->n_waiting == 0)
		return false;
	gen = __atomic_load_n(&dev_of(c)->gen, __ATOMIC_RELAXED);
	now = now_ticks();
	at = wake_at(c, now);
	if (at == NONE)
		return false;
	if ((int64_t)(at - now) <= 0)
		return true;
	set_timer(ch->wake_fd, ((at - now) >> TICK_SHIFT) + 1);
	c->timer_set = true;
	/* Either we see the new limits, or control sees the timer set: with the fence in ob_blk_qos_set. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&dev_of(c)->gen, __ATOMIC_RELAXED) != gen;
}

static void qos_disarm(struct ob_blk_ch *ch)
{
	struct qos_ch *c = ch_of(ch);

	/* Acquire: with ob_blk_qos_set, which kicks after the timer is set. */
	if (!c->timer_set && __atomic_load_n(&c->kicked, __ATOMIC_ACQUIRE) == 0)
		return;
	__atomic_store_n(&c->kicked, 0, __ATOMIC_RELAXED);
	set_timer(ch->wake_fd, 0); /* also takes back that it expired */
	c->timer_set = false;
}

static void cancel_flow(struct qos_ch *c, struct flow *f, const void *owner, struct blk_list *gone)
{
	struct blk_list all = f->ios;
	struct ob_blk_io *io;

	f->ios = (struct blk_list){0};
	while ((io = blk_list_pop(&all)) != NULL) {
		bool mine = owner == NULL || io->owner == owner;

		blk_list_add(mine ? gone : &f->ios, io);
		c->n_waiting -= mine;
	}
}

static void qos_cancel(struct ob_blk_ch *ch, const void *owner)
{
	struct qos_ch *c = ch_of(ch);
	struct blk_list gone = {0};
	struct ob_blk_io *io;

	if (c->n_waiting == 0)
		return;
	account(c, now_ticks());
	for (unsigned dir = 0; dir < 2; dir++) {
		struct ring *r = &c->ring[dir];

		for (unsigned n = r->n; n > 0; n--) {
			struct flow *f = ring_pop(r);

			cancel_flow(c, f, owner, &gone);
			if (f->ios.head != NULL)
				ring_add(r, f);
			else
				flow_unuse(c, dir, f);
		}
	}
	while ((io = blk_list_pop(&gone)) != NULL) {
		blk_count_throttled(ch, c->waited);
		c->waited = 0;
		blk_complete(ch, io, -ECANCELED);
	}
}

/* ---- control ---- */

static int qos_ch_open(struct ob_blk_ch *ch)
{
	struct qos_ch *c = ch_of(ch);
	struct qos *q = dev_of(c);

	ch->wake_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (ch->wake_fd < 0)
		return -errno;
	for (unsigned i = 0; i < N_REQS; i++) {
		c->reqs[i].c = c;
		c->reqs[i].next = c->free;
		c->free = &c->reqs[i];
	}
	c->gen = q->gen - 1;
	c->next = q->chs;
	q->chs = c;
	return 0;
}

static void qos_ch_close(struct ob_blk_ch *ch)
{
	struct qos_ch *c = ch_of(ch);

	for (struct qos_ch **p = &dev_of(c)->chs; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	close(ch->wake_fd);
}

static void set_info(struct qos *q)
{
	struct ob_blk_info *i = &q->b.info, below;

	ob_blk_info(q->b.child[0], &below);
	i->block_bytes = below.block_bytes;
	i->phys_block_bytes = below.phys_block_bytes;
	i->opt_io_bytes = below.opt_io_bytes;
	i->discard_bytes = below.discard_bytes;
	i->read_only |= below.read_only;
	i->write_zeroes = below.write_zeroes;
	i->volatile_cache = below.volatile_cache;
	i->zero_on_discard = below.zero_on_discard;
}

static void qos_child_changed(struct ob_blk *b)
{
	set_info((struct qos *)(void *)b);
	blk_changed(b, b->child[0]->info.bytes);
}

static int qos_resize(struct ob_blk *b, uint64_t bytes)
{
	return ob_blk_resize(b->child[0], bytes);
}

static const struct blk_ops qos_ops = {
    .kind = "qos",
    .dev_bytes = sizeof(struct qos),
    .ch_bytes = sizeof(struct qos_ch),
    .ch_open = qos_ch_open,
    .ch_close = qos_ch_close,
    .submit = qos_submit,
    .poll = qos_poll,
    .arm = qos_arm,
    .disarm = qos_disarm,
    .cancel = qos_cancel,
    .resize = qos_resize,
    .child_changed = qos_child_changed,
};

static int check(const struct ob_blk_qos_conf *conf, char *err, size_t err_len)
{
	for (unsigned k = 0; k < OB_BLK_QOS_N; k++) {
		if (conf->rate[k] > MAX_RATE || conf->burst[k] > MAX_RATE)
			return blk_err(err, err_len, -EINVAL, "a limit or burst is over 2^40");
		if (conf->burst[k] != 0 && conf->rate[k] == 0)
			return blk_err(err, err_len, -EINVAL, "a burst is given without a rate");
	}
	return 0;
}

static void set_bucket(struct bucket *b, uint64_t rate, uint64_t burst)
{
	uint64_t was = b->price, price = 0, spent, now = now_ticks();

	if (rate != 0) {
		price = (uint64_t)(((__uint128_t)SECOND << PRICE_SHIFT) / rate);
		if (burst == 0)
			burst = rate / DEFAULT_BURST;
		else if (burst < rate / LEAST_BURST)
			burst = rate / LEAST_BURST;
	}
	__atomic_store_n(&b->price, price, __ATOMIC_RELAXED);
	burst = cost(b, burst > 0 ? burst : 1);
	__atomic_store_n(&b->burst, burst, __ATOMIC_RELAXED);
	__atomic_store_n(&b->chunk, rate / CHUNK_PART, __ATOMIC_RELAXED);
	if (was == 0)
		__atomic_store_n(&b->spent, 0, __ATOMIC_RELAXED);
	spent = __atomic_load_n(&b->spent, __ATOMIC_RELAXED);
	/* A debt of the old rate would hold up the new one. */
	if (was != price && spent != 0 && (int64_t)(spent - now) > 0)
		__atomic_store_n(&b->spent, now, __ATOMIC_RELAXED);
}

int ob_blk_qos_set(struct ob_blk *b, const struct ob_blk_qos_conf *conf, char *err, size_t err_len)
{
	struct qos *q = (struct qos *)(void *)b;
	uint32_t limited = 0;
	int rc;

	if (b->ops != &qos_ops)
		return blk_err(err, err_len, -EINVAL, "not a volume with limits");
	rc = check(conf, err, err_len);
	if (rc != 0)
		return rc;
	q->conf = *conf;
	for (unsigned k = 0; k < OB_BLK_QOS_N; k++) {
		set_bucket(&q->bucket[k], conf->rate[k], conf->burst[k]);
		limited |= conf->rate[k] != 0 ? 1u << k : 0;
	}
	__atomic_store_n(&q->limited, limited, __ATOMIC_RELAXED);
	__atomic_store_n(&q->gen, q->gen + 1, __ATOMIC_RELAXED);
	/* With the fence in qos_arm. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (struct qos_ch *c = q->chs; c != NULL; c = c->next) {
		set_timer(c->ch.wake_fd, 1);
		__atomic_store_n(&c->kicked, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

int ob_blk_qos_get(const struct ob_blk *b, struct ob_blk_qos_conf *out)
{
	if (b->ops != &qos_ops)
		return -EINVAL;
	*out = ((const struct qos *)(const void *)b)->conf;
	return 0;
}

int ob_blk_qos_create(const char *name, struct ob_blk *below, const struct ob_blk_qos_conf *conf,
    struct ob_blk **out, char *err, size_t err_len)
{
	struct ob_blk *b;
	int rc = check(conf, err, err_len);

	if (rc != 0)
		return rc;
	rc = blk_new(&qos_ops, name, &below, 1, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "bad name, or no memory");
	set_info((struct qos *)(void *)b);
	b->info.bytes = below->info.bytes;
	rc = ob_blk_qos_set(b, conf, err, err_len);
	assert(rc == 0);
	*out = b;
	return rc;
}
