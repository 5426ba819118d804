/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/worker only. */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <rte_ring.h>

#include "ob_worker.h"

#define MAX_SOURCES  4096
#define MAX_FLUSHES  16
#define DROP_STRIDE  64
#define HANDOFF_SIZE 4096

/* One message to a worker; lives on the caller's stack (call) or the heap (post). */
struct mail {
	struct mail *next;
	int (*call)(struct ob_worker *w, void *arg);
	void (*post)(struct ob_worker *w, void *arg);
	void *arg;
	int result;
	sem_t done;
};

struct ob_worker {
	struct ob_worker_head head; /* first: see the inline functions of ob_worker.h */
	/* Owner only. */
	bool manual, poll_always;
	unsigned n_sources, n_flushes;
	struct ob_source *sources; /* MAX_SOURCES */
	struct ob_flush flushes[MAX_FLUSHES];
	uint64_t last_busy_tsc;
	uint64_t idle_spin_tsc, most_spin_tsc; /* now; at most */
	uint32_t nap_ns;
	unsigned n_must_poll;
	int epoll_fd;
	struct ob_worker_counters *counters; /* arena */
	uint64_t *drops;		     /* arena: [OB_MAX_VIFS + 1][DROP_STRIDE] */
	struct ob_burst handoff_burst;

	/* Shared with the threads that give it work. */
	struct rte_ring *handoff;
	int wake_fd;
	uint32_t sleeping; /* atomic */
	uint32_t has_mail; /* atomic */
	uint32_t stop;	   /* atomic */
	pthread_mutex_t mail_lock;
	struct mail *mail_head, **mail_tail;
	pthread_t thread;
	bool thread_running;
};

/* The handoff handler, the same for all workers. */
struct handoff_fn {
	void (*fn)(struct ob_worker *w, struct ob_burst *b, void *arg);
	void *arg;
};
extern struct handoff_fn ob_handoff;

/* worker.c */
extern struct ob_worker *ob_workers[OB_MAX_WORKERS];
extern unsigned ob_n_workers;

/* mailbox.c */
void worker_run_mail(struct ob_worker *w);
/* loop.c */
unsigned worker_round(struct ob_worker *w);
void *worker_main(void *arg);
/* rcu.c */
void worker_rcu_online(unsigned id);
void worker_rcu_offline(unsigned id);
void worker_rcu_quiescent(unsigned id);
void worker_rcu_register(unsigned id);
void worker_rcu_unregister(unsigned id);
/* drop.c */
int worker_drops_init(struct ob_worker *w, struct ob_arena *arena);
