/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/acl only. */
#pragma once

#include <assert.h>
#include <sys/socket.h>

#include "ob_acl.h"
#include "ob_worker.h"

/* ---- the compiled form (classify.h reads it, compile.c writes it) ----------------------------------------------------------- */

/* A reference names a node of a search tree, or (top bit clear) the record at the end of the search: which rules a value of this
 * field can still match. */
#define ACL_NODE       0x80000000u
#define ACL_KIND_SHIFT 28
#define ACL_NODE_MASK  0x0fffffffu /* in units of 16 bytes */

/* Kinds of nodes. DIRECT_n: one reference per value of the next n bits. LIST_w: sorted starts of intervals over the next w bits,
 * less one and with the top bit turned over (vector units compare signed numbers), in 8 or 16 lanes; then one reference per
 * interval. */
enum acl_node_kind {
	ACL_DIRECT_4,
	ACL_DIRECT_8,
	ACL_DIRECT_12,
	ACL_DIRECT_16,
	ACL_LIST_16,
	ACL_LIST_32,
	ACL_LONG_LIST_16,
	ACL_LONG_LIST_32,
};

/* Which fields of the L4 header count for a protocol; in the two top bits of acl_classifier.proto[]. */
enum acl_l4 { ACL_L4_NONE, ACL_L4_PORTS, ACL_L4_ICMP };
#define ACL_L4_SHIFT 30
#define ACL_REC_MASK 0x3fffffffu

/* Where the search for a value of a field starts: a table over the block of values in which the rules differ. The entry behind
 * the last one is for all values outside of it. */
struct acl_root {
	uint64_t base; /* what the values in the block start with */
	uint32_t at;   /* table, in words of nodes */
	uint32_t size;
	uint8_t shift; /* (value ^ base) >> shift is the place in the table */
};

/* Rules are numbered by priority. A record is a set of rules: one word if the group has at most 64 rules; else a summary word
 * (bit i: word i is not zero) and the words that are not zero. */
struct acl_classifier {
	uint8_t family;
	bool small;
	bool broken; /* stands for a damaged record: matches nothing, so it denies */
	uint32_t n_rules, n_prefixes, compile_us;
	struct acl_root src, dst, sport, dport, icmp;
	const uint32_t *nodes;
	const uint64_t *records;
	const uint32_t *priority;
	const uint8_t *action; /* ACL_PERMIT | ACL_FINAL */
	uint64_t bytes;
	uint32_t proto[256];
};

#define ACL_PERMIT 1
#define ACL_FINAL  2

void acl_classifier_free(void *c);

/* ---- compiling ---------------------------------------------------------------------------------------------------------- */

/* Memory of one compiled group, and what one field of it may expand to. */
#define ACL_MAX_COMPILED (256u << 20)
#define ACL_MAX_EXPANDED (1u << 22)
#define ACL_MAX_FLIPS	 (1u << 29)
#define ACL_MAX_WORDS	 (OB_ACL_MAX_RULES / 64)

/* A growing classifier. */
struct acl_builder {
	uint32_t *nodes;
	size_t n_nodes, cap_nodes; /* words of 4 bytes */
	uint64_t *records;
	size_t n_records, cap_records;
	uint32_t *index; /* records by hash, open addressing; offset + 1 */
	uint64_t *hashes;
	size_t n_index, cap_index;
	unsigned n_words; /* of a set of rules */
	bool small;
};

/* A value of a field from which on another record holds. Left-aligned: IPv4 in the top 32 bits of hi, ports in the top 16. */
struct acl_bound {
	uint64_t hi, lo;
	uint32_t ref;
};

/* An interval of entity 'what >> 1' starts here (what & 1 == 0), or has ended. */
struct acl_event {
	uint64_t hi, lo;
	uint32_t what;
};

/* One field of all rules: entities (a rule's own list, or a tag) and the rules that each stands for. */
struct acl_field {
	struct acl_event *ev;
	size_t n_ev, cap_ev;
	const uint32_t *first; /* entity e: rules[first[e]] to rules[first[e + 1] - 1] */
	const uint32_t *rules;
	const uint64_t *always; /* rules that do not look at the field */
};

/* Finds or adds the record of a set of rules. Returns 0, -ENOMEM, -E2BIG. */
int acl_intern(struct acl_builder *b, const uint64_t *set, uint64_t hash, uint32_t *ref);
uint64_t acl_rule_hash(uint32_t rule);
/* Sorts the events and walks over them: '*out' (to free) are the bounds, '*start' holds before the first. */
int acl_sweep(struct acl_builder *b, struct acl_field *f, struct acl_bound **out, uint32_t *n_out,
    uint32_t *start);
/* Builds the search tree over bounds of 'width' bits. Returns 0, -ENOMEM, -E2BIG. */
int acl_tree(struct acl_builder *b, const struct acl_bound *v, uint32_t n, uint32_t start,
    unsigned width, struct acl_root *root);

/* How the compiler gets at the prefixes of a tag: '*out' is freed by the caller. 0, -ENOENT, -ENOMEM, -EPROTO. */
typedef int (*acl_tag_fn)(void *arg, uint16_t tag, struct ob_acl_tag_cfg **out);

/* 'cfg': checked, rules in order of priority. Returns 0, -ENOMEM, -ENOENT, -E2BIG, -EINVAL tag of the other family. */
int acl_compile(const struct ob_acl_group_cfg *cfg, acl_tag_fn tag, void *arg,
    struct acl_classifier **out, char *err, size_t err_len);
/* A classifier that denies everything. */
struct acl_classifier *acl_compile_broken(uint8_t family);

/* ---- configuration -------------------------------------------------------------------------------------------------------- */

int acl_fail(int rc, char *err, size_t len, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Everything that does not depend on other objects. Rules in any order, except that equal priorities are found by acl_check_sorted. */
int acl_check_group(const struct ob_acl_group_cfg *cfg, char *err, size_t err_len);
int acl_check_sorted(const struct ob_acl_group_cfg *cfg, char *err, size_t err_len);
int acl_check_tag(const struct ob_acl_tag_cfg *cfg, char *err, size_t err_len);
/* A port list that says something. */
bool acl_ranges_bind(const struct ob_acl_range *r, uint32_t n);
bool acl_proto_has_ports(unsigned proto);
unsigned acl_icmp_of(uint8_t family);

/* One piece of bytes for the arena, and back. unpack believes nothing; '*out' is one allocation, pointing into itself.
 * Return 0, -ENOMEM, -EPROTO. */
int acl_pack_group(const struct ob_acl_group_cfg *cfg, void **out, size_t *len);
int acl_unpack_group(const void *bytes, size_t len, struct ob_acl_group_cfg **out);
int acl_pack_tag(const struct ob_acl_tag_cfg *cfg, void **out, size_t *len);
int acl_unpack_tag(const void *bytes, size_t len, struct ob_acl_tag_cfg **out);

/* ---- the arena -------------------------------------------------------------------------------------------------------------- */

enum acl_kind { ACL_GROUP, ACL_TAG };

int acl_store_init(struct ob_arena *arena);
void acl_store_fini(void);
bool acl_store_has(enum acl_kind kind, uint32_t idx);
/* Replaces what was there in one step: after a crash it is the old one or the new one. Returns 0, -ENOSPC, -ENOMEM. */
int acl_store_put(enum acl_kind kind, uint32_t idx, const void *bytes, size_t len);
/* '*out' is freed by the caller. Returns 0, -ENOENT, -ENOMEM, -EPROTO. */
int acl_store_get(enum acl_kind kind, uint32_t idx, void **out, size_t *len);
void acl_store_del(enum acl_kind kind, uint32_t idx);
/* Bindings and defaults as they survive: see bind.c. */
uint64_t *acl_store_binds(void);

/* ---- groups and bindings ---------------------------------------------------------------------------------------------------- */

extern struct acl_classifier *acl_groups[OB_ACL_MAX_GROUPS]; /* RCU; compiled */
/* The compiled group, or NULL. Context: worker or control. */
static inline const struct acl_classifier *acl_group_at(uint32_t idx)
{
	return ob_rcu_load(&acl_groups[idx]);
}

int acl_groups_init(void);
void acl_groups_fini(void);

int acl_binds_init(void);
void acl_binds_fini(void);
uint32_t acl_group_bindings(uint32_t group);
/* Is it bound for packets of the family? */
bool acl_group_bound_as(uint32_t group, uint8_t family);
/* Calls the hook for every ENI that has the group. */
void acl_group_changed(uint32_t group);
