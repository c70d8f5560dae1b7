"""macvlan in the walk: who hears whom by mode, MTU, TTL, IPv6, captures, the reasons. The verdicts are measured (tests/kernel_lab)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from two_nodes import TCP_PORT, UDP_PORT, Lab, codes, frames

from kubenet_lab.errors import CommandError
from kubenet_lab.kernel.links import MacvlanMode
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Arp, Filler, Packet
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.stacked import add_macvlan, carrier, promiscuity
from kubenet_lab.kernel.story import trace_of

PEER = "192.168.50.12"


def macvlan_lab(*modes: MacvlanMode, hosts: int = 2) -> Lab:
    """h1 with a child c1, c2 ... of each mode at .21, .22 ..., and further hosts at .12 ...; IPv6 fd00::21 and so on."""
    net = Network()
    net.add_segment("lan", cidr="192.168.50.0/24")
    for i in range(1, hosts + 1):
        host = net.add_host(f"h{i}").root
        host.label = f"node:h{i}"
        net.plug(f"h{i}", "lan", address=f"192.168.50.1{i}/24")
        host.add_address("eth0", f"fd00::1{i}/64")
        host.listen(Listener("TCP", TCP_PORT, Echo(), host.label))
    for j, mode in enumerate(modes, 1):
        c = net.add_namespace("h1", f"c{j}")
        add_macvlan(c, "eth0", (net.namespaces["h1"], "eth0"), mode)
        c.add_address("eth0", f"192.168.50.2{j}/24")
        c.add_address("eth0", f"fd00::2{j}/64")
        c.listen(Listener("TCP", TCP_PORT, Echo(), c.id))
        c.listen(Listener("UDP", UDP_PORT, Echo(), c.id))
    return Lab(net)


MODES: tuple[MacvlanMode, ...] = ("bridge", "private", "vepa")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("six", [False, True])
def test_who_hears_whom(mode: MacvlanMode, six: bool) -> None:
    lab = macvlan_lab(mode, mode)
    at = (lambda n: f"fd00::{n}") if six else (lambda n: f"192.168.50.{n}")
    assert lab.ask("c1", at(12)).source_seen == at(21)
    assert lab.ask("h2", at(22)).answered_by == "c2"
    for src, dst in (("c1", at(11)), ("h1", at(21))):
        r = lab.ask(src, dst)
        assert (r.verdict, r.error, r.elapsed) == ("unreachable", "EHOSTUNREACH", pytest.approx(3.0, abs=0.01))
    assert (lab.ask("c1", at(22)).verdict == "delivered") == (mode == "bridge")


def test_siblings_spend_no_ttl_and_never_touch_the_wire_but_the_parents_tap_sees_them() -> None:
    lab = macvlan_lab("bridge", "bridge")
    r = lab.ask("c1", "192.168.50.22")
    assert codes(r.forward) == ["socket.send", "macvlan.switch", "socket.deliver"]
    assert not frames(r, "h2/eth0") or all(isinstance(p, Arp) for p in frames(r, "h2/eth0")), "only the broadcast question"
    packets = [p for p in frames(r, "c2/eth0") if isinstance(p, Packet)]
    assert packets and packets[0].ttl == 64
    assert [p for p in frames(r, "h1/eth0") if isinstance(p, Packet)]


def test_a_childs_packet_passes_its_nodes_stack_by() -> None:
    lab = macvlan_lab("bridge")
    rules = lab["h1"].ruleset(4)
    for chain in ("INPUT", "FORWARD", "OUTPUT"):
        rules.restore(f"*filter\n-A {chain} -j DROP\nCOMMIT\n", noflush=True)
    lab["h1"].rules_changed()
    assert lab.ask("c1", PEER).verdict == "delivered" and lab.ask("h2", "192.168.50.21").verdict == "delivered"
    assert not lab.state.read("conntrack", "h1")


def test_a_device_of_the_nodes_own_repairs_the_way_to_its_children() -> None:
    lab = macvlan_lab("bridge")
    add_macvlan(lab["h1"], "shim", (lab["h1"], "eth0"), "bridge")
    lab["h1"].add_address("shim", "192.168.50.60/32")
    lab["h1"].add_route("192.168.50.21", dev="shim")
    there = lab.ask("h1", "192.168.50.21")
    assert (there.verdict, there.source_seen) == ("delivered", "192.168.50.60")
    back = lab.ask("c1", "192.168.50.11")
    assert back.verdict == "delivered", "the node answers on the shim for all of its addresses (arp_ignore 0)"
    assert lab.state.read("neigh", "c1")["eth0", "192.168.50.11"][0] == lab["h1"].links["shim"].mac


def test_a_reflecting_port_joins_what_the_mode_allows() -> None:
    for mode, siblings, up in (("bridge", True, True), ("private", False, False), ("vepa", True, True)):
        lab = macvlan_lab(mode, mode)
        lab.net.segments["lan"].hairpin.add(("h1", "eth0"))
        assert [lab.ask("c1", ip).verdict == "delivered" for ip in ("192.168.50.22", "192.168.50.11")] == [siblings, up], mode
        assert lab.ask("h1", "192.168.50.21").verdict == "delivered"


@pytest.mark.parametrize(
    ("sender", "hears"),
    [("bridge", {"bridge"}), ("private", set()), ("vepa", set())],
)
def test_a_childs_broadcast(sender: MacvlanMode, hears: set[str]) -> None:
    lab = macvlan_lab(sender, "bridge", "private", "vepa")
    r = lab.ask("c1", "192.168.50.99")
    heard = {mode for n, mode in (("c2", "bridge"), ("c3", "private"), ("c4", "vepa")) if frames(r, f"{n}/eth0")}
    assert heard == hears
    assert frames(r, "h2/eth0"), "the world hears it in every mode"


@pytest.mark.parametrize(
    ("sender", "hears"),
    [("bridge", {"bridge", "vepa"}), ("private", set()), ("vepa", {"bridge", "vepa"})],
)
def test_a_childs_broadcast_that_comes_back(sender: MacvlanMode, hears: set[str]) -> None:
    lab = macvlan_lab(sender, "bridge", "private", "vepa")
    lab.net.segments["lan"].hairpin.add(("h1", "eth0"))
    r = lab.ask("c1", "192.168.50.99")
    assert {mode for n, mode in (("c2", "bridge"), ("c3", "private"), ("c4", "vepa")) if frames(r, f"{n}/eth0")} == hears


def test_why_is_told() -> None:
    lab = macvlan_lab("bridge", "vepa")
    for src, host, code in (("c1", 11, "macvlan.parent"), ("h1", 21, "macvlan.child"), ("c1", 22, "macvlan.sibling")):
        trace = trace_of(lab.ask(src, f"192.168.50.{host}"))
        assert [r.code for r in trace.reasons] == ["neigh.failed", code]
        assert trace.reasons[1].evidence is not None and trace.reasons[1].evidence.kind == "measured"
        assert "stand" in str(trace.explain())
    lab["h1"].set_link("eth0", up=False)
    assert trace_of(lab.ask("c1", PEER)).reasons[-1].code == "macvlan.parent_down"
    assert not carrier(lab["c1"], lab["c1"].links["eth0"])


def test_nobody_is_blamed_where_nothing_stands() -> None:
    lab = macvlan_lab("bridge")
    assert [r.code for r in trace_of(lab.ask("c1", "192.168.50.99")).reasons] == ["neigh.failed"]


def test_a_known_neighbour_does_not_help_against_the_switch() -> None:
    lab = macvlan_lab("private")
    lab["c1"].add_neighbour("192.168.50.11", lab["h1"].links["eth0"].mac, "eth0")
    r = lab.ask("c1", "192.168.50.11")
    assert (r.verdict, r.ending) == ("timeout", "wire.same_port")


def test_a_network_that_carries_only_its_own_addresses() -> None:
    lab = macvlan_lab("bridge", "bridge")
    lab.net.segments["lan"].foreign_macs = False
    assert lab.ask("h1", PEER).verdict == "delivered" and lab.ask("c1", "192.168.50.22").verdict == "delivered"
    for src, dst in (("c1", PEER), ("h2", "192.168.50.21")):
        r = lab.ask(src, dst)
        assert (r.error, r.ending) == ("EHOSTUNREACH", "wire.foreign_mac")
    lab["c1"].add_neighbour(PEER, lab["h2"].links["eth0"].mac, "eth0")
    assert lab.ask("c1", PEER).ending == "wire.foreign_mac"


def test_mtu_of_parent_and_child() -> None:
    lab = macvlan_lab("bridge", "bridge")
    h1, c1 = lab["h1"], lab["c1"]
    with pytest.raises(CommandError, match="Invalid argument"):
        c1.set_link("eth0", mtu=1501)
    assert c1.links["eth0"].mtu == 1500
    h1.set_link("eth0", mtu=1300)
    assert c1.links["eth0"].mtu == 1300
    h1.set_link("eth0", mtu=1500)
    assert c1.links["eth0"].mtu == 1300, "a parent that grows does not take its children along"
    lab["c2"].set_link("eth0", mtu=1200)
    c1.set_link("eth0", mtu=1500)
    big = lab.ask("c1", "192.168.50.22", UDP_PORT, "UDP", payload=Filler(1400))
    assert big.source_seen == "192.168.50.21", "what comes in may be larger than the child's own MTU"


def test_addresses_are_held_once() -> None:
    lab = macvlan_lab("bridge", "bridge")
    c1, c2 = lab["c1"], lab["c2"]
    for taken in (c2.links["eth0"].mac, lab["h1"].links["eth0"].mac):
        with pytest.raises(CommandError, match="Address already in use"):
            c1.set_link("eth0", mac=taken)
    c2.set_link("eth0", up=False)
    c1.set_link("eth0", mac=c2.links["eth0"].mac)
    with pytest.raises(CommandError, match="Address already in use"):
        c2.set_link("eth0", up=True)
    lab["h1"].set_link("eth0", mac=c1.links["eth0"].mac)
    assert lab.ask("c1", PEER).verdict == "delivered", "a parent may take a child's address; what comes in is the child's"
    assert lab.ask("h1", PEER).verdict == "unreachable"


def test_passthru() -> None:
    lab = macvlan_lab("passthru")
    h1, c1 = lab["h1"], lab["c1"]
    own = h1.links["eth0"].mac
    assert c1.links["eth0"].mac == own and promiscuity(h1, h1.links["eth0"]) == 1
    with pytest.raises(CommandError, match="Invalid argument"):
        add_macvlan(lab.net.add_namespace("h1", "c2"), "eth0", (h1, "eth0"), "bridge")
    assert lab.ask("c1", PEER).verdict == "delivered" and lab.ask("h1", PEER).error == "EHOSTUNREACH"
    c1.set_link("eth0", mac="02:00:00:00:00:77")
    assert h1.links["eth0"].mac == "02:00:00:00:00:77"
    c1.remove_link("eth0")
    assert h1.links["eth0"].mac == own and not h1.macvlans and lab.ask("h1", PEER).verdict == "delivered"


def test_what_goes_takes_its_children_along() -> None:
    lab = macvlan_lab("bridge", "vepa")
    lab.net.remove_namespace("c2")
    assert lab["h1"].macvlans == {"eth0": (("c1", "eth0"),)}
    lab["h1"].add_link("d0", "bridge")
    add_macvlan(lab["c1"], "x", (lab["h1"], "d0"))
    lab["h1"].remove_link("d0")
    assert "x" not in lab["c1"].links and set(lab["h1"].macvlans) == {"eth0"}


def test_on_a_bridge_children_reach_ports_and_not_the_bridge_itself() -> None:
    """Measured: a bridge with children is promiscuous, so what it floods reaches them too."""
    net = Network()
    host = net.add_host("h").root
    host.add_link("br0", "bridge")
    host.add_address("br0", "10.1.0.1/24")
    pod = net.add_namespace("h", "pod")
    host.wire_veth("p0", pod, "eth0")
    host.set_link("p0", master="br0")
    pod.add_address("eth0", "10.1.0.3/24")
    for i in (1, 2):
        c = net.add_namespace("h", f"c{i}")
        add_macvlan(c, "eth0", (host, "br0"), "bridge")
        c.add_address("eth0", f"10.1.0.1{i}/24")
    lab = Lab(net)
    for src, host_part in (("c1", 3), ("pod", 11), ("c1", 12), ("h", 3)):
        assert lab.ask(src, f"10.1.0.{host_part}", 0, "ICMP").verdict == "delivered", (src, host_part)
    for src, host_part in (("c1", 1), ("h", 11)):
        assert lab.ask(src, f"10.1.0.{host_part}", 0, "ICMP").verdict == "unreachable", (src, host_part)
    assert promiscuity(host, host.links["br0"]) == 1
