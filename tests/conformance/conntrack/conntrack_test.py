#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The Linux kernel's conntrack and ours judge the same packets; every difference has to be in differences.txt, with why.

usage: conntrack_test.py [--kernel here|guest|both|auto] [--show TRACE...] [--list] [--seed N] [--random N]
  --kernel   this machine's kernel in a network namespace, Debian's in a virtual machine, or both;
             auto (default): the virtual machine's, and this machine's too where it has conntrack
  --show     prints these traces with all verdicts
  --list     prints all differences as lines for differences.txt
environment: OUTBOARD_BUILD (default: build/ of this tree), OUTBOARD_CACHE

Exit status: 0 all differences are the known ones; 1 not; 2 it could not be run.
"""
import argparse
import os
import pathlib
import sys
import time

import judges
import random_tcp
import traces as tr
from differences import Differences

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "vectors/conntrack"
# Of time.txt. Units: seconds for the kernel, minutes for us.
SHORT = {"tcp_timeout_syn_sent": 4, "tcp_timeout_syn_recv": 3, "tcp_timeout_established": 6, "tcp_timeout_fin_wait": 4,
         "tcp_timeout_close_wait": 4, "tcp_timeout_last_ack": 2, "tcp_timeout_time_wait": 3, "tcp_timeout_close": 2,
         "udp_timeout": 2, "udp_timeout_stream": 4, "icmp_timeout": 2, "generic_timeout": 3, "sctp_timeout_closed": 2, "sctp_timeout_cookie_wait": 2,
         "sctp_timeout_established": 6}
MODES = {"": {"tcp_loose": 0, "tcp_be_liberal": 0}, "loose": {"tcp_loose": 1}, "liberal": {"tcp_loose": 0, "tcp_be_liberal": 1}}


def mode_of(trace):
    return next((m for m in MODES if m and m in trace.options), "")


def load(seed, n_random):
    traces = []
    for path in sorted(VECTORS.glob("*.txt")):
        traces += tr.parse(path.read_text(), path.name)
    traces += random_tcp.make(seed, n_random)
    names = [t.name for t in traces]
    twice = {n for n in names if names.count(n) > 1} if len(set(names)) != len(names) else None
    if twice:
        raise tr.TraceError(f"two traces of the same name: {', '.join(sorted(twice))}")
    for i, trace in enumerate(traces):
        tr.Builder(trace, i).build()
    return traces


def schedule(traces):
    """All events, and which packet each 'pkt' is: first those for which time does not matter, then all others side by side."""
    events, order = [], []
    for mode, settings in MODES.items():
        events += [f"set {k} {v}" for k, v in settings.items()]
        order_here = [p for t in traces if not t.timed and mode_of(t) == mode for p in t.packets]
        events += [f"pkt 0 {p.direction} {p.data.hex()}" for p in order_here]
        order += order_here
    events += [f"set {k} {v}" for k, v in (MODES[""] | SHORT).items()] + ["start"]
    timed = sorted((p.at, i, k, p) for i, t in enumerate(traces) if t.timed for k, p in enumerate(t.packets))
    events += [f"pkt {at} {p.direction} {p.data.hex()}" for at, _, _, p in timed]
    return events, order + [p for *_, p in timed]


def covers(parts):
    """Do these fragments make a whole datagram?"""
    at = 0
    for off, length, more in sorted(parts):
        if off > at:
            return False
        at = max(at, off + length)
        if not more:
            return True
    return False


def verdicts_of(trace, words, reassembles):
    """Verdicts of a trace's packets; fragments have that of their datagram."""
    groups = {}
    for packet, word in zip(trace.packets, words):
        if packet.datagram:
            groups.setdefault(packet.datagram, []).append((packet.part, word))
    whole = {}
    for key, group in groups.items():
        passed = [(part, word) for part, word in group if not word.startswith(("drop", "invalid"))]
        # What the kernel has put together comes out with the last fragment; ours are a datagram again where it arrives.
        if reassembles and passed or covers([part for part, _ in passed]):
            whole[key] = passed[0][1]
        else:
            whole[key] = next((w for _, w in group if w != "drop" and w.startswith(("drop", "invalid"))), "drop")
    return [whole[p.datagram] if p.datagram else word for p, word in zip(trace.packets, words)]


def run(traces, judge):
    events, order = schedule(traces)
    begun = time.monotonic()
    words = judge.judge(events)
    if len(words) != len(order):
        raise judges.JudgeError(f"{judge.name}: {len(words)} verdicts for {len(order)} packets")
    by_packet = {id(p): w for p, w in zip(order, words)}
    result = {t.name: verdicts_of(t, [by_packet[id(p)] for p in t.packets], judge.reassembles) for t in traces}
    return result, time.monotonic() - begun


def show(trace, ours, kernels):
    print(f"trace {trace.name} {' '.join(trace.options)}")
    at = 0
    for i, packet in enumerate(trace.packets):
        if packet.at != at:
            print(f"     wait until {packet.at}")
            at = packet.at
        words = [ours[i]] + [k[i] for k in kernels]
        same = len({w.partition(':')[0].replace('invalid', 'drop') for w in words}) == 1
        print(f"  {' ' if same else '*'} {i + 1:3} {packet.text:58} {words[0]:22} {' '.join(words[1:])}")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kernel", choices=["here", "guest", "both", "auto"], default="auto")
    parser.add_argument("--show", nargs="+", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=400)
    args = parser.parse_args()
    try:
        traces = load(args.seed, args.random)
        build = pathlib.Path(os.environ.get("OUTBOARD_BUILD") or HERE.parents[2] / "build")
        ours, took = run(traces, judges.Ours(build))
        print(f"{len(traces)} traces, {sum(len(t.packets) for t in traces)} packets; ours: {took:.1f} s")
        kernels = {}
        for judge in judges.kernels(build, args.kernel):
            kernels[judge.name], took = run(traces, judge)
            print(f"{judge.name}: {took:.1f} s")
        known = Differences(HERE / "differences.txt")
    except (tr.TraceError, judges.JudgeError, ValueError) as err:
        print(f"conntrack_test: {err}", file=sys.stderr)
        return 2
    if args.show:
        for trace in traces:
            if trace.name in args.show:
                show(trace, ours[trace.name], [k[trace.name] for k in kernels.values()])
        return 0
    for name, verdicts in kernels.items():
        known.compare(name, traces, ours, verdicts)
    if args.list:
        known.print_all()
        return 0
    return known.report(complete=args.seed == 1 and args.random == 400)


if __name__ == "__main__":
    sys.exit(main())
