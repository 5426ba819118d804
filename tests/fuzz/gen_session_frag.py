#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz target 'session-frag': gen_session_frag.py FOLDER."""
import os
import random
import sys


def part(who, off, units, more=True):
    """'units' of 8 bytes at offset 'off' (below 64)."""
    return [0, who, 64 if off == 0 else off, units << 2 | 2 | more]


def shuffled(seed):
    r = random.Random(seed)
    who = r.randrange(64)
    parts = [part(who, i * 3, 3, i < 19) for i in range(1, 20)]
    r.shuffle(parts)
    return sum(parts, part(who, 0, 3))


def rubbish(seed):
    r = random.Random(seed)
    b = []
    for _ in range(300):
        b += part(r.randrange(8) * 9 % 64, r.choice((0, r.randrange(64))), r.randrange(4), r.random() < 0.9)
        if r.random() < 0.05:
            b += [240, r.randrange(255)]
    return b


SEEDS = {
    'in-order': sum((part(w, 0, 4) + part(w, 4, 4) + part(w, 8, 2, False) for w in (0, 8, 16, 32, 40)), []),
    'overlap': part(1, 0, 4) + part(1, 3, 4) + part(1, 4, 4) + part(1, 5, 1) + part(1, 4, 4, False) + part(1, 8, 1, False),
    'gaps': part(2, 0, 1) + sum((part(2, 2 * i, 1) for i in range(1, 20)), []) + sum((part(2, 2 * i + 1, 1) for i in range(20)), []),
    'old': part(3, 0, 4) + [240, 4] + part(3, 0, 4) + [240, 9] + part(3, 0, 4) + [240, 241] + part(3, 4, 1),
    'full': sum((part(w, 0, 3) for w in range(64)), []) + sum((part(w, 3, 3, False) for w in range(64)), []),
    'far': part(4, 0, 4) + [0, 4, 128, 2, 0, 4, 128, 6, 0, 4, 129, 15, 0, 4, 130, 40],
}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    for i in range(4):
        SEEDS[f'shuffled-{i}'] = shuffled(i)
        SEEDS[f'rubbish-{i}'] = rubbish(i)
    for name, body in SEEDS.items():
        with open(os.path.join(out, name), 'wb') as f:
            f.write(bytes(body))


main()
