/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtq_test_util.h"

#include <linux/virtio_ring.h>

static uint32_t rng = 12345;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 1664525u + 1013904223u;
	return (rng >> 8) % n;
}

/* One buffer that the driver has added: what pop must show. */
struct want {
	unsigned n_out, n_in;
	struct fake_sg sg[8];
	uint32_t written;
};

static void check_chain(const struct rig *t, const struct ob_virtq_chain *c, const struct want *w)
{
	uint32_t rd = 0, wr = 0;

	assert_int_equal(c->n_seg, w->n_out + w->n_in);
	assert_int_equal(c->n_readable, w->n_out);
	for (unsigned i = 0; i < c->n_seg; i++) {
		const struct ob_virtq_seg *s = &t->seg[c->seg_first + i];

		assert_true(s->iova.v == w->sg[i].iova);
		assert_int_equal(s->len, w->sg[i].len);
		assert_int_equal(s->writable, i >= w->n_out);
		*(i < w->n_out ? &rd : &wr) += s->len;
	}
	assert_int_equal(c->readable_bytes, rd);
	assert_int_equal(c->writable_bytes, wr);
}

static void make_want(const struct rig *t, struct want *w, unsigned max_seg)
{
	unsigned n = 1 + rnd(max_seg);

	w->n_out = rnd(n + 1);
	w->n_in = n - w->n_out;
	for (unsigned i = 0; i < n; i++)
		w->sg[i] = (struct fake_sg){t->buf + rnd(60000), 1 + rnd(4000)};
	w->written = w->n_in > 0 ? rnd(1000) : 0;
}

/* Driver and device run against each other at random; every buffer comes out once, as it went in, in order. */
static void run_random(const struct fake_ring_conf *rc, unsigned n_bufs, unsigned max_seg)
{
	struct rig *t = malloc(sizeof(*t));
	struct want *want = calloc(4096, sizeof(*want));
	struct ob_virtq_chain held[4096];
	uint32_t added = 0, popped = 0, pushed = 0, reaped = 0, len, written[MAX_CHAINS];
	uint64_t cookie;

	rig_up(t, rc);
	while (reaped < n_bufs) {
		unsigned n = rnd(rc->size + 1u);

		while (n-- > 0 && added < n_bufs) {
			struct want *w = &want[added % 4096];

			make_want(t, w, max_seg);
			if (fake_ring_add(&t->r, w->sg, w->n_out, w->n_in, added) != 0)
				break;
			added++;
		}
		int got = rig_pop(t, 1 + rnd(MAX_CHAINS));

		assert_true(got >= 0);
		for (int i = 0; i < got; i++) {
			check_chain(t, &t->ch[i], &want[(popped + (unsigned)i) % 4096]);
			held[(popped + (unsigned)i) % 4096] = t->ch[i];
		}
		popped += (unsigned)got;
		if (got > 0 && rnd(4) == 0) {
			unsigned back = 1 + rnd((unsigned)got);

			ob_virtq_unpop(t->vq, &t->ch[(unsigned)got - back], back);
			popped -= back;
		}
		n = rnd(popped - pushed + 1);
		for (unsigned i = 0; i < n; i++, pushed++) {
			written[0] = want[pushed % 4096].written;
			ob_virtq_push(t->vq, &held[pushed % 4096], written, 1);
		}
		ob_virtq_flush(t->vq);
		assert_int_equal(t->st.inflight, popped - pushed);
		while (fake_ring_reap(&t->r, &cookie, &len) == 1) {
			const struct want *w = &want[reaped % 4096];

			assert_int_equal(cookie, reaped);
			if (w->n_in > 0)
				assert_int_equal(len, w->written);
			reaped++;
		}
		assert_int_equal(reaped, pushed);
	}
	assert_int_equal(fake_ring_outstanding(&t->r), 0);
	free(want);
	rig_down(t);
	free(t);
}

static void every_buffer_comes_out_once_and_in_order(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 32; bits++) {
		struct fake_ring_conf rc = {
		    .size = 16,
		    .packed = bits & 1,
		    .event_idx = bits & 2,
		    .in_order = bits & 4,
		    .indirect = bits & 8,
		    .indirect_always = (bits & 24) == 24,
		};

		run_random(&rc, 2000, 8);
	}
}

static void packed_sizes_need_not_be_powers_of_two(void **state)
{
	(void)state;
	for (uint16_t size = 1; size < 40; size += 3)
		run_random(&(struct fake_ring_conf){.size = size, .packed = true}, 700,
		    size < 8 ? size : 8);
	run_random(&(struct fake_ring_conf){.size = 4095, .packed = true}, 20000, 4);
}

static void indices_wrap_at_65536(void **state)
{
	(void)state;
	run_random(&(struct fake_ring_conf){.size = 256, .event_idx = true}, 140000, 1);
	run_random(&(struct fake_ring_conf){.size = 4096, .start = 65530}, 9000, 2);
	run_random(&(struct fake_ring_conf){.size = 1, .start = 65535}, 10, 1);
	run_random(
	    &(struct fake_ring_conf){.size = 4096, .start = 65500, .in_order = true}, 9000, 2);
}

static void out_of_order_push_is_kept(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	uint32_t len, w[4] = {10, 20, 30, 40};
	uint64_t cookie;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct ob_virtq_chain x[2];

		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed});
		for (unsigned round = 0; round < 20; round++) {
			rig_add(t, 4, true, 100);
			assert_int_equal(rig_pop(t, 8), 4);
			x[0] = t->ch[2];
			x[1] = t->ch[0];
			ob_virtq_push(t->vq, x, w, 2);
			ob_virtq_flush(t->vq);
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 1);
			assert_int_equal(cookie, 2);
			assert_int_equal(len, 10);
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 1);
			assert_int_equal(cookie, 0);
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 0);
			x[0] = t->ch[3];
			x[1] = t->ch[1];
			ob_virtq_push(t->vq, x, w + 2, 2);
			ob_virtq_flush(t->vq);
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 1);
			assert_int_equal(cookie, 3);
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 1);
			assert_int_equal(cookie, 1);
			assert_int_equal(len, 40);
		}
		rig_down(t);
	}
	free(t);
}

static void pushes_appear_together_at_flush(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	uint32_t len, w[3] = {1, 2, 3};
	uint64_t cookie;

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed});
		assert_false(ob_virtq_begin(t->vq));
		assert_false(ob_virtq_flush(t->vq));
		rig_add(t, 3, true, 100);
		assert_int_equal(rig_pop(t, 8), 3);
		ob_virtq_push(t->vq, t->ch, w, 2);
		ob_virtq_push(t->vq, t->ch + 2, w + 2, 1);
		assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 0);
		ob_virtq_flush(t->vq);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(fake_ring_reap(&t->r, &cookie, &len), 1);
			assert_int_equal(cookie, i);
			assert_int_equal(len, w[i]);
		}
		rig_down(t);
	}
	free(t);
}

static void pop_stops_where_segments_run_out(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	struct fake_sg sg[3];

	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		rig_up(t,
		    &(struct fake_ring_conf){.size = 16, .packed = bits & 1, .indirect = bits & 2});
		for (unsigned i = 0; i < 3; i++)
			sg[i] = (struct fake_sg){t->buf + i * 100, 100};
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(fake_ring_add(&t->r, sg, 1, 2, i), 0);
		assert_int_equal(ob_virtq_begin(t->vq), 0);
		assert_int_equal(ob_virtq_pop(t->vq, t->ch, 8, t->seg, 8), 2);
		assert_int_equal(t->ch[1].seg_first, 3);
		assert_int_equal(ob_virtq_pop(t->vq, t->ch, 8, t->seg, 3), 1);
		assert_int_equal(ob_virtq_pop(t->vq, t->ch, 8, t->seg, 2), -EPROTO);
		assert_true(ob_virtq_broken(t->vq));
		assert_string_equal(ob_virtq_broken_why(t->vq), "chain too long");
		rig_down(t);
	}
	free(t);
}

static void available_tells_what_pop_will_find(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	uint32_t w[8] = {0};

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed});
		assert_int_equal(ob_virtq_begin(t->vq), 0);
		assert_int_equal(ob_virtq_available(t->vq), 0);
		rig_add(t, 8, true, 100);
		assert_int_equal(ob_virtq_available(t->vq), packed ? 1 : 8);
		assert_int_equal(rig_pop(t, 8), 8);
		assert_int_equal(ob_virtq_available(t->vq), 0);
		ob_virtq_push(t->vq, t->ch, w, 8);
		ob_virtq_flush(t->vq);
		assert_int_equal(ob_virtq_available(t->vq), 0);
		assert_int_equal(ob_virtq_size(t->vq), 8);
		rig_down(t);
	}
	free(t);
}

/* Gives 'n' buffers back and returns what flush said. */
static bool use(struct rig *t, unsigned n)
{
	uint32_t w[MAX_CHAINS] = {0};

	assert_int_equal(rig_pop(t, n), (int)n);
	ob_virtq_push(t->vq, t->ch, w, n);
	return ob_virtq_flush(t->vq);
}

static void reap_all(struct rig *t)
{
	uint64_t cookie;
	uint32_t len;

	while (fake_ring_reap(&t->r, &cookie, &len) == 1)
		;
}

static void interrupt_flag_is_obeyed(void **state)
{
	struct rig *t = malloc(sizeof(*t));

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed});
		rig_add(t, 4, true, 100);
		assert_true(use(t, 1));
		fake_ring_want_interrupt(&t->r, false);
		assert_false(use(t, 1));
		fake_ring_want_interrupt(&t->r, true);
		assert_true(use(t, 1));
		rig_down(t);
	}
	free(t);
}

static void interrupt_comes_when_the_event_index_is_passed(void **state)
{
	struct rig *t = malloc(sizeof(*t));

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		struct fake_ring_conf rc = {
		    .size = 7 + !packed, .packed = packed, .event_idx = true};

		rc.start = packed ? 0 : 65520;
		rig_up(t, &rc);
		/* The first decision has no predecessor and is yes. */
		fake_ring_want_interrupt(&t->r, true);
		rig_add(t, 1, true, 100);
		assert_true(use(t, 1));
		reap_all(t);
		for (unsigned i = 0; i < 200; i++) {
			unsigned n = 1 + rnd(rc.size);

			/* At the next used buffer: any number passes it. */
			fake_ring_want_interrupt(&t->r, true);
			rig_add(t, n, true, 100);
			assert_true(use(t, n));
			reap_all(t);
			fake_ring_want_interrupt(&t->r, false);
			if (!packed && n == rc.size)
				continue;
			rig_add(t, n, true, 100);
			assert_false(use(t, n));
			/* Not asked again: passed long ago. */
			reap_all(t);
		}
		rig_down(t);
	}
	free(t);
}

/* The packed event word for slot 'k' from now, put there by hand, against what counting says. */
static void packed_event_index_equals_counting(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	const uint16_t size = 5;

	(void)state;
	rig_up(t, &(struct fake_ring_conf){.size = size, .packed = true, .event_idx = true});
	fake_ring_want_interrupt(&t->r, true);
	rig_add(t, 1, true, 100);
	use(t, 1);
	reap_all(t);
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned k = 0; k < size; k++) {
			for (unsigned n = 1; n <= size; n++) {
				unsigned at = t->r.used_idx + k, wrap = t->r.used_wrap;

				if (at >= size) {
					at -= size;
					wrap ^= 1;
				}
				*(uint32_t *)(void *)t->r.driver =
				    at | wrap << 15 | VRING_PACKED_EVENT_FLAG_DESC << 16;
				rig_add(t, n, true, 100);
				assert_int_equal(use(t, n), n > k);
				reap_all(t);
			}
		}
	}
	rig_down(t);
	free(t);
}

static void split_event_index_equals_counting(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	const uint16_t size = 8;

	(void)state;
	rig_up(t, &(struct fake_ring_conf){.size = size, .event_idx = true, .start = 65000});
	rig_add(t, 1, true, 100);
	use(t, 1);
	reap_all(t);
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned k = 0; k < size; k++) {
			for (unsigned n = 1; n <= size; n++) {
				*(uint16_t *)(void *)(t->r.driver + 4 + 2 * size) =
				    (uint16_t)(t->r.used_idx + k);
				rig_add(t, n, true, 100);
				assert_int_equal(use(t, n), n > k);
				reap_all(t);
			}
		}
	}
	rig_down(t);
	free(t);
}

static void armed_queue_is_kicked_and_disarmed_is_not(void **state)
{
	struct rig *t = malloc(sizeof(*t));

	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		bool event_idx = bits & 2, packed = bits & 1;

		rig_up(t,
		    &(struct fake_ring_conf){.size = 8, .packed = packed, .event_idx = event_idx});
		for (unsigned i = 0; i < 50; i++) {
			assert_int_equal(ob_virtq_begin(t->vq), 0);
			ob_virtq_disarm(t->vq);
			if (!event_idx || packed) {
				rig_add(t, 1, true, 100);
				assert_false(fake_ring_kick(&t->r));
				use(t, 1);
				reap_all(t);
			}
			assert_false(ob_virtq_arm(t->vq));
			rig_add(t, 2, true, 100);
			assert_true(fake_ring_kick(&t->r));
			if (event_idx) {
				/* One kick for one arm. */
				rig_add(t, 1, true, 100);
				assert_false(fake_ring_kick(&t->r));
				use(t, 1);
			}
			assert_true(ob_virtq_arm(t->vq));
			use(t, 2);
			reap_all(t);
		}
		rig_down(t);
	}
	free(t);
}

static void in_order_transmit_is_one_used_element(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	uint32_t w[6] = {0};

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed, .in_order = true});
		rig_add(t, 6, false, 100);
		assert_int_equal(rig_pop(t, 8), 6);
		ob_virtq_push(t->vq, t->ch, w, 6);
		ob_virtq_flush(t->vq);
		if (packed) {
			/* Only the first slot was written: used, with the sixth's id. */
			assert_int_equal(t->r.desc[15] & 0x80, 0x80);
			assert_int_equal(t->r.desc[12], t->ch[5].id);
			for (unsigned i = 1; i < 6; i++)
				assert_int_equal(t->r.desc[16 * i + 15] & 0x80, 0);
		} else {
			assert_int_equal(t->r.device[4], t->ch[5].id);
			assert_int_equal(t->r.device[2], 6);
			assert_int_equal(t->r.device[12], 0);
		}
		reap_all(t);
		assert_int_equal(fake_ring_outstanding(&t->r), 0);
		rig_down(t);
	}
	free(t);
}

static void queue_without_memory_is_eagain_until_it_is_mapped(void **state)
{
	struct rig *t = malloc(sizeof(*t));

	(void)state;
	rig_up(t, &(struct fake_ring_conf){.size = 8});
	rig_add(t, 2, true, 100);
	assert_int_equal(rig_pop(t, 1), 1);
	assert_int_equal(ob_gmem_del(t->gm, (ob_iova_t){t->g.iova}, t->g.len), 1);
	assert_int_equal(ob_virtq_begin(t->vq), -EAGAIN);
	assert_int_equal(ob_gmem_add(t->gm, (ob_iova_t){t->g.iova}, t->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, t->g.fd, 0),
	    0);
	assert_int_equal(rig_pop(t, 1), 1);
	assert_ptr_equal(ob_virtq_map(t->vq), ob_gmem_map_get(t->gm));
	rig_down(t);
	free(t);
}

static void a_new_owner_continues_from_the_state(void **state)
{
	struct rig *t = malloc(sizeof(*t));

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 6 + 2 * !packed, .packed = packed});
		for (unsigned i = 0; i < 100; i++) {
			rig_add(t, 5, true, 100);
			use(t, 3);
			ob_virtq_destroy(t->vq);
			assert_int_equal(ob_virtq_create(&t->conf, &t->vq), 0);
			use(t, 2);
			reap_all(t);
			assert_int_equal(fake_ring_outstanding(&t->r), 0);
		}
		rig_down(t);
	}
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_buffer_comes_out_once_and_in_order),
	    cmocka_unit_test(packed_sizes_need_not_be_powers_of_two),
	    cmocka_unit_test(indices_wrap_at_65536),
	    cmocka_unit_test(out_of_order_push_is_kept),
	    cmocka_unit_test(pushes_appear_together_at_flush),
	    cmocka_unit_test(pop_stops_where_segments_run_out),
	    cmocka_unit_test(available_tells_what_pop_will_find),
	    cmocka_unit_test(interrupt_flag_is_obeyed),
	    cmocka_unit_test(interrupt_comes_when_the_event_index_is_passed),
	    cmocka_unit_test(packed_event_index_equals_counting),
	    cmocka_unit_test(split_event_index_equals_counting),
	    cmocka_unit_test(armed_queue_is_kicked_and_disarmed_is_not),
	    cmocka_unit_test(in_order_transmit_is_one_used_element),
	    cmocka_unit_test(queue_without_memory_is_eagain_until_it_is_mapped),
	    cmocka_unit_test(a_new_owner_continues_from_the_state),
	};

	return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
