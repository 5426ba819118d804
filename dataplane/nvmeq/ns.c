/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: what they are, who they are attached to, when they refuse I/O. Everything is on the control thread; workers see the attachments'
 * atomic words only. */
#include <string.h>

#include "nvmeq_int.h"

/* ---- what workers see ---- */

static uint32_t gate(const struct nvmeq_att *att)
{
	const struct ob_nvme_ns *ns = att->ns;
	uint32_t g = nvmeq_resv_deny(ns, att->q->hostid);

	if (ns->wp != OB_NVME_WP_NONE || ns->blk_info.read_only)
		g |= NVMEQ_GATE_WP;
	if (ns->formatting)
		g |= NVMEQ_GATE_FORMAT;
	if (att->ana != OB_NVME_ANA_OPTIMIZED && att->ana != OB_NVME_ANA_NON_OPTIMIZED)
		g |= (uint32_t)att->ana << NVMEQ_GATE_ANA_SHIFT;
	return g;
}

static void publish(struct nvmeq_att *att)
{
	const struct ob_nvme_ns *ns = att->ns;

	/* Between these stores a command may see half of a change: what then passes the check against the size is checked by the device. */
	__atomic_store_n(&att->shift, (uint32_t)__builtin_ctz(ns->lba_bytes), __ATOMIC_RELAXED);
	__atomic_store_n(&att->n_lbas, ns->n_lbas, __ATOMIC_RELAXED);
	__atomic_store_n(&att->gate, gate(att), __ATOMIC_RELAXED);
}

void nvmeq_resv_gate(struct ob_nvme_ns *ns)
{
	for (struct nvmeq_att *a = ns->atts; a != NULL; a = a->next)
		publish(a);
}

void nvmeq_att_add(struct nvmeq_att *att)
{
	att->next = att->ns->atts;
	att->ns->atts = att;
	publish(att);
}

void nvmeq_att_del(struct nvmeq_att *att)
{
	for (struct nvmeq_att **p = &att->ns->atts; *p != NULL; p = &(*p)->next) {
		if (*p != att)
			continue;
		*p = att->next;
		return;
	}
}

/* ---- life ---- */

static void measure(struct ob_nvme_ns *ns)
{
	ob_blk_info(ns->conf.blk, &ns->blk_info);
	ns->n_lbas = ns->blk_info.bytes / ns->lba_bytes;
}

/* The volume changed. */
static void changed(void *ctx)
{
	struct ob_nvme_ns *ns = ctx;
	uint64_t before = ns->n_lbas;

	measure(ns);
	nvmeq_resv_gate(ns);
	if (ns->n_lbas == before)
		return;
	for (struct nvmeq_att *a = ns->atts; a != NULL; a = a->next)
		nvmeq_event(a->q,
		    &(struct ob_nvmeq_event){.type = OB_NVMEQ_EV_NS_CHANGED, .nsid = a->nsid});
	for (struct nvmeq_listener *l = ns->listeners, *next; l != NULL; l = next) {
		next = l->next; /* it may take itself off */
		l->fn(l->ctx, ns);
	}
}

static bool lba_fits(uint32_t lba_bytes, const struct ob_blk_info *info)
{
	return (lba_bytes == 512 || lba_bytes == 4096) && lba_bytes >= info->block_bytes &&
	       info->bytes >= lba_bytes;
}

static bool image_sound(const struct ob_nvme_resv_image *img)
{
	return img->n <= OB_NVME_MAX_REGISTRANTS && img->rtype <= 6 &&
	       (img->rtype == 0 || img->n > 0) && (img->rtype == 0 || img->holder < img->n);
}

int ob_nvme_ns_create(const struct ob_nvme_ns_conf *conf, struct ob_nvme_ns **out)
{
	struct ob_nvme_ns *ns;
	int rc;

	if (conf->blk == NULL || conf->ana_group == 0 ||
	    memchr(conf->name, '\0', sizeof(conf->name)) == NULL ||
	    (conf->resv != NULL && !image_sound(conf->resv)))
		return -EINVAL;
	ns = calloc(1, sizeof(*ns));
	if (ns == NULL)
		return -ENOMEM;
	ns->conf = *conf;
	ns->conf.resv = NULL;
	ns->refs = 1;
	ob_blk_info(conf->blk, &ns->blk_info);
	ns->lba_bytes = conf->lba_bytes != 0 ? conf->lba_bytes : ns->blk_info.block_bytes;
	rc = -EINVAL;
	if (!lba_fits(ns->lba_bytes, &ns->blk_info))
		goto err_free;
	measure(ns);
	/* Without the persist state a loss of power ends registrations (8.19.1). */
	if (conf->resv != NULL && conf->resv->ptpl)
		ns->resv = *conf->resv;
	rc = ob_blk_on_change(conf->blk, changed, ns);
	if (rc < 0)
		goto err_free;
	ob_blk_get(conf->blk);
	*out = ns;
	return 0;

err_free:
	free(ns);
	return rc;
}

struct ob_nvme_ns *ob_nvme_ns_get(struct ob_nvme_ns *ns)
{
	ns->refs++;
	return ns;
}

void ob_nvme_ns_put(struct ob_nvme_ns *ns)
{
	struct nvmeq_listener *l;

	if (ns == NULL || --ns->refs > 0)
		return;
	while ((l = ns->listeners) != NULL) {
		ns->listeners = l->next;
		free(l);
	}
	ob_blk_off_change(ns->conf.blk, changed, ns);
	ob_blk_put(ns->conf.blk);
	free(ns);
}

/* ---- what it says of itself ---- */

void ob_nvme_ns_info(const struct ob_nvme_ns *ns, struct ob_nvme_ns_info *out)
{
	const struct ob_blk_info *b = &ns->blk_info;

	memset(out, 0, sizeof(*out));
	memcpy(out->name, ns->conf.name, sizeof(out->name));
	memcpy(out->uuid, ns->conf.uuid, sizeof(out->uuid));
	memcpy(out->nguid, ns->conf.nguid, sizeof(out->nguid));
	memcpy(out->eui64, ns->conf.eui64, sizeof(out->eui64));
	out->ana_group = ns->conf.ana_group;
	out->lba_bytes = ns->lba_bytes;
	out->n_lbas = ns->n_lbas;
	out->phys_bytes = b->phys_block_bytes;
	out->opt_io_bytes = b->opt_io_bytes;
	out->discard_bytes = b->discard_bytes;
	out->read_only = b->read_only;
	out->volatile_cache = b->volatile_cache;
	out->zero_on_discard = b->zero_on_discard;
	out->ptpl_capable = ns->conf.resv_store != NULL;
	out->ptpl = ns->resv.ptpl;
	out->wp = ns->wp;
	for (const struct nvmeq_att *a = ns->atts; a != NULL; a = a->next)
		out->n_attached++;
	out->copy_ranges = NVMEQ_COPY_RANGES;
	out->copy_range_lbas = NVMEQ_COPY_RANGE_LBAS;
	out->copy_lbas = NVMEQ_COPY_LBAS;
}

struct ob_blk *ob_nvme_ns_blk(const struct ob_nvme_ns *ns)
{
	return ns->conf.blk;
}

int ob_nvme_ns_on_resize(
    struct ob_nvme_ns *ns, void (*fn)(void *ctx, struct ob_nvme_ns *ns), void *ctx)
{
	struct nvmeq_listener *l = malloc(sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	*l = (struct nvmeq_listener){.next = ns->listeners, .fn = fn, .ctx = ctx};
	ns->listeners = l;
	return 0;
}

void ob_nvme_ns_off_resize(
    struct ob_nvme_ns *ns, void (*fn)(void *ctx, struct ob_nvme_ns *ns), void *ctx)
{
	for (struct nvmeq_listener **p = &ns->listeners; *p != NULL; p = &(*p)->next) {
		struct nvmeq_listener *l = *p;

		if (l->fn != fn || l->ctx != ctx)
			continue;
		*p = l->next;
		free(l);
		return;
	}
}

int ob_nvme_ns_set_wp(struct ob_nvme_ns *ns, enum ob_nvme_wp wp)
{
	if ((unsigned)wp > OB_NVME_WP_PERMANENT)
		return -EINVAL;
	/* The other two cannot be left by the host either (8.12); a power cycle makes the namespace anew. */
	if (ns->wp >= OB_NVME_WP_UNTIL_POWER_CYCLE && wp != ns->wp)
		return -EPERM;
	if (ns->formatting)
		return -EBUSY;
	ns->wp = wp;
	nvmeq_resv_gate(ns);
	return 0;
}

ob_nvme_status_t ob_nvmeq_may_format(const struct ob_nvmeq *q, uint32_t nsid)
{
	const struct ob_nvme_ns *ns = ob_nvmeq_ns(q, nsid);

	if (ns == NULL)
		return OB_NVME_ERR(NVME_SC_INVALID_NS);
	return nvmeq_resv_deny(ns, q->hostid) & NVMEQ_GATE_WRITE
		   ? OB_NVME_ERR(NVME_SC_RESERVATION_CONFLICT)
		   : 0;
}

void ob_nvme_ns_set_formatting(struct ob_nvme_ns *ns, bool on)
{
	ns->formatting = on;
	nvmeq_resv_gate(ns);
}

int ob_nvme_ns_set_lba_bytes(struct ob_nvme_ns *ns, uint32_t lba_bytes)
{
	if (!lba_fits(lba_bytes, &ns->blk_info))
		return -EINVAL;
	if (!ns->formatting)
		return -EBUSY;
	ns->lba_bytes = lba_bytes;
	measure(ns);
	nvmeq_resv_gate(ns);
	return 0;
}

void ob_nvme_ns_stats(struct ob_nvme_ns *ns, struct ob_nvme_ns_stats *out)
{
	memset(out, 0, sizeof(*out));
	ob_blk_stats(ns->conf.blk, &out->blk);
	out->n_cmds = ns->n_cmds;
	out->n_errors = ns->n_errors;
	out->n_conflicts = ns->n_conflicts;
	for (const struct nvmeq_att *a = ns->atts; a != NULL; a = a->next) {
		for (unsigned i = 0; i < OB_MAX_WORKERS; i++) {
			const struct nvmeq_worker *nw = a->q->nw[i];
			const struct nvmeq_nsw *nsw = nw != NULL ? nw->ns[a->nsid - 1] : NULL;

			if (nsw == NULL || nsw->att != a)
				continue;
			out->n_cmds += __atomic_load_n(&nsw->n_cmds, __ATOMIC_RELAXED);
			out->n_errors += __atomic_load_n(&nsw->n_errors, __ATOMIC_RELAXED);
			out->n_conflicts += __atomic_load_n(&nsw->n_conflicts, __ATOMIC_RELAXED);
		}
	}
}
