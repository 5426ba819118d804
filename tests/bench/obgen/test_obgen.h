/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of net_obgen: a pair of ports, and a perfect system between them, written here byte by byte. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "test_packet.h"

#define OUTER 50

static inline uint32_t tp_get32(const uint8_t *b)
{
	return (uint32_t)tp_get16(b) << 16 | tp_get16(b + 2);
}

struct pair {
	uint16_t guest, wire;
	unsigned n_q;
	struct rte_mempool *mp;
	char report[64], go[64];
	/* What the middle saw. */
	uint64_t to_wire, to_guest;
	unsigned lose; /* one packet in so many; 0 none */
	/* Looks at every packet before it is passed on, NULL nobody. Returns false to lose it. */
	bool (*look)(struct pair *, struct rte_mbuf *, bool from_guest, unsigned queue);
	/* Changes a packet that is about to come out. */
	void (*spoil)(struct pair *, struct rte_mbuf *, bool from_guest);
	void *arg;
};

/* Ports with these arguments, in addition to their roles and the report. Aborts where that fails. */
void pair_up(struct pair *p, const char *args, unsigned n_queues);
/* Configures and starts one of them, with p->n_q queues each way. */
void pair_port_up(struct pair *p, uint16_t port);
void pair_down(struct pair *p);
/* Polls each queue of both ports once and passes on what there is. Returns the packets. */
unsigned pair_round(struct pair *p);
/* Polls until the report is in this phase (or a later one), at most ten seconds. */
void pair_until(struct pair *p, const char *phase);
/* What the report says. */
bool pair_is(struct pair *p, const char *phase);
/* Polls until so many packets more have passed. */
void pair_packets(struct pair *p, unsigned n);
uint64_t pair_xstat(uint16_t port, const char *name);
uint64_t pair_errors(uint16_t port);
/* A number out of the report: a path as "windows.0.emitted". */
double pair_report(struct pair *p, const char *path);
