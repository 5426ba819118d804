/* SPDX-License-Identifier: BSD-3-Clause */
/* What the objects share: the two exact-match tables, record numbers, start and end. */
#include "policy_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Entries of deleted keys wait for readers, so there is room for more than the objects. */
#define SPARE_KEYS 65536u

struct ob_map *policy_map, *policy_keys;
static void (*on_change)(uint32_t eni);

int policy_fail(int rc, char *err, size_t len, const char *why)
{
	if (err != NULL && len > 0)
		snprintf(err, len, "%s", why);
	return rc;
}

bool ip_is_unicast(const struct ob_ip *ip)
{
	static const uint8_t zero[16];

	if (memcmp(ip->b, zero, 16) == 0)
		return false;
	/* An IPv4 address has nothing behind its four bytes: keys are compared whole. */
	if (ip->family == AF_INET)
		return ip->b[0] < 224 && ip->b[0] != 127 && memcmp(ip->b + 4, zero, 12) == 0;
	return ip->family == AF_INET6 && ip->b[0] != 0xff;
}

struct ob_key control_key(
    enum control_key kind, uint16_t vnet, uint8_t prefix_len, const struct ob_ip *ip)
{
	struct ob_key k = {{(uint64_t)kind << 56 | (uint64_t)ip->family << 48 |
			    (uint64_t)prefix_len << 32 | vnet}};

	memcpy(&k.w[1], ip->b, 16);
	return k;
}

void ob_policy_set_on_change(void (*fn)(uint32_t eni))
{
	on_change = fn;
}

void ob_policy_changed(uint32_t eni)
{
	if (on_change != NULL)
		on_change(eni);
}

static void changed(uint16_t vnet, bool reach)
{
	if (on_change == NULL)
		return;
	for (uint32_t i = 0; i < eni_n_high(); i++) {
		const struct ob_eni_cfg *eni = ob_eni_get(i);

		if (eni != NULL && (eni->vnet == vnet || (reach && route_leads(eni->vnet, vnet))))
			on_change(i);
	}
}

void changed_vnet(uint16_t vnet)
{
	changed(vnet, false);
}

void changed_reach(uint16_t vnet)
{
	changed(vnet, true);
}

static void destroy_lpm(void *p)
{
	ob_lpm_destroy(p);
}

void defer_lpm(struct ob_lpm *lpm)
{
	ob_rcu_defer(destroy_lpm, lpm);
}

void ob_policy_find(const struct ob_key *keys, uint32_t *values, unsigned n)
{
	ob_map_get_burst(policy_map, keys, values, n);
}

void slots_init(struct slots *s, uint32_t *n_high, uint32_t max)
{
	memset(s, 0, sizeof(*s));
	s->n_high = n_high;
	s->max = max;
}

void slots_fini(struct slots *s)
{
	free(s->free);
	memset(s, 0, sizeof(*s));
}

uint32_t slots_take(struct slots *s)
{
	if (s->n_free > 0)
		return s->free[--s->n_free];
	return *s->n_high < s->max ? (*s->n_high)++ : OB_IDX_NONE;
}

void slots_put(struct slots *s, uint32_t idx)
{
	if (s->n_free == s->cap) {
		uint32_t cap = s->cap ? 2 * s->cap : 64;
		uint32_t *p = realloc(s->free, cap * sizeof(*p));

		if (p == NULL)
			return; /* the number is lost until the next start */
		s->free = p;
		s->cap = cap;
	}
	s->free[s->n_free++] = idx;
}

int ob_policy_init(struct ob_arena *arena)
{
	int rc;

	rc = ob_map_create(
	    OB_MAX_MAPPINGS + OB_MAX_VNETS + OB_MAX_ENIS * (OB_ENI_MAX_ADDRS + 1) + SPARE_KEYS,
	    &policy_map);
	if (rc == 0)
		rc =
		    ob_map_create(OB_MAX_MAPPINGS + 2 * OB_MAX_ROUTES + OB_MAX_TARGETS + SPARE_KEYS,
			&policy_keys);
	if (rc == 0)
		rc = vnet_init(arena);
	if (rc == 0)
		rc = eni_init(arena);
	if (rc == 0)
		rc = target_init(arena);
	if (rc == 0)
		rc = route_init(arena);
	if (rc == 0)
		rc = mapping_init(arena);
	if (rc < 0)
		ob_policy_fini();
	return rc;
}

void ob_policy_fini(void)
{
	mapping_fini();
	route_fini();
	target_fini();
	eni_fini();
	vnet_fini();
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	ob_map_destroy(policy_map);
	ob_map_destroy(policy_keys);
	policy_map = NULL;
	policy_keys = NULL;
}
