"""Random small clusters with broken entries, over vxlan, DirectRouting, host-gw, routed and macvlan, on one wire or two with a router:
the model and the real kernel must give the same answers.

pytest -s tests/kernel_lab/test_kernel_lab_random.py --cases 500 --seed 7
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.kernel_lab import cases as drawing
from tests.kernel_lab import compare, doors, shape
from tests.kernel_lab.explained import EXPLAINED
from tests.kernel_lab.modes import MODES
from tests.kernel_lab.planted import PLANTED, Planted
from tests.kernel_lab.real import Real

#: clusters in CI
SHARE = 60


@pytest.mark.kernel
@pytest.mark.slow
def test_random_clusters_answer_alike(real: Real, cases: Callable[[int], int], seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    comparison = compare.Comparison(real)
    report = comparison.run([drawing.draw(seed, i) for i in range(cases(SHARE))])
    with capsys.disabled():
        print(f"\nseed {seed}: {report}")
    shown = [f"{d}\n{compare.show(d.case)}" if i < 3 else str(d) for i, d in enumerate(report.differences)]
    assert not report.differences, "\n\n".join(shown)
    if cases(SHARE) >= SHARE:
        assert {"delivered", "refused", "unreachable", "timeout", "too-big"} <= set(report.verdicts)
        assert len(report.features) > 25 and set(report.modes) == set(MODES), "the draw is too narrow"
        assert report.probes > 40 * report.cases


def test_explained_differences_are_few_and_complete() -> None:
    assert len(EXPLAINED) <= 10
    for e in EXPLAINED:
        assert all((e.name, e.manifest, e.model, e.real, e.source)), e


def test_a_case_is_a_value_and_the_same_again() -> None:
    for number in range(12):
        case = drawing.draw(3, number)
        assert json.loads(json.dumps(case)) == case == drawing.draw(3, number)
    assert drawing.draw(3, 0) != drawing.draw(4, 0)


def test_every_feature_can_be_drawn_and_programmed() -> None:
    """The model takes the lines of every feature: none is there for the real side only."""
    from tests.kernel_lab.faults import FEATURES

    drawn = set()
    for name in FEATURES:
        for number in range(4):
            case = drawing.draw(11, number, only=(name,))
            doors.network(case["spec"])
            drawn |= {f["name"] for f in case["spec"]["faults"]}
    assert drawn == set(FEATURES)


def test_the_lines_of_a_healthy_cluster_leave_flannels_entries() -> None:
    net = doors.network(shape.cluster(2, 1))
    n0 = net.namespaces["n0"]
    assert [str(e) for e in n0.fdb if e.dst] == ["1a:58:c0:a8:32:0c dev flannel.1 dst 192.168.50.12 self permanent"]
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in {str(r) for r in n0.routes}


# --------------------------------------------------------------------------------------------------- planted faults
def telling(planted: Planted) -> drawing.Case | None:
    """The first case that has the fault's features and in which the model with the fault answers otherwise than without."""
    for number in range(80):
        case = drawing.draw(100, number, only=planted.shown_by, mode=planted.mode)
        if {f["name"] for f in case["spec"]["faults"]} != set(planted.shown_by):
            continue
        truth = compare.answers(case, doors.network(case["spec"]))
        with planted.planted() as program:
            if compare.answers(case, program(case["spec"])) != truth:
                return case
    return None


@pytest.fixture(scope="module")
def recorded(real: Real) -> dict[str, list[compare.Agreed]]:
    return compare.recorded(real, {p.belief: case for p in PLANTED if (case := telling(p))}, "planted")


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED, ids=lambda p: p.belief)
def test_a_planted_fault_is_caught(planted: Planted, recorded: dict[str, list[compare.Agreed]]) -> None:
    asked = recorded[planted.belief]
    spec = asked[0].case["spec"]
    assert not compare.disagree(asked, doors.network(spec)), "without the fault all is well"
    with planted.planted() as program:
        assert compare.disagree(asked, program(spec)), f"nobody noticed: {planted.belief}"
