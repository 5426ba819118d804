/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of 'volume' that set or add with few fields: resize, rekey, snapshot. */
#include "cli.h"

#include <string.h>

#define R ob_bus_volume

#define NAME_FIELD(text)                                                               \
	{                                                                              \
		.name = "name", .kind = K_STR, .flags = F_KEY | F_POS, FIELD(R, name), \
		.arg = "NAME", .help = text                                            \
	}

/* ---- resize ---- */

static const struct field resize_fields[] = {
    NAME_FIELD("of the volume"),
    {.name = "size",
	.kind = K_SIZE,
	.flags = F_SET | F_REQUIRED,
	FIELD(R, bytes),
	.arg = "BYTES",
	.help = "from now on: 20G; smaller only while nothing uses it"},
};

static const struct noun volume_resize = {
    .name = "volume",
    .word = "resize",
    .bus = OB_BUS_VOLUME,
    .record_len = sizeof(struct R),
    .verbs = V_SET,
    .fields = resize_fields,
    .n_fields = sizeof(resize_fields) / sizeof(resize_fields[0]),
};

/* ---- rekey ---- */

static const struct field rekey_fields[] = {
    NAME_FIELD("of the crypt volume"),
    {.name = "key_file",
	.kind = K_KEY,
	.flags = F_SET | F_REQUIRED,
	FIELD(R, key),
	.arg = "PATH",
	.help =
	    "with the new key; all data is encrypted anew while hosts go on ('obctl volume show' "
	    "tells how far it is)"},
};

static int replace_key(void *record)
{
	((struct R *)record)->key.use = OB_BUS_KEY_REPLACE;
	return 0;
}

static const struct noun volume_rekey = {
    .name = "volume",
    .word = "rekey",
    .bus = OB_BUS_VOLUME,
    .record_len = sizeof(struct R),
    .verbs = V_SET,
    .fields = rekey_fields,
    .n_fields = sizeof(rekey_fields) / sizeof(rekey_fields[0]),
    .complete = replace_key,
};

/* ---- snapshot ---- */

static const struct field snapshot_fields[] = {
    {.name = "of",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, on[0]),
	.arg = "VOLUME",
	.help = "a thin volume or a clone; hosts go on using it"},
    NAME_FIELD("of the snapshot, which is a volume"),
};

static int take_snapshot(void *record)
{
	struct R *r = record;

	r->kind = OB_BUS_VOL_SNAPSHOT;
	r->n_on = 1;
	return 0;
}

static const struct noun volume_snapshot = {
    .name = "volume",
    .word = "snapshot",
    .bus = OB_BUS_VOLUME,
    .record_len = sizeof(struct R),
    .verbs = V_ADD,
    .fields = snapshot_fields,
    .n_fields = sizeof(snapshot_fields) / sizeof(snapshot_fields[0]),
    .complete = take_snapshot,
};

extern const struct noun volume_stats;
const struct form volume_forms[] = {{&volume_resize, V_SET}, {&volume_rekey, V_SET},
    {&volume_snapshot, V_ADD}, {&volume_stats, V_LIST}, {NULL, 0}};
