/* SPDX-License-Identifier: BSD-3-Clause */
/* Shutdown (NVMe 2.0, 3.6): queues stop, then every namespace is flushed, then CSTS.SHST says that it is complete. */
#include "nvme.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"

struct nvme_shutdown {
	struct ob_nvme *c;
	struct nvme_job *job;
	struct ob_nvme_ns *ns; /* a reference, of the one that is flushed */
	uint32_t nsid;
	bool failed;
};

static void set_shst(struct ob_nvme *c, uint32_t shst)
{
	c->st->csts &= ~((uint32_t)NVME_CSTS_SHST_MASK << NVME_CSTS_SHST_SHIFT);
	c->st->csts |= shst << NVME_CSTS_SHST_SHIFT;
}

static void leave(struct nvme_shutdown *s)
{
	nvme_job_close(s->job, NULL);
	s->job = NULL;
	ob_nvme_ns_put(s->ns);
	s->ns = NULL;
}

static void next_ns(struct nvme_shutdown *s);

static void flushed(void *arg, int result)
{
	struct nvme_shutdown *s = arg;

	if (result != 0 && nvme_may_log(s->c))
		nvme_log(ERR, s->c, "namespace %u was not flushed at shutdown: %s", s->nsid,
		    strerror(-result));
	s->failed |= result != 0;
	leave(s);
	next_ns(s);
}

/* Begins the flush of the next namespace that has something to flush. Returns false: there is none. */
static bool flush_next(struct nvme_shutdown *s)
{
	struct ob_nvme_ns_info info;
	struct ob_nvme_ns *ns;

	while (s->nsid++ < OB_NVME_MAX_NS) {
		ns = nvme_ns(s->c, s->nsid);
		if (ns == NULL)
			continue;
		ob_nvme_ns_info(ns, &info);
		if (!info.volatile_cache)
			continue;
		if (nvme_job_open(s->c->conf.base, ob_nvme_ns_blk(ns), &s->job) != 0) {
			if (nvme_may_log(s->c))
				nvme_log(
				    ERR, s->c, "namespace %u was not flushed at shutdown", s->nsid);
			s->failed = true;
			continue;
		}
		s->ns = ob_nvme_ns_get(ns);
		nvme_job_io(s->job, OB_BLK_FLUSH, 0, 0, 0, NULL, flushed, s);
		return true;
	}
	return false;
}

static void next_ns(struct nvme_shutdown *s)
{
	struct ob_nvme *c = s->c;

	bool failed;

	if (flush_next(s))
		return;
	failed = s->failed;
	c->shutdown = NULL;
	free(s);
	/* Complete would say that all that was acknowledged is durable (3.6.1). */
	if (failed) {
		nvme_fatal(c, "a namespace was not flushed at shutdown");
		return;
	}
	set_shst(c, NVME_CSTS_SHST_CMPLT);
	c->st->n_shutdowns++;
}

void nvme_shutdown(struct ob_nvme *c)
{
	struct nvme_shutdown *s;

	nvme_shutdown_cancel(c);
	nvme_queues_reset(c);
	nvme_selftest_cancel(c, NVME_ST_RESULT_CLR);
	nvme_kato_stop(c);
	set_shst(c, NVME_CSTS_SHST_OCCUR);
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		nvme_fatal(c, "no memory to shut it down");
		return;
	}
	s->c = c;
	c->shutdown = s;
	next_ns(s);
}

void nvme_shutdown_cancel(struct ob_nvme *c)
{
	if (c->shutdown == NULL)
		return;
	leave(c->shutdown);
	free(c->shutdown);
	c->shutdown = NULL;
}
