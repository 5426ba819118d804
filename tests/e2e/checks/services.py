# SPDX-License-Identifier: BSD-3-Clause
"""What the card itself answers to guests: addresses by DHCP, and "too big" for packets that do not fit the underlay."""
import re
import time

import topology as topo
from card import UNDERLAY_IF
from netns import WIRE_MTU
from . import check, need
from .reach import ping
from .speed import iperf


def lease(guest, dev, family):
    """Takes a lease with the guest's own DHCP client; returns what the client was told."""
    status, out = guest.call(
        f"rm -f /run/lease.{dev}.{family}; dhclient -{family} -1 -v -sf /usr/bin/dhclient-script -pf /run/dh{family}.pid -lf /run/dh{family}.leases {dev}; "
        f"r=$?; kill $(cat /run/dh{family}.pid) 2>/dev/null; cat /run/lease.{dev}.{family} && exit $r", timeout=60)
    need(status == 0, f"{guest.name}: no DHCPv{family} lease\n{out}")
    return dict(line.split(" ", 1) for line in out.splitlines() if re.match(r"(address|mask|mtu|routers|seconds) ", line))


@check("dhcp", "s", "g1 takes its own address, MTU and router by DHCPv4, DHCPv6 and router advertisement")
def dhcp(world):
    g1, e = world.guests["g1"], topo.endpoint("g1-red")
    began = time.monotonic()
    try:
        g1.run("ip addr flush dev red scope global; ip link set red mtu 1500 2>/dev/null; ip link set red down; ip link set red up")
        got = lease(g1, "red", 4)
        need(got["address"] == e.ip4, f"DHCPv4 gave {got['address']}, the ENI has {e.addrs[0]}")
        need(got.get("mtu", "").strip() == str(topo.ENI_MTU), f"DHCPv4 gave MTU '{got.get('mtu')}', the ENI has {topo.ENI_MTU}")
        need(got.get("routers", "").split() == [topo.RED.routers()[0]], f"DHCPv4 gave routers '{got.get('routers')}'")
        need(got["mask"] == "255.255.255.0", f"DHCPv4 gave mask {got['mask']}")
        got = lease(g1, "red", 6)
        need(got["address"] == e.ip6, f"DHCPv6 gave {got['address']}, the ENI has {e.addrs[1]}")
        # IPv6 has router and MTU in router advertisements; the guest solicits them when the link comes up.
        routes = ""
        for _ in range(20):
            routes = g1.run("ip -6 route show dev red")
            if "default via" in routes:
                break
            time.sleep(0.5)
        need("default via fe80::1" in routes, f"no IPv6 router was advertised: {routes}")
        mtu6 = int(g1.run("cat /proc/sys/net/ipv6/conf/red/mtu"))
        need(mtu6 == topo.ENI_MTU, f"IPv6 MTU is {mtu6}, the ENI has {topo.ENI_MTU}")
        seconds = time.monotonic() - began
        g1.net_up()
        for addr in topo.endpoint("g2-red").ips:
            ping(g1, addr)
        return round(seconds, 1)
    finally:
        g1.call("ip route del default; net-up")


@check("pmtu", "bytes", "a packet too big for the underlay is answered, and TCP finds the smaller path")
def pmtu(world):
    g1, small = world.guests["g1"], 1400
    under = world.under["a"]
    want = small - 50  # VXLAN over IPv4
    try:
        under.ip("link", "set", UNDERLAY_IF, "mtu", small)
        time.sleep(0.5)
        a4, a6 = topo.endpoint("g2-red").ips
        g1.run("ip route flush cache; ip -6 route flush cache")
        out = g1.call(f"ping -n -c 2 -i 0.2 -W 1 -M do -s {topo.ENI_MTU - 28} {a4}")[1]
        told = re.search(r"(?i)(?:frag needed|message too long).*mtu ?[=:] ?(\d+)", out)
        need(told, f"no 'fragmentation needed' for a packet of {topo.ENI_MTU} bytes\n{out}")
        mtu4 = int(told.group(1))
        need(mtu4 == want, f"ICMP says MTU {mtu4}, the tunnel takes {want}\n{out}")
        out = g1.call(f"ping -n -c 2 -i 0.2 -W 1 -M do -s {topo.ENI_MTU - 48} {a6}")[1]
        told = re.search(r"(?i)(?:packet too big|message too long).*mtu ?[=:] ?(\d+)", out)
        need(told, f"no 'packet too big' for a packet of {topo.ENI_MTU} bytes\n{out}")
        mtu6 = int(told.group(1))
        need(mtu6 == want, f"ICMPv6 says MTU {mtu6}, the tunnel takes {want}\n{out}")
        g1.run("ip route flush cache; ip -6 route flush cache")
        need(iperf(world, "red", "-n 4M")["bytes"] > 2 << 20, "TCP did not get through the smaller path")
        return mtu4
    finally:
        under.ip("link", "set", UNDERLAY_IF, "mtu", WIRE_MTU)
        time.sleep(0.5)
        g1.call("ip route flush cache; ip -6 route flush cache")
