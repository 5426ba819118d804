/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <string.h>

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(
	    t, &c->functions, "function", ((const struct ob_bus_io_queue *)f)->function);
}

/* Cursor: function << 16 | queue. */
static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_io_queue *want = f;
	struct ob_bus_io_queue *r = rec;
	unsigned q = *cursor & 0xffff;
	uint32_t i = names_next(&c->functions, (uint32_t)(*cursor >> 16));

	if (i == NAMES_NONE)
		return -ENOENT;
	if (i != *cursor >> 16)
		q = 0;
	if (!is_disk(c, i) || c->fn[i] == NULL ||
	    (want->function[0] && strcmp(want->function, c->fn_conf[i].name) != 0) ||
	    c->conf.models->disk_queue(c->fn[i], q, r) < 0) {
		*cursor = (uint64_t)(i + 1u) << 16;
		return -EAGAIN;
	}
	*cursor = (uint64_t)i << 16 | (q + 1u);
	strcpy(r->function, c->fn_conf[i].name);
	return 0;
}

const struct noun noun_io_queue = {
    .name = "queue", .record_len = sizeof(struct ob_bus_io_queue), .filter = filter, .next = next};
