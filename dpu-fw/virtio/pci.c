/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio over PCI, modern (virtio 1.2, 4.1), on the card's vfio-user server: BARs, capabilities, interrupts. */
#include "virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <rte_byteorder.h>

#include "ob_vfu.h"

#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_DEVICE_BASE	  0x1040 /* 4.1.2 */
#define PCI_REVISION	  1	 /* 4.1.2.1: 1 or higher */

/* A page for each structure, so that a page could be mapped or trapped by itself. */
#define REGS_BAR	  0
#define COMMON_OFF	  0x0000
#define ISR_OFF		  0x1000
#define DEVICE_OFF	  0x2000
#define NOTIFY_OFF	  0x3000
#define PAGE_BYTES	  0x1000
#define REGS_BYTES	  0x4000
#define NOTIFY_MULTIPLIER 4

#define MSIX_BAR       2
#define MSIX_TABLE_OFF 0
#define MSIX_PBA_OFF   0x800
#define MSIX_BYTES     0x1000

/* 'bar' to the end of the data: the part of VIRTIO_PCI_CAP_PCI_CFG that the driver writes (4.1.4.9). */
#define WINDOW_OFF   offsetof(struct virtio_pci_cap, bar)
#define WINDOW_BYTES (sizeof(struct virtio_pci_cfg_cap) - WINDOW_OFF)
#define WINDOW_DATA  (offsetof(struct virtio_pci_cfg_cap, pci_cfg_data) - WINDOW_OFF)

static_assert(16 * (OB_VIRTIO_MAX_QUEUES + 1) <= MSIX_PBA_OFF, "MSI-X table fits");
static_assert(NOTIFY_MULTIPLIER * OB_VIRTIO_MAX_QUEUES <= PAGE_BYTES, "notify page fits");
static_assert(sizeof(struct virtio_pci_cfg_cap) == 20, "virtio 1.2, 4.1.4.9");

struct virtio_pci;

/* Stands in for a vector's eventfd where a worker cannot write that itself: INTx, or a masked vector. */
struct soft_irq {
	struct virtio_pci *pci;
	struct event *ev;
	int fd;
	uint16_t q;
};

struct virtio_pci {
	struct ob_virtio *v;
	struct ob_vfu *vfu;
	bool msix;
	bool checked; /* that the peer shares its memory, since the last reset */
	uint8_t window[WINDOW_BYTES];
	struct soft_irq soft[OB_VIRTIO_MAX_QUEUES];
};

/* ---- interrupts (4.1.4.5, 4.1.5.3, 4.1.5.4) ---- */

static void raise_vector(struct virtio_pci *p, uint16_t vector, uint8_t isr_bit)
{
	if (ob_vfu_msix_enabled(p->vfu)) {
		if (vector != VIRTIO_NO_VECTOR)
			ob_vfu_irq(p->vfu, vector);
		return;
	}
	p->v->st->isr |= isr_bit;
	ob_vfu_intx(p->vfu, true);
}

static void pci_queue_irq(void *ctx, unsigned q)
{
	struct virtio_pci *p = ctx;

	raise_vector(p, p->v->st->queue[q].vector, 1);
}

static void pci_config_changed(void *ctx)
{
	struct virtio_pci *p = ctx;

	/* 4.1.4.5.1: the ISR bit is set for a configuration change, MSI-X or not. */
	p->v->st->isr |= VIRTIO_PCI_ISR_CONFIG;
	raise_vector(p, p->v->st->config_vector, VIRTIO_PCI_ISR_CONFIG);
}

static void soft_fired(evutil_socket_t fd, short what, void *arg)
{
	struct soft_irq *s = arg;
	uint64_t n;

	(void)what;
	if (read((int)fd, &n, sizeof(n)) == sizeof(n) && ob_virtio_queue_running(s->pci->v, s->q))
		pci_queue_irq(s->pci, s->q);
}

static int soft_open(struct virtio_pci *p, unsigned q)
{
	struct soft_irq *s = &p->soft[q];

	if (s->ev != NULL)
		return s->fd;
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0)
		return -1;
	s->pci = p;
	s->q = (uint16_t)q;
	s->ev = event_new(p->v->base, s->fd, EV_READ | EV_PERSIST, soft_fired, s);
	if (s->ev == NULL || event_add(s->ev, NULL) != 0) {
		if (s->ev != NULL)
			event_free(s->ev);
		close(s->fd);
		s->ev = NULL;
		return -1;
	}
	return s->fd;
}

static int pci_queue_irq_fd(void *ctx, unsigned q)
{
	struct virtio_pci *p = ctx;
	uint16_t vector = p->v->st->queue[q].vector;
	int fd;

	if (ob_vfu_msix_enabled(p->vfu)) {
		if (vector == VIRTIO_NO_VECTOR)
			return -1;
		fd = ob_vfu_irq_fd(p->vfu, vector);
		if (fd >= 0)
			return fd;
	}
	return soft_open(p, q);
}

static void vfu_irq_changed(void *ctx, unsigned vector)
{
	struct virtio_pci *p = ctx;
	bool msix = ob_vfu_msix_enabled(p->vfu), all = msix != p->msix;

	p->msix = msix;
	for (unsigned q = 0; q < p->v->n_queues; q++)
		if (all || p->v->st->queue[q].vector == vector)
			ob_virtio_irq_changed(p->v, q);
}

/* ---- BARs ---- */

static void vfu_bar_read(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len)
{
	struct virtio_pci *p = ctx;
	uint8_t isr;

	memset(buf, 0, len);
	if (bar != REGS_BAR || off >= REGS_BYTES)
		return;
	switch (off & ~(uint64_t)(PAGE_BYTES - 1)) {
	case COMMON_OFF:
		virtio_common_read(p->v, off - COMMON_OFF, buf, len);
		break;
	case DEVICE_OFF:
		ob_virtio_config_read(p->v, off - DEVICE_OFF, buf, len);
		break;
	case ISR_OFF:
		if (off != ISR_OFF || len == 0)
			break;
		isr = virtio_isr_take(p->v);
		ob_vfu_intx(p->vfu, false);
		memcpy(buf, &isr, sizeof(isr));
		break;
	default:
		break;
	}
}

/* At the first doorbell the driver has filled its receive queue: is that what we see? If not, the server says so. */
static void check_shared(struct virtio_pci *p)
{
	const struct ob_virtio_queue *q = &p->v->st->queue[0];
	uint32_t bytes = 16u * (q->size != 0 ? q->size : virtio_queue_max(p->v, 0));

	if (p->checked || !ob_virtio_queue_running(p->v, 0))
		return;
	p->checked = true;
	(void)ob_vfu_check_shared(
	    p->vfu, (ob_iova_t){q->desc}, bytes < PAGE_BYTES ? bytes : PAGE_BYTES, NULL, NULL);
}

static void vfu_bar_write(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len)
{
	struct virtio_pci *p = ctx;
	uint8_t had = p->v->st->status;

	if (bar != REGS_BAR || off >= REGS_BYTES)
		return;
	switch (off & ~(uint64_t)(PAGE_BYTES - 1)) {
	case COMMON_OFF:
		virtio_common_write(p->v, off - COMMON_OFF, buf, len);
		/* A reset takes the interrupt line back too. */
		if (had != 0 && p->v->st->status == 0) {
			ob_vfu_intx(p->vfu, false);
			p->checked = false;
		}
		break;
	case NOTIFY_OFF:
		virtio_notify_write(p->v, buf, len);
		check_shared(p);
		break;
	case DEVICE_OFF:
		ob_virtio_config_write(p->v, off - DEVICE_OFF, buf, len);
		break;
	default:
		break;
	}
}

/* ---- the window in config space (4.1.4.9): a driver without mapped BARs, such as a boot loader, comes this way ---- */

/* Where and how much the window points at now; 0: nowhere legal. */
static uint32_t window_target(const struct virtio_pci *p, uint64_t *off)
{
	rte_le32_t le_off, le_len;
	uint32_t len;

	memcpy(&le_off, p->window + offsetof(struct virtio_pci_cap, offset) - WINDOW_OFF, 4);
	memcpy(&le_len, p->window + offsetof(struct virtio_pci_cap, length) - WINDOW_OFF, 4);
	*off = rte_le_to_cpu_32(le_off);
	len = rte_le_to_cpu_32(le_len);
	if (p->window[0] != REGS_BAR || (len != 1 && len != 2 && len != 4) || *off % len != 0 ||
	    *off > REGS_BYTES - len)
		return 0;
	return len;
}

static void vfu_cfg_read(void *ctx, unsigned off, void *buf, size_t len)
{
	struct virtio_pci *p = ctx;
	uint64_t target;
	uint32_t n;

	memset(buf, 0, len);
	if (off >= WINDOW_BYTES || len > WINDOW_BYTES - off)
		return;
	/* Config space is also dumped as a whole: only a read that begins at the data is an access. */
	n = window_target(p, &target);
	if (off == WINDOW_DATA && n != 0) {
		memset(p->window + WINDOW_DATA, 0, 4);
		vfu_bar_read(p, REGS_BAR, target, p->window + WINDOW_DATA, n);
	}
	memcpy(buf, p->window + off, len);
}

static void vfu_cfg_write(void *ctx, unsigned off, const void *buf, size_t len)
{
	struct virtio_pci *p = ctx;
	uint64_t target;
	uint32_t n;

	if (off >= WINDOW_BYTES || len > WINDOW_BYTES - off)
		return;
	memcpy(p->window + off, buf, len);
	n = window_target(p, &target);
	if (off + len > WINDOW_DATA && n != 0)
		vfu_bar_write(p, REGS_BAR, target, p->window + WINDOW_DATA, n);
}

/* ---- the other events of the server ---- */

static void vfu_reset(void *ctx)
{
	struct virtio_pci *p = ctx;

	ob_virtio_set_status(p->v, 0);
	ob_vfu_intx(p->vfu, false);
	p->checked = false;
	memset(p->window, 0, sizeof(p->window));
}

static void vfu_command(void *ctx, uint16_t pci_command)
{
	struct virtio_pci *p = ctx;

	p->v->st->pci_command = pci_command;
	ob_virtio_set_dma(p->v, pci_command & PCI_COMMAND_MASTER);
}

static void vfu_dma_changed(void *ctx)
{
	struct virtio_pci *p = ctx;

	ob_virtio_dma_changed(p->v);
}

static const struct ob_vfu_ops vfu_ops = {
    .bar_read = vfu_bar_read,
    .bar_write = vfu_bar_write,
    .cfg_read = vfu_cfg_read,
    .cfg_write = vfu_cfg_write,
    .reset = vfu_reset,
    .command = vfu_command,
    .dma_changed = vfu_dma_changed,
    .irq_changed = vfu_irq_changed,
};

/* ---- life ---- */

static void pci_destroy(void *ctx)
{
	struct virtio_pci *p = ctx;

	ob_vfu_destroy(p->vfu);
	for (unsigned q = 0; q < OB_VIRTIO_MAX_QUEUES; q++) {
		if (p->soft[q].ev == NULL)
			continue;
		event_free(p->soft[q].ev);
		close(p->soft[q].fd);
	}
	free(p);
}

static void pci_get_peer(void *ctx, struct ob_virtio_peer *out)
{
	struct virtio_pci *p = ctx;
	struct ob_vfu_stats stats;

	ob_vfu_get_stats(p->vfu, &stats);
	out->connected = stats.connected;
	out->pid = stats.peer_pid;
}

const struct ob_virtio_transport virtio_pci_transport = {
    .name = "vfio-user",
    .destroy = pci_destroy,
    .config_changed = pci_config_changed,
    .queue_irq_fd = pci_queue_irq_fd,
    .queue_irq = pci_queue_irq,
    .get_peer = pci_get_peer,
};

/* The server writes the first two bytes (id, next) itself. */
static int add_cap(struct virtio_pci *p, struct virtio_pci_cap *cap, uint8_t type, size_t bytes,
    uint32_t off, uint32_t length, bool window)
{
	const uint8_t *body = (const uint8_t *)cap + offsetof(struct virtio_pci_cap, cap_len);
	int rc;

	cap->cap_len = (uint8_t)bytes;
	cap->cfg_type = type;
	cap->bar = REGS_BAR;
	cap->offset = rte_cpu_to_le_32(off);
	cap->length = rte_cpu_to_le_32(length);
	rc = ob_vfu_cap_add(p->vfu, PCI_CAP_ID_VNDR, body,
	    bytes - offsetof(struct virtio_pci_cap, cap_len), window ? WINDOW_OFF : 0,
	    window ? WINDOW_BYTES : 0);
	return rc < 0 ? rc : 0;
}

static int add_caps(struct virtio_pci *p)
{
	struct virtio_pci_notify_cap notify = {
	    .notify_off_multiplier = rte_cpu_to_le_32(NOTIFY_MULTIPLIER),
	};
	struct virtio_pci_cap common = {0}, isr = {0}, device = {0};
	struct virtio_pci_cfg_cap window = {0};
	uint32_t doorbells = NOTIFY_MULTIPLIER * (uint32_t)p->v->n_queues;
	int rc;

	rc = add_cap(p, &common, VIRTIO_PCI_CAP_COMMON_CFG, sizeof(common), COMMON_OFF,
	    VIRTIO_PCI_COMMON_Q_RESET + 2, false);
	if (rc == 0)
		rc = add_cap(p, &notify.cap, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(notify), NOTIFY_OFF,
		    doorbells, false);
	if (rc == 0)
		rc = add_cap(p, &isr, VIRTIO_PCI_CAP_ISR_CFG, sizeof(isr), ISR_OFF, 1, false);
	if (rc == 0)
		rc = add_cap(p, &device, VIRTIO_PCI_CAP_DEVICE_CFG, sizeof(device), DEVICE_OFF,
		    p->v->type->config_bytes, false);
	if (rc == 0)
		rc = add_cap(p, &window.cap, VIRTIO_PCI_CAP_PCI_CFG, sizeof(window), 0, 0, true);
	return rc;
}

static int vfu_start(struct virtio_pci *p, const char *serial)
{
	const struct virtio_type *type = p->v->type;
	struct ob_vfu_conf vc = {
	    .name = p->v->name,
	    .path = p->v->path,
	    .base = p->v->base,
	    .gm = p->v->gm,
	    .vendor_id = PCI_VENDOR_VIRTIO,
	    .device_id = (uint16_t)(PCI_DEVICE_BASE + type->device_id),
	    .subsys_vendor_id = PCI_VENDOR_VIRTIO,
	    .subsys_id = type->subsys_id,
	    .revision = PCI_REVISION,
	    .class_code = type->pci_class,
	    .n_vectors = (uint16_t)(p->v->n_queues + 1),
	    .msix_bar = MSIX_BAR,
	    .msix_table_off = MSIX_TABLE_OFF,
	    .msix_pba_off = MSIX_PBA_OFF,
	    .intx = true,
	    .vpd_serial = serial,
	    .vpd_part = type->vpd_part,
	    .vpd_ident = type->vpd_ident,
	    .bar = {[REGS_BAR] = {.size = REGS_BYTES, .is_64bit = true, .prefetch = true},
		[MSIX_BAR] = {.size = MSIX_BYTES}},
	    .ops = &vfu_ops,
	    .ctx = p,
	};

	return ob_vfu_create(&vc, &p->vfu);
}

struct virtio_pci *virtio_pci_new(void)
{
	return calloc(1, sizeof(struct virtio_pci));
}

int virtio_pci_start(struct virtio_pci *p, struct ob_virtio *v, const char *serial)
{
	int rc;

	p->v = v;
	rc = vfu_start(p, serial);
	return rc == 0 ? add_caps(p) : rc;
}
