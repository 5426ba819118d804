#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The web server of the lab's outside: tells who asks. usage: webserver.py ADDRESS PORT"""
import http.server
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from checks.web import BIG, BIG_BYTES  # noqa: E402


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = bytes(BIG_BYTES) if self.path == BIG else self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *args):
        print(*self.client_address, form % args, flush=True)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler)
    print("listening", flush=True)
    server.serve_forever()
