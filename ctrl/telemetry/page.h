/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside ctrl/telemetry: a noun of the card bus is a table of metrics. */
#pragma once

#include "ob_telemetry.h"

#include <stdbool.h>

enum type {
	COUNTER,
	GAUGE,
};

enum unit {
	NUMBER,
	NS_AS_SECONDS,
	MBPS_AS_BYTES, /* gauge in bytes a second */
	STATE_SET,     /* u8; one sample per state */
	PAIR,	       /* u64 here and right behind: their sum */
	IF_ANY,	       /* u32; no sample at UINT32_MAX */
	IS_READY,      /* u8: 1 unless it is OB_BUS_VOL_OFFLINE */
};

struct metric {
	const char *name; /* of the family, without prefix and without _total */
	const char *help;
	enum type type;
	enum unit unit;
	uint16_t off, size;
	const char *label, *value; /* a constant label, or NULL */
};

struct label {
	const char *name;
	uint16_t off, size;
	bool number;
};

/* One noun: its labels, and its metrics. Metrics of one family must stand side by side. */
struct source {
	unsigned noun;
	size_t record_len;
	struct label labels[3];
	const struct metric *metrics;
	unsigned n_metrics;
};

struct page {
	char *text;
	size_t len, cap;
	int error;
};

struct records {
	const struct source *src;
	uint8_t *bytes;
	unsigned n, cap;
};

#define AT(rec, member) offsetof(struct rec, member), sizeof(((struct rec *)0)->member)
#define LABEL(rec, member, n)                                   \
	{                                                       \
		.name = n, .off = offsetof(struct rec, member), \
		.size = sizeof(((struct rec *)0)->member)       \
	}
#define COUNT(s) (sizeof(s) / sizeof((s)[0]))

void put_str(struct page *p, const char *text);
/* The labels of record 'rec' and of the metric 'm', in braces; 'name' (or NULL) is another one, with value 'value'. */
void put_labels(struct page *p, const struct source *s, const struct metric *m, const uint8_t *rec,
    const char *name, const char *value);
