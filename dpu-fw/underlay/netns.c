/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int netns_enter(const char *name, int *back, char *err, size_t err_len)
{
	char path[256];
	int fd, rc;

	*back = -1;
	if (name == NULL || name[0] == '\0')
		return 0;
	if (strchr(name, '/') != NULL || strlen(name) > 200) {
		snprintf(err, err_len, "'%s' is not the name of a network namespace", name);
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		snprintf(err, err_len, "network namespace %s: %s (make it with 'ip netns add %s')",
		    name, strerror(-rc), name);
		return rc;
	}
	*back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*back < 0 || setns(fd, CLONE_NEWNET) < 0) {
		rc = -errno;
		snprintf(err, err_len,
		    "cannot enter network namespace %s: %s (it takes CAP_SYS_ADMIN)", name,
		    strerror(-rc));
		if (*back >= 0)
			close(*back);
		*back = -1;
		close(fd);
		return rc;
	}
	close(fd);
	return 0;
}

void netns_leave(int back)
{
	if (back < 0)
		return;
	/* Going on in the wrong namespace would open every later socket there. */
	if (setns(back, CLONE_NEWNET) < 0)
		abort();
	close(back);
}
