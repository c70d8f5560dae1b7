"""Leases as the etcd subnet manager gives them: how a network is cut, and who gets which subnet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.cni.flannel.etcd import TTL, EtcdLease, SubnetRange, acquire, living, parse_key, subnet_key
from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.address import prefix

TABLE = yaml.safe_load((Path(__file__).parent / "flannel_etcd.yaml").read_text())
RANGE = SubnetRange.of("10.3.0.0/16", 24, "10.3.1.0", "10.3.25.0")
HELD = tuple(EtcdLease((s,), "1.1.1.1", TTL) for s in TABLE["held"])


def first(n: int) -> int:
    return 0


@pytest.mark.parametrize("case", TABLE["ranges"], ids=lambda c: str(c["given"]))
def test_how_a_network_is_cut(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(KubenetError) as e:
            SubnetRange.of(*case["given"])
        assert str(e.value) == case["error"]
    else:
        found = SubnetRange.of(*case["given"])
        assert [found.length, found.first, found.last] == case["want"] and case["source"] in TABLE["sources"]


def test_a_new_daemon_gets_a_free_subnet_and_then_the_same_again() -> None:
    lease, after = acquire([RANGE], HELD, "1.2.3.4", 10.0, first)
    assert lease == EtcdLease(("10.3.3.0/24",), "1.2.3.4", 10.0 + TTL) and len(after) == 6
    again, later = acquire([RANGE], after, "1.2.3.4", 5000.0, lambda n: 7)
    assert again.subnets == lease.subnets and again.expires == 5000.0 + TTL and len(later) == 6
    # it is chosen among the first hundred that are free
    sizes: list[int] = []
    acquire([SubnetRange.of("10.3.0.0/16")], HELD, "1.2.3.4", 0.0, lambda n: sizes.append(n) or 0)  # type: ignore[func-returns-value]
    acquire([RANGE], HELD, "1.2.3.4", 0.0, lambda n: sizes.append(n) or 0)  # type: ignore[func-returns-value]
    assert sizes == [100, 21]


def test_the_subnet_of_the_last_run_is_taken_if_it_fits_and_is_free() -> None:
    assert acquire([RANGE], HELD, "1.2.3.4", 0.0, first, ["10.3.6.0/24"])[0].subnets == ("10.3.6.0/24",)
    assert acquire([RANGE], HELD, "1.2.3.4", 0.0, first, ["10.4.1.0/24"])[0].subnets == ("10.3.3.0/24",), "not of this network"
    assert acquire([RANGE], HELD, "1.2.3.4", 0.0, first, ["10.3.4.0/24"])[0].subnets == ("10.3.3.0/24",), "somebody has it"
    assert acquire([RANGE], HELD, "1.2.3.4", 0.0, first, ["10.3.6.0/25"])[0].subnets == ("10.3.3.0/24",), "another length"


def test_a_lease_that_does_not_fit_the_configuration_any_more_is_given_up() -> None:
    lease, after = acquire([RANGE], HELD, "1.2.3.4", 0.0, first)
    changed, later = acquire([SubnetRange.of("10.4.0.0/16")], after, "1.2.3.4", 1.0, first)
    assert changed.subnets == ("10.4.1.0/24",) and lease not in later and len(later) == 6
    # one of another family's making too
    both = [RANGE, SubnetRange.of("fc00::/48")]
    dual, _ = acquire(both, after, "1.2.3.4", 1.0, first)
    assert dual.subnets == ("10.3.3.0/24", "fc00:0:0:1::/64")


def test_leases_end_unless_they_are_renewed_and_reservations_do_not() -> None:
    reserved = EtcdLease(("10.3.9.0/24",), "9.9.9.9")
    leases = (*HELD, reserved)
    assert living(leases, TTL - 1) == leases and living(leases, TTL) == (reserved,)
    kept, _ = acquire([RANGE], leases, "9.9.9.9", 5.0, first)
    assert kept == reserved, "renewing does not put an end to it"
    assert acquire([RANGE], leases, "1.2.3.4", TTL + 1, first)[0].subnets == ("10.3.1.0/24",)


def test_out_of_subnets() -> None:
    small = SubnetRange.of("10.3.0.0/28")
    leases: tuple[EtcdLease, ...] = ()
    for i in range(3):
        _, leases = acquire([small], leases, f"1.1.1.{i}", 0.0, first)
    with pytest.raises(KubenetError, match="out of subnets"):
        acquire([small], leases, "1.1.1.9", 0.0, first)


@pytest.mark.parametrize("case", TABLE["keys"], ids=lambda c: c["key"])
def test_keys(case: dict[str, Any]) -> None:
    assert subnet_key(case["subnets"]) == case["key"] and list(parse_key(f"/coreos.com/network/subnets/{case['key']}")) == case["subnets"]


@pytest.mark.parametrize("text", TABLE["no_keys"])
def test_what_is_no_key(text: str) -> None:
    assert parse_key(text) == ()


@given(st.integers(8, 26), st.integers(1, 12), st.randoms(use_true_random=False))
def test_no_two_daemons_share_an_address(length: int, daemons: int, rng: Any) -> None:
    cut = SubnetRange.of(f"10.0.0.0/{length}")
    leases: tuple[EtcdLease, ...] = ()
    for i in range(daemons):
        try:
            _, leases = acquire([cut], leases, f"192.0.2.{i}", 0.0, rng.randrange)
        except KubenetError as e:
            assert str(e) == "out of subnets" and len(leases) >= 3
    nets = [prefix(s) for x in leases for s in x.subnets]
    assert all(not a.covers(b) for a in nets for b in nets if a is not b)
    assert all(prefix(cut.network).covers(n) and n.network != prefix(cut.network).network for n in nets)
