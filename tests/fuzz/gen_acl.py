#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz target acl.

usage: tests/fuzz/gen_acl.py CORPUS_FOLDER

The first four bytes choose what dataplane/acl/acl_fuzz.c does; then random bytes, of which it draws rules, or a group as
dataplane/acl/pack.c lays it down.
"""
import pathlib
import random
import socket
import struct
import sys

INET, INET6 = 2, 10
rng = random.Random(3)


def drawn(family, tags, n_rules, lists, any_in, spread, n_bytes):
    few = n_rules if n_rules < 8 else 0x80 | n_rules
    return bytes([family == INET6 | tags << 1, few, lists, any_in | spread << 7]) + rng.randbytes(n_bytes)


def prefix(text):
    addr, length = text.split("/")
    family = socket.AF_INET6 if ":" in addr else socket.AF_INET
    return socket.inet_pton(family, addr).ljust(16, b"\0") + struct.pack("<B3x", int(length))


def rule(priority, action, final, protos=(), src=(), dst=(), src_tags=(), dst_tags=(), sports=(), dports=(), icmp=()):
    bits = [0] * 4
    for p in protos:
        bits[p // 64] |= 1 << p % 64
    fixed = struct.pack("<IBBH4Q8I", priority, action, final, 0, *bits, len(src), len(dst), len(src_tags), len(dst_tags),
                        len(sports), len(dports), len(icmp), 0)
    lists = b"".join(prefix(p) for p in [*src, *dst])
    for tags in (src_tags, dst_tags):
        packed = struct.pack(f"<{len(tags)}H", *tags)
        lists += packed + bytes(-len(packed) % 4)
    lists += b"".join(struct.pack("<HH", *r) for r in [*sports, *dports, *icmp])
    return fixed, lists


def found(family, rules, tags=1):
    head = bytes([family == INET6 | tags << 1 | 4, 0, 0x33, 1])
    return (head + struct.pack("<II", family, len(rules)) + b"".join(r[0] for r in rules)
            + b"".join(r[1] for r in rules))


SEEDS = {
    "drawn-one": drawn(INET, 0, 1, 0x00, 1, 0, 40),
    "drawn-few": drawn(INET, 1, 7, 0x33, 3, 0, 200),
    "drawn-few6": drawn(INET6, 1, 7, 0x33, 3, 0, 200),
    "drawn-many": drawn(INET, 0, 100, 0x47, 7, 0, 100),
    "drawn-many6": drawn(INET6, 1, 120, 0x4f, 7, 0, 100),
    "drawn-spread": drawn(INET, 1, 127, 0xff, 7, 1, 8),
    "drawn-spread6": drawn(INET6, 0, 127, 0x0f, 7, 1, 8),
    "drawn-words": drawn(INET, 0, 65, 0x11, 2, 0, 300),
    "found-empty": found(INET, []),
    "found-web": found(INET, [
        rule(10, 1, 1, protos=(6,), src=("10.0.0.0/8", "192.168.0.0/16"), dports=((80, 80), (443, 443))),
        rule(20, 0, 0, protos=(17,), dst=("10.1.2.3/32",), sports=((1024, 65535),)),
        rule(30, 1, 0, protos=(1,), icmp=((0x800, 0x8ff),)),
        rule(40, 1, 1),
    ]),
    "found-tags": found(INET, [rule(1, 1, 0, src_tags=(0, 3, 1), dst_tags=(2,)), rule(2, 0, 1, src_tags=(1,))]),
    "found-six": found(INET6, [
        rule(1, 1, 1, protos=(58,), icmp=((0x8000, 0x81ff),)),
        rule(2, 1, 0, src=("2001:db8::/32",), dst=("2001:db8::1/128", "2001:db8::2/128", "::/0")),
        rule(3, 0, 1, src=("fe80::/10", "ff00::/8"), src_tags=(1,)),
    ]),
    "found-edges": found(INET, [
        rule(1, 0, 1, src=("255.255.255.255/32",), dst=("0.0.0.0/32",), dports=((65535, 65535), (0, 0))),
        rule(2, 1, 1, src=("128.0.0.0/1",), dports=((0, 65535),)),
        rule(3, 1, 1, src=("0.0.0.0/0",), sports=((0, 32767), (32768, 65535))),
    ]),
    "found-equal": found(INET, [rule(5, 1, 1), rule(5, 0, 1)]),
    "found-cut": found(INET, [rule(5, 1, 1, src=("10.0.0.0/8",))])[:-7],
}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
