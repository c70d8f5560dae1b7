"""Rule by rule: which base chains and rules a connection's first packets meet, both ways, as the kernel itself traces them.

Random clusters with random Services, as tests/services/test_services_random_twins.py asks them; here not what came of a question, but
every rule on the way: family, table, base chain, the rules that matched in each chain and in their order, and how the chain ended.
Sources: Linux net/netfilter/nf_tables_trace.c, by netlink; iptables' rules by the nft kind of the tool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubenet_lab.kernel import hook_chains, hooks
from tests.kernel_lab.real import why_not
from tests.services.service_draw import draw
from tests.services.service_traces import Told, differences, told, twin

pytestmark = pytest.mark.kernel

MODES = ("iptables", "nftables")
#: clusters in CI, for each mode
SHARE, QUESTIONS = 16, 5


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


def differ(numbers: range, mode: str, patch: pytest.MonkeyPatch, tries: int = 3) -> tuple[list[str], list[Told]]:
    """What differs, and what the lab told of the first way of each question."""
    cases = [draw(i, mode, QUESTIONS) for i in numbers]
    lab = [told(case, patch) for case in cases]
    specs = [twin(case) for case in cases]
    with ThreadPoolExecutor(6) as pool:  # the twins are processes of their own, which wait most of the time
        some = pool.map(differences, cases, lab, specs, [tries] * len(cases))
        found = [f"case {i}: {text}" for i, texts in zip(numbers, some, strict=True) for text in texts]
    return found, [ways[0] for asked in lab for ways in asked]


@pytest.mark.parametrize("mode", MODES)
def test_the_rules_that_packets_meet(mode: str, cases: Callable[[int], int], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []
    met: Counter[str] = Counter()
    share = cases(SHARE)
    for first in range(0, share, 50):
        new, lab = differ(range(seed * 10_000 + first, seed * 10_000 + min(first + 50, share)), mode, monkeypatch)
        found += new
        for family, table, chain, went, steps in (m for way in lab for some in way.values() for m in some):
            met.update({f"{family} {table} {chain}": 1, "base chains": 1, "rules": len(steps), went: 1})
    totals = f"{met.pop('base chains')} base chains and {met.pop('rules')} rules met, {met['DROP']} ended in DROP"
    print(f"{mode}, seed {seed}: {share} clusters, {share * QUESTIONS} questions, {totals}, {len(found)} differences")
    assert not found, "\n".join(found)
    print(f"{mode} met: {', '.join(f'{name} {count}' for name, count in sorted(met.items()))}")
    own = {"iptables": ("ip nat PREROUTING", "ip nat OUTPUT", "ip nat POSTROUTING", "ip filter FORWARD", "ip filter INPUT"),
           "nftables": ("ip kube-proxy nat-prerouting", "ip kube-proxy nat-output", "ip kube-proxy nat-postrouting",
                        "ip kube-proxy filter-forward", "ip kube-proxy filter-input", "ip filter FORWARD")}[mode]  # fmt: skip
    assert all(met[name] for name in (*own, "DROP")), "never met"


def _ties_the_other_way(patch: pytest.MonkeyPatch) -> None:
    for module in (hooks, hook_chains):
        patch.setattr(module, "rank", lambda chain: (chain.base.priority, 0, -chain.uid))


def _answers_are_new(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hooks, "_CTSTATE", {k: v - {"ESTABLISHED"} | {"NEW"} if k[0] == "reply" else v for k, v in hooks._CTSTATE.items()})


@pytest.mark.parametrize(("mode", "fault"), [("nftables", _ties_the_other_way), ("iptables", _answers_are_new)])
def test_a_planted_fault_shows(mode: str, fault: Callable[[pytest.MonkeyPatch], None], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fault(patch)
        assert differ(range(seed * 10_000, seed * 10_000 + 2), mode, patch, tries=1)[0]
