/* SPDX-License-Identifier: BSD-3-Clause */
/* What a group or a tag must be, whatever else there is. */
#include "acl_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

int acl_fail(int rc, char *err, size_t len, const char *fmt, ...)
{
	va_list ap;

	if (err == NULL || len == 0)
		return rc;
	va_start(ap, fmt);
	vsnprintf(err, len, fmt, ap);
	va_end(ap);
	return rc;
}

bool acl_proto_has_ports(unsigned proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

unsigned acl_icmp_of(uint8_t family)
{
	return family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

bool acl_ranges_bind(const struct ob_acl_range *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (r[i].lo == 0 && r[i].hi == UINT16_MAX)
			return false;
	return n > 0;
}

static const char *check_prefix(const struct ob_acl_prefix *p, uint8_t family)
{
	unsigned bits = family == AF_INET ? 32 : 128;

	if (p->len > bits)
		return family == AF_INET ? "a prefix is longer than 32 bits"
					 : "a prefix is longer than 128 bits";
	for (unsigned i = p->len / 8; i < 16; i++) {
		unsigned keep = i == p->len / 8 ? p->len % 8 : 0;

		if (p->b[i] & (0xff >> keep))
			return "a prefix has bits set beyond its length";
	}
	return NULL;
}

static const char *check_prefixes(const struct ob_acl_prefix *p, uint32_t n, uint8_t family)
{
	const char *why = NULL;

	for (uint32_t i = 0; i < n && why == NULL; i++)
		why = check_prefix(&p[i], family);
	return why;
}

static const char *check_ranges(const struct ob_acl_range *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (r[i].lo > r[i].hi)
			return "a range ends before it starts";
	return NULL;
}

static const char *check_tags(const uint16_t *tag, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (tag[i] >= OB_ACL_MAX_TAGS)
			return "a tag number is out of range";
	return NULL;
}

/* ICMP types and codes: for no protocol named, or just for the family's ICMP. */
static bool only_icmp(const struct ob_acl_rule *r, uint8_t family)
{
	unsigned icmp = acl_icmp_of(family);
	bool any = true, other = false;

	for (unsigned i = 0; i < 4; i++) {
		any &= r->protos[i] == 0;
		other |= (r->protos[i] & ~(icmp / 64 == i ? 1ull << icmp % 64 : 0)) != 0;
	}
	return any || !other;
}

static const char *check_rule(const struct ob_acl_rule *r, uint8_t family)
{
	const char *why;

	if (r->action > OB_ACL_PERMIT || r->terminate > 1)
		return "the action is neither permit nor deny, terminating or not";
	why = check_prefixes(r->src, r->n_src, family);
	if (why == NULL)
		why = check_prefixes(r->dst, r->n_dst, family);
	if (why == NULL)
		why = check_tags(r->src_tags, r->n_src_tags);
	if (why == NULL)
		why = check_tags(r->dst_tags, r->n_dst_tags);
	if (why == NULL)
		why = check_ranges(r->sports, r->n_sports);
	if (why == NULL)
		why = check_ranges(r->dports, r->n_dports);
	if (why == NULL)
		why = check_ranges(r->icmp, r->n_icmp);
	if (why != NULL)
		return why;
	if (r->n_icmp > 0 && (r->n_sports > 0 || r->n_dports > 0))
		return "ICMP types and ports are in one rule";
	if (r->n_icmp > 0 && !only_icmp(r, family))
		return "ICMP types are given for another protocol";
	return NULL;
}

int acl_check_group(const struct ob_acl_group_cfg *cfg, char *err, size_t err_len)
{
	uint64_t prefixes = 0, ranges = 0, tags = 0;

	if (cfg->family != AF_INET && cfg->family != AF_INET6)
		return acl_fail(
		    -EINVAL, err, err_len, "the address family is neither IPv4 nor IPv6");
	if (cfg->n_rules > OB_ACL_MAX_RULES)
		return acl_fail(-EINVAL, err, err_len, "more than %u rules", OB_ACL_MAX_RULES);
	for (uint32_t i = 0; i < cfg->n_rules; i++) {
		const struct ob_acl_rule *r = &cfg->rules[i];
		const char *why;

		/* Sizes before contents: a list is not looked into before its length is known to be sane. */
		prefixes += (uint64_t)r->n_src + r->n_dst;
		ranges += (uint64_t)r->n_sports + r->n_dports + r->n_icmp;
		tags += (uint64_t)r->n_src_tags + r->n_dst_tags;
		if (prefixes > OB_ACL_MAX_PREFIXES || ranges > OB_ACL_MAX_RANGES ||
		    tags > OB_ACL_MAX_TAG_USES)
			return acl_fail(-EINVAL, err, err_len,
			    "rule with priority %u: more prefixes, ranges or tags than a group may "
			    "have",
			    r->priority);
		why = check_rule(r, cfg->family);
		if (why != NULL)
			return acl_fail(
			    -EINVAL, err, err_len, "rule with priority %u: %s", r->priority, why);
	}
	return 0;
}

int acl_check_sorted(const struct ob_acl_group_cfg *cfg, char *err, size_t err_len)
{
	for (uint32_t i = 1; i < cfg->n_rules; i++)
		if (cfg->rules[i].priority <= cfg->rules[i - 1].priority)
			return acl_fail(-EINVAL, err, err_len,
			    "rule with priority %u: another one has the same priority",
			    cfg->rules[i].priority);
	return 0;
}

int acl_check_tag(const struct ob_acl_tag_cfg *cfg, char *err, size_t err_len)
{
	const char *why;

	if (cfg->family != AF_INET && cfg->family != AF_INET6)
		return acl_fail(
		    -EINVAL, err, err_len, "the address family is neither IPv4 nor IPv6");
	if (cfg->n_prefixes > OB_ACL_MAX_PREFIXES)
		return acl_fail(
		    -EINVAL, err, err_len, "more than %u prefixes", OB_ACL_MAX_PREFIXES);
	why = check_prefixes(cfg->prefixes, cfg->n_prefixes, cfg->family);
	return why != NULL ? acl_fail(-EINVAL, err, err_len, "%s", why) : 0;
}
