/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside dataplane/capture only. */
#pragma once

#include <pthread.h>

#include "ob_capture.h"

/* ---- filter.c: what a packet says of itself --------------------------------------------------------------------------- */

#define HDRS_MAX 256 /* bytes of a packet that are looked at */

struct hdrs {
	uint16_t ethertype;
	uint8_t family; /* AF_INET, AF_INET6, 0: neither */
	uint8_t proto;
	bool has_ports;
	uint16_t sport, dport;
	const uint8_t *src, *dst; /* in the bytes that were parsed */
	uint32_t inner_off;	  /* of the frame in a VXLAN or Geneve packet; 0: none */
};

/* Reads the headers in 'len' bytes of a frame; what is not there is not set. Any bytes will do. */
void hdrs_parse(const uint8_t *p, uint32_t len, struct hdrs *h);
/* Directions and fates aside. */
bool filter_takes(const struct ob_capture_filter *f, const struct hdrs *h);
/* Does it look at headers at all? */
bool filter_reads(const struct ob_capture_filter *f);
/* Returns 0, or -EINVAL with a text. */
int filter_check(const struct ob_capture_filter *f, char *err, size_t err_len);

/* ---- ring.c: from one worker to the thread of a capture, records that lie in one piece ------------------------------------ */

struct rec {
	uint32_t size;	  /* of the record with its bytes, a multiple of 8 */
	uint32_t cap_len; /* bytes that follow; REC_PAD: nothing, the ring begins anew */
	uint32_t len;	  /* of the packet */
	uint8_t iface, dir;
	uint8_t fate, reason;
	uint16_t flags, in_vif, out_vif;
	uint16_t reserved;
	uint32_t tunnel, vni;
	uint64_t tsc;
};
static_assert(sizeof(struct rec) == 40, "a multiple of 8");

#define REC_PAD UINT32_MAX

struct ring {
	uint8_t *bytes;
	uint64_t mask;
	/* The worker's. */
	uint64_t committed __rte_cache_aligned; /* atomic: bytes put since the start */
	uint64_t tail;				/* the same with a pad that is not published yet */
	uint64_t head_seen;			/* what it last saw of 'head' */
	uint64_t n_matched[OB_CAPTURE_MAX_IFS], n_lost[OB_CAPTURE_MAX_IFS];
	/* The thread's. */
	uint64_t head __rte_cache_aligned; /* atomic: bytes taken */
};

/* 'bytes': a power of two. NULL: no memory. */
struct ring *ring_create(uint32_t bytes);
void ring_destroy(struct ring *r);
/* Room for a record with 'cap_len' bytes, or NULL. Then fill it in, and ring_commit. Context: worker. */
struct rec *ring_reserve(struct ring *r, uint32_t cap_len);
void ring_commit(struct ring *r, const struct rec *rec);
/* The oldest record, or NULL; valid until ring_pop. Context: the capture's thread. */
const struct rec *ring_peek(struct ring *r);
void ring_pop(struct ring *r, const struct rec *rec);

static inline uint8_t *rec_bytes(struct rec *r)
{
	return (uint8_t *)(r + 1);
}

/* ---- pcapng.c: blocks, in the machine's byte order ------------------------------------------------------------------------ */

#define PCAPNG_BLOCK_MAX (OB_CAPTURE_SNAP_MAX + 1024u) /* of a packet with its comment */
#define PCAPNG_STATS_MAX 128u

/* Each writes one block to 'p', which has room, and returns its end. */
uint8_t *pcapng_section(uint8_t *p);
uint8_t *pcapng_interface(uint8_t *p, const char *name, const char *filter, uint32_t snaplen);
/* 'bytes': rec->cap_len of them. */
uint8_t *pcapng_packet(
    uint8_t *p, const struct rec *rec, const uint8_t *bytes, uint64_t ts_ns, const char *comment);
uint8_t *pcapng_stats(uint8_t *p, uint32_t iface, uint64_t start_ns, uint64_t end_ns,
    uint64_t n_matched, uint64_t n_lost, uint64_t n_written);

/* ---- capture.c, writer.c -------------------------------------------------------------------------------------------------- */

#define WRITER_BUF (256u << 10)

struct names_of {
	uint32_t n;
	char (*name)[OB_CAPTURE_NAME]; /* empty: none */
};

struct capture {
	struct ob_capture_conf conf;
	unsigned slot, n_rings;
	uint16_t vif[OB_CAPTURE_MAX_IFS]; /* under 'lock' of capture.c; VIF_GONE */
	struct ring *ring[OB_MAX_WORKERS];
	struct names_of vifs, tunnels;
	uint64_t started_ns; /* monotonic */

	/* Of the thread; read by others. */
	uint8_t state;	  /* atomic: enum ob_capture_state; leaves RUNNING once */
	uint32_t writing; /* atomic */
	int err;	  /* before 'state' */
	uint64_t n_written, n_bytes, n_file_bytes; /* atomic */
	uint64_t written_if[OB_CAPTURE_MAX_IFS];
	/* Matched and lost, once the rings are gone. */
	uint64_t n_matched, n_lost;

	/* The thread's own. */
	bool begun, is_socket;
	bool broken; /* the file takes no more */
	bool full;   /* what waits is beyond a limit */
	uint64_t start_real_ns;
	uint8_t *buf;
	size_t n_buf;

	pthread_mutex_t wake_lock;
	pthread_cond_t wake;
	pthread_t thread;
};

#define VIF_GONE (OB_VIF_NONE - 1)

/* No threads: the caller steps. For tests. */
extern bool capture_manual;
/* For tests: the capture of a name, or NULL. */
struct capture *capture_find(const char *name);

/* Leaves RUNNING for 'state', if it runs. Context: any. */
bool capture_end(struct capture *c, enum ob_capture_state state, int err);
/* Workers take nothing for it from the next burst on. Context: any. */
void capture_unpublish(struct capture *c);
/* Matched and lost so far. */
void capture_sums(struct capture *c, uint64_t *n_matched, uint64_t *n_lost);

/* The file is done: frees what only a running capture needs. The capture may be gone afterwards. Context: the thread. */
void capture_done(struct capture *c);

/* One turn: takes what the rings hold, writes it, looks at limits. Returns packets written. */
unsigned writer_step(struct capture *c);
/* The end of the file; nobody uses the rings afterwards. */
void writer_finish(struct capture *c);
void *writer_main(void *arg);
