"""Faults planted in the model: wrong beliefs about Services (what kube-proxy writes) and about the kernel (what a packet meets)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kubenet_lab.cluster import stale_flows
from kubenet_lab.kernel.conntrack import Conntrack
from kubenet_lab.kernel.hooks import Skb
from kubenet_lab.kernel.nftables import selectors
from kubenet_lab.services import endpoint_view, iptables_port, iptables_proxy, nftables_port, nftables_proxy
from kubenet_lab.services.iptables_port import PortRules
from kubenet_lab.services.nftables_base import Transaction
from kubenet_lab.services.nftables_port import PortElements
from tests.kernel_lab import planted as kernel

Plant = Callable[[pytest.MonkeyPatch], None]
BOTH = ("iptables", "nftables")


@dataclass(frozen=True)
class Fault:
    belief: str
    plant: Plant
    modes: tuple[str, ...] = BOTH


WRITING: list[Fault] = []
WALKING: list[Fault] = []
CHANGING: list[Fault] = []
ALLOWING: list[Fault] = []


def fault(belief: str, *modes: str, into: list[Fault] = WRITING) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        into.append(Fault(belief, plant, modes or BOTH))
        return plant

    return register


def _wrap(m: pytest.MonkeyPatch, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    m.setattr(owner, name, make(getattr(owner, name)))


def _ports(m: pytest.MonkeyPatch, change: Callable[..., Any]) -> None:
    """Every Service port as kube-proxy sees it, changed."""
    _wrap(m, endpoint_view, "_ports", lambda real: lambda service, fam: [change(p, service) for p in real(service, fam)])


def _endpoints(m: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    _wrap(m, endpoint_view, "proxy_endpoint", lambda real: lambda e, port: change(real(e, port)))


def _without(m: pytest.MonkeyPatch, iptables: str, nft: str) -> None:
    """Rules that say this are never written."""
    _wrap(m, PortRules, "_nat", lambda real: lambda self, rule: None if iptables and iptables in rule else real(self, rule))

    def make(real: Any) -> Any:
        def rule(self: Any, chain: str, *words: Any, **more: Any) -> None:
            said = " ".join(map(str, words))
            if not (nft and chain.startswith(nft.split("|")[0]) and nft.split("|")[1] in said):
                real(self, chain, *words, **more)

        return rule

    _wrap(m, Transaction, "rule", make)


# ------------------------------------------------------------------------------------------------- what kube-proxy writes
@fault("terminating endpoints never serve")
def never_terminating(m: pytest.MonkeyPatch) -> None:
    _endpoints(m, lambda e: replace(e, serving=e.ready))


@fault("terminating endpoints serve beside ready ones")
def beside(m: pytest.MonkeyPatch) -> None:
    _endpoints(m, lambda e: replace(e, ready=e.ready or (e.serving and e.terminating)))


@fault("readiness does not matter")
def always_ready(m: pytest.MonkeyPatch) -> None:
    _endpoints(m, lambda e: replace(e, ready=True))


@fault("hints are ignored")
def no_hints(m: pytest.MonkeyPatch) -> None:
    m.setattr(endpoint_view, "topology_mode", lambda endpoints, node, zone: "")


@fault("internalTrafficPolicy is ignored")
def no_internal(m: pytest.MonkeyPatch) -> None:
    _ports(m, lambda p, service: replace(p, internal_policy_local=False))


@fault("externalTrafficPolicy is ignored")
def no_external(m: pytest.MonkeyPatch) -> None:
    _ports(m, lambda p, service: replace(p, external_policy_local=False))


@fault("source ranges are ignored")
def no_ranges(m: pytest.MonkeyPatch) -> None:
    _ports(m, lambda p, service: replace(p, load_balancer_source_ranges=()))


@fault("ipMode Proxy is as good as VIP", "iptables")
def proxy_is_vip(m: pytest.MonkeyPatch) -> None:
    def change(p: Any, service: Any) -> Any:
        six = ":" in p.cluster_ip
        return replace(p, load_balancer_vips=tuple(i.ip for i in service.status.load_balancer.ingress if (":" in i.ip) == six))

    _ports(m, change)


@fault("policy Local takes any endpoint where the node has none")
def falls_back(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def categorize(port: Any, node: Any) -> Any:
            found = real(port, node)
            return found if found.local or not found.cluster else replace(found, local=found.cluster)

        return categorize

    for module in (iptables_port, nftables_port):
        _wrap(m, module, "categorize", make)


@fault("policy Local holds for the cluster's own pods, too")
def nobody_is_a_pod(m: pytest.MonkeyPatch) -> None:
    for module in (iptables_proxy, nftables_proxy):
        m.setattr(module, "local_detector", lambda options, node, family: None)


@fault("a pod that meets itself keeps its address")
def no_hairpin(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        return lambda self, rule: None if rule.endswith("-j KUBE-MARK-MASQ") and " -s " in rule else real(self, rule)

    _without(m, "", "endpoint-|saddr")
    _wrap(m, PortRules, "_nat", make)


@fault("who comes from outside keeps its address")
def not_masked(m: pytest.MonkeyPatch) -> None:
    _without(m, "masquerade traffic for", "external-|jump mark-for-masquerade")


@fault("masqueradeAll and clusterCIDR mask nobody")
def internal_not_masked(m: pytest.MonkeyPatch) -> None:
    for owner in (PortRules, PortElements):
        m.setattr(owner, "_mark_internal", lambda self, chain: None)


@fault("without an endpoint there is silence", "iptables")
def silence(m: pytest.MonkeyPatch) -> None:
    _wrap(m, PortRules, "_refuse", lambda real: lambda self, has_any: (real(self, has_any)[0], "DROP"))


@fault("a node without an endpoint refuses", "iptables")
def refuses(m: pytest.MonkeyPatch) -> None:
    _wrap(m, PortRules, "_refuse", lambda real: lambda self, has_any: (real(self, has_any)[0], "REJECT"))


@fault("each rule takes one of all, not one of what is left", "iptables")
def uneven(m: pytest.MonkeyPatch) -> None:
    m.setattr(iptables_port, "probability", lambda n: f"{1 / (n + 1):.10f}")


# ---------------------------------------------------------------------------------------------------- what a packet meets
fault("masquerade takes the node's address", into=WALKING)(kernel.node_address)
fault("bridged packets do not meet iptables", into=WALKING)(kernel.no_br_netfilter)
fault("ICMP errors are not un-NATed", into=WALKING)(kernel.errors_as_they_are)
fault("an unanswered ARP request is silence", into=WALKING)(kernel.silent_arp)


@fault("a packet without a device is on no side of a comparison of devices", "nftables", into=WALKING)
def no_device(m: pytest.MonkeyPatch) -> None:
    kind, _, layer = selectors._FIELDS["meta iifname"]
    m.setitem(selectors._FIELDS, "meta iifname", (kind, lambda c: c.indev or None, layer))


@fault("chance always takes the first", into=WALKING)
def no_chance(m: pytest.MonkeyPatch) -> None:
    from kubenet_lab.cluster import connect

    _wrap(m, connect, "all_outcomes", lambda real: lambda *a: [(1, real(*a)[0][1])])


# -------------------------------------------------------------------------------------------------------- when things change
@fault("kube-proxy cleans no UDP flow", into=CHANGING)
def nothing_cleaned(m: pytest.MonkeyPatch) -> None:
    m.setattr(stale_flows, "stale_entries", lambda ports, entries, node: [])


@fault("kube-proxy cleans every UDP flow", into=CHANGING)
def everything_cleaned(m: pytest.MonkeyPatch) -> None:
    m.setattr(stale_flows, "stale_entries", lambda ports, entries, node: list(entries))


@fault("new rules end every flow", into=CHANGING)
def all_flows_end(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def new(state: Any, network: Any) -> None:
            real(state, network)
            for kind in ("ct", "ct-entries"):
                state.forget(kind)

        return new

    _wrap(m, stale_flows, "rules_are_new", make)


# ------------------------------------------------------------------------------------- what allows more than the kernel does
fault("terminating endpoints serve beside ready ones", into=ALLOWING)(beside)
fault("readiness does not matter", into=ALLOWING)(always_ready)


@fault("affinity is forgotten", into=ALLOWING)
def no_affinity(m: pytest.MonkeyPatch) -> None:
    for memory in ("recent", "nft_set"):
        m.setattr(Skb, memory, lambda self, name: {})


@fault("each datagram is balanced anew", into=ALLOWING)
def no_udp_flows(m: pytest.MonkeyPatch) -> None:
    def make(real: Any) -> Any:
        def find(self: Any, t: Any) -> Any:
            found = real(self, t)
            if found is None or found[1] or t.proto != "UDP" or not found[0].seen_reply:
                return found
            self.delete(found[0])
            return None

        return find

    _wrap(m, Conntrack, "find", make)
