"""What failed, and how little would have to change: made only when somebody asks.

For every rule of the policies that isolate a pod: each selector term that does not hold, each port that does not fit, each
ipBlock that does not contain the address. From these the smallest change that would make one rule admit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..objects.selectors import describe_requirement, matches, requirement_matches, requirements
from ..objects.views import LabelSelector, Requirement
from .index import Direction, IndexedPeer, IndexedPort, IndexedRule
from .kube_router_rules import set_hit
from .peers import Peer, PodPeer
from .question import Question, governed, peer_holds, port_holds

if TYPE_CHECKING:
    from .decide import DirectionDecision

__all__ = ["Candidate", "Change", "Fix", "Miss", "losing", "nearest"]


@dataclass(frozen=True, slots=True)
class Miss:
    """One thing that does not hold. `code` is the reason's; `path` the YAML's, from the rule on; `term` is asked, `found` is there."""

    code: str
    path: str
    term: str
    found: str


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that would have to be otherwise: a label of the pod or its namespace, the port, or the protocol."""

    kind: Literal["label", "namespace_label", "port", "protocol"]
    whom: str  # "shop/web-1", "shop", ""
    key: str = ""  # the label's key, or the protocol
    value: str | None = None  # None: the label would have to be absent

    @property
    def text(self) -> str:
        if self.kind == "port":
            return f"the port were {self.value}" if not self.key else f"the port were {self.key} {self.value}"
        if self.kind == "protocol":
            return f"the protocol were {self.key}"
        who = f"pod {self.whom}" if self.kind == "label" else f"namespace {self.whom}"
        if self.value is None:
            return f"{who} had no label {self.key}"
        return f"{who} had label {self.key}={self.value}"


@dataclass(frozen=True, slots=True)
class Fix:
    """Changes that together make one rule admit; each is needed."""

    policy: str
    direction: Direction
    rule: int
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        return " and ".join(c.text for c in self.changes)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that did not admit. `misses` are in the order of the YAML; `fix` is the smallest change, or None.

    `rule` is None for a policy without any rule in this direction.
    """

    policy: str
    direction: Direction
    rule: int | None
    peer_holds: bool
    port_holds: bool
    misses: tuple[Miss, ...]
    fix: Fix | None = field(default=None, compare=False)


def losing(decision: DirectionDecision) -> tuple[Candidate, ...]:
    """The rules of the isolating policies that did not admit, in order. () where policies do not count."""
    q = decision.question
    if q is None or decision.exempt or not decision.isolated_by:
        return ()
    subject, other = q.ends(decision.direction)
    assert isinstance(subject, PodPeer)
    found = []
    for policy in q.index.isolating(subject, decision.direction):
        rules = policy.rules[decision.direction]
        if not rules:
            found.append(Candidate(policy.key, decision.direction, None, False, False, ()))
        for rule in rules:
            mine = decision.allowed_by
            if mine and (mine.policy, mine.direction, mine.rule) == (policy.key, rule.direction, rule.number):
                continue
            found.append(_candidate(q, rule, other))
    return tuple(found)


def _candidate(q: Question, rule: IndexedRule, other: Peer) -> Candidate:
    peers_ok = not rule.peers or any(peer_holds(q, p, other) for p in rule.peers)
    ports_ok = not rule.ports or any(port_holds(q, p) for p in rule.ports)
    misses: list[Miss] = []
    if not peers_ok:
        for peer in rule.peers:
            misses += _peer_misses(q, peer, other)
    if not ports_ok:
        misses += [_port_miss(q, p) for p in rule.ports]
    if q.engine.address_sets and peers_ok and ports_ok and set_hit(q, rule) is None:
        misses.append(Miss("policy.address_sets", "", "", ""))
    fix = _fix(q, rule, other, peers_ok, ports_ok)
    return Candidate(rule.policy.key, rule.direction, rule.number, peers_ok, ports_ok, tuple(misses), fix)


# --- what failed -------------------------------------------------------------------------------------------------
def _peer_misses(q: Question, peer: IndexedPeer, other: Peer) -> list[Miss]:
    if peer.kind == "invalid":
        return [Miss("policy.invalid_peer", peer.path, "", "")]
    if peer.kind == "ipBlock":
        return [_block_miss(q, peer, other)]
    if not isinstance(other, PodPeer) or governed(other, q.engine):
        return [Miss("policy.selectors_mean_pods", peer.path, "", str(other))]
    out = []
    if peer.namespace_selector is None:
        if other.namespace != peer.namespace:
            out.append(Miss("policy.other_namespace", f"{peer.path}.podSelector", peer.namespace, other.namespace))
    else:
        out += _term_misses(f"{peer.path}.namespaceSelector", peer.namespace_selector, other.namespace_labels, "namespace")
    if peer.pod_selector is not None:
        out += _term_misses(f"{peer.path}.podSelector", peer.pod_selector, other.pod.labels, "pod")
    return out


def _term_misses(path: str, selector: LabelSelector, labels: Mapping[str, str], who: str) -> list[Miss]:
    return [
        Miss("policy.selector_term_failed", path, _term(selector, r), f"the {who} {_has(labels, r.key)}")
        for r in requirements(selector)
        if not requirement_matches(r, labels)
    ]


def _term(selector: LabelSelector, requirement: Requirement) -> str:
    """ "app=api" for a pair of matchLabels, kubectl's form for an expression."""
    key, values = requirement.key, requirement.values
    if requirement.operator == "In" and len(values) == 1 and selector.match_labels.get(key) == values[0]:
        return f"{key}={values[0]}"
    return describe_requirement(requirement)


def _has(labels: Mapping[str, str], key: str) -> str:
    return f"has {key}={labels[key]}" if key in labels else f"has no label {key}"


def _block_miss(q: Question, peer: IndexedPeer, other: Peer) -> Miss:
    address = q.address(other)
    cidr = peer.block.text if peer.block else ""
    if isinstance(other, PodPeer) and not governed(other, q.engine) and not q.engine.ip_block_matches_pods:
        return Miss("policy.block_means_outside", f"{peer.path}.ipBlock", cidr, str(other))
    if address is None:
        return Miss("policy.no_address", f"{peer.path}.ipBlock", cidr, str(other))
    excepted = next((e for e in peer.excepts if address in e), None)
    if excepted is not None and peer.block is not None and address in peer.block:
        return Miss("policy.ip_excepted", f"{peer.path}.ipBlock", excepted.text, address)
    return Miss("policy.ip_outside", f"{peer.path}.ipBlock", cidr, address)


def _port_miss(q: Question, port: IndexedPort) -> Miss:
    path = f"ports[{port.number}]"
    asked = q.protocol if q.port is None else f"{q.protocol} {q.port}"
    if port.name is not None and port.protocol == q.protocol:
        numbers = q.index.numbers(q.dst, port.name, port.protocol) if isinstance(q.dst, PodPeer) else ()
        if not numbers:
            return Miss("policy.port_name_unknown", path, f"{port.protocol} {port.name}", str(q.dst))
        return Miss("policy.port_mismatch", path, f"{port} ({', '.join(map(str, numbers))})", asked)
    return Miss("policy.port_mismatch", path, str(port), asked)


# --- the smallest change -----------------------------------------------------------------------------------------
def nearest(decision: DirectionDecision) -> Fix | None:
    """The fix with the fewest changes among the losing rules; the first of equals."""
    if decision.verdict:
        return None
    return min((c.fix for c in losing(decision) if c.fix is not None), key=lambda f: len(f.changes), default=None)


def _fix(q: Question, rule: IndexedRule, other: Peer, peers_ok: bool, ports_ok: bool) -> Fix | None:
    changes: tuple[Change, ...] = ()
    if not peers_ok:
        ways = [c for p in rule.peers if (c := _peer_changes(q, p, other)) is not None]
        if not ways:
            return None
        changes = min(ways, key=len)
    if not ports_ok:
        port = next((changed for p in rule.ports if (changed := _port_change(q, p)) is not None), None)
        if port is None:
            return None
        changes = (*changes, port)
    return Fix(rule.policy.key, rule.direction, rule.number, changes) if changes else None


def _peer_changes(q: Question, peer: IndexedPeer, other: Peer) -> tuple[Change, ...] | None:
    """The labels that would have to change for this entry to mean `other`; None if no label can do it."""
    if peer.kind != "pods" or not isinstance(other, PodPeer) or governed(other, q.engine):
        return None
    out: list[Change] = []
    if peer.namespace_selector is None:
        if other.namespace != peer.namespace:
            return None
    elif (found := _label_changes("namespace_label", other.namespace, peer.namespace_selector, other.namespace_labels)) is None:
        return None
    else:
        out += found
    if peer.pod_selector is not None:
        if (found := _label_changes("label", other.key, peer.pod_selector, other.pod.labels)) is None:
            return None
        out += found
    # the API server keeps a namespace's name label as it is
    return None if any(c.key == "kubernetes.io/metadata.name" and c.kind == "namespace_label" for c in out) else tuple(out)


def _label_changes(
    kind: Literal["label", "namespace_label"], whom: str, selector: LabelSelector, labels: Mapping[str, str]
) -> list[Change] | None:
    """The label changes that make the selector hold, one per key; None if it contradicts itself."""
    after, keys = dict(labels), []
    for r in requirements(selector):
        if requirement_matches(r, after):
            continue
        keys.append(r.key)
        if r.operator == "In" and r.values:
            allowed = [v for v in r.values if matches(_about(selector, r.key), {**after, r.key: v})]
            after[r.key] = (allowed or r.values)[0]
        elif r.operator == "Exists":
            after[r.key] = _free_value(selector, r.key)
        else:
            after.pop(r.key, None)
    if not matches(selector, after):
        return None
    return [Change(kind, whom, k, after.get(k)) for k in dict.fromkeys(keys) if after.get(k) != labels.get(k)]


def _about(selector: LabelSelector, key: str) -> LabelSelector:
    """The part of a selector that speaks of one key."""
    return LabelSelector(match_expressions=[r for r in requirements(selector) if r.key == key])


def _free_value(selector: LabelSelector, key: str) -> str:
    """A value that every term about the key takes."""
    wanted = [v for r in requirements(selector) if r.key == key and r.operator == "In" for v in r.values]
    for value in (*wanted, "true", "yes", "1"):
        if matches(_about(selector, key), {key: value}):
            return value
    return "true"


def _port_change(q: Question, port: IndexedPort) -> Change | None:
    if not q.defined:
        return None  # no entry of `ports` can speak of it
    if port.name is not None:
        numbers = q.index.numbers(q.dst, port.name, port.protocol) if isinstance(q.dst, PodPeer) else ()
        if not numbers:
            return None
        low: int | None = numbers[0]
    else:
        low = port.low
    if low is None:
        return Change("protocol", "", port.protocol)
    return Change("port", "", port.protocol if port.protocol != q.protocol else "", str(low))
