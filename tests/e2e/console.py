# SPDX-License-Identifier: BSD-3-Clause
"""Attaches this terminal to a guest's serial console until Ctrl-]."""
import os
import select
import socket
import sys
import termios
import tty

from proc import LabError

LEAVE = b"\x1d"  # Ctrl-]


def attach(path, name):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as err:
        raise LabError(f"cannot reach the console of {name} ({err.strerror}); is somebody else attached?") from None
    fd, interactive = sys.stdin.fileno(), sys.stdin.isatty()
    saved = termios.tcgetattr(fd) if interactive else None
    print(f"[console of {name}; Ctrl-] leaves it, Enter shows the prompt]", flush=True)
    try:
        if interactive:
            tty.setraw(fd)
            size = os.get_terminal_size()
            sock.sendall(f"\nstty rows {size.lines} cols {size.columns}\n".encode())
        pump(fd, sock)
    finally:
        if saved:
            termios.tcsetattr(fd, termios.TCSADRAIN, saved)
        sock.close()
        print(f"\n[left the console of {name}]")


def pump(fd, sock):
    sources = [fd, sock]
    while True:
        # Without a terminal: the end of the input leaves, after the guest had a moment to answer.
        ready, _, _ = select.select(sources, [], [], None if fd in sources else 1.0)
        if not ready:
            return
        if sock in ready:
            data = sock.recv(65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if fd in ready:
            data = os.read(fd, 4096)
            if LEAVE in data:
                sock.sendall(data.split(LEAVE)[0])
                return
            if data:
                sock.sendall(data)
            else:
                sources.remove(fd)
