/* SPDX-License-Identifier: BSD-3-Clause */
/* What an ENI has of NAT: its pool, and its NAT64 prefix (RFC 6052). */
#include "nat_priv.h"

#include <errno.h>
#include <stdlib.h>

#define LAYOUT 1

struct record {
	uint32_t pool; /* number + 1; 0: none */
	uint8_t n64_len;
	uint8_t reserved[3];
	uint8_t n64_prefix[16];
};
static_assert(sizeof(struct record) == 24, "arena layout");

struct region {
	struct region_head head;
	struct record record[OB_MAX_ENIS];
};

struct n64 {
	uint8_t len;
	bool well_known;
	uint8_t prefix[16];
};

static struct region *region;
static struct n64 *n64s[OB_MAX_ENIS]; /* RCU */

/* 64:ff9b::/96 */
static const uint8_t well_known[12] = {0x00, 0x64, 0xff, 0x9b};

/* Context: any. */
uint32_t ob_nat_binding(uint32_t eni)
{
	uint32_t pool;

	if (region == NULL || eni >= OB_MAX_ENIS)
		return OB_IDX_NONE;
	pool = __atomic_load_n(&region->record[eni].pool, __ATOMIC_RELAXED);
	return pool == 0 ? OB_IDX_NONE : pool - 1;
}

int ob_nat_bind(uint32_t eni, uint32_t pool, char *err, size_t err_len)
{
	uint32_t old = ob_nat_binding(eni);

	if (ob_eni_get(eni) == NULL)
		return nat_fail(-ENOENT, err, err_len, "the ENI does not exist");
	if (pool != OB_IDX_NONE && ob_nat_pool_get(pool) == NULL)
		return nat_fail(-ENOENT, err, err_len, "the pool does not exist");
	if (pool == old)
		return 0;
	if (pool != OB_IDX_NONE) {
		pool_hold(pool);
		ob_eni_hold(eni);
	}
	__atomic_store_n(
	    &region->record[eni].pool, pool == OB_IDX_NONE ? 0 : pool + 1, __ATOMIC_RELAXED);
	if (old != OB_IDX_NONE) {
		pool_release(old);
		ob_eni_release(eni);
	}
	ob_policy_changed(eni);
	return 0;
}

void bind_changed(uint32_t pool)
{
	for (uint32_t i = 0; region != NULL && i < OB_MAX_ENIS; i++)
		if (ob_nat_binding(i) == pool)
			ob_policy_changed(i);
}

static const char *check_n64(const struct ob_ip *prefix, uint8_t len)
{
	if (len != 32 && len != 40 && len != 48 && len != 56 && len != 64 && len != 96)
		return "a NAT64 prefix has 32, 40, 48, 56, 64 or 96 bits";
	if (prefix->family != AF_INET6 || prefix->b[0] == 0xff)
		return "a NAT64 prefix is unicast IPv6";
	if (prefix->b[8] != 0)
		return "bits 64 to 71 of a NAT64 prefix must be zero";
	for (unsigned i = len / 8; i < 16; i++)
		if (prefix->b[i] != 0)
			return "the prefix has bits beyond its length";
	return NULL;
}

static int publish(uint32_t eni, const uint8_t *prefix, uint8_t len)
{
	struct n64 *n = NULL, *old = n64s[eni];

	if (len > 0) {
		n = calloc(1, sizeof(*n));
		if (n == NULL)
			return -ENOMEM;
		n->len = len;
		memcpy(n->prefix, prefix, 16);
		n->well_known = len == 96 && memcmp(prefix, well_known, 12) == 0;
	}
	ob_rcu_publish(&n64s[eni], n);
	ob_rcu_defer(free, old);
	return 0;
}

int ob_nat64_set(uint32_t eni, const struct ob_ip *prefix, uint8_t len, char *err, size_t err_len)
{
	static const uint8_t none[16];
	struct record *r;
	const char *why;
	int rc;

	if (ob_eni_get(eni) == NULL)
		return nat_fail(-ENOENT, err, err_len, "the ENI does not exist");
	why = len > 0 ? check_n64(prefix, len) : NULL;
	if (why != NULL)
		return nat_fail(-EINVAL, err, err_len, why);
	r = &region->record[eni];
	if (r->n64_len == len && (len == 0 || memcmp(r->n64_prefix, prefix->b, 16) == 0))
		return 0;
	rc = publish(eni, len > 0 ? prefix->b : none, len);
	if (rc < 0)
		return rc;
	if (r->n64_len == 0)
		ob_eni_hold(eni);
	else if (len == 0)
		ob_eni_release(eni);
	memcpy(r->n64_prefix, len > 0 ? prefix->b : none, 16);
	r->n64_len = len;
	ob_policy_changed(eni);
	return 0;
}

uint8_t ob_nat64_get(uint32_t eni, struct ob_ip *prefix)
{
	memset(prefix, 0, sizeof(*prefix));
	if (region == NULL || eni >= OB_MAX_ENIS || region->record[eni].n64_len == 0)
		return 0;
	prefix->family = AF_INET6;
	memcpy(prefix->b, region->record[eni].n64_prefix, 16);
	return region->record[eni].n64_len;
}

/* ---- worker ---- */

/* RFC 6052, 2.2: behind the prefix, stepping over bits 64 to 71. */
static unsigned pos(unsigned len, unsigned i)
{
	unsigned at = len / 8 + i;

	return len < 96 && at >= 8 ? at + 1 : at;
}

/* RFC 6052, 3.1: the well-known prefix does not stand for addresses that are not global. Those for documentation pass: nobody is
 * harmed by them. */
static bool is_global(const uint8_t a[4])
{
	return a[0] != 10 && !(a[0] == 172 && (a[1] & 0xf0) == 16) &&
	       !(a[0] == 192 && a[1] == 168) && !(a[0] == 100 && (a[1] & 0xc0) == 64) &&
	       !(a[0] == 169 && a[1] == 254);
}

bool ob_nat64_to_ip4(uint16_t eni, const uint8_t ip6[16], rte_be32_t *ip4)
{
	const struct n64 *n = eni < OB_MAX_ENIS ? ob_rcu_load(&n64s[eni]) : NULL;
	uint8_t a[4];

	if (n == NULL || memcmp(ip6, n->prefix, n->len / 8) != 0)
		return false;
	if (n->len < 96 && ip6[8] != 0)
		return false;
	for (unsigned i = 0; i < 4; i++)
		a[i] = ip6[pos(n->len, i)];
	memcpy(ip4, a, 4);
	return nat_ip_ok(*ip4) && (!n->well_known || is_global(a));
}

bool ob_nat64_to_ip6(uint16_t eni, rte_be32_t ip4, uint8_t ip6[16])
{
	const struct n64 *n = eni < OB_MAX_ENIS ? ob_rcu_load(&n64s[eni]) : NULL;
	uint8_t a[4];

	memcpy(a, &ip4, 4);
	if (n == NULL || !nat_ip_ok(ip4) || (n->well_known && !is_global(a)))
		return false;
	memcpy(ip6, n->prefix, 16);
	for (unsigned i = 0; i < 4; i++)
		ip6[pos(n->len, i)] = a[i];
	return true;
}

/* ---- start and end ---- */

int bind_init(struct ob_arena *arena)
{
	bool fresh;
	void *p;
	int rc;

	rc = ob_arena_region(arena, "nat.bind", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	for (uint32_t i = 0; i < OB_MAX_ENIS; i++) {
		struct record *r = &region->record[i];
		uint32_t pool = ob_nat_binding(i);
		struct ob_ip prefix;
		uint8_t len = ob_nat64_get(i, &prefix);

		r->pool = 0;
		r->n64_len = 0;
		if (pool != OB_IDX_NONE)
			ob_nat_bind(i, pool, NULL, 0);
		if (len > 0 && ob_nat64_set(i, &prefix, len, NULL, 0) == -ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

void bind_fini(void)
{
	for (uint32_t i = 0; i < OB_MAX_ENIS; i++)
		publish(i, NULL, 0);
	region = NULL;
}
