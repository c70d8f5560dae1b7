"""Faults planted in the model must show: those in what kube-proxy writes against the naive reading of the Services, those in what a
packet meets against real namespaces. (The kernel would be given the faulty rules, too: it cannot tell that they are wrong.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.kernel_lab.real import why_not
from tests.services.service_draw import Case, draw
from tests.services.service_faults import WALKING, WRITING, Fault
from tests.services.service_twins import Expected, compared, expected, in_lab
from tests.services.test_services_naive import differences

#: draws that are looked through
SEARCHED = 100
#: the draw that showed it when this was written: it is looked at first
FIRST = {
    "terminating endpoints never serve": 14,
    "terminating endpoints serve beside ready ones": 5,
    "readiness does not matter": 2,
    "hints are ignored": 23,
    "externalTrafficPolicy is ignored": 4,
    "source ranges are ignored": 14,
    "policy Local holds for the cluster's own pods, too": 12,
    "a pod that meets itself keeps its address": 3,
    "masqueradeAll and clusterCIDR mask nobody": 11,
    "without an endpoint there is silence": 1,
    "ipMode Proxy is as good as VIP": 93,
}
#: of every fault and mode the twins are asked about one cluster
WALKS = [(f, mode) for f in WALKING for mode in f.modes]


def in_order(fault: Fault) -> list[int]:
    """The draws that are looked through, in order."""
    first = FIRST.get(fault.belief, 0)
    return sorted(range(SEARCHED), key=lambda n: n != first)


def _id(value: object) -> str:
    return value.belief if isinstance(value, Fault) else str(value)


@pytest.mark.parametrize("fault", WRITING, ids=_id)
def test_a_planted_fault_in_the_writing_shows(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    for mode in fault.modes:
        with monkeypatch.context() as m:
            fault.plant(m)
            found = next((n for n in in_order(fault) if differences(draw(n, mode, flows=16), Counter())), None)
        assert found is not None, f"nobody noticed in {mode} mode"
        assert not differences(draw(found, mode, flows=16), Counter()), "without the fault all is well"


@dataclass
class Told:
    """A cluster of the seeded share whose answers the fault changes, and what the kernel says."""

    case: Case
    right: Expected
    faulty: Expected
    kernel: list[str]  # how it differs from the model without the fault
    caught: list[str]  # how it differs from the model with it


def telling(fault: Fault, mode: str) -> tuple[Case, Expected, Expected] | None:
    for number in in_order(fault):
        case = draw(number, mode)
        right = expected(case)
        with pytest.MonkeyPatch.context() as m:
            fault.plant(m)
            fresh = draw(number, mode)  # its programs are compiled with the fault
            for src, *_ in case.flows:
                if src.startswith("external:"):
                    fresh.cluster.network().external(src.removeprefix("external:"))
            ways = [in_lab(fresh.cluster, f)[0] for f in fresh.flows]
        changed = [i for i, w in enumerate(ways) if w != right.ways[i]]
        if changed:
            case.flows = [case.flows[i] for i in changed]
            times = [right.times[i] for i in changed]
            right = Expected([right.ways[i] for i in changed], times, right.spec, right.where)
            return case, right, Expected([ways[i] for i in changed], times, right.spec, right.where)
    return None


@pytest.fixture(scope="module")
def told(require_that: Callable[..., None]) -> dict[tuple[str, str], Told]:
    missing = why_not()
    require_that(not missing, missing, "netns")
    found = {(f.belief, mode): case for f, mode in WALKS if (case := telling(f, mode))}

    def ask(asked: tuple[Case, Expected, Expected]) -> Told:
        case, right, faulty = asked
        return Told(case, right, faulty, compared(case, right), compared(case, faulty))

    with ThreadPoolExecutor(6) as pool:
        return dict(zip(found, pool.map(ask, found.values()), strict=True))


@pytest.mark.kernel
@pytest.mark.parametrize(("fault", "mode"), WALKS, ids=_id)
def test_a_planted_fault_in_the_walk_is_caught(fault: Fault, mode: str, told: dict[tuple[str, str], Told]) -> None:
    found = told[fault.belief, mode]
    assert not found.kernel, "without the fault all is well"
    assert found.caught, f"nobody noticed: {fault.belief}"
