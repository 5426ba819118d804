# SPDX-License-Identifier: BSD-3-Clause
"""TCP conversations made up from a seed: two ends that mostly behave, and a network and strangers that do not."""
import random

import traces as tr

WINDOWS = (0, 1, 500, 1000, 4000, 20000, 65535)


class Peer:
    """One end: what it has sent (relative to its first number) and has of the other."""

    def __init__(self, rng, scale):
        self.snd, self.rcv, self.una = 0, 0, 0  # next to send, next expected, acknowledged by the other
        self.win = rng.choice(WINDOWS[3:])
        self.offered = 0  # window that the other knows, in bytes
        self.scale = scale
        self.fin, self.syn = False, False


class Conversation:
    def __init__(self, rng):
        self.rng, self.lines = rng, []
        scaled = rng.random() < 0.5
        self.a = Peer(rng, rng.choice((0, 2, 7, 10)) if scaled else None)
        self.b = Peer(rng, rng.choice((0, 2, 7, 10)) if scaled and rng.random() < 0.9 else None)

    def line(self, who, flags, **args):
        words = " ".join(f"{k}={v}" for k, v in args.items() if v is not None)
        self.lines.append(f"{'>' if who is self.a else '<'} {flags} {words}".rstrip())

    def say(self, who, flags, **args):
        """What an end says, and the other hears."""
        if args.get("ack") == who.rcv:
            self.other(who).una = who.rcv
        if "win" in args:
            # A SYN's window is not scaled.
            scaled = "S" not in flags and self.a.scale is not None and self.b.scale is not None
            who.offered = who.win << who.scale if scaled else who.win
        self.line(who, flags, **args)

    def other(self, who):
        return self.b if who is self.a else self.a

    def room(self, who):
        """How much its peer lets it send."""
        return self.other(who).offered - (who.snd - who.una)

    # ---- what ends do ----

    def open(self):
        a, b, rng = self.a, self.b, self.rng
        simultaneous = rng.random() < 0.08
        self.say(a, "S", seq=0, win=a.win, ws=a.scale)
        if rng.random() < 0.15:
            self.say(a, "S", seq=0, win=a.win, ws=a.scale)
        a.snd = 1
        if simultaneous:
            self.say(b, "S", seq=0, win=b.win, ws=b.scale)
            b.snd = 1
            a.rcv = 1
            self.say(a, "SA", seq=0, ack=1, win=a.win, ws=a.scale)
        b.rcv = 1
        self.say(b, "SA", seq=0, ack=1, win=b.win, ws=b.scale)
        if rng.random() < 0.1:
            self.say(b, "SA", seq=0, ack=1, win=b.win, ws=b.scale)
        b.snd = a.rcv = 1
        self.ack(a)
        if simultaneous:
            self.ack(b)

    def ack(self, who):
        self.say(who, "A", seq=who.snd, ack=who.rcv, win=who.win)

    def data(self, who):
        if who.fin:
            return self.ack(who)
        room = min(self.room(who), 1400)
        if room <= 0:
            return self.probe(who)
        size = self.rng.randint(1, room)
        peer = self.other(who)
        self.say(who, "PA", seq=who.snd, ack=who.rcv, win=who.win, len=size)
        who.snd += size
        if self.rng.random() < 0.9:
            peer.rcv = who.snd
            if self.rng.random() < 0.7:
                self.ack(peer)
        else:
            # Lost behind us: the sender repeats itself.
            self.say(who, "PA", seq=who.snd - size, ack=who.rcv, win=who.win, len=size)
            peer.rcv = who.snd
        return None

    def probe(self, who):
        peer = self.other(who)
        if who.snd - who.una > 0:
            return self.ack(who)
        self.say(who, "A", seq=who.snd, ack=who.rcv, win=who.win, len=1)
        self.ack(peer)
        return None

    def keep_alive(self, who):
        self.say(who, "A", seq=who.snd - 1, ack=who.rcv, win=who.win, len=self.rng.choice((None, 1)))
        self.ack(self.other(who))

    def new_window(self, who):
        who.win = self.rng.choice(WINDOWS)
        self.ack(who)

    def fin(self, who):
        peer = self.other(who)
        if who.fin:
            self.say(who, "FA", seq=who.snd - 1, ack=who.rcv, win=who.win)
            return
        self.say(who, "FA", seq=who.snd, ack=who.rcv, win=who.win)
        who.snd += 1
        who.fin = True
        if self.rng.random() < 0.8:
            peer.rcv = who.snd
            self.ack(peer)

    def reset(self, who):
        self.say(who, self.rng.choice(("R", "RA")), seq=who.snd, ack=who.rcv)

    def reordered(self, who):
        if who.fin or self.room(who) < 300:
            return self.ack(who)
        first, second = who.snd, who.snd + 100
        self.say(who, "PA", seq=second, ack=who.rcv, win=who.win, len=100)
        self.ack(self.other(who))
        self.say(who, "PA", seq=first, ack=who.rcv, win=who.win, len=100)
        who.snd += 200
        self.other(who).rcv = who.snd
        return self.ack(self.other(who))

    # ---- what strangers do ----

    def blind(self, who):
        """Right addresses and ports, wrong numbers by far."""
        rng = self.rng
        far = rng.choice((1, -1)) * rng.randint(1 << 29, (1 << 31) - (1 << 27))
        near = rng.choice((0, far))
        flags = rng.choice(("A", "PA", "R", "RA", "FA"))
        if flags in ("R", "RA") or near == 0:
            self.line(who, flags, seq=who.snd + far, ack=who.rcv, win=1000, len=10 if flags == "PA" else None)
        else:
            self.line(who, flags, seq=who.snd, ack=who.rcv + abs(far), win=1000, len=10 if flags == "PA" else None)

    def nonsense(self, who):
        self.line(who, self.rng.choice(("none", "SF", "SR", "FPU", "SFRPAU", "F", "P")), seq=who.snd, ack=who.rcv)

    def stray_syn(self, who):
        if who is self.a:
            self.line(who, "S", seq=who.snd + self.rng.randint(1 << 20, 1 << 29), win=1000)
            self.ack(self.other(who))

    def again(self):
        """The network delivers something twice."""
        self.lines.append(self.rng.choice(self.lines[-4:]))


def conversation(rng):
    c = Conversation(rng)
    c.open()
    acts = [(c.data, 12), (c.keep_alive, 1), (c.new_window, 2), (c.reordered, 2), (c.blind, 2), (c.nonsense, 1),
            (c.stray_syn, 0.5)]
    for _ in range(rng.randint(2, 12)):
        act = rng.choices([a for a, _ in acts], [w for _, w in acts])[0]
        act(rng.choice((c.a, c.b)))
        if rng.random() < 0.1:
            c.again()
    ends = [c.a, c.b]
    rng.shuffle(ends)
    if rng.random() < 0.2:
        c.reset(ends[0])
    else:
        for who in ends:
            c.fin(who)
            if rng.random() < 0.3:
                c.data(c.other(who))
            if rng.random() < 0.2:
                c.fin(who)
        for who in ends:
            who.rcv = c.other(who).snd
            c.ack(who)
    if rng.random() < 0.3:
        c.again()
    return c.lines


def make(seed, n):
    out = []
    for i in range(n):
        rng = random.Random(seed * 1000003 + i)
        options = {"isn": f"{rng.getrandbits(32)}:{rng.getrandbits(32)}"}
        if rng.random() < 0.2:
            options["v6"] = ""
        if rng.random() < 0.2:  # numbers that wrap soon
            options["isn"] = f"{(1 << 32) - rng.randint(1, 3000)}:{(1 << 32) - rng.randint(1, 3000)}"
        out.append(tr.Trace(f"random_{seed}_{i}", options, conversation(rng), f"random {seed}"))
    return out
