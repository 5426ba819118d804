/* SPDX-License-Identifier: BSD-3-Clause */
/* The control queue over real rings in hostile memory (tests/support/fake_gmem.h). */
#include "vnet_test_util.h"

#include <errno.h>

#include <rte_byteorder.h>

#include "fake_driver.h"
#include "fake_gmem.h"

#define RW (OB_GMEM_READ | OB_GMEM_WRITE)

static struct fake_guest guest;
static struct fake_ring ring;
static uint8_t *dev_view; /* guest memory as the device has it mapped */

#define GUEST_BYTES 0x40000u

static void ctrl_up(struct t *t, uint64_t features, bool packed)
{
	struct fake_ring_conf rc = {.size = VNET_CTRL_SIZE, .packed = packed, .indirect = true};

	assert_int_equal(fake_guest_init(&guest, GUEST_BYTES, 0x100000), 0);
	dev_view = guest.mem;
	assert_int_equal(
	    ob_gmem_add_hva(t->vn->v.gm, (ob_iova_t){guest.iova}, GUEST_BYTES, RW, dev_view), 0);
	assert_int_equal(fake_ring_init(&ring, &guest, &rc), 0);
	t_command(T_NEEDS_DMA);
	features |= VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (packed)
		features |= VIRTIO_BIT(VIRTIO_F_RING_PACKED);
	assert_int_equal(t_negotiate(features), 0xb);
	t_write(VIRTIO_PCI_COMMON_Q_SELECT, T_CTRL, 2);
	t_write(VIRTIO_PCI_COMMON_Q_DESCLO, ring.desc_iova, 8);
	t_write(VIRTIO_PCI_COMMON_Q_AVAILLO, ring.driver_iova, 8);
	t_write(VIRTIO_PCI_COMMON_Q_USEDLO, ring.device_iova, 8);
	t_write(VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	t_write(VIRTIO_PCI_COMMON_STATUS, T_UP, 1);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_STATUS, 1), T_UP);
}

static int ctrl_teardown(void **state)
{
	struct t *t = *state;

	fake_gmem_scribble(false);
	fake_gmem_watch(NULL, 0);
	t_write(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	ob_gmem_del(t->vn->v.gm, (ob_iova_t){0}, UINT64_MAX);
	fake_ring_fini(&ring);
	fake_guest_fini(&guest);
	return t_teardown(state);
}

static int all_setup(void **state)
{
	if (t_setup(state) != 0)
		return -1;
	ctrl_up(*state,
	    ob_virtio_offered(ob_vnet_virtio(((struct t *)*state)->vn)) &
		~VIRTIO_BIT(VIRTIO_F_RING_PACKED) & ~VIRTIO_BIT(VIRTIO_F_IN_ORDER) &
		~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX),
	    false);
	return 0;
}

static int packed_setup(void **state)
{
	if (t_setup(state) != 0)
		return -1;
	ctrl_up(*state,
	    ob_virtio_offered(ob_vnet_virtio(((struct t *)*state)->vn)) &
		~VIRTIO_BIT(VIRTIO_F_IN_ORDER) & ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX),
	    true);
	return 0;
}

/* Nothing but the control queue itself. */
static int bare_setup(void **state)
{
	if (t_setup(state) != 0)
		return -1;
	ctrl_up(*state, T_WITH_CTRL, false);
	return 0;
}

struct cmd {
	uint8_t class, cmd;
	const void *data;
	uint32_t len;
	unsigned n_data; /* segments that the data is cut into; 0: one with the header */
};

/* Gives a command to the device. Returns the ack byte, or -1 if it was not answered, -2 not used at all. */
static int issue(struct t *t, const struct cmd *c)
{
	uint64_t buf = fake_guest_alloc(&guest, 2 + c->len, 1),
		 ack = fake_guest_alloc(&guest, 1, 1);
	unsigned n = c->n_data ? c->n_data : 1, n_sg = 0;
	struct fake_sg sg[40];
	uint8_t *p = fake_guest_ptr(&guest, buf);
	uint64_t cookie;
	uint32_t len, off = 0;

	p[0] = c->class;
	p[1] = c->cmd;
	if (c->len > 0)
		memcpy(p + 2, c->data, c->len);
	if (c->n_data != 0) {
		sg[n_sg++] = (struct fake_sg){buf, 2};
		off = 2;
	}
	for (unsigned i = 0; i < n && off < 2 + c->len; i++) {
		uint32_t each = i + 1 == n ? 2 + c->len - off : (2 + c->len - off) / (n - i);

		if (each == 0)
			continue;
		sg[n_sg++] = (struct fake_sg){buf + off, each};
		off += each;
	}
	sg[n_sg] = (struct fake_sg){ack, 1};
	*(uint8_t *)fake_guest_ptr(&guest, ack) = 0x5a;
	assert_int_equal(fake_ring_add(&ring, sg, n_sg, 1, 77), 0);
	t_write(T_NOTIFY, T_CTRL, 2);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	if (fake_ring_reap(&ring, &cookie, &len) != 1)
		return -2;
	return len == 1 ? *(uint8_t *)fake_guest_ptr(&guest, ack) : -1;
}

#define CMD(...)    (&(struct cmd){__VA_ARGS__})
#define OK(t, ...)  assert_int_equal(issue(t, CMD(__VA_ARGS__, 0)), VIRTIO_NET_OK)
#define CUT(t, ...) assert_int_equal(issue(t, CMD(__VA_ARGS__)), VIRTIO_NET_OK) /* n_data last */
#define ERR(t, ...) assert_int_equal(issue(t, CMD(__VA_ARGS__, 0)), VIRTIO_NET_ERR)

static const uint8_t on = 1, off = 0;

static void receive_modes_reach_the_filter(void **state)
{
	struct t *t = *state;
	const struct ob_vif_filter *f = &fake_vif.filter;

	assert_true(f->promisc && f->vlan_filter);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1);
	CUT(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, &on, 1, 1);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, &on, 1);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, &on, 1);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1);
	assert_true(
	    !f->promisc && f->allmulti && f->alluni && f->nomulti && f->nouni && f->nobcast);
}

static void malformed_receive_modes_are_refused(void **state)
{
	struct t *t = *state;
	const uint8_t two[2] = {1, 1};

	ERR(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, NULL, 0);
	ERR(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, two, 2);
	ERR(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "\2", 1);
	ERR(t, VIRTIO_NET_CTRL_RX, 6, &on, 1);
	assert_true(fake_vif.filter.promisc);
}

/* Two tables of 'n_uni' and 'n_multi' addresses; the header says what 'say_*' says. */
static uint32_t mac_tables(
    uint8_t *out, uint32_t n_uni, uint32_t n_multi, uint32_t say_uni, uint32_t say_multi)
{
	uint32_t at = 0;

	for (unsigned k = 0; k < 2; k++) {
		uint32_t say = rte_cpu_to_le_32(k ? say_multi : say_uni), n = k ? n_multi : n_uni;

		memcpy(out + at, &say, 4);
		at += 4;
		for (uint32_t i = 0; i < n; i++, at += 6)
			memcpy(
			    out + at, (uint8_t[]){(uint8_t)(k ? 1 : 2), 0, 0, 0, 0, (uint8_t)i}, 6);
	}
	return at;
}

static void mac_tables_reach_the_filter(void **state)
{
	static uint8_t b[4096];
	struct t *t = *state;
	const struct ob_vif_filter *f = &fake_vif.filter;

	CUT(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 2, 3, 2, 3), 5);
	assert_int_equal(f->n_uni, 2);
	assert_int_equal(f->n_multi, 3);
	assert_memory_equal(f->uni[1], "\x02\0\0\0\0\x01", 6);
	assert_memory_equal(f->multi[2], "\x01\0\0\0\0\x02", 6);
	assert_false(f->uni_overflow || f->multi_overflow);
	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 64, 65, 64, 65));
	assert_int_equal(f->n_uni, 64);
	assert_int_equal(f->n_multi, 0);
	assert_true(!f->uni_overflow && f->multi_overflow);
	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 200, 1, 200, 1));
	assert_true(f->uni_overflow && !f->multi_overflow && f->n_multi == 1);
	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 0, 0, 0, 0));
	assert_true(!f->uni_overflow && f->n_uni == 0 && f->n_multi == 0);
}

static void malformed_mac_tables_change_nothing(void **state)
{
	uint8_t b[256];
	struct t *t = *state;
	uint32_t len = mac_tables(b, 2, 3, 2, 3);

	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, len);
	for (uint32_t cut = 0; cut < len; cut++)
		ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, cut);
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, len + 1);
	mac_tables(b, 1, 0, UINT32_MAX, 0);
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, 14);
	mac_tables(b, 1, 0, 0x2aaaaaab, 0); /* times 6 wraps to 2 */
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, 14);
	assert_int_equal(fake_vif.filter.n_uni, 2);
	assert_int_equal(fake_vif.filter.n_multi, 3);
}

static void the_driver_sets_its_mac(void **state)
{
	struct t *t = *state;

	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02\xaa\xbb\xcc\xdd\xee", 6);
	assert_memory_equal(fake_vif.filter.mac, "\x02\xaa\xbb\xcc\xdd\xee", 6);
	assert_true(t_read(T_DEVICE, 6) == UINT64_C(0xeeddccbbaa02));
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x03\0\0\0\0\1", 6); /* group */
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02\0\0\0\0", 5);
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02\0\0\0\0\0\0", 7);
	ERR(t, VIRTIO_NET_CTRL_MAC, 2, "\x02\0\0\0\0\0", 6);
	fake_vif.filter_rc = -ENOMEM;
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x02\0\0\0\0\1", 6);
	assert_true(t_read(T_DEVICE, 6) == UINT64_C(0xeeddccbbaa02));
}

static void vlans_come_and_go(void **state)
{
	struct t *t = *state;

	OK(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x05\0", 2);
	OK(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\xff\x0f", 2);
	assert_true(fake_vif.filter.vlan[0] == 32 && fake_vif.filter.vlan[63] == UINT64_C(1) << 63);
	OK(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, "\x05\0", 2);
	assert_true(fake_vif.filter.vlan[0] == 0);
	ERR(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\0\x10", 2); /* 4096 */
	ERR(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x05", 1);
	ERR(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x05\0\0", 3);
	ERR(t, VIRTIO_NET_CTRL_VLAN, 2, "\x05\0", 2);
}

static void an_announcement_stands_until_it_is_acknowledged(void **state)
{
	struct t *t = *state;
	struct ob_vnet_status s;

	assert_int_equal(ob_vnet_announce(t->vn), 0);
	assert_int_equal(t_read(T_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	ob_vnet_get_status(t->vn, &s);
	assert_true(s.announce_pending);
	ERR(t, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, &on, 1);
	ERR(t, VIRTIO_NET_CTRL_ANNOUNCE, 1, NULL, 0);
	OK(t, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0);
	assert_int_equal(t_read(T_DEVICE + 6, 2), VIRTIO_NET_S_LINK_UP);
	t_write(VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(ob_vnet_announce(t->vn), -EAGAIN);
}

static void pairs_in_use_are_set(void **state)
{
	struct t *t = *state;

	assert_int_equal(fake_vif.steering.n_pairs, 1);
	OK(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\3\0", 2);
	assert_int_equal(fake_vif.steering.n_pairs, 3);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\0\0", 2);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\4\0", 2);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\1", 1);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\1\0\0", 3);
	ERR(t, VIRTIO_NET_CTRL_MQ, 9, "\1\0", 2);
	assert_int_equal(fake_vif.steering.n_pairs, 3);
}

struct rss {
	uint32_t types;
	uint16_t mask, unclassified;
	unsigned n_table; /* really there */
	uint16_t table[OB_VIF_RSS_MAX], max_tx;
	uint8_t key_len;
	unsigned n_key; /* really there */
};

static uint32_t rss_bytes(uint8_t *b, const struct rss *r)
{
	uint32_t at = 8;

	memcpy(b, &r->types, 4);
	memcpy(b + 4, &r->mask, 2);
	memcpy(b + 6, &r->unclassified, 2);
	memcpy(b + at, r->table, r->n_table * 2);
	at += r->n_table * 2;
	memcpy(b + at, &r->max_tx, 2);
	b[at + 2] = r->key_len;
	at += 3;
	memset(b + at, 0xcc, r->n_key);
	return at + r->n_key;
}

static const struct rss good_rss = {OB_VIF_HASH_TYPES, 3, 1, 4, {0, 1, 0, 1}, 2, 40, 40};

static void rss_is_set_and_ended_by_a_number_of_pairs(void **state)
{
	struct t *t = *state;
	const struct ob_vif_steering *s = &fake_vif.steering;
	struct rss r = good_rss;
	uint8_t b[512];

	CUT(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r), 4);
	assert_true(s->rss && s->hash_types == OB_VIF_HASH_TYPES && s->table_len == 4);
	assert_int_equal(s->unclassified, 1);
	assert_int_equal(s->n_pairs, 2);
	assert_int_equal(s->table[1], 1);
	assert_int_equal(s->key_len, 40);
	assert_int_equal(s->key[39], 0xcc);
	r.table[2] = 2; /* receives on a pair whose transmit queue is not used */
	OK(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r));
	assert_int_equal(s->n_pairs, 3);
	OK(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2\0", 2);
	assert_true(!s->rss && s->n_pairs == 2);
}

static void malformed_rss_is_refused(void **state)
{
	struct t *t = *state;
	struct rss r;
	uint8_t b[1024];
	uint32_t len = rss_bytes(b, &good_rss);

	for (uint32_t cut = 0; cut < len; cut++)
		ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, cut);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, len + 1);
#define BAD(change)                                                                             \
	do {                                                                                    \
		r = good_rss;                                                                   \
		change;                                                                         \
		ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r)); \
	} while (0)
	BAD(r.types = 0x40);
	BAD(r.mask = 2; r.n_table = 3);
	BAD(r.mask = 255; r.n_table = 128);
	BAD(r.mask = 0xffff);
	BAD(r.unclassified = 3);
	BAD(r.table[3] = 3);
	BAD(r.table[3] = 0x8000);
	BAD(r.max_tx = 0);
	BAD(r.max_tx = 4);
	BAD(r.key_len = 41; r.n_key = 41);
	BAD(r.key_len = 39);
	assert_false(fake_vif.steering.rss);
}

static void commands_without_their_feature_are_refused(void **state)
{
	struct t *t = *state;
	uint8_t b[512];

	ERR(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1);
	ERR(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, &on, 1);
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 0, 0, 0, 0));
	ERR(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\2\0\0\0\0\1", 6);
	ERR(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\5\0", 2);
	ERR(t, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0);
	ERR(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &good_rss));
	ERR(t, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, "\0\0\0\0\0\0\0\0", 8);
	ERR(t, 99, 0, NULL, 0);
	OK(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\1\0", 2);
	assert_int_equal(ob_vnet_announce(t->vn), -ENOTSUP);
	assert_false(fake_vif.filter.vlan_filter);
}

/* Adds raw segments, kicks, and returns what came back: the length written, or -1 nothing. */
static int raw(struct t *t, const struct fake_sg *sg, unsigned n_out, unsigned n_in)
{
	uint64_t cookie;
	uint32_t len;

	assert_int_equal(fake_ring_add(&ring, sg, n_out, n_in, 1), 0);
	t_write(T_NOTIFY, T_CTRL, 2);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	return fake_ring_reap(&ring, &cookie, &len) == 1 ? (int)len : -1;
}

static void odd_chains_are_given_back(void **state)
{
	struct t *t = *state;
	uint64_t buf = fake_guest_alloc(&guest, 64, 1);
	struct fake_sg sg[3] = {{buf, 1}, {buf + 32, 1}};
	struct ob_vnet_status s;

	memset(fake_guest_ptr(&guest, buf), 0, 64);
	assert_int_equal(raw(t, sg, 1, 1), 1); /* half a header */
	assert_int_equal(*(uint8_t *)fake_guest_ptr(&guest, buf + 32), VIRTIO_NET_ERR);
	sg[0].len = 3;
	*(uint8_t *)fake_guest_ptr(&guest, buf) =
	    VIRTIO_NET_CTRL_RX; /* promisc off, no place for the ack */
	assert_int_equal(raw(t, sg, 1, 0), 0);
	assert_true(fake_vif.filter.promisc);
	sg[0] = (struct fake_sg){buf + 32, 1}; /* ack only */
	assert_int_equal(raw(t, sg, 0, 1), 1);
	sg[0] = (struct fake_sg){0x7000000, 3}; /* not mapped */
	sg[1] = (struct fake_sg){buf + 32, 1};
	assert_int_equal(raw(t, sg, 1, 1), 1);
	assert_int_equal(*(uint8_t *)fake_guest_ptr(&guest, buf + 32), VIRTIO_NET_ERR);
	sg[0] = (struct fake_sg){buf, 3};
	sg[1] = (struct fake_sg){0x7000000, 1};
	assert_int_equal(raw(t, sg, 1, 1), 0);
	ob_vnet_get_status(t->vn, &s);
	assert_int_equal(s.n_ctrl, 5);
	assert_true(s.n_ctrl_err >= 4);
	assert_int_equal(s.driver_status, T_UP);
}

static void a_malformed_ring_stops_the_device(void **state)
{
	struct t *t = *state;

	/* The available index runs away further than the ring is long. */
	*(uint16_t *)(void *)(ring.driver + 2) = 1000;
	t_write(T_NOTIFY, T_CTRL, 2);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_int_equal(t_read(VIRTIO_PCI_COMMON_STATUS, 1), T_UP | VIRTIO_CONFIG_S_NEEDS_RESET);
	t_write(T_NOTIFY, T_CTRL, 2);
	assert_false(ob_virtio_queue_running(ob_vnet_virtio(t->vn), T_CTRL));
}

static void more_commands_than_one_turn_takes_are_all_served(void **state)
{
	struct t *t = *state;
	uint64_t buf = fake_guest_alloc(&guest, 64, 1), cookie;
	struct fake_sg sg[2] = {{buf, 3}, {buf + 32, 1}};
	uint32_t len;
	unsigned n = 0;

	memset(fake_guest_ptr(&guest, buf), 0, 64);
	for (unsigned i = 0; i < VNET_CTRL_SIZE / 2; i++)
		assert_int_equal(fake_ring_add(&ring, sg, 1, 1, i), 0);
	for (unsigned i = 0; i < VNET_CTRL_SIZE / 2; i++)
		fake_ring_add(&ring, sg, 1, 1, i);
	t_write(T_NOTIFY, T_CTRL, 2);
	for (unsigned i = 0; i < 8; i++)
		event_base_loop(t->base, EVLOOP_NONBLOCK);
	while (fake_ring_reap(&ring, &cookie, &len) == 1)
		n++;
	assert_int_equal(fake_ring_outstanding(&ring), 0);
	assert_true(n >= VNET_CTRL_SIZE / 2);
}

static void commands_wait_while_dma_is_off(void **state)
{
	struct t *t = *state;

	t_command(0);
	assert_int_equal(issue(t, CMD(VIRTIO_NET_CTRL_RX, 0, &off, 1, 0)), -2);
	t_command(T_NEEDS_DMA);
	event_base_loop(t->base, EVLOOP_NONBLOCK);
	assert_false(fake_vif.filter.promisc);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1);
}

static void the_interrupt_follows_the_drivers_wish(void **state)
{
	struct t *t = *state;

	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1);
	assert_true(fake_vfu.intx);
	assert_int_equal(t_read(T_ISR, 1), 1);
	fake_ring_want_interrupt(&ring, false);
	OK(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1);
	assert_int_equal(t_read(T_ISR, 1), 0);
}

/* The two tests of a hostile guest, on the longest command that there is. */
static void each_byte_of_a_command_is_fetched_once(void **state)
{
	struct t *t = *state;
	struct rss r = good_rss;
	uint8_t b[512];
	size_t used;

	fake_gmem_watch(dev_view, GUEST_BYTES);
	used = guest.brk;
	CUT(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r), 6);
	/* From the first byte of this command on: header, data, ack. */
	assert_int_equal(fake_gmem_most_fetched(used, guest.brk - used), 1);
	fake_gmem_recount();
	used = guest.brk;
	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 20, 20, 20, 20));
	assert_int_equal(fake_gmem_most_fetched(used, guest.brk - used), 1);
}

static void scribbling_after_the_fetch_changes_nothing(void **state)
{
	struct t *t = *state;
	struct rss r = good_rss;
	struct ob_vif_steering honest;
	struct ob_vif_filter f;
	uint8_t b[512];

	CUT(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r), 6);
	OK(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b, mac_tables(b, 20, 20, 20, 20));
	honest = fake_vif.steering;
	f = fake_vif.filter;
	OK(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, "\2\0", 2);
	fake_gmem_watch(dev_view, GUEST_BYTES);
	fake_gmem_scribble(true);
	(void)issue(
	    t, CMD(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, b, rss_bytes(b, &r), 6));
	fake_gmem_restore();
	assert_memory_equal(&fake_vif.steering, &honest, sizeof(honest));
	(void)issue(t, CMD(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, b,
			   mac_tables(b, 20, 20, 20, 20), 0));
	fake_gmem_restore();
	fake_gmem_scribble(false);
	assert_memory_equal(&fake_vif.filter, &f, sizeof(f));
}

int main(void)
{
#define T(f)	  cmocka_unit_test_setup_teardown(f, all_setup, ctrl_teardown)
#define PACKED(f) cmocka_unit_test_setup_teardown(f, packed_setup, ctrl_teardown)
	const struct CMUnitTest tests[] = {
	    T(receive_modes_reach_the_filter),
	    PACKED(receive_modes_reach_the_filter),
	    T(malformed_receive_modes_are_refused),
	    T(mac_tables_reach_the_filter),
	    PACKED(mac_tables_reach_the_filter),
	    T(malformed_mac_tables_change_nothing),
	    T(the_driver_sets_its_mac),
	    T(vlans_come_and_go),
	    T(an_announcement_stands_until_it_is_acknowledged),
	    T(pairs_in_use_are_set),
	    T(rss_is_set_and_ended_by_a_number_of_pairs),
	    T(malformed_rss_is_refused),
	    cmocka_unit_test_setup_teardown(
		commands_without_their_feature_are_refused, bare_setup, ctrl_teardown),
	    T(odd_chains_are_given_back),
	    T(a_malformed_ring_stops_the_device),
	    T(more_commands_than_one_turn_takes_are_all_served),
	    T(commands_wait_while_dma_is_off),
	    T(the_interrupt_follows_the_drivers_wish),
	    T(each_byte_of_a_command_is_fetched_once),
	    T(scribbling_after_the_fetch_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
