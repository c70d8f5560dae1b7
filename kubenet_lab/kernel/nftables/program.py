"""A packet meets a base chain: chains compiled once, walked with an explicit stack.

Source: Linux net/netfilter/nf_tables_core.c (nft_do_chain).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ..iptables import Verdict, looks
from .elements import data_text, key_text
from .model import Chain, Element, NftRule, NftSet, Outcome, Table
from .plain import is_plain
from .selectors import Place
from .statements import Step

if TYPE_CHECKING:
    from ..hooks import Skb

__all__ = ["MapEntry", "Program", "evaluate"]

_KEPT = 4096  # answers per chain
#: looks -> verdict, path, mark
Answers: TypeAlias = dict[tuple[Any, ...], tuple[Verdict, list[Any], int]]


@dataclass(frozen=True, slots=True, eq=False)
class MapEntry:
    """An element of a named map that decided: prints as the listing has it."""

    set: NftSet
    element: Element
    family: str
    table: str
    uid: int = -1
    policy: str = ""

    @property
    def origin(self) -> str:
        return self.element.origin

    @property
    def chain(self) -> str:
        return self.set.name

    @property
    def command(self) -> str:
        """The real command that prints it."""
        return f"nft list map {self.family} {self.table} {self.set.name}"

    def __str__(self) -> str:
        return f"{key_text(self.set, self.element.key)} : {data_text(self.set, self.element.data)}"


class _Rule:
    __slots__ = ("plain", "rule", "steps")

    def __init__(self, rule: NftRule, steps: tuple[Step, ...], plain: bool):
        self.rule, self.steps, self.plain = rule, steps, plain


class Program:
    """A table made ready to run; chains are compiled when a packet first meets them."""

    def __init__(self, table: Table):
        self.table = table
        self._codes: dict[str, list[_Rule]] = {}
        self._policies: dict[str, NftRule] = {}
        self._answers: dict[str, Answers] = {}

    def answers(self, chain: Chain) -> Answers:
        """What a base chain has answered already."""
        return self._answers.setdefault(chain.name, {})

    def answer(self, chain: Chain, c: Skb, known: Answers) -> tuple[Verdict, list[Any]]:
        """What `evaluate` says, and the path; remembered in `known` for the next packet of the same looks where it follows from them."""
        look = looks(c)
        if (found := known.get(look)) is not None:
            verdict, path, c.mark = found
            return verdict, path
        path = []
        verdict = evaluate(self, chain, c, path)
        if c.plain:
            if len(known) >= _KEPT:
                known.clear()
            known[look] = verdict, path, c.mark
        return verdict, path

    def code(self, name: str) -> list[_Rule]:
        found = self._codes.get(name)
        if found is None:
            t = self.table
            found = []
            for i, rule in enumerate(t.chains[name].rules, 1):
                place = Place(t.family, t.name, name, i, rule.uid)
                steps = tuple(s.compile(place, t.sets.__getitem__) for s in rule.statements)
                found.append(_Rule(rule, steps, is_plain(rule, t.sets.__getitem__)))
            self._codes[name] = found
        return found

    def policy(self, chain: Chain) -> NftRule:
        found = self._policies.get(chain.name)
        if found is None:
            assert chain.base is not None
            t = self.table
            found = NftRule((), t.family, t.name, chain.name, chain.uid, chain.handle, policy=chain.base.policy)
            self._policies[chain.name] = found
        return found


def _verdict(kind: str, decided: Any, chain: str, params: Any = None) -> Verdict:
    return Verdict(kind, decided, chain, params)


def evaluate(program: Program, chain: Chain, c: Skb, path: list[Any]) -> Verdict:
    """Run a packet through a base chain. The rules that matched, and the map elements that decided, are put into `path`.

    `c.plain`: were only rules asked whose answer follows from the packet's looks?
    """
    c.plain = True
    rules, i = program.code(chain.name), 0
    here = chain.name
    stack: list[tuple[list[_Rule], int, str]] = []
    while True:
        while i < len(rules):
            rule = rules[i]
            i += 1
            if not rule.plain:
                c.plain = False
            met = c.met_elements = []
            result: Any = True
            for step in rule.steps:
                result = step(c)
                if result is not True:
                    break
            if result is False:
                continue
            path.append(rule.rule)
            path += met
            if result is True:
                continue
            if not isinstance(result, Outcome):
                return _verdict(result.kind, rule.rule, here, result.params)
            kind = result.kind
            if kind in ("accept", "drop"):
                return _verdict(kind.upper(), met[-1] if met else rule.rule, here)
            if kind == "return":
                break
            if kind != "continue":
                if kind == "jump":
                    stack.append((rules, i, here))
                here = result.chain
                rules, i = program.code(here), 0
        if not stack:
            policy = program.policy(chain)
            path.append(policy)
            return _verdict(policy.policy.upper(), policy, chain.name)
        rules, i, here = stack.pop()
