# SPDX-License-Identifier: BSD-3-Clause
"""Frames on the wire, judged by something that is not ours: tshark reads every one of the demo."""
import subprocess

from proc import LabError
from . import check, need

SEVERITY_ERROR = 0x800000


def tshark(path, *args, timeout=240):
    # What tenants put into TCP is not for tshark to judge (it would take some of iperf3's bytes for a protocol that it knows), and putting
    # streams together takes minutes. Checksums of all layers are verified: a frame with a wrong one carries an expert error.
    argv = ["tshark", "-n", "-r", str(path), "-d", "tcp.port==1-65535,data", "-o", "tcp.desegment_tcp_streams:FALSE", *args]
    for layer in ("ip", "udp", "tcp"):
        argv += ["-o", f"{layer}.check_checksum:TRUE"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
    if done.returncode:
        raise LabError(f"tshark: {done.stderr.strip()[-500:]}")
    return done.stdout


@check("wire_tshark", "frames", "tshark decodes every VXLAN and Geneve frame of this run without an expert error")
def wire_tshark(world):
    captured, lost = world.capture.stop()
    need(captured > 0, "no overlay frame was captured")
    need(lost <= captured // 100, f"the capture lost {lost} of {captured + lost} frames")
    fields = ["-T", "fields", "-E", "separator=/t", "-e", "frame.number", "-e", "vxlan.vni", "-e", "geneve.vni", "-e", "_ws.expert.severity",
              "-e", "_ws.expert.message"]
    errors, seen, undecoded = [], {"vxlan": 0, "geneve": 0}, []
    for row in tshark(world.capture.path, *fields).splitlines():
        number, vxlan, geneve, severity = row.split("\t")[:4]
        if vxlan:
            seen["vxlan"] += 1
        elif geneve:
            seen["geneve"] += 1
        else:
            undecoded.append(number)
        if any(int(s) >= SEVERITY_ERROR for s in severity.split(",") if s):
            errors.append(row)
    need(not undecoded, f"{len(undecoded)} frames were not decoded as VXLAN or Geneve, first: {undecoded[:5]}")
    need(not errors, f"{len(errors)} frames with an expert error:\n" + "\n".join(errors[:5]))
    need(seen["vxlan"] and seen["geneve"], f"not both encapsulations were seen: {seen}")
    return captured
