"""Random changes under flows that go on, in random clusters with Services, against this machine's kernel.

TCP connections are held and UDP clients keep their ports while endpoints get unready, terminate, vanish and come back, Services appear
and go, and policies turn. The kernel's rules are loaded anew as kube-proxy does it, and its table of connections is cleaned by a naive
reading of what kube-proxy cleans. After each change who holds goes on, and somebody new asks. An answer that the lab cannot give is a
difference; and over the whole run what the lab foresees must come to pass as often as it says, else it allows too much.
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
from tests.services.change_twins import FEATURES, KINDS, Changing, Seen, changing, compared, differences, rebuilt
from tests.services.foreseen import Foreseen
from tests.services.service_faults import ALLOWING, CHANGING, Fault

pytestmark = pytest.mark.kernel

MODES = ("iptables", "nftables")
#: clusters in CI, for each mode
SHARE = 3
#: draws in which much depends on what is cleaned; which connection meets whom is chance
TELLING = (10_016, 10_023, 10_003, 10_018, 10_054, 10_001)
#: draws that tell most of what is allowed too much, and what they tell of
READY, STICKY, FLOWS = (32, 86, 13, 58), (79, 50, 3, 55, 21), (13, 58, 39, 4, 32, 79, 86, 55, 21)
FORESEEING = {
    "terminating endpoints serve beside ready ones": READY, "readiness does not matter": READY,
    "affinity is forgotten": STICKY, "each datagram is balanced anew": FLOWS,
}  # fmt: skip

Answers = list[list[list[Answer]]]


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


@pytest.mark.parametrize("mode", MODES)
def test_flows_go_on_while_things_change(mode: str, cases: Callable[[int], int], seed: int) -> None:
    differ: list[str] = []
    drawn: Counter[str] = Counter()
    foreseen = Foreseen(KINDS)
    share = cases(SHARE)
    with ThreadPoolExecutor(10) as pool:
        for first in range(0, share, 50):
            found = [c for i in range(first, min(first + 50, share)) if (c := changing(seed * 10_000 + i, mode))]
            for case, texts in zip(found, pool.map(compared, found), strict=True):
                differ += [f"{case.head}\n  {text}" for text in texts]
                drawn += case.seen.drawn
                foreseen.add(case.seen.foreseen.events)
                drawn["clusters"] += 1
    print(f"{mode}, seed {seed}: {drawn.pop('clusters')} clusters that changed, {len(differ)} differences")
    print(f"{mode} drew: {', '.join(f'{name} {count}' for name, count in sorted(drawn.items()))}")
    print(f"{mode} foresaw: {foreseen}")
    assert not differ, "\n".join(differ)
    assert foreseen.believable, foreseen
    assert drawn["TCP goes on"] and drawn["UDP goes on"]
    if share >= 100:
        assert not [f for f in FEATURES if not drawn[f]], "never drawn"


@cache
def answered(number: int, mode: str) -> tuple[Changing, Answers]:
    case = changing(number, mode)
    assert case is not None
    return case, run(case.spec)


@pytest.mark.parametrize("fault", CHANGING, ids=lambda f: f.belief)
def test_a_planted_fault_in_what_a_change_does_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caught is what differs with the fault in answers that agree without it."""
    for number in TELLING:
        case, answers = answered(number, "iptables")
        if differences(case, answers, Seen()):  # as in `compared`, one silence too many on a busy machine
            continue
        with monkeypatch.context() as m:
            fault.plant(m)
            if differences(case, answers, Seen()):
                return
    pytest.fail("nobody noticed")


@pytest.fixture(scope="module")
def foreseeing() -> dict[int, tuple[Changing, Answers]]:
    draws = sorted(set().union(*FORESEEING.values()))
    cases = {n: case for n in draws if (case := changing(n, "iptables", silences=0))}
    with ThreadPoolExecutor(len(cases)) as pool:  # most of the time each waits for silences
        return {n: (case, told) for (n, case), told in zip(cases.items(), pool.map(lambda c: run(c.spec), cases.values()), strict=True)}


@pytest.mark.parametrize("fault", ALLOWING, ids=lambda f: f.belief)
def test_a_planted_fault_that_allows_too_much_is_caught(
    fault: Fault, foreseeing: dict[int, tuple[Changing, Answers]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught by what is foreseen alone: the fault may give every answer that the kernel gives."""
    right, wrong = Foreseen(KINDS), Foreseen(KINDS)
    for case, answers in (foreseeing[n] for n in FORESEEING[fault.belief]):
        if differences(case, answers, seen := Seen()):  # as above
            continue
        right.add(seen.foreseen.events)
        with monkeypatch.context() as m:
            fault.plant(m)
            differences(rebuilt(case), answers, seen := Seen())
        wrong.add(seen.foreseen.events)
    assert right.believable and not wrong.believable, f"with it {wrong}; without it {right}"
