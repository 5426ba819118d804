/* SPDX-License-Identifier: BSD-3-Clause */
/* The two tests of a hostile guest: every byte is fetched once in an operation, and what the guest writes after the
 * fetch changes nothing. */
#define RIG_BYTES (512u << 10)
#include "virtq_test_util.h"

#include "fake_gmem.h"

#define LOG_MAX 60000

/* Everything that the device and the driver saw of a run, to compare runs by. */
struct log {
	uint64_t word[LOG_MAX];
	size_t n;
};

static void note(struct log *l, uint64_t w)
{
	assert_true(l->n < LOG_MAX);
	l->word[l->n++] = w;
}

static uint32_t rng;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 1664525u + 1013904223u;
	return (rng >> 8) % n;
}

/* Ends an operation of the device: nothing was fetched twice; the guest's bytes are put back. */
static void op_done(const struct rig *t)
{
	assert_true(fake_gmem_most_fetched(0, t->g.len) <= 1);
	fake_gmem_restore();
	fake_gmem_recount();
}

static void note_chains(struct log *l, const struct rig *t, int n)
{
	note(l, (uint64_t)n);
	for (int i = 0; i < n; i++) {
		const struct ob_virtq_chain *c = &t->ch[i];

		note(l, c->id | (uint64_t)c->n_slots << 16 | (uint64_t)c->n_seg << 32 |
			    (uint64_t)c->n_readable << 48);
		note(l, c->readable_bytes | (uint64_t)c->writable_bytes << 32);
		for (unsigned k = 0; k < c->n_seg; k++) {
			const struct ob_virtq_seg *s = &t->seg[c->seg_first + k];

			note(l, s->iova.v);
			note(l, s->len | (uint64_t)s->writable << 32);
		}
	}
}

static void run(const struct fake_ring_conf *rc, bool scribble, struct log *l)
{
	struct rig *t = malloc(sizeof(*t));
	uint32_t written[MAX_CHAINS], len;
	uint64_t cookie = 0, fetched = 0;

	rng = 99;
	l->n = 0;
	rig_up(t, rc);
	fake_gmem_watch(t->g.mem, t->g.len);
	fake_gmem_scribble(scribble);
	for (unsigned round = 0; round < 30; round++) {
		struct fake_sg sg[8];

		for (unsigned i = rnd(12); i > 0; i--) {
			unsigned n = 1 + rnd(8), n_out = rnd(n + 1);

			for (unsigned k = 0; k < n; k++)
				sg[k] = (struct fake_sg){t->buf + rnd(60000), 1 + rnd(3000)};
			if (fake_ring_add(&t->r, sg, n_out, n - n_out, cookie) == 0)
				cookie++;
		}
		fake_ring_want_interrupt(&t->r, rnd(2));
		assert_int_equal(ob_virtq_begin(t->vq), 0);
		note(l, ob_virtq_available(t->vq));
		op_done(t);
		int got = ob_virtq_pop(t->vq, t->ch, 1 + rnd(16), t->seg, 64);

		assert_true(got >= 0);
		fetched += fake_gmem_bytes_fetched();
		op_done(t);
		note_chains(l, t, got);
		if (got > 1) {
			ob_virtq_unpop(t->vq, &t->ch[got - 1], 1);
			got--;
		}
		for (int i = 0; i < got; i++)
			written[i] = t->ch[i].writable_bytes > 0 ? rnd(500) : 0;
		ob_virtq_push(t->vq, t->ch, written, (unsigned)got);
		note(l, ob_virtq_flush(t->vq));
		op_done(t);
		if (round % 3 == 0)
			note(l, ob_virtq_arm(t->vq));
		else
			ob_virtq_disarm(t->vq);
		op_done(t);
		note(l, fake_ring_kick(&t->r));
		for (uint64_t c; fake_ring_reap(&t->r, &c, &len) == 1;)
			note(l, c << 32 | len);
	}
	assert_true(cookie > 50);
	assert_true(fetched > cookie * 16);
	fake_gmem_watch(NULL, 0);
	rig_down(t);
	free(t);
}

static void every_byte_is_fetched_once_and_scribbling_changes_nothing(void **state)
{
	struct log *plain = malloc(sizeof(*plain)), *hostile = malloc(sizeof(*hostile));

	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct fake_ring_conf rc = {
		    .size = 32,
		    .packed = bits & 1,
		    .event_idx = bits & 2,
		    .in_order = bits & 4,
		    .indirect = bits & 8,
		};

		run(&rc, false, plain);
		run(&rc, true, hostile);
		assert_int_equal(plain->n, hostile->n);
		assert_memory_equal(plain->word, hostile->word, plain->n * sizeof(plain->word[0]));
	}
	free(plain);
	free(hostile);
}

static void a_long_indirect_table_is_fetched_once(void **state)
{
	struct rig *t = malloc(sizeof(*t));
	struct fake_sg sg[FAKE_RING_TABLE];

	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed, .indirect = true});
		for (unsigned i = 0; i < FAKE_RING_TABLE; i++)
			sg[i] = (struct fake_sg){t->buf + i, 1 + i};
		assert_int_equal(fake_ring_add(&t->r, sg, 1, FAKE_RING_TABLE - 1, 0), 0);
		/* Longer than what is copied at once; the rest of the table is zero-length and not reached. */
		if (!packed)
			*(uint32_t *)(void *)(t->r.desc + 8) += 16;
		fake_gmem_watch(t->g.mem, t->g.len);
		fake_gmem_scribble(true);
		assert_int_equal(rig_pop(t, 1), 1);
		assert_int_equal(t->ch[0].n_seg, FAKE_RING_TABLE);
		for (unsigned i = 0; i < FAKE_RING_TABLE; i++) {
			assert_true(t->seg[i].iova.v == sg[i].iova);
			assert_int_equal(t->seg[i].len, sg[i].len);
		}
		assert_int_equal(fake_gmem_most_fetched(0, t->g.len), 1);
		fake_gmem_watch(NULL, 0);
		rig_down(t);
	}
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_byte_is_fetched_once_and_scribbling_changes_nothing),
	    cmocka_unit_test(a_long_indirect_table_is_fetched_once),
	};

	return cmocka_run_group_tests_name("virtq_hostile", tests, NULL, NULL);
}
