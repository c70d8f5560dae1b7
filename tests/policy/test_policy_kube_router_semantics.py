"""The decider's kube-router engine against the rules it writes: every pair of a random cluster, followed through the text."""

from __future__ import annotations

from collections import Counter
from itertools import product
from random import Random

import pytest
from policy_worlds import NODES, OUTSIDE, ends_of, peer_of, random_cluster, snapshot_of
from rule_reader import Packet, Rules

from kubenet_lab.policy import decide
from kubenet_lab.policy.kube_router import rules

ASKED = ((80, "TCP"), (81, "TCP"), (80, "UDP"), (71, "SCTP"), (None, "ICMP"), (None, "GRE"))


def loaded(snapshot) -> dict[str, Rules]:
    out = {}
    for node, address in NODES.items():
        compiled = rules(snapshot, node, [address])
        out[node] = Rules()
        out[node].read_ipset(compiled.ipset_text)
        out[node].read_iptables(compiled.iptables_text)
    return out


def place(cluster, end):
    """(address, node it is on or None, does it live in the node's own network?)."""
    if end[0] == "pod":
        pod = next(p for p in cluster["pods"] if (p["ns"], p["name"]) == end[1:])
        return pod["ip"], pod["node"], pod.get("host_network", False)
    return (end[2], end[1], True) if end[0] == "node" else (end[1], None, False)


def walk(nodes: dict[str, Rules], src, dst, port, protocol, hairpin: bool = False) -> bool:
    """One packet through the hooks of the nodes it meets: OUTPUT or FORWARD on the sender's, FORWARD or INPUT on the receiver's."""
    (a, node_a, host_a), (b, node_b, host_b) = src, dst
    if a == b and not hairpin:
        return True
    hooks: list[tuple[str, str]] = []
    if node_a is not None:
        here = node_a == node_b
        hooks.append((node_a, "OUTPUT" if host_a else "INPUT" if host_b and here else "FORWARD"))
        if host_a and host_b and here:
            hooks.append((node_a, "INPUT"))
    if node_b is not None and node_b != node_a:
        hooks.append((node_b, "INPUT" if host_b else "FORWARD"))
    for node, hook in hooks:
        packet = Packet(a, b, protocol.lower(), port, local=(NODES[node],))
        verdict = nodes[node].verdict(hook, packet)
        if verdict in ("DROP", "REJECT"):
            return False
    return True


def test_the_rules_say_what_the_decider_says(cases, seed):
    met: Counter[str] = Counter()
    for case in range(cases(120)):
        cluster = random_cluster(Random(f"{seed}/rules/{case}"))
        cluster["pods"] = [p for p in cluster["pods"] if not p["finished"]]
        snapshot = snapshot_of(cluster)
        nodes = loaded(snapshot)
        ends = [(e, place(cluster, e), peer_of(snapshot, e)) for e in ends_of(cluster)]
        for (src, a, x), (dst, b, y) in product(ends, ends):
            if src[0] == dst[0] == "external":
                continue
            if a[0] == b[0] and src != dst:
                continue  # two hostNetwork pods of one node, or one and its node: the packet stays on lo
            for port, protocol in ASKED:
                got = decide(snapshot, x, y, port, protocol, engine="kube-router")
                want = walk(nodes, a, b, port, protocol)
                assert bool(got) is want, (case, src, dst, port, protocol, cluster, got.explain())
                spec = decide(snapshot, x, y, port, protocol)
                met["allowed" if got else "denied"] += 1
                if bool(spec) is not bool(got):
                    met[why(got, spec, dst)] += 1
    print(f"seed {seed}:", dict(sorted(met.items())))
    assert met["denied"] > 500 and met["allowed"] > 500
    for difference in ("ICMP always", "a rule of the other direction", "to its own node"):
        assert met[difference] > 0, (difference, met)


def why(got, spec, dst) -> str:
    """In what the engine differs from the API text."""
    if "policy.icmp_always" in (got.egress.exempt, got.ingress.exempt):
        return "ICMP always"
    if got.egress.foreign or got.ingress.foreign:
        return "a rule of the other direction"
    if spec.egress.exempt == "policy.to_local_node" and not got.egress:
        return "to its own node"
    return "address sets"


def test_a_pod_that_dials_itself_through_a_service(cases, seed):
    """One chain, both directions: a consent of either is enough."""
    met: Counter[bool] = Counter()
    for case in range(cases(150)):
        cluster = random_cluster(Random(f"{seed}/hairpin/{case}"), special=False)
        snapshot = snapshot_of(cluster)
        nodes = loaded(snapshot)
        for end in ends_of(cluster)[: len(cluster["pods"])]:
            at = place(cluster, end)
            for port, protocol in ASKED[:4]:
                got = decide(snapshot, peer_of(snapshot, end), peer_of(snapshot, end), port, protocol, engine="kube-router", hairpin=True)
                assert bool(got) is walk(nodes, at, at, port, protocol, hairpin=True), (case, end, port, protocol, cluster, got.explain())
                assert got.reasons
                met[bool(got)] += 1
    assert met[True] > 50 and met[False] > 50


def only(spec, ns="x"):
    return {"metadata": {"name": "p", "namespace": ns}, "spec": spec}


def two_pods(*policies, ports=(), labels=({"app": "a"}, {"app": "b"})):
    pods = [
        {"ns": "x", "name": f"p{i}", "labels": labels[i], "node": f"n{i + 1}", "ip": f"10.244.{i + 1}.1", "ports": list(ports)}
        for i in range(2)
    ]
    return snapshot_of({"pods": pods, "namespaces": {}, "policies": list(policies)})


QUIRKS = {
    "a policy for both directions lets its ingress rule admit what leaves": (
        [only({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": []})], 80, False, True,
    ),
    "an unknown port name opens every port to the peers": (
        [only({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": "nobody-has-it"}]}]})], 80, False, True,
    ),
    "an unknown port name without peers opens nothing": (
        [only({"podSelector": {}, "ingress": [{"ports": [{"port": "nobody-has-it"}]}]})], 80, False, False,
    ),
    "the exception of one ipBlock binds a wider one of the same rule": (
        [only({"podSelector": {}, "ingress": [{"from": [
            {"ipBlock": {"cidr": "10.244.1.0/24", "except": ["10.244.1.1/32"]}}, {"ipBlock": {"cidr": "10.244.0.0/16"}}]}]})],
        80, True, False,
    ),
    "in another rule it does not": (
        [only({"podSelector": {}, "ingress": [
            {"from": [{"ipBlock": {"cidr": "10.244.1.0/24", "except": ["10.244.1.1/32"]}}]},
            {"from": [{"ipBlock": {"cidr": "10.244.0.0/16"}}]}]})],
        80, True, True,
    ),
    "every address of IPv4 is two halves": (
        [only({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]})], 80, True, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("quirk", QUIRKS)
def test_where_kube_router_differs_from_the_api_text(quirk):
    policies, port, spec, router = QUIRKS[quirk]
    snapshot = two_pods(*policies)
    a, b = peer_of(snapshot, ("pod", "x", "p0")), peer_of(snapshot, ("pod", "x", "p1"))
    assert bool(decide(snapshot, a, b, port)) is spec
    got = decide(snapshot, a, b, port, engine="kube-router")
    assert bool(got) is router
    assert walk(loaded(snapshot), ("10.244.1.1", "n1", False), ("10.244.2.1", "n2", False), port, "TCP") is router
    if not router and spec:
        assert "policy.address_sets" in [r.code for r in got.reasons]


def test_an_egress_name_without_peers_means_the_numbers_of_the_policys_namespace():
    snapshot = two_pods(
        only({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "web"}]}]}), ports=[{"name": "web", "port": 80}]
    )
    outside = peer_of(snapshot, ("external", OUTSIDE[0]))
    a = peer_of(snapshot, ("pod", "x", "p0"))
    assert not decide(snapshot, a, outside, 80)
    assert decide(snapshot, a, outside, 80, engine="kube-router")
    assert not decide(snapshot, a, outside, 81, engine="kube-router")
