# SPDX-License-Identifier: BSD-3-Clause
"""docs/performance.md and its plots, from the last published result of each bench (docs/performance/NAME.json)."""
import json
import pathlib

import suites
from proc import run

DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"
FOLDER = DOCS / "performance"
ORDER = ("stateful", "encap", "cps", "virtio", "latency", "scale", "block")
ABOUT = {
    "stateful": "VXLAN, connection tracking and security groups, both directions at once. ns of the forwarding thread's on-CPU time a packet; net: less what "
                "the harness costs (testpmd's io forwarding with the same generator).",
    "encap": "The peer without connection tracking and security groups; ours tracks connections in any case.",
    "cps": "TCP connections of six packets: opened, used once, closed; beside live ones that are touched every 4 s. Per core: from on-CPU time. "
           "Ratios are net of the harness, `_gross` are not.",
    "virtio": "vhost-user guests. The load is a testpmd on the other core, which has more to send than the system takes. rte_vhost's rows: vhost_bench, "
              "one thread that plays guest and device in turn, only the device's turn timed.",
    "latency": "At 50 and 90 % of the packet rate that each system carried just before; stamps are the times at which packets were due.",
    "block": "Block I/O on one core: NVMe and virtio-blk functions and their devices, each against its peer on the same initiator or file.",
    "scale": "Ten million connections at once, then a hundred million in a row.",
}
COLUMNS = (("system", "system", "{}"), ("case", "case", "{}"), ("flows", "flows", "{:,}"), ("bytes", "bytes", "{}"), ("ns_per_pkt", "ns/packet", "{:.1f}"),
           ("net_ns", "net ns", "{:.1f}"), ("mpps", "Mpps", "{:.2f}"), ("qd", "queue depth", "{}"),
           ("ns_per_io", "ns an I/O", "{:.0f}"), ("kiops", "kIOPS", "{:,.0f}"), ("ns_per_connection", "ns/connection", "{:.0f}"), ("cps", "connections/s", "{:,.0f}"),
           ("p50_us", "p50 us", "{:.1f}"), ("p99_us", "p99 us", "{:.1f}"), ("p99.9_us", "p99.9 us", "{:.1f}"), ("p99.99_us", "p99.99 us", "{:.1f}"),
           ("sessions", "sessions", "{:,}"), ("connections", "connections", "{:,}"), ("memory_bytes", "memory bytes", "{:,}"))
STYLE = """set terminal svg size 820,420 font 'sans,13' background rgb 'white'
set output '{out}'
set grid lc rgb '#dddddd'
set border 3
set tics nomirror
set key top left
set style line 1 lc rgb '#0a7d55' lw 2.5 pt 7
set style line 2 lc rgb '#c2410c' lw 2.5 pt 5
set style line 3 lc rgb '#64748b' lw 2 pt 9
"""


def table(head, rows):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    out += ["| " + " | ".join(cells) + " |" for cells in rows]
    return out


def cell(form, value):
    if value is None:
        return ""
    try:
        return form.format(value)
    except ValueError:
        return str(value)


def section(page):
    columns = [c for c in COLUMNS if any(row.get(c[0]) is not None for row in page["rows"])]
    out = [f"## {page['bench']}\n", ABOUT[page["bench"]] + "\n", f"Machine: {page['machine']['text']}. One run, {page['seconds']:.0f} s.\n"]
    for plot in sorted(FOLDER.glob(f"{page['bench']}*.svg")):
        out.append(f"![{plot.stem}](performance/{plot.name})\n")
    ratios = []
    for name, value in page["ratios"].items():
        wanted = suites.WANTED.get((page["bench"], name))
        verdict = "" if wanted is None or value is None else "yes" if suites.holds(value, wanted) else "**no**"
        ratios.append((f"`{name}`", "" if value is None else f"{value:,}", "" if wanted is None else f"{wanted[0]} {wanted[1]}", verdict))
    out += table(("ratio", "measured", "wanted", "reached"), ratios) + [""]
    out += table([c[1] for c in columns], [[cell(form, row.get(key)) for key, _, form in columns] for row in page["rows"]]) + [""]
    out += [f"- {note}" for note in page["notes"]] + ([""] if page["notes"] else [])
    return out


def gnuplot(name, script, series):
    """'series': title -> [(x, y)...], handed over as data blocks $d0, $d1, ..."""
    blocks = []
    for i, points in enumerate(series.values()):
        blocks.append(f"$d{i} << END\n" + "".join(f"{x} {y}\n" for x, y in points) + "END\n")
    plots = ", ".join(f"$d{i} using 1:2 with linespoints ls {i + 1} title '{title}'" for i, title in enumerate(series))
    out = FOLDER / f"{name}.svg"
    run("gnuplot", "-", stdin=STYLE.format(out=out) + script + "".join(blocks) + f"plot {plots}\n")
    head, sep, rest = out.read_text().partition("?>\n")
    out.write_text(f"{head}{sep}<!-- SPDX-License-Identifier: BSD-3-Clause -->\n{rest}")


def best(rows, system, x, y):
    """Lowest y of a system for each x."""
    out = {}
    for row in rows:
        if row["system"] == system and row.get(x) is not None and row.get(y) is not None:
            out[row[x]] = min(out.get(row[x], float("inf")), row[y])
    return sorted(out.items())


def plot_flows(page):
    rows = [row for row in page["rows"] if row["bytes"] == 64 and row["flows"]]
    series = {"outboard": best(rows, "outboard", "flows", "net_ns"), "OVS-DPDK, its better setting": best(rows, "ovs-dpdk", "flows", "net_ns"),
              "the harness (subtracted)": best(rows, "testpmd", "flows", "ns_per_pkt")}
    gnuplot(f"{page['bench']}-ns", "set logscale x\nset format x '10^{%L}'\nset xlabel 'connections'\nset ylabel 'ns a packet, 64 bytes'\nset yrange [0:*]\n",
            {k: v for k, v in series.items() if v})


def plot_cps(page):
    series = {}
    for system, title in (("outboard", "outboard"), ("ovs-dpdk", "OVS-DPDK, its better setting")):
        ns = best(page["rows"], system, "flows", "ns_per_connection_net")
        if ns:
            series[title] = [(live / 1e6, 1e3 / n) for live, n in ns if n > 0]
    gnuplot("cps-live", "set xlabel 'live connections, million'\nset ylabel 'new connections, million a second and core (net)'\nset yrange [0:*]\n"
            "set key top right\n", series)


def plot_latency(page):
    series = {}
    for system in ("outboard", "ovs-dpdk", "testpmd"):
        for row in page["rows"]:
            if row["system"] == system and row.get("load_percent") == 50:
                series[f"{system}, 50 % load"] = [(n, row[f"{p}_us"]) for n, p in enumerate(("p50", "p90", "p99", "p99.9", "p99.99"))]
    gnuplot("latency-percentiles", "set logscale y\nset xtics ('50 %%' 0, '90 %%' 1, '99 %%' 2, '99.9 %%' 3, '99.99 %%' 4)\nset xlabel 'percentile'\n"
            "set ylabel 'us'\nset xrange [-0.2:4.2]\n", series)


PLOTS = {"stateful": plot_flows, "encap": plot_flows, "cps": plot_cps, "latency": plot_latency}


def publish(page):
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{page['bench']}.json").write_text(json.dumps(page, indent=1) + "\n")
    if page["bench"] in PLOTS:
        PLOTS[page["bench"]](page)
    out = ["<!-- Made by './outboard bench NAME --publish'; changes here are lost. -->", "# Performance\n",
           "What the benches of [tests/bench](../tests/bench/README.md) measured last, one run each; that page has the method. On two cores of a shared "
           "virtual machine without a network card: ratios count, absolute figures are this machine's.\n"]
    for name in ORDER:
        path = FOLDER / f"{name}.json"
        if path.exists():
            out += section(json.loads(path.read_text()))
    (DOCS / "performance.md").write_text("\n".join(out).rstrip() + "\n")
    print(f"written: {DOCS / 'performance.md'} and plots in {FOLDER}")
