/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_volume

static const struct choice kinds[] = {{"null", OB_BUS_VOL_NULL}, {"ram", OB_BUS_VOL_RAM},
    {"file", OB_BUS_VOL_FILE}, {"crypt", OB_BUS_VOL_CRYPT}, {"qos", OB_BUS_VOL_QOS},
    {"stripe", OB_BUS_VOL_STRIPE}, {"concat", OB_BUS_VOL_CONCAT}, {"snapshot", OB_BUS_VOL_SNAPSHOT},
    {"clone", OB_BUS_VOL_CLONE}, {"thin", OB_BUS_VOL_THIN}, {"integrity", OB_BUS_VOL_INTEGRITY},
    {NULL, 0}};
static const struct choice access_modes[] = {{"rw", 1}, {"ro", 2}, {NULL, 0}};
static const struct choice caches[] = {{"direct", 1}, {"buffered", 2}, {NULL, 0}};
static const struct choice on_off[] = {{"on", 1}, {"off", 2}, {NULL, 0}};
static const struct choice states[] = {{"ready", OB_BUS_VOL_READY}, {"offline", OB_BUS_VOL_OFFLINE},
    {"rekeying", OB_BUS_VOL_REKEYING}, {NULL, 0}};

#define LIMIT(n, h, idx, argument, text)                                      \
	{                                                                     \
		.name = n, .head = h, .kind = K_RATE, .flags = F_ADD | F_SET, \
		FIELD(R, limit[idx]), .arg = argument, .help = text           \
	}
#define BURST(n, idx, argument, text)                                                    \
	{                                                                                \
		.name = n, .kind = K_RATE, .flags = F_ADD | F_SET, FIELD(R, burst[idx]), \
		.arg = argument, .help = text                                            \
	}

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, name),
	.arg = "NAME",
	.help = "of the volume"},
    {.name = "kind",
	.head = "KIND",
	.kind = K_CHOICE,
	.flags = F_ADD | F_REQUIRED,
	FIELD(R, kind),
	.choices = kinds,
	.arg = "KIND",
	.help = "what it is made of"},
    {.name = "size",
	.head = "SIZE",
	.kind = K_SIZE,
	.flags = F_ADD | F_SET,
	FIELD(R, bytes),
	.arg = "BYTES",
	.help = "512M, 10G (powers of 1024); a file that is there may do without"},
    {.name = "state", .head = "STATE", .kind = K_CHOICE, FIELD(R, state), .choices = states},
    {.name = "access",
	.head = "ACCESS",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, access),
	.choices = access_modes,
	.arg = "A",
	.help = "of a file: read only or not, and so what stands on it; default rw"},
    {.name = "path",
	.kind = K_STR,
	.flags = F_ADD,
	FIELD(R, path),
	.arg = "PATH",
	.help = "of a file volume: a file, made if it is not there, or a block device of the card"},
    {.name = "on",
	.head = "ON",
	.kind = K_STR,
	.flags = F_ADD,
	LIST_OF(R, on, n_on),
	.arg = "VOLUME",
	.help = "what it stands on; of a snapshot or clone: what it is one of"},
    {.name = "store",
	.head = "STORE",
	.kind = K_STR,
	.flags = F_ADD,
	FIELD(R, store),
	.arg = "VOLUME",
	.help = "thin, clone: where what is written goes; integrity: where the sums are"},
    {.name = "key_file",
	.kind = K_KEY,
	.flags = F_ADD | F_SET | F_HIDE,
	FIELD(R, key),
	.arg = "PATH",
	.help = "of a crypt volume: a file with 64 bytes (AES-256-XTS) or 32 (AES-128-XTS); -: "
		"standard input"},
    LIMIT("iops", "IOPS", OB_BUS_LIM_IOPS, "N", "most I/Os a second; 0: no limit"),
    LIMIT("bw", "BW", OB_BUS_LIM_BW, "BYTES", "most bytes a second: 200M (thousands); 0: no limit"),
    LIMIT("read_iops", NULL, OB_BUS_LIM_READ_IOPS, "N", "the same of reads alone"),
    LIMIT("read_bw", NULL, OB_BUS_LIM_READ_BW, "BYTES", "the same of reads alone"),
    LIMIT("write_iops", NULL, OB_BUS_LIM_WRITE_IOPS, "N", "the same of writes alone"),
    LIMIT("write_bw", NULL, OB_BUS_LIM_WRITE_BW, "BYTES", "the same of writes alone"),
    {.name = "burst",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, burst_s),
	.arg = "SECONDS",
	.help = "so much of each limit may be saved up while idle and spent at once; default 50 "
		"ms of it"},
    BURST("iops_burst", OB_BUS_LIM_IOPS, "N", "I/Os that may be saved up, in place of --burst"),
    BURST("bw_burst", OB_BUS_LIM_BW, "BYTES", "bytes that may be saved up, in place of --burst"),
    {.name = "shared",
	.kind = K_CHOICE,
	.flags = F_ADD | F_SET,
	FIELD(R, shared),
	.choices = on_off,
	.arg = "S",
	.help = "several functions may show it, whose hosts know how to share; default off"},
    {.name = "block",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, block_bytes),
	.arg = "BYTES",
	.help = "of a logical block (of crypt: a sector), 512 or 4096; default 512, or what the "
		"medium has"},
    {.name = "cache",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, cache),
	.choices = caches,
	.arg = "C",
	.help = "of a file: past the cache of the card's kernel, or through it; default direct"},
    {.name = "stripe",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, stripe_bytes),
	.arg = "BYTES",
	.help = "of one chunk of a stripe volume, a power of two from 4096 on; default 65536"},
    {.name = "discard",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, discard),
	.choices = on_off,
	.arg = "D",
	.help = "crypt: pass discards down, which shows what is unused; default off"},
    {.name = "fresh",
	.kind = K_CHOICE,
	.flags = F_ADD | F_HIDE,
	FIELD(R, fresh),
	.choices = on_off,
	.arg = "F",
	.help = "thin, clone: on overwrites what is in a store that is not blank (noise under "
		"encryption); integrity: on makes the sums anew, and all reads zeroes; off: only "
		"what is there is taken, of a snapshot too"},
    {.name = "users", .head = "USERS", .kind = K_UINT, FIELD(R, n_users)},
    {.name = "used_by", .kind = K_STR, FIELD(R, user)},
    {.name = "physical_block", .kind = K_UINT, FIELD(R, phys_block_bytes)},
    {.name = "optimal_io", .kind = K_UINT, FIELD(R, opt_io_bytes)},
    {.name = "discard_granularity", .kind = K_UINT, FIELD(R, discard_bytes)},
    {.name = "rekeyed_bytes", .kind = K_SIZE, FIELD(R, rekeyed_bytes)},
    {.name = "error", .kind = K_STR, FIELD(R, error)},
};

const struct noun noun_volume = {
    .name = "volume",
    .alias = "vol",
    .bus = OB_BUS_VOLUME,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "disks of the card, before a function shows them",
    .about =
	"A volume is a disk that blk and nvme functions show to their hosts. Volumes stack:\n\n"
	"  null       answers at once and keeps nothing: to measure\n"
	"  ram        memory of the card: gone with it\n"
	"  file       a file or block device of the card (--path)\n"
	"  crypt      encrypts another volume with a key that hosts never see; the format is that "
	"of dm-crypt's aes-xts-plain64\n"
	"  qos        limits over another volume; any volume that functions show takes limits of "
	"its own as well\n"
	"  stripe     chunks in turn on several volumes; concat: one volume behind the other\n"
	"  thin       takes of another volume (--store) what is written, and can have snapshots\n"
	"  snapshot   a thin volume or clone as it was ('obctl volume snapshot'), read only\n"
	"  clone      begins as a snapshot or a volume that nobody writes any more; writes go to "
	"--store\n"
	"  integrity  checks another volume by CRC32C sums (--store)\n\n"
	"Limits, size and key change while hosts use the volume. What uses a volume keeps it from "
	"being deleted; a file stays when its\n"
	"volume is deleted, and is open for writing once only. A key is sent to the card once and "
	"cannot be read back.\n"
	"Options may be written --size 10G or size=10G. See docs/storage.md.",
    .examples = "  obctl volume add d0 kind=ram size=64M\n"
		"  obctl volume add f0 --kind file --path /var/lib/outboard/f0.img --size 10G\n"
		"  obctl volume add c0 --kind crypt --on f0 --key-file /etc/outboard/c0.key\n"
		"  obctl volume set c0 --iops 5000 --bw 200M --burst 10\n"
		"  obctl volume resize f0 --size 20G\n"
		"  obctl volume rekey c0 --key-file /etc/outboard/c0.new.key\n"
		"  obctl volume add t0 --kind thin --store pool --size 100G\n"
		"  obctl volume snapshot t0 monday\n"
		"  obctl -i 1 volume stats c0\n",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .forms = volume_forms,
};
