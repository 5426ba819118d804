/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <stdlib.h>

#include <rte_rcu_qsbr.h>

struct deferred {
	struct deferred *next;
	void (*fn)(void *p);
	void *p;
	uint64_t token;
};

static struct rte_rcu_qsbr *qsbr;
static pthread_once_t qsbr_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t defer_lock = PTHREAD_MUTEX_INITIALIZER;
static struct deferred *defer_head, **defer_tail = &defer_head;

static void qsbr_create(void)
{
	size_t len = rte_rcu_qsbr_get_memsize(OB_MAX_WORKERS);

	qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(len, RTE_CACHE_LINE_SIZE));
	if (qsbr == NULL || rte_rcu_qsbr_init(qsbr, OB_MAX_WORKERS) != 0)
		abort(); /* at start-up, before anything is served */
}

static struct rte_rcu_qsbr *get_qsbr(void)
{
	pthread_once(&qsbr_once, qsbr_create);
	return qsbr;
}

void worker_rcu_register(unsigned id)
{
	rte_rcu_qsbr_thread_register(get_qsbr(), id);
}

void worker_rcu_unregister(unsigned id)
{
	rte_rcu_qsbr_thread_unregister(get_qsbr(), id);
}

void worker_rcu_online(unsigned id)
{
	rte_rcu_qsbr_thread_online(qsbr, id);
}

void worker_rcu_offline(unsigned id)
{
	rte_rcu_qsbr_thread_offline(qsbr, id);
}

void worker_rcu_quiescent(unsigned id)
{
	rte_rcu_qsbr_quiescent(qsbr, id);
}

void ob_rcu_sync(void *ctx)
{
	(void)ctx;
	rte_rcu_qsbr_synchronize(get_qsbr(), RTE_QSBR_THRID_INVALID);
}

void ob_rcu_defer(void (*fn)(void *p), void *p)
{
	struct deferred *d;

	if (p == NULL)
		return;
	d = malloc(sizeof(*d));
	if (d == NULL) {
		/* No memory to remember it by: the slow way is still right. */
		ob_rcu_sync(NULL);
		fn(p);
		return;
	}
	*d = (struct deferred){.fn = fn, .p = p, .token = rte_rcu_qsbr_start(get_qsbr())};
	pthread_mutex_lock(&defer_lock);
	*defer_tail = d;
	defer_tail = &d->next;
	pthread_mutex_unlock(&defer_lock);
}

void ob_rcu_reclaim(void)
{
	struct deferred *d;

	for (;;) {
		pthread_mutex_lock(&defer_lock);
		d = defer_head;
		if (d != NULL && rte_rcu_qsbr_check(get_qsbr(), d->token, false) == 1) {
			defer_head = d->next;
			if (defer_head == NULL)
				defer_tail = &defer_head;
		} else {
			d = NULL;
		}
		pthread_mutex_unlock(&defer_lock);
		if (d == NULL)
			return;
		d->fn(d->p);
		free(d);
	}
}
