/* SPDX-License-Identifier: BSD-3-Clause */
/* The whole way of a packet with nothing faked but its two ends: guests are arrays, the wire is a pair of rings behind a port. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ob_vpc.h"
#include "test_packet.h"

#define TEST_MAX_OUT 512

/* Three functions: 0 and 1 in VNET 0 (VNI 100), 2 in VNET 1 (VNI 200) with the addresses of 0. */
enum { GUEST_A, GUEST_B, GUEST_C };

struct test_out {
	struct test_pkt pkt;
	struct ob_meta meta;
	uint16_t tso_segsz;
};

struct test_vpc {
	struct ob_arena *arena;
	unsigned n_workers;  /* set before vpc_up; 0: 1 */
	struct ob_worker *w; /* the first: guests and the wire come in here */
	unsigned n_guest, n_wire;
	struct test_out guest[TEST_MAX_OUT]; /* delivered to guests */
	struct test_pkt wire[TEST_MAX_OUT];  /* sent by the port */
	struct rte_ring *to_card, *to_wire, *punt, *inject;
	int punt_fd;
	bool sink; /* count what comes to guests, and throw it away */
	uint16_t port;
};

extern struct test_vpc *tv;

#define T(f) cmocka_unit_test_setup_teardown(f, vpc_begin, vpc_end)

int vpc_group_setup(void **state);
int vpc_group_teardown(void **state);
/* Fresh policy: see the comment in fake_vpc.c. Nothing delivered yet. */
int vpc_begin(void **state);
int vpc_end(void **state); /* fails when packet buffers were lost */
/* The same without cmocka, for fuzz targets. */
int vpc_up(void);
void vpc_policy(void);

struct rte_mbuf *vpc_mbuf(const void *b, unsigned n, unsigned seg);
/* What dataplane/vif calls. */
void vpc_input(uint16_t vif, struct ob_burst *b);
/* From a guest; 'flags', csum and segsz as its virtio header would say. */
void vpc_from_guest(uint16_t vif, const struct test_pkt *p);
void vpc_from_guest_offload(uint16_t vif, const struct test_pkt *p, uint16_t flags,
    uint16_t csum_start, uint16_t csum_offset, uint16_t segsz);
void vpc_from_wire(const struct test_pkt *p, unsigned seg);
uint64_t vpc_drops(uint16_t vif, enum ob_drop why);
/* Forgets what came out so far. */
void vpc_clear(void);

/* A tunnel packet to us. */
void vpc_outer(struct test_pkt *p, enum ob_encap_type type, const char *src, uint32_t vni,
    const struct test_pkt *in);
/* Checks the outer headers of wire packet 'i' and cuts its inner frame out. */
void vpc_inner(unsigned i, enum ob_encap_type type, uint32_t vni, struct test_pkt *in);
/* IP, L4 checksums and lengths of a frame; 'n' its bytes. */
void vpc_check_frame(const uint8_t *b, unsigned n);
struct ob_ip vpc_ip(const char *text);

extern const uint8_t mac_a[6], mac_b[6], mac_c[6], mac_far[6], mac_router[6], mac_card[6],
    mac_peer[6], mac_bcast[6];

int forward_tests(void);
int uplink_tests(void);
int answer_tests(void);
int dhcp_tests(void);
int pmtu_tests(void);
int session_tests(void);
int nat_tests(void);
int nat64_tests(void);
int trace_tests(void);
