/* SPDX-License-Identifier: BSD-3-Clause */
#include "fake_gmem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ob_gmem.h"

static uint8_t *area;
static size_t area_len;
static uint16_t *count;
static uint8_t *saved; /* the guest's byte before the scribble */
static bool *scribbled;
static bool scribbling;
static uint64_t n_fetched, n_stored;
static void (*step_cb)(void *ctx);
static void *step_ctx;

void fake_gmem_watch(void *mem, size_t len)
{
	free(count);
	free(saved);
	free(scribbled);
	count = NULL;
	saved = NULL;
	scribbled = NULL;
	scribbling = false;
	step_cb = NULL;
	area = mem;
	area_len = len;
	n_fetched = n_stored = 0;
	if (len == 0)
		return;
	count = calloc(len, sizeof(*count));
	saved = calloc(len, 1);
	scribbled = calloc(len, sizeof(*scribbled));
	assert(count != NULL && saved != NULL && scribbled != NULL);
}

void fake_gmem_scribble(bool on)
{
	scribbling = on;
}

void fake_gmem_restore(void)
{
	for (size_t i = 0; i < area_len; i++) {
		if (scribbled[i])
			area[i] = saved[i];
		scribbled[i] = false;
	}
}

void fake_gmem_recount(void)
{
	memset(count, 0, area_len * sizeof(*count));
	n_fetched = n_stored = 0;
}

unsigned fake_gmem_fetched(size_t off)
{
	return count[off];
}

unsigned fake_gmem_most_fetched(size_t off, size_t len)
{
	unsigned most = 0;

	for (size_t i = off; i < off + len; i++)
		most = count[i] > most ? count[i] : most;
	return most;
}

uint64_t fake_gmem_bytes_fetched(void)
{
	return n_fetched;
}

uint64_t fake_gmem_bytes_stored(void)
{
	return n_stored;
}

void fake_gmem_on_step(void (*cb)(void *ctx), void *ctx)
{
	step_cb = cb;
	step_ctx = ctx;
}

static bool watched(const void *hva, size_t len, size_t *off)
{
	*off = (size_t)((uintptr_t)hva - (uintptr_t)area);
	return *off < area_len && len <= area_len - *off;
}

void ob_gmem_fake_fetched(const void *hva, size_t len)
{
	size_t off;

	if (!watched(hva, len, &off))
		return;
	n_fetched += len;
	for (size_t i = off; i < off + len; i++) {
		count[i]++;
		if (!scribbling)
			continue;
		if (!scribbled[i])
			saved[i] = area[i];
		scribbled[i] = true;
		/* Never a xor with 0: each byte does change. */
		area[i] ^= (uint8_t)((0x5b + i * 37) ^ (n_fetched << 1)) | 1;
	}
}

void ob_gmem_fake_stored(const void *hva, size_t len)
{
	size_t off;

	if (!watched(hva, len, &off))
		return;
	n_stored += len;
	for (size_t i = off; i < off + len; i++)
		scribbled[i] = false;
	ob_gmem_fake_crash_point();
}

void ob_gmem_fake_crash_point(void)
{
	if (step_cb != NULL)
		step_cb(step_ctx);
}
