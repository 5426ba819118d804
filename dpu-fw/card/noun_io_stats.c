/* SPDX-License-Identifier: BSD-3-Clause */
/* What volumes, and functions that show them, count: of a function, the sum of the volumes that it shows. */
#include "volumes.h"

#include <errno.h>
#include <string.h>

#include "ob_block.h"

static_assert(
    OB_BUS_IO_READ == (int)OB_BLK_READ && OB_BUS_IO_WRITE == (int)OB_BLK_WRITE &&
	OB_BUS_IO_FLUSH == (int)OB_BLK_FLUSH && OB_BUS_IO_DISCARD == (int)OB_BLK_DISCARD &&
	OB_BUS_IO_WRITE_ZEROES == (int)OB_BLK_WRITE_ZEROES && OB_BLK_N_OPS <= (int)OB_BUS_N_IOS,
    "the bus carries what a device counts");

/* What one record is made of. */
struct sums {
	struct ob_blk_stats all, one;
};

static void add_stats(struct sums *s, struct ob_blk *b)
{
	struct ob_blk_stats *a = &s->all, *o = &s->one;

	ob_blk_stats(b, o);
	for (unsigned i = 0; i < OB_BLK_N_OPS; i++) {
		a->n_ios[i] += o->n_ios[i];
		a->n_bytes[i] += o->n_bytes[i];
		a->n_errors[i] += o->n_errors[i];
		a->lat_sum_ns[i] += o->lat_sum_ns[i];
	}
	a->n_pending += o->n_pending;
	a->max_pending += o->max_pending;
	a->throttled_ns += o->throttled_ns;
	a->n_throttled += o->n_throttled;
	for (unsigned d = 0; d < 2; d++) {
		for (unsigned i = 0; i < OB_BLK_LAT_CLASSES; i++)
			a->lat[d][i] += o->lat[d][i];
	}
}

static void add_volume(struct ob_card *c, uint32_t idx, struct sums *s)
{
	const struct volume *v = &c->volume[idx];

	if (v->dev != NULL)
		add_stats(s, v->top != NULL ? v->top : v->dev);
}

static void put(const struct ob_blk_stats *a, struct ob_bus_io_stats *r)
{
	for (unsigned i = 0; i < OB_BLK_N_OPS; i++) {
		r->n_ios[i] = a->n_ios[i];
		r->n_bytes[i] = a->n_bytes[i];
		r->n_errors[i] = a->n_errors[i];
		r->lat_sum_ns[i] = a->lat_sum_ns[i];
	}
	r->n_pending = a->n_pending;
	r->max_pending = a->max_pending;
	r->throttled_ns = a->throttled_ns;
	r->n_throttled = a->n_throttled;
	for (unsigned d = 0; d < 2; d++) {
		r->p50_ns[d] = ob_blk_lat_quantile_ns(a->lat[d], 0.5);
		r->p99_ns[d] = ob_blk_lat_quantile_ns(a->lat[d], 0.99);
		r->p999_ns[d] = ob_blk_lat_quantile_ns(a->lat[d], 0.999);
		for (unsigned i = 0; i < OB_BLK_LAT_CLASSES; i++) {
			uint64_t ns = ob_blk_lat_class_ns(i);
			/* Powers of two are borders of classes: no class falls into two buckets. */
			unsigned b = ns < 1024 ? 0 : (unsigned)(63 - __builtin_clzll(ns)) - 9;

			r->lat[d][b < OB_BUS_LAT_BUCKETS ? b : OB_BUS_LAT_BUCKETS - 1] +=
			    a->lat[d][i];
		}
	}
}

static int volume_filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->volumes, "volume", ((const struct ob_bus_io_stats *)f)->name);
}

static int volume_next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_io_stats *want = f;
	uint32_t i = names_next(&c->volumes, (uint32_t)*cursor);
	struct ob_bus_io_stats *r = rec;
	struct sums s = {0};

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->name[0] && strcmp(want->name, names_get(&c->volumes, i)) != 0)
		return -EAGAIN;
	strcpy(r->name, names_get(&c->volumes, i));
	add_volume(c, i, &s);
	put(&s.all, r);
	return 0;
}

static int function_filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->functions, "function", ((const struct ob_bus_io_stats *)f)->name);
}

static int function_next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_io_stats *want = f;
	uint32_t i = names_next(&c->functions, (uint32_t)*cursor), volume;
	struct ob_bus_io_stats *r = rec;
	struct sums s = {0};

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (!is_disk(c, i) || (want->name[0] && strcmp(want->name, c->fn_conf[i].name) != 0))
		return -EAGAIN;
	strcpy(r->name, c->fn_conf[i].name);
	for (uint32_t k = 0; (k = namespace_next(c, k, i)) != NAMES_NONE; k++)
		add_volume(c, c->namespaces[k].volume, &s);
	volume = c->fn_conf[i].type == OB_BUS_BLK ? names_find(&c->volumes, c->fn_conf[i].volume)
						  : NAMES_NONE;
	if (volume != NAMES_NONE)
		add_volume(c, volume, &s);
	put(&s.all, r);
	return 0;
}

const struct noun noun_volume_stats = {.name = "volume",
    .record_len = sizeof(struct ob_bus_io_stats),
    .filter = volume_filter,
    .next = volume_next};
const struct noun noun_function_stats = {.name = "function",
    .record_len = sizeof(struct ob_bus_io_stats),
    .filter = function_filter,
    .next = function_next};
