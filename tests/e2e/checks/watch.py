# SPDX-License-Identifier: BSD-3-Clause
"""What an operator sees of packets: captures with verdicts, read by tshark, and traces."""
import time

from proc import run
import topology as topo
from . import check, need
from .reach import between_cards


def rows(path, *want):
    """Packets of a capture that a display filter takes: (interface, direction, comment)."""
    out = run("tshark", "-n", "-r", path, "-Y", " and ".join(want), "-T", "fields", "-E", "separator=|", "-e", "frame.interface_name",
              "-e", "frame.packet_flags_direction", "-e", "frame.comment", timeout=60)
    return [line.split("|", 2) for line in out.splitlines()]


def wait_until(card, name, state):
    for _ in range(100):
        got = card.show("capture", "show", name)
        if got["state"] == state:
            return got
        time.sleep(0.05)
    need(False, f"capture {name} is {got['state']}, not {state}")
    return None


@check("capture", "packets", "captures of an ENI and of the uplink tell what became of each packet, and tshark reads them")
def capture(world):
    card, end, peer = world.cards["a"], topo.endpoint("g1-red"), topo.endpoint("g2-red")
    path = world.dir / "capture.pcapng"
    card.ctl("capture", "start", "lab", "--eni", end.name, "--uplink", "on", "--proto", "icmp", "--ip", peer.ip4, "--file", path)
    try:
        between_cards(world, topo.RED, 4)
    finally:
        card.ctl("capture", "stop", "lab")
        seen = wait_until(card, "lab", "stopped")
        card.ctl("capture", "stop", "lab")
    need(seen["lost"] == 0, f"the capture lost {seen['lost']} packets")
    for filt, interface, comment in (("icmp.type == 8", end.name, "sent: tunnel "), ("icmp.type == 0", end.name, f"delivered to {end.name}"),
                                     ("icmp.type == 8 and vxlan", "uplink", "sent"), ("icmp.type == 0 and vxlan", "uplink", "received, overlay")):
        got = [r for r in rows(path, filt) if r[0] == interface]
        need(len(got) == 4 and all(r[2].startswith(comment) for r in got), f"{filt} on {interface}: 4 with '{comment}' were due, not {got}")
    # What nobody answers for is dropped with a reason, and a capture of drops alone has nothing else.
    drops = world.dir / "drops.pcapng"
    card.ctl("capture", "start", "drops", "--eni", end.name, "--drops", "on", "--proto", "arp", "--packets", 2, "--file", drops)
    world.guests["g1"].call(f"ping -n -c 3 -W 1 {topo.RED.net4}.77", timeout=30)
    wait_until(card, "drops", "limit")
    card.ctl("capture", "stop", "drops")
    got = rows(drops, "frame")
    need(len(got) == 2 and all(r[2].startswith("dropped: arp_unanswered, ") for r in got), f"two packets with dropped: arp_unanswered were due, not {got}")
    return seen["written"]


@check("trace", "steps", "a trace says what then happens to a packet, and changes nothing")
def trace(world):
    card, end, peer = world.cards["a"], topo.endpoint("g1-red"), topo.endpoint("g2-red")

    def look(*args):
        steps = card.show("trace", *args)
        return steps, {s["stage"]: s for s in steps}, steps[-1]

    steps, by, last = look("--from", end.name, "tcp", f"{end.ip4}:40000", f"{peer.ip4}:80")
    need(last["verdict"] == "sent" and by["session"]["result"] == "miss" and by["mapping"]["result"] == "tunnel", f"not sent: {steps}")
    again, _, _ = look("--from", end.name, "tcp", f"{end.ip4}:40000", f"{peer.ip4}:80")
    need([s["text"] for s in again] == [s["text"] for s in steps], f"the second trace differs: {again}")
    _, by, last = look("--from", end.name, "tcp", "10.99.0.1:40000", f"{peer.ip4}:80")
    need(last["reason"] == "spoofed_ip" and by["anti-spoofing"]["result"] == "drop", f"not spoofed: {last}")
    _, by, last = look("--to", end.name, "tcp", f"{peer.ip4}:40000", f"{end.ip4}:80")
    need(last["verdict"] == "delivered", f"not delivered: {last}")
    _, by, last = look("--from", end.name, "icmp", end.ip4, f"{topo.RED.net4}.1")
    need(last["verdict"] == "answered", f"not answered: {last}")
    return len(steps)
