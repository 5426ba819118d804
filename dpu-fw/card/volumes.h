/* SPDX-License-Identifier: BSD-3-Clause */
/* The card's volumes: names for stacks of block devices. What was asked for lies in the arena; the devices are made from there. */
#pragma once

#include "card_priv.h"

/* In the arena. */
struct volume_rec {
	struct ob_bus_volume conf; /* as asked for; key and answers are zero */
	struct wrapped_key key;
	struct wrapped_key next_key; /* that is taking the place of 'key' */
	uint8_t moving;		     /* to 'next_key': there is a journal */
	uint8_t reserved[7];
};

struct volume {
	struct ob_blk *dev;    /* NULL: offline */
	struct ob_blk *top;    /* 'dev' with its limits, for functions; NULL: none has asked yet */
	struct ob_nvme_ns *ns; /* as NVMe functions show it; NULL: none does */
	bool opening;	       /* a loop of volumes would come back here */
	char error[128];       /* why it is offline */
};

/* A volume as functions show it, in the arena. */
struct namespace_rec {
	uint32_t nsid; /* 0: none */
	uint32_t fn, volume;
	uint32_t reserved;
};

/* Finds or makes the regions and opens what is there. A volume that cannot be opened is offline, which is no error. */
int volumes_init(struct ob_card *c);
/* After the functions are gone. */
void volumes_fini(struct ob_card *c);

/* What volume 'v' stands on, number 'i', or NULL. */
const char *volume_below(const struct ob_bus_volume *v, unsigned i);
/* Makes the device of a new record. 'choice': its ob_bus_volume.fresh. Returns 0 or -errno with a text. */
int volume_create(struct ob_card *c, uint32_t idx, uint8_t choice, struct text *t);
/* Makes the device of record 'idx', and of what it stands on, unless it is there. Returns 0 or -errno with a text. */
int volume_open(struct ob_card *c, uint32_t idx, struct text *t);
bool volume_kind_known(uint8_t kind);
/* Drops the devices. */
void volume_close(struct ob_card *c, uint32_t idx);
/* The device that a function gets. No reference is taken. Returns 0 or -errno with a text. */
int volume_top(struct ob_card *c, uint32_t idx, struct ob_blk **out, struct text *t);
/* Forgets it with the last function: from then on the volume counts what those above it do. */
void volume_drop_top(struct ob_card *c, uint32_t idx);
/* The limits of the record to the device, if it has any. */
int volume_apply_limits(struct ob_card *c, uint32_t idx, struct text *t);
void volume_info(const struct ob_card *c, uint32_t idx, struct ob_blk_info *out);

/* What makes use of a volume. */
enum volume_role {
	ROLE_FUNCTION, /* a function, or a namespace of one */
	ROLE_SNAPSHOT, /* a volume that is a snapshot of it */
	ROLE_CLONE,    /* a volume that is a clone of it */
	ROLE_LAYER,    /* another volume that stands on it */
};
struct volume_user {
	enum volume_role role;
	char what[64]; /* "function n0" */
	char undo[96]; /* "obctl function del n0" */
};
/* The next user; '*cursor' starts at 0. Returns false: there is none. */
bool volume_next_user(
    const struct ob_card *c, uint32_t idx, uint64_t *cursor, struct volume_user *u);
unsigned volume_users(
    const struct ob_card *c, uint32_t idx, struct volume_user *first); /* first: may be NULL */
/* What volume 'v' would be to number 'i' of those that it stands on. */
enum volume_role volume_role_of(const struct ob_bus_volume *v, unsigned i);
/* May another user have it? Returns 0; -EBUSY; -EUCLEAN as volume_check_whole; with a text. */
int volume_claim(struct ob_card *c, uint32_t idx, enum volume_role role, struct text *t);
bool volume_has_limits(const struct ob_bus_volume *v);

/* volume_keys.c */
/* Before a crypt volume is made: is what a move of its key needs there? Returns 0; -ENOENT with a text. */
int volume_check_move(struct ob_card *c, uint32_t idx, struct text *t);
/* May it be used? Not if a move had begun of which only the journal is left: part of the data has a key that is not known.
 * Returns 0; -EUCLEAN with a text. */
int volume_check_whole(const struct ob_card *c, uint32_t idx, struct text *t);
/* After it: a move that was under way goes on. Returns 0 or -errno with a text. */
int volume_resume_move(struct ob_card *c, uint32_t idx, struct text *t);
/* Takes note of a move that has ended. */
void volume_refresh(struct ob_card *c, uint32_t idx);
int volume_set_key(struct ob_card *c, uint32_t idx, const struct ob_bus_key *key, struct text *t);
/* File that a move of the volume keeps its journal in. */
void volume_journal(const struct ob_card *c, uint32_t idx, char *out, size_t len);

/* namespaces.c */
#define MAX_NAMESPACES 1024
int namespaces_init(struct ob_card *c);
/* Shows 'volume' as number '*nsid' of function 'fn' (0: the lowest that is free, stored there). */
int namespace_add(struct ob_card *c, uint32_t fn, uint32_t volume, uint32_t *nsid, struct text *t);
void namespace_del(struct ob_card *c, uint32_t i);
/* First one in use at or after 'i' (of 'fn' if that is not NAMES_NONE), or NAMES_NONE. */
uint32_t namespace_next(const struct ob_card *c, uint32_t i, uint32_t fn);
uint32_t namespace_find(const struct ob_card *c, uint32_t fn, uint32_t nsid);
void namespaces_of_gone(struct ob_card *c, uint32_t fn); /* the function is deleted */

/* disks.c: functions that show volumes. Called by noun_function.c where the type says so. */
extern const struct ob_nvme_hooks card_nvme_hooks; /* their context is the card */
int disk_check(struct ob_card *c, const struct ob_bus_function *r, struct text *t);
/* May a new function have its volume? */
int disk_claim(struct ob_card *c, const struct ob_bus_function *r, struct text *t);
void disk_complete(const struct ob_bus_function *r, struct ob_bus_function *out);
int disk_start(struct ob_card *c, uint32_t fn, struct text *t);
void disk_fill(const struct ob_card *c, uint32_t fn, struct ob_bus_function *r);
static inline bool is_disk(const struct ob_card *c, uint32_t fn)
{
	return c->fn_conf[fn].type != OB_BUS_NET;
}
