"""`Fault`: something that is wrong in a bookshop, as data: edits that plant it, edits that mend it, and a question that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

__all__ = ["Edit", "Fault", "Filter", "Patch", "Readiness", "Scale", "Shell", "Symptom", "facts"]


class Edit(Protocol):
    """One change of a cluster."""

    def make(self, cluster: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Patch:
    """A field of an object gets a value; None takes it away. `path` is the way to it: ("spec", "ports", 0, "targetPort")."""

    kind: str
    key: str
    path: tuple[str | int, ...]
    value: Any

    def make(self, cluster: Any) -> None:
        document = cluster.store.document(self.kind, self.key)
        at: Any = document
        for step in self.path[:-1]:
            at = at[step] if isinstance(step, int) else at.setdefault(step, {})
        if self.value is None:
            at.pop(self.path[-1], None)
        else:
            at[self.path[-1]] = self.value
        cluster.apply(document)


@dataclass(frozen=True, slots=True)
class Shell:
    """A command on a node ("worker-1") or in a pod ("shop/cart"). `{names}` in it are `facts` of the healthy bookshop."""

    place: str
    command: str

    def make(self, cluster: Any) -> None:
        machine = cluster.pod(self.place) if "/" in self.place else cluster.node(self.place)
        machine.run(self.command.format_map(facts(cluster)))


@dataclass(frozen=True, slots=True)
class Filter:
    """The packet filter of the underlay at a node; "" takes it away."""

    node: str
    rules: str

    def make(self, cluster: Any) -> None:
        cluster.underlay.filter(self.node, self.rules or None)


@dataclass(frozen=True, slots=True)
class Readiness:
    """The readiness probe of a pod, or of the first pod of a workload, fails or succeeds."""

    who: str
    ready: bool

    def make(self, cluster: Any) -> None:
        cluster.set_pod(self.who, ready=self.ready)


@dataclass(frozen=True, slots=True)
class Scale:
    workload: str
    replicas: int

    def make(self, cluster: Any) -> None:
        cluster.scale(self.workload, self.replicas)


@dataclass(frozen=True, slots=True)
class Symptom:
    """A question that a healthy bookshop answers and this one does not. `verb` is a probe of the mystery: "ask", "connect"."""

    verb: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def put(self, cluster: Any) -> Any:
        return getattr(cluster.copy(), self.verb)(*self.args, **self.options)


@dataclass(frozen=True, slots=True)
class Fault:
    """One hidden fault.

    `object`: who is to blame ("Service shop/cart", "Pod data/cache", "Node worker-1"); a pod is named by its workload.
    `fields`: what of it, the first is the one that is told; any of them convicts. `complaint`: what people in the shop say, no more.
    `stage`: edits that the whole bookshop has, faulty or not. `because` is told at the end.
    """

    id: str
    object: str
    fields: tuple[str, ...]
    complaint: str
    because: str
    plant: tuple[Edit, ...]
    mend: tuple[Edit, ...]
    symptom: Symptom
    stage: tuple[Edit, ...] = ()


def facts(cluster: Any) -> Mapping[str, str]:
    """What commands name: {ip_N}, {cidr_N}, {vtep_N} and {mac_N} (of the tunnel's device) of worker-N, {vip_NAME} of shop's Services."""
    found: dict[str, str] = {}
    network = cluster.network()
    for node in cluster.objects("Node"):
        number = node.name.rpartition("-")[2]
        links = network.namespaces[node.name].links
        found[f"ip_{number}"] = next(a.address for a in node.status.addresses if a.type == "InternalIP")
        found[f"cidr_{number}"] = node.spec.pod_cidr
        if (tunnel := links.get("flannel.1")) is not None:
            found[f"vtep_{number}"], found[f"mac_{number}"] = str(tunnel.addresses[0]).split("/")[0], tunnel.mac
    for service in cluster.objects("Service"):
        if service.namespace == "shop":
            found[f"vip_{service.name.replace('-', '_')}"] = service.spec.cluster_ip
    return found
