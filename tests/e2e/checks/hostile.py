# SPDX-License-Identifier: BSD-3-Clause
"""A guest that means harm: it drives its function's registers by hand, and only its own function may suffer."""
import random
import struct

import topology as topo
from . import check, need
from .reach import between_cards

# virtio 1.2, 4.1.4: capability types, and registers of the common configuration structure.
COMMON_CFG, NOTIFY_CFG = 1, 2
GUEST_FEATURE_SELECT, GUEST_FEATURE, STATUS, QUEUE_SELECT, QUEUE_SIZE, QUEUE_ENABLE = 0x08, 0x0C, 0x14, 0x16, 0x18, 0x1C
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE, COMMON_LEN = 0x20, 0x28, 0x30, 0x38
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 0x40
VERSION_1_WORD = (1, 1)  # feature word 1, bit 0

# Ring addresses that no honest driver gives: far outside memory, wrapping, misaligned, firmware, the device's own registers.
EVIL = (0x0000_DEAD_0000_0000, 0xFFFF_FFFF_FFFF_F000, 0x0000_0000_00FF_FFF1, 0x0000_0000_000F_0000, 0x0000_0000_FEE0_0000)


class Registers:
    """Registers of a virtio function, written with the guest's devmem; the commands are collected and run together."""

    def __init__(self, guest, pci):
        self.guest, self.script = guest, []
        path = f"/sys/bus/pci/devices/{pci}"
        config = bytes.fromhex(guest.run(f"od -An -v -tx1 {path}/config").replace("\n", "").replace(" ", ""))
        bars = [int(line.split()[0], 16) for line in guest.run(f"cat {path}/resource").splitlines()]
        self.at = {}
        cap = config[0x34]
        while cap:
            if config[cap] == 9:  # vendor-specific
                kind, bar = config[cap + 3], config[cap + 4]
                offset, = struct.unpack_from("<I", config, cap + 8)
                self.at.setdefault(kind, bars[bar] + offset)
            cap = config[cap + 1]

    def write(self, offset, value, width, area=COMMON_CFG):
        self.script.append(f"devmem {self.at[area] + offset:#x} {8 * width} {value:#x}")

    def write64(self, offset, value):
        self.write(offset, value & 0xFFFFFFFF, 4)
        self.write(offset + 4, value >> 32, 4)

    def run(self):
        self.guest.run("\n".join(self.script), timeout=120)
        self.script = []

    def status(self):
        return int(self.guest.run(f"devmem {self.at[COMMON_CFG] + STATUS:#x} 8"), 16)

    def start_queue(self, queue, avail, used):
        """As a driver would, but with a ring of our choosing; 'avail' is also where the descriptors are."""
        self.write(STATUS, 0, 1)
        for status in (ACKNOWLEDGE, ACKNOWLEDGE | DRIVER):
            self.write(STATUS, status, 1)
        self.write(GUEST_FEATURE_SELECT, VERSION_1_WORD[0], 4)
        self.write(GUEST_FEATURE, VERSION_1_WORD[1], 4)
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK, 1)
        self.write(QUEUE_SELECT, queue, 2)
        for register, addr in ((QUEUE_DESC, avail), (QUEUE_DRIVER, avail), (QUEUE_DEVICE, used)):
            self.write64(register, addr)
        self.write(QUEUE_ENABLE, 1, 2)
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, 1)
        self.write(0, queue, 2, NOTIFY_CFG)


@check("hostile_guest", "faults", "g4 drives its registers by hand: its function stops, everything else goes on")
def hostile_guest(world):
    g4, card = world.guests["g4"], world.cards["b"]
    before = card.show("function", "show", "g4-green")["faults"]
    pci = g4.run("basename $(readlink -f /sys/class/net/green/device/..)").strip()
    g4.run(f"echo {pci} > /sys/bus/pci/drivers/virtio-pci/unbind", timeout=30)
    # The driver's unbind turned the function off: memory space and bus mastering back on.
    g4.run(f"echo 1 > /sys/bus/pci/devices/{pci}/enable; "
           f"printf '\\006' | dd of=/sys/bus/pci/devices/{pci}/config bs=1 seek=4 conv=notrunc 2>/dev/null")
    registers = Registers(g4, pci)
    for addr in EVIL:
        for queue in (0, 1):
            registers.start_queue(queue, addr, addr)
        registers.run()
    # Rings in the guest's own memory, full of what is no ring: the kernel's code. What the card writes back goes to the first pages, which Linux
    # leaves unused.
    code = g4.run("grep 'Kernel code' /proc/iomem").split()[0].split("-")
    first, last = (int(addr, 16) for addr in code)
    stopped = 0
    for i in range(8):
        registers.start_queue(i % 2, first + (last - first) // 8 * i & ~0xFFF, 0x4000)
        registers.run()
        stopped += registers.status() & NEEDS_RESET != 0
    dice = random.Random(2)  # the same run each time
    for _ in range(150):
        registers.write(dice.randrange(0, COMMON_LEN // 4) * 4, dice.getrandbits(32), 4)
    registers.run()
    faults = card.show("function", "show", "g4-green")["faults"] - before
    for family in (4, 6):
        between_cards(world, topo.RED, family)
    need(stopped > 0, "the driver was never told that its device needs a reset")
    need(faults > 0, "the card counted no fault of the hostile function")
    # The function itself is whole again for an honest driver.
    g4.run(f"echo 0 > /sys/bus/pci/devices/{pci}/enable; echo {pci} > /sys/bus/pci/drivers/virtio-pci/bind", timeout=30)
    g4.net_up()
    out = g4.call(f"arping -c 2 -w 5 -I green {topo.GREEN.routers()[0]}", timeout=20)[1]
    need("eceived 0" not in out, f"g4's function does not work again after its driver took it back:\n{out}")
    return faults
