#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpus of the fuzz target 'bus': sequences of requests that reach every noun and verb.

usage: bus_seeds.py FOLDER
"""
import pathlib
import struct
import sys

ADD, DEL, SET, LIST = 1, 2, 3, 4
CARD, FUNCTION, VNET, ENI, ROUTE, MAPPING, TUNNEL, UPLINK, QUEUE, DROP, WORKER = range(1, 12)


def name(s):
    return s.encode().ljust(32, b"\0")


def ip(family, plen, *b):
    return struct.pack("<BB2x16s", family, plen, bytes(b))


NO_IP = bytes(20)
IP6 = (0x20, 1, 0x0d, 0xb8) + (0,) * 11


def packet(verb, noun, *records):
    body = b"".join(records)
    size = len(records[0]) if records else 0
    head = struct.pack("<HBBBBHIiII", 0x4f42, 1, verb, noun, 0, len(records), 1, 0, len(body), size)
    msg = head + body
    return struct.pack("<H", len(msg)) + msg


def function(n, transport=1, socket="", pairs=0, link=0, port=""):
    return struct.pack("<32s108sBB6sHHHBBI", name(n), socket.encode(), 1, transport, bytes(6), pairs, 0, 0, 0, link, 0).ljust(240, b"\0") + port.encode().ljust(128, b"\0")


def vnet(n, vni):
    return struct.pack("<32sII", name(n), vni, 0)


def eni(n, fn, vn):
    addrs = (ip(4, 24, 10, 0, 0, 5) + ip(6, 64, *IP6, 5)).ljust(160, b"\0")
    routers = ip(4, 32, 10, 0, 0, 1).ljust(80, b"\0")
    dns = ip(4, 32, 10, 0, 0, 2).ljust(80, b"\0")
    return struct.pack("<32s32s32s6sH6sBBB3xI", name(n), name(fn), name(vn), b"\2\0\0\0\0\5", 0, bytes(6), 2, 1, 1, 0) + addrs + routers + dns


def route(vn, prefix, action=1, to=""):
    return name(vn) + prefix + struct.pack("<B3x", action) + name(to)


def mapping(vn, ca, tun):
    return name(vn) + ca + name(tun) + struct.pack("<6s2xI", b"\2\0\0\0\0\7", 0)


def opt(cls, typ, data):
    return struct.pack("<HBB", cls, typ, len(data)) + data.ljust(124, b"\0")


def tunnel(n, encap, remote, opts=()):
    o = b"".join(opts).ljust(1024, b"\0")
    head = struct.pack("<32sBBH", name(n), encap, 0, 0) + NO_IP + remote + struct.pack("<BBBB6sH", 0, len(opts), len(opts), 0, bytes(6), 0)
    return head + bytes(32) + o + o


basics = packet(ADD, FUNCTION, function("f1"), function("f2", 2, "/run/x", 4), function("f3", 4, port="net_null0")) + packet(ADD, VNET, vnet("red", 1), vnet("blue", 2)) + \
    packet(ADD, TUNNEL, tunnel("t1", 1, ip(4, 32, 192, 0, 2, 2)), tunnel("t2", 2, ip(6, 128, *IP6, 2), [opt(0xff01, 1, b"\0\0\0\x2a")]))
objects = basics + packet(ADD, ENI, eni("e1", "f1", "red")) + packet(ADD, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "t1")) + \
    packet(ADD, ROUTE, route("red", ip(4, 8, 10)), route("red", ip(6, 0), 2), route("blue", ip(4, 0), 1, "red"))

SEEDS = {
    "basics": basics,
    "lists": objects + b"".join(packet(LIST, n) for n in range(1, 12)),
    "filters": objects + packet(LIST, FUNCTION, function("f2")) + packet(LIST, ROUTE, route("red", NO_IP)) +
    packet(LIST, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "")) + packet(LIST, QUEUE, name("f2").ljust(104, b"\0")) +
    packet(LIST, DROP, name("uplink").ljust(200, b"\0")) + packet(LIST, ENI, eni("e1", "", "")) + packet(LIST, TUNNEL, tunnel("t2", 0, NO_IP)),
    "busy": objects + packet(DEL, FUNCTION, function("f1")) + packet(DEL, VNET, vnet("red", 0)) + packet(DEL, TUNNEL, tunnel("t1", 0, NO_IP)),
    "sets": objects + packet(SET, FUNCTION, function("f1", link=2)) + packet(SET, ENI, eni("e1", "f2", "blue")) +
    packet(SET, TUNNEL, tunnel("t1", 2, ip(4, 32, 192, 0, 2, 3))) + packet(SET, ROUTE, route("red", ip(4, 8, 10), 2)) +
    packet(SET, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "t2")),
    "dels": objects + packet(DEL, ENI, eni("e1", "", "")) + packet(DEL, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "")) +
    packet(DEL, ROUTE, route("red", ip(4, 8, 10)), route("red", ip(6, 0)), route("blue", ip(4, 0))) + packet(DEL, FUNCTION, function("f1")) +
    packet(DEL, TUNNEL, tunnel("t1", 0, NO_IP)) + packet(DEL, VNET, vnet("red", 0)),
    "refused": basics + packet(ADD, FUNCTION, function("f1")) + packet(ADD, VNET, vnet("green", 1)) + packet(ADD, ENI, eni("e1", "f9", "red")) +
    packet(ADD, WORKER, bytes(72)) + packet(9, CARD) + packet(LIST, 99),
    "short": b"\x05\x00hello" + b"\x18\x00" + bytes([0x43, 0x4f, 9, 4, 1, 0, 0, 0]) + bytes(16),
}

if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for seed, data in SEEDS.items():
    (folder / seed).write_bytes(data)
