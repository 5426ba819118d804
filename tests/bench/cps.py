# SPDX-License-Identifier: BSD-3-Clause
"""'cps': TCP connections opened, used once and closed (six packets each), beside connections that live on."""
import outboard
import ovs
import rounds
from bench_util import M, median, ratio, short, wants

TUPLES = 4 * M  # that are used in turn: seconds pass until one is used again
OVS_MOST = M


def one_case(bench, canary, live, n_rounds):
    """Rounds beside live connections start anew: a connection that lives cannot be opened again."""
    entries = []
    for i in range(n_rounds if live else 1):
        if i > 0 and bench.late():
            bench.note(f"out of time after {i} of {n_rounds} rounds")
            break
        got = measure(bench, canary, live, 1 if live else n_rounds)
        for old, new in zip(entries, got):
            old.ns += new.ns
            old.pages += new.pages
        entries = entries or got
    return rows_of(bench, entries, live)


def measure(bench, canary, live, n_rounds):
    quick = bench.quick
    case = {"mode": "crr", "flows": TUPLES if not quick else 100_000, "live": live, "touch": 4, "warm": 0.1 if quick else 1,
            "measure": 0.3 if quick else 2}
    bench.progress(f"cps: {short(live)} live connections")
    entries, systems = [], []
    try:
        floor = rounds.generator_floor(bench, case, bench.driver)
        systems.append(floor)
        entries.append(rounds.Entry("testpmd", floor))
        floor.freeze()
        if wants(bench, "outboard"):
            systems.append(outboard.forwarder(bench, case, bench.driver, True))
            entries.append(rounds.Entry("outboard", systems[-1]))
            systems[-1].freeze()
        if wants(bench, "ovs-dpdk") and live <= OVS_MOST:
            switch = ovs.forwarder(bench, case, bench.driver, True)
            systems.append(switch)
            # With connections this short no cache of flows helps; beside live ones there is no second run.
            entries.append(rounds.Entry("ovs-dpdk, EMC", switch, lambda: switch.caches(True)))
            if not live:
                entries.append(rounds.Entry("ovs-dpdk, no EMC", switch, lambda: switch.caches(False)))
            switch.freeze()
        rounds.run(bench, entries, n_rounds, canary, patience=90 + live / 20000, value=per_connection, again=not live)
    finally:
        for system in systems:
            system.stop()
    return entries


def per_connection(page):
    """On-CPU ns a connection."""
    window = page["windows"][-1]
    return window["ns_per_connection"] if window["connections"] else float("inf")


def rows_of(bench, entries, live):
    best = {}
    for entry in entries:
        system, _, cache = entry.label.partition(", ")
        windows = [page["windows"][-1] for page in entry.pages]
        ns = median(entry.ns)
        net = median([a - b for a, b in zip(entry.ns, entries[0].ns)])
        bench.row(system, f"cps: {short(live)} live{', ' + cache if cache else ''}", live, 64, [w["ns_per_pkt"] for w in windows],
                  ns_per_connection=round(ns, 1), ns_per_connection_net=round(net, 1), cps=round(1e9 / ns),
                  cps_net=round(1e9 / net) if net > 0 else None,
                  timeouts=sum(w["timeouts"] for w in windows))
        if system not in best or ns < best[system][0]:
            best[system] = (ns, net)
    return best


def cps(bench):
    canary = rounds.Canary(bench)
    results = {}
    for live in [0] if bench.quick else [0, M, 10 * M]:
        results[live] = one_case(bench, canary, live, 1 if bench.quick else 3 if live == 0 else 2 if live <= M else 1)
    canary.row()
    for live, best in results.items():
        if "outboard" in best and "ovs-dpdk" in best:
            name = "outboard_over_ovs" + (f"_{short(live)}_live" if live else "")
            bench.ratios[name] = ratio(best["ovs-dpdk"][1], best["outboard"][1])
            bench.ratios[name + "_gross"] = ratio(best["ovs-dpdk"][0], best["outboard"][0])
