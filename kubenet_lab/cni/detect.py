"""Which pod network a set of objects shows: from DaemonSets, Deployments, ConfigMaps and node annotations.

A network that is not modelled is named all the same: a cluster loads with it, and a walk that needs it ends at
`NotModelled("pod network: ...")`, never as another network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from ..objects.snapshot import Snapshot
from ..objects.views import ConfigMap, DaemonSet, Deployment, Node, Workload
from .flannel import ANNOTATION
from .plain import NAMED

__all__ = ["MODELLED", "Detected", "conflist_of", "detect"]

#: the networks that can be programmed here
MODELLED = frozenset({"flannel", "calico", *NAMED})

#: names of workloads that run a network's agent: (network, how the workload's name begins)
_WORKLOADS: tuple[tuple[str, str], ...] = (
    ("canal", "canal"), ("canal", "rke2-canal"), ("flannel", "kube-flannel"), ("calico", "calico-node"),
    ("calico", "calico-kube-controllers"), ("cilium", "cilium"), ("weave-net", "weave-net"), ("kube-router", "kube-router"),
    ("aws-node", "aws-node"), ("antrea", "antrea-agent"), ("kindnet", "kindnet"), ("azure-cni", "azure-cni"), ("azure-cni", "azure-cns"),
    ("gke-netd", "netd"), ("ovn-kubernetes", "ovnkube-node"), ("kube-ovn", "kube-ovn-cni"), ("openshift-sdn", "sdn"),
    ("contiv-vpp", "contiv-vswitch"), ("romana", "romana-agent"), ("terway", "terway"),
)  # fmt: skip
_EXACT = frozenset({"netd", "sdn", "canal", "aws-node", "kindnet", "cilium", "terway"})
_IMAGES: tuple[tuple[str, str], ...] = (
    ("flannel", "/flannel:"), ("calico", "calico/node:"), ("cilium", "cilium/cilium:"), ("weave-net", "weave-kube:"),
    ("kube-router", "kube-router:"), ("aws-node", "amazon-k8s-cni:"), ("antrea", "antrea-agent"), ("kindnet", "kindnetd:"),
)  # fmt: skip
_CONFIG_MAPS: dict[str, str] = {
    "kube-flannel-cfg": "flannel", "calico-config": "calico", "canal-config": "canal", "cilium-config": "cilium",
    "kube-router-cfg": "kube-router", "antrea-config": "antrea", "weave-net": "weave-net", "amazon-vpc-cni": "aws-node",
}  # fmt: skip
#: of several signs the surer one counts: an agent that runs, then its configuration, then what it left on nodes
_ANNOTATIONS: dict[str, str] = {
    f"{ANNOTATION}/backend-type": "flannel", "projectcalico.org/IPv4Address": "calico", "network.cilium.io/ipv4-cilium-host": "cilium",
    "io.cilium.network.ipv4-cilium-host": "cilium", "kube-router.io/pod-cidr": "kube-router", "node.antrea.io/mac-address": "antrea",
    "k8s.ovn.org/node-subnets": "ovn-kubernetes", "kilo.squat.ai/endpoint": "kilo",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Detected:
    """The network's name ("" if nothing shows one), and what shows it. `others` are further networks that show."""

    name: str
    evidence: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def modelled(self) -> bool:
        return self.name in MODELLED

    def __bool__(self) -> bool:
        return bool(self.name)


def _signs(snapshot: Snapshot) -> Iterator[tuple[int, str, str]]:
    """(how sure, network, what shows it)."""
    workloads: list[Workload] = [*snapshot.list(DaemonSet), *snapshot.list(Deployment)]
    for w in workloads:
        agent = w.kind == "DaemonSet"
        named = next((n for n, p in _WORKLOADS if (w.name == p if p in _EXACT else w.name.startswith(p))), None)
        containers = [*w.spec.template.spec.containers, *w.spec.template.spec.init_containers]
        if named is None and agent:
            named = next((n for c in containers for n, part in _IMAGES if part in c.image), None)
        if named is not None:
            if named == "calico" and any("/flannel:" in c.image for c in containers):
                named = "canal"
            if named == "kube-router" and any(a == "--run-router=false" for c in containers for a in (*c.command, *c.args)):
                continue  # it is there for policies or Services only
            yield 0 if agent else 1, named, f"{w.kind} {w.key}"
    for c in snapshot.list(ConfigMap):
        if (network := _CONFIG_MAPS.get(c.name)) is not None:
            yield 2, network, f"ConfigMap {c.key}"
    if (found := conflist_of(snapshot)) is not None:
        yield 4, found[2], found[0]
    for node in snapshot.list(Node):
        for key, network in _ANNOTATIONS.items():
            if key in node.metadata.annotations:
                yield 3, network, f"annotation {key} of Node {node.name}"


def conflist_of(snapshot: Snapshot) -> tuple[str, str, str] | None:
    """(where, text, main plugin) of a conflist of plain plugins that a ConfigMap brings to the nodes, or None."""
    for c in snapshot.list(ConfigMap):
        for key, text in c.data.items():
            if key.endswith(".conflist") or key == "cni-conf.json":
                try:
                    main = str(json.loads(text)["plugins"][0]["type"])
                except (ValueError, LookupError, TypeError):
                    continue
                if main in NAMED:
                    return f"ConfigMap {c.key}, {key}", text, main
    return None


def detect(snapshot: Snapshot) -> Detected:
    """The pod network that the objects show."""
    signs = sorted(_signs(snapshot), key=lambda s: s[0])
    if not signs:
        return Detected("")
    name = signs[0][1]
    others = tuple(dict.fromkeys(n for _, n, _ in signs if n != name))
    return Detected(name, tuple(dict.fromkeys(what for _, n, what in signs if n == name)), others)
