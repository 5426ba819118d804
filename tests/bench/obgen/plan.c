/* SPDX-License-Identifier: BSD-3-Clause */
/* Which connection comes next, and which one a packet belongs to. All of it is arithmetic on the connection's number: state per
 * connection would be memory that the generator and the system under test compete for. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "obgen.h"

uint32_t obg_flow_of(
    const struct obg_conf *c, uint32_t n, rte_be32_t peer, uint16_t sport, uint16_t dport)
{
	uint32_t p = obg_be32(peer) - c->peer, s = (uint32_t)sport - 1024,
		 d = (uint32_t)dport - c->dport;
	uint64_t f;

	if (p >= c->peers || s > 32767 || d > 65535)
		return UINT32_MAX;
	f = ((uint64_t)(d << 15 | s) << c->peers_log2) + p;
	return f < n ? (uint32_t)f : UINT32_MAX;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b != 0) {
		uint32_t r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* A stride near the golden section visits all, and neighbours far apart in time: no cache profits from the order in which
 * connections were opened. */
void obg_walk_init(struct obg_walk *w, uint32_t base, uint32_t n, bool half)
{
	*w = (struct obg_walk){.base = base, .n = n, .left = n};
	w->stride = (uint32_t)((double)n * 0.6180339887);
	while (w->stride == 0 || gcd(w->stride, n) != 1)
		w->stride++;
	w->stride = n == 1 ? 0 : w->stride % n;
	w->inverse = n == 1 ? 0 : UINT64_MAX / n;
	if (half)
		w->at = (uint32_t)((uint64_t)w->stride * (n / 2) % n);
}

static inline uint32_t next(struct obg_walk *w)
{
	uint32_t at = w->at;

	if (w->list != NULL) {
		w->at = at + 1 == w->n ? 0 : at + 1;
		return w->list[at];
	}
	w->at = at >= w->n - w->stride ? at - (w->n - w->stride) : at + w->stride;
	return w->base + at;
}

void obg_walk_fill(struct obg_walk *w, uint32_t *flow, uint32_t *round, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		flow[i] = next(w);
		round[i] = w->round;
		if (--w->left == 0) {
			w->left = w->n;
			w->round++;
		}
	}
}

int obg_walk_pick(struct obg_walk *w, const struct obg_port *port, unsigned q, bool half)
{
	uint32_t n = 0, all = w->n;

	w->list = NULL;
	for (uint32_t i = 0; i < all; i++)
		n += obg_flow_queue(port, &port->pair->conf, w->base + i) == q;
	w->list = malloc((n ? n : 1) * sizeof(*w->list));
	if (w->list == NULL)
		return -ENOMEM;
	n = 0;
	for (uint32_t i = 0, at = 0; i < all; i++) {
		if (obg_flow_queue(port, &port->pair->conf, w->base + at) == q)
			w->list[n++] = w->base + at;
		at = at >= all - w->stride ? at - (all - w->stride) : at + w->stride;
	}
	w->n = n;
	w->left = n;
	w->at = half ? n / 2 : 0;
	w->inverse = n > 1 ? UINT64_MAX / n : 0;
	return 0;
}

/* The inverse of the distribution as if ranks were continuous, rank r being r - 1/2 to r + 1/2: of twice the rank, as log2 by probability.
 * With exponents around 1 that is close to a straight line, so a table of 256 pieces is enough, and small enough to stay in the L1
 * cache. */
void obg_zipf_init(struct obg_zipf *z, double s, uint32_t n)
{
	double most = 2 * (double)n + 1;

	for (unsigned i = 0; i <= 256; i++) {
		double u = (double)i / 256, e;

		e = fabs(s - 1) < 1e-6 ? u * log2(most)
				       : log2(1 + u * (pow(most, 1 - s) - 1)) / (1 - s);
		z->log2_rank[i] = (uint32_t)(e * (1 << 27));
		e = exp2(u) * 2147483648.0;
		z->exp2_frac[i] = e > UINT32_MAX ? UINT32_MAX : (uint32_t)e;
	}
}

/* A rank from 0, the most frequent one. */
static inline uint32_t zipf_rank(const struct obg_zipf *z, uint32_t random)
{
	uint64_t f = random & 0xffffff, y, x;
	unsigned i = random >> 24, k;

	y = z->log2_rank[i] + ((uint64_t)(z->log2_rank[i + 1] - z->log2_rank[i]) * f >> 24);
	k = (unsigned)(y >> 19 & 255);
	x = z->exp2_frac[k] +
	    ((uint64_t)(z->exp2_frac[k + 1] - z->exp2_frac[k]) * (y & 0x7ffff) >> 19);
	return (((uint32_t)(x >> (31 - (y >> 27))) + 1) >> 1) - 1;
}

void obg_walk_zipf(
    struct obg_walk *w, const struct obg_zipf *z, uint64_t *rng, uint32_t *flow, unsigned n)
{
	uint64_t r = *rng;

	for (unsigned i = 0; i < n; i++) {
		uint64_t x, at;

		r = r * 6364136223846793005 + 1442695040888963407;
		at = zipf_rank(z, (uint32_t)(r >> 32));
		at = RTE_MIN(at, (uint64_t)w->n - 1);
		/* Ranks are scattered over the connections, as in the walk. */
		x = w->list != NULL ? at : at * w->stride;
		x -= (uint64_t)((unsigned __int128)x * w->inverse >> 64) * w->n;
		x = x >= w->n ? x - w->n : x;
		flow[i] = w->list != NULL ? w->list[x] : w->base + (uint32_t)x;
	}
	*rng = r;
}
