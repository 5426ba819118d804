/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_driver.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NONE	  0xffff
#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)

int fake_guest_init(struct fake_guest *g, size_t len, uint64_t iova)
{
	int rc;

	*g = (struct fake_guest){.len = len, .iova = iova};
	g->fd = memfd_create("fake-guest", MFD_CLOEXEC);
	if (g->fd < 0)
		return -errno;
	if (ftruncate(g->fd, (off_t)len) != 0)
		goto err_close;
	g->mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (g->mem != MAP_FAILED)
		return 0;
err_close:
	rc = -errno;
	close(g->fd);
	return rc;
}

void fake_guest_fini(struct fake_guest *g)
{
	munmap(g->mem, g->len);
	close(g->fd);
}

uint64_t fake_guest_alloc(struct fake_guest *g, size_t len, size_t align)
{
	size_t at = (g->brk + align - 1) & ~(align - 1);

	if (at > g->len || len > g->len - at)
		return 0;
	g->brk = at + len;
	memset(g->mem + at, 0, len);
	return g->iova + at;
}

void *fake_guest_ptr(const struct fake_guest *g, uint64_t iova)
{
	return g->mem + (iova - g->iova);
}

static void st16(void *p, uint16_t v, int order)
{
	if (order == __ATOMIC_RELEASE)
		__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELEASE);
	else
		__atomic_store_n((uint16_t *)p, htole16(v), __ATOMIC_RELAXED);
}

static uint16_t ld16(const void *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static uint32_t ld32(const void *p)
{
	return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED));
}

static uint8_t *used_event(const struct fake_ring *r)
{
	return r->driver + 4 + 2 * (size_t)r->conf.size;
}

static uint8_t *avail_event(const struct fake_ring *r)
{
	return r->device + 4 + 8 * (size_t)r->conf.size;
}

static void start_at(struct fake_ring *r)
{
	const struct fake_ring_conf *c = &r->conf;

	r->avail_idx = r->used_idx = r->kicked_idx = c->start;
	r->avail_wrap = r->used_wrap = 1;
	r->n_free = c->size;
	if (!c->packed) {
		st16(r->driver + 2, c->start, __ATOMIC_RELAXED);
		st16(r->device + 2, c->start, __ATOMIC_RELAXED);
		if (c->in_order)
			r->free_head = (uint16_t)(c->start % c->size);
	}
	for (uint16_t i = 0; i < c->size; i++) {
		r->next_desc[i] = (uint16_t)((i + 1) % c->size);
		r->buf[i].next = i + 1 < c->size ? (uint16_t)(i + 1) : NONE;
	}
}

int fake_ring_init(struct fake_ring *r, struct fake_guest *g, const struct fake_ring_conf *conf)
{
	size_t size = conf->size;

	*r = (struct fake_ring){.conf = *conf, .g = g};
	r->desc_iova = fake_guest_alloc(g, 16 * size, 4096);
	r->driver_iova = fake_guest_alloc(g, conf->packed ? 4 : 6 + 2 * size, 64);
	r->device_iova = fake_guest_alloc(g, conf->packed ? 4 : 6 + 8 * size, 4096);
	if (r->desc_iova == 0 || r->driver_iova == 0 || r->device_iova == 0)
		return -ENOMEM;
	r->desc = fake_guest_ptr(g, r->desc_iova);
	r->driver = fake_guest_ptr(g, r->driver_iova);
	r->device = fake_guest_ptr(g, r->device_iova);
	r->buf = calloc(size, sizeof(*r->buf));
	r->next_desc = calloc(size, sizeof(*r->next_desc));
	r->order = calloc(size, sizeof(*r->order));
	if (r->buf == NULL || r->next_desc == NULL || r->order == NULL)
		goto err_free;
	for (size_t i = 0; (conf->indirect || conf->indirect_always) && i < size; i++) {
		r->buf[i].table = fake_guest_alloc(g, FAKE_RING_TABLE * 16, 16);
		if (r->buf[i].table == 0)
			goto err_free;
	}
	start_at(r);
	return 0;
err_free:
	fake_ring_fini(r);
	return -ENOMEM;
}

void fake_ring_fini(struct fake_ring *r)
{
	free(r->buf);
	free(r->next_desc);
	free(r->order);
	r->buf = NULL;
	r->next_desc = r->order = NULL;
}

static void fill_table(
    struct fake_ring *r, uint64_t table, const struct fake_sg *sg, unsigned n_out, unsigned n)
{
	uint8_t *at = fake_guest_ptr(r->g, table);

	for (unsigned i = 0; i < n; i++, at += 16) {
		uint16_t write = i >= n_out ? VRING_DESC_F_WRITE : 0;

		if (r->conf.packed) {
			struct vring_packed_desc d = {.addr = htole64(sg[i].iova),
			    .len = htole32(sg[i].len),
			    .flags = htole16(write)};

			memcpy(at, &d, sizeof(d));
		} else {
			uint16_t next = i + 1 < n ? VRING_DESC_F_NEXT : 0;
			struct vring_desc d = {.addr = htole64(sg[i].iova),
			    .len = htole32(sg[i].len),
			    .flags = htole16(write | next),
			    .next = htole16(i + 1 < n ? (uint16_t)(i + 1) : 0)};

			memcpy(at, &d, sizeof(d));
		}
	}
}

static void put_split(
    struct fake_ring *r, uint16_t idx, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = {.addr = htole64(addr),
	    .len = htole32(len),
	    .flags = htole16(flags),
	    .next = htole16(next)};

	memcpy(r->desc + 16 * (size_t)idx, &d, sizeof(d));
}

/* Returns the head. */
static uint16_t add_split(
    struct fake_ring *r, const struct fake_sg *sg, unsigned n_out, unsigned n, bool table)
{
	uint16_t head = r->free_head, at = head, size = r->conf.size;

	if (table) {
		fill_table(r, r->buf[head].table, sg, n_out, n);
		put_split(r, head, r->buf[head].table, 16 * n, VRING_DESC_F_INDIRECT, 0);
		r->free_head = r->next_desc[head];
	} else {
		for (unsigned i = 0; i < n; i++) {
			uint16_t next = r->next_desc[at],
				 flags = i >= n_out ? VRING_DESC_F_WRITE : 0;

			if (i + 1 < n)
				flags |= VRING_DESC_F_NEXT;
			put_split(r, at, sg[i].iova, sg[i].len, flags, i + 1 < n ? next : 0);
			r->free_head = next;
			at = next;
		}
	}
	st16(r->driver + 4 + 2 * (size_t)(r->avail_idx & (size - 1)), head, __ATOMIC_RELAXED);
	r->avail_idx++;
	st16(r->driver + 2, r->avail_idx, __ATOMIC_RELEASE);
	r->n_since_kick++;
	return head;
}

static void put_packed(struct fake_ring *r, uint16_t slot, uint64_t addr, uint32_t len, uint16_t id)
{
	struct vring_packed_desc d = {
	    .addr = htole64(addr), .len = htole32(len), .id = htole16(id)};

	memcpy(r->desc + 16 * (size_t)slot, &d, offsetof(struct vring_packed_desc, flags));
}

/* Returns the id. */
static uint16_t add_packed(
    struct fake_ring *r, const struct fake_sg *sg, unsigned n_out, unsigned n, bool table)
{
	uint16_t id = r->free_head, first = r->avail_idx, first_flags = 0;
	unsigned n_slots = table ? 1 : n;

	r->free_head = r->buf[id].next;
	if (table)
		fill_table(r, r->buf[id].table, sg, n_out, n);
	for (unsigned i = 0; i < n_slots; i++) {
		uint16_t flags = r->avail_wrap ? AVAIL_BIT : USED_BIT, slot = r->avail_idx;

		if (table) {
			put_packed(r, slot, r->buf[id].table, 16 * n, id);
			flags |= VRING_DESC_F_INDIRECT;
		} else {
			put_packed(r, slot, sg[i].iova, sg[i].len, id);
			flags |= (i >= n_out ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < n_slots ? VRING_DESC_F_NEXT : 0);
		}
		if (i == 0)
			first_flags = flags;
		else
			st16(r->desc + 16 * (size_t)slot + 14, flags, __ATOMIC_RELAXED);
		if (++r->avail_idx == r->conf.size) {
			r->avail_idx = 0;
			r->avail_wrap ^= 1;
		}
	}
	st16(r->desc + 16 * (size_t)first + 14, first_flags, __ATOMIC_RELEASE);
	r->n_since_kick = (uint16_t)(r->n_since_kick + n_slots);
	return id;
}

int fake_ring_add(
    struct fake_ring *r, const struct fake_sg *sg, unsigned n_out, unsigned n_in, uint64_t cookie)
{
	unsigned n = n_out + n_in;
	bool table = r->conf.indirect_always || (r->conf.indirect && n > 1);
	unsigned n_slots = table ? 1 : n;
	struct fake_buf *b;
	uint16_t id;

	if (n == 0 || n_slots > r->n_free || (table && n > FAKE_RING_TABLE) ||
	    (r->conf.packed && r->free_head == NONE))
		return -ENOSPC;
	id =
	    r->conf.packed ? add_packed(r, sg, n_out, n, table) : add_split(r, sg, n_out, n, table);
	b = &r->buf[id];
	b->cookie = cookie;
	b->in_bytes = 0;
	for (unsigned i = n_out; i < n; i++)
		b->in_bytes += sg[i].len;
	b->n_slots = (uint16_t)n_slots;
	b->used = true;
	r->n_free = (uint16_t)(r->n_free - n_slots);
	r->order[r->order_head++ % r->conf.size] = id;
	return 0;
}

static bool kick_packed(const struct fake_ring *r)
{
	uint32_t word = ld32(r->device);
	uint16_t off = (uint16_t)word & 0x7fff, flags = (uint16_t)(word >> 16), event = off;
	uint16_t now = r->avail_idx, old = (uint16_t)(now - r->n_since_kick);

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	if ((word >> 15 & 1) != r->avail_wrap)
		event = (uint16_t)(event - r->conf.size);
	return vring_need_event(event, now, old);
}

bool fake_ring_kick(struct fake_ring *r)
{
	bool want;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->n_since_kick == 0)
		return false;
	if (r->conf.packed)
		want = kick_packed(r);
	else if (r->conf.event_idx)
		want = vring_need_event(ld16(avail_event(r)), r->avail_idx, r->kicked_idx);
	else
		want = (ld16(r->device) & VRING_USED_F_NO_NOTIFY) == 0;
	r->kicked_idx = r->avail_idx;
	r->n_since_kick = 0;
	return want;
}

/* Next used element: 1 with its id and length, or 0. */
static int peek(const struct fake_ring *r, uint32_t *id, uint32_t *len)
{
	if (r->conf.packed) {
		const uint8_t *at = r->desc + 16 * (size_t)r->used_idx;
		uint16_t flags = ld16(at + 14);

		if ((flags & (AVAIL_BIT | USED_BIT)) != (r->used_wrap ? AVAIL_BIT | USED_BIT : 0))
			return 0;
		*id = ld16(at + 12);
		*len = (flags & VRING_DESC_F_WRITE) != 0 ? ld32(at + 8) : 0;
	} else {
		const uint8_t *at = r->device + 4 + 8 * (size_t)(r->used_idx & (r->conf.size - 1));

		if (ld16(r->device + 2) == r->used_idx)
			return 0;
		*id = ld32(at);
		*len = ld32(at + 4);
	}
	return 1;
}

static void release(struct fake_ring *r, uint16_t id)
{
	struct fake_buf *b = &r->buf[id];

	b->used = false;
	r->n_free = (uint16_t)(r->n_free + b->n_slots);
	if (r->conf.packed) {
		b->next = r->free_head;
		r->free_head = id;
		r->used_idx = (uint16_t)(r->used_idx + b->n_slots);
		if (r->used_idx >= r->conf.size) {
			r->used_idx = (uint16_t)(r->used_idx - r->conf.size);
			r->used_wrap ^= 1;
		}
		return;
	}
	r->used_idx++;
	if (!r->conf.in_order) {
		uint16_t last = id;

		for (unsigned i = 1; i < b->n_slots; i++)
			last = r->next_desc[last];
		r->next_desc[last] = r->free_head;
		r->free_head = id;
	}
}

static int reap_in_order(struct fake_ring *r, uint64_t *cookie, uint32_t *len)
{
	uint32_t id, used_len, i = r->order_tail;
	uint16_t oldest;

	if (peek(r, &id, &used_len) == 0 && r->order_done == r->order_tail)
		return 0;
	if (r->order_done == r->order_tail) {
		while (i != r->order_head && r->order[i % r->conf.size] != id)
			i++;
		if (i == r->order_head)
			return -EPROTO;
		r->order_done = i + 1;
		r->buf[id].in_bytes = used_len;
	}
	oldest = r->order[r->order_tail++ % r->conf.size];
	*cookie = r->buf[oldest].cookie;
	*len = r->buf[oldest].in_bytes;
	release(r, oldest);
	return 1;
}

int fake_ring_reap(struct fake_ring *r, uint64_t *cookie, uint32_t *len)
{
	uint32_t id;

	if (r->conf.in_order)
		return reap_in_order(r, cookie, len);
	if (peek(r, &id, len) == 0)
		return 0;
	if (id >= r->conf.size || !r->buf[id].used)
		return -EPROTO;
	*cookie = r->buf[id].cookie;
	release(r, (uint16_t)id);
	r->order_tail++;
	return 1;
}

void fake_ring_want_interrupt(struct fake_ring *r, bool want)
{
	if (r->conf.packed) {
		uint32_t flags =
		    want ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
		uint32_t off = r->used_idx | (uint32_t)r->used_wrap << 15;

		if (want && r->conf.event_idx)
			flags = VRING_PACKED_EVENT_FLAG_DESC;
		__atomic_store_n(
		    (uint32_t *)(void *)r->driver, htole32(off | flags << 16), __ATOMIC_RELEASE);
	} else if (r->conf.event_idx) {
		/* Far behind: the device would have to go round before it gets there. */
		st16(used_event(r), want ? r->used_idx : (uint16_t)(r->used_idx - 1),
		    __ATOMIC_RELEASE);
	} else {
		st16(r->driver, want ? 0 : VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELEASE);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

unsigned fake_ring_outstanding(const struct fake_ring *r)
{
	return r->order_head - r->order_tail;
}
