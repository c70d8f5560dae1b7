"""A bridge that filters VLANs: who hears whom, what it learns, and what the trace says where it keeps two apart.

Documented behaviour (Linux net/bridge/br_vlan.c); the kernel of the tests cannot filter.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from two_nodes import TCP_PORT, Lab

from kubenet_lab.kernel.ask import Result
from kubenet_lab.kernel.bridge_vlans import add, delete, of_port
from kubenet_lab.kernel.links import DEFAULT_VLANS, BridgeOptions, BridgePort, PortVlan
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.shell.commands import commands_for
from kubenet_lab.kernel.story import trace_of


def run(there: Lab, command: str) -> str:
    return Shell(there.net, there.state, "n").run(command)


def why(r: Result) -> str:
    """The last word on a question that found no answer."""
    assert (r.verdict, r.error) == ("unreachable", "EHOSTUNREACH") and r.forward is not None
    return [e.code for e in r.forward][-1]


ACCESS = of_port(BridgePort(), 100, (), False)


def lab(*ports: BridgePort, filtering: bool = True) -> Lab:
    """A node with the bridge br0 (10.0.0.254) and a pod per port, p1 at 10.0.0.1 and so on."""
    net = Network()
    node = net.add_host("n").root
    node.label = "node:n"
    node.add_link("br0", "bridge", bridge=BridgeOptions(vlan_filtering=filtering))
    node.add_address("br0", "10.0.0.254/24")
    for i, port in enumerate(ports, 1):
        pod = net.add_namespace("n", f"p{i}")
        pod.add_link("eth0", "veth", peer=("n", f"v{i}"))
        node.add_link(f"v{i}", "veth", peer=(f"p{i}", "eth0"), master="br0", port=port)
        pod.add_address("eth0", f"10.0.0.{i}/24")
        pod.add_address("eth0", f"fd00::{i}/64")
        pod.listen(Listener("TCP", TCP_PORT, Echo(), pod.id))
    return Lab(net)


@pytest.mark.parametrize("to", ["10.0.0.2", "fd00::2"])
def test_one_vlan_and_two(to: str) -> None:
    same = lab(ACCESS, ACCESS)
    assert same.ask("p1", to).verdict == "delivered"
    assert sorted(k[2] for k in same.state.read("fdb-vlan", "n")) == [100, 100] and not same.state.read("fdb", "n")
    apart = lab(ACCESS, of_port(BridgePort(), 200, (), False))
    r = apart.ask("p1", to)
    assert why(r) == "vlan.egress"
    last = trace_of(r).hops[-1]
    assert (last.host, last.title, last.command) == ("n", "v2 is not in VLAN 100", "bridge vlan show dev v2"), last
    # without filtering the VLANs of the ports do not count
    assert lab(ACCESS, of_port(BridgePort(), 200, (), False), filtering=False).ask("p1", to).verdict == "delivered"


def test_the_answer_is_lost_in_the_other_vlan() -> None:
    # both ports keep VLAN 1: the question arrives in it, the answer goes in VLAN 100
    r = lab(BridgePort(), of_port(BridgePort(), 100)).ask("p1", "10.0.0.2")
    assert why(r) == "vlan.egress"


def test_a_port_without_a_pvid_and_a_trunk() -> None:
    r = lab(of_port(BridgePort(), 0, (100,), False), ACCESS).ask("p1", "10.0.0.2")
    assert why(r) == "vlan.ingress"
    r = lab(ACCESS, of_port(BridgePort(), 0, (100,), False)).ask("p1", "10.0.0.2")
    assert why(r) == "vlan.tagged"


def test_isolated_ports_say_so() -> None:
    r = lab(BridgePort(isolated=True), BridgePort(isolated=True), filtering=False).ask("p1", "10.0.0.2")
    assert why(r) == "bridge.isolated"
    assert lab(BridgePort(isolated=True), BridgePort(), filtering=False).ask("p1", "10.0.0.2").verdict == "delivered"


def test_the_bridge_itself_is_in_vlan_1() -> None:
    assert lab(ACCESS).ask("p1", "10.0.0.254", protocol="ICMP").verdict == "unreachable"
    there = lab(BridgePort(), ACCESS)
    assert there.ask("p1", "10.0.0.254", protocol="ICMP").verdict == "delivered"
    node = there.net.namespaces["n"]
    out = run(there, "bridge vlan add vid 100 dev br0 self pvid untagged")
    assert out == "" and node.link("br0").bridge.vlans == (PortVlan(1, False, True), PortVlan(100, True, True))
    assert there.ask("p2", "10.0.0.254", protocol="ICMP").verdict == "delivered"


def test_vlans_of_a_port() -> None:
    two = add(DEFAULT_VLANS, 100, pvid=True, untagged=True)
    assert two == (PortVlan(1, False, True), PortVlan(100, True, True))
    assert add(two, 100) == (PortVlan(1, False, True), PortVlan(100)) and delete(two, 1) == (PortVlan(100, True, True),)


def test_in_the_shell() -> None:
    there = lab(ACCESS, ACCESS)
    sh = lambda command: run(there, command)  # noqa: E731
    assert sh("bridge vlan show") == (
        "port              vlan-id  \nbr0               1 PVID Egress Untagged\n"
        "v1                100 PVID Egress Untagged\nv2                100 PVID Egress Untagged\n"
    )
    assert sh("bridge vlan add vid 200-202 dev v1") == sh("bridge vlan del vid 201 dev v1") == ""
    assert sh("bridge vlan show dev v1").split() == ["port", "vlan-id", "v1", "100", "PVID", "Egress", "Untagged", "200", "202"]
    assert sh("bridge vlan show vid 202").splitlines()[1:] == ["v1                202"]
    assert "vlan_filtering 1" in sh("ip -d link show br0")
    assert there.ask("p1", "10.0.0.2").verdict == "delivered"
    mac = there.net.namespaces["p1"].link("eth0").mac
    assert f"{mac} dev v1 vlan 100 master br0 \n" in sh("bridge fdb show br br0")
    # what a namespace is made with can be said again
    made = commands_for(there.net.namespaces["n"])
    assert any(c.startswith("ip link add name br0 ") and c.endswith("type bridge vlan_filtering 1") for c in made)
    at = made.index("bridge vlan del vid 1 dev v1")
    assert made[at + 1 : at + 4] == [
        "bridge vlan add vid 100 dev v1 pvid untagged", "bridge vlan add vid 200 dev v1", "bridge vlan add vid 202 dev v1",
    ]  # fmt: skip
    assert sh("ip link add br1 type bridge vlan_filtering 1") == "" and there.net.namespaces["n"].link("br1").bridge.vlan_filtering
    assert sh("ip link del v1") == "" and not any(v[0] == "v1" for v in there.state.read("fdb-vlan", "n").values())


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("bridge vlan add vid 5000 dev v1", 'Invalid VLAN ID "5000"'),
        ("bridge vlan add vid 20-10 dev v1", "Invalid VLAN range 20-10"),
        ("bridge vlan add dev v1", "Device and VLAN ID are required arguments."),
        ("bridge vlan add vid 5 dev none", 'Cannot find bridge device "none"'),
        ("bridge vlan add vid 5 dev lo", "RTNETLINK answers: Operation not supported"),
    ],
)
def test_what_the_tool_refuses(command: str, error: str) -> None:
    there = lab(ACCESS)
    with pytest.raises(Exception, match=error):
        run(there, command)
