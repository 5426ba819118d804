/* SPDX-License-Identifier: BSD-3-Clause */
/* What decides a first packet: VNETs, ENIs, routes and CA-to-PA mappings (the DASH objects that a VPC needs first).
 *
 * Control sets objects by index; the records lie in the arena (they survive), and what workers look at is compiled from them,
 * immutable or grow-only, and swapped by RCU. No ACLs yet (they come with sessions).
 *
 * CA: customer address (in the tenant's network). PA: provider address (tunnel end in the underlay).
 */
#pragma once

#include "ob_encap.h"
#include "ob_worker.h"

#define OB_MAX_VNETS      4096
#define OB_MAX_ENIS       1024
#define OB_MAX_MAPPINGS   (1u << 20)
#define OB_ENI_MAX_ADDRS  8
#define OB_ENI_MAX_ROUTERS 4
#define OB_IDX_NONE       UINT32_MAX

struct ob_vnet_cfg {
	uint32_t vni; /* 24 bits, unique */
};

struct ob_eni_cfg {
	uint16_t vif;        /* function that it is bound to; one ENI per function */
	uint16_t vnet;       /* index of its VNET */
	uint8_t mac[6];
	uint16_t mtu;        /* given to the guest by DHCP and RA */
	uint8_t router_mac[6]; /* MAC of the virtual router as the guest sees it; all zero: a fixed locally administered one */
	uint8_t n_addrs, n_routers, n_dns;
	uint8_t prefix_len[OB_ENI_MAX_ADDRS]; /* on-link prefix of addr[i] */
	struct ob_ip addr[OB_ENI_MAX_ADDRS];
	struct ob_ip router[OB_ENI_MAX_ROUTERS];
	struct ob_ip dns[OB_ENI_MAX_ROUTERS];
	uint32_t lease_s;    /* DHCP lease, 0: 3600 */
};

enum ob_route_action {
	OB_ROUTE_VNET = 1, /* look the destination up in the mappings of route.vnet */
	OB_ROUTE_DROP = 2,
};

struct ob_route_cfg {
	uint16_t vnet;       /* VNET whose table it is in */
	uint8_t action;      /* enum ob_route_action */
	uint8_t prefix_len;
	struct ob_ip prefix; /* host bits must be zero */
	uint16_t to_vnet;    /* OB_ROUTE_VNET */
	uint16_t reserved;
};

struct ob_mapping_cfg {
	uint16_t vnet;
	uint8_t mac[6];      /* of the remote ENI: inner destination MAC */
	struct ob_ip ca;
	uint32_t tunnel;
	uint32_t vni;        /* to put on the wire; 0: the VNET's own */
};

int ob_policy_init(struct ob_arena *arena);

/* Set = add or replace. 'idx' is chosen by the caller. 'err' (may be NULL) receives what is wrong, for people.
 * Context: control. Returns 0; -EINVAL; -EEXIST duplicate key (VNI; ENI MAC or address in a VNET; function already bound; CA mapped);
 * -ENOENT refers to an object that is not there; -EBUSY still referred to (del); -ENOMEM; -ENOSPC. */
int ob_vnet_set(uint32_t idx, const struct ob_vnet_cfg *cfg, char *err, size_t err_len);
int ob_vnet_del(uint32_t idx, char *err, size_t err_len);
const struct ob_vnet_cfg *ob_vnet_get(uint32_t idx); /* NULL: not set */
int ob_eni_set(uint32_t idx, const struct ob_eni_cfg *cfg, char *err, size_t err_len);
int ob_eni_del(uint32_t idx, char *err, size_t err_len);
const struct ob_eni_cfg *ob_eni_get(uint32_t idx);

/* Routes and mappings are keyed by their own fields; no index. del: -ENOENT. */
int ob_route_set(const struct ob_route_cfg *cfg, char *err, size_t err_len);
int ob_route_del(uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len);
int ob_mapping_set(const struct ob_mapping_cfg *cfg, char *err, size_t err_len);
int ob_mapping_del(uint16_t vnet, const struct ob_ip *ca);
/* Iteration for control: '*cursor' starts at 0; returns 0 and fills, or -ENOENT at the end. */
int ob_route_next(uint32_t *cursor, struct ob_route_cfg *out);
int ob_mapping_next(uint32_t *cursor, struct ob_mapping_cfg *out);
