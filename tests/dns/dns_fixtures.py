"""Objects, transports and small helpers that the dns tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from kubenet_lab.dns import DnsPayload, Record
from kubenet_lab.kernel.process import Exchange
from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import KINDS

TABLES = Path(__file__).parents[1] / "conformance" / "dns"


def table(name: str) -> Any:
    return yaml.safe_load((TABLES / name).read_text())


def obj(kind: str, namespace: str, name: str, **body: Any) -> Any:
    """A typed view of one object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **body.pop("metadata", {})}
    return msgspec.convert({"kind": kind, "metadata": metadata, **body}, KINDS[kind][0])


def service(key: str, *ips: str, ports: list[str] | None = None, external: str = "", **spec: Any) -> Any:
    ns, name = key.split("/")
    made = [dict(zip(("name", "protocol", "port"), (n, p, int(q)), strict=True)) for n, p, q in (x.split("/") for x in ports or [])]
    body: dict[str, Any] = {"type": "ExternalName", "externalName": external} if external else {}
    if ips:
        body |= {"clusterIP": ips[0], "clusterIPs": list(ips)}
    metadata = spec.pop("metadata", {})
    return obj("Service", ns, name, metadata=metadata, spec={**body, "ports": made, **spec})


def endpoint_slice(name: str, key: str, *endpoints: str, ports: list[str] | None = None, ready: bool | None = True, **extra: Any) -> Any:
    """Endpoints are "address [hostname]"; ports name/protocol/port."""
    ns, svc = key.split("/")
    made = [dict(zip(("name", "protocol", "port"), (n, p, int(q)), strict=True)) for n, p, q in (x.split("/") for x in ports or [])]
    ends = []
    for text in endpoints:
        address, _, hostname = text.partition(" ")
        ends.append({"addresses": [address], "hostname": hostname, "conditions": {"ready": ready}, **extra})
    family = "IPv6" if endpoints and ":" in endpoints[0].split()[0] else "IPv4"
    labels = {"kubernetes.io/service-name": svc}
    return obj("EndpointSlice", ns, name, metadata={"labels": labels}, addressType=family, endpoints=ends, ports=made)


def pod(key: str, ip: str = "", **extra: Any) -> Any:
    ns, name = key.split("/")
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}] if ip else [], "conditions": [{"type": "Ready", "status": "True"}]}
    return obj("Pod", ns, name, status={**status, **extra.pop("status", {})}, **extra)


def objects(name: str) -> Snapshot:
    """A set of objects of conformance/dns/objects.yaml."""
    data = table("objects.yaml")[name]
    out = [obj("Namespace", "", ns) for ns in data["namespaces"]]
    for s in data.get("services", ()):
        out.append(service(s["name"], *(str(i) for i in s.get("ips", ())), ports=s["ports"], external=s.get("external", "")))
    for s in data.get("slices", ()):
        out.append(endpoint_slice(s["name"], s["service"], *s["endpoints"], ports=s["ports"]))
    out += [pod(*text.split()) for text in data.get("pods", ())]
    return Snapshot(out)


def short(r: Record) -> str:
    """A record as the tables write it: name, ttl, type, data; of an SOA its two names."""
    data = " ".join(r.data.split()[:2]) if r.type == "SOA" else r.data
    return f"{r.name} {r.ttl} {r.type} {data}"


class Scripted:
    """A Transport without a network: `behave(query, protocol, count, server)` gives a response, None for silence, or an errno name.

    It writes down what it was sent; each answer takes `rtt` seconds.
    """

    def __init__(self, behave: Callable[..., Any], rtt: float = 0.0):
        self.behave, self.rtt = behave, rtt
        self.sent: list[tuple[str, str, str, int | None, str]] = []
        self.count: dict[tuple[str, str], int] = {}

    def exchange(
        self, host: str, dst: str, port: int, protocol: str, payload: Any, timeout: float, source_port: int | None = None
    ) -> Exchange:
        query = payload.message
        key = (query.name, query.type)
        self.count[key] = self.count.get(key, 0) + 1
        self.sent.append((query.name, query.type, dst, source_port, protocol))
        said = self.behave(query, protocol, self.count[key], dst)
        if said is None:
            return Exchange(None, "ETIMEDOUT", timeout, None)  # type: ignore[arg-type]
        if isinstance(said, str):
            return Exchange(None, said, self.rtt, None)  # type: ignore[arg-type]
        return Exchange(DnsPayload(said, stream=protocol == "TCP"), None, self.rtt, None)  # type: ignore[arg-type]


class Box:
    """What a Process sees of its machine, for tests without a network."""

    def __init__(self, transport: Any = None, draws: Mapping[str, int] | None = None):
        self.namespace, self.memory, self.now = "pod:kube-system/coredns", {}, 0.0
        self.transport, self.draws = transport, draws or {}

    def exchange(self, dst: str, port: int, protocol: str, payload: Any, timeout: float, source_port: int | None = None) -> Exchange:
        said = self.transport.exchange(self.namespace, dst, port, protocol, payload, timeout, source_port)
        self.now += said.elapsed
        return said

    def choose(self, weights: Any, chooser: str) -> int:
        return self.draws.get(chooser, 0) % len(weights)
