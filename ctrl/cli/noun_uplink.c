/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#define R ob_bus_uplink

static const struct choice up_down[] = {{"down", 0}, {"up", 1}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "device", .head = "DEVICE", .kind = K_STR, FIELD(R, devargs)},
    {.name = "driver", .head = "DRIVER", .kind = K_STR, FIELD(R, driver)},
    {.name = "kernel_interface", .head = "KERNEL-IF", .kind = K_STR, FIELD(R, kernel_if)},
    {.name = "mac", .head = "MAC", .kind = K_MAC, FIELD(R, mac)},
    {.name = "mtu", .head = "MTU", .kind = K_UINT, FIELD(R, mtu)},
    {.name = "link", .head = "LINK", .kind = K_CHOICE, FIELD(R, link_up), .choices = up_down},
    {.name = "speed", .kind = K_UINT, FIELD(R, speed_mbps)},
    {.name = "addresses", .head = "ADDRESSES", .kind = K_IFADDR, LIST_OF(R, addr, n_addrs)},
    {.name = "rx_queues", .kind = K_UINT, FIELD(R, n_rxq)},
    {.name = "tx_queues", .kind = K_UINT, FIELD(R, n_txq)},
    {.name = "rx_packets", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, rx_pkts)},
    {.name = "rx_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, rx_bytes)},
    {.name = "tx_packets", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, tx_pkts)},
    {.name = "tx_bytes", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, tx_bytes)},
    {.name = "rx_missed", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, rx_missed)},
    {.name = "rx_errors", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, rx_errors)},
    {.name = "tx_errors", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, tx_errors)},
    {.name = "to_kernel", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, punted)},
    {.name = "from_kernel", .kind = K_UINT, .flags = F_COUNTER, FIELD(R, injected)},
    {.name = "routes", .kind = K_UINT, FIELD(R, n_routes)},
    {.name = "neighbours", .kind = K_UINT, FIELD(R, n_neighbours)},
};

const struct noun noun_uplink = {
    .name = "uplink",
    .bus = OB_BUS_UPLINK,
    .record_len = sizeof(struct R),
    .verbs = V_SHOW,
    .vertical = true,
    .help = "the port to the underlay, and its interface in the card's kernel",
    .about = "The card's kernel owns the underlay's addresses on the kernel interface: add "
	     "addresses and routes there with ip(8), run a\n"
	     "routing daemon on it. The card follows its routes and neighbours.",
    .none = "this card has no uplink: start ob-card with --uplink",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};
