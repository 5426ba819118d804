# SPDX-License-Identifier: BSD-3-Clause
"""Who judges packets: our tracking, this machine's kernel, Debian's kernel in a virtual machine."""
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))
from proc import LabError, run  # noqa: E402  (the lab's own modules)
from qemu import Guest  # noqa: E402

MODULES = ["nf_conntrack", "nf_tables", "nft_ct", "tun"]
BOOT_SECONDS = 180
LATE, ATTEMPTS = 3, 3  # exit status of ct_kernel when the machine was too busy


class JudgeError(Exception):
    """It could not be asked."""


def _program(build, name):
    path = pathlib.Path(build) / "tests/conformance" / name
    if not path.exists():
        raise JudgeError(f"{path} is missing: ./outboard build")
    return path


def _words(name, done):
    if done.returncode:
        raise JudgeError(f"{name}: exit status {done.returncode}\n{done.stderr.strip()}")
    return done.stdout.split("\n")[:-1]


class Ours:
    name, reassembles = "ours", False

    def __init__(self, build):
        self.program = _program(build, "ct_session")

    def judge(self, events):
        return _words(self.name, subprocess.run([self.program], input="\n".join(events) + "\n", text=True, timeout=60,
                                                capture_output=True, check=False))


class Here:
    """This machine's kernel."""
    reassembles = True

    def __init__(self, build):
        self.program = _program(build, "ct_kernel")
        self.name = "linux-" + ".".join(platform.release().split(".")[:2])

    @staticmethod
    def usable():
        rules = "table inet t {\n chain c {\n ct state new ip dscp set 1\n }\n}\n"
        try:
            done = subprocess.run(["unshare", "-n", "nft", "-f", "-"], input=rules, text=True, capture_output=True, timeout=20,
                                  check=False)
        except OSError:
            return False
        return done.returncode == 0 and os.path.exists("/dev/net/tun")

    def judge(self, events):
        for _ in range(ATTEMPTS):
            done = subprocess.run([self.program, HERE / "router.sh"], input="\n".join(events) + "\n", text=True, timeout=120,
                                  capture_output=True, check=False)
            if done.returncode != LATE:
                break
        return _words(self.name, done)


class InGuest:
    """The kernel of the lab's virtual machines."""
    reassembles = True

    def __init__(self, build):
        self.program = _program(build, "ct_kernel")
        if os.geteuid() == 0:
            run(TOP / "outboard", "setup", "lab", timeout=900)  # QEMU, the guest, nft: what is there is not done again
        cache = pathlib.Path(os.environ.get("OUTBOARD_CACHE") or "/var/cache/outboard")
        self.qemu = cache / "qemu/qemu-system-x86_64"
        if not self.qemu.exists():
            raise JudgeError(f"{self.qemu} is missing: ./outboard setup lab")
        self.image = run(TOP / "tools/guest/build-guest.sh", timeout=300).split()
        # .../kernel-NAME/root/boot/vmlinuz-VERSION
        kernel = pathlib.Path(self.image[0])
        self.root, self.version = kernel.parents[1], kernel.name.partition("-")[2]
        self.name = "linux-" + ".".join(self.version.split(".")[:2])

    def _modules(self):
        """Files of what conntrack needs, in the order in which they load."""
        files = []
        for module in MODULES:
            out = run("modprobe", "-d", self.root, "-S", self.version, "--show-depends", module)
            for line in out.splitlines():
                word = line.split()
                if word[0] == "insmod" and word[1] not in files:
                    files.append(word[1])
        return files

    def _extra(self, tree, events):
        """What this test adds to the guest's image."""
        here = tree / "conntrack"
        (here / "modules").mkdir(parents=True)
        for i, path in enumerate(self._modules()):
            shutil.copy(path, here / "modules" / f"{i:02}.ko")
        for path in (self.program, HERE / "router.sh"):
            shutil.copy(path, here / path.name)
        nft = shutil.which("nft") or "/usr/sbin/nft"
        (tree / "usr/bin").mkdir(parents=True)
        shutil.copy(nft, tree / "usr/bin/nft")
        for word in run("ldd", nft).split():
            if word.startswith("/"):
                target = tree / word.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)
        (here / "events").write_text("\n".join(events) + "\n")

    def _image(self, work, events):
        tree, image = work / "tree", work / "initrd"
        self._extra(tree, events)
        names = "\n".join(sorted(str(p.relative_to(tree)) for p in tree.rglob("*")))
        packed = subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=tree, input=names.encode(),
                                capture_output=True, check=True).stdout
        # The kernel unpacks images that follow each other, one over the other.
        image.write_bytes(pathlib.Path(self.image[1]).read_bytes() + packed)
        return image

    def judge(self, events):
        with tempfile.TemporaryDirectory(prefix="ob-conntrack-") as name:
            work = pathlib.Path(name)
            guest = Guest("ct", work, str(self.qemu), (self.image[0], str(self._image(work, events))), [])
            try:
                guest.start()
                guest.wait_boot(BOOT_SECONDS)
                guest.run("for m in /conntrack/modules/*.ko; do insmod $m || exit; done")
                for _ in range(ATTEMPTS):
                    status, out = guest.call("/conntrack/ct_kernel /conntrack/router.sh < /conntrack/events", timeout=120)
                    if status != LATE:
                        break
                if status:
                    raise LabError(f"ct_kernel: exit status {status}\n{out[-500:]}")
            except (LabError, OSError) as err:
                raise JudgeError(f"{self.name}: {err}") from None
            finally:
                guest.stop()
        return out.splitlines()


def kernels(build, which):
    """The judges to compare with."""
    chosen = []
    if which in ("here", "both") or (which == "auto" and Here.usable()):
        if not Here.usable():
            raise JudgeError("this machine's kernel has no conntrack with nftables, or nft or root are missing")
        chosen.append(Here(build))
    if which in ("guest", "both", "auto"):
        chosen.append(InGuest(build))
    return chosen
