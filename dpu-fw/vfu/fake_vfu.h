/* SPDX-License-Identifier: BSD-3-Clause */
/* A server with a device model that records what it is told, and a client on the other end of a socket pair; both live in
 * the test's one thread. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <rte_log.h>

#include "ob_gmem.h"
#include "ob_vfu.h"
#include "vfu_client.h"
#include "vfu_wire.h"

#define FIX_BAR0    16384u
#define FIX_VECTORS 70u
#define FIX_TABLE   0x1000u
#define FIX_PBA	    0x2000u
#define FIX_PAGE    0x3000u
#define FIX_CFG	    ((uint32_t)VFIO_PCI_CONFIG_REGION_INDEX)

struct fix {
	struct event_base *base;
	struct ob_gmem *gm;
	struct ob_vfu *v;
	struct ob_vfu_conf conf;
	struct vfu_client c;
	int page_fd;
	/* What the model saw. */
	uint8_t bar0[FIX_BAR0];
	uint8_t window[16];
	unsigned n_reset, n_command, n_dma_changed, n_irq_changed, n_up, n_down, n_sync, n_read,
	    n_write;
	uint16_t command;
	unsigned last_vector;
	int fd_at_change;	  /* ob_vfu_irq_fd inside irq_changed */
	uint32_t ranges_at_reset; /* gmem ranges while the model stops its queues */
	int shared;		  /* -1: the check said nothing yet */
};

static inline void fix_bar_read(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len)
{
	struct fix *f = ctx;

	assert_int_equal(bar, 0);
	assert_true(len > 0 && off <= FIX_BAR0 && len <= FIX_BAR0 - off);
	f->n_read++;
	memcpy(buf, f->bar0 + off, len);
}

static inline void fix_bar_write(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len)
{
	struct fix *f = ctx;

	assert_int_equal(bar, 0);
	assert_true(len > 0 && off <= FIX_BAR0 && len <= FIX_BAR0 - off);
	f->n_write++;
	memcpy(f->bar0 + off, buf, len);
}

static inline void fix_cfg_read(void *ctx, unsigned off, void *buf, size_t len)
{
	struct fix *f = ctx;

	assert_true(off + len <= sizeof(f->window));
	memcpy(buf, f->window + off, len);
}

static inline void fix_cfg_write(void *ctx, unsigned off, const void *buf, size_t len)
{
	struct fix *f = ctx;

	assert_true(off + len <= sizeof(f->window));
	memcpy(f->window + off, buf, len);
}

static inline void fix_reset(void *ctx)
{
	struct fix *f = ctx;
	uint64_t bytes;

	f->n_reset++;
	ob_gmem_usage(f->gm, &f->ranges_at_reset, &bytes);
}

static inline void fix_command(void *ctx, uint16_t command)
{
	struct fix *f = ctx;

	f->n_command++;
	f->command = command;
}

static inline void fix_dma_changed(void *ctx)
{
	struct fix *f = ctx;

	f->n_dma_changed++;
}

static inline void fix_irq_changed(void *ctx, unsigned vector)
{
	struct fix *f = ctx;

	f->n_irq_changed++;
	f->last_vector = vector;
	f->fd_at_change = ob_vfu_irq_fd(f->v, vector);
}

static inline void fix_connected(void *ctx, bool up)
{
	struct fix *f = ctx;

	*(up ? &f->n_up : &f->n_down) += 1;
}

static inline void fix_sync(void *ctx)
{
	struct fix *f = ctx;

	f->n_sync++;
}

static inline void fix_shared(void *ctx, bool shared)
{
	struct fix *f = ctx;

	f->shared = shared;
}

static inline void fix_pump(void *ctx)
{
	struct fix *f = ctx;

	event_base_loop(f->base, EVLOOP_NONBLOCK);
}

/* Until nothing more happens, for what has no answer. */
static inline void fix_settle(struct fix *f)
{
	for (unsigned i = 0; i < 8; i++)
		fix_pump(f);
}

static const struct ob_vfu_ops fix_ops = {
    .bar_read = fix_bar_read,
    .bar_write = fix_bar_write,
    .cfg_read = fix_cfg_read,
    .cfg_write = fix_cfg_write,
    .reset = fix_reset,
    .command = fix_command,
    .dma_changed = fix_dma_changed,
    .irq_changed = fix_irq_changed,
    .connected = fix_connected,
};

static inline int fix_page(void)
{
	int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, FIX_BAR0), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static inline unsigned fix_ranges(const struct fix *f)
{
	uint32_t n;
	uint64_t bytes;

	ob_gmem_usage(f->gm, &n, &bytes);
	return n;
}

/* A server without a client. */
static inline void fix_create(struct fix *f)
{
	struct ob_gmem_conf g = {.name = "test", .sync = fix_sync, .sync_ctx = f};

	rte_log_set_level_pattern("ob.vfu", RTE_LOG_EMERG);
	memset(f, 0, sizeof(*f));
	f->shared = -1;
	f->c.fd = -1;
	f->c.reply_fd = -1;
	f->base = event_base_new();
	assert_non_null(f->base);
	assert_int_equal(ob_gmem_create(&g, &f->gm), 0);
	f->page_fd = fix_page();
	f->conf = (struct ob_vfu_conf){
	    .name = "test",
	    .base = f->base,
	    .gm = f->gm,
	    .vendor_id = 0x1af4,
	    .device_id = 0x1041,
	    .subsys_vendor_id = 0x1234,
	    .subsys_id = 0x5678,
	    .revision = 1,
	    .class_code = 0x020000,
	    .n_vectors = FIX_VECTORS,
	    .msix_table_off = FIX_TABLE,
	    .msix_pba_off = FIX_PBA,
	    .intx = true,
	    .vpd_serial = "OB-0042",
	    .vpd_part = "outboard-1",
	    .vpd_ident = "A card",
	    .bar =
		{{.size = FIX_BAR0, .mmap_off = FIX_PAGE, .mmap_len = 4096, .mmap_fd = f->page_fd},
		    [2] = {.size = 1ull << 33, .is_64bit = true, .prefetch = true}},
	    .ops = &fix_ops,
	    .ctx = f,
	};
	assert_int_equal(ob_vfu_create(&f->conf, &f->v), 0);
}

static inline void fix_attach(struct fix *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ob_vfu_attach(f->v, pair[0]), 0);
	vfu_client_init(&f->c, pair[1], fix_pump, f);
}

/* A server with a client that has exchanged VERSION. */
static inline void fix_open(struct fix *f)
{
	fix_create(f);
	fix_attach(f);
	assert_int_equal(vfu_client_start(&f->c), 0);
}

static inline void fix_close(struct fix *f)
{
	vfu_client_close(&f->c);
	ob_vfu_destroy(f->v);
	ob_gmem_destroy(f->gm);
	event_base_free(f->base);
	close(f->page_fd);
}

static inline struct ob_vfu_stats fix_stats(const struct fix *f)
{
	struct ob_vfu_stats s;

	ob_vfu_get_stats(f->v, &s);
	return s;
}

/* The server has closed the connection because of what was sent, and serves the next client. */
static inline void fix_assert_cut(struct fix *f)
{
	uint64_t before = fix_stats(f).n_connections;

	assert_int_equal(vfu_client_wait_close(&f->c), 0);
	assert_false(fix_stats(f).connected);
	assert_true(fix_stats(f).n_disconnects > 0);
	vfu_client_close(&f->c);
	fix_attach(f);
	assert_int_equal(vfu_client_start(&f->c), 0);
	assert_int_equal(fix_stats(f).n_connections, before + 1);
}
