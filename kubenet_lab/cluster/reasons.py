"""What the objects add to a walk's own reasons: Services without endpoints, policies that nobody enforces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import KubenetError
from ..kernel.ask import Result
from ..objects.views import NetworkPolicy, Service
from ..policy import PolicyDecision, decide
from ..services import why_no_endpoints
from ..trace import Reason
from .facades import peer_of
from .names import Party, party

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["policy_on", "reasons_for"]


def reasons_for(cluster: Cluster, result: Result, source: Party, target: Party | None, address: str) -> Sequence[Reason]:
    out: list[Reason] = []
    service = target.service if target is not None and target.service is not None else _service_of(cluster, address)
    if service is not None and result.verdict == "refused" and result.ending == "filter.reject":
        out += why_no_endpoints(cluster.snapshot(), service)
    if result.verdict == "delivered":
        out += _not_enforced(cluster, result, source)
    elif result.ending in ("filter.reject", "filter.drop") and cluster.engine:
        out += _denied(cluster, result, source, target)
    return out


def _service_of(cluster: Cluster, address: str) -> Service | None:
    return next((s for s in cluster.snapshot().list(Service) if address and address in (s.spec.cluster_ip, *s.spec.cluster_ips)), None)


def _answering_pod(cluster: Cluster, result: Result) -> Party | None:
    who = result.answered_by or ""
    if "/" not in who:
        return None
    return party(cluster.snapshot(), f"pod/{who}")


def policy_on(cluster: Cluster, source: Party, result: Result) -> PolicyDecision | None:
    """The policies' decision on the connection that a walk made: to the pod that answered, at the port it was reached on."""
    dst = _answering_pod(cluster, result)
    q = result.question
    if dst is None or q.protocol == "ICMP":
        return None
    port = next((e.key[1] for e in result.walk.events if e.what in ("syn", "datagram", "accepted")), q.port)
    try:
        decision = decide(cluster.snapshot(), peer_of(cluster, source), peer_of(cluster, dst), port, q.protocol, engine=cluster.engine or "spec")
    except KubenetError:
        return None
    return decision.with_enforcer(cluster.engine, cluster.pod_network)


def _not_enforced(cluster: Cluster, result: Result, source: Party) -> list[Reason]:
    """The walk delivered; if the policies forbid it, then because nobody enforces them: say so."""
    if cluster.engine is not None or not cluster.snapshot().list(NetworkPolicy):
        return []
    decision = policy_on(cluster, source, result)
    if decision is None or decision:
        return []
    blamed = sorted({k for d in decision.denied_by for k in (decision.ingress if d == "ingress" else decision.egress).isolated_by})
    return [Reason("cluster.policy_not_enforced", {"policies": ", ".join(blamed), "network": cluster.pod_network}, f"NetworkPolicy {blamed[0]}" if blamed else "")]


def _denied(cluster: Cluster, result: Result, source: Party, target: Party | None) -> list[Reason]:
    """Which policy's absence of a rule made the engine's rules reject the packet."""
    if target is None or target.pod is None:
        return []
    try:
        decision = decide(cluster.snapshot(), peer_of(cluster, source), peer_of(cluster, target), result.question.port, result.question.protocol, engine=cluster.engine or "spec")
    except KubenetError:
        return []
    return [] if decision else list(decision.reasons)
