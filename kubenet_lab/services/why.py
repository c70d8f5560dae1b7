"""Why a Service has no endpoint, or why one pod is not among them: reasons with codes, for `explain`.

Follows the rules of endpoints.py backwards; words are in explain/services.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ..objects.snapshot import Snapshot
from ..objects.views import EndpointSlice, Node, Pod, Service, ServicePort
from ..trace import Reason
from .endpoints import address_types, selects
from .target_port import find_port, named_ports

__all__ = ["why_no_endpoints", "why_not_an_endpoint"]


def _reason(code: str, service: Service, **params: Any) -> Reason:
    return Reason(f"service.{code}", {"service": service.key, **params}, origin=f"Service {service.key}")


def selector_text(selector: Mapping[str, str]) -> str:
    """As kubectl's -l takes it: "app=cart,tier=backend"."""
    return ",".join(f"{k}={v}" for k, v in sorted(selector.items()))


def _nothing_selected(snapshot: Snapshot, service: Service) -> Reason:
    selector = service.spec.selector
    text = selector_text(selector)
    elsewhere = sorted(
        {p.namespace for p in snapshot.list(Pod) if p.namespace != service.namespace and selector.items() <= p.labels.items()}
    )
    if elsewhere:
        return _reason("selector_in_other_namespace", service, selector=text, namespace=service.namespace, found_in=", ".join(elsewhere))
    pods = snapshot.list(Pod, service.namespace)
    for key, value in sorted(selector.items()):
        rest = {k: v for k, v in selector.items() if k != key}
        near = [p for p in pods if rest.items() <= p.labels.items()]
        values = sorted({p.labels[key] for p in near if key in p.labels})
        if close := get_close_matches(value, values, n=1, cutoff=0.6):
            pod = next(p for p in near if p.labels.get(key) == close[0])
            pair = {"selector": text, "asked": f"{key}={value}", "nearest": f"{key}={close[0]}", "pod": pod.key}
            return _reason("selector_nearly_matches", service, **pair)
        keys = sorted({k for p in near for k, v in p.labels.items() if v == value and k != key})
        if keys:
            best = (get_close_matches(key, keys, n=1, cutoff=0.0) or keys)[0]
            pod = next(p for p in near if p.labels.get(best) == value)
            pair = {"selector": text, "asked": f"{key}={value}", "nearest": f"{best}={value}", "pod": pod.key}
            return _reason("selector_nearly_matches", service, **pair)
    return _reason("selector_matches_nothing", service, selector=text, namespace=service.namespace, pods=len(pods))


def _missing_port(service: Service, pod: Pod, port: ServicePort) -> Reason:
    listed = list(named_ports(pod))
    common = {"pod": pod.key, "port": port.name or str(port.port), "target": str(port.target_port), "protocol": port.protocol}
    other = next((p for p in listed if p.name == port.target_port), None)
    if other is not None:
        return _reason("target_port_protocol", service, **common, found=other.protocol)
    names = sorted({p.name for p in listed})
    near = get_close_matches(str(port.target_port), names, n=1, cutoff=0.5)
    return _reason("target_port_missing", service, **common, names=", ".join(names), nearest=near[0] if near else "")


def why_not_an_endpoint(snapshot: Snapshot, service: Service, pod: Pod) -> tuple[Reason, ...]:
    """Why this pod gets no traffic from this Service; empty if it does."""
    if not selects(service, pod):
        text = selector_text(service.spec.selector)
        return (_reason("pod_not_selected", service, pod=pod.key, selector=text, labels=selector_text(pod.labels)),)
    if pod.terminated:
        return (_reason("endpoint_terminated", service, pod=pod.key, phase=pod.status.phase),)
    if not pod.ips:
        return (_reason("endpoint_no_address", service, pod=pod.key, phase=pod.status.phase or "Pending"),)
    nodes = {n.name for n in snapshot.list(Node)}
    always = service.spec.publish_not_ready_addresses
    if pod.spec.node_name not in nodes and not always:
        return (_reason("endpoint_node_missing", service, pod=pod.key, node=pod.spec.node_name),)
    types = address_types(service)
    if not any(("IPv6" if ":" in ip else "IPv4") in types for ip in pod.ips):
        return (_reason("endpoint_wrong_family", service, pod=pod.key, families=" and ".join(types), addresses=", ".join(pod.ips)),)
    if pod.metadata.deletion_timestamp is not None and not always:
        return (_reason("endpoint_terminating", service, pod=pod.key, serving=pod.ready),)
    if not pod.ready and not always:
        return (_reason("endpoint_not_ready", service, pod=pod.key, condition=_ready_condition(pod)),)
    return tuple(_missing_port(service, pod, p) for p in service.spec.ports if find_port(pod, p) is None)


def _ready_condition(pod: Pod) -> str:
    found = next((c for c in pod.status.conditions if c.type == "Ready"), None)
    if found is None:
        return "it has no Ready condition"
    return f"Ready={found.status}" + (f", {found.reason}" if found.reason else "")


def _usable(slices: Iterable[EndpointSlice], port: ServicePort | None) -> bool:
    for slice_ in slices:
        if port is not None and not any(p.name == port.name and p.protocol == port.protocol and p.port for p in slice_.ports):
            continue
        if any(e.addresses and (e.conditions.ready is None or e.conditions.ready) for e in slice_.endpoints):
            return True
    return False


def why_no_endpoints(snapshot: Snapshot, service: Service) -> tuple[Reason, ...]:
    """The reasons why at least one port of this Service has no ready endpoint; empty if every port has one.

    Reads the EndpointSlices that are there, then looks for the cause in the selector and the pods.
    """
    if service.spec.type == "ExternalName":
        return (_reason("external_name", service, name=service.spec.external_name),)
    slices = [s for s in snapshot.list(EndpointSlice, service.namespace) if s.service == service.name]
    ports: list[ServicePort | None] = list(service.spec.ports) or [None]  # a headless Service may have no port
    lacking = [p for p in ports if not _usable(slices, p)]
    if not lacking:
        return ()
    if not service.spec.selector:
        return (_reason("no_selector" if not slices else "slices_not_ready", service),)
    members = [p for p in snapshot.list(Pod, service.namespace) if selects(service, p)]
    if not members:
        return (_nothing_selected(snapshot, service),)
    reasons = [r for pod in members for r in why_not_an_endpoint(snapshot, service, pod)]
    return tuple(reasons) or (_reason("slices_stale", service),)
