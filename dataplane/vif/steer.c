/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vif_int.h"

/* 32 bits of the key that begin at 'bit'; the key ends in zeros. */
static uint32_t key_window(const uint8_t *key, unsigned bit)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 5; i++)
		v = v << 8 | (bit / 8 + i < OB_VIF_RSS_KEY ? key[bit / 8 + i] : 0);
	return (uint32_t)(v >> (8 - bit % 8));
}

static void fill_nibbles(struct vif_steering *s)
{
	for (unsigned n = 0; n < 2 * VIF_HASH_BYTES; n++)
		for (unsigned v = 0; v < 16; v++)
			for (unsigned b = 0; b < 4; b++)
				if (v & (8u >> b))
					s->nibble[n][v] ^= key_window(s->conf.key, 4 * n + b);
}

int vif_steering_create(
    const struct ob_vif_steering *conf, uint16_t max_pairs, struct vif_steering **out)
{
	struct vif_steering *s;

	if (conf->n_pairs == 0 || conf->n_pairs > max_pairs)
		return -EINVAL;
	if ((conf->rss || conf->hash_report) &&
	    (conf->key_len == 0 || conf->key_len > OB_VIF_RSS_KEY ||
		(conf->hash_types & ~OB_VIF_HASH_TYPES) != 0))
		return -EINVAL;
	if (conf->rss) {
		if (conf->table_len == 0 || conf->table_len > OB_VIF_RSS_MAX ||
		    (conf->table_len & (conf->table_len - 1)) != 0)
			return -EINVAL;
		for (unsigned i = 0; i < conf->table_len; i++)
			if (conf->table[i] >= conf->n_pairs)
				return -EINVAL;
		if (conf->unclassified >= conf->n_pairs)
			return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->conf = *conf;
	memset(s->conf.key + RTE_MIN(conf->key_len, OB_VIF_RSS_KEY), 0,
	    OB_VIF_RSS_KEY - RTE_MIN(conf->key_len, OB_VIF_RSS_KEY));
	fill_nibbles(s);
	*out = s;
	return 0;
}

static uint32_t toeplitz(
    const struct vif_steering *s, unsigned from, uint32_t hash, const uint8_t *p, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		hash ^=
		    s->nibble[2 * (from + i)][p[i] >> 4] ^ s->nibble[2 * (from + i) + 1][p[i] & 15];
	return hash;
}

/* Virtio 1.2, 5.1.6.4.3. A fragment is hashed by its addresses, so that all of a packet's go to one queue. */
uint32_t vif_rss_hash(const struct vif_steering *s, const struct rte_mbuf *pkt,
    const struct ob_meta *meta, uint16_t *report)
{
	const uint8_t *l3 = rte_pktmbuf_mtod_offset(pkt, const uint8_t *, meta->l2_len);
	const uint8_t *l4 = l3 + meta->l3_len;
	bool v4 = (meta->flags & OB_PKT_IP4) != 0, v6 = (meta->flags & OB_PKT_IP6) != 0;
	unsigned n_addr = v4 ? 8 : 32;
	uint32_t types = s->conf.hash_types, tcp, udp, hash;

	*report = VIRTIO_NET_HASH_REPORT_NONE;
	if ((!v4 && !v6) || pkt->data_len < (uint32_t)meta->l2_len + (v4 ? 20 : 40))
		return 0;
	tcp = v4 ? VIRTIO_NET_RSS_HASH_TYPE_TCPv4 : VIRTIO_NET_RSS_HASH_TYPE_TCPv6;
	udp = v4 ? VIRTIO_NET_RSS_HASH_TYPE_UDPv4 : VIRTIO_NET_RSS_HASH_TYPE_UDPv6;
	if (!(meta->flags & OB_PKT_FRAG) &&
	    pkt->data_len >= (uint32_t)meta->l2_len + meta->l3_len + 4) {
		if ((meta->flags & OB_PKT_TCP) && (types & tcp))
			*report = v4 ? VIRTIO_NET_HASH_REPORT_TCPv4 : VIRTIO_NET_HASH_REPORT_TCPv6;
		else if ((meta->flags & OB_PKT_UDP) && (types & udp))
			*report = v4 ? VIRTIO_NET_HASH_REPORT_UDPv4 : VIRTIO_NET_HASH_REPORT_UDPv6;
	}
	if (*report == VIRTIO_NET_HASH_REPORT_NONE) {
		if (!(types & (v4 ? VIRTIO_NET_RSS_HASH_TYPE_IPv4 : VIRTIO_NET_RSS_HASH_TYPE_IPv6)))
			return 0;
		*report = v4 ? VIRTIO_NET_HASH_REPORT_IPv4 : VIRTIO_NET_HASH_REPORT_IPv6;
		return toeplitz(s, 0, 0, l3 + (v4 ? 12 : 8), n_addr);
	}
	hash = toeplitz(s, 0, 0, l3 + (v4 ? 12 : 8), n_addr);
	return toeplitz(s, n_addr, hash, l4, 4);
}

unsigned vif_steer(
    const struct vif_steering *s, const struct rte_mbuf *pkt, const struct ob_meta *meta)
{
	uint16_t report;
	uint32_t hash;

	if (!s->conf.rss)
		return (unsigned)((uint64_t)meta->hash * s->conf.n_pairs >> 32);
	hash = vif_rss_hash(s, pkt, meta, &report);
	if (report == VIRTIO_NET_HASH_REPORT_NONE)
		return s->conf.unclassified;
	return s->conf.table[hash & (s->conf.table_len - 1u)];
}
