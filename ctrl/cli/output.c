/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CELL 1024

int rows_add(const void *record, void *arg)
{
	struct rows *r = arg;

	if (r->n == r->cap) {
		unsigned cap = r->cap ? 2 * r->cap : 64;
		void *p = realloc(r->records, (size_t)cap * r->noun->record_len);

		if (p == NULL)
			return -ENOMEM;
		r->records = p;
		r->cap = cap;
	}
	memcpy(r->records + (size_t)r->n++ * r->noun->record_len, record, r->noun->record_len);
	return 0;
}

void rows_free(struct rows *r)
{
	free(r->records);
	r->records = NULL;
	r->n = r->cap = 0;
}

static const uint8_t *row(const struct rows *r, unsigned i)
{
	return r->records + (size_t)i * r->noun->record_len;
}

static bool numeric(const struct field *f)
{
	return f->kind == K_UINT || f->kind == K_INT || f->kind == K_RATE || f->kind == K_SIZE ||
	       f->kind == K_USEC;
}

static bool in_table(const struct field *f)
{
	return f->head != NULL && !(f->flags & F_HIDE);
}

/* Widens the columns to what is in the rows. */
static void measure(const struct rows *r, int width[64])
{
	const struct noun *n = r->noun;
	char cell[CELL];

	for (unsigned k = 0; k < n->n_fields; k++) {
		if (!in_table(&n->fields[k]))
			continue;
		if ((int)strlen(n->fields[k].head) > width[k])
			width[k] = (int)strlen(n->fields[k].head);
		for (unsigned i = 0; i < r->n; i++) {
			field_text(&n->fields[k], row(r, i), cell, sizeof(cell));
			if ((int)strlen(cell) > width[k])
				width[k] = (int)strlen(cell);
		}
	}
}

static void print_lines(const struct rows *r, const int width[64], bool heading, FILE *to)
{
	const struct noun *n = r->noun;
	char cell[CELL];
	unsigned last = 0;

	for (unsigned k = 0; k < n->n_fields; k++)
		last = in_table(&n->fields[k]) ? k : last;
	/* Row -1 is the heading. */
	for (int i = heading ? -1 : 0; i < (int)r->n; i++) {
		for (unsigned k = 0; k < n->n_fields; k++) {
			const struct field *f = &n->fields[k];
			int w = k == last && !numeric(f) ? 0 : width[k];

			if (!in_table(f))
				continue;
			if (i < 0)
				snprintf(cell, sizeof(cell), "%s", f->head);
			else
				field_text(f, row(r, (unsigned)i), cell, sizeof(cell));
			fprintf(to, "%*s%s", numeric(f) ? w : -w, cell, k == last ? "\n" : "  ");
		}
	}
}

void rows_print_table(const struct rows *r, FILE *to)
{
	int width[64] = {0};

	measure(r, width);
	print_lines(r, width, true, to);
}

void rows_print_vertical(const struct rows *r, FILE *to)
{
	char cell[4 * CELL];
	int w = 0;

	for (unsigned k = 0; k < r->noun->n_fields; k++) {
		if ((int)strlen(r->noun->fields[k].name) > w)
			w = (int)strlen(r->noun->fields[k].name);
	}
	for (unsigned i = 0; i < r->n; i++) {
		if (i > 0)
			fputc('\n', to);
		for (unsigned k = 0; k < r->noun->n_fields; k++) {
			if (r->noun->fields[k].flags & F_HIDE)
				continue;
			field_text(&r->noun->fields[k], row(r, i), cell, sizeof(cell));
			fprintf(to, "%-*s  %s\n", w, r->noun->fields[k].name, cell);
		}
	}
}

static struct json_object *record_json(const struct noun *n, const uint8_t *record)
{
	struct json_object *o = json_object_new_object();

	for (unsigned k = 0; k < n->n_fields; k++) {
		const struct field *f = &n->fields[k];
		struct json_object *v;

		if (f->flags & F_HIDE)
			continue;
		if (f->max == 0) {
			v = value_json(f, field_elem(f, record, 0));
		} else {
			v = json_object_new_array();
			for (unsigned i = 0; i < field_count(f, record); i++)
				json_object_array_add(v, value_json(f, field_elem(f, record, i)));
		}
		json_object_object_add(o, f->name, v);
	}
	return o;
}

void rows_print_json(const struct rows *r, bool one, FILE *to)
{
	struct json_object *o;

	if (one && r->n == 1) {
		o = record_json(r->noun, row(r, 0));
	} else {
		o = json_object_new_array();
		for (unsigned i = 0; i < r->n; i++)
			json_object_array_add(o, record_json(r->noun, row(r, i)));
	}
	fprintf(to, "%s\n",
	    json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

#define PORTION 512 /* rows */

static void stream_portion(struct stream *s)
{
	if (!s->json) {
		measure(&s->rows, s->width);
		print_lines(&s->rows, s->width, !s->begun, s->to);
	}
	for (unsigned i = 0; i < s->rows.n && s->json; i++) {
		struct json_object *o = record_json(s->rows.noun, row(&s->rows, i));

		fprintf(s->to, "%s%s", s->begun || i > 0 ? ",\n" : "[\n",
		    json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(o);
	}
	s->begun |= !s->json || s->rows.n > 0;
	s->n += s->rows.n;
	s->rows.n = 0;
}

int stream_add(const void *record, void *stream)
{
	struct stream *s = stream;
	int ret = rows_add(record, &s->rows);

	if (ret == 0 && s->rows.n == PORTION)
		stream_portion(s);
	return ret;
}

void stream_end(struct stream *s)
{
	if (s->rows.n > 0 || !s->begun)
		stream_portion(s);
	if (s->json)
		fputs(s->begun ? "\n]\n" : "[]\n", s->to);
	fflush(s->to);
	rows_free(&s->rows);
}

/* Items as lines, or as an array of JSON. */
static int print_body(const struct body_format *f, const uint8_t *body, size_t len, FILE *to,
    struct json_object *array)
{
	size_t at = 0;

	while (at < len) {
		struct json_object *item = NULL;

		if (f->print(body, len, &at, array ? NULL : to, &item) < 0)
			return -EPROTO;
		if (array != NULL)
			json_object_array_add(array, item);
	}
	return 0;
}

int rows_print_held(const struct rows *r, const void *body, size_t len, bool json, FILE *to)
{
	const struct body_format *f = r->noun->body;
	struct json_object *o, *items;
	int ret;

	if (!json) {
		rows_print_vertical(r, to);
		fputc('\n', to);
		return print_body(f, body, len, to, NULL);
	}
	o = record_json(r->noun, row(r, 0));
	items = json_object_new_array();
	ret = print_body(f, body, len, NULL, items);
	json_object_object_add(o, f->items, items);
	if (ret == 0)
		fprintf(to, "%s\n",
		    json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return ret;
}

static bool same_object(const struct noun *n, const uint8_t *a, const uint8_t *b)
{
	for (unsigned k = 0; k < n->n_fields; k++) {
		const struct field *f = &n->fields[k];

		if ((f->flags & (F_KEY | F_FILTER)) && memcmp(a + f->off, b + f->off, f->size) != 0)
			return false;
	}
	return true;
}

void rows_to_rates(struct rows *now, const struct rows *before, double seconds)
{
	const struct noun *n = now->noun;

	for (unsigned i = 0; i < now->n; i++) {
		uint8_t *rec = now->records + (size_t)i * n->record_len;
		const uint8_t *old = NULL;

		for (unsigned j = 0; j < before->n && old == NULL; j++) {
			if (same_object(n, rec, row(before, j)))
				old = row(before, j);
		}
		for (unsigned k = 0; k < n->n_fields; k++) {
			const struct field *f = &n->fields[k];
			uint64_t v, was;

			if (!(f->flags & F_COUNTER) || f->size != sizeof(v))
				continue;
			v = field_uint(f, rec);
			was = old ? field_uint(f, old) : 0;
			v = v >= was ? (uint64_t)((double)(v - was) / seconds + 0.5) : 0;
			memcpy(rec + f->off, &v, sizeof(v));
		}
	}
}
