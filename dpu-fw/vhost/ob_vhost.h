/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user transport of a virtio function: the VMM keeps the PCI device, the card has the rings.
 *
 * DPDK's rte_vhost speaks the protocol on its own thread; every event is handed to the main thread, and the rings are
 * served by our virtq engine through vif or vblk, never by rte_vhost.
 *
 * Not offered: live migration (dirty log), in-flight descriptor tracking, postcopy, vIOMMU. The control queue stays in the VMM,
 * which tells the card no more than which queue pairs are in use, so receive filters do not reach the card.
 */
#pragma once

#include "ob_virtio.h"

enum ob_vhost_mode {
	OB_VHOST_LISTEN, /* "vhost-user": the card listens; QEMU connects (-chardev socket,path=...,reconnect=1) */
	OB_VHOST_CONNECT, /* "vhost-user-client": the card connects, and again when the peer went; QEMU has server=on */
};

/* As ob_vnet_create; serial is not used. The result is an ob_vnet in every respect; ob_vnet_destroy ends it. Context: main.
 * Returns 0; -EINVAL; -EEXIST; -EADDRINUSE; -ENOSPC; -ENOMEM; -EIO rte_vhost refused. */
int ob_vhost_create(const struct ob_vnet_conf *conf, enum ob_vhost_mode mode, struct ob_vnet **out);

/* The same for virtio-blk: the configuration space comes from the card (protocol feature CONFIG), and a resize is told by the backend's
 * channel where the peer offers one. */
int ob_vhost_blk_create(
    const struct ob_virtio_blk_conf *conf, enum ob_vhost_mode mode, struct ob_virtio_blk **out);
