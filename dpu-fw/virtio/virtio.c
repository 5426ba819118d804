/* SPDX-License-Identifier: BSD-3-Clause */
/* A function of any type, whatever its transport: what it owns, its status, and which queues run. */
#include "virtio.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

RTE_LOG_REGISTER(virtio_logtype, ob.virtio, INFO);

#define LOG_BURST 10

bool virtio_may_log(struct ob_virtio *v)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec - v->log_s >= LOG_BURST)
		v->log_s = ts.tv_sec - LOG_BURST;
	if (v->log_s >= ts.tv_sec)
		return false;
	v->log_s++;
	return true;
}

/* ---- queues ---- */

void virtio_queue_defaults(struct ob_virtio *v, unsigned q)
{
	v->st->queue[q] = (struct ob_virtio_queue){
	    .vector = VIRTIO_NO_VECTOR,
	    .start_idx = -1,
	};
	v->broken[q] = false;
}

static bool queue_wanted(const struct ob_virtio *v, unsigned q)
{
	const struct virtio_state *st = v->st;

	return st->features_ok && (st->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(st->status & VIRTIO_CONFIG_S_NEEDS_RESET) && st->dma && st->queue[q].enabled &&
	       virtio_queue_max(v, q) != 0;
}

static int queue_start(struct ob_virtio *v, unsigned q)
{
	struct ob_virtio_queue *qs = &v->st->queue[q];
	struct ob_virtq_conf conf = {
	    .desc = {qs->desc},
	    .driver = {qs->driver},
	    .device = {qs->device},
	    .size = qs->size ? qs->size : virtio_queue_max(v, q),
	    .packed = virtio_has(v, VIRTIO_F_RING_PACKED),
	    .event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX),
	    .in_order = virtio_has(v, VIRTIO_F_IN_ORDER),
	    .indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC),
	};
	int rc = v->type->queue_start(v, q, &conf, qs->started, qs->started ? -1 : qs->start_idx);

	if (rc != 0)
		return rc;
	qs->started = 1;
	v->running[q] = true;
	return 0;
}

static int32_t queue_stop(struct ob_virtio *v, unsigned q, bool last)
{
	if (!v->running[q])
		return -ENOENT;
	v->running[q] = false;
	return v->type->queue_stop(v, q, last);
}

static void stop_all(struct ob_virtio *v)
{
	for (unsigned q = 0; q < v->n_queues; q++)
		queue_stop(v, q, true);
}

void ob_virtio_update(struct ob_virtio *v)
{
	int rc = 0;
	unsigned q;

	for (q = 0; q < v->n_queues; q++)
		if (v->running[q] && !queue_wanted(v, q))
			queue_stop(v, q, false);
	/* -EAGAIN: its rings are not mapped at the moment; ob_virtio_dma_changed tries again. */
	for (q = 0; q < v->n_queues && (rc == 0 || rc == -EAGAIN); q++)
		if (!v->running[q] && queue_wanted(v, q))
			rc = queue_start(v, q);
	if (rc != 0 && rc != -EAGAIN) {
		if (virtio_may_log(v))
			virtio_log(WARNING, v, "queue %u does not start: %s", q - 1, strerror(-rc));
		virtio_needs_reset(v, "a queue did not start");
	}
}

int32_t ob_virtio_stop_queue(struct ob_virtio *v, unsigned q)
{
	int32_t pos;

	if (q >= v->n_queues)
		return -ENOENT;
	pos = queue_stop(v, q, false);
	v->st->queue[q].enabled = 0;
	v->st->queue[q].started = 0;
	return pos;
}

void virtio_drop_queue(struct ob_virtio *v, unsigned q)
{
	queue_stop(v, q, true);
	virtio_queue_defaults(v, q);
}

bool ob_virtio_queue_running(const struct ob_virtio *v, unsigned q)
{
	return q < v->n_queues && v->running[q];
}

void ob_virtio_irq_changed(struct ob_virtio *v, unsigned q)
{
	if (ob_virtio_queue_running(v, q))
		v->type->queue_irq(v, q);
}

void ob_virtio_kick(struct ob_virtio *v, uint32_t q)
{
	v->n_kicks++;
	if (q >= v->n_queues) {
		v->n_bad_kicks++;
		return;
	}
	/* Too early is harmless: a queue that starts looks at its ring. */
	if (v->running[q])
		v->type->queue_kick(v, q);
}

void ob_virtio_dma_changed(struct ob_virtio *v)
{
	ob_virtio_update(v);
	v->type->dma_changed(v);
}

/* ---- status ---- */

void virtio_config_changed(struct ob_virtio *v)
{
	v->st->generation++;
	if (v->st->status & VIRTIO_CONFIG_S_DRIVER_OK)
		v->tr->config_changed(v->tr_ctx);
}

/* 2.1.2: the driver hears of it by a configuration interrupt; queues stop, so that nothing more of its memory is touched. */
void virtio_needs_reset(struct ob_virtio *v, const char *why)
{
	if (v->st->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->n_needs_reset++;
	v->st->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (virtio_may_log(v))
		virtio_log(WARNING, v, "stopped until the driver resets it: %s", why);
	stop_all(v);
	virtio_config_changed(v);
}

void virtio_reset(struct ob_virtio *v)
{
	struct virtio_state *st = v->st;

	stop_all(v);
	st->driver_features = st->negotiated = 0;
	st->features_ok = 0;
	st->device_feature_select = st->driver_feature_select = 0;
	st->queue_select = 0;
	st->config_vector = VIRTIO_NO_VECTOR;
	st->status = st->isr = 0;
	for (unsigned q = 0; q < v->n_queues; q++)
		virtio_queue_defaults(v, q);
	ob_gmem_heal(v->gm);
	v->type->reset(v);
	/* A driver that resets in a loop must not pile up what waits to be freed. */
	ob_rcu_reclaim();
	v->n_resets++;
}

int ob_virtio_set_features(struct ob_virtio *v, uint64_t features)
{
	if (!virtio_features_valid(v, features))
		return -EINVAL;
	v->st->driver_features = v->st->negotiated = features;
	v->st->features_ok = 1;
	v->type->negotiated(v);
	return 0;
}

void ob_virtio_set_status(struct ob_virtio *v, uint8_t status)
{
	const uint8_t drivers = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
				VIRTIO_CONFIG_S_FAILED;
	struct virtio_state *st = v->st;
	uint8_t was = st->status;

	if (status == 0) {
		virtio_reset(v);
		return;
	}
	/* 2.1.1: the driver must not clear bits; only a reset does. */
	status = (uint8_t)(was | (status & drivers));
	if (!st->features_ok && (status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    ob_virtio_set_features(v, st->driver_features) != 0) {
		if (virtio_may_log(v))
			virtio_log(
			    INFO, v, "refused features %#jx", (uintmax_t)st->driver_features);
		status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (!st->features_ok)
		status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	st->status = status;
	if (((status & ~was) & VIRTIO_CONFIG_S_DRIVER_OK) && virtio_may_log(v))
		virtio_log(INFO, v, "driver is up, features %#jx", (uintmax_t)st->negotiated);
	ob_virtio_update(v);
}

void ob_virtio_set_dma(struct ob_virtio *v, bool on)
{
	if (v->st->dma == (on ? 1 : 0))
		return;
	v->st->dma = on ? 1 : 0;
	ob_virtio_update(v);
}

/* ---- device configuration space ---- */

#define CONFIG_MAX 256
static_assert(sizeof(struct virtio_blk_config) <= CONFIG_MAX, "is read as zeroes else");
static_assert(sizeof(struct virtio_net_config) <= CONFIG_MAX, "is read as zeroes else");

void ob_virtio_config_read(const struct ob_virtio *v, uint64_t off, void *buf, size_t len)
{
	uint8_t config[CONFIG_MAX] = {0};
	uint32_t end = v->type->config_bytes;

	memset(buf, 0, len);
	assert(end <= sizeof(config));
	if (off >= end)
		return;
	v->type->config_read(v, config);
	memcpy(buf, config + off, len < end - off ? len : end - off);
}

void ob_virtio_config_write(struct ob_virtio *v, uint64_t off, const void *buf, size_t len)
{
	uint32_t end = v->type->config_bytes;

	if (v->type->config_write != NULL && off < end && len <= end - off)
		v->type->config_write(v, off, buf, len);
}

/* ---- views ---- */

const char *ob_virtio_name(const struct ob_virtio *v)
{
	return v->name;
}

struct ob_gmem *ob_virtio_gmem(struct ob_virtio *v)
{
	return v->gm;
}

uint64_t ob_virtio_offered(const struct ob_virtio *v)
{
	return v->offered;
}

uint64_t ob_virtio_negotiated(const struct ob_virtio *v)
{
	return v->st->negotiated;
}

uint8_t ob_virtio_status(const struct ob_virtio *v)
{
	return v->st->status;
}

unsigned ob_virtio_n_queues(const struct ob_virtio *v)
{
	return v->n_queues;
}

struct ob_virtio_queue *ob_virtio_queue(struct ob_virtio *v, unsigned q)
{
	return q < v->n_queues ? &v->st->queue[q] : NULL;
}

/* ---- life ---- */

bool virtio_conf_valid(const struct virtio_conf *c)
{
	size_t len = c->name != NULL ? strlen(c->name) : 0;

	return len > 0 && len < OB_VIRTIO_NAME_MAX &&
	       strspn(c->name,
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == len &&
	       c->path != NULL && c->path[0] != '\0' && strlen(c->path) < OB_VIRTIO_PATH_MAX &&
	       c->base != NULL && c->arena != NULL;
}

bool virtio_queue_size_valid(uint16_t size)
{
	return size == 0 ||
	       (size >= VIRTIO_QUEUE_MIN && size <= OB_VIRTQ_MAX_SIZE && (size & (size - 1)) == 0);
}

/* The state is made afresh: going on where a predecessor stopped is not done yet, only kept possible. */
static int state_create(struct ob_virtio *v)
{
	void *mem;
	bool fresh;
	int rc;

	snprintf(v->region, sizeof(v->region), "%s.%s", v->type->region, v->name);
	rc = ob_arena_region(
	    v->arena, v->region, v->type->state_layout, v->type->state_bytes, &mem, &fresh);
	if (rc != 0)
		return rc;
	v->st = mem;
	memset(mem, 0, v->type->state_bytes);
	return 0;
}

int virtio_init(struct ob_virtio *v, const struct virtio_type *type, const struct virtio_conf *c,
    const struct ob_virtio_transport *tr, void *ctx)
{
	struct ob_gmem_conf gc = {.name = c->name, .sync = c->sync, .sync_ctx = v};
	int rc;

	v->type = type;
	snprintf(v->name, sizeof(v->name), "%s", c->name);
	snprintf(v->path, sizeof(v->path), "%s", c->path);
	v->base = c->base;
	v->arena = c->arena;
	v->tr = tr;
	v->tr_ctx = ctx;
	v->n_queues = c->n_queues;
	rc = ob_gmem_create(&gc, &v->gm);
	if (rc != 0)
		return rc;
	rc = state_create(v);
	if (rc != 0)
		ob_gmem_destroy(v->gm);
	return rc;
}

void virtio_fini(struct ob_virtio *v)
{
	ob_arena_del_region(v->arena, v->region);
	ob_gmem_destroy(v->gm);
}

void ob_virtio_destroy(struct ob_virtio *v)
{
	if (v == NULL)
		return;
	stop_all(v);
	v->tr->destroy(v->tr_ctx);
	stop_all(v);
	v->type->fini(v);
	virtio_fini(v);
	free(v);
}
