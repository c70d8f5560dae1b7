"""A router between two segments, fact by fact: path MTU discovery and what it does to VXLAN, on the real kernel and in the model."""

from __future__ import annotations

import pytest

from tests.kernel_lab.racks import Racks
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import TCP_PORT, UDP_PORT

pytestmark = pytest.mark.kernel

POD = "10.244.1.2"


def test_a_router_forwards_between_the_segments_and_costs_one_hop(real: Real) -> None:
    with Racks(real) as both:
        assert both.ask("n0", "n1", UDP_PORT, "UDP", ttl=1)["icmp"] == [11, 0, "192.168.50.1", 0]
        assert both.ask("n0", "n1", UDP_PORT, "UDP", ttl=2)["seen"] == "192.168.50.11"
        assert both.ask("p0", POD, TCP_PORT)["seen"] == "10.244.0.2"
        # the outer packet pays for the router, the inner one sees its two nodes only
        assert both.ask("p0", POD, UDP_PORT, "UDP", ttl=2)["icmp"][2] == "10.244.1.0"
        assert both.ask("p0", POD, UDP_PORT, "UDP", ttl=3)["verdict"] == "delivered"


# ------------------------------------------------------------------------------------------------ path MTU discovery
def test_the_router_says_what_the_next_wire_takes_and_the_sender_remembers(real: Real) -> None:
    with Racks(real, mtus=(1500, 1400)) as both:
        first = both.ask("n0", "n1", 0, "ICMP", size=1472)
        assert (first["verdict"], first["icmp"]) == ("too-big", [3, 4, "192.168.50.1", 1400])
        assert both.known("n0", "n1") == 1400
        assert both.ask("n0", "n1", 0, "ICMP", size=1472)["icmp"] is None, "the second one fails in the send call"
        assert both.ping("n0", "n1", 1400) == "delivered"
        assert both.known("n0", "e") == 0, "an entry is for one destination"
        both.flush()
        assert both.known("n0", "n1") == 0
        assert both.ask("n0", "n1", size=20000)["verdict"] == "delivered"
        assert both.known("n0", "n1") == 0, "the far NIC has 1400 too: its MSS kept the segments small, nothing was learned"


def test_tcp_learns_of_a_narrow_link_in_the_middle_and_repeats_in_smaller_segments(real: Real) -> None:
    with Racks(real, middle=1400) as both:
        assert both.ask("n0", "n1", size=20000)["verdict"] == "delivered"
        assert (both.known("n0", "n1"), both.known("n1", "n0")) == (1400, 1400), "question and answer were too long, each for its router"
        assert both.ping("p0", POD, 1450) == "delivered"


def test_without_df_the_router_cuts(real: Real) -> None:
    with Racks(real, mtus=(1500, 1400)) as both:
        assert both.ask("n0", "n1", UDP_PORT, "UDP", size=1472, df=False)["verdict"] == "delivered"
        assert both.known("n0", "n1") == 0


def test_a_router_that_may_not_say_so_makes_a_black_hole(real: Real) -> None:
    with Racks(real, middle=1400) as both:
        both.run("r", "iptables -A OUTPUT -p icmp -j DROP")
        assert both.ask("n0", "n1", size=200)["verdict"] == "delivered"
        assert both.ask("n0", "n1", size=1400 - 52)["verdict"] == "delivered"
        assert both.ask("n0", "n1", size=1401 - 52)["verdict"] == "stalled"
        stalled = both.ask("n0", "n1", size=5000)
        assert (stalled["verdict"], stalled["error"]) == ("stalled", None)
        assert both.last is not None and both.last.phase == "data"
        assert both.ping("n0", "n1", 1500) == "timeout" and both.ping("n0", "n1", 1400) == "delivered"


# ---------------------------------------------------------------------------------------------------- VXLAN over it
def test_vxlan_packets_are_cut_by_the_router_and_nobody_learns_anything(real: Real) -> None:
    """flannel's device leaves DF of the outer packet unset (vxlan_core.c, VXLAN_DF_UNSET)."""
    with Racks(real, mtus=(1500, 1400)) as both:
        assert both.ping("p0", POD, 1450) == "delivered"
        assert both.ask("p0", POD, TCP_PORT, size=20000)["verdict"] == "delivered"
        assert both.ask("n0", POD, TCP_PORT, size=20000)["verdict"] == "delivered"
        assert (both.known("n0", "n1"), both.known("n0", POD), both.known("p0", POD)) == (0, 0, 0)


def test_a_node_that_knows_the_path_cuts_by_itself(real: Real) -> None:
    with Racks(real, mtus=(1500, 1400)) as both:
        both.ping("n0", "n1", 1500)
        assert both.known("n0", "n1") == 1400
        assert both.ping("p0", POD, 1450) == "delivered"
        assert both.known("n0", POD) == 1350, "what fits into one outer packet; the node's own sockets go by it"
        assert both.known("p0", POD) == 0, "the pod does not hear of it"
        assert both.ping("p0", POD, 1450) == "delivered"
        assert both.ping("n0", POD, 1450) == "too-big" and both.ping("n0", POD, 1350) == "delivered"


@pytest.mark.parametrize("df", ["set", "inherit"])
def test_vxlan_with_df_is_a_black_hole_for_pods_and_not_for_the_node(real: Real, df: str) -> None:
    """Forwarded packets do not go by a learned path MTU (ip_forward_use_pmtu), and no ICMP is sent for a tunnel that is routed into."""
    with Racks(real, mtus=(1500, 1400), df=df) as both:
        assert both.ping("p0", POD, 1450) == "timeout", "lost at the router, which tells the node"
        assert (both.known("n0", "n1"), both.known("n0", POD)) == (1400, 0)
        assert both.ping("p0", POD, 1450) == "timeout", "lost in the node"
        assert (both.known("n0", "n1"), both.known("n0", POD)) == (1400, 1350)
        assert both.ping("p0", POD, 1350) == "delivered"
        stalled = both.ask("p0", POD, TCP_PORT, size=5000)
        assert stalled["verdict"] == "stalled"
        assert both.ask("n0", POD, TCP_PORT, size=5000)["verdict"] == "delivered"
        # an echo reply has no DF either
        assert both.ask("p0", POD, 0, "ICMP", size=1422, df=False)["verdict"] == ("delivered" if df == "inherit" else "timeout")


def test_ipv6_underlay_is_a_black_hole_for_pods_whatever_df_says(real: Real) -> None:
    with Racks(real, mtus=(1500, 1400), six=True) as both:
        assert both.ping("p0", POD, 1430) == "timeout"
        assert (both.known("n0", "n1"), both.known("n0", POD)) == (1400, 0)
        assert both.ping("p0", POD, 1430) == "timeout"
        assert both.known("n0", POD) == 1330
        assert both.ping("p0", POD, 1330) == "delivered"
        assert both.ask("n0", POD, TCP_PORT, size=5000)["verdict"] == "delivered"


@pytest.mark.parametrize("df", ["unset", "set", "inherit"])
def test_a_bridged_vxlan_device_tells_the_pod_in_the_name_of_the_other_one(real: Real, df: str) -> None:
    with Racks(real, middle=1400, df=df) as both:
        for i in (0, 1):
            node, pod, far = f"n{i}", f"p{i}", both.at[f"n{1 - i}"]
            both.run(node, f"ip link add br0 address 02:00:00:00:00:b{i} type bridge")
            for line in (f"ip addr del 10.244.{i}.1/24 dev v0", f"ip addr del 10.244.{i}.0/32 dev flannel.1", "ip link set v0 master br0",
                         "ip link set flannel.1 master br0", "ip link set br0 up", "sysctl -w net.bridge.bridge-nf-call-iptables=0",
                         f"bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst {far} self permanent"):  # fmt: skip
                both.run(node, line)
            both.run(pod, f"ip addr del 10.244.{i}.2/24 dev eth0")
            both.run(pod, f"ip addr add 10.9.0.{i + 2}/24 dev eth0")
        there = "10.9.0.3"
        assert both.ask("p0", there, 0, "ICMP", size=100)["verdict"] == "delivered"
        if df == "unset":
            assert both.ping("p0", there, 1450) == "delivered" and both.known("n0", "n1") == 0
            both.ask("n0", "n1", size=5000)
        else:
            assert both.ping("p0", there, 1450) == "timeout"
        assert both.known("n0", "n1") == 1400
        told = both.ask("p0", there, 0, "ICMP", size=1422)
        assert (told["verdict"], told["icmp"]) == ("too-big", [3, 4, there, 1350])
        assert both.known("p0", there) == 1350
        assert both.ping("p0", there, 1350) == "delivered"
        assert both.ask("p0", there, TCP_PORT, size=20000)["verdict"] == "delivered"


# -------------------------------------------------------------------------------------------------- an MTU per link
def test_a_jumbo_nic_on_an_ordinary_wire_loses_what_is_larger_in_silence(real: Real) -> None:
    with Racks(real, mtus=(1500, 1500), nics={"n1": 9000}) as both:
        assert both.ask("e", "n1", 0, "ICMP", size=4000, timeout=1.0)["error"] == "EMSGSIZE", "the one with 1500 does not even send"
        assert both.ping("n1", "e", 4028, timeout=1.0) == "timeout"
        assert both.known("n1", "e") == 0
        assert both.ask("n1", "e", size=20000)["verdict"] == "delivered", "the other end's MSS keeps TCP small"


def test_a_nic_with_a_smaller_mtu_than_its_wire_does_not_take_what_others_send(real: Real) -> None:
    with Racks(real, nics={"n1": 1400}) as both:
        assert both.ping("e", "n1", 1500, timeout=1.0) == "timeout"
        assert both.ping("e", "n1", 1400) == "delivered"
        assert both.ask("e", "n1", size=20000)["verdict"] == "delivered"
        assert both.ping("n0", "n1", 1500, timeout=1.0) == "timeout", "the router does not know: its own NIC takes 1500"


def test_the_routers_nic_counts_not_the_wire(real: Real) -> None:
    with Racks(real, nics={"r/b": 1400}) as both:
        assert both.ask("n0", "n1", 0, "ICMP", size=1472)["icmp"] == [3, 4, "192.168.50.1", 1400]
        assert both.ping("n1", "n0", 1500, timeout=1.0) == "timeout", "the router's NIC does not take it in"
        assert both.ask("n0", "n1", size=20000)["verdict"] == "delivered"
