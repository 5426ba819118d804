/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_models fake_models;

struct ob_fn {
	struct ob_vnet_conf conf;
	uint16_t vif;
};

static bool taken[OB_MAX_VIFS];

static int create(const struct ob_vnet_conf *conf, uint8_t transport, struct ob_fn **out, char *err,
    size_t err_len)
{
	struct ob_fn *vn;

	(void)transport;
	snprintf(err, err_len, "%s", fake_models.err ? fake_models.err : "");
	if (fake_models.create_rc != 0)
		return fake_models.create_rc;
	vn = calloc(1, sizeof(*vn));
	if (vn == NULL)
		return -ENOMEM;
	while (taken[vn->vif])
		vn->vif++;
	taken[vn->vif] = true;
	vn->conf = *conf;
	fake_models.last = *conf;
	fake_models.n_alive++;
	*out = vn;
	return 0;
}

static void destroy(struct ob_fn *vn)
{
	taken[vn->vif] = false;
	fake_models.n_alive--;
	free(vn);
}

static void set_link(struct ob_fn *vn, bool up)
{
	(void)vn;
	fake_models.link_down = !up;
}

static void get_status(const struct ob_fn *vn, struct ob_vnet_status *out)
{
	memset(out, 0, sizeof(*out));
	out->vif_idx = vn->vif;
	out->connected = fake_models.connected;
	out->driver_status = fake_models.driver_status;
	out->n_queues = (uint16_t)(vn->conf.n_pairs * 2);
	for (unsigned i = 0; i < out->n_queues; i++)
		out->queue[i] = (struct ob_vnet_queue_status){.size = 256, .worker = -1};
}

static int queue_counters(uint16_t vif_idx, unsigned q, struct ob_vif_queue_counters *out)
{
	(void)vif_idx;
	memset(out, 0, sizeof(*out));
	out->n_pkts = q & 1 ? 3 : 5;
	out->n_bytes = q & 1 ? 300 : 500;
	return 0;
}

const struct ob_card_models fake_card_models = {
    create, destroy, set_link, get_status, queue_counters};
