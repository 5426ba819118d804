/* SPDX-License-Identifier: BSD-3-Clause */
/* What an I/O costs in the stacks of block devices, without a guest: 64 random I/Os in one submit, polled until they are all done. With
 * FILE (made of 256 MiB when it is not there, and then written once) a file too. Not a test.
 *
 *   ./block_bench [-s SECONDS] [FILE]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ob_block.h"

#define BURST	   64u
#define RAM_BYTES  (64ull << 20)
#define FILE_BYTES (256ull << 20)
#define MAX_LEN	   65536u

struct run {
	struct ob_blk_ch *ch;
	struct ob_blk_io io[BURST];
	struct ob_blk_io *list[BURST];
	struct iovec iov[BURST];
	uint8_t *mem;
	uint64_t n_blocks, seed, n_errors;
};

static double seconds = 0.3;

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void on_done(struct ob_blk_io *io)
{
	if (io->result != 0)
		((struct run *)io->owner)->n_errors++;
}

static void burst(struct run *r, enum ob_blk_op op, uint32_t len, uint64_t at)
{
	for (unsigned i = 0; i < BURST; i++) {
		r->seed = r->seed * 6364136223846793005u + 1442695040888963407u;
		r->iov[i] = (struct iovec){r->mem + (size_t)i * len, len};
		r->io[i] = (struct ob_blk_io){.op = (uint8_t)op,
		    .n_iov = 1,
		    .iov = &r->iov[i],
		    .len = len,
		    .off = at != UINT64_MAX
			       ? at + i * len
			       : (uint64_t)((unsigned __int128)r->seed * r->n_blocks >> 64) * len,
		    .done = on_done,
		    .owner = r};
		r->list[i] = &r->io[i];
	}
	ob_blk_submit(r->ch, r->list, BURST);
	while (ob_blk_pending(r->ch) > 0)
		ob_blk_poll(r->ch);
}

static int open_run(struct run *r, struct ob_blk *b)
{
	int rc;

	*r = (struct run){.seed = 1};
	r->mem = mmap(NULL, (size_t)BURST * MAX_LEN, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (r->mem == MAP_FAILED)
		return -ENOMEM;
	rc = ob_blk_ch_open(b, &r->ch);
	if (rc != 0)
		munmap(r->mem, (size_t)BURST * MAX_LEN);
	return rc;
}

static void close_run(struct run *r)
{
	ob_blk_ch_close(r->ch);
	munmap(r->mem, (size_t)BURST * MAX_LEN);
}

/* Holes and untouched pages cost something else: each byte is there before it is read. */
static void fill(struct ob_blk *b)
{
	struct ob_blk_info info;
	struct run r;

	ob_blk_info(b, &info);
	if (open_run(&r, b) != 0)
		exit(1);
	for (size_t i = 0; i < (size_t)BURST * MAX_LEN; i++)
		r.mem[i] = (uint8_t)(i * 131 >> 7);
	for (uint64_t at = 0; at + BURST * MAX_LEN <= info.bytes; at += BURST * MAX_LEN)
		burst(&r, OB_BLK_WRITE, MAX_LEN, at);
	close_run(&r);
}

static void measure(const char *name, struct ob_blk *b, enum ob_blk_op op, uint32_t len)
{
	struct ob_blk_info info;
	double t0, c0, t, cpu;
	uint64_t n = 0;
	struct run r;

	ob_blk_info(b, &info);
	if (open_run(&r, b) != 0)
		exit(1);
	r.n_blocks = info.bytes / len;
	burst(&r, op, len, UINT64_MAX);
	t0 = now(CLOCK_MONOTONIC);
	c0 = now(CLOCK_THREAD_CPUTIME_ID);
	do {
		for (unsigned i = 0; i < 8; i++, n += BURST)
			burst(&r, op, len, UINT64_MAX);
		t = now(CLOCK_MONOTONIC) - t0;
	} while (t < seconds);
	cpu = now(CLOCK_THREAD_CPUTIME_ID) - c0;
	if (r.n_errors > 0) {
		fprintf(stderr, "block_bench: %s: %llu I/Os failed\n", name,
		    (unsigned long long)r.n_errors);
		exit(1);
	}
	printf("%-22s %-5s %6u %10.1f ns CPU an I/O %12.0f IO/s\n", name,
	    op == OB_BLK_READ ? "read" : "write", len, cpu * 1e9 / (double)n, (double)n / t);
	close_run(&r);
}

static void measure_all(const char *name, struct ob_blk *b, uint32_t least)
{
	if (least <= 512)
		measure(name, b, OB_BLK_READ, 512);
	measure(name, b, OB_BLK_READ, 4096);
	measure(name, b, OB_BLK_WRITE, 4096);
	measure(name, b, OB_BLK_READ, MAX_LEN);
	ob_blk_put(b);
}

static void need(int rc, const char *err)
{
	if (rc == 0)
		return;
	fprintf(stderr, "block_bench: %s\n", err[0] != '\0' ? err : strerror(-rc));
	exit(1);
}

static struct ob_blk *ram(void)
{
	char err[160] = "";
	struct ob_blk *b;

	need(ob_blk_ram_create("ram", RAM_BYTES, 512, &b, err, sizeof(err)), err);
	return b;
}

static struct ob_blk *null_dev(void)
{
	char err[160] = "";
	struct ob_blk *b;

	need(ob_blk_null_create("null", 1ull << 40, 512, &b, err, sizeof(err)), err);
	return b;
}

static struct ob_blk *qos_over(struct ob_blk *below)
{
	/* Limits that are never reached: what looking at them costs. */
	struct ob_blk_qos_conf conf = {
	    .rate[OB_BLK_QOS_IOPS] = 1ull << 36, .rate[OB_BLK_QOS_BYTES] = 1ull << 40};
	char err[160] = "";
	struct ob_blk *b;

	need(ob_blk_qos_create("qos", below, &conf, &b, err, sizeof(err)), err);
	ob_blk_put(below);
	return b;
}

static struct ob_blk *crypt_over(struct ob_blk *below)
{
	uint8_t key[64];
	struct ob_blk_crypt_conf conf = {.key = key, .key_len = sizeof(key), .sector_bytes = 512};
	char err[160] = "";
	struct ob_blk *b;

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37 + 11);
	need(ob_blk_crypt_create("crypt", below, &conf, &b, err, sizeof(err)), err);
	ob_blk_put(below);
	return b;
}

static struct ob_blk *stripe(void)
{
	struct ob_blk *kids[2] = {ram(), ram()}, *b;
	char err[160] = "";

	need(ob_blk_stripe_create("stripe", kids, 2, 0, &b, err, sizeof(err)), err);
	ob_blk_put(kids[0]);
	ob_blk_put(kids[1]);
	return b;
}

static struct ob_blk *thin(void)
{
	struct ob_blk_cow_conf conf = {.store = ram(), .create = true, .bytes = RAM_BYTES / 2};
	char err[160] = "";
	struct ob_blk *b;

	need(ob_blk_cow_create("thin", &conf, &b, err, sizeof(err)), err);
	ob_blk_put(conf.store);
	return b;
}

static struct ob_blk *filled(struct ob_blk *b)
{
	fill(b);
	return b;
}

static struct ob_blk *file(const char *path, bool *fresh)
{
	struct ob_blk_file_conf conf = {.path = path, .bytes = FILE_BYTES};
	char err[160] = "";
	struct ob_blk *b;

	*fresh = access(path, F_OK) != 0;
	need(ob_blk_file_create("file", &conf, &b, err, sizeof(err)), err);
	return b;
}

int main(int argc, char **argv)
{
	struct ob_blk_info info;
	struct ob_blk *b;
	bool fresh;
	int opt;

	while ((opt = getopt(argc, argv, "s:")) == 's')
		seconds = atof(optarg);
	if (opt != -1 || argc > optind + 1) {
		fprintf(stderr, "usage: block_bench [-s SECONDS] [FILE]\n");
		return 2;
	}
	measure_all("null", null_dev(), 512);
	measure_all("qos over null", qos_over(null_dev()), 512);
	measure_all("crypt over null", crypt_over(null_dev()), 512);
	measure_all("ram", filled(ram()), 512);
	measure_all("stripe over 2 ram", filled(stripe()), 512);
	measure_all("thin over ram", filled(thin()), 512);
	measure_all("qos, crypt, ram", qos_over(crypt_over(filled(ram()))), 512);
	if (argc == optind)
		return 0;
	b = file(argv[optind], &fresh);
	if (fresh)
		fill(b);
	ob_blk_info(b, &info);
	measure_all("file", b, info.block_bytes);
	return 0;
}
