/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of volumes, wrapped (RFC 3394, AES-256) so that they can lie in the arena, which other processes of the card may read. What they are
 * wrapped with lies in a file that only this user can read, is made with the first key, and has to stay for as long as the arena. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"

#define KEY_MAX	    64
#define KEK_LEN	    32
#define KEY_WRAPPED (KEY_MAX + 8)

struct wrapped_key {
	uint8_t len; /* of the key; 0: there is none */
	uint8_t reserved[7];
	uint8_t bytes[KEY_WRAPPED];
};
static_assert(sizeof(struct wrapped_key) == 80, "arena layout");

struct keyring {
	char path[256];
	bool loaded;
	uint8_t *kek; /* KEK_LEN, in a page that no core dump has; NULL: not loaded yet */
};

void keyring_init(struct keyring *k, const char *path);
void keyring_wipe(struct keyring *k);
/* 'len' bytes (32 or 64) of 'key'. Returns 0; -EINVAL; -EACCES others can read the file; -errno of the file; with a text. */
int keyring_wrap(
    struct keyring *k, const uint8_t *key, size_t len, struct wrapped_key *out, struct text *t);
/* 'key' has KEY_MAX bytes; the caller wipes it. Returns 0; -EKEYREJECTED it was wrapped with another one; -errno; with a text. */
int keyring_unwrap(struct keyring *k, const struct wrapped_key *w, uint8_t *key, struct text *t);
