#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpus of the fuzz target 'cow' (format: dataplane/block/cow_fuzz.c)."""
import os
import struct

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'corpus', 'cow')
SUPER0, SUPER1, MAP0, MAP1, ENTRY0, ENTRY1, SUPERS = range(7)
DATA, ZERO, BAD = 1 << 40, 2 << 40, 3 << 40
# Offsets in the superblock.
GENERATION, PARENT, BYTES, MAX_BYTES, PARENT_BYTES, CLUSTER, FLAGS, MAP_BYTES, DATA_OFF, SNAP = 16, 40, 56, 64, 72, 80, 84, 88, 96, 104


def rec(where, off, value, length=8):
    return struct.pack('<BBHQ', where, length, off, value)


SEEDS = {
    'valid': (3, []),
    'unsealed': (0, []),
    'one-super': (1, [rec(SUPER1, 200, 7)]),
    'older-super': (3, [rec(SUPER1, GENERATION, 9)]),
    'bytes-huge': (3, [rec(SUPERS, BYTES, 1 << 60), rec(SUPERS, MAX_BYTES, 1 << 62)]),
    'bytes-odd': (3, [rec(SUPERS, BYTES, 1000)]),
    'grown': (3, [rec(SUPERS, BYTES, 2 << 20)]),
    'cluster-zero': (3, [rec(SUPERS, CLUSTER, 0, 4)]),
    'cluster-8k': (3, [rec(SUPERS, CLUSTER, 8192, 4)]),
    'cluster-2m': (3, [rec(SUPERS, CLUSTER, 2 << 20, 4)]),
    'map-zero': (3, [rec(SUPERS, MAP_BYTES, 0)]),
    'data-low': (3, [rec(SUPERS, DATA_OFF, 4096)]),
    'data-high': (3, [rec(SUPERS, DATA_OFF, 1 << 40)]),
    'parent': (3, [rec(SUPERS, FLAGS, 1, 4), rec(SUPERS, PARENT_BYTES, 4096)]),
    'parent-bytes': (3, [rec(SUPERS, PARENT_BYTES, 4096)]),
    'snap-map': (3, [rec(SUPERS, SNAP + 64, 9, 4)]),
    'snap-twice': (3, [rec(SUPERS, SNAP + 72, 0x61, 8), rec(SUPERS, SNAP + 72 + 48, 4096), rec(SUPERS, SNAP + 72 + 64, 1, 4)]),
    'snap-name': (3, [rec(SUPERS, SNAP + 8 * i, 0x6161616161616161) for i in range(4)]),
    'snap-huge': (3, [rec(SUPERS, SNAP + 48, 1 << 50)]),
    'entry-far': (3, [rec(ENTRY0, 2, DATA | 1000), rec(ENTRY0, 4, DATA | (1 << 40) - 1)]),
    'entry-twice': (3, [rec(ENTRY0, 9, DATA | 1), rec(ENTRY0, 10, DATA | 1), rec(ENTRY0, 11, DATA | 5)]),
    'entry-bad': (3, [rec(ENTRY0, 1, BAD), rec(ENTRY0, 3, ZERO | 7), rec(ENTRY0, 5, 3)]),
    'entry-torn': (3, [rec(MAP0, 8, 0xffff, 2), rec(MAP0, 30, 0, 4)]),
    'entry-full': (3, [rec(ENTRY0, i, DATA | i) for i in range(8, 40)]),
    'entry-beyond': (3, [rec(ENTRY0, 300, DATA | 20), rec(ENTRY0, 511, DATA | 20)]),
    'snap-crossed': (3, [rec(ENTRY1, i, DATA | (7 - i)) for i in range(8)]),
    'snap-far': (3, [rec(ENTRY1, 2, DATA | 1000), rec(MAP1, 0, 1)]),
}

os.makedirs(OUT, exist_ok=True)
for name, (flags, records) in SEEDS.items():
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(bytes([flags]) + b''.join(records))
