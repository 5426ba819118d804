/* SPDX-License-Identifier: BSD-3-Clause */
/* One I/O and wait, for control and for threads of a device; never on a worker. */
#include "block_priv.h"

#include <poll.h>
#include <time.h>

#define NAP_NS	20000
#define WAIT_MS 100

struct waiting_io {
	struct ob_blk_io io;
	bool done;
};

static void on_done(struct ob_blk_io *io)
{
	((struct waiting_io *)(void *)io)->done = true;
}

int blk_sync(struct ob_blk_ch *ch, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len)
{
	struct iovec iov = {buf, len};
	struct waiting_io w = {.io = {.op = (uint8_t)op,
				   .n_iov = op == OB_BLK_READ || op == OB_BLK_WRITE,
				   .off = off,
				   .len = len,
				   .iov = &iov,
				   .done = on_done}};
	struct ob_blk_io *io = &w.io;

	w.io.owner = &w;
	ob_blk_submit(ch, &io, 1);
	while (!w.done) {
		struct pollfd p = {.fd = ob_blk_wake_fd(ch), .events = POLLIN};
		struct timespec nap = {.tv_nsec = NAP_NS};
		bool must_poll = false;

		if (ob_blk_poll(ch) > 0 || w.done)
			continue;
		if (!ob_blk_arm(ch, &must_poll)) {
			if (must_poll || p.fd < 0)
				nanosleep(&nap, NULL);
			else
				(void)poll(&p, 1, WAIT_MS);
		}
		ob_blk_disarm(ch);
	}
	return w.io.result;
}
