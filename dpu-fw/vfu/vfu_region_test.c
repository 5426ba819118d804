/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions and config space: bounds, BAR sizing, capabilities, VPD, resets. */
#include <stdlib.h>

#include "fake_vfu.h"

#define FLR 0x8000u

/* ---- regions ---- */

static int region_info(struct fix *f, uint32_t index, uint32_t argsz, struct vfu_sparse_reply *out)
{
	struct vfio_region_info req = {.argsz = argsz, .index = index};
	int rc = vfu_client_command(&f->c, VFU_GET_REGION_INFO, 0, &req, sizeof(req), NULL, 0);

	memset(out, 0, sizeof(*out));
	if (rc == 0) {
		assert_true(f->c.reply_len <= sizeof(*out));
		memcpy(out, f->c.reply, f->c.reply_len);
	}
	return rc;
}

static void device_info_says_pci_and_reset(void **state)
{
	struct vfu_device_info info = {.argsz = 15};
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_DEVICE_GET_INFO, 0, &info, sizeof(info), NULL, 0),
	    -EINVAL);
	info.argsz = 16;
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_DEVICE_GET_INFO, 0, &info, sizeof(info), NULL, 0), 0);
	memcpy(&info, f.c.reply, sizeof(info));
	assert_int_equal(info.flags, VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
	fix_close(&f);
}

static void region_sizes_are_those_of_the_model(void **state)
{
	const uint64_t sizes[9] = {FIX_BAR0, 0, 1ull << 33, 0, 0, 0, 0, 4096, 0};
	struct vfu_sparse_reply r;
	struct fix f;

	(void)state;
	fix_open(&f);
	for (uint32_t i = 0; i < 9; i++) {
		assert_int_equal(region_info(&f, i, 32, &r), 0);
		assert_int_equal(f.c.reply_len, 32);
		assert_int_equal(r.info.size, sizes[i]);
		assert_int_equal(r.info.index, i);
		assert_int_equal(r.info.flags & 3, sizes[i] ? 3 : 0);
	}
	assert_int_equal(region_info(&f, 9, 32, &r), -EINVAL);
	assert_int_equal(region_info(&f, 0, 31, &r), -EINVAL);
	fix_close(&f);
}

static void mmapped_page_comes_with_the_full_reply_only(void **state)
{
	uint32_t mark = 0xd00b0011, got = 0;
	struct vfu_sparse_reply r;
	struct fix f;
	void *map;

	(void)state;
	fix_open(&f);
	assert_int_equal(region_info(&f, 0, 32, &r), 0);
	assert_int_equal(f.c.reply_len, 32);
	assert_int_equal(r.info.argsz, 64);
	assert_int_equal(r.info.cap_offset, 32);
	assert_int_equal(f.c.reply_fd, -1);
	assert_int_equal(region_info(&f, 0, 64, &r), 0);
	assert_int_equal(f.c.reply_len, 64);
	assert_int_equal(r.info.flags, 15);
	assert_int_equal(r.cap.header.id, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	assert_int_equal(r.cap.header.version, 1);
	assert_int_equal(r.cap.nr_areas, 1);
	assert_int_equal(r.area.offset, FIX_PAGE);
	assert_int_equal(r.area.size, 4096);
	assert_true(f.c.reply_fd >= 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f.c.reply_fd,
	    (off_t)(r.info.offset + r.area.offset));
	assert_true(map != MAP_FAILED);
	memcpy(map, &mark, sizeof(mark));
	/* The same page through messages, and the model is not asked. */
	assert_int_equal(vfu_client_read(&f.c, 0, FIX_PAGE, &got, 4), 0);
	assert_int_equal(got, mark);
	got = 7;
	assert_int_equal(vfu_client_write(&f.c, 0, FIX_PAGE, &got, 4), 0);
	assert_int_equal(*(uint32_t *)map, 7);
	assert_int_equal(f.n_read + f.n_write, 0);
	/* The peer cannot take the page away from under the server. */
	assert_int_equal(ftruncate(f.c.reply_fd, 0), -1);
	munmap(map, 4096);
	fix_close(&f);
}

static void accesses_are_bounded(void **state)
{
	static uint8_t buf[VFU_MAX_XFER + 8];
	const struct {
		uint32_t region;
		uint64_t off;
		uint32_t len;
		int rc;
	} cases[] = {
	    {0, 0, 1, 0},
	    {0, FIX_BAR0 - 1, 1, 0},
	    {0, 0, FIX_BAR0, 0},
	    {0, FIX_BAR0, 1, -EINVAL},
	    {0, FIX_BAR0 - 1, 2, -EINVAL},
	    {0, 1, FIX_BAR0, -EINVAL},
	    {0, UINT64_MAX, 1, -EINVAL},
	    {0, UINT64_MAX, 2, -EINVAL},
	    {0, 0, 0, -EINVAL},
	    {1, 0, 1, -EINVAL},
	    {3, 0, 1, -EINVAL}, /* upper half of the 64-bit BAR 2 */
	    {6, 0, 4, -EINVAL},
	    {8, 0, 4, -EINVAL},
	    {9, 0, 4, -EINVAL},
	    {UINT32_MAX, 0, 4, -EINVAL},
	    {FIX_CFG, 0, 4096, 0},
	    {FIX_CFG, 4095, 1, 0},
	    {FIX_CFG, 4095, 2, -EINVAL},
	    {FIX_CFG, 4096, 1, -EINVAL},
	    {FIX_CFG, 1, 4096, -EINVAL},
	};
	struct vfu_region_io io = {.region = 2, .count = VFU_MAX_XFER + 1};
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    vfu_client_read(&f.c, cases[i].region, cases[i].off, buf, cases[i].len),
		    cases[i].rc);
		/* All ones into config space would ask for a reset. */
		if (cases[i].region != FIX_CFG || cases[i].rc < 0)
			assert_int_equal(vfu_client_write(&f.c, cases[i].region, cases[i].off, buf,
					     cases[i].len),
			    cases[i].rc);
	}
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_READ, 0, &io, sizeof(io), NULL, 0), -EINVAL);
	/* Fewer and more bytes than 'count' says. */
	memset(buf, 0, sizeof(buf));
	io = (struct vfu_region_io){.region = 0, .count = 8};
	memcpy(buf, &io, sizeof(io));
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE, 0, buf, sizeof(io) + 7, NULL, 0), -EINVAL);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE, 0, buf, sizeof(io) + 9, NULL, 0), -EINVAL);
	fix_close(&f);
}

static void access_over_the_msix_table_is_split(void **state)
{
	uint8_t buf[FIX_BAR0], got[FIX_BAR0];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7 + 1);
	assert_int_equal(vfu_client_write(&f.c, 0, 0, buf, sizeof(buf)), 0);
	assert_int_equal(vfu_client_read(&f.c, 0, 0, got, sizeof(got)), 0);
	/* Everything is as written but the pending bits, which nobody can write. */
	memset(buf + FIX_PBA, 0, 16);
	assert_memory_equal(got, buf, sizeof(buf));
	assert_int_equal(f.bar0[FIX_TABLE - 1], buf[FIX_TABLE - 1]);
	assert_int_equal(f.bar0[FIX_TABLE], 0);
	assert_int_equal(f.bar0[FIX_TABLE + FIX_VECTORS * 16 - 1], 0);
	assert_int_equal(f.bar0[FIX_TABLE + FIX_VECTORS * 16], buf[FIX_TABLE + FIX_VECTORS * 16]);
	assert_int_equal(f.bar0[FIX_PBA], 0);
	assert_int_equal(f.bar0[FIX_PBA + 16], buf[FIX_PBA + 16]);
	assert_int_equal(f.bar0[FIX_PAGE], 0);
	assert_int_equal(f.n_write, 3);
	fix_close(&f);
}

static void posted_writes_have_no_answer(void **state)
{
	uint8_t val = 0x5a, got;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_post(&f.c, 0, 8, &val, 1), 0);
	assert_int_equal(vfu_client_post(&f.c, 0, FIX_BAR0, &val, 1), 0);
	/* The next answer is that of the next command, so none was sent for the two. */
	assert_int_equal(vfu_client_read(&f.c, 0, 8, &got, 1), 0);
	assert_int_equal(got, val);
	assert_int_equal(fix_stats(&f).n_bad_messages, 1);
	fix_close(&f);
}

static void write_multi_does_each_write(void **state)
{
	struct {
		uint64_t n;
		struct vfu_multi_write w[4];
	} m = {.n = 4,
	    .w = {{.off = 0, .region = 0, .count = 1, .data = {1}},
		{.off = 16, .region = 0, .count = 8, .data = {1, 2, 3, 4, 5, 6, 7, 8}},
		{.off = 40, .region = 0, .count = 1, .data = {11}},
		{.off = 32, .region = 0, .count = 2, .data = {9, 9}}}};
	uint64_t done;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE_MULTI, 0, &m, sizeof(m), NULL, 0), 0);
	memcpy(&done, f.c.reply, sizeof(done));
	assert_int_equal(done, 4);
	assert_int_equal(f.c.reply_len, 8);
	assert_int_equal(f.bar0[0], 1);
	assert_memory_equal(f.bar0 + 16, m.w[1].data, 8);
	assert_int_equal(f.bar0[33], 9);
	assert_int_equal(f.bar0[40], 11);
	/* One that cannot be done does not take the others with it. */
	m.w[0].count = 9;
	m.w[1].off = FIX_BAR0;
	m.w[3].data[0] = 77;
	/* Config space is never written without waiting, and could restart the function a thousand times a message. */
	m.w[2] = (struct vfu_multi_write){
	    .off = PCI_INTERRUPT_LINE, .region = FIX_CFG, .count = 1, .data = {11}};
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE_MULTI, 0, &m, sizeof(m), NULL, 0), -EINVAL);
	assert_int_equal(f.bar0[32], 77);
	assert_int_equal(vfu_client_cfg8(&f.c, PCI_INTERRUPT_LINE), 0);
	m.n = 5;
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE_MULTI, 0, &m, sizeof(m), NULL, 0), -EINVAL);
	m.n = UINT64_MAX / 24 + 1;
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_REGION_WRITE_MULTI, 0, &m, sizeof(m), NULL, 0), -EINVAL);
	m.n = 0;
	assert_int_equal(vfu_client_command(&f.c, VFU_REGION_WRITE_MULTI, 0, &m, 8, NULL, 0), 0);
	fix_close(&f);
}

/* ---- config space ---- */

static void header_is_as_configured(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_VENDOR_ID), 0x10411af4);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_CLASS_REVISION), 0x02000001);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_SUBSYSTEM_VENDOR_ID), 0x56781234);
	assert_int_equal(vfu_client_cfg8(&f.c, PCI_HEADER_TYPE), 0);
	assert_int_equal(vfu_client_cfg8(&f.c, PCI_INTERRUPT_PIN), 1);
	assert_int_equal(vfu_client_cfg16(&f.c, PCI_STATUS), PCI_STATUS_CAP_LIST);
	assert_int_equal(vfu_client_cfg32(&f.c, 0x100), 0);
	/* Read-only registers do not take a write. */
	assert_int_equal(vfu_client_cfg_set32(&f.c, PCI_VENDOR_ID, 0), 0);
	assert_int_equal(vfu_client_cfg_set32(&f.c, PCI_ROM_ADDRESS, 0xffffffff), 0);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_VENDOR_ID), 0x10411af4);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_ROM_ADDRESS), 0);
	fix_close(&f);
}

static void bars_tell_their_size(void **state)
{
	const uint32_t sized[6] = {~(FIX_BAR0 - 1), 0, 0xc, 0xfffffffe, 0, 0};
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(
		    vfu_client_cfg_set32(&f.c, PCI_BASE_ADDRESS_0 + 4 * i, 0xffffffff), 0);
		assert_int_equal(vfu_client_cfg32(&f.c, PCI_BASE_ADDRESS_0 + 4 * i), sized[i]);
	}
	assert_int_equal(vfu_client_cfg_set32(&f.c, PCI_BASE_ADDRESS_0, 0xfebd4000), 0);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_BASE_ADDRESS_0), 0xfebd4000);
	fix_close(&f);
}

static void command_register_reaches_the_model(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, 0xffff), 0);
	assert_int_equal(f.n_command, 1);
	assert_int_equal(f.command, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
					PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(ob_vfu_command(f.v), f.command);
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, PCI_COMMAND, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY), 0);
	assert_int_equal(f.n_command, 1);
	assert_int_equal(vfu_client_cfg_set8(&f.c, PCI_COMMAND, PCI_COMMAND_MEMORY), 0);
	assert_int_equal(f.n_command, 2);
	assert_int_equal(f.command, PCI_COMMAND_MEMORY);
	fix_close(&f);
}

static void capabilities_of_the_model_are_linked(void **state)
{
	const uint8_t body[18] = {20, 1, 2, 3};
	struct fix f;
	int at, at2;

	(void)state;
	fix_create(&f);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 18, 1, 4), -EINVAL);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 18, 16, 5), -EINVAL);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 18, 21, 1), -EINVAL);
	at = ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 14, 0, 0);
	assert_true(at > 0x40 && at % 4 == 0);
	at2 = ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 18, 4, 16);
	assert_true(at2 >= at + 16);
	fix_attach(&f);
	assert_int_equal(vfu_client_start(&f.c), 0);
	assert_true(vfu_client_cap(&f.c, PCI_CAP_ID_MSIX, 0) > 0);
	assert_true(vfu_client_cap(&f.c, PCI_CAP_ID_EXP, 0) > 0);
	assert_true(vfu_client_cap(&f.c, PCI_CAP_ID_VPD, 0) > 0);
	assert_int_equal(vfu_client_cap(&f.c, PCI_CAP_ID_VNDR, 0), at);
	assert_int_equal(vfu_client_cap(&f.c, PCI_CAP_ID_VNDR, (unsigned)at), at2);
	assert_int_equal(vfu_client_cap(&f.c, PCI_CAP_ID_VNDR, (unsigned)at2), 0);
	/* Outside a window it is read-only, inside the model answers. */
	assert_int_equal(vfu_client_cfg_set32(&f.c, (unsigned)at, 0xffffffff), 0);
	assert_int_equal(vfu_client_cfg8(&f.c, (unsigned)at + 2), 20);
	assert_int_equal(vfu_client_cfg_set32(&f.c, (unsigned)at2 + 2, 0xaabbccdd), 0);
	assert_int_equal(f.window[0], 0xbb);
	assert_int_equal(f.window[1], 0xaa);
	f.window[15] = 0x99;
	assert_int_equal(vfu_client_cfg32(&f.c, (unsigned)at2 + 16), 0x99000000);
	assert_int_equal(vfu_client_cfg8(&f.c, (unsigned)at2 + 3), 1);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 14, 0, 0), -EBUSY);
	fix_close(&f);
}

static void config_space_runs_full(void **state)
{
	const uint8_t body[200] = {0};
	struct fix f;
	int rc;

	(void)state;
	fix_create(&f);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 200, 0, 0), -ENOSPC);
	for (unsigned i = 0; i < 4; i++)
		assert_true(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 6, 2, 2) > 0);
	assert_int_equal(ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 6, 2, 2), -ENOSPC);
	do {
		rc = ob_vfu_cap_add(f.v, PCI_CAP_ID_VNDR, body, 6, 0, 0);
	} while (rc > 0);
	assert_int_equal(rc, -ENOSPC);
	fix_close(&f);
}

/* ---- VPD ---- */

static uint32_t vpd_word(struct fix *f, unsigned cap, uint16_t addr)
{
	assert_int_equal(vfu_client_cfg_set16(&f->c, cap + PCI_VPD_ADDR, addr), 0);
	assert_int_equal(vfu_client_cfg16(&f->c, cap + PCI_VPD_ADDR), addr | PCI_VPD_ADDR_F);
	return vfu_client_cfg32(&f->c, cap + PCI_VPD_DATA);
}

static void vpd_is_read_through_the_capability(void **state)
{
	uint8_t vpd[128], sum = 0;
	unsigned cap, ro, rv;
	struct fix f;

	(void)state;
	fix_open(&f);
	cap = vfu_client_cap(&f.c, PCI_CAP_ID_VPD, 0);
	assert_true(cap > 0);
	for (uint16_t i = 0; i < sizeof(vpd); i += 4) {
		uint32_t w = vpd_word(&f, cap, i);

		memcpy(vpd + i, &w, 4);
	}
	assert_int_equal(vpd[0], 0x82);
	assert_int_equal(vpd[1] | vpd[2] << 8, 6);
	assert_memory_equal(vpd + 3, "A card", 6);
	ro = 9;
	assert_int_equal(vpd[ro], 0x90);
	assert_memory_equal(vpd + ro + 3, "PN\x0aoutboard-1SN\x07OB-0042RV\x01", 26);
	rv = ro + 3 + 26;
	for (unsigned i = 0; i <= rv; i++)
		sum = (uint8_t)(sum + vpd[i]);
	assert_int_equal(sum, 0);
	assert_int_equal(vpd[ro + 1] | vpd[ro + 2] << 8, rv + 1 - ro - 3);
	assert_int_equal(vpd[rv + 1], 0x78);
	/* Behind the end, at the last address and at an odd one. */
	assert_int_equal(vpd_word(&f, cap, 0x200), 0);
	assert_int_equal(vpd_word(&f, cap, 0x7ffc), 0);
	assert_int_equal(vpd_word(&f, cap, 0x7fff), 0);
	assert_int_equal(vpd_word(&f, cap, 3), 'A' | ' ' << 8 | 'c' << 16 | 'a' << 24);
	fix_close(&f);
}

static void vpd_write_completes_and_changes_nothing(void **state)
{
	struct fix f;
	uint32_t was;
	unsigned cap;

	(void)state;
	fix_open(&f);
	cap = vfu_client_cap(&f.c, PCI_CAP_ID_VPD, 0);
	was = vpd_word(&f, cap, 0);
	assert_int_equal(vfu_client_cfg_set32(&f.c, cap + PCI_VPD_DATA, 0xffffffff), 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, cap + PCI_VPD_ADDR, PCI_VPD_ADDR_F), 0);
	/* The flag goes down: the driver's wait ends. */
	assert_int_equal(vfu_client_cfg16(&f.c, cap + PCI_VPD_ADDR), 0);
	assert_int_equal(vpd_word(&f, cap, 0), was);
	fix_close(&f);
}

/* ---- resets ---- */

static void flr_through_config_space_resets(void **state)
{
	unsigned exp, msix;
	struct fix f;

	(void)state;
	fix_open(&f);
	exp = vfu_client_cap(&f.c, PCI_CAP_ID_EXP, 0);
	msix = vfu_client_cap(&f.c, PCI_CAP_ID_MSIX, 0);
	assert_true(vfu_client_cfg32(&f.c, exp + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, PCI_COMMAND_MASTER), 0);
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, msix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE), 0);
	assert_int_equal(vfu_client_cfg_set32(&f.c, PCI_BASE_ADDRESS_0, 0xfebd4000), 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, exp + PCI_EXP_DEVCTL, 0x2810), 0);
	assert_int_equal(f.n_reset, 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, exp + PCI_EXP_DEVCTL, 0x2810 | FLR), 0);
	assert_int_equal(f.n_reset, 1);
	assert_int_equal(fix_stats(&f).n_flr, 1);
	assert_int_equal(f.command, 0);
	assert_int_equal(vfu_client_cfg16(&f.c, exp + PCI_EXP_DEVCTL), 0x2810);
	assert_int_equal(vfu_client_cfg16(&f.c, PCI_COMMAND), 0);
	assert_int_equal(vfu_client_cfg32(&f.c, PCI_BASE_ADDRESS_0), 0);
	assert_false(ob_vfu_msix_enabled(f.v));
	/* By its one byte, too; and not by the byte beside it. */
	assert_int_equal(vfu_client_cfg_set8(&f.c, exp + PCI_EXP_DEVCTL, 0x80), 0);
	assert_int_equal(f.n_reset, 1);
	assert_int_equal(vfu_client_cfg_set8(&f.c, exp + PCI_EXP_DEVCTL + 1, 0x80), 0);
	assert_int_equal(f.n_reset, 2);
	fix_close(&f);
}

static void device_reset_is_a_reset(void **state)
{
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, PCI_COMMAND_MASTER), 0);
	assert_int_equal(vfu_client_reset(&f.c), 0);
	assert_int_equal(f.n_reset, 1);
	assert_int_equal(f.n_command, 2);
	assert_int_equal(vfu_client_cfg16(&f.c, PCI_COMMAND), 0);
	assert_int_equal(fix_stats(&f).n_resets, 1);
	/* Nothing to take back: command is not called. */
	assert_int_equal(vfu_client_reset(&f.c), 0);
	assert_int_equal(f.n_command, 2);
	fix_close(&f);
}

/* ---- configuration of the server ---- */

static int create_with(struct fix *f)
{
	struct ob_vfu *v;
	int rc = ob_vfu_create(&f->conf, &v);

	if (rc == 0)
		ob_vfu_destroy(v);
	return rc;
}

#define REFUSED(f, member, val)                            \
	do {                                               \
		struct ob_vfu_conf saved = (f)->conf;      \
		(f)->conf.member = (val);                  \
		assert_int_equal(create_with(f), -EINVAL); \
		(f)->conf = saved;                         \
	} while (0)

static void impossible_configurations_are_einval(void **state)
{
	static const struct ob_vfu_ops none = {0};
	static char long_text[300];
	int open_fd;
	struct fix f;

	(void)state;
	fix_create(&f);
	memset(long_text, 'x', sizeof(long_text) - 1);
	open_fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(create_with(&f), 0);
	REFUSED(&f, name, NULL);
	REFUSED(&f, base, NULL);
	REFUSED(&f, gm, NULL);
	REFUSED(&f, ops, NULL);
	REFUSED(&f, ops, &none);
	REFUSED(&f, class_code, 0x1000000);
	REFUSED(&f, n_vectors, OB_VFU_MAX_VECTORS + 1);
	REFUSED(&f, msix_bar, 6);
	REFUSED(&f, msix_bar, 1);
	REFUSED(&f, msix_table_off, FIX_TABLE + 4);
	REFUSED(&f, msix_table_off, FIX_PBA);
	REFUSED(&f, msix_table_off, FIX_BAR0 - 8);
	REFUSED(&f, msix_pba_off, FIX_BAR0 - 8);
	REFUSED(&f, bar[0].size, 12288);
	REFUSED(&f, bar[1].size, 8);
	REFUSED(&f, bar[1].size, 1ull << 32);
	REFUSED(&f, bar[3].size, 4096);
	REFUSED(&f, bar[5].mmap_len, 4096);
	REFUSED(&f, bar[0].mmap_off, 100);
	REFUSED(&f, bar[0].mmap_off, FIX_BAR0);
	REFUSED(&f, bar[0].mmap_fd, -1);
	REFUSED(&f, bar[0].mmap_fd, open_fd);
	REFUSED(&f, vpd_serial, long_text);
	REFUSED(&f, vpd_serial, "");
	REFUSED(&f, vpd_part, "new\nline");
	REFUSED(&f, vpd_ident, "");
	ob_vfu_destroy(NULL);
	close(open_fd);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(device_info_says_pci_and_reset),
	    cmocka_unit_test(region_sizes_are_those_of_the_model),
	    cmocka_unit_test(mmapped_page_comes_with_the_full_reply_only),
	    cmocka_unit_test(accesses_are_bounded),
	    cmocka_unit_test(access_over_the_msix_table_is_split),
	    cmocka_unit_test(posted_writes_have_no_answer),
	    cmocka_unit_test(write_multi_does_each_write),
	    cmocka_unit_test(header_is_as_configured),
	    cmocka_unit_test(bars_tell_their_size),
	    cmocka_unit_test(command_register_reaches_the_model),
	    cmocka_unit_test(capabilities_of_the_model_are_linked),
	    cmocka_unit_test(config_space_runs_full),
	    cmocka_unit_test(vpd_is_read_through_the_capability),
	    cmocka_unit_test(vpd_write_completes_and_changes_nothing),
	    cmocka_unit_test(flr_through_config_space_resets),
	    cmocka_unit_test(device_reset_is_a_reset),
	    cmocka_unit_test(impossible_configurations_are_einval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
