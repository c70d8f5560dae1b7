"""Random clusters with random Services, and what is asked of them in the lab and in their twin in the kernel."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import kubenet_lab as kn
from kubenet_lab.cluster.names import node_address, party
from tests.cluster.cluster_fixtures import node, pod, service
from tests.cluster.kernel_twin import describe, run

#: on the nodes' wire, and behind the router
NEAR, WORLD = "192.168.50.200", "203.0.113.7"
#: an address that a balancer has given, and one that an administrator routes to the nodes
VIPS, EXTERNAL = ("198.51.100.10", "198.51.100.11", "198.51.100.12"), "198.51.100.77"
UNUSED = 81

Flow = tuple[str, str, str, int]


@dataclass
class Case:
    cluster: kn.Cluster
    flows: list[Flow]
    drawn: Counter[str] = field(default_factory=Counter)


def networks(rng: random.Random) -> Any:
    return rng.choice([kn.Flannel(), kn.Flannel(backend="host-gw"), kn.Calico(), kn.Flannel(direct_routing=True)])


def random_service(rng: random.Random, number: int, app: str, drawn: Counter[str]) -> dict[str, Any]:
    kind = rng.choice(["ClusterIP", "NodePort", "NodePort", "LoadBalancer", "LoadBalancer"])
    spec: dict[str, Any] = {"type": kind}
    tcp: dict[str, Any] = {"name": "http", "port": 80, "targetPort": rng.choice([8080, 8080, 8080, "http", 8090])}
    ports = [tcp, {"name": "echo", "port": 9, "protocol": "UDP", "targetPort": 9000}]
    if kind != "ClusterIP":
        ports[0]["nodePort"], ports[1]["nodePort"] = 30080 + number, 30090 + number
    if rng.random() < 0.25:
        spec["internalTrafficPolicy"] = "Local"
    if rng.random() < 0.25:
        spec["externalIPs"] = [EXTERNAL] if number == 0 else [f"198.51.100.{77 + number}"]
    if (kind != "ClusterIP" or "externalIPs" in spec) and rng.random() < 0.5:
        spec["externalTrafficPolicy"] = "Local"
    if rng.random() < 0.25:
        spec |= {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}
    if rng.random() < 0.25:
        spec["trafficDistribution"] = rng.choice(["PreferClose", "PreferSameZone", "PreferSameNode"])
    if rng.random() < 0.1:
        spec["publishNotReadyAddresses"] = True
    document = service(f"svc{number}", {"app": app}, *ports, **spec)
    if kind == "LoadBalancer":
        if rng.random() < 0.5:
            ranges = rng.sample([f"{WORLD}/32", f"{NEAR}/32", "10.244.0.0/16", "192.168.50.0/24", "192.168.50.11/32"], rng.randint(1, 2))
            document["spec"]["loadBalancerSourceRanges"] = ranges
        mode = rng.choice(["VIP", "VIP", "VIP", "Proxy"])
        drawn["ipMode Proxy"] += mode == "Proxy"
        document["status"] = {"loadBalancer": {"ingress": [{"ip": VIPS[number], "ipMode": mode}]}}
        if rng.random() < 0.2:
            document["spec"]["allocateLoadBalancerNodePorts"] = False
            for port in ports:
                del port["nodePort"]
    for key in ("internalTrafficPolicy", "externalTrafficPolicy", "sessionAffinity", "trafficDistribution", "loadBalancerSourceRanges"):
        drawn[key] += key in document["spec"]
    drawn[kind] += 1
    return document


def random_proxy(rng: random.Random, mode: str) -> kn.KubeProxy:
    options: dict[str, Any] = {"mode": mode}
    if rng.random() < 0.15:
        options["masquerade_all"] = True
    if rng.random() < 0.2:
        options["node_port_addresses"] = rng.choice([["192.168.50.0/24"], ["primary"], ["127.0.0.0/8", "192.168.50.11/32"]])
    if rng.random() < 0.15:
        options["localhost_node_ports"] = False
    if rng.random() < 0.15:
        options["cluster_cidr"] = ""
    elif rng.random() < 0.25:
        ways = [{"detect_local_mode": "NodeCIDR"}, {"detect_local_mode": "BridgeInterface", "bridge_interface": "cni0"},
                {"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "cali"}]  # fmt: skip
        options |= rng.choice(ways)
    if rng.random() < 0.1:
        options["masquerade_bit"] = 15
    return kn.KubeProxy(**options)


def draw(seed: int, mode: str, flows: int = 14) -> Case:
    """A cluster and what is asked of it."""
    rng = random.Random(seed)
    drawn: Counter[str] = Counter()
    count = rng.randint(2, 3)
    zone = "topology.kubernetes.io/zone"
    docs = [node(f"worker-{i}", f"192.168.50.{10 + i}", f"10.244.{i}.0/24") for i in range(1, count + 1)]
    for i, doc in enumerate(docs):
        doc["metadata"]["labels"][zone] = f"zone-{'ab'[i % 2]}"
    ports = (("http", 8080, "TCP"), ("echo", 9000, "UDP"))
    names = [f"p{i}" for i in range(rng.randint(3, 5))]
    apps = {name: rng.choice("aab") for name in names}
    for name in names:
        host = {"hostNetwork": True} if rng.random() < 0.1 else {}
        docs.append(pod(f"default/{name}", f"worker-{rng.randint(1, count)}", {"app": apps[name]}, ports, **host))
    docs.append(pod("default/client", f"worker-{rng.randint(1, count)}", {"app": "client"}))
    services = [random_service(rng, i, rng.choice("aaabc"), drawn) for i in range(2)]
    docs += services
    balancer = rng.choice(["none", "none", "metallb", "cloud", kn.CloudLoadBalancer(ip_mode="Proxy")])
    drawn[str(balancer).partition("(")[0]] += 1
    cluster = kn.load(docs, cni=networks(rng), proxy=random_proxy(rng, mode), load_balancer=balancer, seed=seed)
    for name in names:
        state = rng.random()
        if state < 0.15:
            cluster.set_pod(f"default/{name}", ready=False)
        elif state < 0.35:
            cluster.set_pod(f"default/{name}", terminating=True, serving=rng.random() < 0.7)
    _route_outside(rng, cluster, services)
    return Case(cluster, [_flow(rng, cluster, services, names, count) for _ in range(flows)], drawn)


def _route_outside(rng: random.Random, cluster: kn.Cluster, services: list[dict[str, Any]]) -> None:
    """The world's router and the machine on the wire send balancers' and external addresses to a node, as an administrator makes them."""
    for doc in services:
        by_hand = cluster.options.load_balancer == "none"
        ingress = doc.get("status", {}).get("loadBalancer", {}).get("ingress", []) if by_hand else []
        for address in [*(i["ip"] for i in ingress), *doc["spec"].get("externalIPs", [])]:
            way = node_address(rng.choice(cluster.nodes))
            ns = cluster.network().namespaces["gateway"]
            ns.add_route(f"{address}/32", via=way, dev="lan", replace_existing=True)


def _flow(rng: random.Random, cluster: kn.Cluster, services: list[dict[str, Any]], names: list[str], count: int) -> Flow:
    doc = rng.choice(services)
    live: Any = cluster.get("svc", f"default/{doc['metadata']['name']}")
    inside = [f"default/{rng.choice(names)}", "default/client", f"node:worker-{rng.randint(1, count)}"]
    src = rng.choice([*inside, f"external:{NEAR}", f"external:{WORLD}"])
    port, protocol = rng.choice([(live.spec.ports[0], "TCP"), (live.spec.ports[0], "TCP"), (live.spec.ports[1], "UDP")])
    machines = [a for n in cluster.nodes if (a := node_address(n))]
    ways: list[tuple[str, int]] = [(live.spec.cluster_ip, port.port)] * 3
    if port.node_port:
        ways += [(a, port.node_port) for a in machines]
        ways += [("127.0.0.1", port.node_port)] if src.startswith("node:") else []
    ways += [(a, port.port) for a in [*live.spec.external_ips, *(i.ip for i in live.status.load_balancer.ingress)]] * 2
    ways += [(live.spec.cluster_ip, UNUSED), (rng.choice(machines), 30070)]
    address, number = rng.choice(ways)
    return src, protocol, address, number


def in_lab(cluster: kn.Cluster, flow: Flow) -> set[tuple[str, str, str]]:
    src, protocol, address, port = flow
    found = cluster.outcomes(src, address, port, protocol)
    assert sum(o.probability for o in found) == 1
    return {
        ("delivered", o.answered_by or "", o.source_seen or "") if o else ("timeout", "", "") if o.verdict in ("timeout", "stalled")
        else ("error", o.error or "", "") for o in found
    }  # fmt: skip


@dataclass
class Expected:
    """What the lab says to each flow, and all that the twin is made from: made before anything runs beside it."""

    outcomes: list[set[tuple[str, str, str]]]
    spec: dict[str, Any]
    where: dict[str, str]


def expected(case: Case) -> Expected:
    cluster = case.cluster
    outcomes = [in_lab(cluster, f) for f in case.flows]
    for found in outcomes:
        case.drawn.update({kind for kind, *_ in found})
    where = {src: party(cluster.snapshot(), src).namespace for src, *_ in case.flows}
    for src in where:
        if src.startswith("external:"):
            cluster.network().external(src.removeprefix("external:"))
    return Expected(outcomes, describe(cluster.network(), []), where)


def compared(case: Case, lab: Expected, times: int = 60) -> list[str]:
    """What differs between the lab and the kernel."""
    sticky = {
        address
        for s in case.cluster.objects("svc")
        if s.spec.session_affinity == "ClientIP"  # type: ignore[attr-defined]
        for address in (s.spec.cluster_ip, *s.spec.external_ips, *(i.ip for i in s.status.load_balancer.ingress),  # type: ignore[attr-defined]
                        *(p.node_port for p in s.spec.ports))  # type: ignore[attr-defined]
    }  # fmt: skip
    machine = case.cluster.network().namespaces.get("balancer")
    balanced = {a.ip for _, a in machine.addresses()} if machine is not None else set()
    where = lab.where
    left = list(zip(case.flows, lab.outcomes, strict=True))
    out: list[str] = []
    for _ in range(2):  # on a busy machine a third ARP request is late, and chance may leave one endpoint out: what differs is asked again
        if not left:
            break
        spec = lab.spec | {"often": [(where[f[0]], *f[1:], times) for f, _ in left]}
        answers = [{tuple(a) for a in found} for found in run(spec)["often"]]
        out, again = [], []
        for (flow, want), kernel in zip(left, answers, strict=True):
            tied = bool({flow[2], flow[3]} & sticky) and kernel < want
            most = len(case.cluster.nodes) if flow[2] in balanced else 1  # each node ties the client for itself
            if kernel != want and not (tied and len({who for _, who, _ in kernel}) <= most):
                out.append(f"{flow}: the lab {sorted(want)}, the kernel {sorted(kernel)}")
                again.append((flow, want))
        left = again
    return out
