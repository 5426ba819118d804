/* SPDX-License-Identifier: BSD-3-Clause */
/* The two tests of every reader of guest memory: each byte is fetched once, and what the guest writes after the fetch changes nothing. */
#include "fake_gmem.h"
#include "fake_vif.h"

static int setup_split(void **state)
{
	env_by_hva = true;
	*state = env_create(false, 1, true);
	return 0;
}

static int setup_packed(void **state)
{
	env_by_hva = true;
	*state = env_create(true, 1, true);
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	fake_gmem_scribble(false);
	fake_gmem_watch(NULL, 0);
	env_destroy(e);
	return 0;
}

#define FEATURES (F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_HOST_TSO4))

static const struct virtio_net_hdr_v1 tso = {
    VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, 1448, {{34, 16}}, 0};

/* Sends a super-packet in one, two or many pieces. Returns its place in the guest's memory. */
static size_t send_super(struct env *e, unsigned pieces, uint32_t *len)
{
	struct pkt_spec s = {.payload = 9000, .partial = true};
	struct ob_meta meta;
	uint64_t at;
	struct fake_sg sg[8];
	uint32_t total;

	*len = pkt_build(&s, env_frame, &meta);
	total = 12 + *len;
	at = fake_guest_alloc(&e->g, total, 1);
	memcpy(fake_guest_ptr(&e->g, at), &tso, 12);
	memcpy((uint8_t *)fake_guest_ptr(&e->g, at) + 12, env_frame, *len);
	for (unsigned i = 0; i < pieces; i++) {
		/* The first cut is inside the header. */
		uint32_t from = i == 0 ? 0 : 7 + (total - 7) * (i - 1) / (pieces - 1);
		uint32_t to = i == pieces - 1 ? total : 7 + (total - 7) * i / (pieces - 1);

		sg[i] = (struct fake_sg){at + from, to - from};
	}
	assert_int_equal(fake_ring_add(&e->ring[1], sg, pieces, 0, at), 0);
	return at - e->g.iova;
}

static void check_super(const struct env *e, uint32_t len)
{
	assert_int_equal(e->n_in, 1);
	assert_int_equal(pkt_flat(e->in[0], env_flat), len);
	assert_memory_equal(env_flat, env_frame, len);
	assert_int_equal(e->in_meta[0].flags, OB_PKT_GSO | OB_PKT_L4_CSUM_PARTIAL);
	assert_int_equal(e->in_meta[0].csum_start, 34);
	assert_int_equal(e->in_meta[0].csum_offset, 16);
	assert_int_equal(e->in[0]->tso_segsz, 1448);
}

static void tx_fetches_each_byte_once(void **state)
{
	struct env *e = *state;

	env_start(e, FEATURES, 64);
	for (unsigned pieces = 1; pieces <= 8; pieces++) {
		uint32_t len;
		size_t off = send_super(e, pieces, &len);

		fake_gmem_watch(e->g.mem, e->g.len);
		env_round(e);
		check_super(e, len);
		for (uint32_t i = 0; i < 12 + len; i++)
			assert_int_equal(fake_gmem_fetched(off + i), 1);
		fake_gmem_watch(NULL, 0);
		env_drop_in(e);
	}
}

static void tx_guest_that_scribbles_after_the_fetch_changes_nothing(void **state)
{
	struct env *e = *state;

	env_start(e, FEATURES, 64);
	for (unsigned pieces = 1; pieces <= 8; pieces++) {
		uint32_t len;
		size_t off = send_super(e, pieces, &len);

		/* Frame and header: the ring has tests of its own. */
		fake_gmem_watch(e->g.mem + off, 12 + len);
		fake_gmem_scribble(true);
		env_round(e);
		check_super(e, len);
		assert_memory_not_equal(e->g.mem + off, &tso, 12);
		fake_gmem_scribble(false);
		fake_gmem_watch(NULL, 0);
		env_drop_in(e);
	}
	assert_int_equal(env_dropped_all(e), 0);
}

static void tx_refused_header_is_refused_from_the_copy(void **state)
{
	struct env *e = *state;
	struct virtio_net_hdr_v1 bad = tso;
	size_t off;

	/* The garbage written over it would pass or not: the copy must not. */
	bad.gso_size = 0;
	env_start(e, FEATURES, 64);
	off = e->g.brk;
	env_send(e, &bad, env_frame, 2000, 0);
	fake_gmem_watch(e->g.mem + off, 2012);
	fake_gmem_scribble(true);
	env_round(e);
	assert_int_equal(e->n_in, 0);
	assert_int_equal(env_dropped(e, OB_DROP_VNET_HDR), 1);
	assert_int_equal(fake_gmem_most_fetched(0, 2012), 1);
}

static void rx_reads_nothing_back_from_the_buffers(void **state)
{
	struct env *e = *state;
	size_t off;

	env_start(e,
	    F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4),
	    64);
	off = e->g.brk;
	env_post(e, 0, 20, 700, 2);
	fake_gmem_watch(e->g.mem + off, e->g.brk - off);
	env_output(e, &(struct pkt_spec){.payload = 9000, .partial = true}, OB_PKT_GSO, 1448);
	env_round(e);
	assert_int_equal(fake_gmem_bytes_fetched(), 0);
	assert_int_equal(fake_gmem_bytes_stored(), 12 + 54 + 9000);
}

#define BOTH(test)                                                    \
	{#test " (split)", test, setup_split, teardown, NULL},        \
	{                                                             \
#test " (packed)", test, setup_packed, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(tx_fetches_each_byte_once),
	    BOTH(tx_guest_that_scribbles_after_the_fetch_changes_nothing),
	    BOTH(tx_refused_header_is_refused_from_the_copy),
	    BOTH(rx_reads_nothing_back_from_the_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
