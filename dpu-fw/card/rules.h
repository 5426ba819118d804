/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of a security group between the bus and the classifier. A group of the operator is two of the dataplane, one per family; so is a
 * tag: numbers FAMILY_OF(idx, f). */
#pragma once

#include <netinet/in.h>

#include "check.h"
#include "names.h"
#include "ob_acl.h"

#define MAX_SGS		 ((OB_ACL_MAX_GROUPS - 1) / 2)
#define MAX_TAGS	 (OB_ACL_MAX_TAGS / 2)
#define SCRATCH_GROUP	 (OB_ACL_MAX_GROUPS - 1)   /* to see whether something compiles */
#define PER_FAMILY(i, f) (2 * (uint32_t)(i) + (f)) /* f: 0 IPv4, 1 IPv6 */

struct rules {
	struct ob_acl_group_cfg cfg[2];
	struct ob_acl_rule *rule[2];
	struct ob_acl_prefix *prefix;
	uint16_t *tag;
	struct ob_acl_range *range;
};

/* Reads 'n' rules from a body that came over the bus, checks every field, and parts them by family: an address or an ICMP of the other
 * family is left out, and a rule that then could match nothing. Returns 0; -EINVAL, -ENOENT no such tag, -ENOMEM, with a text that names the
 * rule. The caller frees in any case. */
int rules_read(const uint8_t *body, size_t len, uint32_t n, const struct names *tags,
    struct rules *out, struct text *t);
void rules_free(struct rules *r);

/* The way back: a body of the rules of both families put together again. '*out' is the caller's to free. Returns the number of rules, or
 * -ENOMEM. */
int rules_write(const struct ob_acl_group_cfg *const cfg[2], const struct names *tags,
    uint8_t **out, size_t *len);

/* A tag's prefixes, parted. 'prefix' holds all of them: IPv4 in front, '*n4' of them. As rules_read. */
int prefixes_read(const uint8_t *body, size_t len, uint32_t n, struct ob_acl_prefix **prefix,
    uint32_t *n4, struct text *t);
int prefixes_write(const struct ob_acl_tag_cfg *const cfg[2], uint8_t **out, size_t *len);
