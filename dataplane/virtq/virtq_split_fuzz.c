/* SPDX-License-Identifier: BSD-3-Clause */
#define PACKED 0
#include "virtq_fuzz.h"
