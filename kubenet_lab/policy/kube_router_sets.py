"""The rules of one policy as kube-router writes them: address sets and the marks they give.

Each of a policy's rules becomes a pair of iptables rules per port and kind of peer: the first sets mark 0x10000, the second
returns what is marked. Nothing is accepted here: the pod's own chain looks at the mark.
Source: cloudnativelabs/kube-router pkg/controllers/netpol/policy.go (syncNetworkPolicyChains, processIngressRules,
processEgressRules, appendRuleToPolicyChain), utils.go (createPodWithPortPolicyRule).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from ..kernel.address import family
from .index import Direction, IndexedPolicy, IndexedPort, IndexedRule, PolicyIndex
from .kube_router_names import block_set, named_port_set, peer_set, policy_chain, target_set
from .kube_router_rules import actionable_pods, block_entries, holders
from .peers import PodPeer

__all__ = ["AddressSet", "PolicyRules", "policy_rules", "quoted"]

MARK = "0x10000/0x10000"
Port = tuple[str, str, str]  # protocol, port, end port; "" for none


@dataclass(slots=True)
class AddressSet:
    """One ipset: `entries` maps an address or prefix to its options ("" or "nomatch")."""

    name: str
    type: str  # "hash:ip" or "hash:net"
    ip_family: int
    entries: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """As `ipset save` prints it, and `ipset restore` reads it."""
        net = "inet6" if self.ip_family == 6 else "inet"
        head = f"create {self.name} {self.type} family {net} hashsize 1024 maxelem 65536 timeout 0"
        return [head, *(f"add {self.name} {e} timeout 0{f' {o}' if o else ''}" for e, o in self.entries.items())]


@dataclass(slots=True)
class PolicyRules:
    """What one policy becomes in one address family."""

    policy: IndexedPolicy
    chain: str
    sets: dict[str, AddressSet] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def set(self, name: str, type: str, ip_family: int, entries: Iterable[str]) -> str:
        if name not in self.sets:
            self.sets[name] = AddressSet(name, type, ip_family)
        self.sets[name].entries = dict.fromkeys(entries, "")
        return name

    def mark(self, comment: str, src: str, dst: str, port: Port) -> None:
        """Two rules: mark what matches, and return what is marked."""
        protocol, low, high = port
        match = f"-A {self.chain} -m comment --comment {quoted(comment)}"
        if src:
            match += f" -m set --match-set {src} src"
        if dst:
            match += f" -m set --match-set {dst} dst"
        if protocol:
            match += f" -p {protocol.lower()}"
        if low:
            match += f" --dport {low}:{high}" if high else f" --dport {low}"
        self.lines += [f"{match} -j MARK --set-xmark {MARK}", f"{match} -m mark --mark {MARK} -j RETURN"]


EVERY: Port = ("", "", "")
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")


def quoted(comment: str) -> str:
    """A comment as iptables-restore reads it; xt_comment holds 255 bytes."""
    text = comment.encode()[:255].decode(errors="ignore").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def policy_rules(index: PolicyIndex, policy: IndexedPolicy, stamp: str, ip_family: int) -> PolicyRules:
    """One policy's chain and sets in one family (4 or 6)."""
    ns, name = policy.namespace, policy.view.name
    out = PolicyRules(policy, policy_chain(ns, name, stamp, ip_family))
    targets = [p for p in actionable_pods(index, ns) if policy.selects(p)]
    for direction in DIRECTIONS:
        if policy.in_force(direction):
            addresses = (a for p in targets for a in _of(p, ip_family))
            mine = out.set(target_set(ns, name, direction, ip_family), "hash:ip", ip_family, addresses)
            for rule in policy.rules[direction]:
                _rule(out, index, rule, mine, targets, ip_family)
    return out


def _of(pod: PodPeer, ip_family: int) -> list[str]:
    return [a for a in pod.addresses if family(a) == ip_family]


def _selected(index: PolicyIndex, rule: IndexedRule, ip_family: int) -> tuple[bool, tuple[str, ...]]:
    """Do the rule's peers mean any pod? And the first address of the family of each: upstream puts no other into a rule's set.

    Many rules say the same, and are worked out once.
    """
    key = ("kube-router peers", ip_family, *(p.meaning for p in rule.peers))
    if key not in index.memo:
        pods = [p for p in actionable_pods(index) if any(peer.selects(p) for peer in rule.peers)]
        index.memo[key] = (bool(pods), tuple(dict.fromkeys(a[0] for p in pods if (a := _of(p, ip_family)))))
    return cast("tuple[bool, tuple[str, ...]]", index.memo[key])


def _rule(out: PolicyRules, index: PolicyIndex, rule: IndexedRule, mine: str, targets: list[PodPeer], ip_family: int) -> None:
    ns, name, direction, n = out.policy.namespace, out.policy.view.name, rule.direction, rule.number
    ingress = direction == "ingress"
    others, firsts = _selected(index, rule, ip_family)
    plain = [_port(p) for p in rule.ports if p.name is None]
    named = [((p, str(n), ""), [a for pod in pods for a in _of(pod, ip_family)]) for (_, p, n), pods in holders(index, rule).items()]

    def mark(comment: str, other: str, port: Port) -> None:
        out.mark(comment, other if ingress else mine, mine if ingress else other, port)

    def mark_named(comment: str, other: str, type: str) -> None:
        """A name means numbers on some pods: the set of those pods stands for the destination."""
        for entry, (port, addresses) in enumerate(named):
            held = out.set(named_port_set(ns, name, direction, n, entry, ip_family), type, ip_family, addresses)
            out.mark(comment, other if ingress else mine, held, port)

    tail = f"policy name {name} namespace {ns}"
    if others:
        other = out.set(peer_set(ns, name, direction, n, ip_family), "hash:ip", ip_family, firsts)
        comment = f"rule to ACCEPT traffic from source pods to dest pods selected by {tail}"
        for port in plain:
            mark(comment, other, port)
        mark_named(comment, other, "hash:ip")
        if not plain and not named:  # also where every name of `ports` is unknown: see kube_router_rules
            mark(comment, other, EVERY)
    tail = f"policy name: {name} namespace {ns}"
    if not rule.peers:
        way = "all sources to dest pods" if ingress else "source pods to all destinations"
        comment = f"rule to ACCEPT traffic from {way} selected by {tail}"
        for port in plain:
            mark(comment, "", port)
        if ingress:
            mark_named(comment, "", "hash:ip")
        else:
            for port, _ in named:
                mark(comment, "", port)
        if not rule.ports:
            mark(comment, "", EVERY)
    if blocks := block_entries(rule.peers, ip_family):
        block = out.set(block_set(ns, name, direction, n, ip_family), "hash:net", ip_family, ())
        out.sets[block].entries = {p.text: "" if match else "nomatch" for p, match in blocks.items()}
        way = "specified ipBlocks to dest pods" if ingress else "source pods to specified ipBlocks"
        comment = f"rule to ACCEPT traffic from {way} selected by {tail}"
        for port in plain:
            mark(comment, block, port)
        if ingress:
            mark_named(comment, block, "hash:net")
        if not rule.ports:
            mark(comment, block, EVERY)


def _port(port: IndexedPort) -> Port:
    if port.low is None:
        return port.protocol, "", ""
    return port.protocol, str(port.low), str(port.high) if port.high != port.low else ""
