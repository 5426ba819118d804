/* SPDX-License-Identifier: BSD-3-Clause */
#include "nvme_drv.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "vfu_wire.h"

#define DB_BASE	    0x1000u
#define N_LISTS	    64u
#define LIST_PAGES  3u
#define PAGE	    4096u
#define SPINS	    4000u
#define DSTRD(cap)  ((unsigned)((cap) >> 32 & 0xf))
#define CAP_TO(cap) ((unsigned)((cap) >> 24 & 0xff))

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- life ---- */

static int map_bells(struct nvd *d)
{
	struct vfio_region_info ask = {
	    .argsz = sizeof(struct vfu_sparse_reply), .index = VFIO_PCI_BAR0_REGION_INDEX};
	struct vfu_sparse_reply got;
	void *at;
	int rc;

	rc = vfu_client_command(&d->vfu, VFU_GET_REGION_INFO, 0, &ask, sizeof(ask), NULL, 0);
	if (rc < 0 || d->vfu.reply_len < sizeof(got) || d->vfu.reply_fd < 0)
		return rc;
	memcpy(&got, d->vfu.reply, sizeof(got));
	if (got.info.cap_offset == 0 || got.cap.nr_areas != 1)
		return 0;
	at = mmap(NULL, got.area.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->vfu.reply_fd,
	    (off_t)(got.info.offset + got.area.offset));
	if (at == MAP_FAILED)
		return -errno;
	d->bell_page = at;
	d->bell_off = got.area.offset;
	d->bell_len = got.area.size;
	return 0;
}

int nvd_open(struct nvd *d, const char *path, size_t mem_bytes)
{
	uint16_t cmd = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	int rc;

	memset(d, 0, sizeof(*d));
	d->page_bytes = PAGE;
	for (unsigned i = 0; i < NVD_MAX_QID; i++)
		d->cq[i].irq_fd = -1;
	rc = fake_guest_init(&d->g, mem_bytes, NVD_IOVA);
	if (rc < 0)
		return rc;
	rc = vfu_client_connect(&d->vfu, path, NULL, NULL);
	if (rc < 0) {
		fake_guest_fini(&d->g);
		return rc;
	}
	rc = vfu_client_start(&d->vfu);
	if (rc == 0)
		rc = vfu_client_map(&d->vfu, d->g.iova, d->g.len,
		    VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, d->g.fd, 0);
	if (rc == 0)
		rc = vfu_client_cfg_set16(&d->vfu, PCI_COMMAND, cmd);
	if (rc == 0)
		rc = vfu_client_read(
		    &d->vfu, VFIO_PCI_BAR0_REGION_INDEX, NVME_REG_CAP, &d->cap, sizeof(d->cap));
	if (rc == 0)
		rc = map_bells(d);
	d->lists = fake_guest_alloc(&d->g, N_LISTS * LIST_PAGES * PAGE, PAGE);
	d->page = fake_guest_alloc(&d->g, PAGE, PAGE);
	if (rc == 0 && d->page == 0)
		rc = -ENOMEM;
	if (rc < 0)
		nvd_close(d);
	return rc;
}

void nvd_close(struct nvd *d)
{
	for (unsigned i = 0; i < NVD_MAX_QID; i++)
		if (d->cq[i].irq_fd >= 0)
			close(d->cq[i].irq_fd);
	if (d->bell_page != NULL)
		munmap(d->bell_page, d->bell_len);
	vfu_client_close(&d->vfu);
	fake_guest_fini(&d->g);
	memset(d, 0, offsetof(struct nvd, cap));
	d->vfu.fd = -1;
}

/* ---- registers ---- */

uint32_t nvd_reg32(struct nvd *d, uint32_t off)
{
	uint32_t val = 0xffffffff;

	(void)vfu_client_read(&d->vfu, VFIO_PCI_BAR0_REGION_INDEX, off, &val, sizeof(val));
	return val;
}

uint64_t nvd_reg64(struct nvd *d, uint32_t off)
{
	uint64_t val = ~0ull;

	(void)vfu_client_read(&d->vfu, VFIO_PCI_BAR0_REGION_INDEX, off, &val, sizeof(val));
	return val;
}

int nvd_set32(struct nvd *d, uint32_t off, uint32_t val)
{
	return vfu_client_write(&d->vfu, VFIO_PCI_BAR0_REGION_INDEX, off, &val, sizeof(val));
}

int nvd_set64(struct nvd *d, uint32_t off, uint64_t val)
{
	return vfu_client_write(&d->vfu, VFIO_PCI_BAR0_REGION_INDEX, off, &val, sizeof(val));
}

int nvd_wait_csts(struct nvd *d, uint32_t mask, uint32_t want)
{
	uint64_t until = now_ms() + (CAP_TO(d->cap) + 1) * 500;

	for (;;) {
		uint32_t csts = nvd_reg32(d, NVME_REG_CSTS);

		if ((csts & mask) == want)
			return 0;
		if (csts == 0xffffffff)
			return -EPIPE;
		if ((csts & 2) != 0 && (mask & 2) == 0 && (want & 1) != 0)
			return -EIO;
		if (now_ms() > until)
			return -ETIMEDOUT;
		usleep(200);
	}
}

uint32_t nvd_cc(void)
{
	return 1u | 6u << 16 | 4u << 20;
}

static void forget_queues(struct nvd *d)
{
	for (unsigned i = 0; i < NVD_MAX_QID; i++) {
		if (d->cq[i].irq_fd >= 0)
			close(d->cq[i].irq_fd);
		d->cq[i] = (struct nvd_cq){.irq_fd = -1};
		d->sq[i] = (struct nvd_sq){0};
	}
	d->shadow_iova = d->eventidx_iova = 0;
}

int nvd_admin_queues(struct nvd *d, uint16_t entries)
{
	int rc;

	forget_queues(d);
	rc = nvd_make_cq(d, 0, entries);
	if (rc == 0)
		rc = nvd_make_sq(d, 0, entries, 0);
	if (rc == 0)
		rc = nvd_set32(
		    d, NVME_REG_AQA, (uint32_t)(entries - 1) << 16 | (uint32_t)(entries - 1));
	if (rc == 0)
		rc = nvd_set64(d, NVME_REG_ASQ, d->sq[0].iova);
	if (rc == 0)
		rc = nvd_set64(d, NVME_REG_ACQ, d->cq[0].iova);
	return rc;
}

int nvd_enable(struct nvd *d, uint16_t entries)
{
	int rc = nvd_admin_queues(d, entries);

	if (rc == 0)
		rc = nvd_set32(d, NVME_REG_CC, nvd_cc());
	return rc < 0 ? rc : nvd_wait_csts(d, 1, 1);
}

int nvd_disable(struct nvd *d)
{
	int rc = nvd_set32(d, NVME_REG_CC, nvd_reg32(d, NVME_REG_CC) & ~1u);

	if (rc == 0)
		rc = nvd_wait_csts(d, 1, 0);
	forget_queues(d);
	return rc;
}

int nvd_shutdown(struct nvd *d, bool abrupt)
{
	uint32_t cc = nvd_reg32(d, NVME_REG_CC) & ~(3u << 14);
	int rc = nvd_set32(d, NVME_REG_CC, cc | (abrupt ? 2u : 1u) << 14);

	return rc < 0 ? rc : nvd_wait_csts(d, 3u << 2, 2u << 2);
}

/* ---- queues ---- */

int nvd_make_cq(struct nvd *d, uint16_t qid, uint16_t size)
{
	struct nvd_cq *cq = &d->cq[qid];
	uint64_t iova = fake_guest_alloc(&d->g, sizeof(struct nvd_cqe) * (size_t)size, PAGE);

	if (iova == 0)
		return -ENOMEM;
	*cq = (struct nvd_cq){.qid = qid, .size = size, .phase = 1, .irq_fd = -1, .iova = iova};
	cq->ring = fake_guest_ptr(&d->g, iova);
	return 0;
}

int nvd_make_sq(struct nvd *d, uint16_t qid, uint16_t size, uint16_t cqid)
{
	struct nvd_sq *sq = &d->sq[qid];
	uint64_t iova = fake_guest_alloc(&d->g, sizeof(struct nvd_sqe) * (size_t)size, PAGE);

	if (iova == 0)
		return -ENOMEM;
	*sq = (struct nvd_sq){.qid = qid, .size = size, .cqid = cqid, .iova = iova};
	sq->ring = fake_guest_ptr(&d->g, iova);
	return 0;
}

int nvd_create_cq(struct nvd *d, uint16_t qid, uint16_t vector)
{
	struct nvd_cq *cq = &d->cq[qid];
	struct nvd_sqe cmd = {.opc = NVD_CREATE_CQ,
	    .prp1 = cq->iova,
	    .cdw10 = (uint32_t)(cq->size - 1) << 16 | qid,
	    .cdw11 = vector == NVD_NO_IRQ ? 1u : (uint32_t)vector << 16 | 3u};

	return nvd_admin(d, &cmd, NULL);
}

int nvd_create_sq(struct nvd *d, uint16_t qid)
{
	struct nvd_sq *sq = &d->sq[qid];
	struct nvd_sqe cmd = {.opc = NVD_CREATE_SQ,
	    .prp1 = sq->iova,
	    .cdw10 = (uint32_t)(sq->size - 1) << 16 | qid,
	    .cdw11 = (uint32_t)sq->cqid << 16 | 1u};

	return nvd_admin(d, &cmd, NULL);
}

int nvd_delete_sq(struct nvd *d, uint16_t qid)
{
	struct nvd_sqe cmd = {.opc = NVD_DELETE_SQ, .cdw10 = qid};

	return nvd_admin(d, &cmd, NULL);
}

int nvd_delete_cq(struct nvd *d, uint16_t qid)
{
	struct nvd_sqe cmd = {.opc = NVD_DELETE_CQ, .cdw10 = qid};

	return nvd_admin(d, &cmd, NULL);
}

int nvd_create_queues(
    struct nvd *d, uint16_t qid, uint16_t cq_size, uint16_t sq_size, uint16_t vector)
{
	int rc = nvd_make_cq(d, qid, cq_size);

	if (rc == 0 && vector != NVD_NO_IRQ) {
		d->cq[qid].irq_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		rc = d->cq[qid].irq_fd < 0 ? -errno
					   : vfu_client_msix(&d->vfu, vector, d->cq[qid].irq_fd);
	}
	if (rc == 0)
		rc = nvd_make_sq(d, qid, sq_size, qid);
	if (rc == 0)
		rc = nvd_create_cq(d, qid, vector);
	return rc == 0 ? nvd_create_sq(d, qid) : rc;
}

int nvd_use_shadow(struct nvd *d)
{
	struct nvd_sqe cmd = {.opc = NVD_DBBUF};
	int rc;

	cmd.prp1 = fake_guest_alloc(&d->g, PAGE, PAGE);
	cmd.prp2 = fake_guest_alloc(&d->g, PAGE, PAGE);
	if (cmd.prp2 == 0)
		return -ENOMEM;
	rc = nvd_admin(d, &cmd, NULL);
	if (rc == 0) {
		d->shadow_iova = cmd.prp1;
		d->eventidx_iova = cmd.prp2;
	}
	return rc;
}

/* ---- doorbells ---- */

static uint32_t bell_at(const struct nvd *d, uint16_t qid, bool is_cq)
{
	return (2u * qid + is_cq) << (2 + DSTRD(d->cap));
}

int nvd_bell(struct nvd *d, uint16_t qid, bool is_cq, uint32_t value)
{
	d->n_bells++;
	return vfu_client_post(&d->vfu, VFIO_PCI_BAR0_REGION_INDEX,
	    DB_BASE + bell_at(d, qid, is_cq), &value, sizeof(value));
}

/* NVMe base 2.0, B.5: the shadow first; the register only where the controller's event index is passed. */
static bool shadow_suffices(struct nvd *d, uint32_t at, uint16_t value)
{
	uint32_t *shadow = fake_guest_ptr(&d->g, d->shadow_iova + at);
	uint32_t *eventidx = fake_guest_ptr(&d->g, d->eventidx_iova + at);
	uint16_t old = (uint16_t)__atomic_load_n(shadow, __ATOMIC_RELAXED), event;

	__atomic_store_n(shadow, value, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = (uint16_t)__atomic_load_n(eventidx, __ATOMIC_RELAXED);
	return (uint16_t)(value - event - 1) >= (uint16_t)(value - old);
}

static int tell(struct nvd *d, uint16_t qid, bool is_cq, uint16_t value)
{
	uint32_t at = bell_at(d, qid, is_cq);

	if (qid != 0 && d->shadow_iova != 0 && shadow_suffices(d, at, value))
		return 0;
	if (DB_BASE + at - d->bell_off < d->bell_len) {
		__atomic_store_n((uint32_t *)(void *)(d->bell_page + DB_BASE + at - d->bell_off),
		    value, __ATOMIC_RELEASE);
		return 0;
	}
	return nvd_bell(d, qid, is_cq, value);
}

int nvd_ring(struct nvd *d, struct nvd_sq *sq)
{
	if (sq->rung == sq->tail)
		return 0;
	sq->rung = sq->tail;
	return tell(d, sq->qid, false, sq->tail);
}

int nvd_reaped(struct nvd *d, struct nvd_cq *cq)
{
	return tell(d, cq->qid, true, cq->head);
}

/* ---- commands ---- */

unsigned nvd_room(const struct nvd_sq *sq)
{
	return (unsigned)(sq->head + sq->size - sq->tail - 1) % sq->size;
}

uint16_t nvd_queue_as(struct nvd_sq *sq, const struct nvd_sqe *cmd, uint16_t cid)
{
	struct nvd_sqe e = *cmd;

	e.cid = cid;
	memcpy(sq->ring + sizeof(e) * (size_t)sq->tail, &e, sizeof(e));
	if (++sq->tail == sq->size)
		sq->tail = 0;
	return cid;
}

uint16_t nvd_queue(struct nvd_sq *sq, const struct nvd_sqe *cmd)
{
	/* FFFFh may not be used (NVMe base 2.0, figure 86). */
	if (sq->next_cid == 0xffff)
		sq->next_cid = 0;
	return nvd_queue_as(sq, cmd, sq->next_cid++);
}

bool nvd_reap(struct nvd *d, struct nvd_cq *cq, struct nvd_cqe *out)
{
	uint8_t *at = cq->ring + sizeof(*out) * (size_t)cq->head;
	uint16_t *status = (uint16_t *)(void *)(at + offsetof(struct nvd_cqe, status));

	if ((__atomic_load_n(status, __ATOMIC_ACQUIRE) & 1) != cq->phase)
		return false;
	memcpy(out, at, sizeof(*out));
	if (++cq->head == cq->size) {
		cq->head = 0;
		cq->phase ^= 1;
	}
	if (out->sqid < NVD_MAX_QID && out->sqhd < d->sq[out->sqid].size)
		d->sq[out->sqid].head = out->sqhd;
	return true;
}

int nvd_wait(struct nvd *d, struct nvd_cq *cq, struct nvd_cqe *out, unsigned ms)
{
	uint64_t until = now_ms() + ms;

	for (unsigned n = 0;; n++) {
		if (nvd_reap(d, cq, out))
			return nvd_reaped(d, cq);
		if (n < SPINS)
			continue;
		if (now_ms() > until)
			return -ETIMEDOUT;
		usleep(50);
	}
}

int nvd_exec(struct nvd *d, struct nvd_sq *sq, struct nvd_sqe *cmd, struct nvd_cqe *out)
{
	struct nvd_cqe cqe;
	int rc;

	cmd->cid = nvd_queue(sq, cmd);
	rc = nvd_ring(d, sq);
	while (rc == 0) {
		rc = nvd_wait(d, &d->cq[sq->cqid], &cqe, NVD_WAIT_MS);
		if (rc < 0)
			break;
		if (cqe.cid == cmd->cid && cqe.sqid == sq->qid) {
			if (out != NULL)
				*out = cqe;
			return NVD_SC(&cqe);
		}
		d->stray[d->n_stray++ % 32] = cqe;
	}
	return rc;
}

int nvd_admin(struct nvd *d, struct nvd_sqe *cmd, struct nvd_cqe *out)
{
	return nvd_exec(d, &d->sq[0], cmd, out);
}
