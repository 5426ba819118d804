/* SPDX-License-Identifier: BSD-3-Clause */
/* A process that a test program talks to over sockets: started with a folder of its own as first argument, and one option. It
 * prints "ready", and ends at SIGTERM with status 0. It dies with the test. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct target_proc {
	pid_t pid;
	char dir[64];
};

/* 'option' may be NULL. Returns 0, -1. */
int target_start(struct target_proc *t, const char *program, const char *option);
/* -1: it did not end in peace, or left something in its folder. */
int target_stop(struct target_proc *t);
/* Says on stderr if it is gone. */
bool target_lives(struct target_proc *t);
