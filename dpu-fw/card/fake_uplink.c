/* SPDX-License-Identifier: BSD-3-Clause */
/* No uplink: what a card's tests link where the stages are not. Weak, so the real ones win. */
#include <errno.h>

#include "ob_stages.h"

int __attribute__((weak)) ob_uplink_attach(const struct ob_uplink_conf *conf)
{
	(void)conf;
	return -ENOTSUP;
}

void __attribute__((weak)) ob_uplink_detach(void)
{
}

void __attribute__((weak)) ob_uplink_counters(struct ob_uplink_counters *out)
{
	*out = (struct ob_uplink_counters){0};
}
