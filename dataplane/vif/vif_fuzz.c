/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest of any behaviour on both sides of a function: descriptors, virtio-net headers, frames, ring bytes. What it sends is
 * checked to be what the pipeline may rely on, then cut, completed or sent back to its own receive queue.
 *
 * Input: three bytes of features, then operations of an opcode and its arguments; missing bytes are 0. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_driver.h"
#include "ob_test_eal.h"

#include "test_pkt.h"
#include "vif_int.h"

#define RING	   16
#define GUEST_IOVA 0x100000u
#define GUEST_LEN  (4u << 20)
#define N_MBUFS	   1023
#define MAX_OPS	   24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* Maps of the guest's memory are freed in batches, across inputs, which looks like a leak and has libFuzzer search for one after most
 * inputs: three quarters of the time. The tests under ASan look for leaks; here packets are counted. */
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
static struct fake_guest g;
static struct fake_ring ring[2];
static struct ob_vif *vif;
static struct ob_worker *w;
static struct ob_virtq_conf conf[2];
static uint8_t mode;

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

/* As little as the tests of this folder need, and honest: the pipeline's parser is tested elsewhere. */
static void parse(const struct rte_mbuf *m, struct ob_meta *meta)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t l2 = 14, l3, l4 = 0, type = pkt_get16(p + 12), proto, n = m->data_len;

	meta->l2_len = 14;
	if (type == 0x8100 && n >= 18) {
		type = pkt_get16(p + 16);
		meta->l2_len = 18;
		l2 = 18;
	}
	if (type == 0x0800 && n >= l2 + 20 && p[l2] >> 4 == 4) {
		l3 = (p[l2] & 15) * 4u;
		proto = p[l2 + 9];
		if (l3 < 20 || l2 + pkt_get16(p + l2 + 2) > m->pkt_len)
			return;
		meta->flags |= OB_PKT_IP4;
		if (pkt_get16(p + l2 + 6) & 0x3fff)
			meta->flags |= OB_PKT_FRAG;
	} else if (type == 0x86dd && n >= l2 + 40 && p[l2] >> 4 == 6) {
		l3 = 40;
		proto = p[l2 + 6];
		if (l2 + 40 + pkt_get16(p + l2 + 4) > m->pkt_len)
			return;
		meta->flags |= OB_PKT_IP6;
	} else {
		return;
	}
	meta->l3_len = (uint16_t)l3;
	if (proto == 6 && n >= l2 + l3 + 20)
		l4 = (p[l2 + l3 + 12] >> 4) * 4u;
	if (proto == 6 && l4 >= 20 && n >= l2 + l3 + l4) {
		meta->flags |= OB_PKT_TCP;
		meta->l4_len = (uint8_t)l4;
	} else if (proto == 17 && n >= l2 + l3 + 8) {
		meta->flags |= OB_PKT_UDP;
		meta->l4_len = 8;
	}
	meta->hash = p[l2 + l3 - 1];
}

static void check(const struct rte_mbuf *m, const struct ob_meta *meta)
{
	uint32_t bytes = 0;
	unsigned n = 0;

	rte_mbuf_sanity_check(m, 1);
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next, n++)
		bytes += s->data_len;
	MUST(bytes == m->pkt_len && n == m->nb_segs);
	MUST(m->pkt_len >= VIF_FRAME_MIN && m->pkt_len <= VIF_FRAME_MAX);
	MUST(m->data_len >= RTE_MIN(m->pkt_len, 256u));
	MUST(rte_pktmbuf_headroom(m) == OB_HEADROOM);
	MUST(meta->in_vif == ob_vif_idx(vif) && meta->out_vif == OB_VIF_NONE);
	if (meta->flags & OB_PKT_L4_CSUM_PARTIAL)
		MUST(meta->csum_start + meta->csum_offset + 2u <= m->pkt_len);
	if (meta->flags & OB_PKT_GSO)
		MUST((meta->flags & OB_PKT_L4_CSUM_PARTIAL) && m->tso_segsz > 0 &&
		     meta->csum_offset == 16);
}

static void input(struct ob_worker *worker, struct ob_vif *from, struct ob_burst *b)
{
	static struct rte_mbuf *seg[OB_PKT_MAX_SEGS];
	unsigned n = 0;

	(void)from;
	for (unsigned i = 0; i < b->n; i++) {
		struct ob_meta *meta = &b->meta[i];
		struct rte_mbuf *m = b->pkt[i];
		int cut = 0;

		check(m, meta);
		parse(m, meta);
		if (mode & 1) {
			if (meta->flags & OB_PKT_GSO)
				cut = ob_pkt_segment(
				    m, meta, ob_worker_pool(worker), seg, OB_PKT_MAX_SEGS);
			else
				MUST(ob_pkt_complete_csum(m, meta) == 0);
			if (cut > 0) {
				for (int k = 0; k < cut; k++)
					MUST(ob_pkt_l4_csum_ok(seg[k], meta));
				rte_pktmbuf_free_bulk(seg, (unsigned)cut);
			} else {
				MUST(cut != -ENOSPC);
				rte_pktmbuf_free(m);
			}
			continue;
		}
		meta->out_vif = ob_vif_idx(vif);
		b->pkt[n] = m;
		b->meta[n++] = *meta;
	}
	ob_vif_output(worker, b->pkt, b->meta, n);
}

static void send_frame(void)
{
	static uint8_t buf[PKT_MAX + 12];
	struct pkt_spec s = {0};
	struct virtio_net_hdr_v1_hash h;
	struct ob_meta meta;
	uint32_t how = get(1), hdr_len = (mode & 16) ? 20 : 12, total, from = 0;
	uint64_t at;
	struct fake_sg sg[4];
	unsigned pieces = 1 + (how >> 5 & 3);

	s.v6 = how & 1;
	s.udp = how & 2;
	s.vlan = how & 4;
	s.partial = how & 8;
	s.opt_len = how & 16 ? 12 : 0;
	/* Mostly short ones: building a frame is what takes the time. */
	s.payload = get(2) % (how & 128 ? 65400 : 3000);
	s.seq = get(1) * s.payload;
	s.tcp_flags = (uint8_t)get(1);
	memset(&h, 0, sizeof(h));
	h.hdr.flags = (uint8_t)get(1);
	h.hdr.gso_type = (uint8_t)get(1);
	h.hdr.gso_size = (uint16_t)get(2);
	total = pkt_build(&s, buf + hdr_len, &meta) + hdr_len;
	h.hdr.csum_start = (uint16_t)(meta.l2_len + meta.l3_len + get(1));
	h.hdr.csum_offset = (uint16_t)((s.udp ? 6 : 16) + get(2));
	memcpy(buf, &h, hdr_len);
	for (unsigned n = get(1) % 4; n > 0; n--) {
		uint32_t off = get(1) % total;

		buf[off] = (uint8_t)get(1);
	}
	at = fake_guest_alloc(&g, total, 1);
	if (at == 0)
		return;
	memcpy(fake_guest_ptr(&g, at), buf, total);
	for (unsigned i = 0; i < pieces; i++) {
		uint32_t to = i + 1 == pieces ? total : from + get(1) % (total - from);

		sg[i] = (struct fake_sg){at + from, to - from};
		from = to;
	}
	fake_ring_add(&ring[1], sg, pieces, 0, 0);
}

static void post_buffers(void)
{
	unsigned n = 1 + get(1) % RING, pieces = 1 + get(1) % 3;
	uint32_t len = get(2) % (n > 4 ? 5000 : 66000);

	for (; n > 0; n--) {
		uint64_t at = fake_guest_alloc(&g, len + 4, 1);
		struct fake_sg sg[3];

		for (unsigned i = 0; i < pieces && at != 0; i++)
			sg[i] = (struct fake_sg){
			    at + len * i / pieces, len * (i + 1) / pieces - len * i / pieces};
		if (at == 0 || fake_ring_add(&ring[0], sg, 0, pieces, 0) != 0)
			return;
	}
}

static void send_raw(void)
{
	struct fake_sg sg[2] = {
	    {g.iova + get(4) % (2 * GUEST_LEN), get(3)}, {g.iova + get(2), get(2)}};
	unsigned how = get(1);

	fake_ring_add(
	    &ring[how & 1], sg, how & 2 ? 1 : 0, 1 + (how >> 2) % 2 - (how & 2 ? 1 : 0), 0);
}

static void scribble(void)
{
	struct fake_ring *r = &ring[get(1) & 1];
	uint8_t *area[] = {r->desc, r->driver, r->device};
	uint8_t *p = area[get(1) % 3];

	p[get(2) % (p == r->desc ? 16 * RING : 4)] = (uint8_t)get(1);
}

static void restart(void)
{
	unsigned q = get(1) & 1;
	int32_t next = ob_vif_stop_queue(vif, q);

	MUST(ob_vif_start_queue(vif, q, &conf[q], -1, true, get(1) & 1 ? next : -1) == 0);
}

static void reap(void)
{
	uint64_t cookie;
	uint32_t used;

	for (unsigned q = 0; q < 2; q++)
		for (unsigned i = 0; i < RING && fake_ring_reap(&ring[q], &cookie, &used) == 1; i++)
			;
}

static void begin(void)
{
	static const uint64_t feature[] = {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4,
	    VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_MRG_RXBUF,
	    VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
	    VIRTIO_NET_F_GUEST_ECN};
	uint32_t want;
	uint64_t f = 0;

	mode = (uint8_t)get(1);
	want = get(2);
	for (unsigned i = 0; i < RTE_DIM(feature); i++)
		if (want >> i & 1)
			f |= 1ull << feature[i];
	if (mode & 16)
		f |= 1ull << VIRTIO_NET_F_HASH_REPORT;
	ob_vif_set_features(vif, f);
	memset(g.mem, 0, g.brk);
	g.brk = 0;
	for (unsigned q = 0; q < 2; q++) {
		struct fake_ring_conf rc = {.size = RING,
		    .packed = mode & 2,
		    .in_order = mode & 4,
		    .event_idx = mode & 8,
		    .indirect = true};

		MUST(fake_ring_init(&ring[q], &g, &rc) == 0);
		conf[q] = (struct ob_virtq_conf){
		    .size = RING,
		    .packed = rc.packed,
		    .in_order = rc.in_order,
		    .event_idx = rc.event_idx,
		    .indirect = true,
		    .desc.v = ring[q].desc_iova,
		    .driver.v = ring[q].driver_iova,
		    .device.v = ring[q].device_iova,
		};
		MUST(ob_vif_start_queue(vif, q, &conf[q], -1, false, -1) == 0);
	}
}

static void once(void)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true, .n_mbufs = N_MBUFS};
	struct ob_vif_conf vc = {.name = "fuzz", .n_pairs = 1};
	struct ob_vif_steering s = {.n_pairs = 1,
	    .rss = true,
	    .hash_report = true,
	    .hash_types = OB_VIF_HASH_TYPES,
	    .table_len = 1,
	    .key_len = 40,
	    .key = {0x6d, 0x5a}};

	ob_test_eal();
	MUST(ob_arena_create("fuzz", 64u << 20, &wc.arena) == 0 && ob_workers_start(&wc) == 0 &&
	     ob_vif_init(wc.arena) == 0);
	MUST(fake_guest_init(&g, GUEST_LEN, GUEST_IOVA) == 0 &&
	     ob_gmem_create(&(struct ob_gmem_conf){.name = "fuzz"}, &vc.gm) == 0);
	MUST(ob_gmem_add(vc.gm, (ob_iova_t){GUEST_IOVA}, g.len, OB_GMEM_READ | OB_GMEM_WRITE, g.fd,
		 0) == 0);
	MUST(ob_vif_create(&vc, &vif) == 0);
	w = ob_worker_get(0);
	ob_vif_set_input(input);
	MUST(ob_vif_set_steering(vif, &s) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const op[8])(void) = {
	    send_frame, send_frame, post_buffers, send_raw, scribble, restart, reap, NULL};

	if (vif == NULL)
		once();
	in = data;
	in_left = size;
	begin();
	for (unsigned i = 0; i < MAX_OPS && in_left > 0; i++) {
		uint8_t code = (uint8_t)get(1);

		if (op[code % 8] != NULL)
			op[code % 8]();
		if (code % 8 == 7 || (code & 0x40))
			ob_worker_round(w);
	}
	for (unsigned i = 0; i < 4; i++)
		ob_worker_round(w);
	for (unsigned q = 0; q < 2; q++) {
		ob_vif_stop_queue(vif, q);
		fake_ring_fini(&ring[q]);
	}
	ob_vif_poll_events();
	ob_rcu_reclaim();
	/* Nothing is lost and nothing is kept. */
	MUST(rte_mempool_in_use_count(ob_worker_pool(w)) == 0);
	return 0;
}
