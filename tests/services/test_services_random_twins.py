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
from tests.services.service_draw import FEATURES, draw
from tests.services.service_twins import compared, expected

pytestmark = pytest.mark.kernel

MODES = ("iptables", "nftables")
#: clusters in CI, for each mode; 14 questions each
SHARE = 10


@pytest.fixture(scope="module", autouse=True)
def namespaces(require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")


@pytest.mark.parametrize("mode", MODES)
def test_random_services_and_their_twins(mode: str, cases: Callable[[int], int], seed: int) -> None:
    differ: list[str] = []
    drawn: Counter[str] = Counter()
    share = cases(SHARE)
    with ThreadPoolExecutor(6) as pool:  # the twins are processes of their own, which wait most of the time
        for first in range(0, share, 100):
            drawn_cases = [draw(seed * 10_000 + i, mode) for i in range(first, min(first + 100, share))]
            lab = [expected(case) for case in drawn_cases]
            for i, (case, found) in enumerate(zip(drawn_cases, pool.map(compared, drawn_cases, lab), strict=True), first):
                head = f"case {i}: {case.cluster.pod_network} {case.cluster.proxy}"
                differ += [f"{head}\n  {text}" for text in found]
                drawn += case.drawn
    asked = drawn["TCP"] + drawn["UDP"] + drawn["ICMP"]
    print(f"{mode}, seed {seed}: {share} clusters, {asked} questions of a client and an address, {len(differ)} differences")
    print(f"{mode} drew: {', '.join(f'{name} {count}' for name, count in sorted(drawn.items()))}")
    assert not differ, "\n".join(differ)
    assert drawn["delivered"] and drawn["error ECONNREFUSED"] and drawn["timeout"]
    if share >= 100:
        assert not [f for f in FEATURES if not drawn[f]], "never drawn"
