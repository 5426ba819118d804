# SPDX-License-Identifier: BSD-3-Clause
"""The lab as running things: builds the topology, and gives the checks their cards, guests and peer."""
import functools
import os
import pathlib
import socket
import sys
import time

import topology as topo
from capture import Capture
from card import Card
from netns import Netns, Wire, check_kernel
from proc import Daemon, LabError, run, tail
from qemu import Guest, Nic
from state import State, prefix

REPO = pathlib.Path(__file__).resolve().parents[2]


class Tools:
    """Programs and images that the lab runs, found before anything is started."""

    def __init__(self):
        build = pathlib.Path(os.environ.get("OUTBOARD_BUILD") or REPO / "build")
        cache = pathlib.Path(os.environ.get("OUTBOARD_CACHE") or "/var/cache/outboard")
        self.card = build / "dpu-fw/card/ob-card"
        self.obctl = build / "ctrl/cli/obctl"
        self.exporter = build / "ctrl/telemetry/ob-exporter"
        self.qemu = cache / "qemu/qemu-system-x86_64"
        for path, hint in ((self.card, "./outboard build"), (self.obctl, "./outboard build"), (self.exporter, "./outboard build"),
                           (self.qemu, "./outboard setup")):
            if not path.exists():
                raise LabError(f"{path} is not there; make it with: {hint}")
        self.image = run(REPO / "tools/guest/build-guest.sh", timeout=300).split("\n")[:2]

    @functools.cached_property
    def disk_image(self):
        return run(REPO / "tools/guest/build-guest.sh", "storage", timeout=300).split("\n")[:2]


def free_port(wanted):
    for port in (wanted, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
                return sock.getsockname()[1]
            except OSError:
                continue
    raise LabError("no free TCP port on 127.0.0.1")


class World:
    """'transient': it ends with this process, and all that goes over the wire is captured."""

    def __init__(self, ident, transient, say=lambda text: None):
        self.ident, self.transient, self.say = ident, transient, say
        self.state = State(ident)
        self.dir = self.state.dir
        self.wire = Wire(prefix(ident) + "wire")
        self.under = {name: Netns(prefix(ident) + name) for name in topo.CARDS}
        self.peer_ns = Netns(prefix(ident) + "k")
        self.gateway, self.outside = Netns(prefix(ident) + "gw"), Netns(prefix(ident) + "out")
        self.cards, self.guests, self.exporters = {}, {}, {}
        self.daemons = []
        self.capture = None

    # ---- building ----

    def build(self):
        check_kernel()
        self.tools = Tools()
        self.state.create(self.transient)
        for step in (self._networks, self._cards, self._configure, self._guests, self._exporters):
            began = time.monotonic()
            what = step()
            self.say(f"{what} ({time.monotonic() - began:.1f} s)")
        self.state.data["ready"] = True
        self.state.data["show"] = {
            "cards": {n: {"bus": str(c.bus), "log": str(c.log), "metrics": self.exporters.get(n)} for n, c in self.cards.items()},
            "guests": {n: {"console": str(g.console), "card": next(e.card for e in topo.endpoints(guest=n)),
                           "addresses": {e.vnet.name: e.ips for e in topo.endpoints(guest=n) if not e.late}}
                       for n, g in self.guests.items()},
            "obctl": str(self.tools.obctl), "wire": self.wire.name,
        }
        self.state.save()

    def _keep(self, daemon):
        self.daemons.append(daemon)
        self.state.add_process(daemon)
        return daemon

    def daemon(self, name, argv, log, expected=True):
        """'expected': it is a failure if it ends by itself."""
        daemon = self._keep(Daemon(name, argv, self.dir / log, self.transient))
        daemon.expected = expected
        return daemon

    def _networks(self):
        for ns in (self.wire, *self.under.values(), self.peer_ns, self.gateway, self.outside):
            self.state.add_netns(ns)
            ns.create()
        end = self.wire.port("peer", self.peer_ns)
        self.peer_ns.ip("addr", "add", topo.STRANGER, "dev", end)
        for peer in topo.PEERS:
            self._peer(peer, end)
        self._outside()
        self.capture = Capture(self) if self.transient else None
        return "wire, underlay networks, kernel peer and an outside"

    def _peer(self, peer, end):
        ns, nodad = self.peer_ns, lambda addr: ["nodad"] if ":" in addr else []
        ns.ip("addr", "add", peer.underlay, "dev", end, *nodad(peer.underlay))
        ns.ip("link", "add", "name", peer.dev, "address", peer.mac, "mtu", topo.ENI_MTU, "type", "vxlan", "id", topo.RED.vni,
              "dstport", 4789, "local", topo.bare(peer.underlay), "dev", end, "nolearning")
        ns.ip("link", "set", peer.dev, "up")
        # Host routes: both devices are in red, and each has all of red behind it.
        for addr in peer.ips:
            ns.ip("addr", "add", addr, "dev", peer.dev, *nodad(addr))
        for e in topo.endpoints():
            if e.vnet is topo.RED:
                ns.run("bridge", "fdb", "append", e.mac, "dev", peer.dev, "dst", topo.underlay_ip(e.card, peer.version))
                for addr, own in zip(e.ips, peer.ips):
                    ns.ip("neigh", "replace", addr, "lladdr", e.mac, "dev", peer.dev)
                    ns.ip("route", "append", addr, "dev", peer.dev, "src", own, "metric", 100 + peer.host)

    def _outside(self):
        gw, out = self.gateway, self.outside
        end = self.wire.port("gw", gw)
        gw.ip("addr", "add", topo.GATEWAY_UNDERLAY, "dev", end)
        gw.ip("link", "add", "name", "internet", "address", topo.GATEWAY_MAC, "mtu", topo.ENI_MTU, "type", "vxlan", "id", topo.INTERNET_VNI,
              "dstport", 4789, "local", topo.bare(topo.GATEWAY_UNDERLAY), "dev", end)
        # Who has a public address is asked of all cards, and learned from the answer.
        for card in topo.CARDS:
            gw.run("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", "internet", "dst", topo.underlay_ip(card, 4))
        gw.ip("link", "add", "name", "outside", "type", "veth", "peer", "name", "eth0", "netns", out.name)
        for ns, dev, addr in ((gw, "internet", topo.GATEWAY), (gw, "outside", topo.OUTSIDE_ROUTER), (out, "eth0", topo.OUTSIDE_SERVER)):
            ns.no_ipv6(dev)
            ns.ip("link", "set", dev, "up")
            ns.ip("addr", "add", addr, "dev", dev)
        gw.sysctl("net/ipv4/ip_forward", 1)
        out.ip("route", "add", "default", "via", topo.bare(topo.OUTSIDE_ROUTER))
        addr = topo.bare(topo.OUTSIDE_SERVER)
        server = self.daemon("web server outside", out.enter([sys.executable, REPO / "tests/e2e/webserver.py", addr, 80]), "webserver.log")
        server.wait_for(lambda: "listening" in tail(server.log), 20, "listening")

    def _cards(self):
        for name, addrs in topo.CARDS.items():
            self.cards[name] = Card(name, self.dir, self.tools, self.wire, self.under[name], addrs, topo.WORKERS[name])
            self._keep(self.cards[name].start(self.transient))
        for card in self.cards.values():
            card.wait_ready()
        return "cards a and b"

    def _configure(self):
        for name, card in self.cards.items():
            other = "b" if name == "a" else "a"
            for vnet in topo.VNETS:
                card.ctl("vnet", "add", vnet.name, "--vni", vnet.vni)
                for prefix_ in vnet.routes():
                    card.ctl("route", "add", "--vnet", vnet.name, prefix_, "--to", f"vnet:{vnet.name}")
            card.ctl("tunnel", "add", f"t{other}-vxlan", "--encap", "vxlan", "--remote", topo.underlay_ip(other, 4))
            card.ctl("tunnel", "add", f"t{other}-geneve", "--encap", "geneve", "--remote", topo.underlay_ip(other, 6),
                     "--option", topo.GENEVE_OPTION, "--match", topo.GENEVE_OPTION)
            for peer in topo.PEERS:
                card.ctl("tunnel", "add", peer.tunnel, "--encap", "vxlan", "--remote", topo.bare(peer.underlay))
                card.add_mapping("red", peer.addrs, peer.mac, peer.tunnel)
            # Nothing is sent this way; what comes in is for hostile_wire.
            card.ctl("tunnel", "add", "tk-geneve", "--encap", "geneve", "--remote", topo.bare(topo.PEERS[0].underlay))
            for e in topo.endpoints():
                if e.card != name:
                    card.add_mapping(e.vnet.name, e.addrs, e.mac, f"t{other}-{e.vnet.encap}")
                elif not e.late:
                    self.add_endpoint(e)
        return f"{len(topo.VNETS)} networks, {len(topo.ENDPOINTS) - 1} functions, mappings"

    def add_endpoint(self, e):
        card = self.cards[e.card]
        path = card.add_function(e.name, e.transport, e.mac, topo.ENI_MTU, e.queues, e.packed)
        card.add_eni(e.name, e.name, e.vnet.name, e.mac, e.addrs, e.vnet.routers(), topo.ENI_MTU)
        return path

    def nic(self, e, name=None):
        return Nic(name or e.vnet.name, e.transport, e.mac, e.addrs, self.cards[e.card].socket_of(e.name), topo.ENI_MTU, e.queues)

    def _guest(self, name):
        mine = [e for e in topo.endpoints(guest=name) if not e.late]
        return Guest(name, self.dir, self.tools.qemu, self.tools.image, [self.nic(e) for e in mine], cpus=max(e.queues for e in mine))

    def _guests(self):
        for name in dict.fromkeys(e.guest for e in topo.ENDPOINTS):
            self.guests[name] = self._guest(name)
            self._keep(self.guests[name].start(self.transient))
        for guest in self.guests.values():
            guest.wait_boot(watch=self._all_alive)
        return "guests " + " ".join(self.guests)

    def add_disk_guest(self, name, disks):
        """A guest with disks and the programs to test them, beside those of the topology."""
        guest = Guest(name, self.dir, self.tools.qemu, self.tools.disk_image, [], memory=512, cpus=2, disks=disks)
        self.guests[name] = guest
        self._keep(guest.start(self.transient))
        guest.wait_boot(watch=self._all_alive)
        return guest

    def replace_guest(self, name):
        """Kills a guest's QEMU, as a crash would, and starts a new one on the same functions."""
        old = self.guests[name]
        old.daemon.expected = False
        old.daemon.popen.kill()
        old.stop()
        self.guests[name] = self._guest(name)
        self._keep(self.guests[name].start(self.transient))
        return self.guests[name]

    def _exporters(self):
        for i, (name, card) in enumerate(self.cards.items()):
            port = free_port(9471 + i)
            daemon = self.daemon(f"exporter {name}", [self.tools.exporter, "--bus", card.bus, "--listen", f"127.0.0.1:{port}"],
                                 f"exporter-{name}.log")
            daemon.wait_for(lambda port=port: self._accepts(port), 10, f"listening on port {port}")
            self.exporters[name] = f"http://127.0.0.1:{port}/metrics"
        return "metrics exporters"

    @staticmethod
    def _accepts(port):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    # ---- ending ----

    def _all_alive(self):
        for d in self.ended():
            raise LabError(f"{d.name} ended with status {d.popen.returncode}\n{tail(d.log)}")

    def detach(self):
        for guest in self.guests.values():
            guest.detach()

    def ended(self):
        """What should run and has ended by itself."""
        return [d for d in self.daemons if d.expected and not d.running()]

    def remove(self, keep_logs=None):
        for guest in self.guests.values():
            guest.stop()
        for daemon in reversed(self.daemons):
            daemon.stop()
        return self.state.remove(keep_logs)
