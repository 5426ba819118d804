/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-blk with nothing faked on the card's side: a driver over vfio-user or vhost-user, a worker, a RAM disk. */
#include "ob_vhost.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <linux/virtio_config.h>

#include "ob_test_eal.h"
#include "vblk_drv.h"
#include "vhost_client.h"

#define DISK_BYTES (8u << 20)
#define N_WORKERS  2
#define BIT(b)	   (UINT64_C(1) << (b))

struct mode {
	bool vhost, packed, event_idx, indirect;
	uint16_t n_queues;
	uint16_t queue_size; /* 0: 64 */
};

struct t {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_blk *disk;
	struct ob_virtio_blk *fn;
	struct vbd d;
	char path[64];
	pthread_t main_thread;
	pthread_mutex_t lock; /* whoever has it is the main thread */
	bool stop;
};

static void *main_loop(void *arg)
{
	struct t *t = arg;
	bool stop = false;

	while (!stop) {
		pthread_mutex_lock(&t->lock);
		event_base_loop(t->base, EVLOOP_NONBLOCK);
		ob_vblk_poll_events();
		ob_rcu_reclaim();
		stop = t->stop;
		pthread_mutex_unlock(&t->lock);
		usleep(50);
	}
	return NULL;
}

static struct ob_virtio_blk_conf conf_of(struct t *t)
{
	return (struct ob_virtio_blk_conf){
	    .name = "disk0",
	    .path = t->path,
	    .base = t->base,
	    .arena = t->arena,
	    .blk = t->disk,
	    .n_queues = 4,
	    .queue_size = 128,
	    .packed = true,
	    .id = "a-serial-of-20-bytes+more",
	    .serial = "OB-1",
	};
}

static void begin(struct t *t, bool vhost, bool read_only)
{
	struct ob_workers_conf wc = {.n_workers = N_WORKERS, .n_mbufs = 255};
	struct ob_virtio_blk_conf conf;
	char err[128] = "";

	memset(t, 0, sizeof(*t));
	ob_test_eal();
	snprintf(t->path, sizeof(t->path), "/tmp/ob-blk-test.%d", (int)getpid());
	t->base = event_base_new();
	assert_int_equal(ob_arena_create("blk-test", 64u << 20, &t->arena), 0);
	wc.arena = t->arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(ob_blk_ram_create("ram", DISK_BYTES, 512, &t->disk, err, sizeof(err)), 0);
	conf = conf_of(t);
	conf.read_only = read_only;
	if (vhost)
		assert_int_equal(ob_vhost_blk_create(&conf, OB_VHOST_LISTEN, &t->fn), 0);
	else
		assert_int_equal(ob_virtio_blk_create(&conf, &t->fn), 0);
	pthread_mutex_init(&t->lock, NULL);
	assert_int_equal(pthread_create(&t->main_thread, NULL, main_loop, t), 0);
}

static void end(struct t *t)
{
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->main_thread, NULL);
	ob_virtio_blk_destroy(t->fn);
	ob_rcu_reclaim();
	ob_blk_put(t->disk);
	ob_workers_stop();
	ob_arena_destroy(t->arena);
	event_base_free(t->base);
	pthread_mutex_destroy(&t->lock);
	unlink(t->path);
}

static void open_driver(struct t *t, const struct mode *m, uint64_t features_off)
{
	struct vbd_conf c = {.path = t->path,
	    .vhost = m->vhost,
	    .packed = m->packed,
	    .event_idx = m->event_idx,
	    .indirect = m->indirect,
	    .n_queues = m->n_queues,
	    .queue_size = m->queue_size != 0 ? m->queue_size : 64,
	    .features_off = features_off,
	    .mem_bytes = 8u << 20};

	assert_int_equal(vbd_open(&t->d, &c), 0);
}

static struct fake_sg room(struct t *t, uint32_t bytes)
{
	return (struct fake_sg){fake_guest_alloc(&t->d.g, bytes, 512), bytes};
}

static void fill(struct t *t, struct fake_sg sg, uint32_t seed)
{
	uint8_t *p = fake_guest_ptr(&t->d.g, sg.iova);

	for (uint32_t i = 0; i < sg.len; i++)
		p[i] = (uint8_t)((seed + i * 7) ^ (i >> 8));
}

static void status(struct t *t, struct ob_virtio_blk_status *st)
{
	pthread_mutex_lock(&t->lock);
	ob_virtio_blk_get_status(t->fn, st);
	pthread_mutex_unlock(&t->lock);
}

static void round_trip(struct t *t, const struct mode *m)
{
	for (unsigned q = 0; q < m->n_queues; q++) {
		struct fake_sg out[3], in[2];

		for (unsigned i = 0; i < 3; i++) {
			out[i] = room(t, 1024);
			fill(t, out[i], q * 3 + i);
		}
		in[0] = room(t, 512);
		in[1] = room(t, 2560);
		assert_int_equal(
		    vbd_exec(&t->d, q, VIRTIO_BLK_T_OUT, 100 + 8 * q, out, 3), VIRTIO_BLK_S_OK);
		assert_int_equal(
		    vbd_exec(&t->d, q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(
		    vbd_exec(&t->d, q, VIRTIO_BLK_T_IN, 100 + 8 * q, in, 2), VIRTIO_BLK_S_OK);
		assert_memory_equal(
		    fake_guest_ptr(&t->d.g, in[0].iova), fake_guest_ptr(&t->d.g, out[0].iova), 512);
		assert_memory_equal(fake_guest_ptr(&t->d.g, in[1].iova),
		    (uint8_t *)fake_guest_ptr(&t->d.g, out[0].iova) + 512, 512);
		assert_memory_equal((uint8_t *)fake_guest_ptr(&t->d.g, in[1].iova) + 1536,
		    fake_guest_ptr(&t->d.g, out[2].iova), 1024);
	}
}

static void reads_what_was_written(void **state)
{
	static const struct mode modes[] = {
	    {false, false, false, false, 1, 0},
	    {false, true, true, true, 4, 0},
	    {false, false, true, true, 3, 0},
	    {true, false, false, false, 1, 0},
	    {true, true, true, true, 4, 0},
	    {true, false, true, true, 2, 0},
	    /* Over vhost-user the VMM picks the size by itself. */
	    {true, false, false, false, 1, 1024},
	    {true, true, false, true, 1, 512},
	};
	struct t t;

	(void)state;
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		begin(&t, modes[i].vhost, false);
		/* The peer comes twice. */
		for (unsigned k = 0; k < 2; k++) {
			open_driver(&t, &modes[i], 0);
			round_trip(&t, &modes[i]);
			vbd_close(&t.d);
			usleep(20000);
		}
		end(&t);
	}
}

static void many_at_once_complete(void **state)
{
	static const struct mode modes[] = {
	    {false, false, false, true, 2, 0}, {true, true, true, false, 2, 0}};
	struct t t;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fake_sg sg[16];
		unsigned n_done = 0, n_sent = 0;
		struct ob_vblk_queue_counters n[2];

		begin(&t, modes[i].vhost, false);
		open_driver(&t, &modes[i], 0);
		for (unsigned k = 0; k < 16; k++)
			sg[k] = room(&t, 4096);
		while (n_done < 2000) {
			uint64_t cookie;
			uint8_t st;

			while (n_sent < 2000 && n_sent - n_done < 32 &&
			       vbd_add(&t.d, n_sent % 2,
				   n_sent % 3 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT,
				   8 * (n_sent % 1000), &sg[n_sent % 16], 1, n_sent) == 0)
				n_sent++;
			vbd_kick(&t.d, 0);
			vbd_kick(&t.d, 1);
			for (unsigned q = 0; q < 2; q++)
				while (vbd_reap(&t.d, q, &cookie, &st) == 1) {
					assert_int_equal(st, VIRTIO_BLK_S_OK);
					n_done++;
				}
		}
		for (unsigned q = 0; q < 2; q++)
			assert_int_equal(
			    ob_vblk_queue_counters(ob_virtio_blk_vblk(t.fn), q, &n[q]), 0);
		assert_int_equal(n[0].n_reads + n[1].n_reads + n[0].n_writes + n[1].n_writes, 2000);
		assert_int_equal(
		    n[0].read_bytes + n[1].read_bytes + n[0].write_bytes + n[1].write_bytes,
		    2000 * 4096);
		vbd_close(&t.d);
		end(&t);
	}
}

static void discard_and_zeroes_follow_the_specification(void **state)
{
	static const struct mode m = {false, false, false, false, 1, 0};
	struct virtio_blk_discard_write_zeroes *r;
	struct fake_sg ranges, data;
	struct t t;

	(void)state;
	begin(&t, false, false);
	open_driver(&t, &m, 0);
	ranges = room(&t, 64);
	data = room(&t, 4096);
	r = fake_guest_ptr(&t.d.g, ranges.iova);
	fill(&t, data, 1);
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_OUT, 0, &data, 1), VIRTIO_BLK_S_OK);
	ranges.len = 32;
	r[0] = (struct virtio_blk_discard_write_zeroes){.sector = 0, .num_sectors = 2};
	r[1] = (struct virtio_blk_discard_write_zeroes){
	    .sector = 4, .num_sectors = 1, .flags = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP};
	assert_int_equal(
	    vbd_exec(&t.d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &ranges, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &data, 1), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < 4096; i++) {
		uint8_t want = (uint8_t)((1 + i * 7) ^ (i >> 8));
		unsigned sector = i / 512;

		if (sector < 2 || sector == 4)
			want = 0;
		assert_int_equal(((uint8_t *)fake_guest_ptr(&t.d.g, data.iova))[i], want);
	}
	/* 5.2.6.2: unmap on a discard, and flags that nobody knows, are not supported. */
	assert_int_equal(
	    vbd_exec(&t.d, 0, VIRTIO_BLK_T_DISCARD, 0, &ranges, 1), VIRTIO_BLK_S_UNSUPP);
	r[1].flags = 2;
	assert_int_equal(
	    vbd_exec(&t.d, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &ranges, 1), VIRTIO_BLK_S_UNSUPP);
	r[1].flags = 0;
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_DISCARD, 0, &ranges, 1), VIRTIO_BLK_S_OK);
	/* Not a whole number of ranges. */
	ranges.len = 24;
	assert_int_equal(
	    vbd_exec(&t.d, 0, VIRTIO_BLK_T_DISCARD, 0, &ranges, 1), VIRTIO_BLK_S_IOERR);
	/* What no device here can. */
	ranges.len = 16;
	assert_int_equal(
	    vbd_exec(&t.d, 0, VIRTIO_BLK_T_SECURE_ERASE, 0, &ranges, 1), VIRTIO_BLK_S_UNSUPP);
	vbd_close(&t.d);
	end(&t);
}

static void id_and_bad_requests(void **state)
{
	static const struct mode modes[] = {
	    {false, true, false, false, 1, 0}, {true, false, false, false, 1, 0}};
	struct fake_sg sg;
	struct t t;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(&t, modes[i].vhost, false);
		open_driver(&t, &modes[i], 0);
		sg = room(&t, 20);
		assert_int_equal(
		    vbd_exec(&t.d, 0, VIRTIO_BLK_T_GET_ID, 0, &sg, 1), VIRTIO_BLK_S_OK);
		assert_memory_equal(fake_guest_ptr(&t.d.g, sg.iova), "a-serial-of-20-bytes", 20);
		/* Not whole sectors; beyond the end; a sector that no 64-bit byte address has; a type that is none. */
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), VIRTIO_BLK_S_IOERR);
		sg = room(&t, 512);
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, DISK_BYTES / 512, &sg, 1),
		    VIRTIO_BLK_S_IOERR);
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_OUT, UINT64_MAX / 256, &sg, 1),
		    VIRTIO_BLK_S_IOERR);
		assert_int_equal(vbd_exec(&t.d, 0, 99, 0, &sg, 1), VIRTIO_BLK_S_UNSUPP);
		/* Memory that is nobody's. */
		sg.iova = 64;
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), VIRTIO_BLK_S_IOERR);
		sg = room(&t, 512);
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), VIRTIO_BLK_S_OK);
		vbd_close(&t.d);
		end(&t);
	}
}

static void read_only_refuses_writes(void **state)
{
	static const struct mode m = {true, false, false, false, 1, 0};
	struct fake_sg sg;
	struct t t;

	(void)state;
	begin(&t, true, true);
	open_driver(&t, &m, 0);
	assert_true(t.d.offered & BIT(VIRTIO_BLK_F_RO));
	assert_false(t.d.offered & BIT(VIRTIO_BLK_F_DISCARD));
	sg = room(&t, 512);
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_OUT, 0, &sg, 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), VIRTIO_BLK_S_OK);
	vbd_close(&t.d);
	end(&t);
}

static void configuration_tells_and_changes(void **state)
{
	static const struct mode modes[] = {
	    {false, false, false, false, 2, 0}, {true, false, false, false, 2, 0}};
	struct ob_virtio_blk_status st;
	struct t t;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(&t, modes[i].vhost, false);
		open_driver(&t, &modes[i], 0);
		assert_int_equal(t.d.cfg.capacity, DISK_BYTES / 512);
		assert_int_equal(t.d.cfg.blk_size, 512);
		assert_int_equal(t.d.cfg.num_queues, 4);
		assert_int_equal(t.d.cfg.seg_max, 126);
		assert_int_equal(t.d.cfg.wce, 1);
		assert_true(t.d.cfg.max_discard_sectors > 0 && t.d.cfg.max_discard_seg > 1);
		assert_int_equal(
		    vbd_set_config8(&t.d, offsetof(struct virtio_blk_config, wce), 0), 0);
		assert_int_equal(vbd_set_config8(&t.d, 0, 1), 0);
		assert_int_equal(vbd_read_config(&t.d), 0);
		assert_int_equal(t.d.cfg.wce, 0);
		assert_int_equal(t.d.cfg.capacity, DISK_BYTES / 512);
		status(&t, &st);
		assert_false(st.writeback);
		pthread_mutex_lock(&t.lock);
		assert_int_equal(ob_blk_resize(t.disk, 2 * DISK_BYTES), 0);
		pthread_mutex_unlock(&t.lock);
		assert_int_equal(vbd_read_config(&t.d), 0);
		assert_int_equal(t.d.cfg.capacity, 2 * DISK_BYTES / 512);
		vbd_close(&t.d);
		end(&t);
	}
}

/* A VMM changes it whenever its guest masks the vector. */
static void a_new_interrupt_leaves_the_cache_mode(void **state)
{
	static const struct mode m = {true, false, false, false, 1, 0};
	const uint64_t ring = 0;
	struct fake_sg sg;
	struct t t;

	(void)state;
	begin(&t, true, false);
	open_driver(&t, &m, 0);
	sg = room(&t, 512);
	assert_int_equal(vbd_set_config8(&t.d, offsetof(struct virtio_blk_config, wce), 0), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(vhost_client_set(&t.d.vhost, VHC_SET_VRING_CALL, &ring,
				     sizeof(ring), &t.d.q[0].call_fd, 1),
		    0);
		assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_OUT, 0, &sg, 1), VIRTIO_BLK_S_OK);
		assert_int_equal(vbd_read_config(&t.d), 0);
		assert_int_equal(t.d.cfg.wce, 0);
	}
	vbd_close(&t.d);
	end(&t);
}

static void a_broken_ring_needs_a_reset(void **state)
{
	static const struct mode m = {false, false, false, false, 1, 0};
	struct ob_virtio_blk_status st;
	struct fake_sg sg;
	struct t t;

	(void)state;
	begin(&t, false, false);
	open_driver(&t, &m, 0);
	sg = room(&t, 64);
	/* A chain without a status byte. */
	assert_int_equal(fake_ring_add(&t.d.q[0].ring, &sg, 1, 0, 7), 0);
	assert_int_equal(vbd_kick(&t.d, 0), 0);
	for (unsigned i = 0; i < 2000; i++) {
		if (vbd_status(&t.d) & VIRTIO_CONFIG_S_NEEDS_RESET)
			break;
		usleep(1000);
	}
	status(&t, &st);
	assert_int_equal(
	    st.driver_status & VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(st.n_needs_reset, 1);
	assert_true(st.queue[0].broken);
	assert_int_equal(vbd_set_status(&t.d, 0), 0);
	assert_int_equal(vbd_status(&t.d), 0);
	vbd_close(&t.d);
	open_driver(&t, &m, 0);
	sg = room(&t, 512);
	assert_int_equal(vbd_exec(&t.d, 0, VIRTIO_BLK_T_IN, 0, &sg, 1), VIRTIO_BLK_S_OK);
	vbd_close(&t.d);
	end(&t);
}

static void bad_configuration_is_refused(void **state)
{
	struct ob_virtio_blk *fn;
	struct ob_virtio_blk_conf c;
	struct t t;

	(void)state;
	begin(&t, false, false);
	pthread_mutex_lock(&t.lock);
	c = conf_of(&t);
	c.path = "/tmp/ob-blk-test.other";
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EEXIST);
	c.name = "disk1";
	c.n_queues = OB_VBLK_MAX_QUEUES + 1;
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EINVAL);
	c.n_queues = 1;
	c.queue_size = 100;
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EINVAL);
	c.queue_size = 0;
	c.id = "tab\there";
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EINVAL);
	c.id = NULL;
	c.path = t.path;
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EADDRINUSE);
	c.blk = NULL;
	assert_int_equal(ob_virtio_blk_create(&c, &fn), -EINVAL);
	pthread_mutex_unlock(&t.lock);
	end(&t);
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
	static const uint32_t body[3 + 8] = {0, 32, 0};
	uint8_t answer[sizeof(body)];
	struct vhost_client c;
	uint64_t offered, n;
	unsigned before;
	struct t t;
	int fds[8];

	(void)state;
	begin(&t, true, false);
	assert_int_equal(vhost_client_connect(&c, t.path), 0);
	assert_int_equal(
	    vhost_client_start(&c, BIT(VHC_P_CONFIG) | BIT(VHC_P_REPLY_ACK), &offered), 0);
	for (unsigned i = 0; i < 8; i++)
		fds[i] = c.fd;
	before = open_fds();
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(vhost_client_send(&c, VHC_GET_CONFIG, body, sizeof(body), fds, 8,
				     answer, sizeof(answer)),
		    0);
		assert_int_equal(
		    vhost_client_set(&c, VHC_SET_CONFIG, body, sizeof(body), fds, 8), 0);
		assert_int_equal(
		    vhost_client_send(&c, VHC_GET_QUEUE_NUM, NULL, 0, fds, 8, &n, sizeof(n)), 0);
	}
	/* Once more without any: the answer comes after the last of them was closed. */
	assert_int_equal(vhost_client_get_u64(&c, VHC_GET_QUEUE_NUM, &n), 0);
	assert_int_equal(open_fds(), before);
	vhost_client_close(&c);
	end(&t);
}

/* ... and one that stops reading holds up nobody. */
static void a_peer_hears_of_a_new_size(void **state)
{
	uint32_t head[3] = {0};
	struct vhost_client c;
	uint64_t offered;
	struct t t;
	int ch[2];

	(void)state;
	begin(&t, true, false);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ch), 0);
	assert_int_equal(vhost_client_connect(&c, t.path), 0);
	assert_int_equal(
	    vhost_client_start(&c, BIT(VHC_P_CONFIG) | BIT(VHC_P_REPLY_ACK) | BIT(5), &offered), 0);
	assert_int_equal(vhost_client_set(&c, 21, NULL, 0, &ch[1], 1), 0);
	pthread_mutex_lock(&t.lock);
	assert_int_equal(
	    ob_virtio_set_features(ob_virtio_blk_virtio(t.fn), BIT(VIRTIO_F_VERSION_1)), 0);
	ob_virtio_set_status(ob_virtio_blk_virtio(t.fn), 0xf);
	for (unsigned i = 1; i <= 2000; i++)
		assert_int_equal(ob_blk_resize(t.disk, DISK_BYTES + i % 2 * 4096), 0);
	pthread_mutex_unlock(&t.lock);
	assert_int_equal(recv(ch[0], head, sizeof(head), MSG_DONTWAIT), sizeof(head));
	assert_int_equal(head[0], 2);
	assert_int_equal(head[1], 1);
	assert_int_equal(head[2], 0);
	vhost_client_close(&c);
	close(ch[0]);
	close(ch[1]);
	end(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads_what_was_written),
	    cmocka_unit_test(many_at_once_complete),
	    cmocka_unit_test(discard_and_zeroes_follow_the_specification),
	    cmocka_unit_test(id_and_bad_requests),
	    cmocka_unit_test(read_only_refuses_writes),
	    cmocka_unit_test(configuration_tells_and_changes),
	    cmocka_unit_test(a_new_interrupt_leaves_the_cache_mode),
	    cmocka_unit_test(a_broken_ring_needs_a_reset),
	    cmocka_unit_test(bad_configuration_is_refused),
	    cmocka_unit_test(descriptors_that_nobody_asked_for_are_closed),
	    cmocka_unit_test(a_peer_hears_of_a_new_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
