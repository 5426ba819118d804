/* SPDX-License-Identifier: BSD-3-Clause */
#include "ob_client.h"

#include <errno.h>
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

static int request(
    struct ob_client *c, unsigned verb, unsigned noun, const void *record, size_t record_len)
{
	struct ob_bus_hdr hdr = {
	    .magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = (uint8_t)verb,
	    .noun = (uint8_t)noun,
	    .count = record != NULL,
	    .seq = ++c->seq,
	    .body_len = record != NULL ? (uint32_t)record_len : 0,
	    .record_len = (uint32_t)record_len,
	};
	size_t len = sizeof(hdr) + hdr.body_len;

	if (len > sizeof(c->buf))
		return fail(c, -EMSGSIZE, "the record is too long for one message");
	memcpy(c->buf, &hdr, sizeof(hdr));
	if (record != NULL)
		memcpy(c->buf + sizeof(hdr), record, record_len);
	if (send(c->fd, c->buf, len, MSG_NOSIGNAL) == (ssize_t)len)
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
	ret = request(c, OB_BUS_LIST, noun, filter, record_len);
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
	int ret = request(c, verb, noun, record, record_len);

	return ret < 0 ? ret : receive(c, verb, noun, &hdr);
}
