/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ERROR_MAX 512

struct ob_client {
	int fd;
	int pass_fd; /* goes with the next request; -1: none */
	uint32_t seq;
	char error[ERROR_MAX];
	uint8_t buf[OB_BUS_MAX_MSG];
};

int ob_client_open(const char *path, unsigned timeout_ms, struct ob_client **out)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = (timeout_ms % 1000) * 1000};
	struct ob_client *c;
	int ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path));
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->pass_fd = -1;
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		ret = -errno;
		goto err_free;
	}
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		ret = -errno;
		goto err_close;
	}
	*out = c;
	return 0;

err_close:
	close(c->fd);
err_free:
	free(c);
	return ret;
}

void ob_client_close(struct ob_client *c)
{
	if (c == NULL)
		return;
	close(c->fd);
	free(c);
}

const char *ob_client_error(const struct ob_client *c)
{
	return c->error;
}

static int fail(struct ob_client *c, int err, const char *text)
{
	snprintf(c->error, sizeof(c->error), "%s", text);
	return err;
}

/* The request in c->buf, with the file that goes with it. */
static ssize_t send_request(struct ob_client *c, size_t len)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = c->buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *cm;

	if (c->pass_fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &c->pass_fd, sizeof(int));
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL);
}

/* 'n' records that lie behind each other. */
static int request(struct ob_client *c, unsigned verb, unsigned noun, const void *records,
    unsigned n, size_t record_len)
{
	struct ob_bus_hdr hdr = {
	    .magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = (uint8_t)verb,
	    .noun = (uint8_t)noun,
	    .count = (uint16_t)n,
	    .seq = ++c->seq,
	    .body_len = (uint32_t)(n * record_len),
	    .record_len = (uint32_t)record_len,
	};
	size_t len = sizeof(hdr) + hdr.body_len;

	if (len > sizeof(c->buf))
		return fail(c, -EMSGSIZE, "the record is too long for one message");
	memcpy(c->buf, &hdr, sizeof(hdr));
	if (n > 0)
		memcpy(c->buf + sizeof(hdr), records, hdr.body_len);
	if (send_request(c, len) == (ssize_t)len)
		return 0;
	if (errno == EAGAIN)
		return fail(
		    c, -ETIMEDOUT, "the card does not take requests; is it stuck? see its log");
	return fail(c, -EPIPE, "the card closed the connection; see its log");
}

/* Receives one packet that belongs to the last request into c->buf; '*hdr' is a checked copy of its header. */
static int receive(struct ob_client *c, unsigned verb, unsigned noun, struct ob_bus_hdr *hdr)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->buf, sizeof(c->buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return fail(c, -ETIMEDOUT,
			    "the card did not answer in time; is it stuck? see its log");
		if (n <= 0)
			return fail(c, -EPIPE, "the card closed the connection; see its log");
		if ((size_t)n < sizeof(*hdr))
			return fail(c, -EPROTO, "the card's answer is too short");
		memcpy(hdr, c->buf, sizeof(*hdr));
		if (hdr->magic != OB_BUS_MAGIC || hdr->body_len != (size_t)n - sizeof(*hdr))
			return fail(
			    c, -EPROTO, "this is not a card bus: its answer makes no sense");
		if (hdr->version != OB_BUS_VERSION)
			return fail(c, -EPROTONOSUPPORT,
			    "the card speaks another version of the card bus; use its own obctl");
		if (hdr->seq != c->seq) /* rest of a list that an earlier call stopped reading */
			continue;
		if (!(hdr->flags & OB_BUS_REPLY) || hdr->verb != verb || hdr->noun != noun)
			return fail(c, -EPROTO, "the card answered another question");
		if (hdr->status < 0) {
			snprintf(c->error, sizeof(c->error), "%.*s", (int)hdr->body_len,
			    (const char *)c->buf + sizeof(*hdr));
			if (c->error[0] == 0)
				snprintf(c->error, sizeof(c->error), "%s", strerror(-hdr->status));
			return hdr->status;
		}
		return 0;
	}
}

static int visit(struct ob_client *c, const struct ob_bus_hdr *hdr, void *record, size_t record_len,
    ob_client_record_fn fn, void *ctx)
{
	const uint8_t *at = c->buf + sizeof(*hdr);
	size_t take = hdr->record_len < record_len ? hdr->record_len : record_len;

	if (hdr->count > 0 &&
	    (hdr->record_len == 0 || hdr->body_len / hdr->record_len < hdr->count))
		return fail(c, -EPROTO, "the card's list is shorter than it says");
	for (unsigned i = 0; i < hdr->count; i++, at += hdr->record_len) {
		int ret;

		memset(record, 0, record_len);
		memcpy(record, at, take);
		ret = fn(record, ctx);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int ob_client_list(struct ob_client *c, unsigned noun, const void *filter, size_t record_len,
    ob_client_record_fn fn, void *ctx)
{
	struct ob_bus_hdr hdr;
	void *record =
	    malloc(record_len); /* aligned for any record, which the bytes of a message are not */
	int ret;

	if (record == NULL)
		return fail(c, -ENOMEM, "out of memory");
	ret = request(c, OB_BUS_LIST, noun, filter, filter != NULL, record_len);
	if (ret == 0) {
		do {
			ret = receive(c, OB_BUS_LIST, noun, &hdr);
			if (ret == 0)
				ret = visit(c, &hdr, record, record_len, fn, ctx);
		} while (ret == 0 && (hdr.flags & OB_BUS_MORE));
	}
	free(record);
	return ret;
}

int ob_client_change(
    struct ob_client *c, unsigned verb, unsigned noun, const void *record, size_t record_len)
{
	struct ob_bus_hdr hdr;
	int ret = request(c, verb, noun, record, record != NULL, record_len);

	return ret < 0 ? ret : receive(c, verb, noun, &hdr);
}

int ob_client_change_fd(struct ob_client *c, unsigned verb, unsigned noun, const void *record,
    size_t record_len, int fd)
{
	int ret;

	c->pass_fd = fd;
	ret = ob_client_change(c, verb, noun, record, record_len);
	c->pass_fd = -1;
	return ret;
}

#define PIECES 8 /* of an upload in one packet: half of what fits */

int ob_client_upload(struct ob_client *c, const void *body, size_t len)
{
	struct ob_bus_upload *piece = calloc(PIECES, sizeof(*piece));
	struct ob_bus_hdr hdr;
	int ret = 0;

	if (piece == NULL)
		return fail(c, -ENOMEM, "out of memory");
	if (len > OB_BUS_UPLOAD_MAX)
		ret = fail(c, -EMSGSIZE, "longer than the card takes");
	for (size_t at = 0; at < len && ret == 0;) {
		unsigned n;

		for (n = 0; n < PIECES && at < len; n++) {
			size_t k = len - at < OB_BUS_UPLOAD_DATA ? len - at : OB_BUS_UPLOAD_DATA;

			piece[n].total = (uint32_t)len;
			piece[n].offset = (uint32_t)at;
			piece[n].len = (uint32_t)k;
			memcpy(piece[n].data, (const uint8_t *)body + at, k);
			memset(piece[n].data + k, 0, OB_BUS_UPLOAD_DATA - k);
			at += k;
		}
		ret = request(c, OB_BUS_ADD, OB_BUS_UPLOAD, piece, n, sizeof(*piece));
		if (ret == 0)
			ret = receive(c, OB_BUS_ADD, OB_BUS_UPLOAD, &hdr);
	}
	free(piece);
	return ret;
}

/* A body while its pieces come. */
struct assembly {
	uint8_t *bytes;
	uint32_t total, have, generation;
	bool begun;
};

static int take_piece(const void *record, void *ctx)
{
	const struct ob_bus_body *r = record;
	struct assembly *a = ctx;

	if (!a->begun) {
		a->begun = true;
		a->generation = r->generation;
		a->total = r->total;
		if (a->total > OB_BUS_UPLOAD_MAX)
			return -EPROTO;
		a->bytes = malloc(a->total ? a->total : 1);
		if (a->bytes == NULL)
			return -ENOMEM;
	}
	if (r->generation != a->generation)
		return -ESTALE;
	if (r->total != a->total || r->offset != a->have || r->len > sizeof(r->data) ||
	    r->len > a->total - a->have)
		return -EPROTO;
	memcpy(a->bytes + a->have, r->data, r->len);
	a->have += r->len;
	return 0;
}

int ob_client_body(struct ob_client *c, unsigned noun, const char *name, void **body, size_t *len)
{
	struct ob_bus_body filter = {.noun = (uint8_t)noun};
	int ret = -ESTALE;

	snprintf(filter.name, sizeof(filter.name), "%s", name);
	/* It may be replaced while it is read. */
	for (unsigned i = 0; i < 10 && ret == -ESTALE; i++) {
		struct assembly a = {0};

		ret = ob_client_list(c, OB_BUS_BODY, &filter, sizeof(filter), take_piece, &a);
		if (ret == 0 && a.have == a.total) {
			*body = a.bytes;
			*len = a.total;
			return 0;
		}
		if (ret == 0)
			ret = fail(c, -EPROTO, "the card's answer is shorter than it says");
		else if (ret == -EPROTO || ret == -ENOMEM || ret == -ESTALE)
			fail(c, ret,
			    ret == -ENOMEM   ? "out of memory"
			    : ret == -EPROTO ? "the card's answer makes no sense"
					     : "it changes faster than it can be read");
		free(a.bytes);
	}
	return ret;
}
