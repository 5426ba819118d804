# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces of a lab, and the wire between them: one bridge, one veth pair per peer."""
import os

from proc import LabError, run

WIRE_MTU = 1500


class Netns:
    """A named network namespace. Its devices have fixed names, as no other lab can see them."""

    def __init__(self, name):
        self.name = name

    def create(self):
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def delete(self):
        delete(self.name)

    def ip(self, *args, check=True):
        return run("ip", "-n", self.name, *args, check=check)

    def run(self, *argv, check=True, timeout=60, stdin=None):
        return run(*self.enter(argv), check=check, timeout=timeout, stdin=stdin)

    def enter(self, argv):
        # Not "ip netns exec": that would also give the program a mount namespace of its own.
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *[str(a) for a in argv]]

    def no_ipv6(self, dev):
        """The kernel itself must say nothing on this device."""
        self.sysctl(f"net/ipv6/conf/{dev}/disable_ipv6", 1)

    def sysctl(self, key, value):
        self.run("sh", "-c", f"echo {value} > /proc/sys/{key}")


def exists(name):
    return os.path.exists(f"/run/netns/{name}")


def delete(name):
    if exists(name):
        run("ip", "netns", "del", name, check=False)


class Wire(Netns):
    """The cable between cards: a bridge that nobody has an address on."""

    BRIDGE = "wire"
    cards = 0

    def create(self):
        super().create()
        self.ip("link", "add", "name", self.BRIDGE, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
        self.no_ipv6(self.BRIDGE)
        # Where the bridge netfilter module is loaded, it would reassemble and filter what is ours.
        self.run("sh", "-c", "cd /proc/sys/net/bridge 2>/dev/null && for f in bridge-nf-call-*; do echo 0 > $f; done", check=False)
        self.ip("link", "set", self.BRIDGE, "mtu", WIRE_MTU, "up")

    def port(self, name, peer_ns=None):
        """Adds a veth pair and returns its far end's name ('peer' + name): for a card in this namespace, for others in theirs."""
        end, port = f"to-{name}", f"br-{name}"
        if peer_ns is None:
            # DPDK 22.11's net_af_packet names its fanout group "process id XOR interface index", and two cards that get the same
            # name cannot both start. Indices that differ in a high bit keep neighbouring process ids apart.
            self.cards += 1
            self.ip("link", "add", "name", end, "index", str(self.cards << 12), "type", "veth", "peer", "name", port)
        else:
            self.ip("link", "add", "name", port, "type", "veth", "peer", "name", end, "netns", peer_ns.name)
        self.no_ipv6(port)
        home = peer_ns or self
        if peer_ns is None:
            self.no_ipv6(end)
        # A raw socket reads what the sender left for hardware to finish: let nobody leave anything.
        for ns, dev in ((self, port), (home, end)):
            for feature in ("tx", "tso", "gso", "gro"):
                ns.run("ethtool", "-K", dev, feature, "off", check=False)
            ns.ip("link", "set", dev, "mtu", WIRE_MTU, "up")
        self.ip("link", "set", port, "master", self.BRIDGE)
        return end


def check_kernel():
    """Says what of the kernel is missing, before anything is set up."""
    name = f"ob-probe-{os.getpid()}"
    ns = Netns(name)
    try:
        ns.create()
        for kind in (["bridge"], ["veth", "peer", "name", "y"], ["vxlan", "id", "1", "dstport", "4789", "dev", "lo"]):
            ns.ip("link", "add", "name", "x", "type", *kind)
            ns.ip("link", "del", "x")
    except LabError as err:
        raise LabError(f"this kernel cannot carry the lab: {err}") from None
    finally:
        ns.delete()
    if not os.path.exists("/dev/net/tun"):
        raise LabError("this kernel cannot carry the lab: no /dev/net/tun (modprobe tun)")
