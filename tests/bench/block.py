# SPDX-License-Identifier: BSD-3-Clause
"""'block': what a block I/O costs, over NVMe and virtio-blk, against qemu-storage-daemon, fio and openssl.

One initiator for all targets (tests/bench/block_initiator.c: a driver in user space, no VM), on the other core. Costs are the
on-CPU time of the whole target process, all its threads, over the I/Os that it completed."""
import json
import os
import pathlib
import re

import outboard
from bench_util import K, M, median, ratio, wants
from proc import LabError, run
from system import CORE, OTHER_CORE, System

SPAN = 64 * M // 4096 * 4096  # of RAM disks: offsets that are read
GIB = 1 << 30
TMPFS = "/dev/shm"


class Card(outboard.Outboard):
    """A card with one worker. 'idle': poll for latency, sleep as it comes otherwise."""

    def __init__(self, bench, label, idle):
        super().__init__(bench, label)
        self.idle = idle

    def start(self, uplink=None, dpdk_args=(), more=()):
        # (the option that is given last counts)
        return super().start(uplink, dpdk_args, ["--idle", self.idle, "--sessions", "1024", *more])

    def freeze(self):
        if self.idle == "poll":
            super().freeze()

    def nvme(self, name, volume, *how):
        self.ctl("volume", "add", volume, *how)
        path = self.dir / f"{name}.sock"
        self.ctl("function", "add", name, "--type", "nvme", "--socket", path, "--volume", volume)
        return "nvme", path

    def vhost(self, name, volume, *how):
        self.ctl("volume", "add", volume, *how)
        path = self.dir / f"{name}.sock"
        self.ctl("function", "add", name, "--type", "blk", "--transport", "vhost-user", "--socket", path, "--volume", volume, "--packed", "on")
        return "vhost", path


class Qsd(System):
    """qemu-storage-daemon with an iothread, as its documentation exports a disk for vhost-user-blk."""

    name = "qsd"

    def start(self, name, blockdev):
        path = self.dir / "qsd.sock"
        self.daemon = self.spawn(["taskset", "-c", CORE, "qemu-storage-daemon", "--object", "iothread,id=io",
                                  "--blockdev", f"node-name=disk,{blockdev}", "--export",
                                  f"type=vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path={path},writable=on,num-queues=1,iothread=io"])
        self.daemon.wait_for(path.exists, 20, "listening")
        return "vhost", path

    def freeze(self):
        """It sleeps while it has nothing to do."""


def initiator(bench, target, *options, pid=0, seconds=None):
    kind, path = target if isinstance(target, tuple) else (target, None)
    argv = [bench.build / "tests/block_initiator", kind, *([path] if path else []), "--cpu", OTHER_CORE if pid else CORE, "--pid", pid,
            "--seconds", seconds or (0.3 if bench.quick else 2), *options]
    return json.loads(run(*argv, timeout=120))


def per_io(page):
    return page["target_ns"] / page["ios"]


class Entry:
    """One thing that is measured in each round."""

    def __init__(self, label, target, options=(), system=None):
        self.label, self.target, self.options, self.system = label, target, options, system
        self.pages = []

    def once(self, bench):
        if callable(self.target):
            self.pages.append(self.target())
            return
        if self.system:
            self.system.thaw()
        try:
            self.pages.append(initiator(bench, self.target, *self.options, pid=self.system.daemon.pid if self.system else 0))
        finally:
            if self.system:
                self.system.freeze()


def rounds(bench, case, entries, size, qd):
    """A B C, A B C, ...; returns {label: row}."""
    n = 1 if bench.quick else 5
    for i in range(n):
        if i and bench.late():
            bench.note(f"{case}: out of time after {i} of {n} rounds")
            break
        for entry in entries:
            entry.once(bench)
            page = entry.pages[-1]
            bench.progress(f"  round {i + 1}/{n}  {entry.label:<24} {per_io(page):8.1f} ns, {page['ios'] / page['seconds'] / K:8.1f} kIOPS")
    return {e.label: row(bench, case, e.label, e.pages, size, qd) for e in entries}


def row(bench, case, label, pages, size, qd):
    ns = [per_io(p) for p in pages]
    out = {"system": label, "case": case, "bytes": size, "qd": qd, "ns_per_io": round(median(ns), 1), "ns_min": round(min(ns), 1),
           "ns_max": round(max(ns), 1), "miops_core": round(1000 / median(ns), 3), "rounds": len(pages),
           "kiops": round(median([p["ios"] / p["seconds"] / K for p in pages]), 1),
           "busy": round(median([p["target_ns"] / p["seconds"] / 1e9 for p in pages]), 2)}
    for key, name in (("p50_ns", "p50_us"), ("p99_ns", "p99_us"), ("p999_ns", "p99.9_us")):
        if key in pages[0]:
            out[name] = round(median([p[key] for p in pages]) / K, 2)
    bench.rows.append(out)
    return out


def over(bench, key, rows, ours, theirs, what="ns_per_io"):
    """How many times as much a core of ours does."""
    if ours in rows and theirs in rows:
        bench.ratios[key] = ratio(rows[theirs][what], rows[ours][what])


# ---- files -----------------------------------------------------------------------------------------------------------

def stamp(bench, target, span):
    """Each 4 KiB begins with its own offset: reads are checked."""
    initiator(bench, target, "--stamp", "--bytes", 4096, "--qd", 64, "--span", span)


def medium(bench):
    """A file that direct I/O goes to, and whether the file system takes it."""
    directory = pathlib.Path(os.environ.get("OUTBOARD_BENCH_DIR") or "/var/tmp") / bench.dir.name
    directory.mkdir(parents=True)
    bench.folders.append(directory)
    path = directory / "disk.img"
    size = 64 * M // 4096 * 4096 if bench.quick else GIB
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
        direct = True
    except OSError:
        direct = False
        bench.note(f"{directory}: no O_DIRECT there; the file is cached for everybody")
    # Written once, so that no read meets a hole.
    run("dd", "if=/dev/urandom", f"of={path}", "bs=1M", f"count={size >> 20}", "conv=notrunc", *(["oflag=direct"] if direct else []), timeout=300)
    return path, size, direct


# ---- NVMe ------------------------------------------------------------------------------------------------------------

def nvme_null(bench, card):
    options = ("--bytes", 512, "--qd", 128, "--span", GIB)
    entries = [Entry("outboard", card.nvme("n-null", "null", "--kind", "null", "--size", "1T"), options, card),
               Entry("outboard, messages", entries_path(card, "n-null"), (*options, "--no-shadow"), card)]
    spdk = os.environ.get("SPDK_DIR")
    if spdk and wants(bench, "spdk"):
        peer = Spdk(bench, spdk)
        entries.append(Entry("spdk", peer.start(), options, peer))
    rows = rounds(bench, "NVMe, null, random read", entries, 512, 128)
    bench.ratios["nvme_null_miops"] = rows["outboard"]["miops_core"]
    over(bench, "nvme_over_spdk", rows, "outboard", "spdk")


def entries_path(card, name):
    return "nvme", card.dir / f"{name}.sock"


class Spdk(System):
    """SPDK's target from the build in SPDK_DIR: a null bdev behind its own vfio-user transport."""

    name = "spdk"

    def __init__(self, bench, spdk):
        super().__init__(bench)
        self.spdk = pathlib.Path(spdk)

    def rpc(self, *args):
        return run(self.spdk / "scripts/rpc.py", "-s", self.dir / "rpc.sock", *args, timeout=30)

    def start(self):
        where, nqn = self.dir / "vfu", "nqn.2019-07.io.spdk:bench"
        where.mkdir()
        self.daemon = self.spawn([self.spdk / "build/bin/nvmf_tgt", "-m", f"[{CORE}]", "-r", self.dir / "rpc.sock", "--no-huge", "-s", "1024"])
        self.daemon.wait_for((self.dir / "rpc.sock").exists, 30, "listening")
        self.rpc("nvmf_create_transport", "-t", "VFIOUSER")
        self.rpc("bdev_null_create", "null", str(1 << 20), "512")
        self.rpc("nvmf_create_subsystem", nqn, "-a", "-s", "SPDK0")
        self.rpc("nvmf_subsystem_add_ns", nqn, "null")
        self.rpc("nvmf_subsystem_add_listener", nqn, "-t", "VFIOUSER", "-a", where, "-s", "0")
        self.freeze()
        return "nvme", where / "cntrl"


# ---- virtio-blk against qemu-storage-daemon --------------------------------------------------------------------------

def virtio_ram(bench, card):
    options = ("--bytes", 4096, "--qd", 32, "--check", "--span", SPAN)
    ours = card.vhost("b-ram", "ram", "--kind", "ram", "--size", "64M")
    entries = [Entry("outboard", ours, options, card), Entry("outboard, packed", ours, (*options, "--packed"), card)]
    best = None
    if wants(bench, "qsd"):
        # Its RAM disk is a file in tmpfs; the page cache in between is the same memory.
        image = pathlib.Path(TMPFS) / f"{bench.dir.name}.img"
        bench.folders.append(image)
        image.touch()
        os.truncate(image, SPAN)
        for aio in ("threads", "io_uring"):
            qsd = Qsd(bench, f"qsd-ram-{aio}")
            target = qsd.start("ram", f"driver=file,filename={image},aio={aio}")
            stamp(bench, target, SPAN)
            cost = per_io(initiator(bench, target, *options, pid=qsd.daemon.pid, seconds=0.3))
            if best is None or cost < best[0]:
                if best:
                    best[1].stop()
                best = (cost, qsd, target, aio)
            else:
                qsd.stop()
        bench.progress(f"qsd, RAM: aio={best[3]} is its best")
        entries.append(Entry("qsd", best[2], options, best[1]))
    stamp(bench, ours, SPAN)
    rows = rounds(bench, "virtio-blk, RAM, random read", entries, 4096, 32)
    over(bench, "virtio_blk_over_qsd_ram", rows, "outboard", "qsd")
    if best:
        best[1].stop()


def virtio_file(bench, card, disk, cached):
    """'cached': through the page cache, which holds all of it: software alone. Else past it: the medium's pace, the same for both."""
    path, size, direct = disk
    options = ("--bytes", 4096, "--qd", 32, "--span", size)
    what = "cached" if cached else "file"
    target = card.vhost(f"b-{what}", what, "--kind", "file", "--path", path, "--access", "ro", "--cache", "buffered" if cached or not direct else "direct")
    entries = [Entry("outboard", target, options, card)]
    if wants(bench, "qsd"):
        qsd = Qsd(bench, f"qsd-{what}")
        direct = "off" if cached or not direct else "on"
        entries.append(Entry("qsd", qsd.start(what, f"driver=file,filename={path},aio=io_uring,cache.direct={direct},locking=off"), options, qsd))
    if cached:
        run("dd", f"if={path}", "of=/dev/null", "bs=1M", timeout=300)
    rows = rounds(bench, f"virtio-blk, {what if cached else 'direct'} file, random read", entries, 4096, 32)
    over(bench, "virtio_blk_over_qsd_file" + ("_cached" if cached else ""), rows, "outboard", "qsd")
    if wants(bench, "qsd"):
        qsd.stop()
    card.ctl("function", "del", f"b-{what}")
    card.ctl("volume", "del", what)


# ---- the devices by themselves ---------------------------------------------------------------------------------------

def fio(bench, disk):
    path, _, direct = disk
    seconds = 1 if bench.quick else 2
    text = run("fio", "--name=peer", f"--filename={path}", "--ioengine=io_uring", f"--direct={int(direct)}", "--rw=randread", "--bs=4k",
               "--iodepth=32", f"--runtime={seconds}", "--time_based", "--fixedbufs", "--registerfiles", "--norandommap", "--thread",
               f"--cpus_allowed={CORE}", "--output-format=json", timeout=60)
    job = json.loads(text[text.index("{"):])["jobs"][0]
    ms = job["read"]["runtime"]
    return {"ios": job["read"]["total_ios"], "seconds": ms / 1000, "target_ns": ms * 1e6 * (job["usr_cpu"] + job["sys_cpu"]) / 100}


def file_device(bench, disk):
    path, size, _ = disk
    entries = [Entry("outboard", ("file", path), ("--bytes", 4096, "--qd", 32, "--span", size, "--sleep"))]
    if wants(bench, "fio"):
        entries.append(Entry("fio", lambda: fio(bench, disk)))
    rows = rounds(bench, "file device, random read", entries, 4096, 32)
    if len(rows) == 2:
        bench.ratios["file_over_fio_uring"] = ratio(rows["outboard"]["kiops"], rows["fio"]["kiops"])
        over(bench, "file_over_fio_uring_cpu", rows, "outboard", "fio")


def openssl(bench, decrypt):
    seconds = 1 if bench.quick else 2
    text = run("taskset", "-c", CORE, "openssl", "speed", "-mr", "-bytes", "4096", "-seconds", seconds, *(["-decrypt"] if decrypt else []),
               "-evp", "aes-256-xts", timeout=60)
    found = re.search(r"^\+F:\d+:[^:]*:([\d.]+)", text, re.M)
    if not found:
        raise LabError(f"openssl speed said nothing of aes-256-xts:\n{text[-500:]}")
    ios = float(found.group(1)) / 4096
    return {"ios": ios, "seconds": 1, "target_ns": 1e9}


def crypt_device(bench):
    worst = None
    for word, write in (("write", True), ("read", False)):
        entries = [Entry("outboard", "crypt", ("--bytes", 4096, "--qd", 32, *(["--write"] if write else [])))]
        if wants(bench, "openssl"):
            entries.append(Entry("openssl", lambda decrypt=not write: openssl(bench, decrypt)))
        rows = rounds(bench, f"crypt over null, {word}", entries, 4096, 32)
        if len(rows) == 2:
            value = ratio(rows["openssl"]["ns_per_io"], rows["outboard"]["ns_per_io"])
            worst = value if worst is None else min(worst, value)
    if worst is not None:
        bench.ratios["crypt_over_openssl"] = worst


# ---- latency ---------------------------------------------------------------------------------------------------------

def one_at_a_time(bench):
    """What NVMe adds to the RAM disk below, one I/O at a time, with the worker on a core of its own and nothing else to do."""
    card = Card(bench, "outboard-poll", "poll").start()
    options = ("--bytes", 4096, "--qd", 1, "--span", SPAN)
    entries = [Entry("the device itself", "ram", options), Entry("NVMe, polling", card.nvme("n-ram", "ram1", "--kind", "ram", "--size", "64M"), options, card)]
    card.freeze()
    rows = rounds(bench, "RAM, random read, one at a time", entries, 4096, 1)
    for name in ("p50", "p999"):
        column = "p50_us" if name == "p50" else "p99.9_us"
        bench.ratios[f"qd1_added_us_{name}"] = round(rows["NVMe, polling"][column] - rows["the device itself"][column], 2)
    card.stop()


def block(bench):
    disk = medium(bench)
    file_device(bench, disk)
    crypt_device(bench)
    if wants(bench, "outboard"):
        card = Card(bench, "outboard", "sleep").start()
        nvme_null(bench, card)
        virtio_ram(bench, card)
        virtio_file(bench, card, disk, False)
        virtio_file(bench, card, disk, True)
        card.stop()
        one_at_a_time(bench)
