/* SPDX-License-Identifier: BSD-3-Clause */
/* A vfio-user client for tests and benchmarks: what QEMU is to the server. One message at a time: each call sends a
 * command and waits for its answer, except the posted ones. It answers the server's DMA_READ from the memory it shares.
 *
 * All calls return 0 or -errno: what the server's reply says, or -EPIPE the server closed, -EPROTO its answer makes no
 * sense, -ETIMEDOUT none came within 5 s. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VFU_CLIENT_MAX_REGIONS 64

struct vfu_client_region {
	uint64_t iova, size;
	uint8_t *hva; /* the memory that the server maps */
	uint8_t
	    *view; /* what the client says the guest sees; hva unless a test makes them differ */
	int fd;
};

struct vfu_client {
	int fd;
	uint16_t next_id;
	/* Runs the server for a moment if it lives in this thread; NULL: it is another process or thread. */
	void (*pump)(void *ctx);
	void *pump_ctx;
	struct vfu_client_region mem[VFU_CLIENT_MAX_REGIONS];
	unsigned n_mem;
	unsigned n_dma_reads; /* DMA_READs answered */
	int reply_fd; /* came with the last reply: the caller's if it takes it, else closed by the next call */
	uint8_t reply[80 * 1024];
	size_t reply_len; /* bytes behind the header */
};

/* 'fd' becomes the client's. */
void vfu_client_init(struct vfu_client *c, int fd, void (*pump)(void *), void *pump_ctx);
int vfu_client_connect(
    struct vfu_client *c, const char *path, void (*pump)(void *), void *pump_ctx);
void vfu_client_close(struct vfu_client *c);

/* Raw: sends bytes as they are, with descriptors. */
int vfu_client_send_raw(
    struct vfu_client *c, const void *bytes, size_t len, const int *fds, unsigned n_fds);
/* Sends one command; 'flags' as in the header (0x10: no reply). Returns after the reply, or at once with 0x10. */
int vfu_client_command(struct vfu_client *c, uint16_t cmd, uint32_t flags, const void *body,
    size_t len, const int *fds, unsigned n_fds);
/* Waits until the server closes the connection. */
int vfu_client_wait_close(struct vfu_client *c);

/* VERSION 0.0; 'json' NULL: the capabilities that QEMU sends. */
int vfu_client_version(struct vfu_client *c, const char *json);
/* VERSION and GET_INFO. */
int vfu_client_start(struct vfu_client *c);

/* Makes 'size' bytes of memory, maps them here and to the server (flags: VFIO_DMA_MAP_FLAG_*). */
int vfu_client_share(
    struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags, uint8_t **hva);
int vfu_client_map(
    struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags, int fd, uint64_t off);
int vfu_client_unmap(struct vfu_client *c, uint64_t iova, uint64_t size, uint32_t flags);

int vfu_client_read(struct vfu_client *c, uint32_t region, uint64_t off, void *buf, uint32_t len);
int vfu_client_write(
    struct vfu_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t len);
/* Without an answer, as QEMU writes BARs. */
int vfu_client_post(
    struct vfu_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t len);

/* Config space, by width; 0xff.. if the server does not answer. */
uint8_t vfu_client_cfg8(struct vfu_client *c, unsigned off);
uint16_t vfu_client_cfg16(struct vfu_client *c, unsigned off);
uint32_t vfu_client_cfg32(struct vfu_client *c, unsigned off);
int vfu_client_cfg_set8(struct vfu_client *c, unsigned off, uint8_t val);
int vfu_client_cfg_set16(struct vfu_client *c, unsigned off, uint16_t val);
int vfu_client_cfg_set32(struct vfu_client *c, unsigned off, uint32_t val);
/* Offset of a standard capability, at or after the one at 'after' (0: first); 0 if there is none. */
unsigned vfu_client_cap(struct vfu_client *c, uint8_t id, unsigned after);

/* SET_IRQS. fds NULL: none. data NULL: none. */
int vfu_client_set_irqs(struct vfu_client *c, uint32_t flags, uint32_t index, uint32_t start,
    uint32_t count, const void *data, size_t data_len, const int *fds, unsigned n_fds);
/* Enables MSI-X in config space and gives a vector an eventfd. */
int vfu_client_msix(struct vfu_client *c, unsigned vector, int eventfd);
int vfu_client_reset(struct vfu_client *c);
