"""Random sequences of commands, in a real namespace and in the lab: every output, error and status the same, and the same state at the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.real, pytest.mark.kernel]

DEVICES = ("d0", "d1", "br0", "vx0", "lo", "nope")
ENDINGS = ["ip -br link", "ip -br addr", "ip route", "ip -6 route", "ip route show table 100", "ip rule", "bridge -d link"]
UNORDERED = ["ip neigh show dev d0", "bridge fdb show dev vx0", "ip -4 route show table all"]


def address(r: random.Random) -> str:
    return f"10.0.{r.randrange(2)}.{r.randrange(1, 6)}"


def net(r: random.Random) -> str:
    return r.choice(("10.1.0.0/16", "10.1.1.0/24", "10.0.0.0/24", "10.0.1.0/24", "default", "10.1.1.7", "10.0.0.0/8", "10.1.0.1/16"))


def six(r: random.Random) -> str:
    return r.choice(("fd00::1", "fd00::2", "fd00:1::1", "fd00:1::9"))


def mac(r: random.Random) -> str:
    return f"02:aa:00:00:00:{r.randrange(4):02x}"


def dev(r: random.Random) -> str:
    return r.choices(DEVICES, (8, 6, 4, 4, 1, 1))[0]


def command(r: random.Random) -> str:
    d = dev(r)
    via = f"via {address(r)}"
    choices: list[Callable[[], str]] = [
        lambda: f"ip addr {r.choice(('add', 'del', 'add'))} {address(r)}/{r.choice((24, 24, 16, 32))}{r.choice(('', ' brd +'))} dev {d if d != 'lo' else 'd1'}",
        lambda: f"ip addr {r.choice(('add', 'del', 'add'))} {six(r)}/{r.choice((64, 64, 128))} dev {d if d != 'lo' else 'd0'}",
        lambda: f"ip addr flush dev {d}",
        lambda: f"ip link set {d} {r.choice(('up', 'down', 'up', 'mtu 1400', 'mtu 9', 'nomaster', 'arp off', 'arp on'))}",
        lambda: f"ip link set {d} master {r.choice(('br0', 'br0', 'nope'))}",
        lambda: f"ip route {r.choice(('add', 'add', 'replace', 'append', 'change'))} {net(r)} {r.choice((via, f'dev {d}', f'{via} dev {d}', f'{via} dev {d} onlink'))}"
        + r.choice(("", "", " metric 5", " table 100", " proto static", f" src {address(r)}")),
        lambda: f"ip route add {r.choice(('blackhole', 'unreachable', 'prohibit', 'throw'))} {net(r)}{r.choice(('', ' metric 7'))}",
        lambda: f"ip route del {net(r)}{r.choice(('', f' dev {d}', f' {via}', ' metric 5', ' table 100'))}",
        lambda: f"ip -6 route {r.choice(('add', 'replace', 'del'))} {r.choice(('fd02::/64', 'default', 'fd00::/64'))} {r.choice(('dev d0', 'dev br0', f'via {six(r)}'))}",
        lambda: f"ip route get {r.choice((address(r), '10.1.1.7', '10.1.0.9', '8.8.8.8'))}{r.choice(('', '', f' from {address(r)}'))}",
        lambda: f"ip rule {r.choice(('add', 'add', 'del'))} {r.choice((f'from {address(r)}', 'fwmark 4', f'iif {d}'))} {r.choice(('table 100', 'pref 50 table 100', 'prohibit'))}",
        lambda: f"ip neigh {r.choice(('replace', 'del', 'change'))} {address(r)}{r.choice((f' lladdr {mac(r)}', f' lladdr {mac(r)} nud permanent'))} dev {r.choice(('d0', 'd0', 'br0', 'nope'))}",
        lambda: f"bridge fdb {r.choice(('add', 'append', 'replace', 'del'))} {r.choice((mac(r), mac(r), '00:00:00:00:00:00'))} dev vx0{r.choice((f' dst 1.1.1.{r.randrange(3)}', f' dst 1.1.1.{r.randrange(3)}', ''))}",
        lambda: f"bridge fdb {r.choice(('add', 'replace', 'del'))} {mac(r)} dev {r.choice(('d0', 'd1'))} master{r.choice(('', ' static'))}",
        lambda: f"bridge link set dev {d} {r.choice(('hairpin on', 'isolated on', 'learning off', 'flood off', 'hairpin off'))}",
    ]  # fmt: skip
    return r.choice(choices)()


@pytest.mark.slow
def test_random_sequences(make_pair: Callable[[], Any], cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    wrong = []
    for case in range(cases(40)):
        r = random.Random(f"{seed}/{case}")
        pair = make_pair()
        pair.carrier = False
        try:
            pair.do("ip link add d0 address 02:00:00:00:00:d0 type veth peer name d1 address 02:00:00:00:00:d1", "ip link add br0 address 02:00:00:00:00:b0 type bridge",
                    "ip link add vx0 address 02:00:00:00:00:f0 type vxlan id 7 local 10.0.0.1 dstport 8472 nolearning", "ip link set d0 up", "ip link set d1 up",
                    "ip link add p0 address 02:00:00:00:00:a0 type veth peer name p1 address 02:00:00:00:00:a1", "ip link set p0 master br0",
                    "ip link set p0 up", "ip link set p1 up", "ip link set br0 up", "ip link set vx0 up", "ip addr add 10.0.0.1/24 dev d0")  # fmt: skip
            for _ in range(25):
                line = command(r)
                out = pair.same(line, usage=True)
                seen[" ".join(line.split()[:3]) if line.split()[1] != "-6" else "ip -6"] += 1
                seen["left out" if "not modelled" in out else "refused" if out.startswith(("RTNETLINK", "Error", "Cannot")) else "taken"] += 1
            for line in ENDINGS:
                pair.same(line)
            for line in UNORDERED:
                pair.same(line, ordered=False)
        except AssertionError as e:
            wrong.append(f"case {seed}/{case}: {e}")
            if len(wrong) > 4:
                break
        finally:
            pair.close()
    print(dict(seen))
    assert not wrong, "\n\n".join(wrong)
    assert seen["taken"] and seen["refused"]
