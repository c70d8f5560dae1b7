"""What `ip_commands` prints makes the same machine again: of every namespace of a cluster, real tools print what the lab's do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import kubenet_lab as kn
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State
from tests.kernel_lab.real import Real
from tests.kernel_lab.replay import Replay
from tests.kernel_lab.state import COMMANDS, comparable, differences

pytestmark = pytest.mark.kernel

FOUR, SIX, DUAL = ("IPv4",), ("IPv6",), ("IPv4", "IPv6")
NETWORKS: dict[str, dict[str, Any]] = {
    "bridge": {"cni": "bridge", "ip_families": FOUR}, "bridge dual": {"cni": "bridge", "ip_families": DUAL},
    "vxlan dual": {"cni": kn.Flannel("vxlan"), "ip_families": DUAL}, "vxlan six": {"cni": kn.Flannel("vxlan"), "ip_families": SIX},
    "host-gw dual": {"cni": kn.Flannel("host-gw"), "ip_families": DUAL}, "calico": {"cni": "calico", "ip_families": FOUR},
    "macvlan": {"cni": "macvlan", "ip_families": FOUR}, "ptp": {"cni": "ptp", "ip_families": FOUR},
}  # fmt: skip


def _load(name: str) -> kn.Cluster:
    return kn.example("bookshop", dns="none", nodes=2, **NETWORKS[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_state(name: str, real: Real, require_tool: Callable[[str], str]) -> None:
    require_tool("bridge")
    lab = _load(name)
    with Replay(real, lab.network(), name, {}, families=(4, 6)) as replay:
        wrong, lines = [], 0
        for ns in replay.spaces:
            for command, differing in replay.differences(ns).items():
                wrong += [f"{ns.id}: {command}: {line}" for line in differing]
            lines += sum(len(comparable(c, Shell(replay.net, State(), ns.id).run(c))) for c in COMMANDS)
        assert not wrong, "\n".join(wrong)
        assert lines > 20 * len(replay.spaces), "little was compared"
    assert {ns.host for ns in replay.spaces} >= {"worker-1", "worker-2"}


def test_a_pod_prints_its_own_commands() -> None:
    said = _load("vxlan dual").pod("shop/web").ip_commands().splitlines()
    assert "# eth0 is one end of a veth pair, the other is" in said[0] and said[1].startswith("ip link set dev eth0 address ")
    assert any(line.startswith("ip route add default via 10.244.0.1 dev eth0") for line in said)
    assert any(line.startswith("ip -6 route add default via fd00:") for line in said)


FAULTS = {
    "bridge fdb": "bridge fdb del {vtep} dev flannel.1", "ip addr": "ip addr add 192.0.2.9/24 dev cni0", "ip -4 rule": "ip rule add fwmark 4 lookup 100",
    "ip -6 route show table all": "ip -6 route add blackhole fd09::/64", "ip -6 neigh": "ip neigh replace fd00::99 lladdr 02:00:00:00:00:01 dev cni0 nud permanent",
    "bridge -d link": "bridge link set dev {port} hairpin off", "ip -d link": "ip link set cni0 mtu 1400",
}  # fmt: skip


def test_a_planted_difference_is_found(real: Real) -> None:
    """Each on the lab's side only, after the real one was built."""
    lab = _load("vxlan dual")
    net = lab.network()
    node = net.namespaces["worker-1"]
    words = {"vtep": next(e.mac for e in node.fdb if e.dev == "flannel.1"), "port": next(k.name for k in node.links.values() if k.master)}
    with Replay(real, net, "planted", {}, families=(4, 6)) as replay:
        before = replay.differences(node)
        assert not before
        for command, fault in FAULTS.items():
            Shell(net, State(), node.id).run(fault.format(**words))
            after = replay.differences(node)
            assert len(after.get(command, ())) > len(before.get(command, ())), fault
            before = after


def test_what_is_left_out_is_not_what_matters() -> None:
    """The parts that are not compared are ages, numbers and figures of drivers; an address, a device or a flag is."""
    line = "2: cni0: <BROADCAST,UP> mtu 1450 qdisc noqueue state UP group default qlen 1000"
    assert not differences("ip addr", line, line.replace("2:", "7:").replace("1000", "500"))
    for old, new in (("cni0", "cni1"), ("1450", "1500"), ("UP>", "UP,PROMISC>"), ("state UP", "state DOWN")):
        assert differences("ip addr", line, line.replace(old, new))
    assert differences("bridge fdb", "02:00:00:00:00:01 dev cni0 self permanent", "") and not differences("bridge fdb", "02:00:00:00:00:01 dev v master cni0", "")
