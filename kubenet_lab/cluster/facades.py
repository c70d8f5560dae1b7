"""`cluster.policy`, `cluster.dns`, `cluster.ingress`, `cluster.plot`: the chapters as seen from a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..dns import query as dns_query
from ..errors import KubenetError, NotModelled
from ..ingress import RouteDecision
from ..ingress import route as ingress_route
from ..policy import ExternalPeer, Peer, PodPeer, PolicyDecision, decide, engine_for, engine_named, node_peer
from .names import Party, party
from .world import check_name

if TYPE_CHECKING:
    from ..trace import Trace
    from .cluster import Cluster

__all__ = ["DnsFacade", "IngressFacade", "PlotFacade", "PolicyFacade", "peer_of", "unenforcing"]


def peer_of(cluster: Cluster, who: Party) -> Peer:
    """The policy's view of one end of a question."""
    snapshot = cluster.snapshot()
    if who.pod is not None:
        return PodPeer(who.pod, snapshot.namespace_labels(who.pod.namespace))
    if who.kind == "node" or who.namespace in {n.name for n in cluster.nodes}:
        return node_peer(snapshot, who.namespace)
    return ExternalPeer(who.address)


def unenforcing(cluster: Cluster) -> str:
    """The pod network, said so that it is true of it that it enforces no policy: one that brings an engine was told not to use it."""
    name = cluster.pod_network
    try:
        brought = engine_for(name.split()[0])
    except NotModelled:
        brought = None
    return f"{name} without its policy engine (the option policy=None)" if brought and cluster.engine is None else name


class PolicyFacade:
    """What the NetworkPolicies say, and who enforces them."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    @property
    def enforced_by(self) -> str | None:
        """The engine that enforces, or None: the objects are accepted and nothing happens."""
        return self._cluster.engine

    def allowed(self, src: Any, dst: Any, port: int | str | None = 80, protocol: str = "TCP", engine: str | None = None) -> PolicyDecision:
        """What the policies say about one connection; `.explain()` goes down to the selector term that decided.

        `engine` None is the enforcing one, else "spec". The decision's `enforced_by` is None where nobody enforces it.
        """
        c = self._cluster
        if not isinstance(protocol, str):
            raise KubenetError(f"protocol: found {protocol!r}, expected TCP, UDP or SCTP")
        snapshot = c.snapshot()
        a, b = party(snapshot, src), party(snapshot, dst, role="destination")
        if b.kind == "name":
            raise KubenetError(f"destination {dst!r}: policies know pods and addresses, no DNS names")
        if b.kind == "service":
            raise KubenetError(
                f"destination {b.label}: policies see the pods behind a Service, after its address was rewritten; name a pod or workload"
            )
        if engine is None and c.engine is not None:
            try:
                engine_named(c.engine)
            except NotModelled as e:
                raise NotModelled(f'{e.reason}; engine="spec" asks the API text') from None
        chosen = engine or c.engine or "spec"
        decision = decide(snapshot, peer_of(c, a), peer_of(c, b), port, protocol, engine=chosen)
        return decision.with_enforcer(c.engine, unenforcing(c))

    def __repr__(self) -> str:
        return f"policy(enforced by {self.enforced_by or 'nobody'})"


class DnsFacade:
    """The cluster's DNS server without a network: what it answers, and why."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    def query(self, name: str, type: str = "A", client: Any = None) -> Any:
        """The answer to one question, as `dig` shows it; changes nothing. `client` is who asks (for plugins that look)."""
        check_name(name)
        address = "127.0.0.1" if client is None else party(self._cluster.snapshot(), client).address
        return dns_query(self._cluster.dns_server(), name, type, client_ip=address, now=self._cluster.now, upstream=self._cluster.zones())

    @property
    def corefile(self) -> str:
        return self._cluster.corefile()

    def __repr__(self) -> str:
        return f"dns({self._cluster.options.domain})"


class IngressFacade:
    """What the Ingress objects say about a request."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    def route(
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        client_ip: str | None = None,
        tls_sni: str | None = None,
        controller: str | None = None,
    ) -> RouteDecision:
        """Which Ingress, rule and backend take a request; `.explain()` says why, and why not the others."""
        return ingress_route(self._cluster.snapshot(), url, method, headers, client_ip, tls_sni, controller)

    def __repr__(self) -> str:
        return "ingress()"


class PlotFacade:
    """`cluster.plot()` is the topology; the figures by name: topology, path, headers, addresses, pod, routes, mtu, budget,
    and of Services selector, chains, traffic, growth, names."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    def __call__(self, **options: Any) -> Any:
        return self.topology(**options)

    def topology(self, **options: Any) -> Any:
        from ..plots import topology

        return topology(self._cluster, **options)

    def path(self, trace: Trace, **options: Any) -> Any:
        from ..plots import path

        return path(trace, **options)

    def headers(self, trace: Any, **options: Any) -> Any:
        from ..plots import headers

        return headers(trace, **options)

    def addresses(self, **options: Any) -> Any:
        from ..plots import addresses

        return addresses(self._cluster, **options)

    def pod(self, who: str, **options: Any) -> Any:
        from ..plots import pod

        return pod(self._cluster, who, **options)

    def routes(self, to: Any, at: Any = (), **options: Any) -> Any:
        from ..plots import routes

        return routes(self._cluster, to, at, **options)

    def mtu(self, src: Any, dst: Any, sizes: Any = (), **options: Any) -> Any:
        from ..plots import mtu

        return mtu(self._cluster, src, dst, sizes, **options)

    def budget(self, mtu: int | None = None, **options: Any) -> Any:
        """By default for the MTU of the nodes' network."""
        from ..plots import budget

        return budget(self._cluster.topology().node_mtu if mtu is None else mtu, **options)

    def selector(self, service: str, **options: Any) -> Any:
        from ..plots import selector

        return selector(self._cluster, service, **options)

    def chains(self, service: str, node: str, **options: Any) -> Any:
        from ..plots import chains

        return chains(self._cluster, service, node, **options)

    def traffic(self, service: str, **options: Any) -> Any:
        from ..plots import traffic

        return traffic(self._cluster, service, **options)

    def growth(self, counts: Any = (), **options: Any) -> Any:
        from ..plots import growth

        return growth(self._cluster, counts, **options)

    def names(self, *services: str, **options: Any) -> Any:
        from ..plots import names

        return names(self._cluster, *services, **options)

    def __repr__(self) -> str:
        return "plot(): topology, path, headers, addresses, pod, routes, mtu, budget, selector, chains, traffic, growth, names"
