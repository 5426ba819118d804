/* SPDX-License-Identifier: BSD-3-Clause */
/* vfio-user server: one PCI function over one Unix socket (vfio-user protocol 0.x as QEMU's client speaks it).
 *
 * The server owns the protocol, the DMA map (it fills a struct ob_gmem), interrupts (INTx, MSI-X as eventfds) and the
 * generic part of PCI config space (header, BARs' sizing, capabilities given by the device model, MSI-X, FLR). The device
 * model owns BAR contents through callbacks. Everything runs on the main thread's event loop and never blocks.
 * A peer that breaks the protocol loses its connection; the listening socket stays, the next peer is served.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

#include "ob_gmem.h"

struct event_base;
struct ob_vfu;

#define OB_VFU_N_BARS 6
#define OB_VFU_MAX_VECTORS 2048

struct ob_vfu_bar {
	uint64_t size;   /* 0: absent; else a power of two >= 16 (memory BAR) */
	bool is_64bit;   /* takes the next slot too */
	bool prefetch;
	/* Optional sparse mmap area (doorbell page): 4096-aligned; mmap_fd is the server's memfd. mmap_len 0: none. */
	uint64_t mmap_off, mmap_len;
	int mmap_fd;
};

struct ob_vfu_conf {
	const char *name;        /* for logs; copied */
	const char *path;        /* socket to listen on; created 0660, an old socket there that nobody serves is replaced */
	struct event_base *base;
	struct ob_gmem *gm;      /* filled by DMA_MAP, emptied at disconnect; caller owns it */
	uint16_t vendor_id, device_id, subsys_vendor_id, subsys_id;
	uint8_t revision;
	uint32_t class_code;     /* 24 bits: class << 16 | subclass << 8 | prog-if */
	uint16_t n_vectors;      /* MSI-X table size; 0: no MSI-X */
	uint8_t msix_bar;        /* BAR that holds table and PBA; must exist and have room */
	uint32_t msix_table_off, msix_pba_off;
	bool intx;               /* interrupt pin INTA */
	const char *vpd_serial;  /* PCI VPD 'SN'; NULL: no VPD capability. VPD also has the part number and an identifier string */
	const char *vpd_part, *vpd_ident;
	struct ob_vfu_bar bar[OB_VFU_N_BARS];
	const struct ob_vfu_ops *ops;
	void *ctx;
};

struct ob_vfu_ops {
	/* Register access inside a BAR, never crossing its end, never in an area mmapped or in the MSI-X table/PBA (the server's). Any offset,
	 * any length 1..: answer bytes for a read (unimplemented registers read 0), ignore writes that mean nothing. Never blocks. */
	void (*bar_read)(void *ctx, unsigned bar, uint64_t off, void *buf, size_t len);
	void (*bar_write)(void *ctx, unsigned bar, uint64_t off, const void *buf, size_t len);
	/* Vendor-specific window inside config space (virtio PCI_CFG capability data): see ob_vfu_cap_add. NULL: plain storage. */
	void (*cfg_read)(void *ctx, unsigned off, void *buf, size_t len);
	void (*cfg_write)(void *ctx, unsigned off, const void *buf, size_t len);
	/* Function reset: DEVICE_RESET message, FLR through config space, and disconnect. The model stops its queues before it returns. */
	void (*reset)(void *ctx);
	/* Bus mastering or memory decode changed (PCI command register). Without bus master the device must not touch guest memory. */
	void (*command)(void *ctx, uint16_t pci_command);
	/* The DMA map changed (after a batch of map/unmap was applied): queues that stalled may look again. May be NULL. */
	void (*dma_changed)(void *ctx);
	/* A vector's eventfd changed or was (un)masked; the model re-reads it with ob_vfu_irq_fd. May be NULL. */
	void (*irq_changed)(void *ctx, unsigned vector);
	void (*connected)(void *ctx, bool up);
};

struct ob_vfu_stats {
	uint64_t n_messages, n_bad_messages, n_connections, n_refused, n_dma_map, n_dma_unmap, n_irqs, n_flr;
	bool connected;
	pid_t peer_pid;
};

/* Starts to listen. Context: main. Returns 0; -EINVAL bad conf; -EADDRINUSE somebody serves that socket; -errno. */
int ob_vfu_create(const struct ob_vfu_conf *conf, struct ob_vfu **out);
/* Closes the connection and removes the socket file. NULL is legal. Context: main. */
void ob_vfu_destroy(struct ob_vfu *v);

/* Appends a capability to config space: body = 'len' bytes after the 2-byte header (id, next). Returns its offset or -ENOSPC.
 * If 'window_len' > 0 then accesses to [off + window_off, + window_len) go to cfg_read/cfg_write with the offset within the window.
 * Context: main, before the first connection. */
int ob_vfu_cap_add(struct ob_vfu *v, uint8_t cap_id, const void *body, size_t len, unsigned window_off, unsigned window_len);

/* Raises an interrupt: MSI-X vector if MSI-X is enabled, else INTx (level kept until ob_vfu_intx_clear). Coalesces while masked (PBA).
 * Context: main. A worker uses the eventfd itself: */
void ob_vfu_irq(struct ob_vfu *v, unsigned vector);
void ob_vfu_intx(struct ob_vfu *v, bool level);
bool ob_vfu_msix_enabled(const struct ob_vfu *v);
/* The eventfd of a vector to be written by a worker, or -1 (none, masked). Not owned by the caller; valid until irq_changed or reset
 * of that vector returns. Context: main. */
int ob_vfu_irq_fd(const struct ob_vfu *v, unsigned vector);

void ob_vfu_get_stats(const struct ob_vfu *v, struct ob_vfu_stats *out);
