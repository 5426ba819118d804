/* SPDX-License-Identifier: BSD-3-Clause */
#include "follow.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define N_BUCKETS 4096 /* a power of two */
/* States in which the kernel itself would send to the address that it has. */
#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

struct neigh {
	struct ob_ip ip;
	bool usable, stale;
	uint8_t mac[6];
	uint64_t next_ns, backoff_ns; /* the next attempt to resolve it, and the pause after that */
	LIST_HEAD(, way) ways;
	LIST_ENTRY(neigh) link;
};

struct way {
	uint32_t tunnel;
	struct ob_ip remote, local;
	uint16_t port;
	bool dirty;	   /* its route has to be asked for */
	uint64_t asked_ns; /* when it was last */
	uint64_t tx_seen;  /* packets sent at the last tick */
	uint64_t pmtu_until_ns;
	uint16_t pmtu; /* learned; 0: none */
	struct ob_ip src;
	uint32_t route_mtu;
	struct neigh *neigh; /* NULL: no route over the uplink */
	struct ob_nexthop published;
	char why[sizeof(((struct ob_underlay_way *)0)->why)];
	LIST_ENTRY(way) by_neigh, by_remote;
};

struct follow {
	struct follow_ops ops;
	void *ctx;
	int ifindex;
	bool up;
	uint8_t mac[6];
	uint32_t mtu;
	uint64_t now_ns; /* of the last tick */
	uint32_t cursor; /* next tunnel that the tick looks at */
	uint32_t n_ways, n_neigh, n_dirty;
	struct way *way[OB_MAX_TUNNELS];
	LIST_HEAD(, neigh) neighs[N_BUCKETS];
	LIST_HEAD(, way) remotes[N_BUCKETS];
};

static bool same_ip(const struct ob_ip *a, const struct ob_ip *b)
{
	return a->family == b->family && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static unsigned bucket(const struct ob_ip *ip)
{
	uint32_t h = 2166136261u ^ ip->family;

	for (unsigned i = 0; i < sizeof(ip->b); i++)
		h = (h ^ ip->b[i]) * 16777619u;
	return (h ^ h >> 16) & (N_BUCKETS - 1);
}

int follow_create(const struct follow_ops *ops, void *ctx, struct follow **out)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->ops = *ops;
	f->ctx = ctx;
	*out = f;
	return 0;
}

static struct neigh *neigh_find(const struct follow *f, const struct ob_ip *ip)
{
	struct neigh *n;

	LIST_FOREACH (n, &f->neighs[bucket(ip)], link) {
		if (same_ip(&n->ip, ip))
			return n;
	}
	return NULL;
}

static void neigh_take(struct neigh *n, const struct nl_neigh *nl)
{
	n->usable = nl != NULL && nl->has_lladdr && (nl->state & NUD_USABLE);
	n->stale = n->usable && (nl->state & NUD_STALE);
	if (n->usable) {
		memcpy(n->mac, nl->lladdr, sizeof(n->mac));
		n->backoff_ns = n->next_ns = 0;
	}
}

static void neigh_ask(struct follow *f, struct neigh *n)
{
	struct nl_neigh nl;

	neigh_take(n, f->ops.neigh_get(f->ctx, &n->ip, &nl) == 0 ? &nl : NULL);
}

/* Makes the kernel resolve; a neighbour that stays silent is asked less and less often. */
static void neigh_resolve(struct follow *f, struct neigh *n)
{
	if (f->now_ns < n->next_ns)
		return;
	n->backoff_ns = n->backoff_ns == 0 ? FOLLOW_TICK_NS : n->backoff_ns * 2;
	if (n->backoff_ns > FOLLOW_BACKOFF_NS)
		n->backoff_ns = FOLLOW_BACKOFF_NS;
	n->next_ns = f->now_ns + n->backoff_ns;
	(void)f->ops.neigh_use(f->ctx, &n->ip);
}

static struct neigh *neigh_get(struct follow *f, const struct ob_ip *ip)
{
	struct neigh *n = neigh_find(f, ip);

	if (n != NULL)
		return n;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->ip = *ip;
	LIST_INSERT_HEAD(&f->neighs[bucket(ip)], n, link);
	f->n_neigh++;
	neigh_ask(f, n);
	if (!n->usable)
		neigh_resolve(f, n);
	return n;
}

static void way_detach(struct follow *f, struct way *w)
{
	struct neigh *n = w->neigh;

	if (n == NULL)
		return;
	w->neigh = NULL;
	LIST_REMOVE(w, by_neigh);
	if (LIST_EMPTY(&n->ways)) {
		LIST_REMOVE(n, link);
		f->n_neigh--;
		free(n);
	}
}

/* Publishes what the way's parts amount to, if that changed. */
static void way_update(struct follow *f, struct way *w)
{
	struct ob_nexthop nh;
	uint32_t mtu = w->route_mtu && w->route_mtu < f->mtu ? w->route_mtu : f->mtu;

	memset(&nh, 0, sizeof(nh)); /* compared as bytes, padding too */
	if (w->pmtu && w->pmtu < mtu)
		mtu = w->pmtu;
	if (w->neigh != NULL && !w->neigh->usable)
		snprintf(w->why, sizeof(w->why), "the neighbour does not answer (yet)");
	if (!f->up)
		snprintf(w->why, sizeof(w->why), "the uplink's interface is down");
	nh.valid = f->up && w->neigh != NULL && w->neigh->usable;
	if (nh.valid) {
		memcpy(nh.smac, f->mac, sizeof(nh.smac));
		memcpy(nh.dmac, w->neigh->mac, sizeof(nh.dmac));
		nh.src = w->src;
		nh.mtu = (uint16_t)(mtu > UINT16_MAX ? UINT16_MAX : mtu);
		w->why[0] = '\0';
	}
	if (memcmp(&nh, &w->published, sizeof(nh)) != 0) {
		w->published = nh;
		f->ops.publish(f->ctx, w->tunnel, &nh);
	}
}

/* What the route to the remote says. Returns false (and why) if it does not lead over the uplink. */
static bool way_route(struct follow *f, struct way *w, struct nl_route *rt)
{
	int rc = f->ops.route_get(f->ctx, &w->remote, &w->local, rt);

	if (rc == -EADDRNOTAVAIL)
		snprintf(w->why, sizeof(w->why), "the local address is not the card's");
	else if (rc < 0)
		snprintf(w->why, sizeof(w->why), "no route: %s", strerror(-rc));
	else if (rt->type == RTN_LOCAL)
		snprintf(w->why, sizeof(w->why), "the remote address is the card's own");
	else if (rt->type != RTN_UNICAST)
		snprintf(w->why, sizeof(w->why), "the route refuses the remote address");
	else if (rt->oif != f->ifindex)
		snprintf(w->why, sizeof(w->why), "the route leaves by another interface (index %d)",
		    rt->oif);
	else if (w->local.family == 0 && rt->src.family != w->remote.family)
		snprintf(w->why, sizeof(w->why), "the card has no address toward the remote");
	else
		return true;
	return false;
}

static void way_ask(struct follow *f, struct way *w)
{
	const struct ob_ip *via;
	struct nl_route rt;
	struct neigh *n;

	if (w->dirty)
		f->n_dirty--;
	w->dirty = false;
	w->asked_ns = f->now_ns;
	if (!way_route(f, w, &rt)) {
		way_detach(f, w);
		way_update(f, w);
		return;
	}
	w->src = w->local.family ? w->local : rt.src;
	w->route_mtu = rt.mtu;
	via = rt.via.family ? &rt.via : &w->remote;
	if (w->neigh == NULL || !same_ip(&w->neigh->ip, via)) {
		way_detach(f, w);
		n = neigh_get(f, via);
		if (n != NULL) {
			w->neigh = n;
			LIST_INSERT_HEAD(&n->ways, w, by_neigh);
		}
	}
	way_update(f, w);
}

static void way_mark(struct follow *f, struct way *w)
{
	if (!w->dirty)
		f->n_dirty++;
	w->dirty = true;
}

void follow_set_link(struct follow *f, int ifindex, const uint8_t mac[6], uint32_t mtu, bool up)
{
	if (f->ifindex != ifindex || f->up != up)
		follow_routes_changed(f);
	f->ifindex = ifindex;
	memcpy(f->mac, mac, sizeof(f->mac));
	f->mtu = mtu;
	f->up = up;
	for (uint32_t i = 0; i < OB_MAX_TUNNELS; i++) {
		if (f->way[i] != NULL)
			way_update(f, f->way[i]);
	}
}

int follow_add(struct follow *f, uint32_t tunnel, const struct ob_ip *remote,
    const struct ob_ip *local, uint16_t port)
{
	struct way *w;

	if (tunnel >= OB_MAX_TUNNELS || nl_ip_len(remote->family) == 0)
		return -EINVAL;
	w = f->way[tunnel];
	if (w != NULL && same_ip(&w->remote, remote) && same_ip(&w->local, local)) {
		w->port = port;
		/* ob_tunnel_set may have begun a new template: it gets its way again. */
		f->ops.publish(f->ctx, tunnel, &w->published);
		return 0;
	}
	follow_del(f, tunnel);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->tunnel = tunnel;
	w->remote = *remote;
	w->local = *local;
	w->port = port;
	f->way[tunnel] = w;
	f->n_ways++;
	LIST_INSERT_HEAD(&f->remotes[bucket(remote)], w, by_remote);
	way_ask(f, w);
	f->ops.publish(f->ctx, tunnel, &w->published);
	return 0;
}

void follow_del(struct follow *f, uint32_t tunnel)
{
	struct way *w = tunnel < OB_MAX_TUNNELS ? f->way[tunnel] : NULL;

	if (w == NULL)
		return;
	if (w->dirty)
		f->n_dirty--;
	way_detach(f, w);
	LIST_REMOVE(w, by_remote);
	f->way[tunnel] = NULL;
	f->n_ways--;
	free(w);
}

void follow_destroy(struct follow *f)
{
	if (f == NULL)
		return;
	for (uint32_t i = 0; i < OB_MAX_TUNNELS; i++)
		follow_del(f, i);
	free(f);
}

static void neigh_update(struct follow *f, struct neigh *n)
{
	struct way *w;

	LIST_FOREACH (w, &n->ways, by_neigh)
		way_update(f, w);
}

void follow_neigh(struct follow *f, const struct nl_neigh *nl, bool deleted)
{
	struct neigh *n = nl->ifindex == f->ifindex ? neigh_find(f, &nl->ip) : NULL;

	if (n == NULL)
		return;
	neigh_take(n, deleted ? NULL : nl);
	neigh_update(f, n);
}

void follow_routes_changed(struct follow *f)
{
	for (uint32_t i = 0; i < OB_MAX_TUNNELS; i++) {
		if (f->way[i] != NULL)
			way_mark(f, f->way[i]);
	}
}

void follow_resync(struct follow *f)
{
	struct neigh *n;

	for (unsigned i = 0; i < N_BUCKETS; i++) {
		LIST_FOREACH (n, &f->neighs[i], link) {
			neigh_ask(f, n);
			neigh_update(f, n);
		}
	}
	follow_routes_changed(f);
}

int follow_pmtu(struct follow *f, const struct pmtu_news *news, uint64_t now_ns)
{
	int rc = -ENOENT;
	struct way *w;

	LIST_FOREACH (w, &f->remotes[bucket(&news->remote)], by_remote) {
		if (!same_ip(&w->remote, &news->remote) || w->port != news->dst_port ||
		    !w->published.valid || !same_ip(&w->published.src, &news->local))
			continue;
		/* An error may lower the MTU, never raise it: raising is what the expiry is for. */
		if (news->mtu >= w->published.mtu)
			continue;
		w->pmtu = news->mtu;
		w->pmtu_until_ns = now_ns + FOLLOW_PMTU_NS;
		way_update(f, w);
		rc = 0;
	}
	return rc;
}

/* One way's part of a tick. Returns true if it cost a question to the kernel. */
static bool way_tick(struct follow *f, struct way *w)
{
	uint64_t now_ns = f->now_ns;
	uint64_t tx = f->ops.tx_pkts(f->ctx, w->tunnel);
	bool active = tx != w->tx_seen;

	w->tx_seen = tx;
	if (w->pmtu && now_ns >= w->pmtu_until_ns) {
		w->pmtu = 0;
		way_update(f, w);
	}
	if (w->neigh != NULL && (!w->neigh->usable || (w->neigh->stale && active)))
		neigh_resolve(f, w->neigh);
	/* A learned exception shows only when asked for, and matters only while packets go that way. */
	if (!w->dirty &&
	    ((!active && w->neigh != NULL) || now_ns - w->asked_ns < FOLLOW_RECHECK_NS))
		return false;
	way_ask(f, w);
	return true;
}

bool follow_tick(struct follow *f, uint64_t now_ns)
{
	unsigned budget = FOLLOW_PER_TICK;

	f->now_ns = now_ns;
	for (uint32_t i = 0; i < OB_MAX_TUNNELS && budget > 0; i++) {
		struct way *w = f->way[f->cursor];

		f->cursor = (f->cursor + 1) % OB_MAX_TUNNELS;
		if (w != NULL && way_tick(f, w))
			budget--;
	}
	return f->n_dirty > 0;
}

int follow_way(const struct follow *f, uint32_t tunnel, struct ob_underlay_way *out)
{
	const struct way *w = tunnel < OB_MAX_TUNNELS ? f->way[tunnel] : NULL;

	if (w == NULL)
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	out->nexthop = w->published;
	out->pmtu = w->pmtu;
	if (w->neigh != NULL)
		out->via = w->neigh->ip;
	snprintf(out->why, sizeof(out->why), "%s", w->why);
	return 0;
}

uint32_t follow_n_neighbours(const struct follow *f)
{
	return f->n_neigh;
}
