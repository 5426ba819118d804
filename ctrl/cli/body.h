/* SPDX-License-Identifier: BSD-3-Clause */
/* Objects that hold a list longer than a record: the list as lines for people, as bytes for the bus, as JSON. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

/* Bytes of a body while it is made. */
struct body {
	uint8_t *bytes;
	size_t len, cap;
	uint32_t n_items;
};

struct body_format {
	const char *item;  /* option that gives one: --rule */
	const char *items; /* of a JSON key, and of what is said about them */
	const char *arg;
	const char *help;
	/* Appends what the line says; comments and empty lines say nothing. 'line' is cut up. Returns 0, or -EINVAL with what is wrong. */
	int (*parse)(char *line, struct body *b, char *err, size_t err_len);
	/* Prints the item at '*at' as a line that parse takes, or (to == NULL) as JSON into '*json'; moves '*at' on. Returns 0, or -EPROTO: the
	 * bytes make no sense. */
	int (*print)(
	    const uint8_t *bytes, size_t len, size_t *at, FILE *to, struct json_object **json);
};

extern const struct body_format body_rules, body_prefixes;

/* Room for 'len' more bytes, zeroed; NULL: no memory, or more than a body may have. */
void *body_grow(struct body *b, size_t len);
void body_free(struct body *b);
/* One item given as an option; 'nth' is named in the message. Returns 0, or -EINVAL after a message on stderr. */
int body_item(const struct body_format *f, const char *text, unsigned nth, struct body *b);
/* All lines of a file ("-": standard input). Returns 0, or -EINVAL after a message on stderr. */
int body_file(const struct body_format *f, const char *path, struct body *b);
/* "10.0.0.0/8" to a struct ob_bus_ip at 'to'; an address alone is a prefix of its full length. Returns 0, -EINVAL. */
int body_prefix(const char *text, void *to, char *err, size_t err_len);
