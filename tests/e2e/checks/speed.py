# SPDX-License-Identifier: BSD-3-Clause
"""TCP between guests: iperf3 in the guests, across two cards."""
import json

import topology as topo
from . import check, need


def iperf(world, vnet, args, src="g1", dst="g2"):
    """Runs iperf3 from 'src' to 'dst' in a network; returns {"gbps", "bytes", "retransmits"}.

    With -n, "bytes" may be less than what was sent: the receiver stops counting when the sender says that it is done.
    """
    addr = topo.endpoint(f"{dst}-{vnet}").ip4
    world.guests[dst].call("pidof iperf3 >/dev/null || iperf3 -s -D --logfile /tmp/iperf3.log")
    status, out = world.guests[src].call(f"iperf3 -J -c {addr} --connect-timeout 5000 {args}", timeout=60)
    need(status == 0, f"iperf3 from {src} to {dst} ({addr}): status {status}\n{out[-1500:]}")
    try:
        end = json.loads(out)["end"]
        return {"gbps": round(end["sum_received"]["bits_per_second"] / 1e9, 3), "bytes": end["sum_received"]["bytes"],
                "retransmits": end["sum_sent"].get("retransmits")}
    except (ValueError, KeyError):
        need(False, f"iperf3 from {src} to {dst} ({addr}): status {status}\n{out[-1500:]}")


def throughput(world, vnet):
    got = iperf(world, vnet, "-t 3")
    need(got["gbps"] > 0.01, f"only {got['gbps']} Gb/s: {got}")
    return got["gbps"]


@check("tcp_vxlan_gbps", "Gb/s", "iperf3, one connection, VXLAN over IPv4")
def tcp_vxlan(world):
    return throughput(world, "red")


@check("tcp_geneve_gbps", "Gb/s", "iperf3, one connection, Geneve over IPv6")
def tcp_geneve(world):
    return throughput(world, "blue")


def queue_packets(world, card, function):
    """Packets per virtqueue of a function, as the card counts them."""
    rows = world.cards[card].show("counters", "show", "--function", function)
    return {row["queue"]: row["packets"] for row in rows}


@check("tcp_multiqueue", "queues", "eight connections use every queue pair, in both guests")
def tcp_multiqueue(world):
    for name in ("g1", "g2"):
        out = world.guests[name].run("ethtool -l red")
        now = out.partition("Current hardware settings")[2]
        need("Combined:\t2" in now, f"{name} does not use two queue pairs:\n{out}")
    before = {c: queue_packets(world, c, f) for c, f in (("a", "g1-red"), ("b", "g2-red"))}
    iperf(world, "red", "-P 8 -t 2")
    after = {c: queue_packets(world, c, f) for c, f in (("a", "g1-red"), ("b", "g2-red"))}
    moved = {c: {q: after[c][q] - before[c].get(q, 0) for q in sorted(after[c])} for c in after}
    for card, odd, what in (("a", 1, "guest to card"), ("b", 0, "card to guest")):
        used = [q for q, n in moved[card].items() if q % 2 == odd and n > 100]
        need(len(used) == 2, f"card {card}, {what}: only queues {used} carried packets: {moved[card]}")
    return sum(1 for c in moved.values() for n in c.values() if n > 100)
