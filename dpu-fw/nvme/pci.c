/* SPDX-License-Identifier: BSD-3-Clause */
/* The function on PCI: BAR 0, MSI-X and INTx, the mapped page of doorbells, events of the vfio-user server. */
#include "nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/pci_regs.h>
#include <rte_byteorder.h>

#define PCI_CLASS_NVME	 0x010802
#define DOORBELL_POLL_US 1000

static_assert(16u * (OB_NVME_MAX_QPAIRS + 1) <= NVME_MSIX_PBA - NVME_MSIX_TABLE, "table fits");
static_assert(8u * (OB_NVME_MAX_QPAIRS + 1) <= NVME_PAGE, "doorbells fit their page");

/* Stands in for a vector's eventfd where a worker cannot write that itself: INTx, or a masked vector. */
struct nvme_irq {
	struct ob_nvme *c;
	struct event *ev;
	int fd; /* -1: not needed so far */
	uint16_t vector;
	bool raised; /* INTx: nobody has answered since */
};

/* ---- interrupts ---- */

static void intx_update(struct ob_nvme *c)
{
	bool level = false;

	if (!c->msix)
		for (unsigned v = 0; v < nvme_n_vectors(c) && v < 32; v++)
			level |= c->irq[v].raised && !(c->st->intms >> v & 1);
	ob_vfu_intx(c->vfu, level);
}

static void raise_vector(struct ob_nvme *c, uint16_t vector)
{
	if (ob_vfu_msix_enabled(c->vfu)) {
		ob_vfu_irq(c->vfu, vector);
		return;
	}
	c->irq[vector].raised = true;
	intx_update(c);
}

void nvme_admin_irq(struct ob_nvme *c)
{
	raise_vector(c, 0);
}

/* A head that moved answers the line; what comes in meanwhile raises it again. */
void nvme_irq_answered(struct ob_nvme *c, uint16_t vector)
{
	if (vector >= nvme_n_vectors(c) || !c->irq[vector].raised)
		return;
	c->irq[vector].raised = false;
	intx_update(c);
}

void nvme_irq_mask_changed(struct ob_nvme *c)
{
	intx_update(c);
}

void nvme_irq_reset(struct ob_nvme *c)
{
	for (unsigned v = 0; v < nvme_n_vectors(c); v++)
		c->irq[v].raised = false;
	intx_update(c);
}

static void soft_fired(evutil_socket_t fd, short what, void *arg)
{
	struct nvme_irq *s = arg;
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) == sizeof(n) && nvme_ready(s->c))
		raise_vector(s->c, s->vector);
}

static int soft_open(struct nvme_irq *s)
{
	if (s->ev != NULL)
		return s->fd;
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0)
		return -1;
	s->ev = event_new(s->c->conf.base, s->fd, EV_READ | EV_PERSIST, soft_fired, s);
	if (s->ev == NULL || event_add(s->ev, NULL) != 0) {
		if (s->ev != NULL)
			event_free(s->ev);
		close(s->fd);
		s->ev = NULL;
		s->fd = -1;
		return -1;
	}
	return s->fd;
}

/* What the I/O side writes for a vector; only vectors that a queue uses cost a descriptor. */
static void give_fd(struct ob_nvme *c, uint16_t vector)
{
	int fd = ob_vfu_msix_enabled(c->vfu) ? ob_vfu_irq_fd(c->vfu, vector) : -1;

	if (fd < 0)
		fd = soft_open(&c->irq[vector]);
	(void)ob_nvmeq_set_irq_fd(c->q, vector, fd);
}

void nvme_irq_use(struct ob_nvme *c, uint16_t vector)
{
	if (vector < nvme_n_vectors(c))
		give_fd(c, vector);
}

static bool vector_used(const struct ob_nvme *c, unsigned vector)
{
	for (unsigned i = 0; i < c->conf.n_qpairs; i++)
		if (c->st->cq[i].size != 0 && c->st->cq[i].vector == vector)
			return true;
	return false;
}

static void vfu_irq_changed(void *ctx, unsigned vector)
{
	struct ob_nvme *c = ctx;
	bool msix = ob_vfu_msix_enabled(c->vfu), all = msix != c->msix;

	c->msix = msix;
	for (unsigned v = 0; v < nvme_n_vectors(c); v++) {
		if (!all && v != vector)
			continue;
		/* The server closes the old one when this returns. */
		if (vector_used(c, v))
			give_fd(c, (uint16_t)v);
		else
			(void)ob_nvmeq_set_irq_fd(c->q, (uint16_t)v, -1);
	}
	if (all)
		nvme_irq_reset(c);
}

/* ---- BAR 0 ---- */

static void vfu_bar_read(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len)
{
	struct ob_nvme *c = ctx;

	memset(buf, 0, len);
	/* Doorbells may give anything (3.1.3.11): 0. */
	if (bar == NVME_BAR && off < NVME_DOORBELLS_OFF)
		nvme_regs_read(c, off, buf, len);
}

static void vfu_bar_write(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len)
{
	struct ob_nvme *c = ctx;
	const uint8_t *p = buf;

	if (bar != NVME_BAR)
		return;
	if (off < NVME_DOORBELLS_OFF) {
		nvme_regs_write(c, off, buf, len);
		return;
	}
	if (off % 4 != 0 || len % 4 != 0 || len == 0) {
		c->st->n_doorbells++;
		c->st->n_bad_doorbells++;
		return;
	}
	for (; len > 0 && off < NVME_DOORBELLS_OFF + NVME_PAGE; len -= 4, off += 4, p += 4) {
		rte_le32_t v;

		memcpy(&v, p, sizeof(v));
		nvme_doorbell(c, off - NVME_DOORBELLS_OFF, rte_le_to_cpu_32(v));
	}
}

/* ---- the other events of the server ---- */

static void vfu_reset(void *ctx)
{
	struct ob_nvme *c = ctx;

	nvme_function_reset(c);
	ob_vfu_intx(c->vfu, false);
}

static void vfu_command(void *ctx, uint16_t pci_command)
{
	struct ob_nvme *c = ctx;
	uint16_t was = c->st->pci_command;

	c->st->pci_command = pci_command;
	if (!((was ^ pci_command) & PCI_COMMAND_MASTER) || !nvme_ready(c))
		return;
	if (pci_command & PCI_COMMAND_MASTER) {
		nvme_admin_run(c);
		return;
	}
	for (unsigned i = 0; i < c->conf.n_qpairs; i++)
		if (c->st->sq[i].size != 0 || c->st->cq[i].size != 0) {
			nvme_fatal(c, "bus mastering was switched off under running queues");
			return;
		}
}

static const struct ob_vfu_ops vfu_ops = {
    .bar_read = vfu_bar_read,
    .bar_write = vfu_bar_write,
    .reset = vfu_reset,
    .command = vfu_command,
    .irq_changed = vfu_irq_changed,
};

/* ---- the page of doorbells ---- */

void nvme_doorbells_clear(struct ob_nvme *c, unsigned qid, bool is_cq)
{
	if (c->doorbells == NULL)
		return;
	if (qid == 0)
		c->doorbell_seen[is_cq] = 0;
	/* Relaxed: the queue is not running. */
	__atomic_store_n(&c->doorbells[2 * qid + is_cq], 0, __ATOMIC_RELAXED);
}

/* The workers watch their own; the admin queue's are the main thread's. */
static void doorbell_poll(evutil_socket_t fd, short what, void *arg)
{
	struct ob_nvme *c = arg;

	(void)fd;
	(void)what;
	if (!nvme_ready(c))
		return;
	for (unsigned i = 2; i-- > 0;) {
		/* Acquire: pairs with the host's release of what the doorbell tells of. */
		uint32_t v = rte_le_to_cpu_32(__atomic_load_n(&c->doorbells[i], __ATOMIC_ACQUIRE));

		if (v == c->doorbell_seen[i])
			continue;
		c->doorbell_seen[i] = v;
		nvme_doorbell(c, 4 * i, v);
	}
}

static int doorbells_create(struct ob_nvme *c)
{
	const struct timeval every = {.tv_usec = DOORBELL_POLL_US};
	void *mem;

	c->doorbell_fd = memfd_create(c->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->doorbell_fd < 0)
		return -errno;
	if (ftruncate(c->doorbell_fd, NVME_DOORBELLS_OFF + NVME_PAGE) != 0 ||
	    fcntl(c->doorbell_fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
		return -errno;
	mem = mmap(NULL, NVME_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c->doorbell_fd,
	    NVME_DOORBELLS_OFF);
	if (mem == MAP_FAILED)
		return -errno;
	c->doorbells = mem;
	c->doorbell_poll = event_new(c->conf.base, -1, EV_PERSIST, doorbell_poll, c);
	if (c->doorbell_poll == NULL || event_add(c->doorbell_poll, &every) != 0)
		return -ENOMEM;
	return 0;
}

/* ---- life ---- */

int nvme_pci_prepare(struct ob_nvme *c)
{
	c->doorbell_fd = -1;
	c->irq = calloc(nvme_n_vectors(c), sizeof(*c->irq));
	if (c->irq == NULL)
		return -ENOMEM;
	for (unsigned v = 0; v < nvme_n_vectors(c); v++)
		c->irq[v] = (struct nvme_irq){.c = c, .fd = -1, .vector = (uint16_t)v};
	return c->conf.doorbell_page ? doorbells_create(c) : 0;
}

int nvme_pci_create(struct ob_nvme *c)
{
	struct ob_vfu_conf vc = {
	    .name = c->name,
	    .path = c->path,
	    .base = c->conf.base,
	    .gm = c->gm,
	    .vendor_id = NVME_PCI_VENDOR,
	    .device_id = NVME_PCI_DEVICE,
	    .subsys_vendor_id = NVME_PCI_VENDOR,
	    .subsys_id = NVME_PCI_DEVICE,
	    .class_code = PCI_CLASS_NVME,
	    .n_vectors = (uint16_t)nvme_n_vectors(c),
	    .msix_bar = NVME_BAR,
	    .msix_table_off = NVME_MSIX_TABLE,
	    .msix_pba_off = NVME_MSIX_PBA,
	    .intx = true,
	    .vpd_serial = c->serial,
	    .vpd_part = "OB-NVME",
	    .vpd_ident = "Outboard NVMe function",
	    .bar = {[NVME_BAR] = {.size = NVME_BAR_BYTES, .is_64bit = true}},
	    .ops = &vfu_ops,
	    .ctx = c,
	};

	if (c->doorbells != NULL) {
		vc.bar[NVME_BAR].mmap_off = NVME_DOORBELLS_OFF;
		vc.bar[NVME_BAR].mmap_len = NVME_PAGE;
		vc.bar[NVME_BAR].mmap_fd = c->doorbell_fd;
	}
	return ob_vfu_create(&vc, &c->vfu);
}

void nvme_pci_destroy(struct ob_nvme *c)
{
	ob_vfu_destroy(c->vfu);
	c->vfu = NULL;
}

void nvme_pci_fini(struct ob_nvme *c)
{
	if (c->doorbell_poll != NULL)
		event_free(c->doorbell_poll);
	if (c->doorbells != NULL)
		munmap(c->doorbells, NVME_PAGE);
	if (c->doorbell_fd >= 0)
		close(c->doorbell_fd);
	for (unsigned v = 0; c->irq != NULL && v < nvme_n_vectors(c); v++) {
		if (c->irq[v].ev == NULL)
			continue;
		event_free(c->irq[v].ev);
		close(c->irq[v].fd);
	}
	free(c->irq);
}
