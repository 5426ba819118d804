/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions that show volumes. */
#include "volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ob_block.h"

#define DEFAULT_BLK_QUEUE  256
#define DEFAULT_NVME_QUEUE 1024
#define DEFAULT_NVME_PAIRS 16

static int check_options(const struct ob_bus_function *r, struct text *t)
{
	const char *type = r->type == OB_BUS_BLK ? "blk" : "nvme";
	unsigned most = r->type == OB_BUS_BLK ? OB_VBLK_MAX_QUEUES : OB_NVME_MAX_QPAIRS;

	if (r->transport == OB_BUS_PORT || r->port[0] != '\0' || !mac_is_zero(r->mac) ||
	    r->mtu != 0 || r->link != 0 || r->speed_mbps != 0)
		return fail(t, -EINVAL,
		    "port, mac, mtu, link and speed are for net functions, not %s", type);
	if (r->type == OB_BUS_NVME && r->transport != OB_BUS_VFIO_USER)
		return fail(t, -EINVAL, "an nvme function has transport vfio-user (1) only");
	if (r->type == OB_BUS_NVME && r->packed != 0)
		return fail(t, -EINVAL, "packed is for virtio functions, not nvme");
	if (r->n_pairs > most)
		return fail(
		    t, -EINVAL, "%u queues; a %s function has at most %u", r->n_pairs, type, most);
	return 0;
}

int disk_check(struct ob_card *c, const struct ob_bus_function *r, struct text *t)
{
	unsigned least = r->type == OB_BUS_BLK ? 64 : 2,
		 most = r->type == OB_BUS_BLK ? 4096 : 32768;
	uint32_t volume;
	int rc = check_options(r, t);

	if (rc < 0)
		return rc;
	if (r->queue_size != 0 && (r->queue_size < least || r->queue_size > most ||
				      (r->queue_size & (r->queue_size - 1)) != 0))
		return fail(t, -EINVAL, "queue size %u is not a power of two in %u..%u",
		    r->queue_size, least, most);
	if (r->packed > 2)
		return fail(
		    t, -EINVAL, "packed %u is none of 0 (default), 1 (on), 2 (off)", r->packed);
	if (r->volume[0] == '\0' && r->type == OB_BUS_BLK)
		return fail(t, -EINVAL,
		    "volume is missing: which one is the disk? see 'obctl volume list'");
	return r->volume[0] == '\0'
		   ? 0
		   : lookup(t, &c->volumes, "volume", "volume", r->volume, &volume);
}

int disk_claim(struct ob_card *c, const struct ob_bus_function *r, struct text *t)
{
	uint32_t volume = r->volume[0] ? names_find(&c->volumes, r->volume) : NAMES_NONE;

	return volume == NAMES_NONE ? 0 : volume_claim(c, volume, ROLE_FUNCTION, t);
}

void disk_complete(const struct ob_bus_function *r, struct ob_bus_function *out)
{
	unsigned n_workers = ob_workers_count();

	memset(out->mac, 0, sizeof(out->mac));
	out->mtu = 0;
	out->link = 0;
	strcpy(out->volume, r->volume);
	if (r->type == OB_BUS_NVME) {
		out->packed = 0;
		out->n_pairs = r->n_pairs ? r->n_pairs : DEFAULT_NVME_PAIRS;
		out->queue_size = r->queue_size ? r->queue_size : DEFAULT_NVME_QUEUE;
		return;
	}
	out->n_pairs = r->n_pairs;
	if (r->n_pairs == 0)
		out->n_pairs = (uint16_t)(n_workers == 0		   ? 1
					  : n_workers > OB_VBLK_MAX_QUEUES ? OB_VBLK_MAX_QUEUES
									   : n_workers);
	out->queue_size = r->queue_size ? r->queue_size : DEFAULT_BLK_QUEUE;
}

static int start_blk(struct ob_card *c, uint32_t fn, uint32_t volume, struct text *t)
{
	const struct ob_bus_function *r = &c->fn_conf[fn];
	struct ob_virtio_blk_conf conf = {
	    .name = r->name,
	    .path = r->socket,
	    .base = c->conf.base,
	    .arena = c->conf.arena,
	    .n_queues = r->n_pairs,
	    .queue_size = r->queue_size,
	    .packed = r->packed == 1,
	    .id = r->volume,
	    .serial = c->serial,
	};
	struct ob_blk_info info;
	int rc = volume_top(c, volume, &conf.blk, t);

	if (rc < 0)
		return rc;
	ob_blk_info(conf.blk, &info);
	conf.read_only = info.read_only;
	return c->conf.models->create_blk(&conf, r->transport, &c->fn[fn]);
}

static int start_nvme(struct ob_card *c, uint32_t fn, uint32_t volume, struct text *t)
{
	const struct ob_bus_function *r = &c->fn_conf[fn];
	const struct ob_nvme_conf conf = {
	    .name = r->name,
	    .path = r->socket,
	    .base = c->conf.base,
	    .arena = c->conf.arena,
	    .serial = c->nvme_serial,
	    .cntlid = OB_NVME_CNTLID_AUTO,
	    .n_qpairs = r->n_pairs,
	    .queue_entries = r->queue_size,
	    .hooks = &card_nvme_hooks,
	    .hooks_ctx = c,
	};
	uint32_t nsid = 1;
	int rc = c->conf.models->create_nvme(&conf, &c->fn[fn]);

	if (rc < 0 || volume == NAMES_NONE)
		return rc;
	rc = namespace_add(c, fn, volume, &nsid, t);
	if (rc < 0) {
		c->conf.models->destroy(c->fn[fn]);
		c->fn[fn] = NULL;
	}
	return rc;
}

int disk_start(struct ob_card *c, uint32_t fn, struct text *t)
{
	const struct ob_bus_function *r = &c->fn_conf[fn];
	uint32_t volume = r->volume[0] ? names_find(&c->volumes, r->volume) : NAMES_NONE;

	c->fn_vif[fn] = OB_VIF_NONE;
	return r->type == OB_BUS_BLK ? start_blk(c, fn, volume, t) : start_nvme(c, fn, volume, t);
}

void disk_fill(const struct ob_card *c, uint32_t fn, struct ob_bus_function *r)
{
	struct ob_card_disk_status st = {0};

	if (c->fn[fn] != NULL)
		c->conf.models->disk_status(c->fn[fn], &st);
	r->vif = OB_VIF_NONE;
	r->state = st.state;
	r->device_status = st.driver_status;
	r->active_pairs = st.n_queues;
	r->features = st.features;
	r->mapped_bytes = st.mapped_bytes;
	r->faults = st.faults;
	r->peer_pid = st.peer_pid;
	r->reads = st.reads;
	r->read_bytes = st.read_bytes;
	r->writes = st.writes;
	r->write_bytes = st.write_bytes;
	r->io_errors = st.io_errors;
	for (uint32_t i = 0; (i = namespace_next(c, i, fn)) != NAMES_NONE; i++)
		r->n_namespaces++;
}
