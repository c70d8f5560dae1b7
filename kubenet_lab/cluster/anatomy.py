"""What a figure needs to know of one pod: its containers, its namespace, and how that is attached to the node. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..kernel.address import prefix
from ..kernel.links import Link
from ..kernel.namespace import Namespace
from ..objects.views import Pod

if TYPE_CHECKING:
    from .cluster import Cluster

__all__ = ["Anatomy", "Container", "Interface", "anatomy_of"]


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    ports: tuple[str, ...]  # as the manifest names them: "8080/TCP"


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface: `note` is what makes it special ("port of cni0", "macvlan of eth0, mode bridge")."""

    name: str
    kind: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()  # with prefix length
    note: str = ""
    up: bool = True


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A pod and its attachment. `host_end` is the node's end of a cable, `bridge` what it is plugged into, both None where there are none.

    `listening`: (protocol, port, why it is believed or ""). `way_in`: the node's route to the pod. `lower`: for a child interface
    (macvlan) the node's interface that it hangs on.
    """

    pod: str
    node: str
    host_network: bool
    containers: tuple[Container, ...]
    listening: tuple[tuple[str, int, str], ...]
    interfaces: tuple[Interface, ...]
    routes: tuple[str, ...]
    host_end: Interface | None = None
    bridge: Interface | None = None
    lower: Interface | None = None
    way_in: str = ""
    uplink: Interface | None = None


def _interface(ns: Namespace, link: Link) -> Interface:
    note = f"port of {link.master}" if link.master else ""
    if link.macvlan is not None:
        note = f"macvlan child, mode {link.macvlan.mode}"
    return Interface(link.name, link.kind, link.mac, link.mtu, tuple(str(a) for a in link.addresses), note, link.up)


def anatomy_of(cluster: Cluster, who: str) -> Anatomy:
    """The anatomy of the pod that `who` names (as `cluster.pod` takes it). Raises KubenetError."""
    view = cluster.pod(who)
    pod: Pod = view.object
    network = cluster.walkable()
    ns = view._ns
    node = network.namespaces[pod.spec.node_name]
    containers = tuple(Container(c.name, tuple(f"{p.container_port}/{p.protocol}" for p in c.ports)) for c in pod.spec.containers)
    listening = tuple(sorted((k.protocol, k.port, k.assumed) for k in ns.listeners if not pod.spec.host_network or k.owner == pod.key))
    shared = pod.spec.host_network
    interfaces = tuple(_interface(ns, k) for k in ns.links.values() if not shared or k.kind in ("loopback", "physical"))
    routes = tuple(str(r) for r in ns.routes if r.table == 254)
    uplink = next((_interface(node, k) for k in node.links.values() if k.kind == "physical"), None)
    if shared:
        return Anatomy(pod.key, node.id, True, containers, listening, interfaces, routes, uplink=uplink)
    outer = next((k for k in ns.links.values() if k.kind != "loopback"), None)
    host_end = bridge = lower = None
    if outer is not None and outer.peer is not None and outer.peer[0] == node.id and outer.peer[1] in node.links:
        link = node.links[outer.peer[1]]
        host_end = _interface(node, link)
        if link.master in node.links:
            bridge = _interface(node, node.links[link.master])
    elif outer is not None and outer.macvlan is not None and outer.macvlan.lower[0] == node.id:
        below = node.links.get(outer.macvlan.lower[1])
        lower = _interface(node, below) if below is not None else None
    route = node.fib(4 if ":" not in pod.ips[0] else 6).lookup(pod.ips[0])
    way_in = str(route) if route is not None and pod.ips[0] in prefix(route.dst) and not route.default else ""
    return Anatomy(pod.key, node.id, False, containers, listening, interfaces, routes, host_end, bridge, lower, way_in, uplink)
