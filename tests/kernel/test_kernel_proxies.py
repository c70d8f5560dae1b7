"""Answering for others: proxy ARP, proxy NDP, listed addresses.

What a real Linux 6.18 does over IPv4 is compared in tests/kernel_lab/test_kernel_lab_routed.py. Here is what that harness has no
place for: IPv6 (measured by hand in namespaces), random delays, the words.
"""

from __future__ import annotations

import json

import pytest

from kubenet_lab.errors import CommandError
from kubenet_lab.explain.story import sentence
from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.shell.commands import commands_for
from kubenet_lab.kernel.state import State
from kubenet_lab.kernel.walk import Draws, Script, Walk

MAC, LINK_LOCAL, LISTED = "ee:ee:ee:ee:ee:ee", "fe80::ecee:eeff:feee:eeee", "fd00:99::1"


def routed(gateway: str) -> Network:
    """One node, two pods with a /128 each; their gateway is `gateway`."""
    net = Network()
    net.add_segment("lan", cidr="fd50::/64")
    node = net.add_host("n").root
    net.plug("n", "lan", address="fd50::11/64")
    node.set_sysctl("net.ipv6.conf.all.forwarding", 1)
    for i in (2, 3):
        pod = net.add_namespace("n", f"p{i}")
        node.add_link(f"cali{i}", "veth", mac=MAC, peer=(pod.id, "eth0"))
        pod.add_link("eth0", "veth", peer=("n", f"cali{i}"))
        node.add_address(f"cali{i}", f"{LINK_LOCAL}/64", scope="link")
        for key in ("conf.{}.proxy_ndp=1", "neigh.{}.proxy_delay=0"):
            name, _, value = key.format(f"cali{i}").partition("=")
            node.set_sysctl(f"net.ipv6.{name}", int(value))
        node.add_route(f"fd00::{i}", dev=f"cali{i}")
        pod.add_address("eth0", f"fd00::{i}/128")
        pod.add_address("eth0", f"fe80::{i}/64", scope="link")
        if gateway == LISTED:
            pod.add_route(LISTED, dev="eth0")
            node.add_proxy(LISTED, f"cali{i}")
        pod.add_route("default", via=gateway, dev="eth0")
        pod.listen(Listener("TCP", 80, Echo(), pod.id))
    return net


def ask(net: Network, **options: object) -> Result:
    return put(net, State(), Question("p2", "fd00::3", 80, "TCP", **options))  # type: ignore[arg-type]


def test_the_link_local_address_of_the_other_end_is_a_gateway():
    net = routed(LINK_LOCAL)
    assert ask(net).verdict == "delivered"
    assert ask(net, ttl=1).reply.events()[-1].after.src == "fd50::11", "the cali interface has no address of that scope"
    net.namespaces["n"].remove_address("cali2", LINK_LOCAL)
    assert ask(net).error == "EHOSTUNREACH", "in IPv6 an address of another device is not answered for"


@pytest.mark.parametrize(
    ("change", "answered"),
    [
        ((), True),
        (("ip neigh del proxy fd00:99::1 dev cali2",), False),
        (("sysctl -w net.ipv6.conf.cali2.proxy_ndp=0",), False),
        (("sysctl -w net.ipv6.conf.cali2.proxy_ndp=0", "sysctl -w net.ipv6.conf.all.proxy_ndp=1"), True),
        (("sysctl -w net.ipv6.conf.cali2.forwarding=0",), False),
    ],
)
def test_proxy_ndp_answers_for_listed_addresses_only(change, answered):
    net = routed(LISTED)
    for line in change:
        Shell(net, State(), "n").run(line)
    assert (ask(net).verdict == "delivered") == answered


def test_a_delay_is_drawn_and_is_the_same_again():
    net = routed(LISTED)
    net.namespaces["n"].set_sysctl("net.ipv6.neigh.cali2.proxy_delay", 80)
    first, second = (put(net, State(), Question("p2", "fd00::3", 80, "TCP")) for _ in range(2))
    assert first.verdict == second.verdict == "delivered" and 0 < first.elapsed < 0.81 and first.elapsed == second.elapsed


def test_a_random_time_is_no_choice():
    script = Script()
    assert Walk(Network(), State(), script).jitter(0.8, "x") == 0.4 and not script.made
    times = [Walk(Network(), State(), Draws(seed)).jitter(0.8, "x") for seed in range(200)]
    assert 0 <= min(times) < 0.05 and 0.75 < max(times) < 0.8


def four(proxy_arp: int = 1) -> Network:
    net = Network()
    node, pod = net.add_host("n").root, net.add_namespace("n", "p")
    node.add_link("cali2", "veth", mac=MAC, peer=("p", "eth0"))
    pod.add_link("eth0", "veth", peer=("n", "cali2"))
    node.set_sysctl("net.ipv4.ip_forward", 1)
    node.set_sysctl("net.ipv4.conf.cali2.proxy_arp", proxy_arp)
    pod.add_address("eth0", "10.0.0.2/32")
    pod.add_route("169.254.1.1", dev="eth0")
    pod.add_route("default", via="169.254.1.1")
    return net


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "has no route to 169.254.1.1"),
        (("ip route add blackhole default",), "leads nowhere"),
        (("ip route add default dev cali2",), "by cali2 itself"),
        (("sysctl -w net.ipv4.conf.cali2.forwarding=0", "ip route add 169.254.1.1 dev cali2"), "does not forward"),
        (("sysctl -w net.ipv4.conf.cali2.rp_filter=1",), "rp_filter"),
    ],
)
def test_an_unanswered_question_says_who_stayed_silent_and_why(lines, words):
    net = four()
    for line in lines:
        Shell(net, State(), "n").run(line)
    trail = put(net, State(), Question("p", "10.0.0.3", 80, "TCP")).forward
    assert trail.code == "neigh.failed"
    said = sentence("neigh.failed", {**trail.params, "host": "n", "device": trail.dev})
    assert "After 3 seconds" in said and words in said


def test_ip_neigh_proxy_prints_and_edits_as_iproute2():
    net = four()
    shell = Shell(net, State(), "n")
    for line in ("neigh add proxy 10.1.1.1 dev cali2", "neigh add proxy 10.1.1.1 dev cali2", "-6 neigh add proxy fe80::1 dev cali2"):
        assert shell.run(f"ip {line}") == ""
    assert shell.run("ip neigh show") == ""
    assert shell.run("ip neigh show proxy") == "10.1.1.1 dev cali2 proxy \nfe80::1 dev cali2 proxy \n"
    assert shell.run("ip -6 neigh show proxy dev cali2") == "fe80::1 proxy \n"
    assert json.loads(shell.run("ip -j neigh show proxy"))[1] == {"dst": "fe80::1", "dev": "cali2", "proxy": None}
    assert "ip neigh add proxy 10.1.1.1 dev cali2" in commands_for(net.namespaces["n"])
    shell.run("ip neigh del proxy 10.1.1.1 dev cali2")
    with pytest.raises(CommandError, match="No such file or directory"):
        shell.run("ip neigh del proxy 10.1.1.1 dev cali2")
    net.namespaces["n"].remove_link("cali2")
    assert not net.namespaces["n"].proxies and not any("cali2" in k for k in net.namespaces["n"].sysctls)


def test_sysctls_of_neighbours_and_of_forwarding():
    net = four()
    shell = Shell(net, State(), "n")
    assert shell.run("sysctl net.ipv4.neigh.cali2.proxy_delay") == "net.ipv4.neigh.cali2.proxy_delay = 80\n"
    shell.run("sysctl -w net.ipv4.conf.cali2.forwarding=0")
    assert shell.run("sysctl -n net.ipv4.ip_forward net.ipv4.conf.cali2.forwarding") == "1\n0\n"
    shell.run("sysctl -w net.ipv4.conf.all.forwarding=1")
    assert shell.run("sysctl -n net.ipv4.conf.cali2.forwarding") == "0\n", "nothing changed"
    shell.run("sysctl -w net.ipv4.ip_forward=0")
    shell.run("sysctl -w net.ipv4.ip_forward=1")
    assert shell.run("sysctl -n net.ipv4.conf.all.forwarding net.ipv4.conf.cali2.forwarding") == "1\n1\n"
    shell.run("sysctl -w net.ipv4.conf.default.forwarding=0")
    shell.run("ip link add v0 type veth peer name v1")
    assert shell.run("sysctl -n net.ipv4.conf.v0.forwarding") == "0\n"
