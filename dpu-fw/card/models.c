/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_card.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_port.h"
#include "ob_vhost.h"

/* One of the two. */
struct ob_fn {
	struct ob_vnet *vnet;
	struct ob_port_guest *port;
	struct ob_vnet_conf conf; /* of a port: what its status repeats; its pointers are dead */
	bool link_up;
};

static int create_port(struct ob_fn *fn, const struct ob_vnet_conf *conf, char *err, size_t err_len)
{
	struct ob_port_guest_conf pc = {
	    .name = conf->name,
	    .devargs = conf->path,
	    .mtu = conf->mtu,
	    .n_pairs = conf->n_pairs,
	    .link_down = conf->link_down,
	};

	memcpy(pc.mac, conf->mac, sizeof(pc.mac));
	fn->conf = *conf;
	fn->link_up = !conf->link_down;
	return ob_port_guest_create(&pc, &fn->port, err, err_len);
}

static int create(const struct ob_vnet_conf *conf, uint8_t transport, struct ob_fn **out, char *err,
    size_t err_len)
{
	struct ob_fn *fn = calloc(1, sizeof(*fn));
	int rc = -EINVAL;

	err[0] = '\0';
	if (fn == NULL)
		return -ENOMEM;
	if (transport == OB_BUS_VFIO_USER)
		rc = ob_vnet_create(conf, &fn->vnet);
	else if (transport == OB_BUS_VHOST_USER)
		rc = ob_vhost_create(conf, OB_VHOST_LISTEN, &fn->vnet);
	else if (transport == OB_BUS_VHOST_USER_CLIENT)
		rc = ob_vhost_create(conf, OB_VHOST_CONNECT, &fn->vnet);
	else if (transport == OB_BUS_PORT)
		rc = create_port(fn, conf, err, err_len);
	if (rc < 0) {
		free(fn);
		return rc;
	}
	*out = fn;
	return 0;
}

static void destroy(struct ob_fn *fn)
{
	ob_vnet_destroy(fn->vnet);
	ob_port_guest_destroy(fn->port);
	free(fn);
}

static void set_link(struct ob_fn *fn, bool up)
{
	if (fn->vnet != NULL) {
		ob_vnet_set_link(fn->vnet, up);
		return;
	}
	fn->link_up = up;
	ob_vif_set_link(ob_port_guest_vif(fn->port), up);
}

/* A port is always there and ready, as far as the card can know. */
static void port_status(const struct ob_fn *fn, struct ob_vnet_status *out)
{
	const struct ob_port *p = ob_port_guest_port(fn->port);
	const struct ob_vif *vif = ob_port_guest_vif(fn->port);

	memset(out, 0, sizeof(*out));
	strcpy(out->name, ob_vif_name(vif));
	out->transport = "port";
	out->connected = true;
	out->vif_idx = ob_vif_idx(vif);
	memcpy(out->mac, fn->conf.mac, sizeof(out->mac));
	out->mtu = fn->conf.mtu;
	out->link_up = fn->link_up;
	out->driver_status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			     VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	out->n_pairs = fn->conf.n_pairs;
	out->pairs_in_use = p->n_rxq > p->n_txq ? p->n_rxq : p->n_txq;
	out->n_queues = (uint16_t)(2 * out->pairs_in_use);
	for (unsigned i = 0; i < out->n_queues; i++)
		out->queue[i] = (struct ob_vnet_queue_status){
		    .running = i / 2 < (i % 2 ? p->n_rxq : p->n_txq),
		    .vector = UINT16_MAX,
		    .worker = (int16_t)ob_worker_id(ob_vif_port_worker(vif, i / 2)),
		};
}

static void get_status(const struct ob_fn *fn, struct ob_vnet_status *out)
{
	if (fn->vnet != NULL)
		ob_vnet_get_status(fn->vnet, out);
	else
		port_status(fn, out);
}

const struct ob_card_models ob_card_models = {
    .create = create,
    .destroy = destroy,
    .set_link = set_link,
    .get_status = get_status,
    .queue_counters = ob_vif_queue_counters,
};
