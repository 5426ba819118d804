/* SPDX-License-Identifier: BSD-3-Clause */
/* Moves packets between the workers' rings and the TAP, on the main thread. */
#pragma once

#include <stdint.h>

#include "tap.h"

struct event_base;
struct pump;
struct rte_ring;

/* Sees each frame that goes to the kernel (its first segment). */
typedef void (*pump_look_fn)(void *arg, const uint8_t *frame, uint32_t len);

/* Returns 0, -ENOMEM, -errno. 'tap' stays the caller's and outlives the pump. */
int pump_create(struct event_base *base, struct tap *tap, uint16_t mtu, pump_look_fn look,
    void *arg, struct pump **out);
/* The port is detached: nobody uses the rings any more. What is left in them is freed. NULL is legal. */
void pump_destroy(struct pump *p);

struct rte_ring *pump_punt_ring(const struct pump *p);
struct rte_ring *pump_inject_ring(const struct pump *p);
/* Workers write to it after they filled the punt ring. */
int pump_event_fd(const struct pump *p);
/* 'punt_failed': the TAP did not take them; 'inject_failed': no buffer, or the ring was full. */
void pump_counters(const struct pump *p, uint64_t *punt_failed, uint64_t *inject_failed);
