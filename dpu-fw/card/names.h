/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of one kind of object: name -> index and back. The names lie in the arena, the hash over them is rebuilt. */
#pragma once

#include <stdint.h>

#include "ob_arena.h"
#include "ob_bus.h"

#define NAMES_NONE UINT32_MAX

struct names {
	uint32_t max, n, n_buckets, hint; /* hint: no free index below it */
	char (*name)[OB_BUS_NAME];	  /* in the arena; empty: free */
	uint32_t *head, *next;		  /* hash chains of indices */
};

/* Finds or makes region 'region' for 'max' names. Returns 0, -ENOMEM, -EPROTO what lies there is no table of names, or as ob_arena_region. */
int names_init(struct names *t, struct ob_arena *arena, const char *region, uint32_t max);
void names_fini(struct names *t); /* the names stay in the arena */
/* NAMES_NONE: no such name. 'name' ends within OB_BUS_NAME bytes. */
uint32_t names_find(const struct names *t, const char *name);
/* Takes the smallest free index. Returns 0, -EEXIST, -ENOSPC. */
int names_add(struct names *t, const char *name, uint32_t *idx);
void names_del(struct names *t, uint32_t idx);
/* NULL: this index is free, or past the end. */
const char *names_get(const struct names *t, uint32_t idx);
/* First used index >= idx, or NAMES_NONE. */
uint32_t names_next(const struct names *t, uint32_t idx);
