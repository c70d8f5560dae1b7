"""Which rules a packet meets, as the lab walks it, in the form in which the kernel tells it (tests/cluster/twin_traces.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest

from kubenet_lab.cluster import connect
from kubenet_lab.cluster.names import party
from kubenet_lab.kernel.ask import Asked
from kubenet_lab.kernel.background import catch_up
from kubenet_lab.kernel.hook_chains import OfChain, OfTable
from kubenet_lab.kernel.hooks import Skb
from kubenet_lab.kernel.iptables import Rule, Verdict
from kubenet_lab.kernel.nftables import NftRule
from kubenet_lab.kernel.packet import Icmp, Tcp, Udp
from kubenet_lab.kernel.verdict import Question, Result
from kubenet_lab.kernel.walk import Script
from tests.cluster.kernel_twin import describe, run
from tests.cluster.twin_traces import SILENCE, Met
from tests.services.service_draw import Case, Flow

#: namespace -> base chains in the order in which packets came to them
Told = dict[str, list[Met]]
ICMP_TYPES = {4: (8, 0, 3), 6: (128, 129, 1)}


def compared(packet: Any) -> bool:
    """Is it one of those that the twin traces? (twin_traces.PACKETS)"""
    l4 = packet.l4
    if isinstance(l4, Tcp):
        return bool(set(l4.flags) & {"S", "R"})
    if isinstance(l4, Udp):
        return l4.dport != 8472
    return isinstance(l4, Icmp) and l4.type in ICMP_TYPES[packet.family]


class Recorder:
    """Every base chain that is asked while it is on, by namespace."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, str, Met]] = []
        self.paths: list[tuple[Any, ...]] = []

    def note(self, skb: Skb, begun: Any, family: str, table: Any, chain: Any, verdict: Verdict) -> None:
        policy = chain.policy if isinstance(chain.rules, tuple) else chain.base.policy.upper()
        self.paths.append(tuple(skb.path))
        if not compared(begun) or skb.now - self.start > SILENCE or (not chain.rules and policy == "ACCEPT"):
            return
        went = "DROP" if verdict.kind in ("DROP", "REJECT") else "ACCEPT"
        steps = [[r.chain, 0 if r.policy else _number(table, r)] for r in skb.path if isinstance(r, Rule | NftRule)]
        self.told.append((skb.w, skb.ns.id, [family, table.name, chain.name, went, steps]))

    @contextmanager
    def on(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        ask, ask_nft = OfTable.__call__, OfChain.__call__

        def of_table(asked: OfTable, skb: Skb) -> Verdict:
            begun = skb.packet
            verdict = ask(asked, skb)
            table = skb.ns.ruleset(begun.family).tables[asked.table]
            self.note(skb, begun, "ip" if begun.family == 4 else "ip6", table, table.chains[skb.hook.upper()], verdict)
            return verdict

        def of_chain(asked: OfChain, skb: Skb) -> Verdict:
            begun = skb.packet
            verdict = ask_nft(asked, skb)
            self.note(skb, begun, asked.table.family, asked.table, asked.chain, verdict)
            return verdict

        with patch.context() as p:
            p.setattr(OfTable, "__call__", of_table)
            p.setattr(OfChain, "__call__", of_chain)
            yield

    def ways(self, net: Any, state: Any, q: Question, record: Callable[[Result], Any]) -> list[tuple[Fraction, Any]]:
        """In place of `kernel.ways.outcomes`: each way walked from its beginning, for what is recorded has no branches."""
        self.all, found = list[Told](), []
        pending: list[tuple[int, ...]] = [()]
        while pending:
            told = pending.pop()
            self.told, self.paths, self.start = [], [], state.clock
            fork = state.fork()
            asked = Asked(net, fork, q, Script(told))
            while asked.result is None:
                asked.unit()
            # a balancer's own questions, by which it learns which nodes are healthy, are walks too
            own = [(id, met) for w, id, met in self.told if w is asked.walk]
            self.told, fork.clock = [], max(fork.clock, self.start + SILENCE)
            catch_up(net, fork)  # a refusal that a local sender has heard of already is still on its way
            way: Told = {}
            for id, met in [*own, *((id, met) for _, id, met in self.told)]:
                way.setdefault(id, []).append(met)
            self.all.append(way)
            self._hops_agree(asked.result)
            found.append((Fraction(1), record(asked.result)))
            picks = [pick for pick, _ in asked.script.made]
            for i in range(len(told), len(picks)):
                pending += [(*picks[:i], k) for k, w in enumerate(asked.script.made[i][1]) if k > picks[i] and w]
        return found

    def _hops_agree(self, result: Result) -> None:
        """The rules that a hop shows are those that the packet met there."""
        for trail in (result.forward, result.reply):
            for e in trail.events() if trail is not None else ():
                assert "rules" not in e.params or e.params["rules"] in self.paths, e


def _number(table: Any, rule: Any) -> int:
    return 1 + [r.uid for r in table.chains[rule.chain].rules].index(rule.uid)


def told(case: Case, patch: pytest.MonkeyPatch) -> list[list[Told]]:
    """For each flow, what its packets meet on each way it can go."""
    out = []
    recorder = Recorder()
    with recorder.on(patch), patch.context() as p:
        p.setattr(connect, "all_outcomes", recorder.ways)
        for src, protocol, address, port in case.flows:
            case.cluster.outcomes(src, address, port, protocol)
            out.append(recorder.all)
    return out


def twin(case: Case) -> dict[str, Any]:
    """What the twin is made from."""
    cluster = case.cluster
    for src, *_ in case.flows:
        if src.startswith("external:"):
            cluster.network().external(src.removeprefix("external:"))
    return describe(cluster.network(), []) | {"iptables": "nft"}


def differences(case: Case, lab: Sequence[list[Told]], spec: dict[str, Any], tries: int = 3) -> list[str]:
    """Flows whose packets met other rules in the kernel than on any way in the lab."""
    left: list[tuple[Flow, list[Told]]] = list(zip(case.flows, lab, strict=True))
    out: list[str] = []
    for again in range(tries):  # on a busy machine half a second may be too little: what differs is asked again
        if not left:
            break
        where = {f[0]: party(case.cluster.snapshot(), f[0]).namespace for f, _ in left}
        answers: list[Told] = run(spec | {"again": again, "traced": [(where[f[0]], *f[1:]) for f, _ in left]}, "tests.cluster.twin_traces")
        differ = [(f, ways, kernel) for (f, ways), kernel in zip(left, answers, strict=True) if kernel not in ways]
        left = [(f, ways) for f, ways, _ in differ]
        out = [f"{f}\n{nearest(ways, kernel)}" for f, ways, kernel in differ]
    return out


def nearest(ways: list[Told], kernel: Told) -> str:
    """The way that has most in common, beside what the kernel told."""
    best = max(ways, key=lambda w: sum(m in w.get(id, ()) for id, met in kernel.items() for m in met))
    lines = []
    for id in sorted({*best, *kernel}):
        lab, real = ([json.dumps(m) for m in side.get(id, ())] for side in (best, kernel))
        if lab != real:
            lines += [f"  {id}, the lab:", *(f"    {m}" for m in lab), f"  {id}, the kernel:", *(f"    {m}" for m in real)]
    return "\n".join(lines)
