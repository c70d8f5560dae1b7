"""What must hold for any ruleset."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iptables_mirror import tidy
from iptables_random import random_context, random_rules

from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.iptables import Program, Ruleset, evaluate, looks, run
from kubenet_lab.kernel.packet import Filler, Icmp


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@given(seed=st.integers(0, 1 << 32))
def test_what_is_saved_reads_back_as_the_same_rules(backend: str, seed: int) -> None:
    first, second = Ruleset(4, backend), Ruleset(4, backend)
    first.restore(random_rules(random.Random(seed)))
    second.restore(first.save())
    for name in first.tables:  # legacy prints the table that was made last first
        assert second.save(table=name) == first.save(table=name)
    for name, table in first.tables.items():
        for chain in table.ordered:
            assert [r.spec for r in chain.rules] == [r.spec for r in second.rules(name, chain.name)]


@pytest.mark.parametrize("part", range(4))
def test_the_index_changes_nothing(part: int, pytestconfig: pytest.Config) -> None:
    seed = pytestconfig.getoption("--seed")
    kinds: Counter[str] = Counter()
    for case in range(25):
        r = random.Random(f"{seed} {part} {case}")
        rules = Ruleset()
        rules.restore(random_rules(r, rules=r.choice([30, 120])))
        for name, hooks in (("filter", ("INPUT", "FORWARD", "OUTPUT")), ("nat", ("PREROUTING", "POSTROUTING"))):
            table = rules.tables[name]
            indexed, linear = Program(table), Program(table, indexed=False)
            for _ in range(12):
                start, hook = r.getrandbits(32), r.choice(hooks)
                a, b = random_context(random.Random(start)), random_context(random.Random(start))
                va, vb = evaluate(indexed, hook, a), evaluate(linear, hook, b)
                kinds[va.kind] += 1
                assert va == vb
                assert a.hits == b.hits or [h.uid for h in a.hits] == [h.uid for h in b.hits]
                assert (a.mark, a.connmark, a.lists, a.choices) == (b.mark, b.connmark, b.lists, b.choices)
    assert {"ACCEPT", "DROP", "REJECT"} <= set(kinds), kinds


def test_the_index_is_used_at_all() -> None:
    rules = Ruleset()
    lines = [f"-A KUBE-SERVICES -d 10.96.{i // 250}.{i % 250}/32 -p tcp -m tcp --dport 80 -j MARK --or-mark 0x1" for i in range(1000)]
    rules.restore("\n".join(["*nat", ":KUBE-SERVICES - [0:0]", *lines, "-A PREROUTING -j KUBE-SERVICES", "COMMIT", ""]))
    program = rules.program("nat")
    assert program is not None
    context = random_context(random.Random(1))
    context.packet = context.packet.but(dst="10.96.2.7")
    assert len(program.code("KUBE-SERVICES").candidates(context.packet)) == 1


def test_packets_of_one_look_get_the_same_answer(pytestconfig: pytest.Config) -> None:
    """What the walk relies on when it remembers answers: ports a packet comes from, sizes, TTLs, times play no part if `plain` says so."""
    plain = others = 0
    for case in range(60):
        r = random.Random(f"{pytestconfig.getoption('--seed')} looks {case}")
        rules = Ruleset()
        rules.restore(random_rules(r, rules=r.choice([10, 40]), chance=r.random() < 0.5))
        for name, hooks in (("filter", ("INPUT", "FORWARD", "OUTPUT")), ("nat", ("PREROUTING", "POSTROUTING"))):
            program = Program(rules.tables[name])
            for _ in range(20):
                start, hook = r.getrandbits(32), r.choice(hooks)
                a, b = random_context(random.Random(start)), random_context(random.Random(start))
                other = {"type": r.choice([8, 0, 3])} if isinstance(b.packet.l4, Icmp) else {"sport": r.randint(1, 65535)}
                b.packet = b.packet.but(l4=b.packet.l4.but(payload=Filler(r.choice([0, 3000])), **other), ttl=r.randint(1, 255))
                b.connmark, b.now, b.draws = r.choice([0, 1, 7]), r.uniform(0, 1000), lambda weights, chooser: len(weights) - 1
                if b.ct_original is not None:
                    b.ct_original = ("10.9.9.9", 1, "10.9.9.8", 2, "TCP")
                assert looks(a) == looks(b)
                va, vb = evaluate(program, hook, a), evaluate(program, hook, b)
                plain, others = plain + a.plain, others + (not a.plain)
                if a.plain:
                    assert b.plain and va == vb and a.mark == b.mark and [h.uid for h in a.hits] == [h.uid for h in b.hits]
    assert plain > 200 and others > 200, (plain, others)


@pytest.mark.real
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_random_rulesets_print_as_the_tool_prints_them(backend: str, real: Callable[[str], Any], pytestconfig: pytest.Config) -> None:
    tool = real(backend)
    cases = pytestconfig.getoption("--cases") or 12
    for case in range(cases):
        # recent lists live in the kernel of the whole machine's namespace: names are few and harmless
        text = random_rules(random.Random(f"{pytestconfig.getoption('--seed')} {backend} {case}"))
        results = tool.run([(["iptables-restore"], text), (["iptables-save"], ""), (["iptables", "-nvL"], "")])
        assert results[0].status == 0, results[0].err
        ours = Ruleset(4, backend)
        ours.restore(text)
        assert ours.save().rstrip() == tidy(results[1].out)
        assert run(ours, Ruleset(6, backend), ["iptables", "-nvL"]).rstrip() == results[2].out.rstrip()


WORDS = st.sampled_from([
    "-A", "-D", "-I", "-S", "-L", "-N", "-X", "-P", "-F", "-Z", "-C", "-R", "-E", "-t", "-s", "-d", "-p", "-i", "-o", "-j", "-g",
    "-m", "-c",
    "!", "tcp", "udp", "icmp", "nat", "filter", "FORWARD", "INPUT", "OUTPUT", "X", "ACCEPT", "DROP", "DNAT", "MARK", "LOG", "REJECT",
    "--dport", "80", "10.0.0.0/8", "1.2.3.4", "comment", "--comment", "conntrack", "--ctstate", "NEW", "set", "--match-set", "statistic",
    "--mode", "random", "--probability", "0.5", "nth", "--every", "recent", "--set", "--name", "multiport", "--to-destination",
    "1", "0x1/0x1",
    "--set-mark", "--state", "hashlimit", "limit", "--limit", "5/s", "--to", "-n", "-v", "--line-numbers", "owner", "--uid-owner", "",
])  # fmt: skip


@given(words=st.lists(WORDS | st.text(max_size=8), max_size=10), program=st.sampled_from(["iptables", "ip6tables", "iptables-save"]))
def test_any_command_line_ends_in_words(words: list[str], program: str) -> None:
    try:
        run(Ruleset(4), Ruleset(6), [program, *words])
    except KubenetError:
        pass


@given(text=st.text(max_size=60) | st.lists(WORDS, max_size=12).map(lambda w: "*filter\n" + " ".join(w) + "\nCOMMIT\n"))
def test_any_text_restores_or_complains_and_changes_nothing_then(text: str) -> None:
    rules = Ruleset()
    rules.restore("*filter\n-A INPUT -j ACCEPT\nCOMMIT\n")
    before = rules.save()
    try:
        rules.restore(text)
    except KubenetError:
        if text.count("COMMIT") <= 1:
            assert rules.save() == before
