/* SPDX-License-Identifier: BSD-3-Clause */
/* The two tests of every reader of guest memory: each byte is fetched once, and what the guest writes after the fetch changes nothing.
 * Data is the device's one access. */
#include "fake_gmem.h"
#include "fake_vblk.h"

static struct env *ram_env(bool packed)
{
	struct ob_blk *b;

	assert_int_equal(ob_blk_ram_create("ram", 4u << 20, 512, &b, NULL, 0), 0);
	return env_create(b, packed, true, false);
}

static int setup_split(void **state)
{
	*state = ram_env(false);
	return 0;
}

static int setup_packed(void **state)
{
	*state = ram_env(true);
	return 0;
}

static int teardown(void **state)
{
	fake_gmem_scribble(false);
	fake_gmem_watch(NULL, 0);
	env_destroy(*state);
	return 0;
}

/* A write, a read of it, and zeroes over part of it; each in 'pieces', the header in two of its own. */
static void three_requests(struct env *e, unsigned pieces, bool watch)
{
	static const uint32_t type[] = {
	    VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_WRITE_ZEROES};
	struct virtio_blk_discard_write_zeroes zero[2] = {
	    {.sector = 9, .num_sectors = 1}, {.sector = 11, .num_sectors = 1}};

	for (unsigned i = 0; i < 3; i++) {
		struct env_req r = env_req(e, type[i], 8, i < 2 ? 4096 : sizeof(zero));
		uint8_t *p = fake_guest_ptr(&e->g, r.data);
		struct fake_sg sg[16];
		unsigned n = 2;
		uint64_t cookie;
		uint32_t len;

		if (i == 0)
			for (unsigned k = 0; k < 4096; k++)
				p[k] = (uint8_t)(k * 3 + 1);
		if (i == 2)
			memcpy(p, zero, sizeof(zero));
		sg[0] = (struct fake_sg){r.hdr, 5};
		sg[1] = (struct fake_sg){r.hdr + 5, 11};
		for (unsigned k = 0; k < pieces; k++, n++)
			sg[n] = (struct fake_sg){r.data + r.len * k / pieces, r.len / pieces};
		sg[n++] = (struct fake_sg){r.status, 1};
		assert_int_equal(fake_ring_add(&e->ring[0], sg, i == 1 ? 2 : n - 1,
				     i == 1 ? n - 2 : 1, r.status),
		    0);
		if (watch) {
			fake_gmem_watch(e->g.mem, e->g.len);
			fake_gmem_scribble(true);
		}
		env_round();
		/* The ring's own bytes are fetched again in each round: it would not bear more of this. */
		if (watch) {
			fake_gmem_scribble(false);
			fake_gmem_restore();
		}
		/* Each range is an I/O of its own, in a round of its own. */
		for (unsigned k = 0; k < 3; k++)
			env_round();
		if (watch) {
			assert_int_equal(fake_gmem_most_fetched(r.hdr - ENV_IOVA, 16), 1);
			if (i == 2)
				assert_int_equal(
				    fake_gmem_most_fetched(r.data - ENV_IOVA, r.len), 1);
			assert_int_equal(fake_gmem_fetched(r.status - ENV_IOVA), 0);
			fake_gmem_watch(NULL, 0);
		}
		assert_int_equal(fake_ring_reap(&e->ring[0], &cookie, &len), 1);
		assert_int_equal(cookie, r.status);
		assert_int_equal(env_status(e, &r), VIRTIO_BLK_S_OK);
		for (unsigned k = 0; i == 1 && k < 4096; k++)
			assert_int_equal(p[k], (uint8_t)(k * 3 + 1));
	}
}

static void each_byte_is_fetched_once(void **state)
{
	env_start(*state, ENV_F);
	for (unsigned pieces = 1; pieces <= 8; pieces *= 2)
		three_requests(*state, pieces, true);
}

static void the_same_without_a_scribbler(void **state)
{
	env_start(*state, ENV_F);
	for (unsigned pieces = 1; pieces <= 8; pieces *= 2)
		three_requests(*state, pieces, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_byte_is_fetched_once, setup_split, teardown),
	    {"packed_each_byte_is_fetched_once", each_byte_is_fetched_once, setup_packed, teardown,
		NULL},
	    cmocka_unit_test_setup_teardown(the_same_without_a_scribbler, setup_split, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
