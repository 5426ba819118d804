/* SPDX-License-Identifier: BSD-3-Clause */
/* What the NVMe suite's programs share: a target process for the whole program, one connection for each test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "nvme_drv.h"

#define RAM	   1u /* namespaces of nvme_target.c */
#define SLOW	   2u
#define NULL_4K	   3u
#define RAM_BLOCKS (16u << 11) /* of 512 */
#define NO_NSID	   77u	       /* valid, not allocated */
#define ALL	   0xffffffffu
#define BUF_BYTES  (4u << 20)

struct suite {
	struct nvd a, b; /* the two controllers; b is not connected until suite_open_b */
	bool has_b;
	uint64_t buf; /* iova of BUF_BYTES for data */
	uint8_t *mem; /* the same here */
};

/* Group: starts the target (with the argument NVME_TARGET_ARG of the environment), ends it and checks that it went in peace. */
int suite_start(void **state);
int suite_stop(void **state);
/* Test: connects to controller a; enables it; makes queue pair 1 besides. The teardown checks that the target lives. */
int suite_connect(void **state);
int suite_enable(void **state);
int suite_queues(void **state);
int suite_close(void **state);
/* Controller b too, enabled and with queue pair 1. */
void suite_open_b(struct suite *s);
/* Closes a and connects anew, with everything on. */
void suite_again(struct suite *s);
/* Enables a and makes queue pair 1. */
void suite_on(struct suite *s);

/* Fails with the status in hex. */
void sc_is(int got, int want, const char *what, int line);
void sc_in(int got, const int *want, unsigned n, const char *what, int line);
#define IS(want, expr) sc_is(expr, want, #expr, __LINE__)
#define IN(expr, ...)                           \
	sc_in(expr, (const int[]){__VA_ARGS__}, \
	    (unsigned)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)), #expr, __LINE__)

/* One command of 'n' blocks with data at buf + off, on queue pair 1. Returns the status. */
int rw(struct suite *s, uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t n, uint32_t off);
/* Fills [off, len) of buf by a seed; whether it still is that. */
void fill(struct suite *s, uint32_t off, uint32_t len, uint32_t seed);
bool holds(const struct suite *s, uint32_t off, uint32_t len, uint32_t seed);
/* A block is written and read back: the controller works. */
void works(struct suite *s);
