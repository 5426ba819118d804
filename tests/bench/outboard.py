# SPDX-License-Identifier: BSD-3-Clause
"""Ours: ob-card in a network namespace of its own, set up over its bus."""
import json
import socket

from proc import LabError, run, tail
from system import CORE, System
from ovs import CLOSED_S, TIMEOUT_S
import gen as g


class Outboard(System):
    name = "outboard"
    thread_name = "ob-worker"

    def __init__(self, bench, label="outboard", megabytes=512, sessions=1 << 20):
        super().__init__(bench, label)
        self.megabytes, self.sessions = megabytes, sessions
        self.bus = self.dir / "card.sock"

    def start(self, uplink, dpdk_args=(), more=()):
        argv = ["unshare", "--net", self.bench.build / "dpu-fw/card/ob-card", "--bus", self.bus, "--run-dir", self.dir, "--serial", "BENCH",
                "--cpus", str(CORE), "--idle", "poll", "--mem", str(self.megabytes), "--arena-max", "16384", "--sessions", str(self.sessions), *more]
        if uplink:
            argv += ["--uplink", uplink, "--mtu", str(g.UNDERLAY_MTU)]
        if not self.bench.huge:
            argv.append("--no-huge")
        for arg in dpdk_args:
            argv += ["--dpdk-arg", arg]
        self.daemon = self.spawn(argv)
        self.daemon.wait_for(self._answers, 60, "answering on its bus")
        if uplink:
            self.ip("addr", "add", f"{g.CARD}/24", "dev", "ob-up0")
            self.ip("link", "set", "ob-up0", "up")
            self.ip("neigh", "replace", g.FAR, "lladdr", g.FAR_MAC, "dev", "ob-up0", "nud", "permanent")
        return self

    def _answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            try:
                sock.connect(str(self.bus))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def ip(self, *args):
        return run("nsenter", f"--net=/proc/{self.daemon.pid}/ns/net", "--", "ip", *args)

    def ctl(self, *args):
        try:
            return run(self.bench.build / "ctrl/cli/obctl", "-s", self.bus, *args, timeout=60)
        except LabError as err:
            raise LabError(f"outboard: {err}\n{tail(self.log, 6)}") from None

    def show(self, *args):
        return json.loads(self.ctl("--json", *args))

    def drops(self):
        frozen = self.frozen
        self.thaw()
        rows = self.show("drops", "list")
        if frozen:
            self.freeze()
        return {f"{row['function']} {row['reason']}": row["packets"] for row in rows} or "nothing"

    # ---- configuration ----

    def overlay(self, peers=None):
        """VNET, tunnel, and where the peers are; the ENI comes with its function."""
        self.ctl("vnet", "add", "v", "--vni", g.VNI)
        self.ctl("tunnel", "add", "far", "--encap", "vxlan", "--remote", g.FAR, "--local", g.CARD)
        self.ctl("route", "add", g.PEER_NET, "--vnet", "v", "--to", "vnet:v")
        for peer in peers or g.PEERS:
            self.ctl("mapping", "add", "--vnet", "v", "--ip", peer, "--mac", g.PEER_MAC, "--tunnel", "far")

    def eni(self, function="f"):
        self.ctl("eni", "add", "e", "--function", function, "--vnet", "v", "--mac", g.GUEST_MAC, "--ip", f"{g.GUEST}/24", "--router", g.GATEWAY,
                 "--router-mac", g.GATEWAY_MAC)

    def timeouts(self):
        """As on the peers' side: long where a connection lives, short where it is over."""
        live = [word for state in ("udp-new", "udp-replied", "tcp-syn-sent", "tcp-syn-recv", "tcp-established")
                for word in (f"--{state}", TIMEOUT_S)]
        over = [word for state in ("tcp-fin-wait", "tcp-close-wait", "tcp-last-ack", "tcp-time-wait", "tcp-close")
                for word in (f"--{state}", CLOSED_S)]
        self.ctl("session-policy", "set", "e", *live, *over)

    def security_groups(self):
        """Three stages of what the guest may open: the peers' ports, no more; and nobody may open anything to it but ssh of a network
        that sends none."""
        self.ctl("sg", "add", "base", "--rule", "100 deny any from any to 169.254.0.0/16", "--rule", "900 permit-continue any from any to any")
        self.ctl("sg", "add", "net", "--rule", f"100 permit-continue tcp,udp from {g.GUEST}/32 to {g.PEER_NET}",
                 "--rule", "900 deny-continue any from any to any")
        self.ctl("sg", "add", "app", "--rule", f"100 permit tcp,udp from any to {g.PEER_NET} port {g.PORTS}")
        self.ctl("sg", "add", "ssh", "--rule", "100 permit tcp from 10.9.0.0/16 to any port 22")
        for stage, name in enumerate(("base", "net", "app"), 1):
            self.ctl("binding", "add", "e", "--dir", "out", "--stage", stage, "--sg", name)
        self.ctl("binding", "add", "e", "--dir", "in", "--stage", 1, "--sg", "ssh")


def forwarder(bench, case, driver, stateful, label="outboard", more=()):
    """The card between the generator's two ports."""
    s = Outboard(bench, label, sessions=max(1 << 20, case["flows"] * 5 // 4 + 2 * case.get("live", 0)))
    s.gen = g.Generator(s.dir, "gen", **case)
    s.start("net_obgen1", ["-d", driver, f"--vdev={s.gen.devargs(0)}", f"--vdev={s.gen.devargs(1)}"], more)
    s.overlay()
    s.ctl("function", "add", "f", "--type", "net", "--port", "net_obgen0", "--mac", g.GUEST_MAC, "--mtu", g.GUEST_MTU)
    s.eni()
    if stateful:
        s.security_groups()
        s.timeouts()
    return s
