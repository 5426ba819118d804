# SPDX-License-Identifier: BSD-3-Clause
"""What all benches share."""

K, M = 1000, 1_000_000


def median(values):
    values = sorted(values)
    n = len(values)
    return values[n // 2] if n % 2 else (values[n // 2 - 1] + values[n // 2]) / 2


def short(n):
    """4000 -> 4k, 1000000 -> 1m"""
    return f"{n // M}m" if n >= M and n % M == 0 else f"{n // K}k" if n >= K and n % K == 0 else str(n)


def ratio(a, b):
    return round(a / b, 2) if a is not None and b else None


def wants(bench, system):
    return not bench.only or system in bench.only
