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
static size_t touched_lo = SIZE_MAX,
	      touched_hi; /* all that was fetched since the last recount lies between, */
static size_t dirty_lo = SIZE_MAX,
	      dirty_hi; /* and all that was scribbled over since the last restore */
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
	touched_lo = dirty_lo = SIZE_MAX;
	touched_hi = dirty_hi = 0;
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
	for (size_t i = dirty_lo; i < dirty_hi; i++) {
		if (scribbled[i])
			area[i] = saved[i];
		scribbled[i] = false;
	}
	dirty_lo = SIZE_MAX;
	dirty_hi = 0;
}

void fake_gmem_recount(void)
{
	if (touched_lo < touched_hi)
		memset(&count[touched_lo], 0, (touched_hi - touched_lo) * sizeof(*count));
	n_fetched = n_stored = 0;
	touched_lo = SIZE_MAX;
	touched_hi = 0;
}

unsigned fake_gmem_fetched(size_t off)
{
	return count[off];
}

unsigned fake_gmem_most_fetched(size_t off, size_t len)
{
	unsigned most = 0;

	for (size_t i = off > touched_lo ? off : touched_lo; i < off + len && i < touched_hi; i++)
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
	touched_lo = off < touched_lo ? off : touched_lo;
	touched_hi = off + len > touched_hi ? off + len : touched_hi;
	if (scribbling) {
		dirty_lo = off < dirty_lo ? off : dirty_lo;
		dirty_hi = off + len > dirty_hi ? off + len : dirty_hi;
	}
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
