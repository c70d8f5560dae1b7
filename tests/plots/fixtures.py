"""The bookshop on two nodes as a figure sees it, and a trace over it typed in by hand (the walk itself is not under test here)."""

from __future__ import annotations

from typing import Any

from kubenet_lab.cluster.topology import Topology, TopologyDevice, TopologyExternal, TopologyNode, TopologyPod
from kubenet_lab.trace import Entry, Evidence, Field, Header, Hop, Trace

WEB, CART = "shop/web-6c9d8-x2k", "shop/cart-5f7b9-m4q"


class SaidHop(Hop):
    """A hop whose words stand in its parameters, so that no catalogue is needed."""

    __slots__ = ()

    @property
    def title(self) -> str:
        return self.params["title"]

    @property
    def sentence(self) -> str:
        return self.params["sentence"]

    @property
    def command(self) -> str:
        return self.entry.command if self.entry else ""

    @property
    def evidence(self) -> Evidence | None:
        return Evidence("measured", "tests/kernel/test_walk.py, Linux 6.12")


def devices(n: int) -> tuple[TopologyDevice, ...]:
    return (
        TopologyDevice("cni0", "bridge", f"10.244.{n - 1}.1", 1450),
        TopologyDevice("flannel.1", "vxlan", f"10.244.{n - 1}.0", 1450, "VNI 1"),
        TopologyDevice("eth0", "physical", f"192.168.50.{10 + n}", 1500),
    )


def node(n: int) -> TopologyNode:
    return TopologyNode(f"worker-{n}", f"192.168.50.{10 + n}", f"10.244.{n - 1}.0/24", devices(n))


def pod(key: str, address: str, n: int, workload: str, kind: str = "Deployment", **options: Any) -> TopologyPod:
    return TopologyPod(key, address, f"worker-{n}", key.partition("/")[0], workload, kind, app=workload, **options)


def bookshop() -> Topology:
    pods = (
        pod(WEB, "10.244.0.4", 1, "web"),
        pod("shop/api-7d5f4-abcde", "10.244.0.5", 1, "api"),
        pod("data/cache-0", "10.244.0.6", 1, "cache", "StatefulSet"),
        pod("ops/jobs-77f9c-zz2lp", "10.244.0.7", 1, "jobs", ready=False),
        pod("kube-system/coredns-6f6b679f8f-aaaaa", "10.244.0.2", 1, "coredns"),
        pod("shop/web-6c9d8-p9w", "10.244.1.4", 2, "web"),
        pod("shop/api-7d5f4-fghij", "10.244.1.5", 2, "api"),
        pod(CART, "10.244.1.7", 2, "cart"),
        pod("data/db-0", "10.244.1.6", 2, "db", "StatefulSet"),
        pod("kube-system/coredns-6f6b679f8f-bbbbb", "10.244.1.2", 2, "coredns"),
        *(
            pod(f"kube-system/{w}-{n}xyz", f"192.168.50.{10 + n}", n, w, "DaemonSet", host_network=True)
            for n in (1, 2)
            for w in ("kube-proxy", "kube-flannel-ds")
        ),
    )  # fmt: skip
    services = (
        ("shop/web", "10.96.0.11"),
        ("shop/api", "10.96.0.12"),
        ("shop/cart", "10.96.0.20"),
        ("data/db", "10.96.0.31"),
        ("kube-system/kube-dns", "10.96.0.10"),
    )
    return Topology(
        (node(1), node(2)),
        pods,
        (TopologyExternal("203.0.113.7"),),
        "192.168.50.0/24",
        1500,
        "flannel vxlan",
        services,
        "10.244.0.0/16",
        "10.96.0.0/12",
    )


def many(nodes: int, pods: int, workloads: int = 7, name: str = "svc") -> Topology:
    """A cluster of any size with regular names."""
    placed = tuple(
        TopologyPod(
            f"ns{i % 3}/{name}{i % workloads}-{i:05d}-abcde", f"10.244.{i % nodes}.{2 + i // nodes}", f"worker-{i % nodes + 1}",
            f"ns{i % 3}", f"{name}{i % workloads}", "Deployment", ready=i % 11 != 5,
        )
        for i in range(pods)
    )  # fmt: skip
    return Topology(tuple(node(n + 1) for n in range(nodes)), placed, (), "192.168.50.0/24", 1500, "flannel vxlan")


def header(name: str, size: int, **fields: str) -> Header:
    return Header(name, size, tuple(Field(k, v) for k, v in fields.items()))


def eth(src: str, dst: str) -> Header:
    return header("Ethernet", 14, src=src, dst=dst, type="IPv4")


def ip(src: str, dst: str, ttl: int = 64, proto: str = "TCP") -> Header:
    return header("IPv4", 20, src=src, dst=dst, ttl=str(ttl), proto=proto)


def tcp(sport: int, dport: int, flags: str = "SYN") -> Header:
    return header("TCP", 40, sport=str(sport), dport=str(dport), flags=flags, mss="1410")


POD1, GW1, VTEP1, VTEP2, GW2, POD2 = (
    "0a:58:0a:f4:00:04",
    "0a:58:0a:f4:00:01",
    "5e:1c:06:11:aa:01",
    "5e:2a:06:22:bb:07",
    "0a:58:0a:f4:01:01",
    "0a:58:0a:f4:01:07",
)
NIC1, NIC2 = "52:54:00:00:00:11", "52:54:00:00:00:12"
OUTER = (
    eth(NIC1, NIC2),
    ip("192.168.50.11", "192.168.50.12", 64, "UDP"),
    header("UDP", 8, sport="49374", dport="8472"),
    header("VXLAN", 8, vni="1"),
)


def walk(service: bool = False, broken: bool = False, title: str = "") -> Trace:
    """web on worker-1 to cart on worker-2, by pod address or by Service; `broken`: the FDB entry is gone."""
    dst0, dport0 = ("10.96.0.20", 8080) if service else ("10.244.1.7", 8080)
    src, dst = "10.244.0.4", "10.244.1.7"
    sent = (eth(POD1, GW1), ip(src, dst0), tcp(35390, dport0))
    taken = (ip(src, dst0), tcp(35390, dport0))
    natted = (ip(src, dst), tcp(35390, 8080))
    routed = (eth(VTEP1, VTEP2), ip(src, dst, 63), tcp(35390, 8080))
    outer = (*OUTER, *routed)
    arrived = (ip(src, dst, 63), tcp(35390, 8080))
    sent2 = (eth(GW2, POD2), ip(src, dst, 62), tcp(35390, 8080))
    rows: list[tuple[Any, ...]] = [
        (
            "socket.send",
            "pod",
            f"pod:{WEB}",
            "eth0",
            "web sends; its default route leads to cni0",
            "web knows no route to the address, so the frame goes to its gateway 10.244.0.1.",
            ("route", "default via 10.244.0.1 dev eth0", "ip route get 10.244.1.7"),
            (),
            sent,
        ),
        (
            "bridge.up",
            "bridge",
            "worker-1",
            "cni0",
            "cni0 hands it to worker-1",
            "The frame is addressed to cni0 itself, so the bridge hands it to the node.",
            ("fdb", "0a:58:0a:f4:00:01 dev cni0 master cni0 permanent", "bridge fdb show br cni0"),
            sent,
            taken,
        ),
    ]
    if service:
        rows.append(
            (
                "nat.dnat",
                "nat",
                "worker-1",
                "",
                "kube-proxy's rule rewrites the address",
                "10.96.0.20:8080 is the Service shop/cart. A rule picks an endpoint and writes its address into the packet.",
                ("rule", "-A KUBE-SEP-QK2 -p tcp -m tcp -j DNAT --to-destination 10.244.1.7:8080", "iptables-save -t nat"),
                taken,
                natted,
            )
        )
    rows += [
        (
            "route.forward",
            "node",
            "worker-1",
            "",
            "worker-1 routes it to flannel.1",
            "The pods of worker-2 lie behind flannel.1, next hop 10.244.1.0.",
            ("route", "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink", "ip route get 10.244.1.7"),
            natted,
            routed,
        ),
        (
            "vxlan.encap",
            "tunnel",
            "worker-1",
            "flannel.1",
            "flannel.1 wraps it in VXLAN",
            "worker-1 knows that the VTEP 5e:2a:06:22:bb:07 lives at 192.168.50.12, so the whole frame goes into a UDP packet to it.",
            ("fdb", "5e:2a:06:22:bb:07 dst 192.168.50.12 self permanent", "bridge fdb show dev flannel.1"),
            routed,
            outer,
        ),
        (
            "wire.cross",
            "wire",
            "worker-1",
            "eth0",
            "out on eth0, over the node network",
            "The node network sees one UDP packet between two nodes and nothing of what is inside.",
            ("neighbour", "192.168.50.12 dev eth0 lladdr 52:54:00:00:00:12 REACHABLE", "ip neigh show dev eth0"),
            outer,
            outer,
        ),
        (
            "vxlan.decap",
            "tunnel",
            "worker-2",
            "flannel.1",
            "worker-2 unwraps it",
            "UDP port 8472 belongs to flannel.1: it takes the inner frame out.",
            None,
            outer,
            arrived,
        ),
        (
            "route.forward",
            "node",
            "worker-2",
            "",
            "worker-2 routes it to cni0",
            "10.244.1.7 lies in the node's own pod network.",
            ("route", "10.244.1.0/24 dev cni0 proto kernel scope link src 10.244.1.1", "ip route get 10.244.1.7"),
            arrived,
            sent2,
        ),
        (
            "bridge.forward",
            "bridge",
            "worker-2",
            "cni0",
            "cni0 switches it to the pod's port",
            "The bridge has learned on which port that MAC address lives.",
            ("fdb", "0a:58:0a:f4:01:07 dev veth91bc0042 master cni0", "bridge fdb show br cni0"),
            sent2,
            sent2,
        ),
        (
            "socket.deliver",
            "pod",
            f"pod:{CART}",
            "eth0",
            "cart accepts on port 8080",
            "A process listens there. It sees 10.244.0.4 as its client.",
            ("socket", "LISTEN 0 4096 *:8080", "ss -ltn"),
            sent2,
            (tcp(35390, 8080),),
        ),
    ]
    verdict: Any = "delivered"
    if broken:
        rows = rows[: 4 + service]
        rows[-1] = (
            "fdb.miss",
            "tunnel",
            "worker-1",
            "flannel.1",
            "flannel.1 does not know where to send it",
            "No FDB entry says where the VTEP 5e:2a:06:22:bb:07 lives, so the frame is dropped here.",
            ("fdb", "(no entry for 5e:2a:06:22:bb:07)", "bridge fdb show dev flannel.1"),
            routed,
            (),
        )
        verdict = "timeout"
    hops = tuple(
        SaidHop(
            n,
            n * 1e-4,
            code,
            layer,
            space if not space.startswith("pod:") else f"worker-{1 if WEB in space else 2}",
            space,
            device,
            "forward",
            {"title": title, "sentence": sentence},
            before,
            after,
            Entry(*entry) if entry else None,
            (),
            None,
            broken and n == len(rows),
        )
        for n, (code, layer, space, device, title, sentence, entry, before, after) in enumerate(rows, 1)
    )
    back: tuple[Hop, ...] = ()
    if not broken:
        ret = (eth(POD2, GW2), ip(dst, src), tcp(8080, 35390, "SYN ACK"))
        wrap = (
            eth(NIC2, NIC1),
            ip("192.168.50.12", "192.168.50.11", 64, "UDP"),
            header("UDP", 8, sport="51200", dport="8472"),
            header("VXLAN", 8, vni="1"),
            eth(VTEP2, VTEP1),
            ip(dst, src, 63),
            tcp(8080, 35390, "SYN ACK"),
        )
        home = (eth(GW1, POD1), ip(dst0 if service else dst, src, 62), tcp(8080, 35390, "SYN ACK"))
        trips = [
            ("socket.send", "pod", f"pod:{CART}", "eth0", "cart answers", (), ret),
            ("bridge.up", "bridge", "worker-2", "cni0", "cni0 hands it to worker-2", ret, ret[1:]),
            ("route.forward", "node", "worker-2", "", "worker-2 routes it to flannel.1", ret[1:], wrap[4:]),
            ("vxlan.encap", "tunnel", "worker-2", "flannel.1", "flannel.1 wraps it in VXLAN", wrap[4:], wrap),
            ("wire.cross", "wire", "worker-2", "eth0", "out on eth0, over the node network", wrap, wrap),
            ("vxlan.decap", "tunnel", "worker-1", "flannel.1", "worker-1 unwraps it", wrap, wrap[5:]),
            *([("nat.reverse", "nat", "worker-1", "", "conntrack puts the Service address back", wrap[5:], home[1:])] if service else []),
            ("route.forward", "node", "worker-1", "", "worker-1 routes it to cni0", home[1:], home),
            ("bridge.forward", "bridge", "worker-1", "cni0", "cni0 switches it to the pod's port", home, home),
            ("socket.deliver", "pod", f"pod:{WEB}", "eth0", "web has its answer", home, home[2:]),
        ]
        back = tuple(
            SaidHop(n, n * 1e-4, code, layer, "worker-2", space, device, "reply", {"title": title, "sentence": title + "."}, before, after)
            for n, (code, layer, space, device, title, before, after) in enumerate(trips, 1)
        )
    question = title or f"shop/web -> {'svc:shop/cart' if service else CART}:8080 TCP"
    return Trace(
        question=question,
        verdict=verdict,
        phase="handshake" if broken else "data",
        error="ETIMEDOUT" if broken else None,
        elapsed=127.0 if broken else 0.002,
        answered_by=None if broken else CART,
        source_seen=None if broken else src,
        build=lambda: (hops, back),
        facts={"topology": bookshop()},
    )


class FixtureCluster:
    """As much of a cluster as figures and widgets ask for."""

    def __init__(self, topology: Topology | None = None, broken: bool = False):
        self._topology, self.broken, self.asked = topology or bookshop(), broken, 0

    def topology(self) -> Topology:
        return self._topology

    def objects(self, kind: str) -> tuple[Any, ...]:
        from types import SimpleNamespace as Of

        found = {"shop/web": (80, "TCP"), "shop/cart": (8080, "TCP"), "kube-system/kube-dns": (53, "UDP")}
        return tuple(Of(key=k, spec=Of(ports=[Of(port=p, protocol=q)])) for k, (p, q) in found.items())

    def preview(self, src: str, dst: str, port: int | str = 80, protocol: str = "TCP") -> Trace:
        from kubenet_lab.errors import NotFound

        self.asked += 1
        if src not in ("shop/web", f"pod/{WEB}"):
            raise NotFound("workload", src, ["shop/web", "shop/api"])
        if "nobody" in dst:
            raise NotFound("workload", dst, ["shop/cart", "shop/api"])
        return walk(service=dst.startswith("svc:"), broken=self.broken, title=f"{src} -> {dst}:{port} {protocol}")
