"""The decider against tables from upstream: the end-to-end cases, cyclonus' generators, the API text and the recipes."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import Namespace, NetworkPolicy, Pod
from kubenet_lab.policy import ExternalPeer, NodePeer, Peer, decide, pod_peer

HERE = Path(__file__).parent
NAMESPACES, NAMES = ("x", "y", "z"), ("a", "b", "c")
NODES = {"n1": "192.168.50.11", "n2": "192.168.50.12"}
SERVED = [{"name": f"serve-{n}-{p.lower()}", "port": n, "protocol": p} for n in (80, 81) for p in ("TCP", "UDP", "SCTP")]


def table(name: str) -> list[dict[str, Any]]:
    return yaml.safe_load((HERE / name).read_text())


def pod(ns: str, name: str, ip: str, labels: dict[str, str], ports: list[dict[str, Any]], node: str = "n1", **more: Any) -> Pod:
    document = {
        "kind": "Pod",
        "metadata": {"namespace": ns, "name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "hostNetwork": more.get("host_network", False),
            "containers": [
                {"ports": [{"name": p["name"], "containerPort": p["port"], "protocol": p.get("protocol", "TCP")} for p in ports]}
            ],
        },
        "status": {"podIP": ip, "phase": "Succeeded" if more.get("finished") else "Running"},
    }
    return msgspec.convert(document, Pod)


def world(case: dict[str, Any]) -> Snapshot:
    """The classic nine pods, relabelled and extended as the case says, with its policies."""
    objects: list[Any] = []
    for (i, ns), (j, name) in product(enumerate(NAMESPACES, 1), enumerate(NAMES, 1)):
        labels = case.get("pods", {}).get(f"{ns}/{name}", {"pod": name})
        objects.append(pod(ns, name, f"10.244.{i}.{j}", labels, SERVED))
    objects += [pod(**{"ports": [], **p}) for p in case.get("add", [])]
    for ns in NAMESPACES:
        labels = {"ns": ns, **case.get("namespaces", {}).get(ns, {})}
        objects.append(msgspec.convert({"kind": "Namespace", "metadata": {"name": ns, "labels": labels}}, Namespace))
    for i, p in enumerate(case["policies"]):
        spec = dict(p["spec"])
        if spec.get("podSelector", {}).get("matchLabels", {}) is None:
            spec["podSelector"] = {}
        document = {"kind": "NetworkPolicy", "metadata": {"name": f"p{i}", "namespace": p.get("ns", "x")}, "spec": spec}
        objects.append(msgspec.convert(document, NetworkPolicy))
    return Snapshot(objects)


def end(snapshot: Snapshot, text: str) -> Peer:
    kind, _, rest = text.partition(":")
    if kind == "external":
        return ExternalPeer(rest)
    if kind == "node":
        return NodePeer(rest, (NODES[rest],))
    return pod_peer(snapshot, text)


def meant(pattern: str, text: str) -> bool:
    if pattern == "*":
        return True
    ns, _, name = pattern.partition("/")
    return pattern == text or ("/" in pattern and "/" in text and ns in ("*", text.split("/")[0]) and name in ("*", text.split("/")[1]))


PODS = [f"{ns}/{name}" for ns in NAMESPACES for name in NAMES]
ENDS = [*PODS, "external:203.0.113.7"]


def check(case: dict[str, Any], others: list[str]) -> None:
    snapshot = world(case)
    port, protocol = case.get("port", 80), case.get("protocol", "TCP")
    asked = 0
    for src, dst in product(others, others):
        if src == dst or (src not in PODS and dst not in PODS):
            continue
        want = True
        for pattern_src, pattern_dst, verdict in case["expect"]:
            if meant(pattern_src, src) and meant(pattern_dst, dst):
                want = verdict
        got = decide(snapshot, end(snapshot, src), end(snapshot, dst), port, protocol)
        assert bool(got) is want, f"{src} -> {dst} {protocol} {port}\n{got.explain()}"
        asked += 1
    assert asked >= 72


E2E = table("netpol_e2e.yaml")
TEXT = table("netpol_api_text.yaml")
CYCLONUS = table("netpol_cyclonus.yaml")
CONFLICTS = [c for t in CYCLONUS for c in t.get("conflicts", [])]
PORTS = [(t["target"], t["peer"], c) for t in CYCLONUS for c in t.get("cases", [])]
PEERS = [(t["target"], c) for t in CYCLONUS for c in t.get("peers", [])]


def test_the_tables_are_as_large_as_claimed():
    assert len(E2E) == 65 and len(CONFLICTS) == 16 and len(PORTS) == 26 and len(PEERS) == 10 and len(TEXT) >= 50
    assert all(c["source"] for c in TEXT) and all(t["source"] for t in CYCLONUS)


@pytest.mark.parametrize("case", E2E, ids=[c["name"] for c in E2E])
def test_upstream_end_to_end(case):
    check(case, PODS)


@pytest.mark.parametrize("case", CONFLICTS, ids=[c["name"] for c in CONFLICTS])
def test_cyclonus_conflicts(case):
    check(case, ENDS)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize(("target", "peer", "case"), PORTS, ids=[str(c["ports"]) for _, _, c in PORTS])
def test_cyclonus_ports(target, peer, case, direction):
    spec = {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": [direction.capitalize()], direction: [{"ports": case["ports"]}]}
    snapshot = world({"policies": [{"spec": spec}]})
    src, dst = (peer, target) if direction == "ingress" else (target, peer)
    for protocol, port in product(("TCP", "UDP", "SCTP"), (80, 81)):
        got = decide(snapshot, end(snapshot, src), end(snapshot, dst), port, protocol)
        assert bool(got) is (f"{protocol} {port}" in case["admits"]), got.explain()


@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize(("target", "case"), PEERS, ids=[str(c["peers"]) for _, c in PEERS])
def test_cyclonus_peers(target, case, direction):
    word = "from" if direction == "ingress" else "to"
    spec = {"podSelector": {"matchLabels": {"pod": "a"}}, "policyTypes": [direction.capitalize()], direction: [{word: case["peers"]}]}
    snapshot = world({"policies": [{"spec": spec}]})
    for other in ENDS:
        if other != target:
            src, dst = (other, target) if direction == "ingress" else (target, other)
            got = decide(snapshot, end(snapshot, src), end(snapshot, dst), 80)
            want = any(meant(p, other) if p != "*/*" else "/" in other for p in case["admits"])
            assert bool(got) is want, got.explain()


@pytest.mark.parametrize("case", TEXT, ids=[c["name"] for c in TEXT])
def test_api_text(case):
    snapshot = world(case)
    for src, dst, what, want in case["probes"]:
        protocol, _, port = what.partition(" ")
        got = decide(snapshot, end(snapshot, src), end(snapshot, dst), int(port) if port.isdigit() else port or None, protocol)
        assert bool(got) is want, got.explain()
