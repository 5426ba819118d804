/* SPDX-License-Identifier: BSD-3-Clause */
/* What the page tells of volumes and of functions with disks. */
#pragma once

#include "page.h"

extern const struct source storage_sources[];
extern const unsigned n_storage_sources;

/* Histograms of a source's records, if it is one of I/O statistics. */
void put_latencies(struct page *p, const struct source *s, const struct records *r);
