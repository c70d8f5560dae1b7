"""iptables-restore: its text, line by line, table by table.

Source: iptables 1.8.9 iptables/iptables-restore.c, iptables/xtables-restore.c, iptables/xshared.c (add_param_to_argv); the
complaints are measured. The two kinds differ: "legacy" acts on each line as it comes, "nft" gathers a table's lines and acts
at COMMIT, so that an unreadable line is found before a command that cannot be done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ...errors import NotModelled
from .arguments import Command, parse
from .edit import Draft, IptablesError, Refused
from .model import BUILTIN
from .spec import Spec
from .target_registry import check_chain_name
from .values import Bad, split_line

if TYPE_CHECKING:
    from .ruleset import Ruleset

__all__ = ["parse_line", "parse_spec", "restore", "usage_error"]


def usage_error(e: Bad, program: str, backend: str, line: int = 0) -> IptablesError:
    """A complaint about arguments as the tool prints it."""
    head = e.message if e.bare else f"{program} v1.8.9 ({'nf_tables' if backend == 'nft' else 'legacy'}): {e.message}"
    where = f"\nError occurred at line: {line}" if line else ""
    return IptablesError(f"{e.before}{head}{where}\nTry `{program} -h' or '{program} --help' for more information.", e.status)


@lru_cache(maxsize=1 << 15)
def parse_line(line: str, family: int, backend: str, table: str) -> Command:
    """One command line of a restore text, without counters in front. Equal lines give the same object, on whichever node."""
    return parse(split_line(line), family, backend, in_restore=table)


@lru_cache(maxsize=1 << 14)
def parse_spec(text: str, family: int = 4, backend: str = "nft") -> Spec:
    """A rule's body from its text, e.g. "-s 10.0.0.0/8 -j ACCEPT". Raises IptablesError."""
    program = "ip6tables" if family == 6 else "iptables"
    try:
        command = parse(["-A", "-", *split_line(text)], family, backend)
    except Bad as e:
        raise usage_error(e, program, backend) from None
    if len(command.specs) != 1:
        raise IptablesError(f"{program}: more than one rule: {text}", 2)
    return command.specs[0]


_COUNTERS = re.compile(r"\[([^:\]]*):([^\]]*)\]\s*")
Counts = tuple[int, int]


class _Restore:
    def __init__(
        self, ruleset: Ruleset, noflush: bool, counters: MutableMapping[int, Counts] | None, tables: Sequence[str],
        origin: str | Callable[[str, Spec], str],
    ):  # fmt: skip
        self.rules, self.noflush, self.counters, self.tables, self.origin = ruleset, noflush, counters, tables, origin
        self.family, self.backend = ruleset.family, ruleset.backend
        self.program = "ip6tables-restore" if self.family == 6 else "iptables-restore"
        self.draft: Draft | None = None
        self.skipping = False
        self.todo: list[tuple[int, Callable[[Draft], None]]] = []
        self.line = 0

    # --------------------------------------------------------------------------------------------------- complaints
    def bad(self, message: str, status: int = 2) -> IptablesError:
        return usage_error(Bad(message, status=status), self.program, self.backend, self.line)

    def no_policy(self, chain: str, policy: str, reason: str) -> IptablesError:
        head = f"{self.program} v1.8.9 (legacy): Can't set policy `{policy}' on `{chain}'"
        return IptablesError(f"{head} line {self.line}: {reason}", 1)

    def refused(self, e: Refused, line: int) -> IptablesError:
        if e.usage:
            at = self.line if self.backend == "nft" else line
            return usage_error(Bad(e.reason), self.program, self.backend, at)
        if e.kernel:
            return self.kernel_refused([(line, e)])
        reason = f": {e.reason}." if self.backend == "nft" else ""
        return IptablesError(f"{self.program}: line {line} failed{reason}", 1)

    def kernel_refused(self, found: Sequence[tuple[int, Refused]]) -> IptablesError:
        lines = []
        for n, e in found:
            what = "chain" if e.kernel.startswith("CHAIN") else "rule in chain"
            lines.append(f"line {n}: {e.kernel} failed ({e.reason}): {what} {e.chain}")
        return IptablesError("\n".join([f"{self.program} v1.8.9 (nf_tables): ", *lines]), 4)

    # -------------------------------------------------------------------------------------------------------- lines
    def run(self, text: str) -> None:
        lines = text.split("\n")
        if lines and not lines[-1]:
            lines.pop()
        for number, line in enumerate(lines, 1):
            self.line = number
            if not line or line[0] == "#":
                continue
            if self.draft is None and not self.skipping:
                if line[0] == "*":
                    self.begin(line[1:].strip())
                else:
                    raise IptablesError(f"{self.program}: line {self.line} failed", 1)
            elif line.rstrip() == "COMMIT":
                if self.draft is not None:
                    self.commit()
                self.draft, self.skipping = None, False
            elif self.draft is None:
                continue
            elif line[0] == ":":
                self.declare(line[1:])
            else:
                self.command(line)
        if self.draft is not None:
            raise IptablesError(f"{self.program}: COMMIT expected at line {len(lines) + 1}", 1)

    def begin(self, table: str) -> None:
        if table not in BUILTIN:
            if self.backend == "legacy":
                raise self.bad(f"{self.program}: unable to initialize table '{table}'")
            raise self.bad(f"{self.program}: line {self.line} table name '{table}' invalid")
        if self.tables and table not in self.tables:
            self.skipping = True
            return
        self.todo = []
        if self.backend == "legacy":
            self.rules.touch(table)
        self.draft = self.fresh(table)

    def fresh(self, table: str) -> Draft:
        draft = self.rules.draft(table)
        if not self.noflush:
            # nft drops the whole table, legacy empties it and keeps the policies
            draft.clear(policies=self.backend == "nft")
        return draft

    def do(self, action: Callable[[Draft], None]) -> None:
        assert self.draft is not None
        if self.backend == "nft":
            self.todo.append((self.line, action))
            return
        try:
            action(self.draft)
        except Refused as e:
            raise self.refused(e, self.line) from None

    def declare(self, rest: str) -> None:
        assert self.draft is not None
        words = rest.split()
        if len(words) < 2:
            raise self.bad(f"{self.program}: line {self.line} {'policy' if words else 'chain name'} invalid")
        name, policy = words[:2]
        builtin = name in BUILTIN[self.draft.name]
        if not builtin:
            try:
                check_chain_name(name)
            except Bad as e:
                reason = e.message
                if self.backend == "legacy":
                    long = len(name) > 28
                    reason = f"Invalid chain name `{name}' (28 chars max)" if long else f"error creating chain '{name}':File exists"
                raise self.bad(reason) from None
        counts: Counts | None = None
        if self.counters is not None and policy != "-":
            found = re.match(r"\[(\d+):(\d+)\]", words[2]) if len(words) > 2 else None
            if not found:
                raise self.bad(f"invalid policy counters for chain '{name}'")
            counts = int(found[1]), int(found[2])
        if builtin:
            if policy != "-":
                if self.backend == "legacy" and policy not in ("ACCEPT", "DROP"):
                    raise self.no_policy(name, policy, "Bad policy name")
                self.do(lambda d: d.policy(name, policy, counts))
            else:
                self.do(lambda d: d.absent.discard(name))
                if self.backend == "nft":
                    self.do(lambda d: d.count(name))
        elif policy != "-" and self.backend == "legacy":
            raise self.no_policy(name, policy, "Bad built-in chain name")
        else:
            self.do(lambda d: d.declare(name, self.noflush))

    def command(self, line: str) -> None:
        assert self.draft is not None
        counts: Counts | None = None
        if line[0] == "[":
            found = _COUNTERS.match(line)
            if not found:
                raise self.bad(f"Bad line {self.line}: need ]")
            if self.counters is not None:
                for text, word in ((found[1], "packet"), (found[2], "byte")):
                    if not text.isdigit():
                        raise self.bad(f"-c {word} counter not numeric")
                counts = int(found[1]), int(found[2])
            line = line[found.end() :]
        try:
            command = parse_line(line, self.family, self.backend, self.draft.name)
        except Bad as e:
            raise usage_error(e, self.program, self.backend, self.line) from None
        except NotModelled as e:
            raise NotModelled(f"{e.reason} (line {self.line} of the rules)") from None
        if command.other_family:
            return  # the line is for the other tool
        if counts and not command.counters:
            command = replace(command, counters=counts)
        if self.counters is None and command.counters:
            command = _without_counters(command)
        self.do(lambda d: d.apply(command, self.origin))

    # ------------------------------------------------------------------------------------------------------- commit
    def commit(self) -> None:
        draft = self.draft
        assert draft is not None
        if self.backend == "nft":
            self.execute(draft, each=False)
        if draft.problem():
            if self.backend == "nft":
                # once more, command by command, to learn which ones the kernel refuses
                self.execute(self.fresh(draft.name), each=True)
            raise IptablesError(f"{self.program}: line {self.line} failed", 1)
        self.rules.accept(draft, self.counters)

    def execute(self, draft: Draft, each: bool) -> None:
        found: list[tuple[int, Refused]] = []
        for line, action in self.todo:
            draft.added = ("", "")
            try:
                action(draft)
            except Refused as e:
                if not e.kernel:
                    raise self.refused(e, line) from None
                found.append((line, e))
                each = True
                continue
            if each and draft.added[0]:
                trouble = draft.problem()
                if trouble:
                    found.append((line, Refused(trouble, *draft.added)))
        if found:
            raise self.kernel_refused(found)


def _without_counters(command: Command) -> Command:
    return replace(command, counters=None)


def restore(
    ruleset: Ruleset, text: str, *, noflush: bool = False, counters: MutableMapping[int, Counts] | None = None, tables: Sequence[str] = (),
    origin: str | Callable[[str, Spec], str] = "",
) -> None:  # fmt: skip
    """See `Ruleset.restore`."""
    _Restore(ruleset, noflush, counters, tables, origin).run(text)
