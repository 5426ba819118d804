/* SPDX-License-Identifier: BSD-3-Clause */
/* I/O of the controller itself (format, self-test, the flush of a shutdown): one at a time, on the main thread's event loop. */
#pragma once

#include "ob_block.h"

struct event_base;
struct nvme_job;

/* Opens a way to 'b'. Returns 0, -ENOMEM, -errno. */
int nvme_job_open(struct event_base *base, struct ob_blk *b, struct nvme_job **out);
/* Starts an I/O (op, flags, off, len; 'buf' of 'len' bytes for READ and WRITE, the job's until it is over). 'fn' is called from the event
 * loop, never before this returns. None may be under way. */
void nvme_job_io(struct nvme_job *j, enum ob_blk_op op, unsigned flags, uint64_t off, uint64_t len,
    void *buf, void (*fn)(void *arg, int result), void *arg);
/* Forgets 'fn' and gives up the way; what the medium has goes on and is waited for in the event loop. Takes 'free_buf' (or NULL) along:
 * freed when nothing reads into it any more. NULL is legal. */
void nvme_job_close(struct nvme_job *j, void *free_buf);
/* The same; 'then' (or NULL) is called when the medium has nothing of it any more: now, from the event loop, or from nvme_jobs_drain. */
void nvme_job_close_then(struct nvme_job *j, void *free_buf, void (*then)(void *arg), void *arg);
/* Whether something that was closed still works on 'b'; 'waited': only if somebody waits for it (a format). */
bool nvme_jobs_on(const struct ob_blk *b, bool waited);
/* Waits for what was closed and is still under way: before the event loop ends. */
void nvme_jobs_drain(void);
