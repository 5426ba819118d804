/* SPDX-License-Identifier: BSD-3-Clause */
/* The pair's counters as JSON; the form is in README.md. */
#include <stdio.h>
#include <unistd.h>

#include <rte_log.h>

#include "obgen.h"

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void config(FILE *f, const struct obg_conf *c)
{
	fprintf(f, "\"config\": {\"mode\": \"%s\", \"flows\": %u, \"zipf\": %g, \"size\": ",
	    obg_mode_names[c->mode], c->flows, c->zipf);
	if (c->size)
		fprintf(f, "%u", c->size);
	else
		fprintf(f, "\"imix\"");
	fprintf(f, ", \"proto\": \"%s\", \"rate\": %g, \"live\": %u, \"encap\": \"%s\"},\n",
	    c->tcp ? "tcp" : "udp", c->rate, c->live, obg_encap_names[c->encap]);
}

static void latency(FILE *f, const struct obg_hist *h)
{
	static const struct {
		const char *name;
		double p;
	} at[] = {{"p50", .5}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}, {"p99.99", .9999}};
	double ns = 1e9 / (double)rte_get_tsc_hz();

	fprintf(f, ", \"latency_ns\": {\"count\": %lu, \"min\": %.0f, \"mean\": %.0f", h->n,
	    h->n ? (double)h->min * ns : 0, ratio((double)h->sum, (double)h->n) * ns);
	for (unsigned i = 0; i < RTE_DIM(at); i++)
		fprintf(f, ", \"%s\": %.0f", at[i].name, (double)obg_hist_at(h, at[i].p) * ns);
	fprintf(f, ", \"max\": %.0f}", (double)h->max * ns);
}

static void windows(FILE *f, const struct obg_pair *pair)
{
	fprintf(f, " \"windows\": [");
	for (unsigned i = 0; i < pair->n_windows; i++) {
		const struct obg_window *w = &pair->window[i];
		const struct obg_totals *d = &w->d;

		fprintf(f,
		    "%s\n  {\"seconds\": %.6f, \"cpu_ns\": %lu, \"threads\": %u, \"emitted\": %lu, "
		    "\"received\": %lu, \"emitted_bytes\": %lu, \"received_bytes\": %lu, "
		    "\"missed\": %lu, \"errors\": %lu,\n"
		    "   \"ns_per_pkt\": %.3f, \"mpps\": %.4f, \"connections\": %lu, "
		    "\"timeouts\": %lu, \"cps\": %.1f, \"ns_per_connection\": %.2f",
		    i ? "," : "", w->seconds, d->cpu_ns, d->threads, d->emitted, d->received,
		    d->emitted_bytes, d->received_bytes, d->missed, d->errors,
		    ratio((double)d->cpu_ns, (double)d->emitted),
		    ratio((double)d->emitted, w->seconds * 1e6), d->connections, d->timeouts,
		    ratio((double)d->connections, w->seconds),
		    ratio((double)d->cpu_ns, (double)d->connections));
		if (w->hist != NULL && w->hist->n > 0)
			latency(f, w->hist);
		fprintf(f, "}");
	}
	fprintf(f, "],\n");
}

static void seconds(FILE *f, const struct obg_pair *pair)
{
	unsigned n = RTE_MIN(pair->n_seconds, (unsigned)OBG_N_SECONDS);

	fprintf(f, " \"seconds\": [");
	for (unsigned i = 0; i < n; i++) {
		const struct obg_second *s =
		    &pair->second[(pair->n_seconds - n + i) % OBG_N_SECONDS];

		fprintf(f,
		    "%s\n  {\"t\": %.3f, \"phase\": \"%s\", \"cpu_ns\": %lu, \"emitted\": %lu, "
		    "\"received\": %lu, \"missed\": %lu, \"errors\": %lu, \"connections\": %lu}",
		    i ? "," : "", s->t, obg_phase_names[s->phase], s->d.cpu_ns, s->d.emitted,
		    s->d.received, s->d.missed, s->d.errors, s->d.connections);
	}
	fprintf(f, "],\n");
}

static void counters(
    FILE *f, const char *what, const char *const *names, const uint64_t *v, unsigned n)
{
	fprintf(f, "\"%s\": {", what);
	for (unsigned i = 0; i < n; i++)
		fprintf(f, "%s\"%s\": %lu", i ? ", " : "", names[i], v[i]);
	fprintf(f, "}");
}

static void port(FILE *f, const struct obg_port *p)
{
	uint64_t emitted = 0, emitted_bytes = 0, missed = 0, nombuf = 0, received = 0, bytes = 0,
		 checked = 0, kinds[OBG_N_KINDS] = {0}, errs[OBG_N_ERRS] = {0};

	for (unsigned i = 0; i < p->n_rxq; i++) {
		emitted += p->rxq[i]->pkts;
		emitted_bytes += p->rxq[i]->bytes;
		missed += p->rxq[i]->missed;
		nombuf += p->rxq[i]->nombuf;
	}
	for (unsigned i = 0; i < p->n_txq; i++) {
		const struct obg_txq *q = p->txq[i];

		received += q->pkts;
		bytes += q->bytes;
		checked += q->checked;
		for (unsigned k = 0; k < OBG_N_KINDS; k++)
			kinds[k] += q->kinds[k];
		for (unsigned k = 0; k < OBG_N_ERRS; k++)
			errs[k] += q->errs[k];
	}
	fprintf(f,
	    "{\"name\": \"%s\", \"role\": \"%s\", \"emitted\": %lu, \"emitted_bytes\": %lu, "
	    "\"received\": %lu, \"received_bytes\": %lu, \"missed\": %lu, \"nombuf\": %lu, "
	    "\"checked\": %lu,\n   ",
	    p->name, p->conf.role == OBG_GUEST ? "guest" : "wire", emitted, emitted_bytes, received,
	    bytes, missed, nombuf, checked);
	counters(f, "kinds", obg_kind_names, kinds, OBG_N_KINDS);
	fprintf(f, ",\n   ");
	counters(f, "errors", obg_err_names, errs, OBG_N_ERRS);
	fprintf(f, "}");
}

void obg_report(struct obg_pair *pair)
{
	const struct obg_conf *c = &pair->conf;
	double now = (double)obg_now(pair) / (double)rte_get_tsc_hz();
	uint64_t opened = 0, retries = 0;
	char tmp[4096];
	bool bad;
	FILE *f;

	if (c->report == NULL)
		return;
	snprintf(tmp, sizeof(tmp), "%s.new", c->report);
	f = fopen(tmp, "we");
	if (f == NULL)
		return;
	for (unsigned s = 0; s < 2; s++) {
		const struct obg_port *p = pair->port[s];

		for (unsigned i = 0; i < p->n_txq; i++)
			opened += p->txq[i]->opened;
		for (unsigned i = 0; i < p->n_rxq; i++)
			retries += p->rxq[i]->retries;
	}
	fprintf(f,
	    "{\"obgen\": 1, \"pair\": \"%s\", \"pid\": %d, \"run\": %u, \"phase\": \"%s\", "
	    "\"time_s\": %.3f,\n ",
	    pair->name, getpid(), pair->run, obg_phase_names[obg_phase_of(pair)], now);
	config(f, c);
	fprintf(f,
	    " \"open\": {\"wanted\": %u, \"opened\": %lu, \"retries\": %lu, \"seconds\": %.3f},\n",
	    c->mode == OBG_CRR ? c->live
	    : c->open	       ? c->flows
			       : 0,
	    opened, retries, pair->opened_s);
	windows(f, pair);
	seconds(f, pair);
	fprintf(f, " \"ports\": [\n  ");
	port(f, pair->port[OBG_GUEST]);
	fprintf(f, ",\n  ");
	port(f, pair->port[OBG_WIRE]);
	fprintf(f, "]}\n");
	bad = ferror(f);
	if (fclose(f) != 0 || bad || rename(tmp, c->report) != 0)
		unlink(tmp);
}
