# SPDX-License-Identifier: BSD-3-Clause
"""The traffic: arguments of net_obgen, its start and stop, its report (obgen/README.md has the contract)."""
import json
import os
import time

from proc import LabError, tail

DRIVER = "librte_net_obgen.so"

# One guest, its network, and the far tunnel end; every system is set up for these.
CARD, FAR = "192.0.2.1", "192.0.2.2"
FAR_MAC = "02:0b:00:00:ff:02"
WIRE_MAC = "02:0b:00:00:00:02"
GUEST, GUEST_MAC = "10.0.0.5", "02:0b:00:00:00:05"
GATEWAY, GATEWAY_MAC = "10.0.0.1", "02:0b:00:00:00:fe"
PEER_MAC = "02:0b:00:00:01:01"
N_PEERS = 256
PEERS = [f"10.1.0.{i}" for i in range(N_PEERS)]
PEER_NET = "10.1.0.0/24"
VNI = 100
GUEST_MTU, UNDERLAY_MTU = 1500, 1600  # what a guest sends fits the underlay, in its tunnel
PORTS = "80-1103"  # what security groups let out: 10 million connections use less than 1,024 destination ports


class Generator:
    """One pair of ports in one system's process. 'more': further arguments of the pair."""

    def __init__(self, directory, name, roles=("guest", "wire"), sink=None, **more):
        self.go = directory / f"{name}.go"
        self.file = directory / f"{name}.report"
        self.roles = roles
        self.sink = sink
        self.more = {"vni": VNI, "card": CARD, "far": FAR, "far_mac": FAR_MAC, "guest": GUEST, "guest_mac": GUEST_MAC, "peers": N_PEERS,
                     "peer": PEERS[0], "peer_mac": PEER_MAC, "gw_mac": GATEWAY_MAC, **more}
        self.runs = 0
        for path in (self.go, self.file):
            path.unlink(missing_ok=True)

    def devargs(self, i):
        """Of port i: 0 is the guest's, 1 the wire's."""
        args = [f"net_obgen{i}", f"role={self.roles[i]}"]
        if self.sink:
            args.append(f"expect={self.sink}")
        if i == 0:
            args += [f"{k}={v}" for k, v in self.more.items()] + [f"go={self.go}", f"report={self.file}"]
        return ",".join(args)

    def seconds(self):
        more = self.more
        return float(more.get("warm", 1)) + float(more.get("measure", 2)) * int(more.get("windows", 1))

    def page(self):
        try:
            return json.loads(self.file.read_text())
        except (OSError, ValueError):
            return None

    def run(self, system, patience=60, tick=None):
        """One run, from the opening of the connections to the last window; returns the report. 'tick()' is called meanwhile."""
        self.runs += 1
        until = time.monotonic() + patience + self.seconds()
        self.go.touch()
        page = None
        try:
            while True:
                if not system.running():
                    raise LabError(f"{system.name} ended while it was measured\n{tail(system.log)}")
                if time.monotonic() > until:
                    raise LabError(f"{system.name}: the generator is not done after {patience + self.seconds():.0f} s: {self._where(page)}"
                                   f"\n{tail(system.log)}")
                time.sleep(0.02)
                if tick:
                    tick()
                page = self.page() or page
                if page is None or page["run"] != self.runs:
                    continue
                if page["phase"] == "done":
                    return page
        finally:
            self.go.unlink(missing_ok=True)
            self._wait_for_end(system)

    def _wait_for_end(self, system):
        """Until the generator has seen that its file is gone: made anew too soon, it would not begin anew."""
        until = time.monotonic() + 5
        while system.running() and time.monotonic() < until:
            page = self.page()
            if page is None or page["phase"] == "wait":
                return
            time.sleep(0.02)

    @staticmethod
    def _where(page):
        return "no report" if page is None else f"run {page['run']}, phase {page['phase']}, opened {page.get('open')}"


def library_path(build):
    """DPDK loads a driver given by its bare name from here, and checks no permissions then."""
    path = build / "tests/bench/obgen"
    if not (path / DRIVER).exists():
        raise LabError(f"{path / DRIVER} is not there: ./outboard build makes it where DPDK's driver headers are")
    old = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = f"{path}:{old}" if old else str(path)
    return DRIVER
