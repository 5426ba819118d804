#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz target 'session': gen_session.py FOLDER."""
import os
import random
import sys

PKT, TIME, ERR, HELD, CHECK = 0, 200, 226, 241, 255
TCP, UDP, ICMP, SCTP, ESP = 0, 4, 5, 6, 7
ACK, PSH, SYN, SYNACK, FIN, RST = (8 + i for i in range(6))


def tcp(flags, back=False, win=0x0f, seq=0, ack=0, how=0, six=False):
    """Client is host 1, server host 2; 'how' is read by packets that open a connection."""
    who = (2 | 1 << 2) if back else (1 | 2 << 2)
    who |= 0 if six else 1 << 5
    b = [PKT, 0, who, TCP, flags, win, seq, ack]
    return b + ([how] if flags == SYN and not back else [])


def other(proto, back=False, more=()):
    who = ((2 | 1 << 2) if back else (1 | 2 << 2)) | 1 << 5
    return [PKT, 0, who, proto | (32 if proto == ICMP and back else 0)] + list(more)


def T(seconds):
    return [TIME, 64 | seconds]


def handshake(**k):
    return tcp(SYN, win=0x2f, **k) + tcp(SYNACK, back=True, win=0x3f) + tcp(ACK)


SCTP_OPEN = other(SCTP, more=[1, 4, 0]) + other(SCTP, True, [2, 9]) + other(SCTP, more=[10, 1]) + other(SCTP, True, [11, 1])
SEEDS = {
    'open-data-close': handshake() + tcp(PSH, win=0x1f) * 3 + tcp(ACK, True) * 2 + tcp(FIN) + tcp(ACK, True)
    + tcp(FIN, True) + tcp(ACK) + [TIME, 128 | 20] + [CHECK],
    'reset': handshake() + tcp(RST, True) + tcp(ACK) + tcp(SYN) + tcp(SYN),
    'ageing-tcp': tcp(SYN) + T(25) + tcp(SYN, win=0x3f) + T(20) + tcp(SYNACK, True) + T(20) + tcp(ACK) + T(63) * 5 + tcp(PSH, True)
    + T(63) * 3 + tcp(FIN) + T(63) + tcp(ACK, True) + T(63) + tcp(FIN, True) + T(20) + tcp(ACK) + T(20) + [CHECK] + T(11) + [CHECK],
    'ageing-udp': other(UDP, more=[8]) + T(20) + other(UDP) + T(20) + other(UDP, True) + T(63) * 4 + other(UDP) + T(63) * 4
    + [CHECK] + other(UDP, True) + T(63) * 4 + [CHECK] + T(63) + [CHECK],
    'refused': tcp(SYN) + tcp(RST + 1, True) + tcp(RST, True) + tcp(SYN) + [252, CHECK],
    'restart': handshake() + other(UDP, more=[8]) + [252] + tcp(PSH, win=0x1f) + tcp(ACK, True) + [HELD, 0, 1, 252, CHECK],
    'simultaneous': tcp(SYN) + tcp(SYN, True) + tcp(SYNACK) + tcp(SYNACK, True) + tcp(ACK) + tcp(ACK, True),
    'windows': handshake() + sum((tcp(ACK, b, 0x1f, s, a) for b in (False, True) for s in range(16) for a in (0, 9)), []),
    'udp-icmp-esp': other(UDP, more=[8]) + other(UDP, True) + other(ICMP, more=[0]) + other(ICMP, True)
    + other(ESP, more=[1]) + other(ESP, True) + [TIME, 128 | 100, CHECK],
    # After the chunk: tag (1 its own, 2 the new one, 3 the other's), initiate tag << 2.
    'sctp': SCTP_OPEN + other(SCTP, more=[0, 1]) + other(SCTP, more=[0, 3]) + other(SCTP, more=[7, 1]) + other(SCTP, True, [8, 1])
    + other(SCTP, more=[14, 1]) + other(SCTP, more=[1, 4]),
    'sctp-anew': SCTP_OPEN + other(SCTP, more=[1, 12]) + other(SCTP, True, [2, 14]) + other(SCTP, True, [0, 1])
    + other(SCTP, more=[10, 2]) + other(SCTP, True, [11, 2]) + other(SCTP, more=[0, 1]) + other(SCTP, more=[0, 2]) + other(SCTP, True, [22, 3]),
    'sctp-cross': other(SCTP, more=[1, 4, 0]) + other(SCTP, True, [1, 8]) + other(SCTP, more=[2, 5]) + other(SCTP, True, [2, 9])
    + other(SCTP, True, [10, 1]) + other(SCTP, more=[11, 1]) + other(SCTP, True, [6, 1]),
    'fill': sum(([PKT, 0, w | 32, p, 8] for w in range(16) for p in (UDP, UDP | 8, UDP | 16, ESP)), []) + [CHECK, TIME, 255, CHECK],
    'errors': handshake() + tcp(PSH, win=0x1f) + sum(([ERR, 0] + tcp(PSH, win=0x1f, seq=s)[1:] + [60] for s in range(16)), []),
    'held-flush': other(UDP, more=[8]) + [HELD] + other(UDP)[1:] + [1, HELD] + other(UDP)[1:] + [1] + other(UDP, more=[8]) + [250, TIME, 1, TIME, 1, CHECK],
    'nat64': [PKT, 0, 1 | 2 << 2, UDP, 2, 150, 1, CHECK, PKT, 0, 1 | 2 << 2, TCP, SYN, 0x2f, 0, 0, 2, 150, 3, SYNACK, 0x3f, 0, 0, 150, 2, ACK, 1, 0, 0, CHECK, TIME, 255],
}


def talk(seed):
    """One connection, opened and then used at random: windows that fill and close, old and new segments, a reset now and then."""
    r = random.Random(seed)
    b = tcp(SYN, win=r.choice((0x2f, 0x27, 0x20)), six=seed % 4 == 3) + [100, 1, SYNACK, r.choice((0x1f, 0x2f, 0x20)), 0, 0]
    b += [100, 0, ACK, 0x0f, 0, 0]
    for i in range(400):
        flags = r.choice((ACK, PSH, ACK, PSH, ACK, PSH, ACK, PSH, ACK, PSH, FIN if i > 300 else ACK, RST + 1 if i % 97 == 0 else PSH))
        delta = r.choice((0, 0, 0, 0, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15))
        b += [100, r.randrange(2), flags, r.choice((0, 0, 2, 3, 16, 18, 0x1f, 0xf0, 0xff, 8, 0x12)), delta, r.choice((0, 0, 0, 6, 7, 8, 9))]
        if i % 60 == 59:
            b += [TIME, r.randrange(64)]
    return b + [CHECK]


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    for name, body in SEEDS.items():
        for variant, conf in (('', [0, 0, 0]), ('-loose', [1, 1, 1]), ('-off', [6, 6, 0]), ('-limits', [24, 24, 0])):
            with open(os.path.join(out, name + variant), 'wb') as f:
                f.write(bytes(conf + body))
    for i in range(8):
        with open(os.path.join(out, f'talk-{i}'), 'wb') as f:
            f.write(bytes([0, 0, i & 1] + talk(i)))


main()
