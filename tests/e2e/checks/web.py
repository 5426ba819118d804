# SPDX-License-Identifier: BSD-3-Clause
"""A web server in a guest, and requests to it from guests and from network namespaces."""
from . import need

# Both are there in guests and in the outside (../webserver.py).
PAGE = "/cgi-bin/you"  # says who asks, as the server sees it
BIG, BIG_BYTES = "/big", 2 << 20


def serve(change, guest):
    """Starts the server; it ends with the changes."""
    script = "#!/bin/sh\\nprintf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n$REMOTE_ADDR\"\\n"
    guest.run(f"mkdir -p /run/www/cgi-bin; cd /run/www; printf '{script}' > .{PAGE}; chmod +x .{PAGE}; "
              f"head -c {BIG_BYTES} /dev/zero > .{BIG}; httpd -p 80 -h /run/www")
    change.at_end(guest.call, "kill $(pidof httpd)")


def url(addr, path):
    return f"http://[{addr}]{path}" if ":" in addr else f"http://{addr}{path}"


def plain(addr):
    """'[::ffff:192.0.2.1]' as '192.0.2.1'."""
    return addr.strip().strip("[]").removeprefix("::ffff:")


def guest_curl(addr, path, seconds):
    return f"curl -s -g --max-time {seconds} '{url(addr, path)}'"


def guest_asks(guest, addr, seconds=10):
    """Returns who the server says is asking."""
    status, out = guest.call(guest_curl(addr, PAGE, seconds), timeout=seconds + 10)
    need(status == 0 and out.strip(), f"{guest.name}: no answer from the web server at {addr}: status {status}\n{out}")
    return plain(out)


def guest_fetches(guest, addr, seconds=30):
    """A page of some megabytes, so that large packets and windows are seen, too."""
    status, out = guest.call(guest_curl(addr, BIG, seconds) + " | wc -c", timeout=seconds + 10)
    need(status == 0 and out.split()[-1:] == [str(BIG_BYTES)], f"{guest.name}: {BIG_BYTES} bytes from {addr}: got {out.strip()}")


def guest_refused(guest, addr, seconds=2):
    status, out = guest.call(guest_curl(addr, PAGE, seconds), timeout=seconds + 10)
    need(status != 0, f"{guest.name} gets an answer from the web server at {addr}, which a security group denies:\n{out}")


def curl(ns, addr, path=PAGE, seconds=10):
    """Asks from a namespace; returns the text, or None without an answer."""
    out = ns.run("curl", "-s", "-g", "--noproxy", "*", "--max-time", seconds, url(addr, path), check=False, timeout=seconds + 10)
    return out or None
