"""How kube-router's compiled rules meet a packet, where that differs from the API text.

It turns each rule into address sets before anything is matched, and keeps one chain per policy for both directions. Four
things follow. The ipBlocks of one rule share one hash:net set, so the longest prefix decides, across its entries. A named
egress port is resolved among the pods of the rule's peers, without peers among the pods of the policy's own namespace, and
is ignored for ipBlocks. A rule for pods whose port names nobody declares is written without ports, and opens them all
(the test there is for two empty lists, not for an absent `ports`). A policy for both directions is run through for every
packet of its pods, so its ingress rules can admit what leaves, if the other end is one of its pods too.
Source: cloudnativelabs/kube-router pkg/controllers/netpol/policy.go (buildNetworkPoliciesInfo, processIngressRules,
processEgressRules, evalIPBlockPeer), pod.go (setupPodNetpolRules).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from ..kernel.address import Prefix, prefix
from ..objects.views import Pod
from .index import Direction, IndexedPeer, IndexedPolicy, IndexedRule, PolicyIndex
from .peers import PodPeer
from .question import ANY, Hit, Question, governed

__all__ = ["actionable", "actionable_pods", "block_entries", "foreign_hit", "holders", "set_hit", "unknown_names"]

#: (entry of `ports`, protocol, number) -> pods
Holders = dict[tuple[int, str, int], tuple[PodPeer, ...]]


def actionable(pod: Pod) -> bool:
    """Pods that kube-router knows: with an address, in the pod network, not finished."""
    return not pod.terminated and not pod.spec.host_network and bool(pod.ips)


def block_entries(peers: tuple[IndexedPeer, ...], ip_family: int) -> dict[Prefix, bool]:
    """The hash:net set of a rule's ipBlocks: prefix -> True (match) or False (nomatch); a later entry replaces an equal one.

    A set cannot hold a /0: IPv4 is written as its two halves, IPv6 as 2000::/3 and fd00::/8.
    """
    entries: dict[Prefix, bool] = {}
    for peer in peers:
        if peer.block is not None and peer.block.family == ip_family:
            for cidr, match in ((peer.block, True), *((e, False) for e in peer.excepts)):
                for part in _without_zero(cidr):
                    entries[part] = match
    return entries


def _without_zero(cidr: Prefix) -> tuple[Prefix, ...]:
    if cidr.length:
        return (cidr,)
    return tuple(prefix(t) for t in (("0.0.0.0/1", "128.0.0.0/1") if cidr.family == 4 else ("2000::/3", "fd00::/8")))


def _in_set(entries: dict[Prefix, bool], address: str) -> bool:
    """hash:net: the longest prefix that holds the address says yes or no."""
    best = max((p for p in entries if address in p), key=lambda p: p.length, default=None)
    return best is not None and entries[best]


def actionable_pods(index: PolicyIndex, namespace: str | None = None) -> tuple[PodPeer, ...]:
    """The pods that kube-router knows, of one namespace or all, by (namespace, name)."""
    key = ("actionable", namespace)
    if key not in index.memo:
        pods = index.snapshot.list(Pod, namespace)
        index.memo[key] = tuple(PodPeer(p, index.snapshot.namespace_labels(p.namespace)) for p in pods if actionable(p))
    return cast("tuple[PodPeer, ...]", index.memo[key])


def holders(index: PolicyIndex, rule: IndexedRule) -> Holders:
    """What the names in a rule's `ports` mean: (entry, protocol, number) -> the pods on which the name means that number.

    The pods that are looked at: of ingress those that the policy selects, of egress those that the rule's selectors mean,
    without `to` those of the policy's namespace.
    """
    key = ("holders", rule)
    if key not in index.memo:
        policy = rule.policy
        if rule.direction == "ingress":
            pods: Iterable[PodPeer] = (p for p in actionable_pods(index, policy.namespace) if policy.selects(p))
        elif rule.peers:
            pods = (p for p in actionable_pods(index) if any(peer.selects(p) for peer in rule.peers))
        else:
            pods = actionable_pods(index, policy.namespace)
        among = tuple(pods) if any(p.name is not None for p in rule.ports) else ()
        found: Holders = {}
        for port in rule.ports:
            numbers = {n for pod in among for n in index.numbers(pod, port.name or "", port.protocol)} if port.name is not None else ()
            for number in sorted(numbers):
                held = tuple(p for p in among if number in index.numbers(p, port.name or "", port.protocol))
                found[port.number, port.protocol, number] = held
        index.memo[key] = found
    return cast("Holders", index.memo[key])


def unknown_names(index: PolicyIndex, rule: IndexedRule) -> bool:
    """`ports` holds names only, and no pod that is looked at declares any: the rule for pods is then written without ports."""
    return bool(rule.ports) and all(p.name is not None for p in rule.ports) and not holders(index, rule)


def _ports(q: Question, rule: IndexedRule, named: str) -> int | None:
    """The first port entry that admits. `named`: where the pods with the name count: "dst", "anywhere" or "nowhere"."""
    if not rule.ports or named == "unknown":
        return ANY
    for port in rule.ports:
        if port.holds(q.protocol, q.port):
            return port.number
    if named != "nowhere":
        for (entry, protocol, number), pods in holders(q.index, rule).items():
            if protocol == q.protocol and number == q.port and (named == "anywhere" or q.dst in pods):
                return entry
    return None


def _choices(q: Question, rule: IndexedRule) -> Iterator[tuple[int, str]]:
    """(peer index, where port names count) of each way the rule's sets hold the other end."""
    ingress = rule.direction == "ingress"
    other = q.src if ingress else q.dst
    if not rule.peers:
        yield ANY, "dst" if ingress else "anywhere"
        return
    if isinstance(other, PodPeer) and not governed(other, q.engine):
        for peer in rule.peers:
            if peer.selects(other):
                yield peer.number, "unknown" if unknown_names(q.index, rule) else "dst"
    address = q.src_address if ingress else q.dst_address
    if address is not None and any(p.kind == "ipBlock" for p in rule.peers):
        ip_family = 6 if ":" in address else 4
        if _in_set(block_entries(rule.peers, ip_family), address):
            holder = next((p for p in rule.peers if p.contains(address)), None)
            number = holder.number if holder else next(p.number for p in rule.peers if p.kind == "ipBlock")
            yield number, "dst" if ingress else "nowhere"


def set_hit(q: Question, rule: IndexedRule) -> Hit | None:
    """Does the compiled rule mark the packet? Its own pods are on the side of its direction: the caller has seen to that."""
    for peer, named in _choices(q, rule):
        if (port := _ports(q, rule, named)) is not None:
            return peer, port
    return None


def foreign_hit(q: Question, policy: IndexedPolicy, direction: Direction) -> tuple[IndexedRule, Hit] | None:
    """A rule of the OTHER direction that marks the packet while `direction` is judged, because the policy serves both."""
    if not (policy.ingress and policy.egress):
        return None
    target = q.dst if direction == "egress" else q.src
    if not isinstance(target, PodPeer) or governed(target, q.engine) or not policy.selects(target):
        return None
    for rule in policy.rules["ingress" if direction == "egress" else "egress"]:
        if (hit := set_hit(q, rule)) is not None:
            return rule, hit
    return None
