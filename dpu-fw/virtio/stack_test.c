/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole way with nothing faked on the card's side: a driver speaks vfio-user, a worker sends its frames back. */
#include "ob_virtio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <rte_ether.h>

#include "fake_net.h"
#include "ob_test_eal.h"
#include "vfu_client.h"

#define BIT(b)	  (UINT64_C(1) << (b))
#define MIN	  BIT(VIRTIO_F_VERSION_1)
#define INDIRECT  BIT(28)
#define EVENT_IDX BIT(29)
#define PACKED	  BIT(VIRTIO_F_RING_PACKED)
#define IN_ORDER  BIT(VIRTIO_F_IN_ORDER)
#define NOTIFY	  BIT(38) /* NOTIFICATION_DATA */
#define MERGE	  BIT(VIRTIO_NET_F_MRG_RXBUF)

#define GUEST_BYTES (4u << 20)
#define GUEST_IOVA  0x100000u
#define DOORBELL    0x3000u
#define UP	    0xf
#define WAIT_MS	    10000

struct t {
	struct event_base *base;
	struct ob_arena *arena;
	struct ob_vnet *vn;
	char path[64];
	struct vfu_client c;
	struct fake_guest guest;
	struct fake_net net;
	int irq[4];
	uint64_t features;
};

static void input(struct ob_worker *w, struct ob_vif *vif, struct ob_burst *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_ether_hdr *e = rte_pktmbuf_mtod(b->pkt[i], struct rte_ether_hdr *);
		struct rte_ether_addr src = e->src_addr;

		e->src_addr = e->dst_addr;
		e->dst_addr = src;
		b->meta[i].out_vif = ob_vif_idx(vif);
	}
	ob_vif_output(w, b->pkt, b->meta, b->n);
}

static void pump(void *ctx)
{
	struct t *t = ctx;

	event_base_loop(t->base, EVLOOP_NONBLOCK);
	ob_vif_poll_events();
	ob_rcu_reclaim();
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- the driver ---- */

static void reg_write(struct t *t, unsigned off, uint64_t v, uint32_t len)
{
	assert_int_equal(vfu_client_post(&t->c, 0, off, &v, len), 0);
}

static uint64_t reg_read(struct t *t, unsigned off, uint32_t len)
{
	uint64_t v = 0;

	assert_int_equal(vfu_client_read(&t->c, 0, off, &v, len), 0);
	return v;
}

static void queue_set(struct t *t, unsigned q, const struct fake_ring *r)
{
	reg_write(t, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
	reg_write(t, VIRTIO_PCI_COMMON_Q_SIZE, r->conf.size, 2);
	reg_write(t, VIRTIO_PCI_COMMON_Q_MSIX, q + 1, 2);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_Q_MSIX, 2), q + 1);
	reg_write(t, VIRTIO_PCI_COMMON_Q_DESCLO, r->desc_iova, 8);
	reg_write(t, VIRTIO_PCI_COMMON_Q_AVAILLO, r->driver_iova, 8);
	reg_write(t, VIRTIO_PCI_COMMON_Q_USEDLO, r->device_iova, 8);
	reg_write(t, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void ring_bell(struct t *t, unsigned q)
{
	uint32_t v = q;

	if (t->features & NOTIFY)
		v |= (uint32_t)t->net.tx.avail_idx << 16;
	reg_write(t, DOORBELL + 4 * q, v, t->features & NOTIFY ? 4 : 2);
}

static void driver_probe(struct t *t, uint64_t features)
{
	struct fake_net_conf nc = {
	    .ring = {.size = 64,
		.packed = features & PACKED,
		.event_idx = features & EVENT_IDX,
		.in_order = features & IN_ORDER,
		.indirect = features & INDIRECT},
	    .mergeable = features & MERGE,
	    .buf_len = features & MERGE ? 512 : 1600,
	    .tx_split = features & INDIRECT ? 3 : 1,
	};

	t->features = features;
	assert_int_equal(fake_net_init(&t->net, &t->guest, &nc), 0);
	assert_int_equal(
	    vfu_client_cfg_set16(&t->c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER), 0);
	reg_write(t, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	reg_write(t, VIRTIO_PCI_COMMON_STATUS, 3, 1);
	for (unsigned i = 0; i < 2; i++) {
		reg_write(t, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		reg_write(t, VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32 * i), 4);
	}
	reg_write(t, VIRTIO_PCI_COMMON_STATUS, 0xb, 1);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), 0xb);
	reg_write(t, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	queue_set(t, 0, &t->net.rx);
	queue_set(t, 1, &t->net.tx);
	assert_true(fake_net_post(&t->net) > 0);
	reg_write(t, VIRTIO_PCI_COMMON_STATUS, UP, 1);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), UP);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vfu_client_msix(&t->c, i, t->irq[i]), 0);
}

/* Sends a frame and waits for it to come back with its addresses swapped. */
static void echo(struct t *t, uint32_t len, uint8_t fill)
{
	uint64_t end = now_ms() + WAIT_MS;
	uint8_t out[2048], in[2048];
	struct virtio_net_hdr_v1 hdr;
	int n = 0;

	memset(out, fill, len);
	memcpy(out, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x88\xb5", 14);
	if (fake_net_send(&t->net, NULL, out, len) == 1)
		ring_bell(t, 1);
	while (n == 0 && now_ms() < end) {
		pump(t);
		n = fake_net_receive(&t->net, &hdr, in, sizeof(in));
		if (n == 0)
			usleep(50);
	}
	assert_int_equal(n, len);
	assert_memory_equal(in, out + 6, 6);
	assert_memory_equal(in + 6, out, 6);
	assert_memory_equal(in + 12, out + 12, len - 12);
}

static void traffic(struct t *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		echo(t, 14 + (i * 131) % 1486, (uint8_t)i);
}

/* ---- fixture ---- */

static struct ob_arena *the_arena;

static int group_setup(void **state)
{
	(void)state;
	ob_test_eal();
	if (ob_gmem_catch_faults() != 0 || ob_arena_create("t", 256 << 20, &the_arena) != 0 ||
	    ob_workers_start(&(struct ob_workers_conf){
		.arena = the_arena, .n_workers = 1, .n_mbufs = 2048}) != 0 ||
	    ob_vif_init(the_arena) != 0)
		return -1;
	ob_vif_set_input(input);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	ob_workers_stop();
	ob_arena_destroy(the_arena);
	return 0;
}

static int setup(void **state)
{
	static struct t t;
	struct ob_vnet_conf conf = {
	    .name = "stack",
	    .path = t.path,
	    .arena = the_arena,
	    .mac = {2, 0, 0, 0, 0, 2},
	    .mtu = 1500,
	    .n_pairs = 1,
	    .packed = true,
	    .serial = "S",
	};

	memset(&t, 0, sizeof(t));
	t.base = conf.base = event_base_new();
	snprintf(t.path, sizeof(t.path), "/tmp/ob-stack-test.%d", (int)getpid());
	for (unsigned i = 0; i < 4; i++)
		t.irq[i] = eventfd(0, EFD_NONBLOCK);
	if (ob_vnet_create(&conf, &t.vn) != 0 || vfu_client_connect(&t.c, t.path, pump, &t) != 0 ||
	    vfu_client_start(&t.c) != 0 ||
	    fake_guest_init(&t.guest, GUEST_BYTES, GUEST_IOVA) != 0 ||
	    vfu_client_map(&t.c, GUEST_IOVA, GUEST_BYTES,
		VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, t.guest.fd, 0) != 0)
		return -1;
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	struct t *t = *state;

	vfu_client_close(&t->c);
	for (unsigned i = 0; i < 3; i++)
		pump(t);
	ob_vnet_destroy(t->vn);
	fake_net_fini(&t->net);
	fake_guest_fini(&t->guest);
	for (unsigned i = 0; i < 4; i++)
		close(t->irq[i]);
	event_base_free(t->base);
	return 0;
}

/* ---- the tests ---- */

static void frames_go_round_in_every_kind_of_ring(void **state)
{
	const uint64_t kinds[] = {
	    MIN,
	    MIN | MERGE,
	    MIN | EVENT_IDX,
	    MIN | INDIRECT | EVENT_IDX | MERGE,
	    MIN | IN_ORDER,
	    MIN | PACKED,
	    MIN | PACKED | EVENT_IDX | MERGE,
	    MIN | PACKED | INDIRECT,
	    MIN | PACKED | IN_ORDER | NOTIFY,
	    MIN | PACKED | IN_ORDER | EVENT_IDX | MERGE | NOTIFY,
	};
	struct t *t = *state;
	size_t brk = t->guest.brk;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		driver_probe(t, kinds[i]);
		traffic(t, 100);
		reg_write(t, VIRTIO_PCI_COMMON_STATUS, 0, 1);
		assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), 0);
		fake_net_fini(&t->net);
		memset(&t->net, 0, sizeof(t->net));
		memset(t->guest.mem, 0, t->guest.len);
		t->guest.brk = brk;
	}
}

static void a_received_frame_interrupts_its_vector(void **state)
{
	struct t *t = *state;
	uint64_t n;

	driver_probe(t, MIN);
	fake_ring_want_interrupt(&t->net.rx, true);
	(void)!read(t->irq[1], &n, sizeof(n));
	echo(t, 60, 1);
	for (unsigned i = 0; i < 100 && read(t->irq[1], &n, sizeof(n)) != sizeof(n); i++)
		usleep(1000);
	assert_true(n > 0);
}

static void queues_go_on_after_bus_master_was_off(void **state)
{
	struct t *t = *state;

	driver_probe(t, MIN | EVENT_IDX);
	traffic(t, 20);
	vfu_client_cfg_set16(&t->c, PCI_COMMAND, PCI_COMMAND_MEMORY);
	assert_false(ob_vif_queue_running(ob_vnet_vif(t->vn), 0));
	vfu_client_cfg_set16(&t->c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	traffic(t, 100);
}

static void queues_go_on_after_their_memory_was_away(void **state)
{
	const uint32_t rw = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
	struct t *t = *state;

	driver_probe(t, MIN | PACKED);
	traffic(t, 20);
	assert_int_equal(vfu_client_unmap(&t->c, GUEST_IOVA, GUEST_BYTES, 0), 0);
	pump(t);
	ring_bell(t, 1);
	vfu_client_cfg_set16(&t->c, PCI_COMMAND, PCI_COMMAND_MEMORY);
	vfu_client_cfg_set16(&t->c, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), UP);
	assert_int_equal(vfu_client_map(&t->c, GUEST_IOVA, GUEST_BYTES, rw, t->guest.fd, 0), 0);
	traffic(t, 100);
}

/* Breaks the ring, waits for DEVICE_NEEDS_RESET and the configuration interrupt, starts anew. */
static void a_broken_ring_is_told_and_mended_by_a_reset(void **state)
{
	struct t *t = *state;
	uint64_t end, n = 0;
	size_t brk;

	driver_probe(t, MIN);
	brk = t->guest.brk;
	traffic(t, 10);
	(void)!read(t->irq[0], &n, sizeof(n));
	*(uint16_t *)(void *)(t->net.tx.driver + 2) = (uint16_t)(t->net.tx.avail_idx + 1000);
	ring_bell(t, 1);
	end = now_ms() + WAIT_MS;
	while (!(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       now_ms() < end)
		usleep(100);
	assert_int_equal(
	    reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), UP | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(read(t->irq[0], &n, sizeof(n)), sizeof(n));
	assert_false(ob_vif_queue_running(ob_vnet_vif(t->vn), 0));
	fake_net_fini(&t->net);
	t->guest.brk = brk;
	driver_probe(t, MIN);
	traffic(t, 10);
}

static void memory_that_shrinks_stops_only_this_function(void **state)
{
	struct t *t = *state;
	uint64_t end = now_ms() + WAIT_MS;
	struct ob_vnet_status s;

	assert_int_equal(ob_gmem_catch_faults(), 0); /* cmocka has put its own handler over it */
	driver_probe(t, MIN);
	traffic(t, 10);
	assert_int_equal(ftruncate(t->guest.fd, 0), 0);
	ring_bell(t, 1);
	while (!(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       now_ms() < end)
		usleep(100);
	assert_true(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	ob_vnet_get_status(t->vn, &s);
	assert_true(s.n_faults > 0);
	reg_write(t, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), 0);
}

static void a_function_reset_in_traffic_leaves_a_clean_device(void **state)
{
	struct t *t = *state;

	for (unsigned i = 0; i < 5; i++) {
		driver_probe(t, MIN | MERGE);
		traffic(t, 5);
		fake_net_send(&t->net, NULL, t->guest.mem, 100);
		ring_bell(t, 1);
		assert_int_equal(vfu_client_reset(&t->c), 0);
		assert_int_equal(reg_read(t, VIRTIO_PCI_COMMON_STATUS, 1), 0);
		fake_net_fini(&t->net);
	}
	driver_probe(t, MIN);
	traffic(t, 5);
}

static void the_next_host_finds_a_fresh_device(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	driver_probe(t, MIN);
	traffic(t, 5);
	vfu_client_close(&t->c);
	for (unsigned i = 0; i < 3; i++)
		pump(t);
	ob_vnet_get_status(t->vn, &s);
	assert_true(!s.connected && s.driver_status == 0 && s.n_ranges == 0);
	assert_int_equal(vfu_client_connect(&t->c, t->path, pump, t), 0);
	assert_int_equal(vfu_client_start(&t->c), 0);
	assert_int_equal(vfu_client_map(&t->c, GUEST_IOVA, GUEST_BYTES,
			     VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE, t->guest.fd, 0),
	    0);
	fake_net_fini(&t->net);
	driver_probe(t, MIN | PACKED);
	traffic(t, 5);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(frames_go_round_in_every_kind_of_ring),
	    T(a_received_frame_interrupts_its_vector),
	    T(queues_go_on_after_bus_master_was_off),
	    T(queues_go_on_after_their_memory_was_away),
	    T(a_broken_ring_is_told_and_mended_by_a_reset),
	    T(memory_that_shrinks_stops_only_this_function),
	    T(a_function_reset_in_traffic_leaves_a_clean_device),
	    T(the_next_host_finds_a_fresh_device),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
