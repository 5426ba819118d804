/* SPDX-License-Identifier: BSD-3-Clause */
/* Feature bits: what is offered, what depends on what (virtio 1.2, 5.1.3.1 and chapter 6). */
#include "vnet.h"

#include <stddef.h>

struct feature {
	uint8_t bit;
	const char *name;
	uint64_t needs_any; /* one of these must be negotiated too; 0: none */
};

#define CTRL VNET_BIT(VIRTIO_NET_F_CTRL_VQ)

static const struct feature features[] = {
    {VIRTIO_NET_F_CSUM, "csum", 0},
    {VIRTIO_NET_F_GUEST_CSUM, "guest_csum", 0},
    {VIRTIO_NET_F_MTU, "mtu", 0},
    {VIRTIO_NET_F_MAC, "mac", 0},
    {VIRTIO_NET_F_GUEST_TSO4, "guest_tso4", VNET_BIT(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_TSO6, "guest_tso6", VNET_BIT(VIRTIO_NET_F_GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_ECN, "guest_ecn",
	VNET_BIT(VIRTIO_NET_F_GUEST_TSO4) | VNET_BIT(VIRTIO_NET_F_GUEST_TSO6)},
    {VIRTIO_NET_F_HOST_TSO4, "host_tso4", VNET_BIT(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_TSO6, "host_tso6", VNET_BIT(VIRTIO_NET_F_CSUM)},
    {VIRTIO_NET_F_HOST_ECN, "host_ecn",
	VNET_BIT(VIRTIO_NET_F_HOST_TSO4) | VNET_BIT(VIRTIO_NET_F_HOST_TSO6)},
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
    {VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc", 0},
    {VIRTIO_RING_F_EVENT_IDX, "event_idx", 0},
    {VIRTIO_F_VERSION_1, "version_1", 0},
    {VIRTIO_F_ACCESS_PLATFORM, "access_platform", 0},
    {VIRTIO_F_RING_PACKED, "ring_packed", 0},
    {VIRTIO_F_IN_ORDER, "in_order", 0},
    {VIRTIO_F_NOTIFICATION_DATA, "notification_data", 0},
    {VIRTIO_F_RING_RESET, "ring_reset", 0},
};

#define N_FEATURES (sizeof(features) / sizeof(features[0]))

const char *ob_vnet_feature_name(unsigned bit)
{
	for (size_t i = 0; i < N_FEATURES; i++)
		if (features[i].bit == bit)
			return features[i].name;
	return NULL;
}

/* First feature in 'set' whose dependency is missing there, or NULL. */
static const struct feature *orphan(uint64_t set)
{
	for (size_t i = 0; i < N_FEATURES; i++) {
		const struct feature *f = &features[i];

		if ((set & VNET_BIT(f->bit)) && f->needs_any != 0 && !(set & f->needs_any))
			return f;
	}
	return NULL;
}

/* A peer that has the control queue itself (vhost) satisfies what depends on it. */
static uint64_t peers_own(const struct ob_vnet_transport *tr)
{
	return tr->peer_has_ctrl ? CTRL : 0;
}

uint64_t vnet_features_offer(const struct ob_vnet_conf *conf, const struct ob_vnet_transport *tr)
{
	uint64_t off = conf->features_off | tr->features_off;
	const struct feature *f;
	uint64_t set = 0;

	for (size_t i = 0; i < N_FEATURES; i++)
		set |= VNET_BIT(features[i].bit);
	/* Steering commands over a single pair have no meaning. */
	if (conf->n_pairs < 2)
		off |= VNET_BIT(VIRTIO_NET_F_MQ) | VNET_BIT(VIRTIO_NET_F_RSS);
	if (!conf->packed)
		off |= VNET_BIT(VIRTIO_F_RING_PACKED);
	set &= ~(off & ~VNET_BIT(VIRTIO_F_VERSION_1));
	while ((f = orphan(set | peers_own(tr))) != NULL)
		set &= ~VNET_BIT(f->bit);
	return tr->peer_has_ctrl ? set & ~CTRL : set;
}

bool vnet_features_valid(const struct ob_vnet *vn, uint64_t set)
{
	return (set & ~vn->offered) == 0 && (set & VNET_BIT(VIRTIO_F_VERSION_1)) &&
	       orphan(set | peers_own(vn->tr)) == NULL;
}
