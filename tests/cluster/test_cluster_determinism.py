"""Two loads are one cluster; the order of looking never changes an answer; what only looks changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import dynamic, everything, programmed

#: looks at a lot, and prints every answer in full
LOOK = """
import json, sys
import kubenet_lab as kn

c = kn.example("bookshop", policy=sys.argv[1] if len(sys.argv) > 1 else "auto")
out = [c.to_yaml(), str(c.summary()), c.node("worker-1").iptables_save(), c.node("worker-2").iptables_written()]
for src, dst, port, protocol in [
    ("shop/web", "svc:shop/cart", 8080, "TCP"), ("shop/web", "cart", "http", "TCP"), ("ops/jobs", "svc:data/db-read", 5432, "TCP"),
    ("shop/api", "db.data", 5432, "TCP"), ("external:203.0.113.9", "node:worker-1", 30080, "TCP"),
    ("node:worker-1", "svc:kube-system/kube-dns", 53, "UDP"),
    ("shop/web", "example.com", 443, "TCP"), ("shop/cart", "data/cache", 0, "ICMP"),
]:
    t = c.connect(src, dst, port, protocol)
    out += [json.dumps(t.to_dict()), str(t.explain(details=True)), repr(list(t.frames))]
    out += [repr(c.outcomes(src, dst, port, protocol))]
t = c.request("external:203.0.113.9", "http://shop.example/cart")
out += [json.dumps(t.to_dict()), repr([d for d in t.frames])]
out += [repr(c.resolve("shop/web", "db.data")), repr(c.policy.allowed("shop/web", "data/db", 5432)),
 str(c.diff(c.copy(policy="kube-router"))), repr(c.topology())]
out += [str(c.node(n).conntrack()) + str(c.node(n).fdb()) for n in ("worker-1", "worker-2")]
for part in out:
    print(part)
"""


def look(hash_seed: str, *argv: str) -> str:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", LOOK, *argv], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("policy", ["auto", "kube-router"])
def test_nothing_depends_on_hashes(policy: str) -> None:
    one = look("1", policy)
    assert len(one) > 100_000
    assert one.splitlines() == look("4242", policy).splitlines()


def test_two_loads_are_one_cluster() -> None:
    one, other = kn.example("bookshop"), kn.example("bookshop")
    assert everything(one) == everything(other)
    for c in (one, other):
        c.connect("shop/web", "svc:shop/api", 8080)
        c.request("external:203.0.113.7", "http://shop.example/api")
    assert everything(one) == everything(other)
    assert one.connect("shop/web", "cart", 8080).to_dict() == other.connect("shop/web", "cart", 8080).to_dict()


LOOKS: dict[str, Callable[[kn.Cluster], object]] = {
    "iptables_save": lambda c: [c.node(n.name).iptables_save() for n in reversed(c.nodes)],
    "ip6tables": lambda c: c.node("worker-2").iptables_save(family=6),
    "iptables_written": lambda c: c.node("worker-1").iptables_written(),
    "tables": lambda c: [(c.node(n.name).links(), c.node(n.name).routes(), c.node(n.name).neighbors(),
      c.node(n.name).fdb()) for n in c.nodes],
    "shell": lambda c: [c.pod("shop/web").run("ip addr"), c.node("worker-1").run("ip route get 10.244.1.5"),
     c.node("worker-2").run("iptables -t nat -S")],
    "summary": lambda c: (str(c.summary()), c.findings, c.topology(), c.evidence, c.to_yaml()),
    "outcomes": lambda c: c.outcomes("shop/web", "svc:shop/api", 8080),
    "preview": lambda c: [c.preview("shop/web", "svc:shop/api", 8080) for _ in range(3)],
    "preview outside": lambda c: [c.preview("external:203.0.113.7", "node:worker-1", 30080),
     c.preview("shop/web", "external:203.0.113.7", 7777)],
    "preview via": lambda c: c.preview("external:203.0.113.7", "svc:shop/api", 8080, via="worker-1"),
    "outcomes via": lambda c: c.outcomes("external:203.0.113.7", "node:worker-1", 30080, via="worker-2"),
    "policy": lambda c: [c.policy.allowed("shop/web", "data/db", p) for p in (5432, 80)],
    "dns": lambda c: [c.dns.query("cart.shop.svc.cluster.local"), c.dns.query("example.com"),
     c.dns.query("nope.example.com", client="shop/web")],
    "ingress": lambda c: c.ingress.route("http://shop.example/cart"),
    "diff": lambda c: c.diff(c.copy(policy="kube-router")),
    "copy": lambda c: c.copy().connect("shop/web", "svc:shop/api", 8080),
    "objects": lambda c: [c.objects(k) for k in ("pod", "svc", "netpol")],
    "plot": lambda c: c.plot.topology(),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_looking_changes_nothing(name: str) -> None:
    cluster = kn.example("bookshop")
    cluster.connect("shop/web", "cart", 8080)
    before = everything(cluster)
    LOOKS[name](cluster)
    assert everything(cluster) == before


@pytest.mark.parametrize("name", LOOKS)
def test_the_order_of_looking_changes_no_answer(name: str) -> None:
    def answers(cluster: kn.Cluster) -> list[object]:
        asked = [
            cluster.connect("shop/web", "svc:shop/api", 8080), cluster.connect("external:203.0.113.7", "node:worker-1", 30080),
            cluster.connect("shop/web", "203.0.113.7", 80), cluster.connect("shop/web", "external:203.0.113.7", 7777),
            cluster.connect("external:203.0.113.7", "svc:shop/api", 8080), cluster.request("external:203.0.113.7", "http://shop.example/cart"),
        ]  # fmt: skip
        return [t.to_dict() for t in asked]

    first, second = kn.example("bookshop"), kn.example("bookshop")
    LOOKS[name](second)
    assert answers(first) == answers(second)
    assert programmed(first) == programmed(second) and dynamic(first) == dynamic(second)
    assert first.topology() == second.topology()


def test_rules_are_those_of_the_time_of_building() -> None:
    """A node's rules are made when first looked at; a hand edit before that must not change them."""
    early, late = (kn.load(MANIFESTS, proxy=kn.KubeProxy(node_port_addresses=["10.77.0.0/16"])) for _ in range(2))
    early.node("worker-1").iptables_save()
    for c in (early, late):
        c.node("worker-1").run("ip addr add 10.77.1.1/16 dev eth0")
    assert early.node("worker-1").iptables_save() == late.node("worker-1").iptables_save()


MANIFESTS = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "a"}},
     "spec": {"nodeName": "worker-1", "containers": [{"name": "c", "image": "c"}]}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},
     "spec": {"type": "NodePort", "selector": {"app": "a"}, "ports": [{"port": 80}]}},
]  # fmt: skip


def test_a_question_from_outside_leaves_no_route_behind() -> None:
    cluster = kn.example("bookshop")
    plain = cluster.preview("external:203.0.113.7", "svc:shop/api", 8080)
    assert plain.verdict == "timeout", "the world does not know Service addresses"
    assert cluster.connect("external:203.0.113.7", "svc:shop/api", 8080, via="worker-1")
    assert cluster.preview("external:203.0.113.7", "svc:shop/api", 8080).verdict == "timeout"
