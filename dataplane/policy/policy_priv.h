/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/policy only. */
#pragma once

#include "ob_policy.h"

/* Start of each region; records from n_high on were never used and are not looked at. */
struct region_head {
	uint32_t n_high;
	uint32_t reserved[15];
};

/* Numbers of records, smallest never used or last given back. */
struct slots {
	uint32_t *n_high; /* in the arena */
	uint32_t max;
	uint32_t n_free, cap;
	uint32_t *free;
};

void slots_init(struct slots *s, uint32_t *n_high, uint32_t max);
void slots_fini(struct slots *s);
uint32_t slots_take(struct slots *s); /* OB_IDX_NONE: full */
void slots_put(struct slots *s, uint32_t idx);

extern struct ob_map *policy_map;  /* what workers look up: kinds of enum ob_policy_key */
extern struct ob_map *policy_keys; /* control only: routes and mappings to record numbers */

enum control_key { KEY_ROUTE = 16, KEY_MAPPING = 17, KEY_TARGET = 18, KEY_LINK = 19 };
struct ob_key control_key(
    enum control_key kind, uint16_t vnet, uint8_t prefix_len, const struct ob_ip *ip);

/* Says what is wrong and returns 'rc'. */
int policy_fail(int rc, char *err, size_t len, const char *why);
bool ip_is_unicast(const struct ob_ip *ip);
void defer_lpm(struct ob_lpm *lpm);
/* Reports to the ENIs of the VNET; to those that have routes to it, too. */
void changed_vnet(uint16_t vnet);
void changed_reach(uint16_t vnet);

/* vnet.c */
int vnet_init(struct ob_arena *arena);
void vnet_fini(void);
struct ob_lpm *vnet_lpm(uint16_t idx, uint8_t family);

/* eni.c */
int eni_init(struct ob_arena *arena);
void eni_fini(void);
uint32_t eni_n_high(void); /* numbers from there on are not used */
/* The VNET's VNI changes: keys by VNI and MAC are added under the new one, then taken from the old one. */
int eni_add_vni_keys(uint16_t vnet, uint32_t vni);
void eni_del_vni_keys(uint16_t vnet, uint32_t vni);

/* route.c */
int route_init(struct ob_arena *arena);
void route_fini(void);
bool route_leads(uint16_t from, uint16_t to); /* is there a route of that kind? */

/* target.c */
int target_init(struct ob_arena *arena);
void target_fini(void);
/* Finds or makes the set of the route's next hops and refers to it. Returns 0, -ENOSPC, -ENOMEM. */
int target_take(const struct ob_route_cfg *cfg, uint32_t *idx);
void target_drop(uint32_t idx);
/* VNET and next hops of a set. False: not one. */
bool target_fill(uint32_t idx, struct ob_route_cfg *cfg);
/* At the start: a route of the arena refers to the set; then, those that none refers to go. */
int target_adopt(uint32_t idx);
void target_sweep(void);

/* mapping.c */
bool mapping_exists(uint16_t vnet, const struct ob_ip *ca);
int mapping_init(struct ob_arena *arena);
void mapping_fini(void);
/* Puts the CA's mapping, if there is one, back where an ENI had covered it. True: done. */
bool mapping_uncover(uint16_t vnet, const struct ob_ip *ca);
