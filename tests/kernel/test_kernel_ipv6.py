"""IPv6 through the same walk: neighbours, forwarding, hop limit, Packet Too Big. RFC 4443, RFC 8201; Linux net/ipv6."""

from __future__ import annotations

import pytest

from kubenet_lab.kernel.ask import Question, put
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Arp, Filler, Icmp
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.state import State


@pytest.fixture
def lab():
    """a (fd00:1::2) - router - b (fd00:2::2); the second wire takes 1400 bytes."""
    net = Network()
    net.add_segment("one")
    net.add_segment("two", mtu=1400)
    for name in ("a", "r", "b"):
        net.add_host(name)
    net.plug("a", "one", address="fd00:1::2/64")
    net.plug("r", "one", "eth0", address="fd00:1::1/64")
    net.plug("r", "two", "eth1", address="fd00:2::1/64")
    net.plug("b", "two", address="fd00:2::2/64")
    net.namespaces["a"].add_route("default", via="fd00:1::1")
    net.namespaces["b"].add_route("default", via="fd00:2::1")
    net.namespaces["r"].set_sysctl("net.ipv6.conf.all.forwarding", 1)
    net.namespaces["b"].listen(Listener("TCP", 80, Echo(), "b"))
    net.namespaces["b"].listen(Listener("UDP", 53, Echo(), "b"))
    state = State()

    def ask(src, dst, port=80, protocol="TCP", **options):
        return put(net, state, Question(src, dst, port, protocol, **options))

    ask.net = net
    return ask


def test_tcp_is_routed_and_the_mss_leaves_room_for_the_larger_header(lab):
    r = lab("a", "fd00:2::2")
    assert (r.verdict, r.answered_by, r.source_seen) == ("delivered", "b", "fd00:1::2")
    syn = next(p for _, where, _, _, p in r.walk.frames if where == "a/eth0" and not isinstance(p, Arp))
    assert syn.l4.mss == 1440 and syn.header_size == 40


def test_hop_limit_is_told_by_the_router(lab):
    r = lab("a", "fd00:2::2", 53, "UDP", ttl=1)
    error = r.reply.events()[-1].after
    assert r.error == "EHOSTUNREACH" and (error.l4.type, error.l4.code) == (3, 0) and error.src == "fd00:1::1"


def test_routers_never_fragment_packet_too_big_comes_back(lab):
    r = lab("a", "fd00:2::2", 0, "ICMP", payload=Filler(1440), df=False)
    error = r.reply.events()[-1].after
    assert isinstance(error.l4, Icmp) and (error.l4.type, error.l4.mtu) == (2, 1400) and error.src == "fd00:1::1"
    assert lab("a", "fd00:2::2", payload=Filler(3000)).verdict == "delivered", "TCP takes the path MTU"


def test_closed_port_and_absent_host(lab):
    assert lab("a", "fd00:2::2", 81).error == "ECONNREFUSED"
    r = lab("a", "fd00:2::2", 81, "UDP")
    assert r.error == "ECONNREFUSED" and r.reply.events()[-1].after.l4.code == 4
    gone = lab("a", "fd00:2::9")
    assert gone.error == "EHOSTUNREACH" and gone.reply.events()[-1].after.l4.code == 3 and gone.elapsed > 2.9


def test_no_route_and_no_forwarding(lab):
    lab.net.namespaces["a"].remove_route("default", via="fd00:1::1")
    assert lab("a", "fd00:2::2").error == "ENETUNREACH"
    lab.net.namespaces["a"].add_route("fd00:2::/64", via="fd00:1::1")
    assert lab("a", "fd00:2::2").verdict == "delivered"
    lab.net.namespaces["r"].set_sysctl("net.ipv6.conf.all.forwarding", 0)
    assert lab("a", "fd00:2::2").verdict == "timeout"


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "ICMP"])
def test_a_link_local_address_needs_a_device(lab, protocol):
    """Measured on Linux 6.18: EINVAL from connect(), whether the address is one's own, a neighbour's or nobody's."""
    assert lab("a", "fe80::1", 80, protocol).error == "EINVAL"
