/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_card.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_nvmeq.h"
#include "ob_port.h"
#include "ob_vhost.h"

/* One of the four. */
struct ob_fn {
	struct ob_vnet *vnet;
	struct ob_port_guest *port;
	struct ob_virtio_blk *blk;
	struct ob_nvme *nvme;
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
	ob_virtio_blk_destroy(fn->blk);
	ob_nvme_destroy(fn->nvme);
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

/* ---- disks ---- */

/* Broken queues are told on the main thread. There is something to watch from the first function on. */
static struct {
	struct event *blk, *nvme;
} watch;

static void on_blk(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_vblk_poll_events();
}

static void on_nvme(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_nvmeq_poll_events();
}

static int watch_fd(struct event_base *base, int fd, event_callback_fn fn, struct event **ev)
{
	if (*ev != NULL || fd < 0)
		return 0;
	*ev = event_new(base, fd, EV_READ | EV_PERSIST, fn, NULL);
	return *ev == NULL || event_add(*ev, NULL) < 0 ? -ENOMEM : 0;
}

static void fini(void)
{
	if (watch.blk != NULL)
		event_free(watch.blk);
	if (watch.nvme != NULL)
		event_free(watch.nvme);
	watch.blk = watch.nvme = NULL;
}

static int create_blk(const struct ob_virtio_blk_conf *conf, uint8_t transport, struct ob_fn **out)
{
	struct ob_fn *fn = calloc(1, sizeof(*fn));
	int rc = -EINVAL;

	if (fn == NULL)
		return -ENOMEM;
	if (transport == OB_BUS_VFIO_USER)
		rc = ob_virtio_blk_create(conf, &fn->blk);
	else if (transport == OB_BUS_VHOST_USER)
		rc = ob_vhost_blk_create(conf, OB_VHOST_LISTEN, &fn->blk);
	else if (transport == OB_BUS_VHOST_USER_CLIENT)
		rc = ob_vhost_blk_create(conf, OB_VHOST_CONNECT, &fn->blk);
	if (rc == 0)
		rc = watch_fd(conf->base, ob_vblk_event_fd(), on_blk, &watch.blk);
	if (rc < 0) {
		destroy(fn);
		return rc;
	}
	*out = fn;
	return 0;
}

static int create_nvme(const struct ob_nvme_conf *conf, struct ob_fn **out)
{
	struct ob_fn *fn = calloc(1, sizeof(*fn));
	int rc;

	if (fn == NULL)
		return -ENOMEM;
	rc = ob_nvme_create(conf, &fn->nvme);
	if (rc == 0)
		rc = watch_fd(conf->base, ob_nvmeq_event_fd(), on_nvme, &watch.nvme);
	if (rc < 0) {
		destroy(fn);
		return rc;
	}
	*out = fn;
	return 0;
}

static int add_ns(struct ob_fn *fn, uint32_t *nsid, struct ob_nvme_ns *ns)
{
	return ob_nvme_add_ns(fn->nvme, nsid, ns);
}

static int del_ns(struct ob_fn *fn, uint32_t nsid)
{
	return ob_nvme_del_ns(fn->nvme, nsid);
}

static void blk_status(struct ob_virtio_blk *b, struct ob_card_disk_status *out)
{
	struct ob_vblk_queue_counters q;
	struct ob_virtio_blk_status st;

	ob_virtio_blk_get_status(b, &st);
	out->state = st.driver_status & VIRTIO_CONFIG_S_NEEDS_RESET ? OB_BUS_FN_BROKEN
		     : st.driver_status & VIRTIO_CONFIG_S_DRIVER_OK ? OB_BUS_FN_RUNNING
		     : st.connected				    ? OB_BUS_FN_CONNECTED
								    : OB_BUS_FN_WAITING;
	out->driver_status = st.driver_status;
	out->peer_pid = (uint32_t)st.peer_pid;
	out->features = st.negotiated;
	out->mapped_bytes = st.n_bytes;
	out->faults = st.n_faults + st.n_violations + st.n_needs_reset;
	for (unsigned i = 0; i < st.n_queues; i++) {
		out->n_queues = (uint16_t)(out->n_queues + st.queue[i].running);
		if (ob_vblk_queue_counters(ob_virtio_blk_vblk(b), i, &q) < 0)
			continue;
		out->reads += q.n_reads;
		out->read_bytes += q.read_bytes;
		out->writes += q.n_writes;
		out->write_bytes += q.write_bytes;
		out->io_errors += q.n_ioerr;
	}
}

static void nvme_status(const struct ob_nvme *n, struct ob_card_disk_status *out)
{
	static const uint8_t states[] = {
	    [OB_NVME_WAITING] = OB_BUS_FN_WAITING,
	    [OB_NVME_DISABLED] = OB_BUS_FN_CONNECTED,
	    [OB_NVME_READY] = OB_BUS_FN_RUNNING,
	    [OB_NVME_SHUT_DOWN] = OB_BUS_FN_CONNECTED,
	    [OB_NVME_FATAL] = OB_BUS_FN_BROKEN,
	};
	struct ob_nvmeq_counters q;
	struct ob_nvme_status st;

	ob_nvme_get_status(n, &st);
	out->state = states[st.state];
	out->peer_pid = (uint32_t)st.peer_pid;
	out->n_queues = st.n_sqs;
	out->mapped_bytes = st.n_bytes;
	out->faults = st.n_faults + st.n_violations + st.n_fatal;
	if (ob_nvme_get_counters(n, 0, &q) < 0)
		return;
	out->reads = q.n_reads;
	out->read_bytes = q.n_read_bytes;
	out->writes = q.n_writes;
	out->write_bytes = q.n_write_bytes;
	out->io_errors = q.n_errors;
}

static void disk_status(const struct ob_fn *fn, struct ob_card_disk_status *out)
{
	memset(out, 0, sizeof(*out));
	if (fn->blk != NULL)
		blk_status(fn->blk, out);
	else
		nvme_status(fn->nvme, out);
}

static int blk_queue(const struct ob_virtio_blk *b, unsigned i, struct ob_bus_io_queue *out)
{
	struct ob_vblk_queue_counters q = {0};
	struct ob_virtio_blk_status st;

	ob_virtio_blk_get_status(b, &st);
	if (i >= st.n_queues)
		return -ENOENT;
	(void)ob_vblk_queue_counters(ob_virtio_blk_vblk(b), i, &q);
	out->queue = (uint16_t)i;
	out->size = st.queue[i].size;
	out->worker = st.queue[i].running ? st.queue[i].worker : (int16_t)-1;
	out->flags = (uint16_t)((st.queue[i].running ? 1 : 0) |
				(st.negotiated >> VIRTIO_F_RING_PACKED & 1 ? 2 : 0) |
				(st.queue[i].broken ? 4 : 0));
	out->n_reads = q.n_reads;
	out->n_writes = q.n_writes;
	out->n_others = q.n_flushes + q.n_discards + q.n_write_zeroes + q.n_get_ids;
	out->n_bytes = q.read_bytes + q.write_bytes;
	out->n_errors = q.n_ioerr + q.n_unsupp + q.n_broken;
	out->n_bursts = q.n_bursts;
	out->n_irqs = q.n_irqs;
	out->n_doorbells = q.n_kicks;
	return 0;
}

static int nvme_queue(const struct ob_nvme *n, unsigned i, struct ob_bus_io_queue *out)
{
	struct ob_nvmeq_counters q = {0};
	struct ob_nvme_queue_status st;
	uint64_t told;

	if (ob_nvme_get_queue(n, true, i, &st) < 0)
		return -ENOENT;
	(void)ob_nvme_get_counters(n, st.qid, &q);
	out->queue = st.qid;
	out->size = st.size;
	out->worker = st.worker;
	out->flags = st.worker >= 0;
	out->n_reads = q.n_reads;
	out->n_writes = q.n_writes;
	/* They are read one after the other, while a worker counts. */
	told = q.n_reads + q.n_writes + q.n_errors + q.n_inflight;
	out->n_others = q.n_cmds > told ? q.n_cmds - told : 0;
	out->n_bytes = q.n_read_bytes + q.n_write_bytes;
	out->n_errors = q.n_errors;
	out->n_bursts = q.n_bursts;
	out->n_irqs = q.n_irqs;
	out->n_doorbells = q.n_kicks;
	out->n_pending = q.n_inflight;
	return 0;
}

static int disk_queue(const struct ob_fn *fn, unsigned i, struct ob_bus_io_queue *out)
{
	return fn->blk != NULL ? blk_queue(fn->blk, i, out) : nvme_queue(fn->nvme, i, out);
}

const struct ob_card_models ob_card_models = {
    .create = create,
    .destroy = destroy,
    .set_link = set_link,
    .get_status = get_status,
    .queue_counters = ob_vif_queue_counters,
    .fini = fini,
    .create_blk = create_blk,
    .create_nvme = create_nvme,
    .add_ns = add_ns,
    .del_ns = del_ns,
    .disk_status = disk_status,
    .disk_queue = disk_queue,
};
