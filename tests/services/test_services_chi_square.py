"""Which endpoint a connection meets: the kernel's choices and the lab's own draws against the probabilities that `outcomes` tells.

Pearson's chi-square; the limit is the value that chance alone passes once in a million (FALSE_ALARM), whatever the number of endpoints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import exp, factorial

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import pod, service
from tests.cluster.kernel_twin import describe, run
from tests.kernel_lab.real import why_not

FALSE_ALARM = 1e-6
#: connections of each question to the kernel, and to the lab
KERNEL, LAB = 1500, 240
MODES = ("iptables", "nftables")
#: (source, Service, port, protocol): with an odd number of endpoints the degrees of freedom are even, and the tail is a finite sum
QUESTIONS = [("default/client", f"s{n}", port, protocol) for n in (3, 5) for port, protocol in ((80, "TCP"), (9, "UDP"))]


def tail(statistic: float, freedom: int) -> float:
    """How often chance alone gives so much or more, for an even number of degrees of freedom."""
    assert freedom % 2 == 0
    return exp(-statistic / 2) * sum((statistic / 2) ** k / factorial(k) for k in range(freedom // 2))


def chi_square(seen: Mapping[str, int], shares: Mapping[str, Fraction]) -> float:
    assert set(seen) <= set(shares), f"nobody spoke of {set(seen) - set(shares)}"
    total = sum(seen.values())
    return float(sum((seen.get(who, 0) - total * p) ** 2 / (total * p) for who, p in shares.items()))


def cluster(mode: str) -> kn.Cluster:
    docs = [pod("default/client", "worker-1", {"app": "client"})]
    docs += [pod(f"default/e{n}-{i}", f"worker-{1 + i % 2}", {"app": f"s{n}"}, (("http", 8080, "TCP"), ("echo", 9000, "UDP")))
             for n in (3, 5) for i in range(n)]  # fmt: skip
    ports = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "echo", "port": 9, "targetPort": 9000, "protocol": "UDP"})
    docs += [service(f"s{n}", {"app": f"s{n}"}, *ports) for n in (3, 5)]
    return kn.load(docs, nodes=2, proxy=mode, dns="none")


def shares_of(c: kn.Cluster, src: str, name: str, port: int, protocol: str) -> dict[str, Fraction]:
    return {o.answered_by or "": o.probability for o in c.outcomes(src, f"svc:default/{name}", port, protocol)}


def test_the_limit_is_where_the_tables_have_it() -> None:
    """Upper 5 % points of the chi-square distribution: 5.991 (2 degrees of freedom), 9.488 (4)."""
    assert round(tail(5.991, 2), 4) == round(tail(9.488, 4), 4) == 0.05
    assert tail(27.64, 2) < FALSE_ALARM < tail(27.62, 2)


@pytest.mark.kernel
@pytest.mark.parametrize("mode", MODES)
def test_the_kernel_chooses_as_the_outcomes_say(mode: str, cases: Callable[[int], int], require_that: Callable[..., None]) -> None:
    missing = why_not()
    require_that(not missing, missing, "netns")
    c = cluster(mode)
    ip = {s.name: s.spec.cluster_ip for s in c.objects("svc")}  # type: ignore[attr-defined]
    times = cases(KERNEL)
    asked = [(f"pod:{src}", protocol, ip[name], port, times) for src, name, port, protocol in QUESTIONS]
    found = run(describe(c.network(), []) | {"often": asked})["often"]
    for question, answers in zip(QUESTIONS, found, strict=True):
        seen = Counter(who for verdict, who, _ in answers if verdict == "delivered")
        shares = shares_of(c, *question)
        assert seen.total() == times
        freedom = len(shares) - 1
        assert tail(chi_square(seen, shares), freedom) > FALSE_ALARM, f"{question}: {dict(seen)}"
        # what rules that forget the earlier ones would give: 1/n of what is left, the rest to the last
        n, names = len(shares), sorted(shares)
        wrong = {who: Fraction(1, n) * Fraction(n - 1, n) ** i for i, who in enumerate(names[:-1])}
        wrong[names[-1]] = 1 - sum(wrong.values())
        assert tail(chi_square(seen, wrong), freedom) < FALSE_ALARM, "the test is too weak to tell"
    print(f"{mode}: {len(asked)} Services of 3 and 5 endpoints, {times} connections each")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("question", QUESTIONS[::3], ids=lambda q: f"{q[1]} {q[3]}")
def test_the_lab_draws_as_its_outcomes_say(mode: str, question: tuple[str, str, int, str]) -> None:
    c = cluster(mode)
    src, name, port, protocol = question
    shares = shares_of(c, *question)
    assert sorted(shares.values()) == [Fraction(1, len(shares))] * len(shares)
    seen = Counter(c.connect(src, f"svc:default/{name}", port, protocol).answered_by or "" for _ in range(LAB))
    assert tail(chi_square(seen, shares), len(shares) - 1) > FALSE_ALARM, dict(seen)
