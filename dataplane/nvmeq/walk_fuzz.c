/* SPDX-License-Identifier: BSD-3-Clause */
/* The PRP and SGL walker over memory of any bytes. What must hold: it ends, fetches no more than its bounds allow, and on success its ranges are
 * as long as the transfer. */
#include <stdlib.h>
#include <string.h>

#include "fake_driver.h"
#include "ob_nvmeq.h"

#define IOVA  0x100000ull
#define PAGES 8u

static struct fake_guest g;
static struct ob_gmem *gm;

static void check(bool ok)
{
	if (!ok)
		abort();
}

static uint64_t fold(uint64_t addr, unsigned how)
{
	uint64_t at = IOVA + addr % (PAGES * 4096);

	switch (how & 3) {
	case 0:
		return at & ~4095ull;
	case 1:
		return at & ~15ull;
	case 2:
		return at;
	default:
		return addr;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
	static struct ob_nvme_range out[OB_NVME_MAX_RANGES];
	struct ob_nvme_walk walk = {.page_shift = 12, .sgl = true};
	struct ob_nvme_sqe sqe = {0};
	uint64_t sum = 0, dptr[2];
	uint32_t bytes;
	unsigned n = 0;
	uint64_t *p;

	if (len < 24)
		return 0;
	if (gm == NULL)
		check(fake_guest_init(&g, PAGES * 4096, IOVA) == 0 &&
		      ob_gmem_create(&(struct ob_gmem_conf){.name = "fuzz"}, &gm) == 0 &&
		      ob_gmem_add(gm, (ob_iova_t){IOVA}, PAGES * 4096, OB_GMEM_READ | OB_GMEM_WRITE,
			  g.fd, 0) == 0);
	memcpy(&bytes, in, 4);
	bytes = bytes % OB_BLK_MAX_BYTES + 1;
	sqe.flags = in[4];
	walk.to_host = in[5] & 1;
	walk.page_shift = 12 + (in[5] >> 1) % 3;
	memcpy(dptr, in + 8, 16);
	sqe.dptr[0] = fold(dptr[0], in[6]);
	sqe.dptr[1] = sqe.flags >> 6 == 0 ? fold(dptr[1], in[7]) : dptr[1];
	in += 24;
	len -= 24;
	p = fake_guest_ptr(&g, IOVA);
	memset(p, 0, PAGES * 4096);
	for (unsigned i = 0; len > 0 && i < PAGES * 512; i++) {
		uint64_t v = 0;
		unsigned how = in[i % len];

		for (unsigned k = 0; k < 8; k++)
			v = v << 8 | in[(i * 8 + k) % len];
		/* Even words are addresses in both kinds of list; odd ones are an SGL's length and type too. */
		p[i] = i % 2 == 0 || how & 4 ? fold(v, how) : v;
		if (i % 2 == 1 && how & 8)
			p[i] = (v & 0x3ull << 60) | (v & 0xff0);
	}
	if (ob_nvme_walk(ob_gmem_map_get(gm), &walk, &sqe, bytes, out, &n) == 0) {
		for (unsigned i = 0; i < n; i++) {
			check(out[i].len > 0);
			sum += out[i].len;
		}
		check(sum == bytes);
	}
	check(n <= OB_NVME_MAX_RANGES);
	return 0;
}
