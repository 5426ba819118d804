/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"

const struct noun *const nouns[] = {&noun_card, &noun_function, &noun_vnet, &noun_eni, &noun_route,
    &noun_mapping, &noun_tunnel, &noun_sg, &noun_tag, &noun_binding, &noun_nat_pool, &noun_nat_bind,
    &noun_fip, &noun_nat64, &noun_session, &noun_session_eni, &noun_session_policy, &noun_meter,
    &noun_session_table, &noun_capture, &noun_uplink, &noun_counters, &noun_drops, &noun_worker};
const unsigned n_nouns = sizeof(nouns) / sizeof(nouns[0]);

static uint8_t record[MAX_RECORD] __attribute__((aligned(8)));
static bool given[64];
static struct body body;

static int parse(const struct noun *n, enum verb v, const char *line)
{
	static char copy[512];
	char *argv[32];
	int argc = 0;

	memset(record, 0, sizeof(record));
	memset(given, 0, sizeof(given));
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	body_free(&body);
	return args_parse(n, v, argc, argv, record, given, &body);
}

static const char *shown(const struct noun *n, const char *field)
{
	static char text[1024];

	for (unsigned i = 0; i < n->n_fields; i++) {
		if (strcmp(n->fields[i].name, field) == 0) {
			field_text(&n->fields[i], record, text, sizeof(text));
			return text;
		}
	}
	fail();
	return NULL;
}

static void every_noun_is_sound(void **state)
{
	(void)state;
	for (unsigned i = 0; i < n_nouns; i++) {
		const struct noun *n = nouns[i];

		assert_true(n->record_len <= MAX_RECORD);
		assert_true(n->n_fields <= 64);
		for (unsigned k = 0; k < n->n_fields; k++) {
			const struct field *f = &n->fields[k];

			assert_true(
			    f->off + (size_t)f->size * (f->max ? f->max : 1) <= n->record_len);
			if (f->flags & (F_KEY | F_ADD | F_SET | F_FILTER)) {
				assert_non_null(f->arg);
				assert_non_null(f->help);
			}
			assert_true((f->kind == K_CHOICE || f->kind == K_FLAGS ||
					f->kind == K_PROTO) == (f->choices != NULL));
		}
	}
}

static void eni_options_land_in_the_record(void **state)
{
	const struct ob_bus_eni *e = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_eni, V_ADD,
			     "e1 --function f1 --vnet=red --mac 02:00:00:00:00:aB --ip "
			     "10.1.0.11/24 --ip 2001:db8:1::11/64 --router fe80::1 "
			     "--mtu 1450"),
	    0);
	assert_string_equal(e->name, "e1");
	assert_string_equal(e->vnet, "red");
	assert_int_equal(e->mac[5], 0xab);
	assert_int_equal(e->n_addrs, 2);
	assert_int_equal(e->addr[0].family, 4);
	assert_int_equal(e->addr[0].prefix_len, 24);
	assert_int_equal(e->addr[0].b[3], 11);
	assert_int_equal(e->router[0].prefix_len, 128);
	assert_int_equal(e->mtu, 1450);
	assert_string_equal(shown(&noun_eni, "ip"), "10.1.0.11/24,2001:db8:1::11/64");
	assert_string_equal(shown(&noun_eni, "router"), "fe80::1");
	assert_string_equal(shown(&noun_eni, "dns"), "-");
}

static void route_target_and_prefix(void **state)
{
	const struct ob_bus_route *r = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_route, V_ADD, "10.2.0.0/16 --vnet red --to vnet:blue"), 0);
	assert_int_equal(r->action, 1);
	assert_string_equal(r->to_vnet, "blue");
	assert_string_equal(shown(&noun_route, "to"), "vnet:blue");
	assert_int_equal(parse(&noun_route, V_ADD, "::/0 --vnet red --to drop"), 0);
	assert_int_equal(r->action, 2);
	assert_string_equal(shown(&noun_route, "prefix"), "::/0");
	assert_int_equal(parse(&noun_route, V_ADD, "10.2.0.1/16 --vnet red --to drop"), -EINVAL);
	assert_int_equal(parse(&noun_route, V_ADD, "10.0.0.0/33 --vnet red --to drop"), -EINVAL);
	assert_int_equal(parse(&noun_route, V_ADD, "10.0.0.0/8 --vnet red --to vnet:"), -EINVAL);
}

static void route_to_next_hops(void **state)
{
	static const char *const wrong[] = {"via:", "via:@red", "via:10.0.0.1", "via:10.0.0.1@",
	    "via:10.0.0@red", "nat:10.0.0.1/24@red", "nat:internet",
	    "via:10.0.0.1@a-name-that-is-longer-than-thirty-one",
	    "via:1.0.0.1,1.0.0.2,1.0.0.3,1.0.0.4,1.0.0.5,1.0.0.6,1.0.0.7,1.0.0.8,1.0.0.9,1.0.0.10,"
	    "1."
	    "0.0.11,1.0.0.12,1.0.0.13,1.0.0.14,1.0.0.15,1.0.0.16,1.0.0.17@red"};
	const struct ob_bus_route *r = (const void *)record;
	char line[512];

	(void)state;
	assert_int_equal(
	    parse(&noun_route, V_ADD, "0.0.0.0/0 --vnet red --to nat:198.51.100.1@internet"), 0);
	assert_int_equal(r->action, OB_BUS_TO_NAT);
	assert_int_equal(r->n_hops, 1);
	assert_string_equal(r->to_vnet, "internet");
	assert_string_equal(shown(&noun_route, "to"), "nat:198.51.100.1@internet");
	assert_int_equal(
	    parse(&noun_route, V_ADD, "::/0 --vnet red --to via:2001:db8::1,2001:db8::2@red"), 0);
	assert_int_equal(r->n_hops, 2);
	assert_string_equal(shown(&noun_route, "to"), "via:2001:db8::1,2001:db8::2@red");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(line, sizeof(line), "::/0 --vnet red --to %s", wrong[i]);
		assert_int_equal(parse(&noun_route, V_ADD, line), -EINVAL);
	}
}

static void geneve_options_are_parsed_and_shown(void **state)
{
	const struct ob_bus_tunnel *t = (const void *)record;

	(void)state;
	assert_int_equal(
	    parse(&noun_tunnel, V_ADD,
		"t --encap geneve --remote 2001:db8::2 --option 0x0102:0x80:00000007 --option 3:4"),
	    0);
	assert_int_equal(t->n_opts, 2);
	assert_int_equal(t->opt[0].opt_class, 0x0102);
	assert_int_equal(t->opt[0].type, 0x80);
	assert_int_equal(t->opt[0].len, 4);
	assert_int_equal(t->opt[0].data[3], 7);
	assert_int_equal(t->opt[1].len, 0);
	assert_string_equal(shown(&noun_tunnel, "option"), "0x0102:0x80:00000007,0x0003:0x04");
	assert_int_equal(
	    parse(&noun_tunnel, V_ADD, "t --encap geneve --remote ::1 --option 1:2:0000"), -EINVAL);
	assert_int_equal(
	    parse(&noun_tunnel, V_ADD, "t --encap geneve --remote ::1 --option 1:2:0000000g"),
	    -EINVAL);
	assert_int_equal(
	    parse(&noun_tunnel, V_ADD, "t --encap geneve --remote ::1 --option 70000:2"), -EINVAL);
	assert_int_equal(parse(&noun_tunnel, V_ADD, "t --encap gre --remote ::1"), -EINVAL);
}

static void misuse_is_refused(void **state)
{
	static const char *const lines[] = {"", "f1", "f1 --type disk --socket s",
	    "f1 --type net --socket s extra", "f1 --type net --socket",
	    "f1 --type net --socket s --mtu 70000", "f1 --type net --socket s --mtu -1",
	    "f1 --type net --socket s --mtu 12x", "f1 --type net --socket s --mac 02:00:00:00:00",
	    "f1 --type net --socket s --mac 0200:00:00:00:00:1",
	    "f1 --type net --socket s --type net", "f1 --type net --socket s --state running",
	    "a-name-that-is-much-too-long-for-a-function --type net --socket s"};

	(void)state;
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(parse(&noun_function, V_ADD, lines[i]), -EINVAL);
	assert_int_equal(
	    parse(&noun_function, V_ADD, "f1 --type net --socket s --queues 4 --packed off"), 0);
	assert_int_equal(parse(&noun_function, V_ADD, "f1 --type net"), 0);
	assert_int_equal(parse(&noun_function, V_ADD, "f1 --type net --port net_null0"), 0);
	assert_int_equal(parse(&noun_function, V_SET, "f1 --queues 4"), -EINVAL);
	assert_int_equal(parse(&noun_function, V_SET, "f1 --link down"), 0);
	assert_int_equal(parse(&noun_function, V_DEL, "f1"), 0);
	assert_int_equal(parse(&noun_function, V_DEL, ""), -EINVAL);
	assert_int_equal(parse(&noun_function, V_LIST, "f1"), -EINVAL);
}

static void table_aligns_and_json_parses(void **state)
{
	struct ob_bus_queue q[2] = {{.function = "f1", .queue = 0, .worker = -1, .n_pkts = 5},
	    {.function = "longer-name", .queue = 1, .flags = 3, .n_pkts = UINT64_MAX}};
	struct rows r = {.noun = &noun_counters};
	struct json_object *j;
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	rows_add(&q[0], &r);
	rows_add(&q[1], &r);
	rows_print_table(&r, f);
	fclose(f);
	assert_non_null(strstr(text, "FUNCTION     QUEUE"));
	assert_non_null(strstr(text, "18446744073709551615"));
	assert_non_null(strstr(text, "running,packed\n"));
	free(text);

	f = open_memstream(&text, &len);
	rows_print_json(&r, false, f);
	fclose(f);
	j = json_tokener_parse(text);
	assert_non_null(j);
	assert_int_equal(json_object_array_length(j), 2);
	assert_int_equal(json_object_get_uint64(
			     json_object_object_get(json_object_array_get_idx(j, 1), "packets")),
	    UINT64_MAX);
	assert_int_equal(
	    json_object_get_int(json_object_object_get(json_object_array_get_idx(j, 0), "worker")),
	    -1);
	json_object_put(j);
	free(text);
	rows_free(&r);
}

static void rates_are_growth_per_second_of_the_same_object(void **state)
{
	struct ob_bus_queue was[2] = {{.function = "a", .queue = 0, .n_pkts = 100},
	    {.function = "a", .queue = 1, .n_pkts = 1000}};
	struct ob_bus_queue is[2] = {{.function = "a", .queue = 1, .n_pkts = 1500},
	    {.function = "a", .queue = 0, .n_pkts = 50}};
	struct rows before = {.noun = &noun_counters}, now = {.noun = &noun_counters};
	struct ob_bus_queue *out;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		rows_add(&was[i], &before);
		rows_add(&is[i], &now);
	}
	rows_to_rates(&now, &before, 2.0);
	out = (void *)now.records;
	assert_int_equal(out[0].n_pkts, 250);
	assert_int_equal(out[1].n_pkts, 0); /* the counter went back: the function was made anew */
	rows_free(&before);
	rows_free(&now);
}

static void nearest_word_is_offered_only_when_near(void **state)
{
	static const char *const words[] = {"function", "tunnel", "vnet"};

	(void)state;
	assert_string_equal(nearest("funtion", words, 3), "function");
	assert_string_equal(nearest("vnets", words, 3), "vnet");
	assert_null(nearest("zebra", words, 3));
}

static void a_group_needs_its_rules_and_takes_them_from_options(void **state)
{
	(void)state;
	assert_int_equal(parse(&noun_sg, V_ADD, "web"), -EINVAL);
	assert_int_equal(parse(&noun_sg, V_SET, "web"), -EINVAL);
	assert_int_equal(parse(&noun_sg, V_DEL, "web"), 0);
	assert_int_equal(parse(&noun_sg, V_DEL, "web --rule 1"), -EINVAL);
	assert_int_equal(parse(&noun_sg, V_ADD, "web --file /nonexistent"), -EINVAL);
	assert_int_equal(parse(&noun_sg, V_ADD, "web --file=/dev/null"), 0);
	assert_int_equal(body.n_items, 0);
	assert_int_equal(parse(&noun_sg, V_ADD, "web --rule"), -EINVAL);
	assert_int_equal(parse(&noun_tag, V_ADD, "t --prefix 10.0.0.0/8 --prefix ::/0"), 0);
	assert_int_equal(body.n_items, 2);
	assert_int_equal(parse(&noun_tag, V_ADD, "t --prefix 10.0.0.1/8"), -EINVAL);
	body_free(&body);
}

static void bindings_name_direction_and_stage(void **state)
{
	const struct ob_bus_binding *b = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_binding, V_ADD, "e1 --dir in --stage 2 --sg web"), 0);
	assert_int_equal(b->dir, OB_BUS_IN);
	assert_int_equal(b->stage, 2);
	assert_string_equal(b->sg, "web");
	assert_int_equal(parse(&noun_binding, V_ADD, "e1 --dir up --stage 2 --sg web"), -EINVAL);
	assert_int_equal(parse(&noun_binding, V_ADD, "e1 --dir in --sg web"), -EINVAL);
	assert_int_equal(parse(&noun_binding, V_DEL, "e1 --dir in --stage 2"), 0);
	assert_int_equal(parse(&noun_eni, V_SET, "e1 --default-in deny"), 0);
	assert_string_equal(shown(&noun_eni, "default_in"), "deny");
}

static void ranges_are_read_in_three_forms(void **state)
{
	const struct ob_bus_nat_pool *p = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_nat_pool, V_ADD,
			     "p --vnet out --range 198.51.100.16/28 --range 203.0.113.7 --range "
			     "203.0.113.9-203.0.113.12 --range 203.0.113.16-203.0.113.17 --range "
			     "0.0.0.0/0"),
	    0);
	assert_int_equal(p->n_ranges, 5);
	assert_int_equal(p->range[0].first[3], 16);
	assert_int_equal(p->range[0].last[3], 31);
	assert_int_equal(p->range[1].last[3], 7);
	assert_int_equal(p->range[2].last[3], 12);
	assert_string_equal(shown(&noun_nat_pool, "range"),
	    "198.51.100.16/28,203.0.113.7,203.0.113.9-203.0.113.12,203.0.113.16/31,0.0.0.0/0");
	assert_int_equal(
	    parse(&noun_nat_pool, V_ADD, "p --vnet o --range 203.0.113.9-203.0.113.8"), -EINVAL);
	assert_int_equal(
	    parse(&noun_nat_pool, V_ADD, "p --vnet o --range 203.0.113.9/28"), -EINVAL);
	assert_int_equal(parse(&noun_nat_pool, V_ADD, "p --vnet o --range 203.0.113.9-"), -EINVAL);
	assert_int_equal(parse(&noun_nat_pool, V_ADD, "p --vnet o --range 2001:db8::/64"), -EINVAL);
	assert_int_equal(parse(&noun_nat_pool, V_ADD, "p --vnet o"), -EINVAL);
	assert_int_equal(
	    parse(&noun_fip, V_ADD, "203.0.113.5 --vnet o --eni e1 --private 10.0.0.5"), 0);
	assert_int_equal(parse(&noun_fip, V_DEL, "203.0.113.5"), -EINVAL);
	assert_int_equal(parse(&noun_nat64, V_ADD, "e1 --prefix 64:ff9b::/96"), 0);
	assert_string_equal(shown(&noun_nat64, "prefix"), "64:ff9b::/96");
}

static void session_filters_and_rates(void **state)
{
	const struct ob_bus_session *r = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_session, V_LIST,
			     "--eni e1 --proto udp --src 10.0.0.0/8 --dst 192.0.2.1 --port 53 "
			     "--state udp_new --limit 5"),
	    0);
	assert_int_equal(r->proto, 17);
	assert_int_equal(r->src.prefix_len, 8);
	assert_int_equal(r->dst.prefix_len, 32);
	assert_int_equal(r->port, 53);
	assert_int_equal(r->state, OB_BUS_UDP_NEW);
	assert_int_equal(r->limit, 5);
	assert_string_equal(shown(&noun_session, "dst"), "192.0.2.1");
	assert_int_equal(parse(&noun_session, V_LIST, "--proto 132"), 0);
	assert_string_equal(shown(&noun_session, "proto"), "sctp");
	assert_int_equal(parse(&noun_session, V_LIST, "--proto 256"), -EINVAL);
	assert_int_equal(parse(&noun_session, V_LIST, "--src 10.0.0.1/8"), -EINVAL);
	assert_int_equal(parse(&noun_session, V_FLUSH, ""), -EINVAL);
	assert_int_equal(parse(&noun_session, V_FLUSH, "--eni e1"), 0);
	assert_int_equal(parse(&noun_session, V_FLUSH, "--eni e1 --port 5"), -EINVAL);
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in 2.5G --cps 20k --pps-out 1500"), 0);
	assert_true(((const struct ob_bus_meter *)(const void *)record)->rate[OB_BUS_BW_IN] ==
		    2500000000ull);
	assert_string_equal(shown(&noun_meter, "bw_in"), "2500M");
	assert_string_equal(shown(&noun_meter, "cps"), "20k");
	assert_string_equal(shown(&noun_meter, "pps_out"), "1500");
	assert_string_equal(shown(&noun_meter, "bw_out"), "-");
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in 5x"), -EINVAL);
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in -5"), -EINVAL);
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in 5MM"), -EINVAL);
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in nan"), -EINVAL);
	assert_int_equal(parse(&noun_meter, V_SET, "e1 --bw-in 9999999T"), -EINVAL);
	assert_int_equal(parse(&noun_session_policy, V_SET, "e1 --tcp-established 350"), 0);
	assert_int_equal(((const struct ob_bus_session_policy *)(const void *)record)
			     ->timeout_s[OB_BUS_TCP_ESTABLISHED],
	    350);
}

static char *streamed(unsigned n, bool json)
{
	struct ob_bus_session s = {.eni = "e1"};
	struct stream st = {.rows = {.noun = &noun_session}, .json = json};
	char *text;
	size_t len;

	st.to = open_memstream(&text, &len);
	for (unsigned i = 0; i < n; i++) {
		s.sport = (uint16_t)i;
		assert_int_equal(stream_add(&s, &st), 0);
	}
	stream_end(&st);
	assert_int_equal(st.n, n);
	fclose(st.to);
	return text;
}

static void a_long_list_is_printed_as_it_comes(void **state)
{
	static const unsigned lengths[] = {0, 1, 512, 513, 2000};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		unsigned lines = 0;
		char *text = streamed(lengths[i], false);
		struct json_object *j;

		for (const char *c = text; *c; c++)
			lines += *c == '\n';
		assert_int_equal(lines, lengths[i] + 1);
		assert_int_equal(strncmp(text, "ENI", 3), 0);
		assert_null(strstr(text, "LIMIT"));
		free(text);
		text = streamed(lengths[i], true);
		j = json_tokener_parse(text);
		assert_int_equal(json_object_array_length(j), lengths[i]);
		json_object_put(j);
		free(text);
	}
}

static int parse_trace(const char *line, struct ob_bus_trace *r)
{
	static char copy[512];
	char *argv[32];
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	return trace_parse(argc, argv, r);
}

static void a_packet_to_trace_is_parsed(void **state)
{
	static const char *const wrong[] = {"", "--from e1", "--from e1 tcp 10.0.0.1:1",
	    "tcp 10.0.0.1:1 10.0.0.2:2", "--from e1 --to e2 tcp 10.0.0.1:1 10.0.0.2:2",
	    "--from e1 tcp 10.0.0.1:1 10.0.0.2:2 more", "--from e1 what 10.0.0.1 10.0.0.2",
	    "--from e1 tcp 10.0.0.1:65536 10.0.0.2:2", "--from e1 tcp 10.0.0:1 10.0.0.2:2",
	    "--from e1 tcp [::1:2 ::1", "--from e1 tcp [] ::1", "--from e1 tcp ] ::1",
	    "--from e1 tcp 10.0.0.1: 10.0.0.2", "--from e1 tcp 10.0.0.1 10.0.0.2 --vni 0x1000000",
	    "--from e1 tcp 10.0.0.1 10.0.0.2 --ttl", "--from e1 tcp 10.0.0.1 10.0.0.2 --df maybe",
	    "--from e1 tcp 10.0.0.1 10.0.0.2 --smac 02:00", "--from e1 256 10.0.0.1 10.0.0.2",
	    "--from a-name-that-is-much-too-long-for-an-eni tcp 10.0.0.1 10.0.0.2"};
	struct ob_bus_trace r;

	(void)state;
	assert_int_equal(parse_trace("--from e1 tcp 10.0.0.5:1234 > 10.1.0.9:80", &r), 0);
	assert_string_equal(r.eni, "e1");
	assert_int_equal(r.from_wire, 0);
	assert_int_equal(r.proto, 6);
	assert_int_equal(r.src.family, 4);
	assert_int_equal(r.src.b[3], 5);
	assert_int_equal(r.sport, 1234);
	assert_int_equal(r.dst.b[3], 9);
	assert_int_equal(r.dport, 80);
	assert_int_equal(
	    parse_trace("udp [fd00::9]:53 [fd00::5]:4000 --to e2 --vni 100 --tunnel t1 "
			"--ttl 3 --len 1400 --df off --dmac 02:00:00:00:00:05",
		&r),
	    0);
	assert_int_equal(r.from_wire, 1);
	assert_int_equal(r.has_vni, 1);
	assert_int_equal(r.vni, 100);
	assert_string_equal(r.tunnel, "t1");
	assert_int_equal(r.dst.family, 6);
	assert_int_equal(r.dst.b[15], 5);
	assert_int_equal(r.dport, 4000);
	assert_int_equal(r.len, 1400);
	assert_int_equal(r.may_cut, 1);
	assert_int_equal(r.dmac[5], 5);
	assert_int_equal(parse_trace("--from e1 icmp6 fd00::5 fd00::1 --id 7", &r), 0);
	assert_int_equal(r.proto, 58);
	assert_int_equal(r.sport, 7);
	assert_int_equal(parse_trace("--from e1 47 [fd00::5] fd00::1", &r), 0);
	assert_int_equal(r.src.b[15], 5);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_trace(wrong[i], &r), -EINVAL);
}

static void volume_options_land_in_the_record(void **state)
{
	static const char *const wrong[] = {"d0", "d0 kind=floppy size=1M", "d0 kind=ram size=1X",
	    "d0 kind=ram size=-1", "d0 kind=ram size=", "d0 kind=ram size=17000P",
	    "d0 kind=ram kind=ram", "d0 kind=ram sizes=1M", "kind=ram",
	    "d0 --kind ram --state ready", "d0 --kind ram --iops x"};
	const struct ob_bus_volume *v = (const void *)record;

	(void)state;
	assert_int_equal(parse(&noun_volume, V_ADD, "d0 kind=ram size=64M --iops 5k bw=1.5G"), 0);
	assert_string_equal(v->name, "d0");
	assert_int_equal(v->kind, OB_BUS_VOL_RAM);
	assert_int_equal(v->bytes, 64 << 20);
	assert_int_equal(v->limit[OB_BUS_LIM_IOPS], 5000);
	assert_int_equal(v->limit[OB_BUS_LIM_BW], 1500000000);
	assert_string_equal(shown(&noun_volume, "size"), "64M");
	assert_string_equal(shown(&noun_volume, "key_file"), "-");
	assert_int_equal(parse(&noun_volume, V_ADD, "d0 kind=ram size=3GiB"), 0);
	assert_int_equal(v->bytes, 3ull << 30);
	assert_int_equal(parse(&noun_volume, V_ADD, "d0 kind=ram size=1000"), 0);
	assert_string_equal(shown(&noun_volume, "size"), "1000");
	assert_int_equal(parse(&noun_volume, V_ADD, "s0 kind=stripe on=a --on b --on=c"), 0);
	assert_int_equal(v->n_on, 3);
	assert_string_equal(v->on[2], "c");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse(&noun_volume, V_ADD, wrong[i]), -EINVAL);
	assert_int_equal(parse(&noun_volume, V_SET, "d0 --kind ram"), -EINVAL);
	assert_int_equal(parse(&noun_function, V_ADD, "n0 type=nvme volume=d0"), 0);
	assert_int_equal(parse(&noun_namespace, V_ADD, "n0 volume=d0 nsid=7"), 0);
	assert_int_equal(parse(&noun_namespace, V_ADD, "n0"), -EINVAL);
}

static void a_key_is_the_whole_of_a_file(void **state)
{
	static const uint8_t lengths[] = {0, 31, 32, 33, 63, 64, 65};
	const struct ob_bus_volume *v = (const void *)record;
	char path[] = "/tmp/ob-cli-key-XXXXXX", line[128], bytes[70];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	memset(bytes, '\n', sizeof(bytes));
	snprintf(line, sizeof(line), "c0 kind=crypt on=d0 key-file=%s", path);
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		unsigned len = lengths[i];
		bool right = len == 32 || len == 64;

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, bytes, len, 0), len);
		assert_int_equal(parse(&noun_volume, V_ADD, line), right ? 0 : -EINVAL);
		assert_int_equal(v->key.use, right ? OB_BUS_KEY_GIVEN : OB_BUS_KEY_NONE);
		assert_int_equal(v->key.len, right ? len : 0);
	}
	close(fd);
	unlink(path);
	assert_int_equal(parse(&noun_volume, V_ADD, line), -EINVAL);
}

static const struct form *form(const struct form *f, const char *word)
{
	while (f->noun != NULL && strcmp(f->noun->word, word) != 0)
		f++;
	assert_non_null(f->noun);
	return f;
}

static void words_of_a_volume_need_what_they_are_about(void **state)
{
	const struct form *resize = form(volume_forms, "resize"),
			  *snapshot = form(volume_forms, "snapshot"),
			  *rekey = form(volume_forms, "rekey"),
			  *stats = form(volume_forms, "stats");
	struct ob_bus_volume *v = (void *)record;

	(void)state;
	assert_int_equal(parse(resize->noun, resize->verb, "d0 size=2G"), 0);
	assert_int_equal(v->bytes, 2ull << 30);
	assert_int_equal(parse(resize->noun, resize->verb, "d0"), -EINVAL);
	assert_int_equal(parse(resize->noun, resize->verb, "d0 size=2G iops=5"), -EINVAL);
	assert_int_equal(parse(rekey->noun, rekey->verb, "d0"), -EINVAL);
	assert_int_equal(parse(snapshot->noun, snapshot->verb, "d0"), -EINVAL);
	assert_int_equal(parse(snapshot->noun, snapshot->verb, "d0 s1"), 0);
	assert_int_equal(snapshot->noun->complete(record), 0);
	assert_string_equal(v->name, "s1");
	assert_string_equal(v->on[0], "d0");
	assert_int_equal(v->n_on, 1);
	assert_int_equal(v->kind, OB_BUS_VOL_SNAPSHOT);
	assert_int_equal(parse(stats->noun, stats->verb, ""), 0);
	assert_int_equal(parse(stats->noun, stats->verb, "d0"), 0);
	assert_int_equal(parse(stats->noun, stats->verb, "d0 d1"), -EINVAL);
	assert_non_null(form(function_forms, "queues"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_noun_is_sound),
	    cmocka_unit_test(eni_options_land_in_the_record),
	    cmocka_unit_test(route_target_and_prefix),
	    cmocka_unit_test(route_to_next_hops),
	    cmocka_unit_test(geneve_options_are_parsed_and_shown),
	    cmocka_unit_test(misuse_is_refused),
	    cmocka_unit_test(a_packet_to_trace_is_parsed),
	    cmocka_unit_test(table_aligns_and_json_parses),
	    cmocka_unit_test(rates_are_growth_per_second_of_the_same_object),
	    cmocka_unit_test(a_group_needs_its_rules_and_takes_them_from_options),
	    cmocka_unit_test(bindings_name_direction_and_stage),
	    cmocka_unit_test(ranges_are_read_in_three_forms),
	    cmocka_unit_test(session_filters_and_rates),
	    cmocka_unit_test(a_long_list_is_printed_as_it_comes),
	    cmocka_unit_test(volume_options_land_in_the_record),
	    cmocka_unit_test(a_key_is_the_whole_of_a_file),
	    cmocka_unit_test(words_of_a_volume_need_what_they_are_about),
	    cmocka_unit_test(nearest_word_is_offered_only_when_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
