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

#define OB_VFU_N_BARS	   6
#define OB_VFU_MAX_VECTORS 2048

struct ob_vfu_bar {
	uint64_t size; /* 0: absent; else a power of two >= 16 (memory BAR) */
	bool is_64bit; /* takes the next slot too */
	bool prefetch;
	/* Optional sparse mmap area (doorbell page): 4096-aligned; mmap_len 0: none. mmap_fd is a memfd of the device model's that
	 * holds the area at this same offset; it stays the model's, and must be sealed against shrinking (F_SEAL_SHRINK), because
	 * the peer gets it too. */
	uint64_t mmap_off, mmap_len;
	int mmap_fd;
};

struct ob_vfu_conf {
	const char *name; /* for logs; copied */
	/* Socket to listen on; created 0660, an old socket there that nobody serves is replaced. NULL: none, the connection
	 * comes by ob_vfu_attach. Copied. */
	const char *path;
	struct event_base *base;
	struct ob_gmem *gm; /* filled by DMA_MAP, emptied at disconnect; caller owns it */
	uint16_t vendor_id, device_id, subsys_vendor_id, subsys_id;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class << 16 | subclass << 8 | prog-if */
	uint16_t n_vectors;  /* MSI-X table size; 0: no MSI-X */
	uint8_t msix_bar;    /* BAR that holds table and PBA; must exist and have room */
	uint32_t msix_table_off, msix_pba_off;
	bool intx; /* interrupt pin INTA */
	/* PCI VPD 'SN', 'PN' and identifier string, printable ASCII, at most 255 characters, copied. No serial: no VPD at all. */
	const char *vpd_serial;
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
	/* Function reset: DEVICE_RESET message, FLR through config space, and disconnect. The model stops its queues before it returns.
	 * Then the server heals gmem; at disconnect it also closes the eventfds and empties gmem (in this order), then calls connected. */
	void (*reset)(void *ctx);
	/* Bus mastering or memory decode changed (PCI command register), also by a reset (after ops->reset). Without
	 * bus master the device must not touch guest memory. May be NULL. */
	void (*command)(void *ctx, uint16_t pci_command);
	/* The DMA map changed (after a batch of map/unmap was applied): queues that stalled may look again. May be NULL. */
	void (*dma_changed)(void *ctx);
	/* A vector's eventfd changed or was (un)masked; the model re-reads it with ob_vfu_irq_fd. When the host switches MSI-X or
	 * its function mask, it comes for each vector that has an eventfd, for vector 0 if none has. May be NULL. */
	void (*irq_changed)(void *ctx, unsigned vector);
	/* A peer came or went. May be NULL. */
	void (*connected)(void *ctx, bool up);
};

struct ob_vfu_stats {
	uint64_t n_messages;
	uint64_t n_bad_messages;	   /* refused with an errno, or the end of the connection */
	uint64_t n_connections, n_refused; /* refused: somebody else was connected */
	uint64_t n_disconnects;		 /* this side closed, because the peer broke the protocol */
	uint64_t n_dma_map, n_dma_unmap; /* ranges */
	uint64_t n_irqs;		 /* signalled by the main thread */
	uint64_t n_flr, n_resets;	 /* through config space; by DEVICE_RESET */
	bool connected;
	bool not_shared; /* ob_vfu_check_shared found memory that the guest does not share */
	pid_t peer_pid;
};

/* Starts to listen. Context: main. Returns 0; -EINVAL bad conf; -EADDRINUSE somebody serves that socket; -EEXIST something that is
 * no socket lies there; -ENAMETOOLONG the path does not fit a socket address; -ENOMEM; -errno. */
int ob_vfu_create(const struct ob_vfu_conf *conf, struct ob_vfu **out);
/* Closes the connection (with ops->reset) and removes the socket file. NULL is legal. Context: main, not from a callback of 'ops'. */
void ob_vfu_destroy(struct ob_vfu *v);

/* Serves a connected stream socket ('fd' becomes the server's, also on error). Context: main.
 * Returns 0; -EBUSY somebody is connected; -errno. */
int ob_vfu_attach(struct ob_vfu *v, int fd);

/* Appends a capability to config space: body = 'len' bytes after the 2-byte header (id, next). Returns its offset, -ENOSPC no room
 * or too many windows, -EINVAL the window is not inside the body, -EBUSY somebody was connected already.
 * If 'window_len' > 0 then accesses to [off + window_off, + window_len) go to cfg_read/cfg_write with the offset within the window
 * ('off' is the capability's offset, so 2 is the first byte of the body). Everything else of the capability is read-only.
 * Context: main, before the first connection. */
int ob_vfu_cap_add(struct ob_vfu *v, uint8_t cap_id, const void *body, size_t len,
    unsigned window_off, unsigned window_len);

/* Raises an interrupt: MSI-X vector if MSI-X is enabled, else INTx (level kept until ob_vfu_intx(v, false)). Coalesces while
 * masked or without an eventfd (PBA), and is delivered when that ends.
 * Context: main. A worker uses the eventfd itself: */
void ob_vfu_irq(struct ob_vfu *v, unsigned vector);
void ob_vfu_intx(struct ob_vfu *v, bool level);
bool ob_vfu_msix_enabled(const struct ob_vfu *v);
/* The eventfd of a vector to be written by a worker, or -1 (none, masked). Not owned by the caller; valid until irq_changed or reset
 * of that vector returns. Context: main. */
int ob_vfu_irq_fd(const struct ob_vfu *v, unsigned vector);

/* PCI command register as the host left it (PCI_COMMAND_MASTER, ...). Context: main. */
uint16_t ob_vfu_command(const struct ob_vfu *v);

/* Compares 'len' bytes at 'iova' as the peer sees them (it is asked by message) with the bytes that gmem maps. QEMU with a memory
 * backend without share=on passes descriptors that show none of the guest's writes: the device would hang silently. Choose a
 * stretch that the driver has just written (a queue's descriptors) and that rests; a difference counts only when a second look
 * confirms it. Then a warning says what to change, stats.not_shared is set and cb(ctx, false) is called; cb(ctx, true) if the bytes
 * agree. No call if the peer goes away first or cannot tell. 'cb' may be NULL. Context: main.
 * Returns 0 (asked); -ENOTCONN; -EPERM the function is no bus master, the peer would refuse; -EBUSY a check runs; -EINVAL len is 0, over 4096 or over what the peer takes; or as ob_gmem_fetch. */
typedef void (*ob_vfu_shared_cb)(void *ctx, bool shared);
int ob_vfu_check_shared(
    struct ob_vfu *v, ob_iova_t iova, uint32_t len, ob_vfu_shared_cb cb, void *ctx);

void ob_vfu_get_stats(const struct ob_vfu *v, struct ob_vfu_stats *out);
