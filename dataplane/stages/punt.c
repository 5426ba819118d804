/* SPDX-License-Identifier: BSD-3-Clause */
/* To the card's kernel. ICMP errors about our own tunnel packets come this way too: the underlay learns path MTUs from them. */
#include "stages_priv.h"

#include <unistd.h>

#include <rte_ring.h>

void punt_burst(struct ob_worker *w, struct uplink *u, struct rte_mbuf **pkts, unsigned n)
{
	unsigned put = 0;
	uint64_t one = 1;

	/* Before they are somebody else's; what does not fit is seen once more, as a drop. */
	stage_show(w, OB_FATE_KERNEL, pkts, n);
	if (u->conf.punt_ring != NULL)
		put = rte_ring_mp_enqueue_burst(u->conf.punt_ring, (void *const *)pkts, n, NULL);
	for (unsigned i = put; i < n; i++)
		ob_drop(w, OB_DROP_PUNT_FULL, OB_VIF_NONE, pkts[i]);
	if (put == 0)
		return;
	stage_count(&uplink_counters[ob_worker_id(w)].punted, put);
	/* A counter that is full (EAGAIN) wakes the reader just as well. */
	if (u->conf.punt_event_fd >= 0 && write(u->conf.punt_event_fd, &one, sizeof(one)) < 0)
		return;
}
