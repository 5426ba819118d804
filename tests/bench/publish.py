# SPDX-License-Identifier: BSD-3-Clause
"""docs/performance.md and its plots, from the results of the benches."""
from proc import LabError


def publish(page):
    raise LabError(f"publishing '{page['bench']}' is not in this version yet")
