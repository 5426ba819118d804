/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's round: completions of the media, commands of the guest, completions to the guest. */
#include "nvmeq_int.h"

#include <rte_cycles.h>

/* ---- doorbells ---- */

static inline uint32_t doorbell(const void *db)
{
	/* Pairs with the host's release of the entries before it, or with ob_nvmeq_doorbell. */
	return ob_gmem_ld_le32_acq(db);
}

void nvmeq_bad_doorbell(struct nvmeq_worker *nw, uint16_t qid, bool is_cq, uint32_t value)
{
	nvmeq_event(
	    nw->q, &(struct ob_nvmeq_event){
		       .type = OB_NVMEQ_EV_DOORBELL, .qid = qid, .is_cq = is_cq, .value = value});
}

/* The shadow event index is kept behind the position, where the host's next updates do not pass it, so it rings no register; once in half a
 * queue it has to be moved on (Annex B.5). */
static inline void sq_mute_doorbell(struct nvmeq_sq *sq, uint16_t tail)
{
	unsigned moved;

	if (likely(sq->ei == NULL))
		return;
	moved = tail >= sq->ei_at ? (unsigned)(tail - sq->ei_at)
				  : (unsigned)(tail + sq->ring.size - sq->ei_at);
	if (sq->ei_at != UINT16_MAX && moved < sq->ring.size / 2u)
		return;
	sq->ei_at = tail;
	ob_gmem_st_le32(sq->ei, tail == 0 ? sq->ring.size - 1u : tail - 1u);
}

/* Reads how far the host has come with the completions. */
static void cq_read_head(struct nvmeq_cq *cq)
{
	uint32_t head = doorbell(cq->db);
	uint16_t old = cq->ring.head;

	if (head == old)
		return;
	if (unlikely(!ob_nvme_cq_set_head(&cq->ring, head))) {
		if (head != cq->bad_db)
			nvmeq_bad_doorbell(cq->nw, cq->qid, true, head);
		cq->bad_db = head;
		return;
	}
	cq->bad_db = UINT32_MAX;
	cq->reserved -= head > old ? head - old : head + cq->ring.size - old;
	if (cq->ei != NULL)
		ob_gmem_st_le32(cq->ei, head == 0 ? cq->ring.size - 1u : head - 1u);
}

/* ---- taking commands ---- */

/* Completions that may still be promised, at most 'want'. */
static inline unsigned cq_grant(struct nvmeq_cq *cq, unsigned want)
{
	unsigned room = cq->ring.size - 1u - cq->reserved;

	if (unlikely(room < want)) {
		cq_read_head(cq);
		room = cq->ring.size - 1u - cq->reserved;
		if (room < want) {
			nvmeq_count(cq->n_full, 1);
			return room;
		}
	}
	return want;
}

/* Commands that the host has put there, as far as the doorbell is to be believed. */
static inline unsigned sq_waiting(struct nvmeq_sq *sq)
{
	uint32_t tail = doorbell(sq->db);

	if (likely(tail == sq->ring.head))
		return 0;
	if (unlikely(tail >= sq->ring.size)) {
		if (tail != sq->bad_db)
			nvmeq_bad_doorbell(sq->nw, sq->qid, false, tail);
		sq->bad_db = tail;
		return 0;
	}
	sq->bad_db = UINT32_MAX;
	sq_mute_doorbell(sq, (uint16_t)tail);
	return ob_nvme_sq_avail(&sq->ring, (uint16_t)tail);
}

/* Copies commands into free slots of the journal; the order of stores is that of nvmeq_int.h. */
static void take(struct nvmeq_sq *sq, struct nvmeq_req **req, unsigned n)
{
	uint64_t pos;

	for (unsigned i = 0; i < n; i++) {
		uint16_t slot = sq->free[--sq->n_free];

		req[i] = &sq->req[slot];
		ob_nvme_sq_take(&sq->ring, sq->mem, req[i]->sqe);
		/* Release: a successor that sees TAKEN sees the command. */
		__atomic_store_n(&sq->journal[slot], (uint64_t)(sq->taken + i) << 32 | NVMEQ_TAKEN,
		    __ATOMIC_RELEASE);
	}
	sq->taken += n;
	pos = (uint64_t)sq->taken << 32 | sq->ring.head;
	__atomic_store_n(&sq->st->pos, pos, __ATOMIC_RELEASE);
}

/* A second command without a first one, or a first one without a second (4.2). Returns true: the command waits or is done with. */
static bool fuse(struct nvmeq_worker *nw, struct nvmeq_sq *sq, struct nvmeq_req *r)
{
	unsigned f = OB_NVME_FUSE(r->sqe);
	struct nvmeq_req *first = sq->first;

	sq->first = NULL;
	if (f == 2 && first != NULL) {
		first->pair = r;
		r->nsw = NULL;
		if (!nvmeq_start(nw, first))
			nvmeq_list_add(&nw->wait, first);
		return true;
	}
	if (first != NULL)
		nvmeq_complete(first, OB_NVME_ERR(NVME_SC_FUSED_MISSING));
	if (f == 1) {
		sq->first = r;
		return true;
	}
	if (f != 0)
		nvmeq_complete(r, f == 2 ? OB_NVME_ERR(NVME_SC_FUSED_MISSING)
					 : OB_NVME_ERR(NVME_SC_INVALID_FIELD));
	return f != 0;
}

/* Returns false if the identifier is in use; the command must not end the other one then. */
static inline bool claim_cid(struct nvmeq_sq *sq, uint16_t cid)
{
	uint64_t *word = &sq->cids[cid / 64], bit = 1ull << cid % 64;

	if (unlikely(*word & bit))
		return false;
	*word |= bit;
	return true;
}

static void start(struct nvmeq_worker *nw, struct nvmeq_sq *sq, struct nvmeq_req *r)
{
	const struct ob_nvme_sqe *sqe = r->sqe;

	r->cid = sqe->cid;
	r->nsw = NULL;
	r->flags = 0;
	r->dw0 = 0;
	if (unlikely(!claim_cid(sq, sqe->cid))) {
		struct nvmeq_req *first = sq->first;

		r->flags = NVMEQ_NO_CID;
		nvmeq_complete(r, OB_NVME_ERR(NVME_SC_CMDID_CONFLICT));
		sq->first = NULL;
		if (first != NULL)
			nvmeq_complete(first, OB_NVME_ERR(NVME_SC_FUSED_MISSING));
		return;
	}
	if (unlikely(OB_NVME_FUSE(sqe) != 0 || sq->first != NULL) && fuse(nw, sq, r))
		return;
	if (unlikely(!nvmeq_start(nw, r)))
		nvmeq_list_add(&nw->wait, r);
}

static unsigned sq_poll(struct nvmeq_worker *nw, struct nvmeq_sq *sq)
{
	struct nvmeq_req *req[NVMEQ_BURST];
	unsigned n = sq_waiting(sq);
	uint64_t inflight;

	if (n == 0)
		return 0;
	if (unlikely(sq->mem == NULL)) {
		nvmeq_count(&sq->cnt->n_stalls, 1);
		return 0;
	}
	n = RTE_MIN(n, (unsigned)NVMEQ_BURST);
	n = RTE_MIN(n, sq->n_free);
	n = cq_grant(sq->cq, n);
	if (n == 0)
		return 0;
	sq->cq->reserved += n;
	take(sq, req, n);
	nvmeq_count(&sq->cnt->n_cmds, n);
	nvmeq_count(&sq->cnt->n_bursts, 1);
	inflight = sq->n_slots - sq->n_free;
	if (inflight > sq->cnt->max_inflight)
		__atomic_store_n(&sq->cnt->max_inflight, inflight, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++)
		start(nw, sq, req[i]);
	nvmeq_submit(nw);
	__atomic_store_n(
	    &sq->cnt->n_inflight, (uint64_t)(sq->n_slots - sq->n_free), __ATOMIC_RELAXED);
	return n;
}

/* ---- what the channels get ---- */

void nvmeq_submit(struct nvmeq_worker *nw)
{
	unsigned n = nw->n_batch;

	nw->n_batch = 0;
	if (n > 0)
		ob_blk_submit(nw->batch_ch, nw->batch, n);
}

/* Not from done(), so that the batch is nobody's while it is being submitted. */
void nvmeq_issue(struct nvmeq_worker *nw, struct nvmeq_req *r)
{
	if (unlikely(nw->batch_ch != r->nsw->ch || nw->n_batch == NVMEQ_BURST)) {
		nvmeq_submit(nw);
		nw->batch_ch = r->nsw->ch;
	}
	nw->batch[nw->n_batch++] = &r->io;
}

/* ---- what the guest gets ---- */

static void cq_publish(struct nvmeq_cq *cq)
{
	struct ob_nvme_cq *c = &cq->ring;

	if (cq->mem == NULL || !ob_nvme_cq_publish(c, cq->mem))
		return;
	/* Release: behind the guest's entries. */
	__atomic_store_n(&cq->st->pos,
	    (uint64_t)c->n_total << 32 | (uint64_t)c->phase << 16 | c->tail, __ATOMIC_RELEASE);
}

void nvmeq_cq_signal(struct nvmeq_cq *cq)
{
	int rc;

	cq->since = 0;
	if (cq->irq_fd < 0) {
		cq->irq_pending = true;
		return;
	}
	rc = ob_irq_signal(cq->irq_fd);
	if (rc == 0)
		nvmeq_count(cq->n_irqs, 1);
	else if (unlikely(rc == -EDEADLK))
		nvmeq_fatal(cq->nw, "the host made an interrupt block");
}

/* Interrupt Coalescing (5.27.1.6): waits until there are so many entries or so much time has passed. 'n': new entries. */
static void cq_interrupt(struct nvmeq_worker *nw, struct nvmeq_cq *cq, unsigned n)
{
	if (!cq->ien)
		return;
	if (likely(cq->threshold == 0)) {
		nvmeq_cq_signal(cq);
		return;
	}
	if (cq->since == 0) {
		cq->since_tsc = ob_worker_tsc(nw->w);
		nw->n_coalescing++;
	}
	cq->since += n;
	if (cq->since >= cq->threshold) {
		nw->n_coalescing--;
		nvmeq_cq_signal(cq);
	}
}

static void coalesced(struct nvmeq_worker *nw, bool all)
{
	uint64_t now = ob_worker_tsc(nw->w);

	for (unsigned i = 0; i < nw->n_cqs; i++) {
		struct nvmeq_cq *cq = nw->cq[i];

		if (cq->since == 0 || (!all && now - cq->since_tsc < cq->time_tsc))
			continue;
		nw->n_coalescing--;
		nvmeq_cq_signal(cq);
	}
}

static void publish_dirty(struct nvmeq_worker *nw)
{
	for (unsigned i = 0; i < nw->n_dirty; i++)
		cq_publish(nw->dirty[i]);
}

void nvmeq_flush(struct nvmeq_worker *nw)
{
	nvmeq_submit(nw);
	for (unsigned i = 0; i < nw->n_dirty; i++) {
		struct nvmeq_cq *cq = nw->dirty[i];

		cq->dirty = false;
		cq_publish(cq);
		cq_interrupt(nw, cq, cq->ring.n_total - cq->signalled);
		cq->signalled = cq->ring.n_total;
	}
	nw->n_dirty = 0;
}

/* ---- the map ---- */

void nvmeq_refresh(struct nvmeq_worker *nw)
{
	const struct ob_nvmeq *q = nw->q;
	const uint32_t *regs = nvmeq_registers(q);
	uint8_t *sh = ob_gmem_window(nw->map, q->shadow_win);
	uint8_t *ei = ob_gmem_window(nw->map, q->eventidx_win);
	bool shadow = sh != NULL && ei != NULL;

	nw->map_gen = nw->map->gen;
	for (unsigned i = 0; i < nw->n_sqs; i++) {
		struct nvmeq_sq *sq = nw->sq[i];

		/* Without its shadow it stalls: the register is what was written before there was one. */
		sq->mem =
		    shadow || q->shadow_win < 0 ? ob_gmem_window(nw->map, sq->ring.window) : NULL;
		sq->db = shadow ? (const void *)(sh + 8u * sq->qid) : &regs[2 * sq->qid];
		sq->ei = shadow ? ei + 8u * sq->qid : NULL;
		sq->ei_at = UINT16_MAX;
	}
	for (unsigned i = 0; i < nw->n_cqs; i++) {
		struct nvmeq_cq *cq = nw->cq[i];

		cq->mem = ob_gmem_window(nw->map, cq->ring.window);
		cq->db = shadow ? (const void *)(sh + 8u * cq->qid + 4) : &regs[2 * cq->qid + 1];
		cq->ei = shadow ? ei + 8u * cq->qid + 4 : NULL;
		if (cq->stuck.head != NULL && cq->mem != NULL)
			nvmeq_stuck(cq);
	}
}

void nvmeq_begin(struct nvmeq_worker *nw)
{
	nw->map = ob_gmem_map_get(nw->q->conf.gm);
	if (unlikely(nw->map->gen != nw->map_gen))
		nvmeq_refresh(nw);
}

/* ---- the source ---- */

/* What waits for a list, a job or a lock, oldest first, until one has to go on waiting; those behind it are not even looked at, so that
 * many of them cost nothing. Whoever has what the first one wants gives it back sooner or later. */
static void retry(struct nvmeq_worker *nw)
{
	struct nvmeq_req *r;

	for (unsigned n = 0; n < NVMEQ_BURST && (r = nw->wait.head) != NULL; n++) {
		struct nvmeq_req *next = r->next, *tail = nw->wait.tail;

		nw->wait.head = next;
		if (nvmeq_start(nw, r))
			continue;
		r->next = nw->wait.head;
		if (nw->wait.head == NULL)
			tail = r;
		nw->wait.head = r;
		nw->wait.tail = tail;
		return;
	}
}

unsigned nvmeq_poll(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;
	unsigned n = 0;

	(void)w;
	nvmeq_begin(nw);
	if (unlikely(ob_gmem_is_poisoned(nw->q->conf.gm)))
		nvmeq_fatal(nw, "the host took memory away that it had mapped");
	for (unsigned i = 0; i < nw->n_nsws; i++)
		if (ob_blk_pending(nw->nsws[i]->ch) > 0)
			n += ob_blk_poll(nw->nsws[i]->ch);
	/* Their slots may be taken again only when the guest sees the completions. */
	if (nw->n_dirty > 0)
		publish_dirty(nw);
	if (unlikely(nw->ready.head != NULL) && !nw->holding)
		n += nvmeq_advance(nw);
	if (unlikely(nw->wait.head != NULL) && !nw->holding)
		retry(nw);
	if (likely(!nw->holding && !nw->dead))
		for (unsigned i = 0; i < nw->n_sqs; i++)
			n += sq_poll(nw, nw->sq[i]);
	if (nw->n_dirty > 0 || nw->n_batch > 0)
		nvmeq_flush(nw);
	if (unlikely(nw->n_coalescing > 0))
		coalesced(nw, false);
	return n;
}

/* ---- sleep ---- */

/* Asks for a register write at the next command, and looks again; true: there is something to take now. */
static bool sq_arm(struct nvmeq_sq *sq)
{
	if (sq->ei != NULL) {
		sq->ei_at = UINT16_MAX;
		ob_gmem_st_le32(sq->ei, sq->ring.head);
	}
	return sq->mem != NULL && sq->n_free > 0;
}

static bool sq_ready(struct nvmeq_sq *sq)
{
	uint32_t tail = doorbell(sq->db);

	if (tail == sq->ring.head || tail >= sq->ring.size)
		return false;
	return sq->cq->reserved < sq->cq->ring.size - 1u ||
	       (doorbell(sq->cq->db) != sq->cq->ring.head &&
		   doorbell(sq->cq->db) != sq->cq->bad_db);
}

bool nvmeq_arm(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;
	bool work = false, must_poll = false;

	(void)w;
	nvmeq_begin(nw);
	if (nw->n_coalescing > 0)
		coalesced(nw, true);
	for (unsigned i = 0; i < nw->n_nsws; i++) {
		bool must = false;

		work |= ob_blk_arm(nw->nsws[i]->ch, &must);
		must_poll |= must && ob_blk_pending(nw->nsws[i]->ch) > 0;
	}
	if (nw->holding || nw->dead)
		return work || must_poll;
	for (unsigned i = 0; i < nw->n_cqs; i++)
		if (nw->cq[i]->ei != NULL && nw->cq[i]->reserved >= nw->cq[i]->ring.size - 1u)
			ob_gmem_st_le32(nw->cq[i]->ei, nw->cq[i]->ring.head);
	for (unsigned i = 0; i < nw->n_sqs; i++)
		nw->sq[i]->armed = sq_arm(nw->sq[i]);
	/* Pairs with the host's barrier between its doorbell and its look at the event index. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < nw->n_sqs; i++)
		work |= nw->sq[i]->armed && sq_ready(nw->sq[i]);
	return work || must_poll || nw->wait.head != NULL || nw->ready.head != NULL;
}

void nvmeq_disarm(struct ob_worker *w, void *arg)
{
	struct nvmeq_worker *nw = arg;

	(void)w;
	for (unsigned i = 0; i < nw->n_nsws; i++)
		ob_blk_disarm(nw->nsws[i]->ch);
}
