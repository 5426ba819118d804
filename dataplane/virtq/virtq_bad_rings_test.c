/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings that no driver of good will would make: each breaks its queue, with the reason that the header gives. */
#include "virtq_test_util.h"

#include <linux/virtio_ring.h>

static struct rig *t;

static int up(bool packed, bool indirect)
{
	t = malloc(sizeof(*t));
	rig_up(
	    t, &(struct fake_ring_conf){.size = 8, .packed = packed, .indirect_always = indirect});
	return 0;
}

static int setup_split(void **state)
{
	(void)state;
	return up(false, true);
}

static int setup_packed(void **state)
{
	(void)state;
	return up(true, true);
}

static int teardown(void **state)
{
	(void)state;
	rig_down(t);
	free(t);
	return 0;
}

static void put(void *at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vring_desc d = {addr, len, flags, next};

	memcpy(at, &d, sizeof(d));
}

static void desc(unsigned i, uint32_t len, uint16_t flags, uint16_t next)
{
	put(t->r.desc + 16 * i, t->buf, len, flags, next);
}

/* Makes descriptor 'head' available by hand. */
static void offer(uint16_t head)
{
	uint16_t *avail = (uint16_t *)(void *)t->r.driver;

	avail[2 + (avail[1] & 7)] = head;
	avail[1]++;
}

static void expect(int rc, enum ob_virtq_fault why)
{
	assert_int_equal(rig_pop(t, 8), rc);
	assert_int_equal(t->st.broken, why);
	assert_int_equal(ob_virtq_broken(t->vq), rc < 0);
	if (rc < 0) {
		assert_int_equal(ob_virtq_begin(t->vq), -EPROTO);
		assert_string_not_equal(ob_virtq_broken_why(t->vq), "sound");
		assert_string_not_equal(ob_virtq_broken_why(t->vq), "unknown");
	}
}

#define N VRING_DESC_F_NEXT
#define W VRING_DESC_F_WRITE
#define I VRING_DESC_F_INDIRECT

static void split_index_jump(void **state)
{
	(void)state;
	((uint16_t *)(void *)t->r.driver)[1] = 9;
	expect(-EPROTO, OB_VIRTQ_BAD_JUMP);
}

static void split_index_back(void **state)
{
	(void)state;
	((uint16_t *)(void *)t->r.driver)[1] = 0xffff;
	expect(-EPROTO, OB_VIRTQ_BAD_JUMP);
}

static void split_index_jump_with_chains_outside(void **state)
{
	(void)state;
	desc(0, 10, 0, 0);
	for (unsigned i = 0; i < 6; i++)
		offer(0);
	expect(6, OB_VIRTQ_SOUND);
	for (unsigned i = 0; i < 3; i++)
		offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_JUMP);
}

static void split_head_out_of_range(void **state)
{
	(void)state;
	offer(8);
	expect(-EPROTO, OB_VIRTQ_BAD_HEAD);
}

static void split_next_out_of_range(void **state)
{
	(void)state;
	desc(3, 10, N, 8);
	offer(3);
	expect(-EPROTO, OB_VIRTQ_BAD_NEXT);
}

static void split_chain_that_loops(void **state)
{
	(void)state;
	desc(3, 10, N, 4);
	desc(4, 10, N, 3);
	offer(3);
	expect(-EPROTO, OB_VIRTQ_BAD_NEXT);
}

static void split_chain_of_queue_size_is_sound(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		desc(i, 10, i < 7 ? N : 0, (uint16_t)(i + 1));
	offer(0);
	expect(1, OB_VIRTQ_SOUND);
	assert_int_equal(t->ch[0].n_seg, 8);
}

static void zero_length_segment(void **state)
{
	(void)state;
	desc(0, 0, 0, 0);
	offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_LENGTH);
}

static void sum_of_2_to_the_32(void **state)
{
	(void)state;
	desc(0, 0xffffffff, N, 1);
	desc(1, 1, W, 0);
	offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_LENGTH);
}

static void sum_just_below_2_to_the_32_is_sound(void **state)
{
	(void)state;
	desc(0, 0xfffffffe, N, 1);
	desc(1, 1, W, 0);
	offer(0);
	expect(1, OB_VIRTQ_SOUND);
}

static void readable_behind_writable(void **state)
{
	(void)state;
	desc(0, 10, N | W, 1);
	desc(1, 10, 0, 0);
	offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_ORDER);
}

static void table(uint32_t len, uint16_t flags)
{
	desc(0, len, I | flags, 1);
	offer(0);
}

static void *entry(unsigned i)
{
	return (uint8_t *)fake_guest_ptr(&t->g, t->buf) + 16 * i;
}

static void split_table_of_bad_length(void **state)
{
	(void)state;
	table(17, 0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void split_table_of_length_zero(void **state)
{
	(void)state;
	table(0, 0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void split_table_chained_on(void **state)
{
	(void)state;
	put(entry(0), t->buf, 10, 0, 0);
	table(16, N);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void split_table_behind_direct_descriptors_is_sound(void **state)
{
	(void)state;
	put(entry(0), t->buf, 10, N | W, 1);
	put(entry(1), t->buf, 10, W, 0);
	desc(0, 10, N, 1);
	desc(1, 32, I | W, 0);
	offer(0);
	expect(1, OB_VIRTQ_SOUND);
	assert_int_equal(t->ch[0].n_seg, 3);
	assert_int_equal(t->ch[0].n_readable, 1);
}

static void split_table_in_a_table(void **state)
{
	(void)state;
	put(entry(0), t->buf, 16, I, 0);
	table(16, 0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void split_table_next_out_of_range(void **state)
{
	(void)state;
	put(entry(0), t->buf, 10, N, 2);
	table(32, 0);
	expect(-EPROTO, OB_VIRTQ_BAD_NEXT);
}

static void split_table_that_loops(void **state)
{
	(void)state;
	put(entry(0), t->buf, 10, N, 1);
	put(entry(1), t->buf, 10, N, 0);
	table(32, 0);
	expect(-EPROTO, OB_VIRTQ_TOO_LONG);
}

static void split_table_unmapped(void **state)
{
	(void)state;
	put(t->r.desc, 0x10, 16, I, 0);
	offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void split_table_longer_than_the_queue_is_sound(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		put(entry(i), t->buf + i, 1 + i, i < 299 ? N : 0, (uint16_t)(i + 1));
	table(300 * 16, 0);
	expect(1, OB_VIRTQ_SOUND);
	assert_int_equal(t->ch[0].n_seg, 300);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(t->seg[i].len, 1 + i);
}

static void split_long_table_half_unmapped(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++)
		put(entry(i), t->buf, 1, N, (uint16_t)(i + 1));
	put(t->r.desc, t->buf, 0xfffffff0, I, 0);
	put(entry(64), t->buf, 1, N, 0xffff);
	/* Its 65,536th entry lies outside; the table is walked no further than it is mapped. */
	t->g.brk = 0;
	put(t->r.desc, t->g.iova + t->g.len - 1024, 0x100000, I, 0);
	for (unsigned i = 0; i < 64; i++)
		put(t->g.mem + t->g.len - 1024 + 16 * i, t->buf, 1, N, (uint16_t)(i + 1));
	offer(0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void table_without_the_feature(void **state)
{
	(void)state;
	ob_virtq_destroy(t->vq);
	t->conf.indirect = false;
	assert_int_equal(ob_virtq_create(&t->conf, &t->vq), 0);
	put(entry(0), t->buf, 10, 0, 0);
	table(16, 0);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

/* Packed: the id and the flags share the places of 'flags' and 'next'. */
static void pdesc(unsigned i, uint32_t len, uint16_t flags, uint16_t id)
{
	desc(i, len, id, flags | (1 << VRING_PACKED_DESC_F_AVAIL));
}

static void packed_table_of_bad_length(void **state)
{
	(void)state;
	pdesc(0, 8, I, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void packed_table_chained_on(void **state)
{
	(void)state;
	pdesc(0, 16, I | N, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void packed_table_in_a_list(void **state)
{
	(void)state;
	pdesc(0, 10, N, 1);
	pdesc(1, 16, I, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_INDIRECT);
}

static void packed_table_ignores_all_flags_but_write(void **state)
{
	(void)state;
	put(entry(0), t->buf, 10, 0, N | I);
	put(entry(1), t->buf, 10, 0, W | N | I);
	pdesc(0, 32, I | W, 777);
	expect(1, OB_VIRTQ_SOUND);
	assert_int_equal(t->ch[0].n_seg, 2);
	assert_int_equal(t->ch[0].n_readable, 1);
	assert_int_equal(t->ch[0].id, 777);
}

static void packed_list_longer_than_the_ring(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		pdesc(i, 10, N, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_NEXT);
}

static void packed_list_into_slots_that_are_outside(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 6; i++)
		pdesc(i, 10, 0, (uint16_t)i);
	expect(6, OB_VIRTQ_SOUND);
	for (unsigned i = 6; i < 8; i++)
		pdesc(i, 10, N, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_NEXT);
}

static void packed_ring_is_not_popped_past_what_is_outside(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		pdesc(i, 10, 0, (uint16_t)i);
	expect(8, OB_VIRTQ_SOUND);
	/* The guest claims the next round before anything was used. */
	for (unsigned i = 0; i < 8; i++)
		desc(i, 10, (uint16_t)i, 1 << VRING_PACKED_DESC_F_USED);
	expect(0, OB_VIRTQ_SOUND);
	assert_int_equal(ob_virtq_available(t->vq), 0);
}

static void packed_zero_length_segment(void **state)
{
	(void)state;
	pdesc(0, 0, 0, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_LENGTH);
}

static void packed_readable_behind_writable(void **state)
{
	(void)state;
	pdesc(0, 10, N | W, 1);
	pdesc(1, 10, 0, 1);
	expect(-EPROTO, OB_VIRTQ_BAD_ORDER);
}

static void poisoned_memory_breaks_the_queue(void **state)
{
	(void)state;
	/* Valgrind takes the signal itself. */
	if (getenv("OB_VALGRIND") != NULL)
		skip();
	assert_int_equal(ob_gmem_catch_faults(), 0);
	assert_int_equal(ob_virtq_begin(t->vq), 0);
	assert_int_equal(ftruncate(t->g.fd, 0), 0);
	assert_int_equal(ob_virtq_pop(t->vq, t->ch, 8, t->seg, MAX_SEGS), 0);
	assert_int_equal(ob_virtq_begin(t->vq), -EPROTO);
	assert_int_equal(t->st.broken, OB_VIRTQ_POISONED);
}

static void create_rejects(void **state)
{
	struct ob_virtq_conf good = t->conf, c;
	struct ob_virtq *vq;

	(void)state;
#define REJECT(code, change)                                      \
	do {                                                      \
		c = good;                                         \
		change;                                           \
		assert_int_equal(ob_virtq_create(&c, &vq), code); \
	} while (0)
	REJECT(-EINVAL, c.size = 0);
	REJECT(-EINVAL, c.size = OB_VIRTQ_MAX_SIZE + 1);
	if (!good.packed)
		REJECT(-EINVAL, c.size = 6);
	REJECT(-EINVAL, c.desc.v += 8);
	REJECT(-EINVAL, c.driver.v += good.packed ? 2 : 1);
	REJECT(-EINVAL, c.device.v += 2);
	REJECT(-EINVAL, c.desc.v = UINT64_MAX - 15);
	if (!good.packed)
		REJECT(-EINVAL, c.driver.v = UINT64_MAX - 3);
	REJECT(-EINVAL, t->st.avail_idx = 9);
	t->st.avail_idx = 0;
	while (ob_gmem_window_add(t->gm, good.desc, 16, OB_GMEM_READ) >= 0)
		;
	REJECT(-ENOSPC, (void)0);
	ob_gmem_window_del(t->gm, 100);
	REJECT(-ENOSPC, (void)0);
	ob_gmem_window_del(t->gm, 200);
	REJECT(-ENOSPC, (void)0);
	ob_gmem_window_del(t->gm, 300);
	assert_int_equal(ob_virtq_create(&good, &vq), 0);
	ob_virtq_destroy(vq);
	ob_virtq_destroy(NULL);
}

#define S(f) cmocka_unit_test_setup_teardown(f, setup_split, teardown)
#define P(f) cmocka_unit_test_setup_teardown(f, setup_packed, teardown)

int main(void)
{
	const struct CMUnitTest split[] = {
	    S(split_index_jump),
	    S(split_index_back),
	    S(split_index_jump_with_chains_outside),
	    S(split_head_out_of_range),
	    S(split_next_out_of_range),
	    S(split_chain_that_loops),
	    S(split_chain_of_queue_size_is_sound),
	    S(zero_length_segment),
	    S(sum_of_2_to_the_32),
	    S(sum_just_below_2_to_the_32_is_sound),
	    S(readable_behind_writable),
	    S(split_table_of_bad_length),
	    S(split_table_of_length_zero),
	    S(split_table_chained_on),
	    S(split_table_behind_direct_descriptors_is_sound),
	    S(split_table_in_a_table),
	    S(split_table_next_out_of_range),
	    S(split_table_that_loops),
	    S(split_table_unmapped),
	    S(split_table_longer_than_the_queue_is_sound),
	    S(split_long_table_half_unmapped),
	    S(table_without_the_feature),
	    S(poisoned_memory_breaks_the_queue),
	    S(create_rejects),
	};
	const struct CMUnitTest packed[] = {
	    P(packed_table_of_bad_length),
	    P(packed_table_chained_on),
	    P(packed_table_in_a_list),
	    P(packed_table_ignores_all_flags_but_write),
	    P(packed_list_longer_than_the_ring),
	    P(packed_list_into_slots_that_are_outside),
	    P(packed_ring_is_not_popped_past_what_is_outside),
	    P(packed_zero_length_segment),
	    P(packed_readable_behind_writable),
	    P(poisoned_memory_breaks_the_queue),
	    P(create_rejects),
	};
	int rc = cmocka_run_group_tests_name("split", split, NULL, NULL);

	return rc + cmocka_run_group_tests_name("packed", packed, NULL, NULL);
}
