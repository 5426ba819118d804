/* SPDX-License-Identifier: BSD-3-Clause */
/* The block device itself, in this process: what its users add nothing to. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "block_initiator.h"
#include "ob_block.h"

struct local {
	struct ob_blk *blk, *below;
	struct ob_blk_ch *ch;
	struct ob_blk_io io[BB_MAX_QD];
	struct ob_blk_io *queued[BB_MAX_QD];
	struct iovec iov[BB_MAX_QD];
	unsigned n_queued;
	unsigned done[BB_MAX_QD], head, tail; /* completions to be reaped */
	uint32_t bytes;
	bool sleeps;
	size_t room;
	uint8_t *data;
};

static void on_done(struct ob_blk_io *io)
{
	struct local *l = io->owner;

	l->done[l->head++ % BB_MAX_QD] = (unsigned)(io - l->io);
}

static int local_queue(struct bb_dev *dev, unsigned slot, bool write, uint64_t off)
{
	struct local *l = dev->ctx;

	l->iov[slot] = (struct iovec){dev->data + (size_t)slot * l->bytes, l->bytes};
	l->io[slot] = (struct ob_blk_io){.op = write ? OB_BLK_WRITE : OB_BLK_READ,
	    .n_iov = 1,
	    .off = off,
	    .len = l->bytes,
	    .iov = &l->iov[slot],
	    .done = on_done,
	    .owner = l};
	l->queued[l->n_queued++] = &l->io[slot];
	return 0;
}

static int local_flush(struct bb_dev *dev)
{
	struct local *l = dev->ctx;
	unsigned n = l->n_queued;

	l->n_queued = 0;
	if (n > 0)
		ob_blk_submit(l->ch, l->queued, n);
	return 0;
}

/* As fio waits: in the kernel. What completes in submit or poll has no descriptor to wait for. */
static void rest(struct local *l)
{
	struct pollfd p = {.fd = ob_blk_wake_fd(l->ch), .events = POLLIN};
	bool must_poll = false;

	if (p.fd < 0 || ob_blk_pending(l->ch) == 0)
		return;
	if (!ob_blk_arm(l->ch, &must_poll) && !must_poll)
		(void)poll(&p, 1, 100);
	ob_blk_disarm(l->ch);
}

static unsigned local_reap(struct bb_dev *dev, unsigned slot[64], bool ok[64])
{
	struct local *l = dev->ctx;
	unsigned n = 0;

	if (l->head == l->tail && ob_blk_poll(l->ch) == 0 && l->sleeps) {
		rest(l);
		(void)ob_blk_poll(l->ch);
	}
	while (n < 64 && l->tail != l->head) {
		slot[n] = l->done[l->tail++ % BB_MAX_QD];
		ok[n] = l->io[slot[n]].result == 0;
		n++;
	}
	return n;
}

static void local_close(struct bb_dev *dev)
{
	struct local *l = dev->ctx;

	while (ob_blk_pending(l->ch) > 0)
		(void)ob_blk_poll(l->ch);
	ob_blk_ch_close(l->ch);
	ob_blk_put(l->blk);
	ob_blk_put(l->below);
	munmap(l->data, l->room);
	free(l);
}

static int make(struct local *l, const struct bb_conf *c)
{
	uint8_t key[64];
	struct ob_blk_crypt_conf crypt = {.key = key, .key_len = sizeof(key), .sector_bytes = 4096};
	struct ob_blk_file_conf file = {.path = c->path};
	char err[256] = "";
	int rc;

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37 + 11);
	if (strcmp(c->kind, "null") == 0)
		rc = ob_blk_null_create("bench", 1ull << 40, 512, &l->blk, err, sizeof(err));
	else if (strcmp(c->kind, "ram") == 0)
		rc = ob_blk_ram_create("bench", c->span, 512, &l->blk, err, sizeof(err));
	else if (strcmp(c->kind, "file") == 0 && c->path != NULL)
		rc = ob_blk_file_create("bench", &file, &l->blk, err, sizeof(err));
	else if (strcmp(c->kind, "crypt") == 0) {
		rc = ob_blk_null_create("below", 1ull << 40, 4096, &l->below, err, sizeof(err));
		if (rc == 0)
			rc = ob_blk_crypt_create(
			    "bench", l->below, &crypt, &l->blk, err, sizeof(err));
	} else {
		rc = -EINVAL;
	}
	if (rc < 0)
		fprintf(stderr, "block_initiator: %s\n", err);
	return rc;
}

int bb_local_open(struct bb_dev *dev, const struct bb_conf *conf)
{
	struct local *l = calloc(1, sizeof(*l));
	struct ob_blk_info info;
	int rc;

	if (l == NULL)
		return -ENOMEM;
	l->bytes = conf->bytes;
	l->sleeps = conf->sleeps;
	l->room = (size_t)conf->qd * conf->bytes;
	l->data = mmap(NULL, l->room, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (l->data == MAP_FAILED) {
		free(l);
		return -errno;
	}
	rc = make(l, conf);
	if (rc == 0)
		rc = ob_blk_ch_open(l->blk, &l->ch);
	if (rc < 0) {
		ob_blk_put(l->blk);
		ob_blk_put(l->below);
		munmap(l->data, l->room);
		free(l);
		return rc;
	}
	ob_blk_info(l->blk, &info);
	*dev = (struct bb_dev){.bytes = info.bytes,
	    .data = l->data,
	    .queue = local_queue,
	    .flush = local_flush,
	    .reap = local_reap,
	    .close = local_close,
	    .ctx = l};
	return 0;
}
