/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void sidemap_free(struct sidemap *side)
{
	fault_unwatch(side->slot);
	munmap(side->hva, side->len);
	free(side);
}

/* The bytes of 'r' that [iova, last] also holds, as address and length. */
static uint8_t *overlap(const struct ob_gmem_range *r, uint64_t iova, uint64_t last, uint64_t *len)
{
	uint64_t r_last = r->iova + (r->len - 1);
	uint64_t from = iova > r->iova ? iova : r->iova;
	uint64_t to = last < r_last ? last : r_last;

	*len = to - from + 1;
	return r->hva + (from - r->iova);
}

/* Is [iova, last] mapped without a hole and with 'prot'? '*straight': and at adjacent addresses. */
static bool covered(
    const struct ob_gmem_map *map, uint64_t iova, uint64_t last, unsigned prot, bool *straight)
{
	uint32_t i = range_at_or_after(map, iova);
	const uint8_t *expect = NULL;
	uint64_t at = iova, len;

	*straight = true;
	for (; i < map->n_ranges; i++) {
		const struct ob_gmem_range *r = &map->range[i];
		const uint8_t *p;

		if (r->iova > at || (r->direct & prot) != prot)
			return false;
		p = overlap(r, at, last, &len);
		if (expect != NULL && p != expect)
			*straight = false;
		expect = p + len;
		if (len - 1 == last - at)
			return true;
		at += len;
	}
	return false;
}

/* Maps the pages under [iova, last] side by side. Returns NULL where that cannot be: somebody else's memory, or huge pages
 * cut up. */
static struct sidemap *place(
    struct ob_gmem *gm, const struct ob_gmem_map *map, uint64_t iova, uint64_t last)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t first = iova & ~(uint64_t)(page - 1);
	size_t span = (size_t)((last | (page - 1)) - first + 1);
	struct sidemap *side = calloc(1, sizeof(*side));
	uint64_t at = first;

	if (side == NULL)
		return NULL;
	side->len = span;
	side->hva = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (side->hva == MAP_FAILED)
		goto err_free;
	for (uint32_t i = range_at_or_after(map, iova); at - first < span; i++) {
		uint8_t *to = side->hva + (at - first);
		const struct stretch *s;
		const uint8_t *from;
		uint64_t len;

		if (i == map->n_ranges || map->range[i].iova > at)
			goto err_unmap;
		s = &gm->stretch[map->range[i].stretch];
		from = overlap(&map->range[i], at, last | (page - 1), &len);
		/* The kernel would round the length up to a huge page, over what lies behind the reservation. */
		if (s->fd < 0 || (((uintptr_t)from | len) & (page - 1)) != 0 ||
		    (((uintptr_t)to | len) & (s->page - 1)) != 0)
			goto err_unmap;
		if (mmap(to, len, PROT_READ | (s->writable ? PROT_WRITE : 0),
			MAP_SHARED | MAP_FIXED | MAP_NORESERVE, s->fd,
			(off_t)(s->file_off + (uint64_t)(from - s->hva))) != (void *)to)
			goto err_unmap;
		at += len;
	}
	(void)madvise(side->hva, span, MADV_DONTDUMP);
	side->slot = fault_watch(gm, side->hva, span);
	if (side->slot != NULL)
		return side;
err_unmap:
	munmap(side->hva, span);
err_free:
	free(side);
	return NULL;
}

void window_resolve(struct ob_gmem *gm, const struct ob_gmem_map *map, uint32_t idx)
{
	struct window *w = &gm->window[idx];
	uint64_t last = w->iova + (w->len - 1), len;
	bool straight;

	if (w->side != NULL) {
		w->side->dead_next = gm->dead_sides;
		gm->dead_sides = w->side;
		gm->n_dead++;
	}
	w->side = NULL;
	w->addr = NULL;
	if (w->len == 0 || !covered(map, w->iova, last, w->prot, &straight))
		return;
	if (straight) {
		const struct ob_gmem_range *r = &map->range[range_at_or_after(map, w->iova)];

		w->addr = overlap(r, w->iova, last, &len);
		return;
	}
	w->side = place(gm, map, w->iova, last);
	if (w->side != NULL)
		w->addr = w->side->hva + (w->iova & ((uint64_t)sysconf(_SC_PAGESIZE) - 1));
}
