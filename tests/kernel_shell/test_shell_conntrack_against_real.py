"""`conntrack` on a router with NAT, in real namespaces and in the lab: what it lists and deletes, every option, every complaint."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kubenet_lab.errors import NotModelled
from tests.kernel_shell.router_fixtures import Lab, Real, routers, tidy

pytestmark = [pytest.mark.real, pytest.mark.kernel]
__all__ = ["routers"]

RULES = [
    ("r", "iptables -t nat -A POSTROUTING -d 10.2.0.2 -p icmp -j MASQUERADE"),
    ("r", "iptables -t nat -A PREROUTING -d 10.9.9.9 -j DNAT --to-destination 10.2.0.2"),
    ("r", "iptables -t nat -A PREROUTING -d 10.9.9.8 -p tcp -j DNAT --to-destination 10.2.0.2:8080"),
    ("r", "iptables -t mangle -A PREROUTING -d 10.9.9.9 -j CONNMARK --set-mark 5"),
    ("a", "ip route add 10.9.9.8/31 via 10.1.0.1"),
]  # fmt: skip
TRAFFIC = [
    ("a", "ping -c 1 10.2.0.2"), ("a", "ping -c 1 10.9.9.9"), ("a", "nc -zv -w 1 10.2.0.2 8080"), ("a", "nc -zv -w 1 10.9.9.9 8080"), ("a", "nc -zv -w 1 10.9.9.8 80"),
    ("a", "nc -zv -w 1 10.2.0.77 54"), ("a", "nc -zvu -w 1 10.2.0.2 53"), ("a", "nc -zvu -w 1 10.9.9.9 54"), ("b", "ping -c 1 10.1.0.2"), ("r", "ping -c 1 10.1.0.2"),
]  # fmt: skip

LINES = """
-L
-L -n
-L -n -p icmp
-L -n -p tcp
-L -g
-L -g -p udp
-L -j
-L -n 10.2.0.1
-L -n10.2.0.1
-L -n foo
-L --src-nat 10.2.0.1
-L --src-nat=10.2.0.1
-L --any-nat 10.2.0.2
-L --dst-nat 10.2.0.2
-L -g 1.2.3.4
-L -n -n
-L -n -g
-L -n 10.2.0.1 -g 10.2.0.2
-L -n fd00::1
-L -g 1.1.1.1-2.2.2.2
-C -n
-F -n
-L -o extended
-L -o ext
-L -o id
-L -o extended,id
-L -o ktimestamp
-L -o foo
-L -o extended,foo
-L -o ,id
-L -o
-L -s
-L -s 10.1
-L -s foo
-L -s fd01::2
-L -s 0x0a010002
-L -s 167837698
-L -s 010.1.0.2
-L -s 10.1.0.2/32
-L -s 10.1.0.2/0
-L -s 10.1.0.2/-1
-L -s 10.1.0.2/x
-L -s 10.1.0.0/33
-L -s ::1/129
-L -s 1.1.1.1,2.2.2.2
-L -s 1.1.1.1 -f ipv6
-L -f ipv6 -s 1.1.1.1
-L -s fd00::1 -d 10.0.0.1
-L -d 10.0.0.0/8
-L -s 10.1.0.2/24 -d 10.2.0.0/16
-L -r 10.0.0.0/8
-L -r 10.2.0.2
-L --src 10.0.0.0/8 --reply-dst 10.0.0.0/8
-L --reply-src 10.2.0.2 -p udp
-L conntrack -p udp
-L con
-L exp
-L expect -p tcp
-L expect -f ipv4
-L foo
-L unconfirmed
-L dying
-D dying
-F dying
-C dying
-F expect
-C expect
-C foo
-L conntrack foo
-L foo bar
-L -p
-L -p foo
-L -p UDP
-L -p 6
-L -p +6
-L -p 06
-L -p 0
-L -p 6x
-L -p 256
-L -p 47
-L -p gre
-L -p ipv6-icmp
-L -f ipv4
-L -f ipv6
-L -f foo
-L -m 5
-L -m 0x5/0xff
-L -m 0
-L -m zz
-L -m 5/zz
-L -m 0/0
-L --mark=5
-L -u SEEN_REPLY
-L -u seen_reply
-L -u ASSURED
-L -u a
-L -u UNREPLIED
-L -u UNREPLIED,SEEN_REPLY
-L -u UNSET
-L -u UNSET,ASSURED
-L -u SRC_NAT
-L -u SEEN_REPLY,DST_NAT
-L -u CONFIRMED
-L -u ,ASSURED
-L -u ASSURED,FOO
-L -u OFFLOAD
-L -u
-L --stat ASSURED
-L --dport 80
-L --dport 53 -p udp
-L -p tcp --dport 8080
-L -p tcp --dport=8080
-L -p tcp --dport 8080,54
-L -p tcp --dport abc
-L -p tcp --dport 73616
-L -p tcp --dport
-L -p tcp --orig-port-dst 8080
-L -p tcp --reply-port-src 8080
-L -p tcp --sport 80
-L -p tcp --state SYN_SENT
-L -p tcp --state established
-L -p tcp --state
-L -p udp --state ESTABLISHED
-L -p icmp --icmp-type 8
-L -p icmp --icmp-type 0
-L -p icmp --icmp-code 0
-L -p icmp --icmp-type foo
-L -p tcp --icmp-type 8
-L -pudp --dport 5x
-L -w 5
-L -w foo
-L --zone 0
-L -z
-L -zz
-Lz
-Ln
-nL
-L -t 5
-L -e NEW
-L -b 5
-L -a 1.2.3.4
-L -p tcp --tuple-src 1.1.1.1
-L --frob
-L --sr 1.2.3.4
-L -k
-L -xk
-L -F
-L -L
-F -L
-C -F
-C -p udp
-F -p udp
-S -p tcp
-p tcp
-p udp --dport 5
-C
--count
--dump -p udp
-L --proto udp
-L --protonum=udp
-L -- -p udp
-L -p udp -- foo
-V
--version
-D -s 1.1.1.1
-D -p udp --dport 54
-D -p tcp --state SYN_SENT -o extended
-D -n -p icmp -d 10.2.0.2
-L
-D -g
-D -u UNREPLIED
-D
-F
-L
""".splitlines()


def shown(text: str) -> list[str]:
    """The lab's clients do not close, and its clock waits for nobody: the state of a TCP connection that was used, times and use counts differ."""
    text = re.sub(r"use=\d+ id=\d+", "use=N id=N", text)
    text = re.sub(r"(tcp +6|udp +17|icmp +1|icmpv6 +58) \d+ ", r"\1 0 ", text)
    text = re.sub(r"(tcp +6) 0 (TIME_WAIT|ESTABLISHED|CLOSE)", r"\1 0 USED", text)
    return sorted(tidy(text))


def prepare(routers: tuple[Real, Lab]) -> None:
    for router in routers:
        router.run("r", "iptables -t nat -F")
        router.run("r", "iptables -t mangle -F")
        router.run("a", "ip route del 10.9.9.8/31")
        for where, line in [*RULES, ("r", "conntrack -F"), *TRAFFIC]:
            router.run(where, line)


@pytest.mark.slow
def test_every_option(routers: tuple[Real, Lab]) -> None:
    prepare(routers)
    real, lab = routers
    wrong = []
    for line in (f"conntrack {k}" for k in LINES if k):
        theirs, status = real.run("r", line)
        ours, mine = lab.run("r", line)
        if (shown(ours), mine) != (shown(theirs), status):
            wrong.append(f"$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)
    for router in routers:
        router.run("r", "iptables -t nat -F")
        router.run("r", "iptables -t mangle -F")


def question(r: random.Random) -> str:
    """A random list or deletion: any options that the lab knows, in any order."""
    ip = lambda: r.choice(("10.1.0.2", "10.2.0.2", "10.9.9.9", "10.2.0.77", "10.1.0.1", "10.2.0.1", "8.8.8.8", "fd01::2"))  # noqa: E731
    cidr = lambda: r.choice(("10.1.0.0/24", "10.0.0.0/8", "10.9.9.8/31", "0.0.0.0/0", "10.2.0.77/25", "10.1.0.0/99", "fd01::/64"))  # noqa: E731
    port = lambda: str(r.choice((80, 8080, 53, 54, 81)))  # noqa: E731
    parts = [
        lambda: f"-s {r.choice((ip(), cidr()))}", lambda: f"-d {r.choice((ip(), cidr()))}", lambda: f"-r {ip()}", lambda: f"-q {ip()}",
        lambda: r.choice(("-n", "-g", "-j")), lambda: f"{r.choice(('-n', '-g', '-j', '--any-nat'))} {ip()}", lambda: f"-m {r.choice(('5', '0', '0x4/0x4', '1'))}",
        lambda: f"-u {r.choice(('ASSURED', 'SEEN_REPLY', 'UNREPLIED', 'seen_reply,assured', 'UNSET', 'FOO'))}", lambda: f"-f {r.choice(('ipv4', 'ipv6'))}",
        lambda: f"-o {r.choice(('extended', 'id', 'extended,id'))}",
        lambda: f"-p tcp {r.choice(('--dport', '--sport', '--reply-port-src', '--reply-port-dst'))} {port()}", lambda: f"-p udp --dport {port()}",
        lambda: f"-p {r.choice(('tcp', 'udp', 'icmp', 'gre'))}", lambda: "-p icmp --icmp-type 8", lambda: "-p tcp --state SYN_SENT", lambda: f"--dport {port()}",
    ]  # fmt: skip
    chosen = r.sample(parts, r.choices((0, 1, 2, 3), (1, 4, 4, 2))[0])
    words = [p() for p in chosen]
    words.insert(r.randrange(len(words) + 1) if r.random() < 0.3 else 0, r.choices(("-L", "-D", "-C"), (8, 2, 1))[0])
    return " ".join(words)


@pytest.mark.slow
def test_random_questions(routers: tuple[Real, Lab], cases: Callable[[int], int], seed: int) -> None:
    real, lab = routers
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    for case in range(cases(6)):
        r = random.Random(f"conntrack {seed}/{case}")
        prepare(routers)
        for _ in range(40):
            line = f"conntrack {question(r)}"
            theirs, status = real.run("r", line)
            ours: Any = ""
            try:
                ours, mine = lab.run("r", line)
            except NotModelled:
                seen["left out"] += 1
                continue
            if (shown(ours), mine) != (shown(theirs), status):
                wrong.append(f"{seed}/{case}$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
            found = re.search(r"(\d+) flow entries have been (\w+)", theirs)
            seen["refused" if status == 2 else f"{'some' if found and found[1] != '0' else 'none'} {found[2] if found else 'counted'}"] += 1
    print(dict(seen))
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:8])
    assert seen["some shown"] and seen["none shown"] and seen["some deleted"] and seen["refused"]
