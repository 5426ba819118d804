/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>

#define NAP_MIN_NS 20000u /* first sleep of a worker with a source that cannot wake it */
#define NAP_MAX_NS 500000u
#define SLEEP_NS \
	100000000u /* longest sleep when everything can wake us: bounds the harm of a lost wake-up */
#define SAMPLE_EVERY 64
#define SPIN_SHARE   32 /* of the longest spin: what a worker spins at least */

static unsigned take_handoff(struct ob_worker *w)
{
	struct ob_burst *b = &w->handoff_burst;
	unsigned n = rte_ring_sc_dequeue_burst(w->handoff, (void **)b->pkt, OB_BURST_MAX, NULL);

	if (n == 0)
		return 0;
	for (unsigned i = 0; i < n; i++)
		b->meta[i] = *(struct ob_meta *)rte_mbuf_to_priv(b->pkt[i]);
	b->n = (uint16_t)n;
	w->counters->n_handoff_in += n;
	if (ob_handoff.fn != NULL)
		ob_handoff.fn(w, b, ob_handoff.arg);
	else
		rte_pktmbuf_free_bulk(b->pkt, n);
	return n;
}

unsigned worker_round(struct ob_worker *w)
{
	unsigned n;

	worker_run_mail(w);
	n = take_handoff(w);
	for (unsigned i = 0; i < w->n_sources; i++)
		n += w->sources[i].poll(w, w->sources[i].arg);
	for (unsigned i = 0; i < w->n_flushes; i++)
		w->flushes[i].flush(w, w->flushes[i].arg);
	w->counters->n_rounds++;
	return n;
}

static bool work_waits(const struct ob_worker *w)
{
	return __atomic_load_n(&w->has_mail, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&w->stop, __ATOMIC_ACQUIRE) || !rte_ring_empty(w->handoff);
}

static bool arm_all(struct ob_worker *w)
{
	bool work = false;

	for (unsigned i = 0; i < w->n_sources; i++) {
		if (w->sources[i].arm != NULL)
			work |= w->sources[i].arm(w, w->sources[i].arg);
	}
	return work;
}

static void disarm_all(struct ob_worker *w)
{
	for (unsigned i = 0; i < w->n_sources; i++) {
		if (w->sources[i].disarm != NULL)
			w->sources[i].disarm(w, w->sources[i].arg);
	}
}

/* To spin before a sleep pays where work comes before the spin ends. Work that came later shows that it did not (a disk that completes in
 * bursts), work that came sooner that a longer spin would have met it. */
static void learn_to_spin(struct ob_worker *w, uint64_t slept_tsc)
{
	w->idle_spin_tsc = slept_tsc > w->most_spin_tsc
			       ? w->most_spin_tsc / SPIN_SHARE
			       : RTE_MIN(w->idle_spin_tsc * 2, w->most_spin_tsc);
}

static void sleep_now(struct ob_worker *w)
{
	struct pollfd p = {.fd = w->epoll_fd, .events = POLLIN};
	struct timespec ts = {.tv_nsec = SLEEP_NS};
	uint64_t junk, begun = rte_rdtsc();

	if (w->n_must_poll > 0) {
		ts.tv_nsec = w->nap_ns;
		w->nap_ns = RTE_MIN(w->nap_ns * 2, NAP_MAX_NS);
	}
	w->counters->n_sleeps++;
	worker_rcu_offline(w->head.id);
	if (ppoll(&p, 1, &ts, NULL) > 0) {
		w->counters->n_wakeups++;
		learn_to_spin(w, rte_rdtsc() - begun);
		/* Only our own eventfd is emptied here; a source empties its own when it is polled. */
		if (read(w->wake_fd, &junk, sizeof(junk)) < 0)
			junk = 0;
	}
	worker_rcu_online(w->head.id);
}

static void idle(struct ob_worker *w)
{
	__atomic_store_n(&w->sleeping, 1, __ATOMIC_RELAXED);
	/* Pairs with the fence in ob_worker_wake. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!arm_all(w) && !work_waits(w))
		sleep_now(w);
	__atomic_store_n(&w->sleeping, 0, __ATOMIC_RELAXED);
	disarm_all(w);
}

static void sample(struct ob_worker *w)
{
	w->counters->busy_tsc_sampled += rte_rdtsc() - w->head.tsc;
	w->counters->busy_rounds_sampled++;
}

void *worker_main(void *arg)
{
	struct ob_worker *w = arg;

	prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
	rte_thread_register();
	worker_rcu_register(w->head.id);
	worker_rcu_online(w->head.id);
	w->nap_ns = NAP_MIN_NS;
	w->last_busy_tsc = rte_rdtsc();
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		w->head.tsc = rte_rdtsc();
		if (worker_round(w) > 0) {
			w->last_busy_tsc = w->head.tsc;
			w->nap_ns = NAP_MIN_NS;
			if (w->counters->n_busy_rounds++ % SAMPLE_EVERY == 0)
				sample(w);
		} else if (!w->poll_always && w->head.tsc - w->last_busy_tsc > w->idle_spin_tsc) {
			idle(w);
		}
		worker_rcu_quiescent(w->head.id);
	}
	worker_run_mail(w);
	worker_rcu_offline(w->head.id);
	worker_rcu_unregister(w->head.id);
	rte_thread_unregister();
	return NULL;
}

unsigned ob_worker_round(struct ob_worker *w)
{
	w->head.tsc = rte_rdtsc();
	return worker_round(w);
}
