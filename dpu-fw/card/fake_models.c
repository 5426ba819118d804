/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_block.h"
#include "ob_nvmeq.h"

#define FAKE_NS 256

struct fake_models fake_models;

struct ob_fn {
	struct ob_vnet_conf conf;
	uint16_t vif;
	bool disk;
	struct ob_blk *blk;
	struct ob_nvme_ns *ns[FAKE_NS + 1]; /* by nsid */
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
	if (vn->disk) {
		ob_blk_put(vn->blk);
		for (unsigned i = 0; i <= FAKE_NS; i++)
			ob_nvme_ns_put(vn->ns[i]);
	} else {
		taken[vn->vif] = false;
	}
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

static int create_disk(struct ob_fn **out)
{
	struct ob_fn *fn;

	if (fake_models.create_rc != 0)
		return fake_models.create_rc;
	fn = calloc(1, sizeof(*fn));
	if (fn == NULL)
		return -ENOMEM;
	fn->disk = true;
	fake_models.n_alive++;
	*out = fn;
	return 0;
}

static int create_blk(const struct ob_virtio_blk_conf *conf, uint8_t transport, struct ob_fn **out)
{
	int rc = create_disk(out);

	(void)transport;
	fake_models.last_blk = *conf;
	if (rc == 0)
		(*out)->blk = ob_blk_get(conf->blk);
	return rc;
}

static int create_nvme(const struct ob_nvme_conf *conf, struct ob_fn **out)
{
	fake_models.last_nvme = *conf;
	return create_disk(out);
}

static int add_ns(struct ob_fn *fn, uint32_t *nsid, struct ob_nvme_ns *ns)
{
	uint32_t free_id = 1;

	while (free_id <= FAKE_NS && fn->ns[free_id] != NULL)
		free_id++;
	if (*nsid == 0)
		*nsid = free_id;
	if (*nsid > FAKE_NS)
		return -ENOSPC;
	if (fn->ns[*nsid] != NULL)
		return -EEXIST;
	fn->ns[*nsid] = ob_nvme_ns_get(ns);
	fake_models.last_ns = ns;
	return 0;
}

static int del_ns(struct ob_fn *fn, uint32_t nsid)
{
	if (nsid > FAKE_NS || fn->ns[nsid] == NULL)
		return -ENOENT;
	ob_nvme_ns_put(fn->ns[nsid]);
	fn->ns[nsid] = NULL;
	return 0;
}

static void disk_status(const struct ob_fn *fn, struct ob_card_disk_status *out)
{
	(void)fn;
	*out = (struct ob_card_disk_status){
	    .state = OB_BUS_FN_RUNNING, .n_queues = 2, .reads = 7, .write_bytes = 4096};
}

static int disk_queue(const struct ob_fn *fn, unsigned i, struct ob_bus_io_queue *out)
{
	(void)fn;
	if (i >= 2)
		return -ENOENT;
	out->queue = (uint16_t)(i + 1);
	out->n_reads = 7;
	return 0;
}

const struct ob_card_models fake_card_models = {
    .create = create,
    .destroy = destroy,
    .set_link = set_link,
    .get_status = get_status,
    .queue_counters = queue_counters,
    .create_blk = create_blk,
    .create_nvme = create_nvme,
    .add_ns = add_ns,
    .del_ns = del_ns,
    .disk_status = disk_status,
    .disk_queue = disk_queue,
};
