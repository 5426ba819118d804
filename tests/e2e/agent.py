# SPDX-License-Identifier: BSD-3-Clause
"""Host side of the guest's command agent (tools/guest/agent): commands in, output and exit status out, over a serial line."""
import base64
import socket
import threading
import time

from proc import LabError


class Agent:
    def __init__(self, path, name):
        self.path, self.name = path, name
        self.sock, self.buf, self.n = None, b"", 0
        self.hellos = 0
        self.lock = threading.Lock()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def close(self):
        if self.sock:
            self.sock.close()
            self.sock = None

    def _line(self, until):
        while b"\n" not in self.buf:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise LabError(f"guest {self.name} is gone (its serial line was closed)")
            self.buf += data
        line, _, self.buf = self.buf.partition(b"\n")
        line = line.strip().decode(errors="replace")
        # Firmware may write terminal codes without a line end before the guest's first word.
        at = line.find("HELLO ")
        if at >= 0:
            self.hellos += 1
            return line[at:]
        return line

    def hello(self, seconds):
        """Waits for the guest to say that it has started; returns its uptime in seconds. False: it did not."""
        with self.lock:
            until = time.monotonic() + seconds
            while (line := self._line(until)) is not None:
                if line.startswith("HELLO"):
                    return float(line.split()[1])
        return None

    def call(self, command, timeout=20):
        """Runs a shell command in the guest; returns (exit status, output)."""
        with self.lock:
            self.n += 1
            code = base64.b64encode(command.encode()).decode()
            self.sock.settimeout(10)
            self.sock.sendall(f"RUN {self.n} {timeout} {code}\n".encode())
            until = time.monotonic() + timeout + 10
            body = None
            while (line := self._line(until)) is not None:
                if line.startswith("HELLO"):
                    raise LabError(f"guest {self.name} restarted while it ran: {command}")
                if line == f"BEGIN {self.n}":
                    body = []
                elif line.startswith(f"END {self.n} ") and body is not None:
                    out = base64.b64decode("".join(body)).decode(errors="replace")
                    return int(line.split()[2]), out
                elif body is not None:
                    body.append(line)
        raise LabError(f"guest {self.name} does not answer (for {timeout + 10} s): {command}")

    def send(self, command):
        """Starts a command whose answer cannot be waited for, such as a reboot."""
        with self.lock:
            self.n += 1
            code = base64.b64encode(command.encode()).decode()
            self.sock.sendall(f"RUN {self.n} 60 {code}\n".encode())
