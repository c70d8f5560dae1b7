"""Calico, case by case: the walk over a pool's blocks, IPAM, the nat table, what is no pool."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenet_lab.cni import Calico, CniError
from kubenet_lab.cni.calico import Ipam, IpPool
from kubenet_lab.cni.calico.blocks import walk
from kubenet_lab.cni.calico.felix import ipset_text, nat_steps, rule_hashes
from kubenet_lab.cni.calico.go_random import GoRandom, fnv1
from kubenet_lab.cni.rules import restore_text
from kubenet_lab.errors import KubenetError
from kubenet_lab.kernel.address import prefix

TABLE = yaml.safe_load((Path(__file__).parent / "calico.yaml").read_text())


@pytest.mark.parametrize("case", TABLE["first_blocks"], ids=lambda c: c["host"])
def test_a_host_begins_at_the_block_that_it_has_in_a_real_cluster(case: dict[str, Any]) -> None:
    assert next(walk(IpPool(case["pool"]), case["host"])) == case["want"]


@pytest.mark.parametrize("host", TABLE["draws"]["hosts"])
def test_draws_are_those_of_go(host: str) -> None:
    drawn = [GoRandom(fnv1(host)).below(1 << bits) for bits in TABLE["draws"]["bits"]]
    assert drawn == TABLE["draws"]["hosts"][host]


def test_the_generator_itself() -> None:
    random = GoRandom(1)
    assert [random.uint64() for _ in range(3)] == [5577006791947779410, 8674665223082153551, 15352856648520921629]
    assert GoRandom(0).uint64() == GoRandom(89482311).uint64() == GoRandom((1 << 31) - 1).uint64(), "a seed that gives nothing is replaced"


@pytest.mark.parametrize("case", TABLE["walks"], ids=lambda c: f"{c['pool']}-{c['block_size']}")
def test_a_walk_meets_every_block_once(case: dict[str, Any]) -> None:
    pool = IpPool(case["pool"], block_size=case["block_size"])
    found = list(walk(pool, "testHost"))
    assert len(found) == len(set(found)) == case["want"]
    assert all(prefix(pool.cidr).covers(prefix(b)) and prefix(b).length == case["block_size"] for b in found)
    numbers = [prefix(b).network for b in found]
    lowest = numbers.index(min(numbers))
    assert numbers[lowest:] + numbers[:lowest] == sorted(numbers), "in order, round and round"


def test_a_walk_over_a_pool_of_astronomical_size_is_lazy() -> None:
    first = list(itertools.islice(walk(IpPool("fd00::/48"), "worker-1"), 3))
    assert len(first) == 3 and prefix(first[1]).network - prefix(first[0]).network == 64


@pytest.mark.parametrize("case", TABLE["rule_hashes"], ids=lambda c: c["chain"])
def test_felix_knows_its_rules_by_these_hashes(case: dict[str, Any]) -> None:
    assert rule_hashes(case["chain"], case["rules"]) == case["want"]


def test_the_nat_table_is_that_of_a_real_node() -> None:
    text = restore_text(nat_steps([IpPool("10.244.0.0/16")], 4))
    ours = [line.replace("-I ", "-A ") for line in text.splitlines() if line.startswith(("-A", "-I"))]
    bare = [sorted(re.sub('"(cali:[^"]*)"', r"\1", line) for line in lines) for lines in (ours, TABLE["nat_table"].splitlines())]
    assert bare[0] == bare[1]


def test_pools_become_sets() -> None:
    pools = [IpPool("10.1.0.0/16"), IpPool("10.2.0.0/16", nat_outgoing=False), IpPool("10.3.0.0/16", disabled=True), IpPool("fd00::/64")]
    lines = ipset_text(pools, (4, 6)).splitlines()
    assert [x for x in lines if "40all" in x][1:] == [f"add cali40all-ipam-pools 10.{i}.0.0/16" for i in (1, 2, 3)]
    assert [x for x in lines if "40masq" in x] == [
        "create cali40masq-ipam-pools hash:net family inet maxelem 1048576",
        "add cali40masq-ipam-pools 10.1.0.0/16", "add cali40masq-ipam-pools 10.3.0.0/16",
    ]  # fmt: skip
    assert lines[-1] == "create cali60masq-ipam-pools hash:net family inet6 maxelem 1048576", "IPv6 only where it is asked for"
    assert not any("MASQUERADE" in str(s) for s in nat_steps(pools, 6))


# ---------------------------------------------------------------------------------------------------------------- IPAM
class World:
    def __init__(self, case: dict[str, Any]):
        self.store: dict[str, str] = {}
        self.now = 0.0
        Ipam(self.store).configure(Calico(case["pools"], **case.get("config", {})))

    @property
    def ipam(self) -> Ipam:
        return Ipam(self.store, self.now)

    def step(self, step: dict[str, Any]) -> None:
        handle = f"h{step.get('as')}"
        match next(iter(step)):
            case "give":
                ip, block = self.ipam.auto_assign(step["give"], handle, 4, {"node": step["give"]}, step.get("from", ()))
                assert ip in prefix(block) and self.ipam.held(handle) == [ip]
                if isinstance(step.get("want"), int):
                    assert prefix(ip).network - prefix(block).network == step["want"]
                elif "want" in step:
                    assert ip == step["want"]
            case "assign":
                self.ipam.assign(step["assign"], step["to"], handle)
            case "release":
                assert self.ipam.release(f"h{step['release']}")
                assert not self.ipam.held(f"h{step['release']}")
                assert self.ipam.release(f"h{step['release']}") == [], "twice is no error"
            case "fill":
                for i in range(step["times"]):
                    self.ipam.auto_assign(step["fill"], f"f{i}", 4)
            case "wait":
                self.now += step["wait"]
            case "gone":
                self.ipam.release_host(step["gone"])
            case "affine":
                states = [s for _, s in self.ipam.affinities(step["affine"])]
                assert states == ["confirmed"] * step["count"]
            case "blocks":
                assert [b.cidr for b in self.ipam.blocks()] == step["blocks"]
            case other:
                raise AssertionError(other)


def consistent(ipam: Ipam) -> None:
    """Every ordinal is free or in use, once; every attribute is used; handles and blocks agree."""
    for b in ipam.blocks():
        used = {i for i, a in enumerate(b.allocations) if a is not None}
        assert sorted([*b.unallocated, *used]) == list(range(len(b.allocations)))
        assert {a for a in b.allocations if a is not None} == set(range(len(b.attributes)))
        for ip, a in b.addresses():
            assert ip in ipam.held(a["handle_id"])


@pytest.mark.parametrize("case", TABLE["allocation"], ids=lambda c: c["name"])
def test_allocation(case: dict[str, Any]) -> None:
    world = World(case)
    for step in case["steps"]:
        if "error" in step:
            before = dict(world.store)
            with pytest.raises(CniError, match=step["error"]):
                world.step(step)
            assert world.store == before, "a refusal changes nothing"
        else:
            world.step(step)
        consistent(world.ipam)


@pytest.mark.parametrize("case", TABLE["refused_pools"], ids=lambda c: str(c["pool"]))
def test_what_is_no_pool(case: dict[str, Any]) -> None:
    with pytest.raises(KubenetError, match=case["says"]):
        IpPool.of(case["pool"])


def test_a_pending_affinity_is_finished_and_a_stale_one_forgotten() -> None:
    """libcalico-go/lib/ipam/ipam.go getBlockFromAffinity: a node that crashed between the two steps of a claim."""
    store: dict[str, str] = {}
    ipam = Ipam(store)
    ipam.configure(Calico([{"cidr": "10.0.0.0/28", "block_size": 30}]))
    ipam.set_affinity("a", "10.0.0.4/30", "pending")  # it never came to making the block
    assert ipam.auto_assign("a", "h1", 4)[0] == "10.0.0.4"
    assert ipam.affinities("a") == [("10.0.0.4/30", "confirmed")]
    ipam.set_affinity("b", "10.0.0.4/30", "pending")  # somebody else was faster
    ip, block = ipam.auto_assign("b", "h2", 4)
    assert block != "10.0.0.4/30" and ipam.affinities("b") == [(block, "confirmed")] and ip in prefix(block)
