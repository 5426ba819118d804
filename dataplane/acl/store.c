/* SPDX-License-Identifier: BSD-3-Clause */
/* Groups and tags in the arena: chains of blocks of 4 kB, from regions that are made as they are needed.
 *
 * The directory "acl.store" says where each object starts. A new version is written beside the old one and put in force by one
 * store into the directory. Which blocks are free is not kept: it is what no chain holds. */
#include "acl_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYOUT	      1
#define BLOCK	      4096u
#define PAYLOAD	      (BLOCK - sizeof(struct block))
#define REGION_BYTES  (8u << 20)
#define REGION_BLOCKS (REGION_BYTES / BLOCK)
#define MAX_REGIONS   128u
#define MAX_LEN	      (64u << 20)
#define N_OBJECTS     (OB_ACL_MAX_GROUPS + 1 + OB_ACL_MAX_TAGS)
#define BUSY_WORDS    (REGION_BLOCKS / 64)

struct block {
	uint32_t next;	/* number of the next block + 1; 0: the last */
	uint32_t len;	/* of the whole object, in its first block */
	uint32_t owner; /* object + 1 */
	uint32_t reserved;
	uint8_t bytes[];
};
static_assert(sizeof(struct block) == 16, "arena layout");

struct directory {
	uint32_t has_region[MAX_REGIONS];
	uint32_t first[N_OBJECTS]; /* block number + 1; 0: not there */
	uint32_t reserved;
	uint64_t binds[OB_ACL_MAX_ENIS * OB_ACL_N_DIRS * 2];
};
static_assert(offsetof(struct directory, binds) % 8 == 0, "arena layout");

static struct ob_arena *arena;
static struct directory *dir;
static uint8_t *region[MAX_REGIONS];
static uint64_t *busy[MAX_REGIONS]; /* bit per block */
static uint32_t n_busy[MAX_REGIONS];

static uint32_t object(enum acl_kind kind, uint32_t idx)
{
	return kind == ACL_GROUP ? idx : OB_ACL_MAX_GROUPS + 1 + idx;
}

static void region_name(char name[OB_ARENA_NAME_MAX], uint32_t r)
{
	snprintf(name, OB_ARENA_NAME_MAX, "acl.blocks.%u", r);
}

static struct block *block_at(uint32_t no)
{
	return (struct block *)(region[no / REGION_BLOCKS] + (size_t)(no % REGION_BLOCKS) * BLOCK);
}

static bool is_busy(uint32_t no)
{
	return busy[no / REGION_BLOCKS][no % REGION_BLOCKS / 64] >> no % 64 & 1;
}

static void set_busy(uint32_t no)
{
	busy[no / REGION_BLOCKS][no % REGION_BLOCKS / 64] |= 1ull << no % 64;
	n_busy[no / REGION_BLOCKS]++;
}

static int region_open(uint32_t r)
{
	char name[OB_ARENA_NAME_MAX];
	bool fresh;
	void *p;
	int rc;

	region_name(name, r);
	busy[r] = calloc(BUSY_WORDS, sizeof(uint64_t));
	if (busy[r] == NULL)
		return -ENOMEM;
	rc = ob_arena_region(arena, name, LAYOUT, REGION_BYTES, &p, &fresh);
	if (rc < 0) {
		free(busy[r]);
		busy[r] = NULL;
		return rc;
	}
	region[r] = p;
	n_busy[r] = 0;
	dir->has_region[r] = 1;
	return 0;
}

/* A region without a used block goes back to the system. */
static void region_close(uint32_t r)
{
	char name[OB_ARENA_NAME_MAX];

	region_name(name, r);
	dir->has_region[r] = 0;
	ob_arena_del_region(arena, name);
	free(busy[r]);
	busy[r] = NULL;
	region[r] = NULL;
}

static void give_back(uint32_t no)
{
	uint32_t r = no / REGION_BLOCKS;

	assert(is_busy(no));
	busy[r][no % REGION_BLOCKS / 64] &= ~(1ull << no % 64);
	if (--n_busy[r] == 0)
		region_close(r);
}

static int take(uint32_t *no)
{
	uint32_t unopened = MAX_REGIONS;

	for (uint32_t r = 0; r < MAX_REGIONS; r++) {
		if (region[r] == NULL) {
			unopened = unopened == MAX_REGIONS ? r : unopened;
			continue;
		}
		for (uint32_t w = 0; w < BUSY_WORDS && n_busy[r] < REGION_BLOCKS; w++) {
			if (busy[r][w] == UINT64_MAX)
				continue;
			*no = r * REGION_BLOCKS + w * 64 + (uint32_t)__builtin_ctzll(~busy[r][w]);
			set_busy(*no);
			return 0;
		}
	}
	if (unopened < MAX_REGIONS) {
		int rc = region_open(unopened);

		if (rc < 0)
			return rc;
		*no = unopened * REGION_BLOCKS;
		set_busy(*no);
		return 0;
	}
	return -ENOSPC;
}

static void free_chain(uint32_t first)
{
	while (first != 0) {
		uint32_t next = block_at(first - 1)->next;

		give_back(first - 1);
		first = next;
	}
}

int acl_store_put(enum acl_kind kind, uint32_t idx, const void *bytes, size_t len)
{
	uint32_t obj = object(kind, idx), first = 0, *link = &first, old = dir->first[obj];
	const uint8_t *p = bytes;
	size_t left = len;

	if (len > MAX_LEN)
		return -ENOSPC;
	do {
		size_t n = left < PAYLOAD ? left : PAYLOAD;
		struct block *b;
		uint32_t no;
		int rc = take(&no);

		if (rc < 0) {
			free_chain(first);
			return rc;
		}
		b = block_at(no);
		*b = (struct block){.len = (uint32_t)len, .owner = obj + 1};
		memcpy(b->bytes, p, n);
		*link = no + 1;
		link = &b->next;
		p += n;
		left -= n;
	} while (left > 0);
	/* A successor that finds the entry finds the whole chain (pairs with the load in claim). */
	__atomic_store_n(&dir->first[obj], first, __ATOMIC_RELEASE);
	free_chain(old);
	return 0;
}

void acl_store_del(enum acl_kind kind, uint32_t idx)
{
	uint32_t obj = object(kind, idx), old = dir->first[obj];

	__atomic_store_n(&dir->first[obj], 0, __ATOMIC_RELEASE);
	free_chain(old);
}

bool acl_store_has(enum acl_kind kind, uint32_t idx)
{
	return dir->first[object(kind, idx)] != 0;
}

int acl_store_get(enum acl_kind kind, uint32_t idx, void **out, size_t *len)
{
	uint32_t no = dir->first[object(kind, idx)];
	size_t left;
	uint8_t *p;

	if (no == 0)
		return -ENOENT;
	left = *len = block_at(no - 1)->len;
	if (left > MAX_LEN)
		return -EPROTO;
	*out = p = malloc(left > 0 ? left : 1);
	if (p == NULL)
		return -ENOMEM;
	while (left > 0 && no != 0) {
		const struct block *b = block_at(no - 1);
		size_t n = left < PAYLOAD ? left : PAYLOAD;

		memcpy(p, b->bytes, n);
		p += n;
		left -= n;
		no = b->next;
	}
	if (left > 0) {
		free(*out);
		return -EPROTO;
	}
	return 0;
}

uint64_t *acl_store_binds(void)
{
	return dir->binds;
}

/* Marks the blocks of an object that was found in the arena. A chain that leaves its bounds, meets another one or is not the
 * object's is cut where it goes wrong; reading it will then fail. */
static void claim(uint32_t obj)
{
	uint32_t *link = &dir->first[obj];
	uint32_t no = __atomic_load_n(link, __ATOMIC_ACQUIRE);

	while (no != 0) {
		if (no > MAX_REGIONS * REGION_BLOCKS || region[(no - 1) / REGION_BLOCKS] == NULL ||
		    is_busy(no - 1) || block_at(no - 1)->owner != obj + 1) {
			*link = 0;
			return;
		}
		set_busy(no - 1);
		link = &block_at(no - 1)->next;
		no = *link;
	}
}

int acl_store_init(struct ob_arena *a)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(a, "acl.store", LAYOUT, sizeof(*dir), &p, &fresh);
	if (rc < 0)
		return rc;
	arena = a;
	dir = p;
	for (uint32_t r = 0; r < MAX_REGIONS; r++) {
		rc = dir->has_region[r] ? region_open(r) : 0;
		if (rc < 0)
			return rc;
	}
	for (uint32_t obj = 0; obj < N_OBJECTS; obj++)
		claim(obj);
	for (uint32_t r = 0; r < MAX_REGIONS; r++)
		if (region[r] != NULL && n_busy[r] == 0)
			region_close(r);
	return 0;
}

void acl_store_fini(void)
{
	for (uint32_t r = 0; r < MAX_REGIONS; r++) {
		free(busy[r]);
		busy[r] = NULL;
		region[r] = NULL;
		n_busy[r] = 0;
	}
	dir = NULL;
	arena = NULL;
}
