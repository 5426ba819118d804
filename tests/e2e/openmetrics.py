# SPDX-License-Identifier: BSD-3-Clause
"""A strict reader of the OpenMetrics text format (1.0.0): refuses what a lenient scraper would let pass."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)(?: (\d+(?:\.\d+)?))?")
TYPES = {"counter": ("_total", "_created"), "gauge": ("",), "info": ("_info",), "unknown": ("",), "stateset": ("",),
         "histogram": ("_bucket", "_count", "_sum", "_created"), "summary": ("", "_count", "_sum", "_created"),
         "gaugehistogram": ("_bucket", "_gcount", "_gsum")}


class Invalid(ValueError):
    pass


def labels(text, line):
    out, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m or m.group(1) in out:
            raise Invalid(f"labels: {line}")
        out[m.group(1)] = m.group(2).replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        at = m.end()
        if m.group(3) == "," and at == len(text):
            raise Invalid(f"comma after the last label: {line}")
    return out


def parse(text):
    """Returns {family: {"type", "help", "samples": {(sample name, sorted label pairs): value}}}."""
    if not text.endswith("# EOF\n"):
        raise Invalid("the page does not end with '# EOF'")
    families, current = {}, None
    for line in text[:-len("# EOF\n")].split("\n")[:-1]:
        if line.startswith("# "):
            parts = line.split(" ", 3)
            if len(parts) < 3 or parts[1] not in ("TYPE", "HELP", "UNIT"):
                raise Invalid(f"comment: {line}")
            keyword, name = parts[1], parts[2]
            if current is None or current["name"] != name:
                if name in families:
                    raise Invalid(f"family {name} is not in one piece")
                current = families[name] = {"name": name, "type": "unknown", "help": None, "samples": {}}
            if current["samples"]:
                raise Invalid(f"{keyword} of {name} after its samples")
            if keyword == "TYPE":
                if parts[3] not in TYPES:
                    raise Invalid(f"type: {line}")
                current["type"] = parts[3]
            elif keyword == "HELP":
                current["help"] = parts[3]
            continue
        m = SAMPLE.fullmatch(line)
        if not m:
            raise Invalid(f"sample: {line!r}")
        name = m.group(1)
        if current is None or not any(name == current["name"] + s for s in TYPES[current["type"]]):
            raise Invalid(f"sample {name} does not belong to family {current and current['name']} ({current and current['type']})")
        key = (name, tuple(sorted(labels(m.group(2) or "", line).items())))
        if key in current["samples"]:
            raise Invalid(f"twice: {line}")
        value = float(m.group(3))
        if current["type"] == "counter" and not value >= 0:
            raise Invalid(f"a counter below zero: {line}")
        current["samples"][key] = value
    return families
