"""The NetworkPolicy v1 decider: may `src` send to `dst`?

A connection needs two consents: the egress of its source and the ingress of its destination. Policies only ever allow;
a pod that no policy selects in a direction is open in that direction. The verdict is about the first packet, after DNAT:
replies pass by connection tracking.
Source: kubernetes/api networking/v1 types.go; kubernetes.io, "Network Policies". What the API leaves open is in `engines`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..objects.snapshot import Snapshot
from ..trace import Decision, Reason
from .engines import Engine, engine_named
from .index import Direction, IndexedPolicy, IndexedRule, policy_index
from .kube_router_rules import foreign_hit, set_hit
from .peers import NodePeer, Peer, PodPeer
from .question import ANY, Hit, Question, ask, governed, rule_hit

if TYPE_CHECKING:
    from .candidates import Candidate, Fix

__all__ = ["DirectionDecision", "PolicyDecision", "RuleMatch", "decide"]


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """The rule that admits: indices count from 0 as in the YAML; peer or port None means that the rule has none (anyone, everything)."""

    policy: str  # "data/db"
    direction: Direction
    rule: int
    peer: int | None
    port: int | None

    @property
    def path(self) -> str:
        """As the YAML has it: `ingress[0].from[1]`."""
        word = "from" if self.direction == "ingress" else "to"
        return f"{self.direction}[{self.rule}]" + (f".{word}[{self.peer}]" if self.peer is not None else "")


@dataclass(frozen=True, slots=True)
class DirectionDecision:
    """One of the two consents. `bool` is its verdict.

    `isolated_by`: the policies that select the pod in this direction; empty means it is open.
    `exempt`: the code of why policies do not count here ("policy.from_local_node", ...), or "".
    `foreign`: the admitting rule is of the other direction (kube-router, policies for both directions).
    """

    direction: Direction
    verdict: bool
    subject: str
    isolated_by: tuple[str, ...] = ()
    allowed_by: RuleMatch | None = None
    exempt: str = ""
    foreign: bool = False
    question: Question | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        return self.verdict

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every rule that could have admitted and did not, with what failed in it; made when read."""
        from .candidates import losing

        return losing(self)

    @property
    def nearest(self) -> Fix | None:
        """The smallest change that would turn a denial, or None."""
        from .candidates import nearest

        return nearest(self)


class PolicyDecision(Decision):
    """May `src` send to `dst`? Why, and who would stop it, is made when read.

    `enforced_by` is filled by who knows the cluster: an engine's name, or None where nothing enforces (flannel), and then
    `network` names the pod network; "" means that nobody said.
    """

    src: str
    dst: str
    port: int | None
    protocol: str
    engine: str
    egress: DirectionDecision
    ingress: DirectionDecision
    enforced_by: str | None
    network: str
    question: Question

    def __init__(self, q: Question, egress: DirectionDecision, ingress: DirectionDecision, enforced_by: str | None = "", network: str = ""):
        # not the generated one: `reasons` stays unset until it is read
        self.__dict__.update(
            verdict=egress.verdict and ingress.verdict, src=str(q.src), dst=str(q.dst), port=q.port, protocol=q.protocol,
            engine=q.engine.name, egress=egress, ingress=ingress, enforced_by=enforced_by, network=network, question=q,
        )  # fmt: skip

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """What decided, then what failed, then the smallest change that would turn it."""
        from .reasons import reasons

        return reasons(self)

    @property
    def denied_by(self) -> tuple[Direction, ...]:
        """The directions that refuse."""
        return tuple(d.direction for d in (self.egress, self.ingress) if not d)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The smallest changes that would turn the denial, one per direction that refuses; () if there is none."""
        found = tuple(d.nearest for d in (self.egress, self.ingress) if not d)
        return () if None in found else tuple(f for f in found if f is not None)

    @property
    def summary(self) -> str:
        """Verdict and enforcer in one line: "✓ allowed · nobody enforces policies here (flannel vxlan)"."""
        verdict = "✓ allowed" if self.verdict else "✗ denied"
        if self.enforced_by == "":
            return verdict
        enforcer = f"enforced by {self.enforced_by}" if self.enforced_by else f"nobody enforces policies here ({self.network})"
        return f"{verdict} · {enforcer}"

    def with_enforcer(self, enforced_by: str | None, network: str = "") -> PolicyDecision:
        """The same decision, told who enforces: an engine's name, or None with the name of the pod network."""
        return PolicyDecision(self.question, self.egress, self.ingress, enforced_by, network)

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict, "src": self.src, "dst": self.dst, "port": self.port, "protocol": self.protocol,
            "engine": self.engine, "enforced_by": self.enforced_by,
            **{d.direction: {
                "verdict": d.verdict, "isolated_by": list(d.isolated_by), "exempt": d.exempt,
                "allowed_by": {"policy": d.allowed_by.policy, "path": d.allowed_by.path} if d.allowed_by else None,
            } for d in (self.egress, self.ingress)},
            "reasons": [{"code": r.code, "sentence": r.sentence, "origin": r.origin} for r in self.reasons],
        }  # fmt: skip

    def __repr__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        stop = "" if self else f" ({' and '.join(self.denied_by)})"
        return f"PolicyDecision({self.src} -> {self.dst}{port}/{self.protocol}: {'allowed' if self else 'denied'}{stop}, {self.engine})"

    def __str__(self) -> str:
        return self.explain()

    def _repr_html_(self) -> str:
        from html import escape

        return "".join(f"<div style='white-space:pre-wrap'>{escape(line)}</div>" for line in self.explain().splitlines())


def decide(
    snapshot: Snapshot,
    src: Peer,
    dst: Peer,
    port: int | str | None = None,
    protocol: str = "TCP",
    *,
    engine: str | Engine = "spec",
    hairpin: bool = False,
    ip_family: int | None = None,
) -> PolicyDecision:
    """May `src` send the first packet of a connection to `dst`?

    `port` is the number the destination listens on (after any Service has translated it), or the name it declares;
    ICMP and other protocols have none. `hairpin`: the packet left for a Service and comes back to the same pod.
    `ip_family` 4 or 6 chooses among the addresses of dual-stack peers; default: IPv4 where both have it.
    Raises NotFound for an unknown engine or port name, NotModelled for an engine without a model, KubenetError for a
    port that cannot be.
    """
    chosen = engine if isinstance(engine, Engine) else engine_named(engine)
    q = ask(policy_index(snapshot), src, dst, port, protocol, chosen, hairpin, ip_family)
    if q.hairpin and q.itself and chosen.hairpin == "joined":
        egress, ingress = _joined(q)
    else:
        egress, ingress = _judge(q, "egress"), _judge(q, "ingress")
    return PolicyDecision(q, egress, ingress)


def _exempt(q: Question, direction: Direction, subject: Peer, other: Peer) -> str:
    """The code of why the policies of `subject` do not count, or ""."""
    if code := governed(subject, q.engine):
        return code
    if q.itself and (not q.hairpin or q.engine.hairpin == "allowed"):
        return "policy.self_hairpin" if q.hairpin else "policy.self"
    if q.engine.icmp_always and q.protocol in ("ICMP", "ICMPV6"):
        return "policy.icmp_always"
    if (node := _sent_by_node(q, other)) and isinstance(subject, PodPeer) and node == subject.node:
        if direction == "ingress" and q.engine.from_local_node:
            return "policy.from_local_node"
        if direction == "egress" and q.engine.to_local_node:
            return "policy.to_local_node"
    return ""


def _sent_by_node(q: Question, peer: Peer) -> str:
    """The node whose own traffic this is: the node's, or that of a hostNetwork pod where it counts as the node's; else ""."""
    if isinstance(peer, NodePeer) or (isinstance(peer, PodPeer) and governed(peer, q.engine) == "policy.host_network"):
        return peer.node
    return ""


def _judge(q: Question, direction: Direction) -> DirectionDecision:
    subject, other = q.ends(direction)
    if code := _exempt(q, direction, subject, other):
        return DirectionDecision(direction, True, str(subject), exempt=code, question=q)
    assert isinstance(subject, PodPeer)
    policies = q.index.isolating(subject, direction)
    if not policies:
        return DirectionDecision(direction, True, subject.key, question=q)
    names = tuple(p.key for p in policies)
    if (found := _admitting(q, policies, direction, other)) is not None:
        rule, hit, foreign = found
        return DirectionDecision(direction, True, subject.key, names, _match(rule, hit), foreign=foreign, question=q)
    return DirectionDecision(direction, False, subject.key, names, question=q)


def _admitting(q: Question, policies: tuple[IndexedPolicy, ...], direction: Direction, other: Peer) -> tuple[IndexedRule, Hit, bool] | None:
    """The first rule, in the order of the policies' names, that admits; the flag says that it is one of the other direction."""
    sets = q.engine.address_sets
    for policy in policies:
        for rule in policy.rules[direction]:
            if (hit := set_hit(q, rule) if sets else rule_hit(q, rule, other)) is not None:
                return rule, hit, False
    if sets:
        for policy in policies:
            if (found := foreign_hit(q, policy, direction)) is not None:
                return found[0], found[1], True
    return None


def _match(rule: IndexedRule, hit: Hit) -> RuleMatch:
    peer, port = (None if n == ANY else n for n in hit)
    return RuleMatch(rule.policy.key, rule.direction, rule.number, peer, port)


def _joined(q: Question) -> tuple[DirectionDecision, DirectionDecision]:
    """A packet from a pod to itself through a Service runs its one chain once: one consent is enough for both directions."""
    egress, ingress = _judge(q, "egress"), _judge(q, "ingress")
    if egress.verdict == ingress.verdict:
        return egress, ingress
    if egress:
        return egress, replace(ingress, verdict=True, foreign=True)
    return replace(egress, verdict=True, foreign=True), ingress
