/* SPDX-License-Identifier: BSD-3-Clause */
/* Control side of a queue: start, stop, quiesce, kick. What a worker holds changes between its rounds only (ob_worker_call). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vblk_int.h"

#define FINISH_NS \
	UINT64_C(1000000000) /* that stops of a function wait for the device before they cancel */
#define FORGET	10	     /* a wait is forgotten after so many times its length */
#define STEP_NS 20000

static struct vblk_scratch *scratches[OB_MAX_WORKERS]; /* control's */

/* ---- a worker's scratch, there while it has a share of a function ---- */

static struct vblk_scratch *scratch_get(struct ob_worker *w)
{
	struct vblk_scratch **s = &scratches[ob_worker_id(w)];

	if (*s == NULL)
		*s = calloc(1, sizeof(**s));
	if (*s != NULL)
		(*s)->n_users++;
	return *s;
}

static void scratch_put(struct ob_worker *w)
{
	struct vblk_scratch **s = &scratches[ob_worker_id(w)];

	if (--(*s)->n_users > 0)
		return;
	free(*s);
	*s = NULL;
}

/* ---- a function's share of a worker ---- */

static struct ob_source shard_source(struct vblk_shard *sh)
{
	return (struct ob_source){
	    .name = sh->vb->conf.name,
	    .poll = vblk_poll,
	    .arm = vblk_arm,
	    .disarm = vblk_disarm,
	    .wake_fd = ob_blk_wake_fd(sh->ch),
	    .arg = sh,
	};
}

static int shard_get(struct ob_vblk *vb, struct ob_worker *w, struct vblk_shard **out)
{
	struct vblk_shard **slot = &vb->shard[ob_worker_id(w)], *sh;
	struct ob_source src;
	int rc;

	if (*slot != NULL) {
		*out = *slot;
		return 0;
	}
	sh = calloc(1, sizeof(*sh));
	if (sh == NULL)
		return -ENOMEM;
	sh->vb = vb;
	sh->worker = w;
	rc = -ENOMEM;
	sh->scratch = scratch_get(w);
	if (sh->scratch == NULL)
		goto err_free;
	rc = ob_blk_ch_open(vb->conf.blk, &sh->ch);
	if (rc != 0)
		goto err_scratch;
	src = shard_source(sh);
	rc = ob_worker_add_source(w, &src);
	if (rc != 0)
		goto err_ch;
	*slot = sh;
	*out = sh;
	return 0;

err_ch:
	ob_blk_ch_close(sh->ch);
err_scratch:
	scratch_put(w);
err_free:
	free(sh);
	return rc;
}

/* Goes with its last queue. */
static void shard_put(struct vblk_shard *sh)
{
	struct ob_source src;

	if (sh->n_queues > 0)
		return;
	src = shard_source(sh);
	ob_worker_del_source(sh->worker, &src);
	ob_blk_ch_close(sh->ch);
	sh->vb->shard[ob_worker_id(sh->worker)] = NULL;
	scratch_put(sh->worker);
	free(sh);
}

/* ---- start ---- */

static void state_start_at(struct ob_virtq_state *st, bool packed, int32_t start_idx, bool resume)
{
	if (start_idx < 0 && resume)
		return;
	ob_virtq_state_init(st);
	if (start_idx < 0)
		return;
	st->avail_idx = st->used_idx = (uint16_t)(packed ? start_idx & 0x7fff : start_idx);
	if (packed)
		st->avail_wrap = st->used_wrap = (uint8_t)(start_idx >> 15 & 1);
}

static void queue_free(struct vblk_queue *q)
{
	ob_virtq_destroy(q->vq);
	free(q->big);
	free(q->slot);
	free(q);
}

/* Slots and the rooms for many segments; of the latter only those that are used ever become memory. */
static int queue_memory(struct vblk_queue *q, unsigned n_queues)
{
	unsigned most = n_queues >= VBLK_MANY_QUEUES ? VBLK_MAX_BIG_OF_MANY : VBLK_MAX_BIG;
	unsigned n_big = RTE_MIN((unsigned)q->size, most);

	q->slot = calloc(q->size, sizeof(*q->slot));
	q->big = calloc(n_big, sizeof(*q->big));
	if (q->slot == NULL || q->big == NULL)
		return -ENOMEM;
	for (unsigned i = q->size; i-- > 0;) {
		q->slot[i].q = q;
		q->slot[i].next = q->free;
		q->free = &q->slot[i];
	}
	q->n_free = q->size;
	for (unsigned i = n_big; i-- > 0;) {
		q->big[i].next = q->free_big;
		q->free_big = &q->big[i];
	}
	list_init(&q->done);
	list_init(&q->again);
	list_init(&q->canceled);
	return 0;
}

static int queue_create(struct ob_vblk *vb, unsigned idx, const struct ob_virtq_conf *conf,
    int irq_fd, struct vblk_queue **out)
{
	struct vblk_queue *q = calloc(1, sizeof(*q));
	struct ob_virtq_conf c = *conf;
	int rc;

	if (q == NULL)
		return -ENOMEM;
	q->q = (uint8_t)idx;
	q->size = conf->size;
	q->packed = conf->packed;
	q->irq_fd = irq_fd;
	q->features = vb->features;
	q->arena = &vb->arena[idx];
	q->counters = &q->arena->counters;
	q->journal = vb->journal + (size_t)idx * vb->conf.queue_size;
	memset(q->journal, 0, vb->conf.queue_size * sizeof(*q->journal));
	q->arena->popping = 0;
	rc = queue_memory(q, vb->conf.n_queues);
	if (rc != 0)
		goto err_free;
	c.gm = vb->conf.gm;
	c.state = &q->arena->state;
	rc = ob_virtq_create(&c, &q->vq);
	if (rc != 0)
		goto err_free;
	*out = q;
	return 0;

err_free:
	queue_free(q);
	return rc;
}

/* On the worker: no notifications while it polls. */
static int queue_enter(struct ob_worker *w, void *arg)
{
	struct vblk_queue *q = arg;

	(void)w;
	q->sh->queue[q->sh->n_queues++] = q;
	if (ob_virtq_begin(q->vq) == 0)
		ob_virtq_disarm(q->vq);
	return 0;
}

int ob_vblk_start_queue(struct ob_vblk *vb, unsigned q, const struct ob_virtq_conf *conf,
    int irq_fd, bool resume, int32_t start_idx)
{
	struct ob_virtq_state *st;
	struct ob_worker *w;
	struct vblk_queue *qp;
	int rc;

	if (q >= vb->conf.n_queues || ob_workers_count() == 0 || start_idx > UINT16_MAX ||
	    conf->size > vb->conf.queue_size)
		return -EINVAL;
	if (vb->queue[q] != NULL)
		return -EALREADY;
	st = &vb->arena[q].state;
	state_start_at(st, conf->packed, start_idx, resume);
	/* Requests that a predecessor took and did not finish are in its journal: nothing does them again yet. */
	if (resume && start_idx < 0 && st->inflight != 0)
		return -ENOTSUP;
	rc = queue_create(vb, q, conf, irq_fd, &qp);
	if (rc != 0)
		return rc;
	w = ob_worker_get((vb->first_worker + q) % ob_workers_count());
	rc = shard_get(vb, w, &qp->sh);
	if (rc != 0) {
		queue_free(qp);
		return rc;
	}
	ob_worker_call(w, queue_enter, qp);
	vb->queue[q] = qp;
	__atomic_store_n(&vb->queue_worker[q], (int32_t)ob_worker_id(w), __ATOMIC_RELEASE);
	/* The driver may have filled the ring before: its kick went to nobody. */
	ob_worker_wake(w);
	return 0;
}

/* ---- letting go: of a queue that stops, or of guest memory that goes away ---- */

struct step {
	struct vblk_shard *sh;
	struct vblk_queue *only; /* NULL: all queues of the share */
	bool cancel, close, finish, resume;
	bool busy; /* out: something is under way still */
};

static bool mine(const struct step *s, const struct vblk_queue *q)
{
	return s->only == NULL || s->only == q;
}

/* On the worker: one look. Nothing new is taken or started from here on. */
static int step_drain(struct ob_worker *w, void *arg)
{
	struct step *s = arg;
	struct vblk_shard *sh = s->sh;

	(void)w;
	for (unsigned i = 0; i < sh->n_queues; i++) {
		if (!mine(s, sh->queue[i]))
			continue;
		sh->queue[i]->paused = true;
		sh->queue[i]->closing |= s->close;
		if (s->cancel && sh->queue[i]->n_out > 0)
			ob_blk_cancel(sh->ch, sh->queue[i]);
	}
	if (ob_blk_pending(sh->ch) > 0)
		ob_blk_poll(sh->ch);
	s->busy = false;
	for (unsigned i = 0; i < sh->n_queues; i++)
		if (mine(s, sh->queue[i]))
			s->busy |= sh->queue[i]->n_out > 0;
	return 0;
}

/* On the worker, after guest memory changed: what was canceled starts again, at its new addresses. */
static int step_resume(struct ob_worker *w, void *arg)
{
	struct step *s = arg;

	(void)w;
	for (unsigned i = 0; i < s->sh->n_queues; i++) {
		struct vblk_queue *q = s->sh->queue[i];

		q->paused = false;
		for (struct vblk_req *r = q->canceled.head, *next; r != NULL; r = next) {
			next = r->next;
			vblk_count(&q->counters->n_requeued, 1);
			list_add(&q->again, r);
		}
		list_init(&q->canceled);
	}
	return 0;
}

/* Waits here and not on the worker, whose other guests go on. */
static void nap(void)
{
	const struct timespec ts = {.tv_nsec = STEP_NS};

	nanosleep(&ts, NULL);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void ob_vblk_quiesce(struct ob_vblk *vb)
{
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
		struct step s = {.sh = vb->shard[i], .cancel = true};

		if (s.sh == NULL)
			continue;
		for (;;) {
			ob_worker_call(s.sh->worker, step_drain, &s);
			if (!s.busy)
				break;
			nap();
		}
		ob_worker_call(s.sh->worker, step_resume, &s);
		ob_worker_wake(s.sh->worker);
	}
	ob_rcu_sync(NULL);
}

/* On the worker: what has more data to move goes on, all that is done is told. */
static int step_finish(struct ob_worker *w, void *arg)
{
	struct step *s = arg;
	struct vblk_queue *q = s->only;
	struct vblk_req *r = q->again.head, *next;

	list_init(&q->again);
	for (; r != NULL; r = next) {
		next = r->next;
		if (q->closing)
			vblk_fail(q, r, VIRTIO_BLK_S_IOERR);
		else
			vblk_start(q, r, ob_gmem_map_get(s->sh->vb->conf.gm));
	}
	vblk_submit(s->sh);
	step_drain(w, s);
	vblk_finish(q);
	s->busy |= q->again.head != NULL;
	return 0;
}

static int queue_leave(struct ob_worker *w, void *arg)
{
	struct vblk_queue *q = arg;
	struct vblk_shard *sh = q->sh;

	(void)w;
	for (unsigned i = 0; i < sh->n_queues; i++) {
		if (sh->queue[i] == q) {
			sh->queue[i] = sh->queue[--sh->n_queues];
			break;
		}
	}
	return 0;
}

/* How long a stop may wait. A guest that stops its queues over and over, with I/Os under way that do not end, must not hold control for a
 * second each time: what its function has waited of late counts. */
static uint64_t may_wait(struct ob_vblk *vb, uint64_t now)
{
	vb->waited_ns -= RTE_MIN(vb->waited_ns, (now - vb->waited_at_ns) / FORGET);
	vb->waited_at_ns = now;
	return FINISH_NS - RTE_MIN(vb->waited_ns, FINISH_NS);
}

int32_t ob_vblk_stop_queue(struct ob_vblk *vb, unsigned q, enum ob_vblk_stop how)
{
	struct vblk_queue *qp = q < OB_VBLK_MAX_QUEUES ? vb->queue[q] : NULL;
	const struct ob_virtq_state *st;
	struct vblk_shard *sh;
	struct step s;
	uint64_t began, until;
	int32_t next;

	if (qp == NULL)
		return -ENOENT;
	sh = qp->sh;
	s = (struct step){.sh = sh, .only = qp};
	__atomic_store_n(&vb->queue_worker[q], -1, __ATOMIC_RELEASE);
	began = now_ns();
	until = began + may_wait(vb, began);
	for (;;) {
		s.cancel = s.close = how == OB_VBLK_STOP_DROP || now_ns() > until;
		ob_worker_call(sh->worker, how == OB_VBLK_STOP_DROP ? step_drain : step_finish, &s);
		if (!s.busy)
			break;
		nap();
	}
	if (how == OB_VBLK_STOP_FINISH)
		vb->waited_ns += now_ns() - began;
	ob_worker_call(sh->worker, queue_leave, qp);
	vb->queue[q] = NULL;
	st = &qp->arena->state;
	next = st->avail_idx;
	if (qp->packed)
		next |= st->avail_wrap << 15;
	__atomic_fetch_and(&vb->broken, ~(UINT64_C(1) << q), __ATOMIC_RELAXED);
	queue_free(qp);
	shard_put(sh);
	return next;
}

bool ob_vblk_queue_running(const struct ob_vblk *vb, unsigned q)
{
	return q < OB_VBLK_MAX_QUEUES && vb->queue[q] != NULL;
}

/* ---- interrupts and kicks ---- */

struct irq_change {
	struct vblk_queue *q;
	int fd;
};

static int change_irq(struct ob_worker *w, void *arg)
{
	const struct irq_change *c = arg;

	(void)w;
	c->q->irq_fd = c->fd;
	return 0;
}

void ob_vblk_set_irq_fd(struct ob_vblk *vb, unsigned q, int irq_fd)
{
	struct irq_change c = {.q = q < OB_VBLK_MAX_QUEUES ? vb->queue[q] : NULL, .fd = irq_fd};

	if (c.q != NULL)
		ob_worker_call(c.q->sh->worker, change_irq, &c);
}

void ob_vblk_kick(struct ob_vblk *vb, unsigned q)
{
	int id = ob_vblk_queue_worker(vb, q);

	if (id < 0)
		return;
	/* The one counter that is not the owner's: kicks come from several threads. */
	__atomic_fetch_add(&vb->arena[q].counters.n_kicks, 1, __ATOMIC_RELAXED);
	ob_worker_wake(ob_worker_get((unsigned)id));
}

int ob_vblk_queue_worker(const struct ob_vblk *vb, unsigned q)
{
	return q < OB_VBLK_MAX_QUEUES ? __atomic_load_n(&vb->queue_worker[q], __ATOMIC_ACQUIRE)
				      : -1;
}

const char *ob_vblk_broken_why(const struct ob_vblk *vb, unsigned q)
{
	return ob_vblk_queue_running(vb, q) ? ob_virtq_broken_why(vb->queue[q]->vq) : "stopped";
}
