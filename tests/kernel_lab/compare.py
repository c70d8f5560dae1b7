"""Random cases on both sides, compared answer by answer.

Batches of clusters stand side by side, so that the seconds of silence of all of them pass together. What disagrees is
asked again, slowly and with a clean path-MTU cache, before it counts as a difference.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.state import State

from . import doors, model, modes, shape
from .cases import Case, Probe
from .explained import EXPLAINED
from .real import Real

#: clusters at a time: the kernel keeps 1,024 learned neighbours for all namespaces of a machine together
BATCH = 10
SETTLE = 1.2  # seconds until the kernel has told every bridge that its ports have carrier
#: differences of one cluster that are confirmed one by one before the rest of it is believed
ENOUGH = 4
FIELDS = ("verdict", "error", "by", "seen", "icmp")


@dataclass
class Difference:
    case: Case
    probe: Probe
    model: dict[str, Any]
    real: dict[str, Any]

    def __str__(self) -> str:
        p = self.probe
        asked = (
            f"{p['src']} -> {p['dst']}:{p['port']} {p['proto']} size {p['size']}"
            + (f" ttl {p['ttl']}" if p.get("ttl") else "")
            + (" df" if p.get("df") else "")
        )
        names = [f["name"] for f in self.case["spec"]["faults"]]
        mode = self.case["spec"]["mode"]
        return f"case {self.case['id']} {mode} {names}\n  {asked}\n  model {_short(self.model)}\n  real  {_short(self.real)}"


def _short(answer: dict[str, Any]) -> str:
    return " ".join(f"{k}={answer[k]}" for k in (*FIELDS, "mtu", "seconds") if answer.get(k) is not None)


@dataclass(frozen=True)
class Agreed:
    """An answer of the real kernel that the model gave too."""

    case: Case
    probe: Probe
    real: dict[str, Any]


@dataclass
class Report:
    cases: int = 0
    probes: int = 0
    retried: int = 0
    features: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    wires: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    explained: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        def row(title: str, counts: Counter[str]) -> str:
            return f"{title}: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])))

        counts = f"{len(self.differences)} unexplained differences, {sum(self.explained.values())} explained"
        lines = [f"{self.cases} clusters, {self.probes} probes, {counts}", row("modes", self.modes), row("wires", self.wires)]
        lines += [row("probes", self.kinds), row("verdicts", self.verdicts)]
        lines += [row("errors and ICMP", self.errors), row("features", self.features)]
        return "\n".join([*lines, row("explained", self.explained)] if self.explained else lines)


def same(m: dict[str, Any], r: dict[str, Any]) -> bool:
    """Equal in every field, and soon or late alike (an answer after ARP gave up takes seconds)."""
    if any(m[k] != r[k] for k in FIELDS):
        return False
    return m["verdict"] in ("timeout", "stalled") or abs(m["seconds"] - r["seconds"]) < 0.75


class Comparison:
    def __init__(self, real: Real, tell: bool = False):
        self.real, self.tell, self.report = real, tell, Report()
        self.agreed: list[Agreed] = []
        self.serial = 30000

    def run(self, cases: Sequence[Case]) -> Report:
        for i in range(0, len(cases), BATCH):
            self._batch(cases[i : i + BATCH])
            if self.tell:
                print(
                    f"  {min(i + BATCH, len(cases))} of {len(cases)} clusters, {len(self.report.differences)} differences",
                    file=sys.stderr,
                    flush=True,
                )
        return self.report

    def _batch(self, cases: Sequence[Case]) -> None:
        built: list[Case] = []
        try:
            for case in cases:
                built.append(case)
                self.real.ask("build", id=case["id"], spec=modes.real_spec(case["spec"]))
                self.real.ask("run", id=case["id"], lines=shape.fault_lines(case["spec"]))
            start = time.monotonic()
            nets = {case["id"]: doors.network(case["spec"]) for case in cases}
            fresh = State()
            pairs = [(c, p) for c in cases for p in c["probes"]]
            answers = [model.ask(nets[c["id"]], fresh.fork(), p)[0] for c, p in pairs]
            ways = [_Way(nets[c["id"]], c, p) for c in cases for p in c["ways"]]
            time.sleep(max(0.0, SETTLE - (time.monotonic() - start)))
            found = self._ask([*pairs, *((w.case, w.probe) for w in ways)])
            suspects = []
            for (case, probe), m, r in zip(pairs, answers, found[: len(pairs)], strict=True):
                self._count(probe, m)
                if same(m, r):
                    self.agreed.append(Agreed(case, probe, r))
                else:
                    suspects.append(Difference(case, probe, m, r))
            self._ways(ways, found[len(pairs) :])
            self._again(suspects)
        finally:
            for case in built:
                try:
                    self.real.ask("drop", id=case["id"])
                except RuntimeError:
                    pass
        for case in cases:
            self.report.cases += 1
            self.report.modes[case["spec"]["mode"]] += 1
            self.report.wires[" and ".join(str(s["mtu"]) for s in case["spec"]["segments"])] += 1
            for f in case["spec"]["faults"] or [{"name": "nothing broken"}]:
                self.report.features[f["name"]] += 1

    def _ask(self, pairs: Iterable[tuple[Case, Probe]]) -> list[dict[str, Any]]:
        return list(self.real.ask("probe", probes=[{**p, "case": c["id"]} for c, p in pairs]))

    def _count(self, probe: Probe, m: dict[str, Any]) -> None:
        self.report.probes += 1
        self.report.verdicts[m["verdict"]] += 1
        self.report.kinds[probe["proto"] + (" by ttl" if probe.get("ttl") else "")] += 1
        if m["error"]:
            self.report.errors[m["error"] + (f" {m['icmp'][0]}/{m['icmp'][1]}" if m["icmp"] else "")] += 1

    def _again(self, suspects: list[Difference]) -> None:
        """All together once more; then what still disagrees alone, twice at most, one probe per cluster at a time."""
        suspects = self._reask(suspects)
        queues: dict[str, list[Difference]] = {}
        for d in suspects:
            queues.setdefault(d.case["id"], []).append(d)
        confirmed: Counter[str] = Counter()
        while queues:
            now = [q.pop(0) for q in queues.values()]
            for d in self._reask(self._reask(now)):
                confirmed[d.case["id"]] += 1
                self._difference(d)
            for id in [id for id, q in queues.items() if not q or confirmed[id] >= ENOUGH]:
                for d in queues.pop(id):
                    self._difference(d)

    def _reask(self, suspects: list[Difference]) -> list[Difference]:
        if not suspects:
            return []
        self.real.ask("flush", ids=sorted({d.case["id"] for d in suspects}))
        # route errors come once a second; and what ARP has begun must be over, or it answers sooner than it would alone
        time.sleep(3.3 if any(d.real["verdict"] == d.model["verdict"] for d in suspects) else 1.1)
        self.report.retried += len(suspects)
        found = self._ask([(d.case, {**d.probe, "sport": self._port()}) for d in suspects])
        return [Difference(d.case, d.probe, d.model, r) for d, r in zip(suspects, found, strict=True) if not same(d.model, r)]

    def _difference(self, d: Difference) -> None:
        for e in EXPLAINED:
            if e.when(d.case["spec"], d.probe, d.model, d.real):
                self.report.explained[e.name] += 1
                return
        self.report.differences.append(d)

    def _ways(self, ways: list[_Way], found: list[dict[str, Any]]) -> None:
        """The search of `ping -M do`: from a large size down, each next size from what the last error said. Step by step alike."""
        again = []
        while ways:
            more = []
            for way, r in zip(ways, found, strict=True):
                d = way.step(r)
                self._count({**way.probe, "proto": "path MTU"}, way.said)
                if d is not None:
                    again.append(way)
                elif way.shrink(self._port()):
                    more.append(way)
            ways = more
            found = self._ask((w.case, w.probe) for w in ways) if ways else []
        for way in again:  # the whole search once more, alone
            self.real.ask("flush", ids=[way.case["id"]])
            time.sleep(1.1)
            self.report.retried += 1
            once = _Way(way.net, way.case, {**way.first, "sport": self._port()})
            while True:
                d = once.step(self._ask([(once.case, once.probe)])[0])
                if d is not None:
                    self._difference(d)
                    break
                if not once.shrink(self._port()):
                    break

    def _port(self) -> int:
        self.serial += 1
        return self.serial


class _Way:
    """One search for a path MTU, with a dynamic state of its own."""

    def __init__(self, net: Network, case: Case, probe: Probe):
        self.net, self.case, self.first, self.probe = net, case, probe, dict(probe)
        self.state, self.known = State(), 0
        self.said: dict[str, Any] = {}

    def step(self, real: dict[str, Any]) -> Difference | None:
        self.said, result = model.ask(self.net, self.state, self.probe)
        self.known = model.known_mtu(self.net, self.state, result)
        if self.said["verdict"] == "too-big":
            self.said["mtu"] = self.known
        if same(self.said, real) and (self.said["verdict"] != "too-big" or real.get("mtu") == self.known):
            return None
        return Difference(self.case, dict(self.probe), self.said, real)

    def shrink(self, port: int) -> bool:
        """Try the size that was said to fit; False when there is nothing more to try."""
        if self.said["verdict"] != "too-big" or self.known >= self.probe["size"] + 28:
            return False
        self.probe = {**self.probe, "size": self.known - 28, "sport": port}
        return True


def answers(case: Case, net: Network) -> list[dict[str, Any]]:
    """What the model says to all probes of a case, each on a fresh state."""
    return [model.ask(net, State(), p)[0] for p in case["probes"]]


def recorded(real: Real, drawn: dict[str, Case], what: str) -> dict[str, list[Agreed]]:
    """Belief -> what the real kernel answered in the cluster that must show it; the true model has to agree with all of it."""
    for i, case in enumerate(drawn.values()):
        case["id"] = f"{what}.{i}"
    comparison = Comparison(real)
    report = comparison.run(list(drawn.values()))
    assert not report.differences, "\n\n".join(map(str, report.differences))
    return {belief: [a for a in comparison.agreed if a.case["id"] == case["id"]] for belief, case in drawn.items()}


def disagree(agreed: Iterable[Agreed], net: Network) -> Difference | None:
    """Ask the model what the real kernel answered; the first difference."""
    for a in agreed:
        said = model.ask(net, State(), a.probe)[0]
        if not same(said, a.real):
            return Difference(a.case, a.probe, said, a.real)
    return None


def show(case: Case) -> str:
    """A case to look at: its features and lines, as one would type them."""
    lines = [json.dumps({k: v for k, v in case["spec"].items() if k != "faults"})]
    for f in case["spec"]["faults"]:
        lines += [f"# {f['name']}", *(f"{space}: {line}" for space, line in f["lines"])]
    return "\n".join(lines)
