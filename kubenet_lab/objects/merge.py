"""Applying a manifest to an object that stands: kubectl's three-way merge, and the Service's allocated fields.

A field that the manifest gives is set; one that the last applied manifest gave and this one does not is removed; all others
(allocated, defaulted, written by controllers) stay.
Source: kubectl apply's strategic merge patch (merge keys of the API types); pkg/registry/core/service/strategy.go
(NormalizeClusterIPs, dropTypeDependentFields), storage/storage.go (patchAllocatedValues), storage/alloc.go (initIPFamilyFields).
"""

from __future__ import annotations

import copy
from typing import Any

from .validation.services import externally_accessible, needs_health_check

__all__ = ["merge", "settle_service"]

Doc = dict[str, Any]

#: lists that merge item by item, and the field that names an item
_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",), "initContainers": ("name",), "ephemeralContainers": ("name",), "env": ("name",), "volumes": ("name",),
    "volumeMounts": ("mountPath",), "hostAliases": ("ip",), "imagePullSecrets": ("name",), "ownerReferences": ("uid",),
    "taints": ("key",), "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}  # fmt: skip
#: structs of which one member only may stand: what the manifest does not name is cleared (retainKeys)
_RETAIN = ("strategy", "updateStrategy")


def merge(live: Doc, last: Doc, new: Doc) -> Doc:
    """The object after `kubectl apply` of `new`. None of the arguments is changed."""
    merged: Doc = _dict(live, last, new, new.get("kind", ""))
    if merged.get("kind") == "Service":
        was, spec = live.get("spec") or {}, merged.get("spec") or {}
        if "ExternalName" not in (was.get("type"), spec.get("type")) and was.get("ipFamilyPolicy") and not spec.get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = was["ipFamilyPolicy"]  # an update that says nothing of it keeps it (initIPFamilyFields)
    return merged


def _dict(live: Doc, last: Doc, new: Doc, kind: str) -> Doc:
    out: Doc = {}
    for key, value in live.items():
        if key in new:
            before = last.get(key)
            out[key] = _retained(key, value, new[key]) if key in _RETAIN else _value(key, value, before, new[key], kind)
        elif key not in last:
            out[key] = copy.deepcopy(value)
    for key, value in new.items():
        if key not in live:
            out[key] = copy.deepcopy(value)
    return out


def _retained(key: str, live: Any, new: Any) -> Any:
    if isinstance(live, dict) and isinstance(new, dict):
        return {**{k: copy.deepcopy(v) for k, v in live.items() if k in new}, **copy.deepcopy(new)}
    return copy.deepcopy(new)


def _value(key: str, live: Any, last: Any, new: Any, kind: str) -> Any:
    if isinstance(live, dict) and isinstance(new, dict):
        return _dict(live, last if isinstance(last, dict) else {}, new, kind)
    if isinstance(live, list) and isinstance(new, list):
        names = _list_keys(key, kind)
        if names is not None:
            return _list(live, last if isinstance(last, list) else [], new, names, kind)
    return copy.deepcopy(new)


def _list_keys(key: str, kind: str) -> tuple[str, ...] | None:
    if key == "ports":
        if kind == "Service":
            return ("port", "protocol")
        return ("containerPort", "protocol") if kind not in ("NetworkPolicy", "EndpointSlice", "Endpoints") else None
    return _MERGE_KEYS.get(key)


def _list(live: list[Any], last: list[Any], new: list[Any], names: tuple[str, ...], kind: str) -> list[Any]:
    def identity(item: Any) -> tuple[Any, ...] | None:
        if not isinstance(item, dict):
            return None
        return tuple(item.get(n) or ("TCP" if n == "protocol" else "") for n in names)

    before, applied = {identity(i): i for i in live}, {identity(i): i for i in last}
    out = []
    given = set()
    for item in new:
        key = identity(item)
        given.add(key)
        if key is not None and key in before:
            was = applied.get(key)
            out.append(_dict(before[key], was if isinstance(was, dict) else {}, item, kind))
        else:
            out.append(copy.deepcopy(item))
    out.extend(copy.deepcopy(i) for i in live if identity(i) not in given and identity(i) not in applied)
    return out


def _keep_allocated(after: Doc, before: Doc) -> None:
    """Addresses, node ports by port name, and the health check's port (patchAllocatedValues)."""
    if "ExternalName" not in (after.get("type"), before.get("type")):
        for name in ("clusterIP", "clusterIPs"):
            if not after.get(name) and before.get(name):
                after[name] = copy.deepcopy(before[name])
    external = ("NodePort", "LoadBalancer")
    if after.get("type") in external and before.get("type") in external:
        ports, had = after.get("ports") or [], before.get("ports") or []
        used = {p["nodePort"] for p in had if p.get("nodePort")} & {p["nodePort"] for p in ports if p.get("nodePort")}
        by_name = {p.get("name", ""): p.get("nodePort") for p in had}
        for port in ports:
            known = by_name.get(port.get("name", ""))
            if not port.get("nodePort") and known and known not in used:
                port["nodePort"] = known
                used.add(known)
    if needs_health_check(before) and needs_health_check(after) and not after.get("healthCheckNodePort"):
        after["healthCheckNodePort"] = before.get("healthCheckNodePort")


def settle_service(new: Doc, old: Doc) -> None:
    """What becomes of a Service before an update of it is validated: `new` is changed in place.

    What was allocated and is not said stays. What the old type had and the new one has no use for goes, unless the update says something
    else about it. SingleStack alone is enough to let the second family go (initIPFamilyFields).
    """
    after, before = new.setdefault("spec", {}), old.get("spec") or {}
    _keep_allocated(after, before)
    if after.get("clusterIP") != before.get("clusterIP") and after.get("clusterIPs") == before.get("clusterIPs"):
        rest = list(after.get("clusterIPs") or [])[1:]
        after["clusterIPs"] = [after["clusterIP"], *rest] if after.get("clusterIP") else []

    def drop(*names: str) -> None:
        for name in names:
            if after.get(name) == before.get(name):
                after.pop(name, None)

    was, is_ = before.get("type"), after.get("type")
    if is_ == "ExternalName" and was != is_:
        if (after.get("clusterIP"), after.get("clusterIPs")) == (before.get("clusterIP"), before.get("clusterIPs")):
            drop("clusterIP", "clusterIPs")
        drop("ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    elif "ExternalName" not in (was, is_):
        for name in ("clusterIPs", "ipFamilies") if after.get("ipFamilyPolicy") == "SingleStack" else ():
            if after.get(name) == before.get(name) and len(after.get(name) or ()) > 1:
                after[name] = after[name][:1]
    external = ("NodePort", "LoadBalancer")
    if was in external and is_ not in external:
        had, have = ({p["nodePort"] for p in s.get("ports") or [] if p.get("nodePort")} for s in (before, after))
        for port in (after.get("ports") or []) if have <= had else ():
            port.pop("nodePort", None)
    if needs_health_check(before) and not needs_health_check(after):
        drop("healthCheckNodePort")
    if was == "LoadBalancer" and is_ != "LoadBalancer":
        drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if externally_accessible(before) and not externally_accessible(after):
        drop("externalTrafficPolicy")
    if is_ != "LoadBalancer" and isinstance(new.get("status"), dict):
        new["status"].pop("loadBalancer", None)
