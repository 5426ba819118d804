#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Benches of the whole against peers. README.md says how; './outboard bench NAME' calls this."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
sys.path[:0] = [str(HERE), str(REPO / "tests/e2e")]

import gen  # noqa: E402
import machine  # noqa: E402
import publish  # noqa: E402
import suites  # noqa: E402
from bench_util import median  # noqa: E402
from proc import LabError  # noqa: E402


class Interrupted(BaseException):
    pass


class Bench:
    """What one run of a bench shares: its folder, its systems, its rows, and where it talks to people."""

    def __init__(self, name, quick):
        self.name, self.quick = name, quick
        self.build = pathlib.Path(os.environ.get("OUTBOARD_BUILD") or REPO / "build")
        base = pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "outboard"
        self.dir = base / f"bench-{os.getpid()}"
        self.systems = []
        self.rows, self.ratios, self.notes = [], {}, []
        self.folders = []  # and files, that a bench made elsewhere
        self.began = time.monotonic()
        self.driver = None
        self.huge = False
        self.facts = None

    def __enter__(self):
        self.driver = gen.library_path(self.build)
        self.dir.mkdir(parents=True)
        self.huge = machine.take_hugepages(3072)
        machine.let_shared_memory_be_huge()
        self.facts = machine.describe(self)
        return self

    def __exit__(self, *_):
        for system in self.systems:
            system.thaw()
        for system in reversed(list(self.systems)):
            try:
                system.stop()
            except (LabError, OSError) as err:
                print(f"bench: {system.label} did not stop cleanly: {err}", file=sys.stderr)
        machine.put_back()
        for path in self.folders:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def progress(self, text):
        print(f"{'bench':8} {time.monotonic() - self.began:4.0f} s  {text}", file=sys.stderr, flush=True)

    def late(self):
        """Time to come to an end: a bench stays within ten minutes."""
        return time.monotonic() - self.began > 480

    def note(self, text):
        self.notes.append(text)
        self.progress(text)

    def row(self, system, case, flows, size, ns, **more):
        """'ns': on-CPU nanoseconds a packet in each round."""
        middle = median(ns)
        row = {"system": system, "case": case, "flows": flows, "bytes": size, "ns_per_pkt": round(middle, 2), "mpps": round(1000 / middle, 3),
               "ns_min": round(min(ns), 2), "ns_max": round(max(ns), 2), "rounds": len(ns), **more}
        self.rows.append(row)
        return row

    def page(self):
        return {"bench": self.name, "machine": self.facts, "quick": self.quick, "seconds": round(time.monotonic() - self.began, 1),
                "rows": self.rows, "ratios": self.ratios, "notes": self.notes}


def interruptible():
    """Any polite signal unwinds through the clean-up; a second one during it is ignored."""
    def stop(signum, _frame):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        raise Interrupted(signal.Signals(signum).name)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)


def keep_logs(bench):
    """Of a run that failed: where they are."""
    kept = pathlib.Path(os.environ.get("OUTBOARD_CACHE") or "/var/cache/outboard") / "log" / "bench"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for log in bench.dir.glob("*/*.log"):
        shutil.copy(log, kept / f"{log.parent.name}-{log.name}")
    return kept


def print_table(page, out=sys.stdout):
    print(file=out)
    columns = [("system", "{:<18}"), ("case", "{:<32}"), ("flows", "{:>9}"), ("bytes", "{:>6}"), ("qd", "{:>4}"), ("ns_per_pkt", "{:>9.1f}"), ("ns_per_io", "{:>9.1f}"), ("kiops", "{:>8.1f}"), ("busy", "{:>5.2f}"),
               ("net_ns", "{:>8.1f}"), ("mpps", "{:>8.2f}"), ("cps", "{:>10.0f}"), ("p50_us", "{:>8.1f}"), ("p99_us", "{:>8.1f}"),
               ("p99.9_us", "{:>8.1f}"), ("p99.99_us", "{:>9.1f}")]
    columns = [(name, form) for name, form in columns if any(row.get(name) is not None for row in page["rows"])]

    def width(form):
        return int("".join(c for c in form.split(":")[1].split(".")[0] if c.isdigit()))

    print("  " + "  ".join(f"{name:{'<' if '<' in form else '>'}{width(form)}}" for name, form in columns), file=out)
    for row in page["rows"]:
        print("  " + "  ".join(form.format(row[name]) if row.get(name) is not None else " " * width(form) for name, form in columns), file=out)
    print(file=out)
    for name, value in page["ratios"].items():
        wanted = suites.WANTED.get((page["bench"], name))
        verdict = "" if wanted is None or value is None else f"   wanted {wanted[0]} {wanted[1]}: {'yes' if suites.holds(value, wanted) else 'NO'}"
        print(f"  {name:<32} {value if value is not None else '-':>10}{verdict}", file=out)
    for note in page["notes"]:
        print(f"  note: {note}", file=out)
    print(f"\n  {page['machine']['text']}", file=out, flush=True)


def main():
    parser = argparse.ArgumentParser(prog="outboard bench", description=__doc__)
    parser.add_argument("name", choices=sorted(suites.SUITES))
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="few flows, short windows: that it works, not how fast")
    parser.add_argument("--only", metavar="SYSTEM", action="append", help="only these systems (no ratios against the others)")
    parser.add_argument("--flows", metavar="N", type=int, action="append", help="stateful, encap: only this many flows, at 64 bytes")
    parser.add_argument("--publish", action="store_true", help="write the results into docs/performance.md and its plots")
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise LabError("benches make network namespaces and TAP devices: run them as root (sudo)")
    interruptible()
    bench = Bench(args.name, args.quick)
    bench.only, bench.flows = args.only, args.flows
    try:
        with bench:
            try:
                suites.SUITES[args.name](bench)
            except LabError as err:
                raise LabError(f"{err}\n  logs: {keep_logs(bench)}") from None
            page = bench.page()
    except Interrupted as sig:
        print(f"bench: interrupted ({sig}); everything of it is stopped", file=sys.stderr)
        return 130
    print_table(page)
    if args.json:
        text = json.dumps(page, indent=1) + "\n"
        if args.json == "-":
            sys.stdout.write(text)
        else:
            pathlib.Path(args.json).write_text(text)
    if args.publish:
        publish.publish(page)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        sys.exit(70)
