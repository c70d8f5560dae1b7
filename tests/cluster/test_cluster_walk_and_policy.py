"""Walk and analysis agree wherever a path and a listener exist and an engine enforces; where none enforces, the walk delivers and says so.

Random small clusters: namespaces, pods on two nodes with labels and listeners, policies of every form that NetworkPolicy v1 has.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import namespace, pod

Doc = dict[str, Any]

NAMESPACES = ("a", "b", "c")
LABELS = {"app": ("web", "db", "cache"), "tier": ("front", "back")}
PORTS = ((8080, "TCP", "http"), (5432, "TCP", "sql"), (5353, "UDP", "mdns"))
CASES = 25


def labels(rng: random.Random) -> dict[str, str]:
    return {k: rng.choice(v) for k, v in LABELS.items() if rng.random() < 0.8}


def selector(rng: random.Random) -> Doc:
    """Everything, a pair, or an expression."""
    kind = rng.random()
    if kind < 0.25:
        return {}
    key = rng.choice([*LABELS])
    if kind < 0.65:
        return {"matchLabels": {key: rng.choice(LABELS[key])}}
    operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    values = {"values": rng.sample(LABELS[key], rng.randint(1, 2))} if operator in ("In", "NotIn") else {}
    return {"matchExpressions": [{"key": key, "operator": operator, **values}]}


def namespace_selector(rng: random.Random) -> Doc:
    if rng.random() < 0.3:
        return {}
    if rng.random() < 0.5:
        return {"matchLabels": {"kubernetes.io/metadata.name": rng.choice(NAMESPACES)}}
    return {"matchLabels": {"team": rng.choice(("red", "blue"))}}


def peer(rng: random.Random) -> Doc:
    kind = rng.random()
    if kind < 0.4:
        return {"podSelector": selector(rng)}
    if kind < 0.6:
        return {"namespaceSelector": namespace_selector(rng)}
    if kind < 0.8:
        return {"namespaceSelector": namespace_selector(rng), "podSelector": selector(rng)}
    block: Doc = {"cidr": rng.choice(("0.0.0.0/0", "10.244.0.0/24", "10.244.0.0/16", "10.244.1.0/25"))}
    if rng.random() < 0.5:
        block["except"] = [
            {"0.0.0.0/0": "10.244.1.0/24", "10.244.0.0/24": "10.244.0.0/29", "10.244.0.0/16": "10.244.0.4/30"}.get(
                block["cidr"], "10.244.1.8/29"
            )
        ]
    return {"ipBlock": block}


def port(rng: random.Random) -> Doc:
    number, protocol, name = rng.choice(PORTS)
    kind = rng.random()
    if kind < 0.5:
        return {"protocol": protocol, "port": number}
    if kind < 0.7:
        return {"protocol": protocol, "port": name}
    if kind < 0.85:
        return {"protocol": protocol}
    return {"protocol": protocol, "port": 5000, "endPort": rng.choice((5400, 6000, 9000))}


def rule(rng: random.Random, side: str) -> Doc:
    out: Doc = {}
    if rng.random() < 0.8:
        out[side] = [peer(rng) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.7:
        out["ports"] = [port(rng) for _ in range(rng.randint(1, 2))]
    return out


def policy(rng: random.Random, n: int) -> Doc:
    types = rng.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    spec: Doc = {"podSelector": selector(rng), "policyTypes": types}
    for kind, side in (("Ingress", "from"), ("Egress", "to")):
        if kind in types:
            spec[kind.lower()] = [rule(rng, side) for _ in range(rng.randint(0, 2))]
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": f"p{n}", "namespace": rng.choice(NAMESPACES)}, "spec": spec,
    }  # fmt: skip


def world(rng: random.Random) -> list[Doc]:
    docs = [namespace(n, team=rng.choice(("red", "blue"))) for n in NAMESPACES]
    named = tuple((name, number, protocol) for number, protocol, name in PORTS)
    for i in range(rng.randint(4, 6)):
        docs.append(pod(f"{rng.choice(NAMESPACES)}/p{i}", rng.choice(("worker-1", "worker-2")), labels(rng), named))
    return docs + [policy(rng, n) for n in range(rng.randint(1, 4))]


def flows(rng: random.Random, cluster: kn.Cluster, count: int) -> list[tuple[str, str, int, str]]:
    keys = [p.key for p in cluster.objects("pod") if p.namespace in NAMESPACES]
    every = [(a, b, number, protocol) for a in keys for b in keys if a != b for number, protocol, _ in PORTS]
    return rng.sample(every, min(count, len(every)))


def test_walk_and_policy_agree_under_kube_router(cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    for case in range(cases(CASES)):
        rng = random.Random(f"{seed}/{case}")
        docs = world(rng)
        cluster = kn.load(docs, policy="kube-router")
        for src, dst, number, protocol in flows(rng, cluster, 30):
            decision = cluster.policy.allowed(src, dst, number, protocol)
            trace = cluster.preview(src, dst, number, protocol)
            place = f"seed {seed}, case {case}: {src} -> {dst} {number}/{protocol}"
            assert bool(trace) == bool(decision), f"{place}\n{decision.explain()}\n{trace.explain()}"
            assert decision.enforced_by == "kube-router"
            if trace:
                assert trace.answered_by == dst and not [r for r in trace.reasons if r.code.startswith("cluster.policy")]
            else:
                assert (trace.verdict, trace.error) == ("refused", "ECONNREFUSED"), place
                assert trace.reasons[0].code.startswith("policy."), place
            seen[f"{protocol} {'allowed' if decision else 'denied'}"] += 1
            seen["one node" if cluster.pod(src).node.name == cluster.pod(dst).node.name else "two nodes"] += 1
    print(f"seed {seed}: {dict(seen)}")
    assert min(seen[f"{p} {v}"] for p in ("TCP", "UDP") for v in ("allowed", "denied")) > 5 and min(seen["one node"], seen["two nodes"]) > 5


def test_nobody_enforces_under_flannel_and_the_walk_says_so(cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    for case in range(cases(CASES) // 2 + 1):
        rng = random.Random(f"{seed}/{case}")
        cluster = kn.load(world(rng))
        for src, dst, number, protocol in flows(rng, cluster, 20):
            decision = cluster.policy.allowed(src, dst, number, protocol)
            trace = cluster.preview(src, dst, number, protocol)
            assert trace and trace.answered_by == dst, "the objects change nothing"
            assert decision.enforced_by is None and decision.engine == "spec"
            said = [r for r in trace.reasons if r.code == "cluster.policy_not_enforced"]
            assert len(said) == (not decision), f"seed {seed}, case {case}: {src} -> {dst} {number}/{protocol}\n{decision.explain()}"
            assert all("flannel vxlan enforces no policy" in str(r) and r.origin.startswith("NetworkPolicy ") for r in said)
            seen["denied" if said else "allowed"] += 1
    print(f"seed {seed}: {dict(seen)}")
    assert min(seen["allowed"], seen["denied"]) > 5


def test_services_are_judged_behind_their_address(seed: int) -> None:
    """Policies see pods, so the endpoint that was drawn decides; the analysis says for which of them it works."""
    rng = random.Random(f"{seed}/services")
    checked = 0
    for _ in range(8):
        docs = world(rng)
        app = rng.choice(LABELS["app"])
        for n in NAMESPACES:
            body = {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
            docs.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": n}, "spec": body})
        cluster = kn.load(docs, policy="kube-router")
        sources = [p.key for p in cluster.objects("pod") if p.namespace in NAMESPACES]
        for n in NAMESPACES:
            ends = [p.key for p in cluster.objects("pod") if p.namespace == n and p.labels.get("app") == app]
            for src in sources:
                if not ends or src in ends:
                    continue  # a pod that meets itself is masqueraded: engines differ
                allowed = {dst for dst in ends if cluster.policy.allowed(src, dst, 8080)}
                outcomes = cluster.outcomes(src, f"svc:{n}/s")
                assert {o.answered_by for o in outcomes if o} == allowed
                assert sum(o.probability for o in outcomes if not o) * len(ends) == len(ends) - len(allowed)
                checked += 1
    assert checked > 5


def test_a_planted_fault_is_caught() -> None:
    """So that the agreement above means something: let the agent's rules disappear from one node, and the two part."""
    rng = random.Random(3)
    parted = 0
    for case in range(6):
        cluster = kn.load(world(random.Random(f"fault/{case}")), policy="kube-router")
        for name in ("worker-1", "worker-2"):
            cluster.node(name).run("iptables -F")
        parted += sum(bool(cluster.preview(*f)) != bool(cluster.policy.allowed(*f)) for f in flows(rng, cluster, 20))
    assert parted > 5
