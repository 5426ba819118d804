/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's share of a function: takes requests of all its queues, submits them together, tells the driver of what is done. */
#include <errno.h>
#include <stdatomic.h>

#include "vblk_int.h"

#define PREFETCH 8 /* requests ahead of the one that is parsed */

/* ---- journal: see vblk_int.h for the order of stores -------------------------------------------------------------------- */

/* A crash stops this thread between two instructions: only the compiler must be kept from changing the order. */
static inline void crash_point(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	ob_gmem_fake_crash_point();
}

static inline void journal_store(union vblk_entry *e, union vblk_entry v)
{
	__atomic_store_n(&e->word, v.word, __ATOMIC_RELAXED);
}

static inline union vblk_entry *entry_of(const struct vblk_queue *q, const struct vblk_req *r)
{
	return &q->journal[r - q->slot];
}

static void pop_begins(struct vblk_queue *q)
{
	struct vblk_queue_arena *a = q->arena;

	a->seq++;
	a->pop_from = a->state.pos;
	crash_point();
	a->popping = 1;
	crash_point();
}

static void pop_ended(struct vblk_queue *q)
{
	crash_point();
	q->arena->popping = 0;
	crash_point();
}

/* ---- I/Os --------------------------------------------------------------------------------------------------------------- */

static void io_done(struct ob_blk_io *io)
{
	/* 'io' is the first member. */
	struct vblk_req *r = (struct vblk_req *)io;
	struct vblk_queue *q = r->q;

	q->n_out--;
	switch (io->result) {
	case 0:
		if (vblk_req_advance(r)) {
			list_add(&q->again, r);
			return;
		}
		r->status = VIRTIO_BLK_S_OK;
		break;
	case -EOPNOTSUPP:
		r->status = VIRTIO_BLK_S_UNSUPP;
		break;
	case -ECANCELED:
		if (!q->closing) {
			list_add(&q->canceled, r);
			return;
		}
		r->status = VIRTIO_BLK_S_IOERR;
		break;
	default:
		r->status = VIRTIO_BLK_S_IOERR;
		break;
	}
	list_add(&q->done, r);
}

void vblk_submit(struct vblk_shard *sh)
{
	unsigned n = sh->n_batch;

	sh->n_batch = 0;
	if (n > 0)
		ob_blk_submit(sh->ch, sh->batch, n);
}

void vblk_start(struct vblk_queue *q, struct vblk_req *r, const struct ob_gmem_map *map)
{
	struct vblk_shard *sh = q->sh;

	if (vblk_req_next(r, map, sh->vb->block_bytes) != 0) {
		vblk_fail(q, r, VIRTIO_BLK_S_IOERR);
		return;
	}
	r->io.done = io_done;
	r->io.owner = q;
	r->io.result = 0;
	q->n_out++;
	sh->batch[sh->n_batch++] = &r->io;
	if (sh->n_batch == VBLK_BATCH)
		vblk_submit(sh);
}

/* ---- taking requests -------------------------------------------------------------------------------------------------- */

static void slot_put(struct vblk_queue *q, struct vblk_req *r)
{
	if (r->big != NULL) {
		r->big->next = q->free_big;
		q->free_big = r->big;
		r->big = NULL;
	}
	r->next = q->free;
	q->free = r;
	q->n_free++;
}

/* Returns as vblk_req_parse; no slot is lost. */
static int take_one(struct vblk_queue *q, const struct ob_gmem_map *map,
    const struct ob_virtq_chain *c, const struct ob_virtq_seg *segs, bool fua)
{
	struct vblk_req *r = q->free;
	int rc;

	q->free = r->next;
	q->n_free--;
	rc = vblk_req_parse(q, map, c, segs, fua, r);
	if (rc != 0) {
		slot_put(q, r);
		return rc;
	}
	journal_store(entry_of(q, r),
	    (union vblk_entry){
		.id = c->id, .n_slots = c->n_slots, .seq = q->arena->seq, .state = VBLK_TAKEN});
	vblk_req_count(q, r);
	list_add(r->io.op == OB_BLK_N_OPS ? &q->done : &q->again, r);
	return 0;
}

/* Returns how many were taken, or -EPROTO. */
static int take_burst(struct vblk_queue *q, const struct ob_virtq_chain *chain,
    const struct ob_virtq_seg *seg, unsigned n)
{
	const struct ob_gmem_map *map = ob_virtq_map(q->vq);
	bool fua = __atomic_load_n(&q->sh->vb->fua, __ATOMIC_RELAXED) != 0;
	unsigned i;

	for (i = 0; i < n && i < PREFETCH; i++)
		ob_gmem_prefetch(map, seg[chain[i].seg_first].iova, false);
	for (i = 0; i < n; i++) {
		int rc;

		if (i + PREFETCH < n)
			ob_gmem_prefetch(map, seg[chain[i + PREFETCH].seg_first].iova, false);
		rc = take_one(q, map, &chain[i], seg, fua);
		if (rc == -ENOBUFS) {
			vblk_count(&q->counters->n_held, 1);
			ob_virtq_unpop(q->vq, &chain[i], n - i);
			break;
		}
		if (rc != 0) {
			ob_virtq_break(q->vq, OB_VIRTQ_BAD_REQUEST);
			return rc;
		}
	}
	return (int)i;
}

/* Returns the number of requests taken; they are on the lists 'again' and 'done'. */
static unsigned take(struct vblk_queue *q)
{
	struct vblk_scratch *s = q->sh->scratch;
	unsigned max = RTE_MIN((unsigned)VBLK_BURST, q->n_free);
	int n;

	if (q->paused || max == 0)
		return 0;
	n = ob_virtq_begin(q->vq);
	if (n == 0) {
		pop_begins(q);
		n = ob_virtq_pop(q->vq, s->chain, max, s->seg, VBLK_SCRATCH_SEGS);
		if (n > 0)
			n = take_burst(q, s->chain, s->seg, (unsigned)n);
		pop_ended(q);
	}
	if (n == -EPROTO)
		vblk_queue_broke(q);
	if (n <= 0)
		return 0;
	vblk_count(&q->counters->n_bursts, 1);
	return (unsigned)n;
}

/* Starts what has data to move: requests just taken, and those whose last I/O was not the whole. */
static void start_all(struct vblk_queue *q)
{
	const struct ob_gmem_map *map;
	struct vblk_req *r = q->again.head, *next;

	if (r == NULL || q->paused)
		return;
	map = ob_gmem_map_get(q->sh->vb->conf.gm);
	/* What completes at once and has more goes onto a new list: it waits for the next round. */
	list_init(&q->again);
	for (; r != NULL; r = next) {
		next = r->next;
		vblk_start(q, r, map);
	}
}

/* ---- telling the driver ----------------------------------------------------------------------------------------------- */

static void signal_driver(struct vblk_queue *q)
{
	int rc;

	if (q->irq_fd < 0)
		return;
	rc = ob_irq_signal(q->irq_fd);
	if (rc == 0) {
		vblk_count(&q->counters->n_irqs, 1);
	} else if (unlikely(rc == -EDEADLK)) {
		ob_virtq_break(q->vq, OB_VIRTQ_BLOCKED);
		vblk_queue_broke(q);
	}
}

/* Where the used elements of one burst go. */
struct used_pos {
	uint16_t idx;
	uint8_t wrap;
};

static inline uint16_t used_next(const struct vblk_queue *q, struct used_pos *p, uint16_t n_slots)
{
	uint16_t at = (uint16_t)(p->idx | (q->packed ? p->wrap << 15 : 0));

	p->idx = (uint16_t)(p->idx + (q->packed ? n_slots : 1));
	if (q->packed && p->idx >= q->size) {
		p->idx = (uint16_t)(p->idx - q->size);
		p->wrap ^= 1;
	}
	return at;
}

/* Returns how many of 'done', all from 'r' on, went into one flush. */
static unsigned finish_burst(struct vblk_queue *q, struct vblk_req **first)
{
	struct vblk_scratch *s = q->sh->scratch;
	const struct ob_gmem_map *map = ob_virtq_map(q->vq);
	struct used_pos pos = {q->arena->state.used_idx, q->arena->state.used_wrap};
	struct vblk_req *r, *next;
	unsigned n = 0, n_ioerr = 0, n_unsupp = 0;

	for (r = *first; r != NULL && n < VBLK_BURST; r = r->next, n++) {
		union vblk_entry e = {
		    .id = r->chain.id, .n_slots = r->chain.n_slots, .seq = 0, .state = VBLK_DONE};

		/* A status that has nowhere to go was counted as a violation; the driver gets its buffer back all the same. */
		s->written[n] = ob_gmem_store(map, r->status_at, &r->status, 1) == 0
				    ? r->chain.writable_bytes
				    : 0;
		s->chain[n] = r->chain;
		e.used_pos = used_next(q, &pos, r->chain.n_slots);
		journal_store(entry_of(q, r), e);
		n_ioerr += r->status == VIRTIO_BLK_S_IOERR;
		n_unsupp += r->status == VIRTIO_BLK_S_UNSUPP;
	}
	crash_point();
	ob_virtq_push(q->vq, s->chain, s->written, n);
	if (ob_virtq_flush(q->vq))
		signal_driver(q);
	crash_point();
	next = *first;
	for (unsigned i = 0; i < n; i++) {
		r = next;
		next = r->next;
		journal_store(entry_of(q, r), (union vblk_entry){.word = 0});
		slot_put(q, r);
	}
	*first = next;
	if (n_ioerr > 0)
		vblk_count(&q->counters->n_ioerr, n_ioerr);
	if (n_unsupp > 0)
		vblk_count(&q->counters->n_unsupp, n_unsupp);
	return n;
}

void vblk_finish(struct vblk_queue *q)
{
	struct vblk_req *r = q->done.head;
	int rc;

	if (r == NULL)
		return;
	rc = ob_virtq_begin(q->vq);
	if (rc != 0) {
		/* Its ring is not mapped now: they wait. Broken: they wait for the reset. */
		if (rc == -EPROTO)
			vblk_queue_broke(q);
		return;
	}
	while (r != NULL)
		finish_burst(q, &r);
	list_init(&q->done);
}

/* ---- the source ------------------------------------------------------------------------------------------------------- */

unsigned vblk_poll(struct ob_worker *w, void *arg)
{
	struct vblk_shard *sh = arg;
	unsigned n = 0;

	(void)w;
	for (unsigned i = 0; i < sh->n_queues; i++) {
		n += take(sh->queue[i]);
		start_all(sh->queue[i]);
	}
	vblk_submit(sh);
	if (ob_blk_pending(sh->ch) > 0)
		n += ob_blk_poll(sh->ch);
	for (unsigned i = 0; i < sh->n_queues; i++)
		vblk_finish(sh->queue[i]);
	return n;
}

bool vblk_arm(struct ob_worker *w, void *arg)
{
	struct vblk_shard *sh = arg;
	bool work = false, must_poll = false;

	(void)w;
	for (unsigned i = 0; i < sh->n_queues; i++) {
		struct vblk_queue *q = sh->queue[i];

		if (q->paused)
			continue;
		work |= q->again.head != NULL;
		if (ob_virtq_begin(q->vq) == 0)
			work |= ob_virtq_arm(q->vq);
	}
	work |= ob_blk_arm(sh->ch, &must_poll);
	return work || must_poll;
}

void vblk_disarm(struct ob_worker *w, void *arg)
{
	struct vblk_shard *sh = arg;

	(void)w;
	for (unsigned i = 0; i < sh->n_queues; i++)
		if (ob_virtq_begin(sh->queue[i]->vq) == 0)
			ob_virtq_disarm(sh->queue[i]->vq);
	ob_blk_disarm(sh->ch);
}
