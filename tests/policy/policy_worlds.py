"""Small clusters for the policy tests: from plain dicts to a Snapshot, and random ones for hypothesis."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from kubenet_lab.objects.snapshot import Snapshot
from kubenet_lab.objects.views import Namespace, NetworkPolicy, Node, Pod
from kubenet_lab.policy.peers import ExternalPeer, NodePeer, Peer, pod_peer

NODES = {"n1": "192.168.50.11", "n2": "192.168.50.12"}
OUTSIDE = ("203.0.113.7", "198.51.100.20")


def pod_document(pod: dict[str, Any]) -> dict[str, Any]:
    ports = [{"name": p["name"], "containerPort": p["port"], "protocol": p.get("protocol", "TCP")} for p in pod.get("ports", [])]
    ip = {"podIP": pod["ip"], "podIPs": [{"ip": i} for i in (pod["ip"], *pod.get("more_ips", ()))]} if pod.get("ip") else {}
    return {
        "kind": "Pod",
        "metadata": {"name": pod["name"], "namespace": pod["ns"], "labels": pod["labels"]},
        "spec": {
            "nodeName": pod.get("node", "n1"),
            "hostNetwork": bool(pod.get("host_network")),
            "containers": [{"name": "c", "ports": ports}],
        },
        "status": {"phase": "Succeeded" if pod.get("finished") else "Running", "hostIP": NODES.get(pod.get("node", "n1"), ""), **ip},
    }


def snapshot_of(cluster: dict[str, Any]) -> Snapshot:
    objects: list[Any] = [msgspec.convert(pod_document(p), Pod) for p in cluster["pods"]]
    for name, labels in cluster["namespaces"].items():
        objects.append(msgspec.convert({"kind": "Namespace", "metadata": {"name": name, "labels": labels}}, Namespace))
    for policy in cluster["policies"]:
        objects.append(msgspec.convert({"kind": "NetworkPolicy", **policy}, NetworkPolicy))
    for name, ip in NODES.items():
        status = {"addresses": [{"type": "InternalIP", "address": ip}]}
        objects.append(msgspec.convert({"kind": "Node", "metadata": {"name": name}, "status": status}, Node))
    return Snapshot(objects)


def peer_of(snapshot: Snapshot, end: tuple[str, ...]) -> Peer:
    if end[0] == "pod":
        return pod_peer(snapshot, f"{end[1]}/{end[2]}")
    return NodePeer(end[1], (end[2],)) if end[0] == "node" else ExternalPeer(end[1])


def ends_of(cluster: dict[str, Any]) -> list[tuple[str, ...]]:
    pods = [("pod", p["ns"], p["name"]) for p in cluster["pods"]]
    return [*pods, *(("node", n, ip) for n, ip in NODES.items()), *(("external", ip) for ip in OUTSIDE)]


# --- random clusters -------------------------------------------------------------------------------------------------
KEYS, VALUES, NAMES = ("app", "tier"), ("a", "b", ""), ("web", "db")
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)


@st.composite
def terms(draw: Any, keys: tuple[str, ...] = KEYS, values: tuple[str, ...] = VALUES) -> dict[str, Any]:
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]))
    term: dict[str, Any] = {"key": draw(st.sampled_from(keys)), "operator": operator}
    if operator in ("In", "NotIn"):
        term["values"] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
    return term


@st.composite
def selectors(draw: Any) -> dict[str, Any]:
    selector: dict[str, Any] = {}
    if draw(st.booleans()):
        selector["matchLabels"] = draw(labels)
    if draw(st.integers(0, 2)) == 0:
        selector["matchExpressions"] = draw(st.lists(terms(), max_size=2))
    return selector


@st.composite
def namespace_selectors(draw: Any) -> dict[str, Any]:
    if draw(st.booleans()):
        return draw(selectors())
    return {"matchExpressions": [draw(terms(("kubernetes.io/metadata.name",), ("x", "y")))]}


@st.composite
def blocks(draw: Any) -> dict[str, Any]:
    cidr, excepts = draw(st.sampled_from([
        ("0.0.0.0/0", ["10.244.0.0/16", "203.0.113.0/24"]), ("10.244.0.0/16", ["10.244.1.0/24", "10.244.2.1/32"]),
        ("10.244.1.0/24", ["10.244.1.1/32", "10.244.1.2/31"]), ("192.168.50.0/24", ["192.168.50.12/32"]), ("203.0.113.7/32", []),
        ("::/0", ["fd00::/8"]), ("10.244.2.1/32", []),
    ]))  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(excepts), unique=True, max_size=2)) if excepts else []
    return {"ipBlock": {"cidr": cidr, **({"except": chosen} if chosen else {})}}


@st.composite
def peers(draw: Any) -> dict[str, Any]:
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return {"podSelector": draw(selectors())}
    if kind == 1:
        return {"namespaceSelector": draw(namespace_selectors())}
    if kind == 2:
        return {"podSelector": draw(selectors()), "namespaceSelector": draw(namespace_selectors())}
    return draw(blocks())


@st.composite
def ports(draw: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    if draw(st.booleans()):
        entry["protocol"] = draw(st.sampled_from(["TCP", "UDP", "SCTP"]))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        entry["port"] = draw(st.sampled_from([79, 80, 81]))
    elif kind == 1:
        entry["port"] = draw(st.sampled_from(NAMES))
    elif kind == 2:
        entry["port"] = draw(st.sampled_from([70, 80]))
        entry["endPort"] = entry["port"] + draw(st.sampled_from([0, 1, 10]))
    return entry


@st.composite
def policies(draw: Any, number: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"podSelector": draw(selectors())}
    for direction, word in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            rules = []
            for _ in range(draw(st.integers(0, 2))):
                rule: dict[str, Any] = {}
                if draw(st.integers(0, 3)):
                    rule[word] = draw(st.lists(peers(), max_size=2))
                if draw(st.booleans()):
                    rule["ports"] = draw(st.lists(ports(), max_size=2))
                rules.append(rule)
            spec[direction] = rules
    if draw(st.booleans()):
        spec["policyTypes"] = draw(st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]))
    return {"metadata": {"name": f"p{number}", "namespace": draw(st.sampled_from(["x", "y"]))}, "spec": spec}


@st.composite
def clusters(draw: Any, special: bool = True) -> dict[str, Any]:
    """2 to 5 pods in two namespaces on two nodes, up to 3 policies; `special`: hostNetwork and finished pods too."""
    pods = []
    for i in range(draw(st.integers(2, 5))):
        node = draw(st.sampled_from(["n1", "n2"]))
        host = special and draw(st.integers(0, 7)) == 0
        named = draw(st.lists(st.sampled_from([("web", 80, "TCP"), ("db", 81, "TCP"), ("db", 80, "UDP"), ("web", 81, "TCP")]), max_size=2))
        pods.append({
            "ns": draw(st.sampled_from(["x", "y", "z"])), "name": f"p{i}", "labels": draw(labels), "node": node, "host_network": host,
            "finished": special and draw(st.integers(0, 9)) == 0,
            "ip": NODES[node] if host else f"10.244.{1 if node == 'n1' else 2}.{i + 1}",
            "ports": [{"name": n, "port": p, "protocol": t} for n, p, t in dict.fromkeys(named)],
        })  # fmt: skip
    return {
        "pods": pods,
        "namespaces": {n: draw(labels) for n in draw(st.lists(st.sampled_from(["x", "y", "z"]), unique=True))},
        "policies": [draw(policies(i)) for i in range(draw(st.integers(0, 3)))],
    }


# --- random clusters from a seed: dense enough that rules do admit ---------------------------------------------------------
def random_selector(rng: Random, keys: tuple[str, ...] = KEYS, values: tuple[str, ...] = VALUES) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {}
    if rng.random() < 0.6:
        return {"matchLabels": {rng.choice(keys): rng.choice(values)}}
    operator = rng.choice(["In", "NotIn", "Exists", "DoesNotExist"])
    term = {
        "key": rng.choice(keys),
        "operator": operator,
        **({"values": rng.sample(values, rng.randint(1, 2))} if "In" in operator else {}),
    }
    return {"matchExpressions": [term], **({"matchLabels": {rng.choice(keys): rng.choice(values)}} if rng.random() < 0.2 else {})}


def random_peer(rng: Random) -> dict[str, Any]:
    kind = rng.randrange(4)
    if kind == 3:
        cidr, excepts = rng.choice([
            ("0.0.0.0/0", ["10.244.0.0/16", "203.0.113.0/24"]), ("10.244.0.0/16", ["10.244.1.0/24", "10.244.2.1/32"]),
            ("10.244.1.0/24", ["10.244.1.1/32"]), ("192.168.50.0/24", ["192.168.50.12/32"]), ("203.0.113.7/32", []), ("10.244.2.0/24", []),
        ])  # fmt: skip
        chosen = rng.sample(excepts, rng.randint(0, len(excepts)))
        return {"ipBlock": {"cidr": cidr, **({"except": chosen} if chosen else {})}}
    by_name = random_selector(rng, ("kubernetes.io/metadata.name",), ("x", "y")) if rng.random() < 0.6 else random_selector(rng)
    return {**({"podSelector": random_selector(rng)} if kind != 1 else {}), **({"namespaceSelector": by_name} if kind else {})}


def random_port(rng: Random) -> dict[str, Any]:
    entry: dict[str, Any] = {"protocol": rng.choice(["TCP", "TCP", "UDP", "SCTP"])} if rng.random() < 0.6 else {}
    kind = rng.randrange(4)
    if kind == 0:
        entry["port"] = rng.choice([80, 80, 81])
    elif kind == 1:
        entry["port"] = rng.choice(NAMES)
    elif kind == 2:
        entry.update(port=rng.choice([70, 80]), endPort=rng.choice([80, 81, 90]))
    return entry


def random_policy(rng: Random, number: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"podSelector": random_selector(rng) if rng.random() < 0.7 else {}}
    for direction, word in (("ingress", "from"), ("egress", "to")):
        if rng.random() < 0.65:
            rules = []
            for _ in range(rng.choice([0, 1, 1, 2])):
                rule: dict[str, Any] = {}
                if rng.random() < 0.8:
                    rule[word] = [random_peer(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
                if rng.random() < 0.5:
                    rule["ports"] = [random_port(rng) for _ in range(rng.choice([1, 1, 2]))]
                rules.append(rule)
            spec[direction] = rules
    if rng.random() < 0.6:
        spec["policyTypes"] = rng.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    return {"metadata": {"name": f"p{number}", "namespace": rng.choice(["x", "x", "y"])}, "spec": spec}


def random_cluster(rng: Random, special: bool = True) -> dict[str, Any]:
    """3 to 7 pods in three namespaces on two nodes, 1 to 4 policies."""
    pods = []
    for i in range(rng.randint(3, 7)):
        node = rng.choice(["n1", "n2"])
        host = special and rng.random() < 0.1
        named = rng.sample([("web", 80, "TCP"), ("db", 81, "TCP"), ("db", 80, "UDP"), ("web", 81, "TCP")], rng.randint(0, 2))
        pods.append({
            "ns": rng.choice(["x", "x", "y", "z"]), "name": f"p{i}", "node": node, "host_network": host,
            "finished": special and rng.random() < 0.08,
            "labels": {k: rng.choice(VALUES) for k in KEYS if rng.random() < 0.7},
            "ip": NODES[node] if host else f"10.244.{1 if node == 'n1' else 2}.{i + 1}",
            "ports": [{"name": n, "port": p, "protocol": t} for n, p, t in named],
        })  # fmt: skip
    return {
        "pods": pods,
        "namespaces": {
            n: {k: rng.choice(VALUES) for k in KEYS if rng.random() < 0.5} for n in rng.sample(["x", "y", "z"], rng.randint(0, 3))
        },
        "policies": [random_policy(rng, i) for i in range(rng.randint(1, 4))],
    }
