/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet_test_util.h"

#include <errno.h>

#include <rte_byteorder.h>

#define STATUS VIRTIO_PCI_COMMON_STATUS

static void driver_ok_starts_the_enabled_queues(void **state)
{
	(void)state;
	t_command(T_NEEDS_DMA);
	assert_int_equal(t_negotiate(t_offered()), 0xb);
	t_queue(0, 128, 1);
	t_queue(1, 0, 2);
	assert_false(fake_vif.running[0]);
	t_write(STATUS, T_UP, 1);
	assert_int_equal(t_read(STATUS, 1), T_UP);
	assert_true(fake_vif.running[0] && fake_vif.running[1] && !fake_vif.running[2]);
	assert_int_equal(fake_vif.queue[0].size, 128);
	assert_int_equal(fake_vif.queue[1].size, 256);
	assert_true(fake_vif.queue[0].desc.v == (UINT64_C(1) << 32 | T_RING(0, 0)));
	assert_true(fake_vif.queue[0].driver.v == T_RING(0, 1));
	assert_true(fake_vif.queue[0].device.v == T_RING(0, 2));
	assert_true(fake_vif.queue[0].packed && fake_vif.queue[0].event_idx);
	assert_true(fake_vif.queue[0].indirect && fake_vif.queue[0].in_order);
	assert_false(fake_vif.resume[0]);
	assert_int_equal(fake_vif.start_idx[0], -1);
	assert_true(fake_vif.features == t_offered());
}

static void features_ok_needs_version_1_offered_bits_and_their_dependencies(void **state)
{
	const uint64_t bad[] = {
	    0,
	    VIRTIO_BIT(VIRTIO_NET_F_MAC),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_HASH_REPORT),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_GUEST_UFO),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_MQ),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX),
	    T_MIN | VIRTIO_BIT(VIRTIO_NET_F_RSS),
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(t_negotiate(bad[i]), 3);
		t_write(STATUS, T_UP, 1);
		assert_int_equal(t_read(STATUS, 1), 3);
	}
	assert_int_equal(t_negotiate(T_MIN), 0xb);
	assert_int_equal(t_negotiate(t_offered()), 0xb);
}

static void features_are_fixed_after_features_ok(void **state)
{
	struct t *t = *state;

	assert_int_equal(t_negotiate(T_WITH_CTRL), 0xb);
	t_write(VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	t_write(VIRTIO_PCI_COMMON_GF, 0, 4);
	assert_true(t->st->negotiated == T_WITH_CTRL);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_GF, 4), (uint32_t)T_WITH_CTRL);
}

static void a_third_feature_word_is_zero_and_ignored(void **state)
{
	struct t *t = *state;

	t_write(VIRTIO_PCI_COMMON_DFSELECT, 2, 4);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_DF, 4), 0);
	t_write(VIRTIO_PCI_COMMON_GFSELECT, 0xffffffff, 4);
	t_write(VIRTIO_PCI_COMMON_GF, 0xffffffff, 4);
	assert_true(t->st->driver_features == 0);
}

static void status_bits_go_only_by_reset(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	t_write(STATUS, 1, 1);
	assert_int_equal(t_read(STATUS, 1), T_UP);
	t_write(STATUS, 0x80, 1);
	assert_int_equal(t_read(STATUS, 1), T_UP | 0x80);
	t_write(STATUS, T_UP | VIRTIO_CONFIG_S_NEEDS_RESET, 1);
	assert_int_equal(t_read(STATUS, 1), T_UP | 0x80);
	t_write(STATUS, 0, 1);
	assert_int_equal(t_read(STATUS, 1), 0);
	assert_false(fake_vif.running[0] || fake_vif.running[1]);
}

static void reset_forgets_the_queues(void **state)
{
	(void)state;
	t_up(T_WITH_CTRL, 2);
	t_write(STATUS, 0, 1);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	assert_true(fake_vif.filter.promisc);
}

static void a_vector_that_does_not_exist_reads_back_as_none(void **state)
{
	(void)state;
	t_write(VIRTIO_PCI_COMMON_MSIX, T_QUEUES, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_MSIX, 2), T_QUEUES);
	t_write(VIRTIO_PCI_COMMON_MSIX, T_QUEUES + 1, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	t_write(VIRTIO_PCI_COMMON_Q_MSIX, 0x8000, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
}

static void a_bad_queue_size_is_ignored(void **state)
{
	const uint16_t bad[] = {0, 3, 257, 512, 0xffff};

	(void)state;
	t_negotiate(T_MIN);
	t_write(VIRTIO_PCI_COMMON_Q_SIZE, 64, 2);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		t_write(VIRTIO_PCI_COMMON_Q_SIZE, bad[i], 2);
		assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	}
	t_negotiate(T_MIN | VIRTIO_BIT(VIRTIO_F_RING_PACKED));
	t_write(VIRTIO_PCI_COMMON_Q_SIZE, 3, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 3);
}

static void a_queue_that_the_features_leave_out_has_no_size(void **state)
{
	(void)state;
	t_command(T_NEEDS_DMA);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_NUMQ, 2), T_QUEUES);
	t_negotiate(T_MIN | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ));
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 2, 2); /* without MQ the control queue */
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), VNET_CTRL_SIZE);
	t_queue(3, 64, 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	t_negotiate(T_WITH_CTRL);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, T_CTRL, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), VNET_CTRL_SIZE);
}

static void a_selected_queue_beyond_the_last_reads_zero(void **state)
{
	(void)state;
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 0xfff0, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SELECT, 2), 0xfff0);
	t_queue(T_QUEUES, 64, 1);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_NOFF, 2), 0);
}

static void an_enabled_queue_does_not_move(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	t_write(VIRTIO_PCI_COMMON_Q_DESCLO, 0xdead0000, 4);
	t_write(VIRTIO_PCI_COMMON_Q_USEDHI, 0xdead, 4);
	t_write(VIRTIO_PCI_COMMON_Q_SIZE, 128, 2);
	t_write(VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCLO, 4), T_RING(0, 0));
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void any_size_and_offset_has_a_meaning(void **state)
{
	uint8_t all[64];

	(void)state;
	t_negotiate(T_MIN);
	t_write(VIRTIO_PCI_COMMON_Q_DESCLO, UINT64_C(0x1122334455667000), 8);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x55667000);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x11223344);
	t_write(VIRTIO_PCI_COMMON_Q_DESCLO + 1, 0xab, 1);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x5566ab00);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_DESCLO + 1, 2), 0x66ab);
	t_write(VIRTIO_PCI_COMMON_Q_ENABLE + 1, 1, 1);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	fake_vfu.conf.ops->bar_read(fake_vfu.conf.ctx, 0, 0, all, sizeof(all));
	assert_int_equal(all[STATUS], 0xb);
	assert_int_equal(all[VIRTIO_PCI_COMMON_NUMQ], T_QUEUES);
	assert_int_equal(all[60] | all[61] | all[62] | all[63], 0);
	assert_true(t_read(0x800, 8) == 0);
	t_write(0xffc, UINT64_MAX, 8);
	t_write(0x3fff, UINT64_MAX, 8);
	t_write(0x100000, UINT64_MAX, 8);
	fake_vfu.conf.ops->bar_write(fake_vfu.conf.ctx, 2, 0, all, sizeof(all));
	assert_int_equal(t_read(STATUS, 1), 0xb);
}

static void queue_reset_stops_one_queue_that_can_start_again(void **state)
{
	(void)state;
	t_up(T_MIN | VIRTIO_BIT(VIRTIO_F_RING_RESET), 2);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	t_write(VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_true(fake_vif.running[0] && !fake_vif.running[1]);
	t_queue(1, 128, 2);
	assert_true(fake_vif.running[1]);
	assert_false(fake_vif.resume[1]);
	assert_int_equal(fake_vif.queue[1].size, 128);
}

static void queue_reset_without_the_feature_is_ignored(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	t_write(VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
	assert_true(fake_vif.running[1]);
}

static void queues_run_only_while_bus_master_is_on(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	t_command(PCI_COMMAND_MEMORY);
	assert_false(fake_vif.running[0] || fake_vif.running[1]);
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_true(fake_vif.running[0] && fake_vif.running[1]);
	assert_true(fake_vif.resume[0]);
	assert_int_equal(t_read(STATUS, 1), T_UP);
}

static void a_broken_queue_asks_for_a_reset_once_and_stops_all(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	fake_vfu.msix = true;
	t_write(VIRTIO_PCI_COMMON_MSIX, 0, 2);
	t_up(T_MIN, 2);
	t_write(VIRTIO_PCI_COMMON_MSIX, 0, 2);
	fake_vif.on_broken(fake_vif.on_broken_ctx, 1);
	fake_vif.on_broken(fake_vif.on_broken_ctx, 0);
	assert_int_equal(t_read(STATUS, 1), T_UP | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(fake_vfu.n_irq[0], 1);
	assert_false(fake_vif.running[0] || fake_vif.running[1]);
	ob_vnet_get_status(t->vn, &s);
	assert_int_equal(s.n_needs_reset, 1);
	assert_true(s.queue[1].broken);
	t_write(STATUS, 0, 1);
	t_up(T_MIN, 2);
	assert_true(fake_vif.running[0]);
	ob_vnet_get_status(t->vn, &s);
	assert_false(s.queue[1].broken);
}

static void a_queue_that_does_not_start_asks_for_a_reset(void **state)
{
	(void)state;
	t_command(T_NEEDS_DMA);
	t_negotiate(T_MIN);
	t_queue(0, 64, 1);
	fake_vif.start_rc = -EINVAL;
	t_write(STATUS, T_UP, 1);
	assert_int_equal(t_read(STATUS, 1), T_UP | VIRTIO_CONFIG_S_NEEDS_RESET);
	fake_vif.start_rc = 0;
	t_write(STATUS, T_UP, 1);
	assert_false(fake_vif.running[0]);
}

static void a_queue_whose_rings_are_not_mapped_starts_when_they_are(void **state)
{
	(void)state;
	t_up(T_MIN, 2);
	t_command(0);
	fake_vif.start_rc = -EAGAIN;
	t_command(T_NEEDS_DMA);
	assert_false(fake_vif.running[0]);
	assert_int_equal(t_read(STATUS, 1), T_UP);
	fake_vif.start_rc = 0;
	fake_vif.n_kicks[1] = 0;
	fake_vfu.conf.ops->dma_changed(fake_vfu.conf.ctx);
	assert_true(fake_vif.running[0] && fake_vif.running[1] && fake_vif.resume[0]);
	assert_int_equal(fake_vif.n_kicks[1], 1);
}

static void doorbells_reach_their_queue_and_bad_ones_are_counted(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	t_up(T_MIN, 2);
	t_write(T_NOTIFY, 0, 2);
	t_write(T_NOTIFY + 4, 1, 2);
	t_write(T_NOTIFY + 4, 0x80050001, 4); /* NOTIFICATION_DATA: wrap, position 5, queue 1 */
	assert_int_equal(fake_vif.n_kicks[0], 1);
	assert_int_equal(fake_vif.n_kicks[1], 2);
	t_write(T_NOTIFY + 8, 2, 2); /* exists, does not run */
	t_write(T_NOTIFY, T_QUEUES, 2);
	t_write(T_NOTIFY, 0xffff, 2);
	t_write(T_NOTIFY, 0, 1);
	ob_vnet_get_status(t->vn, &s);
	assert_int_equal(s.n_kicks, 7);
	assert_int_equal(s.n_bad_kicks, 3);
	assert_int_equal(fake_vfu.n_checks, 1);
}

static void the_device_configuration_is_read_only(void **state)
{
	struct virtio_net_config c;
	struct t *t = *state;
	uint8_t was;

	fake_vfu.conf.ops->bar_read(fake_vfu.conf.ctx, 0, T_DEVICE, &c, sizeof(c));
	assert_memory_equal(c.mac, "\x52\x54\x00\x01\x02\x03", 6);
	assert_int_equal(rte_le_to_cpu_16(c.status), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(rte_le_to_cpu_16(c.max_virtqueue_pairs), T_PAIRS);
	assert_int_equal(rte_le_to_cpu_16(c.mtu), 1450);
	assert_int_equal(rte_le_to_cpu_32(c.speed), 100000);
	assert_int_equal(c.duplex, 1);
	assert_int_equal(c.rss_max_key_size, 40);
	assert_int_equal(rte_le_to_cpu_16(c.rss_max_indirection_table_length), OB_VIF_RSS_MAX);
	assert_int_equal(rte_le_to_cpu_32(c.supported_hash_types), OB_VIF_HASH_TYPES);
	t_write(T_DEVICE, UINT64_MAX, 8);
	assert_int_equal(t_read(T_DEVICE, 4), 0x01005452);
	assert_int_equal(t_read(T_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_true(t_read(T_DEVICE + 24, 8) == 0);
	assert_int_equal(t_read(T_DEVICE + 20, 8), OB_VIF_HASH_TYPES);
	was = (uint8_t)t_read(VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	ob_vnet_set_link(t->vn, false);
	assert_int_equal(t_read(T_DEVICE + 6, 2), 0);
	assert_int_not_equal(t_read(VIRTIO_PCI_COMMON_CFGGENERATION, 1), was);
}

static void any_order_of_any_access_is_harmless(void **state)
{
	struct t *t = *state;
	uint64_t x = 88172645463325252ull;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t off, v;
		size_t len;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		len = 1 + (x & 7);
		off = x >> 8 & 0x3f;
		v = x >> 32;
		switch (x >> 20 & 15) {
		case 0:
			t_write(T_NOTIFY + off, v & 0xf, len);
			break;
		case 1:
			t_read(T_ISR, len);
			break;
		case 2:
			t_command((uint16_t)v);
			break;
		case 3:
			t_read(off, len);
			break;
		case 4:
			t_write(STATUS, v & 0xff, 1);
			break;
		case 5:
			t_negotiate(t_offered() & (v | T_MIN | v << 32));
			break;
		case 6:
			t_queue(v & 7, (uint16_t)(v >> 8), (uint16_t)(v >> 4));
			break;
		case 7:
			if (fake_vif.exists)
				fake_vif.on_broken(fake_vif.on_broken_ctx, v & 7);
			break;
		case 8:
			fake_vfu.msix = v & 1;
			fake_vfu.conf.ops->irq_changed(fake_vfu.conf.ctx, v & 15);
			break;
		default:
			t_write(off, v, len);
		}
		for (unsigned q = 0; q < 2 * T_PAIRS; q++)
			assert_int_equal(
			    fake_vif.running[q], t->vn->v.running[q] && !vnet_is_ctrl(t->vn, q));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, t_setup, t_teardown)
	const struct CMUnitTest tests[] = {
	    T(driver_ok_starts_the_enabled_queues),
	    T(features_ok_needs_version_1_offered_bits_and_their_dependencies),
	    T(features_are_fixed_after_features_ok),
	    T(a_third_feature_word_is_zero_and_ignored),
	    T(status_bits_go_only_by_reset),
	    T(reset_forgets_the_queues),
	    T(a_vector_that_does_not_exist_reads_back_as_none),
	    T(a_bad_queue_size_is_ignored),
	    T(a_queue_that_the_features_leave_out_has_no_size),
	    T(a_selected_queue_beyond_the_last_reads_zero),
	    T(an_enabled_queue_does_not_move),
	    T(any_size_and_offset_has_a_meaning),
	    T(queue_reset_stops_one_queue_that_can_start_again),
	    T(queue_reset_without_the_feature_is_ignored),
	    T(queues_run_only_while_bus_master_is_on),
	    T(a_broken_queue_asks_for_a_reset_once_and_stops_all),
	    T(a_queue_that_does_not_start_asks_for_a_reset),
	    T(a_queue_whose_rings_are_not_mapped_starts_when_they_are),
	    T(doorbells_reach_their_queue_and_bad_ones_are_counted),
	    T(the_device_configuration_is_read_only),
	    T(any_order_of_any_access_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
