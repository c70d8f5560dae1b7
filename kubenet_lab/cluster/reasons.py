"""What the objects add to a walk's own reasons: Services without endpoints, policies that nobody enforces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError
from ..kernel.ask import Question, Result
from ..kernel.packet import Packet
from ..objects.snapshot import Snapshot
from ..objects.views import NetworkPolicy, Node, Pod, Service, ServicePort
from ..policy import PolicyDecision, decide
from ..services import why_no_endpoints
from ..trace import Reason
from .facades import peer_of, unenforcing
from .names import Party, index_of, party

if TYPE_CHECKING:
    from .cluster import Cluster
    from .fork import Target

__all__ = ["policy_on", "reasons_for"]

#: the chains in which kube-proxy drops what is in no source range, by mode
_FIREWALL = ("KUBE-PROXY-FIREWALL", "firewall-")


def reasons_for(cluster: Cluster, result: Result, source: Party, target: Target) -> Sequence[Reason]:
    """Reasons that come before the walk's own."""
    if result.verdict == "delivered":
        return _not_enforced(cluster, result, source)
    out = _of_service(cluster, result, target)
    if not out and cluster.engine and result.ending in ("filter.reject", "filter.drop"):
        out = _denied(cluster, result, source)
    return out


# ------------------------------------------------------------------------------------------------------------ Services
def _of_service(cluster: Cluster, result: Result, target: Target) -> list[Reason]:
    """Why the Service that was asked for led nowhere."""
    q = result.question
    service, port = _asked(cluster.snapshot(), target, q)
    if result.ending == "socket.closed" and (closed := _closed_node_port(cluster, result, target)):
        return closed
    if service is None:
        return []
    origin, params = f"Service {service.key}", dict[str, Any](service=service.key, vip=target.address)
    if port is None:
        if target.address not in (service.spec.cluster_ip, *service.spec.cluster_ips):
            return []
        refused = result.ending == "filter.reject"
        if q.protocol == "ICMP":
            return [Reason("service.no_ping", params | {"refused": refused}, origin)]
        code = "service.port_refused" if refused else "service.no_rule"
        return [Reason(code, {"vip": target.address, "port": f"{q.port}/{q.protocol}"}, origin)]
    trail = result.forward
    params |= {"port": port.name or port.port}
    if trail is None or not str(trail.params.get("origin") or "").startswith((f"{origin} ", "kube-proxy")):  # a policy's rule, say
        modes = {i.ip: i.ip_mode for i in service.status.load_balancer.ingress}
        return [Reason("service.balancer_alone", params, origin)] if modes.get(target.address) == "Proxy" else []
    if result.ending == "filter.reject":
        return [Reason("service.no_endpoints", params, origin), *why_no_endpoints(cluster.snapshot(), service)]
    if result.ending == "filter.drop" and str(trail.params.get("chain")).startswith(_FIREWALL):
        ranges = ", ".join(service.spec.load_balancer_source_ranges)
        source = trail.before.src if isinstance(trail.before, Packet) else q.ns
        return [Reason("service.source_range", params | {"source": source, "ranges": ranges, "node_port": port.node_port or ""}, origin)]
    if result.ending == "filter.drop" and "Local" in (service.spec.external_traffic_policy, service.spec.internal_traffic_policy):
        return [Reason("service.no_local_endpoints", {**params, "node": trail.ns}, origin)]
    return []


def _closed_node_port(cluster: Cluster, result: Result, target: Target) -> list[Reason]:
    """A node port at an address of a node at which kube-proxy serves none."""
    q, trail, proxy = result.question, result.forward, cluster.proxy
    packet = trail.before if trail is not None else None
    if trail is None or not isinstance(packet, Packet) or packet.dst != target.address or trail.ns not in {n.name for n in cluster.nodes}:
        return []  # it was for an endpoint in the end
    for service in cluster.snapshot().list(Service):
        if any((p.node_port, p.protocol) == (q.port, q.protocol) for p in service.spec.ports):
            params = {"service": service.key, "vip": target.address, "node_port": q.port, "node": trail.ns, "mode": proxy.mode}
            addresses = ", ".join(proxy.node_port_addresses)
            return [Reason("service.no_node_port_here", params | {"addresses": addresses}, f"Service {service.key}")]
    return []


def _asked(snapshot: Snapshot, target: Target, q: Question) -> tuple[Service | None, ServicePort | None]:
    """The Service that was asked for, and its port: at an address of its own, or at a node's by node port."""
    index = index_of(snapshot)
    party = target.party
    service = party.service if party is not None and party.service is not None else index.services.get(target.address)
    for p in service.spec.ports if service is not None else ():
        if (p.port, p.protocol) == (q.port, q.protocol):
            return service, p
    if isinstance(index.addresses.get(target.address), Node):
        found = ((s, p) for s in snapshot.list(Service) for p in s.spec.ports if p.node_port)
        return next(((s, p) for s, p in found if (p.node_port, p.protocol) == (q.port, q.protocol)), (service, None))
    return service, None


# ------------------------------------------------------------------------------------------------------------ policies
def _answering_pod(cluster: Cluster, result: Result) -> Party | None:
    who = result.answered_by or ""
    namespace, _, name = who.partition("/")
    if not name or cluster.snapshot().get(Pod, name, namespace) is None:
        return None
    return party(cluster.snapshot(), f"pod/{who}")


def policy_on(cluster: Cluster, source: Party, result: Result) -> PolicyDecision | None:
    """The policies' decision on the connection that a walk made: to the pod that answered, at the port it was reached on.

    None where no pod answered, and where no engine's text applies to the question.
    """
    dst = _answering_pod(cluster, result)
    q = result.question
    if dst is None or q.protocol == "ICMP":
        return None
    port = next((e.key[1] for e in result.walk.events if e.what in ("syn", "datagram", "accepted")), q.port)
    return _decision(cluster, source, dst, port, q.protocol)


def _decision(cluster: Cluster, source: Party, dst: Party, port: int, protocol: str) -> PolicyDecision | None:
    try:
        decision = decide(
            cluster.snapshot(), peer_of(cluster, source), peer_of(cluster, dst), port, protocol, engine=cluster.engine or "spec"
        )
    except KubenetError:
        return None
    return decision.with_enforcer(cluster.engine, unenforcing(cluster))


def _not_enforced(cluster: Cluster, result: Result, source: Party) -> list[Reason]:
    """The walk delivered; if the policies forbid it, then because nobody enforces them: say so."""
    if cluster.engine is not None or not cluster.snapshot().list(NetworkPolicy):
        return []
    decision = policy_on(cluster, source, result)
    if decision is None or decision:
        return []
    blamed = sorted({k for d in decision.denied_by for k in (decision.ingress if d == "ingress" else decision.egress).isolated_by})
    return [
        Reason(
            "cluster.policy_not_enforced",
            {"policies": ", ".join(blamed), "network": unenforcing(cluster)},
            f"NetworkPolicy {blamed[0]}" if blamed else "",
        )
    ]


def _denied(cluster: Cluster, result: Result, source: Party) -> list[Reason]:
    """Which policy made the engine's rules reject the packet: decided for the pod that the packet was for in the end."""
    packet = result.forward.before if result.forward is not None else None
    if not isinstance(packet, Packet):
        return []
    owner = index_of(cluster.snapshot()).addresses.get(packet.dst)
    if not isinstance(owner, Pod):
        dst = Party("ip", packet.dst, address=packet.dst)
    else:
        dst = party(cluster.snapshot(), owner)
    decision = _decision(cluster, source, dst, packet.dport or result.question.port, result.question.protocol)
    return [] if decision is None or decision else list(decision.reasons)
