# SPDX-License-Identifier: BSD-3-Clause
"""Traces: conversations between a client and a server through a router, as text that people can read, made into packets.

    trace NAME [v6] [loose] [liberal] [isn=CLIENT:SERVER]
    > S ws=7                  a packet of the client; TCP by its flags: S A F R P U, or 'none'
    < SA win=500              a packet of the server
    > A len=100 seq=1 ack=1   numbers are relative to each end's first; without them what a sane sender would use;
                              seq=+5, ack=-1: off that by so much. win= is the field of the header, before scaling
    > S isn=7000              the sender begins at another number
    > udp len=10              > icmp echo id=1        > icmp reply id=1     > ip proto=47 len=20
    < icmp unreach code=3 of=1 bytes=28               an error about packet 1 of this trace, carrying 28 bytes of it
    > sctp init               chunks, joined by '+'
    wait 2                    so many units of time pass (how long a unit is, each side says)

Any packet: sport= dport= ttl= cksum=bad cut=N (bytes taken off its end, lengths put right)
            ipid=7 frag=OFFSET:LENGTH[:more]          only this part of the datagram's payload
            from=router                               sent by a router behind this end (ICMP errors)
"""
import ipaddress
import struct
import zlib

TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128}
ICMP4 = {"echo": (8, 0), "reply": (0, 0), "unreach": (3, 1), "quench": (4, 0), "redirect": (5, 1), "exceeded": (11, 0),
         "parameter": (12, 0), "timestamp": (13, 0), "timestamp_reply": (14, 0), "unknown": (42, 0)}
ICMP6 = {"echo": (128, 0), "reply": (129, 0), "unreach": (1, 1), "toobig": (2, 0), "exceeded": (3, 0), "parameter": (4, 0),
         "unknown": (160, 0)}
ICMP_QUERY = ("echo", "reply", "timestamp", "timestamp_reply", "unknown")
SCTP = {"data": 0, "init": 1, "init_ack": 2, "sack": 3, "heartbeat": 4, "heartbeat_ack": 5, "abort": 6, "shutdown": 7,
        "shutdown_ack": 8, "error": 9, "cookie_echo": 10, "cookie_ack": 11, "shutdown_complete": 14}
MASK = 0xFFFFFFFF


class TraceError(Exception):
    """What is wrong with a trace's text, and where."""


class Packet:
    """'data' is the IP packet; 'at' when it is sent, in units; 'datagram' what joins the fragments of one, or None,
    and 'part' which one this is: (offset, length, more)."""

    def __init__(self, direction, data, at, text, datagram, part):
        self.direction, self.data, self.at, self.text, self.datagram, self.part = direction, data, at, text, datagram, part


class Trace:
    def __init__(self, name, options, lines, where):
        self.name, self.options, self.lines, self.where = name, options, lines, where
        self.packets = []

    @property
    def timed(self):
        return any(line.startswith("wait") for line in self.lines)


def parse(text, where):
    traces = []
    for n, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        if line.startswith("trace "):
            words = line.split()
            traces.append(Trace(words[1], dict(w.partition("=")[::2] for w in words[2:]), [], f"{where}:{n}"))
        elif not traces or line.split()[0] not in ("<", ">", "wait"):
            raise TraceError(f"{where}:{n}: not understood: {line}")
        else:
            traces[-1].lines.append(line)
    return traces


def checksum(data, start=0):
    if len(data) % 2:
        data += b"\0"
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    crc = MASK
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ MASK


class End:
    """One end of a conversation: its address and ports, and where its TCP is."""

    def __init__(self, address, router, port, isn):
        self.address, self.router, self.port, self.isn = address, router, port, isn
        self.nxt = 0  # relative to isn


class Builder:
    """Makes the packets of a trace. Each trace has addresses of its own, so that traces do not meet in the tables."""

    def __init__(self, trace, index):
        self.trace, self.v6 = trace, "v6" in trace.options
        seed = zlib.crc32(trace.name.encode())
        isns = trace.options.get("isn", f"{seed}:{seed * 2654435761 & MASK}").split(":")
        self.ends = {">": self._end("1", index, 40000 + seed % 10000, isns[0]), "<": self._end("2", index, 80, isns[1])}
        self.at = 0

    def _end(self, net, index, port, isn):
        if self.v6:
            address, router = f"fd0{net}::1:{index + 1:x}", f"fd0{net}::ff"
        else:
            address, router = f"10.{net}.{(index + 1) >> 8}.{(index + 1) & 255}", f"10.{net}.254.1"
        return End(ipaddress.ip_address(address).packed, ipaddress.ip_address(router).packed, port, int(isn, 0) & MASK)

    def build(self):
        for line in self.trace.lines:
            words = line.split()
            if words[0] == "wait":
                self.at += int(words[1])
                continue
            try:
                self._packet(line, words)
            except (ValueError, KeyError, IndexError, struct.error) as err:
                raise TraceError(f"{self.trace.where}: {line}: {err!r}") from None

    def _maker(self, kind):
        return {"udp": self._udp, "icmp": self._icmp, "sctp": self._sctp, "ip": self._other}.get(kind, self._tcp)

    def _packet(self, line, words):
        direction, kind = words[0], words[1]
        args = dict(w.partition("=")[::2] for w in words[2:] if "=" in w)
        bare = [w for w in words[2:] if "=" not in w]
        me, peer = self.ends[direction], self.ends["<" if direction == ">" else ">"]
        src = me.router if args.pop("from", None) == "router" else me.address
        proto, body, sum_at = self._maker(kind)(kind, bare, args, me, peer)
        if "cut" in args:
            body = body[:-int(args["cut"])]
        if sum_at is not None and len(body) >= sum_at + 2:
            body = self._sum(proto, body, sum_at, src, peer.address, args.get("cksum"))
        data = self._ip(proto, body, src, peer.address, args)
        datagram = (direction, args["ipid"]) if "frag" in args else None
        self.trace.packets.append(Packet(direction, data, self.at, line, datagram, self._part(args)))

    def _sum(self, proto, body, at, src, dst, wanted):
        pseudo = b"" if proto == 1 else src + dst + struct.pack("!IHH", len(body), 0, proto)
        value = {"bad": 0xDEAD, "none": 0}.get(wanted) if wanted else checksum(pseudo + body) or 0xFFFF
        return body[:at] + struct.pack("!H", value) + body[at + 2:]

    def _ip(self, proto, body, src, dst, args):
        ttl, ident = int(args.get("ttl", 64)), int(args.get("ipid", "0"), 0)
        off, length, more = self._part(args) or (0, len(body), False)
        body = body[off:off + length]
        if self.v6:
            if "frag" in args:
                body = struct.pack("!BBHI", proto, 0, off | more, ident) + body
                proto = 44
            return struct.pack("!IHBB", 6 << 28, len(body), proto, ttl) + src + dst + body
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident, more << 13 | off >> 3, ttl, proto, 0) + src + dst
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body

    @staticmethod
    def _part(args):
        if "frag" not in args:
            return None
        part = args["frag"].split(":")
        return int(part[0]), int(part[1]), len(part) > 2

    @staticmethod
    def _ports(args, me, peer):
        return int(args.get("sport", me.port)), int(args.get("dport", peer.port))

    @staticmethod
    def _number(args, key, base):
        text = args.get(key)
        if text is None:
            return base
        return base + int(text, 0) if text[0] in "+-" else int(text, 0)

    def _tcp(self, kind, _bare, args, me, peer):
        flags = 0 if kind == "none" else sum(TCP_FLAGS[f] for f in kind)
        length = int(args.get("len", 0))
        if "isn" in args:
            me.isn, me.nxt = int(args["isn"], 0) & MASK, 0
        elif flags & 2 and "seq" not in args:
            me.nxt = 0  # the same SYN again
        seq = self._number(args, "seq", me.nxt)
        ack = self._number(args, "ack", peer.nxt)
        if "seq" not in args:
            me.nxt = seq + length + (flags >> 1 & 1) + (flags & 1)
        options = b""
        if "mss" in args:
            options += struct.pack("!BBH", 2, 4, int(args["mss"]))
        if "ws" in args:
            options += struct.pack("!BBBB", 1, 3, 3, int(args["ws"]))
        if "sackok" in args:
            options += b"\1\1\4\2"
        if "sack" in args:
            left, right = (int(x) for x in args["sack"].split(":"))
            options += struct.pack("!BBBBII", 1, 1, 5, 10, peer.isn + left & MASK, peer.isn + right & MASK)
        doff = int(args.get("doff", 5 + len(options) // 4))
        sport, dport = self._ports(args, me, peer)
        number = peer.isn + ack & MASK if flags & 16 or "ack" in args else 0
        head = struct.pack("!HHIIBBHHH", sport, dport, me.isn + seq & MASK, number, doff << 4, flags, int(args.get("win", 1000)),
                           0, int(args.get("urg", 0)))
        return 6, head + options + b"d" * length, 16

    def _udp(self, _kind, _bare, args, me, peer):
        length = int(args.get("len", 10))
        sport, dport = self._ports(args, me, peer)
        return 17, struct.pack("!HHHH", sport, dport, int(args.get("ulen", 8 + length)), 0) + b"d" * length, \
            None if args.get("cksum") == "none" else 6

    def _icmp(self, _kind, bare, args, _me, _peer):
        names = ICMP6 if self.v6 else ICMP4
        kind, code = names[bare[0]]
        code = int(args.get("code", code))
        if "type" in args:
            kind = int(args["type"])
        if bare[0] in ICMP_QUERY:
            rest = struct.pack("!HH", int(args.get("id", 1)), int(args.get("seq", 1))) + b"d" * int(args.get("len", 8))
        else:
            about = self.trace.packets[int(args["of"]) - 1].data
            at = int(args.get("patch", "-1:0").split(":")[0])
            if at >= 0:
                patch = bytes.fromhex(args["patch"].split(":")[1])
                about = about[:at] + patch + about[at + len(patch):]
            rest = struct.pack("!I", int(args.get("mtu", 0))) + about[:int(args.get("bytes", 48 if self.v6 else 28))]
        return 58 if self.v6 else 1, struct.pack("!BBH", kind, code, 0) + rest, 2

    def _sctp(self, _kind, bare, args, me, peer):
        sport, dport = self._ports(args, me, peer)
        # Each end's own tag; packets carry the other's (0: INIT).
        tags = {id(me): me.isn | 1, id(peer): peer.isn | 1}
        chunks = b""
        for name in bare[0].split("+"):
            body = b"d" * 12
            if name in ("init", "init_ack"):
                body = struct.pack("!IIHHI", int(args["itag"], 0) if "itag" in args else tags[id(me)], 65536, 1, 1, 1)
            elif name in ("shutdown", "cookie_echo"):
                body = b"cook"
            elif name in ("cookie_ack", "shutdown_ack", "shutdown_complete"):
                body = b""
            chunks += struct.pack("!BBH", SCTP[name], 0, int(args.get("clen", 4 + len(body)))) + body
        tag = 0 if bare[0] == "init" else tags[id(peer)]
        head = struct.pack("!HHI", sport, dport, int(args["vtag"], 0) if "vtag" in args else tag)
        crc = 0xDEADBEEF if args.get("cksum") == "bad" else crc32c(head + b"\0\0\0\0" + chunks)
        return 132, head + struct.pack("<I", crc) + chunks, None

    def _other(self, _kind, _bare, args, _me, _peer):
        return int(args["proto"]), b"\0" * int(args.get("len", 20)), None
