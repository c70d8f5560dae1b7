"""The rules as values: Rule, Chain, Table. Changed only through `Ruleset` and the drafts of `edit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .context import Place
from .extension import Match
from .spec import Header, Spec
from .targets import Standard, Target

__all__ = ["BUILTIN", "TABLES", "Chain", "Rule", "Table"]

#: the tables and their built-in chains, in the order of the hooks
BUILTIN: dict[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
TABLES = tuple(BUILTIN)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule in its place. `uid` stays the same while the rule stays in the ruleset: counters are kept by it.

    `origin` names the object the rule was made for ("Service shop/cart"); nothing here reads it.
    """

    spec: Spec
    table: str
    chain: str
    uid: int
    origin: str = ""
    policy: str = ""  # set on the pseudo rule that stands for a chain's policy

    @property
    def family(self) -> int:
        return self.spec.header.family

    @property
    def header(self) -> Header:
        return self.spec.header

    @property
    def matches(self) -> tuple[Match, ...]:
        return self.spec.matches

    @property
    def target(self) -> Target | None:
        return self.spec.target

    @property
    def command(self) -> str:
        """The real command that prints it."""
        return f"{'ip6tables' if self.family == 6 else 'iptables'} -t {self.table} -S {self.chain}"

    def __str__(self) -> str:
        if self.policy:
            return f"-P {self.chain} {self.policy}"
        return f"-A {self.chain} {self.spec.text}".rstrip()

    def __repr__(self) -> str:
        return f"Rule({self.table}: {self})"


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """`policy` is "ACCEPT" or "DROP" for a built-in chain, None for the others.

    `counted`: whether its policy's counters are shown. The nft kind makes a chain without counters; -P, -Z and a line ":CHAIN ..."
    of iptables-restore give it some (iptables/nft.c: NFTNL_CHAIN_PACKETS is set there; measured with iptables 1.8.9).
    """

    name: str
    policy: str | None
    rules: tuple[Rule, ...]
    uid: int
    counted: bool = False

    def __len__(self) -> int:
        return len(self.rules)


@dataclass(frozen=True, eq=False)
class Table:
    name: str
    family: int
    chains: Mapping[str, Chain] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()  # built-in chains that the kernel does not have: the nft kind makes each when it is first needed

    @cached_property
    def ordered(self) -> tuple[Chain, ...]:
        """The chains as the tools print them: built-in ones by hook, the others by name."""
        builtin = BUILTIN[self.name]
        own = sorted(name for name in self.chains if name not in builtin)
        return tuple(self.chains[name] for name in (*builtin, *own))

    @cached_property
    def references(self) -> Mapping[str, int]:
        """How many rules jump to each chain."""
        counts = dict.fromkeys(self.chains, 0)
        for chain in self.chains.values():
            for rule in chain.rules:
                if rule.spec.jump in counts:
                    counts[rule.spec.jump] += 1
        return counts

    @cached_property
    def policy_rules(self) -> Mapping[str, Rule]:
        """The pseudo rules that stand for the chains' policies where rules are counted."""
        return {
            c.name: Rule(Spec(Header(self.family), (), Standard(c.policy)), self.name, c.name, c.uid, "", c.policy)
            for c in self.chains.values()
            if c.policy
        }

    def place(self, rule: Rule, number: int) -> Place:
        return Place(self.name, rule.chain, number, rule.uid)
