"""From what a person types to who is meant: `src` and `dst` of every question.

`"ns/name"` is that pod, else the first ready pod of the workload of that name; also `"pod/ns/name"`, `"deploy/ns/name"`,
`"sts/ns/name"`, `"ds/ns/name"`, `"job/ns/name"`, `"svc:ns/name"`, `"node:NAME"`, `"external:IP"`, an IP, an object, and for a
destination a DNS name as a client would type it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import KubenetError, NotFound
from ..kernel.address import canonical
from ..objects.snapshot import Snapshot
from ..objects.views import DaemonSet, Deployment, Job, Node, Object, Pod, ReplicaSet, Service, StatefulSet

__all__ = ["Party", "as_ip", "node_address", "owner_workload", "party", "pods_of"]

_WORKLOADS: dict[str, type[Object]] = {
    "deploy": Deployment, "deployment": Deployment, "sts": StatefulSet, "statefulset": StatefulSet, "ds": DaemonSet, "daemonset": DaemonSet,
    "rs": ReplicaSet, "replicaset": ReplicaSet, "job": Job,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a question. `namespace` is the network namespace it speaks from ("" for a Service or a name).

    `label` is how answers name it; `note` says what was chosen when a name stood for several.
    """

    kind: Literal["pod", "node", "external", "service", "ip", "name"]
    label: str
    namespace: str = ""
    pod: Pod | None = None
    address: str = ""
    service: Service | None = None
    note: str = ""


def as_ip(text: str) -> str | None:
    try:
        return canonical(text.strip("[]"))
    except ValueError:
        return None


def node_address(node: Node, family: int = 4) -> str:
    """The node's InternalIP of that family, "" if it has none."""
    found = [a.address for a in node.status.addresses if a.type == "InternalIP"]
    return next((a for a in found if (":" in a) == (family == 6)), "")


def owner_workload(snapshot: Snapshot, pod: Pod) -> tuple[str, str]:
    """(kind, name) of the workload a pod belongs to: a Deployment rather than its ReplicaSet; ("Pod", its name) if it has no owner."""
    ref = next((o for o in pod.metadata.owner_references if o.controller), None) or next(iter(pod.metadata.owner_references), None)
    if ref is None:
        return "Pod", pod.name
    if ref.kind == "ReplicaSet":
        rs = snapshot.get(ReplicaSet, ref.name, pod.namespace)
        up = next((o for o in rs.metadata.owner_references if o.kind == "Deployment"), None) if rs else None
        if up is not None:
            return "Deployment", up.name
        template_hash = pod.labels.get("pod-template-hash")
        if template_hash and ref.name.endswith(f"-{template_hash}"):
            return "Deployment", ref.name[: -len(template_hash) - 1]
    return ref.kind, ref.name


def pods_of(snapshot: Snapshot, kind: str, namespace: str, name: str) -> tuple[Pod, ...]:
    """The live pods of a workload, by name."""
    return tuple(
        p for p in snapshot.list(Pod, namespace)
        if not p.terminated and owner_workload(snapshot, p) == (kind, name) or (kind == "ReplicaSet" and _of_rs(p, name))
    )  # fmt: skip


def _of_rs(pod: Pod, name: str) -> bool:
    return any(o.kind == "ReplicaSet" and o.name == name for o in pod.metadata.owner_references)


def party(snapshot: Snapshot, who: Any, *, role: str = "source") -> Party:
    """Who is meant. Raises NotFound with the nearest names, KubenetError for an ambiguous one."""
    if isinstance(who, Party):
        return who
    if isinstance(who, Pod):
        return _pod(who)
    if isinstance(who, Node):
        return _node(snapshot, who.name)
    if isinstance(who, Service):
        return _service(snapshot, who.namespace, who.name)
    if hasattr(who, "_party"):
        found: Party = who._party()
        return found
    if isinstance(who, ipaddress.IPv4Address | ipaddress.IPv6Address):
        who = str(who)
    if not isinstance(who, str) or not who.strip():
        raise KubenetError(f'{role}: found {who!r}, expected "ns/name", "node:NAME", "svc:ns/name", "external:IP", an IP or an object')
    text = who.strip()
    if text.startswith("external:"):
        address = as_ip(text[9:])
        if address is None:
            raise KubenetError(f"{role} {text!r}: found {text[9:]!r}, expected an IP address")
        return Party("external", f"external:{address}", f"external:{address}", address=address)
    if text.startswith("node:"):
        return _node(snapshot, text[5:])
    if text.startswith(("svc:", "svc/", "service/")):
        ns, _, name = re.split(r"[:/]", text, maxsplit=1)[1].rpartition("/")
        return _service(snapshot, ns or "default", name)
    if text.startswith("pod/") and text.count("/") == 2:
        _, ns, name = text.split("/")
        pod = snapshot.get(Pod, name, ns)
        if pod is None:
            raise NotFound("pod", f"{ns}/{name}", [p.key for p in snapshot.list(Pod)])
        return _pod(pod)
    head = text.split("/", 1)[0]
    if head in _WORKLOADS and text.count("/") == 2:
        _, ns, name = text.split("/")
        kind = _WORKLOADS[head]
        if snapshot.get(kind, name, ns) is None:
            raise NotFound(kind.__name__, f"{ns}/{name}", [o.key for o in snapshot.list(kind)])
        return _first(snapshot, kind.__name__, ns, name)
    if (address := as_ip(text)) is not None:
        return _address(snapshot, address)
    if text.count("/") == 1:
        ns, name = text.split("/")
        return _named(snapshot, ns, name, role)
    if role == "destination":
        return Party("name", text, address=text)
    raise NotFound("pod or workload", text, _choices(snapshot), hint='a source is written "namespace/name"')


def _choices(snapshot: Snapshot) -> list[str]:
    names = {f"{p.namespace}/{owner_workload(snapshot, p)[1]}" for p in snapshot.list(Pod)}
    return sorted(names | {p.key for p in snapshot.list(Pod)})


def _named(snapshot: Snapshot, ns: str, name: str, role: str) -> Party:
    pod = snapshot.get(Pod, name, ns)
    if pod is not None:
        return _pod(pod)
    owners = sorted({owner_workload(snapshot, p) for p in snapshot.list(Pod, ns) if owner_workload(snapshot, p)[1] == name})
    declared = [(k.__name__, name) for k in (Deployment, StatefulSet, DaemonSet, Job) if snapshot.get(k, name, ns) is not None]
    kinds = sorted({*owners, *declared})
    if len(kinds) > 1:
        short = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "Job": "job"}
        raise KubenetError(f"{role} {ns}/{name} is ambiguous: " + ", ".join(f"{short.get(k, k.lower())}/{ns}/{n}" for k, n in kinds))
    if kinds:
        return _first(snapshot, kinds[0][0], ns, name)
    if snapshot.get(Service, name, ns) is not None:
        raise NotFound("pod or workload", f"{ns}/{name}", _choices(snapshot), hint=f"there is a Service of that name: svc:{ns}/{name}")
    raise NotFound("pod or workload", f"{ns}/{name}", _choices(snapshot))


def _first(snapshot: Snapshot, kind: str, ns: str, name: str) -> Party:
    pods: Sequence[Pod] = pods_of(snapshot, kind, ns, name)
    ready = [p for p in pods if p.ready and p.ips] or [p for p in pods if p.ips]
    if not ready:
        raise KubenetError(f"{kind} {ns}/{name} has no running pod" + (f" ({len(pods)} without an address)" if pods else ""))
    note = f"{ns}/{name} stands for {ready[0].key}" + (f", the first of its {len(ready)} pods" if len(ready) > 1 else "")
    return _pod(ready[0], note)


def _pod(pod: Pod, note: str = "") -> Party:
    if not pod.ips:
        raise KubenetError(f"pod {pod.key} has no address (phase {pod.status.phase or 'unknown'}): it is not running on any node")
    namespace = pod.spec.node_name if pod.spec.host_network else f"pod:{pod.key}"
    return Party("pod", pod.key, namespace, pod, pod.ips[0], note=note)


def _node(snapshot: Snapshot, name: str) -> Party:
    node = snapshot.get(Node, name)
    if node is None:
        raise NotFound("node", name, [n.name for n in snapshot.list(Node)])
    return Party("node", f"node:{name}", name, address=node_address(node))


def _service(snapshot: Snapshot, ns: str, name: str) -> Party:
    service = snapshot.get(Service, name, ns)
    if service is None:
        raise NotFound("Service", f"{ns}/{name}", [s.key for s in snapshot.list(Service)])
    ip = service.spec.cluster_ip
    return Party("service", f"svc:{service.key}", address="" if ip in ("", "None") else ip, service=service)


def _address(snapshot: Snapshot, address: str) -> Party:
    for node in snapshot.list(Node):
        if any(a.address == address for a in node.status.addresses):
            return Party("node", f"node:{node.name}", node.name, address=address)
    for pod in snapshot.list(Pod):
        if address in pod.ips and not pod.terminated:
            found = _pod(pod)
            return Party("ip", found.label, found.namespace, pod, address)
    return Party("ip", address, address=address)
