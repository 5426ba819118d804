/* SPDX-License-Identifier: BSD-3-Clause */
#include "upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of all connections together. */
#define ALL_MAX (4ull * OB_BUS_UPLOAD_MAX)

static uint64_t all_bytes;

void upload_drop(struct upload *u)
{
	all_bytes -= u->total;
	free(u->bytes);
	memset(u, 0, sizeof(*u));
}

static int begin(struct upload *u, uint32_t total, struct text *t)
{
	upload_drop(u);
	if (total == 0 || total > OB_BUS_UPLOAD_MAX)
		return fail(
		    t, -EINVAL, "an upload has 1 to %u bytes, not %u", OB_BUS_UPLOAD_MAX, total);
	if (total > ALL_MAX - all_bytes)
		return fail(t, -ENOSPC,
		    "other clients of the bus are uploading as much as the card takes; try again");
	u->bytes = malloc(total);
	if (u->bytes == NULL)
		return fail(t, -ENOMEM, "no memory for an upload of %u bytes", total);
	u->total = total;
	all_bytes += total;
	return 0;
}

int upload_add(struct upload *u, const struct ob_bus_upload *r, struct text *t)
{
	uint32_t want;
	int rc;

	if (r->reserved != 0) {
		upload_drop(u);
		return fail(t, -EINVAL, "reserved bytes are not zero");
	}
	if (r->offset == 0 && (rc = begin(u, r->total, t)) < 0)
		return rc;
	want = u->total - u->have;
	if (want > OB_BUS_UPLOAD_DATA)
		want = OB_BUS_UPLOAD_DATA;
	if (want == 0 || r->total != u->total || r->offset != u->have || r->len != want) {
		upload_drop(u);
		return fail(t, -EINVAL,
		    "a piece of %u bytes at %u of %u does not follow on what was uploaded; begin "
		    "anew",
		    r->len, r->offset, r->total);
	}
	memcpy(u->bytes + u->have, r->data, want);
	u->have += want;
	return 0;
}

const uint8_t *upload_body(const struct upload *u, uint32_t len, struct text *t)
{
	if (u->bytes != NULL && u->have == u->total && u->total == len)
		return u->bytes;
	fail(t, -EINVAL, "the record says %u bytes, but %u of %u were uploaded", len, u->have,
	    u->total);
	return NULL;
}
