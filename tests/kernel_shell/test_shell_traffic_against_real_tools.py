"""ping, traceroute, nc, ss and conntrack: a client, a router and a server as real namespaces and in the lab; only times and drawn numbers differ."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from kubenet_lab.errors import CommandError
from kubenet_lab.kernel.namespace import Listener
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.shell import Shell
from kubenet_lab.kernel.state import State

pytestmark = [pytest.mark.real, pytest.mark.kernel]

SERVER = """
import socket, select
t = socket.create_server(("0.0.0.0", 8080)); v = socket.create_server(("::", 8082), family=socket.AF_INET6, dualstack_ipv6=True)
one = socket.create_server(("10.2.0.2", 81))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    for s in select.select([t, v, one, u], [], [])[0]:
        if s is u:
            data, who = u.recvfrom(2000); u.sendto(data, who)
        else:
            s.accept()[0].close()
"""

SETUP = [
    ("r", "ip link set lo up"), ("a", "ip link set lo up"), ("b", "ip link set lo up"),
    ("r", "ip link set va up"), ("r", "ip link set vb up"), ("a", "ip link set eth0 up"), ("b", "ip link set eth0 up"),
    ("r", "ip addr add 10.1.0.1/24 dev va"), ("r", "ip addr add 10.2.0.1/24 dev vb"), ("a", "ip addr add 10.1.0.2/24 dev eth0"), ("b", "ip addr add 10.2.0.2/24 dev eth0"),
    ("r", "ip addr add fd01::1/64 dev va nodad"), ("r", "ip addr add fd02::1/64 dev vb nodad"),
    ("a", "ip addr add fd01::2/64 dev eth0 nodad"), ("b", "ip addr add fd02::2/64 dev eth0 nodad"),
    ("a", "ip route add default via 10.1.0.1"), ("b", "ip route add default via 10.2.0.1"),
    ("a", "ip -6 route add default via fd01::1"), ("b", "ip -6 route add default via fd02::1"),
    ("a", "ip route add blackhole 10.66.0.0/16"), ("a", "ip route add unreachable 10.67.0.0/16"), ("a", "ip route add prohibit 10.68.0.0/16"),
    ("r", "iptables -t nat -A POSTROUTING -s 1.2.3.4 -j MASQUERADE"),
]  # fmt: skip


class Real:
    def __init__(self) -> None:
        as_root = os.geteuid() == 0
        first = ["unshare", "-n"] if as_root else ["unshare", "-Urn"]
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.enter: dict[str, list[str]] = {}
        for name in "rab":
            command = first if name == "r" or as_root else [*self.enter["r"], "unshare", "-n"]
            p = subprocess.Popen([*command, "sh", "-c", "echo ready; exec sleep 900"], stdout=subprocess.PIPE, text=True)
            assert p.stdout is not None and p.stdout.readline() == "ready\n"
            self.processes[name] = p
            user = [] if as_root else [f"--user=/proc/{self.processes['r'].pid}/ns/user", "--preserve-credentials"]
            self.enter[name] = ["nsenter", f"--net=/proc/{p.pid}/ns/net", *user]
            for line in ("sysctl -qw net.ipv4.icmp_ratelimit=0", "sysctl -qw net.ipv6.icmp.ratelimit=0",
                         "sysctl -qw net.ipv4.icmp_msgs_per_sec=100000", "sysctl -qw net.ipv4.icmp_msgs_burst=10000"):  # fmt: skip
                self.run(name, line)
        for line in ("sysctl -qw net.ipv4.ip_forward=1", "sysctl -qw net.ipv6.conf.all.forwarding=1"):
            self.run("r", line)
        for name in "ab":
            self.run("r", f"ip link add v{name} type veth peer name eth0 netns {self.processes[name].pid}")
        for name, line in SETUP:
            out, status = self.run(name, line)
            assert status == 0, (line, out)
        self.server = subprocess.Popen([*self.enter["b"], sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        assert self.server.stdout is not None and self.server.stdout.readline() == "ready\n"

    def run(self, name: str, line: str) -> tuple[str, int]:
        env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C", "XTABLES_LOCKFILE": "/tmp/kubenet-lab-xtables.lock"}
        done = subprocess.run([*self.enter[name], *shlex.split(line)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False)
        return done.stdout, done.returncode

    def close(self) -> None:
        for p in (self.server, *self.processes.values()):
            p.kill()
            p.communicate()  # closes its pipe too


class Lab:
    def __init__(self) -> None:
        self.network = Network()
        r = self.network.add_host("r").root
        for name in "ab":
            r.wire_veth(f"v{name}", self.network.add_namespace("r", name), "eth0", up=False)
        r.set_sysctl("net.ipv4.ip_forward", 1)
        r.set_sysctl("net.ipv6.conf.all.forwarding", 1)
        self.state = State()
        for name, line in SETUP:
            self.run(name, line)
        b = self.network.namespaces["b"]
        b.listen(Listener("TCP", 8080, Echo(), "b", "0.0.0.0"))
        b.listen(Listener("TCP", 8082, Echo(), "b"))
        b.listen(Listener("TCP", 81, Echo(), "b", "10.2.0.2"))
        b.listen(Listener("UDP", 53, Echo(), "b", "0.0.0.0"))
        b.listeners[:] = [k if k.address != "0.0.0.0" else Listener(k.protocol, k.port, k.process, k.owner, "10.2.0.2") for k in b.listeners]

    def run(self, name: str, line: str) -> tuple[str, int]:
        shell = Shell(self.network, self.state, name)
        try:
            return shell.run(line), shell.status
        except CommandError as e:
            return f"{e}\n", shell.status


@pytest.fixture(scope="module")
def both(require_tool: Callable[[str], str], require_that: Callable[..., None]) -> Iterator[tuple[Real, Lab]]:
    for tool in ("ip", "ping", "traceroute", "nc", "ss", "conntrack", "iptables", "unshare"):
        require_tool(tool)
    flag = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    require_that(subprocess.run([*flag, "true"], check=False, capture_output=True).returncode == 0, "network namespaces", "netns")
    real = Real()
    try:
        yield real, Lab()
    finally:
        real.close()


def tidy(text: str) -> list[str]:
    """Without what a clock or a draw decided."""
    text = re.sub(r"time=[0-9.]+ ms", "time=T ms", text)
    text = re.sub(r"time \d+ms", "time Tms", text)
    text = re.sub(r"mdev = [0-9./]+ ms", "mdev = T ms", text)
    text = re.sub(r"  [0-9.]+ ms", "  T ms", text)
    text = re.sub(r"\bid=\d+", "id=N", text)
    text = re.sub(r"use=\d+$", "use=N", text, flags=re.M)
    text = re.sub(r"\b([sd]port)=(3[2-9]|[45]\d|60)\d\d\d\b", r"\1=N", text)
    text = re.sub(r"^((?:tcp|udp|icmp|icmpv6) +\d+) \d+ ", r"\1 T ", text, flags=re.M)
    return [line for line in text.splitlines() if line.strip()]


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
nc -z 10.2.0.2
nc -zv 10.2.0.2 foo
nc -zv 10.2.0.2 70000
nc -z 10.2.0.2 0
"""


@pytest.mark.slow
def test_what_a_client_sees(both: tuple[Real, Lab]) -> None:
    real, lab = both
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
def test_what_a_client_sees_of_a_router(both: tuple[Real, Lab], steps: list[tuple[str, str]]) -> None:
    real, lab = both
    wrong = []
    for where, line in steps:
        theirs, status = real.run(where, line)
        ours, mine = lab.run(where, line)
        a, b = (re.sub(r"expires \d+sec", "expires Tsec", "\n".join(tidy(x))) for x in (ours, theirs))
        if (a, mine) != (b, status):
            wrong.append(f"{where}$ {line}\nlab ({mine}):\n{ours}\nreal ({status}):\n{theirs}")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong)


def test_sockets(both: tuple[Real, Lab]) -> None:
    """The real server listens on all of IPv4 where the lab's has the address; queue lengths are the program's."""
    real, lab = both
    for line in ("ss -ltn", "ss -lun", "ss -tuln", "ss -lt", "ss -ltnH", "ss -tln4", "ss -t -l -n -6", "ss -tn"):
        theirs, _ = real.run("b", line)
        ours, _ = lab.run("b", line)

        def tidy(text: str) -> list[str]:
            text = re.sub(r"(LISTEN +\d+ +)\d+( +)", r"\1N\2", text)
            return sorted(re.sub(r" +", " ", re.sub(r"0\.0\.0\.0:(8080|53|http-alt|domain)", r"10.2.0.2:\1", k)).strip() for k in text.splitlines())

        assert tidy(ours) == tidy(theirs), line


def test_tracked_connections(both: tuple[Real, Lab]) -> None:
    real, lab = both
    for router in (real, lab):
        router.run("r", "conntrack -F")
        router.run("a", "ping -c 1 10.2.0.2")
        router.run("a", "nc -zv -w 1 10.2.0.77 54")
        router.run("a", "nc -zvu -w 1 10.2.0.2 53")
    for line in ("conntrack -L -p icmp", "conntrack -L -p udp", "conntrack -L -p tcp", "conntrack -L -s 10.1.0.2 -d 10.2.0.77", "conntrack -L -p udp --dport 53", "conntrack -L -p udp --sport 5",
                 "conntrack -L -f ipv6", "conntrack -L -u ASSURED -p icmp", "conntrack -C", "conntrack -L -p foo", "conntrack -L --frob", "conntrack -L --sport 5",
                 "conntrack -L -p tcp --state FOO", "conntrack -L -p tcp --state SYN_SENT", "conntrack -D -p icmp", "conntrack -D -p icmp", "conntrack -F", "conntrack -L"):  # fmt: skip
        theirs, status = real.run("r", line)
        ours, mine = lab.run("r", line)
        assert (sorted(tidy(ours)), mine) == (sorted(tidy(theirs)), status), line
