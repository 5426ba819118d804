/* SPDX-License-Identifier: BSD-3-Clause */
/* Real workers: two queues on two threads that sleep when idle, a guest that waits for interrupts; namespaces, memory and settings change
 * under the load. And doorbells in a page that nothing announces. */
#include <poll.h>
#include <time.h>

#include "test_nvmeq.h"

#define FAR 0x40000000ull

struct host {
	struct t_env *e;
	struct t_queue tq;
	int irq;
	uint64_t n_done, n_failed;
	uint16_t cid;
};

static void open_threads(struct t_env *e, unsigned n_workers, uint32_t *doorbells)
{
	struct ob_workers_conf wc = {.n_workers = n_workers};
	struct ob_gmem_conf gc = {.name = "test", .sync = t_sync, .sync_ctx = e};
	struct ob_nvme_ns_conf nc = {.name = "vol", .ana_group = 1};
	struct ob_nvmeq_conf qc = {.name = "nvme0",
	    .max_qpairs = 4,
	    .max_entries = 256,
	    .mdts_bytes = 1u << 20,
	    .doorbells = doorbells,
	    .on_event = t_on_event,
	    .ctx = e};
	char err[64];

	memset(e, 0, sizeof(*e));
	ob_test_eal();
	assert_int_equal(ob_blk_ram_create("ram", T_BYTES, 512, &e->blk, err, sizeof(err)), 0);
	assert_int_equal(ob_arena_create("test", 64u << 20, &e->arena), 0);
	wc.arena = qc.arena = e->arena;
	assert_int_equal(ob_workers_start(&wc), 0);
	assert_int_equal(fake_guest_init(&e->g, T_MEM, T_IOVA), 0);
	assert_int_equal(ob_gmem_create(&gc, &e->gm), 0);
	assert_int_equal(ob_gmem_add(e->gm, (ob_iova_t){T_IOVA}, T_MEM,
			     OB_GMEM_READ | OB_GMEM_WRITE, e->g.fd, 0),
	    0);
	nc.blk = e->blk;
	assert_int_equal(ob_nvme_ns_create(&nc, &e->ns), 0);
	qc.gm = e->gm;
	assert_int_equal(ob_nvmeq_create(&qc, &e->q), 0);
	assert_int_equal(ob_nvmeq_enable(e->q, 12), 0);
	assert_int_equal(ob_nvmeq_set_ns(e->q, 1, e->ns), 0);
	e->irq = eventfd(0, EFD_NONBLOCK);
	e->buf = fake_guest_alloc(&e->g, 1u << 20, 4096);
}

static void host_open(struct host *h, struct t_env *e, uint16_t qid)
{
	*h = (struct host){.e = e, .irq = eventfd(0, EFD_NONBLOCK)};
	assert_int_equal(ob_nvmeq_set_irq_fd(e->q, qid, h->irq), 0);
	t_start_queue(e, &h->tq, qid, T_ENTRIES);
}

/* Takes what is there; waits for an interrupt first, if told to. */
static unsigned host_reap(struct host *h, bool wait)
{
	struct pollfd p = {.fd = h->irq, .events = POLLIN};
	struct t_cqe c;
	uint64_t junk;
	unsigned n = 0;

	if (wait) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		assert_int_equal(read(h->irq, &junk, sizeof(junk)), sizeof(junk));
	}
	for (;;) {
		const volatile uint16_t *st =
		    (const volatile uint16_t *)t_mem(h->e, h->tq.cq + h->tq.head * 16ull) + 7;

		if ((*st & 1) != h->tq.phase)
			return n;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		assert_true(t_reap(h->e, &h->tq, &c));
		h->n_failed += c.status >> 1 != 0;
		h->n_done++;
		n++;
	}
}

static void host_submit(struct host *h, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, i, 8, h->e->buf + i * 4096, 0);

		sqe.cid = h->cid++;
		t_put(h->e, &h->tq, &sqe);
	}
	__atomic_thread_fence(__ATOMIC_RELEASE);
	t_ring(h->e, &h->tq);
}

static void two_workers_serve_two_queues_and_sleep_between(void **state)
{
	struct host h[2];
	struct t_env e;

	(void)state;
	open_threads(&e, 2, NULL);
	host_open(&h[0], &e, 1);
	host_open(&h[1], &e, 2);
	assert_true(ob_nvmeq_worker(e.q, 1) != ob_nvmeq_worker(e.q, 2));
	for (unsigned i = 0; i < 200; i++) {
		uint64_t want[2];

		/* Now and then both have time to fall asleep. */
		if (i % 50 == 0)
			usleep(3000);
		for (unsigned k = 0; k < 2; k++) {
			want[k] = h[k].n_done + 1 + i % 40;
			host_submit(&h[k], 1 + i % 40);
		}
		for (unsigned k = 0; k < 2; k++)
			while (h[k].n_done < want[k])
				host_reap(&h[k], true);
	}
	assert_int_equal(h[0].n_failed + h[1].n_failed, 0);
	close(h[0].irq);
	close(h[1].irq);
	t_close(&e);
}

static void everything_changes_under_the_load(void **state)
{
	struct host h[2];
	struct t_env e;

	(void)state;
	open_threads(&e, 2, NULL);
	host_open(&h[0], &e, 1);
	host_open(&h[1], &e, 2);
	for (unsigned i = 0; i < 60; i++) {
		for (unsigned k = 0; k < 2; k++)
			host_submit(&h[k], 30);
		assert_int_equal(
		    ob_gmem_add(e.gm, (ob_iova_t){FAR}, 4096, OB_GMEM_READ, e.g.fd, 0), 0);
		ob_nvmeq_set_coalescing(e.q, i % 3, 100);
		assert_int_equal(ob_gmem_del(e.gm, (ob_iova_t){FAR}, 4096), 1);
		if (i % 4 == 0) {
			assert_int_equal(ob_nvmeq_set_ns(e.q, 1, NULL), 0);
			assert_int_equal(ob_nvmeq_set_ns(e.q, 1, e.ns), 0);
		}
		ob_nvmeq_abort(e.q, 1, (uint16_t)(h[0].cid - 1));
		ob_nvmeq_poll_events();
		for (unsigned k = 0; k < 2; k++)
			while (h[k].n_done < (i + 1) * 30)
				host_reap(&h[k], true);
	}
	ob_nvmeq_set_coalescing(e.q, 0, 0);
	/* A reset in the middle, and on. */
	for (unsigned k = 0; k < 2; k++)
		host_submit(&h[k], 60);
	ob_nvmeq_stop_all(e.q);
	for (unsigned k = 0; k < 2; k++) {
		t_start_queue(&e, &h[k].tq, (uint16_t)(k + 1), T_ENTRIES);
		h[k].n_done = h[k].n_failed = 0;
		host_submit(&h[k], 5);
		while (h[k].n_done < 5)
			host_reap(&h[k], false);
		assert_int_equal(h[k].n_failed, 0);
		close(h[k].irq);
	}
	t_close(&e);
}

static void a_mapped_doorbell_page_needs_no_message(void **state)
{
	static uint32_t page[16];
	struct host h;
	struct t_env e;

	(void)state;
	memset(page, 7, sizeof(page));
	open_threads(&e, 1, page);
	host_open(&h, &e, 1);
	for (unsigned i = 0; i < 50; i++) {
		struct ob_nvme_sqe sqe = t_rw(nvme_cmd_read, 0, 1, e.buf, 0);

		if (i % 10 == 0)
			usleep(2000);
		t_put(&e, &h.tq, &sqe);
		__atomic_store_n(&page[2], h.tq.tail, __ATOMIC_RELEASE);
		assert_int_equal(host_reap(&h, true), 1);
		__atomic_store_n(&page[3], h.tq.head, __ATOMIC_RELEASE);
	}
	assert_int_equal(h.n_failed, 0);
	close(h.irq);
	t_close(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_workers_serve_two_queues_and_sleep_between),
	    cmocka_unit_test(everything_changes_under_the_load),
	    cmocka_unit_test(a_mapped_doorbell_page_needs_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
