#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The lab's own promises: up, status, console, down; and that an interrupted or killed demo leaves nothing behind."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import state  # noqa: E402

IDENT = f"test{os.getpid()}"
ENV = {**os.environ, "OUTBOARD_LAB": IDENT}
LAB = [sys.executable, str(HERE / "lab.py")]


def lab(*args, stdin=""):
    return subprocess.run([*LAB, *args], env=ENV, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)


def left_behind(ident):
    """Namespaces, files and processes that carry a lab's id."""
    spaces = subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, text=True).stdout
    found = [line for line in spaces.splitlines() if line.startswith(state.prefix(ident))]
    directory = state.base() / ident
    found += [str(directory)] if directory.exists() else []
    for proc in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"/{ident}/" in command or state.prefix(ident) in command:
            found.append(command)
    return found


class Lifecycle(unittest.TestCase):
    def tearDown(self):
        lab("down")

    def test_up_is_usable_and_down_removes_all(self):
        up = lab("up")
        self.assertEqual(up.returncode, 0, up.stdout)
        self.assertIn("The lab is up", up.stdout)
        page = next(s for s in json.loads(lab("status", "--json").stdout)["labs"] if s["id"] == IDENT)
        self.assertTrue(page["ready"])
        self.assertTrue(all(p["running"] for p in page["processes"]), page["processes"])
        shell = lab("console", "g1", "--id", IDENT, stdin="ping -c 2 10.1.0.12; echo status $?\n")
        self.assertIn("2 received", shell.stdout)
        again = lab("up")
        self.assertEqual(again.returncode, 0, again.stdout)
        self.assertIn("up already", again.stdout)
        down = lab("down")
        self.assertEqual(down.returncode, 0, down.stdout)
        self.assertEqual(left_behind(IDENT), [])

    def demo_until_guests_start(self):
        demo = subprocess.Popen([*LAB, "demo", "--only", "ping4_vxlan"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(demo.stdout.close)
        ident, until = f"demo{demo.pid}", time.monotonic() + 60
        while not (state.base() / ident / "g1.qmp").exists():
            self.assertIsNone(demo.poll(), "the demo ended by itself")
            self.assertLess(time.monotonic(), until, "the demo started no guest")
            time.sleep(0.1)
        return demo, ident

    def test_interrupted_demo_cleans_up(self):
        demo, ident = self.demo_until_guests_start()
        demo.send_signal(signal.SIGINT)
        self.assertEqual(demo.wait(60), 1)
        self.assertEqual(left_behind(ident), [])

    def test_killed_demo_is_cleaned_up_by_the_next_command(self):
        demo, ident = self.demo_until_guests_start()
        demo.kill()
        demo.wait(10)
        self.assertIn(f"removed: {ident}", lab("down").stdout)
        self.assertEqual(left_behind(ident), [])


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("these tests make network namespaces and TAP devices: run them as root")
    unittest.main(verbosity=2)
