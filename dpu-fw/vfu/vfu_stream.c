/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void close_all(const int *fd, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

int vfu_rx_init(struct vfu_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
	/* One whole message, and then a message's worth of room to read many small ones at once. */
	rx->cap = 2 * VFU_MAX_MSG;
	rx->buf = malloc(rx->cap);
	return rx->buf == NULL ? -ENOMEM : 0;
}

void vfu_rx_reset(struct vfu_rx *rx)
{
	for (unsigned i = 0; i < rx->n_sets; i++)
		close_all(rx->set[i].fd, rx->set[i].n);
	rx->n_sets = 0;
	rx->rd = 0;
	rx->wr = 0;
}

void vfu_rx_fini(struct vfu_rx *rx)
{
	vfu_rx_reset(rx);
	free(rx->buf);
	rx->buf = NULL;
}

uint8_t *vfu_rx_space(struct vfu_rx *rx, size_t *room)
{
	if (rx->rd > 0) {
		memmove(rx->buf, rx->buf + rx->rd, rx->wr - rx->rd);
		for (unsigned i = 0; i < rx->n_sets; i++)
			rx->set[i].at -= rx->rd;
		rx->wr -= rx->rd;
		rx->rd = 0;
	}
	*room = rx->cap - rx->wr;
	return rx->buf + rx->wr;
}

static bool peek_hdr(const struct vfu_rx *rx, size_t at, struct vfu_hdr *hdr)
{
	if (rx->wr - at < sizeof(*hdr))
		return false;
	memcpy(hdr, rx->buf + at, sizeof(*hdr));
	return true;
}

static bool size_ok(const struct vfu_hdr *hdr)
{
	return hdr->size >= sizeof(*hdr) && hdr->size <= VFU_MAX_MSG;
}

int vfu_rx_commit(struct vfu_rx *rx, size_t n, const int *fd, unsigned n_fds)
{
	size_t from = rx->wr, at = rx->rd, owner = SIZE_MAX;
	struct vfu_fdset *set;
	struct vfu_hdr hdr;

	rx->wr += n;
	if (n_fds == 0)
		return 0;
	while (at < rx->wr) {
		if (at >= from)
			owner = at;
		/* A bad size ends the walk here and the connection in vfu_rx_next. */
		if (!peek_hdr(rx, at, &hdr) || !size_ok(&hdr) || hdr.size > rx->wr - at)
			break;
		at += hdr.size;
	}
	if (owner == SIZE_MAX || n_fds > VFU_MAX_FDS || rx->n_sets == 2) {
		close_all(fd, n_fds);
		return -EPROTO;
	}
	set = &rx->set[rx->n_sets++];
	set->at = owner;
	set->n = n_fds;
	memcpy(set->fd, fd, n_fds * sizeof(*fd));
	return 0;
}

int vfu_rx_next(struct vfu_rx *rx, struct vfu_msg *msg)
{
	if (!peek_hdr(rx, rx->rd, &msg->hdr))
		return 0;
	if (!size_ok(&msg->hdr) || (msg->hdr.flags & VFU_F_TYPE_MASK) > VFU_F_REPLY)
		return -EPROTO;
	if (msg->hdr.size > rx->wr - rx->rd)
		return 0;
	msg->body = rx->buf + rx->rd + sizeof(msg->hdr);
	msg->len = msg->hdr.size - sizeof(msg->hdr);
	msg->n_fds = 0;
	if (rx->n_sets > 0 && rx->set[0].at == rx->rd) {
		msg->n_fds = rx->set[0].n;
		memcpy(msg->fd, rx->set[0].fd, msg->n_fds * sizeof(msg->fd[0]));
		rx->set[0] = rx->set[1];
		rx->n_sets--;
	}
	rx->rd += msg->hdr.size;
	return 1;
}

void vfu_msg_close_fds(struct vfu_msg *msg)
{
	close_all(msg->fd, msg->n_fds);
	msg->n_fds = 0;
}

void vfu_tx_init(struct vfu_tx *tx, ssize_t (*send)(void *, const void *, size_t, int), void *ctx)
{
	STAILQ_INIT(&tx->q);
	tx->n_bytes = 0;
	tx->send = send;
	tx->ctx = ctx;
}

static void drop_first(struct vfu_tx *tx)
{
	struct vfu_tx_chunk *c = STAILQ_FIRST(&tx->q);

	STAILQ_REMOVE_HEAD(&tx->q, next);
	tx->n_bytes -= sizeof(*c) + c->len;
	free(c);
}

void vfu_tx_reset(struct vfu_tx *tx)
{
	while (!STAILQ_EMPTY(&tx->q))
		drop_first(tx);
}

int vfu_tx_msg(struct vfu_tx *tx, const void *bytes, size_t len, int fd)
{
	struct vfu_tx_chunk *c;
	ssize_t n = 0;

	if (STAILQ_EMPTY(&tx->q)) {
		/* One send per message: QEMU gives up on a header that comes in two reads. */
		n = tx->send(tx->ctx, bytes, len, fd);
		if (n == -EAGAIN)
			n = 0;
		if (n < 0)
			return (int)n;
		if ((size_t)n == len)
			return 0;
	}
	if (tx->n_bytes + sizeof(*c) + len > VFU_TX_MAX)
		return -ENOBUFS;
	c = malloc(sizeof(*c) + len);
	if (c == NULL)
		return -ENOMEM;
	c->len = len;
	c->off = (size_t)n;
	c->fd = n > 0 ? -1 : fd;
	memcpy(c->bytes, bytes, len);
	STAILQ_INSERT_TAIL(&tx->q, c, next);
	tx->n_bytes += sizeof(*c) + len;
	return 0;
}

int vfu_tx_flush(struct vfu_tx *tx)
{
	struct vfu_tx_chunk *c;
	ssize_t n;

	while ((c = STAILQ_FIRST(&tx->q)) != NULL) {
		n = tx->send(tx->ctx, c->bytes + c->off, c->len - c->off, c->fd);
		if (n == -EAGAIN)
			return 1;
		if (n < 0)
			return (int)n;
		if (n > 0)
			c->fd = -1;
		c->off += (size_t)n;
		if (c->off == c->len)
			drop_first(tx);
	}
	return 0;
}
