"""A decision's reasons, as codes and parameters: what decided, what failed, what is undefined, what would turn it."""

from __future__ import annotations

from collections.abc import Iterator

from ..objects.selectors import describe
from ..objects.views import LabelSelector
from ..trace import Reason
from .candidates import Candidate, losing
from .decide import DirectionDecision, PolicyDecision
from .index import IndexedPeer, IndexedRule
from .peers import PodPeer
from .question import Question, governed

__all__ = ["reasons"]


def reasons(decision: PolicyDecision) -> tuple[Reason, ...]:
    """In the order one would tell it: the verdict, the source's consent, the destination's, then who enforces it."""
    out = [_verdict(decision)]
    for part in (decision.egress, decision.ingress):
        out += _direction(part)
    out += _undefined(decision)
    if decision.enforced_by is None:
        out.append(
            Reason("policy.not_enforced", {"network": decision.network or "the pod network", "verdict": "allow" if decision else "deny"})
        )
    return tuple(out)


def _verdict(decision: PolicyDecision) -> Reason:
    port = f" port {decision.port}" if decision.port is not None else ""
    params = {"src": decision.src, "dst": decision.dst, "asked": f"{decision.protocol}{port}", "engine": decision.engine}
    if decision:
        return Reason("policy.allowed", params)
    stops = [f"the {d.direction} of {d.subject}" for d in (decision.egress, decision.ingress) if not d]
    return Reason("policy.denied", {**params, "by": " and ".join(stops)})


def _direction(part: DirectionDecision) -> Iterator[Reason]:
    about = {"pod": part.subject, "direction": part.direction}
    if part.exempt:
        yield Reason(part.exempt, about)
    elif not part.isolated_by:
        yield Reason("policy.not_isolated", about)
    elif part.allowed_by is None and part:
        yield Reason("policy.hairpin_joined", about)
    elif part.allowed_by is not None:
        yield _allowed(part)
    else:
        yield Reason(
            f"policy.denied_{part.direction}",
            {**about, "policies": _listed(part.isolated_by)},
            f"NetworkPolicy {part.isolated_by[0]}" if len(part.isolated_by) == 1 else "",
        )
        for candidate in losing(part):
            yield from _losing(candidate)
        if (fix := part.nearest) is not None:
            params = {"change": fix.text, "policy": fix.policy, "rule": fix.rule + 1, **about}
            yield Reason("policy.fix", params, f"NetworkPolicy {fix.policy}")


def _listed(names: tuple[str, ...]) -> str:
    return f"policy {names[0]}" if len(names) == 1 else f"policies {', '.join(names[:-1])} and {names[-1]}"


def _allowed(part: DirectionDecision) -> Reason:
    match, q = part.allowed_by, part.question
    assert match is not None and q is not None
    rule = q.index.policy(match.policy).rules[match.direction][match.rule]
    params = {
        "pod": part.subject, "direction": part.direction, "policy": match.policy, "rule": match.rule + 1, "rule_direction": match.direction,
        "peer": _peer_words(q, rule, match.peer), "ports": "every port" if match.port is None else str(rule.ports[match.port]),
        "path": match.path,
    }  # fmt: skip
    return Reason("policy.allowed_by_other_direction" if part.foreign else "policy.allowed_by", params, f"NetworkPolicy {match.policy}")


def _peer_words(q: Question, rule: IndexedRule, number: int | None) -> str:
    """What the entry that admitted says: "from[0]: podSelector app=api"."""
    word = "from" if rule.direction == "ingress" else "to"
    if number is None:
        return f"no `{word}`, so anyone"
    peer = rule.peers[number]
    return f"{peer.path}: {peer_text(peer)}"


def peer_text(peer: IndexedPeer) -> str:
    """An entry of `from` or `to` in one line; an empty selector reads "every"."""
    if peer.kind == "invalid":
        return "an entry that the API server would refuse"
    if peer.kind == "ipBlock":
        excepts = f" except {', '.join(e.text for e in peer.excepts)}" if peer.excepts else ""
        return f"ipBlock {peer.block}{excepts}"
    pods = _selector(peer.pod_selector, "pods") if peer.pod_selector is not None else "every pod"
    if peer.namespace_selector is None:
        return f"{pods} of namespace {peer.namespace}"
    return f"{pods} of {_selector(peer.namespace_selector, 'namespaces')}"


def _selector(selector: LabelSelector, what: str) -> str:
    text = describe(selector)
    return f"every {what[:-1]}" if text == "<none>" else f"{what} with {text}"


def _losing(candidate: Candidate) -> Iterator[Reason]:
    origin = f"NetworkPolicy {candidate.policy}"
    about = {"policy": candidate.policy, "direction": candidate.direction}
    if candidate.rule is None:
        yield Reason("policy.no_rules", about, origin)
    for miss in candidate.misses:
        yield Reason(
            miss.code,
            {**about, "rule": (candidate.rule or 0) + 1, "path": miss.path, "term": miss.term, "found": miss.found},
            origin,
        )


def _undefined(decision: PolicyDecision) -> Iterator[Reason]:
    """What the verdict leans on that the API does not define."""
    q = decision.question
    judged = [d for d in (decision.egress, decision.ingress) if d.isolated_by]
    if not q.defined and judged:
        yield Reason("policy.undefined_icmp", {"protocol": q.protocol, "engine": q.engine.name})
    for part in judged:
        other = q.ends(part.direction)[1]
        match = part.allowed_by
        if match is None or match.peer is None or not isinstance(other, PodPeer) or governed(other, q.engine):
            continue
        if q.index.policy(match.policy).rules[match.direction][match.rule].peers[match.peer].kind == "ipBlock":
            yield Reason("policy.undefined_ip_block", {"pod": other.key, "engine": q.engine.name})
