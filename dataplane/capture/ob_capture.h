/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet capture to pcapng while forwarding: which packets, what became of each, into a file that the caller opened.
 *
 * Workers copy what a capture's filter takes into a ring of their own, as soon as a packet's fate is known (struct ob_seen); a thread of
 * the capture empties the rings into the file. Nothing on the packet path waits and no mbuf is held: what does not fit the ring is
 * counted, and told in the interface statistics of the file. Without a capture a burst costs one load and one branch.
 *
 * A packet is shown as it is when its fate is known. Interface of an ENI: what its guest sent as it leaves for the wire (after NAT,
 * without outer headers) or reaches the other guest; what is sent to it as the guest gets it; what is dropped as it was then. Uplink:
 * as on the wire, with outer headers; an overlay packet that is dropped before its ENI is known is seen twice, as it came in and with
 * the reason.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_worker.h"

#define OB_CAPTURE_MAX	      8	 /* at a time, with those that have ended and are still listed */
#define OB_CAPTURE_MAX_IFS    16 /* functions and the uplink, of one capture */
#define OB_CAPTURE_NAME	      32
#define OB_CAPTURE_PATH	      108
#define OB_CAPTURE_SNAP_MAX   65535u
#define OB_CAPTURE_RING_BYTES (1u << 20) /* of a worker, by default */

/* Directions, as the interface's owner sees them: OUT is what the guest, or the card on the wire, sends. */
enum {
	OB_CAPTURE_IN = 1,
	OB_CAPTURE_OUT = 2,
};

struct ob_capture_prefix {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t len;
	uint8_t b[16]; /* network byte order; bits beyond 'len' are not looked at */
};

/* What is taken: everything that is given must match. */
struct ob_capture_filter {
	uint8_t dirs;	    /* OB_CAPTURE_IN | OB_CAPTURE_OUT; 0: both */
	bool only_drops;    /* and nothing else */
	uint8_t proto;	    /* 0: any; of the innermost header that is looked at */
	uint16_t ethertype; /* host order, after VLAN tags; 0: any */
	uint16_t port;	    /* TCP, UDP, SCTP: either end; 0: any */
	/* One: either end has it. Two: one end has the first, the other end the second. */
	struct ob_capture_prefix ip[2];
};

struct ob_capture_if {
	uint16_t vif;		    /* OB_VIF_NONE: the uplink */
	uint8_t mac[6];		    /* of the guest: tells directions of drops apart */
	char name[OB_CAPTURE_NAME]; /* in the file */
};

struct ob_capture_conf {
	char name[OB_CAPTURE_NAME];
	char file[OB_CAPTURE_PATH]; /* what its owner calls it; for lists */
	struct ob_capture_filter filter;
	uint8_t n_ifs;
	struct ob_capture_if ifs[OB_CAPTURE_MAX_IFS];
	uint32_t snaplen;	 /* bytes of a packet; 0: all */
	uint64_t max_pkts;	 /* written; 0: no limit */
	uint64_t max_bytes;	 /* of packets as they were, written; 0: no limit */
	uint64_t max_file_bytes; /* 0: no limit */
	uint32_t max_ms;	 /* how long; 0: no limit */
	uint32_t ring_bytes; /* of a worker, a power of two, 4096..2^26; 0: OB_CAPTURE_RING_BYTES */
	/* Open for writing: a file, or a stream socket whose reader may be slow or go away. Taken over if ob_capture_start returns 0. */
	int fd;
};

enum ob_capture_state {
	OB_CAPTURE_RUNNING = 1,
	OB_CAPTURE_STOPPED, /* by ob_capture_stop */
	OB_CAPTURE_LIMIT,   /* it has what it was asked for */
	OB_CAPTURE_GONE,    /* the reader of its socket, or its last interface, is gone */
	OB_CAPTURE_FAILED,  /* 'err' of writing */
};

struct ob_capture_info {
	struct ob_capture_conf conf; /* 'fd' is not told: -1 */
	uint8_t state;		     /* enum ob_capture_state */
	bool writing;		     /* the end of the file is still to be written */
	int err;
	uint64_t n_matched; /* by the filter */
	uint64_t n_lost;    /* of these: no room in a ring */
	uint64_t n_written;
	uint64_t n_bytes, n_file_bytes;
	uint64_t age_ns;
};

/* Starts a capture. A name or a place of one that has ended is given to the new one.
 * Returns 0; -EINVAL; -EBADF not open for writing, or neither a file nor a stream socket; -EEXIST the name runs; -ENOSPC OB_CAPTURE_MAX
 * run; -ENOMEM; -EAGAIN no thread. 'err' (may be NULL) gets a text for people. Context: control, workers running. */
int ob_capture_start(const struct ob_capture_conf *conf, char *err, size_t err_len);
/* Ends a running capture, without waiting for its file; forgets one that has ended. Returns 0, -ENOENT. Context: control. */
int ob_capture_stop(const char *name);
/* In order of slots from '*cursor' (0 at first) on. Returns 0, -ENOENT at the end. Context: control. */
int ob_capture_next(uint32_t *cursor, struct ob_capture_info *out);
/* The function is gone: its index may soon be another's. Context: control. */
void ob_capture_vif_gone(uint16_t vif);
/* What comments call functions and tunnels; a capture asks once, when it starts, and says numbers of what comes later. 'fn' returns
 * NULL: no such thing. Tunnels have indices below 'n_tunnels'. NULL: numbers. Context of both: control. */
enum ob_capture_kind { OB_CAPTURE_VIF, OB_CAPTURE_TUNNEL };
void ob_capture_set_names(const char *(*fn)(void *ctx, enum ob_capture_kind kind, uint32_t idx),
    void *ctx, uint32_t n_tunnels);
/* Ends all captures and waits for their files, for a bounded time. Context: control, before the workers stop. */
void ob_capture_fini(void);
