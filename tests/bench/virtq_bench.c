/* SPDX-License-Identifier: BSD-3-Clause */
/* What a chain costs the device: begin + pop + push + flush of bursts of 32, driver and device on one core and in its
 * caches, the driver's part not counted. Then what a change of the guest's map costs. Not a test.
 *
 *   ./virtq_bench [ROUNDS [CASE]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_driver.h"
#include "ob_virtq.h"

#define BURST 32

struct bench_case {
	const char *name;
	struct fake_ring_conf ring;
	bool writable;
	unsigned n_seg;
};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Kept out of line, so that callgrind can be told to count it alone. */
__attribute__((noinline)) static int burst(struct ob_virtq *vq, uint32_t *written)
{
	struct ob_virtq_chain ch[BURST];
	struct ob_virtq_seg seg[BURST * 4];
	int n;

	if (ob_virtq_begin(vq) != 0)
		return -1;
	n = ob_virtq_pop(vq, ch, BURST, seg, BURST * 4);
	if (n <= 0)
		return n;
	ob_virtq_push(vq, ch, written, (unsigned)n);
	ob_virtq_flush(vq);
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(const struct bench_case *c, unsigned rounds)
{
	struct ob_gmem_conf gc = {.name = "bench"};
	struct ob_virtq_state st;
	struct ob_virtq_conf conf;
	struct fake_guest g;
	struct fake_ring r;
	struct ob_gmem *gm;
	struct ob_virtq *vq;
	uint32_t written[BURST] = {0};
	struct fake_sg sg[4];
	uint64_t buf, cookie;
	uint32_t len;
	double *ns = calloc(rounds, sizeof(*ns)), clock_cost;

	if (ns == NULL || fake_guest_init(&g, 8 << 20, 1 << 20) != 0 ||
	    fake_ring_init(&r, &g, &c->ring) != 0 || ob_gmem_create(&gc, &gm) != 0 ||
	    ob_gmem_add(gm, (ob_iova_t){g.iova}, g.len, OB_GMEM_READ | OB_GMEM_WRITE, g.fd, 0) != 0)
		exit(1);
	buf = fake_guest_alloc(&g, 65536, 64);
	for (unsigned i = 0; i < 4; i++) {
		sg[i] = (struct fake_sg){buf + 2048 * i, 1500};
		written[i] = 0;
	}
	for (unsigned i = 0; c->writable && i < BURST; i++)
		written[i] = 64;
	ob_virtq_state_init(&st);
	conf = (struct ob_virtq_conf){.gm = gm,
	    .state = &st,
	    .desc = {r.desc_iova},
	    .driver = {r.driver_iova},
	    .device = {r.device_iova},
	    .size = r.conf.size,
	    .packed = r.conf.packed,
	    .event_idx = r.conf.event_idx,
	    .in_order = r.conf.in_order,
	    .indirect = r.conf.indirect};
	if (ob_virtq_create(&conf, &vq) != 0)
		exit(1);
	for (unsigned i = 0; i < rounds; i++) {
		double t0;

		for (unsigned k = 0; k < BURST; k++)
			fake_ring_add(
			    &r, sg, c->writable ? 0 : c->n_seg, c->writable ? c->n_seg : 0, k);
		t0 = now_ns();
		if (burst(vq, written) != BURST)
			exit(1);
		ns[i] = now_ns() - t0;
		while (fake_ring_reap(&r, &cookie, &len) == 1)
			;
	}
	qsort(ns, rounds, sizeof(*ns), by_value);
	clock_cost = now_ns();
	for (unsigned i = 0; i < 100; i++)
		now_ns();
	clock_cost = (now_ns() - clock_cost) / 101;
	printf("%-28s %6.2f ns a chain\n", c->name, (ns[rounds / 2] - clock_cost) / BURST);
	ob_virtq_destroy(vq);
	fake_ring_fini(&r);
	ob_gmem_destroy(gm);
	fake_guest_fini(&g);
	free(ns);
}

static void maps(uint32_t n_ranges)
{
	struct ob_gmem_conf gc = {.name = "bench"};
	struct fake_guest g;
	struct ob_gmem *gm;
	double t0, t1, best = 1e9;
	uint8_t b[64];

	if (fake_guest_init(&g, 4 << 20, 0) != 0 || ob_gmem_create(&gc, &gm) != 0)
		exit(1);
	for (uint32_t i = 0; i < n_ranges; i++)
		ob_gmem_add(
		    gm, (ob_iova_t){i * 8192ull}, 4096, OB_GMEM_READ, g.fd, (i % 1024) * 4096);
	t0 = now_ns();
	for (uint32_t i = 0; i < 100; i++) {
		ob_gmem_add(gm, (ob_iova_t){(n_ranges / 2 + i) * 8192ull + 4096}, 4096,
		    OB_GMEM_READ, g.fd, 0);
		ob_gmem_del(gm, (ob_iova_t){(n_ranges / 2 + i) * 8192ull + 4096}, 4096);
	}
	t1 = now_ns();
	/* The best of many short runs: the machine has other things to do. */
	for (uint32_t k = 0; k < 200; k++) {
		double from = now_ns(), ns;

		for (uint32_t i = 0; i < 500; i++)
			ob_gmem_fetch(ob_gmem_map_get(gm), b,
			    (ob_iova_t){((i + k) * 2654435761u >> 8) % n_ranges * 8192ull}, 64);
		ns = (now_ns() - from) / 500;
		best = ns < best ? ns : best;
	}
	printf("%5u ranges: add + del %7.2f us, fetch of 64 bytes at random %6.1f ns\n", n_ranges,
	    (t1 - t0) / 1e5, best);
	ob_gmem_destroy(gm);
	fake_guest_fini(&g);
}

int main(int argc, char **argv)
{
	const struct bench_case cases[] = {
	    {"split rx", {.size = 256}, true, 1},
	    {"split tx", {.size = 256}, false, 1},
	    {"split tx in_order", {.size = 256, .in_order = true}, false, 1},
	    {"split rx event_idx", {.size = 256, .event_idx = true}, true, 1},
	    {"split tx 2 segments", {.size = 256}, false, 2},
	    {"split tx 2 seg. indirect", {.size = 256, .indirect = true}, false, 2},
	    {"packed rx", {.size = 256, .packed = true}, true, 1},
	    {"packed tx", {.size = 256, .packed = true}, false, 1},
	    {"packed tx in_order", {.size = 256, .packed = true, .in_order = true}, false, 1},
	    {"packed rx event_idx", {.size = 256, .packed = true, .event_idx = true}, true, 1},
	    {"packed tx 2 segments", {.size = 256, .packed = true}, false, 2},
	    {"packed tx 2 seg. indirect", {.size = 256, .packed = true, .indirect = true}, false,
		2},
	};
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;

	if (rounds == 0)
		return 2;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc <= 2 || strcmp(argv[2], cases[i].name) == 0)
			run(&cases[i], rounds);
	}
	if (argc > 2)
		return 0;
	for (uint32_t n = 4; n <= 16384; n *= 8)
		maps(n);
	return 0;
}
