/* SPDX-License-Identifier: BSD-3-Clause */
/* Device configuration space of virtio-net (virtio 1.2, 5.1.4). Read-only: with VERSION_1 even the MAC is (5.1.4.1). */
#include "vnet.h"

#include <string.h>

#include <rte_byteorder.h>

#define DUPLEX_FULL   1
#define SPEED_UNKNOWN UINT32_MAX

static_assert(sizeof(struct virtio_net_config) == 24, "virtio 1.2, 5.1.4");

void vnet_config_read(const struct ob_vnet *vn, uint64_t off, void *buf, size_t len)
{
	const struct ob_vnet_conf *conf = &vn->conf;
	struct virtio_net_config c = {
	    .status = rte_cpu_to_le_16(vn->st->net_status),
	    .max_virtqueue_pairs = rte_cpu_to_le_16(conf->n_pairs),
	    .mtu = rte_cpu_to_le_16(conf->mtu),
	    .speed = rte_cpu_to_le_32(conf->speed_mbps ? conf->speed_mbps : SPEED_UNKNOWN),
	    .duplex = DUPLEX_FULL,
	    .rss_max_key_size = OB_VIF_RSS_KEY,
	    .rss_max_indirection_table_length = rte_cpu_to_le_16(OB_VIF_RSS_MAX),
	    .supported_hash_types = rte_cpu_to_le_32(OB_VIF_HASH_TYPES),
	};

	memcpy(c.mac, vn->st->mac, sizeof(c.mac));
	memset(buf, 0, len);
	if (off >= sizeof(c))
		return;
	memcpy(buf, (const uint8_t *)&c + off, len < sizeof(c) - off ? len : sizeof(c) - off);
}
