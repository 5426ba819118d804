/* SPDX-License-Identifier: BSD-3-Clause */
/* The card's counters as an OpenMetrics text page (OpenMetrics 1.0). */
#pragma once

#include "ob_client.h"

#define OB_TELEMETRY_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Asks the card and writes the whole page, with its closing "# EOF". '*page' is the caller's to free. Context: any; blocks as the client does.
 * Returns 0, -ENOMEM, or as ob_client_list. */
int ob_telemetry_page(struct ob_client *c, char **page);
