/* SPDX-License-Identifier: BSD-3-Clause */
/* The protocol: the message table, framing, connections, the DMA map. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fake_vfu.h"

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* ---- VERSION ---- */

static void version_tells_limits(void **state)
{
	struct vfu_version ver;
	struct fix f;

	(void)state;
	fix_create(&f);
	fix_attach(&f);
	assert_int_equal(vfu_client_version(&f.c, NULL), 0);
	memcpy(&ver, f.c.reply, sizeof(ver));
	assert_int_equal(ver.major, 0);
	assert_int_equal(ver.minor, 0);
	assert_int_equal(f.c.reply[f.c.reply_len - 1], 0);
	assert_string_equal((char *)f.c.reply + sizeof(ver),
	    "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_"
	    "xfer_size\":65536,\"write_multiple\":true}}");
	fix_close(&f);
}

static void version_offers_only_what_was_proposed(void **state)
{
	static const char *const fine[] = {"{}", "", "{\"capabilities\":{}}",
	    "{\"capabilities\":{\"pgsizes\":12288,\"unknown\":[1,2]}}"};
	struct fix f;

	(void)state;
	fix_create(&f);
	for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		fix_attach(&f);
		assert_int_equal(vfu_client_version(&f.c, fine[i]), 0);
		assert_null(
		    strstr((char *)f.c.reply + sizeof(struct vfu_version), "write_multiple"));
		vfu_client_close(&f.c);
		fix_settle(&f);
	}
	fix_close(&f);
}

static void version_without_data_is_legal(void **state)
{
	struct vfu_version ver = {.minor = 7};
	struct fix f;

	(void)state;
	fix_create(&f);
	fix_attach(&f);
	assert_int_equal(vfu_client_command(&f.c, VFU_VERSION, 0, &ver, sizeof(ver), NULL, 0), 0);
	memcpy(&ver, f.c.reply, sizeof(ver));
	assert_int_equal(ver.minor, 0);
	fix_close(&f);
}

static void bad_version_is_einval_and_the_end(void **state)
{
	static const char *const bad[] = {"{", "[]", "7", "{\"capabilities\":7}", "nonsense",
	    "{\"capabilities\":{\"max_msg_fds\":\"many\"}}",
	    "{\"capabilities\":{\"max_msg_fds\":-1}}", "{\"capabilities\":{\"pgsizes\":65536}}",
	    "{\"capabilities\":{\"max_data_xfer_size\":1.5}}",
	    "{\"capabilities\":{\"write_multiple\":1}}",
	    "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}"};
	struct fix f;

	(void)state;
	fix_create(&f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fix_attach(&f);
		assert_int_equal(vfu_client_version(&f.c, bad[i]), -EINVAL);
		fix_assert_cut(&f);
		vfu_client_close(&f.c);
		fix_settle(&f);
	}
	fix_close(&f);
}

static void other_major_version_is_refused(void **state)
{
	struct vfu_version ver = {.major = 1};
	struct fix f;

	(void)state;
	fix_create(&f);
	fix_attach(&f);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_VERSION, 0, &ver, sizeof(ver), NULL, 0), -EPROTONOSUPPORT);
	fix_assert_cut(&f);
	fix_close(&f);
}

static void version_text_without_nul_is_refused(void **state)
{
	uint8_t body[] = {0, 0, 0, 0, '{', '}'};
	struct fix f;

	(void)state;
	fix_create(&f);
	fix_attach(&f);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_VERSION, 0, body, sizeof(body), NULL, 0), -EINVAL);
	fix_assert_cut(&f);
	fix_close(&f);
}

static void nothing_goes_before_version(void **state)
{
	static const uint8_t zero[64];
	struct fix f;

	(void)state;
	fix_create(&f);
	for (uint16_t cmd = 0; cmd < VFU_N_CMDS + 2; cmd++) {
		if (cmd == VFU_VERSION)
			continue;
		fix_attach(&f);
		assert_int_equal(
		    vfu_client_command(&f.c, cmd, VFU_F_NO_REPLY, zero, 32, NULL, 0), 0);
		fix_assert_cut(&f);
		vfu_client_close(&f.c);
		fix_settle(&f);
	}
	assert_int_equal(fix_ranges(&f), 0);
	fix_close(&f);
}

static void second_version_is_the_end(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_version(&f.c, NULL), -EPIPE);
	fix_assert_cut(&f);
	fix_close(&f);
}

/* ---- the table ---- */

struct limits {
	uint16_t cmd;
	uint32_t min, max;
	unsigned fds;
};

static const struct limits limits[] = {
    {VFU_DMA_MAP, 32, 32, 1},
    {VFU_DMA_UNMAP, 24, 40, 0},
    {VFU_DEVICE_GET_INFO, 16, 24, 0},
    {VFU_GET_REGION_INFO, 32, 65552, 0},
    {VFU_GET_IRQ_INFO, 16, 16, 0},
    {VFU_SET_IRQS, 20, 20 + 2048, 16},
    {VFU_REGION_READ, 16, 16, 0},
    {VFU_REGION_WRITE, 16, 65552, 0},
    {VFU_DEVICE_RESET, 0, 0, 0},
    {VFU_REGION_WRITE_MULTI, 8, 8 + 1024 * 24, 0},
};

#define N_LIMITS (sizeof(limits) / sizeof(limits[0]))

static void short_message_is_the_end(void **state)
{
	static const uint8_t zero[64];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < N_LIMITS; i++) {
		if (limits[i].min == 0)
			continue;
		assert_int_equal(
		    vfu_client_command(&f.c, limits[i].cmd, 0, zero, limits[i].min - 1, NULL, 0),
		    -EPIPE);
		fix_assert_cut(&f);
	}
	fix_close(&f);
}

static void long_message_is_the_end(void **state)
{
	static const uint8_t zero[66000];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < N_LIMITS; i++) {
		assert_int_equal(
		    vfu_client_command(&f.c, limits[i].cmd, 0, zero, limits[i].max + 1, NULL, 0),
		    -EPIPE);
		fix_assert_cut(&f);
	}
	fix_close(&f);
}

/* An emulated kernel may neither send so many descriptors nor tell that it lost some. */
static bool kernel_tells_truncation(const int *fds, unsigned n)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} ctl;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr mh = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	struct vfu_client c;
	int pair[2], got[VFU_MAX_FDS];
	bool told;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	vfu_client_init(&c, pair[1], NULL, NULL);
	told = vfu_client_send_raw(&c, "x", 1, fds, n) == 0 &&
	       recvmsg(pair[0], &mh, MSG_DONTWAIT) == 1 && (mh.msg_flags & MSG_CTRUNC) != 0;
	if (told) {
		memcpy(got, CMSG_DATA(&ctl.align), sizeof(got));
		for (unsigned i = 0; i < VFU_MAX_FDS; i++)
			close(got[i]);
	}
	close(pair[0]);
	vfu_client_close(&c);
	return told;
}

static void descriptor_too_many_is_the_end_and_leaks_none(void **state)
{
	static const uint8_t zero[64];
	int fds[VFU_MAX_FDS + 8];
	unsigned before;
	bool strict;
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	strict = kernel_tells_truncation(fds, VFU_MAX_FDS + 8);
	before = count_fds();
	for (unsigned i = 0; i < N_LIMITS; i++) {
		const unsigned n[2] = {limits[i].fds + 1, VFU_MAX_FDS + 8};

		for (unsigned k = 0; k < 2; k++) {
			if (n[k] > VFU_MAX_FDS && !strict)
				continue;
			assert_int_equal(vfu_client_command(&f.c, limits[i].cmd, 0, zero,
					     limits[i].min, fds, n[k]),
			    -EPIPE);
			fix_assert_cut(&f);
		}
	}
	assert_int_equal(count_fds(), before);
	for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	fix_close(&f);
}

static void what_is_not_supported_says_so(void **state)
{
	static const uint16_t cmds[] = {VFU_GET_REGION_IO_FDS, VFU_DIRTY_PAGES, VFU_DEVICE_FEATURE,
	    VFU_MIG_DATA_READ, VFU_MIG_DATA_WRITE, 0, VFU_N_CMDS, 999, UINT16_MAX};
	static const uint8_t zero[32];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		assert_int_equal(
		    vfu_client_command(&f.c, cmds[i], 0, zero, sizeof(zero), NULL, 0), -ENOTSUP);
	assert_true(fix_stats(&f).connected);
	assert_int_equal(fix_stats(&f).n_bad_messages, sizeof(cmds) / sizeof(cmds[0]));
	fix_close(&f);
}

static void server_commands_from_a_client_are_the_end(void **state)
{
	static const uint16_t cmds[] = {VFU_DMA_READ, VFU_DMA_WRITE};
	static const uint8_t zero[16];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
		    vfu_client_command(&f.c, cmds[i], 0, zero, sizeof(zero), NULL, 0), -EPIPE);
		fix_assert_cut(&f);
	}
	fix_close(&f);
}

static void impossible_headers_are_the_end(void **state)
{
	static const struct vfu_hdr bad[] = {
	    {.cmd = VFU_DEVICE_RESET, .size = 15},
	    {.cmd = VFU_DEVICE_RESET, .size = 0},
	    {.cmd = VFU_DEVICE_RESET, .size = UINT32_MAX},
	    {.cmd = VFU_REGION_WRITE, .size = VFU_MAX_MSG + 1},
	    {.cmd = VFU_DEVICE_RESET, .size = 16, .flags = 2},
	    {.cmd = VFU_DEVICE_RESET, .size = 16, .flags = 0xf},
	    {.cmd = VFU_DEVICE_RESET, .size = 16, .flags = VFU_F_REPLY},
	};
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(vfu_client_send_raw(&f.c, &bad[i], sizeof(bad[i]), NULL, 0), 0);
		fix_assert_cut(&f);
	}
	assert_int_equal(fix_stats(&f).n_disconnects, sizeof(bad) / sizeof(bad[0]));
	fix_close(&f);
}

/* ---- framing ---- */

static void message_in_single_bytes_is_one_message(void **state)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_dma_map m;
	} msg = {.hdr = {.id = 9, .cmd = VFU_DMA_MAP, .size = sizeof(msg), .flags = VFU_F_NO_REPLY},
	    .m = {.argsz = 32, .flags = RW, .iova = 0x1000, .size = 0x1000}};
	int fd = memfd_create("m", MFD_CLOEXEC);
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(ftruncate(fd, 4096), 0);
	for (unsigned i = 0; i < sizeof(msg); i++) {
		assert_int_equal(fix_ranges(&f), 0);
		assert_int_equal(
		    vfu_client_send_raw(&f.c, (uint8_t *)&msg + i, 1, &fd, i == 0 ? 1 : 0), 0);
		fix_settle(&f);
	}
	assert_int_equal(fix_ranges(&f), 1);
	/* The descriptor came along: an fd-less range could not be stored to. */
	assert_int_equal(ob_gmem_store(ob_gmem_map_get(f.gm), (ob_iova_t){0x1000}, "x", 1), 0);
	close(fd);
	fix_close(&f);
}

static void descriptor_inside_a_message_is_the_end(void **state)
{
	struct vfu_hdr hdr = {.cmd = VFU_DMA_MAP, .size = 48};
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned before;
	struct fix f;

	(void)state;
	fix_open(&f);
	before = count_fds();
	assert_int_equal(vfu_client_send_raw(&f.c, &hdr, 4, NULL, 0), 0);
	fix_settle(&f);
	assert_int_equal(vfu_client_send_raw(&f.c, (uint8_t *)&hdr + 4, 8, &fd, 1), 0);
	fix_assert_cut(&f);
	assert_int_equal(count_fds(), before);
	close(fd);
	fix_close(&f);
}

static void many_messages_in_one_read_are_one_batch(void **state)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_dma_map m;
	} msg[8];
	struct fix f;

	(void)state;
	fix_open(&f);
	f.n_dma_changed = 0;
	for (unsigned i = 0; i < 8; i++) {
		memset(&msg[i], 0, sizeof(msg[i]));
		msg[i].hdr = (struct vfu_hdr){
		    .id = (uint16_t)i, .cmd = VFU_DMA_MAP, .size = 48, .flags = VFU_F_NO_REPLY};
		msg[i].m = (struct vfu_dma_map){
		    .argsz = 32, .flags = RW, .iova = i * 0x1000ull, .size = 0x1000};
	}
	assert_int_equal(vfu_client_send_raw(&f.c, msg, sizeof(msg), NULL, 0), 0);
	fix_settle(&f);
	assert_int_equal(fix_ranges(&f), 8);
	/* One turn, or a few of them where the machine is slow; never one call per message. */
	assert_in_range(f.n_dma_changed, 1, 4);
	assert_int_equal(fix_stats(&f).n_dma_map, 8);
	fix_close(&f);
}

static void descriptors_find_their_message_behind_others(void **state)
{
	struct vfu_hdr reset = {.cmd = VFU_DEVICE_RESET, .size = 16, .flags = VFU_F_NO_REPLY};
	int fd[2] = {memfd_create("a", MFD_CLOEXEC), memfd_create("b", MFD_CLOEXEC)};
	char got[2];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pwrite(fd[i], &"AB"[i], 1, 0), 1);
		assert_int_equal(ftruncate(fd[i], 4096), 0);
	}
	/* All of it lies in the socket before the server looks: one read takes the resets and the message behind them. */
	for (unsigned i = 0; i < 2; i++) {
		struct {
			struct vfu_hdr hdr;
			struct vfu_dma_map m;
		} map = {.hdr = {.cmd = VFU_DMA_MAP, .size = 48, .flags = VFU_F_NO_REPLY},
		    .m = {.argsz = 32, .flags = RW, .iova = i * 0x1000ull, .size = 0x1000}};

		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(
			    vfu_client_send_raw(&f.c, &reset, sizeof(reset), NULL, 0), 0);
		assert_int_equal(vfu_client_send_raw(&f.c, &map, sizeof(map), &fd[i], 1), 0);
	}
	fix_settle(&f);
	assert_int_equal(fix_ranges(&f), 2);
	assert_int_equal(ob_gmem_fetch(ob_gmem_map_get(f.gm), &got[0], (ob_iova_t){0}, 1), 0);
	assert_int_equal(ob_gmem_fetch(ob_gmem_map_get(f.gm), &got[1], (ob_iova_t){0x1000}, 1), 0);
	assert_memory_equal(got, "AB", 2);
	close(fd[0]);
	close(fd[1]);
	fix_close(&f);
}

static void flood_yields_to_others(void **state)
{
	static struct vfu_hdr flood[3000];
	struct fix f;
	uint64_t before;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < 3000; i++)
		flood[i] =
		    (struct vfu_hdr){.cmd = VFU_DEVICE_RESET, .size = 16, .flags = VFU_F_NO_REPLY};
	before = fix_stats(&f).n_messages;
	assert_int_equal(vfu_client_send_raw(&f.c, flood, sizeof(flood), NULL, 0), 0);
	event_base_loop(f.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	assert_true(fix_stats(&f).n_messages - before <= 1024);
	assert_int_equal(vfu_client_reset(&f.c), 0);
	assert_int_equal(f.n_reset, 3001);
	fix_close(&f);
}

static void peer_that_does_not_read_is_cut_off(void **state)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_region_io io;
	} msg = {.hdr = {.cmd = VFU_REGION_READ, .size = sizeof(msg)},
	    .io = {.region = 0, .count = 4096}};
	struct fix f;
	int rc = 0;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < 2000 && rc == 0; i++) {
		rc = vfu_client_send_raw(&f.c, &msg, sizeof(msg), NULL, 0);
		fix_pump(&f);
	}
	fix_assert_cut(&f);
	fix_close(&f);
}

static void slow_reader_gets_everything(void **state)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_region_io io;
	} msg = {.hdr = {.cmd = VFU_REGION_READ, .size = sizeof(msg)},
	    .io = {.region = 0, .count = 4096}};
	enum { N = 120 };
	uint8_t val[4] = {1, 2, 3, 4};
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(vfu_client_send_raw(&f.c, &msg, sizeof(msg), NULL, 0), 0);
		fix_pump(&f);
	}
	for (unsigned i = 0; i < N; i++) {
		uint8_t buf[sizeof(msg) + 4096];
		size_t have = 0;

		while (have < sizeof(buf)) {
			ssize_t n = recv(f.c.fd, buf + have, sizeof(buf) - have, MSG_DONTWAIT);

			have += n > 0 ? (size_t)n : 0;
			fix_pump(&f);
		}
	}
	assert_int_equal(vfu_client_write(&f.c, 0, 0, val, 4), 0);
	fix_close(&f);
}

/* ---- connections ---- */

static void temp_path(char *path, size_t cap, char *dir)
{
	strcpy(dir, "/tmp/ob-vfu-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, cap, "%s/s", dir);
}

static int listen_at(struct fix *f, const char *path, struct ob_vfu **v)
{
	struct ob_vfu_conf conf = f->conf;

	conf.path = path;
	return ob_vfu_create(&conf, v);
}

static void second_client_is_refused_at_once(void **state)
{
	char dir[32], path[64];
	struct vfu_client one, two;
	struct ob_vfu_stats s;
	struct ob_vfu *v;
	struct stat st;
	struct fix f;

	(void)state;
	fix_create(&f);
	temp_path(path, sizeof(path), dir);
	assert_int_equal(listen_at(&f, path, &v), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(vfu_client_connect(&one, path, fix_pump, &f), 0);
	assert_int_equal(vfu_client_start(&one), 0);
	assert_int_equal(vfu_client_connect(&two, path, fix_pump, &f), 0);
	assert_int_equal(vfu_client_wait_close(&two), 0);
	ob_vfu_get_stats(v, &s);
	assert_int_equal(s.n_refused, 1);
	assert_int_equal(s.peer_pid, getpid());
	assert_int_equal(vfu_client_reset(&one), 0);
	vfu_client_close(&two);
	vfu_client_close(&one);
	fix_settle(&f);
	assert_int_equal(vfu_client_connect(&two, path, fix_pump, &f), 0);
	assert_int_equal(vfu_client_start(&two), 0);
	vfu_client_close(&two);
	ob_vfu_destroy(v);
	assert_int_equal(stat(path, &st), -1);
	rmdir(dir);
	fix_close(&f);
}

static void attach_to_a_busy_server_is_ebusy(void **state)
{
	struct fix f;
	int pair[2];

	(void)state;
	fix_open(&f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ob_vfu_attach(f.v, pair[0]), -EBUSY);
	assert_int_equal(fcntl(pair[0], F_GETFD), -1);
	close(pair[1]);
	fix_close(&f);
}

static void only_a_dead_socket_is_replaced(void **state)
{
	char dir[32], path[64], longpath[160];
	struct ob_vfu *a, *b;
	struct stat st;
	struct fix f;
	int fd;

	(void)state;
	fix_create(&f);
	temp_path(path, sizeof(path), dir);
	assert_int_equal(listen_at(&f, path, &a), 0);
	assert_int_equal(listen_at(&f, path, &b), -EADDRINUSE);
	/* A server that was killed leaves its file behind. */
	assert_int_equal(rename(path, "/tmp/ob-vfu-away"), 0);
	ob_vfu_destroy(a);
	assert_int_equal(rename("/tmp/ob-vfu-away", path), 0);
	assert_int_equal(listen_at(&f, path, &b), 0);
	/* One that was replaced meanwhile leaves its successor's file alone. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(listen_at(&f, path, &a), 0);
	ob_vfu_destroy(b);
	assert_int_equal(stat(path, &st), 0);
	ob_vfu_destroy(a);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listen_at(&f, path, &a), -EEXIST);
	assert_int_equal(unlink(path), 0);
	rmdir(dir);
	memset(longpath, 'x', sizeof(longpath) - 1);
	longpath[sizeof(longpath) - 1] = '\0';
	assert_int_equal(listen_at(&f, longpath, &a), -ENAMETOOLONG);
	assert_int_equal(listen_at(&f, "/nonexistent-folder/s", &a), -ENOENT);
	fix_close(&f);
}

static void disconnect_resets_and_forgets(void **state)
{
	int efd = eventfd(0, EFD_CLOEXEC);
	unsigned before;
	uint8_t *hva;
	struct fix f;

	(void)state;
	fix_create(&f);
	before = count_fds();
	fix_attach(&f);
	assert_int_equal(vfu_client_start(&f.c), 0);
	assert_int_equal(vfu_client_share(&f.c, 0, 1 << 20, RW, &hva), 0);
	assert_int_equal(vfu_client_map(&f.c, 1 << 20, 4096, RW, -1, 0), 0);
	assert_int_equal(vfu_client_msix(&f.c, 0, efd), 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, PCI_COMMAND_MASTER), 0);
	vfu_client_close(&f.c);
	fix_settle(&f);
	assert_int_equal(f.n_reset, 1);
	/* The model stopped while its memory was still there. */
	assert_int_equal(f.ranges_at_reset, 2);
	assert_int_equal(fix_ranges(&f), 0);
	assert_int_equal(f.n_up, 1);
	assert_int_equal(f.n_down, 1);
	assert_int_equal(f.command, 0);
	assert_int_equal(ob_vfu_irq_fd(f.v, 0), -1);
	assert_int_equal(fix_stats(&f).n_disconnects, 0);
	assert_int_equal(count_fds(), before);
	fix_attach(&f);
	assert_int_equal(vfu_client_start(&f.c), 0);
	assert_int_equal(vfu_client_cfg16(&f.c, PCI_COMMAND), 0);
	close(efd);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(version_tells_limits),
	    cmocka_unit_test(version_offers_only_what_was_proposed),
	    cmocka_unit_test(version_without_data_is_legal),
	    cmocka_unit_test(bad_version_is_einval_and_the_end),
	    cmocka_unit_test(other_major_version_is_refused),
	    cmocka_unit_test(version_text_without_nul_is_refused),
	    cmocka_unit_test(nothing_goes_before_version),
	    cmocka_unit_test(second_version_is_the_end),
	    cmocka_unit_test(short_message_is_the_end),
	    cmocka_unit_test(long_message_is_the_end),
	    cmocka_unit_test(descriptor_too_many_is_the_end_and_leaks_none),
	    cmocka_unit_test(what_is_not_supported_says_so),
	    cmocka_unit_test(server_commands_from_a_client_are_the_end),
	    cmocka_unit_test(impossible_headers_are_the_end),
	    cmocka_unit_test(message_in_single_bytes_is_one_message),
	    cmocka_unit_test(descriptor_inside_a_message_is_the_end),
	    cmocka_unit_test(many_messages_in_one_read_are_one_batch),
	    cmocka_unit_test(descriptors_find_their_message_behind_others),
	    cmocka_unit_test(flood_yields_to_others),
	    cmocka_unit_test(peer_that_does_not_read_is_cut_off),
	    cmocka_unit_test(slow_reader_gets_everything),
	    cmocka_unit_test(second_client_is_refused_at_once),
	    cmocka_unit_test(attach_to_a_busy_server_is_ebusy),
	    cmocka_unit_test(only_a_dead_socket_is_replaced),
	    cmocka_unit_test(disconnect_resets_and_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
