/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes become a queue and a list of operations on it: of the guest (well-formed buffers, or any bytes anywhere in its
 * memory), of the device, of the card (a new owner that recovers, memory that goes and comes). Included by the fuzz
 * target of each layout, which says which PACKED it is.
 *
 * Checked all the time: what pop returns is within bounds and consistent, positions are sane, nothing is written where
 * the device has no business. While the guest has only made well-formed moves, also: no error, and each buffer comes
 * out as it went in and comes back once, in order.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_driver.h"
#include "ob_virtq.h"

#define MEM_BYTES  (32u << 10)
#define MEM_IOVA   0x10000
#define MAX_SIZE   9
#define MAX_CHAINS 40
#define MAX_SEGS   128
#define MAX_HELD   64

#define CHECK(x)                                                                \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

static _Alignas(4096) uint8_t guest_mem[MEM_BYTES], guest_copy[MEM_BYTES];

struct input {
	const uint8_t *at, *end;
};

struct want {
	unsigned n_out, n_in;
	struct fake_sg sg[6];
};

struct fuzz {
	struct input in;
	struct fake_guest g;
	struct fake_ring r;
	struct ob_gmem *gm;
	struct ob_virtq_state st;
	struct ob_virtq_conf conf;
	struct ob_virtq *vq;
	uint64_t buf;
	bool honest; /* the guest has kept to the rules so far */
	bool mapped;
	bool ordered;			      /* chains were pushed in the order they were popped */
	struct ob_virtq_chain held[MAX_HELD]; /* popped, not pushed; oldest first */
	unsigned n_held;
	unsigned n_unflushed;  /* pushed since the last flush */
	struct want want[256]; /* by cookie */
	unsigned n_added, n_popped, n_reaped;
};

static uint8_t u8(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint16_t u16(struct input *in)
{
	uint16_t lo = u8(in);

	return (uint16_t)(lo | u8(in) << 8);
}

static void open_queue(struct fuzz *f)
{
	CHECK(ob_virtq_create(&f->conf, &f->vq) == 0);
}

static void map_guest(struct fuzz *f)
{
	CHECK(ob_gmem_add_hva(f->gm, (ob_iova_t){MEM_IOVA}, MEM_BYTES, OB_GMEM_READ | OB_GMEM_WRITE,
		  guest_mem) == 0);
	f->mapped = true;
}

static void start(struct fuzz *f)
{
	uint8_t b = u8(&f->in), size = u8(&f->in);
	struct fake_ring_conf rc = {
	    .packed = PACKED,
	    .event_idx = b & 1,
	    .in_order = b & 2,
	    .indirect = b & 4,
	    .size = PACKED ? size % MAX_SIZE + 1 : (uint16_t)(1 << size % 4),
	};
	struct ob_gmem_conf gc = {.name = "fuzz"};

	if (!PACKED)
		rc.start = u16(&f->in);
	memset(guest_mem, 0, sizeof(guest_mem));
	f->g = (struct fake_guest){.fd = -1, .mem = guest_mem, .len = MEM_BYTES, .iova = MEM_IOVA};
	CHECK(fake_ring_init(&f->r, &f->g, &rc) == 0);
	f->buf = fake_guest_alloc(&f->g, 4096, 16);
	CHECK(f->buf != 0);
	CHECK(ob_gmem_create(&gc, &f->gm) == 0);
	map_guest(f);
	ob_virtq_state_init(&f->st);
	f->st.avail_idx = f->st.used_idx = rc.start;
	f->conf = (struct ob_virtq_conf){
	    .gm = f->gm,
	    .state = &f->st,
	    .desc = {f->r.desc_iova},
	    .driver = {f->r.driver_iova},
	    .device = {f->r.device_iova},
	    .size = rc.size,
	    .packed = PACKED,
	    .event_idx = rc.event_idx,
	    .in_order = rc.in_order,
	    .indirect = rc.indirect,
	};
	f->honest = f->ordered = true;
	open_queue(f);
}

/* The device may write the used ring or event area, and in a packed ring the descriptors; nothing else. */
static void check_writes(const struct fuzz *f)
{
	size_t size = f->conf.size;
	size_t desc = (size_t)(f->r.desc - guest_mem), desc_len = PACKED ? 16 * size : 0;
	size_t device = (size_t)(f->r.device - guest_mem), device_len = PACKED ? 4 : 6 + 8 * size;

	memcpy(guest_copy + desc, guest_mem + desc, desc_len);
	memcpy(guest_copy + device, guest_mem + device, device_len);
	CHECK(memcmp(guest_copy, guest_mem, MEM_BYTES) == 0);
}

static void check_state(const struct fuzz *f)
{
	const struct ob_virtq_state *st = &f->st;

	CHECK(st->inflight <= f->conf.size);
	if (PACKED)
		CHECK(st->avail_idx < f->conf.size && st->used_idx < f->conf.size &&
		      st->avail_wrap <= 1 && st->used_wrap <= 1);
	else
		CHECK((uint16_t)(st->avail_idx - st->used_idx) <= f->conf.size);
	CHECK(!f->honest || !ob_virtq_broken(f->vq));
}

static bool begin(struct fuzz *f)
{
	int rc = ob_virtq_begin(f->vq);

	CHECK(rc == 0 || rc == -EAGAIN || rc == -EPROTO);
	CHECK((rc == -EPROTO) == ob_virtq_broken(f->vq));
	CHECK(rc == -EPROTO || (rc == 0) == f->mapped);
	return rc == 0;
}

static void check_chain(const struct fuzz *f, const struct ob_virtq_chain *c,
    const struct ob_virtq_seg *seg, unsigned n_seg)
{
	uint64_t rd = 0, wr = 0;

	CHECK(c->n_seg > 0 && c->seg_first <= n_seg && c->n_seg <= n_seg - c->seg_first);
	CHECK(c->n_readable <= c->n_seg);
	CHECK(PACKED ? c->n_slots > 0 && c->n_slots <= f->conf.size : c->n_slots == 1);
	CHECK(PACKED || c->id < f->conf.size);
	for (unsigned i = 0; i < c->n_seg; i++) {
		const struct ob_virtq_seg *s = &seg[c->seg_first + i];

		CHECK(s->len > 0 && s->writable == (i >= c->n_readable));
		*(s->writable ? &wr : &rd) += s->len;
	}
	CHECK(rd == c->readable_bytes && wr == c->writable_bytes && rd + wr <= UINT32_MAX);
}

static void check_honest(
    struct fuzz *f, const struct ob_virtq_chain *c, const struct ob_virtq_seg *seg)
{
	const struct want *w = &f->want[f->n_popped];

	CHECK(f->n_popped < f->n_added);
	CHECK(c->n_readable == w->n_out && c->n_seg == w->n_out + w->n_in);
	for (unsigned i = 0; i < c->n_seg; i++)
		CHECK(seg[c->seg_first + i].iova.v == w->sg[i].iova &&
		      seg[c->seg_first + i].len == w->sg[i].len);
}

static void op_pop(struct fuzz *f)
{
	struct ob_virtq_chain ch[MAX_CHAINS];
	struct ob_virtq_seg seg[MAX_SEGS];
	unsigned max = u8(&f->in) % MAX_CHAINS + 1, max_segs = u8(&f->in) % MAX_SEGS + 1;
	int n;

	if (!begin(f))
		return;
	/* Too little room for a chain is the caller's fault, and breaks the queue all the same. */
	if (f->honest && max_segs < 8)
		max_segs = 8;
	if (max > MAX_HELD - f->n_held)
		max = MAX_HELD - f->n_held;
	n = ob_virtq_pop(f->vq, ch, max, seg, max_segs);
	CHECK(n <= (int)max);
	if (n < 0) {
		CHECK(n == -EPROTO && ob_virtq_broken(f->vq) && !f->honest);
		return;
	}
	for (int i = 0; i < n; i++) {
		check_chain(f, &ch[i], seg, max_segs);
		if (f->honest)
			check_honest(f, &ch[i], seg);
		f->n_popped++;
		f->held[f->n_held++] = ch[i];
	}
	CHECK(f->st.inflight == f->n_held);
}

static void drop_held(struct fuzz *f, unsigned at)
{
	memmove(&f->held[at], &f->held[at + 1], (--f->n_held - at) * sizeof(f->held[0]));
}

static void op_push(struct fuzz *f, bool any_order)
{
	unsigned n = u8(&f->in) % (f->n_held + 1);
	uint32_t written[MAX_HELD];
	bool flush = u8(&f->in) & 1;

	if (!begin(f))
		return;
	for (unsigned i = 0; i < n; i++)
		written[i] = f->held[i].writable_bytes / (1 + i % 3);
	if (any_order && n > 0 && !f->conf.in_order) {
		unsigned at = n - 1;

		f->ordered = f->ordered && at == 0;
		ob_virtq_push(f->vq, &f->held[at], written + at, 1);
		drop_held(f, at);
		f->n_unflushed++;
	} else {
		ob_virtq_push(f->vq, f->held, written, n);
		for (unsigned i = 0; i < n; i++)
			drop_held(f, 0);
		f->n_unflushed += n;
	}
	if (flush) {
		ob_virtq_flush(f->vq);
		f->n_unflushed = 0;
	}
}

static void op_unpop(struct fuzz *f)
{
	unsigned n = u8(&f->in) % (f->n_held + 1);

	/* After a push out of order, what is held is not what was popped last. */
	if (!f->ordered || !begin(f))
		return;
	ob_virtq_unpop(f->vq, &f->held[f->n_held - n], n);
	f->n_held -= n;
	f->n_popped -= n;
}

/* The owner is gone with all that it held; another one goes on. */
static void op_new_owner(struct fuzz *f)
{
	int rc;

	if (!f->ordered)
		return;
	ob_virtq_destroy(f->vq);
	if (u8(&f->in) & 1) {
		f->st.flushing = 1;
		f->st.flush_to = u16(&f->in);
		f->honest = false;
	}
	open_queue(f);
	rc = ob_virtq_recover(f->vq);
	CHECK(rc == 0 || rc == -EAGAIN || rc == -EPROTO);
	CHECK(rc == 0 || !f->honest || !f->mapped);
	if (rc != 0) {
		/* Without recovery nobody may use it. */
		ob_virtq_state_init(&f->st);
		f->st.broken = OB_VIRTQ_BAD_JUMP;
		f->honest = false;
	}
	/* What was not flushed is popped again. */
	f->n_popped -= f->n_held + f->n_unflushed;
	f->n_held = f->n_unflushed = 0;
}

static void op_guest_add(struct fuzz *f)
{
	uint8_t b = u8(&f->in);
	struct want *w = &f->want[f->n_added];
	unsigned n = 1 + b % 6;

	if (f->n_added == sizeof(f->want) / sizeof(f->want[0]))
		return;
	w->n_out = (b >> 3) % (n + 1);
	w->n_in = n - w->n_out;
	for (unsigned i = 0; i < n; i++)
		w->sg[i] = (struct fake_sg){f->buf + u8(&f->in), 1u + u8(&f->in)};
	if (fake_ring_add(&f->r, w->sg, w->n_out, w->n_in, f->n_added) == 0)
		f->n_added++;
}

static void op_guest_reap(struct fuzz *f)
{
	uint64_t cookie;
	uint32_t len;
	int rc = 0;

	for (unsigned i = 0; i < MAX_SIZE; i++) {
		rc = fake_ring_reap(&f->r, &cookie, &len);
		if (rc <= 0)
			break;
		if (f->honest && f->ordered)
			CHECK(cookie == f->n_reaped);
		f->n_reaped++;
	}
	CHECK(!f->honest || rc >= 0);
	CHECK(!f->honest || f->n_reaped <= f->n_popped);
}

/* Any bytes, aimed at where they do something. */
static void op_guest_write(struct fuzz *f)
{
	uint8_t b = u8(&f->in), n = u8(&f->in);
	uint8_t *const area[] = {
	    f->r.desc, f->r.driver, f->r.device, fake_guest_ptr(&f->g, f->buf)};
	size_t off = (size_t)(area[b & 3] - guest_mem) + (b & 0x80 ? u16(&f->in) : u8(&f->in));

	f->honest = false;
	for (unsigned i = 0; i < n % 32u; i++)
		guest_mem[(off + i) % MEM_BYTES] = u8(&f->in);
}

/* A descriptor that is nearly right, made available. */
static void op_guest_forge(struct fuzz *f)
{
	uint16_t size = f->conf.size, at = u8(&f->in), flags = u8(&f->in) & 7, next = u8(&f->in);
	uint64_t addr = u8(&f->in) & 1 ? f->buf + u16(&f->in) % 4096 : u16(&f->in);
	uint32_t len = u8(&f->in) & 1 ? (uint32_t)(u8(&f->in) * 16) : 0xffffff00u + u8(&f->in);
	uint8_t *d = f->r.desc + 16 * (size_t)(at % size);

	f->honest = false;
	if (flags & 4 && u8(&f->in) & 1)
		addr = f->buf & ~15ull;
	memcpy(d, &addr, 8);
	memcpy(d + 8, &len, 4);
	if (PACKED) {
		flags |= u8(&f->in) & 1 ? 1 << 7 : 1 << 15;
		memcpy(d + 12, &next, 2);
		memcpy(d + 14, &flags, 2);
	} else {
		uint16_t *avail = (uint16_t *)(void *)f->r.driver;

		memcpy(d + 12, &flags, 2);
		memcpy(d + 14, &next, 2);
		avail[2 + avail[1] % size] = at;
		avail[1]++;
	}
}

static void op_notify(struct fuzz *f)
{
	uint8_t b = u8(&f->in);

	if (b & 4)
		fake_ring_want_interrupt(&f->r, b & 8);
	memcpy(guest_copy, guest_mem, MEM_BYTES);
	if (!begin(f))
		return;
	CHECK(ob_virtq_available(f->vq) <= f->conf.size);
	if (b & 1) {
		bool more = ob_virtq_arm(f->vq);

		if (f->honest && !more)
			CHECK(f->n_popped == f->n_added);
	} else {
		ob_virtq_disarm(f->vq);
	}
	if (b & 2)
		fake_ring_kick(&f->r);
}

static void op_map(struct fuzz *f)
{
	if (!f->mapped) {
		map_guest(f);
		return;
	}
	CHECK(ob_gmem_del(f->gm, (ob_iova_t){MEM_IOVA}, MEM_BYTES) == 1);
	f->mapped = false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;

	f = (struct fuzz){.in = {data, data + size}};
	start(&f);
	for (unsigned ops = 0; f.in.at < f.in.end && ops < 300; ops++) {
		uint8_t op = u8(&f.in) % 16;

		memcpy(guest_copy, guest_mem, MEM_BYTES);
		switch (op) {
		case 0:
		case 1:
		case 2:
			op_guest_add(&f);
			break;
		case 3:
			op_guest_reap(&f);
			break;
		case 4:
			op_guest_write(&f);
			break;
		case 5:
			op_guest_forge(&f);
			break;
		case 6:
		case 7:
			op_pop(&f);
			check_writes(&f);
			break;
		case 8:
		case 9:
		case 10:
			op_push(&f, op == 10);
			check_writes(&f);
			break;
		case 11:
			op_unpop(&f);
			check_writes(&f);
			break;
		case 12:
			op_new_owner(&f);
			check_writes(&f);
			break;
		case 13:
		case 14:
			op_notify(&f);
			check_writes(&f);
			break;
		default:
			op_map(&f);
			break;
		}
		check_state(&f);
	}
	ob_virtq_destroy(f.vq);
	fake_ring_fini(&f.r);
	ob_gmem_destroy(f.gm);
	return 0;
}
