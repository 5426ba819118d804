/* SPDX-License-Identifier: BSD-3-Clause */
/* The listening socket: one client at a time, a second one is turned away at once. */
#include "vfu_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <event2/event.h>

#define BACKLOG 8

/* Does anybody serve that socket? Returns 0 no, 1 yes, -errno cannot say. */
static int is_served(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ? 0 : errno;
	close(fd);
	if (rc == ECONNREFUSED || rc == ENOENT)
		return 0;
	return rc == 0 || rc == EAGAIN ? 1 : -rc;
}

static int make_room(const struct sockaddr_un *sa)
{
	struct stat st;
	int rc;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	rc = is_served(sa);
	if (rc != 0)
		return rc < 0 ? rc : -EADDRINUSE;
	return unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static void on_connect(evutil_socket_t lfd, short what, void *ctx)
{
	static const struct timeval second = {1, 0};
	struct ob_vfu *v = ctx;
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (fd < 0) {
		/* Out of descriptors: the socket stays readable, and this loop must not spin on it. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			VFU_LOG_PEER(ERR, v, "no connection can be accepted: %s", strerror(errno));
			event_del(v->listen_ev);
			event_add(v->listen_retry, &second);
		}
		return;
	}
	if (v->conn.fd >= 0) {
		v->stats.n_refused++;
		VFU_LOG_PEER(WARNING, v, "a second client is refused; pid %d is connected",
		    (int)v->stats.peer_pid);
		close(fd);
		return;
	}
	if (vfu_conn_open(v, fd) < 0) {
		VFU_LOG_PEER(ERR, v, "no memory for a connection");
		close(fd);
	}
}

static void on_retry(evutil_socket_t fd, short what, void *ctx)
{
	struct ob_vfu *v = ctx;

	(void)fd;
	(void)what;
	event_add(v->listen_ev, NULL);
}

static int bind_path(struct ob_vfu *v)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int rc;

	if (strlen(v->path) >= sizeof(sa.sun_path)) {
		VFU_LOG(ERR, v, "%s: the path of a socket has at most %zu characters", v->path,
		    sizeof(sa.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(sa.sun_path, v->path, strlen(v->path));
	rc = make_room(&sa);
	if (rc < 0) {
		VFU_LOG(ERR, v, "%s: %s", v->path,
		    rc == -EADDRINUSE ? "another process serves this socket"
		    : rc == -EEXIST   ? "this file is not a socket"
				      : strerror(-rc));
		return rc;
	}
	v->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->listen_fd < 0)
		return -errno;
	/* Nobody can connect before listen, so the mode is right from the first connection on. */
	if (bind(v->listen_fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(v->path, 0660) < 0 || stat(v->path, &st) < 0 ||
	    listen(v->listen_fd, BACKLOG) < 0) {
		rc = -errno;
		VFU_LOG(ERR, v, "%s: %s", v->path, strerror(-rc));
		return rc;
	}
	v->path_dev = st.st_dev;
	v->path_ino = st.st_ino;
	return 0;
}

int vfu_listen_open(struct ob_vfu *v)
{
	int rc = bind_path(v);

	if (rc < 0)
		return rc;
	v->listen_ev = event_new(v->conf.base, v->listen_fd, EV_READ | EV_PERSIST, on_connect, v);
	v->listen_retry = event_new(v->conf.base, -1, 0, on_retry, v);
	if (v->listen_ev == NULL || v->listen_retry == NULL || event_add(v->listen_ev, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void vfu_listen_close(struct ob_vfu *v)
{
	struct stat st;

	if (v->listen_ev != NULL)
		event_free(v->listen_ev);
	if (v->listen_retry != NULL)
		event_free(v->listen_retry);
	if (v->listen_fd >= 0)
		close(v->listen_fd);
	/* A successor may have put its own socket there. */
	if (v->path_ino != 0 && stat(v->path, &st) == 0 && st.st_dev == v->path_dev &&
	    st.st_ino == v->path_ino)
		unlink(v->path);
}
