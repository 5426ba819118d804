# SPDX-License-Identifier: BSD-3-Clause
"""The demo's two outputs: a table that grows while it runs, for people, and JSON for machines."""
import json
import os
import platform
import sys
import textwrap


class Report:
    WIDTH = 17

    def __init__(self, out=sys.stdout):
        self.out = out
        self.rows = []
        self.live = out.isatty()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.live and "NO_COLOR" not in os.environ else text

    def say(self, text=""):
        print(text, file=self.out, flush=True)

    def step(self, text):
        self.say(f"  {text}")

    def header(self):
        self.say()
        self.say(self.paint("1", f"  {'':6}{'check':{self.WIDTH}}{'value':>16}  what was checked"))

    def begin(self, check):
        if self.live:
            print(f"  {'...':6}{check.name:{self.WIDTH}}", end="\r", file=self.out, flush=True)

    def end(self, check, ok, value, seconds, detail=""):
        self.rows.append({"name": check.name, "ok": ok, "value": value, "unit": check.unit, "seconds": round(seconds, 2), "about": check.about,
                          **({"detail": detail} if detail else {})})
        shown = "" if value is None else f"{value} {check.unit}".strip()
        mark = self.paint("32", f"{'ok':6}") if ok else self.paint("1;31", f"{'FAIL':6}")
        self.say(f"  {mark}{check.name:{self.WIDTH}}{shown:>16}  {check.about}" + (f" ({seconds:.0f} s)" if seconds >= 5 else ""))
        if detail:
            self.say(textwrap.indent(detail.rstrip(), "          "))

    def ok(self):
        return bool(self.rows) and all(row["ok"] for row in self.rows)

    def summary(self, seconds):
        failed = [row["name"] for row in self.rows if not row["ok"]]
        self.say()
        if failed:
            self.say(self.paint("1;31", f"  {len(failed)} of {len(self.rows)} checks failed in {seconds:.0f} s: {' '.join(failed)}"))
        else:
            self.say(self.paint("1;32", f"  all {len(self.rows)} checks passed in {seconds:.0f} s"))

    def write_json(self, path, seconds, **more):
        page = {"checks": self.rows, "ok": self.ok(), "seconds": round(seconds, 1),
                "machine": {"cpus": os.cpu_count(), "kernel": platform.release(), "arch": platform.machine()}, **more}
        text = json.dumps(page, indent=1) + "\n"
        if path == "-":
            sys.stdout.write(text)
            return
        with open(path, "w") as out:
            out.write(text)
