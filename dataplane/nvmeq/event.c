/* SPDX-License-Identifier: BSD-3-Clause */
/* From workers to the control thread: events, errors for the log, and the commands that control runs itself (reservations). */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "nvmeq_int.h"

static struct ob_nvmeq *all; /* control's */
static int event_fd = -1;

int ob_nvmeq_event_fd(void)
{
	if (event_fd < 0)
		event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return event_fd;
}

void nvmeq_events_add(struct ob_nvmeq *q)
{
	q->next = all;
	all = q;
}

void nvmeq_events_del(struct ob_nvmeq *q)
{
	for (struct ob_nvmeq **p = &all; *p != NULL; p = &(*p)->next) {
		if (*p != q)
			continue;
		*p = q->next;
		return;
	}
}

struct ob_nvmeq *nvmeq_find(const char *name)
{
	struct ob_nvmeq *q = all;

	while (q != NULL && strcmp(q->conf.name, name) != 0)
		q = q->next;
	return q;
}

static void ring(void)
{
	const uint64_t one = 1;
	ssize_t n = write(event_fd, &one, sizeof(one));

	(void)n; /* full: it is readable, which is all that counts */
}

/* ---- workers ---- */

void nvmeq_event(struct ob_nvmeq *q, const struct ob_nvmeq_event *ev)
{
	/* The host makes as many bad doorbells as it likes: they do not crowd out the others. */
	unsigned room = ev->type == OB_NVMEQ_EV_DOORBELL ? NVMEQ_EVENTS / 4 : NVMEQ_EVENTS;
	bool first;

	pthread_mutex_lock(&q->lock);
	first = q->n_events == 0;
	/* More than control has taken note of yet say nothing new. */
	if (q->n_events < room)
		q->event[q->n_events++] = *ev;
	pthread_mutex_unlock(&q->lock);
	if (first)
		ring();
}

bool nvmeq_error(struct ob_nvmeq *q, const struct ob_nvmeq_error *e)
{
	bool first, room;

	pthread_mutex_lock(&q->lock);
	first = !q->error_news;
	room = q->n_errors < NVMEQ_EVENTS;
	if (room)
		q->error[q->n_errors++] = *e;
	q->error_news |= room;
	first &= room;
	pthread_mutex_unlock(&q->lock);
	if (first)
		ring();
	return room;
}

void nvmeq_to_control(struct nvmeq_req *r)
{
	struct ob_nvmeq *q = nvmeq_worker_of(r)->q;

	pthread_mutex_lock(&q->lock);
	nvmeq_list_add(&q->control, r);
	pthread_mutex_unlock(&q->lock);
	ring();
}

void nvmeq_fatal(struct nvmeq_worker *nw, const char *text)
{
	struct ob_nvmeq *q = nw->q;
	bool told;

	if (nw->dead)
		return;
	nw->dead = true;
	pthread_mutex_lock(&q->lock);
	told = q->fatal;
	q->fatal = true;
	if (!told)
		q->fatal_text = text;
	pthread_mutex_unlock(&q->lock);
	if (!told)
		ring();
}

/* ---- control ---- */

struct answer {
	struct nvmeq_req *r;
	ob_nvme_status_t status;
};

static int give_back(struct ob_worker *w, void *arg)
{
	const struct answer *a = arg;
	struct nvmeq_worker *nw = nvmeq_worker_of(a->r);

	(void)w;
	nvmeq_begin(nw);
	nvmeq_complete(a->r, a->status);
	nvmeq_flush(nw);
	return 0;
}

void nvmeq_run_control(struct ob_nvmeq *q)
{
	struct answer a;

	/* A host that goes on sending them does not keep control from everything else. */
	for (unsigned i = 0; i < NVMEQ_EVENTS; i++) {
		pthread_mutex_lock(&q->lock);
		a.r = nvmeq_list_pop(&q->control);
		pthread_mutex_unlock(&q->lock);
		if (a.r == NULL)
			return;
		a.status = a.r->flags & NVMEQ_ABORTED
			       ? OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_ABORT_REQ)
			       : nvmeq_resv_run(q, a.r->nsw->att, a.r->sqe);
		ob_worker_call(nvmeq_worker_of(a.r)->w, give_back, &a);
	}
	ring();
}

/* Returns the number of events delivered. The handlers may stop queues, which runs what is on the control list. */
static unsigned deliver(struct ob_nvmeq *q)
{
	struct ob_nvmeq_event ev[NVMEQ_EVENTS];
	const char *fatal;
	unsigned n;
	bool errors;

	pthread_mutex_lock(&q->lock);
	fatal = q->fatal_text;
	q->fatal_text = NULL;
	n = q->n_events;
	memcpy(ev, q->event, n * sizeof(ev[0]));
	q->n_events = 0;
	errors = q->error_news;
	q->error_news = false;
	pthread_mutex_unlock(&q->lock);
	if (q->conf.on_event == NULL)
		return 0;
	if (fatal != NULL)
		q->conf.on_event(q->conf.ctx,
		    &(struct ob_nvmeq_event){.type = OB_NVMEQ_EV_FATAL, .text = fatal});
	if (errors)
		q->conf.on_event(q->conf.ctx, &(struct ob_nvmeq_event){.type = OB_NVMEQ_EV_ERROR});
	for (unsigned i = 0; i < n; i++)
		q->conf.on_event(q->conf.ctx, &ev[i]);
	return n + errors + (fatal != NULL);
}

unsigned ob_nvmeq_poll_events(void)
{
	uint64_t count;
	unsigned n = 0;

	if (read(ob_nvmeq_event_fd(), &count, sizeof(count)) != (ssize_t)sizeof(count))
		return 0;
	for (struct ob_nvmeq *q = all, *next; q != NULL; q = next) {
		next = q->next;
		nvmeq_run_control(q);
		n += deliver(q);
	}
	return n;
}

unsigned ob_nvmeq_errors(struct ob_nvmeq *q, struct ob_nvmeq_error *out, unsigned max)
{
	unsigned n;

	pthread_mutex_lock(&q->lock);
	n = RTE_MIN(q->n_errors, max);
	memcpy(out, q->error, n * sizeof(out[0]));
	q->n_errors -= n;
	memmove(q->error, q->error + n, q->n_errors * sizeof(q->error[0]));
	pthread_mutex_unlock(&q->lock);
	return n;
}
