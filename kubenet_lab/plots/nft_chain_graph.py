"""What kube-proxy's maps and chains of nftables ask and where they lead, in the words of the figure of chains.

kube-proxy's rules hold no counters (pkg/proxy/nftables/proxier.go): a way has `hits` only where somebody put one in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..cluster.service_rules import ProgrammedRule, ServiceRules
from ..kernel.nftables.model import Element, Table
from ..kernel.nftables.selectors import Numgen
from ..kernel.nftables.statements import Counter, Lookup, Statement, Update, Verdict, Vmap
from ..kernel.nftables.statements_nat import Nat, Reject

__all__ = ["Way", "place_words", "ways_of"]

MASQUERADE, REFUSES = "mark-for-masquerade", "reject-chain"


@dataclass(frozen=True, slots=True)
class Way:
    """One way out of a map or chain, or (with `note`) something done on the way. `share`: of what comes to the rule; None: no chance."""

    condition: str
    target: str
    share: Fraction | None = None
    hits: int | None = None
    note: str = ""


def place_words(host: str, protocol: str, port: str) -> str:
    """ "to 10.96.0.10:53/UDP", "port 30080": the protocol is said where it is not TCP."""
    proto = "" if protocol == "tcp" else f"/{protocol.upper()}"
    return f"to {f'[{host}]' if ':' in host else host}:{port}{proto}" if host else f"port {port}{proto}"


def ways_of(found: ServiceRules, name: str, rules: tuple[ProgrammedRule, ...]) -> Iterator[Way]:
    """The ways out of one of the maps that catch the Service, or of one of the chains that follow."""
    table = found.table
    if table is None:
        return
    if name not in found.chains:
        for rule in rules:
            key = re.split(r" comment \"| : ", rule.text)[0].split(" . ")
            yield Way(place_words(*(["", *key] if len(key) == 2 else key)), _end(rule.goes_to))
        return
    for made, rule in zip(table.chains[name].rules, rules, strict=True):
        yield from _ways_of_rule(table, made.statements, rule.packets)


def _ways_of_rule(table: Table, statements: tuple[Statement, ...], hits: int | None) -> Iterator[Way]:
    asked: list[str] = []
    if hits is not None and all(isinstance(s, Counter) for s in statements):
        yield Way("", "", None, hits, "counts what comes")
    for s in statements:
        condition = " ".join(sorted(asked, key=lambda words: words.startswith("to ")))
        match s:
            case Verdict(chain=chain) if chain == MASQUERADE:
                yield Way("", "", None, hits, f"marks for masquerade{f' what is {condition}' if condition else ''}")
            case Verdict():
                yield Way(condition, _end(s.chain or s.kind), None, hits)
            case Vmap():
                if hits is not None:  # one counter for all that the map holds
                    yield Way("", "", None, hits, "looked up by the map below")
                for element in (s.inline or table.sets[s.named]).elements.values():
                    share = Fraction(_width(element), s.of.mod) if isinstance(s.of, Numgen) else None
                    which = "" if share is not None else f"{s.of} {element.key[0]}"
                    yield Way(" ".join(filter(None, (condition, which))), _end(element.data.chain or element.data.kind), share)
            case Nat():
                yield Way(condition, str(s).replace(s.kind, s.kind.upper(), 1).replace(" to ", " ", 1), None, hits)
            case Reject():
                yield Way(condition, "REJECT", None, hits)
            case Update():
                life = s.timeout or table.sets[s.named].timeout
                yield Way("", "", None, hits, f"remembers who came{f', for {life:g} s' if life else ''}")
            case Counter():
                pass
            case _ if words := _words(table, s):
                asked.append(words)


def _width(element: Element) -> int:
    key = element.key[0]
    return key[1] - key[0] + 1 if isinstance(key, tuple) else 1


def _end(target: str) -> str:
    """The chain, or what is done at the end."""
    if target == REFUSES:
        return f"REJECT by {REFUSES}"
    return target.upper() if target in ("accept", "drop", "return") else target


def _words(table: Table, s: Statement) -> str:
    """What a statement asks of a packet; "" for its protocol, which the map asked already."""
    text = str(s)
    if text.startswith("meta l4proto "):
        return ""
    if isinstance(s, Lookup) and s.named and (life := table.sets[s.named].timeout):
        return f"{'not ' if s.negated else ''}was here in the last {life:g} s"
    if m := re.fullmatch(r"fib (s|d)addr type (!= )?(\w+)", text):
        return f"{'not ' if m[2] else ''}{'from' if m[1] == 's' else 'to'} a {m[3]} address"
    if m := re.fullmatch(r"ip6? (s|d)addr (!= )?(.+)", text):
        return f"{'not ' if m[2] else ''}{'from' if m[1] == 's' else 'to'} {m[3].strip('{} ')}"
    return text
