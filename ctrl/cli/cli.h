/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside ctrl/cli: a noun is a table of fields, and everything else (options, help, tables, JSON) follows from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "body.h"
#include "ob_client.h"

enum kind {
	K_STR,	/* char[size] */
	K_UINT, /* size 1, 2, 4, 8 */
	K_INT,
	K_HEX,
	K_MAC,
	K_IP,	    /* struct ob_bus_ip: one host */
	K_IFADDR,   /* address with the prefix of its link */
	K_PREFIX,   /* network: host bits must be zero */
	K_CHOICE,   /* u8 by name */
	K_NS,	    /* u64 nanoseconds, shown as a duration */
	K_STATUS,   /* virtio device status bits */
	K_FLAGS,    /* u16, names by choice.value = bit */
	K_OPT,	    /* struct ob_bus_geneve_opt: CLASS:TYPE:HEX */
	K_MATCH,    /* struct ob_bus_ip: given as a network, shown as an address */
	K_PROTO,    /* u8, a choice or a number */
	K_RATE,	    /* u64 with k, M, G, T; 0 is none */
	K_RANGE,    /* struct ob_bus_range: ADDR, ADDR-ADDR, ADDR/LEN */
	K_ROUTE_TO, /* struct ob_bus_route: action and to_vnet */
	K_SIZE,	    /* u64 bytes with K, M, G, T, P: powers of 1024 */
	K_KEY,	    /* struct ob_bus_key: read from a file */
	K_UUID,	    /* u8[16] */
	K_USEC,	    /* u64 nanoseconds, shown as microseconds */
};

enum field_flags {
	F_KEY = 1 << 0,	     /* selects the object: given to every verb but list */
	F_POS = 1 << 1,	     /* positional, not --name */
	F_ADD = 1 << 2,	     /* option of add */
	F_REQUIRED = 1 << 3, /* add without it is refused */
	F_SET = 1 << 4,	     /* option of set */
	F_FILTER = 1 << 5,   /* option of list */
	F_COUNTER = 1 << 6,  /* --interval shows its rate */
	F_CARD = 1 << 7,     /* filter that only the card can apply */
	F_HIDE = 1 << 8,     /* an option only, not part of what is shown */
};

struct choice {
	const char *name; /* NULL ends */
	unsigned value;
};

struct field {
	const char *name; /* JSON key; option is the same with '-' for '_' */
	const char *head; /* table column; NULL: only in 'show' and JSON */
	enum kind kind;
	unsigned flags;
	uint16_t off;
	uint16_t size;	    /* of one element */
	uint16_t max;	    /* a list of up to max elements; 0: a single value */
	uint16_t count_off; /* lists: u8 number of elements */
	const struct choice *choices;
	const char *arg; /* in help: --mac MAC */
	const char *help;
};

#define FIELD(rec, member) \
	.off = offsetof(struct rec, member), .size = sizeof(((struct rec *)0)->member)
#define LIST_OF(rec, member, n)                                                            \
	.off = offsetof(struct rec, member), .size = sizeof(((struct rec *)0)->member[0]), \
	.max = sizeof(((struct rec *)0)->member) / sizeof(((struct rec *)0)->member[0]),   \
	.count_off = offsetof(struct rec, n)

enum verb {
	V_ADD = 1 << 0,
	V_SET = 1 << 1,
	V_DEL = 1 << 2,
	V_LIST = 1 << 3,
	V_SHOW = 1 << 4,  /* of a noun without a key: the same as list */
	V_FLUSH = 1 << 5, /* OB_BUS_DEL of what belongs to the key */
	V_LAST = V_FLUSH,
};

#define MAX_RECORD 4096

/* A word of a noun that is a verb with a table of its own: 'volume resize' is a 'set' of one field. */
struct form {
	const struct noun *noun; /* its 'word' is the word; NULL ends */
	enum verb verb;
};

struct noun {
	const char *name;
	const char *alias; /* or NULL */
	unsigned bus;	   /* enum ob_bus_noun */
	size_t record_len;
	unsigned verbs;	      /* enum verb */
	bool vertical;	      /* one object: shown as name: value */
	const char *help;     /* one line */
	const char *about;    /* paragraph for 'noun --help' */
	const char *examples; /* lines */
	const char *none;     /* said when there is none; NULL: a general text */
	const struct field *fields;
	unsigned n_fields;
	/* Fills in what follows from the rest, checks what one field cannot know. Returns 0, or -EINVAL after a message. May be NULL. */
	int (*complete)(void *record);
	/* What it holds beside its record, which then begins with a struct ob_bus_listed; NULL: nothing. */
	const struct body_format *body;
	bool stream;			     /* a list may be long: printed as it comes */
	void (*list_defaults)(void *record); /* filter of a list without options; may be NULL */
	const struct noun *show;	     /* what 'show' is about, if not this; else NULL */
	/* What 'add' and 'del' are called where they are something else to people; NULL: that. */
	const char *add_word, *del_word;
	const struct form *forms; /* or NULL */
	const char *word;	  /* of a form: what its verb is called */
	/* 'add' where it is more than one request. Returns 0, 1 nothing is to be said, or -errno with a text for people. NULL: one request. */
	int (*add)(struct ob_client *c, void *record, const char **err);
};

extern const struct noun noun_card, noun_function, noun_vnet, noun_eni, noun_route, noun_mapping,
    noun_tunnel, noun_uplink, noun_counters, noun_drops, noun_worker, noun_sg, noun_tag,
    noun_binding, noun_nat_pool, noun_nat_bind, noun_fip, noun_nat64, noun_session,
    noun_session_eni, noun_session_policy, noun_session_table, noun_meter, noun_capture, noun_trace,
    noun_volume, noun_namespace;
extern const struct form volume_forms[], function_forms[];
extern const struct choice ip_protocols[];
extern const struct noun *const nouns[];
extern const unsigned n_nouns;

/* ---- value.c: text <-> value */

/* Parses 'text' into the element at 'to'. Returns 0, or -EINVAL with what is wrong in 'err'. */
int value_parse(const struct field *f, const char *text, void *to, char *err, size_t err_len);
/* Writes the element at 'from' as text; "-" for none. */
void value_text(const struct field *f, const void *from, char *out, size_t len);
struct json_object *value_json(const struct field *f, const void *from);
unsigned field_count(
    const struct field *f, const void *record); /* elements; 1 for a single value */
const void *field_elem(const struct field *f, const void *record, unsigned i);
void field_text(
    const struct field *f, const void *record, char *out, size_t len); /* lists joined by commas */
uint64_t field_uint(const struct field *f, const void *record);

/* ---- args.c */

/* Applies the options and positional words of a verb to 'record'; marks in 'given' (one per field) what was set. What the noun holds
 * goes to 'body'. Returns 0, or -EINVAL after a message on stderr. */
int args_parse(const struct noun *n, enum verb verb, int argc, char **argv, void *record,
    bool *given, struct body *body);
bool field_takes_part(const struct field *f, enum verb verb);
void option_name(const struct field *f, char *out, size_t len);

/* ---- output.c: tables and JSON */

struct rows {
	const struct noun *noun;
	uint8_t *records;
	unsigned n, cap;
};
int rows_add(const void *record, void *rows); /* an ob_client_record_fn */
void rows_free(struct rows *rows);
void rows_print_table(const struct rows *rows, FILE *to);
/* A list printed in portions: columns are as wide as the widest so far. */
struct stream {
	struct rows rows;
	FILE *to;
	bool json, begun;
	unsigned long n; /* printed */
	int width[64];
};
int stream_add(const void *record, void *stream); /* an ob_client_record_fn */
void stream_end(struct stream *s);
void rows_print_vertical(const struct rows *rows, FILE *to);
void rows_print_json(const struct rows *rows, bool one, FILE *to);
/* One object with what it holds. Returns 0, -EPROTO: the body makes no sense. */
int rows_print_held(const struct rows *rows, const void *body, size_t len, bool json, FILE *to);
/* Replaces counters by their growth a second since 'before' (matched by the fields that are not counters). */
void rows_to_rates(struct rows *now, const struct rows *before, double seconds);

/* ---- noun_trace.c: not in the list of nouns, its arguments are a packet */

/* Returns 0, or -EINVAL after a message. */
int trace_parse(int argc, char **argv, struct ob_bus_trace *r);
void help_trace(FILE *to);

/* ---- help.c */

void help_main(FILE *to);
void help_metrics(FILE *to);
void help_noun(const struct noun *n, FILE *to);
void help_verb(const struct noun *n, enum verb verb, FILE *to);
const char *verb_name(enum verb v);
const char *verb_word(const struct noun *n, enum verb v); /* as the noun calls it */
/* The word of the list that is nearest to 'word', or NULL if none is near. */
const char *nearest(const char *word, const char *const *list, unsigned n);
