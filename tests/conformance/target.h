/* SPDX-License-Identifier: BSD-3-Clause */
/* What the target processes of the conformance suites share: a device model with workers, and a main loop until SIGTERM. */
#pragma once

struct event_base;
struct ob_arena;

/* EAL, faults, an arena of that name, two workers; the process dies with the test that started it. Returns 0, -errno. */
int target_start(const char *name, struct event_base **base, struct ob_arena **arena);

/* Says "ready", and runs the loop until SIGTERM: 'poll_events' whenever 'event_fd' is readable. */
void target_serve(struct event_base *base, int event_fd, unsigned (*poll_events)(void));
