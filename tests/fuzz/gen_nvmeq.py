#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpora of the fuzz targets nvmeq (I/O commands) and nvmeq-walk (data pointers).

usage: tests/fuzz/gen_nvmeq.py    (writes tests/fuzz/corpus/nvmeq and tests/fuzz/corpus/nvmeq-walk)
"""
import os
import struct

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus')
READ, WRITE, FLUSH, COMPARE, ZEROES, DSM, VERIFY, COPY = 2, 1, 0, 5, 8, 9, 12, 25
REGISTER, REPORT, ACQUIRE, RELEASE = 13, 14, 17, 21


def sqe(opcode, cid, flags=0, nsid=1, prp1=0, prp2=4096, cdw10=0, cdw11=0, cdw12=0):
    return struct.pack('<BBHIIIQQQIIIIII', opcode, flags, cid, nsid, 0, 0, 0, prp1, prp2, cdw10, cdw11, cdw12, 0, 0, 0)


def write(target, name, data):
    folder = os.path.join(TOP, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as f:
        f.write(data)


def commands():
    for name, op in (('read', READ), ('write', WRITE), ('flush', FLUSH), ('compare', COMPARE), ('zeroes', ZEROES),
                     ('dsm', DSM), ('verify', VERIFY), ('copy', COPY), ('report', REPORT)):
        yield name, b'\0' + sqe(op, 1, cdw10=1, cdw12=7) + sqe(op, 2, nsid=2, cdw10=8, cdw11=4, cdw12=0)
    yield 'list', b'\1' + sqe(READ, 1, prp2=8, cdw12=255) + sqe(WRITE, 2, prp2=4088, cdw12=2047)
    yield 'sgl', b'\0' + sqe(READ, 1, 0x40, prp1=4096, prp2=512) + sqe(READ, 2, 0x40, prp1=16, prp2=3 << 60 | 64, cdw12=1)
    yield 'segments', b'\0' + sqe(READ, 1, 0x40, prp1=64, prp2=2 << 60 | 32) + sqe(WRITE, 2, 0x80, prp1=32, prp2=3 << 60 | 16)
    yield 'fused', b'\1' + sqe(COMPARE, 1, 1) + sqe(READ, 9) + sqe(WRITE, 2, 2) + sqe(READ, 9)
    yield 'half', b'\0' + sqe(COMPARE, 1, 1) + sqe(WRITE, 1, 2) + sqe(READ, 1) + sqe(READ, 1, 3)
    yield 'reserve', b'\0' + sqe(REGISTER, 1) + sqe(REGISTER, 2, nsid=2) + sqe(ACQUIRE, 3, cdw10=0x100) + \
        sqe(ACQUIRE, 4, nsid=2, cdw10=0x601) + sqe(RELEASE, 5, cdw10=1) + sqe(REPORT, 6, cdw10=63, cdw11=1)
    yield 'all', b'\1' + b''.join(sqe(op, op, nsid=0xffffffff) for op in range(32))
    yield 'folded', b'\0' + bytes((i * 37 + i // 64) & 255 for i in range(64 * 28))


def walks():
    def head(length, flags, d0, d1, how=0):
        return struct.pack('<IBBBBQQ', length - 1, flags, 1, how, how, d0, d1)
    page = b''.join(struct.pack('<Q', i * 4096) for i in range(8))
    yield 'prp1', head(512, 0, 4096, 0)
    yield 'prp2', head(8192, 0, 4096, 8192) + page
    yield 'list', head(65536, 0, 4096, 8192) + page
    yield 'chain', head(1 << 20, 0, 4096, 4088, 1) + page
    yield 'loop', head(2 << 20, 0, 0, 4088, 1) + bytes(64)
    desc = struct.pack('<QII', 4096, 512, 0)
    seg = struct.pack('<QII', 0, 32, 2 << 28)
    last = struct.pack('<QII', 64, 32, 3 << 28)
    bucket = struct.pack('<QII', 0, 100, 1 << 28)
    yield 'sgl', head(512, 0x40, 4096, 512)
    yield 'segments', head(1024, 0x40, 0, 2 << 60 | 32, 1) + desc + last + desc + desc
    yield 'circle', head(4096, 0x40, 0, 2 << 60 | 32, 1) + desc + seg
    yield 'bucket', head(612, 0x40, 0, 3 << 60 | 32, 1) + bucket + desc


for name, data in commands():
    write('nvmeq', name, data)
for name, data in walks():
    write('nvmeq-walk', name, data)
