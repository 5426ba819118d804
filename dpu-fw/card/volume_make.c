/* SPDX-License-Identifier: BSD-3-Clause */
#include "volume_make.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_BLOCK 512

static uint32_t block_of(const struct ob_bus_volume *v)
{
	return v->block_bytes ? v->block_bytes : DEFAULT_BLOCK;
}

static int make_null(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;

	return ob_blk_null_create(v->name, v->bytes, block_of(v), out, m->err, sizeof(m->err));
}

static int make_ram(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;

	return ob_blk_ram_create(v->name, v->bytes, block_of(v), out, m->err, sizeof(m->err));
}

static int make_file(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;
	const struct ob_blk_file_conf conf = {
	    .path = v->path,
	    .bytes = v->bytes,
	    .block_bytes = v->block_bytes,
	    .buffered = v->cache == 2,
	    .read_only = v->access == 2,
	};

	return ob_blk_file_create(v->name, &conf, out, m->err, sizeof(m->err));
}

static int make_crypt(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;
	uint8_t key[KEY_MAX];
	const struct ob_blk_crypt_conf conf = {
	    .key = key,
	    .key_len = m->rec->key.len,
	    .sector_bytes = v->block_bytes,
	    .pass_discard = v->discard == 1,
	};
	struct text t = {""};
	int rc = keyring_unwrap(m->keyring, &m->rec->key, key, &t);

	if (rc < 0)
		snprintf(m->err, sizeof(m->err), "%.150s", t.s);
	else
		rc = ob_blk_crypt_create(v->name, m->below[0], &conf, out, m->err, sizeof(m->err));
	OPENSSL_cleanse(key, sizeof(key));
	return rc;
}

/* Limits are put on by volume_apply_limits. */
static int make_qos(struct making *m, struct ob_blk **out)
{
	static const struct ob_blk_qos_conf none;

	return ob_blk_qos_create(
	    m->rec->conf.name, m->below[0], &none, out, m->err, sizeof(m->err));
}

static int make_stripe(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;

	return ob_blk_stripe_create(
	    v->name, m->below, v->n_on, v->stripe_bytes, out, m->err, sizeof(m->err));
}

static int make_concat(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;

	return ob_blk_concat_create(v->name, m->below, v->n_on, out, m->err, sizeof(m->err));
}

static int make_snapshot(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;
	bool take = m->fresh && m->choice != 2;
	int rc = take ? ob_blk_cow_snapshot(m->below[0], v->name, m->err, sizeof(m->err)) : 0;

	if (rc == -EEXIST)
		snprintf(m->err, sizeof(m->err),
		    "%s has a snapshot %s already; '--fresh off' opens that", v->on[0], v->name);
	if (rc < 0)
		return rc;
	rc = ob_blk_cow_snap_open(m->below[0], v->name, v->name, out, m->err, sizeof(m->err));
	if (rc < 0 && take)
		(void)ob_blk_cow_snap_delete(m->below[0], v->name, NULL, 0);
	return rc;
}

static int make_thin(struct making *m, struct ob_blk **out)
{
	const struct ob_bus_volume *v = &m->rec->conf;
	const struct ob_blk_cow_conf conf = {
	    .store = m->below[v->n_on],
	    .parent = v->n_on > 0 ? m->below[0] : NULL,
	    .create = m->fresh && m->choice != 2,
	    .overwrite = m->fresh && m->choice == 1,
	    .bytes = v->bytes,
	};
	int rc = ob_blk_cow_create(v->name, &conf, out, m->err, sizeof(m->err));

	if (rc == -EUCLEAN && m->fresh && m->choice == 0)
		snprintf(m->err, sizeof(m->err),
		    "volume %s holds something else than a thin volume, or a damaged one; --fresh "
		    "on "
		    "overwrites what is none",
		    v->store);
	return rc;
}

static int make_integrity(struct making *m, struct ob_blk **out)
{
	const struct ob_blk_integrity_conf conf = {.format = m->fresh && m->choice == 1};
	const struct ob_bus_volume *v = &m->rec->conf;
	int rc = ob_blk_integrity_create(
	    v->name, m->below[0], m->below[1], &conf, out, m->err, sizeof(m->err));

	if (rc == -EBADMSG && m->fresh)
		snprintf(m->err, sizeof(m->err),
		    "volume %s has no sums of volume %s; --fresh on makes them (all blocks read as "
		    "zeroes then)",
		    v->store, v->on[0]);
	return rc;
}

static int (*const makers[])(struct making *m, struct ob_blk **out) = {
    [OB_BUS_VOL_NULL] = make_null,
    [OB_BUS_VOL_RAM] = make_ram,
    [OB_BUS_VOL_FILE] = make_file,
    [OB_BUS_VOL_CRYPT] = make_crypt,
    [OB_BUS_VOL_QOS] = make_qos,
    [OB_BUS_VOL_STRIPE] = make_stripe,
    [OB_BUS_VOL_CONCAT] = make_concat,
    [OB_BUS_VOL_SNAPSHOT] = make_snapshot,
    [OB_BUS_VOL_CLONE] = make_thin,
    [OB_BUS_VOL_THIN] = make_thin,
    [OB_BUS_VOL_INTEGRITY] = make_integrity,
};

bool volume_kind_known(uint8_t kind)
{
	return kind < sizeof(makers) / sizeof(makers[0]) && makers[kind] != NULL;
}

int volume_make(struct making *m, struct ob_blk **out)
{
	*out = NULL;
	m->err[0] = '\0';
	if (!volume_kind_known(m->rec->conf.kind))
		return -ENOTSUP;
	return makers[m->rec->conf.kind](m, out);
}
