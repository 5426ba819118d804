/* SPDX-License-Identifier: BSD-3-Clause */
/* The arena: memory that outlives the process.
 *
 * One memfd, mapped once at an address that may differ from process to process, cut into named regions. A region
 * carries a layout version and a size; inside are fixed-width integers and indices, never a pointer, a DPDK object or
 * a cache-aligned type. A successor opens the same file and finds its regions by name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OB_ARENA_NAME_MAX    48 /* with the closing NUL */
#define OB_ARENA_MAX_REGIONS 4096

struct ob_arena;

struct ob_arena_region_info {
	char name[OB_ARENA_NAME_MAX];
	uint32_t layout; /* version of what is inside; 0 is not used */
	uint32_t reserved;
	uint64_t off; /* bytes from the start of the arena, a multiple of 4096 */
	uint64_t len; /* bytes */
};

/* Makes an empty arena of at most 'max_bytes' (sparse: pages cost memory only when touched). Context: main, once.
 * Returns 0, -EINVAL, -ENOMEM, -errno of memfd_create or mmap. */
int ob_arena_create(const char *name, uint64_t max_bytes, struct ob_arena **out);

/* The same on huge pages of 2 MB, which make lookups in large tables cheaper: 'max_bytes' (rounded up) of them are taken at once.
 * Returns as ob_arena_create; -ENOMEM: the machine has not that many free. */
int ob_arena_create_huge(const char *name, uint64_t max_bytes, struct ob_arena **out);

/* Opens an arena that another process made; 'fd' is duplicated. Checks the header and the whole directory before anything is
 * used. Returns 0, -EPROTO (not an arena, or a damaged directory), -ENOTSUP (other arena version), -errno. */
int ob_arena_open(int fd, struct ob_arena **out);

/* Unmaps and closes; the memory lives on while another process holds the fd. NULL is legal. */
void ob_arena_destroy(struct ob_arena *a);

int ob_arena_fd(const struct ob_arena *a);

/* Finds or makes the region 'name' of 'len' bytes (rounded up to pages), zeroed when new. '*fresh' tells which. The pointer is valid
 * until ob_arena_del_region or destroy. Context: control.
 * Returns 0; -EINVAL name or length; -ENOTSUP it exists with another layout version; -EMSGSIZE with another length; -ENOSPC. */
int ob_arena_region(
    struct ob_arena *a, const char *name, uint32_t layout, uint64_t len, void **out, bool *fresh);

/* Deletes a region; its bytes go back to the system and may be reused. Returns 0, -ENOENT. Context: control. */
int ob_arena_del_region(struct ob_arena *a, const char *name);

/* Takes the memory of 'len' bytes at 'off' now, so that nobody waits later for the kernel to clear pages: that can be a third of what a
 * new connection costs. Changes no content and may run beside the users of the region. Context: any thread.
 * Returns 0; -EINVAL not inside of the arena; -EOPNOTSUPP the kernel cannot (before 5.14); -ENOMEM; -errno. */
int ob_arena_populate(const struct ob_arena *a, uint64_t off, uint64_t len);

/* Its memory was taken when it was made, as huge pages. Context: any thread. */
bool ob_arena_huge(const struct ob_arena *a);

/* Directory for tools and the exporter: region number 'i', or -ENOENT past the end. */
int ob_arena_info(const struct ob_arena *a, unsigned i, struct ob_arena_region_info *out);
