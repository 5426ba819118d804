/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

RTE_LOG_REGISTER(card_log, ob.card, NOTICE);

#define DEFAULT_QUEUE 1024
#define MIN_MTU	      68
#define MAX_MTU	      9216

/* The same serial and name give the same MAC on every start. Locally administered, unicast. */
static void derive_mac(const char *serial, const char *name, uint8_t mac[6])
{
	uint64_t h = 14695981039346656037ull;

	for (const char *s = serial; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ull;
	h = (h ^ 0xff) * 1099511628211ull; /* between the two: "ab"+"c" is not "a"+"bc" */
	for (const char *s = name; *s != '\0'; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211ull;
	h ^= h >> 29;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)(h >> (8 * i));
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
}

static int check_queues(const struct ob_bus_function *r, struct text *t)
{
	if (r->n_pairs > OB_VIF_MAX_PAIRS)
		return fail(t, -EINVAL, "%u queue pairs; a function has at most %d", r->n_pairs,
		    OB_VIF_MAX_PAIRS);
	if (r->queue_size != 0 && (r->queue_size < 64 || r->queue_size > OB_VIRTQ_MAX_SIZE ||
				      (r->queue_size & (r->queue_size - 1)) != 0))
		return fail(t, -EINVAL, "queue size %u is not a power of two in 64..%d",
		    r->queue_size, OB_VIRTQ_MAX_SIZE);
	if (r->packed > 2)
		return fail(
		    t, -EINVAL, "packed %u is none of 0 (default), 1 (on), 2 (off)", r->packed);
	return 0;
}

static int check_port(const struct ob_bus_function *r, struct text *t)
{
	size_t n = strnlen(r->port, sizeof(r->port));

	if (n == sizeof(r->port))
		return fail(t, -EINVAL, "port is longer than %zu characters", sizeof(r->port) - 1);
	for (size_t i = 0; i < n; i++) {
		if (r->port[i] <= 0x20 || r->port[i] >= 0x7f)
			return fail(
			    t, -EINVAL, "port has a character that is not printable, or a space");
	}
	if (r->transport != OB_BUS_PORT)
		return n == 0
			   ? 0
			   : fail(t, -EINVAL, "only a function with transport port (4) has a port");
	if (r->socket[0] != '\0')
		return fail(t, -EINVAL, "a function with a port has no socket");
	return 0;
}

static int check(struct ob_card *c, const struct ob_bus_function *r, struct text *t)
{
	int rc = check_key(t, "name", r->name);

	if (rc < 0 || (rc = check_path(t, r->socket)) < 0)
		return rc;
	if (strcmp(r->name, CARD_UPLINK) == 0)
		return fail(t, -EINVAL,
		    "a function cannot be named '%s': drops of the uplink are listed under it",
		    r->name);
	if (r->type < OB_BUS_NET || r->type > OB_BUS_NVME)
		return fail(
		    t, -ENOTSUP, "function type %u is none of 1 (net), 2 (blk), 3 (nvme)", r->type);
	if (r->transport < OB_BUS_VFIO_USER || r->transport > OB_BUS_PORT)
		return fail(t, -EINVAL,
		    "transport %u is none of 1 (vfio-user), 2 (vhost-user), 3 (vhost-user-client), "
		    "4 (port)",
		    r->transport);
	if (r->type != OB_BUS_NET)
		return disk_check(c, r, t);
	if (r->volume[0] != '\0')
		return fail(t, -EINVAL, "a net function has no volume");
	if ((rc = check_port(r, t)) < 0)
		return rc;
	if (!mac_is_zero(r->mac) && (rc = check_mac(t, "mac", r->mac)) < 0)
		return rc;
	if (r->mtu != 0 && (r->mtu < MIN_MTU || r->mtu > MAX_MTU))
		return fail(t, -EINVAL, "mtu %u is not in %d..%d", r->mtu, MIN_MTU, MAX_MTU);
	if (r->link > 2)
		return fail(
		    t, -EINVAL, "link %u is none of 0 (default), 1 (up), 2 (down)", r->link);
	return check_queues(r, t);
}

/* What the operator gave, with defaults for what was left open; answer fields zero. */
static int complete(const struct ob_card *c, const struct ob_bus_function *r,
    struct ob_bus_function *out, struct text *t)
{
	unsigned n_workers = ob_workers_count();
	int n;

	memset(out, 0, sizeof(*out));
	strcpy(out->name, r->name);
	if (r->transport == OB_BUS_PORT && r->port[0] == '\0')
		return fail(t, -EINVAL, "port is missing: which DPDK device?");
	strcpy(out->port, r->port);
	n = snprintf(out->socket, sizeof(out->socket), "%s", r->socket);
	if (n == 0 && r->transport != OB_BUS_PORT)
		n = snprintf(out->socket, sizeof(out->socket), "%s/%s.sock", c->run_dir, r->name);
	if (n >= (int)sizeof(out->socket))
		return fail(t, -ENAMETOOLONG,
		    "socket '%s/%s.sock' is longer than %d characters; give --socket", c->run_dir,
		    r->name, OB_BUS_PATH - 1);
	out->type = r->type;
	out->transport = r->transport;
	memcpy(out->mac, r->mac, sizeof(out->mac));
	if (mac_is_zero(r->mac))
		derive_mac(c->serial, r->name, out->mac);
	out->n_pairs = r->n_pairs;
	if (r->n_pairs == 0)
		out->n_pairs = (uint16_t)(n_workers == 0		 ? 1
					  : n_workers > OB_VIF_MAX_PAIRS ? OB_VIF_MAX_PAIRS
									 : n_workers);
	out->queue_size = r->queue_size ? r->queue_size : DEFAULT_QUEUE;
	out->mtu = r->mtu ? r->mtu : card_default_mtu(c);
	out->packed = r->packed ? r->packed : 1;
	out->link = r->link ? r->link : 1;
	out->speed_mbps = r->speed_mbps;
	if (r->type != OB_BUS_NET)
		disk_complete(r, out);
	return 0;
}

static int start_net(struct ob_card *c, uint32_t idx, char *err, size_t err_len)
{
	const struct ob_bus_function *r = &c->fn_conf[idx];
	struct ob_vnet_conf conf = {
	    .name = r->name,
	    .path = r->transport == OB_BUS_PORT ? r->port : r->socket,
	    .base = c->conf.base,
	    .arena = c->conf.arena,
	    .mtu = r->mtu,
	    .n_pairs = r->n_pairs,
	    .queue_size = r->queue_size,
	    .packed = r->packed == 1,
	    .serial = c->serial,
	    .speed_mbps = r->speed_mbps,
	    .link_down = r->link == 2,
	};
	struct ob_vnet_status st;
	int rc;

	memcpy(conf.mac, r->mac, sizeof(conf.mac));
	rc = c->conf.models->create(&conf, r->transport, &c->fn[idx], err, err_len);
	if (rc < 0)
		return rc;
	c->conf.models->get_status(c->fn[idx], &st);
	c->fn_vif[idx] = st.vif_idx;
	ob_drops_clear(st.vif_idx);
	return 0;
}

static int start(struct ob_card *c, uint32_t idx, struct text *t)
{
	const struct ob_bus_function *r = &c->fn_conf[idx];
	char err[sizeof(t->s)] = "";
	int rc =
	    r->type == OB_BUS_NET ? start_net(c, idx, err, sizeof(err)) : disk_start(c, idx, t);

	if (rc < 0 && err[0] != '\0')
		return fail(t, rc, "%s", err);
	if (rc == 0 || t->s[0] != '\0')
		return rc;
	switch (-rc) {
	case EADDRINUSE:
		return fail(t, rc,
		    "socket %s is served by another process, or is no socket; give another path",
		    r->socket);
	case ENOENT:
		return fail(t, rc, "socket %s: its folder does not exist", r->socket);
	case EACCES:
	case EPERM:
		return fail(t, rc, "socket %s: the card may not write to that folder", r->socket);
	default:
		return fail(t, rc, "function %s: %s", r->name, strerror(-rc));
	}
}

/* After what it was is gone from the models: the record, the name, and what only it needed of its volume. */
static void forget(struct ob_card *c, uint32_t idx)
{
	uint32_t volume = c->fn_conf[idx].type == OB_BUS_BLK
			      ? names_find(&c->volumes, c->fn_conf[idx].volume)
			      : NAMES_NONE;

	memset(&c->fn_conf[idx], 0, sizeof(c->fn_conf[idx]));
	names_del(&c->functions, idx);
	if (volume != NAMES_NONE)
		volume_drop_top(c, volume);
}

static int add(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_function *r = rec;
	struct ob_bus_function conf;
	uint32_t idx;
	int rc = check(c, r, t);

	if (rc < 0 || (rc = disk_claim(c, r, t)) < 0 || (rc = complete(c, r, &conf, t)) < 0)
		return rc;
	for (uint32_t i = 0; (i = names_next(&c->functions, i)) != NAMES_NONE; i++) {
		if (conf.socket[0] != '\0' && strcmp(c->fn_conf[i].socket, conf.socket) == 0 &&
		    strcmp(c->fn_conf[i].name, conf.name) != 0)
			return fail(t, -EADDRINUSE, "socket %s is function %s's already",
			    conf.socket, c->fn_conf[i].name);
	}
	rc = take_name(t, &c->functions, "function", r->name, &idx);
	if (rc < 0)
		return rc;
	c->fn_conf[idx] = conf;
	rc = start(c, idx, t);
	if (rc < 0) {
		forget(c, idx);
		return rc;
	}
	if (conf.transport == OB_BUS_PORT)
		rte_log(RTE_LOG_NOTICE, card_log, "card: function %s is behind port %s\n",
		    conf.name, conf.port);
	else
		rte_log(RTE_LOG_NOTICE, card_log, "card: function %s listens on %s\n", conf.name,
		    conf.socket);
	return 0;
}

static int del(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_function *r = rec;
	uint32_t idx, eni;
	int rc = lookup(t, &c->functions, "function", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	eni = card_eni_of_fn(c, idx);
	if (eni != NAMES_NONE)
		return fail(t, -EBUSY,
		    "function %s is used by eni %s; delete that first ('obctl eni del %s')",
		    r->name, names_get(&c->enis, eni), names_get(&c->enis, eni));
	ob_capture_vif_gone(card_fn_vif(c, idx));
	c->conf.models->destroy(c->fn[idx]);
	c->fn[idx] = NULL;
	namespaces_of_gone(c, idx);
	forget(c, idx);
	rte_log(RTE_LOG_INFO, card_log, "card: function %s is gone\n", r->name);
	return 0;
}

/* The guest's driver has read the rest of it: only the link may change under it. */
static int set(struct ob_card *c, const void *rec, struct text *t)
{
	const struct ob_bus_function *r = rec;
	struct ob_bus_function *now;
	uint32_t idx;
	int rc = lookup(t, &c->functions, "function", "name", r->name, &idx);

	if (rc < 0)
		return rc;
	now = &c->fn_conf[idx];
	if (r->type == now->type && (rc = check(c, r, t)) < 0)
		return rc;
	if (r->type != now->type || r->transport != now->transport ||
	    (r->socket[0] && strcmp(r->socket, now->socket) != 0) ||
	    (r->port[0] && strcmp(r->port, now->port) != 0) ||
	    (!mac_is_zero(r->mac) && memcmp(r->mac, now->mac, 6) != 0) ||
	    (r->n_pairs && r->n_pairs != now->n_pairs) ||
	    (r->queue_size && r->queue_size != now->queue_size) || (r->mtu && r->mtu != now->mtu) ||
	    (r->packed && r->packed != now->packed) ||
	    (r->volume[0] && strcmp(r->volume, now->volume) != 0))
		return fail(t, -ENOTSUP,
		    "only the link of a function can be changed; delete it and add it anew for the "
		    "rest");
	if (r->link != 0 && r->link != now->link) {
		now->link = r->link;
		c->conf.models->set_link(c->fn[idx], r->link == 1);
	}
	return 0;
}

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(t, &c->functions, "function", ((const struct ob_bus_function *)f)->name);
}

static uint8_t state_of(const struct ob_vnet_status *st)
{
	if (st->driver_status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return OB_BUS_FN_BROKEN;
	if (st->driver_status & VIRTIO_CONFIG_S_DRIVER_OK)
		return OB_BUS_FN_RUNNING;
	return st->connected ? OB_BUS_FN_CONNECTED : OB_BUS_FN_WAITING;
}

static void fill(const struct ob_card *c, uint32_t idx, struct ob_bus_function *r)
{
	struct ob_vif_queue_counters q;
	struct ob_vnet_status st;

	*r = c->fn_conf[idx];
	if (is_disk(c, idx)) {
		disk_fill(c, idx, r);
		return;
	}
	c->conf.models->get_status(c->fn[idx], &st);
	r->state = state_of(&st);
	r->device_status = st.driver_status;
	r->active_pairs = st.pairs_in_use;
	r->vif = st.vif_idx;
	r->features = st.negotiated;
	r->mapped_bytes = st.n_bytes;
	r->faults = st.n_faults + st.n_needs_reset;
	r->peer_pid = (uint32_t)st.peer_pid;
	for (unsigned i = 0; i < r->n_pairs * 2u; i++) {
		if (c->conf.models->queue_counters(st.vif_idx, i, &q) < 0)
			continue;
		*(i & 1 ? &r->tx_pkts : &r->rx_pkts) += q.n_pkts;
		*(i & 1 ? &r->tx_bytes : &r->rx_bytes) += q.n_bytes;
	}
	for (unsigned i = 0; i < OB_N_DROPS; i++)
		r->drops += ob_drops_read(st.vif_idx, i);
}

static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_function *want = f;
	uint32_t i = names_next(&c->functions, (uint32_t)*cursor);

	if (i == NAMES_NONE)
		return -ENOENT;
	*cursor = i + 1u;
	if (want->name[0] && strcmp(want->name, names_get(&c->functions, i)) != 0)
		return -EAGAIN;
	fill(c, i, rec);
	return 0;
}

const struct noun noun_function = {.name = "function",
    .record_len = sizeof(struct ob_bus_function),
    .add = add,
    .del = del,
    .set = set,
    .filter = filter,
    .next = next};
