"""Random clusters with random Services, and what is asked of them: every draw is counted, so that what is never drawn shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import kubenet_lab as kn
from kubenet_lab.cluster.names import node_addresses
from tests.cluster.cluster_fixtures import Doc, pod, service

#: on the nodes' wire, behind the router, given by a balancer, routed to nodes by an administrator: by family
NEAR = {4: "192.168.50.200", 6: "fd50::c8"}
WORLD = {4: "203.0.113.7", 6: "2001:db8::7"}
VIP = {4: "198.51.100.{}", 6: "2001:db8:1::{}"}
#: nobody's: in the pod network, in the Services' network
DEAD = {4: "10.244.1.99", 6: "fd00:10:244:1::99"}
FREE = {4: "10.96.200.200", 6: "fd00:10:96::c8c8"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
UNUSED = 81
ZONE = "topology.kubernetes.io/zone"
PORTS = (("http", 8080, "TCP"), ("echo", 9000, "UDP"))
FAMILIES = [("IPv4",)] * 5 + [("IPv4", "IPv6"), ("IPv4", "IPv6"), ("IPv6", "IPv4"), ("IPv6",)]
NETWORKS: dict[str, Any] = {
    "vxlan": kn.Flannel(), "host-gw": kn.Flannel(backend="host-gw"), "routed": kn.Calico(), "direct": kn.Flannel(direct_routing=True),
}  # fmt: skip

#: (source, protocol, address, port)
Flow = tuple[str, str, str, int]
#: what every large enough run must have drawn
FEATURES = (
    *(f"network {n}" for n in NETWORKS), "families IPv4", "families IPv4+IPv6", "families IPv6+IPv4", "families IPv6",
    "ClusterIP", "NodePort", "LoadBalancer", "headless", "slices by hand", "Endpoints by hand", "SingleStack", "RequireDualStack",
    "internal Local", "external Local", "affinity", "distribution", "source ranges", "external IPs", "not ready published", "no node ports",
    "ipMode Proxy", "balancer none", "balancer metallb", "balancer cloud", "pod not ready", "pod terminating", "pod on the host network",
    "masqueradeAll", "nodePortAddresses", "no localhost node ports", "no clusterCIDR", "narrow clusterCIDR", "NodeCIDR", "BridgeInterface",
    "InterfaceNamePrefix",
    "masqueradeBit", "to ClusterIP", "to node port", "to node port inside", "to balancer", "to external IP", "to localhost",
    "to unused port", "to free ClusterIP",
    "to closed node port", "to endpoint", "from pod", "from backend", "from node", "from near", "from world", "TCP", "UDP", "ICMP",
)  # fmt: skip


def family(address: str) -> int:
    return 6 if ":" in address else 4


@dataclass
class Case:
    """One cluster and its questions."""

    cluster: kn.Cluster
    flows: list[Flow]
    drawn: Counter[str] = field(default_factory=Counter)


@dataclass
class Draw:
    """What a case is drawn with."""

    rng: random.Random
    mode: str
    drawn: Counter[str] = field(default_factory=Counter)
    families: tuple[str, ...] = ("IPv4",)
    count: int = 2

    def chance(self, part: float, name: str) -> bool:
        """True so often; counted."""
        if found := self.rng.random() < part:
            self.drawn[name] += 1
        return found

    def pick(self, names: Sequence[str], prefix: str = "") -> str:
        """One of `names`; counted."""
        name = self.rng.choice(names)
        self.drawn[f"{prefix}{name}"] += 1
        return name

    @property
    def numbers(self) -> list[int]:
        return [4 if f == "IPv4" else 6 for f in self.families]

    def node(self) -> str:
        return f"worker-{self.rng.randint(1, self.count)}"


def nodes(d: Draw) -> list[Doc]:
    out = []
    for i in range(1, d.count + 1):
        addresses = {4: f"192.168.50.{10 + i}", 6: f"fd50::{10 + i:x}"}
        cidrs = {4: f"10.244.{i}.0/24", 6: f"fd00:10:244:{i}::/64"}
        spec = {"podCIDR": cidrs[d.numbers[0]], "podCIDRs": [cidrs[f] for f in d.numbers]}
        labels = {"kubernetes.io/hostname": f"worker-{i}", "kubernetes.io/os": "linux", ZONE: f"zone-{'ab'[i % 2]}"}
        status = {"addresses": [{"type": "InternalIP", "address": addresses[f]} for f in d.numbers]}
        meta = {"name": f"worker-{i}", "labels": labels}
        out.append({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec, "status": status})
    return out


def random_service(d: Draw, number: int, app: str) -> Doc:
    rng, fams = d.rng, d.numbers
    kind = d.pick(["ClusterIP", "NodePort", "NodePort", "LoadBalancer", "LoadBalancer"])
    spec: Doc = {"type": kind}
    tcp: Doc = {"name": "http", "port": 80, "targetPort": rng.choice([8080, 8080, 8080, "http", 8090])}
    ports = [tcp, {"name": "echo", "port": 9, "protocol": "UDP", "targetPort": 9000}]
    if kind != "ClusterIP":
        ports[0]["nodePort"], ports[1]["nodePort"] = 30080 + number, 30090 + number
    if len(fams) == 2:
        spec["ipFamilyPolicy"] = d.pick(["SingleStack", "PreferDualStack", "RequireDualStack"])
        if spec["ipFamilyPolicy"] == "SingleStack":
            spec["ipFamilies"] = [rng.choice(d.families)]
            fams = [4 if spec["ipFamilies"] == ["IPv4"] else 6]
    if d.chance(0.25, "internal Local"):
        spec["internalTrafficPolicy"] = "Local"
    if d.chance(0.3, "external IPs"):
        spec["externalIPs"] = [VIP[f].format(77 + number) for f in fams]
    if (kind != "ClusterIP" or "externalIPs" in spec) and d.chance(0.5, "external Local"):
        spec["externalTrafficPolicy"] = "Local"
    if d.chance(0.25, "affinity"):
        spec |= {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 600}}}
    if d.chance(0.25, "distribution"):
        spec["trafficDistribution"] = rng.choice(["PreferClose", "PreferSameZone", "PreferSameNode"])
    if d.chance(0.1, "not ready published"):
        spec["publishNotReadyAddresses"] = True
    document = service(f"svc{number}", {"app": app}, *ports, **spec)
    if kind == "LoadBalancer":
        _balanced(d, document, number, fams)
    return document


def _balanced(d: Draw, document: Doc, number: int, fams: list[int]) -> None:
    if d.chance(0.5, "source ranges"):
        ranges = {
            4: [f"{WORLD[4]}/32", f"{NEAR[4]}/32", "10.244.0.0/16", "192.168.50.0/24", "192.168.50.11/32"],
            6: [f"{WORLD[6]}/128", f"{NEAR[6]}/128", "fd00:10:244::/56", "fd50::/64", "fd50::b/128"],
        }
        document["spec"]["loadBalancerSourceRanges"] = [r for f in fams for r in d.rng.sample(ranges[f], d.rng.randint(1, 2))]
    mode = d.pick(["VIP", "VIP", "VIP", "Proxy"], "ipMode ")
    document["status"] = {"loadBalancer": {"ingress": [{"ip": VIP[f].format(10 + number), "ipMode": mode} for f in fams]}}
    if d.chance(0.2, "no node ports"):
        document["spec"]["allocateLoadBalancerNodePorts"] = False
        for port in document["spec"]["ports"]:
            del port["nodePort"]


def another_service(d: Draw) -> Doc | None:
    """One whose endpoints are no controller's of a selector, or one without an address."""
    kind = d.pick(["no third Service", "headless", "slices by hand", "slices by hand", "Endpoints by hand"])
    ports = [{"name": n, "port": p, "protocol": q} for n, p, q in (("http", 80, "TCP"), ("echo", 9, "UDP"))]
    ports[0]["targetPort"], ports[1]["targetPort"] = 8080, 9000
    if kind == "no third Service":
        return None
    if kind == "headless":
        return service("svc2", {"app": "a"}, *ports, clusterIP="None")
    ports[0]["nodePort"], ports[1]["nodePort"] = 30082, 30092
    more: Doc = {"externalTrafficPolicy": "Local"} if d.chance(0.3, "external Local") else {}
    more |= {"internalTrafficPolicy": "Local"} if d.chance(0.3, "internal Local") else {}
    return service("svc2", None, *ports, type="NodePort", **more)


def by_hand(d: Draw, cluster: kn.Cluster) -> list[Doc]:
    """EndpointSlices or an Endpoints object of svc2: pods of any Service, machines outside, addresses of nobody."""
    rng = d.rng
    live: Any = cluster.get("svc", "default/svc2")
    fams = [4 if f == "IPv4" else 6 for f in live.spec.ip_families]
    pods: list[Any] = [p for p in cluster.objects("pod") if p.namespace == "default" and p.name != "client"]  # type: ignore[attr-defined]
    out: list[Doc] = []
    for fam in fams:
        known = [(a, p.spec.node_name) for p in pods for a in p.ips if family(a) == fam] + [(WORLD[fam], ""), (DEAD[fam], "worker-1")]
        if d.drawn["Endpoints by hand"]:
            known = rng.sample(known, rng.randint(1, 3))
            subsets = [{"addresses": [{"ip": a} for a, _ in known[:2]], "notReadyAddresses": [{"ip": a} for a, _ in known[2:]],
                        "ports": [{"name": n, "port": p, "protocol": q} for n, p, q in PORTS]}]  # fmt: skip
            return [{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "svc2", "namespace": "default"}, "subsets": subsets}]
        for number in range(rng.randint(1, 2)):
            endpoints = [_endpoint(d, *rng.choice(known)) for _ in range(rng.randint(0, 3))]
            out.append({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{fam}",
                "metadata": {"name": f"svc2-{fam}-{number}", "namespace": "default", "labels": {"kubernetes.io/service-name": "svc2"}},
                "endpoints": endpoints, "ports": [{"name": n, "port": p, "protocol": q} for n, p, q in PORTS],
            })  # fmt: skip
    return out


def _endpoint(d: Draw, address: str, where: str) -> Doc:
    rng = d.rng
    conditions = {k: rng.choice([True, True, False]) for k in ("ready", "serving", "terminating") if rng.random() < 0.7}
    endpoint: Doc = {"addresses": [address], "conditions": conditions}
    if node := rng.choice([where, where, d.node(), ""]):
        endpoint["nodeName"] = node
    if d.chance(0.3, "hints by hand"):
        endpoint["hints"] = {"forZones": [{"name": rng.choice(["zone-a", "zone-b"])}]}
        if rng.random() < 0.5:
            endpoint["hints"]["forNodes"] = [{"name": d.node()}]
    return endpoint


def random_proxy(d: Draw) -> kn.KubeProxy:
    options: Doc = {"mode": d.mode}
    if d.chance(0.15, "masqueradeAll"):
        options["masquerade_all"] = True
    if d.chance(0.25, "nodePortAddresses"):
        options["node_port_addresses"] = d.rng.choice([
            ["192.168.50.0/24", "fd50::/64"], ["primary"], ["127.0.0.0/8", "192.168.50.11/32", "::1/128", "fd50::b/128"], ["0.0.0.0/0"],
        ])  # fmt: skip
    if d.chance(0.15, "no localhost node ports"):
        options["localhost_node_ports"] = False
    way = d.pick(["clusterCIDR"] * 5 + ["no clusterCIDR", "narrow clusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"])
    if way == "no clusterCIDR":
        options["cluster_cidr"] = ""
    elif way == "narrow clusterCIDR":
        options["cluster_cidr"] = "10.244.1.0/24,fd00:10:244:1::/64"
    elif way == "BridgeInterface":
        options |= {"detect_local_mode": way, "bridge_interface": d.rng.choice(["eth0", "cni0"])}
    elif way != "clusterCIDR":
        options |= {"detect_local_mode": way, "interface_name_prefix": d.rng.choice(["cali", "cni", "veth"])}
    if d.chance(0.1, "masqueradeBit"):
        options["masquerade_bit"] = 15
    if d.chance(0.1, "not --random-fully"):
        options["random_fully"] = False
    return kn.KubeProxy(**options)


def draw(seed: int, mode: str, flows: int = 14) -> Case:
    """A cluster and what is asked of it."""
    d = Draw(random.Random(seed), mode)
    rng = d.rng
    d.families, d.count = rng.choice(FAMILIES), rng.randint(2, 3)
    d.drawn["families " + "+".join(d.families)] += 1
    network = d.pick(list(NETWORKS), "network ")
    docs = nodes(d)
    names = [f"p{i}" for i in range(rng.randint(3, 5))]
    for name in names:
        host = {"hostNetwork": True} if d.chance(0.1, "pod on the host network") else {}
        docs.append(pod(f"default/{name}", d.node(), {"app": rng.choice("aab")}, PORTS, **host))
    docs.append(pod("default/client", d.node(), {"app": "client"}))
    services = [random_service(d, i, rng.choice("aaabc")) for i in range(2)]
    third = another_service(d)
    docs += [*services, *([third] if third else [])]
    balancer: Any = d.pick(["none", "none", "metallb", "cloud", "cloud"], "balancer ")
    if balancer == "cloud":
        balancer = kn.CloudLoadBalancer(pool=("198.51.100.0/24", "2001:db8:1::/120"), ip_mode=rng.choice(["VIP", "Proxy"]))
    options: dict[str, Any] = {"proxy": random_proxy(d), "load_balancer": balancer, "ip_families": d.families, "seed": seed}
    cluster = kn.load(docs, cni=NETWORKS[network], **options)
    for name in names:
        state = rng.random()
        if state < 0.15:
            d.drawn["pod not ready"] += 1
            cluster.set_pod(f"default/{name}", ready=False)
        elif state < 0.35:
            d.drawn["pod terminating"] += 1
            cluster.set_pod(f"default/{name}", terminating=True, serving=rng.random() < 0.7)
    if d.drawn["slices by hand"] or d.drawn["Endpoints by hand"]:
        cluster.apply(by_hand(d, cluster))
    for fam in d.numbers:
        cluster.network().external(WORLD[fam])  # it may be somebody's endpoint
    _route_outside(d, cluster)
    return Case(cluster, [_flow(d, cluster, names) for _ in range(flows)], d.drawn)


def _services(cluster: kn.Cluster) -> list[Any]:
    return [s for s in cluster.objects("svc") if s.namespace == "default" and s.name.startswith("svc")]  # type: ignore[attr-defined]


def _route_outside(d: Draw, cluster: kn.Cluster) -> None:
    """The router sends balancers' and external addresses to a node, as an administrator makes it."""
    for live in _services(cluster):
        by_admin = [i.ip for i in live.status.load_balancer.ingress] if cluster.options.load_balancer_option is None else []
        for address in [*by_admin, *live.spec.external_ips]:
            way = next(a for a in node_addresses(d.rng.choice(cluster.nodes)) if family(a) == family(address))
            ns = cluster.network().namespaces["gateway"]
            ns.add_route(f"{address}/{32 if family(address) == 4 else 128}", via=way, dev="lan", replace_existing=True)


def _flow(d: Draw, cluster: kn.Cluster, names: list[str]) -> Flow:
    rng = d.rng
    live = rng.choice(_services(cluster))
    fams = [4 if f == "IPv4" else 6 for f in live.spec.ip_families]
    fam = rng.choice(fams)
    kind = d.pick(["backend", "pod", "node", "near", "world"], "from ")
    src = {"backend": f"default/{rng.choice(names)}", "pod": "default/client", "node": f"node:{d.node()}",
           "near": f"external:{NEAR[fam]}", "world": f"external:{WORLD[fam]}"}[kind]  # fmt: skip
    protocol = rng.choice(["TCP", "TCP", "UDP", "UDP", "ICMP"] if rng.random() < 0.3 else ["TCP", "TCP", "UDP"])
    port = live.spec.ports[0 if protocol != "UDP" else 1]
    machines = [a for n in cluster.nodes for a in node_addresses(n) if family(a) == fam]
    vips = [a for a in live.spec.cluster_ips if a != "None" and family(a) == fam]
    ways: list[tuple[str, str, int]] = [("ClusterIP", a, port.port) for a in vips] * 3
    if port.node_port:
        ways += [("node port", a, port.node_port) for a in machines]
        own = [a.ip for n in cluster.nodes for _, a in cluster.network().namespaces[n.name].addresses()]
        # link-local ones need a device
        inner = [a for a in own if family(a) == fam and a not in machines and a != LOOPBACK[fam]]
        ways += [("node port inside", rng.choice(inner), port.node_port)] if inner else []
        ways += [("localhost", LOOPBACK[fam], port.node_port)] * 2 if kind == "node" else []
    ways += [("external IP", a, port.port) for a in live.spec.external_ips if family(a) == fam] * 2
    ways += [("balancer", i.ip, port.port) for i in live.status.load_balancer.ingress if family(i.ip) == fam] * 2
    ways += [("unused port", a, UNUSED) for a in vips] + [("closed node port", rng.choice(machines), 30070)]
    if rng.random() < 0.3:
        ways.append(("free ClusterIP", FREE[fam], port.port))
    inside: list[Any] = [cluster.get("pod", f"default/{n}") for n in names]
    direct = [("endpoint", a, PORTS[protocol == "UDP"][1]) for p in inside for a in p.ips if family(a) == fam]
    ways += direct if not vips else rng.sample(direct, 1) if rng.random() < 0.3 else []
    where, address, number = rng.choice(ways)
    d.drawn[f"to {where}"] += 1
    d.drawn[protocol] += 1
    return src, protocol, address, 0 if protocol == "ICMP" else number
