"""`conntrack` on a router with NAT, in real namespaces and in the lab: what it lists and deletes, every option, every complaint."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

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
    # nobody is there, and nothing waits for it: -C counts a deleted entry until the kernel gives up the packet that waits for a neighbour
    ("r", "ip neigh replace 10.2.0.77 lladdr 02:00:00:00:00:77 dev vb nud permanent"),
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
-L -j 10.2.0.2
-L -j 10.2.0.1
-L -j 10.2.0.2 -p tcp
-L -p tcp -j 10.2.0.2
-L -j 10.2.0.2 -s 10.1.0.2
-L -s 10.1.0.2 -j 10.2.0.2
-L -j 10.2.0.2 -d 10.9.9.9
-L -j 10.2.0.2 -m 5
-L -j 10.2.0.2 -u ASSURED
-L -j 10.2.0.2 -f ipv4
-L -j 10.2.0.2 -s 10.1.0.0/24
-L -j 10.2.0.2 -w 0
-L -j fd01::2
-L -j fd01::2 -p tcp
-L -n fd01::2
-L -p tcp --dport 8080 -p icmp
-L -p tcp --dport 8080 -p icmp --icmp-type 8
-L -p tcp --reply-port-dst 8080 -p icmp --icmp-type 8
-L -p tcp -p icmp --icmp-type 8
-L -p tcp -p icmp --icmp-type 8 --dport 80
-L -p tcp --state SYN_SENT -p udp
-L -p tcp --state SYN_SENT -p udp --dport 53
-L -p tcp -p tcp --dport 8080
-L -p tcp --dport 8080 -p tcp
-L -p tcp --dport 8080 -p gre
-L -p gre -p tcp --dport 8080
-L -p tcp --dport 8080 -p udp --dport 53
-L -p udp -p tcp --state SYN_SENT
-L -p tcp -p udp --state SYN_SENT
-L -p tcp -p udp --sta SYN_SENT
-L -p tcp -p udp --dpo 53
-L -p icmp --icmp-id 5 -p icmp --icmp-t 8
-L -p tcp --mask-port-src 5
-L -p tcp --tuple-port-src 5
-C -p tcp --dport 5
-L -p icmp -p tcp
-L -p 6 -p 17
-D -p tcp --reply-port-dst 8080 -p icmp --icmp-type 8
-L -m 5 -m 1
-L -u ASSURED -u SEEN_REPLY
-L -s 10.1.0.2 -s 10.2.0.2
-L -d 10.1.0.0/24 -d 10.2.0.2
-L -d 10.2.0.2 -d 10.2.0.0/24
-L -r 10.1.0.2 -r 10.2.0.2
-L -p tcp --dport 1 --dport 8080
-L -n 10.2.0.1 -n
-L -g 10.2.0.2 -g 10.9.9.9
-L -w 0 -w 5
-L -p gre --dport 5
-L -p gre --srckey 5
-L -p dccp --dport 5
-L -p udplite --dport 5
-L -p sctp --orig-vtag 5
-L -p sctp --dport 5
-L -p sctp --dpo 5
-L -p tcp --tuple-port-dst 1 -p udp
-L -p tcp --orig-port 5
-L -p sctp --orig-vtag 5 -p tcp
-L -p sctp -p tcp --orig-vtag 5
-L -p tcp -p sctp --state SYN_SENT
-L -p sctp -p tcp --orig-port-src 5
-L -p tcp --sport 5 -p sctp
-L -p tcp --state SYN_SENT -p icmp
-L -p icmp --icmp-type 8 -p tcp
-L -p icmp --icmp-id 8 -p tcp --dport 8080
-L -p icmp -p tcp --icmp-type 8080
-L -r 10.1.0.2 -p icmp --icmp-type 8 -p tcp
-L -r 10.1.0.2 -p tcp --dport 8080
-L -r 10.2.0.2 -p tcp --dport 8080
-L -r 10.2.0.2 -p tcp --dport 8080 -p udp
-L -p tcp --reply-port-src 53 -p udp
-L -p tcp --reply-port-src 53 -p udp --reply-port-src 53
-L -p tcp --sport 53 -p gre
-L -u ASSURED -u ASSURED
-L -u UNREPLIED -u ASSURED
-L -u ASSURED -u UNREPLIED
-L -u UNREPLIED,ASSURED
-L -u UNSET -u ASSURED
-L -u UNSET -u UNSET
-L -u UNREPLIED -u UNREPLIED
-L -u !ASSURED
-L -u !ASSURED,SEEN_REPLY
-L -u unreplied
-L -u UNREP
-L -u UNREPLIEDx
-L -u hw
-L -u off
-L -u SRC
-L -u s
-D -u UNSET -m 77
-D -u !ASSURED -m 77
-D -u UNREPLIED,SEEN_REPLY -m 77
-L -m 5 -m 0
-L -m 0/0 -m 5
-L -s 10.1.0.0/24 -s 10.2.0.2
-L -s 10.1.0.0/24 -s 10.2.0.2/32
-L -s 10.1.0.0/24 -j 10.2.0.2
-L -s 10.1.0.0/0 -j 10.2.0.2
-L -s 10.1.0.0/8 -j 10.2.0.2
-L -j 10.2.0.2 -s 10.1.0.0/8
-L -s 10.1.0.2 --mask-src 255.0.0.0
-L --mask-src 255.0.0.0
-L --mask-src 255.0.0.0 -s 10.1.0.2
-L --mask-src 255.0.0.0/8 -s 10.1.0.2
-L -s 10.9.0.0/16 --mask-src 255.255.255.0
-L -d 10.2.0.0 --mask-dst 255.255.255.0
-L -s ::1/64 -s ::2
-L -s 10.1.0.2 -s 10.1.0.0/24
-L -d 10.2.0.0/24 -d 10.9.9.9
-L -g -g 10.2.0.2
-L -g 10.2.0.2 -g
-L -n 10.1.0.2 -g 10.2.0.2
-L -j 10.2.0.2 -j 10.2.0.1
-L -j 10.2.0.2 -j
-L -j 10.2.0.2 -j -p tcp
-L -g 10.2.0.2:8080
-L -g 10.2.0.2:80
-L -n 10.2.0.1:80
-L -j 10.2.0.2:8080
-L -g :8080
-L -g 10.2.0.2:
-L -g 10.2.0.2:x
-L -g 10.2.0.2:99999
-L -g [fd01::2]:80
-L -g [fd01::2]
-L -g [
-L -g []:5
-L -w 0 -w 7
-L -w 7 -w 0
-L -w 7
-L -w 65536
-L -w 65541
-L -f ipv4x
-L -f ipv6foo
-L -f IPV4
-L -c 5
-L -o id -o extended
-L -o EXT
-L -o u
-L -z -p tcp
-L -z -n
-L -z -s 1.1.1.1
-L -p udp -s 10.1.0.2 -d 10.2.0.2 -r 10.2.0.2 -q 10.1.0.2
-L -q 10.1.0.2/24
-L -p udp --dport 53 --sport 0
-h -s 1.1.1.1
-L -p icmp -f ipv6
-L -p icmpv6
-L -p ipv6-icmp -p icmp
-L -p icmpv6 --icmpv6-type 128
-L -j fd01::2 -s fd01::2
-L -n fd01::2 -s fd01::2
-L -m 09
-L -m 5/09
-L -m -1
-L -m 4294967301
-L -p gre --orig-key-src 5
-L -p gre --mask-key-src 5
-L -p gre -p tcp --dstkey 8080
-L -p dccp --sport 5
-L -m 5 -u ASSURED
-L -m 0x4/0x4 -u ASSURED
-L -m 0x4/0x4 -u SEEN_REPLY
-L -m 0x1/0x1 -u SEEN_REPLY
-L -m 0x1/0x1 -u ASSURED
-L -m 5 -u SEEN_REPLY
-L -m 5 -u UNREPLIED
-L -m 0 -u UNREPLIED
-L -m 0 -u ASSURED
-L -m 0/2 -u SEEN_REPLY
-L -m 0/2 -u ASSURED
-L -m 2/2 -u SEEN_REPLY
-L -m 0/0 -u SEEN_REPLY
-L -u SEEN_REPLY -m 0x4/0x4
-L -m 0x4/0x4
-L -m 0x5/0x4
-L -m 0x4/0x5
-L -m 0x1/0x3
-L -m 0x5/0x7
-L -m 0x5/0xf
-L -m 0x4/0x4 -u SEEN_REPLY,ASSURED
-L -m 0x4/0x4 -p tcp
-L -m 0x4/0x4 -p tcp -s 10.1.0.2
-V
--version
-L -p udp --dport 54 -p icmp --icmp-type 8 -p tcp --state SYN_SENT
-L -p icmp --icmp-type 8 -p tcp --dport 8080
-L -p tcp --dport 8080 -p icmp --icmp-code 0
-L -p tcp --dport 2048 -p icmp --icmp-type 0
-L -p icmp --icmp-type 31 --icmp-code 144 -p tcp --dport 1 -p icmp -p tcp
-D -m 1 -u UNREPLIED
-D -m 5 -m 5 -u UNSET -p 99
-D -s 1.1.1.1
-D -m 0x4/0x4 -u SEEN_REPLY -p tcp
-D -p tcp --reply-port-dst 8080 -p icmp --icmp-type 8
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
        lambda: f"-u {r.choice(('ASSURED', 'SEEN_REPLY', 'UNREPLIED', 'seen_reply,assured', 'UNSET', '!ASSURED', 'SEEN_REPLY,!ASSURED', 'FOO'))}", lambda: f"-f {r.choice(('ipv4', 'ipv6'))}",
        lambda: f"-o {r.choice(('extended', 'id', 'extended,id'))}",
        lambda: f"-p tcp {r.choice(('--dport', '--sport', '--reply-port-src', '--reply-port-dst'))} {port()}", lambda: f"-p udp --dport {port()}",
        lambda: f"-p {r.choice(('tcp', 'udp', 'icmp', 'gre'))}", lambda: "-p icmp --icmp-type 8", lambda: f"{r.choice(('-g', '-n', '-j'))} {ip()}:{port()}", lambda: "-p tcp --state SYN_SENT", lambda: f"--dport {port()}",
    ]  # fmt: skip
    chosen = r.choices(parts, k=r.choices((0, 1, 2, 3, 4), (1, 4, 4, 2, 1))[0])  # the same option may stand twice: the tool takes the last
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
            try:
                ours, mine = lab.run("r", line)
            except NotModelled:  # not done in the real table either
                seen["left out"] += 1
                continue
            theirs, status = real.run("r", line)
            if (shown(ours), mine) != (shown(theirs), status):
                wrong.append(f"{seed}/{case}$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
            found = re.search(r"(\d+) flow entries have been (\w+)", theirs)
            seen["refused" if status == 2 else f"{'some' if found and found[1] != '0' else 'none'} {found[2] if found else 'counted'}"] += 1
    print(dict(seen))
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:8])
    assert seen["some shown"] and seen["none shown"] and seen["some deleted"] and seen["refused"]
