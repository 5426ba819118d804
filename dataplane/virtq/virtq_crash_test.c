/* SPDX-License-Identifier: BSD-3-Clause */
/* The owner of a queue is ended between any two of its stores, in the guest's ring or in the arena; a successor recovers
 * and serves on. The driver gets each buffer back once. So does it when the successor ends while it recovers. */
#define RIG_BYTES (192u << 10)
#include "virtq_test_util.h"

#include "fake_gmem.h"

#define MAX_DEPTH 2

/* What outlives an owner, and what the driver knows. */
struct world {
	uint8_t mem[RIG_BYTES];
	struct ob_virtq_state st;
	struct fake_ring r;
	struct fake_buf buf[64];
	uint16_t next_desc[64], order[64];
};

static struct world worlds[MAX_DEPTH];
static struct rig *t;
static unsigned depth;
static unsigned long n_crashes, n_rolled;
static uint64_t next_cookie; /* the oldest that the driver has outside */

static void world_save(struct world *w, const struct ob_virtq_state *st)
{
	size_t n = t->r.conf.size;

	memcpy(w->mem, t->g.mem, RIG_BYTES);
	w->st = *st;
	w->r = t->r;
	memcpy(w->buf, t->r.buf, n * sizeof(w->buf[0]));
	memcpy(w->next_desc, t->r.next_desc, n * sizeof(w->next_desc[0]));
	memcpy(w->order, t->r.order, n * sizeof(w->order[0]));
}

static void world_restore(const struct world *w)
{
	size_t n = t->r.conf.size;

	memcpy(t->g.mem, w->mem, RIG_BYTES);
	t->r = w->r;
	memcpy(t->r.buf, w->buf, n * sizeof(w->buf[0]));
	memcpy(t->r.next_desc, w->next_desc, n * sizeof(w->next_desc[0]));
	memcpy(t->r.order, w->order, n * sizeof(w->order[0]));
}

/* Takes back everything the device gave back; in order of adding. */
static void reap_in_order(void)
{
	uint64_t cookie;
	uint32_t len;
	int rc;

	while ((rc = fake_ring_reap(&t->r, &cookie, &len)) == 1)
		assert_int_equal(cookie, next_cookie++);
	assert_int_equal(rc, 0);
}

static void crash(void *ctx);

/* A new process with its own view of the guest: recovers and serves what there is. */
static void succeed(struct ob_virtq_state *st)
{
	struct ob_gmem_conf gc = {.name = "successor"};
	struct ob_virtq_chain ch[64];
	struct ob_virtq_seg seg[512];
	uint32_t written[64] = {0};
	struct ob_virtq_conf c = t->conf;
	struct ob_virtq *vq;
	int n;

	assert_int_equal(ob_gmem_create(&gc, &c.gm), 0);
	assert_int_equal(ob_gmem_add_hva(c.gm, (ob_iova_t){t->g.iova}, t->g.len,
			     OB_GMEM_READ | OB_GMEM_WRITE, t->g.mem),
	    0);
	c.state = st;
	assert_int_equal(ob_virtq_create(&c, &vq), 0);
	fake_gmem_on_step(depth < MAX_DEPTH ? crash : NULL, st);
	assert_int_equal(ob_virtq_recover(vq), 0);
	fake_gmem_on_step(NULL, NULL);
	reap_in_order();
	assert_int_equal(ob_virtq_begin(vq), 0);
	n = ob_virtq_pop(vq, ch, 64, seg, 512);
	assert_true(n >= 0);
	n_rolled += (unsigned)n;
	ob_virtq_push(vq, ch, written, (unsigned)n);
	ob_virtq_flush(vq);
	reap_in_order();
	assert_int_equal(fake_ring_outstanding(&t->r), 0);
	ob_virtq_destroy(vq);
	ob_gmem_destroy(c.gm);
}

static void crash(void *ctx)
{
	struct ob_virtq_state *arena = ctx, st = *arena;
	uint64_t cookie = next_cookie;
	struct world *w = &worlds[depth];

	n_crashes++;
	world_save(w, arena);
	depth++;
	succeed(&st);
	depth--;
	world_restore(w);
	next_cookie = cookie;
	fake_gmem_on_step(crash, arena);
}

static void run(const struct fake_ring_conf *rc, uint32_t seed)
{
	uint64_t added = 0;

	t = malloc(sizeof(*t));
	rig_up(t, rc);
	fake_gmem_watch(t->g.mem, t->g.len);
	next_cookie = 0;
	for (unsigned round = 0; round < 12; round++) {
		uint32_t written[64];
		struct fake_sg sg[4];
		int n;

		for (unsigned i = 0; i < 6; i++) {
			unsigned n_sg, n_out;

			seed = seed * 1664525u + 1013904223u;
			n_sg = 1 + (seed >> 9) % 4;
			n_out = (seed >> 14) % (n_sg + 1);
			for (unsigned k = 0; k < n_sg; k++)
				sg[k] = (struct fake_sg){t->buf + 64 * k, 64};
			if (fake_ring_add(&t->r, sg, n_out, n_sg - n_out, added) == 0)
				added++;
		}
		fake_gmem_on_step(crash, &t->st);
		n = rig_pop(t, 1 + (seed >> 20) % 8);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			written[i] = t->ch[i].writable_bytes / 2;
		/* In two parts, as a stage does that gathers a burst; one flush. */
		ob_virtq_push(t->vq, t->ch, written, (unsigned)n / 2);
		ob_virtq_push(t->vq, t->ch + n / 2, written + n / 2, (unsigned)(n - n / 2));
		ob_virtq_flush(t->vq);
		fake_gmem_on_step(NULL, NULL);
		reap_in_order();
	}
	assert_true(added > 12);
	fake_gmem_watch(NULL, 0);
	rig_down(t);
	free(t);
}

static void each_buffer_comes_back_once_wherever_the_owner_ends(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct fake_ring_conf rc = {
		    .size = 16,
		    .packed = bits & 1,
		    .event_idx = bits & 2,
		    .in_order = bits & 4,
		    .indirect = bits & 8,
		    .start = bits & 1 ? 0 : 65530,
		};

		n_crashes = n_rolled = 0;
		run(&rc, bits * 7919 + 3);
		assert_true(n_crashes > 50);
		assert_true(n_rolled > 50);
	}
}

static void recover_without_memory_is_eagain(void **state)
{
	(void)state;
	t = malloc(sizeof(*t));
	rig_up(t, &(struct fake_ring_conf){.size = 8});
	assert_int_equal(ob_gmem_del(t->gm, (ob_iova_t){t->g.iova}, t->g.len), 1);
	assert_int_equal(ob_virtq_recover(t->vq), -EAGAIN);
	rig_down(t);
	free(t);
}

/* A guest that rewrites its ring while nobody serves it can make the recovery fail, and nothing else. */
static void recover_of_a_packed_ring_rewritten_meanwhile_is_eproto(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		t = malloc(sizeof(*t));
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = true});
		rig_add(t, 4, true, 64);
		assert_int_equal(rig_pop(t, 4), 4);
		t->st.flushing = 1;
		t->st.flush_to = kind == 2 ? 9 : 4 | 1 << 15;
		if (kind == 0)
			memset(t->r.desc, 0, 64);
		else
			for (unsigned i = 0; i < 4; i++)
				t->r.desc[16 * i + 14] |= 1;
		assert_int_equal(ob_virtq_recover(t->vq), -EPROTO);
		assert_true(ob_virtq_broken(t->vq));
		rig_down(t);
		free(t);
	}
}

/* Ended before the first slot was written: nothing is lost, so nothing may be given back unused. */
static void a_flush_that_had_not_begun_is_forgotten(void **state)
{
	(void)state;
	for (int packed = 0; packed < 2; packed++) {
		t = malloc(sizeof(*t));
		rig_up(t, &(struct fake_ring_conf){.size = 8, .packed = packed});
		rig_add(t, 4, true, 64);
		assert_int_equal(rig_pop(t, 4), 4);
		t->st.flushing = 1;
		t->st.flush_to = (uint16_t)(4 | packed << 15);
		assert_int_equal(ob_virtq_recover(t->vq), 0);
		assert_int_equal(t->st.flushing, 0);
		assert_int_equal(t->st.inflight, 0);
		reap_in_order();
		assert_int_equal(fake_ring_outstanding(&t->r), 4);
		assert_int_equal(rig_pop(t, 8), 4);
		rig_down(t);
		free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_buffer_comes_back_once_wherever_the_owner_ends),
	    cmocka_unit_test(a_flush_that_had_not_begun_is_forgotten),
	    cmocka_unit_test(recover_without_memory_is_eagain),
	    cmocka_unit_test(recover_of_a_packed_ring_rewritten_meanwhile_is_eproto),
	};

	return cmocka_run_group_tests_name("virtq_crash", tests, NULL, NULL);
}
