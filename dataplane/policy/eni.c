/* SPDX-License-Identifier: BSD-3-Clause */
#include "policy_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_ether.h>

#define LAYOUT	 1
#define MAX_KEYS (OB_ENI_MAX_ADDRS + 1)
#define MIN_MTU4 576  /* RFC 791: every host takes that much */
#define MIN_MTU6 1280 /* RFC 8200, 5 */

struct record {
	uint32_t used;
	struct ob_eni_cfg cfg;
};
static_assert(sizeof(struct ob_eni_cfg) == 356, "arena layout");

struct region {
	struct region_head head;
	struct record record[OB_MAX_ENIS];
};

/* The virtual router's MAC where the ENI names none: locally administered. */
static const uint8_t default_router_mac[6] = {0x02, 0x6f, 0x62, 0x00, 0x00, 0x01};

static struct region *region;
static struct ob_eni *enis[OB_MAX_ENIS];   /* RCU */
static struct ob_eni *by_vif[OB_MAX_VIFS]; /* RCU, the same objects */
static uint32_t refs[OB_MAX_ENIS];	   /* of other folders */

const struct ob_eni *ob_eni_at(uint32_t idx)
{
	return idx < OB_MAX_ENIS ? ob_rcu_load(&enis[idx]) : NULL;
}

const struct ob_eni *ob_eni_of_vif(uint16_t vif)
{
	return vif < OB_MAX_VIFS ? ob_rcu_load(&by_vif[vif]) : NULL;
}

const struct ob_eni_cfg *ob_eni_get(uint32_t idx)
{
	if (region == NULL || idx >= OB_MAX_ENIS || !region->record[idx].used)
		return NULL;
	return &region->record[idx].cfg;
}

uint32_t eni_n_high(void)
{
	return region != NULL ? region->head.n_high : 0;
}

int ob_eni_hold(uint32_t idx)
{
	if (ob_eni_get(idx) == NULL)
		return -ENOENT;
	refs[idx]++;
	return 0;
}

void ob_eni_release(uint32_t idx)
{
	assert(refs[idx] > 0);
	refs[idx]--;
}

static bool good_mac(const uint8_t mac[6])
{
	struct rte_ether_addr a;

	memcpy(&a, mac, 6);
	return rte_is_valid_assigned_ether_addr(&a);
}

static const char *check_ips(const struct ob_ip *ip, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!ip_is_unicast(&ip[i]))
			return "addresses of the ENI, its routers and DNS servers must be unicast";
		for (unsigned j = 0; j < i; j++)
			if (ob_ip_equal(&ip[i], &ip[j]))
				return "an address is given twice";
	}
	return NULL;
}

static const char *check(const struct ob_eni_cfg *cfg)
{
	static const uint8_t none[6];
	const char *why;
	bool has6 = false;

	if (cfg->vif >= OB_MAX_VIFS)
		return "function number out of range";
	if (!good_mac(cfg->mac))
		return "the MAC address must be unicast and not zero";
	if (memcmp(cfg->router_mac, none, 6) != 0 && !good_mac(cfg->router_mac))
		return "the router's MAC address must be unicast";
	if (memcmp(cfg->router_mac, cfg->mac, 6) == 0)
		return "the router's MAC address is the ENI's own";
	if (cfg->n_addrs > OB_ENI_MAX_ADDRS || cfg->n_routers > OB_ENI_MAX_ROUTERS ||
	    cfg->n_dns > OB_ENI_MAX_ROUTERS)
		return "too many addresses, routers or DNS servers";
	why = check_ips(cfg->addr, cfg->n_addrs);
	if (why == NULL)
		why = check_ips(cfg->router, cfg->n_routers);
	if (why == NULL)
		why = check_ips(cfg->dns, cfg->n_dns);
	if (why != NULL)
		return why;
	for (unsigned i = 0; i < cfg->n_addrs; i++) {
		has6 |= cfg->addr[i].family == AF_INET6;
		if (cfg->prefix_len[i] == 0 ||
		    cfg->prefix_len[i] > (cfg->addr[i].family == AF_INET ? 32 : 128))
			return "an address needs a prefix length of 1 to 32, or 1 to 128 for IPv6";
		for (unsigned j = 0; j < cfg->n_routers; j++)
			if (ob_ip_equal(&cfg->addr[i], &cfg->router[j]))
				return "the router has the ENI's own address";
	}
	if (cfg->mtu < (has6 ? MIN_MTU6 : MIN_MTU4))
		return "the MTU must be at least 576, with IPv6 addresses 1280";
	return NULL;
}

static struct ob_key ca_key(uint16_t vnet, const struct ob_ip *ip)
{
	rte_be32_t ip4;

	if (ip->family == AF_INET6)
		return ob_key_ca6(vnet, ip->b);
	memcpy(&ip4, ip->b, 4);
	return ob_key_ca4(vnet, ip4);
}

/* All keys under which workers find the ENI; the first is that of its MAC. */
static unsigned keys_of(
    uint32_t idx, const struct ob_eni_cfg *cfg, uint32_t vni, struct ob_key *key, uint32_t *value)
{
	unsigned n = 0;

	key[n] = ob_key_mac(vni, cfg->mac);
	value[n++] = idx;
	for (unsigned i = 0; i < cfg->n_addrs; i++) {
		key[n] = ca_key(cfg->vnet, &cfg->addr[i]);
		value[n++] = OB_CA_ENI | idx;
	}
	return n;
}

static bool has_key(const struct ob_key *key, unsigned n, const struct ob_key *k)
{
	for (unsigned i = 0; i < n; i++)
		if (memcmp(&key[i], k, sizeof(*k)) == 0)
			return true;
	return false;
}

/* Takes the keys of 'cfg' away that are not in 'keep'. */
static void del_keys(uint32_t idx, const struct ob_eni_cfg *cfg, uint32_t vni,
    const struct ob_key *keep, unsigned n_keep)
{
	struct ob_key key[MAX_KEYS];
	uint32_t value[MAX_KEYS];
	unsigned n = keys_of(idx, cfg, vni, key, value);

	for (unsigned i = 0; i < n; i++) {
		if (has_key(keep, n_keep, &key[i]) || ob_map_get(policy_map, &key[i]) != value[i])
			continue;
		if (i == 0 || !mapping_uncover(cfg->vnet, &cfg->addr[i - 1]))
			ob_map_del(policy_map, &key[i]);
	}
}

static void put_ip(
    const struct ob_ip *ip, uint8_t *n4, rte_be32_t *v4, uint8_t *n6, uint8_t (*v6)[16])
{
	if (ip->family == AF_INET)
		memcpy(&v4[(*n4)++], ip->b, 4);
	else
		memcpy(v6[(*n6)++], ip->b, 16);
}

/* The virtual router's link-local address: the one that it was given, or one made from its MAC. */
static void link_local(const struct ob_eni *e, uint8_t out[16])
{
	static const uint8_t prefix[8] = {0xfe, 0x80};
	const uint8_t *mac = e->router_mac;

	for (unsigned i = 0; i < e->n_router6; i++) {
		const uint8_t *r = e->router6[i];

		if (r[0] == 0xfe && (r[1] & 0xc0) == 0x80) {
			memcpy(out, r, 16);
			return;
		}
	}
	memcpy(out, prefix, 8);
	memcpy(out + 8, mac, 3);
	out[8] ^= 2;
	out[11] = 0xff;
	out[12] = 0xfe;
	memcpy(out + 13, mac + 3, 3);
}

static struct ob_eni *compile(uint32_t idx, const struct ob_eni_cfg *cfg)
{
	static const uint8_t none[6];
	struct ob_eni *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->idx = (uint16_t)idx;
	e->vif = cfg->vif;
	e->vnet = cfg->vnet;
	e->mtu = cfg->mtu;
	e->lease_s = cfg->lease_s ? cfg->lease_s : 3600;
	memcpy(e->mac, cfg->mac, 6);
	memcpy(e->router_mac,
	    memcmp(cfg->router_mac, none, 6) ? cfg->router_mac : default_router_mac, 6);
	for (unsigned i = 0; i < cfg->n_addrs; i++) {
		if (cfg->addr[i].family == AF_INET)
			e->plen4[e->n_addr4] = cfg->prefix_len[i];
		else
			e->plen6[e->n_addr6] = cfg->prefix_len[i];
		put_ip(&cfg->addr[i], &e->n_addr4, e->addr4, &e->n_addr6, e->addr6);
	}
	for (unsigned i = 0; i < cfg->n_routers; i++)
		put_ip(&cfg->router[i], &e->n_router4, e->router4, &e->n_router6, e->router6);
	for (unsigned i = 0; i < cfg->n_dns; i++)
		put_ip(&cfg->dns[i], &e->n_dns4, e->dns4, &e->n_dns6, e->dns6);
	link_local(e, e->router_ll);
	return e;
}

static void publish(uint32_t idx, struct ob_eni *e)
{
	struct ob_eni *old = enis[idx];

	if (old != NULL && (e == NULL || old->vif != e->vif))
		ob_rcu_publish(&by_vif[old->vif], NULL);
	ob_rcu_publish(&enis[idx], e);
	if (e != NULL)
		ob_rcu_publish(&by_vif[e->vif], e);
	ob_rcu_defer(free, old);
}

/* Everything that can be refused, before anything is changed. */
static int admit(uint32_t idx, const struct ob_eni_cfg *cfg, char *err, size_t err_len)
{
	struct ob_key key[MAX_KEYS];
	uint32_t value[MAX_KEYS];
	const char *why;
	unsigned n;

	if (idx >= OB_MAX_ENIS)
		return policy_fail(-EINVAL, err, err_len, "ENI number out of range");
	why = check(cfg);
	if (why != NULL)
		return policy_fail(-EINVAL, err, err_len, why);
	if (ob_vnet_get(cfg->vnet) == NULL)
		return policy_fail(-ENOENT, err, err_len, "the ENI's VNET does not exist");
	if (by_vif[cfg->vif] != NULL && by_vif[cfg->vif]->idx != idx)
		return policy_fail(-EEXIST, err, err_len, "another ENI is bound to the function");
	n = keys_of(idx, cfg, ob_vnet_get(cfg->vnet)->vni, key, value);
	for (unsigned i = 0; i < n; i++) {
		uint32_t at = ob_map_get(policy_map, &key[i]);

		if (at == OB_TABLE_MISS || at == value[i])
			continue;
		if (i == 0)
			return policy_fail(
			    -EEXIST, err, err_len, "another ENI of the VNET has this MAC address");
		if (at & OB_CA_ENI)
			return policy_fail(-EEXIST, err, err_len,
			    "another ENI of the VNET has one of the addresses");
	}
	return 0;
}

/* Who may have sessions with the ENI's addresses hears of it; before them only mappings of the same addresses mattered. */
static void report(uint32_t idx, const struct ob_eni_cfg *old, const struct ob_eni_cfg *cfg)
{
	bool covers = false;

	for (unsigned i = 0; i < cfg->n_addrs; i++)
		covers |= mapping_exists(cfg->vnet, &cfg->addr[i]);
	if (old != NULL && old->vnet != cfg->vnet)
		changed_reach(old->vnet);
	if (old != NULL || covers)
		changed_reach(cfg->vnet);
	else
		ob_policy_changed(idx);
}

int ob_eni_set(uint32_t idx, const struct ob_eni_cfg *cfg, char *err, size_t err_len)
{
	const struct ob_eni_cfg *old = ob_eni_get(idx);
	struct ob_key key[MAX_KEYS], old_key[MAX_KEYS];
	uint32_t value[MAX_KEYS];
	unsigned n, n_old = 0, done;
	struct ob_eni_cfg before;
	struct ob_eni *e;
	uint32_t vni;
	int rc;

	rc = admit(idx, cfg, err, err_len);
	if (rc < 0)
		return rc;
	if (old != NULL) {
		if (memcmp(old, cfg, sizeof(*cfg)) == 0)
			return 0;
		before = *old;
	}
	vni = ob_vnet_get(cfg->vnet)->vni;
	if (old != NULL)
		n_old = keys_of(idx, old, ob_vnet_get(old->vnet)->vni, old_key, value);
	n = keys_of(idx, cfg, vni, key, value);
	e = compile(idx, cfg);
	if (e == NULL)
		return -ENOMEM;
	for (done = 0; done < n; done++) {
		rc = ob_map_set(policy_map, &key[done], value[done]);
		if (rc < 0)
			goto err_keys;
	}
	/* First the keys, then the object: a worker that finds a key early sees the old object, or none. */
	publish(idx, e);
	ob_vnet_hold(cfg->vnet);
	if (old != NULL) {
		del_keys(idx, old, ob_vnet_get(old->vnet)->vni, key, n);
		ob_vnet_release(old->vnet);
	}
	region->record[idx].cfg = *cfg;
	region->record[idx].used = 1;
	if (idx >= region->head.n_high)
		region->head.n_high = idx + 1;
	report(idx, old != NULL ? &before : NULL, cfg);
	return 0;

err_keys:
	del_keys(idx, cfg, vni, old_key, n_old);
	free(e);
	return rc;
}

int ob_eni_del(uint32_t idx, char *err, size_t err_len)
{
	const struct ob_eni_cfg *cfg = ob_eni_get(idx);

	if (cfg == NULL)
		return policy_fail(-ENOENT, err, err_len, "no such ENI");
	if (refs[idx] > 0)
		return policy_fail(-EBUSY, err, err_len, "NAT still uses the ENI");
	publish(idx, NULL);
	del_keys(idx, cfg, ob_vnet_get(cfg->vnet)->vni, NULL, 0);
	ob_vnet_release(cfg->vnet);
	region->record[idx].used = 0;
	ob_policy_changed(idx);
	changed_reach(cfg->vnet);
	return 0;
}

int eni_add_vni_keys(uint16_t vnet, uint32_t vni)
{
	for (uint32_t i = 0; region != NULL && i < region->head.n_high; i++) {
		const struct ob_eni_cfg *cfg = ob_eni_get(i);
		struct ob_key key;
		int rc;

		if (cfg == NULL || cfg->vnet != vnet)
			continue;
		key = ob_key_mac(vni, cfg->mac);
		rc = ob_map_set(policy_map, &key, i);
		if (rc < 0) {
			eni_del_vni_keys(vnet, vni);
			return rc;
		}
	}
	return 0;
}

void eni_del_vni_keys(uint16_t vnet, uint32_t vni)
{
	for (uint32_t i = 0; region != NULL && i < region->head.n_high; i++) {
		const struct ob_eni_cfg *cfg = ob_eni_get(i);
		struct ob_key key;

		if (cfg == NULL || cfg->vnet != vnet)
			continue;
		key = ob_key_mac(vni, cfg->mac);
		ob_map_del(policy_map, &key);
	}
}

int eni_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "policy.eni", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	if (region->head.n_high > OB_MAX_ENIS)
		return -EPROTO;
	for (uint32_t i = 0; i < region->head.n_high; i++) {
		struct ob_eni_cfg cfg = region->record[i].cfg;

		if (!region->record[i].used)
			continue;
		region->record[i].used = 0;
		rc = ob_eni_set(i, &cfg, NULL, 0);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

void eni_fini(void)
{
	for (uint32_t i = 0; i < OB_MAX_ENIS; i++) {
		publish(i, NULL);
		refs[i] = 0;
	}
	region = NULL;
}
