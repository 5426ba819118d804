/* SPDX-License-Identifier: BSD-3-Clause */
/* Security groups: ACL groups in up to five stages per direction and family of an ENI, compiled into immutable classifiers.
 *
 * Control keeps groups, tags, bindings and defaults in the arena (they survive) and compiles each group when it is set; workers
 * read the compiled form through RCU. A group is replaced whole or not at all.
 *
 * Verdict (DASH). Stages 1 to 5 in order. A stage without a group of the packet's family is skipped. In a group the matching rule
 * with the lowest priority number decides:
 *   permit or deny, terminating      that is the verdict, later stages are not looked at;
 *   permit or deny, and continue     a soft verdict: remembered, and the last one stands (a later stage overrides a soft deny);
 *   no rule matches                  deny, terminating. A group that wants otherwise ends with a rule that matches everything.
 * If no stage had a group of the family, the ENI's default for the direction decides. It is explicit: a new ENI index permits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_arena.h"

#define OB_ACL_MAX_GROUPS   4095 /* group numbers 0..4094 */
#define OB_ACL_MAX_TAGS	    4096
#define OB_ACL_MAX_RULES    4096       /* of a group */
#define OB_ACL_MAX_PREFIXES (1u << 20) /* of a tag, or of all lists of a group together */
#define OB_ACL_MAX_RANGES   (1u << 16) /* port ranges and ICMP ranges of a group together */
#define OB_ACL_MAX_TAG_USES (1u << 16) /* tags named in the rules of a group together */
#define OB_ACL_MAX_ENIS	    1024
#define OB_ACL_STAGES	    5

enum ob_acl_dir {
	OB_ACL_OUT = 0, /* what the ENI's guest sends */
	OB_ACL_IN = 1,	/* what is sent to it */
	OB_ACL_N_DIRS
};

enum ob_acl_verdict { OB_ACL_DENY = 0, OB_ACL_PERMIT = 1 };

/* Network byte order; IPv4 fills the first four bytes, the others are zero. Bits beyond 'len' are zero. */
struct ob_acl_prefix {
	uint8_t b[16];
	uint8_t len;
	uint8_t reserved[3]; /* zero */
};

/* Both ends belong to it. Ports, or ICMP type << 8 | code. */
struct ob_acl_range {
	uint16_t lo, hi;
};

/* A packet matches when every field that is given matches. A list matches when any of its members does; an empty list matches all.
 *   protos            set of IP protocol numbers, bit p % 64 of word p / 64; all zero: any.
 *   src, src_tags     one list: the prefixes named here and those of the tags (a tag matches when any of its prefixes does).
 *   sports, dports    only packets of protocols that have ports (TCP, UDP, UDP-Lite, SCTP, DCCP) match a port list; a list that
 *                     holds the range 0 to 65535 counts as empty.
 *   icmp              only packets of the family's ICMP match; the rule has no port lists and names no other protocol.
 */
struct ob_acl_rule {
	uint32_t priority; /* unique in the group; lowest wins */
	uint8_t action;	   /* enum ob_acl_verdict */
	uint8_t terminate; /* 1: final, 0: and continue */
	uint16_t reserved;
	uint64_t protos[4];
	uint32_t n_src, n_dst, n_src_tags, n_dst_tags, n_sports, n_dports, n_icmp;
	const struct ob_acl_prefix *src, *dst;
	const uint16_t *src_tags, *dst_tags;
	const struct ob_acl_range *sports, *dports, *icmp;
};

struct ob_acl_group_cfg {
	uint8_t family; /* AF_INET or AF_INET6: packets of the other one never see the group */
	uint32_t n_rules;
	const struct ob_acl_rule *rules; /* in any order */
};

struct ob_acl_tag_cfg {
	uint8_t family;
	uint32_t n_prefixes;
	const struct ob_acl_prefix *prefixes;
};

struct ob_acl_group_info {
	uint8_t family;
	bool
	    broken; /* what the arena held of it did not pass the checks: it denies everything until it is set anew */
	uint32_t n_rules, n_prefixes; /* tags expanded */
	uint32_t n_bindings;	      /* stages of ENIs */
	uint32_t compile_us;
	uint64_t compiled_bytes;
};

/* ---- control ---------------------------------------------------------------------------------------------------------- */

/* Finds or makes the records in the arena and compiles what is there; every record passes the same checks as a new one. A group
 * that does not pass denies everything (forgetting it would open its ENIs).
 * Returns 0, -ENOMEM, or as ob_arena_region. Context: control, once per arena; ob_acl_fini before another. */
int ob_acl_init(struct ob_arena *arena);
/* Waits for a grace period. */
void ob_acl_fini(void);

/* Called for every ENI whose verdicts may have changed, after the change is visible to workers. Whoever remembers verdicts by
 * a generation loads it (acquire) before it calls ob_acl_eval. NULL: nobody. Context: control, before traffic. */
void ob_acl_set_on_change(void (*fn)(uint16_t eni));

/* Adds or replaces a group. The configuration is copied. 'err' (may be NULL) receives which rule is wrong and why.
 * Returns 0; -EINVAL; -ENOENT a rule names a tag that is not there; -EBUSY the family of a bound group would change; -E2BIG it
 * compiles into more than a group may have; -ENOMEM; -ENOSPC of the arena. On error the old group stays in force.
 * Context: control. */
int ob_acl_group_set(uint32_t idx, const struct ob_acl_group_cfg *cfg, char *err, size_t err_len);
/* Returns 0, -ENOENT, -EBUSY it is bound. */
int ob_acl_group_del(uint32_t idx, char *err, size_t err_len);
/* A copy of what was configured (rules in order of priority), in one piece of memory: the caller gives '*out' to free().
 * Returns 0, -ENOENT, -ENOMEM, -EPROTO damaged record. Context: control. */
int ob_acl_group_get(uint32_t idx, struct ob_acl_group_cfg **out);
int ob_acl_group_info(uint32_t idx, struct ob_acl_group_info *out); /* 0, -ENOENT */

/* Adds or replaces a named prefix list; groups that use it are compiled anew, and all of it is refused if one of them does
 * not compile. Returns as ob_acl_group_set; -EBUSY the family of a used tag would change. Context: control. */
int ob_acl_tag_set(uint32_t idx, const struct ob_acl_tag_cfg *cfg, char *err, size_t err_len);
/* Returns 0, -ENOENT, -EBUSY a group names it. */
int ob_acl_tag_del(uint32_t idx, char *err, size_t err_len);
/* As ob_acl_group_get. */
int ob_acl_tag_get(uint32_t idx, struct ob_acl_tag_cfg **out);

/* Puts a group in a stage (1..OB_ACL_STAGES) of an ENI, for the group's family. The ENI need not be there yet: bind before it
 * is made and nothing passes unchecked. Returns 0, -EINVAL, -ENOENT no such group. Context: control. */
int ob_acl_bind(
    uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint32_t group, char *err, size_t err_len);
/* Returns 0, -EINVAL, -ENOENT nothing was bound. */
int ob_acl_unbind(uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint8_t family);
/* Group bound there, or -ENOENT, -EINVAL. */
int ob_acl_bound(uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint8_t family);

/* Verdict for packets of a family for which no stage has a group. Returns 0, -EINVAL. */
int ob_acl_default_set(uint16_t eni, enum ob_acl_dir dir, enum ob_acl_verdict verdict);
enum ob_acl_verdict ob_acl_default_get(uint16_t eni, enum ob_acl_dir dir);
/* The ENI is deleted: no bindings, default permit. Its number may be given out again. */
void ob_acl_eni_clear(uint16_t eni);

/* ---- worker ------------------------------------------------------------------------------------------------------------- */

struct ob_acl_pkt {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t proto;	/* after IPv6 extension headers */
	uint16_t sport,
	    dport; /* host byte order; ICMP: dport = type << 8 | code; 0 where the protocol has none */
	const uint8_t *src, *dst; /* network byte order, 4 or 16 bytes, any alignment */
};

enum ob_acl_result {
	OB_ACL_SKIPPED = 0, /* no group, or an earlier stage ended it */
	OB_ACL_NO_MATCH,    /* denies */
	OB_ACL_PERMITS,
	OB_ACL_DENIES,
	OB_ACL_PERMITS_SOFTLY, /* and continues */
	OB_ACL_DENIES_SOFTLY,
};

/* Why a verdict is what it is, stage by stage. */
struct ob_acl_why {
	uint8_t verdict;       /* enum ob_acl_verdict */
	uint8_t by_default;    /* no stage had a group: the ENI's default */
	uint8_t decided_stage; /* 1..5, 0 by default */
	struct {
		uint8_t result; /* enum ob_acl_result */
		uint16_t group;
		uint32_t priority; /* of the rule that matched */
	} stage[OB_ACL_STAGES];
};

/* The verdict for the first packet of a connection. 'why' is NULL on the packet path. Context: worker (or control, for a trace). */
enum ob_acl_verdict ob_acl_eval(
    uint16_t eni, enum ob_acl_dir dir, const struct ob_acl_pkt *p, struct ob_acl_why *why);
