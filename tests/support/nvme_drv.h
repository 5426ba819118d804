/* SPDX-License-Identifier: BSD-3-Clause */
/* A small NVMe driver in user space, over vfio-user: what a guest's driver does, without the guest. For conformance
 * tests (every step can be left out, repeated or done wrong) and for benches (the I/O path costs some ten ns).
 *
 *   struct nvd d;
 *   nvd_open(&d, "/run/outboard/f.sock", 64 << 20);
 *   nvd_enable(&d, 32);                                   admin queue of 32 entries, CC.EN, waits for CSTS.RDY
 *   nvd_create_queues(&d, 1, 128, 128, NVD_NO_IRQ);       CQ 1 and SQ 1
 *   cmd = (struct nvd_sqe){.opc = NVD_READ, .nsid = 1, .cdw12 = 7};
 *   nvd_data(&d, &cmd, iova, 4096);                       PRPs
 *   sc = nvd_exec(&d, &d.sq[1], &cmd, NULL);              one command: status type << 8 | code, or -errno
 *   nvd_queue(sq, &cmd); nvd_ring(&d, sq); while (nvd_reap(&d, cq, &cqe)) ...          many
 *   nvd_close(&d);
 *
 * -errno: of the connection (see vfu_client.h), or -ETIMEDOUT. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_driver.h"
#include "nvme_wire.h"
#include "vfu_client.h"

#define NVD_MAX_QID 65 /* 0 is the admin queue */
#define NVD_NO_IRQ  0xffff
#define NVD_IOVA    0x10000000ull /* where the driver's memory begins */
#define NVD_WAIT_MS 5000

struct nvd_cq {
	uint16_t qid, size, head;
	uint8_t phase;
	int irq_fd; /* -1: polled */
	uint64_t iova;
	uint8_t *ring;
};

struct nvd_sq {
	uint16_t qid, size;
	uint16_t tail, head; /* head: as completions tell it */
	uint16_t rung;	     /* tail that the controller was told */
	uint16_t next_cid;
	uint16_t cqid;
	uint64_t iova;
	uint8_t *ring;
};

struct nvd {
	struct vfu_client vfu;
	struct fake_guest g; /* memory; fake_guest_alloc, fake_guest_ptr */
	uint64_t cap;
	uint32_t page_bytes; /* CC.MPS */
	struct nvd_cq cq[NVD_MAX_QID];
	struct nvd_sq sq[NVD_MAX_QID];
	uint64_t lists; /* blocks of pages for PRP lists and SGL segments, used in turn */
	unsigned next_list;
	uint64_t page;		  /* for payloads of admin commands */
	struct nvd_cqe stray[32]; /* completions that nvd_exec was not waiting for: async events */
	unsigned n_stray;
	/* Doorbells: a page of the controller's that is mapped here, or messages; or shadow doorbells first. */
	uint8_t *bell_page;
	uint64_t bell_off, bell_len;
	uint64_t shadow_iova, eventidx_iova; /* 0: not in use */
	uint64_t n_bells;		     /* sent as messages */
};

/* Connects, shares 'mem_bytes' of memory at NVD_IOVA, makes the function bus master, reads CAP, maps the doorbell page if
 * the controller offers one. */
int nvd_open(struct nvd *d, const char *path, size_t mem_bytes);
/* Closes the connection at once, whatever is under way. */
void nvd_close(struct nvd *d);

/* ---- registers ---- */

uint32_t nvd_reg32(struct nvd *d, uint32_t off);
uint64_t nvd_reg64(struct nvd *d, uint32_t off);
int nvd_set32(struct nvd *d, uint32_t off, uint32_t val);
int nvd_set64(struct nvd *d, uint32_t off, uint64_t val);
/* Until (CSTS & mask) == want; CAP.TO bounds it. Returns 0, -ETIMEDOUT, -EIO CSTS.CFS. */
int nvd_wait_csts(struct nvd *d, uint32_t mask, uint32_t want);
/* CC with entry sizes of 64 and 16 bytes, NVM command set, pages of 4 KiB, EN. */
uint32_t nvd_cc(void);
/* Fresh admin queues of 'entries', CC.EN, waits until ready. */
int nvd_enable(struct nvd *d, uint16_t entries);
/* AQA, ASQ, ACQ of fresh admin queues, without CC. */
int nvd_admin_queues(struct nvd *d, uint16_t entries);
/* CC.EN 0, waits until not ready. All queues of ours are forgotten. */
int nvd_disable(struct nvd *d);
/* CC.SHN normal or abrupt; waits for completion. */
int nvd_shutdown(struct nvd *d, bool abrupt);

/* ---- queues ---- */

/* Fresh memory for a queue; nothing is said to the controller. Returns 0, -ENOMEM. */
int nvd_make_cq(struct nvd *d, uint16_t qid, uint16_t size);
int nvd_make_sq(struct nvd *d, uint16_t qid, uint16_t size, uint16_t cqid);
/* Create commands for queues of ours; 'vector' NVD_NO_IRQ: no interrupts. Return the status, -errno. */
int nvd_create_cq(struct nvd *d, uint16_t qid, uint16_t vector);
int nvd_create_sq(struct nvd *d, uint16_t qid);
int nvd_delete_sq(struct nvd *d, uint16_t qid);
int nvd_delete_cq(struct nvd *d, uint16_t qid);
/* All of it: CQ and SQ 'qid', with an eventfd if there is a vector. */
int nvd_create_queues(
    struct nvd *d, uint16_t qid, uint16_t cq_size, uint16_t sq_size, uint16_t vector);
/* Doorbell Buffer Config; from now on doorbells of I/O queues go by memory. Returns the status, -errno. */
int nvd_use_shadow(struct nvd *d);

/* ---- commands ---- */

/* Free entries of a submission queue, as far as completions have told. */
unsigned nvd_room(const struct nvd_sq *sq);
/* Puts a command into the queue, with a cid of its own or one that is given, without telling; returns the cid. The caller sees to
 * it that there is room. */
uint16_t nvd_queue(struct nvd_sq *sq, const struct nvd_sqe *cmd);
uint16_t nvd_queue_as(struct nvd_sq *sq, const struct nvd_sqe *cmd, uint16_t cid);
/* Tells the controller of what was queued. */
int nvd_ring(struct nvd *d, struct nvd_sq *sq);
/* Writes a doorbell register, any value, by message. */
int nvd_bell(struct nvd *d, uint16_t qid, bool is_cq, uint32_t value);
/* Takes one completion; the queue's doorbell is told by nvd_reaped. Returns whether there was one. */
bool nvd_reap(struct nvd *d, struct nvd_cq *cq, struct nvd_cqe *out);
int nvd_reaped(struct nvd *d, struct nvd_cq *cq);
/* The next completion, waiting for it. Returns 0, -ETIMEDOUT. */
int nvd_wait(struct nvd *d, struct nvd_cq *cq, struct nvd_cqe *out, unsigned ms);
/* One command and its completion ('out' may be NULL); other completions go to d->stray. Returns status type << 8 | code, -errno. */
int nvd_exec(struct nvd *d, struct nvd_sq *sq, struct nvd_sqe *cmd, struct nvd_cqe *out);
int nvd_admin(struct nvd *d, struct nvd_sqe *cmd, struct nvd_cqe *out);

/* Data pointer of [iova, len): PRP1, PRP2 or PRP lists in memory of ours. */
void nvd_data(struct nvd *d, struct nvd_sqe *cmd, uint64_t iova, size_t len);
/* The same as one SGL data block. */
void nvd_data_sgl(struct nvd_sqe *cmd, uint64_t iova, uint32_t len);
/* Descriptors as a last segment in memory of ours. */
void nvd_data_sgls(struct nvd *d, struct nvd_sqe *cmd, const struct nvd_sgl *sgl, unsigned n);

/* Identify into 'out' (4096 bytes). Returns the status, -errno. */
int nvd_identify(struct nvd *d, uint8_t cns, uint32_t nsid, uint16_t cntid, void *out);
/* Get Log Page of 'len' bytes (a multiple of 4, at most 4096). */
int nvd_log(struct nvd *d, uint8_t lid, uint32_t nsid, uint32_t len, void *out);
int nvd_set_feature(struct nvd *d, uint8_t fid, uint32_t nsid, uint32_t cdw11, uint32_t *dw0);
int nvd_get_feature(struct nvd *d, uint8_t fid, uint32_t nsid, uint32_t sel, uint32_t *dw0);

/* Read, Write, Compare, ... of 'n_lbas' blocks at 'slba'. */
struct nvd_sqe nvd_rw(uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t n_lbas);
