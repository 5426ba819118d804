# SPDX-License-Identifier: BSD-3-Clause
"""'encap' and 'stateful': ns a packet over the number of flows and the size of packets, both directions at once."""
import outboard
import ovs
import rounds
from bench_util import K, M, ratio, short, wants

OVS_MOST = M  # connections; above it only ours is measured


def timing(bench, flows):
    """Warm-up and window. A window is long enough for every flow to be seen."""
    if bench.quick:
        return {"warm": 0.1, "measure": 0.2}
    return {"warm": 0.5, "measure": 1.5 if flows <= M else 3}


def one_case(bench, canary, flows, size, is_stateful, n_rounds):
    """All systems at one number of flows and size; rows, and the medians by system."""
    case = {"flows": flows, "size": size, **timing(bench, flows)}
    kind = "stateful" if is_stateful else "encap"
    bench.progress(f"{kind}: {short(flows)} flows, {size} bytes")
    entries, systems = [], []
    try:
        floor = rounds.generator_floor(bench, case, bench.driver)
        systems.append(floor)
        entries.append(rounds.Entry("testpmd, generator", floor))
        if wants(bench, "outboard"):
            card = outboard.forwarder(bench, case, bench.driver, is_stateful)
            card.freeze()
            systems.append(card)
            entries.append(rounds.Entry("outboard", card))
        if wants(bench, "ovs-dpdk") and flows <= OVS_MOST:
            switch = ovs.forwarder(bench, case, bench.driver, is_stateful)
            switch.freeze()
            systems.append(switch)
            entries.append(rounds.Entry("ovs-dpdk, EMC", switch, lambda: switch.caches(True)))
            entries.append(rounds.Entry("ovs-dpdk, no EMC", switch, lambda: switch.caches(False)))
        floor.freeze()
        rounds.run(bench, entries, n_rounds, canary, patience=60 + flows / 20000)
    finally:
        for system in systems:
            system.stop()
    return rows_of(bench, entries, kind, flows, size)


def rows_of(bench, entries, kind, flows, size):
    out = {}
    harness = bench.row("testpmd", f"{kind}: generator, io", flows, size, entries[0].ns)
    out["testpmd"] = harness["ns_per_pkt"]
    for entry in entries[1:]:
        system, _, cache = entry.label.partition(", ")
        net = [ns - h for ns, h in zip(entry.ns, entries[0].ns)]
        net = sorted(net)[len(net) // 2]
        row = bench.row(system, f"{kind}{': ' + cache if cache else ''}", flows, size, entry.ns, net_ns=round(net, 2))
        if system not in out or row["ns_per_pkt"] < out[system][0]:
            out[system] = (row["ns_per_pkt"], net)
    return out


def series(bench, is_stateful, flow_counts, sizes):
    canary = rounds.Canary(bench)
    n_rounds = 1 if bench.quick else 3
    results = {}
    for flows in flow_counts:
        results[flows, 64] = one_case(bench, canary, flows, 64, is_stateful, n_rounds)
    for flows, size in sizes:
        results[flows, size] = one_case(bench, canary, flows, size, is_stateful, n_rounds)
    io = canary.row()["ns_per_pkt"]
    for (flows, size), got in results.items():
        if "outboard" not in got:
            continue
        case = f"{size}B_{short(flows)}" if size != "imix" else f"imix_{short(flows)}"
        gross, net = got["outboard"]
        if "ovs-dpdk" in got:
            bench.ratios[f"ovs_over_outboard_{case}"] = ratio(got["ovs-dpdk"][1], net)
            bench.ratios[f"ovs_over_outboard_{case}_gross"] = ratio(got["ovs-dpdk"][0], gross)
        if size == 64 and is_stateful:
            bench.ratios[f"net_over_testpmd_io_{short(flows)}"] = ratio(net, io)


def stateful(bench):
    if bench.quick or bench.flows:
        # (IMIX too: the largest packets have to fit the underlay)
        series(bench, True, bench.flows or [4 * K], [] if bench.flows else [(K, "imix")])
    else:
        series(bench, True, [K, 4 * K, 100 * K, M, 10 * M], [(100 * K, "imix"), (100 * K, 1500)])


def encap(bench):
    if bench.quick or bench.flows:
        series(bench, False, bench.flows or [K], [])
    else:
        series(bench, False, [K, 4 * K, 100 * K, M], [(4 * K, "imix"), (4 * K, 1500)])
