/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of limits: their clock. */
#pragma once

#include "block_priv.h"

/* Monotonic, ns. */
extern uint64_t (*qos_clock_ns)(void);
