#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz target nvme: what a driver does, in its order, and one seed for each group of commands.

usage: gen_nvme.py FOLDER. A seed is a sequence of {op, arguments}; see dpu-fw/nvme/nvme_fuzz.c."""
import os
import struct
import sys

UP, ADMIN, RAW, QUEUES, IO, REG, READ, BELL, MEM, CARD, HOST, TURN = range(12)
cid = [0]


def up():
    return bytes([UP])


def admin(opcode, nsid=0, cdw10=0, cdw11=0, cdw12=0, op=ADMIN):
    cid[0] = (cid[0] + 1) % 256
    return struct.pack('<BBBBIIH', op, opcode, cid[0], nsid, cdw10, cdw11, cdw12)


def io(opcode, nsid=1, slba=0, n=1, cdw11=0):
    return admin(opcode, nsid, slba, cdw11, n - 1, IO)


def reg(off, value, n=4):
    return bytes([REG, off, n - 1]) + value.to_bytes(n, 'little')


def mem(off, data):
    return struct.pack('<BHB', MEM, off, len(data)) + data


def bell(off, value, n=4):
    return struct.pack('<BBBH', BELL, off, n - 1, value)


def card(what, nsid, *rest):
    return bytes([CARD, nsid, what, *rest])


def host(what, *rest):
    return bytes([HOST, what, *rest])


DATA = 0x2000
TURNS = bytes([TURN])
QUEUE_PAIR = bytes([QUEUES])
CC = 0x14


def log(lid, n=64, lsp=0, off=0, nsid=0xff):
    return admin(2, nsid, lid | lsp << 8 | (n // 4 - 1) << 16, 0, off)


def image(blocks, ncap=None, flbas=0):
    return struct.pack('<QQ', blocks, ncap or blocks) + bytes(10) + bytes([flbas])


SEEDS = {
    'probe': up() + b''.join(admin(6, 0 if c != 3 else 1, c) for c in (1, 0x1c, 2, 3, 0, 5, 6, 7, 8, 0x10, 0x11, 0x12, 0x13, 0x16)) +
             admin(9, 0, 7, 0x30003) + admin(9, 0, 0xb, 0x900) + admin(0xc) + admin(0x7c) + QUEUE_PAIR + io(2) + TURNS,
    'io': up() + QUEUE_PAIR + io(1, n=8) + io(2, n=8) + io(0) + io(5) + io(8) + io(9) + TURNS + io(0xc) + io(0x19) + io(0xd) + TURNS,
    'logs': up() + b''.join(log(lid, 64, 1 if lid == 13 else 0) for lid in (0, 1, 2, 3, 4, 5, 6, 12, 13, 18, 19, 0x80, 0xc0)) +
            log(13, 512) + log(13, 64, 0, 512) + log(13, 512, 2) + log(5, 64, 0, 2048) + log(0xc0, 4096, 0, 0, 1),
    'features': up() + b''.join(admin(10, 1, f | s << 8) for f in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 0x80, 0x81, 0x82, 0x83, 0x84)
                                for s in (0, 3)),
    'set': up() + admin(9, 0, 4 | 1 << 31, 300) + admin(9, 0, 8, 0x0205) + admin(9, 0, 9, 0x10001) + admin(9, 1, 0x84, 1) +
           admin(9, 0, 6, 0) + admin(9, 0, 15, 1000) + admin(0x18) + host(4) + TURNS,
    'aer': up() + admin(9, 0, 0xb, 0x900) + admin(0xc) * 3 + card(1, 2) + log(4) + card(4, 1, 3) + card(2, 2) + log(4) + bell(0x30, 3) +
           log(1) + card(5, 1, 2) + log(0x80) + admin(8, 0, 3 << 16),
    'format': up() + QUEUE_PAIR + admin(0x80, 1, 1) + TURNS + io(2) + TURNS + admin(0x80, 0xff, 1 << 9) + io(1) + TURNS + admin(0x80, 1, 2 << 9) +
              admin(0x80, 1, 1 << 9) + reg(CC, 0) + up() + admin(0x80, 1, 1 << 9) + card(2, 1) + TURNS,
    'selftest': up() + admin(0x14, 1, 1) + admin(0x14, 1, 2) + TURNS + admin(0x14, 0xff, 2) + admin(0x14, 0, 15) + log(6, 64) + admin(0x14, 1, 2) +
                card(2, 1) + TURNS,
    'manage': up() + mem(DATA, image(64)) + admin(0xd, 0, 0) + admin(0xd, 1, 1) + mem(DATA, b'\1\0\1\0') + admin(0x15, 1, 1) + admin(0x15, 1, 0) +
              card(1, 0) + admin(0x15, 2, 1) + admin(0xd, 0xff, 1),
    'firmware': up() + mem(DATA, bytes(64)) + admin(0x11, 0, 15, 1024) + admin(0x10, 0, 2 | 1 << 3) + admin(0x11, 0, 1023) + admin(0x11, 0, 15, 1024) +
                admin(0x10, 0, 2 | 1 << 3) + log(3) + admin(0x11, 0, 1023) + admin(0x10, 0, 0 | 3 << 3) + admin(0x10, 0, 1 | 2 << 3) +
                admin(0x10, 0, 2 | 2 << 3) + admin(0x10, 0, 2 | 6 << 3) + reg(CC, 0) + up() + log(3),
    'made': up() + QUEUE_PAIR + mem(DATA, image(64)) + admin(0xd, 0, 0) + mem(DATA, b'\1\0\1\0') + admin(0x15, 2, 0) + io(1, 2) + TURNS +
            admin(0x15, 2, 1) + admin(0x15, 2, 0) + admin(0x80, 2, 2 << 9) + TURNS + admin(0xd, 2, 1) + io(2, 2) + TURNS +
            mem(DATA, image(64, 64, 1)) + admin(0xd, 0, 0) + admin(0xd, 0xff, 1),
    'queues': up() + QUEUE_PAIR + admin(4, 0, 1) + admin(0, 0, 1) + admin(4, 0, 1) + QUEUE_PAIR + io(2) + bell(8, 9) + bell(12, 3) + TURNS +
              admin(8, 0, 1 | 7 << 16),
    'reset': up() + QUEUE_PAIR + io(1, n=8) + reg(CC, 0x460000 | 1 << 14 | 1) + TURNS + up() + QUEUE_PAIR + host(0) + up() + reg(0x20, 0x4e564d65) + up() +
             reg(CC, 0x460000 | 2 << 14 | 1) + reg(CC, 0, 1) + TURNS,
    'memory': up() + QUEUE_PAIR + io(1, n=8) + host(3) + TURNS + host(3) + TURNS + io(2) + host(3) + admin(6, 0, 1) + host(3) + up() + host(1, 2) + TURNS,
    'registers': b''.join(reg(o, 0x0102030405060708, 8) + bytes([READ, o, 0, 15]) for o in range(0, 0x70, 4)) + up() + reg(0xc, 1) + reg(0x10, 1) +
                 host(2, 1, 0) + QUEUE_PAIR + io(2) + TURNS,
    'raw': up() + bytes([RAW]) + struct.pack('<BBHI8xQQQ6I', 6, 0, 1, 0, 0, 0x12000, 0, 1, 0, 0, 0, 0, 0) +
           bytes([RAW]) + struct.pack('<BBHI8xQQQ6I', 6, 0x40, 2, 0, 0, 0x12000, 1 << 12, 1, 0, 0, 0, 0, 0),
}

os.makedirs(sys.argv[1], exist_ok=True)
for name, data in SEEDS.items():
    with open(os.path.join(sys.argv[1], name), 'wb') as f:
        f.write(data)
