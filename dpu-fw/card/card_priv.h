/* SPDX-License-Identifier: BSD-3-Clause */
/* What the nouns share. */
#pragma once

#include "ob_card.h"

#include "check.h"
#include "keys.h"
#include "names.h"
#include "ob_capture.h"
#include "ob_meter.h"
#include "ob_nat.h"
#include "ob_policy.h"
#include "ob_stages.h"
#include "ob_session.h"
#include "rules.h"
#include "upload.h"

#define SERIAL_MAX  32
#define MAX_VOLUMES 1024
#define CARD_UPLINK "uplink" /* where a function's name stands: packets that never reached one */

/* What is told of a security group or a tag, by its index, in the arena. */
struct listed_meta {
	uint32_t n_items, n_ip4;
	uint32_t
	    generation; /* is never 0 while there is one, and goes on when the index is used again */
	uint32_t reserved;
};

/* The body that was asked for last. */
struct body_cache {
	bool valid;
	uint8_t noun;
	uint32_t idx, generation;
	uint8_t *bytes;
	size_t len;
};

/* The packet that was traced last: its answer goes out in one packet, before another client can ask. */
struct traced {
	struct ob_trace trace;
	struct ob_bus_trace asked;
};

struct namespace_rec;
struct volume;
struct volume_rec;

struct ob_card {
	struct ob_card_conf conf;
	char serial[SERIAL_MAX];
	char nvme_serial[21]; /* the same, in the 20 characters that Identify has */
	char run_dir[OB_BUS_PATH];
	uint64_t started_ns;
	const struct ob_bus *bus; /* who serves it, for the client count */
	struct names functions, vnets, enis, tunnels, sgs, tags, pools;
	/* Configuration of functions by index, in the arena: the bus record with its answer fields zero. */
	struct ob_bus_function *fn_conf;
	/* Function of each ENI by index, in the arena. */
	uint32_t *eni_fn;
	struct ob_fn *fn[OB_MAX_VIFS];
	uint16_t fn_vif[OB_MAX_VIFS]; /* valid where fn[] is */
	/* volumes.h: by index, records in the arena. */
	struct names volumes;
	struct volume_rec *volume_rec;
	struct namespace_rec *namespaces;
	struct volume *volume;
	struct keyring keyring;
	uint64_t erase_told_ns;
	struct event *on_move; /* a key is being replaced somewhere; may be NULL */
	struct listed_meta *sg_meta, *tag_meta;
	struct body_cache body;
	struct traced *traced;	   /* NULL: nothing yet */
	struct upload *upload;	   /* of the connection whose request is handled */
	struct upload test_upload; /* of ob_card_request */
	int passed_fd; /* that came with the request, or -1; who takes it says so by -1 */
};

/* One kind of object on the bus. A handler gets a private, aligned copy of the record and checks every field of it.
 * NULL: the verb is not for this noun. */
struct noun {
	const char *name;
	uint16_t record_len;
	bool secret; /* a record may hold a key: copies of it are wiped */
	int (*add)(struct ob_card *c, const void *rec, struct text *t);
	int (*del)(struct ob_card *c, const void *rec, struct text *t);
	int (*set)(struct ob_card *c, const void *rec, struct text *t);
	/* Checks a filter (all zero: none). */
	int (*filter)(struct ob_card *c, const void *filter, struct text *t);
	/* The next record at or after '*cursor' (it starts at 0). Returns 0 filled; -EAGAIN nothing in this stretch, call again; -ENOENT end. */
	int (*next)(struct ob_card *c, const void *filter, uint64_t *cursor, void *rec);
};

#define NOUN_MAX_RECORD 4096

extern const struct noun noun_card, noun_function, noun_vnet, noun_eni, noun_route, noun_mapping,
    noun_tunnel, noun_uplink, noun_queue, noun_drop, noun_worker, noun_upload, noun_body, noun_sg,
    noun_tag, noun_binding, noun_nat_pool, noun_nat_bind, noun_fip, noun_nat64, noun_session,
    noun_session_policy, noun_session_eni, noun_session_table, noun_meter, noun_capture, noun_trace,
    noun_volume, noun_namespace, noun_volume_stats, noun_function_stats, noun_io_queue;

/* Name -> index, or -EINVAL / -ENOENT with a text that says which noun to list. */
int lookup(struct text *t, const struct names *names, const char *noun, const char *field,
    const char name[OB_BUS_NAME], uint32_t *idx);
/* Checks and takes a new name. Returns 0, -EINVAL, -EEXIST, -ENOSPC with a text. */
int take_name(
    struct text *t, struct names *names, const char *noun, const char *name, uint32_t *idx);
/* Filter by the first field, the name: empty, or an object that is there. */
int name_filter(struct text *t, const struct names *names, const char *noun, const char *name);

/* Largest guest MTU whose packets fit the uplink in any encapsulation without options: also over IPv6. */
uint16_t card_default_mtu(const struct ob_card *c);
uint64_t card_now_ns(void);
/* vif of a function; OB_VIF_NONE: there is none. */
uint16_t card_fn_vif(const struct ob_card *c, uint32_t fn);
/* ENI of function 'fn', or NAMES_NONE. */
uint32_t card_eni_of_fn(const struct ob_card *c, uint32_t fn);

/* An ENI that the security group is bound to, or NAMES_NONE. */
uint32_t card_eni_of_sg(const struct ob_card *c, uint32_t sg);

/* What is set for the connections of an ENI, time-outs spelt out. */
void card_session_conf(uint16_t eni, struct ob_session_eni_conf *out);

/* For ob_capture_set_names; 'ctx' is the card. */
const char *card_capture_name(void *ctx, enum ob_capture_kind kind, uint32_t idx);

/* dispatch.c: a request, split from how it came. */
struct listing {
	const struct noun *noun; /* NULL: none is under way */
	struct ob_bus_hdr hdr;	 /* of the request */
	uint64_t cursor;
	_Alignas(8) uint8_t filter[NOUN_MAX_RECORD];
};

/* Handles one packet. Returns the bytes of the answer in 'out' (ANSWER_MAX of them at most), or 0 when 'l' was begun: its packets come
 * from listing_fill. '*hangup': the peer does not speak this protocol; close after the answer. */
#define ANSWER_MAX (sizeof(struct ob_bus_hdr) + sizeof(struct text))
size_t dispatch(struct ob_card *c, struct upload *up, const void *req, size_t len, void *out,
    struct listing *l, bool *hangup);
/* The next packet of a listing, at most 'out_len' bytes. '*cursor' is where the one after it begins: store it once the packet is sent.
 * '*more' false: it was the last one. */
size_t listing_fill(struct ob_card *c, const struct listing *l, void *out, size_t out_len,
    uint64_t *cursor, bool *more);
