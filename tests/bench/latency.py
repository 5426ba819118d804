# SPDX-License-Identifier: BSD-3-Clause
"""'latency': how long a packet is under way at 50 and 90 % of what the system can carry, percentiles."""
import outboard
import ovs
import rounds
from bench_util import K, ratio, wants

FLOWS = 100 * K
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")


def most(bench, make):
    """Packets a second, both ports together, that a system carries now; and which cache setting of OVS does it."""
    case = {"flows": FLOWS, "size": 64, "warm": 0.2 if bench.quick else 0.5, "measure": 0.3 if bench.quick else 1.5}
    system = make(case)
    best = (0, None)
    try:
        for emc in (True, False) if isinstance(system, ovs.Ovs) else (None,):
            if emc is not None:
                system.thaw()
                system.caches(emc)
            window = system.measure(60)["windows"][-1]
            best = max(best, (window["received"] / window["seconds"], emc), key=lambda b: b[0])
    finally:
        system.stop()
    return best


def at_load(bench, make, rate, emc, seconds=8):
    case = {"mode": "latency", "flows": FLOWS, "size": 64, "rate": round(rate / 2), "warm": 0.2 if bench.quick else 1,
            "measure": 0.5 if bench.quick else seconds}
    system = make(case)
    try:
        if emc is not None:
            system.caches(emc)
        return system.measure(60)["windows"][-1]
    finally:
        system.stop()


def latency(bench):
    def floor(case):
        return rounds.generator_floor(bench, case, bench.driver)

    def card(case):
        return outboard.forwarder(bench, case, bench.driver, True)

    def switch(case):
        return ovs.forwarder(bench, case, bench.driver, True)
    seen = {}
    for name, make in (("testpmd", floor), ("outboard", card), ("ovs-dpdk", switch)):
        if name != "testpmd" and not wants(bench, name):
            continue
        capacity, emc = most(bench, make)
        # Less where each packet's time is looked at.
        window = at_load(bench, make, capacity, emc, seconds=2)
        capacity = min(capacity, window["received"] / window["seconds"])
        bench.progress(f"latency: {name} carries {capacity / 1e6:.2f} Mpps")
        for load in (50, 90):
            window = at_load(bench, make, capacity * load / 100, emc)
            if window["missed"] > 0.001 * window["emitted"]:
                bench.note(f"{name} at {load} %: {window['missed'] / window['emitted']:.2%} of the packets could not wait in the port's queue")
            got = window["latency_ns"]
            row = bench.row(name, f"latency: {load} % of {capacity / 1e6:.1f} Mpps", FLOWS, 64, [window["ns_per_pkt"]],
                            **{f"{p}_us": round(got[p] / 1000, 2) for p in PERCENTILES}, load_percent=load)
            bench.progress("  " + ", ".join(f"{p} {row[f'{p}_us']:.1f} us" for p in PERCENTILES))
            seen[name, load] = row
    for load in (50, 90):
        ours, theirs = seen.get(("outboard", load)), seen.get(("ovs-dpdk", load))
        if ours and theirs:
            for p in ("p50", "p99", "p99.9"):
                bench.ratios[f"ovs_over_outboard_{p}_at_{load}"] = ratio(theirs[f"{p}_us"], ours[f"{p}_us"])
