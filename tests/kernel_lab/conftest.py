"""The real side for the tests of this folder: a driver in namespaces, or a skip that says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kernel_lab.real import Real, why_not


@pytest.fixture(scope="module")
def real(require_that: Callable[..., None]) -> Iterator[Real]:
    missing = why_not()
    require_that(not missing, missing, "netns")
    with Real() as driver:
        yield driver
