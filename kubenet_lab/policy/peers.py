"""Who talks: the two ends of a connection as a policy sees them.

A policy knows three sorts of peer: pods (by labels and namespace), the nodes, and everything outside (by address).
Source: kubernetes/api networking/v1 types.go (NetworkPolicyPeer); kubernetes.io, "Network Policies".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import NotFound
from ..kernel.address import canonical, family
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Pod

__all__ = ["ExternalPeer", "NodePeer", "Peer", "PodPeer", "node_peer", "peer_at", "pod_peer", "pod_peers"]


@dataclass(frozen=True, slots=True, eq=False)
class PodPeer:
    """A pod and the labels of its namespace. Two are equal if they name the same pod."""

    pod: Pod
    namespace_labels: Mapping[str, str]
    key: str = field(init=False)  # "shop/web-6c9d8-x2k"

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.pod.key)

    @property
    def namespace(self) -> str:
        return self.pod.namespace

    @property
    def node(self) -> str:
        return self.pod.spec.node_name

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.pod.ips

    def __str__(self) -> str:
        return self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PodPeer) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class NodePeer:
    """A node's own processes: the kubelet, or whatever runs in the node's network namespace.

    `addresses` are those it may send from; the first of the family is taken as the source.
    """

    name: str
    addresses: tuple[str, ...] = ()

    @property
    def node(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"node:{self.name}"


@dataclass(frozen=True, slots=True)
class ExternalPeer:
    """An address that belongs to no pod and no node."""

    ip: str

    @property
    def addresses(self) -> tuple[str, ...]:
        return (self.ip,)

    @property
    def node(self) -> str:
        return ""

    def __str__(self) -> str:
        return f"external:{self.ip}"


Peer = PodPeer | NodePeer | ExternalPeer


def address_of(peer: Peer, ip_family: int | None) -> str | None:
    """The peer's first address of a family (4 or 6), or None."""
    if ip_family is None:
        return None
    return next((a for a in peer.addresses if family(a) == ip_family), None)


def pod_peer(snapshot: Snapshot, key: str) -> PodPeer:
    """The pod "ns/name". Raises NotFound."""
    namespace, _, name = key.partition("/")
    pod = snapshot.get(Pod, name, namespace)
    if pod is None:
        raise NotFound("pod", key, (p.key for p in snapshot.list(Pod)))
    return PodPeer(pod, snapshot.namespace_labels(namespace))


def pod_peers(snapshot: Snapshot) -> tuple[PodPeer, ...]:
    """Every pod that runs, by (namespace, name); Succeeded and Failed ones are gone from the network."""
    return tuple(PodPeer(p, snapshot.namespace_labels(p.namespace)) for p in snapshot.list(Pod) if not p.terminated)


def node_peer(snapshot: Snapshot, name: str) -> NodePeer:
    """The node of that name with its InternalIP and ExternalIP addresses. Raises NotFound."""
    node = snapshot.get(Node, name)
    if node is None:
        raise NotFound("node", name, (n.name for n in snapshot.list(Node)))
    return NodePeer(name, _addresses(node))


def _addresses(node: Node) -> tuple[str, ...]:
    return tuple(a.address for a in node.status.addresses if a.type in ("InternalIP", "ExternalIP"))


def peer_at(snapshot: Snapshot, ip: str) -> Peer:
    """Who has this address: a running pod of the pod network, a node, else something outside. Raises ValueError for no address."""
    ip = canonical(ip)
    for pod in snapshot.list(Pod):
        if ip in pod.ips and not pod.terminated and not pod.spec.host_network:
            return PodPeer(pod, snapshot.namespace_labels(pod.namespace))
    for node in snapshot.list(Node):
        if ip in _addresses(node):
            return NodePeer(node.name, _addresses(node))
    return ExternalPeer(ip)
