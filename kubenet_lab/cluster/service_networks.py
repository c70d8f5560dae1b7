"""The cluster's Service networks as they are now: the first ones, and those that ServiceCIDR objects add; and its range of node ports.

Source: KEP-1880 (ServiceCIDR, networking.k8s.io/v1, GA in 1.33); kube-apiserver --service-node-port-range.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Problem
from ..kernel.address import prefix
from ..objects.snapshot import Snapshot
from ..objects.views import Service
from ..services.endpoints import MAX_ENDPOINTS
from .options import MAX_SLICE
from .plan import ASSUMED, DETECTED, Assumption, kubeadm_value

__all__ = ["KIND", "NODE_PORTS", "added_cidrs", "node_port_range", "slice_size"]

NODE_PORTS = "30000-32767"
KIND = "ServiceCIDR.networking.k8s.io"


def added_cidrs(snapshot: Snapshot, own: Sequence[str], others: Sequence[str]) -> tuple[tuple[str, ...], list[Problem]]:
    """The CIDRs of ServiceCIDR objects that are not among `own` already, oldest first; and what is wrong with some.

    `others`: networks of nodes and pods, with which none may overlap. An object that is being deleted, or says that it is not
    ready, gives out no addresses. Such objects may overlap each other (ipallocator/cidrallocator.go).
    """
    found: list[str] = []
    problems: list[Problem] = []
    for name, document in snapshot.others(KIND).items():
        spec, meta = document.get("spec"), document.get("metadata") or {}
        cidrs = spec.get("cidrs") if isinstance(spec, Mapping) else None
        if meta.get("deletionTimestamp") or not isinstance(cidrs, list) or not _ready(document):
            continue
        for i, text in enumerate(cidrs):
            where = f"spec.cidrs[{i}]"
            try:
                cidr = str(ipaddress.ip_network(str(text)))
            except ValueError as e:
                problems.append(Problem(f"Invalid value: {str(text)!r}: {e}", where, f"ServiceCIDR {name}"))
                continue
            clash = next((o for o in others if prefix(o).covers(prefix(cidr)) or prefix(cidr).covers(prefix(o))), "")
            if clash:
                problems.append(Problem(f"{cidr} overlaps the cluster's network {clash}", where, f"ServiceCIDR {name}"))
            elif not any(prefix(o).covers(prefix(cidr)) for o in (*own, *found)):
                found.append(cidr)
    return tuple(found), problems


def _ready(document: Mapping[str, Any]) -> bool:
    """One without a condition counts as ready: the controller may not have seen it yet."""
    status = document.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    found = next((c for c in conditions or () if isinstance(c, Mapping) and c.get("type") == "Ready"), None)
    return found is None or found.get("status") == "True"


def node_port_range(snapshot: Snapshot, asked: str | None, observed: Sequence[Service]) -> tuple[str, Assumption | None]:
    """As asked for, as kubeadm's configuration says, else the usual range, widened to what Services of a real cluster have."""
    if asked:
        return asked, None
    if named := kubeadm_value(snapshot, "service-node-port-range"):
        return named, Assumption("node ports", named, DETECTED, "ConfigMap kube-system/kubeadm-config, service-node-port-range")
    low, high = (int(n) for n in NODE_PORTS.split("-"))
    ports = [n for s in observed for n in (*(p.node_port for p in s.spec.ports), s.spec.health_check_node_port) if n]
    if all(low <= n <= high for n in ports):
        return NODE_PORTS, None
    text = f"{min(low, *ports)}-{max(high, *ports)}"
    return text, Assumption("node ports", text, ASSUMED, "the usual range and every node port that a Service has")


def slice_size(snapshot: Snapshot, asked: int | None) -> tuple[int, Assumption | None]:
    """How many endpoints the controller puts into one EndpointSlice: as asked for, as kubeadm's configuration says, else 100."""
    named = kubeadm_value(snapshot, "max-endpoints-per-slice")
    if asked is None and named.isascii() and named.isdigit() and 1 <= int(named[:5]) <= MAX_SLICE:
        why = "ConfigMap kube-system/kubeadm-config, max-endpoints-per-slice"
        return int(named), Assumption("endpoints per slice", named, DETECTED, why)
    return asked or MAX_ENDPOINTS, None
