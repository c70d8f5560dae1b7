"""iptables rules as the CNI side writes them: a journal of steps that a node's ruleset is made from.

A plugin or agent does not touch a node's tables at once: its steps are kept, and replayed when the tables are
first looked at, in the order in which the agents would have run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..kernel.iptables import Ruleset

__all__ = ["BUILT_IN", "RuleStep", "append", "chain_name", "comment_of", "insert", "new_chain", "replay", "restore_text", "run"]

Action = Literal["-N", "-A", "-I", "-D", "-F", "-X"]


@dataclass(frozen=True, slots=True)
class RuleStep:
    """One iptables call: `iptables -t TABLE ACTION CHAIN ARGS`. `origin` names whose it is."""

    table: str
    action: Action
    chain: str
    args: tuple[str, ...] = ()
    family: int = 4
    origin: str = ""

    @property
    def text(self) -> str:
        """The rule as iptables-restore takes it: "-A CHAIN ..."."""
        return " ".join([self.action, self.chain, *map(_quoted, self.args)])

    @property
    def rule(self) -> str:
        """The rule without its chain: "-s 10.0.0.2/32 -j ACCEPT"."""
        return " ".join(map(_quoted, self.args))

    def __str__(self) -> str:
        return f"{'iptables' if self.family == 4 else 'ip6tables'} -t {self.table} {self.text}"


def _quoted(word: str) -> str:
    if word and not any(c in " \"\\'" for c in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def append(table: str, chain: str, *args: str, family: int = 4, origin: str = "") -> RuleStep:
    return RuleStep(table, "-A", chain, args, family, origin)


def insert(table: str, chain: str, *args: str, family: int = 4, origin: str = "") -> RuleStep:
    """At the head of the chain."""
    return RuleStep(table, "-I", chain, args, family, origin)


def new_chain(table: str, chain: str, family: int = 4, origin: str = "") -> RuleStep:
    """A chain, if it is not there yet."""
    return RuleStep(table, "-N", chain, (), family, origin)


def run(steps: Iterable[RuleStep], family: int = 4) -> dict[str, dict[str, list[RuleStep]]]:
    """The tables that the steps of one family leave behind, from nothing: {table: {chain: rules in order}}.

    As the plugins do it: a chain that exists is not made again, a rule that stands in a chain already is not
    repeated, what is deleted twice is no error.
    """
    tables: dict[str, dict[str, list[RuleStep]]] = {}
    for s in steps:
        if s.family != family:
            continue
        chains = tables.setdefault(s.table, {})
        if s.action == "-X":
            if not any(r.args[-2:] == ("-j", s.chain) for rules in chains.values() for r in rules):  # iptables deletes no chain in use
                chains.pop(s.chain, None)
            continue
        rules = chains.setdefault(s.chain, [])
        if s.action == "-F":
            rules.clear()
        elif s.action == "-D":
            rules[:] = _without(rules, s.args)
        elif s.action in ("-A", "-I") and not any(r.args == s.args for r in rules):
            rules.insert(len(rules) if s.action == "-A" else 0, s)
    return tables


def _without(rules: Sequence[RuleStep], args: tuple[str, ...]) -> list[RuleStep]:
    out, gone = [], False
    for r in rules:
        if r.args == args and not gone:
            gone = True
        else:
            out.append(r)
    return out


#: the chains that every node has
BUILT_IN = {"nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), "filter": ("INPUT", "FORWARD", "OUTPUT")}


def _lines(chains: dict[str, list[RuleStep]], table: str) -> Iterator[tuple[str, RuleStep]]:
    """(line, step) for a table: own chains before the rules of built-in chains that jump to them; what was put at the head goes there."""
    own = [c for c in chains if c not in BUILT_IN.get(table, ())]
    for chain in [*own, *(c for c in chains if c not in own)]:
        heads = [r for r in chains[chain] if r.action == "-I"] if chain not in own else []
        for r in reversed(heads):
            yield " ".join(["-I", chain, *map(_quoted, r.args)]), r
        for r in chains[chain]:
            if r not in heads:
                yield " ".join(["-A", chain, *map(_quoted, r.args)]), r


def restore_text(steps: Iterable[RuleStep], family: int = 4) -> str:
    """What the steps leave behind, as `iptables-restore --noflush` takes it; chains and rules in the order of the steps."""
    lines: list[str] = []
    for table, chains in run(steps, family).items():
        lines.append(f"*{table}")
        lines += [f":{c} - [0:0]" for c in chains if c not in BUILT_IN.get(table, ())]
        lines += [line for line, _ in _lines(chains, table)]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n" if lines else ""


def replay(ruleset: Ruleset, steps: Iterable[RuleStep]) -> None:
    """Put what the steps leave behind into a node's ruleset, beside what others put there; each rule keeps its origin."""
    steps = list(steps)
    origins = {
        (s.chain, ruleset.spec(" ".join(map(_quoted, s.args)))): s.origin
        for chains in run(steps, ruleset.family).values()
        for rules in chains.values()
        for s in rules
    }
    if text := restore_text(steps, ruleset.family):
        ruleset.restore(text, noflush=True, origin=lambda chain, spec: origins.get((chain, spec), ""))


def chain_name(network: str, container_id: str, infix: str = "") -> str:
    """The chain of one container: "CNI-", `infix`, then as much of the SHA-512 of network and container as fits 28 characters.

    Source: containernetworking/plugins pkg/utils/utils.go.
    """
    digest = hashlib.sha512((network + container_id).encode()).hexdigest()
    return f"CNI-{infix}{digest}"[:28]


def comment_of(network: str, container_id: str) -> str:
    """The comment on a container's own rules (pkg/utils/utils.go)."""
    return f'name: "{network}" id: "{container_id}"'
