"""ping, traceroute, nc, ss and conntrack: a client, a router and a server as real namespaces and in the lab; only times and drawn numbers differ."""

from __future__ import annotations

import re

import pytest

from tests.kernel_shell.router_fixtures import Lab, Real, routers, tidy

__all__ = ["routers"]
pytestmark = [pytest.mark.real, pytest.mark.kernel]

CLIENT = """
ping -c 2 -i 0.2 10.2.0.2
ping -c 1 10.1.0.2
ping -c 1 127.0.0.1
ping -c 1 -s 8 10.2.0.2
ping -c 1 -s 0 10.2.0.2
ping -q -c 1 10.2.0.2
ping -c1 -t 1 10.2.0.2
ping -c 2 -i 0.2 10.2.0.77
ping -c 2 -i 0.2 10.1.0.77
ping -c 1 10.9.0.77
ping -c 1 -W 1 -I eth0 10.2.0.2
ping -c 1 -W 1 -I 10.1.0.2 10.2.0.2
ping -c 1 -W 1 -I 9.9.9.9 10.2.0.2
ping -c 1 -I nope 10.2.0.2
ping -c 1 -M do -s 1472 10.2.0.2
ping -c 1 -M do -s 1473 10.2.0.2
ping -c 1 -M dont -s 1473 10.2.0.2
ping -c 1 -s 4000 10.2.0.2
ping -c 1 -s 65508 10.2.0.2
ping -c 1 fd02::2
ping -6 -c 1 fd02::77
ping -c 1 fd77::77
ping -c 1 -t 1 fd02::2
ping -c 1 10.66.0.2
ping -c 1 10.67.0.2
ping -c 1 10.68.0.2
ping
ping -c 0 10.2.0.2
ping -c x 10.2.0.2
ping -c 1 -M frob 10.2.0.2
traceroute -n 10.2.0.2
traceroute -n -I 10.2.0.2
traceroute -n -q 1 10.2.0.77
traceroute -n -q 1 -m 3 -w 1 10.2.0.77
traceroute -n -q 1 -f 2 10.2.0.2
traceroute -n 10.1.0.1
traceroute -n -q 2 10.1.0.1 80
traceroute -n fd02::2
traceroute -n 10.66.0.1
nc -zv 10.2.0.2 8080
nc -z 10.2.0.2 8080
nc -zv 10.2.0.2 8081
nc -z 10.2.0.2 8081
nc -zv 10.2.0.2 80-81
nc -zvn 10.2.0.2 8080
nc -zv -w 1 10.2.0.77 54
nc -zv -w 5 10.2.0.77 54
nc -zv 10.2.0.2 http-alt
nc -zv fd02::2 8082
nc -zv 10.9.0.1 80
nc -zv 10.67.0.1 80
nc -zvu 10.2.0.2 53
nc -zvu 10.2.0.2 54
nc -zu 10.2.0.2 54
nc -zvu -w 1 10.2.0.77 54
nc -zv 0.0.0.0 8081
nc -zv :: 8081
nc -zvu 0.0.0.0 54
nc -zvu :: 54
ping -c 1 0.0.0.0
ping -c 1 ::
nc -zv -p 4444 10.2.0.2 8080
nc -zv -p 4444 10.2.0.2 8080
nc -z -p 4444 10.2.0.2 8080
nc -z 10.2.0.2
nc -zv 10.2.0.2 foo
nc -zv 10.2.0.2 70000
nc -z 10.2.0.2 0
"""


@pytest.mark.slow
def test_what_a_client_sees(routers: tuple[Real, Lab]) -> None:
    real, lab = routers
    wrong = []
    for line in [k for k in CLIENT.splitlines() if k]:
        for router in (real, lab):
            router.run("a", "ip neigh flush dev eth0")
            router.run("r", "ip neigh flush dev vb")
        theirs, status = real.run("a", line)
        ours, mine = lab.run("a", line)
        if (tidy(ours), mine) != (tidy(theirs), status):
            wrong.append(f"$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


MTU = [
    ("r", "ip link set vb mtu 1400"), ("a", "ping -c 1 -M do -s 1472 10.2.0.2"), ("a", "ping -c 1 -M do -s 1472 10.2.0.2"), ("a", "ping -c 1 -M do -s 1372 10.2.0.2"),
    ("a", "ip route get 10.2.0.2"), ("a", "ip route flush cache"), ("a", "ip route get 10.2.0.2"), ("r", "ip link set vb mtu 1500"),
]  # fmt: skip
RULES = [
    ("r", "iptables -A FORWARD -d 10.2.0.2 -p icmp -j REJECT"), ("a", "ping -c 1 10.2.0.2"),
    ("r", "iptables -R FORWARD 1 -d 10.2.0.2 -p icmp -j REJECT --reject-with icmp-admin-prohibited"), ("a", "ping -c 1 10.2.0.2"), ("a", "traceroute -n -I -q 1 10.2.0.2"),
    ("r", "iptables -R FORWARD 1 -d 10.2.0.2 -p icmp -j REJECT --reject-with icmp-host-prohibited"), ("a", "ping -c 1 10.2.0.2"),
    ("r", "iptables -R FORWARD 1 -d 10.2.0.2 -p icmp -j DROP"), ("a", "ping -c 1 -W 1 10.2.0.2"), ("r", "iptables -F FORWARD"),
    ("r", "iptables -A FORWARD -p tcp --dport 8080 -j REJECT --reject-with tcp-reset"), ("a", "nc -zv 10.2.0.2 8080"), ("r", "iptables -F FORWARD"),
    ("r", "iptables -A FORWARD -p tcp --dport 8080 -j DROP"), ("a", "nc -zv -w 1 10.2.0.2 8080"), ("r", "iptables -F FORWARD"),
    ("a", "iptables -A OUTPUT -d 10.2.0.2 -p icmp -j DROP"), ("a", "ping -c 1 -W 1 10.2.0.2"), ("a", "iptables -F OUTPUT"),
    ("a", "iptables -A OUTPUT -d 10.2.0.2 -p icmp -j REJECT"), ("a", "ping -c 1 -W 1 10.2.0.2"), ("a", "iptables -F OUTPUT"),
]  # fmt: skip


@pytest.mark.parametrize("steps", [MTU, RULES], ids=["mtu", "rules"])
def test_what_a_client_sees_of_a_router(routers: tuple[Real, Lab], steps: list[tuple[str, str]]) -> None:
    real, lab = routers
    wrong = []
    for where, line in steps:
        theirs, status = real.run(where, line)
        ours, mine = lab.run(where, line)
        a, b = (re.sub(r"expires \d+sec", "expires Tsec", "\n".join(tidy(x))) for x in (ours, theirs))
        if (a, mine) != (b, status):
            wrong.append(f"{where}$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


def test_sockets(routers: tuple[Real, Lab]) -> None:
    """The real server listens on all of IPv4 where the lab's has the address; queue lengths are the program's."""
    real, lab = routers
    for line in ("ss -ltn", "ss -lun", "ss -tuln", "ss -lt", "ss -ltnH", "ss -tln4", "ss -t -l -n -6", "ss -tn"):
        theirs, _ = real.run("b", line)
        ours, _ = lab.run("b", line)

        def tidy(text: str) -> list[str]:
            text = re.sub(r"(LISTEN +\d+ +)\d+( +)", r"\1N\2", text)
            return sorted(re.sub(r" +", " ", re.sub(r"0\.0\.0\.0:(8080|53|http-alt|domain)", r"10.2.0.2:\1", k)).strip() for k in text.splitlines())

        assert tidy(ours) == tidy(theirs), line


def test_tracked_connections(routers: tuple[Real, Lab]) -> None:
    real, lab = routers
    for router in (real, lab):
        router.run("r", "conntrack -F")
        router.run("a", "ping -c 1 10.2.0.2")
        router.run("a", "nc -zv -w 1 10.2.0.77 54")
        router.run("a", "nc -zvu -w 1 10.2.0.2 53")
        router.run("a", "nc -zv 10.2.0.2 8080")
    for line in ("conntrack -L -p icmp", "conntrack -L -p udp", "conntrack -L -p tcp", "conntrack -L -s 10.1.0.2 -d 10.2.0.77", "conntrack -L -p udp --dport 53", "conntrack -L -p udp --sport 5",
                 "conntrack -L -f ipv6", "conntrack -L -u ASSURED -p icmp", "conntrack -C", "conntrack -L -p foo", "conntrack -L --frob", "conntrack -L --sport 5",
                 "conntrack -L -p tcp --state FOO", "conntrack -L -p tcp --state SYN_SENT", "conntrack -L -p tcp --state TIME_WAIT", "conntrack -L -p tcp --state ESTABLISHED", "conntrack -D -p icmp", "conntrack -D -p icmp", "conntrack -F", "conntrack -L"):  # fmt: skip
        theirs, status = real.run("r", line)
        ours, mine = lab.run("r", line)
        assert (sorted(tidy(ours)), mine) == (sorted(tidy(theirs)), status), line
