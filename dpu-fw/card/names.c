/* SPDX-License-Identifier: BSD-3-Clause */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define NAMES_LAYOUT 1

static uint32_t bucket(const struct names *t, const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return (h ^ h >> 15) & (t->n_buckets - 1);
}

static void link_idx(struct names *t, uint32_t idx)
{
	uint32_t *head = &t->head[bucket(t, t->name[idx])];

	t->next[idx] = *head;
	*head = idx;
	t->n++;
}

int names_init(struct names *t, struct ob_arena *arena, const char *region, uint32_t max)
{
	void *mem;
	bool fresh;
	int rc;

	memset(t, 0, sizeof(*t));
	t->max = max;
	t->n_buckets = 64;
	while (t->n_buckets < max)
		t->n_buckets *= 2;
	rc =
	    ob_arena_region(arena, region, NAMES_LAYOUT, (uint64_t)max * OB_BUS_NAME, &mem, &fresh);
	if (rc < 0)
		return rc;
	t->name = mem;
	t->head = malloc(t->n_buckets * sizeof(*t->head));
	t->next = malloc(max * sizeof(*t->next));
	if (t->head == NULL || t->next == NULL) {
		names_fini(t);
		return -ENOMEM;
	}
	memset(t->head, 0xff, t->n_buckets * sizeof(*t->head));
	for (uint32_t i = 0; i < max && !fresh; i++) {
		if (t->name[i][0] == '\0')
			continue;
		if (!check_name(t->name[i])) {
			names_fini(t);
			return -EPROTO;
		}
		link_idx(t, i);
	}
	return 0;
}

void names_fini(struct names *t)
{
	free(t->head);
	free(t->next);
	t->head = t->next = NULL;
	t->n = 0;
}

uint32_t names_find(const struct names *t, const char *name)
{
	uint32_t i = t->head[bucket(t, name)];

	while (i != NAMES_NONE && strcmp(t->name[i], name) != 0)
		i = t->next[i];
	return i;
}

int names_add(struct names *t, const char *name, uint32_t *idx)
{
	uint32_t i = t->hint;

	if (names_find(t, name) != NAMES_NONE)
		return -EEXIST;
	while (i < t->max && t->name[i][0] != '\0')
		i++;
	t->hint = i;
	if (i == t->max)
		return -ENOSPC;
	strncpy(t->name[i], name, OB_BUS_NAME - 1);
	link_idx(t, i);
	*idx = i;
	return 0;
}

void names_del(struct names *t, uint32_t idx)
{
	uint32_t *p = &t->head[bucket(t, t->name[idx])];

	while (*p != idx)
		p = &t->next[*p];
	*p = t->next[idx];
	memset(t->name[idx], 0, OB_BUS_NAME);
	t->n--;
	if (idx < t->hint)
		t->hint = idx;
}

const char *names_get(const struct names *t, uint32_t idx)
{
	return idx < t->max && t->name[idx][0] != '\0' ? t->name[idx] : NULL;
}

uint32_t names_next(const struct names *t, uint32_t idx)
{
	while (idx < t->max && t->name[idx][0] == '\0')
		idx++;
	return idx < t->max ? idx : NAMES_NONE;
}
