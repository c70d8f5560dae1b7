"""Clusters of several pod networks against this machine's kernel: what the lab programmed, loaded into real namespaces and asked the same.

Every kind of flow is asked in both: pods, nodes, Services, host ports, the world, sizes and the routers on the way. Where the two differ,
the kernel is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cluster.names import node_address, party
from kubenet_lab.cni import PLUGINS
from tests.cluster.cluster_fixtures import pod, service
from tests.cluster.kernel_twin import describe, run
from tests.kernel_lab.real import why_not

pytestmark = pytest.mark.kernel

WORLD = {4: "203.0.113.7", 6: "2001:db8::7"}
DUAL = ("IPv4", "IPv6")


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


def manifests() -> list[dict[str, Any]]:
    web = pod("default/web", "worker-1")
    web["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8088}]
    ports = (("http", 8080, "TCP"), ("echo", 9000, "UDP"))
    return [
        pod("default/client", "worker-1", {"app": "client"}, ports), pod("default/near", "worker-1", {"app": "near"}, ports),
        pod("default/far", "worker-2", {"app": "far"}, ports), web,
        pod("default/agent", "worker-2", {}, (("http", 9100, "TCP"),), hostNetwork=True),
        service("near", {"app": "near"}), service("own", {"app": "client"}),
        service("far", {"app": "far"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort"),
    ]  # fmt: skip


def pod_ips(cluster: kn.Cluster, name: str) -> list[str]:
    return list(cluster.get("pod", f"default/{name}").ips)  # type: ignore[attr-defined]


def questions(cluster: kn.Cluster, families: tuple[str, ...], mtu: int) -> list[tuple[str, str, str, int]]:
    """(source, protocol, address, port or size) of every kind of flow, in each family."""
    out: list[tuple[str, str, str, int]] = []
    for i, fam in enumerate(4 if f == "IPv4" else 6 for f in families):
        near, far = (pod_ips(cluster, name)[i] for name in ("near", "far"))
        one, two = (node_address(n, fam) for n in cluster.nodes)
        me, world = "default/client", f"external:{WORLD[fam]}"
        for src in (me, "node:worker-1", "node:worker-2", world):
            out += [(src, "TCP", near, 8080), (src, "TCP", far, 8080), (src, "TCP", far, 81)]
        out += [(me, "UDP", far, 9000), (me, "UDP", near, 9000), (me, "TCP", WORLD[fam], 80)]
        out += [(me, "TCP", one, 9100), (me, "TCP", two, 9100), ("default/agent", "TCP", near, 8080)]
        out += [(src, "TCP", one, 8088) for src in (me, "default/near", "default/far", "default/web", "node:worker-2", world)]
        header = 28 if fam == 4 else 48
        out += [(me, "ICMP", ip, mtu - header + more) for ip in (near, far) for more in (-20, -19, 0, 1)]
        if i == 0:
            vips = [cluster.get("svc", f"default/{k}").spec.cluster_ip for k in ("near", "far", "own")]  # type: ignore[attr-defined]
            out += [(me, "TCP", vip, 80) for vip in vips] + [("node:worker-1", "TCP", vips[1], 80)]
            out += [(world, "TCP", node, 30080) for node in (one, two)] + [(me, "TCP", two, 30080)]
    return out


def modelled(cluster: kn.Cluster, src: str, protocol: str, dst: str, number: int) -> list[str]:
    how: dict[str, Any] = {"size": number} if protocol == "ICMP" else {"port": number}
    trace = cluster.copy().flush().connect(src, dst, protocol=protocol, **how)
    if protocol == "ICMP":
        return [trace.verdict if trace.verdict in ("delivered", "too-big") else "lost", "", ""]
    return [trace.verdict, trace.answered_by or "", trace.source_seen or ""]


CASES: dict[str, tuple[Any, tuple[str, ...], int]] = {
    "vxlan": (kn.Flannel(), DUAL, 1450),
    "vxlan in IPv6 alone": (kn.Flannel(), ("IPv6",), 1450),
    "vxlan with DirectRouting": (kn.Flannel(direct_routing=True), ("IPv4",), 1450),
    "vxlan without --ip-masq": (kn.Flannel(ip_masq=False), ("IPv4",), 1450),
    "host-gw": (kn.Flannel(backend="host-gw"), DUAL, 1500),
    "bridge and static routes": ("bridge", DUAL, 1500),
}
CASES |= {name: (name, DUAL, 1500) for name in ("ptp", "macvlan") if name in PLUGINS}


@pytest.mark.parametrize("name", CASES)
def test_a_cluster_and_its_twin(name: str) -> None:
    cni, families, mtu = CASES[name]
    cluster = kn.load(manifests(), cni=cni, ip_families=families)
    asked = questions(cluster, families, mtu)
    want = [modelled(cluster, *q) for q in asked]
    for fam in (4, 6):
        if ("IPv4" if fam == 4 else "IPv6") in families:
            cluster.connect("node:worker-1", f"external:{WORLD[fam]}")  # the machine outside is there, and listens
    where = {src: party(cluster.snapshot(), src).namespace for src, *_ in asked}
    spec = describe(cluster.network(), [(where[src], *rest) for src, *rest in asked])
    far = pod_ips(cluster, "far")
    spec["paths"] = [["pod:default/client", ip] for ip in far]
    found = run(spec)
    differ = [f"{q}: the lab {w}, the kernel {got}" for q, w, got in zip(asked, want, found["answers"], strict=True) if w != got]
    assert not differ, "\n".join(differ)
    shown = [cluster.pod("default/client").run(f"traceroute -n -q 1 -m 6 {ip}").splitlines()[1:] for ip in far]
    assert [[line.split()[1] for line in lines] for lines in shown] == found["paths"]
