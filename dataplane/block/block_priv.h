/* SPDX-License-Identifier: BSD-3-Clause */
/* What a kind of device gives to the core (block.c), and what the core does for it. One file per kind. */
#pragma once

#include "ob_block.h"

#define BLK_MAX_CHILDREN 32

/* A queue of I/Os, chained by their 'next'. */
struct blk_list {
	struct ob_blk_io *head, *tail;
};

static inline void blk_list_add(struct blk_list *l, struct ob_blk_io *io)
{
	io->next = NULL;
	if (l->head == NULL)
		l->head = io;
	else
		l->tail->next = io;
	l->tail = io;
}

static inline struct ob_blk_io *blk_list_pop(struct blk_list *l)
{
	struct ob_blk_io *io = l->head;

	if (io != NULL)
		l->head = io->next;
	return io;
}

struct blk_zeroes;

struct blk_ops {
	const char *kind;
	size_t dev_bytes; /* struct with struct ob_blk first */
	size_t ch_bytes;  /* struct with struct ob_blk_ch first */
	/* Frees what the kind holds, not children nor the struct. May be NULL. Context: control. */
	void (*destroy)(struct ob_blk *b);
	/* ch->child[] are open already. May be NULL. Context: control. Returns 0, -errno. */
	int (*ch_open)(struct ob_blk_ch *ch);
	void (*ch_close)(struct ob_blk_ch *ch); /* may be NULL */
	/* The I/Os were checked (op, range, alignment, read only) and counted. Each ends in blk_complete. Context: owner. */
	void (*submit)(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n);
	/* The rest: NULL where there is nothing to do beyond the children, which the core does. Context: owner. */
	void (*poll)(struct ob_blk_ch *ch);
	/* As ob_blk_arm. 'fd' of ch->wake_fd must become readable. */
	bool (*arm)(struct ob_blk_ch *ch, bool *must_poll);
	void (*disarm)(struct ob_blk_ch *ch);
	void (*cancel)(struct ob_blk_ch *ch, const void *owner);
	/* Context: control. resize of the kind itself; NULL: -EOPNOTSUPP. child_changed: recompute info from the children;
	 * NULL: as large as the one child. */
	int (*resize)(struct ob_blk *b, uint64_t bytes);
	void (*child_changed)(struct ob_blk *b);
};

struct ob_blk {
	const struct blk_ops *ops;
	struct ob_blk_info info; /* 'bytes' is written with release, read by owners relaxed */
	unsigned n_children;
	struct ob_blk *child[BLK_MAX_CHILDREN];
	struct blk_core *core; /* references, listeners, channels, statistics of closed channels */
};

struct ob_blk_ch {
	struct ob_blk *b;
	const struct blk_ops *ops;
	struct ob_blk_stats stats;
	uint32_t n_pending;
	int wake_fd; /* the kind's own, set by ch_open and closed by ch_close; -1 none */
	unsigned n_children;
	struct ob_blk_ch *child[BLK_MAX_CHILDREN];
	/* The core's. */
	int all_fd; /* wake_fd and the children's: one of them, or an epoll descriptor of own_epoll */
	bool own_epoll, armed;
	uint32_t depth; /* of ob_blk_submit in done() in ob_blk_submit */
	uint64_t n_completed;
	struct blk_list late;	   /* ended, done() comes with the next poll */
	struct blk_zeroes *zeroes; /* emulation of WRITE_ZEROES; NULL: the kind can itself */
	struct ob_blk_ch *next;	   /* of the device's list; control */
};

/* Makes a device with references on 'children'; info is zero but for name and kind: the kind fills it (a layer starts from
 * children[0]'s). Returns 0, -EINVAL bad name, -ENOMEM. On a later error: ob_blk_put. Context: control. */
int blk_new(const struct blk_ops *ops, const char *name, struct ob_blk *const *children,
    unsigned n_children, struct ob_blk **out);
/* The device's size or flags changed: tells listeners and the devices above. Context: control. */
void blk_changed(struct ob_blk *b, uint64_t bytes);
/* Ends an I/O of this channel: statistics, then io->done. Context: owner. */
void blk_complete(struct ob_blk_ch *ch, struct ob_blk_io *io, int result);
/* The same for a kind that ends I/Os inside of its submit: if a done() up there submitted again, this one waits for the next
 * poll, so that they do not nest without end. Context: owner. */
void blk_complete_now(struct ob_blk_ch *ch, struct ob_blk_io *io, int result);
/* Counts that an I/O waited for a limit. Context: owner. */
void blk_count_throttled(struct ob_blk_ch *ch, uint64_t ns);

/* For a kind without a medium of its own say. Returns 0, -EINVAL with a text. */
int blk_check_size(uint64_t bytes, uint32_t block_bytes, char *err, size_t err_len);
/* Text for 'err'. Returns 'rc'. */
int blk_err(char *err, size_t err_len, int rc, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Copies between vectors and a flat buffer, from byte 'at' of the vectors. Return bytes copied. */
size_t blk_iov_gather(void *to, const struct iovec *iov, unsigned n_iov, size_t at, size_t len);
size_t blk_iov_scatter(
    const struct iovec *iov, unsigned n_iov, size_t at, const void *from, size_t len);
/* The vectors of [at, at + len) of 'iov' into 'out'. Returns their number, -ENOSPC more than 'max'. */
int blk_iov_slice(const struct iovec *iov, unsigned n_iov, size_t at, size_t len, struct iovec *out,
    unsigned max);

/* One I/O and wait: for control and for threads of a device, never for a worker. Returns the I/O's result. Context: the channel's owner. */
int blk_sync(struct ob_blk_ch *ch, enum ob_blk_op op, uint64_t off, void *buf, uint64_t len);
