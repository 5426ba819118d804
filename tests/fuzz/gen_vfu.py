#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz target vfu: what QEMU sends, in its order, and one seed per command.

usage: gen_vfu.py FOLDER. A seed is a sequence of {control byte, message}; see dpu-fw/vfu/vfu_fuzz.c."""
import os
import struct
import sys

(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, REGION_INFO, REGION_IO_FDS, IRQ_INFO, SET_IRQS, READ, WRITE, DMA_READ, DMA_WRITE,
 RESET, DIRTY, MULTI, FEATURE, MIG_READ, MIG_WRITE) = range(1, 19)
NO_REPLY, REPLY = 0x10, 1
ONE_FD, TWO_FDS, ALL_FDS, MEM, SPLIT, FIX = 1, 2, 3, 4, 8, 16
IRQ, INTX, CHECK, LOOP, RECONNECT, STALL, UNSTALL = (n << 5 for n in range(1, 8))
CFG = 7
# Where this server puts its capabilities.
MSIX, EXP, VPD = 0x40, 0x4c, 0x88
EVENTFD_TRIGGER, NONE_TRIGGER, NONE_UNMASK, NONE_MASK, EVENTFD_UNMASK, BOOL_TRIGGER = 0x24, 0x21, 0x11, 0x09, 0x14, 0x22
CAPS = (b'{"capabilities":{"pgsizes":4096,"max_msg_fds":16,"max_dma_maps":65535,"max_data_xfer_size":1048576,'
        b'"migration":{"max_bitmap_size":268435456,"pgsize":4096},"write_multiple":true}}\0')


def msg(cmd, body=b'', flags=0, ctl=0, msg_id=1):
    return struct.pack('<BHHIII', ctl, msg_id, cmd, 16 + len(body), flags, 0) + body


def version(caps=CAPS, major=0):
    return msg(VERSION, struct.pack('<HH', major, 0) + caps)


def dma_map(iova, size, flags=3, off=0, ctl=ONE_FD | MEM):
    return msg(DMA_MAP, struct.pack('<IIQQQ', 32, flags, off, iova, size), ctl=ctl)


def dma_unmap(iova, size, flags=0):
    return msg(DMA_UNMAP, struct.pack('<IIQQ', 24, flags, iova, size))


def region_info(index, argsz=32):
    return msg(REGION_INFO, struct.pack('<IIIIQQ', argsz, 0, index, 0, 0, 0))


def irq_info(index):
    return msg(IRQ_INFO, struct.pack('<IIII', 16, 0, index, 0))


def set_irqs(flags, index, start, count, ctl=0, data=b''):
    return msg(SET_IRQS, struct.pack('<IIIII', 20 + len(data), flags, index, start, count) + data, ctl=ctl)


def read(region, off, n):
    return msg(READ, struct.pack('<QII', off, region, n))


def write(region, off, data, flags=0, ctl=0):
    return msg(WRITE, struct.pack('<QII', off, region, len(data)) + data, flags, ctl)


def multi(writes, flags=NO_REPLY):
    body = struct.pack('<Q', len(writes))
    for region, off, data in writes:
        body += struct.pack('<QII8s', off, region, len(data), data)
    return msg(MULTI, body, flags)


def start():
    """QEMU until the device is realized."""
    out = [version(), dma_map(0, 0x80000), dma_map(0xfffc0000, 0x40000, 1, ctl=0),
           msg(GET_INFO, struct.pack('<IIII', 16, 0, 0, 0))]
    out += [region_info(0), region_info(0, 64)] + [region_info(i) for i in (1, 2, 3, 4, 5, 7)]
    out += [irq_info(3), read(CFG, 0, 4096), write(CFG, 0x30, b'\xff' * 4), irq_info(2),
            set_irqs(EVENTFD_TRIGGER, 0, 0, 1, ONE_FD), set_irqs(EVENTFD_TRIGGER, 3, 0, 1, ONE_FD)]
    return out


def machine_reset():
    out = [set_irqs(NONE_TRIGGER, 0, 0, 0), write(CFG, 4, b'\0\0'), msg(RESET)]
    out += [write(CFG, 0x10 + 4 * i, b'\0' * 4) for i in range(6)]
    return out + [set_irqs(EVENTFD_TRIGGER, 0, 0, 1, ONE_FD)]


def bios():
    out = [dma_unmap(0, 0x80000), dma_map(0, 0x10000), dma_map(0x10000, 0x2000, 1, 0x10000), dma_map(0x12000, 0x6e000, 3, 0x12000)]
    for i in range(6):
        out += [write(CFG, 0x10 + 4 * i, b'\xff' * 4), read(CFG, 0x10 + 4 * i, 4), write(CFG, 0x10 + 4 * i, b'\0\0\xeb\xfe')]
    return out + [write(CFG, 4, b'\x06\x01'), dma_map(0xfeb00000, 0x4000, ctl=0)]


def driver():
    out = [write(CFG, MSIX + 2, struct.pack('<H', 0x8045)), set_irqs(NONE_TRIGGER, 0, 0, 0), set_irqs(EVENTFD_TRIGGER, 2, 0, 1)]
    out += [set_irqs(EVENTFD_TRIGGER, 2, i, 1, ONE_FD | IRQ) for i in range(3)]
    out += [write(0, 20, bytes([s]), NO_REPLY) for s in (0, 1, 3, 11, 15)] + [read(0, 20, 1)]
    out += [multi([(0, 0x100 + 4 * i, b'\1\0') for i in range(5)])]
    out += [set_irqs(EVENTFD_TRIGGER, 2, 1, 1, ONE_FD), write(CFG, 4, b'\x06\x05', ctl=CHECK)]
    return out


SEEDS = {
    'qemu': start() + machine_reset() + bios() + driver(),
    'qemu-reconnect': start() + bios() + [msg(RESET, ctl=RECONNECT)] + start() + driver(),
    'split': [bytes([m[0] | SPLIT]) + m[1:] for m in start() + driver()],
    'intx': [version(), set_irqs(EVENTFD_TRIGGER, 0, 0, 1, ONE_FD), set_irqs(EVENTFD_UNMASK, 0, 0, 1, ONE_FD),
             msg(RESET, ctl=LOOP), write(0, 0, b'\1', ctl=INTX), set_irqs(NONE_UNMASK, 0, 0, 1, INTX), set_irqs(NONE_MASK, 0, 0, 1),
             read(CFG, 4, 4), set_irqs(NONE_TRIGGER, 0, 0, 1), write(CFG, 4, b'\0\4'), msg(RESET, ctl=INTX)],
    'msix': [version(), write(CFG, MSIX + 2, struct.pack('<H', 0x8000)), set_irqs(EVENTFD_TRIGGER, 2, 0, 16, ALL_FDS),
             set_irqs(NONE_MASK, 2, 0, 4, IRQ), read(0, 0x2000, 16), set_irqs(BOOL_TRIGGER, 2, 0, 4, 0, b'\1\0\1\1'),
             set_irqs(NONE_UNMASK, 2, 0, 4, IRQ), write(CFG, MSIX + 2, struct.pack('<H', 0xc000), ctl=IRQ),
             write(CFG, MSIX + 2, struct.pack('<H', 0x8000)), set_irqs(NONE_TRIGGER, 2, 0, 0)],
    'config': [version()] + [m for a in (0, 4, 40) for m in (write(CFG, VPD + 2, struct.pack('<H', a)), read(CFG, VPD, 8))] +
              [write(CFG, VPD + 2, b'\0\x80'), write(CFG, EXP + 8, struct.pack('<H', 0x2810 | 0x8000)), write(CFG, 0, b'\xff' * 256),
               write(CFG, 0x90, b'\xff' * 20), read(CFG, 0x90, 20), read(CFG, 4000, 96)],
    'bar': [version(), read(0, 0, 0x4000), write(0, 0xff0, bytes(range(48))), write(0, 0x1ff8, bytes(24)), write(0, 0x2ff8, bytes(24)),
            read(0, 0x3ff8, 8), read(0, 0x3ffc, 8), read(2, 0, 4), read(0, 2**64 - 4, 8), read(6, 0, 4), read(99, 0, 4)],
    'multi': [version(), multi([], 0), multi([(0, 0, b'12345678'), (CFG, 0x3c, b'\x0b'), (0, 0x4000, b'1')], 0)],
    'unmap': [version(), dma_map(0, 0x1000), dma_map(0, 0x1000), dma_map(0x2000, 0x1000, 1), dma_map(0x3000, 0x1000, 2, ctl=0),
              dma_unmap(0x2000, 0x1000), dma_unmap(0, 0x800), dma_unmap(0x9000, 0x1000), dma_unmap(0, 0x1000, 1), dma_unmap(0, 0, 2)],
    'shared': [version(), dma_map(0, 0x10000), write(CFG, 4, b'\x06\x01', ctl=CHECK),
               msg(DMA_READ, struct.pack('<QQ', 0x1000, 64) + bytes(64), REPLY, CHECK, 1),
               msg(DMA_READ, struct.pack('<QQ', 0x1000, 64) + b'x' * 64, REPLY, 0, 2),
               msg(DMA_READ, struct.pack('<QQ', 0x1000, 64) + b'x' * 64, REPLY, 0, 3), msg(DMA_READ, b'', 0x21, 0, 4)],
    'unsupported': [version(b'{}\0')] + [msg(c, bytes(16)) for c in (REGION_IO_FDS, DIRTY, FEATURE, MIG_READ, MIG_WRITE, 99)] +
                   [msg(DMA_WRITE, bytes(16))],
    'version-bad': [version(b'{"capabilities":{"max_msg_fds":"x"}}\0'), version(b'', 1), version(b'{"capabilities":[]}\0'), version(b'{}'),
                    version(b'\0'), version(), version()],
    'fds': [version(), msg(RESET, ctl=ONE_FD), version(), set_irqs(EVENTFD_TRIGGER, 2, 0, 2, TWO_FDS | MEM), set_irqs(NONE_TRIGGER, 2, 0, 1, ONE_FD),
            dma_map(0, 0x1000, ctl=TWO_FDS | MEM), version(), dma_map(0, 0x1000, ctl=ONE_FD)],
    'slow': [version(), msg(RESET, ctl=STALL), read(CFG, 0, 4096), read(0, 0, 0x4000), region_info(0, 64), write(0, 0, b'1', ctl=UNSTALL), read(CFG, 0, 4)],
    'deaf': [version(), msg(RESET, ctl=STALL)] + [read(0, 0, 0x4000)] * 70,
    'short': [version(), msg(READ, bytes(15)), version(), msg(WRITE, bytes(17), ctl=FIX), struct.pack('<BHHIII', 0, 1, RESET, 3, 0, 0)],
}

for name, messages in SEEDS.items():
    with open(os.path.join(sys.argv[1], name), 'wb') as f:
        f.write(b''.join(messages))
