"""IPv6's subnet-router anycast address (RFC 4291, 2.6.1): what the kernel does with packets to the first address of a router's network.

Dual-stack clusters and their twins in real namespaces: from pods, nodes and machines outside, by TCP, UDP and ping, with a listener and
without; with the address as a device's own too (flannel's), with rules that ask for its type, with forwarding off.
Sources: Linux net/ipv6/{addrconf,anycast,ndisc,tcp_ipv6,icmp}.c; where the two differ, the kernel is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.cluster.names import party
from kubenet_lab.errors import NotModelled
from tests.cluster.cluster_fixtures import Doc, node, pod, service
from tests.cluster.kernel_twin import describe, run
from tests.kernel_lab.real import why_not
from tests.services.service_twins import in_lab

pytestmark = pytest.mark.kernel

NEAR, WORLD = "fd50::c8", "2001:db8::7"
SOURCES = ("default/client", "default/far", "node:worker-1", "node:worker-2", f"external:{NEAR}", f"external:{WORLD}")
#: of worker-1: its bridge's network, and the network that the nodes share
PODS, WIRE = "fd00:10:244:1::", "fd50::"
RULES = """*nat
-A PREROUTING -p tcp -m tcp --dport 7001 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 8080
-A PREROUTING -p tcp -m tcp --dport 7002 -m addrtype --dst-type ANYCAST -j DNAT --to-destination [fd50::b]:8080
-A PREROUTING -p tcp -m tcp --dport 7003 -m addrtype --dst-type UNICAST -j DNAT --to-destination [fd50::b]:8080
-A OUTPUT -p tcp -m tcp --dport 7001 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 8080
-A OUTPUT -p tcp -m tcp --dport 7002 -m addrtype --dst-type ANYCAST -j DNAT --to-destination [fd50::b]:8080
-A OUTPUT -p tcp -m tcp --dport 7003 -m addrtype --dst-type UNICAST -j DNAT --to-destination [fd50::b]:8080
COMMIT
*filter
-A INPUT -p tcp -m tcp --dport 7004 -j REJECT --reject-with tcp-reset
COMMIT
"""
NFT = """table ip6 kinds {
    chain in {
        type nat hook prerouting priority -110; policy accept;
        tcp dport 7005 fib daddr type anycast dnat to [fd50::b]:8080
        tcp dport 7006 fib daddr type local dnat to [fd50::b]:8080
    }
    chain out {
        type nat hook output priority -110; policy accept;
        tcp dport 7005 fib daddr type anycast dnat to [fd50::b]:8080
        tcp dport 7006 fib daddr type local dnat to [fd50::b]:8080
    }
}
"""


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


def cluster(cni: Any, proxy: str = "iptables") -> kn.Cluster:
    ports = (("http", 8080, "TCP"), ("echo", 9000, "UDP"))
    nodes: list[Doc] = []
    for i in (1, 2):
        nodes.append(node(f"worker-{i}", f"192.168.50.{10 + i}", f"10.244.{i}.0/24"))
        nodes[-1]["status"]["addresses"].append({"type": "InternalIP", "address": f"fd50::{10 + i:x}"})
        nodes[-1]["spec"]["podCIDRs"].append(f"fd00:10:244:{i}::/64")
    made = kn.load(
        [*nodes, pod("default/client", "worker-1", {"app": "client"}, ports), pod("default/far", "worker-2", {"app": "far"}, ports),
         pod("default/agent", "worker-1", {}, ports, hostNetwork=True),
         service("far", {"app": "far"}, {"port": 80, "targetPort": 8080, "nodePort": 30080}, type="NodePort", ipFamilies=["IPv6"])],
        cni=cni, proxy=kn.KubeProxy(mode=proxy, node_port_addresses=["::/0"]), ip_families=("IPv4", "IPv6"), policy="none",
    )  # fmt: skip
    for address in (NEAR, WORLD):
        made.network().external(address)
    return made


def differences(made: kn.Cluster, flows: Iterable[tuple[str, str, str, int]]) -> list[str]:
    flows = list(flows)
    where = {src: party(made.snapshot(), src).namespace for src, *_ in flows}
    lab = [in_lab(made, f)[0] for f in flows]
    pings = [(where[src], "ICMP", dst, 8) for src, protocol, dst, _ in flows if protocol == "ICMP"]  # by the tool: it hears every answer
    other = [(where[src], *rest, 1) for src, *rest in flows if rest[0] != "ICMP"]
    told = run(describe(made.network(), pings) | {"often": other})
    answers, often = iter(told["answers"]), iter(told["often"])
    out = []
    for flow, want in zip(flows, lab, strict=True):
        kernel: Any = {tuple(a) for a in next(often)} if flow[1] != "ICMP" else next(answers)[0] == "delivered"
        if kernel != (want if flow[1] != "ICMP" else want == {("delivered", "", "")}):
            out.append(f"{flow}: the lab {sorted(want)}, the kernel {kernel}")
    return out


def asked(addresses: Iterable[str], ports: Iterable[tuple[str, int]], sources: Iterable[str] = SOURCES) -> list[tuple[str, str, str, int]]:
    return [(src, protocol, dst, port) for dst in addresses for src in sources for protocol, port in ports]


KINDS = (("TCP", 8080), ("TCP", 81), ("TCP", 30080), ("UDP", 9000), ("UDP", 81), ("ICMP", 0))
#: who reaches the nodes' own network without asking the wire
OFF_THE_WIRE = ("default/client", "default/far", "node:worker-1", f"external:{WORLD}")


@pytest.mark.parametrize(
    ("cni", "proxy"), [(kn.Flannel(backend="host-gw"), "nftables"), (kn.Flannel(), "iptables"), (kn.Calico(), "nftables")],
    ids=["host-gw", "vxlan", "routed"],
)  # fmt: skip
def test_who_takes_what(cni: Any, proxy: str) -> None:
    made = cluster(cni, proxy)
    targets = [] if isinstance(cni, kn.Calico) else [PODS]
    found = differences(made, [*asked(targets, KINDS), *asked([WIRE], KINDS, OFF_THE_WIRE)])
    assert not found, "\n".join(found)


def test_rules_that_ask_for_the_type_of_an_address() -> None:
    made = cluster(kn.Flannel(backend="host-gw"))
    one = made.node("worker-1")
    made.network().namespaces["worker-1"].ruleset(6).restore(RULES, noflush=True)
    made.network().namespaces["worker-1"].nft.load(NFT)
    made.network().namespaces["worker-1"].rules_changed()
    assert "--dst-type ANYCAST" in one.run("ip6tables-save")
    ports = [("TCP", port) for port in range(7001, 7007)]
    found = differences(made, [*asked([PODS, "fd50::b"], ports), *asked([WIRE], ports, OFF_THE_WIRE)])
    assert not found, "\n".join(found)


def test_a_machine_that_forwards_nothing_has_none() -> None:
    made = cluster(kn.Flannel(backend="host-gw"))
    made.node("worker-1").run("sysctl -w net.ipv6.conf.all.forwarding=0")
    assert "anycast" not in made.node("worker-1").run("ip -6 route show table local")
    found = differences(made, asked([PODS], KINDS[3:], ("default/client", "node:worker-1")))
    assert not found, "\n".join(found)


def test_what_the_lab_says() -> None:
    made = cluster(kn.Flannel(backend="host-gw"))
    late = made.connect("default/client", PODS, 9000, "UDP")
    assert 0.0 < float(late.elapsed) < 0.81 and "a router answers" in str(late.explain(details=True))
    silent = made.connect("default/client", PODS, 8080)
    assert silent.verdict == "timeout" and [r.code for r in silent.reasons] == ["tcp.anycast"]
    assert f"anycast {PODS} from :: dev lo table local proto kernel src {PODS}1" in made.node("worker-1").run(f"ip -6 route get {PODS}")
    assert "64 bytes from fd00:10:244:1::1" in made.pod("default/client").run(f"ping -c1 {PODS}")


def test_which_router_of_a_wire_answers_is_chance() -> None:
    made = cluster(kn.Flannel(backend="host-gw"))
    with pytest.raises(NotModelled, match="first to answer for fd50::"):
        made.outcomes(f"external:{NEAR}", WIRE, 0, "ICMP")
    assert made.connect(f"external:{NEAR}", WIRE, 0, "ICMP")
    assert made.outcomes(f"external:{NEAR}", WIRE, 0, "ICMP"), "the one who answered is known now"
