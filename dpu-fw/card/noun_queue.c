/* SPDX-License-Identifier: BSD-3-Clause */
#include "volumes.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

enum { Q_RUNNING = 1, Q_PACKED = 2, Q_BROKEN = 4 }; /* ob_bus_queue.flags */

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	return name_filter(
	    t, &c->functions, "function", ((const struct ob_bus_queue *)f)->function);
}

/* Cursor: function << 16 | queue. */
static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_queue *want = f;
	struct ob_bus_queue *r = rec;
	struct ob_vif_queue_counters n = {0};
	struct ob_vnet_status st;
	unsigned q = *cursor & 0xffff;
	uint32_t i = names_next(&c->functions, (uint32_t)(*cursor >> 16));

	if (i == NAMES_NONE)
		return -ENOENT;
	if (i != *cursor >> 16)
		q = 0;
	if (is_disk(c, i) || q >= c->fn_conf[i].n_pairs * 2u ||
	    (want->function[0] && strcmp(want->function, c->fn_conf[i].name) != 0)) {
		*cursor = (uint64_t)(i + 1u) << 16;
		return -EAGAIN;
	}
	*cursor = (uint64_t)i << 16 | (q + 1u);
	c->conf.models->get_status(c->fn[i], &st);
	(void)c->conf.models->queue_counters(st.vif_idx, q, &n);
	strcpy(r->function, c->fn_conf[i].name);
	r->queue = (uint16_t)q;
	r->worker = -1;
	if (q < st.n_queues) {
		r->size = st.queue[q].size;
		r->worker = st.queue[q].running ? st.queue[q].worker : (int16_t)-1;
		r->flags = (uint16_t)((st.queue[q].running ? Q_RUNNING : 0) |
				      (st.queue[q].broken ? Q_BROKEN : 0) |
				      (st.negotiated >> VIRTIO_F_RING_PACKED & 1 ? Q_PACKED : 0));
	}
	r->n_pkts = n.n_pkts;
	r->n_bytes = n.n_bytes;
	r->n_bursts = n.n_bursts;
	r->n_irqs = n.n_irqs;
	r->n_kicks = n.n_kicks;
	r->n_gso = n.n_gso;
	r->n_full = n.n_full;
	r->n_errors = n.n_errors;
	return 0;
}

const struct noun noun_queue = {
    .name = "queue", .record_len = sizeof(struct ob_bus_queue), .filter = filter, .next = next};
