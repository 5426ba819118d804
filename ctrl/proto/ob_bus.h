/* SPDX-License-Identifier: BSD-3-Clause */
/* The card bus: messages between ob-card and its clients (obctl, the exporter, later ob-ctrl) over a Unix SOCK_SEQPACKET.
 *
 * One request per packet, replies in order. All integers are little endian (every supported machine is), layouts are fixed and
 * packed by hand: no padding that the asserts below do not show. A request of another version is answered -EPROTONOSUPPORT.
 * A reply repeats 'op' and 'seq'; 'status' is 0 or a negative errno, and then the body is a text for people. A LIST is
 * answered by any number of packets with OB_BUS_MORE set and a last one without; each carries 'count' records.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define OB_BUS_MAGIC   0x4f42u /* "OB" */
#define OB_BUS_VERSION 1
#define OB_BUS_MAX_MSG 65536
#define OB_BUS_NAME    32 /* bytes of a name: [A-Za-z0-9._-], then NULs to the end */
#define OB_BUS_PATH    108
#define OB_BUS_DEVARGS 128

enum ob_bus_verb {
	/* ADD, DEL, SET: body: records, done in order up to the first that fails; the reply's 'count' tells how many were done. */
	OB_BUS_ADD = 1,
	OB_BUS_DEL = 2,	 /* key fields only */
	OB_BUS_SET = 3,	 /* changes what may be changed in place */
	OB_BUS_LIST = 4, /* body: empty, or one record as a filter by its non-empty key fields */
};

enum ob_bus_noun {
	OB_BUS_CARD = 1,
	OB_BUS_FUNCTION = 2,
	OB_BUS_VNET = 3,
	OB_BUS_ENI = 4,
	OB_BUS_ROUTE = 5,
	OB_BUS_MAPPING = 6,
	OB_BUS_TUNNEL = 7,
	OB_BUS_UPLINK = 8,
	OB_BUS_QUEUE = 9, /* LIST: counters per queue */
	OB_BUS_DROP =
	    /* LIST: drop counters per function and reason; without a filter those that are not 0 */
	10,
	OB_BUS_WORKER = 11,
	OB_BUS_UPLOAD = 12,
	OB_BUS_BODY = 13,
	OB_BUS_SG = 14,
	OB_BUS_TAG = 15,
	OB_BUS_BINDING = 16,
	OB_BUS_NAT_POOL = 17,
	OB_BUS_NAT_BIND = 18,
	OB_BUS_FIP = 19,
	OB_BUS_NAT64 = 20,
	OB_BUS_METER = 21,
	OB_BUS_SESSION_POLICY = 22,
	OB_BUS_SESSION = 23,
	OB_BUS_SESSION_ENI = 24,
	OB_BUS_SESSION_TABLE = 25,
	OB_BUS_CAPTURE = 40,
	OB_BUS_TRACE = 41,
	OB_BUS_VOLUME = 50,
	OB_BUS_NAMESPACE = 51,
	OB_BUS_VOLUME_STATS = 52,
	OB_BUS_IO_QUEUE = 53,
	OB_BUS_FUNCTION_STATS = 54,
};

enum ob_bus_flags {
	OB_BUS_REPLY = 1 << 0,
	OB_BUS_MORE = 1 << 1,
};

struct ob_bus_hdr {
	uint16_t magic;
	uint8_t version;
	uint8_t verb;
	uint8_t noun;
	uint8_t flags;
	uint16_t count;	   /* records in the body */
	uint32_t seq;	   /* chosen by the client */
	int32_t status;	   /* replies */
	uint32_t body_len; /* bytes after this header; must match the packet */
	uint32_t
	    /* bytes of one record; a newer peer may send longer ones, the tail is ignored */
	    record_len;
};
static_assert(sizeof(struct ob_bus_hdr) == 24, "wire layout");

struct ob_bus_ip {
	uint8_t family; /* 0 none, 4, 6 */
	uint8_t prefix_len;
	uint8_t reserved[2];
	uint8_t b[16]; /* network byte order; IPv4 in the first four */
};
static_assert(sizeof(struct ob_bus_ip) == 20, "wire layout");

struct ob_bus_card {
	char version[32];
	char serial[32];
	uint64_t uptime_ns;
	uint32_t pid;
	uint32_t n_workers, n_functions, n_vnets, n_enis, n_routes, n_mappings, n_tunnels;
	uint64_t arena_bytes;
	uint32_t n_bus_clients;
	uint32_t reserved;
};
static_assert(sizeof(struct ob_bus_card) == 120, "wire layout");

enum ob_bus_transport {
	OB_BUS_VFIO_USER = 1,
	OB_BUS_VHOST_USER = 2,	      /* the card listens */
	OB_BUS_VHOST_USER_CLIENT = 3, /* the card connects and reconnects */
	OB_BUS_PORT = 4,	      /* a DPDK port in place of a device that the card emulates */
};

enum ob_bus_fn_state {
	OB_BUS_FN_WAITING = 0,	 /* no host is connected */
	OB_BUS_FN_CONNECTED = 1, /* host connected, driver not running */
	OB_BUS_FN_RUNNING = 2,	 /* DRIVER_OK */
	OB_BUS_FN_BROKEN = 3,	 /* needs reset */
};

enum ob_bus_fn_type {
	OB_BUS_NET = 1,	 /* virtio-net */
	OB_BUS_BLK = 2,	 /* virtio-blk */
	OB_BUS_NVME = 3, /* an NVMe controller */
};

struct ob_bus_function {
	char name[OB_BUS_NAME]; /* key */
	char socket[OB_BUS_PATH];
	uint8_t type;	   /* enum ob_bus_fn_type */
	uint8_t transport; /* enum ob_bus_transport */
	uint8_t mac[6];
	uint16_t n_pairs;    /* of queues; of storage: queues. 0: default */
	uint16_t queue_size; /* 0: default */
	uint16_t mtu;	     /* 0: default */
	uint8_t packed;	     /* offer VIRTIO_F_RING_PACKED: 0 default (yes), 1 yes, 2 no */
	uint8_t link;	     /* 0 default (up), 1 up, 2 down */
	uint32_t speed_mbps; /* 0: default */
	/* answers only */
	uint8_t state;	       /* enum ob_bus_fn_state */
	uint8_t device_status; /* virtio status byte */
	uint16_t active_pairs;
	uint32_t vif;
	uint64_t features; /* negotiated */
	uint64_t rx_pkts, rx_bytes, tx_pkts,
	    tx_bytes; /* from the guest's view: rx = card to guest */
	uint64_t drops;
	uint64_t mapped_bytes;
	uint64_t faults; /* accesses outside mapped memory, rings broken, protocol errors */
	uint32_t peer_pid;
	uint32_t n_connections;
	char port
	    [OB_BUS_DEVARGS]; /* of OB_BUS_PORT: DPDK device arguments, or the name of a device that is there */
	char volume
	    [OB_BUS_NAME]; /* of OB_BUS_BLK: what it shows; of OB_BUS_NVME: its namespace 1, may be empty */
	/* answers only, of storage */
	uint32_t n_namespaces;
	uint32_t reserved;
	uint64_t reads, read_bytes, writes, write_bytes, io_errors;
};
static_assert(sizeof(struct ob_bus_function) == 448, "wire layout");

struct ob_bus_vnet {
	char name[OB_BUS_NAME]; /* key */
	uint32_t vni;
	uint32_t reserved;
};
static_assert(sizeof(struct ob_bus_vnet) == 40, "wire layout");

#define OB_BUS_ENI_ADDRS   8
#define OB_BUS_ENI_ROUTERS 4

struct ob_bus_eni {
	char name[OB_BUS_NAME]; /* key */
	char function[OB_BUS_NAME];
	char vnet[OB_BUS_NAME];
	uint8_t mac[6];
	uint16_t mtu;
	uint8_t router_mac[6];
	uint8_t n_addrs, n_routers;
	uint8_t n_dns;
	/* what happens to connections that no security group decided about: 0 and 1 permit, 2 deny */
	uint8_t default_in, default_out;
	uint8_t reserved;
	uint32_t lease_s;
	struct ob_bus_ip addr[OB_BUS_ENI_ADDRS]; /* prefix_len: the on-link prefix */
	struct ob_bus_ip router[OB_BUS_ENI_ROUTERS];
	struct ob_bus_ip dns[OB_BUS_ENI_ROUTERS];
};
static_assert(sizeof(struct ob_bus_eni) == 440, "wire layout");

enum ob_bus_route_action {
	OB_BUS_TO_VNET = 1, /* whatever has the destination in to_vnet; empty: the same VNET */
	OB_BUS_TO_DROP = 2,
	OB_BUS_TO_VIA = 3, /* one of the next hops, which are addresses of to_vnet */
	OB_BUS_TO_NAT = 4, /* the same, with a public address of to_vnet as the source */
};

#define OB_BUS_ROUTE_HOPS 16

struct ob_bus_route {
	char vnet[OB_BUS_NAME];	 /* key */
	struct ob_bus_ip prefix; /* key */
	uint8_t action;		 /* enum ob_bus_route_action */
	uint8_t n_hops;
	uint8_t reserved[2];
	char to_vnet[OB_BUS_NAME];
	struct ob_bus_ip hop[OB_BUS_ROUTE_HOPS];
};
static_assert(sizeof(struct ob_bus_route) == 408, "wire layout");

struct ob_bus_mapping {
	char vnet[OB_BUS_NAME]; /* key */
	struct ob_bus_ip ca;	/* key */
	char tunnel[OB_BUS_NAME];
	uint8_t mac[6];
	uint8_t reserved[2];
	uint32_t vni; /* 0: the VNET's own */
};
static_assert(sizeof(struct ob_bus_mapping) == 96, "wire layout");

#define OB_BUS_MAX_OPTS 8

struct ob_bus_geneve_opt {
	uint16_t opt_class; /* host value */
	uint8_t type;
	uint8_t len; /* bytes of data, multiple of 4 */
	uint8_t data[124];
};
static_assert(sizeof(struct ob_bus_geneve_opt) == 128, "wire layout");

struct ob_bus_tunnel {
	char name[OB_BUS_NAME]; /* key */
	uint8_t encap;		/* 1 VXLAN, 2 Geneve */
	uint8_t csum;		/* 0 default, 1 on, 2 off */
	uint16_t port;		/* 0: default of the encapsulation */
	struct ob_bus_ip local; /* family 0: chosen by the underlay's routes */
	struct ob_bus_ip remote;
	uint8_t ttl;
	uint8_t n_opts, n_match;
	uint8_t nexthop_ok;			       /* answer: the way is resolved */
	uint8_t nexthop_mac[6];			       /* answer */
	uint16_t inner_mtu;			       /* answer, 0 unknown */
	uint64_t tx_pkts, tx_bytes, rx_pkts, rx_bytes; /* answer */
	struct ob_bus_geneve_opt opt[OB_BUS_MAX_OPTS];
	struct ob_bus_geneve_opt match[OB_BUS_MAX_OPTS];
};
static_assert(sizeof(struct ob_bus_tunnel) == 2168, "wire layout");

#define OB_BUS_UPLINK_ADDRS 8

struct ob_bus_uplink {
	char devargs[128];
	char kernel_if[16]; /* TAP in the underlay namespace */
	char driver[32];
	uint8_t mac[6];
	uint16_t mtu;
	uint8_t link_up;
	uint8_t n_addrs;
	uint16_t n_rxq, n_txq;
	uint8_t reserved[2];
	uint32_t speed_mbps;
	struct ob_bus_ip addr[OB_BUS_UPLINK_ADDRS]; /* the card's underlay addresses */
	uint64_t rx_pkts, rx_bytes, tx_pkts, tx_bytes, rx_missed, rx_errors, tx_errors, punted,
	    injected;
	uint32_t n_routes, n_neighbours;
};
static_assert(sizeof(struct ob_bus_uplink) == 440, "wire layout");

struct ob_bus_queue {
	char function[OB_BUS_NAME];
	uint16_t queue; /* virtqueue number: even = card to guest, odd = guest to card */
	uint16_t size;
	int16_t worker; /* -1: not running */
	uint16_t flags; /* 1: running, 2: packed, 4: broken */
	uint64_t n_pkts, n_bytes, n_bursts, n_irqs, n_kicks, n_gso, n_full, n_errors;
};
static_assert(sizeof(struct ob_bus_queue) == 104, "wire layout");

struct ob_bus_drop {
	char function[OB_BUS_NAME]; /* "uplink" for packets that never reached a function */
	char reason[OB_BUS_NAME];
	uint64_t n_pkts;
	char help[128];
	char eni[OB_BUS_NAME]; /* of the function; empty: it has none */
};
static_assert(sizeof(struct ob_bus_drop) == 232, "wire layout");

struct ob_bus_worker {
	uint32_t id;
	int32_t cpu;
	uint64_t n_rounds, n_busy_rounds, n_sleeps, n_wakeups, n_mail, n_handoff_in, n_handoff_out;
	uint64_t busy_ns; /* estimate from sampled rounds */
};
static_assert(sizeof(struct ob_bus_worker) == 72, "wire layout");

#include "ob_bus_policy.h"
#include "ob_bus_session.h"
#include "ob_bus_storage.h"
#include "ob_bus_watch.h"
