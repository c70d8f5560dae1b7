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
from functools import lru_cache
from typing import Any, Literal

from ..errors import KubenetError, NotFound
from ..kernel.address import canonical
from ..objects.kinds import kind_of
from ..objects.snapshot import Snapshot
from ..objects.views import CronJob, DaemonSet, Deployment, Job, Node, Object, Pod, ReplicaSet, Service, StatefulSet

__all__ = [
    "Index", "Party", "as_ip", "further_addresses", "index_of", "node_address", "node_addresses", "owner_workload", "party", "pods_of",
    "scalable", "siblings",
]  # fmt: skip

_WORKLOADS: dict[str, type[Object]] = {
    "deploy": Deployment, "deployment": Deployment, "deployments": Deployment, "sts": StatefulSet, "statefulset": StatefulSet,
    "statefulsets": StatefulSet, "ds": DaemonSet, "daemonset": DaemonSet, "daemonsets": DaemonSet, "rs": ReplicaSet,
    "replicaset": ReplicaSet, "replicasets": ReplicaSet, "job": Job, "jobs": Job, "cj": CronJob, "cronjob": CronJob, "cronjobs": CronJob,
}  # fmt: skip
#: kinds that "ns/name" may mean, and how they are written
_SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "Job": "job", "CronJob": "cj", "ReplicaSet": "rs"}
_NAMED: list[type[Object]] = [Deployment, StatefulSet, DaemonSet, Job, CronJob]


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
    """The canonical address if the text is one ("[::1]" too), else None."""
    if "/" in text:
        return None
    try:
        return canonical(text.strip("[]"))
    except ValueError:
        return None


def node_address(node: Node, family: int = 4) -> str:
    """The node's InternalIP of that family, "" if it has none."""
    found = [a.address for a in node.status.addresses if a.type == "InternalIP"]
    return next((a for a in found if (":" in a) == (family == 6)), "")


def node_addresses(node: Node) -> list[str]:
    """Its InternalIPs, one per family, the primary one first."""
    found: dict[bool, str] = {}
    for a in node.status.addresses:
        if a.type == "InternalIP":
            found.setdefault(":" in a.address, a.address)
    return list(found.values())


def further_addresses(node: Node) -> list[str]:
    """Its InternalIPs beyond the first of each family: addresses that it answers at, and not its node IPs."""
    first = node_addresses(node)
    return [a for a in dict.fromkeys(a.address for a in node.status.addresses if a.type == "InternalIP") if a not in first]


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


# ---------------------------------------------------------------------------------------------------------- the index
@dataclass(frozen=True, slots=True)
class Index:
    """What names and addresses mean in one snapshot."""

    addresses: dict[str, Node | Pod]  # a node's before a pod's: pods with hostNetwork have their node's
    workloads: dict[tuple[str, str], dict[str, list[Pod]]]  # (namespace, name) -> kind -> live pods, by name
    services: dict[str, Service]  # by ClusterIP, else by an external or a balancer's address


def _cluster_ips(service: Service) -> list[str]:
    return [ip for ip in (*service.spec.cluster_ips, service.spec.cluster_ip) if ip not in ("", "None")]


def _outer_addresses(service: Service) -> list[str]:
    found = (*service.spec.external_ips, *(i.ip for i in service.status.load_balancer.ingress if i.ip))
    return [ip for text in found if (ip := as_ip(text)) is not None]


@lru_cache(maxsize=4)
def index_of(snapshot: Snapshot) -> Index:
    """The index of a snapshot; made once, for snapshots do not change."""
    addresses: dict[str, Node | Pod] = {}
    for node in snapshot.list(Node):
        for a in node.status.addresses:
            if a.type in ("InternalIP", "ExternalIP"):
                addresses.setdefault(a.address, node)
    workloads: dict[tuple[str, str], dict[str, list[Pod]]] = {}
    for pod in snapshot.list(Pod):
        if pod.terminated:
            continue
        for ip in pod.ips:
            addresses.setdefault(ip, pod)
        for kind, name in _owners(snapshot, pod):
            workloads.setdefault((pod.namespace, name), {}).setdefault(kind, []).append(pod)
    services: dict[str, Service] = {}
    for own in (_cluster_ips, _outer_addresses):
        for service in snapshot.list(Service):
            for ip in own(service):
                services.setdefault(ip, service)
    return Index(addresses, workloads, services)


def _owners(snapshot: Snapshot, pod: Pod) -> list[tuple[str, str]]:
    """Everything a pod may be called by: its workload, the ReplicaSet below it, the CronJob above it."""
    kind, name = owner_workload(snapshot, pod)
    out = [] if kind == "Pod" else [(kind, name)]
    out += [("ReplicaSet", o.name) for o in pod.metadata.owner_references if o.kind == "ReplicaSet" and kind == "Deployment"]
    if kind == "Job" and (job := snapshot.get(Job, name, pod.namespace)) is not None:
        out += [("CronJob", o.name) for o in job.metadata.owner_references if o.kind == "CronJob"]
    return out


def pods_of(snapshot: Snapshot, kind: str, namespace: str, name: str) -> tuple[Pod, ...]:
    """The live pods of a workload, by name."""
    return tuple(index_of(snapshot).workloads.get((namespace, name), {}).get(kind, ()))


# -------------------------------------------------------------------------------------------------------------- names
def party(snapshot: Snapshot, who: Any, *, role: str = "source") -> Party:
    """Who is meant. Raises NotFound with the nearest names, KubenetError for an ambiguous one."""
    if isinstance(who, Party):
        return who
    if isinstance(who, Object) or hasattr(who, "_party_name"):
        return _object(snapshot, who, role)
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
    if text.startswith("svc:") or (text.startswith(("svc/", "service/")) and text.count("/") == 2):
        ns, _, name = re.split(r"[:/]", text, maxsplit=1)[1].rpartition("/")
        return _service(snapshot, ns or "default", name)
    if text.startswith("pod/") and text.count("/") == 2:
        _, ns, name = text.split("/")
        return _pod_named(snapshot, ns, name)
    head = text.split("/", 1)[0]
    if head in _WORKLOADS and text.count("/") == 2:
        _, ns, name = text.split("/")
        return _workload(snapshot, _WORKLOADS[head], ns, name)
    if (address := as_ip(text)) is not None:
        return _address(snapshot, address)
    if text.count("/") == 1:
        ns, name = text.split("/")
        return _named(snapshot, ns, name, role)
    if text.count("/") > 1:
        raise NotFound("pod or workload", text, _choices(snapshot), hint='a kind is written before it as in "deploy/ns/name"')
    if role == "destination":
        return Party("name", text, address=text)
    if snapshot.get(Node, text) is not None:
        raise NotFound("pod or workload", text, hint=f"the node of that name is written node:{text}")
    raise NotFound("pod or workload", text, _choices(snapshot), hint=f'a {role} is written "namespace/name"')


def _object(snapshot: Snapshot, who: Any, role: str) -> Party:
    """An object stands for itself as it is now: a view from before a change is looked up again."""
    if isinstance(who, Pod):
        return _pod_named(snapshot, who.namespace, who.name)
    if isinstance(who, Node):
        return _node(snapshot, who.name)
    if isinstance(who, Service):
        return _service(snapshot, who.namespace, who.name)
    if isinstance(who, Object):
        if who.kind in _SHORT:
            return _workload(snapshot, type(who), who.namespace, who.name)
        raise KubenetError(f"{role}: a {who.kind} neither sends nor receives; name a pod, a workload, a Service or a node")
    key: str = who._party_name
    return party(snapshot, key, role=role)


def _choices(snapshot: Snapshot) -> list[str]:
    names = {f"{ns}/{name}" for ns, name in index_of(snapshot).workloads}
    return sorted(names | {p.key for p in snapshot.list(Pod)})


def _pod_named(snapshot: Snapshot, ns: str, name: str) -> Party:
    pod = snapshot.get(Pod, name, ns)
    if pod is None:
        raise NotFound("pod", f"{ns}/{name}", [p.key for p in snapshot.list(Pod)])
    return _pod(pod)


def _workload(snapshot: Snapshot, kind: type[Object], ns: str, name: str) -> Party:
    if snapshot.get(kind, name, ns) is None and not pods_of(snapshot, kind.__name__, ns, name):
        seen = [f"{n}/{w}" for (n, w), kinds in index_of(snapshot).workloads.items() if kind.__name__ in kinds]
        raise NotFound(kind.__name__, f"{ns}/{name}", dict.fromkeys([*(o.key for o in snapshot.list(kind)), *seen]))
    return _first(snapshot, kind.__name__, ns, name)


def _named(snapshot: Snapshot, ns: str, name: str, role: str) -> Party:
    pod = snapshot.get(Pod, name, ns)
    if pod is not None:
        return _pod(pod)
    seen = index_of(snapshot).workloads.get((ns, name), {})
    declared = [k.__name__ for k in _NAMED if snapshot.get(k, name, ns) is not None]
    kinds = sorted({*(k for k in seen if k != "ReplicaSet"), *declared}) or sorted(seen)
    if not kinds and snapshot.get(ReplicaSet, name, ns) is not None:
        kinds = ["ReplicaSet"]
    if len(kinds) > 1:
        raise KubenetError(f"{role} {ns}/{name} is ambiguous: " + ", ".join(f"{_SHORT.get(k, k.lower())}/{ns}/{name}" for k in kinds))
    if kinds:
        return _first(snapshot, kinds[0], ns, name)
    hint = f"there is a Service of that name: svc:{ns}/{name}" if snapshot.get(Service, name, ns) is not None else ""
    raise NotFound("pod or workload", f"{ns}/{name}", _choices(snapshot), hint=hint)


def _first(snapshot: Snapshot, kind: str, ns: str, name: str) -> Party:
    pods: Sequence[Pod] = pods_of(snapshot, kind, ns, name)
    ready = [p for p in pods if p.ready and p.ips]
    usable = ready or [p for p in pods if p.ips]
    if not usable:
        raise KubenetError(f"{kind} {ns}/{name} has no running pod" + (f" ({len(pods)} without an address)" if pods else ""))
    note = f"{ns}/{name} stands for {usable[0].key}"
    if not ready:
        note += ", which is not ready (none of them is)" if len(usable) > 1 else ", which is not ready"
    elif len(ready) > 1:
        note += f", the first of its {len(ready)} ready pods"
    return _pod(usable[0], note)


def _pod(pod: Pod, note: str = "") -> Party:
    if pod.terminated:
        raise KubenetError(f"pod {pod.key} has ended (phase {pod.status.phase}): it has no network any more")
    if not pod.ips:
        raise KubenetError(f"pod {pod.key} has no address (phase {pod.status.phase or 'unknown'}): it is not running on any node")
    namespace = pod.spec.node_name if pod.spec.host_network else f"pod:{pod.key}"
    return Party("pod", pod.key, namespace, pod, pod.ips[0], note=note)


def _node(snapshot: Snapshot, name: str) -> Party:
    node = snapshot.get(Node, name)
    if node is None:
        raise NotFound("node", name, [n.name for n in snapshot.list(Node)])
    return Party("node", f"node:{name}", name, address=next(iter(node_addresses(node)), ""))


def _service(snapshot: Snapshot, ns: str, name: str) -> Party:
    service = snapshot.get(Service, name, ns)
    if service is None:
        raise NotFound("Service", f"{ns}/{name}", [s.key for s in snapshot.list(Service)])
    ip = service.spec.cluster_ip
    return Party("service", f"svc:{service.key}", address="" if ip in ("", "None") else ip, service=service)


def _address(snapshot: Snapshot, address: str) -> Party:
    index = index_of(snapshot)
    owner = index.addresses.get(address)
    if isinstance(owner, Node):
        return Party("node", f"node:{owner.name}", owner.name, address=address)
    if owner is not None:
        found = _pod(owner)
        return Party("ip", found.label, found.namespace, owner, address)
    return Party("ip", address, address=address, service=index.services.get(address))


# --------------------------------------------------------------------------------------------- workloads that change
def siblings(snapshot: Snapshot, key: str, one: Pod) -> Sequence[Pod]:
    """The pods of the workload that `key` names and `one` belongs to."""
    namespace, _, name = key.rpartition("/")
    namespace = namespace.rpartition("/")[2]
    kinds = index_of(snapshot).workloads.get((namespace, name), {})
    return next((pods_of(snapshot, kind, namespace, name) for kind, pods in kinds.items() if any(p.key == one.key for p in pods)), ())


def scalable(snapshot: Snapshot, key: str) -> tuple[str, str]:
    """(kind, "ns/name") of what `scale` is asked for: "shop/api" or "sts/data/db"."""
    if not isinstance(key, str):
        raise KubenetError(f'scale: found {key!r}, expected "ns/name"')
    kinds = ["Deployment", "StatefulSet", "ReplicaSet"]
    if key.count("/") == 2:
        kind, _, key = key.partition("/")
        kinds = [kind_of(kind)]
    namespace, _, name = key.rpartition("/")
    for found in kinds:
        if snapshot.document(found, name, namespace or "default") is not None:
            return found, f"{namespace or 'default'}/{name}"
    choices = [o.key for view in (Deployment, StatefulSet) for o in snapshot.list(view)]
    raise NotFound(" or ".join([", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds), key, choices)
