# SPDX-License-Identifier: BSD-3-Clause
"""Programs the lab runs: short ones to their end, long ones in the background, recorded so that they can be ended later."""
import ctypes
import os
import signal
import subprocess
import time


class LabError(Exception):
    """Something a person has to act on; the text says what."""


def run(*argv, check=True, timeout=60, stdin=None):
    """Runs a program to its end and returns its output; raises LabError with what it wrote if it fails."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: no such program") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"no answer within {timeout} s: {' '.join(argv)}") from None
    if check and done.returncode:
        raise LabError(f"{' '.join(argv)}: exit status {done.returncode}\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def start_ticks(pid):
    """Start time of a process, or None if there is no such (living) process. With the pid it names one process for good."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid, ticks):
    return ticks is not None and start_ticks(pid) == ticks


def end(pid, ticks, patience=5.0):
    """Ends one process: politely, then not. A process that only has the same pid is left alone."""
    for sig, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        if not alive(pid, ticks):
            return
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return
        until = time.monotonic() + wait
        while alive(pid, ticks) and time.monotonic() < until:
            time.sleep(0.02)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Daemon:
    """A background program with its output in a log file.

    'transient': it dies with this process, whatever ends us; otherwise it outlives us.
    """

    def __init__(self, name, argv, log, transient):
        self.name, self.log = name, log
        self.expected = True
        self.argv = [str(a) for a in argv]
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                          preexec_fn=_die_with_parent if transient else None)
        self.pid = self.popen.pid
        self.ticks = start_ticks(self.pid)

    def running(self):
        return self.popen.poll() is None

    def wait_for(self, ready, seconds, what):
        """Waits until ready() is true; a daemon that ends before, or takes too long, is an error that shows its log."""
        until = time.monotonic() + seconds
        while not ready():
            if not self.running():
                raise LabError(f"{self.name} ended with status {self.popen.returncode} before {what}\n{tail(self.log)}")
            if time.monotonic() > until:
                raise LabError(f"{self.name}: not {what} after {seconds} s\n{tail(self.log)}")
            time.sleep(0.02)

    def stop(self, patience=5.0):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(patience)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


def tail(path, lines=15):
    """The last lines of a log, for an error message."""
    try:
        with open(path, errors="replace") as log:
            text = log.read()[-20000:].splitlines()[-lines:]
    except OSError as err:
        return f"  (no log: {err})"
    return f"  last lines of {path}:\n" + "\n".join("  | " + line for line in text)
