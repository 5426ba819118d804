/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics: classes of latency, sums over channels. */
#include "ob_block.h"

#include <math.h>
#include <time.h>

#include <rte_cycles.h>

#include "block_core.h"

#define UNIT_SHIFT 6 /* 64 ns */
#define STEPS	   16

/* ns = tsc * ns_mult >> 32. Set before the first channel, on control. */
static uint64_t ns_mult;

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void blk_stats_init(void)
{
	uint64_t hz = rte_get_tsc_hz();

	if (ns_mult != 0)
		return;
	if (hz == 0) {
		/* Without EAL (tools, tests): good to some tenths of a percent. */
		uint64_t t0 = monotonic_ns(), c0 = rte_rdtsc(), t1;

		while ((t1 = monotonic_ns()) - t0 < 2000000)
			;
		hz = (rte_rdtsc() - c0) * 1000000000u / (t1 - t0);
	}
	ns_mult = (uint64_t)(((unsigned __int128)1000000000u << 32) / hz);
}

static unsigned class_of(uint64_t ns)
{
	uint64_t u = ns >> UNIT_SHIFT;
	unsigned e, c;

	if (u < STEPS)
		return (unsigned)u;
	e = 63 - (unsigned)__builtin_clzll(u);
	c = STEPS * (e - 3) + (unsigned)(u >> (e - 4)) % STEPS;
	return c < OB_BLK_LAT_CLASSES ? c : OB_BLK_LAT_CLASSES - 1;
}

uint64_t ob_blk_lat_class_ns(unsigned class)
{
	if (class < STEPS)
		return (uint64_t) class << UNIT_SHIFT;
	return (uint64_t)(STEPS + class % STEPS) << (class / STEPS - 1 + UNIT_SHIFT);
}

uint64_t ob_blk_lat_quantile_ns(const uint64_t lat[OB_BLK_LAT_CLASSES], double q)
{
	uint64_t total = 0, seen = 0, rank;

	for (unsigned c = 0; c < OB_BLK_LAT_CLASSES; c++)
		total += __atomic_load_n(&lat[c], __ATOMIC_RELAXED);
	if (total == 0)
		return 0;
	q = q < 0 ? 0 : q > 1 ? 1 : q;
	rank = (uint64_t)ceil(q * (double)total);
	for (unsigned c = 0; c < OB_BLK_LAT_CLASSES; c++) {
		seen += __atomic_load_n(&lat[c], __ATOMIC_RELAXED);
		if (seen > 0 && seen >= rank)
			/* The middle of the class. */
			return (ob_blk_lat_class_ns(c) + ob_blk_lat_class_ns(c + 1)) / 2;
	}
	return ob_blk_lat_class_ns(OB_BLK_LAT_CLASSES - 1);
}

void blk_stats_lat(struct ob_blk_stats *st, uint8_t op, uint64_t tsc)
{
	uint64_t ns = (uint64_t)(((unsigned __int128)tsc * ns_mult) >> 32);
	uint64_t *c;

	/* Clocks of two cores may differ by a little: an I/O that ended before it began took no time. */
	if ((int64_t)tsc < 0)
		ns = 0;
	blk_count(&st->lat_sum_ns[op], ns);
	if (op > OB_BLK_WRITE)
		return;
	c = &st->lat[op == OB_BLK_WRITE][class_of(ns)];
	blk_count(c, 1);
}

void blk_stats_add(struct ob_blk_stats *to, const struct ob_blk_stats *from)
{
#define ADD(f) to->f += __atomic_load_n(&from->f, __ATOMIC_RELAXED)
	for (unsigned op = 0; op < OB_BLK_N_OPS; op++) {
		ADD(n_ios[op]);
		ADD(n_bytes[op]);
		ADD(n_errors[op]);
		ADD(lat_sum_ns[op]);
	}
	ADD(n_pending);
	ADD(throttled_ns);
	ADD(n_throttled);
	for (unsigned k = 0; k < 2; k++)
		for (unsigned c = 0; c < OB_BLK_LAT_CLASSES; c++)
			ADD(lat[k][c]);
#undef ADD
	/* Of one channel, the deepest. */
	if (__atomic_load_n(&from->max_pending, __ATOMIC_RELAXED) > to->max_pending)
		to->max_pending = __atomic_load_n(&from->max_pending, __ATOMIC_RELAXED);
}
