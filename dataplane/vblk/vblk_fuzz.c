/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest of any behaviour in front of a RAM disk: requests of any header, layout and length, ring bytes written at will, memory that
 * comes and goes, queues that stop and start.
 *
 * Input: a byte of modes, then operations of an opcode and its arguments; missing bytes are 0. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_driver.h"
#include "ob_test_eal.h"

#include "vblk_int.h"

#define RING	   16
#define GUEST_IOVA 0x100000u
#define GUEST_LEN  (1u << 20)
#define AWAY_IOVA  0x4000000u /* memory that comes and goes */
#define AWAY_LEN   0x4000u
#define DISK_BYTES (1u << 20)
#define MAX_OPS	   48
#define MAX_SEGS   12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* Maps of the guest's memory are freed in batches, across inputs, which looks like a leak. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

/* Asserts that stay in builds without them. */
#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

static const uint8_t *in;
static size_t in_left;
static struct fake_guest g, away;
static struct fake_ring ring;
static struct ob_gmem *gm;
static struct ob_blk *disk;
static struct ob_arena *arena;
static struct ob_vblk *vb;
static bool mapped;
static struct ob_virtq_conf conf;

static uint32_t get(unsigned bytes)
{
	uint32_t v = 0;

	for (; bytes > 0; bytes--) {
		v = v << 8 | (in_left > 0 ? *in : 0);
		in += in_left > 0;
		in_left -= in_left > 0;
	}
	return v;
}

static void sync_hook(void *ctx)
{
	(void)ctx;
	if (vb != NULL)
		ob_vblk_quiesce(vb);
}

static void once(void)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true, .n_mbufs = 63};
	struct ob_gmem_conf gc = {.name = "fuzz", .sync = sync_hook};

	if (gm != NULL)
		return;
	ob_test_eal();
	MUST(ob_arena_create("fuzz", 16u << 20, &arena) == 0);
	wc.arena = arena;
	MUST(ob_workers_start(&wc) == 0);
	MUST(ob_blk_ram_create("ram", DISK_BYTES, 512, &disk, NULL, 0) == 0);
	MUST(fake_guest_init(&g, GUEST_LEN, GUEST_IOVA) == 0);
	MUST(fake_guest_init(&away, AWAY_LEN, AWAY_IOVA) == 0);
	MUST(ob_gmem_create(&gc, &gm) == 0);
	MUST(ob_gmem_add(gm, (ob_iova_t){GUEST_IOVA}, GUEST_LEN, OB_GMEM_READ | OB_GMEM_WRITE, g.fd,
		 0) == 0);
}

static void map(bool on)
{
	if (on == mapped)
		return;
	if (on)
		MUST(ob_gmem_add(gm, (ob_iova_t){AWAY_IOVA}, AWAY_LEN, OB_GMEM_READ | OB_GMEM_WRITE,
			 away.fd, 0) == 0);
	else
		MUST(ob_gmem_del(gm, (ob_iova_t){AWAY_IOVA}, AWAY_LEN) == 1);
	mapped = on;
}

/* Where a segment of the guest's begins: inside, at the very end, in what comes and goes, nowhere. */
static uint64_t place(uint32_t len)
{
	uint32_t how = get(1), off = get(2);

	switch (how & 3) {
	case 0:
		return GUEST_IOVA + GUEST_LEN / 2 + off;
	case 1:
		return AWAY_IOVA + off % AWAY_LEN;
	case 2:
		return GUEST_IOVA + GUEST_LEN - len;
	default:
		return (uint64_t)off << 40 | off;
	}
}

static void post(void)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH,
	    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
	    VIRTIO_BLK_T_SECURE_ERASE};
	uint32_t what = get(1), n_out = get(1), n_in, hdr_len = 16;
	struct virtio_blk_outhdr h = {
	    .type = what & 0x80 ? get(4) : types[what % RTE_DIM(types)],
	    .sector = get(2),
	};
	uint64_t at = fake_guest_alloc(&g, 64, 1);
	struct fake_sg sg[2 * MAX_SEGS];
	uint8_t *p;
	unsigned n = 0;

	if (at == 0)
		return;
	p = fake_guest_ptr(&g, at);
	if (n_out & 0x80)
		h.sector |= (uint64_t)get(4) << 32;
	memcpy(p, &h, sizeof(h));
	/* Behind the header, ranges of a discard: mostly near the disk. */
	for (unsigned i = 16; i < 48; i++)
		p[i] = (uint8_t)((n_out & 0x40) ? get(1) : 0);
	/* The header in one, two or too few pieces, maybe with ranges behind it. */
	if (n_out & 0x20) {
		sg[n++] = (struct fake_sg){at, 7};
		sg[n++] = (struct fake_sg){at + 7, (n_out & 0x10) ? 9u : 8u};
	} else {
		hdr_len = (n_out & 0x40) ? 16 + 16 * (1 + (what >> 6 & 1)) : 16;
		sg[n++] = (struct fake_sg){at, hdr_len};
	}
	for (unsigned i = 0; i < (n_out & 7); i++) {
		uint32_t len = 1 + get(2) % 4096;

		if (!(what & 0x20))
			len = (len + 511) & ~511u;
		sg[n] = (struct fake_sg){place(len), len};
		n++;
	}
	n_out = n;
	n_in = get(1);
	for (unsigned i = 0; i < (n_in & 7); i++) {
		uint32_t len = 1 + get(2) % 8192;

		if (!(what & 0x20))
			len = (len + 511) & ~511u;
		sg[n] = (struct fake_sg){place(len), len};
		n++;
	}
	if (!(n_in & 0x80)) {
		sg[n] = (struct fake_sg){fake_guest_alloc(&g, 1, 1), 1};
		n += sg[n].iova != 0;
	}
	(void)fake_ring_add(&ring, sg, n_out, n - n_out, at);
}

static void start(void)
{
	MUST(ob_vblk_start_queue(vb, 0, &conf, -1, false, -1) == 0);
}

static void stop(bool finish)
{
	ob_vblk_stop_queue(vb, 0, finish ? OB_VBLK_STOP_FINISH : OB_VBLK_STOP_DROP);
	MUST(!ob_vblk_queue_running(vb, 0));
}

/* What is not free is in the journal, and the ring knows as many. */
static void check(void)
{
	const struct vblk_queue *q = vb->queue[0];
	unsigned n_free = 0, n_journal = 0;

	MUST(q != NULL && q->n_out == 0);
	for (const struct vblk_req *r = q->free; r != NULL; r = r->next)
		n_free++;
	MUST(n_free == q->n_free);
	for (unsigned i = 0; i < RING; i++)
		n_journal += q->journal[i].state != VBLK_FREE;
	MUST(n_free + n_journal == RING);
	if (!ob_virtq_broken(q->vq))
		MUST(q->arena->state.inflight == n_journal && !q->arena->popping);
}

static void step(struct ob_worker *w)
{
	uint64_t cookie;
	uint32_t len, off;

	switch (get(1) % 9) {
	case 0:
	case 1:
		post();
		break;
	case 2:
		ob_worker_round(w);
		check();
		break;
	case 3:
		while (fake_ring_reap(&ring, &cookie, &len) == 1)
			;
		break;
	case 4: /* the ring's own bytes, at will */
		off = get(2) % (RING * 64u);
		for (len = get(1) & 31; len > 0; len--, off++)
			ring.desc[off] = (uint8_t)get(1);
		break;
	case 5:
		map(get(1) & 1);
		break;
	case 6:
		stop(get(1) & 1);
		start();
		break;
	case 7:
		ob_vblk_set_writeback(vb, get(1) & 1);
		break;
	default:
		ob_vblk_kick(vb, get(1));
		MUST(ob_vblk_poll_events() <= 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ob_vblk_conf vc = {.name = "fuzz", .n_queues = 1, .queue_size = RING, .id = "fuzz"};
	uint64_t features = 1ull << VIRTIO_F_VERSION_1;
	uint8_t mode;

	once();
	in = data;
	in_left = size;
	mode = (uint8_t)get(1);
	g.brk = 0;
	memset(g.mem, 0, GUEST_LEN / 2);
	vc.gm = gm;
	vc.arena = arena;
	vc.blk = disk;
	vc.read_only = mode & 8;
	MUST(ob_vblk_create(&vc, &vb) == 0);
	if (mode & 16)
		features |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	ob_vblk_set_features(vb, features);
	MUST(fake_ring_init(&ring, &g,
		 &(struct fake_ring_conf){.size = RING,
		     .packed = mode & 1,
		     .indirect = mode & 2,
		     .event_idx = mode & 4}) == 0);
	conf = (struct ob_virtq_conf){.size = RING,
	    .packed = mode & 1,
	    .indirect = mode & 2,
	    .event_idx = mode & 4,
	    .desc = {ring.desc_iova},
	    .driver = {ring.driver_iova},
	    .device = {ring.device_iova}};
	start();
	for (unsigned i = 0; i < MAX_OPS && in_left > 0; i++)
		step(ob_worker_get(0));
	for (unsigned i = 0; i < 4; i++)
		ob_worker_round(ob_worker_get(0));
	check();
	map(false);
	stop(true);
	ob_vblk_destroy(vb);
	vb = NULL;
	ob_rcu_reclaim();
	ob_gmem_heal(gm);
	fake_ring_fini(&ring);
	return 0;
}
