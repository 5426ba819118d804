/* SPDX-License-Identifier: BSD-3-Clause */
/* The controller itself: life, namespaces, what people see of it. */
#include "nvme.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "job.h"
#include "ob_worker.h"

RTE_LOG_REGISTER(nvme_logtype, ob.nvme, INFO);

#define LOG_BURST	10
#define LOG_TURNS	4 /* of 16 entries of the I/O side's error log */
#define DEFAULT_QPAIRS	16
#define DEFAULT_ENTRIES 1024
#define DEFAULT_MDTS	(1u << 20)
#define CNTLID_MAX	0xffef

struct ob_nvme *nvme_all;

uint64_t nvme_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool nvme_may_log(struct ob_nvme *c)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (ts.tv_sec - c->log_s >= LOG_BURST)
		c->log_s = ts.tv_sec - LOG_BURST;
	if (c->log_s >= ts.tv_sec)
		return false;
	c->log_s++;
	return true;
}

bool nvme_same_subsys(const struct ob_nvme *a, const struct ob_nvme *b)
{
	return strcmp(a->subnqn, b->subnqn) == 0;
}

/* ---- namespaces ---- */

void nvme_ns_tell_changed(struct ob_nvme *c, uint32_t nsid)
{
	c->st->changed[(nsid - 1) / 32] |= 1u << (nsid - 1) % 32;
	nvme_event(c, NVME_EV_NS_ATTR);
}

int nvme_ns_attach(struct ob_nvme *c, uint32_t nsid, bool attach)
{
	struct nvme_ns_state *s = &c->st->ns[nsid - 1];
	int rc;

	if (attach == (s->attached != 0))
		return 0;
	rc = ob_nvmeq_set_ns(c->q, nsid, attach ? nvme_ns(c, nsid) : NULL);
	if (rc != 0 && attach)
		return rc;
	s->attached = attach;
	s->error_recovery = s->resv_mask = 0;
	return 0;
}

int nvme_ns_put_in(struct ob_nvme *c, uint32_t nsid, struct ob_nvme_ns *ns, bool hosts_own)
{
	struct nvme_ns_state *s = &c->st->ns[nsid - 1];

	*s = (struct nvme_ns_state){.allocated = 1, .hosts_own = hosts_own};
	c->ns[nsid - 1].ns = ob_nvme_ns_get(ns);
	return 0;
}

void nvme_ns_take_out(struct ob_nvme *c, uint32_t nsid)
{
	struct ob_nvme_ns *ns = nvme_ns(c, nsid);

	if (ns == NULL)
		return;
	nvme_format_ns_gone(c, ns);
	nvme_selftest_ns_gone(c, ns);
	if (nvme_ns(c, nsid) != ns)
		return;
	(void)nvme_ns_attach(c, nsid, false);
	c->ns[nsid - 1].ns = NULL;
	memset(&c->st->ns[nsid - 1], 0, sizeof(c->st->ns[0]));
	ob_nvme_ns_put(ns);
}

/* What a number means in the subsystem, or NULL. */
static struct ob_nvme_ns *subsys_ns(const struct ob_nvme *c, uint32_t nsid)
{
	for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (nvme_same_subsys(o, c) && nvme_ns(o, nsid) != NULL)
			return nvme_ns(o, nsid);
	return NULL;
}

uint32_t nvme_ns_free_id(const struct ob_nvme *c)
{
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++)
		if (subsys_ns(c, nsid) == NULL)
			return nsid;
	return 0;
}

int ob_nvme_add_ns(struct ob_nvme *c, uint32_t *nsid, struct ob_nvme_ns *ns)
{
	struct ob_nvme_ns *there;
	uint32_t n = *nsid;
	int rc;

	for (uint32_t i = 1; i <= OB_NVME_MAX_NS; i++) {
		if (nvme_ns(c, i) == ns)
			return -EALREADY;
		/* A namespace has one number in a subsystem. */
		if (n == 0 && subsys_ns(c, i) == ns)
			n = i;
	}
	if (n == 0)
		n = nvme_ns_free_id(c);
	if (n == 0)
		return -ENOSPC;
	if (n > OB_NVME_MAX_NS)
		return -EINVAL;
	/* Another namespace over the volume would not know of the format that still erases it. */
	if (nvme_jobs_on(ob_nvme_ns_blk(ns), true))
		return -EBUSY;
	there = subsys_ns(c, n);
	if (there != NULL && there != ns)
		return -EEXIST;
	(void)nvme_ns_put_in(c, n, ns, false);
	rc = nvme_ns_attach(c, n, true);
	if (rc != 0) {
		nvme_ns_take_out(c, n);
		return rc;
	}
	*nsid = n;
	nvme_ns_tell_changed(c, n);
	return 0;
}

int ob_nvme_del_ns(struct ob_nvme *c, uint32_t nsid)
{
	if (nvme_ns(c, nsid) == NULL)
		return -ENOENT;
	nvme_ns_take_out(c, nsid);
	nvme_ns_tell_changed(c, nsid);
	return 0;
}

void ob_nvme_ns_changed(struct ob_nvme *c, uint32_t nsid)
{
	if (nvme_ns(c, nsid) == NULL)
		return;
	nvme_ns_tell_changed(c, nsid);
}

int ob_nvme_set_ana(struct ob_nvme *c, uint32_t nsid, enum ob_nvme_ana state)
{
	int rc;

	if (nvme_ns(c, nsid) == NULL)
		return -ENOENT;
	rc = ob_nvmeq_set_ana(c->q, nsid, state);
	if (rc != 0)
		return rc;
	c->st->ns[nsid - 1].ana_count = ++c->st->ana_count;
	nvme_event(c, NVME_EV_ANA);
	return 0;
}

/* ---- the I/O side speaks ---- */

static void log_io_errors(struct ob_nvme *c)
{
	struct ob_nvmeq_error err[16];
	unsigned n, turns = 0;

	/* What was there when it was told fits these turns; what comes meanwhile is told again. */
	while (turns++ < LOG_TURNS && (n = ob_nvmeq_errors(c->q, err, 16)) > 0)
		for (unsigned i = 0; i < n; i++)
			nvme_error_add(c, &(struct nvme_error){.sqid = err[i].sqid,
					      .cid = err[i].cid,
					      .status = err[i].status,
					      .nsid = err[i].nsid,
					      .lba = err[i].lba,
					      .loc = 0xffff});
}

static void on_event(void *ctx, const struct ob_nvmeq_event *ev)
{
	struct ob_nvme *c = ctx;

	switch (ev->type) {
	case OB_NVMEQ_EV_FATAL:
		nvme_fatal(c, ev->text != NULL ? ev->text : "an I/O queue broke");
		break;
	case OB_NVMEQ_EV_DOORBELL:
		if (nvme_ready(c))
			nvme_bad_doorbell(c, ev->qid, NVME_EV_DB_VALUE);
		break;
	case OB_NVMEQ_EV_ERROR:
		log_io_errors(c);
		break;
	case OB_NVMEQ_EV_NS_CHANGED:
		if (nvme_ns(c, ev->nsid) != NULL)
			nvme_ns_tell_changed(c, ev->nsid);
		break;
	case OB_NVMEQ_EV_RESV:
		nvme_resv_event(c, ev->nsid, (uint8_t)ev->value);
		break;
	}
}

/* ---- views ---- */

const char *ob_nvme_name(const struct ob_nvme *c)
{
	return c->name;
}

static enum ob_nvme_state state_of(const struct ob_nvme *c, bool connected)
{
	const struct nvme_state *st = c->st;

	if (st->fatal)
		return OB_NVME_FATAL;
	if (NVME_CSTS_SHST(st->csts) != 0)
		return OB_NVME_SHUT_DOWN;
	if (nvme_ready(c))
		return OB_NVME_READY;
	return connected ? OB_NVME_DISABLED : OB_NVME_WAITING;
}

void ob_nvme_get_status(const struct ob_nvme *c, struct ob_nvme_status *out)
{
	const struct nvme_state *st = c->st;
	struct ob_vfu_stats vs;

	ob_vfu_get_stats(c->vfu, &vs);
	*out = (struct ob_nvme_status){
	    .state = state_of(c, vs.connected),
	    .connected = vs.connected,
	    .peer_pid = vs.peer_pid,
	    .cntlid = st->cntlid,
	    .cc = st->cc,
	    .csts = st->csts,
	    .n_qpairs = c->conf.n_qpairs,
	    .n_enables = st->n_enables,
	    .n_resets = st->n_resets,
	    .n_fatal = st->n_fatal,
	    .n_shutdowns = st->n_shutdowns,
	    .n_admin = st->n_admin,
	    .n_admin_err = st->n_admin_err,
	    .n_doorbells = st->n_doorbells,
	    .n_bad_doorbells = st->n_bad_doorbells,
	    .n_events = st->n_events,
	    .n_io_err = st->n_errors,
	    .shadow_doorbells = st->dbbuf != 0,
	};
	memcpy(out->name, c->name, sizeof(out->name));
	memcpy(out->path, c->path, sizeof(out->path));
	memcpy(out->subnqn, c->subnqn, sizeof(out->subnqn));
	memcpy(out->fatal_why, c->fatal_why, sizeof(out->fatal_why));
	for (unsigned i = 0; i < c->conf.n_qpairs; i++) {
		out->n_sqs = (uint16_t)(out->n_sqs + (st->sq[i].size != 0));
		out->n_cqs = (uint16_t)(out->n_cqs + (st->cq[i].size != 0));
	}
	for (unsigned i = 0; i < OB_NVME_MAX_NS; i++) {
		out->n_ns += st->ns[i].attached;
		out->n_ns_allocated += st->ns[i].allocated;
	}
	ob_gmem_usage(c->gm, &out->n_ranges, &out->n_bytes);
	ob_gmem_poisoned(c->gm, &out->n_faults);
	out->n_violations = ob_gmem_violations(c->gm);
}

int ob_nvme_get_queue(
    const struct ob_nvme *c, bool sq, unsigned i, struct ob_nvme_queue_status *out)
{
	const struct nvme_queue_state *q = sq ? c->st->sq : c->st->cq;

	for (unsigned n = 0; n < c->conf.n_qpairs; n++) {
		if (q[n].size == 0 || i-- > 0)
			continue;
		*out = (struct ob_nvme_queue_status){
		    .qid = (uint16_t)(n + 1),
		    .cqid = sq ? q[n].cqid : (uint16_t)(n + 1),
		    .size = q[n].size,
		    .vector = !sq && q[n].ien ? q[n].vector : NVME_NO_VECTOR,
		    .worker = sq ? (int16_t)ob_nvmeq_worker(c->q, (uint16_t)(n + 1)) : -1,
		};
		return 0;
	}
	return -ENOENT;
}

int ob_nvme_get_counters(const struct ob_nvme *c, uint16_t qid, struct ob_nvmeq_counters *out)
{
	return ob_nvmeq_counters(c->q, qid, out);
}

uint32_t ob_nvme_next_ns(
    const struct ob_nvme *c, uint32_t nsid, struct ob_nvme_ns **ns, bool *attached)
{
	while (nsid++ < OB_NVME_MAX_NS) {
		if (nvme_ns(c, nsid) == NULL)
			continue;
		*ns = nvme_ns(c, nsid);
		if (attached != NULL)
			*attached = nvme_ns_attached(c, nsid);
		return nsid;
	}
	return 0;
}

/* ---- life ---- */

static bool name_valid(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	return len > 0 && len < OB_NVME_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
		   len;
}

static bool text_valid(const char *s, size_t least, size_t most)
{
	size_t len = s != NULL ? strlen(s) : 0;

	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return len >= least && len <= most;
}

static bool power_of_two(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

static bool conf_valid(const struct ob_nvme_conf *c)
{
	return name_valid(c->name) && text_valid(c->path, 1, OB_NVME_PATH_MAX - 1) &&
	       c->base != NULL && c->arena != NULL && text_valid(c->serial, 1, 20) &&
	       text_valid(c->model, 0, 40) && text_valid(c->firmware, 0, 8) &&
	       (c->subnqn == NULL || (text_valid(c->subnqn, 5, OB_NVME_NQN_MAX - 1) &&
					 strncmp(c->subnqn, "nqn.", 4) == 0)) &&
	       (c->cntlid <= CNTLID_MAX || c->cntlid == OB_NVME_CNTLID_AUTO) &&
	       c->n_qpairs <= OB_NVME_MAX_QPAIRS &&
	       (c->queue_entries == 0 || (power_of_two(c->queue_entries) && c->queue_entries >= 2 &&
					     c->queue_entries <= OB_NVME_MAX_ENTRIES)) &&
	       (c->mdts_bytes == 0 || (power_of_two(c->mdts_bytes) && c->mdts_bytes >= NVME_PAGE &&
					  c->mdts_bytes <= OB_BLK_MAX_BYTES));
}

static void copy_conf(struct ob_nvme *c, const struct ob_nvme_conf *conf)
{
	c->conf = *conf;
	snprintf(c->name, sizeof(c->name), "%s", conf->name);
	snprintf(c->path, sizeof(c->path), "%s", conf->path);
	snprintf(c->serial, sizeof(c->serial), "%s", conf->serial);
	snprintf(c->model, sizeof(c->model), "%s",
	    conf->model != NULL ? conf->model : "Outboard NVMe function");
	snprintf(c->firmware, sizeof(c->firmware), "%s",
	    conf->firmware != NULL ? conf->firmware : "1.0");
	c->multi = conf->subnqn != NULL;
	if (c->multi)
		snprintf(c->subnqn, sizeof(c->subnqn), "%s", conf->subnqn);
	else
		snprintf(c->subnqn, sizeof(c->subnqn), "nqn.2026-01.io.outboard:%s:%s", c->serial,
		    c->name);
	if (c->conf.n_qpairs == 0)
		c->conf.n_qpairs = DEFAULT_QPAIRS;
	if (c->conf.queue_entries == 0)
		c->conf.queue_entries = DEFAULT_ENTRIES;
	if (c->conf.mdts_bytes == 0)
		c->conf.mdts_bytes = DEFAULT_MDTS;
	c->conf.name = c->conf.path = c->conf.serial = c->conf.model = c->conf.firmware =
	    c->conf.subnqn = NULL;
}

static bool cntlid_taken(const struct ob_nvme *c, uint32_t id)
{
	for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (nvme_same_subsys(o, c) && o->st->cntlid == id)
			return true;
	return false;
}

/* The state is made afresh: going on where a predecessor stopped is not done yet, only kept possible. */
static int state_create(struct ob_nvme *c)
{
	uint32_t id = c->conf.cntlid;
	void *mem;
	bool fresh;
	int rc;

	if (id == OB_NVME_CNTLID_AUTO)
		for (id = 1; id <= CNTLID_MAX && cntlid_taken(c, id); id++)
			;
	if (id > CNTLID_MAX || cntlid_taken(c, id))
		return -EEXIST;
	snprintf(c->region, sizeof(c->region), "nvme.%s", c->name);
	rc = ob_arena_region(
	    c->conf.arena, c->region, NVME_STATE_LAYOUT, sizeof(struct nvme_state), &mem, &fresh);
	if (rc != 0)
		return rc;
	c->st = mem;
	memset(c->st, 0, sizeof(*c->st));
	c->st->cntlid = (uint16_t)id;
	c->st->created_ms = c->st->reset_ms = nvme_now_ms();
	c->st->timestamp_at_ms = c->st->created_ms;
	c->st->n_power_cycles = 1;
	nvme_features_init(c);
	nvme_pel_power_on(c);
	return 0;
}

static void sync_readers(void *ctx)
{
	struct ob_nvme *c = ctx;

	if (c->q != NULL)
		ob_nvmeq_sync(c->q);
	else
		ob_rcu_sync(NULL);
}

static void admin_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	nvme_admin_run(arg);
}

static void kato_over(evutil_socket_t fd, short what, void *arg)
{
	struct ob_nvme *c = arg;

	(void)fd;
	(void)what;
	if (!nvme_ready(c))
		return;
	nvme_error_add(
	    c, &(struct nvme_error){.cid = 0xffff, .status = NVME_SC_KAT_EXPIRED, .loc = 0xffff});
	nvme_fatal(c, "the host's keep alive timer ran out");
}

static int io_side_create(struct ob_nvme *c)
{
	struct ob_nvmeq_conf qc = {
	    .gm = c->gm,
	    .arena = c->conf.arena,
	    .cntlid = c->st->cntlid,
	    .max_qpairs = c->conf.n_qpairs,
	    .max_entries = c->conf.queue_entries,
	    .mdts_bytes = c->conf.mdts_bytes,
	    .sgl = true,
	    .doorbells = c->doorbells,
	    .on_event = on_event,
	    .ctx = c,
	};

	memcpy(qc.name, c->name, sizeof(qc.name));
	return ob_nvmeq_create(&qc, &c->q);
}

static int events_create(struct ob_nvme *c)
{
	c->admin_again = event_new(c->conf.base, -1, 0, admin_again, c);
	c->kato = event_new(c->conf.base, -1, 0, kato_over, c);
	return c->admin_again != NULL && c->kato != NULL ? 0 : -ENOMEM;
}

static void name_free(struct ob_nvme *c)
{
	if (c->kato != NULL)
		event_free(c->kato);
	if (c->admin_again != NULL)
		event_free(c->admin_again);
	nvme_pci_fini(c);
	free(c);
}

static bool name_taken(const char *name)
{
	for (const struct ob_nvme *o = nvme_all; o != NULL; o = o->next)
		if (strcmp(o->name, name) == 0)
			return true;
	return false;
}

int ob_nvme_create(const struct ob_nvme_conf *conf, struct ob_nvme **out)
{
	struct ob_gmem_conf gc = {.sync = sync_readers};
	struct ob_nvme *c;
	int rc;

	if (!conf_valid(conf))
		return -EINVAL;
	if (name_taken(conf->name))
		return -EEXIST;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	copy_conf(c, conf);
	c->asq.window = c->acq.window = -1;
	c->fw.active_slot = 1;
	c->doorbell_fd = -1;
	rc = events_create(c);
	if (rc == 0)
		rc = nvme_pci_prepare(c);
	if (rc != 0)
		goto err_free;
	gc.name = c->name;
	gc.sync_ctx = c;
	rc = ob_gmem_create(&gc, &c->gm);
	if (rc != 0)
		goto err_free;
	rc = state_create(c);
	if (rc != 0)
		goto err_gmem;
	rc = io_side_create(c);
	if (rc != 0)
		goto err_state;
	c->next = nvme_all;
	nvme_all = c;
	rc = nvme_pci_create(c);
	if (rc != 0)
		goto err_q;
	*out = c;
	return 0;

err_q:
	nvme_all = c->next;
	ob_nvmeq_destroy(c->q);
	c->q = NULL;
err_state:
	ob_arena_del_region(c->conf.arena, c->region);
err_gmem:
	ob_gmem_destroy(c->gm);
err_free:
	name_free(c);
	return rc;
}

void ob_nvme_destroy(struct ob_nvme *c)
{
	if (c == NULL)
		return;
	nvme_pci_destroy(c); /* with a function reset */
	for (uint32_t nsid = 1; nsid <= OB_NVME_MAX_NS; nsid++)
		nvme_ns_take_out(c, nsid);
	for (struct ob_nvme **p = &nvme_all; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	nvme_jobs_drain();
	nvme_fw_fini(c);
	nvme_pel_reset(c);
	ob_nvmeq_destroy(c->q);
	c->q = NULL;
	ob_gmem_destroy(c->gm);
	ob_arena_del_region(c->conf.arena, c->region);
	name_free(c);
}
