/* SPDX-License-Identifier: BSD-3-Clause */
#include "body.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void *body_grow(struct body *b, size_t len)
{
	void *at;

	if (len > OB_BUS_UPLOAD_MAX - b->len)
		return NULL;
	if (b->len + len > b->cap) {
		size_t cap = 2 * (b->len + len);
		uint8_t *p = realloc(b->bytes, cap);

		if (p == NULL)
			return NULL;
		b->bytes = p;
		b->cap = cap;
	}
	at = b->bytes + b->len;
	memset(at, 0, len);
	b->len += len;
	return at;
}

void body_free(struct body *b)
{
	free(b->bytes);
	memset(b, 0, sizeof(*b));
}

int body_prefix(const char *text, void *to, char *err, size_t err_len)
{
	static const struct field f = {.kind = K_PREFIX};

	return value_parse(&f, text, to, err, err_len);
}

int body_item(const struct body_format *f, const char *text, unsigned nth, struct body *b)
{
	char *line = strdup(text), err[512];
	int rc = line ? f->parse(line, b, err, sizeof(err)) : -ENOMEM;

	free(line);
	if (rc < 0)
		fprintf(stderr, "obctl: --%s %u: %s\n", f->item, nth,
		    rc == -ENOMEM ? "out of memory" : err);
	return rc < 0 ? -EINVAL : 0;
}

int body_file(const struct body_format *f, const char *path, struct body *b)
{
	FILE *from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	const char *name = from == stdin ? "standard input" : path;
	unsigned nth = 0;
	char *line = NULL, err[512];
	size_t cap = 0;
	int rc = 0;

	if (from == NULL) {
		fprintf(stderr, "obctl: %s: %s\n", path, strerror(errno));
		return -EINVAL;
	}
	while (rc == 0 && getline(&line, &cap, from) >= 0) {
		nth++;
		rc = f->parse(line, b, err, sizeof(err));
		if (rc < 0)
			fprintf(stderr, "obctl: %s:%u: %s\n", name, nth, err);
	}
	if (rc == 0 && ferror(from)) {
		fprintf(stderr, "obctl: %s: %s\n", name, strerror(errno));
		rc = -EINVAL;
	}
	free(line);
	if (from != stdin)
		fclose(from);
	return rc < 0 ? -EINVAL : 0;
}

/* ---- a list of prefixes, one or more a line ---- */

static int parse_prefixes(char *line, struct body *b, char *err, size_t err_len)
{
	char *save, *word;

	line[strcspn(line, "#")] = '\0';
	for (word = strtok_r(line, " \t\r\n,", &save); word != NULL;
	     word = strtok_r(NULL, " \t\r\n,", &save)) {
		struct ob_bus_ip ip, *to;

		if (body_prefix(word, &ip, err, err_len) < 0)
			return -EINVAL;
		to = body_grow(b, sizeof(*to));
		if (to == NULL) {
			snprintf(err, err_len, "the list is longer than %u bytes; split it",
			    OB_BUS_UPLOAD_MAX);
			return -EINVAL;
		}
		*to = ip;
		b->n_items++;
	}
	return 0;
}

static int print_prefix(
    const uint8_t *bytes, size_t len, size_t *at, FILE *to, struct json_object **json)
{
	static const struct field f = {.kind = K_PREFIX};
	struct ob_bus_ip ip;
	char text[64];

	if (len - *at < sizeof(ip))
		return -EPROTO;
	memcpy(&ip, bytes + *at, sizeof(ip));
	*at += sizeof(ip);
	value_text(&f, &ip, text, sizeof(text));
	if (to != NULL)
		fprintf(to, "%s\n", text);
	else
		*json = json_object_new_string(text);
	return 0;
}

const struct body_format body_prefixes = {.item = "prefix",
    .items = "prefixes",
    .arg = "PREFIX",
    .help = "that belongs to it",
    .parse = parse_prefixes,
    .print = print_prefix};
