"""What the objects show of how a cluster is run: its nodes, its kube-proxy, who enforces policies, which DNS.

Each finding comes with an `Assumption` that says what showed it. The pod network has its own detection (cni.detect).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ..dns.coredns import not_modelled
from ..errors import KubenetError, NotFound, NotModelled
from ..objects.selectors import matches
from ..objects.snapshot import Snapshot
from ..objects.views import ConfigMap, DaemonSet, NetworkPolicy, Node, Pod
from ..policy import engine_for, engine_named
from ..services import KubeProxy
from .options import Options
from .plan import ASSUMED, DETECTED, Assumption
from .segments import NODE_CIDR

__all__ = ["INSTEAD", "enforcer", "nodes_of_pods", "other_dns", "own_policies", "proxy_options", "selects_any"]


# -------------------------------------------------------------------------------------------------------------- nodes
def nodes_of_pods(snapshot: Snapshot) -> tuple[list[dict[str, Any]], Assumption | None]:
    """Nodes that pods of a dump run on and that the dump does not hold: name and address as the pods show them.

    A pod of a manifest that only names a node shows none: it waits for it.
    """
    known = {n.name for n in snapshot.list(Node)}
    pods: dict[str, list[Pod]] = {}
    for pod in snapshot.list(Pod):
        if pod.spec.node_name and pod.spec.node_name not in known and (pod.ips or _host_ip(snapshot, pod)):
            pods.setdefault(pod.spec.node_name, []).append(pod)
    seen = {n for p in pods.values() for x in p if (n := _host_ip(snapshot, x))} | {
        a.address for n in snapshot.list(Node) for a in n.status.addresses
    }
    free = (str(a) for a in ipaddress.ip_network(NODE_CIDR).hosts() if int(a) % 256 > 10 and str(a) not in seen)
    documents = []
    for name in sorted(pods):
        address = next((ip for p in pods[name] if (ip := _host_ip(snapshot, p))), "") or next(free)
        spec: dict[str, Any] = {}
        if cidr := _one_subnet([ip for p in pods[name] if not p.spec.host_network and not p.terminated for ip in p.ips if ":" not in ip]):
            spec = {"podCIDR": cidr, "podCIDRs": [cidr]}
        documents.append({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
            "spec": spec,
            "status": {"addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
        })  # fmt: skip
    if not documents:
        return [], None
    why = "pods run there (spec.nodeName, status.hostIP); the objects do not contain these Nodes"
    return documents, Assumption("nodes", ", ".join(sorted(pods)), DETECTED, why)


def _host_ip(snapshot: Snapshot, pod: Pod) -> str:
    document = snapshot.document("Pod", pod.name, pod.namespace) or {}
    return str((document.get("status") or {}).get("hostIP") or "")


def _one_subnet(ips: list[str]) -> str:
    """The /24 that holds all these addresses, "" if none does."""
    found = {str(ipaddress.ip_network(f"{ip}/24", strict=False)) for ip in ips}
    return found.pop() if len(found) == 1 else ""


# --------------------------------------------------------------------------------------------------------- kube-proxy
def proxy_options(snapshot: Snapshot, options: Options, notes: list[Assumption]) -> tuple[KubeProxy, str]:
    """How kube-proxy runs, and why a walk is not possible with it ("" if it is).

    Read from kubeadm's ConfigMap kube-system/kube-proxy (config.conf, a KubeProxyConfiguration) where nothing is asked for.
    """
    if options.proxy != "auto":
        asked = options.kube_proxy
        asked.modelled()
        return asked, ""
    config = snapshot.get(ConfigMap, "kube-proxy", "kube-system")
    text = config.data.get("config.conf") or config.data.get("config") if config is not None else None
    if not text:
        notes.append(
            Assumption(
                "kube-proxy", "mode iptables", ASSUMED, "Kubernetes' default on Linux; no ConfigMap kube-system/kube-proxy in the objects"
            )
        )
        return KubeProxy(), ""
    try:
        found = _from_configuration(text)
    except KubenetError as e:
        notes.append(
            Assumption(
                "kube-proxy", "mode iptables", ASSUMED, f"ConfigMap kube-system/kube-proxy says what kube-proxy would not start with: {e}"
            )
        )
        return KubeProxy(), ""
    notes.append(Assumption("kube-proxy", f"mode {found.mode}", DETECTED, "ConfigMap kube-system/kube-proxy"))
    try:
        found.modelled()
    except NotModelled as e:
        return found, e.reason
    return found, ""


#: KubeProxyConfiguration -> option; the first part of a path may name a section
_FIELDS: dict[str, tuple[str, ...]] = {
    "mode": ("mode",), "cluster_cidr": ("clusterCIDR",), "node_port_addresses": ("nodePortAddresses",),
    "detect_local_mode": ("detectLocalMode",),
    "masquerade_all": ("iptables", "masqueradeAll"), "masquerade_bit": ("iptables", "masqueradeBit"),
    "localhost_node_ports": ("iptables", "localhostNodePorts"), "bridge_interface": ("detectLocal", "bridgeInterface"),
    "interface_name_prefix": ("detectLocal", "interfaceNamePrefix"), "tcp_be_liberal": ("conntrack", "tcpBeLiberal"),
}  # fmt: skip

#: what the nftables mode has in a section of its own
_NFTABLES: dict[str, tuple[str, ...]] = {"masquerade_all": ("nftables", "masqueradeAll"), "masquerade_bit": ("nftables", "masqueradeBit")}


def _from_configuration(text: str) -> KubeProxy:
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        raise KubenetError("config.conf is not YAML") from None
    if not isinstance(data, Mapping):
        raise KubenetError("config.conf is not a KubeProxyConfiguration")
    given: dict[str, Any] = {}
    fields_of = {**_FIELDS, **(_NFTABLES if data.get("mode") == "nftables" else {})}
    for name, path in fields_of.items():
        value: Any = data
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        if value not in (None, "", []):
            given[name] = value
    kinds = {f.name: f.type for f in fields(KubeProxy)}
    for name, value in given.items():
        wanted: Any = {"bool": bool, "int": int, "tuple[str, ...]": list}.get(str(kinds[name]), str)
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise KubenetError(f"{'.'.join(fields_of[name])}: found {value!r}")
    return replace(KubeProxy(), **given)


# ----------------------------------------------------------------------------------------------------------- policies
#: what to do where an engine has no model
INSTEAD = (
    "a connection that it would judge ends at NotModelled, others are walked; policy=None enforces nothing, "
    'policy="kube-router" has another engine judge, and cluster.policy.allowed(..., engine="spec") says what the API text says'
)


def enforcer(snapshot: Snapshot, options: Options, network: str, notes: list[Assumption]) -> tuple[str | None, str]:
    """Who enforces policies, None: nobody does; and why a walk is not possible with it ("" if it is)."""
    found = _enforcer(snapshot, options, network, notes)
    if found is not None:
        try:
            engine_named(found)
        except NotModelled as e:
            if options.policy == "auto":
                why = f"comes with {network}; {INSTEAD}"
                notes.append(Assumption("policy engine", f"{found}, which is not modelled", DETECTED, why))
            return found, e.reason
        except NotFound:
            return found, f"the policy engine that comes with {network}"
    return found, ""


def _enforcer(snapshot: Snapshot, options: Options, network: str, notes: list[Assumption]) -> str | None:
    if options.policy != "auto":
        return engine_for(network, options.policy_option)
    for d in snapshot.list(DaemonSet):
        for c in d.spec.template.spec.containers:
            words = [*c.command, *c.args]
            if "kube-router" in c.image and "--run-firewall=false" not in words:
                notes.append(Assumption("policy engine", "kube-router", DETECTED, f"DaemonSet {d.key}"))
                return "kube-router"
    try:
        return engine_for(network)
    except NotModelled:
        return f"unknown, {network} is not modelled"


#: policies of an engine's own kinds, which it enforces beside NetworkPolicies
_OWN_POLICIES = (
    "NetworkPolicy.crd.projectcalico.org", "NetworkPolicy.projectcalico.org", "GlobalNetworkPolicy.crd.projectcalico.org",
    "GlobalNetworkPolicy.projectcalico.org", "CiliumNetworkPolicy.cilium.io", "CiliumClusterwideNetworkPolicy.cilium.io",
)  # fmt: skip


def own_policies(snapshot: Snapshot) -> bool:
    """Is there a policy of an engine's own kinds, whatever it selects?"""
    return any(snapshot.others(kind) for kind in _OWN_POLICIES)


def selects_any(snapshot: Snapshot) -> bool:
    """Is there a NetworkPolicy that selects a pod?"""
    return any(
        matches(policy.spec.pod_selector, pod.labels)
        for policy in snapshot.list(NetworkPolicy)
        for pod in snapshot.list(Pod, policy.namespace)
        if not pod.spec.host_network
    )


# ---------------------------------------------------------------------------------------------------------------- DNS
_LOCAL_CACHE = re.compile(r"node-?local-?dns")


def other_dns(snapshot: Snapshot) -> NotModelled | None:
    """Why names cannot be resolved as in the real cluster: a DNS server or cache that is not modelled stands before CoreDNS."""
    if any(_LOCAL_CACHE.search(d.name) for d in snapshot.list(DaemonSet)):
        return not_modelled("node-local-dns")
    return None
