# SPDX-License-Identifier: BSD-3-Clause
"""What goes over the wire, kept for the check that reads it."""
import os
import re
import signal
import time

from proc import LabError, tail


# Frames that a check breaks on purpose come from this UDP port; they are not for tshark to judge.
HOSTILE_PORT = 6666


class Capture:
    """tcpdump on the wire, from before the first packet to after the last."""

    def __init__(self, world):
        self.world, self.path = world, world.dir / "wire.pcap"
        argv = ["tcpdump", "-i", world.wire.BRIDGE, "-n", "-B", "65536", "-Z", "root", "-w", self.path, f"(udp port 4789 or udp port 6081) and not src port {HOSTILE_PORT}"]
        self.daemon = world.daemon("tcpdump on the wire", world.wire.enter(argv), "tcpdump.log", expected=False)
        self.daemon.wait_for(lambda: "listening on" in tail(self.daemon.log), 10, "listening")

    def stop(self):
        """Returns (frames captured, frames the capture itself lost)."""
        time.sleep(0.3)
        os.kill(self.daemon.pid, signal.SIGINT)
        self.daemon.popen.wait(20)
        text = tail(self.daemon.log, 50)
        captured, lost = (re.search(rf"(\d+) packets? {word}", text) for word in ("captured", "dropped by kernel"))
        if not captured or not lost:
            raise LabError(f"tcpdump did not report\n{text}")
        return int(captured.group(1)), int(lost.group(1))
