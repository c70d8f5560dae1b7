"""All tables of one family in one network namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import Command
from .edit import Draft, IptablesError, Refused
from .model import BUILTIN, Chain, Rule, Table
from .spec import Spec

if TYPE_CHECKING:
    from .evaluate import Program

__all__ = ["Counters", "Ruleset"]

#: packets and bytes by the uid of a rule, or of a chain (its policy)
Counters = Mapping[int, tuple[int, int]]

# the order in which the nft kind of the tool prints tables (measured, 1.8.9)
_NFT_ORDER = ("mangle", "security", "raw", "filter", "nat")


class Ruleset:
    """`backend` is "nft" (what `iptables` is on current distributions) or "legacy": they print and complain differently.

    `sets`, where given, is asked whether an ipset exists when a rule names one.
    Counters are not kept here: doors that touch them take the mapping that holds them.
    """

    def __init__(self, family: int = 4, backend: str = "nft", sets: Callable[[str], Any] | None = None):
        self.family, self.backend, self.sets = family, backend, sets
        self._tables: dict[str, Table] = {}
        self._programs: dict[str, Program] = {}
        self._last = 1 if family == 6 else 0  # uids of the two families never meet: even ones here, odd ones there
        self.version = 0  # grows with every change

    # ------------------------------------------------------------------------------------------------------- reading
    @property
    def tables(self) -> Mapping[str, Table]:
        """The tables that exist; a table comes into being when something is put into it."""
        return self._tables

    def table(self, name: str) -> Table:
        """The table, as it is or as it would begin."""
        found = self._tables.get(name)
        if found is None:
            # made up on the spot: uids below zero, so that nothing can be kept by them
            absent = frozenset(BUILTIN[name]) if self.backend == "nft" else frozenset()
            return Table(name, self.family, {n: Chain(n, "ACCEPT", (), -1 - i, not absent) for i, n in enumerate(BUILTIN[name])}, absent)
        return found

    def chain(self, table: str, name: str) -> Chain | None:
        return self.table(table).chains.get(name)

    def rules(self, table: str, chain: str) -> tuple[Rule, ...]:
        found = self.chain(table, chain)
        return found.rules if found else ()

    def program(self, table: str) -> Program | None:
        """The compiled table, None if it does not exist (every packet passes)."""
        found = self._tables.get(table)
        if found is None:
            return None
        program = self._programs.get(table)
        if program is None or program.table is not found:
            from .evaluate import Program

            program = self._programs[table] = Program(found)
        return program

    def save(self, counters: Counters | None = None, table: str = "", when: str = "") -> str:
        """As `iptables-save` prints it; with rule counters (-c) if `counters` is given. `when` is the time stamp's text."""
        from .listing import save_table

        names = [n for n in (_NFT_ORDER if self.backend == "nft" else reversed(self._tables)) if n in self._tables]
        if table:
            names = [table] if table in self._tables else []
        return "".join(save_table(self._tables[n], self.backend, counters, when) for n in names)

    # ------------------------------------------------------------------------------------------------------ changing
    def _number(self) -> int:
        self._last += 2
        return self._last

    def draft(self, table: str) -> Draft:
        return Draft(self._tables.get(table), table, self.family, self.backend, self._number, self.sets)

    def accept(self, draft: Draft, counters: MutableMapping[int, tuple[int, int]] | None = None) -> None:
        """Make a draft true. The caller has asked the draft for its problem."""
        self._tables[draft.name] = draft.freeze()
        self.version += 1
        if counters is not None:
            counters.update(draft.counters)
            for uid in draft.zeroed:
                counters.pop(uid, None)

    def touch(self, table: str) -> None:
        """The legacy kind makes a table when it is first looked at."""
        if table not in self._tables:
            self.accept(self.draft(table))

    def _edit(self, table: str, change: Callable[[Draft], None]) -> None:
        draft = self.draft(table)
        program = "ip6tables" if self.family == 6 else "iptables"
        try:
            change(draft)
        except Refused as e:
            raise IptablesError(f"{program}: {e.reason.strip()}.") from None
        trouble = draft.problem()
        if trouble:
            raise IptablesError(f"{program}: {trouble}.")
        self.accept(draft)

    def restore(
        self, text: str, noflush: bool = False, *, counters: MutableMapping[int, tuple[int, int]] | None = None, tables: Sequence[str] = (),
        origin: str | Callable[[str, Spec], str] = "",
    ) -> None:  # fmt: skip
        """What `iptables-restore [--noflush]` does with this text, each table all or nothing at its COMMIT.

        `counters`: take the counters of the text over into it (--counters). `tables`: leave others out (-T).
        `origin`: what the new rules are for, or a function of (chain, spec). Raises IptablesError in the tool's words.
        """
        from .parse import restore

        restore(self, text, noflush=noflush, counters=counters, tables=tables, origin=origin)

    def apply(self, command: Command, origin: str = "") -> None:
        """One parsed command on its table. Raises IptablesError."""
        self._edit(command.table or "filter", lambda d: d.apply(command, origin))

    def append(self, table: str, chain: str, rule: str | Spec, origin: str = "") -> None:
        """`rule` is a parsed spec or its text: "-s 10.0.0.0/8 -j ACCEPT"."""
        spec = self.spec(rule)
        self._edit(table, lambda d: d.append(chain, [spec], origin))

    def insert(self, table: str, chain: str, rule: str | Spec, number: int = 1, origin: str = "") -> None:
        spec = self.spec(rule)
        self._edit(table, lambda d: d.insert(chain, number, [spec], origin))

    def replace(self, table: str, chain: str, number: int, rule: str | Spec, origin: str = "") -> None:
        spec = self.spec(rule)
        self._edit(table, lambda d: d.replace(chain, number, spec, origin))

    def delete(self, table: str, chain: str, rule: str | Spec | int) -> None:
        """The first rule that is written so, or the rule of this number."""
        if isinstance(rule, int):
            number = rule
            self._edit(table, lambda d: d.delete_number(chain, number))
        else:
            spec = self.spec(rule)
            self._edit(table, lambda d: d.delete(chain, [spec]))

    def flush(self, table: str, chain: str = "") -> None:
        self._edit(table, lambda d: d.flush(chain))

    def new_chain(self, table: str, name: str) -> None:
        self._edit(table, lambda d: d.new_chain(name))

    def delete_chain(self, table: str, name: str = "") -> None:
        self._edit(table, lambda d: d.delete_chain(name))

    def policy(self, table: str, chain: str, policy: str) -> None:
        self._edit(table, lambda d: d.policy(chain, policy))

    def rename(self, table: str, old: str, new: str) -> None:
        self._edit(table, lambda d: d.rename(old, new))

    def zero(self, counters: MutableMapping[int, tuple[int, int]], table: str, chain: str = "", number: int = 0) -> None:
        """Forget the counters of a table, a chain or a rule, as -L -Z does."""
        draft = self.draft(table)
        if not chain:
            draft.absent.clear()  # this way the nft kind makes them all; -Z alone does not (measured with iptables 1.8.9)
        draft.zero(chain, number)
        if table in self._tables:
            self.accept(draft, counters)

    def spec(self, rule: str | Spec) -> Spec:
        """A rule's text as a value. Raises IptablesError."""
        if isinstance(rule, Spec):
            return rule
        from .parse import parse_spec

        return parse_spec(rule, self.family, self.backend)

    def copy(self) -> Ruleset:
        """A ruleset of its own with the same rules and uids; tables are shared until they change."""
        other = Ruleset(self.family, self.backend, self.sets)
        other._tables, other._programs = dict(self._tables), dict(self._programs)
        other._last, other.version = self._last, self.version
        return other

    def __repr__(self) -> str:
        rules = sum(len(c) for t in self._tables.values() for c in t.chains.values())
        return f"Ruleset({'ip6tables' if self.family == 6 else 'iptables'}: {', '.join(self._tables) or 'no tables'}; {rules} rules)"
