/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ob_telemetry.h"

static int fail_at;

/* A card with one function whose name tries to break out of its label. */
int ob_client_list(struct ob_client *c, unsigned noun, const void *filter, size_t record_len,
    ob_client_record_fn fn, void *ctx)
{
	union {
		uint8_t bytes[4096];
		struct ob_bus_card card;
		struct ob_bus_function function;
		struct ob_bus_queue queue;
		struct ob_bus_drop drop;
		struct ob_bus_tunnel tunnel;
		struct ob_bus_uplink uplink;
		struct ob_bus_worker worker;
		struct ob_bus_meter meter;
		struct ob_bus_session_eni eni;
		struct ob_bus_nat_pool pool;
		struct ob_bus_volume volume;
		struct ob_bus_io_stats io;
	} r = {{0}};

	(void)c;
	(void)filter;
	assert_true(record_len <= sizeof(r));
	if ((int)noun == fail_at)
		return -ETIMEDOUT;
	switch (noun) {
	case OB_BUS_CARD:
		r.card =
		    (struct ob_bus_card){.version = "1", .serial = "S\n", .uptime_ns = 1500000000};
		break;
	case OB_BUS_FUNCTION:
		r.function = (struct ob_bus_function){
		    .name = "a\"b\\c\xff", .state = OB_BUS_FN_RUNNING, .rx_pkts = 7};
		break;
	case OB_BUS_QUEUE:
		r.queue = (struct ob_bus_queue){.function = "f", .queue = 3, .n_pkts = UINT64_MAX};
		break;
	case OB_BUS_DROP:
		r.drop = (struct ob_bus_drop){.function = "f", .reason = "no_route", .n_pkts = 4};
		break;
	case OB_BUS_METER:
		r.meter = (struct ob_bus_meter){.eni = "e1",
		    .exceeded = {[OB_BUS_PPS_OUT] = 3, [OB_BUS_PPS_IN] = 4, [OB_BUS_BW_IN] = 5}};
		break;
	case OB_BUS_SESSION_ENI:
		r.eni = (struct ob_bus_session_eni){
		    .eni = "e1", .live = 9, .n_denied_in = 2, .available = 91};
		if (fn(&r, ctx) != 0)
			return -1;
		r.eni = (struct ob_bus_session_eni){.eni = "e2", .available = UINT32_MAX};
		break;
	case OB_BUS_NAT_POOL:
		r.pool = (struct ob_bus_nat_pool){.name = "p", .n_blocks = 8, .n_blocks_used = 1};
		break;
	case OB_BUS_VOLUME:
		r.volume = (struct ob_bus_volume){
		    .name = "v", .state = OB_BUS_VOL_OFFLINE, .bytes = 1ull << 40};
		break;
	case OB_BUS_VOLUME_STATS:
		r.io = (struct ob_bus_io_stats){.name = "v",
		    .n_ios = {[OB_BUS_IO_WRITE] = 6, [OB_BUS_IO_DISCARD] = 8},
		    .n_bytes = {[OB_BUS_IO_READ] = 4096},
		    .lat_sum_ns = {1500000000, 7},
		    .n_pending = 31,
		    .throttled_ns = 250000000,
		    .lat = {{1, 2, [OB_BUS_LAT_BUCKETS - 1] = 4}, {0}}};
		break;
	case OB_BUS_FUNCTION_STATS:
		r.io = (struct ob_bus_io_stats){.name = "n0", .n_errors = {[OB_BUS_IO_READ] = 3}};
		break;
	default:
		break;
	}
	return fn(&r, ctx);
}

static char *page(void)
{
	char *text;

	fail_at = -1;
	assert_int_equal(ob_telemetry_page(NULL, &text), 0);
	return text;
}

static void page_holds_labels_values_and_end(void **state)
{
	char *text = page();

	(void)state;
	assert_non_null(strstr(text, "outboard_build_info{version=\"1\",serial=\"S\\n\"} 1\n"));
	assert_non_null(strstr(text, "outboard_card_uptime_seconds 1.500000000\n"));
	assert_non_null(strstr(text,
	    "outboard_function_packets_total{function=\"a\\\"b\\\\c?\",direction=\"rx\"} 7\n"));
	assert_non_null(strstr(
	    text, "outboard_function_state{function=\"a\\\"b\\\\c?\",state=\"running\"} 1\n"));
	assert_non_null(strstr(text,
	    "outboard_queue_packets_total{function=\"f\",queue=\"3\"} 18446744073709551615\n"));
	assert_non_null(
	    strstr(text, "outboard_dropped_packets_total{function=\"f\",reason=\"no_route\"} 4\n"));
	assert_non_null(strstr(text, "outboard_eni_sessions{eni=\"e1\"} 9\n"));
	assert_non_null(
	    strstr(text, "outboard_eni_denied_packets_total{eni=\"e1\",direction=\"in\"} 2\n"));
	assert_non_null(strstr(
	    text, "outboard_eni_allowance_exceeded_total{eni=\"e1\",allowance=\"bw_in\"} 5\n"));
	assert_non_null(strstr(text, "outboard_bw_in_allowance_exceeded_total{eni=\"e1\"} 5\n"));
	assert_non_null(strstr(text, "outboard_pps_allowance_exceeded_total{eni=\"e1\"} 7\n"));
	assert_non_null(strstr(text, "outboard_conntrack_allowance_available{eni=\"e1\"} 91\n"));
	assert_null(strstr(text, "outboard_conntrack_allowance_available{eni=\"e2\"}"));
	assert_non_null(strstr(text, "outboard_nat_pool_blocks_used{pool=\"p\"} 1\n"));
	assert_non_null(strstr(text, "outboard_sessions{worker=\"0\",family=\"ip4\"} 0\n"));
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
}

static void page_holds_what_volumes_do(void **state)
{
	char *text = page();

	(void)state;
	assert_non_null(strstr(text, "outboard_volume_up{volume=\"v\"} 0\n"));
	assert_non_null(strstr(text, "outboard_volume_size_bytes{volume=\"v\"} 1099511627776\n"));
	assert_non_null(
	    strstr(text, "outboard_volume_io_operations_total{volume=\"v\",op=\"write\"} 6\n"));
	assert_non_null(
	    strstr(text, "outboard_volume_io_operations_total{volume=\"v\",op=\"discard\"} 8\n"));
	assert_non_null(
	    strstr(text, "outboard_volume_io_bytes_total{volume=\"v\",op=\"read\"} 4096\n"));
	assert_non_null(strstr(text, "outboard_volume_io_queue_depth{volume=\"v\"} 31\n"));
	assert_non_null(
	    strstr(text, "outboard_volume_io_throttled_seconds_total{volume=\"v\"} 0.250000000\n"));
	assert_non_null(
	    strstr(text, "outboard_function_io_errors_total{function=\"n0\",op=\"read\"} 3\n"));
	free(text);
}

/* Buckets grow, the last is +Inf and equals the count. */
static void latencies_are_a_histogram(void **state)
{
	static const char head[] = "outboard_volume_io_latency_seconds";
	char *text = page();

	(void)state;
	assert_non_null(strstr(text, "# TYPE outboard_volume_io_latency_seconds histogram\n"));
	assert_non_null(strstr(text, "# TYPE outboard_function_io_latency_seconds histogram\n"));
	for (unsigned i = 0; i < 5; i++) {
		static const char *const lines[] = {
		    "_bucket{volume=\"v\",op=\"read\",le=\"1.024e-06\"} 1\n",
		    "_bucket{volume=\"v\",op=\"read\",le=\"2.048e-06\"} 3\n",
		    "_bucket{volume=\"v\",op=\"read\",le=\"+Inf\"} 7\n",
		    "_count{volume=\"v\",op=\"read\"} 7\n",
		    "_sum{volume=\"v\",op=\"read\"} 1.500000000\n"};
		char line[160];

		snprintf(line, sizeof(line), "%s%s", head, lines[i]);
		assert_non_null(strstr(text, line));
	}
	assert_non_null(strstr(text, "_bucket{volume=\"v\",op=\"read\",le=\"4.294967296\"} 3\n"));
	assert_non_null(strstr(text, "latency_seconds_count{volume=\"v\",op=\"write\"} 0\n"));
	free(text);
}

/* Each family has one TYPE line and its samples follow it; no line is anything else. */
static void every_sample_follows_the_type_line_of_its_family(void **state)
{
	char *text = page(), family[128] = "", seen[160][128];
	unsigned n_seen = 0;

	(void)state;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char name[128], type[16];

		if (sscanf(line, "# TYPE %127s %15s", name, type) == 2) {
			for (unsigned i = 0; i < n_seen; i++)
				assert_string_not_equal(seen[i], name);
			assert_true(n_seen < 160);
			snprintf(seen[n_seen++], sizeof(seen[0]), "%s", name);
			snprintf(family, sizeof(family), "%s", name);
			continue;
		}
		if (line[0] == '#')
			continue;
		assert_int_equal(strncmp(line, family, strlen(family)), 0);
		assert_non_null(strrchr(line, ' '));
	}
	assert_true(n_seen > 30);
	free(text);
}

static void error_of_any_noun_is_returned(void **state)
{
	char *text;

	(void)state;
	for (fail_at = OB_BUS_CARD; fail_at <= OB_BUS_WORKER; fail_at++) {
		bool asked = fail_at != OB_BUS_VNET && fail_at != OB_BUS_ENI &&
			     fail_at != OB_BUS_ROUTE && fail_at != OB_BUS_MAPPING;

		text = NULL;
		assert_int_equal(ob_telemetry_page(NULL, &text), asked ? -ETIMEDOUT : 0);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(page_holds_labels_values_and_end),
	    cmocka_unit_test(page_holds_what_volumes_do),
	    cmocka_unit_test(latencies_are_a_histogram),
	    cmocka_unit_test(every_sample_follows_the_type_line_of_its_family),
	    cmocka_unit_test(error_of_any_noun_is_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
