/* SPDX-License-Identifier: BSD-3-Clause */
/* rte_vhost trusts its peer more than we do. Three holes are closed here:
 *
 * - it reads ring indices through its own mapping of the peer's file, so a peer that shortens the file would end the
 *   process by SIGBUS: on its thread such a fault is given zero pages (what gmem does for ours);
 * - it receives a message's body with a blocking read on the one thread of all sockets, so a peer that sends half a message
 *   would stop the control of every other function: its sockets get a receive timeout;
 * - any descriptor passes for a doorbell: only eventfds pass for us.
 */
#include "vhost_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define STALL_MS 200

static __thread bool is_vhost_thread, passing_on;
static struct sigaction previous;

void vhost_guard_thread(void)
{
	is_vhost_thread = true;
}

/* A file that lost this page lost those behind it too, but the mapping's end is not known here: one page per fault. Larger
 * page sizes are tried because a hugetlb mapping refuses smaller ones. */
static bool mend(uintptr_t addr)
{
	const size_t sizes[] = {(size_t)4096, (size_t)64 << 10, (size_t)2 << 20, (size_t)1 << 30};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *at = (void *)(addr & ~(sizes[i] - 1));

		if (mmap(at, sizes[i], PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == at)
			return true;
		/* Any other failure says nothing of the page size, and a larger one would hit the neighbours. */
		if (errno != EINVAL)
			return false;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *ctx)
{
	int saved = errno;
	bool mended =
	    is_vhost_thread && info->si_code == BUS_ADRERR && mend((uintptr_t)info->si_addr);

	errno = saved;
	if (mended)
		return;
	if ((previous.sa_flags & SA_SIGINFO) && !passing_on) {
		passing_on = true; /* it may know us as its own predecessor */
		previous.sa_sigaction(sig, info, ctx);
		passing_on = false;
	} else if (!(previous.sa_flags & SA_SIGINFO) && previous.sa_handler != SIG_DFL &&
		   previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
	} else {
		/* The access faults again and ends the process the usual way. */
		signal(sig, SIG_DFL);
	}
}

int vhost_guard_init(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction now;

	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)
		return 0;
	previous = now;
	return sigaction(SIGBUS, &sa, NULL) == 0 ? 0 : -errno;
}

static bool has_path(const struct sockaddr_un *un, socklen_t len, const char *path)
{
	return len > offsetof(struct sockaddr_un, sun_path) && un->sun_family == AF_UNIX &&
	       strncmp(un->sun_path, path, sizeof(un->sun_path)) == 0;
}

/* rte_vhost does not tell which descriptor a connection has; it is the connected socket with this path at one end. */
pid_t vhost_guard_connection(const char *path)
{
	const struct timeval stall = {.tv_usec = STALL_MS * 1000};
	struct ucred cred = {0};
	struct dirent *e;
	pid_t pid = 0;
	DIR *dir;

	dir = opendir("/proc/self/fd");
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		int fd = atoi(e->d_name);
		struct sockaddr_un self = {0}, peer = {0};
		socklen_t self_len = sizeof(self), peer_len = sizeof(peer), len = sizeof(cred);

		if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0 ||
		    getsockname(fd, (struct sockaddr *)&self, &self_len) != 0 ||
		    (!has_path(&self, self_len, path) && !has_path(&peer, peer_len, path)))
			continue;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stall, sizeof(stall));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stall, sizeof(stall));
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
			pid = cred.pid;
	}
	if (dir != NULL)
		closedir(dir);
	return pid;
}
