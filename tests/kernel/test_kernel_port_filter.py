"""Packet filters at the port of a NIC: what rules say, that answers pass, and that the same rules as iptables decide the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import ROUTER, Network
from kubenet_lab.kernel.packet import Filler, Icmp, Packet, Tcp, Udp
from kubenet_lab.kernel.port_filter import FilterRule, PortFilter, filter_router
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.state import State


def world() -> Network:
    """n0 and n1 on two segments with a router between; both listen on TCP and UDP 80 and 8472."""
    net = Network()
    for i, name in enumerate(("n0", "n1")):
        net.add_segment(name[1:] + "s", cidr=f"192.168.5{i}.0/24")
        ns = net.add_host(name).root
        net.plug(name, name[1:] + "s", address=f"192.168.5{i}.11/24")
        for port in (80, 8472):
            ns.listen(Listener("TCP", port, Echo(), name))
            ns.listen(Listener("UDP", port, Echo(), name))
    net.add_router({"0s": ("192.168.50.1/24",), "1s": ("192.168.51.1/24",)})
    for i in (0, 1):
        net.namespaces[f"n{i}"].add_route("default", via=f"192.168.5{i}.1")
    return net


def group(net: Network, host: str, *rules: str) -> None:
    net.filter_port(host, PortFilter(f"the security group of {host}", tuple(map(FilterRule.parse, rules))))


def ask(
    net: Network, protocol: str = "UDP", port: int = 8472, src: str = "n0", size: int = 20, state: State | None = None, df: bool = True
) -> Result:  # fmt: skip
    dst = "192.168.51.11" if src == "n0" else "192.168.50.11"
    q = Question(src, dst, port if protocol != "ICMP" else 0, protocol, Filler(size), wait_answer=True, timeout=2.0, df=df)
    return put(net, state or State(), q)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("deny udp 8472", FilterRule("deny", protocol="UDP", ports=(8472, 8472))),
        ("DENY UDP port 8472", FilterRule("deny", protocol="UDP", ports=(8472, 8472))),
        ("allow in tcp 30000-32767 from 10.0.0.0/8", FilterRule("allow", "ingress", "TCP", (30000, 32767), source="10.0.0.0/8")),
        ("deny out all to 192.168.51.0/24", FilterRule("deny", "egress", destination="192.168.51.0/24")),
        ("deny from 10.1.2.3", FilterRule("deny", source="10.1.2.3/32")),
        ("deny icmp frag-needed", FilterRule("deny", protocol="ICMP", icmp="frag-needed")),
        ("deny icmpv6 type packet-too-big", FilterRule("deny", protocol="ICMP", icmp="packet-too-big")),
        ("deny icmp 3/4", FilterRule("deny", protocol="ICMP", icmp="3/4")), ("deny all", FilterRule("deny")),
        ("allow egress", FilterRule("allow", "egress")),
    ],
)  # fmt: skip
def test_rules_are_read(text: str, same: FilterRule) -> None:
    assert FilterRule.parse(text) == same and FilterRule.parse(str(same)) == same


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected one such as"), ("drop udp 8472", "found 'drop udp 8472'"), ("deny udp 70000", "found port 70000"),
        ("deny udp 0", "port 0"),
        ("deny udp 9-3", "found port 9-3"), ("deny gre", "found the protocol 'GRE'"), ("deny icmp teapot", "ICMP type 'teapot'"),
        ("deny udp http", "could not read 'http'"), ("deny udp 80 from", "could not read 'from'"), ("deny from 10.0.0.0/33", "the source"),
        ("deny all 80", "found port 80 of all"), ("deny udp 80 from 10.0.0.1 from 10.0.0.2", "could not read"), (5, "found 5"),
    ],
)  # fmt: skip
def test_what_is_no_rule(text: str, says: str) -> None:
    with pytest.raises(KubenetError, match=says):
        FilterRule.parse(text)


def test_what_is_dropped_never_reaches_the_machine() -> None:
    net = world()
    group(net, "n1", "deny udp 8472")
    lost = ask(net)
    assert (lost.verdict, lost.ending) == ("timeout", "group.denied")
    places = {at for _, at, _, _, packet in lost.walk.frames or () if isinstance(packet, Packet)}
    assert f"{ROUTER}/1s" in places and "n1/eth0" not in places, "tcpdump on n1 sees nothing"
    assert ask(net, port=80).verdict == ask(net, "TCP", 8472).verdict == "delivered"


def test_egress_is_seen_on_the_machine_and_goes_no_further() -> None:
    net = world()
    group(net, "n0", "deny out udp 8472")
    lost = ask(net)
    places = {at for _, at, _, _, packet in lost.walk.frames or () if isinstance(packet, Packet)}
    assert lost.ending == "group.denied" and "n0/eth0" in places and f"{ROUTER}/0s" not in places
    assert ask(net, src="n1").verdict == "delivered", "coming in is something else"


def test_a_group_is_stateful() -> None:
    net, state = world(), State()
    group(net, "n1", "allow in tcp 80", "deny in all")
    assert ask(net, "TCP", 80).verdict == "delivered"
    assert ask(net, "TCP", 8472).verdict == ask(net, "UDP", 80).verdict == ask(net, "ICMP").verdict == "timeout"
    assert ask(net, "TCP", 8472, src="n1").verdict == "delivered", "answers to what it asked come in"
    assert ask(net, "UDP", 80, src="n1", state=state).verdict == "delivered"
    assert ask(net, "ICMP", src="n1").verdict == "delivered"
    assert ask(net, "UDP", 81, src="n1").verdict == "refused", "and ICMP errors about it (related)"
    group(net, "n1", "deny in all")
    assert ask(net, "TCP", 80).verdict == "timeout"


def test_an_answer_after_the_entry_has_timed_out_is_a_new_packet() -> None:
    from kubenet_lab.kernel.conntrack import Conntrack

    net, state = world(), State()
    group(net, "n1", "deny in all")
    assert ask(net, "UDP", 80, src="n1", state=state).verdict == "delivered"
    table = Conntrack(state, "port n1/eth0")
    (entry,) = table.entries()
    assert table.find(entry.reply) is not None
    state.clock += 31
    assert table.find(entry.reply) is None


def test_the_first_rule_that_fits_decides_and_a_bare_deny_is_the_default() -> None:
    net = world()
    group(net, "n1", "allow icmp echo-request", "deny in icmp")
    assert ask(net, "ICMP").verdict == "delivered"
    group(net, "n1", "allow icmp echo-request", "deny icmp")
    assert ask(net, "ICMP").verdict == "timeout", "the answer is ICMP too"
    group(net, "n1", "deny in icmp", "allow icmp echo-request")
    assert ask(net, "ICMP").verdict == "timeout"
    group(net, "n1", "deny all", "allow udp 8472")
    assert ask(net).verdict == "delivered" and ask(net, port=80).verdict == "timeout"


def test_a_deny_rule_drops_what_belongs_to_a_connection_too() -> None:
    """So that a block takes effect at once; and so that path MTU discovery can be broken."""
    net, state = world(), State()
    assert ask(net, state=state).verdict == "delivered"
    group(net, "n1", "deny udp 8472")
    assert ask(net, state=state).verdict == "timeout"
    net = world()
    net.namespaces[ROUTER].set_link("1s", mtu=1400)
    assert ask(net, "ICMP", size=1472).verdict == "too-big"
    group(net, "n0", "deny icmp frag-needed")
    assert ask(net, "ICMP", size=1472).verdict == "timeout" and ask(net, "ICMP", size=1372).verdict == "delivered"
    stalled = ask(net, "TCP", 80, size=3000)
    assert (stalled.verdict, stalled.phase) == ("stalled", "data")


def test_fragments_are_judged_by_their_datagram() -> None:
    net = world()
    group(net, "n1", "deny in udp 8472", "allow in udp 80", "deny in all")
    assert ask(net, port=8472, size=4000, df=False).verdict == "timeout"
    assert ask(net, port=80, size=4000, df=False).verdict == "delivered"


def test_arp_and_neighbour_discovery_pass() -> None:
    net = world()
    group(net, "n1", "deny all")
    lost = ask(net)
    assert lost.ending == "group.denied", "the router knows n1's MAC address"


def test_a_group_needs_a_nic() -> None:
    with pytest.raises(KubenetError, match="n1 has no NIC eth7"):
        world().filter_port("n1", PortFilter("x", (FilterRule("deny"),)), "eth7")


# -------------------------------------------------------------------------------------------- the same as iptables
CIDRS = st.sampled_from(["", "192.168.50.0/24", "192.168.51.11/32", "10.0.0.0/8", "fd00::/8", "0.0.0.0/0"])
PORTS = st.sampled_from([None, (80, 80), (8472, 8472), (1, 8000), (32768, 60999)])
RULES = st.builds(
    lambda action, protocol, ports, kind, source, destination: FilterRule(
        action, "", protocol, ports if protocol in ("TCP", "UDP", "SCTP") else None, kind if protocol == "ICMP" else "", source, destination
    ),
    st.sampled_from(["allow", "deny"]), st.sampled_from(["", "TCP", "UDP", "ICMP", "SCTP"]), PORTS,
    st.sampled_from(["", "frag-needed", "echo-request", "echo-reply", "port-unreachable", "11", "3/3"]), CIDRS, CIDRS,
)  # fmt: skip


@given(RULES, st.sampled_from(["", "ingress", "egress"]))
def test_a_rules_text_is_the_rule(rule: FilterRule, direction: str) -> None:
    from dataclasses import replace

    rule = replace(rule, direction=direction)
    assert FilterRule.parse(str(rule)) == rule


WORDS = st.sampled_from(
    ["allow", "deny", "in", "out", "udp", "tcp", "icmp", "port", "type", "from", "to", "8472", "1-2", "3/4", "10.0.0.0/8", "all"]
)


@given(st.one_of(st.text(max_size=40), st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=7).map(" ".join)))
def test_any_text_is_a_rule_or_a_clear_error(text: str) -> None:
    try:
        rule = FilterRule.parse(text)
    except KubenetError as e:
        assert "filter rule" in str(e)
    else:
        assert FilterRule.parse(str(rule)) == rule


@settings(max_examples=120, deadline=None)
@given(st.lists(RULES, max_size=4), st.sampled_from(["UDP", "TCP", "ICMP"]), st.sampled_from([80, 8472, 81]))
def test_at_the_port_and_as_iptables_rules_of_the_router_they_decide_alike(rules: list[FilterRule], protocol: str, port: int) -> None:
    at_port, on_router = world(), world()
    at_port.filter_port("n1", PortFilter("g", tuple(rules)))
    filter_router(on_router.namespaces[ROUTER], rules)
    for src in ("n0", "n1"):
        one, other = (ask(net, protocol, port, src) for net in (at_port, on_router))
        assert (one.verdict, one.error) == (other.verdict, other.error), f"{protocol} {port} from {src}: {rules}"


def test_the_routers_rules_are_iptables(require_tool: Callable[[str], str]) -> None:
    """iptables-restore --test reads both families' chains, and a second filter takes the first one's place."""
    net = world()
    router = net.namespaces[ROUTER]
    rules = ["deny icmp frag-needed", "deny icmp 3/3", "allow tcp 80 from 10.0.0.0/8", "deny sctp 5-9 to fd00::/8", "deny udp", "deny all"]
    filter_router(router, [FilterRule.parse("deny udp 1")])
    filter_router(router, list(map(FilterRule.parse, rules)))
    for family, tool in ((4, "iptables-restore"), (6, "ip6tables-restore")):
        text = router.ruleset(family).save()
        assert text.count("-A FORWARD -j UNDERLAY") == 1 and "--dport 1 " not in text
        subprocess.run([require_tool(tool), "--test"], input=text, text=True, check=True, capture_output=True)
    assert "--icmpv6-type 2" in router.ruleset(6).save() and "10.0.0.0/8" not in router.ruleset(6).save()


@pytest.mark.parametrize(
    ("packet", "text", "fits"),
    [
        (Packet("fd00::1", "fd01::1", "ICMPv6", Icmp(2, 0, mtu=1400)), "deny icmp frag-needed", True),
        (Packet("fd00::1", "fd01::1", "ICMPv6", Icmp(2, 0, mtu=1400)), "deny icmp 3/4", False),
        (Packet("10.0.0.1", "10.0.1.1", "ICMP", Icmp(3, 4)), "deny icmp packet-too-big", True),
        (Packet("10.0.0.1", "10.0.1.1", "ICMP", Icmp(3, 1)), "deny icmp destination-unreachable", True),
        (Packet("10.0.0.1", "10.0.1.1", "UDP", Udp(8472, 53)), "deny udp 8472", False),  # a destination port
        (Packet("10.0.0.1", "10.0.1.1", "TCP", Tcp(1, 8472)), "deny udp 8472", False),
    ],
)  # fmt: skip
def test_what_a_rule_speaks_of(packet: Packet, text: str, fits: bool) -> None:
    assert FilterRule.parse(text).fits(packet, "ingress") is fits
