/* SPDX-License-Identifier: BSD-3-Clause */
/* Takes the memory of the tables that workers grow into before they need it, in a thread of its own. */
#pragma once

struct ob_arena;
struct prefault;

/* Starts on the regions that are there now. '*out' is NULL where there is nothing to do. Context: main.
 * Returns 0; -ENOMEM the tables may grow beyond half of the memory that is free: nothing was taken; -errno of the thread. */
int prefault_start(const struct ob_arena *arena, struct prefault **out);
/* Ends the thread, wherever it is. NULL is legal. Context: main, before the arena goes. */
void prefault_stop(struct prefault *p);
