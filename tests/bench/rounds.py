# SPDX-License-Identifier: BSD-3-Clause
"""Interleaved rounds: A B C, A B C, ... so that what the machine does meanwhile meets all alike."""
import gen as g
from proc import LabError
from testpmd import Testpmd

CANARY_TOLERANCE = 0.05


class Canary:
    """testpmd between two net_null ports: the floor of any DPDK program, and in each round a look at the machine's mood."""

    def __init__(self, bench):
        self.bench = bench
        self.testpmd = Testpmd(bench, "testpmd-null", ["net_null0,size=64", "net_null1,size=64"]).start()
        self.testpmd.freeze()
        self.ns = []

    def look(self):
        self.ns.append(self.testpmd.own_rate(0.1 if self.bench.quick else 0.3))
        return self.ns[-1]

    def row(self):
        return self.bench.row("testpmd", "io, net_null to net_null", None, 64, self.ns)


def check_wire(bench, system, page, strict=True):
    """What the system did with the packets: nothing lost, nothing wrong. 'strict': all that was emitted came through."""
    window = page["windows"][-1]
    if window["errors"]:
        wrong = {port["name"]: {k: v for k, v in port["errors"].items() if v} for port in page["ports"]}
        raise LabError(f"{system.label}: {window['errors']} wrong packets in the sinks: {wrong}")
    if window["emitted"] == 0:
        raise LabError(f"{system.label}: the generator was not polled")
    lost = 1 - window["received"] / window["emitted"]
    if strict and lost > 0.01:
        raise LabError(f"{system.label}: {lost:.1%} of the packets did not come through; it dropped: {system.drops()}")
    if strict and lost > 0.0001:
        bench.note(f"{system.label}: {lost:.3%} of the packets did not come through; it dropped: {system.drops()}")


class Entry:
    """One thing that is measured in each round. 'prepare': called before each measurement, with the system running."""

    def __init__(self, label, system, prepare=None):
        self.label, self.system, self.prepare = label, system, prepare
        self.ns, self.pages = [], []


def per_packet(page):
    return page["windows"][-1]["ns_per_pkt"]


def run(bench, entries, n_rounds, canary=None, patience=120, value=per_packet, again=True):
    """Measures all entries in each round; a round in which the canary moved is measured once more, at most twice in all, where it can be
    done 'again'."""
    spare = 2 if again and not bench.quick else 0
    done = 0
    while done < n_rounds:
        if done > 0 and bench.late():
            bench.note(f"out of time after {done} of {n_rounds} rounds")
            return
        before = canary.look() if canary else 0
        got = []
        for entry in entries:
            if entry.prepare:
                entry.system.thaw()
                entry.prepare()
            page = entry.system.measure(patience)
            check_wire(bench, entry.system, page, strict=value is per_packet and entry.system.lossless)
            got.append(page)
            bench.progress(f"  round {done + 1}/{n_rounds}  {entry.label:<24} {value(page):8.1f} ns")
        after = canary.look() if canary else 0
        if canary and abs(after - before) > CANARY_TOLERANCE * before and spare > 0:
            spare -= 1
            bench.progress(f"  the machine was disturbed ({before:.1f} -> {after:.1f} ns): this round again")
            continue
        for entry, page in zip(entries, got):
            entry.pages.append(page)
            entry.ns.append(value(page))
        done += 1


def generator_floor(bench, case, driver, label="testpmd"):
    """testpmd's io forwarding between the generator's own ports: what the harness costs."""
    floor = Testpmd(bench, label, [])
    floor.gen = g.Generator(floor.dir, "gen", sink="any", **case)
    floor.vdevs = [floor.gen.devargs(0), floor.gen.devargs(1)]
    floor.driver = driver
    return floor.start()
