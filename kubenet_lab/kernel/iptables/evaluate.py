"""A packet meets a table: compiled once, walked with an explicit stack.

Sources: Linux net/ipv4/netfilter/ip_tables.c (ipt_do_table): rules in order, jump and RETURN, goto, policy.
A chain of many rules on single addresses or ports is indexed, so that a packet asks only the rules that can fit it; what
is asked, and in which order, is the same as if it asked all of them: the rules left out cannot match.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..address import canonical
from ..chance import Lot, Weights
from ..packet import Packet
from .context import Context
from .extension import Test
from .match_chance import Statistic
from .match_tracking import PROTO_NAMES
from .match_transport import MultiPort, Tcp, Udp
from .model import Chain, Rule, Table
from .spec import Spec
from .target_marks import MarkTarget
from .targets import Effect, Jump, Standard
from .values import address_text, mask_bits

__all__ = ["Program", "Verdict", "evaluate"]

CONTINUE, STOP, JUMP, GOTO, RETURN = range(5)
_INDEX_FROM = 8  # shorter chains are asked rule by rule
_KEPT = 4096  # remembered selections per chain


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a table ends for a packet.

    `kind`: ACCEPT, DROP, REJECT (`params`: what it sends), DNAT, SNAT, MASQUERADE, REDIRECT (`params`: a NatRange).
    `rule` decided; a chain's policy comes as a pseudo rule. NAT kinds are not carried out here: the caller makes the mapping.
    """

    kind: str
    rule: Rule | None
    chain: str
    params: Any = None

    @property
    def passed(self) -> bool:
        """Does the packet go on?"""
        return self.kind not in ("DROP", "REJECT", "STOLEN")


class _Rule:
    """A rule ready to run."""

    __slots__ = ("effect", "lot", "number", "op", "plain", "rule", "target", "tests", "verdict")

    def __init__(self, rule: Rule, number: int, table: Table):
        place = table.place(rule, number)
        spec, target = rule.spec, rule.spec.target
        self.rule, self.number = rule, number
        self.tests: tuple[Test, ...] = spec.compile(place)
        self.lot: Lot | None = None  # of this rule and the next ones, where nothing but chance decides among them
        self.effect: Effect | None = None
        self.verdict: Verdict | None = None
        self.target = ""
        self.op = CONTINUE
        if isinstance(target, Jump):
            self.op, self.target = GOTO if target.goto else JUMP, target.chain
        elif isinstance(target, Standard) and target.verdict == "RETURN":
            self.op = RETURN
        elif target is not None:
            self.effect = target.effect(place)
            if target.kind:
                self.op = STOP
                self.verdict = Verdict(target.kind, rule, rule.chain, target.params)
        self.plain = all(m.plain for m in spec.matches) and (self.effect is None or isinstance(target, MarkTarget))

    def coin(self, table: Table) -> tuple[Weights, str] | None:
        """What is thrown, by whom, if the rule asks for nothing else."""
        chance = [m for m in self.rule.spec.matches if isinstance(m, Statistic)]
        weights = chance[0].coin if len(chance) == len(self.tests) == 1 and not chance[0].inverted else None
        return (weights, table.place(self.rule, self.number).chooser) if weights is not None else None


class _Code:
    """A compiled chain."""

    __slots__ = ("by_dport", "by_dst", "by_src", "indexed", "kept", "name", "policy", "rest", "rules")

    def __init__(self, chain: Chain, table: Table, indexed: bool):
        self.name = chain.name
        self.rules = [_Rule(r, i, table) for i, r in enumerate(chain.rules, 1)]
        self.policy = table.policy_rules.get(chain.name)
        coins = [(rule, rule.coin(table)) for rule in self.rules]
        for chance, row in groupby(coins, lambda x: x[1] is not None):
            if chance and len(side_by_side := list(row)) > 1:
                side_by_side[0][0].lot = Lot([coin for _, coin in side_by_side if coin is not None])
        self.indexed = indexed and len(self.rules) >= _INDEX_FROM
        if self.indexed:
            self._index()

    def _index(self) -> None:
        self.by_dst: dict[str, list[_Rule]] = {}
        self.by_src: dict[str, list[_Rule]] = {}
        self.by_dport: dict[tuple[str, int], list[_Rule]] = {}
        self.rest: list[_Rule] = []
        self.kept: dict[Any, Sequence[_Rule]] = {}
        for rule in self.rules:
            spec = rule.rule.spec
            if (dst := _single(spec, True)) is not None:
                self.by_dst.setdefault(dst, []).append(rule)
            elif (src := _single(spec, False)) is not None:
                self.by_src.setdefault(src, []).append(rule)
            elif (ports := _single_ports(spec)) is not None:
                for port in ports:
                    self.by_dport.setdefault(port, []).append(rule)
            else:
                self.rest.append(rule)
        self.indexed = len(self.rest) < len(self.rules)

    def candidates(self, packet: Packet) -> Sequence[_Rule]:
        """The rules that can match this packet, in their order."""
        if not self.indexed:
            return self.rules
        dst, src, dport = self.by_dst.get(packet.dst), self.by_src.get(packet.src), None
        key: Any = packet.dst if dst else None
        if self.by_dport and packet.dport is not None:
            dport = self.by_dport.get((packet.proto, packet.dport))
        if src or dport:
            key = (key, packet.src if src else None, (packet.proto, packet.dport) if dport else None)
        found = self.kept.get(key)
        if found is None:
            chosen = [*self.rest]
            for more in (dst, src, dport):
                if more:
                    chosen += more
            chosen.sort(key=_by_number)
            if len(self.kept) >= _KEPT:
                self.kept.clear()
            found = self.kept[key] = tuple(dict.fromkeys(chosen))
        return found


def _by_number(rule: _Rule) -> int:
    return rule.number


def _single(spec: Spec, dest: bool) -> str | None:
    """The one address a rule asks for, as packets carry it."""
    h = spec.header
    (value, mask), inverted = (h.dest, h.dest_inverted) if dest else (h.source, h.source_inverted)
    if inverted or mask_bits(mask, h.family) != (32 if h.family == 4 else 128):
        return None
    return canonical(address_text(value, h.family))


def _single_ports(spec: Spec) -> list[tuple[str, int]] | None:
    """The few (protocol, destination port) pairs a rule asks for."""
    h = spec.header
    if not h.protocol or h.protocol_inverted:
        return None
    name = PROTO_NAMES.get(h.protocol, str(h.protocol))
    for match in spec.matches:
        if isinstance(match, Tcp | Udp) and match.dport[0] == match.dport[1] and not match.dport_inverted:
            return [(name, match.dport[0])]
        if isinstance(match, MultiPort) and match.which == "dports" and not match.inverted:
            ports = [p for low, high in match.ranges for p in range(low, min(high, low + 64) + 1)]
            if all(high - low < 64 for low, high in match.ranges):
                return [(name, p) for p in dict.fromkeys(ports)]
    return None


class Program:
    """A table made ready to run; chains are compiled when a packet first meets them. `indexed` False: ask every rule."""

    def __init__(self, table: Table, indexed: bool = True):
        self.table, self._indexed = table, indexed
        self._codes: dict[str, _Code] = {}

    def code(self, chain: str) -> _Code:
        found = self._codes.get(chain)
        if found is None:
            found = self._codes[chain] = _Code(self.table.chains[chain], self.table, self._indexed)
        return found

    def evaluate(self, chain: str, ctx: Context) -> Verdict:
        return evaluate(self, chain, ctx)


def evaluate(program: Program, chain: str, ctx: Context) -> Verdict:
    """Run a packet through a built-in chain. Changes go through `ctx` only: marks, hits, lists.

    Whoever remembers what became of a packet may give the same answer to the next one of the same `looks`, if `ctx.plain` says so.
    Raises NotModelled where the packet would meet a match or target that the lab does not model.
    """
    packet = ctx.packet
    hit: Callable[[Rule], None] = ctx.hit
    base = code = program.code(chain)
    rules: Sequence[_Rule] = code.candidates(packet)
    i, end, plain = 0, len(rules), True
    stack: list[tuple[Sequence[_Rule], int]] = []
    while True:
        while i < end:
            rule = rules[i]
            i += 1
            plain, tests = plain and rule.plain, rule.tests
            if rule.lot is not None:
                passed = ctx.first(rule.lot)
                i += passed
                if passed == len(rule.lot.coins):
                    i -= 1
                    continue
                rule, tests = rules[i - 1], ()
            for test in tests:
                if not test(ctx):
                    break
            else:
                hit(rule.rule)
                op = rule.op
                if op == CONTINUE:
                    if rule.effect is not None:
                        rule.effect(ctx)
                elif op == STOP:
                    verdict = rule.verdict
                    assert verdict is not None
                    ctx.plain = plain
                    return verdict
                elif op == RETURN:
                    break
                else:
                    if op == JUMP:
                        stack.append((rules, i))
                    code = program.code(rule.target)
                    rules = code.candidates(packet)
                    i, end = 0, len(rules)
        if not stack:
            policy = base.policy
            assert policy is not None, f"{base.name} is no built-in chain"
            hit(policy)
            ctx.plain = plain
            return Verdict(policy.policy, policy, base.name)
        rules, i = stack.pop()
        end = len(rules)
