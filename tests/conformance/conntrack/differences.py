# SPDX-License-Identifier: BSD-3-Clause
"""The table of known differences, and what a run makes of it.

differences.txt:
    why NAME
        text, any number of lines: what differs and why it is wanted
    TRACE PACKET KERNEL OURS NAME [on=VERSION] [when=FACT]

PACKET: number in its trace. KERNEL: new, established, related, untracked, drop (that is also: invalid). OURS: the same, or
drop:REASON. on: for this kernel only, 6.1 or 6.2+ or -6.1 (up to). Made-up traces are too many to list one by one: there TRACE and
PACKET may be patterns, and 'when' says what the packet must be (FACTS below).
"""
import fnmatch
import re


def _is_old(packet):
    """A sequence number from far before the sender's first one."""
    number = re.search(r"\bseq=(-\d+)", packet.text)
    return number is not None and int(number[1]) < -(1 << 20)


FACTS = {"old": _is_old}


def plain(verdict):
    verdict = verdict.partition(":")[0]
    return "drop" if verdict == "invalid" else verdict


def version_of(text):
    return tuple(int(x) for x in text.rpartition("-")[2].rstrip("+").split("."))


class Entry:
    def __init__(self, words, where):
        self.trace, self.packet, self.kernel, self.ours, self.why = words[:5]
        options = dict(w.split("=") for w in words[5:])
        self.versions, self.fact, self.where = options.pop("on", None), options.pop("when", None), where
        if options or self.fact not in (None, *FACTS) or (self.is_pattern() and self.fact is None):
            raise ValueError(f"{where}: not understood")
        self.seen = False

    def is_pattern(self):
        return "*" in self.trace + self.packet

    def __str__(self):
        return f"{self.trace} {self.packet} {self.kernel} {self.ours}"

    def applies(self, kernel):
        if self.versions is None:
            return True
        version, wanted = version_of(kernel), version_of(self.versions)
        if self.versions.endswith("+"):
            return version >= wanted
        return version <= wanted if self.versions.startswith("-") else version == wanted

    def is_of(self, trace, number, packet, them, us):
        return ((self.kernel, self.ours) == (them, us) and fnmatch.fnmatchcase(trace.name, self.trace) and
                fnmatch.fnmatchcase(str(number), self.packet) and (self.fact is None or FACTS[self.fact](packet)))


class Differences:
    def __init__(self, path):
        self.path, self.whys, self.entries = path, {}, []
        self.found, self.kernels, self.unknown = [], [], []
        why = None
        lines = path.read_text().splitlines() if path.exists() else []
        for n, line in enumerate(lines, 1):
            if line.startswith("#") or not line.strip():
                continue
            words = line.split()
            if words[0] == "why" and len(words) == 2:
                why = self.whys.setdefault(words[1], [])
            elif line[0].isspace() and why is not None:
                why.append(line.strip())
            elif len(words) >= 5 and words[4] in self.whys:
                self.entries.append(Entry(words, f"{path.name}:{n}"))
            else:
                raise ValueError(f"{path}:{n}: not understood, or its reason is not given before it: {line}")

    def compare(self, kernel, traces, ours, theirs):
        self.kernels.append(kernel)
        exact, patterns = {}, []
        for entry in self.entries:
            if entry.is_pattern():
                patterns.append(entry)
            elif entry.applies(kernel):
                exact[entry.trace, entry.packet] = entry
        for trace in traces:
            for i, (us, them) in enumerate(zip(ours[trace.name], theirs[trace.name])):
                if plain(us) == plain(them):
                    continue
                found = (trace, i + 1, trace.packets[i], plain(them), us)
                self.found.append((kernel, found))
                candidates = [exact[trace.name, str(i + 1)]] if (trace.name, str(i + 1)) in exact else patterns
                entry = next((e for e in candidates if e.applies(kernel) and e.is_of(*found)), None)
                if entry:
                    entry.seen = True
                else:
                    self.unknown.append((kernel, found))

    def print_all(self):
        for kernel, (trace, number, packet, them, us) in self.found:
            print(f"{trace.name} {number} {them} {us}   # {kernel}: {packet.text}")

    def report(self, complete):
        for kernel, (trace, number, packet, them, us) in self.unknown:
            print(f"not in {self.path.name}: {trace.name} {number} {them} {us}   ({kernel}: {packet.text})")
        gone = []
        if complete:
            gone = [e for e in self.entries if not e.seen and any(e.applies(k) for k in self.kernels)]
        for entry in gone:
            print(f"{entry.where}: does not occur any more: {entry}")
        used = {e.why for e in self.entries}
        unused = sorted(set(self.whys) - used)
        for why in unused:
            print(f"{self.path.name}: reason '{why}' is of no entry")
        print(f"{len(self.found)} differences ({', '.join(self.kernels)}), {len(self.unknown)} of them unknown, "
              f"{len(gone)} entries without one, {len(used)} reasons")
        return 1 if self.unknown or gone or unused else 0
