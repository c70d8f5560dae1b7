"""The lessons of the random clusters, one by one: what the model says, and what the kernel says."""

from __future__ import annotations

import time

import pytest

from kubenet_lab.kernel.state import State
from tests.kernel_lab import compare, doors, model, modes, shape
from tests.kernel_lab.found import FOUND, Found
from tests.kernel_lab.real import Real


def given(answer: dict[str, object], found: Found) -> dict[str, object]:
    return {k: answer[k] for k in found.answer}


@pytest.mark.parametrize("found", FOUND, ids=lambda f: f.what)
def test_the_model_knows(found: Found) -> None:
    answer, _ = model.ask(doors.network(found.spec), State(), found.probe)
    assert given(answer, found) == found.answer


@pytest.mark.kernel
def test_so_it_is(real: Real) -> None:
    """The same answers from the real kernel, all of them at once."""
    wrong = []
    for start in range(0, len(FOUND), compare.BATCH):
        batch = FOUND[start : start + compare.BATCH]
        for i, found in enumerate(batch):
            real.ask("build", id=f"found{i}", spec=modes.real_spec(found.spec))
            real.ask("run", id=f"found{i}", lines=shape.fault_lines(found.spec))
        time.sleep(compare.SETTLE)
        answers = real.ask("probe", probes=[{**found.probe, "case": f"found{i}"} for i, found in enumerate(batch)])
        wrong += [f"{f.what}: {given(a, f)}, not {f.answer}" for f, a in zip(batch, answers, strict=True) if given(a, f) != f.answer]
        for i in range(len(batch)):
            real.ask("drop", id=f"found{i}")
    assert not wrong, "\n".join(wrong)
