/* SPDX-License-Identifier: BSD-3-Clause */
/* Enters a named network namespace for a few calls: a socket or TAP opened meanwhile belongs to it for good. */
#pragma once

#include <stddef.h>

/* 'name' NULL: stays. '*back' is what netns_leave needs. Context: main (the namespace is a thread's).
 * Returns 0; -ENOENT no such namespace; -EPERM; -errno. */
int netns_enter(const char *name, int *back, char *err, size_t err_len);
void netns_leave(int back);
