# SPDX-License-Identifier: BSD-3-Clause
"""The benches by name, and what their ratios are wanted to be."""
import block
import cps
import forwarding
import latency
import scale
import virtio

SUITES = {
    "block": block.block,
    "cps": cps.cps,
    "encap": forwarding.encap,
    "latency": latency.latency,
    "scale": scale.scale,
    "stateful": forwarding.stateful,
    "virtio": virtio.virtio,
}

# (bench, ratio) -> (relation, figure)
WANTED = {
    ("stateful", "ovs_over_outboard_64B_4k"): (">=", 6),
    ("stateful", "ovs_over_outboard_64B_1m"): (">=", 10),
    ("stateful", "net_over_testpmd_io_100k"): ("<=", 3),
    ("stateful", "net_over_testpmd_io_10m"): ("<=", 4),
    ("cps", "outboard_over_ovs"): (">=", 5),
    ("virtio", "outboard_over_ovs_64B"): (">=", 1.5),
    ("virtio", "outboard_over_ovs_1500B"): (">=", 1.5),
    ("virtio", "outboard_over_rte_vhost_64B"): (">=", 1),
    ("block", "nvme_null_miops"): (">=", 1),
    ("block", "virtio_blk_over_qsd_ram"): (">=", 3),
    ("block", "virtio_blk_over_qsd_file"): (">=", 1.5),
    ("block", "file_over_fio_uring"): (">=", 0.85),
    ("block", "crypt_over_openssl"): (">=", 0.85),
    ("block", "qd1_added_us_p50"): ("<=", 3),
    ("block", "qd1_added_us_p999"): ("<=", 30),
    ("scale", "bytes_per_connection"): ("<=", 192),
    ("scale", "sessions_left"): ("<=", 0),
    ("scale", "leaked"): ("<=", 0),
}


def holds(value, wanted):
    relation, figure = wanted
    return value >= figure if relation == ">=" else value <= figure
