/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of this folder share: one manual worker, a tunnel of each kind, frames. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "encap_priv.h"
#include "ob_test_eal.h"
#include "test_packet.h"

#define TEST_ARENA (512ull << 20)

extern struct ob_arena *test_arena;
extern struct ob_worker *test_worker;

int test_setup(void **state);
int test_teardown(void **state);
/* Fresh tables, own addresses 192.0.2.1 and 2001:db8::1 (MAC 02:00:00:00:00:01). */
int test_begin(void **state);
int test_end(void **state);

struct ob_ip test_ip(const char *text);
struct ob_tunnel_cfg test_tunnel(enum ob_encap_type type, const char *remote);
/* Adds it with a next hop of MTU 1500. */
void test_add_tunnel(uint32_t idx, const struct ob_tunnel_cfg *cfg);
/* An mbuf with these bytes; 'seg' > 0: a chain with segments of that many bytes. */
struct rte_mbuf *test_mbuf(const void *b, unsigned n, unsigned seg);
/* Flat copy of an mbuf; returns its length. */
unsigned test_flat(const struct rte_mbuf *m, uint8_t *out, unsigned max);
/* A tunnel packet to us with the inner frame 'in'. */
void test_outer(struct test_pkt *p, enum ob_encap_type type, const char *src, uint32_t vni,
    const struct test_pkt *in, unsigned tos, const uint8_t *opts, unsigned opts_len);
/* A small inner frame. */
void test_inner(struct test_pkt *p, unsigned tos);

extern const uint8_t test_mac_us[6], test_mac_peer[6];

int encap_tests(void);
int decap_tests(void);
