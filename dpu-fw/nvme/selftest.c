/* SPDX-License-Identifier: BSD-3-Clause */
/* Device Self-test (NVMe 2.0, 5.9 and 8.6): reads blocks spread over each volume, a few a turn, beside the host's I/O. */
#include "nvme.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"

#define SHORT_READS    64u /* of a namespace */
#define EXTENDED_READS 4096u
#define READ_BYTES     4096u
#define SEGMENT_MEDIA  7 /* figure: drive life, media check */
#define VALID_NSID     1
#define VALID_LBA      2
#define VALID_SC       12

struct nvme_selftest {
	struct ob_nvme *c;
	struct nvme_job *job;
	struct ob_nvme_ns *ns; /* a reference */
	uint8_t *buf;
	uint64_t bytes, lba_bytes;
	uint32_t nsid, last; /* still to do: (nsid, last] */
	uint32_t i, n_reads;
	uint32_t n_ns, n_ns_done;
};

static void next_ns(struct nvme_selftest *t);

static void leave(struct nvme_selftest *t, bool for_ever)
{
	nvme_job_close(t->job, for_ever ? t->buf : NULL);
	t->job = NULL;
	ob_nvme_ns_put(t->ns);
	t->ns = NULL;
}

static void record(struct ob_nvme *c, uint8_t result, bool failed, uint32_t nsid, uint64_t lba)
{
	struct nvme_selftest_state *s = &c->st->selftest;

	memmove(&s->result[1], &s->result[0], sizeof(s->result) - sizeof(s->result[0]));
	memset(&s->result[0], 0, sizeof(s->result[0]));
	s->result[0].code_result = (uint8_t)(s->running << 4 | result);
	s->result[0].hours = (nvme_now_ms() - c->st->created_ms) / 3600000;
	s->result[0].nsid = s->nsid;
	if (s->nsid != 0)
		s->result[0].valid = VALID_NSID;
	if (failed) {
		s->result[0].segment = SEGMENT_MEDIA;
		s->result[0].valid = VALID_NSID | VALID_LBA | VALID_SC;
		s->result[0].nsid = nsid;
		s->result[0].lba = lba;
		s->result[0].sct = NVME_SCT_MEDIA;
		s->result[0].sc = NVME_SC_READ_ERROR;
	}
	if (s->n_results < NVME_LOG_ST_MAX_RESULTS)
		s->n_results++;
	s->running = s->percent = 0;
}

/* The buffer is the medium's as long as it may read into it. */
static void over(struct nvme_selftest *t, uint8_t result, bool failed, uint64_t lba)
{
	struct ob_nvme *c = t->c;

	record(c, result, failed, t->nsid, lba);
	leave(t, true);
	c->selftest = NULL;
	free(t);
}

static uint64_t offset(const struct nvme_selftest *t)
{
	uint64_t n = t->bytes / READ_BYTES;

	return n * t->i / t->n_reads * READ_BYTES;
}

static void was_read(void *arg, int result);

static void read_next(struct nvme_selftest *t)
{
	nvme_job_io(t->job, OB_BLK_READ, 0, offset(t), READ_BYTES, t->buf, was_read, t);
}

static void was_read(void *arg, int result)
{
	struct nvme_selftest *t = arg;
	uint32_t done;

	if (result != 0) {
		over(t, NVME_ST_RESULT_KNOWN_SEG_FAIL, true, offset(t) / t->lba_bytes);
		return;
	}
	t->i++;
	done = t->n_ns_done * t->n_reads + t->i;
	t->c->st->selftest.percent = (uint8_t)(done * 100ull / ((uint64_t)t->n_ns * t->n_reads));
	if (t->i < t->n_reads) {
		read_next(t);
		return;
	}
	t->n_ns_done++;
	leave(t, false);
	next_ns(t);
}

static bool begin_ns(struct nvme_selftest *t)
{
	struct ob_nvme_ns_info info;
	struct ob_nvme_ns *ns = nvme_ns(t->c, t->nsid);

	ob_nvme_ns_info(ns, &info);
	t->lba_bytes = info.lba_bytes;
	t->bytes = info.n_lbas * info.lba_bytes;
	t->i = 0;
	if (t->bytes < READ_BYTES) {
		t->n_ns_done++;
		return false;
	}
	if (nvme_job_open(t->c->conf.base, ob_nvme_ns_blk(ns), &t->job) != 0) {
		over(t, NVME_ST_RESULT_FATAL_ERR, false, 0);
		return true;
	}
	t->ns = ob_nvme_ns_get(ns);
	read_next(t);
	return true;
}

static void next_ns(struct nvme_selftest *t)
{
	while (t->nsid < t->last) {
		t->nsid++;
		if (nvme_ns_attached(t->c, t->nsid) && begin_ns(t))
			return;
	}
	over(t, NVME_ST_RESULT_NO_ERR, false, 0);
}

static uint16_t start(struct ob_nvme *c, const struct ob_nvme_sqe *e, unsigned code)
{
	struct nvme_selftest *t = calloc(1, sizeof(*t));
	void *buf = NULL;

	/* Aligned for direct I/O of a file. */
	if (t == NULL || posix_memalign(&buf, READ_BYTES, READ_BYTES) != 0) {
		free(t);
		return NVME_SC_INTERNAL;
	}
	t->c = c;
	t->buf = buf;
	t->n_reads = code == NVME_ST_CODE_SHORT ? SHORT_READS : EXTENDED_READS;
	if (e->nsid == NVME_BROADCAST)
		t->last = OB_NVME_MAX_NS;
	else if (e->nsid != 0) {
		t->nsid = e->nsid - 1;
		t->last = e->nsid;
	}
	for (uint32_t nsid = t->nsid + 1; nsid <= t->last; nsid++)
		t->n_ns += nvme_ns_attached(c, nsid);
	c->st->selftest.running = (uint8_t)code;
	c->st->selftest.percent = 0;
	c->st->selftest.nsid = e->nsid;
	c->selftest = t;
	next_ns(t);
	return 0;
}

uint16_t nvme_self_test(struct ob_nvme *c, const struct ob_nvme_sqe *e)
{
	unsigned code = e->cdw10 & 0xf;

	switch (code) {
	case NVME_ST_CODE_SHORT:
	case NVME_ST_CODE_EXTENDED:
		break;
	case NVME_ST_CODE_ABORT:
		nvme_selftest_cancel(c, NVME_ST_RESULT_ABORTED);
		return 0;
	default:
		return nvme_bad(c, 10, 0, NVME_GEN(NVME_SC_INVALID_FIELD));
	}
	if (e->nsid != 0 && e->nsid != NVME_BROADCAST && !nvme_ns_attached(c, e->nsid))
		return nvme_bad(c, 1, 0, NVME_GEN(NVME_SC_INVALID_NS));
	if (c->selftest != NULL)
		return NVME_CMD(NVME_SC_SELF_TEST_IN_PROGRESS);
	return start(c, e, code);
}

void nvme_selftest_cancel(struct ob_nvme *c, uint8_t result)
{
	if (c->selftest != NULL)
		over(c->selftest, result, false, 0);
}

void nvme_selftest_formatted(struct ob_nvme *c, const struct ob_nvme_ns *ns)
{
	if (c->selftest != NULL && c->selftest->ns == ns)
		over(c->selftest, NVME_ST_RESULT_ABORTED_FORMAT, false, 0);
}

void nvme_selftest_ns_gone(struct ob_nvme *c, const struct ob_nvme_ns *ns)
{
	if (c->selftest != NULL && c->selftest->ns == ns)
		over(c->selftest, NVME_ST_RESULT_NS_REMOVED, false, 0);
}
