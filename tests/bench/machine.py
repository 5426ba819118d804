# SPDX-License-Identifier: BSD-3-Clause
"""The machine that a figure belongs to, and its hugepages while a bench runs."""
import os
import pathlib
import platform
import re

from proc import LabError, run

HUGE = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
SPARE_MB = 10240  # what must be available before we take any
SHMEM = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
_before = None
_shmem_before = None


def _number(path):
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def available_mb():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(re.search(r"MemAvailable: *(\d+)", text).group(1)) // 1024


def take_hugepages(megabytes):
    """True if that much is there now in hugepages; taken only where they are not missed. The same for every system in any case."""
    global _before  # pylint: disable=global-statement
    if os.environ.get("OUTBOARD_NO_HUGE"):
        return False
    want = megabytes // 2
    free = _number(HUGE / "free_hugepages")
    if free >= want:
        return True
    if available_mb() < SPARE_MB + megabytes:
        return False
    _before = _number(HUGE / "nr_hugepages")
    try:
        (HUGE / "nr_hugepages").write_text(str(_before + want - free))
    except OSError:
        pass
    if _number(HUGE / "free_hugepages") >= want:
        return True
    give_hugepages_back()
    return False


def give_hugepages_back():
    global _before  # pylint: disable=global-statement
    if _before is not None:
        try:
            (HUGE / "nr_hugepages").write_text(str(_before))
        except OSError:
            pass
        _before = None


def let_shared_memory_be_huge():
    """As the card's documentation tells an operator to: the arena asks for huge pages, and gets them."""
    global _shmem_before  # pylint: disable=global-statement
    try:
        now = re.search(r"\[(\w+)\]", SHMEM.read_text()).group(1)
        if now in ("never", "deny"):
            SHMEM.write_text("advise")
            _shmem_before = now
    except (OSError, AttributeError):
        pass


def shared_memory():
    try:
        return re.search(r"\[(\w+)\]", SHMEM.read_text()).group(1)
    except (OSError, AttributeError):
        return "?"


def put_back():
    """All that was changed on this machine."""
    global _shmem_before  # pylint: disable=global-statement
    give_hugepages_back()
    if _shmem_before is not None:
        try:
            SHMEM.write_text(_shmem_before)
        except OSError:
            pass
        _shmem_before = None


def _cpu():
    text = pathlib.Path("/proc/cpuinfo").read_text()

    def field(name):
        found = re.search(rf"^{name}\s*: (.*)$", text, re.M)
        return found.group(1).strip() if found else "?"
    family = f" (family {field('cpu family')}, model {field('model')})" if "model" in text else ""
    return field("model name") + family


def _caches():
    base = pathlib.Path("/sys/devices/system/cpu/cpu0/cache")
    out = {}
    for index in sorted(base.glob("index*")):
        if (index / "type").read_text().strip() != "Instruction":
            out[f"L{(index / 'level').read_text().strip()}"] = (index / "size").read_text().strip()
    return out


def _version(*argv, pattern):
    try:
        found = re.search(pattern, run(*argv, check=False))
    except LabError:
        return None
    return found.group(1) if found else None


def describe(bench):
    dpdk = _version("pkg-config", "--modversion", "libdpdk", pattern=r"(\S+)")
    ovs = _version("ovs-vswitchd", "--version", pattern=r"Open vSwitch\) (\S+)")
    facts = {"cpu": _cpu(), "cpus": os.cpu_count(), "caches": _caches(), "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
             "kernel": platform.release(), "arch": platform.machine(), "virtual": "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text(),
             "dpdk": dpdk, "ovs": ovs, "hugepages": bench.huge, "shmem_huge": shared_memory()}
    caches = ", ".join(f"{k} {v}" for k, v in facts["caches"].items())
    facts["text"] = (f"{facts['cpu']}, {facts['cpus']} cores{' of a virtual machine' if facts['virtual'] else ''}, {caches}, {facts['memory_gb']} GB, "
                     f"Linux {facts['kernel']}, DPDK {dpdk}, OVS {ovs}, {'hugepages' if bench.huge else 'no hugepages'}, "
                     f"shmem_enabled {facts['shmem_huge']}")
    return facts
