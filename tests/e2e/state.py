# SPDX-License-Identifier: BSD-3-Clause
"""Where a lab keeps its files, and what it has started: a record that a later command can end it by.

    ${XDG_RUNTIME_DIR:-/run}/outboard/<id>/state.json   processes (pid and start time), namespaces, owner
                                          /*.log, *.sock, *.bus, *.console
"""
import fcntl
import json
import os
import pathlib
import shutil
import time

import netns
from proc import LabError, alive, end, run, start_ticks


def base():
    return pathlib.Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "outboard"


def prefix(ident):
    return f"ob-{ident}-"


class State:
    def __init__(self, ident):
        self.ident = ident
        self.dir = base() / ident
        self.file = self.dir / "state.json"
        self.data = {}

    def create(self, transient):
        """A transient lab belongs to this process and is stale as soon as this process is gone."""
        self.dir.mkdir(parents=True, mode=0o755)
        owner = [os.getpid(), start_ticks(os.getpid())] if transient else None
        self.data = {"id": self.ident, "owner": owner, "since": time.time(), "ready": False, "processes": [], "netns": [], "show": {}}
        self.save()

    def load(self):
        try:
            self.data = json.loads(self.file.read_text())
        except FileNotFoundError:
            return False
        except ValueError:
            self.data = {}
        return True

    def save(self):
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.data, indent=1))
        new.rename(self.file)

    def add_netns(self, ns):
        self.data["netns"].append(ns.name)
        self.save()

    def add_process(self, daemon):
        self.data["processes"].append({"name": daemon.name, "pid": daemon.pid, "ticks": daemon.ticks, "log": str(daemon.log)})
        self.save()

    def processes(self):
        """(record, is it running) of each process."""
        return [(p, alive(p["pid"], p["ticks"])) for p in self.data.get("processes", [])]

    def stale(self):
        owner = self.data.get("owner")
        return bool(owner) and not alive(*owner)

    def remove(self, keep_logs=None):
        """Ends and deletes everything on record. 'keep_logs': a directory to move the logs to. Returns what would not go."""
        left = []
        # Last started, first ended: guests before the cards that serve them.
        for p, running in reversed(self.processes()):
            if running:
                end(p["pid"], p["ticks"])
                if alive(p["pid"], p["ticks"]):
                    left.append(f"{p['name']} (pid {p['pid']})")
        for name in dict.fromkeys(self.data.get("netns", []) + self._netns_by_prefix()):
            # What runs in a namespace of ours is ours, even if a killed lab had no time to record it.
            for pid in run("ip", "netns", "pids", name, check=False).split():
                end(int(pid), start_ticks(pid))
            netns.delete(name)
            if netns.exists(name):
                left.append(f"network namespace {name}")
        if keep_logs and self.dir.is_dir():
            keep_logs.mkdir(parents=True, exist_ok=True)
            for path in self.dir.iterdir():
                if path.suffix in (".log", ".json", ".pcap", ".txt") and path.is_file():
                    shutil.copy(path, keep_logs)
        shutil.rmtree(self.dir, ignore_errors=True)
        return left

    def _netns_by_prefix(self):
        try:
            return [n for n in os.listdir("/run/netns") if n.startswith(prefix(self.ident))]
        except FileNotFoundError:
            return []


def all_states():
    states = []
    if base().is_dir():
        for path in sorted(base().iterdir()):
            state = State(path.name)
            if (path / "state.json").exists() and state.load():
                states.append(state)
    return states


def sweep():
    """Removes what killed labs left behind; returns their names."""
    gone = []
    for state in all_states():
        if state.stale():
            state.remove()
            gone.append(state.ident)
    return gone


class Lock:
    """One set-up or tear-down at a time."""

    def __enter__(self):
        base().mkdir(parents=True, exist_ok=True)
        self.file = open(base() / ".lock", "w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another lab is being set up or removed right now; try again when it is done") from None
        return self

    def __exit__(self, *exc):
        self.file.close()
