/* SPDX-License-Identifier: BSD-3-Clause */
/* The control queue of virtio-net (virtio 1.2, 5.1.6.5), served on the main thread.
 *
 * A command is read through a cursor that fetches each byte at most once; what a command changes is built in a copy and
 * takes effect only when the whole of it made sense.
 */
#include "net.h"

#include <errno.h>
#include <string.h>

#include <event2/event.h>
#include <rte_byteorder.h>

#define RUN_MAX 32 /* commands in one turn of the main loop */
#define SEG_MAX (2 * VNET_CTRL_SIZE)

/* ---- reading a command ---- */

struct cursor {
	const struct ob_gmem_map *map;
	const struct ob_virtq_seg *seg;
	unsigned n_seg;
	uint32_t off;  /* in *seg */
	uint32_t left; /* bytes, over all segments */
};

/* 'dst' NULL: skip. */
static int take(struct cursor *c, void *dst, uint32_t len)
{
	uint8_t *to = dst;

	if (len > c->left)
		return -EMSGSIZE;
	while (len > 0) {
		uint32_t n = c->seg->len - c->off;
		int rc;

		if (n > len)
			n = len;
		if (to != NULL) {
			rc = ob_gmem_fetch(c->map, to, (ob_iova_t){c->seg->iova.v + c->off}, n);
			if (rc != 0)
				return rc;
			to += n;
		}
		c->off += n;
		c->left -= n;
		len -= n;
		if (c->off == c->seg->len && c->n_seg > 1) {
			c->seg++;
			c->n_seg--;
			c->off = 0;
		}
	}
	return 0;
}

/* The last field of a command: nothing may follow. */
static int take_last(struct cursor *c, void *dst, uint32_t len)
{
	return c->left == len ? take(c, dst, len) : -EMSGSIZE;
}

static int take_le16(struct cursor *c, uint16_t *out)
{
	rte_le16_t v;
	int rc = take(c, &v, sizeof(v));

	*out = rc == 0 ? rte_le_to_cpu_16(v) : 0;
	return rc;
}

/* ---- commands; each returns 0, or negative for VIRTIO_NET_ERR ---- */

static int set_filter(struct ob_vnet *vn, const struct ob_vif_filter *f)
{
	int rc = ob_vif_set_filter(vn->vif, f);

	if (rc == 0)
		vnet_state(vn)->filter = *f;
	return rc;
}

static int set_steering(struct ob_vnet *vn, const struct ob_vif_steering *s)
{
	int rc = ob_vif_set_steering(vn->vif, s);

	if (rc == 0)
		vnet_state(vn)->steering = *s;
	return rc;
}

static int cmd_rx(struct ob_vnet *vn, uint8_t cmd, struct cursor *c)
{
	unsigned need =
	    cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
	struct ob_vif_filter f = vnet_state(vn)->filter;
	uint8_t on;

	if (!virtio_has(&vn->v, need) || take_last(c, &on, sizeof(on)) != 0 || on > 1)
		return -EINVAL;
	switch (cmd) {
	case VIRTIO_NET_CTRL_RX_PROMISC:
		f.promisc = on;
		break;
	case VIRTIO_NET_CTRL_RX_ALLMULTI:
		f.allmulti = on;
		break;
	case VIRTIO_NET_CTRL_RX_ALLUNI:
		f.alluni = on;
		break;
	case VIRTIO_NET_CTRL_RX_NOMULTI:
		f.nomulti = on;
		break;
	case VIRTIO_NET_CTRL_RX_NOUNI:
		f.nouni = on;
		break;
	case VIRTIO_NET_CTRL_RX_NOBCAST:
		f.nobcast = on;
		break;
	default:
		return -EINVAL;
	}
	return set_filter(vn, &f);
}

/* One of the two tables of MAC_TABLE_SET. A longer one than ours is legal: all of the kind pass then (5.1.6.5.2.1). */
static int take_macs(struct cursor *c, uint8_t macs[][6], uint16_t *n, bool *overflow)
{
	rte_le32_t entries;
	uint32_t count;

	if (take(c, &entries, sizeof(entries)) != 0)
		return -EINVAL;
	count = rte_le_to_cpu_32(entries);
	if (count > c->left / 6)
		return -EINVAL;
	*overflow = count > OB_VIF_MAX_MACS;
	*n = *overflow ? 0 : (uint16_t)count;
	return take(c, *overflow ? NULL : macs, count * 6);
}

static int cmd_mac(struct ob_vnet *vn, uint8_t cmd, struct cursor *c)
{
	struct ob_vif_filter f = vnet_state(vn)->filter;
	int rc;

	if (cmd == VIRTIO_NET_CTRL_MAC_TABLE_SET && virtio_has(&vn->v, VIRTIO_NET_F_CTRL_RX)) {
		if (take_macs(c, f.uni, &f.n_uni, &f.uni_overflow) != 0 ||
		    take_macs(c, f.multi, &f.n_multi, &f.multi_overflow) != 0 || c->left != 0)
			return -EINVAL;
		return set_filter(vn, &f);
	}
	if (cmd != VIRTIO_NET_CTRL_MAC_ADDR_SET ||
	    !virtio_has(&vn->v, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
	    take_last(c, f.mac, sizeof(f.mac)) != 0 || (f.mac[0] & 1))
		return -EINVAL;
	rc = set_filter(vn, &f);
	if (rc == 0) {
		memcpy(vnet_state(vn)->mac, f.mac, sizeof(vnet_state(vn)->mac));
		vn->v.st->generation++;
	}
	return rc;
}

static int cmd_vlan(struct ob_vnet *vn, uint8_t cmd, struct cursor *c)
{
	struct ob_vif_filter f = vnet_state(vn)->filter;
	uint16_t vid;

	if (!virtio_has(&vn->v, VIRTIO_NET_F_CTRL_VLAN) || c->left != sizeof(vid) ||
	    take_le16(c, &vid) != 0 || vid > 4095)
		return -EINVAL;
	switch (cmd) {
	case VIRTIO_NET_CTRL_VLAN_ADD:
		f.vlan[vid / 64] |= UINT64_C(1) << (vid % 64);
		break;
	case VIRTIO_NET_CTRL_VLAN_DEL:
		f.vlan[vid / 64] &= ~(UINT64_C(1) << (vid % 64));
		break;
	default:
		return -EINVAL;
	}
	return set_filter(vn, &f);
}

static int cmd_announce(struct ob_vnet *vn, uint8_t cmd, struct cursor *c)
{
	if (cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    !virtio_has(&vn->v, VIRTIO_NET_F_GUEST_ANNOUNCE) || c->left != 0)
		return -EINVAL;
	vnet_state(vn)->net_status &= (uint16_t)~VIRTIO_NET_S_ANNOUNCE;
	vn->v.st->generation++;
	return 0;
}

/* 5.1.6.5.5: automatic steering; it ends RSS. */
static int cmd_pairs(struct ob_vnet *vn, struct cursor *c)
{
	struct ob_vif_steering s = {0};

	if (!virtio_has(&vn->v, VIRTIO_NET_F_MQ) || c->left != sizeof(s.n_pairs) ||
	    take_le16(c, &s.n_pairs) != 0 || s.n_pairs < 1 || s.n_pairs > vn->conf.n_pairs)
		return -EINVAL;
	return set_steering(vn, &s);
}

/* 5.1.6.5.7: struct virtio_net_rss_config. Its queue numbers are those of pairs (bits 1 to 16 of the virtqueue index). */
static int cmd_rss(struct ob_vnet *vn, struct cursor *c)
{
	struct ob_vif_steering s = {.rss = true};
	rte_le16_t table[OB_VIF_RSS_MAX];
	uint16_t mask, max_pairs = vn->conf.n_pairs;
	rte_le32_t types;

	if (!virtio_has(&vn->v, VIRTIO_NET_F_RSS) || take(c, &types, sizeof(types)) != 0 ||
	    take_le16(c, &mask) != 0 || take_le16(c, &s.unclassified) != 0)
		return -EINVAL;
	s.hash_types = rte_le_to_cpu_32(types);
	s.table_len = (uint16_t)(mask + 1);
	if ((s.hash_types & ~OB_VIF_HASH_TYPES) || mask >= OB_VIF_RSS_MAX || (s.table_len & mask) ||
	    s.unclassified >= max_pairs ||
	    take(c, table, s.table_len * (uint32_t)sizeof(table[0])) != 0 ||
	    take_le16(c, &s.n_pairs) != 0 || take(c, &s.key_len, sizeof(s.key_len)) != 0)
		return -EINVAL;
	if (s.n_pairs < 1 || s.n_pairs > max_pairs || s.key_len > sizeof(s.key) ||
	    take_last(c, s.key, s.key_len) != 0)
		return -EINVAL;
	/* max_tx_vq speaks of transmit queues only; the table may name receive queues of higher pairs. */
	if (s.unclassified >= s.n_pairs)
		s.n_pairs = (uint16_t)(s.unclassified + 1);
	for (unsigned i = 0; i < s.table_len; i++) {
		s.table[i] = rte_le_to_cpu_16(table[i]);
		if (s.table[i] >= max_pairs)
			return -EINVAL;
		if (s.table[i] >= s.n_pairs)
			s.n_pairs = (uint16_t)(s.table[i] + 1);
	}
	return set_steering(vn, &s);
}

static int dispatch(struct ob_vnet *vn, struct cursor *c)
{
	struct virtio_net_ctrl_hdr h;

	if (take(c, &h, sizeof(h)) != 0)
		return -EINVAL;
	switch (h.class) {
	case VIRTIO_NET_CTRL_RX:
		return cmd_rx(vn, h.cmd, c);
	case VIRTIO_NET_CTRL_MAC:
		return cmd_mac(vn, h.cmd, c);
	case VIRTIO_NET_CTRL_VLAN:
		return cmd_vlan(vn, h.cmd, c);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return cmd_announce(vn, h.cmd, c);
	case VIRTIO_NET_CTRL_MQ:
		if (h.cmd == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
			return cmd_pairs(vn, c);
		return h.cmd == VIRTIO_NET_CTRL_MQ_RSS_CONFIG ? cmd_rss(vn, c) : -EINVAL;
	default:
		return -EINVAL;
	}
}

/* ---- the queue ---- */

/* Returns the bytes written into the chain: the ack, or none where the driver left no room. */
static uint32_t command(
    struct ob_vnet *vn, const struct ob_virtq_chain *ch, const struct ob_virtq_seg *segs)
{
	const struct ob_gmem_map *map = ob_virtq_map(vn->ctrl);
	const struct ob_virtq_seg *seg = segs + ch->seg_first;
	struct cursor c = {map, seg, ch->n_readable, 0, ch->readable_bytes};
	virtio_net_ctrl_ack ack = VIRTIO_NET_OK;

	vn->n_ctrl++;
	/* Without room for the answer nothing is done: the driver could not know that it was. */
	if (ch->writable_bytes == 0) {
		vn->n_ctrl_err++;
		return 0;
	}
	if (dispatch(vn, &c) != 0) {
		vn->n_ctrl_err++;
		ack = VIRTIO_NET_ERR;
	}
	return ob_gmem_store(map, seg[ch->n_readable].iova, &ack, sizeof(ack)) == 0 ? 1 : 0;
}

void vnet_ctrl_run(struct ob_vnet *vn)
{
	static const struct timeval at_once = {0};
	struct ob_virtq_seg segs[SEG_MAX];
	struct ob_virtq_chain chain;
	uint32_t written;
	unsigned n_done = 0;
	bool irq, more;
	int n;

	if (vn->ctrl == NULL)
		return;
	n = ob_virtq_begin(vn->ctrl);
	if (n == -EAGAIN)
		return; /* its memory is gone for now; the driver's next kick looks again */
	do {
		while (n >= 0 && n_done < RUN_MAX) {
			n = ob_virtq_pop(vn->ctrl, &chain, 1, segs, SEG_MAX);
			if (n <= 0)
				break;
			written = command(vn, &chain, segs);
			ob_virtq_push(vn->ctrl, &chain, &written, 1);
			n_done++;
		}
		if (n < 0) {
			virtio_needs_reset(&vn->v, ob_virtq_broken_why(vn->ctrl));
			return;
		}
		irq = ob_virtq_flush(vn->ctrl);
		if (irq)
			vn->v.tr->queue_irq(vn->v.tr_ctx, vn->ctrl_idx);
		more = ob_virtq_arm(vn->ctrl);
	} while (more && n_done < RUN_MAX);
	ob_rcu_reclaim(); /* the filters that this turn replaced */
	/* Not event_active: that would run again before the loop looks at any other function. */
	if (more)
		event_add(vn->ctrl_again, &at_once);
}

int vnet_ctrl_start(struct ob_vnet *vn, const struct ob_virtq_conf *conf, bool resume)
{
	struct ob_virtq_conf vc = *conf;
	int rc;

	vc.gm = vn->v.gm;
	vc.state = &vnet_state(vn)->ctrl;
	if (!resume)
		ob_virtq_state_init(vc.state);
	rc = ob_virtq_create(&vc, &vn->ctrl);
	if (rc != 0) {
		vn->ctrl = NULL;
		return rc;
	}
	/* Not at once: the caller is in the middle of starting queues. */
	event_active(vn->ctrl_again, EV_TIMEOUT, 0);
	return 0;
}

void vnet_ctrl_stop(struct ob_vnet *vn)
{
	event_del(vn->ctrl_again);
	ob_virtq_destroy(vn->ctrl);
	vn->ctrl = NULL;
}

/* What holds when the driver has said nothing yet. Without receive modes everything passes; VLANs only as it adds them. */
void vnet_ctrl_defaults(struct ob_vnet *vn)
{
	struct ob_vif_filter f = {
	    .promisc = true,
	    .vlan_filter = virtio_has(&vn->v, VIRTIO_NET_F_CTRL_VLAN),
	};
	struct ob_vif_steering s = {.n_pairs = 1};

	memcpy(f.mac, vnet_state(vn)->mac, sizeof(f.mac));
	if ((set_filter(vn, &f) != 0 || set_steering(vn, &s) != 0) && virtio_may_log(&vn->v))
		virtio_log(ERR, &vn->v, "no memory for its receive filter");
}
