/* SPDX-License-Identifier: BSD-3-Clause */
/* The card's objects and the bus that they are reached by.
 *
 * ob_card holds names: which index of the dataplane's tables a name of the operator means, and what refers to what. Names and
 * the configuration of functions lie in the arena; everything else here is rebuilt from there and from the dataplane's own tables.
 * ob_bus serves the card bus (ctrl/proto/ob_bus.h) over it. Everything runs on the main thread's event loop.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ob_bus.h"
#include "ob_nvme.h"
#include "ob_underlay.h"
#include "ob_virtio.h"

struct event_base;
struct ob_arena;
struct ob_card;
struct ob_bus;
struct ob_fn; /* a function, whatever carries it to its host */

/* A function that shows volumes, whichever kind it is. */
struct ob_card_disk_status {
	uint8_t state;	       /* enum ob_bus_fn_state */
	uint8_t driver_status; /* of virtio */
	uint16_t n_queues;     /* that run */
	uint32_t peer_pid;
	uint64_t features, mapped_bytes, faults;
	uint64_t reads, read_bytes, writes, write_bytes, io_errors;
};

/* How the card makes functions: the device models, or something simpler in tests. All calls on the main thread. */
struct ob_card_models {
	/* 'transport' is enum ob_bus_transport; of a port, conf->path is its device arguments. 'err' may get a text that says more than
	 * the code, else it is empty. Returns as ob_vnet_create or ob_port_guest_create. */
	int (*create)(const struct ob_vnet_conf *conf, uint8_t transport, struct ob_fn **out,
	    char *err, size_t err_len);
	void (*destroy)(struct ob_fn *fn);
	void (*set_link)(struct ob_fn *fn, bool up);
	void (*get_status)(const struct ob_fn *fn, struct ob_vnet_status *out);
	int (*queue_counters)(uint16_t vif_idx, unsigned q, struct ob_vif_queue_counters *out);
	void (*fini)(void); /* after the last function; may be NULL */
	/* The same for what shows volumes. */
	int (*create_blk)(
	    const struct ob_virtio_blk_conf *conf, uint8_t transport, struct ob_fn **out);
	int (*create_nvme)(const struct ob_nvme_conf *conf, struct ob_fn **out);
	int (*add_ns)(struct ob_fn *fn, uint32_t *nsid, struct ob_nvme_ns *ns);
	int (*del_ns)(struct ob_fn *fn, uint32_t nsid);
	void (*disk_status)(const struct ob_fn *fn, struct ob_card_disk_status *out);
	/* Queue 'i' of those there are, without the function's name. Returns 0; -ENOENT past the end. */
	int (*disk_queue)(const struct ob_fn *fn, unsigned i, struct ob_bus_io_queue *out);
};
extern const struct ob_card_models ob_card_models; /* vfio-user, vhost-user, ports */

struct ob_card_conf {
	struct event_base *base;
	struct ob_arena *arena;
	uint64_t arena_bytes; /* its limit, for people */
	const char *serial;   /* 1..31 printable characters; copied */
	const char *version;  /* static */
	const char *run_dir;  /* where functions' sockets are made that give no path; copied */
	/* What volumes' keys are wrapped with; made with the first of them. NULL: "volumes.key" in run_dir; copied */
	const char *key_file;
	struct ob_underlay *underlay; /* NULL: no uplink. The caller's */
	const struct ob_card_models *models;
};

/* Finds or makes the tables of names. ob_encap_init, ob_policy_init and ob_vif_init ran before. Context: main.
 * Returns 0, -EINVAL, -ENOMEM, or as ob_arena_region. */
int ob_card_create(const struct ob_card_conf *conf, struct ob_card **out);
/* Stops all functions and removes their sockets; the other objects stay in the arena. NULL is legal. Context: main. */
void ob_card_destroy(struct ob_card *c);

/* One request (a packet of the bus) and its answer, without a socket; for tests and fuzzing. A LIST is answered by its first packet, and
 * '*more' tells that there are others. 'out' holds at least OB_BUS_MAX_MSG bytes.
 * Returns the answer's bytes; 0: the request is too short for an answer. Context: main. */
size_t ob_card_request(struct ob_card *c, const void *req, size_t len, void *out, bool *more);

#define OB_BUS_MAX_CLIENTS 64

/* Listens on 'path' (created 0660; an old socket that nobody serves is replaced). A client that does not read its answers is not
 * read from; it delays nobody. Context: main.
 * Returns 0; -EADDRINUSE another card serves it; -ENAMETOOLONG; -errno. 'err' gets a text that says what to do. */
int ob_bus_create(struct ob_card *c, struct event_base *base, const char *path, struct ob_bus **out,
    char *err, size_t err_len);
/* Closes all clients and removes the socket. NULL is legal. */
void ob_bus_destroy(struct ob_bus *bus);
unsigned ob_bus_n_clients(const struct ob_bus *bus);
