/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection: moves bytes between the socket and the framing, never more than a millisecond of work at a time. */
#include "vfu_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <event2/event.h>

/* One turn: what a peer may do to the other functions of this thread. */
#define TURN_NS	   1000000
#define TURN_MSGS  1024
#define TURN_READS 4

static ssize_t sock_send(void *ctx, const void *bytes, size_t len, int fd)
{
	struct ob_vfu *v = ctx;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	union {
		const void *in;
		void *out;
	} deconst = {.in = bytes};
	struct iovec iov = {.iov_base = deconst.out, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof(ctl.buf);
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(fd));
	}
	do {
		n = sendmsg(v->conn.fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* Collects the descriptors of one read. The room fits VFU_MAX_FDS; of more the kernel tells by MSG_CTRUNC. */
static unsigned take_fds(struct msghdr *mh, int *fd)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		size_t k;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < k; i++) {
			int one;

			memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
			if (n < VFU_MAX_FDS)
				fd[n++] = one;
			else
				close(one);
		}
	}
	return n;
}

/* Returns 1 if bytes came, 0 if there are none now; marks the connection dead otherwise. */
static int sock_recv(struct ob_vfu *v)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))];
	} ctl;
	int fd[VFU_MAX_FDS];
	struct iovec iov;
	struct msghdr mh = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof(ctl)};
	unsigned n_fds;
	ssize_t n;

	iov.iov_base = vfu_rx_space(&v->conn.rx, &iov.iov_len);
	do {
		n = recvmsg(v->conn.fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n < 0) {
		v->conn.dead = errno == ECONNRESET ? "" : "read error";
		return 0;
	}
	n_fds = take_fds(&mh, fd);
	if (vfu_rx_commit(&v->conn.rx, (size_t)n, fd, n_fds) < 0)
		v->conn.dead = "descriptors that belong to no message";
	else if (mh.msg_flags & MSG_CTRUNC)
		v->conn.dead = "too many descriptors";
	else if (n == 0)
		v->conn.dead = ""; /* the peer left: nothing to complain about */
	return v->conn.dead == NULL;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Handles whole messages. Returns true if the turn is over although more of them wait. */
static bool drain(struct ob_vfu *v, uint64_t end, unsigned *budget)
{
	struct vfu_msg msg;
	int rc;

	while (v->conn.dead == NULL) {
		if (*budget == 0 || now_ns() > end)
			return true;
		rc = vfu_rx_next(&v->conn.rx, &msg);
		if (rc < 0) {
			v->stats.n_bad_messages++;
			v->conn.dead = "impossible message header";
		}
		if (rc <= 0)
			return false;
		(*budget)--;
		vfu_dispatch(v, &msg);
	}
	return false;
}

static void end_turn(struct ob_vfu *v)
{
	if (v->dma_dirty) {
		v->dma_dirty = false;
		if (v->conf.ops->dma_changed != NULL)
			v->conf.ops->dma_changed(v->conf.ctx);
	}
	if (v->conn.dead != NULL)
		vfu_conn_close(v, v->conn.dead);
	else if (!STAILQ_EMPTY(&v->conn.tx.q))
		event_add(v->conn.wr, NULL);
}

void vfu_input(struct ob_vfu *v)
{
	static const struct timeval at_once = {0, 0};
	uint64_t end = now_ns() + TURN_NS;
	unsigned budget = TURN_MSGS;
	bool more = drain(v, end, &budget);

	for (unsigned i = 0; !more && v->conn.dead == NULL && i < TURN_READS; i++) {
		if (sock_recv(v) == 0)
			break;
		more = drain(v, end, &budget);
	}
	/* What waits in the buffer makes no socket readable. */
	if (more)
		event_add(v->conn.more, &at_once);
	end_turn(v);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	vfu_input(ctx);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct ob_vfu *v = ctx;
	int rc = vfu_tx_flush(&v->conn.tx);

	(void)fd;
	(void)what;
	if (rc < 0)
		vfu_conn_close(v, "");
	else if (rc == 1)
		event_add(v->conn.wr, NULL);
}

int vfu_conn_init(struct ob_vfu *v)
{
	v->conn.fd = -1;
	vfu_tx_init(&v->conn.tx, sock_send, v);
	return vfu_rx_init(&v->conn.rx);
}

static void free_events(struct vfu_conn *c)
{
	if (c->rd != NULL)
		event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	if (c->more != NULL)
		event_free(c->more);
	c->rd = NULL;
	c->wr = NULL;
	c->more = NULL;
}

void vfu_conn_fini(struct ob_vfu *v)
{
	vfu_conn_close(v, "");
	vfu_rx_fini(&v->conn.rx);
}

int vfu_conn_open(struct ob_vfu *v, int fd)
{
	struct vfu_conn *c = &v->conn;
	struct ucred cred = {.pid = 0};
	socklen_t len = sizeof(cred);

	/* Nothing of the last peer's memory is there for the next one, even if it could not be given back at the time. */
	if (v->leftover && ob_gmem_del_all(v->conf.gm) < 0)
		return -ENOMEM;
	v->leftover = false;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	c->rd = event_new(v->conf.base, fd, EV_READ | EV_PERSIST, on_readable, v);
	c->wr = event_new(v->conf.base, fd, EV_WRITE, on_writable, v);
	c->more = event_new(v->conf.base, -1, 0, on_readable, v);
	if (c->rd == NULL || c->wr == NULL || c->more == NULL || event_add(c->rd, NULL) < 0) {
		free_events(c);
		return -ENOMEM;
	}
	c->fd = fd;
	c->ready = false;
	c->dead = NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		v->stats.peer_pid = cred.pid;
	v->was_connected = true;
	v->stats.connected = true;
	v->stats.n_connections++;
	VFU_LOG_PEER(INFO, v, "connected, pid %d", (int)v->stats.peer_pid);
	if (v->conf.ops->connected != NULL)
		v->conf.ops->connected(v->conf.ctx, true);
	return 0;
}

void vfu_conn_close(struct ob_vfu *v, const char *why)
{
	struct vfu_conn *c = &v->conn;

	if (c->fd < 0)
		return;
	if (why[0] != '\0') {
		v->stats.n_disconnects++;
		VFU_LOG_PEER(WARNING, v, "pid %d is cut off: %s", (int)v->stats.peer_pid, why);
	} else {
		VFU_LOG_PEER(INFO, v, "pid %d is gone", (int)v->stats.peer_pid);
	}
	free_events(c);
	/* A last answer, such as the refusal of VERSION, goes out if the socket takes it. */
	(void)vfu_tx_flush(&c->tx);
	close(c->fd);
	c->fd = -1;
	c->ready = false;
	vfu_rx_reset(&c->rx);
	vfu_tx_reset(&c->tx);
	v->check.busy = false;
	v->dma_dirty = false;
	vfu_reset(v);
	vfu_irq_drop(v);
	v->leftover = ob_gmem_del_all(v->conf.gm) < 0;
	v->stats.connected = false;
	v->stats.peer_pid = 0;
	c->dead = NULL;
	if (v->conf.ops->connected != NULL)
		v->conf.ops->connected(v->conf.ctx, false);
}
