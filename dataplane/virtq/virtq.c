/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtq_priv.h"

#include <errno.h>
#include <stdlib.h>

void ob_virtq_state_init(struct ob_virtq_state *st)
{
	*st = (struct ob_virtq_state){.avail_wrap = 1, .used_wrap = 1};
}

static bool area_ok(ob_iova_t iova, uint32_t len, uint32_t align)
{
	return (iova.v & (align - 1)) == 0 && iova.v + (len - 1) >= iova.v;
}

/* The positions come from the arena, where an older version of this program may have left anything. */
static bool state_ok(const struct ob_virtq_conf *c)
{
	const struct ob_virtq_state *st = c->state;

	if (!c->packed)
		return (uint16_t)(st->avail_idx - st->used_idx) <= c->size;
	return st->avail_idx < c->size && st->used_idx < c->size && st->avail_wrap <= 1 &&
	       st->used_wrap <= 1 &&
	       (st->avail_wrap == st->used_wrap ? st->avail_idx >= st->used_idx
						: st->avail_idx <= st->used_idx);
}

int ob_virtq_create(const struct ob_virtq_conf *conf, struct ob_virtq **out)
{
	uint32_t size = conf->size, desc_len = 16 * size;
	uint32_t ev = conf->event_idx ? 2 : 0;
	uint32_t driver_len = conf->packed ? 4 : 4 + 2 * size + ev;
	uint32_t device_len = conf->packed ? 4 : 4 + 8 * size + ev;
	unsigned desc_prot = OB_GMEM_READ | (conf->packed ? OB_GMEM_WRITE : 0);
	struct ob_virtq *vq;
	int rc;

	if (size == 0 || size > OB_VIRTQ_MAX_SIZE || (!conf->packed && (size & (size - 1)) != 0))
		return -EINVAL;
	if (!area_ok(conf->desc, desc_len, 16) ||
	    !area_ok(conf->driver, driver_len, conf->packed ? 4 : 2) ||
	    !area_ok(conf->device, device_len, 4) || !state_ok(conf))
		return -EINVAL;
	vq = calloc(1, sizeof(*vq));
	if (vq == NULL)
		return -ENOMEM;
	vq->state = conf->state;
	vq->gm = conf->gm;
	vq->size = conf->size;
	vq->packed = conf->packed;
	vq->event_idx = conf->event_idx;
	vq->in_order = conf->in_order;
	vq->indirect = conf->indirect;
	vq->seen_avail = conf->state->avail_idx;
	vq->push_idx = conf->state->used_idx;
	vq->push_wrap = conf->state->used_wrap;
	rc = -ENOMEM;
	if (vq->packed) {
		vq->pending = calloc(size, sizeof(*vq->pending));
		if (vq->pending == NULL)
			goto err_free;
	}
	rc = vq->win_desc = ob_gmem_window_add(conf->gm, conf->desc, desc_len, desc_prot);
	if (rc < 0)
		goto err_free;
	rc = vq->win_driver = ob_gmem_window_add(conf->gm, conf->driver, driver_len, OB_GMEM_READ);
	if (rc < 0)
		goto err_desc;
	rc = vq->win_device = ob_gmem_window_add(conf->gm, conf->device, device_len, OB_GMEM_WRITE);
	if (rc < 0)
		goto err_driver;
	*out = vq;
	return 0;
err_driver:
	ob_gmem_window_del(conf->gm, vq->win_driver);
err_desc:
	ob_gmem_window_del(conf->gm, vq->win_desc);
err_free:
	free(vq->pending);
	free(vq);
	return rc;
}

void ob_virtq_destroy(struct ob_virtq *vq)
{
	if (vq == NULL)
		return;
	ob_gmem_window_del(vq->gm, vq->win_device);
	ob_gmem_window_del(vq->gm, vq->win_driver);
	ob_gmem_window_del(vq->gm, vq->win_desc);
	free(vq->pending);
	free(vq);
}

int virtq_break(struct ob_virtq *vq, enum ob_virtq_fault why)
{
	vq->state->broken = (uint8_t)why;
	return -EPROTO;
}

int ob_virtq_begin(struct ob_virtq *vq)
{
	const struct ob_gmem_map *map = ob_gmem_map_get(vq->gm);

	if (vq->state->broken != OB_VIRTQ_SOUND)
		return -EPROTO;
	if (ob_gmem_is_poisoned(vq->gm))
		return virtq_break(vq, OB_VIRTQ_POISONED);
	if (map != vq->map || map->gen != vq->map_gen) {
		vq->map = map;
		vq->map_gen = map->gen;
		vq->desc = ob_gmem_window(map, vq->win_desc);
		vq->driver = ob_gmem_window(map, vq->win_driver);
		vq->device = ob_gmem_window(map, vq->win_device);
	}
	if (vq->desc == NULL || vq->driver == NULL || vq->device == NULL)
		return -EAGAIN;
	return 0;
}

const struct ob_gmem_map *ob_virtq_map(const struct ob_virtq *vq)
{
	return vq->map;
}

int virtq_indirect(struct ob_virtq *vq, struct build *b, uint64_t addr, uint32_t len, bool linked)
{
	uint32_t n = len / sizeof(struct vring_desc), i = 0;
	struct vring_desc one;

	static_assert(sizeof(struct vring_desc) == sizeof(struct vring_packed_desc), "one copy");
	if (!vq->indirect || n == 0 || len % sizeof(struct vring_desc) != 0)
		return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
	if (n <= TABLE_COPY && ob_gmem_fetch(vq->map, vq->table, (ob_iova_t){addr}, len) != 0)
		return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
	/* Each turn takes a segment or ends, so room bounds a circle. */
	for (;;) {
		const struct vring_desc *d = n > TABLE_COPY ? &one : &vq->table[i];
		uint16_t flags;
		int rc;

		if (n > TABLE_COPY) {
			if (ob_gmem_fetch(vq->map, &one, (ob_iova_t){addr + i * sizeof(one)},
				sizeof(one)) != 0)
				return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
		}
		if (linked) {
			flags = le16toh(d->flags);
			/* 2.7.5.3.1: only one table per descriptor. */
			if (flags & VRING_DESC_F_INDIRECT)
				return virtq_break(vq, OB_VIRTQ_BAD_INDIRECT);
		} else {
			/* 2.8.7: the write flag is the only one that counts. */
			flags = le16toh(((const struct vring_packed_desc *)(const void *)d)->flags);
		}
		rc =
		    build_add(vq, b, le64toh(d->addr), le32toh(d->len), flags & VRING_DESC_F_WRITE);
		if (rc != 0)
			return rc;
		if (!linked) {
			if (++i == n)
				return 0;
			continue;
		}
		if ((flags & VRING_DESC_F_NEXT) == 0)
			return 0;
		i = le16toh(d->next);
		if (i >= n)
			return virtq_break(vq, OB_VIRTQ_BAD_NEXT);
	}
}

int ob_virtq_pop(struct ob_virtq *vq, struct ob_virtq_chain *chains, unsigned max_chains,
    struct ob_virtq_seg *segs, unsigned max_segs)
{
	return vq->packed ? packed_pop(vq, chains, max_chains, segs, max_segs)
			  : split_pop(vq, chains, max_chains, segs, max_segs);
}

void ob_virtq_unpop(struct ob_virtq *vq, const struct ob_virtq_chain *chains, unsigned n)
{
	struct ob_virtq_state *st = vq->state;

	assert(n <= st->inflight);
	if (vq->packed) {
		packed_unpop(vq, chains, n);
	} else {
		union pos p = pos_load(st);

		p.avail_idx = (uint16_t)(p.avail_idx - n);
		pos_store(st, p);
	}
	st->inflight = (uint16_t)(st->inflight - n);
}

void ob_virtq_push(
    struct ob_virtq *vq, const struct ob_virtq_chain *chains, const uint32_t *written, unsigned n)
{
	assert(n <= vq->state->inflight);
	if (n == 0)
		return;
	if (vq->packed)
		packed_push(vq, chains, written, n);
	else
		split_push(vq, chains, written, n);
	vq->state->inflight = (uint16_t)(vq->state->inflight - n);
}

bool ob_virtq_flush(struct ob_virtq *vq)
{
	return vq->packed ? packed_flush(vq) : split_flush(vq);
}

unsigned ob_virtq_available(struct ob_virtq *vq)
{
	return vq->packed ? packed_available(vq) : split_available(vq);
}

bool ob_virtq_arm(struct ob_virtq *vq)
{
	if (vq->packed)
		packed_arm(vq);
	else
		split_arm(vq);
	/* Pairs with the barrier of the guest's driver between making a buffer available and reading what was just
	 * stored: one of the two sees the other's store. */
	atomic_thread_fence(memory_order_seq_cst);
	return ob_virtq_available(vq) > 0;
}

void ob_virtq_disarm(struct ob_virtq *vq)
{
	if (vq->packed)
		packed_disarm(vq);
	else
		split_disarm(vq);
}

int ob_virtq_recover(struct ob_virtq *vq)
{
	struct ob_virtq_state *st = vq->state;
	union pos p;
	int rc = ob_virtq_begin(vq);

	if (rc == 0)
		rc = vq->packed ? packed_recover(vq) : split_recover(vq);
	if (rc != 0)
		return rc;
	p = pos_load(st);
	p.avail_idx = p.used_idx;
	p.avail_wrap = p.used_wrap;
	pos_store(st, p);
	st->flushing = 0;
	st->inflight = 0;
	st->signalled_valid = 0;
	vq->seen_avail = p.avail_idx;
	vq->push_idx = p.used_idx;
	vq->push_wrap = p.used_wrap;
	vq->n_pending = 0;
	return 0;
}

void ob_virtq_break(struct ob_virtq *vq, enum ob_virtq_fault why)
{
	(void)virtq_break(vq, why);
}

bool ob_virtq_broken(const struct ob_virtq *vq)
{
	return vq->state->broken != OB_VIRTQ_SOUND;
}

const char *ob_virtq_broken_why(const struct ob_virtq *vq)
{
	static const char *const why[] = {
	    [OB_VIRTQ_SOUND] = "sound",
	    [OB_VIRTQ_BAD_JUMP] = "avail index jumped past the queue size",
	    [OB_VIRTQ_BAD_HEAD] = "avail entry out of range",
	    [OB_VIRTQ_BAD_NEXT] = "chain leaves the table or loops",
	    [OB_VIRTQ_BAD_INDIRECT] = "bad indirect table",
	    [OB_VIRTQ_BAD_ORDER] = "readable segment behind a writable one",
	    [OB_VIRTQ_BAD_LENGTH] = "bad segment length",
	    [OB_VIRTQ_TOO_LONG] = "chain too long",
	    [OB_VIRTQ_POISONED] = "guest memory went away",
	    [OB_VIRTQ_BLOCKED] = "host blocked an interrupt",
	    [OB_VIRTQ_BAD_REQUEST] = "request without header or status",
	};
	uint8_t code = vq->state->broken;

	return code < sizeof(why) / sizeof(why[0]) ? why[code] : "unknown";
}

uint16_t ob_virtq_size(const struct ob_virtq *vq)
{
	return vq->size;
}
