/* SPDX-License-Identifier: BSD-3-Clause */
/* What a command costs between an NVMe queue and a volume that answers at once: ns per I/O of the worker, the driver's work not counted.
 * usage: nvmeq_bench [ROUNDS [CASE]] */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <rte_cycles.h>

#include "fake_driver.h"
#include "ob_gmem.h"
#include "ob_nvmeq.h"
#include "ob_test_eal.h"
#include "ob_worker.h"

#define IOVA	0x100000u
#define ENTRIES 1024u
#define REPEATS 7
#define BUFS	512u
#define BYTES	(1ull << 30)

struct bench_case {
	const char *name;
	bool ram, shadow, irq;
	uint8_t op;
	uint32_t bytes;
	unsigned qd;
};

static const struct bench_case cases[] = {
    {.name = "null  512 read  QD 128", .op = nvme_cmd_read, .bytes = 512, .qd = 128},
    {.name = "null  512 read  QD 128 shadow",
	.shadow = true,
	.op = nvme_cmd_read,
	.bytes = 512,
	.qd = 128},
    {.name = "null  512 read  QD 128 interrupts",
	.irq = true,
	.op = nvme_cmd_read,
	.bytes = 512,
	.qd = 128},
    {.name = "null  512 read  QD 32", .op = nvme_cmd_read, .bytes = 512, .qd = 32},
    {.name = "null  512 read  QD 1", .op = nvme_cmd_read, .bytes = 512, .qd = 1},
    {.name = "null  512 write QD 128", .op = nvme_cmd_write, .bytes = 512, .qd = 128},
    {.name = "null 4096 read  QD 128", .op = nvme_cmd_read, .bytes = 4096, .qd = 128},
    {.name = "null 8192 read  QD 128", .op = nvme_cmd_read, .bytes = 8192, .qd = 128},
    {.name = "null 64 K read  QD 128 list", .op = nvme_cmd_read, .bytes = 65536, .qd = 128},
    {.name = "ram   512 read  QD 128", .ram = true, .op = nvme_cmd_read, .bytes = 512, .qd = 128},
    {.name = "ram  4096 read  QD 128", .ram = true, .op = nvme_cmd_read, .bytes = 4096, .qd = 128},
};

static struct fake_guest g;
static struct ob_nvmeq *q;
static struct ob_worker *w;
static uint64_t sq_at, cq_at, bufs, lists, sh_at, ei_at;
static uint16_t tail, head, next_cid;
static uint8_t phase;
static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void put(const struct bench_case *c)
{
	uint64_t lba = rnd() % ((BYTES - c->bytes) / 512);
	unsigned k = next_cid % BUFS;
	uint64_t buf = bufs + k * 65536ull;
	struct ob_nvme_sqe sqe = {.opcode = c->op,
	    .cid = (uint16_t)(next_cid & 1023),
	    .nsid = 1,
	    .dptr = {buf, c->bytes <= 8192 ? buf + 4096 : lists + k * 128},
	    .cdw10 = (uint32_t)lba,
	    .cdw11 = (uint32_t)(lba >> 32),
	    .cdw12 = c->bytes / 512 - 1};

	memcpy(fake_guest_ptr(&g, sq_at + tail * 64ull), &sqe, sizeof(sqe));
	tail = (uint16_t)((tail + 1) % ENTRIES);
	next_cid++;
}

/* Kept out of line, so that callgrind can be told to count it alone. */
__attribute__((noinline)) static void worker_part(void)
{
	ob_worker_round(w);
}

static unsigned reap(void)
{
	unsigned n = 0;

	for (;; n++) {
		const uint16_t *e = fake_guest_ptr(&g, cq_at + head * 16ull);

		if ((e[7] & 1) != phase)
			return n;
		if (e[7] >> 1 != 0)
			abort();
		if (++head == ENTRIES) {
			head = 0;
			phase ^= 1;
		}
	}
}

static void ring(const struct bench_case *c)
{
	if (c->shadow) {
		*(uint32_t *)fake_guest_ptr(&g, sh_at + 8) = tail;
		*(uint32_t *)fake_guest_ptr(&g, sh_at + 12) = head;
		return;
	}
	ob_nvmeq_doorbell(q, 1, false, tail);
	ob_nvmeq_doorbell(q, 1, true, head);
}

static double run(const struct bench_case *c, unsigned rounds)
{
	uint64_t tsc = 0, n = 0;

	for (unsigned i = 0; i < c->qd; i++)
		put(c);
	ring(c);
	while (n < (uint64_t)rounds * 32) {
		uint64_t t0 = rte_rdtsc_precise();
		unsigned did;

		worker_part();
		tsc += rte_rdtsc_precise() - t0;
		did = reap();
		n += did;
		for (unsigned i = 0; i < did; i++)
			put(c);
		ring(c);
	}
	/* Empties the queue for the next. */
	for (unsigned i = 0; i < 64; i++) {
		worker_part();
		reap();
		ring(c);
	}
	return (double)tsc * 1e9 / (double)rte_get_tsc_hz() / (double)n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const struct bench_case *c, unsigned rounds, struct ob_blk *blk)
{
	struct ob_nvme_ns_conf nc = {.name = "bench", .blk = blk, .ana_group = 1};
	struct ob_nvme_ns *ns;
	double ns_per_io[REPEATS];

	if (ob_nvme_ns_create(&nc, &ns) != 0 || ob_nvmeq_set_ns(q, 1, ns) != 0 ||
	    ob_nvmeq_start_cq(q, 1, (ob_iova_t){cq_at}, ENTRIES, 0, c->irq) != 0 ||
	    ob_nvmeq_start_sq(q, 1, 1, (ob_iova_t){sq_at}, ENTRIES) != 0 ||
	    (c->shadow && ob_nvmeq_shadow(q, (ob_iova_t){sh_at}, (ob_iova_t){ei_at}) != 0))
		abort();
	tail = head = 0;
	phase = 1;
	memset(fake_guest_ptr(&g, cq_at), 0, ENTRIES * 16);
	for (unsigned r = 0; r < REPEATS; r++)
		ns_per_io[r] = run(c, rounds);
	ob_nvmeq_stop_all(q);
	ob_nvmeq_set_ns(q, 1, NULL);
	ob_nvme_ns_put(ns);
	qsort(ns_per_io, REPEATS, sizeof(ns_per_io[0]), by_value);
	printf("%-36s %7.1f ns/I/O (min %.1f), %6.2f million a second\n", c->name,
	    ns_per_io[REPEATS / 2], ns_per_io[0], 1e3 / ns_per_io[REPEATS / 2]);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 2000;
	int only = argc > 2 ? atoi(argv[2]) : -1;
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};
	struct ob_nvmeq_conf qc = {
	    .name = "bench", .max_qpairs = 1, .max_entries = ENTRIES, .mdts_bytes = 1u << 20};
	struct ob_blk *null, *ram;
	char err[128];

	ob_test_eal();
	if (rounds == 0)
		return 2;
	if (ob_arena_create("bench", 64u << 20, &qc.arena) < 0)
		return 1;
	wc.arena = qc.arena;
	if (ob_workers_start(&wc) < 0 || fake_guest_init(&g, 64u << 20, IOVA) < 0 ||
	    ob_gmem_create(&(struct ob_gmem_conf){.name = "bench"}, &qc.gm) < 0 ||
	    ob_gmem_add(qc.gm, (ob_iova_t){IOVA}, g.len, OB_GMEM_READ | OB_GMEM_WRITE, g.fd, 0) <
		0 ||
	    ob_nvmeq_create(&qc, &q) < 0 || ob_nvmeq_enable(q, 12) < 0 ||
	    ob_blk_null_create("null", BYTES, 512, &null, err, sizeof(err)) < 0 ||
	    ob_blk_ram_create("ram", BYTES, 512, &ram, err, sizeof(err)) < 0)
		return 1;
	w = ob_worker_get(0);
	ob_nvmeq_set_irq_fd(q, 0, eventfd(0, EFD_NONBLOCK));
	sq_at = fake_guest_alloc(&g, ENTRIES * 64, 4096);
	cq_at = fake_guest_alloc(&g, ENTRIES * 16, 4096);
	sh_at = fake_guest_alloc(&g, 4096, 4096);
	ei_at = fake_guest_alloc(&g, 4096, 4096);
	lists = fake_guest_alloc(&g, BUFS * 128, 4096);
	bufs = fake_guest_alloc(&g, BUFS * 65536, 4096);
	if (bufs == 0)
		return 1;
	memset(fake_guest_ptr(&g, bufs), 1, BUFS * 65536);
	for (unsigned i = 0; i < BUFS * 16; i++)
		((uint64_t *)fake_guest_ptr(&g, lists))[i] =
		    bufs + (uint64_t)(i / 16) * 65536 + (15 - i % 16) * 4096;
	for (unsigned i = 0; i < RTE_DIM(cases); i++)
		if (only < 0 || only == (int)i)
			measure(&cases[i], rounds, cases[i].ram ? ram : null);
	ob_nvmeq_destroy(q);
	ob_blk_put(null);
	ob_blk_put(ram);
	ob_rcu_reclaim();
	ob_workers_stop();
	ob_gmem_destroy(qc.gm);
	ob_arena_destroy(qc.arena);
	return 0;
}
