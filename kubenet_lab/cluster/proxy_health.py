"""kube-proxy's HTTP servers on a node: its own health on 10256, one for each healthCheckNodePort (balancers ask them), its mode on 10249.

Source: Kubernetes 1.34, pkg/proxy/healthcheck/{proxy_health,service_health}.go; cmd/kube-proxy/app/server.go (serveMetrics);
KEP-3836 (nodeEligible).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotModelled
from ..ingress import HttpRequest, HttpResponse
from ..kernel.namespace import Listener
from ..kernel.network import Network
from ..kernel.process import Answer, Machine, Message
from ..objects.stamps import timestamp
from ..objects.views import Node
from ..services import HealthCheck, KubeProxy, NodeView, ServicePort, health_checks
from ..services.kube_proxy import FAMILIES, node_port_addresses

__all__ = ["HEALTHZ_PORT", "HealthServer", "ProxyHealth", "bind_health_servers", "eligible"]

#: healthzBindAddress 0.0.0.0:10256
HEALTHZ_PORT = 10256
#: metricsBindAddress 127.0.0.1:10249
METRICS_PORT = 10249
#: the taint of a node that the cluster autoscaler is about to take away
TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
_PLAIN = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
_JSON = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))


def eligible(node: Node) -> bool:
    """Whether new connections should come to this node: it is neither going nor about to."""
    return node.metadata.deletion_timestamp is None and all(t.key != TO_BE_DELETED for t in node.spec.taints)


def _answer(request: HttpRequest, status: int, headers: tuple[tuple[str, str], ...], body: str) -> Answer:
    return Answer(HttpResponse(status, headers, b"" if request.method == "HEAD" else body.encode()))


def _not_found(request: HttpRequest) -> Answer:
    return _answer(request, 404, _PLAIN, "404 page not found\n")


class _Server:
    """What speaks HTTP only: `reply` to a request and its path."""

    __slots__ = ()

    def handle(self, message: Message, machine: Machine) -> Answer:
        request = message.payload
        if not isinstance(request, HttpRequest):
            headers = (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close"))
            return Answer(HttpResponse(400, headers, b"400 Bad Request"))
        return self.reply(request, request.target.partition("?")[0], machine)

    def reply(self, request: HttpRequest, path: str, machine: Machine) -> Answer:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ProxyHealth(_Server):
    """/healthz: is this node to get connections; /livez: does kube-proxy work, family by family. The lab's is never late with its rules."""

    node_eligible: bool
    name: str = "kube-proxy"

    def reply(self, request: HttpRequest, path: str, machine: Machine) -> Answer:
        if path not in ("/healthz", "/livez"):
            return _not_found(request)
        now = timestamp(machine.now)
        told: dict[str, Any] = {"lastUpdated": now, "currentTime": now}
        if path == "/healthz":
            told["nodeEligible"] = self.node_eligible
        told["healthy"] = True  # the rules are; whether the node is to get connections is another matter
        told["status"] = {f"IPv{f}": {"lastUpdated": now, "healthy": True} for f in FAMILIES}
        good = path == "/livez" or self.node_eligible
        return _answer(request, 200 if good else 503, _JSON, json.dumps(told, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class ProxyMetrics(_Server):
    """/proxyMode: "iptables" or "nftables", by which people find out; /healthz: that the server answers. The metrics are not modelled."""

    mode: str
    name: str = "kube-proxy"

    def reply(self, request: HttpRequest, path: str, machine: Machine) -> Answer:
        if path == "/metrics":
            raise NotModelled("kube-proxy's metrics")
        told = {"/proxyMode": self.mode, "/healthz": "ok"}.get(path)
        return _not_found(request) if told is None else _answer(request, 200, _PLAIN, told)


@dataclass(frozen=True, slots=True)
class HealthServer(_Server):
    """A healthCheckNodePort: 200 with the number of ready endpoints on this node, 503 where there is none; whatever the path."""

    check: HealthCheck
    name: str = "kube-proxy"

    def reply(self, request: HttpRequest, path: str, machine: Machine) -> Answer:
        namespace, _, name = self.check.service.partition("/")
        service = f'{{\n\t\t"namespace": "{namespace}",\n\t\t"name": "{name}"\n\t}}'
        body = f'{{\n\t"service": {service},\n\t"localEndpoints": {self.check.local_endpoints},\n\t"serviceProxyHealthy": true\n}}'
        weight = ("X-Load-Balancing-Endpoint-Weight", str(self.check.local_endpoints))
        return _answer(request, self.check.status, (*_JSON, weight), body)


def bind_health_servers(
    network: Network, ports: Callable[[int], Sequence[ServicePort]], nodes: Iterable[Node], options: KubeProxy
) -> None:  # fmt: skip
    """The listeners of every node. What a pod in the node's network has taken already stays its. `ports`: what is proxied in a family.

    Each family has a health server of its own, which counts that family's endpoints. Both listen on every address (then IPv4's has
    the port, and IPv6's finds it taken), unless nodePortAddresses says otherwise.
    """
    for node in nodes:
        ns = network.namespaces[node.name]
        owner = f"node:{node.name}"
        if ns.listener("TCP", "", HEALTHZ_PORT) is None:
            ns.listen(Listener("TCP", HEALTHZ_PORT, ProxyHealth(eligible(node)), owner))
        if ns.listener("TCP", "127.0.0.1", METRICS_PORT) is None:
            ns.listen(Listener("TCP", METRICS_PORT, ProxyMetrics(options.mode), owner, "127.0.0.1"))
        view = NodeView.of(node, [a.ip for dev, a in ns.addresses() if dev != "lo"])
        for family in FAMILIES:
            for check in health_checks(ports(family), view, family):
                given = node_port_addresses(options, view, family)
                for address in ("",) if given is None else given:
                    if ns.listener("TCP", address, check.port) is None:
                        ns.listen(Listener("TCP", check.port, HealthServer(check), owner, address))
