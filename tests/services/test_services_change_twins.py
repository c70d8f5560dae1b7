"""Random changes under flows that go on, in random clusters with Services, against this machine's kernel.

TCP connections are held and UDP clients keep their ports while endpoints get unready, terminate, vanish and come back, Services appear
and go, and policies turn. The kernel's rules are loaded anew as kube-proxy does it, and its table of connections is cleaned by a naive
reading of what kube-proxy cleans. After each change who holds goes on, and somebody new asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from tests.cluster.twin_many import Answer
from tests.kernel_lab.real import why_not
from tests.services.change_kernel import run
from tests.services.change_twins import FEATURES, Changing, changing, compared, differences
from tests.services.service_faults import CHANGING, Fault

pytestmark = pytest.mark.kernel

MODES = ("iptables", "nftables")
#: clusters in CI, for each mode
SHARE = 3
#: draws in which much depends on what is cleaned; which connection meets whom is chance
TELLING = (10_016, 10_023, 10_003, 10_018, 10_054, 10_001)


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


@pytest.mark.parametrize("mode", MODES)
def test_flows_go_on_while_things_change(mode: str, cases: Callable[[int], int], seed: int) -> None:
    differ: list[str] = []
    drawn: Counter[str] = Counter()
    share = cases(SHARE)
    with ThreadPoolExecutor(6) as pool:
        for first in range(0, share, 50):
            found = [c for i in range(first, min(first + 50, share)) if (c := changing(seed * 10_000 + i, mode))]
            for case, texts in zip(found, pool.map(compared, found), strict=True):
                differ += [f"{case.head}\n  {text}" for text in texts]
                drawn += case.drawn
                drawn["clusters"] += 1
    print(f"{mode}, seed {seed}: {drawn.pop('clusters')} clusters that changed, {len(differ)} differences")
    print(f"{mode} drew: {', '.join(f'{name} {count}' for name, count in sorted(drawn.items()))}")
    assert not differ, "\n".join(differ)
    assert drawn["TCP goes on"] and drawn["UDP goes on"]
    if share >= 100:
        assert not [f for f in FEATURES if not drawn[f]], "never drawn"


@cache
def answered(number: int, mode: str) -> tuple[Changing, list[list[list[Answer]]]]:
    case = changing(number, mode)
    assert case is not None
    return case, run(case.spec)


@pytest.mark.parametrize("fault", CHANGING, ids=lambda f: f.belief)
def test_a_planted_fault_in_what_a_change_does_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caught is what differs with the fault in answers that agree without it."""
    for number in TELLING:
        case, answers = answered(number, "iptables")
        if differences(case, answers, Counter()):  # as in `compared`, one silence too many on a busy machine
            continue
        with monkeypatch.context() as m:
            fault.plant(m)
            if differences(case, answers, Counter()):
                return
    pytest.fail("nobody noticed")
