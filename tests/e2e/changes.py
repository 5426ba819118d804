# SPDX-License-Identifier: BSD-3-Clause
"""Changes of a lab that are taken back at the end of the 'with', whatever happened: checks leave the lab as they found it."""
import contextlib


class Changes:
    def __init__(self, stack):
        self.stack = stack

    def ctl(self, card, do, undo):
        """Runs obctl; the words of 'undo' take it back."""
        card.ctl(*do)
        self.stack.callback(card.ctl, *undo)

    def at_end(self, fn, *args):
        self.stack.callback(fn, *args)

    def group(self, card, name, *rules):
        self.ctl(card, ["sg", "add", name, *rule_args(rules)], ["sg", "del", name])

    def bind(self, card, eni, direction, stage, group):
        where = ["--dir", direction, "--stage", stage]
        self.ctl(card, ["binding", "add", eni, *where, "--sg", group], ["binding", "del", eni, *where])

    def default(self, card, eni, direction, verdict):
        self.ctl(card, ["eni", "set", eni, f"--default-{direction}", verdict], ["eni", "set", eni, f"--default-{direction}", "permit"])


def rule_args(rules):
    return [word for rule in rules for word in ("--rule", rule)]


@contextlib.contextmanager
def changes():
    with contextlib.ExitStack() as stack:
        yield Changes(stack)
