# SPDX-License-Identifier: BSD-3-Clause
"""What an operator sees: the OpenMetrics page of each card."""
import urllib.request

import openmetrics
import topology as topo
from . import check, need
from .reach import between_cards


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        kind = answer.headers.get("Content-Type", "")
        need(kind.startswith("application/openmetrics-text"), f"{url}: content type is '{kind}'")
        text = answer.read().decode()
    try:
        return openmetrics.parse(text)
    except openmetrics.Invalid as err:
        need(False, f"{url}: not OpenMetrics: {err}")


def counters(families, label):
    """Counter samples that carry a label, as {(sample, labels): value}."""
    return {key: value for family in families.values() if family["type"] == "counter"
            for key, value in family["samples"].items() if label in dict(key[1])}


@check("metrics", "series", "counters per function, per queue and per drop reason are there and move")
def metrics(world):
    total = 0
    for name in topo.CARDS:
        before = scrape(world.exporters[name])
        between_cards(world, topo.RED, 4)
        after = scrape(world.exporters[name])
        for label in ("function", "queue", "reason"):
            need(counters(after, label), f"card {name}: no counter has the label '{label}'")
        for key, value in counters(before, "function").items():
            now = counters(after, "function").get(key)
            need(now is not None and now >= value, f"card {name}: {key[0]}{dict(key[1])} went from {value} to {now}")
        function = "g1-red" if name == "a" else "g2-red"
        for label in ("function", "queue"):
            moved = [key for key, value in counters(after, label).items()
                     if dict(key[1])["function"] == function and value > counters(before, label).get(key, 0)]
            need(moved, f"card {name}: no counter of {function} with label '{label}' moved with a ping")
        total += sum(len(f["samples"]) for f in after.values())
    return total
