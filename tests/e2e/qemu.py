# SPDX-License-Identifier: BSD-3-Clause
"""A virtual machine: QEMU with a Debian kernel, its network functions, its monitor (QMP) and its command agent."""
import json
import os
import pathlib
import socket
import time

from agent import Agent
from proc import Daemon, LabError, tail

ROOT_PORTS = 4


def accelerator():
    """OUTBOARD_ACCEL=tcg|kvm; emulation unless asked, as that is what works on every machine."""
    return os.environ.get("OUTBOARD_ACCEL", "tcg")


class Qmp:
    def __init__(self, path):
        self.path = path
        self.sock = None

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(self.path)
        self.file = self.sock.makefile("rw")
        self._read()
        self.call("qmp_capabilities")

    def close(self):
        if self.sock:
            self.file.close()
            self.sock.close()
            self.sock = None

    def _read(self):
        line = self.file.readline()
        if not line:
            raise LabError(f"QEMU closed its monitor {self.path}")
        return json.loads(line)

    def call(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"QEMU: {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]


class Nic:
    """One network function as a guest sees it. 'kind': vfio-user, vhost-user, or qemu (QEMU's own, for testing the harness)."""

    def __init__(self, name, kind, mac, addrs, path=None, mtu=None, queues=1):
        self.name, self.kind, self.mac, self.addrs, self.path = name, kind, mac, list(addrs), path
        self.mtu, self.queues = mtu, queues

    def kernel_arg(self):
        return ",".join([f"lab.net={self.mac}", self.name, str(self.mtu or "-"), *self.addrs])


class Disk:
    """One disk function as a guest sees it. 'kind': vfio-user (NVMe or virtio-blk), or vhost-user (virtio-blk)."""

    def __init__(self, name, kind, path, queues=1):
        self.name, self.kind, self.path, self.queues = name, kind, path, queues


def vfio_user_device(ident, bus, path):
    # A reply later than this time-out ends the device for good, so it is as long as QEMU allows in practice.
    return {"driver": "vfio-user-pci", "id": ident, "bus": bus, "socket": {"type": "unix", "path": str(path)},
            "x-msg-timeout": 600000}


class Guest:
    def __init__(self, name, directory, qemu, image, nics, memory=256, cpus=1, disks=()):
        self.name, self.nics, self.disks = name, {nic.name: nic for nic in nics}, list(disks)
        self.dir = pathlib.Path(directory)
        self.qemu, (self.kernel, self.initrd) = qemu, image
        self.memory, self.cpus = memory, cpus
        self.qmp = Qmp(str(self.dir / f"{name}.qmp"))
        self.agent = Agent(str(self.dir / f"{name}.agent"), name)
        self.console = self.dir / f"{name}.console"
        self.console_log = self.dir / f"{name}.console.log"
        self.daemon = None
        self.booted_s = None

    def argv(self):
        accel = accelerator()
        # The TSC is not called reliable: on a busy machine it may be calibrated 30 times wrong, and only the kernel's watchdog finds out.
        append = ["console=ttyS0 quiet panic=-1 random.trust_cpu=on no5lvl mitigations=off", f"lab.name={self.name}"]
        append += [nic.kernel_arg() for nic in self.nics.values()]
        argv = [self.qemu, "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
                "-M", f"q35,memory-backend=mem,accel={accel}", "-cpu", "max", "-smp", self.cpus, "-m", f"{self.memory}M",
                "-object", f"memory-backend-memfd,id=mem,size={self.memory}M,share=on",
                "-kernel", self.kernel, "-initrd", self.initrd, "-append", " ".join(append)]
        for name, path in (("con", self.console), ("agent", self.agent.path)):
            log = f",logfile={self.console_log},logappend=on" if name == "con" else ""
            argv += ["-chardev", f"socket,id={name},path={path},server=on,wait=off{log}", "-serial", f"chardev:{name}"]
        argv += ["-qmp", f"unix:{self.qmp.path},server=on,wait=off"]
        for i in range(1, ROOT_PORTS + 1):
            argv += ["-device", f"pcie-root-port,id=rp{i},chassis={i},slot={i}"]
        for i, nic in enumerate(self.nics.values(), 1):
            argv += self._nic_args(i, nic)
        for i, disk in enumerate(self.disks, 1 + len(self.nics)):
            argv += self._disk_args(i, disk)
        return argv

    @staticmethod
    def _disk_args(i, disk):
        if disk.kind == "vfio-user":
            return ["-device", json.dumps(vfio_user_device(f"vu{i}", f"rp{i}", disk.path))]
        return ["-chardev", f"socket,id=vh{i},path={disk.path},reconnect-ms=1000",
                "-device", f"vhost-user-blk-pci,id=vu{i},chardev=vh{i},num-queues={disk.queues},bus=rp{i}"]

    @staticmethod
    def _nic_args(i, nic):
        if nic.kind == "vfio-user":
            return ["-device", json.dumps(vfio_user_device(f"vu{i}", f"rp{i}", nic.path))]
        if nic.kind == "vhost-user":
            netdev = ["-chardev", f"socket,id=vh{i},path={nic.path},reconnect-ms=1000",
                      "-netdev", f"vhost-user,id=n{i},chardev=vh{i},queues={nic.queues}"]
            mq = f",mq=on,vectors={2 * nic.queues + 2}" if nic.queues > 1 else ""
            return netdev + ["-device", f"virtio-net-pci,netdev=n{i},mac={nic.mac},bus=rp{i}{mq}"]
        return ["-netdev", f"{nic.path},id=n{i}", "-device", f"virtio-net-pci,netdev=n{i},mac={nic.mac},bus=rp{i}"]

    def start(self, transient=True):
        self.daemon = Daemon(f"guest {self.name}", self.argv(), self.dir / f"{self.name}.qemu.log", transient)
        self.daemon.wait_for(lambda: self._connects(self.agent) and self._connects(self.qmp), 20, "listening")
        return self.daemon

    @staticmethod
    def _connects(peer):
        if peer.sock:
            return True
        try:
            peer.connect()
        except (FileNotFoundError, ConnectionRefusedError):
            peer.sock = None
            return False
        return True

    def attach(self):
        """Connects to a guest that another process started."""
        self.qmp.connect()
        self.agent.connect()

    def detach(self):
        self.qmp.close()
        self.agent.close()

    def wait_boot(self, seconds=90, watch=lambda: None):
        """'watch' is called now and then, to raise what makes further waiting useless."""
        until = time.monotonic() + seconds
        self.booted_s = None
        while self.booted_s is None:
            if time.monotonic() > until:
                raise LabError(f"guest {self.name} did not come up within {seconds} s\n{tail(self.console_log)}\n"
                               f"{tail(self.dir / (self.name + '.qemu.log'))}")
            watch()
            self.booted_s = self.agent.hello(2)

    def call(self, command, timeout=20):
        return self.agent.call(command, timeout)

    def run(self, command, timeout=20):
        """Runs a shell command in the guest and returns its output; raises LabError if it fails."""
        status, out = self.agent.call(command, timeout)
        if status:
            raise LabError(f"{self.name}: {command}: exit status {status}\n{out.strip()}")
        return out

    def net_up(self, *nics):
        """Names and configures interfaces (again); the extra ones are those that came after boot."""
        self.run("net-up " + " ".join(f"'{nic.kernel_arg()}'" for nic in nics))

    def stop(self):
        self.detach()
        if self.daemon:
            self.daemon.stop(patience=2)
