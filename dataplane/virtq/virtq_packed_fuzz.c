/* SPDX-License-Identifier: BSD-3-Clause */
#define PACKED 1
#include "virtq_fuzz.h"
