# SPDX-License-Identifier: BSD-3-Clause
"""Security groups: what they permit, what they deny, and that a change reaches live connections."""
import time

import topology as topo
from changes import changes, rule_args
from . import check, need, web
from .reach import ping, unreachable
from .speed import iperf

G1, G2, G3 = (topo.endpoint(f"{name}-red") for name in ("g1", "g2", "g3"))
IPERF, PORTS = 5201, (5211, 5212)


def drops(card, eni, reason):
    """Packets of an ENI that were dropped for a reason."""
    return sum(row["packets"] for row in card.show("drops", "show", "--eni", eni, "--reason", reason))


def from_g1(world):
    """All that the group of sg_allow permits; returns iperf3's Gb/s."""
    g1 = world.guests["g1"]
    for addr in G2.ips:
        ping(g1, addr)
        need(web.guest_asks(g1, addr) in G1.ips, f"the web server at {addr} sees another client than g1")
    web.guest_fetches(g1, G2.ip4)
    return iperf(world, "red", "-t 2")["gbps"]


@check("sg_allow", "Gb/s", "default deny both ways: g1 reaches g2 by ping, HTTP and iperf3 as groups permit; answers pass")
def sg_allow(world):
    a, b, (g1, g2) = world.cards["a"], world.cards["b"], (world.guests[n] for n in ("g1", "g2"))
    with changes() as change:
        for card, e in ((a, G1), (b, G2)):
            change.default(card, e.name, "in", "deny")
            change.default(card, e.name, "out", "deny")
        web.serve(change, g2)
        unreachable(g1, G2.ip4)
        change.ctl(b, ["tag", "add", "clients", *[w for ip in G1.ips for w in ("--prefix", ip)]], ["tag", "del", "clients"])
        change.group(b, "servers", f"100 permit tcp from tag:clients to any port 80,{IPERF}", "110 permit icmp,icmp6 from tag:clients")
        change.bind(b, G2.name, "in", 1, "servers")
        # Soft verdicts: what stage 1 denies, stage 2 permits.
        change.group(a, "baseline", "100 deny-continue any")
        change.group(a, "tenant", f"100 permit tcp,icmp,icmp6 to {','.join(G2.ips)}")
        change.bind(a, G1.name, "out", 1, "baseline")
        change.bind(a, G1.name, "out", 2, "tenant")
        denied = drops(a, G1.name, "acl_in"), drops(b, G2.name, "acl_out")
        gbps = from_g1(world)
        # g1's "in" and g2's "out" permit nothing: all that went there was answers.
        need((drops(a, G1.name, "acl_in"), drops(b, G2.name, "acl_out")) == denied, "answers were denied")
        return gbps


def refused_to_g2(world, name):
    guest = world.guests[name]
    web.guest_refused(guest, G2.ip4)
    status, out = guest.call(f"iperf3 -c {G2.ip4} --connect-timeout 1500 -n 1M", timeout=30)
    need(status != 0, f"iperf3 from {name} to g2 passes, which a security group denies:\n{out}")


@check("sg_deny", "packets", "what no rule permits is dropped and counted, at the sender as at the receiver, over IPv4 and IPv6")
def sg_deny(world):
    a, b, (g1, g2, g3) = world.cards["a"], world.cards["b"], (world.guests[n] for n in ("g1", "g2", "g3"))
    with changes() as change:
        web.serve(change, g2)
        web.serve(change, g1)
        iperf(world, "red", "-n 1M")  # the server is there
        before_in, before_out = drops(b, G2.name, "acl_in"), drops(a, G1.name, "acl_out")
        # At the receiver: nobody but g3 may ask, and nobody may ping.
        change.group(b, "only-g3", f"100 deny tcp from {','.join(G1.ips)}", f"200 permit tcp from {G3.ip4},{G3.ip6} to any port 80")
        change.bind(b, G2.name, "in", 1, "only-g3")
        refused_to_g2(world, "g1")
        web.guest_refused(g1, G2.ip6)
        unreachable(g1, G2.ip4)
        unreachable(g3, G2.ip6)
        for addr in G2.ips:
            web.guest_asks(g3, addr)
            web.guest_asks(g2, G1.ip4)  # what g2 opens itself is answered
        denied_in = drops(b, G2.name, "acl_in") - before_in
        need(denied_in >= 6, f"card b counted {denied_in} packets in acl_in of {G2.name}, and more were sent")
        # At the sender: g1 may ping, and open nothing else.
        change.group(a, "ping-only", "100 permit icmp,icmp6")
        change.bind(a, G1.name, "out", 3, "ping-only")
        b.ctl("sg", "set", "only-g3", *rule_args(["100 permit any"]))
        for addr in G2.ips:
            ping(g1, addr)
            web.guest_refused(g1, addr)
        refused_to_g2(world, "g1")
        web.guest_asks(g2, G1.ip4)  # g1's answers leave
        denied_out = drops(a, G1.name, "acl_out") - before_out
        need(denied_out >= 3, f"card a counted {denied_out} packets in acl_out of {G1.name}, and more were sent")
        return denied_in + denied_out


def poll(ready, seconds, text):
    until = time.monotonic() + seconds
    while not ready():
        need(time.monotonic() < until, text)
        time.sleep(0.1)


class Transfer:
    """A long transfer from g1 to g2, which ends with the changes."""

    def __init__(self, change, world, port):
        g1, self.g2 = world.guests["g1"], world.guests["g2"]
        self.port = port
        self.server = self._start(change, self.g2, "-s -1")
        poll(lambda: self.g2.run(f"ss -Htln 'sport = :{port}'").strip(), 20, f"g2's iperf3 does not listen on port {port}")
        self._start(change, g1, f"-c {G2.ip4} -t 300")
        poll(lambda: self.received() > 1 << 18, 30, f"the transfer to port {port} does not start")

    def _start(self, change, guest, args):
        pid = guest.run(f"iperf3 {args} -p {self.port} >/tmp/iperf3-{self.port}.log 2>&1 & echo $!").strip()
        change.at_end(guest.call, f"kill -9 {pid}")
        return pid

    def received(self):
        """What the server has read so far."""
        return int(self.g2.run(f"grep rchar /proc/{self.server}/io").split()[1])


def stops(transfer, other, began):
    """Waits until a transfer receives nothing more while the other one does.

    Returns between which two times its last bytes came, in seconds after 'began': looking takes a while, on a busy machine most of a second.
    """
    quiet, at = 1.5, transfer.received()
    earliest, latest, other_at = began, time.monotonic(), other.received()
    looked = began
    while True:
        look, n = time.monotonic(), transfer.received()
        now, goes_on = time.monotonic(), other.received()
        if n != at:
            at, other_at, earliest, latest = n, goes_on, looked, now
        elif look - latest > quiet and goes_on > other_at + (1 << 18):
            return earliest - began, latest - began
        looked = look
        need(now - began < 30, f"30 s after the change: port {transfer.port} received until {latest - began:.1f} s after it, "
                               f"port {other.port}, which is permitted, {goes_on - other_at} bytes since then")


@check("sg_live_change", "s", "a rule is taken away from a running transfer, at either end: it stops, the one beside it goes on")
def sg_live_change(world):
    a, b = world.cards["a"], world.cards["b"]
    took = []
    for card, eni, direction in ((b, G2, "in"), (a, G1, "out")):
        reason = f"acl_{direction}"
        with changes() as change:
            change.group(card, "live", f"100 permit tcp from any to any port {PORTS[0]}", f"110 permit tcp from any to any port {PORTS[1]}")
            change.bind(card, eni.name, direction, 1, "live")
            ended, other = (Transfer(change, world, port) for port in PORTS)
            before, began = drops(card, eni.name, reason), time.monotonic()
            card.ctl("sg", "set", "live", *rule_args([f"110 permit tcp from any to any port {PORTS[1]}"]))
            took.append(stops(ended, other, began))
            need(drops(card, eni.name, reason) > before, f"card {card.name} counted nothing in {reason} of {eni.name}")
    (in_least, in_most), (out_least, out_most) = took
    need(max(in_least, out_least) <= 2, f"the transfer went on after the change for {in_most:.1f} s (rule at the receiver), {out_most:.1f} s (at the sender)")
    return round(max(in_most, out_most), 2)


class Listener:
    """Takes one connection, or one datagram, at a port of a guest, keeps what it says and answers it."""

    def __init__(self, change, guest, port, answer="", udp=False):
        self.guest, self.got = guest, f"/tmp/got-{port}"
        self.guest.run(f": > {self.got}")
        say = f"echo {answer}" if answer else "true"
        do = f"cat > {self.got}; {say}" if udp else f"{say}; cat > {self.got}"
        pid = guest.run(f"socat -t 5 {'UDP4-RECVFROM' if udp else 'TCP4-LISTEN'}:{port},reuseaddr SYSTEM:'{do}' >/dev/null 2>&1 & echo $!").strip()
        change.at_end(guest.call, f"kill {pid}; rm -f {self.got}")
        listens = f"ss -Han{'u' if udp else 'lt'} 'sport = :{port}'"
        poll(lambda: guest.run(listens).strip(), 10, f"{guest.name}: nobody listens on port {port}")

    def heard(self):
        return self.guest.run(f"cat {self.got}").strip()


def says(guest, text, addr, port, udp=False):
    """Sends a word and returns what comes back within two seconds."""
    to = f"UDP4:{addr}:{port}" if udp else f"TCP4:{addr}:{port},connect-timeout=2"
    return guest.call(f"echo {text} | socat -t 2 - {to} 2>/dev/null", timeout=15)[1].strip()


@check("sg_second_connection", "", "FTP's two ways and UDP under default deny: what the client opens is answered, what the server opens needs a rule")
def sg_second_connection(world):
    a, (g1, g2) = world.cards["a"], (world.guests[n] for n in ("g1", "g2"))
    with changes() as change:
        change.default(a, G1.name, "in", "deny")
        control = Listener(change, g2, 21)
        pid = g1.run(f"(echo USER; sleep 60) | socat - TCP4:{G2.ip4}:21 >/dev/null 2>&1 & echo $!").strip()
        change.at_end(g1.call, f"kill {pid}")
        poll(lambda: control.heard() == "USER", 10, "the control connection does not come up")
        # Passive: the client opens the second connection, too.
        Listener(change, g2, 20200, answer="passive")
        got = says(g1, "LIST", G2.ip4, 20200)
        need(got == "passive", f"a second connection that the client opens is not answered: {got!r}")
        # Active: the server opens it, which only a rule permits.
        data, before = Listener(change, g1, 20100), drops(a, G1.name, "acl_in")
        says(g2, "active", G1.ip4, 20100)
        need(data.heard() == "", "a connection that the server opens passes without a rule")
        need(drops(a, G1.name, "acl_in") > before, f"card a counted nothing in acl_in of {G1.name}")
        change.group(a, "ftp-data", f"100 permit tcp from {G2.ip4} to any port 20100")
        change.bind(a, G1.name, "in", 1, "ftp-data")
        says(g2, "active", G1.ip4, 20100)
        need(data.heard() == "active", f"a connection that the server opens does not pass with a rule: {data.heard()!r}")
        # UDP: an answer to what was asked passes, a question does not.
        asked = Listener(change, g2, 5300, answer="pong", udp=True)
        got = says(g1, "ping", G2.ip4, 5300, udp=True)
        need(asked.heard() == "ping" and got == "pong", f"UDP: g2 heard {asked.heard()!r}, g1 {got!r}")
        asked, before = Listener(change, g1, 5301, udp=True), drops(a, G1.name, "acl_in")
        says(g2, "hello", G1.ip4, 5301, udp=True)
        need(asked.heard() == "" and drops(a, G1.name, "acl_in") > before, f"UDP that nobody asked for is not denied: {asked.heard()!r}")
