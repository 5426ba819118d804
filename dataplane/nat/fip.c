/* SPDX-License-Identifier: BSD-3-Clause */
/* Floating IPs: a public address for one private address, whatever the protocol. Its record is the address itself. */
#include "nat_priv.h"

#include <errno.h>

static uint32_t n_fips[OB_MAX_ENIS]; /* read by workers: most ENIs have none */

bool fip_any(uint16_t eni)
{
	return __atomic_load_n(&n_fips[eni], __ATOMIC_RELAXED) > 0;
}

static struct ob_nat_fip_cfg cfg_of(const struct addr *a)
{
	struct ob_nat_fip_cfg c = {.vnet = a->vnet, .eni = a->eni, .public_ip = a->ip};

	memcpy(c.mac, a->mac, 6);
	c.private_ip.family = a->family;
	memcpy(c.private_ip.b, a->private_ip, 16);
	return c;
}

static uint32_t find(uint16_t vnet, rte_be32_t ip)
{
	uint32_t at = nat_addrs != NULL ? addr_find(vnet, ip) : OB_IDX_NONE;

	return at != OB_IDX_NONE && nat_addrs->rec[at].kind == ADDR_FIP ? at : OB_IDX_NONE;
}

static bool eni_owns(const struct ob_eni_cfg *eni, const struct ob_ip *ip)
{
	for (unsigned i = 0; i < eni->n_addrs; i++)
		if (ob_ip_equal(&eni->addr[i], ip))
			return true;
	return false;
}

static int admit(const struct ob_nat_fip_cfg *cfg, uint32_t at, char *err, size_t err_len)
{
	const struct ob_eni_cfg *eni = ob_eni_get(cfg->eni);
	struct ob_key priv;
	uint32_t other;

	if (!nat_ip_ok(cfg->public_ip))
		return nat_fail(-EINVAL, err, err_len, "the public address must be unicast IPv4");
	if (cfg->mac[0] & 1)
		return nat_fail(-EINVAL, err, err_len, "the MAC address must be unicast");
	if (cfg->private_ip.family != AF_INET && cfg->private_ip.family != AF_INET6)
		return nat_fail(-EINVAL, err, err_len, "the private address must be IPv4 or IPv6");
	if (eni == NULL)
		return nat_fail(-ENOENT, err, err_len, "the floating IP's ENI does not exist");
	if (ob_vnet_get(cfg->vnet) == NULL)
		return nat_fail(-ENOENT, err, err_len, "the floating IP's VNET does not exist");
	if (!eni_owns(eni, &cfg->private_ip))
		return nat_fail(-ENOENT, err, err_len, "the ENI does not have the private address");
	if (at != OB_IDX_NONE && nat_addrs->rec[at].kind == ADDR_POOL)
		return nat_fail(-EEXIST, err, err_len, "the public address is a pool's");
	if (at != OB_IDX_NONE && nat_addrs->rec[at].kind == ADDR_DYING)
		return nat_fail(
		    -EBUSY, err, err_len, "the public address still carries sessions of a pool");
	priv = nat_private_key(cfg->eni, cfg->vnet, cfg->private_ip.family, cfg->private_ip.b);
	other = ob_map_get(nat_map, &priv);
	if (other != OB_TABLE_MISS && other != at)
		return nat_fail(
		    -EEXIST, err, err_len, "the private address has a floating IP already");
	return 0;
}

static void count(uint16_t eni, int n)
{
	__atomic_store_n(&n_fips[eni], n_fips[eni] + (uint32_t)n, __ATOMIC_RELAXED);
}

/* 'old': the record that it replaces, or OB_IDX_NONE. Workers read records in place, so none is ever edited. */
static int add(const struct ob_nat_fip_cfg *cfg, uint32_t old, char *err, size_t err_len)
{
	struct addr a = {.kind = ADDR_FIP,
	    .vnet = cfg->vnet,
	    .eni = cfg->eni,
	    .ip = cfg->public_ip,
	    .family = cfg->private_ip.family};
	uint32_t idx;
	int rc;

	nat_mac(a.mac, cfg->mac);
	memcpy(a.private_ip, cfg->private_ip.b, 16);
	rc = addr_new(&a, &idx);
	if (rc < 0)
		return nat_fail(rc, err, err_len, "too many public addresses");
	rc = addr_show(idx);
	if (rc < 0) {
		addr_kill(idx);
		if (old != OB_IDX_NONE)
			addr_own(old);
		return rc;
	}
	ob_eni_hold(cfg->eni);
	ob_vnet_hold(cfg->vnet);
	count(cfg->eni, 1);
	return 0;
}

static void retire(uint32_t at)
{
	uint16_t eni = nat_addrs->rec[at].eni;

	addr_kill(at);
	count(eni, -1);
	ob_eni_release(eni);
	ob_vnet_release(nat_addrs->rec[at].vnet);
	ob_policy_changed(eni);
}

int ob_nat_fip_set(const struct ob_nat_fip_cfg *cfg, char *err, size_t err_len)
{
	struct ob_nat_fip_cfg old;
	uint8_t mac[6];
	uint32_t at;
	int rc;

	addr_reap();
	at = addr_find(cfg->vnet, cfg->public_ip);
	rc = admit(cfg, at, err, err_len);
	if (rc < 0)
		return rc;
	if (at != OB_IDX_NONE) {
		old = cfg_of(&nat_addrs->rec[at]);
		nat_mac(mac, cfg->mac);
		if (memcmp(old.mac, mac, 6) == 0 && old.eni == cfg->eni &&
		    ob_ip_equal(&old.private_ip, &cfg->private_ip))
			return 0;
	}
	rc = add(cfg, at, err, err_len);
	if (rc == 0 && at != OB_IDX_NONE)
		retire(at);
	return rc;
}

int ob_nat_fip_del(uint16_t vnet, rte_be32_t public_ip)
{
	uint32_t at = find(vnet, public_ip);

	if (at == OB_IDX_NONE)
		return -ENOENT;
	retire(at);
	return 0;
}

int ob_nat_fip_get(uint16_t vnet, rte_be32_t public_ip, struct ob_nat_fip_cfg *out)
{
	uint32_t at = find(vnet, public_ip);

	if (at == OB_IDX_NONE)
		return -ENOENT;
	*out = cfg_of(&nat_addrs->rec[at]);
	return 0;
}

int ob_nat_fip_next(uint32_t *cursor, struct ob_nat_fip_cfg *out)
{
	while (nat_addrs != NULL && *cursor < nat_addrs->head.n_high) {
		const struct addr *a = &nat_addrs->rec[(*cursor)++];

		if (a->kind == ADDR_FIP) {
			*out = cfg_of(a);
			return 0;
		}
	}
	return -ENOENT;
}

int fip_init(void)
{
	for (uint32_t i = 0; i < nat_addrs->head.n_high; i++) {
		struct addr *a = &nat_addrs->rec[i];
		struct ob_nat_fip_cfg cfg;
		int rc;

		if (a->kind != ADDR_FIP)
			continue;
		cfg = cfg_of(a);
		rc = admit(&cfg, i, NULL, 0);
		if (rc == 0)
			rc = addr_show(i);
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0) {
			addr_kill(i);
			continue;
		}
		ob_eni_hold(a->eni);
		ob_vnet_hold(a->vnet);
		count(a->eni, 1);
	}
	return 0;
}

void fip_fini(void)
{
	memset(n_fips, 0, sizeof(n_fips));
}
