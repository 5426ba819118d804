# SPDX-License-Identifier: BSD-3-Clause
"""The checks of the demo. A check takes the World, returns a value to show (or None), and raises CheckFailed or LabError."""
from dataclasses import dataclass
from typing import Callable

from proc import LabError


class CheckFailed(LabError):
    """The lab works, the product does not do what it should."""


@dataclass
class Check:
    name: str
    unit: str
    about: str
    fn: Callable


CHECKS = {}


def check(name, unit="", about=""):
    def register(fn):
        CHECKS[name] = Check(name, unit, about, fn)
        return fn
    return register


def need(condition, text):
    if not condition:
        raise CheckFailed(text)


# The import order is the order in which checks run: first what the others rest on, last what judges the whole run.
from . import reach, speed, services, isolate, sg, nat, devices, hostile, hostile_wire, storage, observe, watch, wire  # noqa: E402,F401
