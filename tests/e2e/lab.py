#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The lab: two cards, their virtual machines, a wire between them. README.md has the picture; './outboard' calls this."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import console  # noqa: E402
import state  # noqa: E402
import topology as topo  # noqa: E402
from proc import LabError, tail  # noqa: E402
from report import Report  # noqa: E402
from world import World  # noqa: E402

KEPT = os.environ.get("OUTBOARD_LAB", "lab")  # the id of the lab that 'up' leaves running


class Interrupted(BaseException):
    pass


def interruptible():
    """Any polite signal unwinds through the clean-up; a second one during it is ignored."""
    def stop(signum, _frame):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        raise Interrupted(signal.Signals(signum).name)
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, stop)


def need_root():
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and TAP devices: run it as root (sudo)")


def log_dir(what):
    """Where the logs of the last failed run are kept."""
    path = pathlib.Path(os.environ.get("OUTBOARD_CACHE") or "/var/cache/outboard") / "log" / what
    shutil.rmtree(path, ignore_errors=True)
    return path


# ---- demo ----

def run_checks(world, report, names):
    import checks
    for check in checks.CHECKS.values():
        if names and check.name not in names:
            continue
        began = time.monotonic()
        report.begin(check)
        try:
            value, detail = check.fn(world), ""
        except LabError as err:
            value, detail = None, str(err)
        except Exception:
            value, detail = None, "the check itself broke:\n" + traceback.format_exc()
        ended = world.ended()
        if ended and not detail:
            value, detail = None, "passed, but something ended during this check"
        for daemon in ended:
            detail += f"\n{daemon.name} ended with status {daemon.popen.returncode}\n{tail(daemon.log)}"
        report.end(check, not detail, value, time.monotonic() - began, detail)
        if ended:
            raise LabError("the lab is broken; the other checks were not run")


def demo(args):
    need_root()
    for name in state.sweep():
        print(f"removed what a killed run left behind: {name}")
    import checks
    unknown = set(args.only or []) - set(checks.CHECKS)
    if unknown:
        raise LabError(f"no such check: {' '.join(sorted(unknown))}; there are: {' '.join(checks.CHECKS)}")
    began = time.monotonic()
    report = Report(sys.stderr if args.json == "-" else sys.stdout)
    world = World(f"demo{os.getpid()}", transient=True, say=report.step)
    report.say(f"Outboard demo: {len(topo.CARDS)} cards, {len({e.guest for e in topo.ENDPOINTS})} virtual machines, VXLAN and Geneve")
    report.say()
    error, left, ok, interrupted = None, [], False, False
    interruptible()
    try:
        world.build()
        report.header()
        run_checks(world, report, args.only)
        ok = report.ok()
    except LabError as err:
        error = str(err)
    except Interrupted as err:
        error, interrupted = f"interrupted ({err})", True
    finally:
        logs = log_dir("demo") if world.state.data and not ok and not interrupted else None
        left = world.remove(logs)
    seconds = time.monotonic() - began
    if error:
        report.say()
        report.say(report.paint("1;31", f"  stopped: {error}"))
    if report.rows:
        report.summary(seconds)
    if logs:
        report.say(f"  logs are in {logs}")
    if left:
        ok = False
        report.say(f"  still there after the clean-up: {', '.join(left)}")
    if args.json:
        report.write_json(args.json, seconds, **({"error": error} if error else {}))
    return 0 if ok else 1


# ---- up, down, status, console ----

def up(args):
    need_root()
    with state.Lock():
        state.sweep()
        kept = state.State(KEPT)
        if kept.load() and kept.data.get("ready") and all(running for _, running in kept.processes()):
            print("the lab is up already")
            hints(kept)
            return 0
        kept.remove()
        world = World(KEPT, transient=False, say=lambda text: print(f"  {text}", flush=True))
        interruptible()
        try:
            world.build()
        except BaseException as err:
            if isinstance(err, Interrupted):
                world.remove()
                print(f"interrupted ({err})", file=sys.stderr)
                return 1
            logs = log_dir("up")
            world.remove(logs)
            print(f"  logs are in {logs}", file=sys.stderr)
            raise
        world.detach()
        hints(world.state)
    return 0


def hints(kept):
    show = kept.data["show"]
    card, ctl = show["cards"]["a"], show["obctl"]
    red2 = topo.endpoint("g2-red").addrs
    print(f"""
The lab is up. Try:

  ./outboard console g1                       a shell in guest g1 (Ctrl-] leaves it); there:
      ping {red2[0].split('/')[0]}                          g2, on the other card, over VXLAN
      ping {topo.endpoint('g2-blue').ip6}                    g2 over Geneve and an IPv6 underlay
      iperf3 -c {red2[0].split('/')[0]}                     (first, in g2: iperf3 -s -D)
  {ctl} -s {card['bus']} function list
  {ctl} -s {card['bus']} counters show
  {ctl} -s {card['bus']} drops show
  ip netns exec {show['wire']} tcpdump -n -i wire    what is on the wire
  curl {card['metrics']}
  ./outboard status
  ./outboard down
""")


def down(args):
    need_root()
    with state.Lock():
        gone = state.sweep()
        kept = state.State(KEPT)
        there = kept.load()
        left = kept.remove()
        if there:
            gone.append(KEPT)
    print(f"removed: {' '.join(gone)}" if gone else "nothing to stop")
    if left:
        raise LabError(f"still there: {', '.join(left)}")
    return 0


def status(args):
    states = state.all_states()
    if args.json:
        page = [{"id": s.ident, "ready": s.data.get("ready", False), "stale": s.stale(), "directory": str(s.dir),
                 "processes": [{**p, "running": running} for p, running in s.processes()], **s.data.get("show", {})} for s in states]
        print(json.dumps({"labs": page}, indent=1))
        return 0
    if not states:
        print("no lab is running; start one with: ./outboard up")
        return 0
    for s in states:
        age = int(time.time() - s.data.get("since", time.time()))
        kind = "left by a killed run; './outboard down' removes it" if s.stale() else "ready" if s.data.get("ready") else "being set up"
        print(f"lab {s.ident}: {kind}, for {age // 60} min {age % 60} s, files in {s.dir}")
        print(f"  {'process':22}{'pid':>8}  state")
        for p, running in s.processes():
            print(f"  {p['name']:22}{p['pid']:>8}  {'running' if running else 'ENDED, log: ' + p['log']}")
        for name, guest in s.data.get("show", {}).get("guests", {}).items():
            addrs = "  ".join(f"{net} {' '.join(a)}" for net, a in guest["addresses"].items())
            print(f"  guest {name} on card {guest['card']}: {addrs}")
        for name, card in s.data.get("show", {}).get("cards", {}).items():
            print(f"  card {name}: obctl -s {card['bus']}   metrics {card['metrics']}")
    return 0


def attach(args):
    need_root()
    guests = {name: guest for s in state.all_states() for name, guest in s.data.get("show", {}).get("guests", {}).items()
              if s.ident == args.id}
    if args.name not in guests:
        raise LabError(f"no guest '{args.name}' is running" + (f"; there are: {' '.join(guests)}" if guests else "; start the lab with: ./outboard up"))
    console.attach(guests[args.name]["console"], args.name)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="lab.py", description="Two cards and their virtual machines, to check and to try.")
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("demo", help="set up, check everything, clean up")
    sub.add_argument("--json", metavar="FILE", help="write the results there ('-': standard output)")
    sub.add_argument("--only", nargs="+", metavar="CHECK", help="run only these checks")
    sub.set_defaults(fn=demo)
    commands.add_parser("up", help="set up and leave running").set_defaults(fn=up)
    commands.add_parser("down", help="stop what 'up' left running").set_defaults(fn=down)
    sub = commands.add_parser("status", help="what is running")
    sub.add_argument("--json", action="store_true")
    sub.set_defaults(fn=status)
    sub = commands.add_parser("console", help="a shell in a guest")
    sub.add_argument("name", metavar="GUEST")
    sub.add_argument("--id", default=KEPT, help=argparse.SUPPRESS)
    sub.set_defaults(fn=attach)
    args = parser.parse_args()
    try:
        return args.fn(args)
    except LabError as err:
        print(f"outboard: {err}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
