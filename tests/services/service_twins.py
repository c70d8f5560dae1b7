"""What the lab says to the questions of a random case, and whether its twin in the kernel says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, log
from typing import Any

import kubenet_lab as kn
from kubenet_lab.cluster.names import party
from tests.cluster.kernel_twin import describe, run
from tests.services.service_draw import Case, Flow

#: (kind, who answered or the error's name, whom the server saw)
Ways = set[tuple[str, str, str]]
#: how seldom a question that is asked once may miss one of the ways by chance
MISSED = 1e-6


@dataclass
class Expected:
    """What the lab says to each flow, and all that the twin is made from: made before anything runs beside it."""

    ways: list[Ways]
    times: list[int]
    spec: dict[str, Any]
    where: dict[str, str]


def in_lab(cluster: kn.Cluster, flow: Flow) -> tuple[Ways, int]:
    """(the ways it can go, how many connections show all of them)."""
    src, protocol, address, port = flow
    found = cluster.outcomes(src, address, port, protocol)
    assert sum(o.probability for o in found) == 1
    ways: Counter[tuple[str, str, str]] = Counter()
    for o in found:
        who = ("", "") if protocol == "ICMP" else (o.answered_by or "", o.source_seen or "")
        kind = ("delivered", *who) if o else ("timeout", "", "") if o.verdict in ("timeout", "stalled") else ("error", o.error or "", "")
        ways[kind] += o.probability  # type: ignore[assignment]
    least = float(min(ways.values()))
    return set(ways), 12 if least == 1 else max(12, ceil(log(MISSED) / log(1 - least)))


def expected(case: Case) -> Expected:
    cluster = case.cluster
    sources = {src for src, *_ in case.flows}
    for src in sources:
        if src.startswith("external:"):
            cluster.network().external(src.removeprefix("external:"))
    told = [in_lab(cluster, f) for f in case.flows]
    for (src, *_), (ways, _) in zip(case.flows, told, strict=True):
        case.drawn.update({f"{kind} {who}" if kind == "error" else kind for kind, who, _ in ways})
        case.drawn["hairpin"] += any(who == src for _, who, _ in ways)
        case.drawn["more ways than one"] += len(ways) > 1
    where = {src: party(cluster.snapshot(), src).namespace for src in sources}
    return Expected([w for w, _ in told], [n for _, n in told], describe(cluster.network(), []), where)


def sticky_of(cluster: kn.Cluster) -> set[Any]:
    """Addresses and node ports of Services with session affinity."""
    services: list[Any] = [s for s in cluster.objects("svc") if s.spec.session_affinity == "ClientIP"]  # type: ignore[attr-defined]
    return {
        key
        for s in services
        for key in (*s.spec.cluster_ips, *s.spec.external_ips, *(i.ip for i in s.status.load_balancer.ingress),
                    *(p.node_port for p in s.spec.ports if p.node_port))
    }  # fmt: skip


def compared(case: Case, lab: Expected) -> list[str]:
    """What differs between the lab and the kernel."""
    sticky = sticky_of(case.cluster)
    machine = case.cluster.network().namespaces.get("balancer")
    balanced = {a.ip for _, a in machine.addresses()} if machine is not None else set()
    left = list(zip(case.flows, lab.ways, lab.times, strict=True))
    out: list[str] = []
    for _ in range(2):  # on a busy machine a third ARP request is late, and chance may leave one endpoint out: what differs is asked again
        if not left:
            break
        spec = lab.spec | {"often": [(lab.where[f[0]], *f[1:], times) for f, _, times in left]}
        answers = [{tuple(a) for a in found} for found in run(spec)["often"]]
        out, again = [], []
        for (flow, want, times), kernel in zip(left, answers, strict=True):
            tied = bool({flow[2], flow[3]} & sticky) and kernel < want
            most = len(case.cluster.nodes) if flow[2] in balanced else 1  # each node ties the client for itself
            if kernel != want and not (tied and len({who for _, who, _ in kernel}) <= most):
                out.append(f"{flow}: the lab {sorted(want)}, the kernel {sorted(kernel)}")
                again.append((flow, want, times))
        left = again
    return out
