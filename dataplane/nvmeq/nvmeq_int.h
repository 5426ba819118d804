/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share: the controller's I/O side, what a worker has of it, queues, requests, the arena's layout. */
#pragma once

#include "ob_nvmeq.h"

#include <pthread.h>
#include <stdlib.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "ob_irq.h"
#include "ob_worker.h"

#define NVMEQ_BURST	      32  /* commands that one poll takes from one queue */
#define NVMEQ_INLINE	      2	  /* vectors in a request; more come from the worker's stock */
#define NVMEQ_MAX_LISTS	      512 /* long vector lists a worker makes for one controller: 4 MiB */
#define NVMEQ_MAX_JOBS	      8 /* commands of several steps under way on a worker, for one controller */
#define NVMEQ_CHUNK	      (128u << 10) /* bytes that they read at a time */
#define NVMEQ_TRASH	      (64u << 10)
#define NVMEQ_EVENTS	      64
#define NVMEQ_COPY_RANGES     128u
#define NVMEQ_COPY_RANGE_LBAS 2048u
#define NVMEQ_COPY_LBAS	      16384u

/* ---- arena ---- */

#define NVMEQ_LAYOUT 1

/* A slot's entry of the journal: 'number' << 32 | state. A slot is a command that was taken and whose completion is not visible yet, if
 *   TAKEN: number is before the queue's 'taken' (else the command is still in the ring, and this is a half-done take), or
 *   DONE: number is not before the completion queue's 'published', nor does the ring show it (its phase at that position).
 * Orders of stores: take: the slot's copy of the command, TAKEN, then {taken, head} of the queue, in one store, for the whole burst.
 * Completion: DONE, the entry in the guest's ring, its phase (first entry of the burst last), then {published, tail, phase} in one store.
 * A slot is used again only after that. */
enum nvmeq_journal { NVMEQ_FREE, NVMEQ_TAKEN, NVMEQ_DONE };

struct nvmeq_queue_state {
	uint64_t pos; /* SQ: taken << 32 | head; CQ: published << 32 | phase << 16 | tail */
	uint64_t iova;
	uint16_t size; /* 0: not running */
	uint16_t peer; /* SQ: its CQ; CQ: its vector */
	uint16_t ien;
	uint16_t reserved;
};
static_assert(sizeof(struct nvmeq_queue_state) == 24, "arena layout");

struct nvmeq_arena {
	uint32_t max_qpairs, max_entries;
	uint64_t shadow_iova, eventidx_iova;	    /* 0: none */
	uint32_t db[2 * (OB_NVMEQ_MAX_QPAIRS + 1)]; /* doorbell registers, little endian */
	struct nvmeq_queue_state sq[OB_NVMEQ_MAX_QPAIRS + 1];
	struct nvmeq_queue_state cq[OB_NVMEQ_MAX_QPAIRS + 1];
	struct ob_nvmeq_counters total;				    /* of queues that are gone */
	struct ob_nvmeq_counters counters[OB_NVMEQ_MAX_QPAIRS + 1]; /* by qid, of the SQ */
	uint64_t cq_irqs[OB_NVMEQ_MAX_QPAIRS + 1], cq_full[OB_NVMEQ_MAX_QPAIRS + 1];
	/* Then, by qid and slot: uint64_t journal[max_qpairs + 1][max_entries]; struct ob_nvme_sqe sqe[max_qpairs + 1][max_entries] */
};

/* ---- namespaces ---- */

/* Why a command may not go on; 0: it may. Read once a command. */
enum nvmeq_gate {
	NVMEQ_GATE_READ = 1 << 0,  /* reservation conflict of the read commands */
	NVMEQ_GATE_WRITE = 1 << 1, /* of the write commands, flush among them */
	NVMEQ_GATE_WP = 1 << 2,	   /* write protected */
	NVMEQ_GATE_FORMAT = 1 << 3,
	NVMEQ_GATE_ANA_SHIFT = 8, /* enum ob_nvme_ana, if it denies */
};

/* What a command is, for the gate. */
enum nvmeq_class {
	NVMEQ_IS_READ = 1 << 0,
	NVMEQ_IS_WRITE = 1 << 1,
	NVMEQ_MODIFIES = 1 << 2,
};

/* A namespace attached to a controller. Control writes, workers read. */
struct nvmeq_att {
	uint32_t gate;	 /* atomic */
	uint32_t shift;	 /* atomic: of an LBA */
	uint64_t n_lbas; /* atomic */
	struct ob_nvme_ns *ns;
	struct ob_nvmeq *q;
	uint32_t nsid;
	enum ob_nvme_ana ana;
	struct nvmeq_att *next; /* of the namespace */
};

struct nvmeq_listener {
	struct nvmeq_listener *next;
	void (*fn)(void *ctx, struct ob_nvme_ns *ns);
	void *ctx;
};

struct ob_nvme_ns {
	struct ob_nvme_ns_conf conf;
	struct ob_blk_info blk_info;
	unsigned refs;
	uint32_t lba_bytes;
	uint64_t n_lbas;
	enum ob_nvme_wp wp;
	bool formatting;
	uint32_t fused; /* atomic: a fused operation is under way */
	struct nvmeq_att *atts;
	struct nvmeq_listener *listeners;
	struct ob_nvme_resv_image resv;
	uint64_t n_cmds, n_errors, n_conflicts; /* of attachments that are gone */
};

/* What a worker has of an attachment. */
struct nvmeq_nsw {
	struct nvmeq_att *att;
	struct ob_blk_ch *ch;
	uint64_t n_cmds, n_errors, n_conflicts; /* single writer */
	bool gone;				/* is being detached */
	bool preempted;				/* what comes back cancelled now: by another host */
};

/* ---- requests and queues ---- */

struct nvmeq_sq;
struct nvmeq_worker;
struct nvmeq_job;

enum nvmeq_req_flags {
	NVMEQ_DIRECT =
	    1
	    << 0, /* the I/O under way points into guest memory: translate again before a resubmission */
	NVMEQ_ABORTED = 1 << 1,	   /* by the host */
	NVMEQ_FUSED_LOCK = 1 << 2, /* holds the namespace's */
	NVMEQ_NO_CID = 1 << 3,	   /* its identifier belongs to another command */
	NVMEQ_STUCK = 1 << 4,	   /* has ended, but its completion cannot be posted now */
};

struct nvmeq_req {
	struct ob_blk_io io; /* first; owner is the queue */
	struct nvmeq_sq *sq;
	struct nvmeq_nsw *nsw; /* NULL: none yet, or of all namespaces */
	struct ob_nvme_sqe *sqe;
	struct nvmeq_req *next; /* waiting, replay, stuck or control list */
	struct iovec *list;	/* long vector list, or NULL */
	struct nvmeq_job *job;
	struct nvmeq_req *pair; /* fused: of the first command, the second one */
	uint16_t slot;
	uint16_t cid;
	ob_nvme_status_t status; /* while a completion waits */
	uint8_t flags;
	uint8_t reserved;
	uint32_t dw0;
	struct iovec iov[NVMEQ_INLINE];
};

/* A command of several steps. */
struct nvmeq_job {
	struct nvmeq_job *next; /* free list */
	uint64_t at, left;	/* bytes of the volume */
	uint64_t to;		/* copy: where the next chunk goes */
	uint32_t n_ranges, range;
	unsigned n_data, data; /* compare: ranges of the host's data; the one that is next */
	uint32_t data_at;      /* and the byte in it */
	uint32_t nsid;	       /* flush of all: the next one */
	bool writing;
	struct nvmeq_lbas {
		uint64_t slba;
		uint64_t nlb;
	} lba[256];
	struct ob_nvme_range data_range[OB_NVME_MAX_RANGES];
	uint8_t buf[2][NVMEQ_CHUNK] __attribute__((aligned(4096)));
};

struct nvmeq_list {
	struct nvmeq_req *head, *tail;
};

struct nvmeq_cq {
	struct ob_nvme_cq ring;
	void *mem; /* window in the worker's map; NULL: not mapped */
	const void *db;
	void *ei; /* shadow event index, or NULL */
	struct nvmeq_worker *nw;
	struct nvmeq_queue_state *st;
	uint64_t *n_irqs, *n_full;
	uint32_t reserved; /* entries that are used or promised to commands under way */
	uint32_t bad_db;
	uint16_t qid, vector;
	uint16_t n_sqs;
	uint32_t signalled; /* entries that interrupts were decided for */
	bool ien, dirty, mute, irq_pending;
	int irq_fd;
	/* Coalescing; threshold 0: off. */
	unsigned threshold, since;
	uint64_t time_tsc, since_tsc;
	struct nvmeq_list stuck; /* completed, but the queue is not mapped */
};

struct nvmeq_sq {
	struct ob_nvme_sq ring;
	const void *mem;
	const void *db;
	void *ei;
	struct nvmeq_cq *cq;
	struct nvmeq_worker *nw;
	struct nvmeq_queue_state *st;
	struct ob_nvmeq_counters *cnt;
	uint64_t *journal;
	struct ob_nvme_sqe *sqe; /* by slot, in the arena */
	struct nvmeq_req *req;	 /* by slot */
	uint16_t *free;
	uint32_t n_free, n_slots;
	uint32_t taken;
	uint32_t bad_db;
	uint16_t qid;
	uint16_t ei_at; /* what the event index was set by; size: never */
	bool stopping, armed;
	struct nvmeq_req *first;   /* of a fused pair whose second command is still to come */
	uint64_t cids[65536 / 64]; /* in use */
};

/* ---- a worker's part ---- */

struct nvmeq_worker {
	struct ob_nvmeq *q;
	struct ob_worker *w;
	const struct ob_gmem_map *map;
	uint64_t map_gen;
	unsigned n_sqs, n_cqs, n_dirty, n_coalescing, n_nsws;
	bool holding; /* nothing is taken; what is cancelled waits in 'replay' */
	bool dead;
	struct nvmeq_sq *sq[OB_NVMEQ_MAX_QPAIRS];
	struct nvmeq_cq *cq[OB_NVMEQ_MAX_QPAIRS];
	struct nvmeq_cq *dirty[OB_NVMEQ_MAX_QPAIRS];
	/* I/Os of one channel that are submitted together. */
	struct ob_blk_ch *batch_ch;
	unsigned n_batch;
	struct ob_blk_io *batch[NVMEQ_BURST];
	struct nvmeq_nsw *ns[OB_NVMEQ_MAX_NS];	 /* by nsid - 1 */
	struct nvmeq_nsw *nsws[OB_NVMEQ_MAX_NS]; /* dense */
	struct nvmeq_list wait;			 /* for a list, a job or a lock */
	struct nvmeq_list replay;		 /* cancelled while holding */
	struct nvmeq_list ready;		 /* jobs whose next step is due */
	struct iovec *lists; /* free ones, chained by their first vector's base */
	unsigned n_lists;
	struct nvmeq_job *jobs;
	unsigned n_jobs;
	unsigned n_users; /* control's: completion queues */
	int epoll_fd;
	struct ob_nvme_range ranges[OB_NVME_MAX_RANGES];
	uint8_t trash[NVMEQ_TRASH]; /* what falls into bit buckets */
};

struct ob_nvmeq {
	struct ob_nvmeq_conf conf;
	unsigned idx;
	unsigned page_shift;
	uint8_t hostid[16];
	struct nvmeq_arena *arena;
	uint64_t *journal;
	struct ob_nvme_sqe *sqe;
	int shadow_win, eventidx_win;
	struct nvmeq_worker *nw[OB_MAX_WORKERS];
	struct nvmeq_sq *sq[OB_NVMEQ_MAX_QPAIRS + 1];
	struct nvmeq_cq *cq[OB_NVMEQ_MAX_QPAIRS + 1];
	int32_t
	    worker[2][OB_NVMEQ_MAX_QPAIRS + 1]; /* for doorbells from any thread; -1: not running */
	uint32_t size[2][OB_NVMEQ_MAX_QPAIRS + 1];
	struct nvmeq_att *att[OB_NVMEQ_MAX_NS];
	int irq_fd[OB_NVMEQ_N_VECTORS];
	bool vector_off[OB_NVMEQ_N_VECTORS];
	unsigned threshold, time_us;
	/* From workers to control, under the lock; none of it is on a fast path. */
	pthread_mutex_t lock;
	struct nvmeq_list control;
	unsigned n_events, n_errors;
	bool error_news; /* since control was told */
	struct ob_nvmeq_event event[NVMEQ_EVENTS];
	struct ob_nvmeq_error error[NVMEQ_EVENTS];
	bool fatal;
	const char *fatal_text; /* that control is still to be told of */
	bool wce;		/* atomic */
	bool dma;
	struct ob_nvmeq *next;
};

/* Single writer, readers anywhere. */
static inline void nvmeq_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Doorbell registers, little endian: [2 * qid + is_cq]. */
static inline uint32_t *nvmeq_registers(const struct ob_nvmeq *q)
{
	return q->conf.doorbells != NULL ? q->conf.doorbells : q->arena->db;
}

static inline void nvmeq_list_add(struct nvmeq_list *l, struct nvmeq_req *r)
{
	r->next = NULL;
	if (l->head == NULL)
		l->head = r;
	else
		l->tail->next = r;
	l->tail = r;
}

static inline struct nvmeq_req *nvmeq_list_pop(struct nvmeq_list *l)
{
	struct nvmeq_req *r = l->head;

	if (r != NULL)
		l->head = r->next;
	return r;
}

/* Removes 'r' if it is there. */
bool nvmeq_list_del(struct nvmeq_list *l, const struct nvmeq_req *r);

/* Something of it may still be under way. */
static inline bool nvmeq_busy(const struct nvmeq_sq *sq, unsigned slot)
{
	return (uint32_t)sq->journal[slot] == NVMEQ_TAKEN && !(sq->req[slot].flags & NVMEQ_STUCK);
}

static inline struct nvmeq_worker *nvmeq_worker_of(const struct nvmeq_req *r)
{
	return r->sq->nw;
}

/* poll.c. Context: owner. */
unsigned nvmeq_poll(struct ob_worker *w, void *nw);
bool nvmeq_arm(struct ob_worker *w, void *nw);
void nvmeq_disarm(struct ob_worker *w, void *nw);
void nvmeq_begin(struct nvmeq_worker *nw); /* loads the map */
void nvmeq_flush(struct nvmeq_worker *nw); /* submits, publishes, interrupts */
void nvmeq_submit(struct nvmeq_worker *nw);
void nvmeq_cq_signal(struct nvmeq_cq *cq);
void nvmeq_refresh(struct nvmeq_worker *nw); /* windows and doorbells, after they changed */
/* What a doorbell's value is worth; tells control of one that is not valid. */
void nvmeq_bad_doorbell(struct nvmeq_worker *nw, uint16_t qid, bool is_cq, uint32_t value);

/* done.c: ends a command; status 0: success. Context: owner. */
void nvmeq_complete(struct nvmeq_req *r, ob_nvme_status_t status);
void nvmeq_stuck(struct nvmeq_cq *cq); /* posts what waited for the queue to be mapped */
/* Status for an error of the volume. */
ob_nvme_status_t nvmeq_blk_status(const struct nvmeq_req *r, int result);
/* True if a cancelled I/O waits now to be submitted again. */
bool nvmeq_held(struct nvmeq_req *r);
void nvmeq_put_list(struct nvmeq_worker *nw, struct nvmeq_req *r);

/* rw.c: starts a command, or tries again to. Returns false: it waits for something ('wait' list). Context: owner. */
bool nvmeq_start(struct nvmeq_worker *nw, struct nvmeq_req *r);
void nvmeq_replay(struct nvmeq_worker *nw, struct nvmeq_req *r);
/* Adds the request's I/O to what is submitted next. */
void nvmeq_issue(struct nvmeq_worker *nw, struct nvmeq_req *r);
ob_nvme_status_t nvmeq_gate_status(uint32_t gate, unsigned class);
/* The gate again, for a command that has begun (its pair, too): it may have closed since. */
ob_nvme_status_t nvmeq_still_may(const struct nvmeq_req *r);
/* The command's LBA range in bytes. */
ob_nvme_status_t nvmeq_lba_range(
    const struct nvmeq_att *att, uint64_t slba, uint64_t nlb, uint64_t *off, uint64_t *len);
/* Read or Write, checked for the gate already. Returns false: waits. */
bool nvmeq_start_rw(struct nvmeq_worker *nw, struct nvmeq_req *r);

/* Force Unit Access of what writes: the command's, or of all while the volatile write cache is off. */
static inline uint8_t nvmeq_fua(const struct nvmeq_worker *nw, const struct ob_nvme_sqe *sqe)
{
	return (sqe->cdw12 & 1u << 30) || unlikely(!__atomic_load_n(&nw->q->wce, __ATOMIC_RELAXED))
		   ? OB_BLK_FUA
		   : 0;
}

/* job.c: the commands of several steps. Return as nvmeq_start. */
bool nvmeq_start_job(struct nvmeq_worker *nw, struct nvmeq_req *r);
unsigned nvmeq_advance(struct nvmeq_worker *nw); /* one step of each job whose I/O ended */
void nvmeq_put_job(struct nvmeq_worker *nw, struct nvmeq_req *r);

/* resv.c. Context: control. */
void nvmeq_resv_gate(struct ob_nvme_ns *ns); /* ns.c too: recomputes every attachment's gate */
uint32_t nvmeq_resv_deny(const struct ob_nvme_ns *ns, const uint8_t hostid[16]);
ob_nvme_status_t nvmeq_resv_run(
    struct ob_nvmeq *q, struct nvmeq_att *att, const struct ob_nvme_sqe *sqe);

/* ns.c. Context: control. */
void nvmeq_att_add(struct nvmeq_att *att);
void nvmeq_att_del(struct nvmeq_att *att);

/* event.c */
void nvmeq_event(struct ob_nvmeq *q, const struct ob_nvmeq_event *ev); /* any thread */
bool nvmeq_error(
    struct ob_nvmeq *q, const struct ob_nvmeq_error *e); /* any thread; false: no room */
void nvmeq_to_control(struct nvmeq_req *r);
void nvmeq_run_control(struct ob_nvmeq *q); /* control */
void nvmeq_events_add(struct ob_nvmeq *q);
void nvmeq_events_del(struct ob_nvmeq *q);
struct ob_nvmeq *nvmeq_find(const char *name);
void nvmeq_fatal(struct nvmeq_worker *nw, const char *text);

/* queue.c, nvmeq.c. Context: control. */
void nvmeq_cq_coalesce(struct nvmeq_cq *cq);
void nvmeq_drop_shadow(struct ob_nvmeq *q);
void nvmeq_abort_att(struct nvmeq_att *att); /* Preempt and Abort */
int nvmeq_nsw_open(struct nvmeq_worker *nw, struct nvmeq_att *att);
void nvmeq_nsw_close(struct nvmeq_worker *nw, uint32_t nsid);
