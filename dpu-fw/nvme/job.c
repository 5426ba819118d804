/* SPDX-License-Identifier: BSD-3-Clause */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#define NAP_US 1000 /* where nothing can wake us */

struct nvme_job {
	struct nvme_job *next; /* of the orphans */
	struct ob_blk *b;
	struct ob_blk_ch *ch;
	struct ob_blk_io io; /* its address finds the job */
	struct iovec iov;
	struct event *turn, *wake; /* wake: the channel's descriptor, or NULL */
	void (*fn)(void *arg, int result);
	void (*then)(void *arg); /* of an orphan: when it is over */
	void *arg, *then_arg, *free_buf;
	bool busy, finished, armed, orphan;
};

static struct nvme_job *orphans;

static void job_free(struct nvme_job *j)
{
	if (j->armed)
		ob_blk_disarm(j->ch);
	if (j->wake != NULL)
		event_free(j->wake);
	if (j->turn != NULL)
		event_free(j->turn);
	if (j->ch != NULL)
		ob_blk_ch_close(j->ch);
	ob_blk_put(j->b);
	free(j->free_buf);
	free(j);
}

static void over(struct nvme_job *j)
{
	void (*then)(void *arg) = j->then;
	void *arg = j->then_arg;

	job_free(j);
	if (then != NULL)
		then(arg);
}

static void orphan_over(struct nvme_job *j)
{
	for (struct nvme_job **p = &orphans; *p != NULL; p = &(*p)->next)
		if (*p == j) {
			*p = j->next;
			break;
		}
	over(j);
}

static void io_done(struct ob_blk_io *io)
{
	struct nvme_job *j = io->owner;

	j->finished = true;
	event_active(j->turn, EV_TIMEOUT, 0);
}

/* Looks, and if there is nothing yet asks to be woken. */
static void wait_more(struct nvme_job *j)
{
	const struct timeval nap = {.tv_usec = NAP_US};
	bool must_poll = false, now;

	(void)ob_blk_poll(j->ch);
	if (j->finished)
		return;
	now = ob_blk_arm(j->ch, &must_poll);
	j->armed = true;
	if (now)
		event_active(j->turn, EV_TIMEOUT, 0);
	else if (must_poll || j->wake == NULL)
		event_add(j->turn, &nap);
	else
		event_add(j->wake, NULL);
}

static void turn(evutil_socket_t fd, short what, void *arg)
{
	struct nvme_job *j = arg;

	(void)fd;
	(void)what;
	if (!j->busy)
		return;
	if (j->armed)
		ob_blk_disarm(j->ch);
	j->armed = false;
	if (!j->finished) {
		wait_more(j);
		return;
	}
	j->busy = false;
	if (j->orphan)
		orphan_over(j);
	else
		j->fn(j->arg, j->io.result);
}

int nvme_job_open(struct event_base *base, struct ob_blk *b, struct nvme_job **out)
{
	struct nvme_job *j = calloc(1, sizeof(*j));
	int rc, fd;

	if (j == NULL)
		return -ENOMEM;
	j->b = ob_blk_get(b);
	rc = ob_blk_ch_open(b, &j->ch);
	if (rc != 0) {
		j->ch = NULL;
		goto err;
	}
	rc = -ENOMEM;
	j->turn = event_new(base, -1, 0, turn, j);
	if (j->turn == NULL)
		goto err;
	fd = ob_blk_wake_fd(j->ch);
	if (fd >= 0) {
		j->wake = event_new(base, fd, EV_READ, turn, j);
		if (j->wake == NULL)
			goto err;
	}
	*out = j;
	return 0;

err:
	job_free(j);
	return rc;
}

void nvme_job_io(struct nvme_job *j, enum ob_blk_op op, unsigned flags, uint64_t off, uint64_t len,
    void *buf, void (*fn)(void *arg, int result), void *arg)
{
	struct ob_blk_io *io = &j->io;

	assert(!j->busy);
	j->iov = (struct iovec){buf, len};
	*io = (struct ob_blk_io){
	    .op = (uint8_t)op,
	    .flags = (uint8_t)flags,
	    .n_iov = buf != NULL,
	    .off = off,
	    .len = len,
	    .iov = &j->iov,
	    .done = io_done,
	    .owner = j,
	};
	j->fn = fn;
	j->arg = arg;
	j->finished = false;
	j->busy = true;
	ob_blk_submit(j->ch, &io, 1);
	if (!j->finished)
		wait_more(j);
}

void nvme_job_close_then(struct nvme_job *j, void *free_buf, void (*then)(void *arg), void *arg)
{
	if (j == NULL) {
		free(free_buf);
		if (then != NULL)
			then(arg);
		return;
	}
	j->free_buf = free_buf;
	j->then = then;
	j->then_arg = arg;
	if (j->busy && !j->finished)
		ob_blk_cancel(j->ch, j);
	if (!j->busy || j->finished) {
		over(j);
		return;
	}
	j->orphan = true;
	j->next = orphans;
	orphans = j;
}

void nvme_job_close(struct nvme_job *j, void *free_buf)
{
	nvme_job_close_then(j, free_buf, NULL, NULL);
}

bool nvme_jobs_on(const struct ob_blk *b, bool waited)
{
	for (const struct nvme_job *j = orphans; j != NULL; j = j->next)
		if (j->b == b && (!waited || j->then != NULL))
			return true;
	return false;
}

void nvme_jobs_drain(void)
{
	while (orphans != NULL) {
		struct nvme_job *j = orphans;

		while (!j->finished)
			(void)ob_blk_poll(j->ch);
		j->busy = false;
		orphan_over(j);
	}
}
