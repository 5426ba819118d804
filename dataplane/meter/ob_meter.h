/* SPDX-License-Identifier: BSD-3-Clause */
/* Allowances of an ENI: bandwidth and packets per direction, new connections, live connections.
 *
 * A rate is one token bucket per ENI, shared by all workers without a lock: a worker takes credit from the bucket's one atomic word
 * in chunks and spends it alone. What a worker may hold is bounded to a small part of the burst, so that idle workers do not
 * keep the allowance from busy ones. A bucket that is not empty lets a packet of any size pass and goes into debt: long-run rates
 * are exact, and no packet is too big for a burst. Every refusal is counted: "allowance exceeded".
 *
 * The number of live connections is counted where they live (session/); its limit and its counter are here with the others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_arena.h"
#include "ob_worker.h"

#define OB_METER_MAX_ENIS 1024

enum ob_meter_dir {
	OB_METER_OUT = 0, /* what the ENI's guest sends */
	OB_METER_IN = 1,  /* what is sent to it */
};

enum ob_meter_kind {
	OB_METER_BW_OUT,
	OB_METER_BW_IN,
	OB_METER_PPS_OUT,
	OB_METER_PPS_IN,
	OB_METER_CPS,	/* connections opened, either direction */
	OB_METER_CONNS, /* live connections; no bucket */
	OB_METER_N_KINDS
};

/* 0: no limit. */
struct ob_meter_cfg {
	/* Per second: bits of BW kinds, packets, connections; OB_METER_CONNS: live connections. */
	uint64_t rate[OB_METER_N_KINDS];
	/* What may pass at once after a silence: bytes of BW kinds, packets, connections; 0: 50 ms at the rate (at least 64 kB, or 16).
	 * Not for OB_METER_CONNS. */
	uint64_t burst[OB_METER_N_KINDS];
};

struct ob_meter_conf {
	struct ob_arena *arena;
	unsigned n_workers;
	uint64_t tsc_hz; /* 0: rte_get_tsc_hz() */
};

/* ---- control -------------------------------------------------------------------------------------------------------------- */

/* Finds or makes limits and counters in the arena. Returns 0, -EINVAL, -ENOMEM, or as ob_arena_region. Context: control, before
 * workers use it. */
int ob_meter_init(const struct ob_meter_conf *conf);
void ob_meter_fini(void);

/* Sets all limits of an ENI (a zeroed 'cfg': none). Buckets start full; the counters stay.
 * Returns 0, -EINVAL (with a reason in 'err' if not NULL): rate over 2^40 a second or burst over 2^32. Context: control. */
int ob_meter_set(uint16_t eni, const struct ob_meter_cfg *cfg, char *err, size_t err_len);
int ob_meter_get(uint16_t eni, struct ob_meter_cfg *out); /* 0, -EINVAL */
/* The ENI is deleted: no limits, counters zero. */
void ob_meter_clear(uint16_t eni);
/* Packets (CPS, CONNS: connections) refused, over all workers. Context: any. */
uint64_t ob_meter_exceeded(uint16_t eni, enum ob_meter_kind kind);

/* ---- worker --------------------------------------------------------------------------------------------------------------- */

/* Which kinds of an ENI have a limit: bit per kind. Written by control. */
extern uint8_t ob_meter_limited[OB_METER_MAX_ENIS];

/* Out of line: the ENI has such a limit. */
enum ob_drop ob_meter_pass_limited(unsigned worker, uint16_t eni, enum ob_meter_dir dir,
    uint32_t n_pkts, uint32_t bytes, uint64_t now_tsc);
bool ob_meter_new_connection_limited(unsigned worker, uint16_t eni, uint64_t now_tsc);
/* Counts refusals that somebody else decided: session/ for OB_METER_CONNS. */
void ob_meter_count(unsigned worker, uint16_t eni, enum ob_meter_kind kind, uint64_t n);

/* May a packet, or a run of packets of one ENI, pass? All of them or none: after a refusal of a run the caller may ask one by one.
 * 'bytes': of the (inner) frames. 'now_tsc': ob_worker_tsc. Returns OB_N_DROPS (pass), OB_DROP_BW_LIMIT, OB_DROP_PPS_LIMIT; what is
 * refused is counted and costs no credit. Context: worker number 'worker'. */
static inline enum ob_drop ob_meter_pass(unsigned worker, uint16_t eni, enum ob_meter_dir dir,
    uint32_t n_pkts, uint32_t bytes, uint64_t now_tsc)
{
	const unsigned mask = (1u << OB_METER_BW_OUT | 1u << OB_METER_PPS_OUT) << dir;

	if (!(__atomic_load_n(&ob_meter_limited[eni], __ATOMIC_RELAXED) & mask))
		return OB_N_DROPS;
	return ob_meter_pass_limited(worker, eni, dir, n_pkts, bytes, now_tsc);
}

/* May the ENI open a connection now? False: OB_DROP_CPS_LIMIT, counted. Context: worker number 'worker'. */
static inline bool ob_meter_new_connection(unsigned worker, uint16_t eni, uint64_t now_tsc)
{
	if (!(__atomic_load_n(&ob_meter_limited[eni], __ATOMIC_RELAXED) & 1u << OB_METER_CPS))
		return true;
	return ob_meter_new_connection_limited(worker, eni, now_tsc);
}

/* Most live connections of the ENI, 0: no limit. Context: any. */
uint64_t ob_meter_conn_limit(uint16_t eni);
