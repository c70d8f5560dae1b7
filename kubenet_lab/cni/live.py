"""A node whose plugins write into its tables at once: for ADD and DEL by hand on a network that is already programmed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..kernel.conntrack import Conntrack
from ..kernel.iptables import IptablesError
from ..kernel.state import State
from . import spoof_check
from .contract import PluginHost
from .result import CniError
from .rules import BUILT_IN, RuleStep

if TYPE_CHECKING:
    from ..kernel.iptables import Ruleset, Spec

__all__ = ["LiveHost"]

#: targets of the plugins' rules that are no chains
NOT_CHAINS = frozenset({"", "ACCEPT", "DROP", "RETURN", "DNAT", "MASQUERADE", "MARK"})


@dataclass
class LiveHost(PluginHost):
    """What a plugin reads of iptables is what is there, whoever wrote it; what it writes is there at once."""

    state: State = field(default_factory=State)  # what traffic has left behind
    _lines: dict[int, tuple[int, list[str]]] = field(default_factory=dict)  # family -> (version of the ruleset, its rules)

    def program(self, steps: Iterable[RuleStep]) -> None:
        try:
            for step in steps:
                self._apply(self.node.ruleset(step.family), step)
        finally:
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
                try:
                    (rules.flush if step.action == "-F" else rules.delete_chain)(step.table, step.chain)
                except IptablesError:  # a rule still leads to it
                    said = f"{_tool(step)} v1.8.9 (nf_tables):  CHAIN_DEL failed (Device or resource busy): chain {step.chain}"
                    raise _failed(step, f"-t {step.table} {step.action} {step.chain}", 4, said) from None
        else:
            spec = _spec(rules, step)
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

    def has_rule(self, step: RuleStep) -> bool:
        rules = self.node.ruleset(step.family)
        spec = rules.spec(step.rule)
        return any(r.spec == spec for r in rules.rules(step.table, step.chain))

    def flush_udp(self, port: int, family: int) -> None:
        table = Conntrack(self.state, self.name)
        for entry in list(table.entries()):
            if entry.orig.proto == "UDP" and entry.orig.dport == port and (":" in entry.orig.dst) == (family == 6):
                table.delete(entry)

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
        return out + spoof_check.rule_lines(self.node)


def _spec(rules: Ruleset, step: RuleStep) -> Spec:
    """The rule as iptables reads it. Raises CniError: the library that runs iptables first asks whether the rule is there."""
    try:
        spec = rules.spec(step.rule)
    except IptablesError as e:
        said = str(e)
    else:
        target = step.args[step.args.index("-j") + 1] if "-j" in step.args else ""
        if target in NOT_CHAINS or rules.chain(step.table, target) is not None:
            return spec
        tool = _tool(step)
        said = f"{tool} v1.8.9 (nf_tables): Chain '{target}' does not exist\nTry `{tool} -h' or '{tool} --help' for more information."
    raise _failed(step, f"-t {step.table} -C {step.chain} {' '.join(step.args)}", 2, said)


def _failed(step: RuleStep, words: str, status: int, said: str) -> CniError:
    return CniError(999, f"running [/usr/sbin/{_tool(step)} {words} --wait]: exit status {status}: {said}\n")


def _tool(step: RuleStep) -> str:
    return "iptables" if step.family == 4 else "ip6tables"
