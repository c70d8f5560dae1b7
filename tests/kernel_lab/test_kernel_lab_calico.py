"""A whole cluster on Calico as the lab programs it, built again in real namespaces and asked the same: routes, proxy ARP, sets, rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.kernel.state import State
from tests.cluster.cluster_fixtures import pod, service
from tests.kernel_lab import model
from tests.kernel_lab.compare import same
from tests.kernel_lab.real import Real
from tests.kernel_lab.replay import Replay

pytestmark = pytest.mark.kernel

PORT, HOST_PORT = 8080, 9100
OUTSIDE = "192.168.50.100"


def cluster() -> kn.Cluster:
    """Three nodes and four small blocks: the third node has none, and borrows. A Service per way of being reached, with one endpoint."""
    web = (("http", PORT, "TCP"),)
    docs = [pod(f"n{n}-{i}", f"worker-{n}", {"app": f"n{n}-{i}"}, web) for n, many in ((1, 6), (2, 5), (3, 2)) for i in range(many)]
    docs += [
        *(service(name, {"app": app}) for name, app in (("near", "n1-1"), ("far", "n2-0"), ("self", "n1-0"), ("nobody", "none"))),
        service("public", {"app": "n2-1"}, {"port": 80, "targetPort": PORT, "nodePort": 30080}, type="NodePort"),
        service(
            "local", {"app": "n2-1"}, {"port": 80, "targetPort": PORT, "nodePort": 30081}, type="NodePort", externalTrafficPolicy="Local"
        ),
    ]  # fmt: skip
    pools = [{"cidr": "10.244.0.0/28", "block_size": 30}, {"cidr": "172.30.0.0/24", "name": "other", "disabled": True}]
    found = kn.load(docs, nodes=3, cni=kn.Calico(pools), dns="none", pod_cidr="10.244.0.0/16", ip_families=("IPv4",))
    found.preview(f"external:{OUTSIDE}", "node:worker-1", HOST_PORT)
    return found


class Pair:
    def __init__(self, real: Real, replay: Replay):
        self.real, self.replay, self.serial = real, replay, 41000

    def ask(self, asked: list[tuple[str, str, int, str]], **more: Any) -> list[dict[str, Any]]:
        """Every question to both sides; the same answers."""
        probes = []
        for src, dst, port, proto in asked:
            self.serial += 1
            base = {"case": self.replay.name, "src": src, "dst": dst, "port": port, "proto": proto, "sport": self.serial, "size": 100}
            probes.append({**base, "timeout": 2.0, **more})
        found = self.real.ask("probe", probes=probes)
        for probe, answer in zip(probes, found, strict=True):
            said, _ = model.ask(self.replay.net, State(), probe)
            assert same(said, answer), f"{probe}\nmodel {said}\nreal  {answer}"
        return list(found)


@pytest.fixture(scope="module")
def lab() -> kn.Cluster:
    return cluster()


@pytest.fixture(scope="module")
def pair(real: Real, lab: kn.Cluster) -> Iterator[Pair]:
    net = lab.network()
    net.external(OUTSIDE)
    ports: dict[str, list[tuple[str, int]]] = {
        id: [("TCP", PORT if id.startswith("pod:") else HOST_PORT), ("UDP", 53)]
        for id, ns in net.namespaces.items() if ns.host != "gateway"
    }
    with Replay(real, net, "calico", ports) as replay:
        yield Pair(real, replay)


def everyone(lab: kn.Cluster) -> tuple[list[str], dict[str, str]]:
    """Names of namespaces that ask, and addresses by namespace."""
    pods = {f"pod:{p.key}": p.ips[0] for p in lab.objects("pod")}  # type: ignore[attr-defined]
    nodes = {n.name: n.status.addresses[0].address for n in lab.nodes}
    return [*pods, *nodes, f"external:{OUTSIDE}"], {**pods, **nodes}


def test_the_cluster_has_what_it_is_to_show(lab: kn.Cluster) -> None:
    routes = lab.node("worker-2").run("ip route")
    assert routes.count("blackhole") == 2 and sum("/30 via" in r for r in routes.splitlines()) == 2
    assert sum("via 192.168.50.13" in r for r in routes.splitlines()) == 2, "borrowed addresses"
    assert "blackhole" not in lab.node("worker-3").run("ip route")
    assert len({p.ips[0] for p in lab.objects("pod")}) == 13  # type: ignore[attr-defined]


def test_everyone_to_everyone(pair: Pair, lab: kn.Cluster) -> None:
    """Verdict, who answered, and the source that was seen: by TCP and UDP, with natOutgoing on the way to nodes and to the world."""
    sources, targets = everyone(lab)
    asked = [(s, ip, PORT if t.startswith("pod:") else HOST_PORT, "TCP") for s in sources for t, ip in targets.items()]
    asked += [(s, OUTSIDE, HOST_PORT, "TCP") for s in sources]
    answers = pair.ask(asked)
    assert len(answers) == len(sources) * (len(targets) + 1)
    assert [a["verdict"] for a in answers].count("delivered") == len(answers) - 13, "the machine outside has no way to the pods"
    pair.ask([(s, ip, 53, "UDP") for s in sources for ip in targets.values()])


def test_services(pair: Pair, lab: kn.Cluster) -> None:
    sources, _ = everyone(lab)
    vips = {s.name: s.spec.cluster_ip for s in lab.objects("svc") if s.name != "kubernetes"}  # type: ignore[attr-defined]
    answers = pair.ask([(s, ip, 80, "TCP") for s in sources if not s.startswith("external") for ip in vips.values()])
    assert {a["verdict"] for a in answers} == {"delivered", "refused"}
    node_ports = pair.ask([(s, f"192.168.50.{n}", port, "TCP") for s in sources for n in (11, 12, 13) for port in (30080, 30081)])
    assert {a["verdict"] for a in node_ports} == {"delivered", "timeout"}
    seen = {a["seen"] for a in pair.ask([(f"external:{OUTSIDE}", "192.168.50.11", 30080, "TCP")])}
    assert seen == {"192.168.50.11"}, "the node's address, and no other"


def test_ttl_and_absent_addresses(pair: Pair, lab: kn.Cluster) -> None:
    _, targets = everyone(lab)
    far = [ip for t, ip in targets.items() if t.startswith("pod:")]
    for ttl in (1, 2, 3):
        pair.ask([("pod:default/n1-0", ip, 53, "UDP") for ip in far], ttl=ttl)
    used = set(targets.values())
    absent = [f"10.244.0.{i}" for i in range(16) if f"10.244.0.{i}" not in used]
    assert len(absent) == 3
    answers = pair.ask([(s, ip, PORT, "TCP") for s in ("pod:default/n1-0", "worker-1", f"external:{OUTSIDE}") for ip in absent])
    assert {a["error"] for a in answers} <= {None, "EINVAL", "EHOSTUNREACH"}


def test_sizes(pair: Pair, lab: kn.Cluster) -> None:
    _, targets = everyone(lab)
    for size in (1472, 1473):
        far = ("pod:default/n1-1", "pod:default/n2-0", "worker-2")
        pair.ask([("pod:default/n1-0", targets[t], 0, "ICMP") for t in far], size=size, df=True)
