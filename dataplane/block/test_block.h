/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of block devices: one I/O and wait; a device that completes when the test says so. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "block_priv.h"

struct test_io {
	struct ob_blk_io io;
	struct iovec iov[8];
	unsigned n_done;
};

static inline void test_done(struct ob_blk_io *io)
{
	((struct test_io *)io)->n_done++;
}

static inline void test_io_init(
    struct test_io *t, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len)
{
	memset(t, 0, sizeof(*t));
	t->iov[0] = (struct iovec){buf, len};
	t->io = (struct ob_blk_io){.op = (uint8_t)op,
	    .off = off,
	    .len = len,
	    .iov = t->iov,
	    .n_iov = buf != NULL,
	    .done = test_done,
	    .result = 1};
}

static inline void test_submit(struct ob_blk_ch *ch, struct test_io *t)
{
	struct ob_blk_io *io = &t->io;

	ob_blk_submit(ch, &io, 1);
}

/* What a worker does that has nothing to do: sleeps until something is due. At most 30 s, then a wake-up was lost. */
static inline void test_sleep(struct ob_blk_ch *ch)
{
	struct pollfd p = {.fd = ob_blk_wake_fd(ch), .events = POLLIN};
	bool must_poll;

	if (!ob_blk_arm(ch, &must_poll) && !must_poll) {
		assert_true(p.fd >= 0);
		assert_int_equal(poll(&p, 1, 30000), 1);
	}
	ob_blk_disarm(ch);
}

/* Sleeps instead of polling, so that arm and disarm are tested by every test. */
static inline int test_wait(struct ob_blk_ch *ch, const struct test_io *t)
{
	while (t->n_done == 0)
		if (ob_blk_poll(ch) == 0)
			test_sleep(ch);
	assert_int_equal(t->n_done, 1);
	return t->io.result;
}

static inline int test_rw(
    struct ob_blk_ch *ch, enum ob_blk_op op, uint8_t flags, uint64_t off, void *buf, uint64_t len)
{
	struct test_io t;

	test_io_init(&t, op, off, buf, len);
	t.io.flags = flags;
	test_submit(ch, &t);
	return test_wait(ch, &t);
}

/* A device that keeps what it takes until slow_let_go. No WRITE_ZEROES of its own. */
struct slow {
	struct ob_blk blk;
	int result;
	bool deaf;		/* cancels nothing: all is at the medium */
	struct ob_blk_ch *last; /* that something was submitted to */
};

struct slow_ch {
	struct ob_blk_ch ch;
	struct blk_list held;
	unsigned n_held, n_arms, n_disarms;
	uint8_t last_op, last_flags;
	uint64_t last_off, last_len;
	bool due;
};

int slow_create(uint64_t bytes, struct ob_blk **out);
/* Completes up to 'n' with the device's result. */
unsigned slow_let_go(struct ob_blk_ch *ch, unsigned n);
