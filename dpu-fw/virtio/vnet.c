/* SPDX-License-Identifier: BSD-3-Clause */
/* The function itself, whatever its transport: what it owns, its status, and which queues run. */
#include "vnet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>
#include <rte_ether.h>

RTE_LOG_REGISTER(vnet_logtype, ob.virtio, INFO);

#define LOG_BURST 10
#define MTU_MIN	  68
#define MTU_MAX	  9216

bool vnet_may_log(struct ob_vnet *vn)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec - vn->log_s >= LOG_BURST)
		vn->log_s = ts.tv_sec - LOG_BURST;
	if (vn->log_s >= ts.tv_sec)
		return false;
	vn->log_s++;
	return true;
}

/* ---- queues ---- */

/* Before FEATURES_OK the driver's own word counts, so that queue_size reads right while it looks around. */
enum vnet_role vnet_queue_role(const struct ob_vnet *vn, unsigned q)
{
	const struct vnet_state *st = vn->st;
	uint64_t f = st->features_ok ? st->negotiated : st->driver_features & vn->offered;
	uint64_t multi = VNET_BIT(VIRTIO_NET_F_MQ) | VNET_BIT(VIRTIO_NET_F_RSS);
	unsigned n_data = (f & multi) ? 2u * vn->conf.n_pairs : 2; /* 5.1.2 */

	if (q < n_data)
		return VNET_Q_DATA;
	return q == n_data && (f & VNET_BIT(VIRTIO_NET_F_CTRL_VQ)) ? VNET_Q_CTRL : VNET_Q_NONE;
}

uint16_t vnet_queue_max(const struct ob_vnet *vn, unsigned q)
{
	switch (vnet_queue_role(vn, q)) {
	case VNET_Q_DATA:
		return vn->conf.queue_size;
	case VNET_Q_CTRL:
		return VNET_CTRL_SIZE;
	default:
		return 0;
	}
}

void vnet_queue_defaults(struct ob_vnet *vn, unsigned q)
{
	vn->st->queue[q] = (struct ob_vnet_queue){
	    .vector = VNET_NO_VECTOR,
	    .start_idx = -1,
	};
	vn->broken[q] = false;
}

static bool queue_wanted(const struct ob_vnet *vn, unsigned q)
{
	const struct vnet_state *st = vn->st;

	return st->features_ok && (st->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(st->status & VIRTIO_CONFIG_S_NEEDS_RESET) && st->dma && st->queue[q].enabled &&
	       vnet_queue_role(vn, q) != VNET_Q_NONE;
}

static int queue_start(struct ob_vnet *vn, unsigned q)
{
	struct ob_vnet_queue *qs = &vn->st->queue[q];
	struct ob_virtq_conf conf = {
	    .desc = {qs->desc},
	    .driver = {qs->driver},
	    .device = {qs->device},
	    .size = qs->size ? qs->size : vnet_queue_max(vn, q),
	    .packed = vnet_has(vn, VIRTIO_F_RING_PACKED),
	    .event_idx = vnet_has(vn, VIRTIO_RING_F_EVENT_IDX),
	    .in_order = vnet_has(vn, VIRTIO_F_IN_ORDER),
	    .indirect = vnet_has(vn, VIRTIO_RING_F_INDIRECT_DESC),
	};
	enum vnet_role role = vnet_queue_role(vn, q);
	int rc;

	if (role == VNET_Q_CTRL) {
		vn->ctrl_idx = (uint16_t)q;
		rc = vnet_ctrl_start(vn, &conf, qs->started);
	} else
		rc = ob_vif_start_queue(vn->vif, q, &conf, vn->tr->queue_irq_fd(vn->tr_ctx, q),
		    qs->started, qs->started ? -1 : qs->start_idx);
	if (rc != 0)
		return rc;
	qs->started = 1;
	vn->running[q] = (uint8_t)role;
	return 0;
}

static int32_t queue_stop(struct ob_vnet *vn, unsigned q)
{
	uint8_t role = vn->running[q];

	vn->running[q] = VNET_Q_NONE;
	switch (role) {
	case VNET_Q_DATA:
		return ob_vif_stop_queue(vn->vif, q);
	case VNET_Q_CTRL:
		vnet_ctrl_stop(vn);
		return 0;
	default:
		return -ENOENT;
	}
}

void ob_vnet_update(struct ob_vnet *vn)
{
	int rc = 0;
	unsigned q;

	for (q = 0; q < vn->n_queues; q++)
		if (vn->running[q] && !queue_wanted(vn, q))
			queue_stop(vn, q);
	/* -EAGAIN: its rings are not mapped at the moment; ob_vnet_dma_changed tries again. */
	for (q = 0; q < vn->n_queues && (rc == 0 || rc == -EAGAIN); q++)
		if (!vn->running[q] && queue_wanted(vn, q))
			rc = queue_start(vn, q);
	if (rc != 0 && rc != -EAGAIN) {
		if (vnet_may_log(vn))
			vnet_log(WARNING, vn, "queue %u does not start: %s", q - 1, strerror(-rc));
		vnet_needs_reset(vn, "a queue did not start");
	}
}

int32_t ob_vnet_stop_queue(struct ob_vnet *vn, unsigned q)
{
	int32_t pos;

	if (q >= vn->n_queues)
		return -ENOENT;
	pos = queue_stop(vn, q);
	vn->st->queue[q].enabled = 0;
	vn->st->queue[q].started = 0;
	return pos;
}

bool ob_vnet_queue_running(const struct ob_vnet *vn, unsigned q)
{
	return q < vn->n_queues && vn->running[q] != VNET_Q_NONE;
}

void ob_vnet_irq_changed(struct ob_vnet *vn, unsigned q)
{
	if (q < vn->n_queues && vn->running[q] == VNET_Q_DATA)
		ob_vif_set_irq_fd(vn->vif, q, vn->tr->queue_irq_fd(vn->tr_ctx, q));
}

void ob_vnet_kick(struct ob_vnet *vn, uint32_t q)
{
	vn->n_kicks++;
	if (q >= vn->n_queues) {
		vn->n_bad_kicks++;
		return;
	}
	/* Too early is harmless: a queue that starts looks at its ring. */
	if (vn->running[q] == VNET_Q_CTRL)
		vnet_ctrl_run(vn);
	else if (vn->running[q] == VNET_Q_DATA)
		ob_vif_kick(vn->vif, q);
}

void ob_vnet_dma_changed(struct ob_vnet *vn)
{
	ob_vnet_update(vn);
	/* Transmit queues only: a receive queue looks at its ring whenever a packet comes. */
	for (unsigned q = 1; q < vn->n_queues; q += 2)
		if (vn->running[q] == VNET_Q_DATA)
			ob_vif_kick(vn->vif, q);
	vnet_ctrl_run(vn);
}

/* ---- status ---- */

void vnet_config_changed(struct ob_vnet *vn)
{
	vn->st->generation++;
	if (vn->st->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vn->tr->config_changed(vn->tr_ctx);
}

/* 2.1.2: the driver hears of it by a configuration interrupt; queues stop, so that nothing more of its memory is touched. */
void vnet_needs_reset(struct ob_vnet *vn, const char *why)
{
	if (vn->st->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	vn->n_needs_reset++;
	vn->st->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (vnet_may_log(vn))
		vnet_log(WARNING, vn, "stopped until the driver resets it: %s", why);
	for (unsigned q = 0; q < vn->n_queues; q++)
		queue_stop(vn, q);
	vnet_config_changed(vn);
}

static void on_broken(void *ctx, unsigned q)
{
	struct ob_vnet *vn = ctx;

	if (q < vn->n_queues)
		vn->broken[q] = true;
	vnet_needs_reset(vn, ob_vif_broken_why(vn->vif, q));
}

static void reset(struct ob_vnet *vn)
{
	struct vnet_state *st = vn->st;
	unsigned q;

	for (q = 0; q < vn->n_queues; q++)
		queue_stop(vn, q);
	st->driver_features = st->negotiated = 0;
	st->features_ok = 0;
	st->device_feature_select = st->driver_feature_select = 0;
	st->queue_select = 0;
	st->config_vector = VNET_NO_VECTOR;
	st->status = st->isr = 0;
	st->net_status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
	memcpy(st->mac, vn->conf.mac, sizeof(st->mac));
	for (q = 0; q < vn->n_queues; q++)
		vnet_queue_defaults(vn, q);
	ob_gmem_heal(vn->gm);
	vnet_ctrl_defaults(vn);
	/* A driver that resets in a loop must not pile up what waits to be freed. */
	ob_rcu_reclaim();
	vn->n_resets++;
}

int ob_vnet_set_features(struct ob_vnet *vn, uint64_t features)
{
	if (!vnet_features_valid(vn, features))
		return -EINVAL;
	vn->st->driver_features = vn->st->negotiated = features;
	vn->st->features_ok = 1;
	ob_vif_set_features(vn->vif, features);
	vnet_ctrl_defaults(vn);
	return 0;
}

void ob_vnet_set_status(struct ob_vnet *vn, uint8_t status)
{
	const uint8_t drivers = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
				VIRTIO_CONFIG_S_FAILED;
	struct vnet_state *st = vn->st;
	uint8_t was = st->status;

	if (status == 0) {
		reset(vn);
		return;
	}
	/* 2.1.1: the driver must not clear bits; only a reset does. */
	status = (uint8_t)(was | (status & drivers));
	if (!st->features_ok && (status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ob_vnet_set_features(vn, st->driver_features) != 0) {
		if (vnet_may_log(vn))
			vnet_log(INFO, vn, "refused features %#jx", (uintmax_t)st->driver_features);
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (!st->features_ok)
		status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	st->status = status;
	if (((status & ~was) & VIRTIO_CONFIG_S_DRIVER_OK) && vnet_may_log(vn))
		vnet_log(INFO, vn, "driver is up, features %#jx", (uintmax_t)st->negotiated);
	ob_vnet_update(vn);
}

void ob_vnet_set_dma(struct ob_vnet *vn, bool on)
{
	if (vn->st->dma == (on ? 1 : 0))
		return;
	vn->st->dma = on ? 1 : 0;
	ob_vnet_update(vn);
}

void ob_vnet_set_link(struct ob_vnet *vn, bool up)
{
	uint16_t was = vn->st->net_status;

	ob_vif_set_link(vn->vif, up);
	vn->st->net_status =
	    up ? was | VIRTIO_NET_S_LINK_UP : was & (uint16_t)~VIRTIO_NET_S_LINK_UP;
	if (vn->st->net_status != was)
		vnet_config_changed(vn);
}

int ob_vnet_announce(struct ob_vnet *vn)
{
	if (!(vn->st->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return -EAGAIN;
	if (!vnet_has(vn, VIRTIO_NET_F_GUEST_ANNOUNCE) || !vnet_has(vn, VIRTIO_NET_F_STATUS))
		return -ENOTSUP;
	vn->st->net_status |= VIRTIO_NET_S_ANNOUNCE;
	vnet_config_changed(vn);
	return 0;
}

void ob_vnet_set_pairs(struct ob_vnet *vn, uint16_t n)
{
	struct ob_vif_steering *s = &vn->st->steering;

	if (n < 1 || n > vn->conf.n_pairs || (s->n_pairs == n && !s->rss))
		return;
	*s = (struct ob_vif_steering){.n_pairs = n};
	ob_vif_set_steering(vn->vif, s);
}

/* ---- views ---- */

const char *ob_vnet_name(const struct ob_vnet *vn)
{
	return vn->name;
}

struct ob_vif *ob_vnet_vif(const struct ob_vnet *vn)
{
	return vn->vif;
}

struct ob_gmem *ob_vnet_gmem(struct ob_vnet *vn)
{
	return vn->gm;
}

uint64_t ob_vnet_offered(const struct ob_vnet *vn)
{
	return vn->offered;
}

unsigned ob_vnet_n_queues(const struct ob_vnet *vn)
{
	return vn->n_queues;
}

struct ob_vnet_queue *ob_vnet_queue(struct ob_vnet *vn, unsigned q)
{
	return q < vn->n_queues ? &vn->st->queue[q] : NULL;
}

void ob_vnet_get_status(const struct ob_vnet *vn, struct ob_vnet_status *out)
{
	const struct vnet_state *st = vn->st;

	*out = (struct ob_vnet_status){
	    .transport = vn->tr->name,
	    .vif_idx = ob_vif_idx(vn->vif),
	    .mtu = vn->conf.mtu,
	    .link_up = st->net_status & VIRTIO_NET_S_LINK_UP,
	    .announce_pending = (st->net_status & VIRTIO_NET_S_ANNOUNCE) != 0,
	    .driver_status = st->status,
	    .offered = vn->offered,
	    .negotiated = st->negotiated,
	    .n_pairs = vn->conf.n_pairs,
	    .pairs_in_use = ob_vif_pairs(vn->vif),
	    .n_resets = vn->n_resets,
	    .n_needs_reset = vn->n_needs_reset,
	    .n_kicks = vn->n_kicks,
	    .n_bad_kicks = vn->n_bad_kicks,
	    .n_ctrl = vn->n_ctrl,
	    .n_ctrl_err = vn->n_ctrl_err,
	    .n_queues = vn->n_queues,
	};
	memcpy(out->name, vn->name, sizeof(out->name));
	memcpy(out->path, vn->path, sizeof(out->path));
	memcpy(out->mac, st->mac, sizeof(out->mac));
	ob_gmem_usage(vn->gm, &out->n_ranges, &out->n_bytes);
	ob_gmem_poisoned(vn->gm, &out->n_faults);
	out->n_violations = ob_gmem_violations(vn->gm);
	for (unsigned q = 0; q < vn->n_queues; q++) {
		bool data = vn->running[q] == VNET_Q_DATA;

		out->queue[q] = (struct ob_vnet_queue_status){
		    .enabled = st->queue[q].enabled,
		    .running = vn->running[q] != VNET_Q_NONE,
		    .broken = vn->broken[q],
		    .size = st->queue[q].size ? st->queue[q].size : vnet_queue_max(vn, q),
		    .vector = st->queue[q].vector,
		    .worker = data ? (int16_t)ob_vif_queue_worker(vn->vif, q) : -1,
		};
	}
	vn->tr->get_status(vn->tr_ctx, out);
}

/* ---- life ---- */

static bool name_valid(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 && len < OB_VIF_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		   len;
}

static bool conf_valid(const struct ob_vnet_conf *c)
{
	struct rte_ether_addr mac;

	memcpy(mac.addr_bytes, c->mac, sizeof(mac.addr_bytes));
	return name_valid(c->name) && c->path != NULL && c->path[0] != '\0' &&
	       strlen(c->path) < OB_VNET_PATH_MAX && c->base != NULL && c->arena != NULL &&
	       rte_is_valid_assigned_ether_addr(&mac) && c->mtu >= MTU_MIN && c->mtu <= MTU_MAX &&
	       c->n_pairs >= 1 && c->n_pairs <= OB_VIF_MAX_PAIRS &&
	       (c->queue_size == 0 || (c->queue_size >= 64 && c->queue_size <= OB_VIRTQ_MAX_SIZE &&
					  (c->queue_size & (c->queue_size - 1)) == 0));
}

static void ctrl_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	vnet_ctrl_run(arg);
}

/* The state is made afresh: going on where a predecessor stopped is not done yet, only kept possible. */
static int state_create(struct ob_vnet *vn)
{
	void *mem;
	bool fresh;
	int rc;

	snprintf(vn->region, sizeof(vn->region), "vnet.%s", vn->name);
	rc = ob_arena_region(
	    vn->conf.arena, vn->region, VNET_STATE_LAYOUT, sizeof(struct vnet_state), &mem, &fresh);
	if (rc != 0)
		return rc;
	vn->st = mem;
	memset(vn->st, 0, sizeof(*vn->st));
	vn->st->net_status = vn->conf.link_down ? 0 : VIRTIO_NET_S_LINK_UP;
	return 0;
}

static int vif_create(struct ob_vnet *vn)
{
	struct ob_vif_conf vc = {
	    .gm = vn->gm,
	    .n_pairs = vn->conf.n_pairs,
	    .mtu = vn->conf.mtu,
	};
	int rc;

	memcpy(vc.name, vn->name, sizeof(vc.name));
	memcpy(vc.mac, vn->conf.mac, sizeof(vc.mac));
	rc = ob_vif_create(&vc, &vn->vif);
	if (rc != 0)
		return rc;
	ob_vif_set_on_broken(vn->vif, on_broken, vn);
	ob_vif_set_link(vn->vif, !vn->conf.link_down);
	return 0;
}

int ob_vnet_create_on(const struct ob_vnet_conf *conf, const struct ob_vnet_transport *tr,
    void *ctx, struct ob_vnet **out)
{
	struct ob_gmem_conf gc = {.name = conf->name, .sync = ob_rcu_sync};
	struct ob_vnet *vn;
	int rc;

	if (!conf_valid(conf))
		return -EINVAL;
	vn = calloc(1, sizeof(*vn));
	if (vn == NULL)
		return -ENOMEM;
	vn->conf = *conf;
	snprintf(vn->name, sizeof(vn->name), "%s", conf->name);
	snprintf(vn->path, sizeof(vn->path), "%s", conf->path);
	vn->conf.name = vn->name;
	vn->conf.path = vn->path;
	vn->conf.serial = NULL;
	if (vn->conf.queue_size == 0)
		vn->conf.queue_size = VNET_QUEUE_DEFAULT;
	vn->tr = tr;
	vn->tr_ctx = ctx;
	vn->n_queues = (uint16_t)(2 * conf->n_pairs + 1);
	vn->offered = vnet_features_offer(conf, tr);
	vn->ctrl_again = event_new(conf->base, -1, 0, ctrl_again, vn);
	rc = vn->ctrl_again != NULL ? 0 : -ENOMEM;
	if (rc != 0)
		goto err_free;
	rc = ob_gmem_create(&gc, &vn->gm);
	if (rc != 0)
		goto err_event;
	rc = vif_create(vn);
	if (rc != 0)
		goto err_gmem;
	rc = state_create(vn);
	if (rc != 0)
		goto err_vif;
	reset(vn);
	vn->n_resets = 0;
	*out = vn;
	return 0;

err_vif:
	ob_vif_destroy(vn->vif);
err_gmem:
	ob_gmem_destroy(vn->gm);
err_event:
	event_free(vn->ctrl_again);
err_free:
	free(vn);
	return rc;
}

void ob_vnet_destroy(struct ob_vnet *vn)
{
	if (vn == NULL)
		return;
	for (unsigned q = 0; q < vn->n_queues; q++)
		queue_stop(vn, q);
	vn->tr->destroy(vn->tr_ctx);
	for (unsigned q = 0; q < vn->n_queues; q++)
		queue_stop(vn, q);
	ob_vif_destroy(vn->vif);
	ob_gmem_destroy(vn->gm);
	event_free(vn->ctrl_again);
	ob_arena_del_region(vn->conf.arena, vn->region);
	free(vn);
}
