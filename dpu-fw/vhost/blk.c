/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-blk over vhost-user: the configuration space is the card's, and goes over the socket. */
#include "vhost_priv.h"

#include <errno.h>

#define PROTOCOL_F_BACKEND_REQ 5
#define PROTOCOL_F_CONFIG      9
#define BACKEND_CONFIG_CHANGE  2

/* Tells the VMM, which reads the space again and interrupts its guest; without the channel for it (protocol feature BACKEND_REQ) a guest
 * sees the change at its next look. Not for a broken ring: the VMM has the status register. The library's own call would wait for a peer
 * that stops reading. */
static void blk_config_changed(void *ctx)
{
	struct ob_vhost *vh = ctx;

	if (vh->connected && !(ob_virtio_status(vh->v) & VIRTIO_CONFIG_S_NEEDS_RESET))
		vhost_tell_peer(vh, BACKEND_CONFIG_CHANGE);
}

#define TRANSPORT(its_name)                                                                       \
	{                                                                                         \
		.name = its_name, .destroy = vhost_destroy, .config_changed = blk_config_changed, \
		.queue_irq_fd = vhost_queue_irq_fd, .queue_irq = vhost_queue_irq,                 \
		.get_peer = vhost_get_peer, .features_off = VHOST_FEATURES_OFF,                   \
		.peer_has_size = true,                                                            \
	}

static const struct ob_virtio_transport transports[] = {
    [OB_VHOST_LISTEN] = TRANSPORT("vhost-user"),
    [OB_VHOST_CONNECT] = TRANSPORT("vhost-user-client"),
};

int ob_vhost_blk_create(
    const struct ob_virtio_blk_conf *conf, enum ob_vhost_mode mode, struct ob_virtio_blk **out)
{
	struct ob_virtio_blk *blk;
	struct ob_vhost *vh;
	int rc = vhost_new(conf->path, conf->base, mode, &vh);

	if (rc != 0)
		return rc;
	rc = ob_virtio_blk_create_on(conf, &transports[mode], vh, &blk);
	if (rc != 0) {
		vhost_destroy(vh);
		return rc;
	}
	vh->n_rings = conf->n_queues;
	rc = vhost_listen(vh, ob_virtio_blk_virtio(blk),
	    VHOST_BIT(PROTOCOL_F_CONFIG) | VHOST_BIT(PROTOCOL_F_BACKEND_REQ));
	if (rc != 0) {
		ob_virtio_blk_destroy(blk);
		return rc;
	}
	*out = blk;
	return 0;
}
