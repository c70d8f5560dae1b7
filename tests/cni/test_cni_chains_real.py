"""Chains of plugins with random options against the real programs: every answer, and all that is on the node and in the pods after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kubenet_lab.cni import Flannel, bridge, host_local, portmap, ptp, tuning
from kubenet_lab.cni.flannel import conflist, leases, subnet_env
from kubenet_lab.cni.flannel.plugin import delegate_config, read_subnet_env
from tests.cni.cni_chains import History, missing
from tests.cni.cni_draw import SYSCTLS, histories
from tests.cni.cni_lab import node

pytestmark = [pytest.mark.real, pytest.mark.kernel]


@pytest.fixture(scope="module", autouse=True)
def able(require_that: Callable[..., None]) -> None:
    why = missing()
    require_that(not why, why, "cni-plugins")


FEATURES = (
    "bridge", "ptp", "tuning", "portmap", "static", "host-local ranges", "host-local single range", "dual stack", "isGateway",
    "isDefaultGateway", "ipMasq", "hairpinMode", "promiscMode", "mtu", "wrong", "tampered", "ADD ok", "ADD error", "DEL ok", "CHECK ok",
    "CHECK error",
)  # fmt: skip


def test_random_chains(cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    n, explained = cases(14), Counter[str]()
    for history in histories(n, seed, seen):
        assert not (found := history.differences()), "\n".join(found)
        explained += history.explained
    print(f"seed {seed}, {n} cases: {dict(sorted(seen.items()))}; explained {dict(explained)}")
    if n >= 20:
        assert not [f for f in FEATURES if not seen[f]], seen


FLANNEL = delegate_config(
    {**conflist(Flannel())["plugins"][0], "name": "cbr0", "cniVersion": "0.4.0"},
    read_subnet_env(subnet_env(leases([node(1)], Flannel()), Flannel(), 1450)),
)
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
TUNING = {"type": "tuning", "mtu": 1400, "promisc": True, "sysctl": {"net.core.somaxconn": "500"}}
PTP = {"type": "ptp", "ipMasq": True, "ipam": {"type": "host-local", "subnet": "10.2.0.0/29"}}


def network(*plugins: dict[str, Any], version: str = "1.0.0") -> dict[str, Any]:
    return {"cniVersion": version, "name": "cbr0", "plugins": list(plugins)}


def everyday() -> History:
    """What every node sees: pods with host ports come and go, behind a bridge as flannel wants it and behind ptp."""
    history = History(sysctls=SYSCTLS)
    one = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
           {"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "192.0.2.7"},
           {"hostPort": 8081, "containerPort": 81, "protocol": "tcp", "hostIP": "::1"}]  # fmt: skip
    many = [{"hostPort": 8000 + n, "containerPort": n + 1, "protocol": "tcp"} for n in range(17)]
    flannel = network(FLANNEL, TUNING, PORTMAP, version="0.4.0")
    history.add(flannel, "p1", portMappings=one)
    history.add(flannel, "p2", portMappings=many)
    history.add(flannel, "p2")  # refused: eth0 is there
    history.check(flannel, "p2")
    history.delete(flannel, "p1")
    history.delete(flannel, "p1")
    ptp = network(PTP, PORTMAP)
    for pod in ("p1", "p3"):
        history.add(ptp, pod, portMappings=one)
    history.delete(ptp, "p1")
    history.add(ptp, "p1")  # not the old address: after the last one comes the next
    history.delete(flannel, "p2")
    return history


def test_everyday() -> None:
    assert not (found := everyday().differences()), "\n".join(found)


def test_exhaustion_and_a_leak() -> None:
    history = History()
    conf = network({"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local", "subnet": "10.9.0.0/30"}})
    assert history.add(conf, "p1")
    failed = history.add(conf, "p2")
    assert failed.error is not None and "no IP addresses available in range set: 10.9.0.1-10.9.0.2" in failed.error.msg
    history.delete(conf, "p2")
    history.run("ip link del eth0", "p1")  # a crash: nobody calls DEL, and the file stays
    assert not history.add(conf, "p3")
    history.delete(conf, "p3")
    history.delete(conf, "p1")
    assert history.add(conf, "p3")
    assert not (found := history.differences()), "\n".join(found)


def plant(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    match fault:
        case "hairpin is forgotten":
            before = bridge.BridgePort
            monkeypatch.setattr(bridge, "BridgePort", lambda hairpin, isolated: before(isolated=isolated))
        case "the freed address is given at once":
            monkeypatch.setattr(host_local.Store, "last_reserved", lambda self, range_id: None)
        case "ptp leaves the kernel's route":
            monkeypatch.setattr(ptp.PointToPoint, "_redirect", staticmethod(lambda pod, ifname, c: None))
        case "portmap takes 14 ports to a rule":
            monkeypatch.setattr(portmap, "PORTS_PER_RULE", 14)
        case "DEL of tuning restores nothing":
            monkeypatch.setattr(tuning.Tuning, "delete", lambda self, call: None)
        case "DEL forgets the pair":
            monkeypatch.setattr(bridge, "delete_pair", lambda call: [])
        case "the gateway mark of portmap is another bit":
            monkeypatch.setattr(portmap, "mark_steps", lambda bit, fam: portmap_mark_steps(bit + 1, fam))


portmap_mark_steps = portmap.mark_steps
FAULTS = (
    "hairpin is forgotten", "the freed address is given at once", "ptp leaves the kernel's route", "portmap takes 14 ports to a rule",
    "DEL of tuning restores nothing", "DEL forgets the pair", "the gateway mark of portmap is another bit",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fault)
    assert everyday().differences()
