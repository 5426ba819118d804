/* SPDX-License-Identifier: BSD-3-Clause */
/* Framing over a byte stream that also carries file descriptors: bytes in, whole messages out; and the bounded queue
 * of what the socket did not take yet. Knows nothing of what messages mean. No locks; context: main. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "vfu_wire.h"

/* Bytes that wait for a peer that does not read; over this it is cut off. */
#define VFU_TX_MAX (1u << 20)

struct vfu_msg {
	struct vfu_hdr hdr;
	const uint8_t
	    *body; /* private copy of the stream, any alignment; dies with the next vfu_rx_space */
	size_t len;
	int fd
	    [VFU_MAX_FDS]; /* the receiver of the message closes them, or takes one and leaves -1 */
	unsigned n_fds;
};

struct vfu_fdset {
	size_t at; /* where in the buffer their message starts */
	unsigned n;
	int fd[VFU_MAX_FDS];
};

struct vfu_rx {
	uint8_t *buf;
	size_t cap, rd, wr;
	struct vfu_fdset set[2]; /* of the message that is incomplete, and of one behind it */
	unsigned n_sets;
};

int vfu_rx_init(struct vfu_rx *rx);
/* Closes every descriptor that no message took. */
void vfu_rx_fini(struct vfu_rx *rx);
void vfu_rx_reset(struct vfu_rx *rx);

/* Where the next bytes go, and how many fit (never 0). Call only when vfu_rx_next returned 0. */
uint8_t *vfu_rx_space(struct vfu_rx *rx, size_t *room);

/* 'n' bytes were written to the space; 'fd' came with them. As the kernel ends a read behind bytes that carry descriptors,
 * they belong to the last message that starts in these bytes. Takes the descriptors in every case.
 * Returns 0; -EPROTO no message starts here to own them, or too many. */
int vfu_rx_commit(struct vfu_rx *rx, size_t n, const int *fd, unsigned n_fds);

/* Next whole message. Returns 1, 0 (more bytes are needed), -EPROTO impossible size or type. */
int vfu_rx_next(struct vfu_rx *rx, struct vfu_msg *msg);

void vfu_msg_close_fds(struct vfu_msg *msg);

struct vfu_tx_chunk {
	STAILQ_ENTRY(vfu_tx_chunk) next;
	size_t len, off;
	int fd; /* not owned: the server's own memfd */
	uint8_t bytes[];
};

struct vfu_tx {
	STAILQ_HEAD(, vfu_tx_chunk) q;
	size_t n_bytes; /* queued, with the bookkeeping */
	/* Sends what it can: number of bytes, -EAGAIN, -errno. */
	ssize_t (*send)(void *ctx, const void *bytes, size_t len, int fd);
	void *ctx;
};

void vfu_tx_init(struct vfu_tx *tx, ssize_t (*send)(void *, const void *, size_t, int), void *ctx);
void vfu_tx_reset(struct vfu_tx *tx);
/* Sends or queues one whole message ('fd' -1: none). Returns 0; -ENOBUFS the peer does not read; -ENOMEM; -errno of send. */
int vfu_tx_msg(struct vfu_tx *tx, const void *bytes, size_t len, int fd);
/* Sends what is queued. Returns 0 (all gone), 1 (more is queued), -errno. */
int vfu_tx_flush(struct vfu_tx *tx);
