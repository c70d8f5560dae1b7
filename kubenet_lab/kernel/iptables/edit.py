"""A draft of one table: the commands of iptables as operations on it. Nothing is true until it is frozen.

Source: iptables 1.8.9 libiptc/libiptc.c and iptables/nft.c; the complaints are measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import CommandError, NotModelled
from .arguments import Command
from .legal import problem, rule_problem
from .model import BUILTIN, Chain, Rule, Table
from .spec import Spec
from .targets import Jump, Standard

__all__ = ["Draft", "IptablesError", "Refused"]

NO_CHAIN = "No chain/target/match by that name"
BAD_RULE = "Bad rule (does a matching rule exist in that chain?)"


class IptablesError(CommandError):
    """What iptables prints on its error output; `status` is its exit status."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


class Refused(Exception):
    """A command that does not fit the rules. `kernel`: the operation that the kernel refused (nft: "RULE_APPEND", "CHAIN_DEL")."""

    def __init__(self, reason: str, kernel: str = "", chain: str = "", usage: bool = False):
        super().__init__(reason)
        self.reason, self.kernel, self.chain, self.usage = reason, kernel, chain, usage


@dataclass(slots=True)
class _Chain:
    policy: str | None
    uid: int
    rules: list[Rule]
    counted: bool = False


class Draft:
    """The table that is being changed. `numbers` gives uids; `sets` tells whether an ipset exists (None: not checked)."""

    def __init__(
        self, table: Table | None, name: str, family: int, backend: str, numbers: Callable[[], int],
        sets: Callable[[str], Any] | None = None,
    ):  # fmt: skip
        self.name, self.family, self.backend, self._number, self._sets = name, family, backend, numbers, sets
        self.counters: dict[int, tuple[int, int]] = {}  # set by -c
        self.zeroed: list[int] = []
        self.added = ("", "")  # the kernel operation and chain of the last rule that was added
        self._old = table
        self.chains: dict[str, _Chain] = {}
        self.absent: set[str] = set(table.absent) if table is not None else set()
        if table is None:
            self.clear()
        else:
            self.chains = {n: _Chain(c.policy, c.uid, list(c.rules), c.counted) for n, c in table.chains.items()}

    def clear(self, policies: bool = True) -> None:
        """As iptables-restore without --noflush begins: built-in chains only, empty."""
        kept = {n: c for n, c in self.chains.items() if n in BUILTIN[self.name]} if not policies else {}
        self.chains = {
            n: _Chain(kept[n].policy if n in kept else "ACCEPT", kept[n].uid if n in kept else self._number(), [], self.backend == "legacy")
            for n in BUILTIN[self.name]
        }
        self.absent = set(self.chains) if self.backend == "nft" else set()

    def freeze(self) -> Table:
        """The table as a value; chains that did not change stay the same object."""
        old = self._old.chains if self._old else {}
        chains = {}
        for name, c in self.chains.items():
            before = old.get(name)
            rules = tuple(c.rules)
            now = Chain(name, c.policy, rules, c.uid, c.counted)
            same = before is not None and all(getattr(before, f) == getattr(now, f) for f in ("policy", "uid", "rules", "counted"))
            chains[name] = before if same and before is not None else now
        return Table(self.name, self.family, chains, frozenset(self.absent))

    def problem(self) -> str:
        return problem(self.name, {n: c.rules for n, c in self.chains.items()}, self.backend)

    # --------------------------------------------------------------------------------------------------- commands
    def chain(self, name: str, there: bool = False) -> _Chain:
        """`there`: a built-in chain that nobody has needed yet does not count."""
        found = self.chains.get(name)
        if found is None or (there and name in self.absent):
            raise Refused(NO_CHAIN)
        return found

    def _check(self, specs: Sequence[Spec], chain: str, operation: str) -> None:
        for spec in specs:
            self.check_sets(spec)
            self.check_jump(spec)
            hooks = frozenset({chain} & set(BUILTIN[self.name]))
            trouble = rule_problem(spec, self.name, hooks, self.backend) if self.backend == "nft" else ""
            if spec.jump in self.absent:
                trouble = "No such file or directory"
            if trouble:
                raise Refused(trouble, operation, chain)

    def check_sets(self, spec: Spec) -> None:
        for name in spec.sets:
            if self._sets is not None and self._sets(name) is None:
                raise Refused(f"Set {name} doesn't exist.\n", usage=True)
            family = getattr(self._sets(name), "family", 0) if self._sets is not None else 0
            if family not in (0, self.family):
                raise Refused(f"The protocol family of set {name} is IPv{family}, which is not applicable.\n", usage=True)

    def check_jump(self, spec: Spec) -> None:
        """A jump's chain must exist. The tool looks before the kernel does."""
        target = spec.target
        if not isinstance(target, Jump) or target.chain in self.chains:
            return
        if self.backend == "nft":
            raise Refused(f"Chain '{target.chain}' does not exist", usage=True)
        if target.goto:
            raise Refused(f"goto '{target.chain}' is not a chain", usage=True)
        raise Refused(f"Couldn't load target `{target.chain}':No such file or directory\n", usage=True)

    def _new(self, spec: Spec, chain: str, origin: str, counters: tuple[int, int] | None) -> Rule:
        rule = Rule(spec, self.name, chain, self._number(), origin)
        if counters and counters != (0, 0):
            self.counters[rule.uid] = counters
        return rule

    def append(self, chain: str, specs: Sequence[Spec], origin: str = "", counters: tuple[int, int] | None = None) -> None:
        self.check_target_chain(chain, specs)
        rules = self.chain(chain).rules
        self._check(specs, chain, "RULE_APPEND")
        rules += [self._new(s, chain, origin, counters) for s in specs]
        self.absent.discard(chain)
        self.added = ("RULE_APPEND", chain)

    def check_target_chain(self, chain: str, specs: Sequence[Spec]) -> None:
        for spec in specs:  # sets and targets are looked up before the chain
            self.check_sets(spec)
            self.check_jump(spec)
        self.chain(chain)

    def insert(self, chain: str, number: int, specs: Sequence[Spec], origin: str = "", counters: tuple[int, int] | None = None) -> None:
        self.check_target_chain(chain, specs)
        rules = self.chain(chain).rules
        if number > len(rules) + 1:
            raise Refused("Index of insertion too big")
        operation = "RULE_APPEND" if 1 < number == len(rules) + 1 else "RULE_INSERT"  # behind the last one
        self._check(specs, chain, operation)
        for spec in specs:  # each goes in front of the one before it
            rules.insert(number - 1, self._new(spec, chain, origin, counters))
        self.absent.discard(chain)
        self.added = (operation, chain)

    def replace(self, chain: str, number: int, spec: Spec, origin: str = "", counters: tuple[int, int] | None = None) -> None:
        self.check_target_chain(chain, [spec])
        rules = self.chain(chain, there=True).rules
        if number > len(rules):
            raise Refused("Index of replacement too big")
        self._check([spec], chain, "RULE_REPLACE")
        rules[number - 1] = self._new(spec, chain, origin, counters)
        self.added = ("RULE_REPLACE", chain)

    def _find(self, chain: str, spec: Spec) -> int:
        found = self.chains.get(chain)
        for i, rule in enumerate(found.rules if found else ()):
            if rule.spec is spec or rule.spec == spec:
                return i
        if found is not None and self.backend == "legacy" and spec.jump in BUILTIN[self.name]:
            raise Refused("Invalid argument")
        known = found is None or spec.target is None or isinstance(spec.target, Standard)
        raise Refused(BAD_RULE if known or self.backend == "nft" else NO_CHAIN)

    def delete(self, chain: str, specs: Sequence[Spec]) -> None:
        for spec in specs:
            self.check_sets(spec)
            self.check_jump(spec)
            i = self._find(chain, spec)
            del self.chains[chain].rules[i]

    def delete_number(self, chain: str, number: int) -> None:
        rules = self.chain(chain, there=True).rules
        if number > len(rules):
            raise Refused("Index of deletion too big")
        del rules[number - 1]

    def check(self, chain: str, specs: Sequence[Spec]) -> None:
        for spec in specs:
            self.check_sets(spec)
            self.check_jump(spec)
            self._find(chain, spec)

    def flush(self, chain: str = "", verbose: bool = False) -> None:
        for c in [self.chain(chain)] if chain else self.chains.values():
            c.rules.clear()
        self.absent -= {chain} if chain else set(self.absent) if verbose else set()

    def new_chain(self, name: str) -> None:
        if name in self.chains:
            raise Refused("Chain already exists")
        self.chains[name] = _Chain(None, self._number(), [])

    def declare(self, name: str, noflush: bool = True) -> None:
        """A line `:NAME - [0:0]`: the chain is there, and empty."""
        if name in self.chains and not noflush and self.backend == "legacy":
            raise Refused(f"error creating chain '{name}':File exists", usage=True)
        if name in self.chains:
            self.chains[name].rules.clear()
        else:
            self.new_chain(name)

    def delete_chain(self, name: str = "") -> None:
        own = sorted(n for n in self.chains if n not in BUILTIN[self.name])
        if name and name in BUILTIN[self.name]:
            if self.backend == "legacy":
                raise Refused("Invalid argument")
            self.chain(name, there=True)
            if self.chains[name].rules:
                raise Refused("Device or resource busy", "CHAIN_DEL", name)
            if self.chains[name].policy != "ACCEPT":
                raise Refused("Directory not empty")
            self._drop_builtin({name})
            return
        if name:
            self.chain(name)
        going = [name] if name else own
        jumps = {r.spec.jump for c in self.chains.values() for r in c.rules if r.spec.jump}
        busy = [n for n in going if self.chains[n].rules or n in jumps]
        if busy and self.backend == "nft":  # the first one that was made is named
            raise Refused("Device or resource busy", "CHAIN_DEL", min(busy, key=lambda n: self.chains[n].uid))
        if busy:  # the last one by name
            raise Refused("Too many links" if busy[-1] in jumps else "Directory not empty")
        for n in going:
            del self.chains[n]
        if self.backend == "nft" and not name:  # and built-in chains that do nothing
            self._drop_builtin({n for n, c in self.chains.items() if n in BUILTIN[self.name] and not c.rules and c.policy == "ACCEPT"})

    def _drop_builtin(self, names: set[str]) -> None:
        self.absent |= names
        for n in names:
            self.chains[n].counted = False

    def count(self, chain: str, counters: tuple[int, int] | None = None) -> None:
        """The built-in chain counts from here on, beginning with these packets and bytes, or at zero: a new number has no counters yet."""
        c = self.chains[chain]
        c.counted, c.uid = True, self._number()
        if counters:
            self.counters[c.uid] = counters

    def rename(self, old: str, new: str) -> None:
        if new in self.chains:
            raise Refused("File exists")
        c = self.chain(old)
        if old in BUILTIN[self.name]:
            if self.backend == "legacy" or old in self.absent:
                raise Refused(NO_CHAIN)
            raise NotModelled("renaming a built-in chain: iptables 1.8.9 does it, and cannot list the result")
        self.chains = {new if n == old else n: x for n, x in self.chains.items()}
        c.rules[:] = [replace(r, chain=new) for r in c.rules]
        for other in self.chains.values():
            for i, rule in enumerate(other.rules):
                target = rule.spec.target
                if isinstance(target, Jump) and target.chain == old:
                    other.rules[i] = replace(rule, spec=replace(rule.spec, target=replace(target, chain=new)))

    def policy(self, chain: str, policy: str, counters: tuple[int, int] | None = None) -> None:
        if self.backend == "nft" and policy not in ("ACCEPT", "DROP"):
            raise Refused("Bad policy name")
        if chain not in BUILTIN[self.name]:
            raise Refused("Bad built-in chain name")
        if policy not in ("ACCEPT", "DROP"):
            raise Refused("Bad policy name")
        self.chains[chain].policy = policy
        self.absent.discard(chain)
        self.count(chain, counters)

    def zero(self, chain: str = "", number: int = 0) -> None:
        if number and self.backend == "nft" and (chain not in self.chains or chain in self.absent):
            raise Refused(BAD_RULE)
        chosen = [self.chain(chain, there=True)] if chain else list(self.chains.values())
        if number:
            rules = chosen[0].rules
            if number > len(rules):
                if self.backend == "legacy":
                    raise Refused("Index of counter too big")
                return
            self.zeroed.append(rules[number - 1].uid)
            return
        self.zeroed += itertools.chain.from_iterable((c.uid, *(r.uid for r in c.rules)) for c in chosen)
        for n, c in self.chains.items():
            c.counted |= c in chosen and n in BUILTIN[self.name] and n not in self.absent

    def apply(self, command: Command, origin: str | Callable[[str, Spec], str] = "") -> None:
        """One command that changes rules (A I D R F N X E P Z; C only checks). Raises Refused."""
        c, chain = command, command.chain
        name = origin if isinstance(origin, str) else origin(chain, c.specs[0]) if c.specs else ""
        match c.action:
            case "A":
                self.append(chain, c.specs, name, c.counters)
            case "I":
                self.insert(chain, c.number, c.specs, name, c.counters)
            case "R":
                self.replace(chain, c.number, c.specs[0], name, c.counters)
            case "D" if c.number:
                self.delete_number(chain, c.number)
            case "D":
                self.delete(chain, c.specs)
            case "C":
                self.check(chain, c.specs)
            case "F":
                self.flush(chain, c.verbose)
            case "N":
                self.new_chain(chain)
            case "X":
                self.delete_chain(chain)
            case "E":
                self.rename(chain, c.name)
            case "P":
                self.policy(chain, c.name, c.counters)
            case "Z":
                self.zero(chain, c.number)
            case _:
                raise NotModelled(f"-{c.action} among commands that change rules")
