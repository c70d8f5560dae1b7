"""A node whose plugins write into its tables at once: for ADD and DEL by hand on a network that is already programmed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .contract import PluginHost
from .rules import BUILT_IN, RuleStep

if TYPE_CHECKING:
    from ..kernel.iptables import Ruleset

__all__ = ["LiveHost"]


@dataclass
class LiveHost(PluginHost):
    """What a plugin reads of iptables is what is there, whoever wrote it; what it writes is there at once."""

    _lines: dict[int, tuple[int, list[str]]] = field(default_factory=dict)  # family -> (version of the ruleset, its rules)

    def program(self, steps: Iterable[RuleStep]) -> None:
        for step in steps:
            self._apply(self.node.ruleset(step.family), step)
        self.node.rules_changed()
        self.changed()

    @staticmethod
    def _apply(rules: Ruleset, step: RuleStep) -> None:
        """As the plugins run iptables: what is there is not made again, what is gone is not deleted."""
        chain = rules.chain(step.table, step.chain)
        if step.action == "-N":
            if chain is None:
                rules.new_chain(step.table, step.chain)
        elif step.action in ("-F", "-X"):
            if chain is not None:
                (rules.flush if step.action == "-F" else rules.delete_chain)(step.table, step.chain)
        else:
            spec = rules.spec(step.rule)
            there = any(r.spec == spec for r in rules.rules(step.table, step.chain))
            if step.action == "-D":
                if there:
                    rules.delete(step.table, step.chain, spec)
            elif not there:
                if step.action == "-A":
                    rules.append(step.table, step.chain, spec, step.origin)
                else:
                    rules.insert(step.table, step.chain, spec, origin=step.origin)

    def chains(self, table: str, family: int = 4) -> Mapping[str, Sequence[RuleStep]]:
        found = self.node.ruleset(family).table(table).chains
        return {
            name: [RuleStep(table, "-A", name, tuple(shlex.split(r.spec.text)), family, r.origin) for r in chain.rules]
            for name, chain in found.items()
        }

    def rule_lines(self) -> list[str]:
        out = []
        for fam, program in ((4, "iptables"), (6, "ip6tables")):
            rules = self.node.ruleset(fam)
            kept = self._lines.get(fam)
            if kept is None or kept[0] != rules.version:
                lines = []
                for t in rules.tables.values():
                    for c in t.chains.values():
                        if c.name not in BUILT_IN.get(t.name, ()):
                            lines.append(f"{program} -t {t.name} -N {c.name}")
                        lines += [f"{program} -t {t.name} -A {c.name} {r.spec.text}" for r in c.rules]
                kept = self._lines[fam] = (rules.version, lines)
            out += kept[1]
        return out
