# SPDX-License-Identifier: BSD-3-Clause
"""'scale': ten million connections at once, memory for each, and what is left when they are gone; then a hundred million one after the
other, and what those leave."""
import os
import pathlib
import time

import outboard
from bench_util import M
from proc import LabError

IDLE_S = 60  # time-out of the first part's connections: longer than their opening takes
CLOSED_S = 2


def arena_bytes(system):
    """All memory of the arena: tables, sessions, counters."""
    for fd in pathlib.Path(f"/proc/{system.daemon.pid}/fd").iterdir():
        try:
            if os.readlink(fd).startswith("/memfd:outboard"):
                return os.stat(fd).st_blocks * 512
        except OSError:
            pass
    raise LabError("no arena among the card's files")


def table(system):
    rows = system.show("session-table", "show")
    return {key: sum(row[key] for row in rows) for key in rows[0] if key != "worker"}


def wait_until_empty(bench, system, seconds):
    until = time.monotonic() + seconds
    while True:
        now = table(system)
        left = now["live_ip4"] + now["live_ip6"]
        if left == 0 or time.monotonic() > until:
            return now
        bench.progress(f"  {left} sessions live")
        time.sleep(1 if bench.quick else 5)


def many_at_once(bench):
    wanted = 100_000 if bench.quick else 10 * M
    idle = 5 if bench.quick else IDLE_S
    case = {"flows": wanted, "size": 64, "warm": 0.1, "measure": 1}
    # As connections come, so that what one takes is seen.
    system = outboard.forwarder(bench, case, bench.driver, True, more=["--no-prefault"])
    system.ctl("session-policy", "set", "e", "--udp-new", idle, "--udp-replied", idle)
    try:
        empty = arena_bytes(system)
        began = time.monotonic()
        page = system.gen.run(system, 300)
        held, full = table(system), arena_bytes(system)
        live = held["live_ip4"]
        bench.progress(f"scale: {live} of {wanted} connections held, {full / 1e6:.0f} MB, opened in {page['open']['seconds']:.1f} s")
        bench.row("outboard", "scale: at once", live, 64, [page["windows"][-1]["ns_per_pkt"]], sessions=live, memory_bytes=full,
                  memory_bytes_when_empty=empty, open_seconds=page["open"]["seconds"])
        bench.ratios["sessions"] = live
        bench.ratios["bytes_per_connection"] = round(full / max(live, 1), 1)
        bench.progress(f"scale: waiting for their time-outs ({idle} s)")
        left = wait_until_empty(bench, system, idle + 60)
        bench.ratios["sessions_left"] = left["live_ip4"] + left["live_ip6"]
        bench.ratios["arena_bytes_left"] = arena_bytes(system)
        bench.progress(f"scale: {bench.ratios['sessions_left']} left after {time.monotonic() - began:.0f} s")
    finally:
        system.stop()


def many_in_a_row(bench):
    wanted = 100_000 if bench.quick else 100 * M
    case = {"mode": "crr", "flows": M if not bench.quick else 20_000, "warm": 0, "measure": 0}
    system = outboard.forwarder(bench, case, bench.driver, True)
    system.ctl("session-policy", "set", "e", *[word for state in ("fin-wait", "close-wait", "last-ack", "time-wait", "close", "syn-sent", "syn-recv")
                                               for word in (f"--tcp-{state}", CLOSED_S)], "--tcp-established", 60)
    try:
        empty = arena_bytes(system)
        system.gen.go.touch()
        began, added, peak = time.monotonic(), 0, 0
        limit = 30 if bench.quick else 300
        while added < wanted and time.monotonic() - began < limit:
            time.sleep(0.2 if bench.quick else 5)
            now = table(system)
            added, peak = now["added"], max(peak, now["live_ip4"])
            bench.progress(f"  {added / 1e6:.1f} million connections, {now['live_ip4']} live")
        seconds = time.monotonic() - began
        system.gen.go.unlink()
        left = wait_until_empty(bench, system, 90)
        full = arena_bytes(system)
        # (expired and flushed ones are among the deleted)
        leaked = left["added"] - left["deleted"]
        bench.row("outboard", "scale: in a row", 0, 64, [seconds * 1e9 / max(added, 1)], connections=added, seconds=round(seconds, 1),
                  most_live=left["live_ip4_max"], memory_bytes=full, memory_bytes_when_empty=empty, cps=round(added / seconds))
        bench.ratios["connections"] = added
        bench.ratios["leaked"] = max(leaked, left["live_ip4"] + left["live_ip6"])
        if added < wanted:
            bench.note(f"only {added / 1e6:.1f} of {wanted / 1e6:.0f} million connections in {limit} s")
    finally:
        system.stop()


def scale(bench):
    many_at_once(bench)
    many_in_a_row(bench)
