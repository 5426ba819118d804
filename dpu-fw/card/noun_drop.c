/* SPDX-License-Identifier: BSD-3-Clause */
#include "card_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int filter(struct ob_card *c, const void *f, struct text *t)
{
	const struct ob_bus_drop *r = f;

	int rc = name_filter(t, &c->enis, "eni", r->eni);

	if (rc < 0)
		return rc;
	if (strcmp(r->function, CARD_UPLINK) == 0)
		return check_filter(t, "function", r->function);
	return name_filter(t, &c->functions, "function", r->function);
}

/* Rows in order: the uplink (0), then function i as i + 1. Cursor: row << 16 | reason. Without a filter, reasons that never
 * happened are left out. */
static int next(struct ob_card *c, const void *f, uint64_t *cursor, void *rec)
{
	const struct ob_bus_drop *want = f;
	struct ob_bus_drop *r = rec;
	unsigned reason = *cursor & 0xffff;
	uint64_t row = *cursor >> 16;
	const char *name = CARD_UPLINK, *eni = "";
	uint16_t vif = OB_VIF_NONE;
	uint32_t i;

	if (row > 0) {
		i = names_next(&c->functions, (uint32_t)(row - 1));
		if (i == NAMES_NONE)
			return -ENOENT;
		if (i + 1u != row) {
			row = i + 1u;
			reason = 0;
		}
		name = c->fn_conf[i].name;
		vif = card_fn_vif(c, i);
		i = card_eni_of_fn(c, i);
		eni = i != NAMES_NONE ? names_get(&c->enis, i) : "";
	}
	if (reason >= OB_N_DROPS || (row > 0 && vif == OB_VIF_NONE) ||
	    (want->function[0] && strcmp(want->function, name) != 0) ||
	    (want->eni[0] && strcmp(want->eni, eni) != 0)) {
		*cursor = (row + 1) << 16;
		return -EAGAIN;
	}
	*cursor = row << 16 | (reason + 1u);
	r->n_pkts = ob_drops_read(vif, reason);
	if (r->n_pkts == 0 && want->function[0] == '\0' && want->eni[0] == '\0')
		return -EAGAIN;
	strcpy(r->function, name);
	strcpy(r->eni, eni);
	snprintf(r->reason, sizeof(r->reason), "%s", ob_drop_name(reason));
	snprintf(r->help, sizeof(r->help), "%s", ob_drop_help(reason));
	return 0;
}

const struct noun noun_drop = {
    .name = "drop", .record_len = sizeof(struct ob_bus_drop), .filter = filter, .next = next};
