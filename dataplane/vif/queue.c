/* SPDX-License-Identifier: BSD-3-Clause */
/* Control side of a queue: start, stop, kick. What a worker holds changes between its rounds only (ob_worker_call). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vif_int.h"

static struct vif_worker *vif_workers[OB_MAX_WORKERS]; /* control's */

/* ---- a worker's scratch, there while it has a queue ---- */

int vif_worker_get(struct ob_worker *w, struct vif_worker **out)
{
	struct vif_worker **slot = &vif_workers[ob_worker_id(w)];
	int rc;

	if (*slot == NULL) {
		*slot = calloc(1, sizeof(**slot));
		if (*slot == NULL)
			return -ENOMEM;
		rc = ob_worker_add_flush(w, &(struct ob_flush){.flush = vif_flush, .arg = *slot});
		if (rc < 0) {
			free(*slot);
			*slot = NULL;
			return rc;
		}
	}
	(*slot)->n_queues++;
	*out = *slot;
	return 0;
}

void vif_worker_put(struct ob_worker *w)
{
	struct vif_worker **slot = &vif_workers[ob_worker_id(w)];

	if (--(*slot)->n_queues > 0)
		return;
	ob_worker_del_flush(w, &(struct ob_flush){.flush = vif_flush, .arg = *slot});
	free(*slot);
	*slot = NULL;
}

/* ---- start ---- */

static uint8_t queue_flags(uint64_t f, bool receive)
{
	static const struct {
		uint8_t rx_bit, tx_bit, flag;
	} map[] = {
	    {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM, VIF_Q_CSUM},
	    {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4, VIF_Q_TSO4},
	    {VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6, VIF_Q_TSO6},
	    {VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN, VIF_Q_ECN},
	    {VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MRG_RXBUF, VIF_Q_MERGE},
	    {VIRTIO_NET_F_HASH_REPORT, VIRTIO_NET_F_HASH_REPORT, VIF_Q_HASH},
	};
	uint8_t flags = 0;

	for (unsigned i = 0; i < RTE_DIM(map); i++)
		if (f >> (receive ? map[i].rx_bit : map[i].tx_bit) & 1)
			flags |= map[i].flag;
	/* Segmentation needs the checksum (5.1.3.1): a driver that takes one without the other gets neither. */
	if (!(flags & VIF_Q_CSUM))
		flags &= (uint8_t) ~(VIF_Q_TSO4 | VIF_Q_TSO6 | VIF_Q_ECN);
	return flags;
}

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

static int queue_create(struct ob_vif *vif, unsigned q, const struct ob_virtq_conf *conf,
    int irq_fd, struct vif_queue **out)
{
	bool receive = q % 2 == 0;
	struct ob_virtq_conf c = *conf;
	struct vif_queue *qp;
	int rc;

	qp = calloc(1, sizeof(*qp));
	if (qp == NULL)
		return -ENOMEM;
	rc = -ENOMEM;
	if (receive) {
		qp->edge = malloc(sizeof(*qp->edge));
		if (qp->edge == NULL)
			goto err_free;
		qp->edge->n = 0;
	}
	c.gm = vif->conf.gm;
	c.state = &vif->arena->state[q];
	rc = ob_virtq_create(&c, &qp->vq);
	if (rc < 0)
		goto err_free;
	qp->vif = vif;
	qp->vif_idx = vif->idx;
	qp->vif_gen = vif->gen;
	qp->worker = ob_worker_get((vif->idx + q / 2) % ob_workers_count());
	qp->counters = &vif->arena->counters[q];
	qp->irq_fd = irq_fd;
	qp->q = (uint8_t)q;
	qp->packed = conf->packed;
	qp->pair = (uint8_t)(q / 2);
	qp->flags = queue_flags(vif->features, receive);
	qp->hdr_len = (qp->flags & VIF_Q_HASH) ? sizeof(struct virtio_net_hdr_v1_hash)
					       : sizeof(struct virtio_net_hdr_v1);
	*out = qp;
	return 0;

err_free:
	free(qp->edge);
	free(qp);
	return rc;
}

static void queue_free(void *p)
{
	struct vif_queue *q = p;

	free(q->edge);
	free(q);
}

/* On the worker: no notifications while it polls; of a receive queue never. */
static int queue_enter(struct ob_worker *w, void *arg)
{
	vif_tx_disarm(w, arg);
	return 0;
}

/* On the worker: finishes what a predecessor left half done; its interrupt may have been lost with it. */
static int queue_resume(struct ob_worker *w, void *arg)
{
	struct vif_queue *q = arg;
	int rc = ob_virtq_recover(q->vq);

	(void)w;
	if (rc == 0)
		vif_signal(q);
	return rc;
}

static struct ob_source queue_source(struct vif_queue *q)
{
	return (struct ob_source){
	    .name = q->vif->conf.name,
	    .poll = vif_tx_poll,
	    .arm = vif_tx_arm,
	    .disarm = vif_tx_disarm,
	    .wake_fd = -1,
	    .arg = q,
	};
}

int ob_vif_start_queue(struct ob_vif *vif, unsigned q, const struct ob_virtq_conf *conf, int irq_fd,
    bool resume, int32_t start_idx)
{
	struct vif_queue *qp;
	struct ob_source src;
	int rc;

	if (q >= 2u * vif->conf.n_pairs || ob_workers_count() == 0 || start_idx > UINT16_MAX ||
	    vif->conf.gm == NULL)
		return -EINVAL;
	if (vif->queue[q] != NULL)
		return -EALREADY;
	state_start_at(&vif->arena->state[q], conf->packed, start_idx, resume);
	rc = queue_create(vif, q, conf, irq_fd, &qp);
	if (rc < 0)
		return rc;
	rc = vif_worker_get(qp->worker, &qp->vw);
	if (rc < 0)
		goto err_destroy;
	if (resume && start_idx < 0) {
		rc = ob_worker_call(qp->worker, queue_resume, qp);
		/* A ring that was broken before is told as any other. */
		if (rc < 0 && rc != -EPROTO)
			goto err_put;
	}
	ob_worker_call(qp->worker, queue_enter, qp);
	if (q % 2 == 1) {
		src = queue_source(qp);
		rc = ob_worker_add_source(qp->worker, &src);
		if (rc < 0)
			goto err_put;
	}
	ob_rcu_publish(&vif->queue[q], qp);
	__atomic_store_n(
	    &vif->queue_worker[q], (int32_t)ob_worker_id(qp->worker), __ATOMIC_RELEASE);
	/* The driver may have filled the ring before: its kick went to nobody. */
	ob_worker_wake(qp->worker);
	return 0;

err_put:
	vif_worker_put(qp->worker);
err_destroy:
	ob_virtq_destroy(qp->vq);
	queue_free(qp);
	return rc;
}

/* ---- stop ---- */

/* On the worker: what waits for the end of the round goes out, then nothing of the queue is left here. */
static int queue_leave(struct ob_worker *w, void *arg)
{
	struct vif_queue *q = arg;

	for (struct vif_queue **p = &q->vw->dirty; q->dirty && *p != NULL; p = &(*p)->next_dirty) {
		if (*p != q)
			continue;
		*p = q->next_dirty;
		q->dirty = false;
		vif_deliver(w, q);
		break;
	}
	return 0;
}

int32_t ob_vif_stop_queue(struct ob_vif *vif, unsigned q)
{
	struct vif_queue *qp = q < VIF_QUEUES ? vif->queue[q] : NULL;
	const struct ob_virtq_state *st;
	struct ob_source src;
	int32_t next;

	if (qp == NULL)
		return -ENOENT;
	__atomic_store_n(&vif->queue_worker[q], -1, __ATOMIC_RELEASE);
	ob_rcu_publish(&vif->queue[q], NULL);
	if (q % 2 == 1) {
		src = queue_source(qp);
		ob_worker_del_source(qp->worker, &src);
	}
	ob_worker_call(qp->worker, queue_leave, qp);
	st = &vif->arena->state[q];
	next = st->avail_idx;
	if (qp->packed)
		next |= st->avail_wrap << 15;
	__atomic_fetch_and(&vif->broken, ~(1u << q), __ATOMIC_RELAXED);
	vif_worker_put(qp->worker);
	ob_virtq_destroy(qp->vq);
	/* Other workers may still read whose it is. */
	ob_rcu_defer(queue_free, qp);
	return next;
}

bool ob_vif_queue_running(const struct ob_vif *vif, unsigned q)
{
	return q < VIF_QUEUES && vif->queue[q] != NULL;
}

/* ---- interrupts and kicks ---- */

struct irq_change {
	struct vif_queue *q;
	int fd;
};

static int change_irq(struct ob_worker *w, void *arg)
{
	const struct irq_change *c = arg;

	(void)w;
	c->q->irq_fd = c->fd;
	return 0;
}

void ob_vif_set_irq_fd(struct ob_vif *vif, unsigned q, int irq_fd)
{
	struct irq_change c = {.q = q < VIF_QUEUES ? vif->queue[q] : NULL, .fd = irq_fd};

	if (c.q != NULL)
		ob_worker_call(c.q->worker, change_irq, &c);
}

void ob_vif_kick(struct ob_vif *vif, unsigned q)
{
	int32_t id = q < VIF_QUEUES ? __atomic_load_n(&vif->queue_worker[q], __ATOMIC_ACQUIRE) : -1;

	if (id < 0)
		return;
	/* The one counter that is not the owner's: kicks come from several threads. */
	__atomic_fetch_add(&vif->arena->counters[q].n_kicks, 1, __ATOMIC_RELAXED);
	ob_worker_wake(ob_worker_get((unsigned)id));
}

int ob_vif_queue_worker(const struct ob_vif *vif, unsigned q)
{
	return q < VIF_QUEUES ? __atomic_load_n(&vif->queue_worker[q], __ATOMIC_ACQUIRE) : -1;
}

const char *ob_vif_broken_why(const struct ob_vif *vif, unsigned q)
{
	return ob_vif_queue_running(vif, q) ? ob_virtq_broken_why(vif->queue[q]->vq) : "stopped";
}
