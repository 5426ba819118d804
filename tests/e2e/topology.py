# SPDX-License-Identifier: BSD-3-Clause
"""What the lab is made of, as data: networks, endpoints, addresses. README.md has the picture."""
from dataclasses import dataclass


def bare(addr):
    """An address without its prefix length."""
    return addr.split("/")[0]


@dataclass(frozen=True)
class Vnet:
    name: str
    vni: int
    encap: str
    underlay: int  # IP version that its tunnels run over
    net4: str
    net6: str

    def addrs(self, host):
        return [f"{self.net4}.{host}/24", f"{self.net6}::{host}/64"]

    def routes(self):
        return [f"{self.net4}.0/24", f"{self.net6}::/64"]

    def routers(self):
        return [f"{self.net4}.1", "fe80::1"]


# The same addresses in red and in green: only the VNI keeps them apart.
RED = Vnet("red", 100, "vxlan", 4, "10.1.0", "2001:db8:1")
BLUE = Vnet("blue", 200, "geneve", 6, "10.2.0", "2001:db8:2")
GREEN = Vnet("green", 300, "vxlan", 4, "10.1.0", "2001:db8:1")
VNETS = (RED, BLUE, GREEN)

# Fits an underlay of 1500 bytes with each encapsulation: Geneve over IPv6 with an option takes 78.
ENI_MTU = 1400
# An option of the experimental range, sent with each packet and required of each packet that comes in.
GENEVE_OPTION = "0xff01:0x01:0000002a"


class Addressed:
    """Has addresses with prefix lengths, IPv4 first; here without them."""

    @property
    def ips(self):
        return [bare(addr) for addr in self.addrs]

    @property
    def ip4(self):
        return self.ips[0]

    @property
    def ip6(self):
        return self.ips[1]


@dataclass(frozen=True)
class Endpoint(Addressed):
    guest: str
    card: str
    vnet: Vnet
    host: int
    transport: str = "vfio-user"
    queues: int = 2
    packed: bool = False
    late: bool = False  # added at run time by a check

    @property
    def name(self):
        return f"{self.guest}-{self.vnet.name}" + ("-hot" if self.late else "")

    @property
    def mac(self):
        # Red and green share a MAC space, too.
        space = RED.vni if self.vnet is GREEN else self.vnet.vni
        return f"02:0b:00:00:{space & 0xff:02x}:{self.host:02x}"

    @property
    def addrs(self):
        return self.vnet.addrs(self.host)


ENDPOINTS = (
    Endpoint("g1", "a", RED, 11),
    Endpoint("g1", "a", BLUE, 11),
    Endpoint("g2", "b", RED, 12),
    Endpoint("g2", "b", BLUE, 12, packed=True),
    Endpoint("g3", "a", RED, 13, transport="vhost-user"),
    Endpoint("g4", "b", GREEN, 12, queues=1),
    Endpoint("g1", "a", RED, 14, late=True),
)

CARDS = {"a": ["192.0.2.1/24", "2001:db8::1/64"], "b": ["192.0.2.2/24", "2001:db8::2/64"]}
# One card hands packets from worker to worker, the other has no need to.
WORKERS = {"a": 1, "b": 2}


@dataclass(frozen=True)
class Peer(Addressed):
    """A kernel VXLAN device in red, on a Linux box on the same wire."""
    dev: str
    version: int  # of IP, between it and the cards
    underlay: str
    host: int

    @property
    def tunnel(self):
        return f"tk-vxlan{self.version}"

    @property
    def mac(self):
        return f"02:0b:00:00:{RED.vni:02x}:{self.host:02x}"

    @property
    def addrs(self):
        return RED.addrs(self.host)


PEERS = (Peer("vx4", 4, "192.0.2.3/24", 20), Peer("vx6", 6, "2001:db8::3/64", 21))
# The outside: a Linux box is the gateway of VNET "internet", and has a network with a web server behind it.
INTERNET_VNI = 400
GATEWAY_UNDERLAY = "192.0.2.4/24"
GATEWAY, GATEWAY_MAC = "198.51.100.1/24", "02:0b:00:00:90:01"
OUTSIDE_NET, OUTSIDE_ROUTER, OUTSIDE_SERVER = "203.0.113.0/24", "203.0.113.1/24", "203.0.113.80/24"
# Public addresses that a card's NAT may give out, and the MAC it has there: two cards must not share one.
PUBLIC = {"a": ("198.51.100.16", "02:0b:00:00:90:0a"), "b": ("198.51.100.24", "02:0b:00:00:90:0b")}
FLOATING = "198.51.100.40"

# An address of the kernel peer that no card has a tunnel with.
STRANGER = "192.0.2.66/24"


def underlay_ip(card, version):
    return next(bare(a) for a in CARDS[card] if (":" in a) == (version == 6))


def endpoints(card=None, guest=None):
    return [e for e in ENDPOINTS if card in (None, e.card) and guest in (None, e.guest)]


def endpoint(name):
    return next(e for e in ENDPOINTS if e.name == name)
