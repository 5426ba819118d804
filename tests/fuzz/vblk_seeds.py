#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seed corpus of the fuzz target 'vblk': each kind of request in each kind of ring, good and bad.

usage: tests/fuzz/vblk_seeds.py DIRECTORY"""
import pathlib
import sys

IN, OUT, FLUSH, ID, DISCARD, ZEROES, ERASE = range(7)
ROUND, REAP = bytes([2]), bytes([3])


def seg(length, where=0, off=0x1000):
    return (length - 1).to_bytes(2, "big") + bytes([where]) + off.to_bytes(2, "big")


def post(kind, sector=8, out=(), segs=(), flags=0, status=True, ranges=b"", raw=b""):
    """One request; 'flags': bits of the second byte (header in pieces, more sector bits)."""
    page = bytes([0, kind, flags | (0x40 if ranges else 0) | len(out)]) + raw + sector.to_bytes(2, "big")
    if flags & 0x80:
        page += b"\x00\x00\x00\x01"
    page += ranges.ljust(32, b"\0") if ranges else b""
    page += b"".join(out)
    return page + bytes([len(segs) | (0 if status else 0x80)]) + b"".join(segs)


def a_range(sector, n, flags=0):
    return sector.to_bytes(8, "little") + n.to_bytes(4, "little") + flags.to_bytes(4, "little")


def scenarios():
    some = ROUND + REAP
    yield "read", post(IN, segs=[seg(4096)]) + some
    yield "write", post(OUT, out=[seg(512), seg(1024, off=0x3000)]) + some + post(IN, segs=[seg(1536)]) + some
    yield "many", b"".join(post(IN, sector=i, segs=[seg(512, off=i * 512)] * 3) for i in range(4)) + ROUND + ROUND + REAP
    yield "flush_id", post(FLUSH) + post(ID, segs=[seg(20)]) + post(ID, segs=[seg(7)]) + some
    yield "discard", post(DISCARD, ranges=a_range(1, 8) + a_range(64, 1)) + some
    yield "zeroes", post(ZEROES | 0x40, ranges=a_range(0, 2, 1) + a_range(100, 3)) + ROUND * 3 + REAP
    yield "bad_ranges", post(ZEROES, ranges=a_range(0, 0xffffffff)) + post(DISCARD, ranges=a_range(0, 1, 1)) + post(ERASE, ranges=a_range(0, 1)) + some
    yield "split_header", post(OUT, out=[seg(512)], flags=0x30) + post(IN, segs=[seg(512)], flags=0x30) + some
    yield "short_header", post(IN, segs=[seg(512)], flags=0x20) + ROUND + bytes([8, 0])
    yield "no_status", post(OUT, out=[seg(512)], status=False) + ROUND + bytes([8, 0]) + bytes([6, 0])
    yield "odd_length", post(IN | 0x20, segs=[seg(100)]) + post(OUT | 0x20, out=[seg(513)]) + some
    yield "far_sector", post(IN, segs=[seg(512)], flags=0x80) + post(IN, sector=0xffff, segs=[seg(512)]) + some
    yield "nowhere", post(IN, segs=[seg(512, 3, 0x77)]) + post(OUT, out=[seg(4096, 2)]) + some
    yield "away", bytes([5, 1]) + post(IN, segs=[seg(8192, 1, 0x3000)]) + post(IN, segs=[seg(4096, 1, 0)]) + ROUND + bytes([5, 0]) + post(IN, segs=[seg(512, 1, 0)]) + some
    yield "unknown", post(0x80, raw=b"\x00\x00\x00\x63", segs=[seg(512)]) + some
    yield "restart", post(IN, segs=[seg(512)]) + bytes([6, 1]) + post(IN, segs=[seg(512)]) + some + bytes([7, 0]) + post(OUT, out=[seg(512)]) + some
    yield "scribble", post(IN, segs=[seg(512)]) + bytes([4, 0, 8, 8]) + b"\xff" * 8 + ROUND + bytes([8, 0])


def main():
    where = pathlib.Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    for name, ops in scenarios():
        for mode, label in ((0x10, "split"), (0x17, "packed")):
            (where / f"{name}_{label}").write_bytes(bytes([mode]) + ops)
    (where / "read_only").write_bytes(bytes([0x18]) + post(OUT, out=[seg(512)]) + post(ZEROES, ranges=a_range(0, 1)) + ROUND + REAP)


if __name__ == "__main__":
    main()
