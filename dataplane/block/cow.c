/* SPDX-License-Identifier: BSD-3-Clause */
/* The thin device: made, closed, resized. */
#include "cow.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Control's: which stores are taken. */
static struct cow *all;

bool cow_is(const struct ob_blk *b)
{
	return b->ops == &cow_ops || b->ops == &cow_snap_ops;
}

const uint8_t *cow_uuid(const struct ob_blk *b)
{
	static const uint8_t none[16];
	const struct cow *d = (const struct cow *)b;

	if (b->ops == &cow_ops)
		return d->sb.uuid;
	return b->ops == &cow_snap_ops ? d->sb.snap[d->snap_idx].uuid : none;
}

static void destroy(struct ob_blk *b)
{
	struct cow *d = (struct cow *)b, **at;

	for (at = &all; *at != NULL; at = &(*at)->next) {
		if (*at == d) {
			*at = d->next;
			break;
		}
	}
	if (d->ctl != NULL)
		ob_blk_ch_close(d->ctl);
	if (d->map != NULL)
		munmap((void *)(uintptr_t)d->map, d->n_entries * 8);
	free((void *)(uintptr_t)d->page_lock);
	free(d->free.w);
	free(d->limbo.w);
	free(d->grace.w);
	pthread_mutex_destroy(&d->lock);
	if (d->origin != NULL) {
		d->origin->snap_open[d->snap_idx] = false;
		ob_blk_put(&d->origin->b);
	}
}

static uint64_t count_clusters(const struct cow *d)
{
	struct ob_blk_info st;
	uint64_t n;

	ob_blk_info(d->b.child[COW_STORE], &st);
	n = st.bytes > d->sb.data_off ? (st.bytes - d->sb.data_off) >> d->shift : 0;
	return n < COW_PHYS ? n : COW_PHYS;
}

/* The store grew. (When it shrank, its own errors tell.) */
static void child_changed(struct ob_blk *b)
{
	struct cow *d = (struct cow *)b;

	if (d->free.w != NULL && d->origin == NULL)
		cow_grow(d, count_clusters(d));
}

static int resize(struct ob_blk *b, uint64_t bytes)
{
	struct cow *d = (struct cow *)b;
	uint64_t old = d->sb.bytes;
	int rc;

	if (bytes < old)
		return -EOPNOTSUPP;
	if (bytes > d->sb.max_bytes || bytes % b->info.block_bytes != 0)
		return -EINVAL;
	if (b->info.read_only || atomic_load(&d->failed))
		return -EROFS;
	if (bytes == old)
		return 0;
	d->sb.bytes = bytes;
	rc = cow_write_super(d);
	if (rc != 0) {
		/* One of the two may have it; nothing there is used before a later one says so again. */
		d->sb.bytes = old;
		return rc;
	}
	blk_changed(b, bytes);
	return 0;
}

const struct blk_ops cow_ops = {
    .kind = "thin",
    .dev_bytes = sizeof(struct cow),
    .ch_bytes = sizeof(struct cow_ch),
    .destroy = destroy,
    .ch_open = cow_ch_open,
    .ch_close = cow_ch_close,
    .submit = cow_submit,
    .poll = cow_poll,
    .arm = cow_arm,
    .cancel = cow_cancel,
    .resize = resize,
    .child_changed = child_changed,
};

const struct blk_ops cow_snap_ops = {
    .kind = "snapshot",
    .dev_bytes = sizeof(struct cow),
    .ch_bytes = sizeof(struct cow_ch),
    .destroy = destroy,
    .ch_open = cow_ch_open,
    .ch_close = cow_ch_close,
    .submit = cow_submit,
    .poll = cow_poll,
    .arm = cow_arm,
    .cancel = cow_cancel,
};

static int check_conf(const struct ob_blk_cow_conf *conf, char *err, size_t err_len)
{
	struct ob_blk_info st, pa;
	const struct cow *d;

	if (conf->store == NULL || conf->store == conf->parent)
		return blk_err(
		    err, err_len, -EINVAL, "takes a store, and another device as parent");
	ob_blk_info(conf->store, &st);
	for (d = all; d != NULL; d = d->next) {
		if (d->b.child[COW_STORE] == conf->store)
			return blk_err(err, err_len, -EBUSY, "'%s' is the store of '%s'", st.name,
			    d->b.info.name);
		if (&d->b == conf->store || d->b.child[COW_STORE] == conf->parent)
			return blk_err(err, err_len, -EINVAL,
			    "'%s' is a thin device, or the store of one: take another device",
			    d->b.info.name);
	}
	if (conf->parent == NULL)
		return 0;
	ob_blk_info(conf->parent, &pa);
	if (st.block_bytes % pa.block_bytes != 0)
		return blk_err(err, err_len, -EINVAL,
		    "the store's blocks (%u bytes) are smaller than the parent's (%u): take a "
		    "store with blocks of %u",
		    st.block_bytes, pa.block_bytes, pa.block_bytes);
	return 0;
}

/* What a new store would get. */
static void prepare(struct cow *d, const struct ob_blk_cow_conf *conf)
{
	struct ob_blk_info st, pa = {.bytes = 0};

	ob_blk_info(conf->store, &st);
	if (conf->parent != NULL) {
		ob_blk_info(conf->parent, &pa);
		d->sb.flags = COW_HAS_PARENT;
		memcpy(d->sb.parent_uuid, cow_uuid(conf->parent), 16);
	}
	d->sb.bytes = conf->bytes != 0 ? conf->bytes : pa.bytes / st.block_bytes * st.block_bytes;
	d->sb.parent_bytes = pa.bytes < d->sb.bytes ? pa.bytes : d->sb.bytes;
	d->sb.max_bytes = conf->max_bytes;
	d->sb.cluster_bytes = conf->cluster_bytes != 0 ? conf->cluster_bytes : 64u << 10;
	d->b.info.block_bytes = st.block_bytes;
	d->b.info.phys_block_bytes = st.phys_block_bytes;
	d->b.info.read_only = st.read_only;
	d->b.info.volatile_cache = st.volatile_cache;
	d->b.info.write_zeroes = true;
	d->store_volatile = st.volatile_cache;
}

static int check_parent(const struct cow *d, const struct ob_blk *parent, char *err, size_t err_len)
{
	bool has = (d->sb.flags & COW_HAS_PARENT) != 0;

	if (has != (parent != NULL))
		return blk_err(err, err_len, -EMEDIUMTYPE,
		    has ? "the store is of a clone: name its parent"
			: "the store is not of a clone: leave the parent out");
	if (!has)
		return 0;
	if (memcmp(d->sb.parent_uuid, cow_uuid(parent), 16) != 0 ||
	    parent->info.bytes < d->sb.parent_bytes)
		return blk_err(err, err_len, -EMEDIUMTYPE,
		    "'%s' is not the parent that this clone was made of", parent->info.name);
	return 0;
}

/* Memory for the map and the sets, now that the sizes are known. */
static int build(struct cow *d)
{
	uint64_t n_clusters;
	int rc;

	d->shift = (unsigned)__builtin_ctz(d->sb.cluster_bytes);
	d->n_entries = (d->sb.max_bytes + d->sb.cluster_bytes - 1) >> d->shift;
	d->seed = cow_map_seed(d->sb.uuid, 0);
	d->parent_bytes = d->sb.parent_bytes;
	d->b.info.bytes = d->sb.bytes;
	d->b.info.opt_io_bytes = d->sb.cluster_bytes;
	d->b.info.discard_bytes = d->sb.cluster_bytes;
	n_clusters = count_clusters(d);
	d->n_clusters = n_clusters;
	d->n_words = (n_clusters + 63) / 64;
	rc = cow_map_alloc(d);
	if (rc == 0)
		rc = cow_set_init(&d->free, d->n_words);
	if (rc == 0)
		rc = cow_set_init(&d->limbo, d->n_words);
	if (rc == 0)
		rc = cow_set_init(&d->grace, d->n_words);
	return rc;
}

int ob_blk_cow_create(const char *name, const struct ob_blk_cow_conf *conf, struct ob_blk **out,
    char *err, size_t err_len)
{
	struct ob_blk *children[2] = {conf->store, conf->parent}, *b;
	struct cow *d;
	int rc;

	if (err_len > 0)
		err[0] = 0;
	rc = check_conf(conf, err, err_len);
	if (rc != 0)
		return rc;
	rc = blk_new(&cow_ops, name, children, conf->parent != NULL ? 2 : 1, &b);
	if (rc != 0)
		return blk_err(err, err_len, rc, "cannot make '%s': %s", name,
		    rc == -EINVAL ? "a name is 1..31 of [A-Za-z0-9_.-]" : "out of memory");
	d = (struct cow *)b;
	pthread_mutex_init(&d->lock, NULL);
	prepare(d, conf);
	rc = ob_blk_ch_open(conf->store, &d->ctl);
	if (rc == 0)
		rc = cow_load_store(d, conf, err, err_len);
	if (rc == 0)
		rc = check_parent(d, conf->parent, err, err_len);
	if (rc != 0)
		goto err_put;
	rc = build(d);
	if (rc == 0)
		rc = cow_check_store(d, err, err_len);
	if (rc != 0)
		goto err_put;
	if (conf->parent != NULL)
		conf->parent->info.read_only = true;
	d->next = all;
	all = d;
	*out = b;
	return 0;

err_put:
	ob_blk_put(b);
	if (err_len > 0 && err[0] == 0)
		blk_err(err, err_len, rc, "%s", strerror(-rc));
	return rc;
}
