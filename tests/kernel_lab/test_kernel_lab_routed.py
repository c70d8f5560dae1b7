"""A routed cluster without bridge and tunnel (as Calico programs it), fact by fact: the real kernel and the model side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel_lab.both import Both
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import NODE_PORT, TCP_PORT, UDP_PORT, routed

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def healthy(real: Real) -> Iterator[Both]:
    """Two nodes, two pods each, nothing broken. Not to be changed."""
    with Both(real, routed(2, 2)) as both:
        yield both


def test_every_pair_of_pods_sees_the_other_as_it_is(healthy: Both) -> None:
    for p in healthy.spec["pods"]:
        for q in healthy.spec["pods"]:
            answer = healthy.ask(p["name"], q["ip"])
            assert (answer["verdict"], answer["by"], answer["seen"]) == ("delivered", q["name"], p["ip"])


def test_same_node_pods_are_one_routed_hop_apart_and_the_hop_answers_as_the_node(healthy: Both) -> None:
    assert healthy.way("p02", "10.244.0.3") == ["192.168.50.11"]
    assert healthy.ask("p02", "10.244.0.3", UDP_PORT, "UDP", ttl=1)["icmp"][:3] == [11, 0, "192.168.50.11"]
    assert healthy.ask("p02", "10.244.0.3", UDP_PORT, "UDP", ttl=2)["verdict"] == "delivered"


def test_the_way_to_another_node(healthy: Both) -> None:
    assert healthy.way("p02", "10.244.1.2") == ["192.168.50.11", "192.168.50.12"]
    assert healthy.ask("p02", "10.244.1.2", 0, "ICMP", size=1472, df=True)["verdict"] == "delivered", "no encapsulation"


def test_nodes_are_seen_as_the_node_address_by_local_and_remote_pods(healthy: Both) -> None:
    for dst in ("10.244.0.2", "10.244.1.2"):
        assert healthy.ask("n0", dst)["seen"] == "192.168.50.11"


def test_pods_reach_nodes_and_the_client_as_themselves(healthy: Both) -> None:
    for dst in ("192.168.50.11", "192.168.50.12", "192.168.50.100"):
        assert healthy.ask("p02", dst, NODE_PORT)["seen"] == "10.244.0.2"


def test_an_absent_address_of_the_nodes_own_block_is_swallowed(healthy: Both) -> None:
    asked = [("p02", "10.244.0.9"), ("p12", "10.244.0.9"), ("ext", "10.244.0.9"), ("p02", "10.244.0.70")]
    answers = healthy.ask_all([(src, dst, TCP_PORT, "TCP") for src, dst in asked], timeout=1.5)
    # the last is in nobody's block: it leaves by the default route and is lost outside
    assert {a["verdict"] for a in answers} == {"timeout"}
    assert healthy.ask("n0", "10.244.0.9")["error"] == "EINVAL", "a local sender hears of it: the route is a blackhole"


def test_proxy_arp_needs_a_route_to_the_gateway(real: Real) -> None:
    with Both(real, routed(2, 2)) as both:
        both.run("n0", "ip route del default")
        for answer in both.ask_all([("p02", "10.244.0.3", TCP_PORT, "TCP"), ("p03", "10.244.1.2", TCP_PORT, "TCP")]):
            assert (answer["verdict"], answer["error"]) == ("unreachable", "EHOSTUNREACH")
            assert 2.5 < answer["seconds"] < 4.2
        both.run("n0", "ip route add default via 192.168.50.1")
        assert both.ask("p02", "10.244.0.3")["verdict"] == "delivered"


#: what is done to a node -> do its pods find their gateway?
FAULTS: list[tuple[str, bool]] = [
    ("ip route add blackhole 169.254.1.1", False),
    ("ip route add unreachable 169.254.0.0/16", False),
    ("ip route add 169.254.0.0/16 dev eth0", True),
    ("ip route add 169.254.1.1 dev veth{n}2", False),  # it leads out of the device that was asked
    ("ip route add 169.254.1.1 dev veth{n}2; sysctl -w net.ipv4.conf.veth{n}2.proxy_arp_pvlan=1", True),
    ("ip route add 169.254.1.1 dev veth{n}3", True),
    ("ip addr add 169.254.1.1/32 dev eth0", True),
    ("sysctl -w net.ipv4.conf.veth{n}2.proxy_arp=0", False),
    ("sysctl -w net.ipv4.conf.veth{n}3.proxy_arp=0", True),
    ("sysctl -w net.ipv4.conf.veth{n}2.proxy_arp=0; sysctl -w net.ipv4.conf.all.proxy_arp=1", True),
    ("sysctl -w net.ipv4.conf.veth{n}2.proxy_arp=0; ip neigh add proxy 169.254.1.1 dev veth{n}2", True),
    ("sysctl -w net.ipv4.conf.veth{n}2.proxy_arp=0; ip neigh add proxy 169.254.1.1 dev veth{n}3", False),
    ("sysctl -w net.ipv4.conf.veth{n}2.forwarding=0", False),
    ("sysctl -w net.ipv4.ip_forward=0", False),
    ("ip addr add 169.254.1.1/32 dev lo; sysctl -w net.ipv4.conf.all.arp_ignore=1", False),
    ("ip addr add 169.254.1.1/32 dev lo; sysctl -w net.ipv4.conf.veth{n}2.arp_ignore=2", False),
    ("ip addr add 169.254.1.1/32 dev lo; sysctl -w net.ipv4.conf.all.arp_ignore=3", True),
    ("ip addr add 169.254.1.1/32 dev lo; sysctl -w net.ipv4.conf.veth{n}2.arp_ignore=8", False),
    ("ip addr add 169.254.1.1/32 dev lo scope host; sysctl -w net.ipv4.conf.all.arp_ignore=3", False),
    ("ip addr add 169.254.1.1/32 dev lo; sysctl -w net.ipv4.conf.veth{n}2.arp_filter=1", True),
    ("ip addr add 169.254.1.1/32 dev lo; ip route replace 10.244.{n}.2 dev veth{n}3; sysctl -w net.ipv4.conf.all.arp_filter=1", False),
    # a pod whose route leads elsewhere is not believed under rp_filter, not even when it asks by ARP
    ("ip route replace 10.244.{n}.2 dev veth{n}3; sysctl -w net.ipv4.conf.veth{n}2.rp_filter=1", False),
    ("ip route replace 10.244.{n}.2 dev veth{n}3; sysctl -w net.ipv4.conf.veth{n}2.rp_filter=2", False),  # no address, no loose mode
]


def test_who_answers_for_the_gateway(real: Real) -> None:
    """One node per fault, all asked at the same time."""
    for first in (0, 12):
        chosen = FAULTS[first : first + 12]
        with Both(real, routed(len(chosen), 2)) as both:
            for n, (fault, _) in enumerate(chosen):
                for line in fault.format(n=n).split("; "):
                    both.run(f"n{n}", line)
            answers = both.ask_all([(f"p{n}2", f"192.168.50.{11 + n}", NODE_PORT, "TCP") for n in range(len(chosen))])
        for (fault, answered), answer in zip(chosen, answers, strict=True):
            assert (answer["verdict"] == "delivered") == answered, fault
            if not answered:
                assert answer["error"] == "EHOSTUNREACH", fault


def test_a_pods_interface_without_rp_filter_believes_any_source(real: Real) -> None:
    lines = {
        "n0": ["ip route replace 10.244.0.2 dev veth03"],
        "n1": ["ip addr add 203.0.113.1/32 dev veth12", "ip route replace 10.244.1.2 dev veth13",
               "sysctl -w net.ipv4.conf.veth12.rp_filter=2"],
    }  # fmt: skip
    with Both(real, routed(2, 2)) as both:
        for node, some in lines.items():
            for line in some:
                both.run(node, line)
        # the question arrives, and the answer goes to the wrong pod; loose mode needs a device with an address
        asked = [("p02", "192.168.50.11", NODE_PORT, "UDP"), ("p12", "192.168.50.12", NODE_PORT, "UDP")]
        assert [a["verdict"] for a in both.ask_all(asked, timeout=1.5)] == ["timeout", "timeout"]


def test_arp_announce(real: Real) -> None:
    with Both(real, routed(3, 2)) as both:
        for mode in (0, 1, 2):
            both.run(f"n{mode}", f"sysctl -w net.ipv4.conf.all.arp_announce={mode}")
            assert both.ask(f"n{mode}", f"10.244.{mode}.2")["seen"] == f"192.168.50.{11 + mode}"


def test_the_default_proxy_delay_holds_the_first_answer_back(real: Real) -> None:
    """Up to 80 hundredths of a second, at random; the next packet does not wait."""
    with Both(real, routed(1, 4, proxy_delay=80)) as both:
        waits: tuple[list[float], list[float]] = ([], [])
        for name in ("p02", "p03", "p04", "p05"):
            said, found = both.each(name, "192.168.50.11", NODE_PORT, "UDP")
            for into, answer in zip(waits, (said, found), strict=True):
                assert answer["verdict"] == "delivered" and answer["seconds"] < 0.9
                into.append(answer["seconds"])
        assert all(max(w) > 0.05 for w in waits), waits
    with Both(real, routed(1, 2, proxy_delay=0)) as both:
        assert both.ask("p02", "192.168.50.11", NODE_PORT, "UDP")["seconds"] < 0.05


def test_forwarding_is_a_switch_of_each_device(real: Real) -> None:
    with Both(real, routed(2, 2)) as both:
        assert both.ask("p12", "10.244.0.2")["verdict"] == "delivered"
        both.run("n0", "sysctl -w net.ipv4.conf.eth0.forwarding=0")
        assert both.ask("p12", "10.244.0.2", timeout=1.5)["verdict"] == "timeout"
        assert both.ask("p02", "10.244.0.3")["verdict"] == "delivered"
        assert both.ask("p12", "192.168.50.11", NODE_PORT)["verdict"] == "delivered"
        both.run("n0", "sysctl -w net.ipv4.ip_forward=1")
        assert both.ask("p12", "10.244.0.3", timeout=1.5)["verdict"] == "timeout", "it was on: nothing changes"
        both.run("n0", "sysctl -w net.ipv4.ip_forward=0")
        both.run("n0", "sysctl -w net.ipv4.ip_forward=1")
        assert both.ask("p12", "10.244.0.3", TCP_PORT)["verdict"] == "delivered", "a change is written to every device"
