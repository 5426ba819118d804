/* SPDX-License-Identifier: BSD-3-Clause */
#include "page.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage.h"

static const struct metric card_metrics[] = {
    {"card_uptime_seconds", "Time since the card's firmware started.", GAUGE, NS_AS_SECONDS,
	AT(ob_bus_card, uptime_ns), NULL, NULL},
    {"card_workers", "Worker cores.", GAUGE, NUMBER, AT(ob_bus_card, n_workers), NULL, NULL},
    {"card_functions", "Functions that the card offers.", GAUGE, NUMBER,
	AT(ob_bus_card, n_functions), NULL, NULL},
    {"card_enis", "Elastic network interfaces.", GAUGE, NUMBER, AT(ob_bus_card, n_enis), NULL,
	NULL},
    {"card_vnets", "Virtual networks.", GAUGE, NUMBER, AT(ob_bus_card, n_vnets), NULL, NULL},
    {"card_routes", "Routes in all virtual networks.", GAUGE, NUMBER, AT(ob_bus_card, n_routes),
	NULL, NULL},
    {"card_mappings", "Customer addresses that are mapped to a tunnel.", GAUGE, NUMBER,
	AT(ob_bus_card, n_mappings), NULL, NULL},
    {"card_tunnels", "Tunnels to other cards.", GAUGE, NUMBER, AT(ob_bus_card, n_tunnels), NULL,
	NULL},
    {"card_arena_bytes", "Size of the memory that survives a restart.", GAUGE, NUMBER,
	AT(ob_bus_card, arena_bytes), NULL, NULL},
};

static const struct metric function_metrics[] = {
    {"function_state", "What the function's host does with it.", GAUGE, STATE_SET,
	AT(ob_bus_function, state), NULL, NULL},
    {"function_packets", "Packets of the function, direction as its guest sees it.", COUNTER,
	NUMBER, AT(ob_bus_function, rx_pkts), "direction", "rx"},
    {"function_packets", "", COUNTER, NUMBER, AT(ob_bus_function, tx_pkts), "direction", "tx"},
    {"function_bytes", "Bytes of the function, direction as its guest sees it.", COUNTER, NUMBER,
	AT(ob_bus_function, rx_bytes), "direction", "rx"},
    {"function_bytes", "", COUNTER, NUMBER, AT(ob_bus_function, tx_bytes), "direction", "tx"},
    {"function_faults",
	"Accesses outside mapped memory, broken rings, protocol errors of the host.", COUNTER,
	NUMBER, AT(ob_bus_function, faults), NULL, NULL},
    {"function_connections", "Times that a host connected.", COUNTER, NUMBER,
	AT(ob_bus_function, n_connections), NULL, NULL},
    {"function_mapped_bytes", "Guest memory that the function may reach.", GAUGE, NUMBER,
	AT(ob_bus_function, mapped_bytes), NULL, NULL},
};

static const struct metric queue_metrics[] = {
    {"queue_packets", "Packets of the virtqueue.", COUNTER, NUMBER, AT(ob_bus_queue, n_pkts), NULL,
	NULL},
    {"queue_bytes", "Bytes of the virtqueue.", COUNTER, NUMBER, AT(ob_bus_queue, n_bytes), NULL,
	NULL},
    {"queue_bursts", "Bursts in which the packets were moved.", COUNTER, NUMBER,
	AT(ob_bus_queue, n_bursts), NULL, NULL},
    {"queue_interrupts", "Interrupts sent to the guest.", COUNTER, NUMBER, AT(ob_bus_queue, n_irqs),
	NULL, NULL},
    {"queue_kicks", "Doorbells rung by the guest.", COUNTER, NUMBER, AT(ob_bus_queue, n_kicks),
	NULL, NULL},
    {"queue_gso_packets", "Segmentation super-packets.", COUNTER, NUMBER, AT(ob_bus_queue, n_gso),
	NULL, NULL},
    {"queue_full", "Packets dropped because the ring had no buffer.", COUNTER, NUMBER,
	AT(ob_bus_queue, n_full), NULL, NULL},
    {"queue_errors", "Packets dropped because of the guest's descriptors or headers.", COUNTER,
	NUMBER, AT(ob_bus_queue, n_errors), NULL, NULL},
};

static const struct metric drop_metrics[] = {
    {"dropped_packets", "Dropped packets by function and reason.", COUNTER, NUMBER,
	AT(ob_bus_drop, n_pkts), NULL, NULL},
};

static const struct metric tunnel_metrics[] = {
    {"tunnel_packets", "Packets through the tunnel.", COUNTER, NUMBER, AT(ob_bus_tunnel, tx_pkts),
	"direction", "tx"},
    {"tunnel_packets", "", COUNTER, NUMBER, AT(ob_bus_tunnel, rx_pkts), "direction", "rx"},
    {"tunnel_bytes", "Bytes through the tunnel.", COUNTER, NUMBER, AT(ob_bus_tunnel, tx_bytes),
	"direction", "tx"},
    {"tunnel_bytes", "", COUNTER, NUMBER, AT(ob_bus_tunnel, rx_bytes), "direction", "rx"},
    {"tunnel_resolved", "1 if the underlay has a way to the tunnel's end.", GAUGE, NUMBER,
	AT(ob_bus_tunnel, nexthop_ok), NULL, NULL},
    {"tunnel_inner_mtu_bytes", "Largest inner packet that fits; 0 unknown.", GAUGE, NUMBER,
	AT(ob_bus_tunnel, inner_mtu), NULL, NULL},
};

static const struct metric uplink_metrics[] = {
    {"uplink_up", "1 if the port has a link.", GAUGE, NUMBER, AT(ob_bus_uplink, link_up), NULL,
	NULL},
    {"uplink_speed_bytes_per_second", "Link speed.", GAUGE, MBPS_AS_BYTES,
	AT(ob_bus_uplink, speed_mbps), NULL, NULL},
    {"uplink_packets", "Packets of the port.", COUNTER, NUMBER, AT(ob_bus_uplink, rx_pkts),
	"direction", "rx"},
    {"uplink_packets", "", COUNTER, NUMBER, AT(ob_bus_uplink, tx_pkts), "direction", "tx"},
    {"uplink_bytes", "Bytes of the port.", COUNTER, NUMBER, AT(ob_bus_uplink, rx_bytes),
	"direction", "rx"},
    {"uplink_bytes", "", COUNTER, NUMBER, AT(ob_bus_uplink, tx_bytes), "direction", "tx"},
    {"uplink_errors", "Errors that the port counted.", COUNTER, NUMBER,
	AT(ob_bus_uplink, rx_errors), "direction", "rx"},
    {"uplink_errors", "", COUNTER, NUMBER, AT(ob_bus_uplink, tx_errors), "direction", "tx"},
    {"uplink_missed", "Packets that the port had no room for.", COUNTER, NUMBER,
	AT(ob_bus_uplink, rx_missed), NULL, NULL},
    {"uplink_kernel_packets", "Packets exchanged with the card's kernel.", COUNTER, NUMBER,
	AT(ob_bus_uplink, punted), "direction", "to"},
    {"uplink_kernel_packets", "", COUNTER, NUMBER, AT(ob_bus_uplink, injected), "direction",
	"from"},
};

static const struct metric worker_metrics[] = {
    {"worker_busy_seconds", "Time in rounds that carried packets, estimated from 1 round in 64.",
	COUNTER, NS_AS_SECONDS, AT(ob_bus_worker, busy_ns), NULL, NULL},
    {"worker_rounds", "Rounds of the loop.", COUNTER, NUMBER, AT(ob_bus_worker, n_rounds), NULL,
	NULL},
    {"worker_busy_rounds", "Rounds that carried packets.", COUNTER, NUMBER,
	AT(ob_bus_worker, n_busy_rounds), NULL, NULL},
    {"worker_sleeps", "Times that the worker went to sleep.", COUNTER, NUMBER,
	AT(ob_bus_worker, n_sleeps), NULL, NULL},
    {"worker_handoff_packets", "Packets exchanged with other workers.", COUNTER, NUMBER,
	AT(ob_bus_worker, n_handoff_in), "direction", "in"},
    {"worker_handoff_packets", "", COUNTER, NUMBER, AT(ob_bus_worker, n_handoff_out), "direction",
	"out"},
};

static const struct metric nat_pool_metrics[] = {
    {"nat_pool_addresses", "Public addresses of the pool.", GAUGE, NUMBER,
	AT(ob_bus_nat_pool, n_addrs), NULL, NULL},
    {"nat_pool_enis", "ENIs that the pool translates.", GAUGE, NUMBER, AT(ob_bus_nat_pool, n_enis),
	NULL, NULL},
    {"nat_pool_blocks", "Port blocks of the pool.", GAUGE, NUMBER, AT(ob_bus_nat_pool, n_blocks),
	NULL, NULL},
    {"nat_pool_blocks_used", "Port blocks that connections use.", GAUGE, NUMBER,
	AT(ob_bus_nat_pool, n_blocks_used), NULL, NULL},
    {"nat_pool_asked", "Connections that asked for a port.", COUNTER, NUMBER,
	AT(ob_bus_nat_pool, n_asked), NULL, NULL},
    {"nat_pool_tries", "Ports that were tried for them.", COUNTER, NUMBER,
	AT(ob_bus_nat_pool, n_tries), NULL, NULL},
    {"nat_pool_refused", "Connections that got no port, by reason.", COUNTER, NUMBER,
	AT(ob_bus_nat_pool, n_full), "reason", "full"},
    {"nat_pool_refused", "", COUNTER, NUMBER, AT(ob_bus_nat_pool, n_limit), "reason", "limit"},
    {"nat_pool_refused", "", COUNTER, NUMBER, AT(ob_bus_nat_pool, n_untranslatable), "reason",
	"untranslatable"},
};

/* 'exceeded' of one kind. */
#define EXCEEDED(kind) \
	offsetof(struct ob_bus_meter, exceeded) + (kind) * sizeof(uint64_t), sizeof(uint64_t)

static const struct metric meter_metrics[] = {
    {"eni_allowance_exceeded",
	"Packets, or connections, that were refused because an allowance of the ENI was used up.",
	COUNTER, NUMBER, EXCEEDED(OB_BUS_BW_IN), "allowance", "bw_in"},
    {"eni_allowance_exceeded", "", COUNTER, NUMBER, EXCEEDED(OB_BUS_BW_OUT), "allowance", "bw_out"},
    {"eni_allowance_exceeded", "", COUNTER, NUMBER, EXCEEDED(OB_BUS_PPS_IN), "allowance", "pps_in"},
    {"eni_allowance_exceeded", "", COUNTER, NUMBER, EXCEEDED(OB_BUS_PPS_OUT), "allowance",
	"pps_out"},
    {"eni_allowance_exceeded", "", COUNTER, NUMBER, EXCEEDED(OB_BUS_CPS), "allowance", "cps"},
    {"eni_allowance_exceeded", "", COUNTER, NUMBER, EXCEEDED(OB_BUS_CONNECTIONS), "allowance",
	"connections"},
    /* The same under names that alerting rules for clouds know. */
    {"bw_in_allowance_exceeded", "Packets to the guest over its bandwidth.", COUNTER, NUMBER,
	EXCEEDED(OB_BUS_BW_IN), NULL, NULL},
    {"bw_out_allowance_exceeded", "Packets from the guest over its bandwidth.", COUNTER, NUMBER,
	EXCEEDED(OB_BUS_BW_OUT), NULL, NULL},
    {"pps_allowance_exceeded", "Packets either way over the packet rate.", COUNTER, PAIR,
	EXCEEDED(OB_BUS_PPS_OUT), NULL, NULL},
    {"conntrack_allowance_exceeded", "Connections over the allowed number.", COUNTER, NUMBER,
	EXCEEDED(OB_BUS_CONNECTIONS), NULL, NULL},
};
static_assert(OB_BUS_PPS_IN == OB_BUS_PPS_OUT + 1, "a pair");

static const struct metric eni_session_metrics[] = {
    {"eni_sessions", "Live connections of the ENI.", GAUGE, NUMBER, AT(ob_bus_session_eni, live),
	NULL, NULL},
    {"eni_sessions_highest", "Most live connections that the ENI had.", GAUGE, NUMBER,
	AT(ob_bus_session_eni, live_max), NULL, NULL},
    {"eni_half_open_sessions", "Connections that are not answered yet.", GAUGE, NUMBER,
	AT(ob_bus_session_eni, half_open), NULL, NULL},
    {"eni_half_open_sessions_highest", "Most of them.", GAUGE, NUMBER,
	AT(ob_bus_session_eni, half_open_max), NULL, NULL},
    {"eni_sessions_refused", "Connections of the ENI that were refused, by reason.", COUNTER,
	NUMBER, AT(ob_bus_session_eni, n_refused_limit), "reason", "limit"},
    {"eni_sessions_refused", "", COUNTER, NUMBER, AT(ob_bus_session_eni, n_refused_half_open),
	"reason", "half_open"},
    {"eni_denied_packets", "Packets that security groups of the ENI denied.", COUNTER, NUMBER,
	AT(ob_bus_session_eni, n_denied_in), "direction", "in"},
    {"eni_denied_packets", "", COUNTER, NUMBER, AT(ob_bus_session_eni, n_denied_out), "direction",
	"out"},
    {"conntrack_allowance_available", "Connections that the ENI may still open, if it has a limit.",
	GAUGE, IF_ANY, AT(ob_bus_session_eni, available), NULL, NULL},
};

static const struct metric session_metrics[] = {
    {"sessions", "Live connections in the worker's table.", GAUGE, NUMBER,
	AT(ob_bus_session_table, n_live4), "family", "ip4"},
    {"sessions", "", GAUGE, NUMBER, AT(ob_bus_session_table, n_live6), "family", "ip6"},
    {"sessions_highest", "Most live connections in the worker's table.", GAUGE, NUMBER,
	AT(ob_bus_session_table, n_live4_max), "family", "ip4"},
    {"sessions_highest", "", GAUGE, NUMBER, AT(ob_bus_session_table, n_live6_max), "family", "ip6"},
    {"sessions_added", "Connections that were opened.", COUNTER, NUMBER,
	AT(ob_bus_session_table, n_added), NULL, NULL},
    {"sessions_deleted", "Connections that ended, whyever.", COUNTER, NUMBER,
	AT(ob_bus_session_table, n_deleted), NULL, NULL},
    {"sessions_expired", "Of these, by time-out.", COUNTER, NUMBER,
	AT(ob_bus_session_table, n_expired), NULL, NULL},
    {"sessions_flushed", "Of these, by an operator.", COUNTER, NUMBER,
	AT(ob_bus_session_table, n_flushed), NULL, NULL},
    {"sessions_refused", "Connections that were refused, by reason.", COUNTER, NUMBER,
	AT(ob_bus_session_table, n_refused_full), "reason", "full"},
    {"sessions_refused", "", COUNTER, NUMBER, AT(ob_bus_session_table, n_refused_limit), "reason",
	"limit"},
    {"sessions_refused", "", COUNTER, NUMBER, AT(ob_bus_session_table, n_refused_half_open),
	"reason", "half_open"},
    {"sessions_refused", "", COUNTER, NUMBER, AT(ob_bus_session_table, n_refused_proto), "reason",
	"protocol"},
    {"sessions_memory_bytes", "Memory that the table's connections occupy.", GAUGE, NUMBER,
	AT(ob_bus_session_table, memory_bytes), NULL, NULL},
    {"fragmented_datagrams", "Datagrams in fragments that are under way.", GAUGE, NUMBER,
	AT(ob_bus_session_table, n_frag_live), NULL, NULL},
};

static const struct source sources[] = {
    {OB_BUS_CARD, sizeof(struct ob_bus_card), {{0}}, card_metrics, COUNT(card_metrics)},
    {OB_BUS_FUNCTION, sizeof(struct ob_bus_function), {LABEL(ob_bus_function, name, "function")},
	function_metrics, COUNT(function_metrics)},
    {OB_BUS_QUEUE, sizeof(struct ob_bus_queue),
	{LABEL(ob_bus_queue, function, "function"), {.name = "queue",
							.off = offsetof(struct ob_bus_queue, queue),
							.size = 2,
							.number = true}},
	queue_metrics, COUNT(queue_metrics)},
    {OB_BUS_DROP, sizeof(struct ob_bus_drop),
	{LABEL(ob_bus_drop, function, "function"), LABEL(ob_bus_drop, reason, "reason"),
	    LABEL(ob_bus_drop, eni, "eni")},
	drop_metrics, COUNT(drop_metrics)},
    {OB_BUS_TUNNEL, sizeof(struct ob_bus_tunnel), {LABEL(ob_bus_tunnel, name, "tunnel")},
	tunnel_metrics, COUNT(tunnel_metrics)},
    {OB_BUS_UPLINK, sizeof(struct ob_bus_uplink), {LABEL(ob_bus_uplink, devargs, "device")},
	uplink_metrics, COUNT(uplink_metrics)},
    {OB_BUS_WORKER, sizeof(struct ob_bus_worker),
	{{.name = "worker", .off = 0, .size = 4, .number = true}}, worker_metrics,
	COUNT(worker_metrics)},
    {OB_BUS_SESSION_TABLE, sizeof(struct ob_bus_session_table),
	{{.name = "worker", .off = 0, .size = 4, .number = true}}, session_metrics,
	COUNT(session_metrics)},
    {OB_BUS_SESSION_ENI, sizeof(struct ob_bus_session_eni), {LABEL(ob_bus_session_eni, eni, "eni")},
	eni_session_metrics, COUNT(eni_session_metrics)},
    {OB_BUS_METER, sizeof(struct ob_bus_meter), {LABEL(ob_bus_meter, eni, "eni")}, meter_metrics,
	COUNT(meter_metrics)},
    {OB_BUS_NAT_POOL, sizeof(struct ob_bus_nat_pool), {LABEL(ob_bus_nat_pool, name, "pool")},
	nat_pool_metrics, COUNT(nat_pool_metrics)},
};

static const char *const states[] = {"waiting", "connected", "running", "broken"};

static void put(struct page *p, const char *text, size_t len)
{
	if (p->error)
		return;
	if (p->len + len + 1 > p->cap) {
		size_t cap = (p->len + len + 1) * 2;
		char *t = realloc(p->text, cap);

		if (t == NULL) {
			p->error = -ENOMEM;
			return;
		}
		p->text = t;
		p->cap = cap;
	}
	memcpy(p->text + p->len, text, len);
	p->len += len;
	p->text[p->len] = 0;
}

void put_str(struct page *p, const char *text)
{
	put(p, text, strlen(text));
}

/* A label value, escaped as OpenMetrics wants it. The card's strings are not trusted to be text. */
static void put_label(struct page *p, const char *name, const char *value, size_t max)
{
	put_str(p, name);
	put_str(p, "=\"");
	for (size_t i = 0; i < max && value[i]; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c == '"' || c == '\\') {
			put_str(p, "\\");
			put(p, &value[i], 1);
		} else if (c == '\n') {
			put_str(p, "\\n");
		} else if (c >= 0x20 && c < 0x7f) {
			put(p, &value[i], 1);
		} else {
			put_str(p, "?");
		}
	}
	put_str(p, "\"");
}

static uint64_t load(const uint8_t *from, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, from, size);
	return v;
}

void put_labels(struct page *p, const struct source *s, const struct metric *m, const uint8_t *rec,
    const char *name, const char *value)
{
	unsigned n = 0;
	char number[24];

	for (unsigned i = 0; i < COUNT(s->labels) && s->labels[i].name; i++) {
		const struct label *l = &s->labels[i];

		if (!l->number && rec[l->off] == 0)
			continue;
		put_str(p, n++ ? "," : "{");
		if (l->number) {
			snprintf(number, sizeof(number), "%" PRIu64, load(rec + l->off, l->size));
			put_label(p, l->name, number, sizeof(number));
		} else {
			put_label(p, l->name, (const char *)rec + l->off, l->size);
		}
	}
	if (m->label) {
		put_str(p, n++ ? "," : "{");
		put_label(p, m->label, m->value, 32);
	}
	if (name) {
		put_str(p, n++ ? "," : "{");
		put_label(p, name, value, 32);
	}
	if (n)
		put_str(p, "}");
}

static void put_sample(struct page *p, const struct source *s, const struct metric *m,
    const uint8_t *rec, const char *state, const char *value)
{
	put_str(p, "outboard_");
	put_str(p, m->name);
	if (m->type == COUNTER)
		put_str(p, "_total");
	put_labels(p, s, m, rec, state ? "state" : NULL, state);
	put_str(p, " ");
	put_str(p, value);
	put_str(p, "\n");
}

static void put_value(
    struct page *p, const struct source *s, const struct metric *m, const uint8_t *rec)
{
	uint64_t v = load(rec + m->off, m->size);
	char value[48];

	switch (m->unit) {
	case STATE_SET:
		for (unsigned i = 0; i < COUNT(states); i++)
			put_sample(p, s, m, rec, states[i], v == i ? "1" : "0");
		return;
	case NS_AS_SECONDS:
		snprintf(value, sizeof(value), "%" PRIu64 ".%09u", v / 1000000000,
		    (unsigned)(v % 1000000000));
		break;
	case PAIR:
		v += load(rec + m->off + m->size, m->size);
		snprintf(value, sizeof(value), "%" PRIu64, v);
		break;
	case IF_ANY:
		if (v == UINT32_MAX)
			return;
		snprintf(value, sizeof(value), "%" PRIu64, v);
		break;
	case IS_READY:
		snprintf(value, sizeof(value), "%d", v != OB_BUS_VOL_OFFLINE);
		break;
	case MBPS_AS_BYTES:
		snprintf(value, sizeof(value), "%" PRIu64, v * 125000);
		break;
	default:
		snprintf(value, sizeof(value), "%" PRIu64, v);
		break;
	}
	put_sample(p, s, m, rec, NULL, value);
}

static int collect(const void *record, void *ctx)
{
	struct records *r = ctx;

	if (r->n == r->cap) {
		unsigned cap = r->cap ? 2 * r->cap : 64;
		void *b = realloc(r->bytes, cap * r->src->record_len);

		if (b == NULL)
			return -ENOMEM;
		r->bytes = b;
		r->cap = cap;
	}
	memcpy(r->bytes + r->n++ * r->src->record_len, record, r->src->record_len);
	return 0;
}

/* A family's samples stand together, under one TYPE and HELP, as OpenMetrics demands. */
static void put_source(struct page *p, const struct source *s, const struct records *r)
{
	for (unsigned k = 0; k < s->n_metrics; k++) {
		const struct metric *m = &s->metrics[k];

		if (k == 0 || strcmp(s->metrics[k - 1].name, m->name) != 0) {
			put_str(p, "# TYPE outboard_");
			put_str(p, m->name);
			put_str(p, m->type == COUNTER ? " counter\n# HELP outboard_"
						      : " gauge\n# HELP outboard_");
			put_str(p, m->name);
			put_str(p, " ");
			put_str(p, m->help);
			put_str(p, "\n");
		}
		for (unsigned i = 0; i < r->n; i++)
			put_value(p, s, m, r->bytes + i * s->record_len);
	}
}

static int take_version(const void *record, void *ctx)
{
	memcpy(ctx, record, sizeof(struct ob_bus_card));
	return 0;
}

static int put_build_info(struct page *p, struct ob_client *c)
{
	struct ob_bus_card card = {0};
	int ret = ob_client_list(c, OB_BUS_CARD, NULL, sizeof(card), take_version, &card);

	if (ret < 0)
		return ret;
	put_str(p, "# TYPE outboard_build info\n# HELP outboard_build Version and serial number of "
		   "the card.\noutboard_build_info{");
	put_label(p, "version", card.version, sizeof(card.version));
	put_str(p, ",");
	put_label(p, "serial", card.serial, sizeof(card.serial));
	put_str(p, "} 1\n");
	return 0;
}

static int put_noun(struct page *p, struct ob_client *c, const struct source *s)
{
	struct records r = {.src = s};
	int ret = ob_client_list(c, s->noun, NULL, s->record_len, collect, &r);

	if (ret == 0) {
		put_source(p, s, &r);
		put_latencies(p, s, &r);
	}
	free(r.bytes);
	return ret;
}

int ob_telemetry_page(struct ob_client *c, char **page)
{
	struct page p = {0};
	int ret = put_build_info(&p, c);

	for (unsigned i = 0; i < COUNT(sources) && ret == 0; i++)
		ret = put_noun(&p, c, &sources[i]);
	for (unsigned i = 0; i < n_storage_sources && ret == 0; i++)
		ret = put_noun(&p, c, &storage_sources[i]);
	put_str(&p, "# EOF\n");
	if (ret == 0)
		ret = p.error;
	if (ret < 0) {
		free(p.text);
		return ret;
	}
	*page = p.text;
	return 0;
}
