/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers share clusters, and the clusters that others freed, while snapshots come and go. Nobody ever reads what he did not write. */
#include "test_rig.h"

#include <pthread.h>
#include <stdlib.h>

#define KIB	  1024u
#define N_WORKERS 3u
#define CLUSTER	  8192u
#define UNIT	  2048u /* of the shared half: four owners a cluster */
#define N_SHARED  96u
#define N_OWN	  24u /* clusters of each worker's own */
#define DEPTH	  6u
#define N_IOS	  6000u

static char err[256];

struct worker;

struct wio {
	struct ob_blk_io io; /* first */
	struct worker *w;
	struct iovec iov;
	bool busy;
	unsigned place;
	uint8_t buf[CLUSTER];
};

/* A place: a unit of the shared half, or a cluster. */
struct place {
	uint64_t off, len;
	uint32_t version; /* 0: zeroes */
	bool busy, any;	  /* any: discarded or failed */
};

struct worker {
	struct ob_blk_ch *ch;
	pthread_t thread;
	struct place place[N_SHARED + N_OWN];
	unsigned n_places;
	struct wio io[DEPTH];
	uint64_t rng;
	unsigned n_ios, n_full, n_bad;
	uint32_t version;
};

static uint32_t rnd(struct worker *w)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return (uint32_t)(w->rng >> 16);
}

static bool is(const uint8_t *p, const struct place *at, uint32_t version)
{
	uint8_t want[RIG_SECTOR];
	uint64_t i;

	for (i = 0; i < at->len; i += RIG_SECTOR) {
		if (version == 0)
			memset(want, 0, sizeof(want));
		else
			rig_fill(want, (at->off + i) / RIG_SECTOR, version);
		if (memcmp(p + i, want, RIG_SECTOR) != 0)
			return false;
	}
	return true;
}

static void done(struct ob_blk_io *io)
{
	struct wio *x = (struct wio *)io;
	struct worker *w = x->w;
	struct place *p = &w->place[x->place];

	w->n_ios++;
	if (io->result == -ENOSPC)
		w->n_full++;
	else if (io->result != 0)
		w->n_bad++;
	if (io->op == OB_BLK_READ && io->result == 0 && !p->any && !is(x->buf, p, p->version))
		w->n_bad++;
	if (io->op == OB_BLK_DISCARD || (io->op != OB_BLK_READ && io->result != 0))
		p->any = true;
	p->busy = false;
	x->busy = false;
}

static void submit(struct worker *w, struct wio *x)
{
	static const uint8_t ops[] = {OB_BLK_READ, OB_BLK_READ, OB_BLK_WRITE, OB_BLK_WRITE,
	    OB_BLK_WRITE, OB_BLK_WRITE_ZEROES, OB_BLK_DISCARD, OB_BLK_DISCARD};
	struct ob_blk_io *io = &x->io;
	struct place *p;
	uint64_t i;

	x->place = rnd(w) % w->n_places;
	p = &w->place[x->place];
	if (p->busy)
		return;
	p->busy = true;
	x->busy = true;
	x->iov = (struct iovec){x->buf, p->len};
	*io = (struct ob_blk_io){
	    .op = ops[rnd(w) % 8], .off = p->off, .len = p->len, .done = done, .owner = w};
	if (io->op == OB_BLK_DISCARD && p->len < CLUSTER)
		io->op = OB_BLK_WRITE_ZEROES;
	if (io->op == OB_BLK_READ || io->op == OB_BLK_WRITE) {
		io->iov = &x->iov;
		io->n_iov = 1;
	}
	if (io->op == OB_BLK_WRITE_ZEROES) {
		io->flags = rnd(w) % 2 == 0 ? OB_BLK_MAY_UNMAP : 0;
		p->version = 0;
		p->any = false;
	}
	if (io->op == OB_BLK_WRITE) {
		p->version = ++w->version;
		p->any = false;
		for (i = 0; i < p->len; i += RIG_SECTOR)
			rig_fill(x->buf + i, (p->off + i) / RIG_SECTOR, p->version);
	}
	ob_blk_submit(w->ch, &io, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned i, idle = 0;

	while (w->n_ios < N_IOS) {
		for (i = 0; i < DEPTH; i++)
			if (!w->io[i].busy)
				submit(w, &w->io[i]);
		/* Two cores: who waits for another lets it run. */
		if (ob_blk_poll(w->ch) == 0 && ++idle % 16 == 0)
			sched_yield();
	}
	while (ob_blk_pending(w->ch) > 0)
		if (ob_blk_poll(w->ch) == 0)
			sched_yield();
	return NULL;
}

static void place(struct worker *w, uint64_t off, uint64_t len)
{
	w->place[w->n_places++] = (struct place){.off = off, .len = len};
}

static void workers_never_see_each_others_bytes(void **state)
{
	uint64_t bytes = N_SHARED * UNIT * 4 + N_WORKERS * N_OWN * CLUSTER, store_bytes;
	struct worker *w = calloc(N_WORKERS, sizeof(*w));
	struct ob_blk_cow_conf conf = {
	    .create = true, .bytes = bytes, .max_bytes = bytes, .cluster_bytes = CLUSTER};
	struct ob_blk_cow_status st;
	struct ob_blk *store, *b;
	unsigned i, k, n_full = 0;

	(void)state;
	assert_non_null(w);
	/* Too small for all of it, so that what one frees is what another gets. */
	store_bytes = 168 * KIB + bytes * 3 / 4 / 4096 * 4096;
	assert_int_equal(ob_blk_ram_create("ram", store_bytes, 512, &store, err, sizeof(err)), 0);
	store->info.volatile_cache = true;
	conf.store = store;
	assert_int_equal(ob_blk_cow_create("cow", &conf, &b, err, sizeof(err)), 0);
	for (i = 0; i < N_WORKERS; i++) {
		assert_int_equal(ob_blk_ch_open(b, &w[i].ch), 0);
		w[i].rng = i * 77 + 12345;
		for (k = 0; k < N_SHARED; k++)
			place(&w[i], (uint64_t)(k * 4 + i) * UNIT, UNIT);
		for (k = 0; k < N_OWN; k++)
			place(&w[i], N_SHARED * UNIT * 4 + (uint64_t)(k * N_WORKERS + i) * CLUSTER,
			    CLUSTER);
		for (k = 0; k < DEPTH; k++)
			w[i].io[k].w = &w[i];
	}
	for (i = 0; i < N_WORKERS; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	for (i = 0; i < 12; i++) {
		assert_int_equal(ob_blk_cow_snapshot(b, "s", err, sizeof(err)), 0);
		assert_int_equal(ob_blk_cow_snap_delete(b, "s", err, sizeof(err)), 0);
	}
	for (i = 0; i < N_WORKERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_int_equal(w[i].n_bad, 0);
		n_full += w[i].n_full;
		ob_blk_ch_close(w[i].ch);
	}
	assert_true(n_full > 0);
	ob_blk_put(b);
	assert_int_equal(ob_blk_cow_create("cow", &conf, &b, err, sizeof(err)), 0);
	assert_string_equal(err, "");
	assert_int_equal(ob_blk_cow_status(b, &st), 0);
	assert_int_equal(st.n_damaged, 0);
	ob_blk_put(b);
	ob_blk_put(store);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(workers_never_see_each_others_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
