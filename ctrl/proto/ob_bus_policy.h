/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the card bus for what decides about connections: security groups, tags and what binds them. Included by ob_bus.h.
 *
 * Groups and tags are longer than a packet, so they have a body: it is uploaded in pieces, in order, and the ADD or SET of the record
 * that names its length takes it, whole or not at all. A connection of the bus has one upload; it is gone when the connection is,
 * and when a record took it, accepted or refused.
 */
#pragma once

#include "ob_bus.h"

#include <assert.h>
#include <stdint.h>

#define OB_BUS_UPLOAD_DATA 4064
#define OB_BUS_UPLOAD_MAX  (16u << 20) /* bytes of one body */

/* ADD: the next piece; the one at offset 0 begins anew. DEL: forget what was uploaded. */
struct ob_bus_upload {
	uint32_t total; /* bytes of the whole body, the same in every piece */
	uint32_t offset;
	uint32_t len; /* bytes of this piece: OB_BUS_UPLOAD_DATA but for the last */
	uint32_t reserved;
	uint8_t data[OB_BUS_UPLOAD_DATA];
};
static_assert(sizeof(struct ob_bus_upload) == 4080, "wire layout");

/* What the record of an object with a body begins with. */
struct ob_bus_listed {
	char name[OB_BUS_NAME]; /* key */
	uint32_t n_items;
	uint32_t body_len; /* bytes; ADD and SET: of the upload that they take */
};
static_assert(sizeof(struct ob_bus_listed) == 40, "wire layout");

#define OB_BUS_BODY_DATA 4032

/* LIST with noun and name as a filter: the body of an object, in pieces. */
struct ob_bus_body {
	char name[OB_BUS_NAME]; /* key */
	uint8_t noun;		/* key: OB_BUS_SG or OB_BUS_TAG */
	uint8_t reserved[3];
	uint32_t
	    generation; /* another one than in the piece before: it was replaced meanwhile, begin anew */
	uint32_t total, offset, len;
	uint32_t reserved2[3];
	uint8_t data[OB_BUS_BODY_DATA];
};
static_assert(sizeof(struct ob_bus_body) == 4096, "wire layout");

/* A security group. Its body: n_items times a struct ob_bus_rule with its lists. */
struct ob_bus_sg {
	struct ob_bus_listed is;
	/* answers only */
	uint32_t generation; /* grows with each replacement */
	uint32_t n_prefixes; /* with those of the tags that it names */
	uint32_t n_bindings; /* stages of ENIs */
	uint32_t compile_us;
	uint64_t compiled_bytes;
	uint8_t state; /* 1: in force, 2: damaged, denies everything until it is set anew */
	uint8_t reserved[7];
};
static_assert(sizeof(struct ob_bus_sg) == 72, "wire layout");

enum ob_bus_action {
	OB_BUS_PERMIT = 1,
	OB_BUS_DENY = 2,
	OB_BUS_PERMIT_CONTINUE = 3, /* later stages may deny */
	OB_BUS_DENY_CONTINUE = 4,   /* later stages may permit */
};

#define OB_BUS_RULE_PROTOS 12

/* Followed by its lists in this order: n_src, n_dst prefixes (struct ob_bus_ip), n_src_tags, n_dst_tags names (OB_BUS_NAME bytes each),
 * n_sports, n_dports ranges (struct ob_bus_ports). Prefixes and tags of a side are one list; an empty list means any. */
struct ob_bus_rule {
	uint32_t priority; /* the lowest that matches decides; no two alike in a group */
	uint8_t action;	   /* enum ob_bus_action */
	uint8_t n_protos;  /* 0: any */
	uint16_t n_src, n_dst, n_src_tags, n_dst_tags, n_sports, n_dports;
	uint16_t reserved;
	uint8_t proto[OB_BUS_RULE_PROTOS];
};
static_assert(sizeof(struct ob_bus_rule) == 32, "wire layout");

/* From first to last. Of ICMP and ICMPv6: type << 8 | code, as destination ports. */
struct ob_bus_ports {
	uint16_t first, last;
};
static_assert(sizeof(struct ob_bus_ports) == 4, "wire layout");

/* A named list of prefixes. Its body: n_items times a struct ob_bus_ip. */
struct ob_bus_tag {
	struct ob_bus_listed is;
	/* answers only */
	uint32_t generation;
	uint32_t n_ip4; /* of its prefixes */
};
static_assert(sizeof(struct ob_bus_tag) == 48, "wire layout");

enum ob_bus_dir {
	OB_BUS_IN = 1,	/* to the guest */
	OB_BUS_OUT = 2, /* from the guest */
};

/* A security group at a stage of an ENI. */
struct ob_bus_binding {
	char eni[OB_BUS_NAME]; /* key */
	uint8_t dir;	       /* key: enum ob_bus_dir */
	uint8_t stage;	       /* key: 1 to 5, in this order */
	uint8_t reserved[6];
	char sg[OB_BUS_NAME];
};
static_assert(sizeof(struct ob_bus_binding) == 72, "wire layout");
