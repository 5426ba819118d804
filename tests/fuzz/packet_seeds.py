#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpora of the fuzz targets decap and guest-packet: one valid packet of each kind.

usage: tests/fuzz/packet_seeds.py   (writes into corpus/ beside it)
"""
import ipaddress
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CARD, PEER = bytes.fromhex('020000000001'), bytes.fromhex('020000000002')
A, B, FAR, ROUTER, ALL = (bytes.fromhex(x) for x in ('02000000010a', '02000000010b', '020000000109', '026f62000001', 'ff' * 6))


def csum(b):
    b += b'\0' * (len(b) % 2)
    s = sum(struct.unpack(f'!{len(b) // 2}H', b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def addr(a):
    return ipaddress.ip_address(a).packed


def eth(dst, src, kind, payload):
    return dst + src + struct.pack('!H', kind) + payload


def ip(src, dst, proto, payload, ttl=64, df=True, frag=0, ext=b'', ext_kind=0, tos=0, opts=b''):
    s, d = addr(src), addr(dst)
    if len(s) == 4:
        head = struct.pack('!BBHHHBBH', 0x45 + len(opts) // 4, tos, 20 + len(opts) + len(payload), 7,
                           (0x4000 if df else 0) | frag, ttl, proto, 0) + s + d + opts
        return 0x0800, head[:10] + struct.pack('!H', csum(head)) + head[12:] + payload
    return 0x86dd, struct.pack('!IHBB', 6 << 28 | tos << 20, len(ext) + len(payload), ext_kind if ext else proto,
                               ttl) + s + d + ext + payload


def l4sum(src, dst, proto, b, at):
    ph = addr(src) + addr(dst) + struct.pack('!IHBB', len(b), 0, 0, proto)
    return b[:at] + struct.pack('!H', csum(ph + b) or 0xffff) + b[at + 2:]


def udp(src, dst, sport, dport, data):
    return l4sum(src, dst, 17, struct.pack('!HHHH', sport, dport, 8 + len(data), 0) + data, 6)


def frame(dmac, smac, src, dst, proto, payload, **kw):
    kind, b = ip(src, dst, proto, payload, **kw)
    return eth(dmac, smac, kind, b)


def udp_frame(dmac, smac, src, dst, sport, dport, data, **kw):
    return frame(dmac, smac, src, dst, 17, udp(src, dst, sport, dport, data), **kw)


def tcp_frame(dmac, smac, src, dst, n, **kw):
    b = struct.pack('!HHIIHHHH', 5000, 80, 1, 2, 0x5018, 1024, 0, 0) + bytes(n)
    return frame(dmac, smac, src, dst, 6, l4sum(src, dst, 6, b, 16), **kw)


def arp(dmac, smac, op, sip, tip):
    return eth(dmac, smac, 0x0806, struct.pack('!HHBBH', 1, 0x800, 6, 4, op) + smac + addr(sip) + bytes(6) + addr(tip))


def icmp6(dmac, smac, src, dst, body, ttl=255):
    return frame(dmac, smac, src, dst, 58, l4sum(src, dst, 58, body, 2), ttl=ttl)


def ns(smac, src, target):
    return icmp6(bytes.fromhex('3333ff000001'), smac, src, 'ff02::1:ff00:1',
                 struct.pack('!BBHI', 135, 0, 0, 0) + addr(target) + b'\1\1' + smac)


def icmp4(dmac, smac, src, dst, data):
    b = struct.pack('!BBHI', 8, 0, 0, 0x12340001) + data
    return frame(dmac, smac, src, dst, 1, b[:2] + struct.pack('!H', csum(b)) + b[4:])


def dhcp4(kind, opts=b'', src='0.0.0.0', dst='255.255.255.255', ciaddr='0.0.0.0'):
    b = struct.pack('!BBBBIHH', 1, 1, 6, 0, 0xdeadbeef, 0, 0) + addr(ciaddr) + bytes(12) + A + bytes(202)
    b += bytes.fromhex('63825363') + bytes([53, 1, kind]) + opts + b'\xff'
    return udp_frame(ALL if dst == '255.255.255.255' else ROUTER, A, src, dst, 68, 67, b)


def dhcp6(kind, *opts):
    b = struct.pack('!I', kind << 24 | 0xabcdef)
    for code, data in ((1, bytes.fromhex('00030001090909090909')),) + opts:
        b += struct.pack('!HH', code, len(data)) + data
    return udp_frame(bytes.fromhex('333300010002'), A, 'fe80::1234', 'ff02::1:2', 546, 547, b)


def outer(kind, src, vni, inner, opts=b'', **kw):
    dst = '192.0.2.1' if '.' in src else '2001:db8::1'
    if kind == 'vxlan':
        head, port = struct.pack('!II', 0x08000000, vni << 8), 4789
    else:
        head, port = struct.pack('!HHI', len(opts) // 4 << 8, 0x6558, vni << 8) + opts, 6081
    return udp_frame(CARD, PEER, src, dst, 50000, port, head + inner, **kw)


def write(target, seeds):
    folder = os.path.join(HERE, 'corpus', target)
    os.makedirs(folder, exist_ok=True)
    for name, data in seeds.items():
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(data)


IA = struct.pack('!III', 7, 0, 0) + struct.pack('!HH', 5, 24) + addr('fd00::5') + struct.pack('!II', 100, 200)
SERVER = bytes.fromhex('00030001026f62000001')
V4, V6 = '198.51.100.7', '2001:db8:9::7'
OPT = bytes.fromhex('0102030109090909')
MATCH = bytes.fromhex('01028301deadbeef')


def main():
    to_a = udp_frame(A, FAR, '10.0.0.9', '10.0.0.5', 5, 6, bytes(30))
    to_a6 = udp_frame(A, FAR, 'fd00::9', 'fd00::5', 5, 6, bytes(30))
    wire = {
        'vxlan4': outer('vxlan', V4, 100, to_a), 'vxlan4-v6': outer('vxlan', V4, 100, to_a6),
        'geneve6': outer('geneve', V6, 100, to_a), 'geneve6-opts': outer('geneve', V6, 100, to_a6, OPT + OPT),
        'critical': outer('geneve', V6, 100, to_a, bytes.fromhex('01028300')),
        'fragment': outer('vxlan', V4, 100, to_a, df=False, frag=0x2000),
        'nested': outer('vxlan', V4, 100, outer('geneve', V6, 100, to_a)),
        'other-vni': outer('vxlan', V4, 200, to_a), 'tcp': outer('vxlan', V4, 100, tcp_frame(A, FAR, '10.0.0.9', '10.0.0.5', 10)),
        'arp': outer('vxlan', V4, 100, arp(ALL, FAR, 1, '10.0.0.9', '10.0.0.5')),
        'ns': outer('geneve', V6, 100, ns(FAR, 'fd00::9', 'fd00::5')),
        'kernel': udp_frame(CARD, PEER, V4, '192.0.2.1', 53, 33000, bytes(20)), 'kernel-arp': arp(ALL, PEER, 1, V4, '192.0.2.1'),
    }
    frag6 = bytes([17, 0, 0, 1, 0, 0, 0, 9])
    ect = udp_frame(A, FAR, '10.0.0.9', '10.0.0.5', 5, 6, bytes(30), tos=2)
    ect6 = udp_frame(A, FAR, 'fd00::9', 'fd00::5', 5, 6, bytes(30), tos=2)
    wire |= {
        'match': outer('geneve', V4, 100, to_a, MATCH), 'match-wrong': outer('geneve', V4, 100, to_a, MATCH[:-1] + b'\0'),
        'no-match': outer('geneve', V4, 100, to_a, OPT), 'fragment6': outer('vxlan', V6, 100, to_a, ext=frag6, ext_kind=44),
        'opts4': outer('vxlan', V4, 100, to_a, opts=bytes([1, 1, 1, 1])),
        'ce': outer('vxlan', V4, 100, ect, tos=3), 'ce6': outer('geneve', V6, 100, ect6, tos=3),
        'ce-lost': outer('vxlan', V4, 100, to_a, tos=3), 'ect1': outer('vxlan', V4, 100, ect, tos=1),
        'ext6': outer('vxlan', V4, 100, udp_frame(A, FAR, 'fd00::9', 'fd00::5', 5, 6, b'', ext=bytes([17, 0, 1, 4, 0, 0, 0, 0]))),
        'piece6': outer('vxlan', V4, 100, udp_frame(A, FAR, 'fd00::9', 'fd00::5', 5, 6, b'', ext=frag6, ext_kind=44)),
        'nested6': outer('vxlan', V4, 100, outer('vxlan', V6, 100, to_a)),
        'vlan': outer('vxlan', V4, 100, to_a[:12] + bytes.fromhex('81000005') + to_a[12:]),
        'tcp6': outer('vxlan', V4, 100, tcp_frame(A, FAR, 'fd00::9', 'fd00::5', 10)),
        'ping': outer('vxlan', V4, 100, icmp4(A, FAR, '10.0.0.9', '10.0.0.5', bytes(8))),
        'padded': outer('vxlan', V4, 100, to_a + bytes(9)) + bytes(4),
    }
    write('decap', {k: bytes([0]) + v for k, v in wire.items()} | {'chain': bytes([21]) + wire['geneve6-opts']})
    ext = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    guest = {
        'udp4': udp_frame(FAR, A, '10.0.0.5', '10.0.0.9', 5, 6, bytes(30)),
        'udp6': udp_frame(FAR, A, 'fd00::5', 'fd00::9', 5, 6, bytes(30)),
        'udp6-ext': udp_frame(FAR, A, 'fd00::5', 'fd00::9', 5, 6, bytes(30), ext=ext),
        'routed': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, bytes(30)),
        'local': tcp_frame(B, A, '10.0.0.5', '10.0.0.6', 30), 'ttl': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, b'', ttl=1),
        'too-big': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, bytes(1500)),
        'too-big6': udp_frame(ROUTER, A, 'fd00::5', 'fd01::9', 5, 6, bytes(1500)),
        'cut': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, bytes(3000), df=False),
        'piece': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, bytes(100), df=False, frag=0x2010),
        'cut-opts': udp_frame(ROUTER, A, '10.0.0.5', '10.1.0.9', 5, 6, bytes(2000), df=False,
                              opts=bytes([0x94, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0])),
        'piece6': udp_frame(FAR, A, 'fd00::5', 'fd00::9', 5, 6, bytes(30), ext=bytes([17, 0, 0, 9, 0, 0, 0, 9]), ext_kind=44),
        'ext-route': udp_frame(FAR, A, 'fd00::5', 'fd00::9', 5, 6, bytes(30), ext=bytes([17, 0, 4, 0, 0, 0, 0, 0]), ext_kind=43),
        'vlan': bytes(12).join([b'', bytes.fromhex('810000050800')]) + bytes(40),
        'ra': icmp6(ALL, A, 'fe80::1234', 'ff02::1', struct.pack('!BBHI', 134, 0, 0, 0) + bytes(8)),
        'arp': arp(ALL, A, 1, '10.0.0.5', '10.0.0.9'), 'arp-router': arp(ALL, A, 1, '10.0.0.5', '10.0.0.1'),
        'ns': ns(A, 'fd00::5', 'fd00::9'), 'ns-router': ns(A, 'fe80::1234', 'fd00::1'), 'dad': ns(A, '::', 'fd00::6'),
        'rs': icmp6(bytes.fromhex('333300000002'), A, 'fe80::1234', 'ff02::2', struct.pack('!BBHI', 133, 0, 0, 0)),
        'echo4': icmp4(ROUTER, A, '10.0.0.5', '10.0.0.1', bytes(56)),
        'echo6': icmp6(ROUTER, A, 'fd00::5', 'fd00::1', struct.pack('!BBHI', 128, 0, 0, 1) + bytes(56), 64),
        'discover': dhcp4(1), 'request': dhcp4(3, bytes([50, 4]) + addr('10.0.0.5') + bytes([54, 4]) + addr('10.0.0.1')),
        'renew': dhcp4(3, src='10.0.0.5', dst='10.0.0.1', ciaddr='10.0.0.5'), 'inform': dhcp4(8, ciaddr='10.0.0.5'),
        'solicit': dhcp6(1, (3, IA)), 'rapid': dhcp6(1, (14, b''), (3, IA)), 'request6': dhcp6(3, (2, SERVER), (3, IA)),
        'renew6': dhcp6(5, (2, SERVER), (3, IA)), 'confirm6': dhcp6(4, (3, IA)), 'info6': dhcp6(11),
    }
    seeds = {k: bytes(6) + v for k, v in guest.items()}
    seeds['gso4'] = bytes([0x20, 34, 16, 0, 4, 0]) + tcp_frame(FAR, A, '10.0.0.5', '10.0.0.9', 3000)
    seeds['gso6'] = bytes([0x20, 54, 16, 0, 4, 0]) + tcp_frame(FAR, A, 'fd00::5', 'fd00::9', 3000)
    seeds['gso-big'] = bytes([0x20, 34, 16, 0, 8, 0]) + tcp_frame(FAR, A, '10.0.0.5', '10.0.0.9', 3000)
    seeds['gso-nodf'] = bytes([0x20, 34, 16, 0, 8, 0]) + tcp_frame(FAR, A, '10.0.0.5', '10.0.0.9', 3000, df=False)
    seeds['partial'] = bytes([0x10, 34, 6, 0, 0, 0]) + guest['udp4']
    write('guest-packet', seeds)


if __name__ == '__main__':
    main()
