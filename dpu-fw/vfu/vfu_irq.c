/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: the peer's eventfds for INTx (level, masks itself) and MSI-X vectors, and the slot for errors. */
#include "vfu_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "ob_irq.h"

#define DATA_FLAGS (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD)
#define ACTION_FLAGS \
	(VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void signal_fd(struct ob_vfu *v, int fd)
{
	int rc;

	if (v->conn.dead != NULL)
		return;
	rc = ob_irq_signal(fd);
	if (rc == 0)
		v->stats.n_irqs++;
	if (rc != -EDEADLK)
		return;
	v->stats.n_bad_messages++;
	/* Each such vector costs the main thread 20 ms: this peer gets no second chance. */
	v->conn.dead = "it blocks an interrupt";
	if (v->conn.more != NULL)
		event_active(v->conn.more, EV_TIMEOUT, 0);
}

static uint16_t msix_flags(const struct ob_vfu *v)
{
	uint16_t flags = 0;

	if (v->cfg.msix != 0)
		memcpy(&flags, v->cfg.now + v->cfg.msix + PCI_MSIX_FLAGS, sizeof(flags));
	return flags;
}

bool ob_vfu_msix_enabled(const struct ob_vfu *v)
{
	return (msix_flags(v) & PCI_MSIX_FLAGS_ENABLE) != 0;
}

int ob_vfu_irq_fd(const struct ob_vfu *v, unsigned vector)
{
	uint16_t flags = msix_flags(v);

	if (vector >= v->conf.n_vectors || !(flags & PCI_MSIX_FLAGS_ENABLE) ||
	    (flags & PCI_MSIX_FLAGS_MASKALL) || v->irq.msix[vector].masked)
		return -1;
	return v->irq.msix[vector].fd;
}

static void msix_raise(struct ob_vfu *v, unsigned vector)
{
	int fd = ob_vfu_irq_fd(v, vector);

	if (fd >= 0)
		signal_fd(v, fd);
	else
		v->irq.msix[vector].pending = true;
}

/* A vector became reachable, or stopped being so. */
static void msix_changed(struct ob_vfu *v, unsigned vector)
{
	struct vfu_vector *mv = &v->irq.msix[vector];
	int fd = ob_vfu_irq_fd(v, vector);

	if (v->conf.ops->irq_changed != NULL)
		v->conf.ops->irq_changed(v->conf.ctx, vector);
	if (fd >= 0 && mv->pending) {
		mv->pending = false;
		signal_fd(v, fd);
	}
}

static void intx_update(struct ob_vfu *v)
{
	struct vfu_intx *x = &v->irq.intx;

	if (!x->level || x->masked || x->fd < 0 ||
	    (vfu_config_command(v) & PCI_COMMAND_INTX_DISABLE))
		return;
	/* AUTOMASKED: the client unmasks when the guest has acknowledged, and a level that is still up fires again. */
	x->masked = true;
	signal_fd(v, x->fd);
}

void ob_vfu_intx(struct ob_vfu *v, bool level)
{
	if (!v->conf.intx)
		return;
	v->irq.intx.level = level;
	intx_update(v);
}

void ob_vfu_irq(struct ob_vfu *v, unsigned vector)
{
	if (!ob_vfu_msix_enabled(v))
		ob_vfu_intx(v, true);
	else if (vector < v->conf.n_vectors)
		msix_raise(v, vector);
}

static void msix_all_changed(struct ob_vfu *v)
{
	bool told = false;

	for (unsigned i = 0; i < v->conf.n_vectors; i++) {
		if (v->irq.msix[i].fd < 0)
			continue;
		msix_changed(v, i);
		told = true;
	}
	/* The model learns of the switch between MSI-X and INTx although no vector has an eventfd. */
	if (!told)
		msix_changed(v, 0);
}

void vfu_irq_config_changed(struct ob_vfu *v, bool msix, bool intx)
{
	if (msix)
		msix_all_changed(v);
	if (intx)
		intx_update(v);
}

void vfu_irq_pba_read(const struct ob_vfu *v, uint64_t off, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		buf[i] = 0;
		for (unsigned bit = 0; bit < 8; bit++) {
			uint64_t vector = (off + i) * 8 + bit;

			if (vector < v->conf.n_vectors && v->irq.msix[vector].pending)
				buf[i] |= (uint8_t)(1u << bit);
		}
	}
}

static void unmask_intx(struct ob_vfu *v)
{
	v->irq.intx.masked = false;
	intx_update(v);
}

/* Edge-triggered and never read: a read could block if the peer raced us to the counter. */
static void on_unmask_fd(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	unmask_intx(ctx);
}

static void drop_unmask_fd(struct vfu_intx *x)
{
	if (x->unmask_ev != NULL)
		event_free(x->unmask_ev);
	x->unmask_ev = NULL;
	close_fd(&x->unmask_fd);
}

static int watch_unmask_fd(struct ob_vfu *v, int fd)
{
	struct vfu_intx *x = &v->irq.intx;

	drop_unmask_fd(x);
	if (fd < 0)
		return 0;
	x->unmask_fd = fd;
	x->unmask_ev = event_new(v->conf.base, fd, EV_READ | EV_PERSIST | EV_ET, on_unmask_fd, v);
	if (x->unmask_ev == NULL || event_add(x->unmask_ev, NULL) < 0) {
		drop_unmask_fd(x);
		return -ENOMEM;
	}
	return 0;
}

int vfu_irq_init(struct ob_vfu *v)
{
	v->irq.intx.fd = -1;
	v->irq.intx.unmask_fd = -1;
	v->irq.err_fd = -1;
	if (v->conf.n_vectors == 0)
		return 0;
	v->irq.msix = calloc(v->conf.n_vectors, sizeof(*v->irq.msix));
	if (v->irq.msix == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < v->conf.n_vectors; i++)
		v->irq.msix[i].fd = -1;
	v->irq.table = calloc(v->conf.n_vectors, 16);
	return v->irq.table != NULL ? 0 : -ENOMEM;
}

void vfu_irq_fini(struct ob_vfu *v)
{
	if (v->irq.msix != NULL)
		vfu_irq_drop(v);
	free(v->irq.msix);
	free(v->irq.table);
}

void vfu_irq_drop(struct ob_vfu *v)
{
	for (unsigned i = 0; i < v->conf.n_vectors; i++) {
		close_fd(&v->irq.msix[i].fd);
		v->irq.msix[i].masked = false;
	}
	close_fd(&v->irq.intx.fd);
	drop_unmask_fd(&v->irq.intx);
	v->irq.intx.masked = false;
	close_fd(&v->irq.err_fd);
}

void vfu_irq_reset(struct ob_vfu *v)
{
	v->irq.intx.level = false;
	for (unsigned i = 0; i < v->conf.n_vectors; i++)
		v->irq.msix[i].pending = false;
	if (v->irq.table != NULL)
		memset(v->irq.table, 0, (size_t)v->conf.n_vectors * 16);
}

static uint32_t irq_count(const struct ob_vfu *v, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return v->conf.intx ? 1 : 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return v->conf.n_vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
		/* QEMU warns at start-up without it. Signalling it stops the whole VM, so nothing here does. */
		return 1;
	default:
		return 0;
	}
}

int vfu_on_irq_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfio_irq_info info;

	memcpy(&info, msg->body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFU_N_IRQS)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.count = irq_count(v, info.index);
	/* Without NORESIZE the client adds one vector at a time, and loses no interrupt meanwhile. */
	info.flags = info.count > 0 ? VFIO_IRQ_INFO_EVENTFD : 0;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX && info.count > 0)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	memcpy(rep->body, &info, sizeof(info));
	rep->len = sizeof(info);
	return 0;
}

static int take_fd(struct vfu_msg *msg, unsigned i)
{
	int fd = -1;

	if (i < msg->n_fds) {
		fd = msg->fd[i];
		msg->fd[i] = -1;
	}
	return fd;
}

/* The old descriptor is closed only after the model had its chance to take it away from a worker. */
static void msix_set_fd(struct ob_vfu *v, unsigned vector, int fd)
{
	int old = v->irq.msix[vector].fd;

	v->irq.msix[vector].fd = fd;
	if (fd >= 0 || old >= 0)
		msix_changed(v, vector);
	close_fd(&old);
}

static int set_fds(struct ob_vfu *v, const struct vfio_irq_set *s, struct vfu_msg *msg)
{
	uint32_t action = s->flags & ACTION_FLAGS;

	if (msg->n_fds != 0 && msg->n_fds != s->count)
		return -EINVAL;
	for (unsigned i = 0; i < msg->n_fds; i++) {
		if (!ob_irq_is_eventfd(msg->fd[i]))
			return -EBADF;
	}
	if (action == VFIO_IRQ_SET_ACTION_UNMASK && s->index == VFIO_PCI_INTX_IRQ_INDEX)
		return watch_unmask_fd(v, take_fd(msg, 0));
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTSUP;
	switch (s->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		close_fd(&v->irq.intx.fd);
		v->irq.intx.fd = take_fd(msg, 0);
		v->irq.intx.masked = false;
		intx_update(v);
		break;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		for (uint32_t i = 0; i < s->count; i++)
			msix_set_fd(v, s->start + i, take_fd(msg, i));
		break;
	default:
		close_fd(&v->irq.err_fd);
		v->irq.err_fd = take_fd(msg, 0);
		break;
	}
	return 0;
}

static int disable_all(struct ob_vfu *v, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		close_fd(&v->irq.intx.fd);
		drop_unmask_fd(&v->irq.intx);
		v->irq.intx.masked = false;
		break;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		for (unsigned i = 0; i < v->conf.n_vectors; i++) {
			v->irq.msix[i].masked = false;
			msix_set_fd(v, i, -1);
		}
		break;
	case VFIO_PCI_ERR_IRQ_INDEX:
		close_fd(&v->irq.err_fd);
		break;
	default:
		break;
	}
	return 0;
}

static int act_on(struct ob_vfu *v, uint32_t index, unsigned vector, uint32_t action)
{
	bool mask = action == VFIO_IRQ_SET_ACTION_MASK;

	if (index == VFIO_PCI_ERR_IRQ_INDEX) {
		if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
			return -ENOTSUP;
		if (v->irq.err_fd >= 0)
			signal_fd(v, v->irq.err_fd);
	} else if (index == VFIO_PCI_INTX_IRQ_INDEX) {
		if (action == VFIO_IRQ_SET_ACTION_TRIGGER && v->irq.intx.fd >= 0)
			signal_fd(v, v->irq.intx.fd);
		else if (mask)
			v->irq.intx.masked = true;
		else if (action == VFIO_IRQ_SET_ACTION_UNMASK)
			unmask_intx(v);
	} else if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
		msix_raise(v, vector);
	} else if (v->irq.msix[vector].masked != mask) {
		v->irq.msix[vector].masked = mask;
		msix_changed(v, vector);
	}
	return 0;
}

static bool one_bit(uint32_t bits)
{
	return bits != 0 && (bits & (bits - 1)) == 0;
}

int vfu_on_set_irqs(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfio_irq_set s;
	size_t data_len = msg->len - sizeof(s);
	uint32_t action, n;
	int rc = 0;

	(void)rep;
	memcpy(&s, msg->body, sizeof(s));
	action = s.flags & ACTION_FLAGS;
	if (s.index >= VFU_N_IRQS || s.argsz < sizeof(s) || !one_bit(s.flags & DATA_FLAGS) ||
	    !one_bit(action) || (s.flags & ~(DATA_FLAGS | ACTION_FLAGS)) != 0)
		return -EINVAL;
	if (msg->n_fds > 0 && !(s.flags & VFIO_IRQ_SET_DATA_EVENTFD))
		return -EINVAL;
	/* Also for an index without interrupts: QEMU disables INTx at each reset, pin or not. */
	if (s.count == 0 && s.start == 0 && (s.flags & VFIO_IRQ_SET_DATA_NONE) &&
	    action == VFIO_IRQ_SET_ACTION_TRIGGER)
		return disable_all(v, s.index);
	n = irq_count(v, s.index);
	if (s.count == 0 || s.count > n || s.start > n - s.count)
		return -EINVAL;
	if (s.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_fds(v, &s, msg);
	if ((s.flags & VFIO_IRQ_SET_DATA_BOOL) && data_len != s.count)
		return -EINVAL;
	for (uint32_t i = 0; rc == 0 && i < s.count; i++) {
		if ((s.flags & VFIO_IRQ_SET_DATA_NONE) || msg->body[sizeof(s) + i] != 0)
			rc = act_on(v, s.index, s.start + i, action);
	}
	return rc;
}
