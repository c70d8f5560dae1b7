"""All the ways a question can go: with the common beginning walked once, and as if every way was walked from its beginning."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenet_lab.kernel import bridge_questions, hearers
from kubenet_lab.kernel.ask import Question, put
from kubenet_lab.kernel.chance import Lot, Weights, kernel_share
from kubenet_lab.kernel.exchanges import Exchange
from kubenet_lab.kernel.flight import Flight, Trail
from kubenet_lab.kernel.frames import Frames
from kubenet_lab.kernel.links import PortVlan
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Arp, Filler
from kubenet_lab.kernel.process import Answer, Machine, Message
from kubenet_lab.kernel.state import State
from kubenet_lab.kernel.verdict import Result
from kubenet_lab.kernel.walk import Draws, Script, Walk
from kubenet_lab.kernel.ways import no_collections, outcomes
from tests.kernel.two_nodes import TCP_PORT, UDP_PORT, Lab


def every_way_whole(net: Network, state: State, q: Question) -> list[tuple[Fraction, Result]]:
    """Each way by itself, from the beginning on."""
    found, pending = [], [[]]
    while pending:
        told: list[int] = pending.pop()
        script = Script(told)
        result = put(net, state.fork(), q, script=script)
        share = Fraction(1)
        for pick, weights in script.made:
            share *= Fraction(weights[pick], sum(weights))
        result.kernel_share = kernel_share(script.made)
        found.append((share, result))
        for i in range(len(script.made) - 1, len(told) - 1, -1):
            pick, weights = script.made[i]
            more = [k for k in range(len(weights) - 1, pick, -1) if weights[k]]
            pending += [[p for p, _ in script.made[:i]] + [k] for k in more]
    return found


def said(trail: Trail | None) -> Any:
    return [(e.code, e.time, e.ns, e.dev, e.after, e.entry) for e in trail] if trail is not None else None


def tables_of(state: State) -> dict[tuple[str, ...], dict[Any, Any]]:
    names = tuple(state.keys())
    return {name: dict(state.read(*name)) for name in names}


def told(r: Result) -> tuple[Any, ...]:
    """Everything about a result but the objects it is made of."""
    w = r.walk
    tables = tables_of(w.state)
    return (
        r.verdict, r.phase, r.error, r.elapsed, r.answered_by, r.source_seen, r.answer, r.started, r.key, r.ending, r.kernel_share,
        said(r.forward), said(r.reply), [*w.frames], [*w.state.capture], w.state.clock, w.state.serial, tables,
        [(e.time, e.ns, e.what, e.value) for e in w.events], [(e.time, e.code) for e in w.endings], [(n, x.error) for n, x in w.exchanges],
        [(when, order, type(x), x.stage) for when, order, x in w.state.later],
    )  # fmt: skip


class Relay:
    """Asks one of two others, by chance, and says whom."""

    name = "relay"

    def handle(self, message: Message, machine: Machine) -> Answer:
        at = machine.choose([1, 2], "whom")
        back = machine.exchange(("10.244.1.2", "10.244.1.3")[at], UDP_PORT, "UDP", Filler(3), 0.5)
        return Answer(Filler(10 + at + (back.reply is None) * 5))


#: rules that leave something to chance, each for the first packet of a connection: (node, table, its text)
CHANCES = (
    ("n0", "filter", "-A FORWARD -p tcp -m tcp --syn -m statistic --mode random --probability 0.25 -j DROP"),
    ("n1", "filter", "-A FORWARD -p tcp -m tcp --syn -m statistic --mode random ! --probability 0.6 -j REJECT --reject-with tcp-reset"),
    ("n1", "raw", "-A PREROUTING -p udp -m udp --dport 53 -m statistic --mode random --probability 0.5 -j DROP"),
    ("n0", "mangle", "-A POSTROUTING -p tcp -m tcp --syn -m statistic --mode random --probability 0.125 -j MARK --set-mark 7"),
)
TARGETS = ("10.244.0.2", "10.244.0.3", "10.244.1.2", "10.244.1.3", "10.244.9.9")


def balanced(lab: Lab, chances: list[str], ends: list[str], back: bool) -> None:
    """10.96.0.50 on n0: a row of rules by chance, the last of them without; `back`: the first one's chain returns."""
    rules = ["*nat", ":SVC - [0:0]", *(f":SEP-{i} - [0:0]" for i in range(len(ends)))]
    rules += [f"-A {hook} -d 10.96.0.50/32 -j SVC" for hook in ("PREROUTING", "OUTPUT")]
    for i, (end, chance) in enumerate(zip(ends, [*chances, ""], strict=False)):
        rules.append(f"-A SVC {chance and f'-m statistic --mode random --probability {chance} '}-j SEP-{i}")
        if not (back and i == 0):
            ports = {"tcp": TCP_PORT, "udp": UDP_PORT}
            rules += [f"-A SEP-{i} -p {p} -j DNAT --to-destination {end}:{port}" for p, port in ports.items()]
    lab["n0"].ruleset(4).restore("\n".join([*rules, "COMMIT", ""]), noflush=True)
    lab["n0"].rules_changed()


chance = st.sampled_from(["0.5", "0.3333333333", "0.25", "0.1", "0", "1"])


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(chance, min_size=1, max_size=4),
    ends=st.lists(st.sampled_from(TARGETS), min_size=5, max_size=5),
    back=st.booleans(),
    more=st.sets(st.sampled_from(CHANCES), max_size=2),
    protocol=st.sampled_from(["TCP", "UDP"]),
    size=st.sampled_from([0, 40]),
    warm=st.booleans(),
    relay=st.booleans(),
)
def test_a_shared_beginning_changes_nothing(rows, ends, back, more, protocol, size, warm, relay):
    lab = Lab()
    balanced(lab, rows, ends[: len(rows) + 1], back)
    for node, table, rule in sorted(more):
        lab[node].ruleset(4).restore(f"*{table}\n{rule}\nCOMMIT\n", noflush=True)
        lab[node].rules_changed()
    if relay:
        lab["p03"].listeners = [Listener("UDP", UDP_PORT, Relay(), "p03"), Listener("TCP", TCP_PORT, Relay(), "p03")]
    if warm:
        lab.ask("p02", "10.244.1.2")
    q = Question("p02", "10.96.0.50", 80, protocol, Filler(size) if size else None, wait_answer=True, timeout=0.9)
    before = told_state(lab.state)
    fast = outcomes(lab.net, lab.state, q, lambda r: r)
    assert told_state(lab.state) == before and sum(share for share, _ in fast) == 1
    slow = every_way_whole(lab.net, lab.state, q)
    assert [(share, told(r)) for share, r in fast] == [(share, told(r)) for share, r in slow]


def told_state(state: State) -> Any:
    return tables_of(state), state.clock, state.serial


def test_a_row_of_rules_is_one_choice_of_all_and_coins_for_who_draws():
    lab = Lab(pods=4)
    ends = [f"10.244.{n}.{i}" for n in (0, 1) for i in (2, 3, 4, 5)]
    balanced(lab, [f"{1 / (8 - i):.10f}" for i in range(7)], ends, False)
    q = Question("p03", "10.96.0.50", 80)
    script = Script()
    put(lab.net, lab.state.fork(), q, script=script)
    assert [tuple(weights) for _, weights in script.made] == [(1,) * 7 + (1,)]
    ways = outcomes(lab.net, lab.state, q, lambda r: (r.answered_by, r.kernel_share))
    assert [share for share, _ in ways] == [Fraction(1, 8)] * 8 and len({who for _, (who, _) in ways}) == 8
    kept = [Fraction(round(0x80000000 * float(f"{1 / (8 - i):.10f}")), 0x80000000) for i in range(7)]
    left, wanted = Fraction(1), []
    for p in [*kept, Fraction(1)]:
        wanted.append(left * p)
        left *= 1 - p
    assert [exact for _, (_, exact) in ways] == wanted and sum(wanted) == 1


@pytest.mark.parametrize("seed", range(5))
def test_who_draws_throws_each_coin(seed):
    """The choice of a connection is made of one draw for each rule, named after it."""
    weights = Weights.of((1, 2), (1, 2))
    lot = Lot([(weights, f"nat SVC {i}") for i in range(1, 6)])
    one, other = Draws(seed), Draws(seed)
    single = [one.choose(weights, f"n0/nat SVC {i}") for i in range(1, 6)]
    passed = Walk(Network(), State(), other).first(lot, "n0/")
    assert passed == (single.index(0) if 0 in single else 5)


def heard(make: Callable[[], Lab], change: Callable[[Lab], None], target: str, source: str, patch: pytest.MonkeyPatch) -> list[Any]:
    """What comes of a question in a changed lab: with an end that answers in one step; with those who have nothing to say hearing it
    together; and where each takes its own."""
    answers = []
    for how in ("one step", "together", "alone"):
        lab = make()
        change(lab)
        if how == "together":
            patch.setattr(bridge_questions, "_end", lambda *_: None)
        elif how == "alone":
            patch.setattr(hearers, "question", lambda f: None)
        r = lab.ask(source, target, source_port=40000)
        waited = [e.flight.trail.params.get("silence") for e in r.walk.endings if e.flight.trail]
        answers.append((told(r), waited, r.walk.silences))
    return answers


def a_plain_pod(lab: Lab) -> None: ...


def a_router(lab: Lab) -> None:
    lab["p13"].set_sysctl("net.ipv4.ip_forward", 1)


def a_proxy(lab: Lab) -> None:
    a_router(lab)
    lab["p14"].add_proxy("10.244.1.9", "eth0")
    lab["p13"].set_sysctl("net.ipv4.conf.eth0.proxy_arp", 1)


def a_local_network(lab: Lab) -> None:
    lab["p14"].add_address("lo", "10.244.1.8/30")


def an_isolated_port(lab: Lab) -> None:
    for i in (3, 4):
        port = lab["n1"].links[f"veth{i}"].port
        lab["n1"].set_link(f"veth{i}", port=replace(port, isolated=True))


def a_port_down(lab: Lab) -> None:
    lab["n1"].set_link("veth3", up=False)
    lab["p14"].set_link("eth0", up=False)


def another_owner(lab: Lab) -> None:
    lab["p14"].add_address("eth0", "10.244.1.9/24")


def a_moved_address(lab: Lab) -> None:
    """Who was talked to knows an old hardware address of the asker."""
    lab.ask("p14", "10.244.1.2")
    lab.state.clock += 5
    lab["p12"].set_link("eth0", mac="02:00:00:00:00:99")


def a_pod_that_knows_the_node(lab: Lab) -> None:
    """By an old hardware address, for good."""
    lab["p12"].add_neighbour("10.244.1.1", "02:00:00:00:00:99", "eth0")


def an_address_elsewhere_in_the_pod(lab: Lab) -> None:
    for pod in ("p12", "p15"):
        lab[pod].remove_address("eth0", f"10.244.1.{pod[-1]}/24")
        lab[pod].add_address("lo", f"10.244.1.{pod[-1]}/32")
        lab[pod].add_route("default", dev="eth0")
        lab[pod].set_sysctl("net.ipv4.conf.eth0.arp_ignore", 1)


def a_port_that_does_not_learn(lab: Lab) -> None:
    port = lab["n1"].links["veth5"].port
    lab["n1"].set_link("veth5", port=replace(port, learning=False))


def a_bridge_that_filters_vlans(lab: Lab) -> None:
    bridge, one, two = lab["n1"].links["cni0"].bridge, PortVlan(1, pvid=True, untagged=True), PortVlan(2, pvid=True, untagged=True)
    lab["n1"].set_link("cni0", bridge=replace(bridge, vlan_filtering=True, vlans=(one,)))
    for i in range(2, 7):
        port = lab["n1"].links[f"veth{i}"].port
        lab["n1"].set_link(f"veth{i}", port=replace(port, vlans=(two if i == 3 else one,)))


def a_fixed_address(lab: Lab) -> None:
    """The bridge has been told that the pod's hardware address is behind another port."""
    lab["n1"].add_fdb(lab["p15"].links["eth0"].mac, "veth3", master="cni0", state="static")


ON_A_BRIDGE = [
    a_plain_pod, a_router, a_proxy, a_local_network, an_isolated_port, a_port_down, another_owner, a_moved_address,
    a_pod_that_knows_the_node, an_address_elsewhere_in_the_pod, a_port_that_does_not_learn, a_bridge_that_filters_vlans, a_fixed_address,
]  # fmt: skip


def two_families() -> Lab:
    lab = Lab(pods=5)
    lab["n1"].add_address("cni0", "fd00:10:244:1::1/64")
    for i in range(2, 7):
        lab[f"p1{i}"].add_address("eth0", f"fd00:10:244:1::{i}/64")
    return lab


@pytest.mark.parametrize("change", ON_A_BRIDGE)
@pytest.mark.parametrize("target", ["10.244.1.5", "10.244.1.9", "10.244.0.1", "10.244.1.255", "fd00:10:244:1::5", "fd00:10:244:1::9"])
@pytest.mark.parametrize("source", ["p12", "p02", "n1"])
def test_a_question_to_all_ports_is_heard_as_if_each_took_its_own(change, target, source, monkeypatch):
    at_once, together, alone = heard(two_families, change, target, source, monkeypatch)
    assert at_once == together == alone


@pytest.mark.parametrize("target", ["10.244.1.5", "fd00:10:244:1::5"])
@pytest.mark.parametrize("change", ON_A_BRIDGE)
def test_an_end_answers_in_one_step_where_nothing_is_out_of_the_ordinary(change, target, monkeypatch):
    found: list[Any] = []
    look = bridge_questions._end
    monkeypatch.setattr(bridge_questions, "_end", lambda *given: found.append(look(*given)) or found[-1])
    lab = two_families()
    change(lab)
    lab.ask("n1", target)
    unusual = [a_proxy, a_local_network, an_isolated_port, a_port_down, a_port_that_does_not_learn, a_bridge_that_filters_vlans]
    if ":" not in target:
        unusual.append(an_address_elsewhere_in_the_pod)
    assert [at and at[0].name for at in found] == [None if change in unusual else "veth5"]


def a_plain_node(lab: Lab) -> None: ...


def a_node_that_speaks_for_others(lab: Lab) -> None:
    lab["n2"].set_sysctl("net.ipv4.conf.eth0.proxy_arp", 1)


def a_node_with_a_private_vlan(lab: Lab) -> None:
    lab["n2"].set_sysctl("net.ipv4.conf.eth0.proxy_arp_pvlan", 1)


def a_node_that_was_talked_to(lab: Lab) -> None:
    """It knows an old hardware address of the asker."""
    lab.ask("n2", "192.168.50.11")
    lab.state.clock += 5
    lab["n0"].set_link("eth0", mac="02:00:00:00:00:99")


def a_second_address(lab: Lab) -> None:
    lab["n3"].add_address("eth0", "192.168.50.77/24")


def a_reflecting_wire(lab: Lab) -> None:
    lab.net.segments["lan"].hairpin |= {("n0", "eth0")}


ON_A_WIRE = [
    a_plain_node, a_node_that_speaks_for_others, a_node_with_a_private_vlan, a_node_that_was_talked_to, a_second_address, a_reflecting_wire,
]  # fmt: skip


@pytest.mark.parametrize("change", ON_A_WIRE)
@pytest.mark.parametrize("target", ["192.168.50.12", "192.168.50.77", "10.244.1.2", "10.244.1.9"])
@pytest.mark.parametrize("source", ["n0", "p02"])
def test_a_question_on_a_wire_is_heard_as_if_each_took_its_own(change, target, source, monkeypatch):
    at_once, together, alone = heard(lambda: Lab(nodes=4), change, target, source, monkeypatch)
    assert at_once == together == alone


def test_a_frame_on_many_links_is_told_once_for_each_and_forks_do_not_see_each_other():
    arp = Arp("request", "02:00:00:00:00:01", "10.0.0.1", "00:00:00:00:00:00", "10.0.0.2")
    frames = Frames()
    assert not frames and list(frames) == []
    at = {ns: Flight("rx", ns, "eth0", arp, "s", "d") for ns in "ace"}
    frames.records.append((1.0, at["a"], ("a/eth0", "b/eth0")))
    one, other = frames.fork(), frames.fork()
    one.records.append((2.0, at["c"], None))
    frames.records.append((3.0, at["e"], None))
    assert [(when, where) for when, where, *_ in one] == [(1.0, "a/eth0"), (1.0, "b/eth0"), (2.0, "c/eth0")]
    assert [where for _, where, *_ in frames] == ["a/eth0", "b/eth0", "e/eth0"] and [x[1] for x in other] == ["a/eth0", "b/eth0"]
    other.extend(one)
    assert [x[1] for x in other] == ["a/eth0", "b/eth0", "a/eth0", "b/eth0", "c/eth0"] and other


def test_no_cycles_are_collected_meanwhile_and_nothing_stays_frozen():
    lab = Lab()
    balanced(lab, ["0.5"], ["10.244.0.3", "10.244.1.2"], False)
    assert gc.isenabled() and not gc.get_freeze_count()
    with no_collections():
        assert not gc.isenabled()
        outcomes(lab.net, lab.state, Question("p02", "10.96.0.50", 80), lambda r: r)
    assert gc.isenabled() and not gc.get_freeze_count()
    gc.freeze()
    try:
        kept = gc.get_freeze_count()
        with no_collections():
            pass
        assert gc.get_freeze_count() == kept  # somebody else's
    finally:
        gc.unfreeze()
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize("warm", [False, True])
def test_what_was_asked_on_a_wire_in_one_way_is_put_in_place_in_another(protocol, warm, monkeypatch):
    lab = Lab(nodes=4, pods=3)
    ends = [f"10.244.{node}.{pod}" for node in (1, 2, 0, 3) for pod in (2, 3, 4)]
    balanced(lab, [f"{1 / (12 - i):.10f}" for i in range(11)], ends, False)
    if warm:
        lab.ask("p03", "10.244.2.2")
    happened = []
    real = Exchange.happen
    monkeypatch.setattr(Exchange, "happen", lambda self, w: (happened.append(self), real(self, w)))
    q = Question("p02", "10.96.0.50", 80, protocol, wait_answer=True, timeout=0.9)
    fast, slow = outcomes(lab.net, lab.state, q, lambda r: r), every_way_whole(lab.net, lab.state, q)
    assert len(fast) == 12 and [(share, told(r)) for share, r in fast] == [(share, told(r)) for share, r in slow]
    # of three ways to a node that has to be asked for, two; one to the first node, for the very first way's state is nobody else's
    assert len(happened) == (3 if warm else 5)


def test_another_state_is_asked_anew(monkeypatch):
    """Chance drops a first question's packet on some ways, so that the next attempt comes later, to a node that knows more."""
    lab = Lab(nodes=3, pods=3)
    balanced(lab, ["0.3333333333", "0.5"], ["10.244.1.2", "10.244.1.3", "10.244.2.2"], False)
    for node, table, rule in CHANCES[:2]:
        lab[node].ruleset(4).restore(f"*{table}\n{rule}\nCOMMIT\n", noflush=True)
        lab[node].rules_changed()
    q = Question("p02", "10.96.0.50", 80, timeout=3.5)
    fast, slow = outcomes(lab.net, lab.state, q, lambda r: r), every_way_whole(lab.net, lab.state, q)
    assert [(share, told(r)) for share, r in fast] == [(share, told(r)) for share, r in slow]
