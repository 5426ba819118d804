/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots: a copy of the map in the store; from then on the device shares its clusters and copies before it writes. */
#include "cow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int find(const struct cow *d, const char *snap)
{
	int i;

	for (i = 0; i < (int)COW_N_MAPS - 1; i++)
		if (d->sb.snap[i].map != 0 && strcmp(d->sb.snap[i].name, snap) == 0)
			return i;
	return -ENOENT;
}

static int check_thin(const struct ob_blk *b, char *err, size_t err_len)
{
	if (b->ops != &cow_ops)
		return blk_err(err, err_len, -EOPNOTSUPP,
		    "'%s' is of kind %s: only a thin device has snapshots", b->info.name,
		    b->info.kind);
	return 0;
}

static int check_writable(const struct cow *d, char *err, size_t err_len)
{
	if (d->b.info.read_only)
		return blk_err(err, err_len, -EROFS, "'%s' is read only", d->b.info.name);
	if (atomic_load(&d->failed))
		return blk_err(err, err_len, -EIO,
		    "a write of the map failed: close '%s' and open it again", d->b.info.name);
	return 0;
}

static void add_shared(void *ctx, uint64_t v, uint64_t e)
{
	struct cow_set *s = ctx;

	(void)v;
	if (cow_state(e) == COW_DATA && (e & COW_PHYS) < s->n_max)
		cow_set_add(s, e & COW_PHYS);
}

/* Clusters of all snapshots but 'but'. */
static int shared_set(struct cow *d, int but, struct cow_set *s)
{
	int i, rc = cow_set_init(s, d->n_words);

	s->n_max = d->n_clusters;
	for (i = 0; rc == 0 && i < (int)COW_N_MAPS - 1; i++) {
		uint64_t n = (d->sb.snap[i].bytes + (1ull << d->shift) - 1) >> d->shift;

		if (i != but && d->sb.snap[i].map != 0)
			rc = cow_read_map(d, d->sb.snap[i].map, n, add_shared, s);
	}
	return rc;
}

/* What no snapshot has any more is the device's own, or free. The device is paused. */
static int take_back(struct cow *d, const struct cow_set *shared)
{
	uint64_t v, i, n_used = cow_n_used(d);
	struct cow_set used;
	int rc = cow_set_init(&used, d->n_words);

	if (rc != 0)
		return rc;
	pthread_mutex_lock(&d->lock);
	for (v = 0; v < n_used; v++) {
		uint64_t e = cow_load(d, v);

		if (cow_state(e) != COW_DATA)
			continue;
		cow_set_add(&used, e & COW_PHYS);
		if ((e & COW_SHARED) != 0 && !cow_set_has(shared, e & COW_PHYS))
			atomic_store_explicit(&d->map[v], e & ~COW_SHARED, memory_order_release);
	}
	/* Reads of what was copied since may be under way to them. */
	for (i = 0; i < shared->n_max; i++)
		if (!cow_set_has(&used, i) && !cow_set_has(shared, i) &&
		    !cow_set_has(&d->free, i) && !cow_set_has(&d->grace, i))
			cow_set_add(&d->limbo, i);
	pthread_mutex_unlock(&d->lock);
	free(used.w);
	return 0;
}

/* The snapshot did not come about. */
static void undo(struct cow *d)
{
	struct cow_set shared;

	if (shared_set(d, -1, &shared) == 0 && cow_pause(d) == 0) {
		take_back(d, &shared);
		cow_resume(d);
	}
	/* Otherwise clusters stay shared without need, until the device is opened again. */
	free(shared.w);
}

/* A copy of the map as of one moment; all that is in it is shared from then on. */
static int freeze(struct cow *d, uint64_t *copy, uint64_t n)
{
	uint64_t v;
	int rc = cow_pause(d);

	if (rc != 0)
		return rc;
	for (v = 0; v < n; v++) {
		copy[v] = cow_load(d, v);
		if (cow_state(copy[v]) == COW_DATA && (copy[v] & COW_SHARED) == 0)
			atomic_store_explicit(
			    &d->map[v], copy[v] | COW_SHARED, memory_order_release);
	}
	cow_resume(d);
	return 0;
}

static int save(struct cow *d, int idx, const char *snap, const uint64_t *copy, uint64_t n)
{
	struct cow_disk_snap *s = &d->sb.snap[idx];
	int rc;

	rc = cow_write_map(d, (unsigned)idx + 1, 0, copy, n);
	/* Covers the device's data too: the snapshot must not be there without it. */
	if (rc == 0)
		rc = cow_sync(d, OB_BLK_FLUSH, 0, NULL, 0);
	if (rc != 0)
		return rc;
	memset(s, 0, sizeof(*s));
	if (getrandom(s->uuid, 16, 0) != 16)
		return -errno;
	memcpy(s->name, snap, strlen(snap));
	s->bytes = d->sb.bytes;
	s->created_s = (uint64_t)time(NULL);
	s->map = (unsigned)idx + 1;
	rc = cow_write_super(d);
	if (rc != 0) {
		/* One superblock may have it: what it would share must not change. */
		atomic_store(&d->failed, true);
		memset(s, 0, sizeof(*s));
	}
	return rc;
}

int ob_blk_cow_snapshot(struct ob_blk *b, const char *snap, char *err, size_t err_len)
{
	struct cow *d = (struct cow *)b;
	char name[OB_BLK_NAME_MAX] = "";
	uint64_t *copy, n;
	int idx, rc;

	rc = check_thin(b, err, err_len);
	if (rc == 0)
		rc = check_writable(d, err, err_len);
	if (rc != 0)
		return rc;
	if (strnlen(snap, sizeof(name)) < sizeof(name))
		memcpy(name, snap, strlen(snap));
	if (!cow_name_ok(name))
		return blk_err(err, err_len, -EINVAL, "a name is 1..31 of [A-Za-z0-9_.-]");
	if (find(d, snap) >= 0)
		return blk_err(
		    err, err_len, -EEXIST, "'%s' has a snapshot '%s'", b->info.name, snap);
	for (idx = 0; idx < (int)COW_N_MAPS - 1 && d->sb.snap[idx].map != 0; idx++)
		;
	if (idx == (int)COW_N_MAPS - 1)
		return blk_err(err, err_len, -ENOSPC, "'%s' has %d snapshots: delete one",
		    b->info.name, (int)COW_N_MAPS - 1);
	n = cow_n_used(d);
	copy = malloc(n * sizeof(*copy));
	if (copy == NULL)
		return blk_err(err, err_len, -ENOMEM, "out of memory");
	rc = freeze(d, copy, n);
	if (rc == 0) {
		rc = save(d, idx, name, copy, n);
		if (rc != 0)
			undo(d);
	}
	free(copy);
	if (rc != 0)
		return blk_err(err, err_len, rc,
		    rc == -ETIMEDOUT ? "I/O of '%s' did not come to rest"
				     : "cannot write the store of '%s'",
		    b->info.name);
	return 0;
}

int ob_blk_cow_snap_delete(struct ob_blk *b, const char *snap, char *err, size_t err_len)
{
	struct cow *d = (struct cow *)b;
	struct cow_set shared = {NULL, 0, 0};
	int idx, rc;

	rc = check_thin(b, err, err_len);
	if (rc == 0)
		rc = check_writable(d, err, err_len);
	if (rc != 0)
		return rc;
	idx = find(d, snap);
	if (idx < 0)
		return blk_err(err, err_len, idx, "'%s' has no snapshot '%s'", b->info.name, snap);
	if (d->snap_open[idx])
		return blk_err(err, err_len, -EBUSY, "snapshot '%s' is open as a device", snap);
	rc = shared_set(d, idx, &shared);
	if (rc == 0)
		rc = cow_pause(d);
	if (rc == 0) {
		struct cow_disk_snap old = d->sb.snap[idx];

		memset(&d->sb.snap[idx], 0, sizeof(d->sb.snap[idx]));
		rc = cow_write_super(d);
		if (rc == 0) {
			rc = take_back(d, &shared);
		} else {
			/* It is gone in one superblock, maybe: its clusters stay. */
			d->sb.snap[idx] = old;
		}
		cow_resume(d);
	}
	free(shared.w);
	if (rc != 0)
		return blk_err(
		    err, err_len, rc, "cannot delete snapshot '%s': %s", snap, strerror(-rc));
	return 0;
}

static void load_entry(void *ctx, uint64_t v, uint64_t e)
{
	struct cow *d = ctx;

	if (cow_state(e) == COW_DATA && (e & COW_PHYS) >= d->n_clusters)
		e = cow_entry(COW_BAD, 0);
	atomic_store_explicit(&d->map[v], e, memory_order_relaxed);
}

int ob_blk_cow_snap_open(struct ob_blk *b, const char *snap, const char *name, struct ob_blk **out,
    char *err, size_t err_len)
{
	struct cow *d = (struct cow *)b, *s;
	struct ob_blk *nb;
	int idx, rc;

	rc = check_thin(b, err, err_len);
	if (rc != 0)
		return rc;
	idx = find(d, snap);
	if (idx < 0)
		return blk_err(err, err_len, idx, "'%s' has no snapshot '%s'", b->info.name, snap);
	if (d->snap_open[idx])
		return blk_err(err, err_len, -EBUSY, "snapshot '%s' is open as a device", snap);
	rc = blk_new(&cow_snap_ops, name, b->child, b->n_children, &nb);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot make '%s': %s", name,
		    rc == -EINVAL ? "a name is 1..31 of [A-Za-z0-9_.-]" : "out of memory");
	s = (struct cow *)nb;
	pthread_mutex_init(&s->lock, NULL);
	s->origin = d;
	ob_blk_get(b);
	d->snap_open[idx] = true;
	s->snap_idx = (unsigned)idx;
	s->sb = d->sb;
	s->shift = d->shift;
	s->parent_bytes = d->parent_bytes;
	s->n_clusters = d->n_clusters;
	nb->info.bytes = d->sb.snap[idx].bytes;
	nb->info.block_bytes = b->info.block_bytes;
	nb->info.phys_block_bytes = b->info.phys_block_bytes;
	nb->info.opt_io_bytes = b->info.opt_io_bytes;
	nb->info.read_only = true;
	s->n_entries = (nb->info.bytes + (1ull << s->shift) - 1) >> s->shift;
	rc = cow_map_alloc(s);
	if (rc == 0)
		rc = cow_read_map(d, d->sb.snap[idx].map, s->n_entries, load_entry, s);
	if (rc != 0) {
		ob_blk_put(nb);
		return blk_err(
		    err, err_len, rc, "cannot read snapshot '%s': %s", snap, strerror(-rc));
	}
	*out = nb;
	return 0;
}

int ob_blk_cow_status(struct ob_blk *b, struct ob_blk_cow_status *out)
{
	struct cow *d = (struct cow *)b;
	unsigned i;

	if (b->ops != &cow_ops)
		return -EOPNOTSUPP;
	memset(out, 0, sizeof(*out));
	out->cluster_bytes = 1u << d->shift;
	pthread_mutex_lock(&d->lock);
	out->n_clusters = d->n_clusters;
	out->n_free_clusters = d->free.n + d->limbo.n + d->grace.n;
	pthread_mutex_unlock(&d->lock);
	out->n_copied = atomic_load(&d->n_copied);
	out->n_damaged = atomic_load(&d->n_damaged);
	for (i = 0; i < COW_N_MAPS - 1; i++) {
		const struct cow_disk_snap *s = &d->sb.snap[i];
		struct ob_blk_cow_snap *to = &out->snap[out->n_snaps];

		if (s->map == 0)
			continue;
		memcpy(to->name, s->name, sizeof(to->name));
		to->bytes = s->bytes;
		to->created_s = s->created_s;
		to->open = d->snap_open[i];
		out->n_snaps++;
	}
	return 0;
}
