/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from a guest, with what its virtio header may claim of them: parse, first_packet, all answers, path MTU, fragments, encap. Six bytes in
 * front: function and flags, csum_start, csum_offset, segment size. */
#include "test_vpc.h"

#define HEAD 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t all_drops(uint16_t vif)
{
	uint64_t sum = 0;

	for (unsigned r = 0; r < OB_N_DROPS; r++)
		sum += vpc_drops(vif, r);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct test_pkt p;
	static bool up;
	uint16_t vif, flags = 0, start, offset, segsz;
	uint64_t before;

	if (!up) {
		if (vpc_up() < 0)
			abort();
		vpc_policy();
		up = true;
	}
	if (size < HEAD + 14 || size - HEAD > sizeof(p.b))
		return 0;
	p.len = (unsigned)(size - HEAD);
	memcpy(p.b, data + HEAD, p.len);
	vif = data[0] & 3;
	start = data[1];
	offset = data[2] & 31;
	segsz = (uint16_t)(1 + (data[4] << 8 | data[5]) % 9000);
	/* What dataplane/vif promises of a packet with these flags. */
	if ((data[0] & 0x10) && start + offset + 2u <= p.len)
		flags |= OB_PKT_L4_CSUM_PARTIAL;
	if ((data[0] & 0x20) && start + 20u <= RTE_MIN(p.len, 256u) &&
	    p.len - start < OB_PKT_MAX_SEGS * (unsigned)segsz) {
		flags |= OB_PKT_L4_CSUM_PARTIAL | OB_PKT_GSO;
		offset = 16;
	}
	vpc_clear();
	before = all_drops(vif);
	vpc_from_guest_offload(vif, &p, flags, start, offset, segsz);
	/* It goes somewhere (cut into any number), or is counted once and perhaps answered. */
	if (all_drops(vif) - before > 1 || tv->n_guest + tv->n_wire + all_drops(vif) - before == 0)
		abort();
	if (rte_mempool_in_use_count(ob_worker_pool(tv->w)) != 0)
		abort();
	return 0;
}
