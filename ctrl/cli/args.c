/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <errno.h>
#include <string.h>

#define MAX_OPTIONS 64

bool field_takes_part(const struct field *f, enum verb verb)
{
	switch (verb) {
	case V_ADD:
		return f->flags & (F_KEY | F_ADD);
	case V_SET:
		return f->flags & (F_KEY | F_SET);
	case V_DEL:
	case V_FLUSH:
		return f->flags & F_KEY;
	case V_SHOW:
		return f->flags & (F_KEY | F_FILTER);
	case V_LIST:
		return f->flags & F_FILTER;
	}
	return false;
}

void option_name(const struct field *f, char *out, size_t len)
{
	size_t i;

	for (i = 0; f->name[i] && i + 1 < len; i++)
		out[i] = f->name[i] == '_' ? '-' : f->name[i];
	out[i] = 0;
}

static int misuse(const struct noun *n, enum verb verb, const char *what, const char *word)
{
	fprintf(stderr, "obctl: %s '%s'; see 'obctl %s %s --help'\n", what, word, n->name,
	    verb_word(n, verb));
	return -EINVAL;
}

static int store(
    const struct noun *n, const struct field *f, const char *text, uint8_t *record, bool *given)
{
	char err[256], opt[64];
	uint8_t *count = record + f->count_off;
	unsigned i = 0;

	option_name(f, opt, sizeof(opt));
	if (f->max > 0) {
		if (!*given)
			*count = 0; /* 'set' replaces the whole list */
		if (*count == f->max) {
			fprintf(stderr, "obctl: %s takes at most %u --%s\n", n->name, f->max, opt);
			return -EINVAL;
		}
		i = (*count)++;
	} else if (*given) {
		fprintf(stderr, "obctl: %s is given twice\n", opt);
		return -EINVAL;
	}
	*given = true;
	if (value_parse(f, text, record + f->off + (size_t)i * f->size, err, sizeof(err)) == 0)
		return 0;
	fprintf(stderr, "obctl: %s%s: %s\n", f->flags & F_POS ? "" : "--", opt, err);
	return -EINVAL;
}

static const struct field *find_option(
    const struct noun *n, enum verb verb, const char *word, size_t len)
{
	char opt[64];

	for (unsigned i = 0; i < n->n_fields; i++) {
		const struct field *f = &n->fields[i];

		if ((f->flags & F_POS) || !field_takes_part(f, verb))
			continue;
		option_name(f, opt, sizeof(opt));
		if (strlen(opt) == len && memcmp(opt, word, len) == 0)
			return f;
	}
	return NULL;
}

static const struct field *next_positional(const struct noun *n, enum verb verb, const bool *given)
{
	for (unsigned i = 0; i < n->n_fields; i++) {
		if ((n->fields[i].flags & F_POS) && field_takes_part(&n->fields[i], verb) &&
		    !given[i])
			return &n->fields[i];
	}
	return NULL;
}

static int unknown_option(const struct noun *n, enum verb verb, const char *word)
{
	static char names[MAX_OPTIONS][64];
	const char *list[MAX_OPTIONS];
	unsigned k = 0;
	const char *near;

	for (unsigned i = 0; i < n->n_fields && k < MAX_OPTIONS; i++) {
		if ((n->fields[i].flags & F_POS) || !field_takes_part(&n->fields[i], verb))
			continue;
		option_name(&n->fields[i], names[k], sizeof(names[k]));
		list[k] = names[k];
		k++;
	}
	near = nearest(word + 2, list, k);
	if (near == NULL)
		return misuse(n, verb, "unknown option", word);
	fprintf(stderr, "obctl: unknown option '%s'; did you mean --%s?\n", word, near);
	return -EINVAL;
}

/* --rule and --file of a noun that holds a list. Returns 1 taken, 0 it is another option, -EINVAL after a message. */
static int take_body(const struct noun *n, enum verb verb, const char *word, size_t len,
    const char *value, struct body *body, unsigned *nth)
{
	bool item, file;

	if (n->body == NULL || !(verb & (V_ADD | V_SET)))
		return 0;
	item = strlen(n->body->item) == len && memcmp(n->body->item, word, len) == 0;
	file = len == 4 && memcmp("file", word, len) == 0;
	if (!item && !file)
		return 0;
	if (value == NULL)
		return misuse(n, verb, "a value must follow", word - 2);
	(*nth)++;
	if ((item ? body_item(n->body, value, *nth, body) : body_file(n->body, value, body)) < 0)
		return -EINVAL;
	return 1;
}

static int check_complete(const struct noun *n, enum verb verb, const bool *given, unsigned n_body)
{
	char opt[64];

	if (n->body != NULL && (verb & (V_ADD | V_SET)) && n_body == 0) {
		fprintf(stderr,
		    "obctl: %s %s needs --%s %s or --file FILE (an empty file: no %s); see 'obctl "
		    "%s --help'\n",
		    n->name, verb_word(n, verb), n->body->item, n->body->arg, n->body->items,
		    n->name);
		return -EINVAL;
	}

	for (unsigned i = 0; i < n->n_fields; i++) {
		const struct field *f = &n->fields[i];
		bool needed = ((verb == V_ADD || n->word != NULL) && (f->flags & F_REQUIRED)) ||
			      ((verb & (V_ADD | V_DEL | V_SET | V_FLUSH)) && (f->flags & F_KEY)) ||
			      (verb == V_SHOW && (f->flags & F_KEY) && (f->flags & F_POS));

		if (!needed || given[i])
			continue;
		option_name(f, opt, sizeof(opt));
		fprintf(stderr, "obctl: %s %s needs %s%s%s%s; see 'obctl %s %s --help'\n", n->name,
		    verb_word(n, verb), f->flags & F_POS ? "" : "--",
		    f->flags & F_POS ? f->arg : opt, f->flags & F_POS ? "" : " ",
		    f->flags & F_POS ? "" : f->arg, n->name, verb_word(n, verb));
		return -EINVAL;
	}
	return 0;
}

int args_parse(const struct noun *n, enum verb verb, int argc, char **argv, void *record,
    bool *given, struct body *body)
{
	unsigned n_body = 0;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i], *value, *eq;
		const struct field *f = NULL;
		char opt[64];
		size_t len;
		int rc;

		eq = strchr(word, '=');
		/* name=value is --name=value, where there is such an option. */
		if (word[0] != '-' && eq != NULL)
			f = find_option(n, verb, word, (size_t)(eq - word));
		if (f != NULL) {
			value = eq + 1;
		} else if (strncmp(word, "--", 2) != 0) {
			f = next_positional(n, verb, given);
			if (f == NULL && eq != NULL) {
				snprintf(opt, sizeof(opt), "--%.*s", (int)(eq - word), word);
				return unknown_option(n, verb, opt);
			}
			if (f == NULL)
				return misuse(n, verb, "unexpected", word);
			value = word;
		} else {
			len = eq ? (size_t)(eq - word) - 2 : strlen(word) - 2;
			value = eq ? eq + 1 : i + 1 < argc ? argv[i + 1] : NULL;
			rc = take_body(n, verb, word + 2, len, value, body, &n_body);
			if (rc < 0)
				return rc;
			if (rc == 0 && (f = find_option(n, verb, word + 2, len)) == NULL)
				return unknown_option(n, verb, word);
			i += eq == NULL;
			if (rc > 0)
				continue;
			if (value == NULL)
				return misuse(n, verb, "a value must follow", word);
		}
		if (store(n, f, value, record, &given[f - n->fields]) < 0)
			return -EINVAL;
	}
	return check_complete(n, verb, given, n_body);
}
