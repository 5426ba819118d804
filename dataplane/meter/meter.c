/* SPDX-License-Identifier: BSD-3-Clause */
/* Token buckets as one word each: the time until which the allowance is spent (a virtual scheduling clock). Time is counted in 1/256
 * of a timer tick and wraps; only differences are looked at. */
#include "ob_meter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>

#define LAYOUT	    1
#define N_BUCKETS   OB_METER_CONNS /* the kinds before it */
#define TICK_SHIFT  8
#define PRICE_SHIFT 20
#define MAX_RATE    (1ull << 40)
#define MAX_BURST   (1ull << 32)
#define MAX_TIME \
	(1ull << 56)	  /* longer debts are forgiven; farther ahead is a clock that has wrapped */
#define DEFAULT_BURST  20 /* part of a second */
#define MIN_BURST      65536u
#define MIN_BURST_PKTS 16u
#define HOARD_PART     8     /* of the burst, what all workers together may hold */
#define CHUNK_PART     10000 /* of a second, what one takes at once */

struct bucket {
	uint64_t
	    spent; /* allowance is spent until then; 0: never used, full. Workers, compare and swap */
	uint64_t price; /* of a byte, packet or connection: time << PRICE_SHIFT; 0: no limit */
	uint64_t burst; /* time */
	uint64_t chunk; /* bytes, packets or connections taken beyond what is needed */
} __attribute__((aligned(64)));

struct meter {
	struct bucket bucket[N_BUCKETS];
	uint64_t max_conns;
	uint32_t gen; /* credit taken from a meter is not spent on its successor */
};

/* What a worker has taken and not spent. */
struct credit {
	uint64_t left[N_BUCKETS];
	uint32_t gen;
};

struct region {
	struct ob_meter_cfg cfg[OB_METER_MAX_ENIS];
};
static_assert(sizeof(struct ob_meter_cfg) == 96, "arena layout");

struct counters {
	uint64_t n[OB_METER_MAX_ENIS][OB_METER_N_KINDS];
};

uint8_t ob_meter_limited[OB_METER_MAX_ENIS];

static struct meter *meters[OB_METER_MAX_ENIS]; /* RCU */
static struct credit *credits[OB_MAX_WORKERS];
static struct counters *counters[OB_MAX_WORKERS];
static struct region *region;
static unsigned n_workers;
static uint64_t hz;
static uint32_t last_gen;

/* ---- worker ----------------------------------------------------------------------------------------------------------------- */

static inline uint64_t cost(const struct bucket *b, uint64_t amount)
{
	__uint128_t t = (__uint128_t)b->price * amount >> PRICE_SHIFT;

	return t < MAX_TIME ? (uint64_t)t : MAX_TIME;
}

/* Takes from the bucket unless it is empty; the last one to take from it leaves it in debt. */
static bool draw(struct bucket *b, uint64_t amount, uint64_t now)
{
	uint64_t spent = __atomic_load_n(&b->spent, __ATOMIC_RELAXED), next;
	uint64_t price = cost(b, amount);

	do {
		int64_t ahead = (int64_t)(spent - now);
		uint64_t from = spent;

		if (spent == 0 || ahead < -(int64_t)b->burst ||
		    ahead > (int64_t)(MAX_TIME + b->burst))
			from = now - b->burst;
		else if (ahead > 0)
			return false;
		next = from + price;
		next += next == 0;
		/* Nothing else is published by it: the word is all there is. */
	} while (!__atomic_compare_exchange_n(
	    &b->spent, &spent, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

static inline bool take(struct bucket *b, uint64_t *left, uint64_t amount, uint64_t now)
{
	if (b->price == 0)
		return true;
	if (*left < amount) {
		if (!draw(b, amount - *left + b->chunk, now))
			return false;
		*left = amount + b->chunk;
	}
	*left -= amount;
	return true;
}

static inline struct credit *credit_of(unsigned worker, uint16_t eni, const struct meter *m)
{
	struct credit *c = &credits[worker][eni];

	if (c->gen != m->gen)
		*c = (struct credit){.gen = m->gen};
	return c;
}

void ob_meter_count(unsigned worker, uint16_t eni, enum ob_meter_kind kind, uint64_t n)
{
	uint64_t *p = &counters[worker]->n[eni][kind];

	__atomic_store_n(p, *p + n, __ATOMIC_RELAXED);
}

enum ob_drop ob_meter_pass_limited(unsigned worker, uint16_t eni, enum ob_meter_dir dir,
    uint32_t n_pkts, uint32_t bytes, uint64_t now_tsc)
{
	unsigned bw = OB_METER_BW_OUT + dir, pps = OB_METER_PPS_OUT + dir;
	struct meter *m = ob_rcu_load(&meters[eni]);
	uint64_t now = now_tsc << TICK_SHIFT;
	struct credit *c;

	if (m == NULL)
		return OB_N_DROPS;
	c = credit_of(worker, eni, m);
	if (!take(&m->bucket[bw], &c->left[bw], bytes, now)) {
		ob_meter_count(worker, eni, bw, n_pkts);
		return OB_DROP_BW_LIMIT;
	}
	if (!take(&m->bucket[pps], &c->left[pps], n_pkts, now)) {
		if (m->bucket[bw].price != 0)
			c->left[bw] += bytes;
		ob_meter_count(worker, eni, pps, n_pkts);
		return OB_DROP_PPS_LIMIT;
	}
	return OB_N_DROPS;
}

bool ob_meter_new_connection_limited(unsigned worker, uint16_t eni, uint64_t now_tsc)
{
	struct meter *m = ob_rcu_load(&meters[eni]);
	struct credit *c;

	if (m == NULL)
		return true;
	c = credit_of(worker, eni, m);
	if (take(&m->bucket[OB_METER_CPS], &c->left[OB_METER_CPS], 1, now_tsc << TICK_SHIFT))
		return true;
	ob_meter_count(worker, eni, OB_METER_CPS, 1);
	return false;
}

uint64_t ob_meter_conn_limit(uint16_t eni)
{
	const struct meter *m = ob_rcu_load(&meters[eni]);

	return m != NULL ? m->max_conns : 0;
}

/* ---- control ---------------------------------------------------------------------------------------------------------------- */

static bool is_bw(unsigned kind)
{
	return kind == OB_METER_BW_OUT || kind == OB_METER_BW_IN;
}

static int fail(char *err, size_t len, const char *why)
{
	if (err != NULL && len > 0)
		snprintf(err, len, "%s", why);
	return -EINVAL;
}

static void fill(struct bucket *b, unsigned kind, uint64_t rate, uint64_t burst)
{
	uint64_t unit = is_bw(kind) ? 8 : 1, least = is_bw(kind) ? MIN_BURST : MIN_BURST_PKTS,
		 chunk;

	if (rate == 0)
		return;
	if (burst == 0) {
		burst = rate / unit / DEFAULT_BURST;
		burst = burst > least ? burst : least;
	}
	b->price = (uint64_t)(((__uint128_t)hz << (TICK_SHIFT + PRICE_SHIFT)) * unit / rate);
	b->price += b->price == 0;
	b->burst = cost(b, burst);
	chunk = burst / HOARD_PART / n_workers;
	b->chunk = rate / unit / CHUNK_PART;
	b->chunk = b->chunk < chunk ? b->chunk : chunk;
}

static struct meter *compile(const struct ob_meter_cfg *cfg)
{
	struct meter *m = aligned_alloc(64, sizeof(*m));

	if (m == NULL)
		return NULL;
	memset(m, 0, sizeof(*m));
	for (unsigned k = 0; k < N_BUCKETS; k++)
		fill(&m->bucket[k], k, cfg->rate[k], cfg->burst[k]);
	m->max_conns = cfg->rate[OB_METER_CONNS];
	m->gen = ++last_gen;
	return m;
}

static void publish(uint16_t eni, struct meter *m, uint8_t limited)
{
	struct meter *old = meters[eni];

	ob_rcu_publish(&meters[eni], m);
	/* A worker that sees the bit early finds no meter, and passes. */
	__atomic_store_n(&ob_meter_limited[eni], limited, __ATOMIC_RELAXED);
	ob_rcu_defer(free, old);
}

static int apply(uint16_t eni, const struct ob_meter_cfg *cfg, char *err, size_t err_len)
{
	struct meter *m = NULL;
	uint8_t limited = 0;

	for (unsigned k = 0; k < OB_METER_N_KINDS; k++) {
		if (cfg->rate[k] > MAX_RATE)
			return fail(err, err_len, "a rate is over 2^40 a second");
		if (cfg->burst[k] > MAX_BURST)
			return fail(err, err_len, "a burst is over 2^32");
		if (cfg->burst[k] != 0 && (k == OB_METER_CONNS || cfg->rate[k] == 0))
			return fail(err, err_len, "a burst is given without a rate");
		if (cfg->rate[k] != 0)
			limited |= (uint8_t)(1u << k);
	}
	if (limited != 0) {
		m = compile(cfg);
		if (m == NULL)
			return -ENOMEM;
	}
	region->cfg[eni] = *cfg;
	publish(eni, m, limited);
	return 0;
}

int ob_meter_set(uint16_t eni, const struct ob_meter_cfg *cfg, char *err, size_t err_len)
{
	if (eni >= OB_METER_MAX_ENIS)
		return fail(err, err_len, "ENI number out of range");
	/* The same once more does not fill the buckets. */
	if (memcmp(&region->cfg[eni], cfg, sizeof(*cfg)) == 0)
		return 0;
	return apply(eni, cfg, err, err_len);
}

int ob_meter_get(uint16_t eni, struct ob_meter_cfg *out)
{
	if (eni >= OB_METER_MAX_ENIS)
		return -EINVAL;
	*out = region->cfg[eni];
	return 0;
}

void ob_meter_clear(uint16_t eni)
{
	static const struct ob_meter_cfg none;

	if (eni >= OB_METER_MAX_ENIS)
		return;
	apply(eni, &none, NULL, 0);
	for (unsigned w = 0; w < n_workers; w++)
		for (unsigned k = 0; k < OB_METER_N_KINDS; k++)
			__atomic_store_n(&counters[w]->n[eni][k], 0, __ATOMIC_RELAXED);
}

uint64_t ob_meter_exceeded(uint16_t eni, enum ob_meter_kind kind)
{
	uint64_t sum = 0;

	if (eni >= OB_METER_MAX_ENIS || (unsigned)kind >= OB_METER_N_KINDS)
		return 0;
	for (unsigned w = 0; w < OB_MAX_WORKERS; w++)
		if (counters[w] != NULL)
			sum += __atomic_load_n(&counters[w]->n[eni][kind], __ATOMIC_RELAXED);
	return sum;
}

static int worker_init(struct ob_arena *arena, unsigned w)
{
	char name[OB_ARENA_NAME_MAX];
	bool fresh;
	void *p;
	int rc;

	snprintf(name, sizeof(name), "meter.worker.%u", w);
	rc = ob_arena_region(arena, name, LAYOUT, sizeof(struct counters), &p, &fresh);
	if (rc < 0)
		return rc;
	counters[w] = p;
	credits[w] = calloc(OB_METER_MAX_ENIS, sizeof(*credits[w]));
	return credits[w] != NULL ? 0 : -ENOMEM;
}

int ob_meter_init(const struct ob_meter_conf *conf)
{
	bool fresh;
	void *p;
	int rc;

	if (conf->n_workers < 1 || conf->n_workers > OB_MAX_WORKERS)
		return -EINVAL;
	rc = ob_arena_region(conf->arena, "meter.eni", LAYOUT, sizeof(*region), &p, &fresh);
	if (rc < 0)
		return rc;
	region = p;
	n_workers = conf->n_workers;
	hz = conf->tsc_hz != 0 ? conf->tsc_hz : rte_get_tsc_hz();
	for (unsigned w = 0; w < n_workers && rc == 0; w++)
		rc = worker_init(conf->arena, w);
	for (uint16_t eni = 0; eni < OB_METER_MAX_ENIS && rc == 0; eni++) {
		struct ob_meter_cfg cfg = region->cfg[eni];

		/* Damaged limits are forgotten. */
		if (apply(eni, &cfg, NULL, 0) == -EINVAL)
			memset(&region->cfg[eni], 0, sizeof(cfg));
	}
	if (rc < 0)
		ob_meter_fini();
	return rc;
}

void ob_meter_fini(void)
{
	for (uint16_t eni = 0; eni < OB_METER_MAX_ENIS; eni++)
		publish(eni, NULL, 0);
	ob_rcu_sync(NULL);
	ob_rcu_reclaim();
	for (unsigned w = 0; w < OB_MAX_WORKERS; w++) {
		free(credits[w]);
		credits[w] = NULL;
		counters[w] = NULL;
	}
	region = NULL;
}
