/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <stdio.h>

static_assert(OB_N_DROPS <= DROP_STRIDE, "widen the row and raise the layout version");

#define DROPS_LAYOUT 1
#define DROPS_BYTES  ((OB_MAX_VIFS + 1) * (size_t)DROP_STRIDE * sizeof(uint64_t))

static const char *const names[] = {
#define NAME(id, name, help) [OB_DROP_##id] = name,
    OB_DROP_REASONS(NAME)
#undef NAME
};

static const char *const helps[] = {
#define HELP(id, name, help) [OB_DROP_##id] = help,
    OB_DROP_REASONS(HELP)
#undef HELP
};

const char *ob_drop_name(unsigned reason)
{
	return reason < OB_N_DROPS ? names[reason] : NULL;
}

const char *ob_drop_help(unsigned reason)
{
	return reason < OB_N_DROPS ? helps[reason] : NULL;
}

int worker_drops_init(struct ob_worker *w, struct ob_arena *arena)
{
	char name[OB_ARENA_NAME_MAX];
	void *p;
	bool fresh;
	int ret;

	snprintf(name, sizeof(name), "drops.%u", w->head.id);
	ret = ob_arena_region(arena, name, DROPS_LAYOUT, DROPS_BYTES, &p, &fresh);
	if (ret == 0)
		w->drops = p;
	return ret;
}

/* The row of a function; what never reached one has the last row. */
static size_t row(uint16_t vif)
{
	return (vif < OB_MAX_VIFS ? vif : OB_MAX_VIFS) * (size_t)DROP_STRIDE;
}

void ob_drop_count(struct ob_worker *w, enum ob_drop reason, uint16_t vif, uint64_t n)
{
	uint64_t *c = &w->drops[row(vif) + reason];

	/* Single writer: a plain read, and a store that a reader in another process may see whole. */
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

ob_tap_fn ob_tap_installed;

void ob_tap_set(ob_tap_fn fn)
{
	__atomic_store_n(&ob_tap_installed, fn, __ATOMIC_RELEASE); /* pairs with ob_tap */
}

/* Kept out of the way of drops that nobody watches. */
static __rte_noinline void show(ob_tap_fn tap, struct ob_worker *w, enum ob_drop reason,
    uint16_t vif, struct rte_mbuf **pkts, unsigned n)
{
	const struct ob_seen seen = {.fate = OB_FATE_DROPPED,
	    .reason = (uint8_t)reason,
	    .in_vif = vif,
	    .out_vif = OB_VIF_NONE};

	for (unsigned i = 0; i < n; i++)
		tap(w, pkts[i], &seen);
}

void ob_drop(struct ob_worker *w, enum ob_drop reason, uint16_t vif, struct rte_mbuf *pkt)
{
	ob_tap_fn tap = ob_tap();

	ob_drop_count(w, reason, vif, 1);
	if (unlikely(tap != NULL))
		show(tap, w, reason, vif, &pkt, 1);
	rte_pktmbuf_free(pkt);
}

void ob_drop_bulk(
    struct ob_worker *w, enum ob_drop reason, uint16_t vif, struct rte_mbuf **pkts, unsigned n)
{
	ob_tap_fn tap = ob_tap();

	ob_drop_count(w, reason, vif, n);
	if (unlikely(tap != NULL))
		show(tap, w, reason, vif, pkts, n);
	rte_pktmbuf_free_bulk(pkts, n);
}

uint64_t ob_drops_read(uint16_t vif, enum ob_drop reason)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ob_n_workers; i++)
		sum += __atomic_load_n(&ob_workers[i]->drops[row(vif) + reason], __ATOMIC_RELAXED);
	return sum;
}

struct clear_req {
	uint16_t vif;
};

static int clear_row(struct ob_worker *w, void *arg)
{
	const struct clear_req *req = arg;

	for (unsigned i = 0; i < DROP_STRIDE; i++)
		__atomic_store_n(&w->drops[row(req->vif) + i], 0, __ATOMIC_RELAXED);
	return 0;
}

void ob_drops_clear(uint16_t vif)
{
	struct clear_req req = {.vif = vif};

	/* By the owner, so that its counters keep one writer. */
	for (unsigned i = 0; i < ob_n_workers; i++)
		ob_worker_call(ob_workers[i], clear_row, &req);
}
