/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share. Context of everything here: main. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <linux/pci_regs.h>
#include <rte_log.h>

#include "ob_vfu.h"
#include "vfu_stream.h"

#define VFU_CFG_BYTES	4096u /* a PCIe function has 4 KiB; beyond 0x100 there is nothing yet */
#define VFU_MAX_WINDOWS 4u
#define VFU_N_REGIONS	((unsigned)VFIO_PCI_NUM_REGIONS)
#define VFU_N_IRQS	((unsigned)VFIO_PCI_NUM_IRQS)
#define VFU_VPD_BYTES	1024u

struct vfu_window {
	unsigned off, len;
};

struct vfu_config {
	uint8_t now[VFU_CFG_BYTES];
	uint8_t reset[VFU_CFG_BYTES]; /* power-on image */
	uint8_t wmask[VFU_CFG_BYTES]; /* bits that a write changes */
	uint8_t w1c[VFU_CFG_BYTES];   /* bits that a written 1 clears */
	unsigned free, last_cap;  /* where the next capability goes; the one whose 'next' is 0 */
	unsigned msix, pcie, vpd; /* offsets; 0: absent */
	struct vfu_window win[VFU_MAX_WINDOWS];
	unsigned n_win;
	uint8_t vpd_data[VFU_VPD_BYTES];
	unsigned vpd_len;
};

struct vfu_vector {
	int fd; /* -1: none */
	bool masked, pending;
};

struct vfu_intx {
	int fd, unmask_fd;
	struct event *unmask_ev;
	bool masked, level;
};

struct vfu_irq {
	struct vfu_vector *msix; /* n_vectors of them */
	struct vfu_intx intx;
	int err_fd;
	uint8_t *table; /* MSI-X table as plain storage: QEMU keeps its own and never asks */
};

/* A DMA_READ of ours that waits for its answer. */
struct vfu_shared_check {
	bool busy;
	uint16_t id;
	unsigned n_mismatch;
	uint64_t iova;
	uint32_t len;
	ob_vfu_shared_cb cb;
	void *cb_ctx;
};

struct vfu_conn {
	int fd;		  /* -1: nobody is connected */
	bool ready;	  /* VERSION was exchanged */
	const char *dead; /* why the connection is to be closed at the end of this turn */
	uint64_t peer_max_xfer;
	struct vfu_rx rx;
	struct vfu_tx tx;
	struct event *rd, *wr, *more;
};

struct vfu_reply {
	uint8_t *body; /* VFU_MAX_MSG - header */
	size_t len;
	int fd; /* -1, or a descriptor that stays the server's */
};

struct ob_vfu {
	struct ob_vfu_conf conf;
	char *name, *path;
	int listen_fd;
	uint64_t path_dev, path_ino; /* the socket file is removed only if it is still ours */
	struct event *listen_ev, *listen_retry;
	struct vfu_conn conn;
	struct vfu_config cfg;
	struct vfu_irq irq;
	struct vfu_shared_check check;
	struct ob_vfu_stats stats;
	bool was_connected; /* capabilities are frozen */
	bool leftover;	    /* gmem could not be emptied at the last disconnect */
	bool dma_dirty;	    /* ops->dma_changed is due at the end of this turn */
	struct timespec log_at;
	unsigned log_tokens;
	uint8_t tx_buf[VFU_MAX_MSG];
};

extern int vfu_logtype;

#define VFU_LOG(level, v, fmt, ...)                                                      \
	rte_log(RTE_LOG_##level, (uint32_t)vfu_logtype, "vfu: %s: " fmt "\n", (v)->name, \
	    ##__VA_ARGS__)
/* For what a peer can provoke: at most a few lines a second for each function. */
#define VFU_LOG_PEER(level, v, fmt, ...)                       \
	do {                                                   \
		if (vfu_log_allowed(v))                        \
			VFU_LOG(level, v, fmt, ##__VA_ARGS__); \
	} while (0)
bool vfu_log_allowed(struct ob_vfu *v);

/* vfu_msg.c. Checks, runs and answers one message; closes the descriptors that no handler took. */
void vfu_dispatch(struct ob_vfu *v, struct vfu_msg *msg);
/* Sends one whole message; a failure marks the connection dead. */
void vfu_send(struct ob_vfu *v, const void *bytes, size_t len, int fd);

/* Handlers: 0 or -errno for the reply. The body's size, the number of descriptors and the connection's state were checked
 * against the table; 'msg->body' may be unaligned. */
int vfu_on_version(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_dma_map(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_dma_unmap(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_device_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_region_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_irq_info(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_set_irqs(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_region_read(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_region_write(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_write_multi(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
int vfu_on_reset(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep);
/* The answer to a request of ours. */
void vfu_on_dma_read_reply(struct ob_vfu *v, const struct vfu_msg *msg);

/* vfu_region.c */
uint64_t vfu_region_size(const struct ob_vfu *v, unsigned region);

/* vfu_config.c. [off, off + len) lies inside config space. */
int vfu_config_init(struct ob_vfu *v);
void vfu_config_reset(struct ob_vfu *v);
void vfu_config_read(struct ob_vfu *v, unsigned off, uint8_t *buf, unsigned len);
void vfu_config_write(struct ob_vfu *v, unsigned off, const uint8_t *buf, unsigned len);
uint16_t vfu_config_command(const struct ob_vfu *v);
/* vfu_vpd.c. Returns the number of bytes, -EINVAL a string is too long or not printable. */
int vfu_vpd_build(const struct ob_vfu_conf *conf, uint8_t *buf, size_t cap);

/* vfu_irq.c */
int vfu_irq_init(struct ob_vfu *v);
void vfu_irq_fini(struct ob_vfu *v);
/* The peer is gone: forgets every descriptor. */
void vfu_irq_drop(struct ob_vfu *v);
/* The function was reset: level and pending bits are gone, descriptors and the client's masks stay. */
void vfu_irq_reset(struct ob_vfu *v);
/* MSI-X enable, function mask or INTx disable changed in config space. */
void vfu_irq_config_changed(struct ob_vfu *v, bool msix, bool intx);
/* Bytes of the pending bit array, from 'off'. */
void vfu_irq_pba_read(const struct ob_vfu *v, uint64_t off, uint8_t *buf, size_t len);

/* vfu_server.c */
void vfu_reset(struct ob_vfu *v);
/* Handles what has arrived: the one entry of bytes, whatever carries them (socket, fuzzer). */
void vfu_input(struct ob_vfu *v);
/* vfu_conn.c */
int vfu_conn_init(struct ob_vfu *v);
void vfu_conn_fini(struct ob_vfu *v);
int vfu_conn_open(struct ob_vfu *v, int fd);
void vfu_conn_close(struct ob_vfu *v, const char *why);
/* vfu_listen.c */
int vfu_listen_open(struct ob_vfu *v);
void vfu_listen_close(struct ob_vfu *v);
