/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables that workers read without a lock while control changes them: exact match, and longest prefix match.
 *
 * One writer (control), any number of readers. Readers never wait and never see a half-made entry; memory that they may still
 * look at is given back by ob_rcu_defer. Values are 32-bit numbers that mean something to the owner of the table.
 */
#pragma once

#include <stdint.h>

#include "ob_worker.h"

#define OB_TABLE_MISS UINT32_MAX

/* ---- exact match ---- */

/* A key; the owner packs its fields into it, unused bits zero. */
struct ob_key {
	uint64_t w[3];
};

struct ob_map;

/* 'max_entries': most keys that it will hold, 1..2^30; memory is taken as it fills.
 * Returns 0, -EINVAL, -ENOMEM. Context: control. */
int ob_map_create(uint32_t max_entries, struct ob_map **out);
/* No reader may use it any more; entries still on their way through RCU are waited for. NULL is legal. Context: control. */
void ob_map_destroy(struct ob_map *map);
/* Adds or replaces; 'value' < OB_TABLE_MISS. Amortised O(1): the index grows by doubling.
 * Returns 0, -ENOSPC (max_entries are in use or wait for readers), -ENOMEM. Context: control. */
int ob_map_set(struct ob_map *map, const struct ob_key *key, uint32_t value);
/* Returns 0, -ENOENT. Context: control. */
int ob_map_del(struct ob_map *map, const struct ob_key *key);
uint32_t ob_map_count(const struct ob_map *map);
/* Value or OB_TABLE_MISS. Context: control or worker. */
uint32_t ob_map_get(const struct ob_map *map, const struct ob_key *key);
/* The same for a burst, n <= OB_BURST_MAX, with the cache lines prefetched in stages; neighbours with the same key share one lookup. Context: control or worker. */
void ob_map_get_burst(
    const struct ob_map *map, const struct ob_key *keys, uint32_t *values, unsigned n);

/* ---- longest prefix match ---- */

struct ob_lpm;

/* A key of up to 128 bits, most significant bit first: IPv6 fills it, IPv4 lies in the upper 32 bits of 'hi'. */
struct ob_lpm_key {
	uint64_t hi, lo;
};

/* Returns 0, -ENOMEM. Context: control. */
int ob_lpm_create(struct ob_lpm **out);
/* No reader may use it any more (defer it). NULL is legal. Context: control. */
void ob_lpm_destroy(struct ob_lpm *lpm);
/* Adds or replaces a prefix of 'len' bits (0..128); bits beyond 'len' must be zero. Cost does not depend on how many prefixes
 * there are: only the nodes on the way to the prefix are made anew. Returns 0, -EINVAL, -ENOMEM (nothing changed).
 * Context: control. */
int ob_lpm_set(struct ob_lpm *lpm, struct ob_lpm_key key, unsigned len, uint32_t value);
/* Returns 0, -ENOENT, -ENOMEM (nothing changed). Context: control. */
int ob_lpm_del(struct ob_lpm *lpm, struct ob_lpm_key key, unsigned len);
/* Value of the longest prefix that covers 'key', or OB_TABLE_MISS. Context: control or worker. */
uint32_t ob_lpm_get(const struct ob_lpm *lpm, struct ob_lpm_key key);
