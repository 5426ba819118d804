/* SPDX-License-Identifier: BSD-3-Clause */
/* Histogram with 64 bins for each power of two: a value is known to 1.6 %. */
#include <string.h>

#include "obgen.h"

void obg_hist_clear(struct obg_hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void obg_hist_merge(struct obg_hist *to, const struct obg_hist *from)
{
	for (unsigned i = 0; i < OBG_N_BINS; i++)
		to->bin[i] += from->bin[i];
	to->n += from->n;
	to->sum += from->sum;
	to->min = RTE_MIN(to->min, from->min);
	to->max = RTE_MAX(to->max, from->max);
}

static uint64_t upper_end(unsigned i)
{
	unsigned e = i >> OBG_SUB_BITS, sub = i & ((1u << OBG_SUB_BITS) - 1);

	if (e == 0)
		return i;
	return (((1ull << OBG_SUB_BITS) + sub + 1) << (e - 1)) - 1;
}

uint64_t obg_hist_at(const struct obg_hist *h, double p)
{
	uint64_t want = (uint64_t)(p * (double)h->n), seen = 0;

	for (unsigned i = 0; i < OBG_N_BINS; i++) {
		seen += h->bin[i];
		if (seen > want || (seen == h->n && seen > 0))
			return RTE_MIN(upper_end(i), h->max);
	}
	return 0;
}
