/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of the card bus for storage: volumes, the namespaces that show them to a host, and what they count. Included by ob_bus.h. */
#pragma once

#include "ob_bus.h"

#include <assert.h>
#include <stdint.h>

/* ---- volumes -------------------------------------------------------------------------------------------------------------- */

enum ob_bus_volume_kind {
	OB_BUS_VOL_NULL = 1,   /* answers at once, keeps nothing */
	OB_BUS_VOL_RAM = 2,    /* memory of the card's process */
	OB_BUS_VOL_FILE = 3,   /* a file or block device of the card */
	OB_BUS_VOL_CRYPT = 4,  /* AES-XTS over another volume */
	OB_BUS_VOL_QOS = 5,    /* limits over another volume */
	OB_BUS_VOL_STRIPE = 6, /* stripes over several volumes of one size */
	OB_BUS_VOL_CONCAT = 7, /* several volumes, one behind the other */
	OB_BUS_VOL_SNAPSHOT =
	    8, /* a thin volume or clone as it was when this was added; read only */
	OB_BUS_VOL_CLONE =
	    9, /* a volume that nobody writes any more, its own writes go to 'store' */
	OB_BUS_VOL_THIN = 10,	   /* takes of 'store' what is written */
	OB_BUS_VOL_INTEGRITY = 11, /* checks another volume by CRC32C; the sums are in 'store' */
};

enum ob_bus_volume_state {
	OB_BUS_VOL_READY = 1,
	OB_BUS_VOL_OFFLINE = 2, /* what it needs is missing: 'error' tells */
	OB_BUS_VOL_REKEYING = 3,
};

/* What a volume may be asked at most; 0: no limit. */
enum ob_bus_limit {
	OB_BUS_LIM_IOPS, /* reads and writes together */
	OB_BUS_LIM_BW,	 /* bytes a second */
	OB_BUS_LIM_READ_IOPS,
	OB_BUS_LIM_READ_BW,
	OB_BUS_LIM_WRITE_IOPS,
	OB_BUS_LIM_WRITE_BW,
	OB_BUS_N_LIMITS = 8 /* room */
};

enum ob_bus_key_use {
	OB_BUS_KEY_NONE = 0,
	OB_BUS_KEY_GIVEN = 1,	/* ADD: the key; SET: the key again, of a volume that is offline */
	OB_BUS_KEY_REPLACE = 2, /* SET: the key from now on */
};

/* Requests only: no answer carries one. */
struct ob_bus_key {
	uint8_t use; /* enum ob_bus_key_use */
	uint8_t len; /* bytes: 64 (AES-256-XTS), 32 (AES-128-XTS) */
	uint8_t reserved[6];
	uint8_t bytes[64];
};
static_assert(sizeof(struct ob_bus_key) == 72, "wire layout");

#define OB_BUS_VOL_LEGS 16  /* volumes that one may stand on */
#define OB_BUS_VOL_PATH 256 /* bytes of a path, with the closing NUL */

/* SET: bytes (resize), limits, shared, key; the rest as it is. */
struct ob_bus_volume {
	char name[OB_BUS_NAME]; /* key */
	uint8_t kind;		/* enum ob_bus_volume_kind */
	uint8_t access;		/* 0 default (rw), 1 rw, 2 ro */
	uint8_t
	    cache; /* of a file: 0 default (direct), 1 direct, 2 buffered by the card's kernel */
	uint8_t shared;	       /* by several functions: 0 default (no), 1 yes, 2 no */
	uint32_t block_bytes;  /* 512 or 4096; 0: default */
	uint64_t bytes;	       /* 0: that of what it stands on */
	uint32_t stripe_bytes; /* 0: default */
	uint8_t n_on;
	uint8_t discard; /* of a crypt volume, to what it stands on: 0 default (no), 1 yes, 2 no */
	uint8_t
	    fresh; /* ADD: what is in the store, a snapshot: 0 default, 1 made new, 2 there already */
	uint8_t reserved;
	char path[OB_BUS_VOL_PATH];
	char on[OB_BUS_VOL_LEGS][OB_BUS_NAME];
	char store[OB_BUS_NAME];	 /* a volume */
	uint64_t limit[OB_BUS_N_LIMITS]; /* a second; by enum ob_bus_limit */
	uint64_t burst[OB_BUS_N_LIMITS]; /* I/Os or bytes that may be saved up; 0: by burst_s */
	uint32_t burst_s; /* so many seconds' worth may be saved up; 0: default (50 ms) */
	uint32_t reserved2;
	struct ob_bus_key key;
	/* answers only */
	uint8_t state; /* enum ob_bus_volume_state */
	uint8_t zero_on_discard;
	uint8_t volatile_cache;
	uint8_t reserved3;
	uint32_t phys_block_bytes, opt_io_bytes, discard_bytes;
	uint32_t n_users;
	uint32_t reserved4;
	uint64_t rekeyed_bytes; /* of a key that is being replaced */
	char user[64];		/* one of the users */
	char error[128];
};
static_assert(sizeof(struct ob_bus_volume) == 1288, "wire layout");

/* ---- namespaces ----------------------------------------------------------------------------------------------------------- */

/* A volume as an NVMe function shows it. */
struct ob_bus_namespace {
	char function[OB_BUS_NAME]; /* key */
	uint32_t nsid;		    /* key; ADD: 0 takes the smallest that is free */
	uint32_t lba_bytes;	    /* answer */
	char volume[OB_BUS_NAME];
	/* answers only */
	uint8_t uuid[16];
	uint64_t bytes;
	uint8_t access; /* 1 rw, 2 ro */
	uint8_t reserved[7];
};
static_assert(sizeof(struct ob_bus_namespace) == 104, "wire layout");

#define OB_BUS_MAX_NSID 256

/* ---- what they count ------------------------------------------------------------------------------------------------------ */

enum ob_bus_io {
	OB_BUS_IO_READ,
	OB_BUS_IO_WRITE,
	OB_BUS_IO_FLUSH,
	OB_BUS_IO_DISCARD,
	OB_BUS_IO_WRITE_ZEROES,
	OB_BUS_N_IOS = 8 /* room */
};

/* Latencies are counted in powers of two: bucket b holds those under 2^(10 + b) ns and not under 2^(9 + b), the first whatever is
 * under 1024 ns, the last (OB_BUS_LAT_BUCKETS - 1) the rest. */
#define OB_BUS_LAT_BUCKETS 24

/* LIST. Of OB_BUS_VOLUME_STATS: a volume; of OB_BUS_FUNCTION_STATS: a function with storage. */
struct ob_bus_io_stats {
	char name[OB_BUS_NAME]; /* key */
	uint64_t n_ios[OB_BUS_N_IOS];
	uint64_t n_bytes[OB_BUS_N_IOS];
	uint64_t n_errors[OB_BUS_N_IOS];
	uint64_t lat_sum_ns[OB_BUS_N_IOS];
	uint64_t n_pending, max_pending;    /* I/Os under way: now, most */
	uint64_t n_throttled, throttled_ns; /* I/Os that waited for a limit, and how long in all */
	uint64_t p50_ns[2], p99_ns[2], p999_ns[2]; /* reads, writes; 0: there were none */
	uint64_t lat[2][OB_BUS_LAT_BUCKETS];
};
static_assert(sizeof(struct ob_bus_io_stats) == 752, "wire layout");

/* LIST: a queue of a function with storage. */
struct ob_bus_io_queue {
	char function[OB_BUS_NAME]; /* key */
	uint16_t queue;		    /* NVMe: of submission; virtio: number of the virtqueue */
	uint16_t size;
	int16_t worker; /* -1: not running */
	uint16_t flags; /* 1: running, 2: packed, 4: broken */
	uint64_t n_reads, n_writes, n_others;
	uint64_t n_bytes, n_errors;
	uint64_t n_bursts, n_irqs, n_doorbells;
	uint64_t n_pending;
};
static_assert(sizeof(struct ob_bus_io_queue) == 112, "wire layout");
