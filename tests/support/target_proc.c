/* SPDX-License-Identifier: BSD-3-Clause */
#include "target_proc.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 30000

int target_start(struct target_proc *t, const char *program, const char *option)
{
	char line[64] = "";
	struct pollfd p = {.events = POLLIN};
	int fds[2];

	strcpy(t->dir, "/tmp/ob-target-XXXXXX");
	if (mkdtemp(t->dir) == NULL || pipe(fds) < 0)
		return -1;
	t->pid = fork();
	if (t->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		execl(program, program, t->dir, option, (char *)NULL);
		_exit(99);
	}
	close(fds[1]);
	p.fd = fds[0];
	if (t->pid < 0 || poll(&p, 1, WAIT_MS) != 1 || read(fds[0], line, sizeof(line) - 1) <= 0)
		return -1;
	close(fds[0]);
	return strncmp(line, "ready", 5) == 0 ? 0 : -1;
}

int target_stop(struct target_proc *t)
{
	int status = 0;

	if (t->pid <= 0)
		return -1;
	kill(t->pid, SIGTERM);
	if (waitpid(t->pid, &status, 0) != t->pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0) {
		fprintf(stderr, "the target ended with status %x\n", (unsigned)status);
		return -1;
	}
	return rmdir(t->dir);
}

bool target_lives(struct target_proc *t)
{
	int status;

	if (t->pid > 0 && waitpid(t->pid, &status, WNOHANG) == 0)
		return true;
	if (t->pid > 0)
		fprintf(stderr, "the target is gone: status %x\n", (unsigned)status);
	t->pid = 0;
	return false;
}
