/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#include "ob_block.h"
#include "ob_nvmeq.h"

RTE_LOG_REGISTER(namespace_log, ob.namespace, NOTICE);

static int find_function(
    struct ob_card *c, const struct ob_bus_namespace *r, uint32_t *fn, struct text *t)
{
	int rc = lookup(t, &c->functions, "function", "function", r->function, fn);

	if (rc < 0)
		return rc;
	if (c->fn_conf[*fn].type != OB_BUS_NVME)
		return fail(t, -EINVAL, "function %s is no nvme function: it has no namespaces",
		    r->function);
	if (r->nsid > OB_BUS_MAX_NSID)
		return fail(t, -EINVAL, "nsid %u is not in 1..%d", r->nsid, OB_BUS_MAX_NSID);
	return 0;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_namespace *r = rec;
	uint32_t fn, volume, nsid = r->nsid;
	int rc = find_function(c, r, &fn, t);

	if (rc < 0 || (rc = lookup(t, &c->volumes, "volume", "volume", r->volume, &volume)) < 0)
		return rc;
	if (nsid != 0 && namespace_find(c, fn, nsid) != NAMES_NONE)
		return fail(
		    t, -EEXIST, "function %s has a namespace %u already", r->function, nsid);
	if ((rc = volume_claim(c, volume, ROLE_FUNCTION, t)) < 0 ||
	    (rc = namespace_add(c, fn, volume, &nsid, t)) < 0)
		return rc;
	rte_log(RTE_LOG_NOTICE, namespace_log, "card: volume %s is namespace %u of function %s\n",
	    r->volume, nsid, r->function);
	return 0;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_namespace *r = rec;
	uint32_t fn, i;
	int rc = find_function(c, r, &fn, t);

	if (rc < 0)
		return rc;
	i = r->nsid == 0 ? NAMES_NONE : namespace_find(c, fn, r->nsid);
	if (i == NAMES_NONE)
		return fail(t, -ENOENT,
		    "function %s has no namespace %u; see 'obctl namespace list %s'", r->function,
		    r->nsid, r->function);
	namespace_del(c, i);
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_namespace *r = f;
	int rc = name_filter(t, &c->functions, "function", r->function);

	return rc < 0 ? rc : name_filter(t, &c->volumes, "volume", r->volume);
}

static void fill(const struct ob_card *c, uint32_t i, struct ob_bus_namespace *r)
{
	const struct namespace_rec *ns = &c->namespaces[i];
	struct ob_nvme_ns_info info;

	strcpy(r->function, names_get(&c->functions, ns->fn));
	strcpy(r->volume, names_get(&c->volumes, ns->volume));
	r->nsid = ns->nsid;
	if (c->volume[ns->volume].ns == NULL)
		return;
	ob_nvme_ns_info(c->volume[ns->volume].ns, &info);
	memcpy(r->uuid, info.uuid, sizeof(r->uuid));
	r->lba_bytes = info.lba_bytes;
	r->bytes = info.n_lbas * info.lba_bytes;
	r->access = info.read_only || info.wp != OB_NVME_WP_NONE ? 2 : 1;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_namespace *want = f;
	uint32_t i = namespace_next(c, (uint32_t)*cursor, NAMES_NONE);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if ((want->function[0] &&
		strcmp(want->function, names_get(&c->functions, c->namespaces[i].fn)) != 0) ||
	    (want->nsid != 0 && want->nsid != c->namespaces[i].nsid) ||
	    (want->volume[0] &&
		strcmp(want->volume, names_get(&c->volumes, c->namespaces[i].volume)) != 0))
		return -EAGAIN;
	fill(c, i, rec);
	return 0;
}

const struct noun noun_namespace = {.name = "namespace",
    .record_len = sizeof(struct ob_bus_namespace),
    .add = add,
    .del = del,
    .filter = filter,
    .next = next};
