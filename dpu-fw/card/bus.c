/* SPDX-License-Identifier: BSD-3-Clause */
/* The card bus's sockets. A client has at most one answer waiting, and is read from only when that is gone. */
#include "card_priv.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_log.h>

RTE_LOG_REGISTER(bus_log, ob.bus, NOTICE);

/* A packet of a LIST. Smaller than the protocol allows: the socket takes several, and each is made in well under a millisecond. */
#define CHUNK 32768

#define PASSED_MAX \
	4 /* files with a packet; one is looked at, the kernel closes what is beyond these */

struct client {
	struct ob_bus *bus;
	int fd;
	struct event *readable, *writable;
	struct listing listing;
	struct upload upload;
	bool hangup;	/* close when the answer is out */
	size_t pending; /* bytes of an answer that the socket did not take */
	uint8_t out[ANSWER_MAX];
	TAILQ_ENTRY(client) link;
};

struct ob_bus {
	struct ob_card *card;
	struct event_base *base;
	struct sockaddr_un addr;
	dev_t dev; /* of the socket file that is ours */
	ino_t ino;
	int fd;
	struct event *on_accept, *resume; /* resume: accept again after files ran out */
	unsigned n_clients;
	TAILQ_HEAD(, client) clients;
	uint8_t in[OB_BUS_MAX_MSG + 1]; /* one more: tells a packet that is too long */
	uint8_t chunk[CHUNK];
};

static void client_close(struct client *cl)
{
	TAILQ_REMOVE(&cl->bus->clients, cl, link);
	cl->bus->n_clients--;
	if (cl->readable != NULL)
		event_free(cl->readable);
	if (cl->writable != NULL)
		event_free(cl->writable);
	close(cl->fd);
	upload_drop(&cl->upload);
	free(cl);
}

/* Returns 0 sent, -EAGAIN the client has to read first, another -errno: it is gone. */
static int client_send(struct client *cl, const void *msg, size_t len)
{
	if (send(cl->fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EWOULDBLOCK || errno == ENOBUFS || errno == EINTR ? -EAGAIN : -errno;
}

/* Sends what is due. Returns 0 all is out; -EAGAIN; another -errno. */
static int client_flush(struct client *cl)
{
	uint64_t cursor;
	bool more = true;
	size_t len;
	int rc = 0;

	if (cl->pending > 0) {
		rc = client_send(cl, cl->out, cl->pending);
		if (rc == 0)
			cl->pending = 0;
		return rc;
	}
	if (cl->listing.noun == NULL)
		return 0;
	/* One packet a turn, so that a long list delays nobody; what was not sent is made anew from the cursor. */
	len = listing_fill(cl->bus->card, &cl->listing, cl->bus->chunk, CHUNK, &cursor, &more);
	rc = client_send(cl, cl->bus->chunk, len);
	if (rc < 0)
		return rc;
	cl->listing.cursor = cursor;
	if (!more)
		cl->listing.noun = NULL;
	return more ? -EAGAIN : 0;
}

/* After each step: what the client may do next. */
static void client_next(struct client *cl, int rc)
{
	if (rc == -EAGAIN) {
		event_del(cl->readable);
		event_add(cl->writable, NULL);
		return;
	}
	if (rc < 0 || cl->hangup) {
		client_close(cl);
		return;
	}
	event_del(cl->writable);
	event_add(cl->readable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_next(arg, client_flush(arg));
}

/* As recv. '*passed': the file that came with the packet, or -1; of several, the first. */
static ssize_t receive(int fd, void *buf, size_t buf_len, int *passed)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PASSED_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = buf_len};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*passed = -1;
	if (len < 0)
		return len;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0);
		     at += sizeof(int)) {
			int got;

			memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
			if (*passed < 0)
				*passed = got;
			else
				close(got);
		}
	}
	return len;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	struct ob_bus *bus = cl->bus;
	int passed;
	ssize_t len = receive(fd, bus->in, sizeof(bus->in), &passed);
	int err = errno;

	(void)what;
	if (len < 0 && (err == EAGAIN || err == EINTR))
		return;
	if (len <= 0) {
		if (passed >= 0)
			close(passed);
		client_close(cl);
		return;
	}
	bus->card->passed_fd = passed;
	/* A packet that was cut off fails the check of body_len like any other that lies about its length. */
	cl->pending = dispatch(
	    bus->card, &cl->upload, bus->in, (size_t)len, cl->out, &cl->listing, &cl->hangup);
	if (bus->card->passed_fd >= 0)
		close(bus->card->passed_fd);
	bus->card->passed_fd = -1;
	explicit_bzero(bus->in, (size_t)len); /* it may have held a key */
	client_next(cl, client_flush(cl));
}

static void refuse(int fd)
{
	static const char why[] = "the card serves 64 clients of its bus and has no place for more";
	struct ob_bus_hdr h = {.magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .flags = OB_BUS_REPLY,
	    .status = -EUSERS,
	    .body_len = sizeof(why) - 1};
	uint8_t msg[sizeof(h) + sizeof(why)];

	static_assert(OB_BUS_MAX_CLIENTS == 64, "the text tells it");
	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), why, sizeof(why) - 1);
	(void)!send(fd, msg, sizeof(h) + sizeof(why) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct ob_bus *bus = arg;
	struct client *cl;
	int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (peer < 0) {
		struct timeval pause = {.tv_usec = 100000};

		/* The connection stays in the queue: without a pause the loop would spin on it. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			event_del(bus->on_accept);
			evtimer_add(bus->resume, &pause);
		}
		return;
	}
	cl = bus->n_clients < OB_BUS_MAX_CLIENTS ? calloc(1, sizeof(*cl)) : NULL;
	if (cl == NULL) {
		refuse(peer);
		return;
	}
	cl->bus = bus;
	cl->fd = peer;
	TAILQ_INSERT_TAIL(&bus->clients, cl, link);
	bus->n_clients++;
	cl->readable = event_new(bus->base, peer, EV_READ | EV_PERSIST, on_readable, cl);
	cl->writable = event_new(bus->base, peer, EV_WRITE | EV_PERSIST, on_writable, cl);
	if (cl->readable == NULL || cl->writable == NULL || event_add(cl->readable, NULL) < 0)
		client_close(cl);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct ob_bus *bus = arg;

	(void)fd;
	(void)what;
	event_add(bus->on_accept, NULL);
}

/* True if a process accepts connections on it. */
static bool somebody_serves(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return true;
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	rc = rc < 0 ? -errno : 0;
	close(fd);
	return rc != -ECONNREFUSED && rc != -ENOENT;
}

/* The folder of the socket, if only its last part is missing (/run/outboard on a fresh machine). */
static void make_folder(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash != NULL && slash != dir) {
		*slash = '\0';
		(void)mkdir(dir, 0755);
	}
}

static int bind_socket(struct ob_bus *bus)
{
	const struct sockaddr *sa = (const struct sockaddr *)&bus->addr;
	/* The mode is right from the first moment: there is no chmod that a client could overtake. */
	mode_t mask = umask(0117);
	int rc = bind(bus->fd, sa, sizeof(bus->addr)) < 0 ? -errno : 0;

	if (rc == -EADDRINUSE && !somebody_serves(&bus->addr)) {
		struct stat st;

		if (lstat(bus->addr.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
			unlink(bus->addr.sun_path);
		rc = bind(bus->fd, sa, sizeof(bus->addr)) < 0 ? -errno : 0;
	}
	umask(mask);
	return rc;
}

static int listen_on(struct ob_bus *bus, char *err, size_t err_len)
{
	struct stat st;
	int rc;

	make_folder(bus->addr.sun_path);
	bus->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bus->fd < 0)
		return -errno;
	rc = bind_socket(bus);
	if (rc == 0 && (listen(bus->fd, 16) < 0 || lstat(bus->addr.sun_path, &st) < 0))
		rc = -errno;
	if (rc == 0) {
		bus->dev = st.st_dev;
		bus->ino = st.st_ino;
	} else if (rc == -EADDRINUSE) {
		snprintf(err, err_len,
		    "bus %s: another ob-card serves it, or it is no socket; choose another with "
		    "--bus",
		    bus->addr.sun_path);
	} else {
		snprintf(err, err_len, "bus %s: %s (may this user write to that folder?)",
		    bus->addr.sun_path, strerror(-rc));
	}
	return rc;
}

int ob_bus_create(struct ob_card *c, struct event_base *base, const char *path, struct ob_bus **out,
    char *err, size_t err_len)
{
	struct ob_bus *bus;
	int rc;

	err[0] = '\0';
	if (strlen(path) >= sizeof(bus->addr.sun_path) || path[0] == '\0') {
		snprintf(err, err_len, "bus '%s': a socket's path has 1 to %zu characters", path,
		    sizeof(bus->addr.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	bus = calloc(1, sizeof(*bus));
	if (bus == NULL)
		return -ENOMEM;
	TAILQ_INIT(&bus->clients);
	bus->card = c;
	bus->base = base;
	bus->addr.sun_family = AF_UNIX;
	strcpy(bus->addr.sun_path, path);
	rc = listen_on(bus, err, err_len);
	if (rc == 0) {
		bus->on_accept = event_new(base, bus->fd, EV_READ | EV_PERSIST, on_accept, bus);
		bus->resume = evtimer_new(base, on_resume, bus);
		if (bus->on_accept == NULL || bus->resume == NULL ||
		    event_add(bus->on_accept, NULL) < 0)
			rc = -ENOMEM;
	}
	if (rc < 0) {
		ob_bus_destroy(bus);
		return rc;
	}
	c->bus = bus;
	*out = bus;
	return 0;
}

void ob_bus_destroy(struct ob_bus *bus)
{
	struct client *cl;
	struct stat st;

	if (bus == NULL)
		return;
	while ((cl = TAILQ_FIRST(&bus->clients)) != NULL)
		client_close(cl);
	if (bus->on_accept != NULL)
		event_free(bus->on_accept);
	if (bus->resume != NULL)
		event_free(bus->resume);
	if (bus->fd >= 0)
		close(bus->fd);
	/* Not if somebody put another socket there meanwhile. */
	if (bus->ino != 0 && lstat(bus->addr.sun_path, &st) == 0 && st.st_ino == bus->ino &&
	    st.st_dev == bus->dev)
		unlink(bus->addr.sun_path);
	if (bus->card->bus == bus)
		bus->card->bus = NULL;
	free(bus);
}

unsigned ob_bus_n_clients(const struct ob_bus *bus)
{
	return bus == NULL ? 0 : bus->n_clients;
}
