/* SPDX-License-Identifier: BSD-3-Clause */
#include "target.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "ob_arena.h"
#include "ob_gmem.h"
#include "ob_test_eal.h"
#include "ob_worker.h"

int target_start(const char *name, struct event_base **base, struct ob_arena **arena)
{
	struct ob_workers_conf conf = {.n_workers = 2, .n_mbufs = 256};
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ob_test_eal();
	*base = event_base_new();
	if (*base == NULL)
		return -ENOMEM;
	rc = ob_gmem_catch_faults();
	if (rc == 0)
		rc = ob_arena_create(name, 256 << 20, arena);
	if (rc != 0)
		return rc;
	conf.arena = *arena;
	return ob_workers_start(&conf);
}

static void on_signal(evutil_socket_t sig, short what, void *base)
{
	(void)sig;
	(void)what;
	event_base_loopbreak(base);
}

struct poller {
	unsigned (*poll_events)(void);
};

static void on_events(evutil_socket_t fd, short what, void *arg)
{
	struct poller *p = arg;

	(void)fd;
	(void)what;
	p->poll_events();
}

static void on_reclaim(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ob_rcu_reclaim();
}

void target_serve(struct event_base *base, int event_fd, unsigned (*poll_events)(void))
{
	struct timeval tv = {.tv_usec = 100000};
	struct poller p = {poll_events};
	struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
	struct event *events = event_new(base, event_fd, EV_READ | EV_PERSIST, on_events, &p);
	struct event *reclaim = event_new(base, -1, EV_PERSIST, on_reclaim, NULL);

	event_add(term, NULL);
	event_add(events, NULL);
	event_add(reclaim, &tv);
	puts("ready");
	fflush(stdout);
	event_base_dispatch(base);
	event_free(term);
	event_free(events);
	event_free(reclaim);
}
