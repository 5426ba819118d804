/* SPDX-License-Identifier: BSD-3-Clause */
/* A body that arrives in pieces, of one connection of the bus. The memory of all of them together is bounded. */
#pragma once

#include <stdint.h>

#include "check.h"

struct upload {
	uint8_t *bytes;	      /* NULL: none is under way */
	uint32_t total, have; /* complete when equal */
};

/* Takes a piece. Returns 0; -EINVAL it does not follow on what is there (which is forgotten); -ENOSPC; -ENOMEM; with a text. */
int upload_add(struct upload *u, const struct ob_bus_upload *r, struct text *t);
void upload_drop(struct upload *u);
/* The body of a record that says 'len' bytes: NULL if none of that length is there, after a text. */
const uint8_t *upload_body(const struct upload *u, uint32_t len, struct text *t);
