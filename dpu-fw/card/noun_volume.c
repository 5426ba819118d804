/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#include "ob_block.h"

RTE_LOG_REGISTER(noun_volume_log, ob.volume, NOTICE);

enum needs { NO, MAY, MUST };

static const struct kind {
	const char *name;
	uint8_t size, path, key, block, store; /* enum needs */
	uint8_t min_on, max_on;
} kinds[] = {
    [OB_BUS_VOL_NULL] = {"null", MUST, NO, NO, MAY, NO, 0, 0},
    [OB_BUS_VOL_RAM] = {"ram", MUST, NO, NO, MAY, NO, 0, 0},
    [OB_BUS_VOL_FILE] = {"file", MAY, MUST, NO, MAY, NO, 0, 0},
    [OB_BUS_VOL_CRYPT] = {"crypt", NO, NO, MUST, MAY, NO, 1, 1},
    [OB_BUS_VOL_QOS] = {"qos", NO, NO, NO, NO, NO, 1, 1},
    [OB_BUS_VOL_STRIPE] = {"stripe", NO, NO, NO, NO, NO, 2, OB_BUS_VOL_LEGS},
    [OB_BUS_VOL_CONCAT] = {"concat", NO, NO, NO, NO, NO, 2, OB_BUS_VOL_LEGS},
    [OB_BUS_VOL_SNAPSHOT] = {"snapshot", NO, NO, NO, NO, NO, 1, 1},
    [OB_BUS_VOL_CLONE] = {"clone", MAY, NO, NO, NO, MUST, 1, 1},
    [OB_BUS_VOL_THIN] = {"thin", MUST, NO, NO, NO, MUST, 0, 0},
    [OB_BUS_VOL_INTEGRITY] = {"integrity", NO, NO, NO, NO, MUST, 1, 1},
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

#define MAX_RATE    (1ull << 40)
#define MAX_BURST_S 86400

static const char *const limits[OB_BUS_N_LIMITS] = {
    "iops", "bw", "read-iops", "read-bw", "write-iops", "write-bw"};

/* ---- checks ---- */

static int check_need(
    struct text *t, const struct kind *k, uint8_t need, bool given, const char *option)
{
	if (need == NO && given)
		return fail(t, -EINVAL, "a %s volume has no --%s", k->name, option);
	if (need == MUST && !given)
		return fail(t, -EINVAL, "a %s volume needs --%s", k->name, option);
	return 0;
}

static int check_file(struct text *t, const char path[OB_BUS_VOL_PATH])
{
	size_t n = strnlen(path, OB_BUS_VOL_PATH);

	if (n == OB_BUS_VOL_PATH)
		return fail(t, -EINVAL, "path: at most %d characters", OB_BUS_VOL_PATH - 1);
	for (size_t i = 0; i < n; i++) {
		if ((uint8_t)path[i] < 0x20 || path[i] == 0x7f)
			return fail(t, -EINVAL, "path has a control character");
	}
	if (n > 0 && path[0] != '/')
		return fail(t, -EINVAL, "path '%.200s': give an absolute path", path);
	return 0;
}

static int check_limits(const struct ob_bus_volume *r, struct text *t)
{
	for (unsigned i = 0; i < OB_BUS_N_LIMITS; i++) {
		if (r->burst[i] == 0 && r->limit[i] == 0)
			continue;
		if (limits[i] == NULL)
			return fail(t, -EINVAL, "there is no limit of kind %u", i);
		if (r->burst[i] != 0 && r->limit[i] == 0)
			return fail(t, -EINVAL, "a burst of %s without a limit: give --%s",
			    limits[i], limits[i]);
		if (r->limit[i] > MAX_RATE || r->burst[i] > MAX_RATE)
			return fail(t, -EINVAL, "%s: at most 2^40", limits[i]);
	}
	if (r->burst_s > MAX_BURST_S)
		return fail(t, -EINVAL, "burst: at most %d seconds", MAX_BURST_S);
	return 0;
}

/* What holds for ADD and SET. */
static int check(const struct ob_bus_volume *r, struct text *t)
{
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = check_file(t, r->path)) < 0 || (rc = check_limits(r, t)) < 0)
		return rc;
	if (r->kind >= N_KINDS || kinds[r->kind].name == NULL)
		return fail(t, -EINVAL, "kind %u is none of a volume", r->kind);
	if (r->access > 2 || r->cache > 2 || r->shared > 2 || r->discard > 2 || r->fresh > 2)
		return fail(
		    t, -EINVAL, "access, cache, shared, discard and fresh are 0 (default), 1 or 2");
	if (r->block_bytes != 0 && r->block_bytes != 512 && r->block_bytes != 4096)
		return fail(t, -EINVAL, "a block has 512 or 4096 bytes, not %u", r->block_bytes);
	if (r->key.use > OB_BUS_KEY_REPLACE)
		return fail(t, -EINVAL, "key use %u", r->key.use);
	if (r->key.use != OB_BUS_KEY_NONE && r->key.len != 32 && r->key.len != KEY_MAX)
		return fail(
		    t, -EINVAL, "a key has 64 bytes (AES-256) or 32 (AES-128), not %u", r->key.len);
	if (r->n_on > OB_BUS_VOL_LEGS)
		return fail(t, -EINVAL, "a volume stands on at most %d others", OB_BUS_VOL_LEGS);
	return 0;
}

static int check_kind(const struct ob_bus_volume *r, struct text *t)
{
	const struct kind *k = &kinds[r->kind];
	int rc;

	if ((rc = check_need(t, k, k->size, r->bytes != 0, "size")) < 0 ||
	    (rc = check_need(t, k, k->path, r->path[0] != '\0', "path")) < 0 ||
	    (rc = check_need(t, k, k->block, r->block_bytes != 0, "block")) < 0 ||
	    (rc = check_need(t, k, k->key, r->key.use == OB_BUS_KEY_GIVEN, "key-file")) < 0 ||
	    (rc = check_need(t, k, k->store, r->store[0] != '\0', "store")) < 0 ||
	    (rc = check_need(t, k,
		 k->min_on   ? MUST
		 : k->max_on ? MAY
			     : NO,
		 r->n_on != 0, "on")) < 0)
		return rc;
	if (r->key.use == OB_BUS_KEY_REPLACE)
		return fail(t, -EINVAL, "a new volume has no key to replace");
	if (r->n_on < k->min_on || r->n_on > k->max_on)
		return fail(t, -EINVAL, "a %s volume stands on %u to %u others, not %u", k->name,
		    k->min_on, k->max_on, r->n_on);
	if (r->cache != 0 && r->kind != OB_BUS_VOL_FILE)
		return fail(t, -EINVAL, "only a file volume has --cache");
	if (r->access == 2 && r->kind != OB_BUS_VOL_FILE)
		return fail(t, -EINVAL,
		    "only a file volume has --access ro; what stands on one is read only as well");
	if (r->discard != 0 && r->kind != OB_BUS_VOL_CRYPT)
		return fail(t, -EINVAL, "only a crypt volume has --discard");
	if (r->fresh != 0 && k->store == NO && r->kind != OB_BUS_VOL_SNAPSHOT)
		return fail(t, -EINVAL, "a %s volume has no --fresh", k->name);
	if (r->stripe_bytes != 0 && r->kind != OB_BUS_VOL_STRIPE)
		return fail(t, -EINVAL, "only a stripe volume has --stripe");
	if (r->bytes % 512 != 0)
		return fail(
		    t, -EINVAL, "size %llu is no multiple of 512", (unsigned long long)r->bytes);
	return 0;
}

/* Limits of any volume but a qos one are met by functions only, and by none that gets at it from above. */
static bool limits_for_functions(
    const struct ob_bus_volume *v, const struct ob_bus_volume *limits_of)
{
	return v->kind != OB_BUS_VOL_QOS && volume_has_limits(limits_of);
}

/* What it stands on is there, free and without limits, which would not be met from above. */
static int check_below(struct ob_card *c, const struct ob_bus_volume *r, struct text *t)
{
	const struct ob_bus_volume *below;
	const char *name, *other;
	uint32_t on;
	int rc;

	for (unsigned i = 0; (name = volume_below(r, i)) != NULL; i++) {
		if ((rc = lookup(t, &c->volumes, "volume", "on", name, &on)) < 0 ||
		    (rc = volume_claim(c, on, volume_role_of(r, i), t)) < 0)
			return rc;
		for (unsigned k = 0; k < i; k++) {
			other = volume_below(r, k);
			if (strcmp(name, other) == 0)
				return fail(t, -EINVAL, "volume %s is given twice", name);
		}
		below = &c->volume_rec[on].conf;
		if (limits_for_functions(below, below) && r->kind != OB_BUS_VOL_SNAPSHOT)
			return fail(t, -EBUSY,
			    "volume %s has limits, which only functions meet: take them away and "
			    "give "
			    "them to %s",
			    name, r->name);
		if (r->kind == OB_BUS_VOL_SNAPSHOT && below->kind != OB_BUS_VOL_THIN &&
		    below->kind != OB_BUS_VOL_CLONE)
			return fail(t, -ENOTSUP,
			    "only thin volumes and clones have snapshots; %s is neither", name);
	}
	return 0;
}

/* ---- verbs ---- */

static void complete(const struct ob_bus_volume *r, struct ob_bus_volume *out)
{
	memset(out, 0, sizeof(*out));
	strcpy(out->name, r->name);
	strcpy(out->path, r->path);
	out->kind = r->kind;
	out->access = r->access ? r->access : 1;
	out->cache = r->kind != OB_BUS_VOL_FILE ? 0 : r->cache ? r->cache : 1;
	out->shared = r->shared ? r->shared : 2;
	out->block_bytes = r->block_bytes;
	out->bytes = r->bytes;
	out->stripe_bytes = r->stripe_bytes;
	out->discard = r->kind != OB_BUS_VOL_CRYPT ? 0 : r->discard ? r->discard : 2;
	strcpy(out->store, r->store);
	out->n_on = r->n_on;
	for (unsigned i = 0; i < r->n_on; i++)
		strcpy(out->on[i], r->on[i]);
	memcpy(out->limit, r->limit, sizeof(out->limit));
	memcpy(out->burst, r->burst, sizeof(out->burst));
	out->burst_s = r->burst_s;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_volume *r = rec;
	struct wrapped_key key = {0};
	uint32_t idx;
	int rc = check(r, t);

	if (rc < 0 || (rc = check_kind(r, t)) < 0 || (rc = check_below(c, r, t)) < 0)
		return rc;
	if (!volume_kind_known(r->kind))
		return fail(t, -ENOTSUP, "this card makes no %s volumes", kinds[r->kind].name);
	if (r->key.use == OB_BUS_KEY_GIVEN &&
	    (rc = keyring_wrap(&c->keyring, r->key.bytes, r->key.len, &key, t)) < 0)
		return rc;
	rc = take_name(t, &c->volumes, "volume", r->name, &idx);
	if (rc < 0)
		return rc;
	memset(&c->volume_rec[idx], 0, sizeof(c->volume_rec[idx]));
	complete(r, &c->volume_rec[idx].conf);
	c->volume_rec[idx].key = key;
	rc = volume_create(c, idx, r->fresh, t);
	if (rc < 0) {
		volume_close(c, idx);
		memset(&c->volume_rec[idx], 0, sizeof(c->volume_rec[idx]));
		names_del(&c->volumes, idx);
		return rc;
	}
	rte_log(RTE_LOG_NOTICE, noun_volume_log, "card: volume %s (%s) is there\n", r->name,
	    kinds[r->kind].name);
	return 0;
}

/* The space of a snapshot goes back to what it was taken of. */
static int forget_snapshot(struct ob_card *c, uint32_t idx, struct text *t)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;
	char err[160] = "";
	uint32_t on;
	int rc;

	if (v->kind != OB_BUS_VOL_SNAPSHOT)
		return 0;
	on = names_find(&c->volumes, v->on[0]);
	if (on == NAMES_NONE || c->volume[on].dev == NULL)
		return 0;
	rc = ob_blk_cow_snap_delete(c->volume[on].dev, v->name, err, sizeof(err));
	if (rc < 0 && rc != -ENOENT)
		return fail(t, rc, "snapshot %s: %s", v->name, err[0] ? err : strerror(-rc));
	return 0;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_volume *r = rec;
	struct volume_user u;
	uint32_t idx;
	int rc = lookup(t, &c->volumes, "volume", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	if (volume_users(c, idx, &u) > 0)
		return fail(t, -EBUSY, "volume %s is used by %s; delete that first ('%s')", r->name,
		    u.what, u.undo);
	volume_refresh(c, idx);
	if (c->volume_rec[idx].next_key.len != 0 && c->volume[idx].dev != NULL)
		return fail(t, -EBUSY,
		    "volume %s is getting another key; 'obctl volume show %s' tells how far it is",
		    r->name, r->name);
	volume_close(c, idx);
	if ((rc = forget_snapshot(c, idx, t)) < 0) {
		(void)volume_open(c, idx, &(struct text){""});
		return rc;
	}
	memset(&c->volume_rec[idx], 0, sizeof(c->volume_rec[idx]));
	names_del(&c->volumes, idx);
	rte_log(RTE_LOG_NOTICE, noun_volume_log, "card: volume %s is gone\n", r->name);
	return 0;
}

/* What is not to be changed is as it was, or left out. */
static int check_same(
    const struct ob_card *c, uint32_t idx, const struct ob_bus_volume *r, struct text *t)
{
	const struct ob_bus_volume *now = &c->volume_rec[idx].conf;
	struct ob_blk_info info;
	bool on = r->n_on == 0 || r->n_on == now->n_on;

	volume_info(c, idx, &info);
	for (unsigned i = 0; on && i < r->n_on; i++)
		on = strncmp(r->on[i], now->on[i], OB_BUS_NAME) == 0;
	if (on && r->kind == now->kind &&
	    (r->access == 0 || r->access == now->access || (r->access == 2) == info.read_only) &&
	    (r->cache == 0 || r->cache == now->cache) &&
	    (r->block_bytes == 0 || r->block_bytes == now->block_bytes ||
		r->block_bytes == info.block_bytes) &&
	    (r->stripe_bytes == 0 || r->stripe_bytes == now->stripe_bytes) &&
	    (r->discard == 0 || r->discard == now->discard) &&
	    (r->store[0] == '\0' || strncmp(r->store, now->store, OB_BUS_NAME) == 0) &&
	    (r->path[0] == '\0' || !strcmp(r->path, now->path)))
		return 0;
	return fail(t, -ENOTSUP,
	    "of a volume only size, limits, shared and key can be changed; delete it and add it "
	    "anew "
	    "for the rest");
}

/* What its users do not allow: all of it before anything is changed. */
static int check_users(
    struct ob_card *c, uint32_t idx, const struct ob_bus_volume *r, struct text *t)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;
	struct volume_user u;
	uint64_t cursor = 0;

	while (limits_for_functions(v, r) && volume_next_user(c, idx, &cursor, &u)) {
		if (u.role != ROLE_FUNCTION && u.role != ROLE_SNAPSHOT)
			return fail(t, -EBUSY, "volume %s is under %s: give that the limits",
			    v->name, u.what);
	}
	if (r->shared == 2 && v->shared == 1 && volume_users(c, idx, &u) > 1)
		return fail(t, -EBUSY, "volume %s is shared by %s and others", v->name, u.what);
	return 0;
}

static int resize(struct ob_card *c, uint32_t idx, uint64_t bytes, struct text *t)
{
	struct ob_bus_volume *v = &c->volume_rec[idx].conf;
	struct volume_user u;
	struct ob_blk_info info;
	int rc;

	volume_info(c, idx, &info);
	if (bytes == 0 || bytes == info.bytes)
		return 0;
	if (c->volume[idx].dev == NULL)
		return fail(
		    t, -ENODEV, "volume %s is offline: %.160s", v->name, c->volume[idx].error);
	if (bytes < info.bytes && volume_users(c, idx, &u) > 0)
		return fail(t, -EBUSY,
		    "a smaller volume %s would cut off data of %s, which uses it; a volume without "
		    "users can be made smaller",
		    v->name, u.what);
	rc = ob_blk_resize(c->volume[idx].dev, bytes);
	if (rc == -EOPNOTSUPP && v->n_on > 0)
		return fail(t, rc,
		    "volume %s is as large as what it stands on lets it be: resize volume %s%s",
		    v->name, v->on[0], v->n_on > 1 ? " and the others" : "");
	if (rc == -EINVAL)
		return fail(t, rc, "volume %s: %llu bytes are no multiple of its blocks of %u",
		    v->name, (unsigned long long)bytes, info.block_bytes);
	if (rc < 0)
		return fail(t, rc, "volume %s cannot be resized: %s", v->name, strerror(-rc));
	if (v->bytes != 0 || v->n_on == 0)
		v->bytes = bytes;
	rte_log(RTE_LOG_NOTICE, noun_volume_log, "card: volume %s has %llu bytes now\n", v->name,
	    (unsigned long long)bytes);
	return 0;
}

static int set_limits(
    struct ob_card *c, uint32_t idx, const struct ob_bus_volume *r, struct text *t)
{
	struct ob_bus_volume *v = &c->volume_rec[idx].conf, was = *v;
	int rc;

	memcpy(v->limit, r->limit, sizeof(v->limit));
	memcpy(v->burst, r->burst, sizeof(v->burst));
	v->burst_s = r->burst_s;
	rc = volume_apply_limits(c, idx, t);
	if (rc < 0)
		*v = was;
	return rc;
}

static int set_key(struct ob_card *c, uint32_t idx, const struct ob_bus_key *key, struct text *t)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;

	if (key->use == OB_BUS_KEY_NONE)
		return 0;
	if (kinds[v->kind].key == NO)
		return fail(t, -EINVAL, "a %s volume has no key", kinds[v->kind].name);
	return volume_set_key(c, idx, key, t);
}

static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_volume *r = rec;
	uint32_t idx;
	int rc = lookup(t, &c->volumes, "volume", "name", r->name, &idx);

	if (rc < 0 || (rc = check(r, t)) < 0 || (rc = check_same(c, idx, r, t)) < 0 ||
	    (rc = check_users(c, idx, r, t)) < 0 || (rc = set_key(c, idx, &r->key, t)) < 0 ||
	    (rc = resize(c, idx, r->bytes, t)) < 0 || (rc = set_limits(c, idx, r, t)) < 0)
		return rc;
	if (r->shared != 0)
		c->volume_rec[idx].conf.shared = r->shared;
	return 0;
}

/* ---- lists ---- */

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->volumes, "volume", ((const struct ob_bus_volume *)f)->name);
}

static void fill(struct ob_card *c, uint32_t idx, struct ob_bus_volume *r)
{
	const struct volume_rec *v = &c->volume_rec[idx];
	struct ob_blk_crypt_status move = {0};
	struct volume_user u = {0};
	struct ob_blk_info info;
	struct text t = {""};

	volume_refresh(c, idx);
	if (v->conf.kind == OB_BUS_VOL_CRYPT && c->volume[idx].dev != NULL)
		(void)ob_blk_crypt_status(c->volume[idx].dev, &move);

	*r = v->conf;
	volume_info(c, idx, &info);
	r->state = c->volume[idx].dev == NULL ? OB_BUS_VOL_OFFLINE
		   : v->next_key.len != 0     ? OB_BUS_VOL_REKEYING
					      : OB_BUS_VOL_READY;
	if (c->volume[idx].dev != NULL) {
		r->bytes = info.bytes;
		r->block_bytes = info.block_bytes;
		r->access = info.read_only ? 2 : 1;
	}
	r->phys_block_bytes = info.phys_block_bytes;
	r->opt_io_bytes = info.opt_io_bytes;
	r->discard_bytes = info.discard_bytes;
	r->zero_on_discard = info.zero_on_discard;
	r->volatile_cache = info.volatile_cache;
	r->rekeyed_bytes = move.moved_bytes;
	r->n_users = volume_users(c, idx, &u);
	snprintf(r->user, sizeof(r->user), "%s", u.what);
	snprintf(r->error, sizeof(r->error), "%s", c->volume[idx].error);
	if (r->error[0] == '\0' && volume_check_whole(c, idx, &t) < 0)
		snprintf(r->error, sizeof(r->error), "%.*s", (int)sizeof(r->error) - 1, t.s);
	if (move.error != 0)
		snprintf(r->error, sizeof(r->error),
		    "the new key did not reach all of it: %s; 'obctl volume rekey' with the same "
		    "key "
		    "goes on",
		    strerror(move.error < 0 ? -move.error : move.error));
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_volume *want = f;
	uint32_t i = names_next(&c->volumes, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->name[0] && strcmp(want->name, names_get(&c->volumes, i)) != 0)
		return -EAGAIN;
	fill(c, i, rec);
	return 0;
}

const struct noun noun_volume = {.name = "volume",
    .record_len = sizeof(struct ob_bus_volume),
    .secret = true,
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
