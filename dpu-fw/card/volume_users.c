/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *volume_below(const struct ob_bus_volume *v, unsigned i)
{
	if (i < v->n_on)
		return v->on[i];
	return i == v->n_on && v->store[0] != '\0' ? v->store : NULL;
}

enum volume_role volume_role_of(const struct ob_bus_volume *v, unsigned i)
{
	if (i < v->n_on && v->kind == OB_BUS_VOL_SNAPSHOT)
		return ROLE_SNAPSHOT;
	return i < v->n_on && v->kind == OB_BUS_VOL_CLONE ? ROLE_CLONE : ROLE_LAYER;
}

static bool function_uses(
    const struct ob_card *c, uint32_t i, const char *name, struct volume_user *u)
{
	const struct ob_bus_function *f = &c->fn_conf[i];

	if (f->type != OB_BUS_BLK || strcmp(f->volume, name) != 0)
		return false;
	u->role = ROLE_FUNCTION;
	snprintf(u->what, sizeof(u->what), "function %s", f->name);
	snprintf(u->undo, sizeof(u->undo), "obctl function del %s", f->name);
	return true;
}

static bool namespace_uses(const struct ob_card *c, uint32_t i, uint32_t idx, struct volume_user *u)
{
	const struct namespace_rec *ns = &c->namespaces[i];
	const char *fn = names_get(&c->functions, ns->fn);

	if (ns->volume != idx || fn == NULL)
		return false;
	u->role = ROLE_FUNCTION;
	snprintf(u->what, sizeof(u->what), "namespace %u of function %s", ns->nsid, fn);
	snprintf(u->undo, sizeof(u->undo), "obctl namespace del %s --nsid %u", fn, ns->nsid);
	return true;
}

static bool volume_uses(
    const struct ob_card *c, uint32_t i, const char *name, struct volume_user *u)
{
	const struct ob_bus_volume *v = &c->volume_rec[i].conf;
	const char *below;

	for (unsigned k = 0; (below = volume_below(v, k)) != NULL; k++) {
		if (strcmp(below, name) != 0)
			continue;
		u->role = volume_role_of(v, k);
		snprintf(u->what, sizeof(u->what), "volume %s", v->name);
		snprintf(u->undo, sizeof(u->undo), "obctl volume del %s", v->name);
		return true;
	}
	return false;
}

/* Cursor: table << 32 | index. */
bool volume_next_user(
    const struct ob_card *c, uint32_t idx, uint64_t *cursor, struct volume_user *u)
{
	const char *name = names_get(&c->volumes, idx);

	for (;;) {
		uint64_t table = *cursor >> 32;
		uint32_t i = (uint32_t)*cursor;

		i = table == 0	 ? names_next(&c->functions, i)
		    : table == 1 ? namespace_next(c, i, NAMES_NONE)
				 : names_next(&c->volumes, i);
		if (i == NAMES_NONE && table == 2)
			return false;
		*cursor = i == NAMES_NONE ? (table + 1) << 32 : table << 32 | (i + 1u);
		if (i == NAMES_NONE)
			continue;
		if (table == 0	 ? function_uses(c, i, name, u)
		    : table == 1 ? namespace_uses(c, i, idx, u)
				 : volume_uses(c, i, name, u))
			return true;
	}
}

unsigned volume_users(const struct ob_card *c, uint32_t idx, struct volume_user *first)
{
	struct volume_user u;
	uint64_t cursor = 0;
	unsigned n = 0;

	for (; volume_next_user(c, idx, &cursor, &u); n++) {
		if (n == 0 && first != NULL)
			*first = u;
	}
	return n;
}

int volume_claim(struct ob_card *c, uint32_t idx, enum volume_role role, struct text *t)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;
	struct volume_user u;
	uint64_t cursor = 0;
	int rc = volume_check_whole(c, idx, t);

	if (rc < 0)
		return rc;
	/* What only reads it, or looks at its past, may share it. */
	if (v->access == 2 || v->kind == OB_BUS_VOL_SNAPSHOT || role == ROLE_SNAPSHOT)
		return 0;
	while (volume_next_user(c, idx, &cursor, &u)) {
		if (u.role == ROLE_SNAPSHOT || (u.role == ROLE_CLONE && role == ROLE_CLONE) ||
		    (u.role == ROLE_FUNCTION && role == ROLE_FUNCTION && v->shared == 1))
			continue;
		if (u.role == ROLE_FUNCTION && role == ROLE_FUNCTION)
			return fail(t, -EBUSY,
			    "volume %s is used by %s; if both hosts know how to share it: 'obctl "
			    "volume set %s --shared on'",
			    v->name, u.what, v->name);
		return fail(t, -EBUSY, "volume %s is used by %s ('%s')", v->name, u.what, u.undo);
	}
	return 0;
}
