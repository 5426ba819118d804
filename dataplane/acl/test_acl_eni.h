/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of groups by way of the public calls: an arena, one ENI, questions about what it sends, groups of simple rules. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <rte_common.h>

#include "test_acl.h"

#define ENI 7

static struct ob_arena *arena;
static char err[200];
static unsigned n_changes;
static uint16_t changed_eni;

static inline void on_change(uint16_t eni)
{
	n_changes++;
	changed_eni = eni;
}

static inline int setup(void **state)
{
	(void)state;
	assert_int_equal(ob_arena_create("acl-test", 128ull << 20, &arena), 0);
	assert_int_equal(ob_acl_init(arena), 0);
	ob_acl_set_on_change(on_change);
	n_changes = 0;
	err[0] = 0;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	ob_acl_set_on_change(NULL);
	ob_acl_fini();
	ob_arena_destroy(arena);
	return 0;
}

/* "10.0.0.0/8" */
static inline struct ob_acl_prefix prefix(const char *text)
{
	struct ob_acl_prefix p = {0};
	char addr[64];
	const char *slash = strchr(text, '/');

	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	if (inet_pton(AF_INET, addr, p.b) != 1)
		assert_int_equal(inet_pton(AF_INET6, addr, p.b), 1);
	p.len = (uint8_t)atoi(slash + 1);
	return p;
}

static inline enum ob_acl_verdict ask(
    const char *src, const char *dst, uint8_t proto, uint16_t dport, struct ob_acl_why *why)
{
	struct ob_acl_pkt p = {.family = AF_INET, .proto = proto, .sport = 40000, .dport = dport};
	uint8_t s[16], d[16];

	p.src = s;
	p.dst = d;
	if (inet_pton(AF_INET, src, s) != 1) {
		p.family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, src, s), 1);
		assert_int_equal(inet_pton(AF_INET6, dst, d), 1);
	} else {
		assert_int_equal(inet_pton(AF_INET, dst, d), 1);
	}
	return ob_acl_eval(ENI, OB_ACL_OUT, &p, why);
}

/* A rule by destination; of several, the first has the lowest priority number. */
struct simple_rule {
	const char *dst; /* NULL: any */
	uint8_t action, terminate;
};

static inline int set_simple(uint32_t idx, uint8_t family, const struct simple_rule *r, unsigned n)
{
	struct ob_acl_prefix dst[16];
	struct ob_acl_rule rule[16];
	struct ob_acl_group_cfg g = {family, n, rule};

	memset(rule, 0, sizeof(rule));
	for (unsigned i = 0; i < n; i++) {
		rule[i].priority = 10 * i;
		rule[i].action = r[i].action;
		rule[i].terminate = r[i].terminate;
		if (r[i].dst != NULL) {
			dst[i] = prefix(r[i].dst);
			rule[i].dst = &dst[i];
			rule[i].n_dst = 1;
		}
	}
	return ob_acl_group_set(idx, &g, err, sizeof(err));
}

static inline void permit_all(uint32_t idx, uint8_t family)
{
	const struct simple_rule r = {NULL, OB_ACL_PERMIT, 1};

	assert_int_equal(set_simple(idx, family, &r, 1), 0);
}
