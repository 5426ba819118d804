/* SPDX-License-Identifier: BSD-3-Clause */
/* What volumes, functions with disks, and their queues count. */
#include "cli.h"

#define R ob_bus_io_stats

#define COUNTER(n, h, member)                                                              \
	{                                                                                  \
		.name = n, .head = h, .kind = K_UINT, .flags = F_COUNTER, FIELD(R, member) \
	}
#define TIME(n, h, member)                                             \
	{                                                              \
		.name = n, .head = h, .kind = K_USEC, FIELD(R, member) \
	}

#define STATS_FIELDS(what)                                                                        \
	{.name = "name",                                                                          \
	    .head = "NAME",                                                                       \
	    .kind = K_STR,                                                                        \
	    .flags = F_POS | F_FILTER,                                                            \
	    FIELD(R, name),                                                                       \
	    .arg = "NAME",                                                                        \
	    .help = "only this " what},                                                           \
	    COUNTER("reads", "READS", n_ios[OB_BUS_IO_READ]),                                     \
	    COUNTER("writes", "WRITES", n_ios[OB_BUS_IO_WRITE]),                                  \
	    COUNTER("read_bytes", "READ-BYTES", n_bytes[OB_BUS_IO_READ]),                         \
	    COUNTER("write_bytes", "WRITE-BYTES", n_bytes[OB_BUS_IO_WRITE]),                      \
	    COUNTER("flushes", "FLUSHES", n_ios[OB_BUS_IO_FLUSH]),                                \
	    COUNTER("discards", NULL, n_ios[OB_BUS_IO_DISCARD]),                                  \
	    COUNTER("write_zeroes", NULL, n_ios[OB_BUS_IO_WRITE_ZEROES]),                         \
	    COUNTER("read_errors", "RD-ERR", n_errors[OB_BUS_IO_READ]),                           \
	    COUNTER("write_errors", "WR-ERR", n_errors[OB_BUS_IO_WRITE]),                         \
	    COUNTER("flush_errors", NULL, n_errors[OB_BUS_IO_FLUSH]),                             \
	    {.name = "depth", .head = "DEPTH", .kind = K_UINT, FIELD(R, n_pending)},              \
	    {.name = "depth_highest", .kind = K_UINT, FIELD(R, max_pending)},                     \
	    COUNTER("throttled", "THROTTLED", n_throttled),                                       \
	    {.name = "throttled_ns", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, throttled_ns)}, \
	    TIME("read_p50_us", "RD-P50-US", p50_ns[0]),                                          \
	    TIME("read_p99_us", "RD-P99-US", p99_ns[0]), TIME("read_p999_us", NULL, p999_ns[0]),  \
	    TIME("write_p50_us", "WR-P50-US", p50_ns[1]),                                         \
	    TIME("write_p99_us", "WR-P99-US", p99_ns[1]), TIME("write_p999_us", NULL, p999_ns[1])

static const struct field volume_fields[] = {STATS_FIELDS("volume")};
static const struct field function_fields[] = {STATS_FIELDS("function")};

extern const struct noun volume_stats;
const struct noun volume_stats = {
    .name = "volume",
    .word = "stats",
    .bus = OB_BUS_VOLUME_STATS,
    .record_len = sizeof(struct R),
    .verbs = V_LIST,
    .fields = volume_fields,
    .n_fields = sizeof(volume_fields) / sizeof(volume_fields[0]),
};

static const struct noun function_stats = {
    .name = "function",
    .word = "stats",
    .bus = OB_BUS_FUNCTION_STATS,
    .record_len = sizeof(struct R),
    .verbs = V_LIST,
    .fields = function_fields,
    .n_fields = sizeof(function_fields) / sizeof(function_fields[0]),
};

#undef R
#define R ob_bus_io_queue

static const struct choice flags[] = {{"running", 1}, {"packed", 2}, {"broken", 4}, {NULL, 0}};

static const struct field queue_fields[] = {
    {.name = "function",
	.head = "FUNCTION",
	.kind = K_STR,
	.flags = F_POS | F_FILTER,
	FIELD(R, function),
	.arg = "NAME",
	.help = "only this function"},
    {.name = "queue", .head = "QUEUE", .kind = K_UINT, .flags = F_KEY, FIELD(R, queue)},
    {.name = "size", .head = "SIZE", .kind = K_UINT, FIELD(R, size)},
    {.name = "worker", .head = "WORKER", .kind = K_INT, FIELD(R, worker)},
    COUNTER("reads", "READS", n_reads),
    COUNTER("writes", "WRITES", n_writes),
    COUNTER("others", "OTHERS", n_others),
    COUNTER("bytes", "BYTES", n_bytes),
    COUNTER("errors", "ERRORS", n_errors),
    {.name = "depth", .head = "DEPTH", .kind = K_UINT, FIELD(R, n_pending)},
    COUNTER("bursts", NULL, n_bursts),
    COUNTER("interrupts", "IRQS", n_irqs),
    COUNTER("doorbells", "DOORBELLS", n_doorbells),
    {.name = "flags", .head = "FLAGS", .kind = K_FLAGS, FIELD(R, flags), .choices = flags},
};

static const struct noun function_queues = {
    .name = "function",
    .word = "queues",
    .bus = OB_BUS_IO_QUEUE,
    .record_len = sizeof(struct R),
    .verbs = V_LIST,
    .fields = queue_fields,
    .n_fields = sizeof(queue_fields) / sizeof(queue_fields[0]),
};

const struct form function_forms[] = {
    {&function_stats, V_LIST}, {&function_queues, V_LIST}, {NULL, 0}};
