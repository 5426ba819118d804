/* SPDX-License-Identifier: BSD-3-Clause */
/* The initiator of `outboard bench block`: one thread that keeps a queue depth of block I/O going, and says how many it did,
 * how long they took, and how long another process (the target) was on a CPU meanwhile. JSON on stdout.
 *
 *   block_initiator nvme|vfio|vhost SOCKET [OPTION...]      NVMe or virtio-blk of a card or of another target
 *   block_initiator null|ram|file|crypt [PATH] [OPTION...]  the device itself, in this process
 *   block_initiator stamp SOCKET|PATH ...                   writes what the runs check: each block begins with its own offset
 */
#include "block_initiator.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_SHARE  10	       /* a tenth of the time goes by before it counts */
#define MAX_SAMPLES (1u << 21) /* latencies that are kept */

uint64_t bb_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct run {
	const struct bb_conf *conf;
	struct bb_dev *dev;
	uint64_t seed;
	uint64_t n_blocks, next; /* next: of a sequential run */
	uint64_t n_done, n_errors, n_wrong;
	uint64_t *off, *began; /* of each slot */
	uint32_t *sample;
	uint32_t n_samples;
	bool counting;
};

static uint64_t draw(struct run *r)
{
	if (r->conf->stamp)
		return r->next++ % r->n_blocks;
	r->seed ^= r->seed << 13;
	r->seed ^= r->seed >> 7;
	r->seed ^= r->seed << 17;
	return (uint64_t)((unsigned __int128)r->seed * r->n_blocks >> 64);
}

static int start(struct run *r, unsigned slot)
{
	uint64_t off = draw(r) * r->conf->bytes;

	r->off[slot] = off;
	if (r->conf->write)
		memcpy(r->dev->data + (size_t)slot * r->conf->bytes, &off, sizeof(off));
	if (r->conf->qd == 1)
		r->began[slot] = bb_now_ns();
	return r->dev->queue(r->dev, slot, r->conf->write, off);
}

static void finish(struct run *r, unsigned slot, bool ok)
{
	uint64_t off;

	r->n_done++;
	r->n_errors += !ok;
	if (r->conf->qd == 1 && r->counting && r->n_samples < MAX_SAMPLES) {
		uint64_t ns = bb_now_ns() - r->began[slot];

		r->sample[r->n_samples++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
	}
	if (r->conf->check && !r->conf->write && (r->n_done & 63) == 0) {
		memcpy(&off, r->dev->data + (size_t)slot * r->conf->bytes, sizeof(off));
		r->n_wrong += off != r->off[slot];
	}
}

/* Keeps 'qd' I/Os under way until 'until' or, for a stamp, once round. Returns 0, -errno. */
static int pump(struct run *r, uint64_t until, uint64_t most)
{
	uint64_t begun = r->n_done + r->dev->n_under_way, idle_since = bb_now_ns(), now;
	unsigned slots[64], n;
	bool ok[64];
	int rc;

	for (;;) {
		n = r->dev->reap(r->dev, slots, ok);
		for (unsigned i = 0; i < n; i++) {
			finish(r, slots[i], ok[i]);
			r->dev->n_under_way--;
			if (begun < most) {
				rc = start(r, slots[i]);
				if (rc < 0)
					return rc;
				begun++;
				r->dev->n_under_way++;
			}
		}
		rc = n > 0 ? r->dev->flush(r->dev) : 0;
		if (rc < 0)
			return rc;
		now = bb_now_ns();
		if (n > 0)
			idle_since = now;
		if (now >= until || r->n_done >= most)
			return 0;
		if (now - idle_since > 5000000000u)
			return -ETIMEDOUT;
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static uint32_t quantile(const struct run *r, double q)
{
	return r->n_samples == 0 ? 0 : r->sample[(uint32_t)((r->n_samples - 1) * q)];
}

static int measure(struct run *r)
{
	const struct bb_conf *c = r->conf;
	uint64_t began = bb_now_ns(), length = (uint64_t)(c->seconds * 1e9), target, own;
	uint64_t most = c->stamp ? r->n_blocks : UINT64_MAX, done;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < c->qd && i < most; i++) {
		rc = start(r, i);
		r->dev->n_under_way++;
	}
	if (rc == 0)
		rc = r->dev->flush(r->dev);
	if (rc == 0 && !c->stamp)
		rc = pump(r, began + length / WARM_SHARE, most);
	target = bb_cpu_ns(c->pid);
	own = own_ns();
	began = bb_now_ns();
	done = r->n_done;
	r->counting = true;
	if (rc == 0)
		rc = pump(r, c->stamp ? UINT64_MAX : began + length, most);
	if (rc < 0)
		return rc;
	length = bb_now_ns() - began;
	target = bb_cpu_ns(c->pid) - target;
	qsort(r->sample, r->n_samples, sizeof(*r->sample), by_value);
	printf("{\"ios\": %lu, \"seconds\": %.6f, \"target_ns\": %lu, \"initiator_ns\": %lu, "
	       "\"errors\": %lu, \"wrong\": %lu, \"bells\": %lu",
	    r->n_done - done, (double)length / 1e9, target, own_ns() - own, r->n_errors, r->n_wrong,
	    r->dev->bells == NULL ? 0 : r->dev->bells(r->dev));
	if (r->n_samples > 0)
		printf(", \"p50_ns\": %u, \"p99_ns\": %u, \"p999_ns\": %u", quantile(r, 0.5),
		    quantile(r, 0.99), quantile(r, 0.999));
	printf("}\n");
	return r->n_errors > 0 ? -EIO : r->n_wrong > 0 ? -EILSEQ : 0;
}

static const struct {
	const char *name;
	int (*open)(struct bb_dev *dev, const struct bb_conf *conf);
} kinds[] = {
    {"nvme", bb_nvme_open},
    {"vfio", bb_virtio_open},
    {"vhost", bb_virtio_open},
    {"null", bb_local_open},
    {"ram", bb_local_open},
    {"file", bb_local_open},
    {"crypt", bb_local_open},
};

static const struct option longs[] = {
    {"qd", required_argument, NULL, 'q'},
    {"bytes", required_argument, NULL, 'b'},
    {"span", required_argument, NULL, 'n'},
    {"seconds", required_argument, NULL, 's'},
    {"pid", required_argument, NULL, 'p'},
    {"cpu", required_argument, NULL, 'c'},
    {"write", no_argument, NULL, 'w'},
    {"stamp", no_argument, NULL, 'S'},
    {"check", no_argument, NULL, 'C'},
    {"packed", no_argument, NULL, 'P'},
    {"event-idx", no_argument, NULL, 'E'},
    {"no-shadow", no_argument, NULL, 'N'},
    {"sleep", no_argument, NULL, 'Z'},
    {"nsid", required_argument, NULL, 'I'},
    {NULL, 0, NULL, 0},
};

static int parse(int argc, char **argv, struct bb_conf *c)
{
	cpu_set_t set;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 'q':
			c->qd = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'b':
			c->bytes = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			c->span = strtoull(optarg, NULL, 0);
			break;
		case 's':
			c->seconds = strtod(optarg, NULL);
			break;
		case 'p':
			c->pid = (int)strtol(optarg, NULL, 0);
			break;
		case 'c':
			CPU_ZERO(&set);
			CPU_SET(strtoul(optarg, NULL, 0), &set);
			if (sched_setaffinity(0, sizeof(set), &set) < 0)
				return -errno;
			break;
		case 'w':
			c->write = true;
			break;
		case 'S':
			c->write = c->stamp = true;
			break;
		case 'C':
			c->check = true;
			break;
		case 'P':
			c->packed = true;
			break;
		case 'E':
			c->event_idx = true;
			break;
		case 'N':
			c->no_shadow = true;
			break;
		case 'I':
			c->nsid = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 'Z':
			c->sleeps = true;
			break;
		default:
			return -EINVAL;
		}
	}
	if (optind < argc)
		c->kind = argv[optind++];
	if (optind < argc)
		c->path = argv[optind++];
	return c->kind == NULL || optind < argc || c->qd == 0 || c->qd > BB_MAX_QD ||
		       c->bytes < 512 || c->bytes % 512 != 0 || c->bytes > BB_MAX_BYTES
		   ? -EINVAL
		   : 0;
}

int main(int argc, char **argv)
{
	struct bb_conf c = {.qd = 32, .nsid = 1, .bytes = 4096, .span = 64u << 20, .seconds = 1};
	struct bb_dev dev = {.bytes = 0};
	struct run r = {.conf = &c, .dev = &dev, .seed = 0x9e3779b97f4a7c15ull};
	int rc = parse(argc, argv, &c);
	unsigned k = 0;

	while (rc == 0 && k < sizeof(kinds) / sizeof(*kinds) && strcmp(c.kind, kinds[k].name) != 0)
		k++;
	if (rc < 0 || k == sizeof(kinds) / sizeof(*kinds)) {
		fprintf(stderr,
		    "usage: block_initiator nvme|vfio|vhost SOCKET | null|ram|file|crypt [PATH]\n"
		    "  [--qd N] [--bytes N] [--span BYTES] [--seconds S] [--pid TARGET] [--cpu N]\n"
		    "  [--write | --stamp] [--check] [--packed] [--event-idx] [--no-shadow] "
		    "[--sleep]\n");
		return 2;
	}
	r.off = calloc(c.qd, sizeof(*r.off));
	r.began = calloc(c.qd, sizeof(*r.began));
	r.sample = calloc(MAX_SAMPLES, sizeof(*r.sample));
	if (r.off == NULL || r.began == NULL || r.sample == NULL)
		rc = -ENOMEM;
	if (rc == 0)
		rc = kinds[k].open(&dev, &c);
	if (rc == 0) {
		r.n_blocks = (c.span < dev.bytes ? c.span : dev.bytes) / c.bytes;
		rc = r.n_blocks == 0 ? -ENOSPC : measure(&r);
		dev.close(&dev);
	}
	if (rc != 0)
		fprintf(stderr, "block_initiator: %s %s: %s%s\n", c.kind,
		    c.path != NULL ? c.path : "", rc < 0 ? strerror(-rc) : "NVMe status ",
		    rc < 0 ? "" : "not zero");
	return rc != 0;
}
