# SPDX-License-Identifier: BSD-3-Clause
"""Who reaches whom: pings between guests across two cards, and with a Linux kernel VXLAN device."""
import re

import topology as topo
from . import check, need


def ping(guest, addr, count=4, interval=0.2, wait=3):
    """Pings from a guest; returns the average round trip in ms. The first packet may need to wait for neighbour resolution."""
    status, out = guest.call(f"ping -n -c {count} -i {interval} -W {wait} {addr}", timeout=30)
    got = re.search(r"(\d+) received", out)
    need(status == 0 and got and int(got.group(1)) == count, f"{guest.name}: ping {addr}: {out.strip().splitlines()[-1] if out.strip() else 'no output'}\n{out}")
    return round(float(re.search(r"= [\d.]+/([\d.]+)/", out).group(1)), 3)


def unreachable(guest, addr):
    status, out = guest.call(f"ping -n -c 3 -i 0.2 -W 1 {addr}", timeout=30)
    need(status != 0, f"{guest.name} reaches {addr}, which is in another network\n{out}")


def between_cards(world, vnet, family):
    peer = topo.endpoint(f"g2-{vnet.name}")
    return ping(world.guests["g1"], peer.ip4 if family == 4 else peer.ip6)


@check("ping4_vxlan", "ms", "g1 to g2 across two cards, IPv4 in VXLAN")
def ping4_vxlan(world):
    return between_cards(world, topo.RED, 4)


@check("ping6_vxlan", "ms", "g1 to g2 across two cards, IPv6 in VXLAN")
def ping6_vxlan(world):
    return between_cards(world, topo.RED, 6)


@check("ping4_geneve", "ms", "g1 to g2 across two cards, IPv4 in Geneve over an IPv6 underlay")
def ping4_geneve(world):
    return between_cards(world, topo.BLUE, 4)


@check("ping6_geneve", "ms", "g1 to g2 across two cards, IPv6 in Geneve over an IPv6 underlay")
def ping6_geneve(world):
    return between_cards(world, topo.BLUE, 6)


def with_kernel(world, peer):
    g1 = world.guests["g1"]
    own4, own6 = peer.ips
    rtt = ping(g1, own4)
    ping(g1, own6)
    for addr, own in zip(topo.endpoint("g1-red").ips, (own4, own6)):
        out = world.peer_ns.run("ping", "-n", "-I", own, "-I", peer.dev, "-c", "3", "-i", "0.2", "-W", "2", addr, check=False)
        need(" 3 received" in out, f"kernel peer {peer.dev}: ping {addr}:\n{out}")
    server = ["iperf3", "-s", "-1", "-B", own4, "--bind-dev", peer.dev]
    world.daemon(f"iperf3 on {peer.dev}", world.peer_ns.enter(server), f"iperf3-{peer.dev}.log", expected=False)
    out = g1.run(f"for i in 1 2 3 4 5; do iperf3 -c {own4} -n 8M && exit; sleep 0.5; done; exit 1", timeout=60)
    need("receiver" in out, f"iperf3 to the kernel peer:\n{out}")
    return rtt


@check("kernel_vxlan", "ms", "g1 and a Linux vxlan device over IPv4, both ways, ping and TCP")
def kernel_vxlan(world):
    return with_kernel(world, topo.PEERS[0])


@check("kernel_vxlan_ip6", "ms", "g1 and a Linux vxlan device over IPv6, both ways, ping and TCP")
def kernel_vxlan_ip6(world):
    return with_kernel(world, topo.PEERS[1])
