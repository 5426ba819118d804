/* SPDX-License-Identifier: BSD-3-Clause */
/* A vhost-user front end against the real rte_vhost; the packet side is a stand-in. */
#include "vhost_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "ob_arena.h"
#include "ob_test_eal.h"
#include "fake_ports.h"

#define BIT(b)	     (UINT64_C(1) << (b))
#define PROTOCOL_BIT BIT(30)
#define VERSION_1    BIT(VIRTIO_F_VERSION_1)
#define NEED_REPLY   8u
#define MEM_BYTES    0x100000u
#define GPA	     0x40000000u
#define UVA	     0x7f0000000000u
#define WAIT_MS	     5000

enum {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
};

struct region {
	uint64_t gpa, size, uva, off;
};

struct msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, pad;
			struct region r[8];
		} mem;
		uint8_t bytes[512];
	};
} __attribute__((packed));

struct t {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_vnet *vn;
	char path[108];
	int fd, mem_fd, kick[8], call[8];
	uint8_t *mem;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The main thread's loop turns while the front end waits. */
static void pump(struct t *t)
{
	struct timeval tick = {.tv_usec = 1000};

	event_base_loopexit(t->base, &tick);
	event_base_loop(t->base, 0);
}

static int dial(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void put(int fd, const void *buf, size_t len, const int *fds, unsigned n_fds)
{
	union {
		char b[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} ctl = {0};
	struct iovec iov = {(void *)(uintptr_t)buf, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds > 0) {
		mh.msg_control = &ctl;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, n_fds * sizeof(int));
	}
	(void)!sendmsg(fd, &mh, MSG_NOSIGNAL);
}

/* Waits for the answer. Returns false if the peer closed. */
static bool answer(struct t *t, struct msg *m)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (now_ms() < end) {
		ssize_t n = recv(t->fd, m, sizeof(*m), MSG_DONTWAIT);

		if (n > 0)
			return true;
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
		pump(t);
	}
	fail_msg("no answer");
	return false;
}

/* Sends with NEED_REPLY and returns the acknowledgement: 0 done, 1 refused, -1 closed. */
static int tell_fds(struct t *t, struct msg *m, uint32_t size, const int *fds, unsigned n_fds)
{
	m->flags = 1 | NEED_REPLY;
	m->size = size;
	put(t->fd, m, 12 + size, fds, n_fds);
	return answer(t, m) ? (int)m->u64 : -1;
}

static int tell_u64(struct t *t, uint32_t request, uint64_t v)
{
	return tell_fds(t, &(struct msg){.request = request, .u64 = v}, 8, NULL, 0);
}

static int tell_state(struct t *t, uint32_t request, uint32_t index, uint32_t num)
{
	struct msg m = {.request = request};

	m.state.index = index;
	m.state.num = num;
	return tell_fds(t, &m, 8, NULL, 0);
}

static struct msg ask(struct t *t, uint32_t request, uint64_t v)
{
	struct msg m = {.request = request, .flags = 1, .size = v == UINT64_MAX ? 0 : 8, .u64 = v};

	put(t->fd, &m, 12 + m.size, NULL, 0);
	assert_true(answer(t, &m));
	return m;
}

static int set_memory(struct t *t, uint64_t gpa, int fd, uint64_t size)
{
	struct msg m = {.request = SET_MEM_TABLE};

	m.mem.n = 1;
	m.mem.pad = 0;
	m.mem.r[0] = (struct region){gpa, size, UVA, 0};
	return tell_fds(t, &m, 8 + sizeof(struct region), &fd, 1);
}

static int set_fd(struct t *t, uint32_t request, unsigned q, int fd)
{
	struct msg m = {.request = request, .u64 = q};

	return tell_fds(t, &m, 8, &fd, 1);
}

static void set_ring(struct t *t, unsigned q, uint32_t base)
{
	struct msg m = {.request = SET_VRING_ADDR};
	uint64_t at = UVA + 0x10000 * q;

	assert_int_equal(tell_state(t, SET_VRING_NUM, q, 128), 0);
	assert_int_equal(tell_state(t, SET_VRING_BASE, q, base), 0);
	m.addr.index = q;
	m.addr.flags = 0;
	m.addr.desc = at;
	m.addr.avail = at + 0x1000;
	m.addr.used = at + 0x2000;
	m.addr.log = 0;
	assert_int_equal(tell_fds(t, &m, 40, NULL, 0), 0);
	/* A split ring's used index says where it stands. */
	memcpy(t->mem + 0x10000 * q + 0x2002, &base, 2);
	assert_int_equal(set_fd(t, SET_VRING_KICK, q, t->kick[q]), 0);
	assert_int_equal(set_fd(t, SET_VRING_CALL, q, t->call[q]), 0);
}

static void hello(struct t *t, uint64_t features)
{
	tell_u64(t, SET_PROTOCOL_FEATURES, 1 | 8);
	assert_int_equal(tell_fds(t, &(struct msg){.request = SET_OWNER}, 0, NULL, 0), 0);
	assert_int_equal(tell_u64(t, SET_FEATURES, features | PROTOCOL_BIT), 0);
}

static void start(struct t *t, uint64_t features, unsigned n_rings)
{
	hello(t, features);
	assert_int_equal(set_memory(t, GPA, t->mem_fd, MEM_BYTES), 0);
	for (unsigned q = 0; q < n_rings; q++)
		set_ring(t, q, 100 + q);
	for (unsigned q = 0; q < n_rings; q++)
		assert_int_equal(tell_state(t, SET_VRING_ENABLE, q, 1), 0);
	assert_int_equal(tell_u64(t, SET_FEATURES, features | PROTOCOL_BIT), 0);
}

/* rte_vhost looks for new listening sockets once a second, or when something happens on an old one. */
static void wake_library(void)
{
	static char path[108];
	static const struct rte_vhost_device_ops ops = {0};

	if (path[0] == '\0') {
		snprintf(path, sizeof(path), "/tmp/ob-vhost-wake.%d", (int)getpid());
		assert_int_equal(rte_vhost_driver_register(path, 0), 0);
		assert_int_equal(rte_vhost_driver_callback_register(path, &ops), 0);
		assert_int_equal(rte_vhost_driver_start(path), 0);
	}
	close(dial(path));
}

static void wake_library_done(void)
{
	char path[108];

	snprintf(path, sizeof(path), "/tmp/ob-vhost-wake.%d", (int)getpid());
	rte_vhost_driver_unregister(path);
}

static struct ob_vnet_conf conf_of(struct t *t)
{
	return (struct ob_vnet_conf){
	    .name = "vh0",
	    .path = t->path,
	    .base = t->base,
	    .arena = t->arena,
	    .mac = {2, 0, 0, 0, 0, 1},
	    .mtu = 1500,
	    .n_pairs = 2,
	    .packed = true,
	};
}

static int setup(void **state)
{
	static struct t t;
	struct ob_vnet_conf conf;

	ob_test_eal();
	fakes_reset();
	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	if (ob_gmem_catch_faults() != 0 || ob_arena_create("t", 1 << 20, &t.arena) != 0)
		return -1;
	snprintf(t.path, sizeof(t.path), "/tmp/ob-vhost-test.%d", (int)getpid());
	t.mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (ftruncate(t.mem_fd, MEM_BYTES) != 0)
		return -1;
	t.mem = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, t.mem_fd, 0);
	for (unsigned i = 0; i < 8; i++) {
		t.kick[i] = eventfd(0, EFD_NONBLOCK);
		t.call[i] = eventfd(0, 0);
	}
	conf = conf_of(&t);
	if (ob_vhost_create(&conf, OB_VHOST_LISTEN, &t.vn) != 0)
		return -1;
	wake_library();
	t.fd = dial(t.path);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct t *t = *state;

	ob_vnet_destroy(t->vn);
	close(t->fd);
	for (unsigned i = 0; i < 8; i++) {
		close(t->kick[i]);
		close(t->call[i]);
	}
	munmap(t->mem, MEM_BYTES);
	close(t->mem_fd);
	ob_arena_destroy(t->arena);
	event_base_free(t->base);
	return 0;
}

static struct ob_vnet_status status(struct t *t)
{
	struct ob_vnet_status s;

	ob_vnet_get_status(t->vn, &s);
	return s;
}

static void wait_until_alone(struct t *t)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (status(t).connected && now_ms() < end)
		pump(t);
	assert_false(status(t).connected);
}

/* ---- the tests ---- */

static void rings_run_where_the_peer_says(void **state)
{
	struct t *t = *state;
	uint64_t one = 1;

	assert_true(ask(t, GET_FEATURES, UINT64_MAX).u64 & VERSION_1);
	assert_false(ask(t, GET_FEATURES, UINT64_MAX).u64 & BIT(26 /* LOG_ALL */));
	assert_int_equal(ask(t, GET_QUEUE_NUM, UINT64_MAX).u64, 2);
	start(t, VERSION_1 | BIT(VIRTIO_NET_F_MQ), 2);
	assert_true(fake_vif.running[0] && fake_vif.running[1] && !fake_vif.running[2]);
	assert_true(fake_vif.queue[1].desc.v == GPA + 0x10000);
	assert_true(fake_vif.queue[1].driver.v == GPA + 0x11000);
	assert_true(fake_vif.queue[1].device.v == GPA + 0x12000);
	assert_int_equal(fake_vif.queue[1].size, 128);
	assert_int_equal(fake_vif.start_idx[0], 100);
	assert_int_equal(fake_vif.start_idx[1], 101);
	assert_true(fake_vif.features == (VERSION_1 | BIT(VIRTIO_NET_F_MQ)));
	assert_int_equal(fake_vif.steering.n_pairs, 1);
	assert_true(status(t).connected && status(t).peer_pid == getpid());
	assert_int_equal(status(t).n_bytes, MEM_BYTES);
	assert_true(fake_vif.irq_fd[1] >= 0);
	assert_int_equal(write(fake_vif.irq_fd[1], &one, 8), 8);
	assert_int_equal(read(t->call[1], &one, 8), 8);
	fake_vif.n_kicks[1] = 0;
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(write(t->kick[1], &one, 8), 8);
		pump(t);
		assert_int_equal(fake_vif.n_kicks[1], i);
	}
}

static void a_stopped_ring_tells_where_it_stands(void **state)
{
	struct t *t = *state;

	start(t, VERSION_1, 2);
	fake_vif.stop_pos[0] = 4711;
	fake_vif.stop_pos[1] = 65535;
	assert_int_equal(ask(t, GET_VRING_BASE, 0).state.num, 4711);
	assert_false(fake_vif.running[0] || fake_vif.running[1]);
	assert_int_equal(ask(t, GET_VRING_BASE, 1).state.num, 65535);
	assert_int_equal(status(t).driver_status, 0);
}

static void a_packed_ring_keeps_its_wrap_counter(void **state)
{
	struct t *t = *state;
	const uint64_t f = VERSION_1 | BIT(VIRTIO_F_RING_PACKED);

	hello(t, f);
	assert_int_equal(set_memory(t, GPA, t->mem_fd, MEM_BYTES), 0);
	set_ring(t, 0, 5 | 1 << 15);
	set_ring(t, 1, 7);
	assert_int_equal(tell_state(t, SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(tell_state(t, SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(tell_u64(t, SET_FEATURES, f | PROTOCOL_BIT), 0);
	assert_true(fake_vif.queue[0].packed);
	assert_int_equal(fake_vif.start_idx[0], 5 | 1 << 15);
	assert_int_equal(fake_vif.start_idx[1], 7);
	fake_vif.stop_pos[0] = 9 | 1 << 15;
	assert_int_equal(ask(t, GET_VRING_BASE, 0).state.num, 9 | 1 << 15);
}

static void pairs_follow_the_enabled_rings(void **state)
{
	struct t *t = *state;

	start(t, VERSION_1 | BIT(VIRTIO_NET_F_MQ), 4);
	assert_int_equal(fake_vif.steering.n_pairs, 2);
	fake_vif.stop_pos[3] = 55;
	assert_int_equal(tell_state(t, SET_VRING_ENABLE, 3, 0), 0);
	assert_int_equal(
	    tell_u64(t, SET_FEATURES, VERSION_1 | BIT(VIRTIO_NET_F_MQ) | PROTOCOL_BIT), 0);
	assert_true(fake_vif.running[2] && !fake_vif.running[3]);
	assert_int_equal(fake_vif.steering.n_pairs, 1);
	assert_int_equal(tell_state(t, SET_VRING_ENABLE, 3, 1), 0);
	assert_int_equal(
	    tell_u64(t, SET_FEATURES, VERSION_1 | BIT(VIRTIO_NET_F_MQ) | PROTOCOL_BIT), 0);
	assert_int_equal(fake_vif.start_idx[3], 55);
	assert_int_equal(fake_vif.steering.n_pairs, 2);
}

static void a_new_memory_table_replaces_the_old_one(void **state)
{
	struct t *t = *state;
	uint8_t b;
	int fd = memfd_create("more", MFD_CLOEXEC);

	start(t, VERSION_1, 2);
	assert_int_equal(ftruncate(fd, 2 * MEM_BYTES), 0);
	assert_int_equal(set_memory(t, GPA, fd, 2 * MEM_BYTES), 0);
	assert_int_equal(status(t).n_ranges, 1);
	assert_int_equal(status(t).n_bytes, 2 * MEM_BYTES);
	assert_true(fake_vif.running[0]);
	assert_int_equal(pwrite(fd, "x", 1, MEM_BYTES + 5), 1);
	assert_int_equal(ob_gmem_fetch(ob_gmem_map_get(ob_virtio_gmem(ob_vnet_virtio(t->vn))), &b,
			     (ob_iova_t){GPA + MEM_BYTES + 5}, 1),
	    0);
	assert_int_equal(b, 'x');
	close(fd);
}

static void a_driver_without_version_1_does_not_start(void **state)
{
	struct t *t = *state;

	start(t, BIT(VIRTIO_NET_F_MRG_RXBUF), 2);
	assert_false(fake_vif.running[0]);
	assert_int_equal(status(t).driver_status, 0);
}

static void features_that_were_not_offered_end_the_connection(void **state)
{
	struct t *t = *state;
	struct msg m = {.request = SET_FEATURES, .flags = 1, .size = 8};

	m.u64 = BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VERSION_1;
	put(t->fd, &m, 20, NULL, 0);
	assert_false(answer(t, &m));
	wait_until_alone(t);
}

static void the_next_peer_is_served_after_the_first_has_gone(void **state)
{
	struct t *t = *state;

	start(t, VERSION_1, 2);
	close(t->fd);
	wait_until_alone(t);
	assert_false(fake_vif.running[0]);
	assert_int_equal(status(t).n_ranges, 0);
	t->fd = dial(t->path);
	start(t, VERSION_1, 2);
	assert_true(fake_vif.running[0]);
}

static void a_second_peer_is_turned_away(void **state)
{
	struct t *t = *state;
	int first = t->fd;
	struct msg m;

	start(t, VERSION_1, 2);
	t->fd = dial(t->path);
	assert_false(answer(t, &m));
	close(t->fd);
	t->fd = first;
	assert_true(ask(t, GET_FEATURES, UINT64_MAX).u64 & VERSION_1);
	assert_true(fake_vif.running[0] && status(t).connected);
}

static void half_a_message_holds_nobody_for_long(void **state)
{
	struct t *t = *state;
	struct msg m = {.request = SET_FEATURES, .flags = 1, .size = 8};

	start(t, VERSION_1, 2);
	put(t->fd, &m, 14, NULL, 0);
	assert_false(answer(t, &m));
	wait_until_alone(t);
	close(t->fd);
	t->fd = dial(t->path);
	start(t, VERSION_1, 2);
}

static void a_shortened_file_does_not_end_the_process(void **state)
{
	struct t *t = *state;
	int fd = memfd_create("short", MFD_CLOEXEC);

	assert_int_equal(vhost_guard_init(), 0); /* cmocka has put its own handler over it */
	start(t, VERSION_1, 2);
	assert_int_equal(ftruncate(fd, 4096), 0);
	(void)set_memory(
	    t, GPA + 0x1000000, fd, MEM_BYTES); /* reads the used index behind its end */
	(void)set_fd(t, SET_VRING_KICK, 0, t->kick[0]);
	close(fd);
	assert_true(ask(t, GET_FEATURES, UINT64_MAX).u64 & VERSION_1);
}

static void other_files_than_eventfds_are_not_used(void **state)
{
	struct t *t = *state;
	int pipe_fd[2];

	assert_int_equal(pipe(pipe_fd), 0);
	start(t, VERSION_1, 2);
	assert_int_equal(set_fd(t, SET_VRING_CALL, 0, pipe_fd[1]), 0);
	assert_int_equal(set_fd(t, SET_VRING_KICK, 1, pipe_fd[0]), 0);
	assert_true(fake_vif.running[0] && fake_vif.running[1]);
	assert_int_equal(fake_vif.irq_fd[0], -1);
	fake_vif.n_kicks[1] = 0;
	assert_int_equal(write(pipe_fd[1], "x", 1), 1);
	pump(t);
	assert_int_equal(fake_vif.n_kicks[1], 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static void a_refused_memory_table_leaves_no_memory(void **state)
{
	struct t *t = *state;
	struct msg m = {.request = SET_MEM_TABLE};
	int fds[2] = {t->mem_fd, t->mem_fd};

	start(t, VERSION_1, 2);
	m.mem.n = 2;
	m.mem.pad = 0;
	m.mem.r[0] = (struct region){GPA, MEM_BYTES, UVA, 0};
	m.mem.r[1] = (struct region){GPA * 2ull, UINT64_MAX - 10, UVA * 2, 4096};
	assert_int_equal(tell_fds(t, &m, 8 + 2 * sizeof(struct region), fds, 2), 1);
	(void)tell_state(t, SET_VRING_ENABLE, 0, 0);
	(void)tell_state(t, SET_VRING_ENABLE, 0, 1);
	close(t->fd);
	wait_until_alone(t);
	t->fd = dial(t->path);
	start(t, VERSION_1, 2);
	assert_true(fake_vif.running[0]);
}

static void a_broken_ring_stops_until_the_driver_starts_anew(void **state)
{
	struct t *t = *state;

	start(t, VERSION_1, 2);
	fake_vif.on_broken(fake_vif.on_broken_ctx, 0);
	assert_false(fake_vif.running[0] || fake_vif.running[1]);
	assert_true(status(t).driver_status & VIRTIO_CONFIG_S_NEEDS_RESET);
	(void)ask(t, GET_VRING_BASE, 0);
	(void)ask(t, GET_VRING_BASE, 1);
	start(t, VERSION_1, 2);
	assert_true(fake_vif.running[0] && fake_vif.running[1]);
}

static void a_function_closes_under_a_talking_peer(void **state)
{
	struct t *t = *state;
	struct msg m = {.request = SET_VRING_ENABLE, .flags = 1, .size = 8};
	struct ob_vnet_conf conf = conf_of(t);

	start(t, VERSION_1, 2);
	/* rte_vhost's thread now waits for the main thread, which is about to close. */
	m.state.index = 1;
	m.state.num = 0;
	put(t->fd, &m, 20, NULL, 0);
	usleep(20000);
	ob_vnet_destroy(t->vn);
	assert_false(fake_vif.exists);
	assert_int_equal(access(t->path, F_OK), -1);
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &t->vn), 0);
}

static void wait_until_stopped(struct t *t)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (fake_vif.running[0] && now_ms() < end)
		pump(t);
	assert_false(fake_vif.running[0]);
}

/* The card's main thread must turn while it connects. */
static int accept_one(struct t *t, int listener)
{
	uint64_t end = now_ms() + WAIT_MS;
	int fd = -1;

	while (fd < 0 && now_ms() < end) {
		fd = accept(listener, NULL, NULL);
		pump(t);
	}
	assert_true(fd >= 0);
	return fd;
}

static void a_connecting_card_comes_back(void **state)
{
	struct t *t = *state;
	struct ob_vnet_conf conf = conf_of(t);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ob_vnet_destroy(t->vn);
	close(t->fd);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", t->path);
	assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_CONNECT, &t->vn), 0);
	for (unsigned i = 0; i < 3; i++) {
		t->fd = accept_one(t, listener);
		start(t, VERSION_1, 2);
		assert_true(fake_vif.running[0] && status(t).connected);
		assert_string_equal(status(t).transport, "vhost-user-client");
		shutdown(t->fd, SHUT_RDWR);
		if (i < 2)
			close(t->fd);
		wait_until_stopped(t); /* and perhaps connected again already */
	}
	close(listener);
	unlink(t->path);
}

static void a_path_in_use_is_refused(void **state)
{
	struct t *t = *state;
	struct ob_vnet_conf conf = conf_of(t);
	struct ob_vnet *vn = NULL;
	FILE *f;

	conf.name = "vh1";
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &vn), -EADDRINUSE);
	conf.path = "/tmp/ob-vhost-test.file";
	f = fopen(conf.path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &vn), -EEXIST);
	unlink(conf.path);
	conf.path = NULL;
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &vn), -EINVAL);
	conf.path = "/tmp/ob-vhost-test.none";
	conf.mtu = 1;
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &vn), -EINVAL);
	conf.mtu = 1500; /* fake vif: the one that there is */
	assert_int_equal(ob_vhost_create(&conf, OB_VHOST_LISTEN, &vn), -EEXIST);
	assert_null(vn);
	assert_true(ask(t, GET_FEATURES, UINT64_MAX).u64 & VERSION_1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(rings_run_where_the_peer_says),
	    T(a_stopped_ring_tells_where_it_stands),
	    T(a_packed_ring_keeps_its_wrap_counter),
	    T(pairs_follow_the_enabled_rings),
	    T(a_new_memory_table_replaces_the_old_one),
	    T(a_driver_without_version_1_does_not_start),
	    T(features_that_were_not_offered_end_the_connection),
	    T(the_next_peer_is_served_after_the_first_has_gone),
	    T(a_second_peer_is_turned_away),
	    T(half_a_message_holds_nobody_for_long),
	    T(a_shortened_file_does_not_end_the_process),
	    T(other_files_than_eventfds_are_not_used),
	    T(a_refused_memory_table_leaves_no_memory),
	    T(a_broken_ring_stops_until_the_driver_starts_anew),
	    T(a_function_closes_under_a_talking_peer),
	    T(a_connecting_card_comes_back),
	    T(a_path_in_use_is_refused),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	wake_library_done();
	return failed;
}
