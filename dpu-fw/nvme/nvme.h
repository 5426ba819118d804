/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of dpu-fw/nvme: the state of one controller. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <linux/pci_regs.h>
#include <nvme/types.h>

#include <rte_log.h>

#include "ob_arena.h"
#include "ob_gmem.h"
#include "ob_nvme.h"
#include "ob_nvmeq.h"
#include "ob_vfu.h"

#define NVME_STATE_LAYOUT 1
#define NVME_PAGE	  4096u
#define NVME_MPS_MAX	  4u /* CAP.MPSMAX: pages of up to 64 KiB */
#define NVME_SQE_SHIFT	  6u /* CC.IOSQES, IOCQES */
#define NVME_CQE_SHIFT	  4u
#define NVME_N_AER	  8u  /* outstanding Asynchronous Event Requests */
#define NVME_N_ABORT	  4u  /* Identify ACL + 1; each is over before the next */
#define NVME_N_ERRORS	  64u /* entries of the Error Information log */
#define NVME_N_PEL	  64u /* entries of the Persistent Event log */
#define NVME_PEL_BYTES	  64u /* of data, each */
#define NVME_N_RESV_LOG	  32u
#define NVME_N_CHANGED	  1024u /* of the Changed Namespace List */
#define NVME_NO_VECTOR	  0xffffu
#define NVME_BROADCAST	  0xffffffffu
#define NVME_DONE_MAX	  24u /* completions that wait for room in the admin CQ */
#define NVME_N_LBAF	  2u  /* 512 and 4096 bytes */
#define NVME_FW_MAX	  (32u << 20)
#define NVME_VER	  0x00020000u
#define NVME_PCI_VENDOR \
	0x4f42 /* "OB": nobody's; drivers go by the class code, and known numbers bring quirks along */
#define NVME_PCI_DEVICE	   0x4e56
#define NVME_BAR	   0
#define NVME_DOORBELLS_OFF 0x1000u
#define NVME_MSIX_TABLE	   0x2000u
#define NVME_MSIX_PBA	   0x3000u
#define NVME_BAR_BYTES	   0x4000u

/* Status of a command as it is handed around: (type << 8 | code), with DNR. Linux' libnvme has them apart. */
#define NVME_GEN(sc)   ((uint16_t)((sc) | NVME_SC_DNR))
#define NVME_CMD(sc)   ((uint16_t)(NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | (sc) | NVME_SC_DNR))
#define NVME_MEDIA(sc) ((uint16_t)(NVME_SCT_MEDIA << NVME_SCT_SHIFT | (sc)))
#define NVME_LATER \
	0xffffu /* completed by admin_complete later, or never (Asynchronous Event Request) */

/* Values of the features that are one dword and the controller's (not a namespace's). */
enum nvme_feat_idx {
	NVME_F_ARBITRATION,
	NVME_F_POWER,
	NVME_F_TEMP_OVER,
	NVME_F_TEMP_UNDER,
	NVME_F_VWC,
	NVME_F_IRQ_COALESCE,
	NVME_F_ATOMICITY,
	NVME_F_ASYNC,
	NVME_F_KATO,
	NVME_F_SW_PROGRESS,
	NVME_N_F
};

/* What can be told by an asynchronous event; a bit each. */
enum nvme_ev {
	NVME_EV_DB_REGISTER, /* error */
	NVME_EV_DB_VALUE,
	NVME_EV_SMART_TEMP, /* health */
	NVME_EV_SMART_READ_ONLY,
	NVME_EV_NS_ATTR, /* notice */
	NVME_EV_FW_START,
	NVME_EV_ANA,
	NVME_EV_RESV, /* I/O command set */
	NVME_N_EV
};

struct nvme_queue_state {
	uint64_t iova;
	uint16_t size; /* entries; 0: there is no such queue */
	uint16_t cqid; /* of a submission queue */
	uint16_t vector;
	uint8_t ien, prio;
};
static_assert(sizeof(struct nvme_queue_state) == 16, "arena layout");

struct nvme_ns_state {
	uint64_t ana_count; /* changes of the path state */
	uint32_t error_recovery;
	uint32_t resv_mask;			/* Reservation Notification Mask */
	uint8_t allocated, attached, hosts_own; /* hosts_own: made by Namespace Management */
	uint8_t reserved[5];
};
static_assert(sizeof(struct nvme_ns_state) == 24, "arena layout");

struct nvme_error {
	uint64_t count, lba;
	uint32_t nsid;
	uint16_t sqid, cid, status, loc;
	uint32_t reserved;
};
static_assert(sizeof(struct nvme_error) == 32, "arena layout");

struct nvme_pel_event {
	uint64_t time_ms;
	uint8_t type, rev;
	uint16_t len;
	uint32_t reserved;
	uint8_t data[NVME_PEL_BYTES];
};
static_assert(sizeof(struct nvme_pel_event) == 80, "arena layout");

struct nvme_resv_event {
	uint64_t count;
	uint32_t nsid;
	uint8_t type;
	uint8_t reserved[3];
};

struct nvme_selftest_state {
	uint8_t running, percent; /* running: code of the test, 0 none */
	uint8_t n_results, reserved;
	uint32_t nsid;
	struct {
		uint8_t code_result; /* code << 4 | result */
		uint8_t segment, valid, sct, sc;
		uint8_t reserved[3];
		uint32_t nsid, reserved2;
		uint64_t hours, lba;
	} result[NVME_LOG_ST_MAX_RESULTS]; /* the newest first */
};

/* What a successor needs to go on serving the same host; region "nvme.<name>". Main thread only. */
struct nvme_state {
	/* registers */
	uint64_t asq, acq;
	uint32_t cc, csts, aqa, intms;
	uint16_t pci_command;
	uint16_t cntlid;
	/* admin queue */
	uint16_t sq_head, sq_tail, cq_head, cq_tail; /* of the admin queues, as of the last turn */
	uint8_t cq_phase, fatal;
	uint16_t n_sq_max, n_cq_max; /* granted by Number of Queues; 0: not asked yet */
	uint16_t aer_cid[NVME_N_AER];
	uint32_t n_aer;
	uint32_t ev_pending;	  /* bit of enum nvme_ev */
	uint8_t ev_masked[8];	  /* [type]: log page that must be read first, + 1 */
	uint64_t dbbuf, dbbuf_ei; /* Doorbell Buffer Config; 0 none */
	/* features */
	uint32_t feat[NVME_N_F], saved[NVME_N_F];
	uint8_t host_id[16];
	uint8_t host_id_len; /* 0, 8, 16 */
	uint8_t timestamp_set;
	uint8_t behavior_acre;
	uint8_t reserved1[5];
	uint64_t timestamp_ms;		/* as set */
	uint64_t timestamp_at_ms;	/* CLOCK_BOOTTIME then */
	uint8_t vector_no_coalesce[16]; /* bit a vector */
	/* namespaces, [nsid - 1] */
	struct nvme_ns_state ns[OB_NVME_MAX_NS];
	uint32_t changed[OB_NVME_MAX_NS / 32]; /* Changed Namespace List, a bit each */
	uint64_t ana_count;
	/* I/O queues, [qid - 1] */
	struct nvme_queue_state sq[OB_NVME_MAX_QPAIRS], cq[OB_NVME_MAX_QPAIRS];
	/* logs */
	uint64_t n_errors; /* since creation; the log's newest is error[(n - 1) % N] */
	struct nvme_error error[NVME_N_ERRORS];
	uint64_t n_pel;
	struct nvme_pel_event pel[NVME_N_PEL];
	uint64_t n_resv;
	uint32_t resv_first, n_resv_kept;
	struct nvme_resv_event resv[NVME_N_RESV_LOG];
	struct nvme_selftest_state selftest;
	uint64_t created_ms, reset_ms; /* CLOCK_BOOTTIME: power on, last reset */
	uint64_t n_power_cycles, n_unsafe_shutdowns;
	uint64_t pel_generation;
	/* counters */
	uint64_t n_enables, n_resets, n_fatal, n_shutdowns, n_admin, n_admin_err;
	uint64_t n_doorbells, n_bad_doorbells, n_events;
};

struct event;
struct nvme_format;
struct nvme_selftest;
struct nvme_shutdown;

struct nvme_done {
	uint32_t dw0;
	uint16_t cid, status;
};

struct nvme_ns_slot {
	struct ob_nvme_ns *ns; /* a reference; NULL: number free */
};

struct nvme_fw {
	uint8_t *image; /* what is being downloaded */
	size_t bytes, room;
	uint8_t *have;	/* a bit for 4 KiB */
	uint8_t *slot2; /* committed, not running */
	size_t slot2_bytes;
	char slot2_rev[8];
	uint8_t active_slot;
	uint8_t next_slot; /* active after the next reset; 0: no change */
};

struct ob_nvme {
	struct ob_nvme *next; /* all controllers */
	struct ob_nvme_conf conf;
	char name[OB_NVME_NAME_MAX], path[OB_NVME_PATH_MAX], subnqn[OB_NVME_NQN_MAX];
	char region[OB_ARENA_NAME_MAX];
	char serial[21], model[41], firmware[9];
	struct ob_gmem *gm;
	struct ob_nvmeq *q;
	struct ob_vfu *vfu;
	struct nvme_state *st; /* in the arena */
	bool multi;	       /* its subsystem may have several controllers */
	bool msix;
	struct nvme_ns_slot ns[OB_NVME_MAX_NS];
	struct event *admin_again; /* more commands than one turn handles */
	struct event *kato;
	struct ob_nvme_sq asq;
	struct ob_nvme_cq acq;
	struct nvme_done done[NVME_DONE_MAX]; /* that found no room in the admin CQ */
	unsigned n_done;
	bool running;			/* in nvme_admin_run */
	bool checked;			/* that the host shares its memory, since the last reset */
	uint16_t loc;			/* of the bad field, set by a handler: byte | bit << 8 */
	uint32_t result;		/* dword 0 of the completion, set by a handler */
	struct nvme_shutdown *shutdown; /* what runs in the background, NULL: nothing */
	struct nvme_format *format;
	struct nvme_selftest *selftest;
	struct nvme_fw fw;
	uint8_t *pel; /* the reporting context: a snapshot */
	size_t pel_bytes;
	struct nvme_irq *irq; /* [n_vectors] */
	uint32_t *doorbells;  /* the page that the host maps, or NULL */
	int doorbell_fd;
	struct event *doorbell_poll;
	uint32_t doorbell_seen[2];
	char fatal_why[64];
	time_t log_s;
};

extern int nvme_logtype;
#define nvme_log(level, c, fmt, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)nvme_logtype, "%s: " fmt "\n", (c)->name, ##__VA_ARGS__)
/* True once a second and function, with a burst of ten: for what a guest can trigger. */
bool nvme_may_log(struct ob_nvme *c);

static inline bool nvme_ready(const struct ob_nvme *c)
{
	return (c->st->csts & NVME_CSTS_RDY_MASK) != 0 && !c->st->fatal;
}

/* May it touch the host's memory for the admin queue? */
static inline bool nvme_may_dma(const struct ob_nvme *c)
{
	return nvme_ready(c) && (c->st->pci_command & PCI_COMMAND_MASTER) != 0;
}

static inline uint32_t nvme_page_bytes(const struct ob_nvme *c)
{
	return NVME_PAGE << NVME_CC_MPS(c->st->cc);
}

static inline unsigned nvme_n_vectors(const struct ob_nvme *c)
{
	return c->conf.n_qpairs + 1u;
}

/* Namespace under a number, or NULL. */
static inline struct ob_nvme_ns *nvme_ns(const struct ob_nvme *c, uint32_t nsid)
{
	return nsid >= 1 && nsid <= OB_NVME_MAX_NS ? c->ns[nsid - 1].ns : NULL;
}

static inline bool nvme_ns_attached(const struct ob_nvme *c, uint32_t nsid)
{
	return nvme_ns(c, nsid) != NULL && c->st->ns[nsid - 1].attached;
}

/* nvme.c */
extern struct ob_nvme *nvme_all;
uint64_t nvme_now_ms(void); /* CLOCK_BOOTTIME */
bool nvme_same_subsys(const struct ob_nvme *a, const struct ob_nvme *b);
/* The card does it, or the host's administrator: makes 'nsid' mean 'ns' in this controller; not attached yet. */
int nvme_ns_put_in(struct ob_nvme *c, uint32_t nsid, struct ob_nvme_ns *ns, bool hosts_own);
void nvme_ns_take_out(struct ob_nvme *c, uint32_t nsid);
/* Returns 0, -errno (attach). */
int nvme_ns_attach(struct ob_nvme *c, uint32_t nsid, bool attach);
uint32_t nvme_ns_free_id(const struct ob_nvme *c);
void nvme_ns_tell_changed(struct ob_nvme *c, uint32_t nsid);

/* pci.c */
/* In this order: what the I/O side needs of it; the server; its end; the rest. */
int nvme_pci_prepare(struct ob_nvme *c);
int nvme_pci_create(struct ob_nvme *c);
void nvme_pci_destroy(struct ob_nvme *c);
void nvme_pci_fini(struct ob_nvme *c);
void nvme_irq_use(struct ob_nvme *c, uint16_t vector); /* a completion queue is about to use it */
void nvme_admin_irq(struct ob_nvme *c);
/* The host moved the head of a completion queue that uses 'vector'. */
void nvme_irq_answered(struct ob_nvme *c, uint16_t vector);
void nvme_doorbells_clear(struct ob_nvme *c, unsigned qid, bool is_cq);
void nvme_irq_reset(struct ob_nvme *c);
void nvme_irq_mask_changed(struct ob_nvme *c);

/* regs.c */
void nvme_regs_read(struct ob_nvme *c, uint64_t off, void *buf, size_t len);
void nvme_regs_write(struct ob_nvme *c, uint64_t off, const void *buf, size_t len);
uint64_t nvme_cap(const struct ob_nvme *c);
/* Function reset (PCI): registers as after power on. Controller reset (CC.EN 1 to 0): AQA, ASQ and ACQ stay. */
void nvme_function_reset(struct ob_nvme *c);
void nvme_fatal(struct ob_nvme *c, const char *why);
void nvme_doorbell(struct ob_nvme *c, uint64_t off, uint32_t value);
void nvme_bad_doorbell(struct ob_nvme *c, unsigned qid, enum nvme_ev ev);

/* admin.c */
int nvme_admin_start(struct ob_nvme *c); /* CC.EN rose */
void nvme_admin_reset(struct ob_nvme *c);
void nvme_admin_run(struct ob_nvme *c);
/* Ends a command that answered NVME_LATER. */
void nvme_admin_complete(struct ob_nvme *c, uint16_t cid, uint16_t status, uint32_t dw0);
/* Payload of an admin command: into or out of the host's memory. Returns 0 or the status. */
uint16_t nvme_data_in(struct ob_nvme *c, const struct ob_nvme_sqe *e, void *buf, size_t len);
uint16_t nvme_data_out(struct ob_nvme *c, const struct ob_nvme_sqe *e, const void *buf, size_t len);
/* Marks the bad field of a command, for the error log: dword and bit. Returns 'status'. */
uint16_t nvme_bad(struct ob_nvme *c, unsigned dword, unsigned bit, uint16_t status);

/* A handler of an opcode: 'e' is a private copy. Returns 0, a status, or NVME_LATER. */
typedef uint16_t (*nvme_handler)(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_identify(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_set_features(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_get_features(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_get_log_page(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_aer(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_abort(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_keep_alive(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_create_cq(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_create_sq(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_delete_cq(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_delete_sq(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_dbbuf(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_ns_mgmt(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_ns_attachment(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_format(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_fw_download(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_fw_commit(struct ob_nvme *c, const struct ob_nvme_sqe *e);
uint16_t nvme_self_test(struct ob_nvme *c, const struct ob_nvme_sqe *e);
/* Whether a command exists in this controller (OACS, hooks). */
bool nvme_admin_supports(const struct ob_nvme *c, uint8_t opcode);

/* identify.c */
void nvme_id_ctrl_fill(struct ob_nvme *c, struct nvme_id_ctrl *id);
/* LBA formats that a namespace (NULL: any) can have, as powers of two. Returns their number. */
unsigned nvme_lbaf_list(const struct ob_nvme_ns *ns, uint8_t shift[NVME_N_LBAF]);

/* features.c */
void nvme_features_init(struct ob_nvme *c);  /* power on: defaults */
void nvme_features_reset(struct ob_nvme *c); /* controller reset: saved values */
bool nvme_feature_supported(uint8_t fid, bool *per_ns);
uint64_t nvme_timestamp_ms(const struct ob_nvme *c);
uint16_t nvme_temperature(const struct ob_nvme *c); /* kelvin */
void nvme_kato_restart(struct ob_nvme *c);
void nvme_kato_stop(struct ob_nvme *c);

/* aer.c */
void nvme_event(struct ob_nvme *c, enum nvme_ev ev);
/* The log page was read with RAE 0. */
void nvme_event_log_read(struct ob_nvme *c, uint8_t lid);
void nvme_events_send(struct ob_nvme *c);
void nvme_aer_reset(struct ob_nvme *c);
bool nvme_aer_has(const struct ob_nvme *c, uint16_t cid);
bool nvme_aer_abort(struct ob_nvme *c, uint16_t cid);

/* logs.c, log_pages.c */
void nvme_error_add(struct ob_nvme *c, const struct nvme_error *e);
uint8_t nvme_smart_warning(const struct ob_nvme *c);
void nvme_resv_event(struct ob_nvme *c, uint32_t nsid, uint8_t type);

/* pel.c */
void nvme_pel_add(struct ob_nvme *c, uint8_t type, uint8_t rev, const void *data, size_t len);
void nvme_pel_reset(struct ob_nvme *c);
void nvme_pel_power_on(struct ob_nvme *c);

/* queues.c */
void nvme_queues_reset(struct ob_nvme *c); /* stops all I/O queues and forgets them */

/* firmware.c */
void nvme_fw_fini(struct ob_nvme *c);
void nvme_fw_activate(struct ob_nvme *c); /* controller reset */

/* format.c, selftest.c, shutdown.c */
void nvme_format_cancel(struct ob_nvme *c);
void nvme_format_ns_gone(struct ob_nvme *c, const struct ob_nvme_ns *ns);
bool nvme_format_has(const struct ob_nvme *c, uint16_t cid);
void nvme_selftest_cancel(struct ob_nvme *c, uint8_t result);
void nvme_selftest_formatted(struct ob_nvme *c, const struct ob_nvme_ns *ns);
void nvme_selftest_ns_gone(struct ob_nvme *c, const struct ob_nvme_ns *ns);
void nvme_shutdown(struct ob_nvme *c);
void nvme_shutdown_cancel(struct ob_nvme *c);
