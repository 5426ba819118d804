#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpus of layers_fuzz: stacks with operations, tags and journals as they lie on a medium."""
import os
import random
import struct

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus', 'layers')
STACKS = {'crypt': (1, 0, 0), 'qos': (2, 0, 0), 'integrity': (3, 0, 0), 'qos-crypt-integrity': (3, 1, 2),
          'integrity-qos-crypt': (1, 2, 7), 'integrity-integrity-qos': (2, 3, 3)}


def write(name, data):
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(data)


def main():
    os.makedirs(OUT, exist_ok=True)
    for n, (name, kinds) in enumerate(sorted(STACKS.items())):
        rng = random.Random(n)
        write(name, bytes([2, *kinds]) + bytes(rng.randrange(256) for _ in range(400)))
    tag = struct.pack('<II', 0x12345678, 0)
    write('tags-under-way', bytes([0, 1]) + tag * 200)
    write('tags-bad-header', bytes([0, 0]) + b'OBINTEG1' + struct.pack('<IIQQII', 1, 512, 98304, 7, 0, 0))
    write('journal-no-record', bytes([1]) + b'not a journal')
    write('journal-bad-sum', bytes([1]) + b'OBREKEY1' + struct.pack('<QQIII', 1, 0, 2, 0, 0) + bytes(36))


main()
