"""The decider against the naive one, on random clusters: every pair of ends, several ports."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

from hypothesis import HealthCheck, given, settings
from naive_decider import allowed
from policy_worlds import clusters, ends_of, peer_of, random_cluster, snapshot_of

from kubenet_lab.objects.views import NetworkPolicy
from kubenet_lab.policy import decide
from kubenet_lab.policy.candidates import Change

ASKED = ((80, "TCP"), (81, "TCP"), (80, "UDP"), (80, "SCTP"))
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@relaxed
@given(cluster=clusters())
def test_decide_is_the_naive_decider(cluster):
    snapshot = snapshot_of(cluster)
    ends = [(e, peer_of(snapshot, e)) for e in ends_of(cluster)]
    for (src, a), (dst, b) in product(ends, ends):
        for port, protocol in ASKED:
            want = allowed(cluster, src, dst, port, protocol)
            got = decide(snapshot, a, b, port, protocol)
            assert (got.egress.verdict, got.ingress.verdict) == want, (src, dst, port, protocol, got.explain())
            assert bool(got) is all(want)


def how(part) -> str:
    return part.exempt or ("not isolated" if not part.isolated_by else "allowed by a rule" if part else "denied")


def test_seeded_random_clusters(cases, seed):
    """Denser clusters than hypothesis draws; counts what was met, for a suite where everything is open proves nothing."""
    met: Counter[str] = Counter()
    for case in range(cases(150)):
        cluster = random_cluster(Random(f"{seed}/{case}"))
        snapshot = snapshot_of(cluster)
        ends = [(e, peer_of(snapshot, e)) for e in ends_of(cluster)]
        for (src, a), (dst, b) in product(ends, ends):
            for port, protocol in ASKED:
                got = decide(snapshot, a, b, port, protocol)
                want = allowed(cluster, src, dst, port, protocol)
                assert (got.egress.verdict, got.ingress.verdict) == want, (case, src, dst, port, protocol, cluster, got.explain())
                met.update(f"{part.direction}: {how(part)}" for part in (got.egress, got.ingress))
    print(f"seed {seed}:", dict(sorted(met.items())))
    wanted = (
        "denied",
        "allowed by a rule",
        "not isolated",
        "policy.host_network",
        "policy.terminated",
        "policy.self",
        "policy.{}_local_node",
    )
    for direction, way in (("ingress", "from"), ("egress", "to")):
        for what in wanted:
            assert met[f"{direction}: {what.format(way)}"] > 0, (direction, what, met)


@relaxed
@given(cluster=clusters())
def test_the_story_agrees_with_the_verdict(cluster):
    """Reading the reasons never fails, every denial names what failed, and what admits is really a rule that is there."""
    snapshot = snapshot_of(cluster)
    ends = [peer_of(snapshot, e) for e in ends_of(cluster)]
    for a, b in product(ends, ends):
        d = decide(snapshot, a, b, 80)
        assert d.reasons[0].code == ("policy.allowed" if d else "policy.denied")
        assert all(r.sentence and "{" not in r.sentence for r in d.reasons)
        for part in (d.egress, d.ingress):
            if not part:
                assert any(r.code == f"policy.denied_{part.direction}" for r in d.reasons)
                assert all(c.misses or c.rule is None for c in part.candidates), "a losing rule without anything that failed"
            elif part.allowed_by:
                namespace, _, name = part.allowed_by.policy.partition("/")
                view = snapshot.get(NetworkPolicy, name, namespace)
                assert view is not None and part.allowed_by.policy in part.isolated_by
                rule = getattr(view.spec, part.direction)[part.allowed_by.rule]
                assert (part.allowed_by.peer is None) == (not rule.peers) and (part.allowed_by.port is None) == (not rule.ports)


def changed(cluster, changes: tuple[Change, ...]):
    """The cluster and the port after the changes that a fix asks for."""
    pods = [{**p, "labels": dict(p["labels"])} for p in cluster["pods"]]
    namespaces = {n: dict(labels) for n, labels in cluster["namespaces"].items()}
    port, protocol = 80, "TCP"
    for c in changes:
        if c.kind == "port":
            port, protocol = int(c.value), c.key or protocol
        elif c.kind == "protocol":
            protocol = c.key
        else:
            labels = (
                next(p["labels"] for p in pods if f"{p['ns']}/{p['name']}" == c.whom)
                if c.kind == "label"
                else namespaces.setdefault(c.whom, {})
            )
            labels.pop(c.key, None)
            if c.value is not None:
                labels[c.key] = c.value
    return {**cluster, "pods": pods, "namespaces": namespaces}, port, protocol


@relaxed
@given(cluster=clusters())
def test_a_fix_turns_the_direction_it_speaks_of(cluster):
    snapshot = snapshot_of(cluster)
    ends = [(e, peer_of(snapshot, e)) for e in ends_of(cluster)]
    for (src, a), (dst, b) in product(ends, ends):
        d = decide(snapshot, a, b, 80)
        for part in (d.egress, d.ingress):
            if not part and (fix := part.nearest) is not None:
                after, port, protocol = changed(cluster, fix.changes)
                there = snapshot_of(after)
                again = decide(there, peer_of(there, src), peer_of(there, dst), port, protocol)
                assert getattr(again, part.direction), (fix.text, again.explain())


@relaxed
@given(cluster=clusters())
def test_adding_a_policy_never_opens_what_was_isolated_and_never_closes_an_isolated_pod_further(cluster):
    """Policies are additive: for a pod that stays isolated, more policies can only admit more."""
    if not cluster["policies"]:
        return
    fewer = {**cluster, "policies": cluster["policies"][:-1]}
    s, t = snapshot_of(fewer), snapshot_of(cluster)
    for src, dst in product(ends_of(cluster), ends_of(cluster)):
        before, after = decide(s, peer_of(s, src), peer_of(s, dst), 80), decide(t, peer_of(t, src), peer_of(t, dst), 80)
        for direction in ("egress", "ingress"):
            old, new = getattr(before, direction), getattr(after, direction)
            if old.isolated_by:
                assert set(old.isolated_by) <= set(new.isolated_by)
                assert new.verdict >= old.verdict
            elif old.verdict and not new.verdict:
                assert new.isolated_by == (
                    f"{cluster['policies'][-1]['metadata']['namespace']}/{cluster['policies'][-1]['metadata']['name']}",
                )
