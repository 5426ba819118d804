/* SPDX-License-Identifier: BSD-3-Clause */
/* The main thread's half: makes the function what a snapshot says. */
#include "vhost_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <linux/virtio_config.h>

#define UP                                                                                    \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	    VIRTIO_CONFIG_S_DRIVER_OK)

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- memory: mapped from the peer's files by gmem itself, so that it does not depend on when rte_vhost unmaps ---- */

static bool same_region(const struct vhost_region *a, const struct vhost_region *b)
{
	return a->gpa == b->gpa && a->len == b->len && a->fd_off == b->fd_off;
}

static void region_add(struct ob_vhost *vh, const struct vhost_region *r)
{
	int rc = ob_gmem_add(ob_virtio_gmem(vh->v), (ob_iova_t){r->gpa}, r->len,
	    OB_GMEM_READ | OB_GMEM_WRITE, r->fd, r->fd_off);

	if (rc != 0) {
		vhost_log(WARNING, vh, "memory at %#jx is not usable: %s", (uintmax_t)r->gpa,
		    strerror(-rc));
		return;
	}
	vh->region[vh->n_regions++] = *r;
}

static bool any_running(const struct ob_vhost *vh)
{
	for (unsigned q = 0; q < vh->n_rings; q++)
		if (ob_virtio_queue_running(vh->v, q))
			return true;
	return false;
}

/* A table that differs is mapped anew as a whole: its files may be others behind the same addresses. */
static int apply_regions(struct ob_vhost *vh, const struct vhost_snapshot *s)
{
	bool same = vh->n_regions == s->n_regions;
	bool paused;
	unsigned i;

	for (i = 0; same && i < s->n_regions; i++)
		same = same_region(&vh->region[i], &s->region[i]);
	if (same && !s->new_memory)
		return 0;
	vh->n_regions = 0;
	/* I/Os that point into the old memory end first, and their rings go on in the new one: addresses that the guest has at the
	 * same place in both must not fail in between. Packets in flight are copied already. */
	paused = vh->net == NULL && any_running(vh);
	if (paused)
		ob_virtio_set_dma(vh->v, false);
	/* Never the last table's memory beside this one's. */
	if (ob_gmem_del_all(ob_virtio_gmem(vh->v)) < 0)
		return -ENOMEM;
	for (i = 0; i < s->n_regions; i++)
		region_add(vh, &s->region[i]);
	if (paused)
		ob_virtio_set_dma(vh->v, true);
	ob_virtio_dma_changed(vh->v);
	return 0;
}

/* ---- rings ---- */

/* Edge-triggered and never read: the counter is the peer's, a read could block. */
static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct vhost_kick *k = arg;

	(void)fd;
	(void)what;
	ob_virtio_kick(k->vh->v, k->q);
}

static void kick_drop(struct vhost_kick *k)
{
	if (k->ev != NULL)
		event_free(k->ev);
	k->ev = NULL;
	close_fd(&k->kick_fd);
	close_fd(&k->call_fd);
}

static void ring_stop(struct ob_vhost *vh, unsigned q, struct vhost_ring *r)
{
	int32_t pos = ob_virtio_stop_queue(vh->v, q);

	if (r != NULL && pos >= 0)
		r->base = pos;
	kick_drop(&vh->kick[q]);
}

/* The queue itself starts with the next ob_virtio_update. */
static void ring_start(struct ob_vhost *vh, unsigned q, struct vhost_ring *r)
{
	struct ob_virtio_queue *vq = ob_virtio_queue(vh->v, q);
	struct vhost_kick *k = &vh->kick[q];

	*vq = (struct ob_virtio_queue){
	    .desc = r->desc,
	    .driver = r->driver,
	    .device = r->device,
	    .size = r->size,
	    .vector = UINT16_MAX,
	    .enabled = 1,
	    .start_idx = r->base,
	};
	kick_drop(k);
	k->vh = vh;
	k->q = (uint16_t)q;
	k->kick_fd = r->kick_fd;
	k->call_fd = r->call_fd;
	r->kick_fd = r->call_fd = -1;
	if (k->kick_fd < 0)
		return; /* legal: the peer wants to be polled; a busy worker does */
	k->ev = event_new(vh->base, k->kick_fd, EV_READ | EV_PERSIST | EV_ET, on_kick, k);
	if (k->ev == NULL || event_add(k->ev, NULL) != 0)
		vhost_log(WARNING, vh, "ring %u: its doorbell cannot be watched", q);
}

static bool ring_same(const struct ob_vhost *vh, unsigned q, const struct vhost_ring *r)
{
	const struct ob_virtio_queue *vq = ob_virtio_queue(vh->v, q);

	return vq->desc == r->desc && vq->driver == r->driver && vq->device == r->device &&
	       vq->size == r->size;
}

/* Pairs that steering may use: those whose both rings are on, from the first without a gap. */
static uint16_t pairs_on(const struct vhost_snapshot *s, unsigned n_queues)
{
	uint16_t n = 0;

	while (2u * n + 1 < n_queues && s->ring[2 * n].on && s->ring[2 * n + 1].on)
		n++;
	return n;
}

static void stop_rings(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	/* Also those that wait for their memory to come: they must not start with it any more. */
	for (unsigned q = 0; q < VHOST_MAX_RINGS; q++)
		ring_stop(vh, q, s != NULL ? &s->ring[q] : NULL);
	ob_virtio_set_dma(vh->v, false);
}

static void stop_all(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	stop_rings(vh, s);
	ob_virtio_set_status(vh->v, 0);
}

/* No ring is on. That a new interrupt descriptor does too, for a moment, and the disk's driver must find the cache mode that it set:
 * only a broken function is reset here, any other when its peer goes or its features change. */
static void pause_disk(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	if (ob_virtio_status(vh->v) & VIRTIO_CONFIG_S_NEEDS_RESET)
		stop_all(vh, s);
	else
		stop_rings(vh, s);
}

static int bring_up(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	if ((ob_virtio_status(vh->v) & UP) == UP && ob_virtio_negotiated(vh->v) == s->features) {
		ob_virtio_set_dma(vh->v, true);
		return 0;
	}
	stop_all(vh, NULL);
	if (ob_virtio_set_features(vh->v, s->features) != 0) {
		vhost_log(WARNING, vh, "the driver's features %#jx do not do (VERSION_1 is needed)",
		    (uintmax_t)s->features);
		return -ENOTSUP;
	}
	ob_virtio_set_status(vh->v, UP);
	ob_virtio_set_dma(vh->v, true);
	return 0;
}

static int apply_rings(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	uint16_t n_pairs = vh->net != NULL ? pairs_on(s, vh->n_rings) : 0;
	int rc = bring_up(vh, s);

	if (rc != 0)
		return rc;
	for (unsigned q = 0; q < vh->n_rings && q < VHOST_MAX_RINGS; q++) {
		struct vhost_ring *r = &s->ring[q];
		bool runs = ob_virtio_queue_running(vh->v, q);

		if (!r->on || (runs && !ring_same(vh, q, r)))
			ring_stop(vh, q, r);
		else if (runs)
			continue;
		if (r->on)
			ring_start(vh, q, r);
	}
	if (n_pairs > 0)
		ob_vnet_set_pairs(vh->net, n_pairs);
	ob_virtio_update(vh->v);
	return 0;
}

int vhost_apply(struct ob_vhost *vh, struct vhost_snapshot *s)
{
	int rc = apply_regions(vh, s);

	if (rc == 0 && s->running)
		rc = apply_rings(vh, s);
	else if (rc == 0 && vh->net == NULL)
		pause_disk(vh, s);
	else
		stop_all(vh, s);
	vhost_snapshot_drop(s);
	return rc;
}

void vhost_clear(struct ob_vhost *vh)
{
	stop_all(vh, NULL);
	(void)ob_gmem_del_all(ob_virtio_gmem(vh->v));
	vh->n_regions = 0;
	vh->connected = false;
	vh->peer_pid = 0;
}
