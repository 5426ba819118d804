/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ob_port_guest {
	struct ob_vif *vif;
	struct ob_port port;
	char who[16 + OB_VIF_NAME_MAX];
};

static int open_port(
    struct ob_port_guest *g, const struct ob_port_guest_conf *conf, char *err, size_t err_len)
{
	struct ob_port_conf pc = {
	    .who = g->who,
	    .devargs = conf->devargs,
	    .first_worker = ob_worker_id(ob_vif_port_worker(g->vif, 0)),
	    .max_queues = conf->n_pairs,
	    .promiscuous = true,
	};

	snprintf(g->who, sizeof(g->who), "function %s", conf->name);
	return ob_port_open(&g->port, &pc, err, err_len);
}

static int attach(struct ob_port_guest *g)
{
	struct ob_vif_port_conf vc = {
	    .port_id = g->port.id,
	    .n_rxq = g->port.n_rxq,
	    .n_txq = g->port.n_txq,
	    .tx_offloads = g->port.tx_offloads,
	};

	return ob_vif_attach_port(g->vif, &vc);
}

int ob_port_guest_create(
    const struct ob_port_guest_conf *conf, struct ob_port_guest **out, char *err, size_t err_len)
{
	struct ob_vif_conf vc = {.n_pairs = conf->n_pairs, .mtu = conf->mtu};
	struct ob_port_guest *g;
	int rc;

	err[0] = '\0';
	if (ob_workers_count() == 0)
		return -EINVAL;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	snprintf(vc.name, sizeof(vc.name), "%s", conf->name);
	memcpy(vc.mac, conf->mac, sizeof(vc.mac));
	rc = ob_vif_create(&vc, &g->vif);
	if (rc < 0)
		goto err_free;
	ob_vif_set_link(g->vif, !conf->link_down);
	rc = open_port(g, conf, err, err_len);
	if (rc < 0)
		goto err_vif;
	rc = attach(g);
	if (rc < 0)
		goto err_port;
	*out = g;
	return 0;

err_port:
	ob_port_close(&g->port);
err_vif:
	ob_vif_destroy(g->vif);
err_free:
	free(g);
	return rc;
}

void ob_port_guest_destroy(struct ob_port_guest *g)
{
	if (g == NULL)
		return;
	ob_vif_detach_port(g->vif);
	ob_port_close(&g->port);
	ob_vif_destroy(g->vif);
	free(g);
}

struct ob_vif *ob_port_guest_vif(const struct ob_port_guest *g)
{
	return g->vif;
}

const struct ob_port *ob_port_guest_port(const struct ob_port_guest *g)
{
	return &g->port;
}
