/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet_test_util.h"

#include <errno.h>
#include <unistd.h>

#include <rte_byteorder.h>

#define STATUS VIRTIO_PCI_COMMON_STATUS

/* A capability as the driver sees it, with the two bytes that the server adds. */
static struct virtio_pci_cap cap_of(uint8_t type, unsigned *index)
{
	struct virtio_pci_cap c = {0};

	for (unsigned i = 0; i < fake_vfu.n_caps; i++) {
		memcpy((uint8_t *)&c + 2, fake_vfu.cap[i].body, sizeof(c) - 2);
		*index = i;
		if (c.cfg_type == type)
			return c;
	}
	fail_msg("no capability of type %u", type);
	return c;
}

static void there_is_one_capability_for_each_structure(void **state)
{
	const struct {
		uint8_t type, len;
		uint32_t off, bytes;
	} want[] = {
	    {VIRTIO_PCI_CAP_COMMON_CFG, 16, 0x0000, 60},
	    {VIRTIO_PCI_CAP_NOTIFY_CFG, 20, 0x3000, 4 * T_QUEUES},
	    {VIRTIO_PCI_CAP_ISR_CFG, 16, 0x1000, 1},
	    {VIRTIO_PCI_CAP_DEVICE_CFG, 16, 0x2000, 24},
	    {VIRTIO_PCI_CAP_PCI_CFG, 20, 0, 0},
	};
	const struct ob_vfu_conf *c = &fake_vfu.conf;
	uint32_t multiplier;
	unsigned i, idx;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		struct virtio_pci_cap cap = cap_of(want[i].type, &idx);

		assert_int_equal(fake_vfu.cap[idx].id, PCI_CAP_ID_VNDR);
		assert_int_equal(cap.cap_len, want[i].len);
		assert_int_equal(fake_vfu.cap[idx].len, want[i].len - 2);
		assert_int_equal(cap.bar, 0);
		assert_int_equal(rte_le_to_cpu_32(cap.offset), want[i].off);
		assert_int_equal(rte_le_to_cpu_32(cap.length), want[i].bytes);
		assert_int_equal(
		    fake_vfu.cap[idx].window_len, want[i].type == VIRTIO_PCI_CAP_PCI_CFG ? 16 : 0);
	}
	assert_int_equal(fake_vfu.n_caps, i);
	cap_of(VIRTIO_PCI_CAP_NOTIFY_CFG, &idx);
	memcpy(&multiplier, fake_vfu.cap[idx].body + 14, 4);
	assert_int_equal(rte_le_to_cpu_32(multiplier), 4);
	assert_int_equal(c->vendor_id, 0x1af4);
	assert_int_equal(c->device_id, 0x1041);
	assert_int_equal(c->class_code, 0x020000);
	assert_true(c->revision >= 1);
	assert_int_equal(c->n_vectors, T_QUEUES + 1);
	assert_true(c->bar[0].is_64bit && c->bar[0].size >= 0x4000);
	assert_string_equal(c->vpd_serial, "OB-1");
}

/* ---- the window: 'bar' is at 0, 'offset' at 4, 'length' at 8, data at 12 ---- */

static void point_window(uint8_t bar, uint32_t off, uint32_t len)
{
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, 0, &bar, 1);
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, 4, &off, 4);
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, 8, &len, 4);
}

static uint32_t window_read(void)
{
	uint32_t v = 0;

	fake_vfu.conf.ops->cfg_read(fake_vfu.conf.ctx, 12, &v, 4);
	return v;
}

static void window_write(uint32_t v)
{
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, 12, &v, 4);
}

static void the_config_window_reaches_the_registers(void **state)
{
	uint32_t back = 0;

	(void)state;
	point_window(0, VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(window_read(), T_QUEUES);
	point_window(0, STATUS, 1);
	window_write(1);
	assert_int_equal(t_read(STATUS, 1), 1);
	assert_int_equal(window_read(), 1);
	fake_vfu.conf.ops->cfg_read(fake_vfu.conf.ctx, 4, &back, 4);
	assert_int_equal(back, STATUS);
}

static void a_window_that_points_nowhere_legal_does_nothing(void **state)
{
	const struct {
		uint8_t bar;
		uint32_t off, len;
	} bad[] = {
	    {1, STATUS, 1},
	    {2, 0, 4},
	    {0, STATUS, 0},
	    {0, STATUS, 3},
	    {0, STATUS, 8},
	    {0, STATUS, UINT32_MAX},
	    {0, VIRTIO_PCI_COMMON_Q_SELECT + 1, 2},
	    {0, 0x4000, 1},
	    {0, 0xfffffffc, 4},
	};
	uint8_t wide[16] = {0};

	(void)state;
	t_write(STATUS, 1, 1);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		point_window(bad[i].bar, bad[i].off, bad[i].len);
		window_write(0);
		assert_int_equal(window_read(), 0);
		assert_int_equal(t_read(STATUS, 1), 1);
	}
	fake_vfu.conf.ops->cfg_write(fake_vfu.conf.ctx, 8, wide, sizeof(wide));
	fake_vfu.conf.ops->cfg_read(fake_vfu.conf.ctx, 12, wide, sizeof(wide));
	assert_int_equal(t_read(STATUS, 1), 1);
}

static void a_dump_of_config_space_has_no_side_effect(void **state)
{
	uint8_t all[16];

	(void)state;
	t_up(T_MIN, 2);
	fake_vif.on_broken(fake_vif.on_broken_ctx, 0);
	point_window(0, T_ISR, 1);
	fake_vfu.conf.ops->cfg_read(fake_vfu.conf.ctx, 0, all, sizeof(all));
	assert_int_equal(t_read(T_ISR, 1), VIRTIO_PCI_ISR_CONFIG);
}

/* ---- interrupts ---- */

static void fire(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void msix_gives_the_worker_the_vectors_own_eventfd(void **state)
{
	(void)state;
	fake_vfu.msix = true;
	fake_vfu.vector_fd[1] = 101;
	fake_vfu.vector_fd[2] = 102;
	t_up(T_MIN, 2);
	assert_int_equal(fake_vif.irq_fd[0], 101);
	assert_int_equal(fake_vif.irq_fd[1], 102);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	t_write(VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	assert_int_equal(fake_vif.irq_fd[1], 101);
	t_write(VIRTIO_PCI_COMMON_Q_MSIX, 0xffff, 2);
	assert_int_equal(fake_vif.irq_fd[1], -1);
}

static void a_masked_vector_is_raised_through_the_server(void **state)
{
	struct t *t = *state;

	fake_vfu.msix = true;
	t_up(T_MIN, 2);
	assert_true(fake_vif.irq_fd[0] >= 0);
	fire(fake_vif.irq_fd[0]);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_int_equal(fake_vfu.n_irq[1], 1);
	fake_vfu.vector_fd[1] = 101;
	fake_vfu.conf.ops->irq_changed(fake_vfu.conf.ctx, 1);
	assert_int_equal(fake_vif.irq_fd[0], 101);
	assert_true(fake_vif.irq_fd[1] != 101);
}

static void without_msix_a_queue_sets_isr_and_the_line_until_it_is_read(void **state)
{
	struct t *t = *state;

	t_up(T_MIN, 2);
	fire(fake_vif.irq_fd[1]);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_true(fake_vfu.intx);
	assert_int_equal(t_read(T_ISR, 1), 1);
	assert_false(fake_vfu.intx);
	assert_int_equal(t_read(T_ISR, 1), 0);
	assert_int_equal(t_read(T_ISR + 1, 1), 0);
}

static void a_late_queue_interrupt_after_reset_is_swallowed(void **state)
{
	struct t *t = *state;
	int fd;

	t_up(T_MIN, 2);
	fd = fake_vif.irq_fd[1];
	fire(fd);
	t_write(STATUS, 0, 1);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_false(fake_vfu.intx);
	assert_int_equal(t_read(T_ISR, 1), 0);
}

static void a_configuration_change_sets_isr_and_raises_its_vector(void **state)
{
	struct t *t = *state;

	t_up(T_MIN | VIRTIO_BIT(VIRTIO_NET_F_STATUS), 2);
	ob_vnet_set_link(t->vn, false);
	assert_true(fake_vfu.intx);
	assert_int_equal(t_read(T_ISR, 1), VIRTIO_PCI_ISR_CONFIG);
	fake_vfu.msix = true;
	ob_vnet_set_link(t->vn, true);
	assert_int_equal(fake_vfu.n_irq[0], 0); /* no vector chosen */
	t_write(VIRTIO_PCI_COMMON_MSIX, 5, 2);
	ob_vnet_set_link(t->vn, true); /* no change */
	assert_int_equal(fake_vfu.n_irq[5], 0);
	ob_vnet_set_link(t->vn, false);
	assert_int_equal(fake_vfu.n_irq[5], 1);
	assert_false(fake_vfu.intx);
}

static void switching_msix_moves_all_queues_interrupts(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	fake_vfu.msix = true;
	fake_vfu.vector_fd[1] = 101;
	fake_vfu.vector_fd[2] = 102;
	fake_vfu.conf.ops->irq_changed(fake_vfu.conf.ctx, 0);
	assert_int_equal(fake_vif.irq_fd[0], 101);
	assert_int_equal(fake_vif.irq_fd[1], 102);
}

/* ---- reset, life ---- */

static void a_function_reset_is_a_device_reset(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	t_up(T_MIN, 2);
	fake_vif.on_broken(fake_vif.on_broken_ctx, 0);
	fake_vfu.conf.ops->reset(fake_vfu.conf.ctx);
	assert_int_equal(t_read(STATUS, 1), 0);
	assert_false(fake_vfu.intx || fake_vif.running[0]);
	ob_vnet_get_status(t->vn, &s);
	assert_int_equal(s.n_resets, 2); /* the driver's own first, then this */
	assert_true(s.negotiated == 0);
}

static void status_tells_all(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	t_up(T_WITH_CTRL, 2);
	ob_vnet_get_status(t->vn, &s);
	assert_string_equal(s.name, "net0");
	assert_string_equal(s.transport, "vfio-user");
	assert_string_equal(s.path, "/run/net0.sock");
	assert_true(s.connected && s.peer_pid == 42 && s.link_up);
	assert_int_equal(s.vif_idx, 7);
	assert_int_equal(s.mtu, 1450);
	assert_int_equal(s.driver_status, T_UP);
	assert_true(s.negotiated == T_WITH_CTRL && (s.offered & T_WITH_CTRL) == T_WITH_CTRL);
	assert_int_equal(s.n_queues, T_QUEUES);
	assert_true(s.queue[1].enabled && s.queue[1].running);
	assert_int_equal(s.queue[1].size, 64);
	assert_int_equal(s.queue[1].vector, 2);
	assert_int_equal(s.queue[1].worker, 1);
	assert_int_equal(s.queue[2].worker, -1);
	assert_int_equal(s.queue[T_CTRL].size, VNET_CTRL_SIZE);
}

static void bad_configurations_are_refused(void **state)
{
	struct t *t = *state;
	struct ob_vnet_conf good = t_conf(t), c;
	struct ob_vnet *vn = NULL;

#define REFUSED(change)                                             \
	do {                                                        \
		c = good;                                           \
		change;                                             \
		assert_int_equal(ob_vnet_create(&c, &vn), -EINVAL); \
	} while (0)
	REFUSED(c.name = "");
	REFUSED(c.name = "a/b");
	REFUSED(c.name = "0123456789012345678901234567890123456789");
	REFUSED(c.path = NULL);
	REFUSED(c.mac[0] = 1);
	REFUSED(memset(c.mac, 0, 6));
	REFUSED(c.mtu = 67);
	REFUSED(c.n_pairs = 0);
	REFUSED(c.n_pairs = OB_VIF_MAX_PAIRS + 1);
	REFUSED(c.queue_size = 100);
	REFUSED(c.queue_size = 8192);
	REFUSED(c.arena = NULL);
	assert_int_equal(ob_vnet_create(&good, &vn), -EEXIST);
	fake_vif.create_rc = -ENOSPC;
	assert_int_equal(ob_vnet_create(&good, &vn), -ENOSPC);
	assert_null(vn);
	ob_vnet_destroy(NULL);
}

static void what_fails_late_leaves_nothing_behind(void **state)
{
	struct t *t = *state;
	struct ob_vnet_conf c = t_conf(t);
	struct ob_arena_region_info info;

	ob_vnet_destroy(t->vn);
	assert_false(fake_vif.exists || fake_vfu.exists);
	fake_vfu.create_rc = -EADDRINUSE;
	assert_int_equal(ob_vnet_create(&c, &t->vn), -EADDRINUSE);
	assert_false(fake_vif.exists);
	assert_int_equal(ob_arena_info(t->arena, 0, &info), -ENOENT);
	fakes_reset();
	assert_int_equal(ob_vnet_create(&c, &t->vn), 0);
}

static void features_can_be_withheld_with_what_hangs_on_them(void **state)
{
	struct t *t = *state;
	struct ob_vnet_conf c = t_conf(t);
	uint64_t f;

	ob_vnet_destroy(t->vn);
	fakes_reset();
	c.packed = false;
	c.n_pairs = 1;
	c.features_off = VIRTIO_BIT(VIRTIO_NET_F_CSUM) | T_MIN;
	assert_int_equal(ob_vnet_create(&c, &t->vn), 0);
	f = ob_virtio_offered(ob_vnet_virtio(t->vn));
	assert_true(f & T_MIN);
	assert_false(f & VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4));
	assert_false(f & VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN));
	assert_false(f & VIRTIO_BIT(VIRTIO_NET_F_MQ));
	assert_false(f & VIRTIO_BIT(VIRTIO_F_RING_PACKED));
	assert_true(f & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ));
	for (unsigned b = 0; b < 64; b++)
		if (f >> b & 1)
			assert_non_null(ob_vnet_feature_name(b));
	assert_null(ob_vnet_feature_name(64));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, t_setup, t_teardown)
	const struct CMUnitTest tests[] = {
	    T(there_is_one_capability_for_each_structure),
	    T(the_config_window_reaches_the_registers),
	    T(a_window_that_points_nowhere_legal_does_nothing),
	    T(a_dump_of_config_space_has_no_side_effect),
	    T(msix_gives_the_worker_the_vectors_own_eventfd),
	    T(a_masked_vector_is_raised_through_the_server),
	    T(without_msix_a_queue_sets_isr_and_the_line_until_it_is_read),
	    T(a_late_queue_interrupt_after_reset_is_swallowed),
	    T(a_configuration_change_sets_isr_and_raises_its_vector),
	    T(switching_msix_moves_all_queues_interrupts),
	    T(a_function_reset_is_a_device_reset),
	    T(status_tells_all),
	    T(bad_configurations_are_refused),
	    T(what_fails_late_leaves_nothing_behind),
	    T(features_can_be_withheld_with_what_hangs_on_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
