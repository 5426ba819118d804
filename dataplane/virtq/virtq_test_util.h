/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest, a ring in it and the device's queue over it, for the tests of this folder. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_driver.h"
#include "ob_virtq.h"

#ifndef RIG_BYTES
#define RIG_BYTES (8u << 20)
#endif
#define MAX_CHAINS 256
#define MAX_SEGS   1024

struct rig {
	struct fake_guest g;
	struct fake_ring r;
	struct ob_gmem *gm;
	struct ob_virtq_state st;
	struct ob_virtq_conf conf;
	struct ob_virtq *vq;
	uint64_t buf; /* iova of 64 KiB to point descriptors at */
	struct ob_virtq_chain ch[MAX_CHAINS];
	struct ob_virtq_seg seg[MAX_SEGS];
};

/* Positions as a device that has run up to the ring's start would have them. */
static inline void rig_state(struct rig *t)
{
	ob_virtq_state_init(&t->st);
	t->st.avail_idx = t->st.used_idx = t->r.conf.start;
}

/* 'sync' is called from the first change of the map after this; NULL: no readers but the caller. */
static inline void rig_up_synced(
    struct rig *t, const struct fake_ring_conf *rc, void (*sync)(void *ctx), void *ctx)
{
	struct ob_gmem_conf gc = {.name = "rig", .sync = sync, .sync_ctx = ctx};

	memset(t, 0, sizeof(*t));
	assert_int_equal(fake_guest_init(&t->g, RIG_BYTES, 0x40000000), 0);
	assert_int_equal(ob_gmem_create(&gc, &t->gm), 0);
#ifdef OB_GMEM_FAKE
	/* The double watches one address range: the device sees the guest's memory where the guest does. */
	assert_int_equal(ob_gmem_add_hva(t->gm, (ob_iova_t){t->g.iova}, t->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, t->g.mem),
	    0);
#else
	assert_int_equal(ob_gmem_add(t->gm, (ob_iova_t){t->g.iova}, t->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, t->g.fd, 0),
	    0);
#endif
	assert_int_equal(fake_ring_init(&t->r, &t->g, rc), 0);
	t->buf = fake_guest_alloc(&t->g, 65536, 4096);
	rig_state(t);
	t->conf = (struct ob_virtq_conf){
	    .gm = t->gm,
	    .state = &t->st,
	    .desc = {t->r.desc_iova},
	    .driver = {t->r.driver_iova},
	    .device = {t->r.device_iova},
	    .size = rc->size,
	    .packed = rc->packed,
	    .event_idx = rc->event_idx,
	    .in_order = rc->in_order,
	    .indirect = rc->indirect || rc->indirect_always,
	};
	assert_int_equal(ob_virtq_create(&t->conf, &t->vq), 0);
}

static inline void rig_up(struct rig *t, const struct fake_ring_conf *rc)
{
	rig_up_synced(t, rc, NULL, NULL);
}

static inline void rig_down(struct rig *t)
{
	ob_virtq_destroy(t->vq);
	fake_ring_fini(&t->r);
	ob_gmem_destroy(t->gm);
	fake_guest_fini(&t->g);
}

static inline int rig_pop(struct rig *t, unsigned max)
{
	int rc = ob_virtq_begin(t->vq);

	return rc != 0 ? rc : ob_virtq_pop(t->vq, t->ch, max, t->seg, MAX_SEGS);
}

/* Adds 'n' buffers of one segment of 'len' bytes. */
static inline void rig_add(struct rig *t, unsigned n, bool writable, uint32_t len)
{
	struct fake_sg sg = {t->buf, len};

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fake_ring_add(&t->r, &sg, !writable, writable, i), 0);
}
