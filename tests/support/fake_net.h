/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's virtio-net driver, one queue pair of it, over fake_driver: posts receive buffers, sends and receives whole
 * frames with struct virtio_net_hdr_v1 in front (12 bytes; modern devices always have num_buffers).
 *
 *   struct fake_net n;
 *   fake_net_init(&n, &g, &(struct fake_net_conf){.ring = {.size = 256}, .mergeable = true, .buf_len = 1536});
 *   fake_net_post(&n);                          fills the receive ring; afterwards receive refills it
 *   kick = fake_net_send(&n, NULL, frame, len); NULL header: all zeros
 *   len = fake_net_receive(&n, &hdr, frame, sizeof(frame));
 */
#pragma once

#include <linux/virtio_net.h>

#include "fake_driver.h"

struct fake_net_conf {
	struct fake_ring_conf ring; /* both rings */
	bool mergeable;		    /* VIRTIO_NET_F_MRG_RXBUF */
	uint32_t
	    buf_len; /* of a receive buffer, header included; 0: 1536, without mergeable 65550 is legal too */
	unsigned
	    tx_split; /* segments for a frame's data: 0 or 1: header and data in one; n: header, n pieces */
};

struct fake_net {
	struct fake_net_conf conf;
	struct fake_guest *g;
	struct fake_ring rx, tx;
	uint64_t rx_buf, tx_buf; /* iova; one buffer per slot */
	uint32_t tx_buf_len;
	uint16_t *tx_free; /* stack of tx buffers */
	unsigned n_tx_free;
	unsigned n_bad; /* frames dropped for a nonsense length or num_buffers, as a driver would */
};

/* Returns 0, -ENOMEM. */
int fake_net_init(struct fake_net *n, struct fake_guest *g, const struct fake_net_conf *conf);
void fake_net_fini(struct fake_net *n);

/* Fills the receive ring. Returns the number of buffers added. */
unsigned fake_net_post(struct fake_net *n);

/* Queues one frame; takes back what the device has sent first. Returns 1 if it wants a kick, 0 if not, -ENOSPC,
 * -EMSGSIZE longer than 65535. */
int fake_net_send(
    struct fake_net *n, const struct virtio_net_hdr_v1 *hdr, const void *frame, uint32_t len);
/* Takes back what the device has sent. Returns how many frames are still with it. */
unsigned fake_net_sent(struct fake_net *n);

/* Takes one frame, without its header, and posts its buffers again. Returns its length, 0 when there is none,
 * -EPROTO the device broke the ring, -EMSGSIZE longer than 'cap' (dropped). */
int fake_net_receive(struct fake_net *n, struct virtio_net_hdr_v1 *hdr, void *frame, uint32_t cap);
