# SPDX-License-Identifier: BSD-3-Clause
"""A system under test: a DPDK process with one forwarding thread on one core, that can be frozen while others are measured."""
import os
import pathlib
import signal
import time

from proc import Daemon, LabError

CORE = 1        # the forwarding thread's
OTHER_CORE = 0  # everything else


class System:
    """Subclasses start a process that forwards between net_obgen's two ports, or what else the bench sets up."""

    name = "?"
    lossless = True  # what goes in comes out, or it is an error

    def __init__(self, bench, label=None):
        self.bench = bench
        self.label = label or self.name
        self.dir = pathlib.Path(bench.dir) / self.label
        self.dir.mkdir(exist_ok=True)
        self.log = self.dir / f"{self.name}.log"
        self.daemon = None
        self.frozen = False
        self.gen = None
        bench.systems.append(self)

    # ---- life ----

    def spawn(self, argv, name=None):
        self.bench.progress(f"{self.label}: starting")
        daemon = Daemon(name or self.name, argv, self.log, transient=True)
        return daemon

    def running(self):
        return self.daemon is not None and self.daemon.running()

    def freeze(self):
        """Takes no CPU from now on, and keeps its state."""
        if self.running() and not self.frozen:
            os.kill(self.daemon.pid, signal.SIGSTOP)
            self.frozen = True

    def thaw(self):
        if self.frozen:
            os.kill(self.daemon.pid, signal.SIGCONT)
            self.frozen = False

    def stop(self):
        if self.daemon is not None:
            self.thaw()
            self.daemon.stop()
            self.daemon = None
        if self in self.bench.systems:
            self.bench.systems.remove(self)

    # ---- the forwarding thread ----

    thread_name = None  # as in /proc/PID/task/TID/comm

    def task(self):
        """TID of the thread that forwards."""
        names = []
        for task in pathlib.Path(f"/proc/{self.daemon.pid}/task").iterdir():
            names.append((task / "comm").read_text().strip())
            if (task / "comm").read_text().strip().startswith(self.thread_name):
                return task.name
        raise LabError(f"{self.label}: no thread called {self.thread_name}: {names}")

    def cpu_ns(self):
        """Time that the forwarding thread was on a CPU."""
        path = f"/proc/{self.daemon.pid}/task/{self.task()}/schedstat"
        return int(pathlib.Path(path).read_text().split()[0])

    def rss_bytes(self):
        """Memory of the process: what is resident, and hugepages."""
        total = 0
        for line in pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith(("VmRSS:", "HugetlbPages:")):
                total += int(line.split()[1]) * 1024
        return total

    def drops(self):
        """What it says of packets that it did not forward, for a message."""
        return "not known"

    # ---- one measured run ----

    def measure(self, patience=60):
        """Runs the generator once; the report, with our own reading of the thread's CPU time beside the generator's."""
        self.thaw()
        try:
            page = self.gen.run(self, patience)
        finally:
            self.freeze()
        return page


def eal_args(bench, name, megabytes):
    """EAL arguments that every process gets: no PCI, nothing shared, memory as the bench has it."""
    args = ["--no-pci", "--no-telemetry", f"--file-prefix=obb-{os.getpid()}-{name}", "--iova-mode=va"]
    if bench.huge:
        return args + ["--in-memory", "-m", str(megabytes)]
    return args + ["--no-shconf", "--no-huge", "-m", str(megabytes)]


def wait(seconds):
    time.sleep(seconds)
