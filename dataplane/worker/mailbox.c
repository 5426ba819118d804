/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void ob_worker_wake(struct ob_worker *w)
{
	uint64_t one = 1;

	/* Orders the caller's work before the load; pairs with the fence between 'sleeping = 1' and the last look in
	 * loop.c: either we see it sleeping, or it sees the work. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w->sleeping, __ATOMIC_RELAXED) &&
	    write(w->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is at its limit: the fd is readable already */
}

static void put(struct ob_worker *w, struct mail *m)
{
	m->next = NULL;
	pthread_mutex_lock(&w->mail_lock);
	*w->mail_tail = m;
	w->mail_tail = &m->next;
	pthread_mutex_unlock(&w->mail_lock);
	__atomic_store_n(
	    &w->has_mail, 1, __ATOMIC_RELEASE); /* pairs with the acquire in worker_run_mail */
	ob_worker_wake(w);
}

void worker_run_mail(struct ob_worker *w)
{
	struct mail *m, *next;

	if (likely(!__atomic_load_n(&w->has_mail, __ATOMIC_ACQUIRE)))
		return;
	__atomic_store_n(&w->has_mail, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&w->mail_lock);
	m = w->mail_head;
	w->mail_head = NULL;
	w->mail_tail = &w->mail_head;
	pthread_mutex_unlock(&w->mail_lock);
	for (; m != NULL; m = next) {
		next = m->next;
		w->counters->n_mail++;
		if (m->call != NULL) {
			m->result = m->call(w, m->arg);
			sem_post(&m->done); /* the caller's stack is gone after this */
		} else {
			m->post(w, m->arg);
			free(m);
		}
	}
}

int ob_worker_call(struct ob_worker *w, int (*fn)(struct ob_worker *w, void *arg), void *arg)
{
	struct mail m = {.call = fn, .arg = arg};

	if (!w->thread_running)
		return fn(w, arg);
	sem_init(&m.done, 0, 0);
	put(w, &m);
	while (sem_wait(&m.done) < 0 && errno == EINTR)
		;
	sem_destroy(&m.done);
	return m.result;
}

int ob_worker_post(struct ob_worker *w, void (*fn)(struct ob_worker *w, void *arg), void *arg)
{
	struct mail *m;

	if (!w->thread_running) {
		fn(w, arg);
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return -ENOBUFS;
	m->post = fn;
	m->arg = arg;
	put(w, m);
	return 0;
}
