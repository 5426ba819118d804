/* SPDX-License-Identifier: BSD-3-Clause */
/* Reservations (base 8.19; commands 7.2 to 7.5). They run on the control thread, one after the other, for all controllers of a namespace.
 * A registrant is a host, known by its identifier, whatever controller it comes by. */
#include <string.h>

#include "nvmeq_int.h"

#define CONFLICT  OB_NVME_ERR(NVME_SC_RESERVATION_CONFLICT)
#define BAD_FIELD OB_NVME_ERR(NVME_SC_INVALID_FIELD)

enum rtype { WE = 1, EA = 2, WE_RO = 3, EA_RO = 4, WE_AR = 5, EA_AR = 6 };

static bool all_registrants(uint8_t rtype)
{
	return rtype == WE_AR || rtype == EA_AR;
}

static int find(const struct ob_nvme_resv_image *img, const uint8_t hostid[16])
{
	for (unsigned i = 0; i < img->n; i++)
		if (memcmp(img->reg[i].hostid, hostid, 16) == 0)
			return (int)i;
	return -1;
}

static bool holds(const struct ob_nvme_resv_image *img, int i)
{
	return i >= 0 && img->rtype != 0 && (all_registrants(img->rtype) || img->holder == i);
}

/* What the reservation denies to a host (NVM command set 1.0, figure 8, and base figure 413). */
uint32_t nvmeq_resv_deny(const struct ob_nvme_ns *ns, const uint8_t hostid[16])
{
	const struct ob_nvme_resv_image *img = &ns->resv;
	int i;

	if (img->rtype == 0)
		return 0;
	i = find(img, hostid);
	if (holds(img, i))
		return 0;
	switch (img->rtype) {
	case WE:
		return NVMEQ_GATE_WRITE;
	case EA:
		return NVMEQ_GATE_READ | NVMEQ_GATE_WRITE;
	case WE_RO:
	case WE_AR:
		return i >= 0 ? 0 : NVMEQ_GATE_WRITE;
	default:
		return i >= 0 ? 0 : NVMEQ_GATE_READ | NVMEQ_GATE_WRITE;
	}
}

/* ---- telling the others ---- */

/* To the controllers of registered hosts, but that of the host that caused it (8.19.8). 'only': the one host that it concerns, or NULL: all of
 * 'img', which is as it was before. */
static void notify(struct ob_nvme_ns *ns, const struct ob_nvme_resv_image *img,
    const struct ob_nvmeq *by, const uint8_t *only, uint32_t what)
{
	for (struct nvmeq_att *a = ns->atts; a != NULL; a = a->next) {
		if (memcmp(a->q->hostid, by->hostid, 16) == 0 ||
		    (only != NULL ? memcmp(a->q->hostid, only, 16) != 0
				  : find(img, a->q->hostid) < 0))
			continue;
		nvmeq_event(a->q, &(struct ob_nvmeq_event){
				      .type = OB_NVMEQ_EV_RESV, .nsid = a->nsid, .value = what});
	}
}

/* ---- changes ---- */

static bool release_notifies(uint8_t rtype)
{
	return rtype >= WE_RO; /* Registrants Only and All Registrants */
}

/* Takes a registrant out; a reservation that it alone held goes with it (8.19.4). Returns true if that happened. */
static bool drop(struct ob_nvme_resv_image *img, unsigned i)
{
	bool gone =
	    img->rtype != 0 && (all_registrants(img->rtype) ? img->n == 1 : img->holder == i);

	img->n--;
	memmove(&img->reg[i], &img->reg[i + 1], (img->n - i) * sizeof(img->reg[0]));
	memset(&img->reg[img->n], 0, sizeof(img->reg[0]));
	if (gone)
		img->rtype = 0;
	if (img->rtype == 0)
		img->holder = 0;
	else if (img->holder > i)
		img->holder--;
	else if (img->holder == i)
		img->holder = 0; /* All Registrants: means nothing */
	return gone;
}

/* Makes 'img' the state: durable first where it has to be. */
static ob_nvme_status_t commit(struct ob_nvme_ns *ns, const struct ob_nvme_resv_image *img)
{
	if ((img->ptpl || ns->resv.ptpl) && ns->conf.resv_store != NULL &&
	    ns->conf.resv_store(ns->conf.resv_ctx, img) != 0)
		return OB_NVME_SC(NVME_SCT_GENERIC, NVME_SC_INTERNAL);
	ns->resv = *img;
	nvmeq_resv_gate(ns);
	return 0;
}

/* ---- Reservation Register (7.4) ---- */

static ob_nvme_status_t reg(struct ob_nvmeq *q, struct ob_nvme_ns *ns,
    const struct ob_nvme_sqe *sqe, uint64_t crkey, uint64_t nrkey)
{
	struct ob_nvme_resv_image img = ns->resv;
	unsigned action = sqe->cdw10 & 7, cptpl = sqe->cdw10 >> 30;
	bool iekey = sqe->cdw10 >> 3 & 1, released = false;
	uint8_t rtype = img.rtype;
	int i = find(&img, q->hostid);
	ob_nvme_status_t st;

	if (action > 2 || cptpl == 1 || (cptpl == 3 && ns->conf.resv_store == NULL))
		return BAD_FIELD;
	if (cptpl != 0)
		img.ptpl = cptpl == 3;
	if (action == 0) {
		/* Registering again with the same key changes nothing (8.19.3). */
		if (i >= 0 && img.reg[i].key != nrkey)
			return CONFLICT;
		if (i < 0) {
			if (img.n == OB_NVME_MAX_REGISTRANTS)
				return OB_NVME_ERR(NVME_SC_INTERNAL);
			i = img.n++;
			memset(&img.reg[i], 0, sizeof(img.reg[i]));
			memcpy(img.reg[i].hostid, q->hostid, 16);
			img.reg[i].key = nrkey;
			img.gen++;
		}
		img.reg[i].cntlid = q->conf.cntlid;
	} else {
		if (i < 0 || (!iekey && img.reg[i].key != crkey)) {
			/* Replace with the existing key ignored registers a host that is not (7.4). */
			if (action != 2 || !iekey || i >= 0 || img.n == OB_NVME_MAX_REGISTRANTS)
				return CONFLICT;
			i = img.n++;
			memset(&img.reg[i], 0, sizeof(img.reg[i]));
			memcpy(img.reg[i].hostid, q->hostid, 16);
			img.reg[i].cntlid = q->conf.cntlid;
		}
		if (action == 2)
			img.reg[i].key = nrkey;
		else
			released = drop(&img, (unsigned)i);
		img.gen++;
	}
	st = commit(ns, &img);
	if (st == 0 && released && release_notifies(rtype))
		notify(ns, &img, q, NULL, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
	return st;
}

/* ---- Reservation Acquire (7.2) ---- */

static ob_nvme_status_t acquire(struct ob_nvmeq *q, struct ob_nvme_ns *ns, uint8_t rtype, int i)
{
	struct ob_nvme_resv_image img = ns->resv;

	if (img.rtype != 0) {
		/* Again by a holder, and of the same type: nothing to do. */
		return holds(&img, i) && img.rtype == rtype ? 0 : CONFLICT;
	}
	img.rtype = rtype;
	img.holder = (uint16_t)i;
	img.reg[i].cntlid = q->conf.cntlid;
	return commit(ns, &img);
}

/* Takes out every registrant with 'key' (0: all but host 'self'). Returns how many. */
static unsigned purge(
    struct ob_nvme_resv_image *img, uint64_t key, bool any, const uint8_t self[16])
{
	unsigned n = 0;

	for (unsigned i = img->n; i-- > 0;) {
		bool me = memcmp(img->reg[i].hostid, self, 16) == 0;

		if (any ? me : img->reg[i].key != key)
			continue;
		drop(img, i);
		n++;
	}
	return n;
}

/* Preempt (8.19.7): a holder's key, or 0 with the All Registrants types, takes the reservation over; another key unregisters only.
 * 'abort': what the hosts that lose their registration have waiting ends. */
static ob_nvme_status_t preempt(
    struct ob_nvmeq *q, struct ob_nvme_ns *ns, uint8_t rtype, uint64_t prkey, bool abort)
{
	const struct ob_nvme_resv_image old = ns->resv;
	struct ob_nvme_resv_image img = old;
	bool ar = all_registrants(old.rtype), take;
	ob_nvme_status_t st;
	int i;

	if (prkey == 0 && !(ar && old.rtype != 0))
		return BAD_FIELD;
	take = ar ? prkey == 0 : old.rtype != 0 && old.reg[old.holder].key == prkey;
	if (purge(&img, prkey, ar && prkey == 0, q->hostid) == 0 && !take)
		return CONFLICT;
	i = find(&img, q->hostid);
	if (take) {
		if (i < 0) { /* it had the key itself: it stays registered and holds the new one */
			i = img.n++;
			img.reg[i] = old.reg[find(&old, q->hostid)];
		}
		img.rtype = rtype;
		img.holder = (uint16_t)i;
	}
	img.gen++;
	st = commit(ns, &img);
	if (st != 0)
		return st;
	for (unsigned k = 0; k < old.n; k++) {
		if (find(&img, old.reg[k].hostid) >= 0)
			continue;
		notify(
		    ns, &old, q, old.reg[k].hostid, NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED);
		for (struct nvmeq_att *a = abort ? ns->atts : NULL; a != NULL; a = a->next)
			if (memcmp(a->q->hostid, old.reg[k].hostid, 16) == 0)
				nvmeq_abort_att(a);
	}
	/* Whoever stays registered hears of a change of type (8.19.8). */
	if (take && old.rtype != rtype)
		notify(ns, &img, q, NULL, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
	return 0;
}

static ob_nvme_status_t acq(struct ob_nvmeq *q, struct ob_nvme_ns *ns,
    const struct ob_nvme_sqe *sqe, uint64_t crkey, uint64_t prkey)
{
	unsigned action = sqe->cdw10 & 7, rtype = sqe->cdw10 >> 8 & 255;
	bool iekey = sqe->cdw10 >> 3 & 1;
	int i = find(&ns->resv, q->hostid);

	if (action > 2 || rtype < WE || rtype > EA_AR || iekey)
		return BAD_FIELD;
	if (i < 0 || ns->resv.reg[i].key != crkey)
		return CONFLICT;
	if (action == 0)
		return acquire(q, ns, (uint8_t)rtype, i);
	return preempt(q, ns, (uint8_t)rtype, prkey, action == 2);
}

/* ---- Reservation Release (7.3) ---- */

static ob_nvme_status_t rel(
    struct ob_nvmeq *q, struct ob_nvme_ns *ns, const struct ob_nvme_sqe *sqe, uint64_t crkey)
{
	struct ob_nvme_resv_image old = ns->resv, img = old;
	unsigned action = sqe->cdw10 & 7, rtype = sqe->cdw10 >> 8 & 255;
	bool iekey = sqe->cdw10 >> 3 & 1;
	int i = find(&img, q->hostid);
	ob_nvme_status_t st;

	if (action > 1 || iekey)
		return BAD_FIELD;
	if (i < 0 || img.reg[i].key != crkey)
		return CONFLICT;
	if (action == 0) {
		if (!holds(&img, i)) /* nothing of its own to release: success (8.19.5) */
			return 0;
		if (rtype != img.rtype)
			return BAD_FIELD;
		img.rtype = 0;
		img.holder = 0;
		st = commit(ns, &img);
		if (st == 0 && release_notifies(old.rtype))
			notify(ns, &img, q, NULL, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
		return st;
	}
	/* Clear: everybody is unregistered (8.19.6). */
	memset(img.reg, 0, sizeof(img.reg));
	img.n = img.rtype = 0;
	img.holder = 0;
	img.gen++;
	st = commit(ns, &img);
	if (st == 0)
		notify(ns, &old, q, NULL, NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED);
	return st;
}

/* ---- Reservation Report (7.5) ---- */

static ob_nvme_status_t report(struct ob_nvmeq *q, const struct ob_nvme_ns *ns,
    const struct ob_gmem_map *map, const struct ob_nvme_sqe *sqe)
{
	const struct ob_nvme_resv_image *img = &ns->resv;
	const struct ob_nvme_walk walk = {.page_shift = q->page_shift, .sgl = q->conf.sgl};
	uint8_t buf[sizeof(struct nvme_resv_status) + OB_NVME_MAX_REGISTRANTS * 64];
	struct nvme_resv_status head = {0};
	uint64_t bytes = ((uint64_t)sqe->cdw10 + 1) * 4;
	bool ext = sqe->cdw11 & 1;
	size_t at = ext ? 64 : 24;

	/* Identifiers of 16 bytes do not fit the short structure (7.5). */
	for (unsigned i = 8; i < 16 && !ext; i++)
		if (q->hostid[i] != 0)
			return OB_NVME_ERR(NVME_SC_HOSTID_FORMAT);
	memset(buf, 0, sizeof(buf));
	head.gen = htole32(img->gen);
	head.rtype = img->rtype;
	head.regctl[0] = (uint8_t)img->n;
	head.regctl[1] = (uint8_t)(img->n >> 8);
	head.ptpls = img->ptpl;
	memcpy(buf, &head, 24);
	for (unsigned i = 0; i < img->n; i++) {
		struct nvme_registered_ctrl_ext e = {.cntlid = htole16(img->reg[i].cntlid),
		    .rcsts = holds(img, (int)i),
		    .rkey = htole64(img->reg[i].key)};
		struct nvme_registered_ctrl s = {
		    .cntlid = e.cntlid, .rcsts = e.rcsts, .rkey = e.rkey};

		memcpy(e.hostid, img->reg[i].hostid, 16);
		memcpy(&s.hostid, img->reg[i].hostid, 8);
		if (ext)
			memcpy(buf + at, &e, sizeof(e));
		else
			memcpy(buf + at, &s, sizeof(s));
		at += ext ? sizeof(e) : sizeof(s);
	}
	return ob_nvme_data_out(
	    map, &walk, sqe, buf, bytes < sizeof(buf) ? (uint32_t)bytes : (uint32_t)sizeof(buf));
}

/* ---- all ---- */

ob_nvme_status_t nvmeq_resv_run(
    struct ob_nvmeq *q, struct nvmeq_att *att, const struct ob_nvme_sqe *sqe)
{
	const struct ob_nvme_walk walk = {.page_shift = q->page_shift, .sgl = q->conf.sgl};
	const struct ob_gmem_map *map = ob_gmem_map_get(q->conf.gm);
	uint64_t key[2] = {0};
	ob_nvme_status_t st;

	if (sqe->opcode == nvme_cmd_resv_report)
		return report(q, att->ns, map, sqe);
	st = ob_nvme_data_in(
	    map, &walk, sqe, key, sqe->opcode == nvme_cmd_resv_release ? 8 : sizeof(key));
	if (st != 0)
		return st;
	key[0] = le64toh(key[0]);
	key[1] = le64toh(key[1]);
	switch (sqe->opcode) {
	case nvme_cmd_resv_register:
		return reg(q, att->ns, sqe, key[0], key[1]);
	case nvme_cmd_resv_acquire:
		return acq(q, att->ns, sqe, key[0], key[1]);
	default:
		return rel(q, att->ns, sqe, key[0]);
	}
}

int ob_nvme_ns_set_ptpl(struct ob_nvme_ns *ns, bool on)
{
	struct ob_nvme_resv_image img = ns->resv;

	if (on && ns->conf.resv_store == NULL)
		return -ENOTSUP;
	img.ptpl = on;
	return commit(ns, &img) == 0 ? 0 : -EIO;
}
