# SPDX-License-Identifier: BSD-3-Clause
"""A peer on the wire that means harm: broken and unwanted overlay packets are dropped, counted by reason, and heard by nobody."""
import struct
import sys
import time

import topology as topo
from capture import HOSTILE_PORT
from . import check, need
from .reach import between_cards

VXLAN, GENEVE = 4789, 6081

# Run in the peer's namespace: each line of input is "<address> <port> <payload in hex>".
SENDER = f"""
import socket, sys
out = {{}}
for line in sys.stdin:
    addr, port, data = line.rstrip("\\n").split(" ")
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    if family not in out:
        out[family] = socket.socket(family, socket.SOCK_DGRAM)
        out[family].bind(("", {HOSTILE_PORT}))
    out[family].sendto(bytes.fromhex(data), (addr, int(port)))
"""


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def vxlan(vni, inner, flags=8):
    return struct.pack(">B3xI", flags, vni << 8) + inner


def geneve(vni, inner, options=b"", version=0, critical=False, words=None):
    first = version << 6 | (len(options) // 4 if words is None else words)
    return struct.pack(">BBHI", first, 0x40 if critical else 0, 0x6558, vni << 8) + options + inner


def ethernet(dst, payload, kind=0x0800):
    return mac(dst) + mac(topo.PEER["mac"]) + struct.pack(">H", kind) + payload


def attacks():
    """(what, UDP port, payload) of packets that must go nowhere."""
    g1 = topo.endpoint("g1-red")
    frame = ethernet(g1.mac, bytes.fromhex("4500001c000000004011000001010101") + bytes([10, 1, 0, g1.host]) + bytes(8))
    red = topo.RED.vni
    unknown_critical = struct.pack(">HBB", 0x1234, 0x80 | 7, 1) + bytes(4)
    yield "nothing in it", VXLAN, b""
    yield "half a header", VXLAN, vxlan(red, b"")[:5]
    yield "no frame", VXLAN, vxlan(red, b"")
    yield "half a frame", VXLAN, vxlan(red, frame[:13])
    yield "half an IP header", VXLAN, vxlan(red, frame[:20])
    yield "no VNI flag", VXLAN, vxlan(red, frame, flags=0)
    yield "a VNI that nobody has", VXLAN, vxlan(0xABCDEF, frame)
    yield "a VNI of the other encapsulation", VXLAN, vxlan(topo.BLUE.vni, frame)
    yield "a MAC that nobody has", VXLAN, vxlan(red, ethernet("02:ff:ff:ff:ff:ff", frame[14:]))
    yield "a tunnel in a tunnel", VXLAN, vxlan(red, ethernet(g1.mac, b"\x45" + bytes(19) + struct.pack(">HHHH", 4789, 4789, 16, 0) + vxlan(red, frame)))
    yield "Geneve from a peer without a Geneve tunnel", GENEVE, geneve(topo.BLUE.vni, frame)
    yield "Geneve of the future", GENEVE, geneve(topo.BLUE.vni, frame, version=3)
    yield "options longer than the packet", GENEVE, geneve(topo.BLUE.vni, b"", words=63)
    yield "an unknown critical option", GENEVE, geneve(topo.BLUE.vni, frame, unknown_critical, critical=True)


def uplink_drops(card):
    return {row["reason"]: row["packets"] for row in card.show("drops", "show") if row["function"] == "uplink"}


@check("hostile_wire", "reasons", "broken and unwanted overlay packets are dropped, counted by reason, and g1 hears none")
def hostile_wire(world):
    card, g1 = world.cards["a"], world.guests["g1"]
    before = uplink_drops(card)
    heard = int(g1.run("cat /sys/class/net/red/statistics/rx_packets"))
    rounds, lines = 20, []
    for _what, port, data in attacks():
        lines += [f"{topo.underlay_ip('a', 4)} {port} {data.hex()}"] * rounds
    world.peer_ns.run(sys.executable, "-c", SENDER, stdin="\n".join(lines) + "\n")
    time.sleep(0.5)
    now = int(g1.run("cat /sys/class/net/red/statistics/rx_packets"))
    after = uplink_drops(card)
    grown = {reason: n - before.get(reason, 0) for reason, n in after.items() if n > before.get(reason, 0)}
    need(now - heard < rounds, f"g1 got {now - heard} packets while {len(lines)} broken ones were sent; drops: {grown}")
    need(sum(grown.values()) >= len(lines) * 9 // 10, f"{len(lines)} packets were sent, the card counts drops of: {grown}")
    need(len(grown) >= 4, f"only these reasons: {grown}")
    between_cards(world, topo.RED, 4)
    between_cards(world, topo.BLUE, 6)
    return len(grown)
