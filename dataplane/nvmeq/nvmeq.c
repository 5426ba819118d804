/* SPDX-License-Identifier: BSD-3-Clause */
/* A controller's I/O side: life, settings, namespaces, doorbells from the control thread, counters. */
#include "ob_nvmeq.h"

#include <stdio.h>
#include <string.h>

#include "nvmeq_int.h"

static unsigned next_idx;

static void region_name(char name[OB_ARENA_NAME_MAX], const struct ob_nvmeq_conf *conf)
{
	snprintf(name, OB_ARENA_NAME_MAX, "nvmeq.%s", conf->name);
}

static size_t region_bytes(const struct ob_nvmeq_conf *conf)
{
	return sizeof(struct nvmeq_arena) + (size_t)(conf->max_qpairs + 1u) * conf->max_entries *
						(sizeof(uint64_t) + sizeof(struct ob_nvme_sqe));
}

static bool conf_ok(const struct ob_nvmeq_conf *c)
{
	return c->gm != NULL && c->arena != NULL && c->name[0] != '\0' &&
	       memchr(c->name, '\0', sizeof(c->name)) != NULL && c->max_qpairs >= 1 &&
	       c->max_qpairs <= OB_NVMEQ_MAX_QPAIRS && c->max_entries >= 2 &&
	       c->max_entries <= OB_NVME_MAX_ENTRIES &&
	       (c->max_entries & (c->max_entries - 1)) == 0 && c->mdts_bytes >= 4096 &&
	       c->mdts_bytes <= OB_BLK_MAX_BYTES && (c->mdts_bytes & (c->mdts_bytes - 1)) == 0 &&
	       ob_workers_count() > 0;
}

int ob_nvmeq_create(const struct ob_nvmeq_conf *conf, struct ob_nvmeq **out)
{
	char region[OB_ARENA_NAME_MAX];
	struct ob_nvmeq *q;
	void *p;
	bool fresh;
	int rc;

	if (!conf_ok(conf) || ob_nvmeq_event_fd() < 0)
		return -EINVAL;
	if (nvmeq_find(conf->name) != NULL)
		return -EEXIST;
	q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	region_name(region, conf);
	rc = ob_arena_region(conf->arena, region, NVMEQ_LAYOUT, region_bytes(conf), &p, &fresh);
	if (rc < 0) {
		free(q);
		return rc;
	}
	q->conf = *conf;
	q->idx = next_idx++;
	q->arena = p;
	/* Nothing is taken over from a predecessor yet (issue 5). */
	memset(p, 0, sizeof(*q->arena));
	q->arena->max_qpairs = conf->max_qpairs;
	q->arena->max_entries = conf->max_entries;
	q->journal = (uint64_t *)(q->arena + 1);
	q->sqe = (struct ob_nvme_sqe *)(q->journal +
					(size_t)(conf->max_qpairs + 1u) * conf->max_entries);
	q->shadow_win = q->eventidx_win = -1;
	q->wce = q->dma = true;
	for (unsigned i = 0; i <= OB_NVMEQ_MAX_QPAIRS; i++)
		q->worker[0][i] = q->worker[1][i] = -1;
	for (unsigned i = 0; i < OB_NVMEQ_N_VECTORS; i++)
		q->irq_fd[i] = -1;
	pthread_mutex_init(&q->lock, NULL);
	nvmeq_events_add(q);
	*out = q;
	return 0;
}

void ob_nvmeq_destroy(struct ob_nvmeq *q)
{
	char region[OB_ARENA_NAME_MAX];

	if (q == NULL)
		return;
	ob_nvmeq_stop_all(q);
	for (uint32_t i = 1; i <= OB_NVMEQ_MAX_NS; i++)
		ob_nvmeq_set_ns(q, i, NULL);
	nvmeq_events_del(q);
	region_name(region, &q->conf);
	ob_arena_del_region(q->conf.arena, region);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

int ob_nvmeq_enable(struct ob_nvmeq *q, unsigned page_shift)
{
	if (page_shift < 12 || page_shift > 16)
		return -EINVAL;
	q->page_shift = page_shift;
	return 0;
}

int ob_nvmeq_set_hostid(struct ob_nvmeq *q, const uint8_t *id, unsigned len)
{
	if (len != 8 && len != 16)
		return -EINVAL;
	memset(q->hostid, 0, sizeof(q->hostid));
	memcpy(q->hostid, id, len);
	for (unsigned i = 0; i < OB_NVMEQ_MAX_NS; i++)
		if (q->att[i] != NULL)
			nvmeq_resv_gate(q->att[i]->ns);
	return 0;
}

void ob_nvmeq_set_wce(struct ob_nvmeq *q, bool on)
{
	__atomic_store_n(&q->wce, on, __ATOMIC_RELAXED);
}

/* ---- namespaces ---- */

static void detach(struct ob_nvmeq *q, uint32_t nsid)
{
	struct nvmeq_att *att = q->att[nsid - 1];

	for (unsigned i = 0; i < OB_MAX_WORKERS; i++)
		if (q->nw[i] != NULL)
			nvmeq_nsw_close(q->nw[i], nsid);
	nvmeq_att_del(att);
	q->att[nsid - 1] = NULL;
	ob_nvme_ns_put(att->ns);
	free(att);
}

int ob_nvmeq_set_ns(struct ob_nvmeq *q, uint32_t nsid, struct ob_nvme_ns *ns)
{
	struct nvmeq_att *att;

	if (nsid - 1 >= OB_NVMEQ_MAX_NS)
		return -EINVAL;
	if (ns == NULL) {
		if (q->att[nsid - 1] == NULL)
			return -ENOENT;
		detach(q, nsid);
		return 0;
	}
	if (q->att[nsid - 1] != NULL)
		return -EEXIST;
	att = calloc(1, sizeof(*att));
	if (att == NULL)
		return -ENOMEM;
	att->ns = ob_nvme_ns_get(ns);
	att->q = q;
	att->nsid = nsid;
	att->ana = OB_NVME_ANA_OPTIMIZED;
	nvmeq_att_add(att);
	q->att[nsid - 1] = att;
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
		int rc = q->nw[i] != NULL ? nvmeq_nsw_open(q->nw[i], att) : 0;

		if (rc < 0) {
			detach(q, nsid);
			return rc;
		}
	}
	return 0;
}

struct ob_nvme_ns *ob_nvmeq_ns(const struct ob_nvmeq *q, uint32_t nsid)
{
	return nsid - 1 < OB_NVMEQ_MAX_NS && q->att[nsid - 1] != NULL ? q->att[nsid - 1]->ns : NULL;
}

int ob_nvmeq_set_ana(struct ob_nvmeq *q, uint32_t nsid, enum ob_nvme_ana state)
{
	if (!(state >= OB_NVME_ANA_OPTIMIZED && state <= OB_NVME_ANA_PERSISTENT_LOSS) &&
	    state != OB_NVME_ANA_CHANGE)
		return -EINVAL;
	if (ob_nvmeq_ns(q, nsid) == NULL)
		return -ENOENT;
	q->att[nsid - 1]->ana = state;
	nvmeq_resv_gate(q->att[nsid - 1]->ns);
	return 0;
}

enum ob_nvme_ana ob_nvmeq_ana(const struct ob_nvmeq *q, uint32_t nsid)
{
	return ob_nvmeq_ns(q, nsid) != NULL ? q->att[nsid - 1]->ana : OB_NVME_ANA_PERSISTENT_LOSS;
}

/* ---- doorbells ---- */

int ob_nvmeq_doorbell(struct ob_nvmeq *q, uint16_t qid, bool is_cq, uint32_t value)
{
	int32_t id = qid != 0 && qid <= OB_NVMEQ_MAX_QPAIRS
			 ? __atomic_load_n(&q->worker[is_cq][qid], __ATOMIC_ACQUIRE)
			 : -1;

	if (id < 0)
		return -ENOENT;
	if (value >= q->size[is_cq][qid])
		return -EINVAL;
	/* Release: pairs with the worker's acquire; the entries were written before by the host. */
	__atomic_store_n(nvmeq_registers(q) + 2u * qid + is_cq, htole32(value), __ATOMIC_RELEASE);
	/* The one counter that is not the owner's. */
	if (!is_cq)
		__atomic_fetch_add(&q->arena->counters[qid].n_kicks, 1, __ATOMIC_RELAXED);
	ob_worker_wake(ob_worker_get((unsigned)id));
	return 0;
}

struct place {
	struct nvmeq_worker *nw;
	uint8_t *sh, *ei;
};

/* On the worker: where its queues stand, so that none jumps when the shadow counts. */
static int write_shadow(struct ob_worker *w, void *arg)
{
	const struct place *p = arg;
	struct nvmeq_worker *nw = p->nw;

	(void)w;
	nvmeq_begin(nw);
	nw->map_gen = 0;
	if (p->sh == NULL || p->ei == NULL)
		return 0;
	for (unsigned i = 0; i < nw->n_sqs; i++) {
		const struct nvmeq_sq *sq = nw->sq[i];
		bool lost = nw->q->shadow_win >= 0 && sq->ei == NULL;
		uint32_t tail = lost ? sq->ring.head : ob_gmem_ld_le32_acq(sq->db);

		ob_gmem_st_le32(p->sh + 8u * sq->qid, tail < sq->ring.size ? tail : sq->ring.head);
		ob_gmem_st_le32(p->ei + 8u * sq->qid, tail);
	}
	for (unsigned i = 0; i < nw->n_cqs; i++) {
		const struct nvmeq_cq *cq = nw->cq[i];
		bool lost = nw->q->shadow_win >= 0 && cq->ei == NULL;
		uint32_t head = lost ? cq->ring.head : ob_gmem_ld_le32_acq(cq->db);

		ob_gmem_st_le32(
		    p->sh + 8u * cq->qid + 4, head < cq->ring.size ? head : cq->ring.head);
		ob_gmem_st_le32(p->ei + 8u * cq->qid + 4, head);
	}
	return 0;
}

void nvmeq_drop_shadow(struct ob_nvmeq *q)
{
	int sh = q->shadow_win, ei = q->eventidx_win;

	q->shadow_win = q->eventidx_win = -1;
	q->arena->shadow_iova = q->arena->eventidx_iova = 0;
	if (sh >= 0)
		ob_gmem_window_del(q->conf.gm, sh);
	if (ei >= 0)
		ob_gmem_window_del(q->conf.gm, ei);
}

int ob_nvmeq_shadow(struct ob_nvmeq *q, ob_iova_t doorbells, ob_iova_t eventidx)
{
	uint32_t len = 8u * (q->conf.max_qpairs + 1u);
	uint64_t mask = (1ull << q->page_shift) - 1;
	int sh, ei, old_sh = q->shadow_win, old_ei = q->eventidx_win;

	if (q->page_shift == 0 || ((doorbells.v | eventidx.v) & mask) != 0)
		return -EINVAL;
	sh = ob_gmem_window_add(q->conf.gm, doorbells, len, OB_GMEM_READ | OB_GMEM_WRITE);
	if (sh < 0)
		return sh;
	ei = ob_gmem_window_add(q->conf.gm, eventidx, len, OB_GMEM_WRITE);
	if (ei < 0) {
		ob_gmem_window_del(q->conf.gm, sh);
		return ei;
	}
	/* Where the queues stand is read from the old place and written to the new one, then the new one counts. */
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
		const struct ob_gmem_map *map = ob_gmem_map_get(q->conf.gm);
		struct place p = {
		    .nw = q->nw[i], .sh = ob_gmem_window(map, sh), .ei = ob_gmem_window(map, ei)};

		if (p.nw != NULL)
			ob_worker_call(p.nw->w, write_shadow, &p);
	}
	/* The old ones go last: without any the registers would count, which say where the queues stood long ago. */
	q->shadow_win = sh;
	q->eventidx_win = ei;
	q->arena->shadow_iova = doorbells.v;
	q->arena->eventidx_iova = eventidx.v;
	for (unsigned i = 0; i < OB_MAX_WORKERS; i++)
		if (q->nw[i] != NULL)
			ob_worker_call(q->nw[i]->w, write_shadow, &(struct place){.nw = q->nw[i]});
	if (old_sh >= 0)
		ob_gmem_window_del(q->conf.gm, old_sh);
	if (old_ei >= 0)
		ob_gmem_window_del(q->conf.gm, old_ei);
	return 0;
}

/* ---- interrupts ---- */

struct irq_change {
	struct nvmeq_cq *cq;
	int fd;
};

static int change_irq(struct ob_worker *w, void *arg)
{
	const struct irq_change *c = arg;

	(void)w;
	c->cq->irq_fd = c->fd;
	if (c->fd >= 0 && c->cq->irq_pending) {
		c->cq->irq_pending = false;
		nvmeq_cq_signal(c->cq);
	}
	return 0;
}

int ob_nvmeq_set_irq_fd(struct ob_nvmeq *q, uint16_t vector, int fd)
{
	if (vector >= OB_NVMEQ_N_VECTORS)
		return -EINVAL;
	q->irq_fd[vector] = fd;
	for (unsigned i = 1; i <= OB_NVMEQ_MAX_QPAIRS; i++) {
		struct irq_change c = {.cq = q->cq[i], .fd = fd};

		if (c.cq != NULL && c.cq->vector == vector)
			ob_worker_call(c.cq->nw->w, change_irq, &c);
	}
	return 0;
}

static int change_coalescing(struct ob_worker *w, void *arg)
{
	struct nvmeq_cq *cq = arg;

	(void)w;
	if (cq->since > 0) {
		cq->nw->n_coalescing--;
		nvmeq_cq_signal(cq);
	}
	nvmeq_cq_coalesce(cq);
	return 0;
}

static void coalesce_all(struct ob_nvmeq *q)
{
	for (unsigned i = 1; i <= OB_NVMEQ_MAX_QPAIRS; i++)
		if (q->cq[i] != NULL)
			ob_worker_call(q->cq[i]->nw->w, change_coalescing, q->cq[i]);
}

void ob_nvmeq_set_coalescing(struct ob_nvmeq *q, unsigned threshold, unsigned time_us)
{
	q->threshold = threshold;
	q->time_us = time_us;
	coalesce_all(q);
}

int ob_nvmeq_set_vector_coalescing(struct ob_nvmeq *q, uint16_t vector, bool on)
{
	if (vector >= OB_NVMEQ_N_VECTORS)
		return -EINVAL;
	q->vector_off[vector] = !on;
	coalesce_all(q);
	return 0;
}

/* ---- what it says of itself ---- */

bool ob_nvmeq_sq_running(const struct ob_nvmeq *q, uint16_t qid)
{
	return qid <= OB_NVMEQ_MAX_QPAIRS && q->sq[qid] != NULL;
}

bool ob_nvmeq_cq_running(const struct ob_nvmeq *q, uint16_t qid)
{
	return qid <= OB_NVMEQ_MAX_QPAIRS && q->cq[qid] != NULL;
}

int ob_nvmeq_worker(const struct ob_nvmeq *q, uint16_t sqid)
{
	return sqid <= OB_NVMEQ_MAX_QPAIRS ? __atomic_load_n(&q->worker[0][sqid], __ATOMIC_RELAXED)
					   : -1;
}

/* The fields are all of one type. */
#define N_COUNTERS (sizeof(struct ob_nvmeq_counters) / sizeof(uint64_t))

static void read_counters(const struct ob_nvmeq_counters *from, struct ob_nvmeq_counters *to)
{
	const uint64_t *f = (const uint64_t *)from;
	uint64_t *t = (uint64_t *)to;

	for (unsigned i = 0; i < N_COUNTERS; i++)
		t[i] = __atomic_load_n(&f[i], __ATOMIC_RELAXED);
}

static void one_queue(const struct ob_nvmeq *q, uint16_t qid, struct ob_nvmeq_counters *out)
{
	read_counters(&q->arena->counters[qid], out);
	out->n_irqs = __atomic_load_n(&q->arena->cq_irqs[qid], __ATOMIC_RELAXED);
	out->n_cq_full = __atomic_load_n(&q->arena->cq_full[qid], __ATOMIC_RELAXED);
	/* It was stored when commands were last taken. */
	if (q->sq[qid] != NULL)
		out->n_inflight =
		    q->sq[qid]->n_slots - __atomic_load_n(&q->sq[qid]->n_free, __ATOMIC_RELAXED);
}

int ob_nvmeq_counters(const struct ob_nvmeq *q, uint16_t qid, struct ob_nvmeq_counters *out)
{
	if (qid > q->conf.max_qpairs)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	if (qid != 0) {
		if (q->sq[qid] == NULL && q->cq[qid] == NULL)
			return -ENOENT;
		one_queue(q, qid, out);
		return 0;
	}
	read_counters(&q->arena->total, out);
	for (uint16_t i = 1; i <= q->conf.max_qpairs; i++) {
		struct ob_nvmeq_counters c;
		uint64_t max = out->max_inflight;

		one_queue(q, i, &c);
		for (unsigned k = 0; k < N_COUNTERS; k++)
			((uint64_t *)out)[k] += ((uint64_t *)&c)[k];
		out->max_inflight = RTE_MAX(max, c.max_inflight);
	}
	return 0;
}
