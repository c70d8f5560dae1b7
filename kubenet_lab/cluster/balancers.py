"""Load-balancer providers in a cluster: which one runs, what it programs, and which nodes a cloud's balancer finds healthy.

The nodes' neighbours see what a real provider makes them see: an ARP answer of the announcing node, or a machine with the address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from typing import Any

from ..errors import KubenetError
from ..ingress import HttpRequest, HttpResponse
from ..kernel.address import family
from ..kernel.ask import Question, put
from ..kernel.iptables import Ruleset
from ..kernel.namespace import Namespace
from ..kernel.network import ROUTER, Network
from ..kernel.state import State
from ..objects.snapshot import Snapshot
from ..objects.views import Node, Service
from ..services import CloudLoadBalancer, LoadBalancer, MetalLB, announcers, balancer_rules
from ..services.endpoint_view import join
from ..services.load_balancer import given, is_mine
from ..services.metallb_config import configured
from .options import Options
from .plan import Plan
from .proxy_health import HEALTHZ_PORT

__all__ = ["BALANCER", "program", "provider"]

#: the cloud's machine
BALANCER = "balancer"
#: the piece of a /24 node network that MetalLB is given where nothing is said
POOL = (240, 250)
#: lab seconds until a probe without an answer has failed
PATIENCE = 5.0


def provider(options: Options, plan: Plan, snapshot: Snapshot) -> LoadBalancer | None:
    """The provider with what the cluster fills in; None: nobody gives addresses, Services of type LoadBalancer stay pending.

    Where nothing is asked for, IPAddressPool objects show that MetalLB runs.
    """
    option = options.load_balancer_option
    if options.load_balancer == "auto" and configured(snapshot):
        return MetalLB()
    if isinstance(option, MetalLB) and not option.pool and not configured(snapshot):
        return replace(option, pool=tuple(_piece(c) for c in plan.segments[0].cidrs))
    return option


def _piece(cidr: str) -> str:
    net = ipaddress.ip_network(cidr)
    low, high = POOL if net.num_addresses >= 256 else (net.num_addresses // 2, net.num_addresses - 2)
    return f"{net.network_address + low}-{net.network_address + high}"


def program(network: Network, snapshot: Snapshot, plan: Plan, option: LoadBalancer | None) -> Callable[[], None]:
    """What the provider puts into the network. Gives what is to be called after a change by hand."""
    if isinstance(option, MetalLB):
        for ip, who in announcers(snapshot, option).items():
            ns = network.namespaces.get(who.node)
            for link in ns.links.values() if ns is not None else ():
                if link.kind == "physical" and (not who.interfaces or link.name in who.interfaces):
                    network.namespaces[who.node].announce(link.name, ip, origin=f"MetalLB speaker on {who.node}")
    elif isinstance(option, CloudLoadBalancer):
        return _machine(network, snapshot, plan, option)
    return lambda: None


def _machine(network: Network, snapshot: Snapshot, plan: Plan, option: CloudLoadBalancer) -> Callable[[], None]:
    """The balancer: a machine on the nodes' first segment that has every address which it gave; the router sends them there."""
    mine = [s for s in snapshot.list(Service) if is_mine(s, option.load_balancer_class)]
    vips = [ip for s in mine for ip in given(s)]
    if not vips:
        return lambda: None
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
    ns.set_sysctl("net.ipv4.ip_forward", 1)
    ns.set_sysctl("net.ipv6.conf.all.forwarding", 1)
    families = tuple(map(family, segment.cidrs))

    def balance(ns: Namespace) -> None:
        for fam in families:
            ns.use_ruleset(Ruleset(fam))  # the probes come from the machine itself: no rule of its own is in their way

        @cache
        def healthy(address: str, port: int) -> bool:
            request = HttpRequest.to(f"http://{join(address, port or HEALTHZ_PORT)}/healthz")
            probe = Question(BALANCER, address, port or HEALTHZ_PORT, "TCP", request, wait_answer=True, timeout=PATIENCE)
            answer = put(network, State(), probe, capture=False).answer
            return isinstance(answer, HttpResponse) and answer.status == 200

        try:
            texts = [(fam, balancer_rules(snapshot, option, healthy, fam)) for fam in families]
        except KubenetError:  # a probe cannot be walked: nor can what the balancer would do then
            ns.program_rules_with(balance)
            raise
        for fam, text in texts:
            ns.ruleset(fam).restore(text, noflush=True)
        ns.rules_changed()

    def probe() -> None:
        ns.program_rules_with(balance)
        ns.rules_changed()

    probe()
    return probe


def _free(net: Any, taken: Collection[str]) -> str:
    """The highest address of the node network that nobody has."""
    top = int(net.broadcast_address) - 1
    for number in range(top, int(net.network_address), -1):
        if (text := str(ipaddress.ip_address(number))) not in taken:
            return text
    raise KubenetError(f"node network {net}: no free address for the cloud's balancer")
