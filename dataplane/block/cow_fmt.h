/* SPDX-License-Identifier: BSD-3-Clause */
/* What a thin device's store holds. Little-endian.
 *
 *     0        64 KiB     128 KiB                                        data_off
 *     | super 0 | super 1 | map 0: the device | map 1..7: snapshots | ... | clusters ...
 *
 * Both superblocks say the same but for the moment in which one is written; the greater generation is right. A map entry is 8 bytes and holds
 * its own check, so that a torn write of a map page leaves nothing but old and new entries. An entry of eight zero bytes is a hole.
 */
#pragma once

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <isa-l/crc.h>

#define COW_MAGIC      "OBTHIN\r\n"
#define COW_MAGIC_MAKE "OBTHIN?\n" /* superblock 1 while the store is made */
#define COW_VERSION    1u

#define COW_SUPER_BYTES 4096u
#define COW_SLOT_BYTES	(64u << 10)
#define COW_MAP_OFF	(2 * COW_SLOT_BYTES)
#define COW_N_MAPS	8u
#define COW_PAGE_BYTES	4096u /* a map is written in these */
#define COW_PAGE_N	(COW_PAGE_BYTES / 8)
#define COW_MIN_CLUSTER 4096u
#define COW_MAX_CLUSTER (2u << 20)
#define COW_MAX_BYTES	(1ull << 52) /* of a device: its clusters' numbers fit 40 bits */

enum cow_super_flags {
	COW_HAS_PARENT = 1 << 0,
};

struct cow_disk_snap {
	char name[32]; /* ends with 0 */
	uint8_t uuid[16];
	uint64_t bytes;
	uint64_t created_s;
	uint32_t map; /* 1..7; 0: unused */
	uint32_t zero;
};

struct cow_super {
	char magic[8];
	uint32_t version;
	uint32_t crc; /* CRC-32C of the whole with this as 0 */
	uint64_t generation;
	uint8_t uuid[16];
	uint8_t parent_uuid[16]; /* 0: not a thin device */
	uint64_t bytes;
	uint64_t max_bytes;
	uint64_t parent_bytes; /* of the parent that can be seen */
	uint32_t cluster_bytes;
	uint32_t flags;
	uint64_t map_bytes; /* from one map to the next */
	uint64_t data_off;
	struct cow_disk_snap snap[COW_N_MAPS - 1];
	uint8_t zero[COW_SUPER_BYTES - 104 - 72 * (COW_N_MAPS - 1)];
};
static_assert(sizeof(struct cow_disk_snap) == 72, "format");
static_assert(sizeof(struct cow_super) == COW_SUPER_BYTES, "format");

/* An entry in memory: number of the cluster in bits 0..39, state in 40..41, and what only memory knows. */
#define COW_PHYS   ((1ull << 40) - 1)
#define COW_BUSY   (1ull << 63) /* somebody changes it; what it says is still so */
#define COW_SHARED (1ull << 62) /* a snapshot has the cluster too: it is never written in place */

enum cow_state {
	COW_HOLE, /* reads from the parent */
	COW_DATA,
	COW_ZERO,
	COW_BAD /* was damaged */
};

static inline uint64_t cow_entry(enum cow_state state, uint64_t phys)
{
	return (uint64_t)state << 40 | phys;
}

static inline enum cow_state cow_state(uint64_t e)
{
	return (enum cow_state)(e >> 40 & 3);
}

static inline uint32_t cow_crc(const void *p, size_t len, uint32_t seed)
{
	/* isa-l's prototype lacks a const. */
	return crc32_iscsi((unsigned char *)(uintptr_t)p, (int)len, seed);
}

/* On disk the upper 16 bits are a check over the store's identity, the map, the place in it and the value. */
static inline uint32_t cow_map_seed(const uint8_t uuid[16], unsigned map)
{
	uint8_t bytes[17];

	memcpy(bytes, uuid, 16);
	bytes[16] = (uint8_t)map;
	return cow_crc(bytes, sizeof(bytes), ~0u);
}

static inline uint64_t cow_encode(uint32_t seed, uint64_t idx, uint64_t e)
{
	uint64_t le[2] = {htole64(idx), htole64(e & (COW_PHYS | 3ull << 40))};

	if (le[1] == 0)
		return 0;
	return htole64(le64toh(le[1]) | (uint64_t)(cow_crc(le, sizeof(le), seed) & 0xffff) << 48);
}

/* Returns the entry, COW_BAD when the check fails. */
static inline uint64_t cow_decode(uint32_t seed, uint64_t idx, uint64_t disk)
{
	uint64_t e = le64toh(disk) & (COW_PHYS | 3ull << 40);

	if (cow_encode(seed, idx, e) != disk || (cow_state(e) != COW_DATA && (e & COW_PHYS) != 0))
		return cow_entry(COW_BAD, 0);
	return e;
}
