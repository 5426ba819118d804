/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices: one small asynchronous interface, and devices that stack.
 *
 * A struct ob_blk is a device (control): a RAM disk, a file, or a layer over another device. A struct ob_blk_ch is one
 * worker's way into it: a channel is used by its owner only, takes I/Os in batches and completes each exactly once by
 * io->done. Scatter lists are host vectors that point straight into guest memory (ob_gmem_iov), so that a backend
 * moves the bytes once.
 *
 * Order: none is promised among I/Os that are under way together. A FLUSH covers every write that was *completed* before the
 * flush was submitted; after it completed, they survive the loss of power. FUA: the same for one write. A layer keeps both.
 *
 * Guest bytes are hostile: they may change, or their pages go away (zero pages stand in), while an I/O is under way. A device
 * never decides anything by them.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct ob_blk;
struct ob_blk_ch;

#define OB_BLK_NAME_MAX	 32
#define OB_BLK_MAX_IOV	 520	    /* vectors of one I/O: 2 MiB in 4 KiB pieces, and the ends */
#define OB_BLK_MAX_BYTES (2u << 20) /* of data in one I/O; DISCARD and WRITE_ZEROES may be longer */

enum ob_blk_op {
	OB_BLK_READ,
	OB_BLK_WRITE,
	OB_BLK_FLUSH,	/* off, len, iov are ignored */
	OB_BLK_DISCARD, /* the range's content is not needed any more; reads may give anything that was ever there, or zeroes */
	OB_BLK_WRITE_ZEROES, /* reads give zeroes afterwards */
	OB_BLK_N_OPS
};

enum ob_blk_flags {
	OB_BLK_FUA = 1 << 0,	   /* WRITE, WRITE_ZEROES: durable when it completes */
	OB_BLK_MAY_UNMAP = 1 << 1, /* WRITE_ZEROES: space may be given back */
};

/* One I/O. The submitter owns the memory of it and of 'iov' until 'done' is called; a device keeps its own state elsewhere. */
struct ob_blk_io {
	uint8_t op;    /* enum ob_blk_op */
	uint8_t flags; /* enum ob_blk_flags */
	uint16_t n_iov;
	/* 0; -EIO; -EINVAL range, length or alignment; -ENOSPC; -EROFS; -EOPNOTSUPP; -ENODEV the medium is gone;
	 * -EILSEQ stored protection does not match the data; -ECANCELED by ob_blk_cancel, never touched the medium. */
	int32_t result;
	uint64_t off; /* bytes; multiple of the block size */
	uint64_t len; /* bytes; not 0, multiple of the block size; READ, WRITE: the sum of iov */
	const struct iovec *iov;
	/* Called once, by the channel's owner, maybe before ob_blk_submit returns. May submit further I/Os. */
	void (*done)(struct ob_blk_io *io);
	void *
	    owner; /* whose it is, for ob_blk_cancel and fairness (a queue); never dereferenced by a device */
	struct ob_blk_io *next; /* whoever holds the I/O may chain it */
	uint64_t tsc;		/* when it was submitted; of ob_blk_submit */
};

/* What a device is. Changes only by resize (bytes). */
struct ob_blk_info {
	char name[OB_BLK_NAME_MAX];
	const char *kind; /* "null", "ram", "file", ...; static */
	uint64_t bytes;
	uint32_t block_bytes;	   /* logical block: 512 or 4096 */
	uint32_t phys_block_bytes; /* what a write should be a multiple of */
	uint32_t opt_io_bytes;	   /* 0: no preference */
	uint32_t discard_bytes;	   /* granularity; 0: no DISCARD */
	bool read_only;
	bool write_zeroes;   /* natively; else ob_blk_submit writes zeroes from a page of its own */
	bool volatile_cache; /* FLUSH means something */
	bool zero_on_discard; /* reads after DISCARD give zeroes */
};

/* ---- control ---- */

/* Devices. Each takes a reference of the devices below it. 'name': 1..31 of [A-Za-z0-9_.-], for people. 'err' gets a text that says what
 * to do. All are created with one reference; Context: control. Return 0; -EINVAL; -ENOMEM; -errno of the medium. */

/* Answers at once: reads give whatever is in the buffer, writes are forgotten. */
int ob_blk_null_create(const char *name, uint64_t bytes, uint32_t block_bytes, struct ob_blk **out,
    char *err, size_t err_len);

/* Memory of this process (huge pages where there are): gone with it. */
int ob_blk_ram_create(const char *name, uint64_t bytes, uint32_t block_bytes, struct ob_blk **out,
    char *err, size_t err_len);

/* io_uring on a file, which is locked: one writer, or readers (-EBUSY: another volume or process has it; a block device is mounted).
 * The text says what to do when the machine refuses io_uring or the file system O_DIRECT (-EINVAL). */
struct ob_blk_file_conf {
	const char *path; /* regular file or block device */
	uint64_t
	    bytes; /* not 0: a file that is not there, or shorter, is made (sparse) of this size, a longer one stays; 0: as it is */
	uint32_t block_bytes; /* 512 or 4096; 0: what the medium says */
	bool buffered;	      /* through the page cache instead of O_DIRECT */
	bool read_only;
};
int ob_blk_file_create(const char *name, const struct ob_blk_file_conf *conf, struct ob_blk **out,
    char *err, size_t err_len);

struct ob_blk *ob_blk_get(struct ob_blk *b);
/* Drops a reference; the last one closes the device (its channels are closed already). NULL is legal. */
void ob_blk_put(struct ob_blk *b);

void ob_blk_info(const struct ob_blk *b, struct ob_blk_info *out);
/* New size, a multiple of the block size: a file is truncated or extended, a layer follows the one below. Shrinking fails I/Os beyond the end with -EINVAL.
 * Returns 0, -EOPNOTSUPP, -EINVAL, -EBUSY keys are being changed, -errno. Context: control. */
int ob_blk_resize(struct ob_blk *b, uint64_t bytes);
/* 'fn' is called on the control thread when bytes change (of this device, also because of one below). Returns 0, -EINVAL no fn,
 * -EEXIST this (fn, ctx) listens already, -ENOMEM. 'fn' may call ob_blk_off_change. Context: control. */
int ob_blk_on_change(struct ob_blk *b, void (*fn)(void *ctx), void *ctx);
void ob_blk_off_change(struct ob_blk *b, void (*fn)(void *ctx), void *ctx);

/* A worker's channel. Made on control and handed to its owner (ob_worker_call); closed on control after the owner let go and
 * nothing is under way. Returns 0, -ENOMEM, -errno. */
int ob_blk_ch_open(struct ob_blk *b, struct ob_blk_ch **out);
void ob_blk_ch_close(struct ob_blk_ch *ch);

/* ---- the channel's owner ---- */

/* Takes all 'n' I/Os; checks op, range and alignment. Every one of them completes. The thread that is the first to submit, poll or arm
 * stays the owner. */
void ob_blk_submit(struct ob_blk_ch *ch, struct ob_blk_io *const *ios, unsigned n);
/* Completes what is ready (calls done). Returns the number of completions. */
unsigned ob_blk_poll(struct ob_blk_ch *ch);
/* I/Os that were taken and not completed. */
unsigned ob_blk_pending(const struct ob_blk_ch *ch);
/* Before the owner sleeps: asks that wake_fd become readable at the next completion (or when a throttle lets I/Os go). Returns true: work
 * is there, poll (and nothing is armed). *must_poll: nothing can wake us for what is pending. */
bool ob_blk_arm(struct ob_blk_ch *ch, bool *must_poll);
void ob_blk_disarm(struct ob_blk_ch *ch);
/* Level triggered while armed and due; drained by ob_blk_disarm. -1: never needed (all completions happen in submit or poll). */
int ob_blk_wake_fd(const struct ob_blk_ch *ch);
/* Completes with -ECANCELED what of 'owner' (NULL: everybody) only waits inside (throttled, queued) and has not reached the medium. */
void ob_blk_cancel(struct ob_blk_ch *ch, const void *owner);

/* ---- statistics: per channel, single writer, relaxed reads ---- */

/* Latency classes, HDR style: 16 linear steps per power of two. Class c < 16 is c units, else (16 + c % 16) << (c / 16 - 1)
 * units, of 64 ns; the last class takes the rest (over 4 s). */
#define OB_BLK_LAT_CLASSES 368

struct ob_blk_stats {
	uint64_t n_ios[OB_BLK_N_OPS];
	uint64_t n_bytes[OB_BLK_N_OPS];
	uint64_t n_errors[OB_BLK_N_OPS];
	uint64_t n_pending, max_pending;
	uint64_t throttled_ns; /* that I/Os waited for a limit, summed */
	uint64_t n_throttled;
	uint64_t lat_sum_ns[OB_BLK_N_OPS];
	uint64_t lat[2][OB_BLK_LAT_CLASSES]; /* [0] reads, [1] writes */
};
/* Sum over all channels there are and were. Context: control. */
void ob_blk_stats(struct ob_blk *b, struct ob_blk_stats *out);
/* Lower end of a class, ns. */
uint64_t ob_blk_lat_class_ns(unsigned class);
/* Quantile in [0, 1] of a histogram, ns; 0 without samples. */
uint64_t ob_blk_lat_quantile_ns(const uint64_t lat[OB_BLK_LAT_CLASSES], double q);

/* ---- layers ---- */

/* XTS encryption, the format of dm-crypt's aes-xts-plain64: each sector for itself, the tweak is its number (64 bits, little-endian) in
 * units of 512 bytes, also when sectors are of 4096 (dm-crypt's default), or in sectors ('iv_large_sectors'). The medium, and every
 * buffer of ours, hold ciphertext only; guest memory never does. Not authenticated: a changed sector decrypts to noise (integrity
 * below or above detects it). */
struct ob_blk_crypt_conf {
	const uint8_t *
	    key; /* data key, then tweak key, as dm-crypt; they must differ. Copied: cleanse yours */
	size_t key_len; /* 32: AES-128-XTS, 64: AES-256-XTS */
	uint32_t
	    sector_bytes; /* 512 or 4096, not below the medium's block; 0: the medium's. It becomes the block size */
	bool iv_large_sectors;
	uint64_t iv_offset; /* added to the sector's number in the tweak (dm-crypt's iv_offset) */
	/* DISCARD goes down: the medium shows what is in use. A sector of zeroes there then reads as zeroes (dm-crypt: noise), so that
	 * what was discarded or never written reads as zeroes if the medium says so. */
	bool pass_discard;
};
int ob_blk_crypt_create(const char *name, struct ob_blk *below,
    const struct ob_blk_crypt_conf *conf, struct ob_blk **out, char *err, size_t err_len);

struct ob_blk_crypt_rekey_conf {
	const uint8_t *key; /* the new one */
	size_t key_len;
	/* File that keeps the position and the segment that is being moved (1 MiB), so that neither the loss of the process nor of power
	 * loses data. It stays at the end: remove it when the new key is on record. NULL: after a crash in mid-move the volume is lost. */
	const char *journal;
	uint64_t bytes_per_s; /* 0: as fast as the medium lets */
};
/* Encrypts everything anew in the background, by a thread of the device, while I/O goes on; I/O to the segment that is being moved waits
 * some milliseconds. The volume does not grow before the end (ob_blk_crypt_status sees it). After a crash: create the device with the *old* key and call this with the same new key and journal before any channel is
 * opened; it goes on where it was. Context: control. Returns 0; -EBUSY one is under way, or the journal tells of a move and channels are
 * open; -EKEYREJECTED the journal is of other keys; -EBADMSG the journal is damaged; -EINVAL; -ENOMEM; -errno. */
int ob_blk_crypt_rekey(
    struct ob_blk *b, const struct ob_blk_crypt_rekey_conf *conf, char *err, size_t err_len);

struct ob_blk_crypt_status {
	bool moving;
	/* While moving, not 0: the medium or the journal refuses, the segment is tried again, I/O to it waits; or the move has ended, both keys
	 * go on to be used, and ob_blk_crypt_rekey with the same key resumes. */
	int error;
	uint64_t moved_bytes; /* of this move */
};
/* Returns 0, -EINVAL not a crypt device. Context: control. */
int ob_blk_crypt_status(struct ob_blk *b, struct ob_blk_crypt_status *out);
/* Crypto erase: from now on 'key' (as long as the first) is used and the old one is forgotten, with all data. Waits for I/O under way to
 * leave the old key, at most a second. Returns 0; -EBUSY a rekey is under way; -ETIMEDOUT done, but the old key lies in memory until the
 * device is closed; -EINVAL; -ENOMEM. Context: control. */
int ob_blk_crypt_erase(struct ob_blk *b, const uint8_t *key, size_t key_len);

/* Limits. Each is a bucket of 'burst' credits that fills at 'rate' a second; an I/O passes when all its buckets have credit left. DISCARD
 * and WRITE_ZEROES that the medium does natively count as one I/O of no bytes; FLUSH is free. Two layers make a peak rate. Shared by all
 * channels; owners (io->owner) that wait get equal shares, by deficit round robin. */
enum ob_blk_qos_limit {
	OB_BLK_QOS_READ_IOPS,
	OB_BLK_QOS_WRITE_IOPS,
	OB_BLK_QOS_IOPS,
	OB_BLK_QOS_READ_BYTES,
	OB_BLK_QOS_WRITE_BYTES,
	OB_BLK_QOS_BYTES,
	OB_BLK_QOS_N
};
struct ob_blk_qos_conf {
	uint64_t rate[OB_BLK_QOS_N]; /* a second, up to 2^40; 0: no limit */
	uint64_t burst
	    [OB_BLK_QOS_N]; /* credits, up to 2^40; 0, or less than 5 ms give: 50 ms, 5 ms of the rate */
};
int ob_blk_qos_create(const char *name, struct ob_blk *below, const struct ob_blk_qos_conf *conf,
    struct ob_blk **out, char *err, size_t err_len);
/* New limits, at once; buckets keep their credit, new ones start full. Returns 0, -EINVAL. Context: control. */
int ob_blk_qos_set(struct ob_blk *b, const struct ob_blk_qos_conf *conf, char *err, size_t err_len);
int ob_blk_qos_get(const struct ob_blk *b, struct ob_blk_qos_conf *out); /* 0, -EINVAL */

/* End-to-end protection: a tag of 8 bytes per block on a second device ('tags'): CRC32C of the block's number and data, as it is to be and as
 * it was. A read whose data does not fit fails with -EILSEQ. Blocks never written, discarded or zeroed read as zeroes, without data. Tags go
 * first, then data, so that a process that dies at any time leaves each block old or new. Power loss: what a FLUSH covered is as
 * it was written, or -EILSEQ; a block written after it is old or new or, if the medium tore it or kept the two devices' caches apart,
 * -EILSEQ until it is written again; never taken for good. Trusted: that the tag device does not lose what it flushed. */
struct ob_blk_integrity_conf {
	bool format; /* 'tags' is overwritten: all blocks read as zeroes */
	bool
	    fua; /* every write goes through the caches: only a torn block is -EILSEQ after power loss */
};
/* 'tags' needs 4096 bytes, and 4096 per 512 blocks; its room for more is what the volume may grow into. All tags are kept in memory and read
 * at creation. Returns also -ENOSPC too small, -EBADMSG not formatted for this volume. */
int ob_blk_integrity_create(const char *name, struct ob_blk *below, struct ob_blk *tags,
    const struct ob_blk_integrity_conf *conf, struct ob_blk **out, char *err, size_t err_len);

/* ---- several devices as one ---- */

/* Chunks of 'chunk_bytes' (a power of two, 4 KiB .. 2 MiB; 0: 64 KiB) in turn on 2..32 devices of one block size. As large as the
 * smallest allows, in whole chunks; follows when it grows. FLUSH goes to all; an error of any part fails the I/O. */
int ob_blk_stripe_create(const char *name, struct ob_blk *const *children, unsigned n_children,
    uint32_t chunk_bytes, struct ob_blk **out, char *err, size_t err_len);
/* 2..32 devices of one block size, one after the other. Only the last may grow while the device is in use: growth of another would move what
 * lies behind it, and is left out until the device is created anew. ob_blk_resize resizes the last. */
int ob_blk_concat_create(const char *name, struct ob_blk *const *children, unsigned n_children,
    struct ob_blk **out, char *err, size_t err_len);

/* ---- thin volumes, snapshots, clones ---- */

/* A thin device keeps clusters, a map and its snapshots in a store; what was never written reads from the parent, or as zeroes. A clone
 * is a thin device whose parent is a snapshot or any device that nobody writes any more.
 *
 * Survives SIGKILL and the loss of power at any point: a write is acknowledged when the store has its data and its map entry, in this order
 * with a store flush between them; so a first write to a cluster costs one flush of the store (shared by those that wait), later ones none. */
struct ob_blk_cow_conf {
	struct ob_blk *store;  /* this device's alone */
	struct ob_blk *parent; /* or NULL. Becomes read only, until it is closed */
	bool
	    create; /* make a new one when the store is blank (its first 132 KiB are zero); what is there already is opened */
	/* With 'create': make one also when the store is not blank and no thin device's (an encrypted device reads as noise at first). Not for
	 * reopening: a store with both superblocks damaged would be lost. */
	bool overwrite;
	/* For a new one; ignored else. */
	uint64_t bytes; /* 0: the parent's; may be more than the store has */
	uint64_t
	    max_bytes; /* it can grow to this; 0: 4 times 'bytes'. Eight maps of 8 bytes a cluster are set aside */
	uint32_t cluster_bytes; /* power of two, 4 KiB .. 2 MiB; 0: 64 KiB */
};
/* 'err' is a text after success too, when something damaged was found and what was done about it; else empty. -EUCLEAN: not a store, or
 * damaged beyond repair; -EMEDIUMTYPE: of another parent; -EBUSY. Context: control, as all of these. */
int ob_blk_cow_create(const char *name, const struct ob_blk_cow_conf *conf, struct ob_blk **out,
    char *err, size_t err_len);

#define OB_BLK_COW_MAX_SNAPS 7

struct ob_blk_cow_snap {
	char name[OB_BLK_NAME_MAX];
	uint64_t bytes;
	uint64_t created_s; /* Unix time */
	bool open;	    /* as a device */
};
struct ob_blk_cow_status {
	uint32_t cluster_bytes;
	uint64_t n_clusters;	  /* of the store */
	uint64_t n_free_clusters; /* the rest is used by the device and its snapshots */
	uint64_t n_copied; /* clusters copied or filled by partial writes since it was opened */
	uint64_t
	    n_damaged; /* clusters whose map entry was found damaged: -EIO until written whole or discarded */
	unsigned n_snaps;
	struct ob_blk_cow_snap snap[OB_BLK_COW_MAX_SNAPS];
};
/* Returns 0, -EOPNOTSUPP not a thin device. */
int ob_blk_cow_status(struct ob_blk *b, struct ob_blk_cow_status *out);
/* Freezes what is completed now under 'snap', while I/O goes on: writes wait until those under way are through (their owners must poll;
 * after two seconds: -ETIMEDOUT, nothing has changed). -EEXIST; -ENOSPC no place for another; -EINVAL; -ENOMEM; -errno of the store. */
int ob_blk_cow_snapshot(struct ob_blk *b, const char *snap, char *err, size_t err_len);
/* A read-only device of the snapshot, for reading or as a clone's parent; holds a reference of 'b'. -ENOENT; -ENOMEM; -errno. */
int ob_blk_cow_snap_open(struct ob_blk *b, const char *snap, const char *name, struct ob_blk **out,
    char *err, size_t err_len);
/* Gives its space back. -ENOENT; -EBUSY open as a device; -ETIMEDOUT; -errno. */
int ob_blk_cow_snap_delete(struct ob_blk *b, const char *snap, char *err, size_t err_len);
