/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_ether.h>

/* Of an ENI, rather than of the function that carries it: that is what its owner calls it. */
const char *card_capture_name(void *ctx, enum ob_capture_kind kind, uint32_t idx)
{
	const struct ob_card *c = ctx;

	if (kind == OB_CAPTURE_TUNNEL)
		return names_get(&c->tunnels, idx);
	for (uint32_t fn = 0; (fn = names_next(&c->functions, fn)) != NAMES_NONE; fn++) {
		uint32_t eni;

		if (card_fn_vif(c, fn) != idx)
			continue;
		eni = card_eni_of_fn(c, fn);
		return eni != NAMES_NONE ? names_get(&c->enis, eni) : names_get(&c->functions, fn);
	}
	return NULL;
}

static int add_if(struct ob_capture_conf *conf, uint16_t vif, const uint8_t *mac, const char *name,
    struct text *t)
{
	struct ob_capture_if *i = &conf->ifs[conf->n_ifs];

	if (vif == OB_VIF_NONE && mac != NULL)
		return fail(t, -ENOENT, "function of %s is not there", name);
	conf->n_ifs++;
	i->vif = vif;
	if (mac != NULL)
		memcpy(i->mac, mac, 6);
	snprintf(i->name, sizeof(i->name), "%s", name);
	return 0;
}

static int find_ifs(
    struct ob_card *c, const struct ob_bus_capture *r, struct ob_capture_conf *conf, struct text *t)
{
	uint32_t idx;
	int rc = 0;

	static_assert(2 * OB_BUS_CAPTURE_IFS + 1 <= OB_CAPTURE_MAX_IFS, "all fit");
	if (r->n_enis > OB_BUS_CAPTURE_IFS || r->n_functions > OB_BUS_CAPTURE_IFS)
		return fail(t, -EINVAL, "at most %d ENIs and %d functions", OB_BUS_CAPTURE_IFS,
		    OB_BUS_CAPTURE_IFS);
	if (r->n_enis + r->n_functions + (r->uplink == 1) == 0)
		return fail(
		    t, -EINVAL, "what shall be captured? give an ENI, a function or the uplink");
	for (unsigned i = 0; i < r->n_enis && rc == 0; i++) {
		rc = lookup(t, &c->enis, "eni", "eni", r->eni[i], &idx);
		if (rc == 0)
			rc = add_if(conf, card_fn_vif(c, c->eni_fn[idx]), ob_eni_get(idx)->mac,
			    r->eni[i], t);
	}
	for (unsigned i = 0; i < r->n_functions && rc == 0; i++) {
		rc = lookup(t, &c->functions, "function", "function", r->function[i], &idx);
		if (rc == 0)
			rc = add_if(
			    conf, card_fn_vif(c, idx), c->fn_conf[idx].mac, r->function[i], t);
	}
	if (rc == 0 && r->uplink == 1)
		rc = add_if(conf, OB_VIF_NONE, NULL, CARD_UPLINK, t);
	return rc;
}

static int convert_filter(
    const struct ob_bus_capture *r, struct ob_capture_filter *f, struct text *t)
{
	if (r->direction > 2 || r->only_drops > 2 || r->uplink > 2)
		return fail(t, -EINVAL, "direction, drops and uplink are 0, 1 or 2");
	f->dirs = r->direction == 1 ? OB_CAPTURE_IN : r->direction == 2 ? OB_CAPTURE_OUT : 0;
	f->only_drops = r->only_drops == 1;
	f->port = r->port;
	if (r->proto == OB_BUS_PROTO_ARP)
		f->ethertype = RTE_ETHER_TYPE_ARP;
	else
		f->proto = r->proto;
	if (r->n_ips > 2)
		return fail(t, -EINVAL, "a packet has two ends: at most two prefixes");
	for (unsigned i = 0; i < r->n_ips; i++) {
		struct ob_ip ip;
		int rc = check_ip(t, "ip", &r->ip[i], IP_PREFIX, &ip, &f->ip[i].len);

		if (rc < 0)
			return rc;
		f->ip[i].family = ip.family;
		memcpy(f->ip[i].b, ip.b, sizeof(f->ip[i].b));
	}
	return 0;
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_capture *r = rec;
	struct ob_capture_conf conf = {.snaplen = r->snaplen,
	    .max_pkts = r->max_pkts,
	    .max_bytes = r->max_bytes,
	    .max_file_bytes = r->max_file_bytes,
	    .ring_bytes = r->buffer_bytes,
	    .fd = c->passed_fd};
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = convert_filter(r, &conf.filter, t)) < 0 ||
	    (rc = find_ifs(c, r, &conf, t)) < 0)
		return rc;
	if (r->max_seconds > UINT32_MAX / 1000)
		return fail(t, -EINVAL, "at most %u seconds", UINT32_MAX / 1000);
	conf.max_ms = r->max_seconds * 1000;
	if (c->passed_fd < 0)
		return fail(t, -EBADF, "no file came with the request");
	memcpy(conf.name, r->name, sizeof(conf.name));
	/* For people only: whatever is not printable would disturb them. */
	for (unsigned i = 0; i + 1 < sizeof(conf.file) && r->file[i] >= ' ' && r->file[i] != 0x7f;
	     i++)
		conf.file[i] = r->file[i];
	rc = ob_capture_start(&conf, t->s, sizeof(t->s));
	if (rc == 0)
		c->passed_fd = -1;
	return rc;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_capture *r = rec;
	int rc = check_key(t, "name", r->name);

	(void)c;
	if (rc < 0 || (rc = ob_capture_stop(r->name)) == 0)
		return rc;
	return fail(t, rc, "capture %s does not exist; see 'obctl capture list'", r->name);
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	(void)c;
	return check_filter(t, "name", ((const struct ob_bus_capture *)f)->name);
}

/* Interfaces are told by their names; those that are not ENIs were named as functions. */
static void fill_ifs(
    const struct ob_card *c, const struct ob_capture_conf *conf, struct ob_bus_capture *r)
{
	for (unsigned i = 0; i < conf->n_ifs; i++) {
		const struct ob_capture_if *f = &conf->ifs[i];
		bool is_eni = names_find(&c->enis, f->name) != NAMES_NONE;

		if (f->vif == OB_VIF_NONE)
			r->uplink = 1;
		else if (is_eni && r->n_enis < OB_BUS_CAPTURE_IFS)
			memcpy(r->eni[r->n_enis++], f->name, OB_BUS_NAME);
		else if (r->n_functions < OB_BUS_CAPTURE_IFS)
			memcpy(r->function[r->n_functions++], f->name, OB_BUS_NAME);
	}
}

static void fill(
    const struct ob_card *c, const struct ob_capture_info *info, struct ob_bus_capture *r)
{
	const struct ob_capture_conf *conf = &info->conf;
	const struct ob_capture_filter *f = &conf->filter;

	memcpy(r->name, conf->name, sizeof(r->name));
	memcpy(r->file, conf->file, sizeof(r->file));
	fill_ifs(c, conf, r);
	r->direction = f->dirs == OB_CAPTURE_IN ? 1 : f->dirs == OB_CAPTURE_OUT ? 2 : 0;
	r->only_drops = f->only_drops;
	r->proto = f->ethertype == RTE_ETHER_TYPE_ARP ? OB_BUS_PROTO_ARP : f->proto;
	r->port = f->port;
	for (unsigned i = 0; i < 2 && f->ip[i].family != 0; i++) {
		struct ob_ip ip = {.family = f->ip[i].family};

		memcpy(ip.b, f->ip[i].b, sizeof(ip.b));
		put_ip(&r->ip[r->n_ips++], &ip, f->ip[i].len);
	}
	r->snaplen = conf->snaplen;
	r->max_seconds = conf->max_ms / 1000;
	r->buffer_bytes = conf->ring_bytes;
	r->max_pkts = conf->max_pkts;
	r->max_bytes = conf->max_bytes;
	r->max_file_bytes = conf->max_file_bytes;
	r->state = info->writing && info->state != OB_CAPTURE_RUNNING ? OB_BUS_CAPTURE_ENDING
								      : info->state;
	r->error = info->err;
	r->n_matched = info->n_matched;
	r->n_lost = info->n_lost;
	r->n_written = info->n_written;
	r->n_bytes = info->n_bytes;
	r->n_file_bytes = info->n_file_bytes;
	r->age_ns = info->age_ns;
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_capture *want = f;
	uint32_t at = (uint32_t)*cursor;
	struct ob_capture_info info;
	int rc = ob_capture_next(&at, &info);

	*cursor = at;
	if (rc < 0)
		return rc;
	if (want->name[0] && strcmp(want->name, info.conf.name) != 0)
		return -EAGAIN;
	fill(c, &info, rec);
	return 0;
}

static_assert((int)OB_BUS_CAPTURE_FAILED == (int)OB_CAPTURE_FAILED &&
		  (int)OB_BUS_CAPTURE_RUNNING == (int)OB_CAPTURE_RUNNING &&
		  OB_BUS_NAME == OB_CAPTURE_NAME && OB_BUS_PATH == OB_CAPTURE_PATH,
    "the bus says what the dataplane means");

const struct noun noun_capture = {.name = "capture",
    .record_len = sizeof(struct ob_bus_capture),
    .add = add,
    .del = del,
    .filter = filter,
    .next = next};
