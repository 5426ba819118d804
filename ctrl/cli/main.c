/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ob_telemetry.h"

#define DEFAULT_BUS "/run/outboard/card.sock"
#define MAX_FIELDS  64

enum exit_status {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_CARD = 3,
};

struct options {
	const char *socket;
	bool json, help;
	double timeout_s, interval_s;
	unsigned count;
};

const struct noun *const nouns[] = {&noun_card, &noun_function, &noun_vnet, &noun_eni, &noun_route,
    &noun_mapping, &noun_tunnel, &noun_sg, &noun_tag, &noun_binding, &noun_nat_pool, &noun_nat_bind,
    &noun_fip, &noun_nat64, &noun_session, &noun_session_policy, &noun_meter, &noun_session_table,
    &noun_volume, &noun_namespace, &noun_capture, &noun_uplink, &noun_counters, &noun_drops,
    &noun_worker};
const unsigned n_nouns = sizeof(nouns) / sizeof(nouns[0]);

static int report(const struct options *o, int err, const char *text)
{
	if (o->json) {
		struct json_object *j = json_object_new_object();

		json_object_object_add(j, "ok", json_object_new_boolean(0));
		json_object_object_add(j, "errno", json_object_new_int(-err));
		json_object_object_add(j, "error", json_object_new_string(text));
		printf("%s\n", json_object_to_json_string(j));
		json_object_put(j);
	}
	fprintf(stderr, "obctl: %s\n", text);
	return err == -EPIPE || err == -ETIMEDOUT ? EXIT_NO_CARD : EXIT_REFUSED;
}

static int connect_card(const struct options *o, struct ob_client **c)
{
	int ret = ob_client_open(o->socket, (unsigned)(o->timeout_s * 1000), c);

	if (ret == 0)
		return 0;
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		fprintf(stderr,
		    "obctl: no card serves %s: is ob-card running? give its bus with --socket or "
		    "OB_BUS\n",
		    o->socket);
	else if (ret == -EACCES)
		fprintf(stderr,
		    "obctl: %s: permission denied; run as root or as a member of the socket's "
		    "group\n",
		    o->socket);
	else
		fprintf(stderr, "obctl: %s: %s\n", o->socket, strerror(-ret));
	return ret;
}

static int fetch(struct ob_client *c, const struct noun *n, const void *filter, struct rows *r)
{
	r->noun = n;
	return ob_client_list(c, n->bus, filter, n->record_len, rows_add, r);
}

/* Drops what the card's filter let through but the given fields exclude. */
static void keep_matching(struct rows *r, const uint8_t *filter, const bool *given)
{
	const struct noun *n = r->noun;
	unsigned kept = 0;

	for (unsigned i = 0; i < r->n; i++) {
		uint8_t *rec = r->records + (size_t)i * n->record_len;
		bool keep = true;

		for (unsigned k = 0; k < n->n_fields; k++)
			keep &= !given[k] || (n->fields[k].flags & F_CARD) ||
				memcmp(rec + n->fields[k].off, filter + n->fields[k].off,
				    n->fields[k].size) == 0;
		if (keep)
			memmove(r->records + (size_t)kept++ * n->record_len, rec, n->record_len);
	}
	r->n = kept;
}

static void print_rows(
    const struct options *o, const struct noun *n, enum verb verb, struct rows *r)
{
	bool one = verb == V_SHOW && n->vertical;

	if (o->json)
		rows_print_json(r, one, stdout);
	else if (one)
		rows_print_vertical(r, stdout);
	else
		rows_print_table(r, stdout);
	fflush(stdout);
}

static void pause_for(double seconds)
{
	struct timespec ts = {.tv_sec = (time_t)seconds,
	    .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	nanosleep(&ts, NULL);
}

/* One object with what it holds. */
static int print_held(struct ob_client *c, const struct options *o, const struct rows *r)
{
	void *body;
	size_t len;
	int ret = ob_client_body(c, r->noun->bus, (const char *)r->records, &body, &len);

	if (ret < 0)
		return report(o, ret, ob_client_error(c));
	ret = rows_print_held(r, body, len, o->json, stdout);
	free(body);
	return ret < 0 ? report(o, ret, "the card's answer makes no sense") : EXIT_OK;
}

/* A list that may be long. */
static int look_stream(struct ob_client *c, const struct options *o, const struct noun *n,
    const uint8_t *filter, const bool *given)
{
	struct stream s = {.rows = {.noun = n}, .to = stdout, .json = o->json};
	int ret = ob_client_list(c, n->bus, filter, n->record_len, stream_add, &s);

	stream_end(&s);
	if (ret < 0)
		return report(o, ret, ob_client_error(c));
	for (unsigned k = 0; k < n->n_fields; k++) {
		const struct field *f = &n->fields[k];

		if (strcmp(f->name, "limit") == 0 && !given[k] && s.n >= field_uint(f, filter))
			fprintf(stderr, "obctl: the first %lu only; --limit 0 lists all\n", s.n);
	}
	return EXIT_OK;
}

static int look(struct ob_client *c, const struct options *o, const struct noun *n, enum verb verb,
    const uint8_t *filter, const bool *given)
{
	struct rows now = {0}, before = {0};
	int ret = fetch(c, n, filter, &now);

	for (unsigned round = 0; ret == 0; round++) {
		keep_matching(&now, filter, given);
		if (now.n == 0 && verb == V_SHOW && n->vertical) {
			rows_free(&now);
			return report(o, -ENOENT,
			    n->none != NULL ? n->none : "there is no such thing on this card");
		}
		if (n->body != NULL && verb == V_SHOW) {
			ret = print_held(c, o, &now);
			rows_free(&now);
			return ret;
		}
		if (o->interval_s <= 0) {
			print_rows(o, n, verb, &now);
			break;
		}
		if (round > 0) {
			struct rows rates = {.noun = n};

			for (unsigned i = 0; i < now.n && ret == 0; i++)
				ret = rows_add(now.records + (size_t)i * n->record_len, &rates);
			rows_to_rates(&rates, &before, o->interval_s);
			print_rows(o, n, verb, &rates);
			rows_free(&rates);
			if (o->count > 0 && round >= o->count)
				break;
		}
		pause_for(o->interval_s);
		rows_free(&before);
		before = now;
		now = (struct rows){0};
		ret = fetch(c, n, filter, &now);
	}
	rows_free(&now);
	rows_free(&before);
	return ret < 0 ? report(o, ret, ob_client_error(c)) : EXIT_OK;
}

static int take_one(const void *record, void *ctx)
{
	struct rows *r = ctx;

	return r->n == 0 ? rows_add(record, r) : 0;
}

/* 'set' changes the fields that are given and leaves the others as the card has them. */
static int merge_current(struct ob_client *c, const struct options *o, const struct noun *n,
    uint8_t *record, const bool *given)
{
	struct rows r = {.noun = n};
	int ret = ob_client_list(c, n->bus, record, n->record_len, take_one, &r);

	if (ret == 0 && r.n == 0)
		ret = -ENOENT;
	if (ret < 0) {
		rows_free(&r);
		return report(o, ret,
		    ret == -ENOENT ? "there is no such thing on this card" : ob_client_error(c));
	}
	for (unsigned k = 0; k < n->n_fields; k++) {
		const struct field *f = &n->fields[k];

		if (!given[k])
			continue;
		memcpy(
		    r.records + f->off, record + f->off, (size_t)f->size * (f->max ? f->max : 1));
		if (f->max)
			r.records[f->count_off] = record[f->count_off];
	}
	memcpy(record, r.records, n->record_len);
	explicit_bzero(r.records, n->record_len); /* it may hold a key */
	rows_free(&r);
	return EXIT_OK;
}

static int change(struct ob_client *c, const struct options *o, const struct noun *n,
    enum verb verb, uint8_t *record, const struct body *body)
{
	unsigned bus_verb = verb == V_ADD ? OB_BUS_ADD : verb == V_SET ? OB_BUS_SET : OB_BUS_DEL;
	const char *err = NULL;
	int ret = 0;

	if (verb == V_ADD && n->add != NULL) {
		ret = n->add(c, record, &err);
		if (ret < 0)
			return report(o, ret, err);
		if (o->json && ret == 0)
			printf("{\"ok\": true}\n");
		return EXIT_OK;
	}
	if (n->body != NULL && verb != V_DEL) {
		struct ob_bus_listed is;

		memcpy(&is, record, sizeof(is));
		is.n_items = body->n_items;
		is.body_len = (uint32_t)body->len;
		memcpy(record, &is, sizeof(is));
		ret = ob_client_upload(c, body->bytes, body->len);
	}
	if (ret == 0)
		ret = ob_client_change(c, bus_verb, n->bus, record, n->record_len);
	if (ret < 0)
		return report(o, ret, ob_client_error(c));
	if (o->json)
		printf("{\"ok\": true}\n");
	return EXIT_OK;
}

static int run(const struct options *o, const struct noun *n, enum verb verb, int argc, char **argv)
{
	static uint8_t record[MAX_RECORD] __attribute__((aligned(8)));
	static bool given[MAX_FIELDS];
	struct body body = {0};
	struct ob_client *c;
	int ret = EXIT_USAGE;

	if (verb == V_LIST && n->list_defaults != NULL)
		n->list_defaults(record);
	if (args_parse(n, verb, argc, argv, record, given, &body) < 0 ||
	    ((verb == V_ADD || n->word != NULL) && n->complete != NULL && n->complete(record) < 0))
		goto out;
	ret = EXIT_NO_CARD;
	if (connect_card(o, &c) < 0)
		goto out;
	if (verb == V_LIST && n->stream) {
		ret = look_stream(c, o, n, record, given);
	} else if (verb == V_LIST || verb == V_SHOW) {
		ret = look(c, o, n, verb, record, given);
	} else {
		ret = verb == V_SET ? merge_current(c, o, n, record, given) : EXIT_OK;
		if (ret == EXIT_OK)
			ret = change(c, o, n, verb, record, &body);
	}
	ob_client_close(c);
out:
	explicit_bzero(record, sizeof(record)); /* it may hold a key */
	body_free(&body);
	return ret;
}

static int trace(const struct options *o, int argc, char **argv)
{
	struct rows r = {.noun = &noun_trace};
	struct ob_bus_trace q;
	struct ob_client *c;
	int ret;

	if (trace_parse(argc, argv, &q) < 0)
		return EXIT_USAGE;
	if (connect_card(o, &c) < 0)
		return EXIT_NO_CARD;
	ret = fetch(c, &noun_trace, &q, &r);
	if (ret < 0)
		ret = report(o, ret, ob_client_error(c));
	else
		print_rows(o, &noun_trace, V_LIST, &r);
	rows_free(&r);
	ob_client_close(c);
	return ret;
}

static int metrics(const struct options *o)
{
	struct ob_client *c;
	char *page;
	int ret;

	if (connect_card(o, &c) < 0)
		return EXIT_NO_CARD;
	ret = ob_telemetry_page(c, &page);
	if (ret < 0) {
		ret = report(o, ret, ob_client_error(c));
	} else {
		fputs(page, stdout);
		free(page);
	}
	ob_client_close(c);
	return ret;
}

static const struct noun *find_noun(const char *word)
{
	const char *names[sizeof(nouns) / sizeof(nouns[0])], *near;

	for (unsigned i = 0; i < n_nouns; i++) {
		if (strcmp(word, nouns[i]->name) == 0 ||
		    (nouns[i]->alias && strcmp(word, nouns[i]->alias) == 0))
			return nouns[i];
		names[i] = nouns[i]->name;
	}
	if (strcmp(word, "nat") == 0) {
		fprintf(stderr, "obctl: 'nat' is 'nat pool' or 'nat bind'; see 'obctl --help'\n");
		return NULL;
	}
	near = nearest(word, names, n_nouns);
	fprintf(stderr, "obctl: unknown noun '%s'%s%s%s; see 'obctl --help'\n", word,
	    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

static const struct form *find_form(const struct noun *n, const char *word)
{
	for (const struct form *f = n->forms; f != NULL && f->noun != NULL; f++) {
		if (strcmp(word, f->noun->word) == 0)
			return f;
	}
	return NULL;
}

static enum verb find_verb(const struct noun *n, const char *word)
{
	for (unsigned v = V_ADD; v <= V_LAST; v <<= 1) {
		if ((n->verbs & v) && strcmp(word, verb_word(n, v)) == 0)
			return v;
	}
	fprintf(stderr, "obctl: %s has no verb '%s', only", n->name, word);
	for (unsigned v = V_ADD; v <= V_LAST; v <<= 1) {
		if (n->verbs & v)
			fprintf(stderr, " %s", verb_word(n, v));
	}
	for (const struct form *f = n->forms; f != NULL && f->noun != NULL; f++)
		fprintf(stderr, " %s", f->noun->word);
	fprintf(stderr, "\n");
	return 0;
}

static double positive(const char *text, const char *what)
{
	char *end;
	double v = strtod(text, &end);

	if (*end != 0 || !(v > 0) || v > 86400) {
		fprintf(stderr, "obctl: %s: '%s' is not a number of seconds\n", what, text);
		exit(EXIT_USAGE);
	}
	return v;
}

/* Takes the global options out of argv, wherever they stand; returns the number of words that are left. */
static int global_options(struct options *o, int argc, char **argv)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		const char *a = argv[i];
		bool has = i + 1 < argc;

		if (strcmp(a, "-j") == 0 || strcmp(a, "--json") == 0)
			o->json = true;
		else if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0)
			o->help = true;
		else if (has && strcmp(a, "-s") == 0)
			o->socket = argv[++i];
		else if (has && n == 0 && strcmp(a, "--socket") == 0)
			o->socket = argv[++i];
		else if (has && (strcmp(a, "-t") == 0 || strcmp(a, "--timeout") == 0))
			o->timeout_s = positive(argv[++i], a);
		else if (has && (strcmp(a, "-i") == 0 || strcmp(a, "--interval") == 0))
			o->interval_s = positive(argv[++i], a);
		else if (has && (strcmp(a, "-c") == 0 || strcmp(a, "--count") == 0))
			o->count = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(a, "-V") == 0 || strcmp(a, "--version") == 0) {
			printf("obctl %s\n", OB_VERSION);
			exit(EXIT_OK);
		} else
			argv[n++] = argv[i];
	}
	return n;
}

/* 'nat pool' and 'nat bind' in two words. Returns the number of words that are left. */
static int join_words(int n, char **word)
{
	static char joined[32];

	if (n < 2 || strcmp(word[0], "nat") != 0 ||
	    (strcmp(word[1], "pool") != 0 && strcmp(word[1], "bind") != 0))
		return n;
	snprintf(joined, sizeof(joined), "nat-%s", word[1]);
	word[0] = joined;
	memmove(&word[1], &word[2], (size_t)(n - 2) * sizeof(word[0]));
	return n - 1;
}

int main(int argc, char **argv)
{
	const char *env = getenv("OB_BUS");
	struct options o = {.socket = env ? env : DEFAULT_BUS, .timeout_s = 10};
	const struct form *form;
	const struct noun *noun;
	enum verb verb;
	int n = global_options(&o, argc - 1, argv + 1);
	char **word = argv + 1;

	if (n == 0) {
		help_main(o.help ? stdout : stderr);
		return o.help ? EXIT_OK : EXIT_USAGE;
	}
	n = join_words(n, word);
	if (strcmp(word[0], "help") == 0) {
		help_main(stdout);
		return EXIT_OK;
	}
	if (strcmp(word[0], "metrics") == 0 && o.help) {
		help_metrics(stdout);
		return EXIT_OK;
	}
	if (strcmp(word[0], "metrics") == 0)
		return metrics(&o);
	if (strcmp(word[0], noun_trace.name) == 0 && (o.help || n == 1)) {
		help_trace(o.help ? stdout : stderr);
		return o.help ? EXIT_OK : EXIT_USAGE;
	}
	if (strcmp(word[0], noun_trace.name) == 0)
		return trace(&o, n - 1, word + 1);
	noun = find_noun(word[0]);
	if (noun == NULL)
		return EXIT_USAGE;
	if (n == 1) {
		if (o.help) {
			help_noun(noun, stdout);
			return EXIT_OK;
		}
		/* A noun alone means: look. */
		return run(&o, noun, noun->verbs & V_LIST ? V_LIST : V_SHOW, 0, NULL);
	}
	form = find_form(noun, word[1]);
	if (form != NULL)
		noun = form->noun;
	verb = form != NULL ? form->verb : find_verb(noun, word[1]);
	if (verb == 0)
		return EXIT_USAGE;
	if (o.help) {
		help_verb(noun, verb, stdout);
		return EXIT_OK;
	}
	if (verb == V_SHOW && noun->show != NULL)
		noun = noun->show;
	return run(&o, noun, verb, n - 2, word + 2);
}
