/* SPDX-License-Identifier: BSD-3-Clause */
#include "storage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OPS(family, text, member)                                                                 \
	{family, text, COUNTER, NUMBER, AT(ob_bus_io_stats, member[OB_BUS_IO_READ]), "op",        \
	    "read"},                                                                              \
	    {family, "", COUNTER, NUMBER, AT(ob_bus_io_stats, member[OB_BUS_IO_WRITE]), "op",     \
		"write"},                                                                         \
	    {family, "", COUNTER, NUMBER, AT(ob_bus_io_stats, member[OB_BUS_IO_FLUSH]), "op",     \
		"flush"},                                                                         \
	    {family, "", COUNTER, NUMBER, AT(ob_bus_io_stats, member[OB_BUS_IO_DISCARD]), "op",   \
		"discard"},                                                                       \
	{                                                                                         \
		family, "", COUNTER, NUMBER, AT(ob_bus_io_stats, member[OB_BUS_IO_WRITE_ZEROES]), \
		    "op", "write_zeroes"                                                          \
	}

/* The same of a volume and of a function. */
#define STATS(what, of)                                                                         \
	OPS(what "_io_operations", "I/Os of the " of ".", n_ios),                               \
	    OPS(what "_io_bytes", "Bytes of the I/Os.", n_bytes),                               \
	    OPS(what "_io_errors", "I/Os that failed.", n_errors),                              \
	    {what "_io_queue_depth", "I/Os under way.", GAUGE, NUMBER,                          \
		AT(ob_bus_io_stats, n_pending), NULL, NULL},                                    \
	    {what "_io_queue_depth_highest", "Most I/Os that were under way.", GAUGE, NUMBER,   \
		AT(ob_bus_io_stats, max_pending), NULL, NULL},                                  \
	    {what "_io_throttled_operations", "I/Os that waited for a limit.", COUNTER, NUMBER, \
		AT(ob_bus_io_stats, n_throttled), NULL, NULL},                                  \
	{                                                                                       \
		what "_io_throttled_seconds", "Time that I/Os waited for a limit, summed.",     \
		    COUNTER, NS_AS_SECONDS, AT(ob_bus_io_stats, throttled_ns), NULL, NULL       \
	}

static const struct metric volume_metrics[] = {
    {"volume_up", "1 if the volume can be used, 0 if what it needs is missing.", GAUGE, IS_READY,
	AT(ob_bus_volume, state), NULL, NULL},
    {"volume_size_bytes", "Size of the volume.", GAUGE, NUMBER, AT(ob_bus_volume, bytes), NULL,
	NULL},
    {"volume_users", "Functions and volumes that use the volume.", GAUGE, NUMBER,
	AT(ob_bus_volume, n_users), NULL, NULL},
    {"volume_limit_operations_per_second", "Limit of the volume; 0: none.", GAUGE, NUMBER,
	AT(ob_bus_volume, limit[OB_BUS_LIM_IOPS]), NULL, NULL},
    {"volume_limit_bytes_per_second", "Limit of the volume; 0: none.", GAUGE, NUMBER,
	AT(ob_bus_volume, limit[OB_BUS_LIM_BW]), NULL, NULL},
};
static const struct metric volume_stats[] = {STATS("volume", "volume")};
static const struct metric function_stats[] = {STATS("function", "function's volumes")};

static const struct metric queue_metrics[] = {
    {"io_queue_operations", "I/Os of the queue.", COUNTER, NUMBER, AT(ob_bus_io_queue, n_reads),
	"op", "read"},
    {"io_queue_operations", "", COUNTER, NUMBER, AT(ob_bus_io_queue, n_writes), "op", "write"},
    {"io_queue_operations", "", COUNTER, NUMBER, AT(ob_bus_io_queue, n_others), "op", "other"},
    {"io_queue_bytes", "Bytes of the queue's I/Os.", COUNTER, NUMBER, AT(ob_bus_io_queue, n_bytes),
	NULL, NULL},
    {"io_queue_errors", "I/Os of the queue that failed.", COUNTER, NUMBER,
	AT(ob_bus_io_queue, n_errors), NULL, NULL},
    {"io_queue_interrupts", "Interrupts sent to the guest.", COUNTER, NUMBER,
	AT(ob_bus_io_queue, n_irqs), NULL, NULL},
    {"io_queue_doorbells", "Doorbells rung by the guest.", COUNTER, NUMBER,
	AT(ob_bus_io_queue, n_doorbells), NULL, NULL},
};

const struct source storage_sources[] = {
    {OB_BUS_VOLUME, sizeof(struct ob_bus_volume), {LABEL(ob_bus_volume, name, "volume")},
	volume_metrics, COUNT(volume_metrics)},
    {OB_BUS_VOLUME_STATS, sizeof(struct ob_bus_io_stats), {LABEL(ob_bus_io_stats, name, "volume")},
	volume_stats, COUNT(volume_stats)},
    {OB_BUS_FUNCTION_STATS, sizeof(struct ob_bus_io_stats),
	{LABEL(ob_bus_io_stats, name, "function")}, function_stats, COUNT(function_stats)},
    {OB_BUS_IO_QUEUE, sizeof(struct ob_bus_io_queue),
	{LABEL(ob_bus_io_queue, function, "function"),
	    {.name = "queue",
		.off = offsetof(struct ob_bus_io_queue, queue),
		.size = 2,
		.number = true}},
	queue_metrics, COUNT(queue_metrics)},
};
const unsigned n_storage_sources = COUNT(storage_sources);

static void put_histogram(struct page *p, const struct source *s, const struct metric *op,
    const struct ob_bus_io_stats *st, unsigned dir)
{
	uint64_t ns = st->lat_sum_ns[dir], n = 0;
	const uint8_t *rec = (const uint8_t *)st;
	char le[32], value[48];

	for (unsigned b = 0; b < OB_BUS_LAT_BUCKETS; b++) {
		n += st->lat[dir][b];
		if (b < OB_BUS_LAT_BUCKETS - 1)
			snprintf(le, sizeof(le), "%.10g", (double)(1ull << (10 + b)) / 1e9);
		else
			snprintf(le, sizeof(le), "+Inf");
		put_str(p, "outboard_");
		put_str(p, op->name);
		put_str(p, "_bucket");
		put_labels(p, s, op, rec, "le", le);
		snprintf(value, sizeof(value), " %" PRIu64 "\n", n);
		put_str(p, value);
	}
	put_str(p, "outboard_");
	put_str(p, op->name);
	put_str(p, "_count");
	put_labels(p, s, op, rec, NULL, NULL);
	put_str(p, value);
	put_str(p, "outboard_");
	put_str(p, op->name);
	put_str(p, "_sum");
	put_labels(p, s, op, rec, NULL, NULL);
	snprintf(value, sizeof(value), " %" PRIu64 ".%09u\n", ns / 1000000000,
	    (unsigned)(ns % 1000000000));
	put_str(p, value);
}

void put_latencies(struct page *p, const struct source *s, const struct records *r)
{
	bool volume = s->noun == OB_BUS_VOLUME_STATS;
	const char *family = volume ? "volume_io_latency_seconds" : "function_io_latency_seconds";
	const struct metric ops[] = {{.name = family, .label = "op", .value = "read"},
	    {.name = family, .label = "op", .value = "write"}};
	struct ob_bus_io_stats st;

	if (!volume && s->noun != OB_BUS_FUNCTION_STATS)
		return;
	put_str(p, "# TYPE outboard_");
	put_str(p, family);
	put_str(p, " histogram\n# HELP outboard_");
	put_str(p, family);
	put_str(p, " Time from taking an I/O to its completion.\n");
	for (unsigned i = 0; i < r->n; i++) {
		memcpy(&st, r->bytes + i * s->record_len, sizeof(st));
		for (unsigned d = 0; d < 2; d++)
			put_histogram(p, s, &ops[d], &st, d);
	}
}
