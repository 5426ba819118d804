/* SPDX-License-Identifier: BSD-3-Clause */
/* The network type (virtio 1.2, 5.1): its features, queues and configuration space over a vif. */
#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <linux/virtio_ids.h>
#include <rte_byteorder.h>
#include <rte_ether.h>

#define MTU_MIN	      68
#define MTU_MAX	      9216
#define DUPLEX_FULL   1
#define SPEED_UNKNOWN UINT32_MAX

static struct ob_vnet *to_vnet(struct ob_virtio *v)
{
	return (struct ob_vnet *)v; /* its first member */
}

static const struct ob_vnet *to_vnet_const(const struct ob_virtio *v)
{
	return (const struct ob_vnet *)v;
}

/* ---- features (5.1.3.1) ---- */

#define CTRL VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ)

static const struct virtio_feature features[] = {
    {VIRTIO_NET_F_CSUM, "csum", 0},
    {VIRTIO_NET_F_GUEST_CSUM, "guest_csum", 0},
    {VIRTIO_NET_F_MTU, "mtu", 0},
    {VIRTIO_NET_F_MAC, "mac", 0},
    {VIRTIO_NET_F_GUEST_TSO4, "guest_tso4", VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_TSO6, "guest_tso6", VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_ECN, "guest_ecn",
	VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6)},
    {VIRTIO_NET_F_HOST_TSO4, "host_tso4", VIRTIO_BIT(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_TSO6, "host_tso6", VIRTIO_BIT(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_ECN, "host_ecn",
	VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6)},
    {VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf", 0},
    {VIRTIO_NET_F_STATUS, "status", 0},
    {VIRTIO_NET_F_CTRL_VQ, "ctrl_vq", 0},
    {VIRTIO_NET_F_CTRL_RX, "ctrl_rx", CTRL},
    {VIRTIO_NET_F_CTRL_VLAN, "ctrl_vlan", CTRL},
    {VIRTIO_NET_F_CTRL_RX_EXTRA, "ctrl_rx_extra", CTRL},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce", CTRL},
    {VIRTIO_NET_F_MQ, "mq", CTRL},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, "ctrl_mac_addr", CTRL},
    {VIRTIO_NET_F_RSS, "rss", CTRL},
    {VIRTIO_NET_F_SPEED_DUPLEX, "speed_duplex", 0},
};

const char *ob_vnet_feature_name(unsigned bit)
{
	return virtio_feature_name(features, RTE_DIM(features), bit);
}

static uint64_t features_off(const struct ob_vnet_conf *conf, const struct ob_virtio_transport *tr)
{
	uint64_t off = conf->features_off | tr->features_off;

	/* Steering commands over a single pair have no meaning. */
	if (conf->n_pairs < 2)
		off |= VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_RSS);
	if (!conf->packed)
		off |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	/* A peer that has the control queue itself (vhost) satisfies what depends on it. */
	return tr->peer_has_ctrl ? off | CTRL : off;
}

static void net_negotiated(struct ob_virtio *v)
{
	struct ob_vnet *vn = to_vnet(v);

	ob_vif_set_features(vn->vif, v->st->negotiated);
	vnet_ctrl_defaults(vn);
}

/* ---- queues (5.1.2) ---- */

enum vnet_role vnet_queue_role(const struct ob_vnet *vn, unsigned q)
{
	uint64_t f = virtio_features(&vn->v);
	uint64_t multi = VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_RSS);
	unsigned n_data = (f & multi) ? 2u * vn->conf.n_pairs : 2;

	if (q < n_data)
		return VNET_Q_DATA;
	return q == n_data && (f & CTRL) ? VNET_Q_CTRL : VNET_Q_NONE;
}

static uint16_t net_queue_max(const struct ob_virtio *v, unsigned q)
{
	const struct ob_vnet *vn = to_vnet_const(v);

	switch (vnet_queue_role(vn, q)) {
	case VNET_Q_DATA:
		return vn->conf.queue_size;
	case VNET_Q_CTRL:
		return VNET_CTRL_SIZE;
	default:
		return 0;
	}
}

static int net_queue_start(struct ob_virtio *v, unsigned q, const struct ob_virtq_conf *conf,
    bool resume, int32_t start_idx)
{
	struct ob_vnet *vn = to_vnet(v);

	if (vnet_queue_role(vn, q) == VNET_Q_CTRL) {
		vn->ctrl_idx = (uint16_t)q;
		return vnet_ctrl_start(vn, conf, resume);
	}
	return ob_vif_start_queue(
	    vn->vif, q, conf, v->tr->queue_irq_fd(v->tr_ctx, q), resume, start_idx);
}

static int32_t net_queue_stop(struct ob_virtio *v, unsigned q, bool last)
{
	struct ob_vnet *vn = to_vnet(v);

	(void)last;
	if (!vnet_is_ctrl(vn, q))
		return ob_vif_stop_queue(vn->vif, q);
	vnet_ctrl_stop(vn);
	return 0;
}

static void net_queue_irq(struct ob_virtio *v, unsigned q)
{
	struct ob_vnet *vn = to_vnet(v);

	if (!vnet_is_ctrl(vn, q))
		ob_vif_set_irq_fd(vn->vif, q, v->tr->queue_irq_fd(v->tr_ctx, q));
}

static void net_queue_kick(struct ob_virtio *v, unsigned q)
{
	struct ob_vnet *vn = to_vnet(v);

	if (vnet_is_ctrl(vn, q))
		vnet_ctrl_run(vn);
	else
		ob_vif_kick(vn->vif, q);
}

static void net_dma_changed(struct ob_virtio *v)
{
	struct ob_vnet *vn = to_vnet(v);

	/* Transmit queues only: a receive queue looks at its ring whenever a packet comes. */
	for (unsigned q = 1; q < v->n_queues; q += 2)
		if (v->running[q] && !vnet_is_ctrl(vn, q))
			ob_vif_kick(vn->vif, q);
	vnet_ctrl_run(vn);
}

static void on_broken(void *ctx, unsigned q)
{
	struct ob_vnet *vn = ctx;

	if (q < vn->v.n_queues)
		vn->v.broken[q] = true;
	virtio_needs_reset(&vn->v, ob_vif_broken_why(vn->vif, q));
}

static void net_reset(struct ob_virtio *v)
{
	struct ob_vnet *vn = to_vnet(v);
	struct vnet_state *st = vnet_state(vn);

	st->net_status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
	memcpy(st->mac, vn->conf.mac, sizeof(st->mac));
	vnet_ctrl_defaults(vn);
}

/* ---- device configuration space (5.1.4); read-only: with VERSION_1 even the MAC is (5.1.4.1) ---- */

static_assert(sizeof(struct virtio_net_config) == 24, "virtio 1.2, 5.1.4");

static void net_config_read(const struct ob_virtio *v, void *config)
{
	const struct ob_vnet *vn = to_vnet_const(v);
	const struct ob_vnet_conf *conf = &vn->conf;
	const struct vnet_state *st = vnet_state(vn);
	struct virtio_net_config c = {
	    .status = rte_cpu_to_le_16(st->net_status),
	    .max_virtqueue_pairs = rte_cpu_to_le_16(conf->n_pairs),
	    .mtu = rte_cpu_to_le_16(conf->mtu),
	    .speed = rte_cpu_to_le_32(conf->speed_mbps ? conf->speed_mbps : SPEED_UNKNOWN),
	    .duplex = DUPLEX_FULL,
	    .rss_max_key_size = OB_VIF_RSS_KEY,
	    .rss_max_indirection_table_length = rte_cpu_to_le_16(OB_VIF_RSS_MAX),
	    .supported_hash_types = rte_cpu_to_le_32(OB_VIF_HASH_TYPES),
	};

	memcpy(c.mac, st->mac, sizeof(c.mac));
	memcpy(config, &c, sizeof(c));
}

/* ---- settings and views ---- */

void ob_vnet_set_link(struct ob_vnet *vn, bool up)
{
	struct vnet_state *st = vnet_state(vn);
	uint16_t was = st->net_status;

	ob_vif_set_link(vn->vif, up);
	st->net_status = up ? was | VIRTIO_NET_S_LINK_UP : was & (uint16_t)~VIRTIO_NET_S_LINK_UP;
	if (st->net_status != was)
		virtio_config_changed(&vn->v);
}

int ob_vnet_announce(struct ob_vnet *vn)
{
	if (!(vn->v.st->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return -EAGAIN;
	if (!virtio_has(&vn->v, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    !virtio_has(&vn->v, VIRTIO_NET_F_STATUS))
		return -ENOTSUP;
	vnet_state(vn)->net_status |= VIRTIO_NET_S_ANNOUNCE;
	virtio_config_changed(&vn->v);
	return 0;
}

void ob_vnet_set_pairs(struct ob_vnet *vn, uint16_t n)
{
	struct ob_vif_steering *s = &vnet_state(vn)->steering;

	if (n < 1 || n > vn->conf.n_pairs || (s->n_pairs == n && !s->rss))
		return;
	*s = (struct ob_vif_steering){.n_pairs = n};
	ob_vif_set_steering(vn->vif, s);
}

const char *ob_vnet_name(const struct ob_vnet *vn)
{
	return vn->v.name;
}

struct ob_vif *ob_vnet_vif(const struct ob_vnet *vn)
{
	return vn->vif;
}

struct ob_virtio *ob_vnet_virtio(struct ob_vnet *vn)
{
	return &vn->v;
}

void ob_vnet_get_status(const struct ob_vnet *vn, struct ob_vnet_status *out)
{
	const struct ob_virtio *v = &vn->v;
	const struct vnet_state *st = vnet_state(vn);
	struct ob_virtio_peer peer = {0};

	v->tr->get_peer(v->tr_ctx, &peer);
	*out = (struct ob_vnet_status){
	    .transport = v->tr->name,
	    .connected = peer.connected,
	    .peer_pid = peer.pid,
	    .vif_idx = ob_vif_idx(vn->vif),
	    .mtu = vn->conf.mtu,
	    .link_up = st->net_status & VIRTIO_NET_S_LINK_UP,
	    .announce_pending = (st->net_status & VIRTIO_NET_S_ANNOUNCE) != 0,
	    .driver_status = st->v.status,
	    .offered = v->offered,
	    .negotiated = st->v.negotiated,
	    .n_pairs = vn->conf.n_pairs,
	    .pairs_in_use = ob_vif_pairs(vn->vif),
	    .n_resets = v->n_resets,
	    .n_needs_reset = v->n_needs_reset,
	    .n_kicks = v->n_kicks,
	    .n_bad_kicks = v->n_bad_kicks,
	    .n_ctrl = vn->n_ctrl,
	    .n_ctrl_err = vn->n_ctrl_err,
	    .n_queues = (uint16_t)(v->n_queues - v->tr->peer_has_ctrl),
	};
	memcpy(out->name, v->name, sizeof(out->name));
	memcpy(out->path, v->path, sizeof(out->path));
	memcpy(out->mac, st->mac, sizeof(out->mac));
	ob_gmem_usage(v->gm, &out->n_ranges, &out->n_bytes);
	ob_gmem_poisoned(v->gm, &out->n_faults);
	out->n_violations = ob_gmem_violations(v->gm);
	for (unsigned q = 0; q < v->n_queues; q++) {
		const struct ob_virtio_queue *qs = &st->v.queue[q];
		bool data = v->running[q] && !vnet_is_ctrl(vn, q);

		out->queue[q] = (struct ob_vnet_queue_status){
		    .enabled = qs->enabled,
		    .running = v->running[q],
		    .broken = v->broken[q],
		    .size = qs->size ? qs->size : virtio_queue_max(v, q),
		    .vector = qs->vector,
		    .worker = data ? (int16_t)ob_vif_queue_worker(vn->vif, q) : -1,
		};
	}
}

/* ---- life ---- */

static void net_fini(struct ob_virtio *v)
{
	struct ob_vnet *vn = to_vnet(v);

	ob_vif_destroy(vn->vif);
	event_free(vn->ctrl_again);
}

static const struct virtio_type net_type = {
    .region = "vnet",
    .state_layout = VNET_STATE_LAYOUT,
    .state_bytes = sizeof(struct vnet_state),
    .device_id = VIRTIO_ID_NET,
    .subsys_id = 0x1100,
    .pci_class = 0x020000,
    .config_bytes = sizeof(struct virtio_net_config),
    .vpd_part = "OB-VNET",
    .vpd_ident = "Outboard virtio-net function",
    .features = features,
    .n_features = RTE_DIM(features),
    .queue_max = net_queue_max,
    .queue_start = net_queue_start,
    .queue_stop = net_queue_stop,
    .queue_irq = net_queue_irq,
    .queue_kick = net_queue_kick,
    .config_read = net_config_read,
    .negotiated = net_negotiated,
    .reset = net_reset,
    .dma_changed = net_dma_changed,
    .fini = net_fini,
};

static bool conf_valid(const struct ob_vnet_conf *c)
{
	struct rte_ether_addr mac;

	memcpy(mac.addr_bytes, c->mac, sizeof(mac.addr_bytes));
	return rte_is_valid_assigned_ether_addr(&mac) && c->mtu >= MTU_MIN && c->mtu <= MTU_MAX &&
	       c->n_pairs >= 1 && c->n_pairs <= OB_VIF_MAX_PAIRS &&
	       virtio_queue_size_valid(c->queue_size);
}

static void ctrl_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	vnet_ctrl_run(arg);
}

static int vif_create(struct ob_vnet *vn)
{
	struct ob_vif_conf vc = {
	    .gm = vn->v.gm,
	    .n_pairs = vn->conf.n_pairs,
	    .mtu = vn->conf.mtu,
	};
	int rc;

	memcpy(vc.name, vn->v.name, sizeof(vc.name));
	memcpy(vc.mac, vn->conf.mac, sizeof(vc.mac));
	rc = ob_vif_create(&vc, &vn->vif);
	if (rc != 0)
		return rc;
	ob_vif_set_on_broken(vn->vif, on_broken, vn);
	ob_vif_set_link(vn->vif, !vn->conf.link_down);
	vnet_state(vn)->net_status = vn->conf.link_down ? 0 : VIRTIO_NET_S_LINK_UP;
	return 0;
}

int ob_vnet_create_on(const struct ob_vnet_conf *conf, const struct ob_virtio_transport *tr,
    void *ctx, struct ob_vnet **out)
{
	struct virtio_conf vc = {
	    .name = conf->name,
	    .path = conf->path,
	    .base = conf->base,
	    .arena = conf->arena,
	    .sync = ob_rcu_sync,
	    .n_queues = (uint16_t)(2 * conf->n_pairs + 1),
	};
	struct ob_vnet *vn;
	int rc;

	if (!virtio_conf_valid(&vc) || !conf_valid(conf))
		return -EINVAL;
	vn = calloc(1, sizeof(*vn));
	if (vn == NULL)
		return -ENOMEM;
	vn->conf = *conf;
	if (vn->conf.queue_size == 0)
		vn->conf.queue_size = VIRTIO_QUEUE_DEFAULT;
	vn->ctrl_again = event_new(conf->base, -1, 0, ctrl_again, vn);
	rc = vn->ctrl_again != NULL ? 0 : -ENOMEM;
	if (rc != 0)
		goto err_free;
	rc = virtio_init(&vn->v, &net_type, &vc, tr, ctx);
	if (rc != 0)
		goto err_event;
	vn->v.own = tr->peer_has_ctrl ? CTRL : 0;
	vn->v.offered = virtio_features_offer(&vn->v, features_off(conf, tr));
	rc = vif_create(vn);
	if (rc != 0)
		goto err_fini;
	virtio_reset(&vn->v);
	vn->v.n_resets = 0;
	*out = vn;
	return 0;

err_fini:
	virtio_fini(&vn->v);
err_event:
	event_free(vn->ctrl_again);
err_free:
	free(vn);
	return rc;
}

int ob_vnet_create(const struct ob_vnet_conf *conf, struct ob_vnet **out)
{
	struct virtio_pci *p = virtio_pci_new();
	struct ob_vnet *vn;
	int rc;

	if (p == NULL)
		return -ENOMEM;
	rc = ob_vnet_create_on(conf, &virtio_pci_transport, p, &vn);
	if (rc != 0) {
		free(p);
		return rc;
	}
	rc = virtio_pci_start(p, &vn->v, conf->serial);
	if (rc != 0) {
		ob_vnet_destroy(vn); /* frees 'p' too */
		return rc;
	}
	*out = vn;
	return 0;
}

void ob_vnet_destroy(struct ob_vnet *vn)
{
	ob_virtio_destroy(vn != NULL ? &vn->v : NULL);
}
