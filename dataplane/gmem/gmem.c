/* SPDX-License-Identifier: BSD-3-Clause */
#include "gmem_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Old maps are kept until the next wait for readers; an add waits only when this much has gathered. */
#define MAX_DEAD       64
#define MAX_DEAD_BYTES (8u << 20)

static size_t map_bytes(uint32_t n_ranges, uint32_t n_windows)
{
	return sizeof(struct ob_gmem_map) + n_ranges * sizeof(struct ob_gmem_range) +
	       n_windows * sizeof(void *);
}

static struct ob_gmem_map *map_alloc(struct ob_gmem *gm, uint32_t n_ranges)
{
	struct ob_gmem_map *m = malloc(map_bytes(n_ranges, gm->n_windows));

	if (m == NULL)
		return NULL;
	*m = (struct ob_gmem_map){
	    .gen = ++gm->gen,
	    .gm = gm,
	    .n_ranges = n_ranges,
	    .n_windows = gm->n_windows,
	    .window = (void **)(void *)&m->range[n_ranges],
	};
	return m;
}

static struct ob_gmem_map *current(const struct ob_gmem *gm)
{
	/* Only control writes it, and this is control. */
	return atomic_load_explicit(&gm->hot.map, memory_order_relaxed);
}

/* Waits for readers of older maps, then frees what only they could use. */
static void reap(struct ob_gmem *gm)
{
	if (gm->conf.sync != NULL)
		gm->conf.sync(gm->conf.sync_ctx);
	while (gm->dead_maps != NULL) {
		struct ob_gmem_map *m = gm->dead_maps;

		gm->dead_maps = m->dead_next;
		free(m);
	}
	while (gm->dead_sides != NULL) {
		struct sidemap *side = gm->dead_sides;

		gm->dead_sides = side->dead_next;
		sidemap_free(side);
	}
	gm->n_dead = 0;
	gm->dead_bytes = 0;
}

/* Makes 'm' the current map; the windows that touch [lo, hi] are looked up anew (lo > hi: none). */
static void publish(struct ob_gmem *gm, struct ob_gmem_map *m, uint64_t lo, uint64_t hi)
{
	struct ob_gmem_map *old = current(gm);

	for (uint32_t i = 0; i < m->n_windows; i++) {
		const struct window *w = &gm->window[i];

		if (lo <= hi && w->len > 0 && w->iova <= hi && w->iova + (w->len - 1) >= lo)
			window_resolve(gm, m, i);
		m->window[i] = w->addr;
	}
	/* Pairs with the acquire of ob_gmem_map_get. */
	atomic_store_explicit(&gm->hot.map, m, memory_order_release);
	if (old != NULL) {
		old->dead_next = gm->dead_maps;
		gm->dead_maps = old;
		gm->dead_bytes += map_bytes(old->n_ranges, old->n_windows);
		gm->n_dead++;
	}
}

static void reap_if_much(struct ob_gmem *gm)
{
	if (gm->n_dead >= MAX_DEAD || gm->dead_bytes >= MAX_DEAD_BYTES)
		reap(gm);
}

int ob_gmem_create(const struct ob_gmem_conf *conf, struct ob_gmem **out)
{
	struct ob_gmem *gm = calloc(1, sizeof(*gm));
	struct ob_gmem_map *m;

	if (gm == NULL)
		return -ENOMEM;
	gm->conf = *conf;
	snprintf(gm->name, sizeof(gm->name), "%s", conf->name != NULL ? conf->name : "");
	gm->conf.name = gm->name;
	m = map_alloc(gm, 0);
	if (m == NULL) {
		free(gm);
		return -ENOMEM;
	}
	publish(gm, m, 1, 0);
	*out = gm;
	return 0;
}

static void put_range(struct ob_gmem *gm, const struct ob_gmem_range *r)
{
	if (r->hva != NULL)
		stretch_put(gm, r->stretch);
}

void ob_gmem_destroy(struct ob_gmem *gm)
{
	struct ob_gmem_map *m;

	if (gm == NULL)
		return;
	m = current(gm);
	for (uint32_t i = 0; i < gm->n_windows; i++) {
		struct sidemap *side = gm->window[i].side;

		if (side != NULL) {
			side->dead_next = gm->dead_sides;
			gm->dead_sides = side;
		}
	}
	reap(gm);
	for (uint32_t i = 0; i < m->n_ranges; i++)
		put_range(gm, &m->range[i]);
	free(m);
	free(gm->window);
	free(gm);
}

/* Where a range [iova, iova + len) would go in the sorted array, or -EINVAL, -EEXIST, -ENOSPC. */
static int place_for(const struct ob_gmem_map *m, uint64_t iova, uint64_t len, unsigned prot)
{
	uint32_t i;

	if (len == 0 || iova + (len - 1) < iova || prot == 0 ||
	    (prot & ~(unsigned)(OB_GMEM_READ | OB_GMEM_WRITE)) != 0)
		return -EINVAL;
	i = range_at_or_after(m, iova);
	if (i < m->n_ranges && m->range[i].iova <= iova + (len - 1))
		return -EEXIST;
	if (m->n_ranges == OB_GMEM_MAX_RANGES)
		return -ENOSPC;
	return (int)i;
}

static int insert(struct ob_gmem *gm, uint32_t at, const struct ob_gmem_range *r)
{
	const struct ob_gmem_map *old = current(gm);
	struct ob_gmem_map *m = map_alloc(gm, old->n_ranges + 1);

	if (m == NULL)
		return -ENOMEM;
	memcpy(&m->range[0], &old->range[0], at * sizeof(*r));
	m->range[at] = *r;
	memcpy(&m->range[at + 1], &old->range[at], (old->n_ranges - at) * sizeof(*r));
	publish(gm, m, r->iova, r->iova + (r->len - 1));
	reap_if_much(gm);
	return 0;
}

int ob_gmem_add(
    struct ob_gmem *gm, ob_iova_t iova, uint64_t len, unsigned prot, int fd, uint64_t fd_off)
{
	struct ob_gmem_range r = {.iova = iova.v, .len = len, .prot = (uint16_t)prot};
	int at = place_for(current(gm), iova.v, len, prot);
	int idx, rc;

	if (at < 0)
		return at;
	if (fd < 0)
		return insert(gm, (uint32_t)at, &r);
	if (((iova.v | len | fd_off) & 4095) != 0)
		return -EINVAL;
	idx = stretch_get(gm, fd, fd_off, len, (prot & OB_GMEM_WRITE) != 0);
	if (idx < 0)
		return idx;
	r.stretch = (uint32_t)idx;
	r.hva = gm->stretch[idx].hva + (fd_off - gm->stretch[idx].file_off);
	r.direct = r.prot;
	rc = insert(gm, (uint32_t)at, &r);
	if (rc != 0)
		stretch_put(gm, r.stretch);
	return rc;
}

int ob_gmem_add_hva(struct ob_gmem *gm, ob_iova_t iova, uint64_t len, unsigned prot, void *hva)
{
	struct ob_gmem_range r = {.iova = iova.v, .len = len, .prot = (uint16_t)prot, .hva = hva};
	int at = place_for(current(gm), iova.v, len, prot);
	int idx, rc;

	if (at < 0)
		return at;
	if (hva == NULL || (((uintptr_t)hva ^ iova.v) & 4095) != 0)
		return -EINVAL;
	idx = stretch_get_hva(gm, hva, len);
	if (idx < 0)
		return idx;
	r.stretch = (uint32_t)idx;
	r.direct = r.prot;
	rc = insert(gm, (uint32_t)at, &r);
	if (rc != 0)
		stretch_put(gm, r.stretch);
	return rc;
}

/* Deletes the ranges in [first, last]. */
static int del_span(struct ob_gmem *gm, uint64_t first, uint64_t last)
{
	struct ob_gmem_map *old = current(gm), *m;
	uint32_t from, to;

	from = range_at_or_after(old, first);
	for (to = from; to < old->n_ranges && old->range[to].iova <= last; to++) {
		const struct ob_gmem_range *r = &old->range[to];

		if (r->iova < first || r->iova + (r->len - 1) > last)
			return -EINVAL;
	}
	if (from == to)
		return 0;
	m = map_alloc(gm, old->n_ranges - (to - from));
	if (m == NULL)
		return -ENOMEM;
	memcpy(&m->range[0], &old->range[0], from * sizeof(m->range[0]));
	memcpy(&m->range[from], &old->range[to], (old->n_ranges - to) * sizeof(m->range[0]));
	publish(gm, m, first, last);
	/* The old map is needed once more, to know what to unmap after its readers are gone. */
	gm->dead_maps = old->dead_next;
	reap(gm);
	for (uint32_t i = from; i < to; i++)
		put_range(gm, &old->range[i]);
	free(old);
	return (int)(to - from);
}

int ob_gmem_del(struct ob_gmem *gm, ob_iova_t iova, uint64_t len)
{
	uint64_t last = iova.v + (len - 1);

	return len == 0 || last < iova.v ? -EINVAL : del_span(gm, iova.v, last);
}

int ob_gmem_del_all(struct ob_gmem *gm)
{
	return del_span(gm, 0, UINT64_MAX);
}

void ob_gmem_usage(const struct ob_gmem *gm, uint32_t *n_ranges, uint64_t *n_bytes)
{
	const struct ob_gmem_map *m = current(gm);

	*n_ranges = m->n_ranges;
	*n_bytes = 0;
	for (uint32_t i = 0; i < m->n_ranges; i++)
		*n_bytes += m->range[i].direct != 0 ? m->range[i].len : 0;
}

bool ob_gmem_poisoned(const struct ob_gmem *gm, uint64_t *n_faults)
{
	if (n_faults != NULL)
		*n_faults = atomic_load_explicit(&gm->hot.n_faults, memory_order_relaxed);
	return atomic_load_explicit(&gm->hot.poisoned, memory_order_relaxed);
}

uint64_t ob_gmem_violations(const struct ob_gmem *gm)
{
	return atomic_load_explicit(&gm->hot.n_violations, memory_order_relaxed);
}

void ob_gmem_heal(struct ob_gmem *gm)
{
	atomic_store_explicit(&gm->hot.poisoned, false, memory_order_relaxed);
}

/* Publishes the same ranges again after window 'idx' changed. Returns 0, -ENOMEM. */
static int republish(struct ob_gmem *gm, uint32_t idx)
{
	const struct ob_gmem_map *old = current(gm);
	struct ob_gmem_map *m = map_alloc(gm, old->n_ranges);

	if (m == NULL)
		return -ENOMEM;
	memcpy(&m->range[0], &old->range[0], old->n_ranges * sizeof(m->range[0]));
	window_resolve(gm, m, idx);
	publish(gm, m, 1, 0);
	reap_if_much(gm);
	return 0;
}

int ob_gmem_window_add(struct ob_gmem *gm, ob_iova_t iova, uint32_t len, unsigned prot)
{
	uint32_t idx = 0;

	if (len == 0 || iova.v + (len - 1) < iova.v || prot == 0)
		return -EINVAL;
	while (idx < gm->n_windows && gm->window[idx].len != 0)
		idx++;
	if (idx == OB_GMEM_MAX_WINDOWS)
		return -ENOSPC;
	if (idx == gm->n_windows) {
		struct window *more = realloc(gm->window, (idx + 1) * sizeof(*more));

		if (more == NULL)
			return -ENOMEM;
		more[idx] = (struct window){0};
		gm->window = more;
		gm->n_windows++;
	}
	gm->window[idx].iova = iova.v;
	gm->window[idx].len = len;
	gm->window[idx].prot = prot;
	if (republish(gm, idx) != 0) {
		gm->window[idx].len = 0;
		return -ENOMEM;
	}
	return (int)idx;
}

void ob_gmem_window_del(struct ob_gmem *gm, int idx)
{
	if (idx < 0 || (uint32_t)idx >= gm->n_windows)
		return;
	gm->window[idx].len = 0;
	/* Without memory the address stays in the current map until the next change, and so does what it points to. */
	(void)republish(gm, (uint32_t)idx);
}
