#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz targets virtq-split, virtq-packed and gmem.

The bytes are the operations that dataplane/virtq/test_virtq_fuzz.h and dataplane/gmem/gmem_fuzz.c read; run this again when
their encoding changes.
"""
import pathlib
import random

CORPUS = pathlib.Path(__file__).parent / "corpus"


def save(target, seeds):
    folder = CORPUS / target
    folder.mkdir(exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


class Virtq:
    """One method per operation; each returns its bytes."""

    unmap = bytes([15])
    reap = bytes([3])

    def __init__(self, packed):
        self.packed = packed
        self.random = random.Random(7)

    def head(self, features, size, start=0):
        return bytes([features, size]) + (b"" if self.packed else start.to_bytes(2, "little"))

    def add(self, shape):
        return bytes([0, shape]) + bytes(self.random.randrange(1, 255) for _ in range(2 * (1 + shape % 6)))

    def pop(self, chains=8, segments=64):
        return bytes([6, chains - 1, segments - 1])

    def push(self, n, flush=1):
        return bytes([8, n, flush])

    def push_newest(self, n, flush=1):
        return bytes([10, n, flush])

    def unpop(self, n):
        return bytes([11, n])

    def notify(self, bits):
        return bytes([13, bits])

    def new_owner(self, flush_to=None):
        return bytes([12, 0]) if flush_to is None else bytes([12, 1]) + flush_to.to_bytes(2, "little")

    def write(self, area, offset, data):
        return bytes([4, area | 0x80, len(data)]) + offset.to_bytes(2, "little") + data

    def forge(self, at, flags, following, addr, blocks, rest):
        return bytes([5, at, flags, following, 1]) + addr.to_bytes(2, "little") + bytes([1, blocks]) + rest

    def seeds(self):
        out = {}
        for features in range(8):
            data = self.head(features, 6 if self.packed else 3, 65530)
            for i in range(6):
                data += self.add(0 if features & 4 == 0 and i % 2 else 3 * i + 1) + self.add(9)
                data += self.notify(15) + self.pop() + self.push(1, 0) + self.unpop(1)
                data += self.pop() + self.push(8) + self.reap + self.notify(5)
            out[f"honest-{features}"] = data
        out["out-of-order"] = (self.head(0, 3) + self.add(0) * 3 + self.pop() + self.push_newest(2)
                               + self.push_newest(2) + self.reap + self.push_newest(1) + self.reap)
        out["new-owner"] = (self.head(1, 3) + self.add(1) + self.add(0) + self.pop() + self.push(1) + self.new_owner()
                            + self.pop() + self.push(1, 0) + self.new_owner() + self.pop() + self.push(2) + self.reap)
        for to in (1, 2, 5, 0x8001, 0x8003):
            out[f"new-owner-flushing-{to:x}"] = (self.head(0, 3) + self.add(1) + self.add(0) + self.add(2) + self.pop()
                                                 + self.new_owner(to) + self.pop() + self.push(3) + self.reap)
        out["unmap"] = (self.head(0, 3) + self.add(0) + self.unmap + self.pop() + self.push(1) + self.unmap + self.pop()
                        + self.push(1) + self.reap)
        for flags in range(8):
            for following in (0, 1, 2, 7):
                out[f"forged-{flags}-{following}"] = (
                    self.head(4 | flags & 1, 3) + self.forge(0, flags, following, 64, 4, b"\1\1")
                    + self.forge(1, flags ^ 3, 0, 64, 4, b"\1\1") + self.pop(8, 100) + self.push(3) + self.pop())
        out["jump"] = self.head(0, 3) + self.write(1, 2, b"\x20\x00") + self.pop()
        table = bytes([0x40, 0, 1, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0]) * 2
        out["table"] = (self.head(4, 3) + self.write(3, 0, table) + self.forge(0, 4, 0, 0, 2, b"\1\1")
                        + self.pop(4, 60) + self.push(1))
        return out


def gmem_seeds():
    def add(page, n, where, prot, kind):
        return bytes([0, page, n, where, prot, kind])

    def delete(page, n):
        return bytes([2, page, n])

    def copy(page, offset, length, times, how, fill):
        return bytes([3, page, offset, length, times, how, fill])

    def window(slot, *where):
        return bytes([6, slot, *where])

    out = {}
    for base in range(3):
        start = bytes([base])
        out[f"basic-{base}"] = (
            start + add(0, 2, 3, 3, 0) + add(2, 1, 9, 3, 0) + add(3, 1, 1, 3, 1) + add(4, 2, 0, 3, 2)
            + copy(0, 5, 200, 40, 1, 7) + copy(0, 5, 200, 40, 0, 0) + copy(1, 250, 255, 63, 3, 9) + copy(4, 0, 9, 0, 0, 0)
            + bytes([5, 0, 9, 200]) + delete(1, 2) + delete(0, 3) + copy(2, 0, 9, 9, 0, 0))
        out[f"top-{base}"] = (
            start + add(30, 2, 3, 3, 0) + copy(31, 255, 16, 0, 1, 7) + copy(31, 200, 255, 63, 0, 0) + delete(31, 1)
            + delete(30, 2) + bytes([7, 0]))
        out[f"window-{base}"] = (
            start + window(0, 1, 3, 100, 2) + window(1, 0, 0, 255, 0) + add(1, 1, 9, 3, 0) + add(2, 1, 3, 3, 0)
            + add(0, 1, 3, 1, 0) + add(3, 1, 4, 3, 1) + copy(1, 0, 255, 60, 1, 0x55) + delete(2, 1) + add(2, 1, 10, 3, 0)
            + window(0) + window(2, 1, 0, 3, 1) + delete(1, 1))
        out[f"errors-{base}"] = (
            start + add(0, 0, 3, 3, 0) + add(0, 1, 3, 0, 0) + add(0, 1, 3, 4, 0) + add(0, 4, 15, 3, 0) + add(0, 1, 15, 1, 0)
            + add(0, 1, 3, 2, 0) + copy(0, 0, 9, 1, 1, 1) + add(1, 1, 3, 2, 0) + copy(0, 0, 255, 63, 0, 1) + delete(0, 0))
    return out


if __name__ == "__main__":
    save("virtq-split", Virtq(False).seeds())
    save("virtq-packed", Virtq(True).seeds())
    save("gmem", gmem_seeds())
