"""Load-balancer providers in a cluster: which one runs, what it programs, and the health checks that balancers ask for.

The nodes' neighbours see what a real provider makes them see: an ARP answer of the announcing node, or a machine with the address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import KubenetError
from ..ingress import HttpRequest, HttpResponse
from ..kernel.namespace import Listener
from ..kernel.network import ROUTER, Network
from ..kernel.process import Answer, Machine, Message
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Service
from ..services import CloudLoadBalancer, HealthCheck, KubeProxy, LoadBalancer, MetalLB, NodeView, announcers, balancer_rules, health_checks
from ..services.kube_proxy import node_port_addresses
from ..services.load_balancer import given, is_mine
from .names import node_address
from .plan import Plan

__all__ = ["BALANCER", "HealthServer", "bind_health_checks", "program", "provider"]

#: the cloud's machine
BALANCER = "balancer"
#: the piece of a /24 node network that MetalLB is given where nothing is said
POOL = (240, 250)


def provider(option: MetalLB | CloudLoadBalancer | None, plan: Plan) -> LoadBalancer | None:
    """The provider with what the cluster fills in; None: nobody gives addresses, Services of type LoadBalancer stay pending."""
    if isinstance(option, MetalLB) and not option.pool:
        return replace(option, pool=tuple(_piece(c) for c in plan.segments[0].cidrs))
    return option


def _piece(cidr: str) -> str:
    net = ipaddress.ip_network(cidr)
    low, high = POOL if net.num_addresses >= 256 else (net.num_addresses // 2, net.num_addresses - 2)
    return f"{net.network_address + low}-{net.network_address + high}"


def program(network: Network, snapshot: Snapshot, plan: Plan, option: LoadBalancer | None) -> None:
    """What the provider puts into the network."""
    if isinstance(option, MetalLB):
        for ip, name in announcers(snapshot, option).items():
            ns = network.namespaces.get(name)
            for dev in [k.name for k in ns.links.values() if k.kind == "physical"] if ns is not None else ():
                network.namespaces[name].announce(dev, ip, origin=f"MetalLB speaker on {name}")
    elif isinstance(option, CloudLoadBalancer):
        _machine(network, snapshot, plan, option)


def _machine(network: Network, snapshot: Snapshot, plan: Plan, option: CloudLoadBalancer) -> None:
    """The balancer: a machine on the nodes' first segment that has every address which it gave; the router sends them there."""
    mine = [s for s in snapshot.list(Service) if is_mine(s, option.load_balancer_class)]
    vips = [ip for s in mine for ip in given(s)]
    if not vips:
        return
    segment = plan.segments[0]
    taken = {a.address for n in snapshot.list(Node) for a in n.status.addresses} | {plan.api_server}
    taken |= {g.split("/")[0] for g in segment.gateways}
    network.add_host(BALANCER, "external").root.label = "the cloud's balancer"
    network.plug(BALANCER, segment.name, "eth0")
    ns = network.namespaces[BALANCER]
    for cidr in segment.cidrs:
        net, six = ipaddress.ip_network(cidr), ":" in cidr
        own = _free(net, taken)
        ns.add_address("eth0", f"{own}/{net.prefixlen}")
        ns.add_route("::/0" if six else "default", via=segment.gateway(6 if six else 4))
        for ip in (v for v in vips if (":" in v) == six):
            ns.add_address("lo", f"{ip}/{net.max_prefixlen}")
            network.namespaces[ROUTER].add_route(f"{ip}/{net.max_prefixlen}", via=own, dev=segment.name)
        if own:
            ns.ruleset(6 if six else 4).restore(balancer_rules(snapshot, option, 6 if six else 4), noflush=True)
    ns.set_sysctl("net.ipv4.ip_forward", 1)
    ns.set_sysctl("net.ipv6.conf.all.forwarding", 1)


def _free(net: Any, taken: Collection[str]) -> str:
    """The highest address of the node network that nobody has."""
    top = int(net.broadcast_address) - 1
    for number in range(top, int(net.network_address), -1):
        if (text := str(ipaddress.ip_address(number))) not in taken:
            return text
    raise KubenetError(f"node network {net}: no free address for the cloud's balancer")


@dataclass(frozen=True, slots=True)
class HealthServer:
    """kube-proxy's HTTP server on a healthCheckNodePort. Source: Kubernetes 1.34, pkg/proxy/healthcheck/service_health.go."""

    check: HealthCheck
    name: str = "kube-proxy"

    def handle(self, message: Message, machine: Machine) -> Answer:
        if not isinstance(message.payload, HttpRequest):
            return Answer(HttpResponse(400, (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")), b"400 Bad Request"))
        namespace, _, name = self.check.service.partition("/")
        service = f'{{\n\t\t"namespace": "{namespace}",\n\t\t"name": "{name}"\n\t}}'
        body = f'{{\n\t"service": {service},\n\t"localEndpoints": {self.check.local_endpoints},\n\t"serviceProxyHealthy": true\n}}'
        headers = (
            ("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"),
            ("X-Load-Balancing-Endpoint-Weight", str(self.check.local_endpoints)),
        )  # fmt: skip
        return Answer(HttpResponse(self.check.status, headers, b"" if message.payload.method == "HEAD" else body.encode()))


def bind_health_checks(network: Network, snapshot: Snapshot, nodes: Iterable[Node], options: KubeProxy) -> None:
    """A listener on every node for each healthCheckNodePort."""
    for node in nodes:
        ns = network.namespaces[node.name]
        family = 4 if node_address(node) else 6
        view = NodeView.of(node, [a.ip for dev, a in ns.addresses() if dev != "lo"])
        for check in health_checks(snapshot, view, family):
            for address in node_port_addresses(options, view, family) or ("",):
                if ns.listener("TCP", address, check.port) is None:
                    ns.listen(Listener("TCP", check.port, HealthServer(check), f"node:{node.name}", address))
