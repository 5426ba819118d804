#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpus of the fuzz target 'bus': sequences of requests that reach every noun and verb.

usage: bus_seeds.py FOLDER
"""
import pathlib
import struct
import sys

ADD, DEL, SET, LIST = 1, 2, 3, 4
(CARD, FUNCTION, VNET, ENI, ROUTE, MAPPING, TUNNEL, UPLINK, QUEUE, DROP, WORKER, UPLOAD, BODY, SG, TAG, BINDING,
 NAT_POOL, NAT_BIND, FIP, NAT64, METER, SESSION_POLICY, SESSION, SESSION_ENI, SESSION_TABLE) = range(1, 26)


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


def function(n, transport=1, socket="", pairs=0, link=0, port="", kind=1, volume=""):
    return struct.pack("<32s108sBB6sHHHBBI", name(n), socket.encode(), kind, transport, bytes(6), pairs, 0, 0, 0, link, 0).ljust(240, b"\0") + port.encode().ljust(128, b"\0") + \
        name(volume) + bytes(48)


def vnet(n, vni):
    return struct.pack("<32sII", name(n), vni, 0)


def eni(n, fn, vn):
    addrs = (ip(4, 24, 10, 0, 0, 5) + ip(6, 64, *IP6, 5)).ljust(160, b"\0")
    routers = ip(4, 32, 10, 0, 0, 1).ljust(80, b"\0")
    dns = ip(4, 32, 10, 0, 0, 2).ljust(80, b"\0")
    return struct.pack("<32s32s32s6sH6sBBB3xI", name(n), name(fn), name(vn), b"\2\0\0\0\0\5", 0, bytes(6), 2, 1, 1, 0) + addrs + routers + dns


def route(vn, prefix, action=1, to="", hops=()):
    return name(vn) + prefix + struct.pack("<BB2x", action, len(hops)) + name(to) + b"".join(hops).ljust(320, b"\0")


def rule(priority, action, protos=(), src=(), dst=(), src_tags=(), dst_tags=(), sports=(), dports=()):
    lists = b"".join(src) + b"".join(dst) + b"".join(map(name, (*src_tags, *dst_tags))) + \
        b"".join(struct.pack("<HH", *p) for p in (*sports, *dports))
    return struct.pack("<IBBHHHHHHH12s", priority, action, len(protos), len(src), len(dst), len(src_tags), len(dst_tags), len(sports),
                       len(dports), 0, bytes(protos)) + lists


def stored(verb, noun, n, items, tail):
    """Packets that upload a body and the record that takes it."""
    body = b"".join(items)
    pieces = [struct.pack("<IIII", len(body), at, len(body[at:at + 4064]), 0) + body[at:at + 4064].ljust(4064, b"\0")
              for at in range(0, len(body), 4064)]
    return b"".join(packet(ADD, UPLOAD, p) for p in pieces) + packet(verb, noun, name(n) + struct.pack("<II", len(items), len(body)) + bytes(tail))


def sg(verb, n, *rules):
    return stored(verb, SG, n, rules, 32)


def tag(verb, n, *prefixes):
    return stored(verb, TAG, n, prefixes, 8)


def binding(e, direction, stage, group):
    return name(e) + struct.pack("<BB6x", direction, stage) + name(group)


def body(n, noun):
    return name(n) + struct.pack("<B", noun) + bytes(4063)


def mapping(vn, ca, tun):
    return name(vn) + ca + name(tun) + struct.pack("<6s2xI", b"\2\0\0\0\0\7", 0)


def opt(cls, typ, data):
    return struct.pack("<HBB", cls, typ, len(data)) + data.ljust(124, b"\0")


def tunnel(n, encap, remote, opts=()):
    o = b"".join(opts).ljust(1024, b"\0")
    head = struct.pack("<32sBBH", name(n), encap, 0, 0) + NO_IP + remote + struct.pack("<BBBB6sH", 0, len(opts), len(opts), 0, bytes(6), 0)
    return head + bytes(32) + o + o


def pool(n, vn, *ranges, block=0):
    return name(n) + name(vn) + struct.pack("<6sHHHHBB", bytes(6), 0, 0, block, 0, len(ranges), 0) + \
        b"".join(bytes(a) + bytes(b) for a, b in ranges).ljust(64, b"\0") + bytes(72)


def fip(vn, public, e, private):
    return name(vn) + public + private + name(e) + bytes(8)


def policy(e, strict=1, window=1, half=0, timeouts=()):
    return name(e) + struct.pack("<BB2xI", strict, window, half) + b"".join(struct.pack("<I", t) for t in timeouts).ljust(96, b"\0")


def session(e, proto=0, state=0, src=NO_IP, dst=NO_IP, port=0, limit=0):
    return name(e) + struct.pack("<IBB2x", 0, proto, state) + src + dst + struct.pack("<HHHBB", 0, 0, port, 0, 0) + 2 * NO_IP + \
        struct.pack("<HHI", 0, 0, limit) + bytes(48)


basics = packet(ADD, FUNCTION, function("f1"), function("f2", 2, "/run/x", 4), function("f3", 4, port="net_null0")) + packet(ADD, VNET, vnet("red", 1), vnet("blue", 2)) + \
    packet(ADD, TUNNEL, tunnel("t1", 1, ip(4, 32, 192, 0, 2, 2)), tunnel("t2", 2, ip(6, 128, *IP6, 2), [opt(0xff01, 1, b"\0\0\0\x2a")]))
objects = basics + packet(ADD, ENI, eni("e1", "f1", "red")) + packet(ADD, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "t1")) + \
    packet(ADD, ROUTE, route("red", ip(4, 8, 10)), route("red", ip(6, 0), 2), route("blue", ip(4, 0), 1, "red"),
           route("red", ip(4, 16, 10, 9), 3, "red", [ip(4, 32, 10, 0, 0, 9), ip(4, 32, 10, 0, 0, 5)]))
groups = objects + tag(ADD, "corp", ip(4, 8, 10), ip(6, 32, *IP6, 0)) + \
    sg(ADD, "web", rule(100, 1, (6,), [ip(4, 8, 10)], dports=[(80, 90)]), rule(110, 4, src_tags=["corp"]), rule(120, 3, (1,), dports=[(2048, 2303)])) + \
    packet(ADD, BINDING, binding("e1", 1, 1, "web"), binding("e1", 2, 5, "web"))

nat = objects + packet(ADD, VNET, vnet("out", 4000)) + packet(ADD, NAT_POOL, pool("p", "out", ((198, 51, 100, 16), (198, 51, 100, 31)), block=64)) + \
    packet(ADD, NAT_BIND, name("e1") + name("p")) + packet(ADD, FIP, fip("out", ip(4, 32, 203, 0, 113, 5), "e1", ip(4, 32, 10, 0, 0, 5))) + \
    packet(ADD, NAT64, name("e1") + ip(6, 96, 0, 0x64, 0xff, 0x9b) + bytes(4)) + \
    packet(ADD, ROUTE, route("red", ip(4, 0), 4, "out", [ip(4, 32, 198, 51, 100, 1)]))

CAPTURE = 40


def capture(n, enis=(), functions=(), uplink=0, ips=(), **fields):
    """Without a file, which a seed cannot carry: everything but the start itself is reached."""
    names = lambda x: b"".join(map(name, x)).ljust(224, b"\0")
    return name(n) + b"x.pcapng".ljust(108, b"\0") + names(enis) + names(functions) + \
        struct.pack("<BBBBBBHB3x", len(enis), len(functions), uplink, fields.get("direction", 0), 0, fields.get("proto", 0), fields.get("port", 0), len(ips)) + \
        b"".join(ips).ljust(40, b"\0") + struct.pack("<III", 128, 5, 0) + bytes(736 - 652)


TRACE = 41


def trace(n, src, dst, wire=0, proto=6, tunnel="", vni=0, sport=1, dport=2, length=0):
    return (name(n) + name(tunnel) + struct.pack("<BBBBBBHIHH", wire, proto, 0, 0, 0, 1 if vni else 0, length, vni, sport, dport) + src + dst).ljust(456, b"\0")


VOLUME, NAMESPACE, VOLUME_STATS, IO_QUEUE, FUNCTION_STATS = range(50, 55)
NULL, RAM, FILE, CRYPT, QOS, STRIPE, CONCAT, SNAPSHOT, CLONE, THIN, INTEGRITY = range(1, 12)


def volume(n, kind=RAM, size=1 << 20, on=(), store="", limits=(), burst_s=0, key=0, access=0, shared=0, block=0, path=""):
    """A file's path is replaced by the fuzz target, which opens none."""
    return name(n) + struct.pack("<BBBBIQIBBBx", kind, access, 0, shared, block, size, 0, len(on), 0, 0) + path.encode().ljust(256, b"\0") + \
        b"".join(map(name, on)).ljust(512, b"\0") + name(store) + struct.pack("<8Q", *limits, *(0,) * (8 - len(limits))) + bytes(64) + \
        struct.pack("<II", burst_s, 0) + struct.pack("<BB6x64s", key, 64 if key else 0, bytes(range(64)) if key else b"") + bytes(224)


def namespace(fn, nsid, vol):
    return name(fn) + struct.pack("<II", nsid, 0) + name(vol) + bytes(32)


disks = packet(ADD, VOLUME, volume("d0"), volume("d1", NULL, 1 << 30, block=4096), volume("d2", shared=1), volume("q0", QOS, 0, ["d0"], limits=(1000,))) + \
    packet(ADD, FUNCTION, function("b0", kind=2, volume="q0"), function("n0", kind=3, volume="d1"), function("n1", kind=3)) + \
    packet(ADD, NAMESPACE, namespace("n0", 0, "d2"), namespace("n1", 7, "d2"))

SEEDS = {
    "disks": disks + b"".join(packet(LIST, n) for n in range(VOLUME, FUNCTION_STATS + 1)) + packet(LIST, FUNCTION) +
    packet(LIST, NAMESPACE, namespace("n0", 1, "d1")) + packet(LIST, VOLUME_STATS, name("q0").ljust(752, b"\0")) +
    packet(LIST, FUNCTION_STATS, name("n0").ljust(752, b"\0")) + packet(LIST, IO_QUEUE, name("b0").ljust(112, b"\0")),
    "disks-busy": disks + packet(DEL, VOLUME, volume("d0")) + packet(DEL, VOLUME, volume("q0")) + packet(DEL, VOLUME, volume("d2")) +
    packet(DEL, NAMESPACE, namespace("n0", 2, "")) + packet(DEL, FUNCTION, function("b0")) + packet(DEL, VOLUME, volume("q0"), volume("d0")) +
    packet(ADD, NAMESPACE, namespace("n1", 0, "d1")),
    "disks-set": disks + packet(SET, VOLUME, volume("d0", size=2 << 20)) + packet(SET, VOLUME, volume("q0", QOS, 0, limits=(5, 1 << 20, 0, 9), burst_s=3)) +
    packet(SET, VOLUME, volume("d2", size=512, shared=1), volume("d2", size=4 << 20, shared=2)) + packet(SET, VOLUME, volume("d1", NULL, limits=(100,))) +
    packet(SET, VOLUME, volume("d0", RAM, 0, limits=(1,))) + packet(SET, FUNCTION, function("b0", kind=2, volume="q0")),
    "stacks": disks + packet(ADD, VOLUME, volume("r0"), volume("r1"), volume("s0", STRIPE, 0, ["r0", "r1"])) +
    packet(ADD, VOLUME, volume("r2"), volume("r3"), volume("k0", CONCAT, 0, ["r2", "r3"])) + packet(ADD, VOLUME, volume("r4", size=8 << 20), volume("t0", THIN, 1 << 20, store="r4")) +
    packet(ADD, VOLUME, volume("snap", SNAPSHOT, 0, ["t0"])) + packet(ADD, VOLUME, volume("r5", size=8 << 20), volume("cl", CLONE, 0, ["snap"], "r5")) +
    packet(ADD, VOLUME, volume("c0", CRYPT, 0, ["k0"], key=1)) + packet(SET, VOLUME, volume("c0", CRYPT, 0, key=2)) + packet(LIST, VOLUME) +
    packet(ADD, VOLUME, volume("r6"), volume("i0", INTEGRITY, 0, ["s0"], "r6")) + packet(DEL, VOLUME, volume("snap"), volume("cl"), volume("snap")),
    "trace": objects + packet(LIST, TRACE, trace("e1", ip(4, 32, 10, 0, 0, 5), ip(4, 32, 10, 0, 0, 9))) +
    packet(LIST, TRACE, trace("e1", ip(6, 128, *IP6, 9), ip(6, 128, *IP6, 5), 1, 17, "t1", 1)) +
    packet(LIST, TRACE, trace("e9", ip(4, 32, 10, 0, 0, 5), ip(4, 32, 10, 0, 0, 9))) +
    packet(LIST, TRACE, trace("e1", NO_IP, ip(4, 32, 10, 0, 0, 9))) + packet(LIST, TRACE),
    "capture": objects + packet(ADD, CAPTURE, capture("c1", ["e1"], ["f2"], 1, [ip(4, 8, 10)], proto=6, port=80)) +
    packet(ADD, CAPTURE, capture("c2", ["e1", "e1"])) + packet(ADD, CAPTURE, capture("c3", ["none"], proto=255)) +
    packet(ADD, CAPTURE, capture("c4", ["e1"], ips=[ip(4, 8, 10, 1)])) + packet(LIST, CAPTURE) + packet(LIST, CAPTURE, capture("c1")) +
    packet(DEL, CAPTURE, capture("c1")),
    "basics": basics,
    "lists": objects + b"".join(packet(LIST, n) for n in range(1, 12)),
    "groups": groups + b"".join(packet(LIST, n) for n in (SG, TAG, BINDING)) + packet(LIST, BODY, body("web", SG)) + packet(LIST, BODY, body("corp", TAG)),
    "nat": nat + b"".join(packet(LIST, n) for n in (NAT_POOL, NAT_BIND, FIP, NAT64)) + packet(SET, NAT_BIND, name("e1") + name("p")) +
    packet(SET, NAT_POOL, pool("p", "out", ((198, 51, 100, 16), (198, 51, 100, 40)), block=64)),
    "nat-set": nat + packet(SET, FIP, fip("out", ip(4, 32, 203, 0, 113, 5), "e1", ip(6, 128, *IP6, 5))) +
    packet(SET, NAT64, name("e1") + ip(6, 64, 0, 0x64, 0xff, 0x9b) + bytes(4)) + packet(LIST, FIP) + packet(LIST, NAT64),
    "nat-del": nat + packet(DEL, NAT_POOL, pool("p", "")) + packet(DEL, NAT_BIND, name("e1") + name("")) + packet(DEL, NAT_POOL, pool("p", "")) +
    packet(DEL, ENI, eni("e1", "", "")) + packet(DEL, FIP, fip("out", ip(4, 32, 203, 0, 113, 5), "", NO_IP)) + packet(DEL, VNET, vnet("out", 0)),
    "meters": objects + packet(SET, METER, name("e1") + struct.pack("<6Q", 10 ** 9, 10 ** 9, 0, 10 ** 6, 1000, 5000).ljust(192, b"\0")) +
    packet(LIST, METER) + packet(DEL, METER, name("e1").ljust(224, b"\0")) + packet(LIST, METER, name("e1").ljust(224, b"\0")),
    "sessions": objects + packet(LIST, SESSION, session("e1", 6, 4, ip(4, 8, 10), ip(4, 0), 443, 10)) + packet(DEL, SESSION, session("e1")) +
    packet(SET, SESSION_POLICY, policy("e1", 2, 2, 100, [0, 30, 30, 30, 350])) + packet(DEL, SESSION_POLICY, policy("e1")) +
    b"".join(packet(LIST, n) for n in (SESSION, SESSION_POLICY, SESSION_ENI, SESSION_TABLE)),
    "sessions-found": objects + packet(LIST, SESSION, session("e1")) + packet(LIST, SESSION, session("", 17, 10, ip(4, 8, 10), ip(4, 24, 192, 0, 2), 53, 1)) +
    packet(LIST, SESSION, session("", dst=ip(6, 32, *IP6, 0))),
    "upload-dropped": basics + packet(ADD, UPLOAD, struct.pack("<IIII", 20, 0, 20, 0) + bytes(4064)) + packet(DEL, UPLOAD, bytes(4080)) +
    packet(ADD, TAG, name("corp") + struct.pack("<II", 1, 20) + bytes(8)),
    "groups-set": groups + tag(SET, "corp", ip(4, 0)) + sg(SET, "web", rule(1, 2)) + sg(SET, "web", rule(1, 2), rule(1, 1)) + sg(SET, "web") +
    packet(SET, BINDING, binding("e1", 1, 1, "web")),
    "groups-del": groups + packet(DEL, SG, name("web").ljust(72, b"\0")) + packet(DEL, TAG, name("corp").ljust(48, b"\0")) +
    packet(DEL, BINDING, binding("e1", 1, 1, ""), binding("e1", 2, 5, "")) + packet(DEL, SG, name("web").ljust(72, b"\0")) +
    packet(DEL, TAG, name("corp").ljust(48, b"\0")),
    "filters": objects + packet(LIST, FUNCTION, function("f2")) + packet(LIST, ROUTE, route("red", NO_IP)) +
    packet(LIST, MAPPING, mapping("red", ip(4, 32, 10, 0, 0, 9), "")) + packet(LIST, QUEUE, name("f2").ljust(104, b"\0")) +
    packet(LIST, DROP, name("uplink").ljust(232, b"\0")) + packet(LIST, ENI, eni("e1", "", "")) + packet(LIST, TUNNEL, tunnel("t2", 0, NO_IP)),
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
