/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_function

static const struct choice types[] = {
    {"net", OB_BUS_NET}, {"blk", OB_BUS_BLK}, {"nvme", OB_BUS_NVME}, {NULL, 0}};
static const struct choice transports[] = {{"vfio-user", OB_BUS_VFIO_USER},
    {"vhost-user", OB_BUS_VHOST_USER}, {"vhost-user-client", OB_BUS_VHOST_USER_CLIENT},
    {"port", OB_BUS_PORT}, {NULL, 0}};
static const struct choice on_off[] = {{"on", 1}, {"off", 2}, {NULL, 0}};
static const struct choice up_down[] = {{"up", 1}, {"down", 2}, {NULL, 0}};
static const struct choice states[] = {{"waiting", OB_BUS_FN_WAITING},
    {"connected", OB_BUS_FN_CONNECTED}, {"running", OB_BUS_FN_RUNNING},
    {"broken", OB_BUS_FN_BROKEN}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "name",
	.head = "NAME",
	.kind = K_STR,
	.flags = F_KEY | F_POS,
	FIELD(R, name),
	.arg = "NAME",
	.help = "of the function"},
    {.name = "type",
	.head = "TYPE",
	.kind = K_CHOICE,
	.flags = F_ADD | F_REQUIRED,
	FIELD(R, type),
	.choices = types,
	.arg = "TYPE",
	.help = "what the host sees"},
    {.name = "transport",
	.head = "TRANSPORT",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, transport),
	.choices = transports,
	.arg = "T",
	.help = "how a virtual machine attaches; default vfio-user"},
    {.name = "state", .head = "STATE", .kind = K_CHOICE, FIELD(R, state), .choices = states},
    {.name = "mac",
	.head = "MAC",
	.kind = K_MAC,
	.flags = F_ADD,
	FIELD(R, mac),
	.arg = "MAC",
	.help = "permanent MAC; default derived from the card's serial number and the name"},
    {.name = "mtu",
	.head = "MTU",
	.kind = K_UINT,
	.flags = F_ADD | F_SET,
	FIELD(R, mtu),
	.arg = "BYTES",
	.help = "offered to the driver; default what fits the uplink with its encapsulation"},
    {.name = "queues",
	.head = "QUEUES",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, n_pairs),
	.arg = "N",
	.help = "queues: pairs of net, up to 16, and of nvme, up to 64; blk up to 64; default one "
		"for each worker, of nvme 16"},
    {.name = "active_queues", .head = "ACTIVE", .kind = K_UINT, FIELD(R, active_pairs)},
    {.name = "link",
	.head = "LINK",
	.kind = K_CHOICE,
	.flags = F_ADD | F_SET,
	FIELD(R, link),
	.choices = up_down,
	.arg = "L",
	.help = "link state that the guest sees"},
    {.name = "rx_packets",
	.head = "RX-PKTS",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, rx_pkts)},
    {.name = "tx_packets",
	.head = "TX-PKTS",
	.kind = K_UINT,
	.flags = F_COUNTER,
	FIELD(R, tx_pkts)},
    {.name = "drops", .head = "DROPS", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, drops)},
    {.name = "rx_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, rx_bytes)},
    {.name = "tx_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, tx_bytes)},
    {.name = "socket",
	.head = "SOCKET",
	.kind = K_STR,
	.flags = F_ADD,
	FIELD(R, socket),
	.arg = "PATH",
	.help = "Unix socket that the virtual machine connects to; default NAME.sock in the card's "
		"run folder"},
    {.name = "port",
	.kind = K_STR,
	.flags = F_ADD,
	FIELD(R, port),
	.arg = "DEVARGS",
	.help = "in place of a socket: the DPDK port that the guest is behind"},
    {.name = "volume",
	.head = "VOLUME",
	.kind = K_STR,
	.flags = F_ADD,
	FIELD(R, volume),
	.arg = "NAME",
	.help = "blk: the volume that is the disk; nvme: the volume that is namespace 1"},
    {.name = "queue_size",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, queue_size),
	.arg = "N",
	.help =
	    "descriptors a queue, a power of two up to 4096 (nvme: 32768); default 1024, of blk "
	    "256"},
    {.name = "packed",
	.kind = K_CHOICE,
	.flags = F_ADD,
	FIELD(R, packed),
	.choices = on_off,
	.arg = "P",
	.help = "offer packed virtqueues; default on"},
    {.name = "speed",
	.kind = K_UINT,
	.flags = F_ADD,
	FIELD(R, speed_mbps),
	.arg = "MBPS",
	.help = "link speed that the guest sees, Mb/s"},
    {.name = "namespaces", .kind = K_UINT, FIELD(R, n_namespaces)},
    {.name = "reads", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, reads)},
    {.name = "writes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, writes)},
    {.name = "read_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, read_bytes)},
    {.name = "write_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, write_bytes)},
    {.name = "io_errors", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, io_errors)},
    {.name = "device_status", .kind = K_STATUS, FIELD(R, device_status)},
    {.name = "features", .kind = K_HEX, FIELD(R, features)},
    {.name = "mapped_bytes", .kind = K_UINT, FIELD(R, mapped_bytes)},
    {.name = "faults", .kind = K_UINT, FIELD(R, faults)},
    {.name = "connections", .kind = K_UINT, FIELD(R, n_connections)},
    {.name = "peer_pid", .kind = K_UINT, FIELD(R, peer_pid)},
    {.name = "vif", .kind = K_UINT, FIELD(R, vif)},
};

static int complete(void *record)
{
	struct R *f = record;

	if (f->transport == 0)
		f->transport = f->port[0] != '\0' ? OB_BUS_PORT : OB_BUS_VFIO_USER;
	return 0;
}

const struct noun noun_function = {
    .name = "function",
    .alias = "fn",
    .bus = OB_BUS_FUNCTION,
    .record_len = sizeof(struct R),
    .verbs = V_ADD | V_SET | V_DEL | V_LIST | V_SHOW,
    .vertical = true,
    .help = "devices that hosts and virtual machines see",
    .about =
	"A function is one standard device: virtio-net (net), virtio-blk (blk) or an NVMe "
	"controller "
	"(nvme). A virtual machine attaches\n"
	"to its socket, by vfio-user (QEMU 10.1 and later, a whole PCI device) or, of virtio, by "
	"vhost-user. With --port the card\n"
	"emulates nothing: the guest is reached by a DPDK port, such as a virtual function of a "
	"NIC "
	"(--port 0000:03:00.2; ob-card was\n"
	"started with --dpdk-arg --allow=0000:03:00.2) or a traffic generator. A net function "
	"carries "
	"packets once an ENI is bound to it;\n"
	"disks show volumes ('obctl volume --help').",
    .examples =
	"  obctl function add f1 --type net --socket /run/outboard/f1.sock --queues 4\n"
	"  obctl function add f2 --type net --transport vhost-user --socket /run/outboard/f2.sock\n"
	"  obctl function add f3 --type net --port net_memif0,socket=/run/vnf.sock\n"
	"  obctl function add n0 --type nvme --volume d0\n"
	"  obctl function add b0 --type blk --transport vhost-user --volume d1\n"
	"  obctl function set f1 --link down\n"
	"  obctl function show f1\n",
    .forms = function_forms,
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
    .complete = complete,
};
