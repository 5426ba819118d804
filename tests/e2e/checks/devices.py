# SPDX-License-Identifier: BSD-3-Clause
"""Life of a function: reboot, driver rebind, hot-plug, the second transport, the second ring layout."""
import time

import topology as topo
from qemu import vfio_user_device
from . import check, need
from .reach import between_cards, ping
from .speed import iperf

RING_PACKED = 34  # VIRTIO_F_RING_PACKED


def all_four(world):
    for vnet in (topo.RED, topo.BLUE):
        for family in (4, 6):
            between_cards(world, vnet, family)


@check("guest_reboot", "s", "g1 reboots from inside; its network is back")
def guest_reboot(world):
    g1 = world.guests["g1"]
    began = time.monotonic()
    g1.agent.send("reboot -f")
    g1.wait_boot()
    all_four(world)
    return round(time.monotonic() - began, 1)


@check("driver_rebind", "times", "g1's driver lets go of the function and takes it again")
def driver_rebind(world):
    g1, rounds = world.guests["g1"], 3
    pci = g1.run("basename $(readlink -f /sys/class/net/red/device/..)").strip()
    for _ in range(rounds):
        g1.run(f"echo {pci} > /sys/bus/pci/drivers/virtio-pci/unbind", timeout=30)
        need(g1.call("test -e /sys/class/net/red")[0] != 0, "the interface stays after unbind")
        g1.run(f"echo {pci} > /sys/bus/pci/drivers/virtio-pci/bind", timeout=30)
        g1.net_up()
        between_cards(world, topo.RED, 4)
    between_cards(world, topo.RED, 6)
    return rounds


@check("hot_add", "s", "a function added to a running card and guest carries traffic")
def hot_add(world):
    e, g1 = topo.endpoint("g1-red-hot"), world.guests["g1"]
    began = time.monotonic()
    path = world.add_endpoint(e)
    nic = world.nic(e, "hot")
    g1.qmp.call("device_add", **vfio_user_device("hot", "rp3", path))
    for _ in range(100):
        if g1.call(f"grep -q {e.mac} /sys/class/net/*/address")[0] == 0:
            break
        time.sleep(0.1)
    else:
        need(False, f"no interface with MAC {e.mac} came up in g1\n" + g1.call("dmesg | tail -5")[1])
    g1.net_up(nic)
    # Red has an interface in the same subnet already: ask for this one by name.
    for addr in topo.endpoint("g2-red").ips:
        ping(g1, f"-I hot {addr}")
    return round(time.monotonic() - began, 1)


@check("vhost_user_guest", "Gb/s", "g3, attached by vhost-user, to g1 on its card and to g2 on the other")
def vhost_user_guest(world):
    g3 = world.guests["g3"]
    for peer in ("g2-red", "g1-red"):
        for addr in topo.endpoint(peer).ips:
            ping(g3, addr)
    return iperf(world, "red", "-t 2", src="g3")["gbps"]


@check("vhost_reconnect", "s", "g3's function goes away and comes back while g3 runs")
def vhost_reconnect(world):
    g3, card, e = world.guests["g3"], world.cards["a"], topo.endpoint("g3-red")
    addr = topo.endpoint("g2-red").ip4
    card.ctl("eni", "del", e.name)
    card.ctl("function", "del", e.name)
    need(g3.call(f"ping -n -c 1 -W 1 {addr}")[0] != 0, "g3 still reaches g2 without a function")
    world.add_endpoint(e)
    began = time.monotonic()
    while g3.call(f"ping -n -c 1 -W 1 {addr}")[0] != 0:
        need(time.monotonic() < began + 15, "g3's network did not come back within 15 s")
    seconds = round(time.monotonic() - began, 1)
    ping(g3, addr)
    return seconds


@check("guest_killed", "s", "QEMU of g3 and of g4 is killed under traffic; new ones take over their functions")
def guest_killed(world):
    red, router = topo.endpoint("g2-red").ip4, topo.GREEN.routers()[0]
    world.guests["g3"].run(f"ping -q -f -w 30 {red} > /dev/null 2>&1 &")
    world.guests["g4"].run(f"ping -q -f -w 30 {router} > /dev/null 2>&1 &")
    time.sleep(0.5)
    began = time.monotonic()
    g3, g4 = (world.replace_guest(name) for name in ("g3", "g4"))
    g3.wait_boot()
    g4.wait_boot()
    ping(g3, red)
    ping(g4, router)
    all_four(world)
    return round(time.monotonic() - began, 1)


@check("packed_ring", "", "g2's blue function runs on packed rings")
def packed_ring(world):
    g2 = world.guests["g2"]
    bits = {name: g2.run(f"cat $(readlink -f /sys/class/net/{name}/device)/features").strip() for name in ("red", "blue")}
    need(bits["blue"][RING_PACKED] == "1", f"g2's driver did not take packed rings: {bits['blue']}")
    need(bits["red"][RING_PACKED] == "0", "g2's red function was to have split rings, and has packed ones")
    between_cards(world, topo.BLUE, 4)
    got = iperf(world, "blue", "-n 8M")
    need(got["bytes"] > 4 << 20, f"iperf3 over packed rings: {got}")
    got = iperf(world, "blue", "-n 8M -R")
    need(got["bytes"] > 4 << 20, f"iperf3 over packed rings, other way: {got}")
    return "negotiated"
