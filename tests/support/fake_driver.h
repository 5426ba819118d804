/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's side of virtqueues for tests and benches: a memfd that plays guest memory, and rings in it as a driver
 * would keep them (split and packed; direct and indirect; event index; in-order).
 *
 *   struct fake_guest g;
 *   struct fake_ring r;
 *   fake_guest_init(&g, 4 << 20, 0x100000);
 *   ob_gmem_add(gm, (ob_iova_t){g.iova}, g.len, OB_GMEM_READ | OB_GMEM_WRITE, g.fd, 0);
 *   fake_ring_init(&r, &g, &(struct fake_ring_conf){.size = 256, .packed = true});
 *   conf.desc.v = r.desc_iova; conf.driver.v = r.driver_iova; conf.device.v = r.device_iova;
 *
 *   struct fake_sg sg = {fake_guest_alloc(&g, 2048, 64), 2048};
 *   fake_ring_add(&r, &sg, 0, 1, 42);       one device-writable segment; 42 comes back from reap
 *   if (fake_ring_kick(&r)) ...             the device asked for a notification
 *   while (fake_ring_reap(&r, &cookie, &len) == 1) ...
 *
 * Nothing here asserts what the device does: fake_ring_reap returns -EPROTO where a driver would say "id %u is not a
 * head". One thread, or driver and device on one thread each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_guest {
	int fd;
	uint8_t *mem; /* this process's view of all of it */
	size_t len;
	uint64_t iova; /* address of mem[0] for the device */
	size_t brk;    /* allocated so far */
};

/* 'len': bytes, a multiple of 4096. Returns 0, -errno. */
int fake_guest_init(struct fake_guest *g, size_t len, uint64_t iova);
void fake_guest_fini(struct fake_guest *g);
/* Zeroed memory that is never freed. 'align': power of two. Returns its iova, 0 when there is no more. */
uint64_t fake_guest_alloc(struct fake_guest *g, size_t len, size_t align);
/* The byte at 'iova'. */
void *fake_guest_ptr(const struct fake_guest *g, uint64_t iova);

struct fake_sg {
	uint64_t iova;
	uint32_t len;
};

#define FAKE_RING_TABLE 64 /* descriptors in an indirect table */

struct fake_ring_conf {
	uint16_t size;
	bool packed, event_idx, in_order;
	bool indirect; /* chains of more than one segment go into a table */
	bool indirect_always;
	uint16_t
	    start; /* first index, for tests of the wrap: split: any; packed: a slot, wrap counters 1 */
};

/* What the driver remembers of a buffer. Opaque. */
struct fake_buf {
	uint64_t cookie;
	uint32_t in_bytes;
	uint16_t n_slots;
	uint16_t next; /* free list, or next older-to-newer in order of adding */
	uint64_t table;
	bool used;
};

struct fake_ring {
	struct fake_ring_conf conf;
	struct fake_guest *g;
	uint64_t desc_iova, driver_iova, device_iova;
	uint8_t *desc, *driver, *device;
	struct fake_buf *buf; /* by id */
	uint16_t *next_desc;  /* split: our copy of the chains */
	uint16_t n_free;      /* slots */
	uint16_t free_head;   /* split: descriptor; packed: id */
	uint16_t avail_idx, used_idx, kicked_idx;
	uint8_t avail_wrap, used_wrap;
	uint16_t n_since_kick;
	/* in-order: ids in the order of adding, and how many of the oldest the device has given back. */
	uint16_t *order;
	uint32_t order_head, order_tail, order_done;
};

/* Returns 0, -ENOMEM (guest or host). */
int fake_ring_init(struct fake_ring *r, struct fake_guest *g, const struct fake_ring_conf *conf);
void fake_ring_fini(struct fake_ring *r);

/* Adds one buffer: 'n_out' device-readable segments, then 'n_in' device-writable ones; available at once.
 * Returns 0, -ENOSPC no slots. */
int fake_ring_add(
    struct fake_ring *r, const struct fake_sg *sg, unsigned n_out, unsigned n_in, uint64_t cookie);

/* Does the device want a notification for what was added since the last kick? */
bool fake_ring_kick(struct fake_ring *r);

/* Takes one used buffer. '*len': bytes the device says it wrote; for one that an in-order device skipped, all of its
 * writable bytes. Returns 1, 0 none, -EPROTO the device named a buffer that it does not have. */
int fake_ring_reap(struct fake_ring *r, uint64_t *cookie, uint32_t *len);

/* Asks for an interrupt at the next used buffer, or for none. */
void fake_ring_want_interrupt(struct fake_ring *r, bool want);

/* Buffers outside, free slots. */
unsigned fake_ring_outstanding(const struct fake_ring *r);
