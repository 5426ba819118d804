/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O commands of any bytes, and memory of any bytes that they point into, on two queues that share a worker and, by every second input, a
 * completion queue. Addresses are folded into the guest's memory three times out of four, so that lists are walked. What must hold:
 * each command that was taken completes once, with its identifier, and nothing is left under way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_driver.h"
#include "nvmeq_int.h"
#include "ob_test_eal.h"

#define IOVA	 0x100000ull
#define MEM	 (4u << 20)
#define PAGES	 16u /* that the input fills */
#define ENTRIES	 32u
#define CHECK(x) check((x), __LINE__)

static void check(bool ok, int line)
{
	if (ok)
		return;
	fprintf(stderr, "line %d\n", line);
	abort();
}

static struct fake_guest g;
static struct ob_gmem *gm;
static struct ob_arena *arena;
static struct ob_worker *w;
static struct ob_nvme_ns *ns[2];
static struct ob_nvmeq *q;
static uint64_t sq_at[2], cq_at[2], data;

static void init(void)
{
	struct ob_workers_conf wc = {.n_workers = 1, .manual = true};
	struct ob_nvmeq_conf qc = {.name = "fuzz",
	    .max_qpairs = 2,
	    .max_entries = ENTRIES,
	    .mdts_bytes = 1u << 20,
	    .sgl = true};
	struct ob_blk *blk[2];
	char err[64];

	ob_test_eal();
	CHECK(ob_arena_create("fuzz", 32u << 20, &arena) == 0);
	wc.arena = qc.arena = arena;
	CHECK(ob_workers_start(&wc) == 0);
	w = ob_worker_get(0);
	CHECK(fake_guest_init(&g, MEM, IOVA) == 0);
	CHECK(ob_gmem_create(&(struct ob_gmem_conf){.name = "fuzz"}, &gm) == 0);
	CHECK(ob_gmem_add(gm, (ob_iova_t){IOVA}, MEM, OB_GMEM_READ | OB_GMEM_WRITE, g.fd, 0) == 0);
	CHECK(ob_blk_ram_create("ram", 1u << 20, 512, &blk[0], err, sizeof(err)) == 0);
	CHECK(ob_blk_null_create("null", 1ull << 40, 4096, &blk[1], err, sizeof(err)) == 0);
	qc.gm = gm;
	CHECK(ob_nvmeq_create(&qc, &q) == 0);
	CHECK(ob_nvmeq_enable(q, 12) == 0);
	for (unsigned i = 0; i < 2; i++) {
		struct ob_nvme_ns_conf nc = {.name = "v", .blk = blk[i], .ana_group = 1};

		CHECK(ob_nvme_ns_create(&nc, &ns[i]) == 0);
		CHECK(ob_nvmeq_set_ns(q, i + 1, ns[i]) == 0);
		sq_at[i] = fake_guest_alloc(&g, 4096, 4096);
		cq_at[i] = fake_guest_alloc(&g, 4096, 4096);
	}
	data = fake_guest_alloc(&g, PAGES * 4096, 4096);
}

static uint64_t fold(uint64_t addr)
{
	return addr >> 62 == 3 ? addr : data + addr % (PAGES * 4096);
}

static void make(struct ob_nvme_sqe *sqe, const uint8_t *in)
{
	static const uint8_t ops[16] = {
	    0, 1, 2, 5, 8, 9, 0xc, 0xd, 0xe, 0x11, 0x15, 0x19, 1, 2, 2, 5};

	memcpy(sqe, in, sizeof(*sqe));
	if (sqe->flags & 4)
		sqe->opcode = ops[sqe->opcode % 16];
	if (sqe->flags & 8)
		sqe->nsid = sqe->nsid % 3;
	if (sqe->flags & 16)
		sqe->cdw11 = 0;
	if (sqe->flags & 32)
		sqe->cdw12 &= 0xc00001ff;
	sqe->dptr[0] = fold(sqe->dptr[0]);
	if (sqe->flags >> 6 == 0)
		sqe->dptr[1] = fold(sqe->dptr[1]);
}

/* Pages of the guest: words that lead back into them often enough. */
static void fill(const uint8_t *in, size_t len)
{
	uint64_t *p = fake_guest_ptr(&g, data);

	for (unsigned i = 0; i < PAGES * 512; i++) {
		uint64_t v = 0;

		if (len >= 8)
			memcpy(&v, in + i * 8 % (len - 7), 8);
		p[i] = i % 2 == 0 || v & 1 ? fold(v) & (v & 2 ? ~0xfffull : ~0ull) : v;
	}
}

static unsigned reap(unsigned c, unsigned *head, uint16_t *phase, const bool taken[2][65536])
{
	unsigned n = 0;

	for (;; n++) {
		uint16_t e[8];

		memcpy(e, fake_guest_ptr(&g, cq_at[c] + *head * 16ull), 16);
		if ((e[7] & 1) != *phase)
			return n;
		CHECK(e[5] == 1 || e[5] == 2);
		CHECK(taken[e[5] - 1][e[6]]);
		*head = (*head + 1) % ENTRIES;
		*phase ^= *head == 0;
	}
}

static void settle(void)
{
	for (unsigned idle = 0, n = 0; idle < 3 && n < 100000; n++) {
		unsigned did = ob_worker_round(w);

		did += ob_nvmeq_poll_events();
		idle = did > 0 ? 0 : idle + 1;
		CHECK(n < 99999);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static bool taken[2][65536];
	unsigned n[2] = {0}, done = 0, head[2] = {0};
	uint16_t phase[2] = {1, 1};
	struct ob_nvmeq_error err[64];
	bool shared;

	if (len < 65)
		return 0;
	if (q == NULL)
		init();
	shared = in[0] & 1;
	in++;
	len--;
	memset(fake_guest_ptr(&g, cq_at[0]), 0, 4096);
	memset(fake_guest_ptr(&g, cq_at[1]), 0, 4096);
	for (unsigned i = 0; i < 2; i++) {
		if (i == 0 || !shared)
			CHECK(ob_nvmeq_start_cq(q, (uint16_t)(i + 1), (ob_iova_t){cq_at[i]},
				  ENTRIES, 0, false) == 0);
		CHECK(ob_nvmeq_start_sq(q, (uint16_t)(i + 1), shared ? 1 : (uint16_t)(i + 1),
			  (ob_iova_t){sq_at[i]}, ENTRIES) == 0);
	}
	fill(in, len);
	for (unsigned i = 0; len >= 64 && n[i % 2] < ENTRIES / 2 - 2; i++, in += 64, len -= 64) {
		struct ob_nvme_sqe sqe;

		make(&sqe, in);
		memcpy(fake_guest_ptr(&g, sq_at[i % 2] + n[i % 2]++ * 64ull), &sqe, 64);
		taken[i % 2][sqe.cid] = true;
	}
	/* A first one at the end waits for its second: give it another command. */
	for (unsigned i = 0; i < 2; i++) {
		struct ob_nvme_sqe sqe = {.opcode = 0xff, .cid = 1};

		memcpy(fake_guest_ptr(&g, sq_at[i] + n[i]++ * 64ull), &sqe, 64);
		taken[i][1] = true;
		CHECK(ob_nvmeq_doorbell(q, (uint16_t)(i + 1), false, n[i]) == 0);
	}
	settle();
	for (unsigned i = 0; i < (shared ? 1 : 2); i++)
		done += reap(i, &head[i], &phase[i], (const bool(*)[65536])taken);
	CHECK(done == n[0] + n[1]);
	ob_nvmeq_stop_all(q);
	while (ob_nvmeq_errors(q, err, 64) > 0)
		;
	/* Registrations of one input are not the next one's. */
	for (unsigned i = 0; i < 2; i++) {
		memset(&ns[i]->resv, 0, sizeof(ns[i]->resv));
		nvmeq_resv_gate(ns[i]);
	}
	memset(taken, 0, sizeof(taken));
	return 0;
}
