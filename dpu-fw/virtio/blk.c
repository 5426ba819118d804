/* SPDX-License-Identifier: BSD-3-Clause */
/* The block type (virtio 1.2, 5.2): its features, queues and configuration space over a vblk. */
#include "virtio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <rte_byteorder.h>

#define SECTOR		 512u
#define BLK_STATE_LAYOUT 1

/* Region "vblkfn.<name>". */
struct blk_state {
	struct virtio_state v;
	uint64_t bytes;	   /* capacity as the driver was told last */
	uint8_t writeback; /* what the driver wrote, or the reset left */
	uint8_t reserved[7];
};
static_assert(sizeof(struct blk_state) == 2616, "arena layout");

struct ob_virtio_blk {
	struct ob_virtio v;
	struct ob_blk *blk;
	struct ob_vblk *vblk;
	struct ob_blk_info
	    info; /* as it was at creation, but for what blk_changed keeps up to date */
	uint16_t queue_size;
	bool read_only;
};

static struct ob_virtio_blk *to_blk(struct ob_virtio *v)
{
	return (struct ob_virtio_blk *)v; /* its first member */
}

static const struct ob_virtio_blk *to_blk_const(const struct ob_virtio *v)
{
	return (const struct ob_virtio_blk *)v;
}

static struct blk_state *state_of(const struct ob_virtio_blk *vb)
{
	/* The first member of what the region holds. */
	return (struct blk_state *)vb->v.st;
}

/* ---- features (5.2.3) ---- */

static const struct virtio_feature features[] = {
    {VIRTIO_BLK_F_SEG_MAX, "seg_max", 0},
    {VIRTIO_BLK_F_SIZE_MAX, "size_max", 0},
    {VIRTIO_BLK_F_RO, "ro", 0},
    {VIRTIO_BLK_F_BLK_SIZE, "blk_size", 0},
    {VIRTIO_BLK_F_FLUSH, "flush", 0},
    {VIRTIO_BLK_F_TOPOLOGY, "topology", 0},
    {VIRTIO_BLK_F_CONFIG_WCE, "config_wce", 0},
    {VIRTIO_BLK_F_MQ, "mq", 0},
    {VIRTIO_BLK_F_DISCARD, "discard", 0},
    {VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes", 0},
};

const char *ob_virtio_blk_feature_name(unsigned bit)
{
	return virtio_feature_name(features, RTE_DIM(features), bit);
}

static uint64_t features_off(const struct ob_virtio_blk *vb, const struct ob_virtio_blk_conf *conf)
{
	uint64_t off = conf->features_off | vb->v.tr->features_off;

	/* Requests complete in any order. */
	off |= VIRTIO_BIT(VIRTIO_F_IN_ORDER);
	if (!vb->read_only)
		off |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
	else
		off |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (vb->info.discard_bytes == 0)
		off |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD);
	if (conf->n_queues < 2)
		off |= VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	if (!conf->packed)
		off |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	/* 5.2.5.2: no CONFIG_WCE without FLUSH. */
	if (off & VIRTIO_BIT(VIRTIO_BLK_F_FLUSH))
		off |= VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE);
	return off;
}

/* 5.2.5.2: without FLUSH the mode starts as writethrough. */
static void blk_negotiated(struct ob_virtio *v)
{
	struct ob_virtio_blk *vb = to_blk(v);

	ob_vblk_set_features(vb->vblk, v->st->negotiated);
	if (!virtio_has(v, VIRTIO_BLK_F_FLUSH))
		state_of(vb)->writeback = 0;
	ob_vblk_set_writeback(vb->vblk, state_of(vb)->writeback);
}

/* ---- queues (5.2.2) ---- */

static uint16_t blk_queue_max(const struct ob_virtio *v, unsigned q)
{
	const struct ob_virtio_blk *vb = to_blk_const(v);

	if (q > 0 && !(virtio_features(v) & VIRTIO_BIT(VIRTIO_BLK_F_MQ)))
		return 0;
	return vb->queue_size;
}

static int blk_queue_start(struct ob_virtio *v, unsigned q, const struct ob_virtq_conf *conf,
    bool resume, int32_t start_idx)
{
	return ob_vblk_start_queue(
	    to_blk(v)->vblk, q, conf, v->tr->queue_irq_fd(v->tr_ctx, q), resume, start_idx);
}

static int32_t blk_queue_stop(struct ob_virtio *v, unsigned q, bool last)
{
	return ob_vblk_stop_queue(
	    to_blk(v)->vblk, q, last ? OB_VBLK_STOP_DROP : OB_VBLK_STOP_FINISH);
}

static void blk_queue_irq(struct ob_virtio *v, unsigned q)
{
	ob_vblk_set_irq_fd(to_blk(v)->vblk, q, v->tr->queue_irq_fd(v->tr_ctx, q));
}

static void blk_queue_kick(struct ob_virtio *v, unsigned q)
{
	ob_vblk_kick(to_blk(v)->vblk, q);
}

static void blk_dma_changed(struct ob_virtio *v)
{
	for (unsigned q = 0; q < v->n_queues; q++)
		if (v->running[q])
			ob_vblk_kick(to_blk(v)->vblk, q);
}

static void on_broken(void *ctx, unsigned q)
{
	struct ob_virtio_blk *vb = ctx;

	if (q < vb->v.n_queues)
		vb->v.broken[q] = true;
	virtio_needs_reset(&vb->v, ob_vblk_broken_why(vb->vblk, q));
}

static void blk_reset(struct ob_virtio *v)
{
	struct ob_virtio_blk *vb = to_blk(v);

	state_of(vb)->writeback = 1;
	ob_vblk_set_features(vb->vblk, 0);
	ob_vblk_set_writeback(vb->vblk, true);
}

/* Guest memory goes away: a vblk that is not there yet, or not any more, has nothing that points into it. */
static void blk_sync(void *ctx)
{
	struct ob_virtio_blk *vb = ctx;

	if (vb->vblk != NULL)
		ob_vblk_quiesce(vb->vblk);
	else
		ob_rcu_sync(NULL);
}

/* ---- device configuration space (5.2.4) ---- */

static uint8_t log2_of(uint32_t v)
{
	return (uint8_t)(31 - __builtin_clz(v | 1));
}

static void blk_config_read(const struct ob_virtio *v, void *config)
{
	const struct ob_virtio_blk *vb = to_blk_const(v);
	const struct ob_blk_info *i = &vb->info;
	uint32_t block_sectors = i->block_bytes / SECTOR, discard = i->discard_bytes / SECTOR;
	uint32_t seg_max = RTE_MIN(vb->queue_size - 2u, (unsigned)OB_VBLK_MAX_SEG);
	uint32_t phys = RTE_MAX(i->phys_block_bytes, i->block_bytes) / i->block_bytes;
	struct virtio_blk_config c = {
	    .capacity = rte_cpu_to_le_64(state_of(vb)->bytes / SECTOR),
	    /* Nothing limits a segment but what fits an I/O of the device in one piece. */
	    .size_max = rte_cpu_to_le_32(OB_BLK_MAX_BYTES),
	    .seg_max = rte_cpu_to_le_32(seg_max),
	    .blk_size = rte_cpu_to_le_32(i->block_bytes),
	    .physical_block_exp = log2_of(phys),
	    .min_io_size = rte_cpu_to_le_16((uint16_t)phys),
	    .opt_io_size = rte_cpu_to_le_32(i->opt_io_bytes / i->block_bytes),
	    .wce = state_of(vb)->writeback,
	    .num_queues = rte_cpu_to_le_16(v->n_queues),
	    .max_write_zeroes_sectors =
		rte_cpu_to_le_32(OB_VBLK_MAX_RANGE_SECTORS / block_sectors * block_sectors),
	    .max_write_zeroes_seg = rte_cpu_to_le_32(OB_VBLK_MAX_RANGES),
	    .write_zeroes_may_unmap = i->discard_bytes != 0,
	};

	if (i->discard_bytes != 0) {
		c.max_discard_sectors = c.max_write_zeroes_sectors;
		c.max_discard_seg = c.max_write_zeroes_seg;
		c.discard_sector_alignment = rte_cpu_to_le_32(RTE_MAX(discard, block_sectors));
	}
	memcpy(config, &c, sizeof(c));
}

/* Only 'writeback' can be written, and only if CONFIG_WCE was negotiated. */
static void blk_config_write(struct ob_virtio *v, uint64_t off, const uint8_t *buf, size_t len)
{
	const size_t at = offsetof(struct virtio_blk_config, wce);
	struct ob_virtio_blk *vb = to_blk(v);
	uint8_t wce;

	if (off > at || at - off >= len || !virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE))
		return;
	wce = buf[at - off] & 1;
	if (wce == state_of(vb)->writeback)
		return;
	state_of(vb)->writeback = wce;
	ob_vblk_set_writeback(vb->vblk, wce);
}

/* The device below grew or shrank. */
static void blk_changed(void *ctx)
{
	struct ob_virtio_blk *vb = ctx;

	ob_blk_info(vb->blk, &vb->info);
	if (vb->info.bytes == state_of(vb)->bytes)
		return;
	state_of(vb)->bytes = vb->info.bytes;
	virtio_log(INFO, &vb->v, "now has %ju bytes", (uintmax_t)vb->info.bytes);
	virtio_config_changed(&vb->v);
}

/* ---- views ---- */

const char *ob_virtio_blk_name(const struct ob_virtio_blk *vb)
{
	return vb->v.name;
}

struct ob_vblk *ob_virtio_blk_vblk(const struct ob_virtio_blk *vb)
{
	return vb->vblk;
}

struct ob_virtio *ob_virtio_blk_virtio(struct ob_virtio_blk *vb)
{
	return &vb->v;
}

void ob_virtio_blk_get_status(const struct ob_virtio_blk *vb, struct ob_virtio_blk_status *out)
{
	const struct ob_virtio *v = &vb->v;
	const struct blk_state *st = state_of(vb);
	struct ob_virtio_peer peer = {0};

	v->tr->get_peer(v->tr_ctx, &peer);
	*out = (struct ob_virtio_blk_status){
	    .transport = v->tr->name,
	    .connected = peer.connected,
	    .peer_pid = peer.pid,
	    .driver_status = st->v.status,
	    .offered = v->offered,
	    .negotiated = st->v.negotiated,
	    .bytes = st->bytes,
	    .block_bytes = vb->info.block_bytes,
	    .read_only = vb->read_only,
	    .writeback = st->writeback,
	    .n_resets = v->n_resets,
	    .n_needs_reset = v->n_needs_reset,
	    .n_kicks = v->n_kicks,
	    .n_bad_kicks = v->n_bad_kicks,
	    .n_queues = v->n_queues,
	};
	memcpy(out->name, v->name, sizeof(out->name));
	memcpy(out->path, v->path, sizeof(out->path));
	ob_gmem_usage(v->gm, &out->n_ranges, &out->n_bytes);
	ob_gmem_poisoned(v->gm, &out->n_faults);
	out->n_violations = ob_gmem_violations(v->gm);
	for (unsigned q = 0; q < v->n_queues; q++) {
		const struct ob_virtio_queue *qs = &st->v.queue[q];

		out->queue[q] = (struct ob_virtio_blk_queue_status){
		    .enabled = qs->enabled,
		    .running = v->running[q],
		    .broken = v->broken[q],
		    .size = qs->size ? qs->size : virtio_queue_max(v, q),
		    .vector = qs->vector,
		    .worker = (int16_t)ob_vblk_queue_worker(vb->vblk, q),
		};
	}
}

/* ---- life ---- */

static void blk_fini(struct ob_virtio *v)
{
	struct ob_virtio_blk *vb = to_blk(v);

	ob_blk_off_change(vb->blk, blk_changed, vb);
	ob_vblk_destroy(vb->vblk);
	vb->vblk = NULL;
	ob_blk_put(vb->blk);
}

static const struct virtio_type blk_type = {
    .region = "vblkfn",
    .state_layout = BLK_STATE_LAYOUT,
    .state_bytes = sizeof(struct blk_state),
    .device_id = VIRTIO_ID_BLOCK,
    .subsys_id = 0x1100,
    .pci_class = 0x018000, /* mass storage, other */
    .config_bytes = sizeof(struct virtio_blk_config),
    .vpd_part = "OB-VBLK",
    .vpd_ident = "Outboard virtio-blk function",
    .features = features,
    .n_features = RTE_DIM(features),
    .queue_max = blk_queue_max,
    .queue_start = blk_queue_start,
    .queue_stop = blk_queue_stop,
    .queue_irq = blk_queue_irq,
    .queue_kick = blk_queue_kick,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .negotiated = blk_negotiated,
    .reset = blk_reset,
    .dma_changed = blk_dma_changed,
    .fini = blk_fini,
};

static bool conf_valid(const struct ob_virtio_blk_conf *c)
{
	const char *id = c->id != NULL ? c->id : "";

	for (; *id != '\0'; id++)
		if (*id < ' ' || *id > '~')
			return false;
	return c->blk != NULL && c->n_queues >= 1 && c->n_queues <= OB_VBLK_MAX_QUEUES &&
	       virtio_queue_size_valid(c->queue_size);
}

static int vblk_create(struct ob_virtio_blk *vb, const struct ob_virtio_blk_conf *conf)
{
	const char *id = conf->id != NULL && conf->id[0] != '\0' ? conf->id : vb->v.name;
	struct ob_vblk_conf c = {
	    .gm = vb->v.gm,
	    .arena = conf->arena,
	    .blk = conf->blk,
	    .n_queues = conf->n_queues,
	    /* It bounds what the arena has room for. */
	    .queue_size = vb->v.tr->peer_has_size ? OB_VIRTQ_MAX_SIZE : vb->queue_size,
	    .read_only = vb->read_only,
	};
	int rc;

	memcpy(c.name, vb->v.name, sizeof(c.name));
	memcpy(c.id, id, strnlen(id, sizeof(c.id)));
	rc = ob_vblk_create(&c, &vb->vblk);
	if (rc != 0)
		return rc;
	ob_vblk_set_on_broken(vb->vblk, on_broken, vb);
	rc = ob_blk_on_change(conf->blk, blk_changed, vb);
	if (rc != 0) {
		ob_vblk_destroy(vb->vblk);
		vb->vblk = NULL;
		return rc;
	}
	vb->blk = ob_blk_get(conf->blk);
	return 0;
}

int ob_virtio_blk_create_on(const struct ob_virtio_blk_conf *conf,
    const struct ob_virtio_transport *tr, void *ctx, struct ob_virtio_blk **out)
{
	struct virtio_conf vc = {
	    .name = conf->name,
	    .path = conf->path,
	    .base = conf->base,
	    .arena = conf->arena,
	    .sync = blk_sync,
	    .n_queues = conf->n_queues,
	};
	struct ob_virtio_blk *vb;
	int rc;

	if (!virtio_conf_valid(&vc) || !conf_valid(conf))
		return -EINVAL;
	vb = calloc(1, sizeof(*vb));
	if (vb == NULL)
		return -ENOMEM;
	vb->queue_size = conf->queue_size != 0 ? conf->queue_size : VIRTIO_QUEUE_DEFAULT;
	ob_blk_info(conf->blk, &vb->info);
	vb->read_only = conf->read_only || vb->info.read_only;
	rc = virtio_init(&vb->v, &blk_type, &vc, tr, ctx);
	if (rc != 0)
		goto err_free;
	vb->v.offered = virtio_features_offer(&vb->v, features_off(vb, conf));
	state_of(vb)->bytes = vb->info.bytes;
	rc = vblk_create(vb, conf);
	if (rc != 0)
		goto err_fini;
	virtio_reset(&vb->v);
	vb->v.n_resets = 0;
	*out = vb;
	return 0;

err_fini:
	virtio_fini(&vb->v);
err_free:
	free(vb);
	return rc;
}

int ob_virtio_blk_create(const struct ob_virtio_blk_conf *conf, struct ob_virtio_blk **out)
{
	struct virtio_pci *p = virtio_pci_new();
	struct ob_virtio_blk *vb;
	int rc;

	if (p == NULL)
		return -ENOMEM;
	rc = ob_virtio_blk_create_on(conf, &virtio_pci_transport, p, &vb);
	if (rc != 0) {
		free(p);
		return rc;
	}
	rc = virtio_pci_start(p, &vb->v, conf->serial);
	if (rc != 0) {
		ob_virtio_blk_destroy(vb); /* frees 'p' too */
		return rc;
	}
	*out = vb;
	return 0;
}

void ob_virtio_blk_destroy(struct ob_virtio_blk *vb)
{
	ob_virtio_destroy(vb != NULL ? &vb->v : NULL);
}
