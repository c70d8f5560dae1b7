"""macvlan devices by `ip link`, over two namespaces: the lab and real iproute2 print the same, refuse the same, and end the same.

In a command NODE and POD stand for the two namespaces: for a process id here, for the lab's name there.
"""

from __future__ import annotations

import copy
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kubenet_lab.errors import CommandError
from kubenet_lab.kernel.shell import Shell

pytestmark = [pytest.mark.real, pytest.mark.kernel]

MACS = {"d0": "02:00:00:00:00:d0", "d1": "02:00:00:00:00:d1", "m0": "02:00:00:00:0a:00", "m1": "02:00:00:00:0a:01", "m2": "02:00:00:00:0a:02"}
SHOWS = ["ip link", "ip -d link show type macvlan", "ip -d link show type veth", "ip -br link", "ip -o link", "ip addr", "ip route", "ip -j link", "ip link show type macvlan", "bridge link"]


class Place:
    """One of two namespaces, in the real world and in the lab."""

    def __init__(self, pair: Any, name: str, real: Any, pids: dict[str, str]):
        self._pair = copy.copy(pair)  # its own ends, the common history
        self._pair.real, self._pair.lab = _Real(real, pids), _Lab(pair.lab, name)

    def same(self, line: str, **options: Any) -> str:
        return str(self._pair.same(line, **options))

    def do(self, *lines: str) -> None:
        for line in lines:
            self.same(line, usage=True)


class _Real:
    def __init__(self, real: Any, pids: dict[str, str]):
        self._real, self._pids = real, pids

    def run(self, line: str, stdin: str = "") -> tuple[str, int]:
        for word, pid in self._pids.items():
            line = line.replace(word, pid)
        text, status = self._real.run(line, stdin)
        return str(text), int(status)


class _Lab:
    def __init__(self, lab: Any, name: str):
        self._lab, self._name = lab, name

    def run(self, line: str, stdin: str = "") -> tuple[str, int]:
        shell = Shell(self._lab.network, self._lab.state, self._name)
        try:
            return shell.run(line.replace("NODE", "node").replace("POD", "pod"), stdin=stdin), shell.status
        except CommandError as e:
            return f"{e}\n", shell.status


class Two:
    def __init__(self, make_pair: Callable[[], Any]):
        self.pair = make_pair()
        self.other = type(self.pair.real)()
        self.pair.lab.network.add_namespace("node", "pod")
        pids = {"NODE": str(self.pair.real.process.pid), "POD": str(self.other.process.pid)}
        self.node = Place(self.pair, "node", self.pair.real, pids)
        self.pod = Place(self.pair, "pod", self.other, pids)
        self.pod.do("ip link set lo up")
        self.node.do(
            f"ip link add d0 address {MACS['d0']} type veth peer name d1 address {MACS['d1']}", "ip link set d1 up", "ip link set d0 up",
            "ip link add br0 address 02:00:00:00:00:b0 type bridge",
        )  # fmt: skip

    def everything(self, shows: list[str] = SHOWS) -> None:
        for place in (self.node, self.pod):
            for line in shows:
                for _ in range(12):  # the kernel tells of carrier a little later
                    try:
                        place.same(line)
                        break
                    except AssertionError:
                        time.sleep(0.15)
                else:
                    place.same(line)

    def close(self) -> None:
        self.pair.close()
        self.other.close()


@pytest.fixture
def two(make_pair: Callable[[], Any]) -> Iterator[Two]:
    both = Two(make_pair)
    try:
        yield both
    finally:
        both.close()


def add(name: str, mode: str = "bridge", more: str = "") -> str:
    return f"ip link add {name} link d0 address {MACS[name]} {more}type macvlan mode {mode}"


def test_by_stages(two: Two) -> None:
    two.node.do(add("m0"), add("m1", "private"), "ip link add link d0 name m2 address 02:00:00:00:0a:02 mtu 1400 type macvlan")
    two.everything()
    two.node.do("ip link set m0 up", "ip link set m1 netns POD")
    two.everything()
    two.pod.do("ip link set m1 up", "ip addr add 10.0.0.21/24 dev m1", "ip link set m1 promisc on", "ip route add default via 10.0.0.1")
    two.node.do("ip addr add 10.0.0.1/24 dev d0", "ip addr add 10.0.0.2/32 dev m0", "ip route add 10.0.0.21 dev m0")
    two.everything()
    two.node.do("ip link set d0 mtu 1300", "ip link set m0 type macvlan mode vepa", "ip link set m2 name renamed", "ip link set d0 promisc on")
    two.everything()
    two.pod.do("ip link set m1 name eth0", "ip link set eth0 down")
    two.everything()
    two.pod.do("ip link set eth0 netns NODE")
    two.everything()
    two.node.do("ip link del d0")
    two.everything()


def test_parent_down(two: Two) -> None:
    two.node.do(add("m0"), add("m1"), "ip link set m1 netns POD name eth0", "ip link set m0 up")
    two.pod.do("ip link set eth0 up", "ip addr add 10.0.0.21/24 dev eth0")
    shows = [s for s in SHOWS if s != "ip -j link"]
    two.node.do("ip link set d1 down")
    two.everything(shows)
    two.node.do("ip link set d1 up", "ip link set d0 down")
    two.everything(shows)
    two.node.do("ip link set d0 up")
    two.everything()


def test_passthru(two: Two) -> None:
    two.node.do("ip link add m0 link d0 type macvlan mode passthru", add("m1"), "ip link set m0 netns POD")
    two.everything()
    two.pod.do("ip link set m0 up", "ip link set m0 address 02:00:00:00:0a:77")
    two.everything()
    two.node.do("ip link set d0 address 02:00:00:00:0a:78")
    two.everything()
    two.pod.do("ip link set m0 type macvlan mode passthru nopromisc", "ip link set m0 type macvlan flag bogus", "ip link set m0 type macvlan flag null")
    two.everything()
    two.pod.do("ip link set m0 address 02:00:00:00:0a:79", "ip link del m0")
    two.everything()
    two.node.do(add("m1", "passthru nopromisc"), "ip link set m1 up")
    two.everything()


REFUSED = [
    add("m0", "bogus"), "ip link add m0 link d0 type macvlan bogus", "ip link add m0 link d0 type macvlan mode", "ip link add m0 link d0 type macvlan help",
    "ip link add m0 link nope type macvlan", "ip link add m0 type macvlan", "ip link add m0 link lo type macvlan", "ip link add d0 link d0 type macvlan",
    "ip link add m0 link d0 mtu 1501 type macvlan", "ip link add m0 link d0 mtu 67 type macvlan", "ip link add m0 link d0 address 01:00:00:00:00:01 type macvlan",
    "ip link add m9 link d0 netns 0 type macvlan", "ip link set d0 type macvlan mode bridge", "ip link set m1 type macvlan mode passthru", "ip link set m1 mtu 1501",
    "ip link set m1 address 02:00:00:00:00:d0", "ip link set m1 address 02:00:00:00:0a:02", "ip link set d0 master br0", "ip link set m1 netns nope",
    "ip link set lo netns POD", "ip link set br0 netns POD", "ip link add m0 link d0 type macvlan mode passthru", "ip link set m2 netns POD",
    "ip link set m1 address 02:00:00:00:0a:03", "ip link add m0 link m1 type macvlan mode private",
]  # fmt: skip


def test_what_is_refused(two: Two) -> None:
    two.node.do(add("m1"), add("m2"), "ip link set m2 up", "ip link add link d0 name m2 netns POD address 02:00:00:00:0a:44 type macvlan mode bridge")
    two.pod.do("ip link set m2 address 02:00:00:00:0a:02", "ip link set m2 up", "ip link set m2 address 02:00:00:00:0a:55", "ip link set m2 up")
    for line in REFUSED:
        two.node.same(line, usage=True)
        two.everything(["ip -br addr", "ip -br link"] if " m0 link m1 " not in line else [])
    two.node.do("ip link del m0", "ip link set m1 up", "ip link set m1 master br0")
    two.everything()
    two.node.do("ip link add p0 type veth peer name p1", "ip link set p0 master br0", "ip link add m0 link p0 type macvlan")


def command(r: random.Random) -> tuple[str, str]:
    place = r.choice(("node", "node", "pod"))
    other = "POD" if place == "node" else "NODE"
    m = r.choice(("m0", "m1", "m2"))
    mode = r.choice(("bridge", "bridge", "private", "vepa", "passthru", "passthru nopromisc"))
    made = f"ip link add {m} link {r.choice(('d0', 'd0', 'd0', 'm0', 'd1'))} {r.choice(('', '', 'mtu 1400 ', 'mtu 1500 '))}"
    made += "" if "passthru" in mode else f"address {MACS[r.choice((m, m, 'm1', 'd0'))]} "
    choices: list[Callable[[], str]] = [
        lambda: f"{made}type macvlan mode {mode}",
        lambda: f"{made}{r.choice(('', f'netns {other} '))}type macvlan mode {mode}",
        lambda: f"ip link set {m} netns {other}",
        lambda: f"ip link set {m} {r.choice(('up', 'up', 'down', 'mtu 1300', 'mtu 1500', 'promisc on', 'promisc off'))}",
        lambda: f"ip link set {m} address {MACS[r.choice(('m0', 'm1', 'm2', 'd0'))]}",
        lambda: f"ip link set {m} type macvlan mode {r.choice(('bridge', 'private', 'vepa', 'passthru'))}",
        lambda: f"ip link set d0 {r.choice(('mtu 1400', 'mtu 1500', 'master br0', 'nomaster', 'promisc on', 'promisc off', f'address {MACS[m]}'))}",
        lambda: f"ip link del {m}",
        lambda: f"ip addr add 10.0.0.{r.randrange(1, 4)}/24 dev {m}",
    ]  # fmt: skip
    return place, r.choice(choices)()


@pytest.mark.slow
def test_random_sequences_of_macvlan_commands(make_pair: Callable[[], Any], cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    wrong = []
    for case in range(cases(12)):
        r = random.Random(f"macvlan {seed}/{case}")
        two = Two(make_pair)
        try:
            for _ in range(25):
                place, line = command(r)
                out = getattr(two, place).same(line, usage=True)
                seen["left out" if "not modelled" in out else "refused" if out.startswith(("RTNETLINK", "Error", "Cannot")) else "taken"] += 1
            two.everything()
        except AssertionError as e:
            wrong.append(f"case {seed}/{case}: {e}")
        finally:
            two.close()
    print(dict(seen))
    assert not wrong, "\n\n".join(wrong)
    assert seen["taken"] > 20 and seen["refused"] > 20
