/* SPDX-License-Identifier: BSD-3-Clause */
/* Control side of queues: start, stop, and a worker's part of a controller, which is there while it has a completion queue. What a worker
 * holds changes between its rounds only (ob_worker_call). */
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>

#include <rte_cycles.h>

#include "nvmeq_int.h"

/* ---- waiting for I/O to end ---- */

struct nvmeq_wait {
	struct nvmeq_worker *nw;
	struct nvmeq_sq *sq;   /* whose commands, or NULL */
	struct nvmeq_nsw *nsw; /* to which namespace, or NULL */
	bool cancel;	       /* what only waits at the volume ends now */
	/* By qid: commands from this number on are not waited for, as a busy host never stops. */
	bool limited;
	uint32_t limit[OB_NVMEQ_MAX_QPAIRS + 1];
};

static unsigned at_volumes(const struct nvmeq_worker *nw)
{
	unsigned n = 0;

	for (unsigned i = 0; i < nw->n_nsws; i++)
		n += ob_blk_pending(nw->nsws[i]->ch);
	return n;
}

static unsigned under_way(const struct nvmeq_wait *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < OB_NVMEQ_MAX_QPAIRS + 1u; i++) {
		const struct nvmeq_sq *sq = c->nw->q->sq[i];

		if (sq == NULL || sq->nw != c->nw || (c->sq != NULL && sq != c->sq))
			continue;
		for (unsigned s = 0; s < sq->n_slots; s++)
			n += nvmeq_busy(sq, s) && &sq->req[s] != sq->first &&
			     (c->nsw == NULL || sq->req[s].nsw == c->nsw) &&
			     (!c->limited ||
				 (int32_t)((uint32_t)(sq->journal[s] >> 32) - c->limit[i]) < 0);
	}
	return n;
}

/* What is on the worker's own lists and may not go on. */
static void purge(struct nvmeq_worker *nw, const struct nvmeq_wait *c)
{
	struct nvmeq_list l = nw->wait;
	struct nvmeq_req *r;

	nw->wait.head = NULL;
	while ((r = nvmeq_list_pop(&l)) != NULL) {
		struct nvmeq_req *second = r->pair;
		ob_nvme_status_t st = nvmeq_blk_status(r, -ECANCELED);

		if ((c->sq == NULL || r->sq != c->sq) && (c->nsw == NULL || r->nsw != c->nsw)) {
			nvmeq_list_add(&nw->wait, r);
			continue;
		}
		r->pair = NULL;
		nvmeq_complete(r, st);
		if (second != NULL)
			nvmeq_complete(second, st);
	}
}

/* On the worker. Returns commands that are still under way. */
static int wait_step(struct ob_worker *w, void *arg)
{
	const struct nvmeq_wait *c = arg;
	struct nvmeq_worker *nw = c->nw;

	(void)w;
	nvmeq_begin(nw);
	if (c->cancel) {
		purge(nw, c);
		for (unsigned i = 0; i < nw->n_nsws; i++)
			if (c->nsw == NULL || nw->nsws[i] == c->nsw)
				ob_blk_cancel(nw->nsws[i]->ch, c->sq);
	}
	for (unsigned i = 0; i < nw->n_nsws; i++)
		ob_blk_poll(nw->nsws[i]->ch);
	nvmeq_advance(nw);
	nvmeq_flush(nw);
	return (int)under_way(c);
}

/* Returns when nothing that 'c' says is under way. The media answer in their own time, and until then our memory and the guest's is theirs. */
static void wait_for(struct nvmeq_wait *c)
{
	unsigned nap_us = 20;

	while (ob_worker_call(c->nw->w, wait_step, c) > 0) {
		nvmeq_run_control(c->nw->q);
		usleep(nap_us);
		nap_us = nap_us < 1000 ? nap_us * 2 : nap_us;
	}
}

/* On the worker. */
static int set_limits(struct ob_worker *w, void *arg)
{
	struct nvmeq_wait *c = arg;

	(void)w;
	c->limited = true;
	for (unsigned i = 0; i < c->nw->n_sqs; i++)
		c->limit[c->nw->sq[i]->qid] = c->nw->sq[i]->taken;
	return 0;
}

void ob_nvmeq_drain(struct ob_nvmeq *q, uint32_t nsid)
{
	nvmeq_run_control(q);
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
		struct nvmeq_wait c = {.nw = q->nw[i]};

		if (c.nw == NULL)
			continue;
		if (nsid != OB_NVME_BROADCAST) {
			c.nsw = nsid - 1 < OB_NVMEQ_MAX_NS ? c.nw->ns[nsid - 1] : NULL;
			if (c.nsw == NULL)
				continue;
			/* Nothing new comes then, and what is throttled may take any time. */
			c.cancel = c.nsw->att->ns->formatting;
		}
		ob_worker_call(c.nw->w, set_limits, &c);
		wait_for(&c);
	}
}

/* ---- the guest's memory changes ---- */

/* On the worker: from here on nothing is taken, and what comes back cancelled is kept. Returns I/Os that point into guest memory. */
static int hold(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;

	(void)w;
	nvmeq_begin(nw);
	nvmeq_submit(nw);
	if (at_volumes(nw) == 0)
		return 0;
	nw->holding = true;
	for (unsigned i = 0; i < nw->n_nsws; i++) {
		ob_blk_poll(nw->nsws[i]->ch);
		ob_blk_cancel(nw->nsws[i]->ch, NULL);
		ob_blk_poll(nw->nsws[i]->ch);
	}
	nvmeq_flush(nw);
	return (int)at_volumes(nw);
}

static int let_go(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;
	struct nvmeq_list l = nw->replay;
	struct nvmeq_req *r;

	(void)w;
	nvmeq_begin(nw);
	nw->holding = false;
	nw->replay.head = NULL;
	while ((r = nvmeq_list_pop(&l)) != NULL)
		nvmeq_replay(nw, r);
	nvmeq_flush(nw);
	return 0;
}

void ob_nvmeq_sync(void *arg)
{
	struct ob_nvmeq *q = arg;

	for (unsigned i = 0; q != NULL && i < OB_MAX_WORKERS; i++) {
		struct nvmeq_worker *nw = q->nw[i];
		unsigned nap_us = 20;

		if (nw == NULL)
			continue;
		while (ob_worker_call(nw->w, hold, nw) > 0) {
			usleep(nap_us);
			nap_us = nap_us < 1000 ? nap_us * 2 : nap_us;
		}
		ob_worker_call(nw->w, let_go, nw);
	}
}

static int pause_taking(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;

	(void)w;
	nw->dead = !nw->q->dma || nw->q->fatal;
	return 0;
}

void ob_nvmeq_dma(struct ob_nvmeq *q, bool on)
{
	q->dma = on;
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++)
		if (q->nw[i] != NULL)
			ob_worker_call(q->nw[i]->w, pause_taking, q->nw[i]);
	if (!on)
		ob_nvmeq_drain(q, OB_NVME_BROADCAST);
}

/* ---- a worker's part ---- */

struct ns_change {
	struct nvmeq_worker *nw;
	struct nvmeq_nsw *nsw;
	uint32_t nsid;
};

static int ns_enter(struct ob_worker *w, void *arg)
{
	const struct ns_change *c = arg;

	(void)w;
	c->nw->ns[c->nsid - 1] = c->nsw;
	c->nw->nsws[c->nw->n_nsws++] = c->nsw;
	return 0;
}

/* New commands do not find it any more; those under way end. */
static int ns_leave(struct ob_worker *w, void *arg)
{
	const struct ns_change *c = arg;

	(void)w;
	c->nsw->gone = true;
	c->nw->ns[c->nsid - 1] = NULL;
	return 0;
}

static int ns_forget(struct ob_worker *w, void *arg)
{
	const struct ns_change *c = arg;
	struct nvmeq_worker *nw = c->nw;

	(void)w;
	for (unsigned i = 0; i < nw->n_nsws; i++)
		if (nw->nsws[i] == c->nsw)
			nw->nsws[i] = nw->nsws[--nw->n_nsws];
	if (nw->batch_ch == c->nsw->ch)
		nw->batch_ch = NULL;
	return 0;
}

int nvmeq_nsw_open(struct nvmeq_worker *nw, struct nvmeq_att *att)
{
	struct ns_change c = {.nw = nw, .nsid = att->nsid};
	struct epoll_event ev = {.events = EPOLLIN};
	int rc, fd;

	c.nsw = calloc(1, sizeof(*c.nsw));
	if (c.nsw == NULL)
		return -ENOMEM;
	c.nsw->att = att;
	rc = ob_blk_ch_open(att->ns->conf.blk, &c.nsw->ch);
	if (rc < 0) {
		free(c.nsw);
		return rc;
	}
	fd = ob_blk_wake_fd(c.nsw->ch);
	if (fd >= 0 && epoll_ctl(nw->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		rc = -errno;
		ob_blk_ch_close(c.nsw->ch);
		free(c.nsw);
		return rc;
	}
	ob_worker_call(nw->w, ns_enter, &c);
	return 0;
}

void nvmeq_nsw_close(struct nvmeq_worker *nw, uint32_t nsid)
{
	struct ns_change c = {.nw = nw, .nsid = nsid, .nsw = nw->ns[nsid - 1]};
	struct nvmeq_wait wait = {.nw = nw, .nsw = c.nsw, .cancel = true};
	int fd;

	if (c.nsw == NULL)
		return;
	ob_worker_call(nw->w, ns_leave, &c);
	nvmeq_run_control(nw->q);
	wait_for(&wait);
	ob_worker_call(nw->w, ns_forget, &c);
	fd = ob_blk_wake_fd(c.nsw->ch);
	if (fd >= 0)
		epoll_ctl(nw->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	ob_blk_ch_close(c.nsw->ch);
	c.nsw->att->ns->n_cmds += c.nsw->n_cmds;
	c.nsw->att->ns->n_errors += c.nsw->n_errors;
	c.nsw->att->ns->n_conflicts += c.nsw->n_conflicts;
	free(c.nsw);
}

static struct ob_source source_of(struct nvmeq_worker *nw)
{
	return (struct ob_source){
	    .name = nw->q->conf.name,
	    .poll = nvmeq_poll,
	    .arm = nvmeq_arm,
	    .disarm = nvmeq_disarm,
	    .wake_fd = nw->epoll_fd,
	    .must_poll = nw->q->conf.doorbells != NULL,
	    .arg = nw,
	};
}

static void worker_free(struct nvmeq_worker *nw)
{
	struct iovec *list;
	struct nvmeq_job *job;

	for (unsigned i = 0; i < OB_NVMEQ_MAX_NS; i++)
		nvmeq_nsw_close(nw, i + 1);
	while ((list = nw->lists) != NULL) {
		nw->lists = list[0].iov_base;
		free(list);
	}
	while ((job = nw->jobs) != NULL) {
		nw->jobs = job->next;
		free(job);
	}
	close(nw->epoll_fd);
	free(nw);
}

static void worker_put(struct nvmeq_worker *nw)
{
	struct ob_source src;

	if (--nw->n_users > 0)
		return;
	src = source_of(nw);
	ob_worker_del_source(nw->w, &src);
	nw->q->nw[ob_worker_id(nw->w)] = NULL;
	worker_free(nw);
}

static int worker_get(struct ob_nvmeq *q, struct ob_worker *w, struct nvmeq_worker **out)
{
	struct nvmeq_worker *nw = q->nw[ob_worker_id(w)];
	struct ob_source src;
	int rc = 0;

	if (nw != NULL) {
		nw->n_users++;
		*out = nw;
		return 0;
	}
	nw = calloc(1, sizeof(*nw));
	if (nw == NULL)
		return -ENOMEM;
	nw->q = q;
	nw->w = w;
	nw->n_users = 1;
	nw->dead = !q->dma || q->fatal;
	nw->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (nw->epoll_fd < 0) {
		rc = -errno;
		free(nw);
		return rc;
	}
	for (unsigned i = 0; rc == 0 && i < OB_NVMEQ_MAX_NS; i++)
		if (q->att[i] != NULL)
			rc = nvmeq_nsw_open(nw, q->att[i]);
	src = source_of(nw);
	if (rc == 0)
		rc = ob_worker_add_source(w, &src);
	if (rc < 0) {
		worker_free(nw);
		return rc;
	}
	q->nw[ob_worker_id(w)] = nw;
	*out = nw;
	return 0;
}

/* ---- completion queues ---- */

static int cq_enter(struct ob_worker *w, void *arg)
{
	struct nvmeq_cq *cq = arg;

	(void)w;
	cq->nw->cq[cq->nw->n_cqs++] = cq;
	cq->nw->map_gen = 0; /* windows are looked up in the next round */
	return 0;
}

static int cq_leave(struct ob_worker *w, void *arg)
{
	struct nvmeq_cq *cq = arg;
	struct nvmeq_worker *nw = cq->nw;

	(void)w;
	nvmeq_begin(nw);
	nvmeq_flush(nw);
	if (cq->since > 0) {
		nw->n_coalescing--;
		nvmeq_cq_signal(cq);
	}
	for (unsigned i = 0; i < nw->n_cqs; i++)
		if (nw->cq[i] == cq)
			nw->cq[i] = nw->cq[--nw->n_cqs];
	return 0;
}

void nvmeq_cq_coalesce(struct nvmeq_cq *cq)
{
	const struct ob_nvmeq *q = cq->nw->q;

	cq->threshold = q->time_us > 0 && !q->vector_off[cq->vector] ? q->threshold : 0;
	cq->time_tsc = rte_get_tsc_hz() / 1000000 * q->time_us;
}

/* Whether a queue of this size may lie there. */
static bool place_ok(const struct ob_nvmeq *q, uint16_t qid, ob_iova_t at, uint32_t size)
{
	return qid != 0 && qid <= q->conf.max_qpairs && size >= 2 && size <= q->conf.max_entries &&
	       (at.v & ((1ull << q->page_shift) - 1)) == 0 && q->page_shift != 0;
}

/* A stale word there would be taken for the new queue's position. */
static void zero_shadow(struct ob_nvmeq *q, uint16_t qid, bool is_cq)
{
	const struct ob_gmem_map *map = ob_gmem_map_get(q->conf.gm);
	uint8_t *sh = ob_gmem_window(map, q->shadow_win),
		*ei = ob_gmem_window(map, q->eventidx_win);

	__atomic_store_n(nvmeq_registers(q) + 2u * qid + is_cq, 0, __ATOMIC_RELAXED);
	if (sh == NULL || ei == NULL)
		return;
	ob_gmem_st_le32(sh + 8u * qid + 4u * is_cq, 0);
	ob_gmem_st_le32(ei + 8u * qid + 4u * is_cq, 0);
}

int ob_nvmeq_start_cq(
    struct ob_nvmeq *q, uint16_t qid, ob_iova_t at, uint32_t size, uint16_t vector, bool ien)
{
	struct ob_worker *w;
	struct nvmeq_cq *cq;
	int rc;

	if (!place_ok(q, qid, at, size) || vector >= OB_NVMEQ_N_VECTORS)
		return -EINVAL;
	if (q->cq[qid] != NULL)
		return -EEXIST;
	cq = calloc(1, sizeof(*cq));
	if (cq == NULL)
		return -ENOMEM;
	w = ob_worker_get((q->idx + qid - 1u) % ob_workers_count());
	rc = worker_get(q, w, &cq->nw);
	if (rc < 0)
		goto err_free;
	rc = ob_nvme_cq_init(&cq->ring, q->conf.gm, at, size);
	if (rc < 0)
		goto err_put;
	zero_shadow(q, qid, true);
	cq->qid = qid;
	cq->vector = vector;
	cq->ien = ien;
	cq->irq_fd = q->irq_fd[vector];
	cq->bad_db = UINT32_MAX;
	cq->st = &q->arena->cq[qid];
	cq->n_irqs = &q->arena->cq_irqs[qid];
	cq->n_full = &q->arena->cq_full[qid];
	nvmeq_cq_coalesce(cq);
	*cq->n_irqs = *cq->n_full = 0;
	*cq->st = (struct nvmeq_queue_state){
	    .pos = 1ull << 16, .iova = at.v, .size = (uint16_t)size, .peer = vector, .ien = ien};
	q->cq[qid] = cq;
	q->size[1][qid] = size;
	__atomic_store_n(&q->worker[1][qid], (int32_t)ob_worker_id(w), __ATOMIC_RELEASE);
	ob_worker_call(w, cq_enter, cq);
	return 0;

err_put:
	worker_put(cq->nw);
err_free:
	free(cq);
	return rc;
}

int ob_nvmeq_stop_cq(struct ob_nvmeq *q, uint16_t qid)
{
	struct nvmeq_cq *cq = qid <= OB_NVMEQ_MAX_QPAIRS ? q->cq[qid] : NULL;

	if (cq == NULL)
		return -ENOENT;
	if (cq->n_sqs > 0)
		return -EBUSY;
	__atomic_store_n(&q->worker[1][qid], -1, __ATOMIC_RELEASE);
	ob_worker_call(cq->nw->w, cq_leave, cq);
	q->cq[qid] = NULL;
	q->arena->total.n_irqs += *cq->n_irqs;
	q->arena->total.n_cq_full += *cq->n_full;
	*cq->n_irqs = *cq->n_full = 0;
	cq->st->size = 0;
	ob_nvme_cq_fini(&cq->ring, q->conf.gm);
	worker_put(cq->nw);
	free(cq);
	return 0;
}

/* ---- submission queues ---- */

static int sq_enter(struct ob_worker *w, void *arg)
{
	struct nvmeq_sq *sq = arg;

	(void)w;
	sq->nw->sq[sq->nw->n_sqs++] = sq;
	sq->nw->map_gen = 0;
	return 0;
}

/* Takes no more commands; one that waits for its second ends. */
static int sq_leave(struct ob_worker *w, void *arg)
{
	struct nvmeq_sq *sq = arg;
	struct nvmeq_worker *nw = sq->nw;
	struct nvmeq_req *first = sq->first;

	(void)w;
	nvmeq_begin(nw);
	sq->stopping = true;
	for (unsigned i = 0; i < nw->n_sqs; i++)
		if (nw->sq[i] == sq)
			nw->sq[i] = nw->sq[--nw->n_sqs];
	sq->first = NULL;
	if (first != NULL)
		nvmeq_complete(first, OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_ABORT_QUEUE));
	nvmeq_flush(nw);
	return 0;
}

/* Its completions that cannot be posted are lost with it. */
static int sq_forget(struct ob_worker *w, void *arg)
{
	struct nvmeq_sq *sq = arg;
	struct nvmeq_list l = sq->cq->stuck;
	struct nvmeq_req *r;

	(void)w;
	sq->cq->stuck.head = NULL;
	while ((r = nvmeq_list_pop(&l)) != NULL)
		if (r->sq != sq)
			nvmeq_list_add(&sq->cq->stuck, r);
		else
			sq->cq->reserved--; /* others may complete there instead */
	return 0;
}

static void sq_free(struct nvmeq_sq *sq)
{
	if (sq == NULL)
		return;
	free(sq->req);
	free(sq->free);
	free(sq);
}

static struct nvmeq_sq *sq_alloc(struct ob_nvmeq *q, uint16_t qid, uint32_t size)
{
	struct nvmeq_sq *sq = calloc(1, sizeof(*sq));

	if (sq == NULL)
		return NULL;
	sq->req = aligned_alloc(64, RTE_ALIGN_CEIL(size * sizeof(sq->req[0]), 64));
	sq->free = calloc(size, sizeof(sq->free[0]));
	if (sq->req == NULL || sq->free == NULL) {
		sq_free(sq);
		return NULL;
	}
	sq->n_slots = sq->n_free = size;
	sq->journal = q->journal + (size_t)qid * q->conf.max_entries;
	sq->sqe = q->sqe + (size_t)qid * q->conf.max_entries;
	memset(sq->req, 0, size * sizeof(sq->req[0]));
	for (uint32_t i = 0; i < size; i++) {
		sq->free[i] = (uint16_t)(size - 1 - i);
		sq->journal[i] = NVMEQ_FREE;
		sq->req[i].sq = sq;
		sq->req[i].io.owner = sq;
		sq->req[i].slot = (uint16_t)i;
		sq->req[i].sqe = &sq->sqe[i];
	}
	return sq;
}

int ob_nvmeq_start_sq(struct ob_nvmeq *q, uint16_t qid, uint16_t cqid, ob_iova_t at, uint32_t size)
{
	struct nvmeq_cq *cq = cqid <= OB_NVMEQ_MAX_QPAIRS ? q->cq[cqid] : NULL;
	struct nvmeq_sq *sq;
	int rc;

	if (!place_ok(q, qid, at, size))
		return -EINVAL;
	if (cq == NULL)
		return -ENOENT;
	if (q->sq[qid] != NULL)
		return -EEXIST;
	sq = sq_alloc(q, qid, size);
	if (sq == NULL)
		return -ENOMEM;
	rc = ob_nvme_sq_init(&sq->ring, q->conf.gm, at, size);
	if (rc < 0) {
		sq_free(sq);
		return rc;
	}
	zero_shadow(q, qid, false);
	sq->qid = qid;
	sq->cq = cq;
	sq->nw = cq->nw;
	sq->bad_db = UINT32_MAX;
	sq->st = &q->arena->sq[qid];
	sq->cnt = &q->arena->counters[qid];
	memset(sq->cnt, 0, sizeof(*sq->cnt));
	*sq->st = (struct nvmeq_queue_state){.iova = at.v, .size = (uint16_t)size, .peer = cqid};
	cq->n_sqs++;
	q->sq[qid] = sq;
	q->size[0][qid] = size;
	__atomic_store_n(&q->worker[0][qid], (int32_t)ob_worker_id(sq->nw->w), __ATOMIC_RELEASE);
	ob_worker_call(sq->nw->w, sq_enter, sq);
	return 0;
}

/* Adds a queue's counters to those of the queues before it. */
static void retire(struct ob_nvmeq *q, struct ob_nvmeq_counters *c)
{
	struct ob_nvmeq_counters *t = &q->arena->total;

	t->n_cmds += c->n_cmds;
	t->n_errors += c->n_errors;
	t->n_reads += c->n_reads;
	t->n_writes += c->n_writes;
	t->n_read_bytes += c->n_read_bytes;
	t->n_write_bytes += c->n_write_bytes;
	t->n_bursts += c->n_bursts;
	t->n_kicks += c->n_kicks;
	t->n_stalls += c->n_stalls;
	t->max_inflight = RTE_MAX(t->max_inflight, c->max_inflight);
	memset(c, 0, sizeof(*c));
}

int ob_nvmeq_stop_sq(struct ob_nvmeq *q, uint16_t qid)
{
	struct nvmeq_sq *sq = qid <= OB_NVMEQ_MAX_QPAIRS ? q->sq[qid] : NULL;
	struct nvmeq_wait wait;

	if (sq == NULL)
		return -ENOENT;
	__atomic_store_n(&q->worker[0][qid], -1, __ATOMIC_RELEASE);
	ob_worker_call(sq->nw->w, sq_leave, sq);
	nvmeq_run_control(q);
	wait = (struct nvmeq_wait){.nw = sq->nw, .sq = sq, .cancel = true};
	ob_worker_call(sq->nw->w, sq_forget, sq);
	wait_for(&wait);
	ob_worker_call(sq->nw->w, sq_forget, sq);
	q->sq[qid] = NULL;
	sq->cq->n_sqs--;
	retire(q, sq->cnt);
	sq->st->size = 0;
	ob_nvme_sq_fini(&sq->ring, q->conf.gm);
	sq_free(sq);
	return 0;
}

static int mute(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;

	(void)w;
	nvmeq_begin(nw);
	nvmeq_flush(nw);
	for (unsigned i = 0; i < nw->n_cqs; i++)
		nw->cq[i]->mute = true;
	return 0;
}

void ob_nvmeq_stop_all(struct ob_nvmeq *q)
{
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++)
		if (q->nw[i] != NULL)
			ob_worker_call(q->nw[i]->w, mute, q->nw[i]);
	for (uint16_t i = 1; i <= OB_NVMEQ_MAX_QPAIRS; i++)
		ob_nvmeq_stop_sq(q, i);
	for (uint16_t i = 1; i <= OB_NVMEQ_MAX_QPAIRS; i++)
		ob_nvmeq_stop_cq(q, i);
	nvmeq_drop_shadow(q);
	pthread_mutex_lock(&q->lock);
	q->fatal = false;
	q->fatal_text = NULL;
	q->n_events = q->n_errors = 0;
	pthread_mutex_unlock(&q->lock);
}

/* ---- abort ---- */

struct abort_call {
	struct nvmeq_sq *sq;
	uint16_t cid;
};

static struct nvmeq_req *find_cid(struct nvmeq_sq *sq, uint16_t cid)
{
	for (unsigned s = 0; s < sq->n_slots; s++)
		if (nvmeq_busy(sq, s) && sq->req[s].cid == cid &&
		    !(sq->req[s].flags & NVMEQ_NO_CID))
			return &sq->req[s];
	return NULL;
}

/* A volume cancels all that a queue has waiting there; the others of them are given to it again at once. */
static int abort_one(struct ob_worker *w, void *arg)
{
	const struct abort_call *c = arg;
	struct nvmeq_worker *nw = c->sq->nw;
	struct nvmeq_req *r = find_cid(c->sq, c->cid);
	bool ended;

	if (r == NULL || r->pair != NULL || r == c->sq->first || r->nsw == NULL)
		return 0;
	nvmeq_begin(nw);
	r->flags |= NVMEQ_ABORTED;
	if (nvmeq_list_del(&nw->wait, r)) {
		nvmeq_complete(r, OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_ABORT_REQ));
	} else {
		nw->holding = true;
		ob_blk_cancel(r->nsw->ch, c->sq);
		nw->holding = false;
		let_go(w, nw);
	}
	ended = !nvmeq_busy(c->sq, r->slot) || r->job != NULL;
	if (!ended)
		r->flags &= (uint8_t)~NVMEQ_ABORTED;
	nvmeq_flush(nw);
	return ended;
}

bool ob_nvmeq_abort(struct ob_nvmeq *q, uint16_t sqid, uint16_t cid)
{
	struct abort_call c = {.sq = sqid <= OB_NVMEQ_MAX_QPAIRS ? q->sq[sqid] : NULL, .cid = cid};

	nvmeq_run_control(q);
	return c.sq != NULL && ob_worker_call(c.sq->nw->w, abort_one, &c) != 0;
}

static int preempt_one(struct ob_worker *w, void *arg)
{
	const struct nvmeq_wait *c = arg;

	(void)w;
	nvmeq_begin(c->nw);
	c->nsw->preempted = true;
	purge(c->nw, c);
	ob_blk_cancel(c->nsw->ch, NULL);
	c->nsw->preempted = false;
	nvmeq_flush(c->nw);
	return 0;
}

void nvmeq_abort_att(struct nvmeq_att *att)
{
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
		struct nvmeq_wait c = {.nw = att->q->nw[i]};

		if (c.nw == NULL)
			continue;
		c.nsw = c.nw->ns[att->nsid - 1];
		if (c.nsw != NULL)
			ob_worker_call(c.nw->w, preempt_one, &c);
	}
}
