"""A pod as an endpoint of a Service: its addresses, conditions and ports.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/utils.go (podToEndpoint, getEndpointPorts), util/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ..objects.views import Endpoint, Node, Pod, Service
from .slice_ports import Ports, in_order
from .target_port import find_port
from .topology_hints import ZONE

__all__ = ["Identity", "groups", "identity", "identity_of", "same"]

Document = dict[str, Any]

#: what makes an endpoint the same one, whatever becomes of its conditions: addresses, hostname, namespace and name of its target
Identity = tuple[tuple[str, ...], str, str, str]


def identity(endpoint: Endpoint) -> Identity:
    ref = endpoint.target_ref
    return tuple(sorted(endpoint.addresses)), endpoint.hostname, ref.namespace if ref else "", ref.name if ref else ""


def identity_of(endpoint: Document) -> Identity:
    """`identity`, of an endpoint that is to be written."""
    ref = endpoint.get("targetRef", {})
    return tuple(sorted(endpoint["addresses"])), endpoint.get("hostname", ""), ref.get("namespace", ""), ref.get("name", "")


def same(wanted: Document, endpoint: Endpoint) -> bool:
    """Whether an endpoint of the same identity says the same in all that counts (EndpointsEqualBeyondHash): hints do not."""
    conditions = endpoint.conditions
    if [wanted["conditions"].get(c) for c in ("ready", "serving", "terminating")] != [
        conditions.ready, conditions.serving, conditions.terminating
    ]:  # fmt: skip
        return False
    if (wanted.get("nodeName", ""), wanted.get("zone", "")) != (endpoint.node_name, endpoint.zone):
        return False
    ref, mine = endpoint.target_ref, wanted.get("targetRef", {})
    if ref is None:
        return not mine
    return (mine.get("kind", ""), mine.get("uid", "")) == (ref.kind, ref.uid)


def groups(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node], address_type: str) -> dict[Ports, dict[Identity, Document]]:
    """The endpoints that a Service should have of an address type, by the ports as the pods resolve them.

    Ports of pods that give no endpoint (no address of this type, an unknown node) are there with none. A pod whose node is not known
    is left out unless the Service publishes unready addresses.
    """
    found: dict[Ports, dict[Identity, Document]] = {}
    for pod in pods:
        if pod.terminated or not pod.ips:
            continue
        members = found.setdefault(_ports(service, pod), {})
        node = nodes.get(pod.spec.node_name)
        if node is None and not service.spec.publish_not_ready_addresses:
            continue
        if addresses := _addresses(pod, address_type):
            endpoint = _endpoint(service, pod, addresses, node.labels.get(ZONE, "") if node else "")
            members[identity_of(endpoint)] = endpoint
    return found


def _ports(service: Service, pod: Pod) -> Ports:
    """The ports as this pod resolves them; one whose named target the pod lacks is left out."""
    numbers = ((p, find_port(pod, p)) for p in service.spec.ports)
    return in_order((p.name, number, p.protocol, p.app_protocol) for p, number in numbers if number is not None)


def _addresses(pod: Pod, address_type: str) -> list[str]:
    wanted = 6 if address_type == "IPv6" else 4
    return [str(ip) for a in pod.ips if (ip := ip_address(a)).version == wanted]


def _endpoint(service: Service, pod: Pod, addresses: list[str], zone: str) -> Document:
    serving, terminating = pod.ready, pod.metadata.deletion_timestamp is not None
    reference = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name}
    if pod.metadata.uid:
        reference["uid"] = pod.metadata.uid
    endpoint: Document = {
        "addresses": addresses,
        "conditions": {
            "ready": service.spec.publish_not_ready_addresses or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": reference,
    }
    if pod.spec.hostname and pod.spec.subdomain == service.name:
        endpoint["hostname"] = pod.spec.hostname
    if pod.spec.node_name:
        endpoint["nodeName"] = pod.spec.node_name
    if zone:
        endpoint["zone"] = zone
    return endpoint
