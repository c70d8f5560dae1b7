"""Policies as the rules that kube-router writes on one node: ipsets and the filter table.

The way of a packet: INPUT, FORWARD or OUTPUT -> KUBE-ROUTER-... -> KUBE-POD-FW-... of the sending or the receiving pod ->
KUBE-NWPLCY-... of each policy that selects it, which marks what it admits with 0x10000 -> what is not marked is rejected,
the rest gets 0x20000 and is accepted at the end. The chains must be loaded after kube-proxy's, for kube-router keeps its
jumps first: a masquerade mark would otherwise be accepted before it is judged.
Source: cloudnativelabs/kube-router v2 pkg/controllers/netpol/network_policy_controller.go, policy.go, pod.go; the shape was
compared with iptables-save of nodes that run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

from ..kernel.address import family, prefix
from ..objects.snapshot import Snapshot
from ..objects.views import Pod
from .index import IndexedPolicy, PolicyIndex, policy_index
from .kube_router_names import COMMON, DEFAULT, FORWARD, INPUT, OUTPUT, TOP, jump_id, pod_chain, policy_chain
from .kube_router_rules import actionable
from .kube_router_sets import MARK, policy_rules, quoted
from .peers import PodPeer

__all__ = ["CompiledPolicy", "rules"]

ACCEPTED = "0x20000/0x20000"

#: (protocol, option, type, comment) of what every pod may receive
_ICMP = {
    4: tuple(("icmp", "--icmp-type", t, c) for t, c in (
        ("echo-request", "echo requests"), ("destination-unreachable", "destination unreachable messages"),
        ("time-exceeded", "time exceeded messages"),
    )),
    6: tuple(("ipv6-icmp", "--icmpv6-type", t, c) for t, c in (
        ("echo-request", "echo requests"), ("destination-unreachable", "destination unreachable messages"),
        ("time-exceeded", "time exceeded messages"), ("neighbor-solicitation", "neighbor solicitation messages"),
        ("neighbor-advertisement", "neighbor advertisement messages"), ("echo-reply", "echo reply messages"),
    )),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """What kube-router hands to the kernel of one node.

    `ipset_text` is for `ipset restore` and comes first; the others for `iptables-restore --noflush` and
    `ip6tables-restore --noflush`, "" where the node lacks the family. `origins`: the name of a chain or set -> whose it is
    ("NetworkPolicy shop/deny", "Pod shop/web-1").
    """

    ipset_text: str
    iptables_text: str
    ip6tables_text: str
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def rules(
    snapshot: Snapshot,
    node: str,
    addresses: Sequence[str],
    *,
    service_cidrs: Iterable[str] = ("10.96.0.0/12",),
    node_port_range: tuple[int, int] = (30000, 32767),
    external_ip_ranges: Iterable[str] = (),
    load_balancer_ranges: Iterable[str] = (),
    stamp: str = "1",
) -> CompiledPolicy:
    """The policies of a snapshot as the rules of one node.

    `addresses` are the node's own: their families are those that are written, and a pod whose status.hostIP is one of them
    is local, as is a pod with spec.nodeName `node`. `stamp` stands for the time of the sync, which is part of every chain's
    name. Only local pods get chains; every policy gets one.
    """
    index = policy_index(snapshot)
    local = [
        PodPeer(p, snapshot.namespace_labels(p.namespace))
        for p in snapshot.list(Pod)
        if actionable(p) and (p.spec.node_name == node or (not p.spec.node_name and p.status.host_ip in addresses))
    ]
    texts = {4: "", 6: ""}
    families = tuple(sorted({family(a) for a in addresses}))
    everywhere = _everywhere(index, stamp, families)
    origins = dict(everywhere.origins)
    for ip_family in families:
        for pod in local:
            origins[pod_chain(pod.namespace, pod.pod.name, stamp)] = f"Pod {pod.key}"
        early = _early(ip_family, service_cidrs, node_port_range, external_ip_ranges, load_balancer_ranges)
        texts[ip_family] = _filter(index, _everywhere(index, stamp, (ip_family,)), local, early, stamp, ip_family)
    return CompiledPolicy(everywhere.sets, texts[4], texts[6], MappingProxyType(origins))


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """What is the same on every node: the policies' chains with their rules, the text of their sets, and whose they are."""

    chains: tuple[str, ...]
    lines: tuple[str, ...]
    sets: str
    origins: Mapping[str, str]


def _everywhere(index: PolicyIndex, stamp: str, families: tuple[int, ...]) -> _Everywhere:
    """Worked out once for each snapshot."""
    key = ("kube-router", stamp, families)
    if key not in index.memo:
        chains: list[str] = []
        lines: list[str] = []
        sets: list[str] = []
        origins: dict[str, str] = {}
        for ip_family in families:
            for policy in (p for ns in sorted(index.policies) for p in index.policies[ns]):
                one = policy_rules(index, policy, stamp, ip_family)
                chains.append(one.chain)
                lines += one.lines
                origins |= dict.fromkeys((one.chain, *one.sets), f"NetworkPolicy {policy.key}")
                for made in one.sets.values():
                    sets += made.lines()
        index.memo[key] = _Everywhere(tuple(chains), tuple(lines), "".join(f"{line}\n" for line in sets), MappingProxyType(origins))
    return cast(_Everywhere, index.memo[key])


def _early(
    ip_family: int, service_cidrs: Iterable[str], ports: tuple[int, int], external: Iterable[str], balancers: Iterable[str]
) -> list[str]:
    """KUBE-ROUTER-INPUT lets what is addressed to a Service go by: it will come again after DNAT, with the pod's address."""

    def line(spec: list[str]) -> str:
        mark = jump_id(INPUT, spec)
        at = spec.index("--comment") + 1
        spec = [*spec[:at], quoted(f"{spec[at]} - {mark}"), *spec[at + 1 :]]
        return f"-A {INPUT} {' '.join(spec)}"

    def ranges(texts: Iterable[str], comment: str) -> list[str]:
        return [
            line(["-m", "comment", "--comment", comment.format(prefix(t).text), "-d", prefix(t).text, "-j", "RETURN"])
            for t in texts
            if family(t) == ip_family
        ]

    out = ranges(service_cidrs, "allow traffic to primary/secondary cluster IP range")
    for protocol in ("tcp", "udp"):
        comment = f"allow LOCAL {protocol.upper()} traffic to node ports"
        out.append(line([
            "-p", protocol, "-m", "comment", "--comment", comment, "-m", "addrtype", "--dst-type", "LOCAL",
            "-m", "multiport", "--dports", f"{ports[0]}:{ports[1]}", "-j", "RETURN",
        ]))  # fmt: skip
    out += ranges(external, "allow traffic to external IP range: {}")
    return out + ranges(balancers, "allow traffic to load balancer IP range: {}")


def _filter(index: PolicyIndex, policies: _Everywhere, local: list[PodPeer], early: list[str], stamp: str, ip_family: int) -> str:
    chains = [*TOP.values(), DEFAULT, COMMON, *policies.chains]
    lines: list[str] = []
    for builtin, own in TOP.items():
        mark = jump_id(builtin, ["-m", "comment", "--comment", "kube-router netpol", "-j", own])
        lines.append(f'-I {builtin} 1 -m comment --comment "kube-router netpol - {mark}" -j {own}')
    lines += early
    lines += _common(ip_family)
    lines += policies.lines
    for pod in local:
        addresses = [a for a in pod.addresses if family(a) == ip_family]
        if addresses:
            chain = pod_chain(pod.namespace, pod.pod.name, stamp)
            chains.append(chain)
            lines += _pod(index, pod, addresses[0], chain, stamp, ip_family)
    for own in TOP.values():
        comment = quoted("rule to explicitly ACCEPT traffic that comply to network policies")
        lines.append(f"-A {own} -m comment --comment {comment} -m mark --mark {ACCEPTED} -j ACCEPT")
    return "\n".join(["*filter", *(f":{c} - [0:0]" for c in chains), *lines, "COMMIT", ""])


def _common(ip_family: int) -> list[str]:
    """KUBE-NWPLCY-COMMON: what holds for every pod and both directions. KUBE-NWPLCY-DEFAULT: a direction without a policy."""
    out = [
        f'-A {COMMON} -m comment --comment "rule to drop invalid state for pod" -m conntrack --ctstate INVALID -j DROP',
        f'-A {COMMON} -m comment --comment "rule for stateful firewall for pod" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ]
    for protocol, option, type_, what in _ICMP[ip_family]:
        out.append(f'-A {COMMON} -m comment --comment "allow icmp {what}" -p {protocol} {option} {type_} -j ACCEPT')
    return [*out, f'-A {DEFAULT} -m comment --comment "rule to mark traffic matching a network policy" -j MARK --set-xmark {MARK}']


def _pod(index: PolicyIndex, pod: PodPeer, address: str, chain: str, stamp: str, ip_family: int) -> list[str]:
    """The chain of one local pod, and the jumps to it. Rules are inserted at position 1: the last written runs first."""
    who = f"POD name:{pod.pod.name} namespace: {pod.namespace}"

    def first(comment: str, rest: str, match: str = "") -> str:
        return f"-I {chain} 1 {match}-m comment --comment {quoted(comment)} {rest}"

    def last(comment: str, rest: str) -> str:
        return f"-A {chain} -m comment --comment {quoted(comment)} {rest}"

    out = []
    selecting = [p for p in index.policies.get(pod.namespace, ()) if p.selects(pod) and (p.ingress or p.egress)]
    for policy in selecting:
        target = policy_chain(policy.namespace, policy.view.name, stamp, ip_family)
        out.append(first(f"run through nw policy {policy.view.name}", f"-j {target}", _side(policy, address)))
    if not any(p.ingress for p in selecting):
        out.append(first("run through default ingress network policy chain", f"-j {DEFAULT}", f"-d {address} "))
    if not any(p.egress for p in selecting):
        out.append(first("run through default egress network policy chain", f"-j {DEFAULT}", f"-s {address} "))
    out += [
        first(
            "rule to permit the traffic traffic to pods when source is the pod's local node",
            f"-m addrtype --src-type LOCAL -d {address} -j ACCEPT",
        ),
        first("run through common network policy chain", f"-j {COMMON}"),
    ]
    inbound = quoted(f"rule to jump traffic destined to {who} to chain {chain}")
    outbound = quoted(f"rule to jump traffic from {who} to chain {chain}")
    for top in (FORWARD, OUTPUT):
        out.append(f"-A {top} -m comment --comment {inbound} -d {address} -j {chain}")
    out.append(f"-A {FORWARD} -m physdev --physdev-is-bridged -m comment --comment {inbound} -d {address} -j {chain}")
    for top in TOP.values():
        out.append(f"-A {top} -m comment --comment {outbound} -s {address} -j {chain}")
    out.append(f"-A {FORWARD} -m physdev --physdev-is-bridged -m comment --comment {outbound} -s {address} -j {chain}")
    return [
        *out,
        last(
            f"rule to log dropped traffic {who}",
            f"-m mark ! --mark {MARK} -j NFLOG --nflog-group 100 -m limit --limit 10/minute --limit-burst 10",
        ),
        last(f"rule to REJECT traffic destined for {who}", f"-m mark ! --mark {MARK} -j REJECT"),
        f"-A {chain} -j MARK --set-mark 0/0x10000",
        last("set mark to ACCEPT traffic that comply to network policies", f"-j MARK --set-mark {ACCEPTED}"),
    ]


def _side(policy: IndexedPolicy, address: str) -> str:
    """A policy for one direction is run through for that direction's packets only; one for both, for all."""
    if policy.ingress and policy.egress:
        return ""
    return f"-d {address} " if policy.ingress else f"-s {address} "
