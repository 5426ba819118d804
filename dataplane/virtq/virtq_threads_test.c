/* SPDX-License-Identifier: BSD-3-Clause */
/* Driver and device on two threads, and the guest's map changing under a running queue: nothing is lost, torn or read
 * after it was unmapped. */
#include "virtq_test_util.h"

#include <pthread.h>
#include <sched.h>

#define N_BUFS 6000u
#define BURST  32

struct pair {
	struct rig t;
	bool writable;
	uint32_t failed, n_remaps;
	/* Quiescent points of the device's thread, for the map's sync. */
	_Atomic uint64_t n_bursts;
	_Atomic bool done;
};

/* Each buffer holds its number, from the driver or from the device. */
static uint64_t slot_iova(const struct rig *t, uint64_t cookie)
{
	return t->buf + cookie % t->r.conf.size * 16;
}

static void serve(struct pair *p, uint32_t *served)
{
	struct rig *t = &p->t;
	uint32_t written[BURST], number;
	int n = rig_pop(t, BURST);

	if (n == -EAGAIN)
		return;
	if (n < 0)
		p->failed++;
	for (int i = 0; i < n; i++) {
		ob_iova_t at = t->seg[t->ch[i].seg_first].iova;

		number = *served + (uint32_t)i;
		written[i] = p->writable ? 4 : 0;
		if (p->writable) {
			p->failed += ob_gmem_store(ob_virtq_map(t->vq), at, &number, 4) != 0;
			continue;
		}
		p->failed += ob_gmem_fetch(ob_virtq_map(t->vq), &number, at, 4) != 0;
		p->failed += number != *served + (uint32_t)i;
	}
	if (n <= 0)
		return;
	*served += (uint32_t)n;
	ob_virtq_push(t->vq, t->ch, written, (unsigned)n);
	ob_virtq_flush(t->vq);
}

static void *device(void *arg)
{
	struct pair *p = arg;
	uint32_t served = 0;

	while (!p->done) {
		serve(p, &served);
		p->n_bursts++;
		sched_yield();
	}
	return NULL;
}

static void wait_for_device(void *ctx)
{
	struct pair *p = ctx;
	uint64_t from = p->n_bursts;

	/* The burst that runs now may have begun before the map changed; the next has not. */
	while (!p->done && p->n_bursts < from + 2)
		sched_yield();
}

static void drive(struct pair *p, void (*between)(struct pair *p))
{
	struct rig *t = &p->t;
	uint32_t added = 0, reaped = 0, len, number;
	uint64_t cookie;

	while (reaped < N_BUFS) {
		struct fake_sg sg = {slot_iova(t, added), 16};

		while (added < N_BUFS && added - reaped < t->r.conf.size) {
			sg.iova = slot_iova(t, added);
			if (!p->writable)
				memcpy(fake_guest_ptr(&t->g, sg.iova), &added, 4);
			if (fake_ring_add(&t->r, &sg, !p->writable, p->writable, added) != 0)
				break;
			added++;
		}
		fake_ring_kick(&t->r);
		while (fake_ring_reap(&t->r, &cookie, &len) == 1) {
			p->failed += cookie != reaped;
			memcpy(&number, fake_guest_ptr(&t->g, slot_iova(t, cookie)), 4);
			p->failed += p->writable && (number != reaped || len != 4);
			reaped++;
		}
		if (between != NULL)
			between(p);
		else
			sched_yield();
	}
}

static void run(const struct fake_ring_conf *rc, bool writable, void (*between)(struct pair *p))
{
	struct pair *p = calloc(1, sizeof(*p));
	pthread_t thread;

	assert_non_null(p);
	rig_up_synced(&p->t, rc, wait_for_device, p);
	/* Until the device runs, nobody has a map. */
	p->writable = writable;
	assert_int_equal(pthread_create(&thread, NULL, device, p), 0);
	drive(p, between);
	p->done = true;
	pthread_join(thread, NULL);
	assert_int_equal(p->failed, 0);
	rig_down(&p->t);
	free(p);
}

static void every_buffer_arrives_whole_and_in_order(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		struct fake_ring_conf rc = {
		    .size = 64, .packed = bits & 1, .event_idx = bits & 2, .in_order = bits & 2};

		run(&rc, bits & 4, NULL);
	}
}

/* Takes the ring's memory away and gives it back; the device stalls meanwhile and goes on. */
static void remap(struct pair *p)
{
	struct rig *t = &p->t;

	if (p->n_remaps++ >= 20) {
		sched_yield();
		return;
	}
	p->failed += ob_gmem_del(t->gm, (ob_iova_t){t->g.iova}, t->g.len) != 1;
	p->failed += ob_gmem_add(t->gm, (ob_iova_t){t->g.iova}, t->g.len,
			 OB_GMEM_READ | OB_GMEM_WRITE, t->g.fd, 0) != 0;
}

static void a_map_that_comes_and_goes_loses_nothing(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++)
		run(&(struct fake_ring_conf){.size = 64, .packed = bits & 1}, bits & 2, remap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_buffer_arrives_whole_and_in_order),
	    cmocka_unit_test(a_map_that_comes_and_goes_loses_nothing),
	};

	return cmocka_run_group_tests_name("virtq_threads", tests, NULL, NULL);
}
