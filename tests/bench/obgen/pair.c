/* SPDX-License-Identifier: BSD-3-Clause */
/* Two ports that belong together: what they share, and the thread that leads them through the phases and keeps the books. It does what
 * needs system calls, so that the polling thread's time is the system's own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

#include "obgen.h"

RTE_LOG_REGISTER(obg_log, pmd.net.obgen, NOTICE);

#define TICK_NS	    10000000
#define TIMEOUT_S   0.2
#define QUIET_US    2000 /* longer than a burst takes */
#define TORN_S	    50e-6
#define MAX_THREADS (4 * OBG_MAX_QUEUES)

const char *const obg_phase_names[] = {"wait", "open", "warm", "measure", "done", "stopped"};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct obg_pair *all;

/* ---- pairs by name ------------------------------------------------------------------------------------------------- */

struct obg_pair *obg_pair_get(const char *name)
{
	struct obg_pair *p;

	pthread_mutex_lock(&all_lock);
	for (p = all; p != NULL && strcmp(p->name, name) != 0; p = p->next)
		;
	if (p == NULL && (p = calloc(1, sizeof(*p))) != NULL) {
		snprintf(p->name, sizeof(p->name), "%s", name);
		p->phase = OBG_STOPPED;
		pthread_mutex_init(&p->lock, NULL);
		pthread_cond_init(&p->wake, NULL);
		p->next = all;
		all = p;
	}
	pthread_mutex_unlock(&all_lock);
	return p;
}

void obg_pair_put(struct obg_pair *pair)
{
	struct obg_pair **at;

	if (pair->port[0] != NULL || pair->port[1] != NULL)
		return;
	pthread_mutex_lock(&all_lock);
	for (at = &all; *at != pair; at = &(*at)->next)
		;
	*at = pair->next;
	pthread_mutex_unlock(&all_lock);
	for (unsigned i = 0; i < RTE_DIM(pair->value); i++)
		free(pair->value[i]);
	for (unsigned i = 0; i < OBG_MAX_WINDOWS; i++)
		free(pair->window[i].hist);
	free(pair->slot);
	free(pair);
}

/* ---- books --------------------------------------------------------------------------------------------------------- */

static double seconds_of(const struct timespec *ts)
{
	return (double)ts->tv_sec + (double)ts->tv_nsec * 1e-9;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return seconds_of(&ts);
}

static void cpu(const struct obg_pair *pair, struct obg_totals *t)
{
	pthread_t seen[MAX_THREADS];
	struct timespec ts;

	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < pair->port[s]->n_rxq; i++) {
			const struct obg_rxq *q = pair->port[s]->rxq[i];
			unsigned k;

			/* Pairs with the release in rx.c. */
			if (!__atomic_load_n(&q->has_thread, __ATOMIC_ACQUIRE))
				continue;
			for (k = 0; k < t->threads && !pthread_equal(seen[k], q->thread); k++)
				;
			if (k < t->threads || k == MAX_THREADS || clock_gettime(q->cpu, &ts) < 0)
				continue;
			seen[t->threads++] = q->thread;
			t->cpu_ns += (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
		}
	}
}

void obg_pair_totals(const struct obg_pair *pair, struct obg_totals *t)
{
	memset(t, 0, sizeof(*t));
	cpu(pair, t);
	for (unsigned s = 0; s < 2; s++) {
		const struct obg_port *p = pair->port[s];

		for (unsigned i = 0; i < p->n_rxq; i++) {
			t->emitted += p->rxq[i]->pkts;
			t->emitted_bytes += p->rxq[i]->bytes;
			t->missed += p->rxq[i]->missed;
			t->timeouts += p->rxq[i]->timeouts;
		}
		for (unsigned i = 0; i < p->n_txq; i++) {
			t->received += p->txq[i]->pkts;
			t->received_bytes += p->txq[i]->bytes;
			t->connections += p->txq[i]->connections;
			for (unsigned k = 0; k < OBG_N_ERRS; k++)
				t->errors += p->txq[i]->errs[k];
		}
	}
}

/* Time and counters of one moment. */
static double totals_now(const struct obg_pair *pair, struct obg_totals *t)
{
	double before, after = 0;

	for (unsigned try = 0; try < 5; try++) {
		before = now_s();
		obg_pair_totals(pair, t);
		after = now_s();
		if (after - before < TORN_S)
			break;
	}
	return after;
}

static void difference(struct obg_totals *d, const struct obg_totals *a, const struct obg_totals *b)
{
	d->emitted = b->emitted - a->emitted;
	d->emitted_bytes = b->emitted_bytes - a->emitted_bytes;
	d->received = b->received - a->received;
	d->received_bytes = b->received_bytes - a->received_bytes;
	d->missed = b->missed - a->missed;
	d->errors = b->errors - a->errors;
	d->connections = b->connections - a->connections;
	d->timeouts = b->timeouts - a->timeouts;
	/* (a thread that has ended takes its time with it) */
	d->cpu_ns = b->cpu_ns > a->cpu_ns ? b->cpu_ns - a->cpu_ns : 0;
	d->threads = b->threads;
}

/* ---- phases -------------------------------------------------------------------------------------------------------- */

struct books {
	double at_s, second_s, window_s; /* when the phase, the second, the window began */
	struct obg_totals second, window;
	uint64_t opened; /* before this run */
};

static void set_phase(struct obg_pair *pair, struct books *b, enum obg_phase phase)
{
	b->at_s = now_s();
	/* Pairs with the acquire in obg_phase_of(). */
	__atomic_store_n(&pair->phase, (uint32_t)phase, __ATOMIC_RELEASE);
	obg_report(pair);
}

static bool may_go(const struct obg_pair *pair)
{
	return pair->conf.go == NULL || access(pair->conf.go, F_OK) == 0;
}

static uint64_t opened(const struct obg_pair *pair)
{
	uint64_t n = 0;

	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < pair->port[s]->n_txq; i++)
			n += __atomic_load_n(&pair->port[s]->txq[i]->opened, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < pair->port[s]->n_rxq; i++)
			n += __atomic_load_n(&pair->port[s]->rxq[i]->timeouts, __ATOMIC_RELAXED);
	}
	return n;
}

static uint32_t to_open(const struct obg_pair *pair)
{
	const struct obg_conf *c = &pair->conf;

	if (c->mode == OBG_CRR)
		return c->live;
	return c->open && (pair->run == 1 || !c->tcp) ? c->flows : 0;
}

static void begin_run(struct obg_pair *pair, struct books *b)
{
	pair->run++;
	pair->n_windows = 0;
	b->opened = opened(pair);
	set_phase(pair, b, to_open(pair) > 0 ? OBG_OPEN : OBG_WARM);
}

static void begin_window(struct obg_pair *pair, struct books *b)
{
	__atomic_store_n(&pair->hist_run, pair->hist_run + 1, __ATOMIC_RELAXED);
	b->window_s = totals_now(pair, &b->window);
}

static void end_window(struct obg_pair *pair, struct books *b)
{
	struct obg_window *w = &pair->window[pair->n_windows];
	struct obg_totals t;
	double at = totals_now(pair, &t);

	w->seconds = at - b->window_s;
	difference(&w->d, &b->window, &t);
	if (w->hist == NULL)
		w->hist = malloc(sizeof(*w->hist));
	if (w->hist != NULL) {
		obg_hist_clear(w->hist);
		for (unsigned s = 0; s < 2; s++) {
			for (unsigned i = 0; i < pair->port[s]->n_txq; i++) {
				const struct obg_txq *q = pair->port[s]->txq[i];

				if (q->hist_run == pair->hist_run)
					obg_hist_merge(w->hist, &q->hist);
			}
		}
	}
	pair->n_windows++;
}

static void measure(struct obg_pair *pair, struct books *b)
{
	const struct obg_conf *c = &pair->conf;

	if (c->measure <= 0 || now_s() - b->window_s < c->measure)
		return;
	end_window(pair, b);
	if (pair->n_windows < c->windows) {
		begin_window(pair, b);
		obg_report(pair);
		return;
	}
	set_phase(pair, b, OBG_DONE);
}

static void step(struct obg_pair *pair, struct books *b)
{
	switch (obg_phase_of(pair)) {
	case OBG_WAIT:
		if (may_go(pair))
			begin_run(pair, b);
		return;
	case OBG_OPEN:
		if (opened(pair) - b->opened >= to_open(pair)) {
			pair->opened_s = now_s() - b->at_s;
			set_phase(pair, b, OBG_WARM);
		}
		break;
	case OBG_WARM:
		if (now_s() - b->at_s >= pair->conf.warm) {
			begin_window(pair, b);
			set_phase(pair, b, OBG_MEASURE);
		}
		break;
	case OBG_MEASURE:
		measure(pair, b);
		break;
	default:
		break;
	}
	if (!may_go(pair)) {
		if (obg_phase_of(pair) == OBG_MEASURE && pair->conf.measure <= 0)
			end_window(pair, b);
		set_phase(pair, b, OBG_WAIT);
	}
}

static void every_second(struct obg_pair *pair, struct books *b)
{
	struct obg_second *s = &pair->second[pair->n_seconds % OBG_N_SECONDS];
	struct obg_totals t;
	double at;

	if (now_s() - b->second_s < 1)
		return;
	at = totals_now(pair, &t);
	s->t = at - pair->start_s;
	s->phase = obg_phase_of(pair);
	difference(&s->d, &b->second, &t);
	b->second = t;
	b->second_s = at;
	pair->n_seconds++;
	obg_report(pair);
}

static void *control(void *arg)
{
	struct obg_pair *pair = arg;
	struct books b = {0};
	struct timespec ts;

	pair->start_s = totals_now(pair, &b.second);
	b.second_s = pair->start_s;
	obg_report(pair);
	pthread_mutex_lock(&pair->lock);
	while (!pair->quit) {
		step(pair, &b);
		every_second(pair, &b);
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += TICK_NS;
		ts.tv_sec += ts.tv_nsec / 1000000000;
		ts.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&pair->wake, &pair->lock, &ts);
	}
	pthread_mutex_unlock(&pair->lock);
	if (obg_phase_of(pair) == OBG_MEASURE && pair->conf.measure <= 0)
		end_window(pair, &b);
	return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------------------------------ */

static void zero_mbuf(struct rte_mempool *mp __rte_unused, void *arg __rte_unused, void *obj,
    unsigned idx __rte_unused)
{
	struct rte_mbuf *m = obj;

	memset(m->buf_addr, 0, m->buf_len);
}

/* Payload is not written for every packet, as a card's DMA engine would not make the CPU do it. So that its checksum is known, the buffers
 * hold zeros behind what headers reach. Only where nobody has any of them in use. */
static bool zero_pool(struct obg_pair *pair, struct obg_rxq *q)
{
	struct rte_mempool *done[2 * OBG_MAX_QUEUES];
	unsigned n = 0;

	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < pair->port[s]->n_rxq; i++) {
			if (pair->port[s]->rxq[i] == q)
				goto own;
			done[n++] = pair->port[s]->rxq[i]->mp;
		}
	}
own:
	while (n > 0) {
		if (done[--n] == q->mp)
			return true; /* as that queue found */
	}
	if (!rte_mempool_full(q->mp))
		return false;
	rte_mempool_obj_iter(q->mp, zero_mbuf, NULL);
	return true;
}

static int setup_ring(struct obg_rxq *q)
{
	const struct obg_conf *c = &q->port->pair->conf;
	unsigned n = rte_align32pow2(4 * c->inflight + 4 * OBG_BURST);
	ssize_t bytes = rte_ring_get_memsize(n);

	rte_free(q->steps);
	q->steps = bytes < 0 ? NULL
			     : rte_zmalloc_socket(
				   "obgen", (size_t)bytes, RTE_CACHE_LINE_SIZE, SOCKET_ID_ANY);
	if (q->steps == NULL)
		return -ENOMEM;
	return rte_ring_init(q->steps, "obgen", n, RING_F_SC_DEQ);
}

static void set_pace(struct obg_pace *p, double pps, uint64_t backlog)
{
	p->period = pps > 0 ? (uint64_t)((double)rte_get_tsc_hz() * 4096 / pps) : 0;
	p->next = 0;
	p->backlog = backlog;
}

static int setup_rxq(struct obg_rxq *q)
{
	struct obg_port *port = q->port;
	const struct obg_conf *c = &port->pair->conf;
	bool wire = port->conf.role == OBG_WIRE;
	int rc = 0;

	free(q->walk.list);
	free(q->live.list);
	obg_walk_init(&q->walk, 0, c->flows, wire);
	memset(&q->live, 0, sizeof(q->live));
	if (c->live > 0)
		obg_walk_init(&q->live, 0, c->live, wire);
	if (port->n_rxq > 1 && c->mode != OBG_CRR)
		rc = obg_walk_pick(&q->walk, port, q->idx, wire);
	if (rc == 0 && port->n_rxq > 1 && c->live > 0)
		rc = obg_walk_pick(&q->live, port, q->idx, wire);
	if (rc < 0)
		return rc;
	set_pace(&q->pace, c->rate * q->walk.n / c->flows, q->n_desc);
	set_pace(&q->live_pace, q->live.n / c->touch, 1 << 20);
	q->rng = 0x9e3779b97f4a7c15 * (q->idx * 2u + wire + 1);
	q->launch = 0;
	q->lap = 0;
	q->sweep = 0;
	q->run = 0;
	q->has_thread = false;
	q->pkts = q->bytes = q->missed = q->nombuf = q->retries = q->timeouts = 0;
	return setup_ring(q);
}

static void setup_txq(struct obg_txq *q)
{
	struct obg_port *port = q->port;
	uint16_t idx = q->idx;

	memset(q, 0, sizeof(*q));
	q->port = port;
	q->idx = idx;
	q->until_check = port->conf.check;
	obg_hist_clear(&q->hist);
}

static int setup_port(struct obg_pair *pair, struct obg_port *port)
{
	int rc;

	port->tunnel = port->conf.role == OBG_WIRE && pair->conf.encap != OBG_NONE;
	if (pair->conf.encap == OBG_NONE && port->conf.expect == OBG_WANT_TUNNEL)
		port->conf.expect = OBG_WANT_PLAIN;
	obg_templates(port);
	port->arp.state = 0;
	for (unsigned i = 0; i < port->n_rxq; i++) {
		struct obg_rxq *q = port->rxq[i];

		rc = setup_rxq(q);
		if (rc < 0)
			return rc;
		q->ol_flags = RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_IP_CKSUM_GOOD |
			      RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		if (port->tunnel)
			q->ol_flags |= RTE_MBUF_F_RX_OUTER_L4_CKSUM_GOOD;
	}
	for (unsigned i = 0; i < port->n_txq; i++)
		setup_txq(port->txq[i]);
	return 0;
}

/* Buffers have to hold the largest frame in one piece. */
static int check_frames(const struct obg_pair *pair, const struct obg_port *port)
{
	unsigned len = 0;

	for (unsigned t = 0; t < 3; t++)
		len = RTE_MAX(len, (unsigned)port->tmpl[t].len);
	for (unsigned i = 0; i < port->n_rxq; i++) {
		if (rte_pktmbuf_data_room_size(port->rxq[i]->mp) <
		    RTE_PKTMBUF_HEADROOM + RTE_MAX(len, 128u)) {
			rte_log(RTE_LOG_ERR, obg_log,
			    "net_obgen: pair %s: frames of %u bytes do not fit the buffers of %s\n",
			    pair->name, len, port->name);
			return -EINVAL;
		}
	}
	return len > 128;
}

static int setup(struct obg_pair *pair)
{
	struct obg_conf *c = &pair->conf;
	bool zero = false;
	struct timespec ts;
	int rc;

	free(pair->slot);
	pair->slot = calloc(c->inflight, sizeof(*pair->slot));
	if (pair->slot == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->inflight; i++)
		pair->slot[i].next = OBG_FREE;
	for (unsigned s = 0; s < 2; s++) {
		rc = setup_port(pair, pair->port[s]);
		if (rc == 0)
			rc = check_frames(pair, pair->port[s]);
		if (rc < 0)
			return rc;
		zero |= rc > 0;
	}
	obg_numbers(pair);
	pair->zeroed = true;
	for (unsigned s = 0; zero && s < 2; s++) {
		for (unsigned i = 0; i < pair->port[s]->n_rxq; i++)
			pair->zeroed &= zero_pool(pair, pair->port[s]->rxq[i]);
	}
	if (!pair->zeroed)
		rte_log(RTE_LOG_NOTICE, obg_log,
		    "net_obgen: pair %s: buffers are in use, so payload is not known and L4 "
		    "checksums are not checked\n",
		    pair->name);
	if (c->zipf > 0)
		obg_zipf_init(&pair->zipf, c->zipf, pair->port[0]->rxq[0]->walk.n);
	pair->advance = c->zipf <= 0 && c->mode != OBG_CRR && pair->port[0]->n_rxq == 1 &&
			pair->port[1]->n_rxq == 1;
	/* As RFC 6528 has it: systems that remember a connection take a later number for a new one. */
	clock_gettime(CLOCK_REALTIME, &ts);
	pair->isn = (uint32_t)((uint64_t)ts.tv_sec * 250000 + (uint64_t)ts.tv_nsec / 4000);
	pair->timeout_tsc = (uint64_t)(TIMEOUT_S * (double)rte_get_tsc_hz());
	pair->tsc0 = rte_rdtsc();
	pair->run = 0;
	pair->n_windows = 0;
	pair->n_seconds = 0;
	pair->opened_s = 0;
	return 0;
}

int obg_pair_start(struct obg_pair *pair)
{
	int rc = obg_args_settle(pair);

	if (rc == 0)
		rc = setup(pair);
	if (rc < 0)
		return rc;
	pair->quit = false;
	__atomic_store_n(&pair->phase, OBG_WAIT, __ATOMIC_RELEASE);
	rc = rte_ctrl_thread_create(&pair->control, "obgen", NULL, control, pair);
	if (rc != 0) {
		__atomic_store_n(&pair->phase, OBG_STOPPED, __ATOMIC_RELEASE);
		return -EAGAIN;
	}
	pair->running = true;
	return 0;
}

void obg_pair_stop(struct obg_pair *pair)
{
	if (!pair->running)
		return;
	pthread_mutex_lock(&pair->lock);
	pair->quit = true;
	pthread_cond_signal(&pair->wake);
	pthread_mutex_unlock(&pair->lock);
	pthread_join(pair->control, NULL);
	pair->running = false;
	__atomic_store_n(&pair->phase, OBG_STOPPED, __ATOMIC_RELEASE);
	/* The other port is perhaps polled meanwhile; let its burst end before anything goes away. */
	usleep(QUIET_US);
	obg_report(pair);
}
