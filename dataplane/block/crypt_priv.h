/* SPDX-License-Identifier: BSD-3-Clause */
/* The encrypting layer's inside: keys (crypt_key.c), device and channels (crypt.c), change of keys (crypt_rekey.c, crypt_journal.c). */
#pragma once

#include <pthread.h>
#include <string.h>

#include "block_priv.h"

/* ---- keys ---- */

#define CRYPT_MAX_KEY 64

/* A key at rest in memory: RFC 3394, under a key of this process. */
struct crypt_wrapped {
	uint8_t len; /* of the key; 0: none */
	uint8_t bytes[CRYPT_MAX_KEY + 8];
};

/* Returns 0, -EINVAL length or equal halves, -ENOMEM, -EIO no randomness. Context: control. */
int crypt_wrap(const uint8_t *key, size_t len, struct crypt_wrapped *out);
/* 'key' is cleansed by the caller. Returns 0, -EIO. Context: any. */
int crypt_unwrap(const struct crypt_wrapped *w, uint8_t key[CRYPT_MAX_KEY]);

/* A key ready for use, by one thread at a time. */
struct crypt_xts;
int crypt_xts_create(const struct crypt_wrapped *w, struct crypt_xts **out);
void crypt_xts_destroy(struct crypt_xts *x);
/* One sector; 'from' and 'to' are equal or do not overlap. Returns false: the library failed. */
bool crypt_xts_encrypt(
    struct crypt_xts *x, uint64_t tweak, const void *from, void *to, uint32_t len);
bool crypt_xts_decrypt(
    struct crypt_xts *x, uint64_t tweak, const void *from, void *to, uint32_t len);

/* The same on CPUs that have wide AES. NULL: this one has not. run: false: not done (no such CPU, or not a multiple of 512 bytes). */
struct crypt_fast;
struct crypt_fast *crypt_fast_create(const uint8_t *key, size_t len);
void crypt_fast_destroy(struct crypt_fast *f);
bool crypt_fast_run(
    const struct crypt_fast *f, bool enc, uint64_t tweak, const void *from, void *to, uint32_t len);

/* ---- the device ---- */

#define CRYPT_SEG_SHIFT 20
#define CRYPT_SEG_BYTES (1u << CRYPT_SEG_SHIFT)

/* The state is one word, so that a channel sees it whole: which of the two keys is current; while data moves to the other one, the
 * first segment that still has the current key, and whether that segment is being moved (I/O to it waits). */
#define CRYPT_CUR	   1ull
#define CRYPT_LOCKED	   2ull
#define CRYPT_MOVING	   4ull
#define CRYPT_SEG_OF(s)	   ((s) >> 3)
#define CRYPT_STATE(i, fl) ((uint64_t)(i) << 3 | (fl))

struct crypt_rekey;
struct crypt_ch;

struct crypt {
	struct ob_blk b;
	uint32_t sector_bytes;
	uint8_t tweak_shift; /* of an offset in bytes */
	bool pass_discard;
	uint64_t iv_offset;
	uint64_t state;
	struct crypt_wrapped key[2];
	pthread_mutex_t lock; /* the list of channels and their xts[]; never taken by an owner */
	struct crypt_ch *chs;
	struct crypt_rekey *rekey;
};

static inline unsigned crypt_key_of(uint64_t state, uint64_t off)
{
	unsigned cur = state & CRYPT_CUR;

	return (state & CRYPT_MOVING) && off >> CRYPT_SEG_SHIFT < CRYPT_SEG_OF(state) ? cur ^ 1
										      : cur;
}

static inline uint64_t crypt_tweak(const struct crypt *d, uint64_t off)
{
	return (off >> d->tweak_shift) + d->iv_offset;
}

/* What the medium forgot (pass_discard): reads as zeroes. By chance a ciphertext is zero once in 2^4096. */
static inline bool crypt_is_zero(const uint8_t *p, uint32_t len)
{
	uint64_t first;

	memcpy(&first, p, sizeof(first));
	return first == 0 && memcmp(p, p + 8, len - 8) == 0;
}

/* Gives every channel a context for key number 'k'. Returns 0, -ENOMEM, -EIO (none has one then). Context: control. */
int crypt_add_key(struct crypt *d, unsigned k);
/* Publishes 'state'; false: some channel has I/O under way that began before it and does not fit, look again. */
void crypt_publish(struct crypt *d, uint64_t state);
bool crypt_adopted(struct crypt *d, uint64_t state);
/* Some channel has I/O that one locked segment after the other holds up: it goes with a poll while none is locked. */
bool crypt_starving(struct crypt *d);
/* As large as the medium; but while data moves it does not grow: the mover, who may be behind the old end already, would leave what is
 * written there under the wrong key. Context: control. */
void crypt_follow_size(struct crypt *d);
/* Every channel is done with key 'k': forgets it. */
void crypt_forget_key(struct crypt *d, unsigned k);
/* Ends the mover's thread, waiting for it; the state stays. NULL device's rekey is legal. Context: control. */
void crypt_rekey_stop(struct crypt *d);
struct crypt *crypt_of(struct ob_blk *b); /* NULL: another kind */

/* ---- the mover's journal ---- */

struct crypt_journal;

/* Opens or makes the file. '*next': the segment to go on with; '*redo': 'data' holds the new ciphertext of segment *next, whose
 * move was not finished. '*fresh': it was made now. '*complete': all is moved. Returns 0, -EKEYREJECTED, -EBADMSG, -ENOMEM, -errno. */
struct crypt_resume {
	uint64_t next;
	uint32_t redo_len; /* 0: nothing to redo */
	bool fresh, complete;
};
int crypt_journal_open(const char *path, const struct crypt_wrapped *from,
    const struct crypt_wrapped *to, uint8_t data[CRYPT_SEG_BYTES], struct crypt_resume *at,
    struct crypt_journal **out);
void crypt_journal_close(struct crypt_journal *j);
/* Durable when they return 0. begin: 'data' is what segment 'seg' will be; done: all before 'seg' are moved. */
int crypt_journal_begin(struct crypt_journal *j, uint64_t seg, const uint8_t *data, uint32_t len);
int crypt_journal_done(struct crypt_journal *j, uint64_t seg, bool complete);
