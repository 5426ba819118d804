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

# Run in the peer's namespace: each line of input is "<source address> <port> <payload in hex>".
SENDER = f"""
import socket, sys
out = {{}}
for line in sys.stdin:
    source, port, data = line.rstrip("\\n").split(" ")
    if source not in out:
        out[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out[source].bind((source, {HOSTILE_PORT}))
    out[source].sendto(bytes.fromhex(data), ("{topo.underlay_ip('a', 4)}", int(port)))
"""


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def vxlan(vni, inner, flags=8):
    return struct.pack(">B3xI", flags, vni << 8) + inner


def geneve(vni, inner, options=b"", version=0, critical=False, words=None):
    first = version << 6 | (len(options) // 4 if words is None else words)
    return struct.pack(">BBHI", first, 0x40 if critical else 0, 0x6558, vni << 8) + options + inner


def ethernet(dst, payload, kind=0x0800):
    return mac(dst) + mac(topo.PEERS[0].mac) + struct.pack(">H", kind) + payload


def attacks():
    """(what, source, UDP port, payload) of packets that must go nowhere."""
    g1 = topo.endpoint("g1-red")
    peer, stranger = topo.bare(topo.PEERS[0].underlay), topo.bare(topo.STRANGER)
    frame = ethernet(g1.mac, bytes.fromhex("4500001c000000004011000001010101") + bytes([10, 1, 0, g1.host]) + bytes(8))
    red = topo.RED.vni
    unknown_critical = struct.pack(">HBB", 0x1234, 0x80 | 7, 1) + bytes(4)
    yield "nothing in it", peer, VXLAN, b""
    yield "half a header", peer, VXLAN, vxlan(red, b"")[:5]
    yield "no frame", peer, VXLAN, vxlan(red, b"")
    yield "half a frame", peer, VXLAN, vxlan(red, frame[:13])
    yield "half an IP header", peer, VXLAN, vxlan(red, frame[:20])
    yield "no VNI flag", peer, VXLAN, vxlan(red, frame, flags=0)
    yield "a VNI that nobody has", peer, VXLAN, vxlan(0xABCDEF, frame)
    yield "a MAC that nobody has", peer, VXLAN, vxlan(red, ethernet("02:ff:ff:ff:ff:ff", frame[14:]))
    yield "a good frame from a stranger", stranger, VXLAN, vxlan(red, frame)
    yield "Geneve of the future", peer, GENEVE, geneve(red, frame, version=3)
    yield "options longer than the packet", peer, GENEVE, geneve(red, b"", words=63)
    yield "an unknown critical option", peer, GENEVE, geneve(red, frame, unknown_critical, critical=True)


def uplink_drops(card):
    return {row["reason"]: row["packets"] for row in card.show("drops", "show") if row["function"] == "uplink"}


@check("hostile_wire", "reasons", "broken and unwanted overlay packets are dropped, counted by reason, and g1 hears none")
def hostile_wire(world):
    card, g1 = world.cards["a"], world.guests["g1"]
    before = uplink_drops(card)
    heard = int(g1.run("cat /sys/class/net/red/statistics/rx_packets"))
    rounds, lines = 20, []
    for _what, source, port, data in attacks():
        lines += [f"{source} {port} {data.hex()}"] * rounds
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
