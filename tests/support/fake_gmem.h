/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile guest, for the two tests that every reader of guest memory passes (STYLE.md):
 *
 *   1. each byte is fetched once:      fake_gmem_watch(mem, len); <the operation>; fake_gmem_most_fetched() == 1
 *   2. what the guest does after the
 *      fetch changes nothing:          fake_gmem_scribble(true);  <the operation>; same results as without
 *
 * Link ob_gmem_fake (and ob_virtq_fake) instead of ob_gmem (and ob_virtq) and build the code under test with the same
 * dependency, so that its inlined accesses report here too. One watched area, one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts counting accesses to [mem, mem + len), which is the guest's memory as the device has it mapped: find it by a
 * window, or use memory given to ob_gmem_add_hva. Forgets earlier counts. len 0: stop. */
void fake_gmem_watch(void *mem, size_t len);

/* While on, each byte is overwritten with garbage right after it was fetched. fake_gmem_restore puts the guest's bytes
 * back, except where the device has stored since. */
void fake_gmem_scribble(bool on);
void fake_gmem_restore(void);

/* Zeroes the counts, keeps the area. */
void fake_gmem_recount(void);

/* How often the byte at 'off' was fetched since the last recount, and the largest such number of all bytes in
 * [off, off + len). */
unsigned fake_gmem_fetched(size_t off);
unsigned fake_gmem_most_fetched(size_t off, size_t len);
/* Bytes fetched and stored since the last recount. */
uint64_t fake_gmem_bytes_fetched(void);
uint64_t fake_gmem_bytes_stored(void);

/* Calls 'cb' after each store into the area, and between stores to the arena where the code under test says so: for
 * tests that end the owner there (copy the world and let a successor continue). NULL: none. */
void fake_gmem_on_step(void (*cb)(void *ctx), void *ctx);
