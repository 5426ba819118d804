# SPDX-License-Identifier: BSD-3-Clause
"""Another network hears nothing, even with the same MAC and IP addresses."""
import topology as topo
from . import check, need
from .reach import ping, unreachable

CAPTURE = "/tmp/heard.txt"


@check("isolation", "packets", "g4, with g2's addresses in another VNI, hears nothing and reaches nobody")
def isolation(world):
    g1, g4 = world.guests["g1"], world.guests["g4"]
    mac = topo.endpoint("g4-green").mac
    # All that g4 did not send itself; its own questions to the card (and the card's answers) come later, as the proof that it can hear.
    g4.run("ip link set green promisc on; sysctl -qw net.ipv6.conf.green.router_solicitations=0; "
           f"tcpdump -Z root -l -n -e -i green not ether src {mac} > {CAPTURE} 2> /tmp/tcpdump.err &\n"
           "for i in 1 2 3 4 5 6 7 8 9 10; do grep -q listening /tmp/tcpdump.err && exit; sleep 0.5; done; cat /tmp/tcpdump.err; exit 1", timeout=15)
    a4, a6 = topo.endpoint("g2-red").ips
    ping(g1, a4)
    ping(g1, a6)
    g1.call("ip neigh flush dev red; ping -n -c 2 -i 0.2 -W 1 -b 10.1.0.255; ping -n -c 2 -i 0.2 -W 1 ff02::1%red; "
            "ping -n -c 1 -W 1 10.1.0.99; arping -c 1 -w 1 -I red 10.1.0.12", timeout=30)
    ping(g1, a4)
    heard = g4.run(f"cat {CAPTURE}").strip()
    need(not heard, f"g4 hears another network:\n{heard[:1500]}")
    out = g4.call(f"arping -c 2 -w 3 -I green {topo.GREEN.routers()[0]}")[1]
    need("eceived 0" not in out and ("eply" in out or "eceived" in out), f"g4 hears nothing at all, not even its own router:\n{out}")
    unreachable(g4, topo.endpoint("g1-red").ip4)
    unreachable(g4, topo.endpoint("g1-red").ip6)
    unreachable(g1, topo.endpoint("g2-blue").ip4 + " -I red")
    g4.call("kill $(pidof tcpdump); ip link set green promisc off")
    return 0
