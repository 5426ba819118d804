/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer's memory: DMA_MAP, DMA_UNMAP, and whether it is shared at all. */
#include <fcntl.h>
#include <stdlib.h>

#include "fake_vfu.h"

#define RW (VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

/* ---- DMA map ---- */

static void dma_map_refuses_what_it_must(void **state)
{
	struct vfu_dma_map m = {.argsz = 31, .flags = RW, .size = 4096};
	int fd = memfd_create("m", MFD_CLOEXEC), file, zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	uint8_t *hva;
	struct fix f;

	(void)state;
	fix_open(&f);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(vfu_client_share(&f.c, 0x10000, 0x10000, RW, &hva), 0);
	assert_int_equal(vfu_client_map(&f.c, 0x10000, 0x10000, RW, -1, 0), -EEXIST);
	assert_int_equal(vfu_client_map(&f.c, 0x1f000, 0x2000, RW, fd, 0), -EEXIST);
	assert_int_equal(vfu_client_map(&f.c, 0, 0x1000, 0, fd, 0), -EINVAL);
	assert_int_equal(
	    vfu_client_map(&f.c, 0, 0x1000, RW | VFIO_DMA_MAP_FLAG_VADDR, fd, 0), -EINVAL);
	assert_int_equal(vfu_client_map(&f.c, 0, 0, RW, fd, 0), -EINVAL);
	assert_int_equal(vfu_client_map(&f.c, 0, 100, RW, fd, 0), -EINVAL);
	assert_int_equal(vfu_client_map(&f.c, UINT64_MAX - 4095, 8192, RW, fd, 0), -EINVAL);
	assert_int_equal(vfu_client_map(&f.c, 0, 0x1000, RW, fd, 0x2000), -ERANGE);
	assert_int_equal(vfu_client_map(&f.c, 0, 0x1000, RW, fd, UINT64_MAX - 4095), -ERANGE);
	assert_int_equal(vfu_client_map(&f.c, 0, 0x1000, RW, zero, 0), -EMEDIUMTYPE);
	assert_int_equal(
	    vfu_client_map(&f.c, 0, 0x1000, VFIO_DMA_MAP_FLAG_READ, file, 0), -EMEDIUMTYPE);
	assert_int_equal(vfu_client_command(&f.c, VFU_DMA_MAP, 0, &m, sizeof(m), NULL, 0), -EINVAL);
	assert_int_equal(fix_ranges(&f), 1);
	close(fd);
	close(file);
	close(zero);
	fix_close(&f);
}

static void prot_and_missing_fd_are_kept(void **state)
{
	uint8_t *hva, byte = 0;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_share(&f.c, 0, 4096, VFIO_DMA_MAP_FLAG_READ, &hva), 0);
	assert_int_equal(
	    vfu_client_map(&f.c, 0xfffc0000, 0x40000, VFIO_DMA_MAP_FLAG_READ, -1, 0), 0);
	hva[7] = 0x77;
	assert_int_equal(ob_gmem_fetch(ob_gmem_map_get(f.gm), &byte, (ob_iova_t){7}, 1), 0);
	assert_int_equal(byte, 0x77);
	assert_int_equal(ob_gmem_store(ob_gmem_map_get(f.gm), (ob_iova_t){7}, &byte, 1), -EACCES);
	assert_int_equal(
	    ob_gmem_fetch(ob_gmem_map_get(f.gm), &byte, (ob_iova_t){0xfffc0000}, 1), -ENOTSUP);
	fix_close(&f);
}

static void unmap_is_answered_after_readers_left(void **state)
{
	struct vfu_dma_unmap echo;
	uint8_t *hva;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_share(&f.c, 0x1000, 0x1000, RW, &hva), 0);
	f.n_sync = 0;
	f.n_dma_changed = 0;
	assert_int_equal(vfu_client_unmap(&f.c, 0x1000, 0x1000, 0), 0);
	assert_true(f.n_sync > 0);
	assert_int_equal(f.n_dma_changed, 1);
	assert_int_equal(f.c.reply_len, sizeof(echo));
	memcpy(&echo, f.c.reply, sizeof(echo));
	assert_int_equal(echo.iova, 0x1000);
	assert_int_equal(fix_ranges(&f), 0);
	fix_close(&f);
}

static void unmap_refuses_what_it_must(void **state)
{
	struct vfu_dma_unmap m = {.argsz = 23, .size = 4096};
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_map(&f.c, 0, 0x4000, RW, -1, 0), 0);
	assert_int_equal(vfu_client_map(&f.c, 0x10000, 0x4000, RW, -1, 0), 0);
	assert_int_equal(vfu_client_unmap(&f.c, 0x4000, 0x1000, 0), -ENOENT);
	assert_int_equal(vfu_client_unmap(&f.c, 0x1000, 0x1000, 0), -EINVAL);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0, 0), -EINVAL);
	assert_int_equal(
	    vfu_client_unmap(&f.c, 0, 0x4000, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP), -ENOTSUP);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0x4000, VFIO_DMA_UNMAP_FLAG_ALL), -EINVAL);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0, 1u << 9), -EINVAL);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_DMA_UNMAP, 0, &m, sizeof(m), NULL, 0), -EINVAL);
	assert_int_equal(fix_ranges(&f), 2);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(fix_ranges(&f), 0);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(fix_stats(&f).n_dma_unmap, 2);
	fix_close(&f);
}

static void last_page_of_the_address_space_goes_with_the_peer(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_map(&f.c, 0, 4096, RW, -1, 0), 0);
	assert_int_equal(vfu_client_map(&f.c, UINT64_MAX - 4095, 4096, RW, -1, 0), 0);
	assert_int_equal(vfu_client_unmap(&f.c, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL), 0);
	assert_int_equal(fix_ranges(&f), 0);
	assert_int_equal(vfu_client_map(&f.c, UINT64_MAX - 4095, 4096, RW, -1, 0), 0);
	vfu_client_close(&f.c);
	fix_settle(&f);
	assert_int_equal(fix_ranges(&f), 0);
	fix_close(&f);
}

/* ---- is the guest's memory shared? ---- */

static int check_shared(struct fix *f, uint64_t iova, uint32_t len)
{
	return ob_vfu_check_shared(f->v, (ob_iova_t){iova}, len, fix_shared, f);
}

static void master(struct fix *f)
{
	assert_int_equal(vfu_client_cfg_set16(&f->c, PCI_COMMAND, PCI_COMMAND_MASTER), 0);
}

static void shared_memory_is_found_shared(void **state)
{
	uint8_t *hva;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_share(&f.c, 0, 8192, RW, &hva), 0);
	memset(hva + 64, 0x5a, 256);
	assert_int_equal(check_shared(&f, 64, 256), -EPERM);
	master(&f);
	assert_int_equal(check_shared(&f, 64, 256), 0);
	assert_int_equal(check_shared(&f, 64, 256), -EBUSY);
	assert_int_equal(vfu_client_cfg8(&f.c, 0), 0xf4);
	fix_settle(&f);
	assert_int_equal(f.shared, 1);
	assert_int_equal(f.c.n_dma_reads, 1);
	assert_false(fix_stats(&f).not_shared);
	fix_close(&f);
}

static void private_memory_is_found_on_second_look(void **state)
{
	uint8_t *hva, *view = calloc(1, 8192);
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_share(&f.c, 0, 8192, RW, &hva), 0);
	memset(view + 64, 0x5a, 256);
	master(&f);
	f.c.mem[0].view = view;
	assert_int_equal(check_shared(&f, 64, 256), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vfu_client_cfg8(&f.c, 0), 0xf4);
	assert_int_equal(f.c.n_dma_reads, 2);
	assert_int_equal(f.shared, 0);
	assert_true(fix_stats(&f).not_shared);
	/* A driver that wrote between the two looks is no difference. */
	f.shared = -1;
	assert_int_equal(check_shared(&f, 64, 256), 0);
	f.c.mem[0].view = hva;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vfu_client_cfg8(&f.c, 0), 0xf4);
	assert_int_equal(f.shared, 1);
	free(view);
	fix_close(&f);
}

static void check_shared_errors(void **state)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_dma_io io;
	} wrong = {
	    .hdr = {.id = 1, .cmd = VFU_DMA_READ, .size = sizeof(wrong), .flags = VFU_F_REPLY}};
	uint8_t *hva;
	struct fix f;

	(void)state;
	fix_create(&f);
	assert_int_equal(check_shared(&f, 0, 64), -ENOTCONN);
	fix_attach(&f);
	assert_int_equal(check_shared(&f, 0, 64), -ENOTCONN);
	assert_int_equal(
	    vfu_client_version(&f.c, "{\"capabilities\":{\"max_data_xfer_size\":100}}"), 0);
	assert_int_equal(vfu_client_share(&f.c, 0, 8192, RW, &hva), 0);
	master(&f);
	assert_int_equal(check_shared(&f, 0, 101), -EINVAL);
	assert_int_equal(check_shared(&f, 0, 0), -EINVAL);
	assert_int_equal(check_shared(&f, 0, 5000), -EINVAL);
	assert_int_equal(check_shared(&f, 0x100000, 64), -EFAULT);
	/* The client refuses: no verdict, and another check may start. */
	f.c.mem[0].size = 0;
	assert_int_equal(check_shared(&f, 0, 64), 0);
	assert_int_equal(vfu_client_cfg8(&f.c, 0), 0xf4);
	fix_settle(&f);
	assert_int_equal(f.shared, -1);
	f.c.mem[0].size = 8192;
	/* An answer of the wrong size ends it. */
	assert_int_equal(check_shared(&f, 0, 64), 0);
	wrong.hdr.id = 2;
	assert_int_equal(vfu_client_send_raw(&f.c, &wrong, sizeof(wrong), NULL, 0), 0);
	fix_assert_cut(&f);
	assert_int_equal(f.shared, -1);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(dma_map_refuses_what_it_must),
	    cmocka_unit_test(prot_and_missing_fd_are_kept),
	    cmocka_unit_test(unmap_is_answered_after_readers_left),
	    cmocka_unit_test(unmap_refuses_what_it_must),
	    cmocka_unit_test(last_page_of_the_address_space_goes_with_the_peer),
	    cmocka_unit_test(shared_memory_is_found_shared),
	    cmocka_unit_test(private_memory_is_found_on_second_look),
	    cmocka_unit_test(check_shared_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
