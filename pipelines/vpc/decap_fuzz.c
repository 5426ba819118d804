/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from the wire: uplink_rx, decap, parse, deliver, and the answers to the overlay. The first byte cuts the frame into a chain. */
#include "test_vpc.h"

#include <rte_ring.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t all_drops(void)
{
	uint64_t sum = 0;

	for (unsigned r = 0; r < OB_N_DROPS; r++) {
		sum += vpc_drops(OB_VIF_NONE, r);
		for (uint16_t vif = GUEST_A; vif <= GUEST_C; vif++)
			sum += vpc_drops(vif, r);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct test_pkt p;
	static bool up;
	struct rte_mbuf *m = NULL;
	uint64_t before;
	unsigned n = 0;

	if (!up) {
		if (vpc_up() < 0)
			abort();
		vpc_policy();
		up = true;
	}
	if (size < 2 || size - 1 > sizeof(p.b))
		return 0;
	p.len = (unsigned)size - 1;
	memcpy(p.b, data + 1, p.len);
	vpc_clear();
	before = all_drops();
	vpc_from_wire(&p, data[0] & 1 ? 1u + data[0] : 0);
	while (rte_ring_dequeue(tv->punt, (void **)&m) == 0) {
		rte_pktmbuf_free(m);
		n++;
	}
	/* Each packet ends in exactly one place, and its buffers come back. */
	if (n + tv->n_guest + tv->n_wire + all_drops() - before != 1)
		abort();
	if (rte_mempool_in_use_count(ob_worker_pool(tv->w)) != 0)
		abort();
	return 0;
}
