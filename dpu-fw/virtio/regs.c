/* SPDX-License-Identifier: BSD-3-Clause */
/* The registers of a modern virtio PCI device (virtio 1.2, 4.1.4.3 to 4.1.4.5), without PCI.
 *
 * A driver may access them with any size, at any offset, in any order. An access is taken apart into the fields it
 * touches; a write that covers part of a field changes that part of its value. What makes no sense in the present
 * status is ignored.
 */
#include "virtio.h"

#include <string.h>

#include <linux/virtio_pci.h>
#include <rte_byteorder.h>

static_assert(sizeof(struct virtio_pci_common_cfg) == 56, "virtio 1.2, 4.1.4.3");

struct reg {
	uint8_t off, width;
	uint32_t (*get)(struct ob_virtio *fn, struct ob_virtio_queue *q);
	void (*set)(
	    struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v); /* NULL: read-only */
};

static uint32_t get_device_select(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->device_feature_select;
}

static void set_device_select(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	(void)q;
	fn->st->device_feature_select = v;
}

static uint32_t feature_word(uint64_t set, uint32_t select)
{
	return select < 2 ? (uint32_t)(set >> (32 * select)) : 0;
}

static uint32_t get_device_features(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return feature_word(fn->offered, fn->st->device_feature_select);
}

static uint32_t get_driver_select(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->driver_feature_select;
}

static void set_driver_select(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	(void)q;
	fn->st->driver_feature_select = v;
}

static uint32_t get_driver_features(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return feature_word(fn->st->driver_features, fn->st->driver_feature_select);
}

/* Fixed once FEATURES_OK is set (3.1.1). */
static void set_driver_features(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	uint32_t select = fn->st->driver_feature_select;

	(void)q;
	if (fn->st->features_ok || select > 1)
		return;
	fn->st->driver_features &= ~((uint64_t)UINT32_MAX << (32 * select));
	fn->st->driver_features |= (uint64_t)v << (32 * select);
}

static uint32_t get_config_vector(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->config_vector;
}

/* A vector that does not exist reads back as 0xffff (4.1.5.1.2.1). One vector per queue and one for the configuration. */
static uint16_t vector_or_none(const struct ob_virtio *fn, uint32_t v)
{
	return v <= fn->n_queues ? (uint16_t)v : VIRTIO_NO_VECTOR;
}

static void set_config_vector(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	(void)q;
	fn->st->config_vector = vector_or_none(fn, v);
}

static uint32_t get_n_queues(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->n_queues;
}

static uint32_t get_status(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->status;
}

static void set_status(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	(void)q;
	ob_virtio_set_status(fn, (uint8_t)v);
}

static uint32_t get_generation(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->generation;
}

static uint32_t get_queue_select(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)q;
	return fn->st->queue_select;
}

static void set_queue_select(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	(void)q;
	fn->st->queue_select = (uint16_t)v;
}

/* ---- registers of the selected queue: 'q' is NULL where there is none, and they read 0 ---- */

static uint32_t get_size(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	uint16_t max = virtio_queue_max(fn, fn->st->queue_select);

	if (q == NULL || max == 0)
		return 0;
	return q->size != 0 ? q->size : max;
}

static void set_size(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	if (q->enabled || v == 0 || v > virtio_queue_max(fn, fn->st->queue_select))
		return;
	if ((v & (v - 1)) && !virtio_has(fn, VIRTIO_F_RING_PACKED))
		return;
	q->size = (uint16_t)v;
}

static uint32_t get_vector(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)fn;
	return q != NULL ? q->vector : VIRTIO_NO_VECTOR;
}

static void set_vector(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	q->vector = vector_or_none(fn, v);
	ob_virtio_irq_changed(fn, fn->st->queue_select);
}

static uint32_t get_enable(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)fn;
	return q != NULL && q->enabled;
}

/* Only 1 has a meaning (4.1.4.3.2). After DRIVER_OK it restarts a queue that was reset. */
static void set_enable(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	unsigned idx = fn->st->queue_select;

	if (v != 1 || q->enabled || !fn->st->features_ok || virtio_queue_max(fn, idx) == 0)
		return;
	q->enabled = 1;
	ob_virtio_update(fn);
}

static uint32_t get_notify_off(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	return q != NULL ? fn->st->queue_select : 0;
}

static uint32_t get_notify_data(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	return q != NULL ? fn->st->queue_select : 0;
}

/* The queue stops before the write returns, so it never reads 1 (2.6.1). */
static uint32_t get_reset(struct ob_virtio *fn, struct ob_virtio_queue *q)
{
	(void)fn;
	(void)q;
	return 0;
}

static void set_reset(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v)
{
	unsigned idx = fn->st->queue_select;

	(void)q;
	if (v != 1 || !virtio_has(fn, VIRTIO_F_RING_RESET) || !q->enabled)
		return;
	virtio_drop_queue(fn, idx);
}

#define LO(name, field)                                                                     \
	static uint32_t get_##name(struct ob_virtio *fn, struct ob_virtio_queue *q)         \
	{                                                                                   \
		(void)fn;                                                                   \
		return q != NULL ? (uint32_t)q->field : 0;                                  \
	}                                                                                   \
	static void set_##name(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v) \
	{                                                                                   \
		(void)fn;                                                                   \
		if (!q->enabled)                                                            \
			q->field = (q->field & ~(uint64_t)UINT32_MAX) | v;                  \
	}
#define HI(name, field)                                                                     \
	static uint32_t get_##name(struct ob_virtio *fn, struct ob_virtio_queue *q)         \
	{                                                                                   \
		(void)fn;                                                                   \
		return q != NULL ? (uint32_t)(q->field >> 32) : 0;                          \
	}                                                                                   \
	static void set_##name(struct ob_virtio *fn, struct ob_virtio_queue *q, uint32_t v) \
	{                                                                                   \
		(void)fn;                                                                   \
		if (!q->enabled)                                                            \
			q->field = (q->field & UINT32_MAX) | (uint64_t)v << 32;             \
	}
LO(desc_lo, desc)
HI(desc_hi, desc)
LO(driver_lo, driver)
HI(driver_hi, driver)
LO(device_lo, device)
HI(device_hi, device)

#define QUEUE_REGS VIRTIO_PCI_COMMON_Q_SIZE /* from here on they belong to the selected queue */

static const struct reg regs[] = {
    {VIRTIO_PCI_COMMON_DFSELECT, 4, get_device_select, set_device_select},
    {VIRTIO_PCI_COMMON_DF, 4, get_device_features, NULL},
    {VIRTIO_PCI_COMMON_GFSELECT, 4, get_driver_select, set_driver_select},
    {VIRTIO_PCI_COMMON_GF, 4, get_driver_features, set_driver_features},
    {VIRTIO_PCI_COMMON_MSIX, 2, get_config_vector, set_config_vector},
    {VIRTIO_PCI_COMMON_NUMQ, 2, get_n_queues, NULL},
    {VIRTIO_PCI_COMMON_STATUS, 1, get_status, set_status},
    {VIRTIO_PCI_COMMON_CFGGENERATION, 1, get_generation, NULL},
    {VIRTIO_PCI_COMMON_Q_SELECT, 2, get_queue_select, set_queue_select},
    {VIRTIO_PCI_COMMON_Q_SIZE, 2, get_size, set_size},
    {VIRTIO_PCI_COMMON_Q_MSIX, 2, get_vector, set_vector},
    {VIRTIO_PCI_COMMON_Q_ENABLE, 2, get_enable, set_enable},
    {VIRTIO_PCI_COMMON_Q_NOFF, 2, get_notify_off, NULL},
    {VIRTIO_PCI_COMMON_Q_DESCLO, 4, get_desc_lo, set_desc_lo},
    {VIRTIO_PCI_COMMON_Q_DESCHI, 4, get_desc_hi, set_desc_hi},
    {VIRTIO_PCI_COMMON_Q_AVAILLO, 4, get_driver_lo, set_driver_lo},
    {VIRTIO_PCI_COMMON_Q_AVAILHI, 4, get_driver_hi, set_driver_hi},
    {VIRTIO_PCI_COMMON_Q_USEDLO, 4, get_device_lo, set_device_lo},
    {VIRTIO_PCI_COMMON_Q_USEDHI, 4, get_device_hi, set_device_hi},
    {VIRTIO_PCI_COMMON_Q_NDATA, 2, get_notify_data, NULL},
    {VIRTIO_PCI_COMMON_Q_RESET, 2, get_reset, set_reset},
};

/* The bytes [*from, *to) of register 'r' that an access touches; false: none. */
static bool overlap(const struct reg *r, uint64_t off, size_t len, unsigned *from, unsigned *to)
{
	uint64_t end = off + len, r_end = (uint64_t)r->off + r->width;

	if (off >= r_end || end <= r->off)
		return false;
	*from = off > r->off ? (unsigned)(off - r->off) : 0;
	*to = end < r_end ? (unsigned)(end - r->off) : r->width;
	return true;
}

void virtio_common_read(struct ob_virtio *fn, uint64_t off, void *buf, size_t len)
{
	struct ob_virtio_queue *q = ob_virtio_queue(fn, fn->st->queue_select);
	unsigned from, to;

	memset(buf, 0, len);
	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		uint32_t v;

		if (!overlap(&regs[i], off, len, &from, &to))
			continue;
		v = regs[i].get(fn, q);
		for (unsigned b = from; b < to; b++)
			((uint8_t *)buf)[regs[i].off + b - off] = (uint8_t)(v >> (8 * b));
	}
}

void virtio_common_write(struct ob_virtio *fn, uint64_t off, const void *buf, size_t len)
{
	unsigned from, to;

	for (size_t i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		const struct reg *r = &regs[i];
		struct ob_virtio_queue *q = ob_virtio_queue(fn, fn->st->queue_select);
		uint32_t v;

		if (!overlap(r, off, len, &from, &to) || r->set == NULL ||
		    (q == NULL && r->off >= QUEUE_REGS))
			continue;
		v = r->get(fn, q);
		for (unsigned b = from; b < to; b++) {
			v &= ~(UINT32_C(0xff) << (8 * b));
			v |= (uint32_t)((const uint8_t *)buf)[r->off + b - off] << (8 * b);
		}
		r->set(fn, q, v);
	}
}

/* 4.1.4.5.1: reading acknowledges. */
uint8_t virtio_isr_take(struct ob_virtio *fn)
{
	uint8_t isr = fn->st->isr;

	fn->st->isr = 0;
	return isr;
}

/* 4.1.5.2: 16 bits of queue number, or with NOTIFICATION_DATA 32 bits of which the low 16 are the queue number. The rest
 * (the driver's position) is a hint that the queue engine does not need. */
void virtio_notify_write(struct ob_virtio *fn, const void *buf, size_t len)
{
	rte_le16_t q;

	if (len < sizeof(q)) {
		ob_virtio_kick(fn, UINT32_MAX);
		return;
	}
	memcpy(&q, buf, sizeof(q));
	ob_virtio_kick(fn, rte_le_to_cpu_16(q));
}
