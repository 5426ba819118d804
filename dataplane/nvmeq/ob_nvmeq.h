/* SPDX-License-Identifier: BSD-3-Clause */
/* The I/O side of an NVMe controller: queues on workers, namespaces, the I/O command set. NVMe base 2.0, NVM command set 1.0.
 *
 * The controller (registers, admin commands; main thread) makes a struct ob_nvmeq, attaches namespaces, starts and stops queues as
 * the host's admin commands say, and passes doorbell writes on. A completion queue and all submission queues that complete into it
 * belong to one worker. What must survive is in the arena (README.md).
 *
 * Everything here is for the control thread unless said.
 */
#pragma once

#include "ob_arena.h"
#include "ob_block.h"
#include "ob_nvme_data.h"
#include "ob_nvme_ring.h"

#define OB_NVMEQ_NAME_MAX   32
#define OB_NVMEQ_MAX_QPAIRS 64
#define OB_NVMEQ_MAX_NS	    256 /* nsids are 1..OB_NVMEQ_MAX_NS */
#define OB_NVMEQ_N_VECTORS  (OB_NVMEQ_MAX_QPAIRS + 1)
#define OB_NVME_BROADCAST   0xffffffffu

struct ob_nvme_ns;
struct ob_nvmeq;

/* ---- namespaces ------------------------------------------------------------------------------------------------------------ */

enum ob_nvme_wp { /* 5.27.1.29 */
	OB_NVME_WP_NONE,
	OB_NVME_WP_ON,
	OB_NVME_WP_UNTIL_POWER_CYCLE,
	OB_NVME_WP_PERMANENT,
};

enum ob_nvme_ana { /* 8.1; values as in the log page */
	OB_NVME_ANA_OPTIMIZED = 1,
	OB_NVME_ANA_NON_OPTIMIZED = 2,
	OB_NVME_ANA_INACCESSIBLE = 3,
	OB_NVME_ANA_PERSISTENT_LOSS = 4,
	OB_NVME_ANA_CHANGE = 15,
};

#define OB_NVME_MAX_REGISTRANTS 64

/* Registrations and the reservation of a namespace (8.19), to be kept through a loss of power. Fixed layout, native byte order. */
struct ob_nvme_resv_image {
	uint32_t gen;
	uint8_t rtype; /* 0: no reservation */
	uint8_t ptpl;
	uint16_t n;
	uint16_t holder; /* index into reg[]; of the All Registrants types it means nothing */
	uint16_t reserved[3];
	struct {
		uint8_t hostid[16];
		uint64_t key;
		uint16_t cntlid; /* that the host used last */
		uint16_t reserved[3];
	} reg[OB_NVME_MAX_REGISTRANTS];
};

struct ob_nvme_ns_conf {
	char name[OB_NVMEQ_NAME_MAX]; /* of the volume, for people */
	struct ob_blk *blk;	      /* a reference is taken */
	uint32_t lba_bytes; /* 512 or 4096, a multiple of the device's block; 0: the device's */
	uint8_t uuid[16], nguid[16], eui64[8]; /* all zero: none */
	uint32_t ana_group;		       /* 1.. */
	/* Keeps registrations through a loss of power. On return it is durable. NULL: Persist Through Power Loss is refused. */
	int (*resv_store)(void *ctx, const struct ob_nvme_resv_image *img);
	void *resv_ctx;
	const struct ob_nvme_resv_image
	    *resv; /* what was stored; NULL none. Read during create only */
};

/* One reference. Returns 0, -EINVAL, -ENOMEM. */
int ob_nvme_ns_create(const struct ob_nvme_ns_conf *conf, struct ob_nvme_ns **out);
struct ob_nvme_ns *ob_nvme_ns_get(struct ob_nvme_ns *ns);
void ob_nvme_ns_put(struct ob_nvme_ns *ns); /* NULL is legal */

/* What Identify and the log pages say of it. */
struct ob_nvme_ns_info {
	char name[OB_NVMEQ_NAME_MAX];
	uint8_t uuid[16], nguid[16], eui64[8];
	uint32_t ana_group;
	uint32_t lba_bytes;
	uint64_t n_lbas;
	uint32_t phys_bytes, opt_io_bytes,
	    discard_bytes; /* of the device below; 0: no preference */
	bool read_only, volatile_cache, zero_on_discard;
	bool ptpl_capable, ptpl; /* Persist Through Power Loss: there is a store; it is on */
	enum ob_nvme_wp wp;
	unsigned n_attached; /* controllers */
	/* Copy: source ranges (MSRC + 1), blocks a range (MSSRL), blocks a command (MCL) */
	uint16_t copy_ranges, copy_range_lbas;
	uint32_t copy_lbas;
};
void ob_nvme_ns_info(const struct ob_nvme_ns *ns, struct ob_nvme_ns_info *out);

/* 'fn' is called on the control thread when the size changed. One listener a (fn, ctx). Controllers with the namespace attached get
 * OB_NVMEQ_EV_NS_CHANGED besides. Returns 0, -ENOMEM. */
int ob_nvme_ns_on_resize(
    struct ob_nvme_ns *ns, void (*fn)(void *ctx, struct ob_nvme_ns *ns), void *ctx);
void ob_nvme_ns_off_resize(
    struct ob_nvme_ns *ns, void (*fn)(void *ctx, struct ob_nvme_ns *ns), void *ctx);

/* Returns 0, -EPERM from permanent, -EBUSY while it is formatted, or -EINVAL. Writes that are under way go on. */
int ob_nvme_ns_set_wp(struct ob_nvme_ns *ns, enum ob_nvme_wp wp);
/* While on, I/O to it ends with Format in Progress. The caller erases the volume meanwhile. */
void ob_nvme_ns_set_formatting(struct ob_nvme_ns *ns, bool on);
/* New LBA size; formatting must be on, and I/O drained by ob_nvmeq_drain of each controller. Returns 0, -EINVAL, -EBUSY not formatting. */
int ob_nvme_ns_set_lba_bytes(struct ob_nvme_ns *ns, uint32_t lba_bytes);
/* Reservation Persistence (5.27.1.28). Returns 0, -ENOTSUP no store, -EIO it failed. */
int ob_nvme_ns_set_ptpl(struct ob_nvme_ns *ns, bool on);
/* The volume below; no reference is taken. */
struct ob_blk *ob_nvme_ns_blk(const struct ob_nvme_ns *ns);

struct ob_nvme_ns_stats {
	struct ob_blk_stats
	    blk; /* of the volume, whoever uses it: I/Os, bytes, latency, throttle time, depth */
	uint64_t
	    n_cmds; /* NVMe commands to this namespace, of all controllers there are and were */
	uint64_t n_errors;    /* of them that ended with an error */
	uint64_t n_conflicts; /* of them by a reservation */
};
void ob_nvme_ns_stats(struct ob_nvme_ns *ns, struct ob_nvme_ns_stats *out);

/* ---- a controller's I/O side ----------------------------------------------------------------------------------------------- */

enum ob_nvmeq_event_type {
	OB_NVMEQ_EV_FATAL, /* set CSTS.CFS: guest memory was taken away under us, or an interrupt blocked; 'text' */
	OB_NVMEQ_EV_DOORBELL, /* invalid value in a shadow or mapped doorbell: AER; qid, is_cq, value */
	OB_NVMEQ_EV_ERROR,	/* entries for the Error Information log wait (ob_nvmeq_errors) */
	OB_NVMEQ_EV_NS_CHANGED, /* nsid was resized */
	OB_NVMEQ_EV_RESV, /* reservation notification for this controller; nsid, value: NVME_RESV_NOTIFY_RNLPT_* */
};

struct ob_nvmeq_event {
	enum ob_nvmeq_event_type type;
	uint16_t qid;
	bool is_cq;
	uint32_t nsid;
	uint32_t value;
	const char *text;
};

struct ob_nvmeq_conf {
	char name[OB_NVMEQ_NAME_MAX]; /* of the function; [A-Za-z0-9_.-] */
	struct ob_gmem *gm;
	struct ob_arena *arena;
	uint16_t cntlid;
	uint16_t max_qpairs;  /* 1..OB_NVMEQ_MAX_QPAIRS */
	uint16_t max_entries; /* of a queue, a power of two 2..OB_NVME_MAX_ENTRIES */
	uint32_t mdts_bytes;  /* power of two, 4096..OB_BLK_MAX_BYTES */
	bool sgl;
	/* A page that the host has mapped, of 2 * (max_qpairs + 1) little-endian words: doorbell of submission queue y at [2y], of completion queue
	 * y at [2y + 1]. The worker polls it and naps instead of sleeping, as nothing can wake it. A queue's word is zeroed
	 * when the queue starts. NULL: ob_nvmeq_doorbell only. */
	uint32_t *doorbells;
	/* On the control thread, from ob_nvmeq_poll_events. May stop and destroy queues, not 'q' itself. */
	void (*on_event)(void *ctx, const struct ob_nvmeq_event *ev);
	void *ctx;
};

/* Returns 0, -EINVAL, -EEXIST name, -ENOMEM, -ENOSPC arena. Needs workers. */
int ob_nvmeq_create(const struct ob_nvmeq_conf *conf, struct ob_nvmeq **out);
/* Stops all queues, detaches all namespaces. NULL is legal. */
void ob_nvmeq_destroy(struct ob_nvmeq *q);

/* Give this to ob_gmem_conf as sync with the ob_nvmeq as sync_ctx (or call it from the sync hook): on return no worker uses an older
 * map and no medium has an address from it. I/O that only waited (throttled) is translated again and goes on. */
void ob_nvmeq_sync(void *q);
/* Waits until no command of namespace 'nsid' (OB_NVME_BROADCAST: any) that was taken before is under way; new ones go on being taken. Of a
 * namespace that is formatting what only waits (throttled) ends with Format in Progress. */
void ob_nvmeq_drain(struct ob_nvmeq *q, uint32_t nsid);
/* May this controller's host format the namespace? Returns 0; Reservation Conflict (8.19, as of a write); Invalid Namespace. */
ob_nvme_status_t ob_nvmeq_may_format(const struct ob_nvmeq *q, uint32_t nsid);

/* CC.EN rose. 'page_shift': 12 + CC.MPS (12..16). No queue runs. Returns 0, -EINVAL. */
int ob_nvmeq_enable(struct ob_nvmeq *q, unsigned page_shift);
/* Host identifier (Set Features 81h), 8 bytes are zero-extended. Returns 0, -EINVAL len. */
int ob_nvmeq_set_hostid(struct ob_nvmeq *q, const uint8_t *id, unsigned len);

/* Volatile Write Cache (5.27.1.4): off: every write is made durable before it completes. On after create. */
void ob_nvmeq_set_wce(struct ob_nvmeq *q, bool on);
/* Bus master enable: off: on return nothing of guest memory is touched, positions are kept; on: goes on. On after create. */
void ob_nvmeq_dma(struct ob_nvmeq *q, bool on);

/* Attaches 'ns' (a reference is taken) under 'nsid', or detaches what is there (NULL): on return no I/O to it is under way (throttled I/O
 * ends with Invalid Namespace). Returns 0, -EINVAL, -EEXIST, -ENOENT, -ENOMEM, -errno of the channel. */
int ob_nvmeq_set_ns(struct ob_nvmeq *q, uint32_t nsid, struct ob_nvme_ns *ns);
struct ob_nvme_ns *ob_nvmeq_ns(const struct ob_nvmeq *q, uint32_t nsid); /* no reference; NULL */
/* State of the path from this controller. Returns 0, -ENOENT, -EINVAL. */
int ob_nvmeq_set_ana(struct ob_nvmeq *q, uint32_t nsid, enum ob_nvme_ana state);
enum ob_nvme_ana ob_nvmeq_ana(const struct ob_nvmeq *q, uint32_t nsid);

/* Queues, qid 1..max_qpairs. start: 0, -EINVAL size, address (page aligned) or vector, -EEXIST, -ENOENT no such CQ, -ENOMEM, -ENOSPC.
 * 'size' in entries. 'ien': interrupts on. */
int ob_nvmeq_start_cq(
    struct ob_nvmeq *q, uint16_t qid, ob_iova_t at, uint32_t size, uint16_t vector, bool ien);
int ob_nvmeq_start_sq(struct ob_nvmeq *q, uint16_t qid, uint16_t cqid, ob_iova_t at, uint32_t size);
/* Returns when nobody touches it: what only waited ends with Command Aborted due to SQ Deletion, the rest completes. 0, -ENOENT. */
int ob_nvmeq_stop_sq(struct ob_nvmeq *q, uint16_t qid);
/* 0, -ENOENT, -EBUSY some SQ completes into it. */
int ob_nvmeq_stop_cq(struct ob_nvmeq *q, uint16_t qid);
/* Controller reset, shutdown or host gone: all queues, without completions; shadow doorbells are forgotten. */
void ob_nvmeq_stop_all(struct ob_nvmeq *q);
bool ob_nvmeq_sq_running(const struct ob_nvmeq *q, uint16_t qid);
bool ob_nvmeq_cq_running(const struct ob_nvmeq *q, uint16_t qid);

/* Interrupts. 'fd': eventfd of MSI-X vector 'vector', -1 none (masked, not set up): what is due meanwhile is raised when there is one. The old
 * one is not used any more on return. Returns 0, -EINVAL. */
int ob_nvmeq_set_irq_fd(struct ob_nvmeq *q, uint16_t vector, int fd);
/* Interrupt Coalescing (5.27.1.6): 'threshold' entries, 'time_us'; either 0: off. And per vector (5.27.1.7). */
void ob_nvmeq_set_coalescing(struct ob_nvmeq *q, unsigned threshold, unsigned time_us);
int ob_nvmeq_set_vector_coalescing(struct ob_nvmeq *q, uint16_t vector, bool on);

/* A doorbell register was written. Returns 0; -ENOENT no such queue (Write to Invalid Doorbell Register); -EINVAL the value is not below the
 * queue's size (Invalid Doorbell Write Value). A head beyond the tail is found later: OB_NVMEQ_EV_DOORBELL. Context: any thread but a
 * worker, as long as the queue is not being stopped. */
int ob_nvmeq_doorbell(struct ob_nvmeq *q, uint16_t qid, bool is_cq, uint32_t value);
/* Doorbell Buffer Config (5.8; Annex B.5): two pages of 4 << 0 bytes a doorbell. Positions of running queues are written there.
 * Returns 0, -EINVAL alignment to the page size, -ENOSPC, -ENOMEM. */
int ob_nvmeq_shadow(struct ob_nvmeq *q, ob_iova_t doorbells, ob_iova_t eventidx);

/* Abort (5.1). Returns true: the command ended (or will) with Command Abort Requested; false: not found or past that. */
bool ob_nvmeq_abort(struct ob_nvmeq *q, uint16_t sqid, uint16_t cid);

/* Entries for the Error Information log, oldest first. 'count' is left to the caller. Returns their number. */
struct ob_nvmeq_error {
	uint16_t sqid, cid;
	ob_nvme_status_t status;
	uint8_t opcode;
	uint8_t reserved;
	uint32_t nsid;
	uint64_t lba;
};
unsigned ob_nvmeq_errors(struct ob_nvmeq *q, struct ob_nvmeq_error *out, unsigned max);

/* Counters of a queue, in the arena; written by its worker. Of a qid: of its submission queue, but n_irqs and n_cq_full of its completion queue.
 * They start at 0 with the queue; qid 0: sum of all there are and were since create (SMART). */
struct ob_nvmeq_counters {
	uint64_t n_cmds;   /* taken */
	uint64_t n_errors; /* completed with a status other than success */
	uint64_t n_reads, n_writes, n_read_bytes, n_write_bytes; /* completed without error */
	uint64_t n_bursts;
	uint64_t n_kicks; /* doorbell writes that arrived as messages */
	uint64_t n_irqs;
	uint64_t n_cq_full; /* bursts cut short because completions would not have fitted */
	uint64_t n_stalls;  /* bursts not taken because the queue's memory is not mapped */
	uint64_t n_inflight, max_inflight;
	uint64_t reserved[3];
};
int ob_nvmeq_counters(const struct ob_nvmeq *q, uint16_t qid, struct ob_nvmeq_counters *out);
/* Worker of a running SQ, or -1. */
int ob_nvmeq_worker(const struct ob_nvmeq *q, uint16_t sqid);

/* Readable when events of any controller wait; runs them on the caller's thread. Returns the number. */
int ob_nvmeq_event_fd(void);
unsigned ob_nvmeq_poll_events(void);
