"""The macvlan plugin with random options, alone and in chains, against the real program; beside it other networks on the same node."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kubenet_lab.cni import CniError, macvlan
from kubenet_lab.cni.interface import configure_interface
from kubenet_lab.kernel.stacked import add_macvlan
from tests.cni.cni_chains import History, missing
from tests.cni.cni_draw import SYSCTLS, WRONG, Wrong, draw_ipam, draw_main, histories

pytestmark = [pytest.mark.real, pytest.mark.kernel]

#: the node's NICs: one with the default route, one that is narrower and has no address
NICS = (
    "ip link add nic0 address 02:00:00:00:0a:01 type veth peer name far0 address 02:00:00:00:0b:01",
    "ip link add nic1 address 02:00:00:00:0a:02 mtu 1400 type veth peer name far1 address 02:00:00:00:0b:02",
    "ip link set nic0 up", "ip link set far0 up", "ip link set nic1 up", "ip link set far1 up",
    "ip addr add 192.0.2.9/24 dev nic0", "ip route add default via 192.0.2.1",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def able(require_that: Callable[..., None]) -> None:
    why = missing()
    require_that(not why, why, "cni-plugins")


def draw(rng: random.Random, n: int, seen: Counter[str]) -> dict[str, Any]:
    if rng.random() < 0.15:
        return draw_main(rng, n, seen)
    out: dict[str, Any] = {"type": "macvlan"}
    mode = rng.choice(["", "bridge", "bridge", "private", "vepa", "passthru"])
    seen[f"mode {mode or 'by default'}"] += 1
    out |= {"mode": mode} if mode or rng.random() < 0.3 else {}
    master = rng.choice(["nic0", "nic0", "nic1", ""])
    seen["master by the default route"] += not master
    out |= {"master": master} if master or rng.random() < 0.3 else {}
    for option, chance, values in (
        ("mtu", 0.4, [0, 1280, 1400, 1400, 1450, 1500]), ("mac", 0.25, ["02:00:00:00:02:0a", "02:00:00:00:02:0b"]),
        ("dns", 0.2, [{"nameservers": ["192.0.2.54"]}, {"search": ["lab"], "options": ["ndots:5"]}]),
        ("capabilities", 0.5, [{"mac": True}]),
    ):  # fmt: skip
        if rng.random() < chance:
            seen[option] += 1
            out[option] = rng.choice(values)
    if rng.random() < 0.15:
        seen["layer 2"] += 1
        return out
    return out | {"ipam": draw_ipam(rng, n, seen)}


TOO: list[Wrong] = [
    *WRONG,
    lambda p: p.update(mode="hub"),
    lambda p: p.update(mode=1),
    lambda p: p.update(master="nic7"),
    lambda p: p.update(master="lo"),
    lambda p: p.update(master=5),
    lambda p: p.update(mtu=-1),
    lambda p: p.update(mtu=9000),
    lambda p: p.update(mtu=67),
    lambda p: p.update(mac="not-a-mac"),
    lambda p: p.update(mac="02-00-00-00-02-0C"),
    lambda p: p.update(mac="0200.0000.020d"),
    lambda p: p.update(mac="01:00:00:00:00:01"),
    lambda p: p.update(mac="00:00:00:00:00:00"),
    lambda p: p.update(mac="02:00:00:00:0a:01"),
]


def by_hand(history: History, pod: str) -> list[tuple[str, str | None]]:
    """What a person does to a node's NICs and to a child."""
    node, child = history.network.namespaces["node"], history.network.namespaces[f"pod:{pod}"].links.get("eth0")
    out: list[tuple[str, str | None]] = [("ip link set nic0 mtu 1300", None), ("ip link set nic1 down", None)]
    out += [("ip route del default", None)] if any(r.default for r in node.routes) else []
    if child is not None and child.macvlan is not None and child.macvlan.mode != "passthru":
        out += [("ip link set eth0 type macvlan mode private", pod), ("ip link set eth0 address 02:00:00:00:03:01", pod)]
    return out


FEATURES = (
    "mode by default", "mode bridge", "mode private", "mode vepa", "mode passthru", "master by the default route", "mtu", "mac", "layer 2",
    "static", "dual stack", "tuning", "portmap", "wrong", "tampered", "ADD ok", "ADD error", "DEL ok", "CHECK ok", "CHECK error",
)  # fmt: skip


def test_random_networks(cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    n = cases(14)
    for history in histories(n, seed, seen, "macvlan", main=draw, wrong=TOO, before=NICS, lines=by_hand):
        assert not (found := history.differences()), "\n".join(found)
    print(f"seed {seed}, {n} cases: {dict(sorted(seen.items()))}")
    if n >= 20:
        assert not [f for f in FEATURES if not seen[f]], seen


def network(**options: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.7.0.0/24"}
    return {"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "macvlan", "mtu": 1400, "ipam": ipam, **options}]}


def everyday() -> History:
    """Pods come, are looked after and go; one finds no address, one no room, one another master than it was made with."""
    history = History(before=NICS, sysctls=SYSCTLS)
    lan, full = network(), network(ipam={"type": "host-local", "subnet": "10.8.0.0/30"}, master="nic1", mode="private")
    for pod in ("p1", "p2"):
        history.add(lan, pod)
        history.check(lan, pod)
    history.add(lan, "p1", args="IgnoreUnknown=1;IP=10.7.0.2")  # refused: eth0 is there
    history.add(full, "p1", "net1")
    history.add(full, "p3")  # refused: the range is used up; the device stays until DEL
    history.delete(full, "p3")
    history.add(network(mode="passthru"), "p3")  # refused: its master has children
    history.run("ip link set nic0 mtu 1300")
    history.add(lan, "p3")  # refused: wider than its master
    history.run("ip link set nic0 mtu 1500")
    history.run("ip link set eth0 type macvlan mode vepa", "p2")
    history.check(lan, "p2")  # refused: another mode
    history.run("ip route replace default dev nic1")
    history.check(lan, "p1")
    for pod in ("p1", "p2", "p2"):
        history.delete(lan, pod)
    return history


def test_everyday() -> None:
    history = everyday()
    assert not (found := history.differences()), "\n".join(found)
    refused = [n for n, ours in enumerate(history.ours) if any("code" in (a or {}) for a in ours["answers"])]
    assert refused == [4, 6, 8, 10, 13], history.ours


def plant(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    plugin = macvlan.Macvlan
    match fault:
        case "a failed ADD takes the device away again":
            whole = plugin._address

            def address(call: Any, conf: Any, pod: Any, mine: Any, ipam_type: str) -> Any:
                try:
                    return whole(call, conf, pod, mine, ipam_type)
                except CniError:
                    pod.remove_link(call.ifname)
                    raise

            monkeypatch.setattr(plugin, "_address", staticmethod(address))
        case "the mode is not passed on":
            monkeypatch.setattr(macvlan, "add_macvlan", lambda pod, name, below, mode, **o: add_macvlan(pod, name, below, "bridge", **o))
        case "the MTU is not passed on":
            monkeypatch.setattr(macvlan, "add_macvlan", lambda *a, **o: add_macvlan(*a, **{**o, "mtu": 0}))
        case "DEL forgets the device":
            monkeypatch.setattr(plugin, "delete", lambda self, call: call.host.plugin("host-local").delete(call))
        case "nobody tells the neighbours":
            monkeypatch.setattr(macvlan, "configure_interface", silent)


def silent(pod: Any, ifname: str, result: Any) -> None:
    configure_interface(pod, ifname, result)
    pod.set_sysctl(f"net.ipv4.conf.{ifname}.arp_notify", 0)


FAULTS = (
    "a failed ADD takes the device away again", "the mode is not passed on", "the MTU is not passed on", "DEL forgets the device",
    "nobody tells the neighbours",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fault)
    assert everyday().differences()
