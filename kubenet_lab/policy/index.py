"""The policies of one snapshot, made ready for fast questions.

Selectors are evaluated once per pod and kept; CIDRs are parsed once. Nothing here knows of engines.
Source: kubernetes/api networking/v1 types.go, field by field.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, cast

from ..kernel.address import Prefix, prefix
from ..objects.selectors import matches
from ..objects.snapshot import Snapshot
from ..objects.views import LabelSelector, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule
from .peers import PodPeer

__all__ = [
    "Direction", "IndexedPeer", "IndexedPolicy", "IndexedPort", "IndexedRule", "PolicyIndex", "named_ports", "policy_index",
    "types_in_force",
]  # fmt: skip

Direction = Literal["ingress", "egress"]
NamedPorts = dict[tuple[str, str], tuple[int, ...]]


def types_in_force(policy: NetworkPolicy) -> tuple[bool, bool]:
    """(ingress, egress): does this policy isolate in that direction?

    Without policyTypes: Ingress always, Egress if there is at least one egress rule.
    """
    spec = policy.spec
    if not spec.policy_types:
        return True, bool(spec.egress)
    return "Ingress" in spec.policy_types, "Egress" in spec.policy_types


def named_ports(pod: PodPeer) -> NamedPorts:
    """The numbers of each (name, protocol) that the pod's containers declare, in the order of the containers."""
    found: NamedPorts = {}
    for container in pod.pod.spec.containers:
        for port in container.ports:
            if port.name:
                key = (port.name, port.protocol or "TCP")
                if port.container_port not in found.get(key, ()):
                    found[key] = (*found.get(key, ()), port.container_port)
    return found


class IndexedPort:
    """One entry of `ports`: a protocol with a number, a range, a name, or no port at all (every port of the protocol)."""

    __slots__ = ("high", "low", "name", "number", "protocol")

    def __init__(self, number: int, port: PolicyPort):
        self.number = number
        self.protocol = port.protocol or "TCP"
        self.name = port.port if isinstance(port.port, str) else None
        self.low = port.port if isinstance(port.port, int) else None
        self.high = port.end_port if port.end_port is not None and self.low is not None else self.low

    def holds(self, protocol: str, port: int | None) -> bool:
        """Does it admit a number? Named entries need the destination pod: see `numbers`."""
        if protocol != self.protocol or self.name is not None:
            return False
        if self.low is None:
            return True
        return port is not None and self.low <= port <= cast(int, self.high)

    def __str__(self) -> str:
        if self.name is not None:
            return f"{self.protocol} {self.name}"
        if self.low is None:
            return f"{self.protocol}, any port"
        return f"{self.protocol} {self.low}" + (f"-{self.high}" if self.high != self.low else "")


class IndexedPeer:
    """One entry of `from` or `to`. `kind` is "pods", "ipBlock" or "invalid" (the API server would refuse it)."""

    __slots__ = ("_seen", "block", "excepts", "kind", "namespace", "namespace_selector", "number", "pod_selector", "word")

    def __init__(self, number: int, word: str, namespace: str, peer: PolicyPeer):
        self.number, self.word, self.namespace = number, word, namespace
        self.pod_selector: LabelSelector | None = peer.pod_selector
        self.namespace_selector: LabelSelector | None = peer.namespace_selector
        self.block: Prefix | None = None
        self.excepts: tuple[Prefix, ...] = ()
        self._seen: dict[str, bool] = {}
        selectors = peer.pod_selector is not None or peer.namespace_selector is not None
        self.kind: Literal["pods", "ipBlock", "invalid"] = "pods" if selectors and peer.ip_block is None else "invalid"
        if peer.ip_block is not None and not selectors:
            try:
                self.block = prefix(peer.ip_block.cidr)
                self.excepts = tuple(prefix(e) for e in peer.ip_block.except_)
                self.kind = "ipBlock"
            except ValueError:
                pass

    @property
    def path(self) -> str:
        """As the YAML has it: `from[0]`."""
        return f"{self.word}[{self.number}]"

    @property
    def meaning(self) -> tuple[object, ...]:
        """Peers with the same one select the same pods."""
        if self.kind != "pods":
            return ()
        where = repr(self.namespace_selector) if self.namespace_selector is not None else self.namespace
        return self.namespace_selector is not None, where, repr(self.pod_selector)

    def selects(self, pod: PodPeer) -> bool:
        """Do the selectors hold? A podSelector alone means the policy's own namespace; both together mean both."""
        if self.kind != "pods":
            return False
        if (known := self._seen.get(pod.key)) is None:
            known = self._seen[pod.key] = self._selects(pod)
        return known

    def _selects(self, pod: PodPeer) -> bool:
        if self.namespace_selector is None:
            if pod.namespace != self.namespace:
                return False
        elif not matches(self.namespace_selector, pod.namespace_labels):
            return False
        return self.pod_selector is None or matches(self.pod_selector, pod.pod.labels)

    def contains(self, address: str) -> bool:
        """Is the address in the ipBlock and in none of its `except`?"""
        return self.block is not None and address in self.block and not any(address in e for e in self.excepts)


class IndexedRule:
    """One rule: its peers are alternatives, its ports are alternatives, and both must hold."""

    __slots__ = ("direction", "number", "peers", "policy", "ports")

    def __init__(self, policy: IndexedPolicy, direction: Direction, number: int, rule: PolicyRule):
        word = "from" if direction == "ingress" else "to"
        self.policy, self.direction, self.number = policy, direction, number
        self.peers = tuple(IndexedPeer(i, word, policy.namespace, p) for i, p in enumerate(rule.peers))
        self.ports = tuple(IndexedPort(i, p) for i, p in enumerate(rule.ports))


class IndexedPolicy:
    """One policy with its rules in force, by direction."""

    __slots__ = ("_seen", "egress", "ingress", "key", "namespace", "rules", "selector", "view")

    def __init__(self, view: NetworkPolicy):
        self.view, self.key, self.namespace = view, view.key, view.namespace
        self.selector = view.spec.pod_selector
        self.ingress, self.egress = types_in_force(view)
        self.rules: dict[Direction, tuple[IndexedRule, ...]] = {
            "ingress": tuple(IndexedRule(self, "ingress", i, r) for i, r in enumerate(view.spec.ingress)) if self.ingress else (),
            "egress": tuple(IndexedRule(self, "egress", i, r) for i, r in enumerate(view.spec.egress)) if self.egress else (),
        }
        self._seen: dict[str, bool] = {}

    def in_force(self, direction: Direction) -> bool:
        return self.ingress if direction == "ingress" else self.egress

    def selects(self, pod: PodPeer) -> bool:
        """Only pods of its own namespace; an empty podSelector means all of them."""
        if (known := self._seen.get(pod.key)) is None:
            known = self._seen[pod.key] = pod.namespace == self.namespace and matches(self.selector, pod.pod.labels)
        return known


class PolicyIndex:
    """All policies of a snapshot, and which of them isolate a pod in which direction.

    A pod is known by its "ns/name": ask one index about the pods of its own snapshot only.
    """

    __slots__ = ("_isolating", "_ports", "memo", "policies", "snapshot")

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.policies: dict[str, tuple[IndexedPolicy, ...]] = {}
        for view in snapshot.list(NetworkPolicy):
            self.policies[view.namespace] = (*self.policies.get(view.namespace, ()), IndexedPolicy(view))
        self._isolating: dict[str, dict[Direction, tuple[IndexedPolicy, ...]]] = {}
        self._ports: dict[str, NamedPorts] = {}
        self.memo: dict[object, Any] = {}  # what an engine has worked out for this snapshot

    def policy(self, key: str) -> IndexedPolicy:
        """The policy "ns/name"; it must exist."""
        return next(p for p in self.policies[key.partition("/")[0]] if p.key == key)

    def isolating(self, pod: PodPeer, direction: Direction) -> tuple[IndexedPolicy, ...]:
        """The policies that select the pod and are in force in that direction, by name."""
        known = self._isolating.get(pod.key)
        if known is None:
            mine = tuple(p for p in self.policies.get(pod.namespace, ()) if p.selects(pod))
            known = self._isolating[pod.key] = {
                "ingress": tuple(p for p in mine if p.ingress),
                "egress": tuple(p for p in mine if p.egress),
            }
        return known[direction]

    def numbers(self, pod: PodPeer, name: str, protocol: str) -> tuple[int, ...]:
        """What a port's name means on this pod; () if it declares none of that name and protocol."""
        known = self._ports.get(pod.key)
        if known is None:
            known = self._ports[pod.key] = named_ports(pod)
        return known.get((name, protocol), ())

    def declared(self, pod: PodPeer) -> NamedPorts:
        self.numbers(pod, "", "")
        return self._ports[pod.key]


@lru_cache(maxsize=8)
def policy_index(snapshot: Snapshot) -> PolicyIndex:
    """The index of a snapshot, built once (a snapshot never changes)."""
    return PolicyIndex(snapshot)
