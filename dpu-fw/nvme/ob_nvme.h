/* SPDX-License-Identifier: BSD-3-Clause */
/* One NVMe 2.0 controller of the card, as a host or a VM sees it: a PCI function over a vfio-user socket.
 *
 * The function owns its guest memory map, its registers and the admin queue; I/O queues are dataplane/nvmeq's, on workers.
 * Namespaces (struct ob_nvme_ns of ob_nvmeq.h: a volume, its format and identity) are made by the card, put under a number
 * here, and may be in several controllers. Controllers with the same subsystem NQN are one subsystem: a number then means
 * the same namespace in all of them.
 *
 * Everything here runs on the main thread. Before the first function: ob_gmem_catch_faults, ob_workers_start; and the main
 * loop must run ob_nvmeq_poll_events when ob_nvmeq_event_fd is readable (errors, resizes and reservations reach the host that way).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ob_nvmeq.h"

struct event_base;
struct ob_nvme;

#define OB_NVME_NAME_MAX   32  /* with the closing NUL */
#define OB_NVME_PATH_MAX   108 /* of a Unix socket, with the closing NUL */
#define OB_NVME_NQN_MAX	   224 /* with the closing NUL */
#define OB_NVME_MAX_NS	   256 /* namespace numbers 1..256 */
#define OB_NVME_MAX_QPAIRS 64  /* of I/O */

/* What the card does for the host's administrator. Main thread; none may block. Each may be NULL. */
struct ob_nvme_hooks {
	/* Firmware Commit: 'image' (of the card's own kind, downloaded by the host, hostile) shall run in 'slot' from the next reset on
	 * ('now': at once). Returns 0; -EINVAL no valid image; -EPERM the card does not let this function do it; -EBUSY later;
	 * -errno. NULL: commands Firmware Download and Commit do not exist. */
	int (*update)(void *ctx, const void *image, size_t len, unsigned slot, bool now);
	/* Namespace Management, create: a volume of 'blocks' blocks of 'block_bytes' (512 or 4096) from the card's pool. The
	 * reference in '*ns' becomes the controller's. Returns 0; -ENOSPC the pool has not so much; -EINVAL; -EPERM. NULL: -ENOSPC. */
	int (*ns_create)(
	    void *ctx, uint64_t blocks, uint32_t block_bytes, bool shared, struct ob_nvme_ns **ns);
	/* Namespace Management, delete: 'ns' is detached everywhere. Returns 0: its data is given up and the controller drops its
	 * reference afterwards; -EPERM: it is not the host's to delete (NULL: always). */
	int (*ns_delete)(void *ctx, struct ob_nvme_ns *ns);
	/* Bytes of the pool, and how many are free: Identify TNVMCAP and UNVMCAP. NULL: 0. */
	void (*capacity)(void *ctx, uint64_t *total, uint64_t *unallocated);
	/* Format with cryptographic erase: the volume's key is replaced, the old one forgotten; no I/O is under way.
	 * Returns 0; -ENOTSUP the volume is not encrypted; -errno. NULL: -ENOTSUP. */
	int (*crypto_erase)(void *ctx, struct ob_nvme_ns *ns);
	/* The host detached, attached, created, deleted or formatted a namespace: whoever keeps a list of them looks again. */
	void (*ns_changed)(void *ctx, uint32_t nsid);
};

struct ob_nvme_conf {
	/* 1..31 of [A-Za-z0-9_.-]: names the arena region "nvme.<name>", I/O side and logs; copied */
	const char *name;
	const char *path;	 /* of the socket; copied */
	struct event_base *base; /* the main loop */
	struct ob_arena *arena;	 /* what must survive lives there */
	const char *serial;	 /* of the card, printable ASCII, 1..20 characters; copied */
	const char *model; /* printable ASCII, up to 40; NULL: "Outboard NVMe function"; copied */
	const char *firmware; /* revision that runs, up to 8; NULL: "1.0"; copied */
	/* "nqn....", at most 223 characters; copied. NULL: a subsystem of its own, named after serial and function. */
	const char *subnqn;
	uint16_t
	    cntlid; /* 0..0xffef, unique within the subsystem; OB_NVME_CNTLID_AUTO: the next free one */
	uint16_t n_qpairs;	/* most I/O queue pairs, 1..64; 0: 16 */
	uint16_t queue_entries; /* most entries of a queue, a power of two 2..4096; 0: 1024 */
	uint32_t mdts_bytes;	/* largest transfer, a power of two 4096..2 MiB; 0: 1 MiB */
	bool
	    doorbell_page; /* doorbells are a page that the host maps: no message a doorbell, workers poll */
	const struct ob_nvme_hooks *hooks; /* must stay; NULL: none */
	void *hooks_ctx;
};
#define OB_NVME_CNTLID_AUTO 0xffff

/* Makes the function and listens on the socket; it serves one peer after the other. Context: main.
 * Returns 0; -EINVAL bad conf; -EEXIST the name, or the controller's number in its subsystem, is taken; -EADDRINUSE somebody serves
 * that socket; -ENOSPC too many functions; -ENOMEM; -errno. */
int ob_nvme_create(const struct ob_nvme_conf *conf, struct ob_nvme **out);

/* Closes the connection, stops the queues, drops the namespaces' references, frees all. NULL is legal. Context: main. */
void ob_nvme_destroy(struct ob_nvme *c);

const char *ob_nvme_name(const struct ob_nvme *c);

/* Puts 'ns' under the number '*nsid' (0: the lowest free one, which is stored there) and attaches it; takes a reference. The host hears of it by
 * the event Namespace Attribute Changed. Context: main.
 * Returns 0; -EINVAL number over OB_NVME_MAX_NS; -EEXIST the number means another namespace in this subsystem; -EALREADY 'ns' is there;
 * -EBUSY its volume is still being erased by a format that was given up: later; -ENOSPC; -ENOMEM. */
int ob_nvme_add_ns(struct ob_nvme *c, uint32_t *nsid, struct ob_nvme_ns *ns);
/* Takes a namespace away, attached or not: I/O to it ends with Invalid Namespace or Format. When it returns nobody of this controller uses
 * it, and the reference is dropped. Returns 0; -ENOENT. Context: main. */
int ob_nvme_del_ns(struct ob_nvme *c, uint32_t nsid);
/* What Identify says of the namespace was changed by the card (write protection): tells the host. (A resize of its volume is noticed
 * without.) Context: main. */
void ob_nvme_ns_changed(struct ob_nvme *c, uint32_t nsid);
/* State of the path from this controller to the namespace; the host hears of it. Returns 0; -ENOENT; -EINVAL. Context: main. */
int ob_nvme_set_ana(struct ob_nvme *c, uint32_t nsid, enum ob_nvme_ana state);

/* ---- what people see of it --------------------------------------------------------------------------------------------------- */

enum ob_nvme_state {
	OB_NVME_WAITING,   /* nobody is connected */
	OB_NVME_DISABLED,  /* connected, CC.EN is 0 */
	OB_NVME_READY,	   /* CSTS.RDY */
	OB_NVME_SHUT_DOWN, /* the host shut it down (CSTS.SHST) */
	OB_NVME_FATAL,	   /* CSTS.CFS: stopped until the host resets it */
};

struct ob_nvme_queue_status {
	uint16_t qid;  /* 1.. */
	uint16_t cqid; /* of a submission queue; else its own qid */
	uint16_t size;
	uint16_t vector; /* of a completion queue; 0xffff: none */
	int16_t worker;	 /* -1: none */
};

struct ob_nvme_status {
	char name[OB_NVME_NAME_MAX];
	char path[OB_NVME_PATH_MAX];
	char subnqn[OB_NVME_NQN_MAX];
	enum ob_nvme_state state;
	bool connected;
	pid_t peer_pid; /* 0: not known */
	uint16_t cntlid;
	uint32_t cc, csts;     /* registers as they are now */
	uint16_t n_sqs, n_cqs; /* I/O queues that the host made */
	uint16_t n_qpairs;     /* most that it can make */
	uint32_t n_ns;	       /* attached namespaces */
	uint32_t n_ns_allocated;
	uint32_t n_ranges; /* guest memory it can reach */
	uint64_t n_bytes;
	uint64_t n_faults;     /* pages that went away under the card */
	uint64_t n_violations; /* accesses that the memory firewall refused */
	uint64_t n_enables, n_resets, n_fatal, n_shutdowns;
	uint64_t n_admin, n_admin_err; /* commands, and those that ended in an error status */
	uint64_t n_doorbells, n_bad_doorbells;
	uint64_t n_events;  /* asynchronous events told to the host */
	uint64_t n_io_err;  /* entries of the error log since creation */
	char fatal_why[64]; /* why CFS was set last; "" never */
	bool shadow_doorbells;
};

void ob_nvme_get_status(const struct ob_nvme *c, struct ob_nvme_status *out);

/* I/O submission (sq true) or completion queue number 'i' of those there are. Returns 0; -ENOENT past the end. Context: main. */
int ob_nvme_get_queue(
    const struct ob_nvme *c, bool sq, unsigned i, struct ob_nvme_queue_status *out);

/* Counters of an I/O queue, or with qid 0 of all there were: see ob_nvmeq_counters. Context: main. */
int ob_nvme_get_counters(const struct ob_nvme *c, uint16_t qid, struct ob_nvmeq_counters *out);

/* The next namespace number of this controller after 'nsid' (start with 0), or 0. '*attached' may be NULL. Context: main. */
uint32_t ob_nvme_next_ns(
    const struct ob_nvme *c, uint32_t nsid, struct ob_nvme_ns **ns, bool *attached);

/* ---- the vendor log page ------------------------------------------------------------------------------------------------------ */

/* Log page C0h as the host gets it, all fields little endian: what a tenant can know of why its I/O takes the time it takes. With a namespace's
 * number it tells of that one's volume, with 0 or FFFFFFFFh it sums up all that are attached. Counters never go back while the volume lives. */
#define OB_NVME_VENDOR_LOG_VERSION 1

struct ob_nvme_vendor_log {
	uint8_t magic[8]; /* "OBNVMEIO" */
	uint32_t version;
	uint32_t n_classes; /* of the histograms: OB_BLK_LAT_CLASSES */
	uint64_t
	    throttled_ns; /* that I/Os waited because a limit of the volume was exceeded, summed */
	uint64_t n_throttled;
	/* [enum ob_blk_op]: read, write, flush, deallocate, write zeroes */
	uint64_t n_ios[5], n_bytes[5], n_errors[5], lat_sum_ns[5];
	uint64_t lat_p50_ns[2], lat_p99_ns[2], lat_p999_ns[2]; /* reads, writes */
	/* Reads, writes. The lower end of class c in units of 64 ns: c if c < 16, else (16 + c % 16) << (c / 16 - 1). */
	uint64_t lat[2][OB_BLK_LAT_CLASSES];
};
static_assert(sizeof(struct ob_nvme_vendor_log) == 240 + 16 * OB_BLK_LAT_CLASSES, "wire format");
