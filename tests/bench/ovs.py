# SPDX-License-Identifier: BSD-3-Clause
"""Debian's OVS with DPDK, from private directories and in a network namespace of its own: never the system's service."""
import os
import time

from proc import Daemon, LabError, run, tail
from system import CORE, System
import gen as g

SWITCH = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MAX_CONNS = 12_000_000
TIMEOUT_S = 600  # of every protocol state, as on our side
CLOSED_S = 5     # of closing ones, where many connections come and go


def version():
    return run(SWITCH, "--version").splitlines()[0].split()[-1]


class Ovs(System):
    """Bridges: br-phy has the wire and the tunnel's address, br-int the guest and the tunnel."""

    name = "ovs-dpdk"
    thread_name = "pmd-c"

    def __init__(self, bench, label="ovs-dpdk", megabytes=1024):
        super().__init__(bench, label)
        self.megabytes = megabytes
        self.db = None

    # ---- processes ----

    def start(self, driver=None, vhost_dir=None):
        env = {"OVS_RUNDIR": self.dir, "OVS_DBDIR": self.dir, "OVS_LOGDIR": self.dir, "OVS_SYSCONFDIR": self.dir}
        os.environ.update({k: str(v) for k, v in env.items()})
        conf = self.dir / "conf.db"
        conf.unlink(missing_ok=True)
        run("ovsdb-tool", "create", conf, SCHEMA)
        self.db = Daemon("ovsdb-server", ["ovsdb-server", conf, f"--remote=punix:{self.dir}/db.sock", f"--unixctl={self.dir}/db.ctl",
                                          "-vconsole:warn"], self.dir / "ovsdb.log", transient=True)
        self.db.wait_for((self.dir / "db.sock").exists, 10, "listening")
        extra = ["--no-pci", "--no-telemetry", f"--file-prefix=obb-{os.getpid()}-ovs", "--iova-mode=va", "-m", str(self.megabytes)]
        # It adds --in-memory by itself unless --legacy-mem is there, and DPDK 22.11 refuses that together with --no-huge.
        extra += [] if self.bench.huge else ["--no-huge", "--legacy-mem"]
        extra += ["-d", driver] if driver else []
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true", f"other_config:pmd-cpu-mask={1 << CORE:#x}",
                   "other_config:dpdk-lcore-mask=0x1", f"other_config:dpdk-extra=\"{' '.join(extra)}\"",
                   "other_config:max-idle=600000", "other_config:hw-offload=false")
        self.daemon = self.spawn(["unshare", "--net", SWITCH, f"unix:{self.dir}/db.sock", f"--unixctl={self.dir}/ctl",
                                  "-vconsole:info"])
        self.daemon.wait_for(lambda: "DPDK Enabled - initialized" in self.log.read_text(errors="replace"), 60, "initialised")
        self.vsctl("--no-wait", "--", "--id=@dp", "create", "Datapath", "datapath_version=0", "--", "set", "Open_vSwitch", ".",
                   "datapaths:netdev=@dp")
        return self

    def stop(self):
        super().stop()
        if self.db is not None:
            self.db.stop()
            self.db = None

    def vsctl(self, *args):
        try:
            return run("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--timeout=60", *args)
        except LabError as err:
            raise LabError(f"{err}\n{tail(self.log)}") from None

    def appctl(self, *args):
        return run("ovs-appctl", "-t", self.dir / "ctl", *args)

    def flows(self, bridge, lines):
        run("ovs-ofctl", "-O", "OpenFlow14", "add-flows", f"unix:{self.dir}/{bridge}.mgmt", "-", stdin="\n".join(lines) + "\n")

    def ip(self, *args):
        return run("nsenter", f"--net=/proc/{self.daemon.pid}/ns/net", "--", "ip", *args)

    # ---- configuration ----

    def bridge(self, name):
        self.vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev", "fail_mode=secure")

    def port(self, bridge, name, number, kind, **options):
        self.vsctl("add-port", bridge, name, "--", "set", "interface", name, f"type={kind}", f"ofport_request={number}",
                   *[f"options:{k.replace('_', '-') if kind.startswith('dpdk') else k}=\"{v}\"" for k, v in options.items()])
        error = self.vsctl("get", "interface", name, "error").strip().strip('"')
        if error not in ("", "[]"):
            raise LabError(f"ovs: port {name}: {error}\n{tail(self.log)}")

    def overlay(self, guest_kind="dpdk", guest_options=None, wire=None):
        """The two bridges, the tunnel, its address and neighbour."""
        self.bridge("br-phy")
        self.bridge("br-int")
        self.port("br-phy", "wire", 1, "dpdk", dpdk_devargs=wire)
        self.vsctl("set", "interface", "wire", f"mtu_request={g.UNDERLAY_MTU}")
        self.port("br-int", "guest", 1, guest_kind, **guest_options)
        self.port("br-int", "vx", 2, "vxlan", remote_ip=g.FAR, local_ip=g.CARD, key=str(g.VNI))
        self.vsctl("set", "bridge", "br-phy", f"other_config:hwaddr=\"{g.WIRE_MAC}\"")
        self.flows("br-phy", ["priority=1,actions=NORMAL"])
        self.ip("addr", "add", f"{g.CARD}/24", "dev", "br-phy")
        self.ip("link", "set", "br-phy", "up")
        self._wait_for_route()
        self.appctl("tnl/neigh/set", "br-phy", g.FAR, g.FAR_MAC)

    def _wait_for_route(self):
        """It hears of the address by netlink, some time."""
        until = time.monotonic() + 10
        while True:
            try:
                if "br-phy" in self.appctl("ovs/route/lookup", g.FAR):
                    return
            except LabError:
                pass
            if time.monotonic() > until:
                raise LabError(f"ovs: no route to {g.FAR}\n{tail(self.log)}")
            time.sleep(0.05)

    def timeouts(self):
        states = ["udp_first", "udp_single", "udp_multiple", "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "icmp_first", "icmp_reply"]
        self.vsctl("add-zone-tp", "netdev", "zone=1", *[f"{s}={TIMEOUT_S}" for s in states],
                   *[f"{s}={CLOSED_S}" for s in ("tcp_fin_wait", "tcp_time_wait", "tcp_close")])
        self.appctl("dpctl/ct-set-maxconns", "netdev@ovs-netdev", str(MAX_CONNS))

    def caches(self, emc):
        """EMC as shipped, or off."""
        self.vsctl("set", "Open_vSwitch", ".", f"other_config:emc-insert-inv-prob={100 if emc else 0}")

    # What both kinds of flow tables do with a packet that may pass: what a router and a tunnel do.
    OUT = f"mod_dl_src:{g.GATEWAY_MAC},mod_dl_dst:{g.PEER_MAC},dec_ttl,output:2"

    def stateless(self):
        """Anti-spoofing and routing out; delivery by VNI and MAC in."""
        self.flows("br-int", [
            f"priority=10,in_port=1,dl_src={g.GUEST_MAC},dl_dst={g.GATEWAY_MAC},ip,nw_src={g.GUEST},nw_dst={g.PEER_NET},actions={self.OUT}",
            f"priority=10,in_port=2,tun_id={g.VNI},dl_dst={g.GUEST_MAC},ip,actions=output:1",
            "priority=0,actions=drop"])

    def stateful(self):
        """The same, and a security group: the guest may open connections to the peers' ports, nobody to the guest."""
        self.timeouts()
        first, last = (int(p) for p in g.PORTS.split("-"))
        lines = [
            f"table=0,priority=10,in_port=1,dl_src={g.GUEST_MAC},dl_dst={g.GATEWAY_MAC},ip,nw_src={g.GUEST},actions=ct(zone=1,table=1)",
            f"table=0,priority=10,in_port=2,tun_id={g.VNI},dl_dst={g.GUEST_MAC},ip,actions=ct(zone=1,table=2)",
            "table=0,priority=0,actions=drop",
            f"table=1,priority=20,ct_state=+trk+est-inv,ip,nw_dst={g.PEER_NET},actions={self.OUT}",
            "table=1,priority=0,actions=drop",
            "table=2,priority=20,ct_state=+trk+est-inv,ip,actions=output:1",
            "table=2,priority=0,actions=drop"]
        for proto in ("udp", "tcp"):
            for port, mask in port_masks(first, last):
                lines.append(f"table=1,priority=10,ct_state=+trk+new-inv,{proto},nw_dst={g.PEER_NET},tp_dst={port:#x}/{mask:#x},"
                             f"actions=ct(commit,zone=1),{self.OUT}")
        self.flows("br-int", lines)

    def datapath_flows(self):
        return self.appctl("dpctl/dump-flows", "netdev@ovs-netdev")

    def connections(self):
        return int(self.appctl("dpctl/ct-get-nconns", "netdev@ovs-netdev").strip())


def port_masks(first, last):
    """A range of ports as value/mask pairs, which is what OpenFlow matches."""
    out = []
    while first <= last:
        size = first & -first or 65536
        while first + size - 1 > last:
            size //= 2
        out.append((first, 65536 - size))
        first += size
    return out


def forwarder(bench, case, driver, stateful, label="ovs-dpdk"):
    """OVS between the generator's two ports."""
    s = Ovs(bench, label)
    s.gen = g.Generator(s.dir, "gen", **case)
    s.start(driver)
    s.overlay("dpdk", {"dpdk_devargs": s.gen.devargs(0)}, s.gen.devargs(1))
    if stateful:
        s.stateful()
    else:
        s.stateless()
    return s
