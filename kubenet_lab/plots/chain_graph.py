"""A Service's chains as a graph: who leads to whom, with what chance, how often; read from the programmed rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from ..cluster.service_rules import ProgrammedRule, ServiceRules
from .nft_chain_graph import place_words, ways_of

__all__ = ["ChainBox", "ChainGraph", "Edge", "chain_graph"]

MASQUERADE = "KUBE-MARK-MASQ"


@dataclass(frozen=True, slots=True)
class Edge:
    """One rule that leads on. `share`: of the packets that its chain chooses among, those that it takes; None: no matter of chance.

    `condition`: what the rule asks for, in words; `hits`: its counter, None where it has none.
    """

    source: str
    target: str
    condition: str
    share: Fraction | None
    hits: int | None


@dataclass(frozen=True, slots=True)
class ChainBox:
    """A chain, a map of nftables, or an end ("DNAT 10.244.1.3:8080", "REJECT"). `notes`: what its other rules do.

    `depth`: steps from its beginning.
    """

    name: str
    kind: str  # "caught", "chain", "endpoint", "refused"
    notes: tuple[str, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class ChainGraph:
    service: str
    node: str
    boxes: tuple[ChainBox, ...]
    edges: tuple[Edge, ...]
    mode: str = "iptables"

    def leads_to(self, name: str) -> tuple[Edge, ...]:
        return tuple(e for e in self.edges if e.source == name)


#: words of a rule that say nothing about the packet: how many words follow each
_SKIPPED = {"-m": 1, "-p": 1, "--mode": 1, "--probability": 1, "--mask": 1, "--name": 1, "--reap": 0, "--rsource": 0, "--set": 0}


def _words(rule: ProgrammedRule) -> str:
    """What a rule asks for, without its comment and its chance."""
    words = re.sub(r'--comment ("(?:[^"\\]|\\.)*"|\S+)', "", rule.text).split()[2:]
    out: list[str] = []
    i = 0
    while i < len(words) and words[i] != "-j":
        word, value = words[i], words[i + 1] if i + 1 < len(words) else ""
        i += 1 + _SKIPPED.get(word, 0)
        if word in _SKIPPED:
            continue
        if word in ("-d", "-s"):
            no = "not " if out and out[-1] == "!" and out.pop() else ""
            out.append(f"{no}{'to' if word == '-d' else 'from'} {value.removesuffix('/32').removesuffix('/128')}")
        elif word == "--dport":
            host = out.pop().removeprefix("to ") if out and out[-1].startswith("to ") and "address" not in out[-1] else ""
            out.append(place_words(host, words[words.index("-p") + 1] if "-p" in words else "tcp", value))
        elif word in ("--dst-type", "--src-type"):
            out.append(f"{'to' if word == '--dst-type' else 'from'} a {value.lower()} address")
        elif word == "--seconds":
            out.append(f"in the last {value} s")
        else:
            out.append("was here" if word == "--rcheck" else word)
            continue
        i += 1
    return " ".join(out)


def _edges(rules: tuple[ProgrammedRule, ...]) -> tuple[list[Edge], list[str]]:
    """The rules of one chain that lead on, and what the others do."""
    left = Fraction(1)
    edges, notes = [], []
    choosing = any(r.chance is not None for r in rules)
    for rule in rules:
        condition = _words(rule)
        if rule.goes_to == MASQUERADE:
            what, count = f" what is {condition}" if condition else "", f" · {rule.packets}×" if rule.packets else ""
            notes.append(f"marks for masquerade{what}{count}")
            continue
        if not rule.goes_to:
            continue
        share: Fraction | None = None
        if rule.chance is not None:
            share = left * rule.chance
            left -= share
        elif choosing and not condition:
            share, left = left, Fraction(0)
        edges.append(Edge(rule.chain, rule.goes_to, condition, share, rule.packets or 0))
    return edges, notes


def _nft_edges(found: ServiceRules, name: str, rules: tuple[ProgrammedRule, ...]) -> tuple[list[Edge], list[str]]:
    """The same for a map of nftables, or a chain."""
    edges, notes = [], []
    for way in ways_of(found, name, rules):
        if way.note:
            notes.append(way.note + (f" · {way.hits}×" if way.hits else ""))
            continue
        edges.append(Edge(name, way.target, way.condition, way.share, way.hits))
    return edges, notes


def chain_graph(found: ServiceRules) -> ChainGraph:
    """The graph of what `service_rules` found, in iptables or in nftables mode."""
    by_chain: dict[str, list[ProgrammedRule]] = {}
    for rule in found.caught:
        by_chain.setdefault(rule.chain, []).append(rule)
    edges: list[Edge] = []
    notes: dict[str, list[str]] = {}
    for name, rules in (*((n, tuple(r)) for n, r in by_chain.items()), *found.chains.items()):
        more, said = _edges(rules) if found.mode == "iptables" else _nft_edges(found, name, rules)
        edges += more
        notes[name] = said
    depth = _depths(list(by_chain), edges)
    boxes = []
    for name in depth:
        first = name.split()[0]
        kind = (
            "caught" if name in by_chain else "chain" if name in found.chains else "refused" if first in ("REJECT", "DROP") else "endpoint"
        )  # fmt: skip
        boxes.append(ChainBox(name, kind, tuple(notes.get(name, ())), depth[name]))
    return ChainGraph(found.service, found.node, tuple(boxes), tuple(edges), found.mode)


def _depths(roots: list[str], edges: list[Edge]) -> Mapping[str, int]:
    """The longest way from a root to each chain. iptables refuses loops, so this ends."""
    depth = dict.fromkeys(roots, 0)
    moved = True
    while moved:
        moved = False
        for e in edges:
            if e.source in depth and depth.get(e.target, -1) <= depth[e.source] and e.target not in roots:
                depth[e.target] = depth[e.source] + 1
                moved = True
    return depth
