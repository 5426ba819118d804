#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpora of the fuzz targets nat (operations) and nat-packet (one packet of each kind for each rewrite).

usage: tests/fuzz/nat_seeds.py   (writes into corpus/ beside it)
"""
import os
import struct

from packet_seeds import HERE, addr, csum, ip, l4sum, udp

GUEST4, PUBLIC, REMOTE4 = '10.0.0.10', '203.0.113.5', '198.51.100.1'
GUEST6, REMOTE6 = '2001:db8::a', '64:ff9b::c633:6401'
REWRITE4, ERROR4, TO4, TO6, ERROR_TO4, ERROR_TO6 = range(6)
MEND_L4, PARTIAL, NO_ROOM, MEND_IN = 1, 2, 4, 8


def write(target, name, b):
    os.makedirs(os.path.join(HERE, 'corpus', target), exist_ok=True)
    with open(os.path.join(HERE, 'corpus', target, name), 'wb') as f:
        f.write(b)


def tcp(src, dst, data):
    b = struct.pack('!HHIIBBHHH', 40000, 80, 1, 2, 0x50, 0x18, 500, 0, 0) + data
    return l4sum(src, dst, 6, b, 16)


def icmp(kind, code, word, data):
    b = struct.pack('!BBHI', kind, code, 0, word) + data
    return b[:2] + struct.pack('!H', csum(b)) + b[4:]


def icmp6(src, dst, kind, code, word, data):
    return l4sum(src, dst, 58, struct.pack('!BBHI', kind, code, 0, word) + data, 2)


def pkt(what, flags, name, kind_and_bytes):
    head = struct.pack('!BB', what, flags) + addr(PUBLIC) + addr(REMOTE4) + struct.pack('!HH', 1024, 80)
    write('nat-packet', name, head + kind_and_bytes[1])


def packets():
    data = bytes(range(23))
    v4 = {'tcp': (6, tcp(GUEST4, REMOTE4, data)), 'udp': (17, udp(GUEST4, REMOTE4, 5000, 53, data)),
          'echo': (1, icmp(8, 0, 0x12340001, data)), 'gre': (47, data), 'udplite': (136, data),
          'udp-none': (17, struct.pack('!HHHH', 53, 5000, 8 + len(data), 0) + data)}
    v6 = {'tcp': (6, tcp(GUEST6, REMOTE6, data)), 'udp': (17, udp(GUEST6, REMOTE6, 5000, 53, data)),
          'echo': (58, icmp6(GUEST6, REMOTE6, 128, 0, 0x12340001, data)), 'gre': (47, data), 'dccp': (33, data)}
    for name, (proto, b) in v4.items():
        for flags in 0, MEND_L4, PARTIAL:
            pkt(REWRITE4, flags, f'4-{name}-{flags}', ip(GUEST4, REMOTE4, proto, b))
            pkt(TO6, flags, f'to6-{name}-{flags}', ip(REMOTE4, PUBLIC, proto, b, df=False))
        for frag in 0x2000, 0x2003, 5:
            pkt(REWRITE4, 0, f'4-{name}-frag{frag}', ip(GUEST4, REMOTE4, proto, b, df=False, frag=frag))
            pkt(TO6, 0, f'to6-{name}-frag{frag}', ip(REMOTE4, PUBLIC, proto, b, df=False, frag=frag))
    pkt(TO6, MEND_L4, 'to6-options', ip(REMOTE4, PUBLIC, *v4['udp'], opts=b'\x01\x83\x07\x08\x01\x02\x03\x04'))
    pkt(TO6, NO_ROOM, 'to6-no-room', ip(REMOTE4, PUBLIC, *v4['udp']))
    for name, (proto, b) in v6.items():
        for flags in 0, MEND_L4, PARTIAL:
            pkt(TO4, flags, f'to4-{name}-{flags}', ip(GUEST6, REMOTE6, proto, b))
        for frag in 0, 1, 0x68:
            ext = struct.pack('!BBHI', proto, 0, frag, 0x89abcdef)
            pkt(TO4, 0, f'to4-{name}-frag{frag}', ip(GUEST6, REMOTE6, proto, b, ext=ext, ext_kind=44))
        hop = struct.pack('!BBBB4x', proto, 0, 1, 4)
        pkt(TO4, MEND_L4, f'to4-{name}-hop', ip(GUEST6, REMOTE6, proto, b, ext=hop, ext_kind=0))
    for name, (proto, b) in v4.items():
        inside = ip(PUBLIC, REMOTE4, proto, b)[1]
        for kind, code, word in (3, 4, 1300), (11, 0, 0), (12, 0, 8 << 24), (3, 3, 0):
            error = ip('192.0.2.77', PUBLIC, 1, icmp(kind, code, word, inside))
            pkt(ERROR4, MEND_IN | MEND_L4, f'error4-{name}-{kind}-{code}', error)
            pkt(ERROR_TO6, MEND_IN | MEND_L4, f'error6-{name}-{kind}-{code}', error)
    for name, (proto, b) in v6.items():
        inside = ip(REMOTE6, GUEST6, proto, b)[1]
        for kind, code, word in (1, 4, 0), (2, 0, 1400), (3, 0, 0), (4, 0, 6):
            error = ip(GUEST6, REMOTE6, 58, icmp6(GUEST6, REMOTE6, kind, code, word, inside))
            pkt(ERROR_TO4, MEND_IN | MEND_L4, f'error-to4-{name}-{kind}-{code}', error)


def operations():
    pools = bytes([0, 0, 0x24, 0, 1, 0x02, 1, 1, 0, 17, 1, 0, 33, 1, 1])
    opens = b''.join(bytes([9, a, b]) for a in range(0, 96, 2) for b in (0, 1, 66))
    closes = b''.join(bytes([5, i]) for i in range(0, 140, 3))
    write('nat', 'open-close', pools + opens + bytes([8]) + closes + bytes([8]))
    write('nat', 'restart', pools + opens[:90] + bytes([4]) + opens[90:180] + closes)
    write('nat', 'fip', pools + bytes([2, 0, 2, 5, 2, 0x2a]) + opens[:60] + bytes([2, 0x80, 2, 0x85]) + opens)
    write('nat', 'pool-goes', pools + opens[:120] + bytes([0, 0, 0x25, 0, 0, 0x2d, 8, 0, 0, 0x24, 3, 19]) + opens)
    write('nat', 'full', bytes([0, 0, 0xc0, 1, 1, 0]) + bytes([9, 0, 0]) * 300)


packets()
operations()
