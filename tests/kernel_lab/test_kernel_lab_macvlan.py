"""Pods on macvlan, fact by fact: the real kernel and the model side by side; the same with the real plugin; and random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernel_lab import cases as drawing
from tests.kernel_lab import compare, doors, macvlan_cases
from tests.kernel_lab.both import Both
from tests.kernel_lab.macvlan_planted import PLANTED
from tests.kernel_lab.planted import Planted
from tests.kernel_lab.real import Real
from tests.kernel_lab.shape import CLIENT, NODE_PORT, TCP_PORT, UDP_PORT, macvlan

pytestmark = pytest.mark.kernel

NO_WAY = ("unreachable", "EHOSTUNREACH")


@pytest.fixture(scope="module", params=["bridge", "private", "vepa"])
def healthy(real: Real, request: pytest.FixtureRequest) -> Iterator[Both]:
    """Two nodes, two pods each, nothing broken. Not to be changed."""
    with Both(real, macvlan(2, 2, request.param)) as both:
        yield both


def mode(both: Both) -> str:
    return str(both.spec["pods"][0]["macvlan"])


def test_children_reach_the_world_as_themselves_and_are_reached(healthy: Both) -> None:
    ip = {p["name"]: p["ip"] for p in healthy.spec["pods"]}
    for src, dst, port in (("p02", ip["p12"], TCP_PORT), ("p02", CLIENT, NODE_PORT), ("p02", "192.168.50.12", NODE_PORT)):
        assert healthy.ask(src, dst, port)["seen"] == ip["p02"]
    for src in ("n1", "ext"):
        assert healthy.ask(src, ip["p02"])["by"] == "p02"
        assert healthy.way(src, ip["p02"]) == [], "no router on the way"


def test_a_node_and_its_own_child_never_meet(healthy: Both) -> None:
    asked = [("p02", "192.168.50.11", NODE_PORT, "TCP"), ("n0", "192.168.50.112", TCP_PORT, "TCP")]
    asked.append(("n0", "192.168.50.113", UDP_PORT, "UDP"))
    for answer in healthy.ask_all(asked):
        assert (answer["verdict"], answer["error"]) == NO_WAY
        assert 2.5 < answer["seconds"] < 4.2


def test_siblings_meet_in_bridge_mode_only(healthy: Both) -> None:
    answer = healthy.ask("p02", "192.168.50.113")
    assert (answer["verdict"] == "delivered") == (mode(healthy) == "bridge")


def test_a_switch_port_that_reflects_joins_all_but_private(real: Real) -> None:
    for m in ("bridge", "private", "vepa"):
        with Both(real, macvlan(1, 2, m)) as both:
            both.run("underlay", "bridge link set dev u0 hairpin on")
            # one after the other: a question that is heard answers that of another
            asked = [("p02", "192.168.50.113", TCP_PORT, "TCP"), ("p03", "192.168.50.11", NODE_PORT, "TCP")]
            # what a private child broadcasts comes back to itself only; what it is asked it answers
            assert {a["verdict"] for a in both.ask_all(asked)} == {"unreachable" if m == "private" else "delivered"}
            assert both.ask("n0", "192.168.50.112")["verdict"] == "delivered"


def test_a_device_of_the_nodes_own_repairs_it_in_bridge_mode_only(real: Real) -> None:
    for m in ("bridge", "private", "vepa"):
        with Both(real, macvlan(1, 1, m)) as both:
            both.run("n0", f"ip link add link eth0 name shim address 02:00:00:00:00:51 type macvlan mode {m}")
            both.run("n0", "ip link set shim up")
            both.run("n0", "ip addr add 192.168.50.60/32 dev shim")
            both.run("n0", "ip route add 192.168.50.112 dev shim")
            answers = both.ask_all([("n0", "192.168.50.112", TCP_PORT, "TCP"), ("p02", "192.168.50.60", NODE_PORT, "TCP"),
                                    ("p02", "192.168.50.11", NODE_PORT, "TCP")])  # fmt: skip
            # the node answers on the shim for all of its addresses
            assert {a["verdict"] for a in answers} == {"delivered" if m == "bridge" else "unreachable"}


def test_what_stands_on_a_device_that_is_down(real: Real) -> None:
    with Both(real, macvlan(2, 2)) as both:
        both.run("n0", "ip link set eth0 down")
        asked = [("p02", "192.168.50.113", TCP_PORT, "TCP"), ("p02", CLIENT, NODE_PORT, "TCP"), ("p12", "192.168.50.112", TCP_PORT, "TCP")]
        for answer in both.ask_all(asked):
            assert (answer["verdict"], answer["error"]) == NO_WAY
        both.run("n0", "ip link set eth0 up")
        assert both.ask("p02", "192.168.50.113")["verdict"] == "delivered"


def test_a_passthru_child_takes_the_unicast_of_its_node(real: Real) -> None:
    with Both(real, macvlan(2, 1, "passthru")) as both:
        assert both.ask("p02", CLIENT, NODE_PORT)["seen"] == "192.168.50.112"
        assert both.ask("ext", "192.168.50.112")["by"] == "p02"
        # a question that is broadcast answers others' on the way: one at a time
        assert both.ask("ext", "192.168.50.11", NODE_PORT)["verdict"] == "timeout", "its node answers ARP, and then hears no more"
        assert both.ask("n0", "192.168.50.12", NODE_PORT)["error"] == "EHOSTUNREACH", "the answer to its question is the child's"
        both.run("p02", "ip link set eth0 down")
        assert both.ask("ext", "192.168.50.11", NODE_PORT)["verdict"] == "timeout", "down, it still keeps them from its node"
        both.run("p02", "ip link del eth0")
        assert both.ask("ext", "192.168.50.11", NODE_PORT)["verdict"] == "delivered"


def test_mtu(real: Real) -> None:
    with Both(real, macvlan(2, 2)) as both:
        both.run("p03", "ip link set eth0 mtu 1400")
        taken = both.ask("p02", "192.168.50.113", 0, "ICMP", size=1472, df=True)
        assert taken["verdict"] == "delivered", "taken in, and answered in pieces"
        both.ask("p02", "192.168.50.113", UDP_PORT, "UDP", size=1472, df=False)
        both.ask("p02", "192.168.50.113", size=4000)
        both.run("n0", "ip link set eth0 mtu 1300")
        assert both.ask("p02", "192.168.50.113", 0, "ICMP", size=1472, df=True)["error"] == "EMSGSIZE"
        assert both.ask("p02", "192.168.50.122", 0, "ICMP", size=1272, df=True)["verdict"] == "delivered"


def test_a_network_that_drops_foreign_addresses(real: Real) -> None:
    """As clouds do. The real switch here has locked ports that know the nodes' own addresses only."""
    with Both(real, macvlan(2, 2)) as both:
        for n, node in enumerate(both.spec["nodes"]):
            mac = both.net.namespaces[node["name"]].links["eth0"].mac
            both.run("underlay!", f"bridge fdb replace {mac} dev u{n} master static")
            both.run("underlay", f"bridge link set dev u{n} locked on")
        assert both.ask("n0", CLIENT, NODE_PORT)["verdict"] == "delivered"
        assert both.ask("p02", "192.168.50.113")["verdict"] == "delivered", "siblings do not need the wire"
        for src, dst in (("p02", "192.168.50.122"), ("ext", "192.168.50.113")):
            answer = both.ask(src, dst)
            assert (answer["verdict"], answer["error"]) == NO_WAY
            assert both.last is not None and both.last.ending == "wire.foreign_mac"


def test_the_real_plugin_leaves_the_same_network(real: Real) -> None:
    for m in ("bridge", "private", "vepa"):
        with Both(real, macvlan(2, 2, m), plugins=True) as both:
            asked = [(a, b, TCP_PORT if b.split(".")[-1] not in ("11", "12") else NODE_PORT, "TCP") for a in ("p02", "n0", "ext")
                     for b in ("192.168.50.113", "192.168.50.122", "192.168.50.11")]  # fmt: skip
            both.ask_all(asked)


# --------------------------------------------------------------------------------------------------------------- random
#: clusters in CI
SHARE = 12


@pytest.mark.slow
def test_random_macvlan_clusters_answer_alike(
    real: Real, cases: Callable[[int], int], seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = compare.Comparison(real).run([macvlan_cases.draw(seed, i) for i in range(cases(SHARE))])
    with capsys.disabled():
        print(f"\nmacvlan, seed {seed}: {report}")
    shown = [f"{d}\n{compare.show(d.case)}" if i < 3 else str(d) for i, d in enumerate(report.differences)]
    assert not report.differences, "\n\n".join(shown)
    if cases(SHARE) >= SHARE:
        assert {"delivered", "unreachable", "timeout"} <= set(report.verdicts)
        assert len(report.features) > 8, "the draw is too narrow"


def test_every_macvlan_feature_can_be_drawn_and_programmed() -> None:
    drawn = set()
    for name in macvlan_cases.FEATURES:
        for number in range(4):
            case = macvlan_cases.draw(11, number, only=(name,))
            doors.network(case["spec"])
            drawn |= {f["name"] for f in case["spec"]["faults"]}
    assert drawn == set(macvlan_cases.FEATURES)


# -------------------------------------------------------------------------------------------------------------- planted
def telling(planted: Planted) -> drawing.Case | None:
    """The first cluster with the fault's features in which the model with the fault answers otherwise than without."""
    for number in range(30):
        case = macvlan_cases.draw(100, number, only=planted.shown_by)
        if {f["name"] for f in case["spec"]["faults"]} != set(planted.shown_by):
            continue
        net = doors.network(case["spec"])
        truth = compare.answers(case, net)
        with pytest.MonkeyPatch.context() as m:
            planted.plant(m)
            if compare.answers(case, net) != truth:
                return case
    return None


@pytest.fixture(scope="module")
def recorded(real: Real) -> dict[str, list[compare.Agreed]]:
    return compare.recorded(real, {p.belief: case for p in PLANTED if (case := telling(p))}, "macvlan planted")


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: p.belief)
def test_a_planted_belief_about_macvlan_is_caught(planted: Planted, recorded: dict[str, list[compare.Agreed]]) -> None:
    asked = recorded[planted.belief]
    net = doors.network(asked[0].case["spec"])
    assert not compare.disagree(asked, net), "without the fault all is well"
    with pytest.MonkeyPatch.context() as m:
        planted.plant(m)
        assert compare.disagree(asked, net), f"nobody noticed: {planted.belief}"
