/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_namespace

static const struct choice access_modes[] = {{"rw", 1}, {"ro", 2}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "function",
	.head = "FUNCTION",
	.kind = K_STR,
	.flags = F_KEY | F_POS | F_FILTER,
	FIELD(R, function),
	.arg = "FUNCTION",
	.help = "an nvme function"},
    {.name = "nsid",
	.head = "NSID",
	.kind = K_UINT,
	.flags = F_ADD | F_FILTER,
	FIELD(R, nsid),
	.arg = "N",
	.help = "number of the namespace, 1 to 256; add: default the smallest that is free"},
    {.name = "volume",
	.head = "VOLUME",
	.kind = K_STR,
	.flags = F_ADD | F_REQUIRED | F_FILTER,
	FIELD(R, volume),
	.arg = "NAME",
	.help = "what it shows"},
    {.name = "size", .head = "SIZE", .kind = K_SIZE, FIELD(R, bytes)},
    {.name = "block", .head = "BLOCK", .kind = K_UINT, FIELD(R, lba_bytes)},
    {.name = "access",
	.head = "ACCESS",
	.kind = K_CHOICE,
	FIELD(R, access),
	.choices = access_modes},
    {.name = "uuid", .head = "UUID", .kind = K_UUID, FIELD(R, uuid)},
};

static const struct field del_fields[] = {
    {.name = "function",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, function),
	.arg = "FUNCTION",
	.help = "an nvme function"},
    {.name = "nsid",
	.kind = K_UINT,
	.flags = F_KEY | F_REQUIRED,
	FIELD(R, nsid),
	.arg = "N",
	.help = "number of the namespace"},
};

static const struct noun namespace_del = {
    .name = "namespace",
    .word = "del",
    .bus = OB_BUS_NAMESPACE,
    .record_len = sizeof(struct R),
    .verbs = V_DEL,
    .fields = del_fields,
    .n_fields = sizeof(del_fields) / sizeof(del_fields[0]),
};

static const struct form forms[] = {{&namespace_del, V_DEL}, {NULL, 0}};

const struct noun noun_namespace = {
    .name = "namespace",
    .alias = "ns",
    .bus = OB_BUS_NAMESPACE,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_LIST | V_SHOW,
    .help = "volumes as an nvme function shows them",
    .about = "An nvme function shows up to 256 volumes, each as a namespace with a number. They "
	     "come and "
	     "go while the host runs, which hears\n"
	     "of it by an event and looks again. A volume with --shared on may be a namespace of "
	     "several "
	     "functions. The UUID is derived\n"
	     "from the card's serial number and the volume's name: the same on every start.",
    .examples = "  obctl namespace add n0 --volume d1\n"
		"  obctl namespace add n0 --nsid 7 --volume d2\n"
		"  obctl namespace list n0\n"
		"  obctl namespace del n0 --nsid 7\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .forms = forms,
};
