"""Random clusters and their twins in the kernel: any modelled pod network, either or both families, a fault or two made from a shell."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab import KubenetError
from kubenet_lab.cluster.names import node_addresses, party
from kubenet_lab.cni import PLUGINS
from tests.cluster.cluster_fixtures import pod, service
from tests.cluster.kernel_twin import describe, run
from tests.kernel_lab.real import why_not

pytestmark = pytest.mark.kernel

WORLD = {4: "203.0.113.7", 6: "2001:db8::7"}
#: these leave both families as they are; what they hit is drawn
FAULTS = (
    "ip route del {cidr}", "ip -6 route del {cidr6}", "ip route add blackhole {ip}/32", "iptables -I FORWARD -d {ip} -j DROP",
    "iptables -I FORWARD -s {ip} -j REJECT", "ip6tables -I FORWARD -d {ip6} -j DROP", "iptables -t nat -F FLANNEL-POSTRTG",
    "ip link set flannel.1 down", "ip link set cni0 down", "sysctl -w net.ipv4.ip_forward=0", "iptables -P FORWARD DROP",
    "iptables -I INPUT -p udp --dport 8472 -j DROP", "sysctl -w net.bridge.bridge-nf-call-iptables=0",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


def networks(rng: random.Random) -> Any:
    names = ["bridge", *(n for n in ("ptp", "macvlan") if n in PLUGINS)]
    flannel: list[dict[str, Any]] = [
        {}, {"direct_routing": True}, {"backend": "host-gw"}, {"ip_masq": False}, {"mtu": 1400}, {"vni": 7, "port": 4789},
        {"hairpin_mode": False}, {"backend": "host-gw", "ip_masq": False}, {"forward_rules": False},
    ]  # fmt: skip
    return rng.choice([*names, *(kn.Flannel(**options) for options in flannel)])


def draw(seed: int) -> tuple[kn.Cluster, list[tuple[str, str, str, int]], list[str]]:
    """(a cluster, questions, the faults that were made)."""
    rng = random.Random(seed)
    families = rng.choice([("IPv4",), ("IPv4", "IPv6"), ("IPv6",), ("IPv6", "IPv4")])
    count = rng.randint(2, 3)
    names = [f"p{i}" for i in range(rng.randint(3, 5))]
    homes = {name: f"worker-{rng.randint(1, count)}" for name in names}
    docs = [pod(f"default/{n}", homes[n], {"app": n}, (("http", 8080, "TCP"), ("echo", 9000, "UDP"))) for n in names]
    backend = rng.choice(names)
    docs.append(service("svc", {"app": backend}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort"))
    cluster = kn.load(docs, nodes=count, cni=networks(rng), ip_families=families, underlay={"mtu": rng.choice([1500, 1500, 9000])})
    fams = [4 if f == "IPv4" else 6 for f in families]
    faults = []
    for _ in range(rng.choice([0, 0, 1, 2])):
        victim, where = cluster.get("pod", f"default/{rng.choice(names)}"), rng.choice(cluster.nodes)
        other = rng.choice(cluster.nodes).spec.pod_cidrs
        values = {"ip": "192.0.2.1", "ip6": "2001:db8:9::1", "cidr": "192.0.2.0/24", "cidr6": "2001:db8:9::/64"}
        values |= {"ip6" if ":" in ip else "ip": ip for ip in victim.ips}  # type: ignore[attr-defined]
        values |= {"cidr6" if ":" in c else "cidr": c for c in other}
        command = rng.choice(FAULTS).format(**values)
        try:
            cluster.node(where.name).run(command)
        except KubenetError:
            continue  # nothing there to break
        faults.append(f"{where.name}: {command}")
    sources = [*(f"default/{n}" for n in names), *(f"node:{n.name}" for n in cluster.nodes), *(f"external:{WORLD[f]}" for f in fams)]
    out: list[tuple[str, str, str, int]] = []
    for _ in range(24):
        fam = rng.choice(fams)
        src = rng.choice([s for s in sources if not s.startswith("external:") or s == f"external:{WORLD[fam]}"])
        own = list(cluster.get("pod", f"default/{rng.choice(names)}").ips)  # type: ignore[attr-defined]
        ip = next(a for a in own if (":" in a) == (fam == 6))
        machine = next(a for a in node_addresses(rng.choice(cluster.nodes)) if (":" in a) == (fam == 6))
        vip = cluster.get("svc", "default/svc").spec.cluster_ip  # type: ignore[attr-defined]
        flows = [("TCP", ip, 8080), ("TCP", ip, 8080), ("UDP", ip, 9000), ("TCP", ip, 81), ("TCP", WORLD[fam], 80), ("TCP", machine, 10250)]
        flows += [("TCP", vip, 80)] if (":" in vip) == (fam == 6) and not src.startswith("external:") else []
        flows += [("TCP", machine, 30080)] if fam == fams[0] else []
        protocol, dst, number = rng.choice(flows)
        if not src.endswith(dst):
            out.append((src, protocol, dst, number))
    return cluster, out, faults


def test_random_clusters_and_their_twins(cases: Callable[[int], int], seed: int) -> None:
    differ, asked = [], 0
    for case in range(cases(4)):
        cluster, questions, faults = draw(seed * 10_000 + case)
        want = []
        for src, protocol, dst, port in questions:
            trace = cluster.copy().flush().connect(src, dst, port, protocol)
            # a client that hears nothing does not know whether a server saw it
            want.append([trace.verdict, *((trace.answered_by or "", trace.source_seen or "") if trace else ("", ""))])
        named = {dst for _, _, dst, _ in questions} | {src.removeprefix("external:") for src, *_ in questions}
        for address in named & set(WORLD.values()):
            cluster.connect("node:worker-1", f"external:{address}")  # the machine outside is there, and listens
        where = {src: party(cluster.snapshot(), src).namespace for src, *_ in questions}
        told = list(zip(questions, want, strict=True))
        for _ in range(2):  # what disagrees is asked again in a fresh twin: a busy machine is late with its third ARP request
            found = run(describe(cluster.network(), [(where[q[0]], *q[1:]) for q, _ in told]))["answers"] if told else []
            got = [(q, w, k) for (q, w), k in zip(told, found, strict=True) if w != k]
            told = [(q, w) for q, w, _ in got]
        head = f"case {case}: {cluster.pod_network} {cluster.options.cni} {cluster.options.ip_families} {faults}"
        differ += [f"{head}\n  {q}: the lab {w}, the kernel {k}" for q, w, k in got]
        asked += len(questions)
    assert not differ, "\n".join(differ)
    assert asked >= 20
