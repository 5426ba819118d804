/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of split and packed rings against a device that keeps what it takes until the test lets it go. */
#include "fake_vblk.h"
#include "test_block.h"

#define DISK (64u << 20)

static struct env *slow_env(bool packed)
{
	struct ob_blk *b;

	assert_int_equal(slow_create(DISK, &b), 0);
	b->info.volatile_cache = true;
	b->info.discard_bytes = 512;
	b->info.write_zeroes = true;
	return env_create(b, packed, false, false);
}

static int setup_split(void **state)
{
	*state = slow_env(false);
	return 0;
}

static int setup_packed(void **state)
{
	*state = slow_env(true);
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	if (e->vb->shard[0] != NULL)
		slow_let_go(env_ch(e), 1000);
	env_destroy(e);
	return 0;
}

static struct slow_ch *dev(struct env *e)
{
	return (struct slow_ch *)env_ch(e);
}

static unsigned n_taken(const struct env *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2 * ENV_SIZE; i++)
		n += e->vb->journal[i].state != VBLK_FREE;
	return n;
}

static void io_carries_what_the_request_says(void **state)
{
	struct env *e = *state;
	struct env_req r;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	r = env_req(e, VIRTIO_BLK_T_OUT, 24, 8192);
	env_post(e, 0, &r, false, 3);
	env_round();
	assert_int_equal(dev(e)->n_held, 1);
	assert_int_equal(dev(e)->last_op, OB_BLK_WRITE);
	assert_int_equal(dev(e)->last_off, 24 * 512);
	assert_int_equal(dev(e)->last_len, 8192);
	assert_int_equal(dev(e)->last_flags, 0);
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 0);
	assert_int_equal(n_taken(e), 1);
	assert_int_equal(e->vb->arena[0].popping, 0);
	slow_let_go(env_ch(e), 1);
	env_round();
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_OK);
	assert_int_equal(n_taken(e), 0);
	assert_int_equal(env_irqs(e), 1);
}

static void later_requests_overtake(void **state)
{
	struct env *e = *state;
	struct env_req slow, fast;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	/* Often enough that the ring wraps. */
	for (unsigned i = 0; i < 3 * ENV_SIZE; i++) {
		slow = env_req(e, VIRTIO_BLK_T_IN, i, 512);
		fast = env_req(e, VIRTIO_BLK_T_GET_ID, 0, 20);
		env_post(e, 0, &slow, true, 1);
		env_post(e, 0, &fast, true, 1);
		env_round();
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(cookie, fast.status);
		assert_int_equal(len, 21);
		assert_memory_equal(
		    fake_guest_ptr(&e->g, fast.data), "the-disk\0\0\0\0\0\0\0\0\0\0\0", 20);
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 0);
		assert_int_equal(slow_let_go(env_ch(e), 2), 1);
		env_round();
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(cookie, slow.status);
		assert_int_equal(len, 513);
	}
}

static void errors_have_their_status(void **state)
{
	static const struct {
		int rc;
		uint8_t status;
	} map[] = {{-EIO, VIRTIO_BLK_S_IOERR}, {-ENOSPC, VIRTIO_BLK_S_IOERR},
	    {-EOPNOTSUPP, VIRTIO_BLK_S_UNSUPP}, {-EILSEQ, VIRTIO_BLK_S_IOERR},
	    {0, VIRTIO_BLK_S_OK}};
	struct env *e = *state;
	struct ob_vblk_queue_counters n;

	env_start(e, ENV_F);
	for (unsigned i = 0; i < RTE_DIM(map); i++) {
		struct env_req r = env_req(e, VIRTIO_BLK_T_IN, 0, 512);
		uint64_t cookie;
		uint32_t len;

		((struct slow *)e->blk)->result = map[i].rc;
		env_post(e, 0, &r, true, 1);
		env_round();
		slow_let_go(env_ch(e), 1);
		env_round();
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(env_status(e, &r), map[i].status);
	}
	assert_int_equal(ob_vblk_queue_counters(e->vb, 0, &n), 0);
	assert_int_equal(n.n_ioerr, 3);
	assert_int_equal(n.n_unsupp, 1);
	assert_int_equal(n.n_reads, 5);
	assert_int_equal(ob_vblk_queue_counters(e->vb, ENV_QUEUES, &n), -ENOENT);
}

/* 5.2.6.2: what makes a write stable when it completes. */
static void writes_are_durable_when_the_mode_says_so(void **state)
{
	static const struct {
		uint64_t features;
		bool writeback, fua;
	} modes[] = {
	    {F(VIRTIO_BLK_F_FLUSH), true, false},
	    {0, true, true},
	    {F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_CONFIG_WCE), true, false},
	    {F(VIRTIO_BLK_F_FLUSH) | F(VIRTIO_BLK_F_CONFIG_WCE), false, true},
	};
	struct env *e = *state;

	env_start(e, ENV_F);
	for (unsigned i = 0; i < RTE_DIM(modes); i++) {
		struct env_req r = env_req(e, VIRTIO_BLK_T_OUT, 0, 512);

		ob_vblk_set_features(e->vb, modes[i].features);
		ob_vblk_set_writeback(e->vb, modes[i].writeback);
		env_post(e, 0, &r, false, 1);
		env_round();
		assert_int_equal(dev(e)->last_flags, modes[i].fua ? OB_BLK_FUA : 0);
	}
}

/* 2.7.4.2: a device must not assume where segments end. */
static void header_and_status_lie_anywhere(void **state)
{
	struct env *e = *state;
	struct env_req r;
	uint64_t at, cookie;
	uint32_t len;
	struct fake_sg sg[5];

	env_start(e, ENV_F);
	/* A header in three pieces, the last of which goes on with data. */
	r = env_req(e, VIRTIO_BLK_T_OUT, 3, 1024);
	at = fake_guest_alloc(&e->g, 16 + 1024, 1);
	memcpy(fake_guest_ptr(&e->g, at), fake_guest_ptr(&e->g, r.hdr), 16);
	sg[0] = (struct fake_sg){at, 3};
	sg[1] = (struct fake_sg){at + 3, 9};
	sg[2] = (struct fake_sg){at + 12, 4 + 500};
	sg[3] = (struct fake_sg){at + 516, 524};
	sg[4] = (struct fake_sg){r.status, 1};
	assert_int_equal(fake_ring_add(&e->ring[0], sg, 4, 1, 1), 0);
	env_round();
	assert_int_equal(dev(e)->last_off, 3 * 512);
	assert_int_equal(dev(e)->last_len, 1024);
	/* A status behind the data of its segment. */
	r = env_req(e, VIRTIO_BLK_T_IN, 7, 1025);
	sg[0] = (struct fake_sg){r.hdr, 16};
	sg[1] = (struct fake_sg){r.data, 100};
	sg[2] = (struct fake_sg){r.data + 100, 925};
	assert_int_equal(fake_ring_add(&e->ring[0], sg, 1, 2, 2), 0);
	env_round();
	assert_int_equal(dev(e)->last_len, 1024);
	((uint8_t *)fake_guest_ptr(&e->g, r.data))[1024] = 0xee;
	slow_let_go(env_ch(e), 2);
	env_round();
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(len, 1025);
	assert_int_equal(((uint8_t *)fake_guest_ptr(&e->g, r.data))[1024], VIRTIO_BLK_S_OK);
}

static void a_long_request_goes_piece_by_piece(void **state)
{
	struct env *e = *state;
	struct env_req r;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	r = env_req(e, VIRTIO_BLK_T_IN, 8, 5 << 20);
	env_post(e, 0, &r, true, 7);
	env_round();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(dev(e)->n_held, 1);
		assert_int_equal(dev(e)->last_off, 8 * 512 + i * OB_BLK_MAX_BYTES);
		assert_int_equal(dev(e)->last_len, i < 2 ? OB_BLK_MAX_BYTES : 1 << 20);
		slow_let_go(env_ch(e), 1);
		env_round();
	}
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_OK);
	assert_int_equal(len, (5 << 20) + 1);
}

static void ranges_are_done_one_by_one(void **state)
{
	struct env *e = *state;
	struct virtio_blk_discard_write_zeroes *p;
	struct env_req r;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	r = env_req(e, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16 * OB_VBLK_MAX_RANGES);
	p = fake_guest_ptr(&e->g, r.data);
	for (unsigned i = 0; i < OB_VBLK_MAX_RANGES; i++) {
		p[i].sector = 100 * i;
		p[i].num_sectors = i; /* the first one: nothing to do */
		p[i].flags = i % 2;
	}
	env_post(e, 0, &r, false, 5);
	env_round();
	for (unsigned i = 1; i < OB_VBLK_MAX_RANGES; i++) {
		assert_int_equal(dev(e)->n_held, 1);
		assert_int_equal(dev(e)->last_op, OB_BLK_WRITE_ZEROES);
		assert_int_equal(dev(e)->last_off, 100 * i * 512);
		assert_int_equal(dev(e)->last_len, i * 512);
		assert_int_equal(dev(e)->last_flags, i % 2 ? OB_BLK_MAY_UNMAP : 0);
		slow_let_go(env_ch(e), 1);
		env_round();
	}
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_OK);
	/* One range more than may be, and one that is too long. */
	r = env_req(e, VIRTIO_BLK_T_DISCARD, 0, 16 * (OB_VBLK_MAX_RANGES + 1));
	assert_int_equal(env_exec(e, &r, false, 1), VIRTIO_BLK_S_IOERR);
	r = env_req(e, VIRTIO_BLK_T_DISCARD, 0, 16);
	p = fake_guest_ptr(&e->g, r.data);
	p->num_sectors = OB_VBLK_MAX_RANGE_SECTORS + 1;
	assert_int_equal(env_exec(e, &r, false, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(dev(e)->n_held, 0);
}

static void what_was_not_negotiated_is_unsupported(void **state)
{
	struct env *e = *state;
	struct env_req r;

	env_start(e, F(VIRTIO_BLK_F_FLUSH));
	r = env_req(e, VIRTIO_BLK_T_DISCARD, 0, 16);
	assert_int_equal(env_exec(e, &r, false, 1), VIRTIO_BLK_S_UNSUPP);
	r = env_req(e, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16);
	assert_int_equal(env_exec(e, &r, false, 1), VIRTIO_BLK_S_UNSUPP);
	r = env_req(e, VIRTIO_BLK_T_SECURE_ERASE, 0, 16);
	assert_int_equal(env_exec(e, &r, false, 1), VIRTIO_BLK_S_UNSUPP);
	r = env_req(e, VIRTIO_BLK_T_IN, 0, 0);
	assert_int_equal(env_exec(e, &r, true, 0), VIRTIO_BLK_S_OK);
}

static unsigned n_broke, broke_q;

static void on_broken(void *ctx, unsigned q)
{
	(void)ctx;
	n_broke++;
	broke_q = q;
}

static void no_place_for_header_or_status_breaks_the_queue(void **state)
{
	struct env *e = *state;
	struct env_req r;
	struct fake_sg sg[2];

	env_start(e, ENV_F);
	ob_vblk_set_on_broken(e->vb, on_broken, NULL);
	for (unsigned i = 0; i < 2; i++) {
		n_broke = 0;
		r = env_req(e, VIRTIO_BLK_T_IN, 0, 512);
		sg[0] = (struct fake_sg){r.hdr, i == 0 ? 15 : 16};
		sg[1] = (struct fake_sg){r.status, 1};
		assert_int_equal(fake_ring_add(&e->ring[0], sg, 1, i == 0, 1), 0);
		env_round();
		env_round();
		assert_int_equal(ob_vblk_poll_events(), 1);
		assert_int_equal(n_broke, 1);
		assert_int_equal(broke_q, 0);
		assert_string_equal(
		    ob_vblk_broken_why(e->vb, 0), "request without header or status");
		ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_DROP);
		assert_string_equal(ob_vblk_broken_why(e->vb, 0), "stopped");
		fake_ring_fini(&e->ring[0]);
		env_start_queue(e, 0, false);
	}
}

static void more_segments_than_offered_fail_the_request(void **state)
{
	struct env *e = *state;
	const unsigned n = VBLK_MAX_SEGS + 1;
	struct ob_virtq_seg *segs = calloc(n + 2, sizeof(*segs));
	struct ob_virtq_chain c = {.n_seg = (uint16_t)(n + 2),
	    .n_readable = 1,
	    .readable_bytes = 16,
	    .writable_bytes = n * 512 + 1};
	struct env_req m;
	struct vblk_queue *q;
	struct vblk_req *r;

	env_start(e, ENV_F);
	m = env_req(e, VIRTIO_BLK_T_IN, 0, 512);
	q = e->vb->queue[0];
	r = q->free;
	segs[0] = (struct ob_virtq_seg){.iova = {m.hdr}, .len = 16};
	for (unsigned i = 1; i <= n; i++)
		segs[i] = (struct ob_virtq_seg){.iova = {m.data}, .len = 512, .writable = 1};
	segs[n + 1] = (struct ob_virtq_seg){.iova = {m.status}, .len = 1, .writable = 1};
	q->free = r->next;
	assert_int_equal(vblk_req_parse(q, ob_gmem_map_get(e->gm), &c, segs, false, r), 0);
	assert_int_equal(r->io.op, OB_BLK_N_OPS);
	assert_int_equal(r->status, VIRTIO_BLK_S_IOERR);
	/* Room for many segments is used up, then the request has to wait. */
	r->big->next = q->free_big;
	q->free_big = NULL;
	r->big = NULL;
	c.n_seg = 10;
	c.writable_bytes = 8 * 512 + 1;
	segs[9] = segs[n + 1];
	assert_int_equal(vblk_req_parse(q, ob_gmem_map_get(e->gm), &c, segs, false, r), -ENOBUFS);
	r->next = q->free;
	q->free = r;
	free(segs);
}

static void many_queues_have_fewer_rooms_and_nothing_is_lost(void **state)
{
	const unsigned n = VBLK_MAX_BIG_OF_MANY + 3;
	struct env *e = *state;
	struct env_req r[VBLK_MAX_BIG_OF_MANY + 3];
	uint64_t cookie;
	unsigned done = 0;
	uint32_t len;

	e->vb->conf.n_queues = VBLK_MANY_QUEUES;
	ob_vblk_set_features(
	    e->vb, ENV_F | F(VIRTIO_F_VERSION_1) | (e->packed ? F(VIRTIO_F_RING_PACKED) : 0));
	env_start_queue(e, 0, true);
	for (unsigned i = 0; i < n; i++) {
		r[i] = env_req(e, VIRTIO_BLK_T_IN, 8 * i, 4096);
		env_post(e, 0, &r[i], true, VBLK_SMALL_SEGS + 1);
	}
	env_round();
	assert_int_equal(dev(e)->n_held, VBLK_MAX_BIG_OF_MANY);
	/* No sleep while something is held. */
	assert_true(vblk_arm(ob_worker_get(0), e->vb->shard[0]));
	vblk_disarm(ob_worker_get(0), e->vb->shard[0]);
	slow_let_go(env_ch(e), VBLK_MAX_BIG_OF_MANY);
	for (unsigned i = 0; i < 3; i++)
		env_round();
	assert_int_equal(dev(e)->n_held, 3);
	slow_let_go(env_ch(e), 3);
	env_round();
	while (fake_ring_reap(&e->ring[0], &cookie, &len) == 1)
		done++;
	assert_int_equal(done, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(env_status(e, &r[i]), VIRTIO_BLK_S_OK);
	e->vb->conf.n_queues = ENV_QUEUES;
}

/* Memory behind the same address becomes another; then it goes away. */
static void unmap_takes_back_what_only_waits(void **state)
{
	struct env *e = *state;
	const uint64_t at = ENV_IOVA + 0x10000000;
	const unsigned rw = OB_GMEM_READ | OB_GMEM_WRITE;
	struct ob_vblk_queue_counters n;
	struct fake_guest other[2];
	struct env_req r;
	void *was;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fake_guest_init(&other[i], 8192, at), 0);
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){at}, 8192, rw, other[0].fd, 0), 0);
	r = env_req(e, VIRTIO_BLK_T_IN, 0, 4096);
	r.data = at;
	env_post(e, 0, &r, true, 1);
	env_round();
	assert_int_equal(dev(e)->n_held, 1);
	was = dev(e)->held.head->iov[0].iov_base;
	/* The map changes elsewhere: canceled, and at the device again with the address as it is. */
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){at + 8192}, 4096, rw, other[1].fd, 0), 0);
	assert_int_equal(ob_gmem_del(e->gm, (ob_iova_t){at + 8192}, 4096), 1);
	assert_int_equal(dev(e)->n_held, 0);
	env_round();
	assert_int_equal(dev(e)->n_held, 1);
	assert_ptr_equal(dev(e)->held.head->iov[0].iov_base, was);
	/* It is gone: the request fails, nothing else happens. */
	assert_int_equal(ob_gmem_del(e->gm, (ob_iova_t){at}, 8192), 1);
	env_round();
	assert_int_equal(dev(e)->n_held, 0);
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
	assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_IOERR);
	assert_int_equal(ob_vblk_queue_counters(e->vb, 0, &n), 0);
	assert_true(n.n_requeued >= 2);
	for (unsigned i = 0; i < 2; i++)
		fake_guest_fini(&other[i]);
}

static void stop_tells_what_it_took_or_drops_it(void **state)
{
	struct env *e = *state;
	struct env_req r[3];
	uint64_t cookie;
	uint32_t len;
	int32_t pos;

	env_start(e, ENV_F);
	for (unsigned i = 0; i < 3; i++) {
		r[i] = env_req(e, VIRTIO_BLK_T_IN, i, 512);
		env_post(e, 0, &r[i], true, 1);
	}
	env_round();
	assert_int_equal(dev(e)->n_held, 3);
	/* The device never answers: after a second they are told as failed. */
	pos = ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_FINISH);
	assert_int_equal(pos & 0x7fff, e->packed ? 9 : 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(env_status(e, &r[i]), VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(e->vb->arena[0].state.inflight, 0);
	assert_int_equal(ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_DROP), -ENOENT);
	/* Dropped: nothing is written any more. */
	fake_ring_fini(&e->ring[0]);
	env_start_queue(e, 0, false);
	r[0] = env_req(e, VIRTIO_BLK_T_IN, 0, 512);
	env_post(e, 0, &r[0], true, 1);
	env_round();
	assert_true(ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_DROP) >= 0);
	assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 0);
	assert_int_equal(env_status(e, &r[0]), 0xee);
	assert_null(e->vb->shard[0]);
}

static void stops_in_a_row_wait_for_a_second_in_all(void **state)
{
	struct env *e = *state;
	struct timespec from, to;
	struct env_req r;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	for (unsigned i = 0; i < 3; i++) {
		if (i > 0) {
			fake_ring_fini(&e->ring[0]);
			env_start_queue(e, 0, false);
		}
		r = env_req(e, VIRTIO_BLK_T_IN, 0, 512);
		env_post(e, 0, &r, true, 1);
		env_round();
		if (i == 1)
			clock_gettime(CLOCK_MONOTONIC, &from);
		assert_true(ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_FINISH) >= 0);
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_IOERR);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true(
	    (to.tv_sec - from.tv_sec) * 1000000000l + to.tv_nsec - from.tv_nsec < 800000000l);
}

static void a_resumed_queue_goes_on_where_it_stood(void **state)
{
	struct env *e = *state;
	struct ob_virtq_conf c = {.size = ENV_SIZE, .packed = e->packed, .indirect = true};
	struct env_req r;
	int32_t pos;

	env_start(e, ENV_F);
	c.desc.v = e->ring[0].desc_iova;
	c.driver.v = e->ring[0].driver_iova;
	c.device.v = e->ring[0].device_iova;
	for (unsigned i = 0; i < 50; i++) {
		r = env_req(e, VIRTIO_BLK_T_GET_ID, 0, 20);
		assert_int_equal(env_exec(e, &r, true, 1), VIRTIO_BLK_S_OK);
		pos = ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_FINISH);
		assert_int_equal(
		    ob_vblk_start_queue(e->vb, 0, &c, e->irq, i % 2, i % 2 ? -1 : pos), 0);
	}
	assert_int_equal(ob_vblk_start_queue(e->vb, 0, &c, -1, true, -1), -EALREADY);
	assert_int_equal(ob_vblk_start_queue(e->vb, ENV_QUEUES, &c, -1, true, -1), -EINVAL);
	/* What a predecessor left under way is not done again yet. */
	ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_DROP);
	e->vb->arena[0].state.inflight = 1;
	assert_int_equal(ob_vblk_start_queue(e->vb, 0, &c, -1, true, -1), -ENOTSUP);
}

static void queues_share_a_channel(void **state)
{
	struct env *e = *state;
	struct env_req r;
	uint64_t cookie;
	uint32_t len;

	env_start(e, ENV_F);
	env_start_queue(e, 1, true);
	for (unsigned q = 0; q < 2; q++) {
		r = env_req(e, VIRTIO_BLK_T_IN, q, 512);
		env_post(e, q, &r, true, 1);
	}
	env_round();
	assert_int_equal(dev(e)->n_held, 2);
	slow_let_go(env_ch(e), 2);
	env_round();
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(fake_ring_reap(&e->ring[q], &cookie, &len), 1);
	ob_vblk_stop_queue(e->vb, 0, OB_VBLK_STOP_DROP);
	assert_int_equal(ob_vblk_queue_worker(e->vb, 0), -1);
	assert_int_equal(ob_vblk_queue_worker(e->vb, 1), 0);
	r = env_req(e, VIRTIO_BLK_T_GET_ID, 0, 20);
	env_post(e, 1, &r, true, 1);
	env_round();
	assert_int_equal(fake_ring_reap(&e->ring[1], &cookie, &len), 1);
}

#define BOTH(f)                                                    \
	cmocka_unit_test_setup_teardown(f, setup_split, teardown), \
	{                                                          \
		"packed_" #f, f, setup_packed, teardown, NULL      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(io_carries_what_the_request_says),
	    BOTH(later_requests_overtake),
	    BOTH(errors_have_their_status),
	    BOTH(writes_are_durable_when_the_mode_says_so),
	    BOTH(header_and_status_lie_anywhere),
	    BOTH(a_long_request_goes_piece_by_piece),
	    BOTH(ranges_are_done_one_by_one),
	    BOTH(what_was_not_negotiated_is_unsupported),
	    BOTH(no_place_for_header_or_status_breaks_the_queue),
	    BOTH(more_segments_than_offered_fail_the_request),
	    BOTH(many_queues_have_fewer_rooms_and_nothing_is_lost),
	    BOTH(unmap_takes_back_what_only_waits),
	    BOTH(stop_tells_what_it_took_or_drops_it),
	    BOTH(stops_in_a_row_wait_for_a_second_in_all),
	    BOTH(a_resumed_queue_goes_on_where_it_stood),
	    BOTH(queues_share_a_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
