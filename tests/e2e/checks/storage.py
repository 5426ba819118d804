# SPDX-License-Identifier: BSD-3-Clause
"""Disks: what a guest's own drivers and tools see of NVMe and virtio-blk functions, and what the operator does to live volumes."""
import json
import time

from changes import changes
from qemu import Disk, vfio_user_device
from . import check, need

NAME, HOT_PORT = "d1", "rp4"
# Told apart by it.
SIZES = {"nv0": 64 << 20, "bv0": 56 << 20, "bu0": 48 << 20}
KEY = "/tmp/crypt.key"


class Disks:
    """A guest with three disks of card a: an NVMe function, virtio-blk by vfio-user, and virtio-blk by vhost-user."""

    def __init__(self, world):
        self.card = world.cards["a"]
        self.dir = world.dir / "disks"
        self.dir.mkdir(exist_ok=True)
        disks = []
        for name, kind, transport in (("nv0", "nvme", "vfio-user"), ("bv0", "blk", "vfio-user"), ("bu0", "blk", "vhost-user")):
            self.volume(f"{name}-vol", "--kind", "file", "--path", self.dir / f"{name}.img", "--size", SIZES[name])
            self.function(name, kind, f"{name}-vol", transport)
            disks.append(Disk(name, transport, self.card.socket_of(name)))
        self.guest = world.add_disk_guest(NAME, disks)
        self.load_drivers()
        for name in ("bv0", "bu0"):
            setattr(self, name, self.find_blk(name))

    def load_drivers(self):
        self.guest.run("modprobe nvme; modprobe virtio_blk")
        wait_for(self.guest, "test -b /dev/nvme0n1", "the NVMe namespace")
        wait_for(self.guest, "test -b /dev/vdb", "two virtio disks")

    def volume(self, name, *args):
        self.card.ctl("volume", "add", name, *args)

    def function(self, name, kind, volume, transport="vfio-user"):
        self.card.ctl("function", "add", name, "--type", kind, "--transport", transport, "--socket", self.card.socket_of(name), "--volume", volume)

    def find_blk(self, name):
        """The guest's disk behind a function, by its size."""
        found = self.guest.run(f"grep -lx {SIZES[name] // 512} /sys/block/vd*/size").split("/")
        return f"/dev/{found[3]}"


def disks(world):
    if not hasattr(world, "disks"):
        world.disks = Disks(world)
    return world.disks


def wait_for(guest, test, what, seconds=15):
    until = time.monotonic() + seconds
    while guest.call(test)[0] != 0:
        need(time.monotonic() < until, f"{guest.name}: no {what} after {seconds} s\n" + guest.call("dmesg | tail -15")[1])
        time.sleep(0.2)


def fio(guest, dev, *args, timeout=60):
    """Runs fio on a disk; returns its one job."""
    words = " ".join(args)
    status, out = guest.call(f"fio --name=j --filename={dev} --direct=1 --ioengine=libaio --output-format=json {words}", timeout=timeout)
    need(status == 0, f"{guest.name}: fio {words} on {dev}: exit status {status}\n{out[-1500:]}\n" + guest.call("dmesg | tail -5")[1])
    return json.loads(out[out.index("{"):])["jobs"][0]


def verify(guest, dev):
    """Random writes, many at a time, read back with their checksums; returns the writes a second."""
    job = fio(guest, dev, "--rw=randwrite --bsrange=512-64k --blockalign=512 --size=24m --iodepth=16 --verify=crc32c --verify_fatal=1 --end_fsync=1")
    need(job["error"] == 0 and job["verify_ios" if "verify_ios" in job else "error"] >= 0, f"fio found errors: {job['error']}")
    return round(job["write"]["iops"])


def nvme(guest, *words, timeout=20):
    return json.loads(guest.run("nvme " + " ".join(words) + " -o json", timeout=timeout))


@check("nvme_identify", "", "nvme-cli in a guest: list, id-ctrl, id-ns, logs, rescan, reset")
def nvme_identify(world):
    d = disks(world)
    g = d.guest
    ctrl = nvme(g, "id-ctrl /dev/nvme0")
    ns = nvme(g, "id-ns /dev/nvme0n1")
    size = SIZES["nv0"] // (1 << ns["lbafs"][ns["flbas"] & 15]["ds"])
    need(ns["nsze"] == size, f"namespace 1 has {ns['nsze']} blocks, not {size}")
    listed = nvme(g, "list")["Devices"]
    need([x["DevicePath"] for x in listed] == ["/dev/nvme0n1"], f"nvme list: {listed}")
    need(listed[0]["SerialNumber"].strip() == ctrl["sn"].strip() != "", f"serial number: {listed[0]}")
    fio(g, "/dev/nvme0n1", "--rw=read --bs=64k --size=4m")
    smart = nvme(g, "smart-log /dev/nvme0")
    need(int(smart["host_read_commands"]) >= 64 and smart["critical_warning"] == 0, f"smart-log: {smart}")
    # A command that cannot be, so that the error log has something to tell.
    before = int(smart["num_err_log_entries"])
    need(g.call("nvme read /dev/nvme0n1 -s 0xffffffffff -c 0 -z 512")[0] != 0, "a read beyond the end succeeds")
    need(int(nvme(g, "smart-log /dev/nvme0")["num_err_log_entries"]) > before, "the refused command is not in the error log's count")
    nvme(g, "error-log /dev/nvme0 -e 4")
    nvme(g, "fw-log /dev/nvme0")
    for word in ("ns-rescan /dev/nvme0", "reset /dev/nvme0"):
        g.run(f"nvme {word}", timeout=30)
    wait_for(g, "test -b /dev/nvme0n1 && dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 iflag=direct", "the namespace after a reset")
    return ctrl["mn"].strip()


@check("nvme_fio_verify", "IOPS", "fio writes at random and reads back checksums through the guest's NVMe driver")
def nvme_fio_verify(world):
    d = disks(world)
    return verify(d.guest, "/dev/nvme0n1")


@check("nvme_mkfs", "", "ext4 on NVMe: make, write, trim, unmount, check, mount and compare")
def nvme_mkfs(world):
    d = disks(world)
    g, dev = d.guest, "/dev/nvme0n1"
    g.run(f"mkfs.ext4 -q -F {dev}", timeout=60)
    g.run(f"mkdir -p /mnt; mount -t ext4 {dev} /mnt; dd if=/dev/urandom of=/mnt/a bs=64k count=96 2>/dev/null; md5sum < /mnt/a > /tmp/sum; "
          "dd if=/dev/zero of=/mnt/b bs=64k count=160 2>/dev/null; sync; rm /mnt/b; sync", timeout=60)
    with changes() as change:
        change.at_end(g.call, "umount /mnt")
        trimmed = g.run("fstrim -v /mnt", timeout=30).strip()
        need(" 0 B" not in trimmed, f"fstrim: {trimmed}")
    g.run(f"e2fsck -fn {dev}", timeout=60)
    g.run(f"mount -t ext4 -o ro {dev} /mnt && md5sum < /mnt/a | cmp - /tmp/sum && umount /mnt", timeout=30)
    return trimmed.split(": ", 1)[1].split(" (")[0]


@check("blk_fio_verify", "IOPS", "fio verifies virtio-blk by vfio-user and by vhost-user, ext4 on both")
def blk_fio_verify(world):
    d = disks(world)
    rates = []
    for dev in (d.bv0, d.bu0):
        rates.append(verify(d.guest, dev))
        d.guest.run(f"mkfs.ext4 -q -F {dev}; mkdir -p /mnt; mount -t ext4 {dev} /mnt; cp /usr/bin/busybox /mnt; fstrim /mnt; umount /mnt; "
                    f"e2fsck -fn {dev}; mount -t ext4 -o ro {dev} /mnt; cmp /usr/bin/busybox /mnt/busybox && umount /mnt", timeout=90)
    return min(rates)


@check("volume_qos", "%", "limits of a live volume hold within 5 %: I/Os a second and bytes, changed while fio runs")
def volume_qos(world):
    d = disks(world)
    worst = 0
    with changes() as change:
        change.at_end(d.card.ctl, "volume", "set", "nv0-vol", "--iops", 0, "--bw", 0)
        for limits, args, key, wanted in ((("--iops", 400), "--rw=randread --bs=4k", "iops", 400), (("--iops", 0, "--bw", "4M"), "--rw=read --bs=64k", "bw_bytes", 4e6)):
            d.card.ctl("volume", "set", "nv0-vol", *limits)
            job = fio(d.guest, "/dev/nvme0n1", args, "--size=32m --iodepth=8 --time_based --ramp_time=1 --runtime=6")
            off = 100 * (job["read"][key] / wanted - 1)
            worst = max(worst, abs(off))
            need(abs(off) <= 5, f"{' '.join(map(str, limits))}: fio sees {job['read'][key]:.0f}, {off:+.1f} %")
    stats = d.card.show("volume", "stats", "nv0-vol")
    need(stats, "no statistics of the volume")
    return round(worst, 1)


@check("volume_encrypted", "", "what the card encrypts, dm-crypt in a guest reads with the same key, and the other way round")
def volume_encrypted(world):
    d = disks(world)
    g, card, plain = d.guest, d.card, "/dev/nvme0n2"
    key = d.dir / "crypt.key"
    key.write_bytes(bytes((7 * i + 3) & 255 for i in range(64)))
    octal = "".join(f"\\{b:03o}" for b in key.read_bytes())
    g.run(f"printf '{octal}' > {KEY}; head -c 1048576 /dev/urandom > /tmp/a; head -c 1048576 /dev/urandom > /tmp/b; modprobe dm_crypt; mkdir -p /run/cryptsetup")
    dm = f"cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --hash plain --key-file {KEY} {plain} dm"

    def attach(volume):
        card.ctl("namespace", "add", "nv0", "--nsid", 2, "--volume", volume)
        wait_for(g, f"test -b {plain}", "namespace 2")

    def detach():
        card.ctl("namespace", "del", "nv0", "--nsid", 2)
        wait_for(g, f"! test -b {plain}", "end of namespace 2")
    with changes() as change:
        change.ctl(card, ["volume", "add", "raw", "--kind", "file", "--path", d.dir / "raw.img", "--size", "16M"], ["volume", "del", "raw"])
        card.ctl("volume", "add", "sealed", "--kind", "crypt", "--on", "raw", "--key-file", key)
        attach("sealed")
        g.run(f"dd if=/tmp/a of={plain} bs=64k oflag=direct 2>/dev/null")
        detach()
        card.ctl("volume", "del", "sealed")
        need(open(d.dir / "raw.img", "rb").read(4096).count(0) < 512, "the file is not encrypted")
        attach("raw")
        g.run(f"{dm}; head -c 1048576 /dev/mapper/dm | cmp - /tmp/a; dd if=/tmp/b of=/dev/mapper/dm bs=64k seek=16 oflag=direct 2>/dev/null; "
              "cryptsetup close dm", timeout=40)
        detach()
        card.ctl("volume", "add", "sealed", "--kind", "crypt", "--on", "raw", "--key-file", key)
        change.at_end(card.ctl, "volume", "del", "sealed")
        attach("sealed")
        change.at_end(detach)
        g.run(f"dd if={plain} bs=64k count=16 iflag=direct 2>/dev/null | cmp - /tmp/a; dd if={plain} bs=64k skip=16 count=16 iflag=direct 2>/dev/null | cmp - /tmp/b")
        fio(g, plain, "--rw=randwrite --bs=4k --size=4m --iodepth=8 --verify=crc32c")
        # Crypto erase: another key from here on.
        g.run(f"nvme format {plain} --ses=2 --force", timeout=40)
        need(g.call(f"dd if={plain} bs=64k skip=16 count=16 iflag=direct 2>/dev/null | cmp -s - /tmp/b")[0] != 0, "data outlive a crypto erase")
        fio(g, plain, "--rw=randwrite --bs=4k --size=4m --iodepth=8 --verify=crc32c")
        shown = json.dumps(card.show("volume", "show", "sealed"))
        need("key" not in shown or key.read_bytes().hex() not in shown, "the key can be read back")
    return "both ways"


@check("disk_reboot", "s", "the guest's drivers let go and come back, then it reboots: what was written is there")
def disk_reboot(world):
    d = disks(world)
    g = d.guest
    pattern = "head -c 1048576 /usr/bin/busybox"
    for dev in ("/dev/nvme0n1", d.bv0, d.bu0):
        g.run(f"{pattern} | dd of={dev} bs=64k oflag=direct conv=fsync 2>/dev/null")
    for driver, node in (("nvme", "/dev/nvme0n1"), ("virtio-pci", d.bv0)):
        pci = g.run(f"p=$(readlink -f /sys/block/{node[5:]}); echo $p | grep -o '0000:[0-9a-f:.]*' | tail -1").strip()
        g.run(f"echo {pci} > /sys/bus/pci/drivers/{driver}/unbind; echo {pci} > /sys/bus/pci/drivers/{driver}/bind", timeout=40)
    d.load_drivers()
    began = time.monotonic()
    g.agent.send("reboot -f")
    g.wait_boot()
    d.load_drivers()
    for dev in ("/dev/nvme0n1", d.find_blk("bv0"), d.find_blk("bu0")):
        g.run(f"{pattern} > /tmp/p; dd if={dev} bs=64k count=16 iflag=direct 2>/dev/null | cmp - /tmp/p")
    return round(time.monotonic() - began, 1)


# The last one: QEMU does not reset a guest that has a function whose card let it go.
@check("nvme_hot_add", "s", "an NVMe function comes to a running guest, its volume grows under it, and it goes again")
def nvme_hot_add(world):
    d = disks(world)
    g, card = d.guest, d.card
    with changes() as change:
        change.ctl(card, ["volume", "add", "hot", "--kind", "ram", "--size", "32M"], ["volume", "del", "hot"])
        d.function("nvhot", "nvme", "hot")
        change.at_end(card.ctl, "function", "del", "nvhot")
        began = time.monotonic()
        g.qmp.call("device_add", **vfio_user_device("nvhot", HOT_PORT, card.socket_of("nvhot")))
        wait_for(g, "test -b /dev/nvme1n1", "hot-added namespace", 30)
        took = round(time.monotonic() - began, 1)
        verify(g, "/dev/nvme1n1")
        card.ctl("volume", "resize", "hot", "--size", "48M")
        wait_for(g, "test $(blockdev --getsize64 /dev/nvme1n1) = $((48 << 20))", "new size of the volume")
        # Not device_del: QEMU 11.1 aborts when it takes a vfio-user device with MSI-X away.
        g.run("echo 1 > /sys/class/nvme/nvme1/device/remove", timeout=40)
        wait_for(g, "! test -e /sys/class/nvme/nvme1", "end of the hot-added function", 30)
    return took
