"""Random clusters with random Services of every type against this machine's kernel: verdict, error, set of endpoints, source seen.

Real connections through real namespaces: pods, nodes and machines outside ask ClusterIPs, node ports on each node, balancers' and
external addresses, localhost and unused ports, over vxlan, host-gw and a routed network. Where the two differ, the kernel is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.kernel_lab.real import why_not
from tests.services.service_twins import compared, draw, expected

pytestmark = pytest.mark.kernel

MODES = ("iptables", "nftables")


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


@pytest.mark.parametrize("mode", MODES)
def test_random_services_and_their_twins(mode: str, cases: Callable[[int], int], seed: int) -> None:
    differ: list[str] = []
    drawn: Counter[str] = Counter()
    share = cases(4)
    with ThreadPoolExecutor(4) as pool:  # the twins are processes of their own, which wait most of the time
        for first in range(0, share, 100):
            drawn_cases = [draw(seed * 10_000 + i, mode) for i in range(first, min(first + 100, share))]
            lab = [expected(case) for case in drawn_cases]
            for i, (case, found) in enumerate(zip(drawn_cases, pool.map(compared, drawn_cases, lab), strict=True), first):
                head = f"case {i}: {case.cluster.pod_network} {case.cluster.proxy}"
                differ += [f"{head}\n  {text}" for text in found]
                drawn += case.drawn
    print(dict(drawn))
    assert not differ, "\n".join(differ)
    assert drawn["delivered"] and drawn["error"] and drawn["timeout"]
