/* SPDX-License-Identifier: BSD-3-Clause */
/* The TAP behind the uplink, in the underlay's namespace. */
#pragma once

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "nl_sock.h"

struct rte_mbuf;

struct tap {
	int fd;
	int ifindex;
	char name[IFNAMSIZ];
};

/* Makes (or takes over, if it was made persistent) the TAP and brings it up. The calling thread is in its namespace and 'nl' was opened there.
 * Returns 0; -ENOENT no /dev/net/tun; -EPERM; -EBUSY another process has it; -errno. */
int tap_open(struct tap *t, const char *name, struct nl_sock *nl, const uint8_t mac[6],
    uint16_t mtu, char *err, size_t err_len);
void tap_close(struct tap *t);

/* Carrier as the port has it, so that routing daemons on the card see the uplink go down. */
void tap_set_carrier(struct tap *t, int up);

/* Gives a frame to the kernel. Does not free it. Returns 0, -EAGAIN its queue is full, -EIO the interface is down, -errno. */
int tap_write(struct tap *t, const struct rte_mbuf *pkt);
/* Takes one frame from the kernel into 'buf'. Returns its bytes, -EAGAIN none is there, -errno. */
int tap_read(struct tap *t, void *buf, size_t len);
