/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <string.h>

const char *verb_name(enum verb v)
{
	switch (v) {
	case V_ADD:
		return "add";
	case V_SET:
		return "set";
	case V_DEL:
		return "del";
	case V_LIST:
		return "list";
	case V_SHOW:
		return "show";
	case V_FLUSH:
		return "flush";
	}
	return "?";
}

const char *verb_word(const struct noun *n, enum verb v)
{
	if (n->word != NULL)
		return n->word;
	if (v == V_ADD && n->add_word != NULL)
		return n->add_word;
	if (v == V_DEL && n->del_word != NULL)
		return n->del_word;
	return verb_name(v);
}

/* Edit distance, for words of up to 31 characters. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32], n = (unsigned)strlen(b);

	if (n > 31 || strlen(a) > 31)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diag + (a[i - 1] != b[j - 1]);

			diag = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

const char *nearest(const char *word, const char *const *list, unsigned n)
{
	const char *best = NULL;
	unsigned least = 3;

	for (unsigned i = 0; i < n; i++) {
		unsigned d = distance(word, list[i]);

		if (d < least) {
			least = d;
			best = list[i];
		}
	}
	return best;
}

void help_main(FILE *to)
{
	fprintf(to, "obctl: look at an Outboard card and change it\n\n"
		    "usage: obctl [options] NOUN VERB [arguments]\n"
		    "       obctl NOUN --help\n\n"
		    "nouns:\n");
	for (unsigned i = 0; i < n_nouns; i++)
		fprintf(to, "  %-14s %s\n", nouns[i]->name, nouns[i]->help);
	fprintf(to, "  %-14s %s\n", noun_trace.name, noun_trace.help);
	fprintf(to, "  %-14s %s\n", "metrics", "all counters as an OpenMetrics page");
	fprintf(to,
	    "\noptions:\n"
	    "  -s, --socket PATH   card bus (default: $OB_BUS or /run/outboard/card.sock)\n"
	    "  -j, --json          print JSON, also for errors\n"
	    "  -t, --timeout S     seconds to wait for the card (default 10)\n"
	    "  -i, --interval S    with list and show: print again every S seconds, counters as "
	    "rates per second\n"
	    "  -c, --count N       with --interval: stop after N times\n"
	    "  -V, --version       print the version\n"
	    "  -h, --help          this text, or that of the noun or verb before it\n\n"
	    "exit status: 0 done, 1 the card refused, 2 wrong usage, 3 no card to be reached\n");
}

/* What the verb is about. */
static const struct noun *of(const struct noun *n, unsigned verb)
{
	return verb == V_SHOW && n->show != NULL ? n->show : n;
}

static void print_form(const struct noun *n, const struct form *form, FILE *to)
{
	fprintf(to, "  obctl %s %s", n->name, form->noun->word);
	for (unsigned k = 0; k < form->noun->n_fields; k++) {
		const struct field *f = &form->noun->fields[k];
		char opt[64];

		if (!field_takes_part(f, form->verb) ||
		    (form->verb == V_LIST && !(f->flags & F_POS)))
			continue;
		option_name(f, opt, sizeof(opt));
		if (f->flags & F_POS)
			fprintf(to, form->verb == V_LIST ? " [%s]" : " %s", f->arg);
		else if (f->flags & F_REQUIRED)
			fprintf(to, " --%s %s", opt, f->arg);
	}
	fprintf(to, "\n");
}

void help_noun(const struct noun *n, FILE *to)
{
	fprintf(to, "obctl %s: %s\n\n%s\n\nusage:\n", n->name, n->help, n->about);
	for (unsigned v = V_ADD; v <= V_LAST; v <<= 1) {
		if (!(n->verbs & v))
			continue;
		fprintf(to, "  obctl %s %s", n->name, verb_word(n, v));
		for (unsigned k = 0; k < of(n, v)->n_fields; k++) {
			const struct field *f = &of(n, v)->fields[k];
			bool needed = (f->flags & F_KEY) || (f->flags & F_REQUIRED);

			if (!field_takes_part(f, v) || (v != V_ADD && !(f->flags & F_KEY)) ||
			    !needed)
				continue;
			if (f->flags & F_POS)
				fprintf(to, " %s", f->arg);
			else
				fprintf(to, " --%s %s", f->name, f->arg);
		}
		if (n->body != NULL && (v & (V_ADD | V_SET)))
			fprintf(to, " --%s %s... | --file FILE", n->body->item, n->body->arg);
		fprintf(to, "%s\n", n->body == NULL && (v & (V_ADD | V_SET)) ? " [options]" : "");
	}
	for (const struct form *f = n->forms; f != NULL && f->noun != NULL; f++)
		print_form(n, f, to);
	if (n->alias != NULL)
		fprintf(to, "\n'%s' may be written '%s'.\n", n->name, n->alias);
	if (n->examples != NULL)
		fprintf(to, "\nexamples:\n%s", n->examples);
	fprintf(to, "\n'obctl %s VERB --help' lists the options of a verb.\n", n->name);
}

static void print_field(const struct field *f, enum verb verb, FILE *to)
{
	char left[128], opt[64];
	bool must = verb == V_ADD && (f->flags & (F_REQUIRED | F_KEY));

	option_name(f, opt, sizeof(opt));
	if (f->flags & F_POS)
		snprintf(left, sizeof(left), "%s", f->arg);
	else
		snprintf(left, sizeof(left), "--%s %s", opt, f->arg);
	fprintf(to, "  %-28s %s", left, f->help);
	if (f->kind == K_CHOICE) {
		fprintf(to, ":");
		for (const struct choice *c = f->choices; c->name; c++)
			fprintf(to, " %s", c->name);
	}
	fprintf(to, "%s%s\n", f->max > 0 ? " (may be repeated)" : "",
	    must && !(f->flags & F_POS) ? " (needed)" : "");
}

void help_verb(const struct noun *n, enum verb verb, FILE *to)
{
	unsigned shown = 0;

	n = of(n, verb);
	fprintf(to, "obctl %s %s", n->name, verb_word(n, verb));
	for (unsigned k = 0; k < n->n_fields; k++) {
		if ((n->fields[k].flags & F_POS) && field_takes_part(&n->fields[k], verb))
			fprintf(to, " %s", n->fields[k].arg);
	}
	fprintf(to, " [options]\n\n");
	for (unsigned k = 0; k < n->n_fields; k++) {
		if (!field_takes_part(&n->fields[k], verb))
			continue;
		print_field(&n->fields[k], verb, to);
		shown++;
	}
	if (n->body != NULL && (verb & (V_ADD | V_SET))) {
		char left[64];

		snprintf(left, sizeof(left), "--%s %s", n->body->item, n->body->arg);
		fprintf(to, "  %-28s %s (may be repeated)\n", left, n->body->help);
		fprintf(to, "  %-28s the same from a file, one a line; -: from standard input\n",
		    "--file FILE");
	}
	if (shown == 0)
		fprintf(to, "  no options\n");
}

void help_metrics(FILE *to)
{
	fputs("obctl metrics: all counters as an OpenMetrics page\n\n"
	      "The page that ob-exporter serves to a scraper, once, to standard output.\n\n"
	      "usage:\n"
	      "  obctl metrics\n",
	    to);
}
