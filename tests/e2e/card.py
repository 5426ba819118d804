# SPDX-License-Identifier: BSD-3-Clause
"""One card: an ob-card process on the wire, and obctl to speak to it."""
import json
import pathlib
import socket

from proc import Daemon, LabError, run, tail

UNDERLAY_IF = "ob-up0"


def hugepages_free_mb():
    try:
        base = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
        return int((base / "free_hugepages").read_text()) * 2
    except (OSError, ValueError):
        return 0


class Card:
    """'wire': the namespace it takes packets from; 'under': the namespace of its own kernel underlay."""

    def __init__(self, name, directory, tools, wire, under, addrs, workers):
        self.name, self.tools, self.wire, self.under, self.addrs = name, tools, wire, under, addrs
        self.workers = workers
        self.dir = pathlib.Path(directory)
        self.bus = self.dir / f"card-{name}.bus"
        self.log = self.dir / f"card-{name}.log"
        self.daemon = None

    def start(self, transient=True):
        iface = self.wire.port(f"card-{self.name}")
        argv = [self.tools.card, "--bus", self.bus, "--uplink", f"net_af_packet0,iface={iface}",
                "--underlay-netns", self.under.name, "--underlay-if", UNDERLAY_IF, "--idle=sleep", "--workers", self.workers,
                "--serial", f"LAB-{self.name.upper()}", "--run-dir", self.dir / f"card-{self.name}"]
        if hugepages_free_mb() < 512:
            argv.append("--no-huge")
        self.daemon = Daemon(f"card {self.name}", self.wire.enter(argv), self.log, transient)
        return self.daemon

    def wait_ready(self):
        self.daemon.wait_for(self._bus_answers, 30, "answering on its bus socket")
        for addr in self.addrs:
            flags = ["nodad"] if ":" in addr else []
            self.under.ip("addr", "replace", addr, "dev", UNDERLAY_IF, *flags)
        self.under.ip("link", "set", UNDERLAY_IF, "up")

    def _bus_answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            try:
                sock.connect(str(self.bus))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def ctl(self, *args):
        """Runs obctl; returns its text."""
        try:
            return run(self.tools.obctl, "-s", self.bus, *args, timeout=20)
        except LabError as err:
            raise LabError(f"card {self.name}: {err}\n{tail(self.log, 6)}") from None

    def show(self, *args):
        """Runs obctl --json; returns what it says."""
        out = self.ctl("--json", *args)
        try:
            return json.loads(out)
        except ValueError:
            raise LabError(f"card {self.name}: obctl --json {' '.join(map(str, args))} did not answer JSON:\n{out[:500]}") from None

    def socket_of(self, function):
        return self.dir / f"{function}.sock"

    def add_function(self, name, transport, mac, mtu, queues=2, packed=False):
        path = self.socket_of(name)
        self.ctl("function", "add", name, "--type", "net", "--transport", transport, "--socket", path, "--mac", mac,
                 "--queues", queues, "--mtu", mtu, "--packed", "on" if packed else "off")
        return path

    def add_eni(self, name, function, vnet, mac, addrs, routers, mtu):
        args = ["eni", "add", name, "--function", function, "--vnet", vnet, "--mac", mac, "--mtu", mtu]
        for addr in addrs:
            args += ["--ip", addr]
        for router in routers:
            args += ["--router", router]
        self.ctl(*args)

    def add_mapping(self, vnet, addrs, mac, tunnel):
        for addr in addrs:
            self.ctl("mapping", "add", "--vnet", vnet, "--ip", addr.split("/")[0], "--mac", mac, "--tunnel", tunnel)
