/* SPDX-License-Identifier: BSD-3-Clause */
#include "prefault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ob_arena.h"

#define STEP_BYTES (8u << 20) /* what holds the address space's lock at once: about a millisecond */
#define TABLES	   "session."

struct prefault {
	const struct ob_arena *arena;
	pthread_t thread;
	atomic_bool stop;
};

static bool is_table(const struct ob_arena_region_info *r)
{
	return strncmp(r->name, TABLES, sizeof(TABLES) - 1) == 0;
}

static void *run(void *arg)
{
	struct prefault *p = arg;
	struct ob_arena_region_info r;

	for (unsigned i = 0; ob_arena_info(p->arena, i, &r) == 0; i++) {
		for (uint64_t at = 0; is_table(&r) && at < r.len; at += STEP_BYTES) {
			uint64_t left = r.len - at;

			if (atomic_load_explicit(&p->stop, memory_order_relaxed) ||
			    ob_arena_populate(
				p->arena, r.off + at, left < STEP_BYTES ? left : STEP_BYTES) < 0)
				return NULL;
		}
	}
	return NULL;
}

static uint64_t bytes_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kb = 0;
	char line[128];

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "MemAvailable: %llu", &kb) != 1)
		;
	fclose(f);
	return kb << 10;
}

int prefault_start(const struct ob_arena *arena, struct prefault **out)
{
	struct ob_arena_region_info r;
	struct prefault *p;
	uint64_t bytes = 0;
	int rc;

	*out = NULL;
	for (unsigned i = 0; ob_arena_info(arena, i, &r) == 0; i++)
		bytes += is_table(&r) ? r.len : 0;
	if (bytes == 0)
		return 0;
	/* Huge pages are taken already, and are not among what is available. */
	if (!ob_arena_huge(arena) && bytes > bytes_available() / 2)
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -ENOMEM;
	p->arena = arena;
	rc = pthread_create(&p->thread, NULL, run, p);
	if (rc != 0) {
		free(p);
		return -rc;
	}
	*out = p;
	return 0;
}

void prefault_stop(struct prefault *p)
{
	if (p == NULL)
		return;
	atomic_store_explicit(&p->stop, true, memory_order_relaxed);
	pthread_join(p->thread, NULL);
	free(p);
}
