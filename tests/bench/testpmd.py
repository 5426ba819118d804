# SPDX-License-Identifier: BSD-3-Clause
"""dpdk-testpmd: forwards without looking (io), so that its time is the harness's own."""
import re
import subprocess
import time

import proc
from proc import LabError, tail
from system import CORE, OTHER_CORE, System, eal_args


class Testpmd(System):
    """'vdevs': device arguments, in the order of ports. It is driven by its prompt."""

    name = "testpmd"
    lossless = False  # it may forward the other port's ARP
    memory_options = ()
    thread_name = "rte-worker-"

    def __init__(self, bench, label, vdevs, driver=None, forward="io", main_core=OTHER_CORE, core=CORE, megabytes=384, options=()):
        super().__init__(bench, label)
        self.vdevs, self.driver, self.forward = vdevs, driver, forward
        self.main_core, self.core, self.megabytes, self.options = main_core, core, megabytes, list(options)
        self.mark = 0

    def start(self):
        # Line by line: what it prints is read while it runs.
        argv = ["stdbuf", "-oL", "dpdk-testpmd", f"--lcores=0@{self.main_core},1@{self.core}", *eal_args(self.bench, self.label, self.megabytes)]
        argv += self.memory_options if self.bench.huge else ()
        if self.driver:
            argv += ["-d", self.driver]
        for vdev in self.vdevs:
            argv += ["--vdev", vdev]
        argv += ["--", "-i", f"--forward-mode={self.forward}", "--nb-cores=1", "--total-num-mbufs=65536", "--burst=32", *self.options]
        self.bench.progress(f"{self.label}: starting")
        self.daemon = Prompt(self.name, argv, self.log)
        self.daemon.wait_for(lambda: "testpmd>" in self.text(), 60, "at its prompt")
        self.say("start")
        return self

    def text(self):
        return self.log.read_text(errors="replace")

    def say(self, command, expect="", count=1):
        """Types a command; returns what it answered, which has 'expect' so many times."""
        before = len(self.text())
        self.daemon.popen.stdin.write(command + "\n")
        self.daemon.popen.stdin.flush()
        until = time.monotonic() + 10
        while self.text()[before:].count(expect) < count:
            if not self.running():
                raise LabError(f"{self.label} ended at '{command}'\n{tail(self.log)}")
            if time.monotonic() > until:
                raise LabError(f"{self.label}: no answer to '{command}'\n{tail(self.log)}")
            time.sleep(0.01)
        return self.text()[before:]

    def received(self):
        """Packets received by all ports since the start."""
        return sum(int(n) for n in re.findall(r"RX-packets: *(\d+)", self.say("show port stats all", "Tx-bps", len(self.vdevs))))

    def own_rate(self, seconds):
        """On-CPU ns a packet over some seconds, without a generator that reports."""
        self.thaw()
        time.sleep(0.1)
        n, ns = self.received(), self.cpu_ns()
        time.sleep(seconds)
        n, ns = self.received() - n, self.cpu_ns() - ns
        self.freeze()
        if n == 0:
            raise LabError(f"{self.label} forwards nothing\n{tail(self.log)}")
        return ns / n


class Prompt(proc.Daemon):
    """A daemon that somebody types to."""

    def __init__(self, name, argv, log):
        self.name, self.log = name, log
        self.expected = True
        self.argv = [str(a) for a in argv]
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=out, stderr=out, text=True, start_new_session=True,
                                          preexec_fn=proc._die_with_parent)
        self.pid = self.popen.pid
        self.ticks = proc.start_ticks(self.pid)

    def stop(self, patience=5.0):
        try:
            self.popen.stdin.write("quit\n")
            self.popen.stdin.close()
        except (OSError, ValueError):
            pass
        return super().stop(patience)
