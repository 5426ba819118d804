/* SPDX-License-Identifier: BSD-3-Clause */
/* Which groups an ENI's packets meet, and the verdict. */
#include "acl_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "classify.h"
#include "ob_worker.h"

/* All that a packet's ENI, direction and family say, in one word, so that a worker sees it whole: per stage, 12 bits with the
 * group's number + 1; then whether the default is to deny. Workers read this copy; the arena has another. */
#define STAGE_BITS 12
#define STAGE_MASK 0xfffull
#define DENIES	   (1ull << (STAGE_BITS * OB_ACL_STAGES))
#define ALL_STAGES (DENIES - 1)

static_assert(OB_ACL_MAX_GROUPS == STAGE_MASK, "0 is no group");

static uint64_t binds[OB_ACL_MAX_ENIS][OB_ACL_N_DIRS][2];
static uint64_t *kept; /* the same in the arena */
static void (*on_change)(uint16_t eni);

static inline unsigned family_idx(uint8_t family)
{
	return family == AF_INET6;
}

static uint64_t *word_at(uint16_t eni, enum ob_acl_dir dir, uint8_t family)
{
	return &binds[eni][dir][family_idx(family)];
}

static void store(uint64_t *w, uint64_t v)
{
	__atomic_store_n(w, v, __ATOMIC_RELAXED);
	if (kept != NULL)
		__atomic_store_n(&kept[w - &binds[0][0][0]], v, __ATOMIC_RELAXED);
}

void ob_acl_set_on_change(void (*fn)(uint16_t eni))
{
	on_change = fn;
}

static void changed(uint16_t eni)
{
	/* The hook's stores (a generation) come after what it announces: pairs with ob_acl_eval, which is called after its caller
	 * has read the generation. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (on_change != NULL)
		on_change(eni);
}

static bool good_place(uint16_t eni, enum ob_acl_dir dir, unsigned stage)
{
	return eni < OB_ACL_MAX_ENIS && (unsigned)dir < OB_ACL_N_DIRS && stage >= 1 &&
	       stage <= OB_ACL_STAGES;
}

static uint64_t group_in(uint64_t word, unsigned stage)
{
	return word >> ((stage - 1) * STAGE_BITS) & STAGE_MASK;
}

/* Stages of a word that hold the group. */
static unsigned holds(uint64_t word, uint32_t group)
{
	unsigned n = 0;

	for (unsigned s = 1; s <= OB_ACL_STAGES; s++)
		n += group_in(word, s) == group + 1;
	return n;
}

int ob_acl_bind(
    uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint32_t group, char *err, size_t err_len)
{
	const struct acl_classifier *c = group < OB_ACL_MAX_GROUPS ? acl_group_at(group) : NULL;
	unsigned shift = (stage - 1) * STAGE_BITS;
	uint64_t *w, v;

	if (!good_place(eni, dir, stage))
		return acl_fail(-EINVAL, err, err_len, "ENI, direction or stage out of range");
	if (c == NULL)
		return acl_fail(-ENOENT, err, err_len, "the group does not exist");
	w = word_at(eni, dir, c->family);
	v = (*w & ~(STAGE_MASK << shift)) | (uint64_t)(group + 1) << shift;
	if (v == *w)
		return 0;
	store(w, v);
	changed(eni);
	return 0;
}

int ob_acl_unbind(uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint8_t family)
{
	uint64_t *w;

	if (!good_place(eni, dir, stage) || (family != AF_INET && family != AF_INET6))
		return -EINVAL;
	w = word_at(eni, dir, family);
	if (group_in(*w, stage) == 0)
		return -ENOENT;
	store(w, *w & ~(STAGE_MASK << ((stage - 1) * STAGE_BITS)));
	changed(eni);
	return 0;
}

int ob_acl_bound(uint16_t eni, enum ob_acl_dir dir, unsigned stage, uint8_t family)
{
	uint64_t g;

	if (!good_place(eni, dir, stage) || (family != AF_INET && family != AF_INET6))
		return -EINVAL;
	g = group_in(*word_at(eni, dir, family), stage);
	return g > 0 ? (int)g - 1 : -ENOENT;
}

int ob_acl_default_set(uint16_t eni, enum ob_acl_dir dir, enum ob_acl_verdict verdict)
{
	uint64_t bit = verdict == OB_ACL_DENY ? DENIES : 0;

	if (!good_place(eni, dir, 1) || (unsigned)verdict > OB_ACL_PERMIT)
		return -EINVAL;
	if (ob_acl_default_get(eni, dir) == verdict)
		return 0;
	for (unsigned f = 0; f < 2; f++)
		store(&binds[eni][dir][f], (binds[eni][dir][f] & ALL_STAGES) | bit);
	changed(eni);
	return 0;
}

enum ob_acl_verdict ob_acl_default_get(uint16_t eni, enum ob_acl_dir dir)
{
	if (!good_place(eni, dir, 1))
		return OB_ACL_DENY;
	return binds[eni][dir][0] & DENIES ? OB_ACL_DENY : OB_ACL_PERMIT;
}

void ob_acl_eni_clear(uint16_t eni)
{
	bool any = false;

	if (eni >= OB_ACL_MAX_ENIS)
		return;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t *w = &binds[eni][i / 2][i % 2];

		any |= *w != 0;
		store(w, 0);
	}
	if (any)
		changed(eni);
}

uint32_t acl_group_bindings(uint32_t group)
{
	const uint64_t *w = &binds[0][0][0];
	uint32_t n = 0;

	for (unsigned i = 0; i < sizeof(binds) / sizeof(*w); i++)
		if (w[i] & ALL_STAGES)
			n += holds(w[i], group);
	return n;
}

bool acl_group_bound_as(uint32_t group, uint8_t family)
{
	for (unsigned i = 0; i < OB_ACL_MAX_ENIS * OB_ACL_N_DIRS; i++)
		if (holds(binds[i / 2][i % 2][family_idx(family)], group) > 0)
			return true;
	return false;
}

void acl_group_changed(uint32_t group)
{
	for (uint16_t eni = 0; eni < OB_ACL_MAX_ENIS; eni++) {
		unsigned n = 0;

		for (unsigned i = 0; i < 4; i++)
			n += holds(binds[eni][i / 2][i % 2], group);
		if (n > 0)
			changed(eni);
	}
}

int acl_binds_init(void)
{
	kept = acl_store_binds();
	memcpy(binds, kept, sizeof(binds));
	/* A damaged word must not name more than there is; a group that is not there denies. */
	for (unsigned i = 0; i < sizeof(binds) / sizeof(uint64_t); i++)
		(&binds[0][0][0])[i] &= ALL_STAGES | DENIES;
	return 0;
}

void acl_binds_fini(void)
{
	kept = NULL;
	memset(binds, 0, sizeof(binds));
}

int ob_acl_init(struct ob_arena *arena)
{
	int rc = acl_store_init(arena);

	if (rc == 0)
		rc = acl_binds_init();
	if (rc == 0)
		rc = acl_groups_init();
	if (rc < 0)
		ob_acl_fini();
	return rc;
}

void ob_acl_fini(void)
{
	acl_binds_fini();
	acl_groups_fini();
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	acl_store_fini();
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------------ */

static const uint8_t result_of[4] = {
    [0] = OB_ACL_DENIES_SOFTLY,
    [ACL_PERMIT] = OB_ACL_PERMITS_SOFTLY,
    [ACL_FINAL] = OB_ACL_DENIES,
    [ACL_PERMIT | ACL_FINAL] = OB_ACL_PERMITS,
};

static __rte_noinline void explain(struct ob_acl_why *why, unsigned stage, uint32_t group,
    const struct acl_classifier *c, uint32_t rule)
{
	why->decided_stage = (uint8_t)stage;
	why->stage[stage - 1].group = (uint16_t)group;
	why->stage[stage - 1].result = OB_ACL_NO_MATCH;
	if (rule == ACL_NO_RULE)
		return;
	why->stage[stage - 1].result = result_of[c->action[rule]];
	why->stage[stage - 1].priority = c->priority[rule];
}

/* The groups of a word in order of their stages. */
static inline uint8_t walk(uint64_t word, const struct ob_acl_pkt *p, struct ob_acl_why *why)
{
	struct acl_key key = acl_key_of(p);
	struct acl_search search[OB_ACL_STAGES];
	uint8_t action = 0, stage[OB_ACL_STAGES];
	unsigned n = 0;

	for (unsigned s = 1; s <= OB_ACL_STAGES; s++) {
		uint32_t group = (uint32_t)group_in(word, s);
		const struct acl_classifier *c;

		if (group == 0)
			continue;
		c = acl_group_at(group - 1);
		stage[n] = (uint8_t)s;
		search[n].c = c;
		if (c != NULL)
			acl_begin(&search[n], c, &key);
		n++;
	}
	for (unsigned i = 0; i < n; i++) {
		uint32_t rule = ACL_NO_RULE;

		/* Bound and yet not there: deleted after the word was read, or lost with its record. */
		if (search[i].c != NULL)
			rule = acl_finish(&search[i], p, &key);
		if (why != NULL)
			explain(why, stage[i], (uint32_t)group_in(word, stage[i]) - 1, search[i].c,
			    rule);
		if (rule == ACL_NO_RULE)
			return 0;
		action = search[i].c->action[rule];
		if (action & ACL_FINAL)
			break;
	}
	return action;
}

enum ob_acl_verdict ob_acl_eval(
    uint16_t eni, enum ob_acl_dir dir, const struct ob_acl_pkt *p, struct ob_acl_why *why)
{
	uint64_t word = __atomic_load_n(&binds[eni][dir][family_idx(p->family)], __ATOMIC_RELAXED);
	enum ob_acl_verdict verdict;

	if (why != NULL)
		memset(why, 0, sizeof(*why));
	if ((word & ALL_STAGES) == 0) {
		verdict = word & DENIES ? OB_ACL_DENY : OB_ACL_PERMIT;
		if (why != NULL)
			why->by_default = 1;
	} else {
		verdict =
		    walk(word & ALL_STAGES, p, why) & ACL_PERMIT ? OB_ACL_PERMIT : OB_ACL_DENY;
	}
	if (why != NULL)
		why->verdict = (uint8_t)verdict;
	return verdict;
}
