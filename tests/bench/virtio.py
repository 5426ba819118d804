# SPDX-License-Identifier: BSD-3-Clause
"""'virtio': guests by vhost-user. The load is a testpmd with virtio-user ports on the other core; the system under test has its rings.

    guest to guest    net_obgen <-> virtio-user <=> [ system ] <=> virtio-user <-> net_obgen     both directions, security groups
    guest to uplink   testpmd txonly -> virtio-user => [ system ] -> VXLAN -> net_null           one direction

What is measured is the system's forwarding thread, while the load has more to send than it takes.
"""
import json
import time

import gen as g
import outboard
import ovs
import rounds
from bench_util import median, ratio, wants
from proc import LabError, run, tail
from system import CORE, OTHER_CORE
from testpmd import Testpmd

PEER, PEER_MAC = "10.0.0.8", g.PEER_MAC
RINGS = {"split": "packed_vq=0,in_order=0,mrg_rxbuf=1", "packed": "packed_vq=1,in_order=1,mrg_rxbuf=1"}


def virtio_user(i, path, mac, ring, server=False):
    return f"net_virtio_user{i},path={path},mac={mac},queues=1,queue_size=1024,{RINGS[ring]}" + (",server=1" if server else "")


class Load(Testpmd):
    """Its forwarding core is the other one; frozen and thawed with the system it feeds."""

    name = "load"

    def __init__(self, bench, label, vdevs, driver=None, forward="io", options=()):
        super().__init__(bench, label, vdevs, driver, forward, main_core=CORE, core=OTHER_CORE, megabytes=256,
                         options=["--txd=1024", "--rxd=1024", *options])

    memory_options = ("--single-file-segments",)


# ---- the systems ----

def card_guests(bench, paths, label):
    s = outboard.Outboard(bench, label)
    s.start(None)
    s.ctl("vnet", "add", "v", "--vni", g.VNI)
    s.ctl("route", "add", "10.0.0.0/24", "--vnet", "v", "--to", "vnet:v")
    for name, path, mac, addr in (("e", paths[0], g.GUEST_MAC, g.GUEST), ("p", paths[1], PEER_MAC, PEER)):
        s.ctl("function", "add", name, "--type", "net", "--transport", "vhost-user", "--socket", path, "--mac", mac, "--queues", 1)
        s.ctl("eni", "add", name, "--function", name, "--vnet", "v", "--mac", mac, "--ip", f"{addr}/24")
    s.ctl("sg", "add", "out", "--rule", f"100 permit tcp,udp from {g.GUEST}/32 to {PEER}/32 port {g.PORTS}")
    s.ctl("sg", "add", "in", "--rule", f"100 permit tcp,udp from {g.GUEST}/32 to any port {g.PORTS}")
    s.ctl("binding", "add", "e", "--dir", "out", "--stage", 1, "--sg", "out")
    s.ctl("binding", "add", "p", "--dir", "in", "--stage", 1, "--sg", "in")
    return s


def ovs_guests(bench, paths, label):
    s = ovs.Ovs(bench, label)
    s.start()
    s.bridge("br-int")
    for i, (name, path) in enumerate((("guest", paths[0]), ("peer", paths[1])), 1):
        s.port("br-int", name, i, "dpdkvhostuserclient", vhost_server_path=path)
    s.timeouts()
    lines = ["table=0,priority=0,actions=drop", "table=1,priority=0,actions=drop"]
    for port, mac, addr, other_mac in ((1, g.GUEST_MAC, g.GUEST, PEER_MAC), (2, PEER_MAC, PEER, g.GUEST_MAC)):
        lines.append(f"table=0,priority=10,in_port={port},dl_src={mac},dl_dst={other_mac},ip,nw_src={addr},actions=ct(zone=1,table=1)")
        lines.append(f"table=1,priority=20,in_port={port},ct_state=+trk+est-inv,ip,actions=output:{3 - port}")
    first, last = (int(p) for p in g.PORTS.split("-"))
    for value, mask in ovs.port_masks(first, last):
        lines.append(f"table=1,priority=10,in_port=1,ct_state=+trk+new-inv,udp,nw_dst={PEER},tp_dst={value:#x}/{mask:#x},"
                     "actions=ct(commit,zone=1),output:2")
    s.flows("br-int", lines)
    return s


def card_uplink(bench, path, label):
    s = outboard.Outboard(bench, label)
    s.start("net_null1,size=64,no-rx=1")
    s.overlay(g.PEERS[:1])
    s.ctl("function", "add", "f", "--type", "net", "--transport", "vhost-user", "--socket", path, "--mac", g.GUEST_MAC, "--queues", 1)
    s.eni()
    return s


def ovs_uplink(bench, path, label):
    s = ovs.Ovs(bench, label)
    s.start()
    s.overlay("dpdkvhostuserclient", {"vhost_server_path": path}, "net_null1,size=64,no-rx=1")
    s.stateless()
    return s


# ---- measuring ----

class Pair:
    """A system and its load, measured together. 'page' of a run looks like the generator's report."""

    name = "pair"
    lossless = False  # what the rings do not hold is dropped by the load

    def __init__(self, system, load, label):
        self.system, self.load, self.label = system, load, label
        self.gen = load.gen

    def freeze(self):
        self.load.freeze()
        self.system.freeze()

    def thaw(self):
        self.system.thaw()
        self.load.thaw()

    def stop(self):
        self.thaw()  # each waits for the other's answer
        self.load.stop()
        self.system.stop()

    def running(self):
        return self.load.running() and self.system.running()

    @property
    def log(self):
        return self.system.log

    def measure(self, patience=60):
        self.thaw()
        try:
            return self._with_generator(patience) if self.gen else self._transmit_only()
        finally:
            self.freeze()

    def _with_generator(self, patience):
        """The thread's share of its core while packets flowed, times the window, over what came through."""
        seen = []
        page = self.gen.run(self, patience, lambda: seen.append((time.time_ns(), self.system.cpu_ns())))
        window = page["windows"][-1]
        end = self.gen.file.stat().st_mtime_ns
        inside = [s for s in seen if end - window["seconds"] * 1e9 <= s[0] <= end]
        if len(inside) < 2:
            raise LabError(f"{self.label}: the window was too short to be seen")
        share = (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
        window["load_ns_per_pkt"] = window["ns_per_pkt"]
        window["ns_per_pkt"] = share * window["seconds"] * 1e9 / max(window["received"], 1)
        return page

    def _transmit_only(self):
        bench = self.system.bench
        time.sleep(0.1 if bench.quick else 0.5)
        n, ns = self.taken(), self.system.cpu_ns()
        time.sleep(0.3 if bench.quick else 1.5)
        n, ns = self.taken() - n, self.system.cpu_ns() - ns
        dropped = self.load.dropped()
        if n == 0:
            raise LabError(f"{self.label}: nothing comes through\n{tail(self.system.log)}\n{tail(self.load.log)}")
        return {"windows": [{"ns_per_pkt": ns / n, "emitted": n, "received": n, "errors": 0, "saturated": dropped > 0}], "ports": []}

    def taken(self):
        """Packets that the system took from the guest."""
        if isinstance(self.system, outboard.Outboard):
            return self.system.show("function", "show", "f")["tx_packets"]
        stats = self.system.appctl("dpctl/show", "-s", "netdev@ovs-netdev")
        part = stats[stats.index("guest"):]
        return int(part[part.index("RX packets:") + 11:].split()[0])


def guest_to_guest(bench, ring, size, n_rounds):
    case = {"flows": 1000, "size": size, "encap": "none", "peers": 1, "peer": PEER, "gw_mac": PEER_MAC,
            "warm": 0.2, "measure": 0.5 if bench.quick else 2, "check": 64}
    entries, pairs = [], []
    try:
        for name, make in (("outboard", card_guests), ("ovs-dpdk", ovs_guests)):
            if not wants(bench, name):
                continue
            client = name == "outboard"  # the load connects to the card; OVS connects to the load
            directory = bench.dir / f"{name}-g2g"
            directory.mkdir(exist_ok=True)
            paths = [directory / f"g{i}.sock" for i in (0, 1)]
            gen = g.Generator(directory, "gen", **case)
            vdevs = [gen.devargs(0), virtio_user(0, paths[0], "02:0b:00:00:0f:01", ring, not client), gen.devargs(1),
                     virtio_user(1, paths[1], "02:0b:00:00:0f:02", ring, not client)]
            load = Load(bench, f"{name}-load", vdevs, bench.driver)
            load.gen = gen
            system = None
            if client:
                system = make(bench, paths, f"{name}-g2g")
                load.start()
            else:
                system = make(bench, paths, f"{name}-g2g")
                load.start()
            pairs.append(Pair(system, load, name))
            entries.append(rounds.Entry(name, pairs[-1]))
            pairs[-1].freeze()
        rounds.run(bench, entries, n_rounds, None, patience=60)
    finally:
        for pair in pairs:
            pair.stop()
    return rows_of(bench, entries, f"guest to guest, {ring}", 1000, size)


def guest_to_uplink(bench, ring, size, n_rounds):
    entries, pairs = [], []
    try:
        for name, make in (("outboard", card_uplink), ("ovs-dpdk", ovs_uplink)):
            if not wants(bench, name):
                continue
            directory = bench.dir / f"{name}-g2u"
            directory.mkdir(exist_ok=True)
            path = directory / "g.sock"
            system = make(bench, path, f"{name}-g2u")
            load = TransmitOnly(bench, f"{name}-load", [virtio_user(0, path, g.GUEST_MAC, ring, name != "outboard")], size)
            load.start()
            pairs.append(Pair(system, load, name))
            entries.append(rounds.Entry(name, pairs[-1]))
            pairs[-1].freeze()
        rounds.run(bench, entries, n_rounds, None)
    finally:
        for pair in pairs:
            pair.stop()
    for entry in entries:
        if not all(page["windows"][-1]["saturated"] for page in entry.pages):
            bench.note(f"{entry.label}: the load could not fill its ring (guest to uplink, {ring}, {size} bytes): its figure is the load's rate")
    return rows_of(bench, entries, f"guest to uplink, {ring}", 1, size)


class TransmitOnly(Load):
    def __init__(self, bench, label, vdevs, size):
        super().__init__(bench, label, vdevs, None, "txonly",
                         [f"--eth-peer=0,{g.GATEWAY_MAC}", f"--tx-ip={g.GUEST},{g.PEERS[0]}", "--tx-udp=1024,80", f"--txpkts={size - 4 + 4}"])
        self.gen = None

    def dropped(self):
        text = self.say("show fwd stats all", "TX-dropped", 1)
        return int(text[text.rindex("TX-dropped:") + 11:].split()[0])


def rows_of(bench, entries, case, flows, size):
    return {entry.label: bench.row(entry.label, case, flows, size, entry.ns)["ns_per_pkt"] for entry in entries}


def rings_against_rte_vhost(bench):
    """Our rings and rte_vhost's burst functions, driven by one thread that plays the guest in between: vhost_bench.c."""
    program = bench.build / "tests/vhost_bench"
    argv = [program, "--json", "--no-huge" if not bench.huge else "--huge"] + (["--quick"] if bench.quick else [])
    bench.progress("our rings against rte_vhost's burst functions")
    page = json.loads(run(*argv, timeout=200))
    best = {}
    for row in page["rows"]:
        bench.row(row["system"], row["case"], 1, row["bytes"], row["rounds"])
        best[row["system"], row["case"], row["bytes"]] = median(row["rounds"])
    for (system, case, size), ns in best.items():
        if system != "outboard":
            continue
        peer = best.get(("rte_vhost", case, size))
        name = f"outboard_over_rte_vhost_{size}B" + ("" if case == "in and out, split" else "_" + case.replace(", ", "_").replace(" ", "_"))
        bench.ratios[name] = ratio(peer, ns)


def virtio(bench):
    n_rounds = 1 if bench.quick else 3
    canary = rounds.Canary(bench)
    cases = [("split", 64)] if bench.quick else [("split", 64), ("split", 1500), ("packed", 64), ("packed", 1500)]
    for ring, size in cases:
        canary.look()
        for kind, measure in (("", guest_to_guest), ("_uplink", guest_to_uplink)):
            bench.progress(f"virtio{kind}: {ring} rings, {size} bytes")
            got = measure(bench, ring, size, n_rounds)
            if len(got) == 2:
                name = f"outboard_over_ovs_{size}B" + kind + ("" if ring == "split" else f"_{ring}")
                bench.ratios[name] = ratio(got["ovs-dpdk"], got["outboard"])
    canary.look()
    canary.row()
    if (bench.build / "tests/vhost_bench").exists():
        rings_against_rte_vhost(bench)
