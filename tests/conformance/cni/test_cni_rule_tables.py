"""The rules of portmap, ipMasq and flannel, line by line; and what stands in a node's ruleset after replaying them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.cni.flannel import forward_steps
from kubenet_lab.cni.flannel import masquerade_steps as flannel_masq
from kubenet_lab.cni.masquerade import masquerade_steps as ip_masq
from kubenet_lab.cni.portmap import DNAT_CHAIN, SETMARK_CHAIN, PortMapping, dnat_steps, mark_steps, top_steps
from kubenet_lab.cni.rules import RuleStep, append, chain_name, comment_of, insert, new_chain, replay, restore_text, run
from kubenet_lab.kernel.iptables import Ruleset

TABLE = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text())
#: the container id of the upstream test
LONG = "icee6giejonei6sohng6ahngee7laquohquee9shiGo7fohferakah3Feiyoolu2pei7ciPhoh7shaoX6vai3vuf0ahfaeng8yohb9ceu0daez5hashee8ooYai5wa3y"
MAPPINGS = (
    PortMapping(8080, 80), PortMapping(8081, 80), PortMapping(8080, 81, "udp"), PortMapping(8082, 82, "udp"),
    PortMapping(8083, 83, "tcp", "192.168.0.2"), PortMapping(8084, 84, "tcp", "0.0.0.0"), PortMapping(8085, 85, "tcp", "2001:db8:a::1"),
    PortMapping(8086, 86, "tcp", "::"),
)  # fmt: skip


@pytest.mark.parametrize("case", TABLE["chain_names"], ids=lambda c: c["want"])
def test_chain_names(case: dict[str, Any]) -> None:
    got = chain_name(case["network"], LONG if case["id"] == "long" else case["id"], case.get("infix", ""))
    assert got == case["want"] and len(got) == 28


@pytest.mark.parametrize("case", TABLE["portmap"], ids=lambda c: f"{c['address']}-{len(c['rules'])}")
def test_portmap(case: dict[str, Any]) -> None:
    steps = dnat_steps(
        "test", LONG, case["address"], MAPPINGS[: case.get("only", len(MAPPINGS))], snat=case.get("snat", True),
        masq_all=case.get("masq_all", False), setmark=case.get("setmark", SETMARK_CHAIN), conditions=case.get("conditions", ()),
    )  # fmt: skip
    chain = "CNI-DN-67e92b96e692a494b6b85"
    assert [s.text.removeprefix(f"-A {chain} ") for s in steps if s.chain == chain and s.action == "-A"] == case["rules"]
    assert {s.family for s in steps} == {6 if ":" in case["address"] else 4} and {s.table for s in steps} == {"nat"}
    if "entry" in case:
        entry = [s.text.removeprefix(f"-A {DNAT_CHAIN} ").removesuffix(f" -j {chain}") for s in steps if s.chain == DNAT_CHAIN]
        assert entry == [e.replace("ID", LONG, 1) for e in case["entry"]]


def text_of(steps: list[RuleStep]) -> list[str]:
    return [s.text for s in steps]


def test_marks_and_summary_chain() -> None:
    assert text_of(mark_steps(TABLE["mark"]["bit"])) == TABLE["mark"]["steps"]
    assert text_of(top_steps()) == TABLE["top"]["steps"]


def test_ip_masq() -> None:
    case = TABLE["ipmasq"]
    assert text_of(ip_masq(case["address"], chain_name("cbr0", "c1"), comment_of("cbr0", "c1"))) == case["steps"]


@pytest.mark.parametrize("case", TABLE["flannel"], ids=lambda c: f"{c['what']}-{c['cluster']}")
def test_flannel(case: dict[str, Any]) -> None:
    if case["what"] == "forward":
        assert text_of(forward_steps(case["cluster"])) == case["steps"]
    else:
        steps = flannel_masq(case["cluster"], case["pod"], case.get("random_fully", True))
        assert text_of(steps) == case["steps"]
        assert sum(s.action == "-A" for s in steps) == 7


# ------------------------------------------------------------------------------------------------------- the journal
def test_fifteen_ports_a_rule() -> None:
    steps = dnat_steps("n", "c", "10.0.0.2/24", [PortMapping(8000 + n, 80) for n in range(31)])
    ports = [s.args[s.args.index("--destination-ports") + 1] for s in steps if s.chain == DNAT_CHAIN]
    assert [len(p.split(",")) for p in ports] == [15, 15, 1]


def test_run_repeats_nothing_and_forgives_what_is_gone() -> None:
    a, b, head = append("nat", "C", "-j", "A"), append("nat", "C", "-j", "B"), insert("nat", "C", "-j", "H")
    gone = RuleStep("nat", "-D", "C", ("-j", "A"))
    state = run([new_chain("nat", "C"), a, a, b, head, head, new_chain("nat", "C"), gone, gone])
    assert [s.args[-1] for s in state["nat"]["C"]] == ["H", "B"]
    assert run([a, RuleStep("nat", "-F", "C")]) == {"nat": {"C": []}}
    assert run([a, RuleStep("nat", "-X", "C"), RuleStep("nat", "-X", "C")]) == {"nat": {}}
    assert run([a], family=6) == {} and restore_text([]) == ""


def test_replay_keeps_order_origin_and_what_others_wrote() -> None:
    ruleset = Ruleset(4)
    ruleset.append("nat", "POSTROUTING", "-s 10.9.0.0/16 -j ACCEPT", origin="by hand")
    steps = [*flannel_masq("10.244.0.0/16", "10.244.1.0/24"), *forward_steps("10.244.0.0/16"), *mark_steps(), *top_steps()]
    steps += dnat_steps("cbr0", "c1", "10.244.1.2/24", [PortMapping(8080, 80)], origin="Pod shop/web-0")
    replay(ruleset, steps)
    got = [(str(r), r.origin) for r in ruleset.rules("nat", "POSTROUTING")]
    assert [o for _, o in got] == ["", "by hand", "DaemonSet kube-flannel/kube-flannel-ds"]
    assert "CNI-HOSTPORT-MASQ" in got[0][0] and "FLANNEL-POSTRTG" in got[2][0]
    chain = chain_name("cbr0", "c1", "DN-")
    assert {r.origin for r in ruleset.rules("nat", chain)} == {"Pod shop/web-0"} and len(ruleset.rules("nat", chain)) == 3
    saved = ruleset.save()
    # as the real tool printed it for the real plugin
    assert f"-A {chain} -s 10.244.1.0/24 -p tcp -m tcp --dport 8080 -j CNI-HOSTPORT-SETMARK" in saved
    assert (
        f'-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"cbr0\\" id: \\"c1\\"" -m multiport --dports 8080 -j {chain}'
        in saved
    )
    assert "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment" in saved


def test_replaying_into_the_other_family_changes_nothing() -> None:
    ruleset = Ruleset(6)
    replay(ruleset, forward_steps("10.244.0.0/16"))
    assert not ruleset.tables
