/* SPDX-License-Identifier: BSD-3-Clause */
/* A function over the fakes, and a driver's way to its registers, for the tests of this folder. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <event2/event.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "ob_arena.h"
#include "net.h"
#include "fake_ports.h"

#define T_PAIRS	     3
#define T_QUEUES     (2 * T_PAIRS + 1)
#define T_CTRL	     (2 * T_PAIRS)
#define T_COMMON     0x0000
#define T_ISR	     0x1000
#define T_DEVICE     0x2000
#define T_NOTIFY     0x3000
#define T_NEEDS_DMA  PCI_COMMAND_MASTER
#define T_UP	     0x0f
#define T_MIN	     VIRTIO_BIT(VIRTIO_F_VERSION_1)
#define T_WITH_CTRL  (T_MIN | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_MQ))
#define T_RING(q, n) (0x100000u + 0x10000u * (q) + 0x4000u * (n))

struct t {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_vnet *vn;
	struct virtio_state *st;
};

static inline struct ob_vnet_conf t_conf(struct t *t)
{
	return (struct ob_vnet_conf){
	    .name = "net0",
	    .path = "/run/net0.sock",
	    .base = t->base,
	    .arena = t->arena,
	    .mac = {0x52, 0x54, 0, 1, 2, 3},
	    .mtu = 1450,
	    .n_pairs = T_PAIRS,
	    .packed = true,
	    .serial = "OB-1",
	    .speed_mbps = 100000,
	};
}

static inline int t_setup(void **state)
{
	static struct t t;
	struct ob_vnet_conf conf;

	fakes_reset();
	t.base = event_base_new();
	if (ob_arena_create("t", 1 << 20, &t.arena) != 0)
		return -1;
	conf = t_conf(&t);
	if (ob_vnet_create(&conf, &t.vn) != 0)
		return -1;
	t.st = t.vn->v.st;
	*state = &t;
	return 0;
}

static inline int t_teardown(void **state)
{
	struct t *t = *state;

	ob_vnet_destroy(t->vn);
	ob_arena_destroy(t->arena);
	event_base_free(t->base);
	return 0;
}

static inline void t_write(uint64_t off, uint64_t v, size_t len)
{
	fake_vfu.conf.ops->bar_write(fake_vfu.conf.ctx, 0, off, &v, len); /* little-endian hosts */
}

static inline uint64_t t_read(uint64_t off, size_t len)
{
	uint64_t v = 0;

	fake_vfu.conf.ops->bar_read(fake_vfu.conf.ctx, 0, off, &v, len);
	return v;
}

static inline void t_command(uint16_t command)
{
	fake_vfu.conf.ops->command(fake_vfu.conf.ctx, command);
}

static inline uint64_t t_offered(void)
{
	uint64_t lo, hi;

	t_write(VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	lo = t_read(VIRTIO_PCI_COMMON_DF, 4);
	t_write(VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	hi = t_read(VIRTIO_PCI_COMMON_DF, 4);
	return lo | hi << 32;
}

/* Up to FEATURES_OK, as in 3.1.1; returns the status. */
static inline uint8_t t_negotiate(uint64_t features)
{
	t_write(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	t_write(VIRTIO_PCI_COMMON_STATUS, 1, 1);
	t_write(VIRTIO_PCI_COMMON_STATUS, 3, 1);
	t_write(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	t_write(VIRTIO_PCI_COMMON_GF, (uint32_t)features, 4);
	t_write(VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	t_write(VIRTIO_PCI_COMMON_GF, features >> 32, 4);
	t_write(VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	return (uint8_t)t_read(VIRTIO_PCI_COMMON_STATUS, 1);
}

static inline void t_queue(unsigned q, uint16_t size, uint16_t vector)
{
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
	t_write(VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	t_write(VIRTIO_PCI_COMMON_Q_MSIX, vector, 2);
	t_write(VIRTIO_PCI_COMMON_Q_DESCLO, T_RING(q, 0), 4);
	t_write(VIRTIO_PCI_COMMON_Q_DESCHI, 1, 4);
	t_write(VIRTIO_PCI_COMMON_Q_AVAILLO, T_RING(q, 1), 4);
	t_write(VIRTIO_PCI_COMMON_Q_USEDLO, T_RING(q, 2), 4);
	t_write(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

/* A driver that is up with 'n' queues of 64. */
static inline void t_up(uint64_t features, unsigned n)
{
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(t_negotiate(features), 0xb);
	for (unsigned q = 0; q < n; q++)
		t_queue(q, 64, (uint16_t)(q + 1));
	t_write(VIRTIO_PCI_COMMON_STATUS, T_UP, 1);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_STATUS, 1), T_UP);
}
