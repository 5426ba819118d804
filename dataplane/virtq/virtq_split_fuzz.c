/* SPDX-License-Identifier: BSD-3-Clause */
#define PACKED 0
#include "test_virtq_fuzz.h"
