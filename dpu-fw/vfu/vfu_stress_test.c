/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile peer on a real socket: thousands of random messages, descriptors, cuts and reconnections, while an honest peer
 * of another function on the same thread must notice nothing. */
#include <dirent.h>
#include <stdlib.h>

#include "fake_vfu.h"

#define N_ROUNDS 4000
#define N_FDS	 4

static uint64_t rng = 0x243f6a8885a308d3ull;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 20) % below;
}

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

/* Values at which something changes. */
static uint64_t edge(void)
{
	static const uint64_t edges[] = {0, 1, 2, 7, 8, 16, 32, 64, 0xfff, 0x1000, 0x1001, 0x3000,
	    0x4000, 0x10000, 1ull << 31, UINT32_MAX, 1ull << 33, UINT64_MAX - 4095, UINT64_MAX};

	return edges[rnd(sizeof(edges) / sizeof(edges[0]))];
}

static void put(uint8_t *body, size_t at, size_t width)
{
	uint64_t val = rnd(4) ? edge() : rng;

	memcpy(body + at, &val, width);
}

/* A body that gets past the table more often than not. Returns its length. */
static size_t make_body(uint16_t cmd, uint8_t *body)
{
	static const size_t len[VFU_N_CMDS] = {[VFU_DMA_MAP] = 32,
	    [VFU_DMA_UNMAP] = 24,
	    [VFU_DEVICE_GET_INFO] = 16,
	    [VFU_GET_REGION_INFO] = 32,
	    [VFU_GET_IRQ_INFO] = 16,
	    [VFU_SET_IRQS] = 20,
	    [VFU_REGION_READ] = 16,
	    [VFU_REGION_WRITE] = 24,
	    [VFU_REGION_WRITE_MULTI] = 8 + 24};
	size_t n = cmd < VFU_N_CMDS ? len[cmd] : rnd(64);
	uint32_t size32 = (uint32_t)n;
	uint64_t one = 1;

	memset(body, 0, 128);
	for (size_t at = 0; at + 4 <= n; at += 4) {
		if (rnd(3) == 0)
			put(body, at, 4);
	}
	if (cmd >= VFU_DMA_MAP && cmd <= VFU_SET_IRQS)
		memcpy(body, &size32, 4);
	if (cmd == VFU_SET_IRQS) {
		uint32_t flags = 1u << rnd(3) | 8u << rnd(3), index = rnd(5), start = rnd(4),
			 count = rnd(5);

		memcpy(body + 4, &flags, 4);
		memcpy(body + 8, &index, 4);
		memcpy(body + 12, &start, 4);
		memcpy(body + 16, &count, 4);
	} else if (cmd == VFU_REGION_WRITE_MULTI) {
		memcpy(body, &one, 8);
	} else if (cmd == VFU_DMA_MAP) {
		uint32_t flags = 1 + rnd(3);

		memcpy(body + 4, &flags, 4);
	}
	return rnd(16) ? n : rnd(64);
}

static void hostile_round(struct fix *f, const int *fds)
{
	uint8_t msg[sizeof(struct vfu_hdr) + 128];
	struct vfu_hdr hdr = {.id = (uint16_t)rnd(65536),
	    .cmd = (uint16_t)(1 + rnd(VFU_N_CMDS)),
	    .flags = VFU_F_NO_REPLY};
	size_t len, cut;
	unsigned n_fds = rnd(4) ? 0 : rnd(N_FDS);

	if (rnd(8) == 0)
		hdr.cmd = VFU_DMA_MAP;
	len = sizeof(hdr) + make_body(hdr.cmd, msg + sizeof(hdr));
	hdr.size = rnd(64) ? (uint32_t)len : rnd(256);
	if (rnd(4) == 0)
		hdr.flags = rnd(64) ? 0 : rnd(64);
	memcpy(msg, &hdr, sizeof(hdr));
	cut = rnd(4) ? len : 1 + rnd((uint32_t)len);
	cut = cut < len ? cut : len;
	if (vfu_client_send_raw(&f->c, msg, cut, fds, n_fds) == 0 && cut < len) {
		fix_pump(f);
		(void)vfu_client_send_raw(&f->c, msg + cut, len - cut, NULL, 0);
	}
	fix_pump(f);
	(void)recv(f->c.fd, f->c.reply, sizeof(f->c.reply), MSG_DONTWAIT);
}

static void come_back(struct fix *f)
{
	vfu_client_close(&f->c);
	fix_settle(f);
	assert_false(fix_stats(f).connected);
	assert_int_equal(fix_ranges(f), 0);
	fix_attach(f);
	assert_int_equal(vfu_client_start(&f->c), 0);
}

static void hostile_peer_harms_only_itself(void **state)
{
	int fds[N_FDS];
	struct fix good, bad;
	unsigned before, n_cut = 0;
	uint32_t mark = 0;
	uint8_t *hva;

	(void)state;
	before = count_fds();
	fix_open(&good);
	assert_int_equal(vfu_client_share(&good.c, 0, 1 << 16,
			     VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, &hva),
	    0);
	fix_open(&bad);
	for (unsigned i = 0; i < N_FDS; i++) {
		fds[i] = i % 2 ? eventfd(0, EFD_CLOEXEC) : memfd_create("m", MFD_CLOEXEC);
		assert_true(fds[i] >= 0 && (i % 2 || ftruncate(fds[i], 1 << 20) == 0));
	}
	for (unsigned i = 0; i < N_ROUNDS; i++) {
		hostile_round(&bad, fds);
		ob_vfu_irq(bad.v, rnd(8));
		if (!fix_stats(&bad).connected || rnd(200) == 0) {
			n_cut++;
			come_back(&bad);
		}
		if (i % 64 == 0) {
			assert_int_equal(vfu_client_write(&good.c, 0, 0, &i, 4), 0);
			assert_int_equal(vfu_client_read(&good.c, 0, 0, &mark, 4), 0);
			assert_int_equal(mark, i);
		}
	}
	/* Both kinds of rounds were played. */
	assert_true(n_cut > 50 && fix_stats(&bad).n_messages > N_ROUNDS / 2);
	assert_true(fix_stats(&bad).n_dma_map > 10 && fix_stats(&bad).n_disconnects > 50);
	assert_int_equal(fix_stats(&good).n_bad_messages, 0);
	assert_int_equal(fix_ranges(&good), 1);
	for (unsigned i = 0; i < N_FDS; i++)
		close(fds[i]);
	fix_close(&bad);
	fix_close(&good);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hostile_peer_harms_only_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
