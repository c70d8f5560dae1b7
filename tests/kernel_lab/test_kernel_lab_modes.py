"""host-gw, DirectRouting, macvlan, and what two segments mean for each: the real kernel and the model side by side, both asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel_lab import shape
from tests.kernel_lab.both import Both
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import NODE_PORT, UDP_PORT, cluster

pytestmark = pytest.mark.kernel


# ------------------------------------------------------------------------------------------------------------ host-gw
@pytest.fixture(scope="module")
def plain(real: Real) -> Iterator[Both]:
    """Two nodes on one wire, pods behind bridges, routes by node address. Not to be changed."""
    with Both(real, cluster(2, 2, mode="host-gw")) as both:
        yield both


def test_host_gw_takes_full_packets_and_shows_the_far_node_as_a_hop(plain: Both) -> None:
    assert plain.ask("p02", "10.244.1.2", 0, "ICMP", size=1472, df=True)["verdict"] == "delivered"
    assert plain.ask("p02", "10.244.1.2", 0, "ICMP", size=1473, df=True)["error"] == "EMSGSIZE"
    assert plain.way("p02", "10.244.1.2") == ["10.244.0.1", "192.168.50.12"]
    assert plain.ask("n0", "10.244.1.2")["seen"] == "192.168.50.11", "no tunnel device whose address would be taken"
    assert plain.ask("p02", "10.244.1.2")["seen"] == "10.244.0.2"


def test_host_gw_absent_address(plain: Both) -> None:
    answer = plain.ask("p02", "10.244.1.9")
    assert (answer["error"], answer["icmp"][:3]) == ("EHOSTUNREACH", [3, 1, "192.168.50.12"])
    assert 2.8 < answer["seconds"] < 3.7


def test_host_gw_ends_at_a_router(real: Real) -> None:
    """The route cannot be added, so the packet follows the default route to a router that knows no pods."""
    with Both(real, cluster(2, 1, mode="host-gw", segments=(0, 1))) as both:
        refused = both.real.ask("run_checked", id=both.id, space="n0", line="ip route add 10.244.1.0/24 via 192.168.51.12 dev eth0")
        assert refused["status"] != 0 and "invalid gateway" in refused["output"]
        assert both.ask("p02", "10.244.1.2")["verdict"] == "timeout"
        assert both.ask("n0", "192.168.51.12", NODE_PORT)["verdict"] == "delivered", "the nodes reach each other"


def test_direct_routing_wraps_only_what_crosses_the_router(real: Real) -> None:
    with Both(real, cluster(3, 1, mode="direct", segments=(0, 0, 1))) as both:
        assert both.way("p02", "10.244.1.2") == ["10.244.0.1", "192.168.50.12"]
        assert both.way("p02", "10.244.2.2") == ["10.244.0.1", "10.244.2.0"]
        assert both.ask("n0", "10.244.1.2")["seen"] == "192.168.50.11"
        assert both.ask("n0", "10.244.2.2")["seen"] == "10.244.0.0"


# ------------------------------------------------------------------------------------------------------------- routed
def test_routes_by_the_router_end_there(real: Real) -> None:
    """Nodes of two segments without an overlay: the router has no route to the pods."""
    with Both(real, cluster(2, 1, mode="routed", segments=(0, 1))) as both:
        assert both.ask("p02", "10.244.1.2")["verdict"] == "timeout"
        # a blackhole drops it before anyone looks at its TTL: the router that loses it does not even show in a traceroute
        assert both.way_until("p02", "10.244.1.2", 2) == ["192.168.50.11", "*"]


def test_a_smaller_segment_behind_the_router(real: Real) -> None:
    """The router says how much the far segment takes; when it may not say it, the data of an open connection is lost."""
    with Both(real, cluster(2, 1, mode="direct", segments=(0, 1), segment_mtus=(1500, 1400))) as both:
        assert both.ask("n0", "192.168.51.12", 0, "ICMP", size=1400, df=True)["icmp"] == [3, 4, "192.168.50.1", 1400]
        assert both.ask("p02", "10.244.1.2", size=4000)["verdict"] == "delivered"
        both.ask("p02", "10.244.1.2", UDP_PORT, "UDP", size=1400, df=True)


# ------------------------------------------------------------------------------------------------------ how it is told
@pytest.mark.parametrize("mode", ["host-gw", "routed"])
def test_two_segments_have_addresses_of_their_own(mode: str) -> None:
    spec = cluster(2, 1, mode=mode, segments=(0, 1))
    assert [n["ip"] for n in spec["nodes"]] == ["192.168.50.11", "192.168.51.12"]
    assert shape.segment_of(spec, spec["nodes"][1])["gateway"] == "192.168.51.1"
