/* SPDX-License-Identifier: BSD-3-Clause */
/* Feature bits: what is offered, what depends on what. Here those of the rings and the transport (virtio 1.2, chapter 6). */
#include "virtio.h"

static const struct virtio_feature ring_features[] = {
    {VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc", 0},
    {VIRTIO_RING_F_EVENT_IDX, "event_idx", 0},
    {VIRTIO_F_VERSION_1, "version_1", 0},
    {VIRTIO_F_ACCESS_PLATFORM, "access_platform", 0},
    {VIRTIO_F_RING_PACKED, "ring_packed", 0},
    {VIRTIO_F_IN_ORDER, "in_order", 0},
    {VIRTIO_F_NOTIFICATION_DATA, "notification_data", 0},
    {VIRTIO_F_RING_RESET, "ring_reset", 0},
};

#define N_RING (sizeof(ring_features) / sizeof(ring_features[0]))

const char *virtio_feature_name(const struct virtio_feature *own, unsigned n, unsigned bit)
{
	for (unsigned i = 0; i < n; i++)
		if (own[i].bit == bit)
			return own[i].name;
	for (unsigned i = 0; i < N_RING; i++)
		if (ring_features[i].bit == bit)
			return ring_features[i].name;
	return NULL;
}

/* First feature of the type in 'set' whose dependency is missing there, or NULL; the ring's have none. */
static const struct virtio_feature *orphan(const struct virtio_type *type, uint64_t set)
{
	for (unsigned i = 0; i < type->n_features; i++) {
		const struct virtio_feature *f = &type->features[i];

		if ((set & VIRTIO_BIT(f->bit)) && f->needs_any != 0 && !(set & f->needs_any))
			return f;
	}
	return NULL;
}

uint64_t virtio_features_offer(const struct ob_virtio *v, uint64_t off)
{
	const struct virtio_feature *f;
	uint64_t set = 0;

	for (unsigned i = 0; i < v->type->n_features; i++)
		set |= VIRTIO_BIT(v->type->features[i].bit);
	for (unsigned i = 0; i < N_RING; i++)
		set |= VIRTIO_BIT(ring_features[i].bit);
	set &= ~(off & ~VIRTIO_BIT(VIRTIO_F_VERSION_1));
	while ((f = orphan(v->type, set | v->own)) != NULL)
		set &= ~VIRTIO_BIT(f->bit);
	return set;
}

bool virtio_features_valid(const struct ob_virtio *v, uint64_t set)
{
	return (set & ~v->offered) == 0 && (set & VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
	       orphan(v->type, set | v->own) == NULL;
}
