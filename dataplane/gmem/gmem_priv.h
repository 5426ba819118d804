/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this folder share. Context of everything here: control, unless said. */
#pragma once

#include <sys/types.h>

#include "ob_gmem.h"

struct fault_slot;

/* One mapping in our address space: a file (whole, if that is affordable) or somebody else's memory. Ranges refer to
 * it by index, so that a thousand ranges of one file cost one mmap. */
struct stretch {
	uint8_t *hva;
	uint64_t len;
	uint64_t file_off; /* file offset of hva */
	uint64_t page;	   /* what the kernel maps at least: it rounds lengths up to this */
	dev_t dev;
	ino_t ino;
	uint32_t refs; /* 0: the slot is free */
	int fd; /* our duplicate, to map parts again for a window; -1: somebody else's memory */
	bool writable;
	struct fault_slot *slot;
};

/* Ranges placed side by side for one window; 'hva' is the reservation. */
struct sidemap {
	uint8_t *hva;
	size_t len;
	struct fault_slot *slot;
	struct sidemap *dead_next;
};

struct window {
	uint64_t iova;
	uint32_t len; /* 0: the slot is free */
	uint32_t prot;
	void *addr;
	struct sidemap *side; /* set if addr points into one */
};

struct ob_gmem {
	struct ob_gmem_hot hot; /* first: ob_gmem_access.h relies on it */
	struct ob_gmem_conf conf;
	char name[64];
	uint64_t gen;
	uint64_t stretch_bytes;
	uint32_t n_stretches; /* slots in use or free in stretch[] */
	uint32_t n_windows;   /* ditto window[] */
	struct stretch stretch[OB_GMEM_MAX_FILES];
	struct window *window;
	/* Replaced, but a reader may still use them. */
	struct ob_gmem_map *dead_maps;
	struct sidemap *dead_sides;
	size_t dead_bytes;
	uint32_t n_dead;
};

/* stretch.c. stretch_get finds or makes a mapping that holds [off, off + len) of the file and takes a reference.
 * Returns the index or -errno. */
int stretch_get(struct ob_gmem *gm, int fd, uint64_t off, uint64_t len, bool writable);
int stretch_get_hva(struct ob_gmem *gm, void *hva, uint64_t len);
/* Drops a reference; unmaps with the last one. Readers must have let go. */
void stretch_put(struct ob_gmem *gm, uint32_t idx);

/* window.c. Recomputes the address of window 'idx' in 'map'; the old side mapping goes to the dead list. */
void window_resolve(struct ob_gmem *gm, const struct ob_gmem_map *map, uint32_t idx);
void sidemap_free(struct sidemap *side);

/* fault.c. Registers memory whose faults count against 'gm'. Returns NULL when out of memory. Context: any thread. */
struct fault_slot *fault_watch(struct ob_gmem *gm, const void *base, size_t len);
void fault_unwatch(struct fault_slot *slot);
/* True if a page of it was replaced. */
bool fault_hit(const struct fault_slot *slot);

/* access.c. Index of the first range that ends behind 'iova'; n_ranges if none does. Context: any. */
static inline uint32_t range_at_or_after(const struct ob_gmem_map *map, uint64_t iova)
{
	uint32_t lo = 0, hi = map->n_ranges;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct ob_gmem_range *r = &map->range[mid];

		if (r->iova + (r->len - 1) < iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
