# SPDX-License-Identifier: BSD-3-Clause
"""NAT to an outside that is no card's: pools and floating IPs, with a Linux gateway and a web server in namespaces of the lab."""
import ipaddress

import topology as topo
from changes import changes, rule_args
from . import check, need, web
from .reach import ping
from .sg import drops

SERVER, GATEWAY = topo.bare(topo.OUTSIDE_SERVER), topo.bare(topo.GATEWAY)


def to_outside(change, card, guest):
    """The way out of red, on a card and in a guest of it."""
    change.ctl(card, ["vnet", "add", "internet", "--vni", topo.INTERNET_VNI], ["vnet", "del", "internet"])
    change.ctl(card, ["tunnel", "add", "to-gw", "--encap", "vxlan", "--remote", topo.bare(topo.GATEWAY_UNDERLAY)], ["tunnel", "del", "to-gw"])
    change.ctl(card, ["mapping", "add", "--vnet", "internet", "--ip", GATEWAY, "--mac", topo.GATEWAY_MAC, "--tunnel", "to-gw"],
               ["mapping", "del", "--vnet", "internet", "--ip", GATEWAY])
    change.ctl(card, ["route", "add", topo.OUTSIDE_NET, "--vnet", "red", "--to", f"nat:{GATEWAY}@internet"],
               ["route", "del", topo.OUTSIDE_NET, "--vnet", "red"])
    guest.run(f"ip route replace {topo.OUTSIDE_NET} via {topo.RED.routers()[0]} dev red")
    change.at_end(guest.call, f"ip route del {topo.OUTSIDE_NET}")


def pool(change, card, eni):
    """Binds an ENI to a pool of one address, and returns that."""
    public, mac = topo.PUBLIC[card.name]
    change.ctl(card, ["nat-pool", "add", "shared", "--vnet", "internet", "--range", public, "--mac", mac], ["nat-pool", "del", "shared"])
    change.ctl(card, ["nat-bind", "add", eni, "--pool", "shared"], ["nat-bind", "del", eni])
    return public


def trace(guest):
    """Each router on the way tells of itself by an ICMP error about a packet that was translated; the last hop refuses the port."""
    out = guest.run(f"traceroute -n -q 2 -w 3 -m 5 {SERVER}", timeout=60)
    heard = {word for line in out.splitlines()[1:] for word in line.split()}
    for addr in (topo.RED.routers()[0], GATEWAY, SERVER):
        need(addr in heard, f"{guest.name}: traceroute to {SERVER} does not hear {addr}\n{out}")


def seen_as(guest, public):
    who = web.guest_asks(guest, SERVER)
    need(who == public, f"{guest.name}: the server sees {who}, not the public address {public}")


def refused(card):
    return sum(row["packets"] for row in card.show("drops", "list") if row["reason"] == "nat_unsolicited")


@check("nat_out", "", "g1 and g2 reach a web server outside; it sees the pool's address; ping, ICMP errors and answers come back")
def nat_out(world):
    seen = []
    for card, e in ((world.cards["a"], topo.endpoint("g1-red")), (world.cards["b"], topo.endpoint("g2-red"))):
        guest = world.guests[e.guest]
        with changes() as change:
            to_outside(change, card, guest)
            public = pool(change, card, e.name)
            # Answers pass by themselves; nothing that the outside opens does.
            change.default(card, e.name, "in", "deny")
            for _ in range(3):
                seen_as(guest, public)
            ping(guest, SERVER)
            web.guest_fetches(guest, SERVER)
            trace(guest)
            rows = card.show("session", "list", "--eni", e.name, "--dst", SERVER, "--proto", "tcp")
            need(rows, f"card {card.name} lists no connection of {e.name} to {SERVER}")
            before = refused(card)
            need(web.curl(world.outside, public, seconds=2) is None, f"{public}, which is a pool's, answers what the outside opens")
            need(refused(card) > before, f"card {card.name} counted nothing in nat_unsolicited")
            seen.append(public)
        need(guest.call(f"ping -n -c 1 -W 1 {SERVER}")[0] != 0, f"{guest.name} reaches the outside after its NAT is gone")
    return seen[0]


@check("floating_ip", "", "the outside reaches g2 by a public address as groups permit, and g2's own connections leave with it")
def floating_ip(world):
    card, e, outside = world.cards["b"], topo.endpoint("g2-red"), world.outside
    guest, mac = world.guests[e.guest], topo.PUBLIC["b"][1]
    with changes() as change:
        to_outside(change, card, guest)
        change.ctl(card, ["fip", "add", topo.FLOATING, "--vnet", "internet", "--eni", e.name, "--private", e.ip4, "--mac", mac],
                   ["fip", "del", topo.FLOATING, "--vnet", "internet"])
        web.serve(change, guest)
        seen_as(guest, topo.FLOATING)
        who = web.curl(outside, topo.FLOATING)
        need(who, f"the outside gets no answer from {topo.FLOATING}")
        need(web.plain(who) == SERVER, f"{guest.name} sees {who} as its client, not {SERVER}")
        out = outside.run("ping", "-n", "-c", 3, "-i", "0.2", "-W", 2, topo.FLOATING, check=False)
        need(" 3 received" in out, f"ping from outside to {topo.FLOATING}:\n{out}")
        # Groups see the private address.
        change.group(card, "from-outside", f"100 permit icmp from {topo.OUTSIDE_NET} to {e.ip4}")
        change.bind(card, e.name, "in", 1, "from-outside")
        before = drops(card, e.name, "acl_in")
        need(web.curl(outside, topo.FLOATING, seconds=3) is None, f"{topo.FLOATING} answers what a security group denies")
        need(drops(card, e.name, "acl_in") > before, f"card {card.name} counted nothing in acl_in of {e.name}")
        card.ctl("sg", "set", "from-outside", *rule_args([f"100 permit tcp from {topo.OUTSIDE_NET} to {e.ip4} port 80"]))
        need(web.curl(outside, topo.FLOATING), f"the outside gets no answer from {topo.FLOATING}, which a security group permits")
        seen_as(guest, topo.FLOATING)
        web.guest_fetches(guest, SERVER)
        trace(guest)
    need(web.curl(outside, topo.FLOATING, seconds=2) is None, f"{topo.FLOATING} answers after it was deleted")
    return topo.FLOATING


@check("nat_hairpin", "", "g1, behind a pool, reaches g3 on the same card by g3's floating IP; g3 sees the pool's address")
def nat_hairpin(world):
    card, (e1, e3) = world.cards["a"], (topo.endpoint(f"{name}-red") for name in ("g1", "g3"))
    g1, g3 = world.guests["g1"], world.guests["g3"]
    with changes() as change:
        to_outside(change, card, g1)
        public = pool(change, card, e1.name)
        net = ipaddress.ip_interface(topo.GATEWAY).network
        change.ctl(card, ["route", "add", net, "--vnet", "red", "--to", f"nat:{GATEWAY}@internet"], ["route", "del", net, "--vnet", "red"])
        for guest in (g1, g3):
            guest.run(f"ip route replace {net} via {topo.RED.routers()[0]} dev red")
            change.at_end(guest.call, f"ip route del {net}")
        change.ctl(card, ["fip", "add", topo.FLOATING, "--vnet", "internet", "--eni", e3.name, "--private", e3.ip4, "--mac", topo.PUBLIC["a"][1]],
                   ["fip", "del", topo.FLOATING, "--vnet", "internet"])
        web.serve(change, g3)
        who = web.guest_asks(g1, topo.FLOATING)
        need(who == public, f"g3 sees {who}, not the pool's address {public}")
        web.guest_fetches(g1, topo.FLOATING)
        ping(g1, topo.FLOATING)
        return public


@check("nat64", "", "g1 reaches the IPv4 web server outside from IPv6, by HTTP and ping")
def nat64(world):
    card, e = world.cards["a"], topo.endpoint("g1-red")
    guest, server6 = world.guests["g1"], f"64:ff9b::{SERVER}"
    with changes() as change:
        to_outside(change, card, guest)
        public = pool(change, card, e.name)
        change.ctl(card, ["nat64", "add", e.name, "--prefix", "64:ff9b::/96"], ["nat64", "del", e.name])
        change.ctl(card, ["route", "add", "64:ff9b::/96", "--vnet", "red", "--to", f"nat:{GATEWAY}@internet"],
                   ["route", "del", "64:ff9b::/96", "--vnet", "red"])
        guest.run("ip -6 route replace 64:ff9b::/96 via fe80::1 dev red")
        change.at_end(guest.call, "ip -6 route del 64:ff9b::/96")
        who = web.guest_asks(guest, server6)
        need(who == public, f"the server sees {who}, not the public address {public}")
        web.guest_fetches(guest, server6)
        ping(guest, server6)
        return public
