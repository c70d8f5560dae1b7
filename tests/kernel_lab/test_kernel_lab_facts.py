"""Bridge + VXLAN, fact by fact: the real kernel and the model side by side, both captured, both asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel_lab import shape
from tests.kernel_lab.both import Both
from tests.kernel_lab.faults import SERVICE_IP, Draft, service
from tests.kernel_lab.frames import Seen, of_model, read
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import UDP_PORT, cluster, vtep_mac

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def healthy(real: Real) -> Iterator[Both]:
    """Two nodes, two pods each, nothing broken. Not to be changed."""
    with Both(real, cluster(2, 2)) as both:
        yield both


@pytest.fixture(scope="module")
def wide(real: Real) -> Iterator[Both]:
    """Pods whose MTU was left at 1500."""
    with Both(real, cluster(2, 2, pod_mtu=1500)) as both:
        yield both


def watched(both: Both, places: list[tuple[str, str]], *asked: Any, **more: Any) -> list[tuple[list[Seen], list[Seen]]]:
    """What passes (space, device) while one question is asked: for each place (in the model, in reality). ARP left out."""
    for i, (space, dev) in enumerate(places):
        both.real.ask("capture", id=both.id, space=space, dev=dev, name=str(i))
    both.ask(*asked, **more)
    assert both.last is not None and both.last.walk.frames is not None
    out = []
    for i, (space, dev) in enumerate(places):
        modelled = [of_model(s, d, p) for _, at, s, d, p in both.last.walk.frames if at == f"{space}/{dev}"]
        found = [read(bytes.fromhex(f)) for f in both.real.ask("captured", name=str(i))]
        out.append(([s for s in modelled if s], [s for s in found if s]))
    return out


def between(frames: list[Seen], *addresses: str) -> list[Seen]:
    """Without what else is on the link."""
    return [f for f in frames if {f.src, f.dst} == set(addresses)]


# ---------------------------------------------------------------------------------------------- encapsulation
def test_each_frame_of_the_vxlan_device_is_one_frame_on_the_wire(healthy: Both) -> None:
    healthy.ask("p02", "10.244.1.2", UDP_PORT, "UDP")  # ARP is done
    (wire, real_wire), (tunnel, real_tunnel) = watched(healthy, [("n0", "eth0"), ("n0", "flannel.1")], "p02", "10.244.1.2", UDP_PORT, "UDP")
    assert len(between(wire, "192.168.50.11", "192.168.50.12")) == len(tunnel) == 2
    assert len(between(real_wire, "192.168.50.11", "192.168.50.12")) == len(real_tunnel) == 2
    (wire, real_wire), (tunnel, real_tunnel) = watched(healthy, [("n0", "eth0"), ("n0", "flannel.1")], "p02", "10.244.1.2")
    for outer, inner in ((wire, tunnel), (real_wire, real_tunnel)):
        assert len(between(outer, "192.168.50.11", "192.168.50.12")) == len(inner) >= 6, "handshake, question, answer"


def test_outer_header(healthy: Both) -> None:
    (pairs,) = watched(healthy, [("n0", "eth0")], "p02", "10.244.1.2", UDP_PORT, "UDP")
    spec = healthy.spec
    for frames in pairs:
        question = between(frames, "192.168.50.11", "192.168.50.12")[0]
        assert (question.src, question.dst, question.dport, question.vni) == ("192.168.50.11", "192.168.50.12", 8472, 1)
        assert question.df is False and question.ttl == 64
        inner = question.inner
        assert inner is not None and question.size - inner.size == 50 and inner.ttl == 63
        assert (inner.smac, inner.dmac) == (vtep_mac(spec["nodes"][0]), vtep_mac(spec["nodes"][1]))
        assert (inner.src, inner.dst, inner.dport) == ("10.244.0.2", "10.244.1.2", UDP_PORT)


def test_outer_source_port_varies_with_the_flow(healthy: Both) -> None:
    ports: tuple[set[int], set[int]] = (set(), set())
    for _ in range(8):
        (pairs,) = watched(healthy, [("n0", "eth0")], "p02", "10.244.1.2", UDP_PORT, "UDP")
        for seen, frames in zip(ports, pairs, strict=True):
            seen.add(between(frames, "192.168.50.11", "192.168.50.12")[0].sport)
    assert all(len(seen) > 3 for seen in ports), ports


def test_same_node_traffic_never_touches_the_wire(healthy: Both) -> None:
    for modelled, found in watched(healthy, [("n0", "eth0"), ("n0", "flannel.1")], "p02", "10.244.0.3"):
        assert modelled == found == []


# -------------------------------------------------------------------------------------------------------- MTU
def test_the_syn_carries_mss_1410(healthy: Both) -> None:
    (pairs,) = watched(healthy, [("p02", "eth0")], "p02", "10.244.1.2")
    assert [next(f.mss for f in frames if f.flags == "S") for frames in pairs] == [1410, 1410]
    assert [next(f.mss for f in frames if f.flags == "SA") for frames in pairs] == [1410, 1410]


def test_too_large_with_df_fails_in_the_call_and_nothing_is_sent(healthy: Both) -> None:
    for proto, port in (("ICMP", 0), ("UDP", UDP_PORT)):
        (pairs,) = watched(healthy, [("p02", "eth0")], "p02", "10.244.1.2", port, proto, size=1472, df=True)
        assert pairs == ([], [])
        assert healthy.ask("p02", "10.244.1.2", port, proto, size=1472, df=True)["error"] == "EMSGSIZE"
        assert healthy.ask("p02", "10.244.1.2", port, proto, size=1422, df=True)["verdict"] == "delivered"
        assert healthy.ask("p02", "10.244.1.2", port, proto, size=1472, df=False)["verdict"] == "delivered"


def test_pod_mtu_left_at_1500(wide: Both) -> None:
    assert wide.ask("p02", "10.244.0.3", 0, "ICMP", size=1472, df=True)["verdict"] == "delivered"
    answer = wide.ask("p02", "10.244.1.2", 0, "ICMP", size=1472, df=True)
    assert (answer["verdict"], answer["icmp"]) == ("too-big", [3, 4, "10.244.0.1", 1450])
    assert wide.ask("p02", "10.244.1.2", size=4000)["verdict"] == "delivered", "TCP is told and finds its way"


def test_black_hole_when_the_error_is_dropped(real: Real) -> None:
    with Both(real, cluster(2, 2, pod_mtu=1500)) as both:
        both.run("n0", "iptables -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")
        assert both.ask("p02", "10.244.1.2", 0, "ICMP", size=1472, df=True)["verdict"] == "timeout"
        assert both.ask("p02", "10.244.1.2", 0, "ICMP", size=1422, df=True)["verdict"] == "delivered"
        assert both.ask("p02", "10.244.1.2", 0, "ICMP", size=1423, df=True)["verdict"] == "timeout"
        assert both.ask("p02", "10.244.1.2")["verdict"] == "delivered"
        assert both.ask("p02", "10.244.1.2", size=4000)["verdict"] == "stalled", "the handshake succeeds, the data is lost"


# -------------------------------------------------------------------------------------------------- the way, sources
@pytest.mark.parametrize("proto", ["UDP", "TCP"])
def test_ttl_path(healthy: Both, proto: str) -> None:
    port = {"UDP": UDP_PORT, "TCP": shape.TCP_PORT}[proto]
    assert healthy.way("p02", "10.244.0.3", port, proto) == [], "same node: bridged"
    assert healthy.way("p02", "10.244.1.2", port, proto) == ["10.244.0.1", "10.244.1.0"]


def test_sources_seen(healthy: Both) -> None:
    assert healthy.ask("p02", "10.244.1.2")["seen"] == "10.244.0.2"
    assert healthy.ask("n0", "10.244.1.2")["seen"] == "10.244.0.0", "flannel.1's address, not the node's"
    assert healthy.ask("n0", "10.244.0.2")["seen"] == "10.244.0.1"
    assert healthy.ask("p02", "192.168.50.12", shape.NODE_PORT)["seen"] == "10.244.0.2"
    assert healthy.ask("ext", "10.244.1.2")["seen"] == shape.CLIENT


def test_a_closed_port_and_an_open_one(healthy: Both) -> None:
    assert healthy.ask("p02", "10.244.1.2", shape.CLOSED)["error"] == "ECONNREFUSED"
    assert healthy.ask("p02", "10.244.1.2", shape.CLOSED, "UDP")["icmp"][:3] == [3, 3, "10.244.1.2"]


@pytest.mark.parametrize(("dst", "sender"), [("10.244.0.9", "10.244.0.2"), ("10.244.1.9", "10.244.1.0")], ids=["own subnet", "other node"])
def test_absent_address_is_host_unreachable_after_three_seconds(healthy: Both, dst: str, sender: str) -> None:
    answer = healthy.ask("p02", dst)
    assert (answer["error"], answer["icmp"][:3]) == ("EHOSTUNREACH", [3, 1, sender])
    assert 2.8 < answer["seconds"] < 3.7


def test_one_fdb_entry_removed_is_silence_to_that_node_only(real: Real) -> None:
    with Both(real, cluster(3, 1)) as both:
        far = both.spec["nodes"][1]
        entry = f"{vtep_mac(far)} dev flannel.1 dst {far['ip']}"
        both.run("n0", f"bridge fdb del {entry}")
        assert both.ask("p02", "10.244.1.2")["verdict"] == "timeout"
        assert both.ask("p02", "10.244.2.2")["verdict"] == "delivered"
        assert both.ask("p22", "10.244.1.2")["verdict"] == "delivered"
        both.run("n0", f"bridge fdb append {entry} self permanent")
        assert both.ask("p02", "10.244.1.2")["verdict"] == "delivered"


# ------------------------------------------------------------------------------------------------ Services by hand
def kube_proxy(spec: shape.Spec, endpoint: str) -> list[shape.Line]:
    """The lines of one Service with one endpoint, as the random suite draws them."""
    from random import Random

    for seed in range(100):
        draft = Draft(Random(seed), {**spec, "pods": [p for p in spec["pods"] if p["name"] == endpoint]})
        service(draft)
        if not draft.spec["service"]["empty"] and not draft.spec["service"]["masquerade"]:
            return draft.lines
    raise AssertionError("no such draw")


def test_hairpin_and_bridge_netfilter(real: Real) -> None:
    with Both(real, cluster(2, 2)) as both:
        for space, line in kube_proxy(both.spec, "p02"):
            both.run(space, line)
        assert both.ask("p03", SERVICE_IP, 80)["seen"] == "10.244.0.3"
        assert both.ask("p02", SERVICE_IP, 80)["seen"] == "10.244.0.1", "to itself: the gateway is the client it sees"
        assert both.ask("ext", "192.168.50.11", 30080)["seen"] == "10.244.0.1", "masqueraded to the outgoing interface"
        assert both.ask("ext", "192.168.50.12", 30080)["seen"] == "10.244.1.0", "not to the node's address"
        assert both.way("p12", SERVICE_IP, 53) == [SERVICE_IP, SERVICE_IP], "errors are un-NATed too"
        both.run("n0", "bridge link set dev veth02 hairpin off")
        assert both.ask("p02", SERVICE_IP, 80)["verdict"] == "timeout"
        both.run("n0", "sysctl -w net.bridge.bridge-nf-call-iptables=0")
        assert both.ask("p03", SERVICE_IP, 80)["verdict"] == "timeout", "the answer is bridged and never un-NATed"
        assert both.ask("p12", SERVICE_IP, 80)["verdict"] == "delivered"


# ------------------------------------------------------------------------------------------------- how it is built
def test_the_real_plugins_make_the_same_network(real: Real, require_that: Any) -> None:
    """Pods connected by the real bridge and host-local answer like those connected by command lines (and like the model)."""
    from tests.kernel_lab.driver import CNI_BIN

    require_that(bool(CNI_BIN), "the CNI plugins bridge and host-local", "cni-plugins")
    with Both(real, cluster(2, 2), plugins=True) as both:
        for dst in ("10.244.0.3", "10.244.1.2", "10.244.1.9"):
            both.ask("p02", dst)
        assert both.way("p02", "10.244.1.2") == ["10.244.0.1", "10.244.1.0"]
        both.ask("ext", "10.244.0.2", UDP_PORT, "UDP")
        both.ask("p02", "10.244.1.2", 0, "ICMP", size=1423, df=True)


def test_without_root(require_that: Any) -> None:
    """Everything also works in a user namespace of one's own."""
    with Real(root=False) as driver:
        try:
            driver.ask("sleep", seconds=0)
        except RuntimeError as e:
            require_that(False, f"user namespaces ({e})", "userns")
        with Both(driver, cluster(2, 1)) as both:
            assert both.ask("p02", "10.244.1.2")["verdict"] == "delivered"
            assert both.way("p02", "10.244.1.2") == ["10.244.0.1", "10.244.1.0"]
