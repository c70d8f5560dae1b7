"""`Fork`: the programmed network with one dynamic state, on which a question works; and who is meant by its ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import KubenetError, NotFound
from ..kernel.address import prefix
from ..kernel.ask import Question, put
from ..kernel.network import ROUTER, Network
from ..kernel.packet import Payload
from ..kernel.process import Exchange
from ..kernel.state import State
from ..kernel.story import trace_of
from .build import usable
from .names import Party, as_ip, node_address, node_addresses, party
from .world import listen_outside

if TYPE_CHECKING:
    from ..dns import Resolution
    from .cluster import Cluster

__all__ = ["Fork", "Target", "entering", "source_of", "target_of"]


@dataclass(slots=True)
class Fork:
    """The network as programmed, and the dynamic state that questions read and change. Implements `kernel.process.Transport`.

    `live`: the cluster's own state; machines outside that are named stay known.
    """

    cluster: Cluster
    network: Network
    state: State
    live: bool = False
    outside: dict[str, None] = field(default_factory=dict)  # machines outside that this question names

    def exchange(
        self, host: str, dst: str, port: int, protocol: str, payload: Payload, timeout: float, source_port: int | None = None
    ) -> Exchange:
        q = Question(host, dst, port, protocol, payload, wait_answer=True, timeout=timeout, source_port=source_port)
        result = put(self.network, self.state, q)
        reply = result.answer if result.verdict == "delivered" else None
        return Exchange(reply, None if reply is not None else result.error or "ETIMEDOUT", result.elapsed, trace_of(result))

    @property
    def now(self) -> float:
        return self.state.clock

    def name_outside(self, address: str) -> None:
        """A machine outside takes part."""
        self.network.external(address)
        self.outside.setdefault(address)
        if self.live:
            self.cluster.remember_outside(address)

    @property
    def facts(self) -> dict[str, Any]:
        """What figures need to know of the cluster as it is now; made when read."""
        return {"topology": self.cluster.topology_then(tuple(self.outside))}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a connection goes, after names: an address, what it stood for, and the resolution if a name was asked for."""

    address: str
    label: str
    port: int = 0
    resolution: Resolution | None = None
    party: Party | None = None
    note: str = ""


# ------------------------------------------------------------------------------------------------------------- source
def source_of(fork: Fork, src: Any) -> Party:
    """Who asks. Raises NotFound for unknown names, KubenetError for what sends nothing."""
    who = party(fork.cluster.snapshot(), src)
    if who.kind == "service":
        raise KubenetError(f"source {src!r}: a Service sends nothing; name a pod, a node or external:IP")
    if who.kind == "external":
        _check_external(fork, who.address)
        fork.name_outside(who.address)
    elif who.kind == "ip" and not who.namespace:
        raise KubenetError(f"source {src!r}: no pod or node has this address; for a machine outside write external:{who.address}")
    if who.namespace not in fork.network.namespaces:
        raise KubenetError(f"{who.label} cannot send: {_why_absent(fork, who)}")
    return who


def _check_external(fork: Fork, address: str) -> None:
    """A machine outside may have any address that does not belong to the cluster. Raises KubenetError."""
    if f"external:{address}" in fork.network.namespaces:
        return
    plan = fork.cluster.plan
    owner = fork.network.owner_of(address)
    whose = owner.label if owner is not None else next(
        (f"the {what} network {c}" for what, cs in (("pod", plan.pod_cidrs),
          ("Service", plan.service_cidrs)) for c in cs if address in prefix(c)), "",
    )  # fmt: skip
    if whose:
        raise KubenetError(f"external:{address}: the address belongs to {whose}, no machine outside has it")
    if not usable(address):
        raise KubenetError(f"external:{address}: no machine has such an address")


def _why_absent(fork: Fork, who: Party) -> str:
    label = f"Pod {who.pod.key}" if who.pod is not None else f"Node {who.namespace}"
    home = f"Node {who.pod.spec.node_name}" if who.pod is not None else label
    found = [p for p in fork.cluster.findings if p.object in (label, home)]
    return "; ".join(str(p.message) for p in found) or "it has no network"


# -------------------------------------------------------------------------------------------------------- destination
def target_of(fork: Fork, source: Party, dst: Any, port: int | str, protocol: str, family: str = "any") -> Target:
    """Where a question goes: names are resolved as the source resolves them, ports by name become numbers."""
    snapshot = fork.cluster.snapshot()
    who = party(snapshot, dst, role="destination")
    check_port(port)
    if who.kind == "name":
        return _named(fork, source, who, port, protocol, family)
    if who.kind == "service" and not who.address:
        external = who.service is not None and who.service.spec.type == "ExternalName"
        kind = "is of type ExternalName: only DNS knows it" if external else "is headless: it has no address of its own"
        raise KubenetError(f"{who.label} {kind}; ask for its DNS name instead")
    number = port_of(who, port, protocol)
    if who.kind == "external":
        _check_external(fork, who.address)
    if who.kind in ("external", "ip") and not who.pod and who.service is None:
        answer_outside(fork, who.address, number, protocol, named=who.kind == "external")
    address = who.address if isinstance(dst, str) and as_ip(dst) is not None else _in_a_common_family(fork, source, who)
    return Target(address, who.label, number, None, who, who.note)


def _in_a_common_family(fork: Fork, source: Party, who: Party) -> str:
    """Of the addresses that stand behind a name of the lab the first one that the source can speak to at all."""
    if who.service is not None:
        own: Sequence[str] = who.service.spec.cluster_ips
    elif who.pod is not None:
        own = who.pod.ips
    else:
        own = next((node_addresses(n) for n in fork.cluster.nodes if who.kind == "node" and n.name == who.namespace), ())
    ns = fork.network.namespaces.get(source.namespace)
    families = {a.family for dev, a in ns.addresses() if dev != "lo"} if ns is not None else set()
    return next((a for a in own if (6 if ":" in a else 4) in families), who.address)


def _named(fork: Fork, source: Party, who: Party, port: int | str, protocol: str, family: str) -> Target:
    name = who.address
    resolution = fork.cluster.stub_resolve(fork, source, name, family, "glibc")
    if not resolution.addresses:
        return Target("", name, port if isinstance(port, int) else 0, resolution, who)
    address = resolution.addresses[0]
    behind = party(fork.cluster.snapshot(), address, role="destination")
    number = port_of(behind, port, protocol)
    if not behind.namespace and behind.service is None:
        answer_outside(fork, address, number, protocol)
    several = len(resolution.addresses)
    note = f"{name} has {several} addresses; the first one is tried" if several > 1 else ""
    return Target(address, name, number, resolution, behind, note)


def check_port(port: Any) -> None:
    """Raises KubenetError for what is neither a port number nor a port's name."""
    if isinstance(port, bool) or not isinstance(port, int | str) or port == "":
        raise KubenetError(f"port: found {port!r}, expected a number or a port's name")
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise KubenetError(f"port: found {port}, expected 1 to 65535")


def port_of(who: Party, port: int | str, protocol: str) -> int:
    """A port's number: of the Service's port, or of a container port of the pod, where it is named."""
    if isinstance(port, int):
        if port == 0 and protocol != "ICMP":
            raise KubenetError("port: found 0, expected 1 to 65535")
        return port
    if port.isascii() and port.isdigit():
        check_port(int(port))
        return port_of(who, int(port), protocol)
    known: list[tuple[str, str, int]] = []
    if who.service is not None:
        known = [(p.name, p.protocol, p.port) for p in who.service.spec.ports]
    elif who.pod is not None:
        containers = [*who.pod.spec.containers, *who.pod.spec.init_containers]
        known = [(p.name, p.protocol, p.container_port) for c in containers for p in c.ports]
    if (found := next((n for name, proto, n in known if name == port and proto == protocol), None)) is not None:
        return found
    if (other := next((k for k in known if k[0] == port), None)) is not None:
        raise KubenetError(f'port {port!r} of {who.label} is {other[2]}/{other[1]}; ask with protocol="{other[1]}"')
    raise NotFound(f"port of {who.label}", port, [name for name, _, _ in known if name])


def answer_outside(fork: Fork, address: str, port: int, protocol: str, named: bool = False) -> None:
    """A destination outside the cluster's networks is a machine that is there and answers (an assumption that the answer states).

    A Service's external or balancer's address is no machine's: who asks for it unnamed finds whom the network leads there.
    """
    network, plan = fork.network, fork.cluster.plan
    owner = network.owner_of(address)
    if owner is not None and network.hosts[owner.host].role != "external":
        return
    if owner is None:
        inside = [*plan.pod_cidrs, *plan.service_cidrs, *(() if named else plan.node_cidrs)]
        if not usable(address) or any(address in prefix(c) for c in inside):
            return  # an unused address of the cluster's networks: nobody answers there
    fork.name_outside(address)
    listen_outside(network, address, port, protocol)


@contextmanager
def entering(fork: Fork, source: Party, address: str, via: str | None) -> Iterator[None]:
    """While one question is asked, the world's routers send `address` by the node `via`."""
    if via is None:
        yield
        return
    if source.kind != "external":
        raise KubenetError("via: only a packet from outside (src external:IP) enters by a node")
    if not isinstance(via, str):
        raise KubenetError(f"via: found {via!r}, expected a node's name")
    node = party(fork.cluster.snapshot(), via if via.startswith("node:") else f"node:{via}")
    way = _address_like(fork, node, address)
    segment = fork.cluster.plan.segment_of(node.namespace, (node.address,)).name
    on_link = any(p[0] == source.namespace for p in fork.network.segments[segment].ports)
    ns = fork.network.namespaces[source.namespace if on_link else ROUTER]
    dst = f"{address}/{128 if ':' in address else 32}"
    before = next((r for r in ns.routes if r.dst == dst and r.table == 254), None)
    ns.add_route(dst, via=way, dev="eth0" if on_link else segment, replace_existing=True)
    try:
        yield
    finally:
        ns.remove_route(dst, via=way)
        if before is not None:
            ns.add_route(
                dst, dev=before.dev, via=before.via, src=before.src, metric=before.metric, proto=before.proto, onlink=before.onlink
            )


def _address_like(fork: Fork, node: Party, address: str) -> str:
    """The node's address of the family of `address`. Raises KubenetError."""
    if (":" in node.address) == (":" in address):
        return node.address
    six = ":" in address
    found = next((n for n in fork.cluster.nodes if n.name == node.namespace), None)
    if found is None or not (own := node_address(found, 6 if six else 4)):
        raise KubenetError(f"via: {node.namespace} has no {'IPv6' if six else 'IPv4'} address")
    return own
