/* SPDX-License-Identifier: BSD-3-Clause */
/* What decides a first packet: VNETs, ENIs, routes and CA-to-PA mappings (the DASH objects that a VPC needs first).
 *
 * Control sets objects by index; the records lie in the arena (they survive), and what workers look at is compiled from them,
 * immutable or grow-only, and swapped by RCU.
 *
 * CA: customer address (in the tenant's network). PA: provider address (tunnel end in the underlay).
 */
#pragma once

#include <string.h>

#include <rte_byteorder.h>

#include "ob_encap.h"
#include "ob_table.h"
#include "ob_worker.h"

#define OB_MAX_VNETS	   4096
#define OB_MAX_ENIS	   1024
#define OB_MAX_MAPPINGS	   (1u << 20)
#define OB_MAX_ROUTES	   (1u << 18)
#define OB_ENI_MAX_ADDRS   8
#define OB_ENI_MAX_ROUTERS 4
#define OB_ROUTE_MAX_HOPS  16
#define OB_MAX_TARGETS	   (1u << 16) /* different sets of next hops */
#define OB_IDX_NONE	   UINT32_MAX

struct ob_vnet_cfg {
	uint32_t vni; /* 24 bits, unique */
};

struct ob_eni_cfg {
	uint16_t vif;  /* function that it is bound to; one ENI per function */
	uint16_t vnet; /* index of its VNET */
	uint8_t mac[6];
	uint16_t mtu; /* given to the guest by DHCP and RA */
	uint8_t router_mac
	    [6]; /* MAC of the virtual router as the guest sees it; all zero: a fixed locally administered one */
	uint8_t n_addrs, n_routers, n_dns;
	uint8_t prefix_len[OB_ENI_MAX_ADDRS]; /* on-link prefix of addr[i] */
	struct ob_ip addr[OB_ENI_MAX_ADDRS];
	struct ob_ip router[OB_ENI_MAX_ROUTERS];
	struct ob_ip dns[OB_ENI_MAX_ROUTERS];
	uint32_t lease_s; /* DHCP lease, 0: 3600 */
};

enum ob_route_action {
	OB_ROUTE_VNET = 1, /* look the destination up in the mappings of route.vnet */
	OB_ROUTE_DROP = 2,
	OB_ROUTE_VIA =
	    3, /* to one of the next hops, which are addresses in to_vnet; a flow stays with its hop (ECMP) */
	OB_ROUTE_NAT =
	    4, /* as VIA, and the source becomes a public address of to_vnet (dataplane/nat) */
};

struct ob_route_cfg {
	uint16_t vnet;	/* VNET whose table it is in */
	uint8_t action; /* enum ob_route_action */
	uint8_t prefix_len;
	struct ob_ip prefix; /* host bits must be zero */
	uint16_t to_vnet;    /* all but OB_ROUTE_DROP */
	uint8_t n_hops;	     /* OB_ROUTE_VIA, _NAT: 1..OB_ROUTE_MAX_HOPS; else 0 */
	uint8_t reserved;
	/* Each a mapping or a local ENI of to_vnet; unicast, different, of one family (not always the prefix's: NAT64). */
	struct ob_ip hop[OB_ROUTE_MAX_HOPS];
};

struct ob_mapping_cfg {
	uint16_t vnet;
	uint8_t mac[6]; /* of the remote ENI: inner destination MAC */
	struct ob_ip ca;
	uint32_t tunnel;
	uint32_t vni; /* to put on the wire; 0: the VNET's own */
};

/* Finds or makes the arena's records and compiles what is there. Tunnels first (ob_encap_init): mappings hold them.
 * Returns 0, -ENOMEM, -EPROTO damaged records, or as ob_arena_region. Context: control, once per arena; ob_policy_fini before another. */
int ob_policy_init(struct ob_arena *arena);
/* Waits for a grace period. */
void ob_policy_fini(void);

/* Set = add or replace. 'idx' is chosen by the caller. 'err' (may be NULL) receives what is wrong, for people.
 * Context: control; works before workers are started. Returns 0; -EINVAL; -EEXIST duplicate key (VNI; ENI MAC or address in a VNET;
 * function already bound); -ENOENT refers to an object that is not there; -EBUSY still referred to (del); -ENOMEM; -ENOSPC.
 * On error nothing has changed. */
int ob_vnet_set(uint32_t idx, const struct ob_vnet_cfg *cfg, char *err, size_t err_len);
int ob_vnet_del(uint32_t idx, char *err, size_t err_len);
const struct ob_vnet_cfg *ob_vnet_get(uint32_t idx); /* NULL: not set */
int ob_eni_set(uint32_t idx, const struct ob_eni_cfg *cfg, char *err, size_t err_len);
int ob_eni_del(uint32_t idx, char *err, size_t err_len);
const struct ob_eni_cfg *ob_eni_get(uint32_t idx);

/* Routes and mappings are keyed by their own fields; no index. set: adds or replaces. del, get: -ENOENT. A mapping of an address that
 * a local ENI has is kept, but the ENI wins while it is there (a guest that moved in or will move out). */
int ob_route_set(const struct ob_route_cfg *cfg, char *err, size_t err_len);
int ob_route_del(uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len);
int ob_route_get(
    uint16_t vnet, const struct ob_ip *prefix, uint8_t prefix_len, struct ob_route_cfg *out);
uint32_t ob_route_count(void);
int ob_mapping_set(const struct ob_mapping_cfg *cfg, char *err, size_t err_len);
int ob_mapping_del(uint16_t vnet, const struct ob_ip *ca);
int ob_mapping_get(uint16_t vnet, const struct ob_ip *ca, struct ob_mapping_cfg *out);
uint32_t ob_mapping_count(void);
/* Iteration for control: '*cursor' starts at 0; returns 0 and fills, or -ENOENT at the end. */
int ob_route_next(uint32_t *cursor, struct ob_route_cfg *out);
int ob_mapping_next(uint32_t *cursor, struct ob_mapping_cfg *out);
/* Counts who else refers to the object (NAT), so that it cannot go before them. Returns 0, -ENOENT. Context: control. */
int ob_vnet_hold(uint32_t idx);
void ob_vnet_release(uint32_t idx);
int ob_eni_hold(uint32_t idx);
void ob_eni_release(uint32_t idx);

/* 'fn' hears of every change that may give a live session of ENI 'eni' another verdict or way (OB_IDX_NONE: of any ENI), after the
 * change is published. Routes: the ENIs of the route's VNET. Mappings that are replaced, deleted or covered, addresses of ENIs that come
 * or go, VNIs: the ENIs of that VNET and of those with routes to it. A new mapping of an address that had none changes no session.
 * Setting what is already so calls nothing. One 'fn'; NULL: none. Context: control. */
void ob_policy_set_on_change(void (*fn)(uint32_t eni));
/* For folders whose objects decide too (NAT): reports a change of theirs to the same 'fn'. Context: control. */
void ob_policy_changed(uint32_t eni);
/* Mappings that name the tunnel: it cannot be deleted before them. Context: control. */
uint32_t ob_policy_tunnel_refs(uint32_t tunnel);

/* ---- worker side: compiled objects, immutable, good until the end of the round ------------------------------------------- */

struct ob_policy_vnet {
	uint32_t vni;
	const struct ob_lpm *lpm4, *lpm6; /* values: ob_route_value */
};

struct ob_eni {
	uint16_t idx, vif, vnet, mtu;
	uint8_t mac[6], router_mac[6];
	uint8_t n_addr4, n_addr6, n_router4, n_router6, n_dns4, n_dns6;
	uint8_t plen4[OB_ENI_MAX_ADDRS], plen6[OB_ENI_MAX_ADDRS];
	rte_be32_t addr4[OB_ENI_MAX_ADDRS], router4[OB_ENI_MAX_ROUTERS], dns4[OB_ENI_MAX_ROUTERS];
	uint32_t lease_s;
	/* Link-local address of the virtual router: the first such of router6, else made from its MAC (RFC 4291, appendix A). */
	uint8_t router_ll[16];
	uint8_t addr6[OB_ENI_MAX_ADDRS][16];
	uint8_t router6[OB_ENI_MAX_ROUTERS][16], dns6[OB_ENI_MAX_ROUTERS][16];
};

/* A mapping; in the arena. */
struct ob_mapping {
	uint8_t used, family, mac[6];
	uint16_t vnet, reserved;
	uint32_t tunnel;
	uint32_t vni; /* 0: the VNET's own */
	uint8_t ca[16];
};

/* NULL: none. */
const struct ob_policy_vnet *ob_vnet_at(uint32_t idx);
const struct ob_eni *ob_eni_at(uint32_t idx);
const struct ob_eni *ob_eni_of_vif(uint16_t vif);
const struct ob_mapping *ob_mapping_at(uint32_t idx);

/* Values of the prefix tables: the action, and what it needs: a VNET for OB_ROUTE_VNET, a target for _VIA and _NAT. */
static inline uint32_t ob_route_value(uint8_t action, uint32_t arg)
{
	return (uint32_t)action << 24 | arg;
}

static inline uint8_t ob_route_value_action(uint32_t value)
{
	return (uint8_t)(value >> 24);
}

static inline uint32_t ob_route_value_arg(uint32_t value)
{
	return value & 0xffffff;
}

/* A set of next hops; routes with the same set share it. */
struct ob_target {
	uint16_t to_vnet;
	uint8_t n, reserved;
	uint32_t seed[OB_ROUTE_MAX_HOPS];
	struct ob_key ca[OB_ROUTE_MAX_HOPS]; /* keys of OB_KEY_CA, for ob_policy_find */
};

/* 'idx': from a route value that was read in this round. */
const struct ob_target *ob_target_at(uint32_t idx);

/* The next hop of a flow: the one with the highest draw (rendezvous hashing), so that a hop that goes moves its own flows only, and one
 * that comes takes only those that it keeps. 'hash': struct ob_meta. */
static inline const struct ob_key *ob_target_pick(const struct ob_target *t, uint32_t hash)
{
	uint64_t best = 0;
	unsigned at = 0;

	for (unsigned i = 0; i < t->n; i++) {
		uint64_t x = ((uint64_t)t->seed[i] << 32 | hash) * 0x9fb21c651e98df25ull;

		x = (x ^ x >> 35) * 0x9fb21c651e98df25ull;
		x ^= x >> 28;
		if (x > best) {
			best = x;
			at = i;
		}
	}
	return &t->ca[at];
}

static inline struct ob_lpm_key ob_lpm_key4(rte_be32_t ip)
{
	return (struct ob_lpm_key){(uint64_t)rte_be_to_cpu_32(ip) << 32, 0};
}

static inline struct ob_lpm_key ob_lpm_key6(const uint8_t ip[16])
{
	struct ob_lpm_key k;

	memcpy(&k, ip, 16);
	k.hi = rte_be_to_cpu_64(k.hi);
	k.lo = rte_be_to_cpu_64(k.lo);
	return k;
}

/* One exact-match table holds three kinds of keys. They are built from words: a key stored in pieces and loaded whole stalls. */
enum ob_policy_key {
	OB_KEY_CA = 1,	/* {VNET, address}: OB_CA_ENI | ENI index, or a mapping index */
	OB_KEY_MAC = 2, /* {VNI, MAC}: ENI index */
	OB_KEY_VNI = 3, /* {VNI}: VNET index */
};

#define OB_CA_ENI 0x80000000u

static inline struct ob_key ob_key_ca4(uint16_t vnet, rte_be32_t ip)
{
	return (struct ob_key){{(uint64_t)OB_KEY_CA << 56 | (uint64_t)AF_INET << 48 | vnet, ip, 0}};
}

static inline struct ob_key ob_key_ca6(uint16_t vnet, const uint8_t ip[16])
{
	struct ob_key k = {{(uint64_t)OB_KEY_CA << 56 | (uint64_t)AF_INET6 << 48 | vnet, 0, 0}};

	memcpy(&k.w[1], ip, 16);
	return k;
}

static inline struct ob_key ob_key_mac(uint32_t vni, const uint8_t mac[6])
{
	uint32_t hi;
	uint16_t lo;

	memcpy(&hi, mac, 4);
	memcpy(&lo, mac + 4, 2);
	return (struct ob_key){{(uint64_t)OB_KEY_MAC << 56 | vni, (uint64_t)hi << 16 | lo, 0}};
}

static inline struct ob_key ob_key_vni(uint32_t vni)
{
	return (struct ob_key){{(uint64_t)OB_KEY_VNI << 56 | vni, 0, 0}};
}

/* Values or OB_TABLE_MISS; n <= OB_BURST_MAX. */
void ob_policy_find(const struct ob_key *keys, uint32_t *values, unsigned n);
