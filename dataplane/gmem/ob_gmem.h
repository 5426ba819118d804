/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: the only code that dereferences a guest's pages, and the memory firewall of a function.
 *
 * A struct ob_gmem belongs to one function. Control code adds and deletes ranges as the host maps and unmaps
 * them; each change publishes a new immutable struct ob_gmem_map. A reader (worker or device model) loads the
 * map once per burst and uses it until its next quiescent point. Everything is addressed by IOVA: what the
 * guest's driver put into a descriptor.
 *
 * Fetch once into a private copy, validate the copy, use the copy. There is no call that hands out a pointer to
 * guest bytes except a window, whose elements are read and written whole, one access each.
 *
 * A peer that shrinks the file behind a range makes the access fault; the SIGBUS handler of this folder puts
 * zero pages there and marks the gmem poisoned, so the fault stops that one function.
 */
#pragma once

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Address in the guest's I/O address space (what DMA_MAP calls iova), bytes. */
typedef struct {
	uint64_t v;
} ob_iova_t;

enum ob_gmem_prot {
	OB_GMEM_READ = 1 << 0,	/* the device may read it */
	OB_GMEM_WRITE = 1 << 1, /* the device may write it */
};

#define OB_GMEM_MAX_RANGES  65536
#define OB_GMEM_MAX_WINDOWS 1024
#define OB_GMEM_MAX_FILES   256		 /* distinct files behind the ranges of one function */
#define OB_GMEM_MAX_BYTES   (1ull << 42) /* address space that one function may take of ours */

struct ob_gmem;
struct ob_gmem_map;

struct ob_gmem_conf {
	const char *name; /* for logs; copied */
	/* Returns when every reader that could have loaded an older map has passed a quiescent point. Called on the
	 * control thread before a range is unmapped. NULL: there are no concurrent readers (tests). */
	void (*sync)(void *ctx);
	void *sync_ctx;
};

/* Creates an empty address space. Context: control. Returns 0, -ENOMEM. */
int ob_gmem_create(const struct ob_gmem_conf *conf, struct ob_gmem **out);

/* Deletes all ranges and frees. Windows become invalid. NULL is legal. Context: control. */
void ob_gmem_destroy(struct ob_gmem *gm);

/* Maps 'len' bytes at 'iova' from 'fd' at 'fd_off' (all multiples of 4096 unless fd is -1). 'fd' is not consumed:
 * the caller closes its own (one duplicate is kept for each file). fd -1: the range exists, but only the peer can reach it (messages); every access by
 * fetch or store fails with -ENOTSUP. 'prot' is a set of enum ob_gmem_prot; a range without OB_GMEM_WRITE is mapped
 * read-only. Context: control.
 * Returns 0; -EINVAL bad alignment, zero or wrapping length, no prot; -EEXIST overlaps a range; -ENOSPC too many
 * ranges, files or bytes; -ERANGE the file is shorter than fd_off + len; -ENODEV it is not in memory (tmpfs,
 * memfd, hugetlbfs): a page fault could take for ever; -ENOMEM; -errno of fstat or mmap. */
int ob_gmem_add(
    struct ob_gmem *gm, ob_iova_t iova, uint64_t len, unsigned prot, int fd, uint64_t fd_off);

/* Adds memory that somebody else has mapped at 'hva' (vhost), readable and writable. It must stay mapped until
 * ob_gmem_del returns. 'hva' and 'iova' are equal modulo 4096. Context: control. Returns as ob_gmem_add. */
int ob_gmem_add_hva(struct ob_gmem *gm, ob_iova_t iova, uint64_t len, unsigned prot, void *hva);

/* Deletes the ranges that lie wholly inside [iova, iova + len): publishes, waits for readers, unmaps.
 * A range that straddles an end is an error and nothing is deleted. Context: control.
 * Returns the number of ranges deleted (0: none was there), -EINVAL straddle, wrap or length 0, -ENOMEM. */
int ob_gmem_del(struct ob_gmem *gm, ob_iova_t iova, uint64_t len);

/* Deletes every range, also one that ends with the address space, which no 'len' of ob_gmem_del reaches together with
 * address 0. Context: control. Returns the number of ranges deleted, -ENOMEM. */
int ob_gmem_del_all(struct ob_gmem *gm);

/* Number of ranges and bytes that the function can reach now. Context: control. */
void ob_gmem_usage(const struct ob_gmem *gm, uint32_t *n_ranges, uint64_t *n_bytes);

/* True once an access faulted, until ob_gmem_heal. '*n_faults' (may be NULL) counts the faults since creation.
 * Context: any. */
bool ob_gmem_poisoned(const struct ob_gmem *gm, uint64_t *n_faults);

/* Accesses that the firewall refused since creation (fetch, store, fill, iov that failed). Context: any. */
uint64_t ob_gmem_violations(const struct ob_gmem *gm);

/* Forgets poison (device reset). Zero pages that replaced lost ones stay until their range is deleted.
 * Context: control. */
void ob_gmem_heal(struct ob_gmem *gm);

/* A window is a stretch that must be readable by plain loads at constant cost: the three areas of a virtqueue.
 * Control registers it; each published map carries its current address, also where the stretch is made of several
 * ranges (vIOMMU: one range a page), which are then mapped side by side. Context: control.
 * Returns the window's index, or -EINVAL (length 0, wrap, no prot), -ENOSPC, -ENOMEM. A stretch that is not mapped
 * yet is legal: the window has no address until it is. A stretch over scattered pieces of huge pages, or of ob_gmem_add_hva memory, has none. */
int ob_gmem_window_add(struct ob_gmem *gm, ob_iova_t iova, uint32_t len, unsigned prot);
void ob_gmem_window_del(struct ob_gmem *gm, int idx);

#include "ob_gmem_access.h"

/* Direct I/O into guest memory for a block device: the address of [iova, iova+len) as host vectors; the I/O itself is the
 * one access. Returns the number of vectors written (<= max_iov), -ENOSPC, or as ob_gmem_fetch. The vectors die with
 * the map unless the caller pins it by the function's own quiesce protocol. Context: owner. */
int ob_gmem_iov(const struct ob_gmem_map *map, ob_iova_t iova, uint64_t len, unsigned prot,
    struct iovec *iov, unsigned max_iov);

/* Installs the SIGBUS handler; chains to the previous handler for addresses that are not guest memory. Calling it again
 * does nothing, or puts it back in front if a library replaced it. Context: main, before the first ob_gmem_add.
 * Returns 0, -errno. */
int ob_gmem_catch_faults(void);
